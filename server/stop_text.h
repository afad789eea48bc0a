/*
 * Stop strings in a growing text.
 *
 * Text comes in pieces of any size. What might be the beginning of a stop string is held back, so
 * no part of one is ever given out; the result does not depend on where the pieces are cut: the
 * match that ends first wins, and of those that end together the longest. Owner: one answer.
 */
#ifndef TANDEM_SERVER_STOP_TEXT_H
#define TANDEM_SERVER_STOP_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define STOP_TEXT_STRINGS_MAX 16
#define STOP_TEXT_BYTES_MAX 256 /* per string */

struct stop_strings {
    int count;
    struct {
        const char *bytes; /* owned by the request that carries them */
        size_t size;       /* 1 .. STOP_TEXT_BYTES_MAX */
    } at[STOP_TEXT_STRINGS_MAX];
};

struct stop_text {
    const struct stop_strings *strings;
    bool include; /* give the stop string itself out */
    size_t n_held;
    char held[STOP_TEXT_BYTES_MAX]; /* at most the longest stop string less one byte */
};

void stop_text_init(struct stop_text *stop, const struct stop_strings *strings, bool include);

/* Appends to `out` what is safe to give out. Sets *ret_matched to the index of the stop string that
 * ended the text, or -1; after a match nothing may be pushed. 0 or buf_append's error. */
int stop_text_push(struct stop_text *stop, const char *text, size_t size, struct buf *out,
                   int *ret_matched);

/* The answer ended without a match: what is held becomes text. */
int stop_text_finish(struct stop_text *stop, struct buf *out);

#endif
