/* The tests behind "is". */
#include "model/jinja_builtin.h"
#include "model/jinja_compare.h"
#include "model/jinja_eval.h"
#include "model/jinja_text_method.h"

/* Whether the value can be the name of a filter or test; raises when it can be no key at all. */
static bool test_key(struct jinja *jinja, struct jinja_value value)
{
    uint64_t hash;

    if (!jinja_hash(jinja, value, &hash))
        jinja_raise(jinja, "unhashable type: '%s'", jinja_type_name(value));
    return value.type == JINJA_STRING;
}

#define TYPE_TEST(name, condition)                                                       \
    static struct jinja_value test_##name(struct jinja *jinja, struct jinja_value value, \
                                          const struct jinja_value *arg)                 \
    {                                                                                    \
        (void)jinja;                                                                     \
        (void)arg;                                                                       \
        return jinja_bool(condition);                                                    \
    }
TYPE_TEST(defined, value.type != JINJA_UNDEFINED)
TYPE_TEST(undefined, value.type == JINJA_UNDEFINED)
TYPE_TEST(none, value.type == JINJA_NONE)
TYPE_TEST(boolean, value.type == JINJA_BOOL)
TYPE_TEST(true, value.type == JINJA_BOOL && value.boolean)
TYPE_TEST(false, value.type == JINJA_BOOL && !value.boolean)
TYPE_TEST(integer, value.type == JINJA_INT)
TYPE_TEST(float, value.type == JINJA_FLOAT)
TYPE_TEST(number, jinja_is_number(value))
TYPE_TEST(string, value.type == JINJA_STRING)
TYPE_TEST(mapping, value.type == JINJA_DICT)
TYPE_TEST(iterable, jinja_iterable(value))
TYPE_TEST(callable, jinja_callable(value))
TYPE_TEST(escaped, value.type == JINJA_STRING && value.string->markup)
TYPE_TEST(sequence, value.type == JINJA_STRING || value.type == JINJA_LIST ||
                        value.type == JINJA_TUPLE || value.type == JINJA_DICT ||
                        value.type == JINJA_RANGE || value.type == JINJA_UNDEFINED)
TYPE_TEST(lower, jinja_text_is(jinja, jinja_str(jinja, value), "lower"))
TYPE_TEST(upper, jinja_text_is(jinja, jinja_str(jinja, value), "upper"))
TYPE_TEST(eq, jinja_equal(jinja, value, arg[0]))
TYPE_TEST(ne, !jinja_equal(jinja, value, arg[0]))
TYPE_TEST(lt, jinja_less(jinja, value, arg[0], "<"))
TYPE_TEST(le, jinja_less_equal(jinja, value, arg[0], "<="))
TYPE_TEST(gt, jinja_less(jinja, arg[0], value, ">"))
TYPE_TEST(ge, jinja_less_equal(jinja, arg[0], value, ">="))
TYPE_TEST(in, jinja_contains(jinja, arg[0], value))
TYPE_TEST(filter, test_key(jinja, value) && jinja_find_filter(value.string))
TYPE_TEST(test, test_key(jinja, value) && jinja_find_test(value.string))
/* The same object; of numbers and None, the same value. */
TYPE_TEST(sameas,
          value.type == arg[0].type && (value.type == JINJA_NONE ||
                                        (jinja_is_number(value) ? jinja_equal(jinja, value, arg[0])
                                                                : value.dict == arg[0].dict)))

static struct jinja_value test_remainder(struct jinja *jinja, struct jinja_value value,
                                         struct jinja_value by, int64_t wanted)
{
    struct jinja_value rest = jinja_binary(jinja, OP_MOD, value, by);

    return jinja->rc < 0 ? rest : jinja_bool(jinja_equal(jinja, rest, jinja_int(wanted)));
}

static struct jinja_value test_odd(struct jinja *jinja, struct jinja_value value,
                                   const struct jinja_value *arg)
{
    (void)arg;
    return test_remainder(jinja, value, jinja_int(2), 1);
}

static struct jinja_value test_even(struct jinja *jinja, struct jinja_value value,
                                    const struct jinja_value *arg)
{
    (void)arg;
    return test_remainder(jinja, value, jinja_int(2), 0);
}

static struct jinja_value test_divisibleby(struct jinja *jinja, struct jinja_value value,
                                           const struct jinja_value *arg)
{
    return test_remainder(jinja, value, arg[0], 0);
}

#define TEST0(text, function)                 \
    {                                         \
        .name = text, .call = test_##function \
    }
#define TEST1(text, function)                                                       \
    {                                                                               \
        .name = text, .call = test_##function, .required = 1, .params = { "other" } \
    }

const struct jinja_builtin *jinja_find_test(const struct jinja_string *name)
{
    static const struct jinja_builtin tests[] = {
        TEST0("defined", defined),
        TEST0("string", string),
        TEST0("none", none),
        TEST0("mapping", mapping),
        TEST0("iterable", iterable),
        TEST0("sequence", sequence),
        TEST0("undefined", undefined),
        TEST0("boolean", boolean),
        TEST0("true", true),
        TEST0("false", false),
        TEST0("integer", integer),
        TEST0("float", float),
        TEST0("number", number),
        TEST0("callable", callable),
        TEST0("escaped", escaped),
        TEST0("lower", lower),
        TEST0("upper", upper),
        TEST0("odd", odd),
        TEST0("even", even),
        TEST0("filter", filter),
        TEST0("test", test),
        TEST1("divisibleby", divisibleby),
        TEST1("sameas", sameas),
        TEST1("in", in),
        TEST1("==", eq),
        TEST1("eq", eq),
        TEST1("equalto", eq),
        TEST1("!=", ne),
        TEST1("ne", ne),
        TEST1("<", lt),
        TEST1("lt", lt),
        TEST1("lessthan", lt),
        TEST1("<=", le),
        TEST1("le", le),
        TEST1(">", gt),
        TEST1("gt", gt),
        TEST1("greaterthan", gt),
        TEST1(">=", ge),
        TEST1("ge", ge),
    };

    return jinja_find_in(tests, sizeof tests / sizeof tests[0], name);
}
