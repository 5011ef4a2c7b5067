/* SPDX-License-Identifier: Apache-2.0
 * Searches of graphs against others: many sources at once, bit by bit, against each by itself (a queue,
 * whet_i_graph_distances, which test_space holds against Floyd-Warshall). */
#include "space_support.h"

#include "space/frechet_i.h"
#include "space/graph_rows.h"
#include "space/hop_search.h"

/* n nodes, each joined to an earlier one, and `more` edges anywhere. Shapes: 0 anywhere, 1 a path, 2 a star
 * with a path of half the nodes, so that steps are wide, then narrow. */
typedef struct shape {
    int64_t n, more;
    int kind;
    bool weighted;
} shape;

static whet_space *graph(whet_ctx *ctx, shape g, uint64_t seed) {
    whet_i_rng rng;
    whet_edges e = test_edges(ctx, g.n, g.n - 1 + g.more);
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < e.n_edges; i++) {
        const bool tree = i < g.n - 1;
        e.to[i] = tree ? i + 1 : whet_i_rng_below(&rng, g.n);
        e.from[i] = !tree         ? (e.to[i] + 1 + whet_i_rng_below(&rng, g.n - 1)) % g.n
                    : g.kind == 0 ? whet_i_rng_below(&rng, i + 1)
                    : g.kind == 2 && i < g.n / 2 ? 0
                                                 : i;
        e.length[i] = g.weighted ? .25 * (double)(1 + whet_i_rng_below(&rng, 8)) : 1;
    }
    return test_graph_of(ctx, &e);
}

static const shape SHAPES[] = {{1, 0, 0, false},     {2, 0, 0, false},       {90, 0, 0, false},
                               {90, 120, 0, false},  {300, 900, 0, false},   {600, 0, 1, false},
                               {3000, 0, 2, false},  {5000, 8000, 0, false}, {90, 120, 0, true},
                               {5000, 2000, 0, true}};

/* Held against one search a source, in both layouts; k around the number of sources of a search. */
static void rows_are_those_of_single_searches(void **state) {
    (void)state;
    static const int64_t COUNTS[] = {1, 63, 64, 65, 150};
    whet_ctx *ctx = test_ctx(2);
    for (int i = 0; i < (int)WHET_COUNT_OF(SHAPES); i++) {
        whet_space *space = graph(ctx, SHAPES[i], 20 + (uint64_t)i);
        const int64_t n = SHAPES[i].n;
        int64_t *points = test_points(n, 3), *observed = test_points(n, 4);
        double *want = TEST_NEW(double, n);
        for (int c = 0; c < (int)WHET_COUNT_OF(COUNTS) && COUNTS[c] <= n; c++) {
            const int64_t k = COUNTS[c], some = (n + 1) / 2;
            graph_rows all, few;
            test_ok(ctx, whet_i_graph_rows_make(ctx, space, observed, k, NULL, 0, &all));
            test_ok(ctx, whet_i_graph_rows_make(ctx, space, observed, k, points, some, &few));
            for (int64_t j = 0; j < k; j++) {
                test_ok(ctx, whet_i_graph_distances(ctx, &space->graph, n, observed[j], want));
                for (int64_t v = 0; v < n; v++) {
                    if (whet_i_graph_rows_at(&all, j, v) != want[v])
                        fail_msg("graph %d: from %d to %d: %g; expected %g", i, (int)observed[j],
                                 (int)v, whet_i_graph_rows_at(&all, j, v), want[v]);
                    assert_true(SHAPES[i].weighted || want[v] <= (double)all.longest);
                }
                for (int64_t v = 0; v < some; v++)
                    assert_true(whet_i_graph_rows_at(&few, j, v) == want[points[v]]);
            }
            whet_i_graph_rows_free(ctx, &all);
            whet_i_graph_rows_free(ctx, &few);
        }
        free(want);
        free(observed);
        free(points);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* One byte up to 254 hops, two up to 65,534, then four: a path's bound is its length, no more. */
static void hops_are_held_in_the_smallest_numbers(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        int width;
    } CASES[] = {{255, 1}, {257, 2}, {65535, 2}, {65538, 4}};
    whet_ctx *ctx = test_ctx(1);
    for (int i = 0; i < (int)WHET_COUNT_OF(CASES); i++) {
        const int64_t last = CASES[i].n - 1, observed[] = {0, last, last / 2};
        whet_space *space = graph(ctx, (shape){CASES[i].n, 0, 1, false}, 1);
        graph_rows rows;
        test_ok(ctx, whet_i_graph_rows_make(ctx, space, observed, 3, NULL, 0, &rows));
        assert_int_equal(rows.hops8 ? 1 : rows.hops16 ? 2 : rows.hops32 ? 4 : 8, CASES[i].width);
        assert_true(rows.longest >= last && rows.longest <= last + 1);
        assert_true(whet_i_graph_rows_at(&rows, 0, last) == (double)last);
        assert_true(whet_i_graph_rows_at(&rows, 1, 0) == (double)last);
        assert_true(whet_i_graph_rows_at(&rows, 2, last) == (double)(last - last / 2));
        whet_i_graph_rows_free(ctx, &rows);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* Searches one after the other in the same scratch, stopped early or not. */
static void a_search_leaves_nothing_to_the_next(void **state) {
    (void)state;
    enum { N = 3000, K = 5 };
    whet_ctx *ctx = test_ctx(1);
    for (int kind = 0; kind < 3; kind++) {
        whet_space *space = graph(ctx, (shape){N, 0, kind, false}, 5);
        hop_search search;
        double *want = TEST_NEW(double, N);
        uint32_t *hops = TEST_NEW(uint32_t, N * 8);
        test_ok(ctx, whet_i_hops_create(ctx, &space->graph, N, &search));
        for (int turn = 0; turn < 6; turn++) {
            int64_t *sources = test_points(N, (uint64_t)turn);
            memset(hops, 0, N * 8 * sizeof *hops);
            const hop_block block = {4, 8, hops};
            whet_i_hops_begin(&search, sources, K);
            for (int level = 1; level < 3 && turn % 2; level++)
                (void)whet_i_hops_step(&search, search.all);
            if (turn % 2 == 0) {
                whet_i_hops_run(&search, sources, K, &block);
                for (int64_t j = 0; j < K; j++) {
                    test_ok(ctx, whet_i_graph_distances(ctx, &space->graph, N, sources[j], want));
                    for (int64_t v = 0; v < N; v++) assert_true((double)hops[v * 8 + j] == want[v]);
                }
            }
            free(sources);
        }
        whet_i_hops_free(ctx, &search);
        free(hops);
        free(want);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* ---- sparse rows without a table ------------------------------------------------------------- */

enum { ROWS = 40 };

/* Rows of 1 to `most` classes, some near one another, some without mass, some with extreme mass. */
typedef struct sparse_case {
    int64_t first[ROWS + 1];
    int32_t *column;
    double *p;
} sparse_case;

static sparse_case sparse_rows(int64_t k, int64_t most, uint64_t seed) {
    sparse_case c = {{0}, TEST_NEW(int32_t, ROWS * most), TEST_NEW(double, ROWS *most)};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 3);
    for (int64_t i = 0; i < ROWS; i++) {
        const int64_t m = 1 + whet_i_rng_below(&rng, most < k ? most : k);
        const int64_t start = whet_i_rng_below(&rng, k), by = i % 3 ? 1 : 1 + k / (2 * m);
        const double scale = i % 11 == 6 ? 1e-305 : i % 13 == 8 ? 1e300 : 1;
        c.first[i + 1] = c.first[i] + m;
        for (int64_t e = 0; e < m; e++) {
            const double x = whet_i_rng_uniform(&rng);
            c.column[c.first[i] + e] = (int32_t)((start + e * by) % k);
            c.p[c.first[i] + e] = e > 0 && i % 5 == 4 ? 0 : scale * (i % 4 ? pow(x, 8) + 1e-9 : .5);
        }
    }
    return c;
}

/* Every cost, from one search a class. */
static void oracle(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                   const sparse_case *c, int64_t row, int32_t power, double *cost) {
    const int64_t n = whet_space_size(space);
    double *d = TEST_NEW(double, n), mass = 0;
    for (int64_t e = c->first[row]; e < c->first[row + 1]; e++) mass += c->p[e];
    memset(cost, 0, (size_t)n * sizeof *cost);
    for (int64_t e = c->first[row]; e < c->first[row + 1]; e++) {
        test_ok(ctx, whet_i_graph_distances(ctx, &space->graph, n, observed[c->column[e]], d));
        for (int64_t v = 0; v < n; v++)
            cost[v] += c->p[e] / mass * (power == 2 ? d[v] * d[v] : d[v]);
    }
    free(d);
}

typedef struct sparse_answers {
    int64_t best[ROWS];
    double cost[ROWS], margin[ROWS];
    int32_t ties[ROWS];
} sparse_answers;

/* A table would have been small enough: the searches are asked for. */
static void run_balls(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                      whet_frechet_opts opts, const sparse_case *c, sparse_answers *a) {
    whet_frechet *f = NULL;
    const whet_sparse_rows rows = {c->first, c->column, c->p, ROWS};
    opts.sparse = true;
    opts.method = space->graph.length ? "length-searches" : "hop-searches";
    test_ok(ctx, whet_frechet_create(ctx, space, observed, k, &opts, &f));
    test_ok(ctx, whet_frechet_run_sparse(ctx, f, &rows, a->best, a->cost, a->ties, a->margin));
    whet_frechet_destroy(ctx, f);
}

static void hold(const double *want, const int64_t *candidates, int64_t n, const sparse_answers *a,
                 int64_t row) {
    double least = (double)INFINITY, next = (double)INFINITY;
    int64_t first = -1, ties = 0;
    for (int64_t i = 0; i < n; i++) least = fmin(least, want[candidates[i]]);
    for (int64_t i = 0; i < n; i++) {
        const double cost = want[candidates[i]];
        if (cost > least * (1 + 1e-9)) {
            next = fmin(next, cost);
        } else {
            if (ties++ == 0 || candidates[i] < first) first = candidates[i];
        }
    }
    if (a->best[row] != first || a->ties[row] != ties)
        fail_msg("row %d: point %d of %d ties; expected %d of %d", (int)row, (int)a->best[row],
                 a->ties[row], (int)first, (int)ties);
    assert_near(a->cost[row], want[first], 4 * TEST_PRECISE);
    if (isinf(next))
        assert_true(isinf(a->margin[row]));
    else if (fabs(a->margin[row] - (next - least)) > 8 * TEST_PRECISE * next)
        fail_msg("row %d: margin %.17g; expected %.17g", (int)row, a->margin[row], next - least);
}

/* Candidates: all, every fifth, one. */
static void compare_balls(whet_ctx *ctx, const whet_space *space, int64_t most, int32_t power,
                          uint64_t seed) {
    const int64_t n = whet_space_size(space), k = (n + 1) / 2;
    int64_t *observed = test_points(n, seed), *list = test_points(n, seed + 1);
    double *want = TEST_NEW(double, n);
    sparse_case c = sparse_rows(k, most, seed);
    const int64_t counts[] = {n, (n + 4) / 5, 1};
    for (int i = 0; i < 3; i++) {
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        sparse_answers a;
        opts.power = power;
        opts.candidates = i ? WHET_CANDIDATES_LIST : WHET_CANDIDATES_ALL;
        opts.candidate_list = list;
        opts.n_candidates = counts[i];
        run_balls(ctx, space, observed, k, opts, &c, &a);
        for (int64_t row = 0; row < ROWS; row++) {
            oracle(ctx, space, observed, &c, row, power, want);
            hold(want, list, counts[i], &a, row);
        }
    }
    free(c.column);
    free(c.p);
    free(want);
    free(observed);
    free(list);
}

static void searches_give_what_the_formula_does(void **state) {
    (void)state;
    static const shape KINDS[] = {{1, 0, 0, false},    {2, 0, 0, false},   {90, 0, 0, false},
                                  {90, 120, 0, false}, {400, 0, 1, false}, {400, 900, 0, false},
                                  {500, 0, 2, false},  {1, 0, 0, true},    {2, 0, 0, true},
                                  {90, 0, 0, true},    {90, 120, 0, true}, {400, 0, 1, true},
                                  {400, 900, 0, true}, {500, 0, 2, true}};
    whet_ctx *ctx = test_ctx(2);
    for (int i = 0; i < (int)WHET_COUNT_OF(KINDS); i++)
        for (int32_t power = 1; power <= 2; power++)
            for (uint64_t seed = 0; seed < 3; seed++) {
                whet_space *space = graph(ctx, KINDS[i], seed + 40);
                compare_balls(ctx, space, seed == 2 ? 150 : 12, power, seed + 2);
                whet_space_destroy(ctx, space);
            }
    test_ctx_done(ctx);
}

/* Every three candidates on a path: the least, or what comes next, may lie outside the first ball. */
static void balls_grow_until_nothing_outside_matters(void **state) {
    (void)state;
    enum { N = 22 };
    whet_ctx *ctx = test_ctx(1);
    for (int weighted = 0; weighted < 2; weighted++) {
        whet_space *space = graph(ctx, (shape){N, 0, 1, weighted == 1}, 3);
        int64_t *observed = test_points(N, 2);
        double *want = TEST_NEW(double, ROWS *N);
        sparse_case c = sparse_rows(N, 3, 4);
        for (int64_t row = 0; row < ROWS; row++)
            oracle(ctx, space, observed, &c, row, 2, want + row * N);
        for (int64_t x = 0; x < N; x++)
            for (int64_t y = 0; y < x; y++)
                for (int64_t z = 0; z < y; z++) {
                    const int64_t list[] = {x, y, z};
                    sparse_answers a;
                    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
                    opts.candidates = WHET_CANDIDATES_LIST;
                    opts.candidate_list = list;
                    opts.n_candidates = 3;
                    run_balls(ctx, space, observed, N, opts, &c, &a);
                    for (int64_t row = 0; row < ROWS; row++) hold(want + row * N, list, 3, &a, row);
                }
        free(c.column);
        free(c.p);
        free(want);
        free(observed);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* Too many classes for a table: chosen, and the same at any number of threads. */
static void large_graphs_are_searched(void **state) {
    (void)state;
    static const shape KINDS[] = {
        {24000, 30000, 0, false}, {24000, 0, 1, false}, {8300, 9000, 0, true}};
    for (int i = 0; i < 3; i++) {
        const int64_t n = KINDS[i].n;
        int64_t *observed = test_points(n, 3), *all = test_points(n, 4);
        double *want = TEST_NEW(double, n);
        sparse_case c = sparse_rows(n, 10, 5);
        sparse_answers a[3];
        memset(a, 0, sizeof a);
        for (int t = 0; t < 3; t++) {
            whet_ctx *ctx = test_ctx(t == 2 ? 5 : 1 + t);
            whet_space *space = graph(ctx, KINDS[i], 9);
            whet_frechet *f = NULL;
            whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
            const whet_sparse_rows rows = {c.first, c.column, c.p, ROWS};
            opts.sparse = true;
            test_ok(ctx, whet_frechet_create(ctx, space, observed, n, &opts, &f));
            assert_string_equal(whet_frechet_explain(f).method, "searches by entries");
            test_ok(ctx, whet_frechet_run_sparse(ctx, f, &rows, a[t].best, a[t].cost, a[t].ties,
                                                 a[t].margin));
            assert_memory_equal(&a[t], &a[0], sizeof *a);
            for (int64_t row = 0; t == 2 && row < ROWS; row++) {
                oracle(ctx, space, observed, &c, row, 2, want);
                hold(want, all, n, &a[t], row);
            }
            whet_frechet_destroy(ctx, f);
            whet_space_destroy(ctx, space);
            test_ctx_done(ctx);
        }
        free(c.column);
        free(c.p);
        free(want);
        free(observed);
        free(all);
    }
}

static void impossible_rows_are_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int weighted = 0; weighted < 2; weighted++) {
        whet_space *space = graph(ctx, (shape){9, 5, 0, weighted == 1}, 1);
        const int64_t first[] = {0, 1, 2}, observed[] = {3, 4};
        const int32_t column[] = {0, 1};
        const double none[] = {1, 0}, negative[] = {1, -1};
        whet_frechet *f = NULL;
        int64_t best[2];
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        opts.sparse = true;
        opts.method = weighted ? "length-searches" : "hop-searches";
        test_ok(ctx, whet_frechet_create(ctx, space, observed, 2, &opts, &f));
        whet_sparse_rows rows = {first, column, none, 2};
        test_fails(ctx, whet_frechet_run_sparse(ctx, f, &rows, best, NULL, NULL, NULL),
                   WHET_ERR_DATA);
        test_says(ctx, "row 1 is all zero");
        rows.p = negative;
        test_fails(ctx, whet_frechet_run_sparse(ctx, f, &rows, best, NULL, NULL, NULL),
                   WHET_ERR_DATA);
        test_says(ctx, "row 1: expected finite");
        whet_frechet_destroy(ctx, f);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

static whet_status run_searches(whet_ctx *ctx, void *arg) {
    whet_space *const *spaces = arg;
    static const int64_t first[] = {0, 2, 72};
    int64_t observed[80], best[2], list[] = {3, 8, 2};
    int32_t column[72];
    double p[72];
    for (int i = 0; i < 80; i++) observed[i] = i;
    for (int i = 0; i < 72; i++) {
        column[i] = i < 2 ? i : i - 2;
        p[i] = 1 + i % 3;
    }
    const whet_sparse_rows rows = {first, column, p, 2};
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.sparse = true;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    opts.n_candidates = 3;
    whet_status status = WHET_OK;
    for (int i = 0; i < 2 && status == WHET_OK; i++) {
        whet_frechet *f;
        opts.method = i ? "length-searches" : "hop-searches";
        WHET_TRY(whet_frechet_create(ctx, spaces[i], observed, 80, &opts, &f));
        status = whet_frechet_run_sparse(ctx, f, &rows, best, NULL, NULL, NULL);
        whet_frechet_destroy(ctx, f);
    }
    return status;
}

static whet_status make_rows(whet_ctx *ctx, void *arg) {
    whet_space *const *spaces = arg;
    const int64_t observed[] = {5, 1, 30};
    for (int i = 0; i < 4; i++) {
        graph_rows rows;
        WHET_TRY(whet_i_graph_rows_make(ctx, spaces[i / 2], observed, 3, i % 2 ? observed : NULL,
                                        i % 2 ? 3 : 0, &rows));
        whet_i_graph_rows_free(ctx, &rows);
    }
    return WHET_OK;
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *spaces[] = {graph(ctx, (shape){90, 120, 0, false}, 1),
                            graph(ctx, (shape){90, 120, 0, true}, 1)};
    assert_true(test_each_allocation(make_rows, spaces) > 20);
    assert_true(test_each_allocation(run_searches, spaces) > 40);
    whet_space_destroy(ctx, spaces[0]);
    whet_space_destroy(ctx, spaces[1]);
    test_ctx_done(ctx);
}

/* Lengths that differ by nothing, a little, and all that f64 has: the queue's lists hold many points, few,
 * or all. Bellman and Ford's sums are of the same terms in the same order, least of the same: equal bits. */
static void distances_do_not_depend_on_the_queue(void **state) {
    (void)state;
    enum { N = 400, EDGES = 1200, KINDS = 6 };
    whet_ctx *ctx = test_ctx(2);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    for (int kind = 0; kind < KINDS; kind++) {
        whet_edges e = test_edges(ctx, N, EDGES);
        double *d = TEST_NEW(double, N), *length = TEST_NEW(double, EDGES);
        int64_t *from = TEST_NEW(int64_t, EDGES), *to = TEST_NEW(int64_t, EDGES);
        for (int64_t i = 0; i < EDGES; i++) {
            const double u = whet_i_rng_uniform(&rng);
            to[i] = e.to[i] = i < N - 1 ? i + 1 : whet_i_rng_below(&rng, N);
            from[i] = i >= N - 1  ? (to[i] + 1 + whet_i_rng_below(&rng, N - 1)) % N
                      : kind == 5 ? i
                                  : whet_i_rng_below(&rng, i + 1);
            e.from[i] = from[i];
            e.length[i] = kind == 0   ? .5 + u
                          : kind == 1 ? (u < .3 ? 0 : u)
                          : kind == 2 ? exp(40 * u - 20)
                          : kind == 3 ? exp(1300 * u - 650)
                          : kind == 4 ? (u < .5 ? 5e-324 : 0)
                                      : 1e3 + u;
            length[i] = e.length[i];
        }
        whet_space *space = test_graph_of(ctx, &e);
        for (int64_t source = 0; source < N; source += 57) {
            for (int64_t v = 0; v < N; v++) d[v] = v == source ? 0 : (double)INFINITY;
            for (bool again = true; again;) {
                again = false;
                for (int64_t i = 0; i < 2 * EDGES; i++) {
                    const int64_t a = i % 2 ? from[i / 2] : to[i / 2],
                                  b = i % 2 ? to[i / 2] : from[i / 2];
                    if (!(d[a] + length[i / 2] < d[b])) continue;
                    d[b] = d[a] + length[i / 2];
                    again = true;
                }
            }
            for (int64_t v = 0; v < N; v++)
                if (whet_space_distance(space, source, v) != d[v])
                    fail_msg("kind %d: %g; expected %g", kind,
                             whet_space_distance(space, source, v), d[v]);
        }
        whet_space_destroy(ctx, space);
        free(d);
        free(length);
        free(from);
        free(to);
    }
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_single_searches),
        cmocka_unit_test(hops_are_held_in_the_smallest_numbers),
        cmocka_unit_test(a_search_leaves_nothing_to_the_next),
        cmocka_unit_test(searches_give_what_the_formula_does),
        cmocka_unit_test(balls_grow_until_nothing_outside_matters),
        cmocka_unit_test(large_graphs_are_searched),
        cmocka_unit_test(impossible_rows_are_named),
        cmocka_unit_test(distances_do_not_depend_on_the_queue),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("space/graph", tests, NULL, NULL);
}
