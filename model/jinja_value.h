/*
 * Values of the template language, with Python's semantics, and the state of one rendering.
 *
 * All values live in the rendering's arena and are immutable once a template can see them, except
 * namespaces, loop objects, cyclers, joiners and half-read iterators. Every string knows which of
 * its bytes came from the user (runs); operations that build strings carry that along byte by byte.
 *
 * Errors are sticky: the first one sets jinja->rc and its message; functions then return
 * JINJA_MISSING (or false, 0, NULL) at once and every loop stops at the next look at rc. So a
 * caller only checks rc where it would loop or act on an answer. Owner: the rendering's thread.
 */
#ifndef TANDEM_MODEL_JINJA_VALUE_H
#define TANDEM_MODEL_JINJA_VALUE_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum jinja_type {
    JINJA_MISSING, /* an argument or variable that is not there; no template ever sees one */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STRING,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, /* dict.keys(), values(), items() */
    JINJA_RANGE,
    JINJA_ITERATOR,  /* what Python's generators and reversed() give: can be read once */
    JINJA_NAMESPACE, /* namespace(): the one thing a template may change */
    JINJA_MACRO,
    JINJA_BUILTIN, /* a global function or a method bound to its object */
    JINJA_LOOP,
    JINJA_CYCLER,
    JINJA_JOINER
};

struct jinja_value {
    enum jinja_type type;
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *lack; /* UNDEFINED: the message an illegal use of it gives */
        const struct jinja_string *string;
        const struct jinja_list *list;
        struct jinja_dict *dict; /* DICT and NAMESPACE */
        const struct jinja_view *view;
        const struct jinja_range *range;
        struct jinja_iterator *iterator;
        const struct jinja_macro *macro;
        const struct jinja_bound *bound;
        struct jinja_loop *loop;
        struct jinja_cycler *cycler; /* CYCLER and JOINER */
    };
};

/* Bytes up to `end` (from the end of the run before) are trusted or not. The last run's end may lie
 * past the string's when several strings share one growing store: readers clamp. */
struct jinja_run {
    size_t end;
    bool trusted;
};

struct jinja_string {
    const char *bytes; /* valid UTF-8, not terminated */
    size_t size;       /* bytes */
    size_t chars;      /* code points */
    const struct jinja_run *runs;
    size_t n_runs;               /* 0: all of it is as `trusted` says */
    bool trusted;                /* with n_runs == 0 */
    bool markup;                 /* Markup: what is added to it gets HTML-escaped */
    struct jinja_builder *store; /* grows in place under `+` while this string is its tail */
};

struct jinja_list {
    struct jinja_value *items;
    size_t count, capacity;
    bool group; /* a TUPLE from groupby: its fields also go by the names grouper and list */
};

struct jinja_entry {
    struct jinja_value key, value;
    uint64_t hash;
};
struct jinja_dict {
    struct jinja_entry *entries; /* in order of insertion */
    size_t count, capacity;
    uint32_t *index; /* open addressing, entry number + 1; NULL while small */
    size_t n_index;  /* power of two */
};

enum jinja_view_kind { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS };
struct jinja_view {
    const struct jinja_dict *dict;
    enum jinja_view_kind kind;
};

struct jinja_range {
    int64_t start, stop, step;
    size_t count;
};

/* Walks any iterable once. */
struct jinja_iterator {
    struct jinja_value source;
    size_t at, count; /* items given, items in all */
    const char *text; /* source a string: where the next character starts */
};

struct jinja_loop {
    struct jinja_iterator items; /* one ahead of `current` once `has_next` was asked */
    struct jinja_value previous, current, next, changed;
    size_t index0;
    size_t depth0;
    const struct jinja_node *node; /* recursive loops: what to render again */
    struct jinja_scope *scope;     /* and where */
};

struct jinja_cycler {
    struct jinja_value items; /* a TUPLE; of a JOINER: the separator alone */
    size_t at;
};

#define JINJA_PARAMS_MAX 5

struct jinja_keyword {
    const struct jinja_string *name;
    struct jinja_value value;
};
struct jinja_args {
    const struct jinja_value *items;
    size_t count;
    const struct jinja_keyword *keywords;
    size_t n_keywords;
};

struct jinja;

/* A filter, test, method or global function. `call` gets its parameters in order, JINJA_MISSING
 * where the template gave none; `call_any` gets them as they were written. */
struct jinja_builtin {
    const char *name;
    struct jinja_value (*call)(struct jinja *jinja, struct jinja_value self,
                               const struct jinja_value *arg);
    struct jinja_value (*call_any)(struct jinja *jinja, struct jinja_value self,
                                   const struct jinja_args *args);
    unsigned required; /* of params */
    bool positional_only;
    const char *params[JINJA_PARAMS_MAX]; /* NULL behind the last */
};

struct jinja_bound {
    const struct jinja_builtin *builtin;
    struct jinja_value self; /* JINJA_MISSING for a global function */
};

struct jinja_macro {
    const struct jinja_node *node; /* NODE_MACRO or NODE_CALL_BLOCK */
    struct jinja_scope *scope;     /* where it was defined */
};

enum jinja_flow { JINJA_NEXT, JINJA_BREAK, JINJA_CONTINUE };

/* One rendering. */
struct jinja {
    struct arena arena;
    struct jinja_value *globals; /* by name id; JINJA_MISSING where nothing is set */
    struct jinja_scope *scope;   /* NULL at the top level */
    struct jinja_builder *out;
    uint64_t steps;
    unsigned depth;
    uint32_t line; /* of the template, of what is being evaluated */
    enum jinja_flow flow;
    struct jinja_value captured; /* what a filter without an object works on */
    time_t now;
    int rc;
    struct err *err;
};

/* The template is wrong or refuses its input: -EINVAL and "line N: ...". */
struct jinja_value jinja_raise(struct jinja *jinja, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A limit is passed: -E2BIG. */
struct jinja_value jinja_exceed(struct jinja *jinja, const char *what);
/* NULL sets rc. */
void *jinja_alloc(struct jinja *jinja, size_t size);
void *jinja_alloc_array(struct jinja *jinja, size_t count, size_t size);
/* Counts work that takes time without taking memory; false once the limit of steps is passed. */
bool jinja_charge(struct jinja *jinja, size_t steps);
/* Around every recursion. jinja_leave only after a jinja_enter that gave true. */
bool jinja_enter(struct jinja *jinja);
void jinja_leave(struct jinja *jinja);

static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.type = JINJA_NONE};
}
static inline struct jinja_value jinja_missing(void)
{
    return (struct jinja_value){.type = JINJA_MISSING};
}
static inline struct jinja_value jinja_bool(bool boolean)
{
    return (struct jinja_value){.type = JINJA_BOOL, .boolean = boolean};
}
static inline struct jinja_value jinja_int(int64_t integer)
{
    return (struct jinja_value){.type = JINJA_INT, .integer = integer};
}
static inline struct jinja_value jinja_float(double real)
{
    return (struct jinja_value){.type = JINJA_FLOAT, .real = real};
}
/* bool counts as int, as in Python. */
static inline bool jinja_is_int(struct jinja_value value)
{
    return value.type == JINJA_INT || value.type == JINJA_BOOL;
}
static inline int64_t jinja_as_int(struct jinja_value value)
{
    return value.type == JINJA_BOOL ? value.boolean : value.integer;
}
static inline bool jinja_is_number(struct jinja_value value)
{
    return jinja_is_int(value) || value.type == JINJA_FLOAT;
}
static inline double jinja_as_float(struct jinja_value value)
{
    return value.type == JINJA_FLOAT ? value.real : (double)jinja_as_int(value);
}

/* Undefined whose illegal use says the words. */
struct jinja_value jinja_undefined(struct jinja *jinja, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Raises what using this undefined value gives. */
struct jinja_value jinja_refuse_undefined(struct jinja *jinja, struct jinja_value value);

struct jinja_list *jinja_list_new(struct jinja *jinja, size_t capacity);
void jinja_list_add(struct jinja *jinja, struct jinja_list *list, struct jinja_value item);
static inline struct jinja_value jinja_of_list(enum jinja_type type, const struct jinja_list *list)
{
    return list ? (struct jinja_value){.type = type, .list = list} : jinja_missing();
}

struct jinja_dict *jinja_dict_new(struct jinja *jinja, size_t capacity);
/* Replaces the value of a key that is there. Unhashable keys raise. */
void jinja_dict_set(struct jinja *jinja, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value);
/* NULL when absent, or when the key is unhashable (then *hashable is false). */
const struct jinja_value *jinja_dict_get(struct jinja *jinja, const struct jinja_dict *dict,
                                         struct jinja_value key, bool *hashable);
const struct jinja_value *jinja_dict_get_text(struct jinja *jinja, const struct jinja_dict *dict,
                                              const struct jinja_string *key);
static inline struct jinja_value jinja_of_dict(struct jinja_dict *dict)
{
    return dict ? (struct jinja_value){.type = JINJA_DICT, .dict = dict} : jinja_missing();
}

/* Python's name of the type, for messages. */
const char *jinja_type_name(struct jinja_value value);

#endif
