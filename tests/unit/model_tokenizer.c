/* model/tokenizer.h over small vocabularies: merging, added tokens, trust, byte fallback, errors.
 */
#include "model/tokenizer.h"
#include "tests/unit/small_vocabulary.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define IDS_MAX 24

struct opened {
    struct gguf_bytes bytes;
    struct gguf *file;
    struct tokenizer *tokenizer;
};

/* Opens what was written to opened->bytes. */
static int open_written(struct opened *opened, struct err *err)
{
    gguf_bytes_finish(&opened->bytes);
    assert_int_equal(
        gguf_parse(&opened->file, opened->bytes.file.bytes, opened->bytes.file.size, err), 0);
    return tokenizer_open(&opened->tokenizer, opened->file, err);
}

static void open_bpe(struct opened *opened, const char *pre)
{
    struct err err;

    *opened = (struct opened){0};
    gguf_bytes_init(&opened->bytes);
    small_bpe_write(&opened->bytes, pre);
    assert_int_equal(open_written(opened, &err), 0);
}

static void open_spm(struct opened *opened, bool space_prefix)
{
    struct err err;

    *opened = (struct opened){0};
    gguf_bytes_init(&opened->bytes);
    small_spm_write(&opened->bytes);
    gguf_bytes_bool(&opened->bytes, "tokenizer.ggml.add_space_prefix", space_prefix);
    assert_int_equal(open_written(opened, &err), 0);
}

static void close_opened(struct opened *opened)
{
    tokenizer_close(opened->tokenizer);
    gguf_close(opened->file);
    gguf_bytes_free(&opened->bytes);
}

static void assert_ids(const struct token_list *list, const int32_t *ids, const char *text)
{
    size_t count = 0;

    while (count < IDS_MAX && ids[count] >= 0)
        count++;
    if (list->count != count || (count && memcmp(list->ids, ids, count * sizeof *ids))) {
        for (size_t i = 0; i < list->count; i++)
            print_error("%d ", (int)list->ids[i]);
        fail_msg("are the ids of \"%s\"", text);
    }
}

struct encode_case {
    const char *text;
    unsigned flags;
    int32_t ids[IDS_MAX]; /* -1 at the end */
};

static void assert_encodes(const struct tokenizer *tokenizer, const struct encode_case *cases,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct token_list list = {0};

        assert_int_equal(tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text),
                                          cases[i].flags, &list),
                         0);
        assert_ids(&list, cases[i].ids, cases[i].text);
        token_list_free(&list);
    }
}

/* Catches merges out of rank order, ties not taken from the left, heap entries used after their
 * symbols changed, and digits or words that merge across a split. */
static void test_bpe_merges(void **state)
{
    static const struct encode_case cases[] = {
        {"", 0, {-1}},
        {"a", 0, {'a', -1}},
        {"aaa", 0, {SMALL_BPE_AA, 'a', -1}},
        {"aaaa", 0, {SMALL_BPE_AAAA, -1}},
        {"aaaaa", 0, {SMALL_BPE_AAAA, 'a', -1}},
        {"aaaaaaa", 0, {SMALL_BPE_AAAA, SMALL_BPE_AA, 'a', -1}},
        {"abc", 0, {'a', SMALL_BPE_BC, -1}},
        {"aab", 0, {SMALL_BPE_AA, 'b', -1}},
        {"abab", 0, {SMALL_BPE_AB, SMALL_BPE_AB, -1}},
        {"hello hello", 0, {SMALL_BPE_HELLO, SMALL_BPE_SPACE_HELLO, -1}},
        {"helloh", 0, {SMALL_BPE_HELLO, 'h', -1}},
        {"aa a", 0, {SMALL_BPE_AA, ' ', 'a', -1}},
        {"a1a", 0, {'a', '1', 'a', -1}},
        {"\xe2\x82\xac", 0, {SMALL_BPE_EURO_HEAD, 0xac, -1}},
        {"abcabc", 0, {'a', SMALL_BPE_BC, 'a', SMALL_BPE_BC, -1}},
    };
    struct opened opened;

    (void)state;
    open_bpe(&opened, "smollm");
    assert_encodes(opened.tokenizer, cases, sizeof cases / sizeof *cases);
    close_opened(&opened);
}

/* Catches a pre-tokenizer of the llama-bpe family that merges a word which is a token, or takes
 * such a token out of the middle of a word. */
static void test_ignore_merges(void **state)
{
    static const struct encode_case cases[] = {
        {"abcabc", 0, {SMALL_BPE_WHOLE, -1}},
        {"abcabca", 0, {'a', SMALL_BPE_BC, 'a', SMALL_BPE_BC, 'a', -1}},
        {"hello", TOKENIZE_ADD_BOS_EOS, {SMALL_BPE_BOS, SMALL_BPE_HELLO, -1}},
    };
    struct opened opened;

    (void)state;
    open_bpe(&opened, "llama-bpe");
    assert_encodes(opened.tokenizer, cases, sizeof cases / sizeof *cases);
    close_opened(&opened);
}

/* Catches control tokens found in a user's text, user-defined ones missed in it, a shorter match
 * before a longer one, and a false start that swallows the true one. */
static void test_added_tokens(void **state)
{
    static const struct encode_case cases[] = {
        {"<|eos|>", TOKENIZE_SPECIAL, {SMALL_BPE_EOS, -1}},
        {"<|eos|>", 0, {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', -1}},
        {"<|<|eos|>", TOKENIZE_SPECIAL, {SMALL_BPE_LT_BAR, SMALL_BPE_EOS, -1}},
        {"<|eos|", TOKENIZE_SPECIAL, {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', -1}},
        {"<tool>", 0, {SMALL_BPE_TOOL, -1}},
        {"a<tool>x<tool>y", 0, {'a', SMALL_BPE_TOOL_X, SMALL_BPE_TOOL, 'y', -1}},
        {"    ", 0, {SMALL_BPE_THREE, ' ', -1}},
        {"<tool", 0, {'<', 't', 'o', 'o', 'l', -1}},
        {"<|bos|>hello<|eos|>",
         TOKENIZE_SPECIAL,
         {SMALL_BPE_BOS, SMALL_BPE_HELLO, SMALL_BPE_EOS, -1}},
    };
    struct opened opened;

    (void)state;
    open_bpe(&opened, "gpt-2");
    assert_encodes(opened.tokenizer, cases, sizeof cases / sizeof *cases);
    close_opened(&opened);
}

/* Catches a user who completes a control token that the template began, or begins one that the
 * template completes; borders between spans that stop a merge; and trusted spans side by side that
 * are looked through one by one. */
static void test_spans(void **state)
{
    static const struct {
        const char *text;
        struct text_span spans[5];
        size_t n_spans;
        int32_t ids[IDS_MAX];
    } cases[] = {
        {"<|eos|><|eos|>",
         {{7, true}, {7, false}},
         2,
         {SMALL_BPE_EOS, SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', -1}},
        {"<|eos|><|eos|>",
         {{7, false}, {7, true}},
         2,
         {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', SMALL_BPE_EOS, -1}},
        {"<|eos|>", {{6, true}, {1, false}}, 2, {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', -1}},
        {"<|eos|>", {{1, false}, {6, true}}, 2, {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', -1}},
        {"<|eos|>", {{3, true}, {0, true}, {4, true}}, 3, {SMALL_BPE_EOS, -1}},
        {"<|eos|>",
         {{3, true}, {0, false}, {4, true}},
         3,
         {SMALL_BPE_LT_BAR, 'e', 'o', 's', '|', '>', -1}},
        {"hello", {{2, true}, {1, false}, {2, true}}, 3, {SMALL_BPE_HELLO, -1}},
        {"<tool>", {{3, true}, {3, false}}, 2, {SMALL_BPE_TOOL, -1}},
        {"a<|bos|>hello<|eos|>a",
         {{1, false}, {7, true}, {5, false}, {7, true}, {1, false}},
         5,
         {'a', SMALL_BPE_BOS, SMALL_BPE_HELLO, SMALL_BPE_EOS, 'a', -1}},
        {"", {{0, true}}, 1, {-1}},
    };
    struct opened opened;

    (void)state;
    open_bpe(&opened, "gpt-2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct token_list list = {0};

        assert_int_equal(tokenizer_encode_spans(opened.tokenizer, cases[i].text, cases[i].spans,
                                                cases[i].n_spans, 0, &list),
                         0);
        assert_ids(&list, cases[i].ids, cases[i].text);
        token_list_free(&list);
    }
    close_opened(&opened);
}

/* Catches bytes that are lost or doubled: any bytes, UTF-8 or not, zero bytes among them, come back
 * from the pieces of their tokens. */
static void test_bpe_round_trip(void **state)
{
    static const char *const families[] = {"default", "gpt-2",          "smollm",      "llama-bpe",
                                           "qwen2",   "deepseek-coder", "deepseek-v3", "gpt-4o"};
    uint32_t random = 12345;

    (void)state;
    for (size_t family = 0; family < sizeof families / sizeof *families; family++) {
        struct opened opened;

        open_bpe(&opened, families[family]);
        for (size_t size = 0; size < 600; size++) {
            char text[600];
            struct token_list list = {0};
            size_t at = 0;

            for (size_t i = 0; i < size; i++) {
                random = random * 1664525 + 1013904223;
                /* Half of the texts from few bytes, so that merges and spaces occur. */
                text[i] =
                    size % 2 ? (char)(random >> 24) : "aab c\xe2\x82\xac\n  1<|h"[random >> 28];
            }
            assert_int_equal(tokenizer_encode(opened.tokenizer, text, size, 0, &list), 0);
            for (size_t i = 0; i < list.count; i++) {
                struct gguf_string piece = tokenizer_piece(opened.tokenizer, list.ids[i], false);

                assert_true(piece.size && piece.size <= size - at);
                assert_memory_equal(text + at, piece.bytes, piece.size);
                at += piece.size;
            }
            assert_int_equal(at, size);
            token_list_free(&list);
        }
        close_opened(&opened);
    }
}

/* Catches quadratic merging or matching (the test would not end), and an expression that fails on a
 * long run. */
static void test_long_runs(void **state)
{
    enum { SIZE = 1 << 18 };
    static const char *const families[] = {"smollm", "llama-bpe", "qwen2", "gpt-4o"};
    static const char *const units[] = {"a", " ", "\n", "1", "!", "\xe4\xb8\xad", "A", " \n\r"};
    char *text = malloc(SIZE);

    (void)state;
    assert_non_null(text);
    for (size_t family = 0; family < sizeof families / sizeof *families; family++) {
        struct opened opened;

        open_bpe(&opened, families[family]);
        for (size_t unit = 0; unit < sizeof units / sizeof *units; unit++) {
            struct token_list list = {0};
            size_t length = strlen(units[unit]), bytes = 0;

            for (size_t i = 0; i < SIZE; i++)
                text[i] = units[unit][i % length];
            assert_int_equal(tokenizer_encode(opened.tokenizer, text, SIZE, 0, &list), 0);
            for (size_t i = 0; i < list.count; i++)
                bytes += tokenizer_piece(opened.tokenizer, list.ids[i], false).size;
            assert_int_equal(bytes, SIZE);
            token_list_free(&list);
        }
        close_opened(&opened);
    }
    free(text);
}

/* Catches scores taken the wrong way round, the space nobody wrote missing or doubled, bytes
 * without fallback, and "</s>" merging into the control token. */
static void test_spm(void **state)
{
    static const struct encode_case cases[] = {
        {"", TOKENIZE_ADD_BOS_EOS, {1, -1}},
        {"a", TOKENIZE_ADD_BOS_EOS, {1, SMALL_SPM_SPACE_A, -1}},
        {"a a", 0, {SMALL_SPM_SPACE_A, SMALL_SPM_SPACE_A, -1}},
        {" a", 0, {SMALL_SPM_SPACE, SMALL_SPM_SPACE_A, -1}},
        {" b", 0, {SMALL_SPM_SPACES, SMALL_SPM_B, -1}},
        {"b", 0, {SMALL_SPM_SPACE, SMALL_SPM_B, -1}},
        {"bab", 0, {SMALL_SPM_SPACE, SMALL_SPM_B, SMALL_SPM_AB, -1}},
        {"babc", 0, {SMALL_SPM_SPACE, SMALL_SPM_B, SMALL_SPM_A, SMALL_SPM_BC, -1}},
        {"abc", 0, {SMALL_SPM_SPACE_A, SMALL_SPM_BC, -1}},
        {"b\342\226\201a", 0, {SMALL_SPM_SPACE, SMALL_SPM_B, SMALL_SPM_SPACE_A, -1}},
        {"\n", 0, {SMALL_SPM_SPACE, 3 + '\n', -1}},
        {"\xc3\xa9", 0, {SMALL_SPM_SPACE, SMALL_SPM_ACCENT, -1}},
        {"\xc3", 0, {SMALL_SPM_SPACE, 3 + 0xc3, -1}},
        {"\xe2\x82\xac", 0, {SMALL_SPM_SPACE, 3 + 0xe2, 3 + 0x82, 3 + 0xac, -1}},
        {"</s>", 0, {SMALL_SPM_SPACE, SMALL_SPM_LT_SLASH_S, SMALL_SPM_GT, -1}},
        {"</s>", TOKENIZE_SPECIAL, {2, -1}},
        {"a</s>a", TOKENIZE_SPECIAL, {SMALL_SPM_SPACE_A, 2, SMALL_SPM_SPACE_A, -1}},
    };
    static const struct encode_case bare[] = {
        {"a", 0, {SMALL_SPM_A, -1}},
        {"a</s>b", TOKENIZE_SPECIAL, {SMALL_SPM_A, 2, SMALL_SPM_B, -1}},
    };
    struct opened opened;

    (void)state;
    open_spm(&opened, true);
    assert_encodes(opened.tokenizer, cases, sizeof cases / sizeof *cases);
    close_opened(&opened);
    open_spm(&opened, false);
    assert_encodes(opened.tokenizer, bare, sizeof bare / sizeof *bare);
    close_opened(&opened);
}

/* Catches words merged one at a time although a token reaches across their border, and characters
 * lost when a vocabulary has neither their bytes nor, in the second round, an unknown token. */
static void test_spm_without_bytes(void **state)
{
    static const char *const tokens[] = {"<unk>", "\xe2\x96\x81",  "a",
                                         "b",     "a\xe2\x96\x81", "a\342\226\201b"};
    static const int32_t types[] = {2, 1, 1, 1, 1, 1};
    static const float scores[] = {0, -10, -10, -10, -1, -2};
    static const struct encode_case known[] = {{"a bxa", 0, {5, 0, 2, -1}},
                                               {"\xc3\xa9\xc3\xa9", 0, {0, 0, -1}}};
    static const struct encode_case unknown[] = {{"a bxa", 0, {5, 2, -1}}};

    (void)state;
    for (int has_unknown = 0; has_unknown < 2; has_unknown++) {
        struct opened opened = {0};
        struct err err;

        gguf_bytes_init(&opened.bytes);
        gguf_bytes_string(&opened.bytes, "tokenizer.ggml.model", "llama");
        gguf_bytes_strings(&opened.bytes, "tokenizer.ggml.tokens", tokens, 6);
        gguf_bytes_i32s(&opened.bytes, "tokenizer.ggml.token_type", types, 6);
        gguf_bytes_f32s(&opened.bytes, "tokenizer.ggml.scores", scores, 6);
        gguf_bytes_bool(&opened.bytes, "tokenizer.ggml.add_space_prefix", false);
        if (has_unknown)
            gguf_bytes_u32(&opened.bytes, "tokenizer.ggml.unknown_token_id", 0);
        assert_int_equal(open_written(&opened, &err), 0);
        assert_encodes(opened.tokenizer, has_unknown ? known : unknown, has_unknown ? 2 : 1);
        close_opened(&opened);
    }
}

/* Catches a control token that a byte without a token of its own turns into: SmolLM2 names
 * <|endoftext|> as its unknown token. */
static void test_missing_bytes(void **state)
{
    static const char *const tokens[] = {"<|e|>", "a"};
    static const char *const no_merges[] = {""};
    static const struct {
        int32_t type, ids[4];
    } cases[] = {{3, {1, 1, -1}}, {2, {1, 0, 1, -1}}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int32_t types[] = {cases[i].type, 1};
        struct encode_case text = {"aba", 0, {0}};
        struct opened opened = {0};
        struct err err;

        gguf_bytes_init(&opened.bytes);
        gguf_bytes_string(&opened.bytes, "tokenizer.ggml.model", "gpt2");
        gguf_bytes_strings(&opened.bytes, "tokenizer.ggml.tokens", tokens, 2);
        gguf_bytes_i32s(&opened.bytes, "tokenizer.ggml.token_type", types, 2);
        gguf_bytes_strings(&opened.bytes, "tokenizer.ggml.merges", no_merges, 0);
        gguf_bytes_u32(&opened.bytes, "tokenizer.ggml.unknown_token_id", 0);
        assert_int_equal(open_written(&opened, &err), 0);
        memcpy(text.ids, cases[i].ids, sizeof cases[i].ids);
        assert_encodes(opened.tokenizer, &text, 1);
        close_opened(&opened);
    }
}

/* Catches BOS or EOS put in unasked, left out, a failed call that leaves tokens behind, and no text
 * at all taken for an error. */
static void test_bos_eos(void **state)
{
    static const int32_t both[] = {7, SMALL_BPE_BOS, 'a', SMALL_BPE_EOS, -1};
    struct opened opened = {0};
    struct token_list list = {0};
    struct text_span span = {TOKENIZER_TEXT_MAX + 1, false};
    struct err err;

    (void)state;
    gguf_bytes_init(&opened.bytes);
    small_bpe_write(&opened.bytes, "gpt-2");
    gguf_bytes_bool(&opened.bytes, "tokenizer.ggml.add_bos_token", true);
    gguf_bytes_bool(&opened.bytes, "tokenizer.ggml.add_eos_token", true);
    assert_int_equal(open_written(&opened, &err), 0);
    list.ids = malloc(sizeof *list.ids);
    assert_non_null(list.ids);
    list.ids[0] = 7;
    list.count = list.capacity = 1;
    assert_int_equal(tokenizer_encode(opened.tokenizer, "a", 1, TOKENIZE_ADD_BOS_EOS, &list), 0);
    assert_ids(&list, both, "a");
    assert_int_equal(tokenizer_encode_spans(opened.tokenizer, "", &span, 1, 0, &list), -E2BIG);
    assert_ids(&list, both, "a");
    list.count = 0;
    assert_int_equal(tokenizer_encode_spans(opened.tokenizer, NULL, NULL, 0, 0, &list), 0);
    assert_int_equal(list.count, 0);
    token_list_free(&list);
    close_opened(&opened);
}

/* Catches an end token overlooked: answers would run on. The metadata names EOS, EOT and EOM; known
 * texts count when they are control tokens only. */
static void test_end_tokens(void **state)
{
    struct opened opened = {0};
    struct err err;

    (void)state;
    gguf_bytes_init(&opened.bytes);
    small_bpe_write(&opened.bytes, "gpt-2");
    gguf_bytes_u32(&opened.bytes, "tokenizer.ggml.eot_token_id", SMALL_BPE_TOOL);
    gguf_bytes_u32(&opened.bytes, "tokenizer.ggml.eom_token_id", 'z');
    assert_int_equal(open_written(&opened, &err), 0);
    for (int id = -1; id <= SMALL_BPE_COUNT; id++) {
        bool end = id == SMALL_BPE_EOS || id == SMALL_BPE_END || id == SMALL_BPE_TOOL || id == 'z';

        assert_int_equal(tokenizer_is_end(opened.tokenizer, id), end);
        assert_int_equal(tokenizer_is_control(opened.tokenizer, id),
                         id >= SMALL_BPE_BOS && id < SMALL_BPE_COUNT);
    }
    assert_int_equal(tokenizer_bos(opened.tokenizer), SMALL_BPE_BOS);
    assert_int_equal(tokenizer_eos(opened.tokenizer), SMALL_BPE_EOS);
    assert_int_equal(tokenizer_vocab_size(opened.tokenizer), SMALL_BPE_COUNT);
    close_opened(&opened);
}

/* What a vocabulary is made of in test_refusals; NULL or 0: the key is absent. */
struct vocabulary_keys {
    const char *model, *pre, *token, *merge;
    int32_t types[2];
    size_t n_types;
    bool scores;
    uint32_t eos;
    const char *error; /* a part of it */
};

/* Catches files that open although their tokenizer cannot work, and errors that do not name the
 * key. */
static void test_refusals(void **state)
{
    static const struct vocabulary_keys cases[] = {
        {.error = "tokenizer.ggml.model"},
        {.model = "wordpiece", .token = "a", .error = "\"wordpiece\"; known are gpt2"},
        {.model = "gpt2", .pre = "smol", .token = "a", .merge = "a a", .error = "smollm starcoder"},
        {.model = "gpt2", .pre = "smollm", .merge = "a a", .error = "tokenizer.ggml.tokens"},
        {.model = "gpt2", .pre = "smollm", .token = "a", .error = "tokenizer.ggml.merges"},
        {.model = "gpt2",
         .pre = "smollm",
         .token = "a",
         .merge = "a b",
         .error = "entry 0 \"a b\""},
        {.model = "gpt2", .pre = "smollm", .token = "a", .merge = "aa", .error = "entry 0 \"aa\""},
        {.model = "gpt2", .pre = "smollm", .token = "a", .merge = "a ", .error = "entry 0 \"a \""},
        {.model = "llama", .token = "a", .error = "tokenizer.ggml.scores"},
        {.model = "llama",
         .token = "a",
         .scores = true,
         .n_types = 2,
         .types = {1, 1},
         .error = "tokenizer.ggml.token_type has 2 entries for 1"},
        {.model = "llama",
         .token = "a",
         .scores = true,
         .n_types = 1,
         .types = {7},
         .error = "tokenizer.ggml.token_type entry 0 is 7"},
        {.model = "llama",
         .token = "a",
         .scores = true,
         .eos = 1,
         .error = "tokenizer.ggml.eos_token_id is 1"},
    };
    static const float score = 0;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct vocabulary_keys *keys = &cases[i];
        struct opened opened = {0};
        struct err err = {{0}};

        gguf_bytes_init(&opened.bytes);
        if (keys->model)
            gguf_bytes_string(&opened.bytes, "tokenizer.ggml.model", keys->model);
        if (keys->pre)
            gguf_bytes_string(&opened.bytes, "tokenizer.ggml.pre", keys->pre);
        if (keys->token)
            gguf_bytes_strings(&opened.bytes, "tokenizer.ggml.tokens", &keys->token, 1);
        if (keys->merge)
            gguf_bytes_strings(&opened.bytes, "tokenizer.ggml.merges", &keys->merge, 1);
        if (keys->n_types)
            gguf_bytes_i32s(&opened.bytes, "tokenizer.ggml.token_type", keys->types, keys->n_types);
        if (keys->scores)
            gguf_bytes_f32s(&opened.bytes, "tokenizer.ggml.scores", &score, 1);
        if (keys->eos)
            gguf_bytes_u32(&opened.bytes, "tokenizer.ggml.eos_token_id", keys->eos);
        assert_int_equal(open_written(&opened, &err), -EINVAL);
        if (!strstr(err.text, keys->error))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, err.text, keys->error);
        assert_null(opened.tokenizer);
        close_opened(&opened);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpe_merges),
        cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_added_tokens),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_bpe_round_trip),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_spm),
        cmocka_unit_test(test_spm_without_bytes),
        cmocka_unit_test(test_bos_eos),
        cmocka_unit_test(test_end_tokens),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_missing_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
