/* SPDX-License-Identifier: Apache-2.0
 * Convex combinations of candidates, their weights fitted to cross-fitted predictions.
 * Source: stacking (Wolpert 1992) with mixture weights by EM (Dempster, Laird & Rubin 1977).
 * Legend: m candidates, cases held-out predictions of b labels, k classes. */
#include "adapt/ensemble.h"

whet_status whet_i_parts_predict(whet_ctx *ctx, const whet_i_part *parts, int64_t n, int64_t k,
                                 const whet_i_query *rows, double *probs) {
    int64_t cells;
    double *own = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_mul(ctx, rows->n, k, &cells));
    if (n == 1) return parts[0].candidate->predict(ctx, parts[0].model, rows, probs);
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &own));
    memset(probs, 0, sizeof *probs * (size_t)cells);
    for (int64_t p = 0; p < n; p++) {
        WHET_TRY_DONE(parts[p].candidate->predict(ctx, parts[p].model, rows, own));
        for (int64_t i = 0; i < cells; i++) probs[i] += parts[p].weight * own[i];
    }
done:
    whet_i_free(ctx, own);
    return status;
}

bool whet_i_parts_need_neighbours(const whet_i_part *parts, int64_t n) {
    for (int64_t p = 0; p < n; p++)
        if (parts[p].candidate->needs_neighbours) return true;
    return false;
}

void whet_i_blend_weights(const double *own, int64_t m, int64_t cases, const bool *use, int64_t b,
                          double *weights) {
    enum { STEPS = 60 };
    double share[WHET_I_MOST_PARTS];
    for (int64_t p = 0; p < m; p++) weights[p] = 1 / (double)m;
    for (int step = 0; step < STEPS; step++) {
        int64_t counted = 0;
        for (int64_t p = 0; p < m; p++) share[p] = 0;
        for (int64_t i = 0; i < cases; i++) {
            if (use && !use[i]) continue;
            double sum = 0;
            for (int64_t p = 0; p < m; p++) sum += weights[p] * own[p * cases + i];
            for (int64_t p = 0; p < m; p++) share[p] += weights[p] * own[p * cases + i] / sum;
            counted++;
        }
        double total = 0;
        for (int64_t p = 0; p < m; p++) {
            weights[p] = (counted ? (double)b * share[p] / (double)counted : 0) + 2 / (double)m;
            total += weights[p];
        }
        for (int64_t p = 0; p < m; p++) weights[p] /= total;
    }
}

void whet_i_blend_trim(double *weights, int64_t m) {
    double total = 0;
    for (int64_t p = 0; p < m; p++) {
        if (weights[p] < .02) weights[p] = 0;
        total += weights[p];
    }
    for (int64_t p = 0; p < m; p++) weights[p] /= total;
}

whet_status whet_i_blend_crossfit(whet_ctx *ctx, const whet_i_trial *trial,
                                  const double *const *singles, const double *own, int64_t m,
                                  double *probs) {
    const int64_t b = trial->b, k = trial->pool->k;
    bool *use;
    WHET_TRY(whet_i_alloc(ctx, trial->cases, &use));
    for (int64_t at = 0; at < trial->splits.n; at++) {
        const whet_i_split *s = &trial->splits.split[at];
        double weights[WHET_I_MOST_PARTS];
        for (int64_t i = 0; i < trial->cases; i++) use[i] = true;
        for (int64_t r = 0; r < trial->splits.repeats; r++)
            for (int64_t i = 0; i < s->n_held; i++) use[r * b + s->held[i]] = false;
        whet_i_blend_weights(own, m, trial->cases, use, b, weights);
        for (int64_t i = 0; i < s->n_held; i++) {
            const int64_t row = (s->repeat * b + s->held[i]) * k;
            for (int64_t c = 0; c < k; c++) {
                double sum = 0;
                for (int64_t p = 0; p < m; p++) sum += weights[p] * singles[p][row + c];
                probs[row + c] = sum;
            }
        }
    }
    whet_i_free(ctx, use);
    return WHET_OK;
}
