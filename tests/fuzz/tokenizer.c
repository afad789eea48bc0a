/*
 * Any bytes through the tokenizer and back, over the small vocabularies of the unit tests.
 *
 * The first byte picks the vocabulary and the flags, the second where the text is cut into a
 * trusted and an untrusted span. Encoding must not fail; control tokens may come from trusted text
 * alone; a byte-level vocabulary must give every byte back; the detokenizer must only give out
 * whole characters.
 */
#include "model/tokenizer.h"
#include "model/utf8.h"
#include "tests/unit/small_vocabulary.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_VOCABULARIES = 8 };

static const char *const fuzz_families[FUZZ_VOCABULARIES] = {
    NULL /* SPM */, "smollm",         "llama-bpe",   "gpt-4o",
    "qwen35",       "deepseek-coder", "deepseek-v3", "default"};

/* Made once and kept: the vocabularies do not change. */
static const struct tokenizer *fuzz_tokenizer(int which)
{
    static struct tokenizer *tokenizers[FUZZ_VOCABULARIES];
    static struct gguf_bytes bytes[FUZZ_VOCABULARIES];
    static struct gguf *files[FUZZ_VOCABULARIES];

    if (tokenizers[which])
        return tokenizers[which];
    gguf_bytes_init(&bytes[which]);
    if (fuzz_families[which])
        small_bpe_write(&bytes[which], fuzz_families[which]);
    else
        small_spm_write(&bytes[which]);
    gguf_bytes_finish(&bytes[which]);
    if (gguf_parse(&files[which], bytes[which].file.bytes, bytes[which].file.size, NULL) ||
        tokenizer_open(&tokenizers[which], files[which], NULL))
        abort();
    return tokenizers[which];
}

/* Every byte back, in order, from the pieces. */
static void fuzz_compare(const struct tokenizer *tokenizer, const struct token_list *list,
                         const char *text, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < list->count; i++) {
        struct gguf_string piece = tokenizer_piece(tokenizer, list->ids[i], true);

        if (piece.size > size - at || memcmp(text + at, piece.bytes, piece.size))
            abort();
        at += piece.size;
    }
    if (at != size)
        abort();
}

static void fuzz_decode(const struct tokenizer *tokenizer, const struct token_list *list)
{
    struct detokenizer detok;
    struct buf out;

    buf_init(&out, 64u << 20);
    detokenizer_init(&detok, tokenizer, true);
    for (size_t i = 0; i < list->count; i++) {
        if (detokenizer_push(&detok, list->ids[i], &out))
            abort();
        if (out.size && utf8_valid_prefix(out.bytes, out.size) != out.size)
            abort();
        buf_clear(&out);
    }
    if (detokenizer_finish(&detok, &out))
        abort();
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    int which = data[0] % FUZZ_VOCABULARIES;
    const struct tokenizer *tokenizer = fuzz_tokenizer(which);
    const char *text = (const char *)data + 2;
    size_t trusted = data[1] < size - 2 ? data[1] : size - 2;
    struct text_span spans[2] = {{trusted, true}, {size - 2 - trusted, false}};
    struct token_list list = {0}, plain = {0};

    if (tokenizer_encode_spans(tokenizer, text, spans, 2, 0, &list))
        abort();
    if (tokenizer_encode(tokenizer, text, size - 2, TOKENIZE_ADD_BOS_EOS, &plain))
        abort();
    for (size_t i = 1; i < plain.count; i++) {
        if (tokenizer_is_control(tokenizer, plain.ids[i]))
            abort();
    }
    if (fuzz_families[which])
        fuzz_compare(tokenizer, &list, text, size - 2);
    fuzz_decode(tokenizer, &list);
    token_list_free(&list);
    token_list_free(&plain);
    return 0;
}
