/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "whet/io.h"

enum { B = 24, D = 4, K = 3 };

/* scikit-learn's coefficients [D, K] and centred intercepts [K]: tests/golden/logistic. */
static const double golden[3][D * K + K] = {
    /* C = 0.1 */ {-0.109139856665, 0.0230395726245, 0.0861002840407, -0.00330760687532,
                   0.0046662740234, -0.00135866714808, 0.00962663880922, 0.0465747665872,
                   -0.0562014053964, 0.122925043261, -0.426979660297, 0.304054617036,
                   0.157291714287, 0.121705336362, -0.278997050649},
    /* C = 1 */
    {-0.348923976811, -0.0543858588517, 0.403309835663, -0.0150553743143, 0.0142196848553,
     0.000835689458907, 0.0694631798855, 0.0275984421268, -0.0970616220123, 0.295416754383,
     -1.4847263982, 1.18930964382, 0.35686779739, 0.0342996242786, -0.391167421669},
    /* C = 100 */
    {-0.547556937316, -0.575931641283, 1.1234885786, 0.131062404817, -0.268202656739,
     0.137140251922, 0.310489570351, -0.435403301895, 0.124913731544, 0.408776950546,
     -3.45588104544, 3.04710409489, 0.912319383741, -0.0394384559966, -0.872880927745},
};

static void make_rows(float *x, int32_t *y, int64_t *rows) {
    for (int i = 0; i < B; i++) {
        for (int j = 0; j < D; j++) x[i * D + j] = (float)sin(1.7 * i + 2.3 * j + .4 * i * j);
        y[i] = (i * 7 % 11) % 3;
        rows[i] = i;
    }
}

static void coefficients_are_those_of_scikit_learn(void **state) {
    (void)state;
    static const double penalties[3] = {.1, 1, 100};
    whet_ctx *ctx = test_ctx(2);
    float x[B * D];
    int32_t y[B];
    int64_t rows[B];
    make_rows(x, y, rows);
    for (int p = 0; p < 3; p++) {
        whet_i_linear_model m;
        test_ok(ctx, whet_i_logistic_fit(ctx, x, rows, y, B, D, K, penalties[p], &m));
        const double mean = (m.bias[0] + m.bias[1] + m.bias[2]) / 3;
        /* The gradient is zero to 1e-7 over a curvature of at least 1 / (C b) = 4e-4, and rows are
         * rounded to f32: 1e-3 at C = 100, less below. */
        const double tolerance = p == 2 ? 1e-3 : 1e-4;
        for (int i = 0; i < D * K; i++) assert_true(fabs(m.weight[i] - golden[p][i]) < tolerance);
        for (int c = 0; c < K; c++)
            assert_true(fabs(m.bias[c] - mean - golden[p][D * K + c]) < tolerance);
        whet_i_linear_model_free(ctx, &m);
    }
    test_ctx_done(ctx);
}

/* C = 1 on the labelled digits, whose pixels are sixteenths: the tight run to 1e-6, as the specification has
 * it; the default run, which stops early, in its labels. */
static void check_regression(const char *file) {
    whet_ctx *ctx = test_ctx(2);
    whet_tensor x = test_shared_key(ctx, file, "X", WHET_F32),
                y = test_shared_key(ctx, file, "y", WHET_I32);
    whet_tensor at = test_shared_key(ctx, file, "idx_lab", WHET_I64),
                other = test_shared_key(ctx, file, "idx_un", WHET_I64);
    whet_tensor tight = test_shared_key(ctx, file, "lrtight_P", WHET_F64),
                loose = test_shared_key(ctx, file, "lr_P", WHET_F64);
    const int64_t n = x.shape[0], d = x.shape[1], b = at.shape[0], u = other.shape[0],
                  k = tight.shape[1];
    int32_t *labels = malloc(sizeof *labels * (size_t)b);
    double *probs = malloc(sizeof *probs * (size_t)(n * k));
    whet_i_linear_model m;
    int64_t same = 0;
    assert_true(labels && probs);
    for (int64_t i = 0; i < b; i++) labels[i] = ((int32_t *)y.data)[((int64_t *)at.data)[i]];
    test_ok(ctx, whet_i_logistic_fit(ctx, x.data, at.data, labels, b, d, k, 1, &m));
    test_ok(ctx, whet_i_linear_model_predict(ctx, &m, x.data, n, probs));
    for (int64_t i = 0; i < u; i++) {
        const double *got = probs + ((int64_t *)other.data)[i] * k,
                     *want = (double *)tight.data + i * k;
        for (int64_t c = 0; c < k; c++) assert_true(fabs(got[c] - want[c]) < 1e-6);
        same += whet_i_argmax(got, k) == whet_i_argmax((double *)loose.data + i * k, k) ? 1 : 0;
    }
    assert_true((double)same >= .995 * (double)u);
    whet_i_linear_model_free(ctx, &m);
    free(labels);
    free(probs);
    whet_tensor *all[] = {&x, &y, &at, &other, &tight, &loose};
    for (int i = 0; i < 6; i++) whet_tensor_destroy(ctx, all[i]);
    test_ctx_done(ctx);
}

static void digits_are_those_of_scikit_learn(void **state) {
    (void)state;
    char **file;
    const int64_t n = test_shared_files("golden/autows", "semi_", ".npz", &file);
    for (int64_t i = 0; i < n; i++) check_regression(file[i]);
    test_free_files(file, n);
    test_need_some(n, "regressions");
}

static void unseen_classes_share_what_is_left(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[B * D];
    int32_t y[B];
    int64_t rows[B];
    double probs[B * 6];
    make_rows(x, y, rows);
    for (int i = 0; i < B; i++) y[i] = 2 * y[i]; /* 0, 2, 4 of 6 */
    whet_i_linear_model m;
    test_ok(ctx, whet_i_logistic_fit(ctx, x, rows, y, B, D, 6, 1, &m));
    test_ok(ctx, whet_i_linear_model_predict(ctx, &m, x, B, probs));
    assert_int_equal(m.seen, 3);
    assert_true(fabs(m.unseen - .5 / (B + 1)) < 1e-15); /* no class has a single label */
    for (int i = 0; i < B; i++) {
        double sum = 0;
        for (int c = 0; c < 6; c++) sum += probs[i * 6 + c];
        assert_true(fabs(sum - 1) < 1e-12);
        assert_true(fabs(probs[i * 6 + 1] - m.unseen / 3) < 1e-15);
    }
    whet_i_linear_model_free(ctx, &m);
    test_ctx_done(ctx);
}

static void folds_are_even_in_size_and_class(void **state) {
    (void)state;
    enum { N = 103, CLASSES = 7 };
    whet_ctx *ctx = test_ctx(1);
    int32_t y[N], fold[N];
    int size[5] = {0}, of_class[CLASSES][5] = {{0}};
    for (int i = 0; i < N; i++) y[i] = i < 40 ? 0 : i == 40 ? 1 : 2 + i % 5;
    test_ok(ctx, whet_i_stratified_folds(ctx, y, NULL, N, CLASSES, 5, 3, 1, fold));
    for (int i = 0; i < N; i++) {
        size[fold[i]]++;
        of_class[y[i]][fold[i]]++;
    }
    for (int f = 0; f < 5; f++) {
        assert_true(size[f] == 20 || size[f] == 21);
        for (int c = 0; c < CLASSES; c++)
            for (int g = 0; g < 5; g++) assert_true(abs(of_class[c][f] - of_class[c][g]) <= 1);
    }
    whet_i_splits splits;
    test_ok(ctx, whet_i_splits_make(ctx, y, NULL, N, CLASSES, 3, 5, 1, &splits));
    int held[3 * N] = {0};
    for (int64_t s = 0; s < splits.n; s++) {
        assert_int_equal(splits.split[s].n_held + splits.split[s].n_train, N);
        for (int64_t i = 0; i < splits.split[s].n_held; i++)
            held[splits.split[s].repeat * N + splits.split[s].held[i]]++;
    }
    for (int i = 0; i < 3 * N; i++) assert_int_equal(held[i], 1);
    whet_i_splits_free(ctx, &splits);
    test_ctx_done(ctx);
}

/* Copies are in one fold; those that differ are dealt evenly; without copies nothing changes. */
static void copies_are_held_out_together(void **state) {
    (void)state;
    enum { N = 90, DIFFER = 40, CLASSES = 3 };
    whet_ctx *ctx = test_ctx(1);
    float x[N][2];
    int64_t alike[N], own[N], which[N];
    int32_t y[N], fold[N], plain[N];
    int size[5] = {0};
    for (int i = 0; i < N; i++) {
        x[i][0] = (float)(i % DIFFER);
        x[i][1] = -1;
        y[i] = i % DIFFER % CLASSES;
        own[i] = i;
        which[i] = N - 1 - i;
    }
    test_ok(ctx, whet_i_alike(ctx, x, (int64_t)sizeof x[0], NULL, N, alike));
    for (int i = 0; i < N; i++) assert_int_equal(alike[i], i % DIFFER);
    test_ok(ctx, whet_i_stratified_folds(ctx, y, alike, N, CLASSES, 5, 3, 1, fold));
    for (int i = 0; i < N; i++) assert_int_equal(fold[i], fold[i % DIFFER]);
    for (int i = 0; i < DIFFER; i++) size[fold[i]]++;
    for (int f = 0; f < 5; f++) assert_int_equal(size[f], DIFFER / 5);
    test_ok(ctx, whet_i_stratified_folds(ctx, y, own, N, CLASSES, 5, 3, 1, fold));
    test_ok(ctx, whet_i_stratified_folds(ctx, y, NULL, N, CLASSES, 5, 3, 1, plain));
    assert_memory_equal(fold, plain, sizeof fold);
    test_ok(ctx, whet_i_alike(ctx, x, (int64_t)sizeof x[0], which, N, alike));
    for (int i = 0; i < N;
         i++) /* which[i] is i from behind: the first of a class of copies is its last row */
        assert_true(alike[i] <= i && which[alike[i]] % DIFFER == which[i] % DIFFER);
    whet_i_splits splits; /* no more folds than rows that differ; of one row, none */
    const int64_t two[6] = {0, 0, 2, 2, 0, 2}, one[6] = {0};
    test_ok(ctx, whet_i_splits_make(ctx, y, two, 6, CLASSES, 3, 5, 1, &splits));
    assert_int_equal(splits.folds, 2);
    for (int64_t s = 0; s < splits.n; s++) assert_int_equal(splits.split[s].n_held, 3);
    whet_i_splits_free(ctx, &splits);
    test_ok(ctx, whet_i_splits_make(ctx, y, one, 6, CLASSES, 3, 5, 1, &splits));
    assert_int_equal(splits.n, 0);
    whet_i_splits_free(ctx, &splits);
    test_ok(ctx, whet_i_alike(ctx, x, 8, NULL, 0, alike));
    test_ctx_done(ctx);
}

static void the_best_temperature_beats_a_grid(void **state) {
    (void)state;
    enum { N = 200 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    double probs[N * K], copy[N * K], temperature, loss;
    int32_t y[N];
    for (int i = 0; i < N; i++) {
        y[i] = (int32_t)whet_i_rng_below(&rng, K);
        for (int c = 0; c < K; c++)
            probs[i * K + c] = 6 * (c == y[i] ? .5 : 0) + 4 * whet_i_rng_normal(&rng);
        whet_i_softmax(probs + i * K, K);
    }
    test_ok(ctx, whet_i_temperature_fit(ctx, probs, N, K, y, &temperature, &loss));
    assert_true(temperature > 1.2); /* overconfident by construction */
    for (double t = .1; t < 8; t *= 1.05) {
        memcpy(copy, probs, sizeof copy);
        whet_i_temper(copy, N, K, t);
        assert_true(whet_i_log_loss(copy, N, K, y) > loss - 1e-6);
    }
    test_ctx_done(ctx);
}

/* Certain labels of weight one: the hard regression. A row of weight three is three rows. */
static void soft_labels_that_are_certain_are_hard(void **state) {
    (void)state;
    static float x[B * D];
    static double z[(B + 2) * D], q[(B + 2) * K], weight[B + 2], theta[3][(D + 1) * K];
    static double room[100000];
    int32_t y[B];
    int64_t rows[B];
    make_rows(x, y, rows);
    for (int i = 0; i < B * D; i++) z[i] = (double)x[i];
    for (int i = 0; i < B; i++) {
        q[i * K + y[i]] = 1;
        weight[i] = 1;
    }
    assert_true(whet_i_soft_logistic_workspace(B + 2, D, K, NULL) <= 100000);
    whet_i_logistic_start(B, D, y, K, theta[0]);
    (void)whet_i_logistic_solve(z, B, D, y, K, 1, NULL, 1e-9, 1000, theta[0], room);
    (void)whet_i_soft_logistic_solve(z, B, D, q, weight, K, 1, NULL, 1e-9, 1000, theta[1], room);
    for (int i = 0; i < D * K; i++) /* gradients of 1e-9 over a curvature of 1 / (C b) = .04 */
        assert_true(fabs(theta[0][i] - theta[1][i]) < 1e-7);
    /* Uncertain ones: the gradient at the optimum, by its definition. */
    for (int i = 0; i < B; i++)
        for (int c = 0; c < K; c++) q[i * K + c] = c == y[i] ? .6 : .2;
    weight[0] = 3;
    weight[1] = 0;
    (void)whet_i_soft_logistic_solve(z, B, D, q, weight, K, 2, NULL, 1e-9, 1000, theta[1], room);
    for (int j = 0; j <= D; j++)
        for (int c = 0; c < K; c++) {
            double slope = j < D ? theta[1][j * K + c] / 2 : 0;
            for (int i = 0; i < B; i++) {
                double s[K], sum = 0;
                for (int e = 0; e < K; e++) {
                    s[e] = theta[1][D * K + e];
                    for (int u = 0; u < D; u++) s[e] += z[i * D + u] * theta[1][u * K + e];
                    sum += exp(s[e]);
                }
                slope += weight[i] * (exp(s[c]) / sum - q[i * K + c]) * (j < D ? z[i * D + j] : 1);
            }
            assert_true(fabs(slope) < 1e-6);
        }
    /* Row 0 three times. */
    for (int copy = 0; copy < 2; copy++) {
        memcpy(z + (B + copy) * D, z, sizeof(double) * D);
        memcpy(q + (B + copy) * K, q, sizeof(double) * K);
        weight[B + copy] = 1;
    }
    weight[0] = 1;
    (void)whet_i_soft_logistic_solve(z, B + 2, D, q, weight, K, 2, NULL, 1e-9, 1000, theta[2],
                                     room);
    for (int i = 0; i < D * K; i++) assert_true(fabs(theta[1][i] - theta[2][i]) < 1e-7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_those_of_scikit_learn),
        cmocka_unit_test(digits_are_those_of_scikit_learn),
        cmocka_unit_test(soft_labels_that_are_certain_are_hard),
        cmocka_unit_test(unseen_classes_share_what_is_left),
        cmocka_unit_test(folds_are_even_in_size_and_class),
        cmocka_unit_test(copies_are_held_out_together),
        cmocka_unit_test(the_best_temperature_beats_a_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
