/*
 * The tables of what a template can call by name, and how it is called.
 *
 * Lookups are pure; the functions in the tables raise through the rendering (jinja_value.h).
 */
#ifndef TANDEM_MODEL_JINJA_BUILTIN_H
#define TANDEM_MODEL_JINJA_BUILTIN_H

#include "model/jinja_value.h"

/* NULL when there is none of that name. */
const struct jinja_builtin *jinja_find_filter(const struct jinja_string *name);
const struct jinja_builtin *jinja_find_test(const struct jinja_string *name);
const struct jinja_builtin *jinja_find_global(const struct jinja_string *name);
const struct jinja_builtin *jinja_find_method(struct jinja_value self,
                                              const struct jinja_string *name);
const struct jinja_builtin *jinja_find_in(const struct jinja_builtin *table, size_t count,
                                          const struct jinja_string *name);

/* Binds the arguments to the parameters and calls. */
struct jinja_value jinja_apply(struct jinja *jinja, const struct jinja_builtin *builtin,
                               struct jinja_value self, const struct jinja_args *args);
/* Calls any value: macro, bound method, global function, recursive loop, joiner. */
struct jinja_value jinja_call(struct jinja *jinja, struct jinja_value callee,
                              const struct jinja_args *args);
bool jinja_callable(struct jinja_value value);

/* object.name and object[index]: undefined where Python has neither. */
struct jinja_value jinja_attribute(struct jinja *jinja, struct jinja_value object,
                                   const struct jinja_string *name);
struct jinja_value jinja_subscript(struct jinja *jinja, struct jinja_value object,
                                   struct jinja_value index);
/* object[start:stop:step], JINJA_NONE where left out. */
struct jinja_value jinja_slice(struct jinja *jinja, struct jinja_value object,
                               const struct jinja_value bounds[3]);
struct jinja_value jinja_method_value(struct jinja *jinja, const struct jinja_builtin *builtin,
                                      struct jinja_value self);

/* Reads an argument: the default when it is missing, raises when it has the wrong type. */
int64_t jinja_arg_int(struct jinja *jinja, struct jinja_value arg, int64_t usual, const char *who);
const struct jinja_string *jinja_arg_string(struct jinja *jinja, struct jinja_value arg,
                                            const char *who);

#endif
