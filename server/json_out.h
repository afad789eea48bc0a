/*
 * Writing JSON straight into a buffer. Structure is written by the caller as text; these write the
 * values that need care. Failures stay in buf->failed, to be checked once at the end.
 */
#ifndef TANDEM_SERVER_JSON_OUT_H
#define TANDEM_SERVER_JSON_OUT_H

#include "base/buf.h"

#include <stddef.h>

/* A quoted string. The result is valid UTF-8 whatever the bytes are: those that are no UTF-8
 * become U+FFFD, one per maximal part of a character, as in Python's errors="replace". */
void json_out_string(struct buf *out, const char *bytes, size_t size);

/* A finite number with the nine digits a float needs; JSON has no infinity, so log probabilities
 * of zero are written as -9999.0, vLLM's value. */
void json_out_logprob(struct buf *out, float value);

/* [1,2,...]: the bytes as numbers, as OpenAI's logprobs carry them. */
void json_out_bytes(struct buf *out, const char *bytes, size_t size);

/* Length of the UTF-8 character that starts at bytes, or 0 when there is none; then *ret_bad is
 * how many bytes one U+FFFD stands for (Unicode 15, table 3-7 and section 3.9). size > 0. */
size_t json_out_character(const char *bytes, size_t size, size_t *ret_bad);

#endif
