/*
 * From one row of logits to a token.
 *
 * The order is: bias, repetition, presence and frequency penalties, bans (stop ids before
 * min_tokens), temperature, top_k, top_p, min_p, draw. top_p is a share of what top_k left; min_p
 * is relative to the most likely token. Greedy (a temperature under 1e-5) takes the largest after
 * penalties, the lowest id among equals. The draw is one uniform number keyed by (seed, index
 * of the emitted token), so the text of a request does not depend on what runs beside it.
 *
 * A sampler belongs to one request; one thread at a time. It keeps the counts of the tokens seen.
 */
#ifndef TANDEM_WORKER_SAMPLER_H
#define TANDEM_WORKER_SAMPLER_H

#include "proto/request.h"

#include <stdint.h>

struct sampler;

/* Scratch for one thread: candidate arrays over the vocabulary. */
struct sampler_scratch;
int sampler_scratch_create(struct sampler_scratch **ret_scratch, int n_vocab);
void sampler_scratch_destroy(struct sampler_scratch *scratch);

/* The request must outlive the sampler; its tokens (prompt, and answer on a replay) are counted. */
int sampler_create(struct sampler **ret_sampler, const struct request *request, int n_vocab);
void sampler_destroy(struct sampler *sampler);

/* Chooses emitted token number `index` (from 0, those before a replay counted) and counts it.
 * logits [n_vocab] may be changed. ret_logprobs: filled when the request asks for it, else may be
 * NULL. */
int32_t sampler_choose(struct sampler *sampler, struct sampler_scratch *scratch, float *logits,
                       int index, struct token_logprobs *ret_logprobs);

/* Counts a token that another worker chose (the first one, after a hand-over). */
void sampler_accept(struct sampler *sampler, int32_t token);

#endif
