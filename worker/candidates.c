/*
 * Two heaps: finding the k first keeps the k best so far with the worst of them on top, so that a
 * row is one pass of comparisons with a threshold and a few replacements (about k ln(n / k) on a
 * row in random order); taking them in rank order is a heap with the best on top, of which only as
 * much is ordered as is taken.
 */
#include "worker/candidates.h"

#include "worker/softmax.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>

#define SCAN 16 /* tokens compared at once */

static bool ranks_before(struct candidate a, struct candidate b)
{
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* Moves the candidate at `at` down until no child belongs above it: the best on top, or the worst
 * when `worst_on_top`. */
static void sift_down(struct candidate *heap, int count, int at, bool worst_on_top)
{
    const struct candidate moving = heap[at];

    for (;;) {
        int child = 2 * at + 1;

        if (child >= count)
            break;
        if (child + 1 < count && ranks_before(heap[child + 1], heap[child]) != worst_on_top)
            child++;
        if (ranks_before(moving, heap[child]) != worst_on_top)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void heapify(struct candidate *heap, int count, bool worst_on_top)
{
    for (int at = count / 2 - 1; at >= 0; at--)
        sift_down(heap, count, at, worst_on_top);
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
    heapify(ret, count, true);
    while (i < n) {
        if (i + SCAN <= n && !softmax_any_reaches(logits + i, ret[0].logit)) {
            i += SCAN;
            continue;
        }
        /* An equal logit comes later in id order, so only a larger one replaces the worst. */
        for (const int end = i + SCAN < n ? i + SCAN : n; i < end; i++)
            if (logits[i] > ret[0].logit) {
                ret[0] = (struct candidate){.logit = logits[i], .token = i};
                sift_down(ret, count, 0, true);
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

void candidates_heap(struct candidate *candidates, int count)
{
    heapify(candidates, count, false);
}

struct candidate candidates_pop(struct candidate *candidates, int count)
{
    const struct candidate best = candidates[0];

    assert(count > 0);
    candidates[0] = candidates[count - 1];
    candidates[count - 1] = best;
    sift_down(candidates, count - 1, 0, false);
    return best;
}
