/*
 * The memory of one engine context: the activations of one step and the scratch of each thread.
 * Allocated once; a step only writes into it. Shared by context.c, step.c and step_product.c.
 */
#ifndef TANDEM_WORKER_STEP_STATE_H
#define TANDEM_WORKER_STEP_STATE_H

#include "worker/cpu/kernels.h"
#include "worker/engine.h"
#include "worker/engine_state.h"

#include <stddef.h>
#include <stdint.h>

#define TILE_PANELS 16      /* at most, of a product's tile */
#define TILE_ROW_BLOCKS 8   /* at most, of a product's tile: 64 rows */
#define ATTENTION_QUERIES 8 /* at most, of an attention tile */

/* The input of a product: quantised, as floats, or both, as the kinds of the weights ask. */
struct stage {
    int columns;
    struct act_block *blocks; /* [row blocks][columns / 32] */
    float *rows;              /* [rows][columns]; NULL when no weight wants floats */
};

struct step_row {
    int position;
    int32_t token, page;
};

/* Queries of one run. */
struct attention_item {
    int row, count, position;
    const int32_t *pages;
};

/* How the tiles of the product phase in progress cut it up. */
struct product_plan {
    int panels, panels_per_tile, panel_tiles;
    int blocks_per_tile;
};

struct step_thread {
    float *product[2]; /* [ROW_BLOCK][TILE_PANELS * PANEL_ROWS] */
    float *row;        /* the longest of the model's rows */
    float *attention;  /* [ATTENTION_QUERIES * group][head_dim] */
    float *state;      /* ATTENTION_STATE_FLOATS */
};

struct engine_context {
    const struct engine *engine;
    struct team *team;
    const struct kv_arena *arena;
    int lane, max_rows, max_runs, max_logits, n_threads;

    struct step_row *rows;        /* [max_rows] */
    struct attention_item *items; /* [max_runs + max_rows / ATTENTION_QUERIES] */
    int *logits_rows;             /* [max_logits]: rows of the batch */
    int n_rows, n_items, n_logits;
    int items_per_tile;
    struct product_plan plan;

    float *x; /* residual stream, [rows][n_embd] */
    float *q; /* [rows][n_heads * head_dim] */
    struct stage normed, attended, gated, headed;
    float *logits; /* [max_logits][engine_logits_stride] */
    struct step_thread *threads;
    unsigned char *memory;
};

static inline int step_row_blocks(int rows)
{
    return (rows + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* step_product.c: the phases that multiply. Each cuts the product of `rows` rows into tiles and
 * computes one of them. */
int step_plan_product(struct engine_context *context, int rows, int panels, int columns);
void step_qkv_tile(struct engine_context *context, int layer, int tile, int thread);
void step_gate_up_tile(struct engine_context *context, int layer, int tile, int thread);
/* x += weight * stage */
void step_residual_tile(struct engine_context *context, const struct weight *weight,
                        const struct stage *stage, int tile, int thread);
void step_head_tile(struct engine_context *context, int tile);
/* Writes a row's columns [first, first + n) into a stage for the given weights. */
void step_put(const struct engine_context *context, const struct stage *stage,
              const struct weight *weights, int n_weights, int row, int first, const float *x,
              int n);

#endif
