/*
 * The few best tokens of a row of logits, without sorting the row.
 *
 * A token ranks before another when its logit is larger, or equal and its id lower. Tokens that are
 * banned (-infinity) or NaN are never candidates. Any thread.
 */
#ifndef TANDEM_WORKER_CANDIDATES_H
#define TANDEM_WORKER_CANDIDATES_H

#include <stdbool.h>
#include <stdint.h>

struct candidate {
    float logit;
    int32_t token;
    float weight; /* set and read by the caller and candidates_share only */
};

bool candidate_ranks_before(struct candidate a, struct candidate b);

/* The k first in rank: the last of them comes first, the others in no order. ret: room for k.
 * Returns how many there are; fewer than k: all of them, in order of id. */
int candidates_first(const float *logits, int n, int k, struct candidate *ret);

/* Those with a logit of at least `threshold`, in order of id. ret: room for n. */
int candidates_reaching(const float *logits, int n, float threshold, struct candidate *ret);

/* Orders a short list (some tens) by rank. */
void candidates_sort(struct candidate *candidates, int count);

/* The candidate with which the weights, added up in order of rank, reach `share`; the last one when
 * they do not. count > 0. Leaves the candidates in another order. */
struct candidate candidates_share(struct candidate *candidates, int count, double share);

#endif
