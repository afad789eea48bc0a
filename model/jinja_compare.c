/*
 * Python's comparison rules: numbers compare by value over all three types, sequences item by item,
 * dicts by content and never by order; anything else is equal only to itself. int against float is
 * compared exactly, not through rounding.
 */
#include "model/jinja_compare.h"
#include "model/jinja_string.h"
#include "model/jinja_unicode.h"

#include <math.h>
#include <string.h>

bool jinja_truth(struct jinja_value value)
{
    size_t length;

    switch (value.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: return false;
    case JINJA_BOOL: return value.boolean;
    case JINJA_INT: return value.integer != 0;
    case JINJA_FLOAT: return value.real != 0;
    default: return jinja_length(value, &length) ? length > 0 : true;
    }
}

/* -1, 0, 1, or 2 when one is NaN. */
static int compare_numbers(struct jinja_value left, struct jinja_value right)
{
    if (left.type != JINJA_FLOAT && right.type != JINJA_FLOAT) {
        int64_t a = jinja_as_int(left), b = jinja_as_int(right);

        return a < b ? -1 : a > b;
    }
    if (left.type == JINJA_FLOAT && right.type == JINJA_FLOAT) {
        if (isnan(left.real) || isnan(right.real))
            return 2;
        return left.real < right.real ? -1 : left.real > right.real;
    }
    if (left.type == JINJA_FLOAT) {
        int order = compare_numbers(right, left);

        return order == 2 ? 2 : -order;
    }
    if (isnan(right.real))
        return 2;
    if (right.real >= 0x1p63)
        return -1;
    if (right.real < -0x1p63)
        return 1;
    int64_t a = jinja_as_int(left), whole = (int64_t)right.real;

    if (a != whole)
        return a < whole ? -1 : 1;
    double rest = right.real - (double)whole;

    return rest > 0 ? -1 : rest < 0;
}

static int compare_strings(struct jinja *jinja, const struct jinja_string *left,
                           const struct jinja_string *right)
{
    size_t size = left->size < right->size ? left->size : right->size;

    jinja_charge(jinja, size / 256);
    int order = size > 0 ? memcmp(left->bytes, right->bytes, size) : 0; /* UTF-8 keeps the order */

    if (order != 0)
        return order < 0 ? -1 : 1;
    return left->size < right->size ? -1 : left->size > right->size;
}

static bool compare_items(struct jinja *jinja, const struct jinja_list *left,
                          const struct jinja_list *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++)
        if (!jinja_equal(jinja, left->items[i], right->items[i]))
            return false;
    return true;
}

static bool compare_dicts(struct jinja *jinja, const struct jinja_dict *left,
                          const struct jinja_dict *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        bool hashable;
        const struct jinja_value *other =
            jinja_dict_get(jinja, right, left->entries[i].key, &hashable);

        if (!other || !jinja_equal(jinja, left->entries[i].value, *other))
            return false;
    }
    return true;
}

static bool compare_deep(struct jinja *jinja, struct jinja_value left, struct jinja_value right)
{
    bool equal = false;

    if (!jinja_enter(jinja))
        return false;
    if (left.type == JINJA_LIST || left.type == JINJA_TUPLE)
        equal = compare_items(jinja, left.list, right.list);
    else
        equal = compare_dicts(jinja, left.dict, right.dict);
    jinja_leave(jinja);
    return equal;
}

static bool compare_ranges(const struct jinja_range *left, const struct jinja_range *right)
{
    if (left->count != right->count)
        return false;
    return left->count == 0 ||
           (left->start == right->start && (left->count == 1 || left->step == right->step));
}

bool jinja_equal(struct jinja *jinja, struct jinja_value left, struct jinja_value right)
{
    if (!jinja_charge(jinja, 1))
        return false;
    if (jinja_is_number(left) && jinja_is_number(right))
        return compare_numbers(left, right) == 0;
    if (left.type != right.type)
        return false;
    switch (left.type) {
    case JINJA_UNDEFINED:
    case JINJA_MISSING:
    case JINJA_NONE: return true;
    case JINJA_STRING:
        return left.string->size == right.string->size &&
               compare_strings(jinja, left.string, right.string) == 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
    case JINJA_DICT: return left.dict == right.dict || compare_deep(jinja, left, right);
    case JINJA_RANGE: return compare_ranges(left.range, right.range);
    case JINJA_BUILTIN:
        return left.bound == right.bound || (left.bound->builtin == right.bound->builtin &&
                                             left.bound->self.type == right.bound->self.type &&
                                             left.bound->self.dict == right.bound->self.dict);
    default: return left.dict == right.dict; /* the same object */
    }
}

/* Whether left < right (or <= when both are equal and or_equal). */
static bool compare_order(struct jinja *jinja, struct jinja_value left, struct jinja_value right,
                          const char *sign, bool or_equal)
{
    if (!jinja_charge(jinja, 1))
        return false;
    if (jinja_is_number(left) && jinja_is_number(right)) {
        int order = compare_numbers(left, right);

        return order == -1 || (or_equal && order == 0);
    }
    if (left.type == JINJA_STRING && right.type == JINJA_STRING) {
        int order = compare_strings(jinja, left.string, right.string);

        return order < 0 || (or_equal && order == 0);
    }
    if (left.type == right.type && (left.type == JINJA_LIST || left.type == JINJA_TUPLE)) {
        const struct jinja_list *a = left.list, *b = right.list;
        size_t i = 0;
        bool less = false;

        while (i < a->count && i < b->count && jinja_equal(jinja, a->items[i], b->items[i]))
            i++;
        if (i == a->count || i == b->count)
            return a->count < b->count || (or_equal && a->count == b->count);
        if (!jinja_enter(jinja))
            return false;
        less = compare_order(jinja, a->items[i], b->items[i], sign, or_equal);
        jinja_leave(jinja);
        return less;
    }
    if (left.type == JINJA_UNDEFINED)
        jinja_refuse_undefined(jinja, left);
    else if (right.type == JINJA_UNDEFINED)
        jinja_refuse_undefined(jinja, right);
    else
        jinja_raise(jinja, "'%s' not supported between instances of '%s' and '%s'", sign,
                    jinja_type_name(left), jinja_type_name(right));
    return false;
}

bool jinja_less(struct jinja *jinja, struct jinja_value left, struct jinja_value right,
                const char *sign)
{
    return compare_order(jinja, left, right, sign, false);
}

bool jinja_less_equal(struct jinja *jinja, struct jinja_value left, struct jinja_value right,
                      const char *sign)
{
    return compare_order(jinja, left, right, sign, true);
}

static uint64_t compare_mix(uint64_t hash, const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u; /* FNV-1a */
    return hash;
}

bool jinja_hash(struct jinja *jinja, struct jinja_value value, uint64_t *ret_hash)
{
    uint64_t hash = 0xcbf29ce484222325u;

    *ret_hash = hash;
    if (!jinja_charge(jinja, 1)) /* tuples within tuples share what they hold */
        return true;
    switch (value.type) {
    case JINJA_LIST:
    case JINJA_DICT: return false;
    case JINJA_STRING:
        jinja_charge(jinja, value.string->size / 256);
        hash = compare_mix(hash, value.string->bytes, value.string->size);
        break;
    case JINJA_FLOAT: /* equal numbers hash alike, whatever their type */
        if (value.real >= -0x1p63 && value.real < 0x1p63 && value.real == floor(value.real)) {
            int64_t whole = (int64_t)value.real;

            hash = compare_mix(hash, &whole, sizeof whole);
        } else {
            hash = compare_mix(hash, &value.real, sizeof value.real);
        }
        break;
    case JINJA_BOOL:
    case JINJA_INT: {
        int64_t whole = jinja_as_int(value);

        hash = compare_mix(hash, &whole, sizeof whole);
        break;
    }
    case JINJA_TUPLE:
        for (size_t i = 0; i < value.list->count; i++) {
            uint64_t item;

            if (!jinja_enter(jinja))
                return false;
            bool hashable = jinja_hash(jinja, value.list->items[i], &item);

            jinja_leave(jinja);
            if (!hashable)
                return false;
            hash = compare_mix(hash, &item, sizeof item);
        }
        break;
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE: hash += value.type; break;
    case JINJA_RANGE:
        hash = compare_mix(hash, &value.range->count, sizeof value.range->count);
        break;
    default: hash = compare_mix(hash, &value.dict, sizeof(void *)); break;
    }
    *ret_hash = hash;
    return true;
}

bool jinja_length(struct jinja_value value, size_t *ret_length)
{
    switch (value.type) {
    case JINJA_UNDEFINED: *ret_length = 0; return true;
    case JINJA_STRING: *ret_length = value.string->chars; return true;
    case JINJA_LIST:
    case JINJA_TUPLE: *ret_length = value.list->count; return true;
    case JINJA_DICT: *ret_length = value.dict->count; return true;
    case JINJA_VIEW: *ret_length = value.view->dict->count; return true;
    case JINJA_RANGE: *ret_length = value.range->count; return true;
    case JINJA_LOOP: *ret_length = value.loop->items.count; return true;
    default: return false;
    }
}

bool jinja_iterable(struct jinja_value value)
{
    size_t length;

    return value.type == JINJA_ITERATOR || jinja_length(value, &length);
}

bool jinja_iterate(struct jinja *jinja, struct jinja_value value, struct jinja_iterator *ret_items)
{
    size_t length = 0;

    if (jinja->rc < 0)
        return false;
    if (!jinja_iterable(value) || value.type == JINJA_LOOP) {
        jinja_raise(jinja, "'%s' object is not iterable", jinja_type_name(value));
        return false;
    }
    if (value.type == JINJA_ITERATOR)
        length = value.iterator->count - value.iterator->at;
    else
        jinja_length(value, &length);
    *ret_items = (struct jinja_iterator){.source = value, .count = length};
    if (value.type == JINJA_STRING)
        ret_items->text = value.string->bytes;
    return true;
}

struct jinja_value jinja_item(struct jinja *jinja, struct jinja_value value, size_t index)
{
    switch (value.type) {
    case JINJA_LIST:
    case JINJA_TUPLE: return value.list->items[index];
    case JINJA_RANGE: return jinja_int(value.range->start + (int64_t)index * value.range->step);
    case JINJA_STRING: {
        jinja_charge(jinja, value.string->chars == value.string->size ? 0 : index / 64);
        size_t from = jinja_char_offset(value.string, index);
        const char *end = value.string->bytes + from;

        jinja_utf8_next(&end);
        return jinja_substring(jinja, value.string, from, (size_t)(end - value.string->bytes));
    }
    case JINJA_DICT: return value.dict->entries[index].key;
    case JINJA_VIEW: {
        const struct jinja_entry *entry = &value.view->dict->entries[index];

        if (value.view->kind == JINJA_KEYS)
            return entry->key;
        if (value.view->kind == JINJA_VALUES)
            return entry->value;
        struct jinja_list *pair = jinja_list_new(jinja, 2);

        if (!pair)
            return jinja_missing();
        jinja_list_add(jinja, pair, entry->key);
        jinja_list_add(jinja, pair, entry->value);
        return jinja_of_list(JINJA_TUPLE, pair);
    }
    default: return jinja_missing();
    }
}

bool jinja_step(struct jinja *jinja, struct jinja_iterator *items, struct jinja_value *ret_item)
{
    if (!jinja_charge(jinja, 1) || items->at == items->count)
        return false;
    if (items->source.type == JINJA_ITERATOR) {
        items->at++;
        return jinja_step(jinja, items->source.iterator, ret_item);
    }
    if (items->source.type == JINJA_STRING) {
        const struct jinja_string *string = items->source.string;
        size_t from = (size_t)(items->text - string->bytes);

        jinja_utf8_next(&items->text);
        *ret_item = jinja_substring(jinja, string, from, (size_t)(items->text - string->bytes));
        items->at++;
        if (jinja->rc == 0) /* what Markup is made of is plain */
            *ret_item = jinja_markup(jinja, ret_item->string, false);
        return jinja->rc == 0;
    }
    *ret_item = jinja_item(jinja, items->source, items->at++);
    return jinja->rc == 0;
}

struct jinja_list *jinja_to_list(struct jinja *jinja, struct jinja_value value)
{
    struct jinja_iterator items;
    struct jinja_value item;

    if (!jinja_iterate(jinja, value, &items))
        return NULL;
    struct jinja_list *list = jinja_list_new(jinja, items.count);

    while (list && jinja_step(jinja, &items, &item))
        jinja_list_add(jinja, list, item);
    return jinja->rc < 0 ? NULL : list;
}

struct jinja_value jinja_to_iterator(struct jinja *jinja, const struct jinja_list *list)
{
    struct jinja_iterator *items = jinja_alloc(jinja, sizeof *items);

    if (!items || !list)
        return jinja_missing();
    jinja_iterate(jinja, jinja_of_list(JINJA_LIST, list), items);
    return (struct jinja_value){.type = JINJA_ITERATOR, .iterator = items};
}

static bool compare_in_text(struct jinja *jinja, const struct jinja_string *string,
                            struct jinja_value item)
{
    if (item.type == JINJA_STRING)
        return jinja_string_find(jinja, string, item.string, 0) != SIZE_MAX;
    jinja_raise(jinja, "'in <string>' requires string as left operand, not %s",
                jinja_type_name(item));
    return false;
}

bool jinja_contains(struct jinja *jinja, struct jinja_value container, struct jinja_value item)
{
    struct jinja_iterator items;
    struct jinja_value other;

    if (container.type == JINJA_STRING)
        return compare_in_text(jinja, container.string, item);
    bool keys = container.type == JINJA_VIEW && container.view->kind == JINJA_KEYS;

    if (container.type == JINJA_DICT || keys) {
        const struct jinja_dict *dict = keys ? container.view->dict : container.dict;
        bool hashable;
        bool found = jinja_dict_get(jinja, dict, item, &hashable) != NULL;

        if (!hashable)
            jinja_raise(jinja, "unhashable type: '%s'", jinja_type_name(item));
        return found;
    }
    if (!jinja_iterable(container)) {
        jinja_raise(jinja, "argument of type '%s' is not iterable", jinja_type_name(container));
        return false;
    }
    if (!jinja_iterate(jinja, container, &items))
        return false;
    while (jinja_step(jinja, &items, &other))
        if (jinja_equal(jinja, other, item))
            return true;
    return false;
}

/* Merges the sorted halves of [0, count) through the scratch arrays. */
static void compare_merge(struct jinja *jinja, struct jinja_value *keys, struct jinja_value *items,
                          size_t half, size_t count, struct jinja_value *scratch, bool reverse)
{
    size_t left = 0, right = half;

    for (size_t i = 0; i < count; i++) {
        bool take_right = left == half;

        if (left < half && right < count)
            take_right = reverse ? jinja_less(jinja, keys[left], keys[right], "<")
                                 : jinja_less(jinja, keys[right], keys[left], "<");
        size_t from = take_right ? right++ : left++;

        scratch[2 * i] = keys[from];
        scratch[2 * i + 1] = items[from];
    }
    for (size_t i = 0; i < count; i++) {
        keys[i] = scratch[2 * i];
        items[i] = scratch[2 * i + 1];
    }
}

void jinja_sort(struct jinja *jinja, struct jinja_value *keys, struct jinja_value *items,
                size_t count, bool reverse)
{
    struct jinja_value *scratch = jinja_alloc_array(jinja, count, 2 * sizeof *scratch);

    if (!scratch)
        return;
    for (size_t width = 1; width < count; width *= 2)
        for (size_t at = 0; at + width < count && jinja_charge(jinja, width); at += 2 * width) {
            size_t rest = count - at;

            compare_merge(jinja, keys + at, items + at, width, rest < 2 * width ? rest : 2 * width,
                          scratch, reverse);
        }
}
