/*
 * Tokens that are found in the text as written, before any splitting: user-defined ones always,
 * control ones only where the text is trusted.
 *
 * Kept as a sorted array that is narrowed byte by byte, so a lookup costs the length of the match
 * times the logarithm of the number of tokens, whatever the text. Read-only after
 * added_tokens_init: any thread.
 */
#ifndef TANDEM_MODEL_ADDED_TOKENS_H
#define TANDEM_MODEL_ADDED_TOKENS_H

#include "model/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct added_token {
    struct gguf_string text; /* of the vocabulary */
    int32_t id;
    bool control;
};

struct added_tokens {
    struct added_token *sorted; /* by bytes; shorter first */
    int count;
    int first[257]; /* index of the first token beginning with this byte or a higher one */
};

/* 0 or -ENOMEM. The vocabulary must outlive it. */
int added_tokens_init(struct added_tokens *ret, const struct vocabulary *vocabulary);
void added_tokens_free(struct added_tokens *added);

/* The longest token that `text` begins with: its length in bytes and *ret_id; 0 when there is none.
 * Control tokens are looked for in the first `trusted` bytes only. */
size_t added_tokens_match(const struct added_tokens *added, const char *text, size_t size,
                          size_t trusted, int32_t *ret_id);

#endif
