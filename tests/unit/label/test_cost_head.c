/* SPDX-License-Identifier: Apache-2.0
 * Linear heads trained for the metric of a label space: losses by hand, gradients against central
 * differences, what training does to predictions, and refusals. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "whet/io.h"

enum { K = 4 };
/* Squared distances of 0, 1, 2, 4 on a line. */
static const double SQUARED[K * K] = {0, 1, 4, 16, 1, 0, 1, 9, 4, 1, 0, 4, 16, 9, 4, 0};

static void losses_are_those_computed_by_hand(void **state) {
    (void)state;
    double room[K];
    /* p = (1/2, 1/4, 1/8, 1/8) and label 1: 1/2 1 + 1/8 1 + 1/8 9 = 7/4. */
    double row[K] = {log(4), log(2), 0, 0};
    const whet_i_cost all = {WHET_LOSS_EXPECTED_COST, K, K, SQUARED, NULL};
    assert_true(fabs(whet_i_cost_row(&all, row, 1, room) - 1.75) < 1e-15);
    assert_true(fabs(row[0] - .5 * (1 - 1.75)) < 1e-15);
    assert_true(fabs(row[1] - .25 * (0 - 1.75)) < 1e-15);
    assert_true(fabs(row[3] - .125 * (9 - 1.75)) < 1e-15);
    /* Scored: 0 and 2, half each; scores of all are -(0+4)/2, -(1+1)/2, -(4+0)/2, -(16+4)/2, so
     * that 1, which is not scored, is the most probable. */
    const int32_t column[] = {0, 2};
    const whet_i_cost two = {WHET_LOSS_FRECHET, K, 2, SQUARED, column};
    double halves[2] = {0, 0};
    const double sum = 2 * exp(-2) + exp(-1) + exp(-10);
    assert_true(fabs(whet_i_cost_row(&two, halves, 1, room) - (1 + log(sum))) < 1e-15);
    assert_true(fabs(halves[0] + halves[1]) < 1e-15);
}

/* Rounding of a difference of two losses of about 1 is 1e-16 / 1e-6, truncation 1e-12: 1e-9. */
static void gradients_are_those_of_central_differences(void **state) {
    (void)state;
    static const int32_t some[] = {0, 2, 3};
    const whet_i_cost costs[] = {{WHET_LOSS_EXPECTED_COST, K, K, SQUARED, NULL},
                                 {WHET_LOSS_FRECHET, K, 3, SQUARED, some}};
    double room[K];
    for (int which = 0; which < 2; which++) {
        const whet_i_cost *cost = &costs[which];
        for (int32_t y = 0; y < K; y++) {
            double scores[K], gradient[K];
            for (int c = 0; c < K; c++) scores[c] = gradient[c] = sin(3.1 * c + 1.7 * y);
            (void)whet_i_cost_row(cost, gradient, y, room);
            for (int64_t c = 0; c < cost->scored; c++) {
                double up[K], down[K];
                memcpy(up, scores, sizeof up);
                memcpy(down, scores, sizeof down);
                up[c] += 1e-6;
                down[c] -= 1e-6;
                const double slope =
                    (whet_i_cost_row(cost, up, y, room) - whet_i_cost_row(cost, down, y, room)) /
                    2e-6;
                if (fabs(slope - gradient[c]) > 1e-8)
                    fail_msg("loss %d, label %d, score %d: %.12g; expected %.12g", which, y, (int)c,
                             gradient[c], slope);
            }
        }
    }
}

/* The reference's exact loss and gradient: cross-entropy of -p D^2, a mean over rows. Its straight-through
 * and polytope variants, which are other gradients of it, are not here. */
static void check_exact_loss(const char *file) {
    whet_ctx *ctx = test_ctx(1);
    whet_tensor d = test_shared_key(ctx, file, "D", WHET_F64),
                s = test_shared_key(ctx, file, "logits", WHET_F64);
    whet_tensor y = test_shared_key(ctx, file, "y", WHET_I32),
                loss = test_shared_key(ctx, file, "exact_ce_loss", WHET_F64);
    whet_tensor g = test_shared_key(ctx, file, "exact_ce_grad", WHET_F64);
    const int64_t b = s.shape[0], k = s.shape[1];
    int32_t *column = malloc(sizeof *column * (size_t)k);
    double *room = malloc(sizeof *room * (size_t)k), *row = s.data, mean = 0;
    assert_true(column && room);
    for (int64_t c = 0; c < k; c++) column[c] = (int32_t)c;
    for (int64_t i = 0; i < k * k; i++) ((double *)d.data)[i] *= ((double *)d.data)[i];
    const whet_i_cost cost = {WHET_LOSS_FRECHET, k, k, d.data, column};
    for (int64_t i = 0; i < b; i++, row += k) {
        const double *want = (const double *)g.data + i * k;
        mean += whet_i_cost_row(&cost, row, ((const int32_t *)y.data)[i], room) / (double)b;
        for (int64_t c = 0; c < k; c++) assert_true(fabs(row[c] / (double)b - want[c]) < 1e-12);
    }
    assert_true(fabs(mean - *(const double *)loss.data) < 1e-12 * mean);
    free(column);
    free(room);
    whet_tensor *all[] = {&d, &s, &y, &loss, &g};
    for (int i = 0; i < 5; i++) whet_tensor_destroy(ctx, all[i]);
    test_ctx_done(ctx);
}

static void the_exact_loss_is_the_reference_s(void **state) {
    (void)state;
    char **file;
    const int64_t n = test_shared_files("golden/loki", "losses_", ".npz", &file);
    for (int64_t i = 0; i < n; i++) check_exact_loss(file[i]);
    test_free_files(file, n);
    test_need_some(n, "losses of label spaces");
}

/* Features that cannot tell apart the classes at both ends of a line from each other: the expected
 * cost is least at the class between them, which has no label; cross-entropy cannot predict it. */
enum { N = 40 };
static void made_rows(float *x, int32_t *y) {
    for (int i = 0; i < N; i++) {
        x[2 * i] = 1;
        x[2 * i + 1] = (float)(.01 * sin(1.3 * i));
        y[i] = i % 2 ? 2 : 0;
    }
}
static const double LINE[9] = {0, 1, 4, 1, 0, 1, 4, 1, 0};

static void classes_without_a_label_are_predicted_where_they_cost_least(void **state) {
    (void)state;
    float x[2 * N];
    int32_t y[N];
    double probs[2][3 * N];
    made_rows(x, y);
    for (int32_t threads = 1; threads <= 2; threads++) {
        whet_ctx *ctx = test_ctx(threads);
        const whet_baseline_input in = {.features = x,
                                        .n = N,
                                        .d = 2,
                                        .k = 3,
                                        .labels = y,
                                        .seed = 1,
                                        .loss = WHET_LOSS_EXPECTED_COST,
                                        .cost = LINE};
        test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs[threads - 1]));
        test_ctx_done(ctx);
    }
    assert_memory_equal(probs[0], probs[1], sizeof probs[0]);
    for (int i = 0; i < N; i++) assert_int_equal(whet_i_argmax(probs[0] + 3 * i, 3), 1);
}

static void the_frechet_loss_gives_probabilities_over_the_labels_classes(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    float x[2 * N];
    int32_t y[N];
    double probs[3 * N];
    made_rows(x, y);
    whet_baseline_input in = {.features = x,
                              .n = N,
                              .d = 2,
                              .k = 3,
                              .labels = y,
                              .seed = 1,
                              .loss = WHET_LOSS_FRECHET,
                              .cost = LINE};
    test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs));
    for (int i = 0; i < N; i++) {
        assert_true(probs[3 * i + 1] == 0);
        assert_true(fabs(probs[3 * i] + probs[3 * i + 2] - 1) < 1e-12);
    }
    /* Rows that can be told apart are. */
    for (int i = 0; i < N; i++) x[2 * i] = y[i] ? 1 : -1;
    test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs));
    for (int i = 0; i < N; i++) assert_int_equal(whet_i_argmax(probs + 3 * i, 3), y[i]);
    /* One label is enough to run. */
    for (int i = 1; i < N; i++) y[i] = -1;
    test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs));
    test_ctx_done(ctx);
}

static void what_does_not_fit_together_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const double zero[9] = {0};
    float x[2 * N];
    int32_t y[N];
    double probs[3 * N];
    made_rows(x, y);
    whet_baseline_input in = {.features = x, .n = N, .d = 2, .k = 3, .labels = y, .cost = LINE};
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs), WHET_ERR_ARG);
    in.loss = WHET_LOSS_EXPECTED_COST;
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_SPREAD, &in, probs), WHET_ERR_ARG);
    in.cost = NULL;
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs), WHET_ERR_ARG);
    in.cost = zero;
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs), WHET_ERR_DATA);
    test_says(ctx, "mean squared distance");
    test_ctx_done(ctx);
}

static whet_status run_both(whet_ctx *ctx, void *arg) {
    (void)arg;
    float x[2 * N];
    int32_t y[N];
    double probs[3 * N];
    made_rows(x, y);
    whet_baseline_input in = {.features = x,
                              .n = N,
                              .d = 2,
                              .k = 3,
                              .labels = y,
                              .loss = WHET_LOSS_EXPECTED_COST,
                              .cost = LINE};
    WHET_TRY(whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs));
    in.loss = WHET_LOSS_FRECHET;
    return whet_baseline_run(ctx, WHET_BASELINE_FEW_SHOT, &in, probs);
}

static void every_failing_allocation_is_reported(void **state) {
    (void)state;
    assert_true(test_each_allocation(run_both, NULL) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_are_those_computed_by_hand),
        cmocka_unit_test(gradients_are_those_of_central_differences),
        cmocka_unit_test(the_exact_loss_is_the_reference_s),
        cmocka_unit_test(classes_without_a_label_are_predicted_where_they_cost_least),
        cmocka_unit_test(the_frechet_loss_gives_probabilities_over_the_labels_classes),
        cmocka_unit_test(what_does_not_fit_together_is_refused),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("label/cost_head", tests, NULL, NULL);
}
