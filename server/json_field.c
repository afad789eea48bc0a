/* Reading fields of a request; messages say what was expected and what came, never echo values. */
#include "server/json_field.h"

#include <math.h>
#include <stdio.h>

const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

const json_t *json_field(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return value && !json_is_null(value) ? value : NULL;
}

static int wrong_json_type(const char *where, const char *name, const char *expected,
                           const json_t *value, struct api_error *error)
{
    char path[API_ERROR_PARAM_MAX];

    snprintf(path, sizeof path, "%s%s", where, name);
    return api_error_set(error, 400, "invalid_type", path, "'%s' must be %s, not %s.", path,
                         expected, json_kind(value));
}

int json_field_bool(const json_t *object, const char *where, const char *name, bool *ret,
                    struct api_error *error)
{
    const json_t *value = json_field(object, name);

    if (!value)
        return 0;
    if (!json_is_boolean(value))
        return wrong_json_type(where, name, "a boolean", value, error);
    *ret = json_is_true(value);
    return 0;
}

int json_field_int(const json_t *object, const char *where, const char *name, int64_t min,
                   int64_t max, int64_t *ret, struct api_error *error)
{
    const json_t *value = json_field(object, name);
    bool in_range;
    int64_t number = 0;

    if (!value)
        return 0;
    if (json_is_integer(value)) {
        number = json_integer_value(value);
        in_range = number >= min && number <= max;
    } else {
        double real = json_is_real(value) ? json_real_value(value) : 0.5;

        if (real != floor(real))
            return wrong_json_type(where, name, "an integer", value, error);
        in_range = real >= (double)min && real <= (double)max && fabs(real) < 0x1p62;
        number = in_range ? (int64_t)real : 0;
    }
    if (!in_range) {
        char path[API_ERROR_PARAM_MAX];

        snprintf(path, sizeof path, "%s%s", where, name);
        return api_error_set(error, 400, "invalid_value", path, "'%s' must be from %lld to %lld.",
                             path, (long long)min, (long long)max);
    }
    *ret = number;
    return 0;
}

int json_field_real(const json_t *object, const char *where, const char *name, double min,
                    double max, double *ret, struct api_error *error)
{
    const json_t *value = json_field(object, name);

    if (!value)
        return 0;
    if (!json_is_number(value))
        return wrong_json_type(where, name, "a number", value, error);
    double number = json_number_value(value);

    if (!(number >= min && number <= max)) {
        char path[API_ERROR_PARAM_MAX];

        snprintf(path, sizeof path, "%s%s", where, name);
        return api_error_set(error, 400, "invalid_value", path, "'%s' must be from %g to %g.", path,
                             min, max);
    }
    *ret = number;
    return 0;
}

int json_field_string(const json_t *object, const char *where, const char *name, const char **ret,
                      size_t *ret_size, struct api_error *error)
{
    const json_t *value = json_field(object, name);

    if (!value)
        return 0;
    if (!json_is_string(value))
        return wrong_json_type(where, name, "a string", value, error);
    *ret = json_string_value(value);
    *ret_size = json_string_length(value);
    return 0;
}

int json_field_container(const json_t *object, const char *where, const char *name, json_type type,
                         const json_t **ret, struct api_error *error)
{
    const json_t *value = json_field(object, name);

    if (!value)
        return 0;
    if (json_typeof(value) != type)
        return wrong_json_type(where, name, type == JSON_ARRAY ? "an array" : "an object", value,
                               error);
    *ret = value;
    return 0;
}
