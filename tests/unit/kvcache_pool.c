/* Page pools: who owns which page, and that misuse stops the process instead of corrupting it. */
#include "kvcache/pool.h"

#include "base/philox.h"
#include "kvcache/transport.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define N_PAGES 24
#define PAGE_BYTES 4096

struct fixture {
    struct kv_arena arena;
    struct page_pool *left, *right; /* 16 pages and 8 pages of one arena */
};

static int open_pools(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(kv_arena_open(&f->arena, PAGE_BYTES, N_PAGES, NULL), 0);
    assert_int_equal(page_pool_create(&f->left, &f->arena, 0, 16), 0);
    assert_int_equal(page_pool_create(&f->right, &f->arena, 16, 8), 0);
    *state = f;
    return 0;
}

static int close_pools(void **state)
{
    struct fixture *f = *state;

    page_pool_check(f->left);
    page_pool_check(f->right);
    page_pool_destroy(f->left);
    page_pool_destroy(f->right);
    kv_arena_close(&f->arena);
    free(f);
    return 0;
}

/* Fault: a failed allocation that keeps some of the pages it got. */
static void all_or_nothing(void **state)
{
    struct fixture *f = *state;
    int32_t pages[16];

    assert_int_equal(page_pool_alloc(f->right, 5, pages), 0);
    assert_int_equal(page_pool_alloc(f->right, 4, pages + 5), -ENOSPC);
    assert_int_equal(page_pool_free_count(f->right), 3);
    assert_int_equal(page_pool_alloc(f->right, 3, pages + 5), 0);
    assert_int_equal(page_pool_free_count(f->right), 0);
    for (int i = 0; i < 8; i++) {
        assert_in_range(pages[i], 16, 23); /* its own share only */
        for (int j = 0; j < i; j++)
            assert_int_not_equal(pages[i], pages[j]);
        memset(kv_arena_page(&f->arena, pages[i]), 1, PAGE_BYTES);
    }
    page_pool_free(f->right, pages, 8);
    assert_int_equal(page_pool_free_count(f->right), 8);
}

/* Fault: after a hand-over a page is free in two pools, or in none. */
static void exchange_keeps_totals(void **state)
{
    struct fixture *f = *state;
    int32_t source[3], reserved[3], ids[3], returned[3];

    assert_int_equal(page_pool_alloc(f->left, 3, source), 0);
    assert_int_equal(page_pool_alloc(f->right, 3, reserved), 0);
    for (int i = 0; i < 3; i++)
        memset(kv_arena_page(&f->arena, source[i]), 'a' + i, PAGE_BYTES);
    memcpy(ids, reserved, sizeof ids);
    struct page_pull pull = {.source_arena = &f->arena,
                             .destination = f->right,
                             .source_pages = source,
                             .pages = ids,
                             .returned = returned,
                             .count = 3};

    assert_int_equal(kv_transport_exchange.post(&pull), 0);
    assert_int_equal(kv_transport_exchange.poll(&pull), PULL_DONE);
    assert_memory_equal(ids, source, sizeof ids);
    assert_memory_equal(returned, reserved, sizeof returned);
    /* In between nobody may hand the reserved pages out. */
    assert_int_equal(page_pool_free_count(f->left) + page_pool_free_count(f->right), N_PAGES - 6);
    kv_transport_exchange.release(f->left, source, returned, 3);
    assert_int_equal(page_pool_free_count(f->left), 16);
    assert_int_equal(page_pool_total(f->left), 16);
    assert_int_equal(page_pool_total(f->right), 8);
    for (int i = 0; i < 3; i++)
        assert_int_equal(kv_arena_page(&f->arena, ids[i])[PAGE_BYTES - 1], 'a' + i);
    page_pool_free(f->right, ids, 3);
    assert_int_equal(page_pool_free_count(f->right), 8);
}

static void free_twice(struct fixture *f, const int32_t *page)
{
    page_pool_free(f->left, page, 1);
    page_pool_free(f->left, page, 1);
}

static void free_foreign(struct fixture *f, const int32_t *page)
{
    page_pool_free(f->right, page, 1);
}

static void cede_free(struct fixture *f, const int32_t *page)
{
    page_pool_free(f->left, page, 1);
    page_pool_cede(f->left, page, 1);
}

static void adopt_own(struct fixture *f, const int32_t *page)
{
    page_pool_adopt(f->left, page, 1);
}

/* Fault: a page freed twice or owned twice goes unnoticed until two requests write into it. */
static void misuse_stops_the_process(void **state)
{
    struct fixture *f = *state;
    void (*const faults[])(struct fixture *, const int32_t *) = {free_twice, free_foreign,
                                                                 cede_free, adopt_own};
    int32_t page;

    assert_int_equal(page_pool_alloc(f->left, 1, &page), 0);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
            const struct rlimit no_core = {0};

            setrlimit(RLIMIT_CORE, &no_core);
            close(STDERR_FILENO); /* the assertion's text is expected */
            signal(SIGABRT, SIG_DFL);
            faults[i](f, &page);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
    page_pool_free(f->left, &page, 1);
}

/* Fault: any order of operations that loses a page or gives it to two owners (against a model). */
static void random_operations(void **state)
{
    struct fixture *f = *state;
    const uint64_t seed = 7;
    struct page_pool *pools[2] = {f->left, f->right};
    int32_t held[2][N_PAGES];
    int n_held[2] = {0};
    const int total[2] = {16, 8};

    print_message("seed %llu\n", (unsigned long long)seed);
    for (uint64_t step = 0; step < 20000; step++) {
        const int side = philox_uniform(seed, step, 0) < 0.5;
        const int count = (int)(philox_uniform(seed, step, 1) * 6);

        if (philox_uniform(seed, step, 2) < 0.5) {
            const int rc = page_pool_alloc(pools[side], count, held[side] + n_held[side]);

            assert_int_equal(rc, count > total[side] - n_held[side] ? -ENOSPC : 0);
            n_held[side] += rc ? 0 : count;
        } else if (count <= n_held[side]) {
            n_held[side] -= count;
            page_pool_free(pools[side], held[side] + n_held[side], count);
        }
        assert_int_equal(page_pool_free_count(pools[side]), total[side] - n_held[side]);
        page_pool_check(pools[side]);
    }
    for (int side = 0; side < 2; side++)
        page_pool_free(pools[side], held[side], n_held[side]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_or_nothing, open_pools, close_pools),
        cmocka_unit_test_setup_teardown(exchange_keeps_totals, open_pools, close_pools),
        cmocka_unit_test_setup_teardown(misuse_stops_the_process, open_pools, close_pools),
        cmocka_unit_test_setup_teardown(random_operations, open_pools, close_pools),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
