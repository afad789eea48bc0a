/* Tokens back to text, one by one, in whole UTF-8 characters. */
#include "model/tokenizer.h"
#include "model/utf8.h"

#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void detokenizer_init(struct detokenizer *detok, const struct tokenizer *tokenizer, bool special)
{
    *detok = (struct detokenizer){.tokenizer = tokenizer, .special = special};
}

/* Adds one byte to the character that is pending and gives out what it decides. */
static int detokenizer_push_byte(struct detokenizer *detok, char byte, struct buf *out)
{
    int error = 0;

    detok->pending[detok->n_pending++] = (unsigned char)byte;
    while (detok->n_pending > 0 && !error) {
        const char *pending = (const char *)detok->pending;
        int length = utf8_length(pending, (size_t)detok->n_pending);

        if (length == 0)
            break;
        error = length > 0 ? buf_append(out, pending, (size_t)length) : buf_puts(out, REPLACEMENT);
        if (length < 0)
            length = -length;
        detok->n_pending -= length;
        memmove(detok->pending, detok->pending + length, (size_t)detok->n_pending);
    }
    return error;
}

int detokenizer_push(struct detokenizer *detok, int32_t id, struct buf *out)
{
    struct gguf_string piece = tokenizer_piece(detok->tokenizer, id, detok->special);
    bool text = piece.size && !tokenizer_is_control(detok->tokenizer, id);
    int error = 0;

    if (text && !detok->started && tokenizer_adds_space_prefix(detok->tokenizer) &&
        piece.bytes[0] == ' ') {
        piece.bytes++;
        piece.size--;
    }
    detok->started |= text;
    for (size_t i = 0; i < piece.size && !error;) {
        size_t valid = detok->n_pending ? 0 : utf8_valid_prefix(piece.bytes + i, piece.size - i);

        error = valid ? buf_append(out, piece.bytes + i, valid)
                      : detokenizer_push_byte(detok, piece.bytes[i], out);
        i += valid ? valid : 1;
    }
    return error;
}

int detokenizer_finish(struct detokenizer *detok, struct buf *out)
{
    int pending = detok->n_pending;

    detok->n_pending = 0;
    return pending ? buf_puts(out, REPLACEMENT) : 0;
}
