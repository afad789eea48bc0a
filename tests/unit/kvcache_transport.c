/* The copying transport between two arenas: bytes, partial progress, giving up. */
#include "kvcache/transport.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_BYTES 4096
#define COUNT 20

struct fixture {
    struct kv_arena near, far;
    struct page_pool *source, *destination;
    int32_t source_pages[COUNT], pages[COUNT], returned[COUNT];
    struct page_pull pull;
};

static int open_pull(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(kv_arena_open(&f->near, PAGE_BYTES, 40, NULL), 0);
    assert_int_equal(kv_arena_open(&f->far, PAGE_BYTES, 40, NULL), 0);
    assert_int_equal(page_pool_create(&f->source, &f->near, 0, 40), 0);
    assert_int_equal(page_pool_create(&f->destination, &f->far, 0, 40), 0);
    assert_int_equal(page_pool_alloc(f->source, COUNT, f->source_pages), 0);
    /* Shift the ids, so that source and destination differ. */
    int32_t skipped[3];

    assert_int_equal(page_pool_alloc(f->destination, 3, skipped), 0);
    assert_int_equal(page_pool_alloc(f->destination, COUNT, f->pages), 0);
    page_pool_free(f->destination, skipped, 3);
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < PAGE_BYTES; j++)
            kv_arena_page(&f->near, f->source_pages[i])[j] =
                (unsigned char)(i * 31 + j * 7 + j / 256);
    f->pull = (struct page_pull){.source_arena = &f->near,
                                 .destination = f->destination,
                                 .source_pages = f->source_pages,
                                 .pages = f->pages,
                                 .returned = f->returned,
                                 .count = COUNT};
    *state = f;
    return 0;
}

static int close_pull(void **state)
{
    struct fixture *f = *state;

    page_pool_check(f->source);
    page_pool_check(f->destination);
    assert_int_equal(page_pool_free_count(f->source), 40);
    assert_int_equal(page_pool_free_count(f->destination), 40);
    page_pool_destroy(f->source);
    page_pool_destroy(f->destination);
    kv_arena_close(&f->near);
    kv_arena_close(&f->far);
    free(f);
    return 0;
}

/* Fault: a page copied to the wrong place, in part, or one left out. */
static void copy_is_byte_identical(void **state)
{
    struct fixture *f = *state;
    int polls = 1, before = 0;

    assert_int_equal(kv_transport_copy.post(&f->pull), 0);
    while (kv_transport_copy.poll(&f->pull) == PULL_IN_FLIGHT) {
        assert_true(f->pull.moved > before); /* every poll makes progress */
        before = f->pull.moved;
        polls++;
    }
    assert_true(polls > 1); /* a long prompt does not go in one piece */
    assert_int_equal(f->pull.moved, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_memory_equal(kv_arena_page(&f->far, f->pages[i]),
                            kv_arena_page(&f->near, f->source_pages[i]), PAGE_BYTES);
    kv_transport_copy.release(f->source, f->source_pages, NULL, COUNT);
    page_pool_free(f->destination, f->pages, COUNT);
}

/* Fault: giving up in the middle leaves pages that neither side can free. */
static void cancel_in_the_middle(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(kv_transport_copy.post(&f->pull), 0);
    assert_int_equal(kv_transport_copy.poll(&f->pull), PULL_IN_FLIGHT);
    kv_transport_copy.cancel(&f->pull);
    page_pool_free(f->destination, f->pages, COUNT);
    page_pool_free(f->source, f->source_pages, COUNT);
}

/* Fault: ids of one arena taken as ids of another. */
static void exchange_refuses_another_arena(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(kv_transport_exchange.post(&f->pull), -EXDEV);
    page_pool_free(f->destination, f->pages, COUNT);
    page_pool_free(f->source, f->source_pages, COUNT);
}

/* Fault: pages of another model's layout are copied past their end. */
static void copy_refuses_another_layout(void **state)
{
    struct fixture *f = *state;
    struct kv_arena other;

    assert_int_equal(kv_arena_open(&other, PAGE_BYTES * 2, 4, NULL), 0);
    f->pull.source_arena = &other;
    assert_int_equal(kv_transport_copy.post(&f->pull), -EINVAL);
    kv_arena_close(&other);
    page_pool_free(f->destination, f->pages, COUNT);
    page_pool_free(f->source, f->source_pages, COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(copy_is_byte_identical, open_pull, close_pull),
        cmocka_unit_test_setup_teardown(cancel_in_the_middle, open_pull, close_pull),
        cmocka_unit_test_setup_teardown(exchange_refuses_another_arena, open_pull, close_pull),
        cmocka_unit_test_setup_teardown(copy_refuses_another_layout, open_pull, close_pull),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
