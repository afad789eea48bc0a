/* Su et al., "RoFormer" (2021): pair i of position m turns by m * base^(-2i / rope_dims). */
#include "worker/cpu/rope.h"

#include <math.h>

void rope_fill(float *cosine, float *sine, const struct model_shape *shape, int first, int count)
{
    const int head_dim = shape->head_dim;

    for (int d = 0; d < head_dim; d += 2) {
        const int rotated = d < shape->rope_dims;
        double frequency = pow((double)shape->rope_base, -(double)d / (double)shape->rope_dims);
        if (shape->rope_factors != NULL && rotated)
            frequency /= (double)shape->rope_factors[d / 2];
        for (int position = first; position < first + count; position++) {
            const size_t at = (size_t)position * (size_t)head_dim + (size_t)d;
            const double angle =
                rotated ? (double)position * (double)shape->rope_scale * frequency : 0.0;
            cosine[at] = cosine[at + 1] = (float)cos(angle);
            sine[at] = -(float)sin(angle);
            sine[at + 1] = (float)sin(angle);
        }
    }
}
