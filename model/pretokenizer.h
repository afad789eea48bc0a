/*
 * Splitting text into the words that BPE merges within: the regular expressions that
 * tokenizer.ggml.pre names.
 *
 * Each expression of the list cuts what the ones before it left in one piece; matches and the text
 * between them both stay. \s means Unicode's White_Space throughout. Read-only after
 * pretokenizer_open: any thread, each with match data of its own.
 */
#ifndef TANDEM_MODEL_PRETOKENIZER_H
#define TANDEM_MODEL_PRETOKENIZER_H

#include "base/err.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>

#define PRETOKENIZER_PATTERNS_MAX 5

struct pretokenizer_code;  /* compiled expressions */
struct pretokenizer_match; /* what one thread needs to run them */

struct pretokenizer {
    struct pretokenizer_code *codes;
    bool ignore_merges; /* a word that is a token becomes it without merging */
    bool add_bos;       /* where the metadata does not say */
};

/* -EINVAL lists the known names when this is none of them. */
int pretokenizer_open(struct pretokenizer *ret, struct gguf_string name, struct err *err);
void pretokenizer_close(struct pretokenizer *pretokenizer);

/* NULL when memory is out. */
struct pretokenizer_match *pretokenizer_match_create(void);
void pretokenizer_match_free(struct pretokenizer_match *match);

typedef int pretokenizer_word(void *context, const char *bytes, size_t size);

/* Calls word for each piece of well-formed UTF-8 in order, none of them empty, and stops at the
 * first that is not 0. Returns that; -ENOMEM; -EOVERFLOW when an expression passes PCRE2's own
 * limits. */
int pretokenizer_split(const struct pretokenizer *pretokenizer, struct pretokenizer_match *match,
                       const char *text, size_t size, pretokenizer_word *word, void *context);

#endif
