#include "tests/unit/gguf_bytes.h"

#include "model/gguf.h"

#include <assert.h>
#include <string.h>

/* The machine is little-endian, as the format is; model/gguf.h reads nothing else. */
void gguf_bytes_put(struct gguf_bytes *bytes, const void *value, size_t size)
{
    (void)buf_append(&bytes->file, value, size); /* file.failed remembers */
}

void gguf_bytes_text(struct gguf_bytes *bytes, const char *text)
{
    uint64_t size = strlen(text);

    gguf_bytes_put(bytes, &size, sizeof size);
    gguf_bytes_put(bytes, text, size);
}

static void gguf_bytes_key(struct gguf_bytes *bytes, const char *key, uint32_t type)
{
    gguf_bytes_text(bytes, key);
    gguf_bytes_put(bytes, &type, sizeof type);
    bytes->n_keys++;
}

void gguf_bytes_array(struct gguf_bytes *bytes, const char *key, uint32_t type, uint64_t count)
{
    gguf_bytes_key(bytes, key, GGUF_ARRAY);
    gguf_bytes_put(bytes, &type, sizeof type);
    gguf_bytes_put(bytes, &count, sizeof count);
}

void gguf_bytes_init(struct gguf_bytes *bytes)
{
    static const char head[24] = "GGUF\3"; /* version 3; counts of tensors and keys follow */

    *bytes = (struct gguf_bytes){0};
    buf_init(&bytes->file, 64u << 20);
    gguf_bytes_put(bytes, head, sizeof head);
}

void gguf_bytes_free(struct gguf_bytes *bytes)
{
    buf_free(&bytes->file);
}

void gguf_bytes_string(struct gguf_bytes *bytes, const char *key, const char *value)
{
    gguf_bytes_key(bytes, key, GGUF_STRING);
    gguf_bytes_text(bytes, value);
}

void gguf_bytes_value(struct gguf_bytes *bytes, const char *key, enum gguf_value_type type,
                      const void *value)
{
    static const size_t sizes[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };

    assert(sizes[type] > 0);
    gguf_bytes_key(bytes, key, type);
    gguf_bytes_put(bytes, value, sizes[type]);
}

void gguf_bytes_u32(struct gguf_bytes *bytes, const char *key, uint32_t value)
{
    gguf_bytes_value(bytes, key, GGUF_U32, &value);
}

void gguf_bytes_bool(struct gguf_bytes *bytes, const char *key, bool value)
{
    gguf_bytes_value(bytes, key, GGUF_BOOL, &(char){value});
}

void gguf_bytes_strings(struct gguf_bytes *bytes, const char *key, const char *const *values,
                        size_t count)
{
    gguf_bytes_array(bytes, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++)
        gguf_bytes_text(bytes, values[i]);
}

void gguf_bytes_i32s(struct gguf_bytes *bytes, const char *key, const int32_t *values, size_t count)
{
    gguf_bytes_array(bytes, key, GGUF_I32, count);
    gguf_bytes_put(bytes, values, count * sizeof *values);
}

void gguf_bytes_f32s(struct gguf_bytes *bytes, const char *key, const float *values, size_t count)
{
    gguf_bytes_array(bytes, key, GGUF_F32, count);
    gguf_bytes_put(bytes, values, count * sizeof *values);
}

void gguf_bytes_tensor(struct gguf_bytes *bytes, const char *name, uint32_t n_dims,
                       const uint64_t *dims, uint32_t type, uint64_t offset)
{
    gguf_bytes_text(bytes, name);
    gguf_bytes_put(bytes, &n_dims, sizeof n_dims);
    gguf_bytes_put(bytes, dims, n_dims * sizeof *dims);
    gguf_bytes_put(bytes, &type, sizeof type);
    gguf_bytes_put(bytes, &offset, sizeof offset);
    bytes->n_tensors++;
}

void gguf_bytes_data(struct gguf_bytes *bytes, size_t size)
{
    while (bytes->file.size % 32 != 0)
        gguf_bytes_put(bytes, "", 1);
    for (size_t i = 0; i < size; i++)
        gguf_bytes_put(bytes, &(unsigned char){(unsigned char)i}, 1);
}

void gguf_bytes_finish(struct gguf_bytes *bytes)
{
    memcpy(bytes->file.bytes + 8, &bytes->n_tensors, sizeof bytes->n_tensors);
    memcpy(bytes->file.bytes + 16, &bytes->n_keys, sizeof bytes->n_keys);
}
