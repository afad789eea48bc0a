/*
 * Block layouts as the GGUF files have them, unpacked one element at a time in the order of
 * operations that the Python package uses, so that every bit agrees: scale (and minimum) to float
 * first, one multiplication, one subtraction or addition, never fused (-ffp-contract=off).
 *
 * The K types are super-blocks of 256: sub-block scales are themselves 6- or 8-bit integers times
 * one half-precision scale.
 */
#include "model/dequant.h"

#include <assert.h>
#include <string.h>

#define Q_BLOCK 32  /* elements of a plain block */
#define K_BLOCK 256 /* elements of a super-block */
#define K_SCALES 12 /* bytes holding eight 6-bit scales and eight 6-bit minima */

struct quant_layout {
    int elements, bytes;
};

static struct quant_layout quant_layout(enum gguf_tensor_type type)
{
    switch (type) {
    case GGUF_TENSOR_F32: return (struct quant_layout){1, 4};
    case GGUF_TENSOR_F16:
    case GGUF_TENSOR_BF16: return (struct quant_layout){1, 2};
    case GGUF_TENSOR_Q4_0: return (struct quant_layout){Q_BLOCK, 2 + 16};
    case GGUF_TENSOR_Q4_1: return (struct quant_layout){Q_BLOCK, 4 + 16};
    case GGUF_TENSOR_Q5_0: return (struct quant_layout){Q_BLOCK, 2 + 4 + 16};
    case GGUF_TENSOR_Q5_1: return (struct quant_layout){Q_BLOCK, 4 + 4 + 16};
    case GGUF_TENSOR_Q8_0: return (struct quant_layout){Q_BLOCK, 2 + 32};
    case GGUF_TENSOR_Q4_K: return (struct quant_layout){K_BLOCK, 4 + K_SCALES + 128};
    case GGUF_TENSOR_Q5_K: return (struct quant_layout){K_BLOCK, 4 + K_SCALES + 32 + 128};
    case GGUF_TENSOR_Q6_K: return (struct quant_layout){K_BLOCK, 128 + 64 + 16 + 2};
    }
    return (struct quant_layout){0, 0};
}

int quant_block_elements(enum gguf_tensor_type type)
{
    return quant_layout(type).elements;
}

int quant_block_bytes(enum gguf_tensor_type type)
{
    return quant_layout(type).bytes;
}

float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 is exact in float */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 0x1f)
        bits = sign | 0x7f800000u | fraction << 13;
    else
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t float_to_half(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u;

    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) /* NaN: keep the top of the payload and make it quiet */
        return (uint16_t)(sign | 0x7e00u | (bits >> 13 & 0x3ffu));
    if (bits >= 0x477ff000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (bits < 0x38800000u) { /* below 2^-14: a multiple of 2^-24, rounded by the addition */
        float magic = 0.5f, sum;
        uint32_t rounded, magic_bits;

        memcpy(&sum, &bits, sizeof sum);
        sum += magic;
        memcpy(&rounded, &sum, sizeof rounded);
        memcpy(&magic_bits, &magic, sizeof magic_bits);
        return (uint16_t)(sign | (rounded - magic_bits));
    }
    /* Round to nearest even at bit 13; a carry moves into the exponent, as it should. */
    bits += 0xfffu + (bits >> 13 & 1u);
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

float bf16_to_float(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;

    memcpy(&value, &wide, sizeof value);
    return value;
}

static float load_half(const unsigned char *from)
{
    uint16_t half;

    memcpy(&half, from, sizeof half);
    return half_to_float(half);
}

static void dequant_q4_0(const unsigned char *src, float *dst)
{
    const float scale = load_half(src);
    const unsigned char *quants = src + 2;

    for (int i = 0; i < 16; i++) {
        dst[i] = scale * (float)((quants[i] & 15) - 8);
        dst[i + 16] = scale * (float)((quants[i] >> 4) - 8);
    }
}

static void dequant_q4_1(const unsigned char *src, float *dst)
{
    const float scale = load_half(src), min = load_half(src + 2);
    const unsigned char *quants = src + 4;

    for (int i = 0; i < 16; i++) {
        dst[i] = scale * (float)(quants[i] & 15) + min;
        dst[i + 16] = scale * (float)(quants[i] >> 4) + min;
    }
}

/* The fifth bits of a block's 32 elements lie in one little-endian word. */
static void dequant_q5_0(const unsigned char *src, float *dst)
{
    const float scale = load_half(src);
    const unsigned char *quants = src + 6;
    uint32_t high;

    memcpy(&high, src + 2, sizeof high);
    for (int i = 0; i < 16; i++) {
        int low_half = (quants[i] & 15) | (int)(high >> i & 1) << 4;
        int high_half = quants[i] >> 4 | (int)(high >> (i + 16) & 1) << 4;

        dst[i] = scale * (float)(low_half - 16);
        dst[i + 16] = scale * (float)(high_half - 16);
    }
}

static void dequant_q5_1(const unsigned char *src, float *dst)
{
    const float scale = load_half(src), min = load_half(src + 2);
    const unsigned char *quants = src + 8;
    uint32_t high;

    memcpy(&high, src + 4, sizeof high);
    for (int i = 0; i < 16; i++) {
        int low_half = (quants[i] & 15) | (int)(high >> i & 1) << 4;
        int high_half = quants[i] >> 4 | (int)(high >> (i + 16) & 1) << 4;

        dst[i] = scale * (float)low_half + min;
        dst[i + 16] = scale * (float)high_half + min;
    }
}

static void dequant_q8_0(const unsigned char *src, float *dst)
{
    const float scale = load_half(src);

    for (int i = 0; i < Q_BLOCK; i++)
        dst[i] = (float)(int8_t)src[2 + i] * scale;
}

/* Scale and minimum number `index` (of eight): the first four are the low six bits of their byte,
 * the others are split into four low bits and two high bits left over there. */
static void k_scale_min(const unsigned char packed[K_SCALES], int index, float *ret_scale,
                        float *ret_min)
{
    int scale, min;

    if (index < 4) {
        scale = packed[index] & 63;
        min = packed[index + 4] & 63;
    } else {
        scale = (packed[index + 4] & 15) | packed[index - 4] >> 6 << 4;
        min = packed[index + 4] >> 4 | packed[index] >> 6 << 4;
    }
    *ret_scale = (float)scale;
    *ret_min = (float)min;
}

/* Q4_K and Q5_K: eight sub-blocks of 32; each byte of quants serves an even sub-block by its low
 * half and the odd one behind it by its high half. high: 32 bytes whose bit s is the fifth bit of
 * sub-block s, or NULL. */
static void dequant_k45(const unsigned char *src, const unsigned char *high,
                        const unsigned char *quants, float *dst)
{
    const float scale = load_half(src), min = load_half(src + 2);

    for (int sub = 0; sub < 8; sub++) {
        const unsigned char *bytes = quants + sub / 2 * 32;
        const int shift = sub % 2 * 4;
        float sub_scale, sub_min;

        k_scale_min(src + 4, sub, &sub_scale, &sub_min);
        sub_scale = scale * sub_scale;
        sub_min = min * sub_min;
        for (int i = 0; i < 32; i++) {
            int fifth = high ? high[i] >> sub & 1 : 0;

            dst[sub * 32 + i] =
                sub_scale * (float)((bytes[i] >> shift & 15) | fifth << 4) - sub_min;
        }
    }
}

/* Two halves of 128: 64 bytes of low four bits, 32 bytes of high two bits; 16 signed scales, one
 * for 16 elements. */
static void dequant_q6_k(const unsigned char *src, float *dst)
{
    const unsigned char *low = src, *high = src + 128, *scales = src + 192;
    const float scale = load_half(src + 208);

    for (int i = 0; i < K_BLOCK; i++) {
        int half = i / 128, quarter = i % 128 / 32, lane = i % 32;
        int low_bits = low[half * 64 + quarter % 2 * 32 + lane] >> (quarter / 2 * 4) & 15;
        int high_bits = high[half * 32 + lane] >> (quarter * 2) & 3;
        float sub_scale = scale * (float)(int8_t)scales[i / 16];

        dst[i] = sub_scale * (float)((low_bits | high_bits << 4) - 32);
    }
}

static void dequant_block(enum gguf_tensor_type type, const unsigned char *src, float *dst)
{
    uint16_t bits;

    switch (type) {
    case GGUF_TENSOR_F32: memcpy(dst, src, sizeof *dst); return;
    case GGUF_TENSOR_F16: *dst = load_half(src); return;
    case GGUF_TENSOR_BF16:
        memcpy(&bits, src, sizeof bits);
        *dst = bf16_to_float(bits);
        return;
    case GGUF_TENSOR_Q4_0: dequant_q4_0(src, dst); return;
    case GGUF_TENSOR_Q4_1: dequant_q4_1(src, dst); return;
    case GGUF_TENSOR_Q5_0: dequant_q5_0(src, dst); return;
    case GGUF_TENSOR_Q5_1: dequant_q5_1(src, dst); return;
    case GGUF_TENSOR_Q8_0: dequant_q8_0(src, dst); return;
    case GGUF_TENSOR_Q4_K: dequant_k45(src, NULL, src + 16, dst); return;
    case GGUF_TENSOR_Q5_K: dequant_k45(src, src + 16, src + 48, dst); return;
    case GGUF_TENSOR_Q6_K: dequant_q6_k(src, dst); return;
    }
    assert(!"a type that the reader refuses");
}

void dequant_row(enum gguf_tensor_type type, const void *src, size_t count, float *dst)
{
    const struct quant_layout layout = quant_layout(type);
    const unsigned char *block = src;

    assert(layout.elements > 0 && count % (size_t)layout.elements == 0);
    for (size_t i = 0; i < count; i += (size_t)layout.elements) {
        dequant_block(type, block, dst + i);
        block += layout.bytes;
    }
}
