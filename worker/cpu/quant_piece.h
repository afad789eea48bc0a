/* Thirty-two elements of a quantised GGUF row, taken apart without rounding. Pure; any thread. */
#ifndef TANDEM_WORKER_CPU_QUANT_PIECE_H
#define TANDEM_WORKER_CPU_QUANT_PIECE_H

#include "model/gguf.h"

#include <stdint.h>

/* An element is scale * q + minimum, where q had 8 (Q4_0) or 128 (8-bit kinds) added if so. */
struct quant_piece {
    uint8_t q[32];
    uint16_t scale_half, minimum_half; /* as in the file, types with f16 scales */
    float scale[2], minimum;           /* Q4_K, Q5_K, Q6_K: products, exact in f32 */
};

/* piece: index of 32 elements in the row. */
void quant_piece_read(struct quant_piece *out, enum gguf_tensor_type type, const void *row,
                      int piece);

#endif
