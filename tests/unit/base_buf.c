/* base/buf.h and base/err.h: limits, failure that sticks, consuming from the front. */
#include "base/buf.h"
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Catches an append past the limit that is cut, or that changes what was there; and a later small
 * append that would hide the gap. */
static void test_append_limit(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 10);
    assert_int_equal(buf_puts(&buf, "01234567"), 0);
    assert_int_equal(buf_puts(&buf, "89"), 0);
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    assert_int_equal(buf_puts(&buf, "x"), -ENOBUFS);
    assert_true(buf.failed);
    assert_string_equal(buf.bytes, "0123456789");
    buf_consume(&buf, 9);
    assert_string_equal(buf.bytes, "9");
    assert_int_equal(buf_puts(&buf, "x"), -ENOBUFS);
    buf_clear(&buf);
    assert_false(buf.failed);
    assert_int_equal(buf_puts(&buf, "again"), 0);
    assert_string_equal(buf.bytes, "again");
    buf_free(&buf);
}

/* Catches sizes whose sum wraps. */
static void test_huge_size(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 1 << 20);
    assert_int_equal(buf_puts(&buf, "abc"), 0);
    assert_int_equal(buf_append(&buf, "x", SIZE_MAX), -ENOBUFS);
    assert_string_equal(buf.bytes, "abc");
    buf_free(&buf);
}

/* Catches a printf that writes when its text does not fit, or needs one byte more than the text. */
static void test_printf(void **state)
{
    struct buf buf;

    (void)state;
    buf_init(&buf, 8);
    assert_int_equal(buf_printf(&buf, "%d-%s", 12, "abc"), 0);
    assert_string_equal(buf.bytes, "12-abc");
    assert_int_equal(buf_printf(&buf, "%s", "xyz"), -ENOBUFS);
    assert_string_equal(buf.bytes, "12-abc");
    buf_clear(&buf);
    assert_int_equal(buf_printf(&buf, "%s", "12345678"), 0);
    assert_int_equal(buf.size, 8);
    buf_free(&buf);
}

/* Catches an off-by-one in moving what is left to the front. */
static void test_consume(void **state)
{
    static const struct {
        size_t count;
        const char *left;
    } cases[] = {{0, "abcdef"}, {1, "bcdef"}, {5, "f"}, {6, ""}, {7, ""}, {SIZE_MAX, ""}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf buf;

        buf_init(&buf, 100);
        buf_consume(&buf, 3); /* nothing there yet */
        assert_int_equal(buf_puts(&buf, "abcdef"), 0);
        buf_consume(&buf, cases[i].count);
        assert_int_equal(buf.size, strlen(cases[i].left));
        assert_string_equal(buf.bytes, cases[i].left);
        assert_int_equal(buf_puts(&buf, "gh"), 0);
        assert_int_equal(buf.size, strlen(cases[i].left) + 2);
        buf_free(&buf);
    }
}

/* Catches growth that does not reach the limit exactly, or that loses bytes already written. */
static void test_growth(void **state)
{
    static const char rest[90000];
    struct buf buf;

    (void)state;
    buf_init(&buf, 100000);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_append(&buf, &(char){(char)i}, 1), 0);
    assert_int_equal(buf_append(&buf, rest, sizeof rest), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf.bytes[i], (char)i);
    assert_int_equal(buf_append(&buf, "x", 1), -ENOBUFS);
    buf_free(&buf);
}

/* Catches an unterminated message and a code with the wrong sign. */
static void test_err(void **state)
{
    struct err err;
    char text[ERR_TEXT_MAX * 2];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(err_set(&err, EINVAL, "%s", text), -EINVAL);
    assert_int_equal(strlen(err.text), ERR_TEXT_MAX - 1);
    assert_int_equal(err_set(&err, ENOENT, "key '%s'", "a"), -ENOENT);
    assert_string_equal(err.text, "key 'a'");
    assert_int_equal(err_set(NULL, E2BIG, "unread"), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_limit), cmocka_unit_test(test_huge_size),
        cmocka_unit_test(test_printf),       cmocka_unit_test(test_consume),
        cmocka_unit_test(test_growth),       cmocka_unit_test(test_err),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
