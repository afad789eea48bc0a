#include "model/bpe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MERGES_KEY "tokenizer.ggml.merges"

static size_t bpe_hash(int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;

    key *= 0x9e3779b97f4a7c15u;
    return (size_t)(key >> 32);
}

/* The slot of the pair, or the empty one where it belongs. */
static struct bpe_merge *bpe_slot(const struct bpe *bpe, int32_t left, int32_t right)
{
    size_t i = bpe_hash(left, right) & bpe->slot_mask;

    while (bpe->slots[i].left >= 0 && (bpe->slots[i].left != left || bpe->slots[i].right != right))
        i = (i + 1) & bpe->slot_mask;
    return &bpe->slots[i];
}

/* Reads "Ġ t" into the ids of its parts and of what they become. */
static int bpe_parse_merge(const struct vocabulary *vocabulary, struct gguf_string text,
                           struct bpe_merge *ret)
{
    char bytes[2 * VOCABULARY_TOKEN_BYTES_MAX];

    if (text.size < 3 || text.size > sizeof bytes)
        return -EINVAL;
    /* From the second byte on: a part is never empty, and may itself begin with a space. */
    const char *space = memchr(text.bytes + 1, ' ', text.size - 1);

    if (!space)
        return -EINVAL;
    size_t left_size = (size_t)(space - text.bytes);
    int left = vocabulary_decode_byte_level(text.bytes, left_size, bytes);

    if (left <= 0)
        return -EINVAL;
    int right = vocabulary_decode_byte_level(space + 1, text.size - left_size - 1, bytes + left);

    if (right <= 0)
        return -EINVAL;
    ret->left = vocabulary_find(vocabulary, bytes, (size_t)left);
    ret->right = vocabulary_find(vocabulary, bytes + left, (size_t)right);
    ret->merged = vocabulary_find(vocabulary, bytes, (size_t)(left + right));
    return ret->left < 0 || ret->right < 0 || ret->merged < 0 ? -EINVAL : 0;
}

static int bpe_alloc(struct bpe *bpe, size_t n_merges)
{
    size_t slots = 64;

    while (slots < n_merges * 2)
        slots *= 2;
    bpe->slots = malloc(slots * sizeof *bpe->slots);
    if (!bpe->slots)
        return -ENOMEM;
    for (size_t i = 0; i < slots; i++)
        bpe->slots[i] = (struct bpe_merge){.left = -1};
    bpe->slot_mask = slots - 1;
    return 0;
}

int bpe_load(struct bpe *ret, const struct gguf *file, const struct vocabulary *vocabulary,
             struct err *err)
{
    struct bpe bpe = {0};
    struct gguf_array merges;
    struct gguf_string text;
    size_t cursor = 0;
    int error = gguf_get_array(file, MERGES_KEY, GGUF_STRING, &merges, err);

    if (error == -ENOENT)
        return err_set(err, EINVAL, MERGES_KEY " is missing");
    if (error)
        return error;
    if (merges.count > BPE_MERGES_MAX)
        return err_set(err, EINVAL, MERGES_KEY " has %zu entries, more than %d", merges.count,
                       BPE_MERGES_MAX);
    if (bpe_alloc(&bpe, merges.count))
        return err_set(err, ENOMEM, "no memory for %zu merges", merges.count);
    for (uint32_t rank = 0; gguf_array_string(&merges, &cursor, &text); rank++) {
        struct bpe_merge merge = {.rank = rank};

        if (bpe_parse_merge(vocabulary, text, &merge)) {
            bpe_free(&bpe);
            return err_set(err, EINVAL,
                           MERGES_KEY " entry %u \"%.*s\" does not join two tokens into a third",
                           (unsigned)rank, text.size < 80 ? (int)text.size : 80, text.bytes);
        }
        struct bpe_merge *slot = bpe_slot(&bpe, merge.left, merge.right);

        if (slot->left < 0)
            *slot = merge;
    }
    *ret = bpe;
    return 0;
}

void bpe_free(struct bpe *bpe)
{
    free(bpe->slots);
    *bpe = (struct bpe){0};
}

static bool bpe_lookup(const void *rules, const struct merge_symbol *symbols, uint32_t left,
                       uint32_t *ret_rank, int32_t *ret_merged)
{
    const struct bpe *bpe = rules;
    int32_t left_id = symbols[left].id, right_id = symbols[symbols[left].next].id;

    if (left_id < 0 || right_id < 0)
        return false;
    const struct bpe_merge *merge = bpe_slot(bpe, left_id, right_id);

    if (merge->left < 0)
        return false;
    *ret_rank = merge->rank;
    *ret_merged = merge->merged;
    return true;
}

int bpe_encode_word(const struct bpe *bpe, const struct vocabulary *vocabulary,
                    struct merger *merger, const char *bytes, size_t size)
{
    int error = merger_reserve(merger, size);

    if (error)
        return error;
    for (size_t i = 0; i < size; i++) {
        merger->symbols[i] = (struct merge_symbol){
            .id = vocabulary->byte_tokens[(unsigned char)bytes[i]],
            .prev = i ? (uint32_t)(i - 1) : MERGE_NONE,
            .next = (uint32_t)(i + 1),
        };
    }
    return merger_run(merger, size, bpe_lookup, bpe);
}
