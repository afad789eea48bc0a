/* What goes out as text: JSON strings, error objects, histograms. */
#include "server/api_error.h"
#include "server/histogram.h"
#include "server/json_out.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

/* Faults: an unescaped control character or quote, a broken character passed on, one that is lost,
 * too many or too few U+FFFD (Python's errors="replace" is the reference). */
static void strings_are_valid_json(void **state)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } cases[] = {
        {"plain", 5, "\"plain\""},
        {"", 0, "\"\""},
        {"a\"b\\c\n\r\t", 8, "\"a\\\"b\\\\c\\n\\r\\t\""},
        {"\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\""},
        {"h\xc3\xa9 \xf0\x9f\x99\x82", 8, "\"h\xc3\xa9 \xf0\x9f\x99\x82\""},
        {"\xff\xfe", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"a\xe2\x82", 3, "\"a\xef\xbf\xbd\""},                           /* cut: one */
        {"\xe2\x82z", 3, "\"\xef\xbf\xbdz\""},                           /* followed by another */
        {"\xc0\x80", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {"\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf out;

        buf_init(&out, 1000);
        json_out_string(&out, cases[i].bytes, cases[i].size);
        assert_string_equal(out.bytes, cases[i].expected);
        json_t *parsed = json_loadb(out.bytes, out.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        assert_non_null(parsed);
        json_decref(parsed);
        buf_free(&out);
    }
}

/* Fault: a member of the error object that is missing, which OpenAI's client does not survive. */
static void error_object_is_complete(void **state)
{
    struct api_error error;
    struct buf out;

    (void)state;
    assert_true(api_error_set(&error, 400, "invalid_value", "a.b", "say \"%s\"", "x") < 0);
    buf_init(&out, 1000);
    api_error_write(&error, &out);
    assert_string_equal(out.bytes, "{\"error\":{\"message\":\"say \\\"x\\\"\",\"type\":"
                                   "\"invalid_request_error\",\"param\":\"a.b\",\"code\":"
                                   "\"invalid_value\"}}");
    buf_clear(&out);
    api_error_set(&error, 503, NULL, NULL, "no");
    api_error_write(&error, &out);
    assert_string_equal(out.bytes, "{\"error\":{\"message\":\"no\",\"type\":"
                                   "\"service_unavailable_error\",\"param\":null,\"code\":null}}");
    buf_free(&out);
}

/* Fault: a bound that belongs to the bucket above it, or buckets that are not cumulative. */
static void histogram_buckets(void **state)
{
    static const double bounds[] = {0.1, 1, 10};
    struct histogram histogram;
    struct buf out;

    (void)state;
    histogram_init(&histogram, bounds, 3);
    for (double value = 0.05; value < 200; value *= 2)
        histogram_observe(&histogram, value);
    histogram_observe(&histogram, 1);
    buf_init(&out, 4000);
    histogram_write(&histogram, "h", "a=\"b\"", &out);
    assert_string_equal(out.bytes, "h_bucket{a=\"b\",le=\"0.1\"} 2\n"
                                   "h_bucket{a=\"b\",le=\"1\"} 6\n"
                                   "h_bucket{a=\"b\",le=\"10\"} 9\n"
                                   "h_bucket{a=\"b\",le=\"+Inf\"} 13\n"
                                   "h_sum{a=\"b\"} 205.75\n"
                                   "h_count{a=\"b\"} 13\n");
    buf_free(&out);
}

/* Fault: a series that stops below the largest value, so that long prompts have no bucket. */
static void token_series_covers_the_model(void **state)
{
    double bounds[HISTOGRAM_BOUNDS_MAX];

    (void)state;
    int n = histogram_series(bounds, 8192);

    assert_int_equal(n, 13);
    assert_true(bounds[0] == 1 && bounds[1] == 2 && bounds[2] == 5 && bounds[3] == 10);
    assert_true(bounds[n - 1] == 10000);
    n = histogram_series(bounds, 1e9);
    assert_true(n <= HISTOGRAM_BOUNDS_MAX && bounds[n - 1] >= 1e9);
}

/* Fault: "inf" or "nan", which is no JSON. */
static void log_probabilities_are_numbers(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    json_out_logprob(&out, -0.5f);
    buf_puts(&out, " ");
    json_out_logprob(&out, -INFINITY);
    buf_puts(&out, " ");
    json_out_bytes(&out, "a\xff", 2);
    assert_string_equal(out.bytes, "-0.5 -9999 [97,255]");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_valid_json),
        cmocka_unit_test(error_object_is_complete),
        cmocka_unit_test(histogram_buckets),
        cmocka_unit_test(token_series_covers_the_model),
        cmocka_unit_test(log_probabilities_are_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
