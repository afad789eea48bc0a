#include "tests/unit/tiny_model.h"

#include "base/philox.h"
#include "model/dequant.h"

#include <stdlib.h>
#include <string.h>

#define TINY_LAYERS 2
#define TINY_TENSORS (TINY_LAYERS * LAYER_TENSORS + 2)

struct tiny_model {
    struct model model; /* first: freed through it */
    const struct gguf_tensor *layers[TINY_LAYERS][LAYER_TENSORS];
    struct gguf_tensor tensors[TINY_TENSORS];
    int n_tensors;
};

static void put_half(unsigned char *at, float value)
{
    const uint16_t half = float_to_half(value);
    memcpy(at, &half, sizeof(half));
}

static void float_weights(enum gguf_tensor_type type, void *out, size_t count, float size,
                          uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        const float value = (float)(philox_uniform(seed, i, 1) * 2 - 1) * size;
        uint32_t bits;
        memcpy(&bits, &value, sizeof(bits));
        if (type == GGUF_TENSOR_F32)
            ((float *)out)[i] = value;
        else
            ((uint16_t *)out)[i] =
                type == GGUF_TENSOR_F16 ? float_to_half(value) : (uint16_t)(bits >> 16);
    }
}

/* Random bits with scales put over them, the minima chosen so that the values centre on zero. */
static void set_scales(enum gguf_tensor_type type, unsigned char *block, float size)
{
    switch (type) {
    case GGUF_TENSOR_Q4_0: put_half(block, size / 8); return;
    case GGUF_TENSOR_Q5_0: put_half(block, size / 16); return;
    case GGUF_TENSOR_Q8_0: put_half(block, size / 128); return;
    case GGUF_TENSOR_Q4_1:
        put_half(block, size / 8);
        put_half(block + 2, -size * 0.9f);
        return;
    case GGUF_TENSOR_Q5_1:
        put_half(block, size / 16);
        put_half(block + 2, -size * 1.1f);
        return;
    case GGUF_TENSOR_Q4_K:
    case GGUF_TENSOR_Q5_K:
        put_half(block, size / (type == GGUF_TENSOR_Q4_K ? 256 : 512));
        put_half(block + 2, size / 32);
        return;
    case GGUF_TENSOR_Q6_K: put_half(block + 208, size / 32 / 128); return;
    case GGUF_TENSOR_F32:
    case GGUF_TENSOR_F16:
    case GGUF_TENSOR_BF16: return;
    }
}

void tiny_weights(enum gguf_tensor_type type, void *out, size_t count, float size, uint64_t seed)
{
    const size_t bytes = (size_t)quant_block_bytes(type);
    const size_t blocks = count / (size_t)quant_block_elements(type);

    if (quant_block_elements(type) == 1) {
        float_weights(type, out, count, size, seed);
        return;
    }
    for (size_t i = 0; i < blocks * bytes; i++)
        ((unsigned char *)out)[i] = (unsigned char)(philox_uniform(seed, i, 2) * 256);
    for (size_t b = 0; b < blocks; b++)
        set_scales(type, (unsigned char *)out + b * bytes,
                   size * (float)(0.5 + philox_uniform(seed, b, 3)));
}

static const struct gguf_tensor *add_tensor(struct tiny_model *tiny, enum gguf_tensor_type type,
                                            int columns, int rows)
{
    const size_t count = (size_t)columns * (size_t)rows;
    const size_t bytes =
        count / (size_t)quant_block_elements(type) * (size_t)quant_block_bytes(type);
    struct gguf_tensor *tensor = &tiny->tensors[tiny->n_tensors++];
    void *data = malloc(bytes);

    if (data == NULL)
        abort();
    tiny_weights(type, data, count, rows == 1 ? 1.5f : 1.5f / 16, (uint64_t)tiny->n_tensors);
    *tensor = (struct gguf_tensor){.type = type,
                                   .n_dims = 2,
                                   .dims = {(uint64_t)columns, (uint64_t)rows, 1, 1},
                                   .data = data,
                                   .bytes = bytes};
    return tensor;
}

struct model *tiny_model_create(enum gguf_tensor_type type, enum gguf_tensor_type head,
                                enum rope_pairing pairing)
{
    static const int sizes[LAYER_TENSORS][2] = {
        [LAYER_ATTN_NORM] = {256, 1},  [LAYER_ATTN_Q] = {256, 256},   [LAYER_ATTN_K] = {256, 128},
        [LAYER_ATTN_V] = {256, 128},   [LAYER_ATTN_OUT] = {256, 256}, [LAYER_FFN_NORM] = {256, 1},
        [LAYER_FFN_GATE] = {256, 512}, [LAYER_FFN_UP] = {256, 512},   [LAYER_FFN_DOWN] = {512, 256},
    };
    struct tiny_model *tiny = calloc(1, sizeof(*tiny));

    if (tiny == NULL)
        abort();
    tiny->model = (struct model){
        .architecture = "llama",
        .shape = {.n_layers = TINY_LAYERS,
                  .n_embd = 256,
                  .n_ff = 512,
                  .n_heads = 4,
                  .n_kv_heads = 2,
                  .head_dim = 64,
                  .n_vocab = 200,
                  .context_length = 512,
                  .rope_dims = 64,
                  .rope_pairing = pairing,
                  .rope_base = 10000.0f,
                  .rope_scale = 1.0f,
                  .norm_eps = 1e-5f,
                  .tied_head = true},
        .layers = tiny->layers,
    };
    tiny->model.token_embd = tiny->model.output = add_tensor(tiny, head, 256, 200);
    tiny->model.output_norm = add_tensor(tiny, GGUF_TENSOR_F32, 256, 1);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int t = 0; t < LAYER_TENSORS; t++)
            tiny->layers[l][t] = add_tensor(tiny, sizes[t][1] == 1 ? GGUF_TENSOR_F32 : type,
                                            sizes[t][0], sizes[t][1]);
    return &tiny->model;
}

void tiny_model_free(struct model *model)
{
    struct tiny_model *tiny = (struct tiny_model *)model;

    for (int i = 0; i < tiny->n_tensors; i++)
        free((void *)(uintptr_t)tiny->tensors[i].data);
    free(tiny);
}
