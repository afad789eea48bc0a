/*
 * The iteration rule "fcfs": decodes due first, then chunks of prompts within the token budget, all
 * in order of arrival.
 *
 * Why nothing starves: the list of waiting requests is served strictly from its head; a request let
 * in holds pages for its whole prompt; a decode that needs a page takes it from the youngest, and
 * the oldest of all is nobody's victim. So the oldest request runs in every iteration until it
 * ends.
 */
#include "scheduler/batcher_state.h"

#include <assert.h>

/* Frees the pages of the youngest request that holds any; returns its slot. */
static int preempt_youngest(struct batcher *batcher, struct action_list *list)
{
    assert(batcher->n_running > 1); /* else the request could not fit were it alone */
    const int victim = batcher->running[batcher->n_running - 1];

    assert(batcher->slots[victim].state != SLOT_HOLDING); /* role prefill does not decode */
    batcher_forget(batcher, victim);
    batcher->preemptions++;
    batcher_act(batcher, list, (struct batcher_action){.type = BATCHER_PREEMPT, .slot = victim});
    return victim;
}

/* Makes room for one more token; false when the slot itself had to go. */
static bool take_page(struct batcher *batcher, int slot, struct action_list *list)
{
    struct batcher_slot *s = &batcher->slots[slot];

    if (batcher_pages_for(batcher, s->computed + 1) <= s->pages)
        return true;
    while (batcher->free_pages == 0)
        if (preempt_youngest(batcher, list) == slot)
            return false;
    batcher->free_pages--;
    s->pages++;
    return true;
}

/* One token for every decode. Returns how many there were. */
static int run_decodes(struct batcher *batcher, struct action_list *list)
{
    int count = 0;

    /* Victims are younger than whoever needs the page, so the list only shrinks behind i. */
    for (int i = 0; i < batcher->n_running; i++) {
        const int slot = batcher->running[i];
        struct batcher_slot *s = &batcher->slots[slot];

        if (s->state != SLOT_DECODING || !take_page(batcher, slot, list))
            continue;
        batcher_act(batcher, list,
                    (struct batcher_action){.type = BATCHER_RUN,
                                            .slot = slot,
                                            .start = s->computed,
                                            .count = 1,
                                            .sample = true});
        s->computed++;
        count++;
    }
    return count;
}

/* The next chunk of a prompt, at most `budget` tokens. Returns its length. */
static int run_chunk(struct batcher *batcher, int slot, int budget, struct action_list *list)
{
    struct batcher_slot *s = &batcher->slots[slot];
    const int left = s->tokens - s->computed;
    const int count = left < budget ? left : budget;
    const bool last = count == left;

    assert(s->state == SLOT_COMPUTING && count > 0);
    batcher_act(batcher, list,
                (struct batcher_action){.type = BATCHER_RUN,
                                        .slot = slot,
                                        .start = s->computed,
                                        .count = count,
                                        .sample = last});
    s->computed += count;
    if (last)
        s->state = batcher->config.role == BATCHER_BOTH ? SLOT_DECODING : SLOT_HOLDING;
    return count;
}

/* Pages a newcomer must leave free: one for each request that may grow, so that letting it in does
 * not at once cost a preemption. */
static int head_room(const struct batcher *batcher)
{
    return batcher->config.role == BATCHER_PREFILL ? 0 : batcher->n_running;
}

/* Lets waiting requests in, strictly in order. */
static void admit(struct batcher *batcher, int budget, struct action_list *list)
{
    while (batcher->n_waiting > 0 && batcher->n_running < batcher->config.max_running) {
        const int slot = batcher->waiting[0];
        struct batcher_slot *s = &batcher->slots[slot];
        const bool import = s->state == SLOT_OFFERED;
        const int need = batcher_pages_for(batcher, s->tokens);

        if (need > batcher->free_pages - head_room(batcher) || (!import && budget <= 0))
            return;
        batcher_list_remove(batcher->waiting, &batcher->n_waiting, slot);
        batcher->free_pages -= need;
        s->pages = need;
        s->state = import ? SLOT_IMPORTING : SLOT_COMPUTING;
        batcher_list_insert(batcher, batcher->running, &batcher->n_running, slot);
        if (import)
            batcher_act(
                batcher, list,
                (struct batcher_action){.type = BATCHER_GRANT, .slot = slot, .count = need});
        else
            budget -= run_chunk(batcher, slot, budget, list);
    }
}

void batcher_plan_fcfs(struct batcher *batcher, struct action_list *list)
{
    int budget = batcher->config.token_budget - run_decodes(batcher, list);

    for (int i = 0; i < batcher->n_running && budget > 0; i++)
        if (batcher->slots[batcher->running[i]].state == SLOT_COMPUTING)
            budget -= run_chunk(batcher, batcher->running[i], budget, list);
    admit(batcher, budget, list);
}
