/* The incremental detokenizer: whole characters only, and Python's errors="replace" otherwise. */
#include "model/tokenizer.h"
#include "tests/unit/small_vocabulary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct decoder {
    struct gguf_bytes bytes;
    struct gguf *file;
    struct tokenizer *tokenizer;
    struct buf out;
    struct detokenizer detok;
};

static void decoder_open(struct decoder *decoder, bool spm)
{
    struct err err;

    *decoder = (struct decoder){0};
    gguf_bytes_init(&decoder->bytes);
    if (spm)
        small_spm_write(&decoder->bytes);
    else
        small_bpe_write(&decoder->bytes, "gpt-2");
    gguf_bytes_finish(&decoder->bytes);
    assert_int_equal(
        gguf_parse(&decoder->file, decoder->bytes.file.bytes, decoder->bytes.file.size, &err), 0);
    assert_int_equal(tokenizer_open(&decoder->tokenizer, decoder->file, &err), 0);
    buf_init(&decoder->out, 1 << 16);
}

static void decoder_close(struct decoder *decoder)
{
    buf_free(&decoder->out);
    tokenizer_close(decoder->tokenizer);
    gguf_close(decoder->file);
    gguf_bytes_free(&decoder->bytes);
}

static void decoder_start(struct decoder *decoder, bool special)
{
    buf_clear(&decoder->out);
    detokenizer_init(&decoder->detok, decoder->tokenizer, special);
}

static void decoder_push(struct decoder *decoder, int32_t id)
{
    assert_int_equal(detokenizer_push(&decoder->detok, id, &decoder->out), 0);
}

static void decoder_says(struct decoder *decoder, const char *text)
{
    assert_int_equal(decoder->out.size, strlen(text));
    if (*text)
        assert_memory_equal(decoder->out.bytes, text, strlen(text));
}

#define R "\xef\xbf\xbd" /* U+FFFD */

/* Catches another count of U+FFFD than Python's bytes.decode(errors="replace") gives: overlong
 * forms, surrogates, code points past U+10FFFF, a new start inside a character, a cut end. The
 * expected texts are Python 3.11's. */
static void test_replacement(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"abc", "abc"},
        {"\xc3\xa9", "\xc3\xa9"},
        {"\xf0\x9f\x98\x80!", "\xf0\x9f\x98\x80!"},
        {"\x80", R},
        {"\x80\xbf", R R},
        {"\xc0\xaf", R R},
        {"\xc3(", R "("},
        {"\xc3\xc3\xa9", R "\xc3\xa9"},
        {"\xe2\x82", R},
        {"\xe2\x82z", R "z"},
        {"\xe2\x82\xe2\x82\xac", R "\xe2\x82\xac"},
        {"\xe0\x80\xaf", R R R},
        {"\xed\xa0\x80", R R R},
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},
        {"\xf0\x9f\x98", R},
        {"\xf0\x9f\x98\xf0\x9f", R R},
        {"\xf0\x8f\xbf\xbf", R R R R},
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
        {"\xf4\x90\x80\x80", R R R R},
        {"\xf5\x80", R R},
        {"\xff\xfe", R R},
        {"a\xf0\x9f\x98z\xe2\x82\xac", "a" R "z\xe2\x82\xac"},
    };
    struct decoder decoder;

    (void)state;
    decoder_open(&decoder, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decoder_start(&decoder, false);
        for (const char *byte = cases[i].bytes; *byte; byte++)
            decoder_push(&decoder, (unsigned char)*byte);
        assert_int_equal(detokenizer_finish(&decoder.detok, &decoder.out), 0);
        decoder_says(&decoder, cases[i].text);
    }
    decoder_close(&decoder);
}

/* Catches half a character given out: after each of the bytes of two characters, only what is whole
 * may be there, also when a token carries the end of one and the start of the next. */
static void test_whole_characters(void **state)
{
    static const char *const first[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    struct decoder decoder;

    (void)state;
    decoder_open(&decoder, false);
    for (size_t a = 0; a < 4; a++) {
        for (size_t b = 0; b < 4; b++) {
            decoder_start(&decoder, false);
            for (size_t i = 0; i <= a; i++) {
                assert_int_equal(decoder.out.size, 0);
                decoder_push(&decoder, (unsigned char)first[a][i]);
            }
            decoder_says(&decoder, first[a]);
            for (size_t i = 0; i <= b; i++) {
                assert_int_equal(decoder.out.size, a + 1);
                decoder_push(&decoder, (unsigned char)first[b][i]);
            }
            assert_int_equal(decoder.out.size, a + b + 2);
            assert_int_equal(detokenizer_finish(&decoder.detok, &decoder.out), 0);
            assert_int_equal(decoder.out.size, a + b + 2);
        }
    }
    decoder_start(&decoder, false);
    decoder_push(&decoder, SMALL_BPE_EURO_HEAD);
    decoder_says(&decoder, "");
    decoder_push(&decoder, 0xac);
    decoder_push(&decoder, SMALL_BPE_SPACE_HELLO);
    decoder_push(&decoder, SMALL_BPE_EURO_HEAD);
    decoder_push(&decoder, SMALL_BPE_EURO_HEAD);
    decoder_says(&decoder, "\xe2\x82\xac hello" R);
    decoder_close(&decoder);
}

/* Catches control tokens shown to the user, hidden when asked for, and ids that are no tokens. */
static void test_control_tokens(void **state)
{
    static const int32_t ids[] = {SMALL_BPE_BOS,  SMALL_BPE_HELLO, -1,
                                  SMALL_BPE_TOOL, SMALL_BPE_COUNT, SMALL_BPE_EOS};
    struct decoder decoder;

    (void)state;
    decoder_open(&decoder, false);
    for (int special = 0; special < 2; special++) {
        decoder_start(&decoder, special);
        for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
            decoder_push(&decoder, ids[i]);
        decoder_says(&decoder, special ? "<|bos|>hello<tool><|eos|>" : "hello<tool>");
    }
    decoder_close(&decoder);
}

/* Catches SPM's leading space kept, taken off twice, or taken off after a control token only. */
static void test_spm_space(void **state)
{
    static const struct {
        int32_t ids[6];
        const char *text, *special;
    } cases[] = {
        {{SMALL_SPM_SPACE_A, SMALL_SPM_SPACE_A, -1}, "a a", "a a"},
        {{1, SMALL_SPM_SPACE_A, 2, SMALL_SPM_SPACE_A, -1}, "a a", "<s>a</s> a"},
        {{SMALL_SPM_SPACES, SMALL_SPM_A, -1}, " a", " a"},
        {{SMALL_SPM_SPACE, SMALL_SPM_SPACE_A, -1}, " a", " a"},
        {{SMALL_SPM_A, SMALL_SPM_SPACE_A, -1}, "a a", "a a"},
        {{SMALL_SPM_SPACE, 3 + 0xe2, 3 + 0x82, 3 + 0xac, 0, -1},
         "\xe2\x82\xac",
         "\xe2\x82\xac<unk>"},
    };
    struct decoder decoder;

    (void)state;
    decoder_open(&decoder, true);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof *cases; i++) {
        decoder_start(&decoder, i % 2);
        for (const int32_t *id = cases[i / 2].ids; *id >= 0; id++)
            decoder_push(&decoder, *id);
        decoder_says(&decoder, i % 2 ? cases[i / 2].special : cases[i / 2].text);
    }
    decoder_close(&decoder);
}

/* Catches an output that is full and goes unnoticed. */
static void test_full_output(void **state)
{
    struct decoder decoder;

    (void)state;
    decoder_open(&decoder, false);
    buf_free(&decoder.out);
    buf_init(&decoder.out, 4);
    decoder_start(&decoder, false);
    assert_int_equal(detokenizer_push(&decoder.detok, SMALL_BPE_HELLO, &decoder.out), -ENOBUFS);
    decoder_close(&decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replacement),    cmocka_unit_test(test_whole_characters),
        cmocka_unit_test(test_control_tokens), cmocka_unit_test(test_spm_space),
        cmocka_unit_test(test_full_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
