/*
 * Text to token ids and back, from a GGUF file's own vocabulary (byte-level BPE or SPM).
 *
 * Immutable after tokenizer_open: any thread may encode and decode at once (match state that PCRE2
 * needs is made per call). Limits: text of at most TOKENIZER_TEXT_MAX bytes.
 */
#ifndef TANDEM_MODEL_TOKENIZER_H
#define TANDEM_MODEL_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKENIZER_TEXT_MAX (64u << 20)

struct tokenizer;

enum tokenizer_flags {
    /* Recognise control tokens written out in the text, such as <|im_end|>. Only for text the
     * template made; never for what a user wrote. (User-defined added tokens are always found.) */
    TOKENIZE_SPECIAL = 1,
    /* Put BOS/EOS where the model's metadata asks for them. */
    TOKENIZE_ADD_BOS_EOS = 2,
};

struct token_list {
    int32_t *ids; /* malloc'd, owned by the caller: token_list_free */
    size_t count, capacity;
};

void token_list_free(struct token_list *list);

/* Takes nothing over; `file` must outlive the tokenizer. -EINVAL names the key: unknown model or
 * pre-tokenizer, vocabulary and merges that do not agree. */
int tokenizer_open(struct tokenizer **ret_tokenizer, const struct gguf *file, struct err *err);
void tokenizer_close(struct tokenizer *tokenizer);

/* Appends to list. Any bytes are accepted: those that are no UTF-8 fall back to byte tokens. A byte
 * that has no token either becomes the unknown token, or is left out where the model has none, as
 * in the models' own tokenizers. Returns 0, -E2BIG for more than TOKENIZER_TEXT_MAX bytes, -ENOMEM.
 */
int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                     unsigned flags, struct token_list *list);

/* Text marked piece by piece: template text carries special tokens, user text never does. Adjacent
 * spans are encoded as one text otherwise, so that merges across a border come out as in the whole
 * text; only control tokens are looked for in trusted spans alone, whatever TOKENIZE_SPECIAL says.
 * text may be NULL when the spans are empty. Otherwise as tokenizer_encode. */
struct text_span {
    size_t size;
    bool trusted; /* written by the template, not by the user */
};
int tokenizer_encode_spans(const struct tokenizer *tokenizer, const char *text,
                           const struct text_span *spans, size_t n_spans, unsigned flags,
                           struct token_list *list);

/* The bytes of one token. Control tokens give nothing unless `special`. A view valid as long as the
 * tokenizer; size 0 for ids out of range. First-token rules (SPM's leading space) are the
 * detokenizer's. */
struct gguf_string tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, bool special);

/* Incremental detokenizer: gives out whole UTF-8 characters only; incomplete ones wait for the next
 * token, bytes that can never become UTF-8 come out as U+FFFD, as in Python's errors="replace". */
struct detokenizer {
    const struct tokenizer *tokenizer;
    bool special;             /* write control tokens out */
    bool started;             /* the first text token was seen */
    unsigned char pending[4]; /* start of a character */
    int n_pending;
};
void detokenizer_init(struct detokenizer *detok, const struct tokenizer *tokenizer, bool special);
/* Appends what became complete; 0 or buf_append's error. */
int detokenizer_push(struct detokenizer *detok, int32_t id, struct buf *out);
/* At the end of the answer: what is pending becomes U+FFFD. */
int detokenizer_finish(struct detokenizer *detok, struct buf *out);

int tokenizer_vocab_size(const struct tokenizer *tokenizer);
/* -1 when the model has none. */
int32_t tokenizer_bos(const struct tokenizer *tokenizer);
int32_t tokenizer_eos(const struct tokenizer *tokenizer);
/* True for every token that ends an answer: EOS, EOT, EOM and the ids the metadata adds. */
bool tokenizer_is_end(const struct tokenizer *tokenizer, int32_t id);
/* Control and unknown tokens: those that tokenizer_piece shows only when `special`. */
bool tokenizer_is_control(const struct tokenizer *tokenizer, int32_t id);
/* SPM: text begins with a space that nobody wrote. */
bool tokenizer_adds_space_prefix(const struct tokenizer *tokenizer);

#endif
