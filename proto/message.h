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
 *   ACK      a pull is over. `final`: decode owns the request now. aborted: decode holds nothing of
 *            it any more, because of ABORT, CANCEL or (error set) a failure of its own
 *   ABORT    prefill wants the request back; answered by an aborted ACK unless the final one is on
 *            its way already
 *   RELEASE  prefill has dropped its pages and forgotten the id; decode forgets the transfer
 *   RENEW    decode is alive and still wants the offered pages: prefill's lease starts anew
 *
 * How many are under way: prefill sends an OFFER when GRANT or ACK has answered the one before, and
 * decode answers each OFFER once (and ends with one final or aborted ACK). So of a request at most
 * two messages lie unread in prefill's mailbox, and in decode's three: RELEASE of the request that
 * had its place before, OFFER and ABORT. Half of a mailbox is theirs alone (worker/worker.h); the
 * server, which can post again, and RENEW, which may be lost, use the other half only.
 *
 * The lease: prefill waits lease_ms for GRANT, ACK or RENEW after each OFFER. Then it sends ABORT,
 * keeps the pages until decode has answered, for which there is no deadline, since decode might
 * still be reading them, and says DONE_EXPIRED. Workers are threads of one process: decode answers
 * at the latest after the iteration it is in. It renews at a third of the lease; an iteration
 * longer than two thirds costs a computation of the prompt.
 *
 * Rules that make every race end well: messages of one sender arrive in order; the server posts a
 * CANCEL to the prefill worker before the decode worker; a message for an unknown id, or from an
 * incarnation that is gone, is counted and dropped; an ABORT that crosses a final ACK is dropped
 * unless it says `cancelled`, then decode cancels the request it owns (its own CANCEL may have come
 * before the OFFER and been dropped).
 *
 * A request is over for the server when prefill said DONE and, if that DONE says HANDED, decode
 * said DONE too (in either order). Exactly one DONE per worker that owned it.
 *
 * PREEMPTED stands in for DONE: the worker had no pages left for the request, holds nothing of it
 * and has forgotten the id. The server submits it again, to any prefill worker, with tokens =
 * prompt + what was emitted, the same arrival and seed, and an id of its own (so that nothing late
 * of the first life can be taken for the second); when it cancelled it meanwhile it does not.
 * PREEMPTED of a decode worker always comes after DONE_HANDED of the prefill worker. DONE_EXPIRED
 * is answered by the server as PREEMPTED is, but not for ever: see server/dispatch.c.
 *
 * DRAIN: a worker ends when it holds nothing. One that hands over may wait for its peer's ACK, so
 * the workers that take over are told DRAIN when all that hand over have ended (workers_stop).
 */
#ifndef TANDEM_PROTO_MESSAGE_H
#define TANDEM_PROTO_MESSAGE_H

#include "proto/request.h"

#include <stdbool.h>
#include <stdint.h>

enum message_type {
    MESSAGE_SUBMIT,
    MESSAGE_CANCEL,
    MESSAGE_DRAIN, /* end when nothing is held any more */
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
    DONE_HANDED,  /* prefill's part is over, decode goes on */
    DONE_FAILED,  /* error: negative errno */
    DONE_EXPIRED, /* prefill: decode did not answer within the lease; submit it again */
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
            const int32_t *returned; /* n_pages ids that prefill gets in exchange, borrowed until
                                        RELEASE; for the transport's release to read */
            bool final, aborted;
            int error; /* aborted by a failure of decode: negative errno; else 0 */
        } ack;
        struct {
            bool cancelled; /* the server wants it ended, wherever it is */
        } abort;
    } u;
};

#endif
