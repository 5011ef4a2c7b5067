/* SPDX-License-Identifier: Apache-2.0
 * What the theory says about Frechet means, over random spaces: where predictions can lie, how ties
 * look, how costs change from point to point. */
#include "../unit/space/space_support.h"

enum { ROWS = 48 };

/* Costs of all points for every row, through the best n of n. */
static double *all_costs(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                         const double *p, int32_t *ties, int64_t *first) {
    const int64_t n = whet_space_size(space);
    int64_t *best = TEST_NEW(int64_t, ROWS * n);
    double *cost = TEST_NEW(double, ROWS *n), *by_point = TEST_NEW(double, ROWS *n);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.top = (int32_t)n;
    test_ok(ctx,
            whet_frechet_predict(ctx, space, observed, k, p, ROWS, &opts, best, cost, ties, NULL));
    for (int64_t r = 0; r < ROWS; r++) {
        for (int64_t i = 0; i < n; i++) by_point[r * n + best[r * n + i]] = cost[r * n + i];
        /* The tied points of a row, in order. */
        for (int64_t i = 0; i < 2; i++) first[2 * r + i] = i < ties[r] ? best[r * n + i] : -1;
    }
    free(best);
    free(cost);
    return by_point;
}

/* Marks the smallest subtree that spans the points: v is in it when classes lie in two directions
 * from v, or v is one. */
static bool *hull_of(const whet_space *tree, const int64_t *points, int64_t k) {
    const int64_t n = whet_space_size(tree);
    bool *inside = TEST_NEW(bool, n);
    for (int64_t v = 0; v < n; v++)
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = i; j < k; j++)
                if (fabs(whet_space_distance(tree, points[i], v) +
                         whet_space_distance(tree, v, points[j]) -
                         whet_space_distance(tree, points[i], points[j])) < 1e-9)
                    inside[v] = true;
    return inside;
}

static void on_trees_predictions_lie_in_the_hull_and_ties_are_neighbours(void **state) {
    (void)state;
    enum { N = 45, K = 6 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 0; seed < 24; seed++) {
        whet_space *tree = test_tree(ctx, N, (int)(seed % 4), seed % 8 > 3, seed);
        int64_t *points = test_points(N, seed), tied[2 * ROWS];
        double *p = test_probs(ROWS, K, seed);
        int32_t ties[ROWS];
        bool *hull = hull_of(tree, points, K);
        double *cost = all_costs(ctx, tree, points, K, p, ties, tied);
        for (int64_t r = 0; r < ROWS; r++) {
            assert_in_range(ties[r], 1, 2);
            assert_true(hull[tied[2 * r]]);
            const int64_t a = tied[2 * r], b = tied[2 * r + 1];
            if (ties[r] == 2) assert_true(tree->tree.parent[a] == b || tree->tree.parent[b] == a);
        }
        free(cost);
        free(hull);
        free(points);
        free(p);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* F is strictly convex along every path, so a vertex no worse than its neighbours is the best. */
static void on_trees_every_local_minimum_is_global(void **state) {
    (void)state;
    enum { N = 60, K = 7 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 0; seed < 16; seed++) {
        whet_space *tree = test_tree(ctx, N, (int)(seed % 4), true, seed + 50);
        int64_t *points = test_points(N, seed), tied[2 * ROWS];
        double *p = test_probs(ROWS, K, seed);
        int32_t ties[ROWS];
        double *cost = all_costs(ctx, tree, points, K, p, ties, tied);
        for (int64_t r = 0; r < ROWS; r++) {
            const double *f = cost + r * N;
            bool worse[N] = {false};
            for (int64_t v = 0; v < N; v++) {
                const int64_t u = tree->tree.parent[v];
                if (u < 0) continue;
                if (f[v] > f[u] * (1 + 1e-9)) worse[v] = true;
                if (f[u] > f[v] * (1 + 1e-9)) worse[u] = true;
            }
            for (int64_t v = 0; v < N; v++)
                if (!worse[v]) assert_near(f[v], f[tied[2 * r]], 2e-9);
        }
        free(cost);
        free(points);
        free(p);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* G = sqrt(F / S) is the L2 norm of distances: |G(y) - G(z)| <= d(y, z), in any metric space. */
static void the_root_of_the_cost_is_lipschitz(void **state) {
    (void)state;
    enum { N = 40, K = 9 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *spaces[] = {test_tree(ctx, N, 0, true, 1), test_embedding(ctx, N, 4, false, 1),
                            test_embedding(ctx, N, 4, true, 1)};
    for (int s = 0; s < 3; s++) {
        int64_t *points = test_points(N, 3), tied[2 * ROWS];
        double *p = test_probs(ROWS, K, 3);
        int32_t ties[ROWS];
        double *cost = all_costs(ctx, spaces[s], points, K, p, ties, tied);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t y = 0; y < N; y++)
                for (int64_t z = 0; z < y; z++)
                    assert_true(fabs(sqrt(cost[r * N + y]) - sqrt(cost[r * N + z])) <=
                                whet_space_distance(spaces[s], y, z) + 1e-9);
        free(cost);
        free(points);
        free(p);
        whet_space_destroy(ctx, spaces[s]);
    }
    test_ctx_done(ctx);
}

/* Leaves at one depth: no class that was not observed can be the best leaf. */
static void among_ultrametric_leaves_only_observed_ones_are_predicted(void **state) {
    (void)state;
    enum { LEVELS = 4, WIDTH = 3, N = 1 + 3 + 9 + 27 + 81, K = 20 };
    whet_ctx *ctx = test_ctx(1);
    int64_t parent[N], observed[K], best[ROWS], leaves = N - 81;
    double length[N];
    for (int64_t v = 0; v < N; v++) {
        parent[v] = v ? (v - 1) / WIDTH : -1;
        /* One length a level keeps all leaves equally deep. */
        length[v] = v < 4 ? 3.5 : v < 13 ? 1.25 : v < 40 ? .75 : .3;
    }
    whet_space *tree = NULL;
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, N, parent, length, true, &tree));
    for (uint64_t seed = 0; seed < 12; seed++) {
        int64_t *order = test_points(81, seed);
        bool seen[N] = {false};
        for (int j = 0; j < K; j++) seen[observed[j] = leaves + order[j]] = true;
        double *p = test_probs(ROWS, K, seed);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.candidates = WHET_CANDIDATES_LEAVES;
        test_ok(ctx, whet_frechet_predict(ctx, tree, observed, K, p, ROWS, &opts, best, NULL, NULL,
                                          NULL));
        for (int r = 0; r < ROWS; r++) assert_true(seen[best[r]]);
        free(p);
        free(order);
    }
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* Opposite corners: d(y, a) + d(y, b) is constant, so a whole anti-diagonal ties. */
static void on_grids_anti_diagonals_tie(void **state) {
    (void)state;
    enum { SIDE = 10 };
    whet_ctx *ctx = test_ctx(1);
    const int64_t size[] = {SIDE, SIDE}, corners[] = {0, SIDE * SIDE - 1};
    whet_space *grid = NULL;
    test_ok(ctx, whet_i_space_grid(ctx, size, 2, false, &grid));
    for (int64_t sum = 0; sum <= 2 * (SIDE - 1); sum++) {
        const double far = (double)sum / (2 * (SIDE - 1)), p[] = {1 - far, far};
        int64_t best;
        int32_t ties;
        test_ok(ctx,
                whet_frechet_predict(ctx, grid, corners, 2, p, 1, NULL, &best, NULL, &ties, NULL));
        const int64_t length = sum < SIDE ? sum + 1 : 2 * SIDE - 1 - sum;
        assert_int_equal(ties, length);
        assert_int_equal(best / SIDE + best % SIDE, sum);
        assert_int_equal(best / SIDE, sum < SIDE ? 0 : sum - SIDE + 1);
    }
    whet_space_destroy(ctx, grid);
    test_ctx_done(ctx);
}

static void euclidean_predictions_are_nearest_to_the_mean(void **state) {
    (void)state;
    enum { N = 80, K = 30, DIM = 3 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = test_embedding(ctx, N, DIM, false, 9);
    int64_t *points = test_points(N, 9), best[ROWS];
    double *p = test_probs(ROWS, K, 9);
    const double *e = space->embedding.f64;
    test_ok(ctx,
            whet_frechet_predict(ctx, space, points, K, p, ROWS, NULL, best, NULL, NULL, NULL));
    for (int64_t r = 0; r < ROWS; r++) {
        double mean[DIM] = {0}, mass = 0, least = (double)INFINITY;
        int64_t nearest = -1;
        for (int64_t j = 0; j < K; j++) {
            mass += p[r * K + j];
            for (int i = 0; i < DIM; i++) mean[i] += p[r * K + j] * e[points[j] * DIM + i];
        }
        for (int64_t y = 0; y < N; y++) {
            double d = 0;
            for (int i = 0; i < DIM; i++) {
                const double x = e[y * DIM + i] - mean[i] / mass;
                d += x * x;
            }
            if (d >= least) continue;
            least = d;
            nearest = y;
        }
        assert_int_equal(best[r], nearest);
    }
    free(points);
    free(p);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* Moving mass delta moves no cost by more than delta diam^2: dropping less than the margin allows
 * cannot change the prediction. */
static void small_changes_of_p_within_the_margin_change_nothing(void **state) {
    (void)state;
    enum { N = 50, K = 12 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = test_tree(ctx, N, 0, true, 31);
    double *table = test_table(tree), diameter = 0;
    for (int i = 0; i < N * N; i++) diameter = fmax(diameter, table[i]);
    int64_t *points = test_points(N, 31), best[ROWS], after[ROWS], kept = 0;
    double *p = test_probs(ROWS, K, 31), margin[ROWS];
    test_ok(ctx,
            whet_frechet_predict(ctx, tree, points, K, p, ROWS, NULL, best, NULL, NULL, margin));
    for (int64_t r = 0; r < ROWS; r++) {
        double mass = 0;
        for (int64_t j = 0; j < K; j++) mass += p[r * K + j];
        double room = .49 * margin[r] / (diameter * diameter) * mass;
        for (int64_t j = 0; j < K; j++) {
            if (p[r * K + j] > room) continue;
            room -= p[r * K + j];
            kept += p[r * K + j] > 0;
            p[r * K + j] = 0;
        }
    }
    assert_true(kept > 20); /* something was dropped */
    test_ok(ctx,
            whet_frechet_predict(ctx, tree, points, K, p, ROWS, NULL, after, NULL, NULL, NULL));
    for (int64_t r = 0; r < ROWS; r++) assert_int_equal(best[r], after[r]);
    free(table);
    free(points);
    free(p);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_trees_predictions_lie_in_the_hull_and_ties_are_neighbours),
        cmocka_unit_test(on_trees_every_local_minimum_is_global),
        cmocka_unit_test(the_root_of_the_cost_is_lipschitz),
        cmocka_unit_test(among_ultrametric_leaves_only_observed_ones_are_predicted),
        cmocka_unit_test(on_grids_anti_diagonals_tie),
        cmocka_unit_test(euclidean_predictions_are_nearest_to_the_mean),
        cmocka_unit_test(small_changes_of_p_within_the_margin_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
