/*
 * What a batcher knows, shared by the files that make it up: events (batcher.c) and the iteration
 * rule (batcher_fcfs.c). Nobody else includes this.
 *
 * Lists hold slot numbers, oldest arrival first: `waiting` those without pages, `running` those
 * with. A slot is in exactly one of them, or in none when it is empty.
 */
#ifndef TANDEM_SCHEDULER_BATCHER_STATE_H
#define TANDEM_SCHEDULER_BATCHER_STATE_H

#include "scheduler/batcher.h"

enum slot_state {
    SLOT_EMPTY,
    SLOT_WAITING,   /* prompt, no pages yet */
    SLOT_OFFERED,   /* import, no pages yet */
    SLOT_COMPUTING, /* prompt, chunk by chunk */
    SLOT_HOLDING,   /* prompt done or halted, pages kept for a peer */
    SLOT_IMPORTING, /* granted, pages on their way */
    SLOT_DECODING,
};

struct batcher_slot {
    enum slot_state state;
    uint64_t arrival;
    int tokens;   /* of the prompt */
    int computed; /* tokens whose keys and values are in the pages */
    int pages;
};

struct batcher {
    struct batcher_config config;
    struct batcher_slot *slots;
    int *waiting, *running;
    int n_waiting, n_running;
    int free_pages;
    uint64_t preemptions, digest;
};

struct action_list {
    struct batcher_action *actions;
    int count, max;
};

/* Appends and digests the decision. */
void batcher_act(struct batcher *batcher, struct action_list *list, struct batcher_action action);

int batcher_pages_for(const struct batcher *batcher, int tokens);

/* Puts a slot into a list, or takes it out, keeping the order of arrival. */
void batcher_list_insert(struct batcher *batcher, int *list, int *count, int slot);
void batcher_list_remove(int *list, int *count, int slot);

/* Takes the slot out of whichever list holds it, its pages back and empties it. */
void batcher_forget(struct batcher *batcher, int slot);

/* Decides the iteration by the state as it is now. */
void batcher_plan_fcfs(struct batcher *batcher, struct action_list *list);

#endif
