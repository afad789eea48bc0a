/* Buckets are counted apart and added up when written: an observation costs one search. */
#include "server/histogram.h"

#include <assert.h>

void histogram_init(struct histogram *histogram, const double *bounds, int n_bounds)
{
    assert(n_bounds > 0 && n_bounds <= HISTOGRAM_BOUNDS_MAX);
    *histogram = (struct histogram){.bounds = bounds, .n_bounds = n_bounds};
}

void histogram_observe(struct histogram *histogram, double value)
{
    int low = 0, high = histogram->n_bounds; /* the answer is in [low, high] */

    while (low < high) {
        int middle = (low + high) / 2;

        if (value <= histogram->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    histogram->counts[low]++;
    histogram->sum += value;
}

int histogram_series(double *bounds, double max)
{
    static const double steps[] = {1, 2, 5};
    double decade = 1;
    int n = 0;

    for (; n < HISTOGRAM_BOUNDS_MAX; n++) {
        if (n > 0 && n % 3 == 0)
            decade *= 10;
        bounds[n] = steps[n % 3] * decade;
        if (bounds[n] >= max)
            return n + 1;
    }
    return n;
}

void histogram_write(const struct histogram *histogram, const char *name, const char *labels,
                     struct buf *out)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t total = 0;

    for (int i = 0; i < histogram->n_bounds; i++) {
        total += histogram->counts[i];
        buf_printf(out, "%s_bucket{%s%sle=\"%.10g\"} %llu\n", name, labels, comma,
                   histogram->bounds[i], (unsigned long long)total);
    }
    total += histogram->counts[histogram->n_bounds];
    buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, comma,
               (unsigned long long)total);
    buf_printf(out, "%s_sum{%s} %.9g\n%s_count{%s} %llu\n", name, labels, histogram->sum, name,
               labels, (unsigned long long)total);
}
