/* SPDX-License-Identifier: Apache-2.0
 * Grids of points with the L1 or the L2 distance, numbered in row-major order. */
#include <math.h>

#include "space/space_i.h"

double whet_i_grid_distance(const space_grid *grid, int64_t a, int64_t b) {
    int64_t sum = 0, squares = 0;
    for (int32_t axis = grid->rank - 1; axis >= 0; axis--) {
        const int64_t size = grid->size[axis], apart = a % size - b % size;
        sum += apart < 0 ? -apart : apart;
        squares += apart * apart;
        a /= size;
        b /= size;
    }
    return grid->euclidean ? sqrt((double)squares) : (double)sum;
}

whet_status whet_i_space_grid(whet_ctx *ctx, const int64_t *size, int32_t rank, bool euclidean,
                              whet_space **out) {
    int64_t n = 1;
    for (int32_t axis = 0; axis < rank; axis++) {
        if (size[axis] < 1)
            return whet_i_fail(ctx, WHET_ERR_ARG, "a side of the grid is %lld; expected 1 or more",
                               (long long)size[axis]);
        WHET_TRY(whet_i_mul(ctx, n, size[axis], &n));
    }
    whet_space *space;
    WHET_TRY(whet_i_space_begin(ctx, SPACE_GRID, n, NULL, &space));
    space->grid.rank = rank;
    space->grid.euclidean = euclidean;
    for (int32_t axis = 0; axis < rank; axis++) space->grid.size[axis] = size[axis];
    *out = space;
    return WHET_OK;
}
