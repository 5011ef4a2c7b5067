/* SPDX-License-Identifier: Apache-2.0
 * REPAIR of mixtures: by hand, and that hidden units have the statistics they were given, by loops that know
 * nothing of the engine. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge/repair.h"

enum { MOST = 12, EXAMPLES = 40 };

/* A network whose tensors are drawn, or given. */
typedef struct network {
    whet_named_tensor items[MOST];
    whet_weights weights;
} network;

typedef struct shape {
    const char *name;
    int32_t rank;
    int64_t sizes[4];
} shape;

static void draw(whet_ctx *ctx, network *n, const shape *shapes, int count, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int i = 0; i < count; i++) {
        whet_tensor *t = &n->items[i].tensor;
        n->items[i].name = shapes[i].name;
        test_ok(ctx, whet_tensor_create(ctx, WHET_F32, shapes[i].rank, shapes[i].sizes, t));
        for (int64_t k = 0; k < whet_tensor_count(t); k++)
            ((float *)t->data)[k] = (float)(0.4 * whet_i_rng_normal(&rng));
    }
    n->weights = (whet_weights){n->items, count};
}

static void drop(whet_ctx *ctx, network *n) {
    for (int64_t i = 0; i < n->weights.n; i++) whet_tensor_destroy(ctx, &n->items[i].tensor);
}

static const float *values(const network *n, int i) { return n->items[i].tensor.data; }

static const shape PERCEPTRON[] = {{"layer0.weight", 2, {7, 5}}, {"layer0.bias", 1, {7}},
                                   {"layer1.weight", 2, {6, 7}}, {"layer1.bias", 1, {6}},
                                   {"layer2.weight", 2, {3, 6}}, {"layer2.bias", 1, {3}}};

/* Inputs (4, 0), (0, 2). Unit 0 of A is the first of them: mean 2, deviation 2; that of B the second: 1, 1. A
 * quarter of the way they are .75 x1 + .25 x2: 3 and .5, mean 1.75, deviation 1.25, where 1.75 and 1.75 are
 * asked for: times 1.4, less .7. */
static void by_hand(void **state) {
    (void)state;
    static const shape shapes[] = {{"layer0.weight", 2, {2, 2}},
                                   {"layer0.bias", 1, {2}},
                                   {"layer1.weight", 2, {2, 2}},
                                   {"layer1.bias", 1, {2}}};
    static const float one[] = {1, 0, 0, 1}, other[] = {0, 1, 1, 0}, x[] = {4, 0, 0, 2};
    whet_ctx *ctx = test_ctx(1);
    network a, b, mixed = {.weights = {NULL, 4}};
    draw(ctx, &a, shapes, 4, 1);
    draw(ctx, &b, shapes, 4, 2);
    for (int i = 0; i < 4; i += 2) {
        memcpy(a.items[i].tensor.data, one, sizeof one);
        memcpy(b.items[i].tensor.data, other, sizeof other);
        memset(a.items[i + 1].tensor.data, 0, 8);
        memset(b.items[i + 1].tensor.data, 0, 8);
    }
    const whet_mode_data data = {
        .x = x, .n = 2, .height = 1, .width = 1, .channels = 2, .repair = true};
    test_ok(ctx, whet_mode_mixture(ctx, "mlp", &a.weights, &b.weights, &data, 0.25, mixed.items));
    static const double w[] = {1.05, .35};
    /* unit 1: .25 x1 + .75 x2: 1 and 1.5, mean 1.25, deviation .25, asked 1.25 and 1.25: times 5 */
    for (int i = 0; i < 2; i++) assert_true(fabs((double)values(&mixed, 0)[i] - w[i]) < 1e-6);
    assert_true(fabs((double)values(&mixed, 0)[2] - 1.25) < 1e-6);
    assert_true(fabs((double)values(&mixed, 0)[3] - 3.75) < 1e-6);
    assert_true(fabs((double)values(&mixed, 1)[0] + .7) < 1e-6);
    assert_true(fabs((double)values(&mixed, 1)[1] + 5) < 1e-6);
    assert_true(values(&mixed, 2)[0] == 0.75F &&
                values(&mixed, 3)[0] == 0); /* the last layer stays */
    drop(ctx, &mixed);
    drop(ctx, &a);
    drop(ctx, &b);
    test_ctx_done(ctx);
}

/* Means and deviations [13] of the hidden units of a perceptron before their activations. */
static void statistics(const network *n, const float *x, int examples, double *mean,
                       double *deviation) {
    double squares[13] = {0};
    memset(mean, 0, 13 * sizeof *mean);
    for (int e = 0; e < examples; e++) {
        double h[13];
        for (int j = 0; j < 13; j++) {
            const int layer = j < 7 ? 0 : 1, unit = j < 7 ? j : j - 7, in = layer ? 7 : 5;
            double sum = (double)values(n, 2 * layer + 1)[unit];
            for (int i = 0; i < in; i++)
                sum += (double)values(n, 2 * layer)[unit * in + i] *
                       (layer ? fmax(h[i], 0) : (double)x[e * 5 + i]);
            h[j] = sum;
            mean[j] += sum / examples;
            squares[j] += sum * sum / examples;
        }
    }
    for (int j = 0; j < 13; j++) deviation[j] = sqrt(fmax(squares[j] - mean[j] * mean[j], 0));
}

/* On the data, at every share; the ends are A and B to the bit, without repair a mixture is the mean. Sums of
 * some 7 products of f32, scaled: 1e-5 of what they are. */
static void units_have_the_statistics_they_were_given(void **state) {
    (void)state;
    static const double shares[] = {0, 0.1, 0.5, 0.8, 1};
    float x[EXAMPLES * 5];
    double mean[3][13], deviation[3][13];
    whet_i_rng rng;
    whet_ctx *ctx = test_ctx(2);
    network a, b;
    draw(ctx, &a, PERCEPTRON, 6, 3);
    draw(ctx, &b, PERCEPTRON, 6, 4);
    whet_i_rng_init(&rng, 5, 0);
    for (int i = 0; i < EXAMPLES * 5; i++) x[i] = (float)(1 + whet_i_rng_normal(&rng));
    whet_mode_data data = {
        .x = x, .n = EXAMPLES, .height = 1, .width = 1, .channels = 5, .repair = true};
    statistics(&a, x, EXAMPLES, mean[0], deviation[0]);
    statistics(&b, x, EXAMPLES, mean[1], deviation[1]);
    for (int s = 0; s < 5; s++) {
        network mixed = {.weights = {NULL, 6}};
        const double w = shares[s];
        test_ok(ctx, whet_mode_mixture(ctx, "mlp", &a.weights, &b.weights, &data, w, mixed.items));
        statistics(&mixed, x, EXAMPLES, mean[2], deviation[2]);
        for (int j = 0; j < 13; j++) {
            const double to = (1 - w) * mean[0][j] + w * mean[1][j];
            const double spread = (1 - w) * deviation[0][j] + w * deviation[1][j];
            assert_true(fabs(mean[2][j] - to) < 1e-5 * (1 + fabs(to)));
            assert_true(fabs(deviation[2][j] - spread) < 1e-5 * (1 + spread));
        }
        for (int i = 0; i < 6 && (s == 0 || s == 4); i++)
            assert_memory_equal(values(&mixed, i), values(s ? &b : &a, i),
                                sizeof(float) * (size_t)whet_tensor_count(&a.items[i].tensor));
        drop(ctx, &mixed);
    }
    data.repair = false;
    network mean_of_both = {.weights = {NULL, 6}};
    test_ok(ctx,
            whet_mode_mixture(ctx, "mlp", &a.weights, &b.weights, &data, 0.5, mean_of_both.items));
    assert_true(values(&mean_of_both, 0)[3] ==
                (float)(.5 * (double)values(&a, 0)[3] + .5 * (double)values(&b, 0)[3]));
    drop(ctx, &mean_of_both);
    drop(ctx, &a);
    drop(ctx, &b);
    test_ctx_done(ctx);
}

/* Channels of a convolution: over all examples and places, by a loop. */
static void channels_of_images(void **state) {
    (void)state;
    enum { SIDE = 28, N = 5, OUT = SIDE - 4 };
    static const shape shapes[] = {{"conv1.weight", 4, {6, 1, 5, 5}},  {"conv1.bias", 1, {6}},
                                   {"conv2.weight", 4, {16, 6, 5, 5}}, {"conv2.bias", 1, {16}},
                                   {"fc1.weight", 2, {120, 256}},      {"fc1.bias", 1, {120}},
                                   {"fc2.weight", 2, {84, 120}},       {"fc2.bias", 1, {84}},
                                   {"fc3.weight", 2, {4, 84}},         {"fc3.bias", 1, {4}}};
    static float x[N * SIDE * SIDE];
    double mean[3][6], deviation[3][6];
    whet_i_rng rng;
    whet_ctx *ctx = test_ctx(1);
    network n[3] = {{.weights = {NULL, 10}}};
    draw(ctx, &n[0], shapes, 10, 6);
    draw(ctx, &n[1], shapes, 10, 7);
    whet_i_rng_init(&rng, 8, 0);
    for (int i = 0; i < N * SIDE * SIDE; i++) x[i] = (float)whet_i_rng_normal(&rng);
    const whet_mode_data data = {
        .x = x, .n = N, .height = SIDE, .width = SIDE, .channels = 1, .repair = true};
    test_ok(ctx,
            whet_mode_mixture(ctx, "lenet", &n[0].weights, &n[1].weights, &data, 0.3, n[2].items));
    n[2].weights = (whet_weights){n[2].items, 10};
    for (int k = 0; k < 3; k++)
        for (int c = 0; c < 6; c++) {
            double sum = 0, squares = 0;
            for (int i = 0; i < N * OUT * OUT; i++) {
                const int row = i / OUT % OUT, column = i % OUT;
                double y = (double)values(&n[k], 1)[c];
                for (int t = 0; t < 25; t++)
                    y += (double)values(&n[k], 0)[c * 25 + t] *
                         (double)x[(i / (OUT * OUT) * SIDE + row + t / 5) * SIDE + column + t % 5];
                sum += y;
                squares += y * y;
            }
            mean[k][c] = sum / (N * OUT * OUT);
            deviation[k][c] = sqrt(squares / (N * OUT * OUT) - mean[k][c] * mean[k][c]);
        }
    for (int c = 0; c < 6; c++) {
        assert_true(fabs(mean[2][c] - (.7 * mean[0][c] + .3 * mean[1][c])) < 1e-4);
        assert_true(fabs(deviation[2][c] - (.7 * deviation[0][c] + .3 * deviation[1][c])) < 1e-4);
    }
    for (int k = 0; k < 3; k++) drop(ctx, &n[k]);
    test_ctx_done(ctx);
}

/* A unit that is one number on all inputs in the mixture is shifted, and stays finite. */
static void units_that_never_vary(void **state) {
    (void)state;
    static float x[EXAMPLES * 5];
    whet_ctx *ctx = test_ctx(1);
    network a, b, mixed = {.weights = {NULL, 6}};
    draw(ctx, &a, PERCEPTRON, 6, 3);
    draw(ctx, &b, PERCEPTRON, 6, 3);
    for (int i = 0; i < EXAMPLES * 5; i++) x[i] = (float)(i % 7);
    for (int i = 0; i < 5; i++) ((float *)b.items[0].tensor.data)[i] = -values(&a, 0)[i];
    const whet_mode_data data = {
        .x = x, .n = EXAMPLES, .height = 1, .width = 1, .channels = 5, .repair = true};
    test_ok(ctx, whet_mode_mixture(ctx, "mlp", &a.weights, &b.weights, &data, .5, mixed.items));
    for (int i = 0; i < 5; i++) assert_true(values(&mixed, 0)[i] == 0);
    for (int i = 0; i < 6; i++)
        for (int64_t k = 0; k < whet_tensor_count(&mixed.items[i].tensor); k++)
            assert_true(isfinite(values(&mixed, i)[k]));
    drop(ctx, &mixed);
    drop(ctx, &a);
    drop(ctx, &b);
    test_ctx_done(ctx);
}

static void refusals(void **state) {
    (void)state;
    static const float x[10] = {1, 2, 3};
    whet_ctx *ctx = test_ctx(1);
    network a;
    whet_named_tensor out[6] = {{.name = "untouched"}};
    draw(ctx, &a, PERCEPTRON, 6, 3);
    whet_mode_data data = {.x = x, .n = 1, .height = 1, .width = 1, .channels = 5, .repair = true};
    test_fails(ctx, whet_mode_mixture(ctx, "mlp", &a.weights, &a.weights, &data, .5, out),
               WHET_ERR_DATA);
    test_says(ctx, "1 examples for the statistics of hidden units; expected 2");
    data.n = 2;
    test_fails(ctx, whet_mode_mixture(ctx, "mlp", &a.weights, &a.weights, &data, (double)NAN, out),
               WHET_ERR_ARG);
    test_fails(ctx, whet_mode_mixture(ctx, "bert", &a.weights, &a.weights, &data, .5, out),
               WHET_ERR_UNSUPPORTED);
    assert_string_equal(out[0].name, "untouched");
    drop(ctx, &a);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const network *n = arg;
    static const float x[10] = {1, 2, 3, 4, 5, 6};
    whet_mode_point points[3];
    int32_t y[] = {0, 1};
    double barrier;
    const whet_mode_data data = {
        .x = x, .labels = y, .n = 2, .height = 1, .width = 1, .channels = 5, .repair = true};
    return whet_mode_path(ctx, "mlp", &n[0].weights, &n[1].weights, &data, 3, points, &barrier);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    network n[2];
    draw(ctx, &n[0], PERCEPTRON, 6, 3);
    draw(ctx, &n[1], PERCEPTRON, 6, 4);
    assert_true(test_each_allocation(body, n) > 20);
    drop(ctx, &n[0]);
    drop(ctx, &n[1]);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(units_have_the_statistics_they_were_given),
        cmocka_unit_test(channels_of_images),
        cmocka_unit_test(units_that_never_vary),
        cmocka_unit_test(refusals),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
