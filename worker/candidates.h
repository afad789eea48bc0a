/*
 * The few best tokens of a row of logits, without sorting the row.
 *
 * A token ranks before another when its logit is larger, or equal and its id lower. Tokens that are
 * banned (-infinity) or NaN are never candidates. Any thread.
 */
#ifndef TANDEM_WORKER_CANDIDATES_H
#define TANDEM_WORKER_CANDIDATES_H

#include <stdint.h>

struct candidate {
    float logit;
    int32_t token;
};

/* The k first in rank, in no order. ret: room for k. Returns how many there are, at most k. */
int candidates_first(const float *logits, int n, int k, struct candidate *ret);

/* Those with a logit of at least `threshold`, in order of id. ret: room for n. */
int candidates_reaching(const float *logits, int n, float threshold, struct candidate *ret);

/* Orders `count` candidates as a heap; afterwards candidates_pop moves the first in rank of those
 * left to the end of the `count` left. */
void candidates_heap(struct candidate *candidates, int count);
struct candidate candidates_pop(struct candidate *candidates, int count);

#endif
