/* Creating an engine context: everything a step needs, sized once, in one piece of memory. */
#include "worker/step_state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT_ALIGNMENT 64
/* No single array comes near this; it bounds every product of counts below. */
#define CONTEXT_COUNT_MAX (1 << 24)

/* Hands out memory piece by piece; with base NULL it only adds up. */
struct placement {
    unsigned char *base;
    size_t used;
    bool overflow;
};

static void *context_place(struct placement *placement, size_t count, size_t size)
{
    size_t bytes, end;

    if (__builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, CONTEXT_ALIGNMENT - 1, &bytes) ||
        __builtin_add_overflow(placement->used, bytes / CONTEXT_ALIGNMENT * CONTEXT_ALIGNMENT,
                               &end)) {
        placement->overflow = true;
        return NULL;
    }
    void *place = placement->base == NULL ? NULL : placement->base + placement->used;
    placement->used = end;
    return place;
}

static void context_place_stage(struct placement *placement, struct stage *stage, int rows,
                                int columns, bool floats)
{
    const size_t blocks = (size_t)step_row_blocks(rows);

    stage->columns = columns;
    stage->blocks = context_place(placement, blocks * (size_t)(columns / QUANT_BLOCK),
                                  sizeof(struct act_block));
    if (floats)
        stage->rows = context_place(placement, blocks * ROW_BLOCK * (size_t)columns, sizeof(float));
}

static bool context_wants_floats(const struct weight *weights, int count)
{
    bool floats = false;
    for (int i = 0; i < count; i++)
        floats = floats || weight_kind_is_float(weights[i].kind);
    return floats;
}

static void context_place_stages(struct engine_context *context, struct placement *placement)
{
    const struct engine *engine = context->engine;
    const struct model_shape *s = engine->shape;
    bool normed = false, attended = false, gated = false;

    for (int l = 0; l < s->n_layers; l++) {
        const struct engine_layer *layer = &engine->layers[l];
        normed = normed || context_wants_floats(layer->qkv, 3) ||
                 context_wants_floats(layer->gate_up, 2);
        attended = attended || context_wants_floats(&layer->out, 1);
        gated = gated || context_wants_floats(&layer->down, 1);
    }
    context_place_stage(placement, &context->normed, context->max_rows, s->n_embd, normed);
    context_place_stage(placement, &context->attended, context->max_rows, s->n_heads * s->head_dim,
                        attended);
    context_place_stage(placement, &context->gated, context->max_rows, s->n_ff, gated);
    context_place_stage(placement, &context->headed, context->max_logits, s->n_embd,
                        context_wants_floats(&engine->head, 1));
}

static void context_place_threads(struct engine_context *context, struct placement *placement)
{
    const struct engine *engine = context->engine;
    const struct model_shape *s = engine->shape;
    const size_t row = (size_t)(s->n_embd > s->n_ff ? s->n_embd : s->n_ff);
    const size_t rows = (size_t)(ATTENTION_QUERIES * engine->group);

    context->threads =
        context_place(placement, (size_t)context->n_threads, sizeof(*context->threads));
    for (int i = 0; i < context->n_threads; i++) {
        const size_t product = (size_t)ROW_BLOCK * TILE_PANELS * PANEL_ROWS;
        struct step_thread thread;
        for (int j = 0; j < 2; j++)
            thread.product[j] = context_place(placement, product, sizeof(float));
        thread.row = context_place(placement, row, sizeof(float));
        thread.attention = context_place(placement, rows * (size_t)s->head_dim, sizeof(float));
        thread.state = context_place(placement, ATTENTION_STATE_FLOATS(rows), sizeof(float));
        if (context->threads != NULL)
            context->threads[i] = thread;
    }
}

static void context_place_all(struct engine_context *context, struct placement *placement)
{
    const struct model_shape *s = context->engine->shape;
    const size_t rows = (size_t)context->max_rows, logits = (size_t)context->max_logits;
    const size_t padded = (size_t)step_row_blocks(context->max_rows) * ROW_BLOCK;
    const size_t items = (size_t)context->max_runs + rows / ATTENTION_QUERIES;

    context->rows = context_place(placement, rows, sizeof(*context->rows));
    context->items = context_place(placement, items, sizeof(*context->items));
    context->last_items = context_place(placement, items, sizeof(*context->last_items));
    context->logits_rows = context_place(placement, logits, sizeof(*context->logits_rows));
    context->x = context_place(placement, padded * (size_t)s->n_embd, sizeof(float));
    context->q =
        context_place(placement, padded * (size_t)(s->n_heads * s->head_dim), sizeof(float));
    context->logits =
        context_place(placement, logits, engine_logits_stride(context->engine) * sizeof(float));
    context_place_stages(context, placement);
    context_place_threads(context, placement);
}

static int context_check(int max_rows, int max_runs, int max_logits, struct err *err)
{
    if (max_rows < 1 || max_rows > CONTEXT_COUNT_MAX)
        return err_set(err, EINVAL, "max_rows: %d is not within 1 .. %d", max_rows,
                       CONTEXT_COUNT_MAX);
    if (max_runs < 1 || max_runs > max_rows)
        return err_set(err, EINVAL, "max_runs: %d is not within 1 .. max_rows (%d)", max_runs,
                       max_rows);
    if (max_logits < 1 || max_logits > max_rows)
        return err_set(err, EINVAL, "max_logits: %d is not within 1 .. max_rows (%d)", max_logits,
                       max_rows);
    return 0;
}

int engine_context_create(struct engine_context **ret_context, const struct engine *engine,
                          struct team *team, int lane, const struct kv_arena *arena, int max_rows,
                          int max_runs, int max_logits, struct err *err)
{
    struct placement placement = {.base = NULL};
    struct engine_context *context;
    const struct kv_layout layout = engine_kv_layout(engine);
    int r = context_check(max_rows, max_runs, max_logits, err);

    if (r < 0)
        return r;
    if (arena->page_bytes < kv_page_bytes(&layout))
        return err_set(err, EINVAL, "KV pages of %zu bytes are too small for the model's %zu",
                       arena->page_bytes, kv_page_bytes(&layout));
    context = calloc(1, sizeof(*context));
    if (context == NULL)
        return err_set(err, ENOMEM, "no memory for an engine context");
    context->engine = engine;
    context->team = team;
    context->arena = arena;
    context->lane = lane;
    context->max_rows = max_rows;
    context->max_runs = max_runs;
    context->max_logits = max_logits;
    context->n_threads = team_threads(team);
    context_place_all(context, &placement);
    const size_t bytes = placement.used;
    if (!placement.overflow)
        context->memory = aligned_alloc(CONTEXT_ALIGNMENT, bytes);
    if (context->memory == NULL) {
        r = err_set(err, ENOMEM, "no memory for the activations of %d rows and %d logits rows",
                    max_rows, max_logits);
        goto free_context;
    }
    /* Also brings the pages in, so that no step takes a page fault. */
    memset(context->memory, 0, bytes);
    placement = (struct placement){.base = context->memory};
    context_place_all(context, &placement);
    *ret_context = context;
    return 0;

free_context:
    free(context);
    return r;
}

void engine_context_destroy(struct engine_context *context)
{
    if (context == NULL)
        return;
    free(context->memory);
    free(context);
}
