#include "tests/unit/worker_cluster.h"

#include "base/clock.h"
#include "base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_NS 20000000000u /* a hang, not a slow machine */

static int draw_below(uint64_t seed, uint64_t request, uint32_t what, int below)
{
    return (int)(philox_uniform(seed, request, what) * below);
}

static void make_sampling(struct cluster_request *r, uint64_t seed, uint64_t i)
{
    struct sampling_params *p = &r->request.sampling;

    *p = (struct sampling_params){
        .top_p = 1, .repetition_penalty = 1, .seed = i * 77, .logprobs = -1};
    p->temperature = (float)draw_below(seed, i, 20, 4) * 0.5f;
    if (draw_below(seed, i, 21, 2))
        p->top_k = 1 + draw_below(seed, i, 22, 40);
    if (draw_below(seed, i, 23, 2))
        p->top_p = 0.8f;
    if (draw_below(seed, i, 24, 3) == 0) {
        p->repetition_penalty = 1.3f;
        p->frequency_penalty = 0.2f;
    }
    if (draw_below(seed, i, 25, 4) == 0)
        p->logprobs = draw_below(seed, i, 26, 6);
    if (draw_below(seed, i, 27, 4) == 0) {
        r->bias[0] = (struct logit_bias){5, 3.0f};
        r->bias[1] = (struct logit_bias){6, -100.0f};
        p->bias = r->bias;
        p->n_bias = 2;
    }
}

static void make_request(struct cluster_request *r, const struct cluster_config *config,
                         uint64_t seed, uint64_t i)
{
    /* Short and long prompts, some that end at a page's border, answers of one token too. */
    int n_prompt = 1 + draw_below(seed, i, 10, 140);
    const int max_tokens = draw_below(seed, i, 11, 8) == 0 ? 1 : 1 + draw_below(seed, i, 12, 60);

    if (draw_below(seed, i, 13, 4) == 0)
        n_prompt = (n_prompt + PAGE_TOKENS - 1) / PAGE_TOKENS * PAGE_TOKENS;
    for (int t = 0; t < n_prompt; t++)
        r->tokens[t] = draw_below(seed, i, (uint32_t)(100 + t), config->n_vocab);
    r->request = (struct request){.id = 1000 + i,
                                  .arrival = i,
                                  .tokens = r->tokens,
                                  .n_tokens = n_prompt,
                                  .n_prompt = n_prompt,
                                  .max_tokens = max_tokens};
    make_sampling(r, seed, i);
    if (draw_below(seed, i, 14, 2)) {
        r->stop_ids[0] = 1;
        r->stop_ids[1] = 40;
        r->request.stop_ids = r->stop_ids;
        r->request.n_stop_ids = 2;
        r->request.min_tokens = draw_below(seed, i, 15, 6);
    }
    r->n_expected = config->text ? config->text(&r->request, r->expected) : -1;
}

static enum batcher_role role_of(char letter)
{
    return letter == 'p' ? BATCHER_PREFILL : letter == 'd' ? BATCHER_DECODE : BATCHER_BOTH;
}

/* An exchange needs one arena for all; otherwise each worker gets one of its own. */
static void open_workers(struct cluster *c)
{
    const struct cluster_config *config = &c->config;
    const struct kv_layout layout = engine_kv_layout(config->engine);
    const bool shared = !config->transport->overlaps;

    for (int w = 0; w < c->n_workers; w++) {
        const struct worker_config worker = {.index = (uint16_t)w,
                                             .role = role_of(config->roles[w]),
                                             .slots = config->slots,
                                             .max_running = config->max_running,
                                             .token_budget = config->token_budget,
                                             .max_tokens = CLUSTER_LENGTH_MAX,
                                             .n_vocab = config->n_vocab,
                                             .lease_ms = config->lease_ms};
        struct page_pool *pool;
        struct err err;

        if (!shared || w == 0)
            assert_int_equal(kv_arena_open(&c->arenas[w], kv_page_bytes(&layout),
                                           config->pages * (shared ? c->n_workers : 1), &err),
                             0);
        assert_int_equal(page_pool_create(&pool, &c->arenas[shared ? 0 : w],
                                          shared ? w * config->pages : 0, config->pages),
                         0);
        if (worker_create(&c->workers[w], &worker, config->engine, c->team, pool, config->transport,
                          c->outbox, &err) < 0)
            fail_msg("%s", err.text);
    }
    for (int w = 0; w < c->n_workers; w++)
        assert_int_equal(worker_start(c->workers[w], c->workers, c->n_workers, NULL), 0);
}

void cluster_open(struct cluster *c, const struct cluster_config *config, int n, uint64_t seed)
{
    struct err err;

    *c = (struct cluster){
        .config = *config, .n_workers = (int)strlen(config->roles), .n_requests = n};
    c->requests = calloc((size_t)n, sizeof *c->requests);
    assert_non_null(c->requests);
    for (int i = 0; i < n; i++)
        make_request(&c->requests[i], config, seed, (uint64_t)i);
    if (team_create(&c->team, 2, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(mailbox_create(&c->outbox, (size_t)config->outbox, sizeof(struct message)), 0);
    open_workers(c);
}

void cluster_expect(struct cluster *c, const int32_t (*texts)[CLUSTER_LENGTH_MAX],
                    const int *lengths)
{
    for (int i = 0; i < c->n_requests; i++) {
        memcpy(c->requests[i].expected, texts[i], sizeof texts[i]);
        c->requests[i].n_expected = lengths[i];
    }
}

/* Number `nth` of the workers that can do it, going round. */
static uint16_t pick_worker(const struct cluster *c, const char *letters, uint64_t nth)
{
    uint16_t able[CLUSTER_WORKERS_MAX];
    uint64_t n = 0;

    for (int w = 0; w < c->n_workers; w++)
        if (strchr(letters, c->config.roles[w]))
            able[n++] = (uint16_t)w;
    assert_true(n > 0);
    return able[nth % n];
}

void cluster_submit(struct cluster *c, int i)
{
    struct cluster_request *r = &c->requests[i];
    const bool apart = strchr(c->config.roles, 'p') != NULL;

    r->prefill_worker =
        pick_worker(c, apart ? "p" : "b", (uint64_t)(i + r->preempted + r->expired));
    r->decode_worker = apart ? pick_worker(c, "db", (uint64_t)(i / 2)) : r->prefill_worker;
    struct message submit = {
        .type = MESSAGE_SUBMIT,
        .id = r->request.id,
        .u.submit = {.request = &r->request, .decode_worker = r->decode_worker}};

    if (!r->live) {
        r->live = true;
        c->n_live++;
    }
    r->prefill_done = r->handed = r->decode_done = false;
    assert_int_equal(mailbox_post(worker_mailbox(c->workers[r->prefill_worker]), &submit), 0);
}

void cluster_cancel(struct cluster *c, int i)
{
    struct cluster_request *r = &c->requests[i];
    struct message cancel = {.type = MESSAGE_CANCEL, .id = r->request.id};

    if (!r->live || r->cancelled)
        return;
    r->cancelled = true;
    assert_int_equal(mailbox_post(worker_mailbox(c->workers[r->prefill_worker]), &cancel), 0);
    if (r->decode_worker != r->prefill_worker)
        assert_int_equal(mailbox_post(worker_mailbox(c->workers[r->decode_worker]), &cancel), 0);
}

static void end_request(struct cluster *c, struct cluster_request *r)
{
    r->over = true;
    r->live = false;
    c->n_live--;
    if (r->reason == DONE_STOP || r->reason == DONE_LENGTH) {
        if (r->n_expected < 0)
            r->n_expected = r->emitted;
        assert_int_equal(r->emitted, r->n_expected);
    }
    if (r->reason == DONE_CANCELLED)
        assert_true(r->cancelled);
}

/* Under an id of its own, as the server does. */
static void submit_again(struct cluster *c, struct cluster_request *r)
{
    if (r->cancelled) {
        r->reason = DONE_CANCELLED;
        end_request(c, r);
        return;
    }
    r->request.id += (uint64_t)c->n_requests;
    r->request.n_tokens = r->request.n_prompt + r->emitted;
    cluster_submit(c, (int)(r - c->requests));
}

static void check_done(struct cluster *c, struct cluster_request *r, const struct message *message)
{
    if (message->u.done.reason == DONE_EXPIRED) {
        assert_true(message->worker == r->prefill_worker && !r->prefill_done);
        r->expired++;
        submit_again(c, r);
        return;
    }
    if (message->worker == r->prefill_worker && !r->prefill_done) {
        r->prefill_done = true;
        r->handed = message->u.done.reason == DONE_HANDED;
    } else {
        assert_int_equal(message->worker, r->decode_worker);
        assert_false(r->decode_done); /* one DONE per owner */
        assert_int_not_equal(message->u.done.reason, DONE_HANDED);
        r->decode_done = true;
    }
    if (message->u.done.reason != DONE_HANDED) {
        r->reason = message->u.done.reason;
        r->error = message->u.done.error;
    }
    if (r->prefill_done && r->handed == r->decode_done)
        end_request(c, r);
    else
        assert_true(r->handed || !r->prefill_done);
}

static void check_preempted(struct cluster *c, struct cluster_request *r,
                            const struct message *message)
{
    assert_int_equal(message->worker, r->decode_worker);
    assert_false(r->decode_done);
    if (r->decode_worker != r->prefill_worker)
        assert_true(r->prefill_done && r->handed); /* PREEMPTED comes after DONE_HANDED */
    r->preempted++;
    submit_again(c, r);
}

static void check_token(struct cluster_request *r, const struct message *message)
{
    const int index = message->u.token.index;

    assert_int_equal(index, r->emitted);
    if (r->n_expected < 0)
        r->expected[index] = message->u.token.token;
    else
        assert_true(index < r->n_expected);
    if (message->u.token.token != r->expected[index])
        fail_msg("request %d: token %d is %d instead of %d", (int)r->request.id, index,
                 message->u.token.token, r->expected[index]);
    assert_int_equal(message->u.token.logprobs != NULL, r->request.sampling.logprobs >= 0);
    if (message->u.token.logprobs)
        assert_int_equal(message->u.token.logprobs->n_top, r->request.sampling.logprobs);
    free(message->u.token.logprobs);
    r->tokens[r->request.n_prompt + r->emitted++] = message->u.token.token;
}

static void take_message(struct cluster *c, const struct message *message)
{
    struct cluster_request *r = &c->requests[(message->id - 1000) % (uint64_t)c->n_requests];

    c->messages++;
    assert_true(r->live && r->request.id == message->id && message->worker < c->n_workers);
    switch (message->type) {
    case MESSAGE_STARTED: r->started++; break;
    case MESSAGE_TOKEN: check_token(r, message); break;
    case MESSAGE_DONE: check_done(c, r, message); break;
    case MESSAGE_PREEMPTED: check_preempted(c, r, message); break;
    default: fail_msg("message %d is none for the server", message->type);
    }
}

void cluster_take(struct cluster *c)
{
    struct message message;

    if (!mailbox_take(c->outbox, &message)) {
        if (!mailbox_wait(c->outbox, PATIENCE_NS))
            fail_msg("nothing happens any more, %d requests are not over", c->n_live);
        assert_true(mailbox_take(c->outbox, &message));
    }
    take_message(c, &message);
}

static void take_all(void *context)
{
    struct message message;
    struct cluster *c = context;

    while (mailbox_take(c->outbox, &message))
        take_message(c, &message);
}

void cluster_close(struct cluster *c)
{
    assert_int_equal(
        workers_stop(c->workers, c->n_workers, clock_now_ns() + PATIENCE_NS, take_all, c), 0);
    assert_int_equal(c->n_live, 0);
    for (int w = 0; w < c->n_workers; w++) {
        const struct worker_counters *counters = worker_counters(c->workers[w]);

        assert_int_equal(atomic_load(&counters->running) + atomic_load(&counters->waiting), 0);
        assert_int_equal(atomic_load(&counters->pages_used), 0);
        worker_destroy(c->workers[w]);
    }
    for (int w = 0; w < c->n_workers; w++)
        if (c->arenas[w].base)
            kv_arena_close(&c->arenas[w]);
    mailbox_destroy(c->outbox);
    team_destroy(c->team);
    free(c->requests);
}

void cluster_finish(struct cluster *c)
{
    while (c->n_live > 0)
        cluster_take(c);
}

void cluster_check_text(const struct cluster_request *r)
{
    assert_true(r->over);
    if (r->reason != DONE_STOP && r->reason != DONE_LENGTH)
        fail_msg("request %d ended by reason %d, error %d", (int)r->request.id, r->reason,
                 r->error);
    assert_int_equal(r->emitted, r->n_expected);
}
