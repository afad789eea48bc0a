/*
 * Opening an engine: checks that the kernels can do the model's shapes, then repacks every weight
 * into one mapping of huge pages (a decode step streams all of it, and 2 MB pages save a fifth of
 * the time), in parallel on the team.
 */
#include "worker/engine.h"

#include "model/dequant.h"
#include "worker/cpu/isa.h"
#include "worker/cpu/rope.h"
#include "worker/engine_state.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)
#define LAYER_WEIGHTS 7
#define REPACK_PANELS 8     /* per tile */
#define REPACK_POSITIONS 64 /* of the rotary table, per tile */
#define HEAD_DIM_MAX 512

static int engine_check_shape(const struct model *model, struct err *err)
{
    const struct model_shape *s = &model->shape;
    const char *arch = model->architecture;

    if (s->n_embd % QUANT_BLOCK != 0)
        return err_set(err, EINVAL, "%s.embedding_length: %d is not a multiple of %d", arch,
                       s->n_embd, QUANT_BLOCK);
    if (s->n_ff % QUANT_BLOCK != 0)
        return err_set(err, EINVAL, "%s.feed_forward_length: %d is not a multiple of %d", arch,
                       s->n_ff, QUANT_BLOCK);
    if (s->head_dim % PANEL_ROWS != 0 || s->head_dim > HEAD_DIM_MAX)
        return err_set(err, EINVAL, "%s.attention.key_length: %d is not a multiple of %d up to %d",
                       arch, s->head_dim, PANEL_ROWS, HEAD_DIM_MAX);
    if (s->n_kv_heads < 1 || s->n_heads % s->n_kv_heads != 0)
        return err_set(err, EINVAL, "%s.attention.head_count: %d is no multiple of the %d KV heads",
                       arch, s->n_heads, s->n_kv_heads);
    if (s->n_heads / s->n_kv_heads * s->head_dim % QUANT_BLOCK != 0)
        return err_set(err, EINVAL,
                       "%s.attention.head_count: %d heads of %d per KV head do not fill blocks of "
                       "%d",
                       arch, s->n_heads / s->n_kv_heads, s->head_dim, QUANT_BLOCK);
    if (s->rope_dims % 2 != 0 || s->rope_dims > s->head_dim)
        return err_set(err, EINVAL, "%s.rope.dimension_count: %d is odd or more than a head's %d",
                       arch, s->rope_dims, s->head_dim);
    return 0;
}

static void layer_weights(struct engine_layer *layer, struct weight *ret_weights[LAYER_WEIGHTS])
{
    ret_weights[0] = &layer->qkv[0];
    ret_weights[1] = &layer->qkv[1];
    ret_weights[2] = &layer->qkv[2];
    ret_weights[3] = &layer->out;
    ret_weights[4] = &layer->gate_up[0];
    ret_weights[5] = &layer->gate_up[1];
    ret_weights[6] = &layer->down;
}

static void engine_plan_weights(struct engine *engine)
{
    const struct model_shape *s = engine->shape;
    const int pairs = s->rope_pairing == ROPE_HALVES ? s->rope_dims / 2 : 0;

    for (int l = 0; l < s->n_layers; l++) {
        const struct gguf_tensor **t = engine->model->layers[l];
        struct engine_layer *layer = &engine->layers[l];
        weight_init(&layer->qkv[0], t[LAYER_ATTN_Q], s->head_dim, pairs);
        weight_init(&layer->qkv[1], t[LAYER_ATTN_K], s->head_dim, pairs);
        weight_init(&layer->qkv[2], t[LAYER_ATTN_V], s->head_dim, 0);
        weight_init(&layer->out, t[LAYER_ATTN_OUT], s->head_dim, 0);
        weight_init(&layer->gate_up[0], t[LAYER_FFN_GATE], s->head_dim, 0);
        weight_init(&layer->gate_up[1], t[LAYER_FFN_UP], s->head_dim, 0);
        weight_init(&layer->down, t[LAYER_FFN_DOWN], s->head_dim, 0);
    }
    weight_init(&engine->head, engine->model->output, s->head_dim, 0);
}

/* Hands out the mapping piece by piece; with memory still NULL it only adds up. */
static void *engine_place(struct engine *engine, size_t *used, size_t bytes)
{
    void *place = engine->memory == NULL ? NULL : engine->memory + *used;
    *used += (bytes + 63) / 64 * 64;
    assert(engine->memory == NULL || *used <= engine->memory_bytes);
    return place;
}

static size_t engine_place_all(struct engine *engine)
{
    const struct model_shape *s = engine->shape;
    const size_t norm = (size_t)s->n_embd * sizeof(float);
    const size_t table = (size_t)engine->max_positions * (size_t)s->head_dim * sizeof(float);
    size_t used = 0;

    for (int l = 0; l < s->n_layers; l++) {
        struct weight *weights[LAYER_WEIGHTS];
        layer_weights(&engine->layers[l], weights);
        for (int i = 0; i < LAYER_WEIGHTS; i++)
            weights[i]->panels = engine_place(engine, &used, weight_bytes(weights[i]));
    }
    engine->head.panels = engine_place(engine, &used, weight_bytes(&engine->head));
    engine->weight_bytes = used;
    for (int l = 0; l < s->n_layers; l++) {
        engine->layers[l].attn_norm = engine_place(engine, &used, norm);
        engine->layers[l].ffn_norm = engine_place(engine, &used, norm);
    }
    engine->output_norm = engine_place(engine, &used, norm);
    engine->cosine = engine_place(engine, &used, table);
    engine->sine = engine_place(engine, &used, table);
    return used;
}

static int engine_map(struct engine *engine, struct err *err)
{
    const size_t bytes = (engine_place_all(engine) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    unsigned char *base =
        mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED)
        return err_set(err, ENOMEM, "cannot map %zu bytes for the weights: %s", bytes,
                       strerror(errno));
    /* Cut the mapping to whole huge pages. */
    const size_t head = (HUGE_PAGE - (uintptr_t)base % HUGE_PAGE) % HUGE_PAGE;
    if (head > 0)
        (void)munmap(base, head);
    (void)munmap(base + head + bytes, HUGE_PAGE - head);
    engine->memory = base + head;
    engine->memory_bytes = bytes;
    /* Advice only: without huge pages it is slower, not wrong. */
    (void)madvise(engine->memory, bytes, MADV_HUGEPAGE);
    (void)engine_place_all(engine);
    return 0;
}

static int repack_panel_tiles(const struct weight *weight)
{
    return (weight->n_panels + REPACK_PANELS - 1) / REPACK_PANELS;
}

static int repack_position_tiles(const struct engine *engine)
{
    return (engine->max_positions + REPACK_POSITIONS - 1) / REPACK_POSITIONS;
}

/* Phases: one per layer, then the head, then the rotary tables. */
static int repack_tiles(void *context, int phase)
{
    struct engine *engine = context;
    const int n_layers = engine->shape->n_layers;
    int tiles = 0;

    if (phase == n_layers)
        return repack_panel_tiles(&engine->head);
    if (phase > n_layers)
        return repack_position_tiles(engine);
    struct weight *weights[LAYER_WEIGHTS];
    layer_weights(&engine->layers[phase], weights);
    for (int i = 0; i < LAYER_WEIGHTS; i++)
        tiles += repack_panel_tiles(weights[i]);
    return tiles;
}

static void repack_weight_tile(const struct weight *weight, int tile)
{
    const int first = tile * REPACK_PANELS;
    for (int p = first; p < first + REPACK_PANELS && p < weight->n_panels; p++)
        weight_repack_panel(weight, p);
}

static void repack_tile(void *context, int phase, int tile, int thread)
{
    struct engine *engine = context;
    const int n_layers = engine->shape->n_layers;

    (void)thread;
    if (phase > n_layers) {
        const int first = tile * REPACK_POSITIONS, left = engine->max_positions - first;
        rope_fill(engine->cosine, engine->sine, engine->shape, first,
                  left < REPACK_POSITIONS ? left : REPACK_POSITIONS);
        return;
    }
    if (phase == n_layers) {
        repack_weight_tile(&engine->head, tile);
        return;
    }
    struct weight *weights[LAYER_WEIGHTS];
    layer_weights(&engine->layers[phase], weights);
    int i = 0;
    for (; tile >= repack_panel_tiles(weights[i]); i++)
        tile -= repack_panel_tiles(weights[i]);
    repack_weight_tile(weights[i], tile);
}

static void engine_read_norms(struct engine *engine)
{
    const size_t n = (size_t)engine->shape->n_embd;
    const struct model *model = engine->model;

    for (int l = 0; l < engine->shape->n_layers; l++) {
        const struct gguf_tensor *attn = model->layers[l][LAYER_ATTN_NORM];
        const struct gguf_tensor *ffn = model->layers[l][LAYER_FFN_NORM];
        dequant_row(attn->type, attn->data, n, engine->layers[l].attn_norm);
        dequant_row(ffn->type, ffn->data, n, engine->layers[l].ffn_norm);
    }
    dequant_row(model->output_norm->type, model->output_norm->data, n, engine->output_norm);
}

int engine_open(struct engine **ret_engine, const struct model *model, const char *isa,
                struct team *team, int max_positions, struct err *err)
{
    const struct team_program program = {model->shape.n_layers + 2, repack_tiles, repack_tile};
    struct engine *engine;
    int lane, r;

    if (max_positions < 1)
        return err_set(err, EINVAL, "max_positions: %d is not positive", max_positions);
    r = engine_check_shape(model, err);
    if (r < 0)
        return r;
    engine = calloc(1, sizeof(*engine));
    if (engine == NULL)
        return err_set(err, ENOMEM, "no memory for the engine");
    engine->model = model;
    engine->shape = &model->shape;
    engine->group = model->shape.n_heads / model->shape.n_kv_heads;
    engine->max_positions = max_positions;
    engine->layers = calloc((size_t)model->shape.n_layers, sizeof(*engine->layers));
    if (engine->layers == NULL) {
        r = err_set(err, ENOMEM, "no memory for %d layers", model->shape.n_layers);
        goto free_engine;
    }
    r = cpu_isa_choose(&engine->kernels, isa, err);
    if (r < 0)
        goto free_engine;
    lane = team_add_lane(team, TEAM_PREFILL);
    if (lane < 0) {
        r = err_set(err, ENOSPC, "the thread team has no lane left");
        goto free_engine;
    }
    engine_plan_weights(engine);
    r = engine_map(engine, err);
    if (r < 0)
        goto free_engine;
    engine_read_norms(engine);
    team_run(team, lane, &program, engine);
    *ret_engine = engine;
    return 0;

free_engine:
    engine_close(engine);
    return r;
}

void engine_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->memory != NULL)
        (void)munmap(engine->memory, engine->memory_bytes);
    free(engine->layers);
    free(engine);
}

const char *engine_isa(const struct engine *engine)
{
    return engine->kernels->name;
}

struct kv_layout engine_kv_layout(const struct engine *engine)
{
    const struct model_shape *s = engine->shape;
    return (struct kv_layout){s->n_layers, s->n_kv_heads, s->head_dim};
}

size_t engine_weight_bytes(const struct engine *engine)
{
    return engine->weight_bytes;
}

size_t engine_logits_stride(const struct engine *engine)
{
    return (size_t)engine->head.n_panels * PANEL_ROWS;
}
