/*
 * The table of live requests against workers played by the test, which reads their mailboxes and
 * answers in the orders that proto/message.h allows.
 */
#include "server/dispatch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORTS 3 /* a prefill worker and two decode workers */

struct heard {
    int tokens[16];
    int n_tokens, n_started, n_ended;
    enum done_reason reason;
    int error;
};

struct players {
    struct mailbox *boxes[PORTS];
    struct worker_port ports[PORTS];
    struct dispatch *dispatch;
};

static void listen_to(void *owner, const struct dispatch_event *event)
{
    struct heard *heard = owner;

    switch (event->type) {
    case DISPATCH_STARTED: heard->n_started++; break;
    case DISPATCH_TOKEN:
        heard->tokens[heard->n_tokens++] = event->token;
        free(event->logprobs);
        break;
    case DISPATCH_END:
        heard->n_ended++;
        heard->reason = event->reason;
        heard->error = event->error;
    }
}

static void players_open(struct players *bench, int max_live, size_t box)
{
    for (int i = 0; i < PORTS; i++) {
        assert_int_equal(mailbox_create(&bench->boxes[i], box, sizeof(struct message)), 0);
        bench->ports[i] = (struct worker_port){.role = i == 0 ? CONFIG_PREFILL : CONFIG_DECODE,
                                               .mailbox = bench->boxes[i]};
    }
    assert_int_equal(dispatch_create(&bench->dispatch, bench->ports, PORTS, max_live, listen_to),
                     0);
}

/* Every request must be over. */
static void players_close(struct players *bench)
{
    struct dispatch_counts counts;

    dispatch_count(bench->dispatch, &counts);
    assert_int_equal(counts.live, 0);
    assert_int_equal(counts.waiting, 0);
    dispatch_destroy(bench->dispatch);
    for (int i = 0; i < PORTS; i++)
        mailbox_destroy(bench->boxes[i]);
}

static struct dispatch_entry *submit_prompt(struct players *bench, struct heard *heard)
{
    struct dispatch_job job = {.tokens = malloc(3 * sizeof(int32_t)),
                               .n_tokens = 3,
                               .max_tokens = 10,
                               .stop_ids = (const int32_t[]){7, 8},
                               .n_stop_ids = 2};
    struct dispatch_entry *entry;

    *heard = (struct heard){0};
    for (int i = 0; i < 3; i++)
        job.tokens[i] = 100 + i;
    assert_int_equal(dispatch_submit(bench->dispatch, &job, heard, &entry), 0);
    return entry;
}

static struct message taken(struct players *bench, int port, enum message_type type)
{
    struct message message;

    assert_true(mailbox_take(bench->boxes[port], &message));
    assert_int_equal(message.type, type);
    return message;
}

static void nothing_for(struct players *bench, int port)
{
    struct message message;

    assert_false(mailbox_take(bench->boxes[port], &message));
}

static void token_from(struct players *bench, int worker, uint64_t id, int index, int32_t token)
{
    struct message message = {.type = MESSAGE_TOKEN, .worker = (uint16_t)worker, .id = id};

    message.u.token.index = index;
    message.u.token.token = token;
    message.u.token.logprobs = calloc(1, sizeof(struct token_logprobs));
    dispatch_receive(bench->dispatch, &message);
}

static void done_from(struct players *bench, int worker, uint64_t id, enum done_reason reason)
{
    struct message message = {.type = MESSAGE_DONE, .worker = (uint16_t)worker, .id = id};

    message.u.done.reason = reason;
    message.u.done.error = reason == DONE_FAILED ? -ETIMEDOUT : 0;
    dispatch_receive(bench->dispatch, &message);
}

static void preempted_from(struct players *bench, int worker, uint64_t id)
{
    struct message message = {.type = MESSAGE_PREEMPTED, .worker = (uint16_t)worker, .id = id};

    dispatch_receive(bench->dispatch, &message);
}

/* Fault: the memory of a request freed when the first of its two workers is done with it. */
static void ends_of_both_workers(void **state)
{
    (void)state;
    for (int decode_first = 0; decode_first < 2; decode_first++) {
        struct players bench;
        struct heard heard;
        struct dispatch_counts counts;

        players_open(&bench, 4, 8);
        submit_prompt(&bench, &heard);
        struct message submit = taken(&bench, 0, MESSAGE_SUBMIT);
        const struct request *request = submit.u.submit.request;
        int decode = submit.u.submit.decode_worker;

        assert_int_equal(request->n_tokens, 3);
        assert_int_equal(request->stop_ids[1], 8);
        token_from(&bench, 0, submit.id, 0, 5);
        token_from(&bench, decode, submit.id, 1, 7);
        done_from(&bench, decode_first ? decode : 0, submit.id,
                  decode_first ? DONE_STOP : DONE_HANDED);
        assert_int_equal(heard.n_ended, decode_first);
        dispatch_count(bench.dispatch, &counts);
        assert_int_equal(counts.live, 1);
        assert_int_equal(request->tokens[2], 102); /* still there */
        done_from(&bench, decode_first ? 0 : decode, submit.id,
                  decode_first ? DONE_HANDED : DONE_STOP);
        assert_int_equal(heard.n_ended, 1);
        assert_int_equal(heard.reason, DONE_STOP);
        assert_int_equal(heard.n_tokens, 2);
        players_close(&bench);
    }
}

/* Faults: CANCEL to the decode worker first or not at all, events after it, a table that forgets
 * the request before the workers do. */
static void cancel_goes_to_both(void **state)
{
    struct players bench;
    struct heard heard;

    (void)state;
    players_open(&bench, 4, 8);
    struct dispatch_entry *entry = submit_prompt(&bench, &heard);
    struct message submit = taken(&bench, 0, MESSAGE_SUBMIT);
    int decode = submit.u.submit.decode_worker;

    token_from(&bench, 0, submit.id, 0, 5);
    dispatch_cancel(bench.dispatch, entry);
    assert_true(taken(&bench, 0, MESSAGE_CANCEL).id == submit.id);
    assert_true(taken(&bench, decode, MESSAGE_CANCEL).id == submit.id);
    token_from(&bench, decode, submit.id, 1, 6); /* was under way */
    done_from(&bench, 0, submit.id, DONE_HANDED);
    done_from(&bench, decode, submit.id, DONE_CANCELLED);
    assert_int_equal(heard.n_tokens, 1);
    assert_int_equal(heard.n_ended, 0);
    players_close(&bench);
}

/* Faults: a replay under the old id, without what was emitted, or of a request that was cancelled;
 * tokens counted from 0 again. */
static void preempted_is_submitted_again(void **state)
{
    struct players bench;
    struct heard heard;

    (void)state;
    players_open(&bench, 4, 8);
    struct dispatch_entry *entry = submit_prompt(&bench, &heard);
    struct message first = taken(&bench, 0, MESSAGE_SUBMIT);
    uint64_t arrival = first.u.submit.request->arrival;
    int decode = first.u.submit.decode_worker;

    token_from(&bench, 0, first.id, 0, 5);
    token_from(&bench, decode, first.id, 1, 6);
    done_from(&bench, 0, first.id, DONE_HANDED);
    preempted_from(&bench, decode, first.id);
    struct message second = taken(&bench, 0, MESSAGE_SUBMIT);
    const struct request *request = second.u.submit.request;

    assert_true(second.id != first.id);
    assert_true(request->arrival == arrival);
    assert_int_equal(request->n_prompt, 3);
    assert_int_equal(request->n_tokens, 5);
    assert_int_equal(request->tokens[3], 5);
    assert_int_equal(request->tokens[4], 6);
    token_from(&bench, decode, first.id, 2, 99); /* late: of the first life */
    token_from(&bench, 0, second.id, 2, 7);
    assert_int_equal(heard.n_tokens, 3);
    assert_int_equal(heard.tokens[2], 7);
    assert_int_equal(heard.n_ended, 0);
    dispatch_cancel(bench.dispatch, entry);
    done_from(&bench, 0, second.id, DONE_HANDED);
    preempted_from(&bench, second.u.submit.decode_worker, second.id);
    taken(&bench, 0, MESSAGE_CANCEL);
    nothing_for(&bench, 0);
    players_close(&bench);
}

/* Faults: an accepted request that fails because decode was slow once, or one that is computed over
 * and over for a decode worker that never answers. */
static void expired_is_submitted_again_a_few_times(void **state)
{
    struct players bench;
    struct heard heard;
    struct message submit;

    (void)state;
    players_open(&bench, 4, 8);
    submit_prompt(&bench, &heard);
    for (int life = 0; life < 4; life++) {
        assert_int_equal(heard.n_ended, 0);
        submit = taken(&bench, 0, MESSAGE_SUBMIT);
        assert_int_equal(submit.u.submit.request->n_tokens, 3 + life);
        token_from(&bench, 0, submit.id, life, 5 + life);
        done_from(&bench, 0, submit.id, DONE_EXPIRED);
    }
    assert_int_equal(heard.n_tokens, 4);
    assert_int_equal(heard.n_ended, 1);
    assert_int_equal(heard.reason, DONE_FAILED);
    assert_int_equal(heard.error, -ETIMEDOUT);
    nothing_for(&bench, 0);
    players_close(&bench);
}

/* Fault: a gap in the tokens passed on as text. */
static void gap_in_tokens_ends_the_request(void **state)
{
    struct players bench;
    struct heard heard;

    (void)state;
    players_open(&bench, 4, 8);
    submit_prompt(&bench, &heard);
    struct message submit = taken(&bench, 0, MESSAGE_SUBMIT);

    token_from(&bench, 0, submit.id, 0, 5);
    token_from(&bench, 0, submit.id, 2, 6);
    assert_int_equal(heard.n_tokens, 1);
    assert_int_equal(heard.n_ended, 1);
    assert_int_equal(heard.reason, DONE_FAILED);
    assert_int_equal(heard.error, -EPROTO);
    done_from(&bench, 0, submit.id, DONE_CANCELLED);
    players_close(&bench);
}

/* Faults: more live requests than the table has room for; load put on one decode worker. */
static void table_is_bounded_and_load_is_shared(void **state)
{
    struct players bench;
    struct heard heard[3];
    struct message submits[2];
    struct dispatch_job job = {.tokens = &(int32_t){1}, .n_tokens = 1, .max_tokens = 1};
    struct dispatch_entry *entry;

    (void)state;
    players_open(&bench, 2, 8);
    for (int i = 0; i < 2; i++) {
        submit_prompt(&bench, &heard[i]);
        submits[i] = taken(&bench, 0, MESSAGE_SUBMIT);
    }
    assert_int_not_equal(submits[0].u.submit.decode_worker, submits[1].u.submit.decode_worker);
    assert_int_equal(dispatch_room(bench.dispatch), 0);
    assert_int_equal(dispatch_submit(bench.dispatch, &job, &heard[2], &entry), -EBUSY);
    for (int i = 0; i < 2; i++)
        done_from(&bench, 0, submits[i].id, DONE_FAILED);
    assert_int_equal(heard[0].error, -ETIMEDOUT);
    assert_int_equal(dispatch_room(bench.dispatch), 2);
    players_close(&bench);
}

/* Faults: a SUBMIT lost in a full mailbox, one sent although the request was cancelled meanwhile, a
 * CANCEL that overtakes its SUBMIT. */
static void full_mailbox_is_tried_again(void **state)
{
    struct players bench;
    struct heard heard[4];
    struct dispatch_entry *entries[4];
    struct message submits[3];

    (void)state;
    players_open(&bench, 8, 4); /* half of it is not ours */
    for (int i = 0; i < 4; i++)
        entries[i] = submit_prompt(&bench, &heard[i]);
    assert_true(dispatch_flush(bench.dispatch));
    dispatch_cancel(bench.dispatch, entries[3]); /* no worker has heard of it: over at once */
    submits[0] = taken(&bench, 0, MESSAGE_SUBMIT);
    submits[1] = taken(&bench, 0, MESSAGE_SUBMIT);
    assert_false(dispatch_flush(bench.dispatch));
    submits[2] = taken(&bench, 0, MESSAGE_SUBMIT);
    nothing_for(&bench, 0);
    for (int i = 0; i < 3; i++)
        dispatch_cancel(bench.dispatch, entries[i]);
    assert_true(dispatch_flush(bench.dispatch)); /* the third does not fit into the prefill's */
    for (int i = 0; i < 2; i++)
        taken(&bench, 0, MESSAGE_CANCEL);
    assert_false(dispatch_flush(bench.dispatch));
    assert_true(taken(&bench, 0, MESSAGE_CANCEL).id == submits[2].id);
    for (int i = 0; i < 3; i++)
        done_from(&bench, 0, submits[i].id, DONE_CANCELLED);
    players_close(&bench);
}

/* Fault: ids that were never given out, or of nobody, move something. */
static void foreign_messages_are_counted(void **state)
{
    struct players bench;
    struct heard heard;
    struct dispatch_counts counts;

    (void)state;
    players_open(&bench, 2, 8);
    submit_prompt(&bench, &heard);
    struct message submit = taken(&bench, 0, MESSAGE_SUBMIT);
    int other = 3 - submit.u.submit.decode_worker;

    done_from(&bench, 0, 0, DONE_STOP);
    done_from(&bench, 0, UINT64_MAX, DONE_STOP);
    done_from(&bench, 0, submit.id + (1u << 20), DONE_STOP);
    done_from(&bench, other, submit.id, DONE_STOP); /* it was not given to that one */
    token_from(&bench, 0, 12345, 0, 1);
    dispatch_count(bench.dispatch, &counts);
    assert_int_equal(counts.late, 5);
    assert_int_equal(heard.n_ended + heard.n_tokens, 0);
    done_from(&bench, 0, submit.id, DONE_LENGTH);
    players_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_both_workers),
        cmocka_unit_test(cancel_goes_to_both),
        cmocka_unit_test(preempted_is_submitted_again),
        cmocka_unit_test(expired_is_submitted_again_a_few_times),
        cmocka_unit_test(gap_in_tokens_ends_the_request),
        cmocka_unit_test(table_is_bounded_and_load_is_shared),
        cmocka_unit_test(full_mailbox_is_tried_again),
        cmocka_unit_test(foreign_messages_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
