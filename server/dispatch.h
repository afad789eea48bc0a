/*
 * The live requests: who computes which, and what came back.
 *
 * A job is given to the least loaded prefill worker and the least loaded decode worker (or to one
 * worker of role both). The table follows proto/message.h: it keeps a request's memory until every
 * worker that owned it has said so, checks that tokens are consecutive, posts a CANCEL to the
 * prefill worker first, and submits a preempted request again with what was already emitted, so
 * that its owner sees one stream of tokens; so it does a few times when a hand-over's lease runs
 * out, then the request fails with -ETIMEDOUT.
 *
 * Bounded: at most max_live requests, those included whose owner has gone and whose workers have
 * not said so yet. Owner: server thread.
 */
#ifndef TANDEM_SERVER_DISPATCH_H
#define TANDEM_SERVER_DISPATCH_H

#include "proto/message.h"
#include "server/worker_port.h"

#include <stdbool.h>
#include <stdint.h>

#define DISPATCH_LIVE_MAX (1 << 18)

struct dispatch;
struct dispatch_entry;

enum dispatch_event_type {
    DISPATCH_STARTED, /* first prefill work */
    DISPATCH_TOKEN,
    DISPATCH_END, /* the last event; the entry is not the owner's any more */
};

struct dispatch_event {
    enum dispatch_event_type type;
    uint64_t at_ns; /* monotonic, of the worker */
    int32_t token;
    struct token_logprobs *logprobs; /* the listener's to free; NULL when not asked for */
    enum done_reason reason;         /* END: stop, length, cancelled or failed */
    int error;                       /* END with DONE_FAILED: negative errno */
};

/* Called from dispatch_receive; may call dispatch_cancel on its own entry. */
typedef void (*dispatch_listener)(void *owner, const struct dispatch_event *event);

struct dispatch_job {
    int32_t *tokens; /* the prompt, malloc'd; taken over by a successful submit */
    int n_tokens;
    int max_tokens, min_tokens;
    const int32_t *stop_ids; /* copied, as is sampling.bias */
    int n_stop_ids;
    struct sampling_params sampling;
};

struct dispatch_counts {
    int live, waiting;                  /* waiting: no worker has begun on it */
    uint64_t late, replays, violations; /* messages for unknown ids; requests submitted again;
                                           messages that broke the protocol */
};

/* ports outlive the dispatch. */
int dispatch_create(struct dispatch **ret_dispatch, const struct worker_port *ports, int n_ports,
                    int max_live, dispatch_listener listener);
/* Nothing may be live at the workers any more. */
void dispatch_destroy(struct dispatch *dispatch);

/* How many more jobs would be taken. */
int dispatch_room(const struct dispatch *dispatch);

/* -EBUSY when the table is full, -ENOMEM. *ret_entry is valid until END or dispatch_cancel. */
int dispatch_submit(struct dispatch *dispatch, const struct dispatch_job *job, void *owner,
                    struct dispatch_entry **ret_entry);

/* The owner wants no more events. */
void dispatch_cancel(struct dispatch *dispatch, struct dispatch_entry *entry);

/* A message from a worker's mailbox; what it owns is taken over. */
void dispatch_receive(struct dispatch *dispatch, const struct message *message);

/* Posts what full mailboxes refused. True when something is still waiting. */
bool dispatch_flush(struct dispatch *dispatch);

void dispatch_count(const struct dispatch *dispatch, struct dispatch_counts *ret);

#endif
