/* Sixteen lanes in two AVX2 registers; twin of lanes_plain.h, which says what each call means. */
#ifndef TANDEM_WORKER_CPU_LANES_AVX2_H
#define TANDEM_WORKER_CPU_LANES_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "worker/cpu/lanes_unroll.h"

struct vf {
    __m256 lo, hi;
};
struct vi {
    __m256i lo, hi;
};
struct vq {
    __m256i lo, hi;
};
/* Pairs of products in 16 bits for w up to 15 (8 steps of 2 * 15 * 127 fit), in 32 bits else. */
struct vdot {
    __m256i lo, hi;
};

LANES_INLINE struct vf vf_load(const float *p)
{
    return (struct vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

LANES_INLINE void vf_store(float *p, struct vf a)
{
    _mm256_storeu_ps(p, a.lo);
    _mm256_storeu_ps(p + 8, a.hi);
}

LANES_INLINE struct vf vf_set1(float x)
{
    const __m256 v = _mm256_set1_ps(x);
    return (struct vf){v, v};
}

LANES_INLINE struct vf vf_add(struct vf a, struct vf b)
{
    return (struct vf){_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_sub(struct vf a, struct vf b)
{
    return (struct vf){_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_mul(struct vf a, struct vf b)
{
    return (struct vf){_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_div(struct vf a, struct vf b)
{
    return (struct vf){_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_fma(struct vf a, struct vf b, struct vf c)
{
    return (struct vf){_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}

LANES_INLINE struct vf vf_max(struct vf a, struct vf b)
{
    return (struct vf){_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_min(struct vf a, struct vf b)
{
    return (struct vf){_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}

LANES_INLINE struct vf vf_abs(struct vf a)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (struct vf){_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

LANES_INLINE float vf_highest(struct vf a)
{
    const __m256 x = _mm256_max_ps(a.lo, a.hi);
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    y = _mm_max_ss(y, _mm_movehdup_ps(y));
    return _mm_cvtss_f32(y);
}

LANES_INLINE float vf_total(struct vf a)
{
    const __m256 x = _mm256_add_ps(a.lo, a.hi);
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    y = _mm_add_ss(y, _mm_movehdup_ps(y));
    return _mm_cvtss_f32(y);
}

LANES_INLINE struct vf vf_first(struct vf a, int n, struct vf b)
{
    const __m256i count = _mm256_set1_epi32(n);
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i next = _mm256_add_epi32(index, _mm256_set1_epi32(8));
    return (struct vf){
        _mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, index))),
        _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, next)))};
}

LANES_INLINE struct vf vf_swap_pairs(struct vf a)
{
    return (struct vf){_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}

LANES_INLINE struct vf vf_add_exponent(struct vf a, struct vf n)
{
    const __m256i lo = _mm256_slli_epi32(_mm256_castps_si256(n.lo), 23);
    const __m256i hi = _mm256_slli_epi32(_mm256_castps_si256(n.hi), 23);
    return (struct vf){_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.lo), lo)),
                       _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a.hi), hi))};
}

LANES_INLINE struct vf vf_load_half(const uint16_t *p)
{
    return (struct vf){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                       _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}

LANES_INLINE void vf_store_half(uint16_t *p, struct vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}

LANES_INLINE struct vf vf_load_bf16(const uint16_t *p)
{
    const __m256i lo = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    const __m256i hi = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p + 8)));
    return (struct vf){_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)),
                       _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
}

LANES_INLINE struct vf vf_from_int(struct vi a)
{
    return (struct vf){_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}

LANES_INLINE struct vi vi_from_float(struct vf a)
{
    return (struct vi){_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}

LANES_INLINE int32_t vi_total(struct vi a)
{
    const __m256i x = _mm256_add_epi32(a.lo, a.hi);
    __m128i y = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0x4e));
    y = _mm_add_epi32(y, _mm_shuffle_epi32(y, 0xb1));
    return _mm_cvtsi128_si32(y);
}

LANES_INLINE struct vi vi_add(struct vi a, struct vi b)
{
    return (struct vi){_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}

LANES_INLINE void vi_store_int8(int8_t *p, struct vi a)
{
    /* The packs work on halves of a register: the permutation puts the quarters in order. */
    const __m256i words = _mm256_packs_epi32(a.lo, a.hi);
    const __m256i order = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(order), _mm256_extracti128_si256(order, 1));
    _mm_storeu_si128((__m128i *)p, bytes);
}

LANES_INLINE struct vq vq_load(const unsigned char *p)
{
    return (struct vq){_mm256_loadu_si256((const __m256i *)p),
                       _mm256_loadu_si256((const __m256i *)(p + 32))};
}

LANES_INLINE struct vq vq_low(struct vq a)
{
    const __m256i mask = _mm256_set1_epi8(15);
    return (struct vq){_mm256_and_si256(a.lo, mask), _mm256_and_si256(a.hi, mask)};
}

LANES_INLINE struct vq vq_high(struct vq a)
{
    const __m256i mask = _mm256_set1_epi8(15);
    return (struct vq){_mm256_and_si256(_mm256_srli_epi16(a.lo, 4), mask),
                       _mm256_and_si256(_mm256_srli_epi16(a.hi, 4), mask)};
}

LANES_INLINE struct vdot vdot_start(int32_t zero)
{
    (void)zero;
    return (struct vdot){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

LANES_INLINE struct vdot vdot_step4(struct vdot a, struct vq w, const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof(four));
    const __m256i v = _mm256_set1_epi32(four);
    return (struct vdot){_mm256_add_epi16(a.lo, _mm256_maddubs_epi16(w.lo, v)),
                         _mm256_add_epi16(a.hi, _mm256_maddubs_epi16(w.hi, v))};
}

LANES_INLINE struct vi vdot_sum4(struct vdot a, int32_t zero)
{
    const __m256i one = _mm256_set1_epi16(1), start = _mm256_set1_epi32(zero);
    return (struct vi){_mm256_add_epi32(start, _mm256_madd_epi16(a.lo, one)),
                       _mm256_add_epi32(start, _mm256_madd_epi16(a.hi, one))};
}

/* Two products of up to 255 * 127 would pass 16 bits, so the top bit of w goes by itself. */
LANES_INLINE __m256i vdot_half8(__m256i a, __m256i w, __m256i v)
{
    const __m256i one = _mm256_set1_epi16(1), top = _mm256_set1_epi8((char)0x80);
    const __m256i low = _mm256_maddubs_epi16(_mm256_andnot_si256(top, w), v);
    const __m256i high = _mm256_maddubs_epi16(_mm256_and_si256(top, w), v);
    a = _mm256_add_epi32(a, _mm256_madd_epi16(low, one));
    return _mm256_add_epi32(a, _mm256_madd_epi16(high, one));
}

LANES_INLINE struct vdot vdot_step8(struct vdot a, struct vq w, const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof(four));
    const __m256i v = _mm256_set1_epi32(four);
    return (struct vdot){vdot_half8(a.lo, w.lo, v), vdot_half8(a.hi, w.hi, v)};
}

LANES_INLINE struct vi vdot_sum8(struct vdot a, int32_t zero)
{
    const __m256i start = _mm256_set1_epi32(zero);
    return (struct vi){_mm256_add_epi32(start, a.lo), _mm256_add_epi32(start, a.hi)};
}

#endif
