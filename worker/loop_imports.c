/*
 * Decode's side of a hand-over.
 *
 * An import waits in the batcher until there is room for the whole prompt, then pulls what prefill
 * has filled so far, and once more each time it hears of more. The pull that completes the prompt
 * is answered by the final ACK; from then on the request is ours. Giving up is possible at any time
 * before: our pages are our own (a transport that exchanges pages does so only in the last pull).
 */
#include "worker/loop.h"

#include <assert.h>
#include <errno.h>

/* Between two looks at a pull that moves by itself, while there is nothing to compute. */
#define POLL_NS 50000u

static void send_ack(struct worker *worker, const struct slot *slot, bool final, bool aborted,
                     int error)
{
    const struct slot_import *import = &slot->import;
    struct message message = {.type = MESSAGE_ACK,
                              .id = slot->id,
                              .u.ack = {.n_pages = import->n_pulled,
                                        .returned = import->returned,
                                        .final = final,
                                        .aborted = aborted,
                                        .error = error}};

    worker_tell_peer(worker, slot, &message);
}

/* There is no slot to remember the offer by: prefill hears at once that it is not wanted. */
static void refuse_offer(struct worker *worker, const struct message *offer, int error)
{
    const struct slot nobody = {.id = offer->id, .peer = offer->worker};

    atomic_fetch_add(&worker->counters.transfers_failed, 1);
    send_ack(worker, &nobody, false, true, error);
}

static void schedule_renewal(const struct worker *worker, struct slot *slot)
{
    slot->import.renew_ns = worker->now_ns + (uint64_t)slot->import.lease_ms * 1000000u / 3;
}

static void land(struct worker *worker, struct slot *slot)
{
    slot->stage = STAGE_WRITING;
    slot->computed = slot->request->n_tokens;
    slot->next_token = slot->import.first_token;
    sampler_accept(slot->sampler, slot->next_token);
    slot->emitted++;
    atomic_fetch_add(&worker->counters.transfers, 1);
    atomic_fetch_add(&worker->counters.transferred_pages, (uint64_t)slot->import.n_pulled);
    worker_add_event(worker, slot, BATCHER_LANDED);
    send_ack(worker, slot, true, false, 0);
}

static void fail_import(struct worker *worker, struct slot *slot, int error)
{
    atomic_fetch_add(&worker->counters.transfers_failed, 1);
    imports_give_up(worker, slot, error);
}

static void poll_pull(struct worker *worker, struct slot *slot);

/* Starts the next pull, or lands when nothing is left to pull. Pulls are looked at at once, so that
 * an exchange or a short copy costs no further turn. */
static void advance(struct worker *worker, struct slot *slot)
{
    struct slot_import *import = &slot->import;

    if (!import->granted || import->pulling)
        return;
    if (import->n_pulled == import->n_offered) {
        if (import->complete)
            land(worker, slot);
        return;
    }
    if (!import->complete && !worker->transport->overlaps)
        return;
    const struct worker *source = worker->peers[slot->peer];

    import->pull = (struct page_pull){.source_arena = page_pool_arena(source->pool),
                                      .destination = worker->pool,
                                      .source_pages = import->source_pages + import->n_pulled,
                                      .pages = slot->pages + import->n_pulled,
                                      .returned = import->returned + import->n_pulled,
                                      .count = import->n_offered - import->n_pulled};
    const int rc = worker->transport->post(&import->pull);

    if (rc < 0) {
        fail_import(worker, slot, rc);
        return;
    }
    import->pulling = true;
    poll_pull(worker, slot);
}

static void poll_pull(struct worker *worker, struct slot *slot)
{
    struct slot_import *import = &slot->import;

    switch (worker->transport->poll(&import->pull)) {
    case PULL_IN_FLIGHT: break;
    case PULL_FAILED: fail_import(worker, slot, -EIO); break;
    case PULL_DONE:
        import->pulling = false;
        import->n_pulled += import->pull.count;
        /* The complete prompt is answered by the final ACK, once all of it is here. */
        if (!import->complete && !import->answered) {
            import->answered = true;
            send_ack(worker, slot, false, false, 0);
        }
        advance(worker, slot);
        break;
    }
}

void imports_take_offer(struct worker *worker, const struct message *message)
{
    const struct request *request = message->u.offer.request;
    struct slot *slot = slot_find(&worker->table, message->id);

    if (!slot) {
        const int max_pages = kv_pages_for(request->n_prompt + request->max_tokens);
        const int rc =
            slot_open(&worker->table, request, max_pages, worker->config.n_vocab, true, &slot);

        if (rc < 0) {
            refuse_offer(worker, message, rc);
            return;
        }
        slot->stage = STAGE_IMPORT;
        slot->peer = message->worker;
        slot->owes_release = true;
        worker_add_event(worker, slot, BATCHER_IMPORT);
    } else if (slot->stage != STAGE_IMPORT) {
        return; /* we gave up, and prefill will hear so */
    }
    slot->import.source_pages = message->u.offer.pages;
    slot->import.n_offered = message->u.offer.n_filled;
    slot->import.complete = message->u.offer.final;
    slot->import.first_token = message->u.offer.first_token;
    slot->import.lease_ms = message->u.offer.lease_ms;
    slot->import.answered = false;
    schedule_renewal(worker, slot);
    advance(worker, slot);
}

void imports_give_up(struct worker *worker, struct slot *slot, int error)
{
    assert(slot->stage == STAGE_IMPORT);
    if (slot->import.pulling)
        worker->transport->cancel(&slot->import.pull);
    slot->import.pulling = false;
    slot->silent = true; /* never ours: prefill tells the server */
    /* Before the ACK: with it prefill may end the request, and the server frees it. */
    iteration_end(worker, slot, DONE_CANCELLED, 0);
    send_ack(worker, slot, false, true, error);
}

void imports_take_abort(struct worker *worker, struct slot *slot, const struct message *message)
{
    if (slot->stage == STAGE_IMPORT)
        imports_give_up(worker, slot, 0);
    else if (slot->stage == STAGE_WRITING && message->u.abort.cancelled)
        iteration_end(worker, slot, DONE_CANCELLED, 0);
}

void imports_take_release(struct worker *worker, struct slot *slot)
{
    struct message message = {.type = MESSAGE_PREEMPTED, .id = slot->id};
    const bool preempted = slot->preempted;

    slot->owes_release = false;
    if (slot->stage != STAGE_LINGERING)
        return;
    slot_close(&worker->table, slot);
    if (preempted)
        worker_tell_server(worker, &message);
}

void imports_grant(struct worker *worker, struct slot *slot, int count)
{
    struct message message = {.type = MESSAGE_GRANT, .id = slot->id, .u.grant = {.n_pages = count}};
    const int rc = page_pool_alloc(worker->pool, count, slot->pages);

    assert(slot->stage == STAGE_IMPORT && slot->n_pages == 0 && rc == 0);
    (void)rc;
    slot->n_pages = count;
    slot->import.granted = true;
    if (!slot->import.answered) { /* else it is granted once more, after a preemption */
        slot->import.answered = true;
        schedule_renewal(worker, slot);
        worker_tell_peer(worker, slot, &message);
    }
    advance(worker, slot);
}

void imports_preempt(struct worker *worker, struct slot *slot)
{
    struct slot_import *import = &slot->import;

    if (import->pulling)
        worker->transport->cancel(&import->pull);
    import->granted = import->pulling = false;
    import->n_pulled = 0;
    page_pool_free(worker->pool, slot->pages, slot->n_pages);
    slot->n_pages = 0;
    worker_add_event(worker, slot, BATCHER_IMPORT);
}

static void renew_lease(struct worker *worker, struct slot *slot, uint64_t *deadline_ns)
{
    struct message message = {.type = MESSAGE_RENEW, .id = slot->id};

    if (slot->import.renew_ns <= worker->now_ns) {
        worker_tell_peer(worker, slot, &message);
        schedule_renewal(worker, slot);
    }
    if (slot->import.renew_ns < *deadline_ns)
        *deadline_ns = slot->import.renew_ns;
}

void imports_poll(struct worker *worker, uint64_t *deadline_ns)
{
    for (int i = 0; i < worker->table.count; i++) {
        struct slot *slot = &worker->table.slots[i];

        if (slot->stage != STAGE_IMPORT)
            continue;
        if (slot->import.pulling)
            poll_pull(worker, slot);
        if (slot->stage != STAGE_IMPORT)
            continue;
        renew_lease(worker, slot, deadline_ns);
        if (slot->import.pulling && worker->now_ns + POLL_NS < *deadline_ns)
            *deadline_ns = worker->now_ns + POLL_NS;
    }
}
