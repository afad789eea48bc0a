/* model/gguf.h: sound files are read whole, damaged ones refused with the key or tensor named. */
#include "model/gguf.h"

#include "tests/unit/gguf_bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const uint64_t dims_32[] = {32}, dims_32x2[] = {32, 2};

/* One key of each type, an array of each kind, two tensors of two types. */
static void build_sound(struct gguf_bytes *out, uint32_t version)
{
    gguf_bytes_init(out);
    gguf_bytes_value(out, "u8", GGUF_U8, &(uint8_t){200});
    gguf_bytes_value(out, "i8", GGUF_I8, &(int8_t){-5});
    gguf_bytes_value(out, "u16", GGUF_U16, &(uint16_t){60000});
    gguf_bytes_value(out, "i16", GGUF_I16, &(int16_t){30000});
    gguf_bytes_u32(out, "u32", UINT32_MAX);
    gguf_bytes_value(out, "i32", GGUF_I32, &(int32_t){-1});
    gguf_bytes_value(out, "f32", GGUF_F32, &(float){1.5f});
    gguf_bytes_value(out, "bool", GGUF_BOOL, &(uint8_t){1});
    gguf_bytes_string(out, "string", "text");
    gguf_bytes_value(out, "u64", GGUF_U64, &(uint64_t){UINT32_MAX});
    gguf_bytes_value(out, "u64 large", GGUF_U64, &(uint64_t){UINT64_MAX});
    gguf_bytes_value(out, "i64", GGUF_I64, &(int64_t){7});
    gguf_bytes_value(out, "f64", GGUF_F64, &(double){0.25});
    gguf_bytes_array(out, "numbers", GGUF_I32, 3);
    gguf_bytes_put(out, (int32_t[]){1, -2, 3}, 12);
    gguf_bytes_array(out, "strings", GGUF_STRING, 3);
    gguf_bytes_text(out, "a");
    gguf_bytes_text(out, "");
    gguf_bytes_text(out, "ccc");
    gguf_bytes_tensor(out, "z.weight", 2, dims_32x2, GGUF_TENSOR_Q8_0, 128);
    gguf_bytes_tensor(out, "a.weight", 1, dims_32, GGUF_TENSOR_F32, 0);
    gguf_bytes_data(out, 128 + 68);
    gguf_bytes_finish(out);
    memcpy(out->file.bytes + 4, &version, sizeof version);
}

/* Catches integer widths or signs read wrongly, and values that do not fit cut silently. */
static void test_integers(void **state)
{
    static const struct {
        const char *key;
        int rc;
        uint32_t value;
    } cases[] = {
        {"u8", 0, 200},          {"i8", -EINVAL, 0},        {"u16", 0, 60000},
        {"i16", 0, 30000},       {"u32", 0, UINT32_MAX},    {"i32", -EINVAL, 0},
        {"u64", 0, UINT32_MAX},  {"u64 large", -EINVAL, 0}, {"i64", 0, 7},
        {"f32", -EINVAL, 0},     {"bool", -EINVAL, 0},      {"string", -EINVAL, 0},
        {"numbers", -EINVAL, 0}, {"absent", -ENOENT, 0},    {"", -ENOENT, 0},
        {"u", -ENOENT, 0},       {"u888", -ENOENT, 0},
    };
    struct gguf *file;
    struct gguf_bytes bytes;

    (void)state;
    build_sound(&bytes, 3);
    assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t value = 12345;
        struct err err = {""};

        assert_int_equal(gguf_get_u32(file, cases[i].key, &value, &err), cases[i].rc);
        assert_int_equal(value, cases[i].rc == 0 ? cases[i].value : 12345);
        if (cases[i].rc == -EINVAL)
            assert_non_null(strstr(err.text, cases[i].key));
    }
    gguf_close(file);
    gguf_bytes_free(&bytes);
}

/* Catches a getter that takes the bytes of another type. */
static void test_other_values(void **state)
{
    struct gguf_string string;
    struct gguf_array array;
    struct gguf *file;
    struct gguf_bytes bytes;
    struct err err;
    float number;
    bool flag = false;

    (void)state;
    build_sound(&bytes, 2);
    assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, NULL), 0);
    assert_int_equal(gguf_get_f32(file, "f32", &number, NULL), 0);
    assert_true(number == 1.5f);
    assert_int_equal(gguf_get_f32(file, "f64", &number, NULL), 0);
    assert_true(number == 0.25f);
    assert_int_equal(gguf_get_f32(file, "u32", &number, NULL), -EINVAL);
    assert_int_equal(gguf_get_bool(file, "bool", &flag, NULL), 0);
    assert_true(flag);
    assert_int_equal(gguf_get_bool(file, "u8", &flag, NULL), -EINVAL);
    assert_int_equal(gguf_get_string(file, "string", &string, NULL), 0);
    assert_int_equal(string.size, 4);
    assert_memory_equal(string.bytes, "text", 4);
    assert_int_equal(gguf_get_string(file, "strings", &string, &err), -EINVAL);
    assert_string_equal(err.text, "key 'strings': a string expected, but it is an array of string");
    assert_int_equal(gguf_get_array(file, "numbers", GGUF_I32, &array, NULL), 0);
    assert_int_equal(array.count, 3);
    assert_memory_equal(array.bytes, ((int32_t[]){1, -2, 3}), 12);
    assert_int_equal(gguf_get_array(file, "numbers", GGUF_U32, &array, NULL), -EINVAL);
    assert_int_equal(gguf_get_array(file, "i32", GGUF_I32, &array, NULL), -EINVAL);
    assert_int_equal(gguf_get_array(file, "absent", GGUF_I32, &array, NULL), -ENOENT);
    gguf_close(file);
    gguf_bytes_free(&bytes);
}

/* Catches a walk over strings that skips one or runs past the last. */
static void test_string_array(void **state)
{
    static const char *const expected[] = {"a", "", "ccc"};
    struct gguf_string string;
    struct gguf_array array;
    struct gguf *file;
    struct gguf_bytes bytes;
    size_t cursor = 0;

    (void)state;
    build_sound(&bytes, 3);
    assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, NULL), 0);
    assert_int_equal(gguf_get_array(file, "strings", GGUF_STRING, &array, NULL), 0);
    assert_int_equal(array.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(gguf_array_string(&array, &cursor, &string));
        assert_int_equal(string.size, strlen(expected[i]));
        assert_memory_equal(string.bytes, expected[i], string.size);
    }
    assert_false(gguf_array_string(&array, &cursor, &string));
    assert_false(gguf_array_string(&array, &cursor, &string));
    gguf_close(file);
    gguf_bytes_free(&bytes);
}

/* Catches offsets counted from the wrong place, sizes of quantised rows and lookups by prefix. */
static void test_tensors(void **state)
{
    struct gguf *file;
    struct gguf_bytes bytes;

    (void)state;
    build_sound(&bytes, 3);
    assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, NULL), 0);
    assert_int_equal(gguf_tensor_count(file), 2);
    const struct gguf_tensor *last = gguf_find_tensor(file, "z.weight");
    const struct gguf_tensor *first = gguf_find_tensor(file, "a.weight");

    assert_ptr_equal(last, gguf_tensor_at(file, 0));
    assert_ptr_equal(first, gguf_tensor_at(file, 1));
    assert_int_equal(last->bytes, 2 * 34);
    assert_int_equal(last->n_dims, 2);
    assert_int_equal(last->dims[1], 2);
    assert_int_equal(last->dims[3], 1);
    assert_int_equal(first->bytes, 128);
    assert_int_equal(*(const unsigned char *)first->data, 0);
    assert_int_equal(*(const unsigned char *)last->data, 128);
    assert_null(gguf_find_tensor(file, "z.weigh"));
    assert_null(gguf_find_tensor(file, "z.weights"));
    gguf_close(file);
    gguf_bytes_free(&bytes);
}

/* Catches any read past the end (under AddressSanitizer: each cut has a block of its own) and a cut
 * that goes unnoticed. */
static void test_every_truncation(void **state)
{
    struct gguf_bytes bytes;

    (void)state;
    build_sound(&bytes, 3);
    for (size_t size = 0; size < bytes.file.size; size++) {
        unsigned char *cut = malloc(size + (size == 0));
        struct gguf *file;
        struct err err = {""};

        assert_non_null(cut);
        memcpy(cut, bytes.file.bytes, size);
        assert_int_equal(gguf_parse(&file, cut, size, &err), -EINVAL);
        assert_true(err.text[0] != '\0');
        free(cut);
    }
    gguf_bytes_free(&bytes);
}

/* Catches a field whose bad value is used before it is checked. */
static void test_every_byte(void **state)
{
    static const unsigned char values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct gguf_bytes bytes;

    (void)state;
    build_sound(&bytes, 3);
    for (size_t at = 0; at < bytes.file.size; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            struct gguf *file;
            struct err err = {""};
            char before = bytes.file.bytes[at];

            memcpy(&bytes.file.bytes[at], &values[i], 1);
            int rc = gguf_parse(&file, bytes.file.bytes, bytes.file.size, &err);

            assert_true(rc == 0 || (rc == -EINVAL && err.text[0] != '\0'));
            if (rc == 0)
                gguf_close(file);
            bytes.file.bytes[at] = before;
        }
    }
    gguf_bytes_free(&bytes);
}

static void assert_refused(const struct gguf_bytes *bytes, const char *expected)
{
    struct gguf *file;
    struct err err = {""};

    assert_int_equal(gguf_parse(&file, bytes->file.bytes, bytes->file.size, &err), -EINVAL);
    if (!strstr(err.text, expected))
        fail_msg("'%s' does not say '%s'", err.text, expected);
}

/* Catches a header that is believed: versions, byte order, counts beyond what the file can hold. */
static void test_header(void **state)
{
    static const struct {
        uint32_t version;
        uint64_t n_tensors, n_keys;
        const char *expected;
    } cases[] = {
        {1, 0, 0, "version 1 is not supported"},
        {0, 0, 0, "version 0"},
        {4, 0, 0, "version 4"},
        {0x03000000, 0, 0, "big-endian"},
        {3, 1, 0, "claims 1 tensors"},
        {3, UINT64_MAX, 0, "claims 18446744073709551615 tensors"},
        {3, 0, 1, "claims 1 metadata entries"},
        {3, 0, UINT64_MAX, "claims 18446744073709551615 metadata entries"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf_bytes bytes;

        gguf_bytes_init(&bytes);
        bytes.n_tensors = cases[i].n_tensors;
        bytes.n_keys = cases[i].n_keys;
        gguf_bytes_finish(&bytes);
        memcpy(bytes.file.bytes + 4, &cases[i].version, 4);
        assert_refused(&bytes, cases[i].expected);
        memcpy(bytes.file.bytes, "GGML", 4);
        assert_refused(&bytes, "not a GGUF file");
        gguf_bytes_free(&bytes);
    }
}

static void key_of_unknown_type(struct gguf_bytes *out)
{
    gguf_bytes_text(out, "strange");
    gguf_bytes_put(out, &(uint32_t){13}, 4);
    gguf_bytes_put(out, "12345678", 8);
}

static void key_without_name(struct gguf_bytes *out)
{
    gguf_bytes_u32(out, "", 1);
    gguf_bytes_put(out, "padding", 7);
}

static void key_longer_than_allowed(struct gguf_bytes *out)
{
    static char name[65537];

    memset(name, 'k', sizeof name - 1);
    gguf_bytes_u32(out, name, 1);
}

static void key_longer_than_file(struct gguf_bytes *out)
{
    gguf_bytes_put(out, &(uint64_t){UINT64_MAX}, 8);
    gguf_bytes_put(out, "padding", 7);
}

static void bool_of_two(struct gguf_bytes *out)
{
    gguf_bytes_value(out, "flag", GGUF_BOOL, &(uint8_t){2});
}

static void array_of_arrays(struct gguf_bytes *out)
{
    gguf_bytes_array(out, "nested", GGUF_ARRAY, 1);
}

static void array_longer_than_file(struct gguf_bytes *out)
{
    gguf_bytes_array(out, "list", GGUF_U64, UINT64_MAX / 8 + 2);
}

static void strings_more_than_file(struct gguf_bytes *out)
{
    gguf_bytes_array(out, "words", GGUF_STRING, 1ull << 60);
    gguf_bytes_put(out, "12345678", 8);
}

static void alignment_of_48(struct gguf_bytes *out)
{
    gguf_bytes_u32(out, "general.alignment", 48);
}

static void alignment_of_0(struct gguf_bytes *out)
{
    gguf_bytes_u32(out, "general.alignment", 0);
}

static void alignment_of_4(struct gguf_bytes *out)
{
    gguf_bytes_u32(out, "general.alignment", 4);
}

static void alignment_as_text(struct gguf_bytes *out)
{
    gguf_bytes_string(out, "general.alignment", "32");
}

/* Catches metadata accepted though it is out of bounds or not of the format. */
static void test_bad_keys(void **state)
{
    static const struct {
        void (*add)(struct gguf_bytes *out);
        const char *expected;
    } cases[] = {
        {key_of_unknown_type, "key 'strange': unknown value type 13"},
        {key_without_name, "a key of 0 bytes"},
        {key_longer_than_allowed, "a key of 65536 bytes"},
        {key_longer_than_file, "metadata entry 0: the file ends inside its key"},
        {bool_of_two, "key 'flag': 2 is not a bool"},
        {array_of_arrays, "key 'nested': arrays of arrays"},
        {array_longer_than_file, "key 'list': the file ends inside its value"},
        {strings_more_than_file, "key 'words': the file ends inside its value"},
        {alignment_of_48, "key 'general.alignment': 48"},
        {alignment_of_0, "key 'general.alignment': 0"},
        {alignment_of_4, "key 'general.alignment': 4"},
        {alignment_as_text, "key 'general.alignment': an integer expected"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gguf_bytes bytes;

        gguf_bytes_init(&bytes);
        cases[i].add(&bytes);
        bytes.n_keys = 1; /* also where the key was put together by hand */
        gguf_bytes_finish(&bytes);
        assert_refused(&bytes, cases[i].expected);
        gguf_bytes_free(&bytes);
    }
}

/* Catches tensors accepted though shape, type or place are impossible. */
static void test_bad_tensors(void **state)
{
    static const char long_name[] =
        "a name of sixty-five bytes, one more than the specification allows";
    static const struct {
        const char *name;
        uint32_t n_dims;
        uint64_t dims[4];
        uint32_t type;
        uint64_t offset;
        const char *expected;
    } cases[] = {
        {"t", 0, {0}, GGUF_TENSOR_F32, 0, "tensor 't': 0 dimensions"},
        {"t", 5, {1, 1, 1, 1}, GGUF_TENSOR_F32, 0, "tensor 't': 5 dimensions"},
        {"t", 2, {32, 0}, GGUF_TENSOR_F32, 0, "tensor 't': dimension 1 is 0"},
        {"t", 3, {1ull << 32, 1ull << 32, 2}, GGUF_TENSOR_F32, 0, "tensor 't': its shape has more"},
        {"t", 2, {1ull << 62, 1}, GGUF_TENSOR_F32, 0, "tensor 't': its data has more"},
        {"t", 1, {1ull << 40}, GGUF_TENSOR_Q8_0, 0, "past the end of the file"},
        {"t", 1, {32}, 10, 0, "tensor 't': type 10 (Q2_K) is not supported"},
        {"t", 1, {32}, UINT32_MAX, 0, "tensor 't': type 4294967295 (unknown)"},
        {"t", 1, {48}, GGUF_TENSOR_Q4_0, 0, "tensor 't': rows of 48 elements"},
        {"t", 1, {128}, GGUF_TENSOR_Q6_K, 0, "tensor 't': rows of 128 elements"},
        {"t", 1, {32}, GGUF_TENSOR_F32, 16, "tensor 't': offset 16 is no multiple"},
        {"t", 1, {32}, GGUF_TENSOR_F32, 256, "tensor 't': 128 bytes at offset 256"},
        {"t", 1, {32}, GGUF_TENSOR_F32, UINT64_MAX - 31, "past the end of the file"},
        {"t", 1, {64}, GGUF_TENSOR_F32, 0, "overlaps tensor"},
        {"other", 1, {32}, GGUF_TENSOR_F32, 0, "tensor 'other' appears twice"},
        {"", 1, {32}, GGUF_TENSOR_F32, 0, "a name of 0 bytes"},
        {long_name, 1, {32}, GGUF_TENSOR_F32, 0, "bytes: 1 to 64 are allowed"},
        {"line\nbreak", 1, {32}, 10, 0, "tensor 'line?break'"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t dims[5] = {1, 1, 1, 1, 1};
        struct gguf_bytes bytes;

        memcpy(dims, cases[i].dims, sizeof cases[i].dims);
        gguf_bytes_init(&bytes);
        gguf_bytes_tensor(&bytes, cases[i].name, cases[i].n_dims, dims, cases[i].type,
                          cases[i].offset);
        gguf_bytes_tensor(&bytes, "other", 1, dims_32, GGUF_TENSOR_F32, 128);
        gguf_bytes_data(&bytes, 256);
        gguf_bytes_finish(&bytes);
        assert_refused(&bytes, cases[i].expected);
        gguf_bytes_free(&bytes);
    }
}

/* Catches lookups or checks that compare each name with each (minutes here instead of
 * a moment), and a duplicate missed because the two are far apart. */
static void test_many_names(void **state)
{
    enum { COUNT = 60000 };
    struct gguf *file;
    struct gguf_bytes bytes;
    char name[32];

    (void)state;
    gguf_bytes_init(&bytes);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "key %u", i * 7919 % COUNT);
        gguf_bytes_u32(&bytes, name, i);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "tensor %u", i * 7919 % COUNT);
        gguf_bytes_tensor(&bytes, name, 1, (uint64_t[]){8}, GGUF_TENSOR_F32, i * 32ull);
    }
    gguf_bytes_data(&bytes, COUNT * 32);
    gguf_bytes_finish(&bytes);
    assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, NULL), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t value;

        snprintf(name, sizeof name, "key %u", i * 7919 % COUNT);
        assert_int_equal(gguf_get_u32(file, name, &value, NULL), 0);
        assert_int_equal(value, i);
        snprintf(name, sizeof name, "tensor %u", i * 7919 % COUNT);
        assert_ptr_equal(gguf_find_tensor(file, name), gguf_tensor_at(file, i));
    }
    gguf_close(file);
    gguf_bytes_free(&bytes);

    gguf_bytes_init(&bytes);
    gguf_bytes_u32(&bytes, "twice", 1);
    gguf_bytes_u32(&bytes, "between", 1);
    gguf_bytes_u32(&bytes, "twice", 2);
    gguf_bytes_finish(&bytes);
    assert_refused(&bytes, "key 'twice' appears twice");
    gguf_bytes_free(&bytes);
}

/* Catches a file that cannot be mapped ending in a crash, and errors without the path. */
static void test_open(void **state)
{
    char path[] = "/tmp/tandem-gguf-XXXXXX";
    struct gguf *file;
    struct gguf_bytes bytes;
    struct err err;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(gguf_open(&file, path, &err), -EINVAL);
    assert_non_null(strstr(err.text, "it is empty"));
    build_sound(&bytes, 3);
    assert_int_equal(write(fd, bytes.file.bytes, bytes.file.size), (ssize_t)bytes.file.size);
    assert_int_equal(gguf_open(&file, path, &err), 0);
    assert_non_null(gguf_find_tensor(file, "a.weight"));
    gguf_close(file);
    assert_int_equal(ftruncate(fd, (off_t)bytes.file.size - 1), 0);
    assert_int_equal(gguf_open(&file, path, &err), -EINVAL);
    assert_ptr_equal(strstr(err.text, path), err.text);
    assert_non_null(strstr(err.text, "tensor 'z.weight'"));
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(gguf_open(&file, path, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(gguf_open(&file, "/tmp", &err), -EINVAL);
    assert_int_equal(gguf_open(&file, "/dev/null", &err), -EINVAL);
    gguf_bytes_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_other_values),
        cmocka_unit_test(test_string_array),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
