/* A Prometheus histogram with fixed bounds. Owner: server thread. */
#ifndef TANDEM_SERVER_HISTOGRAM_H
#define TANDEM_SERVER_HISTOGRAM_H

#include "base/buf.h"

#include <stdint.h>

#define HISTOGRAM_BOUNDS_MAX 32

struct histogram {
    const double *bounds; /* ascending upper bounds, inclusive; +Inf is added */
    int n_bounds;
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* per bucket, not cumulative */
    double sum;
};

/* bounds: static; at most HISTOGRAM_BOUNDS_MAX. */
void histogram_init(struct histogram *histogram, const double *bounds, int n_bounds);
void histogram_observe(struct histogram *histogram, double value);

/* The 1-2-5 series from 1 up to the first number that covers `max`; returns how many were written
 * to bounds[HISTOGRAM_BOUNDS_MAX]. */
int histogram_series(double *bounds, double max);

/* The sample lines `name_bucket`, `name_sum`, `name_count`. labels: without braces, may be "". */
void histogram_write(const struct histogram *histogram, const char *name, const char *labels,
                     struct buf *out);

#endif
