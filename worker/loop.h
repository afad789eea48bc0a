/*
 * The inside of a worker, shared by the files that make it up:
 *
 *   worker.c           creation, thread, the loop itself, mail
 *   loop_iteration.c   the batcher's actions, the batch, sampling, tokens, ends
 *   loop_offers.c      prefill's side of a hand-over
 *   loop_imports.c     decode's side
 *
 * Everything here belongs to the worker's thread, except the inbox (anyone posts) and the counters
 * (anyone reads). Between two batcher steps the worker collects events; the step's actions are the
 * only thing that takes pages or gives them back, so the batcher's count of pages is never below
 * what is held, and an allocation that the batcher allowed cannot fail.
 */
#ifndef TANDEM_WORKER_LOOP_H
#define TANDEM_WORKER_LOOP_H

#include "worker/slots.h"
#include "worker/worker.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define EVENTS_PER_SLOT 4 /* in one step: offered again, landed, ended, and one to spare */

/* A row of logits to sample from. */
struct sample_row {
    struct slot *slot;
    float *logits;
    int32_t token;
    struct token_logprobs logprobs;
};

struct worker {
    struct worker_config config;
    struct worker_counters counters;
    uint32_t incarnation;
    struct mailbox *inbox, *outbox;
    struct worker *const *peers;
    int n_peers;
    pthread_t thread;
    bool draining;
    bool told_to_drain, joined; /* who stops the workers */
    _Atomic bool ended;         /* the thread's last store */

    struct team *team;
    int lane;
    struct engine_context *engine;
    size_t logits_stride;
    struct page_pool *pool;
    const struct kv_transport *transport;

    struct slot_table table;
    struct batcher *batcher;
    struct batcher_event *events; /* for the next step */
    int n_events, max_events;
    struct batcher_action *actions;
    int max_actions;

    /* The iteration: [max_running] each. */
    struct batch_run *runs;
    struct slot **run_slots;
    struct sample_row *rows;
    int n_runs, n_rows;
    struct sampler_scratch **scratches; /* one per thread of the team */
    uint64_t now_ns;                    /* of this turn of the loop */
};

/* worker.c */
void worker_add_event(struct worker *worker, struct slot *slot, enum batcher_event_type type);
/* Posts to the server, which always drains: waits when its mailbox is full. */
void worker_tell_server(struct worker *worker, struct message *message);
/* There is always room, but for RENEW, which is lost when the peer's mailbox is half full. */
void worker_tell_peer(struct worker *worker, const struct slot *slot, struct message *message);

/* loop_iteration.c */
/* Lets the batcher decide and carries its actions out except the runs, which are collected. Returns
 * how many there were. */
int iteration_plan(struct worker *worker);
/* Computes the collected runs, samples and says what came out. */
void iteration_run(struct worker *worker);
/* Nothing more is to be done for the request here: its pages go with the next step. */
void iteration_end(struct worker *worker, struct slot *slot, enum done_reason reason, int error);

/* loop_offers.c: prefill's side */
void offers_update(struct worker *worker, struct slot *slot);
void offers_abort(struct worker *worker, struct slot *slot, enum done_reason reason, int error);
void offers_renew(const struct worker *worker, struct slot *slot);
void offers_take_grant(struct worker *worker, struct slot *slot);
void offers_take_ack(struct worker *worker, struct slot *slot, const struct message *message);
/* At FREE: the pages go back, or over, and the peer hears RELEASE. */
void offers_release(struct worker *worker, struct slot *slot);
/* Asks for offers back whose lease has run out; the earliest end of a lease otherwise. */
void offers_expire(struct worker *worker, uint64_t *deadline_ns);

/* loop_imports.c: decode's side */
void imports_take_offer(struct worker *worker, const struct message *message);
void imports_take_abort(struct worker *worker, struct slot *slot, const struct message *message);
void imports_take_release(struct worker *worker, struct slot *slot);
/* Stops pulling and tells prefill that nothing is held. */
void imports_give_up(struct worker *worker, struct slot *slot, int error);
void imports_grant(struct worker *worker, struct slot *slot, int count);
/* The batcher took the pages of an import back: it waits again from the beginning. */
void imports_preempt(struct worker *worker, struct slot *slot);
/* Pulls what is under way and renews leases; lowers *deadline_ns to when it is due again. */
void imports_poll(struct worker *worker, uint64_t *deadline_ns);

#endif
