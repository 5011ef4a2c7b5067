/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>

#include "tensor/tensor_i.h"

enum { N = 90 };

/* A = Q diag(values) Q^T from a random product, spectrum falling. */
static void make_psd(double *a) {
    static double r[N * N];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 31, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) r[i * N + j] = whet_i_rng_normal(&rng) / (1 + j);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i * N + j] = 0;
            for (int l = 0; l < N; l++) a[i * N + j] += r[i * N + l] * r[j * N + l];
        }
}

static void eigenvectors_rebuild_the_matrix(void **state) {
    (void)state;
    static double a[N * N], v[N * N];
    double values[N];
    whet_ctx *ctx = test_ctx(2);
    make_psd(a);
    memcpy(v, a, sizeof v);
    test_ok(ctx, whet_i_eigh(ctx, N, v, values));
    for (int j = 1; j < N; j++) assert_true(values[j] <= values[j - 1]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int l = 0; l < N; l++) sum += values[l] * v[l * N + i] * v[l * N + j];
            assert_true(fabs(sum - a[i * N + j]) < 1e-12 * values[0] * N);
        }
    v[5] = NAN;
    test_fails(ctx, whet_i_eigh(ctx, N, v, values), WHET_ERR_DATA);
    test_ctx_done(ctx);
}

static void cholesky_solves_and_refuses(void **state) {
    (void)state;
    static double a[N * N], copy[N * N];
    double x[N * 2], b[N * 2] = {0};
    whet_ctx *ctx = test_ctx(1);
    make_psd(a);
    for (int i = 0; i < N; i++) a[i * N + i] += 1;
    for (int i = 0; i < N * 2; i++) x[i] = i % 7 - 3;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int c = 0; c < 2; c++) b[2 * i + c] += a[i * N + j] * x[2 * j + c];
    memcpy(copy, a, sizeof copy);
    test_ok(ctx, whet_i_cholesky_solve(ctx, N, copy, 2, b));
    for (int i = 0; i < N * 2; i++) assert_true(fabs(b[i] - x[i]) < 1e-9);
    a[0] = -1;
    test_fails(ctx, whet_i_cholesky_solve(ctx, N, a, 2, b), WHET_ERR_NUMERIC);
    test_ctx_done(ctx);
}

static whet_status apply(whet_ctx *ctx, void *arg, int64_t m, const double *in, double *out) {
    return whet_i_matmul_f64(ctx, false, false, N, m, N, arg, N, in, m, 0, out, m);
}

static void krylov_finds_the_leading_vectors(void **state) {
    (void)state;
    static double a[N * N], v[N * N], vectors[N * 10];
    double all[N], values[10];
    int64_t found;
    whet_ctx *ctx = test_ctx(2);
    make_psd(a);
    memcpy(v, a, sizeof v);
    test_ok(ctx, whet_i_eigh(ctx, N, v, all));
    test_ok(ctx, whet_i_top_eigen(ctx, N, 10, 1e-10, 0, 7, apply, a, values, vectors, &found));
    assert_int_equal(found, 10);
    for (int j = 0; j < 10; j++) {
        double overlap = 0;
        for (int i = 0; i < N; i++) overlap += vectors[i * 10 + j] * v[j * N + i];
        assert_true(fabs(values[j] - all[j]) < 1e-9 * all[0]);
        assert_true(fabs(fabs(overlap) - 1) < 1e-6);
    }
    /* Rank 2: no more than two are found. */
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i * N + j] = sin(i) * sin(j) + cos(3 * i) * cos(3 * j);
    test_ok(ctx, whet_i_top_eigen(ctx, N, 10, 1e-10, 0, 7, apply, a, values, vectors, &found));
    assert_int_equal(found, 2);
    test_ctx_done(ctx);
}

static void components_of_wide_and_tall_agree(void **state) {
    (void)state;
    enum { ROWS = 12, COLS = 12, DIM = 4 };
    float x[ROWS * COLS], wide[ROWS * (COLS + 8)] = {0};
    double mean[COLS + 8], tall_v[DIM * COLS], wide_v[DIM * (COLS + 8)], a[DIM], b[DIM];
    whet_ctx *ctx = test_ctx(1);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            x[i * COLS + j] = (float)(sin(3.1 * i + j * j) / (1 + j));
            wide[i * (COLS + 8) + j] = x[i * COLS + j]; /* and 8 columns of zeros */
        }
    test_ok(ctx, whet_i_pca(ctx, x, ROWS, COLS, DIM, mean, tall_v, a));
    test_ok(ctx, whet_i_pca(ctx, wide, ROWS, COLS + 8, DIM, mean, wide_v, b));
    for (int d = 0; d < DIM; d++) {
        assert_true(fabs(a[d] - b[d]) < 1e-12);
        for (int j = 0; j < COLS; j++)
            assert_true(fabs(tall_v[d * COLS + j] - wide_v[d * (COLS + 8) + j]) < 1e-9);
    }
    /* In f64 they are those of the same rows far from 0, where f32 holds no digit of them. */
    double far[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) far[i] = (double)x[i] + 1e9;
    test_ok(ctx, whet_i_pca_f64(ctx, far, ROWS, COLS, DIM, mean, wide_v, b));
    for (int d = 0; d < DIM; d++) {
        assert_true(fabs(a[d] - b[d]) < 1e-6);
        for (int j = 0; j < COLS; j++)
            assert_true(fabs(tall_v[d * COLS + j] - wide_v[d * COLS + j]) < 1e-4);
    }
    test_fails(ctx, whet_i_pca(ctx, x, ROWS, COLS, 13, mean, tall_v, a), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

/* a = sum_j values_j u_j v_j^T with orthonormal vectors, wide and tall; the squares of the values are the
 * eigenvalues of a^T a, which another routine finds. */
static void check_svd(whet_ctx *ctx, int64_t m, int64_t n) {
    double a[12 * 12], kept[12 * 12], u[12 * 12], v[12 * 12], values[12], alone[12];
    double gram[12 * 12] = {0}, squares[12];
    const int64_t k = m < n ? m : n;
    for (int64_t i = 0; i < m * n; i++)
        a[i] = kept[i] = sin((double)(i * i + 3 * i)) * (double)(1 + i % 5);
    for (int64_t r = 0; r < m; r++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) gram[i * n + j] += a[r * n + i] * a[r * n + j];
    test_ok(ctx, whet_i_eigh(ctx, n, gram, squares));
    test_ok(ctx, whet_i_svd(ctx, m, n, a, values, u, v));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += values[l] * u[i * k + l] * v[l * n + j];
            assert_true(fabs(sum - kept[i * n + j]) < 1e-13 * values[0]);
        }
    for (int64_t l = 0; l < k; l++) {
        assert_true(values[l] >= 0 && (l == 0 || values[l] <= values[l - 1]));
        assert_true(fabs(values[l] * values[l] - squares[l]) < 1e-13 * squares[0]);
    }
    memcpy(a, kept, sizeof a);
    test_ok(ctx, whet_i_svd(ctx, m, n, a, alone, NULL, NULL));
    for (int64_t l = 0; l < k; l++) assert_true(fabs(alone[l] - values[l]) < 1e-13 * values[0]);
}

static void singular_values_rebuild_the_matrix(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    check_svd(ctx, 12, 7);
    check_svd(ctx, 7, 12);
    check_svd(ctx, 1, 5);
    check_svd(ctx, 9, 9);
    double bad[4] = {1, NAN, 0, 2}, values[2];
    test_fails(ctx, whet_i_svd(ctx, 2, 2, bad, values, NULL, NULL), WHET_ERR_NUMERIC);
    test_fails(ctx, whet_i_svd(ctx, 50000, 2, bad, values, NULL, NULL), WHET_ERR_LIMIT);
    test_ok(ctx, whet_i_svd(ctx, 0, 2, bad, values, NULL, NULL));
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvectors_rebuild_the_matrix),
        cmocka_unit_test(cholesky_solves_and_refuses),
        cmocka_unit_test(krylov_finds_the_leading_vectors),
        cmocka_unit_test(components_of_wide_and_tall_agree),
        cmocka_unit_test(singular_values_rebuild_the_matrix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
