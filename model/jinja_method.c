/* Methods of everything but str, and the table lookup by type. */
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_text_method.h"

#include <inttypes.h>
#include <math.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct jinja_value method_dict_get(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    bool hashable;
    const struct jinja_value *value = jinja_dict_get(jinja, self.dict, arg[0], &hashable);

    if (!hashable)
        return jinja_raise(jinja, "unhashable type: '%s'", jinja_type_name(arg[0]));
    if (value)
        return *value;
    return arg[1].type == JINJA_MISSING ? jinja_none() : arg[1];
}

static struct jinja_value method_view(struct jinja *jinja, struct jinja_value self,
                                      enum jinja_view_kind kind)
{
    struct jinja_view *view = jinja_alloc(jinja, sizeof *view);

    if (!view)
        return jinja_missing();
    view->dict = self.dict;
    view->kind = kind;
    return (struct jinja_value){.type = JINJA_VIEW, .view = view};
}

static struct jinja_value method_items(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)arg;
    return method_view(jinja, self, JINJA_ITEMS);
}

static struct jinja_value method_keys(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    (void)arg;
    return method_view(jinja, self, JINJA_KEYS);
}

static struct jinja_value method_values(struct jinja *jinja, struct jinja_value self,
                                        const struct jinja_value *arg)
{
    (void)arg;
    return method_view(jinja, self, JINJA_VALUES);
}

static struct jinja_value method_dict_copy(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    (void)jinja;
    (void)arg;
    return self; /* nothing can change either */
}

static struct jinja_value method_list_copy(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    (void)arg;
    return jinja_of_list(JINJA_LIST, jinja_to_list(jinja, self));
}

static struct jinja_value method_count_items(struct jinja *jinja, struct jinja_value self,
                                             const struct jinja_value *arg)
{
    struct jinja_iterator items;
    struct jinja_value item;
    int64_t count = 0;

    if (!jinja_iterate(jinja, self, &items))
        return jinja_missing();
    while (jinja_step(jinja, &items, &item))
        count += jinja_equal(jinja, item, arg[0]);
    return jinja_int(count);
}

static struct jinja_value method_index_of(struct jinja *jinja, struct jinja_value self,
                                          const struct jinja_value *arg)
{
    size_t length = 0;

    jinja_length(self, &length);
    int64_t n = (int64_t)length, from = jinja_arg_int(jinja, arg[1], 0, "index()");
    int64_t to = jinja_arg_int(jinja, arg[2], n, "index()");

    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? to + n : to > n ? n : to;
    for (int64_t i = from; i < to && jinja_charge(jinja, 1); i++)
        if (jinja_equal(jinja, jinja_item(jinja, self, (size_t)i), arg[0]))
            return jinja_int(i);
    return jinja_raise(jinja, "value is not in the sequence");
}

static struct jinja_value method_cycle(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_args *args)
{
    if (args->count == 0 || args->n_keywords > 0)
        return jinja_raise(jinja, "no items for cycling given");
    return args->items[self.loop->index0 % args->count];
}

static struct jinja_value method_changed(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_args *args)
{
    struct jinja_list *now = jinja_list_new(jinja, args->count);

    for (size_t i = 0; i < args->count && now; i++)
        jinja_list_add(jinja, now, args->items[i]);
    struct jinja_value value = jinja_of_list(JINJA_TUPLE, now);

    if (jinja->rc < 0 ||
        (self.loop->changed.type == JINJA_TUPLE && jinja_equal(jinja, self.loop->changed, value)))
        return jinja_bool(false);
    self.loop->changed = value;
    return jinja_bool(true);
}

static struct jinja_value method_next(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_value *arg)
{
    struct jinja_cycler *cycler = self.cycler;
    struct jinja_value item = cycler->items.list->items[cycler->at];

    (void)jinja;
    (void)arg;
    cycler->at = (cycler->at + 1) % cycler->items.list->count;
    return item;
}

static struct jinja_value method_reset(struct jinja *jinja, struct jinja_value self,
                                       const struct jinja_value *arg)
{
    (void)jinja;
    (void)arg;
    self.cycler->at = 0;
    return jinja_none();
}

static struct jinja_value method_is_integer(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    (void)jinja;
    (void)arg;
    return jinja_bool(isfinite(self.real) && floor(self.real) == self.real);
}

static struct jinja_value method_bit_length(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    int64_t value = jinja_as_int(self);
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    (void)jinja;
    (void)arg;
    return jinja_int(size == 0 ? 0 : 64 - __builtin_clzll(size));
}

const struct jinja_builtin *jinja_find_method(struct jinja_value self,
                                              const struct jinja_string *name)
{
    static const struct jinja_builtin dict_methods[] = {
        {.name = "get",
         .call = method_dict_get,
         .required = 1,
         .positional_only = true,
         .params = {"key", "default"}},
        {.name = "items", .call = method_items},
        {.name = "keys", .call = method_keys},
        {.name = "values", .call = method_values},
        {.name = "copy", .call = method_dict_copy},
    };
    static const struct jinja_builtin list_methods[] = {
        {.name = "count",
         .call = method_count_items,
         .required = 1,
         .positional_only = true,
         .params = {"value"}},
        {.name = "index",
         .call = method_index_of,
         .required = 1,
         .positional_only = true,
         .params = {"value", "start", "stop"}},
        {.name = "copy", .call = method_list_copy}, /* the last: tuples and ranges have none */
    };
    static const struct jinja_builtin loop_methods[] = {
        {.name = "cycle", .call_any = method_cycle},
        {.name = "changed", .call_any = method_changed},
    };
    static const struct jinja_builtin cycler_methods[] = {
        {.name = "next", .call = method_next},
        {.name = "reset", .call = method_reset},
    };
    static const struct jinja_builtin float_methods[] = {
        {.name = "is_integer", .call = method_is_integer}};
    static const struct jinja_builtin int_methods[] = {
        {.name = "bit_length", .call = method_bit_length}};

    switch (self.type) {
    case JINJA_STRING: return jinja_find_in(jinja_string_methods, jinja_n_string_methods, name);
    case JINJA_DICT: return jinja_find_in(dict_methods, COUNT(dict_methods), name);
    case JINJA_LIST: return jinja_find_in(list_methods, COUNT(list_methods), name);
    case JINJA_TUPLE:
    case JINJA_RANGE: return jinja_find_in(list_methods, COUNT(list_methods) - 1, name);
    case JINJA_LOOP: return jinja_find_in(loop_methods, COUNT(loop_methods), name);
    case JINJA_CYCLER: return jinja_find_in(cycler_methods, COUNT(cycler_methods), name);
    case JINJA_FLOAT: return jinja_find_in(float_methods, COUNT(float_methods), name);
    case JINJA_INT:
    case JINJA_BOOL: return jinja_find_in(int_methods, COUNT(int_methods), name);
    default: return NULL;
    }
}
