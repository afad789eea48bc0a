/*
 * base/mailbox.h: order, bounds, and above all that no wake-up is lost. Waits are bounded by a
 * deadline far above any scheduling delay, so that a lost wake-up fails instead of hanging. Run
 * under ThreadSanitizer too.
 */
#include "base/clock.h"
#include "base/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND 1000000000ull
#define DEADLINE_NS (20 * SECOND)

struct note {
    uint32_t poster, number;
};

/* Takes one message, sleeping as often as needed. The mailbox may wake early (a later poster can
 * publish first), but must not sleep while a message lies there. */
static bool take_before_deadline(struct mailbox *box, void *message)
{
    const uint64_t start = clock_now_ns();

    while (!mailbox_take(box, message)) {
        const uint64_t spent = clock_now_ns() - start;

        if (spent >= DEADLINE_NS)
            return false;
        mailbox_wait(box, DEADLINE_NS - spent);
    }
    return true;
}

static bool readable(const struct mailbox *box)
{
    struct pollfd watch = {.fd = mailbox_fd(box), .events = POLLIN};

    return poll(&watch, 1, 0) == 1;
}

/* Catches a box that blocks, overwrites or loses when full, and a ring that fails to wrap. */
static void test_full(void **state)
{
    struct mailbox *box;
    struct note note;

    (void)state;
    assert_int_equal(mailbox_create(&box, 3, sizeof note), 0); /* rounded up to 4 */
    assert_false(mailbox_take(box, &note));
    for (uint32_t lap = 0; lap < 10; lap++) {
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(mailbox_post(box, &(struct note){lap, i}), 0);
        assert_int_equal(mailbox_post(box, &(struct note){lap, 4}), -EAGAIN);
        assert_true(mailbox_take(box, &note));
        assert_int_equal(note.number, 0);
        assert_int_equal(mailbox_post(box, &(struct note){lap, 4}), 0);
        for (uint32_t i = 1; i < 5; i++) {
            assert_true(mailbox_take(box, &note));
            assert_int_equal(note.poster, lap);
            assert_int_equal(note.number, i);
        }
        assert_false(mailbox_take(box, &note));
    }
    mailbox_destroy(box);
}

/* Catches a poster that may wait but takes the room of those that may not, or that is refused while
 * half of the box is free. */
static void test_sparing(void **state)
{
    struct mailbox *box;
    struct note note = {0};

    (void)state;
    assert_int_equal(mailbox_create(&box, 8, sizeof note), 0);
    for (uint32_t lap = 0; lap < 20; lap++) {
        for (uint32_t i = 0; i < 4; i++)
            assert_int_equal(mailbox_post_sparing(box, &(struct note){lap, i}), 0);
        assert_int_equal(mailbox_post_sparing(box, &note), -EAGAIN);
        for (uint32_t i = 4; i < 8; i++)
            assert_int_equal(mailbox_post(box, &(struct note){lap, i}), 0);
        assert_int_equal(mailbox_post(box, &note), -EAGAIN);
        for (uint32_t i = 0; i < 8; i++) {
            assert_int_equal(mailbox_post_sparing(box, &note), i < 5 ? -EAGAIN : 0);
            assert_true(mailbox_take(box, &note));
            assert_true(note.poster == lap && note.number == i);
        }
        for (uint32_t i = 5; i < 8; i++)
            assert_true(mailbox_take(box, &note));
        assert_false(mailbox_take(box, &note));
    }
    mailbox_destroy(box);
}

/* Catches a descriptor that is written though the owner is awake (a system call for each post), not
 * written though it said it sleeps, or left readable so that the next sleep ends at once. */
static void test_descriptor(void **state)
{
    struct mailbox *box;
    struct note note = {1, 1};

    (void)state;
    assert_int_equal(mailbox_create(&box, 8, sizeof note), 0);
    assert_int_equal(mailbox_post(box, &note), 0);
    assert_false(readable(box));
    assert_false(mailbox_arm(box)); /* a message is there: do not sleep */
    assert_true(mailbox_take(box, &note));
    for (int i = 0; i < 3; i++) {
        assert_true(mailbox_arm(box));
        assert_false(readable(box));
        assert_int_equal(mailbox_post(box, &note), 0);
        assert_int_equal(mailbox_post(box, &note), 0);
        assert_true(readable(box));
        assert_true(mailbox_take(box, &note));
        assert_false(readable(box));
        assert_true(mailbox_take(box, &note));
        assert_false(mailbox_take(box, &note));
    }
    mailbox_destroy(box);
}

/* Catches a timeout that is ignored or cut short. */
static void test_timeout(void **state)
{
    struct mailbox *box;
    const uint64_t start = clock_now_ns();

    (void)state;
    assert_int_equal(mailbox_create(&box, 2, sizeof(struct note)), 0);
    assert_false(mailbox_wait(box, 20000000));
    assert_true(clock_now_ns() - start >= 20000000);
    assert_false(mailbox_wait(box, 0));
    assert_int_equal(mailbox_post(box, &(struct note){0, 0}), 0);
    assert_true(mailbox_wait(box, UINT64_MAX));
    mailbox_destroy(box);
}

enum { POSTERS = 4, NOTES = 20000 };

struct poster {
    struct mailbox *box;
    uint32_t index;
};

static void *post_notes(void *argument)
{
    const struct poster *poster = argument;

    for (uint32_t number = 0; number < NOTES; number++) {
        while (mailbox_post(poster->box, &(struct note){poster->index, number}) == -EAGAIN)
            sched_yield();
    }
    return NULL;
}

/* Catches messages lost, doubled, torn or out of one poster's order, with a box so small that it is
 * full and empty again and again. */
static void test_order(void **state)
{
    struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    uint32_t next[POSTERS] = {0};
    struct mailbox *box;
    struct note note;

    (void)state;
    assert_int_equal(mailbox_create(&box, 16, sizeof note), 0);
    for (uint32_t i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){box, i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_notes, &posters[i]), 0);
    }
    for (int i = 0; i < POSTERS * NOTES; i++) {
        assert_true(take_before_deadline(box, &note));
        assert_true(note.poster < POSTERS);
        assert_int_equal(note.number, next[note.poster]++);
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    assert_false(mailbox_take(box, &note));
    mailbox_destroy(box);
}

enum { PLAYERS = 3, ROUNDS = 4000 };

struct player {
    struct mailbox *to_server, *to_player;
    uint32_t index;
    bool answered; /* every question, before the deadline */
};

static void *ask(void *argument)
{
    struct player *player = argument;
    struct note answer;

    player->answered = true;
    for (uint32_t number = 0; number < ROUNDS && player->answered; number++) {
        while (mailbox_post(player->to_server, &(struct note){player->index, number}) == -EAGAIN)
            sched_yield();
        player->answered =
            take_before_deadline(player->to_player, &answer) && answer.number == number;
    }
    return NULL;
}

/* Catches a lost wake-up: everybody sleeps between any two messages, so one missed write to a
 * descriptor leaves a player and the server waiting for each other until the deadline. */
static void test_wake_up(void **state)
{
    struct player players[PLAYERS];
    pthread_t threads[PLAYERS];
    struct mailbox *server;
    struct note question;

    (void)state;
    assert_int_equal(mailbox_create(&server, 8, sizeof question), 0);
    for (uint32_t i = 0; i < PLAYERS; i++) {
        players[i] = (struct player){.to_server = server, .index = i};
        assert_int_equal(mailbox_create(&players[i].to_player, 2, sizeof question), 0);
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &players[i]), 0);
    }
    for (int i = 0; i < PLAYERS * ROUNDS; i++) {
        assert_true(take_before_deadline(server, &question));
        assert_int_equal(mailbox_post(players[question.poster].to_player, &question), 0);
    }
    for (int i = 0; i < PLAYERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(players[i].answered);
        mailbox_destroy(players[i].to_player);
    }
    mailbox_destroy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),       cmocka_unit_test(test_sparing),
        cmocka_unit_test(test_descriptor), cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_order),      cmocka_unit_test(test_wake_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
