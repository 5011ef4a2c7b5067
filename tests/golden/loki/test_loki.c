/* SPDX-License-Identifier: Apache-2.0
 * The reference vectors of Loki (reference formulas run in f64): costs of every point, sets of
 * best points among all and among the candidate labels, margins; for trees, the first moments too.
 * Each case goes through every way that can compute it: a tree from its edges and from its parents,
 * a graph, a table; a grid where it is one.
 * Tolerance: 1e-12 relative on every cost, as promised; the two sides add up to 1,000 terms of one
 * sign in different orders, about 1e-14. The reference's costs on trees come from the two-pass sum
 * without more, and carry its cancellation (some are -2e-16): 1e-14 of the row's largest cost. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space/space_i.h"

static whet_tensor case_key(whet_ctx *ctx, const char *file, const char *key, int c,
                            whet_dtype dtype) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s_%d", key, c);
    return test_shared_key(ctx, file, name, dtype);
}

static void near_relative(double a, double b, double floor, const char *what, int64_t row) {
    if (a == b || fabs(a - b) <= 1e-12 * fabs(b) + floor) return;
    print_error("%s, row %lld: %.17g; expected %.17g\n", what, (long long)row, a, b);
    fail();
}

/* What the reference loses to cancellation. */
static double floor_of(const double *costs, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, costs[i]);
    return 1e-14 * most;
}

/* The reference's points tie within 1e-9 max(1, least), ours within 1e-9 least: the same unless lengths are
 * tiny. */
static bool ties_are_clear(const double *costs, int64_t n) {
    double least = costs[0];
    for (int64_t i = 1; i < n; i++) least = fmin(least, costs[i]);
    for (int64_t i = 0; i < n; i++)
        if (costs[i] > least + 1e-9 * least + floor_of(costs, n) && costs[i] <= least + 1e-9)
            return false;
    return true;
}

/* ---- one case, one way ----------------------------------------------------------------------- */

typedef struct golden {
    const char *file;
    int c;
    int64_t n, k, rows;
    whet_tensor observed, probs, costs, moments; /* moments: trees only */
    whet_tensor candidates, margin, first;
    whet_tensor all_idx, all_off, cand_idx, cand_off;
} golden;

/* All costs: the best n of n. */
static void check_costs(whet_ctx *ctx, const whet_space *space, const golden *g, int32_t power) {
    const double *want = power == 2 ? g->costs.data : g->moments.data, *probs = g->probs.data;
    const int64_t *idx = g->all_idx.data, *off = g->all_off.data, places = g->rows * g->n;
    int64_t *best = calloc((size_t)places, sizeof *best);
    double *cost = calloc((size_t)places, sizeof *cost);
    int32_t *ties = calloc((size_t)g->rows, sizeof *ties);
    assert_true(best && cost && ties);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.power = power;
    opts.top = (int32_t)g->n;
    test_ok(ctx, whet_frechet_predict(ctx, space, g->observed.data, g->k, probs, g->rows, &opts,
                                      best, cost, ties, NULL));
    for (int64_t r = 0; r < g->rows; r++) {
        const double floor = floor_of(want + r * g->n, g->n);
        double mass = 0;
        for (int64_t j = 0; j < g->k; j++) mass += probs[r * g->k + j];
        for (int64_t i = 0; i < g->n; i++)
            near_relative(cost[r * g->n + i] * mass, want[r * g->n + best[r * g->n + i]], floor,
                          g->file, r);
        if (power == 1 || !ties_are_clear(want + r * g->n, g->n)) continue;
        assert_int_equal(ties[r], off[r + 1] - off[r]);
        for (int64_t i = off[r]; i < off[r + 1]; i++)
            assert_int_equal(best[r * g->n + i - off[r]], idx[i]);
    }
    free(best);
    free(cost);
    free(ties);
}

static void check_candidates(whet_ctx *ctx, const whet_space *space, const golden *g) {
    const double *want = g->costs.data, *margins = g->margin.data;
    const int64_t *first = g->first.data, *off = g->cand_off.data, *idx = g->cand_idx.data;
    int64_t *best = calloc((size_t)g->rows, sizeof *best);
    double *cost = calloc((size_t)g->rows, sizeof *cost),
           *margin = calloc((size_t)g->rows, sizeof *margin);
    int32_t *ties = calloc((size_t)g->rows, sizeof *ties);
    assert_true(best && cost && margin && ties);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LIST;
    opts.candidate_list = g->candidates.data;
    opts.n_candidates = g->candidates.shape[0];
    test_ok(ctx, whet_frechet_predict(ctx, space, g->observed.data, g->k, g->probs.data, g->rows,
                                      &opts, best, cost, ties, margin));
    for (int64_t r = 0; r < g->rows; r++) {
        const bool clear = ties_are_clear(want + r * g->n, g->n);
        /* numpy's argmin takes the least bits; we the lowest of those that tie. */
        if (clear) assert_int_equal(best[r], idx[off[r]]);
        if (clear) assert_int_equal(ties[r], off[r + 1] - off[r]);
        const double floor = floor_of(want + r * g->n, g->n);
        near_relative(want[r * g->n + best[r]], want[r * g->n + first[r]], 1e-9 * cost[r] + floor,
                      "tie", r);
        near_relative(cost[r], want[r * g->n + best[r]], floor, g->file, r);
        /* A difference of costs: as precise as the larger of them. */
        if (!clear) continue;
        if (isfinite(margins[r]) && isfinite(margin[r]))
            assert_true(fabs(margin[r] - margins[r]) <= 1e-12 * (cost[r] + margin[r]) + floor);
        else
            assert_true(isinf(margin[r]));
    }
    free(best);
    free(cost);
    free(margin);
    free(ties);
}

static void check_way(whet_ctx *ctx, whet_space *space, const golden *g) {
    check_costs(ctx, space, g, 2);
    if (g->moments.data) check_costs(ctx, space, g, 1);
    check_candidates(ctx, space, g);
    whet_space_destroy(ctx, space);
}

/* ---- one file, every way --------------------------------------------------------------------- */

static whet_space *by_edges(whet_ctx *ctx, const char *file, int64_t n, bool tree) {
    char name[24];
    whet_tensor edges = test_shared_key(ctx, file, "edges", WHET_I64);
    whet_tensor length = test_shared_key(ctx, file, "edge_w", WHET_F64);
    whet_edges e = {.n_edges = edges.shape[0], .length = length.data};
    const int64_t *ends = edges.data;
    whet_space *space = NULL;
    test_ok(ctx, whet_names_create(ctx, &e.names));
    test_ok(ctx, whet_i_alloc(ctx, e.n_edges, &e.from));
    test_ok(ctx, whet_i_alloc(ctx, e.n_edges, &e.to));
    /* Backwards, so that nodes do not appear by number: they must be numbered so all the same. */
    for (int64_t i = 0; i < e.n_edges; i++) {
        for (int side = 0; side < 2; side++) {
            const int64_t node = ends[2 * (e.n_edges - 1 - i) + side];
            (void)snprintf(name, sizeof name, "%lld", (long long)node);
            test_ok(ctx, whet_names_add(ctx, e.names, whet_str_from(name),
                                        side ? &e.to[i] : &e.from[i]));
        }
    }
    double *lengths = length.data;
    for (int64_t i = 0; i < e.n_edges / 2; i++) {
        const double other = lengths[i];
        lengths[i] = lengths[e.n_edges - 1 - i];
        lengths[e.n_edges - 1 - i] = other;
    }
    assert_int_equal(whet_names_count(e.names), n);
    test_ok(ctx, tree ? whet_i_space_from_edges(ctx, &e, &space)
                      : whet_i_space_from_graph(ctx, &e, &space));
    whet_names_destroy(ctx, e.names);
    whet_i_free(ctx, e.from);
    whet_i_free(ctx, e.to);
    whet_tensor_destroy(ctx, &edges);
    whet_tensor_destroy(ctx, &length);
    return space;
}

static whet_space *by_parents(whet_ctx *ctx, const char *file, int64_t n) {
    whet_tensor parent = test_shared_key(ctx, file, "parent", WHET_I64);
    whet_tensor length = test_shared_key(ctx, file, "parent_len", WHET_F64);
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, n, parent.data, length.data, true, &space));
    whet_tensor_destroy(ctx, &parent);
    whet_tensor_destroy(ctx, &length);
    return space;
}

static whet_space *by_table(whet_ctx *ctx, const char *file) {
    char spec[1200];
    whet_tensor d = {0};
    whet_space *space = NULL;
    (void)snprintf(spec, sizeof spec, "matrix:%s:D", test_shared(file));
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    whet_tensor_destroy(ctx, &d);
    return space;
}

static whet_space *by_grid(whet_ctx *ctx, const char *file) {
    whet_space *space = NULL;
    const char *name = strstr(file, "grid_");
    char spec[64];
    if (!name) return NULL;
    (void)snprintf(spec, sizeof spec, "grid:%.*s", (int)strcspn(name + 5, "."), name + 5);
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    return space;
}

static void check_case(whet_ctx *ctx, const char *file, int c, bool tree) {
    golden g = {.file = file, .c = c};
    g.observed = case_key(ctx, file, "obs", c, WHET_I64);
    g.probs = case_key(ctx, file, "P", c, WHET_F64);
    g.costs = case_key(ctx, file, "F", c, WHET_F64);
    if (tree) g.moments = case_key(ctx, file, "T1", c, WHET_F64);
    g.candidates = test_shared_key(ctx, file, "cands", WHET_I64);
    g.margin = case_key(ctx, file, "margin_cand", c, WHET_F64);
    g.first = case_key(ctx, file, "first_argmin_cand", c, WHET_I64);
    g.all_idx = case_key(ctx, file, "argmin_all_idx", c, WHET_I64);
    g.all_off = case_key(ctx, file, "argmin_all_off", c, WHET_I64);
    g.cand_idx = case_key(ctx, file, "argmin_cand_idx", c, WHET_I64);
    g.cand_off = case_key(ctx, file, "argmin_cand_off", c, WHET_I64);
    g.k = g.observed.shape[0];
    g.rows = g.costs.shape[0];
    g.n = g.costs.shape[1];
    check_way(ctx, by_table(ctx, file), &g);
    check_way(ctx, by_edges(ctx, file, g.n, tree), &g);
    if (tree) check_way(ctx, by_parents(ctx, file, g.n), &g);
    whet_space *grid = by_grid(ctx, file);
    if (grid) check_way(ctx, grid, &g);
    whet_tensor *all[] = {&g.observed,   &g.probs,    &g.costs,   &g.moments,
                          &g.candidates, &g.margin,   &g.first,   &g.all_idx,
                          &g.all_off,    &g.cand_idx, &g.cand_off};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) whet_tensor_destroy(ctx, all[i]);
}

/* ---- the folder ------------------------------------------------------------------------------ */

static bool has_key(whet_ctx *ctx, const char *file, const char *key) {
    char spec[1200];
    whet_tensor t;
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), key);
    if (whet_array_read(ctx, spec, &t) != WHET_OK) return false;
    whet_tensor_destroy(ctx, &t);
    return true;
}

static bool has_case(whet_ctx *ctx, const char *file, const char *key, int c) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s_%d", key, c);
    return has_key(ctx, file, name);
}

/* Runs check, which counts what it did, on the files that have this key. */
static int64_t each_file(const char *key, int64_t (*check)(whet_ctx *ctx, const char *file)) {
    char **file;
    const int64_t files = test_shared_files("golden/loki", "", ".npz", &file);
    int64_t n = 0;
    for (int64_t i = 0; i < files; i++) {
        whet_ctx *ctx = test_ctx(1);
        if (has_key(ctx, file[i], key)) n += check(ctx, file[i]);
        test_ctx_done(ctx);
    }
    test_free_files(file, files);
    return n;
}

static int64_t check_costs_of(whet_ctx *ctx, const char *file) {
    const bool tree = has_key(ctx, file, "parent");
    int64_t n = 0;
    for (int c = 0; has_case(ctx, file, "P", c); c++) {
        check_case(ctx, file, c, tree);
        n++;
    }
    return n;
}

static void costs_and_best_points(void **state) {
    (void)state;
    test_need_some(each_file("edges", check_costs_of), "label spaces");
}

/* ---- loci ------------------------------------------------------------------------------------ */

/* The reference's locus of all nodes, and its greedy next classes with the sizes before and after. */
static void check_locus(whet_ctx *ctx, const whet_space *space, const char *file, int c) {
    whet_tensor observed = case_key(ctx, file, "obs", c, WHET_I64);
    whet_tensor want = case_key(ctx, file, "locus", c, WHET_I64);
    const int64_t *points = want.data;
    whet_locus l;
    test_ok(ctx, whet_locus_find(ctx, space, observed.data, observed.shape[0], NULL, &l));
    int64_t found = 0;
    for (int64_t i = 0; i < l.n; i++) {
        if (l.classes[i].reach == WHET_REACH_NEVER) continue;
        assert_true(found < want.shape[0] && points[found] == l.classes[i].point);
        found++;
    }
    assert_int_equal(found, want.shape[0]);
    whet_locus_free(ctx, &l);
    whet_tensor_destroy(ctx, &observed);
    whet_tensor_destroy(ctx, &want);
}

static void check_next(whet_ctx *ctx, const whet_space *space, const char *file, int c) {
    whet_tensor observed = case_key(ctx, file, "obs", c, WHET_I64);
    whet_tensor want = case_key(ctx, file, "next", c, WHET_I64);
    whet_tensor sizes = case_key(ctx, file, "next_sizes", c, WHET_I64);
    const int64_t *points = want.data, *after = sizes.data, count = want.shape[0];
    whet_next_class *next = calloc((size_t)count + 1, sizeof *next);
    whet_next_rule rule;
    int64_t n = 0;
    assert_non_null(next);
    if (count > 0) /* 0: all are observed */
        test_ok(ctx, whet_next_classes(ctx, space, observed.data, observed.shape[0], NULL, false,
                                       count, next, &n, &rule));
    assert_int_equal(n, count);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(next[i].point, points[i]);
        assert_int_equal(next[i].locus, after[i + 1]);
    }
    free(next);
    whet_tensor_destroy(ctx, &observed);
    whet_tensor_destroy(ctx, &want);
    whet_tensor_destroy(ctx, &sizes);
}

static int64_t check_loci_of(whet_ctx *ctx, const char *file) {
    int64_t n = 0;
    whet_tensor d = test_shared_key(ctx, file, "D", WHET_F64);
    whet_space *tree = by_edges(ctx, file, d.shape[0], true);
    for (int c = 0; has_case(ctx, file, "P", c); c++) {
        const bool locus = has_case(ctx, file, "locus", c);
        if (locus) check_locus(ctx, tree, file, c);
        if (has_case(ctx, file, "next", c)) check_next(ctx, tree, file, c);
        n += locus ? 1 : 0;
    }
    whet_tensor_destroy(ctx, &d);
    whet_space_destroy(ctx, tree);
    return n;
}

static void loci_and_next_classes(void **state) {
    (void)state;
    test_need_some(each_file("parent", check_loci_of), "loci");
}

/* ---- embeddings ------------------------------------------------------------------------------ */

static void check_embedding(whet_ctx *ctx, const char *file, int c, const char *metric) {
    char spec[300];
    whet_space *space = NULL;
    (void)snprintf(spec, sizeof spec, "embedding:%s:E,metric=%s", test_shared(file), metric);
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    whet_tensor observed = case_key(ctx, file, "obs", c, WHET_I64);
    whet_tensor probs = case_key(ctx, file, "P", c, WHET_F64);
    const bool cosine = strcmp(metric, "cosine") == 0;
    whet_tensor costs = case_key(ctx, file, cosine ? "F_cos2" : "F_euc2", c, WHET_F64);
    whet_tensor first = case_key(ctx, file, cosine ? "argmin_cos2" : "argmin_euc2", c, WHET_I64);
    const int64_t rows = costs.shape[0], n = costs.shape[1];
    const double *want = costs.data;
    int64_t *best = calloc((size_t)(rows * n), sizeof *best);
    double *cost = calloc((size_t)(rows * n), sizeof *cost);
    assert_true(best && cost);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.top = (int32_t)n;
    test_ok(ctx, whet_frechet_predict(ctx, space, observed.data, observed.shape[0], probs.data,
                                      rows, &opts, best, cost, NULL, NULL));
    for (int64_t r = 0; r < rows; r++) {
        /* The reference's 1 - cos of near vectors cancels. */
        const double floor = cosine ? floor_of(want + r * n, n) : 0;
        assert_int_equal(best[r * n], ((const int64_t *)first.data)[r]);
        for (int64_t i = 0; i < n; i++)
            near_relative(cost[r * n + i], want[r * n + best[r * n + i]], floor, metric, r);
    }
    free(best);
    free(cost);
    whet_tensor_destroy(ctx, &observed);
    whet_tensor_destroy(ctx, &probs);
    whet_tensor_destroy(ctx, &costs);
    whet_tensor_destroy(ctx, &first);
    whet_space_destroy(ctx, space);
}

/* Of unit vectors, "unit" is the Euclidean distance. */
static int64_t check_embeddings_of(whet_ctx *ctx, const char *file) {
    int64_t n = 0;
    for (int c = 0; has_case(ctx, file, "P", c); c++) {
        check_embedding(ctx, file, c, "euclidean");
        check_embedding(ctx, file, c, "cosine");
        if (strstr(file, "embed_unit")) check_embedding(ctx, file, c, "unit");
        n++;
    }
    return n;
}

static void embeddings(void **state) {
    (void)state;
    test_need_some(each_file("E", check_embeddings_of), "embeddings");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_and_best_points),
        cmocka_unit_test(loci_and_next_classes),
        cmocka_unit_test(embeddings),
    };
    return cmocka_run_group_tests_name("loki", tests, NULL, NULL);
}
