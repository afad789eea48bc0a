/* The filters on sequences, for the table of all filters (jinja_find_filter). */
#ifndef TANDEM_MODEL_JINJA_FILTER_H
#define TANDEM_MODEL_JINJA_FILTER_H

#include "model/jinja_value.h"

extern const struct jinja_builtin jinja_sequence_filters[];
extern const size_t jinja_n_sequence_filters;

#endif
