/*
 * Strings with provenance, and the builder every new string comes out of.
 *
 * Positions and sizes are bytes unless a name says chars. A builder's store is append-only, so a
 * string made by jinja_builder_string stays valid while the builder grows on.
 */
#ifndef TANDEM_MODEL_JINJA_STRING_H
#define TANDEM_MODEL_JINJA_STRING_H

#include "model/jinja_value.h"

struct jinja_builder {
    struct jinja *jinja;
    char *bytes;
    size_t size, capacity, chars;
    struct jinja_run *runs; /* used once both kinds of text are in */
    size_t n_runs, runs_capacity;
    bool trusted; /* of all so far, while n_runs == 0 */
    size_t limit; /* bytes; SIZE_MAX: the arena's limit alone */
};

void jinja_builder_init(struct jinja_builder *builder, struct jinja *jinja);
void jinja_builder_add(struct jinja_builder *builder, const char *bytes, size_t size, bool trusted);
/* Text of ours, such as a bracket: trusted. */
void jinja_builder_puts(struct jinja_builder *builder, const char *text);
void jinja_builder_add_string(struct jinja_builder *builder, const struct jinja_string *string);
/* Bytes from..to of string. */
void jinja_builder_add_part(struct jinja_builder *builder, const struct jinja_string *string,
                            size_t from, size_t to);
void jinja_builder_repeat(struct jinja_builder *builder, const struct jinja_string *string,
                          size_t times);
/* What is in the builder now. */
struct jinja_value jinja_builder_string(struct jinja_builder *builder);

/* A trusted string over bytes that outlive the rendering. */
struct jinja_value jinja_literal(struct jinja *jinja, const char *text);
/* A copy, one kind throughout. */
struct jinja_value jinja_text(struct jinja *jinja, const char *bytes, size_t size, bool trusted);
/* Fills a string that a parsed template holds: trusted, over bytes that outlive it. */
void jinja_string_init(struct jinja_string *string, const char *bytes, size_t size);

/* Bytes from..to; shares them. */
struct jinja_value jinja_substring(struct jinja *jinja, const struct jinja_string *string,
                                   size_t from, size_t to);
/* left + right for strings; HTML-escapes the plain side when the other is Markup. */
struct jinja_value jinja_concat(struct jinja *jinja, const struct jinja_string *left,
                                const struct jinja_string *right);
struct jinja_value jinja_markup(struct jinja *jinja, const struct jinja_string *string,
                                bool markup);
struct jinja_value jinja_escape(struct jinja *jinja, const struct jinja_string *string);

/* True when no byte came from the user. */
bool jinja_string_trusted(const struct jinja_string *string);
/* Whether the byte at `at` is trusted. */
bool jinja_trusted_at(const struct jinja_string *string, size_t at);
/* Byte where character number `index` (at most chars) starts. */
size_t jinja_char_offset(const struct jinja_string *string, size_t index);
/* First place of needle at or behind `from`; SIZE_MAX when there is none. */
size_t jinja_string_find(struct jinja *jinja, const struct jinja_string *string,
                         const struct jinja_string *needle, size_t from);
/* Last place of needle that ends at or before `to`. */
size_t jinja_string_rfind(struct jinja *jinja, const struct jinja_string *string,
                          const struct jinja_string *needle, size_t to);
bool jinja_string_is(const struct jinja_string *string, const char *text);
bool jinja_string_equal(const struct jinja_string *left, const struct jinja_string *right);

static inline struct jinja_value jinja_of_string(const struct jinja_string *string)
{
    return string ? (struct jinja_value){.type = JINJA_STRING, .string = string} : jinja_missing();
}

/* str(value): the string itself, or its text. */
const struct jinja_string *jinja_str(struct jinja *jinja, struct jinja_value value);
void jinja_write_str(struct jinja_builder *builder, struct jinja_value value);
void jinja_write_repr(struct jinja_builder *builder, struct jinja_value value);

/* Python's repr of a float, which is also json.dumps' but for NaN and infinities. */
#define JINJA_FLOAT_TEXT 32
void jinja_float_repr(char out[JINJA_FLOAT_TEXT], double real);

#endif
