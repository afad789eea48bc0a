/*
 * model/model.h: a llama file's metadata and tensors become the description the engine reads, and
 * whatever contradicts or goes beyond it is refused with the key or tensor named.
 */
#include "model/model.h"

#include "tests/unit/gguf_bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct key {
    const char *name;
    enum gguf_value_type type;
    uint32_t number; /* GGUF_U32, GGUF_BOOL */
    float real;      /* GGUF_F32 */
    const char *text;
};

struct shaped {
    const char *name;
    uint64_t columns, rows; /* rows 0: a vector */
    enum gguf_tensor_type type;
};

/* Two layers of width 8: 2 heads of 4 over 1 key/value head, 6 tokens, tied head. */
static const struct key sound_keys[] = {
    {"general.architecture", GGUF_STRING, .text = "llama"},
    {"general.name", GGUF_STRING, .text = "Tiny\nLlama"},
    {"llama.block_count", GGUF_U32, .number = 2},
    {"llama.context_length", GGUF_U32, .number = 64},
    {"llama.embedding_length", GGUF_U32, .number = 8},
    {"llama.feed_forward_length", GGUF_U32, .number = 12},
    {"llama.attention.head_count", GGUF_U32, .number = 2},
    {"llama.attention.head_count_kv", GGUF_U32, .number = 1},
    {"llama.attention.layer_norm_rms_epsilon", GGUF_F32, .real = 1e-5f},
};
static const struct shaped sound_tensors[] = {
    {"token_embd.weight", 8, 6, GGUF_TENSOR_F32},
    {"output_norm.weight", 8, 0, GGUF_TENSOR_F32},
    {"blk.0.attn_norm.weight", 8, 0, GGUF_TENSOR_F32},
    {"blk.0.attn_q.weight", 8, 8, GGUF_TENSOR_F16},
    {"blk.0.attn_k.weight", 8, 4, GGUF_TENSOR_F16},
    {"blk.0.attn_v.weight", 8, 4, GGUF_TENSOR_F16},
    {"blk.0.attn_output.weight", 8, 8, GGUF_TENSOR_F16},
    {"blk.0.ffn_norm.weight", 8, 0, GGUF_TENSOR_F32},
    {"blk.0.ffn_gate.weight", 8, 12, GGUF_TENSOR_F16},
    {"blk.0.ffn_up.weight", 8, 12, GGUF_TENSOR_F16},
    {"blk.0.ffn_down.weight", 12, 8, GGUF_TENSOR_F16},
    {"blk.1.attn_norm.weight", 8, 0, GGUF_TENSOR_F32},
    {"blk.1.attn_q.weight", 8, 8, GGUF_TENSOR_F16},
    {"blk.1.attn_k.weight", 8, 4, GGUF_TENSOR_F16},
    {"blk.1.attn_v.weight", 8, 4, GGUF_TENSOR_F16},
    {"blk.1.attn_output.weight", 8, 8, GGUF_TENSOR_F16},
    {"blk.1.ffn_norm.weight", 8, 0, GGUF_TENSOR_F32},
    {"blk.1.ffn_gate.weight", 8, 12, GGUF_TENSOR_F16},
    {"blk.1.ffn_up.weight", 8, 12, GGUF_TENSOR_F16},
    {"blk.1.ffn_down.weight", 12, 8, GGUF_TENSOR_F16},
};

enum { N_KEYS = sizeof sound_keys / sizeof *sound_keys };
enum { N_TENSORS = sizeof sound_tensors / sizeof *sound_tensors };

/* What differs from the sound model: a key or tensor of the same name is replaced, another added;
 * up to two of each. */
struct change {
    const char *without; /* name of a key or tensor to leave out */
    struct key keys[2];
    struct shaped tensors[2];
    float factors_data; /* unless 0: fills the first changed tensor, an F32 one */
    const char *expected;
};

static void put_key(struct gguf_bytes *out, const struct key *key)
{
    switch (key->type) {
    case GGUF_U32: gguf_bytes_u32(out, key->name, key->number); break;
    case GGUF_F32: gguf_bytes_value(out, key->name, GGUF_F32, &key->real); break;
    case GGUF_BOOL: gguf_bytes_bool(out, key->name, key->number != 0); break;
    case GGUF_STRING: gguf_bytes_string(out, key->name, key->text); break;
    default: /* GGUF_ARRAY: `number` empty strings */
        gguf_bytes_array(out, key->name, GGUF_STRING, key->number);
        for (uint32_t i = 0; i < key->number; i++)
            gguf_bytes_text(out, "");
    }
}

static bool is_changed(const struct change *change, const char *name)
{
    if (change->without && strcmp(change->without, name) == 0)
        return true;
    for (int i = 0; i < 2; i++) {
        if ((change->keys[i].name && strcmp(change->keys[i].name, name) == 0) ||
            (change->tensors[i].name && strcmp(change->tensors[i].name, name) == 0))
            return true;
    }
    return false;
}

static void put_keys(struct gguf_bytes *out, const struct change *change)
{
    for (int i = 0; i < N_KEYS; i++) {
        if (!is_changed(change, sound_keys[i].name))
            put_key(out, &sound_keys[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (change->keys[i].name)
            put_key(out, &change->keys[i]);
    }
}

static size_t shaped_bytes(const struct shaped *tensor)
{
    size_t each = tensor->type == GGUF_TENSOR_F32 ? 4 : 2;

    return (size_t)tensor->columns * (tensor->rows ? (size_t)tensor->rows : 1) * each;
}

static void build_model(struct gguf_bytes *out, const struct change *change)
{
    struct shaped tensors[N_TENSORS + 2];
    uint64_t n_tensors = 0, offset = 0;

    for (int i = 0; i < 2; i++) {
        if (change->tensors[i].name)
            tensors[n_tensors++] = change->tensors[i];
    }
    for (int i = 0; i < N_TENSORS; i++) {
        if (!is_changed(change, sound_tensors[i].name))
            tensors[n_tensors++] = sound_tensors[i];
    }
    gguf_bytes_init(out);
    put_keys(out, change);
    for (size_t i = 0; i < n_tensors; i++) {
        const uint64_t dims[2] = {tensors[i].columns, tensors[i].rows};

        gguf_bytes_tensor(out, tensors[i].name, tensors[i].rows ? 2 : 1, dims, tensors[i].type,
                          offset);
        offset += (shaped_bytes(&tensors[i]) + 31) / 32 * 32;
    }
    gguf_bytes_data(out, (size_t)offset);
    gguf_bytes_finish(out);
    for (size_t at = 0; change->factors_data != 0 && at + 4 <= shaped_bytes(&tensors[0]); at += 4)
        memcpy(out->file.bytes + out->file.size - offset + at, &change->factors_data, 4);
}

static int open_model(const struct change *change, struct gguf_bytes *bytes,
                      struct model **ret_model, struct err *err)
{
    struct gguf *file;

    build_model(bytes, change);
    assert_int_equal(gguf_parse(&file, bytes->file.bytes, bytes->file.size, err), 0);
    int rc = model_from_gguf(ret_model, file, "some/path.gguf", err);

    if (rc < 0)
        gguf_close(file);
    return rc;
}

/* Catches a description that mixes up its numbers or points at the wrong tensors. */
static void test_sound(void **state)
{
    struct model *model;
    struct err err = {""};
    struct gguf_bytes bytes;

    (void)state;
    assert_int_equal(open_model(&(struct change){0}, &bytes, &model, &err), 0);
    const struct model_shape *shape = &model->shape;

    assert_string_equal(model->architecture, "llama");
    assert_string_equal(model->name, "Tiny?Llama");
    assert_int_equal(shape->n_layers, 2);
    assert_int_equal(shape->n_embd, 8);
    assert_int_equal(shape->n_ff, 12);
    assert_int_equal(shape->n_heads, 2);
    assert_int_equal(shape->n_kv_heads, 1);
    assert_int_equal(shape->head_dim, 4);
    assert_int_equal(shape->n_vocab, 6);
    assert_int_equal(shape->context_length, 64);
    assert_int_equal(shape->rope_dims, 4);
    assert_int_equal(shape->rope_pairing, ROPE_ADJACENT);
    assert_true(shape->rope_base == 10000.0f && shape->rope_scale == 1.0f);
    assert_null(shape->rope_factors);
    assert_true(shape->norm_eps == 1e-5f);
    assert_true(shape->tied_head);
    assert_ptr_equal(model->output, model->token_embd);
    assert_ptr_equal(model->layers[1][LAYER_FFN_DOWN],
                     gguf_find_tensor(model->file, "blk.1.ffn_down.weight"));
    assert_ptr_equal(model->layers[0][LAYER_ATTN_OUT],
                     gguf_find_tensor(model->file, "blk.0.attn_output.weight"));
    model_close(model);
    gguf_bytes_free(&bytes);
}

/* Catches optional keys and tensors that are ignored. */
static void test_options(void **state)
{
    static const struct change change = {
        .without = "general.name",
        .keys = {{"llama.rope.scaling.factor", GGUF_F32, .real = 4},
                 {"llama.rope.dimension_count", GGUF_U32, .number = 2}},
        .tensors = {{"rope_freqs.weight", 1, 0, GGUF_TENSOR_F32},
                    {"output.weight", 8, 6, GGUF_TENSOR_F16}},
        .factors_data = 8,
    };
    struct model *model;
    struct err err = {""};
    struct gguf_bytes bytes;

    (void)state;
    assert_int_equal(open_model(&change, &bytes, &model, &err), 0);
    assert_string_equal(model->name, "path.gguf");
    assert_true(model->shape.rope_scale == 0.25f);
    assert_int_equal(model->shape.rope_dims, 2);
    assert_true(model->shape.rope_factors[0] == 8.0f);
    assert_false(model->shape.tied_head);
    assert_ptr_equal(model->output, gguf_find_tensor(model->file, "output.weight"));
    model_close(model);
    gguf_bytes_free(&bytes);
}

/* Catches a name that breaks the JSON or the log line it is written into, or is cut inside a
 * character. */
static void test_name(void **state)
{
    static const char long_name[] =
        "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 "
        "0123456789 0123456789 0123456789 012\xe2\x82\xac tail";
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"Tiny \xc3\xa9t\xc3\xa9", "Tiny \xc3\xa9t\xc3\xa9"},
        {"a\tb\x7f", "a?b?"},
        {"\xff\xc3", "??"},
        {"cut \xe2\x82", "cut ??"},
        {"", "path.gguf"},
        {long_name, "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 "
                    "0123456789 0123456789 0123456789 0123456789 012"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct change change = {
            .keys = {{"general.name", GGUF_STRING, .text = cases[i].text}}};
        struct model *model;
        struct err err = {""};
        struct gguf_bytes bytes;

        assert_int_equal(open_model(&change, &bytes, &model, &err), 0);
        assert_string_equal(model->name, cases[i].expected);
        model_close(model);
        gguf_bytes_free(&bytes);
    }
}

/* Catches head sizes taken from the width though the file names them, and harmless settings that
 * are refused. */
static void test_accepted(void **state)
{
    static const struct {
        struct change change;
        int head_dim;
        float rope_scale;
    } cases[] = {
        {{.keys = {{"llama.expert_count", GGUF_U32, .number = 0},
                   {"llama.attention.sliding_window", GGUF_U32, .number = 64}}},
         4,
         1},
        {{.keys = {{"llama.attention.key_length", GGUF_U32, .number = 4},
                   {"llama.attention.value_length", GGUF_U32, .number = 4}}},
         4,
         1},
        {{.keys = {{"llama.rope.scaling.type", GGUF_STRING, .text = "none"},
                   {"llama.rope.scaling.factor", GGUF_F32, .real = 4}}},
         4,
         1},
        {{.keys = {{"llama.rope.scaling.type", GGUF_STRING, .text = "linear"},
                   {"llama.rope.scaling.factor", GGUF_F32, .real = 2}}},
         4,
         0.5f},
        {{.keys = {{"llama.rope.scale_linear", GGUF_F32, .real = 2}}}, 4, 0.5f},
        {{.keys = {{"llama.vocab_size", GGUF_U32, .number = 6},
                   {"tokenizer.ggml.tokens", GGUF_ARRAY, .number = 5}}},
         4,
         1},
        {{.keys = {{"llama.attention.causal", GGUF_BOOL, .number = 1}}}, 4, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model *model;
        struct err err = {""};
        struct gguf_bytes bytes;

        if (open_model(&cases[i].change, &bytes, &model, &err) < 0)
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(model->shape.head_dim, cases[i].head_dim);
        assert_true(model->shape.rope_scale == cases[i].rope_scale);
        model_close(model);
        gguf_bytes_free(&bytes);
    }
}

static const struct change refused[] = {
    /* Catches an architecture that is guessed. */
    {.without = "general.architecture", .expected = "key 'general.architecture' is missing"},
    {.keys = {{"general.architecture", GGUF_STRING, .text = "mamba"}}, .expected = "'mamba'"},
    {.keys = {{"split.count", GGUF_U32, .number = 3}}, .expected = "key 'split.count' is 3"},
    /* Catches sizes that are absent, zero, huge or of another type. */
    {.without = "llama.block_count", .expected = "key 'llama.block_count' is missing"},
    {.without = "llama.context_length", .expected = "key 'llama.context_length' is missing"},
    {.without = "llama.attention.layer_norm_rms_epsilon", .expected = "epsilon' is missing"},
    {.keys = {{"llama.block_count", GGUF_U32, .number = 0}}, .expected = "block_count': 0 is"},
    {.keys = {{"llama.block_count", GGUF_U32, .number = 1024}}, .expected = "1024 layers"},
    {.keys = {{"llama.block_count", GGUF_U32, .number = 3}},
     .expected = "tensor 'blk.2.attn_norm.weight' is missing"},
    {.keys = {{"llama.block_count", GGUF_U32, .number = 1}},
     .expected = "tensor 'blk.1.attn_norm.weight' is not part"},
    {.keys = {{"llama.embedding_length", GGUF_U32, .number = UINT32_MAX}},
     .expected = "key 'llama.embedding_length': 4294967295"},
    {.keys = {{"llama.feed_forward_length", GGUF_STRING, .text = "12"}},
     .expected = "key 'llama.feed_forward_length': an integer expected"},
    {.keys = {{"llama.feed_forward_length", GGUF_U32, .number = 13}},
     .expected = "tensor 'blk.0.ffn_gate.weight': its shape"},
    /* Catches heads that do not fit the width or each other. */
    {.keys = {{"llama.attention.head_count_kv", GGUF_U32, .number = 3}},
     .expected = "3 key/value heads do not divide 2 heads"},
    {.without = "llama.attention.head_count_kv", .expected = "tensor 'blk.0.attn_k.weight'"},
    {.keys = {{"llama.attention.head_count", GGUF_U32, .number = 3}},
     .expected = "key 'llama.attention.key_length' is missing"},
    {.keys = {{"llama.attention.key_length", GGUF_U32, .number = 6},
              {"llama.attention.value_length", GGUF_U32, .number = 6}},
     .expected = "tensor 'blk.0.attn_q.weight'"},
    {.keys = {{"llama.attention.value_length", GGUF_U32, .number = 2}},
     .expected = "key 'llama.attention.value_length': values of 2"},
    /* Catches settings we do not compute being ignored. */
    {.keys = {{"llama.expert_count", GGUF_U32, .number = 8}}, .expected = "expert_count' is 8"},
    {.keys = {{"llama.attention.sliding_window", GGUF_U32, .number = 16}},
     .expected = "key 'llama.attention.sliding_window' is 16"},
    {.keys = {{"llama.attention.causal", GGUF_BOOL, .number = 0}}, .expected = "causal' is false"},
    {.keys = {{"llama.rope.scaling.type", GGUF_STRING, .text = "yarn"}}, .expected = "'yarn'"},
    {.tensors = {{"blk.0.attn_q.bias", 8, 0, GGUF_TENSOR_F32}},
     .expected = "tensor 'blk.0.attn_q.bias' is not part"},
    /* Catches numbers that make every answer NaN. */
    {.keys = {{"llama.rope.freq_base", GGUF_F32, .real = -1}}, .expected = "rope.freq_base': -1"},
    {.keys = {{"llama.rope.scaling.factor", GGUF_F32, .real = 0}}, .expected = "factor': 0"},
    {.keys = {{"llama.attention.layer_norm_rms_epsilon", GGUF_F32, .real = 0}},
     .expected = "epsilon': 0 is not"},
    {.keys = {{"llama.rope.dimension_count", GGUF_U32, .number = 3}}, .expected = "3 is odd"},
    {.keys = {{"llama.rope.dimension_count", GGUF_U32, .number = 6}},
     .expected = "key 'llama.rope.dimension_count': 6"},
    {.tensors = {{"rope_freqs.weight", 2, 0, GGUF_TENSOR_F32}},
     .factors_data = -2,
     .expected = "tensor 'rope_freqs.weight': factor 0 is -2"},
    {.tensors = {{"rope_freqs.weight", 4, 0, GGUF_TENSOR_F32}},
     .expected = "tensor 'rope_freqs.weight': its shape"},
    /* Catches tensors missing, of the wrong shape or of a type that is read otherwise. */
    {.without = "token_embd.weight", .expected = "tensor 'token_embd.weight' is missing"},
    {.without = "output_norm.weight", .expected = "tensor 'output_norm.weight' is missing"},
    {.without = "blk.1.ffn_down.weight", .expected = "'blk.1.ffn_down.weight' is missing"},
    {.tensors = {{"blk.0.ffn_down.weight", 8, 12, GGUF_TENSOR_F16}},
     .expected = "tensor 'blk.0.ffn_down.weight': its shape is [8, 12, 1, 1]"},
    {.tensors = {{"blk.1.attn_norm.weight", 8, 0, GGUF_TENSOR_F16}},
     .expected = "tensor 'blk.1.attn_norm.weight': type F16"},
    {.tensors = {{"output.weight", 8, 5, GGUF_TENSOR_F16}},
     .expected = "tensor 'output.weight': its shape"},
    {.tensors = {{"token_embd.weight", 8, 0, GGUF_TENSOR_F32}}, .expected = "1 rows"},
    /* Catches token ids that would be looked up past the embedding's end. */
    {.keys = {{"llama.vocab_size", GGUF_U32, .number = 7}}, .expected = "vocab_size' is 7"},
    {.keys = {{"tokenizer.ggml.tokens", GGUF_ARRAY, .number = 7}}, .expected = "has 7 tokens"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct model *model;
        struct err err = {""};
        struct gguf_bytes bytes;

        assert_int_equal(open_model(&refused[i], &bytes, &model, &err), -EINVAL);
        if (!strstr(err.text, refused[i].expected))
            fail_msg("'%s' does not say '%s'", err.text, refused[i].expected);
        gguf_bytes_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),   cmocka_unit_test(test_options),
        cmocka_unit_test(test_name),    cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
