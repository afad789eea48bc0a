/*
 * worker/cpu: every variant gives the plain kernels' bits, and those agree with the definition
 * computed in double.
 */
#include "worker/cpu/isa.h"
#include "worker/cpu/kernels.h"
#include "worker/cpu/weight.h"

#include "base/philox.h"
#include "kvcache/layout.h"
#include "model/dequant.h"
#include "tests/unit/tiny_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLUMNS 512
#define BLOCKS (COLUMNS / QUANT_BLOCK)
#define ROWS 70 /* five panels, the last one part padding */
#define PANELS 5

static const enum gguf_tensor_type all_types[] = {
    GGUF_TENSOR_F32,  GGUF_TENSOR_F16,  GGUF_TENSOR_BF16, GGUF_TENSOR_Q4_0,
    GGUF_TENSOR_Q4_1, GGUF_TENSOR_Q5_0, GGUF_TENSOR_Q5_1, GGUF_TENSOR_Q8_0,
    GGUF_TENSOR_Q4_K, GGUF_TENSOR_Q5_K, GGUF_TENSOR_Q6_K,
};
enum { N_TYPES = sizeof(all_types) / sizeof(all_types[0]) };

static const struct cpu_kernels *variants[CPU_ISA_MAX];
static int n_variants;

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == NULL)
        abort();
    memset(memory, 0, (bytes + 63) / 64 * 64);
    return memory;
}

/* Numbers of very different size, some zero, as activations are. */
static void random_floats(float *x, size_t count, uint64_t seed)
{
    for (size_t i = 0; i < count; i++) {
        const double u = philox_uniform(seed, i, 0) * 2 - 1;
        x[i] = philox_uniform(seed, i, 1) < 0.05 ? 0.0f : (float)(u * u * u * 4);
    }
}

struct product {
    struct weight weight;
    struct gguf_tensor tensor;
    struct act_block *acts;
    float *rows; /* [ROW_BLOCK][COLUMNS] */
};

static void product_open(struct product *p, enum gguf_tensor_type type, int head_dim, int pairs)
{
    const size_t count = (size_t)ROWS * COLUMNS;
    void *data = aligned(count * 4);

    tiny_weights(type, data, count, 0.1f, (uint64_t)type + 5);
    p->tensor = (struct gguf_tensor){.type = type, .dims = {COLUMNS, ROWS, 1, 1}, .data = data};
    weight_init(&p->weight, &p->tensor, head_dim, pairs);
    assert_int_equal(p->weight.n_panels, PANELS);
    p->weight.panels = aligned(weight_bytes(&p->weight));
    for (int i = 0; i < PANELS; i++)
        weight_repack_panel(&p->weight, i);
    p->acts = aligned(BLOCKS * sizeof(*p->acts));
    p->rows = aligned(ROW_BLOCK * COLUMNS * sizeof(float));
    random_floats(p->rows, ROW_BLOCK * COLUMNS, (uint64_t)type);
    for (int t = 0; t < ROW_BLOCK; t++)
        cpu_kernels_plain.quantise(p->rows + t * COLUMNS, COLUMNS, p->acts, t);
}

static void product_close(struct product *p)
{
    free((void *)(uintptr_t)p->tensor.data);
    free(p->weight.panels);
    free(p->acts);
    free(p->rows);
}

static void product_run(const struct product *p, const struct cpu_kernels *kernels, int n_rows,
                        int first, int n_panels, float *out)
{
    const struct gemm_tile tile = {
        .panels = p->weight.panels + (size_t)first * p->weight.panel_bytes,
        .panel_bytes = p->weight.panel_bytes,
        .n_panels = n_panels,
        .n_blocks = BLOCKS,
        .acts = p->acts,
        .rows = p->rows,
        .row_stride = COLUMNS,
        .n_rows = n_rows,
        .out = out + first * PANEL_ROWS,
        .out_stride = PANELS * PANEL_ROWS,
    };
    kernels->gemm[p->weight.kind](&tile);
}

/* Catches a kernel that differs from the plain one for some number of rows or panels, and writes
 * past its rows. */
static void test_products_have_the_same_bits(void **state)
{
    static float expected[ROW_BLOCK][PANELS * PANEL_ROWS], got[ROW_BLOCK][PANELS * PANEL_ROWS];

    (void)state;
    for (int i = 0; i < N_TYPES; i++) {
        struct product p;
        product_open(&p, all_types[i], 64, 0);
        product_run(&p, &cpu_kernels_plain, ROW_BLOCK, 0, PANELS, expected[0]);
        for (int v = 0; v < n_variants; v++) {
            for (int n_rows = 1; n_rows <= ROW_BLOCK; n_rows++) {
                for (int first = 0; first < PANELS; first++) {
                    const size_t row_bytes = (size_t)(PANELS - first) * PANEL_ROWS * sizeof(float);
                    memset(got, 0xff, sizeof(got));
                    product_run(&p, variants[v], n_rows, first, PANELS - first, got[0]);
                    for (int t = 0; t < n_rows; t++)
                        assert_memory_equal(got[t] + first * PANEL_ROWS,
                                            expected[t] + first * PANEL_ROWS, row_bytes);
                    for (int t = n_rows; t < ROW_BLOCK; t++)
                        assert_true(isnan(got[t][PANELS * PANEL_ROWS - 1]));
                }
            }
        }
        product_close(&p);
    }
}

/* Catches a type taken apart wrongly: nibble order, fifth bits, packed scales, zero points. */
static void test_products_are_the_dot_products(void **state)
{
    static float got[ROW_BLOCK][PANELS * PANEL_ROWS], row[COLUMNS];

    (void)state;
    for (int i = 0; i < N_TYPES; i++) {
        const enum gguf_tensor_type type = all_types[i];
        const size_t row_bytes =
            (size_t)(COLUMNS / quant_block_elements(type)) * (size_t)quant_block_bytes(type);
        struct product p;
        product_open(&p, type, 64, 0);
        product_run(&p, &cpu_kernels_plain, ROW_BLOCK, 0, PANELS, got[0]);
        for (int r = 0; r < ROWS; r++) {
            dequant_row(type, (const char *)p.tensor.data + (size_t)r * row_bytes, COLUMNS, row);
            for (int t = 0; t < ROW_BLOCK; t++) {
                double dot = 0, size = 0;
                for (int c = 0; c < COLUMNS; c++) {
                    const struct act_block *a = &p.acts[c / QUANT_BLOCK];
                    const double x = weight_kind_is_float(p.weight.kind)
                                         ? (double)p.rows[t * COLUMNS + c]
                                         : (double)a->scale[t] * a->q[t][c % QUANT_BLOCK];
                    dot += x * (double)row[c];
                    size += fabs(x * (double)row[c]);
                }
                /* Rounding in f32: a few units in the last place of the running sum; the minimum
                 * and the scaled part of a block cancel, which costs a little more. */
                assert_true(fabs((double)got[t][r] - dot) <= 4e-6 * size + 1e-6);
            }
        }
        for (int t = 0; t < ROW_BLOCK; t++)
            for (int r = ROWS; r < PANELS * PANEL_ROWS; r++)
                assert_true(got[t][r] == 0.0f);
        product_close(&p);
    }
}

/* Catches pairs (i, i + n/2) of a head stored anywhere but side by side. */
static void test_halves_become_adjacent(void **state)
{
    enum { HEAD_DIM = 32, ROTATED = 16 };
    static float in_order[PANELS * PANEL_ROWS], paired[PANELS * PANEL_ROWS];
    struct product p;

    (void)state;
    product_open(&p, GGUF_TENSOR_F16, HEAD_DIM, 0);
    product_run(&p, &cpu_kernels_plain, 1, 0, PANELS, in_order);
    product_close(&p);
    product_open(&p, GGUF_TENSOR_F16, HEAD_DIM, ROTATED / 2);
    product_run(&p, &cpu_kernels_plain, 1, 0, PANELS, paired);
    product_close(&p);
    for (int r = 0; r < 64; r++) {
        const int head = r / HEAD_DIM * HEAD_DIM, d = r % HEAD_DIM;
        const int from = d < ROTATED ? d / 2 + d % 2 * (ROTATED / 2) : d;
        assert_true(paired[r] == in_order[head + from]);
    }
}

/* Catches a scale or sum that does not belong to the quantised numbers, and -128, which the kernels
 * cannot multiply. */
static void test_quantisation(void **state)
{
    static float x[COLUMNS];
    static struct act_block plain[BLOCKS], got[BLOCKS];

    (void)state;
    random_floats(x, COLUMNS, 3);
    memset(x, 0, 32 * sizeof(float));
    for (int i = 32; i < 64; i++)
        x[i] *= 1e-38f;
    x[70] = -1e30f;
    cpu_kernels_plain.quantise(x, COLUMNS, plain, 5);
    for (int c = 0; c < COLUMNS; c++) {
        const struct act_block *b = &plain[c / QUANT_BLOCK];
        assert_true(b->q[5][c % QUANT_BLOCK] >= -127);
        assert_true(fabsf(b->scale[5] * b->q[5][c % QUANT_BLOCK] - x[c]) <=
                    b->scale[5] * 0.5001f + 1e-30f);
    }
    for (int b = 0; b < BLOCKS; b++) {
        int low = 0, high = 0;
        for (int i = 0; i < 16; i++) {
            low += plain[b].q[5][i];
            high += plain[b].q[5][16 + i];
        }
        assert_true(plain[b].sum[5] == plain[b].scale[5] * (float)(low + high));
        assert_int_equal(plain[b].zero8[5], -8 * (low + high));
        assert_int_equal(plain[b].zero128[0][5], -128 * low);
        assert_int_equal(plain[b].zero128[1][5], -128 * high);
    }
    for (int v = 0; v < n_variants; v++) {
        memset(got, 0, sizeof(got));
        variants[v]->quantise(x, COLUMNS, got, 5);
        assert_memory_equal(got, plain, sizeof(got));
    }
}

static void assert_close(const float *got, const double *expected, int n, double relative)
{
    for (int i = 0; i < n; i++)
        assert_true(fabs((double)got[i] - expected[i]) <= relative * fabs(expected[i]) + 1e-12);
}

/* Catches wrong formulas in the row kernels, variants with other bits, and SiLU or its exponential
 * leaving the numbers for large arguments. */
static void test_row_kernels(void **state)
{
    enum { N = 176 };
    float x[N], w[N], out[N], rotated[N];
    double expected[N], squares = 0;

    (void)state;
    random_floats(x, N, 11);
    random_floats(w, N, 12);
    x[0] = 300.0f, x[1] = -300.0f, x[2] = 80.0f, x[3] = -80.0f, x[4] = 0.0f;
    for (int v = 0; v < n_variants; v++) {
        for (int i = 0; i < N; i++)
            squares += (double)x[i] * (double)x[i];
        for (int i = 0; i < N; i++)
            expected[i] = (double)x[i] * (double)w[i] / sqrt(squares / N + 1e-5);
        variants[v]->rms_norm(x, w, N, 1e-5f, out);
        assert_close(out, expected, N, 1e-6);
        squares = 0;

        for (int i = 0; i < N; i++)
            expected[i] = (double)x[i] / (1 + exp(-(double)x[i])) * (double)w[i];
        variants[v]->swiglu(x, w, N, out);
        for (int i = 0; i < N; i++) /* e^x is cut off at 87, where SiLU is below 1e-36 */
            assert_true(fabs((double)out[i] - expected[i]) <= 4e-7 * fabs(expected[i]) + 1e-33);

        for (int d = 0; d < N; d++)
            expected[d] =
                (double)x[d] * cos(d / 2) + (double)x[d ^ 1] * (d % 2 ? 1 : -1) * sin(d / 2);
        float cosine[N], sine[N];
        for (int d = 0; d < N; d++) {
            cosine[d] = (float)cos(d / 2);
            sine[d] = (float)sin(d / 2) * (d % 2 ? 1 : -1);
        }
        memcpy(rotated, x, sizeof(x));
        variants[v]->rope(rotated, N, 0, N, cosine, sine);
        for (int i = 0; i < N; i++)
            assert_true(fabs((double)rotated[i] - expected[i]) <= 1e-4);
        /* A stretch that ends in the next head. */
        memcpy(out, x, sizeof(x));
        variants[v]->rope(out, 32, N - 16, N, cosine, sine);
        for (int i = 0; i < 32; i++) {
            const int d = (N - 16 + i) % N;
            const double turned =
                (double)x[i] * (double)cosine[d] + (double)x[i ^ 1] * (double)sine[d];
            assert_true(fabs((double)out[i] - turned) <= 1e-4);
        }
    }
}

static void test_row_kernels_have_the_same_bits(void **state)
{
    enum { N = 176 };
    float x[N], w[N], expected[N], got[N];
    uint16_t half[2][N];

    (void)state;
    random_floats(x, N, 21);
    random_floats(w, N, 22);
    x[0] = 1e6f, x[1] = -1e6f, x[2] = 1e-7f;
    for (int v = 0; v < n_variants; v++) {
        cpu_kernels_plain.rms_norm(x, w, N, 1e-5f, expected);
        variants[v]->rms_norm(x, w, N, 1e-5f, got);
        assert_memory_equal(got, expected, sizeof(got));
        cpu_kernels_plain.swiglu(x, w, N, expected);
        variants[v]->swiglu(x, w, N, got);
        assert_memory_equal(got, expected, sizeof(got));
        memcpy(expected, x, sizeof(x));
        memcpy(got, x, sizeof(x));
        cpu_kernels_plain.rope(expected, N, 0, N, w, w);
        variants[v]->rope(got, N, 0, N, w, w);
        assert_memory_equal(got, expected, sizeof(got));
        cpu_kernels_plain.to_half(x, N, half[0]);
        variants[v]->to_half(x, N, half[1]);
        assert_memory_equal(half[0], half[1], sizeof(half[0]));
        assert_int_equal(half[1][0], 0x7bff); /* the largest half, not infinity */
    }
}

#define A_POSITIONS 150
#define A_GROUP_MAX 8

struct attention_case {
    int group, head_dim;
};

static void attention_run(const struct cpu_kernels *kernels, const struct attention_case *c,
                          const float *q, const unsigned char *arena, const int32_t *pages,
                          int position, int count, float *out)
{
    static float state[ATTENTION_STATE_FLOATS(A_POSITIONS * A_GROUP_MAX)];
    const struct kv_layout layout = {1, 1, c->head_dim};
    const struct attention_tile tile = {
        .q = q + (size_t)position * (size_t)(c->group * c->head_dim),
        .q_stride = (size_t)(c->group * c->head_dim),
        .n_queries = count,
        .group = c->group,
        .head_dim = c->head_dim,
        .position = position,
        .pages = pages,
        .arena = arena,
        .page_bytes = kv_page_bytes(&layout),
        .scale = 1.0f / sqrtf((float)c->head_dim),
        .out = out + (size_t)position * (size_t)(c->group * c->head_dim),
        .state = state,
    };
    kernels->attention(&tile);
}

/* Softmax over all visible keys in double. */
static void attention_reference(const struct attention_case *c, const float *q, const float *k,
                                const float *v, int position, int head, double *out)
{
    const float *x = q + (size_t)((position * c->group + head) * c->head_dim);
    double score[A_POSITIONS], top = -1e300, total = 0;

    for (int t = 0; t <= position; t++) {
        score[t] = 0;
        for (int d = 0; d < c->head_dim; d++)
            score[t] += (double)x[d] * (double)k[t * c->head_dim + d];
        score[t] /= sqrt(c->head_dim);
        top = score[t] > top ? score[t] : top;
    }
    memset(out, 0, (size_t)c->head_dim * sizeof(*out));
    for (int t = 0; t <= position; t++) {
        total += exp(score[t] - top);
        for (int d = 0; d < c->head_dim; d++)
            out[d] += exp(score[t] - top) * (double)v[t * c->head_dim + d];
    }
    for (int d = 0; d < c->head_dim; d++)
        out[d] /= total;
}

struct attention_data {
    float *q, *k, *v, *expected, *got;
    unsigned char *arena;
    int32_t pages[(A_POSITIONS + PAGE_TOKENS - 1) / PAGE_TOKENS];
};

/* Pages in reverse, with NaNs where no token is: reading one shows. */
static void attention_fill(struct attention_data *data, const struct attention_case *c)
{
    const struct kv_layout layout = {1, 1, c->head_dim};
    const size_t kv = (size_t)A_POSITIONS * (size_t)c->head_dim, q = kv * (size_t)c->group;
    const int n_pages = kv_pages_for(A_POSITIONS);

    data->q = aligned(q * sizeof(float));
    data->k = aligned(kv * sizeof(float));
    data->v = aligned(kv * sizeof(float));
    data->expected = aligned(q * sizeof(float));
    data->got = aligned(q * sizeof(float));
    data->arena = aligned((size_t)n_pages * kv_page_bytes(&layout));
    memset(data->arena, 0xff, (size_t)n_pages * kv_page_bytes(&layout));
    random_floats(data->q, q, 31);
    random_floats(data->k, kv, 32);
    random_floats(data->v, kv, 33);
    for (int i = 0; i < n_pages; i++)
        data->pages[i] = n_pages - 1 - i;
    for (int t = 0; t < A_POSITIONS; t++) {
        uint16_t *k =
            (void *)(data->arena + (size_t)data->pages[t / PAGE_TOKENS] * kv_page_bytes(&layout));
        uint16_t *v = k + PAGE_TOKENS * c->head_dim;
        for (int d = 0; d < c->head_dim; d++) {
            const int at = t * c->head_dim + d;
            k[d * PAGE_TOKENS + t % PAGE_TOKENS] = float_to_half(data->k[at]);
            v[t % PAGE_TOKENS * c->head_dim + d] = float_to_half(data->v[at]);
            data->k[at] = half_to_float(float_to_half(data->k[at]));
            data->v[at] = half_to_float(float_to_half(data->v[at]));
        }
    }
}

/* Catches a mask off by one, keys read beyond the position, a wrong head of the group, softmax
 * rescaled wrongly, and bits that depend on where a chunk begins. */
static void test_attention(void **state)
{
    static const struct attention_case cases[] = {{1, 16}, {2, 16}, {3, 64}, {4, 128},
                                                  {5, 80}, {8, 64}, {6, 32}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct attention_case *c = &cases[i];
        const size_t bytes = (size_t)(A_POSITIONS * c->group * c->head_dim) * sizeof(float);
        struct attention_data data;
        attention_fill(&data, c);
        attention_run(&cpu_kernels_plain, c, data.q, data.arena, data.pages, 0, A_POSITIONS,
                      data.expected);
        for (int position = 0; position < A_POSITIONS; position++) {
            for (int head = 0; head < c->group; head++) {
                const int at = (position * c->group + head) * c->head_dim;
                double exact[128];
                attention_reference(c, data.q, data.k, data.v, position, head, exact);
                for (int d = 0; d < c->head_dim; d++)
                    assert_true(fabs((double)data.expected[at + d] - exact[d]) < 2e-5);
            }
        }
        for (int v = 0; v < n_variants; v++) {
            static const int chunks[] = {1, 2, 7, 16, A_POSITIONS};
            for (size_t j = 0; j < sizeof(chunks) / sizeof(chunks[0]); j++) {
                memset(data.got, 0xff, bytes);
                for (int at = 0; at < A_POSITIONS; at += chunks[j]) {
                    const int left = A_POSITIONS - at;
                    attention_run(variants[v], c, data.q, data.arena, data.pages, at,
                                  left < chunks[j] ? left : chunks[j], data.got);
                }
                assert_memory_equal(data.got, data.expected, bytes);
            }
        }
        free(data.q), free(data.k), free(data.v);
        free(data.expected), free(data.got), free(data.arena);
    }
}

/* Catches an unknown instruction set taken for "auto", and a message that does not help. */
static void test_choice(void **state)
{
    const struct cpu_kernels *kernels = NULL;
    struct err err;

    (void)state;
    assert_true(cpu_isa_choose(&kernels, "sse9", &err) < 0);
    assert_null(kernels);
    assert_non_null(strstr(err.text, "sse9"));
    assert_non_null(strstr(err.text, "plain"));
    for (int v = 0; v < n_variants; v++) {
        assert_int_equal(cpu_isa_choose(&kernels, variants[v]->name, &err), 0);
        assert_ptr_equal(kernels, variants[v]);
    }
    assert_int_equal(cpu_isa_choose(&kernels, "auto", &err), 0);
    assert_ptr_equal(kernels, variants[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products_have_the_same_bits),
        cmocka_unit_test(test_products_are_the_dot_products),
        cmocka_unit_test(test_halves_become_adjacent),
        cmocka_unit_test(test_quantisation),
        cmocka_unit_test(test_row_kernels),
        cmocka_unit_test(test_row_kernels_have_the_same_bits),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_choice),
    };
    n_variants = cpu_isa_available(variants, CPU_ISA_MAX);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
