/* The splitting expressions: where each family cuts. */
#include "model/pretokenizer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct words {
    char joined[256]; /* with a bar between them */
    size_t size;
    int left; /* words until words_add says -ECANCELED */
};

static int words_add(void *context, const char *bytes, size_t size)
{
    struct words *words = context;

    if (!words->left--)
        return -ECANCELED;
    assert_true(size > 0 && words->size + size + 2 < sizeof words->joined);
    if (words->size)
        words->joined[words->size++] = '|';
    memcpy(words->joined + words->size, bytes, size);
    words->size += size;
    return 0;
}

/* Catches a family that cuts elsewhere: digits, contractions, the last space of a run, line ends,
 * combining marks, capitals, characters beyond ASCII, and U+180E taken for a space. */
static void test_cuts(void **state)
{
    static const struct {
        const char *pre, *text, *words;
    } cases[] = {
        {"gpt-2", "it's 12345  ok\n\n x!?", "it|'s| 12345| | ok|\n\n| x|!?"},
        {"smollm", "it's 123  ok 4", "it|'s| |1|2|3| | ok| |4"},
        {"starcoder", "a  1", "a|  |1"},
        {"default", "a+b 1234", "a|+|b| |123|4"},
        {"falcon", "a`b 1234", "a|`|b| |123|4"},
        {"llama-bpe", "It'S 1234567\n\n  x (ok)\n", "It|'S| |123|456|7|\n\n| | x| (|ok|)\n"},
        {"qwen2", "v12 \n y", "v|1|2| \n| y"},
        {"qwen35", "a\314\201b c", "a\314\201b| c"},
        {"qwen2", "a\314\201b c", "a|\314\201b| c"},
        {"deepseek-coder", "a 12\nb!", "a| |1|2|\n|b|!"},
        {"deepseek-v3", "ab \xe4\xb8\xad\xe6\x96\x87 12345",
         "ab| |\xe4\xb8\xad\xe6\x96\x87| |123|45"},
        {"gpt-4o", "camelCase HTTPServer's a/b/\n", "camel|Case| HTTPServer's| a|/b|/\n"},
        {"tekken", "AbC's 12", "Ab|C|'s| |1|2"},
        {"gpt-2", "a\341\240\216b", "a|\xe1\xa0\x8e|b"},
        {"gpt-2", "a\343\200\200b\302\240c", "a|\xe3\x80\x80|b|\xc2\xa0|c"},
        {"gpt-2", "\xd9\xa3\xe2\x85\xb7 \xd0\xb4\xd0\xb0",
         "\xd9\xa3\xe2\x85\xb7| \xd0\xb4\xd0\xb0"},
        {"gpt-2", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf_string name = {cases[i].pre, strlen(cases[i].pre)};
        struct pretokenizer pretokenizer;
        struct pretokenizer_match *match = pretokenizer_match_create();
        struct words words = {.left = 100};
        struct err err;

        assert_non_null(match);
        assert_int_equal(pretokenizer_open(&pretokenizer, name, &err), 0);
        assert_int_equal(pretokenizer_split(&pretokenizer, match, cases[i].text,
                                            strlen(cases[i].text), words_add, &words),
                         0);
        assert_string_equal(words.joined, cases[i].words);
        pretokenizer_match_free(match);
        pretokenizer_close(&pretokenizer);
    }
}

/* Catches a word's error that is lost, at any place in the text. */
static void test_word_error(void **state)
{
    struct pretokenizer pretokenizer;
    struct pretokenizer_match *match = pretokenizer_match_create();
    struct err err;

    (void)state;
    assert_non_null(match);
    assert_int_equal(pretokenizer_open(&pretokenizer, (struct gguf_string){"smollm", 6}, &err), 0);
    for (int left = 0; left <= 5; left++) {
        struct words words = {.left = left};

        assert_int_equal(pretokenizer_split(&pretokenizer, match, "a 1 b!", 6, words_add, &words),
                         left < 5 ? -ECANCELED : 0);
    }
    pretokenizer_match_free(match);
    pretokenizer_close(&pretokenizer);
}

/* Catches a name taken for another that begins or ends like it, or an empty one for any. */
static void test_names(void **state)
{
    static const char *const unknown[] = {"", "llama", "smollm ", "gpt-2 phi-2", "phi", "mpt2"};
    struct pretokenizer pretokenizer;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct gguf_string name = {unknown[i], strlen(unknown[i])};

        assert_int_equal(pretokenizer_open(&pretokenizer, name, &err), -EINVAL);
        assert_non_null(strstr(err.text, "tokenizer.ggml.pre"));
        assert_non_null(strstr(err.text, " tekken"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_word_error),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
