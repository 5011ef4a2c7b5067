/* SPDX-License-Identifier: Apache-2.0
 * The quick way of perceptrons' mixtures against a loop in f64: shares tensor by tensor, panels that are not
 * full, layers that neighbours share, any number of threads. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "merge/merge_i.h"

enum { LAYERS = 4, TENSORS = 2 * LAYERS, EXAMPLES = 150, POINTS = 9, NUMBERS = 13 * 11 + 11 };

static const int WIDTHS[LAYERS + 1] = {7, 13, 11, 5, 4};
static const char *const NAMES[TENSORS] = {"layer0.weight", "layer0.bias",   "layer1.weight",
                                           "layer1.bias",   "layer2.weight", "layer2.bias",
                                           "layer3.weight", "layer3.bias"};

typedef struct perceptron {
    float values[TENSORS][NUMBERS];
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} perceptron;

static void draw_perceptron(perceptron *p, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int t = 0; t < TENSORS; t++) {
        const int rows = WIDTHS[t / 2 + 1], columns = t % 2 ? 1 : WIDTHS[t / 2];
        for (int i = 0; i < rows * columns; i++)
            p->values[t][i] = (float)(whet_i_rng_normal(&rng) / sqrt(WIDTHS[t / 2]));
        p->items[t] =
            (whet_named_tensor){NAMES[t], {p->values[t], WHET_F32, t % 2 ? 1 : 2, {rows, columns}}};
    }
    p->weights = (whet_weights){p->items, TENSORS};
}

typedef struct problem {
    perceptron a, b;
    float x[EXAMPLES * 7];
    int32_t y[EXAMPLES];
    whet_mode_data data;
    double shares[POINTS * TENSORS];
} problem;

/* Points with shares of their own, with one for all, ends, and neighbours that share first layers. */
static void draw_problem(problem *p) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    draw_perceptron(&p->a, 1);
    draw_perceptron(&p->b, 2);
    for (int i = 0; i < EXAMPLES * 7; i++) p->x[i] = (float)whet_i_rng_normal(&rng);
    for (int i = 0; i < EXAMPLES; i++) p->y[i] = (int32_t)whet_i_rng_below(&rng, 4);
    p->data = (whet_mode_data){
        .x = p->x, .labels = p->y, .n = EXAMPLES, .height = 1, .width = 1, .channels = 7};
    for (int k = 0; k < POINTS; k++)
        for (int t = 0; t < TENSORS; t++) {
            double *share = &p->shares[k * TENSORS + t];
            *share = k < 2 ? k : k == 2 ? .3 : whet_i_rng_uniform(&rng);
            if (k >= 5 && (k < 8 ? t < 2 * (k - 4) : t % 2 == 0)) *share = share[-TENSORS];
        }
}

static void layer_in_f64(const problem *p, const double *shares, int l, const double *in,
                         double *out) {
    const double w = shares[2 * l], b = shares[2 * l + 1];
    for (int i = 0; i < WIDTHS[l + 1]; i++) {
        out[i] =
            (1 - b) * (double)p->a.values[2 * l + 1][i] + b * (double)p->b.values[2 * l + 1][i];
        for (int k = 0; k < WIDTHS[l]; k++) {
            const int at = i * WIDTHS[l] + k;
            out[i] += in[k] * ((1 - w) * (double)p->a.values[2 * l][at] +
                               w * (double)p->b.values[2 * l][at]);
        }
        if (l + 1 < LAYERS) out[i] = fmax(0, out[i]);
    }
}

static double loss_in_f64(const problem *p, const double *shares, int example, bool *right) {
    double units[2][16], sum = 0;
    int top = 0;
    for (int k = 0; k < WIDTHS[0]; k++) units[0][k] = (double)p->x[example * WIDTHS[0] + k];
    for (int l = 0; l < LAYERS; l++) layer_in_f64(p, shares, l, units[l % 2], units[(l + 1) % 2]);
    const double *logits = units[LAYERS % 2];
    for (int c = 0; c < 4; c++) {
        sum += exp(logits[c]);
        if (logits[c] > logits[top]) top = c;
    }
    *right = top == p->y[example];
    return log(sum) - logits[p->y[example]];
}

static void perceptrons_agree_with_a_loop(void **state) {
    (void)state;
    static problem p;
    static double losses[3][POINTS * EXAMPLES], alone[EXAMPLES];
    static uint8_t right[3][POINTS * EXAMPLES], alone_right[EXAMPLES];
    const whet_i_image image = {1, 1, 7};
    draw_problem(&p);
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx((const int32_t[]){1, 2, 5}[t]);
        whet_i_mixture m;
        test_ok(ctx, whet_i_mixture_make(ctx, "mlp", NULL, &p.a.weights, &p.b.weights, NULL, &image,
                                         &m));
        assert_int_equal(m.classes, 4);
        test_ok(ctx, whet_i_mixture_check(ctx, &m, &p.data));
        const whet_i_scores out = {losses[t], right[t]}, one = {alone, alone_right};
        test_ok(ctx, whet_i_mixture_score(ctx, &m, p.shares, POINTS, &p.data, &out));
        for (int k = 0; k < POINTS; k++) {
            test_ok(ctx, whet_i_mixture_score(ctx, &m, p.shares + k * TENSORS, 1, &p.data, &one));
            assert_memory_equal(alone, losses[t] + k * EXAMPLES, sizeof alone);
            assert_memory_equal(alone_right, right[t] + k * EXAMPLES, sizeof alone_right);
        }
        whet_i_mixture_free(ctx, &m);
        test_ctx_done(ctx);
    }
    assert_memory_equal(losses[0], losses[1], sizeof losses[0]);
    assert_memory_equal(losses[0], losses[2], sizeof losses[0]);
    for (int k = 0; k < POINTS; k++)
        for (int i = 0; i < EXAMPLES; i++) {
            bool hit;
            const double loss = loss_in_f64(&p, p.shares + k * TENSORS, i, &hit);
            /* four layers, each rounding some 10 terms of order 1 by 2^-24 */
            if (!(fabs(losses[0][k * EXAMPLES + i] - loss) < 5e-6))
                fail_msg("point %d, example %d: %.9g; expected %.9g", k, i,
                         losses[0][k * EXAMPLES + i], loss);
            assert_int_equal(right[0][k * EXAMPLES + i], hit);
        }
}

/* The tensors that are handed over are those that were scored. */
static void tensors_are_what_was_scored(void **state) {
    (void)state;
    static problem p;
    static double losses[EXAMPLES], again[EXAMPLES];
    static uint8_t right[EXAMPLES];
    const bool traded[TENSORS] = {[2] = true, [5] = true};
    const whet_i_image image = {1, 1, 7};
    const whet_i_scores out = {losses, right}, out_again = {again, right};
    whet_ctx *ctx = test_ctx(1);
    whet_i_mixture m, made;
    whet_named_tensor items[TENSORS];
    double shares[TENSORS] = {0, 0, .25, 0, 0, .5, 0, 0}, none[TENSORS] = {0};
    draw_problem(&p);
    test_ok(ctx,
            whet_i_mixture_make(ctx, "mlp", NULL, &p.a.weights, &p.b.weights, traded, &image, &m));
    whet_i_mixture_share(&m, 1, none);
    for (int t = 0; t < TENSORS; t++) assert_true(none[t] == (traded[t] ? 1 : 0));
    test_ok(ctx, whet_i_mixture_score(ctx, &m, shares, 1, &p.data, &out));
    test_ok(ctx, whet_i_mixture_tensors(ctx, &m, shares, &p.data, items));
    for (int t = 0; t < TENSORS; t++) {
        const float *x = items[t].tensor.data;
        assert_string_equal(items[t].name, NAMES[t]);
        for (int64_t i = 0; i < whet_tensor_count(&items[t].tensor); i++)
            assert_true(x[i] == (float)((1 - shares[t]) * (double)p.a.values[t][i] +
                                        shares[t] * (double)p.b.values[t][i]));
    }
    const whet_weights mixed = {items, TENSORS};
    test_ok(ctx, whet_i_mixture_make(ctx, "mlp", NULL, &mixed, &mixed, NULL, &image, &made));
    memset(none, 0, sizeof none);
    test_ok(ctx, whet_i_mixture_score(ctx, &made, none, 1, &p.data, &out_again));
    for (int i = 0; i < EXAMPLES; i++) assert_true(fabs(losses[i] - again[i]) < 5e-6);
    whet_i_mixture_free(ctx, &m);
    whet_i_mixture_free(ctx, &made);
    for (int t = 0; t < TENSORS; t++) whet_tensor_destroy(ctx, &items[t].tensor);
    test_ctx_done(ctx);
}

/* Slopes against differences of losses, tensor by tensor, at shares of every kind. */
static void slopes_are_those_of_the_loss(void **state) {
    (void)state;
    static problem p;
    static double losses[2 * EXAMPLES];
    static uint8_t right[2 * EXAMPLES];
    const whet_i_image image = {1, 1, 7};
    const whet_i_scores out = {losses, right};
    const double step = 1e-2;
    whet_ctx *ctx = test_ctx(2);
    whet_i_mixture m;
    double loss, slopes[TENSORS], at[2 * TENSORS], sides[2], share;
    draw_problem(&p);
    test_ok(ctx,
            whet_i_mixture_make(ctx, "mlp", NULL, &p.a.weights, &p.b.weights, NULL, &image, &m));
    const double *shares = p.shares + 3 * TENSORS;
    test_ok(ctx, whet_i_mixture_slope(ctx, &m, shares, &p.data, &loss, slopes));
    test_ok(ctx, whet_i_mixture_score(ctx, &m, shares, 1, &p.data, &out));
    whet_i_scores_mean(losses, right, EXAMPLES, 0, &sides[0], &share);
    assert_true(fabs(loss - sides[0]) < 1e-6);
    for (int t = 0; t < TENSORS; t++) {
        for (int side = 0; side < 2; side++) {
            memcpy(at + side * TENSORS, shares, TENSORS * sizeof *at);
            at[side * TENSORS + t] += side ? step : -step;
        }
        test_ok(ctx, whet_i_mixture_score(ctx, &m, at, 2, &p.data, &out));
        for (int side = 0; side < 2; side++)
            whet_i_scores_mean(losses + side * EXAMPLES, right, EXAMPLES, 0, &sides[side], &share);
        const double expected = (sides[1] - sides[0]) / (2 * step);
        /* losses round by 1e-7, over 2e-2; a few units change sides within a step */
        if (!(fabs(slopes[t] - expected) < 2e-3 + .03 * fabs(expected)))
            fail_msg("%s: slope %g; expected %g", NAMES[t], slopes[t], expected);
    }
    whet_i_mixture_free(ctx, &m);
    test_ctx_done(ctx);
}

static void means_of_batches(void **state) {
    (void)state;
    const double losses[] = {1, 2, 3, 4, 10};
    const uint8_t right[] = {1, 0, 0, 1, 1};
    double loss, accuracy;
    whet_i_scores_mean(losses, right, 5, 0, &loss, &accuracy);
    assert_true(loss == 4 && accuracy == .6);
    whet_i_scores_mean(losses, right, 5, 2, &loss, &accuracy);
    assert_true(loss == (1.5 + 3.5 + 10) / 3 && accuracy == .6);
    whet_i_scores_mean(losses, right, 5, 9, &loss, &accuracy);
    assert_true(loss == 4);
}

static void refusals(void **state) {
    (void)state;
    static problem p;
    const whet_i_image image = {1, 1, 7};
    whet_ctx *ctx = test_ctx(1);
    whet_i_mixture m;
    draw_problem(&p);
    p.b.values[4][3] = (float)INFINITY;
    test_fails(ctx,
               whet_i_mixture_make(ctx, "mlp", NULL, &p.a.weights, &p.b.weights, NULL, &image, &m),
               WHET_ERR_DATA);
    test_says(ctx, "layer2.weight: number 3 is inf");
    whet_i_mixture_free(ctx, &m);
    p.b.items[4].tensor.shape[1] = 10;
    test_fails(ctx,
               whet_i_mixture_make(ctx, "mlp", NULL, &p.a.weights, &p.b.weights, NULL, &image, &m),
               WHET_ERR_SHAPE);
    whet_i_mixture_free(ctx, &m);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perceptrons_agree_with_a_loop),
        cmocka_unit_test(tensors_are_what_was_scored),
        cmocka_unit_test(slopes_are_those_of_the_loss),
        cmocka_unit_test(means_of_batches),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
