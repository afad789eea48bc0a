/* What an engine holds; shared by engine.c, which builds it, and step.c, which computes with it. */
#ifndef TANDEM_WORKER_ENGINE_STATE_H
#define TANDEM_WORKER_ENGINE_STATE_H

#include "model/model.h"
#include "worker/cpu/kernels.h"
#include "worker/cpu/weight.h"

#include <stddef.h>

struct engine_layer {
    /* qkv and gate_up are each one phase: the products of one input. */
    struct weight qkv[3], out, gate_up[2], down;
    float *attn_norm, *ffn_norm; /* [n_embd] */
};

/* Immutable after engine_open. */
struct engine {
    const struct model *model;
    const struct model_shape *shape; /* the model's */
    const struct cpu_kernels *kernels;
    struct engine_layer *layers; /* [n_layers] */
    struct weight head;
    float *output_norm;   /* [n_embd] */
    float *cosine, *sine; /* [max_positions][head_dim] */
    int max_positions;
    int group;             /* query heads per KV head */
    unsigned char *memory; /* one mapping: panels, norms, rotary tables */
    size_t memory_bytes, weight_bytes;
};

#endif
