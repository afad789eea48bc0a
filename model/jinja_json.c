/*
 * json.dumps of CPython: separators, key conversion and escapes are its. Punctuation is trusted
 * text; what is inside a user's string stays the user's.
 */
#include "model/jinja_json.h"
#include "model/jinja_compare.h"
#include "model/jinja_string.h"
#include "model/jinja_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct jinja_value json_from_object(struct jinja *jinja, const json_t *json, bool trusted)
{
    struct jinja_dict *dict = jinja_dict_new(jinja, json_object_size(json));
    json_t *object = (json_t *)(uintptr_t)json; /* jansson's iterators want it writable */

    for (void *it = json_object_iter(object); it && dict && jinja->rc == 0;
         it = json_object_iter_next(object, it)) {
        const char *name = json_object_iter_key(it);
        struct jinja_value key = jinja_text(jinja, name, strlen(name), trusted);

        jinja_dict_set(jinja, dict, key,
                       jinja_from_json(jinja, json_object_iter_value(it), trusted));
    }
    return jinja_of_dict(dict);
}

static struct jinja_value json_from_array(struct jinja *jinja, const json_t *json, bool trusted)
{
    struct jinja_list *list = jinja_list_new(jinja, json_array_size(json));

    for (size_t i = 0; list && i < json_array_size(json) && jinja->rc == 0; i++)
        jinja_list_add(jinja, list, jinja_from_json(jinja, json_array_get(json, i), trusted));
    return jinja_of_list(JINJA_LIST, list);
}

struct jinja_value jinja_from_json(struct jinja *jinja, const json_t *json, bool trusted)
{
    struct jinja_value value = jinja_none();

    if (!jinja_enter(jinja))
        return jinja_missing();
    switch (json_typeof(json)) {
    case JSON_OBJECT: value = json_from_object(jinja, json, trusted); break;
    case JSON_ARRAY: value = json_from_array(jinja, json, trusted); break;
    case JSON_STRING:
        value = jinja_text(jinja, json_string_value(json), json_string_length(json), trusted);
        break;
    case JSON_INTEGER: value = jinja_int(json_integer_value(json)); break;
    case JSON_REAL: value = jinja_float(json_real_value(json)); break;
    case JSON_TRUE:
    case JSON_FALSE: value = jinja_bool(json_is_true(json)); break;
    case JSON_NULL: break;
    }
    jinja_leave(jinja);
    return value;
}

struct json_style {
    bool ascii, sort_keys;
    const struct jinja_string *indent; /* NULL: all on one line */
    const struct jinja_string *item_separator, *key_separator;
};

static void json_write(struct jinja_builder *builder, struct jinja_value value,
                       const struct json_style *style, size_t level);

static void json_write_char(struct jinja_builder *builder, const char *from, const char *to,
                            uint32_t code, bool ascii, bool trusted)
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt\ff\bb"; /* character, letter */
    const char *found = code > 0 && code < 0x80 ? strchr(shorts, (int)code) : NULL;
    char out[16];

    /* Letters stand at odd places and are not escaped themselves. */
    if (found && (found - shorts) % 2 == 0)
        snprintf(out, sizeof out, "\\%c", found[1]);
    else if (code < 0x20 || (ascii && code > 0x7e && code < 0x10000))
        snprintf(out, sizeof out, "\\u%04" PRIx32, code);
    else if (ascii && code >= 0x10000)
        snprintf(out, sizeof out, "\\u%04" PRIx32 "\\u%04" PRIx32,
                 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    else {
        jinja_builder_add(builder, from, (size_t)(to - from), trusted);
        return;
    }
    jinja_builder_add(builder, out, strlen(out), trusted);
}

static void json_write_string(struct jinja_builder *builder, const struct jinja_string *string,
                              bool ascii)
{
    const char *at = string->bytes, *end = at + string->size;

    jinja_builder_puts(builder, "\"");
    while (at < end && builder->jinja->rc == 0) {
        const char *plain = at;

        while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\' &&
               (!ascii || (unsigned char)*at < 0x7f))
            at++;
        size_t from = (size_t)(plain - string->bytes), to = (size_t)(at - string->bytes);

        jinja_builder_add_part(builder, string, from, to);
        if (at == end || !jinja_charge(builder->jinja, 1))
            break;
        plain = at;
        uint32_t code = jinja_utf8_next(&at);

        json_write_char(builder, plain, at, code, ascii, jinja_trusted_at(string, to));
    }
    jinja_builder_puts(builder, "\"");
}

static void json_newline(struct jinja_builder *builder, const struct json_style *style,
                         size_t level)
{
    if (!style->indent)
        return;
    jinja_builder_puts(builder, "\n");
    jinja_builder_repeat(builder, style->indent, level);
}

static void json_write_list(struct jinja_builder *builder, const struct jinja_list *list,
                            const struct json_style *style, size_t level)
{
    jinja_builder_puts(builder, "[");
    for (size_t i = 0; i < list->count && builder->jinja->rc == 0; i++) {
        if (i > 0)
            jinja_builder_add_string(builder, style->item_separator);
        json_newline(builder, style, level + 1);
        json_write(builder, list->items[i], style, level + 1);
    }
    if (list->count > 0)
        json_newline(builder, style, level);
    jinja_builder_puts(builder, "]");
}

static void json_write_key(struct jinja_builder *builder, struct jinja_value key,
                           const struct json_style *style)
{
    if (key.type == JINJA_STRING) {
        json_write_string(builder, key.string, style->ascii);
        return;
    }
    if (!jinja_is_number(key) && key.type != JINJA_NONE) {
        jinja_raise(builder->jinja, "keys must be str, int, float, bool or None, not %s",
                    jinja_type_name(key));
        return;
    }
    jinja_builder_puts(builder, "\"");
    json_write(builder, key, style, 0);
    jinja_builder_puts(builder, "\"");
}

static void json_sort_entries(struct jinja *jinja, const struct jinja_dict *dict,
                              struct jinja_value *order)
{
    struct jinja_value *keys = jinja_alloc_array(jinja, dict->count, sizeof *keys);

    for (size_t i = 0; i < dict->count && keys; i++)
        keys[i] = dict->entries[i].key;
    if (keys)
        jinja_sort(jinja, keys, order, dict->count, false);
}

static void json_write_dict(struct jinja_builder *builder, const struct jinja_dict *dict,
                            const struct json_style *style, size_t level)
{
    struct jinja *jinja = builder->jinja;
    struct jinja_value *order = jinja_alloc_array(jinja, dict->count, sizeof *order);

    for (size_t i = 0; i < dict->count && order; i++)
        order[i] = jinja_int((int64_t)i);
    if (style->sort_keys && order)
        json_sort_entries(jinja, dict, order);
    jinja_builder_puts(builder, "{");
    for (size_t i = 0; i < dict->count && jinja->rc == 0; i++) {
        const struct jinja_entry *entry = &dict->entries[order[i].integer];

        if (i > 0)
            jinja_builder_add_string(builder, style->item_separator);
        json_newline(builder, style, level + 1);
        json_write_key(builder, entry->key, style);
        jinja_builder_add_string(builder, style->key_separator);
        json_write(builder, entry->value, style, level + 1);
    }
    if (dict->count > 0)
        json_newline(builder, style, level);
    jinja_builder_puts(builder, "}");
}

static void json_write(struct jinja_builder *builder, struct jinja_value value,
                       const struct json_style *style, size_t level)
{
    if (!jinja_charge(builder->jinja, 1) || !jinja_enter(builder->jinja))
        return;
    switch (value.type) {
    case JINJA_NONE: jinja_builder_puts(builder, "null"); break;
    case JINJA_BOOL: jinja_builder_puts(builder, value.boolean ? "true" : "false"); break;
    case JINJA_FLOAT:
        if (isfinite(value.real))
            jinja_write_repr(builder, value);
        else
            jinja_builder_puts(builder, isnan(value.real) ? "NaN"
                                        : value.real > 0  ? "Infinity"
                                                          : "-Infinity");
        break;
    case JINJA_INT: jinja_write_repr(builder, value); break;
    case JINJA_STRING: json_write_string(builder, value.string, style->ascii); break;
    case JINJA_LIST:
    case JINJA_TUPLE: json_write_list(builder, value.list, style, level); break;
    case JINJA_DICT: json_write_dict(builder, value.dict, style, level); break;
    default:
        jinja_raise(builder->jinja, "Object of type %s is not JSON serializable",
                    jinja_type_name(value));
    }
    jinja_leave(builder->jinja);
}

static bool json_set_indent(struct jinja *jinja, struct json_style *style, struct jinja_value arg)
{
    struct jinja_builder builder;
    static const struct jinja_string space = {.bytes = " ", .size = 1, .chars = 1, .trusted = true};

    if (arg.type == JINJA_MISSING || arg.type == JINJA_NONE)
        return true;
    if (arg.type == JINJA_STRING) {
        style->indent = arg.string;
        return true;
    }
    if (!jinja_is_int(arg)) {
        jinja_raise(jinja, "tojson: indent must be a number or a string");
        return false;
    }
    jinja_builder_init(&builder, jinja);
    if (jinja_as_int(arg) > 0)
        jinja_builder_repeat(&builder, &space, (size_t)jinja_as_int(arg));
    style->indent = jinja_builder_string(&builder).string;
    return jinja->rc == 0;
}

static bool json_set_separators(struct jinja *jinja, struct json_style *style,
                                struct jinja_value arg)
{
    style->item_separator = jinja_literal(jinja, style->indent ? "," : ", ").string;
    style->key_separator = jinja_literal(jinja, ": ").string;
    if (arg.type == JINJA_MISSING || arg.type == JINJA_NONE || jinja->rc < 0)
        return jinja->rc == 0;
    struct jinja_list *pair = jinja_to_list(jinja, arg);

    if (!pair)
        return false;
    if (pair->count != 2 || pair->items[0].type != JINJA_STRING ||
        pair->items[1].type != JINJA_STRING) {
        jinja_raise(jinja, "tojson: separators must be two strings");
        return false;
    }
    style->item_separator = pair->items[0].string;
    style->key_separator = pair->items[1].string;
    return true;
}

static struct jinja_value json_filter(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    struct json_style style = {.ascii = jinja_truth(arg[0]), .sort_keys = jinja_truth(arg[3])};
    struct jinja_builder builder;

    if (!json_set_indent(jinja, &style, arg[1]) || !json_set_separators(jinja, &style, arg[2]))
        return jinja_missing();
    jinja_builder_init(&builder, jinja);
    json_write(&builder, self, &style, 0);
    return jinja_builder_string(&builder);
}

const struct jinja_builtin jinja_filter_tojson = {
    .name = "tojson",
    .call = json_filter,
    .params = {"ensure_ascii", "indent", "separators", "sort_keys"},
};
