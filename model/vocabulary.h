/*
 * The token table of a GGUF file: what every id stands for in bytes, and the way back.
 *
 * A byte-level BPE vocabulary writes each byte as one printable character (GPT-2's alphabet) and
 * SPM writes a space as U+2581; both are undone here once, so that the rest of the tokenizer works
 * on plain bytes. Control and user-defined tokens are written as they are. Read-only after
 * vocabulary_load: any thread.
 */
#ifndef TANDEM_MODEL_VOCABULARY_H
#define TANDEM_MODEL_VOCABULARY_H

#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOCABULARY_TOKENS_MAX (1 << 22)
#define VOCABULARY_TOKEN_BYTES_MAX 4096 /* written length of one token */

/* Numbers are those of tokenizer.ggml.token_type. */
enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN,
    TOKEN_CONTROL,
    TOKEN_USER_DEFINED,
    TOKEN_UNUSED,
    TOKEN_BYTE,
};

enum vocabulary_spelling {
    SPELLING_BYTE_LEVEL, /* GPT-2's alphabet */
    SPELLING_SPM,
};

struct vocabulary_slot {
    uint32_t hash;
    int32_t id; /* -1: empty */
};

struct vocabulary {
    int count;
    enum vocabulary_spelling spelling;
    unsigned char *types;
    struct gguf_string *pieces; /* by id; into `bytes` */
    char *bytes;
    int32_t byte_tokens[256];      /* the token of each single byte; -1: none */
    struct vocabulary_slot *slots; /* tokens that ordinary text may become, by piece */
    size_t slot_mask;
    size_t piece_max; /* longest piece among them */
};

/* Reads tokenizer.ggml.tokens and token_type. On error nothing is kept. */
int vocabulary_load(struct vocabulary *ret, const struct gguf *file,
                    enum vocabulary_spelling spelling, struct err *err);
void vocabulary_free(struct vocabulary *vocabulary);

/* The token that ordinary text with these bytes may become: a normal one, in byte-level
 * vocabularies also a user-defined one; never a control token. -1 when there is none. */
int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t size);

/* Turns GPT-2's alphabet back into bytes: at most `size` of them are written to out. Returns their
 * number, or -1 when a character is not of the alphabet. */
int vocabulary_decode_byte_level(const char *text, size_t size, char *out);

#endif
