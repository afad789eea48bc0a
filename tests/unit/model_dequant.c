/*
 * model/dequant.h: block sizes, half precision, and the values of each type's blocks.
 *
 * The digests were computed from the output of the Python package gguf (0.19) by
 * tests/reference/test_dequant.py, which prints them when it fails; that test also compares random
 * blocks value by value.
 */
#include "model/dequant.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { BLOCKS = 64, BLOCK_BYTES_MAX = 256, BLOCK_ELEMENTS_MAX = 256 };

static const struct {
    enum gguf_tensor_type type;
    int elements, bytes;
    int n_halfs, halfs[2]; /* where half-precision fields lie in a block */
    uint64_t digest;
} types[] = {
    {GGUF_TENSOR_F32, 1, 4, 0, {0}, 0x57e02957142cdad5},
    {GGUF_TENSOR_F16, 1, 2, 1, {0}, 0xe7c87b8400253cb4},
    {GGUF_TENSOR_BF16, 1, 2, 0, {0}, 0x3cf1fbc15a152c80},
    {GGUF_TENSOR_Q4_0, 32, 18, 1, {0}, 0x74ee0dc1b8a5e813},
    {GGUF_TENSOR_Q4_1, 32, 20, 2, {0, 2}, 0x3009fb56ed10a6c6},
    {GGUF_TENSOR_Q5_0, 32, 22, 1, {0}, 0xd12e15f6e1d612a7},
    {GGUF_TENSOR_Q5_1, 32, 24, 2, {0, 2}, 0x0fa1fdb76689e324},
    {GGUF_TENSOR_Q8_0, 32, 34, 1, {0}, 0x119525a3b32f8ea5},
    {GGUF_TENSOR_Q4_K, 256, 144, 2, {0, 2}, 0xe6b7d5414dcbe4ef},
    {GGUF_TENSOR_Q5_K, 256, 176, 2, {0, 2}, 0x19ebe9dd09a4b135},
    {GGUF_TENSOR_Q6_K, 256, 210, 1, {208}, 0x09f84032d5ec40cd},
};

enum { N_TYPES = sizeof types / sizeof *types };

/* The same bytes as the Python side makes: a linear congruential generator seeded by the type. Bit
 * 14 of every half is cleared, which keeps it finite (a NaN's bits may differ between machines). */
static void fill_blocks(int index, unsigned char *blocks)
{
    uint32_t x = (uint32_t)types[index].type;

    for (int i = 0; i < BLOCKS * types[index].bytes; i++) {
        x = x * 1664525u + 1013904223u;
        blocks[i] = (unsigned char)(x >> 24);
    }
    for (int block = 0; block < BLOCKS; block++) {
        for (int i = 0; i < types[index].n_halfs; i++)
            blocks[block * types[index].bytes + types[index].halfs[i] + 1] &= 0xbf;
    }
}

static uint64_t fnv1a(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

/* Catches an element, sub-block or scale that is taken from the wrong bits, an operation in another
 * order or fused, and rows that do not start where the last block ended. */
static void test_digests(void **state)
{
    static unsigned char blocks[1 + BLOCKS * BLOCK_BYTES_MAX];
    static float values[BLOCKS * BLOCK_ELEMENTS_MAX];

    (void)state;
    for (int i = 0; i < N_TYPES; i++) {
        size_t count = (size_t)(BLOCKS * types[i].elements);

        assert_int_equal(quant_block_elements(types[i].type), types[i].elements);
        assert_int_equal(quant_block_bytes(types[i].type), types[i].bytes);
        fill_blocks(i, blocks + 1); /* blocks need no alignment */
        dequant_row(types[i].type, blocks + 1, count, values);
        uint64_t digest = fnv1a(values, count * sizeof *values);

        if (digest != types[i].digest)
            fail_msg("%s: digest 0x%016llx", gguf_tensor_type_name(types[i].type),
                     (unsigned long long)digest);
    }
}

/* Catches a type taken for readable because its number is near one that is. */
static void test_unknown_types(void **state)
{
    static const int numbers[] = {4, 5, 9, 10, 11, 15, 16, 29, 31, 39, -1, 1000};

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(quant_block_elements((enum gguf_tensor_type)numbers[i]), 0);
        assert_int_equal(quant_block_bytes((enum gguf_tensor_type)numbers[i]), 0);
    }
}

/* Catches any half that does not survive the way to float and back, and wrong values of the
 * landmarks: smallest subnormal, largest, infinity. */
static void test_half_round_trip(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float value = half_to_float((uint16_t)half);

        if ((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0) {
            assert_true(isnan(value));
            assert_int_equal(float_to_half(value) & 0x7e00, 0x7e00);
        } else {
            assert_int_equal(float_to_half(value), half);
        }
    }
    assert_true(half_to_float(0x0001) == 0x1p-24f);
    assert_true(half_to_float(0x3c00) == 1.0f);
    assert_true(half_to_float(0x7bff) == 65504.0f);
    assert_true(half_to_float(0xfc00) == -INFINITY);
    assert_true(signbit(half_to_float(0x8000)));
}

/* Catches rounding that is not to nearest even: for each pair of neighbours, the float in the
 * middle and the floats next to it on both sides. */
static void test_half_rounding(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7bff; half++) {
        float low = half_to_float((uint16_t)half), high = half_to_float((uint16_t)(half + 1));
        float middle = (low + high) / 2;
        uint32_t even = half + (half & 1);

        assert_int_equal(float_to_half(middle), even);
        assert_int_equal(float_to_half(-middle), even | 0x8000);
        assert_int_equal(float_to_half(nextafterf(middle, 0)), half);
        assert_int_equal(float_to_half(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(float_to_half(nextafterf(65520.0f, 0)), 0x7bff);
    assert_int_equal(float_to_half(65520.0f), 0x7c00);
    assert_int_equal(float_to_half(3e38f), 0x7c00);
    assert_int_equal(float_to_half(-INFINITY), 0xfc00);
    assert_int_equal(float_to_half(1e-40f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_half_round_trip),
        cmocka_unit_test(test_half_rounding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
