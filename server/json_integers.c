/* jansson refuses a document for one integer beyond 64 bits, even in a field nobody reads. */
#include "server/json_integers.h"

#include <stdbool.h>
#include <string.h>

#define DIGITS 19 /* of INT64_MAX and INT64_MIN */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The byte behind the string whose opening quote is at `at`. */
static size_t skip_string(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++)
        at += text[at] == '\\';
    return at + 1;
}

static bool exceeds_int64(const char *digits, size_t n_digits, bool negative)
{
    const char *most = negative ? "9223372036854775808" : "9223372036854775807";

    return n_digits > DIGITS || (n_digits == DIGITS && memcmp(digits, most, DIGITS) > 0);
}

void json_integers_to_reals(char *text, size_t size)
{
    size_t at = 0;

    while (at < size) {
        if (text[at] == '"') {
            at = skip_string(text, size, at);
            continue;
        }
        bool negative = text[at] == '-';
        size_t first = at + negative, end = first;

        while (end < size && is_digit(text[end]))
            end++;
        /* Digits of a fraction or an exponent are no integer; neither is what one follows. */
        bool whole = end == size || (text[end] != '.' && text[end] != 'e' && text[end] != 'E');

        if (whole && exceeds_int64(text + first, end - first, negative))
            memcpy(text + end - 2, "e2", 2);
        at = end > at ? end : at + 1;
        while (end > first && at < size && strchr("+-.eE0123456789", text[at]) && text[at])
            at++;
    }
}
