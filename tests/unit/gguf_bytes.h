/*
 * Writes a GGUF 3 file of metadata alone into memory, so that tests need no file. Values are not
 * checked: a test may write what a reader must refuse.
 */
#ifndef TANDEM_TESTS_UNIT_GGUF_BYTES_H
#define TANDEM_TESTS_UNIT_GGUF_BYTES_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf_bytes {
    struct buf file;
    uint64_t n_keys;
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

/* Completes the file, which stays in bytes->file. */
void gguf_bytes_finish(struct gguf_bytes *bytes);

#endif
