/* SPDX-License-Identifier: Apache-2.0
 * Gradients of the operations on images, and of those of variational autoencoders, against central
 * differences in f64: see gradient_support.h. Convolutions run by the plain loops here; test_images
 * holds oneDNN against them. */
#include "gradient_support.h"

typedef struct conv_case {
    const char *name;
    whet_i_image image;
    whet_i_convolution_spec spec;
    int64_t examples;
} conv_case;

static const conv_case *tried_conv;

static whet_i_value images(whet_ctx *ctx, whet_i_graph *g, const char *name, int64_t rows,
                           const whet_i_image *i) {
    return source(ctx, g, name, WHET_I_EXAMPLES, rows, i->height * i->width * i->channels);
}

static whet_i_value record_convolution(whet_ctx *ctx, whet_i_graph *g) {
    const conv_case *c = tried_conv;
    whet_i_image image = c->image;
    whet_i_value y = images(ctx, g, "x", c->examples, &image);
    test_ok(ctx, whet_i_convolution(ctx, g, y, &image, &c->spec, &y));
    assert_int_equal(whet_i_columns(g, y), image.height * image.width * image.channels);
    return weigh(ctx, g, y);
}

static void convolutions(void **state) {
    (void)state;
    const conv_case cases[] = {
        {"3x3, padded", {4, 5, 2}, {"c", 3, 3, 1, 1, false, 1, 1}, 3},
        {"stride 2, bias", {5, 4, 3}, {"c", 2, 3, 2, 1, true, 1, 1}, 9},
        {"stride over the edge", {6, 7, 1}, {"c", 2, 3, 2, 0, true, 1, 1}, 2},
        {"1x1", {3, 3, 4}, {"c", 5, 1, 1, 0, true, 1, 1}, 17},
        {"1x1, stride 2", {4, 3, 2}, {"c", 3, 1, 2, 0, false, 1, 1}, 1},
        {"whole image", {3, 3, 2}, {"c", 20, 3, 1, 0, true, 1, 1}, 4},
        {"5x5 on less", {3, 2, 1}, {"c", 1, 5, 1, 2, false, 1, 1}, 2},
        {"groups", {4, 3, 6}, {"c", 4, 3, 2, 1, true, 1, 2}, 5},
        {"depthwise", {3, 4, 3}, {"c", 3, 3, 1, 1, false, 1, 3}, 9},
        {"dilated", {5, 6, 2}, {"c", 4, 3, 1, 2, true, 2, 2}, 3},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tried_conv = &cases[i];
        check_gradients(
            &(gradient_case){cases[i].name, record_convolution, .examples = cases[i].examples});
    }
}

/* x is read twice: the convolution's gradient is added. 25 examples: full chunks of three, and one
 * image that fills none. */
static whet_i_value record_two_readers(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_image image = {3, 3, 2};
    const whet_i_convolution_spec spec = {"c", 2, 3, 1, 1, true, 1, 1};
    const whet_i_value x = images(ctx, g, "x", 25, &image);
    whet_i_value y;
    test_ok(ctx, whet_i_convolution(ctx, g, x, &image, &spec, &y));
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_sum(ctx, g, x, y, &y));
    test_ok(ctx, whet_i_convolution(ctx, g, y, &image, &spec, &y)); /* the same weights again */
    return weigh(ctx, g, y);
}

static void shared_weights_and_inputs(void **state) {
    (void)state;
    check_gradients(&(gradient_case){"two readers", record_two_readers, .examples = 25});
}

/* ---- norms ------------------------------------------------------------------------------------ */

typedef struct norm_case {
    const char *name;
    whet_i_image image;
    int64_t groups; /* 0: BatchNorm */
    double slope;
    bool residual, train;
    int64_t examples;
} norm_case;

static const norm_case *tried_norm;

static whet_i_value record_norm(whet_ctx *ctx, whet_i_graph *g) {
    const norm_case *c = tried_norm;
    const whet_i_batchnorm_spec batch = {
        "n",      c->image.channels,
        1e-5,     0.1,
        c->slope, c->residual ? images(ctx, g, "r", c->examples, &c->image) : WHET_I_NONE};
    const whet_i_groupnorm_spec group = {"n", c->image.channels, c->groups, 1e-5, c->slope};
    const whet_i_value x = images(ctx, g, "x", c->examples, &c->image);
    whet_i_value y;
    if (c->groups)
        test_ok(ctx, whet_i_groupnorm(ctx, g, x, &group, &y));
    else
        test_ok(ctx, whet_i_batchnorm(ctx, g, x, &batch, &y));
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_sum(ctx, g, y, x, &y));
    return weigh(ctx, g, y);
}

static void image_norms(void **state) {
    (void)state;
    const norm_case cases[] = {
        {"batch norm", {2, 3, 3}, 0, 1, false, true, 4},
        {"batch norm, relu", {2, 2, 17}, 0, 0, false, true, 5},
        {"batch norm, relu, residual", {2, 2, 16}, 0, 0, true, true, 3},
        {"batch norm, leaky, residual", {1, 1, 5}, 0, 0.1, true, true, 40},
        {"batch norm, not training", {2, 2, 3}, 0, 0, true, false, 3},
        {"batch norm, blocks", {1, 1, 515}, 0, 0, false, true, 17},
        {"group norm, one group", {2, 3, 4}, 1, 1, false, false, 3},
        {"group norm, relu", {2, 2, 6}, 3, 0, false, false, 9},
        {"group norm, wide", {2, 1, 36}, 2, 0.1, false, false, 2},
        {"group norm, groups of one", {3, 2, 2}, 2, 0, false, false, 2},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tried_norm = &cases[i];
        check_gradients(&(gradient_case){cases[i].name, record_norm, .examples = cases[i].examples,
                                         .train = cases[i].train,
                                         .bound = 1e-6}); /* 1 / deviation of few numbers */
    }
}

/* ---- moving, pooling --------------------------------------------------------------------------- */

static whet_i_image_pool_spec tried_pool;

static whet_i_value record_pool(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_image image = {5, 6, 3};
    const whet_i_value x = images(ctx, g, "x", 10, &image);
    whet_i_value y, z;
    test_ok(ctx, whet_i_image_pool(ctx, g, x, &image, &tried_pool, &y));
    test_ok(ctx, whet_i_flatten(ctx, g, y, &image, &z));
    test_ok(ctx, whet_i_sum(ctx, g, z, y, &z));
    return weigh(ctx, g, z);
}

static whet_i_value record_shortcut(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_image image = {5, 4, 3};
    const whet_i_value x = images(ctx, g, "x", 9, &image);
    whet_i_value y, z, w;
    test_ok(ctx, whet_i_global_pool(ctx, g, x, &image, &z));
    test_ok(ctx, whet_i_image_shortcut(ctx, g, x, &image, 2, 8, &y));
    assert_true(image.height == 3 && image.width == 2 && image.channels == 8);
    test_ok(ctx, whet_i_global_pool(ctx, g, y, &image, &w));
    test_ok(ctx, whet_i_image_shortcut(ctx, g, y, &image, 1, 8, &y));
    z = weigh(ctx, g, z);
    y = weigh(ctx, g, y);
    w = weigh(ctx, g, w);
    test_ok(ctx, whet_i_sum(ctx, g, z, y, &y));
    test_ok(ctx, whet_i_sum(ctx, g, w, y, &y));
    return y;
}

static void image_pools(void **state) {
    (void)state;
    const whet_i_image_pool_spec specs[] = {
        {true, 2, 2, 0}, {true, 3, 2, 1}, {false, 2, 2, 0}, {false, 3, 1, 1}, {true, 5, 1, 0}};
    for (int64_t i = 0; i < WHET_COUNT_OF(specs); i++) {
        tried_pool = specs[i];
        check_gradients(&(gradient_case){"image pooling", record_pool, .examples = 10});
    }
    check_gradients(&(gradient_case){"shortcut", record_shortcut, .examples = 9});
}

/* ---- variational autoencoders ------------------------------------------------------------------ */

static bool tried_entropy;

static whet_i_value record_vae(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_vae_loss_spec spec = {tried_entropy, 3};
    const whet_i_linear_spec decoder = {.parts = 1,
                                        .modules = {"d"},
                                        .n = {4},
                                        .bias = true,
                                        .residual = WHET_I_NONE,
                                        .init = WHET_I_INIT_NORMAL,
                                        .init_scale = 1,
                                        .bias_init = WHET_I_INIT_NORMAL,
                                        .bias_scale = 1};
    whet_i_value targets, y;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 4, &targets));
    const whet_i_value m = source(ctx, g, "m", WHET_I_EXAMPLES, 3, 2);
    const whet_i_value v = source(ctx, g, "v", WHET_I_EXAMPLES, 3, 2);
    test_ok(ctx, whet_i_sample_normal(ctx, g, m, v, &y));
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &decoder, &y));
    test_ok(ctx, whet_i_vae_loss(ctx, g, y, targets, m, v, &spec, &y));
    return y;
}

static void autoencoders(void **state) {
    (void)state;
    static const double targets[] = {0, 1, 0.5, 0.25, 1, 1, 0, 0, 0.1, 0.9, 0.3, 1};
    for (int i = 0; i < 4; i++) {
        tried_entropy = i & 1;
        check_gradients(
            &(gradient_case){"vae", record_vae, .examples = 3, .reals = {targets}, .train = i & 2});
    }
}

/* ---- a residual network ------------------------------------------------------------------------ */

static whet_i_value record_residual_network(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_linear_spec head = {.parts = 1,
                                     .modules = {"head"},
                                     .n = {3},
                                     .bias = true,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 1,
                                     .bias_init = WHET_I_INIT_NORMAL,
                                     .bias_scale = 1};
    whet_i_image image = {4, 4, 2}, side = image;
    whet_i_value x, labels, y, z;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 32, &x));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &labels));
    const whet_i_convolution_spec first = {"c0", 2, 3, 1, 1, false, 1, 1},
                                  second = {"c1", 4, 3, 2, 1, false, 1, 1},
                                  third = {"c2", 4, 3, 1, 1, false, 1, 1};
    test_ok(ctx, whet_i_convolution(ctx, g, x, &image, &first, &y));
    test_ok(ctx,
            whet_i_batchnorm(ctx, g, y, &(whet_i_batchnorm_spec){"b0", 2, 1e-5, 0.1, 0, -1}, &y));
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_image_shortcut(ctx, g, y, &side, 2, 4, &z));
    test_ok(ctx, whet_i_convolution(ctx, g, y, &image, &second, &y));
    test_ok(ctx,
            whet_i_batchnorm(ctx, g, y, &(whet_i_batchnorm_spec){"b1", 4, 1e-5, 0.1, 0, -1}, &y));
    test_ok(ctx, whet_i_convolution(ctx, g, y, &image, &third, &y));
    test_ok(ctx,
            whet_i_batchnorm(ctx, g, y, &(whet_i_batchnorm_spec){"b2", 4, 1e-5, 0.1, 0, z}, &y));
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_global_pool(ctx, g, y, &image, &y));
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &head, &y));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, y, labels, 0, &y));
    return y;
}

static void a_residual_network(void **state) {
    (void)state;
    static const int32_t labels[] = {2, 0, 1, 1, 0};
    double x[5 * 32];
    for (int i = 0; i < 5 * 32; i++) x[i] = (double)(i * i % 17) / 8 - 1;
    check_gradients(&(gradient_case){"residual network", record_residual_network, .examples = 5,
                                     .integers = {NULL, labels}, .reals = {x}, .train = true,
                                     .bound = 1e-6});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions), cmocka_unit_test(shared_weights_and_inputs),
        cmocka_unit_test(image_norms),  cmocka_unit_test(image_pools),
        cmocka_unit_test(autoencoders), cmocka_unit_test(a_residual_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
