/* Opening a tokenizer from a file's metadata, and what its tokens are. */
#include "model/tokenizer.h"

#include "model/tokenizer_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int tokenizer_read_id(const struct gguf *file, const char *key, int count, int32_t *id,
                             struct err *err)
{
    uint32_t value;
    int error = gguf_get_u32(file, key, &value, err);

    if (error == -ENOENT)
        return 0;
    if (error)
        return error;
    if (value >= (uint32_t)count)
        return err_set(err, EINVAL, "%s is %u, but there are %d tokens", key, (unsigned)value,
                       count);
    *id = (int32_t)value;
    return 0;
}

static int tokenizer_read_bool(const struct gguf *file, const char *key, bool *value,
                               struct err *err)
{
    int error = gguf_get_bool(file, key, value, err);

    return error == -ENOENT ? 0 : error;
}

/* Control tokens that end an answer in models whose metadata names only one of several. */
static void tokenizer_mark_known_ends(struct tokenizer *tokenizer)
{
    static const char *const known[] = {
        "<|im_end|>", "<|eot_id|>",      "<|eom_id|>",
        "<|end|>",    "<|endoftext|>",   "<end_of_turn>",
        "</s>",       "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>",
        "<EOT>",      "<|end_of_turn|>",
    };
    const struct vocabulary *vocabulary = &tokenizer->vocabulary;

    for (int id = 0; id < vocabulary->count; id++) {
        struct gguf_string piece = vocabulary->pieces[id];

        if (vocabulary->types[id] != TOKEN_CONTROL)
            continue;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (piece.size == strlen(known[i]) && !memcmp(piece.bytes, known[i], piece.size))
                tokenizer->ends[id] = 1;
        }
    }
}

static int tokenizer_read_special(struct tokenizer *tokenizer, const struct gguf *file,
                                  struct err *err)
{
    int count = tokenizer->vocabulary.count;
    int32_t eot = -1, eom = -1;
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        {"tokenizer.ggml.bos_token_id", &tokenizer->bos},
        {"tokenizer.ggml.eos_token_id", &tokenizer->eos},
        {"tokenizer.ggml.unknown_token_id", &tokenizer->unknown},
        {"tokenizer.ggml.eot_token_id", &eot},
        {"tokenizer.ggml.eom_token_id", &eom},
    };
    const struct {
        const char *key;
        bool *value;
    } bools[] = {
        {"tokenizer.ggml.add_bos_token", &tokenizer->add_bos},
        {"tokenizer.ggml.add_eos_token", &tokenizer->add_eos},
        {"tokenizer.ggml.add_space_prefix", &tokenizer->add_space_prefix},
    };
    int error = 0;

    for (size_t i = 0; i < sizeof ids / sizeof *ids && !error; i++)
        error = tokenizer_read_id(file, ids[i].key, count, ids[i].id, err);
    for (size_t i = 0; i < sizeof bools / sizeof *bools && !error; i++)
        error = tokenizer_read_bool(file, bools[i].key, bools[i].value, err);
    if (error)
        return error;
    tokenizer->ends = calloc((size_t)count, 1);
    if (!tokenizer->ends)
        return err_set(err, ENOMEM, "no memory for %d tokens", count);
    /* Byte-level models name a control token here that their own tokenizer never uses; what a user
     * wrote must not become one. */
    if (tokenizer->unknown >= 0 && tokenizer->vocabulary.types[tokenizer->unknown] == TOKEN_CONTROL)
        tokenizer->unknown = -1;
    tokenizer_mark_known_ends(tokenizer);
    if (tokenizer->eos >= 0)
        tokenizer->ends[tokenizer->eos] = 1;
    if (eot >= 0)
        tokenizer->ends[eot] = 1;
    if (eom >= 0)
        tokenizer->ends[eom] = 1;
    return 0;
}

static int tokenizer_open_bpe(struct tokenizer *tokenizer, const struct gguf *file, struct err *err)
{
    struct gguf_string name;
    int error = gguf_get_string(file, "tokenizer.ggml.pre", &name, err);

    /* Files older than the key were all split in one way. */
    if (error == -ENOENT) {
        name = (struct gguf_string){"default", strlen("default")};
        error = 0;
    }
    if (!error)
        error = pretokenizer_open(&tokenizer->pretokenizer, name, err);
    if (!error)
        error = vocabulary_load(&tokenizer->vocabulary, file, SPELLING_BYTE_LEVEL, err);
    if (!error)
        error = bpe_load(&tokenizer->bpe, file, &tokenizer->vocabulary, err);
    tokenizer->add_bos = tokenizer->pretokenizer.add_bos;
    return error;
}

static int tokenizer_open_spm(struct tokenizer *tokenizer, const struct gguf *file, struct err *err)
{
    int error = vocabulary_load(&tokenizer->vocabulary, file, SPELLING_SPM, err);

    if (!error)
        error = spm_load(&tokenizer->spm, file, &tokenizer->vocabulary, err);
    tokenizer->add_bos = true;
    tokenizer->add_space_prefix = true;
    return error;
}

int tokenizer_open(struct tokenizer **ret_tokenizer, const struct gguf *file, struct err *err)
{
    struct gguf_string model;
    int error = gguf_get_string(file, "tokenizer.ggml.model", &model, err);

    if (error == -ENOENT)
        return err_set(err, EINVAL, "tokenizer.ggml.model is missing");
    if (error)
        return error;
    struct tokenizer *tokenizer = calloc(1, sizeof *tokenizer);

    if (!tokenizer)
        return err_set(err, ENOMEM, "no memory for the tokenizer");
    tokenizer->bos = tokenizer->eos = tokenizer->unknown = -1;
    if (model.size == 4 && !memcmp(model.bytes, "gpt2", 4))
        error = tokenizer_open_bpe(tokenizer, file, err);
    else if (model.size == 5 && !memcmp(model.bytes, "llama", 5))
        error = tokenizer_open_spm(tokenizer, file, err);
    else
        error = err_set(err, EINVAL,
                        "tokenizer.ggml.model is \"%.*s\"; known are gpt2 (byte-level BPE) and "
                        "llama (SPM)",
                        model.size < 40 ? (int)model.size : 40, model.bytes);
    if (!error)
        error = tokenizer_read_special(tokenizer, file, err);
    if (!error && added_tokens_init(&tokenizer->added, &tokenizer->vocabulary))
        error = err_set(err, ENOMEM, "no memory for the added tokens");
    if (error) {
        tokenizer_close(tokenizer);
        return error;
    }
    *ret_tokenizer = tokenizer;
    return 0;
}

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    free(tokenizer->ends);
    spm_free(&tokenizer->spm);
    bpe_free(&tokenizer->bpe);
    pretokenizer_close(&tokenizer->pretokenizer);
    added_tokens_free(&tokenizer->added);
    vocabulary_free(&tokenizer->vocabulary);
    free(tokenizer);
}

struct gguf_string tokenizer_piece(const struct tokenizer *tokenizer, int32_t id, bool special)
{
    if (id < 0 || id >= tokenizer->vocabulary.count ||
        (!special && tokenizer_is_control(tokenizer, id)))
        return (struct gguf_string){"", 0};
    return tokenizer->vocabulary.pieces[id];
}

int tokenizer_vocab_size(const struct tokenizer *tokenizer)
{
    return tokenizer->vocabulary.count;
}

int32_t tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool tokenizer_is_end(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->vocabulary.count && tokenizer->ends[id];
}

bool tokenizer_is_control(const struct tokenizer *tokenizer, int32_t id)
{
    if (id < 0 || id >= tokenizer->vocabulary.count)
        return false;
    int type = tokenizer->vocabulary.types[id];

    return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
}

bool tokenizer_adds_space_prefix(const struct tokenizer *tokenizer)
{
    return tokenizer->add_space_prefix;
}
