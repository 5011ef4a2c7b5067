/* SPDX-License-Identifier: Apache-2.0
 * Principal components of rows, fitted on some and applied to any.
 * Legend: n rows, d columns, dim components. */
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

void whet_i_components_free(whet_ctx *ctx, whet_i_components *c) {
    whet_i_free(ctx, c->axes);
    whet_i_free(ctx, c->at_mean);
    whet_i_free(ctx, c->deviation);
    *c = (whet_i_components){0};
}

/* One of x and exact is NULL. */
static whet_status fit(whet_ctx *ctx, const float *x, const double *exact, int64_t n, int64_t d,
                       int64_t dim, whet_i_components *out) {
    whet_status status = WHET_OK;
    whet_i_components c = {.d = d, .dim = dim};
    double *mean = NULL, *by_row = NULL;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, dim, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, d, &mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &by_row));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &c.axes));
    WHET_TRY_DONE(whet_i_alloc(ctx, dim, &c.at_mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, dim, &c.deviation));
    WHET_TRY_DONE(exact ? whet_i_pca_f64(ctx, exact, n, d, dim, mean, by_row, c.deviation)
                        : whet_i_pca(ctx, x, n, d, dim, mean, by_row, c.deviation));
    for (int64_t i = 0; i < dim; i++) {
        c.deviation[i] = sqrt(fmax(c.deviation[i], 0));
        c.at_mean[i] = whet_i_dot(mean, by_row + i * d, d);
        for (int64_t j = 0; j < d; j++) c.axes[j * dim + i] = by_row[i * d + j];
    }
    *out = c;
    c = (whet_i_components){0};
done:
    whet_i_components_free(ctx, &c);
    whet_i_free(ctx, mean);
    whet_i_free(ctx, by_row);
    return status;
}

whet_status whet_i_components_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d, int64_t dim,
                                  whet_i_components *out) {
    return fit(ctx, x, NULL, n, d, dim, out);
}

whet_status whet_i_components_fit_f64(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                      int64_t dim, whet_i_components *out) {
    return fit(ctx, NULL, x, n, d, dim, out);
}

/* One of x and exact is NULL. */
static whet_status apply(whet_ctx *ctx, const whet_i_components *c, const float *x,
                         const double *exact, int64_t n, float *out) {
    double *scores;
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, c->dim, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &scores));
    const whet_status status = exact
                                   ? whet_i_scores_f64(ctx, exact, n, c->d, c->axes, c->dim, scores)
                                   : whet_i_scores(ctx, x, n, c->d, c->axes, c->dim, scores);
    for (int64_t i = 0; status == WHET_OK && i < cells; i++)
        out[i] = (float)(scores[i] - c->at_mean[i % c->dim]);
    whet_i_free(ctx, scores);
    return status;
}

whet_status whet_i_components_apply(whet_ctx *ctx, const whet_i_components *c, const float *x,
                                    int64_t n, float *out) {
    return apply(ctx, c, x, NULL, n, out);
}

whet_status whet_i_components_apply_f64(whet_ctx *ctx, const whet_i_components *c, const double *x,
                                        int64_t n, float *out) {
    return apply(ctx, c, NULL, x, n, out);
}
