/*
 * One pass where one is enough: greedy is a maximum; a plain temperature is one pass of
 * exponentials and a walk over block sums; top_k never weighs more than k tokens; top_p weighs all,
 * but orders only those that can be in the nucleus. For the last: all tokens lighter than t = (1 -
 * top_p) * total / n weigh less than (1 - top_p) * total together, so the tokens of weight t and
 * more already reach top_p of the total and the nucleus is among them.
 *
 * Draws walk the tokens in order of id when nothing is filtered and in order of rank otherwise.
 * Sums of weights are in double precision and in a fixed order, so a draw depends on the row alone.
 */
#include "worker/sampler.h"

#include "base/philox.h"
#include "worker/candidates.h"
#include "worker/softmax.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Below this a temperature is taken as 0: the exponent of the second best would underflow anyway.
 */
#define GREEDY_BELOW 1e-5f

/* A token that occurred, for the penalties. */
struct seen_token {
    int32_t token_plus_one; /* 0: empty cell */
    int32_t answers;        /* how often in the answer */
};

struct sampler {
    const struct request *request;
    int n_vocab;
    bool counts_prompt;      /* the repetition penalty looks at the prompt too */
    struct seen_token *seen; /* hash table, linear probing; NULL without penalties */
    uint32_t seen_mask, n_seen;
};

struct sampler_scratch {
    struct candidate *candidates, *ranked; /* [n_vocab] */
    float *weights, *raw;                  /* [n_vocab] */
    double *sums;                          /* one per block */
};

int sampler_scratch_create(struct sampler_scratch **ret_scratch, int n_vocab)
{
    const size_t n = (size_t)n_vocab;
    struct sampler_scratch *scratch = calloc(1, sizeof *scratch);

    if (!scratch)
        return -ENOMEM;
    scratch->candidates = calloc(n, sizeof *scratch->candidates);
    scratch->ranked = calloc(n, sizeof *scratch->ranked);
    scratch->weights = calloc(n, sizeof *scratch->weights);
    scratch->raw = calloc(n, sizeof *scratch->raw);
    scratch->sums = calloc(n / SOFTMAX_BLOCK + 1, sizeof *scratch->sums);
    if (!scratch->candidates || !scratch->ranked || !scratch->weights || !scratch->raw ||
        !scratch->sums) {
        sampler_scratch_destroy(scratch);
        return -ENOMEM;
    }
    *ret_scratch = scratch;
    return 0;
}

void sampler_scratch_destroy(struct sampler_scratch *scratch)
{
    if (!scratch)
        return;
    free(scratch->candidates);
    free(scratch->ranked);
    free(scratch->weights);
    free(scratch->raw);
    free(scratch->sums);
    free(scratch);
}

static void see_token(struct sampler *sampler, int32_t token, int answers)
{
    uint32_t at = (uint32_t)token * 0x9E3779B1u & sampler->seen_mask;

    assert(token >= 0 && token < sampler->n_vocab);
    while (sampler->seen[at].token_plus_one && sampler->seen[at].token_plus_one != token + 1)
        at = (at + 1) & sampler->seen_mask;
    if (!sampler->seen[at].token_plus_one) {
        assert(sampler->n_seen < sampler->seen_mask); /* one cell stays empty: probes end */
        sampler->n_seen++;
    }
    sampler->seen[at].token_plus_one = token + 1;
    sampler->seen[at].answers += answers;
}

/* A table for the tokens of the request, at most half full. */
static int count_request(struct sampler *sampler, const struct request *request)
{
    const int64_t tokens =
        (sampler->counts_prompt ? (int64_t)request->n_prompt : 0) + (int64_t)request->max_tokens;
    const int64_t distinct = tokens < sampler->n_vocab ? tokens : sampler->n_vocab;
    uint32_t size = 16;

    while (size < 2 * distinct)
        size *= 2;
    sampler->seen = calloc(size, sizeof *sampler->seen);
    if (!sampler->seen)
        return -ENOMEM;
    sampler->seen_mask = size - 1;
    for (int i = sampler->counts_prompt ? 0 : request->n_prompt; i < request->n_tokens; i++)
        see_token(sampler, request->tokens[i], i >= request->n_prompt);
    return 0;
}

int sampler_create(struct sampler **ret_sampler, const struct request *request, int n_vocab)
{
    const struct sampling_params *params = &request->sampling;
    struct sampler *sampler = calloc(1, sizeof *sampler);
    int rc;

    if (!sampler)
        return -ENOMEM;
    sampler->request = request;
    sampler->n_vocab = n_vocab;
    sampler->counts_prompt = params->repetition_penalty != 1.0f;
    if (sampler->counts_prompt || params->presence_penalty != 0.0f ||
        params->frequency_penalty != 0.0f) {
        rc = count_request(sampler, request);
        if (rc < 0) {
            free(sampler);
            return rc;
        }
    }
    *ret_sampler = sampler;
    return 0;
}

void sampler_destroy(struct sampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->seen);
    free(sampler);
}

void sampler_accept(struct sampler *sampler, int32_t token)
{
    if (sampler->seen)
        see_token(sampler, token, 1);
}

static void apply_bias(const struct sampling_params *params, int n_vocab, float *logits)
{
    for (int i = 0; i < params->n_bias; i++) {
        const struct logit_bias *bias = &params->bias[i];

        assert(bias->token >= 0 && bias->token < n_vocab);
        logits[bias->token] = bias->bias <= -100.0f ? -INFINITY : logits[bias->token] + bias->bias;
    }
    (void)n_vocab;
}

static void apply_penalties(const struct sampler *sampler, float *logits)
{
    const struct sampling_params *params = &sampler->request->sampling;

    if (!sampler->seen)
        return;
    for (uint32_t i = 0; i <= sampler->seen_mask; i++) {
        const struct seen_token *seen = &sampler->seen[i];

        if (!seen->token_plus_one)
            continue;
        float *logit = &logits[seen->token_plus_one - 1];

        if (*logit > 0)
            *logit /= params->repetition_penalty;
        else
            *logit *= params->repetition_penalty;
        if (seen->answers > 0)
            *logit -= params->presence_penalty + params->frequency_penalty * (float)seen->answers;
    }
}

static void ban_stop_ids(const struct request *request, int index, float *logits)
{
    if (index >= request->min_tokens)
        return;
    for (int i = 0; i < request->n_stop_ids; i++)
        logits[request->stop_ids[i]] = -INFINITY;
}

/* The first of the largest. A row without any number gives token 0. */
static int32_t choose_greedy(const float *logits, int n)
{
    const float max = softmax_max(logits, n);

    for (int32_t i = 0; i < n; i++)
        if (logits[i] == max)
            return i;
    return 0;
}

/* Inverse of the cumulated weights in order of id. */
static int32_t draw_from_all(struct sampler_scratch *scratch, const float *logits, int n, float max,
                             float scale, double uniform)
{
    const double total = softmax_weights(logits, n, max, scale, scratch->weights, scratch->sums);
    const int blocks = (n + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK;
    double left = uniform * total;
    int block = 0, last = -1;

    while (block < blocks - 1 && left >= scratch->sums[block])
        left -= scratch->sums[block++];
    /* Rounding may leave the walk at the end of a block: its last token with any weight. */
    for (int i = block * SOFTMAX_BLOCK; i < n && i < (block + 1) * SOFTMAX_BLOCK; i++) {
        if (scratch->weights[i] <= 0)
            continue;
        last = i;
        left -= (double)scratch->weights[i];
        if (left < 0)
            break;
    }
    return last >= 0 ? last : choose_greedy(logits, n);
}

/* The k first, in order of id. Returns how many. */
static int gather_top_k(struct sampler_scratch *scratch, const float *logits, int n, int k)
{
    struct candidate *candidates = scratch->candidates;
    const int count = candidates_first(logits, n, k, candidates);

    if (count < k)
        return count;
    const struct candidate last = candidates[0];
    const int reaching = candidates_reaching(logits, n, last.logit, candidates);
    int kept = 0;

    for (int i = 0; i < reaching; i++) /* of equals with the last one, those of lower id */
        if (!candidate_ranks_before(last, candidates[i]))
            candidates[kept++] = candidates[i];
    assert(kept == k);
    return kept;
}

/* Those of at least the weight `lightest`, and a few lighter ones: the slack covers the rounding of
 * the threshold. */
static int gather_heavy(const struct sampling_params *params, struct sampler_scratch *scratch,
                        const float *logits, int n, float max, double lightest)
{
    const double temperature = (double)params->temperature;
    const double slack = 1e-3 * temperature + 1e-5 * fabs((double)max);
    const double threshold = (double)max + temperature * log(lightest) - slack;

    return candidates_reaching(logits, n, (float)threshold, scratch->candidates);
}

/* The nucleus and more. Looks from the heaviest down until what was found reaches the share, so
 * that a peaked distribution yields a short list; `least` is where it does in any case. */
static int gather_top_p(const struct sampling_params *params, struct sampler_scratch *scratch,
                        const float *logits, int n, float max, double total)
{
    const double least =
        fmax((double)params->min_p, 0.5 * (1.0 - (double)params->top_p) * total / n);
    double lightest = 1, found;
    int count;

    do {
        lightest = fmax(lightest / 16, least);
        count = gather_heavy(params, scratch, logits, n, max, lightest);
        found = 0;
        for (int i = 0; i < count; i++) {
            struct candidate *c = &scratch->candidates[i];

            c->weight = scratch->weights[c->token];
            found += (double)c->weight;
        }
    } while (found < (double)params->top_p * total && lightest > least);
    return count;
}

/* Fills scratch->candidates, in order of id and weighed, with a superset of those that pass top_k,
 * top_p and min_p. ret_total: the weight that top_p is a share of. */
static int gather(const struct sampling_params *params, struct sampler_scratch *scratch,
                  const float *logits, int n, float max, double *ret_total)
{
    const float scale = 1.0f / params->temperature;
    const bool top_k = params->top_k > 0 && params->top_k < n;
    int count;

    if (!top_k && params->top_p < 1.0f) {
        *ret_total = softmax_weights(logits, n, max, scale, scratch->weights, scratch->sums);
        return gather_top_p(params, scratch, logits, n, max, *ret_total);
    }
    if (top_k)
        count = gather_top_k(scratch, logits, n, params->top_k);
    else
        count = gather_heavy(params, scratch, logits, n, max, (double)params->min_p);
    *ret_total = 0;
    for (int i = 0; i < count; i++) {
        struct candidate *c = &scratch->candidates[i];

        c->weight = softmax_exp((c->logit - max) * scale);
        *ret_total += (double)c->weight;
    }
    return count;
}

/* Draws among the candidates that pass the filters. The first in rank always does. */
static int32_t draw_filtered(const struct sampling_params *params, struct sampler_scratch *scratch,
                             const float *logits, int n, float max, double uniform)
{
    struct candidate *candidates = scratch->candidates;
    double total, left = 0;
    const int count = gather(params, scratch, logits, n, max, &total);
    int kept = 0, at = 0;

    if (count == 0)
        return choose_greedy(logits, n);
    struct candidate last = {.logit = -INFINITY, .token = n}; /* ranks behind all */

    if (params->top_p < 1.0f) {
        memcpy(scratch->ranked, candidates, (size_t)count * sizeof *candidates);
        last = candidates_share(scratch->ranked, count, (double)params->top_p * total);
    }
    for (int i = 0; i < count; i++)
        if (candidates[i].weight >= params->min_p && !candidate_ranks_before(last, candidates[i])) {
            left += (double)candidates[i].weight;
            candidates[kept++] = candidates[i];
        }
    for (left *= uniform; at < kept - 1; at++) {
        left -= (double)candidates[at].weight;
        if (left < 0)
            break;
    }
    return candidates[at].token;
}

static int32_t choose_token(const struct sampler *sampler, struct sampler_scratch *scratch,
                            const float *logits, int index)
{
    const struct sampling_params *params = &sampler->request->sampling;
    const int n = sampler->n_vocab;

    if (params->temperature < GREEDY_BELOW)
        return choose_greedy(logits, n);
    const float max = softmax_max(logits, n);
    const double uniform = philox_uniform(params->seed, (uint64_t)index, 0);
    const bool top_k = params->top_k > 0 && params->top_k < n;

    if (top_k || params->top_p < 1.0f || params->min_p > 0.0f)
        return draw_filtered(params, scratch, logits, n, max, uniform);
    return draw_from_all(scratch, logits, n, max, 1.0f / params->temperature, uniform);
}

/* Log probabilities of the row as the model gave it. Returns the log of its normaliser. */
static float list_top(struct sampler_scratch *scratch, const float *logits, int n, int n_top,
                      struct token_logprobs *ret)
{
    const float max = softmax_max(logits, n);
    const double total = softmax_weights(logits, n, max, 1.0f, scratch->weights, scratch->sums);
    const float normaliser = max + (float)log(total);
    int count = 0;

    if (n_top > 0)
        count = candidates_first(logits, n, n_top, scratch->candidates);
    candidates_sort(scratch->candidates, count);
    for (int i = 0; i < count; i++) {
        ret->top[i].token = scratch->candidates[i].token;
        ret->top[i].logprob = scratch->candidates[i].logit - normaliser;
    }
    ret->n_top = count;
    return normaliser;
}

int32_t sampler_choose(struct sampler *sampler, struct sampler_scratch *scratch, float *logits,
                       int index, struct token_logprobs *ret_logprobs)
{
    const struct request *request = sampler->request;
    const int n_top = request->sampling.logprobs;
    float normaliser = 0;

    assert(n_top <= REQUEST_LOGPROBS_MAX && (n_top < 0 || ret_logprobs));
    if (n_top >= 0) {
        normaliser = list_top(scratch, logits, sampler->n_vocab, n_top, ret_logprobs);
        memcpy(scratch->raw, logits, (size_t)sampler->n_vocab * sizeof *logits);
    }
    apply_bias(&request->sampling, sampler->n_vocab, logits);
    apply_penalties(sampler, logits);
    ban_stop_ids(request, index, logits);
    const int32_t token = choose_token(sampler, scratch, logits, index);

    if (n_top >= 0)
        ret_logprobs->chosen = scratch->raw[token] - normaliser;
    sampler_accept(sampler, token);
    return token;
}
