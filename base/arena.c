#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>

#define BLOCK_BYTES 16384u

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

void arena_reset(struct arena *arena)
{
    struct arena_block *block = arena->blocks;

    while (block) {
        struct arena_block *next = block->next;

        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->used = 0;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct arena_block *block = arena->blocks;

    if (size > arena->limit)
        return NULL;
    size = (size + align - 1) / align * align;
    if (size > arena->limit - arena->used)
        return NULL;
    if (!block || block->size - block->used < size) {
        size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;

        block = calloc(1, sizeof *block + bytes);
        if (!block)
            return NULL;
        block->size = bytes;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *result = block->bytes + block->used;

    block->used += size;
    arena->used += size;
    return result;
}
