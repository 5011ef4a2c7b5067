/* SPDX-License-Identifier: Apache-2.0
 * Harmonic functions: the labels are kept, every other row is the weighted mean of its neighbours,
 * (D - W) F = 0 there. Parts of the graph without a label leave F open (the system is singular on
 * them): they are found first, and answered with the shares of the classes among the labels.
 * Source: Zhu, Ghahramani & Lafferty 2003. Legend: n rows, k classes. */
#include "label/label_i.h"

/* Marks the rows that a path connects to a label, breadth first. */
static void reach(const whet_i_graph *g, const int32_t *y, bool *reached, int64_t *queue) {
    int64_t first = 0, last = 0;
    for (int64_t i = 0; i < g->n; i++) {
        reached[i] = y[i] >= 0;
        if (reached[i]) queue[last++] = i;
    }
    while (first < last) {
        const int64_t i = queue[first++];
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++) {
            if (reached[g->to[e]]) continue;
            reached[g->to[e]] = true;
            queue[last++] = g->to[e];
        }
    }
}

static void right_side(const whet_i_graph *g, const int32_t *y, int64_t k, const bool *reached,
                       const double *share, double *f) {
    for (int64_t i = 0; i < g->n; i++) {
        double *row = f + i * k;
        for (int64_t c = 0; c < k; c++) row[c] = reached[i] ? (c == y[i] ? 1 : 0) : share[c];
        if (!reached[i] || y[i] >= 0) continue;
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++)
            if (y[g->to[e]] >= 0) row[y[g->to[e]]] += g->weight[e];
    }
}

whet_status whet_i_harmonic(whet_ctx *ctx, const whet_i_graph *graph, const int32_t *y, int64_t k,
                            double *f, int64_t *unreached) {
    whet_status status = WHET_OK;
    bool *fixed = NULL;
    int64_t *queue = NULL, labels = 0;
    double *share = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, graph->n, &fixed));
    WHET_TRY_DONE(whet_i_alloc(ctx, graph->n, &queue));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &share));
    for (int64_t i = 0; i < graph->n; i++) {
        if (y[i] < 0) continue;
        share[y[i]]++;
        labels++;
    }
    for (int64_t c = 0; c < k; c++) share[c] /= (double)(labels ? labels : 1);
    reach(graph, y, fixed, queue);
    right_side(graph, y, k, fixed, share, f);
    *unreached = 0;
    for (int64_t i = 0; i < graph->n; i++) {
        *unreached += fixed[i] ? 0 : 1;
        fixed[i] = !fixed[i] || y[i] >= 0;
    }
    const whet_i_system system = {graph, graph->degree, NULL, 1, fixed};
    WHET_TRY_DONE(whet_i_conjugate_gradients(ctx, &system, k, WHET_I_CG_TOLERANCE, f));
done:
    whet_i_free(ctx, fixed);
    whet_i_free(ctx, queue);
    whet_i_free(ctx, share);
    return status;
}
