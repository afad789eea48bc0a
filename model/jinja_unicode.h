/*
 * Characters as Python's str sees them: UTF-8 steps, classes and case mappings.
 *
 * The tables (jinja_tables.c) are of one Unicode version and the same for every locale; lower-case
 * sigma's final form and mappings to several characters are included, locale rules (Turkish i) are
 * not, as in Python. Pure functions: any thread.
 */
#ifndef TANDEM_MODEL_JINJA_UNICODE_H
#define TANDEM_MODEL_JINJA_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum jinja_class {
    JINJA_ALPHA,
    JINJA_DECIMAL,
    JINJA_DIGIT,
    JINJA_NUMERIC,
    JINJA_PRINTABLE,
    JINJA_LOWER,
    JINJA_UPPER,
    JINJA_CLASSES
};
enum jinja_case { JINJA_TO_UPPER, JINJA_TO_LOWER, JINJA_TO_TITLE, JINJA_CASES };

/* Code points where membership flips, ascending; not a member before the first. */
struct jinja_class_table {
    const uint32_t *edges;
    size_t n_edges;
};
/* Every stride-th code point from first to last moves by delta. */
struct jinja_case_run {
    uint32_t first, last;
    uint8_t stride;
    int32_t delta;
};
struct jinja_case_special {
    uint32_t code;
    const char *text; /* UTF-8, one or more characters */
};
struct jinja_case_table {
    const struct jinja_case_run *runs;
    size_t n_runs;
    const struct jinja_case_special *specials; /* looked at first */
    size_t n_specials;
};
extern const struct jinja_class_table jinja_class_tables[JINJA_CLASSES];
extern const struct jinja_case_table jinja_case_tables[JINJA_CASES];

/* The character at *at and a step past it. The bytes must be valid and *at before their end. */
uint32_t jinja_utf8_next(const char **at);
/* Start of the character that ends before `at`. */
const char *jinja_utf8_before(const char *at);
/* Bytes written (1 to 4). code: at most 0x10ffff and no surrogate. */
size_t jinja_utf8_put(char out[4], uint32_t code);
/* Characters in valid UTF-8. */
size_t jinja_utf8_count(const char *bytes, size_t size);

bool jinja_is(enum jinja_class which, uint32_t code);
bool jinja_is_space(uint32_t code);
/* Ends a line for str.splitlines. */
bool jinja_is_line_end(uint32_t code);
/* Letter, number or underscore: \w of Python's re. */
bool jinja_is_word(uint32_t code);

/* What `code` becomes, as UTF-8 into out; bytes written. */
size_t jinja_map_case(enum jinja_case which, uint32_t code, char out[16]);

#endif
