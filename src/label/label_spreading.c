/* SPDX-License-Identifier: Apache-2.0
 * Local and global consistency: F = (I - alpha S)^-1 Y with S = D^-1/2 W D^-1/2, exactly (the
 * published iteration F <- alpha S F + (1 - alpha) Y converges to it up to a factor).
 * Source: Zhou, Bousquet, Lal, Weston & Schoelkopf 2004. Legend: n rows, k classes. */
#include <math.h>

#include "label/label_i.h"

static whet_status solve(whet_ctx *ctx, const whet_i_graph *g, double alpha, int64_t m, double *f) {
    whet_status status = WHET_OK;
    double *ones = NULL, *weight = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, g->n, &ones));
    WHET_TRY_DONE(whet_i_alloc(ctx, g->start[g->n], &weight));
    for (int64_t i = 0; i < g->n; i++) {
        ones[i] = 1;
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++)
            weight[e] = g->weight[e] / sqrt(g->degree[i] * g->degree[g->to[e]]);
    }
    const whet_i_system system = {g, ones, weight, alpha, NULL};
    WHET_TRY_DONE(whet_i_conjugate_gradients(ctx, &system, m, WHET_I_CG_TOLERANCE, f));
done:
    whet_i_free(ctx, ones);
    whet_i_free(ctx, weight);
    return status;
}

whet_status whet_i_green_spreading(whet_ctx *ctx, const whet_i_graph *graph, double alpha,
                                   const int64_t *rows, int64_t b, double *green) {
    memset(green, 0, sizeof *green * (size_t)(graph->n * b));
    for (int64_t l = 0; l < b; l++) green[rows[l] * b + l] = 1;
    return solve(ctx, graph, alpha, b, green);
}

whet_status whet_i_spread(whet_ctx *ctx, const whet_i_graph *graph, double alpha, const int32_t *y,
                          int64_t k, double *f) {
    for (int64_t i = 0; i < graph->n; i++)
        for (int64_t c = 0; c < k; c++) f[i * k + c] = c == y[i] ? 1 : 0;
    return solve(ctx, graph, alpha, k, f);
}

void whet_i_spread_posterior(double *row, int64_t seen) {
    double sum = 0;
    /* 1e-9: rows that no label reaches become uniform instead of 0 / 0. */
    for (int64_t c = 0; c < seen; c++) sum += row[c] = fmax(row[c], 0) + 1e-9;
    for (int64_t c = 0; c < seen; c++) row[c] = .98 * row[c] / sum + .02 / (double)seen;
}
