/*
 * Pairwise merging of a piece of text into tokens: the inner loop of BPE and of SPM.
 *
 * A symbol lives at the offset of its first byte, so positions need no second table, and links to
 * its neighbours. Candidate pairs wait in a binary heap keyed by (rank, position): the lowest rank
 * merges first, the leftmost of equal ones. An entry is stale, and skipped, when the pair at its
 * position has another rank by then. n bytes cost O(n log n) and about 36 bytes of memory each.
 *
 * Owner: one thread at a time (scratch memory of one encode call).
 */
#ifndef TANDEM_MODEL_MERGE_H
#define TANDEM_MODEL_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MERGE_NONE UINT32_MAX

struct merge_symbol {
    int32_t id;     /* token; -1: none is known */
    int32_t merged; /* what it becomes with its right neighbour */
    uint32_t rank;  /* of that merge; MERGE_NONE: there is none */
    uint32_t prev;  /* MERGE_NONE: the first */
    uint32_t next;  /* the end of the piece: the last */
};

struct merger {
    struct merge_symbol *symbols;
    size_t symbol_capacity;
    uint64_t *heap; /* rank << 32 | position */
    size_t heap_size, heap_capacity;
};

/* True when the symbols at `left` and at its right neighbour merge. ret_rank < MERGE_NONE; two
 * pairs at one position may share a rank only if merging either of them then is right. */
typedef bool merge_lookup(const void *rules, const struct merge_symbol *symbols, uint32_t left,
                          uint32_t *ret_rank, int32_t *ret_merged);

void merger_free(struct merger *merger);

/* Makes room for a piece of `size` bytes, at most 2^31; 0 or -ENOMEM. */
int merger_reserve(struct merger *merger, size_t size);

/* The caller has filled id, prev and next of every symbol of the piece; the first lies at 0. Then
 * walks symbols by `next` until `size`. 0 or -ENOMEM. */
int merger_run(struct merger *merger, size_t size, merge_lookup *lookup, const void *rules);

#endif
