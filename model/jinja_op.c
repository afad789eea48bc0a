/*
 * Arithmetic as Python does it: floor division and modulo round down, true division gives floats,
 * text and lists add and repeat. Integers have 64 bits here; what would pass them raises.
 */
#include "model/jinja_builtin.h"
#include "model/jinja_eval.h"
#include "model/jinja_format.h"

#include <math.h>

static const char *op_sign(enum jinja_op op)
{
    static const char *const signs[] = {"+", "-", "*", "/", "//", "%", "**"};

    return signs[op];
}

static struct jinja_value op_overflow(struct jinja *jinja)
{
    return jinja_raise(jinja, "an integer does not fit in 64 bits");
}

static struct jinja_value op_power(struct jinja *jinja, int64_t base, int64_t exponent)
{
    int64_t result = 1;

    if (exponent < 0)
        return base == 0 ? jinja_raise(jinja, "zero cannot be raised to a negative power")
                         : jinja_float(pow((double)base, (double)exponent));
    if (base >= -1 && base <= 1)
        return jinja_int(base == -1 ? (exponent % 2 ? -1 : 1) : exponent == 0 ? 1 : base);
    for (; exponent > 0; exponent--) /* at most 63 rounds until it overflows */
        if (__builtin_mul_overflow(result, base, &result))
            return op_overflow(jinja);
    return jinja_int(result);
}

static int64_t op_floor_div(int64_t a, int64_t b)
{
    int64_t quotient = a / b;

    return quotient - (a % b != 0 && (a < 0) != (b < 0));
}

static struct jinja_value op_int(struct jinja *jinja, enum jinja_op op, int64_t a, int64_t b)
{
    int64_t result = 0;
    bool overflow = false;

    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        return jinja_raise(jinja, "division by zero");
    switch (op) {
    case OP_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case OP_SUB: overflow = __builtin_sub_overflow(a, b, &result); break;
    case OP_MUL: overflow = __builtin_mul_overflow(a, b, &result); break;
    case OP_DIV: return jinja_float((double)a / (double)b);
    case OP_POW: return op_power(jinja, a, b);
    case OP_MOD:
        result = b == -1 ? 0 : a % b;
        result += result != 0 && (result < 0) != (b < 0) ? b : 0;
        break;
    default: /* OP_FLOORDIV */
        overflow = a == INT64_MIN && b == -1;
        result = overflow ? 0 : op_floor_div(a, b);
        break;
    }
    return overflow ? op_overflow(jinja) : jinja_int(result);
}

static double op_float_mod(double a, double b)
{
    double rest = fmod(a, b);

    if (rest != 0)
        return (rest < 0) != (b < 0) ? rest + b : rest;
    return copysign(0.0, b);
}

/* CPython's float_floor_div: from the remainder, so that both agree. */
static double op_float_floor_div(double a, double b)
{
    double rest = fmod(a, b), quotient = (a - rest) / b;

    if (rest != 0 && (rest < 0) != (b < 0))
        quotient -= 1.0;
    if (quotient == 0)
        return copysign(0.0, a / b);
    double whole = floor(quotient);

    return quotient - whole > 0.5 ? whole + 1.0 : whole;
}

static struct jinja_value op_float(struct jinja *jinja, enum jinja_op op, double a, double b)
{
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        return jinja_raise(jinja, "float division by zero");
    switch (op) {
    case OP_ADD: return jinja_float(a + b);
    case OP_SUB: return jinja_float(a - b);
    case OP_MUL: return jinja_float(a * b);
    case OP_DIV: return jinja_float(a / b);
    case OP_FLOORDIV: return jinja_float(op_float_floor_div(a, b));
    case OP_MOD: return jinja_float(op_float_mod(a, b));
    default: break;
    }
    double power = pow(a, b);

    if (a == 0 && b < 0)
        return jinja_raise(jinja, "zero cannot be raised to a negative power");
    if (isnan(power) && !isnan(a) && !isnan(b))
        return jinja_raise(jinja, "complex numbers are not supported");
    if (isinf(power) && !isinf(a) && !isinf(b))
        return jinja_raise(jinja, "numerical result out of range");
    return jinja_float(power);
}

static struct jinja_value op_join_lists(struct jinja *jinja, struct jinja_value left,
                                        struct jinja_value right)
{
    struct jinja_list *sum = jinja_list_new(jinja, left.list->count + right.list->count);

    for (size_t i = 0; i < left.list->count && sum; i++)
        jinja_list_add(jinja, sum, left.list->items[i]);
    for (size_t i = 0; i < right.list->count && sum; i++)
        jinja_list_add(jinja, sum, right.list->items[i]);
    return jinja_of_list(left.type, sum);
}

static struct jinja_value op_repeat(struct jinja *jinja, struct jinja_value sequence, int64_t times)
{
    size_t count = times > 0 ? (size_t)times : 0;

    if (sequence.type == JINJA_STRING) {
        struct jinja_builder builder;

        jinja_builder_init(&builder, jinja);
        jinja_builder_repeat(&builder, sequence.string, count);
        struct jinja_value text = jinja_builder_string(&builder);

        return jinja->rc < 0 ? text : jinja_markup(jinja, text.string, sequence.string->markup);
    }
    if (sequence.list->count > 0 && count > SIZE_MAX / 64 / sequence.list->count)
        return jinja_exceed(jinja, "bytes of memory");
    struct jinja_list *list = jinja_list_new(jinja, sequence.list->count * count);

    for (size_t i = 0; i < count && list && sequence.list->count > 0; i++)
        for (size_t k = 0; k < sequence.list->count; k++)
            jinja_list_add(jinja, list, sequence.list->items[k]);
    return jinja_of_list(sequence.type, list);
}

static bool op_is_sequence(struct jinja_value value)
{
    return value.type == JINJA_STRING || value.type == JINJA_LIST || value.type == JINJA_TUPLE;
}

struct jinja_value jinja_binary(struct jinja *jinja, enum jinja_op op, struct jinja_value left,
                                struct jinja_value right)
{
    if (jinja_is_number(left) && jinja_is_number(right)) {
        if (left.type == JINJA_FLOAT || right.type == JINJA_FLOAT)
            return op_float(jinja, op, jinja_as_float(left), jinja_as_float(right));
        return op_int(jinja, op, jinja_as_int(left), jinja_as_int(right));
    }
    if (op == OP_MOD && left.type == JINJA_STRING)
        return jinja_percent_format(jinja, left.string, right);
    if (left.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, left);
    if (right.type == JINJA_UNDEFINED)
        return jinja_refuse_undefined(jinja, right);
    if (op == OP_ADD && left.type == right.type && op_is_sequence(left))
        return left.type == JINJA_STRING ? jinja_concat(jinja, left.string, right.string)
                                         : op_join_lists(jinja, left, right);
    if (op == OP_MUL && op_is_sequence(left) && jinja_is_int(right))
        return op_repeat(jinja, left, jinja_as_int(right));
    if (op == OP_MUL && jinja_is_int(left) && op_is_sequence(right))
        return op_repeat(jinja, right, jinja_as_int(left));
    if (op == OP_ADD && left.type == JINJA_STRING)
        return jinja_raise(jinja, "can only concatenate str (not \"%s\") to str",
                           jinja_type_name(right));
    return jinja_raise(jinja, "unsupported operand type(s) for %s: '%s' and '%s'", op_sign(op),
                       jinja_type_name(left), jinja_type_name(right));
}
