/* JSON text (RFC 8259): only what must be escaped is escaped, so text stays readable. */
#include "server/json_out.h"

#include <math.h>
#include <string.h>

size_t json_out_character(const char *bytes, size_t size, size_t *ret_bad)
{
    const unsigned char *s = (const unsigned char *)bytes;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t length;

    *ret_bad = 1;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        length = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        length = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    for (size_t i = 1; i < length; i++) {
        if (i >= size || s[i] < low || s[i] > high) {
            *ret_bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

static void write_escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': buf_puts(out, "\\\""); break;
    case '\\': buf_puts(out, "\\\\"); break;
    case '\n': buf_puts(out, "\\n"); break;
    case '\r': buf_puts(out, "\\r"); break;
    case '\t': buf_puts(out, "\\t"); break;
    default: buf_printf(out, "\\u%04x", c);
    }
}

void json_out_string(struct buf *out, const char *bytes, size_t size)
{
    size_t plain = 0, at = 0; /* bytes[plain, at) need no change */

    buf_append(out, "\"", 1);
    while (at < size) {
        unsigned char c = (unsigned char)bytes[at];
        size_t bad, length = json_out_character(bytes + at, size - at, &bad);

        if (length > 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
            at += length;
            continue;
        }
        buf_append(out, bytes + plain, at - plain);
        if (length == 0)
            buf_puts(out, "\xef\xbf\xbd");
        else
            write_escape(out, c);
        at += length ? length : bad;
        plain = at;
    }
    buf_append(out, bytes + plain, at - plain);
    buf_append(out, "\"", 1);
}

void json_out_logprob(struct buf *out, float value)
{
    buf_printf(out, "%.9g", isfinite(value) ? (double)value : -9999.0);
}

void json_out_bytes(struct buf *out, const char *bytes, size_t size)
{
    buf_append(out, "[", 1);
    for (size_t i = 0; i < size; i++)
        buf_printf(out, i ? ",%u" : "%u", (unsigned)(unsigned char)bytes[i]);
    buf_append(out, "]", 1);
}
