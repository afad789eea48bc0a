/*
 * Everything that passes between the server and the workers, and between workers.
 *
 *   server -> worker   SUBMIT, CANCEL, DRAIN
 *   worker -> server   STARTED, TOKEN, PREEMPTED, DONE
 *   prefill -> decode  OFFER, ABORT, RELEASE
 *   decode -> prefill  GRANT, ACK, RENEW
 *
 * Handing over (design decision D3; decode pulls):
 *
 *   OFFER    pages that are filled so far (again as more fill up; the last one carries `final` and
 *            the first token); prefill keeps them until ACK
 *   GRANT    decode has reserved room for the whole prompt and starts to pull
 *   ACK      a pull is over. `final` and OK: decode owns the request now. aborted: decode holds
 *            nothing of it any more
 *   ABORT    prefill wants the request back (cancelled); answered by ACK in any case
 *   RELEASE  prefill has dropped its pages and forgotten the id; decode forgets the transfer
 *   RENEW    decode is alive and still wants the offered pages: prefill's lease starts anew
 *
 * Rules that make every race end well: messages of one sender arrive in order; the server posts a
 * CANCEL to the prefill worker before the decode worker; a message for an unknown id is counted and
 * dropped; an ABORT that crosses a final ACK is dropped, since the CANCEL reaches decode as well.
 *
 * A request is over for the server when prefill said DONE and, if that DONE says `handed`, decode
 * said DONE too (in either order). Exactly one DONE per worker that owned it.
 */
#ifndef TANDEM_PROTO_MESSAGE_H
#define TANDEM_PROTO_MESSAGE_H

#include "proto/request.h"

#include <stdbool.h>
#include <stdint.h>

enum message_type {
    MESSAGE_SUBMIT,
    MESSAGE_CANCEL,
    MESSAGE_DRAIN, /* stop when the last request is over */
    MESSAGE_STARTED,
    MESSAGE_TOKEN,
    MESSAGE_PREEMPTED,
    MESSAGE_DONE,
    MESSAGE_OFFER,
    MESSAGE_ABORT,
    MESSAGE_RELEASE,
    MESSAGE_GRANT,
    MESSAGE_ACK,
    MESSAGE_RENEW,
};

enum done_reason {
    DONE_STOP,   /* a stop id was chosen (it is the last TOKEN) */
    DONE_LENGTH, /* max_tokens */
    DONE_CANCELLED,
    DONE_HANDED, /* prefill's part is over, decode goes on */
    DONE_FAILED, /* error: negative errno */
};

struct message {
    enum message_type type;
    uint16_t worker;      /* the sender's index */
    uint32_t incarnation; /* of the sender: a restarted worker has another */
    uint64_t id;          /* request */
    union {
        struct {
            const struct request *request;
            uint16_t
                decode_worker; /* where to hand over to; the prefill worker's own index: keep */
        } submit;
        struct {
            uint64_t at_ns; /* first prefill work on it */
        } started;
        struct {
            uint64_t at_ns;
            int32_t index; /* of the emitted tokens, from 0 */
            int32_t token;
            struct token_logprobs *logprobs; /* malloc'd, the receiver's; NULL when not asked for */
        } token;
        struct {
            enum done_reason reason;
            int error;
        } done;
        struct {
            const struct request *request;
            const int32_t *pages; /* the sequence's whole table, borrowed until ACK */
            int32_t n_filled;     /* leading pages that will not change any more */
            bool final;           /* prompt complete: n_filled covers it, first_token is set */
            int32_t first_token;
            uint32_t lease_ms; /* time left, not a time stamp: clocks of hosts differ */
        } offer;
        struct {
            int32_t n_pages;
        } grant;
        struct {
            int32_t n_pages;         /* pulled so far, counted from the first page */
            const int32_t *returned; /* pages prefill gets in exchange (n_pages ids), borrowed until
                                        RELEASE; NULL when the transport copies */
            bool final, aborted;
        } ack;
    } u;
};

#endif
