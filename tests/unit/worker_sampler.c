/* The sampler against a slow reference in double precision, and its statistics and semantics. */
#include "worker/sampler.h"

#include "base/philox.h"
#include "worker/candidates.h"
#include "worker/softmax.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define VOCAB 49152

struct ranked {
    double logit;
    int32_t token;
};

static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* A row like a model's: a normal bulk and a few that stand out. */
static void fill_row(float *row, int n, uint64_t seed)
{
    for (int i = 0; i < n; i++) {
        const double u = philox_uniform(seed, (uint64_t)i, 1) + 1e-12;
        const double v = philox_uniform(seed, (uint64_t)i, 2);

        row[i] = (float)(2.5 * sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
        if (i % 997 == 3)
            row[i] += 9.0f;
    }
}

static int answers_of(const struct request *r, int32_t token, int from)
{
    int count = 0;

    for (int i = from; i < r->n_tokens; i++)
        count += r->tokens[i] == token;
    return count;
}

/* What the header says, one token at a time. */
static void reference_logits(const struct request *r, const float *row, int n, int index,
                             double *ret)
{
    for (int i = 0; i < n; i++) {
        ret[i] = (double)row[i];
        for (int j = 0; j < r->sampling.n_bias; j++)
            if (r->sampling.bias[j].token == i)
                ret[i] = r->sampling.bias[j].bias <= -100
                             ? -INFINITY
                             : ret[i] + (double)r->sampling.bias[j].bias;
        const int all = answers_of(r, i, 0), answers = answers_of(r, i, r->n_prompt);

        if (all > 0)
            ret[i] = ret[i] > 0 ? ret[i] / (double)r->sampling.repetition_penalty
                                : ret[i] * (double)r->sampling.repetition_penalty;
        if (answers > 0)
            ret[i] -= (double)r->sampling.presence_penalty +
                      answers * (double)r->sampling.frequency_penalty;
        for (int j = 0; j < r->n_stop_ids && index < r->min_tokens; j++)
            if (r->stop_ids[j] == i)
                ret[i] = -INFINITY;
    }
}

static int32_t reference_choice(const struct request *r, const double *logits, int n, int index)
{
    const struct sampling_params *p = &r->sampling;
    struct ranked *ranked = malloc((size_t)n * sizeof *ranked);
    double *weights = calloc((size_t)n, sizeof *weights); /* of those that pass, by id */
    const int limit = p->top_k > 0 && p->top_k < n ? p->top_k : n;
    double total = 0, kept = 0;
    int32_t token = 0;

    assert_true(ranked && weights);
    for (int i = 0; i < n; i++)
        ranked[i] = (struct ranked){logits[i], i};
    qsort(ranked, (size_t)n, sizeof *ranked, compare_ranked);
    const int32_t first = ranked[0].token;
    const double max = ranked[0].logit;

    for (int i = 0; i < limit; i++)
        total += exp((ranked[i].logit - max) / (double)p->temperature);
    for (int i = 0; i < limit && (p->top_p == 1 || kept < (double)p->top_p * total); i++) {
        const double w = exp((ranked[i].logit - max) / (double)p->temperature);

        if (i > 0 && w < (double)p->min_p)
            break;
        weights[ranked[i].token] = w;
        kept += w;
    }
    double left = philox_uniform(p->seed, (uint64_t)index, 0) * kept;

    for (int i = 0; i < n && left >= 0; i++) {
        if (weights[i] == 0)
            continue;
        left -= weights[i];
        token = i;
    }
    free(ranked);
    free(weights);
    return p->temperature == 0 ? first : token;
}

static const int32_t some_tokens[] = {3, 1000, 3, 1000, 4988, 20, 3991, 3991, 7, 1000};
static const int32_t stop_ids[] = {3, 1000, 1997};
static const struct logit_bias some_bias[] = {
    {3, -3.5f}, {1997, -100.0f}, {50, 14.0f}, {2994, 2.0f}};

static struct request request_with(struct sampling_params sampling)
{
    if (sampling.repetition_penalty == 0)
        sampling.repetition_penalty = 1;
    if (sampling.top_p == 0)
        sampling.top_p = 1;
    sampling.logprobs = -1;
    return (struct request){.tokens = some_tokens,
                            .n_tokens = 10,
                            .n_prompt = 6,
                            .max_tokens = 1000,
                            .sampling = sampling};
}

static const struct sampling_params settings[] = {
    {.temperature = 0},
    {.temperature = 1},
    {.temperature = 0.3f},
    {.temperature = 3},
    {.temperature = 1, .top_k = 1},
    {.temperature = 1, .top_k = 40},
    {.temperature = 5, .top_k = 5000},
    {.temperature = 1, .top_k = VOCAB + 5},
    {.temperature = 1, .top_p = 0.9f},
    {.temperature = 1.5f, .top_p = 0.5f},
    {.temperature = 2, .top_p = 0.999f},
    {.temperature = 1, .top_p = 1e-4f},
    {.temperature = 1, .min_p = 0.05f},
    {.temperature = 4, .min_p = 0.3f},
    {.temperature = 1, .top_k = 50, .top_p = 0.8f, .min_p = 0.02f},
    {.temperature = 1, .top_p = 0.95f, .min_p = 0.1f},
    {.temperature = 0, .repetition_penalty = 1.8f},
    {.temperature = 1, .repetition_penalty = 1.3f, .presence_penalty = 0.7f},
    {.temperature = 1, .top_p = 0.9f, .frequency_penalty = -1.5f},
    {.temperature = 0, .presence_penalty = 2, .frequency_penalty = 2},
    {.temperature = 1, .n_bias = 4, .bias = some_bias},
    {.temperature = 0, .n_bias = 4, .bias = some_bias},
};

/* Fault: any filter, penalty or sum that departs from the definition. */
static void agrees_with_reference(void **state)
{
    struct sampler_scratch *scratch;
    float *row = malloc(VOCAB * sizeof *row), *work = malloc(VOCAB * sizeof *work);
    double *logits = malloc(VOCAB * sizeof *logits);

    (void)state;
    assert_true(row && work && logits);
    assert_int_equal(sampler_scratch_create(&scratch, VOCAB), 0);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        for (int index = 4; index < 10; index++) {
            struct request r = request_with(settings[i]);
            struct sampler *sampler;

            r.sampling.seed = 77 + i;
            r.min_tokens = 6; /* banned at 4 and 5, allowed from 6 on */
            r.stop_ids = stop_ids;
            r.n_stop_ids = 3;
            fill_row(row, VOCAB, (uint64_t)index);
            memcpy(work, row, VOCAB * sizeof *work);
            reference_logits(&r, row, VOCAB, index, logits);
            assert_int_equal(sampler_create(&sampler, &r, VOCAB), 0);
            const int32_t token = sampler_choose(sampler, scratch, work, index, NULL);

            if (token != reference_choice(&r, logits, VOCAB, index))
                fail_msg("setting %zu index %d: token %d", i, index, token);
            sampler_destroy(sampler);
        }
    }
    sampler_scratch_destroy(scratch);
    free(row);
    free(work);
    free(logits);
}

/* Fault: a draw that is not distributed as it says (biased walk, wrong normaliser). */
static void distribution(void **state)
{
    enum { SMALL = 40, DRAWS = 40000 };
    static const struct sampling_params cases[] = {{.temperature = 1, .top_p = 1},
                                                   {.temperature = 2, .top_p = 1, .top_k = 12},
                                                   {.temperature = 1.2f, .top_p = 0.9f}};
    struct sampler_scratch *scratch;
    float row[SMALL], work[SMALL];

    (void)state;
    assert_int_equal(sampler_scratch_create(&scratch, SMALL), 0);
    fill_row(row, SMALL, 5);
    row[3] -= 8.0f;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct request r = request_with(cases[c]);
        struct sampler *sampler;
        struct ranked ranked[SMALL];
        double kept = 0, total = 0, chi = 0;
        int counts[SMALL] = {0}, keep = 0, cells = 0;

        r.sampling.seed = 4242;
        assert_int_equal(sampler_create(&sampler, &r, SMALL), 0);
        for (int i = 0; i < DRAWS; i++) {
            memcpy(work, row, sizeof work);
            counts[sampler_choose(sampler, scratch, work, i, NULL)]++;
        }
        for (int i = 0; i < SMALL; i++) {
            ranked[i] = (struct ranked){exp((double)row[i] / (double)r.sampling.temperature), i};
            total += ranked[i].logit;
        }
        qsort(ranked, SMALL, sizeof *ranked, compare_ranked);
        const int limit = r.sampling.top_k > 0 ? r.sampling.top_k : SMALL;

        while (keep < limit && (r.sampling.top_p == 1 || kept < (double)r.sampling.top_p * total))
            kept += ranked[keep++].logit;
        for (int i = 0; i < SMALL; i++) {
            const double expected = i < keep ? DRAWS * ranked[i].logit / kept : 0;
            const int got = counts[ranked[i].token];

            if (expected == 0)
                assert_int_equal(got, 0);
            else if (expected >= 5) {
                chi += (got - expected) * (got - expected) / expected;
                cells++;
            }
        }
        /* Five standard deviations above the mean of chi squared. */
        assert_true(chi < cells + 5 * sqrt(2.0 * cells));
        assert_true(cells > 3);
        sampler_destroy(sampler);
    }
    sampler_scratch_destroy(scratch);
}

/* Fault: a draw that depends on what was drawn before, or on how the answer came here. */
static void draws_depend_on_seed_and_index_alone(void **state)
{
    enum { N = 12 };
    struct sampler_scratch *scratch;
    struct request r = request_with((struct sampling_params){
        .temperature = 1, .top_p = 0.95f, .repetition_penalty = 1.2f, .frequency_penalty = 0.5f});
    float *work = malloc(VOCAB * sizeof *work);
    int32_t tokens[6 + N], first[N];
    struct sampler *sampler;

    (void)state;
    assert_non_null(work);
    assert_int_equal(sampler_scratch_create(&scratch, VOCAB), 0);
    r.sampling.seed = 99;
    memcpy(tokens, some_tokens, 6 * sizeof *tokens);
    r.tokens = tokens;
    r.n_tokens = 6;
    assert_int_equal(sampler_create(&sampler, &r, VOCAB), 0);
    for (int i = 0; i < N; i++) {
        fill_row(work, VOCAB, (uint64_t)i);
        first[i] = sampler_choose(sampler, scratch, work, i, NULL);
    }
    sampler_destroy(sampler);
    memcpy(tokens + 6, first, sizeof first);
    for (int cut = 0; cut < N; cut++) { /* replayed from `cut`, the token before it accepted */
        r.n_tokens = 6 + (cut > 0 ? cut - 1 : 0);
        assert_int_equal(sampler_create(&sampler, &r, VOCAB), 0);
        if (cut > 0)
            sampler_accept(sampler, first[cut - 1]);
        for (int i = cut; i < N; i++) {
            fill_row(work, VOCAB, (uint64_t)i);
            assert_int_equal(sampler_choose(sampler, scratch, work, i, NULL), first[i]);
        }
        sampler_destroy(sampler);
    }
    sampler_scratch_destroy(scratch);
    free(work);
}

/* Fault: logprobs of the changed logits, unsorted, or of another token. */
static void logprobs(void **state)
{
    struct sampler_scratch *scratch;
    struct sampler *sampler;
    float *row = malloc(VOCAB * sizeof *row), *work = malloc(VOCAB * sizeof *work);
    struct ranked *ranked = malloc(VOCAB * sizeof *ranked);
    struct token_logprobs got;
    double total = 0;

    (void)state;
    assert_true(row && work && ranked);
    assert_int_equal(sampler_scratch_create(&scratch, VOCAB), 0);
    fill_row(row, VOCAB, 11);
    for (int i = 0; i < VOCAB; i++) {
        ranked[i] = (struct ranked){(double)row[i], i};
        total += exp((double)row[i]);
    }
    qsort(ranked, VOCAB, sizeof *ranked, compare_ranked);
    for (int n_top = 0; n_top <= REQUEST_LOGPROBS_MAX; n_top += 5) {
        struct request r = request_with((struct sampling_params){
            .temperature = 2, .top_k = 300, .n_bias = 4, .bias = some_bias, .presence_penalty = 2});

        r.sampling.logprobs = n_top;
        memcpy(work, row, VOCAB * sizeof *work);
        assert_int_equal(sampler_create(&sampler, &r, VOCAB), 0);
        const int32_t token = sampler_choose(sampler, scratch, work, 4, &got);

        assert_true(fabs((double)got.chosen - ((double)row[token] - log(total))) < 1e-5);
        assert_int_equal(got.n_top, n_top);
        for (int i = 0; i < n_top; i++) {
            assert_int_equal(got.top[i].token, ranked[i].token);
            assert_true(fabs((double)got.top[i].logprob - (ranked[i].logit - log(total))) < 1e-5);
        }
        sampler_destroy(sampler);
    }
    sampler_scratch_destroy(scratch);
    free(row);
    free(work);
    free(ranked);
}

/* Fault: ties broken by chance, banned or broken logits chosen. */
static void edges(void **state)
{
    static const struct sampling_params params[] = {{.temperature = 0},
                                                    {.temperature = 1},
                                                    {.temperature = 1, .top_k = 3},
                                                    {.temperature = 1, .top_p = 0.5f},
                                                    {.temperature = 1, .min_p = 0.5f}};
    static const int32_t bans[] = {0, 1, 2};
    struct sampler_scratch *scratch;
    struct sampler *sampler;

    (void)state;
    assert_int_equal(sampler_scratch_create(&scratch, 20), 0);
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        struct request r = request_with(params[i]);
        float row[20];

        r.stop_ids = bans;
        r.n_stop_ids = 3;
        r.min_tokens = 3000;
        r.n_tokens = r.n_prompt = 0;
        assert_int_equal(sampler_create(&sampler, &r, 20), 0);
        for (int index = 0; index < 300; index++) {
            for (int j = 0; j < 20; j++)
                row[j] = j < 3 ? 50.0f : j == 9 || j == 10 ? 4.0f : j == 7 ? NAN : -200.0f;
            const int32_t token = sampler_choose(sampler, scratch, row, index, NULL);

            if (i == 0)
                assert_int_equal(token, 9); /* the lower of two equals */
            else
                assert_true(token == 9 || token == 10);
        }
        for (int j = 0; j < 20; j++) /* nothing left to choose: still an id, no crash */
            row[j] = -INFINITY;
        assert_int_equal(sampler_choose(sampler, scratch, row, 0, NULL), 0);
        sampler_destroy(sampler);
    }
    sampler_scratch_destroy(scratch);
}

/* Fault: the fast exponential is off where it matters, or not zero where it must be. */
static void exponential(void **state)
{
    (void)state;
    for (double x = -85.9; x <= 0; x += 0.00371) {
        const double want = exp((double)(float)x);

        assert_true(fabs((double)softmax_exp((float)x) / want - 1) < 1e-6);
    }
    assert_true(softmax_exp(0.0f) == 1.0f);
    assert_true(softmax_exp(-INFINITY) == 0.0f);
    assert_true(softmax_exp(-1000.0f) == 0.0f);
    assert_true(softmax_exp(NAN) == 0.0f);
}

/* Fault: a selection that loses a candidate or takes the wrong one of two equals. */
static void candidates_in_rank(void **state)
{
    enum { N = 1000 };
    float row[N];
    struct candidate got[N];
    struct ranked ranked[N];

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++)
        for (int k = 1; k <= N; k += 37) {
            for (int i = 0; i < N; i++) /* few values: many ties */
                row[i] = (float)(int)(philox_uniform(seed, (uint64_t)i, 0) * 50) - 25;
            for (int i = 0; i < N; i++)
                ranked[i] = (struct ranked){(double)row[i], i};
            qsort(ranked, N, sizeof *ranked, compare_ranked);
            assert_int_equal(candidates_first(row, N, k, got), k);
            assert_int_equal(got[0].token, ranked[k - 1].token);
            candidates_sort(got, k);
            for (int i = 0; i < k; i++)
                assert_int_equal(got[i].token, ranked[i].token);
            int reach = 0;

            while (reach < N && ranked[reach].logit >= (double)(k % 50 - 25))
                reach++;
            assert_int_equal(candidates_reaching(row, N, (float)(k % 50 - 25), got), reach);
            assert_int_equal(candidates_reaching(row, N, -100.0f, got), N);
            for (int i = 0; i < N; i++)
                got[i].weight = 1; /* then a share of k is reached by number k */
            assert_int_equal(candidates_share(got, N, k - 0.5).token, ranked[k - 1].token);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential),
        cmocka_unit_test(candidates_in_rank),
        cmocka_unit_test(agrees_with_reference),
        cmocka_unit_test(distribution),
        cmocka_unit_test(draws_depend_on_seed_and_index_alone),
        cmocka_unit_test(logprobs),
        cmocka_unit_test(edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
