/*
 * Byte-level byte pair encoding: merges of adjacent tokens in the order of their rank.
 *
 * Ranks are looked up by the two ids in an open-addressed table, so encoding never touches text
 * again after the first byte. Read-only after bpe_load: any thread, each with a merger of its own.
 */
#ifndef TANDEM_MODEL_BPE_H
#define TANDEM_MODEL_BPE_H

#include "base/err.h"
#include "model/gguf.h"
#include "model/merge.h"
#include "model/vocabulary.h"

#include <stddef.h>
#include <stdint.h>

#define BPE_MERGES_MAX (1 << 22)

struct bpe_merge {
    int32_t left, right; /* left -1: an empty slot */
    uint32_t rank;
    int32_t merged;
};

struct bpe {
    struct bpe_merge *slots;
    size_t slot_mask;
};

/* Reads tokenizer.ggml.merges; -EINVAL names the entry whose parts or result are no tokens. */
int bpe_load(struct bpe *ret, const struct gguf *file, const struct vocabulary *vocabulary,
             struct err *err);
void bpe_free(struct bpe *bpe);

/* Merges one word and leaves the tokens in merger->symbols, linked by next from 0. A byte that has
 * no token stays as id -1. 0 or -ENOMEM. */
int bpe_encode_word(const struct bpe *bpe, const struct vocabulary *vocabulary,
                    struct merger *merger, const char *bytes, size_t size);

#endif
