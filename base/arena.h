/*
 * A bounded bump allocator: many small objects that die together.
 *
 * The arena grows in blocks up to `limit` bytes and then answers NULL, so whoever parses input from
 * outside bounds its memory by construction. Memory is zeroed and aligned for any type. Owner: one
 * thread at a time.
 */
#ifndef TANDEM_BASE_ARENA_H
#define TANDEM_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out, rounding included */
    size_t limit;               /* bytes that may ever be handed out */
};

void arena_init(struct arena *arena, size_t limit);

/* Frees everything; the arena can be used again with the same limit. */
void arena_reset(struct arena *arena);

/* NULL when the limit would be passed or memory is out. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);

#endif
