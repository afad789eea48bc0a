/*
 * The tensor table: names, shapes, types and where the data lies.
 *
 * Offsets are checked against the file's end and against each other (sorted by address, each
 * tensor must end before the next begins), so two tensors never share bytes.
 */
#include "model/dequant.h"
#include "model/gguf_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GGUF_TENSORS_MAX 65536u
#define GGUF_TENSOR_NAME_MAX 64u /* bytes, by the specification */
#define GGUF_DIMS_MAX 4u
/* The smallest entry: length of the name, one byte of it, one dimension, type and offset. */
#define GGUF_TENSOR_BYTES_MIN 33u

/* Of the specification, also those we do not read: their names make the refusal readable. */
static const char *const type_names[] = {
    [0] = "F32",     [1] = "F16",      [2] = "Q4_0",   [3] = "Q4_1",    [6] = "Q5_0",
    [7] = "Q5_1",    [8] = "Q8_0",     [9] = "Q8_1",   [10] = "Q2_K",   [11] = "Q3_K",
    [12] = "Q4_K",   [13] = "Q5_K",    [14] = "Q6_K",  [15] = "Q8_K",   [16] = "IQ2_XXS",
    [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S", [20] = "IQ4_NL", [21] = "IQ3_S",
    [22] = "IQ2_S",  [23] = "IQ4_XS",  [24] = "I8",    [25] = "I16",    [26] = "I32",
    [27] = "I64",    [28] = "F64",     [29] = "IQ1_M", [30] = "BF16",   [34] = "TQ1_0",
    [35] = "TQ2_0",  [39] = "MXFP4",
};

const char *gguf_tensor_type_name(enum gguf_tensor_type type)
{
    size_t index = (size_t)type;

    if (index >= sizeof type_names / sizeof *type_names || !type_names[index])
        return "unknown";
    return type_names[index];
}

static int take_dims(struct gguf_cursor *cursor, struct gguf_tensor *tensor, uint64_t *ret_elements,
                     struct err *err)
{
    const struct gguf_shown name = gguf_show(tensor->name);
    uint64_t elements = 1;
    uint32_t n_dims;

    if (!gguf_take(cursor, &n_dims, sizeof n_dims))
        return err_set(err, EINVAL, "tensor '%s': the file ends before its shape", name.text);
    if (n_dims < 1 || n_dims > GGUF_DIMS_MAX)
        return err_set(err, EINVAL, "tensor '%s': %u dimensions: 1 to %u are allowed", name.text,
                       n_dims, GGUF_DIMS_MAX);
    tensor->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < GGUF_DIMS_MAX; i++) {
        tensor->dims[i] = 1;
        if (i < n_dims && !gguf_take(cursor, &tensor->dims[i], sizeof tensor->dims[i]))
            return err_set(err, EINVAL, "tensor '%s': the file ends inside its shape", name.text);
        if (tensor->dims[i] == 0)
            return err_set(err, EINVAL, "tensor '%s': dimension %u is 0", name.text, i);
        if (__builtin_mul_overflow(elements, tensor->dims[i], &elements))
            return err_set(err, EINVAL, "tensor '%s': its shape has more than 2^64 elements",
                           name.text);
    }
    *ret_elements = elements;
    return 0;
}

/* Type and size: needs the shape. */
static int take_type(struct gguf_cursor *cursor, struct gguf_tensor *tensor, uint64_t elements,
                     struct err *err)
{
    const struct gguf_shown name = gguf_show(tensor->name);
    uint32_t type;

    if (!gguf_take(cursor, &type, sizeof type))
        return err_set(err, EINVAL, "tensor '%s': the file ends before its type", name.text);
    tensor->type = (enum gguf_tensor_type)type;
    uint64_t block = (uint64_t)quant_block_elements(tensor->type);
    uint64_t block_bytes = (uint64_t)quant_block_bytes(tensor->type);

    if (block == 0)
        return err_set(err, EINVAL, "tensor '%s': type %u (%s) is not supported", name.text, type,
                       gguf_tensor_type_name(tensor->type));
    if (tensor->dims[0] % block != 0)
        return err_set(err, EINVAL,
                       "tensor '%s': rows of %" PRIu64 " elements are no multiple of %" PRIu64
                       ", the block of %s",
                       name.text, tensor->dims[0], block, gguf_tensor_type_name(tensor->type));
    if (__builtin_mul_overflow(elements / block, block_bytes, &tensor->bytes))
        return err_set(err, EINVAL, "tensor '%s': its data has more than 2^64 bytes", name.text);
    return 0;
}

/* The offset counts from the start of the data, which is known only after the whole table: it is
 * kept in `offsets` until then. */
static int take_tensor(struct gguf_cursor *cursor, struct gguf_tensor *tensor, uint64_t *ret_offset,
                       uint64_t index, struct err *err)
{
    uint64_t elements = 0;

    if (!gguf_take_string(cursor, &tensor->name))
        return err_set(err, EINVAL, "tensor %" PRIu64 ": the file ends inside its name", index);
    if (tensor->name.size == 0 || tensor->name.size > GGUF_TENSOR_NAME_MAX)
        return err_set(err, EINVAL, "tensor %" PRIu64 ": a name of %zu bytes: 1 to %u are allowed",
                       index, tensor->name.size, GGUF_TENSOR_NAME_MAX);
    int rc = take_dims(cursor, tensor, &elements, err);

    if (rc < 0)
        return rc;
    rc = take_type(cursor, tensor, elements, err);
    if (rc < 0)
        return rc;
    if (!gguf_take(cursor, ret_offset, sizeof *ret_offset))
        return err_set(err, EINVAL, "tensor '%s': the file ends before its offset",
                       gguf_show(tensor->name).text);
    return 0;
}

/* data_start: offset of the data section in the file; may lie behind its end. */
static int place_tensor(const struct gguf *file, struct gguf_tensor *tensor, size_t data_start,
                        uint64_t offset, struct err *err)
{
    const struct gguf_shown name = gguf_show(tensor->name);

    if (offset % file->alignment != 0)
        return err_set(err, EINVAL,
                       "tensor '%s': offset %" PRIu64 " is no multiple of the alignment %zu",
                       name.text, offset, file->alignment);
    if (data_start > file->size || offset > file->size - data_start ||
        tensor->bytes > file->size - data_start - offset)
        return err_set(err, EINVAL,
                       "tensor '%s': %zu bytes at offset %" PRIu64
                       " of the data reach past the end of the file: is it truncated?",
                       name.text, tensor->bytes, offset);
    tensor->data = file->bytes + data_start + offset;
    return 0;
}

static int compare_tensor_data(const void *a, const void *b)
{
    const struct gguf_tensor *first = *(const struct gguf_tensor *const *)a;
    const struct gguf_tensor *second = *(const struct gguf_tensor *const *)b;
    const unsigned char *x = first->data, *y = second->data;

    return (x > y) - (x < y);
}

static int compare_tensor_names(const void *a, const void *b)
{
    const struct gguf_tensor *first = *(const struct gguf_tensor *const *)a;
    const struct gguf_tensor *second = *(const struct gguf_tensor *const *)b;

    return gguf_compare_names(&first->name, &second->name);
}

/* Leaves file->tensors_by_name sorted by name. */
static int check_pairs(struct gguf *file, struct err *err)
{
    const struct gguf_tensor **sorted = file->tensors_by_name;

    for (size_t i = 0; i < file->n_tensors; i++)
        sorted[i] = &file->tensors[i];
    qsort(sorted, file->n_tensors, sizeof *sorted, compare_tensor_data);
    for (size_t i = 1; i < file->n_tensors; i++) {
        const unsigned char *before = sorted[i - 1]->data, *data = sorted[i]->data;

        if (sorted[i - 1]->bytes > (size_t)(data - before))
            return err_set(err, EINVAL, "tensor '%s' overlaps tensor '%s'",
                           gguf_show(sorted[i]->name).text, gguf_show(sorted[i - 1]->name).text);
    }
    qsort(sorted, file->n_tensors, sizeof *sorted, compare_tensor_names);
    for (size_t i = 1; i < file->n_tensors; i++) {
        if (compare_tensor_names(&sorted[i - 1], &sorted[i]) == 0)
            return err_set(err, EINVAL, "tensor '%s' appears twice",
                           gguf_show(sorted[i]->name).text);
    }
    return 0;
}

int gguf_read_tensors(struct gguf *file, struct gguf_cursor *cursor, uint64_t count,
                      struct err *err)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    int rc = 0;

    if (count > GGUF_TENSORS_MAX || count > left / GGUF_TENSOR_BYTES_MIN)
        return err_set(err, EINVAL,
                       "the header claims %" PRIu64 " tensors; the file has room for %zu and %u "
                       "are allowed",
                       count, left / GGUF_TENSOR_BYTES_MIN, GGUF_TENSORS_MAX);
    if (count == 0)
        return 0;
    uint64_t *offsets = calloc((size_t)count, sizeof *offsets);

    file->tensors = calloc((size_t)count, sizeof *file->tensors);
    file->tensors_by_name = calloc((size_t)count, sizeof *file->tensors_by_name);
    if (!offsets || !file->tensors || !file->tensors_by_name) {
        rc = err_set(err, ENOMEM, "out of memory for %" PRIu64 " tensors", count);
        goto free_offsets;
    }
    file->n_tensors = (size_t)count;
    for (size_t i = 0; i < file->n_tensors && rc == 0; i++)
        rc = take_tensor(cursor, &file->tensors[i], &offsets[i], i, err);
    if (rc < 0)
        goto free_offsets;
    size_t data_start = (size_t)(cursor->at - file->bytes);

    data_start = (data_start + file->alignment - 1) & ~(file->alignment - 1);
    for (size_t i = 0; i < file->n_tensors && rc == 0; i++)
        rc = place_tensor(file, &file->tensors[i], data_start, offsets[i], err);
    if (rc == 0)
        rc = check_pairs(file, err);
free_offsets:
    free(offsets);
    return rc;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *file, const char *name)
{
    const struct gguf_tensor wanted = {.name = {.bytes = name, .size = strlen(name)}};
    const struct gguf_tensor *key = &wanted;

    if (file->n_tensors == 0)
        return NULL;
    const struct gguf_tensor **found = bsearch(&key, file->tensors_by_name, file->n_tensors,
                                               sizeof *file->tensors_by_name, compare_tensor_names);

    return found ? *found : NULL;
}

size_t gguf_tensor_count(const struct gguf *file)
{
    return file->n_tensors;
}

const struct gguf_tensor *gguf_tensor_at(const struct gguf *file, size_t index)
{
    return &file->tensors[index];
}
