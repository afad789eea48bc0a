/*
 * The hand-over, one side at a time: the test plays the peer and the server by hand, so that races
 * come in exactly the order that is meant. The peer is a worker that is never started: its mailbox
 * and its pool are the test's.
 */
#include "base/clock.h"
#include "tests/unit/worker_engine_double.h"
#include "worker/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES 40
#define DECODE_PAGES 8 /* a whole answer fits, or two prompts and little more */
#define PROMPT 40      /* tokens: two full pages and a part of the third */
#define SECOND_NS 1000000000u

enum { PREFILL, DECODE };

struct stage {
    struct team *team;
    struct kv_arena arena;
    struct mailbox *server;
    struct worker *workers[2];
    int started; /* PREFILL or DECODE */
    int32_t tokens[PROMPT];
    struct request requests[2];
    int32_t pages[2][3];
    int at; /* the request that is spoken of */
};

static void open_worker(struct stage *s, int which, const struct kv_transport *transport)
{
    const struct worker_config config = {.index = (uint16_t)which,
                                         .role =
                                             which == PREFILL ? BATCHER_PREFILL : BATCHER_DECODE,
                                         .slots = 4,
                                         .max_running = 4,
                                         .token_budget = 16,
                                         .max_tokens = 256,
                                         .n_vocab = DOUBLE_VOCAB,
                                         .lease_ms = 300};
    struct page_pool *pool;

    assert_int_equal(
        page_pool_create(&pool, &s->arena, which * PAGES, which == DECODE ? DECODE_PAGES : PAGES),
        0);
    assert_int_equal(worker_create(&s->workers[which], &config, engine_double, s->team, pool,
                                   transport, s->server, NULL),
                     0);
}

static void open_stage(struct stage *s, int started, const struct kv_transport *transport)
{
    const struct kv_layout layout = engine_kv_layout(engine_double);

    *s = (struct stage){.started = started};
    assert_int_equal(team_create(&s->team, 1, NULL), 0);
    assert_int_equal(kv_arena_open(&s->arena, kv_page_bytes(&layout), 2 * PAGES, NULL), 0);
    assert_int_equal(mailbox_create(&s->server, 256, sizeof(struct message)), 0);
    open_worker(s, PREFILL, transport);
    open_worker(s, DECODE, transport);
    for (int i = 0; i < PROMPT; i++)
        s->tokens[i] = i;
    for (int i = 0; i < 2; i++)
        s->requests[i] =
            (struct request){.id = 77 + (uint64_t)i,
                             .arrival = (uint64_t)i,
                             .tokens = s->tokens,
                             .n_tokens = PROMPT,
                             .n_prompt = PROMPT,
                             .max_tokens = 80,
                             .sampling = {.top_p = 1, .repetition_penalty = 1, .logprobs = -1}};
    assert_int_equal(worker_start(s->workers[started], s->workers, 2, NULL), 0);
}

/* What the server was told is looked at in the tests. */
static void leave_mail(void *context)
{
    (void)context;
}

static void close_stage(struct stage *s)
{
    assert_int_equal(workers_stop(&s->workers[s->started], 1, clock_now_ns() + 20ull * SECOND_NS,
                                  leave_mail, NULL),
                     0);
    worker_destroy(s->workers[PREFILL]);
    worker_destroy(s->workers[DECODE]);
    kv_arena_close(&s->arena);
    mailbox_destroy(s->server);
    team_destroy(s->team);
}

/* As the other worker, or as the server. */
static void say(struct stage *s, struct message message)
{
    message.worker = (uint16_t)!s->started;
    message.incarnation = s->workers[!s->started]->incarnation;
    message.id = s->requests[s->at].id;
    assert_int_equal(mailbox_post(s->workers[s->started]->inbox, &message), 0);
}

static struct message hear(struct mailbox *box, enum message_type type)
{
    struct message message;

    for (;;) {
        if (!mailbox_take(box, &message)) {
            assert_true(mailbox_wait(box, 20ull * SECOND_NS));
            continue;
        }
        if (message.type == type)
            return message;
        /* The beat of these two is not part of the script. */
        assert_true(message.type == MESSAGE_TOKEN || message.type == MESSAGE_RENEW);
    }
}

static void offer_pages(struct stage *s, int n_filled, bool final)
{
    say(s, (struct message){.type = MESSAGE_OFFER,
                            .u.offer = {.request = &s->requests[s->at],
                                        .pages = s->pages[s->at],
                                        .n_filled = n_filled,
                                        .final = final,
                                        .first_token = 5,
                                        .lease_ms = 300}});
}

/* Decode takes the prompt over; what prefill would do on the final ACK is left to release_pages. */
static struct message hand_over(struct stage *s)
{
    offer_pages(s, 3, true);
    hear(s->workers[PREFILL]->inbox, MESSAGE_GRANT);
    const struct message ack = hear(s->workers[PREFILL]->inbox, MESSAGE_ACK);

    assert_true(ack.u.ack.final && !ack.u.ack.aborted && ack.u.ack.n_pages == 3);
    return ack;
}

static void release_pages(struct stage *s, const int32_t *returned)
{
    s->workers[PREFILL]->transport->release(s->workers[PREFILL]->pool, s->pages[s->at], returned,
                                            3);
    say(s, (struct message){.type = MESSAGE_RELEASE});
}

static void take_pages(struct stage *s)
{
    assert_int_equal(page_pool_alloc(s->workers[PREFILL]->pool, 3, s->pages[s->at]), 0);
    for (int i = 0; i < 3; i++)
        memset(kv_arena_page(&s->arena, s->pages[s->at][i]), i, s->arena.page_bytes);
}

/* Fault: the CANCEL that came before the OFFER was dropped, and the ABORT that came after the final
 * ACK is dropped too: nobody ever cancels. */
static void cancel_around_the_hand_over(void **state)
{
    struct stage s;

    (void)state;
    open_stage(&s, DECODE, &kv_transport_exchange);
    take_pages(&s);
    say(&s, (struct message){.type = MESSAGE_CANCEL});
    atomic_store(&engine_double_slow_lane, DECODE); /* not done before the ABORT is there */
    const struct message ack = hand_over(&s);

    say(&s, (struct message){.type = MESSAGE_ABORT, .u.abort = {.cancelled = true}});
    atomic_store(&engine_double_slow_lane, -1);
    const struct message done = hear(s.server, MESSAGE_DONE);

    assert_int_equal(done.u.done.reason, DONE_CANCELLED);
    release_pages(&s, ack.u.ack.returned);
    close_stage(&s);
}

/* Fault: an ABORT for another reason that crosses the final ACK ends what decode owns. */
static void abort_after_the_hand_over(void **state)
{
    struct stage s;

    (void)state;
    open_stage(&s, DECODE, &kv_transport_exchange);
    take_pages(&s);
    const struct message ack = hand_over(&s);

    say(&s, (struct message){.type = MESSAGE_ABORT});
    release_pages(&s, ack.u.ack.returned);
    const struct message done = hear(s.server, MESSAGE_DONE);

    assert_int_equal(done.u.done.reason, DONE_LENGTH);
    close_stage(&s);
}

/* Fault: an ABORT during a transfer is not answered, or the server is told twice. */
static void abort_in_transfer(void **state)
{
    struct stage s;

    (void)state;
    open_stage(&s, DECODE, &kv_transport_copy);
    take_pages(&s);
    offer_pages(&s, 1, false);
    hear(s.workers[PREFILL]->inbox, MESSAGE_GRANT);
    offer_pages(&s, 2, false);
    struct message ack = hear(s.workers[PREFILL]->inbox, MESSAGE_ACK);

    assert_true(!ack.u.ack.final && !ack.u.ack.aborted && ack.u.ack.n_pages == 2);
    say(&s, (struct message){.type = MESSAGE_ABORT});
    ack = hear(s.workers[PREFILL]->inbox, MESSAGE_ACK);
    assert_true(ack.u.ack.aborted && ack.u.ack.error == 0);
    release_pages(&s, NULL);
    close_stage(&s);
    /* close_stage would have found the slot or its pages; the server heard nothing. */
}

/* Digest of the tokens of the request that is spoken of, up to its DONE. */
static uint64_t hear_text(struct stage *s)
{
    uint64_t digest = 0;
    struct message message;

    for (;;) {
        if (!mailbox_take(s->server, &message)) {
            assert_true(mailbox_wait(s->server, 20ull * SECOND_NS));
            continue;
        }
        assert_true(message.id == s->requests[s->at].id);
        if (message.type == MESSAGE_DONE)
            return digest;
        assert_int_equal(message.type, MESSAGE_TOKEN);
        digest = (digest ^ (uint64_t)message.u.token.token) * 0x9E3779B97F4A7C15u;
    }
}

/* Faults: an import that had to make room half way goes on where it was, with other pages, or
 * answers an OFFER once more. */
static void import_begins_again(void **state)
{
    struct message ack, older, more;
    struct stage s;

    (void)state;
    open_stage(&s, DECODE, &kv_transport_copy);
    s.at = 1;
    take_pages(&s);
    ack = hand_over(&s);
    const uint64_t undisturbed = hear_text(&s);

    release_pages(&s, ack.u.ack.returned);
    close_stage(&s);
    open_stage(&s, DECODE, &kv_transport_copy);
    struct mailbox *const inbox = s.workers[PREFILL]->inbox;

    atomic_store(&engine_double_slow_lane, DECODE);
    take_pages(&s);
    older = hand_over(&s);
    s.at = 1;
    take_pages(&s);
    offer_pages(&s, 1, false);
    hear(inbox, MESSAGE_GRANT);
    offer_pages(&s, 2, false);
    ack = hear(inbox, MESSAGE_ACK);
    assert_int_equal(ack.u.ack.n_pages, 2);
    atomic_store(&engine_double_slow_lane, -1); /* the older one writes on and needs the pages */
    assert_int_equal(hear(s.server, MESSAGE_DONE).id, s.requests[0].id);
    while (mailbox_take(inbox, &more))
        assert_int_equal(more.type, MESSAGE_RENEW);
    assert_int_equal(atomic_load(&worker_counters(s.workers[DECODE])->preemptions), 1);
    offer_pages(&s, 3, true);
    ack = hear(inbox, MESSAGE_ACK);
    assert_true(ack.u.ack.n_pages == 3 && ack.u.ack.final);
    release_pages(&s, ack.u.ack.returned);
    assert_true(hear_text(&s) == undisturbed);
    s.at = 0;
    release_pages(&s, older.u.ack.returned);
    close_stage(&s);
}

/* Fault: renewals that do not come, or in a stream. */
static void renewals_at_a_third_of_the_lease(void **state)
{
    struct message message;
    struct stage s;
    int renewals = 0;

    (void)state;
    open_stage(&s, DECODE, &kv_transport_exchange);
    take_pages(&s);
    offer_pages(&s, 1, false); /* an exchange waits for the last one */
    const uint64_t end_ns = clock_now_ns() + SECOND_NS;

    for (uint64_t now = clock_now_ns(); now < end_ns; now = clock_now_ns())
        if (mailbox_wait(s.workers[PREFILL]->inbox, end_ns - now) &&
            mailbox_take(s.workers[PREFILL]->inbox, &message))
            renewals += message.type == MESSAGE_RENEW;
    assert_in_range(renewals, 2, 10); /* 100 ms apart, on a busy machine */
    say(&s, (struct message){.type = MESSAGE_ABORT});
    assert_true(hear(s.workers[PREFILL]->inbox, MESSAGE_ACK).u.ack.aborted);
    say(&s, (struct message){.type = MESSAGE_RELEASE});
    close_stage(&s);
}

static void submit(struct stage *s)
{
    say(s, (struct message){.type = MESSAGE_SUBMIT,
                            .u.submit = {.request = &s->requests[s->at], .decode_worker = DECODE}});
    hear(s->server, MESSAGE_STARTED);
}

/* Fault: prefill floods decode with offers, or never sends the last one. */
static void offers_wait_for_answers(void **state)
{
    struct stage s;

    (void)state;
    open_stage(&s, PREFILL, &kv_transport_copy);
    submit(&s);
    struct mailbox *const inbox = s.workers[DECODE]->inbox;
    struct message offer = hear(inbox, MESSAGE_OFFER), again;

    assert_true(offer.u.offer.n_filled == 1 && !offer.u.offer.final);
    hear(s.server, MESSAGE_TOKEN); /* the prompt is complete, but the first offer not answered */
    assert_false(mailbox_take(inbox, &again));
    say(&s, (struct message){.type = MESSAGE_GRANT, .u.grant = {.n_pages = 3}});
    offer = hear(inbox, MESSAGE_OFFER);
    assert_true(offer.u.offer.n_filled == 3 && offer.u.offer.final);
    say(&s, (struct message){.type = MESSAGE_ACK, .u.ack = {.n_pages = 3, .final = true}});
    hear(inbox, MESSAGE_RELEASE);
    assert_int_equal(hear(s.server, MESSAGE_DONE).u.done.reason, DONE_HANDED);
    close_stage(&s);
}

/* Fault: pages freed before decode has answered the ABORT. */
static void pages_wait_for_the_answer(void **state)
{
    struct stage s;

    (void)state;
    open_stage(&s, PREFILL, &kv_transport_copy);
    submit(&s);
    struct mailbox *const inbox = s.workers[DECODE]->inbox;
    struct message message;

    hear(inbox, MESSAGE_OFFER);
    say(&s, (struct message){.type = MESSAGE_CANCEL});
    assert_true(hear(inbox, MESSAGE_ABORT).u.abort.cancelled);
    while (mailbox_take(s.server, &message))
        assert_int_equal(message.type, MESSAGE_TOKEN); /* at most; the end is not told */
    assert_true(atomic_load(&worker_counters(s.workers[PREFILL])->pages_used) > 0);
    say(&s, (struct message){.type = MESSAGE_ACK, .u.ack = {.aborted = true}});
    assert_int_equal(hear(s.server, MESSAGE_DONE).u.done.reason, DONE_CANCELLED);
    hear(inbox, MESSAGE_RELEASE);
    close_stage(&s);
}

/* Fault: a decode worker that never answers keeps a request for ever: after the lease it is asked
 * to give it up. */
static void silence_ends_the_lease(void **state)
{
    const uint64_t start_ns = clock_now_ns();
    struct stage s;

    (void)state;
    open_stage(&s, PREFILL, &kv_transport_exchange);
    submit(&s);
    struct mailbox *const inbox = s.workers[DECODE]->inbox;

    hear(inbox, MESSAGE_OFFER);
    assert_false(hear(inbox, MESSAGE_ABORT).u.abort.cancelled);
    assert_true(clock_now_ns() - start_ns >= 300000000u);
    say(&s, (struct message){.type = MESSAGE_ACK, .u.ack = {.aborted = true}});
    assert_int_equal(hear(s.server, MESSAGE_DONE).u.done.reason, DONE_EXPIRED);
    close_stage(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancel_around_the_hand_over),
        cmocka_unit_test(abort_after_the_hand_over),
        cmocka_unit_test(abort_in_transfer),
        cmocka_unit_test(import_begins_again),
        cmocka_unit_test(renewals_at_a_third_of_the_lease),
        cmocka_unit_test(offers_wait_for_answers),
        cmocka_unit_test(pages_wait_for_the_answer),
        cmocka_unit_test(silence_ends_the_lease),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
