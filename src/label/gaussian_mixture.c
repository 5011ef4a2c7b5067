/* SPDX-License-Identifier: Apache-2.0
 * Mixtures of Gaussians with diagonal covariance, by expectation-maximisation; see mixtures.h.
 * log N(x | c) = sum_j -(x_j - m)^2 / (2 v) - log(2 pi v) / 2 is a form in x and x^2.
 * Legend: n rows, d columns, k components, r posteriors. */
#include <float.h>
#include <math.h>

#include "label/mixtures.h"

#define PI 3.14159265358979323846

enum { STEPS = 100 };
static const double LEAST_GAIN = 1e-4;

void whet_i_gaussians_free(whet_ctx *ctx, whet_i_gaussians *g) {
    whet_i_free(ctx, g->weight);
    whet_i_free(ctx, g->mean);
    whet_i_free(ctx, g->variance);
    *g = (whet_i_gaussians){0};
}

static whet_status make(whet_ctx *ctx, int64_t k, int64_t d, whet_i_gaussians *g) {
    int64_t cells;
    g->k = k;
    g->d = d;
    WHET_TRY(whet_i_mul(ctx, k, d, &cells));
    WHET_TRY(whet_i_alloc(ctx, k, &g->weight));
    WHET_TRY(whet_i_alloc(ctx, cells, &g->mean));
    return whet_i_alloc(ctx, cells, &g->variance);
}

whet_status whet_i_gaussians_posterior(whet_ctx *ctx, const whet_i_gaussians *g, const double *x,
                                       int64_t n, double *r, double *log_likelihood) {
    whet_status status = WHET_OK;
    double *linear = NULL, *square = NULL, *constant = NULL, total;
    WHET_TRY_DONE(whet_i_alloc(ctx, g->k * g->d, &linear));
    WHET_TRY_DONE(whet_i_alloc(ctx, g->k * g->d, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, g->k, &constant));
    for (int64_t c = 0; c < g->k; c++) {
        constant[c] = log(g->weight[c]);
        for (int64_t j = c * g->d; j < (c + 1) * g->d; j++) {
            linear[j] = g->mean[j] / g->variance[j];
            square[j] = -.5 / g->variance[j];
            constant[c] -=
                .5 * (g->mean[j] * g->mean[j] / g->variance[j] + log(2 * PI * g->variance[j]));
        }
    }
    const whet_i_mixture_form form = {.x = x,
                                      .n = n,
                                      .d = g->d,
                                      .k = g->k,
                                      .linear = linear,
                                      .square = square,
                                      .constant = constant};
    WHET_TRY_DONE(whet_i_mixture_scores(ctx, &form, r, &total));
    *log_likelihood = n > 0 ? total / (double)n : 0;
done:
    whet_i_free(ctx, linear);
    whet_i_free(ctx, square);
    whet_i_free(ctx, constant);
    return status;
}

whet_status whet_i_gaussians_maximise(whet_ctx *ctx, const double *x, int64_t n, const double *r,
                                      whet_i_gaussians *g) {
    WHET_TRY(whet_i_mixture_moments(ctx, x, n, g->d, g->k, r, g->weight, g->mean, g->variance));
    double total = 0;
    for (int64_t c = 0; c < g->k; c++) {
        g->weight[c] +=
            10 * DBL_EPSILON; /* a component without rows stays finite, as in scikit-learn */
        total += g->weight[c];
        for (int64_t j = c * g->d; j < (c + 1) * g->d; j++) {
            g->mean[j] /= g->weight[c];
            const double own = g->variance[j] / g->weight[c] - g->mean[j] * g->mean[j];
            g->variance[j] = fmax(own, 0) + WHET_I_LEAST_VARIANCE;
        }
    }
    for (int64_t c = 0; c < g->k; c++) g->weight[c] /= total;
    return WHET_OK;
}

whet_status whet_i_gaussians_fit(whet_ctx *ctx, const double *x, int64_t n, int64_t d, int64_t k,
                                 uint64_t seed, whet_i_gaussians *out, double *r) {
    whet_status status = WHET_OK;
    whet_i_gaussians g = {0};
    double *centers = NULL, last = -(double)INFINITY, now;
    int32_t *group = NULL;
    WHET_TRY_DONE(make(ctx, k, d, &g));
    WHET_TRY_DONE(whet_i_alloc(ctx, k * d, &centers));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &group));
    WHET_TRY_DONE(whet_i_kmeans(ctx, x, n, d, k, seed, centers, group, &now));
    memset(r, 0, (size_t)(n * k) * sizeof *r);
    for (int64_t i = 0; i < n; i++) r[i * k + group[i]] = 1;
    for (int32_t step = 0; step < STEPS; step++) {
        WHET_TRY_DONE(whet_i_gaussians_maximise(ctx, x, n, r, &g));
        WHET_TRY_DONE(whet_i_gaussians_posterior(ctx, &g, x, n, r, &now));
        if (fabs(now - last) < LEAST_GAIN) break;
        last = now;
    }
    *out = g;
    g = (whet_i_gaussians){0};
done:
    whet_i_gaussians_free(ctx, &g);
    whet_i_free(ctx, centers);
    whet_i_free(ctx, group);
    return status;
}
