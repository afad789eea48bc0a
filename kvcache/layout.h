/*
 * How the keys and values of one page lie in memory.
 *
 * A page holds PAGE_TOKENS tokens of one sequence as one contiguous extent over all layers, so that
 * it moves between workers in one piece. Inside: layer, then KV head, then K, then V:
 *
 *   K  [head_dim][PAGE_TOKENS] f16   transposed, so that one vector holds a dimension of 16 tokens
 *   V  [PAGE_TOKENS][head_dim] f16
 *
 * Plain data; any thread.
 */
#ifndef TANDEM_KVCACHE_LAYOUT_H
#define TANDEM_KVCACHE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_TOKENS 16

struct kv_layout {
    int n_layers, n_kv_heads, head_dim;
};

static inline size_t kv_head_bytes(const struct kv_layout *layout)
{
    return (size_t)2 * PAGE_TOKENS * (size_t)layout->head_dim * sizeof(uint16_t);
}

static inline size_t kv_page_bytes(const struct kv_layout *layout)
{
    return (size_t)layout->n_layers * (size_t)layout->n_kv_heads * kv_head_bytes(layout);
}

/* Where K of (layer, head) starts in a page; V follows after half of kv_head_bytes. */
static inline size_t kv_head_offset(const struct kv_layout *layout, int layer, int head)
{
    return ((size_t)layer * (size_t)layout->n_kv_heads + (size_t)head) * kv_head_bytes(layout);
}

/* Pages that hold `tokens` tokens. */
static inline int kv_pages_for(int tokens)
{
    return (tokens + PAGE_TOKENS - 1) / PAGE_TOKENS;
}

#endif
