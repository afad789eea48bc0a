/*
 * The phases of a step that multiply by weights. A tile is some panels times some blocks of rows;
 * what comes out of the kernel goes straight into what follows it (rotary embedding and KV pages,
 * residual stream, SwiGLU and the next product's input), while it is in the cache.
 */
#include "worker/step_state.h"

#include <assert.h>
#include <string.h>

/* Multiply-adds of a tile, about 30 us: short enough that a decode does not wait long for a thread
 * busy with prefill, long enough to make claiming it cheap. */
#define TILE_MACS 5000000
#define TILES_PER_THREAD 4 /* at least, so that threads end together */

static int product_ceil(int a, int b)
{
    return (a + b - 1) / b;
}

int step_plan_product(struct engine_context *context, int panels, int columns)
{
    struct product_plan *plan = &context->plan;
    const int blocks = step_row_blocks(context->n_active);
    const int wanted = context->n_threads * TILES_PER_THREAD;

    plan->panels = panels;
    plan->blocks_per_tile = blocks < TILE_ROW_BLOCKS ? blocks : TILE_ROW_BLOCKS;
    const int row_tiles = product_ceil(blocks, plan->blocks_per_tile);
    const int64_t panel_macs = (int64_t)columns * PANEL_ROWS * plan->blocks_per_tile * ROW_BLOCK;
    int per_tile = (int)(TILE_MACS / panel_macs);
    const int balanced = product_ceil(panels, product_ceil(wanted, row_tiles));
    if (per_tile > balanced)
        per_tile = balanced;
    if (per_tile > TILE_PANELS)
        per_tile = TILE_PANELS;
    plan->panels_per_tile = per_tile < 1 ? 1 : per_tile;
    plan->panel_tiles = product_ceil(panels, plan->panels_per_tile);
    return plan->panel_tiles * row_tiles;
}

/* What a tile of the plan covers. */
struct tile_range {
    int panel, panel_end, block, block_end;
};

static struct tile_range product_range(const struct engine_context *context, int tile)
{
    const struct product_plan *plan = &context->plan;
    struct tile_range range;

    range.panel = tile % plan->panel_tiles * plan->panels_per_tile;
    range.panel_end = range.panel + plan->panels_per_tile;
    if (range.panel_end > plan->panels)
        range.panel_end = plan->panels;
    range.block = tile / plan->panel_tiles * plan->blocks_per_tile;
    range.block_end = range.block + plan->blocks_per_tile;
    if (range.block_end > step_row_blocks(context->n_active))
        range.block_end = step_row_blocks(context->n_active);
    return range;
}

/* Panels [panel, panel + n_panels) of the weight times block `block` of the active rows. Returns
 * the number of rows in the block. */
static int product_block(const struct engine_context *context, const struct weight *weight,
                         const struct stage *stage, int panel, int n_panels, int block, float *out,
                         size_t out_stride)
{
    const int blocks = stage->columns / QUANT_BLOCK, left = context->n_active - block * ROW_BLOCK;
    const struct gemm_tile tile = {
        .panels = weight->panels + (size_t)panel * weight->panel_bytes,
        .panel_bytes = weight->panel_bytes,
        .n_panels = n_panels,
        .n_blocks = blocks,
        .acts = stage->blocks + (size_t)block * (size_t)blocks,
        .rows = stage->rows == NULL
                    ? NULL
                    : stage->rows + (size_t)block * ROW_BLOCK * (size_t)stage->columns,
        .row_stride = (size_t)stage->columns,
        .n_rows = left < ROW_BLOCK ? left : ROW_BLOCK,
        .out = out,
        .out_stride = out_stride,
    };
    assert(weight->columns == stage->columns);
    context->engine->kernels->gemm[weight->kind](&tile);
    return tile.n_rows;
}

void step_put(const struct engine_context *context, const struct stage *stage,
              const struct weight *weights, int n_weights, int row, int first, const float *x,
              int n)
{
    bool quantised = false, floats = false;

    for (int i = 0; i < n_weights; i++) {
        const bool is_float = weight_kind_is_float(weights[i].kind);
        floats = floats || is_float;
        quantised = quantised || !is_float;
    }
    if (quantised) {
        struct act_block *blocks =
            stage->blocks + (size_t)(row / ROW_BLOCK) * (size_t)(stage->columns / QUANT_BLOCK);
        context->engine->kernels->quantise(x, n, blocks + first / QUANT_BLOCK, row % ROW_BLOCK);
    }
    if (floats)
        memcpy(stage->rows + (size_t)row * (size_t)stage->columns + (size_t)first, x,
               (size_t)n * sizeof(float));
}

/* Puts n dimensions of a row's K or V, from dimension `first` of all KV heads, into its page. */
static void product_put_kv(const struct engine_context *context, int layer, int is_value,
                           const struct step_row *row, int first, const float *x, int n)
{
    const struct kv_layout layout = engine_kv_layout(context->engine);
    unsigned char *page = kv_arena_page(context->arena, row->page);
    const int slot = row->position % PAGE_TOKENS;
    uint16_t half[TILE_PANELS * PANEL_ROWS];

    context->engine->kernels->to_half(x, n, half);
    for (int i = 0; i < n; i += PANEL_ROWS) {
        const int head = (first + i) / layout.head_dim, d = (first + i) % layout.head_dim;
        uint16_t *k = (void *)(page + kv_head_offset(&layout, layer, head));
        uint16_t *v = k + PAGE_TOKENS * layout.head_dim;
        if (is_value) {
            memcpy(v + slot * layout.head_dim + d, half + i, PANEL_ROWS * sizeof(*half));
            continue;
        }
        for (int j = 0; j < PANEL_ROWS; j++)
            k[(d + j) * PAGE_TOKENS + slot] = half[i + j];
    }
}

/* Query, key or value (0, 1, 2) rows of a block, from dimension `first` on. */
static void product_finish_qkv(const struct engine_context *context, int layer, int which,
                               int block, int n_rows, int first, float *out, int n)
{
    const struct engine *engine = context->engine;
    const int head_dim = engine->shape->head_dim;
    const size_t q_stride = (size_t)(engine->shape->n_heads * head_dim);

    for (int t = 0; t < n_rows; t++, out += n) {
        const int row = block * ROW_BLOCK + t;
        const struct step_row *at = &context->rows[row];
        const size_t angles = (size_t)at->position * (size_t)head_dim;
        if (which < 2)
            engine->kernels->rope(out, n, first, head_dim, engine->cosine + angles,
                                  engine->sine + angles);
        if (which == 0)
            memcpy(context->q + (size_t)row * q_stride + (size_t)first, out,
                   (size_t)n * sizeof(float));
        else
            product_put_kv(context, layer, which == 2, at, first, out, n);
    }
}

void step_qkv_tile(struct engine_context *context, int layer, int tile, int thread)
{
    const struct weight *weights = context->engine->layers[layer].qkv;
    const struct tile_range range = product_range(context, tile);
    float *out = context->threads[thread].product[0];

    for (int block = range.block; block < range.block_end; block++) {
        int base = 0; /* of this weight among the panels of the phase */
        for (int w = 0; w < 3; base += weights[w++].n_panels) {
            const int end = base + weights[w].n_panels;
            const int from = range.panel > base ? range.panel : base;
            const int to = range.panel_end < end ? range.panel_end : end;
            const int n = (to - from) * PANEL_ROWS;
            if (n <= 0)
                continue;
            const int n_rows = product_block(context, &weights[w], &context->normed, from - base,
                                             to - from, block, out, (size_t)n);
            product_finish_qkv(context, layer, w, block, n_rows, (from - base) * PANEL_ROWS, out,
                               n);
        }
    }
}

/* A panel of this phase's plan is 32 columns of the next product's input: two panels of gate and
 * two of up. */
void step_gate_up_tile(struct engine_context *context, int layer, int tile, int thread)
{
    const struct engine_layer *weights = &context->engine->layers[layer];
    const struct cpu_kernels *kernels = context->engine->kernels;
    const struct tile_range range = product_range(context, tile);
    const struct step_thread *scratch = &context->threads[thread];

    for (int block = range.block; block < range.block_end; block++) {
        int n_rows = 0, count;
        for (int unit = range.panel; unit < range.panel_end; unit += count) {
            count = range.panel_end - unit;
            if (count > TILE_PANELS / 4)
                count = TILE_PANELS / 4;
            const int n = count * QUANT_BLOCK;
            for (int i = 0; i < 2; i++)
                n_rows = product_block(context, &weights->gate_up[i], &context->normed, 2 * unit,
                                       2 * count, block, scratch->product[i], (size_t)n);
            for (int t = 0; t < n_rows; t++) {
                float *gate = scratch->product[0] + t * n, *up = scratch->product[1] + t * n;
                kernels->swiglu(gate, up, n, gate);
                step_put(context, &context->gated, &weights->down, 1, block * ROW_BLOCK + t,
                         unit * QUANT_BLOCK, gate, n);
            }
        }
    }
}

void step_residual_tile(struct engine_context *context, const struct weight *weight,
                        const struct stage *stage, int tile, int thread)
{
    const struct tile_range range = product_range(context, tile);
    const int panels = range.panel_end - range.panel, n = panels * PANEL_ROWS;
    const size_t n_embd = (size_t)context->engine->shape->n_embd;
    float *out = context->threads[thread].product[0];

    for (int block = range.block; block < range.block_end; block++) {
        const int n_rows =
            product_block(context, weight, stage, range.panel, panels, block, out, (size_t)n);
        for (int t = 0; t < n_rows; t++) {
            float *x =
                context->x + (size_t)step_active_row(context, block * ROW_BLOCK + t) * n_embd;
            context->engine->kernels->add(x + range.panel * PANEL_ROWS, out + t * n, n);
        }
    }
}

void step_head_tile(struct engine_context *context, int tile)
{
    const struct tile_range range = product_range(context, tile);
    const size_t stride = engine_logits_stride(context->engine);

    for (int block = range.block; block < range.block_end; block++) {
        float *out = context->logits + (size_t)(block * ROW_BLOCK) * stride +
                     (size_t)(range.panel * PANEL_ROWS);
        (void)product_block(context, &context->engine->head, &context->headed, range.panel,
                            range.panel_end - range.panel, block, out, stride);
    }
}
