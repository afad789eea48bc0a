/*
 * Truth, equality, order, hashing, length, membership and iteration of values, as in Python.
 * Where Python raises a TypeError these raise too (see the sticky errors of jinja_value.h).
 */
#ifndef TANDEM_MODEL_JINJA_COMPARE_H
#define TANDEM_MODEL_JINJA_COMPARE_H

#include "model/jinja_value.h"

bool jinja_truth(struct jinja_value value);
bool jinja_equal(struct jinja *jinja, struct jinja_value left, struct jinja_value right);
/* left < right; `sign` is the operator for the message. */
bool jinja_less(struct jinja *jinja, struct jinja_value left, struct jinja_value right,
                const char *sign);
/* left <= right; differs from "not right < left" for NaN alone. */
bool jinja_less_equal(struct jinja *jinja, struct jinja_value left, struct jinja_value right,
                      const char *sign);
bool jinja_contains(struct jinja *jinja, struct jinja_value container, struct jinja_value item);
/* False when the value (or what is in it) cannot be a key. */
bool jinja_hash(struct jinja *jinja, struct jinja_value value, uint64_t *ret_hash);

/* False, without raising, when the value has no len(). */
bool jinja_length(struct jinja_value value, size_t *ret_length);
bool jinja_iterable(struct jinja_value value);
/* Raises and gives false for what cannot be iterated. */
bool jinja_iterate(struct jinja *jinja, struct jinja_value value, struct jinja_iterator *ret_items);
bool jinja_step(struct jinja *jinja, struct jinja_iterator *items, struct jinja_value *ret_item);
/* list(value); NULL when it raised. */
struct jinja_list *jinja_to_list(struct jinja *jinja, struct jinja_value value);
/* A JINJA_ITERATOR over the list. */
struct jinja_value jinja_to_iterator(struct jinja *jinja, const struct jinja_list *list);
/* Item number `index` of a LIST, TUPLE, RANGE, STRING or view, which must have that many. */
struct jinja_value jinja_item(struct jinja *jinja, struct jinja_value value, size_t index);

/* Stable, by keys[i]; permutes items alongside. */
void jinja_sort(struct jinja *jinja, struct jinja_value *keys, struct jinja_value *items,
                size_t count, bool reverse);

#endif
