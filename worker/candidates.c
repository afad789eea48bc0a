/*
 * The k first are found with a heap of the k best so far, the last of them on top: one pass of
 * comparisons with a threshold and a few replacements (about k ln(n / k) on a row in random order).
 * The end of a share of the weight is found by quickselect: parts of the list that lie wholly
 * before or behind it are never ordered, so the cost is linear however flat the distribution.
 */
#include "worker/candidates.h"

#include "worker/softmax.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define SCAN 16 /* tokens compared at once */

bool candidate_ranks_before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* Moves the candidate at `at` down until none of its children ranks behind it. */
static void sift_down(struct candidate *heap, int count, int at)
{
    const struct candidate moving = heap[at];

    for (;;) {
        int child = 2 * at + 1;

        if (child >= count)
            break;
        if (child + 1 < count && candidate_ranks_before(heap[child], heap[child + 1]))
            child++;
        if (candidate_ranks_before(heap[child], moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

int candidates_first(const float *logits, int n, int k, struct candidate *ret)
{
    int count = 0, i = 0;

    assert(k > 0);
    for (; i < n && count < k; i++)
        if (logits[i] > -INFINITY)
            ret[count++] = (struct candidate){.logit = logits[i], .token = i};
    if (count < k)
        return count;
    for (int at = count / 2 - 1; at >= 0; at--)
        sift_down(ret, count, at);
    while (i < n) {
        if (i + SCAN <= n && !softmax_any_reaches(logits + i, ret[0].logit)) {
            i += SCAN;
            continue;
        }
        /* An equal logit comes later in id order, so only a larger one replaces the worst. */
        for (const int end = i + SCAN < n ? i + SCAN : n; i < end; i++)
            if (logits[i] > ret[0].logit) {
                ret[0] = (struct candidate){.logit = logits[i], .token = i};
                sift_down(ret, count, 0);
            }
    }
    return count;
}

int candidates_reaching(const float *logits, int n, float threshold, struct candidate *ret)
{
    int count = 0, i = 0;

    while (i < n) {
        if (i + SCAN <= n && !softmax_any_reaches(logits + i, threshold)) {
            i += SCAN;
            continue;
        }
        for (const int end = i + SCAN < n ? i + SCAN : n; i < end; i++)
            if (logits[i] >= threshold && logits[i] > -INFINITY)
                ret[count++] = (struct candidate){.logit = logits[i], .token = i};
    }
    return count;
}

void candidates_sort(struct candidate *candidates, int count)
{
    for (int i = 1; i < count; i++) {
        const struct candidate moving = candidates[i];
        int at = i;

        for (; at > 0 && candidate_ranks_before(moving, candidates[at - 1]); at--)
            candidates[at] = candidates[at - 1];
        candidates[at] = moving;
    }
}

static void swap_candidates(struct candidate *a, struct candidate *b)
{
    const struct candidate kept = *a;

    *a = *b;
    *b = kept;
}

/* Moves those that rank before the pivot to the front. The pivot, the middle one of three, follows
 * them; returns its place. ret_weight: of those before it. */
static int partition(struct candidate *candidates, int count, double *ret_weight)
{
    struct candidate *const last = &candidates[count - 1], *const middle = &candidates[count / 2];
    double weight = 0;
    int place = 0;

    if (candidate_ranks_before(*middle, candidates[0]))
        swap_candidates(middle, &candidates[0]);
    if (candidate_ranks_before(*last, candidates[0]))
        swap_candidates(last, &candidates[0]);
    if (candidate_ranks_before(*middle, *last))
        swap_candidates(middle, last); /* now first, last, middle in rank: the pivot is last */
    for (int i = 0; i < count - 1; i++)
        if (candidate_ranks_before(candidates[i], *last)) {
            weight += (double)candidates[i].weight;
            swap_candidates(&candidates[i], &candidates[place++]);
        }
    swap_candidates(last, &candidates[place]);
    *ret_weight = weight;
    return place;
}

struct candidate candidates_share(struct candidate *candidates, int count, double share)
{
    assert(count > 0);
    while (count > 1) {
        double weight;
        const int place = partition(candidates, count, &weight);

        if (weight >= share && place > 0) { /* it is among those before the pivot */
            count = place;
            continue;
        }
        share -= weight + (double)candidates[place].weight;
        if (share <= 0 || place == count - 1)
            return candidates[place];
        candidates += place + 1;
        count -= place + 1;
    }
    return candidates[0];
}
