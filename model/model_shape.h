/* From metadata to struct model_shape: one half of model_open; used by model.c only. */
#ifndef TANDEM_MODEL_MODEL_SHAPE_H
#define TANDEM_MODEL_MODEL_SHAPE_H

#include "base/err.h"
#include "model/arch.h"
#include "model/gguf.h"
#include "model/model.h"

/* Everything that follows from keys alone; n_vocab, tied_head and rope_factors come from tensors
 * and are left 0. -EINVAL names the key that is missing, out of range or not supported. */
int model_shape_read(struct model_shape *ret_shape, const struct architecture *arch,
                     const struct gguf *file, struct err *err);

#endif
