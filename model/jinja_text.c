/*
 * str() and repr() of values, byte for byte as CPython prints them. Punctuation of ours is trusted
 * text, the characters of a user's string stay the user's, escaped or not. Printing floats relies
 * on the C locale's decimal point, which the program never changes.
 */
#include "model/jinja_ast.h"
#include "model/jinja_compare.h"
#include "model/jinja_string.h"
#include "model/jinja_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void jinja_float_repr(char out[JINJA_FLOAT_TEXT], double real)
{
    char digits[JINJA_FLOAT_TEXT];
    int precision = 0;

    if (!isfinite(real)) {
        snprintf(out, JINJA_FLOAT_TEXT, "%s", isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
        return;
    }
    do /* the fewest digits that read back as the same number */
        snprintf(digits, sizeof digits, "%.*e", precision, real);
    while (strtod(digits, NULL) != real && ++precision < 17);
    int exponent = atoi(strchr(digits, 'e') + 1);

    if (exponent >= -4 && exponent < 16) {
        int decimals = precision - exponent;

        snprintf(out, JINJA_FLOAT_TEXT, "%.*f", decimals > 0 ? decimals : 1, real);
        return;
    }
    snprintf(out, JINJA_FLOAT_TEXT, "%s", digits); /* two exponent digits at least, like Python */
}

static void text_repr_char(struct jinja_builder *builder, const char *from, const char *to,
                           uint32_t code, char quote, bool trusted)
{
    char out[12];

    if (code == (unsigned char)quote || code == '\\')
        snprintf(out, sizeof out, "\\%c", (int)code);
    else if (code == '\n' || code == '\r' || code == '\t')
        snprintf(out, sizeof out, "\\%c", code == '\n' ? 'n' : code == '\r' ? 'r' : 't');
    else if (code == ' ' || jinja_is(JINJA_PRINTABLE, code)) {
        jinja_builder_add(builder, from, (size_t)(to - from), trusted);
        return;
    } else if (code < 0x100)
        snprintf(out, sizeof out, "\\x%02" PRIx32, code);
    else if (code < 0x10000)
        snprintf(out, sizeof out, "\\u%04" PRIx32, code);
    else
        snprintf(out, sizeof out, "\\U%08" PRIx32, code);
    jinja_builder_add(builder, out, strlen(out), trusted);
}

static void text_repr_string(struct jinja_builder *builder, const struct jinja_string *string)
{
    const char *at = string->bytes, *end = at + string->size;
    bool single = memchr(at, '\'', string->size), twofold = memchr(at, '"', string->size);
    char quote[2] = {single && !twofold ? '"' : '\'', '\0'};

    if (string->markup)
        jinja_builder_puts(builder, "Markup(");
    jinja_builder_puts(builder, quote);
    while (at < end && jinja_charge(builder->jinja, 1)) {
        const char *from = at;
        uint32_t code = jinja_utf8_next(&at);

        text_repr_char(builder, from, at, code, quote[0],
                       jinja_trusted_at(string, (size_t)(from - string->bytes)));
    }
    jinja_builder_puts(builder, quote);
    if (string->markup)
        jinja_builder_puts(builder, ")");
}

static void text_repr_dict(struct jinja_builder *builder, const struct jinja_dict *dict)
{
    jinja_builder_puts(builder, "{");
    for (size_t i = 0; i < dict->count && jinja_charge(builder->jinja, 1); i++) {
        jinja_builder_puts(builder, i > 0 ? ", " : "");
        jinja_write_repr(builder, dict->entries[i].key);
        jinja_builder_puts(builder, ": ");
        jinja_write_repr(builder, dict->entries[i].value);
    }
    jinja_builder_puts(builder, "}");
}

static void text_repr_items(struct jinja_builder *builder, struct jinja_value value, size_t count,
                            const char *open, const char *close)
{
    jinja_builder_puts(builder, open);
    for (size_t i = 0; i < count && jinja_charge(builder->jinja, 1); i++) {
        jinja_builder_puts(builder, i > 0 ? ", " : "");
        jinja_write_repr(builder, jinja_item(builder->jinja, value, i));
    }
    jinja_builder_puts(builder, close);
}

static void text_repr_range(struct jinja_builder *builder, const struct jinja_range *range)
{
    char text[96];

    if (range->step == 1)
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ")", range->start, range->stop);
    else
        snprintf(text, sizeof text, "range(%" PRId64 ", %" PRId64 ", %" PRId64 ")", range->start,
                 range->stop, range->step);
    jinja_builder_puts(builder, text);
}

/* name: NULL for a call block's. */
static void text_repr_macro(struct jinja_builder *builder, const struct jinja_name *name)
{
    jinja_builder_puts(builder, name ? "<Macro " : "<Macro anonymous");
    if (name)
        text_repr_string(builder, &name->text);
    jinja_builder_puts(builder, ">");
}

static void text_repr_container(struct jinja_builder *builder, struct jinja_value value)
{
    static const char *const views[] = {"dict_keys([", "dict_values([", "dict_items(["};

    if (!jinja_enter(builder->jinja))
        return;
    switch (value.type) {
    case JINJA_LIST: text_repr_items(builder, value, value.list->count, "[", "]"); break;
    case JINJA_TUPLE:
        text_repr_items(builder, value, value.list->count, "(",
                        value.list->count == 1 ? ",)" : ")");
        break;
    case JINJA_VIEW:
        text_repr_items(builder, value, value.view->dict->count, views[value.view->kind], "])");
        break;
    case JINJA_DICT: text_repr_dict(builder, value.dict); break;
    default:
        jinja_builder_puts(builder, "<Namespace ");
        text_repr_dict(builder, value.dict);
        jinja_builder_puts(builder, ">");
        break;
    }
    jinja_leave(builder->jinja);
}

void jinja_write_repr(struct jinja_builder *builder, struct jinja_value value)
{
    char text[JINJA_FLOAT_TEXT];

    switch (value.type) {
    case JINJA_MISSING: break;
    case JINJA_UNDEFINED: jinja_builder_puts(builder, "Undefined"); break;
    case JINJA_NONE: jinja_builder_puts(builder, "None"); break;
    case JINJA_BOOL: jinja_builder_puts(builder, value.boolean ? "True" : "False"); break;
    case JINJA_INT:
        snprintf(text, sizeof text, "%" PRId64, value.integer);
        jinja_builder_puts(builder, text);
        break;
    case JINJA_FLOAT:
        jinja_float_repr(text, value.real);
        jinja_builder_puts(builder, text);
        break;
    case JINJA_STRING: text_repr_string(builder, value.string); break;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT:
    case JINJA_VIEW:
    case JINJA_NAMESPACE: text_repr_container(builder, value); break;
    case JINJA_RANGE: text_repr_range(builder, value.range); break;
    case JINJA_MACRO: text_repr_macro(builder, value.macro->node->macro->name); break;
    default: /* Python shows an address here, which no template can mean */
        jinja_builder_puts(builder, "<");
        jinja_builder_puts(builder, jinja_type_name(value));
        jinja_builder_puts(builder, ">");
        break;
    }
}

void jinja_write_str(struct jinja_builder *builder, struct jinja_value value)
{
    if (value.type == JINJA_STRING)
        jinja_builder_add_string(builder, value.string);
    else if (value.type != JINJA_UNDEFINED)
        jinja_write_repr(builder, value);
}

const struct jinja_string *jinja_str(struct jinja *jinja, struct jinja_value value)
{
    struct jinja_builder builder;

    if (value.type == JINJA_STRING)
        return value.string;
    jinja_builder_init(&builder, jinja);
    jinja_write_str(&builder, value);
    struct jinja_value text = jinja_builder_string(&builder);
    static const struct jinja_string nothing = {.bytes = "", .trusted = true};

    return jinja->rc < 0 ? &nothing : text.string; /* never NULL: rc tells */
}
