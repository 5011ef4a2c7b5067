/* SPDX-License-Identifier: Apache-2.0
 * The Frechet mean over every kind of space: by hand, against the dense formula, at the edges. */
#include "space_support.h"

#include "whet/kernels.h"

#include "space/frechet_i.h"

static void predict1(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                     const double *p, whet_candidates candidates, int64_t *best, double *cost,
                     int32_t *ties, double *margin) {
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = candidates;
    test_ok(ctx,
            whet_frechet_predict(ctx, space, observed, k, p, 1, &opts, best, cost, ties, margin));
}

/* a - b - c: p = (.5, .5) on the ends gives F = (2, 1, 2); (.75, .25) gives (1, 1, 3). */
static void the_middle_of_a_path_is_predicted_unseen(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    test_ok(ctx, whet_i_space_path(ctx, 3, &path));
    const int64_t ends[] = {0, 2};
    int64_t best;
    double cost, margin;
    int32_t ties;
    predict1(ctx, path, ends, 2, (double[]){.5, .5}, WHET_CANDIDATES_ALL, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 1);
    assert_true(cost == 1 && ties == 1 && margin == 1);
    predict1(ctx, path, ends, 2, (double[]){.75, .25}, WHET_CANDIDATES_ALL, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 0);
    assert_true(cost == 1 && ties == 2 && margin == 2);
    predict1(ctx, path, ends, 2, (double[]){3, 3}, WHET_CANDIDATES_OBSERVED, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 0);
    assert_true(cost == 2 && ties == 2 && isinf(margin));
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

/* A star of three leaves, p uniform: F(centre) = 1, F(leaf) = 8/3; leaves alone tie three ways. */
static void leaves_of_a_star_tie(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *star = NULL;
    const int64_t parent[] = {3, 3, 3, -1}, leaves[] = {2, 0, 1};
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, 4, parent, NULL, true, &star));
    int64_t best;
    double cost, margin;
    int32_t ties;
    predict1(ctx, star, leaves, 3, (double[]){1, 1, 1}, WHET_CANDIDATES_ALL, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 3);
    assert_near(cost, 1, 1e-15);
    assert_near(margin, 8. / 3 - 1, 1e-15);
    predict1(ctx, star, leaves, 3, (double[]){1, 1, 1}, WHET_CANDIDATES_LEAVES, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 0);
    assert_int_equal(ties, 3);
    assert_near(cost, 8. / 3, 1e-15);
    assert_true(isinf(margin));
    whet_space_destroy(ctx, star);
    test_ctx_done(ctx);
}

static void a_root_of_degree_one_is_no_leaf_when_the_file_names_it(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const int64_t parent[] = {-1, 0, 1}, one[] = {0};
    for (int rooted = 0; rooted < 2; rooted++) {
        whet_space *space = NULL;
        whet_frechet *f = NULL;
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.candidates = WHET_CANDIDATES_LEAVES;
        test_ok(ctx, whet_i_space_from_tree(ctx, NULL, 3, parent, NULL, rooted == 1, &space));
        test_ok(ctx, whet_frechet_create(ctx, space, one, 1, &opts, &f));
        assert_int_equal(whet_frechet_candidates(f), rooted ? 1 : 2);
        whet_frechet_destroy(ctx, f);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

static void one_point_is_predicted_with_nothing_beside_it(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    const int64_t zero[] = {0}, root[] = {-1}, size[] = {1, 1};
    double d[] = {0}, e[] = {3, 4};
    whet_tensor dt = {d, WHET_F64, 2, {1, 1}}, et = {e, WHET_F64, 2, {1, 2}};
    whet_space *spaces[6] = {0};
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, 1, root, NULL, true, &spaces[0]));
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &dt, false, &spaces[1]));
    test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &et, false, MEASURE_EUCLIDEAN, &spaces[2]));
    test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &et, false, MEASURE_UNIT, &spaces[3]));
    test_ok(ctx, whet_i_space_discrete(ctx, NULL, 1, &spaces[4]));
    test_ok(ctx, whet_i_space_grid(ctx, size, 2, false, &spaces[5]));
    for (int i = 0; i < 6; i++) {
        for (int c = 0; c < 3; c++) {
            int64_t best = -1;
            double cost = -1, margin = 0;
            int32_t ties = 0;
            predict1(ctx, spaces[i], zero, 1, (double[]){.3}, (whet_candidates)c, &best, &cost,
                     &ties, &margin);
            assert_int_equal(best, 0);
            assert_true(cost == 0 && ties == 1 && isinf(margin));
        }
        whet_space_destroy(ctx, spaces[i]);
    }
    test_ctx_done(ctx);
}

/* ---- against the dense formula --------------------------------------------------------------- */

enum { ROWS = 67 };

/* Every kind of candidates, both powers, some depth of top. */
static void check_space(whet_ctx *ctx, const whet_space *space, int64_t k, uint64_t seed,
                        const bool *leaf) {
    const int64_t n = whet_space_size(space);
    int64_t *points = test_points(n, seed), *list = test_points(n, seed + 1);
    double *p = test_probs(ROWS, k, seed), *table = test_table(space);
    for (int variant = 0; variant < 16; variant++) {
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        bool *candidate = TEST_NEW(bool, n);
        int64_t count = 0;
        opts.power = variant & 1 ? 1 : 2;
        opts.candidates = (whet_candidates)(variant >> 1 & 3);
        opts.candidate_list = list;
        opts.n_candidates = (n + 2) / 3;
        for (int64_t y = 0; y < n; y++)
            candidate[y] = opts.candidates == WHET_CANDIDATES_ALL ||
                           (opts.candidates == WHET_CANDIDATES_LEAVES && leaf[y]);
        for (int64_t j = 0; opts.candidates == WHET_CANDIDATES_OBSERVED && j < k; j++)
            candidate[points[j]] = true;
        for (int64_t j = 0; opts.candidates == WHET_CANDIDATES_LIST && j < opts.n_candidates; j++)
            candidate[list[j]] = true;
        for (int64_t y = 0; y < n; y++) count += candidate[y];
        opts.top = variant & 8 ? (int32_t)(count < 5 ? count : 5) : 1;
        if (count) assert_matches_oracle(ctx, space, points, k, p, ROWS, opts, table, candidate);
        free(candidate);
    }
    free(table);
    free(points);
    free(list);
    free(p);
}

static void trees_match_the_dense_formula(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int shape = 0; shape < 4; shape++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            const int64_t sizes[] = {2, 3, 17, 120};
            for (int s = 0; s < 4; s++) {
                const int64_t n = sizes[s];
                whet_space *tree =
                    test_tree(ctx, n, shape, weighted == 1, (uint64_t)(shape * 8 + s));
                bool *leaf = TEST_NEW(bool, n);
                for (int64_t v = 0; v < n; v++) leaf[v] = tree->tree.degree[v] == 1;
                const int64_t ks[] = {1, 2, (n + 2) / 3, n};
                for (int i = 0; i < 4; i++)
                    check_space(ctx, tree, ks[i] < n ? ks[i] : n, (uint64_t)(100 * i + s), leaf);
                free(leaf);
                whet_space_destroy(ctx, tree);
            }
        }
    }
    test_ctx_done(ctx);
}

static void check_all_leaves(whet_ctx *ctx, whet_space *space) {
    const int64_t n = whet_space_size(space), ks[] = {1, 2, (n + 3) / 4, n};
    bool *leaf = TEST_NEW(bool, n);
    for (int64_t v = 0; v < n; v++) leaf[v] = true;
    for (int i = 0; i < 4; i++) check_space(ctx, space, ks[i] < n ? ks[i] : n, 5, leaf);
    free(leaf);
    whet_space_destroy(ctx, space);
}

static void embeddings_match_the_dense_formula(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int measure = MEASURE_EUCLIDEAN; measure <= MEASURE_ANGULAR; measure++) {
        check_all_leaves(ctx, test_embedding(ctx, 70, 5, (space_measure)measure, 1));
        check_all_leaves(ctx, test_embedding(ctx, 300, 33, (space_measure)measure, 2));
    }
    test_ctx_done(ctx);
}

/* Far from the origin everything cancels: the centre and the exact sums must save the digits. */
static void embeddings_far_from_the_origin_keep_their_precision(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    enum { N = 40, DIM = 3 };
    double e[N * DIM];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int i = 0; i < N * DIM; i++) e[i] = 1e6 + (double)whet_i_rng_below(&rng, 50);
    memcpy(e + DIM, e, DIM * sizeof *e); /* points 0 and 1 are the same */
    whet_tensor t = {e, WHET_F64, 2, {N, DIM}};
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, MEASURE_EUCLIDEAN, &space));
    const int64_t twin[] = {1, 5};
    int64_t best;
    double cost, margin;
    int32_t ties;
    predict1(ctx, space, twin, 2, (double[]){1, 0}, WHET_CANDIDATES_ALL, &best, &cost, &ties,
             &margin);
    assert_int_equal(best, 0);
    assert_int_equal(ties, 2);
    assert_true(cost == 0 && margin > 0);
    check_all_leaves(ctx, space);
    test_ctx_done(ctx);
}

/* One to four axes, of length 1 too; both metrics, both powers; all cells, or some. */
static void grids_of_every_rank_match_the_dense_formula(void **state) {
    (void)state;
    static const int64_t sizes[][4] = {{17, 0}, {1, 9, 0}, {6, 7, 0}, {3, 1, 5, 0}, {2, 3, 4, 3}};
    whet_ctx *ctx = test_ctx(2);
    for (int i = 0; i < 20; i++) {
        const int64_t *size = sizes[i % 5];
        whet_space *grid = NULL;
        int32_t rank = 0;
        while (rank < 4 && size[rank] > 0) rank++;
        test_ok(ctx, whet_i_space_grid(ctx, size, rank, i % 2 == 1, &grid));
        const int64_t n = whet_space_size(grid), k = 1 + n / 3;
        int64_t *observed = test_points(n, (uint64_t)i), *list = TEST_NEW(int64_t, n);
        double *table = test_table(grid), *p = test_probs(33, k, (uint64_t)i);
        bool *candidate = TEST_NEW(bool, n);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.power = 1 + i / 10;
        opts.top = i % 3 == 0 ? 4 : 1;
        if (opts.top > n) opts.top = (int32_t)n;
        for (int64_t v = 0; v < n; v++) {
            candidate[v] = i % 4 != 3 || v % 2 == 0;
            if (candidate[v]) list[opts.n_candidates++] = v;
        }
        opts.candidates = WHET_CANDIDATES_LIST;
        opts.candidate_list = list;
        assert_matches_oracle(ctx, grid, observed, k, p, 33, opts, table, candidate);
        free(observed);
        free(list);
        free(table);
        free(p);
        free(candidate);
        whet_space_destroy(ctx, grid);
    }
    test_ctx_done(ctx);
}

/* A million cells, a hundred thousand of them observed: nothing of size K N. */
static void large_grids_take_no_table(void **state) {
    (void)state;
    enum { SIDE = 1000, K = 100000 };
    whet_ctx *ctx = test_ctx(1);
    const int64_t size[] = {SIDE, SIDE};
    whet_space *grid = NULL;
    int64_t *observed = TEST_NEW(int64_t, K), best;
    double *p = TEST_NEW(double, K), cost;
    test_ok(ctx, whet_i_space_grid(ctx, size, 2, true, &grid));
    /* The first hundred rows of cells, evenly: the mean is the middle of them. */
    for (int64_t j = 0; j < K; j++) {
        observed[j] = j;
        p[j] = 1;
    }
    int32_t ties;
    test_ok(ctx,
            whet_frechet_predict(ctx, grid, observed, K, p, 1, NULL, &best, &cost, &ties, NULL));
    assert_int_equal(ties, 4); /* 49.5 and 499.5 */
    assert_int_equal(best, 49 * SIDE + 499);
    /* Of a side of n: the mean of (i - (n - 1) / 2)^2 + 1/4 = (n^2 - 1) / 12 + 1/4. */
    assert_near(cost, (100. * 100 - 1) / 12 + (1000. * 1000 - 1) / 12 + .5, 1e-12);
    free(observed);
    free(p);
    whet_space_destroy(ctx, grid);
    test_ctx_done(ctx);
}

static void tables_grids_and_discrete_spaces_match_the_dense_formula(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL, *tree = test_tree(ctx, 90, 0, true, 3);
    check_all_leaves(ctx, test_matrix_of(ctx, tree));
    whet_space_destroy(ctx, tree);
    const int64_t size[] = {4, 7, 3};
    test_ok(ctx, whet_i_space_grid(ctx, size, 3, false, &space));
    check_all_leaves(ctx, space);
    test_ok(ctx, whet_i_space_discrete(ctx, NULL, 37, &space));
    check_all_leaves(ctx, space);
    test_ctx_done(ctx);
}

/* ---- properties ------------------------------------------------------------------------------ */

static void results_are_the_same_bits_at_any_thread_count(void **state) {
    (void)state;
    enum { N = 400, K = 90, MANY = 301, TOP = 3 };
    whet_ctx *one = test_ctx(1);
    whet_space *spaces[] = {test_tree(one, N, 0, true, 4), test_embedding(one, N, 12, false, 4),
                            test_embedding(one, N, 12, true, 4), NULL};
    spaces[3] = test_matrix_of(one, spaces[0]);
    int64_t *points = test_points(N, 4);
    double *p = test_probs(MANY, K, 4);
    for (int s = 0; s < 4; s++) {
        for (int32_t top = 1; top <= TOP; top += TOP - 1) {
            int64_t best[2][MANY * TOP];
            double cost[2][MANY * TOP], margin[2][MANY];
            int32_t ties[2][MANY];
            memset(best, 0, sizeof best);
            memset(cost, 0, sizeof cost);
            whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
            opts.top = top;
            for (int32_t threads = 1; threads <= 5; threads += threads == 1 ? 1 : 3) {
                whet_ctx *ctx = test_ctx(threads);
                const int i = threads > 1;
                test_ok(ctx, whet_frechet_predict(ctx, spaces[s], points, K, p, MANY, &opts,
                                                  best[i], cost[i], ties[i], margin[i]));
                test_ctx_done(ctx);
                if (!i) continue;
                assert_memory_equal(best[0], best[1], sizeof best[0]);
                assert_memory_equal(cost[0], cost[1], sizeof cost[0]);
                assert_memory_equal(ties[0], ties[1], sizeof ties[0]);
                assert_memory_equal(margin[0], margin[1], sizeof margin[0]);
            }
        }
    }
    for (int s = 0; s < 4; s++) whet_space_destroy(one, spaces[s]);
    free(points);
    free(p);
    test_ctx_done(one);
}

/* The loops multiply and add lane by lane, never contracted: every instruction set rounds alike.
 * Products with tables are the library's, so only the tree and its neighbours can promise that. */
static void trees_give_the_same_bits_with_every_kernel_set(void **state) {
    (void)state;
    enum { N = 500, K = 70, MANY = 35 };
    const char *sets[] = {"ref", "avx2", "avx512"};
    int64_t *points = test_points(N, 14), best[3][MANY];
    double *p = test_probs(MANY, K, 14), cost[3][MANY], margin[3][MANY];
    int32_t ties[3][MANY];
    for (int32_t power = 1; power <= 2; power++) {
        for (int i = 0; i < 3; i++) {
            whet_ctx *ctx = test_ctx(1);
            whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
            opts.power = power;
            opts.candidates = WHET_CANDIDATES_LEAVES;
            /* A set that the processor lacks falls back, and compares trivially. */
            if (whet_kernels_select(ctx, sets[i]) != WHET_OK)
                test_ok(ctx, whet_kernels_select(ctx, "ref"));
            whet_space *tree = test_tree(ctx, N, 0, true, 14);
            test_ok(ctx, whet_frechet_predict(ctx, tree, points, K, p, MANY, &opts, best[i],
                                              cost[i], ties[i], margin[i]));
            assert_memory_equal(best[0], best[i], sizeof best[0]);
            assert_memory_equal(cost[0], cost[i], sizeof cost[0]);
            assert_memory_equal(ties[0], ties[i], sizeof ties[0]);
            assert_memory_equal(margin[0], margin[i], sizeof margin[0]);
            whet_space_destroy(ctx, tree);
            test_ctx_done(ctx);
        }
    }
    free(points);
    free(p);
}

/* Powers of two scale exactly; even where sums leave the range of doubles. */
static void the_scale_of_a_row_is_irrelevant(void **state) {
    (void)state;
    enum { N = 60, K = 20 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = test_tree(ctx, N, 0, true, 5);
    int64_t *points = test_points(N, 5);
    double *p = test_probs(1, K, 5), scaled[K];
    int64_t best[2];
    double cost[2], margin[2];
    int32_t ties[2];
    predict1(ctx, tree, points, K, p, WHET_CANDIDATES_ALL, &best[0], &cost[0], &ties[0],
             &margin[0]);
    const double scales[] = {0x1p10, 0x1p-10, 0x1p1019, 0x1p-1000, 3};
    for (int s = 0; s < 5; s++) {
        for (int j = 0; j < K; j++) scaled[j] = p[j] * scales[s];
        predict1(ctx, tree, points, K, scaled, WHET_CANDIDATES_ALL, &best[1], &cost[1], &ties[1],
                 &margin[1]);
        assert_int_equal(best[0], best[1]);
        assert_int_equal(ties[0], ties[1]);
        assert_near(cost[1], cost[0], 1e-13);
        assert_near(margin[1], margin[0], 1e-12);
    }
    whet_space_destroy(ctx, tree);
    free(points);
    free(p);
    test_ctx_done(ctx);
}

static void a_discrete_space_predicts_the_argmax(void **state) {
    (void)state;
    enum { K = 12, ROWS_ = 64 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_discrete(ctx, NULL, 20, &space));
    int64_t *points = test_points(20, 6), best[ROWS_], argmax[ROWS_];
    double *p = test_probs(ROWS_, K, 6);
    whet_frechet *f = NULL;
    test_ok(ctx, whet_frechet_create(ctx, space, points, K, NULL, &f));
    test_ok(ctx, whet_frechet_run(ctx, f, p, ROWS_, best, NULL, NULL, NULL));
    whet_frechet_argmax(f, p, ROWS_, argmax);
    for (int r = 0; r < ROWS_; r++)
        if (r % 16 != 14) assert_int_equal(best[r], argmax[r]); /* those rows are uniform */
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, space);
    free(points);
    free(p);
    test_ctx_done(ctx);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void impossible_rows_are_named_and_nothing_is_written(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_space *path = NULL;
    test_ok(ctx, whet_i_space_path(ctx, 4, &path));
    const int64_t observed[] = {0, 3};
    enum { MANY = 100 };
    double p[MANY * 2], cost[MANY];
    int64_t best[MANY];
    for (int i = 0; i < MANY; i++) best[i] = -7;
    const double bad[] = {(double)NAN, (double)INFINITY, -1e-300, 0};
    const char *says[] = {"probs[70,1] is nan", "probs[70,1] is inf", "probs[70,1] is -1e-300",
                          "row 70 of probs is all zero"};
    for (int b = 0; b < 4; b++) {
        for (int i = 0; i < MANY * 2; i++) p[i] = .5;
        p[141] = bad[b];
        if (b == 3) p[140] = 0;
        p[199] = (double)NAN; /* a later bad row: the first one is named */
        test_fails(
            ctx,
            whet_frechet_predict(ctx, path, observed, 2, p, MANY, NULL, best, cost, NULL, NULL),
            WHET_ERR_DATA);
        test_says(ctx, says[b]);
        for (int i = 0; i < MANY; i++) assert_int_equal(best[i], -7);
    }
    test_ok(ctx, whet_frechet_predict(ctx, path, observed, 2, p, 0, NULL, best, NULL, NULL, NULL));
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    whet_frechet *f = NULL;
    test_ok(ctx, whet_i_space_path(ctx, 4, &path));
    const int64_t good[] = {0, 3}, twice[] = {1, 1}, outside[] = {0, 4};
    test_fails(ctx, whet_frechet_create(ctx, path, good, 0, NULL, &f), WHET_ERR_ARG);
    test_fails(ctx, whet_frechet_create(ctx, path, twice, 2, NULL, &f), WHET_ERR_ARG);
    test_says(ctx, "\"1\" is given twice");
    test_fails(ctx, whet_frechet_create(ctx, path, outside, 2, NULL, &f), WHET_ERR_ARG);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.power = 3;
    test_fails(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f), WHET_ERR_ARG);
    opts.power = 2;
    opts.top = 0;
    test_fails(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f), WHET_ERR_ARG);
    opts.top = 9;
    test_ok(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f));
    assert_int_equal(whet_frechet_top(f), 4);
    whet_frechet_destroy(ctx, f);
    f = NULL;
    opts.top = 1;
    opts.candidates = WHET_CANDIDATES_LIST;
    test_fails(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f), WHET_ERR_ARG);
    opts.candidates = (whet_candidates)9;
    test_fails(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f), WHET_ERR_ARG);
    opts.struct_size = 1000;
    test_fails(ctx, whet_frechet_create(ctx, path, good, 2, &opts, &f), WHET_ERR_ARG);
    assert_null(f);
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

static void costs_beyond_doubles_are_a_numeric_failure(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double d[] = {0, 1e200, 1e200, 0};
    whet_tensor t = {d, WHET_F64, 2, {2, 2}};
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    const int64_t both[] = {0, 1};
    const double p[] = {1, 1};
    int64_t best = -7;
    test_fails(ctx, whet_frechet_predict(ctx, space, both, 2, p, 1, NULL, &best, NULL, NULL, NULL),
               WHET_ERR_NUMERIC);
    assert_int_equal(best, -7);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* ---- every allocation failing ---------------------------------------------------------------- */

static whet_status predict_from_scratch(whet_ctx *ctx, void *arg) {
    const int kind = *(const int *)arg;
    static const int64_t parent[] = {-1, 0, 0, 1, 1}, size[] = {5};
    double e[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11}, d[25], p[] = {.2, .3, .5, 1, 1, 1};
    for (int i = 0; i < 25; i++) d[i] = i / 5 == i % 5 ? 0 : 1;
    whet_tensor et = {e, WHET_F64, 2, {5, 2}}, dt = {d, WHET_F64, 2, {5, 5}};
    const int64_t observed[] = {4, 0, 2};
    whet_space *space = NULL;
    whet_status status = WHET_OK;
    int64_t best[2];
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.power = kind == 5 ? 1 : 2;
    if (kind == 0) WHET_TRY(whet_i_space_from_tree(ctx, NULL, 5, parent, NULL, true, &space));
    if (kind == 1) WHET_TRY(whet_i_space_from_matrix(ctx, NULL, &dt, false, &space));
    if (kind == 2 || kind == 5)
        WHET_TRY(whet_i_space_from_embedding(ctx, NULL, &et, false,
                                             kind == 2 ? MEASURE_UNIT : MEASURE_EUCLIDEAN, &space));
    if (kind == 3) WHET_TRY(whet_i_space_discrete(ctx, NULL, 5, &space));
    if (kind == 4) WHET_TRY(whet_i_space_grid(ctx, size, 1, false, &space));
    WHET_TRY_DONE(
        whet_frechet_predict(ctx, space, observed, 3, p, 2, &opts, best, NULL, NULL, NULL));
done:
    whet_space_destroy(ctx, space);
    return status;
}

static void each_failed_allocation_is_survived(void **state) {
    (void)state;
    for (int kind = 0; kind < 6; kind++)
        assert_true(test_each_allocation(predict_from_scratch, &kind) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_of_a_path_is_predicted_unseen),
        cmocka_unit_test(leaves_of_a_star_tie),
        cmocka_unit_test(a_root_of_degree_one_is_no_leaf_when_the_file_names_it),
        cmocka_unit_test(one_point_is_predicted_with_nothing_beside_it),
        cmocka_unit_test(trees_match_the_dense_formula),
        cmocka_unit_test(embeddings_match_the_dense_formula),
        cmocka_unit_test(embeddings_far_from_the_origin_keep_their_precision),
        cmocka_unit_test(grids_of_every_rank_match_the_dense_formula),
        cmocka_unit_test(large_grids_take_no_table),
        cmocka_unit_test(tables_grids_and_discrete_spaces_match_the_dense_formula),
        cmocka_unit_test(results_are_the_same_bits_at_any_thread_count),
        cmocka_unit_test(trees_give_the_same_bits_with_every_kernel_set),
        cmocka_unit_test(the_scale_of_a_row_is_irrelevant),
        cmocka_unit_test(a_discrete_space_predicts_the_argmax),
        cmocka_unit_test(impossible_rows_are_named_and_nothing_is_written),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(costs_beyond_doubles_are_a_numeric_failure),
        cmocka_unit_test(each_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
