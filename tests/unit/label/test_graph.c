/* SPDX-License-Identifier: Apache-2.0
 * The graph methods against dense solves by Cholesky and plain loops. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"
#include "whet/io.h"

enum { N = 130, D = 6, K = 3, M = 5 };

static void make_rows(float *x) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    for (int i = 0; i < N; i++) {
        double row[D], square = 0;
        for (int j = 0; j < D; j++) {
            row[j] = whet_i_rng_normal(&rng) + (j == i % K ? 2 : 0);
            square += row[j] * row[j];
        }
        for (int j = 0; j < D; j++) x[i * D + j] = (float)(row[j] / sqrt(square));
    }
}

static void dense_of(const whet_i_graph *g, double *w) {
    memset(w, 0, sizeof(double) * N * N);
    for (int64_t i = 0; i < N; i++)
        for (int64_t e = g->start[i]; e < g->start[i + 1]; e++) w[i * N + g->to[e]] = g->weight[e];
}

static void labels_of(int32_t *y) {
    for (int i = 0; i < N; i++) y[i] = i % 8 == 0 ? i % K : -1;
}

/* Both solve to 1e-8 of the right side's length; the condition number is below 1e3. */
static void near(double a, double b) { assert_true(fabs(a - b) < 1e-5); }

static void neighbours_are_those_of_a_full_sort(void **state) {
    (void)state;
    static float x[N * D], similarity[N * M];
    static int64_t index[N * M];
    whet_ctx *ctx = test_ctx(2);
    make_rows(x);
    test_ok(ctx, whet_i_nearest(ctx, x, N, x, N, D, M, true, index, similarity));
    for (int64_t i = 0; i < N; i++) {
        for (int64_t e = 0; e < M; e++) {
            int64_t better = 0;
            for (int64_t j = 0; j < N; j++) {
                double s = 0;
                for (int64_t c = 0; c < D; c++) s += (double)x[i * D + c] * (double)x[j * D + c];
                better += j != i && s > (double)similarity[i * M + e] + 1e-6 ? 1 : 0;
            }
            assert_true(better <= e);
            assert_true(index[i * M + e] != i);
        }
    }
    test_fails(ctx, whet_i_nearest(ctx, x, N, x, 3, D, 4, false, index, similarity), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static void equal_neighbours_go_by_index(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float x[20 * 2], similarity[20 * 3];
    int64_t index[20 * 3];
    for (int i = 0; i < 20; i++) {
        x[2 * i] = 1;
        x[2 * i + 1] = 0;
    }
    test_ok(ctx, whet_i_nearest(ctx, x, 20, x, 20, 2, 3, true, index, similarity));
    const int64_t first[3] = {1, 2, 3}, last[3] = {0, 1, 2};
    assert_memory_equal(index, first, sizeof first);
    assert_memory_equal(index + 19 * 3, last, sizeof last);
    whet_i_graph g; /* fewer rows than neighbours; and one row alone */
    test_ok(ctx, whet_i_graph_build(ctx, x, 4, 2, 10, &g));
    assert_int_equal(g.start[4], 12);
    whet_i_graph_free(ctx, &g);
    test_ok(ctx, whet_i_graph_build(ctx, x, 1, 2, 10, &g));
    assert_int_equal(g.start[1], 0);
    whet_i_graph_free(ctx, &g);
    test_ctx_done(ctx);
}

/* Rows on a lattice, of which many are equally far: against all distances, equal ones by index. */
static void nearest_by_distance(void **state) {
    (void)state;
    enum { ROWS = 900, MOST = 12 };
    static float x[ROWS * 2];
    static int64_t index[ROWS * MOST];
    whet_ctx *ctx = test_ctx(2);
    whet_i_graph g;
    for (int i = 0; i < ROWS; i++) {
        x[2 * i] = (float)(i * 7 % 30);
        x[2 * i + 1] = (float)(i * 11 % 29) / 2;
    }
    test_ok(ctx, whet_i_nearest_euclidean(ctx, x, ROWS, 2, MOST, index));
    for (int i = 0; i < ROWS; i++) {
        bool taken[ROWS] = {false};
        taken[i] = true;
        for (int m = 0; m < MOST; m++) {
            double least = INFINITY;
            int64_t best = -1;
            for (int j = 0; j < ROWS; j++) {
                const double a = (double)x[2 * i] - (double)x[2 * j];
                const double b = (double)x[2 * i + 1] - (double)x[2 * j + 1];
                if (taken[j] || a * a + b * b >= least) continue;
                least = a * a + b * b;
                best = j;
            }
            taken[best] = true;
            assert_int_equal(index[i * MOST + m], best);
        }
    }
    test_ok(ctx, whet_i_graph_build_euclidean(ctx, x, ROWS, 2, MOST, &g));
    for (int64_t i = 0; i < ROWS; i++) assert_true(g.degree[i] >= MOST);
    for (int64_t e = 0; e < g.start[ROWS]; e++) assert_true(g.weight[e] == 1);
    whet_i_graph_free(ctx, &g);
    test_ok(ctx, whet_i_graph_build_euclidean(ctx, x, 4, 2, MOST, &g)); /* all others */
    assert_int_equal(g.start[4], 12);
    whet_i_graph_free(ctx, &g);
    test_fails(ctx, whet_i_nearest_euclidean(ctx, x, 4, 2, 4, index), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static whet_status build_by_distance(whet_ctx *ctx, void *arg) {
    whet_i_graph g;
    const whet_status status = whet_i_graph_build_euclidean(ctx, arg, 50, 4, 3, &g);
    if (status == WHET_OK) whet_i_graph_free(ctx, &g);
    return status;
}

static void by_distance_without_memory(void **state) {
    (void)state;
    static float x[50 * 4];
    for (int i = 0; i < 50 * 4; i++) x[i] = (float)(i * 37 % 101);
    assert_true(test_each_allocation(build_by_distance, x) > 8);
}

static void smoothing_solves_the_dense_system(void **state) {
    (void)state;
    static float x[N * D];
    static double w[N * N], a[N * N], b[N * K], f[N * K];
    int32_t y[N];
    whet_ctx *ctx = test_ctx(2);
    whet_i_graph g;
    make_rows(x);
    labels_of(y);
    test_ok(ctx, whet_i_graph_build(ctx, x, N, D, M, &g));
    dense_of(&g, w);
    const double pull = .1 * whet_i_mean_degree(&g);
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0; c < K; c++) {
            f[i * K + c] = c == i % K ? .6 : .2;
            b[i * K + c] = y[i] >= 0 ? (c == y[i] ? 1 : 0) : pull * f[i * K + c];
        }
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) {
            assert_true(w[i * N + j] == w[j * N + i]);
            a[i * N + j] = i == j ? (y[i] >= 0 ? 1 : g.degree[i] + pull) : 0;
            if (i == j || y[i] >= 0) continue;
            if (y[j] >= 0)
                b[i * K + y[j]] += w[i * N + j];
            else
                a[i * N + j] = -w[i * N + j];
        }
    test_ok(ctx, whet_i_smooth(ctx, &g, .1, y, K, f));
    test_ok(ctx, whet_i_cholesky_solve(ctx, N, a, K, b));
    for (int64_t i = 0; i < N; i++) {
        double sum = 0;
        for (int64_t c = 0; c < K; c++) {
            near(f[i * K + c], b[i * K + c]);
            sum += f[i * K + c];
        }
        near(sum, 1); /* rows of F are means of probabilities */
    }
    whet_i_graph_free(ctx, &g);
    test_ctx_done(ctx);
}

static void spreading_solves_the_dense_system(void **state) {
    (void)state;
    static float x[N * D];
    static double w[N * N], a[N * N], b[N * K], f[N * K];
    int32_t y[N];
    whet_ctx *ctx = test_ctx(2);
    whet_i_graph g;
    make_rows(x);
    labels_of(y);
    test_ok(ctx, whet_i_graph_build(ctx, x, N, D, M, &g));
    dense_of(&g, w);
    for (int64_t i = 0; i < N; i++) {
        for (int64_t j = 0; j < N; j++)
            a[i * N + j] = (i == j ? 1 : 0) - .9 * w[i * N + j] / sqrt(g.degree[i] * g.degree[j]);
        for (int64_t c = 0; c < K; c++) b[i * K + c] = c == y[i] ? 1 : 0;
    }
    test_ok(ctx, whet_i_spread(ctx, &g, .9, y, K, f));
    test_ok(ctx, whet_i_cholesky_solve(ctx, N, a, K, b));
    for (int64_t i = 0; i < N * K; i++) near(f[i], b[i]);
    whet_i_graph_free(ctx, &g);
    test_ctx_done(ctx);
}

static void harmonic_rows_are_the_means_of_their_neighbours(void **state) {
    (void)state;
    static float x[N * D];
    static double f[N * K];
    int32_t y[N];
    whet_ctx *ctx = test_ctx(1);
    whet_i_graph g;
    make_rows(x);
    labels_of(y);
    test_ok(ctx, whet_i_graph_build(ctx, x, N, D, M, &g));
    int64_t unreached = -1;
    test_ok(ctx, whet_i_harmonic(ctx, &g, y, K, f, &unreached));
    assert_int_equal(unreached, 0);
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0; c < K; c++) {
            double mean = 0;
            for (int64_t e = g.start[i]; e < g.start[i + 1]; e++)
                mean += g.weight[e] * f[g.to[e] * K + c] / g.degree[i];
            near(f[i * K + c], y[i] >= 0 ? (c == y[i] ? 1 : 0) : mean);
        }
    whet_i_graph_free(ctx, &g);
    /* Two islands, one without a label: the shares of the classes. */
    float islands[8 * 2];
    int32_t some[8] = {0, 1, 0, -1, -1, -1, -1, -1};
    for (int i = 0; i < 8; i++) {
        islands[2 * i] = i < 4 ? 1 : 0;
        islands[2 * i + 1] = i < 4 ? 0 : 1;
    }
    test_ok(ctx, whet_i_graph_build(ctx, islands, 8, 2, 3, &g));
    test_ok(ctx, whet_i_harmonic(ctx, &g, some, 2, f, &unreached));
    assert_int_equal(unreached, 4);
    near(f[2 * 6], 2.0 / 3);
    near(f[2 * 3], 2.0 / 3);
    whet_i_graph_free(ctx, &g);
    test_ctx_done(ctx);
}

static void baselines_answer_every_row(void **state) {
    (void)state;
    static float x[N * D], names[K * D];
    static double one[N * K], two[N * K];
    int32_t y[N];
    make_rows(x);
    labels_of(y);
    for (int c = 0; c < K; c++) names[c * D + c] = 1;
    for (int method = 0; method < 4; method++) {
        for (int32_t threads = 1; threads <= 3; threads += 2) {
            whet_ctx *ctx = test_ctx(threads);
            const whet_baseline_input in = {.features = x,
                                            .n = N,
                                            .d = D,
                                            .k = K,
                                            .labels = y,
                                            .seed = 1,
                                            .class_features =
                                                method == WHET_BASELINE_ZERO_SHOT ? names : NULL};
            test_ok(ctx,
                    whet_baseline_run(ctx, (whet_baseline)method, &in, threads == 1 ? one : two));
            test_ctx_done(ctx);
        }
        assert_memory_equal(one, two, sizeof one);
        int64_t hits = 0;
        for (int64_t i = 0; i < N; i++) {
            double sum = 0;
            for (int64_t c = 0; c < K; c++) sum += one[i * K + c];
            near(sum, 1);
            hits += whet_i_argmax(one + i * K, K) == i % K ? 1 : 0;
        }
        /* Chance is a third; classes overlap, and one label in eight is given. */
        if ((double)hits <= .55 * N) fail_msg("method %d: %d of %d", method, (int)hits, N);
    }
    whet_ctx *ctx = test_ctx(1);
    for (int i = 0; i < N; i++) y[i] = -1;
    const whet_baseline_input none = {
        .features = x, .n = N, .d = D, .k = K, .labels = y, .seed = 1};
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_SPREAD, &none, one), WHET_ERR_DATA);
    test_says(ctx, "label");
    x[3 * D] = NAN;
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_SPREAD, &none, one), WHET_ERR_DATA);
    test_says(ctx, "row 3");
    test_ctx_done(ctx);
}

/* ---- all rows, against scikit-learn on 1,797 digits ------------------------------------------- */

typedef struct digits {
    const char *file;
    whet_tensor x, y, at;
    int64_t n, d, k, b;
    int32_t *labels; /* [n] */
    double *f;       /* [n, k] */
} digits;

static whet_status try_golden(whet_ctx *ctx, const char *file, const char *key, whet_dtype dtype,
                              int32_t rank, whet_tensor *out) {
    char spec[1200];
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), key);
    return whet_array_read_as(ctx, spec, dtype, rank, true, out);
}

static digits read_digits(whet_ctx *ctx, const char *file) {
    digits d = {.file = file};
    test_ok(ctx, try_golden(ctx, file, "X", WHET_F32, 2, &d.x));
    test_ok(ctx, try_golden(ctx, file, "y", WHET_I32, 1, &d.y));
    test_ok(ctx, try_golden(ctx, file, "idx_lab", WHET_I64, 1, &d.at));
    const int32_t *y = d.y.data;
    d.n = d.x.shape[0];
    d.d = d.x.shape[1];
    d.b = d.at.shape[0];
    d.labels = malloc(sizeof *d.labels * (size_t)d.n);
    assert_non_null(d.labels);
    for (int64_t i = 0; i < d.n; i++) {
        d.labels[i] = -1;
        d.k = y[i] + 1 > d.k ? y[i] + 1 : d.k;
    }
    for (int64_t l = 0; l < d.b; l++) {
        const int64_t row = ((const int64_t *)d.at.data)[l];
        d.labels[row] = y[row];
    }
    d.f = calloc((size_t)(d.n * d.k), sizeof *d.f);
    assert_non_null(d.f);
    return d;
}

static void drop_digits(whet_ctx *ctx, digits *d) {
    whet_tensor_destroy(ctx, &d->x);
    whet_tensor_destroy(ctx, &d->y);
    whet_tensor_destroy(ctx, &d->at);
    free(d->labels);
    free(d->f);
}

/* Runs check on the files of this kind. */
static void each_digits(void (*check)(whet_ctx *ctx, digits *d)) {
    char **file;
    const int64_t n = test_shared_files("golden/autows", "semi_", ".npz", &file);
    whet_ctx *ctx = test_ctx(2);
    for (int64_t i = 0; i < n; i++) {
        digits d = read_digits(ctx, file[i]);
        check(ctx, &d);
        drop_digits(ctx, &d);
    }
    test_free_files(file, n);
    test_ctx_done(ctx);
    test_need_some(n, "rows with labels of some");
}

/* Its iterations end when a round moves all numbers by 1e-3 together, which at alpha .2 leaves at most
 * 1e-3 .2 / .8 in one, and rows are divided by their sums afterwards. */
static void compare(const digits *d, const char *key, const whet_tensor *expected) {
    const double *e = expected->data;
    int64_t same = 0;
    for (int64_t i = 0; i < d->n; i++, e += d->k) {
        const double *f = d->f + i * d->k;
        double sum = 0;
        for (int64_t c = 0; c < d->k; c++) sum += f[c];
        for (int64_t c = 0; c < d->k; c++) assert_true(fabs(f[c] / sum - e[c]) < 2.5e-4 / sum);
        same += whet_i_argmax(f, d->k) == whet_i_argmax(e, d->k) ? 1 : 0;
    }
    if ((double)same < .998 * (double)d->n)
        fail_msg("%s: %d labels of %d", key, (int)same, (int)d->n);
}

/* F of consistency at alpha .2 from its columns. */
static void spread_digits(whet_ctx *ctx, const digits *d, double gamma) {
    double *green = malloc(sizeof *green * (size_t)(d->n * d->b));
    const int64_t *rows = d->at.data;
    assert_non_null(green);
    test_ok(ctx, whet_i_dense_green(ctx, d->x.data, d->n, d->d, gamma, .2, rows, d->b, green));
    memset(d->f, 0, sizeof *d->f * (size_t)(d->n * d->k));
    for (int64_t r = 0; r < d->n; r++)
        for (int64_t l = 0; l < d->b; l++)
            d->f[r * d->k + d->labels[rows[l]]] += .8 * green[r * d->b + l];
    free(green);
}

/* Propagation beyond gamma 1 is not compared: its iterations do not arrive there. */
static void check_golden(whet_ctx *ctx, digits *d) {
    static const double gammas[] = {.01, .1, .5, 1, 5, 20};
    int64_t compared = 0;
    for (int i = 0; i < 12; i++) {
        const bool spreads = i >= 6;
        const double gamma = gammas[i % 6];
        char key[32];
        whet_tensor expected;
        int64_t unreached;
        (void)snprintf(key, sizeof key, "P_%s_rbf_g%g", spreads ? "ls" : "lp", gamma);
        if (!spreads && gamma > 1) continue;
        if (try_golden(ctx, d->file, key, WHET_F64, 2, &expected) != WHET_OK) continue;
        if (spreads)
            spread_digits(ctx, d, gamma);
        else
            test_ok(ctx, whet_i_dense_harmonic(ctx, d->x.data, d->n, d->d, gamma, d->labels, d->k,
                                               d->f, &unreached));
        compare(d, key, &expected);
        whet_tensor_destroy(ctx, &expected);
        compared++;
    }
    assert_true(compared > 0);
}

static void all_rows_as_scikit_learn_has_them(void **state) {
    (void)state;
    each_digits(check_golden);
}

/* A temperature of 1 leaves the method's own numbers: rows of F, each by its sum. 2 takes their roots. */
static void check_own_numbers(whet_ctx *ctx, digits *d) {
    double *p = malloc(sizeof *p * (size_t)(d->n * d->k));
    assert_non_null(p);
    for (int t = 1; t <= 2; t++) {
        const whet_baseline_input input = {.features = d->x.data,
                                           .n = d->n,
                                           .d = d->d,
                                           .k = d->k,
                                           .labels = d->labels,
                                           .gamma = 5,
                                           .alpha = .2,
                                           .temperature = t};
        spread_digits(ctx, d, 5);
        test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_SPREAD, &input, p));
        for (int64_t i = 0; i < d->n; i++) {
            double *f = d->f + i * d->k, all = 0, sum = 0;
            for (int64_t c = 0; c < d->k; c++) all += f[c];
            for (int64_t c = 0; c < d->k; c++)
                sum += f[c] = t == 1 ? f[c] / all : sqrt(fmax(f[c] / all, WHET_I_PROB_FLOOR));
            for (int64_t c = 0; c < d->k; c++)
                assert_true(fabs(p[i * d->k + c] - f[c] / sum) < 1e-12);
        }
    }
    free(p);
}

static void digits_at_a_temperature(void **state) {
    (void)state;
    each_digits(check_own_numbers);
}

/* Where weights differ by a hundred orders of magnitude, rows sum up to one within some n roundings: 1e-12.
 * The accuracies at 5 and 10 are those of an independent solver, by conjugate gradients (index_harmonic). */
static void check_any_gamma(whet_ctx *ctx, digits *d) {
    static const struct {
        double gamma, accuracy;
    } cases[] = {{5, .9575721862109605}, {10, .9599292869770183}, {20, .95}, {50, .95}};
    const bool known = strstr(d->file, "semi_digits.npz") != NULL;
    for (int i = 0; i < 4; i++) {
        int64_t unreached, hits = 0;
        test_ok(ctx, whet_i_dense_harmonic(ctx, d->x.data, d->n, d->d, cases[i].gamma, d->labels,
                                           d->k, d->f, &unreached));
        if (known) assert_int_equal(unreached, 0);
        for (int64_t r = 0; r < d->n; r++) {
            const double *f = d->f + r * d->k;
            double sum = 0;
            for (int64_t c = 0; c < d->k; c++) {
                assert_true(f[c] >= 0);
                sum += f[c];
            }
            assert_true(fabs(sum - 1) < 1e-12);
            hits += d->labels[r] < 0 && whet_i_argmax(f, d->k) == ((int32_t *)d->y.data)[r] ? 1 : 0;
        }
        if (known && (double)hits / (double)(d->n - d->b) < cases[i].accuracy - 1e-12)
            fail_msg("gamma %g: %d hits", cases[i].gamma, (int)hits);
    }
}

static void digits_whatever_gamma_is(void **state) {
    (void)state;
    each_digits(check_any_gamma);
}

/* The graph of the 7, 10 or 15 nearest by distance, in both directions, all alike: the accuracies of an
 * independent direct solver (index_harmonic). */
static void check_neighbours(whet_ctx *ctx, digits *d) {
    static const struct {
        int64_t m;
        double alpha, accuracy; /* alpha 0: harmonic */
    } cases[] = {{7, 0, .9599292869770183},   {7, .2, .9369475545079552},
                 {7, .8, .9581614614024749},  {7, .99, .9422510312315852},
                 {10, 0, .9593400117855039},  {10, .2, .9387153800824986},
                 {10, .8, .9575721862109605}, {10, .99, .9316440777843252},
                 {15, 0, .952857984678845},   {15, .2, .9404832056570418}};
    if (strstr(d->file, "semi_digits.npz") == NULL) return;
    for (int i = 0; i < WHET_COUNT_OF(cases); i++) {
        const whet_baseline_input input = {.features = d->x.data,
                                           .n = d->n,
                                           .d = d->d,
                                           .k = d->k,
                                           .labels = d->labels,
                                           .alpha = cases[i].alpha,
                                           .neighbours = cases[i].m,
                                           .neighbour_metric = WHET_NEIGHBOURS_EUCLIDEAN};
        int64_t hits = 0;
        test_ok(ctx, whet_baseline_run(
                         ctx, cases[i].alpha > 0 ? WHET_BASELINE_SPREAD : WHET_BASELINE_PROPAGATE,
                         &input, d->f));
        for (int64_t r = 0; r < d->n; r++)
            hits += d->labels[r] < 0 &&
                            whet_i_argmax(d->f + r * d->k, d->k) == ((int32_t *)d->y.data)[r]
                        ? 1
                        : 0;
        if (fabs((double)hits / (double)(d->n - d->b) - cases[i].accuracy) > 1e-12)
            fail_msg("%d neighbours, alpha %g: %d hits", (int)cases[i].m, cases[i].alpha,
                     (int)hits);
    }
}

static void digits_by_distance(void **state) {
    (void)state;
    each_digits(check_neighbours);
}

/* Rows on a line, each the neighbour of two: a gambler's ruin with weights of 1e-240, known in
 * closed form. Beyond it, two rows that no label reaches. */
static void weights_may_be_of_any_size(void **state) {
    (void)state;
    enum { L = 150, REST = L + 2 };
    static float x[REST];
    static double w[L * L], loss[L], r[L * 2], f[REST * 2];
    int32_t y[REST];
    int64_t unreached;
    whet_ctx *ctx = test_ctx(1);
    double length = 0, total = 1;
    for (int i = 0; i + 1 < L; i++) { /* conductances of 1 to 1e-240; resistances add up */
        w[i * L + i + 1] = w[(i + 1) * L + i] = pow(10, -(double)(i % 7) * 40);
        total += 1 / w[i * L + i + 1];
    }
    loss[0] = r[0] = 1; /* the first ends in column 0, the last in column 1 */
    loss[L - 1] = r[(L - 1) * 2 + 1] = 1e-90;
    total += 1e90;
    length = 1;
    static double kept[L * L];
    memcpy(kept, w, sizeof w);
    test_ok(ctx, whet_i_reduce_states(ctx, L, w, loss, 2, -1, r));
    for (int i = 0; i < L; i++) {
        assert_true(fabs(r[i * 2 + 1] - length / total) <= 1e-12 * (length / total));
        if (i + 1 < L) length += 1 / kept[i * L + i + 1];
    }
    for (int i = 0; i < REST; i++) {
        x[i] = i < L ? (float)i : 1e6F + (float)i;
        y[i] = i == 0 ? 0 : i == 1 || i == L - 1 ? 1 : -1;
    }
    test_ok(ctx, whet_i_dense_harmonic(ctx, x, REST, 1, 5, y, 2, f, &unreached));
    assert_int_equal(unreached, 2);
    for (int i = L; i < REST; i++) assert_true(fabs(f[2 * i] - 1. / 3) < 1e-15);
    assert_true(f[2 * 2 + 1] > 1 - 1e-6); /* e^-15, of the label two steps away */
    static double green[REST];
    const int64_t own = L;
    test_ok(ctx, whet_i_dense_green(ctx, x, REST, 1, 1e6, .5, &own, 1, green));
    for (int i = 0; i < REST; i++)
        assert_true(green[i] == (i == L ? 1 : 0)); /* none has a neighbour */
    test_ctx_done(ctx);
}

typedef struct among_all {
    float x[200];
    int32_t y[200];
    double f[400];
} among_all;

static whet_status harmonic_and_green(whet_ctx *ctx, void *arg) {
    among_all *a = arg;
    int64_t unreached;
    const int64_t rows[2] = {0, 100};
    whet_status status = whet_i_dense_harmonic(ctx, a->x, 200, 1, 3, a->y, 2, a->f, &unreached);
    return status == WHET_OK ? whet_i_dense_green(ctx, a->x, 200, 1, 3, .5, rows, 2, a->f) : status;
}

static void all_rows_without_memory(void **state) {
    (void)state;
    static among_all a;
    for (int i = 0; i < 200; i++) {
        a.x[i] = (float)(i * 37 % 200) / 100;
        a.y[i] = i % 50 == 0 ? i / 50 % 2 : -1;
    }
    assert_true(test_each_allocation(harmonic_and_green, &a) > 8);
}

/* Each unlabelled row is the weighted mean of all others, whatever gamma is; consistency solves its own
 * equation. */
static void all_rows_solve_their_equations(void **state) {
    (void)state;
    static float x[N * D];
    static double f[N * K], green[N * 2], w[N * N], degree[N];
    const int64_t rows[2] = {3, 77};
    int32_t y[N];
    int64_t unreached;
    whet_ctx *ctx = test_ctx(2);
    make_rows(x);
    labels_of(y);
    static const double gammas[] = {.1, 2, 40};
    for (int at = 0; at < 3; at++) {
        const double gamma = gammas[at];
        for (int i = 0; i < N; i++) {
            degree[i] = 0;
            for (int j = 0; j < N; j++) {
                double square = 0;
                for (int c = 0; c < D; c++) {
                    const double off = (double)x[i * D + c] - (double)x[j * D + c];
                    square += off * off;
                }
                w[i * N + j] = i == j ? 0 : exp(-gamma * square);
                degree[i] += w[i * N + j];
            }
        }
        test_ok(ctx, whet_i_dense_harmonic(ctx, x, N, D, gamma, y, K, f, &unreached));
        test_ok(ctx, whet_i_dense_green(ctx, x, N, D, gamma, .7, rows, 2, green));
        for (int i = 0; i < N; i++) {
            for (int c = 0; c < K; c++) {
                double mean = 0;
                for (int j = 0; j < N; j++) mean += w[i * N + j] * f[j * K + c] / degree[i];
                near(f[i * K + c], y[i] >= 0 ? (c == y[i] ? 1 : 0) : mean);
            }
            for (int l = 0; l < 2; l++) {
                double sum = i == rows[l] ? 1 : 0;
                for (int j = 0; j < N; j++)
                    sum += .7 * w[i * N + j] * green[j * 2 + l] / sqrt(degree[i] * degree[j]);
                near(green[i * 2 + l], sum);
            }
        }
    }
    const whet_baseline_input far = {
        .features = x, .n = N, .d = D, .k = K, .labels = y, .gamma = -1};
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_SPREAD, &far, f), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_those_of_a_full_sort),
        cmocka_unit_test(equal_neighbours_go_by_index),
        cmocka_unit_test(nearest_by_distance),
        cmocka_unit_test(by_distance_without_memory),
        cmocka_unit_test(digits_by_distance),
        cmocka_unit_test(digits_at_a_temperature),
        cmocka_unit_test(smoothing_solves_the_dense_system),
        cmocka_unit_test(spreading_solves_the_dense_system),
        cmocka_unit_test(harmonic_rows_are_the_means_of_their_neighbours),
        cmocka_unit_test(baselines_answer_every_row),
        cmocka_unit_test(all_rows_as_scikit_learn_has_them),
        cmocka_unit_test(digits_whatever_gamma_is),
        cmocka_unit_test(weights_may_be_of_any_size),
        cmocka_unit_test(all_rows_without_memory),
        cmocka_unit_test(all_rows_solve_their_equations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
