/*
 * What a model is, as data: architecture, shapes and where each tensor lies in the file. No
 * compute.
 *
 * An architecture is a table entry (model/arch.c): which tensors a layer has, under which GGUF
 * names, which of them may be absent, how RoPE pairs dimensions, which norms stand where. The
 * engine reads only this struct. Immutable after model_open: any thread may read.
 */
#ifndef TANDEM_MODEL_MODEL_H
#define TANDEM_MODEL_MODEL_H

#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>

enum rope_pairing {
    ROPE_ADJACENT, /* dims (2i, 2i+1): llama GGUF files */
    ROPE_HALVES,   /* dims (i, i + n/2): NeoX style */
};

/* Tensors of a layer; an architecture's table says which are required, optional or absent. Norms
 * are F32; matrices are of any type that gguf.h lists, each of its own. */
enum layer_tensor {
    LAYER_ATTN_NORM,
    LAYER_ATTN_Q,
    LAYER_ATTN_K,
    LAYER_ATTN_V,
    LAYER_ATTN_OUT,
    LAYER_FFN_NORM,
    LAYER_FFN_GATE,
    LAYER_FFN_UP,
    LAYER_FFN_DOWN,
    LAYER_TENSORS,
};

struct model_shape {
    int n_layers, n_embd, n_ff, n_heads, n_kv_heads, head_dim, n_vocab;
    int context_length; /* positions the model was trained for */
    int rope_dims;      /* leading dimensions of a head that are rotated */
    enum rope_pairing rope_pairing;
    float rope_base;
    float rope_scale;          /* positions are multiplied by this (linear scaling); 1 when none */
    const float *rope_factors; /* per pair divisors (llama 3 long context), rope_dims/2, or NULL;
                                  owned by the model */
    float norm_eps;
    bool tied_head; /* the output head is the token embedding */
};

struct model {
    struct gguf *file;
    const char *architecture; /* "llama" */
    struct model_shape shape;
    const struct gguf_tensor *token_embd, *output_norm,
        *output;                                        /* output == token_embd when tied */
    const struct gguf_tensor *(*layers)[LAYER_TENSORS]; /* [n_layers] */
    char name[128]; /* general.name, or the file's name; well-formed UTF-8, no control characters */
};

/* -EINVAL with the key or tensor named when the architecture is unknown, a tensor is missing or a
 * shape does not agree; otherwise as gguf_open. The model owns the file. */
int model_open(struct model **ret_model, const char *path, struct err *err);

/* The same over an opened file; takes it over on success only. */
int model_from_gguf(struct model **ret_model, struct gguf *file, const char *path, struct err *err);
void model_close(struct model *model);

#endif
