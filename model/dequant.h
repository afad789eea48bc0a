/*
 * Quantised tensor rows to float: the plain reference that everything else is checked against.
 * Bit-equal to the Python package gguf (gguf.quants.dequantize). Pure; any thread.
 */
#ifndef TANDEM_MODEL_DEQUANT_H
#define TANDEM_MODEL_DEQUANT_H

#include "model/gguf.h"

#include <stddef.h>
#include <stdint.h>

/* Elements in one block of the type (1 for F32/F16/BF16, 32 or 256) and bytes of a block. */
int quant_block_elements(enum gguf_tensor_type type);
int quant_block_bytes(enum gguf_tensor_type type);

/* count: elements, a multiple of the block. src: unaligned blocks. */
void dequant_row(enum gguf_tensor_type type, const void *src, size_t count, float *dst);

float half_to_float(uint16_t half);
uint16_t float_to_half(float value); /* round to nearest even */
float bf16_to_float(uint16_t bits);

#endif
