/* SPDX-License-Identifier: Apache-2.0
 * Loci, covers and next classes: hand-made cases, ways against each other, and against every p of a
 * lattice on the simplex (which finds no more than there is), greedy choice step by step. What the
 * command prints is in tests/cli/locus.sh, the reference vectors in tests/golden/loki. */
#include "space_support.h"

#include "space/locus_i.h"

static whet_locus find(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                       const whet_frechet_opts *opts) {
    whet_locus l;
    test_ok(ctx, whet_locus_find(ctx, space, observed, k, opts, &l));
    int64_t sum = 0;
    for (int r = 0; r < WHET_REACHES; r++) sum += l.count[r];
    assert_int_equal(sum, l.n);
    return l;
}

static void expect_reach(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                         const whet_frechet_opts *opts, const whet_reach *want) {
    whet_locus l = find(ctx, space, observed, k, opts);
    for (int64_t i = 0; i < l.n; i++)
        if (l.classes[i].reach != want[i])
            fail_msg("point %d: reach %d; expected %d", (int)l.classes[i].point,
                     (int)l.classes[i].reach, (int)want[i]);
    whet_locus_free(ctx, &l);
}

#define N_ WHET_REACH_NEVER
#define T_ WHET_REACH_TIED
#define P_ WHET_REACH_PREDICTED
#define A_ WHET_REACH_ALONE

/* ---- by hand --------------------------------------------------------------------------------- */

static void paths_between_observed_nodes_are_reached(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    test_ok(ctx, whet_i_space_path(ctx, 7, &path));
    const int64_t ends[] = {1, 4}, one[] = {3};
    expect_reach(ctx, path, ends, 2, NULL, (whet_reach[]){N_, A_, A_, A_, A_, N_, N_});
    expect_reach(ctx, path, one, 1, NULL, (whet_reach[]){N_, N_, N_, A_, N_, N_, N_});
    whet_locus l = find(ctx, path, ends, 2, NULL);
    assert_int_equal(l.classes[0].reason, WHET_REASON_BRANCH);
    assert_int_equal(l.classes[0].other, 1);
    assert_int_equal(l.classes[6].other, 4);
    assert_int_equal(l.classes[1].reason, WHET_REASON_OBSERVED);
    assert_int_equal(l.classes[2].reason, WHET_REASON_BETWEEN);
    assert_int_equal(l.programmes, 0);
    whet_locus_free(ctx, &l);
    /* Of the others, those that hang off the middle tie with nobody: 2 and 3 are not candidates. */
    const int64_t list[] = {0, 1, 4, 5, 6};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    opts.n_candidates = 5;
    expect_reach(ctx, path, ends, 2, &opts, (whet_reach[]){N_, A_, A_, N_, N_});
    test_fails(ctx, whet_locus_find(ctx, path, ends, 0, NULL, &l), WHET_ERR_ARG);
    whet_space_destroy(ctx, path);
    test_ctx_done(ctx);
}

/* A root with two children at no distance: three twins. */
static void nodes_at_no_distance_are_twins(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = NULL;
    const int64_t parent[] = {-1, 0, 0, 1, 2}, observed[] = {3, 4};
    const double length[] = {0, 0, 0, 1, 1};
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, 5, parent, length, true, &tree));
    expect_reach(ctx, tree, observed, 2, NULL, (whet_reach[]){P_, T_, T_, A_, A_});
    whet_locus l = find(ctx, tree, observed, 2, NULL);
    assert_int_equal(l.classes[1].reason, WHET_REASON_TWIN);
    assert_int_equal(l.classes[1].other, 0);
    whet_locus_free(ctx, &l);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* Leaves at one depth: none but the observed, whatever hangs where. */
static void ultrametric_leaves_reach_only_themselves(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = NULL;
    /* 0 -> 1, 2 (1 long); 1 -> 3, 4, 5; 2 -> 6, 7 (2 long) */
    const int64_t parent[] = {-1, 0, 0, 1, 1, 1, 2, 2}, observed[] = {3, 6, 4};
    const double length[] = {0, 1, 1, 2, 2, 2, 2, 2};
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, 8, parent, length, true, &tree));
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LEAVES;
    expect_reach(ctx, tree, observed, 3, &opts, (whet_reach[]){A_, A_, N_, A_, N_});
    whet_locus l = find(ctx, tree, observed, 3, &opts);
    assert_int_equal(l.classes[2].reason, WHET_REASON_ULTRAMETRIC);
    assert_int_equal(l.programmes, 0);
    whet_locus_free(ctx, &l);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* Corners 0 and 8 of a 3 x 3 grid: an antidiagonal ties, its lowest cell is predicted. */
static void grid_corners_reach_everything_in_ties(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *grid = NULL;
    const int64_t size[] = {3, 3}, corners[] = {0, 8};
    test_ok(ctx, whet_i_space_grid(ctx, size, 2, false, &grid));
    expect_reach(ctx, grid, corners, 2, NULL, (whet_reach[]){A_, P_, P_, T_, T_, P_, T_, T_, A_});
    whet_space_destroy(ctx, grid);
    test_ctx_done(ctx);
}

static void points_one_apart_reach_only_themselves(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    const int64_t some[] = {1, 3, 4};
    test_ok(ctx, whet_i_space_discrete(ctx, NULL, 6, &space));
    expect_reach(ctx, space, some, 3, NULL, (whet_reach[]){N_, A_, N_, A_, A_, N_});
    expect_reach(ctx, space, some, 2, NULL, (whet_reach[]){N_, A_, N_, A_, N_, N_});
    expect_reach(ctx, space, some, 1, NULL, (whet_reach[]){N_, A_, N_, N_, N_, N_});
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* ---- every p of a lattice -------------------------------------------------------------------- */

/* What p = (a, b, c) / STEPS over three observed points finds; ties at 1e-9. */
enum { STEPS = 24 };
static void lattice(const double *table, int64_t n, const int64_t *observed, const bool *candidate,
                    whet_reach *found) {
    double *cost = TEST_NEW(double, n);
    for (int64_t y = 0; y < n; y++) found[y] = WHET_REACH_NEVER;
    for (int a = 0; a <= STEPS; a++) {
        for (int b = 0; a + b <= STEPS; b++) {
            const double p[3] = {a, b, STEPS - a - b};
            oracle_costs(table, n, observed, 3, p, 2, cost);
            double least = (double)INFINITY;
            int64_t tied = 0, first = -1;
            for (int64_t y = 0; y < n; y++)
                if (candidate[y]) least = fmin(least, cost[y]);
            for (int64_t y = 0; y < n; y++) {
                if (!candidate[y] || cost[y] > least * (1 + 1e-9)) continue;
                tied++;
                if (first < 0) first = y;
            }
            for (int64_t y = 0; y < n; y++) {
                if (!candidate[y] || cost[y] > least * (1 + 1e-9)) continue;
                const whet_reach r = tied == 1 ? A_ : y == first ? P_ : T_;
                if (r > found[y]) found[y] = r;
            }
        }
    }
    free(cost);
}

static void check_lattice(whet_ctx *ctx, const whet_space *space, uint64_t seed, bool subset) {
    const int64_t n = whet_space_size(space);
    double *table = test_table(space);
    int64_t *observed = test_points(n, seed), *list = TEST_NEW(int64_t, n);
    bool *candidate = TEST_NEW(bool, n);
    whet_reach *found = TEST_NEW(whet_reach, n);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    for (int64_t y = 0; y < n; y++) {
        candidate[y] = !subset || whet_i_hash_u64(seed * 1000 + (uint64_t)y) % 2;
        if (candidate[y]) list[opts.n_candidates++] = y;
    }
    if (opts.n_candidates == 0) candidate[list[opts.n_candidates++] = 0] = true;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    lattice(table, n, observed, candidate, found);
    whet_locus l = find(ctx, space, observed, 3, &opts);
    assert_int_equal(l.n, opts.n_candidates);
    assert_int_equal(l.count[WHET_REACH_UNDECIDED], 0);
    for (int64_t i = 0; i < l.n; i++)
        if (l.classes[i].reach < found[l.classes[i].point])
            fail_msg("seed %d, point %d: reach %d; a p of the lattice finds %d", (int)seed,
                     (int)l.classes[i].point, (int)l.classes[i].reach,
                     (int)found[l.classes[i].point]);
    whet_locus_free(ctx, &l);
    free(table);
    free(observed);
    free(list);
    free(candidate);
    free(found);
}

static whet_space *ring(whet_ctx *ctx, int64_t n) {
    whet_space *space = NULL;
    double *d = TEST_NEW(double, n *n);
    for (int64_t i = 0; i < n * n; i++) {
        const int64_t apart = llabs(i / n - i % n);
        d[i] = (double)(apart < n - apart ? apart : n - apart);
    }
    whet_tensor t = {d, WHET_F64, 2, {n, n}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    free(d);
    return space;
}

static void a_lattice_finds_nothing_that_is_not_reached(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const int64_t size[] = {3, 4};
        whet_space *spaces[5] = {test_tree(ctx, 12, (int)(seed % 4), seed % 2, seed),
                                 test_embedding(ctx, 12, 2, false, seed),
                                 test_embedding(ctx, 12, 3, true, seed), NULL,
                                 ring(ctx, 8 + (int64_t)(seed % 4))};
        test_ok(ctx, whet_i_space_grid(ctx, size, 2, false, &spaces[3]));
        for (int i = 0; i < 5; i++) {
            check_lattice(ctx, spaces[i], seed, false);
            check_lattice(ctx, spaces[i], seed, true);
            whet_space_destroy(ctx, spaces[i]);
        }
    }
    test_ctx_done(ctx);
}

/* ---- ways against each other ----------------------------------------------------------------- */

static void assert_same_locus(whet_ctx *ctx, const whet_space *a, const whet_space *b,
                              const int64_t *observed, int64_t k, const whet_frechet_opts *opts) {
    whet_locus x = find(ctx, a, observed, k, opts), y = find(ctx, b, observed, k, opts);
    assert_int_equal(x.n, y.n);
    for (int64_t i = 0; i < x.n; i++)
        if (x.classes[i].reach != y.classes[i].reach)
            fail_msg("point %d of %d observed: %d by the one way, %d by the other",
                     (int)x.classes[i].point, (int)k, (int)x.classes[i].reach,
                     (int)y.classes[i].reach);
    whet_locus_free(ctx, &x);
    whet_locus_free(ctx, &y);
}

/* What is told to be nearer is nearer to everything observed; gives how many hang off somewhere else. */
static int check_farther(whet_ctx *ctx, const whet_space *tree, const int64_t *observed, int64_t k,
                         const whet_frechet_opts *opts) {
    whet_locus l = find(ctx, tree, observed, k, opts);
    int elsewhere = 0;
    for (int64_t i = 0; i < l.n; i++) {
        const whet_locus_class *c = &l.classes[i];
        double least = INFINITY, most = 0;
        if (c->reason != WHET_REASON_FARTHER) continue;
        for (int64_t j = 0; j < k; j++) {
            const double by = whet_space_distance(tree, c->point, observed[j]) -
                              whet_space_distance(tree, c->other, observed[j]);
            least = fmin(least, by);
            most = fmax(most, by);
        }
        assert_true(least > 0);
        elsewhere += most > least * (1 + 1e-9); /* off one gate all differ by as much */
    }
    whet_locus_free(ctx, &l);
    return elsewhere;
}

/* The subtree between the observed, and the same distances without a tree, by programmes. */
static void programmes_find_the_subtree(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_frechet_opts leaves = WHET_FRECHET_OPTS_INIT;
    int elsewhere = 0;
    leaves.candidates = WHET_CANDIDATES_LIST;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        whet_space *tree = test_tree(ctx, 30, (int)(seed % 4), seed % 2, seed);
        whet_space *table = test_matrix_of(ctx, tree);
        int64_t *points = test_points(30, seed), list[30];
        const int64_t k = 1 + (int64_t)(seed % 9);
        assert_same_locus(ctx, tree, table, points, k, NULL);
        /* Leaves and some observed inner nodes as candidates. */
        leaves.n_candidates = 0;
        for (int64_t v = 0; v < 30; v++)
            if (tree->tree.degree[v] == 1) list[leaves.n_candidates++] = v;
        leaves.candidate_list = list;
        assert_same_locus(ctx, tree, table, points, k, &leaves);
        elsewhere += check_farther(ctx, tree, points, k, &leaves);
        free(points);
        whet_space_destroy(ctx, tree);
        whet_space_destroy(ctx, table);
    }
    assert_true(elsewhere > 0);
    test_ctx_done(ctx);
}

/* Borders are relative to costs: two clumps of short edges, and a long one between them. By the envelope of
 * two observed, by programmes of more. */
static void short_edges_count_beside_long_ones(void **state) {
    (void)state;
    enum { N = 16 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        int64_t parent[N];
        double length[N];
        for (int64_t v = 0; v < N; v++) {
            const int64_t first = v > N / 2 ? N / 2 : 0, n = v > first ? v - first : 1;
            const uint64_t random = whet_i_hash_u64(seed * N + (uint64_t)v);
            parent[v] = v == 0 ? -1 : first + (int64_t)(random % (uint64_t)n);
            length[v] = v == N / 2 ? 1e4 : .001 * (double)(1 + (random >> 32) % 3);
        }
        whet_space *tree = NULL;
        test_ok(ctx, whet_i_space_from_tree(ctx, NULL, N, parent, length, false, &tree));
        whet_space *table = test_matrix_of(ctx, tree);
        int64_t *points = test_points(N, seed);
        for (int64_t k = 2; k <= 5; k++) assert_same_locus(ctx, tree, table, points, k, NULL);
        free(points);
        whet_space_destroy(ctx, table);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* Costs of 0: of two at no distance to what was observed, the one that is nowhere nearer ties there. */
static void what_costs_nothing_can_tie(void **state) {
    (void)state;
    enum { N = 6 };
    whet_ctx *ctx = test_ctx(1);
    const double to[N] = {0, 2, 2, 2, 1, 2}; /* of 4 and 5, all but 0 */
    double d[N * N];
    for (int i = 0; i < N * N; i++) {
        const int a = i / N, b = i % N, low = a < b ? a : b, high = a < b ? b : a;
        d[i] = a == b || (low == 0 && high > 3) ? 0 : to[high];
    }
    whet_space *space = NULL;
    whet_tensor t = {d, WHET_F64, 2, {N, N}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    const int64_t observed[] = {0, 1, 2, 3}, list[] = {4, 5};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    opts.n_candidates = 2;
    for (int64_t k = 2; k <= 4; k++)
        expect_reach(ctx, space, observed, k, &opts, (whet_reach[]){A_, T_});
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

static void programmes_find_the_envelope(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        enum { N = 40 };
        const int64_t observed[] = {(int64_t)seed, (int64_t)seed + 7};
        int64_t point[N];
        whet_reach by_envelope[N], by_programmes[N];
        whet_space *space = test_embedding(ctx, N, 2, false, seed);
        for (int64_t i = 0; i < N; i++) {
            point[i] = i;
            by_envelope[i] = by_programmes[i] = WHET_REACH_UNDECIDED;
        }
        locus_work w = {.space = space, .observed = observed, .k = 2, .n = N, .point = point};
        w.reach = by_envelope;
        test_ok(ctx, whet_i_locus_envelope(ctx, &w));
        w.reach = by_programmes;
        test_ok(ctx, whet_i_locus_programmes(ctx, &w));
        assert_memory_equal(by_envelope, by_programmes, sizeof by_envelope);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* The hull of three observed points says of every candidate what programmes say: of all where distances are
 * integers, of embeddings of all but what is near a border. */
static int check_three(whet_ctx *ctx, const whet_space *space, uint64_t seed, bool integers) {
    const int64_t n = whet_space_size(space);
    int64_t *observed = test_points(n, seed), *point = TEST_NEW(int64_t, n), left = 0, same = 0;
    whet_reach *by_hull = TEST_NEW(whet_reach, n), *by_programmes = TEST_NEW(whet_reach, n);
    locus_work w = {.space = space, .observed = observed, .k = 3, .point = point};
    double *rows = TEST_NEW(double, 3 * n);
    for (int64_t i = 0; i < n; i++) { /* the first of twins, as in locus.c */
        bool twin = whet_i_hash_u64(seed * 77 + (uint64_t)i) % 4 == 0;
        point[w.n] = i;
        whet_i_locus_rows(&w, &i, 1, rows + 3 * w.n);
        for (int64_t u = 0; u < w.n; u++)
            twin |= memcmp(rows + 3 * u, rows + 3 * w.n, 3 * sizeof *rows) == 0;
        w.n += !twin;
    }
    for (int64_t i = 0; i < w.n; i++) by_hull[i] = by_programmes[i] = WHET_REACH_UNDECIDED;
    w.reach = by_hull;
    test_ok(ctx, whet_i_locus_three(ctx, &w));
    w.reach = by_programmes;
    test_ok(ctx, whet_i_locus_programmes(ctx, &w));
    for (int64_t i = 0; i < w.n; i++) {
        left += by_hull[i] == WHET_REACH_UNDECIDED;
        same += by_hull[i] == by_programmes[i];
        if (by_hull[i] != by_programmes[i] && by_hull[i] != WHET_REACH_UNDECIDED)
            fail_msg("seed %d, point %d: %d by the hull, %d by programmes", (int)seed,
                     (int)point[i], (int)by_hull[i], (int)by_programmes[i]);
    }
    if (integers) assert_int_equal(left, 0);
    assert_true(left * 10 <= w.n);
    free(rows);
    free(observed);
    free(point);
    free(by_hull);
    free(by_programmes);
    return (int)same;
}

/* Metrics of integers from 1 to `most`: whatever is closed under shortest paths. */
static whet_space *integer_metric(whet_ctx *ctx, int64_t n, int64_t most, uint64_t seed) {
    whet_space *space = NULL;
    double *d = TEST_NEW(double, n *n);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++)
            d[i * n + j] = d[j * n + i] =
                (double)(1 + whet_i_hash_u64(seed * 4096 + (uint64_t)(i * n + j)) % (uint64_t)most);
    for (int64_t k = 0; k < n; k++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                d[i * n + j] = fmin(d[i * n + j], d[i * n + k] + d[k * n + j]);
    whet_tensor t = {d, WHET_F64, 2, {n, n}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    free(d);
    return space;
}

static void the_hull_of_three_finds_what_programmes_find(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int same = 0;
    for (uint64_t seed = 1; seed <= 16; seed++) {
        const int64_t size[] = {3 + (int64_t)(seed % 7), 8}, cube[] = {2, 2, 2, 2, 2};
        whet_space *spaces[8] = {NULL,
                                 NULL,
                                 NULL,
                                 integer_metric(ctx, 40, seed % 2 ? 4 : 60, seed),
                                 test_tree(ctx, 40, (int)(seed % 4), false, seed),
                                 ring(ctx, 8 + (int64_t)(seed % 9)),
                                 test_embedding(ctx, 60, 2, false, seed),
                                 test_embedding(ctx, 60, 5, MEASURE_COSINE, seed)};
        test_ok(ctx, whet_i_space_grid(ctx, size, 2, false, &spaces[0]));
        test_ok(ctx, whet_i_space_grid(ctx, size, 2, true, &spaces[1]));
        test_ok(ctx, whet_i_space_grid(ctx, cube, 5, false, &spaces[2]));
        for (int i = 0; i < 8; i++) {
            same += check_three(ctx, spaces[i], seed, i < 6);
            whet_space_destroy(ctx, spaces[i]);
        }
    }
    assert_true(same > 2000);
    test_ctx_done(ctx);
}

/* A corner of a grid and two cells on its sides: what is behind them is beaten, what is between them ties. A
 * small unit, one that is no power of two, and one of squares that are hardly in range say the same. */
static void units_do_not_matter_to_three(void **state) {
    (void)state;
    enum { N = 36 };
    const double units[] = {1, 0x1p-300, 0x1p-480, 0x1p500, .1, 1e-7, 3};
    const int64_t observed[] = {0, 4, 24};
    whet_ctx *ctx = test_ctx(1);
    whet_reach want[N] = {WHET_REACH_NEVER};
    for (int u = 0; u < 7; u++) {
        double d[N * N];
        whet_space *space = NULL;
        for (int i = 0; i < N * N; i++) {
            const int a = i / N, b = i % N;
            d[i] = units[u] * (abs(a / 6 - b / 6) + abs(a % 6 - b % 6));
        }
        whet_tensor t = {d, WHET_F64, 2, {N, N}};
        test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
        if (u > 0) {
            expect_reach(ctx, space, observed, 3, NULL, want);
        } else {
            whet_locus l = find(ctx, space, observed, 3, NULL);
            for (int i = 0; i < N; i++) want[i] = l.classes[i].reach;
            assert_int_equal(l.programmes, 0);
            assert_true(l.count[WHET_REACH_TIED] > 0 && l.count[WHET_REACH_NEVER] > 0);
            whet_locus_free(ctx, &l);
        }
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* Four points on a line of costs: the middle ones tie with the ends at one p, the lowest wins. */
static void what_lies_on_an_edge_of_the_envelope_ties(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    /* Squared distances to 0 and 1: (0, 9), (9, 0), then (3, 6), (6, 3) twice, (1, 8). */
    const double squared[7][2] = {{0, 9}, {9, 0}, {3, 6}, {6, 3}, {6, 3}, {1, 8}, {5, 5}};
    double d[49];
    for (int i = 0; i < 49; i++) {
        const int a = i / 7, b = i % 7, low = a < b ? a : b, high = a < b ? b : a;
        d[i] = a == b ? 0 : low < 2 ? sqrt(squared[high][low]) : 1;
    }
    whet_tensor t = {d, WHET_F64, 2, {7, 7}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    const int64_t observed[] = {0, 1};
    expect_reach(ctx, space, observed, 2, NULL, (whet_reach[]){A_, A_, T_, T_, T_, T_, N_});
    /* Without 0 as a candidate the edge is from 5 to 1, and its lowest is 1. */
    const int64_t list[] = {2, 3, 4, 5, 6};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    opts.n_candidates = 5;
    expect_reach(ctx, space, observed, 2, &opts, (whet_reach[]){P_, P_, T_, A_, N_});
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

static void the_same_at_any_number_of_threads(void **state) {
    (void)state;
    whet_ctx *one = test_ctx(1), *three = test_ctx(3);
    whet_space *space = test_embedding(one, 60, 3, false, 3);
    int64_t *points = test_points(60, 3);
    whet_locus a = find(one, space, points, 8, NULL), b = find(three, space, points, 8, NULL);
    assert_memory_equal(a.classes, b.classes, (size_t)a.n * sizeof *a.classes);
    whet_locus_free(one, &a);
    whet_locus_free(three, &b);
    whet_space_destroy(one, space);
    free(points);
    test_ctx_done(three);
    test_ctx_done(one);
}

/* ---- next classes ---------------------------------------------------------------------------- */

/* The rule by itself: the node farthest from the locus, the lowest of equals, again and again. */
static void greedy_next(const whet_space *space, const double *table, int64_t *observed, int64_t k,
                        bool by_nodes, const whet_next_class *next, int64_t n_next) {
    const int64_t n = whet_space_size(space);
    bool *in = TEST_NEW(bool, n);
    double *hops = TEST_NEW(double, n *n);
    for (int64_t i = 0; i < n * n; i++) {
        int64_t a = i / n, b = i % n;
        while (a != b) {
            int64_t *lower = space->tree.hops[a] >= space->tree.hops[b] ? &a : &b;
            *lower = space->tree.parent[*lower];
            hops[i]++;
        }
    }
    for (int64_t step = 0; step <= n_next; step++) {
        int64_t size = 0, best = -1;
        double most = 0;
        /* In the locus: on a path between two of the chosen. */
        for (int64_t v = 0; v < n; v++) {
            in[v] = false;
            for (int64_t i = 0; i < k; i++)
                for (int64_t j = i; j < k; j++)
                    in[v] |= fabs(hops[observed[i] * n + v] + hops[v * n + observed[j]] -
                                  hops[observed[i] * n + observed[j]]) < .5;
            size += in[v];
        }
        if (step > 0) assert_int_equal(next[step - 1].locus, size);
        if (step == n_next) break;
        for (int64_t v = 0; v < n; v++) {
            double nearest = (double)INFINITY;
            for (int64_t u = 0; u < n; u++)
                if (in[u]) nearest = fmin(nearest, by_nodes ? hops[u * n + v] : table[u * n + v]);
            if (nearest > most * (1 + 1e-12)) {
                most = nearest;
                best = v;
            }
        }
        assert_int_equal(next[step].point, best);
        assert_near(next[step].gain, most, 1e-12);
        observed[k++] = best;
    }
    free(in);
    free(hops);
}

static void next_classes_are_those_of_the_greedy_rule(void **state) {
    (void)state;
    enum { N = 24 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        whet_space *tree = test_tree(ctx, N, (int)(seed % 4), seed % 3 == 0, seed);
        double *table = test_table(tree);
        whet_next_class next[N];
        whet_next_rule rule;
        int64_t n, k = (int64_t)(seed % 5);
        for (int by_nodes = 0; by_nodes < 2; by_nodes++) {
            int64_t *points = test_points(N, seed);
            test_ok(ctx,
                    whet_next_classes(ctx, tree, points, k, NULL, by_nodes, N, next, &n, &rule));
            assert_int_equal(rule, WHET_NEXT_TREE);
            int64_t first = 0;
            if (k == 0) points[first++] = next[0].point; /* an end of a longest path */
            greedy_next(tree, table, points, k + first, by_nodes, next + first, n - first);
            assert_int_equal(next[n - 1].locus, N);
            free(points);
        }
        free(table);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

static void elsewhere_the_farthest_candidate_comes_next(void **state) {
    (void)state;
    enum { N = 30 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = test_embedding(ctx, N, 2, false, 5);
    double *table = test_table(space);
    whet_next_class next[N];
    whet_next_rule rule;
    int64_t n, chosen[N] = {4, 9}, k = 2;
    test_ok(ctx, whet_next_classes(ctx, space, chosen, 2, NULL, false, N, next, &n, &rule));
    assert_int_equal(rule, WHET_NEXT_FARTHEST);
    assert_int_equal(n, N - 2);
    for (int64_t i = 0; i < n; i++) {
        double most = -1;
        int64_t best = -1;
        for (int64_t v = 0; v < N; v++) {
            double nearest = (double)INFINITY;
            for (int64_t j = 0; j < k; j++) nearest = fmin(nearest, table[v * N + chosen[j]]);
            if (nearest > most) {
                most = nearest;
                best = v;
            }
        }
        assert_int_equal(next[i].point, best);
        assert_near(next[i].gain, most, 1e-12);
        chosen[k++] = best;
    }
    test_fails(ctx, whet_next_classes(ctx, space, chosen, 2, NULL, false, 0, next, &n, &rule),
               WHET_ERR_ARG);
    free(table);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* ---- covers ---------------------------------------------------------------------------------- */

static void check_cover(whet_ctx *ctx, whet_space *space, int64_t want, whet_cover_proof why) {
    const int64_t n = whet_space_size(space);
    int64_t *points = TEST_NEW(int64_t, n), count, least;
    whet_cover_proof proof;
    test_ok(ctx, whet_locus_cover(ctx, space, points, &count, &least, &proof));
    assert_int_equal(proof, why);
    assert_true(count == want || want < 0);
    assert_true(least <= count);
    whet_locus l = find(ctx, space, points, count, NULL);
    assert_int_equal(l.count[WHET_REACH_NEVER], 0);
    whet_locus_free(ctx, &l);
    free(points);
    whet_space_destroy(ctx, space);
}

static void covers_reach_everything(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    const int64_t size[] = {4, 5, 2};
    check_cover(ctx, test_tree(ctx, 20, 2, true, 1), 19, WHET_COVER_LEAVES);
    check_cover(ctx, test_tree(ctx, 40, 0, true, 2), -1, WHET_COVER_LEAVES);
    test_ok(ctx, whet_i_space_path(ctx, 9, &space));
    check_cover(ctx, space, 2, WHET_COVER_LEAVES);
    test_ok(ctx, whet_i_space_path(ctx, 1, &space));
    check_cover(ctx, space, 1, WHET_COVER_ALL);
    test_ok(ctx, whet_i_space_grid(ctx, size, 3, false, &space));
    check_cover(ctx, space, 2, WHET_COVER_CORNERS);
    test_ok(ctx, whet_i_space_discrete(ctx, NULL, 5, &space));
    check_cover(ctx, space, 5, WHET_COVER_ALL);
    check_cover(ctx, ring(ctx, 12), -1, WHET_COVER_GREEDY);
    check_cover(ctx, test_embedding(ctx, 14, 2, false, 1), -1, WHET_COVER_GREEDY);
    test_ctx_done(ctx);
}

/* ---- failing memory -------------------------------------------------------------------------- */

static whet_status everything(whet_ctx *ctx, void *arg) {
    whet_space *const *spaces = arg;
    const int64_t observed[] = {0, 3, 5};
    whet_status status = WHET_OK;
    for (int i = 0; i < 3 && status == WHET_OK; i++) {
        whet_locus l = {0};
        whet_next_class next[12];
        whet_next_rule rule;
        whet_cover_proof proof;
        int64_t n, least, points[12];
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.candidates = WHET_CANDIDATES_LEAVES;
        status = whet_locus_find(ctx, spaces[i], observed, 3, &opts, &l);
        whet_locus_free(ctx, &l);
        if (status == WHET_OK)
            status =
                whet_next_classes(ctx, spaces[i], observed, 3, NULL, false, 4, next, &n, &rule);
        if (status == WHET_OK)
            status = whet_locus_cover(ctx, spaces[i], points, &n, &least, &proof);
    }
    return status;
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *spaces[3] = {test_tree(ctx, 12, 0, true, 4), ring(ctx, 6),
                             test_embedding(ctx, 12, 2, false, 4)};
    assert_true(test_each_allocation(everything, spaces) > 40);
    for (int i = 0; i < 3; i++) whet_space_destroy(ctx, spaces[i]);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_between_observed_nodes_are_reached),
        cmocka_unit_test(nodes_at_no_distance_are_twins),
        cmocka_unit_test(ultrametric_leaves_reach_only_themselves),
        cmocka_unit_test(grid_corners_reach_everything_in_ties),
        cmocka_unit_test(points_one_apart_reach_only_themselves),
        cmocka_unit_test(a_lattice_finds_nothing_that_is_not_reached),
        cmocka_unit_test(programmes_find_the_subtree),
        cmocka_unit_test(short_edges_count_beside_long_ones),
        cmocka_unit_test(what_costs_nothing_can_tie),
        cmocka_unit_test(programmes_find_the_envelope),
        cmocka_unit_test(the_hull_of_three_finds_what_programmes_find),
        cmocka_unit_test(units_do_not_matter_to_three),
        cmocka_unit_test(what_lies_on_an_edge_of_the_envelope_ties),
        cmocka_unit_test(the_same_at_any_number_of_threads),
        cmocka_unit_test(next_classes_are_those_of_the_greedy_rule),
        cmocka_unit_test(elsewhere_the_farthest_candidate_comes_next),
        cmocka_unit_test(covers_reach_everything),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("space/locus", tests, NULL, NULL);
}
