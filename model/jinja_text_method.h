/*
 * Methods of str, shared by the filters of the same name. Results keep provenance byte by byte
 * where characters are copied or mapped one by one, and the Markup mark of the string worked on.
 */
#ifndef TANDEM_MODEL_JINJA_TEXT_METHOD_H
#define TANDEM_MODEL_JINJA_TEXT_METHOD_H

#include "model/jinja_string.h"

enum jinja_side { JINJA_LEFT = 1, JINJA_RIGHT = 2 };

/* chars: the set of characters taken off, NULL for white space. */
struct jinja_value jinja_strip(struct jinja *jinja, const struct jinja_string *string,
                               const struct jinja_string *chars, unsigned sides);
/* most: replacements at most, -1 for all. */
struct jinja_value jinja_replace(struct jinja *jinja, const struct jinja_string *string,
                                 const struct jinja_string *old, const struct jinja_string *with,
                                 int64_t most);
/* A list of lines, without their ends unless keep_ends. */
struct jinja_list *jinja_splitlines(struct jinja *jinja, const struct jinja_string *string,
                                    bool keep_ends);
/* Padded with fill to width characters on the sides given. */
struct jinja_value jinja_pad(struct jinja *jinja, const struct jinja_string *string, int64_t width,
                             const struct jinja_string *fill, unsigned sides);

enum jinja_casing {
    JINJA_UPPERCASE,
    JINJA_LOWERCASE,
    JINJA_TITLECASE,  /* str.title: every run of letters */
    JINJA_CAPITALIZE, /* the first character */
    JINJA_SWAPCASE
};
struct jinja_value jinja_recase(struct jinja *jinja, const struct jinja_string *string,
                                enum jinja_casing casing);
/* str.islower and its like: which is what the name says behind "is". */
bool jinja_text_is(struct jinja *jinja, const struct jinja_string *string, const char *which);

/* The tables of jinja_find_method. */
extern const struct jinja_builtin jinja_string_methods[];
extern const size_t jinja_n_string_methods;

#endif
