/*
 * An id is (sequence << SLOT_BITS | slot): never reused, and found without a search. A replay is a
 * new id in the same slot, sent only when nobody holds the old one any more, so that a late message
 * of the first life cannot be taken for one of the second.
 *
 * A request ends twice: for its owner as soon as the outcome is known, for the table when every
 * worker that may still read `request` has said its last word.
 */
#include "server/dispatch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BITS 20
#define SLOT_MASK ((1u << SLOT_BITS) - 1)
#define EMITTED_MIN 64
#define EXPIRIES_MAX 3 /* leases a request may lose before it fails: each costs its prompt anew */

static_assert(DISPATCH_LIVE_MAX <= (int)SLOT_MASK, "slots must fit into an id");

/* What a full mailbox has not taken yet, in the order in which it has to go out. */
enum unsent { UNSENT_SUBMIT = 1, UNSENT_CANCEL_PREFILL = 2, UNSENT_CANCEL_DECODE = 4 };

struct dispatch_entry {
    struct request request; /* id 0: the slot is free */
    int32_t *tokens;        /* behind request.tokens */
    int32_t *emitted;
    int n_emitted, emitted_capacity;
    void *block; /* behind request.stop_ids and sampling.bias */
    void *owner; /* NULL: nobody listens */
    uint16_t prefill, decode;
    bool prefill_over, decode_over; /* the worker said its last word */
    bool handed;                    /* decode owns or owned it */
    bool preempted;                 /* to be submitted again */
    int n_expired;                  /* hand-overs whose lease ran out */
    bool started;
    unsigned unsent;
    struct dispatch_entry *next_free;
};

struct worker_load {
    int64_t prefill_tokens; /* submitted and not yet done by prefill */
    int requests;           /* assigned for decoding and not over */
};

struct dispatch {
    const struct worker_port *ports;
    struct worker_load *loads;
    int n_ports, max_live;
    dispatch_listener listener;
    struct dispatch_entry *entries, *free;
    uint64_t next_sequence, next_arrival;
    struct dispatch_counts counts;
    int n_unsent; /* entries with something unsent */
};

int dispatch_create(struct dispatch **ret_dispatch, const struct worker_port *ports, int n_ports,
                    int max_live, dispatch_listener listener)
{
    struct dispatch *dispatch = calloc(1, sizeof *dispatch);

    assert(n_ports > 0 && max_live > 0 && max_live <= DISPATCH_LIVE_MAX);
    if (!dispatch)
        return -ENOMEM;
    dispatch->loads = calloc((size_t)n_ports, sizeof *dispatch->loads);
    dispatch->entries = calloc((size_t)max_live, sizeof *dispatch->entries);
    if (!dispatch->loads || !dispatch->entries) {
        dispatch_destroy(dispatch);
        return -ENOMEM;
    }
    for (int i = max_live - 1; i >= 0; i--) {
        dispatch->entries[i].next_free = dispatch->free;
        dispatch->free = &dispatch->entries[i];
    }
    dispatch->ports = ports;
    dispatch->n_ports = n_ports;
    dispatch->max_live = max_live;
    dispatch->listener = listener;
    dispatch->next_sequence = 1;
    *ret_dispatch = dispatch;
    return 0;
}

static void entry_free_memory(struct dispatch_entry *entry)
{
    free(entry->tokens);
    free(entry->emitted);
    free(entry->block);
}

void dispatch_destroy(struct dispatch *dispatch)
{
    if (!dispatch)
        return;
    for (int i = 0; i < dispatch->max_live; i++)
        entry_free_memory(&dispatch->entries[i]);
    free(dispatch->entries);
    free(dispatch->loads);
    free(dispatch);
}

int dispatch_room(const struct dispatch *dispatch)
{
    return dispatch->max_live - dispatch->counts.live;
}

/* Prefill by outstanding prompt tokens, decode by sequences; the first of equals. A worker of role
 * both is both sides of its own pair. */
static void choose_workers(const struct dispatch *dispatch, struct dispatch_entry *entry)
{
    int prefill = -1, decode = -1;

    for (int i = 0; i < dispatch->n_ports; i++) {
        const struct worker_load *load = &dispatch->loads[i];

        if (dispatch->ports[i].role != CONFIG_DECODE &&
            (prefill < 0 || load->prefill_tokens < dispatch->loads[prefill].prefill_tokens))
            prefill = i;
        if (dispatch->ports[i].role == CONFIG_DECODE &&
            (decode < 0 || load->requests < dispatch->loads[decode].requests))
            decode = i;
    }
    assert(prefill >= 0);
    if (dispatch->ports[prefill].role == CONFIG_BOTH)
        decode = prefill;
    assert(decode >= 0);
    entry->prefill = (uint16_t)prefill;
    entry->decode = (uint16_t)decode;
}

static bool port_post(const struct dispatch *dispatch, int worker, const struct message *message)
{
    return mailbox_post_sparing(dispatch->ports[worker].mailbox, message) == 0;
}

/* Sends as much of entry->unsent as the mailboxes take. */
static void entry_send_unsent(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    struct message message = {.id = entry->request.id};
    unsigned before = entry->unsent;

    if (entry->unsent & UNSENT_SUBMIT) {
        message.type = MESSAGE_SUBMIT;
        message.u.submit.request = &entry->request;
        message.u.submit.decode_worker = entry->decode;
        if (port_post(dispatch, entry->prefill, &message))
            entry->unsent &= ~(unsigned)UNSENT_SUBMIT;
    }
    message.type = MESSAGE_CANCEL;
    memset(&message.u, 0, sizeof message.u);
    if (entry->unsent == (entry->unsent & (UNSENT_CANCEL_PREFILL | UNSENT_CANCEL_DECODE))) {
        if ((entry->unsent & UNSENT_CANCEL_PREFILL) &&
            port_post(dispatch, entry->prefill, &message))
            entry->unsent &= ~(unsigned)UNSENT_CANCEL_PREFILL;
        if (entry->unsent == UNSENT_CANCEL_DECODE && port_post(dispatch, entry->decode, &message))
            entry->unsent = 0;
    }
    dispatch->n_unsent += (entry->unsent != 0) - (before != 0);
}

/* Adds unsent messages and tries to send them. */
static void entry_send(struct dispatch *dispatch, struct dispatch_entry *entry, unsigned what)
{
    dispatch->n_unsent += entry->unsent == 0 && what != 0;
    entry->unsent |= what;
    entry_send_unsent(dispatch, entry);
}

static void entry_submit(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    uint64_t slot = (uint64_t)(entry - dispatch->entries);

    entry->request.id = dispatch->next_sequence++ << SLOT_BITS | slot;
    entry->prefill_over = entry->decode_over = entry->handed = entry->preempted = false;
    choose_workers(dispatch, entry);
    dispatch->loads[entry->prefill].prefill_tokens += entry->request.n_tokens;
    dispatch->loads[entry->decode].requests++;
    entry_send(dispatch, entry, UNSENT_SUBMIT);
}

static int entry_copy_lists(struct dispatch_entry *entry, const struct dispatch_job *job)
{
    size_t bias_bytes = (size_t)job->sampling.n_bias * sizeof(struct logit_bias);
    size_t stop_bytes = (size_t)job->n_stop_ids * sizeof(int32_t);
    char *block = malloc(bias_bytes + stop_bytes + 1);

    if (!block)
        return -ENOMEM;
    if (bias_bytes > 0)
        memcpy(block, job->sampling.bias, bias_bytes);
    if (stop_bytes > 0)
        memcpy(block + bias_bytes, job->stop_ids, stop_bytes);
    entry->block = block;
    entry->request.sampling.bias = (const void *)block;
    entry->request.stop_ids = (const void *)(block + bias_bytes);
    return 0;
}

int dispatch_submit(struct dispatch *dispatch, const struct dispatch_job *job, void *owner,
                    struct dispatch_entry **ret_entry)
{
    struct dispatch_entry *entry = dispatch->free;

    assert(owner && job->n_tokens > 0 && job->max_tokens > 0);
    if (!entry)
        return -EBUSY;
    struct dispatch_entry made = {
        .request = {.arrival = dispatch->next_arrival,
                    .tokens = job->tokens,
                    .n_tokens = job->n_tokens,
                    .n_prompt = job->n_tokens,
                    .max_tokens = job->max_tokens,
                    .min_tokens = job->min_tokens,
                    .n_stop_ids = job->n_stop_ids,
                    .sampling = job->sampling},
        .tokens = job->tokens,
        .owner = owner,
    };
    int rc = entry_copy_lists(&made, job);

    if (rc < 0)
        return rc;
    dispatch->free = entry->next_free;
    *entry = made;
    dispatch->next_arrival++;
    dispatch->counts.live++;
    dispatch->counts.waiting++;
    entry_submit(dispatch, entry);
    *ret_entry = entry;
    return 0;
}

static void mark_started(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    if (!entry->started)
        dispatch->counts.waiting--;
    entry->started = true;
}

static void mark_prefill_over(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    if (!entry->prefill_over)
        dispatch->loads[entry->prefill].prefill_tokens -= entry->request.n_tokens;
    entry->prefill_over = true;
}

/* Tells the owner the outcome; later events are nobody's. */
static void end_for_owner(struct dispatch *dispatch, struct dispatch_entry *entry,
                          enum done_reason reason, int error)
{
    struct dispatch_event event = {.type = DISPATCH_END, .reason = reason, .error = error};
    void *owner = entry->owner;

    entry->owner = NULL;
    if (owner)
        dispatch->listener(owner, &event);
}

static void entry_release(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    mark_started(dispatch, entry);
    dispatch->counts.live--;
    dispatch->n_unsent -= entry->unsent != 0;
    entry_free_memory(entry);
    *entry = (struct dispatch_entry){.next_free = dispatch->free};
    dispatch->free = entry;
}

/* Prompt and emitted tokens as one, for another computation. */
static int join_tokens(struct dispatch_entry *entry)
{
    int n_prompt = entry->request.n_prompt, total = n_prompt + entry->n_emitted;
    int32_t *tokens = realloc(entry->tokens, (size_t)total * sizeof *tokens);

    if (!tokens)
        return -ENOMEM;
    if (entry->n_emitted > 0)
        memcpy(tokens + n_prompt, entry->emitted, (size_t)entry->n_emitted * sizeof *tokens);
    entry->tokens = tokens;
    entry->request.tokens = tokens;
    entry->request.n_tokens = total;
    return 0;
}

/* When no worker holds the request any more: submit it again or forget it. */
static void entry_settle(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    if (!entry->prefill_over || (entry->handed && !entry->decode_over))
        return;
    dispatch->loads[entry->decode].requests--;
    if (entry->owner && entry->preempted) {
        int rc = join_tokens(entry);

        if (rc == 0) {
            dispatch->counts.replays++;
            entry_submit(dispatch, entry);
            return;
        }
        end_for_owner(dispatch, entry, DONE_FAILED, rc);
    }
    entry_release(dispatch, entry);
}

void dispatch_cancel(struct dispatch *dispatch, struct dispatch_entry *entry)
{
    assert(entry->owner);
    entry->owner = NULL;
    if (entry->unsent & UNSENT_SUBMIT) { /* no worker has heard of it */
        mark_prefill_over(dispatch, entry);
        entry_settle(dispatch, entry);
        return;
    }
    unsigned what = entry->prefill_over ? 0 : UNSENT_CANCEL_PREFILL;

    if (entry->decode != entry->prefill && !entry->decode_over)
        what |= UNSENT_CANCEL_DECODE;
    entry_send(dispatch, entry, what);
}

static int keep_token(struct dispatch_entry *entry, int32_t token)
{
    if (entry->n_emitted == entry->emitted_capacity) {
        int capacity = entry->emitted_capacity ? 2 * entry->emitted_capacity : EMITTED_MIN;
        int32_t *emitted = realloc(entry->emitted, (size_t)capacity * sizeof *emitted);

        if (!emitted)
            return -ENOMEM;
        entry->emitted = emitted;
        entry->emitted_capacity = capacity;
    }
    entry->emitted[entry->n_emitted++] = token;
    return 0;
}

static void entry_fail(struct dispatch *dispatch, struct dispatch_entry *entry, int error)
{
    struct dispatch_event event = {.type = DISPATCH_END, .reason = DONE_FAILED, .error = error};
    void *owner = entry->owner;

    dispatch_cancel(dispatch, entry);
    dispatch->listener(owner, &event);
}

static void receive_token(struct dispatch *dispatch, struct dispatch_entry *entry,
                          const struct message *message)
{
    struct dispatch_event event = {
        .type = DISPATCH_TOKEN,
        .at_ns = message->u.token.at_ns,
        .token = message->u.token.token,
        .logprobs = message->u.token.logprobs,
    };

    if (!entry->owner) {
        free(event.logprobs);
        return;
    }
    int rc = keep_token(entry, event.token);

    if (rc == 0 && message->u.token.index == entry->n_emitted - 1) {
        mark_started(dispatch, entry);
        dispatch->listener(entry->owner, &event);
        return;
    }
    dispatch->counts.violations += rc == 0;
    free(event.logprobs);
    entry_fail(dispatch, entry, rc < 0 ? rc : -EPROTO);
}

static void receive_done(struct dispatch *dispatch, struct dispatch_entry *entry,
                         const struct message *message)
{
    enum done_reason reason = message->u.done.reason;

    if (message->worker == entry->prefill) {
        mark_prefill_over(dispatch, entry);
        entry->handed = reason == DONE_HANDED;
    } else {
        entry->decode_over = true;
    }
    if (reason == DONE_EXPIRED && entry->n_expired++ < EXPIRIES_MAX)
        entry->preempted = true;
    else if (reason == DONE_EXPIRED)
        end_for_owner(dispatch, entry, DONE_FAILED, -ETIMEDOUT);
    else if (reason != DONE_HANDED)
        end_for_owner(dispatch, entry, reason, message->u.done.error);
    entry_settle(dispatch, entry);
}

static void receive_preempted(struct dispatch *dispatch, struct dispatch_entry *entry,
                              const struct message *message)
{
    entry->preempted = true;
    if (message->worker == entry->prefill)
        mark_prefill_over(dispatch, entry);
    else
        entry->decode_over = true;
    entry_settle(dispatch, entry);
}

static struct dispatch_entry *entry_find(const struct dispatch *dispatch,
                                         const struct message *message)
{
    uint64_t slot = message->id & SLOT_MASK;

    if (slot >= (uint64_t)dispatch->max_live)
        return NULL;
    struct dispatch_entry *entry = &dispatch->entries[slot];

    if (entry->request.id != message->id || message->id == 0)
        return NULL;
    return message->worker == entry->prefill || message->worker == entry->decode ? entry : NULL;
}

void dispatch_receive(struct dispatch *dispatch, const struct message *message)
{
    struct dispatch_entry *entry = entry_find(dispatch, message);

    if (!entry) {
        dispatch->counts.late++;
        if (message->type == MESSAGE_TOKEN)
            free(message->u.token.logprobs);
        return;
    }
    switch (message->type) {
    case MESSAGE_STARTED:
        if (!entry->started && entry->owner)
            dispatch->listener(entry->owner, &(struct dispatch_event){
                                                 .type = DISPATCH_STARTED,
                                                 .at_ns = message->u.started.at_ns,
                                             });
        mark_started(dispatch, entry);
        break;
    case MESSAGE_TOKEN: receive_token(dispatch, entry, message); break;
    case MESSAGE_PREEMPTED: receive_preempted(dispatch, entry, message); break;
    case MESSAGE_DONE: receive_done(dispatch, entry, message); break;
    default: dispatch->counts.violations++;
    }
}

bool dispatch_flush(struct dispatch *dispatch)
{
    for (int i = 0; i < dispatch->max_live && dispatch->n_unsent > 0; i++)
        if (dispatch->entries[i].unsent)
            entry_send_unsent(dispatch, &dispatch->entries[i]);
    return dispatch->n_unsent > 0;
}

void dispatch_count(const struct dispatch *dispatch, struct dispatch_counts *ret)
{
    *ret = dispatch->counts;
}
