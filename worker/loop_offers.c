/*
 * Prefill's side of a hand-over.
 *
 * The pages belong to this pool until the batcher's FREE, which follows ACK: whatever happens in
 * between, nobody else can be given them. An OFFER goes out when there is something new to tell and
 * the one before was answered.
 */
#include "worker/loop.h"

#include <assert.h>

void offers_renew(const struct worker *worker, struct slot *slot)
{
    slot->offer.expires_ns = worker->now_ns + (uint64_t)worker->config.lease_ms * 1000000u;
}

void offers_update(struct worker *worker, struct slot *slot)
{
    struct slot_offer *offer = &slot->offer;
    /* Only full pages are final before the prompt is. */
    const int filled =
        offer->complete ? kv_pages_for(slot->computed) : slot->computed / PAGE_TOKENS;
    /* The first offer lets decode reserve room; those between it and the last are for pulling. */
    const bool early = offer->n_offered == 0 || worker->transport->overlaps;
    const bool news = offer->complete ? !offer->final : early && filled > offer->n_offered;

    assert(slot->stage == STAGE_PROMPT || slot->stage == STAGE_OFFERED);
    if (!news || offer->unheard)
        return;
    struct message message = {.type = MESSAGE_OFFER,
                              .id = slot->id,
                              .u.offer = {.request = slot->request,
                                          .pages = slot->pages,
                                          .n_filled = filled,
                                          .final = offer->complete,
                                          .first_token = offer->first_token,
                                          .lease_ms = worker->config.lease_ms}};

    slot->stage = STAGE_OFFERED;
    offer->n_offered = filled;
    offer->final = offer->complete;
    offer->unheard = true;
    offers_renew(worker, slot);
    worker_tell_peer(worker, slot, &message);
}

void offers_abort(struct worker *worker, struct slot *slot, enum done_reason reason, int error)
{
    struct message message = {
        .type = MESSAGE_ABORT, .id = slot->id, .u.abort = {.cancelled = reason == DONE_CANCELLED}};

    assert(slot->stage == STAGE_OFFERED);
    slot->stage = STAGE_ABORTING;
    slot->reason = reason;
    slot->error = error;
    worker_add_event(worker, slot, BATCHER_HALT);
    worker_tell_peer(worker, slot, &message);
}

void offers_take_grant(struct worker *worker, struct slot *slot)
{
    if (slot->stage != STAGE_OFFERED)
        return; /* crossed our ABORT, whose ACK is to come */
    slot->offer.unheard = false;
    offers_renew(worker, slot);
    offers_update(worker, slot);
}

void offers_take_ack(struct worker *worker, struct slot *slot, const struct message *message)
{
    const bool final = message->u.ack.final, aborted = message->u.ack.aborted;

    assert(slot->stage == STAGE_OFFERED || slot->stage == STAGE_ABORTING);
    if (final) {
        assert(slot->offer.final && message->u.ack.n_pages == slot->n_pages);
        slot->offer.handed = true;
        slot->offer.returned = message->u.ack.returned;
        atomic_fetch_add(&worker->counters.transfers, 1);
        atomic_fetch_add(&worker->counters.transferred_pages, (uint64_t)slot->n_pages);
        iteration_end(worker, slot, DONE_HANDED, 0);
    } else if (aborted && slot->stage == STAGE_ABORTING) {
        iteration_end(worker, slot, slot->reason, slot->error);
    } else if (aborted) {
        /* Decode gave up by itself. Without an error it did so for a CANCEL, which reached us
         * first: then we would be aborting. */
        assert(message->u.ack.error < 0);
        atomic_fetch_add(&worker->counters.transfers_failed, 1);
        iteration_end(worker, slot, DONE_FAILED, message->u.ack.error);
    } else {
        offers_take_grant(worker, slot);
    }
}

void offers_release(struct worker *worker, struct slot *slot)
{
    struct message message = {.type = MESSAGE_RELEASE, .id = slot->id};

    if (slot->offer.handed)
        worker->transport->release(worker->pool, slot->pages, slot->offer.returned, slot->n_pages);
    else
        page_pool_free(worker->pool, slot->pages, slot->n_pages);
    slot->n_pages = 0;
    worker_tell_peer(worker, slot, &message);
}

void offers_expire(struct worker *worker, uint64_t *deadline_ns)
{
    for (int i = 0; i < worker->table.count; i++) {
        struct slot *slot = &worker->table.slots[i];

        if (slot->stage != STAGE_OFFERED)
            continue;
        if (slot->offer.expires_ns <= worker->now_ns) {
            atomic_fetch_add(&worker->counters.transfers_failed, 1);
            offers_abort(worker, slot, DONE_EXPIRED, 0);
        } else if (slot->offer.expires_ns < *deadline_ns) {
            *deadline_ns = slot->offer.expires_ns;
        }
    }
}
