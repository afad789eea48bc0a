/*
 * The batcher's events, memory and digest.
 *
 * Everything lives in the one block the caller gave: the struct, then the slots, then the two
 * lists. The digest takes in every event and every action but not the time, which the policy does
 * not look at: two runs that decided alike on the same events agree, however fast they were.
 */
#include "scheduler/batcher.h"

#include "scheduler/batcher_state.h"

#include <assert.h>
#include <errno.h>
#include <stdalign.h>
#include <string.h>

#define SLOTS_LIMIT (1 << 20)
#define NUMBER_LIMIT (1 << 30) /* keeps sums of two numbers within an int */

/* A multiply and a shift per word: order matters, and one changed bit spreads. */
static uint64_t digest_word(uint64_t digest, uint64_t word)
{
    digest = (digest ^ word) * 0x9E3779B97F4A7C15u;
    return digest ^ (digest >> 29);
}

static uint64_t two_words(int high, int low)
{
    return (uint64_t)(uint32_t)high << 32 | (uint32_t)low;
}

void batcher_act(struct batcher *batcher, struct action_list *list, struct batcher_action action)
{
    assert(list->count < list->max);
    list->actions[list->count++] = action;
    batcher->digest =
        digest_word(batcher->digest, two_words(action.type * 2 + action.sample, action.slot));
    batcher->digest = digest_word(batcher->digest, two_words(action.start, action.count));
}

int batcher_pages_for(const struct batcher *batcher, int tokens)
{
    return (tokens + batcher->config.page_tokens - 1) / batcher->config.page_tokens;
}

void batcher_list_insert(struct batcher *batcher, int *list, int *count, int slot)
{
    int at = *count;

    /* Arrivals mostly come in order, so the place is near the end. */
    for (; at > 0 && batcher->slots[list[at - 1]].arrival > batcher->slots[slot].arrival; at--)
        list[at] = list[at - 1];
    list[at] = slot;
    ++*count;
}

void batcher_list_remove(int *list, int *count, int slot)
{
    int at = 0;

    while (list[at] != slot)
        at++;
    --*count;
    memmove(list + at, list + at + 1, (size_t)(*count - at) * sizeof *list);
}

void batcher_forget(struct batcher *batcher, int slot)
{
    struct batcher_slot *s = &batcher->slots[slot];

    assert(s->state != SLOT_EMPTY);
    if (s->state == SLOT_WAITING || s->state == SLOT_OFFERED)
        batcher_list_remove(batcher->waiting, &batcher->n_waiting, slot);
    else
        batcher_list_remove(batcher->running, &batcher->n_running, slot);
    batcher->free_pages += s->pages;
    assert(batcher->free_pages <= batcher->config.pages);
    *s = (struct batcher_slot){.state = SLOT_EMPTY};
}

static size_t slots_offset(void)
{
    const size_t align = alignof(max_align_t);

    return (sizeof(struct batcher) + align - 1) / align * align;
}

size_t batcher_bytes(const struct batcher_config *config)
{
    return slots_offset() + (size_t)config->slots * sizeof(struct batcher_slot) +
           ((size_t)config->slots + (size_t)config->max_running) * sizeof(int);
}

int batcher_init(struct batcher **ret_batcher, void *memory, const struct batcher_config *config)
{
    if (config->role < BATCHER_PREFILL || config->role > BATCHER_BOTH || config->slots < 1 ||
        config->slots > SLOTS_LIMIT || config->max_running < 1 ||
        config->max_running > config->slots || config->token_budget < 1 ||
        config->token_budget > NUMBER_LIMIT || config->pages < 1 || config->pages > NUMBER_LIMIT ||
        config->page_tokens < 1 || config->page_tokens > NUMBER_LIMIT)
        return -EINVAL;
    struct batcher *batcher = memory;

    memset(memory, 0, batcher_bytes(config));
    batcher->config = *config;
    batcher->free_pages = config->pages;
    batcher->slots = (struct batcher_slot *)((unsigned char *)memory + slots_offset());
    batcher->waiting = (int *)(batcher->slots + config->slots);
    batcher->running = batcher->waiting + config->slots;
    *ret_batcher = batcher;
    return 0;
}

static void enqueue(struct batcher *batcher, const struct batcher_event *event)
{
    const bool import = event->type == BATCHER_IMPORT;
    struct batcher_slot *s = &batcher->slots[event->slot];

    assert(batcher->config.role & (import ? BATCHER_DECODE : BATCHER_PREFILL));
    assert(s->state == SLOT_EMPTY);
    assert(event->tokens > 0 && event->tokens <= NUMBER_LIMIT);
    assert(batcher_pages_for(batcher, event->tokens) <= batcher->config.pages);
    *s = (struct batcher_slot){.state = import ? SLOT_OFFERED : SLOT_WAITING,
                               .arrival = event->arrival,
                               .tokens = event->tokens};
    batcher_list_insert(batcher, batcher->waiting, &batcher->n_waiting, event->slot);
}

static void halt(struct batcher *batcher, int slot)
{
    struct batcher_slot *s = &batcher->slots[slot];

    assert(batcher->config.role == BATCHER_PREFILL);
    assert(s->state == SLOT_COMPUTING || s->state == SLOT_HOLDING);
    s->state = SLOT_HOLDING;
}

static void take_event(struct batcher *batcher, const struct batcher_event *event,
                       struct action_list *list)
{
    assert(event->slot >= 0 && event->slot < batcher->config.slots);
    struct batcher_slot *s = &batcher->slots[event->slot];

    batcher->digest =
        digest_word(batcher->digest, two_words(0x100 + (int)event->type, event->slot));
    switch (event->type) {
    case BATCHER_ARRIVE:
    case BATCHER_IMPORT:
        batcher->digest = digest_word(batcher->digest, event->arrival);
        batcher->digest = digest_word(batcher->digest, (uint64_t)event->tokens);
        enqueue(batcher, event);
        break;
    case BATCHER_LANDED:
        assert(s->state == SLOT_IMPORTING);
        s->state = SLOT_DECODING;
        s->computed = s->tokens;
        break;
    case BATCHER_HALT: halt(batcher, event->slot); break;
    case BATCHER_FINISH:
        assert(s->state == SLOT_DECODING || s->state == SLOT_HOLDING);
        /* fall through */
    case BATCHER_CANCEL:
        batcher_forget(batcher, event->slot);
        batcher_act(batcher, list,
                    (struct batcher_action){.type = BATCHER_FREE, .slot = event->slot});
        break;
    }
}

int batcher_step(struct batcher *batcher, uint64_t now_ns, const struct batcher_event *events,
                 int n_events, struct batcher_action *actions, int max_actions)
{
    struct action_list list = {.actions = actions, .max = max_actions};

    (void)now_ns; /* first come, first served needs no clock */
    for (int i = 0; i < n_events; i++)
        take_event(batcher, &events[i], &list);
    batcher_plan_fcfs(batcher, &list);
    return list.count;
}

void batcher_load(const struct batcher *batcher, struct batcher_load *ret)
{
    *ret = (struct batcher_load){
        .waiting = batcher->n_waiting,
        .running = batcher->n_running,
        .pages_used = batcher->config.pages - batcher->free_pages,
        .preemptions = batcher->preemptions,
        .digest = batcher->digest,
    };
    for (int i = 0; i < batcher->n_running; i++)
        ret->importing += batcher->slots[batcher->running[i]].state == SLOT_IMPORTING;
}
