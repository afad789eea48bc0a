#include "worker/cpu/weight.h"

#include "model/dequant.h"
#include "worker/cpu/quant_piece.h"

#include <assert.h>
#include <string.h>

static const struct weight_format {
    enum weight_kind kind;
    int block_bytes;   /* quants of 16 rows x 32 columns */
    int scale_vectors; /* per block */
    int scale_bytes;   /* of one scale */
} weight_formats[] = {
    [GGUF_TENSOR_F32] = {WEIGHT_F32, PANEL_ROWS *QUANT_BLOCK * 4, 0, 0},
    [GGUF_TENSOR_F16] = {WEIGHT_F16, PANEL_ROWS *QUANT_BLOCK * 2, 0, 0},
    [GGUF_TENSOR_BF16] = {WEIGHT_BF16, PANEL_ROWS *QUANT_BLOCK * 2, 0, 0},
    [GGUF_TENSOR_Q4_0] = {WEIGHT_U4_ZERO8, PANEL_ROWS *QUANT_BLOCK / 2, 1, 2},
    [GGUF_TENSOR_Q4_1] = {WEIGHT_U4_MIN, PANEL_ROWS *QUANT_BLOCK / 2, 2, 2},
    [GGUF_TENSOR_Q4_K] = {WEIGHT_U4_MIN_F32, PANEL_ROWS *QUANT_BLOCK / 2, 2, 4},
    [GGUF_TENSOR_Q5_0] = {WEIGHT_U8, PANEL_ROWS *QUANT_BLOCK, 1, 2},
    [GGUF_TENSOR_Q8_0] = {WEIGHT_U8, PANEL_ROWS *QUANT_BLOCK, 1, 2},
    [GGUF_TENSOR_Q5_1] = {WEIGHT_U8_MIN, PANEL_ROWS *QUANT_BLOCK, 2, 2},
    [GGUF_TENSOR_Q5_K] = {WEIGHT_U8_MIN_F32, PANEL_ROWS *QUANT_BLOCK, 2, 4},
    [GGUF_TENSOR_Q6_K] = {WEIGHT_U8_HALVES, PANEL_ROWS *QUANT_BLOCK, 2, 4},
};

bool weight_kind_is_float(enum weight_kind kind)
{
    return kind == WEIGHT_F16 || kind == WEIGHT_BF16 || kind == WEIGHT_F32;
}

void weight_init(struct weight *weight, const struct gguf_tensor *source, int head_dim, int pairs)
{
    const struct weight_format *format = &weight_formats[source->type];
    const size_t blocks = (size_t)source->dims[0] / QUANT_BLOCK;
    const size_t bytes =
        blocks *
        (size_t)(format->block_bytes + PANEL_ROWS * format->scale_vectors * format->scale_bytes);

    assert(source->dims[0] % QUANT_BLOCK == 0);
    *weight = (struct weight){
        .kind = format->kind,
        .rows = (int)source->dims[1],
        .columns = (int)source->dims[0],
        .n_panels = (int)((source->dims[1] + PANEL_ROWS - 1) / PANEL_ROWS),
        .panel_bytes = (bytes + 63) / 64 * 64,
        .source = source,
        .head_dim = head_dim,
        .pairs = pairs,
    };
}

size_t weight_bytes(const struct weight *weight)
{
    return (size_t)weight->n_panels * weight->panel_bytes;
}

/* The row of the file that is stored as `row`; NULL for padding. */
static const unsigned char *weight_source_row(const struct weight *weight, int row)
{
    const struct gguf_tensor *source = weight->source;
    const size_t bytes = (size_t)weight->columns / (size_t)quant_block_elements(source->type) *
                         (size_t)quant_block_bytes(source->type);

    if (row >= weight->rows)
        return NULL;
    if (weight->pairs > 0) {
        const int head = row / weight->head_dim, d = row % weight->head_dim;
        if (d < 2 * weight->pairs)
            row = head * weight->head_dim + d / 2 + d % 2 * weight->pairs;
    }
    return (const unsigned char *)source->data + (size_t)row * bytes;
}

/* Lays column groups of four in lane order; the high half of a block goes to the high nibbles. */
static void weight_put_quants(unsigned char *block, int nibbles, int r, const uint8_t *q)
{
    for (int c = 0; c < QUANT_BLOCK; c++) {
        const int at = 64 * (c / 4) + 4 * r + c % 4;
        if (!nibbles)
            block[at] = q[c];
        else if (c < 16)
            block[at] = q[c];
        else
            block[at - 256] = (unsigned char)(block[at - 256] | q[c] << 4);
    }
}

static void weight_put_scales(unsigned char *scales, const struct weight_format *format, int r,
                              const struct quant_piece *piece)
{
    const size_t vector = (size_t)(PANEL_ROWS * format->scale_bytes);
    const uint16_t half[2] = {piece->scale_half, piece->minimum_half};
    const float wide[2] = {piece->scale[0],
                           format->kind == WEIGHT_U8_HALVES ? piece->scale[1] : piece->minimum};

    for (int v = 0; v < format->scale_vectors; v++) {
        unsigned char *at = scales + (size_t)v * vector + (size_t)(r * format->scale_bytes);
        if (format->scale_bytes == 2)
            memcpy(at, &half[v], 2);
        else
            memcpy(at, &wide[v], 4);
    }
}

static void weight_repack_float(const struct weight *weight, int panel, size_t element)
{
    unsigned char *out = weight->panels + (size_t)panel * weight->panel_bytes;

    memset(out, 0, weight->panel_bytes);
    for (int r = 0; r < PANEL_ROWS; r++) {
        const unsigned char *row = weight_source_row(weight, panel * PANEL_ROWS + r);
        if (row == NULL)
            continue;
        for (int c = 0; c < weight->columns; c++)
            memcpy(out + ((size_t)c * PANEL_ROWS + (size_t)r) * element, row + (size_t)c * element,
                   element);
    }
}

void weight_repack_panel(const struct weight *weight, int panel)
{
    const enum gguf_tensor_type type = weight->source->type;
    const struct weight_format *format = &weight_formats[type];
    const int blocks = weight->columns / QUANT_BLOCK;
    const int nibbles = format->block_bytes == PANEL_ROWS * QUANT_BLOCK / 2;
    unsigned char *quants = weight->panels + (size_t)panel * weight->panel_bytes;
    unsigned char *scales = quants + (size_t)blocks * (size_t)format->block_bytes;
    const size_t scale_stride = (size_t)(PANEL_ROWS * format->scale_vectors * format->scale_bytes);

    if (weight_kind_is_float(weight->kind)) {
        weight_repack_float(weight, panel, weight->kind == WEIGHT_F32 ? 4 : 2);
        return;
    }
    /* Rows of padding keep a scale of zero. */
    memset(quants, 0, weight->panel_bytes);
    for (int r = 0; r < PANEL_ROWS; r++) {
        const unsigned char *row = weight_source_row(weight, panel * PANEL_ROWS + r);
        struct quant_piece piece;
        if (row == NULL)
            continue;
        for (int b = 0; b < blocks; b++) {
            quant_piece_read(&piece, type, row, b);
            weight_put_quants(quants + (size_t)b * (size_t)format->block_bytes, nibbles, r,
                              piece.q);
            weight_put_scales(scales + (size_t)b * scale_stride, format, r, &piece);
        }
    }
}
