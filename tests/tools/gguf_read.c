/*
 * The GGUF reader for Python tests to drive.
 *
 *     gguf_read FILE           one line for each tensor: name, type, dimensions, bytes
 *     gguf_read FILE TENSOR    the tensor's values as little-endian float32 on standard output
 *
 * A file that is refused: the message on standard error and status 1.
 */
#include "base/err.h"
#include "model/dequant.h"
#include "model/gguf.h"

#include <stdio.h>
#include <stdlib.h>

static void print_tensors(const struct gguf *file)
{
    for (size_t i = 0; i < gguf_tensor_count(file); i++) {
        const struct gguf_tensor *tensor = gguf_tensor_at(file, i);

        printf("%.*s %s", (int)tensor->name.size, tensor->name.bytes,
               gguf_tensor_type_name(tensor->type));
        for (int dim = 0; dim < tensor->n_dims; dim++)
            printf(" %llu", (unsigned long long)tensor->dims[dim]);
        printf(" %zu\n", tensor->bytes);
    }
}

static int write_values(const struct gguf_tensor *tensor)
{
    size_t block = (size_t)quant_block_elements(tensor->type);
    size_t count = tensor->bytes / (size_t)quant_block_bytes(tensor->type) * block;
    float *values = malloc(count * sizeof *values);

    if (!values)
        return 1;
    dequant_row(tensor->type, tensor->data, count, values);
    size_t wrote = fwrite(values, sizeof *values, count, stdout);

    free(values);
    return wrote == count ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct gguf *file;
    struct err err;
    int status = 0;

    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: gguf_read FILE [TENSOR]\n");
        return 2;
    }
    if (gguf_open(&file, argv[1], &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (argc == 2) {
        print_tensors(file);
    } else {
        const struct gguf_tensor *tensor = gguf_find_tensor(file, argv[2]);

        status = tensor ? write_values(tensor) : 1;
    }
    gguf_close(file);
    return status;
}
