#include "model/spm.h"

#include "model/utf8.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SCORES_KEY "tokenizer.ggml.scores"

/* Reverses the order of floats into that of unsigned integers below MERGE_NONE. */
static uint32_t spm_rank_of_score(float score)
{
    float without_minus_zero = score + 0.0f;
    uint32_t bits;

    memcpy(&bits, &without_minus_zero, sizeof bits);
    return bits & 0x80000000u ? bits : 0x7fffffffu - bits;
}

/* Bytes up to the first space that follows something else; size when there is none. */
static size_t spm_word_end(const char *bytes, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (bytes[i] == ' ' && bytes[i - 1] != ' ')
            return i;
    }
    return size;
}

size_t spm_stretch(const struct spm *spm, const char *bytes, size_t size)
{
    return spm->merges_words ? size : spm_word_end(bytes, size);
}

int spm_load(struct spm *ret, const struct gguf *file, const struct vocabulary *vocabulary,
             struct err *err)
{
    size_t count = (size_t)vocabulary->count;
    struct gguf_array scores;
    int error = gguf_get_array(file, SCORES_KEY, GGUF_F32, &scores, err);

    if (error == -ENOENT)
        return err_set(err, EINVAL, SCORES_KEY " is missing");
    if (error)
        return error;
    if (scores.count != count)
        return err_set(err, EINVAL, SCORES_KEY " has %zu entries for %zu tokens", scores.count,
                       count);
    struct spm spm = {.ranks = malloc(count * sizeof *spm.ranks)};

    if (!spm.ranks)
        return err_set(err, ENOMEM, "no memory for %zu scores", count);
    for (size_t i = 0; i < count; i++) {
        float score;

        memcpy(&score, scores.bytes + i * sizeof score, sizeof score);
        if (score != score) {
            spm_free(&spm);
            return err_set(err, EINVAL, SCORES_KEY " entry %zu is not a number", i);
        }
        spm.ranks[i] = spm_rank_of_score(score);
        const struct gguf_string *piece = &vocabulary->pieces[i];

        if (vocabulary->types[i] == TOKEN_NORMAL &&
            spm_word_end(piece->bytes, piece->size) < piece->size)
            spm.merges_words = true;
    }
    *ret = spm;
    return 0;
}

void spm_free(struct spm *spm)
{
    free(spm->ranks);
    *spm = (struct spm){0};
}

struct spm_rules {
    const struct spm *spm;
    const struct vocabulary *vocabulary;
    const char *bytes;
};

static bool spm_lookup(const void *rules, const struct merge_symbol *symbols, uint32_t left,
                       uint32_t *ret_rank, int32_t *ret_merged)
{
    const struct spm_rules *of = rules;
    uint32_t end = symbols[symbols[left].next].next;
    int32_t id = vocabulary_find(of->vocabulary, of->bytes + left, end - left);

    if (id < 0)
        return false;
    *ret_rank = of->spm->ranks[id];
    *ret_merged = id;
    return true;
}

int spm_encode_text(const struct spm *spm, const struct vocabulary *vocabulary,
                    struct merger *merger, const char *bytes, size_t size)
{
    struct spm_rules rules = {spm, vocabulary, bytes};
    int error = merger_reserve(merger, size);
    uint32_t prev = MERGE_NONE;

    if (error)
        return error;
    for (size_t i = 0; i < size;) {
        int length = utf8_length(bytes + i, size - i);
        size_t next = i + (length > 0 ? (size_t)length : 1);

        merger->symbols[i] = (struct merge_symbol){
            .id = vocabulary_find(vocabulary, bytes + i, next - i),
            .prev = prev,
            .next = (uint32_t)next,
        };
        prev = (uint32_t)i;
        i = next;
    }
    return merger_run(merger, size, spm_lookup, &rules);
}
