/*
 * SentencePiece BPE ("llama" vocabularies): adjacent pieces merge into the token of the highest
 * score, characters that are no token fall back to byte tokens.
 *
 * In most vocabularies no token has a space after something else, so nothing merges across the
 * start of a word and words can be merged one at a time, in a cache's worth of memory.
 *
 * Read-only after spm_load: any thread, each with a merger of its own.
 */
#ifndef TANDEM_MODEL_SPM_H
#define TANDEM_MODEL_SPM_H

#include "base/err.h"
#include "model/gguf.h"
#include "model/merge.h"
#include "model/vocabulary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spm {
    uint32_t *ranks;   /* by id: the higher score is the lower rank */
    bool merges_words; /* a token has a space after something else */
};

/* Reads tokenizer.ggml.scores. */
int spm_load(struct spm *ret, const struct gguf *file, const struct vocabulary *vocabulary,
             struct err *err);
void spm_free(struct spm *spm);

/* How much of the text (> 0 bytes) can be encoded by itself with the same result. */
size_t spm_stretch(const struct spm *spm, const char *bytes, size_t size);

/* Merges a text, in which U+2581 has been replaced by spaces, and leaves the tokens in
 * merger->symbols, linked by next from 0. A character that is no token stays as one symbol with id
 * -1, a byte that is no UTF-8 too. 0 or -ENOMEM. */
int spm_encode_text(const struct spm *spm, const struct vocabulary *vocabulary,
                    struct merger *merger, const char *bytes, size_t size);

#endif
