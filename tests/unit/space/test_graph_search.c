/* SPDX-License-Identifier: Apache-2.0
 * Searches of graphs against others: many sources at once, bit by bit, against each by itself (a queue,
 * whet_i_graph_distances, which test_space holds against Floyd-Warshall). */
#include "space_support.h"

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
    whet_space *space = NULL;
    whet_edges e = {.n_edges = g.n - 1 + g.more};
    whet_i_rng_init(&rng, seed, 0);
    test_ok(ctx, whet_i_names_numbered(ctx, g.n, &e.names));
    e.from = TEST_NEW(int64_t, e.n_edges);
    e.to = TEST_NEW(int64_t, e.n_edges);
    e.length = TEST_NEW(double, e.n_edges);
    for (int64_t i = 0; i < e.n_edges; i++) {
        const bool tree = i < g.n - 1;
        e.to[i] = tree ? i + 1 : whet_i_rng_below(&rng, g.n);
        e.from[i] = !tree         ? (e.to[i] + 1 + whet_i_rng_below(&rng, g.n - 1)) % g.n
                    : g.kind == 0 ? whet_i_rng_below(&rng, i + 1)
                    : g.kind == 2 && i < g.n / 2 ? 0
                                                 : i;
        e.length[i] = g.weighted ? .25 * (double)(1 + whet_i_rng_below(&rng, 8)) : 1;
    }
    test_ok(ctx, whet_i_space_from_graph(ctx, &e, &space));
    whet_names_destroy(ctx, e.names);
    free(e.from);
    free(e.to);
    free(e.length);
    return space;
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
    whet_space_destroy(ctx, spaces[0]);
    whet_space_destroy(ctx, spaces[1]);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_single_searches),
        cmocka_unit_test(hops_are_held_in_the_smallest_numbers),
        cmocka_unit_test(a_search_leaves_nothing_to_the_next),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("space/graph", tests, NULL, NULL);
}
