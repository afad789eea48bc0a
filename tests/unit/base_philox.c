/* base/philox.h against the vectors that the authors of Philox publish (Random123, kat_vectors). */
#include "base/philox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Catches any change of constants, rounds or word order: seeds given to users would change meaning.
 */
static void test_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];

        philox4x32(vectors[i].key, vectors[i].counter, out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
}

/* Catches halves of the seed or position that are dropped, a stream that is not mixed in, and a
 * range that is not [0, 1). */
static void test_uniform(void **state)
{
    static const struct {
        uint64_t seed, position;
        uint32_t stream;
    } draws[] = {
        {1, 1, 0}, {1, 2, 0}, {2, 1, 0}, {1, 1, 1}, {1ull << 32 | 1, 1, 0}, {1, 1ull << 32 | 1, 0},
        {0, 0, 0}};
    enum { COUNT = sizeof draws / sizeof *draws };
    double values[COUNT], sum = 0;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = philox_uniform(draws[i].seed, draws[i].position, draws[i].stream);
        for (size_t j = 0; j < i; j++)
            assert_true(values[i] != values[j]);
    }
    /* The top 53 bits of the first vector's first two words. */
    assert_true(values[COUNT - 1] == (double)(0x6627e8d5e169c58dull >> 11) * 0x1p-53);
    for (uint64_t i = 0; i < 10000; i++) {
        double value = philox_uniform(7, i, 0);

        assert_true(value >= 0 && value < 1);
        sum += value;
    }
    /* Six standard errors around 1/2; the draws are fixed, so this cannot fail by chance. */
    assert_true(sum > 10000 * (0.5 - 0.0174) && sum < 10000 * (0.5 + 0.0174));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_uniform),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
