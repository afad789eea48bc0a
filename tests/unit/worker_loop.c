/*
 * Workers under everything that may happen to them, over the engine double: the text of a request
 * must not depend on it, and every page must come back.
 */
#include "base/clock.h"
#include "base/philox.h"
#include "tests/unit/worker_cluster.h"
#include "tests/unit/worker_engine_double.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

static struct cluster_config ample;

static int open_ample(void **state)
{
    (void)state;
    ample = (struct cluster_config){.engine = engine_double,
                                    .n_vocab = DOUBLE_VOCAB,
                                    .text = engine_double_text,
                                    .roles = "b",
                                    .transport = &kv_transport_exchange,
                                    .token_budget = 64,
                                    .max_running = 32,
                                    .slots = 64,
                                    .pages = 500,
                                    .lease_ms = 30000,
                                    .outbox = 4096};
    return 0;
}

/* Fault: batching, chunks, roles or the way pages move change what is written. */
static void same_text_everywhere(void **state)
{
    static const struct {
        const char *roles;
        const struct kv_transport *transport;
    } places[] = {
        {"b", &kv_transport_exchange},   {"pd", &kv_transport_exchange},
        {"pd", &kv_transport_copy},      {"ppd", &kv_transport_copy},
        {"pbd", &kv_transport_exchange}, {"ppdd", &kv_transport_exchange},
    };
    static const int budgets[] = {16, 64, 512};

    (void)state;
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (size_t b = 0; b < sizeof budgets / sizeof *budgets; b++) {
            struct cluster_config config = ample;
            struct cluster c;

            config.roles = places[p].roles;
            config.transport = places[p].transport;
            config.token_budget = budgets[b];
            cluster_open(&c, &config, 32, 1);
            for (int i = 0; i < 32; i++)
                cluster_submit(&c, i);
            cluster_finish(&c);
            for (int i = 0; i < 32; i++)
                cluster_check_text(&c.requests[i]);
            if (config.roles[0] == 'p') /* pages did move */
                assert_true(cluster_sum(&c, transferred_pages) > 0);
            cluster_close(&c);
        }
}

/* Fault: a request alone takes another path than one among others. */
static void same_text_alone(void **state)
{
    struct cluster_config config = ample;

    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct cluster c;

        config.roles = apart ? "pd" : "b";
        cluster_open(&c, &config, 32, 1);
        for (int i = 0; i < 32; i++) {
            cluster_submit(&c, i);
            cluster_finish(&c);
            cluster_check_text(&c.requests[i]);
        }
        assert_int_equal(cluster_sum(&c, preemptions), 0);
        cluster_close(&c);
    }
}

/* A transport with faults: polls that do nothing, polls and posts that fail, by a seed. */
static _Atomic uint64_t fault_draws;
static _Atomic int fail_percent, stall_percent;

static bool drawn(int percent)
{
    return philox_uniform(9, atomic_fetch_add(&fault_draws, 1), 0) * 100 < percent;
}

static int faulty_post(struct page_pull *pull)
{
    if (drawn(atomic_load(&fail_percent)))
        return -EHOSTUNREACH;
    return kv_transport_copy.post(pull);
}

static enum pull_state faulty_poll(struct page_pull *pull)
{
    if (drawn(atomic_load(&stall_percent)))
        return PULL_IN_FLIGHT;
    if (drawn(atomic_load(&fail_percent)))
        return PULL_FAILED;
    return kv_transport_copy.poll(pull);
}

static struct kv_transport faulty_transport(void)
{
    struct kv_transport faulty = kv_transport_copy;

    faulty.post = faulty_post;
    faulty.poll = faulty_poll;
    return faulty;
}

/* Fault: a request preempted, on either side, loses or repeats a token, or never ends. */
static void scarce_pages(void **state)
{
    const struct kv_transport faulty = faulty_transport();
    const struct {
        const char *roles;
        const struct kv_transport *transport;
    } places[] = {
        {"b", &kv_transport_exchange},
        {"pd", &kv_transport_exchange},
        {"pd", &kv_transport_copy},
        {"pb", &kv_transport_copy},
        {"pd", &faulty},
    };

    (void)state;
    /* Pulls that take many iterations: imports are preempted half way. */
    atomic_store(&fail_percent, 0);
    atomic_store(&stall_percent, 80);
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        struct cluster_config config = ample;
        struct cluster c;
        int replayed = 0;

        config.roles = places[p].roles;
        config.transport = places[p].transport;
        config.pages =
            CLUSTER_LENGTH_MAX / PAGE_TOKENS + 4; /* the longest fits, with little more */
        cluster_open(&c, &config, 48, 3);
        for (int i = 0; i < 48; i++)
            cluster_submit(&c, i);
        cluster_finish(&c);
        for (int i = 0; i < 48; i++) {
            cluster_check_text(&c.requests[i]);
            replayed += c.requests[i].preempted;
        }
        assert_true(replayed > 0);
        assert_true(cluster_sum(&c, preemptions) >= (uint64_t)replayed);
        cluster_close(&c);
    }
}

/* Submits n requests, never more than the slots at once, and cancels most of them at moments drawn
 * from the seed: before anything happened, or after some messages more. */
static void storm(struct cluster *c, int n, uint64_t seed)
{
    int next = 0;

    while (next < n || c->n_live > 0) {
        if (next < n && c->n_live < c->config.slots) {
            cluster_submit(c, next);
            if (philox_uniform(seed, (uint64_t)next, 1) < 0.15)
                cluster_cancel(c, next);
            next++;
            if (philox_uniform(seed, (uint64_t)next, 2) < 0.5)
                continue;
        }
        if (c->n_live == 0)
            continue;
        const int takes = (int)(philox_uniform(seed, c->messages, 3) * 12);

        for (int i = 0; i <= takes && c->n_live > 0; i++)
            cluster_take(c);
        /* Somebody among the last ones; often over already, or in the middle of anything. */
        const int victim = next - 1 - (int)(philox_uniform(seed, c->messages, 4) * c->config.slots);

        if (victim >= 0)
            cluster_cancel(c, victim);
    }
}

/* Fault: a cancel in some state that leaks a page, answers twice or never. */
static void cancel_at_any_moment(void **state)
{
    static const struct {
        const char *roles;
        const struct kv_transport *transport;
        int pages, token_budget;
    } places[] = {
        {"b", &kv_transport_exchange, 500, 32}, {"pd", &kv_transport_exchange, 500, 32},
        {"pd", &kv_transport_copy, 500, 16},    {"b", &kv_transport_exchange, 24, 64},
        {"pd", &kv_transport_copy, 24, 16},     {"pdd", &kv_transport_exchange, 24, 16},
        {"ppbd", &kv_transport_copy, 40, 16},
    };

    (void)state;
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        struct cluster_config config = ample;
        struct cluster c;
        int cancelled = 0, complete = 0;

        config.roles = places[p].roles;
        config.transport = places[p].transport;
        config.pages = places[p].pages;
        config.token_budget = places[p].token_budget;
        config.slots = 24;
        config.max_running = 12;
        config.outbox = 64; /* often full: the workers wait for the server */
        print_message("seed %zu roles %s\n", 100 + p, config.roles);
        cluster_open(&c, &config, 500, 100 + p);
        storm(&c, 500, 100 + p);
        for (int i = 0; i < 500; i++) {
            const struct cluster_request *r = &c.requests[i];

            assert_true(r->over && r->reason != DONE_FAILED);
            cancelled += r->reason == DONE_CANCELLED;
            complete += r->reason != DONE_CANCELLED;
        }
        assert_true(cancelled > 100 && complete > 50); /* else the storm tests nothing */
        cluster_close(&c);
    }
}

/* Fault: a failed transfer that hangs, leaks, goes on with wrong pages or ends without a reason. */
static void transfers_fail(void **state)
{
    const struct kv_transport faulty = faulty_transport();
    struct cluster_config config = ample;
    struct cluster c;
    int failed = 0;

    (void)state;
    atomic_store(&fault_draws, 0);
    atomic_store(&fail_percent, 10);
    atomic_store(&stall_percent, 60);
    config.roles = "pd";
    config.transport = &faulty;
    config.token_budget = 16;
    config.pages = 60;
    cluster_open(&c, &config, 200, 8);
    storm(&c, 200, 8);
    for (int i = 0; i < 200; i++) {
        const struct cluster_request *r = &c.requests[i];

        assert_true(r->over);
        if (r->reason != DONE_FAILED)
            continue;
        assert_true(r->error == -EIO || r->error == -EHOSTUNREACH);
        failed++;
    }
    assert_true(failed > 5);
    assert_true(cluster_sum(&c, transfers_failed) >= (uint64_t)failed);
    cluster_close(&c);
}

/* The linker sends the allocations of this program here (--wrap); one in five fails while asked. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);

static _Atomic bool memory_is_short;

void *__wrap_malloc(size_t size)
{
    return atomic_load(&memory_is_short) && drawn(20) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return atomic_load(&memory_is_short) && drawn(20) ? NULL : __real_calloc(count, size);
}

/* Fault: memory that runs out for one request harms another, or the worker. */
static void memory_runs_out(void **state)
{
    static const char *const roles[] = {"b", "pd"};

    (void)state;
    for (size_t p = 0; p < sizeof roles / sizeof *roles; p++) {
        struct cluster_config config = ample;
        struct cluster c;
        int failed = 0, complete = 0;

        config.roles = roles[p];
        config.transport = &kv_transport_copy;
        config.token_budget = 16;
        config.pages = 60;
        cluster_open(&c, &config, 200, 12);
        atomic_store(&memory_is_short, true);
        storm(&c, 200, 12);
        atomic_store(&memory_is_short, false);
        for (int i = 0; i < 200; i++) {
            const struct cluster_request *r = &c.requests[i];

            assert_true(r->over);
            assert_true(r->reason != DONE_FAILED || r->error == -ENOMEM);
            failed += r->reason == DONE_FAILED;
            complete += r->reason == DONE_STOP || r->reason == DONE_LENGTH;
        }
        assert_true(failed > 20 && complete > 5);
        cluster_close(&c);
    }
}

/* Fault: cancel in the middle of a pull that stands still waits for it. */
static void cancel_in_transfer(void **state)
{
    const struct kv_transport faulty = faulty_transport();
    struct cluster_config config = ample;
    struct cluster c;

    (void)state;
    atomic_store(&fail_percent, 0);
    atomic_store(&stall_percent, 100);
    config.roles = "pd";
    config.transport = &faulty;
    config.token_budget = 16;
    cluster_open(&c, &config, 12, 5);
    for (int i = 0; i < 12; i++)
        cluster_submit(&c, i);
    while (atomic_load(&worker_counters(c.workers[1])->importing) == 0)
        if (mailbox_wait(c.outbox, 1000000u))
            cluster_take(&c);
    for (int i = 0; i < 12; i++)
        cluster_cancel(&c, i);
    cluster_finish(&c);
    assert_int_equal(cluster_sum(&c, transfers), 0);
    cluster_close(&c);
}

/* Fault: a decode worker that says nothing for longer than the lease keeps prefill's pages for
 * ever, or fails requests that it could serve a little later. */
static void lease_runs_out(void **state)
{
    struct cluster_config config = ample;
    struct cluster c;
    int busy = 0, expired = 0;

    (void)state;
    config.roles = "pd";
    config.lease_ms = 20;
    config.token_budget = 512;
    cluster_open(&c, &config, 200, 1);
    while (c.requests[busy].n_expected < 40)
        busy++;
    cluster_submit(&c, busy); /* keeps the decode worker in steps of three leases each */
    while (c.requests[busy].emitted < 2)
        cluster_take(&c);
    atomic_store(&engine_double_slow_lane, 1);
    while (c.requests[busy].emitted < 4)
        cluster_take(&c);
    /* What one ends by comes at the end of a step: the next is offered while the next step runs. */
    for (int i = 0; expired == 0 && i < 200; i++) {
        if (i == busy || c.requests[i].n_expected > 5 || c.requests[i].n_expected < 2)
            continue;
        cluster_submit(&c, i);
        while (!c.requests[i].over && c.requests[i].expired == 0)
            cluster_take(&c);
        expired = c.requests[i].expired;
    }
    assert_true(expired > 0);
    atomic_store(&engine_double_slow_lane, -1);
    cluster_finish(&c);
    expired = 0;
    for (int i = 0; i < 200; i++) {
        expired += c.requests[i].expired;
        if (c.requests[i].over)
            cluster_check_text(&c.requests[i]);
    }
    assert_int_equal(cluster_sum(&c, transfers_failed), expired);
    cluster_close(&c);
}

/* Fault: a lease that is not renewed while an import waits for room. */
static void lease_is_renewed(void **state)
{
    const struct kv_transport faulty = faulty_transport();
    struct cluster_config config = ample;
    struct cluster c;
    const uint64_t start_ns = clock_now_ns();

    (void)state;
    atomic_store(&fail_percent, 0);
    atomic_store(&stall_percent, 100);
    config.roles = "pd";
    config.transport = &faulty;
    config.lease_ms = 200;
    cluster_open(&c, &config, 4, 6);
    cluster_submit(&c, 0);
    while (clock_now_ns() - start_ns < 1000000000u)
        if (mailbox_wait(c.outbox, 50000000u))
            cluster_take(&c);
    atomic_store(&stall_percent, 0); /* five leases later it goes through */
    cluster_finish(&c);
    cluster_check_text(&c.requests[0]);
    cluster_close(&c);
}

/* Fault: the decode worker ends while prefill, long in a chunk, has yet to ask it for a request
 * back; or workers wait for a server that does not read its mail any more. */
static void stop_in_a_long_chunk(void **state)
{
    static const struct {
        const char *roles;
        int prefill;
    } places[] = {{"dp", 1}, {"pd", 0}, {"dpp", 1}};

    (void)state;
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        for (int budget = 16; budget <= 512; budget += 496) {
            struct cluster_config config = ample;
            struct cluster c;

            config.roles = places[p].roles;
            config.token_budget = budget;
            config.outbox = 2;
            cluster_open(&c, &config, 16, 11);
            atomic_store(&engine_double_slow_lane, places[p].prefill);
            for (int i = 0; i < 16; i++)
                cluster_submit(&c, i);
            while (c.messages < 3)
                cluster_take(&c);
            for (int i = 0; i < 16; i++)
                cluster_cancel(&c, i);
            cluster_close(&c); /* bounded by its patience */
            atomic_store(&engine_double_slow_lane, -1);
        }
}

static double cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* Fault: an idle worker that polls; mail about nobody, or from a worker that is gone, that harms.
 */
static void idle_and_late(void **state)
{
    struct cluster_config config = ample;
    struct cluster c;
    struct message late[] = {
        {.type = MESSAGE_CANCEL, .id = 5},
        {.type = MESSAGE_GRANT, .id = 6, .worker = 1},
        {.type = MESSAGE_ACK, .id = 6, .worker = 1, .u.ack = {.final = true}},
        {.type = MESSAGE_OFFER, .id = 7, .worker = 0, .incarnation = 0},
        {.type = MESSAGE_RELEASE, .id = 7, .worker = 200},
    };

    (void)state;
    config.roles = "pd";
    cluster_open(&c, &config, 4, 2);
    for (size_t i = 0; i < sizeof late / sizeof *late; i++)
        for (int w = 0; w < 2; w++)
            assert_int_equal(mailbox_post(worker_mailbox(c.workers[w]), &late[i]), 0);
    for (int i = 0; i < 4; i++)
        cluster_submit(&c, i);
    cluster_finish(&c);
    for (int i = 0; i < 4; i++)
        cluster_check_text(&c.requests[i]);
    const double before = cpu_seconds();

    assert_false(mailbox_wait(c.outbox, 300000000u));
    assert_true(cpu_seconds() - before < 0.05);
    for (int w = 0; w < 2; w++)
        assert_int_equal(atomic_load(&worker_counters(c.workers[w])->late_messages), 5);
    cluster_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_text_alone),    cmocka_unit_test(same_text_everywhere),
        cmocka_unit_test(scarce_pages),       cmocka_unit_test(cancel_at_any_moment),
        cmocka_unit_test(transfers_fail),     cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(cancel_in_transfer), cmocka_unit_test(lease_runs_out),
        cmocka_unit_test(lease_is_renewed),   cmocka_unit_test(stop_in_a_long_chunk),
        cmocka_unit_test(idle_and_late),
    };

    return cmocka_run_group_tests(tests, open_ample, NULL);
}
