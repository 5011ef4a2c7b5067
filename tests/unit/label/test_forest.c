/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "label/label_i.h"

enum { MOST = 6000 };

typedef struct grown {
    whet_i_forest_tree tree;
    char *room;
} grown;

static grown make(whet_ctx *ctx, const whet_i_forest_rows *rows, whet_i_forest_kind kind,
                  uint64_t seed) {
    const int64_t size = whet_i_forest_tree_size(rows->n);
    grown g = {.room = NULL};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    test_ok(ctx, whet_i_alloc(ctx, 2 * size - 1, &g.tree.input));
    test_ok(ctx, whet_i_alloc(ctx, 2 * size - 1, &g.tree.next));
    test_ok(ctx, whet_i_alloc(ctx, 2 * size - 1, &g.tree.at_most));
    test_ok(ctx, whet_i_alloc(ctx, size, &g.tree.out));
    test_ok(ctx, whet_i_alloc(ctx, size, &g.tree.share));
    test_ok(ctx, whet_i_alloc(ctx, whet_i_forest_room(rows->n, rows->d, rows->outs), &g.room));
    whet_i_forest_grow(rows, kind, &rng, g.room, &g.tree);
    assert_true(g.tree.nodes <= 2 * size - 1 && g.tree.shares <= size);
    return g;
}

static void done(whet_ctx *ctx, grown *g) {
    whet_i_free(ctx, g->tree.input);
    whet_i_free(ctx, g->tree.next);
    whet_i_free(ctx, g->tree.at_most);
    whet_i_free(ctx, g->tree.out);
    whet_i_free(ctx, g->tree.share);
    whet_i_free(ctx, g->room);
}

/* Two rows: one question, and leaves of one row, each smoothed by one of the prior: 1 / 2. */
static void two_rows_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const float x[] = {-1, 3}, low = -1, high = 3;
    const int32_t y[] = {1, 0};
    const whet_i_forest_rows rows = {x, y, 2, 1, 2};
    grown g = make(ctx, &rows, WHET_I_FOREST_EXTRA, 1);
    assert_int_equal(g.tree.nodes, 3);
    assert_int_equal(g.tree.input[0], 0);
    assert_true(g.tree.at_most[0] >= -1 && g.tree.at_most[0] < 3);
    double p[2] = {0, 0};
    whet_i_forest_add(&g.tree, &low, p);
    assert_true(p[0] == 0 && p[1] == .5);
    whet_i_forest_add(&g.tree, &high, p);
    assert_true(p[0] == .5 && p[1] == .5);
    done(ctx, &g);
    test_ctx_done(ctx);
}

/* Rows that no question tells apart: a leaf of 3 of 4 and 1 of 4, of 4 + 1. */
static void rows_alike_share_a_leaf(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const float x[8] = {7, 2, 7, 2, 7, 2, 7, 2};
    const int32_t y[] = {2, 0, 2, 2};
    const whet_i_forest_rows rows = {x, y, 4, 2, 3};
    grown g = make(ctx, &rows, WHET_I_FOREST_EXTRA, 5);
    double p[3] = {0, 0, 0};
    assert_int_equal(g.tree.nodes, 1);
    whet_i_forest_add(&g.tree, x, p);
    assert_true(p[1] == 0 && fabs(p[0] - .2) < 1e-7 && fabs(p[2] - .6) < 1e-7);
    done(ctx, &g);
    test_ctx_done(ctx);
}

/* The root of a bagged tree on one column beside a search of all thresholds by the definition of the Gini
 * index, on the rows that the generator draws. */
static void the_best_threshold_is_found(void **state) {
    (void)state;
    enum { N = 40, OUTS = 3 };
    whet_ctx *ctx = test_ctx(1);
    for (uint64_t seed = 0; seed < 20; seed++) {
        float x[N], drawn[N];
        int32_t y[N], of[N];
        whet_i_rng rng;
        whet_i_rng_init(&rng, seed, 9);
        for (int i = 0; i < N; i++) {
            x[i] = (float)whet_i_rng_below(&rng, 15);
            y[i] = (int32_t)whet_i_rng_below(&rng, OUTS);
        }
        whet_i_rng_init(&rng, seed, 0);
        for (int i = 0; i < N; i++) {
            const int64_t row = whet_i_rng_below(&rng, N);
            drawn[i] = x[row];
            of[i] = y[row];
        }
        double least = INFINITY, told = INFINITY;
        const whet_i_forest_rows rows = {x, y, N, 1, OUTS};
        grown g = make(ctx, &rows, WHET_I_FOREST_BAGGED, seed);
        for (int at = -1; at < 15; at++) {
            double count[2][OUTS] = {{0}}, n[2] = {0, 0}, impurity = 0;
            const float most = at < 0 ? g.tree.at_most[0] : (float)at;
            for (int i = 0; i < N; i++) {
                count[drawn[i] <= most][of[i]]++;
                n[drawn[i] <= most]++;
            }
            for (int side = 0; side < 2; side++) {
                double squares = 0;
                for (int o = 0; o < OUTS; o++) squares += count[side][o] * count[side][o];
                if (n[side] > 0) impurity += n[side] * (1 - squares / (n[side] * n[side]));
            }
            if (at < 0)
                told = impurity;
            else if (n[0] > 0 && n[1] > 0)
                least = fmin(least, impurity);
        }
        assert_true(fabs(told - least) < 1e-9);
        done(ctx, &g);
    }
    test_ctx_done(ctx);
}

/* Neighbouring floats, infinitely far ones, and no middle between them: every question parts its rows. */
static void thresholds_part_any_two_floats(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const float x[] = {1, nextafterf(1, 2), -FLT_MAX, FLT_MAX, 0, nextafterf(0, 1)};
    const int32_t y[] = {0, 1, 2, 3, 4, 5};
    const whet_i_forest_rows rows = {x, y, 6, 1, 6};
    for (uint64_t seed = 0; seed < 50; seed++) {
        grown g = make(ctx, &rows, WHET_I_FOREST_EXTRA, seed);
        assert_int_equal(g.tree.nodes, 11);
        for (int i = 0; i < 6; i++) {
            double p[6] = {0};
            whet_i_forest_add(&g.tree, &x[i], p);
            for (int o = 0; o < 6; o++) assert_true(p[o] == (o == y[i] ? .5 : 0));
        }
        done(ctx, &g);
    }
    test_ctx_done(ctx);
}

/* More rows than a tree takes, and as deep as they allow: a staircase whose steps alternate. */
static void many_rows_are_drawn_from(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float *x;
    int32_t *y;
    test_ok(ctx, whet_i_alloc(ctx, MOST, &x));
    test_ok(ctx, whet_i_alloc(ctx, MOST, &y));
    for (int i = 0; i < MOST; i++) {
        x[i] = (float)i;
        y[i] = i % 2;
    }
    const whet_i_forest_rows rows = {x, y, MOST, 1, 2};
    for (int kind = WHET_I_FOREST_BAGGED; kind <= WHET_I_FOREST_EXTRA; kind++) {
        int64_t right = 0;
        grown g = make(ctx, &rows, (whet_i_forest_kind)kind, 3);
        assert_int_equal(whet_i_forest_tree_size(MOST), 5000);
        for (int i = 0; i < MOST; i++) {
            double p[2] = {0, 0};
            whet_i_forest_add(&g.tree, &x[i], p);
            right += p[y[i]] > p[1 - y[i]] ? 1 : 0;
        }
        /* Every row that was drawn: 5,000 without replacement, 1 - e^(-5/6) of 6,000 with it. */
        assert_true(right >= (kind == WHET_I_FOREST_EXTRA ? 5000 : 3200));
        done(ctx, &g);
    }
    whet_i_free(ctx, x);
    whet_i_free(ctx, y);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_rows_by_hand),
        cmocka_unit_test(rows_alike_share_a_leaf),
        cmocka_unit_test(the_best_threshold_is_found),
        cmocka_unit_test(thresholds_part_any_two_floats),
        cmocka_unit_test(many_rows_are_drawn_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
