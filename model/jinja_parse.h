/*
 * Recursive descent over the tokens, in two files: statements (jinja_parse.c) and expressions
 * (jinja_expr.c). Functions give NULL once parser->rc is set; the first error stays.
 */
#ifndef TANDEM_MODEL_JINJA_PARSE_H
#define TANDEM_MODEL_JINJA_PARSE_H

#include "model/jinja_ast.h"
#include "model/jinja_lex.h"

#define JINJA_ARGUMENTS_MAX 1000 /* of a macro, or by name in a call */

struct jinja_parser {
    struct arena *arena;
    const struct jinja_token *at; /* current; the array ends with TOKEN_END */
    unsigned depth;               /* nested expressions and blocks */
    unsigned loops;               /* for loops around, inside the current macro */
    unsigned loop_names;          /* for loops around, macros or not: `loop` is no target there */
    unsigned uses;                /* enum jinja_macro_use of names read so far */
    bool captures;                /* a macro or call block was seen */
    struct jinja_frame *frame, *frames; /* current, all: see jinja_frame.h */
    uint32_t frame_steps;
    unsigned branches;         /* ifs around, inside the current frame */
    bool mute;                 /* names are not noted */
    struct jinja_name **slots; /* names by hash, open addressing */
    size_t n_slots, n_names;
    struct jinja_node **unknown; /* filters and tests without a builtin, still allowed or not */
    size_t n_unknown, unknown_capacity;
    int rc;
    struct err *err;
};

/* Parses into tmpl, whose arena is set up. 0, -EINVAL or -E2BIG with "line N: ...". */
int jinja_parse(struct chat_template *tmpl, const char *source, size_t size, struct err *err);

/* expressions */
struct jinja_node *jinja_parse_expression(struct jinja_parser *parser, bool with_choice);
/* One expression, or a tuple of several without parentheses. end: a name that ends it, or NULL. */
struct jinja_node *jinja_parse_tuple(struct jinja_parser *parser, bool with_choice,
                                     const char *end);
/* Something that can be assigned to. end as above; members: namespace.attribute is allowed. */
struct jinja_node *jinja_parse_target(struct jinja_parser *parser, const char *end, bool members);
/* "| filter | filter ..." over node (NULL: the enclosing block); inline: without the first bar. */
struct jinja_node *jinja_parse_filters(struct jinja_parser *parser, struct jinja_node *node,
                                       bool inline_first);

/* shared */
struct jinja_node *jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                                  uint32_t line);
void *jinja_parse_alloc(struct jinja_parser *parser, size_t size);
void jinja_append(struct jinja_node_list *list, struct jinja_node ***tail, struct jinja_node *node);
struct jinja_node *jinja_parse_fail(struct jinja_parser *parser, uint32_t line, const char *format,
                                    ...) __attribute__((format(printf, 3, 4)));
bool jinja_parse_enter(struct jinja_parser *parser);
const struct jinja_name *jinja_parse_intern(struct jinja_parser *parser, const char *text,
                                            size_t size);
/* The current token is this name / of this type: steps over it. */
bool jinja_accept_name(struct jinja_parser *parser, const char *name);
bool jinja_accept(struct jinja_parser *parser, enum jinja_token_type type);
bool jinja_sees_name(const struct jinja_parser *parser, const char *name);
/* Fails unless the current token is of this type, then steps over it. */
bool jinja_expect(struct jinja_parser *parser, enum jinja_token_type type, const char *what);
/* NULL and failed unless the current token is a name. */
const struct jinja_name *jinja_expect_name(struct jinja_parser *parser);

#endif
