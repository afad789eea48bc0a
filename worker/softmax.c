/*
 * exp by Cody and Waite's reduction: x = n ln 2 + r with |r| <= ln 2 / 2, a polynomial in r (the
 * Taylor series to degree 7, whose remainder is under 1e-8 there), and n added to the exponent
 * bits.
 */
#include "worker/softmax.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define LANES 4
typedef float lanes_f32 __attribute__((vector_size(16)));
typedef int32_t lanes_i32 __attribute__((vector_size(16)));

static inline lanes_f32 load_lanes(const float *from)
{
    lanes_f32 value;

    memcpy(&value, from, sizeof value);
    return value;
}

static inline lanes_f32 all_lanes(float value)
{
    return (lanes_f32){value, value, value, value};
}

/* Lanes of a where the mask is set, else of b. */
static inline lanes_f32 pick_lanes(lanes_i32 mask, lanes_f32 a, lanes_f32 b)
{
    return (lanes_f32)((mask & (lanes_i32)a) | (~mask & (lanes_i32)b));
}

static inline lanes_f32 exp_lanes(lanes_f32 x)
{
    /* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low mantissa bits. */
    const lanes_f32 magic = all_lanes(12582912.0f);
    const lanes_i32 counts = x >= all_lanes(-86.0f); /* false for NaN */
    const lanes_f32 safe = pick_lanes(counts, x, all_lanes(0.0f));
    const lanes_f32 shifted = safe * all_lanes(1.44269504f) + magic;
    const lanes_f32 n = shifted - magic;
    const lanes_f32 r = (safe - n * all_lanes(0.693359375f)) - n * all_lanes(-2.12194440e-4f);
    lanes_f32 p = all_lanes(1.0f / 5040);

    p = p * r + all_lanes(1.0f / 720);
    p = p * r + all_lanes(1.0f / 120);
    p = p * r + all_lanes(1.0f / 24);
    p = p * r + all_lanes(1.0f / 6);
    p = p * r + all_lanes(0.5f);
    p = p * r + all_lanes(1.0f);
    p = p * r + all_lanes(1.0f);
    return (lanes_f32)(((lanes_i32)p + ((lanes_i32)shifted << 23)) & counts);
}

float softmax_max(const float *row, int n)
{
    lanes_f32 best[4] = {all_lanes(-INFINITY), all_lanes(-INFINITY), all_lanes(-INFINITY),
                         all_lanes(-INFINITY)};
    float max = -INFINITY;
    int i = 0;

    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            const lanes_f32 x = load_lanes(row + i + j * LANES);

            best[j] = pick_lanes(x > best[j], x, best[j]);
        }
    for (int j = 0; j < 4 * LANES; j++)
        if (best[j / LANES][j % LANES] > max)
            max = best[j / LANES][j % LANES];
    for (; i < n; i++)
        if (row[i] > max)
            max = row[i];
    return max;
}

float softmax_exp(float x)
{
    return exp_lanes(all_lanes(x))[0];
}

/* One block; lanes are added up across the block, then lane by lane. */
static double weigh_block(const float *row, int n, float max, float scale, float *weights)
{
    lanes_f32 sum = all_lanes(0.0f);
    int i = 0;

    for (; i + LANES <= n; i += LANES) {
        const lanes_f32 w = exp_lanes((load_lanes(row + i) - all_lanes(max)) * all_lanes(scale));

        memcpy(weights + i, &w, sizeof w);
        sum += w;
    }
    double total = ((double)sum[0] + (double)sum[1]) + ((double)sum[2] + (double)sum[3]);

    for (; i < n; i++) {
        weights[i] = softmax_exp((row[i] - max) * scale);
        total += (double)weights[i];
    }
    return total;
}

double softmax_weights(const float *row, int n, float max, float scale, float *weights,
                       double *sums)
{
    double total = 0;

    for (int start = 0; start < n; start += SOFTMAX_BLOCK) {
        const int count = n - start < SOFTMAX_BLOCK ? n - start : SOFTMAX_BLOCK;
        const double sum = weigh_block(row + start, count, max, scale, weights + start);

        sums[start / SOFTMAX_BLOCK] = sum;
        total += sum;
    }
    return total;
}

bool softmax_any_reaches(const float *row16, float threshold)
{
    const lanes_f32 t = all_lanes(threshold);
    const lanes_i32 any = (load_lanes(row16) >= t) | (load_lanes(row16 + 4) >= t) |
                          (load_lanes(row16 + 8) >= t) | (load_lanes(row16 + 12) >= t);

    return (any[0] | any[1] | any[2] | any[3]) != 0;
}
