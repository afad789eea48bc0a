/*
 * Metadata: keys and typed values.
 *
 * Values stay in the file; a key's entry says where its payload lies and that all of it was checked
 * (length, every string of an array, every bool), so the getters only copy.
 */
#include "model/gguf_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GGUF_KEYS_MAX 65536u
#define GGUF_KEY_NAME_MAX 65535u /* bytes, by the specification */
/* The smallest entry: length of the name, one byte of it, type, one byte of value. */
#define GGUF_KEY_BYTES_MIN 14u

/* Bytes of a value of fixed size; 0 for strings and arrays. */
static size_t value_bytes(enum gguf_value_type type)
{
    switch (type) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL: return 1;
    case GGUF_U16:
    case GGUF_I16: return 2;
    case GGUF_U32:
    case GGUF_I32:
    case GGUF_F32: return 4;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64: return 8;
    case GGUF_STRING:
    case GGUF_ARRAY: break;
    }
    return 0;
}

static const char *value_type_name(enum gguf_value_type type)
{
    static const char *const names[] = {
        [GGUF_U8] = "u8",         [GGUF_I8] = "i8",       [GGUF_U16] = "u16", [GGUF_I16] = "i16",
        [GGUF_U32] = "u32",       [GGUF_I32] = "i32",     [GGUF_F32] = "f32", [GGUF_BOOL] = "bool",
        [GGUF_STRING] = "string", [GGUF_ARRAY] = "array", [GGUF_U64] = "u64", [GGUF_I64] = "i64",
        [GGUF_F64] = "f64",
    };

    return names[type];
}

static int take_value_type(struct gguf_cursor *cursor, const struct gguf_key *key,
                           enum gguf_value_type *ret, struct err *err)
{
    uint32_t type;

    if (!gguf_take(cursor, &type, sizeof type))
        return err_set(err, EINVAL, "key '%s': the file ends before its type",
                       gguf_show(key->name).text);
    if (type > GGUF_F64)
        return err_set(err, EINVAL, "key '%s': unknown value type %u", gguf_show(key->name).text,
                       type);
    *ret = (enum gguf_value_type)type;
    return 0;
}

/* Moves over key->count elements of key->type, checking each. */
static int take_payload(struct gguf_cursor *cursor, struct gguf_key *key, struct err *err)
{
    size_t each = value_bytes(key->type);
    size_t left = (size_t)(cursor->end - cursor->at);
    struct gguf_string string;

    key->payload = cursor->at;
    /* A string has a length of eight bytes at least, so counts are bounded by the file's size. */
    if (key->count > left / (each ? each : sizeof(uint64_t)))
        goto truncated;
    if (key->type == GGUF_STRING) {
        for (uint64_t i = 0; i < key->count; i++) {
            if (!gguf_take_string(cursor, &string))
                goto truncated;
        }
    } else {
        cursor->at += key->count * each;
    }
    key->payload_bytes = (size_t)(cursor->at - key->payload);
    if (key->type == GGUF_BOOL) {
        for (size_t i = 0; i < key->payload_bytes; i++) {
            if (key->payload[i] > 1)
                return err_set(err, EINVAL, "key '%s': %u is not a bool: 0 and 1 are",
                               gguf_show(key->name).text, key->payload[i]);
        }
    }
    return 0;
truncated:
    return err_set(err, EINVAL, "key '%s': the file ends inside its value",
                   gguf_show(key->name).text);
}

static int take_key(struct gguf_cursor *cursor, struct gguf_key *key, uint64_t index,
                    struct err *err)
{
    if (!gguf_take_string(cursor, &key->name))
        return err_set(err, EINVAL, "metadata entry %llu: the file ends inside its key",
                       (unsigned long long)index);
    if (key->name.size == 0 || key->name.size > GGUF_KEY_NAME_MAX)
        return err_set(err, EINVAL, "metadata entry %llu: a key of %zu bytes: 1 to %u are allowed",
                       (unsigned long long)index, key->name.size, GGUF_KEY_NAME_MAX);
    int rc = take_value_type(cursor, key, &key->type, err);

    if (rc < 0)
        return rc;
    key->count = 1;
    key->is_array = key->type == GGUF_ARRAY;
    if (key->is_array) {
        rc = take_value_type(cursor, key, &key->type, err);
        if (rc < 0)
            return rc;
        if (key->type == GGUF_ARRAY)
            return err_set(err, EINVAL, "key '%s': arrays of arrays are not supported",
                           gguf_show(key->name).text);
        if (!gguf_take(cursor, &key->count, sizeof key->count))
            return err_set(err, EINVAL, "key '%s': the file ends before the array's length",
                           gguf_show(key->name).text);
    }
    return take_payload(cursor, key, err);
}

static int compare_keys(const void *a, const void *b)
{
    const struct gguf_key *first = a, *second = b;

    return gguf_compare_names(&first->name, &second->name);
}

int gguf_read_metadata(struct gguf *file, struct gguf_cursor *cursor, uint64_t count,
                       struct err *err)
{
    size_t left = (size_t)(cursor->end - cursor->at);

    if (count > GGUF_KEYS_MAX || count > left / GGUF_KEY_BYTES_MIN)
        return err_set(err, EINVAL,
                       "the header claims %llu metadata entries; the file has room for %zu and %u "
                       "are allowed",
                       (unsigned long long)count, left / GGUF_KEY_BYTES_MIN, GGUF_KEYS_MAX);
    if (count == 0)
        return 0;
    file->keys = calloc((size_t)count, sizeof *file->keys);
    if (!file->keys)
        return err_set(err, ENOMEM, "out of memory for %llu metadata entries",
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        int rc = take_key(cursor, &file->keys[i], i, err);

        if (rc < 0)
            return rc;
    }
    file->n_keys = (size_t)count;
    qsort(file->keys, file->n_keys, sizeof *file->keys, compare_keys);
    for (size_t i = 1; i < file->n_keys; i++) {
        if (compare_keys(&file->keys[i - 1], &file->keys[i]) == 0)
            return err_set(err, EINVAL, "key '%s' appears twice",
                           gguf_show(file->keys[i].name).text);
    }
    return 0;
}

static const struct gguf_key *find_key(const struct gguf *file, const char *name)
{
    const struct gguf_key wanted = {.name = {.bytes = name, .size = strlen(name)}};

    if (file->n_keys == 0)
        return NULL;
    return bsearch(&wanted, file->keys, file->n_keys, sizeof *file->keys, compare_keys);
}

static int wrong_type(const struct gguf_key *key, const char *wanted, struct err *err)
{
    return err_set(err, EINVAL, "key '%s': %s expected, but it is %s%s", gguf_show(key->name).text,
                   wanted, key->is_array ? "an array of " : "", value_type_name(key->type));
}

/* A key that must be a scalar: -ENOENT when absent, -EINVAL for an array. */
static int find_scalar(const struct gguf *file, const char *name, const char *wanted,
                       const struct gguf_key **ret, struct err *err)
{
    const struct gguf_key *key = find_key(file, name);

    if (!key)
        return -ENOENT;
    if (key->is_array)
        return wrong_type(key, wanted, err);
    *ret = key;
    return 0;
}

/* The little-endian integer of `bytes` bytes at `from`, sign-extended when it is a signed type. */
static int64_t load_integer(const unsigned char *from, size_t bytes, bool is_signed)
{
    uint64_t value = 0;
    unsigned unused_bits = (unsigned)(64 - 8 * bytes);

    memcpy(&value, from, bytes);
    value <<= unused_bits;
    return is_signed ? (int64_t)value >> unused_bits : (int64_t)(value >> unused_bits);
}

int gguf_get_u32(const struct gguf *file, const char *key, uint32_t *ret, struct err *err)
{
    const struct gguf_key *found = NULL;
    int rc = find_scalar(file, key, "an integer", &found, err);
    bool is_signed;

    if (rc < 0)
        return rc;
    switch (found->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_U64: is_signed = false; break;
    case GGUF_I8:
    case GGUF_I16:
    case GGUF_I32:
    case GGUF_I64: is_signed = true; break;
    default: return wrong_type(found, "an integer", err);
    }
    /* A u64 above INT64_MAX comes out negative and is refused like any other. */
    int64_t value = load_integer(found->payload, found->payload_bytes, is_signed);

    if (value < 0 || value > UINT32_MAX)
        return err_set(err, EINVAL, "key '%s': the value does not fit into 0 to %u", key,
                       UINT32_MAX);
    *ret = (uint32_t)value;
    return 0;
}

int gguf_get_f32(const struct gguf *file, const char *key, float *ret, struct err *err)
{
    const struct gguf_key *found = NULL;
    int rc = find_scalar(file, key, "a float", &found, err);

    if (rc < 0)
        return rc;
    if (found->type == GGUF_F32) {
        memcpy(ret, found->payload, sizeof *ret);
    } else if (found->type == GGUF_F64) {
        double value;

        memcpy(&value, found->payload, sizeof value);
        *ret = (float)value;
    } else {
        return wrong_type(found, "a float", err);
    }
    return 0;
}

int gguf_get_bool(const struct gguf *file, const char *key, bool *ret, struct err *err)
{
    const struct gguf_key *found = NULL;
    int rc = find_scalar(file, key, "a bool", &found, err);

    if (rc < 0)
        return rc;
    if (found->type != GGUF_BOOL)
        return wrong_type(found, "a bool", err);
    *ret = found->payload[0] != 0;
    return 0;
}

int gguf_get_string(const struct gguf *file, const char *key, struct gguf_string *ret,
                    struct err *err)
{
    const struct gguf_key *found = NULL;
    int rc = find_scalar(file, key, "a string", &found, err);

    if (rc < 0)
        return rc;
    if (found->type != GGUF_STRING)
        return wrong_type(found, "a string", err);
    *ret = (struct gguf_string){.bytes = (const char *)found->payload + sizeof(uint64_t),
                                .size = found->payload_bytes - sizeof(uint64_t)};
    return 0;
}

int gguf_get_array(const struct gguf *file, const char *key, enum gguf_value_type type,
                   struct gguf_array *ret, struct err *err)
{
    const struct gguf_key *found = find_key(file, key);

    if (!found)
        return -ENOENT;
    if (!found->is_array || found->type != type)
        return err_set(err, EINVAL, "key '%s': an array of %s expected, but it is %s%s", key,
                       value_type_name(type), found->is_array ? "an array of " : "",
                       value_type_name(found->type));
    *ret = (struct gguf_array){.type = type,
                               .count = (size_t)found->count,
                               .bytes = found->payload,
                               .size = found->payload_bytes};
    return 0;
}

bool gguf_array_string(const struct gguf_array *array, size_t *cursor, struct gguf_string *ret)
{
    struct gguf_cursor rest = {.at = array->bytes + *cursor, .end = array->bytes + array->size};

    if (!gguf_take_string(&rest, ret))
        return false;
    *cursor = (size_t)(rest.at - array->bytes);
    return true;
}
