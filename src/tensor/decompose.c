/* SPDX-License-Identifier: Apache-2.0
 * Decompositions of dense matrices, by LAPACK on one thread (so that rounding does not depend on
 * how many there are) with memory from the context.
 * Legend: n rows, d columns, dim components kept. */
#include <cblas.h>
#include <lapack.h>
#include <math.h>

#include "tensor/tensor_i.h"

/* The sign of an eigenvector is free: fixed, so that results compare between libraries. */
static void fix_signs(double *vectors, int64_t rows, int64_t n) {
    for (int64_t j = 0; j < rows; j++) {
        double *v = vectors + j * n;
        int64_t top = 0;
        for (int64_t i = 1; i < n; i++)
            if (fabs(v[i]) > fabs(v[top]) * (1 + 1e-9)) top = i;
        if (v[top] < 0)
            for (int64_t i = 0; i < n; i++) v[i] = -v[i];
    }
}

static void reverse(double *a, double *values, int64_t n) {
    for (int64_t j = 0; j < n / 2; j++) {
        const int64_t other = n - 1 - j;
        const double kept = values[j];
        values[j] = values[other];
        values[other] = kept;
        for (int64_t i = 0; i < n; i++) {
            const double cell = a[j * n + i];
            a[j * n + i] = a[other * n + i];
            a[other * n + i] = cell;
        }
    }
}

whet_status whet_i_eigh(whet_ctx *ctx, int64_t n, double *a, double *values) {
    if (n < 0 || n > 46340) /* n^2 must fit in LAPACK's 32-bit integers */
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "eigenvectors of a matrix of size %lld; expected "
                           "0 to 46340",
                           (long long)n);
    if (n == 0) return WHET_OK;
    for (int64_t i = 0; i < n * n; i++)
        if (!isfinite(a[i]))
            return whet_i_fail(ctx, WHET_ERR_DATA, "matrix [%lld, %lld] is not a number",
                               (long long)(i / n), (long long)(i % n));
    WHET_TRY(whet_i_blas_need_room(ctx, 1));
    const lapack_int size = (lapack_int)n, question = -1;
    double ask;
    lapack_int ask_int, info;
    /* Column-major: its columns, the eigenvectors, are our rows; the matrix is symmetric. */
    LAPACK_dsyevd("V", "L", &size, a, &size, values, &ask, &question, &ask_int, &question, &info);
    if (info != 0)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "LAPACK dsyevd refused argument %d", (int)-info);
    double *work = NULL;
    lapack_int *int_work = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, (int64_t)ask, &work));
    WHET_TRY_DONE(whet_i_alloc(ctx, (int64_t)ask_int, &int_work));
    const lapack_int n_work = (lapack_int)ask;
    const int32_t saved = whet_i_single_thread_begin();
    LAPACK_dsyevd("V", "L", &size, a, &size, values, work, &n_work, int_work, &ask_int, &info);
    whet_i_single_thread_end(saved);
    if (info != 0) {
        status = whet_i_fail(ctx, WHET_ERR_NUMERIC,
                             "eigenvectors of a [%lld, %lld] matrix did not "
                             "converge (LAPACK dsyevd %d)",
                             (long long)n, (long long)n, (int)info);
        goto done;
    }
    reverse(a, values, n);
    fix_signs(a, n, n);
done:
    whet_i_free(ctx, work);
    whet_i_free(ctx, int_work);
    return status;
}

bool whet_i_cholesky_solve_serial(int64_t n, double *a, int64_t m, double *b) {
    if (n == 0 || m == 0) return true;
    const int32_t saved = whet_i_single_thread_begin();
    const lapack_int size = (lapack_int)n;
    lapack_int info;
    LAPACK_dpotrf("U", &size, a, &size, &info);
    /* Read row-major, the factor is lower: A = L L^T. */
    if (info == 0) {
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, (blasint)n,
                    (blasint)m, 1, a, (blasint)n, b, (blasint)m);
        cblas_dtrsm(CblasRowMajor, CblasLeft, CblasLower, CblasTrans, CblasNonUnit, (blasint)n,
                    (blasint)m, 1, a, (blasint)n, b, (blasint)m);
    }
    whet_i_single_thread_end(saved);
    return info == 0;
}

whet_status whet_i_cholesky_solve(whet_ctx *ctx, int64_t n, double *a, int64_t m, double *b) {
    if (n < 0 || m < 0 || n > INT32_MAX || m > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "system of size %lld with %lld right sides",
                           (long long)n, (long long)m);
    WHET_TRY(whet_i_blas_need_room(ctx, 1));
    if (whet_i_cholesky_solve_serial(n, a, m, b)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NUMERIC, "a [%lld, %lld] matrix is not positive definite",
                       (long long)n, (long long)n);
}

/* ---- principal components -------------------------------------------------------------------- */

static void centre(const float *x, int64_t n, int64_t d, double *mean, double *centred) {
    for (int64_t j = 0; j < d; j++) mean[j] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) mean[j] += (double)x[i * d + j];
    for (int64_t j = 0; j < d; j++) mean[j] /= (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) centred[i * d + j] = (double)x[i * d + j] - mean[j];
}

/* From the first row on, for rows that are far from 0. */
static void centre_f64(const double *x, int64_t n, int64_t d, double *mean, double *centred) {
    for (int64_t j = 0; j < d; j++) mean[j] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) mean[j] += x[i * d + j] - x[j];
    for (int64_t j = 0; j < d; j++) mean[j] = x[j] + mean[j] / (double)n;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j++) centred[i * d + j] = x[i * d + j] - mean[j];
}

/* One of x and exact is NULL. */
static whet_status pca(whet_ctx *ctx, const float *x, const double *exact, int64_t n, int64_t d,
                       int64_t dim, double *mean, double *components, double *variance) {
    const bool wide = d > n;
    const int64_t side = wide ? n : d;
    if (n < 1 || d < 1 || dim < 0 || dim > side)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%lld components of a [%lld, %lld] matrix; expected "
                           "0 to its shorter side",
                           (long long)dim, (long long)n, (long long)d);
    whet_status status = WHET_OK;
    double *centred = NULL, *gram = NULL, *values = NULL;
    int64_t cells, square;
    WHET_TRY(whet_i_mul(ctx, n, d, &cells));
    WHET_TRY(whet_i_mul(ctx, side, side, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &centred));
    WHET_TRY_DONE(whet_i_alloc(ctx, square, &gram));
    WHET_TRY_DONE(whet_i_alloc(ctx, side, &values));
    if (exact)
        centre_f64(exact, n, d, mean, centred);
    else
        centre(x, n, d, mean, centred);
    if (wide)
        WHET_TRY_DONE(
            whet_i_matmul_f64(ctx, false, true, n, n, d, centred, d, centred, d, 0, gram, n));
    else
        WHET_TRY_DONE(
            whet_i_matmul_f64(ctx, true, false, d, d, n, centred, d, centred, d, 0, gram, d));
    WHET_TRY_DONE(whet_i_eigh(ctx, side, gram, values));
    if (wide) /* v = X^T u / |X^T u| */
        WHET_TRY_DONE(
            whet_i_matmul_f64(ctx, false, false, dim, d, n, gram, n, centred, d, 0, components, d));
    else
        memcpy(components, gram, sizeof *gram * (size_t)(dim * d));
    for (int64_t j = 0; j < dim; j++) {
        double *v = components + j * d, norm = 0;
        for (int64_t i = 0; i < d; i++) norm += v[i] * v[i];
        /* Below the rounding of the Gram matrix there is no direction to tell. */
        const bool none = !(values[j] > 1e-13 * values[0]) || norm == 0;
        for (int64_t i = 0; i < d; i++) v[i] = none ? 0 : v[i] / sqrt(norm);
        variance[j] = none ? 0 : values[j] / (double)(n > 1 ? n - 1 : 1);
    }
    fix_signs(components, dim, d);
done:
    whet_i_free(ctx, centred);
    whet_i_free(ctx, gram);
    whet_i_free(ctx, values);
    return status;
}

whet_status whet_i_pca(whet_ctx *ctx, const float *x, int64_t n, int64_t d, int64_t dim,
                       double *mean, double *components, double *variance) {
    return pca(ctx, x, NULL, n, d, dim, mean, components, variance);
}

whet_status whet_i_pca_f64(whet_ctx *ctx, const double *x, int64_t n, int64_t d, int64_t dim,
                           double *mean, double *components, double *variance) {
    return pca(ctx, NULL, x, n, d, dim, mean, components, variance);
}
