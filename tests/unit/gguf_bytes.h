/*
 * Writes a GGUF 3 file into memory, so that tests need no file: keys, then tensors, then their
 * data. Values are not checked: a test may write what a reader must refuse.
 */
#ifndef TANDEM_TESTS_UNIT_GGUF_BYTES_H
#define TANDEM_TESTS_UNIT_GGUF_BYTES_H

#include "base/buf.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf_bytes {
    struct buf file;
    uint64_t n_keys, n_tensors; /* go into the header when the file is finished */
};

void gguf_bytes_init(struct gguf_bytes *bytes);
void gguf_bytes_free(struct gguf_bytes *bytes);

void gguf_bytes_string(struct gguf_bytes *bytes, const char *key, const char *value);
void gguf_bytes_u32(struct gguf_bytes *bytes, const char *key, uint32_t value);
void gguf_bytes_bool(struct gguf_bytes *bytes, const char *key, bool value);
void gguf_bytes_strings(struct gguf_bytes *bytes, const char *key, const char *const *values,
                        size_t count);
void gguf_bytes_i32s(struct gguf_bytes *bytes, const char *key, const int32_t *values,
                     size_t count);
void gguf_bytes_f32s(struct gguf_bytes *bytes, const char *key, const float *values, size_t count);

/* A scalar of any type of fixed size, which `value` has. */
void gguf_bytes_value(struct gguf_bytes *bytes, const char *key, enum gguf_value_type type,
                      const void *value);

/* Starts an array of `count` elements; they follow by gguf_bytes_put or gguf_bytes_text. */
void gguf_bytes_array(struct gguf_bytes *bytes, const char *key, uint32_t type, uint64_t count);

/* Bytes as they are; a string with its length before it. */
void gguf_bytes_put(struct gguf_bytes *bytes, const void *value, size_t size);
void gguf_bytes_text(struct gguf_bytes *bytes, const char *text);

/* An entry of the tensor table. */
void gguf_bytes_tensor(struct gguf_bytes *bytes, const char *name, uint32_t n_dims,
                       const uint64_t *dims, uint32_t type, uint64_t offset);

/* Pads to the alignment and appends `size` bytes that count up from 0. */
void gguf_bytes_data(struct gguf_bytes *bytes, size_t size);

/* Completes the file, which stays in bytes->file. */
void gguf_bytes_finish(struct gguf_bytes *bytes);

#endif
