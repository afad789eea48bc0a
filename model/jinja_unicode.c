/* Lookups by binary search; UTF-8 arithmetic. */
#include "model/jinja_unicode.h"

#include <string.h>

static size_t unicode_width(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

uint32_t jinja_utf8_next(const char **at)
{
    static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const unsigned char *bytes = (const unsigned char *)*at;
    size_t width = unicode_width(bytes[0]);
    uint32_t code = bytes[0] & mask[width];

    for (size_t i = 1; i < width; i++)
        code = code << 6 | (bytes[i] & 0x3f);
    *at += width;
    return code;
}

const char *jinja_utf8_before(const char *at)
{
    do
        at--;
    while (((unsigned char)*at & 0xc0) == 0x80);
    return at;
}

size_t jinja_utf8_put(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

size_t jinja_utf8_count(const char *bytes, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)bytes[i] & 0xc0) != 0x80;
    return count;
}

bool jinja_is(enum jinja_class which, uint32_t code)
{
    const struct jinja_class_table *table = &jinja_class_tables[which];
    size_t low = 0, high = table->n_edges;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (table->edges[middle] <= code)
            low = middle + 1;
        else
            high = middle;
    }
    return low % 2 == 1;
}

bool jinja_is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
           code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool jinja_is_line_end(uint32_t code)
{
    return (code >= 0x0a && code <= 0x0d) || (code >= 0x1c && code <= 0x1e) || code == 0x85 ||
           code == 0x2028 || code == 0x2029;
}

bool jinja_is_word(uint32_t code)
{
    return code == '_' || jinja_is(JINJA_ALPHA, code) || jinja_is(JINJA_NUMERIC, code);
}

static uint32_t unicode_run(const struct jinja_case_table *table, uint32_t code)
{
    size_t low = 0, high = table->n_runs;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct jinja_case_run *run = &table->runs[middle];

        if (code < run->first)
            high = middle;
        else if (code > run->last)
            low = middle + 1;
        else
            return (code - run->first) % run->stride == 0 ? (uint32_t)((int32_t)code + run->delta)
                                                          : code;
    }
    return code;
}

size_t jinja_map_case(enum jinja_case which, uint32_t code, char out[16])
{
    const struct jinja_case_table *table = &jinja_case_tables[which];
    size_t low = 0, high = table->n_specials;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (table->specials[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < table->n_specials && table->specials[low].code == code) {
        size_t size = strlen(table->specials[low].text);

        memcpy(out, table->specials[low].text, size);
        return size;
    }
    return jinja_utf8_put(out, unicode_run(table, code));
}
