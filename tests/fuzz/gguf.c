/*
 * Any bytes as a model file: the reader and the model description must refuse them or hand out
 * nothing but tensors whose data can be read. Seeds: gguf_corpus.py.
 */
#include "model/gguf.h"
#include "base/err.h"
#include "model/dequant.h"
#include "model/model.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first and the last block; AddressSanitizer watches the ends. */
static void read_ends(const struct gguf_tensor *tensor)
{
    float values[256];
    size_t elements = (size_t)quant_block_elements(tensor->type);
    size_t bytes = (size_t)quant_block_bytes(tensor->type);
    const unsigned char *blocks = tensor->data;

    assert(elements > 0 && tensor->bytes >= bytes && tensor->bytes % bytes == 0);
    dequant_row(tensor->type, blocks, elements, values);
    dequant_row(tensor->type, blocks + tensor->bytes - bytes, elements, values);
}

static void read_strings(const struct gguf *file, const char *key)
{
    struct gguf_array array;
    struct gguf_string string;
    size_t cursor = 0, count = 0;
    volatile char last_byte = 0; /* the read must not be optimised away */

    if (gguf_get_array(file, key, GGUF_STRING, &array, NULL) < 0)
        return;
    while (gguf_array_string(&array, &cursor, &string)) {
        if (string.size > 0)
            last_byte = string.bytes[string.size - 1];
        count++;
    }
    (void)last_byte;
    assert(count == array.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *file;
    struct model *model;
    struct err err = {""};

    if (gguf_parse(&file, data, size, &err) < 0) {
        assert(err.text[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < gguf_tensor_count(file); i++)
        read_ends(gguf_tensor_at(file, i));
    read_strings(file, "tokenizer.ggml.tokens");
    if (model_from_gguf(&model, file, "fuzz", &err) == 0) {
        assert(model->layers[model->shape.n_layers - 1][LAYER_FFN_DOWN]);
        model_close(model);
    } else {
        assert(err.text[0] != '\0');
        gguf_close(file);
    }
    return 0;
}
