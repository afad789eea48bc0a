/* base/arena.h: bounds, alignment, zeroing. */
#include "base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Catches an arena that hands out more than its limit, or miscounts what rounding adds. */
static void test_limit(void **state)
{
    const size_t unit = alignof(max_align_t);
    struct arena arena;

    (void)state;
    arena_init(&arena, 4 * unit);
    assert_non_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.used, unit);
    assert_non_null(arena_alloc(&arena, 2 * unit));
    assert_null(arena_alloc(&arena, unit + 1));
    assert_non_null(arena_alloc(&arena, unit));
    assert_null(arena_alloc(&arena, 1));
    assert_int_equal(arena.used, 4 * unit);
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
    assert_non_null(arena_alloc(&arena, 4 * unit));
    arena_reset(&arena);
}

/* Catches a size near SIZE_MAX whose rounding wraps to something small. */
static void test_huge_sizes(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX / 2};
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_null(arena_alloc(&arena, sizes[i]));
    assert_int_equal(arena.used, 0);
    arena_reset(&arena);
}

/* Catches objects that overlap, are not zeroed or not aligned, over several blocks and one object
 * larger than a block. */
static void test_objects(void **state)
{
    enum { COUNT = 200 };
    static const size_t big = 100000;
    unsigned char *objects[COUNT];
    size_t sizes[COUNT];
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = i == 77 ? big : i * 7 % 900;
        objects[i] = arena_alloc(&arena, sizes[i]);
        assert_non_null(objects[i]);
        assert_int_equal((uintptr_t)objects[i] % alignof(max_align_t), 0);
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(objects[i][at], 0);
        memset(objects[i], (int)i + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < sizes[i]; at++)
            assert_int_equal(objects[i][at], (unsigned char)(i + 1));
    }
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_huge_sizes),
        cmocka_unit_test(test_objects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
