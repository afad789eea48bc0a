/*
 * Logits of every position of a token sequence, for tests that compare engines.
 *
 *   logits MODEL [ISA [THREADS [CHUNK]]] < ids > floats
 *
 * Reads decimal token ids, computes them in chunks and writes [tokens][vocabulary] f32.
 */
#include "base/err.h"
#include "kvcache/pool.h"
#include "model/model.h"
#include "worker/engine.h"
#include "worker/team.h"

#include <stdio.h>
#include <stdlib.h>

#define TOKENS_MAX 8192

struct session {
    struct team *team;
    struct model *model;
    struct engine *engine;
    struct kv_arena arena;
    struct engine_context *context;
    int32_t tokens[TOKENS_MAX], pages[TOKENS_MAX / PAGE_TOKENS];
    int n_tokens;
};

static void fail(const struct err *err)
{
    (void)fprintf(stderr, "logits: %s\n", err->text);
    exit(1);
}

static void session_open(struct session *s, const char *path, const char *isa, int threads,
                         int chunk)
{
    struct err err;

    if (team_create(&s->team, threads, &err) < 0 || model_open(&s->model, path, &err) < 0 ||
        engine_open(&s->engine, s->model, isa, s->team, TOKENS_MAX, &err) < 0)
        fail(&err);
    const struct kv_layout layout = engine_kv_layout(s->engine);
    const int n_pages = kv_pages_for(s->n_tokens);
    if (kv_arena_open(&s->arena, (kv_page_bytes(&layout) + 63) / 64 * 64, n_pages, &err) < 0)
        fail(&err);
    /* Backwards, so that a kernel that takes pages for consecutive is found out. */
    for (int i = 0; i < n_pages; i++)
        s->pages[i] = n_pages - 1 - i;
    const int lane = team_add_lane(s->team, TEAM_PREFILL);
    if (engine_context_create(&s->context, s->engine, s->team, lane, &s->arena, chunk, 1, chunk,
                              &err) < 0)
        fail(&err);
}

static void session_close(struct session *s)
{
    engine_context_destroy(s->context);
    kv_arena_close(&s->arena);
    engine_close(s->engine);
    model_close(s->model);
    team_destroy(s->team);
}

int main(int argc, char **argv)
{
    static struct session s;
    int id;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: logits MODEL [ISA [THREADS [CHUNK]]] < ids > floats\n");
        return 2;
    }
    while (s.n_tokens < TOKENS_MAX && scanf("%d", &id) == 1)
        s.tokens[s.n_tokens++] = id;
    const int chunk = argc > 4 ? atoi(argv[4]) : 64;
    session_open(&s, argv[1], argc > 2 ? argv[2] : "auto", argc > 3 ? atoi(argv[3]) : 2, chunk);
    const size_t n_vocab = (size_t)s.model->shape.n_vocab;
    for (int start = 0; start < s.n_tokens; start += chunk) {
        const int left = s.n_tokens - start, count = left < chunk ? left : chunk;
        const struct batch_run run = {s.tokens + start, start, count, s.pages, count};
        if (s.tokens[start] < 0 || (size_t)s.tokens[start] >= n_vocab)
            return 2;
        const float *logits = engine_step(s.context, &run, 1);
        for (int i = 0; i < count; i++)
            if (fwrite(logits + (size_t)i * engine_logits_stride(s.engine), sizeof(float), n_vocab,
                       stdout) != n_vocab)
                return 1;
    }
    session_close(&s);
    return 0;
}
