/*
 * Sixteen lanes in plain C: the reference the other lanes_*.h are twins of. vf: 16 floats, vi: 16
 * int32, vq: 64 bytes; vdot: the running dot product of 16 rows.
 */
#ifndef TANDEM_WORKER_CPU_LANES_PLAIN_H
#define TANDEM_WORKER_CPU_LANES_PLAIN_H

#include "model/dequant.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Nothing is kept in registers here; with a sanitizer, inlining would cost half a minute of
 * compiling.
 */
#if defined(__SANITIZE_ADDRESS__)
#define LANES_INLINE static __attribute__((noinline, unused))
#else
#define LANES_INLINE static inline __attribute__((unused))
#endif
#define LANES_UNROLL
#define LANES_EACH for (int i = 0; i < 16; i++)

struct vf {
    float v[16];
};
struct vi {
    int32_t v[16];
};
struct vq {
    uint8_t v[64];
};
struct vdot {
    int32_t v[16];
};

LANES_INLINE struct vf vf_load(const float *p)
{
    struct vf r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}

LANES_INLINE void vf_store(float *p, struct vf a)
{
    memcpy(p, a.v, sizeof(a.v));
}

LANES_INLINE struct vf vf_set1(float x)
{
    struct vf r;
    LANES_EACH r.v[i] = x;
    return r;
}

LANES_INLINE struct vf vf_add(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] += b.v[i];
    return a;
}

LANES_INLINE struct vf vf_sub(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] -= b.v[i];
    return a;
}

LANES_INLINE struct vf vf_mul(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] *= b.v[i];
    return a;
}

LANES_INLINE struct vf vf_div(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] /= b.v[i];
    return a;
}

/* a * b + c, rounded once. */
LANES_INLINE struct vf vf_fma(struct vf a, struct vf b, struct vf c)
{
    LANES_EACH a.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return a;
}

LANES_INLINE struct vf vf_max(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}

LANES_INLINE struct vf vf_min(struct vf a, struct vf b)
{
    LANES_EACH a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}

LANES_INLINE struct vf vf_abs(struct vf a)
{
    LANES_EACH a.v[i] = fabsf(a.v[i]);
    return a;
}

LANES_INLINE float vf_highest(struct vf a)
{
    float r = a.v[0];
    for (int i = 1; i < 16; i++)
        r = a.v[i] > r ? a.v[i] : r;
    return r;
}

/* The tree of the vector units: lanes 8 apart first, then 4, 2 and 1. */
LANES_INLINE float vf_total(struct vf a)
{
    for (int step = 8; step > 0; step /= 2)
        for (int i = 0; i < step; i++)
            a.v[i] += a.v[i + step];
    return a.v[0];
}

/* Lanes 0 .. n-1 of a, the rest of b. */
LANES_INLINE struct vf vf_first(struct vf a, int n, struct vf b)
{
    LANES_EACH a.v[i] = i < n ? a.v[i] : b.v[i];
    return a;
}

LANES_INLINE struct vf vf_swap_pairs(struct vf a)
{
    struct vf r;
    LANES_EACH r.v[i] = a.v[i ^ 1];
    return r;
}

/* Adds the low bits of n to the exponents of a. */
LANES_INLINE struct vf vf_add_exponent(struct vf a, struct vf n)
{
    uint32_t x[16], y[16];
    memcpy(x, a.v, sizeof(x));
    memcpy(y, n.v, sizeof(y));
    LANES_EACH x[i] += y[i] << 23;
    memcpy(a.v, x, sizeof(x));
    return a;
}

LANES_INLINE struct vf vf_load_half(const uint16_t *p)
{
    struct vf r;
    LANES_EACH r.v[i] = half_to_float(p[i]);
    return r;
}

LANES_INLINE void vf_store_half(uint16_t *p, struct vf a)
{
    LANES_EACH p[i] = float_to_half(a.v[i]);
}

LANES_INLINE struct vf vf_load_bf16(const uint16_t *p)
{
    struct vf r;
    LANES_EACH r.v[i] = bf16_to_float(p[i]);
    return r;
}

LANES_INLINE struct vf vf_from_int(struct vi a)
{
    struct vf r;
    LANES_EACH r.v[i] = (float)a.v[i];
    return r;
}

/* Nearest even; |a| < 2^22, where adding 1.5 * 2^23 rounds exactly so. */
LANES_INLINE struct vi vi_from_float(struct vf a)
{
    struct vi r;
    LANES_EACH r.v[i] = (int32_t)((a.v[i] + 12582912.0f) - 12582912.0f);
    return r;
}

LANES_INLINE int32_t vi_total(struct vi a)
{
    int32_t r = 0;
    LANES_EACH r += a.v[i];
    return r;
}

LANES_INLINE struct vi vi_add(struct vi a, struct vi b)
{
    LANES_EACH a.v[i] += b.v[i];
    return a;
}

LANES_INLINE void vi_store_int8(int8_t *p, struct vi a)
{
    LANES_EACH p[i] = (int8_t)a.v[i];
}

LANES_INLINE struct vq vq_load(const unsigned char *p)
{
    struct vq r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}

LANES_INLINE struct vq vq_low(struct vq a)
{
    for (int i = 0; i < 64; i++)
        a.v[i] &= 15;
    return a;
}

LANES_INLINE struct vq vq_high(struct vq a)
{
    for (int i = 0; i < 64; i++)
        a.v[i] >>= 4;
    return a;
}

/* The dot products of 16 rows begin at `zero`, which start and sum are both given: a variant adds
 * it where it is cheaper. */
LANES_INLINE struct vdot vdot_start(int32_t zero)
{
    struct vdot r;
    LANES_EACH r.v[i] = zero;
    return r;
}

/* Adds 4 columns of 16 rows; w up to 15, at most 8 steps from start to sum. */
LANES_INLINE struct vdot vdot_step4(struct vdot a, struct vq w, const int8_t *x)
{
    for (int i = 0; i < 64; i++)
        a.v[i / 4] += w.v[i] * x[i % 4];
    return a;
}

LANES_INLINE struct vi vdot_sum4(struct vdot a, int32_t zero)
{
    struct vi r;
    (void)zero;
    memcpy(r.v, a.v, sizeof(r.v));
    return r;
}

/* The same for w up to 255. */
LANES_INLINE struct vdot vdot_step8(struct vdot a, struct vq w, const int8_t *x)
{
    return vdot_step4(a, w, x);
}

LANES_INLINE struct vi vdot_sum8(struct vdot a, int32_t zero)
{
    return vdot_sum4(a, zero);
}

#endif
