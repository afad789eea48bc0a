/*
 * Drives the tokenizer for tests/reference/test_tokenizer.py and for measurements.
 *
 *   tokenize MODEL [--special] [--bos]    records of text on stdin; a line of ids each on stdout
 *   tokenize MODEL --decode [--special]   records of little-endian int32 ids; records of text
 *   tokenize MODEL --bench                text on stdin; speed on stdout
 *
 * A record is its length in bytes as a little-endian uint32, then the bytes.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BENCH_ROUNDS 15
#define BENCH_PROMPT 100000 /* bytes */

/* 1: read; 0: end of input; negative errno. */
static int read_record(char **ret_bytes, size_t *ret_size)
{
    unsigned char head[4];
    size_t got = fread(head, 1, sizeof head, stdin);

    if (!got)
        return 0;
    size_t size =
        (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    char *bytes = got == sizeof head && size <= 1u << 30 ? malloc(size + 1) : NULL;

    if (!bytes || fread(bytes, 1, size, stdin) != size) {
        free(bytes);
        return -EIO;
    }
    *ret_bytes = bytes;
    *ret_size = size;
    return 1;
}

static int encode_records(const struct tokenizer *tokenizer, unsigned flags)
{
    struct token_list list = {0};
    char *text;
    size_t size;
    int status;

    while ((status = read_record(&text, &size)) == 1) {
        list.count = 0;
        status = tokenizer_encode(tokenizer, text, size, flags, &list);
        free(text);
        if (status)
            break;
        for (size_t i = 0; i < list.count; i++)
            printf(i ? " %d" : "%d", (int)list.ids[i]);
        putchar('\n');
    }
    token_list_free(&list);
    return status;
}

static int decode_records(const struct tokenizer *tokenizer, bool special)
{
    char *record;
    size_t size;
    int status;

    while ((status = read_record(&record, &size)) == 1) {
        struct detokenizer detok;
        struct buf out;

        buf_init(&out, 1u << 30);
        detokenizer_init(&detok, tokenizer, special);
        for (size_t i = 0; i + 4 <= size; i += 4) {
            int32_t id;

            memcpy(&id, record + i, sizeof id);
            (void)detokenizer_push(&detok, id, &out); /* out.failed remembers */
        }
        free(record);
        status = detokenizer_finish(&detok, &out);
        unsigned char head[4] = {(unsigned char)out.size, (unsigned char)(out.size >> 8),
                                 (unsigned char)(out.size >> 16), (unsigned char)(out.size >> 24)};

        fwrite(head, 1, sizeof head, stdout);
        fwrite(out.bytes, 1, out.size, stdout);
        buf_free(&out);
        if (status)
            break;
    }
    return status;
}

static int compare_times(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* Median time of one encode call in nanoseconds; 0 when it fails. */
static uint64_t time_encode(const struct tokenizer *tokenizer, const char *text, size_t size,
                            size_t *ret_tokens)
{
    uint64_t times[BENCH_ROUNDS];

    for (int i = 0; i < BENCH_ROUNDS; i++) {
        struct token_list list = {0};
        uint64_t start = clock_now_ns();

        if (tokenizer_encode(tokenizer, text, size, 0, &list))
            return 0;
        times[i] = clock_now_ns() - start;
        *ret_tokens = list.count;
        token_list_free(&list);
    }
    qsort(times, BENCH_ROUNDS, sizeof *times, compare_times);
    return times[BENCH_ROUNDS / 2];
}

static int bench(const struct tokenizer *tokenizer)
{
    static char block[65536];
    struct buf text;
    size_t got, tokens = 0;

    buf_init(&text, TOKENIZER_TEXT_MAX);
    do {
        got = fread(block, 1, sizeof block, stdin);
    } while (got && buf_append(&text, block, got) == 0);
    if (!text.size) {
        buf_free(&text);
        return -EIO;
    }
    size_t prompt = text.size < BENCH_PROMPT ? text.size : BENCH_PROMPT;
    uint64_t ns = time_encode(tokenizer, text.bytes, prompt, &tokens);

    printf("first %zu bytes: %zu tokens in %.3f ms (median of %d)\n", prompt, tokens,
           (double)ns / 1e6, BENCH_ROUNDS);
    ns = time_encode(tokenizer, text.bytes, text.size, &tokens);
    printf("all %zu bytes: %zu tokens in %.3f ms, %.1f MB/s\n", text.size, tokens, (double)ns / 1e6,
           ns ? (double)text.size * 1e3 / (double)ns : 0.0);
    buf_free(&text);
    return 0;
}

int main(int argc, char **argv)
{
    bool decode = false, timing = false;
    unsigned flags = 0;
    struct gguf *file = NULL;
    struct tokenizer *tokenizer = NULL;
    struct err err = {{0}};

    for (int i = 2; i < argc; i++) {
        decode |= !strcmp(argv[i], "--decode");
        timing |= !strcmp(argv[i], "--bench");
        flags |= strcmp(argv[i], "--special") ? 0 : TOKENIZE_SPECIAL;
        flags |= strcmp(argv[i], "--bos") ? 0 : TOKENIZE_ADD_BOS_EOS;
    }
    if (argc < 2) {
        fputs("usage: tokenize MODEL [--special] [--bos] [--decode | --bench]\n", stderr);
        return 2;
    }
    int error = gguf_open(&file, argv[1], &err);

    if (!error)
        error = tokenizer_open(&tokenizer, file, &err);
    if (!error && timing)
        error = bench(tokenizer);
    else if (!error && decode)
        error = decode_records(tokenizer, flags & TOKENIZE_SPECIAL);
    else if (!error)
        error = encode_records(tokenizer, flags);
    if (error)
        fprintf(stderr, "tokenize: %s: %s %s\n", argv[1], strerror(-error), err.text);
    tokenizer_close(tokenizer);
    gguf_close(file);
    return error ? 1 : 0;
}
