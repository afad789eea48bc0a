/*
 * Panels times a block of rows, for every weight kind; included by each isa_*.c after its lanes.
 *
 * One block of weights is unpacked into registers once and meets T rows; with few rows P panels are
 * walked together, which gives the memory system P streams. T and P only choose how many outputs
 * are computed side by side: each output is its own chain of operations over the blocks in order,
 *
 *   acc = fma(dot, weight scale * activation scale, acc), then acc = fma(minimum, sum, acc),
 *
 * so its bits depend on nothing else. The products of scales are rounded once and the integer dots
 * are exact.
 */
#ifndef TANDEM_WORKER_CPU_GEMM_BODY_H
#define TANDEM_WORKER_CPU_GEMM_BODY_H

#include "worker/cpu/kernels.h"

#define GEMM_ACCS 8
#define U4_BLOCK_BYTES (PANEL_ROWS * QUANT_BLOCK / 2)
#define U8_BLOCK_BYTES (PANEL_ROWS * QUANT_BLOCK)

/* Scales of a block: f16 or f32, one vector or two. */
LANES_INLINE struct vf gemm_scale(const unsigned char *scales, int b, int vectors, int which,
                                  int wide)
{
    const unsigned char *p =
        scales + ((size_t)b * (size_t)vectors + (size_t)which) * PANEL_ROWS * (wide ? 4 : 2);
    return wide ? vf_load((const float *)(const void *)p)
                : vf_load_half((const uint16_t *)(const void *)p);
}

LANES_INLINE void gemm_prefetch(const unsigned char *p, int bytes)
{
    for (int i = 0; i < bytes; i += 64)
        __builtin_prefetch(p + i, 0, 2);
}

LANES_INLINE void gemm_store(const struct gemm_tile *g, int panel, int T, int P,
                             const struct vf *acc)
{
    LANES_UNROLL
    for (int t = 0; t < T; t++) {
        if (t >= g->n_rows)
            break;
        float *out = g->out + (size_t)t * g->out_stride + (size_t)panel * PANEL_ROWS;
        LANES_UNROLL
        for (int p = 0; p < P; p++)
            vf_store(out + p * PANEL_ROWS, acc[p * T + t]);
    }
}

LANES_INLINE void gemm_u4_panels(const struct gemm_tile *g, int panel, int T, int P, int zero8,
                                 int min, int wide)
{
    const unsigned char *quants = g->panels + (size_t)panel * g->panel_bytes;
    const unsigned char *scales = quants + (size_t)g->n_blocks * U4_BLOCK_BYTES;
    const size_t stride = g->panel_bytes;
    const int scale_bytes = PANEL_ROWS * (wide ? 4 : 2) * (1 + min);
    struct vf acc[GEMM_ACCS];

    LANES_UNROLL
    for (int i = 0; i < P * T; i++)
        acc[i] = vf_set1(0.0f);
    for (int b = 0; b < g->n_blocks; b++) {
        const struct act_block *a = &g->acts[b];
        LANES_UNROLL
        for (int p = 0; p < P; p++) {
            const unsigned char *bytes = quants + (size_t)p * stride + (size_t)b * U4_BLOCK_BYTES;
            const unsigned char *panel_scales = scales + (size_t)p * stride;
            struct vq w[8];
            gemm_prefetch(bytes + (size_t)P * stride, U4_BLOCK_BYTES);
            gemm_prefetch(panel_scales + (size_t)P * stride + (size_t)(b * scale_bytes), 1);
            LANES_UNROLL
            for (int j = 0; j < 4; j++) {
                const struct vq both = vq_load(bytes + 64 * j);
                w[j] = vq_low(both);
                w[4 + j] = vq_high(both);
            }
            const struct vf scale = gemm_scale(panel_scales, b, 1 + min, 0, wide);
            const struct vf minimum =
                min ? gemm_scale(panel_scales, b, 1 + min, 1, wide) : vf_set1(0.0f);
            LANES_UNROLL
            for (int t = 0; t < T; t++) {
                const int32_t zero = zero8 ? a->zero8[t] : 0;
                struct vdot dot = vdot_start(zero);
                LANES_UNROLL
                for (int j = 0; j < 8; j++)
                    dot = vdot_step4(dot, w[j], a->q[t] + 4 * j);
                const struct vf sum = vf_from_int(vdot_sum4(dot, zero));
                const struct vf both = vf_mul(scale, vf_set1(a->scale[t]));
                acc[p * T + t] = vf_fma(sum, both, acc[p * T + t]);
                if (min)
                    acc[p * T + t] = vf_fma(minimum, vf_set1(a->sum[t]), acc[p * T + t]);
            }
        }
    }
    gemm_store(g, panel, T, P, acc);
}

/* halves: a scale for each half block instead of a minimum. */
LANES_INLINE void gemm_u8_panels(const struct gemm_tile *g, int panel, int T, int P, int halves,
                                 int min, int wide)
{
    const unsigned char *quants = g->panels + (size_t)panel * g->panel_bytes;
    const unsigned char *scales = quants + (size_t)g->n_blocks * U8_BLOCK_BYTES;
    const size_t stride = g->panel_bytes;
    const int vectors = 1 + (min || halves), scale_bytes = PANEL_ROWS * (wide ? 4 : 2) * vectors;
    struct vf acc[GEMM_ACCS];

    LANES_UNROLL
    for (int i = 0; i < P * T; i++)
        acc[i] = vf_set1(0.0f);
    for (int b = 0; b < g->n_blocks; b++) {
        const struct act_block *a = &g->acts[b];
        LANES_UNROLL
        for (int p = 0; p < P; p++) {
            const unsigned char *bytes = quants + (size_t)p * stride + (size_t)b * U8_BLOCK_BYTES;
            const unsigned char *panel_scales = scales + (size_t)p * stride;
            struct vq w[8];
            gemm_prefetch(bytes + (size_t)P * stride, U8_BLOCK_BYTES);
            gemm_prefetch(panel_scales + (size_t)P * stride + (size_t)(b * scale_bytes), 1);
            LANES_UNROLL
            for (int j = 0; j < 8; j++)
                w[j] = vq_load(bytes + 64 * j);
            const struct vf scale = gemm_scale(panel_scales, b, vectors, 0, wide);
            const struct vf second =
                vectors > 1 ? gemm_scale(panel_scales, b, vectors, 1, wide) : vf_set1(0.0f);
            LANES_UNROLL
            for (int t = 0; t < T; t++) {
                struct vdot lower = vdot_start(a->zero128[0][t]);
                struct vdot upper = vdot_start(a->zero128[1][t]);
                LANES_UNROLL
                for (int j = 0; j < 4; j++) {
                    lower = vdot_step8(lower, w[j], a->q[t] + 4 * j);
                    upper = vdot_step8(upper, w[4 + j], a->q[t] + 16 + 4 * j);
                }
                const struct vi low = vdot_sum8(lower, a->zero128[0][t]);
                const struct vi high = vdot_sum8(upper, a->zero128[1][t]);
                const struct vf act = vf_set1(a->scale[t]);
                struct vf x = acc[p * T + t];
                if (halves) {
                    x = vf_fma(vf_from_int(low), vf_mul(scale, act), x);
                    x = vf_fma(vf_from_int(high), vf_mul(second, act), x);
                } else {
                    x = vf_fma(vf_from_int(vi_add(low, high)), vf_mul(scale, act), x);
                }
                if (min)
                    x = vf_fma(second, vf_set1(a->sum[t]), x);
                acc[p * T + t] = x;
            }
        }
    }
    gemm_store(g, panel, T, P, acc);
}

LANES_INLINE void gemm_float_panels(const struct gemm_tile *g, int panel, int T, int P,
                                    enum weight_kind kind)
{
    const size_t element = kind == WEIGHT_F32 ? 4 : 2;
    const int columns = g->n_blocks * QUANT_BLOCK;
    struct vf acc[GEMM_ACCS];

    LANES_UNROLL
    for (int i = 0; i < P * T; i++)
        acc[i] = vf_set1(0.0f);
    for (int k = 0; k < columns; k++) {
        LANES_UNROLL
        for (int p = 0; p < P; p++) {
            const void *bytes =
                g->panels + (size_t)(panel + p) * g->panel_bytes + (size_t)k * PANEL_ROWS * element;
            const struct vf w = kind == WEIGHT_F32   ? vf_load(bytes)
                                : kind == WEIGHT_F16 ? vf_load_half(bytes)
                                                     : vf_load_bf16(bytes);
            LANES_UNROLL
            for (int t = 0; t < T; t++) {
                const struct vf x = vf_set1(g->rows[(size_t)t * g->row_stride + (size_t)k]);
                acc[p * T + t] = vf_fma(w, x, acc[p * T + t]);
            }
        }
    }
    gemm_store(g, panel, T, P, acc);
}

/* One kernel of the table: `inner` over all panels with as many rows and panels side by side as the
 * number of rows asks for. */
#define GEMM_KERNEL(name, inner, ...)                  \
    static void gemm_##name(const struct gemm_tile *g) \
    {                                                  \
        int p = 0;                                     \
        if (g->n_rows == 1) {                          \
            for (; p + 4 <= g->n_panels; p += 4)       \
                inner(g, p, 1, 4, __VA_ARGS__);        \
            for (; p + 2 <= g->n_panels; p += 2)       \
                inner(g, p, 1, 2, __VA_ARGS__);        \
            for (; p < g->n_panels; p++)               \
                inner(g, p, 1, 1, __VA_ARGS__);        \
        } else if (g->n_rows == 2) {                   \
            for (; p + 2 <= g->n_panels; p += 2)       \
                inner(g, p, 2, 2, __VA_ARGS__);        \
            for (; p < g->n_panels; p++)               \
                inner(g, p, 2, 1, __VA_ARGS__);        \
        } else if (g->n_rows <= 4) {                   \
            for (; p < g->n_panels; p++)               \
                inner(g, p, 4, 1, __VA_ARGS__);        \
        } else {                                       \
            for (; p < g->n_panels; p++)               \
                inner(g, p, 8, 1, __VA_ARGS__);        \
        }                                              \
    }

/* zero8, min, wide */
GEMM_KERNEL(u4_zero8, gemm_u4_panels, 1, 0, 0)
GEMM_KERNEL(u4_min, gemm_u4_panels, 0, 1, 0)
GEMM_KERNEL(u4_min_f32, gemm_u4_panels, 0, 1, 1)
/* halves, min, wide */
GEMM_KERNEL(u8, gemm_u8_panels, 0, 0, 0)
GEMM_KERNEL(u8_min, gemm_u8_panels, 0, 1, 0)
GEMM_KERNEL(u8_min_f32, gemm_u8_panels, 0, 1, 1)
GEMM_KERNEL(u8_halves, gemm_u8_panels, 1, 0, 1)
GEMM_KERNEL(f16, gemm_float_panels, WEIGHT_F16)
GEMM_KERNEL(bf16, gemm_float_panels, WEIGHT_BF16)
GEMM_KERNEL(f32, gemm_float_panels, WEIGHT_F32)

#define GEMM_TABLE                                                                               \
    {                                                                                            \
        [WEIGHT_U4_ZERO8] = gemm_u4_zero8, [WEIGHT_U4_MIN] = gemm_u4_min,                        \
        [WEIGHT_U4_MIN_F32] = gemm_u4_min_f32, [WEIGHT_U8] = gemm_u8,                            \
        [WEIGHT_U8_MIN] = gemm_u8_min, [WEIGHT_U8_MIN_F32] = gemm_u8_min_f32,                    \
        [WEIGHT_U8_HALVES] = gemm_u8_halves, [WEIGHT_F16] = gemm_f16, [WEIGHT_BF16] = gemm_bf16, \
        [WEIGHT_F32] = gemm_f32,                                                                 \
    }

#endif
