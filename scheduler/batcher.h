/*
 * The batcher: decides, once per iteration of one worker, which tokens run.
 *
 * A pure state machine: no clock, I/O, threads, globals or allocation after batcher_init; integer
 * time passed in; ties broken by arrival; every decision goes into a running digest, so the same
 * events give the same digest in production, in a test and in the simulator. `make check` compares
 * the library's imported symbols with an allow-list.
 *
 * It counts pages (PAGE_TOKENS tokens each) and never sees one: the worker loop owns the physical
 * pages and carries the actions out. Owner: the worker's thread.
 *
 * Iteration rule (policy "fcfs"): every decode that is due gets one token; what is left of the
 * token budget goes to prompts, in chunks, in order of arrival. A prompt, or an import, is let in
 * when pages for all of it are free and one more for every request that may still grow. When pages
 * run out all the same, the request that arrived last is preempted: its pages are freed and it is
 * computed again later. The oldest is never preempted while others hold pages, so it always ends.
 */
#ifndef TANDEM_SCHEDULER_BATCHER_H
#define TANDEM_SCHEDULER_BATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum batcher_role {
    BATCHER_PREFILL = 1, /* computes prompts, hands over */
    BATCHER_DECODE = 2,  /* imports, writes answers */
    BATCHER_BOTH = 3,
};

struct batcher_config {
    enum batcher_role role;
    int slots;        /* requests held at once, waiting ones included */
    int max_running;  /* requests with pages at once */
    int token_budget; /* rows per iteration, decodes and prompt tokens together; decodes alone may
                         exceed it (they are never held up), prompts then wait */
    int pages;        /* of this worker */
    int page_tokens;  /* tokens of a page */
};

enum batcher_event_type {
    BATCHER_ARRIVE, /* slot, arrival, tokens: a prompt (or a replay) waits to be computed. After it
                       role both decodes; role prefill holds its pages until FINISH or CANCEL */
    BATCHER_IMPORT, /* slot, arrival, tokens: another worker offers a computed prompt */
    BATCHER_LANDED, /* slot: its pages are all here and its first token is known */
    BATCHER_HALT,   /* slot, role prefill: compute no more of it, but hold its pages until FINISH or
                       CANCEL, since a peer may still be reading them */
    BATCHER_FINISH, /* slot: the answer is complete (stop id, length) or handed over */
    BATCHER_CANCEL, /* slot, in any state */
};

struct batcher_event {
    enum batcher_event_type type;
    int slot;
    uint64_t arrival; /* lower is older; unique */
    int tokens;       /* to be computed (ARRIVE) or already computed (IMPORT) */
};

enum batcher_action_type {
    BATCHER_RUN,     /* compute tokens [start, start + count) of the slot in this iteration */
    BATCHER_GRANT,   /* IMPORT accepted: reserve `count` pages and pull */
    BATCHER_PREEMPT, /* free the slot's pages; the slot is forgotten here: the request has to be
                        computed again, or imported again when it had not landed yet */
    BATCHER_FREE,    /* finished or cancelled: free the slot's pages; the slot is forgotten here */
};

struct batcher_action {
    enum batcher_action_type type;
    int slot;
    int start, count; /* RUN: tokens; GRANT: count is pages */
    bool sample;      /* RUN: the last token of the run yields the next one */
};

struct batcher; /* opaque; lives in memory given by the caller */

size_t batcher_bytes(const struct batcher_config *config);

/* memory: batcher_bytes(config) bytes aligned for any type, owned by the caller. The config is
 * copied. -EINVAL for numbers out of range. */
int batcher_init(struct batcher **ret_batcher, void *memory, const struct batcher_config *config);

/* Room for actions: 2 * slots + max_running is always enough when no slot ends twice in one step.
 * After RUN actions the caller executes the iteration and reports ends as events of the next step;
 * runs themselves are taken as done. Returns the number of actions written: ends first, in the
 * order of their events, then preemptions and decodes, chunks of prompts, grants. Asserts on events
 * that contradict the state and on a request that could not fit were it alone. */
int batcher_step(struct batcher *batcher, uint64_t now_ns, const struct batcher_event *events,
                 int n_events, struct batcher_action *actions, int max_actions);

struct batcher_load {
    int waiting, running, importing, pages_used;
    uint64_t preemptions;
    uint64_t digest;
};
void batcher_load(const struct batcher *batcher, struct batcher_load *ret);

#endif
