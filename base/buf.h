/*
 * A growable byte buffer with a maximum stated when it is made.
 *
 * Appending past the maximum or out of memory fails with -ENOBUFS / -ENOMEM, sets `failed` and
 * leaves the content as it was; later appends fail too, so a writer may check once at the end.
 * The bytes are always followed by a zero. Owner: one thread at a time.
 */
#ifndef TANDEM_BASE_BUF_H
#define TANDEM_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *bytes; /* NULL until the first append */
    size_t size, capacity, limit;
    bool failed;
};

void buf_init(struct buf *buf, size_t limit);
void buf_free(struct buf *buf);

/* Empties the buffer and keeps its memory; clears `failed`. */
void buf_clear(struct buf *buf);

/* Drops the first `count` bytes (at most all of them). */
void buf_consume(struct buf *buf, size_t count);

int buf_append(struct buf *buf, const void *bytes, size_t size);
int buf_puts(struct buf *buf, const char *text);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
