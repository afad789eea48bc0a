/*
 * Stop strings: what is given out, what is held, and that cutting the text anywhere changes
 * nothing.
 */
#include "server/stop_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

struct stop_case {
    const char *stops[4];
    const char *text, *expected; /* given out in the end */
    int matched;
    bool include;
};

static const struct stop_case cases[] = {
    {{"END"}, "one END two", "one ", 0, false},
    {{"END"}, "one END two", "one END", 0, true},
    {{"END"}, "one EN", "one EN", -1, false},             /* held back, then given out */
    {{"aab"}, "aaab", "a", 0, false},                     /* a match that begins inside one */
    {{"abab"}, "abaabab!", "aba", 0, false},              /* falls back within the string */
    {{"x", "yx"}, "ayx", "a", 1, false},                  /* the longer of two ends */
    {{"abc", "b"}, "abc", "a", 1, false},                 /* the one that ends first */
    {{"\n\n", "\nUser:"}, "hi\nUser: ", "hi", 1, false},  /* both begin alike */
    {{"\xe2\x82\xac"}, "5 \xe2\x82\xac", "5 ", 0, false}, /* a character of three bytes */
    {{"\xe2\x82\xac"}, "5 \xe2\x82\xad", "5 \xe2\x82\xad", -1, false}, /* that shares two of them */
    {{NULL}, "anything", "anything", -1, false},
};

static struct stop_strings strings_of(const struct stop_case *c)
{
    struct stop_strings strings = {0};

    for (int i = 0; i < 4 && c->stops[i]; i++) {
        strings.at[i].bytes = c->stops[i];
        strings.at[strings.count++].size = strlen(c->stops[i]);
    }
    return strings;
}

/* Pushes the text in pieces of `step` bytes, as a stream does. */
static int push_all(const struct stop_case *c, size_t step, struct buf *out)
{
    struct stop_strings strings = strings_of(c);
    struct stop_text stop;
    size_t size = strlen(c->text);
    int matched = -1;

    stop_text_init(&stop, &strings, c->include);
    for (size_t at = 0; at < size && matched < 0; at += step) {
        size_t n = size - at < step ? size - at : step;

        assert_int_equal(stop_text_push(&stop, c->text + at, n, out, &matched), 0);
    }
    if (matched < 0)
        assert_int_equal(stop_text_finish(&stop, out), 0);
    return matched;
}

/* Fault: a result that depends on how tokens cut the text. */
static void any_cut_gives_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= 12; step++) {
            struct buf out;

            buf_init(&out, 1000);
            assert_int_equal(push_all(&cases[i], step, &out), cases[i].matched);
            assert_string_equal(out.size ? out.bytes : "", cases[i].expected);
            buf_free(&out);
        }
}

/* Fault: giving out the beginning of a stop string before it is decided. */
static void beginning_is_held(void **state)
{
    struct stop_strings strings = strings_of(&(struct stop_case){.stops = {"</tool>", "<|end|>"}});
    struct stop_text stop;
    struct buf out;
    int matched;

    (void)state;
    buf_init(&out, 1000);
    stop_text_init(&stop, &strings, false);
    assert_int_equal(stop_text_push(&stop, "text <", 6, &out, &matched), 0);
    assert_string_equal(out.bytes, "text ");
    assert_int_equal(stop_text_push(&stop, "/to", 3, &out, &matched), 0);
    assert_string_equal(out.bytes, "text ");
    assert_int_equal(stop_text_push(&stop, "ys", 2, &out, &matched), 0);
    assert_string_equal(out.bytes, "text </toys");
    buf_free(&out);
}

/* Fault: a held part longer than the room for it (the longest string, less one byte). */
static void longest_string(void **state)
{
    char stop_bytes[STOP_TEXT_BYTES_MAX], text[STOP_TEXT_BYTES_MAX];
    struct stop_strings strings = {.count = 1};
    struct stop_text stop;
    struct buf out;
    int matched;

    (void)state;
    memset(stop_bytes, 'a', sizeof stop_bytes);
    memset(text, 'a', sizeof text);
    stop_bytes[sizeof stop_bytes - 1] = 'b';
    strings.at[0].bytes = stop_bytes;
    strings.at[0].size = sizeof stop_bytes;
    buf_init(&out, 4000);
    stop_text_init(&stop, &strings, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(stop_text_push(&stop, text, sizeof text, &out, &matched), 0);
    assert_int_equal(out.size, 2 * sizeof text + 1);
    assert_int_equal(stop_text_push(&stop, "b", 1, &out, &matched), 0);
    assert_int_equal(matched, 0);
    assert_int_equal(out.size, 2 * sizeof text + 1);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(beginning_is_held),
        cmocka_unit_test(longest_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
