/*
 * Attention over pages; included by each isa_*.c after its lanes and rows_body.h.
 *
 * The rows (query, head) of a tile share the keys, so K and V of 64 tokens are read while they are
 * in the cache and meet every row. One vector holds the scores of one row against the 16 tokens of
 * a page; softmax runs online in steps of 64 tokens counted from position 0. A row therefore sees
 * the same operations in the same order wherever its chunk begins and whoever shares its tile: what
 * lies behind its position is masked to a probability of exactly 0, and adding 0 changes nothing.
 */
#ifndef TANDEM_WORKER_CPU_ATTENTION_BODY_H
#define TANDEM_WORKER_CPU_ATTENTION_BODY_H

#include "kvcache/layout.h"
#include "worker/cpu/gemm_body.h"
#include "worker/cpu/rows_body.h"

#include <stdbool.h>

#define ATTENTION_ROWS 6 /* side by side: 6 rows x 4 pages of scores fill 24 registers */
#define SCORE_PAGES (SCORE_TOKENS / PAGE_TOKENS)
#define ATTENTION_MASKED (-1e30f)

/* Up to ATTENTION_ROWS rows against one stretch of SCORE_TOKENS keys. */
struct attention_group {
    const float *q[ATTENTION_ROWS];
    float *out[ATTENTION_ROWS];
    int visible[ATTENTION_ROWS]; /* keys of the stretch the row sees, may be <= 0 */
    int most;                    /* the largest of them, at most SCORE_TOKENS */
    float factor[16];            /* what the older part of each row is multiplied by */
    float p[ATTENTION_ROWS][SCORE_TOKENS];
};

/* Where K and V of a stretch lie. The pages are scattered over the arena, where the processor does
 * not guess the next one, so the kernels ask for the stretch to come while they work on one. */
struct attention_pages {
    const uint16_t *k[SCORE_PAGES], *v[SCORE_PAGES];
};

LANES_INLINE void attention_scores(struct attention_group *g, const struct attention_pages *here,
                                   const struct attention_pages *next, int page, int head_dim,
                                   int R, int P)
{
    struct vf s[ATTENTION_ROWS * SCORE_PAGES];
    LANES_UNROLL
    for (int i = 0; i < R * P; i++)
        s[i] = vf_set1(0.0f);
    for (int d = 0; d < head_dim; d++) {
        struct vf key[SCORE_PAGES];
        LANES_UNROLL
        for (int p = 0; p < P; p++)
            key[p] = vf_load_half(here->k[page + p] + d * PAGE_TOKENS);
        if (next != NULL) { /* a line is two dimensions of a page: half of the pages each time */
            LANES_UNROLL
            for (int p = 0; p < SCORE_PAGES / 2; p++)
                __builtin_prefetch(next->k[d % 2 * (SCORE_PAGES / 2) + p] + d * PAGE_TOKENS, 0, 2);
        }
        LANES_UNROLL
        for (int r = 0; r < R; r++) {
            const struct vf x = vf_set1(g->q[r][d]);
            LANES_UNROLL
            for (int p = 0; p < P; p++)
                s[r * P + p] = vf_fma(key[p], x, s[r * P + p]);
        }
    }
    LANES_UNROLL
    for (int r = 0; r < R; r++) {
        LANES_UNROLL
        for (int p = 0; p < P; p++)
            vf_store(g->p[r] + (page + p) * PAGE_TOKENS, s[r * P + p]);
    }
}

/* Scores to probabilities relative to the running maximum. state: maximum, then 16 lanes of sum. */
LANES_INLINE void attention_softmax(struct attention_group *g, float *const *state, float scale,
                                    int R)
{
    const int pages = kv_pages_for(g->most);
    const struct vf masked = vf_set1(ATTENTION_MASKED), zero = vf_set1(0.0f);
    float before[16] = {0};

    for (int r = 0; r < R; r++) {
        struct vf top = masked;
        for (int p = 0; p < pages; p++) {
            float *s = g->p[r] + p * PAGE_TOKENS;
            const int left = g->visible[r] - p * PAGE_TOKENS;
            struct vf x = vf_mul(vf_load(s), vf_set1(scale));
            if (left < PAGE_TOKENS)
                x = vf_first(x, left > 0 ? left : 0, masked);
            vf_store(s, x);
            top = vf_max(x, top);
        }
        const float old = state[r][0], highest = vf_highest(top);
        const float maximum = highest > old ? highest : old;
        before[r] = old - maximum;
        state[r][0] = maximum;
    }
    vf_store(g->factor, vf_exp(vf_load(before)));
    for (int r = 0; r < R; r++) {
        const struct vf maximum = vf_set1(state[r][0]);
        struct vf sum = vf_mul(vf_load(state[r] + 1), vf_set1(g->factor[r]));
        for (int p = 0; p < pages; p++) {
            float *s = g->p[r] + p * PAGE_TOKENS;
            const int left = g->visible[r] - p * PAGE_TOKENS;
            struct vf x = vf_exp(vf_sub(vf_load(s), maximum));
            if (left < PAGE_TOKENS)
                x = vf_first(x, left > 0 ? left : 0, zero);
            vf_store(s, x);
            sum = vf_add(sum, x);
        }
        vf_store(state[r] + 1, sum);
    }
}

/* out = out * factor + p V for 16 D dimensions from `dim`. */
LANES_INLINE void attention_values(struct attention_group *g, const struct attention_pages *here,
                                   const struct attention_pages *next, int dim, int head_dim, int R,
                                   int D)
{
    struct vf acc[ATTENTION_ROWS * 4];
    LANES_UNROLL
    for (int r = 0; r < R; r++) {
        const struct vf factor = vf_set1(g->factor[r]);
        LANES_UNROLL
        for (int i = 0; i < D; i++)
            acc[r * D + i] = vf_mul(vf_load(g->out[r] + dim + 16 * i), factor);
    }
    for (int t = 0; t < g->most; t++) {
        const int at = t % PAGE_TOKENS * head_dim + dim;
        const uint16_t *row = here->v[t / PAGE_TOKENS] + at;
        struct vf value[4];
        LANES_UNROLL
        for (int i = 0; i < D; i++)
            value[i] = vf_load_half(row + 16 * i);
        if (next != NULL) {
            LANES_UNROLL
            for (int i = 0; i < D; i += 2)
                __builtin_prefetch(next->v[t / PAGE_TOKENS] + at + 16 * i, 0, 2);
        }
        LANES_UNROLL
        for (int r = 0; r < R; r++) {
            const struct vf p = vf_set1(g->p[r][t]);
            LANES_UNROLL
            for (int i = 0; i < D; i++)
                acc[r * D + i] = vf_fma(value[i], p, acc[r * D + i]);
        }
    }
    LANES_UNROLL
    for (int r = 0; r < R; r++) {
        LANES_UNROLL
        for (int i = 0; i < D; i++)
            vf_store(g->out[r] + dim + 16 * i, acc[r * D + i]);
    }
}

LANES_INLINE void attention_stretch(const struct attention_tile *t, int row, int first_token,
                                    const struct attention_pages *here,
                                    const struct attention_pages *next, int R)
{
    struct attention_group g;
    float *state[ATTENTION_ROWS];
    int dim = 0;

    g.most = 0;
    for (int r = 0; r < R; r++) {
        const int query = (row + r) / t->group, head = (row + r) % t->group;
        g.q[r] = t->q + (size_t)query * t->q_stride + (size_t)(head * t->head_dim);
        g.out[r] = t->out + (size_t)(row + r) * (size_t)t->head_dim;
        g.visible[r] = t->position + query + 1 - first_token;
        if (g.visible[r] > SCORE_TOKENS)
            g.visible[r] = SCORE_TOKENS;
        if (g.visible[r] > g.most)
            g.most = g.visible[r];
        state[r] = t->state + ATTENTION_STATE_FLOATS(row + r);
    }
    if (g.most == 0)
        return;
    const int pages = kv_pages_for(g.most);
    int page = 0;
    for (; page + 4 <= pages; page += 4)
        attention_scores(&g, here, next, page, t->head_dim, R, 4);
    for (; page + 2 <= pages; page += 2)
        attention_scores(&g, here, next, page, t->head_dim, R, 2);
    for (; page < pages; page++)
        attention_scores(&g, here, next, page, t->head_dim, R, 1);
    attention_softmax(&g, state, t->scale, R);
    for (; dim + 64 <= t->head_dim; dim += 64)
        attention_values(&g, here, next, dim, t->head_dim, R, 4);
    for (; dim < t->head_dim; dim += 16)
        attention_values(&g, here, next, dim, t->head_dim, R, 1);
}

#define ATTENTION_STRETCH(rows)                                                              \
    static void attention_stretch_##rows(const struct attention_tile *t, int row, int first, \
                                         const struct attention_pages *here,                 \
                                         const struct attention_pages *next)                 \
    {                                                                                        \
        attention_stretch(t, row, first, here, next, rows);                                  \
    }
ATTENTION_STRETCH(1)
ATTENTION_STRETCH(2)
ATTENTION_STRETCH(3)
ATTENTION_STRETCH(4)
ATTENTION_STRETCH(6)

/* The pages of the stretch from token `first` on; false when there is none. Unused entries repeat
 * the first page. */
static bool attention_find_pages(const struct attention_tile *t, int first,
                                 struct attention_pages *pages)
{
    const int left = t->position + t->n_queries - first;
    const int count = kv_pages_for(left < SCORE_TOKENS ? left : SCORE_TOKENS);

    if (left <= 0)
        return false;
    for (int p = 0; p < SCORE_PAGES; p++) {
        const size_t page = (size_t)t->pages[first / PAGE_TOKENS + (p < count ? p : 0)];
        pages->k[p] = (const void *)(t->arena + page * t->page_bytes + t->head_offset);
        pages->v[p] = pages->k[p] + PAGE_TOKENS * t->head_dim;
    }
    return true;
}

static void attention_tile_run(const struct attention_tile *t)
{
    static void (*const stretches[])(const struct attention_tile *, int, int,
                                     const struct attention_pages *,
                                     const struct attention_pages *) = {NULL,
                                                                        attention_stretch_1,
                                                                        attention_stretch_2,
                                                                        attention_stretch_3,
                                                                        attention_stretch_4,
                                                                        attention_stretch_4,
                                                                        attention_stretch_6};
    static const int sizes[] = {0, 1, 2, 3, 4, 4, 6};
    const int rows = t->n_queries * t->group, tokens = t->position + t->n_queries;
    struct attention_pages here, next;

    for (int row = 0; row < rows; row++) {
        float *state = t->state + ATTENTION_STATE_FLOATS(row);
        state[0] = ATTENTION_MASKED;
        vf_store(state + 1, vf_set1(0.0f));
        for (int i = 0; i < t->head_dim; i += 16)
            vf_store(t->out + (size_t)row * (size_t)t->head_dim + i, vf_set1(0.0f));
    }
    (void)attention_find_pages(t, 0, &here); /* position 0 is always there */
    for (int first = 0; first < tokens; first += SCORE_TOKENS) {
        const bool more = attention_find_pages(t, first + SCORE_TOKENS, &next);
        for (int row = 0; row < rows;) {
            const int left = rows - row, index = left < ATTENTION_ROWS ? left : ATTENTION_ROWS;
            stretches[index](t, row, first, &here, row == 0 && more ? &next : NULL);
            row += sizes[index];
        }
        here = next;
    }
    for (int row = 0; row < rows; row++) {
        float *out = t->out + (size_t)row * (size_t)t->head_dim;
        const struct vf sum = vf_load(t->state + ATTENTION_STATE_FLOATS(row) + 1);
        const struct vf inverse = vf_set1(1.0f / vf_total(sum));
        for (int i = 0; i < t->head_dim; i += 16)
            vf_store(out + i, vf_mul(vf_load(out + i), inverse));
    }
}

#endif
