/*
 * Moving KV pages from the worker that filled them to the worker that decodes: one table of calls,
 * several ways of moving.
 *
 * The decode side pulls: it posts a list of source and destination pages and polls. The source side
 * drops its pages only after the decode side said the pull is over (done or given up), so nobody
 * ever writes into or reads from a page that has a new owner.
 *
 *   kv_transport_exchange   both pools share an arena: pages change owner, nothing is copied
 *   kv_transport_copy       pages are copied, a few per poll; arenas may differ
 *
 * post, poll, cancel: the destination's thread. release: the source's thread.
 */
#ifndef TANDEM_KVCACHE_TRANSPORT_H
#define TANDEM_KVCACHE_TRANSPORT_H

#include "kvcache/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pull_state { PULL_IN_FLIGHT, PULL_DONE, PULL_FAILED };

struct page_pull {
    const struct kv_arena *source_arena;
    struct page_pool *destination;
    const int32_t *source_pages; /* count ids, borrowed until the pull is over */
    int32_t *pages;    /* in: destination pages allocated by the caller; out: the ids that now hold
                          the tokens (the source's own after an exchange) */
    int32_t *returned; /* out, count ids: what the source gets instead (exchange), else untouched */
    int count;
    int moved; /* progress, kept by the transport */
};

struct kv_transport {
    bool overlaps; /* pages may be pulled while later ones are still being computed */
    int (*post)(struct page_pull *pull); /* 0, -EXDEV (arena), -EINVAL (layout) */
    enum pull_state (*poll)(struct page_pull *pull);
    /* Gives a pull up; afterwards pull->pages are all the destination's to free. */
    void (*cancel)(struct page_pull *pull);
    /* The last pull of `pages` is done and the source drops them; `returned` as the pull set it:
     * the source has as many free pages more as it dropped. */
    void (*release)(struct page_pool *source, const int32_t *pages, const int32_t *returned,
                    int count);
};

extern const struct kv_transport kv_transport_exchange;
extern const struct kv_transport kv_transport_copy;

#endif
