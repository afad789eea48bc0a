/*
 * A weight matrix in the layout of the kernels (worker/cpu/kernels.h), made from a GGUF tensor.
 *
 * Immutable once every panel is repacked; any thread may read. The memory of the panels belongs to
 * the engine.
 */
#ifndef TANDEM_WORKER_CPU_WEIGHT_H
#define TANDEM_WORKER_CPU_WEIGHT_H

#include "model/gguf.h"
#include "worker/cpu/kernels.h"

#include <stdbool.h>
#include <stddef.h>

struct weight {
    enum weight_kind kind;
    int rows, columns, n_panels; /* rows beyond the tensor's in the last panel are zero */
    size_t panel_bytes;
    unsigned char *panels; /* 64-byte aligned, n_panels * panel_bytes */
    const struct gguf_tensor *source;
    /* Rows of each head that are paired as (i, i + pairs) in the file and stored side by side, so
     * that one rotary kernel serves both pairings; 0: rows as in the file. */
    int head_dim, pairs;
};

/* Fills everything but panels. The tensor outlives the weight. */
void weight_init(struct weight *weight, const struct gguf_tensor *source, int head_dim, int pairs);
size_t weight_bytes(const struct weight *weight);
bool weight_kind_is_float(enum weight_kind kind);

/* Writes one panel; different panels at once. */
void weight_repack_panel(const struct weight *weight, int panel);

#endif
