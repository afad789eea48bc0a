/*
 * Creation and end of a worker, its thread, and its mail.
 *
 * A turn of the loop: read the mail, look after leases and pulls, let the batcher decide, compute.
 * When a turn brought nothing about, the thread sleeps until mail comes or the nearest lease or
 * pull wants it: an idle worker uses no processor time. The thread does not compute; it sleeps in
 * team_run while the team does.
 */
#include "worker/worker.h"

#include "base/clock.h"
#include "worker/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A slot may linger until RELEASE although its request is over for the server: at most one per
 * prefill worker, since that says DONE and RELEASE one after the other. */
#define SPARE_SLOTS TEAM_LANES_MAX
#define SERVER_RETRY_NS 100000 /* between attempts to post to a full mailbox */
#define STOP_POLL_NS 1000000   /* between looks at workers that are to end */

void worker_add_event(struct worker *worker, struct slot *slot, enum batcher_event_type type)
{
    assert(worker->n_events < worker->max_events);
    worker->events[worker->n_events++] =
        (struct batcher_event){.type = type,
                               .slot = slot_number(&worker->table, slot),
                               .arrival = slot->request->arrival,
                               .tokens = slot->request->n_tokens};
}

static void post_patiently(struct worker *worker, struct mailbox *box, struct message *message)
{
    const struct timespec pause = {.tv_nsec = SERVER_RETRY_NS};

    message->worker = worker->config.index;
    message->incarnation = worker->incarnation;
    while (mailbox_post(box, message) < 0)
        nanosleep(&pause, NULL);
}

void worker_tell_server(struct worker *worker, struct message *message)
{
    post_patiently(worker, worker->outbox, message);
}

void worker_tell_peer(struct worker *worker, const struct slot *slot, struct message *message)
{
    message->worker = worker->config.index;
    message->incarnation = worker->incarnation;
    struct mailbox *inbox = worker->peers[slot->peer]->inbox;

    /* To a peer that is long in one iteration renewals pile up: some may be lost, one does. */
    if (message->type == MESSAGE_RENEW) {
        (void)mailbox_post_sparing(inbox, message);
        return;
    }
    const int rc = mailbox_post(inbox, message);

    assert(rc == 0); /* sized for all that can be under way */
    (void)rc;
}

static void take_submit(struct worker *worker, const struct message *message)
{
    const struct request *request = message->u.submit.request;
    const uint16_t decode_worker = message->u.submit.decode_worker;
    const bool keep = worker->config.role == BATCHER_BOTH;
    struct slot *slot;

    assert(worker->config.role & BATCHER_PREFILL);
    assert(keep ? decode_worker == worker->config.index
                : decode_worker < worker->n_peers && worker->peers[decode_worker] &&
                      worker->peers[decode_worker]->config.role & BATCHER_DECODE);
    assert(request->n_prompt > 0 && request->n_tokens >= request->n_prompt);
    assert(request->n_tokens < request->n_prompt + request->max_tokens);
    assert(request->max_tokens <= worker->config.max_tokens - request->n_prompt);
    const int positions = keep ? request->n_prompt + request->max_tokens : request->n_tokens;
    const int rc = slot_open(&worker->table, request, kv_pages_for(positions),
                             worker->config.n_vocab, false, &slot);

    if (rc < 0) {
        struct message done = {.type = MESSAGE_DONE,
                               .id = message->id,
                               .u.done = {.reason = DONE_FAILED, .error = rc}};

        worker_tell_server(worker, &done);
        return;
    }
    slot->stage = STAGE_PROMPT;
    slot->peer = decode_worker;
    worker_add_event(worker, slot, BATCHER_ARRIVE);
}

static void take_cancel(struct worker *worker, struct slot *slot)
{
    switch (slot->stage) {
    case STAGE_PROMPT:
    case STAGE_WRITING: iteration_end(worker, slot, DONE_CANCELLED, 0); break;
    case STAGE_OFFERED: offers_abort(worker, slot, DONE_CANCELLED, 0); break;
    case STAGE_IMPORT: imports_give_up(worker, slot, 0); break;
    case STAGE_ABORTING:
    case STAGE_ENDING:
    case STAGE_LINGERING: break; /* ends anyway */
    case STAGE_EMPTY: assert(!"found by id"); break;
    }
}

static bool from_living_peer(const struct worker *worker, const struct message *message)
{
    return message->worker < worker->n_peers && worker->peers[message->worker] &&
           worker->peers[message->worker]->incarnation == message->incarnation;
}

/* Mail of a peer about a request we know. False when it comes too late to mean anything. */
static bool take_peer_mail(struct worker *worker, struct slot *slot, const struct message *message)
{
    const bool offering = slot->stage == STAGE_OFFERED || slot->stage == STAGE_ABORTING;

    switch (message->type) {
    case MESSAGE_ABORT: imports_take_abort(worker, slot, message); return true;
    case MESSAGE_RELEASE: imports_take_release(worker, slot); return true;
    case MESSAGE_GRANT:
        if (offering)
            offers_take_grant(worker, slot);
        return offering;
    case MESSAGE_ACK:
        if (offering)
            offers_take_ack(worker, slot, message);
        return offering;
    case MESSAGE_RENEW:
        if (offering)
            offers_renew(worker, slot);
        return offering;
    default: assert(!"not a message of peers"); return false;
    }
}

static void take_mail(struct worker *worker, const struct message *message)
{
    struct slot *slot;
    bool known;

    switch (message->type) {
    case MESSAGE_SUBMIT: take_submit(worker, message); return;
    case MESSAGE_DRAIN: worker->draining = true; return;
    case MESSAGE_CANCEL:
        slot = slot_find(&worker->table, message->id);
        known = slot != NULL;
        if (known)
            take_cancel(worker, slot);
        break;
    case MESSAGE_OFFER:
        known = from_living_peer(worker, message);
        if (known)
            imports_take_offer(worker, message);
        break;
    default:
        slot = slot_find(&worker->table, message->id);
        known = slot && from_living_peer(worker, message) && take_peer_mail(worker, slot, message);
        break;
    }
    if (!known)
        atomic_fetch_add(&worker->counters.late_messages, 1);
}

static void publish_load(struct worker *worker)
{
    struct worker_counters *counters = &worker->counters;
    struct batcher_load load;
    int offered = 0;

    batcher_load(worker->batcher, &load);
    for (int i = 0; i < worker->table.count; i++)
        offered += worker->table.slots[i].stage == STAGE_OFFERED ||
                   worker->table.slots[i].stage == STAGE_ABORTING;
    atomic_store(&counters->waiting, load.waiting);
    atomic_store(&counters->running, load.running);
    atomic_store(&counters->importing, load.importing);
    atomic_store(&counters->offered, offered);
    atomic_store(&counters->pages_used, load.pages_used);
    atomic_store(&counters->progress_ns, worker->now_ns);
}

/* Without requests every page is free, here and in the batcher's count. Each time the worker goes
 * to sleep with nothing to do, so that a leak stops the process where it was made. */
static void check_balance(const struct worker *worker)
{
    struct batcher_load load;

    batcher_load(worker->batcher, &load);
    page_pool_check(worker->pool);
    assert(load.pages_used == 0 && load.waiting + load.running == 0);
    assert(page_pool_free_count(worker->pool) == worker->counters.pages_total);
    assert(page_pool_total(worker->pool) == worker->counters.pages_total);
}

/* False when the worker is drained. */
static bool turn(struct worker *worker)
{
    uint64_t deadline_ns = UINT64_MAX;
    struct message message;

    worker->now_ns = clock_now_ns();
    while (mailbox_take(worker->inbox, &message))
        take_mail(worker, &message);
    offers_expire(worker, &deadline_ns);
    imports_poll(worker, &deadline_ns);
    const int actions = iteration_plan(worker);

    publish_load(worker);
    if (worker->n_runs > 0)
        iteration_run(worker);
    if (actions > 0 || worker->n_events > 0)
        return true;
    if (slots_used(&worker->table) == 0) {
        check_balance(worker);
        if (worker->draining)
            return false;
    }
    const uint64_t now_ns = clock_now_ns();

    if (deadline_ns == UINT64_MAX)
        mailbox_wait(worker->inbox, UINT64_MAX);
    else if (deadline_ns > now_ns)
        mailbox_wait(worker->inbox, deadline_ns - now_ns);
    return true;
}

static void *worker_main(void *context)
{
    struct worker *worker = context;

    while (turn(worker))
        ;
    atomic_store(&worker->ended, true);
    return NULL;
}

static int create_scratches(struct worker *worker, int threads)
{
    worker->scratches = calloc((size_t)threads, sizeof *worker->scratches);
    if (!worker->scratches)
        return -ENOMEM;
    for (int i = 0; i < threads; i++)
        if (sampler_scratch_create(&worker->scratches[i], worker->config.n_vocab) < 0)
            return -ENOMEM;
    return 0;
}

static int create_batcher(struct worker *worker, struct err *err)
{
    const struct batcher_config config = {.role = worker->config.role,
                                          .slots = worker->config.slots + SPARE_SLOTS,
                                          .max_running = worker->config.max_running,
                                          .token_budget = worker->config.token_budget,
                                          .pages = page_pool_total(worker->pool),
                                          .page_tokens = PAGE_TOKENS};
    void *memory = malloc(batcher_bytes(&config));

    if (!memory)
        return err_set(err, ENOMEM, "out of memory for %d requests", worker->config.slots);
    if (batcher_init(&worker->batcher, memory, &config) < 0) {
        free(memory);
        return err_set(err, EINVAL,
                       "worker %d: max_running %d must be 1 to %d and token_budget %d at least 1",
                       worker->config.index, worker->config.max_running, config.slots,
                       worker->config.token_budget);
    }
    return 0;
}

static int create_arrays(struct worker *worker, struct err *err)
{
    const size_t running = (size_t)worker->config.max_running;
    const int slots = worker->config.slots + SPARE_SLOTS;

    worker->max_events = EVENTS_PER_SLOT * slots;
    worker->max_actions = 2 * slots + worker->config.max_running;
    worker->events = calloc((size_t)worker->max_events, sizeof *worker->events);
    worker->actions = calloc((size_t)worker->max_actions, sizeof *worker->actions);
    worker->runs = calloc(running, sizeof *worker->runs);
    worker->run_slots = calloc(running, sizeof(struct slot *));
    worker->rows = calloc(running, sizeof *worker->rows);
    if (!worker->events || !worker->actions || !worker->runs || !worker->run_slots ||
        !worker->rows || slot_table_create(&worker->table, slots) < 0 ||
        create_scratches(worker, team_threads(worker->team)) < 0)
        return err_set(err, ENOMEM, "out of memory for %d requests", worker->config.slots);
    return 0;
}

static int create_engine(struct worker *worker, const struct engine *engine, struct err *err)
{
    const struct worker_config *config = &worker->config;
    const struct kv_arena *arena = page_pool_arena(worker->pool);
    const struct kv_layout layout = engine_kv_layout(engine);
    const int rows =
        config->token_budget > config->max_running ? config->token_budget : config->max_running;

    if (arena->page_bytes != kv_page_bytes(&layout))
        return err_set(err, EINVAL, "KV pages are %zu bytes where the model needs %zu",
                       arena->page_bytes, kv_page_bytes(&layout));
    worker->logits_stride = engine_logits_stride(engine);
    if (config->n_vocab < 1 || (size_t)config->n_vocab > worker->logits_stride)
        return err_set(err, EINVAL, "a vocabulary of %d does not fit the engine's rows of %zu",
                       config->n_vocab, worker->logits_stride);
    worker->lane =
        team_add_lane(worker->team, config->role == BATCHER_PREFILL ? TEAM_PREFILL : TEAM_DECODE);
    if (worker->lane < 0)
        return err_set(err, -worker->lane, "more than %d workers", TEAM_LANES_MAX);
    return engine_context_create(&worker->engine, engine, worker->team, worker->lane, arena, rows,
                                 config->max_running, config->max_running, err);
}

int worker_create(struct worker **ret_worker, const struct worker_config *config,
                  const struct engine *engine, struct team *team, struct page_pool *pool,
                  const struct kv_transport *transport, struct mailbox *outbox, struct err *err)
{
    static _Atomic uint32_t incarnations;
    struct worker *worker = calloc(1, sizeof *worker);
    int rc;

    if (!worker) {
        page_pool_destroy(pool);
        return err_set(err, ENOMEM, "out of memory for a worker");
    }
    worker->config = *config;
    worker->incarnation = atomic_fetch_add(&incarnations, 1) + 1;
    worker->team = team;
    worker->pool = pool;
    worker->transport = transport;
    worker->outbox = outbox;
    if (config->slots < 1 || config->slots > INT32_MAX / WORKER_MESSAGES_PER_REQUEST / 4) {
        rc = err_set(err, EINVAL, "worker %d: %d slots are out of range", config->index,
                     config->slots);
        goto destroy;
    }
    const size_t capacity =
        ((size_t)config->slots + SPARE_SLOTS) * (size_t)WORKER_MESSAGES_PER_REQUEST;

    rc = mailbox_create(&worker->inbox, capacity, sizeof(struct message));
    if (rc < 0) {
        err_set(err, -rc, "cannot make a mailbox: %s", strerror(-rc));
        goto destroy;
    }
    rc = create_batcher(worker, err);
    if (rc < 0)
        goto destroy;
    rc = create_arrays(worker, err);
    if (rc < 0)
        goto destroy;
    rc = create_engine(worker, engine, err);
    if (rc < 0)
        goto destroy;
    atomic_store(&worker->counters.pages_total, page_pool_total(pool));
    *ret_worker = worker;
    return 0;
destroy:
    worker_destroy(worker);
    return rc;
}

struct mailbox *worker_mailbox(struct worker *worker)
{
    return worker->inbox;
}

const struct worker_counters *worker_counters(const struct worker *worker)
{
    return &worker->counters;
}

int worker_start(struct worker *worker, struct worker *const *peers, int n_peers, struct err *err)
{
    char name[16];

    worker->peers = peers;
    worker->n_peers = n_peers;
    const int error = pthread_create(&worker->thread, NULL, worker_main, worker);

    if (error)
        return err_set(err, error, "cannot start worker %d: %s", worker->config.index,
                       strerror(error));
    snprintf(name, sizeof name, "worker-%d", worker->config.index);
    pthread_setname_np(worker->thread, name);
    return 0;
}

bool worker_ended(const struct worker *worker)
{
    return atomic_load(&worker->ended);
}

/* Asks the worker to end, or finds that it has. True when it is joined. */
static bool try_stop(struct worker *worker)
{
    struct message drain = {.type = MESSAGE_DRAIN};

    if (!worker->told_to_drain)
        worker->told_to_drain = mailbox_post(worker->inbox, &drain) == 0;
    if (!worker->joined && worker_ended(worker)) {
        pthread_join(worker->thread, NULL);
        worker->joined = true;
    }
    return worker->joined;
}

/* Of the workers that hand over, or of the others; how many still run. */
static int try_stop_all(struct worker *const *workers, int count, bool hand_over)
{
    int running = 0;

    for (int i = 0; i < count; i++)
        if ((workers[i]->config.role == BATCHER_PREFILL) == hand_over)
            running += !try_stop(workers[i]);
    return running;
}

int workers_stop(struct worker *const *workers, int count, uint64_t deadline_ns,
                 void (*read_mail)(void *context), void *context)
{
    const struct timespec pause = {.tv_nsec = STOP_POLL_NS};

    for (;;) {
        /* One that waits for the answer to an ABORT ends only while its peer still lives. */
        const bool ended =
            try_stop_all(workers, count, true) == 0 && try_stop_all(workers, count, false) == 0;

        read_mail(context);
        if (ended)
            return 0;
        if (clock_now_ns() >= deadline_ns)
            break;
        nanosleep(&pause, NULL);
    }
    int running = 0;

    for (int i = 0; i < count; i++)
        running += !workers[i]->joined;
    return running;
}

void worker_destroy(struct worker *worker)
{
    if (!worker)
        return;
    for (int i = 0; worker->scratches && i < team_threads(worker->team); i++)
        sampler_scratch_destroy(worker->scratches[i]);
    free(worker->scratches);
    engine_context_destroy(worker->engine);
    slot_table_destroy(&worker->table);
    free(worker->rows);
    free(worker->run_slots);
    free(worker->runs);
    free(worker->actions);
    free(worker->events);
    free(worker->batcher);          /* the block batcher_init was given */
    mailbox_destroy(worker->inbox); /* NULL when it came to none */
    page_pool_destroy(worker->pool);
    free(worker);
}
