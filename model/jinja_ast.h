/*
 * The syntax tree of a template. Nodes, names and constants lie in the template's arena and never
 * change after parsing, so renderings on any thread share them.
 */
#ifndef TANDEM_MODEL_JINJA_AST_H
#define TANDEM_MODEL_JINJA_AST_H

#include "model/jinja_string.h"
#include "model/jinja_value.h"

/* Every identifier of the template has one of these, so ids compare as names. */
struct jinja_name {
    struct jinja_string text;
    unsigned id;                      /* index into jinja->globals */
    struct jinja_mention *live, *all; /* while parsing: see jinja_frame.h */
};

/* Names that are undefined when a frame (the top level, a loop's body, a macro ...) is entered,
 * though a variable of the request may be called so: what jinja2 makes of names whose first mention
 * in the frame sets them. */
struct jinja_unset {
    const struct jinja_name **names;
    size_t count;
};

enum jinja_node_kind {
    /* statements */
    NODE_DATA,         /* constant: text between tags */
    NODE_PRINT,        /* unary */
    NODE_FOR,          /* loop */
    NODE_IF,           /* choice */
    NODE_SET,          /* binary: target, value */
    NODE_SET_BLOCK,    /* capture */
    NODE_FILTER_BLOCK, /* capture */
    NODE_MACRO,        /* macro */
    NODE_CALL_BLOCK,   /* macro, with a call to hand it to */
    NODE_WITH,         /* with */
    NODE_SCOPE,        /* with: {% generation %} */
    NODE_BREAK,
    NODE_CONTINUE,
    /* expressions */
    NODE_CONST,   /* constant */
    NODE_NAME,    /* name */
    NODE_MEMBER,  /* member: the target namespace.attribute */
    NODE_ATTR,    /* member: object.name */
    NODE_ITEM,    /* binary: object[index] */
    NODE_SLICE,   /* slice */
    NODE_TUPLE,   /* items */
    NODE_LIST,    /* items */
    NODE_DICT,    /* items: key, value, key, ... */
    NODE_CONCAT,  /* items */
    NODE_COMPARE, /* items: the first operand, then NODE_OPERAND */
    NODE_OPERAND, /* unary, with op */
    NODE_BINARY,  /* binary, with op */
    NODE_AND,     /* binary */
    NODE_OR,      /* binary */
    NODE_NOT,     /* unary */
    NODE_NEGATE,  /* unary */
    NODE_PLUS,    /* unary */
    NODE_CHOOSE,  /* choice: body if test else other */
    NODE_CALL,    /* apply */
    NODE_FILTER,  /* apply */
    NODE_TEST,    /* apply */
    NODE_KEYWORD  /* member: name=object */
};

enum jinja_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOORDIV,
    OP_MOD,
    OP_POW,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

struct jinja_node_list {
    struct jinja_node *first;
    size_t count;
};

/* Arguments of a call, filter or test. */
struct jinja_arg_nodes {
    struct jinja_node_list items, keywords;
    struct jinja_node *star, *star_star; /* *list, **dict; or NULL */
};

enum jinja_macro_use { USES_CALLER = 1, USES_VARARGS = 2, USES_KWARGS = 4 };

struct jinja_param {
    const struct jinja_name *name;
    struct jinja_node *value; /* NULL: none by default */
};

struct jinja_macro_node {
    const struct jinja_name *name; /* NULL for a call block */
    struct jinja_param *params;
    size_t n_params;
    unsigned uses; /* enum jinja_macro_use: names the body reads */
    const struct jinja_name *caller, *varargs, *kwargs;
    struct jinja_node_list body;
    struct jinja_unset *unset;
    struct jinja_node *call; /* NODE_CALL_BLOCK */
};

struct jinja_loop_node {
    const struct jinja_name *name; /* "loop" */
    struct jinja_node *target, *source, *test;
    struct jinja_node_list body, other;
    struct jinja_unset *unset, *other_unset; /* of the body and the else part */
    bool recursive;
    bool captures; /* a macro inside may keep an iteration's scope */
};

struct jinja_node {
    enum jinja_node_kind kind;
    enum jinja_op op;
    uint32_t line;
    struct jinja_node *next; /* in the list it belongs to */
    union {
        struct jinja_value constant;
        const struct jinja_name *name;
        struct jinja_node *unary;
        struct jinja_node_list items;
        struct {
            struct jinja_node *left, *right;
        } binary;
        struct {
            struct jinja_node *object;
            const struct jinja_name *name;
        } member;
        struct {
            struct jinja_node *start, *stop, *step; /* NULL where left out */
            struct jinja_node *object;
        } slice;
        struct {
            struct jinja_node *test;
            struct jinja_node_list body,
                other; /* one node each in NODE_CHOOSE; other may be none */
        } choice;
        struct {
            struct jinja_node *object; /* NULL: the text of the enclosing block */
            struct jinja_arg_nodes *args;
            const struct jinja_builtin *builtin; /* NULL: unknown, raises when it is reached */
            const struct jinja_name *name;       /* of the filter or test */
        } apply;
        struct {
            struct jinja_node *target; /* NULL in a filter block */
            struct jinja_node *filter; /* or NULL */
            struct jinja_node_list body;
            struct jinja_unset *unset;
        } capture;
        struct {
            struct jinja_node_list targets, values, body;
            struct jinja_unset *unset;
        } with; /* also {% generation %}, which has a body alone */
        struct jinja_loop_node *loop;
        struct jinja_macro_node *macro;
    };
};

struct chat_template {
    struct arena arena;
    struct jinja_node_list body;
    struct jinja_unset *unset;
    const struct jinja_name **names; /* by id */
    size_t n_names;
};

#endif
