/*
 * The index is twice the slots or more, so probes are short and always end. Removal shifts later
 * entries of the run back, which keeps it free of tombstones however long the worker lives.
 */
#include "worker/slots.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static uint32_t index_home(const struct slot_table *table, uint64_t id)
{
    return (uint32_t)((id * 0x9E3779B97F4A7C15u) >> 32) & table->index_mask;
}

int slot_table_create(struct slot_table *table, int count)
{
    uint32_t size = 16;

    while (size < 2 * (uint32_t)count)
        size *= 2;
    *table = (struct slot_table){.count = count, .n_free = count, .index_mask = size - 1};
    table->slots = calloc((size_t)count, sizeof *table->slots);
    table->index = calloc(size, sizeof *table->index);
    table->free = calloc((size_t)count, sizeof *table->free);
    if (!table->slots || !table->index || !table->free) {
        slot_table_destroy(table);
        return -ENOMEM;
    }
    for (int i = 0; i < count; i++)
        table->free[i] = count - 1 - i; /* slot 0 comes first */
    return 0;
}

void slot_table_destroy(struct slot_table *table)
{
    assert(table->n_free == table->count);
    free(table->slots);
    free(table->index);
    free(table->free);
    *table = (struct slot_table){0};
}

static uint32_t index_place(const struct slot_table *table, uint64_t id)
{
    uint32_t at = index_home(table, id);

    while (table->index[at] && table->slots[table->index[at] - 1].id != id)
        at = (at + 1) & table->index_mask;
    return at;
}

struct slot *slot_find(const struct slot_table *table, uint64_t id)
{
    const int32_t entry = table->index[index_place(table, id)];

    return entry ? &table->slots[entry - 1] : NULL;
}

static void index_remove(struct slot_table *table, uint64_t id)
{
    uint32_t hole = index_place(table, id);

    assert(table->index[hole]);
    for (uint32_t at = (hole + 1) & table->index_mask; table->index[at];
         at = (at + 1) & table->index_mask) {
        const uint32_t home = index_home(table, table->slots[table->index[at] - 1].id);

        /* An entry may move back unless its home lies behind the hole. */
        if (((at - home) & table->index_mask) >= ((at - hole) & table->index_mask)) {
            table->index[hole] = table->index[at];
            hole = at;
        }
    }
    table->index[hole] = 0;
}

int slot_open(struct slot_table *table, const struct request *request, int max_pages, int n_vocab,
              bool import, struct slot **ret_slot)
{
    int rc = -ENOMEM;

    assert(!slot_find(table, request->id));
    if (table->n_free == 0)
        return -ENOSPC;
    const int number = table->free[table->n_free - 1];
    struct slot *slot = &table->slots[number];

    assert(slot->stage == STAGE_EMPTY);
    *slot = (struct slot){.id = request->id, .request = request, .max_pages = max_pages};
    slot->emitted = request->n_tokens - request->n_prompt;
    slot->pages = calloc((size_t)max_pages, sizeof *slot->pages);
    if (!slot->pages)
        return rc;
    if (import) {
        slot->import.returned = calloc((size_t)max_pages, sizeof *slot->import.returned);
        if (!slot->import.returned)
            goto free_pages;
    }
    rc = sampler_create(&slot->sampler, request, n_vocab);
    if (rc < 0)
        goto free_returned;
    table->n_free--;
    table->index[index_place(table, slot->id)] = number + 1;
    *ret_slot = slot;
    return 0;
free_returned:
    free(slot->import.returned);
free_pages:
    free(slot->pages);
    *slot = (struct slot){.stage = STAGE_EMPTY};
    return rc;
}

void slot_close(struct slot_table *table, struct slot *slot)
{
    assert(slot->n_pages == 0);
    index_remove(table, slot->id);
    sampler_destroy(slot->sampler);
    free(slot->import.returned);
    free(slot->pages);
    table->free[table->n_free++] = slot_number(table, slot);
    *slot = (struct slot){.stage = STAGE_EMPTY};
}
