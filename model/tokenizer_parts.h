/*
 * What a tokenizer is made of: for tokenizer.c, which opens it, and encoding.c, which runs it.
 * Everything else sees the opaque struct of tokenizer.h.
 */
#ifndef TANDEM_MODEL_TOKENIZER_PARTS_H
#define TANDEM_MODEL_TOKENIZER_PARTS_H

#include "model/added_tokens.h"
#include "model/bpe.h"
#include "model/pretokenizer.h"
#include "model/spm.h"
#include "model/vocabulary.h"

#include <stdbool.h>
#include <stdint.h>

struct tokenizer {
    struct vocabulary vocabulary;
    struct added_tokens added;
    struct pretokenizer pretokenizer; /* byte-level BPE only */
    struct bpe bpe;
    struct spm spm;      /* SPM only */
    unsigned char *ends; /* by id: 1 when it ends an answer */
    int32_t bos, eos;
    int32_t unknown; /* what bytes without a token become; -1: they are left out */
    bool add_bos, add_eos, add_space_prefix;
};

#endif
