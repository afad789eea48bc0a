/*
 * Filters on sequences. What Python makes lazily (map, select, ...) is made at once here, into an
 * iterator that can be read once; a template sees no difference but when an item raises that nobody
 * would have read.
 */
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_eval.h"
#include "model/jinja_filter.h"
#include "model/jinja_text_method.h"
#include "model/jinja_unicode.h"

#include <string.h>

static bool sequence_given(struct jinja_value arg)
{
    return arg.type != JINJA_MISSING && arg.type != JINJA_NONE;
}

/* item.a.b for the attribute "a.b" (numbers are indexes); a default replaces what is undefined. */
static struct jinja_value sequence_get(struct jinja *jinja, struct jinja_value item,
                                       struct jinja_value attribute, struct jinja_value usual)
{
    if (!sequence_given(attribute))
        return item;
    if (attribute.type != JINJA_STRING) {
        item = jinja_subscript(jinja, item, attribute);
        return item.type == JINJA_UNDEFINED && sequence_given(usual) ? usual : item;
    }
    const struct jinja_string *path = attribute.string;

    for (size_t at = 0, end; at <= path->size && jinja->rc == 0; at = end + 1) {
        const char *dot = memchr(path->bytes + at, '.', path->size - at);
        int64_t number = 0;

        end = dot ? (size_t)(dot - path->bytes) : path->size;
        struct jinja_value part = jinja_substring(jinja, path, at, end);
        bool digits = end > at && end - at < 10;

        for (size_t i = at; i < end && digits; i++) {
            digits = path->bytes[i] >= '0' && path->bytes[i] <= '9';
            number = number * 10 + (path->bytes[i] - '0');
        }
        if (jinja->rc == 0)
            item = jinja_subscript(jinja, item, digits ? jinja_int(number) : part);
        if (item.type == JINJA_UNDEFINED && sequence_given(usual))
            item = usual;
    }
    return item;
}

/* What items are compared by: an attribute, without case unless asked for. */
static struct jinja_value sequence_key(struct jinja *jinja, struct jinja_value item,
                                       struct jinja_value attribute, bool case_sensitive)
{
    struct jinja_value key = sequence_get(jinja, item, attribute, jinja_none());

    if (jinja->rc == 0 && key.type == JINJA_STRING && !case_sensitive)
        key = jinja_recase(jinja, key.string, JINJA_LOWERCASE);
    return key;
}

static struct jinja_value sequence_length(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    size_t length;

    (void)arg;
    if (!jinja_length(self, &length))
        return jinja_raise(jinja, "object of type '%s' has no len()", jinja_type_name(self));
    return jinja_int((int64_t)length);
}

static struct jinja_value sequence_list(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    (void)arg;
    return jinja_of_list(JINJA_LIST, jinja_to_list(jinja, self));
}

static struct jinja_value sequence_items(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    struct jinja_view view = {.dict = self.dict, .kind = JINJA_ITEMS};

    (void)arg;
    if (self.type == JINJA_UNDEFINED)
        return jinja_to_iterator(jinja, jinja_list_new(jinja, 0));
    if (self.type != JINJA_DICT)
        return jinja_raise(jinja, "items: only a mapping has item pairs");
    return jinja_to_iterator(
        jinja, jinja_to_list(jinja, (struct jinja_value){.type = JINJA_VIEW, .view = &view}));
}

static struct jinja_value sequence_first(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    struct jinja_iterator items;
    struct jinja_value item;

    (void)arg;
    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    if (jinja_step(jinja, &items, &item))
        return item;
    return jinja_undefined(jinja, "No first item, sequence was empty.");
}

static struct jinja_value sequence_last(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    size_t length;

    (void)arg;
    if (self.type == JINJA_LOOP || !jinja_length(self, &length))
        return jinja_raise(jinja, "'%s' object is not reversible", jinja_type_name(self));
    if (length > 0)
        return jinja_item(jinja, self, length - 1);
    return jinja_undefined(jinja, "No last item, sequence was empty.");
}

static struct jinja_value sequence_reverse(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    const struct jinja_value bounds[3] = {jinja_none(), jinja_none(), jinja_int(-1)};

    (void)arg;
    if (self.type == JINJA_STRING)
        return jinja_slice(jinja, self, bounds);
    struct jinja_list *list = jinja_to_list(jinja, self);

    if (!list)
        return jinja_missing();
    struct jinja_value turned = jinja_slice(jinja, jinja_of_list(JINJA_LIST, list), bounds);

    if (self.type == JINJA_ITERATOR || jinja->rc < 0)
        return turned;
    return jinja_to_iterator(jinja, turned.list);
}

static struct jinja_value sequence_join(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    struct jinja_value none = arg[0].type == JINJA_MISSING ? jinja_literal(jinja, "") : arg[0];
    const struct jinja_string *separator = jinja_str(jinja, none);
    struct jinja_iterator items;
    struct jinja_builder builder;
    struct jinja_value item;

    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    jinja_builder_init(&builder, jinja);
    for (bool first = true; jinja_step(jinja, &items, &item); first = false) {
        if (!first)
            jinja_builder_add_string(&builder, separator);
        item = sequence_get(jinja, item, arg[1], jinja_none());
        if (jinja->rc == 0)
            jinja_write_str(&builder, item);
    }
    return jinja_builder_string(&builder);
}

static struct jinja_value sequence_sort(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    bool reverse = jinja_truth(arg[0]), case_sensitive = jinja_truth(arg[1]);
    struct jinja_list *list = jinja_to_list(jinja, self);
    struct jinja_value *keys = list ? jinja_alloc_array(jinja, list->count, sizeof *keys) : NULL;
    const struct jinja_string *path = arg[2].type == JINJA_STRING ? arg[2].string : NULL;

    for (size_t i = 0; keys && i < list->count && jinja->rc == 0; i++) {
        struct jinja_list *key = jinja_list_new(jinja, 1);

        for (size_t at = 0, end; path && at <= path->size && jinja->rc == 0; at = end + 1) {
            const char *comma = memchr(path->bytes + at, ',', path->size - at);

            end = comma ? (size_t)(comma - path->bytes) : path->size;
            jinja_list_add(jinja, key,
                           sequence_key(jinja, list->items[i],
                                        jinja_substring(jinja, path, at, end), case_sensitive));
        }
        if (!path)
            jinja_list_add(jinja, key, sequence_key(jinja, list->items[i], arg[2], case_sensitive));
        keys[i] = jinja_of_list(JINJA_LIST, key);
    }
    if (keys && jinja->rc == 0)
        jinja_sort(jinja, keys, list->items, list->count, reverse);
    return jinja->rc < 0 ? jinja_missing() : jinja_of_list(JINJA_LIST, list);
}

static struct jinja_value sequence_dictsort(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    bool case_sensitive = jinja_truth(arg[0]), reverse = jinja_truth(arg[2]);
    bool by_value = arg[1].type == JINJA_STRING && jinja_string_is(arg[1].string, "value");
    bool by_key = arg[1].type == JINJA_MISSING ||
                  (arg[1].type == JINJA_STRING && jinja_string_is(arg[1].string, "key"));
    struct jinja_view view = {.dict = self.dict, .kind = JINJA_ITEMS};

    if (!by_key && !by_value)
        return jinja_raise(jinja, "dictsort: only by \"key\" or \"value\"");
    if (self.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, self);
    if (self.type != JINJA_DICT)
        return jinja_raise(jinja, "dictsort: a mapping is required");
    struct jinja_list *list =
        jinja_to_list(jinja, (struct jinja_value){.type = JINJA_VIEW, .view = &view});
    struct jinja_value *keys = list ? jinja_alloc_array(jinja, list->count, sizeof *keys) : NULL;

    for (size_t i = 0; keys && i < list->count && jinja->rc == 0; i++)
        keys[i] =
            sequence_key(jinja, list->items[i].list->items[by_value], jinja_none(), case_sensitive);
    if (keys && jinja->rc == 0)
        jinja_sort(jinja, keys, list->items, list->count, reverse);
    return jinja->rc < 0 ? jinja_missing() : jinja_of_list(JINJA_LIST, list);
}

static struct jinja_value sequence_unique(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    struct jinja_dict *seen = jinja_dict_new(jinja, 4);
    struct jinja_list *list = jinja_list_new(jinja, 4);
    struct jinja_iterator items;
    struct jinja_value item;

    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item)) {
        size_t before = seen->count;

        jinja_dict_set(jinja, seen, sequence_key(jinja, item, arg[1], jinja_truth(arg[0])),
                       jinja_none());
        if (seen->count > before)
            jinja_list_add(jinja, list, item);
    }
    return jinja_to_iterator(jinja, list);
}

static struct jinja_value sequence_extreme(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg, bool most)
{
    struct jinja_value item, best = jinja_missing(), best_key = jinja_missing();
    struct jinja_iterator items;

    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item)) {
        struct jinja_value key = sequence_key(jinja, item, arg[1], jinja_truth(arg[0]));

        if (jinja->rc == 0 &&
            (best.type == JINJA_MISSING || (most ? jinja_less(jinja, best_key, key, ">")
                                                 : jinja_less(jinja, key, best_key, "<")))) {
            best = item;
            best_key = key;
        }
    }
    if (best.type != JINJA_MISSING)
        return best;
    return jinja_undefined(jinja, "No aggregated item, sequence was empty.");
}

static struct jinja_value sequence_min(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return sequence_extreme(jinja, self, arg, false);
}

static struct jinja_value sequence_max(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    return sequence_extreme(jinja, self, arg, true);
}

static struct jinja_value sequence_sum(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    struct jinja_value total = arg[1].type == JINJA_MISSING ? jinja_int(0) : arg[1], item;
    struct jinja_iterator items;

    if (total.type == JINJA_STRING)
        return jinja_raise(jinja, "sum() can't sum strings");
    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item)) {
        item = sequence_get(jinja, item, arg[0], jinja_none());
        if (jinja->rc == 0)
            total = jinja_binary(jinja, OP_ADD, total, item);
    }
    return total;
}

static struct jinja_value sequence_batch(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    int64_t size = jinja_arg_int(jinja, arg[0], 1, "batch");
    struct jinja_list *batches = jinja_list_new(jinja, 4), *batch = NULL;
    struct jinja_iterator items;
    struct jinja_value item;

    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item)) {
        if (!batch || (int64_t)batch->count == size) {
            batch = jinja_list_new(jinja, 4);
            jinja_list_add(jinja, batches, jinja_of_list(JINJA_LIST, batch));
        }
        if (batch)
            jinja_list_add(jinja, batch, item);
    }
    while (batch && sequence_given(arg[1]) && (int64_t)batch->count < size && jinja->rc == 0)
        jinja_list_add(jinja, batch, arg[1]);
    return jinja_to_iterator(jinja, batches);
}

static struct jinja_value sequence_slice(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_value *arg)
{
    int64_t slices = jinja_arg_int(jinja, arg[0], 1, "slice");
    struct jinja_list *list = jinja_to_list(jinja, self), *result = jinja_list_new(jinja, 4);
    size_t at = 0;

    if (jinja->rc == 0 && slices == 0)
        return jinja_raise(jinja, "division by zero");
    for (int64_t i = 0; i < slices && jinja_charge(jinja, 1); i++) {
        size_t n = (size_t)slices, extra = list->count % n;
        size_t size = list->count / n + ((size_t)i < extra);
        struct jinja_list *slice = jinja_list_new(jinja, size + 1);

        for (size_t k = 0; k < size && slice; k++)
            jinja_list_add(jinja, slice, list->items[at++]);
        if (slice && sequence_given(arg[1]) && (size_t)i >= extra)
            jinja_list_add(jinja, slice, arg[1]);
        jinja_list_add(jinja, result, jinja_of_list(JINJA_LIST, slice));
    }
    return jinja_to_iterator(jinja, result);
}

static struct jinja_value sequence_groupby(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    bool case_sensitive = jinja_truth(arg[2]);
    struct jinja_list *list = jinja_to_list(jinja, self), *groups = jinja_list_new(jinja, 4);
    struct jinja_list *members = NULL;
    struct jinja_value *keys = list ? jinja_alloc_array(jinja, list->count, sizeof *keys) : NULL;

    for (size_t i = 0; keys && i < list->count && jinja->rc == 0; i++) {
        keys[i] = sequence_get(jinja, list->items[i], arg[0], arg[1]);
        if (jinja->rc == 0)
            keys[i] = sequence_key(jinja, keys[i], jinja_none(), case_sensitive);
    }
    if (keys && jinja->rc == 0)
        jinja_sort(jinja, keys, list->items, list->count, false);
    for (size_t i = 0; keys && i < list->count && jinja->rc == 0; i++) {
        if (!members || !jinja_equal(jinja, keys[i - 1], keys[i])) {
            struct jinja_list *group = jinja_list_new(jinja, 2);

            members = jinja_list_new(jinja, 4);
            if (!group || !members)
                break;
            group->group = true;
            jinja_list_add(jinja, group, sequence_get(jinja, list->items[i], arg[0], arg[1]));
            jinja_list_add(jinja, group, jinja_of_list(JINJA_LIST, members));
            jinja_list_add(jinja, groups, jinja_of_list(JINJA_TUPLE, group));
        }
        jinja_list_add(jinja, members, list->items[i]);
    }
    return jinja->rc < 0 ? jinja_missing() : jinja_of_list(JINJA_LIST, groups);
}

static struct jinja_value sequence_attr(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    const struct jinja_string *name = jinja_arg_string(jinja, arg[0], "attr");

    if (jinja->rc < 0)
        return jinja_missing();
    if (self.type == JINJA_DICT && !jinja_find_method(self, name)) /* attributes only, no items */
        return jinja_undefined(jinja, "'dict object' has no such attribute");
    return jinja_attribute(jinja, self, name);
}

/* The rest of the arguments behind the first `skip`. */
static struct jinja_args sequence_rest(const struct jinja_args *args, size_t skip)
{
    struct jinja_args rest = *args;

    if (skip > 0)
        rest.items += skip;
    rest.count -= skip;
    return rest;
}

static struct jinja_value sequence_map_attribute(struct jinja *jinja, struct jinja_iterator *items,
                                                 const struct jinja_args *args)
{
    struct jinja_value attribute = jinja_missing(), usual = jinja_none(), item;
    struct jinja_list *list = jinja_list_new(jinja, items->count);

    for (size_t i = 0; i < args->n_keywords; i++) {
        if (jinja_string_is(args->keywords[i].name, "attribute"))
            attribute = args->keywords[i].value;
        else if (jinja_string_is(args->keywords[i].name, "default"))
            usual = args->keywords[i].value;
        else
            return jinja_raise(jinja, "map: unexpected keyword argument");
    }
    if (attribute.type == JINJA_MISSING)
        return jinja_raise(jinja, "map requires a filter argument");
    while (jinja_step(jinja, items, &item))
        jinja_list_add(jinja, list, sequence_get(jinja, item, attribute, usual));
    return jinja_to_iterator(jinja, list);
}

static struct jinja_value sequence_map(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_args *args)
{
    struct jinja_iterator items;
    struct jinja_value item;

    if (!jinja_truth(self))
        return jinja_to_iterator(jinja, jinja_list_new(jinja, 0));
    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    if (args->count == 0)
        return sequence_map_attribute(jinja, &items, args);
    const struct jinja_string *name = jinja_arg_string(jinja, args->items[0], "map");
    const struct jinja_builtin *filter = jinja_find_filter(name);
    struct jinja_args rest = sequence_rest(args, 1);
    struct jinja_list *list = jinja_list_new(jinja, items.count);

    if (jinja->rc == 0 && !filter && items.count > 0)
        return jinja_raise(jinja, "map: no filter of that name");
    while (jinja_step(jinja, &items, &item) && jinja_enter(jinja)) {
        jinja_list_add(jinja, list, jinja_apply(jinja, filter, item, &rest));
        jinja_leave(jinja);
    }
    return jinja_to_iterator(jinja, list);
}

static struct jinja_value sequence_pick(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_args *args, bool attribute, bool wanted)
{
    size_t skip = attribute ? 1 : 0;
    struct jinja_list *list = jinja_list_new(jinja, 4);
    const struct jinja_builtin *test = NULL;
    struct jinja_iterator items;
    struct jinja_value item;

    if (!jinja_truth(self))
        return jinja_to_iterator(jinja, list);
    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    if (args->count < skip)
        return jinja_raise(jinja, "missing parameter for attribute name");
    if (args->count > skip) {
        test = jinja_find_test(jinja_arg_string(jinja, args->items[skip], "select"));
        if (jinja->rc == 0 && !test && items.count > 0)
            return jinja_raise(jinja, "select: no test of that name");
    }
    struct jinja_args rest = sequence_rest(args, test ? skip + 1 : skip);

    while (jinja_step(jinja, &items, &item)) {
        struct jinja_value value =
            attribute ? sequence_get(jinja, item, args->items[0], jinja_none()) : item;

        if (test && jinja->rc == 0)
            value = jinja_apply(jinja, test, value, &rest);
        if (jinja->rc == 0 && jinja_truth(value) == wanted)
            jinja_list_add(jinja, list, item);
    }
    return jinja_to_iterator(jinja, list);
}

static struct jinja_value sequence_select(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_args *args)
{
    return sequence_pick(jinja, self, args, false, true);
}

static struct jinja_value sequence_reject(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_args *args)
{
    return sequence_pick(jinja, self, args, false, false);
}

static struct jinja_value sequence_selectattr(struct jinja *jinja, struct jinja_value self,
                                              const struct jinja_args *args)
{
    return sequence_pick(jinja, self, args, true, true);
}

static struct jinja_value sequence_rejectattr(struct jinja *jinja, struct jinja_value self,
                                              const struct jinja_args *args)
{
    return sequence_pick(jinja, self, args, true, false);
}

#define FILTER(text, function, n, ...)                                           \
    {                                                                            \
        .name = text, .call = function, .required = n, .params = { __VA_ARGS__ } \
    }
#define PLAIN_FILTER(text, function)   \
    {                                  \
        .name = text, .call = function \
    }
#define ANY_FILTER(text, function)         \
    {                                      \
        .name = text, .call_any = function \
    }

const struct jinja_builtin jinja_sequence_filters[] = {
    PLAIN_FILTER("length", sequence_length),
    PLAIN_FILTER("count", sequence_length),
    PLAIN_FILTER("list", sequence_list),
    PLAIN_FILTER("items", sequence_items),
    PLAIN_FILTER("first", sequence_first),
    PLAIN_FILTER("last", sequence_last),
    PLAIN_FILTER("reverse", sequence_reverse),
    FILTER("join", sequence_join, 0, "d", "attribute"),
    FILTER("sort", sequence_sort, 0, "reverse", "case_sensitive", "attribute"),
    FILTER("dictsort", sequence_dictsort, 0, "case_sensitive", "by", "reverse"),
    FILTER("unique", sequence_unique, 0, "case_sensitive", "attribute"),
    FILTER("min", sequence_min, 0, "case_sensitive", "attribute"),
    FILTER("max", sequence_max, 0, "case_sensitive", "attribute"),
    FILTER("sum", sequence_sum, 0, "attribute", "start"),
    FILTER("batch", sequence_batch, 1, "linecount", "fill_with"),
    FILTER("slice", sequence_slice, 1, "slices", "fill_with"),
    FILTER("groupby", sequence_groupby, 1, "attribute", "default", "case_sensitive"),
    FILTER("attr", sequence_attr, 1, "name"),
    ANY_FILTER("map", sequence_map),
    ANY_FILTER("select", sequence_select),
    ANY_FILTER("reject", sequence_reject),
    ANY_FILTER("selectattr", sequence_selectattr),
    ANY_FILTER("rejectattr", sequence_rejectattr),
};
const size_t jinja_n_sequence_filters =
    sizeof jinja_sequence_filters / sizeof jinja_sequence_filters[0];
