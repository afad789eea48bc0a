/*
 * Calls: arguments bound to named parameters, and the few global functions. A wrong number or name
 * of arguments raises, as Python's TypeError does.
 */
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_eval.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define RANGE_MAX 100000u   /* items; what jinja2's sandbox allows */
#define TIME_TEXT_MAX 4096u /* bytes strftime_now gives at most */

const struct jinja_builtin *jinja_find_in(const struct jinja_builtin *table, size_t count,
                                          const struct jinja_string *name)
{
    for (size_t i = 0; i < count; i++)
        if (jinja_string_is(name, table[i].name))
            return &table[i];
    return NULL;
}

int64_t jinja_arg_int(struct jinja *jinja, struct jinja_value arg, int64_t usual, const char *who)
{
    if (arg.type == JINJA_MISSING)
        return usual;
    if (!jinja_is_int(arg)) {
        jinja_raise(jinja, "%s: an integer is required, not '%s'", who, jinja_type_name(arg));
        return usual;
    }
    return jinja_as_int(arg);
}

const struct jinja_string *jinja_arg_string(struct jinja *jinja, struct jinja_value arg,
                                            const char *who)
{
    static const struct jinja_string nothing = {.bytes = "", .trusted = true};

    if (arg.type == JINJA_STRING)
        return arg.string;
    jinja_raise(jinja, "%s: a string is required, not '%s'", who, jinja_type_name(arg));
    return &nothing;
}

static bool call_bind_keyword(struct jinja *jinja, const struct jinja_builtin *builtin,
                              const struct jinja_keyword *keyword, struct jinja_value *arg)
{
    size_t i = 0;

    while (i < JINJA_PARAMS_MAX && builtin->params[i] &&
           !jinja_string_is(keyword->name, builtin->params[i]))
        i++;
    if (builtin->positional_only || i == JINJA_PARAMS_MAX || !builtin->params[i]) {
        jinja_raise(jinja, "%s() got an unexpected keyword argument '%.*s'", builtin->name,
                    (int)(keyword->name->size < 100 ? keyword->name->size : 100),
                    keyword->name->bytes);
        return false;
    }
    if (arg[i].type != JINJA_MISSING) {
        jinja_raise(jinja, "%s() got multiple values for argument '%s'", builtin->name,
                    builtin->params[i]);
        return false;
    }
    arg[i] = keyword->value;
    return true;
}

struct jinja_value jinja_apply(struct jinja *jinja, const struct jinja_builtin *builtin,
                               struct jinja_value self, const struct jinja_args *args)
{
    struct jinja_value arg[JINJA_PARAMS_MAX] = {0};
    size_t n_params = 0;

    if (jinja->rc < 0)
        return jinja_missing();
    if (builtin->call_any)
        return builtin->call_any(jinja, self, args);
    while (n_params < JINJA_PARAMS_MAX && builtin->params[n_params])
        n_params++;
    if (args->count > n_params)
        return jinja_raise(jinja, "%s() takes at most %zu arguments (%zu given)", builtin->name,
                           n_params, args->count);
    for (size_t i = 0; i < args->count; i++)
        arg[i] = args->items[i];
    for (size_t i = 0; i < args->n_keywords; i++)
        if (!call_bind_keyword(jinja, builtin, &args->keywords[i], arg))
            return jinja_missing();
    for (size_t i = 0; i < builtin->required; i++)
        if (arg[i].type == JINJA_MISSING)
            return jinja_raise(jinja, "%s() missing required argument '%s'", builtin->name,
                               builtin->params[i]);
    return builtin->call(jinja, self, arg);
}

bool jinja_callable(struct jinja_value value)
{
    return value.type == JINJA_MACRO || value.type == JINJA_BUILTIN || value.type == JINJA_LOOP ||
           value.type == JINJA_JOINER || value.type == JINJA_UNDEFINED;
}

static struct jinja_value call_joiner(struct jinja *jinja, struct jinja_cycler *joiner)
{
    if (joiner->at++ == 0)
        return jinja_literal(jinja, "");
    return joiner->items.list->items[0];
}

struct jinja_value jinja_call(struct jinja *jinja, struct jinja_value callee,
                              const struct jinja_args *args)
{
    switch (callee.type) {
    case JINJA_MACRO: return jinja_call_macro(jinja, callee.macro, args);
    case JINJA_BUILTIN: return jinja_apply(jinja, callee.bound->builtin, callee.bound->self, args);
    case JINJA_LOOP:
        if (args->count != 1 || args->n_keywords > 0)
            return jinja_raise(jinja, "loop() takes one argument");
        return jinja_call_loop(jinja, callee.loop, args->items[0]);
    case JINJA_JOINER:
        if (args->count + args->n_keywords > 0)
            return jinja_raise(jinja, "a joiner takes no arguments");
        return call_joiner(jinja, callee.cycler);
    case JINJA_UNDEFINED: return jinja_refuse_undefined(jinja, callee);
    default: return jinja_raise(jinja, "'%s' object is not callable", jinja_type_name(callee));
    }
}

static struct jinja_value call_range(struct jinja *jinja, struct jinja_value self,
                                     const struct jinja_value *arg)
{
    struct jinja_range *range = jinja_alloc(jinja, sizeof *range);
    int64_t first = jinja_arg_int(jinja, arg[0], 0, "range()");
    int64_t second = jinja_arg_int(jinja, arg[1], 0, "range()");

    (void)self;
    if (!range)
        return jinja_missing();
    range->start = arg[1].type == JINJA_MISSING ? 0 : first;
    range->stop = arg[1].type == JINJA_MISSING ? first : second;
    range->step = jinja_arg_int(jinja, arg[2], 1, "range()");
    if (range->step == 0)
        return jinja_raise(jinja, "range() arg 3 must not be zero");
    bool down = range->step < 0;

    if (down ? range->start > range->stop : range->start < range->stop) {
        uint64_t span = down ? (uint64_t)range->start - (uint64_t)range->stop
                             : (uint64_t)range->stop - (uint64_t)range->start;
        uint64_t stride = down ? 0 - (uint64_t)range->step : (uint64_t)range->step;
        uint64_t count = (span - 1) / stride + 1;

        if (count > RANGE_MAX)
            return jinja_raise(jinja, "range too big: at most %u items", RANGE_MAX);
        range->count = (size_t)count;
    }
    return (struct jinja_value){.type = JINJA_RANGE, .range = range};
}

/* dict() and namespace(): a mapping or pairs, then keywords. */
static struct jinja_value call_dict(struct jinja *jinja, struct jinja_value self,
                                    const struct jinja_args *args)
{
    struct jinja_dict *dict = jinja_dict_new(jinja, 4);
    struct jinja_iterator items;
    struct jinja_value item;

    (void)self;
    if (args->count > 1)
        return jinja_raise(jinja, "dict expected at most 1 argument, got %zu", args->count);
    if (args->count == 1 && args->items[0].type == JINJA_DICT) {
        const struct jinja_dict *from = args->items[0].dict;

        for (size_t i = 0; i < from->count && jinja->rc == 0; i++)
            jinja_dict_set(jinja, dict, from->entries[i].key, from->entries[i].value);
    } else if (args->count == 1 && jinja_iterate(jinja, args->items[0], &items)) {
        while (jinja_step(jinja, &items, &item)) {
            const struct jinja_list *pair = jinja_to_list(jinja, item);

            if (pair && pair->count == 2)
                jinja_dict_set(jinja, dict, pair->items[0], pair->items[1]);
            else
                jinja_raise(jinja, "dictionary update sequence element is not a pair");
        }
    }
    for (size_t i = 0; i < args->n_keywords && jinja->rc == 0; i++)
        jinja_dict_set(jinja, dict, jinja_of_string(args->keywords[i].name),
                       args->keywords[i].value);
    return jinja->rc < 0 ? jinja_missing() : jinja_of_dict(dict);
}

static struct jinja_value call_namespace(struct jinja *jinja, struct jinja_value self,
                                         const struct jinja_args *args)
{
    struct jinja_value value = call_dict(jinja, self, args);

    if (jinja->rc == 0)
        value.type = JINJA_NAMESPACE;
    return value;
}

static struct jinja_value call_raise(struct jinja *jinja, struct jinja_value self,
                                     const struct jinja_value *arg)
{
    const struct jinja_string *message = jinja_str(jinja, arg[0]);

    (void)self;
    return jinja_raise(jinja, "%.*s",
                       (int)(message->size < ERR_TEXT_MAX ? message->size : ERR_TEXT_MAX),
                       message->bytes);
}

/* The format with what Python fills in itself for a time without a zone: %z and %Z are empty, %f is
 * zero because the clock given has whole seconds. */
static bool call_time_format(struct jinja *jinja, const struct jinja_string *format, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < format->size; i++) {
        char next = format->bytes[i] == '%' && i + 1 < format->size ? format->bytes[i + 1] : '\0';

        if (n + 8 >= TIME_TEXT_MAX || format->bytes[i] == '\0') {
            jinja_raise(jinja, "strftime_now: the format is too long or contains a null character");
            return false;
        }
        if (next == 'f')
            n += (size_t)snprintf(out + n, 8, "000000");
        if (next == 'f' || next == 'z' || next == 'Z') {
            i++;
            continue;
        }
        out[n++] = format->bytes[i];
        if (next)
            out[n++] = format->bytes[++i];
    }
    out[n] = '\0';
    return true;
}

static struct jinja_value call_strftime_now(struct jinja *jinja, struct jinja_value self,
                                            const struct jinja_value *arg)
{
    const struct jinja_string *given = jinja_arg_string(jinja, arg[0], "strftime_now");
    char format[TIME_TEXT_MAX], text[TIME_TEXT_MAX];
    struct tm tm;

    (void)self;
    if (jinja->rc < 0 || !call_time_format(jinja, given, format))
        return jinja_missing();
    if (!localtime_r(&jinja->now, &tm))
        return jinja_raise(jinja, "strftime_now: the time is out of range");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the format is the template's by design */
    size_t size = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop

    return jinja_text(jinja, text, size, jinja_string_trusted(given));
}

static struct jinja_value call_cycler(struct jinja *jinja, struct jinja_value self,
                                      const struct jinja_args *args)
{
    struct jinja_cycler *cycler = jinja_alloc(jinja, sizeof *cycler);
    struct jinja_list *items = jinja_list_new(jinja, args->count);

    (void)self;
    if (args->count == 0 || args->n_keywords > 0)
        return jinja_raise(jinja, "cycler: at least one item has to be provided");
    for (size_t i = 0; i < args->count && items; i++)
        jinja_list_add(jinja, items, args->items[i]);
    if (!cycler)
        return jinja_missing();
    cycler->items = jinja_of_list(JINJA_TUPLE, items);
    return (struct jinja_value){.type = JINJA_CYCLER, .cycler = cycler};
}

static struct jinja_value call_make_joiner(struct jinja *jinja, struct jinja_value self,
                                           const struct jinja_value *arg)
{
    struct jinja_cycler *joiner = jinja_alloc(jinja, sizeof *joiner);
    struct jinja_list *items = jinja_list_new(jinja, 1);

    (void)self;
    jinja_list_add(jinja, items,
                   arg[0].type == JINJA_MISSING ? jinja_literal(jinja, ", ") : arg[0]);
    if (!joiner)
        return jinja_missing();
    joiner->items = jinja_of_list(JINJA_TUPLE, items);
    return (struct jinja_value){.type = JINJA_JOINER, .cycler = joiner};
}

const struct jinja_builtin *jinja_find_global(const struct jinja_string *name)
{
    static const struct jinja_builtin globals[] = {
        {.name = "range",
         .call = call_range,
         .required = 1,
         .positional_only = true,
         .params = {"start", "stop", "step"}},
        {.name = "dict", .call_any = call_dict},
        {.name = "namespace", .call_any = call_namespace},
        {.name = "cycler", .call_any = call_cycler},
        {.name = "joiner", .call = call_make_joiner, .params = {"sep"}},
        {.name = "raise_exception", .call = call_raise, .required = 1, .params = {"message"}},
        {.name = "strftime_now", .call = call_strftime_now, .required = 1, .params = {"format"}},
    };

    return jinja_find_in(globals, sizeof globals / sizeof globals[0], name);
}
