#include "model/utf8.h"

#include <string.h>

int utf8_length(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    unsigned char lead = bytes[0], low = 0x80, high = 0xbf;
    int length;

    if (lead < 0x80)
        return 1;
    if (lead < 0xc2 || lead > 0xf4)
        return -1;
    if (lead < 0xe0) {
        length = 2;
    } else if (lead < 0xf0) {
        length = 3;
        low = lead == 0xe0 ? 0xa0 : 0x80;
        high = lead == 0xed ? 0x9f : 0xbf;
    } else {
        length = 4;
        low = lead == 0xf0 ? 0x90 : 0x80;
        high = lead == 0xf4 ? 0x8f : 0xbf;
    }
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size)
            return 0;
        if (bytes[i] < low || bytes[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

uint32_t utf8_code(const char *text, int length)
{
    static const unsigned char lead_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t code = bytes[0] & lead_bits[length];

    for (int i = 1; i < length; i++)
        code = code << 6 | (bytes[i] & 0x3f);
    return code;
}

size_t utf8_valid_prefix(const char *bytes, size_t size)
{
    size_t i = 0;

    while (i < size) {
        uint64_t eight;

        if (size - i >= sizeof eight) {
            memcpy(&eight, bytes + i, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof eight;
                continue;
            }
        }
        int length = utf8_length(bytes + i, size - i);

        if (length <= 0)
            break;
        i += (size_t)length;
    }
    return i;
}
