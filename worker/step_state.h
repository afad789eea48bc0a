/*
 * The memory of one engine context: the activations of one step and the scratch of each thread.
 * Allocated once; a step only writes into it. Shared by context.c, step.c and step_product.c.
 */
#ifndef TANDEM_WORKER_STEP_STATE_H
#define TANDEM_WORKER_STEP_STATE_H

#include "worker/cpu/kernels.h"
#include "worker/engine.h"
#include "worker/engine_state.h"

#include <stdbool.h>
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

/* Queries of one run: rows of the batch, and of the input of the product that follows. */
struct attention_item {
    int row, to, count, position;
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

    struct step_row *rows; /* [max_rows] */
    /* All queries, then those whose logits are wanted; each [max_runs + max_rows / 8] at most. */
    struct attention_item *items, *last_items;
    int *logits_rows; /* [max_logits]: rows of the batch */
    int n_rows, n_items, n_last_items, n_logits;
    /* Rows that the phase in progress computes. Past the keys and values of the last layer only
     * those whose logits are wanted are of use: number i is then row logits_rows[i]. */
    int n_active;
    bool last;
    int items_per_tile;
    struct product_plan plan;

    float *x; /* residual stream, [rows][n_embd] */
    float *q; /* [rows][n_heads * head_dim] */
    struct stage normed, attended, gated, headed;
    float *logits; /* [max_logits][engine_logits_stride] */
    struct step_thread *threads;
    unsigned char *memory;
};

/* The row of the batch that is number i of the active ones. */
static inline int step_active_row(const struct engine_context *context, int i)
{
    return context->last ? context->logits_rows[i] : i;
}

static inline int step_row_blocks(int rows)
{
    return (rows + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* step_product.c: the phases that multiply. The first cuts a product of the active rows into
 * tiles, the others compute one of them. */
int step_plan_product(struct engine_context *context, int panels, int columns);
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
