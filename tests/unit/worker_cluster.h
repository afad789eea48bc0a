/*
 * Workers over an engine, and the server's part of the protocol: submits, collects tokens, cancels,
 * submits preempted requests again, and checks every message against the rules of proto/message.h
 * and every token against the text expected.
 */
#ifndef TANDEM_TESTS_UNIT_WORKER_CLUSTER_H
#define TANDEM_TESTS_UNIT_WORKER_CLUSTER_H

#include "proto/message.h"
#include "worker/worker.h"

#include <stdbool.h>
#include <stdint.h>

#define CLUSTER_WORKERS_MAX 4
#define CLUSTER_LENGTH_MAX 256

struct cluster_config {
    const struct engine *engine;
    int n_vocab;
    /* The text of a request, computed some other way, into room for max_tokens; NULL: whatever
     * comes is taken as the text to expect from then on. */
    int (*text)(const struct request *request, int32_t *ret);
    const char *roles; /* a letter per worker: p(refill), d(ecode), b(oth) */
    const struct kv_transport *transport;
    int token_budget, max_running, slots;
    int pages; /* per worker */
    uint32_t lease_ms;
    int outbox; /* messages the server's mailbox holds */
};

struct cluster_request {
    struct request request;
    int32_t tokens[CLUSTER_LENGTH_MAX], expected[CLUSTER_LENGTH_MAX];
    struct logit_bias bias[2];
    int32_t stop_ids[2];
    int n_expected; /* -1: not known yet */
    int emitted, started, preempted, expired;
    uint16_t prefill_worker, decode_worker;
    bool live, prefill_done, handed, decode_done, cancelled, over;
    enum done_reason reason;
    int error;
};

struct cluster {
    struct cluster_config config;
    int n_workers;
    struct team *team;
    struct kv_arena arenas[CLUSTER_WORKERS_MAX];
    struct worker *workers[CLUSTER_WORKERS_MAX];
    struct mailbox *outbox;
    struct cluster_request *requests;
    int n_requests, n_live;
    uint64_t messages; /* taken so far */
};

/* Makes n requests of all kinds from the seed: the same in every cluster. */
void cluster_open(struct cluster *cluster, const struct cluster_config *config, int n,
                  uint64_t seed);
/* Expects the texts that another cluster's same requests had. */
void cluster_expect(struct cluster *cluster, const int32_t (*texts)[CLUSTER_LENGTH_MAX],
                    const int *lengths);
/* Stops the workers, which check that every page is back. Every request must be over or cancelled.
 */
void cluster_close(struct cluster *cluster);

void cluster_submit(struct cluster *cluster, int request);
void cluster_cancel(struct cluster *cluster, int request);
/* Takes messages until one has come, or fails the test after a long wait. */
void cluster_take(struct cluster *cluster);
/* Until every request submitted is over. */
void cluster_finish(struct cluster *cluster);

/* Over by itself with exactly the expected text. */
void cluster_check_text(const struct cluster_request *request);

/* Sum of a counter over the workers. */
#define cluster_sum(cluster, counter)                                                         \
    __extension__({                                                                           \
        uint64_t sum_ = 0;                                                                    \
        for (int w_ = 0; w_ < (cluster)->n_workers; w_++)                                     \
            sum_ += (uint64_t)atomic_load(&worker_counters((cluster)->workers[w_])->counter); \
        sum_;                                                                                 \
    })

#endif
