/*
 * KV pages: one arena of equal pages, and pools that say who owns which of them.
 *
 * The arena is one lazily committed mapping; page ids are indices into it. A pool is a worker's
 * share: a set of ids, each either free or in use. Pools over one arena hand pages to each other by
 * exchanging ids (pool_cede on one side, pool_adopt on the other), so the number of pages a worker
 * owns never changes, nothing is copied and no lock is taken.
 *
 *   arena   immutable after creation, any thread may compute addresses
 *   pool    its worker's thread only
 */
#ifndef TANDEM_KVCACHE_POOL_H
#define TANDEM_KVCACHE_POOL_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct kv_arena {
    unsigned char *base; /* 64-byte aligned at least */
    size_t page_bytes;
    int n_pages;
};

/* Reserves address space; memory is committed as pages are first written. -ENOMEM with err set. */
int kv_arena_open(struct kv_arena *arena, size_t page_bytes, int n_pages, struct err *err);
void kv_arena_close(struct kv_arena *arena);

static inline unsigned char *kv_arena_page(const struct kv_arena *arena, int32_t page)
{
    return arena->base + (size_t)page * arena->page_bytes;
}

struct page_pool;

/* Owns the pages [first, first + count) of the arena, all free. The arena outlives the pool. */
int page_pool_create(struct page_pool **ret_pool, const struct kv_arena *arena, int first,
                     int count);
void page_pool_destroy(struct page_pool *pool);

/* All `count` pages or none: -ENOSPC. */
int page_pool_alloc(struct page_pool *pool, int count, int32_t *ret_pages);
void page_pool_free(struct page_pool *pool, const int32_t *pages, int count);

/* Gives pages in use away / takes pages of another pool on as in use. */
void page_pool_cede(struct page_pool *pool, const int32_t *pages, int count);
void page_pool_adopt(struct page_pool *pool, const int32_t *pages, int count);

int page_pool_total(const struct page_pool *pool);
int page_pool_free_count(const struct page_pool *pool);
const struct kv_arena *page_pool_arena(const struct page_pool *pool);

/* Asserts that every page is in exactly one state and that the counts agree. */
void page_pool_check(const struct page_pool *pool);

#endif
