/* SPDX-License-Identifier: Apache-2.0
 * Units that stay in blocks of neighbours, as channels under a group norm of several groups do: blocks move
 * whole, and units inside of them. For every pair of blocks the best order inside, then the assignment over
 * pairs of the largest sum: exact, for what is inside one pair has no say in another. */
#include "merge/align_i.h"
#include "tensor/tensor_i.h"

whet_status whet_i_match_units(whet_ctx *ctx, const whet_i_group *group, const double *gain,
                               int64_t *order) {
    const int64_t n = group->units, blocks = group->blocks > 1 ? group->blocks : 1, d = n / blocks;
    double *inside = NULL, *over = NULL;
    int64_t *orders = NULL, *chosen = NULL, cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, d, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &inside));
    WHET_TRY_DONE(whet_i_mul(ctx, blocks, blocks, &cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &over));
    WHET_TRY_DONE(whet_i_mul(ctx, cells, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &orders));
    WHET_TRY_DONE(whet_i_alloc(ctx, blocks, &chosen));
    for (int64_t a = 0; a < blocks; a++)
        for (int64_t b = 0; b < blocks; b++) {
            const double *from = gain + a * d * n + b * d;
            int64_t *best = orders + (a * blocks + b) * d;
            for (int64_t i = 0; i < d; i++)
                memcpy(inside + i * d, from + i * n, (size_t)d * sizeof *inside);
            WHET_TRY_DONE(whet_i_assign_gains(ctx, inside, d, best));
            for (int64_t i = 0; i < d; i++) over[a * blocks + b] += from[i * n + best[i]];
        }
    WHET_TRY_DONE(whet_i_assign_gains(ctx, over, blocks, chosen));
    for (int64_t a = 0; a < blocks; a++)
        for (int64_t i = 0; i < d; i++)
            order[a * d + i] = chosen[a] * d + orders[(a * blocks + chosen[a]) * d + i];
done:
    whet_i_free(ctx, inside);
    whet_i_free(ctx, over);
    whet_i_free(ctx, orders);
    whet_i_free(ctx, chosen);
    return status;
}
