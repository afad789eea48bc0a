/*
 * Exponentials over a row of logits, in a fixed order of summation.
 *
 * The arithmetic is written out in four lanes, so that every compiler and instruction set gives the
 * same bits: a draw must not depend on the machine's vector width. NaN and -infinity weigh nothing.
 * Any thread.
 */
#ifndef TANDEM_WORKER_SOFTMAX_H
#define TANDEM_WORKER_SOFTMAX_H

#include <stdbool.h>

#define SOFTMAX_BLOCK 256 /* weights per partial sum */

/* The largest number of the row, -infinity when there is none. */
float softmax_max(const float *row, int n);

/* exp(x) for x <= 0 with a relative error under 1e-6; 0 below -86 and for NaN. */
float softmax_exp(float x);

/* weights[i] = exp((row[i] - max) * scale), max being the row's; sums[b] adds block b up. Returns
 * the sum of all. sums: (n + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK doubles. */
double softmax_weights(const float *row, int n, float max, float scale, float *weights,
                       double *sums);

/* Whether one of 16 numbers is at least `threshold`. */
bool softmax_any_reaches(const float *row16, float threshold);

#endif
