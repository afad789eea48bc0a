/*
 * Walks the syntax tree. Scopes are chains of small lists; the top level is the array of globals.
 *
 * A loop makes a scope per iteration, as jinja2 does: what is set inside is gone at the next one.
 */
#ifndef TANDEM_MODEL_JINJA_EVAL_H
#define TANDEM_MODEL_JINJA_EVAL_H

#include "model/jinja_ast.h"

struct jinja_var {
    const struct jinja_name *name;
    struct jinja_value value; /* JINJA_MISSING: a macro's argument that nobody gave */
    struct jinja_var *next;
};
struct jinja_scope {
    struct jinja_scope *parent; /* NULL: the globals */
    struct jinja_var *vars;
    struct jinja_var *spare; /* from the iteration before, to be used again */
};

struct jinja_value jinja_eval(struct jinja *jinja, const struct jinja_node *node);
struct jinja_value jinja_binary(struct jinja *jinja, enum jinja_op op, struct jinja_value left,
                                struct jinja_value right);

/* Sets the name in the innermost scope. */
void jinja_set(struct jinja *jinja, const struct jinja_name *name, struct jinja_value value);
/* What entering a frame makes undefined, in the innermost scope. */
void jinja_unset_names(struct jinja *jinja, const struct jinja_unset *unset);
/* A new innermost scope around `parent`; NULL when out of memory. */
struct jinja_scope *jinja_push_scope(struct jinja *jinja, struct jinja_scope *parent);

void jinja_exec(struct jinja *jinja, const struct jinja_node_list *body);
/* Runs body with its output caught; JINJA_MISSING when it broke out of a loop instead of ending. */
struct jinja_value jinja_capture(struct jinja *jinja, const struct jinja_node_list *body);

/* A call of the macro: its text. */
struct jinja_value jinja_call_macro(struct jinja *jinja, const struct jinja_macro *macro,
                                    const struct jinja_args *args);
/* loop(items) of a recursive loop: its text. */
struct jinja_value jinja_call_loop(struct jinja *jinja, const struct jinja_loop *loop,
                                   struct jinja_value items);
/* The call node's value; caller: JINJA_MISSING, or the macro a call block hands over. */
struct jinja_value jinja_eval_call(struct jinja *jinja, const struct jinja_node *node,
                                   struct jinja_value caller);

#endif
