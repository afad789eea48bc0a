/* Filters on text and numbers, and the table of all filters. */
#include "model/jinja_filter.h"
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_format.h"
#include "model/jinja_json.h"
#include "model/jinja_text_method.h"
#include "model/jinja_unicode.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct jinja_value filter_trim(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    bool given = arg[0].type != JINJA_MISSING && arg[0].type != JINJA_NONE;
    const struct jinja_string *chars = given ? jinja_arg_string(jinja, arg[0], "trim") : NULL;
    const struct jinja_string *text = jinja_str(jinja, self);

    return jinja->rc < 0 ? jinja_missing()
                         : jinja_strip(jinja, text, chars, JINJA_LEFT | JINJA_RIGHT);
}

static struct jinja_value filter_recase(struct jinja *jinja, struct jinja_value self,
                                        enum jinja_casing casing)
{
    const struct jinja_string *text = jinja_str(jinja, self);

    return jinja->rc < 0 ? jinja_missing() : jinja_recase(jinja, text, casing);
}

static struct jinja_value filter_upper(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return filter_recase(jinja, self, JINJA_UPPERCASE);
}

static struct jinja_value filter_lower(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return filter_recase(jinja, self, JINJA_LOWERCASE);
}

static struct jinja_value filter_capitalize(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    (void)arg;
    return filter_recase(jinja, self, JINJA_CAPITALIZE);
}

/* Words are what lies between white space, hyphens and opening brackets. */
static struct jinja_value filter_title(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);
    const char *at = text->bytes, *end = at + text->size;
    struct jinja_builder builder;

    (void)arg;
    jinja_builder_init(&builder, jinja);
    while (at < end && jinja_charge(jinja, 1)) {
        const char *from = at, *word = at;

        while (at < end) {
            const char *next = at;
            uint32_t code = jinja_utf8_next(&next);

            if (jinja_is_space(code) || (code < 0x80 && code && strchr("-({[<", (int)code)))
                break;
            at = next;
        }
        if (at == from) { /* a separator: as it is */
            jinja_utf8_next(&at);
            jinja_builder_add_part(&builder, text, (size_t)(from - text->bytes),
                                   (size_t)(at - text->bytes));
            continue;
        }
        jinja_utf8_next(&word);
        struct jinja_value first = jinja_substring(jinja, text, (size_t)(from - text->bytes),
                                                   (size_t)(word - text->bytes));
        struct jinja_value rest =
            jinja_substring(jinja, text, (size_t)(word - text->bytes), (size_t)(at - text->bytes));

        if (jinja->rc < 0)
            break;
        first = jinja_recase(jinja, first.string, JINJA_UPPERCASE);
        rest = jinja_recase(jinja, rest.string, JINJA_LOWERCASE);
        if (jinja->rc < 0)
            break;
        jinja_builder_add_string(&builder, first.string);
        jinja_builder_add_string(&builder, rest.string);
    }
    return jinja_builder_string(&builder);
}

static struct jinja_value filter_replace(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);
    const struct jinja_string *old = jinja_str(jinja, arg[0]), *with = jinja_str(jinja, arg[1]);
    int64_t most = arg[2].type == JINJA_NONE ? -1 : jinja_arg_int(jinja, arg[2], -1, "replace");
    struct jinja_value plain = jinja_markup(jinja, text, false);

    return jinja->rc < 0 ? jinja_missing() : jinja_replace(jinja, plain.string, old, with, most);
}

static struct jinja_value filter_string(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);

    (void)arg;
    return jinja->rc < 0 ? jinja_missing() : jinja_of_string(text);
}

static struct jinja_value filter_safe(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);

    (void)arg;
    return jinja->rc < 0 ? jinja_missing() : jinja_markup(jinja, text, true);
}

static struct jinja_value filter_escape(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);

    (void)arg;
    return jinja->rc < 0 ? jinja_missing() : jinja_escape(jinja, text);
}

static struct jinja_value filter_center(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    static const struct jinja_string space = {.bytes = " ", .size = 1, .chars = 1, .trusted = true};
    int64_t width = jinja_arg_int(jinja, arg[0], 80, "center");
    const struct jinja_string *text = jinja_str(jinja, self);

    return jinja->rc < 0 ? jinja_missing()
                         : jinja_pad(jinja, text, width, &space, JINJA_LEFT | JINJA_RIGHT);
}

/* Every line but the first (unless asked for) starts with the indentation; empty ones unless blank.
 */
static struct jinja_value filter_indent(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    static const struct jinja_string space = {.bytes = " ", .size = 1, .chars = 1, .trusted = true};
    bool first = jinja_truth(arg[1]), blank = jinja_truth(arg[2]);
    struct jinja_builder builder, indent;
    const struct jinja_string *text = jinja_arg_string(jinja, self, "indent");

    jinja_builder_init(&indent, jinja);
    jinja_builder_init(&builder, jinja);
    if (arg[0].type == JINJA_STRING) {
        jinja_builder_add_string(&indent, arg[0].string);
    } else {
        int64_t width = jinja_arg_int(jinja, arg[0], 4, "indent");

        jinja_builder_repeat(&indent, &space, width > 0 ? (size_t)width : 0);
    }
    /* jinja2 adds a newline before it splits, so a last line's end is kept as an empty line. */
    struct jinja_value newline = jinja_literal(jinja, "\n"), ended = jinja_missing();

    if (jinja->rc == 0)
        ended = jinja_concat(jinja, text, newline.string);
    struct jinja_list *lines = jinja->rc == 0 ? jinja_splitlines(jinja, ended.string, false) : NULL;
    struct jinja_value margin = jinja_builder_string(&indent);

    for (size_t i = 0; lines && i < lines->count && jinja->rc == 0; i++) {
        const struct jinja_string *line = lines->items[i].string;

        if (i > 0)
            jinja_builder_puts(&builder, "\n");
        if (i == 0 ? first : blank || line->size > 0)
            jinja_builder_add_string(&builder, margin.string);
        jinja_builder_add_string(&builder, line);
    }
    struct jinja_value result = jinja_builder_string(&builder);

    return jinja->rc < 0 ? result : jinja_markup(jinja, result.string, text->markup);
}

static struct jinja_value filter_truncate(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    size_t size = 0;
    int64_t length = jinja_arg_int(jinja, arg[0], 255, "truncate");
    int64_t leeway = arg[3].type == JINJA_NONE ? 5 : jinja_arg_int(jinja, arg[3], 5, "truncate");
    struct jinja_value end = arg[2].type == JINJA_MISSING ? jinja_literal(jinja, "...") : arg[2];
    const struct jinja_string *tail = jinja_arg_string(jinja, end, "truncate");

    if (jinja->rc < 0)
        return jinja_missing();
    if (!jinja_length(self, &size))
        return jinja_raise(jinja, "truncate: '%s' has no length", jinja_type_name(self));
    if (length < (int64_t)tail->chars || leeway < 0)
        return jinja_raise(jinja, "truncate: length or leeway is too small");
    if ((int64_t)size - leeway <= length)
        return self;
    const struct jinja_string *text = jinja_arg_string(jinja, self, "truncate");

    if (jinja->rc < 0)
        return jinja_missing();
    struct jinja_value cut =
        jinja_substring(jinja, text, 0, jinja_char_offset(text, (size_t)length - tail->chars));
    struct jinja_value space = jinja_literal(jinja, " ");

    if (jinja->rc < 0)
        return cut;
    size_t at = jinja_truth(arg[1])
                    ? SIZE_MAX
                    : jinja_string_rfind(jinja, cut.string, space.string, cut.string->size);

    if (at != SIZE_MAX)
        cut = jinja_substring(jinja, cut.string, 0, at);
    return jinja->rc < 0 ? cut : jinja_concat(jinja, cut.string, tail);
}

static struct jinja_value filter_wordcount(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    const struct jinja_string *text = jinja_str(jinja, self);
    const char *at = text->bytes, *end = at + text->size;
    bool in_word = false;
    int64_t count = 0;

    (void)arg;
    while (at < end && jinja_charge(jinja, 1)) {
        bool word = jinja_is_word(jinja_utf8_next(&at));

        count += word && !in_word;
        in_word = word;
    }
    return jinja_int(count);
}

/* Percent encoding; in a query also of "/", and with "+" for a space. */
static void filter_quote(struct jinja_builder *builder, struct jinja_value value, bool query)
{
    const struct jinja_string *text = jinja_str(builder->jinja, value);

    for (size_t i = 0; i < text->size && jinja_charge(builder->jinja, 1); i++) {
        unsigned char c = (unsigned char)text->bytes[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
                     (c && strchr(query ? "_.-~" : "_.-~/", c));
        char out[4];

        if (query && c == ' ')
            snprintf(out, sizeof out, "+");
        else
            snprintf(out, sizeof out, plain ? "%c" : "%%%02X", c);
        jinja_builder_add(builder, out, strlen(out), jinja_trusted_at(text, i));
    }
}

static struct jinja_value filter_urlencode(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    struct jinja_view view = {.dict = self.dict, .kind = JINJA_ITEMS};
    struct jinja_builder builder;
    struct jinja_iterator items;
    struct jinja_value item;

    (void)arg;
    jinja_builder_init(&builder, jinja);
    if (self.type == JINJA_STRING || !jinja_iterable(self)) {
        filter_quote(&builder, self, false);
        return jinja_builder_string(&builder);
    }
    if (self.type == JINJA_DICT)
        self = (struct jinja_value){.type = JINJA_VIEW, .view = &view};
    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    for (bool first = true; jinja_step(jinja, &items, &item); first = false) {
        const struct jinja_list *pair = jinja_to_list(jinja, item);

        if (!pair || pair->count != 2)
            return jinja_raise(jinja, "urlencode: pairs are required");
        jinja_builder_puts(&builder, first ? "" : "&");
        filter_quote(&builder, pair->items[0], true);
        jinja_builder_puts(&builder, "=");
        filter_quote(&builder, pair->items[1], true);
    }
    return jinja_builder_string(&builder);
}

static struct jinja_value filter_format(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_args *args)
{
    const struct jinja_string *text = jinja_str(jinja, self);
    struct jinja_list *items = jinja_list_new(jinja, args->count);
    struct jinja_dict *named = jinja_dict_new(jinja, args->n_keywords);

    if (args->count > 0 && args->n_keywords > 0)
        return jinja_raise(jinja, "format: positional and keyword arguments at the same time");
    for (size_t i = 0; i < args->count && items; i++)
        jinja_list_add(jinja, items, args->items[i]);
    for (size_t i = 0; i < args->n_keywords && named; i++)
        jinja_dict_set(jinja, named, jinja_of_string(args->keywords[i].name),
                       args->keywords[i].value);
    if (jinja->rc < 0)
        return jinja_missing();
    return jinja_percent_format(jinja, text,
                                args->n_keywords > 0 ? jinja_of_dict(named)
                                                     : jinja_of_list(JINJA_TUPLE, items));
}

static struct jinja_value filter_default(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    if (self.type != JINJA_UNDEFINED && !(jinja_truth(arg[1]) && !jinja_truth(self)))
        return self;
    return arg[0].type == JINJA_MISSING ? jinja_literal(jinja, "") : arg[0];
}

/* int(text, base) and float(text): digits with single underscores, white space around. */
static bool filter_number_text(struct jinja *jinja, const struct jinja_string *text, char *out,
                               size_t room)
{
    struct jinja_value bare = jinja_strip(jinja, text, NULL, JINJA_LEFT | JINJA_RIGHT);
    size_t n = 0;

    if (jinja->rc < 0 || bare.string->size == 0 || bare.string->size >= room)
        return false;
    for (size_t i = 0; i < bare.string->size; i++) {
        char c = bare.string->bytes[i];
        bool digit_before = i > 0 && bare.string->bytes[i - 1] >= '0';

        if (c == '_' && digit_before && i + 1 < bare.string->size &&
            bare.string->bytes[i + 1] >= '0' && bare.string->bytes[i + 1] != '_')
            continue;
        if (c == '_' || (unsigned char)c <= ' ' || (unsigned char)c >= 0x7f)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool filter_parse_int(struct jinja *jinja, const char *text, int64_t base,
                             int64_t *ret_number)
{
    const char *digits = text + (*text == '-' || *text == '+');
    char mark = digits[0] == '0' ? (char)(digits[1] | 32) : '\0';
    char *end;

    if (*digits == '-' || *digits == '+')
        return false;
    if (base == 0 && mark != 'x' && mark != 'o' && mark != 'b')
        base = strspn(digits, "0") == strlen(digits) || *digits != '0' ? 10 : 1;
    if ((mark == 'o' && (base == 8 || base == 0)) || (mark == 'b' && (base == 2 || base == 0))) {
        if (digits[2] == '-' || digits[2] == '+')
            return false;
        errno = 0;
        *ret_number = strtoll(digits + 2, &end, mark == 'o' ? 8 : 2);
        if (*text == '-')
            *ret_number = -*ret_number;
        return end > digits + 2 && *end == '\0' && errno == 0;
    }
    if (base < 0 || base == 1 || base > 36)
        return false;
    errno = 0;
    *ret_number = strtoll(text, &end, (int)base);
    if (errno == ERANGE)
        jinja_raise(jinja, "an integer does not fit in 64 bits");
    return end > text && *end == '\0' &&
           (base == 16 || base == 0 || !strpbrk(text, "xX") || base > 33);
}

static bool filter_parse_float(const char *text, double *ret_number)
{
    char *end;

    if (strpbrk(text, "xX(")) /* C reads hexadecimal floats and nan(...), Python does not */
        return false;
    *ret_number = strtod(text, &end);
    return end > text && *end == '\0';
}

static struct jinja_value filter_int(struct jinja *jinja, struct jinja_value self,
                                     const struct jinja_value *arg)
{
    struct jinja_value usual = arg[0].type == JINJA_MISSING ? jinja_int(0) : arg[0];
    int64_t base = jinja_arg_int(jinja, arg[1], 10, "int"), number;
    double real = NAN;
    char text[400];

    if (self.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, self);
    if (jinja_is_int(self))
        return jinja_int(jinja_as_int(self));
    if (self.type == JINJA_FLOAT) {
        real = self.real;
    } else if (self.type == JINJA_STRING &&
               filter_number_text(jinja, self.string, text, sizeof text)) {
        if (filter_parse_int(jinja, text, base, &number))
            return jinja_int(number);
        if (!filter_parse_float(text, &real))
            return usual;
    }
    if (isinf(real) && self.type == JINJA_FLOAT)
        return jinja_raise(jinja, "cannot convert float infinity to integer");
    if (!isfinite(real))
        return usual;
    if (!(fabs(real) < 0x1p63))
        return jinja_raise(jinja, "an integer does not fit in 64 bits");
    return jinja_int((int64_t)real);
}

static struct jinja_value filter_float(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    char text[400];
    double real;

    if (self.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, self);
    if (jinja_is_number(self))
        return jinja_float(jinja_as_float(self));
    if (self.type == JINJA_STRING && filter_number_text(jinja, self.string, text, sizeof text) &&
        filter_parse_float(text, &real))
        return jinja_float(real);
    return arg[0].type == JINJA_MISSING ? jinja_float(0) : arg[0];
}

static struct jinja_value filter_abs(struct jinja *jinja, struct jinja_value self,
                                     const struct jinja_value *arg)
{
    (void)arg;
    if (self.type == JINJA_FLOAT)
        return jinja_float(fabs(self.real));
    if (!jinja_is_int(self))
        return self.type == JINJA_UNDEFINED
                   ? jinja_raise(jinja, "bad operand type for abs(): 'Undefined'")
                   : jinja_raise(jinja, "bad operand type for abs(): '%s'", jinja_type_name(self));
    int64_t value = jinja_as_int(self);

    if (value == INT64_MIN)
        return jinja_raise(jinja, "an integer does not fit in 64 bits");
    return jinja_int(value < 0 ? -value : value);
}

/* round(): to the nearest, ties to even, of the exact decimal value, as C's printf rounds. */
static double filter_round_digits(double value, int64_t precision)
{
    char text[800];

    if (precision > 340 || !isfinite(value))
        return value;
    if (precision >= 0) {
        snprintf(text, sizeof text, "%.*f", (int)precision, value);
        return strtod(text, NULL);
    }
    if (precision < -310)
        return copysign(0.0, value);
    double scale = pow(10.0, (double)-precision);

    return nearbyint(value / scale) * scale;
}

static struct jinja_value filter_round(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    int64_t precision = jinja_arg_int(jinja, arg[0], 0, "round");
    struct jinja_value common = jinja_literal(jinja, "common");
    struct jinja_value given = arg[1].type == JINJA_MISSING ? common : arg[1];
    const struct jinja_string *method = jinja_arg_string(jinja, given, "round");

    if (self.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, self);
    if (!jinja_is_number(self))
        return jinja_raise(jinja, "round: a number is required, not '%s'", jinja_type_name(self));
    if (jinja_string_is(method, "common")) {
        if (self.type == JINJA_FLOAT)
            return jinja_float(filter_round_digits(self.real, precision));
        if (precision >= 0)
            return jinja_int(jinja_as_int(self));
        double tens = pow(10.0, precision < -18 ? 19.0 : (double)-precision);

        return jinja_int((int64_t)(nearbyint((double)jinja_as_int(self) / tens) * tens));
    }
    bool up = jinja_string_is(method, "ceil");

    if (!up && !jinja_string_is(method, "floor"))
        return jinja_raise(jinja, "round: method must be common, ceil or floor");
    double scale = pow(10.0, (double)precision), value = jinja_as_float(self) * scale;

    if (!isfinite(value))
        return jinja_raise(jinja, "round: cannot convert to an integer");
    return jinja_float(((up ? ceil(value) : floor(value)) + 0.0) / scale); /* no -0.0 */
}

static struct jinja_value filter_filesizeformat(struct jinja *jinja, struct jinja_value self,
                                                const struct jinja_value *arg)
{
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    bool twos = jinja_truth(arg[0]);
    double base = twos ? 1024 : 1000, unit = base;
    struct jinja_value number = filter_float(jinja, self, (struct jinja_value[]){jinja_none()});
    char text[400];
    int i = 0;

    if (jinja->rc < 0 || number.type != JINJA_FLOAT)
        return jinja_raise(jinja, "filesizeformat: a number is required");
    double bytes = number.real;

    if (bytes == 1)
        return jinja_literal(jinja, "1 Byte");
    if (bytes < base) {
        snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes));
    } else {
        while (i < 7 && bytes >= unit * base) {
            unit *= base;
            i++;
        }
        snprintf(text, sizeof text, "%.1f %s", bytes / unit, twos ? binary[i] : decimal[i]);
    }
    return jinja_text(jinja, text, strlen(text), true);
}

#define FILTER(text, function, n, ...)                                           \
    {                                                                            \
        .name = text, .call = function, .required = n, .params = { __VA_ARGS__ } \
    }
#define PLAIN_FILTER(text, function)   \
    {                                  \
        .name = text, .call = function \
    }

const struct jinja_builtin *jinja_find_filter(const struct jinja_string *name)
{
    static const struct jinja_builtin filters[] = {
        FILTER("trim", filter_trim, 0, "chars"),
        PLAIN_FILTER("upper", filter_upper),
        PLAIN_FILTER("lower", filter_lower),
        PLAIN_FILTER("capitalize", filter_capitalize),
        PLAIN_FILTER("title", filter_title),
        FILTER("replace", filter_replace, 2, "old", "new", "count"),
        PLAIN_FILTER("string", filter_string),
        PLAIN_FILTER("safe", filter_safe),
        PLAIN_FILTER("e", filter_escape),
        PLAIN_FILTER("escape", filter_escape),
        PLAIN_FILTER("forceescape", filter_escape),
        FILTER("center", filter_center, 0, "width"),
        FILTER("indent", filter_indent, 0, "width", "first", "blank"),
        FILTER("truncate", filter_truncate, 0, "length", "killwords", "end", "leeway"),
        PLAIN_FILTER("wordcount", filter_wordcount),
        PLAIN_FILTER("urlencode", filter_urlencode),
        {.name = "format", .call_any = filter_format},
        FILTER("default", filter_default, 0, "default_value", "boolean"),
        FILTER("d", filter_default, 0, "default_value", "boolean"),
        FILTER("int", filter_int, 0, "default", "base"),
        FILTER("float", filter_float, 0, "default"),
        PLAIN_FILTER("abs", filter_abs),
        FILTER("round", filter_round, 0, "precision", "method"),
        FILTER("filesizeformat", filter_filesizeformat, 0, "binary"),
    };

    if (jinja_string_is(name, jinja_filter_tojson.name))
        return &jinja_filter_tojson;
    const struct jinja_builtin *found =
        jinja_find_in(filters, sizeof filters / sizeof filters[0], name);

    return found ? found : jinja_find_in(jinja_sequence_filters, jinja_n_sequence_filters, name);
}
