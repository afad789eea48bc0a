/* Text formatting: "%" and str.format, with Python's format specifications. */
#ifndef TANDEM_MODEL_JINJA_FORMAT_H
#define TANDEM_MODEL_JINJA_FORMAT_H

#include "model/jinja_value.h"

/* format % values, values being a tuple, a dict for %(name)s, or one value. */
struct jinja_value jinja_percent_format(struct jinja *jinja, const struct jinja_string *format,
                                        struct jinja_value values);
/* format.format(*items, **keywords) */
struct jinja_value jinja_brace_format(struct jinja *jinja, const struct jinja_string *format,
                                      const struct jinja_args *args);

#endif
