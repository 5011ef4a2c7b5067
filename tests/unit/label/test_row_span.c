/* SPDX-License-Identifier: Apache-2.0
 * Rows in coordinates of their own span, and regressions fitted there: against the rows themselves,
 * against the fit on all columns, and against the gradient there, which vanishes at the optimum
 * wherever it was looked for. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "label/rule_candidates.h"

enum { MOST_ROWS = 40, MOST_COLUMNS = 120 };

typedef enum shape { PLAIN, TWINS, LOW_RANK, ZEROS } shape;

/* Rows [b, d]: of full rank; of which the second half repeats the first; of rank 3; all 0. */
static void make_rows(shape kind, int64_t b, int64_t d, double *x) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, (uint64_t)kind);
    for (int64_t i = 0; i < b * d; i++) x[i] = kind == ZEROS ? 0 : whet_i_rng_normal(&rng);
    for (int64_t i = b / 2; kind == TWINS && i < b; i++)
        memcpy(x + i * d, x + (i - b / 2) * d, sizeof *x * (size_t)d);
    for (int64_t i = 3; kind == LOW_RANK && i < b; i++)
        for (int64_t j = 0; j < d; j++)
            x[i * d + j] = (double)(i % 5) * x[j] - x[d + j] + (double)(i % 3) * x[2 * d + j];
}

static double product(const double *a, int64_t step_a, const double *b, int64_t step_b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i * step_a] * b[i * step_b];
    return sum;
}

/* Singular values down to 1e-2 of the largest (of random rows), squared by the Gram matrix: 1e-16 / 1e-4 for
 * the axes, times some 100 terms. */
#define ROUNDING 1e-9

static void check_span(const double *x, const whet_i_span *s, int64_t rank) {
    assert_int_equal(s->r, rank);
    for (int64_t i = 0; i < s->b; i++)
        for (int64_t j = 0; j < s->d; j++)
            assert_true(fabs(product(s->z + i * s->r, 1, s->back + j * s->r, 1, s->r) -
                             x[i * s->d + j]) < ROUNDING);
    for (int64_t p = 0; p < s->r; p++)
        for (int64_t q = 0; q < s->r; q++) {
            const double axes = product(s->back + p, s->r, s->back + q, s->r, s->d);
            const double length = product(s->z + p, s->r, s->z + p, s->r, s->b);
            assert_true(fabs(axes - (p == q)) < ROUNDING);
            if (p != q)
                assert_true(fabs(product(s->z + p, s->r, s->z + q, s->r, s->b)) <
                            ROUNDING * length);
        }
}

static void rows_are_their_coordinates_on_orthonormal_axes(void **state) {
    (void)state;
    static const int64_t size[4][2] = {{12, 40}, {40, 12}, {1, 7}, {12, 12}};
    whet_ctx *ctx = test_ctx(2);
    double x[MOST_ROWS * MOST_COLUMNS];
    for (int s = 0; s < 4; s++)
        for (shape kind = PLAIN; kind <= ZEROS; kind++) {
            const int64_t b = size[s][0], d = size[s][1], full = b < d ? b : d;
            if (b < 2 && kind == TWINS) continue;
            const int64_t twins = (b + 1) / 2 < d ? (b + 1) / 2 : d;
            const int64_t rank = kind == PLAIN      ? full
                                 : kind == TWINS    ? twins
                                 : kind == LOW_RANK ? (full < 3 ? full : 3)
                                                    : 0;
            whet_i_span span;
            make_rows(kind, b, d, x);
            test_ok(ctx, whet_i_span_of(ctx, x, b, d, &span));
            check_span(x, &span, rank);
            whet_i_span_free(ctx, &span);
        }
    test_ctx_done(ctx);
}

/* Two rows by hand: (3, 0, 4) and (0, 0, 0): one axis (3, 0, 4) / 5, coordinates 5 and 0. */
static void a_row_and_nothing_by_hand(void **state) {
    (void)state;
    static const double x[6] = {3, 0, 4};
    whet_ctx *ctx = test_ctx(1);
    whet_i_row_span s;
    test_ok(ctx, whet_i_row_span_build(ctx, x, 2, 3, &s));
    assert_int_equal(s.r, 1);
    assert_true(fabs(s.z[0] - 5) < 1e-14 && fabs(s.z[1]) < 1e-14);
    assert_true(fabs(s.mix[0] - .2) < 1e-15 && fabs(s.mix[1]) < 1e-15);
    whet_i_row_span_free(ctx, &s);
    test_ctx_done(ctx);
}

static whet_status span_once(whet_ctx *ctx, void *arg) {
    const int64_t *size = arg;
    double x[MOST_ROWS * MOST_COLUMNS];
    whet_i_span s = {0};
    make_rows(PLAIN, size[0], size[1], x);
    const whet_status status = whet_i_span_of(ctx, x, size[0], size[1], &s);
    whet_i_span_free(ctx, &s);
    return status;
}

static void each_allocation_of_a_span_may_fail(void **state) {
    (void)state;
    int64_t wide[2] = {6, 20}, tall[2] = {20, 6};
    assert_true(test_each_allocation(span_once, wide) > 5);
    assert_true(test_each_allocation(span_once, tall) > 5);
}

/* ---- a sketch of many rows --------------------------------------------------------------------- */

enum { SKETCHED = 300, WIDTH = 520, SOFT = 3 };

/* Column j in the size of 9 / (j + 1) about 1/4: a spectrum that falls, as those of images do. */
static void make_falling(double *z) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 17, 0);
    for (int i = 0; i < SKETCHED; i++)
        for (int j = 0; j < WIDTH; j++)
            z[i * WIDTH + j] = .25 + 9 * whet_i_rng_normal(&rng) / (j + 1);
}

/* What the axes and the rest hold is the mean square of all rows; on 8 rows, all of which are looked at. */
static void a_sketch_holds_the_mean_square(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    double *z = malloc(sizeof *z * SKETCHED * WIDTH);
    assert_non_null(z);
    make_falling(z);
    for (int64_t b = 8; b <= SKETCHED; b += SKETCHED - 8) {
        whet_i_sketch s;
        double all = 0, held = 0;
        test_ok(ctx, whet_i_sketch_build(ctx, z, b, WIDTH, &s));
        for (int64_t i = 0; i < b * WIDTH; i++) all += z[i] * z[i] / (double)b;
        for (int64_t j = 0; j < s.r; j++) {
            held += s.square[j];
            for (int64_t l = 0; l <= j; l++)
                assert_true(fabs(product(s.axis + j, s.r, s.axis + l, s.r, WIDTH + 1) - (j == l)) <
                            ROUNDING);
        }
        const int64_t seen = b < 256 ? b : 256;
        assert_int_equal(s.r, seen);
        double along = 0; /* the largest axis, as the rows that are looked at have it */
        for (int64_t i = 0; i < seen; i++) {
            const double *row = z + i * b / seen * WIDTH;
            const double at = product(row, 1, s.axis, s.r, WIDTH) + s.axis[WIDTH * s.r];
            along += at * at / (double)seen;
        }
        assert_true(fabs(s.square[0] - along) < 1e-9 * along);
        assert_true(s.rest > 0 || b == 8);
        held += s.rest * (double)(WIDTH + 1 - s.r);
        if (s.rest > 0) assert_true(fabs(held - all - 1) < 1e-9 * all);
        if (b == 8) assert_true(fabs(held - all - 1) < 1e-9 * all);
        whet_i_sketch_free(ctx, &s);
    }
    whet_i_sketch few;
    test_ok(ctx, whet_i_sketch_build(ctx, z, 8, 4, &few));
    assert_null(few.axis);
    whet_i_sketch_free(ctx, &few);
    free(z);
    test_ctx_done(ctx);
}

typedef struct soft {
    double z[SKETCHED * WIDTH], q[SKETCHED * SOFT], weight[SKETCHED];
    double theta[2][(WIDTH + 1) * SOFT];
} soft;

/* The objective at theta by its definition, and the largest component of its gradient. */
static double soft_loss(const soft *s, const double *theta, double c, double *largest) {
    static double slope[(WIDTH + 1) * SOFT];
    double total = 0, loss = 0;
    for (int i = 0; i < WIDTH * SOFT; i++) {
        loss += theta[i] * theta[i] / (2 * c);
        slope[i] = theta[i] / c;
    }
    for (int e = 0; e < SOFT; e++) slope[WIDTH * SOFT + e] = 0;
    for (int i = 0; i < SKETCHED; i++) {
        double p[SOFT];
        for (int e = 0; e < SOFT; e++)
            p[e] = product(s->z + i * WIDTH, 1, theta + e, SOFT, WIDTH) + theta[WIDTH * SOFT + e];
        whet_i_softmax(p, SOFT);
        total += s->weight[i];
        for (int e = 0; e < SOFT; e++) {
            const double error = s->weight[i] * (p[e] - s->q[i * SOFT + e]);
            loss -= s->weight[i] * s->q[i * SOFT + e] * log(p[e]);
            for (int j = 0; j <= WIDTH; j++)
                slope[j * SOFT + e] += error * (j < WIDTH ? s->z[i * WIDTH + j] : 1);
        }
    }
    *largest = 0;
    for (int i = 0; i < (WIDTH + 1) * SOFT; i++) *largest = fmax(*largest, fabs(slope[i]) / total);
    return loss / total;
}

/* Where it starts decides on the way, not on where it ends: a convex objective whose gradient is at most
 * 1e-5 in 1563 components, of a curvature of at least 1 / (C sum w) = 2e-3, is within
 * 1563e-10 / (2 x 2e-3) = 4e-5 of its least. */
static void a_sketch_leads_to_the_same_regression_sooner(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    soft *s = malloc(sizeof *s);
    whet_i_sketch sketch;
    int64_t steps[2];
    double loss[2], largest;
    assert_non_null(s);
    make_falling(s->z);
    for (int i = 0; i < SKETCHED; i++) {
        const double *x = s->z + i * WIDTH;
        double *p = s->q + i * SOFT;
        p[0] = .1 * x[0];
        p[1] = .1 * x[1] + .2 * x[7];
        p[2] = -.1 * x[0] + .3 * x[20];
        whet_i_softmax(p, SOFT);
        s->weight[i] = 1 + i % 3 / 2.;
    }
    s->weight[5] = 0;
    test_ok(ctx, whet_i_sketch_build(ctx, s->z, SKETCHED, WIDTH, &sketch));
    for (int with = 0; with < 2; with++) {
        const whet_i_sketch *given = with ? &sketch : NULL;
        double *room = malloc(sizeof *room *
                              (size_t)whet_i_soft_logistic_workspace(SKETCHED, WIDTH, SOFT, given));
        assert_non_null(room);
        steps[with] = whet_i_soft_logistic_solve(s->z, SKETCHED, WIDTH, s->q, s->weight, SOFT, 1,
                                                 given, 1e-5, 5000, s->theta[with], room);
        loss[with] = soft_loss(s, s->theta[with], 1, &largest);
        assert_true(largest < 1.001e-5);
        free(room);
    }
    assert_true(fabs(loss[1] - loss[0]) < 4e-5);
    assert_true(2 * steps[1] < steps[0]);
    whet_i_sketch_free(ctx, &sketch);
    free(s);
    test_ctx_done(ctx);
}

static whet_status sketch_once(whet_ctx *ctx, void *arg) {
    whet_i_sketch s = {0};
    const whet_status status = whet_i_sketch_build(ctx, arg, 6, WIDTH, &s);
    whet_i_sketch_free(ctx, &s);
    return status;
}

static void each_allocation_of_a_sketch_may_fail(void **state) {
    (void)state;
    double *z = malloc(sizeof *z * SKETCHED * WIDTH);
    assert_non_null(z);
    make_falling(z);
    assert_true(test_each_allocation(sketch_once, z) > 6);
    free(z);
}

/* ---- logistic candidates ---------------------------------------------------------------------- */

enum { N = 60, D = 120, LABELLED = 24, K = 3 };

typedef struct wide {
    float x[N * D];
    int32_t labels[N];
    whet_names *classes;
    whet_i_rows rows;
    whet_i_candidates list; /* one logistic regression on all columns, one on every other */
    whet_i_candidate item[2];
    int32_t input[D + D / 2];
} wide;

/* Labelled rows of which 4 are twins; column 5 is constant, columns 6 and 7 are the same. Class c is told by
 * column c, with noise. */
static void make_wide(whet_ctx *ctx, wide *w) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int i = 0; i < N; i++) {
        const int32_t y = (int32_t)whet_i_rng_below(&rng, K);
        w->labels[i] = i < LABELLED ? y : -1;
        for (int j = 0; j < D; j++)
            w->x[i * D + j] = (float)(10 * (j % 4) + whet_i_rng_normal(&rng) + (j == y ? 2 : 0));
        w->x[i * D + 5] = 7;
        w->x[i * D + 7] = w->x[i * D + 6];
    }
    memcpy(w->x + 4 * D, w->x, sizeof(float) * 4 * D);
    test_ok(ctx, whet_names_create(ctx, &w->classes));
    for (int32_t c = 0; c < K; c++) {
        const char name[2] = {(char)('a' + c), 0};
        test_ok(ctx, whet_names_add(ctx, w->classes, whet_str_from(name), NULL));
    }
    const whet_synth_input input = {w->x, N, D, w->classes, w->labels, 0};
    test_ok(ctx, whet_i_rows_build(ctx, &input, &w->rows));
    for (int j = 0; j < D; j++) w->input[j] = j;
    for (int j = 0; j < D / 2; j++) w->input[D + j] = 2 * j + 1;
    w->item[0] = (whet_i_candidate){WHET_I_RULE_LOGISTIC, 0, D, 0};
    w->item[1] = (whet_i_candidate){WHET_I_RULE_LOGISTIC, 0, D / 2, D};
    w->list = (whet_i_candidates){w->item, 2, w->input, D};
}

static void free_wide(whet_ctx *ctx, wide *w) {
    whet_i_rows_free(ctx, &w->rows);
    whet_names_destroy(ctx, w->classes);
    free(w);
}

/* The gradient of the objective over standardised columns at a model's weights, in f64 on all columns; with
 * two outputs, of the score of the second. The mean over rows, as the fit's tolerance is. */
static double largest_slope(const wide *w, const whet_i_fit_task *t, const whet_i_model *m) {
    const whet_i_rows *r = &w->rows;
    double slope[(D + 1) * K] = {0}, largest = 0;
    const int64_t outs = m->outs;
    for (int64_t j = 0; j < m->inputs; j++)
        for (int64_t o = 0; o < outs; o++)
            slope[j * outs + o] =
                m->weight[j * outs + o] * r->scale[m->input[j]] * (outs == 2 ? 2 : 1);
    for (int64_t i = 0; i < t->n; i++) {
        const float *x = r->x + r->labelled[t->place[i]] * D;
        double p[K];
        whet_i_model_probs(m, (whet_i_strided){x, 0, 1}, 0, p, NULL);
        for (int64_t o = 0; o < outs; o++) {
            const double error = p[o] - (t->target[t->place[i]] == o);
            for (int64_t j = 0; j <= m->inputs; j++)
                slope[j * outs + o] +=
                    error * (j == m->inputs ? 1 : (double)whet_i_standard(r, x, m->input[j]));
        }
    }
    for (int64_t i = 0; i < (m->inputs + 1) * outs; i++)
        largest = fmax(largest, fabs(slope[i]) / (double)t->n);
    return largest;
}

typedef struct fold_case {
    int64_t n, outs;
    int64_t place[LABELLED];
} fold_case;

/* Weights apart by at most |gradients| / (least curvature 1 / (C n)): |g| <= 1e-5 sqrt(121 x 3), twice, times
 * n = 24: 1e-2 in standardised weights, 24 rows of length 11 less in scores: 1e-2 between probabilities. */
static void compare(const wide *w, const whet_i_model *a, const double *direct) {
    for (int64_t i = 0; i < N; i++) {
        double p[K];
        whet_i_model_probs(a, (whet_i_strided){w->x + i * D, 0, 1}, 0, p, NULL);
        for (int64_t o = 0; o < a->outs; o++)
            assert_true(fabs(p[o] - direct[i * a->outs + o]) < 1e-2);
    }
}

static void a_fit_in_the_span_is_the_fit_on_all_columns(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    wide *w = calloc(1, sizeof *w);
    whet_i_row_span *span;
    whet_i_fitter f;
    assert_non_null(w);
    make_wide(ctx, w);
    test_ok(ctx, whet_i_candidate_spans_build(ctx, &w->rows, &w->list, &span));
    test_ok(ctx, whet_i_fitter_create(ctx, &w->list, LABELLED, K, &f));
    for (int64_t c = 0; c < 2; c++) {
        assert_int_equal(span[c].r, LABELLED - 4); /* four are twins */
        for (int outs = 2; outs <= K; outs++)
            for (int fold = 0; fold < 3; fold++) { /* all rows, two thirds, other two thirds */
                fold_case at = {.outs = outs};
                int32_t target[LABELLED];
                for (int i = 0; i < LABELLED; i++) {
                    target[i] = outs == 2 ? w->rows.y[i] == 1 : w->rows.y[i];
                    if (fold == 0 || i % 3 != fold) at.place[at.n++] = i;
                }
                whet_i_fit_task t = {.rows = &w->rows,
                                     .list = &w->list,
                                     .candidate = c,
                                     .place = at.place,
                                     .target = target,
                                     .n = at.n,
                                     .outs = outs,
                                     .standard = true};
                double direct[N * K];
                whet_i_candidate_fit(&t, &f);
                for (int64_t i = 0; i < N; i++)
                    whet_i_model_probs(&f.model, (whet_i_strided){w->x + i * D, 0, 1}, 0,
                                       direct + i * outs, NULL);
                t.span = &span[c];
                whet_i_candidate_fit(&t, &f);
                compare(w, &f.model, direct);
                /* 1e-5 in each coordinate of the span, at most sqrt(20) of it in a column. */
                assert_true(largest_slope(w, &t, &f.model) < 4.5e-5);
                for (int64_t j = 0; j < f.model.inputs; j++)
                    if (w->rows.scale[f.model.input[j]] == 0)
                        for (int o = 0; o < outs; o++)
                            assert_true(f.model.weight[j * outs + o] == 0);
            }
    }
    whet_i_fitter_free(ctx, &f);
    whet_i_candidate_spans_free(ctx, &w->list, span);
    free_wide(ctx, w);
    test_ctx_done(ctx);
}

/* ---- rules on wide features -------------------------------------------------------------------- */

static whet_status snuba_once(whet_ctx *ctx, void *arg) {
    const wide *w = arg;
    const whet_synth_input input = {w->x, N, D, w->classes, w->labels, 0};
    whet_snuba_opts opts = WHET_SNUBA_OPTS_INIT;
    whet_rules *rules = NULL;
    opts.subsets = 1;
    const whet_status status = whet_snuba(ctx, &input, &opts, &rules, NULL, NULL);
    whet_rules_destroy(ctx, rules);
    return status;
}

static void wide_rules_are_the_same_at_any_number_of_threads(void **state) {
    (void)state;
    static const int threads[3] = {1, 2, 5};
    double probs[3][N * K];
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx(threads[t]);
        wide *w = calloc(1, sizeof *w);
        assert_non_null(w);
        make_wide(ctx, w);
        const whet_synth_input input = {w->x, N, D, w->classes, w->labels, 0};
        const whet_snuba_opts opts = WHET_SNUBA_OPTS_INIT;
        whet_rules *rules;
        test_ok(ctx, whet_snuba(ctx, &input, &opts, &rules, probs[t], NULL));
        whet_rules_destroy(ctx, rules);
        free_wide(ctx, w);
        test_ctx_done(ctx);
        assert_memory_equal(probs[t], probs[0], sizeof probs[0]);
    }
}

static void each_allocation_of_wide_rules_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    wide *w = calloc(1, sizeof *w);
    assert_non_null(w);
    make_wide(ctx, w);
    assert_true(test_each_allocation(snuba_once, w) > 40);
    free_wide(ctx, w);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_their_coordinates_on_orthonormal_axes),
        cmocka_unit_test(a_row_and_nothing_by_hand),
        cmocka_unit_test(each_allocation_of_a_span_may_fail),
        cmocka_unit_test(a_sketch_holds_the_mean_square),
        cmocka_unit_test(a_sketch_leads_to_the_same_regression_sooner),
        cmocka_unit_test(each_allocation_of_a_sketch_may_fail),
        cmocka_unit_test(a_fit_in_the_span_is_the_fit_on_all_columns),
        cmocka_unit_test(wide_rules_are_the_same_at_any_number_of_threads),
        cmocka_unit_test(each_allocation_of_wide_rules_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
