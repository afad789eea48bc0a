/*
 * Architectures as data. A new one of the same family is a new entry in arch.c; model.c reads the
 * tables and has no architecture's name in it.
 */
#ifndef TANDEM_MODEL_ARCH_H
#define TANDEM_MODEL_ARCH_H

#include "model/gguf.h"
#include "model/model.h"

#include <stdbool.h>

/* What a tensor's dimension is, in terms of the metadata. */
enum arch_dim {
    DIM_ONE,
    DIM_EMBD, /* n_embd */
    DIM_FF,   /* n_ff */
    DIM_Q,    /* n_heads * head_dim */
    DIM_KV,   /* n_kv_heads * head_dim */
};

struct arch_tensor {
    const char *suffix; /* "blk.N.<suffix>.weight"; NULL when the architecture has none */
    bool required;
    enum arch_dim columns, rows; /* dims[0] and dims[1] */
};

struct architecture {
    const char *name; /* as in general.architecture; prefix of its keys */
    enum rope_pairing rope_pairing;
    struct arch_tensor layer[LAYER_TENSORS];
};

/* NULL for an architecture we do not compute. */
const struct architecture *architecture_find(struct gguf_string name);

#endif
