/* SPDX-License-Identifier: Apache-2.0
 * Spaces and probabilities for the tests of the space module, and the oracle that they are held
 * against: the dense formula, term by term, over whet_space_distance. */
#ifndef WHET_TEST_SPACE_SUPPORT_H
#define WHET_TEST_SPACE_SUPPORT_H

#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "space/space_i.h"

static inline void *test_alloc(int64_t count, size_t size) {
    void *p = calloc((size_t)(count > 0 ? count : 1), size);
    assert_non_null(p);
    return p;
}
#define TEST_NEW(type, count) ((type *)test_alloc((count), sizeof(type)))

/* Random trees: each node hangs from an earlier one; shape 0 anywhere, 1 a path, 2 a star,
 * 3 a caterpillar (a path of half the nodes, a leaf on each). */
static inline whet_space *test_tree(whet_ctx *ctx, int64_t n, int shape, bool weighted,
                                    uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 7);
    int64_t *parent = TEST_NEW(int64_t, n);
    double *length = TEST_NEW(double, n);
    for (int64_t v = 0; v < n; v++) {
        parent[v] = v == 0       ? -1
                    : shape == 0 ? whet_i_rng_below(&rng, v)
                    : shape == 1 ? v - 1
                    : shape == 2 ? 0
                                 : (v < (n + 1) / 2 ? v - 1 : v - (n + 1) / 2);
        length[v] = weighted ? .1 + 3 * whet_i_rng_uniform(&rng) : 1;
    }
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_tree(ctx, NULL, n, parent, length, false, &space));
    free(parent);
    free(length);
    return space;
}

static inline whet_space *test_embedding(whet_ctx *ctx, int64_t n, int64_t dim,
                                         space_measure measure, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 8);
    double *e = TEST_NEW(double, n *dim);
    for (int64_t i = 0; i < n * dim; i++) e[i] = whet_i_rng_normal(&rng) + 1;
    whet_tensor t = {e, WHET_F64, 2, {n, dim}};
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_embedding(ctx, NULL, &t, false, measure, &space));
    free(e);
    return space;
}

/* Edges to be filled in, of nodes "0" .. "n - 1"; and the graph of them, which are then released. */
static inline whet_edges test_edges(whet_ctx *ctx, int64_t n, int64_t n_edges) {
    whet_edges e = {.n_edges = n_edges};
    test_ok(ctx, whet_i_names_numbered(ctx, n, &e.names));
    e.from = TEST_NEW(int64_t, n_edges);
    e.to = TEST_NEW(int64_t, n_edges);
    e.length = TEST_NEW(double, n_edges);
    return e;
}

static inline whet_space *test_graph_of(whet_ctx *ctx, whet_edges *e) {
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_graph(ctx, e, &space));
    whet_names_destroy(ctx, e->names);
    free(e->from);
    free(e->to);
    free(e->length);
    return space;
}

/* d(y, j) for all pairs, [n, n]. */
static inline double *test_table(const whet_space *space) {
    const int64_t n = whet_space_size(space);
    double *d = TEST_NEW(double, n *n);
    for (int64_t i = 0; i < n * n; i++) d[i] = whet_space_distance(space, i / n, i % n);
    return d;
}

/* The table of another space, as a matrix space. */
static inline whet_space *test_matrix_of(whet_ctx *ctx, const whet_space *other) {
    const int64_t n = whet_space_size(other);
    double *d = test_table(other);
    whet_tensor t = {d, WHET_F64, 2, {n, n}};
    whet_space *space = NULL;
    test_ok(ctx, whet_i_space_from_matrix(ctx, NULL, &t, false, &space));
    free(d);
    return space;
}

/* All points of n in random order: the first k are a sample. */
static inline int64_t *test_points(int64_t n, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 9);
    int64_t *all = TEST_NEW(int64_t, n);
    for (int64_t i = 0; i < n; i++) all[i] = i;
    whet_i_rng_shuffle(&rng, all, n);
    return all;
}

/* Rows of every temper: nearly one-hot, peaked, flat; some exactly one-hot or uniform; unscaled. */
static inline double *test_probs(int64_t rows, int64_t k, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 10);
    double *p = TEST_NEW(double, rows *k);
    for (int64_t r = 0; r < rows; r++) {
        const double sharp = pow(2, (double)(r % 8) - 1), scale = .2 + whet_i_rng_uniform(&rng);
        for (int64_t j = 0; j < k; j++) {
            double x = -log(1 - whet_i_rng_uniform(&rng) * .999999);
            x = pow(x, sharp) * scale;
            if (r % 16 == 14) x = 1;
            if (r % 16 == 15) x = j == r % k ? 2 : 0;
            p[r * k + j] = x;
        }
    }
    return p;
}

/* What the dense formula gives for a row: costs of all points divided by the mass. */
static inline void oracle_costs(const double *table, int64_t n, const int64_t *observed, int64_t k,
                                const double *p, int32_t power, double *out) {
    double mass = 0;
    for (int64_t j = 0; j < k; j++) mass += p[j];
    for (int64_t y = 0; y < n; y++) {
        double sum = 0;
        for (int64_t j = 0; j < k; j++) {
            const double d = table[observed[j] * n + y];
            sum += p[j] * (power == 2 ? d * d : d);
        }
        out[y] = sum / mass;
    }
}

/* Sums of up to a few hundred non-negative terms in two orders differ by less than this,
 * relatively; 1e-12 is what the contract promises. */
#define TEST_PRECISE 1e-12
#define assert_near(a, b, relative) assert_near_((a), (b), (relative), __FILE__, __LINE__)
static inline void assert_near_(double a, double b, double relative, const char *file, int line) {
    if (a == b || fabs(a - b) <= relative * fabs(b)) return;
    print_error("%s:%d: %.17g; expected %.17g (relative %g)\n", file, line, a, b,
                fabs(a - b) / fabs(b));
    _fail(file, line);
}

/* Holds predictions of all rows against the dense formula. candidate [n]: who may be predicted. */
static inline void assert_matches_oracle(whet_ctx *ctx, const whet_space *space,
                                         const int64_t *observed, int64_t k, const double *p,
                                         int64_t rows, whet_frechet_opts opts, const double *table,
                                         const bool *candidate) {
    const int64_t n = whet_space_size(space), top = opts.top;
    int64_t *best = TEST_NEW(int64_t, rows * top);
    double *cost = TEST_NEW(double, rows *top), *margin = TEST_NEW(double, rows);
    double *want = TEST_NEW(double, n);
    int32_t *ties = TEST_NEW(int32_t, rows);
    test_ok(ctx, whet_frechet_predict(ctx, space, observed, k, p, rows, &opts, best, cost, ties,
                                      margin));
    for (int64_t r = 0; r < rows; r++) {
        oracle_costs(table, n, observed, k, p + r * k, opts.power, want);
        double least = (double)INFINITY, next = (double)INFINITY;
        int64_t first = -1, tied = 0;
        for (int64_t y = 0; y < n; y++)
            if (candidate[y] && want[y] < least) least = want[y];
        for (int64_t y = 0; y < n; y++) {
            if (!candidate[y]) continue;
            if (want[y] <= least * (1 + 1e-9)) {
                if (first < 0) first = y;
                tied++;
            } else if (want[y] < next) {
                next = want[y];
            }
        }
        assert_int_equal(best[r * top], first);
        assert_near(cost[r * top], want[first], TEST_PRECISE);
        assert_int_equal(ties[r], tied);
        /* The margin is a difference: its error is that of its terms. */
        if (isinf(next))
            assert_true(isinf(margin[r]) && margin[r] > 0);
        else
            assert_true(fabs(margin[r] - (next - least)) <= 4 * TEST_PRECISE * next);
        for (int64_t i = 1; i < top; i++) {
            assert_near(cost[r * top + i], want[best[r * top + i]], TEST_PRECISE);
            assert_true(cost[r * top + i] >= cost[r * top + i - 1] * (1 - 2e-9));
        }
    }
    free(best);
    free(cost);
    free(margin);
    free(want);
    free(ties);
}

#endif
