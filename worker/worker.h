/*
 * A worker: a thread that owns a batcher, KV pages and an engine context, fed by its mailbox.
 *
 * Role prefill computes prompts, samples the first token and offers the pages to the decode worker
 * named in SUBMIT; role decode pulls them and writes the rest; role both keeps what it computes.
 * Everything it has to say goes to the server's mailbox and to its peers' as proto/message.h says.
 *
 * What the server vouches for (asserted here): at most `slots` requests that are not over at once,
 * ids that are unique, a decode_worker that decodes, and n_prompt + max_tokens within max_tokens
 * and within the pages of the worker that decodes. A request's memory outlives its last DONE.
 */
#ifndef TANDEM_WORKER_WORKER_H
#define TANDEM_WORKER_WORKER_H

#include "base/err.h"
#include "base/mailbox.h"
#include "kvcache/pool.h"
#include "kvcache/transport.h"
#include "scheduler/batcher.h"
#include "worker/engine.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct worker_config {
    uint16_t index; /* in the peers array and in messages */
    enum batcher_role role;
    int slots; /* requests held at once */
    int max_running, token_budget;
    int max_tokens; /* positions of the longest sequence (max-model-len) */
    int n_vocab;    /* of the model: logits of a row */
    uint32_t lease_ms;
};

/* Counters for /metrics: written by the worker's thread, read by any. */
struct worker_counters {
    _Atomic uint64_t iterations, prefill_tokens, decode_tokens, preemptions;
    _Atomic uint64_t transfers, transfers_failed, transferred_pages, late_messages;
    _Atomic int waiting, running, importing, offered, pages_used, pages_total;
    _Atomic uint64_t progress_ns; /* monotonic time of the last finished iteration */
};

/* Room of a worker's mailbox for each request it may hold. Half of it is the peers' alone, who use
 * at most 3 (proto/message.h); the server posts again what the other half does not take. */
#define WORKER_MESSAGES_PER_REQUEST 8

struct worker;

/* Creates the worker without starting it. pool: becomes the worker's, on failure too. outbox: the
 * server's mailbox of struct message. Peers are set before start. -ENOMEM, -EINVAL with err. */
int worker_create(struct worker **ret_worker, const struct worker_config *config,
                  const struct engine *engine, struct team *team, struct page_pool *pool,
                  const struct kv_transport *transport, struct mailbox *outbox, struct err *err);
struct mailbox *worker_mailbox(struct worker *worker);
const struct worker_counters *worker_counters(const struct worker *worker);

/* peers[i] is the worker of index i (NULL: none); the array outlives the workers. */
int worker_start(struct worker *worker, struct worker *const *peers, int n_peers, struct err *err);

/* Ends workers that were started together; the server has cancelled or seen the end of every
 * request. Those that hand over end first, since they need the others' answers; each checks that
 * every page is back. read_mail is called over and over: it takes what lies in the server's
 * mailbox, for which workers wait when it is full, and the last time after the last worker has
 * ended. Returns how many still run at deadline_ns (worker_ended says which); unless that is 0,
 * none may be destroyed. */
int workers_stop(struct worker *const *workers, int count, uint64_t deadline_ns,
                 void (*read_mail)(void *context), void *context);
bool worker_ended(const struct worker *worker);
/* Of a worker that has ended or was not started, after its peers have too. */
void worker_destroy(struct worker *worker);

#endif
