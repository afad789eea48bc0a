/* Whether the server calls itself healthy, and how it shares out KV memory. */
#include "server/kv_budget.h"
#include "server/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define SECOND UINT64_C(1000000000)

static void give_sample(const void *context, struct worker_sample *ret)
{
    *ret = *(const struct worker_sample *)context;
}

/* Faults: an idle server that turns unhealthy, a new request on an old one that does, a wedged
 * worker that does not, a prefill worker blamed for waiting until decode takes its pages. */
static void only_a_stuck_worker_is_unhealthy(void **state)
{
    struct worker_sample prefill = {0}, decode = {0};
    const struct worker_port ports[] = {
        {.name = "p", .role = CONFIG_PREFILL, .sample = give_sample, .context = &prefill},
        {.name = "d", .role = CONFIG_DECODE, .sample = give_sample, .context = &decode}};
    const struct config config = {.unhealthy_after_s = 10};
    struct service service = {.parts = {.config = &config, .ports = ports, .n_ports = 2}};
    const struct {
        uint64_t at_s;
        struct worker_sample prefill, decode;
        bool healthy;
    } steps[] = {
        {100, {0}, {0}, true}, /* nothing was ever asked for */
        {200, {.waiting = 1}, {0}, false},
        {201, {.waiting = 1, .iterations = 1}, {0}, true},
        {211, {.running = 1, .iterations = 1}, {0}, true},
        {212, {.running = 1, .iterations = 1}, {0}, false},
        {213, {.running = 1, .offered = 1, .iterations = 2}, {.running = 1, .iterations = 1}, true},
        {223, {.running = 1, .offered = 1, .iterations = 2}, {.running = 1, .iterations = 2}, true},
        {233, {.running = 1, .offered = 1, .iterations = 2}, {.running = 1, .iterations = 3}, true},
        {243, {.running = 1, .offered = 1, .iterations = 2}, {.running = 1, .iterations = 3}, true},
        {244,
         {.running = 1, .offered = 1, .iterations = 2},
         {.running = 1, .iterations = 3},
         false},
        {245, {.iterations = 2}, {.iterations = 3}, true}, /* all cancelled */
    };

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        prefill = steps[i].prefill;
        decode = steps[i].decode;
        if (service_watch(&service, steps[i].at_s * SECOND) != steps[i].healthy)
            fail_msg("at %d s: not %s", (int)steps[i].at_s,
                     steps[i].healthy ? "healthy" : "unhealthy");
    }
}

/* Faults: shares that ignore `count`, more pages than there is memory, a worker that cannot hold
 * one sequence and would preempt for ever. */
static void pages_are_shared_out(void **state)
{
    struct config_worker workers[] = {{.name = (char[]){"p"}, .role = CONFIG_PREFILL, 1, 1},
                                      {.name = (char[]){"d"}, .role = CONFIG_DECODE, 2, 1.5}};
    struct config config = {
        .kv_memory = 1000 * 100, .max_num_seqs = 4, .workers = workers, .n_workers = 2};
    struct err err = {""};
    int pages[2];

    (void)state;
    assert_int_equal(kv_budget_share(&config, 100, 16, 4000, pages, &err), 0);
    assert_int_equal(pages[0], 250);
    assert_int_equal(pages[1], 375);
    assert_true(kv_budget_share(&config, 100, 16, 4001, pages, &err) < 0);
    assert_non_null(strstr(err.text, "engine.kv_memory: worker 'p' gets 250 pages"));
    assert_non_null(strstr(err.text, "needs 251"));
    config.kv_memory = 0; /* chosen by itself: no more than four sequences of 10 pages can use */
    assert_int_equal(kv_budget_share(&config, 64, 16, 160, pages, &err), 0);
    assert_int_equal(pages[0], 40);
    assert_int_equal(pages[1], 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_a_stuck_worker_is_unhealthy),
        cmocka_unit_test(pages_are_shared_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
