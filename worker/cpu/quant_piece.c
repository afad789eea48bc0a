/* The block layouts are those of the GGUF quantisation types. */
#include "worker/cpu/quant_piece.h"

#include "model/dequant.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define SUPER_PIECES 8 /* pieces in a K-quant block of 256 */

static uint16_t piece_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

/* Nibbles: elements 0 .. 15 in the low halves, 16 .. 31 in the high ones. */
static void piece_nibbles(uint8_t *q, const uint8_t *bytes)
{
    for (int i = 0; i < 16; i++) {
        q[i] = bytes[i] & 15;
        q[16 + i] = bytes[i] >> 4;
    }
}

/* Adds the fifth bits and then `add`. */
static void piece_fifth_bits(uint8_t *q, const uint8_t *bits, int add)
{
    for (int i = 0; i < 32; i++)
        q[i] = (uint8_t)((q[i] | (bits[i / 8] >> (i % 8) & 1) << 4) + add);
}

/* The 6-bit scale and minimum number `i` of a Q4_K or Q5_K block. */
static void piece_scale_min(const uint8_t *packed, int i, int *scale, int *min)
{
    if (i < 4) {
        *scale = packed[i] & 63;
        *min = packed[i + 4] & 63;
    } else {
        *scale = (packed[i + 4] & 15) | packed[i - 4] >> 6 << 4;
        *min = packed[i + 4] >> 4 | packed[i] >> 6 << 4;
    }
}

/* Q4_K and Q5_K: d, dmin, 12 bytes of scales, [32 bytes of fifth bits,] 128 bytes of nibbles. */
static void piece_k4_k5(struct quant_piece *out, const uint8_t *block, int i, int five)
{
    const uint8_t *nibbles = block + 16 + (five ? 32 : 0) + i / 2 * 32;
    int scale, min;

    piece_scale_min(block + 4, i, &scale, &min);
    out->scale[0] = half_to_float(piece_u16(block)) * (float)scale;
    out->minimum = -(half_to_float(piece_u16(block + 2)) * (float)min);
    for (int l = 0; l < 32; l++) {
        int q = i % 2 ? nibbles[l] >> 4 : nibbles[l] & 15;
        if (five)
            q = (q | (block[16 + l] >> i & 1) << 4) + 128;
        out->q[l] = (uint8_t)q;
    }
}

/* Q6_K: 128 bytes of low nibbles, 64 of two high bits, 16 signed scales, d. */
static void piece_k6(struct quant_piece *out, const uint8_t *block, int i)
{
    const uint8_t *low = block + i / 4 * 64 + i % 2 * 32, *high = block + 128 + i / 4 * 32;
    const float d = half_to_float(piece_u16(block + 208));

    for (int half = 0; half < 2; half++)
        out->scale[half] = d * (float)(int8_t)block[192 + 2 * i + half];
    for (int l = 0; l < 32; l++) {
        const int nibble = i % 4 >= 2 ? low[l] >> 4 : low[l] & 15;
        const int q = nibble | (high[l] >> (2 * (i % 4)) & 3) << 4;
        out->q[l] = (uint8_t)(q - 32 + 128);
    }
}

void quant_piece_read(struct quant_piece *out, enum gguf_tensor_type type, const void *row,
                      int piece)
{
    const size_t bytes = (size_t)quant_block_bytes(type);
    const int per_block = quant_block_elements(type) / 32;
    const uint8_t *block = (const uint8_t *)row + (size_t)(piece / per_block) * bytes;

    memset(out, 0, sizeof(*out));
    out->scale_half = piece_u16(block);
    switch (type) {
    case GGUF_TENSOR_Q4_0: piece_nibbles(out->q, block + 2); return;
    case GGUF_TENSOR_Q4_1:
        out->minimum_half = piece_u16(block + 2);
        piece_nibbles(out->q, block + 4);
        return;
    case GGUF_TENSOR_Q5_0:
        piece_nibbles(out->q, block + 6);
        piece_fifth_bits(out->q, block + 2, -16 + 128);
        return;
    case GGUF_TENSOR_Q5_1:
        out->minimum_half = piece_u16(block + 2);
        piece_nibbles(out->q, block + 8);
        piece_fifth_bits(out->q, block + 4, 128);
        return;
    case GGUF_TENSOR_Q8_0:
        for (int i = 0; i < 32; i++)
            out->q[i] = (uint8_t)(block[2 + i] ^ 0x80);
        return;
    case GGUF_TENSOR_Q4_K: piece_k4_k5(out, block, piece % SUPER_PIECES, 0); return;
    case GGUF_TENSOR_Q5_K: piece_k4_k5(out, block, piece % SUPER_PIECES, 1); return;
    case GGUF_TENSOR_Q6_K: piece_k6(out, block, piece % SUPER_PIECES); return;
    case GGUF_TENSOR_F32:
    case GGUF_TENSOR_F16:
    case GGUF_TENSOR_BF16: break;
    }
    assert(!"not a quantised type");
}
