/*
 * One iteration: what the batcher decided, the forward pass, and what comes out of it.
 */
#include "worker/loop.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

void iteration_end(struct worker *worker, struct slot *slot, enum done_reason reason, int error)
{
    const bool complete = reason == DONE_STOP || reason == DONE_LENGTH || reason == DONE_HANDED;

    slot->stage = STAGE_ENDING;
    slot->reason = reason;
    slot->error = error;
    worker_add_event(worker, slot, complete ? BATCHER_FINISH : BATCHER_CANCEL);
}

/* Ends a request that we compute; a peer that was offered it has to be asked first. */
static void conclude(struct worker *worker, struct slot *slot, enum done_reason reason, int error)
{
    if (slot->stage == STAGE_OFFERED)
        offers_abort(worker, slot, reason, error);
    else
        iteration_end(worker, slot, reason, error);
}

static void free_pages(struct worker *worker, struct slot *slot)
{
    page_pool_free(worker->pool, slot->pages, slot->n_pages);
    slot->n_pages = 0;
}

/* DONE goes out before RELEASE: so PREEMPTED of the peer, which waits for RELEASE, comes later. */
static void carry_out_free(struct worker *worker, struct slot *slot)
{
    struct message done = {.type = MESSAGE_DONE,
                           .id = slot->id,
                           .u.done = {.reason = slot->reason, .error = slot->error}};

    assert(slot->stage == STAGE_ENDING);
    if (slot->offer.n_offered == 0)
        free_pages(worker, slot);
    if (!slot->silent)
        worker_tell_server(worker, &done);
    if (slot->offer.n_offered > 0)
        offers_release(worker, slot);
    if (slot->owes_release)
        slot->stage = STAGE_LINGERING;
    else
        slot_close(&worker->table, slot);
}

static void carry_out_preempt(struct worker *worker, struct slot *slot)
{
    struct message message = {.type = MESSAGE_PREEMPTED, .id = slot->id};

    atomic_fetch_add(&worker->counters.preemptions, 1);
    if (slot->stage == STAGE_IMPORT) {
        imports_preempt(worker, slot);
        return;
    }
    assert(slot->stage == STAGE_PROMPT || slot->stage == STAGE_WRITING);
    free_pages(worker, slot);
    if (slot->owes_release) {
        slot->stage = STAGE_LINGERING;
        slot->preempted = true;
        return;
    }
    slot_close(&worker->table, slot);
    worker_tell_server(worker, &message);
}

/* Pages are taken as the tokens come; the batcher has set aside enough for the whole prompt. */
static void carry_out_run(struct worker *worker, struct slot *slot,
                          const struct batcher_action *action)
{
    const int need = kv_pages_for(action->start + action->count) - slot->n_pages;
    const bool prompt = action->start < slot->request->n_tokens;

    assert(action->start == slot->computed && slot->n_pages + need <= slot->max_pages);
    if (need > 0) {
        const int rc = page_pool_alloc(worker->pool, need, slot->pages + slot->n_pages);

        assert(rc == 0);
        (void)rc;
        slot->n_pages += need;
    }
    if (action->start == 0) {
        struct message message = {
            .type = MESSAGE_STARTED, .id = slot->id, .u.started = {.at_ns = worker->now_ns}};

        worker_tell_server(worker, &message);
    }
    worker->run_slots[worker->n_runs] = slot;
    worker->runs[worker->n_runs++] = (struct batch_run){
        .tokens = prompt ? slot->request->tokens + action->start : &slot->next_token,
        .start = action->start,
        .count = action->count,
        .pages = slot->pages,
        .n_logits = action->sample,
    };
}

int iteration_plan(struct worker *worker)
{
    const int count = batcher_step(worker->batcher, worker->now_ns, worker->events,
                                   worker->n_events, worker->actions, worker->max_actions);

    worker->n_events = 0; /* what the actions bring about is for the next step */
    worker->n_runs = 0;
    for (int i = 0; i < count; i++) {
        const struct batcher_action *action = &worker->actions[i];
        struct slot *slot = &worker->table.slots[action->slot];

        switch (action->type) {
        case BATCHER_FREE: carry_out_free(worker, slot); break;
        case BATCHER_PREEMPT: carry_out_preempt(worker, slot); break;
        case BATCHER_GRANT: imports_grant(worker, slot, action->count); break;
        case BATCHER_RUN: carry_out_run(worker, slot, action); break;
        }
    }
    return count;
}

static int sample_tiles(void *context, int phase)
{
    const struct worker *worker = context;

    (void)phase;
    return worker->n_rows;
}

static void sample_tile(void *context, int phase, int tile, int thread)
{
    struct worker *worker = context;
    struct sample_row *row = &worker->rows[tile];

    (void)phase;
    row->token = sampler_choose(row->slot->sampler, worker->scratches[thread], row->logits,
                                row->slot->emitted, &row->logprobs);
}

static bool is_stop(const struct request *request, int32_t token)
{
    for (int i = 0; i < request->n_stop_ids; i++)
        if (request->stop_ids[i] == token)
            return true;
    return false;
}

/* Says the token and what follows from it. */
static void take_token(struct worker *worker, const struct sample_row *row, uint64_t now_ns)
{
    struct slot *slot = row->slot;
    const struct request *request = slot->request;
    struct message message = {
        .type = MESSAGE_TOKEN,
        .id = slot->id,
        .u.token = {.at_ns = now_ns, .index = slot->emitted, .token = row->token}};

    if (request->sampling.logprobs >= 0) {
        struct token_logprobs *logprobs = malloc(sizeof *logprobs);

        if (!logprobs) {
            conclude(worker, slot, DONE_FAILED, -ENOMEM);
            return;
        }
        *logprobs = row->logprobs;
        message.u.token.logprobs = logprobs;
    }
    worker_tell_server(worker, &message);
    slot->emitted++;
    slot->next_token = row->token;
    if (is_stop(request, row->token)) {
        conclude(worker, slot, DONE_STOP, 0);
    } else if (slot->emitted >= request->max_tokens) {
        conclude(worker, slot, DONE_LENGTH, 0);
    } else if (worker->config.role == BATCHER_PREFILL) {
        slot->offer.complete = true;
        slot->offer.first_token = row->token;
        offers_update(worker, slot);
    } else {
        slot->stage = STAGE_WRITING;
    }
}

/* Notes what was computed and where the rows to sample from lie. */
static void collect_rows(struct worker *worker, float *logits)
{
    uint64_t prompt_tokens = 0, decode_tokens = 0;

    worker->n_rows = 0;
    for (int i = 0; i < worker->n_runs; i++) {
        const struct batch_run *run = &worker->runs[i];
        struct slot *slot = worker->run_slots[i];

        if (run->start < slot->request->n_tokens)
            prompt_tokens += (uint64_t)run->count;
        else
            decode_tokens++;
        slot->computed += run->count;
        if (run->n_logits == 0)
            continue;
        worker->rows[worker->n_rows].slot = slot;
        worker->rows[worker->n_rows].logits =
            logits + (size_t)worker->n_rows * worker->logits_stride;
        worker->n_rows++;
    }
    atomic_fetch_add(&worker->counters.prefill_tokens, prompt_tokens);
    atomic_fetch_add(&worker->counters.decode_tokens, decode_tokens);
    atomic_fetch_add(&worker->counters.iterations, 1);
}

void iteration_run(struct worker *worker)
{
    static const struct team_program sampling = {
        .n_phases = 1, .tiles = sample_tiles, .tile = sample_tile};

    collect_rows(worker, engine_step(worker->engine, worker->runs, worker->n_runs));
    if (worker->n_rows > 0)
        team_run(worker->team, worker->lane, &sampling, worker);
    worker->now_ns = clock_now_ns();
    for (int i = 0; i < worker->n_rows; i++)
        take_token(worker, &worker->rows[i], worker->now_ns);
    if (worker->config.role != BATCHER_PREFILL)
        return;
    for (int i = 0; i < worker->n_runs; i++)
        if (worker->runs[i].n_logits == 0)
            offers_update(worker, worker->run_slots[i]);
}
