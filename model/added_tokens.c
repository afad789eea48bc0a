#include "model/added_tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int added_token_compare(const void *left, const void *right)
{
    const struct added_token *a = left, *b = right;
    size_t common = a->text.size < b->text.size ? a->text.size : b->text.size;
    int order = memcmp(a->text.bytes, b->text.bytes, common);

    if (order)
        return order;
    if (a->text.size != b->text.size)
        return a->text.size < b->text.size ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

int added_tokens_init(struct added_tokens *ret, const struct vocabulary *vocabulary)
{
    struct added_tokens added = {0};

    added.sorted = malloc((size_t)vocabulary->count * sizeof *added.sorted);
    if (!added.sorted)
        return -ENOMEM;
    for (int id = 0; id < vocabulary->count; id++) {
        int type = vocabulary->types[id];
        bool control = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;

        if ((control || type == TOKEN_USER_DEFINED) && vocabulary->pieces[id].size)
            added.sorted[added.count++] = (struct added_token){vocabulary->pieces[id], id, control};
    }
    qsort(added.sorted, (size_t)added.count, sizeof *added.sorted, added_token_compare);
    for (int byte = 0, i = 0; byte <= 256; byte++) {
        while (i < added.count && (unsigned char)added.sorted[i].text.bytes[0] < byte)
            i++;
        added.first[byte] = i;
    }
    *ret = added;
    return 0;
}

void added_tokens_free(struct added_tokens *added)
{
    free(added->sorted);
    *added = (struct added_tokens){0};
}

/* First index in [low, high), all longer than depth, whose byte at depth is at least `byte`. */
static int added_tokens_lower(const struct added_token *sorted, int low, int high, size_t depth,
                              int byte)
{
    while (low < high) {
        int middle = low + (high - low) / 2;

        if ((unsigned char)sorted[middle].text.bytes[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t added_tokens_match(const struct added_tokens *added, const char *text, size_t size,
                          size_t trusted, int32_t *ret_id)
{
    const struct added_token *sorted = added->sorted;
    size_t longest = 0;

    if (!size)
        return 0;
    int byte = (unsigned char)text[0];
    int low = added->first[byte], high = added->first[byte + 1];

    for (size_t depth = 1; low < high; depth++) {
        /* Tokens of exactly this length sort first; equal texts by id, and the first one wins. */
        for (bool taken = false; low < high && sorted[low].text.size == depth; low++) {
            if (taken || (sorted[low].control && depth > trusted))
                continue;
            taken = true;
            longest = depth;
            *ret_id = sorted[low].id;
        }
        if (depth == size)
            break;
        byte = (unsigned char)text[depth];
        high = added_tokens_lower(sorted, low, high, depth, byte + 1);
        low = added_tokens_lower(sorted, low, high, depth, byte);
    }
    return longest;
}
