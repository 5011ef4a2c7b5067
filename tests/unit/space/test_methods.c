/* SPDX-License-Identifier: Apache-2.0
 * The planner's methods, each asked for by name: on small random spaces of every kind all that serve give the
 * points, ties, costs and margins of the dense formula; what does not serve is refused with what does; plans
 * are as large as was said, and refused before they are made when they are too large. */
#include "space_support.h"

#include <stdio.h>

#include "space/frechet_i.h"

enum { ROWS = 24, MOST_N = 40, TOP = 5 };

static const char *const NAMES[] = {
    "tree-pass",        "tree-entries",    "tree-gates", "argmax",    "nearest-mean",
    "nearest-mean-f32", "grid-sums",       "table",      "table-f32", "table-entries",
    "hop-searches",     "length-searches", "auto"};

/* What a method gave: best and cost [ROWS, top]. */
typedef struct answers {
    int64_t best[ROWS * TOP];
    double cost[ROWS * TOP], margin[ROWS];
    int32_t ties[ROWS];
} answers;

/* One case: a space, observed points, candidates, rows. */
typedef struct problem {
    whet_space *space;
    int64_t n, k, *observed, list[MOST_N];
    double *p, *table;
    bool candidate[MOST_N];
    whet_frechet_opts opts;
} problem;

static void run(whet_ctx *ctx, const problem *w, const whet_frechet *f, answers *a) {
    if (!w->opts.sparse) {
        test_ok(ctx, whet_frechet_run(ctx, f, w->p, ROWS, a->best, a->cost, a->ties, a->margin));
        return;
    }
    int64_t first[ROWS + 1] = {0};
    int32_t *column = TEST_NEW(int32_t, ROWS * w->k);
    double *p = TEST_NEW(double, ROWS * w->k);
    for (int64_t r = 0, at = 0; r < ROWS; r++) {
        for (int64_t j = 0; j < w->k; j++) {
            if (w->p[r * w->k + j] == 0) continue;
            column[at] = (int32_t)j;
            p[at++] = w->p[r * w->k + j];
        }
        first[r + 1] = at;
    }
    const whet_sparse_rows rows = {first, column, p, ROWS};
    test_ok(ctx, whet_frechet_run_sparse(ctx, f, &rows, a->best, a->cost, a->ties, a->margin));
    free(column);
    free(p);
}

static int by_number(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Against the dense formula: the tie set's size and its lowest point, costs of all that are told. */
static void check(const problem *w, const char *name, const answers *a, int64_t top) {
    for (int64_t r = 0; r < ROWS; r++) {
        double want[MOST_N], sorted[MOST_N], next = (double)INFINITY;
        int64_t n = 0, ties = 0, first = -1;
        bool told[MOST_N] = {false};
        oracle_costs(w->table, w->n, w->observed, w->k, w->p + r * w->k, w->opts.power, want);
        for (int64_t y = 0; y < w->n; y++)
            if (w->candidate[y]) sorted[n++] = want[y];
        qsort(sorted, (size_t)n, sizeof *sorted, by_number);
        for (int64_t y = 0; y < w->n; y++) {
            if (!w->candidate[y]) continue;
            if (want[y] > sorted[0] * (1 + 1e-9)) {
                next = fmin(next, want[y]);
                continue;
            }
            if (first < 0) first = y;
            ties++;
        }
        if (a->best[r * top] != first || a->ties[r] != ties)
            fail_msg("%s, row %d: point %d of %d ties; expected %d of %d", name, (int)r,
                     (int)a->best[r * top], a->ties[r], (int)first, (int)ties);
        if (isinf(next))
            assert_true(isinf(a->margin[r]));
        else
            assert_true(fabs(a->margin[r] - (next - sorted[0])) <= 4 * TEST_PRECISE * next);
        for (int64_t i = 0; i < top; i++) {
            const int64_t y = a->best[r * top + i];
            assert_true(y >= 0 && y < w->n && w->candidate[y] && !told[y]);
            told[y] = true;
            assert_near(a->cost[r * top + i], want[y], TEST_PRECISE);
            assert_true(fabs(want[y] - sorted[i]) <= 2e-9 * sorted[i]);
        }
    }
}

/* The points of two methods are the same, in the same order. */
static void same(const char *name, const answers *a, const answers *b, int64_t top) {
    for (int64_t i = 0; i < ROWS * top; i++)
        if (a->best[i] != b->best[i])
            fail_msg("%s, place %d: point %d; expected %d", name, (int)i, (int)a->best[i],
                     (int)b->best[i]);
}

/* Every method by name; gives which served. */
static unsigned try_all(whet_ctx *ctx, problem *w) {
    static answers got, other;
    unsigned served = 0;
    for (int64_t m = 0; m < WHET_COUNT_OF(NAMES); m++) {
        whet_frechet *f = NULL;
        w->opts.method = NAMES[m];
        const whet_status status =
            whet_frechet_create(ctx, w->space, w->observed, w->k, &w->opts, &f);
        if (status == WHET_ERR_ARG) {
            test_says(ctx, NAMES[m]);
            test_says(ctx, "does not serve here: it needs ");
            test_says(ctx, "expected auto");
            continue;
        }
        test_ok(ctx, status);
        served |= 1U << m;
        if (m < WHET_COUNT_OF(NAMES) - 1)
            assert_string_equal(whet_frechet_explain(f).name, NAMES[m]);
        answers *a = (served & (served - 1)) == 0 ? &other : &got;
        run(ctx, w, f, a);
        check(w, NAMES[m], a, whet_frechet_top(f));
        same(NAMES[m], a, &other, whet_frechet_top(f));
        whet_frechet_destroy(ctx, f);
    }
    return served;
}

static whet_space *graph_of(whet_ctx *ctx, int64_t n, bool weighted, uint64_t seed) {
    whet_i_rng rng;
    whet_edges e = test_edges(ctx, n, 2 * n - 2);
    whet_i_rng_init(&rng, seed, 6);
    for (int64_t i = 0; i < e.n_edges; i++) {
        e.to[i] = i < n - 1 ? i + 1 : 1 + whet_i_rng_below(&rng, n - 1);
        e.from[i] = whet_i_rng_below(&rng, e.to[i]);
        e.length[i] = weighted ? .5 + whet_i_rng_uniform(&rng) : 1;
    }
    return test_graph_of(ctx, &e);
}

enum { KINDS = 12 };

static whet_space *space_of(whet_ctx *ctx, int kind, int64_t n, uint64_t seed) {
    whet_space *space = NULL, *other;
    char spec[64];
    switch (kind) {
    case 0: return test_tree(ctx, n, (int)(seed % 4), false, seed);
    case 1: return test_tree(ctx, n, (int)(seed % 4), true, seed);
    case 2:
        other = test_tree(ctx, n, 0, false, seed);
        space = test_matrix_of(ctx, other);
        whet_space_destroy(ctx, other);
        return space;
    case 3: return test_embedding(ctx, n, 3, MEASURE_EUCLIDEAN, seed);
    case 4: return test_embedding(ctx, n, 17, MEASURE_UNIT, seed);
    case 5: return graph_of(ctx, n, false, seed);
    case 6: return graph_of(ctx, n, true, seed);
    case 7: (void)snprintf(spec, sizeof spec, "discrete:%d", (int)n); break;
    case 8: (void)snprintf(spec, sizeof spec, "grid:%dx3", (int)(n / 3)); break;
    case 9: (void)snprintf(spec, sizeof spec, "grid:%dx2,metric=l2", (int)(n / 2)); break;
    case 10: return test_embedding(ctx, n, 5, MEASURE_COSINE, seed);
    default: return test_embedding(ctx, n, 5, MEASURE_ANGULAR, seed);
    }
    test_ok(ctx, whet_space_open(ctx, spec, NULL, &space));
    return space;
}

static void make(whet_ctx *ctx, problem *w, int kind, uint64_t seed) {
    const int64_t n = 6 + (int64_t)(whet_i_hash_u64(seed) % (MOST_N - 6));
    *w = (problem){.space = space_of(ctx, kind, n, seed), .opts = WHET_FRECHET_OPTS_INIT};
    w->n = whet_space_size(w->space);
    w->k = 1 + (int64_t)(whet_i_hash_u64(seed + 77) % (uint64_t)w->n);
    w->observed = test_points(w->n, seed);
    w->p = test_probs(ROWS, w->k, seed);
    w->table = test_table(w->space);
    w->opts.power = seed % 3 == 2 ? 1 : 2;
    w->opts.top = seed % 2 ? 1 : TOP;
    w->opts.sparse = seed % 4 < 2;
    const bool some = seed % 5 == 4;
    for (int64_t y = 0; y < w->n; y++) {
        w->candidate[y] = !some || y % 3;
        if (w->candidate[y]) w->list[w->opts.n_candidates++] = y;
    }
    w->opts.candidates = some ? WHET_CANDIDATES_LIST : WHET_CANDIDATES_ALL;
    w->opts.candidate_list = w->list;
}

static void unmake(whet_ctx *ctx, problem *w) {
    free(w->observed);
    free(w->p);
    free(w->table);
    whet_space_destroy(ctx, w->space);
}

static void all_that_serve_agree(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    unsigned served = 0;
    static problem w;
    for (uint64_t seed = 0; seed < 60; seed++)
        for (int kind = 0; kind < KINDS; kind++) {
            make(ctx, &w, kind, seed);
            served |= try_all(ctx, &w);
            unmake(ctx, &w);
        }
    assert_int_equal(served, (1U << WHET_COUNT_OF(NAMES)) - 1);
    test_ctx_done(ctx);
}

static void an_unknown_method_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_frechet *f = NULL;
    static problem w;
    make(ctx, &w, 0, 2);
    w.opts.method = "tree";
    test_fails(ctx, whet_frechet_create(ctx, w.space, w.observed, w.k, &w.opts, &f), WHET_ERR_ARG);
    test_says(ctx, "no method \"tree\"; expected auto, tree-pass or table");
    assert_null(f);
    unmake(ctx, &w);
    test_ctx_done(ctx);
}

/* What is held, and held at most, is what was said, but for a few kilobytes of small things. */
static void plans_are_as_large_as_was_said(void **state) {
    (void)state;
    enum { N = 5000, K = 100, SLACK = 1 << 14 };
    for (int64_t m = 0; m < WHET_COUNT_OF(NAMES) - 1; m++)
        for (int kind = 0; kind < KINDS; kind++) {
            whet_ctx *ctx = test_ctx(1);
            if (kind == 2) {
                test_ctx_done(ctx);
                continue; /* N^2 distances */
            }
            whet_space *space = space_of(ctx, kind, N, 3);
            int64_t *observed = test_points(N, 1);
            whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
            whet_frechet *f = NULL;
            size_t before, built, now, peak;
            opts.sparse = true;
            opts.method = NAMES[m];
            whet_ctx_memory(ctx, &before, &built);
            if (whet_frechet_create(ctx, space, observed, K, &opts, &f) == WHET_OK) {
                whet_ctx_memory(ctx, &now, &peak);
                const double held = (double)(now - before) - 8 * (N + K) -
                                    (f->cost_row ? 8.0 * N : 0); /* lists of points */
                if (held > 1.1 * f->sizes.held + SLACK || held < .6 * f->sizes.held - SLACK)
                    fail_msg("%s, space %d: %g bytes held; %g were said", NAMES[m], kind, held,
                             f->sizes.held);
                const double most = (double)(peak - before) - 8 * (N + K);
                if (peak > built && most > 1.1 * f->sizes.making + 9 * N + SLACK)
                    fail_msg("%s, space %d: %g bytes at most; %g were said", NAMES[m], kind, most,
                             f->sizes.making);
                assert_true(whet_frechet_explain(f).thread_bytes > 0);
                whet_frechet_destroy(ctx, f);
            }
            free(observed);
            whet_space_destroy(ctx, space);
            test_ctx_done(ctx);
        }
}

static void too_large_a_plan_is_refused_before_it_is_made(void **state) {
    (void)state;
    whet_ctx_opts limits = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    whet_frechet *f = NULL;
    size_t before, before_most, peak;
    limits.threads = 1;
    limits.memory_limit = 40 << 20;
    assert_int_equal(whet_ctx_create(&limits, &ctx), WHET_OK);
    whet_space *tree = test_tree(ctx, 60000, 0, false, 1);
    int64_t *observed = test_points(60000, 1);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.method = "table";
    opts.sparse = true;
    whet_ctx_memory(ctx, &before, &before_most);
    test_fails(ctx, whet_frechet_create(ctx, tree, observed, 400, &opts, &f), WHET_ERR_LIMIT);
    test_says(ctx, "the plan (distance table, 400 observed classes, 60000 candidates, 1 threads) "
                   "needs 0.2");
    test_says(ctx, " GB more; expected at most the ");
    test_says(ctx, "; try method tree-entries, which needs ");
    assert_null(f);
    whet_ctx_memory(ctx, NULL, &peak);
    assert_true(peak == before_most || peak < before + (2 << 20));
    opts.method = NULL;
    test_ok(ctx, whet_frechet_create(ctx, tree, observed, 400, &opts, &f));
    whet_frechet_destroy(ctx, f);
    free(observed);
    whet_space_destroy(ctx, tree);
    test_ctx_done(ctx);
}

/* Searches pay while they are fewer than those of the table, or where that would take most of the memory. */
static void a_table_pays_when_many_entries_come(void **state) {
    (void)state;
    static const struct {
        int64_t k, entries;
        double room;
        bool weighted, large;
    } CASES[] = {
        {1000, 0, 1e12, true, true},      {1000, 1999, 1e12, true, true},
        {1000, 2000, 1e12, true, false},  {1000, 2000, 2.6e9, true, true}, /* 1.6 GB and the same */
        {1000, 2000, 3.3e9, true, false}, {300, 0, 1e12, true, false},     /* 480 MB */
        {3000, 5999, 1e12, false, true},  {3000, 6000, 1e12, false, false},
        {3000, 6000, 2.3e9, false, true}, {2600, 0, 1e12, false, false},
    };
    double length[1] = {1};
    whet_space space = {.kind = SPACE_GRAPH, .n = 200000};
    for (int64_t i = 0; i < WHET_COUNT_OF(CASES); i++) {
        space.graph.length = CASES[i].weighted ? length : NULL;
        const whet_frechet f = {.space = &space,
                                .k = CASES[i].k,
                                .n_candidates = space.n,
                                .entries = CASES[i].entries,
                                .room = CASES[i].room};
        if (whet_i_graph_table_is_large(&f) != CASES[i].large) fail_msg("case %d", (int)i);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_serve_agree),
        cmocka_unit_test(an_unknown_method_is_refused),
        cmocka_unit_test(plans_are_as_large_as_was_said),
        cmocka_unit_test(too_large_a_plan_is_refused_before_it_is_made),
        cmocka_unit_test(a_table_pays_when_many_entries_come),
    };
    return cmocka_run_group_tests_name("space/methods", tests, NULL, NULL);
}
