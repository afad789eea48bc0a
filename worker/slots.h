/*
 * The requests a worker holds: dense slots, found by request id.
 *
 * A slot number is the batcher's too. Its memory (page table, sampler) comes and goes with the
 * request; the slots and the index are made once. Owner: the worker's thread.
 */
#ifndef TANDEM_WORKER_SLOTS_H
#define TANDEM_WORKER_SLOTS_H

#include "kvcache/transport.h"
#include "proto/message.h"
#include "worker/sampler.h"

#include <stdbool.h>
#include <stdint.h>

enum slot_stage {
    STAGE_EMPTY,
    STAGE_PROMPT,    /* waits, or is being computed; no peer knows of it */
    STAGE_OFFERED,   /* prefill: offered, in part or whole */
    STAGE_ABORTING,  /* prefill: ABORT sent, pages kept until ACK */
    STAGE_IMPORT,    /* decode: offered to us; waits for room, or is being pulled */
    STAGE_WRITING,   /* an answer is being decoded here */
    STAGE_ENDING,    /* the batcher was told; its FREE comes with the next step */
    STAGE_LINGERING, /* decode: nothing held any more, RELEASE is awaited */
};

/* Prefill's side of a hand-over. */
struct slot_offer {
    int n_offered; /* pages told of, from the first */
    bool unheard;  /* the last OFFER is not answered yet */
    bool complete; /* the prompt is computed: final can be sent */
    bool final;    /* final was sent */
    int32_t first_token;
    uint64_t expires_ns;     /* end of the lease */
    const int32_t *returned; /* of the final ACK */
    bool handed;
};

/* Decode's side of a hand-over. */
struct slot_import {
    const int32_t *source_pages; /* prefill's table, borrowed until we ACK */
    int n_offered, n_pulled;
    bool granted, pulling, complete;
    bool answered; /* the last OFFER was, by GRANT or ACK: one answer each */
    int32_t first_token;
    int32_t *returned; /* pages given in exchange, lent to prefill until RELEASE */
    uint64_t renew_ns; /* when the next RENEW is due */
    uint32_t lease_ms;
    struct page_pull pull;
};

struct slot {
    enum slot_stage stage;
    uint64_t id;
    const struct request *request;
    struct sampler *sampler;
    int32_t *pages; /* table: n_pages held, room for max_pages */
    int n_pages, max_pages;
    int computed;            /* tokens in the pages */
    int emitted;             /* tokens of the answer so far */
    int32_t next_token;      /* the last one of them: its keys and values come next */
    uint16_t peer;           /* the other side of the hand-over; our own index when there is none */
    bool owes_release;       /* decode: the peer has not said RELEASE yet */
    bool preempted;          /* decode: say PREEMPTED once it has */
    bool silent;             /* ENDING: nothing to say to the server */
    enum done_reason reason; /* ENDING, ABORTING: what to say */
    int error;
    struct slot_offer offer;
    struct slot_import import;
};

struct slot_table {
    struct slot *slots;
    int32_t *index; /* hash of ids to slot + 1, linear probing; 0 is empty */
    int *free;      /* stack of empty slots */
    uint32_t index_mask;
    int count, n_free;
};

/* -ENOMEM. */
int slot_table_create(struct slot_table *table, int count);
void slot_table_destroy(struct slot_table *table);

/* NULL for an unknown id. */
struct slot *slot_find(const struct slot_table *table, uint64_t id);

/* Takes a slot for the request, with a page table of max_pages, a sampler, and, when `import`, room
 * for pages given in exchange. -ENOSPC without a free slot, -ENOMEM; *ret_slot then is unchanged.
 */
int slot_open(struct slot_table *table, const struct request *request, int max_pages, int n_vocab,
              bool import, struct slot **ret_slot);
void slot_close(struct slot_table *table, struct slot *slot);

static inline int slot_number(const struct slot_table *table, const struct slot *slot)
{
    return (int)(slot - table->slots);
}

static inline int slots_used(const struct slot_table *table)
{
    return table->count - table->n_free;
}

#endif
