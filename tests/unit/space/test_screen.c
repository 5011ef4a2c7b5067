/* SPDX-License-Identifier: Apache-2.0
 * Rows screened in f32 and finished in f64, the best alone and the best few, against f64 throughout: large
 * tables with structural ties, flat and peaked rows, embeddings near and far from the origin, masses far
 * from 1. Both ways promise costs to 1e-12, ties at 1e-9, the same points. */
#include "space_support.h"

#include <stdio.h>

#include "space/frechet_i.h"

typedef struct answers {
    int64_t *best;
    double *cost, *margin;
    int32_t *ties;
} answers;

/* The method that computes in f64 throughout. */
static const char *in_f64(const whet_space *space, int32_t power) {
    const bool mean =
        space->kind == SPACE_EMBEDDING && power == 2 && space->embedding.measure <= MEASURE_UNIT;
    return mean ? "nearest-mean" : "table";
}

static answers run(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                   const double *p, int64_t rows, whet_frechet_opts opts, int32_t top,
                   const char *method) {
    whet_frechet *f = NULL;
    answers a = {TEST_NEW(int64_t, rows * top), TEST_NEW(double, rows *top), TEST_NEW(double, rows),
                 TEST_NEW(int32_t, rows)};
    opts.top = top;
    if (!method) opts.method = in_f64(space, opts.power);
    test_ok(ctx, whet_frechet_create(ctx, space, observed, k, &opts, &f));
    if (method && !strstr(whet_frechet_explain(f).method, method))
        fail_msg("the method is %s; expected %s", whet_frechet_explain(f).method, method);
    test_ok(ctx, whet_frechet_run(ctx, f, p, rows, a.best, a.cost, a.ties, a.margin));
    whet_frechet_destroy(ctx, f);
    return a;
}

static void release(answers *a) {
    free(a->best);
    free(a->cost);
    free(a->margin);
    free(a->ties);
}

enum { MOST = 30 };

/* all: [rows, MOST] in f64, the best MOST, of which the best `top` are the first. */
static void compare_top(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                        const double *p, int64_t rows, whet_frechet_opts opts, int32_t top,
                        const answers *all) {
    answers few = run(ctx, space, observed, k, p, rows, opts, top, "in f32");
    for (int64_t i = 0; i < rows; i++) {
        if (few.ties[i] != all->ties[i])
            fail_msg("row %d: %d ties; expected %d", (int)i, few.ties[i], all->ties[i]);
        for (int64_t t = 0; t < top; t++) {
            if (few.best[i * top + t] != all->best[i * MOST + t])
                fail_msg("row %d, place %d of %d: point %d; expected %d", (int)i, (int)t, (int)top,
                         (int)few.best[i * top + t], (int)all->best[i * MOST + t]);
            assert_near(few.cost[i * top + t], all->cost[i * MOST + t], 2 * TEST_PRECISE);
        }
        if (isinf(all->margin[i]))
            assert_true(isinf(few.margin[i]));
        else if (fabs(few.margin[i] - all->margin[i]) >
                 4 * TEST_PRECISE * (all->margin[i] + all->cost[i * MOST]))
            fail_msg("row %d: margin %.17g; expected %.17g", (int)i, few.margin[i], all->margin[i]);
    }
    release(&few);
}

static void compare(whet_ctx *ctx, const whet_space *space, const int64_t *observed, int64_t k,
                    const double *p, int64_t rows, whet_frechet_opts opts) {
    static const int32_t TOPS[] = {1, 7, MOST};
    answers all = run(ctx, space, observed, k, p, rows, opts, MOST, NULL);
    for (int i = 0; i < 3; i++)
        compare_top(ctx, space, observed, k, p, i == 0 || rows < 20 ? rows : 20, opts, TOPS[i],
                    &all);
    release(&all);
}

/* The same rows entry by entry, against whole ones in f64: a few entries a row, some of them 0. */
static void compare_entries(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                            int64_t k, int64_t rows, whet_frechet_opts opts) {
    enum { ENTRIES = 6 };
    whet_i_rng rng;
    whet_i_rng_init(&rng, 8, 0);
    int64_t *first = TEST_NEW(int64_t, rows + 1), *best = TEST_NEW(int64_t, rows);
    int32_t *column = TEST_NEW(int32_t, rows * ENTRIES), *ties = TEST_NEW(int32_t, rows);
    double *p = TEST_NEW(double, rows *ENTRIES), *dense = TEST_NEW(double, rows *k);
    double *cost = TEST_NEW(double, rows), *margin = TEST_NEW(double, rows);
    for (int64_t i = 0; i < rows; i++) {
        const double scale = i % 7 == 6 ? 1e-305 : i % 9 == 8 ? 1e300 : 1;
        const int64_t start = whet_i_rng_below(&rng, k - ENTRIES);
        first[i + 1] = first[i] + 1 + i % ENTRIES;
        for (int64_t e = first[i]; e < first[i + 1]; e++) {
            column[e] = (int32_t)(start + e - first[i]);
            p[e] = i % 5 == 4 && e > first[i] ? 0 : scale * (i % 3 ? whet_i_rng_uniform(&rng) : .5);
            dense[i * k + column[e]] = p[e];
        }
    }
    const whet_sparse_rows sparse = {first, column, p, rows};
    whet_frechet *f = NULL;
    opts.sparse = true;
    test_ok(ctx, whet_frechet_create(ctx, space, observed, k, &opts, &f));
    assert_string_equal(whet_frechet_explain(f).method, "table by entries");
    test_ok(ctx, whet_frechet_run_sparse(ctx, f, &sparse, best, cost, ties, margin));
    whet_frechet_destroy(ctx, f);
    opts.sparse = false;
    opts.method = NULL;
    answers all = run(ctx, space, observed, k, dense, rows, opts, 1, NULL);
    for (int64_t i = 0; i < rows; i++) {
        if (best[i] != all.best[i] || ties[i] != all.ties[i])
            fail_msg("row %d by entries: point %d of %d ties; expected %d of %d", (int)i,
                     (int)best[i], ties[i], (int)all.best[i], all.ties[i]);
        assert_near(cost[i], all.cost[i], 2 * TEST_PRECISE);
        if (fabs(margin[i] - all.margin[i]) > 4 * TEST_PRECISE * (all.margin[i] + all.cost[i]))
            fail_msg("row %d by entries: margin %.17g; expected %.17g", (int)i, margin[i],
                     all.margin[i]);
    }
    release(&all);
    free(first);
    free(best);
    free(column);
    free(ties);
    free(p);
    free(dense);
    free(cost);
    free(margin);
}

/* The rows of the observed points alone, in an order of their own. */
static whet_space *slab_of(whet_ctx *ctx, const whet_space *table, const int64_t *observed,
                           int64_t k) {
    const int64_t n = whet_space_size(table);
    whet_space *slab = NULL;
    whet_names *rows = NULL;
    char name[32];
    double *d = TEST_NEW(double, k *n);
    test_ok(ctx, whet_names_create(ctx, &rows));
    for (int64_t i = 0; i < k; i++) {
        const int64_t from = observed[k - 1 - i];
        (void)snprintf(name, sizeof name, "%d", (int)from);
        test_ok(ctx, whet_names_add(ctx, rows, whet_str_from(name), NULL));
        for (int64_t v = 0; v < n; v++) d[i * n + v] = whet_space_distance(table, from, v);
    }
    whet_tensor t = {d, WHET_F64, 2, {k, n}};
    test_ok(ctx, whet_i_space_from_slab(ctx, whet_space_names(table), rows, &t, false, &slab));
    whet_names_destroy(ctx, rows);
    free(d);
    return slab;
}

/* Hops in a tree of leaves and inner nodes: whole branches tie. */
static void tables_with_many_ties(void **state) {
    (void)state;
    enum { N = 3000, K = 1500, ROWS = 150 };
    whet_ctx *ctx = test_ctx(2);
    whet_space *tree = test_tree(ctx, N, 0, false, 1), *table = test_matrix_of(ctx, tree);
    int64_t *observed = test_points(N, 2);
    double *p = test_probs(ROWS, K, 3);
    for (int64_t j = 0; j < K; j++) p[j] *= 0x1p-900;
    for (int64_t j = 0; j < K; j++) p[K + j] *= 0x1p+900;
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    compare(ctx, table, observed, K, p, ROWS, opts);
    compare_entries(ctx, table, observed, K, ROWS, opts);
    opts.power = 1;
    compare(ctx, table, observed, K, p, ROWS, opts);
    compare_entries(ctx, table, observed, K, ROWS, opts);
    /* All but every fourth point. */
    int64_t *list = TEST_NEW(int64_t, N);
    for (int64_t v = 0; v < N; v++)
        if (v % 4) list[opts.n_candidates++] = v;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    opts.method = "table-entries";
    for (opts.power = 1; opts.power <= 2; opts.power++)
        compare_entries(ctx, table, observed, K, ROWS, opts);
    whet_space *slab = slab_of(ctx, table, observed, K);
    opts.power = 2;
    compare_entries(ctx, slab, observed, K, ROWS, opts);
    opts.method = "table-f32";
    compare(ctx, slab, observed, K, p, ROWS, opts);
    opts.candidates = WHET_CANDIDATES_ALL;
    opts.method = NULL;
    compare(ctx, slab, observed, K, p, ROWS, opts);
    compare_entries(ctx, slab, observed, K, ROWS, opts);
    free(list);
    free(p);
    free(observed);
    whet_space_destroy(ctx, slab);
    whet_space_destroy(ctx, table);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* Everything is equally far: all unobserved candidates tie, far more than are kept. */
static void more_ties_than_are_kept(void **state) {
    (void)state;
    enum { N = 2200, K = 2000, ROWS = 5 };
    whet_ctx *ctx = test_ctx(1);
    whet_space *table = NULL;
    double *d = TEST_NEW(double, N *N), *p = TEST_NEW(double, ROWS *K);
    int64_t *observed = TEST_NEW(int64_t, K), *list = TEST_NEW(int64_t, N);
    for (int64_t i = 0; i < N * N; i++) d[i] = i / N == i % N ? 0 : 1.5;
    for (int64_t i = 0; i < ROWS * K; i++) p[i] = 1;
    for (int64_t j = 0; j < K; j++) observed[j] = j;
    p[3] = 5;
    p[2 * K] = 1 + 1e-7;
    whet_tensor t = {d, WHET_F64, 2, {N, N}};
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &table));
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    compare(ctx, table, observed, K, p, ROWS, opts);
    free(d);
    free(p);
    free(observed);
    free(list);
    whet_space_destroy(ctx, table);
    test_ctx_done(ctx);
}

/* Points on a circle with noise; far: moved away from the origin, where f32 sees little. */
static whet_space *cloud(whet_ctx *ctx, int64_t n, int64_t dim, double far, bool single,
                         space_measure measure) {
    whet_i_rng rng;
    whet_space *space = NULL;
    whet_i_rng_init(&rng, 5, 0);
    double *e = TEST_NEW(double, n *dim);
    float *f = TEST_NEW(float, n *dim);
    for (int64_t i = 0; i < n * dim; i++) {
        e[i] = whet_i_rng_normal(&rng) + far;
        f[i] = (float)e[i];
    }
    /* Some points twice: exact ties. */
    memcpy(e + 7 * dim, e + 100 * dim, (size_t)dim * sizeof *e);
    memcpy(f + 7 * dim, f + 100 * dim, (size_t)dim * sizeof *f);
    whet_tensor t = {single ? (void *)f : (void *)e, single ? WHET_F32 : WHET_F64, 2, {n, dim}};
    test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, measure, &space));
    free(e);
    free(f);
    return space;
}

static void embeddings_near_and_far(void **state) {
    (void)state;
    enum { N = 70000, DIM = 64, K = 24, ROWS = TEST_SANITIZED ? 35 : 140 };
    whet_ctx *ctx = test_ctx(2);
    double *p = test_probs(ROWS, K, 3);
    for (int which = 0; which < 4; which++) {
        whet_space *space = cloud(ctx, N, DIM, which == 1 ? 1000 : 0, which % 2 == 0,
                                  which == 3 ? MEASURE_UNIT : MEASURE_EUCLIDEAN);
        int64_t *observed = test_points(N, 2);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        observed[0] = 100;
        observed[1] = 101;
        for (int64_t j = 2; j < K; j++) observed[j] = 200 + j;
        compare(ctx, space, observed, K, p, which == 1 ? 20 : ROWS, opts);
        free(observed);
        whet_space_destroy(ctx, space);
    }
    free(p);
    test_ctx_done(ctx);
}

/* Angles, cosines, and power 1: tables of an embedding. */
static void embeddings_without_a_shortcut(void **state) {
    (void)state;
    enum { N = 9000, DIM = 20, K = 500, ROWS = 40 };
    whet_ctx *ctx = test_ctx(2);
    double *p = test_probs(ROWS, K, 3);
    for (int which = 0; which < 6; which++) {
        const space_measure measure = which < 2   ? MEASURE_ANGULAR
                                      : which < 4 ? MEASURE_COSINE
                                                  : MEASURE_EUCLIDEAN;
        whet_space *space = cloud(ctx, N, DIM, which == 5 ? 1000 : 0, which % 2 == 0, measure);
        int64_t *observed = test_points(N, 2);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        observed[0] = 100; /* where another point lies */
        for (int64_t j = 1; j < K; j++) observed[j] = 200 + j;
        opts.power = which == 1 || which == 3 ? 2 : 1;
        compare(ctx, space, observed, K, p, ROWS, opts);
        free(observed);
        whet_space_destroy(ctx, space);
    }
    free(p);
    test_ctx_done(ctx);
}

static void lists_of_candidates_are_gathered(void **state) {
    (void)state;
    enum { N = 80000, DIM = 64, K = 10, ROWS = 130 };
    whet_ctx *ctx = test_ctx(2);
    double *p = test_probs(ROWS, K, 4);
    whet_space *space = cloud(ctx, N, DIM, 0, true, MEASURE_UNIT);
    int64_t *observed = test_points(N, 2), *list = TEST_NEW(int64_t, N);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    for (int64_t v = 0; v < N; v++)
        if (v % 9) list[opts.n_candidates++] = v;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = list;
    compare(ctx, space, observed, K, p, ROWS, opts);
    free(list);
    free(observed);
    free(p);
    whet_space_destroy(ctx, space);
    test_ctx_done(ctx);
}

/* n nodes, each joined to an earlier one (path: to the last), and `more` edges anywhere. */
static whet_space *graph(whet_ctx *ctx, int64_t n, int64_t more, bool path, bool weighted) {
    whet_i_rng rng;
    whet_edges e = test_edges(ctx, n, n - 1 + more);
    whet_i_rng_init(&rng, 6, 0);
    for (int64_t i = 0; i < e.n_edges; i++) {
        const bool tree = i < n - 1;
        e.to[i] = tree ? i + 1 : whet_i_rng_below(&rng, n);
        e.from[i] = !tree  ? (e.to[i] + 1 + whet_i_rng_below(&rng, n - 1)) % n
                    : path ? i
                           : whet_i_rng_below(&rng, i + 1);
        e.length[i] = weighted ? .5 + whet_i_rng_uniform(&rng) : 1;
    }
    return test_graph_of(ctx, &e);
}

/* Hops of a byte, of two, too many for two, and lengths. */
static void graphs_of_every_width(void **state) {
    (void)state;
    static const struct {
        int64_t n, more, k;
        bool path, weighted;
    } KINDS[] = {{8000, 9000, 800, false, false},
                 {22000, 0, 256, true, false},
                 {90000, 0, 64, true, false},
                 {8000, 3000, 800, false, true}};
    enum { ROWS = 8 };
    whet_ctx *ctx = test_ctx(2);
    for (int i = 0; i < 4; i++) {
        whet_space *space = graph(ctx, KINDS[i].n, KINDS[i].more, KINDS[i].path, KINDS[i].weighted);
        int64_t *observed = test_points(KINDS[i].n, 2);
        double *p = test_probs(ROWS, KINDS[i].k, 4);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        compare(ctx, space, observed, KINDS[i].k, p, ROWS, opts);
        compare_entries(ctx, space, observed, KINDS[i].k, ROWS, opts);
        opts.power = 1;
        compare(ctx, space, observed, KINDS[i].k, p, ROWS, opts);
        compare_entries(ctx, space, observed, KINDS[i].k, ROWS, opts);
        /* All but every fifth node. */
        int64_t *list = TEST_NEW(int64_t, KINDS[i].n);
        for (int64_t v = 0; v < KINDS[i].n; v++)
            if (v % 5) list[opts.n_candidates++] = v;
        opts.candidates = WHET_CANDIDATES_LIST;
        opts.candidate_list = list;
        if (opts.n_candidates * KINDS[i].k >= 1 << 22)
            compare_entries(ctx, space, observed, KINDS[i].k, ROWS, opts);
        free(list);
        free(p);
        free(observed);
        whet_space_destroy(ctx, space);
    }
    test_ctx_done(ctx);
}

/* One to twelve classes, near one another or anywhere, hold all of the mass, or all but a little, or half. */
static double *peaked_rows(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                           int64_t k, int64_t rows) {
    static const double LEFT_OUT[] = {0, 1e-9, 1e-4, 5e-3, 2e-2, .5};
    const int64_t n = whet_space_size(space);
    double *p = TEST_NEW(double, rows *k), *d = TEST_NEW(double, n);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    for (int64_t i = 0; i < rows; i++) {
        const double scale = i % 7 == 6 ? 1e-305 : i % 9 == 8 ? 1e250 : 1, left = LEFT_OUT[i % 6];
        const int64_t label = whet_i_rng_below(&rng, n), large = 1 + i % 12;
        for (int64_t j = 0; j < k; j++)
            p[i * k + j] = scale * left * whet_i_rng_uniform(&rng) * 2 / (double)k;
        if (space->kind == SPACE_GRAPH)
            test_ok(ctx, whet_i_graph_distances(ctx, &space->graph, n, label, d));
        for (int64_t e = 0; e < large; e++) {
            int64_t most = whet_i_rng_below(&rng, k);
            for (int64_t j = 0; j < k && i % 3 && space->kind == SPACE_GRAPH; j++)
                if (d[observed[j]] < d[observed[most]]) most = j;
            d[observed[most]] = (double)INFINITY;
            p[i * k + most] += scale * (.2 + whet_i_rng_uniform(&rng)) / (double)large;
        }
    }
    free(d);
    return p;
}

/* Rows that their largest probabilities settle, those that they nearly do, and those that they do not. */
static void peaked_rows_are_those_of_f64(void **state) {
    (void)state;
    enum { N = 3000, K = 500, ROWS = TEST_SANITIZED ? 50 : 200, LONG = 70000, FEW = 64 };
    static const int32_t TOPS[] = {1, 7};
    whet_ctx *ctx = test_ctx(2);
    for (int kind = 0; kind < 5; kind++) {
        const int64_t n = kind == 3 ? LONG : N, k = kind == 3 ? FEW : K;
        whet_space *tree = kind == 4 ? test_tree(ctx, n, 0, false, 1) : NULL;
        whet_space *space =
            kind == 4 ? test_matrix_of(ctx, tree)
                      : graph(ctx, n, kind < 2 ? 4000 : 0, kind == 2 || kind == 3, kind == 1);
        int64_t *list = TEST_NEW(int64_t, n);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        for (int64_t v = 0; v < n; v++)
            if (v % 5) list[opts.n_candidates++] = v;
        opts.candidate_list = list;
        opts.method = "table-f32";
        for (int way = 0; way < 3 && (kind != 3 || way == 0); way++) {
            int64_t *observed = test_points(n, 2);
            double *p = peaked_rows(ctx, space, observed, k, ROWS);
            opts.power = way == 1 ? 1 : 2;
            opts.candidates = way == 2 ? WHET_CANDIDATES_LIST : WHET_CANDIDATES_ALL;
            answers all = run(ctx, space, observed, k, p, ROWS, opts, MOST, NULL);
            for (int t = 0; t < 2; t++)
                compare_top(ctx, space, observed, k, p, ROWS, opts, TOPS[t], &all);
            release(&all);
            free(p);
            free(observed);
        }
        free(list);
        whet_space_destroy(ctx, space);
        whet_space_destroy(ctx, tree);
    }
    test_ctx_done(ctx);
}

/* Costs that tie with one another but not with the least, in every order: what ties is known at the end. */
static void ties_are_those_of_the_least(void **state) {
    (void)state;
    enum { N = 2100 };
    static const int64_t PLACES[3] = {100, 700, 1900};
    static const int ORDERS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const double COSTS[3] = {1 - .9e-9, 1, 1 + .9e-9}; /* within 1e-9: the first two */
    whet_ctx *ctx = test_ctx(1);
    double *d = TEST_NEW(double, N *N);
    int64_t *observed = TEST_NEW(int64_t, N);
    for (int64_t i = 0; i < N; i++) observed[i] = i;
    for (int order = 0; order < 6; order++) {
        for (int64_t i = 0; i < N * N; i++) d[i] = i % (N + 1) == 0 ? 0 : 1.5;
        d[1] = d[N] = 2;
        for (int s = 0; s < 3; s++)
            for (int64_t j = 0; j < 2; j++)
                d[j * N + PLACES[s]] = d[PLACES[s] * N + j] = sqrt(COSTS[ORDERS[order][s]]);
        whet_tensor table = {d, WHET_F64, 2, {N, N}};
        const int64_t first[2] = {0, 2};
        const int32_t column[2] = {0, 1};
        const double p[2] = {.5, .5};
        const whet_sparse_rows rows = {first, column, p, 1};
        whet_space *space = NULL;
        whet_frechet *f = NULL;
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        int64_t best, expected = N;
        double cost, margin;
        int32_t ties;
        opts.sparse = true;
        test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &table, false, &space));
        test_ok(ctx, whet_frechet_create(ctx, space, observed, N, &opts, &f));
        assert_string_equal(whet_frechet_explain(f).method, "table by entries");
        test_ok(ctx, whet_frechet_run_sparse(ctx, f, &rows, &best, &cost, &ties, &margin));
        for (int s = 2; s >= 0; s--)
            if (ORDERS[order][s] < 2) expected = PLACES[s];
        assert_int_equal(ties, 2);
        assert_int_equal(best, expected);
        assert_near(margin, 1.8e-9, 1e-6);
        whet_frechet_destroy(ctx, f);
        whet_space_destroy(ctx, space);
    }
    free(observed);
    free(d);
    test_ctx_done(ctx);
}

static void the_same_at_any_number_of_threads(void **state) {
    (void)state;
    enum { N = 70000, DIM = 64, K = 10, ROWS = 300 };
    answers a[2];
    double *p = test_probs(ROWS, K, 4);
    for (int t = 0; t < 2; t++) {
        whet_ctx *ctx = test_ctx(1 + 2 * t);
        whet_space *space = cloud(ctx, N, DIM, 0, true, false);
        int64_t *observed = test_points(N, 2);
        whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
        a[t] = run(ctx, space, observed, K, p, ROWS, opts, 1, "in f32");
        free(observed);
        whet_space_destroy(ctx, space);
        test_ctx_done(ctx);
    }
    assert_memory_equal(a[0].best, a[1].best, ROWS * sizeof *a[0].best);
    assert_memory_equal(a[0].cost, a[1].cost, ROWS * sizeof *a[0].cost);
    assert_memory_equal(a[0].margin, a[1].margin, ROWS * sizeof *a[0].margin);
    release(&a[0]);
    release(&a[1]);
    free(p);
}

static whet_status run_once(whet_ctx *ctx, void *arg) {
    whet_space *const *spaces = arg;
    for (int i = 0; i < 2; i++) {
        const int64_t observed[] = {1, 2}, many = whet_space_size(spaces[i]);
        int64_t *all = TEST_NEW(int64_t, many), best[2];
        double *p = TEST_NEW(double, 2 * many);
        for (int64_t v = 0; v < many; v++) all[v] = v;
        for (int64_t v = 0; v < 2 * many; v++) p[v] = (double)(v % 5);
        const whet_status status = i == 0 ? whet_frechet_predict(ctx, spaces[i], all, many, p, 2,
                                                                 NULL, best, NULL, NULL, NULL)
                                          : whet_frechet_predict(ctx, spaces[i], observed, 2, p, 2,
                                                                 NULL, best, NULL, NULL, NULL);
        free(all);
        free(p);
        if (status != WHET_OK) return status;
    }
    return WHET_OK;
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_space *tree = test_tree(ctx, 2100, 2, false, 4);
    whet_space *spaces[] = {test_matrix_of(ctx, tree), cloud(ctx, 70000, 64, 0, false, false)};
    assert_true(test_each_allocation(run_once, spaces) > 20);
    for (int i = 0; i < 2; i++) whet_space_destroy(ctx, spaces[i]);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_with_many_ties),
        cmocka_unit_test(more_ties_than_are_kept),
        cmocka_unit_test(embeddings_near_and_far),
        cmocka_unit_test(embeddings_without_a_shortcut),
        cmocka_unit_test(lists_of_candidates_are_gathered),
        cmocka_unit_test(graphs_of_every_width),
        cmocka_unit_test(peaked_rows_are_those_of_f64),
        cmocka_unit_test(ties_are_those_of_the_least),
        cmocka_unit_test(the_same_at_any_number_of_threads),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("space/screen", tests, NULL, NULL);
}
