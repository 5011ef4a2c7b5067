/* SPDX-License-Identifier: Apache-2.0
 * Means with Student's intervals. */
#include <math.h>

#include "bench/bench_i.h"

/* Student's t, two-sided 95 %, by degrees of freedom. */
static double student(int64_t freedom) {
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                               2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                               2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    if (freedom <= WHET_COUNT_OF(t)) return t[freedom - 1];
    /* Cornish and Fisher's first terms: to .001 from 30 on. */
    const double z = 1.959964;
    return z + (z * z * z + z) / (4 * (double)freedom);
}

void whet_i_sums_add(whet_i_sums *s, double x) {
    if (!isfinite(x)) return;
    s->n++;
    s->sum += x;
    s->squares += x * x;
}

whet_i_mean whet_i_mean_of(const whet_i_sums *s) {
    whet_i_mean m = {.n = s->n, .mean = NAN, .low = NAN, .high = NAN};
    if (s->n == 0) return m;
    m.mean = s->sum / (double)s->n;
    if (s->n == 1) return m;
    const double spread = fmax(0, s->squares - s->sum * m.mean) / (double)(s->n - 1);
    const double half = student(s->n - 1) * sqrt(spread / (double)s->n);
    m.low = m.mean - half;
    m.high = m.mean + half;
    return m;
}
