/* SPDX-License-Identifier: Apache-2.0
 * Means with Student's intervals. */
#include <math.h>

#include "bench/bench_i.h"

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
    const double half = whet_i_student(s->n - 1) * sqrt(spread / (double)s->n);
    m.low = m.mean - half;
    m.high = m.mean + half;
    return m;
}
