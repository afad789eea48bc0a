/*
 * Kernels over single rows: norm, quantisation, activation, rotary embedding; included by each
 * isa_*.c after its lanes. Sums run in 16 lanes in index order and end in one fixed tree.
 */
#ifndef TANDEM_WORKER_CPU_ROWS_BODY_H
#define TANDEM_WORKER_CPU_ROWS_BODY_H

#include "worker/cpu/kernels.h"

#include <math.h>

/* e^x for x clamped to +-87, where neither the result nor 1 + result leaves the normal numbers.
 * x = n ln 2 + r with |r| <= ln 2 / 2, then the Taylor polynomial of degree 7: the first term left
 * out is below 6e-9. Exactly 1 at 0. */
LANES_INLINE struct vf vf_exp(struct vf x)
{
    /* ln 2 in two parts, so that n times the first is exact. */
    const float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const struct vf magic = vf_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to integer */
    x = vf_min(vf_max(x, vf_set1(-87.0f)), vf_set1(87.0f));
    const struct vf shifted = vf_fma(x, vf_set1(1.44269504f), magic);
    const struct vf n = vf_sub(shifted, magic);
    struct vf r = vf_fma(n, vf_set1(-ln2_high), x);
    r = vf_fma(n, vf_set1(-ln2_low), r);
    struct vf y = vf_set1(1.0f / 5040.0f);
    y = vf_fma(y, r, vf_set1(1.0f / 720.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 120.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 24.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 6.0f));
    y = vf_fma(y, r, vf_set1(0.5f));
    y = vf_fma(y, r, vf_set1(1.0f));
    y = vf_fma(y, r, vf_set1(1.0f));
    return vf_add_exponent(y, shifted);
}

static void rows_quantise(const float *x, int n, struct act_block *blocks, int slot)
{
    for (int b = 0; b < n / QUANT_BLOCK; b++, x += QUANT_BLOCK) {
        struct act_block *out = &blocks[b];
        const struct vf low = vf_load(x), high = vf_load(x + 16);
        const float top = vf_highest(vf_max(vf_abs(low), vf_abs(high)));
        const float scale = top / 127.0f;
        /* A row of zeros, or of numbers too small for the quotient, becomes zeros. */
        const float inverse = top > 1e-30f ? 127.0f / top : 0.0f;
        const struct vi q_low = vi_from_float(vf_mul(low, vf_set1(inverse)));
        const struct vi q_high = vi_from_float(vf_mul(high, vf_set1(inverse)));
        const int32_t sum_low = vi_total(q_low), sum_high = vi_total(q_high);
        vi_store_int8(out->q[slot], q_low);
        vi_store_int8(out->q[slot] + 16, q_high);
        out->scale[slot] = scale;
        out->sum[slot] = scale * (float)(sum_low + sum_high);
        out->zero8[slot] = -8 * (sum_low + sum_high);
        out->zero128[0][slot] = -128 * sum_low;
        out->zero128[1][slot] = -128 * sum_high;
    }
}

static void rows_rms_norm(const float *x, const float *weight, int n, float eps, float *out)
{
    struct vf even = vf_set1(0.0f), odd = vf_set1(0.0f);
    int i = 0;
    for (; i + 32 <= n; i += 32) {
        const struct vf a = vf_load(x + i), b = vf_load(x + i + 16);
        even = vf_fma(a, a, even);
        odd = vf_fma(b, b, odd);
    }
    for (; i < n; i += 16) {
        const struct vf a = vf_load(x + i);
        even = vf_fma(a, a, even);
    }
    const float mean = vf_total(vf_add(even, odd)) / (float)n;
    const struct vf factor = vf_set1(1.0f / sqrtf(mean + eps));
    for (i = 0; i < n; i += 16)
        vf_store(out + i, vf_mul(vf_mul(vf_load(x + i), factor), vf_load(weight + i)));
}

static void rows_swiglu(const float *gate, const float *up, int n, float *out)
{
    const struct vf one = vf_set1(1.0f), zero = vf_set1(0.0f);
    for (int i = 0; i < n; i += 16) {
        const struct vf g = vf_load(gate + i);
        const struct vf silu = vf_div(g, vf_add(one, vf_exp(vf_sub(zero, g))));
        vf_store(out + i, vf_mul(silu, vf_load(up + i)));
    }
}

static void rows_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += 16)
        vf_store(x + i, vf_add(vf_load(x + i), vf_load(y + i)));
}

static void rows_rope(float *x, int n, int first, int head_dim, const float *cosine,
                      const float *sine)
{
    int d = first % head_dim;
    for (int i = 0; i < n; i += 16) {
        const struct vf v = vf_load(x + i);
        const struct vf turned = vf_mul(vf_swap_pairs(v), vf_load(sine + d));
        vf_store(x + i, vf_fma(v, vf_load(cosine + d), turned));
        d = d + 16 == head_dim ? 0 : d + 16;
    }
}

static void rows_to_half(const float *x, int n, uint16_t *out)
{
    const struct vf top = vf_set1(65504.0f), bottom = vf_set1(-65504.0f);
    for (int i = 0; i < n; i += 16)
        vf_store_half(out + i, vf_max(vf_min(vf_load(x + i), top), bottom));
}

#endif
