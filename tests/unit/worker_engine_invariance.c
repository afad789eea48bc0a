/*
 * worker/engine.h: the bits of a row's logits depend on its tokens alone. Brute force: every
 * position of three sequences is computed alone on the plain kernels with one thread, then again in
 * random ragged batches with other numbers of threads, chunk sizes and instruction sets.
 */
#include "worker/engine.h"

#include "base/philox.h"
#include "tests/unit/tiny_model.h"
#include "worker/cpu/isa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEQUENCES 3
#define POSITIONS 70 /* beyond one stretch of the softmax */
#define VOCAB 200
#define PAGES ((POSITIONS + PAGE_TOKENS - 1) / PAGE_TOKENS)
#define ROWS_MAX 100

struct setup {
    struct team *team;
    struct engine *engine;
    struct kv_arena arena;
    struct engine_context *context;
    int32_t pages[SEQUENCES][PAGES];
};

static int32_t tokens[SEQUENCES][POSITIONS];
static float expected[SEQUENCES][POSITIONS][VOCAB];

static void setup_open(struct setup *s, const struct model *model, const char *isa, int threads)
{
    struct err err = {{0}};

    if (team_create(&s->team, threads, &err) < 0 ||
        engine_open(&s->engine, model, isa, s->team, POSITIONS, &err) < 0)
        fail_msg("%s", err.text);
    const struct kv_layout layout = engine_kv_layout(s->engine);
    assert_int_equal(kv_arena_open(&s->arena, kv_page_bytes(&layout), SEQUENCES * PAGES, &err), 0);
    /* NaNs where nothing was written: a key read that does not exist shows. */
    memset(s->arena.base, 0xff, s->arena.page_bytes * SEQUENCES * PAGES);
    for (int i = 0; i < SEQUENCES; i++)
        for (int p = 0; p < PAGES; p++)
            s->pages[i][p] = p * SEQUENCES + (i + p) % SEQUENCES;
    const int lane = team_add_lane(s->team, TEAM_DECODE);
    if (engine_context_create(&s->context, s->engine, s->team, lane, &s->arena, ROWS_MAX, SEQUENCES,
                              ROWS_MAX, &err) < 0)
        fail_msg("%s", err.text);
}

static void setup_close(struct setup *s)
{
    engine_context_destroy(s->context);
    kv_arena_close(&s->arena);
    engine_close(s->engine);
    team_destroy(s->team);
}

static void compute_expected(const struct model *model)
{
    struct setup s;

    setup_open(&s, model, "plain", 1);
    for (int i = 0; i < SEQUENCES; i++) {
        const struct batch_run run = {tokens[i], 0, POSITIONS, s.pages[i], POSITIONS};
        const float *logits = engine_step(s.context, &run, 1);
        for (int p = 0; p < POSITIONS; p++)
            memcpy(expected[i][p], logits + (size_t)p * engine_logits_stride(s.engine),
                   sizeof(expected[i][p]));
    }
    setup_close(&s);
}

/* Sequences advance by random counts up to `chunk` in batches of random company. */
static void check_ragged(struct setup *s, int chunk, uint64_t seed)
{
    int at[SEQUENCES] = {0}, left = SEQUENCES;

    for (uint64_t step = 0; left > 0; step++) {
        struct batch_run runs[SEQUENCES];
        int of[SEQUENCES], n_runs = 0, rows = 0;
        for (int i = 0; i < SEQUENCES; i++) {
            int count = 1 + (int)(philox_uniform(seed, step, (uint32_t)i) * chunk);
            if (count > POSITIONS - at[i])
                count = POSITIONS - at[i];
            if (count == 0 || rows + count > ROWS_MAX ||
                philox_uniform(seed, step, (uint32_t)(10 + i)) < 0.2)
                continue;
            runs[n_runs] = (struct batch_run){tokens[i] + at[i], at[i], count, s->pages[i],
                                              (int)(step % 3) * count / 2};
            of[n_runs++] = i;
            rows += count;
        }
        if (n_runs == 0)
            continue;
        const float *logits = engine_step(s->context, runs, n_runs);
        for (int r = 0; r < n_runs; r++) {
            for (int j = runs[r].count - runs[r].n_logits; j < runs[r].count; j++) {
                assert_memory_equal(logits, expected[of[r]][runs[r].start + j],
                                    sizeof(expected[0][0]));
                logits += engine_logits_stride(s->engine);
            }
            at[of[r]] += runs[r].count;
            left -= at[of[r]] == POSITIONS;
        }
    }
}

static void check_model(enum gguf_tensor_type type, enum gguf_tensor_type head,
                        enum rope_pairing pairing)
{
    static const int chunks[] = {1, 7, 16, POSITIONS};
    const struct cpu_kernels *kernels[CPU_ISA_MAX];
    const int n_kernels = cpu_isa_available(kernels, CPU_ISA_MAX);
    struct model *model = tiny_model_create(type, head, pairing);

    for (int i = 0; i < SEQUENCES; i++)
        for (int p = 0; p < POSITIONS; p++)
            tokens[i][p] = (int32_t)(philox_uniform((uint64_t)i, (uint64_t)p, 0) * VOCAB);
    compute_expected(model);
    for (int k = 0; k < n_kernels; k++) {
        for (int threads = 1; threads <= 4; threads++) {
            struct setup s;
            if (k > 0 && threads % 2 == 0)
                continue; /* the slower ones: fewer runs */
            setup_open(&s, model, kernels[k]->name, threads);
            check_ragged(&s, chunks[threads - 1], (uint64_t)(10 * k + threads));
            if (k == 0) /* the fastest: every chunk size */
                for (size_t c = 0; c < sizeof(chunks) / sizeof(chunks[0]); c++)
                    check_ragged(&s, chunks[c], 100 + c);
            setup_close(&s);
        }
    }
    tiny_model_free(model);
}

/* Catches any sum whose order follows the batch, and rows that read each other's numbers. */
static void test_q4_1(void **state)
{
    (void)state;
    check_model(GGUF_TENSOR_Q4_1, GGUF_TENSOR_Q8_0, ROPE_ADJACENT);
}

static void test_k_quants_halves(void **state)
{
    (void)state;
    check_model(GGUF_TENSOR_Q4_K, GGUF_TENSOR_Q6_K, ROPE_HALVES);
}

static void test_floats(void **state)
{
    (void)state;
    check_model(GGUF_TENSOR_F16, GGUF_TENSOR_F32, ROPE_ADJACENT);
}

/* Catches shapes the kernels cannot do that are let through, and errors without the key. */
static void test_shapes_refused(void **state)
{
    static const struct {
        int n_embd, n_ff, n_heads, n_kv_heads, head_dim, rope_dims;
        const char *key;
    } cases[] = {
        {250, 512, 4, 2, 64, 64, "embedding_length"},
        {256, 500, 4, 2, 64, 64, "feed_forward_length"},
        {256, 512, 4, 2, 60, 60, "key_length"},
        {256, 512, 4, 3, 64, 64, "head_count"},
        {256, 512, 4, 4, 16, 16, "head_count"},
        {256, 512, 4, 2, 64, 66, "rope.dimension_count"},
    };
    struct team *team;

    (void)state;
    assert_int_equal(team_create(&team, 1, NULL), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct model *model = tiny_model_create(GGUF_TENSOR_Q8_0, GGUF_TENSOR_Q8_0, ROPE_ADJACENT);
        struct engine *engine = NULL;
        struct err err = {{0}};
        model->shape.n_embd = cases[i].n_embd;
        model->shape.n_ff = cases[i].n_ff;
        model->shape.n_heads = cases[i].n_heads;
        model->shape.n_kv_heads = cases[i].n_kv_heads;
        model->shape.head_dim = cases[i].head_dim;
        model->shape.rope_dims = cases[i].rope_dims;
        assert_true(engine_open(&engine, model, "auto", team, 16, &err) < 0);
        assert_null(engine);
        assert_non_null(strstr(err.text, cases[i].key));
        tiny_model_free(model);
    }
    team_destroy(team);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_q4_1),
        cmocka_unit_test(test_k_quants_halves),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_shapes_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
