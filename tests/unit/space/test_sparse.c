/* SPDX-License-Identifier: Apache-2.0
 * Sparse rows: by entries on trees, against whole rows through the two passes; filled up elsewhere. */
#include "space_support.h"

#include "space/frechet_i.h"
#include "space/tree_index.h"

/* Rows with up to `most` entries; some with even weights, some with one, some far from mass 1. */
typedef struct rows {
    int64_t n, first[400];
    int32_t column[4000];
    double p[4000];
} rows;

static void make_rows(rows *r, int64_t n, int64_t k, int64_t most, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 3);
    int64_t *columns = TEST_NEW(int64_t, k);
    for (int64_t j = 0; j < k; j++) columns[j] = j;
    r->n = n;
    r->first[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t limit = most < k ? most : k, m = 1 + whet_i_rng_below(&rng, limit);
        const double scale = i % 11 == 10 ? 1e-305 : i % 13 == 12 ? 1e290 : 1;
        whet_i_rng_shuffle(&rng, columns, k);
        int64_t at = r->first[i];
        for (int64_t j = 0; j < m; j++, at++) {
            r->column[at] = (int32_t)columns[j];
            r->p[at] = scale * (i % 5 == 4 ? 1 : -log(1 - whet_i_rng_uniform(&rng) * .999));
            if (i % 7 == 6 && j > 0) r->p[at] = 0;
        }
        r->first[i + 1] = at;
    }
    free(columns);
}

/* Small trees with few candidates go by whole rows; here by entries all the same. */
static const char *by_entries(const whet_space *space, const int64_t *observed, int64_t k,
                              whet_frechet_opts opts) {
    whet_ctx *ctx = test_ctx(1);
    whet_frechet *f = NULL;
    opts.sparse = false;
    test_ok(ctx, whet_frechet_create(ctx, space, observed, k, &opts, &f));
    const bool all = whet_frechet_candidates(f) == whet_space_size(space);
    whet_frechet_destroy(ctx, f);
    test_ctx_done(ctx);
    return all ? "tree-entries" : "tree-gates";
}

/* By entries and by whole rows: the same points, ties, costs to rounding. */
static void compare_among(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                          int64_t k, const rows *r, const whet_frechet_opts *asked) {
    enum { MOST = 16 };
    int64_t *best[2];
    double *cost[2], *margin[2];
    int32_t *ties[2];
    whet_frechet *f[2] = {NULL, NULL};
    const whet_sparse_rows sparse = {r->first, r->column, r->p, r->n};
    for (int w = 0; w < 2; w++) {
        whet_frechet_opts opts = *asked;
        opts.sparse = w == 0;
        if (w == 0) opts.method = by_entries(space, observed, k, opts);
        best[w] = TEST_NEW(int64_t, r->n * MOST);
        cost[w] = TEST_NEW(double, r->n *MOST);
        margin[w] = TEST_NEW(double, r->n);
        ties[w] = TEST_NEW(int32_t, r->n);
        test_ok(ctx, whet_frechet_create(ctx, space, observed, k, &opts, &f[w]));
        test_ok(ctx,
                whet_frechet_run_sparse(ctx, f[w], &sparse, best[w], cost[w], ties[w], margin[w]));
    }
    assert_non_null(strstr(whet_frechet_explain(f[0]).method, "tree by entries"));
    assert_string_equal(whet_frechet_explain(f[1]).method, "tree pass");
    const int64_t got = whet_frechet_top(f[0]);
    for (int64_t i = 0; i < r->n; i++) {
        if (ties[0][i] != ties[1][i])
            fail_msg("row %d: %d ties; expected %d", (int)i, ties[0][i], ties[1][i]);
        for (int64_t t = 0; t < got; t++) {
            if (best[0][i * got + t] != best[1][i * got + t])
                fail_msg("row %d, place %d: point %d; expected %d", (int)i, (int)t,
                         (int)best[0][i * got + t], (int)best[1][i * got + t]);
            assert_near(cost[0][i * got + t], cost[1][i * got + t], TEST_PRECISE);
        }
        if (isinf(margin[1][i]))
            assert_true(isinf(margin[0][i]));
        else if (fabs(margin[0][i] - margin[1][i]) >
                 4 * TEST_PRECISE * (margin[1][i] + cost[1][i * got]))
            fail_msg("row %d: margin %.17g; expected %.17g, at cost %.17g", (int)i, margin[0][i],
                     margin[1][i], cost[1][i * got]);
    }
    for (int w = 0; w < 2; w++) {
        free(best[w]);
        free(cost[w]);
        free(margin[w]);
        free(ties[w]);
        whet_frechet_destroy(ctx, f[w]);
    }
}

static void compare(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                    const rows *r, int32_t power, int32_t top) {
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.power = power;
    opts.top = top;
    compare_among(ctx, space, observed, k, r, &opts);
}

static void entries_give_what_whole_rows_give(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    static rows r;
    for (uint64_t seed = 1; seed <= 160; seed++) {
        const int64_t n = 1 + (int64_t)(whet_i_hash_u64(seed) % 60);
        const int64_t k = 1 + (int64_t)(whet_i_hash_u64(seed + 1000) % (uint64_t)n);
        whet_space *tree = test_tree(ctx, n, (int)(seed % 4), seed % 3 != 0, seed);
        int64_t *observed = test_points(n, seed);
        make_rows(&r, 40, k, 6, seed);
        for (int32_t power = 1; power <= 2; power++) {
            compare(ctx, tree, observed, k, &r, power, 1);
            compare(ctx, tree, observed, k, &r, power, 7);
        }
        free(observed);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* Edges of length 0, and lengths from 1e-8 to 1e8: many ties, and costs that nearly tie. */
static void odd_lengths_tie_as_they_should(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static rows r;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        enum { N = 40 };
        int64_t parent[N];
        double length[N];
        whet_i_rng rng;
        whet_space *tree = NULL;
        whet_i_rng_init(&rng, seed, 4);
        for (int64_t v = 0; v < N; v++) {
            parent[v] = v == 0 ? -1 : whet_i_rng_below(&rng, v);
            length[v] = seed % 2 ? (double)whet_i_rng_below(&rng, 3)
                                 : pow(10, 16 * whet_i_rng_uniform(&rng) - 8);
        }
        test_ok(ctx, whet_i_space_from_tree(ctx, NULL, N, parent, length, true, &tree));
        int64_t *observed = test_points(N, seed);
        make_rows(&r, 40, 20, 5, seed);
        compare(ctx, tree, observed, 20, &r, 2, 1);
        compare(ctx, tree, observed, 20, &r, 1, 1);
        compare(ctx, tree, observed, 20, &r, 2, 9);
        free(observed);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* Leaves, the observed, some nodes, one node: also with edges of length 0 and of any size. */
static void few_candidates_by_their_gates(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    static rows r;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        enum { N = 60 };
        int64_t parent[N];
        double length[N];
        whet_i_rng rng;
        whet_space *tree = NULL;
        whet_i_rng_init(&rng, seed, 5);
        const int64_t n = 1 + whet_i_rng_below(&rng, N), k = 1 + whet_i_rng_below(&rng, n);
        const int64_t nearby = 1 + whet_i_rng_below(&rng, N); /* 1: a path; N: any */
        for (int64_t v = 0; v < n; v++) {
            const int64_t back = nearby < v ? nearby : v;
            parent[v] = v == 0 ? -1 : v - 1 - whet_i_rng_below(&rng, back);
            length[v] = seed % 3 == 0   ? (double)whet_i_rng_below(&rng, 3)
                        : seed % 3 == 1 ? 1
                                        : pow(10, 6 * whet_i_rng_uniform(&rng) - 3);
        }
        test_ok(ctx, whet_i_space_from_tree(ctx, NULL, n, parent, length, seed % 2, &tree));
        int64_t *observed = test_points(n, seed), *list = test_points(n, seed + 7);
        make_rows(&r, 30, k, 6, seed);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.candidate_list = list;
        for (int i = 0; i < 12; i++) {
            const whet_candidates kind[] = {WHET_CANDIDATES_LEAVES, WHET_CANDIDATES_OBSERVED,
                                            WHET_CANDIDATES_LIST};
            opts.power = 1 + i / 6;
            opts.top = i / 3 % 2 ? 9 : 1;
            opts.candidates = kind[i % 3];
            opts.n_candidates = i % 3 == 2 ? 1 + whet_i_rng_below(&rng, n) : 0;
            if (opts.candidates == WHET_CANDIDATES_LEAVES && n == 1) continue;
            compare_among(ctx, tree, observed, k, &r, &opts);
        }
        free(observed);
        free(list);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* A million nodes in a path and in a star: nothing recurses, and ties of a whole star are counted. */
static void huge_trees_of_extreme_shape(void **state) {
    (void)state;
    enum { N = 1000000 };
    whet_ctx *ctx = test_ctx(2);
    for (int shape = 1; shape <= 2; shape++) {
        whet_space *tree = test_tree(ctx, N, shape, false, 1);
        const int64_t observed[] = {1, N - 1, N / 2}, first[] = {0, 2, 3, 6};
        const int32_t column[] = {0, 1, 2, 0, 1, 2};
        const double p[] = {1, 1, 1, 1, 1, 2};
        const whet_sparse_rows sparse = {first, column, p, 3};
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        whet_frechet *f = NULL;
        int64_t best[3];
        double cost[3], margin[3];
        int32_t ties[3];
        opts.sparse = true;
        test_ok(ctx, whet_frechet_create(ctx, tree, observed, 3, &opts, &f));
        test_ok(ctx, whet_frechet_run_sparse(ctx, f, &sparse, best, cost, ties, margin));
        /* Half way along the path costs are 5e11 + 2 x^2, x nodes away: within 1e-9 up to x = 15. */
        assert_int_equal(best[0], shape == 1 ? N / 2 - 15 : 0);
        assert_int_equal(ties[0], shape == 1 ? 31 : 1);
        assert_int_equal(best[1], N / 2);
        assert_int_equal(best[2], shape == 1 ? N / 2 - 11 : 0);
        assert_true(cost[1] == 0 && margin[1] == 1 && ties[1] == 1);
        whet_frechet_destroy(ctx, f);
        /* Power 1, half and half: on the path everything between ties; grown beyond the first room. */
        opts.power = 1;
        test_ok(ctx, whet_frechet_create(ctx, tree, observed, 3, &opts, &f));
        test_ok(ctx, whet_frechet_run_sparse(ctx, f, &sparse, best, cost, ties, margin));
        assert_int_equal(ties[0], shape == 1 ? N - 1 : 3);
        assert_int_equal(best[0], shape == 1 ? 1 : 0);
        whet_frechet_destroy(ctx, f);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* Depths of 1e9 with steps of 1e-3: distances keep their digits. */
static void deep_trees_keep_small_distances(void **state) {
    (void)state;
    enum { N = 9 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = NULL;
    const int64_t parent[N] = {-1, 0, 1, 2, 3, 4, 5, 6, 7}, observed[] = {3, 8};
    double length[N] = {0, 1e9, .3, .1, 1e-3, 2e-3, 1e-3, 5e-4, 1e-3};
    static rows r;
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, N, parent, length, true, &tree));
    make_rows(&r, 40, 2, 2, 1);
    compare(ctx, tree, observed, 2, &r, 2, 3);
    tree_index *index = NULL;
    test_ok(ctx, whet_i_tree_index_create(ctx, &tree->tree, N, &index));
    for (int64_t a = 0; a < N; a++)
        for (int64_t b = a; b < N; b++)
            assert_near(whet_i_tree_descent(index, (int32_t)a, (int32_t)b),
                        whet_space_distance(tree, a, b), 1e-14);
    whet_i_tree_index_destroy(ctx, index);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

static void ancestors_branches_and_lifts(void **state) {
    (void)state;
    enum { N = 70 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        whet_space *space = test_tree(ctx, N, (int)(seed % 4), true, seed);
        const space_tree *tree = &space->tree;
        tree_index *t = NULL;
        test_ok(ctx, whet_i_tree_index_create(ctx, tree, N, &t));
        for (int64_t a = 0; a < N; a++) {
            for (int64_t b = 0; b < N; b++) {
                int64_t u = a, v = b, below = b;
                while (u != v) {
                    int64_t *lower = tree->hops[u] >= tree->hops[v] ? &u : &v;
                    *lower = tree->parent[*lower];
                }
                assert_int_equal(whet_i_tree_ancestor(t, (int32_t)a, (int32_t)b), u);
                if (u != a || a == b) continue;
                while (tree->parent[below] != a) below = tree->parent[below];
                assert_int_equal(whet_i_tree_branch(t, (int32_t)a, (int32_t)b), below);
                const double whole = whet_i_tree_descent(t, (int32_t)a, (int32_t)b);
                for (int s = 0; s <= 4; s++) {
                    const double far = whole * s / 4;
                    int64_t want = b;
                    while (want != a &&
                           whet_i_tree_descent(t, (int32_t)a, (int32_t)tree->parent[want]) >= far)
                        want = tree->parent[want];
                    assert_int_equal(whet_i_tree_lift(t, (int32_t)a, (int32_t)b, far), want);
                }
            }
        }
        whet_i_tree_index_destroy(ctx, t);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

static void the_same_at_any_number_of_threads(void **state) {
    (void)state;
    static rows r;
    int64_t best[2][200];
    double cost[2][200], margin[2][200];
    int32_t ties[2][200];
    for (int t = 0; t < 2; t++) {
        whet_ctx *ctx = test_ctx(1 + 2 * t);
        whet_space *tree = test_tree(ctx, 500, 0, true, 9);
        int64_t *observed = test_points(500, 9);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        whet_frechet *f = NULL;
        make_rows(&r, 200, 300, 9, 9);
        const whet_sparse_rows sparse = {r.first, r.column, r.p, r.n};
        opts.sparse = true;
        test_ok(ctx, whet_frechet_create(ctx, tree, observed, 300, &opts, &f));
        test_ok(ctx,
                whet_frechet_run_sparse(ctx, f, &sparse, best[t], cost[t], ties[t], margin[t]));
        whet_frechet_destroy(ctx, f);
        whet_space_destroy(ctx, tree);
        free(observed);
        test_ctx_done(ctx);
    }
    assert_memory_equal(best[0], best[1], sizeof best[0]);
    assert_memory_equal(cost[0], cost[1], sizeof cost[0]);
    assert_memory_equal(margin[0], margin[1], sizeof margin[0]);
}

static void elsewhere_rows_are_filled_up(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static rows r;
    whet_space *space = test_embedding(ctx, 30, 3, false, 2);
    int64_t *observed = test_points(30, 2), best[40], want[40];
    double cost[40], expected[40], *dense = TEST_NEW(double, 40 * 12);
    make_rows(&r, 40, 12, 4, 2);
    for (int64_t i = 0; i < 40; i++)
        for (int64_t e = r.first[i]; e < r.first[i + 1]; e++) dense[i * 12 + r.column[e]] = r.p[e];
    const whet_sparse_rows sparse = {r.first, r.column, r.p, r.n};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_frechet *f = NULL;
    opts.sparse = true;
    test_ok(ctx, whet_frechet_create(ctx, space, observed, 12, &opts, &f));
    test_ok(ctx, whet_frechet_run_sparse(ctx, f, &sparse, best, cost, NULL, NULL));
    test_ok(ctx, whet_frechet_run(ctx, f, dense, 40, want, expected, NULL, NULL));
    assert_memory_equal(best, want, sizeof best);
    assert_memory_equal(cost, expected, sizeof cost);
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, space);
    free(observed);
    free(dense);
    test_ctx_done(ctx);
}

static void impossible_rows_are_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    const int64_t observed[] = {0, 2}, first[] = {0, 1, 2}, none[] = {0, 1, 1};
    int32_t column[] = {0, 1};
    double p[] = {1, 1};
    int64_t best[2] = {-7, -7};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_frechet *f = NULL;
    opts.sparse = true;
    test_ok(ctx, whet_i_space_path(ctx, 3, &path));
    test_ok(ctx, whet_frechet_create(ctx, path, observed, 2, &opts, &f));
    whet_sparse_rows r = {first, column, p, 2};
    const double bad[] = {-1, (double)NAN, (double)INFINITY, 0};
    for (int i = 0; i < 4; i++) {
        p[1] = bad[i];
        test_fails(ctx, whet_frechet_run_sparse(ctx, f, &r, best, NULL, NULL, NULL), WHET_ERR_DATA);
        test_says(ctx, "row 1");
    }
    p[1] = 1;
    column[1] = 2;
    test_fails(ctx, whet_frechet_run_sparse(ctx, f, &r, best, NULL, NULL, NULL), WHET_ERR_ARG);
    column[1] = 1;
    r.first = none;
    test_fails(ctx, whet_frechet_run_sparse(ctx, f, &r, best, NULL, NULL, NULL), WHET_ERR_DATA);
    test_fails(ctx, whet_frechet_run(ctx, f, p, 1, best, NULL, NULL, NULL), WHET_ERR_ARG);
    assert_int_equal(best[0], -7);
    r.rows = 0;
    test_ok(ctx, whet_frechet_run_sparse(ctx, f, &r, best, NULL, NULL, NULL));
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

static whet_status run_once(whet_ctx *ctx, void *arg) {
    const whet_space *space = arg;
    const int64_t observed[] = {0, 3, 5}, first[] = {0, 2, 3};
    const int32_t column[] = {0, 2, 1};
    const double p[] = {1, 2, 1};
    const whet_sparse_rows r = {first, column, p, 2};
    int64_t best[2];
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_frechet *f;
    opts.sparse = true;
    WHET_TRY(whet_frechet_create(ctx, space, observed, 3, &opts, &f));
    const whet_status status = whet_frechet_run_sparse(ctx, f, &r, best, NULL, NULL, NULL);
    whet_frechet_destroy(ctx, f);
    return status;
}

/* The same where only one node is a candidate. */
static whet_status run_by_gates(whet_ctx *ctx, void *arg) {
    int64_t candidates[] = {5};
    whet_frechet f = {.space = arg, .n_candidates = 1, .candidates = candidates};
    WHET_TRY(whet_i_method_tree_gates.make(ctx, &f));
    whet_i_method_tree_gates.destroy(ctx, f.state);
    return WHET_OK;
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *spaces[] = {test_tree(ctx, 12, 0, true, 4), test_embedding(ctx, 8, 2, false, 1)};
    assert_true(test_each_allocation(run_once, spaces[0]) > 20);
    assert_true(test_each_allocation(run_once, spaces[1]) > 10);
    assert_true(test_each_allocation(run_by_gates, spaces[0]) > 12);
    whet_space_destroy(ctx, spaces[0]);
    whet_space_destroy(ctx, spaces[1]);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_give_what_whole_rows_give),
        cmocka_unit_test(odd_lengths_tie_as_they_should),
        cmocka_unit_test(few_candidates_by_their_gates),
        cmocka_unit_test(huge_trees_of_extreme_shape),
        cmocka_unit_test(deep_trees_keep_small_distances),
        cmocka_unit_test(ancestors_branches_and_lifts),
        cmocka_unit_test(the_same_at_any_number_of_threads),
        cmocka_unit_test(elsewhere_rows_are_filled_up),
        cmocka_unit_test(impossible_rows_are_named),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("space/sparse", tests, NULL, NULL);
}
