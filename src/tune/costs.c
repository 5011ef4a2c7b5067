/* SPDX-License-Identifier: Apache-2.0
 * Squared distances between classes, which a space knows by name. */
#include <inttypes.h>
#include <math.h>

#include "tune/tune_i.h"

enum { CLASSES_MAX = 1 << 14 }; /* a table of 1 GB */

static whet_status fill_costs(whet_ctx *ctx, whet_i_tune *run, const whet_space *space,
                              const int64_t *points, int64_t *same, double *d) {
    for (int64_t y = 0; y < run->k; y++) {
        for (int64_t c = 0; c < run->k; c++) same[c] = points[y];
        WHET_TRY(whet_space_distances(ctx, space, points, same, run->k, d));
        for (int64_t c = 0; c < run->k; c++) {
            const float cost = (float)(d[c] * d[c]);
            if (!isfinite(cost))
                return whet_i_fail(ctx, WHET_ERR_DATA,
                                   "space %s: a distance is %g; expected one whose square is a "
                                   "number",
                                   run->job.space, d[c]);
            run->costs[y * run->k + c] = cost;
            run->mean_cost += (double)cost;
        }
    }
    run->mean_cost /= (double)run->k * (double)(run->k - 1);
    if (run->kind->temperature < 0 && !(run->mean_cost > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "space %s: all classes are at one point; expected a distance above 0",
                           run->job.space);
    return WHET_OK;
}

whet_status whet_i_tune_read_costs(whet_ctx *ctx, whet_i_tune *run) {
    whet_space *space = NULL;
    int64_t *points = NULL, *same = NULL;
    double *d = NULL;
    whet_status status = WHET_OK;
    if (!run->job.space) return WHET_OK;
    if (run->k > CLASSES_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "distances between %" PRId64 " classes; expected at most %d", run->k,
                           CLASSES_MAX);
    WHET_TRY_DONE(whet_space_open(ctx, run->job.space, run->classes, &space));
    WHET_TRY_DONE(whet_i_alloc(ctx, run->k, &points));
    WHET_TRY_DONE(whet_i_alloc(ctx, run->k, &same));
    WHET_TRY_DONE(whet_i_alloc(ctx, run->k, &d));
    WHET_TRY_DONE(whet_space_find_all(ctx, space, run->classes, points));
    WHET_TRY_DONE(
        whet_i_arena_alloc(ctx, &run->arena, run->k * run->k, sizeof *run->costs, &run->costs));
    status = fill_costs(ctx, run, space, points, same, d);
done:
    whet_i_free(ctx, d);
    whet_i_free(ctx, same);
    whet_i_free(ctx, points);
    whet_space_destroy(ctx, space);
    return status;
}
