/* SPDX-License-Identifier: Apache-2.0
 * Linear programmes by CLP, warm from one row to the next. */
#include <coin/Clp_C_Interface.h>
#include <float.h>
#include <math.h>

#include "space/locus_i.h"

struct game {
    Clp_Simplex *model;
    int k, rows;
    int *columns;
    double *values; /* [k + 1] */
};

whet_status whet_i_game_create(whet_ctx *ctx, int64_t k, double bound, game **out) {
    whet_status status = WHET_OK;
    game *g = NULL;
    double *low = NULL, *high = NULL, *objective = NULL;
    CoinBigIndex *start = NULL;
    const double one = 1;
    if (k > 1000000)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%lld observed classes; expected at most 1000000 for linear programmes",
                           (long long)k);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &g));
    g->k = (int)k;
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 1, &g->columns));
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 1, &g->values));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &low));
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 1, &high));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &objective));
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 2, &start));
    for (int j = 0; j <= g->k; j++) {
        g->columns[j] = j;
        g->values[j] = 1;
        high[j] = j < g->k ? 1 : bound;
        start[j] = j;
    }
    start[g->k + 1] = g->k; /* t is not in the row of the sum */
    low[g->k] = -bound;
    objective[g->k] = 1;
    g->model = Clp_newModel();
    if (!g->model) {
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory for a linear programme");
        goto done;
    }
    Clp_setLogLevel(g->model, 0);
    Clp_setOptimizationDirection(g->model, -1);
    Clp_setPrimalTolerance(g->model, 1e-10);
    Clp_setDualTolerance(g->model, 1e-10);
    int *row;
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &row));
    Clp_loadProblem(g->model, g->k + 1, 1, start, row, g->values, low, high, objective, &one, &one);
    whet_i_free(ctx, row);
    *out = g;
    g = NULL;
done:
    whet_i_free(ctx, start);
    whet_i_free(ctx, objective);
    whet_i_free(ctx, high);
    whet_i_free(ctx, low);
    whet_i_game_destroy(ctx, g);
    return status;
}

void whet_i_game_destroy(whet_ctx *ctx, game *g) {
    if (!g) return;
    if (g->model) Clp_deleteModel(g->model);
    whet_i_free(ctx, g->columns);
    whet_i_free(ctx, g->values);
    whet_i_free(ctx, g);
}

void whet_i_game_add(game *g, const double *a, bool margin) {
    const double low = -DBL_MAX, high = 0;
    const CoinBigIndex start[2] = {0, g->k + (margin ? 1 : 0)};
    memcpy(g->values, a, sizeof *a * (size_t)g->k);
    g->values[g->k] = 1;
    Clp_addRows(g->model, 1, &low, &high, start, g->columns, g->values);
    g->rows++;
}

/* Makes them >= 0 with sum 1, where any is left. */
static void normalise(double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] = fmax(x[i], 0);
    for (int64_t i = 0; sum > 0 && i < n; i++) x[i] /= sum;
}

whet_status whet_i_game_solve(whet_ctx *ctx, game *g, double *p, double *q, bool *feasible) {
    (void)Clp_dual(g->model, 0);
    if (Clp_status(g->model) != 0) (void)Clp_primal(g->model, 0);
    *feasible = Clp_status(g->model) != 1;
    if (!*feasible) return WHET_OK;
    if (Clp_status(g->model) != 0)
        return whet_i_fail(
            ctx, WHET_ERR_NUMERIC,
            "a linear programme of %d columns and %d rows was given up with status %d", g->k + 1,
            g->rows, Clp_status(g->model));
    memcpy(p, Clp_primalColumnSolution(g->model), sizeof *p * (size_t)g->k);
    const double *price = Clp_dualRowSolution(g->model);
    for (int i = 0; i < g->rows; i++) q[i] = fabs(price[i + 1]);
    normalise(p, g->k);
    normalise(q, g->rows);
    return WHET_OK;
}
