/* SPDX-License-Identifier: Apache-2.0
 * Making spaces from memory: what they measure, how they are numbered, what they refuse; scores and
 * temperatures. */
#include "space_support.h"

#include <stdio.h>

/* An edge list from text: "a b, b c 2.5". */
static whet_edges edges_of(whet_ctx *ctx, const char *text, bool rooted) {
    whet_edges e = {.rooted = rooted};
    enum { MOST = 64 };
    test_ok(ctx, whet_names_create(ctx, &e.names));
    test_ok(ctx, whet_i_alloc(ctx, MOST, &e.from));
    test_ok(ctx, whet_i_alloc(ctx, MOST, &e.to));
    test_ok(ctx, whet_i_alloc(ctx, MOST, &e.length));
    char a[32], b[32];
    for (const char *at = text; at; at = strchr(at, ','), at = at ? at + 1 : at) {
        double length = 1;
        if (sscanf(at, " %31[^ ,] %31[^ ,] %lf", a, b, &length) < 2) break;
        test_ok(ctx, whet_names_add(ctx, e.names, whet_str_from(a), &e.from[e.n_edges]));
        test_ok(ctx, whet_names_add(ctx, e.names, whet_str_from(b), &e.to[e.n_edges]));
        e.length[e.n_edges++] = length;
    }
    return e;
}

static void edges_free(whet_ctx *ctx, whet_edges *e) {
    whet_names_destroy(ctx, e->names);
    whet_i_free(ctx, e->from);
    whet_i_free(ctx, e->to);
    whet_i_free(ctx, e->length);
}

static double between(whet_ctx *ctx, const whet_space *space, const char *a, const char *b) {
    int64_t i = -1, j = -1;
    test_ok(ctx, whet_space_find(ctx, space, whet_str_from(a), &i));
    test_ok(ctx, whet_space_find(ctx, space, whet_str_from(b), &j));
    return whet_space_distance(space, i, j);
}

static void trees_measure_along_their_edges(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_edges e = edges_of(ctx, "a b 1.5, b c 2, b d .25, x d 0", false);
    whet_space *tree = NULL, *graph = NULL;
    test_ok(ctx, whet_i_space_from_edges(ctx, &e, &tree));
    test_ok(ctx, whet_i_space_from_graph(ctx, &e, &graph));
    assert_int_equal(whet_space_size(tree), 5);
    assert_true(between(ctx, tree, "a", "c") == 3.5);
    assert_true(between(ctx, tree, "c", "x") == 2.25);
    assert_true(between(ctx, tree, "d", "x") == 0);
    assert_true(between(ctx, tree, "c", "c") == 0);
    for (int64_t i = 0; i < 25; i++)
        assert_true(whet_space_distance(tree, i / 5, i % 5) ==
                    whet_space_distance(graph, i / 5, i % 5));
    whet_space_destroy(ctx, tree);
    whet_space_destroy(ctx, graph);
    edges_free(ctx, &e);
    test_ctx_done(ctx);
}

static void nodes_called_by_numbers_are_numbered_so(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *lists[] = {"3 1, 0 3, 2 3", "3 1, 0 3, 4 3", "3 1, 00 3, 2 3"};
    const char *first[] = {"0", "3", "3"};
    for (int i = 0; i < 3; i++) {
        whet_edges e = edges_of(ctx, lists[i], false);
        whet_space *tree = NULL;
        test_ok(ctx, whet_i_space_from_edges(ctx, &e, &tree));
        const whet_str name = whet_names_get(whet_space_names(tree), 0);
        assert_string_equal(name.ptr, first[i]);
        assert_true(between(ctx, tree, "1", "3") == 1);
        whet_space_destroy(ctx, tree);
        edges_free(ctx, &e);
    }
    test_ctx_done(ctx);
}

static void what_is_no_tree_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const struct {
        const char *text;
        bool rooted;
        const char *says;
    } cases[] = {
        {"a b, c d", false, "nodes \"a\" and \"c\" are not connected"},
        {"a b, b c, c a", false,
         "the edge of \"b\" and \"c\" closes a cycle; expected a tree; try graph:FILE"},
        {"a b, b a", false, "the edge of \"b\" and \"a\" is given twice; expected a tree"},
        {"a b, b c, c d, b e, c b", false, "the edge of \"c\" and \"b\" is given twice"},
        {"a b, b c, c d, d b, d e", false, "closes a cycle"},
        {"a b, b b", false, "\"b\" is joined to itself"},
        {"a b, b c -1", false, "length -1"},
        {"a b, b c inf", false, "length inf"},
        {"a c, b c", true, "\"c\" has two parents"},
        {"a b, b a", true, "there is a cycle"},
        {"a b, c d", true, "\"a\" and \"c\" are not connected"},
        {"", false, "no points"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_edges e = edges_of(ctx, cases[i].text, cases[i].rooted);
        whet_space *tree = NULL;
        test_fails(ctx, whet_i_space_from_edges(ctx, &e, &tree), WHET_ERR_DATA);
        test_says(ctx, cases[i].says);
        assert_null(tree);
        edges_free(ctx, &e);
    }
    const int64_t two_roots[] = {-1, -1}, none[] = {1, 0}, outside[] = {-1, 2},
                  cycle[] = {-1, 2, 1};
    whet_space *tree = NULL;
    test_fails(ctx, whet_i_space_from_tree(ctx, NULL, 2, two_roots, NULL, true, &tree),
               WHET_ERR_DATA);
    test_says(ctx, "\"0\" and \"1\" are not connected");
    test_fails(ctx, whet_i_space_from_tree(ctx, NULL, 2, none, NULL, true, &tree), WHET_ERR_DATA);
    test_fails(ctx, whet_i_space_from_tree(ctx, NULL, 2, outside, NULL, true, &tree),
               WHET_ERR_DATA);
    test_fails(ctx, whet_i_space_from_tree(ctx, NULL, 3, cycle, NULL, true, &tree), WHET_ERR_DATA);
    test_says(ctx, "not connected");
    test_ctx_done(ctx);
}

/* Floyd-Warshall, the other way to shortest paths. */
static void graphs_measure_shortest_paths(void **state) {
    (void)state;
    enum { N = 40, M = 75 };
    whet_ctx *ctx = test_ctx(2);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    for (int weighted = 0; weighted < 2; weighted++) {
        int64_t from[M], to[M], every[N];
        double length[M], d[N][N], table[N * N];
        whet_names *names = NULL;
        test_ok(ctx, whet_names_create(ctx, &names));
        for (int64_t v = 0; v < N; v++) {
            char name[8];
            (void)snprintf(name, sizeof name, "v%d", (int)v);
            test_ok(ctx, whet_names_add(ctx, names, whet_str_from(name), NULL));
            every[v] = v;
            for (int64_t w = 0; w < N; w++) d[v][w] = v == w ? 0 : (double)INFINITY;
        }
        for (int64_t e = 0; e < M; e++) {
            to[e] = e < N - 1 ? e + 1 : 1 + whet_i_rng_below(&rng, N - 1);
            from[e] = whet_i_rng_below(&rng, to[e]);
            length[e] = weighted ? .5 + whet_i_rng_uniform(&rng) : 1;
            const double shorter = fmin(d[from[e]][to[e]], length[e]);
            d[from[e]][to[e]] = d[to[e]][from[e]] = shorter;
        }
        for (int k = 0; k < N; k++)
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++) d[i][j] = fmin(d[i][j], d[i][k] + d[k][j]);
        whet_edges e = {names, M, from, to, length, false};
        whet_space *graph = NULL;
        test_ok(ctx, whet_i_space_from_graph(ctx, &e, &graph));
        test_ok(ctx, whet_i_graph_table(ctx, &graph->graph, N, every, N, table));
        for (int64_t i = 0; i < N * N; i++) {
            assert_near(whet_space_distance(graph, i / N, i % N), d[i / N][i % N], 1e-14);
            assert_near(table[i], d[i / N][i % N], 1e-14);
        }
        /* The way of graphs that are too large for a table gives the same. */
        double *kept = graph->graph.matrix.f64, some[3];
        graph->graph.matrix.f64 = NULL;
        const int64_t a[] = {3, 9, 3}, b[] = {7, 7, 0};
        test_ok(ctx, whet_space_distances(ctx, graph, a, b, 3, some));
        for (int i = 0; i < 3; i++) assert_near(some[i], d[a[i]][b[i]], 1e-14);
        assert_true(isnan(whet_space_distance(graph, 0, 1)));
        const double p[] = {.2, .5, .3};
        const int64_t observed[] = {5, 1, 30};
        int64_t best[2];
        double cost[2];
        test_ok(ctx, whet_frechet_predict(ctx, graph, observed, 3, p, 1, NULL, &best[0], &cost[0],
                                          NULL, NULL));
        graph->graph.matrix.f64 = kept;
        test_ok(ctx, whet_frechet_predict(ctx, graph, observed, 3, p, 1, NULL, &best[1], &cost[1],
                                          NULL, NULL));
        assert_int_equal(best[0], best[1]);
        assert_near(cost[0], cost[1], 1e-14);
        whet_space_destroy(ctx, graph);
        whet_names_destroy(ctx, names);
    }
    whet_edges e = edges_of(ctx, "a b, b c, d e", false);
    whet_space *graph = NULL;
    test_fails(ctx, whet_i_space_from_graph(ctx, &e, &graph), WHET_ERR_DATA);
    test_says(ctx, "nodes \"a\" and \"d\" are not connected");
    edges_free(ctx, &e);
    test_ctx_done(ctx);
}

static void matrices_are_checked(void **state) {
    (void)state;
    char warning[TEST_WARNING];
    whet_ctx *ctx = test_ctx_warned(warning);
    const struct {
        double d[9];
        const char *says;
    } cases[] = {
        {{0, 1, 1, 1, 0, 1, 1, 1.1, 0}, "d[1,2] is 1, d[2,1] is 1.1"},
        {{0, 1, 1, 1, .5, 1, 1, 1, 0}, "d[1,1] is 0.5; expected 0"},
        {{0, -1, 1, -1, 0, 1, 1, 1, 0}, "d[0,1] is -1"},
        {{0, 1, (double)NAN, 1, 0, 1, 1, 1, 0}, "d[0,2] is nan"},
        {{0, 1, (double)INFINITY, 1, 0, 1, 1, 1, 0}, "d[0,2] is inf"},
    };
    whet_space *space = NULL;
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        double d[9];
        memcpy(d, cases[i].d, sizeof d);
        whet_tensor t = {d, WHET_F64, 2, {3, 3}};
        test_fails(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space), WHET_ERR_DATA);
        test_says(ctx, cases[i].says);
    }
    double d[9] = {0, 1, 4, 1, 0, 1, 4, 1, 0};
    whet_tensor wide = {d, WHET_F64, 2, {1, 9}}, flat = {d, WHET_F64, 1, {9}},
                good = {d, WHET_F64, 2, {3, 3}};
    test_fails(ctx, whet_i_space_from_matrix(ctx, NULL, &wide, false, &space), WHET_ERR_SHAPE);
    test_fails(ctx, whet_i_space_from_matrix(ctx, NULL, &flat, false, &space), WHET_ERR_SHAPE);
    assert_string_equal(warning, "");
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &good, false, &space));
    assert_non_null(strstr(warning, "are these squared distances?"));
    assert_true(whet_space_distance(space, 0, 2) == 4);
    whet_space_destroy(ctx, space);
    uint8_t hops[4] = {0, 7, 7, 0};
    whet_tensor small = {hops, WHET_U8, 2, {2, 2}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &small, false, &space));
    assert_non_null(space->matrix.f32);
    assert_true(whet_space_distance(space, 1, 0) == 7);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* Directions 0, 90, 180 and, of numbers whose squares are none, 180 degrees. */
static void measures_of_directions(void **state) {
    (void)state;
    static const double want[][2] = {[MEASURE_UNIT] = {1.4142135623730951, 2},
                                     [MEASURE_COSINE] = {1, 2},
                                     [MEASURE_ANGULAR] = {1.5707963267948966, 3.141592653589793}};
    whet_ctx *ctx = test_ctx(1);
    double d[] = {2, 1, 0, 0, 0, 2, -2, -1, 0, -2e-200, -1e-200, 0};
    float e[] = {3, 0, 0, .5f, -2, 0};
    whet_space *space = NULL;
    whet_tensor t = {d, WHET_F64, 2, {4, 3}};
    for (int m = MEASURE_UNIT; m <= MEASURE_ANGULAR; m++) {
        test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, (space_measure)m, &space));
        assert_near(whet_space_distance(space, 0, 1), want[m][0], 1e-15);
        assert_near(whet_space_distance(space, 0, 2), want[m][1], 1e-15);
        assert_near(whet_space_distance(space, 0, 3), want[m][1], 1e-15);
        assert_true(whet_space_distance(space, 2, 3) < 1e-15);
        whet_space_destroy(ctx, space);
    }
    t = (whet_tensor){e, WHET_F32, 2, {3, 2}};
    e[2] = e[3] = 0;
    test_fails(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, MEASURE_UNIT, &space),
               WHET_ERR_DATA);
    test_says(ctx, "the embedding of \"1\" (row 1) is zero");
    e[2] = (float)NAN;
    test_fails(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, MEASURE_EUCLIDEAN, &space),
               WHET_ERR_DATA);
    test_says(ctx, "embedding[1,0] is nan");
    d[4] = 1e200;
    t = (whet_tensor){d, WHET_F64, 2, {4, 3}};
    test_fails(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, MEASURE_EUCLIDEAN, &space),
               WHET_ERR_DATA);
    test_says(ctx, "embedding[1,1] is 1e+200; expected values below 1e150");
    test_ctx_done(ctx);
}

/* Unit vectors 60 degrees apart, and nearly the same: acos would give 0 or 1e-8 there. */
static void angles_are_right_at_both_ends(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    double e[] = {2, 0, 1, sqrt(3), 1, 1e-9, -1, 0};
    const whet_tensor t = {e, WHET_F64, 2, {4, 2}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("angles.npy"), true, &t));
    char spec[600];
    (void)snprintf(spec, sizeof spec, "embedding:%s,metric=angular", test_tmp("angles.npy"));
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    const double pi = 3.14159265358979323846;
    assert_near(whet_space_distance(space, 0, 1), pi / 3, 1e-15);
    assert_near(whet_space_distance(space, 0, 2), 1e-9, 1e-15);
    assert_near(whet_space_distance(space, 0, 3), pi, 1e-15);
    /* The way through a table agrees with the distances. */
    const int64_t observed[] = {1, 3};
    const double p[] = {.7, .3};
    int64_t best[4];
    double cost[4];
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.top = 4;
    test_ok(ctx,
            whet_frechet_predict(ctx, space, observed, 2, p, 1, &opts, best, cost, NULL, NULL));
    for (int i = 0; i < 4; i++) {
        double want = 0;
        for (int j = 0; j < 2; j++) {
            const double d = whet_space_distance(space, best[i], observed[j]);
            want += p[j] * d * d;
        }
        assert_near(cost[i], want, 1e-12);
    }
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

static void slabs_know_distances_from_their_rows(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    double d[] = {2, 0, 1, 5, 1, 5, 3, 0};
    const whet_tensor t = {d, WHET_F64, 2, {2, 4}};
    test_ok(ctx, whet_npy_write(ctx, test_tmp("slab.npy"), true, &t));
    char spec[2000];
    (void)test_write_text("all.txt", "a\nb\nc\nd\n");
    (void)test_write_text("rows.txt", "b\nd\n");
    (void)test_write_text("turned.txt", "d\nb\n");
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s,rows=%s", test_tmp("slab.npy"),
                   test_tmp("all.txt"), test_tmp("rows.txt"));
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    assert_true(whet_space_distance(space, 0, 1) == 2 && whet_space_distance(space, 3, 2) == 3);
    assert_true(whet_space_distance(space, 0, 0) == 0 && isnan(whet_space_distance(space, 0, 2)));
    const int64_t observed[] = {1, 3}, unknown[] = {1, 2}, from[] = {0}, to[] = {2};
    const double p[] = {.5, .5};
    int64_t best;
    double cost, out;
    test_ok(ctx,
            whet_frechet_predict(ctx, space, observed, 2, p, 1, NULL, &best, &cost, NULL, NULL));
    assert_int_equal(best, 0); /* (4 + 1) / 2 against 25 / 2, (1 + 9) / 2 */
    assert_near(cost, 2.5, 1e-15);
    test_fails(ctx,
               whet_frechet_predict(ctx, space, unknown, 2, p, 1, NULL, &best, NULL, NULL, NULL),
               WHET_ERR_DATA);
    test_says(ctx, "\"c\" has no row");
    test_fails(ctx, whet_space_distances(ctx, space, from, to, 1, &out), WHET_ERR_DATA);
    test_says(ctx, "\"a\" and \"c\"");
    whet_space_destroy(ctx, space);
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s,rows=%s", test_tmp("slab.npy"),
                   test_tmp("all.txt"), test_tmp("turned.txt"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_DATA);
    test_says(ctx, "to itself");
    d[7 - 2] = 4.5;
    test_ok(ctx, whet_npy_write(ctx, test_tmp("slab.npy"), true, &t));
    (void)snprintf(spec, sizeof spec, "matrix:%s,names=%s,rows=%s", test_tmp("slab.npy"),
                   test_tmp("all.txt"), test_tmp("rows.txt"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_DATA);
    test_says(ctx, "d[0,3] is 5, d[1,1] is 4.5; expected the same distance from both rows");
    test_ctx_done(ctx);
}

static void forests_are_joined_when_asked_to(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *space = NULL;
    char spec[700];
    (void)test_write_text("forest.tsv", "child\tparent\na\tr\nb\tr\nx\ts\ny\tx\n");
    (void)test_write_text("forest.txt", "a r\nb r\nx s\ny x\n");
    (void)snprintf(spec, sizeof spec, "tree:%s", test_tmp("forest.tsv"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_DATA);
    for (int edges = 0; edges < 2; edges++) {
        (void)snprintf(spec, sizeof spec, "tree:%s,forest=%s",
                       test_tmp(edges ? "forest.txt" : "forest.tsv"), edges ? "2.5" : "join");
        test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
        assert_int_equal(whet_space_size(space), 7);
        int64_t b, y;
        test_ok(ctx, whet_space_find(ctx, space, whet_str_from("b"), &b));
        test_ok(ctx, whet_space_find(ctx, space, whet_str_from("y"), &y));
        /* Roots are r and s; without a root, the nodes that come first: a and x. */
        assert_near(whet_space_distance(space, b, y), edges ? 2 + 2.5 + 2.5 + 1 : 1 + 1 + 1 + 2, 0);
        whet_space_destroy(ctx, space);
    }
    (void)snprintf(spec, sizeof spec, "tree:%s,forest=yes", test_tmp("forest.tsv"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_ARG);
    (void)test_write_text("forest.txt", "a b\nc d\nc (joined)\n");
    (void)snprintf(spec, sizeof spec, "tree:%s,forest=join", test_tmp("forest.txt"));
    test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_DATA);
    (void)test_write_text("forest.txt", "a b\nb c\n");
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    assert_int_equal(whet_space_size(space), 3);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

static void unknown_classes_are_named_with_their_nearest(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL, *asked = NULL;
    whet_space *space = NULL;
    test_ok(ctx, whet_names_create(ctx, &names));
    test_ok(ctx, whet_names_create(ctx, &asked));
    const char *animals[] = {"zebra", "polar bear", "otter"};
    for (int i = 0; i < 3; i++)
        test_ok(ctx, whet_names_add(ctx, names, whet_str_from(animals[i]), NULL));
    test_ok(ctx, whet_i_space_discrete(ctx, names, 3, &space));
    test_ok(ctx, whet_names_add(ctx, asked, whet_str_from("otter"), NULL));
    test_ok(ctx, whet_names_add(ctx, asked, whet_str_from("polar_bear"), NULL));
    int64_t points[2] = {-7, -7};
    test_fails(ctx, whet_space_find_all(ctx, space, asked, points), WHET_ERR_DATA);
    test_says(ctx, "class \"polar_bear\" is not in the label space");
    test_says(ctx, "try \"polar bear\"");
    assert_int_equal(points[0], -7);
    test_fails(ctx, whet_space_find(ctx, space, whet_str_from("quetzalcoatlus"), points),
               WHET_ERR_DATA);
    test_says(ctx, "such as \"zebra\"");
    whet_space_destroy(ctx, space);
    whet_names_destroy(ctx, names);
    whet_names_destroy(ctx, asked);
    test_ctx_done(ctx);
}

/* ---- temperature and scores ------------------------------------------------------------------ */

static void temperature_goes_from_the_argmax_to_the_mean_of_all(void **state) {
    (void)state;
    enum { N = 50, K = 9, ROWS = 32 };
    whet_ctx *ctx = test_ctx(2);
    whet_space *tree = test_tree(ctx, N, 0, true, 21);
    int64_t *points = test_points(N, 21), best[ROWS], argmax[ROWS], middle;
    double *p = test_probs(ROWS, K, 21), *q = TEST_NEW(double, ROWS *K), ones[K];
    whet_frechet *f = NULL;
    test_ok(ctx, whet_frechet_create(ctx, tree, points, K, NULL, &f));
    whet_frechet_argmax(f, p, ROWS, argmax);
    memcpy(q, p, ROWS * K * sizeof *q);
    test_ok(ctx, whet_temperature_apply(ctx, q, ROWS, K, 1e-3));
    test_ok(ctx, whet_frechet_run(ctx, f, q, ROWS, best, NULL, NULL, NULL));
    for (int r = 0; r < ROWS; r++)
        if (r % 16 != 14) assert_int_equal(best[r], argmax[r]); /* those rows are uniform */
    memcpy(q, p, ROWS * K * sizeof *q);
    test_ok(ctx, whet_temperature_apply(ctx, q, ROWS, K, 1e9));
    test_ok(ctx, whet_frechet_run(ctx, f, q, ROWS, best, NULL, NULL, NULL));
    for (int j = 0; j < K; j++) ones[j] = 1;
    test_ok(ctx, whet_frechet_run(ctx, f, ones, 1, &middle, NULL, NULL, NULL));
    for (int r = 0; r < ROWS; r++)
        if (r % 16 != 15) assert_int_equal(best[r], middle); /* those rows are one-hot */
    /* t = 2: square roots, to a sum of 1. */
    double three[] = {.64, .36, 0};
    test_ok(ctx, whet_temperature_apply(ctx, three, 1, 3, 2));
    assert_near(three[0], .8 / 1.4, 1e-15);
    assert_near(three[1], .6 / 1.4, 1e-15);
    assert_true(three[2] == 0);
    test_fails(ctx, whet_temperature_apply(ctx, three, 1, 3, 0), WHET_ERR_ARG);
    test_fails(ctx, whet_temperature_apply(ctx, three, 1, 3, (double)NAN), WHET_ERR_ARG);
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, tree);
    free(points);
    free(p);
    free(q);
    test_ctx_done(ctx);
}

/* Labels drawn from p^(1/4): probabilities are too sure, and calibration finds it. */
static void calibration_finds_the_temperature_of_the_labels(void **state) {
    (void)state;
    enum { K = 5, ROWS = 4000 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *path = NULL;
    test_ok(ctx, whet_i_space_path(ctx, K, &path));
    const int64_t every[] = {0, 1, 2, 3, 4};
    int64_t *truth = TEST_NEW(int64_t, ROWS);
    double *p = TEST_NEW(double, ROWS *K), *q = TEST_NEW(double, ROWS *K), t = 0, loss = 0;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    for (int64_t i = 0; i < ROWS * K; i++) p[i] = q[i] = exp(4 * whet_i_rng_normal(&rng));
    test_ok(ctx, whet_temperature_apply(ctx, q, ROWS, K, 4));
    for (int64_t r = 0; r < ROWS; r++) {
        double left = whet_i_rng_uniform(&rng);
        for (truth[r] = 0; truth[r] < K - 1; truth[r]++)
            if ((left -= q[r * K + truth[r]]) < 0) break;
    }
    whet_frechet *f = NULL;
    test_ok(ctx, whet_frechet_create(ctx, path, every, K, NULL, &f));
    test_ok(ctx, whet_temperature_fit(ctx, f, p, ROWS, truth, WHET_CALIBRATE_LOG_LOSS, &t, &loss));
    /* The standard error of log t is about .02 with so many rows. */
    assert_true(t > 3.7 && t < 4.3);
    test_ok(ctx, whet_temperature_fit(ctx, f, p, 600, truth, WHET_CALIBRATE_DISTANCE, &t, &loss));
    assert_true(t > 2 && t < 8);
    int64_t best[600];
    whet_space_scores scores, plain;
    const whet_label_set set = {path, every, K};
    memcpy(q, p, 600 * K * sizeof *q);
    test_ok(ctx, whet_temperature_apply(ctx, q, 600, K, t));
    test_ok(ctx, whet_frechet_run(ctx, f, q, 600, best, NULL, NULL, NULL));
    test_ok(ctx, whet_space_score(ctx, &set, best, NULL, truth, 600, &scores));
    assert_near(scores.all.mean_squared, loss, 1e-14);
    test_ok(ctx, whet_frechet_run(ctx, f, p, 600, best, NULL, NULL, NULL));
    test_ok(ctx, whet_space_score(ctx, &set, best, NULL, truth, 600, &plain));
    assert_true(scores.all.mean_squared < plain.all.mean_squared);
    /* One-hot rows are the same at any temperature: of equals, 1. */
    const double sure[] = {0, 0, 1, 0, 0};
    const int64_t label[] = {1};
    test_ok(ctx, whet_temperature_fit(ctx, f, sure, 1, label, WHET_CALIBRATE_DISTANCE, &t, &loss));
    assert_true(t == 1 && loss == 1);
    test_fails(ctx, whet_temperature_fit(ctx, f, p, 0, truth, WHET_CALIBRATE_DISTANCE, &t, &loss),
               WHET_ERR_DATA);
    whet_frechet_destroy(ctx, f);
    whet_space_destroy(ctx, path);
    free(truth);
    free(p);
    free(q);
    test_ctx_done(ctx);
}

/* One byte a distance in the file, four in memory: known from the header. */
static void too_large_an_array_is_refused_before_it_is_read(void **state) {
    (void)state;
    enum { N = 3000, LIMIT = 20000000 };
    static const char *const kinds[] = {"matrix", "embedding"};
    whet_ctx_opts limits = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    whet_space *space = NULL;
    char spec[700];
    uint8_t *d = TEST_NEW(uint8_t, N * N);
    const whet_tensor t = {d, WHET_U8, 2, {N, N}};
    limits.memory_limit = LIMIT;
    assert_int_equal(whet_ctx_create(&limits, &ctx), WHET_OK);
    test_ok(ctx, whet_npy_write(ctx, test_tmp("d.npy"), true, &t));
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++) {
        size_t peak;
        (void)snprintf(spec, sizeof spec, "%s:%s", kinds[i], test_tmp("d.npy"));
        test_fails(ctx, whet_space_open(ctx, spec, NULL, &space), WHET_ERR_LIMIT);
        test_says(ctx, i == 0 ? "d.npy: the space (3000 x 3000 distances in f32) needs 36.0 MB more"
                              : "d.npy: the space (3000 x 3000 numbers in f32) needs 36.0 MB more");
        test_says(ctx, "expected at most the ");
        test_says(ctx, " MB left by the limit that was set; try ");
        whet_ctx_memory(ctx, NULL, &peak);
        assert_true(peak < 1 << 20);
    }
    free(d);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_measure_along_their_edges),
        cmocka_unit_test(nodes_called_by_numbers_are_numbered_so),
        cmocka_unit_test(what_is_no_tree_is_refused),
        cmocka_unit_test(graphs_measure_shortest_paths),
        cmocka_unit_test(matrices_are_checked),
        cmocka_unit_test(measures_of_directions),
        cmocka_unit_test(angles_are_right_at_both_ends),
        cmocka_unit_test(slabs_know_distances_from_their_rows),
        cmocka_unit_test(forests_are_joined_when_asked_to),
        cmocka_unit_test(unknown_classes_are_named_with_their_nearest),
        cmocka_unit_test(temperature_goes_from_the_argmax_to_the_mean_of_all),
        cmocka_unit_test(calibration_finds_the_temperature_of_the_labels),
        cmocka_unit_test(too_large_an_array_is_refused_before_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
