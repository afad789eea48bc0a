/*
 * Both kinds of formatting end in one description of a field (format_spec) and one writer. Fields
 * of a user's string stay the user's text; padding and numbers are ours.
 */
#include "model/jinja_format.h"
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_string.h"
#include "model/jinja_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH_MAX 100000   /* characters a field is padded to at most */
#define PRECISION_MAX 1000 /* digits behind the point at most */

struct format_spec {
    char fill[4];
    size_t fill_size;
    char align; /* < > ^ =, or 0 for the type's own */
    char sign;  /* + or space, or 0 */
    bool alternate, group;
    bool zero; /* a 0 before the width, without an alignment: numbers pad behind the sign */
    int64_t width, precision; /* precision -1: none given */
    char type;                /* 0: none given */
};

static void format_pad(struct jinja_builder *builder, const struct format_spec *spec, size_t count)
{
    struct jinja_string fill;

    jinja_string_init(&fill, spec->fill, spec->fill_size);
    jinja_builder_repeat(builder, &fill, count);
}

/* text padded to the width; prefix: how many bytes of it (sign, 0x) stay left of "=" padding. */
static void format_place(struct jinja_builder *builder, const struct format_spec *spec,
                         const struct jinja_string *text, size_t prefix, char usual)
{
    char align = spec->align ? spec->align : usual;
    size_t missing = spec->width > (int64_t)text->chars ? (size_t)spec->width - text->chars : 0;
    size_t left = align == '>' || align == '=' ? missing : align == '^' ? missing / 2 : 0;
    size_t head = align == '=' ? prefix : 0;

    jinja_builder_add_part(builder, text, 0, head);
    format_pad(builder, spec, left);
    jinja_builder_add_part(builder, text, head, text->size);
    format_pad(builder, spec, missing - left);
}

/* digits with a comma every three, from the right of the integer part. */
static void format_group(char *digits, size_t room)
{
    size_t whole = strspn(digits, "0123456789"), size = strlen(digits);

    for (size_t at = whole; at > 3 && size + 1 < room;) {
        at -= 3;
        memmove(digits + at + 1, digits + at, size - at + 1);
        digits[at] = ',';
        size++;
    }
}

static void format_number(struct jinja_builder *builder, const struct format_spec *spec,
                          bool negative, const char *prefix, char *digits, size_t room)
{
    char text[PRECISION_MAX + 512];
    struct jinja_string string;

    if (spec->group)
        format_group(digits, room);
    const char *sign = negative ? "-" : spec->sign == '+' ? "+" : spec->sign == ' ' ? " " : "";

    snprintf(text, sizeof text, "%s%s%s", sign, prefix, digits);
    jinja_string_init(&string, text, strlen(text));
    format_place(builder, spec, &string, strlen(sign) + strlen(prefix), spec->zero ? '=' : '>');
}

static void format_int(struct jinja_builder *builder, const struct format_spec *spec, int64_t value)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    const char *prefix = "";
    char digits[160];

    switch (spec->type) {
    case 'x':
        snprintf(digits, sizeof digits, "%" PRIx64, size);
        prefix = "0x";
        break;
    case 'X':
        snprintf(digits, sizeof digits, "%" PRIX64, size);
        prefix = "0X";
        break;
    case 'o':
        snprintf(digits, sizeof digits, "%" PRIo64, size);
        prefix = "0o";
        break;
    case 'b': {
        size_t n = size ? 64 - (size_t)__builtin_clzll(size) : 1;

        for (size_t i = 0; i < n; i++)
            digits[i] = size >> (n - 1 - i) & 1 ? '1' : '0';
        digits[n] = '\0';
        prefix = "0b";
        break;
    }
    default: snprintf(digits, sizeof digits, "%" PRIu64, size); break;
    }
    format_number(builder, spec, value < 0, spec->alternate ? prefix : "", digits, sizeof digits);
}

/* C prints these as Python does. */
static void format_digits(char *out, size_t size, const struct format_spec *spec, char type,
                          int precision, double value)
{
    bool point = spec->alternate;

    switch (type) {
    case 'e': snprintf(out, size, point ? "%#.*e" : "%.*e", precision, value); break;
    case 'E': snprintf(out, size, point ? "%#.*E" : "%.*E", precision, value); break;
    case 'f': snprintf(out, size, point ? "%#.*f" : "%.*f", precision, value); break;
    case 'F': snprintf(out, size, point ? "%#.*F" : "%.*F", precision, value); break;
    case 'G': snprintf(out, size, point ? "%#.*G" : "%.*G", precision, value); break;
    case '%': snprintf(out, size, "%.*f%%", precision, value * 100); break;
    default: snprintf(out, size, point ? "%#.*g" : "%.*g", precision, value); break;
    }
}

static void format_float(struct jinja_builder *builder, const struct format_spec *spec,
                         double value)
{
    char digits[PRECISION_MAX + 400];
    int precision = spec->precision < 0 ? 6 : (int)spec->precision;
    bool negative = signbit(value) && !isnan(value);

    value = fabs(value);
    if (!spec->type && spec->precision < 0)
        jinja_float_repr(digits, value);
    else
        format_digits(digits, sizeof digits, spec, spec->type ? spec->type : 'g', precision, value);
    if (!spec->type && !strpbrk(digits, ".en")) { /* a float without a type shows a point */
        size_t size = strlen(digits);

        snprintf(digits + size, sizeof digits - size, ".0");
    }
    format_number(builder, spec, negative, "", digits, sizeof digits);
}

static void format_text(struct jinja_builder *builder, const struct format_spec *spec,
                        const struct jinja_string *text, char usual)
{
    struct jinja *jinja = builder->jinja;

    if (spec->precision >= 0 && (uint64_t)spec->precision < text->chars) {
        struct jinja_value cut =
            jinja_substring(jinja, text, 0, jinja_char_offset(text, (size_t)spec->precision));

        if (jinja->rc < 0)
            return;
        text = cut.string;
    }
    format_place(builder, spec, text, 0, usual);
}

/* Reads a number of at most 9 digits. */
static const char *format_read_number(const char *at, const char *end, int64_t *ret_number)
{
    int64_t number = 0;

    for (int digits = 0; at < end && *at >= '0' && *at <= '9' && digits < 9; digits++)
        number = number * 10 + (*at++ - '0');
    *ret_number = number;
    return at;
}

static bool format_check(struct jinja *jinja, const struct format_spec *spec)
{
    if (spec->width <= WIDTH_MAX && spec->precision <= PRECISION_MAX)
        return true;
    jinja_raise(jinja, "a format asks for more than %d characters", WIDTH_MAX);
    return false;
}

/* "[[fill]align][sign][#][0][width][,][.precision][type]" */
static bool format_parse_spec(struct jinja *jinja, const struct jinja_string *text,
                              struct format_spec *spec)
{
    const char *at = text->bytes, *end = at + text->size, *second = at;
    bool filled = false;

    *spec = (struct format_spec){.fill = " ", .fill_size = 1, .precision = -1};
    if (at < end)
        jinja_utf8_next(&second);
    if (second < end && strchr("<>^=", *second) && *second) {
        spec->fill_size = (size_t)(second - at);
        memcpy(spec->fill, at, spec->fill_size);
        spec->align = *second;
        at = second + 1;
        filled = true;
    } else if (at < end && *at && strchr("<>^=", *at)) {
        spec->align = *at++;
    }
    if (at < end && (*at == '+' || *at == '-' || *at == ' '))
        spec->sign = *at++;
    if (at < end && *at == '#') {
        spec->alternate = true;
        at++;
    }
    if (at < end && *at == '0') {
        spec->zero = !spec->align;
        if (!filled) {
            spec->fill[0] = '0';
            spec->fill_size = 1;
        }
        at++;
    }
    at = format_read_number(at, end, &spec->width);
    if (at < end && *at == ',') {
        spec->group = true;
        at++;
    }
    if (at < end && *at == '.') {
        const char *digits = at + 1;

        at = format_read_number(digits, end, &spec->precision);
        if (at == digits) {
            jinja_raise(jinja, "format specifier missing precision");
            return false;
        }
    }
    if (at < end)
        spec->type = *at++;
    if (at < end)
        jinja_raise(jinja, "invalid format specifier");
    return jinja->rc == 0 && format_check(jinja, spec);
}

static void format_value(struct jinja_builder *builder, struct jinja_value value,
                         const struct jinja_string *text)
{
    struct jinja *jinja = builder->jinja;
    struct format_spec spec;

    if (text->size == 0) {
        jinja_write_str(builder, value);
        return;
    }
    if (!format_parse_spec(jinja, text, &spec))
        return;
    bool floats = spec.type && strchr("eEfFgGn%", spec.type);
    bool ints = !spec.type || strchr("bdoxXn", spec.type);

    if (value.type == JINJA_STRING && (!spec.type || spec.type == 's') && spec.align != '=' &&
        !spec.sign && !spec.group && !spec.alternate)
        format_text(builder, &spec, value.string, '<');
    else if (jinja_is_int(value) && ints && spec.precision < 0)
        format_int(builder, &spec, jinja_as_int(value));
    else if (jinja_is_number(value) && (floats || (value.type == JINJA_FLOAT && !spec.type)))
        format_float(builder, &spec, jinja_as_float(value));
    else
        jinja_raise(jinja, "unsupported format specifier for an object of type '%s'",
                    jinja_type_name(value));
}

/* One conversion of "%": flags, width and precision as in C. */
struct percent {
    struct jinja *jinja;
    struct jinja_builder builder;
    const char *at, *end;
    struct jinja_value values;
    size_t used; /* of values, when they are a tuple */
    bool markup;
};

static struct jinja_value percent_next(struct percent *percent)
{
    if (percent->values.type == JINJA_TUPLE) {
        if (percent->used < percent->values.list->count)
            return percent->values.list->items[percent->used++];
    } else if (percent->used++ == 0) {
        return percent->values;
    }
    return jinja_raise(percent->jinja, "not enough arguments for format string");
}

/* "(name)" behind the percent sign: the dict's value of that name. */
static struct jinja_value percent_named(struct percent *percent)
{
    const char *name = ++percent->at;
    int open = 1;

    while (percent->at < percent->end) {
        open += *percent->at == '(' ? 1 : *percent->at == ')' ? -1 : 0;
        if (open == 0)
            break;
        percent->at++;
    }
    if (percent->at == percent->end)
        return jinja_raise(percent->jinja, "incomplete format key");
    if (percent->values.type != JINJA_DICT)
        return jinja_raise(percent->jinja, "format requires a mapping");
    struct jinja_string key;

    jinja_string_init(&key, name, (size_t)(percent->at++ - name));
    const struct jinja_value *value =
        jinja_dict_get_text(percent->jinja, percent->values.dict, &key);

    return value ? *value : jinja_raise(percent->jinja, "the format names a key that is not there");
}

static int64_t percent_number(struct percent *percent)
{
    int64_t number = 0;

    if (percent->at < percent->end && *percent->at == '*') {
        percent->at++;
        return jinja_arg_int(percent->jinja, percent_next(percent), 0, "* in a format");
    }
    percent->at = format_read_number(percent->at, percent->end, &number);
    return number;
}

static void percent_flags(struct percent *percent, struct format_spec *spec)
{
    bool zero = false, left = false;

    for (; percent->at < percent->end; percent->at++) {
        if (*percent->at == '-')
            left = true;
        else if (*percent->at == '+' || (*percent->at == ' ' && spec->sign != '+'))
            spec->sign = *percent->at;
        else if (*percent->at == '0')
            zero = true;
        else if (*percent->at == '#')
            spec->alternate = true;
        else if (*percent->at != ' ')
            break;
    }
    spec->align = left ? '<' : zero ? '=' : '>';
    spec->fill[0] = zero && !left ? '0' : ' ';
    spec->width = percent_number(percent);
    if (spec->width < 0) {
        spec->width = -spec->width;
        spec->align = '<';
    }
    if (percent->at < percent->end && *percent->at == '.') {
        percent->at++;
        spec->precision = percent_number(percent);
    }
}

static void percent_text(struct percent *percent, struct format_spec *spec,
                         struct jinja_value value)
{
    struct jinja *jinja = percent->jinja;
    const struct jinja_string *text;

    if (spec->type != 's') {
        struct jinja_builder builder;

        jinja_builder_init(&builder, jinja);
        jinja_write_repr(&builder, value);
        value = jinja_builder_string(&builder);
    }
    text = jinja_str(jinja, value);
    if (percent->markup && jinja->rc == 0)
        text = jinja_escape(jinja, text).string;
    spec->fill[0] = ' ';
    spec->align = spec->align == '=' ? '>' : spec->align;
    if (jinja->rc == 0)
        format_text(&percent->builder, spec, text, '>');
}

static void percent_number_value(struct percent *percent, struct format_spec *spec,
                                 struct jinja_value value)
{
    struct jinja *jinja = percent->jinja;

    if (!jinja_is_number(value)) {
        jinja_raise(jinja, "%%%c format: a number is required, not %s", spec->type,
                    jinja_type_name(value));
        return;
    }
    if (strchr("eEfFgG", spec->type)) {
        format_float(&percent->builder, spec, jinja_as_float(value));
        return;
    }
    if (value.type == JINJA_FLOAT && (spec->type != 'd' || !(fabs(value.real) < 0x1p63))) {
        jinja_raise(jinja, "%%%c format: an integer is required", spec->type);
        return;
    }
    int64_t whole = value.type == JINJA_FLOAT ? (int64_t)value.real : jinja_as_int(value);

    if (spec->precision < 0) {
        format_int(&percent->builder, spec, whole);
        return;
    }
    /* At least `precision` digits, then the width. */
    struct format_spec inner = *spec;
    struct jinja_builder digits;

    inner.width = spec->precision + (whole < 0 || spec->sign);
    inner.align = '=';
    inner.fill[0] = '0';
    jinja_builder_init(&digits, jinja);
    format_int(&digits, &inner, whole);
    struct jinja_value text = jinja_builder_string(&digits);

    if (jinja->rc == 0)
        format_place(&percent->builder, spec, text.string, whole < 0 || spec->sign, '>');
}

static void percent_conversion(struct percent *percent)
{
    struct format_spec spec = {.fill = " ", .fill_size = 1, .precision = -1};
    struct jinja_value value = jinja_missing();
    struct jinja *jinja = percent->jinja;

    if (percent->at < percent->end && *percent->at == '(')
        value = percent_named(percent);
    percent_flags(percent, &spec);
    while (percent->at < percent->end && *percent->at && strchr("hlL", *percent->at))
        percent->at++;
    if (jinja->rc < 0 || !format_check(jinja, &spec))
        return;
    if (percent->at == percent->end) {
        jinja_raise(jinja, "incomplete format");
        return;
    }
    spec.type = *percent->at++;
    if (spec.type == '%') {
        jinja_builder_puts(&percent->builder, "%");
        return;
    }
    if (!spec.type || !strchr("sradiuxXoeEfFgGc", spec.type)) {
        jinja_raise(jinja, "unsupported format character");
        return;
    }
    if (value.type == JINJA_MISSING)
        value = percent_next(percent);
    if (jinja->rc < 0)
        return;
    if (spec.type == 'i' || spec.type == 'u')
        spec.type = 'd';
    if (spec.type == 'c' && value.type == JINJA_STRING && value.string->chars == 1)
        format_place(&percent->builder, &spec, value.string, 0, '>');
    else if (strchr("sra", spec.type))
        percent_text(percent, &spec, value);
    else
        percent_number_value(percent, &spec, value);
}

struct jinja_value jinja_percent_format(struct jinja *jinja, const struct jinja_string *format,
                                        struct jinja_value values)
{
    struct percent percent = {.jinja = jinja,
                              .at = format->bytes,
                              .end = format->bytes + format->size,
                              .values = values,
                              .markup = format->markup};

    jinja_builder_init(&percent.builder, jinja);
    while (percent.at < percent.end && jinja_charge(jinja, 1)) {
        const char *sign = memchr(percent.at, '%', (size_t)(percent.end - percent.at));
        const char *stop = sign ? sign : percent.end;

        jinja_builder_add_part(&percent.builder, format, (size_t)(percent.at - format->bytes),
                               (size_t)(stop - format->bytes));
        percent.at = sign ? sign + 1 : stop;
        if (sign)
            percent_conversion(&percent);
    }
    bool one = values.type != JINJA_TUPLE;
    bool unused = one ? percent.used == 0 : percent.used < values.list->count;

    if (jinja->rc == 0 && unused && values.type != JINJA_DICT && values.type != JINJA_LIST &&
        !(one && values.type == JINJA_UNDEFINED))
        return jinja_raise(jinja, "not all arguments converted during string formatting");
    struct jinja_value text = jinja_builder_string(&percent.builder);

    return jinja->rc < 0 ? text : jinja_markup(jinja, text.string, format->markup);
}

/* One str.format call. */
struct braces {
    struct jinja *jinja;
    struct jinja_builder builder;
    const struct jinja_args *args;
    int64_t automatic; /* next number of "{}"; -1 once numbers were given by hand */
    bool markup;
};

static void brace_write(struct braces *braces, const struct jinja_string *format, int nesting);

static struct jinja_value brace_positional(struct braces *braces, int64_t number, bool automatic)
{
    if (automatic ? braces->automatic < 0 : braces->automatic > 0)
        return jinja_raise(braces->jinja,
                           "cannot switch between manual and automatic field numbering");
    if (automatic)
        number = braces->automatic++;
    else
        braces->automatic = -1;
    if (number >= (int64_t)braces->args->count)
        return jinja_raise(braces->jinja, "format: index out of range for positional arguments");
    return braces->args->items[number];
}

/* The argument a field starts with: "", a number or a name. */
static struct jinja_value brace_first(struct braces *braces, const struct jinja_string *name)
{
    int64_t number;

    if (name->size == 0)
        return brace_positional(braces, 0, true);
    if (format_read_number(name->bytes, name->bytes + name->size, &number) ==
        name->bytes + name->size)
        return brace_positional(braces, number, false);
    for (size_t i = 0; i < braces->args->n_keywords; i++)
        if (jinja_string_equal(braces->args->keywords[i].name, name))
            return braces->args->keywords[i].value;
    return jinja_raise(braces->jinja, "format: there is no argument of that name");
}

/* "first.attribute[index]..." */
static struct jinja_value brace_lookup(struct braces *braces, const char *at, const char *end)
{
    struct jinja *jinja = braces->jinja;
    const char *from = at;
    struct jinja_string part;

    while (at < end && *at != '.' && *at != '[')
        at++;
    jinja_string_init(&part, from, (size_t)(at - from));
    struct jinja_value value = brace_first(braces, &part);

    while (jinja->rc == 0 && at < end) {
        bool bracket = *at == '[';
        int64_t number;

        from = ++at;
        while (at < end && (bracket ? *at != ']' : *at != '.' && *at != '['))
            at++;
        if (at == from || (bracket && at == end))
            return jinja_raise(jinja, "format: empty attribute or missing ']'");
        struct jinja_value name = jinja_text(jinja, from, (size_t)(at - from), true);

        if (jinja->rc < 0)
            break;
        if (bracket && format_read_number(from, at, &number) == at)
            name = jinja_int(number);
        value = bracket ? jinja_subscript(jinja, value, name)
                        : jinja_attribute(jinja, value, name.string);
        at += bracket;
        if (bracket && at < end && *at != '.' && *at != '[')
            return jinja_raise(jinja, "format: only '.' or '[' may follow ']'");
    }
    return value;
}

static struct jinja_value brace_convert(struct braces *braces, struct jinja_value value, char how)
{
    struct jinja_builder builder;

    jinja_builder_init(&builder, braces->jinja);
    if (how == 's')
        jinja_write_str(&builder, value);
    else if (how == 'r' || how == 'a')
        jinja_write_repr(&builder, value);
    else
        return jinja_raise(braces->jinja, "format: unknown conversion");
    return jinja_builder_string(&builder);
}

/* "name!conversion:spec" between braces; the spec may hold fields itself. */
static void brace_field(struct braces *braces, const char *at, const char *end, int nesting)
{
    struct jinja *jinja = braces->jinja;
    const char *name = at;
    bool in_bracket = false;

    while (at < end && (in_bracket || (*at != '!' && *at != ':'))) {
        in_bracket = *at == '[' || (in_bracket && *at != ']');
        at++;
    }
    struct jinja_value value = brace_lookup(braces, name, at);

    if (jinja->rc == 0 && at < end && *at == '!') {
        if (at + 1 == end || (at + 2 < end && at[2] != ':')) {
            jinja_raise(jinja, "format: expected ':' after conversion specifier");
            return;
        }
        value = brace_convert(braces, value, at[1]);
        at += 2;
    }
    struct jinja_string raw;
    struct braces inner = *braces;

    if (at < end)
        at++;
    jinja_string_init(&raw, at, (size_t)(end - at));
    jinja_builder_init(&inner.builder, jinja);
    if (jinja->rc == 0)
        brace_write(&inner, &raw, nesting + 1);
    struct jinja_value spec = jinja_builder_string(&inner.builder);

    braces->automatic = inner.automatic;
    if (braces->markup && jinja->rc == 0)
        value = jinja_escape(jinja, jinja_str(jinja, value));
    if (jinja->rc == 0)
        format_value(&braces->builder, value, spec.string);
}

static void brace_write(struct braces *braces, const struct jinja_string *format, int nesting)
{
    const char *at = format->bytes, *end = at + format->size;

    if (nesting > 1 && memchr(at, '{', format->size)) {
        jinja_raise(braces->jinja, "format: nested too deeply");
        return;
    }
    while (at < end && jinja_charge(braces->jinja, 1)) {
        const char *from = at;

        while (at < end && *at != '{' && *at != '}')
            at++;
        jinja_builder_add_part(&braces->builder, format, (size_t)(from - format->bytes),
                               (size_t)(at - format->bytes));
        if (at == end)
            return;
        if (at + 1 < end && at[1] == *at) {
            jinja_builder_puts(&braces->builder, *at == '{' ? "{" : "}");
            at += 2;
            continue;
        }
        const char *field = at + 1;
        int open = *at == '{';

        for (at++; at < end && open > 0; at++)
            open += *at == '{' ? 1 : *at == '}' ? -1 : 0;
        if (open > 0 || field[-1] == '}') {
            jinja_raise(braces->jinja, "format: single brace in format string");
            return;
        }
        brace_field(braces, field, at - 1, nesting);
    }
}

struct jinja_value jinja_brace_format(struct jinja *jinja, const struct jinja_string *format,
                                      const struct jinja_args *args)
{
    struct braces braces = {.jinja = jinja, .args = args, .markup = format->markup};

    jinja_builder_init(&braces.builder, jinja);
    brace_write(&braces, format, 0);
    struct jinja_value text = jinja_builder_string(&braces.builder);

    return jinja->rc < 0 ? text : jinja_markup(jinja, text.string, format->markup);
}
