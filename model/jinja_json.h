/* JSON to values and back. */
#ifndef TANDEM_MODEL_JINJA_JSON_H
#define TANDEM_MODEL_JINJA_JSON_H

#include "model/jinja_value.h"

#include <jansson.h>

/* A copy of the JSON value in the rendering's arena; every string and key in it is trusted or not.
 */
struct jinja_value jinja_from_json(struct jinja *jinja, const json_t *json, bool trusted);

/* The tojson filter: Python's json.dumps with ensure_ascii off by default; no HTML escaping. */
extern const struct jinja_builtin jinja_filter_tojson;

#endif
