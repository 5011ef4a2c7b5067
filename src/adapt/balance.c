/* SPDX-License-Identifier: Apache-2.0
 * A hundred labels say more about how frequent classes are than a classifier's mean posterior over
 * the pool does: the posteriors are tilted, class by class, until that mean is the prior that the
 * labels suggest. Legend: n rows, k classes. */
#include <math.h>

#include "adapt/adapt_i.h"

static double evidence(const int64_t *counts, int64_t n, int64_t k, double a) {
    double sum = lgamma(a * (double)k) - lgamma(a * (double)k + (double)n);
    for (int64_t c = 0; c < k; c++)
        if (counts[c] > 0) sum += lgamma((double)counts[c] + a) - lgamma(a);
    return sum;
}

void whet_i_class_prior(const int32_t *y, int64_t n, int64_t k, int64_t *counts, double *prior) {
    memset(counts, 0, sizeof *counts * (size_t)k);
    for (int64_t i = 0; i < n; i++) counts[y[i]]++;
    double best = -INFINITY, chosen = 1;
    for (int step = -4; step <= 16; step++) { /* 10^-1, 10^-.75, ..., 10^4 */
        const double a = pow(10, step / 4.0), value = evidence(counts, n, k, a);
        if (value > best) {
            best = value;
            chosen = a;
        }
    }
    for (int64_t c = 0; c < k; c++)
        prior[c] = ((double)counts[c] + chosen) / ((double)n + chosen * (double)k);
}

enum { LANES = 16 };

/* Lanes make the sum independent of the compiler's vector length. */
static float dot(const float *a, const float *b, int64_t k) {
    float lane[LANES] = {0}, sum = 0;
    int64_t c = 0;
    for (; c + LANES <= k; c += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += a[c + l] * b[c + l];
    for (; c < k; c++) sum += a[c] * b[c];
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

void whet_i_balance(const float *probs, int64_t n, int64_t k, const double *prior, double *offset,
                    float *scratch) {
    enum { STEPS = 30 };
    float *u = scratch, *mass = scratch + k;
    for (int64_t c = 0; c < k; c++) u[c] = 1;
    for (int step = 0; step < STEPS; step++) {
        double worst = 0;
        for (int64_t c = 0; c < k; c++) mass[c] = 0;
        for (int64_t i = 0; i < n; i++) {
            const float *row = probs + i * k;
            const float inverse = 1 / fmaxf(dot(row, u, k), 1e-30F);
            for (int64_t c = 0; c < k; c++) mass[c] += row[c] * inverse;
        }
        for (int64_t c = 0; c < k; c++) {
            const double mean = (double)u[c] * (double)mass[c] / (double)n;
            const double ratio = prior[c] / fmax(mean, 1e-12);
            u[c] = (float)fmin(fmax((double)u[c] * ratio, 1e-12), 1e12);
            worst = fmax(worst, fabs(log(ratio)));
        }
        if (worst < 1e-3) break;
    }
    for (int64_t c = 0; c < k; c++) offset[c] = log((double)u[c]);
}
