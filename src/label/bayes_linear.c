/* SPDX-License-Identifier: Apache-2.0
 * Bayesian linear regression with known variances, one observation at a time: y = w z + noise,
 * w ~ N(0, prior I). The posterior's covariance takes a rank-one update (Sherman & Morrison 1950).
 * Legend: d coordinates. */
#include <math.h>

#include "label/bayes_linear.h"

void whet_i_bayes_start(whet_i_bayes *b, double prior) {
    for (int64_t i = 0; i < b->d; i++) {
        b->sum[i] = b->mean[i] = 0;
        for (int64_t j = 0; j < b->d; j++) b->cov[i * b->d + j] = i == j ? prior : 0;
    }
}

/* cov z into room; z cov z. */
static double along(const whet_i_bayes *b, const double *z) {
    double square = 0;
    for (int64_t i = 0; i < b->d; i++) {
        b->room[i] = 0;
        for (int64_t j = 0; j < b->d; j++) b->room[i] += b->cov[i * b->d + j] * z[j];
        square += b->room[i] * z[i];
    }
    return square;
}

void whet_i_bayes_observe(whet_i_bayes *b, const double *z, double y) {
    const double all = along(b, z) + b->noise;
    for (int64_t i = 0; i < b->d; i++) {
        b->sum[i] += z[i] * y / b->noise;
        for (int64_t j = 0; j < b->d; j++) b->cov[i * b->d + j] -= b->room[i] * b->room[j] / all;
    }
    for (int64_t i = 0; i < b->d; i++) {
        b->mean[i] = 0;
        for (int64_t j = 0; j < b->d; j++) b->mean[i] += b->cov[i * b->d + j] * b->sum[j];
    }
}

void whet_i_bayes_predict(const whet_i_bayes *b, const double *z, double *mean, double *deviation) {
    *mean = 0;
    for (int64_t i = 0; i < b->d; i++) *mean += b->mean[i] * z[i];
    *deviation = sqrt(fmax(0, along(b, z)));
}
