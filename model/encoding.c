/*
 * Text to tokens. Added tokens are cut out first; the text between them is split into words that
 * merge (BPE) or merges as a whole (SPM).
 */
#include "model/merge.h"
#include "model/tokenizer.h"
#include "model/tokenizer_parts.h"
#include "model/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one encode call needs. */
struct encoding {
    const struct tokenizer *tokenizer;
    struct token_list *list;
    struct merger merger;
    struct pretokenizer_match *match;
    bool after_special; /* nothing before this text, or an added token: SPM puts its space here */
};

void token_list_free(struct token_list *list)
{
    free(list->ids);
    *list = (struct token_list){0};
}

static int token_list_push(struct token_list *list, int32_t id)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        int32_t *ids = realloc(list->ids, capacity * sizeof *ids);

        if (!ids)
            return -ENOMEM;
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->count++] = id;
    return 0;
}

/* Bytes without a token of their own: byte tokens, else one unknown token, else nothing. */
static int encode_bytes(struct encoding *encoding, const char *bytes, size_t size)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    bool unknown = false;

    for (size_t i = 0; i < size; i++) {
        int32_t id = tokenizer->vocabulary.byte_tokens[(unsigned char)bytes[i]];

        if (id < 0) {
            id = unknown ? -1 : tokenizer->unknown;
            unknown = true;
        }
        int error = id < 0 ? 0 : token_list_push(encoding->list, id);

        if (error)
            return error;
    }
    return 0;
}

/* Takes over what merging left. */
static int encode_symbols(struct encoding *encoding, const char *bytes, size_t size)
{
    const struct merge_symbol *symbols = encoding->merger.symbols;

    for (size_t i = 0; i < size; i = symbols[i].next) {
        int error = symbols[i].id >= 0 ? token_list_push(encoding->list, symbols[i].id)
                                       : encode_bytes(encoding, bytes + i, symbols[i].next - i);

        if (error)
            return error;
    }
    return 0;
}

static int encode_word(void *context, const char *bytes, size_t size)
{
    struct encoding *encoding = context;
    const struct tokenizer *tokenizer = encoding->tokenizer;

    if (tokenizer->pretokenizer.ignore_merges) {
        int32_t id = vocabulary_find(&tokenizer->vocabulary, bytes, size);

        if (id >= 0)
            return token_list_push(encoding->list, id);
    }
    int error =
        bpe_encode_word(&tokenizer->bpe, &tokenizer->vocabulary, &encoding->merger, bytes, size);

    return error ? error : encode_symbols(encoding, bytes, size);
}

/* Only well-formed stretches reach the expressions; the bytes between them become byte tokens. */
static int encode_bpe_text(struct encoding *encoding, const char *text, size_t size)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;

    for (size_t i = 0; i < size;) {
        size_t valid = utf8_valid_prefix(text + i, size - i);
        int error = valid ? pretokenizer_split(&tokenizer->pretokenizer, encoding->match, text + i,
                                               valid, encode_word, encoding)
                          : encode_bytes(encoding, text + i, 1);

        if (error)
            return error;
        i += valid ? valid : 1;
    }
    return 0;
}

static int encode_spm_text(struct encoding *encoding, const char *text, size_t size)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    char *spaced = malloc(size + 1);
    size_t used = 0;

    if (!spaced)
        return -ENOMEM;
    if (tokenizer->add_space_prefix && encoding->after_special)
        spaced[used++] = ' ';
    for (size_t i = 0; i < size;) {
        bool written = size - i >= 3 && !memcmp(text + i, "\xe2\x96\x81", 3);

        spaced[used++] = written ? ' ' : text[i];
        i += written ? 3 : 1;
    }
    int error = 0;

    for (size_t i = 0, stretch; i < used && !error; i += stretch) {
        stretch = spm_stretch(&tokenizer->spm, spaced + i, used - i);
        error = spm_encode_text(&tokenizer->spm, &tokenizer->vocabulary, &encoding->merger,
                                spaced + i, stretch);
        if (!error)
            error = encode_symbols(encoding, spaced + i, stretch);
    }
    free(spaced);
    return error;
}

static int encode_plain(struct encoding *encoding, const char *text, size_t size)
{
    if (!size)
        return 0;
    int error = encoding->match ? encode_bpe_text(encoding, text, size)
                                : encode_spm_text(encoding, text, size);

    encoding->after_special = false;
    return error;
}

/* Where the trusted text that holds `at` ends, or `at` when it is not trusted. Spans are walked
 * along with rising `at`; *next is the first that begins after the walk. */
struct trust {
    const struct text_span *spans;
    size_t n_spans, next;
    size_t end;   /* of the run of spans walked last */
    bool trusted; /* that run */
};

static size_t trust_end(struct trust *trust, size_t at)
{
    while (at >= trust->end && trust->next < trust->n_spans) {
        trust->trusted = trust->spans[trust->next].trusted;
        while (trust->next < trust->n_spans && trust->spans[trust->next].trusted == trust->trusted)
            trust->end += trust->spans[trust->next++].size;
    }
    return trust->trusted && trust->end > at ? trust->end : at;
}

static int encode_all(struct encoding *encoding, const char *text, size_t size, struct trust *trust)
{
    const struct added_tokens *added = &encoding->tokenizer->added;
    size_t plain = 0; /* start of the text not yet encoded */

    for (size_t i = 0; i < size;) {
        int byte = (unsigned char)text[i];
        int32_t id = -1;
        size_t length = 0;

        if (added->first[byte] < added->first[byte + 1])
            length = added_tokens_match(added, text + i, size - i, trust_end(trust, i) - i, &id);
        if (!length) {
            i++;
            continue;
        }
        int error = encode_plain(encoding, text + plain, i - plain);

        if (!error)
            error = token_list_push(encoding->list, id);
        if (error)
            return error;
        encoding->after_special = true;
        i += length;
        plain = i;
    }
    return encode_plain(encoding, text + plain, size - plain);
}

int tokenizer_encode_spans(const struct tokenizer *tokenizer, const char *text,
                           const struct text_span *spans, size_t n_spans, unsigned flags,
                           struct token_list *list)
{
    struct encoding encoding = {.tokenizer = tokenizer, .list = list, .after_special = true};
    struct trust trust = {.spans = spans, .n_spans = n_spans};
    size_t size = 0, before = list->count;
    bool ends = flags & TOKENIZE_ADD_BOS_EOS;
    int error = 0;

    for (size_t i = 0; i < n_spans; i++) {
        if (spans[i].size > TOKENIZER_TEXT_MAX - size)
            return -E2BIG;
        size += spans[i].size;
    }
    if (tokenizer->pretokenizer.codes) {
        encoding.match = pretokenizer_match_create();
        if (!encoding.match)
            return -ENOMEM;
    }
    if (ends && tokenizer->add_bos && tokenizer->bos >= 0)
        error = token_list_push(list, tokenizer->bos);
    if (!error && size)
        error = encode_all(&encoding, text, size, &trust);
    if (!error && ends && tokenizer->add_eos && tokenizer->eos >= 0)
        error = token_list_push(list, tokenizer->eos);
    pretokenizer_match_free(encoding.match);
    merger_free(&encoding.merger);
    if (error)
        list->count = before;
    return error;
}

int tokenizer_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                     unsigned flags, struct token_list *list)
{
    struct text_span span = {size, flags & TOKENIZE_SPECIAL};

    return tokenizer_encode_spans(tokenizer, text, &span, 1, flags, list);
}
