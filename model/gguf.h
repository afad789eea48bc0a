/*
 * A GGUF file (versions 2 and 3, little-endian), mapped read-only and checked whole before use.
 *
 * gguf_open walks header, metadata and tensor table once and verifies every length, offset and
 * overlap against the file's size, so that later lookups cannot fail on malformed input. Strings
 * and arrays are returned as views into the mapping: valid until gguf_close, not zero-terminated.
 * After gguf_open the struct is immutable: any thread may read.
 *
 * The file must not be truncated while it is open: the mapping would end in SIGBUS.
 */
#ifndef TANDEM_MODEL_GGUF_H
#define TANDEM_MODEL_GGUF_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are those of the GGUF specification. */
enum gguf_value_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
};

enum gguf_tensor_type {
    GGUF_TENSOR_F32 = 0,
    GGUF_TENSOR_F16 = 1,
    GGUF_TENSOR_Q4_0 = 2,
    GGUF_TENSOR_Q4_1 = 3,
    GGUF_TENSOR_Q5_0 = 6,
    GGUF_TENSOR_Q5_1 = 7,
    GGUF_TENSOR_Q8_0 = 8,
    GGUF_TENSOR_Q4_K = 12,
    GGUF_TENSOR_Q5_K = 13,
    GGUF_TENSOR_Q6_K = 14,
    GGUF_TENSOR_BF16 = 30,
};

struct gguf_string {
    const char *bytes;
    size_t size;
};

struct gguf_tensor {
    struct gguf_string name;
    enum gguf_tensor_type type;
    int n_dims;
    uint64_t dims[4]; /* dims[0] is the row length (contiguous); unused ones are 1 */
    const void *data; /* in the mapping, aligned to the file's alignment (8 bytes at least) */
    size_t bytes;
};

struct gguf;

/* Returns 0; -ENOENT, -EACCES and the like from the file system; -EINVAL with the key or tensor
 * named in err for a file that is not sound or uses a type we do not read. */
int gguf_open(struct gguf **ret_file, const char *path, struct err *err);
void gguf_close(struct gguf *file);

/* Same checks over bytes in memory (fuzzing, tests); the bytes must outlive the struct, and tensor
 * data is only as aligned as they are. */
int gguf_parse(struct gguf **ret_file, const void *bytes, size_t size, struct err *err);

/* Metadata. Each returns 0 and sets the output; -ENOENT when the key is absent; -EINVAL with err
 * set when it has another type or does not fit. Integers of any GGUF width are accepted. */
int gguf_get_u32(const struct gguf *file, const char *key, uint32_t *ret, struct err *err);
int gguf_get_f32(const struct gguf *file, const char *key, float *ret, struct err *err);
int gguf_get_bool(const struct gguf *file, const char *key, bool *ret, struct err *err);
int gguf_get_string(const struct gguf *file, const char *key, struct gguf_string *ret,
                    struct err *err);

/* Arrays: a view of fixed-size elements (bytes may be unaligned: copy out with memcpy). */
struct gguf_array {
    enum gguf_value_type type; /* of the elements; never GGUF_ARRAY */
    size_t count;
    const unsigned char *bytes; /* for GGUF_STRING: walk with gguf_array_string */
    size_t size;                /* in bytes */
};
int gguf_get_array(const struct gguf *file, const char *key, enum gguf_value_type type,
                   struct gguf_array *ret, struct err *err);

/* Iterates a string array: *cursor (a byte offset) starts at 0; false at the end. */
bool gguf_array_string(const struct gguf_array *array, size_t *cursor, struct gguf_string *ret);

const struct gguf_tensor *gguf_find_tensor(const struct gguf *file, const char *name);
size_t gguf_tensor_count(const struct gguf *file);
const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, size_t index);

const char *gguf_tensor_type_name(enum gguf_tensor_type type);

#endif
