/* Case mappings and the is...() predicates of str, character by character. */
#include "model/jinja_text_method.h"
#include "model/jinja_unicode.h"

#include <string.h>

#define SIGMA 0x3a3u

static bool case_cased(uint32_t code)
{
    return jinja_is(JINJA_LOWER, code) || jinja_is(JINJA_UPPER, code) ||
           (code >= 0x1c4 && code <= 0x1f3); /* titlecase letters are among the digraphs here */
}

/* A capital sigma at the end of a word has its own small letter. */
static bool case_final_sigma(const struct jinja_string *string, const char *at, const char *after)
{
    const char *before = at > string->bytes ? jinja_utf8_before(at) : NULL;
    bool follows = after < string->bytes + string->size && case_cased(jinja_utf8_next(&after));

    return before && case_cased(jinja_utf8_next(&before)) && !follows;
}

static enum jinja_case case_of(enum jinja_casing casing, uint32_t code, bool first, bool in_word)
{
    switch (casing) {
    case JINJA_UPPERCASE: return JINJA_TO_UPPER;
    case JINJA_LOWERCASE: return JINJA_TO_LOWER;
    case JINJA_TITLECASE: return in_word ? JINJA_TO_LOWER : JINJA_TO_TITLE;
    case JINJA_CAPITALIZE: return first ? JINJA_TO_TITLE : JINJA_TO_LOWER;
    default: return jinja_is(JINJA_UPPER, code) ? JINJA_TO_LOWER : JINJA_TO_UPPER;
    }
}

struct jinja_value jinja_recase(struct jinja *jinja, const struct jinja_string *string,
                                enum jinja_casing casing)
{
    const char *at = string->bytes, *end = at + string->size;
    struct jinja_builder builder;
    bool in_word = false;

    jinja_builder_init(&builder, jinja);
    while (at < end && jinja_charge(jinja, 1)) {
        const char *from = at;
        uint32_t code = jinja_utf8_next(&at);
        enum jinja_case to = case_of(casing, code, from == string->bytes, in_word);
        char mapped[16];
        bool stays = casing == JINJA_SWAPCASE && !jinja_is(JINJA_UPPER, code) &&
                     !jinja_is(JINJA_LOWER, code);
        size_t size = stays ? jinja_utf8_put(mapped, code) : jinja_map_case(to, code, mapped);

        if (code == SIGMA && to == JINJA_TO_LOWER && case_final_sigma(string, from, at))
            size = jinja_utf8_put(mapped, 0x3c2);
        jinja_builder_add(&builder, mapped, size,
                          jinja_trusted_at(string, (size_t)(from - string->bytes)));
        in_word = case_cased(code);
    }
    struct jinja_value text = jinja_builder_string(&builder);

    return jinja->rc < 0 ? text : jinja_markup(jinja, text.string, string->markup);
}

/* islower and isupper: at least one cased character, and none of the other case. */
static bool case_only(struct jinja *jinja, const struct jinja_string *string,
                      enum jinja_class wanted)
{
    enum jinja_class other = wanted == JINJA_LOWER ? JINJA_UPPER : JINJA_LOWER;
    const char *at = string->bytes, *end = at + string->size;
    bool found = false;

    while (at < end && jinja_charge(jinja, 1)) {
        uint32_t code = jinja_utf8_next(&at);

        if (jinja_is(other, code))
            return false;
        found = found || jinja_is(wanted, code);
    }
    return found;
}

static bool case_title(struct jinja *jinja, const struct jinja_string *string)
{
    const char *at = string->bytes, *end = at + string->size;
    bool in_word = false, found = false;

    while (at < end && jinja_charge(jinja, 1)) {
        uint32_t code = jinja_utf8_next(&at);

        if ((jinja_is(JINJA_UPPER, code) && in_word) || (jinja_is(JINJA_LOWER, code) && !in_word))
            return false;
        in_word = case_cased(code);
        found = found || in_word;
    }
    return found;
}

static bool case_in_class(const char *which, uint32_t code)
{
    if (strcmp(which, "alpha") == 0)
        return jinja_is(JINJA_ALPHA, code);
    if (strcmp(which, "alnum") == 0)
        return jinja_is(JINJA_ALPHA, code) || jinja_is(JINJA_NUMERIC, code);
    if (strcmp(which, "digit") == 0)
        return jinja_is(JINJA_DIGIT, code);
    if (strcmp(which, "decimal") == 0)
        return jinja_is(JINJA_DECIMAL, code);
    if (strcmp(which, "numeric") == 0)
        return jinja_is(JINJA_NUMERIC, code);
    if (strcmp(which, "printable") == 0)
        return jinja_is(JINJA_PRINTABLE, code);
    if (strcmp(which, "ascii") == 0)
        return code < 0x80;
    return jinja_is_space(code);
}

bool jinja_text_is(struct jinja *jinja, const struct jinja_string *string, const char *which)
{
    const char *at = string->bytes, *end = at + string->size;

    if (strcmp(which, "lower") == 0)
        return case_only(jinja, string, JINJA_LOWER);
    if (strcmp(which, "upper") == 0)
        return case_only(jinja, string, JINJA_UPPER);
    if (strcmp(which, "title") == 0)
        return case_title(jinja, string);
    if (string->size == 0)
        return strcmp(which, "ascii") == 0 || strcmp(which, "printable") == 0;
    while (at < end && jinja_charge(jinja, 1))
        if (!case_in_class(which, jinja_utf8_next(&at)))
            return false;
    return true;
}
