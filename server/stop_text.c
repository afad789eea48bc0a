/*
 * The held bytes and the new piece are looked at as one text, end position by end position, so that
 * matches are found in the order in which single bytes would have found them.
 */
#include "server/stop_text.h"

#include <assert.h>
#include <string.h>

void stop_text_init(struct stop_text *stop, const struct stop_strings *strings, bool include)
{
    stop->strings = strings;
    stop->include = include;
    stop->n_held = 0;
}

/* A byte of held + text. */
static char byte_at(const struct stop_text *stop, const char *text, size_t index)
{
    return index < stop->n_held ? stop->held[index] : text[index - stop->n_held];
}

/* Do the `size` bytes from `start` on equal `bytes`? */
static bool equal_at(const struct stop_text *stop, const char *text, size_t start,
                     const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (byte_at(stop, text, start + i) != bytes[i])
            return false;
    return true;
}

/* Index of the longest stop string that ends at `end`, or -1. */
static int match_ending(const struct stop_text *stop, const char *text, size_t end)
{
    int best = -1;

    for (int i = 0; i < stop->strings->count; i++) {
        size_t size = stop->strings->at[i].size;

        if (size <= end && (best < 0 || size > stop->strings->at[best].size) &&
            equal_at(stop, text, end - size, stop->strings->at[i].bytes, size))
            best = i;
    }
    return best;
}

/* Length of the longest end of the text that is the beginning of a stop string, but not all of it.
 */
static size_t open_suffix(const struct stop_text *stop, const char *text, size_t total)
{
    size_t longest = 0;

    for (int i = 0; i < stop->strings->count; i++) {
        size_t most = stop->strings->at[i].size - 1;

        for (size_t n = most < total ? most : total; n > longest; n--)
            if (equal_at(stop, text, total - n, stop->strings->at[i].bytes, n))
                longest = n;
    }
    return longest;
}

/* Appends the first `count` bytes of held + text. */
static int give_out(const struct stop_text *stop, const char *text, size_t count, struct buf *out)
{
    size_t from_held = count < stop->n_held ? count : stop->n_held;
    int rc = buf_append(out, stop->held, from_held);

    return rc < 0 ? rc : buf_append(out, text, count - from_held);
}

int stop_text_push(struct stop_text *stop, const char *text, size_t size, struct buf *out,
                   int *ret_matched)
{
    size_t total = stop->n_held + size;

    *ret_matched = -1;
    for (size_t end = stop->n_held + 1; end <= total && stop->strings->count > 0; end++) {
        int match = match_ending(stop, text, end);

        if (match < 0)
            continue;
        if (!stop->include)
            end -= stop->strings->at[match].size;
        int rc = give_out(stop, text, end, out);

        if (rc < 0)
            return rc;
        stop->n_held = 0;
        *ret_matched = match;
        return 0;
    }
    size_t hold = open_suffix(stop, text, total);
    int rc = give_out(stop, text, total - hold, out);

    if (rc < 0)
        return rc;
    char held[STOP_TEXT_BYTES_MAX];

    assert(hold < sizeof held);
    for (size_t i = 0; i < hold; i++)
        held[i] = byte_at(stop, text, total - hold + i);
    memcpy(stop->held, held, hold);
    stop->n_held = hold;
    return 0;
}

int stop_text_finish(struct stop_text *stop, struct buf *out)
{
    int rc = buf_append(out, stop->held, stop->n_held);

    stop->n_held = 0;
    return rc;
}
