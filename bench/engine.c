/*
 * Speed of the engine alone: no server, no sampling.
 *
 *   engine MODEL [ISA [THREADS [REPEATS [SEQUENCES CONTEXT]]]]
 *
 * Prints, for each case (or only for that many sequences at that context; 0 sequences: only a
 * prompt of that length), the best of the repeats: prompts of 512 tokens (512 and 128 rows a step)
 * and decodes of 1 to 32 sequences at two context lengths, with the share of the two rooflines:
 * bytes of weights and KV read, and multiply-adds of the linear layers.
 */
#include "worker/engine.h"
#include "base/clock.h"
#include "base/err.h"
#include "kvcache/pool.h"
#include "model/model.h"
#include "worker/team.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEQUENCES 32
#define POSITIONS 1024
#define SEQUENCE_PAGES (POSITIONS / PAGE_TOKENS)
#define ROWS_MAX 512

struct bench {
    struct team *team;
    struct model *model;
    struct engine *engine;
    struct kv_arena arena;
    struct engine_context *context;
    int32_t tokens[POSITIONS], pages[SEQUENCES][SEQUENCE_PAGES];
    int repeats;
};

static void bench_fail(const struct err *err)
{
    (void)fprintf(stderr, "engine: %s\n", err->text);
    exit(1);
}

static void bench_open(struct bench *b, const char *path, const char *isa, int threads)
{
    struct err err;
    const uint64_t start = clock_now_ns();

    if (team_create(&b->team, threads, &err) < 0 || model_open(&b->model, path, &err) < 0 ||
        engine_open(&b->engine, b->model, isa, b->team, POSITIONS, &err) < 0)
        bench_fail(&err);
    printf("isa %s, %d threads, opened in %.2f s\n", engine_isa(b->engine), threads,
           (double)(clock_now_ns() - start) * 1e-9);
    const struct kv_layout layout = engine_kv_layout(b->engine);
    if (kv_arena_open(&b->arena, (kv_page_bytes(&layout) + 63) / 64 * 64,
                      SEQUENCES * SEQUENCE_PAGES, &err) < 0)
        bench_fail(&err);
    for (int s = 0; s < SEQUENCES; s++)
        for (int i = 0; i < SEQUENCE_PAGES; i++)
            b->pages[s][i] = i * SEQUENCES + s;
    for (int i = 0; i < POSITIONS; i++)
        b->tokens[i] = 1 + i * 7919 % (b->model->shape.n_vocab - 1);
    const int lane = team_add_lane(b->team, TEAM_DECODE);
    if (engine_context_create(&b->context, b->engine, b->team, lane, &b->arena, ROWS_MAX, SEQUENCES,
                              SEQUENCES, &err) < 0)
        bench_fail(&err);
}

/* Multiply-adds of a row in the layers, and in the head. */
static double bench_layer_macs(const struct bench *b)
{
    const struct model_shape *s = &b->model->shape;
    const double heads = (double)s->head_dim * (2.0 * s->n_heads + 2.0 * s->n_kv_heads);
    return s->n_layers * (double)s->n_embd * (heads + 3.0 * s->n_ff);
}

static double bench_head_macs(const struct bench *b)
{
    return (double)b->model->shape.n_embd * b->model->shape.n_vocab;
}

static void bench_prefill(const struct bench *b, int tokens, int chunk)
{
    uint64_t best = UINT64_MAX;

    for (int r = 0; r < b->repeats; r++) {
        const uint64_t start = clock_now_ns();
        for (int at = 0; at < tokens; at += chunk) {
            const struct batch_run run = {b->tokens + at, at, chunk, b->pages[0],
                                          at + chunk == tokens};
            (void)engine_step(b->context, &run, 1);
        }
        const uint64_t took = clock_now_ns() - start;
        best = took < best ? took : best;
    }
    const double s = (double)best * 1e-9;
    printf("prefill %4d in chunks of %3d: %8.2f ms %8.1f tok/s %8.1f GMAC/s\n", tokens, chunk,
           s * 1e3, tokens / s, (tokens * bench_layer_macs(b) + bench_head_macs(b)) / s * 1e-9);
}

/* All sequences say the same up to here, so one is computed and copied. */
static void bench_fill(const struct bench *b, int sequences, int context)
{
    const struct batch_run run = {b->tokens, 0, context, b->pages[0], 0};

    (void)engine_step(b->context, &run, 1);
    for (int s = 1; s < sequences; s++)
        for (int i = 0; i < kv_pages_for(context); i++)
            memcpy(kv_arena_page(&b->arena, b->pages[s][i]),
                   kv_arena_page(&b->arena, b->pages[0][i]), b->arena.page_bytes);
}

static void bench_decode(const struct bench *b, int sequences, int context)
{
    const struct kv_layout layout = engine_kv_layout(b->engine);
    const double kv = (double)sequences * context * (double)kv_page_bytes(&layout) / PAGE_TOKENS;
    struct batch_run runs[SEQUENCES];
    uint64_t best = UINT64_MAX, total = 0;
    const int steps = b->repeats * 8;

    bench_fill(b, sequences, context);
    for (int s = 0; s < sequences; s++)
        runs[s] = (struct batch_run){b->tokens + s, context, 1, b->pages[s], 1};
    for (int r = 0; r < steps; r++) {
        const uint64_t start = clock_now_ns();
        (void)engine_step(b->context, runs, sequences);
        const uint64_t took = clock_now_ns() - start;
        best = took < best ? took : best;
        total += took;
    }
    const double s = (double)best * 1e-9, mean = (double)total * 1e-9 / steps;
    printf("decode %2d at context %3d: best %7.3f ms mean %7.3f ms %8.1f tok/s (mean %7.1f) "
           "%6.1f GB/s %6.1f GMAC/s\n",
           sequences, context, s * 1e3, mean * 1e3, sequences / s, sequences / mean,
           ((double)engine_weight_bytes(b->engine) + kv) / s * 1e-9,
           sequences * (bench_layer_macs(b) + bench_head_macs(b)) / s * 1e-9);
}

static void bench_one(const struct bench *b, int sequences, int context)
{
    if (sequences < 0 || sequences > SEQUENCES || context < 1 || context >= POSITIONS ||
        (sequences == 0 && context > ROWS_MAX))
        return;
    if (sequences == 0)
        bench_prefill(b, context, context);
    else
        bench_decode(b, sequences, context);
}

static void bench_all(const struct bench *b)
{
    static const int batches[] = {1, 2, 4, 8, 16, 32};

    bench_prefill(b, 512, 512);
    bench_prefill(b, 512, 128);
    bench_prefill(b, 32, 32);
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        bench_decode(b, batches[i], 40);
    for (size_t i = 0; i < sizeof(batches) / sizeof(batches[0]); i++)
        bench_decode(b, batches[i], 500);
}

int main(int argc, char **argv)
{
    static struct bench b;

    if (argc < 2) {
        (void)fprintf(stderr,
                      "usage: engine MODEL [ISA [THREADS [REPEATS [SEQUENCES CONTEXT]]]]\n");
        return 2;
    }
    b.repeats = argc > 4 ? atoi(argv[4]) : 5;
    bench_open(&b, argv[1], argc > 2 ? argv[2] : "auto", argc > 3 ? atoi(argv[3]) : 2);
    if (argc > 6)
        bench_one(&b, atoi(argv[5]), atoi(argv[6]));
    else
        bench_all(&b);
    engine_context_destroy(b.context);
    kv_arena_close(&b.arena);
    engine_close(b.engine);
    model_close(b.model);
    team_destroy(b.team);
    return 0;
}
