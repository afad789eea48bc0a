/*
 * A llama-shaped model with random weights in memory, for tests of the engine: 2 layers of width
 * 256, 4 heads over 2 KV heads of 64 dimensions, 200 tokens. The same arguments give the same
 * model.
 */
#ifndef TANDEM_TESTS_UNIT_TINY_MODEL_H
#define TANDEM_TESTS_UNIT_TINY_MODEL_H

#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

/* Fills count elements of the type with random weights of about the given size. */
void tiny_weights(enum gguf_tensor_type type, void *blocks, size_t count, float size,
                  uint64_t seed);

/* type: of the matrices; head: of the embedding and output head. Freed by tiny_model_free. */
struct model *tiny_model_create(enum gguf_tensor_type type, enum gguf_tensor_type head,
                                enum rope_pairing pairing);
void tiny_model_free(struct model *model);

#endif
