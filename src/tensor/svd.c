/* SPDX-License-Identifier: Apache-2.0
 * Singular value decomposition by LAPACK's divide and conquer (dgesdd), for use inside parallel loops.
 * Read column-major, a [m, n] is its transpose [n, m]: LAPACK's left vectors are our right ones.
 * Legend: k = min(m, n). */
#include <lapack.h>

#include "tensor/tensor_i.h"

/* Numbers of a double that hold `n` of LAPACK's integers. */
static int64_t integers_room(int64_t n) {
    const int64_t each = (int64_t)(sizeof(double) / sizeof(lapack_int));
    return (n + each - 1) / each;
}

int64_t whet_i_svd_room(int64_t m, int64_t n, bool vectors) {
    const int64_t k = m < n ? m : n;
    const lapack_int rows = (lapack_int)n, columns = (lapack_int)m, question = -1;
    const lapack_int ld = (lapack_int)(k > 0 ? k : 1);
    double ask = 0;
    lapack_int info = 0, none = 0;
    if (k == 0) return 1;
    LAPACK_dgesdd(vectors ? "S" : "N", &rows, &columns, NULL, &rows, NULL, NULL, &rows, NULL, &ld,
                  &ask, &question, &none, &info);
    return (int64_t)ask + integers_room(8 * k);
}

bool whet_i_svd_serial(int64_t m, int64_t n, double *a, double *values, double *u, double *v,
                       double *room, int64_t room_len) {
    const int64_t k = m < n ? m : n, integers = integers_room(8 * k);
    const lapack_int rows = (lapack_int)n, columns = (lapack_int)m, ld = (lapack_int)k;
    const lapack_int work = (lapack_int)(room_len - integers);
    lapack_int info = 0;
    if (k == 0) return true;
    const int32_t saved = whet_i_single_thread_begin();
    LAPACK_dgesdd(u ? "S" : "N", &rows, &columns, a, &rows, values, v, &rows, u, &ld,
                  room + integers, &work, (lapack_int *)room, &info);
    whet_i_single_thread_end(saved);
    return info == 0;
}

whet_status whet_i_svd(whet_ctx *ctx, int64_t m, int64_t n, double *a, double *values, double *u,
                       double *v) {
    double *room;
    if (m < 0 || n < 0 || m > 46340 || n > 46340) /* products must fit in LAPACK's integers */
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "singular values of a [%lld, %lld] matrix; expected sizes of 0 to 46340",
                           (long long)m, (long long)n);
    WHET_TRY(whet_i_blas_need_room(ctx, 1));
    const int64_t len = whet_i_svd_room(m, n, u != NULL);
    WHET_TRY(whet_i_alloc(ctx, len, &room));
    const bool found = whet_i_svd_serial(m, n, a, values, u, v, room, len);
    whet_i_free(ctx, room);
    if (found) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                       "singular values of a [%lld, %lld] matrix were not found; expected finite "
                       "numbers",
                       (long long)m, (long long)n);
}
