/* SPDX-License-Identifier: Apache-2.0
 * Which component of a mixture is which class: the assignment under which the posteriors of labelled
 * rows agree most with their labels; see mixtures.h. */
#include "label/mixtures.h"
#include "tensor/tensor_i.h"

whet_status whet_i_map_to_classes(whet_ctx *ctx, int64_t n, int64_t k, const int32_t *y,
                                  double *r) {
    whet_status status = WHET_OK;
    double *gain = NULL, *row = NULL;
    int64_t *column = NULL, cells;
    WHET_TRY(whet_i_mul(ctx, k, k, &cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &gain));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &row));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &column));
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; y[i] >= 0 && c < k; c++) gain[y[i] * k + c] += r[i * k + c];
    WHET_TRY_DONE(whet_i_assign_gains(ctx, gain, k, column));
    for (int64_t i = 0; i < n; i++) {
        memcpy(row, r + i * k, (size_t)k * sizeof *row);
        for (int64_t c = 0; c < k; c++) r[i * k + c] = row[column[c]];
    }
done:
    whet_i_free(ctx, gain);
    whet_i_free(ctx, row);
    whet_i_free(ctx, column);
    return status;
}
