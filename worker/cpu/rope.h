/* Rotary position tables, laid out for the kernels: adjacent pairs. */
#ifndef TANDEM_WORKER_CPU_ROPE_H
#define TANDEM_WORKER_CPU_ROPE_H

#include "model/model.h"

#include <stddef.h>

/* cosine, sine: [positions][head_dim], the angle of a pair at both of its dimensions, the sine
 * negative at the first; dimensions beyond rope_dims get 1 and 0. Angles are computed in double. */
void rope_fill(float *cosine, float *sine, const struct model_shape *shape, int first, int count);

#endif
