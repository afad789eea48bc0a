/*
 * Two small tokenizers, made in memory, whose ids a reader can follow by hand. Used by the unit
 * tests and by tests/fuzz/tokenizer.c.
 *
 * BPE: ids 0 to 255 are the bytes, then SMALL_BPE_* below. SPM: 0 <unk>, 1 <s>, 2 </s>, 3 to 258
 * the byte tokens, then SMALL_SPM_*.
 */
#ifndef TANDEM_TESTS_UNIT_SMALL_VOCABULARY_H
#define TANDEM_TESTS_UNIT_SMALL_VOCABULARY_H

#include "tests/unit/gguf_bytes.h"

enum small_bpe_id {
    SMALL_BPE_AA = 256, /* merges in this order, so ids rise with ranks */
    SMALL_BPE_BC,
    SMALL_BPE_AB,
    SMALL_BPE_AAAA,
    SMALL_BPE_HE,
    SMALL_BPE_LL,
    SMALL_BPE_HELL,
    SMALL_BPE_HELLO,
    SMALL_BPE_SPACE_HELLO,
    SMALL_BPE_LT_BAR,    /* "<|": the start of every control token, in plain text */
    SMALL_BPE_EURO_HEAD, /* the first two bytes of U+20AC */
    SMALL_BPE_WHOLE,     /* "abcabc", which no merge makes */
    SMALL_BPE_TOOL,      /* "<tool>", user-defined, and so the next two */
    SMALL_BPE_TOOL_X,    /* "<tool>x" */
    SMALL_BPE_THREE,     /* three spaces */
    SMALL_BPE_BOS,       /* "<|bos|>", control, and so the rest */
    SMALL_BPE_EOS,       /* "<|eos|>" */
    SMALL_BPE_END,       /* "<|im_end|>" */
    SMALL_BPE_COUNT,
};

enum small_spm_id {
    SMALL_SPM_SPACE = 259,
    SMALL_SPM_A,
    SMALL_SPM_B,
    SMALL_SPM_C,
    SMALL_SPM_LT,
    SMALL_SPM_SLASH,
    SMALL_SPM_S,
    SMALL_SPM_GT,
    SMALL_SPM_LT_SLASH,   /* "</" */
    SMALL_SPM_LT_SLASH_S, /* "</s", one merge away from the control token */
    SMALL_SPM_BC,         /* score -1 */
    SMALL_SPM_AB,         /* score -2 */
    SMALL_SPM_SPACE_A,    /* score -3 */
    SMALL_SPM_SPACES,     /* two spaces */
    SMALL_SPM_ACCENT,     /* U+00E9 */
    SMALL_SPM_COUNT,
};

/* Tokens, types, merges or scores, and the special ids. A test adds keys of its own, then calls
 * gguf_bytes_finish. pre: tokenizer.ggml.pre. */
void small_bpe_write(struct gguf_bytes *bytes, const char *pre);
void small_spm_write(struct gguf_bytes *bytes);

#endif
