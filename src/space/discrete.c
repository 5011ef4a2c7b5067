/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs when all points are 1 apart: F(y) = S - p_y, S for a class that is not observed, so
 * that the best candidate is the argmax. The sum is taken over the other classes, from both ends:
 * S - p_y would lose all digits when p_y is nearly everything.
 * Legend: S mass of the row, L lanes. */
#include "space/lanes_i.h"

enum { L = LANE_GROUP };

typedef struct discrete_plan {
    int64_t *column; /* [n_candidates] the column of a candidate, or -1 */
    int64_t *cost;   /* [k] back: the row of costs of a column, or -1 */
} discrete_plan;

static void costs(const whet_frechet *f, frechet_block *b) {
    const discrete_plan *d = f->state;
    double sum[L] = {0};
    for (int64_t c = 0; c < f->n_costs; c++)
        memcpy(b->costs + c * L, d->column[c] < 0 ? b->mass : sum, sizeof sum);
    for (int64_t j = 0; j < f->k; j++) {
        if (d->cost[j] >= 0) memcpy(b->costs + d->cost[j] * L, sum, sizeof sum);
        for (int i = 0; i < L; i++) sum[i] += b->weights[j * L + i];
    }
    memset(sum, 0, sizeof sum);
    for (int64_t j = f->k - 1; j >= 0; j--) {
        double *cost = d->cost[j] >= 0 ? b->costs + d->cost[j] * L : NULL;
        for (int i = 0; cost && i < L; i++) cost[i] += sum[i];
        for (int i = 0; i < L; i++) sum[i] += b->weights[j * L + i];
    }
    for (int i = 0; i < L; i++) b->noise[i] = 0;
    for (int64_t g = 0; g < f->lanes; g += LANE_GROUP)
        f->lane->least(f->n_costs, b->costs + g, f->lanes, b->least + g);
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    discrete_plan *d = state;
    if (!d) return;
    whet_i_free(ctx, d->column);
    whet_i_free(ctx, d->cost);
    whet_i_free(ctx, d);
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    discrete_plan *d = NULL;
    int64_t *column_of = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &d));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &d->column));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->k, &d->cost));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->space->n, &column_of));
    for (int64_t v = 0; v < f->space->n; v++) column_of[v] = -1;
    for (int64_t j = 0; j < f->k; j++) {
        column_of[f->observed[j]] = j;
        d->cost[j] = -1;
    }
    for (int64_t c = 0; c < f->n_candidates; c++) {
        d->column[c] = column_of[f->candidates[c]];
        if (d->column[c] >= 0) d->cost[d->column[c]] = c;
    }
    f->state = d;
    f->lanes = L;
    f->n_weights = f->k;
    f->n_costs = f->n_candidates;
    f->cost_point = f->candidates;
    d = NULL;
done:
    whet_i_free(ctx, column_of);
    plan_destroy(ctx, d);
    return status;
}

static bool serves(const whet_frechet *f) { return f->space->kind == SPACE_DISCRETE; }

static const char *why(const whet_frechet *f) {
    (void)f;
    return "all points are 1 apart: the mean is the argmax";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double k = (double)f->k, candidates = (double)f->n_candidates;
    (void)ctx;
    *out = whet_i_block_sizes(f, 8 * (k + candidates), L, k, candidates, 0);
    out->making += 8 * (double)f->space->n;
    return WHET_OK;
}

const frechet_method whet_i_method_argmax = {.name = "argmax",
                                             .title = "argmax",
                                             .cost = "O(K + N)",
                                             .needs =
                                                 "a space whose points are all 1 apart (discrete)",
                                             .serves = serves,
                                             .why = why,
                                             .sizes = sizes,
                                             .make = make,
                                             .costs = costs,
                                             .destroy = plan_destroy};
