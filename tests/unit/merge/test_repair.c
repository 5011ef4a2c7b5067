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

/* ---- group norms ------------------------------------------------------------------------------------ */

enum { WRN_SIDE = 8, WRN_D = WRN_SIDE * WRN_SIDE * 3, WRN_N = 6, WRN_TENSORS = 64, WRN_NORMS = 10 };

/* A wide residual network of one block a stage, with norms that scale and shift. */
typedef struct wide {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_named_tensor items[WRN_TENSORS];
    whet_weights weights;
} wide;

static void draw_wide(whet_ctx *ctx, wide *w, uint64_t seed) {
    const whet_i_model_settings settings = {
        .image = {WRN_SIDE, WRN_SIDE, 3}, .classes = 4, .blocks = 1, .widen = 2};
    whet_i_model_values values;
    whet_i_value x;
    whet_i_rng rng;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &w->params));
    test_ok(ctx, whet_i_graph_create(ctx, w->params, &w->graph));
    test_ok(ctx, whet_i_graph_feed(ctx, w->graph, false, WHET_I_EXAMPLES, WRN_D, &x));
    test_ok(ctx,
            whet_i_model_record(ctx, w->graph, whet_i_model_find("wrn22"), &settings, x, &values));
    test_ok(ctx, whet_i_params_settle(ctx, w->params, seed));
    assert_true(w->params->n <= WRN_TENSORS);
    whet_i_rng_init(&rng, seed, 1);
    for (int64_t i = 0; i < w->params->n; i++) {
        const whet_i_param *p = &w->params->items[i];
        whet_tensor *t = &w->items[i].tensor;
        *t = (whet_tensor){.data = p->values, .dtype = WHET_F32, .rank = p->rank};
        memcpy(t->shape, p->shape, sizeof p->shape);
        w->items[i].name = p->name;
        for (int64_t k = 0; p->rank == 1 && k < p->count; k++)
            p->values[k] += (float)(.5 * whet_i_rng_normal(&rng));
    }
    w->weights = (whet_weights){w->items, w->params->n};
}

static void drop_wide(whet_ctx *ctx, wide *w) {
    whet_i_graph_destroy(ctx, w->graph);
    whet_i_params_destroy(ctx, w->params);
}

/* Sums of what each norm puts out, and squares, by channel: [channels] behind each other, in order. */
typedef struct norm_sums {
    const whet_i_graph *graph;
    whet_i_value values[WRN_NORMS];
    int64_t channels[WRN_NORMS], n;
    double mean[WRN_NORMS][128], deviation[WRN_NORMS][128];
} norm_sums;

static whet_status add_norms(whet_ctx *ctx, void *arg, const whet_i_executor *executor,
                             int64_t first, int64_t rows) {
    norm_sums *s = arg;
    (void)ctx;
    (void)first;
    for (int64_t k = 0; k < s->n; k++) {
        const float *x = whet_i_executor_value(executor, s->values[k]);
        const int64_t c = s->channels[k], cells = rows * whet_i_columns(s->graph, s->values[k]);
        for (int64_t i = 0; i < cells; i++) {
            s->mean[k][i % c] += (double)x[i];
            s->deviation[k][i % c] += (double)x[i] * (double)x[i];
        }
    }
    return WHET_OK;
}

static void measure_norms(whet_ctx *ctx, const whet_weights *w, const float *x, norm_sums *s) {
    const whet_i_image image = {WRN_SIDE, WRN_SIDE, 3};
    whet_i_image_network net;
    *s = (norm_sums){0};
    test_ok(ctx, whet_i_image_network_make_apart(ctx, "wrn", NULL, w, &image, &net));
    for (int64_t i = 0; i < net.graph->n_nodes; i++) {
        const whet_i_node *node = &net.graph->nodes[i];
        if (node->n_params != 2 || net.params->items[node->params[0]].rank != 1) continue;
        assert_true(s->n < WRN_NORMS);
        s->values[s->n] = node->outputs[0];
        s->channels[s->n++] = net.params->items[node->params[0]].count;
    }
    s->graph = net.graph;
    const whet_i_batch_visitor visitor = {
        .visit = add_norms, .arg = s, .stage = "test", .keep = s->values, .n_keep = s->n};
    test_ok(ctx, whet_i_image_network_batches(ctx, &net, x, WRN_N, &visitor));
    for (int64_t k = 0; k < s->n; k++) {
        const double samples =
            (double)(WRN_N * whet_i_columns(net.graph, s->values[k]) / s->channels[k]);
        for (int64_t j = 0; j < s->channels[k]; j++) {
            s->mean[k][j] /= samples;
            s->deviation[k][j] =
                sqrt(fmax(s->deviation[k][j] / samples - s->mean[k][j] * s->mean[k][j], 0));
        }
    }
    whet_i_image_network_free(ctx, &net);
}

/* Channels of the first norm before its ReLU, by loops: a convolution, then the norm of all channels of an
 * example. */
static void first_norm(const whet_weights *w, const float *x, double *mean, double *deviation) {
    enum { S = WRN_SIDE, C = 16 };
    static double y[WRN_N][S * S][C];
    const float *k = whet_i_image_network_tensor(w, "conv1.weight")->data; /* [C, 3, 3, 3] */
    const float *scale = whet_i_image_network_tensor(w, "layer1.0.bn1.weight")->data;
    const float *shift = whet_i_image_network_tensor(w, "layer1.0.bn1.bias")->data;
    memset(mean, 0, C * sizeof *mean);
    memset(deviation, 0, C * sizeof *deviation);
    for (int e = 0; e < WRN_N; e++) {
        double sum = 0, squares = 0;
        for (int at = 0; at < S * S; at++)
            for (int c = 0; c < C; c++) {
                y[e][at][c] = 0;
                for (int t = 0; t < 27; t++) { /* input channel, row, column */
                    const int row = at / S + t % 9 / 3 - 1, column = at % S + t % 3 - 1;
                    if (row < 0 || row >= S || column < 0 || column >= S) continue;
                    y[e][at][c] += (double)k[c * 27 + t] *
                                   (double)x[e * WRN_D + (row * S + column) * 3 + t / 9];
                }
                sum += y[e][at][c] / (S * S * C);
                squares += y[e][at][c] * y[e][at][c] / (S * S * C);
            }
        for (int at = 0; at < S * S; at++)
            for (int c = 0; c < C; c++) {
                const double z =
                    (y[e][at][c] - sum) / sqrt(squares - sum * sum + 1e-5) * (double)scale[c] +
                    (double)shift[c];
                mean[c] += z / (WRN_N * S * S);
                deviation[c] += z * z / (WRN_N * S * S);
            }
    }
    for (int c = 0; c < C; c++) deviation[c] = sqrt(deviation[c] - mean[c] * mean[c]);
}

/* Scales and shifts alone change; every norm of the mixture puts out what it was given, the first one also by
 * loops. f32 over some ten layers: 1e-3 of a deviation. */
static void norms_of_groups(void **state) {
    static float x[WRN_N * WRN_D];
    static norm_sums sums[3];
    double mean[3][16], deviation[3][16];
    whet_i_rng rng;
    whet_ctx *ctx = test_ctx(2);
    wide a, b;
    whet_named_tensor items[WRN_TENSORS], plain[WRN_TENSORS];
    (void)state;
    draw_wide(ctx, &a, 3);
    draw_wide(ctx, &b, 4);
    whet_i_rng_init(&rng, 5, 0);
    for (int i = 0; i < WRN_N * WRN_D; i++) x[i] = (float)whet_i_rng_normal(&rng);
    whet_mode_data data = {
        .x = x, .n = WRN_N, .height = WRN_SIDE, .width = WRN_SIDE, .channels = 3, .repair = true};
    const whet_weights repaired = {items, a.weights.n};
    test_ok(ctx, whet_mode_mixture(ctx, "wrn", &a.weights, &b.weights, &data, .3, items));
    data.repair = false;
    test_ok(ctx, whet_mode_mixture(ctx, "wrn", &a.weights, &b.weights, &data, .3, plain));
    measure_norms(ctx, &a.weights, x, &sums[0]);
    measure_norms(ctx, &b.weights, x, &sums[1]);
    measure_norms(ctx, &repaired, x, &sums[2]);
    assert_int_equal(sums[2].n, WRN_NORMS); /* three blocks of 2 and a shortcut's, and the last */
    for (int64_t k = 0; k < WRN_NORMS; k++)
        for (int64_t c = 0; c < sums[2].channels[k]; c++) {
            const double to = .7 * sums[0].mean[k][c] + .3 * sums[1].mean[k][c];
            const double spread = .7 * sums[0].deviation[k][c] + .3 * sums[1].deviation[k][c];
            assert_true(fabs(sums[2].mean[k][c] - to) < 1e-3 * (1 + spread));
            assert_true(fabs(sums[2].deviation[k][c] - spread) < 1e-3 * (1 + spread));
        }
    first_norm(&a.weights, x, mean[0], deviation[0]);
    first_norm(&b.weights, x, mean[1], deviation[1]);
    first_norm(&repaired, x, mean[2], deviation[2]);
    for (int c = 0; c < 16; c++) {
        assert_true(fabs(mean[2][c] - (.7 * mean[0][c] + .3 * mean[1][c])) < 1e-4);
        assert_true(fabs(deviation[2][c] - (.7 * deviation[0][c] + .3 * deviation[1][c])) < 1e-4);
        assert_true(fabs(mean[2][c] - sums[2].mean[0][c]) < 1e-4);
    }
    for (int64_t i = 0; i < a.weights.n; i++) {
        const size_t bytes = (size_t)whet_tensor_count(&items[i].tensor) * sizeof(float);
        const bool norm = strstr(items[i].name, "bn") || strstr(items[i].name, "shortcut.1");
        assert_true((memcmp(items[i].tensor.data, plain[i].tensor.data, bytes) != 0) == norm);
        whet_tensor_destroy(ctx, &items[i].tensor);
        whet_tensor_destroy(ctx, &plain[i].tensor);
    }
    drop_wide(ctx, &a);
    drop_wide(ctx, &b);
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
        cmocka_unit_test(norms_of_groups),
        cmocka_unit_test(units_that_never_vary),
        cmocka_unit_test(refusals),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
