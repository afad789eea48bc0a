/*
 * Well-formed UTF-8 as the Unicode Standard defines it (table 3-7): no overlong forms, no
 * surrogates, nothing above U+10FFFF. Pure; any thread.
 */
#ifndef TANDEM_MODEL_UTF8_H
#define TANDEM_MODEL_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* What the first of `size` > 0 bytes begins: the length (1 to 4) of a well-formed character; 0 when
 * the bytes end inside one that more bytes could complete; -n when the first n bytes (1 to 3) are a
 * maximal subpart that nothing can complete, which decoders replace by one U+FFFD. */
int utf8_length(const char *bytes, size_t size);

/* The code point of a well-formed character of this length. */
uint32_t utf8_code(const char *bytes, int length);

/* Bytes of the longest well-formed prefix. */
size_t utf8_valid_prefix(const char *bytes, size_t size);

#endif
