/* SPDX-License-Identifier: Apache-2.0
 * Matrix products whose bits do not depend on the thread count.
 *
 * C is cut into tiles of TILE_ROWS x TILE_COLS, whatever the threads; a tile is one call on one
 * thread (oneDNN for f32; our kernel, or OpenBLAS, for f64), which walks k in an order that depends
 * on the tile's sizes only. Tiles are large enough that packing A and B again for each of them costs
 * about 1/TILE_ROWS + 1/TILE_COLS of the arithmetic.
 * Legend: m rows of C, n columns of C, k length of the sums. */
#include "tensor/tensor_i.h"

#include "kernels/kernels_i.h"

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>

enum { TILE_ROWS = 384, TILE_COLS = 768 };

typedef struct product {
    bool transpose_a, transpose_b, f64;
    int64_t m, n, k, lda, ldb, ldc;
    const void *a, *b;
    void *c;
    double beta;
} product;

/* ---- one tile, one thread ---------------------------------------------------------------------
 */

/* What remains when oneDNN cannot get memory for its packed copies: slow, but done. */
static void plain_f32(const product *p, int64_t m, int64_t n, const float *a, const float *b,
                      float *c) {
    const int64_t a_row = p->transpose_a ? 1 : p->lda, a_col = p->transpose_a ? p->lda : 1;
    const int64_t b_row = p->transpose_b ? 1 : p->ldb, b_col = p->transpose_b ? p->ldb : 1;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t t = 0; t < p->k; t++)
                sum += a[i * a_row + t * a_col] * b[t * b_row + j * b_col];
            float *out = &c[i * p->ldc + j];
            *out = p->beta == 0 ? sum : sum + (float)p->beta * *out;
        }
    }
}

static void tile_f32(const product *p, int64_t m, int64_t n, const float *a, const float *b,
                     float *c) {
    const dnnl_status_t status =
        dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', m, n, p->k, 1, a, p->lda,
                   b, p->ldb, (float)p->beta, c, p->ldc);
    if (status != dnnl_success) plain_f32(p, m, n, a, b, c);
}

/* Our own kernel where there is a fast one: OpenBLAS takes processors newer than itself for the
 * oldest it knows (0.3.21 on a Xeon with AVX-512: 15 GFLOP/s a core, a quarter of what it can); and
 * where OpenBLAS has no room: slow, but done. */
static void tile_f64(const product *p, int64_t m, int64_t n, const double *a, const double *b,
                     double *c) {
    const whet_kernels *kernels = whet_i_kernels_f64();
    if (kernels != &whet_i_kernels_ref || !whet_i_blas_room(1)) {
        const whet_i_product_f64 args = {.m = m,
                                         .n = n,
                                         .k = p->k,
                                         .a = a,
                                         .b = b,
                                         .a_row = p->transpose_a ? 1 : p->lda,
                                         .a_col = p->transpose_a ? p->lda : 1,
                                         .b_row = p->transpose_b ? 1 : p->ldb,
                                         .b_col = p->transpose_b ? p->ldb : 1,
                                         .beta = p->beta,
                                         .c = c,
                                         .ldc = p->ldc};
        kernels->product_f64(&args);
        return;
    }
    cblas_dgemm(CblasRowMajor, p->transpose_a ? CblasTrans : CblasNoTrans,
                p->transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)p->k,
                1, a, (blasint)p->lda, b, (blasint)p->ldb, p->beta, c, (blasint)p->ldc);
}

static int64_t tiles(const product *p) {
    return ((p->m + TILE_ROWS - 1) / TILE_ROWS) * ((p->n + TILE_COLS - 1) / TILE_COLS);
}

static void tile(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const product *p = arg;
    const int64_t across = (p->n + TILE_COLS - 1) / TILE_COLS;
    const int64_t row = i / across * TILE_ROWS, col = i % across * TILE_COLS;
    const int64_t m = p->m - row < TILE_ROWS ? p->m - row : TILE_ROWS;
    const int64_t n = p->n - col < TILE_COLS ? p->n - col : TILE_COLS;
    const int64_t a_at = p->transpose_a ? row : row * p->lda;
    const int64_t b_at = p->transpose_b ? col * p->ldb : col;
    const int64_t c_at = row * p->ldc + col;
    /* A loop of one worker is no parallel region to the libraries: they would start threads. */
    const int32_t saved = whet_i_single_thread_begin();
    if (p->f64)
        tile_f64(p, m, n, (const double *)p->a + a_at, (const double *)p->b + b_at,
                 (double *)p->c + c_at);
    else
        tile_f32(p, m, n, (const float *)p->a + a_at, (const float *)p->b + b_at,
                 (float *)p->c + c_at);
    whet_i_single_thread_end(saved);
}

/* ---- whole products ---------------------------------------------------------------------------
 */

static void scale_f32(float *c, int64_t m, int64_t n, int64_t ldc, float beta) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

static void scale_f64(double *c, int64_t m, int64_t n, int64_t ldc, double beta) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

/* true when there is nothing to sum: C is only scaled, and the libraries are not asked. */
static bool is_trivial(const product *p) {
    if (p->m > 0 && p->n > 0 && p->k > 0) return false;
    if (p->f64)
        scale_f64(p->c, p->m, p->n, p->ldc, p->beta);
    else
        scale_f32(p->c, p->m, p->n, p->ldc, (float)p->beta);
    return true;
}

static whet_status check(whet_ctx *ctx, const product *p) {
    if (p->m < 0 || p->n < 0 || p->k < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "product of [%lld, %lld] and [%lld, %lld]; expected "
                           "sizes of at least 0",
                           (long long)p->m, (long long)p->k, (long long)p->k, (long long)p->n);
    const int64_t a_width = p->transpose_a ? p->m : p->k, b_width = p->transpose_b ? p->k : p->n;
    if (p->lda < a_width || p->ldb < b_width || p->ldc < p->n)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "rows of a product %lld, %lld, %lld apart; expected at least %lld, "
                           "%lld, %lld",
                           (long long)p->lda, (long long)p->ldb, (long long)p->ldc,
                           (long long)a_width, (long long)b_width, (long long)p->n);
    const int64_t most = p->f64 ? INT32_MAX : INT64_MAX;
    if (p->k > most || p->lda > most || p->ldb > most || p->ldc > most)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "f64 product with rows of over 2^31 numbers");
    return WHET_OK;
}

static whet_status run(whet_ctx *ctx, product *p) {
    WHET_TRY(check(ctx, p));
    if (is_trivial(p)) return WHET_OK;
    return whet_i_parallel_for(ctx, NULL, tiles(p), tile, p);
}

static void run_serial(product *p) {
    if (is_trivial(p)) return;
    const int64_t n = tiles(p);
    for (int64_t i = 0; i < n; i++) tile(p, i, 0);
}

whet_status whet_i_matmul_f32(whet_ctx *ctx, bool transpose_a, bool transpose_b, int64_t m,
                              int64_t n, int64_t k, const float *a, int64_t lda, const float *b,
                              int64_t ldb, float beta, float *c, int64_t ldc) {
    product p = {transpose_a, transpose_b, false, m, n, k, lda, ldb, ldc, a, b, c, (double)beta};
    return run(ctx, &p);
}

whet_status whet_i_matmul_f64(whet_ctx *ctx, bool transpose_a, bool transpose_b, int64_t m,
                              int64_t n, int64_t k, const double *a, int64_t lda, const double *b,
                              int64_t ldb, double beta, double *c, int64_t ldc) {
    product p = {transpose_a, transpose_b, true, m, n, k, lda, ldb, ldc, a, b, c, beta};
    return run(ctx, &p);
}

void whet_i_matmul_f32_serial(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                              const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                              float *c, int64_t ldc) {
    product p = {transpose_a, transpose_b, false, m, n, k, lda, ldb, ldc, a, b, c, (double)beta};
    run_serial(&p);
}

void whet_i_matmul_f64_serial(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                              const double *a, int64_t lda, const double *b, int64_t ldb,
                              double beta, double *c, int64_t ldc) {
    product p = {transpose_a, transpose_b, true, m, n, k, lda, ldb, ldc, a, b, c, beta};
    run_serial(&p);
}
