/*
 * What the server sees of a worker: a mailbox to post to and counters to read.
 *
 * The main program makes one per worker, tests make their own; server/ knows no worker otherwise.
 */
#ifndef TANDEM_SERVER_WORKER_PORT_H
#define TANDEM_SERVER_WORKER_PORT_H

#include "base/mailbox.h"
#include "server/config.h"

#include <stdint.h>

struct worker_sample {
    uint64_t iterations, prefill_tokens, decode_tokens, preemptions;
    uint64_t transfers, transfers_failed, transferred_pages, late_messages;
    int waiting, running, importing, offered, pages_used, pages_total;
    uint64_t progress_ns; /* monotonic time of the last finished iteration; 0: none yet */
};

/* Reads the counters; called by the server thread at any time. */
typedef void (*worker_sampler)(const void *context, struct worker_sample *ret);

struct worker_port {
    const char *name; /* label in logs and metrics */
    enum config_role role;
    struct mailbox *mailbox;
    worker_sampler sample;
    const void *context;
};

#endif
