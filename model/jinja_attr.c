/*
 * Attributes, subscripts and slices, in the order jinja2's sandbox looks: object.name tries what
 * the Python object has under that name first and its items then; object[name] the other way round.
 * Methods that would change a list or dict are as good as absent, as are names with an underscore.
 */
#include "model/jinja_ast.h"
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_string.h"

#include <string.h>

static struct jinja_value attr_undefined(struct jinja *jinja, struct jinja_value object,
                                         const struct jinja_string *name)
{
    return jinja_undefined(jinja, "'%s object' has no attribute '%.*s'", jinja_type_name(object),
                           (int)(name->size < 100 ? name->size : 100), name->bytes);
}

static struct jinja_value attr_of_loop(struct jinja *jinja, const struct jinja_loop *loop,
                                       const struct jinja_string *name)
{
    int64_t index0 = (int64_t)loop->index0, length = (int64_t)loop->items.count;
    const struct {
        const char *name;
        struct jinja_value value;
    } fields[] = {
        {"index", jinja_int(index0 + 1)},
        {"index0", jinja_int(index0)},
        {"revindex", jinja_int(length - index0)},
        {"revindex0", jinja_int(length - index0 - 1)},
        {"first", jinja_bool(index0 == 0)},
        {"last", jinja_bool(loop->next.type == JINJA_MISSING)},
        {"length", jinja_int(length)},
        {"depth", jinja_int((int64_t)loop->depth0 + 1)},
        {"depth0", jinja_int((int64_t)loop->depth0)},
        {"previtem", loop->previous},
        {"nextitem", loop->next},
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!jinja_string_is(name, fields[i].name))
            continue;
        if (fields[i].value.type != JINJA_MISSING)
            return fields[i].value;
        return jinja_undefined(jinja, "there is no %s item",
                               fields[i].name[0] == 'p' ? "previous" : "next");
    }
    return jinja_missing();
}

static struct jinja_value attr_of_number(struct jinja_value number, const struct jinja_string *name)
{
    bool whole = jinja_is_int(number);

    if (jinja_string_is(name, "real") || (whole && jinja_string_is(name, "numerator")))
        return whole ? jinja_int(jinja_as_int(number)) : number;
    if (jinja_string_is(name, "imag"))
        return whole ? jinja_int(0) : jinja_float(0);
    return whole && jinja_string_is(name, "denominator") ? jinja_int(1) : jinja_missing();
}

/* Whether Python refuses the attribute to a template: it starts with an underscore, or changes a
 * list or dict. */
static bool attr_refused(struct jinja_value object, const struct jinja_string *name)
{
    static const char *const list_changes[] = {"append", "clear", "pop",    "reverse",
                                               "insert", "sort",  "extend", "remove"};
    static const char *const dict_changes[] = {"clear", "pop", "popitem", "setdefault", "update"};
    const char *const *names = object.type == JINJA_LIST ? list_changes : dict_changes;
    size_t count = object.type == JINJA_LIST   ? sizeof list_changes / sizeof list_changes[0]
                   : object.type == JINJA_DICT ? sizeof dict_changes / sizeof dict_changes[0]
                                               : 0;

    for (size_t i = 0; i < count; i++)
        if (jinja_string_is(name, names[i]))
            return true;
    return name->size > 4 && memcmp(name->bytes, "__", 2) == 0 &&
           memcmp(name->bytes + name->size - 2, "__", 2) == 0;
}

/* What getattr gives; JINJA_MISSING when there is nothing of that name. */
static struct jinja_value attr_get(struct jinja *jinja, struct jinja_value object,
                                   const struct jinja_string *name)
{
    if (object.type == JINJA_LOOP) {
        struct jinja_value field = attr_of_loop(jinja, object.loop, name);

        if (field.type != JINJA_MISSING)
            return field;
    }
    if (object.type == JINJA_NAMESPACE) {
        const struct jinja_value *value = jinja_dict_get_text(jinja, object.dict, name);

        return value ? *value : jinja_missing();
    }
    if (object.type == JINJA_TUPLE && object.list->group) {
        if (jinja_string_is(name, "grouper"))
            return object.list->items[0];
        if (jinja_string_is(name, "list"))
            return object.list->items[1];
    }
    if (jinja_is_number(object)) {
        struct jinja_value part = attr_of_number(object, name);

        if (part.type != JINJA_MISSING)
            return part;
    }
    if (object.type == JINJA_CYCLER && jinja_string_is(name, "current"))
        return object.cycler->items.list->items[object.cycler->at];
    if (object.type == JINJA_MACRO && jinja_string_is(name, "name"))
        return object.macro->node->macro->name
                   ? jinja_of_string(&object.macro->node->macro->name->text)
                   : jinja_none();
    if (attr_refused(object, name))
        return jinja_undefined(jinja, "access to attribute '%.*s' of '%s' object is unsafe.",
                               (int)(name->size < 100 ? name->size : 100), name->bytes,
                               jinja_type_name(object));
    const struct jinja_builtin *method = jinja_find_method(object, name);

    return method ? jinja_method_value(jinja, method, object) : jinja_missing();
}

/* What object[index] gives; JINJA_MISSING where Python raises TypeError or LookupError. */
static struct jinja_value attr_item(struct jinja *jinja, struct jinja_value object,
                                    struct jinja_value index)
{
    size_t length;
    bool hashable;

    if (object.type == JINJA_DICT) {
        const struct jinja_value *value = jinja_dict_get(jinja, object.dict, index, &hashable);

        return value ? *value : jinja_missing();
    }
    if (object.type != JINJA_LIST && object.type != JINJA_TUPLE && object.type != JINJA_STRING &&
        object.type != JINJA_RANGE)
        return jinja_missing();
    if (!jinja_is_int(index) || !jinja_length(object, &length))
        return jinja_missing();
    int64_t at = jinja_as_int(index);

    if (at < 0)
        at += (int64_t)length;
    if (at < 0 || (uint64_t)at >= length)
        return jinja_missing();
    return jinja_item(jinja, object, (size_t)at);
}

struct jinja_value jinja_attribute(struct jinja *jinja, struct jinja_value object,
                                   const struct jinja_string *name)
{
    if (object.type == JINJA_UNDEFINED && !attr_refused(object, name))
        return jinja_refuse_undefined(jinja, object);
    struct jinja_value value = attr_get(jinja, object, name);

    if (value.type == JINJA_MISSING)
        value = attr_item(jinja, object, jinja_of_string(name));
    return value.type == JINJA_MISSING ? attr_undefined(jinja, object, name) : value;
}

struct jinja_value jinja_subscript(struct jinja *jinja, struct jinja_value object,
                                   struct jinja_value index)
{
    if (object.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, object);
    struct jinja_value value = attr_item(jinja, object, index);

    if (value.type != JINJA_MISSING)
        return value;
    if (index.type != JINJA_STRING)
        return jinja_undefined(jinja, "'%s object' has no such element", jinja_type_name(object));
    value = attr_get(jinja, object, index.string);
    return value.type == JINJA_MISSING ? attr_undefined(jinja, object, index.string) : value;
}

struct jinja_value jinja_method_value(struct jinja *jinja, const struct jinja_builtin *builtin,
                                      struct jinja_value self)
{
    struct jinja_bound *bound = jinja_alloc(jinja, sizeof *bound);

    if (!bound)
        return jinja_missing();
    bound->builtin = builtin;
    bound->self = self;
    return (struct jinja_value){.type = JINJA_BUILTIN, .bound = bound};
}

/* Python's slice.indices for one bound. */
static int64_t attr_clamp(int64_t bound, int64_t length, bool backwards)
{
    int64_t low = backwards ? -1 : 0, high = backwards ? length - 1 : length;

    if (bound < 0)
        bound += length;
    return bound < low ? low : bound > high ? high : bound;
}

static struct jinja_value attr_slice_text(struct jinja *jinja, const struct jinja_string *string,
                                          int64_t start, int64_t step, size_t count)
{
    struct jinja_builder builder;

    if (step == 1) {
        size_t from = jinja_char_offset(string, (size_t)start);
        struct jinja_string rest = {.bytes = string->bytes + from,
                                    .size = string->size - from,
                                    .chars = string->chars - (size_t)start};

        jinja_charge(jinja, string->chars == string->size ? 0 : string->size / 64);
        return jinja_substring(jinja, string, from, from + jinja_char_offset(&rest, count));
    }
    size_t *offsets = NULL;

    if (string->chars != string->size) { /* where each character starts */
        offsets = jinja_alloc_array(jinja, string->chars + 1, sizeof *offsets);
        for (size_t i = 0, at = 0; at < string->size && offsets; at++)
            if (((unsigned char)string->bytes[at] & 0xc0) != 0x80)
                offsets[i++] = at;
        if (offsets)
            offsets[string->chars] = string->size;
    }
    jinja_builder_init(&builder, jinja);
    for (size_t i = 0; i < count && jinja_charge(jinja, 1); i++) {
        size_t at = (size_t)(start + (int64_t)i * step);

        jinja_builder_add_part(&builder, string, offsets ? offsets[at] : at,
                               offsets ? offsets[at + 1] : at + 1);
    }
    struct jinja_value text = jinja_builder_string(&builder);

    return jinja->rc < 0 ? text : jinja_markup(jinja, text.string, string->markup);
}

static struct jinja_value attr_slice_items(struct jinja *jinja, struct jinja_value object,
                                           int64_t start, int64_t step, size_t count)
{
    if (object.type == JINJA_RANGE) {
        struct jinja_range *range = jinja_alloc(jinja, sizeof *range);

        if (!range)
            return jinja_missing();
        range->start = object.range->start + start * object.range->step;
        range->step = object.range->step * step;
        range->stop = range->start + range->step * (int64_t)count;
        range->count = count;
        return (struct jinja_value){.type = JINJA_RANGE, .range = range};
    }
    struct jinja_list *list = jinja_list_new(jinja, count);

    for (size_t i = 0; i < count && list && jinja_charge(jinja, 1); i++)
        jinja_list_add(jinja, list, object.list->items[start + (int64_t)i * step]);
    return jinja_of_list(object.type, list);
}

struct jinja_value jinja_slice(struct jinja *jinja, struct jinja_value object,
                               const struct jinja_value bounds[3])
{
    size_t length;

    if (object.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, object);
    if (object.type != JINJA_LIST && object.type != JINJA_TUPLE && object.type != JINJA_STRING &&
        object.type != JINJA_RANGE)
        return jinja_raise(jinja, "'%s' object cannot be sliced", jinja_type_name(object));
    for (int i = 0; i < 3; i++)
        if (bounds[i].type != JINJA_NONE && !jinja_is_int(bounds[i]))
            return jinja_raise(jinja, "slice indices must be integers or None");
    jinja_length(object, &length);
    int64_t n = (int64_t)length;
    int64_t step = bounds[2].type == JINJA_NONE ? 1 : jinja_as_int(bounds[2]);

    if (step == 0)
        return jinja_raise(jinja, "slice step cannot be zero");
    if (step > n + 1) /* no step takes more than one item then, and nothing overflows */
        step = n + 1;
    if (step < -n - 1)
        step = -n - 1;
    bool backwards = step < 0;
    int64_t start = backwards ? n - 1 : 0, stop = backwards ? -1 : n;

    if (bounds[0].type != JINJA_NONE)
        start = attr_clamp(jinja_as_int(bounds[0]), n, backwards);
    if (bounds[1].type != JINJA_NONE)
        stop = attr_clamp(jinja_as_int(bounds[1]), n, backwards);
    int64_t span = backwards ? start - stop : stop - start, stride = backwards ? -step : step;
    size_t count = span > 0 ? (size_t)((span + stride - 1) / stride) : 0;

    if (count == 0)
        start = 0;
    if (object.type == JINJA_STRING)
        return attr_slice_text(jinja, object.string, start, step, count);
    return attr_slice_items(jinja, object, start, step, count);
}
