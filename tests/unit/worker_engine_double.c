#include "tests/unit/worker_engine_double.h"

#include "base/clock.h"
#include "base/philox.h"
#include "worker/sampler.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct engine {
    struct kv_layout layout;
};

struct engine_context {
    const struct kv_arena *arena;
    int lane, max_rows, max_runs, max_logits;
    float *logits;
};

_Atomic int engine_double_slow_lane = -1;

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a ^ b * 0x9E3779B97F4A7C15u) + 0x632BE59BD9B4E019u;

    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

/* What the page holds for a token that follows one of value `before`. */
static uint64_t token_value(int32_t token, int position, uint64_t before)
{
    return mix(mix((uint64_t)token + 1, (uint64_t)position), before);
}

static void fill_logits(uint64_t everything, float *logits)
{
    for (uint64_t i = 0; i < DOUBLE_VOCAB; i++)
        logits[i] = (float)(8 * philox_uniform(everything, i, 0) - 4);
}

static const struct engine the_engine = {.layout = {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4}};
const struct engine *const engine_double = &the_engine;

struct kv_layout engine_kv_layout(const struct engine *engine)
{
    return engine->layout;
}

size_t engine_logits_stride(const struct engine *engine)
{
    (void)engine;
    return DOUBLE_VOCAB + 32;
}

int engine_context_create(struct engine_context **ret_context, const struct engine *engine,
                          struct team *team, int lane, const struct kv_arena *arena, int max_rows,
                          int max_runs, int max_logits, struct err *err)
{
    struct engine_context *context = malloc(sizeof *context);

    (void)team;
    if (!context)
        return err_set(err, ENOMEM, "out of memory");
    *context = (struct engine_context){.arena = arena,
                                       .lane = lane,
                                       .max_rows = max_rows,
                                       .max_runs = max_runs,
                                       .max_logits = max_logits};
    context->logits =
        calloc((size_t)max_logits * engine_logits_stride(engine), sizeof *context->logits);
    if (!context->logits) {
        free(context);
        return err_set(err, ENOMEM, "out of memory");
    }
    *ret_context = context;
    return 0;
}

void engine_context_destroy(struct engine_context *context)
{
    if (!context)
        return;
    free(context->logits);
    free(context);
}

static unsigned char *token_cell(const struct engine_context *context, const struct batch_run *run,
                                 int position)
{
    return kv_arena_page(context->arena, run->pages[position / PAGE_TOKENS]) +
           (size_t)(position % PAGE_TOKENS) * 16;
}

static uint64_t read_value(const struct engine_context *context, const struct batch_run *run,
                           int position)
{
    uint64_t value;

    memcpy(&value, token_cell(context, run, position), sizeof value);
    return value;
}

static void compute_run(const struct engine_context *context, const struct batch_run *run)
{
    uint64_t before = run->start > 0 ? read_value(context, run, run->start - 1) : 0;

    for (int i = 0; i < run->count; i++) {
        before = token_value(run->tokens[i], run->start + i, before);
        memcpy(token_cell(context, run, run->start + i), &before, sizeof before);
    }
}

float *engine_step(struct engine_context *context, const struct batch_run *runs, int n_runs)
{
    const uint64_t until =
        clock_now_ns() +
        (context->lane == atomic_load(&engine_double_slow_lane) ? DOUBLE_SLOW_NS : 0);
    int rows = 0, n_logits = 0;

    assert(n_runs <= context->max_runs);
    for (int i = 0; i < n_runs; i++) {
        compute_run(context, &runs[i]);
        rows += runs[i].count;
        assert(runs[i].n_logits <= 1);
        if (runs[i].n_logits == 0)
            continue;
        uint64_t everything = 0;

        for (int p = 0; p < runs[i].start + runs[i].count; p++)
            everything = mix(everything, read_value(context, &runs[i], p));
        fill_logits(everything,
                    context->logits + (size_t)n_logits++ * engine_logits_stride(engine_double));
    }
    assert(rows <= context->max_rows && n_logits <= context->max_logits);
    while (clock_now_ns() < until)
        ;
    return context->logits;
}

int engine_double_text(const struct request *request, int32_t *ret)
{
    struct sampler_scratch *scratch;
    struct sampler *sampler;
    uint64_t before = 0, everything = 0;
    float logits[DOUBLE_VOCAB];
    int count = 0, position = 0;
    int rc = sampler_scratch_create(&scratch, DOUBLE_VOCAB);

    assert(rc == 0);
    rc = sampler_create(&sampler, request, DOUBLE_VOCAB);
    assert(rc == 0 && request->n_tokens == request->n_prompt);
    (void)rc;
    for (bool stop = false; !stop && count < request->max_tokens;) {
        struct token_logprobs logprobs;

        for (; position < request->n_prompt + count; position++) {
            const int32_t token = position < request->n_prompt ? request->tokens[position]
                                                               : ret[position - request->n_prompt];

            before = token_value(token, position, before);
            everything = mix(everything, before);
        }
        fill_logits(everything, logits);
        ret[count] = sampler_choose(sampler, scratch, logits, count, &logprobs);
        for (int i = 0; i < request->n_stop_ids; i++)
            stop |= request->stop_ids[i] == ret[count];
        count++;
    }
    sampler_destroy(sampler);
    sampler_scratch_destroy(scratch);
    return count;
}
