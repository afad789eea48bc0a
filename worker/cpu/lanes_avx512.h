/* Sixteen lanes in one AVX-512 register; twin of lanes_plain.h, which says what each call means. */
#ifndef TANDEM_WORKER_CPU_LANES_AVX512_H
#define TANDEM_WORKER_CPU_LANES_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "worker/cpu/lanes_unroll.h"

struct vf {
    __m512 v;
};
struct vi {
    __m512i v;
};
struct vq {
    __m512i v;
};
struct vdot {
    __m512i v;
};

LANES_INLINE struct vf vf_load(const float *p)
{
    return (struct vf){_mm512_loadu_ps(p)};
}

LANES_INLINE void vf_store(float *p, struct vf a)
{
    _mm512_storeu_ps(p, a.v);
}

LANES_INLINE struct vf vf_set1(float x)
{
    return (struct vf){_mm512_set1_ps(x)};
}

LANES_INLINE struct vf vf_add(struct vf a, struct vf b)
{
    return (struct vf){_mm512_add_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_sub(struct vf a, struct vf b)
{
    return (struct vf){_mm512_sub_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_mul(struct vf a, struct vf b)
{
    return (struct vf){_mm512_mul_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_div(struct vf a, struct vf b)
{
    return (struct vf){_mm512_div_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_fma(struct vf a, struct vf b, struct vf c)
{
    return (struct vf){_mm512_fmadd_ps(a.v, b.v, c.v)};
}

LANES_INLINE struct vf vf_max(struct vf a, struct vf b)
{
    return (struct vf){_mm512_max_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_min(struct vf a, struct vf b)
{
    return (struct vf){_mm512_min_ps(a.v, b.v)};
}

LANES_INLINE struct vf vf_abs(struct vf a)
{
    return (struct vf){_mm512_abs_ps(a.v)};
}

LANES_INLINE float vf_highest(struct vf a)
{
    __m256 x = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 y = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_max_ps(y, _mm_movehl_ps(y, y));
    y = _mm_max_ss(y, _mm_movehdup_ps(y));
    return _mm_cvtss_f32(y);
}

LANES_INLINE float vf_total(struct vf a)
{
    __m256 x = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
    __m128 y = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    y = _mm_add_ss(y, _mm_movehdup_ps(y));
    return _mm_cvtss_f32(y);
}

LANES_INLINE struct vf vf_first(struct vf a, int n, struct vf b)
{
    const __mmask16 keep = (__mmask16)((1u << n) - 1u);
    return (struct vf){_mm512_mask_mov_ps(b.v, keep, a.v)};
}

LANES_INLINE struct vf vf_swap_pairs(struct vf a)
{
    return (struct vf){_mm512_permute_ps(a.v, 0xb1)};
}

LANES_INLINE struct vf vf_add_exponent(struct vf a, struct vf n)
{
    const __m512i shift = _mm512_slli_epi32(_mm512_castps_si512(n.v), 23);
    return (struct vf){_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), shift))};
}

LANES_INLINE struct vf vf_load_half(const uint16_t *p)
{
    return (struct vf){_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p))};
}

LANES_INLINE void vf_store_half(uint16_t *p, struct vf a)
{
    const __m256i h = _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)p, h);
}

LANES_INLINE struct vf vf_load_bf16(const uint16_t *p)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return (struct vf){_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

LANES_INLINE struct vf vf_from_int(struct vi a)
{
    return (struct vf){_mm512_cvtepi32_ps(a.v)};
}

LANES_INLINE struct vi vi_from_float(struct vf a)
{
    return (struct vi){_mm512_cvtps_epi32(a.v)};
}

LANES_INLINE int32_t vi_total(struct vi a)
{
    return _mm512_reduce_add_epi32(a.v);
}

LANES_INLINE struct vi vi_add(struct vi a, struct vi b)
{
    return (struct vi){_mm512_add_epi32(a.v, b.v)};
}

LANES_INLINE void vi_store_int8(int8_t *p, struct vi a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a.v));
}

LANES_INLINE struct vq vq_load(const unsigned char *p)
{
    return (struct vq){_mm512_loadu_si512(p)};
}

LANES_INLINE struct vq vq_low(struct vq a)
{
    return (struct vq){_mm512_and_si512(a.v, _mm512_set1_epi8(15))};
}

LANES_INLINE struct vq vq_high(struct vq a)
{
    return (struct vq){_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))};
}

LANES_INLINE struct vdot vdot_start(int32_t zero)
{
    return (struct vdot){_mm512_set1_epi32(zero)};
}

LANES_INLINE struct vdot vdot_step4(struct vdot a, struct vq w, const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof(four));
    return (struct vdot){_mm512_dpbusd_epi32(a.v, w.v, _mm512_set1_epi32(four))};
}

LANES_INLINE struct vi vdot_sum4(struct vdot a, int32_t zero)
{
    (void)zero;
    return (struct vi){a.v};
}

LANES_INLINE struct vdot vdot_step8(struct vdot a, struct vq w, const int8_t *x)
{
    return vdot_step4(a, w, x);
}

LANES_INLINE struct vi vdot_sum8(struct vdot a, int32_t zero)
{
    return vdot_sum4(a, zero);
}

#endif
