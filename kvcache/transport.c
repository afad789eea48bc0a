/*
 * The two transports within a process.
 *
 * Exchange: at the one poll that does it the destination gives its reserved pages away and takes
 * the source's on; the source does the reverse at release. Until then both pools count the source's
 * pages as in use and the reserved ones are in no pool, so neither side can hand them out. It does
 * not overlap with the computation of the prompt: were the destination to take pages early and then
 * drop them, the source would go on reading pages that have a new owner.
 *
 * Copy: a few pages per poll, so that a long prompt does not hold up the destination's iteration.
 */
#include "kvcache/transport.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* 8 pages of the embedded model are 2.8 MiB: well under a millisecond of copying. */
#define COPY_PAGES_PER_POLL 8

static int exchange_post(struct page_pull *pull)
{
    if (pull->source_arena != page_pool_arena(pull->destination))
        return -EXDEV;
    pull->moved = 0;
    return 0;
}

static enum pull_state exchange_poll(struct page_pull *pull)
{
    assert(pull->moved == 0);
    page_pool_cede(pull->destination, pull->pages, pull->count);
    page_pool_adopt(pull->destination, pull->source_pages, pull->count);
    memcpy(pull->returned, pull->pages, (size_t)pull->count * sizeof *pull->pages);
    memcpy(pull->pages, pull->source_pages, (size_t)pull->count * sizeof *pull->pages);
    pull->moved = pull->count;
    return PULL_DONE;
}

static void exchange_cancel(struct page_pull *pull)
{
    assert(pull->moved == 0); /* an exchange is either not begun or done */
    (void)pull;
}

static void exchange_release(struct page_pool *source, const int32_t *pages,
                             const int32_t *returned, int count)
{
    page_pool_cede(source, pages, count);
    page_pool_adopt(source, returned, count);
    page_pool_free(source, returned, count);
}

static int copy_post(struct page_pull *pull)
{
    if (pull->source_arena->page_bytes != page_pool_arena(pull->destination)->page_bytes)
        return -EINVAL;
    pull->moved = 0;
    return 0;
}

static enum pull_state copy_poll(struct page_pull *pull)
{
    const struct kv_arena *destination = page_pool_arena(pull->destination);
    const int left = pull->count - pull->moved;
    const int count = left < COPY_PAGES_PER_POLL ? left : COPY_PAGES_PER_POLL;

    for (int i = 0; i < count; i++, pull->moved++)
        memcpy(kv_arena_page(destination, pull->pages[pull->moved]),
               kv_arena_page(pull->source_arena, pull->source_pages[pull->moved]),
               destination->page_bytes);
    return pull->moved == pull->count ? PULL_DONE : PULL_IN_FLIGHT;
}

static void copy_cancel(struct page_pull *pull)
{
    pull->count = pull->moved; /* copying happens inside poll only: nothing is under way */
}

static void copy_release(struct page_pool *source, const int32_t *pages, const int32_t *returned,
                         int count)
{
    (void)returned; /* the destination keeps its own pages */
    page_pool_free(source, pages, count);
}

const struct kv_transport kv_transport_exchange = {
    .overlaps = false,
    .post = exchange_post,
    .poll = exchange_poll,
    .cancel = exchange_cancel,
    .release = exchange_release,
};

const struct kv_transport kv_transport_copy = {
    .overlaps = true,
    .post = copy_post,
    .poll = copy_poll,
    .cancel = copy_cancel,
    .release = copy_release,
};
