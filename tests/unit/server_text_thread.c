/* Text work goes to its thread and comes back, or is refused, or is given up. */
#include "server/route.h"
#include "server/text_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

static sem_t gate; /* each work takes one */
static _Atomic int n_worked, n_by_caller;
static pthread_t caller;

static int gated_work(struct text_work *work)
{
    sem_wait(&gate);
    n_worked++;
    n_by_caller += pthread_equal(pthread_self(), caller) != 0;
    buf_append(&work->reply, text_work_body(work), work->body.size);
    return 0;
}

static const struct route gated = {.path = "/gated", .work = gated_work};

static struct text_work *create_work(struct service *service, const char *body)
{
    struct exchange exchange = {.service = service, .route = &gated, .id = "1"};

    buf_init(&exchange.body, 1024);
    buf_puts(&exchange.body, body);
    service->body_bytes += exchange.body.size;
    struct text_work *work = text_work_create(&exchange);

    assert_non_null(work);
    assert_null(exchange.body.bytes);
    return work;
}

static struct text_work *await_work(struct text_thread *thread)
{
    struct pollfd wait = {.fd = text_thread_fd(thread), .events = POLLIN};
    struct text_work *work;

    while (!(work = text_thread_take(thread)))
        if (text_thread_arm(thread))
            assert_true(poll(&wait, 1, 60000) == 1);
    return work;
}

static int open_gate(void **state)
{
    (void)state;
    caller = pthread_self();
    n_worked = n_by_caller = 0;
    return sem_init(&gate, 0, 0);
}

/* Faults: work done on the caller's thread, out of order, with the body kept; bytes that stay
 * counted for ever. */
static void work_comes_back_in_order(void **state)
{
    static const char *const bodies[] = {"a", "bb", "ccc"};
    struct service service = {0};
    struct text_thread *thread;
    struct err err;

    (void)state;
    assert_int_equal(text_thread_start(&thread, &err), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(text_thread_give(thread, create_work(&service, bodies[i])), 0);
    assert_null(text_thread_take(thread));
    assert_int_equal(service.body_bytes, 6);
    for (int i = 0; i < 3; i++) {
        sem_post(&gate);
        struct text_work *work = await_work(thread);

        assert_int_equal(work->rc, 0);
        assert_string_equal(work->reply.bytes, bodies[i]);
        assert_null(work->body.bytes);
        text_work_destroy(work);
    }
    assert_int_equal(n_by_caller, 0);
    assert_int_equal(service.body_bytes, 0);
    text_thread_stop(thread);
}

/* Faults: a queue without end, a refused work that is lost, one for a client who left that is done
 * all the same. */
static void too_many_are_refused(void **state)
{
    struct service service = {0};
    struct text_thread *thread;
    struct err err;

    (void)state;
    assert_int_equal(text_thread_start(&thread, &err), 0);
    for (int i = 0; i < TEXT_THREAD_WORKS_MAX; i++) {
        struct text_work *work = create_work(&service, "x");

        work->given_up = i > 0;
        assert_int_equal(text_thread_give(thread, work), 0);
    }
    struct text_work *refused = create_work(&service, "x");

    assert_int_equal(text_thread_give(thread, refused), -EAGAIN);
    sem_post(&gate);
    for (int i = 0; i < TEXT_THREAD_WORKS_MAX; i++)
        text_work_destroy(await_work(thread));
    assert_int_equal(n_worked, 1);
    sem_post(&gate);
    assert_int_equal(text_thread_give(thread, refused), 0);
    text_work_destroy(await_work(thread));
    assert_int_equal(n_worked, 2);
    text_thread_stop(thread);
}

/* Faults: a stop that hangs, or forgets what waits or is done and not taken back. */
static void stop_drops_what_waits(void **state)
{
    struct service service = {0};
    struct text_thread *thread;
    struct err err;

    (void)state;
    assert_int_equal(text_thread_start(&thread, &err), 0);
    for (int i = 0; i < 8; i++) {
        struct text_work *work = create_work(&service, "x");

        work->given_up = i < 4;
        assert_int_equal(text_thread_give(thread, work), 0);
        sem_post(&gate);
    }
    text_thread_stop(thread);
    assert_int_equal(service.body_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(work_comes_back_in_order, open_gate),
        cmocka_unit_test_setup(too_many_are_refused, open_gate),
        cmocka_unit_test_setup(stop_drops_what_waits, open_gate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
