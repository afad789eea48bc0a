/*
 * One step of the engine: a program of phases for the team.
 *
 *   embed | per layer: norm, q k v, attention, out, norm, gate up, down | norm, head
 *
 * The norm of a few rows is shorter than the way to another thread, so then the thread that opens
 * the phase does all of it at once and the phase has no tiles.
 */
#include "worker/step_state.h"

#include "model/dequant.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

enum layer_phase {
    PHASE_ATTN_NORM,
    PHASE_QKV,
    PHASE_ATTENTION,
    PHASE_OUT,
    PHASE_FFN_NORM,
    PHASE_GATE_UP,
    PHASE_DOWN,
    LAYER_PHASES,
};

#define INLINE_NORM_ROWS 8 /* about 0.1 us each */
#define NORM_TILE_ROWS 16
#define EMBED_TILE_ROWS 8

static int step_ceil(int a, int b)
{
    return (a + b - 1) / b;
}

static void step_embed_row(struct engine_context *context, int row)
{
    const struct gguf_tensor *table = context->engine->model->token_embd;
    const size_t n = (size_t)context->engine->shape->n_embd;
    const size_t bytes =
        n / (size_t)quant_block_elements(table->type) * (size_t)quant_block_bytes(table->type);
    const unsigned char *source =
        (const unsigned char *)table->data + (size_t)context->rows[row].token * bytes;

    dequant_row(table->type, source, n, context->x + (size_t)row * n);
}

/* Row `row` of the residual stream, normed, as row `to` of a product's input. */
static void step_norm_row(const struct engine_context *context, const float *norm,
                          const struct stage *stage, const struct weight *weights, int n_weights,
                          int row, int to, float *scratch)
{
    const struct model_shape *s = context->engine->shape;
    const float *x = context->x + (size_t)row * (size_t)s->n_embd;

    context->engine->kernels->rms_norm(x, norm, s->n_embd, s->norm_eps, scratch);
    step_put(context, stage, weights, n_weights, to, 0, scratch, s->n_embd);
}

static void step_norm_rows(const struct engine_context *context, int phase, int layer, int first,
                           int end, int thread)
{
    const struct engine_layer *weights = &context->engine->layers[layer];
    const bool attn = phase == PHASE_ATTN_NORM;

    for (int i = first; i < end; i++)
        step_norm_row(context, attn ? weights->attn_norm : weights->ffn_norm, &context->normed,
                      attn ? weights->qkv : weights->gate_up, attn ? 3 : 2,
                      step_active_row(context, i), i, context->threads[thread].row);
}

static void step_head_norm_row(const struct engine_context *context, int i, int thread)
{
    const struct engine *engine = context->engine;

    step_norm_row(context, engine->output_norm, &context->headed, &engine->head, 1,
                  context->logits_rows[i], i, context->threads[thread].row);
}

static void step_attention_item(struct engine_context *context, int layer,
                                const struct attention_item *item, int head, int thread)
{
    const struct engine *engine = context->engine;
    const struct model_shape *s = engine->shape;
    const struct kv_layout layout = engine_kv_layout(engine);
    const int width = engine->group * s->head_dim, first = head * width;
    const size_t q_stride = (size_t)(s->n_heads * s->head_dim);
    const struct step_thread *scratch = &context->threads[thread];
    const struct attention_tile tile = {
        .q = context->q + (size_t)item->row * q_stride + (size_t)first,
        .q_stride = q_stride,
        .n_queries = item->count,
        .group = engine->group,
        .head_dim = s->head_dim,
        .position = item->position,
        .pages = item->pages,
        .arena = context->arena->base,
        .page_bytes = context->arena->page_bytes,
        .head_offset = kv_head_offset(&layout, layer, head),
        .scale = 1.0f / sqrtf((float)s->head_dim),
        .out = scratch->attention,
        .state = scratch->state,
    };

    engine->kernels->attention(&tile);
    for (int i = 0; i < item->count; i++)
        step_put(context, &context->attended, &engine->layers[layer].out, 1, item->to + i, first,
                 scratch->attention + (size_t)i * (size_t)width, width);
}

static void step_attention_tile(struct engine_context *context, int layer, int tile, int thread)
{
    const int n_kv_heads = context->engine->shape->n_kv_heads;
    const struct attention_item *items = context->last ? context->last_items : context->items;
    const int n_items = context->last ? context->n_last_items : context->n_items;
    const int first = tile / n_kv_heads * context->items_per_tile;

    for (int i = first; i < first + context->items_per_tile && i < n_items; i++)
        step_attention_item(context, layer, &items[i], tile % n_kv_heads, thread);
}

/* No tile of this context runs while a phase is opened, so the scratch of thread 0 is free then. */
static int step_norm_tiles(struct engine_context *context, int phase, int layer)
{
    if (context->n_active > INLINE_NORM_ROWS)
        return step_ceil(context->n_active, NORM_TILE_ROWS);
    step_norm_rows(context, phase, layer, 0, context->n_active, 0);
    return 0;
}

static int step_head_tiles(struct engine_context *context, bool norm)
{
    const struct weight *head = &context->engine->head;

    if (!norm)
        return step_plan_product(context, head->n_panels, head->columns);
    if (context->n_logits > INLINE_NORM_ROWS)
        return step_ceil(context->n_logits, NORM_TILE_ROWS);
    for (int i = 0; i < context->n_logits; i++)
        step_head_norm_row(context, i, 0);
    return 0;
}

/* Phase 0 embeds, the last two are the head's, the layers' lie between. */
static int step_tiles(void *argument, int phase)
{
    struct engine_context *context = argument;
    const struct engine *engine = context->engine;
    const int head = 1 + engine->shape->n_layers * LAYER_PHASES;

    context->last = phase >= head - LAYER_PHASES + PHASE_ATTENTION;
    context->n_active = context->last ? context->n_logits : context->n_rows;
    if (phase == 0)
        return step_ceil(context->n_rows, EMBED_TILE_ROWS);
    if (phase >= head)
        return context->n_logits == 0 ? 0 : step_head_tiles(context, phase == head);
    const int layer = (phase - 1) / LAYER_PHASES;
    const struct engine_layer *weights = &engine->layers[layer];
    if (context->n_active == 0)
        return 0;
    switch ((enum layer_phase)((phase - 1) % LAYER_PHASES)) {
    case PHASE_ATTN_NORM: return step_norm_tiles(context, PHASE_ATTN_NORM, layer);
    case PHASE_FFN_NORM: return step_norm_tiles(context, PHASE_FFN_NORM, layer);
    case PHASE_QKV:
        return step_plan_product(
            context, weights->qkv[0].n_panels + weights->qkv[1].n_panels + weights->qkv[2].n_panels,
            engine->shape->n_embd);
    case PHASE_ATTENTION:
        return step_ceil(context->last ? context->n_last_items : context->n_items,
                         context->items_per_tile) *
               engine->shape->n_kv_heads;
    case PHASE_OUT: return step_plan_product(context, weights->out.n_panels, weights->out.columns);
    case PHASE_GATE_UP:
        return step_plan_product(context, engine->shape->n_ff / QUANT_BLOCK,
                                 4 * engine->shape->n_embd);
    case PHASE_DOWN:
        return step_plan_product(context, weights->down.n_panels, weights->down.columns);
    case LAYER_PHASES: break;
    }
    assert(!"a phase of a layer");
    return 0;
}

static void step_layer_tile(struct engine_context *context, int layer, int phase, int tile,
                            int thread)
{
    const struct engine_layer *weights = &context->engine->layers[layer];
    const int first = tile * NORM_TILE_ROWS, left = context->n_active - first;

    switch ((enum layer_phase)phase) {
    case PHASE_ATTN_NORM:
    case PHASE_FFN_NORM:
        step_norm_rows(context, phase, layer, first,
                       first + (left < NORM_TILE_ROWS ? left : NORM_TILE_ROWS), thread);
        return;
    case PHASE_QKV: step_qkv_tile(context, layer, tile, thread); return;
    case PHASE_ATTENTION: step_attention_tile(context, layer, tile, thread); return;
    case PHASE_OUT:
        step_residual_tile(context, &weights->out, &context->attended, tile, thread);
        return;
    case PHASE_GATE_UP: step_gate_up_tile(context, layer, tile, thread); return;
    case PHASE_DOWN:
        step_residual_tile(context, &weights->down, &context->gated, tile, thread);
        return;
    case LAYER_PHASES: break;
    }
    assert(!"a phase of a layer");
}

static void step_tile(void *argument, int phase, int tile, int thread)
{
    struct engine_context *context = argument;
    const int head = 1 + context->engine->shape->n_layers * LAYER_PHASES;

    if (phase == 0) {
        const int first = tile * EMBED_TILE_ROWS;
        for (int row = first; row < first + EMBED_TILE_ROWS && row < context->n_rows; row++)
            step_embed_row(context, row);
    } else if (phase < head) {
        step_layer_tile(context, (phase - 1) / LAYER_PHASES, (phase - 1) % LAYER_PHASES, tile,
                        thread);
    } else if (phase == head) {
        const int first = tile * NORM_TILE_ROWS;
        for (int i = first; i < first + NORM_TILE_ROWS && i < context->n_logits; i++)
            step_head_norm_row(context, i, thread);
    } else {
        step_head_tile(context, tile);
    }
}

/* Cuts the queries of a run from its `from`-th on into attention items; the first of them is row
 * `to` of what follows. Returns the number of items. */
static int step_cut_queries(struct attention_item *items, const struct batch_run *run, int row,
                            int from, int to)
{
    int n = 0;

    for (int j = from; j < run->count; j += ATTENTION_QUERIES) {
        const int left = run->count - j;
        items[n++] = (struct attention_item){
            .row = row + j,
            .to = to + j - from,
            .count = left < ATTENTION_QUERIES ? left : ATTENTION_QUERIES,
            .position = run->start + j,
            .pages = run->pages,
        };
    }
    return n;
}

static void step_lay_out_run(struct engine_context *context, const struct batch_run *run)
{
    const int first_logits = run->count - run->n_logits;

    assert(run->count > 0 && run->start >= 0 && run->n_logits >= 0 && first_logits >= 0);
    assert(run->count <= context->max_rows - context->n_rows);
    assert(run->n_logits <= context->max_logits - context->n_logits);
    assert(run->start <= context->engine->max_positions - run->count);
    context->n_items += step_cut_queries(context->items + context->n_items, run, context->n_rows, 0,
                                         context->n_rows);
    context->n_last_items += step_cut_queries(context->last_items + context->n_last_items, run,
                                              context->n_rows, first_logits, context->n_logits);
    for (int j = 0; j < run->count; j++) {
        const int position = run->start + j;
        assert(run->tokens[j] >= 0 && run->tokens[j] < context->engine->shape->n_vocab);
        if (j >= first_logits)
            context->logits_rows[context->n_logits++] = context->n_rows;
        context->rows[context->n_rows++] = (struct step_row){
            .position = position,
            .token = run->tokens[j],
            .page = run->pages[position / PAGE_TOKENS],
        };
    }
}

/* Lays the rows of the runs one behind the other. */
static void step_lay_out(struct engine_context *context, const struct batch_run *runs, int n_runs)
{
    context->n_rows = context->n_items = context->n_last_items = context->n_logits = 0;
    for (int i = 0; i < n_runs; i++)
        step_lay_out_run(context, &runs[i]);
    /* Several short queries to a tile, but enough tiles for every thread. */
    context->items_per_tile = context->n_items / (context->n_threads * 8);
    if (context->items_per_tile < 1 || context->n_rows > 2 * context->n_items)
        context->items_per_tile = 1;
}

float *engine_step(struct engine_context *context, const struct batch_run *runs, int n_runs)
{
    const struct team_program program = {1 + context->engine->shape->n_layers * LAYER_PHASES + 2,
                                         step_tiles, step_tile};

    assert(n_runs > 0 && n_runs <= context->max_runs);
    step_lay_out(context, runs, n_runs);
    team_run(context->team, context->lane, &program, context);
    return context->logits;
}
