/* Every allocation of the tokenizer fails once: an error, nothing leaked, nothing half written. */
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

/* The linker sends this program's allocations here (--wrap). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static long allocations_left = -1; /* until one fails; negative: none does */

static bool allocation_fails(void)
{
    return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(old, size);
}

/* Opens and encodes until no allocation is left to fail. */
static void survive(const struct gguf *file)
{
    static const char text[] = "<|bos|>hello hello \xff 12 aaaaaaaaaaaa<tool>\xe4\xb8\xad abc</s>";
    struct tokenizer *tokenizer = NULL;
    int error = -ENOMEM, opening = 0, encoding = 0;

    for (long nth = 0; error; nth++, opening++) {
        struct err err = {{0}};

        allocations_left = nth;
        error = tokenizer_open(&tokenizer, file, &err);
        allocations_left = -1;
        assert_true(!error || (error == -ENOMEM && !tokenizer && err.text[0]));
    }
    error = -ENOMEM;
    for (long nth = 0; error; nth++, encoding++) {
        struct token_list list = {0};

        allocations_left = nth;
        error = tokenizer_encode(tokenizer, text, sizeof text - 1,
                                 TOKENIZE_SPECIAL | TOKENIZE_ADD_BOS_EOS, &list);
        allocations_left = -1;
        assert_true(error ? error == -ENOMEM && list.count == 0 : list.count > 10);
        token_list_free(&list);
    }
    assert_true(opening > 5 && encoding > 3);
    tokenizer_close(tokenizer);
}

/* Catches an allocation whose failure is not looked at, and what an error path forgets to free
 * (under AddressSanitizer). */
static void test_survives(void **state)
{
    (void)state;
    for (int spm = 0; spm < 2; spm++) {
        struct gguf_bytes bytes;
        struct gguf *file;
        struct err err;

        gguf_bytes_init(&bytes);
        if (spm)
            small_spm_write(&bytes);
        else
            small_bpe_write(&bytes, "llama-bpe");
        gguf_bytes_finish(&bytes);
        assert_int_equal(gguf_parse(&file, bytes.file.bytes, bytes.file.size, &err), 0);
        survive(file);
        gguf_close(file);
        gguf_bytes_free(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_survives)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
