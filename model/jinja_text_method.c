/* Methods of str: searching, splitting, stripping, joining, padding. */
#include "model/jinja_text_method.h"
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_format.h"
#include "model/jinja_unicode.h"

#include <stdint.h>
#include <string.h>

static struct jinja_value method_finish(struct jinja_builder *builder,
                                        const struct jinja_string *like)
{
    struct jinja_value text = jinja_builder_string(builder);

    return builder->jinja->rc < 0 ? text : jinja_markup(builder->jinja, text.string, like->markup);
}

static bool method_in_set(uint32_t code, const struct jinja_string *set)
{
    if (!set)
        return jinja_is_space(code);
    for (const char *at = set->bytes; at < set->bytes + set->size;)
        if (jinja_utf8_next(&at) == code)
            return true;
    return false;
}

struct jinja_value jinja_strip(struct jinja *jinja, const struct jinja_string *string,
                               const struct jinja_string *chars, unsigned sides)
{
    const char *from = string->bytes, *to = from + string->size;
    size_t cost = 1 + (chars ? chars->size / 16 : 0);

    while ((sides & JINJA_LEFT) && from < to && jinja_charge(jinja, cost)) {
        const char *next = from;

        if (!method_in_set(jinja_utf8_next(&next), chars))
            break;
        from = next;
    }
    while ((sides & JINJA_RIGHT) && to > from && jinja_charge(jinja, cost)) {
        const char *before = jinja_utf8_before(to), *next = before;

        if (!method_in_set(jinja_utf8_next(&next), chars))
            break;
        to = before;
    }
    return jinja_substring(jinja, string, (size_t)(from - string->bytes),
                           (size_t)(to - string->bytes));
}

static struct jinja_value method_strip(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg, unsigned sides)
{
    bool given = arg[0].type != JINJA_MISSING && arg[0].type != JINJA_NONE;
    const struct jinja_string *chars = given ? jinja_arg_string(jinja, arg[0], "strip()") : NULL;

    return jinja->rc < 0 ? jinja_missing() : jinja_strip(jinja, self.string, chars, sides);
}

static struct jinja_value method_strip_both(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    return method_strip(jinja, self, arg, JINJA_LEFT | JINJA_RIGHT);
}

static struct jinja_value method_lstrip(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    return method_strip(jinja, self, arg, JINJA_LEFT);
}

static struct jinja_value method_rstrip(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    return method_strip(jinja, self, arg, JINJA_RIGHT);
}

static void method_add_part(struct jinja *jinja, struct jinja_list *parts,
                            const struct jinja_string *string, size_t from, size_t to)
{
    jinja_list_add(jinja, parts, jinja_substring(jinja, string, from, to));
}

/* First byte from `at` on whose being white space is `space`. */
static size_t method_scan(struct jinja *jinja, const struct jinja_string *string, size_t at,
                          bool space)
{
    const char *next = string->bytes + at, *end = string->bytes + string->size;

    while (next < end && jinja_charge(jinja, 1)) {
        const char *from = next;

        if (jinja_is_space(jinja_utf8_next(&next)) == space)
            return (size_t)(from - string->bytes);
    }
    return string->size;
}

static void method_split_space(struct jinja *jinja, struct jinja_list *parts,
                               const struct jinja_string *string, int64_t most)
{
    size_t at = method_scan(jinja, string, 0, false);

    while (at < string->size && jinja_charge(jinja, 1)) {
        size_t end = method_scan(jinja, string, at, true);

        if (most-- == 0) { /* the rest, without the space behind it */
            struct jinja_value rest = jinja_strip(jinja, string, NULL, JINJA_RIGHT);

            if (jinja->rc == 0)
                method_add_part(jinja, parts, string, at, rest.string->size);
            return;
        }
        method_add_part(jinja, parts, string, at, end);
        at = method_scan(jinja, string, end, false);
    }
}

static struct jinja_value method_split(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    struct jinja_list *parts = jinja_list_new(jinja, 4);
    int64_t most = jinja_arg_int(jinja, arg[1], -1, "split()");
    size_t at = 0, found;

    if (arg[0].type == JINJA_MISSING || arg[0].type == JINJA_NONE) {
        if (jinja->rc == 0)
            method_split_space(jinja, parts, self.string, most);
        return jinja_of_list(JINJA_LIST, parts);
    }
    const struct jinja_string *separator = jinja_arg_string(jinja, arg[0], "split()");

    if (jinja->rc == 0 && separator->size == 0)
        return jinja_raise(jinja, "split(): empty separator");
    while (jinja->rc == 0 && most-- != 0 &&
           (found = jinja_string_find(jinja, self.string, separator, at)) != SIZE_MAX) {
        method_add_part(jinja, parts, self.string, at, found);
        at = found + separator->size;
    }
    if (jinja->rc == 0)
        method_add_part(jinja, parts, self.string, at, self.string->size);
    return jinja_of_list(JINJA_LIST, parts);
}

static struct jinja_value method_reversed(struct jinja_list *parts)
{
    for (size_t i = 0; parts && i < parts->count / 2; i++) {
        struct jinja_value other = parts->items[i];

        parts->items[i] = parts->items[parts->count - 1 - i];
        parts->items[parts->count - 1 - i] = other;
    }
    return jinja_of_list(JINJA_LIST, parts);
}

static void method_rsplit_space(struct jinja *jinja, struct jinja_list *parts,
                                const struct jinja_string *string, int64_t most)
{
    while (jinja_charge(jinja, 1)) {
        struct jinja_value left = jinja_strip(jinja, string, NULL, JINJA_RIGHT);

        if (jinja->rc < 0 || left.string->size == 0)
            return;
        const char *at = left.string->bytes + left.string->size;

        if (most-- == 0) {
            jinja_list_add(jinja, parts, left);
            return;
        }
        while (at > left.string->bytes && jinja_charge(jinja, 1)) {
            const char *before = jinja_utf8_before(at), *next = before;

            if (jinja_is_space(jinja_utf8_next(&next)))
                break;
            at = before;
        }
        size_t from = (size_t)(at - left.string->bytes);

        method_add_part(jinja, parts, left.string, from, left.string->size);
        struct jinja_value rest = jinja_substring(jinja, left.string, 0, from);

        if (jinja->rc < 0)
            return;
        string = rest.string;
    }
}

static struct jinja_value method_rsplit(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    struct jinja_list *parts = jinja_list_new(jinja, 4);
    int64_t most = jinja_arg_int(jinja, arg[1], -1, "rsplit()");
    size_t end = self.string->size, found;

    if (arg[0].type == JINJA_MISSING || arg[0].type == JINJA_NONE) {
        if (jinja->rc == 0)
            method_rsplit_space(jinja, parts, self.string, most);
        return method_reversed(parts);
    }
    const struct jinja_string *separator = jinja_arg_string(jinja, arg[0], "rsplit()");

    if (jinja->rc == 0 && separator->size == 0)
        return jinja_raise(jinja, "rsplit(): empty separator");
    while (jinja->rc == 0 && most-- != 0 &&
           (found = jinja_string_rfind(jinja, self.string, separator, end)) != SIZE_MAX) {
        method_add_part(jinja, parts, self.string, found + separator->size, end);
        end = found;
    }
    if (jinja->rc == 0)
        method_add_part(jinja, parts, self.string, 0, end);
    return method_reversed(parts);
}

struct jinja_list *jinja_splitlines(struct jinja *jinja, const struct jinja_string *string,
                                    bool keep_ends)
{
    struct jinja_list *lines = jinja_list_new(jinja, 4);
    const char *at = string->bytes, *end = at + string->size, *line = at;

    while (at < end && lines && jinja_charge(jinja, 1)) {
        const char *from = at;
        uint32_t code = jinja_utf8_next(&at);

        if (!jinja_is_line_end(code))
            continue;
        if (code == '\r' && at < end && *at == '\n')
            at++;
        method_add_part(jinja, lines, string, (size_t)(line - string->bytes),
                        (size_t)((keep_ends ? at : from) - string->bytes));
        line = at;
    }
    if (line < end)
        method_add_part(jinja, lines, string, (size_t)(line - string->bytes), string->size);
    return lines;
}

static struct jinja_value method_splitlines(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    return jinja_of_list(JINJA_LIST, jinja_splitlines(jinja, self.string, jinja_truth(arg[0])));
}

static struct jinja_value method_partition_at(struct jinja *jinja, struct jinja_value self,
                                              const struct jinja_value *arg, bool last)
{
    const struct jinja_string *separator = jinja_arg_string(jinja, arg[0], "partition()");
    const struct jinja_string *string = self.string;
    struct jinja_list *parts = jinja_list_new(jinja, 3);

    if (jinja->rc == 0 && separator->size == 0)
        return jinja_raise(jinja, "partition(): empty separator");
    if (jinja->rc < 0)
        return jinja_missing();
    size_t found = last ? jinja_string_rfind(jinja, string, separator, string->size)
                        : jinja_string_find(jinja, string, separator, 0);
    size_t end = found == SIZE_MAX ? (last ? 0 : string->size) : found;
    size_t behind = found == SIZE_MAX ? end : found + separator->size;

    method_add_part(jinja, parts, string, 0, end);
    method_add_part(jinja, parts, string, end, behind);
    method_add_part(jinja, parts, string, behind, string->size);
    return jinja_of_list(JINJA_TUPLE, parts);
}

static struct jinja_value method_partition(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    return method_partition_at(jinja, self, arg, false);
}

static struct jinja_value method_rpartition(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    return method_partition_at(jinja, self, arg, true);
}

/* The bytes that arguments start and end (characters, as in a slice) leave; false when start lies
 * behind the string or behind end. */
static bool method_window(struct jinja *jinja, const struct jinja_string *string,
                          const struct jinja_value *bounds, size_t *ret_from, size_t *ret_to)
{
    int64_t n = (int64_t)string->chars, at[2] = {0, n};

    for (int i = 0; i < 2; i++) {
        if (bounds[i].type == JINJA_MISSING || bounds[i].type == JINJA_NONE)
            continue;
        at[i] = jinja_arg_int(jinja, bounds[i], 0, "slice index");
        if (at[i] < 0)
            at[i] = at[i] + n < 0 ? 0 : at[i] + n;
    }
    if (at[1] > n)
        at[1] = n;
    if (jinja->rc < 0 || at[0] > at[1])
        return false;
    jinja_charge(jinja, string->chars == string->size ? 0 : string->size / 64);
    *ret_from = jinja_char_offset(string, (size_t)at[0]);
    *ret_to = jinja_char_offset(string, (size_t)at[1]);
    return true;
}

static struct jinja_value method_search(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg, bool last, bool must)
{
    const struct jinja_string *needle = jinja_arg_string(jinja, arg[0], "find()");
    size_t from, to, found = SIZE_MAX;

    if (method_window(jinja, self.string, arg + 1, &from, &to)) {
        found = last ? jinja_string_rfind(jinja, self.string, needle, to)
                     : jinja_string_find(jinja, self.string, needle, from);
        if (found != SIZE_MAX && (found < from || found + needle->size > to))
            found = SIZE_MAX;
    }
    if (jinja->rc < 0)
        return jinja_missing();
    if (found == SIZE_MAX)
        return must ? jinja_raise(jinja, "substring not found") : jinja_int(-1);
    jinja_charge(jinja, found / 64);
    return jinja_int((int64_t)jinja_utf8_count(self.string->bytes, found));
}

static struct jinja_value method_find(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    return method_search(jinja, self, arg, false, false);
}

static struct jinja_value method_rfind(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return method_search(jinja, self, arg, true, false);
}

static struct jinja_value method_index(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return method_search(jinja, self, arg, false, true);
}

static struct jinja_value method_rindex(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    return method_search(jinja, self, arg, true, true);
}

static struct jinja_value method_count(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    const struct jinja_string *needle = jinja_arg_string(jinja, arg[0], "count()");
    size_t from, to, count = 0;

    if (!method_window(jinja, self.string, arg + 1, &from, &to))
        return jinja->rc < 0 ? jinja_missing() : jinja_int(0);
    if (needle->size == 0 && jinja_charge(jinja, (to - from) / 64))
        return jinja_int((int64_t)jinja_utf8_count(self.string->bytes + from, to - from) + 1);
    while (jinja_charge(jinja, 1)) {
        from = jinja_string_find(jinja, self.string, needle, from);
        if (from == SIZE_MAX || from + needle->size > to)
            break;
        from += needle->size;
        count++;
    }
    return jinja_int((int64_t)count);
}

static bool method_affix(struct jinja *jinja, const struct jinja_string *string,
                         struct jinja_value affix, size_t from, size_t to, bool ends)
{
    const struct jinja_string *part = jinja_arg_string(jinja, affix, "startswith()");

    if (jinja->rc < 0 || part->size > to - from || !jinja_charge(jinja, part->size / 256))
        return false;
    return part->size == 0 ||
           memcmp(string->bytes + (ends ? to - part->size : from), part->bytes, part->size) == 0;
}

static struct jinja_value method_has_affix(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg, bool ends)
{
    bool found = false;
    size_t from, to;

    if (!method_window(jinja, self.string, arg + 1, &from, &to))
        return jinja->rc < 0 ? jinja_missing() : jinja_bool(false);
    if (arg[0].type != JINJA_TUPLE)
        return jinja_bool(method_affix(jinja, self.string, arg[0], from, to, ends));
    for (size_t i = 0; i < arg[0].list->count && !found && jinja_charge(jinja, 1); i++)
        found = method_affix(jinja, self.string, arg[0].list->items[i], from, to, ends);
    return jinja_bool(found);
}

static struct jinja_value method_startswith(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    return method_has_affix(jinja, self, arg, false);
}

static struct jinja_value method_endswith(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    return method_has_affix(jinja, self, arg, true);
}

static struct jinja_value method_removeprefix(struct jinja *jinja, struct jinja_value self,
                                              const struct jinja_value *arg)
{
    size_t size = self.string->size;

    if (!method_affix(jinja, self.string, arg[0], 0, size, false))
        return self;
    return jinja_substring(jinja, self.string, arg[0].string->size, size);
}

static struct jinja_value method_removesuffix(struct jinja *jinja, struct jinja_value self,
                                              const struct jinja_value *arg)
{
    size_t size = self.string->size;

    if (!method_affix(jinja, self.string, arg[0], 0, size, true))
        return self;
    return jinja_substring(jinja, self.string, 0, size - arg[0].string->size);
}

struct jinja_value jinja_replace(struct jinja *jinja, const struct jinja_string *string,
                                 const struct jinja_string *old, const struct jinja_string *with,
                                 int64_t most)
{
    struct jinja_builder builder;
    size_t at = 0, found;

    if (string->markup)
        with = jinja_escape(jinja, with).string;
    jinja_builder_init(&builder, jinja);
    while (jinja->rc == 0 && most-- != 0) {
        if (old->size == 0) { /* between all characters and at both ends */
            const char *next = string->bytes + at;

            jinja_builder_add_string(&builder, with);
            if (at == string->size || !jinja_charge(jinja, 1))
                break;
            jinja_utf8_next(&next);
            found = (size_t)(next - string->bytes);
            jinja_builder_add_part(&builder, string, at, found);
            at = found;
            continue;
        }
        found = jinja_string_find(jinja, string, old, at);
        if (found == SIZE_MAX)
            break;
        jinja_builder_add_part(&builder, string, at, found);
        jinja_builder_add_string(&builder, with);
        at = found + old->size;
        jinja_charge(jinja, 1);
    }
    if (at == 0 && builder.size == 0)
        return jinja_of_string(string);
    jinja_builder_add_part(&builder, string, at, string->size);
    return method_finish(&builder, string);
}

static struct jinja_value method_replace(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    const struct jinja_string *old = jinja_arg_string(jinja, arg[0], "replace()");
    const struct jinja_string *with = jinja_arg_string(jinja, arg[1], "replace()");
    int64_t most = jinja_arg_int(jinja, arg[2], -1, "replace()");

    return jinja->rc < 0 ? jinja_missing() : jinja_replace(jinja, self.string, old, with, most);
}

static struct jinja_value method_join(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    struct jinja_iterator items;
    struct jinja_builder builder;
    struct jinja_value item;
    bool first = true;

    if (!jinja_iterate(jinja, arg[0], &items))
        return jinja_missing();
    jinja_builder_init(&builder, jinja);
    for (; jinja_step(jinja, &items, &item); first = false) {
        if (!first)
            jinja_builder_add_string(&builder, self.string);
        const struct jinja_string *text = jinja_arg_string(jinja, item, "join()");

        if (self.string->markup && jinja->rc == 0)
            text = jinja_escape(jinja, text).string;
        if (jinja->rc == 0)
            jinja_builder_add_string(&builder, text);
    }
    return method_finish(&builder, self.string);
}

struct jinja_value jinja_pad(struct jinja *jinja, const struct jinja_string *string, int64_t width,
                             const struct jinja_string *fill, unsigned sides)
{
    struct jinja_builder builder;
    size_t missing, left = 0;

    if (width <= (int64_t)string->chars)
        return jinja_of_string(string);
    missing = (size_t)width - string->chars;
    if (sides == (JINJA_LEFT | JINJA_RIGHT)) /* CPython's rounding */
        left = missing / 2 + (missing & (size_t)width & 1);
    else if (sides == JINJA_LEFT)
        left = missing;
    jinja_builder_init(&builder, jinja);
    jinja_builder_repeat(&builder, fill, left);
    jinja_builder_add_string(&builder, string);
    jinja_builder_repeat(&builder, fill, missing - left);
    return method_finish(&builder, string);
}

static struct jinja_value method_pad(struct jinja *jinja, struct jinja_value self,
                                     const struct jinja_value *arg, unsigned sides)
{
    static const struct jinja_string space = {.bytes = " ", .size = 1, .chars = 1, .trusted = true};
    int64_t width = jinja_arg_int(jinja, arg[0], 0, "width");
    const struct jinja_string *fill =
        arg[1].type == JINJA_MISSING ? &space : jinja_arg_string(jinja, arg[1], "fill character");

    if (jinja->rc == 0 && fill->chars != 1)
        return jinja_raise(jinja, "the fill character must be exactly one character long");
    return jinja->rc < 0 ? jinja_missing() : jinja_pad(jinja, self.string, width, fill, sides);
}

static struct jinja_value method_center(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    return method_pad(jinja, self, arg, JINJA_LEFT | JINJA_RIGHT);
}

static struct jinja_value method_ljust(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return method_pad(jinja, self, arg, JINJA_RIGHT);
}

static struct jinja_value method_rjust(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return method_pad(jinja, self, arg, JINJA_LEFT);
}

static struct jinja_value method_zfill(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    static const struct jinja_string zero = {.bytes = "0", .size = 1, .chars = 1, .trusted = true};
    const struct jinja_string *string = self.string;
    int64_t width = jinja_arg_int(jinja, arg[0], 0, "zfill()");
    size_t sign = string->size > 0 && (string->bytes[0] == '-' || string->bytes[0] == '+');
    struct jinja_builder builder;

    if (jinja->rc < 0 || width <= (int64_t)string->chars)
        return self;
    jinja_builder_init(&builder, jinja);
    jinja_builder_add_part(&builder, string, 0, sign);
    jinja_builder_repeat(&builder, &zero, (size_t)width - string->chars);
    jinja_builder_add_part(&builder, string, sign, string->size);
    return method_finish(&builder, string);
}

static struct jinja_value method_upper(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return jinja_recase(jinja, self.string, JINJA_UPPERCASE);
}

static struct jinja_value method_lower(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return jinja_recase(jinja, self.string, JINJA_LOWERCASE);
}

static struct jinja_value method_title(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return jinja_recase(jinja, self.string, JINJA_TITLECASE);
}

static struct jinja_value method_capitalize(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    (void)arg;
    return jinja_recase(jinja, self.string, JINJA_CAPITALIZE);
}

static struct jinja_value method_swapcase(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    (void)arg;
    return jinja_recase(jinja, self.string, JINJA_SWAPCASE);
}

static struct jinja_value method_format(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_args *args)
{
    return jinja_brace_format(jinja, self.string, args);
}

#define PREDICATE(which)                                                                     \
    static struct jinja_value method_is##which(struct jinja *jinja, struct jinja_value self, \
                                               const struct jinja_value *arg)                \
    {                                                                                        \
        (void)arg;                                                                           \
        return jinja_bool(jinja_text_is(jinja, self.string, #which));                        \
    }
PREDICATE(alnum)
PREDICATE(alpha)
PREDICATE(ascii)
PREDICATE(decimal)
PREDICATE(digit)
PREDICATE(lower)
PREDICATE(numeric)
PREDICATE(printable)
PREDICATE(space)
PREDICATE(title)
PREDICATE(upper)

#define METHOD(text, function, n, ...)                                                      \
    {                                                                                       \
        .name = text, .call = function, .required = n, .positional_only = true, .params = { \
            __VA_ARGS__                                                                     \
        }                                                                                   \
    }
#define KEYWORD_METHOD(text, function, ...)                       \
    {                                                             \
        .name = text, .call = function, .params = { __VA_ARGS__ } \
    }
#define PLAIN_METHOD(text, function)   \
    {                                  \
        .name = text, .call = function \
    }

const struct jinja_builtin jinja_string_methods[] = {
    PLAIN_METHOD("capitalize", method_capitalize),
    METHOD("center", method_center, 1, "width", "fillchar"),
    METHOD("count", method_count, 1, "sub", "start", "end"),
    METHOD("endswith", method_endswith, 1, "suffix", "start", "end"),
    METHOD("find", method_find, 1, "sub", "start", "end"),
    {.name = "format", .call_any = method_format},
    METHOD("index", method_index, 1, "sub", "start", "end"),
    PLAIN_METHOD("isalnum", method_isalnum),
    PLAIN_METHOD("isalpha", method_isalpha),
    PLAIN_METHOD("isascii", method_isascii),
    PLAIN_METHOD("isdecimal", method_isdecimal),
    PLAIN_METHOD("isdigit", method_isdigit),
    PLAIN_METHOD("islower", method_islower),
    PLAIN_METHOD("isnumeric", method_isnumeric),
    PLAIN_METHOD("isprintable", method_isprintable),
    PLAIN_METHOD("isspace", method_isspace),
    PLAIN_METHOD("istitle", method_istitle),
    PLAIN_METHOD("isupper", method_isupper),
    METHOD("join", method_join, 1, "iterable"),
    METHOD("ljust", method_ljust, 1, "width", "fillchar"),
    PLAIN_METHOD("lower", method_lower),
    METHOD("lstrip", method_lstrip, 0, "chars"),
    METHOD("partition", method_partition, 1, "sep"),
    METHOD("removeprefix", method_removeprefix, 1, "prefix"),
    METHOD("removesuffix", method_removesuffix, 1, "suffix"),
    METHOD("replace", method_replace, 2, "old", "new", "count"),
    METHOD("rfind", method_rfind, 1, "sub", "start", "end"),
    METHOD("rindex", method_rindex, 1, "sub", "start", "end"),
    METHOD("rjust", method_rjust, 1, "width", "fillchar"),
    METHOD("rpartition", method_rpartition, 1, "sep"),
    KEYWORD_METHOD("rsplit", method_rsplit, "sep", "maxsplit"),
    METHOD("rstrip", method_rstrip, 0, "chars"),
    KEYWORD_METHOD("split", method_split, "sep", "maxsplit"),
    KEYWORD_METHOD("splitlines", method_splitlines, "keepends"),
    METHOD("startswith", method_startswith, 1, "prefix", "start", "end"),
    METHOD("strip", method_strip_both, 0, "chars"),
    PLAIN_METHOD("swapcase", method_swapcase),
    PLAIN_METHOD("title", method_title),
    PLAIN_METHOD("upper", method_upper),
    METHOD("zfill", method_zfill, 1, "width"),
};
const size_t jinja_n_string_methods = sizeof jinja_string_methods / sizeof jinja_string_methods[0];
