/*
 * Typed members of a JSON object from a client. A member that is absent or null leaves the output
 * as it was (the caller's default); one of another type or out of range is a 400 that names it.
 *
 * `where` is the path of the object in the request, "" for the body itself, "stream_options." for a
 * member: it goes before the name in the error's param.
 */
#ifndef TANDEM_SERVER_JSON_FIELD_H
#define TANDEM_SERVER_JSON_FIELD_H

#include "server/api_error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* NULL when absent or null. */
const json_t *json_field(const json_t *object, const char *name);

int json_field_bool(const json_t *object, const char *where, const char *name, bool *ret,
                    struct api_error *error);

/* Whole numbers; 16.0 counts as 16. Bounds are inclusive. */
int json_field_int(const json_t *object, const char *where, const char *name, int64_t min,
                   int64_t max, int64_t *ret, struct api_error *error);

int json_field_real(const json_t *object, const char *where, const char *name, double min,
                    double max, double *ret, struct api_error *error);

/* A view into the object; *ret_size is its length in bytes. */
int json_field_string(const json_t *object, const char *where, const char *name, const char **ret,
                      size_t *ret_size, struct api_error *error);

/* An array or object of the given jansson type. */
int json_field_container(const json_t *object, const char *where, const char *name, json_type type,
                         const json_t **ret, struct api_error *error);

/* "a string", "an integer" ...: what the value is, for error messages. */
const char *json_kind(const json_t *value);

#endif
