/*
 * The table of CPU kernels of one instruction set, and the data they share.
 *
 * Every variant is the same source (gemm_body.h, rows_body.h, attention_body.h) over another
 * lanes_*.h, and every float operation is an explicit 16-lane IEEE operation in a fixed order, so
 * all variants give the same bits; the plain one is the reference.
 *
 * Weights lie in panels of 16 output rows: lane r of a vector is row r of the panel. Activations
 * are int8 in blocks of 32 with one scale, eight rows of the batch side by side, so that a kernel
 * reaches all of them from one pointer. A row is quantised once, whoever its neighbours are.
 */
#ifndef TANDEM_WORKER_CPU_KERNELS_H
#define TANDEM_WORKER_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define PANEL_ROWS 16   /* output rows of a panel = lanes of a vector */
#define QUANT_BLOCK 32  /* elements that share an activation scale */
#define ROW_BLOCK 8     /* batch rows of an act_block */
#define SCORE_TOKENS 64 /* keys whose scores go through one softmax step: four pages */

/* 32 elements of eight rows. A slot no row uses holds stale numbers that are computed and dropped.
 */
struct act_block {
    int8_t q[ROW_BLOCK][QUANT_BLOCK];
    float scale[ROW_BLOCK];   /* absmax / 127 */
    float sum[ROW_BLOCK];     /* scale times the sum of q: what a weight's minimum multiplies */
    int32_t zero8[ROW_BLOCK]; /* -8 times the sum of q: takes a zero point of 8 out */
    int32_t zero128[2][ROW_BLOCK]; /* -128 times the sum of q, per half block */
    int32_t padding[2][ROW_BLOCK]; /* to whole cache lines */
};

/*
 * How a panel lies in memory, for nb = columns / 32 blocks:
 *
 *   U4   nb x 256 bytes; byte 64 j + 4 r + i holds row r, column 4 j + i in the low nibble and
 *        column 16 + 4 j + i in the high one
 *   U8   nb x 512 bytes; byte 64 j + 4 r + i holds row r, column 4 j + i, plus 128
 *        then in both: nb x [scale of 16 rows][second vector of 16 rows, where there is one]
 *   F*   columns x 16 elements
 *
 * padded to 64 bytes.
 */
enum weight_kind {
    WEIGHT_U4_ZERO8,   /* Q4_0: f16 scale, zero point 8 */
    WEIGHT_U4_MIN,     /* Q4_1: f16 scale, f16 minimum */
    WEIGHT_U4_MIN_F32, /* Q4_K: f32 scale, f32 minimum */
    WEIGHT_U8,         /* Q8_0, Q5_0: f16 scale */
    WEIGHT_U8_MIN,     /* Q5_1: f16 scale, f16 minimum */
    WEIGHT_U8_MIN_F32, /* Q5_K: f32 scale, f32 minimum */
    WEIGHT_U8_HALVES,  /* Q6_K: an f32 scale for each half block */
    WEIGHT_F16,
    WEIGHT_BF16,
    WEIGHT_F32,
    WEIGHT_KINDS,
};

/* Some panels times one block of rows. */
struct gemm_tile {
    const unsigned char *panels;
    size_t panel_bytes;
    int n_panels, n_blocks;
    const struct act_block *acts; /* [n_blocks], quantised kinds */
    const float *rows;            /* [ROW_BLOCK][row_stride], float kinds */
    size_t row_stride;
    int n_rows; /* 1 .. ROW_BLOCK */
    float *out; /* [n_rows][out_stride], 16 n_panels of each row are written */
    size_t out_stride;
};

/* Consecutive queries of one sequence with the heads that share one KV head. */
struct attention_tile {
    const float *q; /* [n_queries][q_stride]: the heads of the group side by side */
    size_t q_stride;
    int n_queries, group, head_dim; /* group: query heads per KV head */
    int position;                   /* of the first query; it sees the keys 0 .. position */
    const int32_t *pages;
    const unsigned char *arena;
    size_t page_bytes, head_offset; /* of this layer and KV head in a page */
    float scale;                    /* 1 / sqrt(head_dim) */
    float *out;                     /* [n_queries * group][head_dim] */
    float *state;                   /* attention_state_floats(n_queries * group) */
};

/* Running maximum and the 16 lanes of the running sum of each row. */
#define ATTENTION_STATE_FLOATS(rows) ((size_t)(rows)*17)

struct cpu_kernels {
    const char *name;
    void (*gemm[WEIGHT_KINDS])(const struct gemm_tile *tile);
    void (*attention)(const struct attention_tile *tile);
    /* n: a multiple of 32 for quantise, of 16 for the others. */
    void (*quantise)(const float *x, int n, struct act_block *blocks, int slot);
    void (*rms_norm)(const float *x, const float *weight, int n, float eps, float *out);
    void (*swiglu)(const float *gate, const float *up, int n, float *out);
    void (*add)(float *x, const float *y, int n);
    /* Rotates x, which is dimensions first .. first + n of heads laid side by side; cosine and sine
     * cover one head, sine with the sign of its pair. */
    void (*rope)(float *x, int n, int first, int head_dim, const float *cosine, const float *sine);
    /* Rounds to nearest even; values outside saturate. */
    void (*to_half)(const float *x, int n, uint16_t *out);
};

extern const struct cpu_kernels cpu_kernels_plain;
#if defined(__x86_64__)
extern const struct cpu_kernels cpu_kernels_avx2;
extern const struct cpu_kernels cpu_kernels_avx512vnni;
#endif

#endif
