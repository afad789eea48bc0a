#include "model/vocabulary.h"

#include "model/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_KEY "tokenizer.ggml.tokens"
#define TYPES_KEY "tokenizer.ggml.token_type"

/* GPT-2's alphabet: printable Latin-1 stands for itself, the other 68 bytes in rising order for
 * U+0100 and up (Radford et al. 2019, byte-level BPE). */
static bool vocabulary_prints_itself(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static int vocabulary_byte_of_code(uint32_t code)
{
    if (code < 0x100)
        return vocabulary_prints_itself(code) ? (int)code : -1;
    uint32_t nth = code - 0x100;

    if (nth <= 0x20)
        return (int)nth;
    if (nth <= 0x42)
        return (int)(nth - 0x21 + 0x7f);
    return nth == 0x43 ? 0xad : -1;
}

int vocabulary_decode_byte_level(const char *text, size_t size, char *out)
{
    int count = 0;

    for (size_t i = 0; i < size;) {
        int length = utf8_length(text + i, size - i);
        int byte = length > 0 ? vocabulary_byte_of_code(utf8_code(text + i, length)) : -1;

        if (byte < 0)
            return -1;
        out[count++] = (char)byte;
        i += (size_t)length;
    }
    return count;
}

/* U+2581 to space; returns the bytes written, never more than size. */
static size_t vocabulary_decode_spm(struct gguf_string text, char *out)
{
    size_t count = 0;

    for (size_t i = 0; i < text.size;) {
        if (text.size - i >= 3 && !memcmp(text.bytes + i, "\xe2\x96\x81", 3)) {
            out[count++] = ' ';
            i += 3;
        } else {
            out[count++] = text.bytes[i++];
        }
    }
    return count;
}

/* "<0x0A>" to 10; -1 for anything else. */
static int vocabulary_byte_value(struct gguf_string text)
{
    static const char digits[] = "0123456789ABCDEF";

    if (text.size != 6 || memcmp(text.bytes, "<0x", 3) || text.bytes[5] != '>')
        return -1;
    const char *high = memchr(digits, text.bytes[3], 16), *low = memchr(digits, text.bytes[4], 16);

    return high && low ? (int)((high - digits) << 4 | (low - digits)) : -1;
}

static size_t vocabulary_decode(struct vocabulary *vocabulary, int id, struct gguf_string text,
                                char *out)
{
    int type = vocabulary->types[id];

    if (type == TOKEN_BYTE) {
        int byte = vocabulary_byte_value(text);

        if (byte >= 0) {
            *out = (char)byte;
            vocabulary->byte_tokens[byte] = id;
            return 1;
        }
    } else if (type == TOKEN_NORMAL) {
        if (vocabulary->spelling == SPELLING_SPM)
            return vocabulary_decode_spm(text, out);
        int count = vocabulary_decode_byte_level(text.bytes, text.size, out);

        if (count >= 0)
            return (size_t)count;
        /* Written in plain text, so no merge makes it; its bytes must not hide the one they make.
         */
        vocabulary->types[id] = TOKEN_UNUSED;
    }
    memcpy(out, text.bytes, text.size);
    return text.size;
}

/* The last bytes are read as two words that may overlap, which costs no loop and no call. */
static uint64_t vocabulary_hash_tail(const char *bytes, size_t size)
{
    const unsigned char *last = (const unsigned char *)bytes;
    uint32_t low, high;

    if (size >= 4) {
        memcpy(&low, bytes, 4);
        memcpy(&high, bytes + size - 4, 4);
        return (uint64_t)high << 32 | low;
    }
    return size ? (uint64_t)last[0] << 16 | (uint64_t)last[size / 2] << 8 | last[size - 1] : 0;
}

static uint32_t vocabulary_hash(const char *bytes, size_t size)
{
    uint64_t hash = 0x9e3779b97f4a7c15u ^ size;

    for (; size > 8; bytes += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    hash = (hash ^ vocabulary_hash_tail(bytes, size)) * 0xc4ceb9fe1a85ec53u;
    return (uint32_t)(hash ^ hash >> 32);
}

int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *bytes, size_t size)
{
    if (size == 0 || size > vocabulary->piece_max)
        return -1;
    uint32_t hash = vocabulary_hash(bytes, size);

    for (size_t i = hash & vocabulary->slot_mask;; i = (i + 1) & vocabulary->slot_mask) {
        struct vocabulary_slot slot = vocabulary->slots[i];

        if (slot.id < 0)
            return -1;
        const struct gguf_string *piece = &vocabulary->pieces[slot.id];

        if (slot.hash == hash && piece->size == size && !memcmp(piece->bytes, bytes, size))
            return slot.id;
    }
}

/* The first token of a spelling wins. */
static void vocabulary_index_type(struct vocabulary *vocabulary, enum token_type type)
{
    for (int id = 0; id < vocabulary->count; id++) {
        struct gguf_string piece = vocabulary->pieces[id];

        if (vocabulary->types[id] != type || !piece.size)
            continue;
        if (piece.size > vocabulary->piece_max)
            vocabulary->piece_max = piece.size;
        if (vocabulary_find(vocabulary, piece.bytes, piece.size) >= 0)
            continue;
        uint32_t hash = vocabulary_hash(piece.bytes, piece.size);
        size_t i = hash & vocabulary->slot_mask;

        while (vocabulary->slots[i].id >= 0)
            i = (i + 1) & vocabulary->slot_mask;
        vocabulary->slots[i] = (struct vocabulary_slot){hash, id};
    }
}

static int vocabulary_index(struct vocabulary *vocabulary)
{
    size_t slots = 64;

    while (slots < (size_t)vocabulary->count * 2)
        slots *= 2;
    vocabulary->slots = malloc(slots * sizeof *vocabulary->slots);
    if (!vocabulary->slots)
        return -ENOMEM;
    for (size_t i = 0; i < slots; i++)
        vocabulary->slots[i] = (struct vocabulary_slot){0, -1};
    vocabulary->slot_mask = slots - 1;

    vocabulary_index_type(vocabulary, TOKEN_NORMAL);
    if (vocabulary->spelling == SPELLING_BYTE_LEVEL) {
        vocabulary_index_type(vocabulary, TOKEN_USER_DEFINED);
        for (int byte = 0; byte < 256; byte++) {
            char single = (char)byte;
            int32_t id = vocabulary_find(vocabulary, &single, 1);

            if (id >= 0)
                vocabulary->byte_tokens[byte] = id;
        }
    }
    return 0;
}

static int vocabulary_load_types(struct vocabulary *vocabulary, const struct gguf *file,
                                 struct err *err)
{
    struct gguf_array array;
    int error = gguf_get_array(file, TYPES_KEY, GGUF_I32, &array, err);

    memset(vocabulary->types, TOKEN_NORMAL, (size_t)vocabulary->count);
    if (error == -ENOENT)
        return 0;
    if (error)
        return error;
    if (array.count != (size_t)vocabulary->count)
        return err_set(err, EINVAL, TYPES_KEY " has %zu entries for %d tokens", array.count,
                       vocabulary->count);
    for (size_t i = 0; i < array.count; i++) {
        int32_t type;

        memcpy(&type, array.bytes + i * sizeof type, sizeof type);
        if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
            return err_set(err, EINVAL, TYPES_KEY " entry %zu is %d, not 1 to 6", i, (int)type);
        vocabulary->types[i] = (unsigned char)type;
    }
    return 0;
}

static int vocabulary_load_pieces(struct vocabulary *vocabulary, const struct gguf_array *tokens,
                                  struct err *err)
{
    struct gguf_string text;
    size_t cursor = 0, total = 0, used = 0;

    for (int id = 0; gguf_array_string(tokens, &cursor, &text); id++) {
        if (text.size > VOCABULARY_TOKEN_BYTES_MAX)
            return err_set(err, EINVAL, TOKENS_KEY " entry %d has %zu bytes, more than %d", id,
                           text.size, VOCABULARY_TOKEN_BYTES_MAX);
        total += text.size;
    }
    vocabulary->bytes = malloc(total + 1);
    if (!vocabulary->bytes)
        return err_set(err, ENOMEM, "no memory for %zu bytes of tokens", total);
    cursor = 0;
    for (int id = 0; gguf_array_string(tokens, &cursor, &text); id++) {
        char *out = vocabulary->bytes + used;
        size_t size = vocabulary_decode(vocabulary, id, text, out);

        vocabulary->pieces[id] = (struct gguf_string){out, size};
        used += size;
    }
    assert(used <= total);
    return 0;
}

int vocabulary_load(struct vocabulary *ret, const struct gguf *file,
                    enum vocabulary_spelling spelling, struct err *err)
{
    struct vocabulary vocabulary = {.spelling = spelling};
    struct gguf_array tokens;
    int error = gguf_get_array(file, TOKENS_KEY, GGUF_STRING, &tokens, err);

    if (error == -ENOENT)
        return err_set(err, EINVAL, TOKENS_KEY " is missing");
    if (error)
        return error;
    if (tokens.count == 0 || tokens.count > VOCABULARY_TOKENS_MAX)
        return err_set(err, EINVAL, TOKENS_KEY " has %zu entries, not 1 to %d", tokens.count,
                       VOCABULARY_TOKENS_MAX);
    vocabulary.count = (int)tokens.count;
    vocabulary.types = malloc(tokens.count);
    vocabulary.pieces = calloc(tokens.count, sizeof *vocabulary.pieces);
    for (int byte = 0; byte < 256; byte++)
        vocabulary.byte_tokens[byte] = -1;
    if (!vocabulary.types || !vocabulary.pieces)
        error = err_set(err, ENOMEM, "no memory for %zu tokens", tokens.count);
    if (!error)
        error = vocabulary_load_types(&vocabulary, file, err);
    if (!error)
        error = vocabulary_load_pieces(&vocabulary, &tokens, err);
    if (!error && vocabulary_index(&vocabulary))
        error = err_set(err, ENOMEM, "no memory for the index of %zu tokens", tokens.count);
    if (error) {
        vocabulary_free(&vocabulary);
        return error;
    }
    *ret = vocabulary;
    return 0;
}

void vocabulary_free(struct vocabulary *vocabulary)
{
    free(vocabulary->types);
    free(vocabulary->pieces);
    free(vocabulary->bytes);
    free(vocabulary->slots);
    *vocabulary = (struct vocabulary){0};
}
