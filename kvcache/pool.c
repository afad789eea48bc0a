/*
 * The arena is a mapping without reserve: address space for every page, memory for those written.
 *
 * A pool keeps one byte per page of the arena (foreign, free or in use) and a stack of its free
 * ids, last freed first out, so that warm pages are used again. Invariants, asserted at every
 * change and recounted by page_pool_check: the stack holds exactly the pages marked free; pages in
 * use and free pages add up to the total; a page freed twice, or ceded without being in use, stops
 * the process. Under the address sanitizer a free page is poisoned, so reading a page after it was
 * freed is reported where it happens.
 */
#include "kvcache/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS 1
#endif
#endif
#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum page_state { PAGE_FOREIGN, PAGE_FREE, PAGE_IN_USE };

struct page_pool {
    const struct kv_arena *arena;
    unsigned char *states; /* enum page_state of every page of the arena */
    int32_t *free_pages;   /* stack of n_free ids */
    int n_free, n_in_use;
};

int kv_arena_open(struct kv_arena *arena, size_t page_bytes, int n_pages, struct err *err)
{
    assert(page_bytes > 0 && page_bytes % 64 == 0 && n_pages > 0);
    if (page_bytes > SIZE_MAX / 2 / (size_t)n_pages)
        return err_set(err, ENOMEM, "%d KV pages of %zu bytes exceed the address space", n_pages,
                       page_bytes);
    const size_t bytes = page_bytes * (size_t)n_pages;
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
        return err_set(err, ENOMEM, "cannot map %zu bytes for KV pages: %s", bytes,
                       strerror(errno));
    /* Advice only: without huge pages it is slower, not wrong. */
    (void)madvise(base, bytes, MADV_HUGEPAGE);
    *arena = (struct kv_arena){.base = base, .page_bytes = page_bytes, .n_pages = n_pages};
    return 0;
}

void kv_arena_close(struct kv_arena *arena)
{
    const size_t bytes = arena->page_bytes * (size_t)arena->n_pages;

    /* The next mapping at this address must not inherit the poison. */
    ASAN_UNPOISON_MEMORY_REGION(arena->base, bytes);
    munmap(arena->base, bytes);
    *arena = (struct kv_arena){0};
}

static void push_free(struct page_pool *pool, int32_t page)
{
    pool->states[page] = PAGE_FREE;
    pool->free_pages[pool->n_free++] = page;
    ASAN_POISON_MEMORY_REGION(kv_arena_page(pool->arena, page), pool->arena->page_bytes);
}

int page_pool_create(struct page_pool **ret_pool, const struct kv_arena *arena, int first,
                     int count)
{
    assert(first >= 0 && count > 0 && count <= arena->n_pages - first);
    struct page_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return -ENOMEM;
    pool->arena = arena;
    pool->states = calloc((size_t)arena->n_pages, sizeof *pool->states);
    /* Room for every page of the arena: between the two ends of an exchange a pool may hold more.
     */
    pool->free_pages = calloc((size_t)arena->n_pages, sizeof *pool->free_pages);
    if (!pool->states || !pool->free_pages) {
        page_pool_destroy(pool);
        return -ENOMEM;
    }
    for (int32_t page = first + count - 1; page >= first; page--)
        push_free(pool, page); /* the lowest id comes out first */
    *ret_pool = pool;
    return 0;
}

void page_pool_destroy(struct page_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < pool->n_free; i++)
        ASAN_UNPOISON_MEMORY_REGION(kv_arena_page(pool->arena, pool->free_pages[i]),
                                    pool->arena->page_bytes);
    free(pool->free_pages);
    free(pool->states);
    free(pool);
}

int page_pool_alloc(struct page_pool *pool, int count, int32_t *ret_pages)
{
    assert(count >= 0);
    if (count > pool->n_free)
        return -ENOSPC;
    for (int i = 0; i < count; i++) {
        const int32_t page = pool->free_pages[--pool->n_free];

        assert(pool->states[page] == PAGE_FREE);
        pool->states[page] = PAGE_IN_USE;
        ASAN_UNPOISON_MEMORY_REGION(kv_arena_page(pool->arena, page), pool->arena->page_bytes);
        ret_pages[i] = page;
    }
    pool->n_in_use += count;
    return 0;
}

/* The page is in use here; takes it out of that state. */
static void take_in_use(struct page_pool *pool, int32_t page)
{
    assert(page >= 0 && page < pool->arena->n_pages);
    assert(pool->states[page] == PAGE_IN_USE);
    pool->states[page] = PAGE_FOREIGN;
    pool->n_in_use--;
}

void page_pool_free(struct page_pool *pool, const int32_t *pages, int count)
{
    for (int i = 0; i < count; i++) {
        take_in_use(pool, pages[i]);
        push_free(pool, pages[i]);
    }
}

void page_pool_cede(struct page_pool *pool, const int32_t *pages, int count)
{
    for (int i = 0; i < count; i++)
        take_in_use(pool, pages[i]);
}

void page_pool_adopt(struct page_pool *pool, const int32_t *pages, int count)
{
    for (int i = 0; i < count; i++) {
        assert(pages[i] >= 0 && pages[i] < pool->arena->n_pages);
        assert(pool->states[pages[i]] == PAGE_FOREIGN);
        pool->states[pages[i]] = PAGE_IN_USE;
        pool->n_in_use++;
    }
}

int page_pool_total(const struct page_pool *pool)
{
    return pool->n_free + pool->n_in_use;
}

int page_pool_free_count(const struct page_pool *pool)
{
    return pool->n_free;
}

const struct kv_arena *page_pool_arena(const struct page_pool *pool)
{
    return pool->arena;
}

void page_pool_check(const struct page_pool *pool)
{
    int n_free = 0, n_in_use = 0;

    for (int page = 0; page < pool->arena->n_pages; page++) {
        n_free += pool->states[page] == PAGE_FREE;
        n_in_use += pool->states[page] == PAGE_IN_USE;
    }
    assert(n_free == pool->n_free);
    assert(n_in_use == pool->n_in_use);
    /* As many entries as pages marked free, each marked free: a repeated entry would need another
     * page marked free but missing, which page_pool_free's own check excludes. */
    for (int i = 0; i < pool->n_free; i++)
        assert(pool->states[pool->free_pages[i]] == PAGE_FREE);
    (void)n_free;
    (void)n_in_use;
}
