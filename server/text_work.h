/*
 * Text work: what is computed from the body of a POST before anything is submitted: JSON, the chat
 * template, tokens. It touches no state of the server, so a text thread may do it.
 *
 * Owner: the server thread, but from text_thread_give to text_thread_take the text thread, which
 * then reads nothing of the service but what service_open left immutable (parts, vocabulary).
 */
#ifndef TANDEM_SERVER_TEXT_WORK_H
#define TANDEM_SERVER_TEXT_WORK_H

#include "base/buf.h"
#include "server/api_error.h"
#include "server/exchange.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct text_work {
    struct service *service;
    const struct route *route; /* its `work` is what is done */
    struct buf body;           /* owned; freed as soon as it was worked on */
    char id[EXCHANGE_ID_MAX];
    uint64_t arrived_ns;
    _Atomic bool given_up; /* nobody waits for it any more */

    struct exchange *exchange; /* server thread: who waits, or NULL */
    size_t body_bytes;         /* server thread: counted in the service's */
    bool done;                 /* server thread: what follows may be read */

    int rc;
    struct api_error error; /* when rc is negative */
    struct answer *answer;  /* owned: created and not started; NULL: `reply` is the answer */
    struct buf reply;       /* owned; JSON */
};

/* Takes the body out of the exchange, which is here in full. NULL when out of memory. */
struct text_work *text_work_create(struct exchange *exchange);
void text_work_destroy(struct text_work *work);

/* Does it, unless it was given up. */
void text_work_run(struct text_work *work);

/* The body's bytes; never NULL. */
const char *text_work_body(const struct text_work *work);

#endif
