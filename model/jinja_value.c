/*
 * Allocation, errors, lists and dicts. A dict is an array of entries in order of insertion, with a
 * hash index beside it once it is no longer small; nothing is ever removed. Comparisons of keys are
 * charged as steps, so keys made to collide end in an error and not in a hang.
 */
#include "model/jinja_value.h"
#include "model/chat_template.h"
#include "model/jinja_compare.h"
#include "model/jinja_string.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SMALL_DICT 8u

__attribute__((format(printf, 3, 0))) static void value_fail(struct jinja *jinja, int code,
                                                             const char *format, va_list args)
{
    char text[ERR_TEXT_MAX];

    if (jinja->rc < 0)
        return;
    vsnprintf(text, sizeof text, format, args);
    jinja->rc = err_set(jinja->err, code, "line %u: %s", jinja->line, text);
}

struct jinja_value jinja_raise(struct jinja *jinja, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    value_fail(jinja, EINVAL, format, args);
    va_end(args);
    return jinja_missing();
}

struct jinja_value jinja_exceed(struct jinja *jinja, const char *what)
{
    if (jinja->rc == 0)
        jinja->rc = err_set(jinja->err, E2BIG, "line %u: the template takes too many %s",
                            jinja->line, what);
    return jinja_missing();
}

void *jinja_alloc(struct jinja *jinja, size_t size)
{
    if (jinja->rc < 0)
        return NULL;
    if (size > jinja->arena.limit || jinja->arena.used > jinja->arena.limit - size) {
        jinja_exceed(jinja, "bytes of memory");
        return NULL;
    }
    void *memory = arena_alloc(&jinja->arena, size);

    if (!memory)
        jinja->rc = err_set(jinja->err, ENOMEM, "line %u: out of memory", jinja->line);
    return memory;
}

void *jinja_alloc_array(struct jinja *jinja, size_t count, size_t size)
{
    if (count > SIZE_MAX / size) {
        jinja_exceed(jinja, "bytes of memory");
        return NULL;
    }
    return jinja_alloc(jinja, count * size);
}

bool jinja_charge(struct jinja *jinja, size_t steps)
{
    jinja->steps += steps;
    if (jinja->steps > CHAT_TEMPLATE_STEPS_MAX)
        jinja_exceed(jinja, "steps");
    return jinja->rc == 0;
}

bool jinja_enter(struct jinja *jinja)
{
    if (jinja->depth >= CHAT_TEMPLATE_DEPTH_MAX)
        jinja_exceed(jinja, "nested calls or values");
    if (jinja->rc < 0)
        return false;
    jinja->depth++;
    return true;
}

void jinja_leave(struct jinja *jinja)
{
    jinja->depth--;
}

struct jinja_value jinja_undefined(struct jinja *jinja, const char *format, ...)
{
    char text[200];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t size = strlen(text) + 1;
    char *lack = jinja_alloc(jinja, size);

    if (!lack)
        return jinja_missing();
    memcpy(lack, text, size);
    return (struct jinja_value){.type = JINJA_UNDEFINED, .lack = lack};
}

struct jinja_value jinja_refuse_undefined(struct jinja *jinja, struct jinja_value value)
{
    return jinja_raise(jinja, "%s", value.lack);
}

struct jinja_list *jinja_list_new(struct jinja *jinja, size_t capacity)
{
    struct jinja_list *list = jinja_alloc(jinja, sizeof *list);

    if (!list)
        return NULL;
    list->items = jinja_alloc_array(jinja, capacity, sizeof *list->items);
    list->capacity = capacity;
    return list->items ? list : NULL;
}

void jinja_list_add(struct jinja *jinja, struct jinja_list *list, struct jinja_value item)
{
    if (jinja->rc < 0)
        return;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 4;
        struct jinja_value *items = jinja_alloc_array(jinja, capacity, sizeof *items);

        if (!items)
            return;
        if (list->count > 0)
            memcpy(items, list->items, list->count * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
}

struct jinja_dict *jinja_dict_new(struct jinja *jinja, size_t capacity)
{
    struct jinja_dict *dict = jinja_alloc(jinja, sizeof *dict);

    if (!dict)
        return NULL;
    dict->entries = jinja_alloc_array(jinja, capacity, sizeof *dict->entries);
    dict->capacity = capacity;
    return dict->entries ? dict : NULL;
}

/* The slot that holds the key's entry number + 1, or the free one where it belongs. */
static uint32_t *value_slot(struct jinja *jinja, const struct jinja_dict *dict,
                            struct jinja_value key, uint64_t hash)
{
    size_t mask = dict->n_index - 1, at = (size_t)hash & mask;

    while (dict->index[at] != 0 && jinja_charge(jinja, 1)) {
        const struct jinja_entry *entry = &dict->entries[dict->index[at] - 1];

        if (entry->hash == hash && jinja_equal(jinja, entry->key, key))
            break;
        at = (at + 1) & mask;
    }
    return &dict->index[at];
}

static struct jinja_entry *value_find(struct jinja *jinja, const struct jinja_dict *dict,
                                      struct jinja_value key, uint64_t hash)
{
    if (dict->index) {
        uint32_t number = *value_slot(jinja, dict, key, hash);

        return number && jinja->rc == 0 ? &dict->entries[number - 1] : NULL;
    }
    for (size_t i = 0; i < dict->count; i++)
        if (dict->entries[i].hash == hash && jinja_equal(jinja, dict->entries[i].key, key))
            return &dict->entries[i];
    return NULL;
}

static bool value_grow(struct jinja *jinja, struct jinja_dict *dict)
{
    if (dict->count < dict->capacity && (dict->count < SMALL_DICT || dict->index))
        return true;
    size_t capacity = dict->capacity < SMALL_DICT / 2 ? SMALL_DICT / 2 : dict->capacity * 2;
    struct jinja_entry *entries = jinja_alloc_array(jinja, capacity, sizeof *entries);

    if (!entries || dict->count >= UINT32_MAX / 4)
        return false;
    memcpy(entries, dict->entries, dict->count * sizeof *entries);
    dict->entries = entries;
    dict->capacity = capacity;
    if (capacity <= SMALL_DICT)
        return true;
    size_t n_index = 16;

    while (n_index < capacity * 2)
        n_index *= 2;
    dict->index = jinja_alloc_array(jinja, n_index, sizeof *dict->index);
    dict->n_index = n_index;
    for (size_t i = 0; i < dict->count && dict->index && jinja->rc == 0; i++) {
        size_t at = (size_t)entries[i].hash & (n_index - 1);

        while (dict->index[at] != 0 && jinja_charge(jinja, 1))
            at = (at + 1) & (n_index - 1);
        dict->index[at] = (uint32_t)i + 1;
    }
    return jinja->rc == 0;
}

void jinja_dict_set(struct jinja *jinja, struct jinja_dict *dict, struct jinja_value key,
                    struct jinja_value value)
{
    uint64_t hash;

    if (jinja->rc < 0)
        return;
    if (!jinja_hash(jinja, key, &hash)) {
        jinja_raise(jinja, "unhashable type: '%s'", jinja_type_name(key));
        return;
    }
    struct jinja_entry *entry = value_find(jinja, dict, key, hash);

    if (entry) {
        entry->value = value;
        return;
    }
    if (jinja->rc < 0 || !value_grow(jinja, dict))
        return;
    dict->entries[dict->count++] = (struct jinja_entry){key, value, hash};
    if (dict->index)
        *value_slot(jinja, dict, key, hash) = (uint32_t)dict->count;
}

const struct jinja_value *jinja_dict_get(struct jinja *jinja, const struct jinja_dict *dict,
                                         struct jinja_value key, bool *hashable)
{
    uint64_t hash;

    *hashable = jinja_hash(jinja, key, &hash);
    if (!*hashable || jinja->rc < 0)
        return NULL;
    const struct jinja_entry *entry = value_find(jinja, dict, key, hash);

    return entry ? &entry->value : NULL;
}

const struct jinja_value *jinja_dict_get_text(struct jinja *jinja, const struct jinja_dict *dict,
                                              const struct jinja_string *key)
{
    bool hashable;

    return jinja_dict_get(jinja, dict, jinja_of_string(key), &hashable);
}

const char *jinja_type_name(struct jinja_value value)
{
    static const char *const names[] = {
        [JINJA_MISSING] = "missing",
        [JINJA_UNDEFINED] = "Undefined",
        [JINJA_NONE] = "None",
        [JINJA_BOOL] = "bool",
        [JINJA_INT] = "int",
        [JINJA_FLOAT] = "float",
        [JINJA_STRING] = "str",
        [JINJA_LIST] = "list",
        [JINJA_TUPLE] = "tuple",
        [JINJA_DICT] = "dict",
        [JINJA_VIEW] = "dict view",
        [JINJA_RANGE] = "range",
        [JINJA_ITERATOR] = "generator",
        [JINJA_NAMESPACE] = "Namespace",
        [JINJA_MACRO] = "Macro",
        [JINJA_BUILTIN] = "function",
        [JINJA_LOOP] = "LoopContext",
        [JINJA_CYCLER] = "Cycler",
        [JINJA_JOINER] = "Joiner",
    };

    return names[value.type];
}
