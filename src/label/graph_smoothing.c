/* SPDX-License-Identifier: Apache-2.0
 * A prior at every node, labels clamped, smoothed over the graph: the stationary point of
 *     sum_{i<j} w_ij |F_i - F_j|^2 + mu dbar sum_i |F_i - P_i|^2,   F = Y on labels,
 * solves (D - W + mu dbar I) F = mu dbar P on the other rows with the labels on the right side.
 * Sources: Zhu, Ghahramani & Lafferty 2003; Delalleau, Bengio & Le Roux 2005.
 * Legend: n rows, k classes, dbar mean degree. */
#include "label/label_i.h"

double whet_i_mean_degree(const whet_i_graph *graph) {
    return graph->mean_degree > 0 ? graph->mean_degree : 1;
}

static whet_status diagonal_of(whet_ctx *ctx, const whet_i_graph *graph, double mu, double **out) {
    double *diagonal;
    WHET_TRY(whet_i_alloc(ctx, graph->n, &diagonal));
    for (int64_t i = 0; i < graph->n; i++)
        diagonal[i] = graph->degree[i] + mu * whet_i_mean_degree(graph);
    *out = diagonal;
    return WHET_OK;
}

whet_status whet_i_green_smoothing(whet_ctx *ctx, const whet_i_graph *graph, double mu,
                                   const int64_t *rows, int64_t b, double *green) {
    double *diagonal;
    WHET_TRY(diagonal_of(ctx, graph, mu, &diagonal));
    memset(green, 0, sizeof *green * (size_t)(graph->n * b));
    for (int64_t l = 0; l < b; l++) green[rows[l] * b + l] = 1;
    const whet_i_system system = {graph, diagonal, NULL, 1, NULL};
    const whet_status status =
        whet_i_conjugate_gradients(ctx, &system, b, WHET_I_CG_TOLERANCE, green);
    whet_i_free(ctx, diagonal);
    return status;
}

/* Right side: mu dbar P plus what the labelled neighbours give; labelled rows become one-hot. */
static void clamp(const whet_i_graph *g, double mu, const int32_t *y, int64_t k, bool *fixed,
                  double *f) {
    const double pull = mu * whet_i_mean_degree(g);
    for (int64_t i = 0; i < g->n; i++) {
        double *row = f + i * k;
        fixed[i] = y[i] >= 0;
        for (int64_t c = 0; c < k; c++) row[c] = fixed[i] ? (c == y[i] ? 1 : 0) : pull * row[c];
        if (fixed[i]) continue;
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++)
            if (y[g->to[e]] >= 0) row[y[g->to[e]]] += g->weight[e];
    }
}

whet_status whet_i_smooth(whet_ctx *ctx, const whet_i_graph *graph, double mu, const int32_t *y,
                          int64_t k, double *f) {
    whet_status status = WHET_OK;
    double *diagonal = NULL;
    bool *fixed = NULL;
    WHET_TRY_DONE(diagonal_of(ctx, graph, mu, &diagonal));
    WHET_TRY_DONE(whet_i_alloc(ctx, graph->n, &fixed));
    clamp(graph, mu, y, k, fixed, f);
    const whet_i_system system = {graph, diagonal, NULL, 1, fixed};
    WHET_TRY_DONE(whet_i_conjugate_gradients(ctx, &system, k, WHET_I_CG_TOLERANCE, f));
done:
    whet_i_free(ctx, diagonal);
    whet_i_free(ctx, fixed);
    return status;
}
