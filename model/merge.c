#include "model/merge.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void merger_free(struct merger *merger)
{
    free(merger->symbols);
    free(merger->heap);
    *merger = (struct merger){0};
}

int merger_reserve(struct merger *merger, size_t size)
{
    assert(size <= (size_t)1 << 31);
    if (size <= merger->symbol_capacity)
        return 0;
    size_t capacity = size < 256 ? 256 : size + size / 2;

    /* Nothing of an earlier piece is kept, so there is nothing to copy. */
    free(merger->symbols);
    merger->symbols = malloc(capacity * sizeof *merger->symbols);
    merger->symbol_capacity = merger->symbols ? capacity : 0;
    return merger->symbols ? 0 : -ENOMEM;
}

static int merge_heap_push(struct merger *merger, uint64_t key)
{
    if (merger->heap_size == merger->heap_capacity) {
        size_t capacity = merger->heap_capacity ? merger->heap_capacity * 2 : 256;
        uint64_t *heap = realloc(merger->heap, capacity * sizeof *heap);

        if (!heap)
            return -ENOMEM;
        merger->heap = heap;
        merger->heap_capacity = capacity;
    }
    size_t i = merger->heap_size++;

    for (; i > 0 && merger->heap[(i - 1) / 2] > key; i = (i - 1) / 2)
        merger->heap[i] = merger->heap[(i - 1) / 2];
    merger->heap[i] = key;
    return 0;
}

static uint64_t merge_heap_pop(struct merger *merger)
{
    uint64_t *heap = merger->heap, lowest = heap[0];
    size_t count = --merger->heap_size, i = 0;
    uint64_t key = heap[count];

    for (size_t child = 1; child < count; child = 2 * i + 1) {
        if (child + 1 < count && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= key)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = key;
    return lowest;
}

/* Looks the pair at `position` up again after one of its symbols changed. */
static int merge_queue_pair(struct merger *merger, size_t size, uint32_t position,
                            merge_lookup *lookup, const void *rules)
{
    struct merge_symbol *symbol = &merger->symbols[position];
    uint32_t rank;
    int32_t merged;

    symbol->rank = MERGE_NONE;
    if (symbol->next >= size || !lookup(rules, merger->symbols, position, &rank, &merged))
        return 0;
    symbol->rank = rank;
    symbol->merged = merged;
    return merge_heap_push(merger, (uint64_t)rank << 32 | position);
}

int merger_run(struct merger *merger, size_t size, merge_lookup *lookup, const void *rules)
{
    struct merge_symbol *symbols = merger->symbols;
    int error;

    merger->heap_size = 0;
    for (uint32_t i = 0; i < size; i = symbols[i].next) {
        error = merge_queue_pair(merger, size, i, lookup, rules);
        if (error)
            return error;
    }
    while (merger->heap_size) {
        uint64_t key = merge_heap_pop(merger);
        uint32_t position = (uint32_t)key;
        struct merge_symbol *left = &symbols[position];

        if (left->rank != key >> 32)
            continue;
        struct merge_symbol *right = &symbols[left->next];

        left->id = left->merged;
        left->next = right->next;
        if (left->next < size)
            symbols[left->next].prev = position;
        right->rank = MERGE_NONE;
        error = merge_queue_pair(merger, size, position, lookup, rules);
        if (!error && left->prev != MERGE_NONE)
            error = merge_queue_pair(merger, size, left->prev, lookup, rules);
        if (error)
            return error;
    }
    return 0;
}
