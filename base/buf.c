#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *buf, size_t limit)
{
    *buf = (struct buf){.limit = limit};
}

void buf_free(struct buf *buf)
{
    free(buf->bytes);
    *buf = (struct buf){.limit = buf->limit};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    if (buf->bytes)
        buf->bytes[0] = '\0';
}

void buf_consume(struct buf *buf, size_t count)
{
    if (count >= buf->size) {
        buf->size = 0;
    } else {
        memmove(buf->bytes, buf->bytes + count, buf->size - count);
        buf->size -= count;
    }
    if (buf->bytes)
        buf->bytes[buf->size] = '\0';
}

static int grow(struct buf *buf, size_t size)
{
    if (buf->failed)
        return -ENOBUFS;
    if (size > buf->limit - buf->size) {
        buf->failed = true;
        return -ENOBUFS;
    }
    size_t need = buf->size + size + 1;

    if (need <= buf->capacity)
        return 0;
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity;

    while (capacity < need)
        capacity *= 2;
    if (capacity > buf->limit + 1)
        capacity = buf->limit + 1;
    char *bytes = realloc(buf->bytes, capacity);

    if (!bytes) {
        buf->failed = true;
        return -ENOMEM;
    }
    buf->bytes = bytes;
    buf->capacity = capacity;
    return 0;
}

int buf_append(struct buf *buf, const void *bytes, size_t size)
{
    int rc = grow(buf, size);

    if (rc < 0)
        return rc;
    if (size > 0)
        memcpy(buf->bytes + buf->size, bytes, size);
    buf->size += size;
    buf->bytes[buf->size] = '\0';
    return 0;
}

int buf_puts(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;

    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);

    va_end(args);
    int rc = length < 0 ? -EINVAL : grow(buf, (size_t)length);

    if (rc == 0) {
        vsnprintf(buf->bytes + buf->size, (size_t)length + 1, format, again);
        buf->size += (size_t)length;
    }
    va_end(again);
    return rc;
}
