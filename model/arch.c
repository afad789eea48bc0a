/* The tables of arch.h. Names and shapes are those the GGUF converters write. */
#include "model/arch.h"

#include <string.h>

static const struct architecture architectures[] = {
    {
        .name = "llama",
        /* Converters permute Q and K of llama files so that pairs stand side by side. */
        .rope_pairing = ROPE_ADJACENT,
        .layer =
            {
                [LAYER_ATTN_NORM] = {"attn_norm", true, DIM_EMBD, DIM_ONE},
                [LAYER_ATTN_Q] = {"attn_q", true, DIM_EMBD, DIM_Q},
                [LAYER_ATTN_K] = {"attn_k", true, DIM_EMBD, DIM_KV},
                [LAYER_ATTN_V] = {"attn_v", true, DIM_EMBD, DIM_KV},
                [LAYER_ATTN_OUT] = {"attn_output", true, DIM_Q, DIM_EMBD},
                [LAYER_FFN_NORM] = {"ffn_norm", true, DIM_EMBD, DIM_ONE},
                [LAYER_FFN_GATE] = {"ffn_gate", true, DIM_EMBD, DIM_FF},
                [LAYER_FFN_UP] = {"ffn_up", true, DIM_EMBD, DIM_FF},
                [LAYER_FFN_DOWN] = {"ffn_down", true, DIM_FF, DIM_EMBD},
            },
    },
};

const struct architecture *architecture_find(struct gguf_string name)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++) {
        const struct architecture *arch = &architectures[i];

        if (strlen(arch->name) == name.size && memcmp(arch->name, name.bytes, name.size) == 0)
            return arch;
    }
    return NULL;
}
