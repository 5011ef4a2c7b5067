/* SPDX-License-Identifier: Apache-2.0
 * Operations on images in f32: convolutions by oneDNN against the plain loops, all of them against
 * torch (parity_support.h), what they refuse, and what happens without memory. */
#include "parity_support.h"

#include <math.h>
#include <stdlib.h>

#include "nn/convolution_i.h"

/* ---- against torch ------------------------------------------------------------------------------ */

typedef struct image_case {
    parity_case parity;
    whet_i_image image;
    whet_i_convolution_spec conv;
    whet_i_batchnorm_spec batch;
    whet_i_groupnorm_spec group;
    whet_i_image_pool_spec pool;
    bool residual;
} image_case;

static const image_case *tried;

static whet_i_value images(whet_ctx *ctx, whet_i_graph *g, const char *name) {
    const whet_i_image *i = &tried->image;
    return source(ctx, g, name, WHET_I_EXAMPLES, tried->parity.rows,
                  i->height * i->width * i->channels);
}

static whet_i_value record(whet_ctx *ctx, whet_i_graph *g, whet_i_value *out) {
    const image_case *c = tried;
    whet_i_image image = c->image;
    whet_i_batchnorm_spec batch = c->batch;
    const whet_i_value x = images(ctx, g, "x");
    batch.residual = c->residual ? images(ctx, g, "r") : WHET_I_NONE;
    if (c->conv.module) {
        test_ok(ctx, whet_i_convolution(ctx, g, x, &image, &c->conv, out));
    } else if (batch.module) {
        test_ok(ctx, whet_i_batchnorm(ctx, g, x, &batch, out));
    } else if (c->group.module) {
        test_ok(ctx, whet_i_groupnorm(ctx, g, x, &c->group, out));
    } else if (c->pool.size) {
        test_ok(ctx, whet_i_image_pool(ctx, g, x, &image, &c->pool, out));
        test_ok(ctx, whet_i_flatten(ctx, g, *out, &image, out));
    } else {
        test_ok(ctx, whet_i_image_shortcut(ctx, g, x, &image, 2, 32, out));
    }
    return weigh(ctx, g, *out);
}

#define CASE(name, n, ...) .parity = {name, record, n, __VA_ARGS__}

static void as_torch_has_it(void **state) {
    (void)state;
    const image_case cases[] = {
        {CASE("conv_3to16", 9, .train = false), {8, 8, 3}, .conv = {"c", 16, 3, 1, 1, false, 1, 1}},
        {CASE("conv_16to16", 43, .train = false),
         {8, 6, 16},
         .conv = {"c", 16, 3, 1, 1, false, 1, 1}},
        {CASE("conv_stride", 5, .train = false),
         {9, 8, 16},
         .conv = {"c", 32, 3, 2, 1, false, 1, 1}},
        {CASE("conv_1x1", 3, .train = false), {7, 7, 20}, .conv = {"c", 33, 1, 2, 0, true, 1, 1}},
        {CASE("conv_lenet", 17, .train = false),
         {12, 12, 1},
         .conv = {"c", 6, 5, 1, 0, true, 1, 1}},
        {CASE("conv_6to16", 4, .train = false), {9, 9, 6}, .conv = {"c", 16, 5, 1, 0, true, 1, 1}},
        {CASE("conv_one_place", 2, .train = false),
         {3, 3, 4},
         .conv = {"c", 5, 3, 1, 0, true, 1, 1}},
        {CASE("conv_groups", 5, .train = false),
         {9, 8, 12},
         .conv = {"c", 24, 3, 2, 1, true, 1, 4}},
        {CASE("conv_depthwise", 5, .train = false),
         {7, 8, 16},
         .conv = {"c", 16, 3, 1, 1, false, 1, 16}},
        {CASE("conv_dilated", 5, .train = false),
         {9, 10, 6},
         .conv = {"c", 7, 3, 1, 2, false, 2, 1}},
        {CASE("conv_dilated_groups", 3, .train = false),
         {9, 10, 32},
         .conv = {"c", 16, 3, 2, 0, false, 3, 2}},
        {CASE("bn_train", 6, .train = true), {5, 4, 16}, .batch = {"n", 16, 1e-5, 0.1, 1, -1}},
        {CASE("bn_relu_residual", 70, .train = true),
         {4, 4, 32},
         .batch = {"n", 32, 1e-5, 0.1, 0, -1},
         .residual = true},
        {CASE("bn_leaky", 40, .train = true), {1, 1, 21}, .batch = {"n", 21, 1e-5, 0.1, 0.1, -1}},
        {CASE("bn_eval", 6, .train = false),
         {3, 3, 19},
         .batch = {"n", 19, 1e-5, 0.1, 0, -1},
         .residual = true},
        {CASE("gn_1", 5, .train = false), {4, 4, 24}, .group = {"n", 24, 1, 1e-5, 0}},
        {CASE("gn_4", 9, .train = false), {3, 2, 64}, .group = {"n", 64, 4, 1e-5, 0.1}},
        {CASE("max_2", 3, .train = false), {7, 6, 5}, .pool = {true, 2, 2, 0}},
        {CASE("max_3", 3, .train = false), {7, 6, 5}, .pool = {true, 3, 2, 1}},
        {CASE("mean_3", 3, .train = false), {7, 6, 5}, .pool = {false, 3, 1, 1}},
        {CASE("shortcut", 3, .train = false), {5, 4, 16}},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tried = &cases[i];
        check_parity(&cases[i].parity);
    }
}

/* ---- oneDNN against the plain loops -------------------------------------------------------------- */

static whet_i_real *drawn(int64_t n, uint64_t stream) {
    whet_i_rng rng;
    whet_i_real *x = malloc(sizeof *x * (size_t)n);
    whet_i_rng_init(&rng, 9, stream);
    for (int64_t i = 0; i < n; i++) x[i] = (whet_i_real)whet_i_rng_normal(&rng);
    return x;
}

/* Sums of at most `terms` products of normal numbers: their size is about sqrt(terms), their error at
 * most terms x 2^-24 times that, in practice like sqrt(terms). */
static void near(int64_t n, const whet_i_real *a, const whet_i_real *b, int64_t terms) {
    const double bound = 8 * (double)terms * 0x1p-24 + 1e-6;
    for (int64_t i = 0; i < n; i++) {
        if (fabs((double)a[i] - (double)b[i]) > bound)
            print_error("%lld: %.9g and %.9g\n", (long long)i, (double)a[i], (double)b[i]);
        assert_true(fabs((double)a[i] - (double)b[i]) <= bound);
    }
}

static void compare_passes(const whet_i_conv *conv) {
    const whet_i_conv_shape *s = &conv->shape;
    const int64_t in = whet_i_image_count(s->in), out = whet_i_image_count(s->out),
                  area = s->size * s->size, weights = s->out.channels * whet_i_conv_reads(s) * area,
                  b = conv->chunk;
    whet_i_real *x = drawn(in * b, 1), *g = drawn(out * b, 2), *w = drawn(weights, 3),
                *bias = s->bias ? drawn(s->out.channels, 4) : NULL;
    const int64_t wide = whet_i_image_count(s->in) + whet_i_image_count(s->out);
    whet_i_real *fast = malloc(sizeof *fast * (size_t)(wide * b)),
                *plain = malloc(sizeof *plain * (size_t)(wide * b));
    void *scratch = NULL;
    whet_i_real *packed[WHET_I_CONV_PASSES];
    int64_t most = 64;
    for (int pass = 0; pass < WHET_I_CONV_PASSES; pass++) {
        packed[pass] = malloc(sizeof **packed * (size_t)conv->layouts[pass].count);
        if (conv->scratch[pass] > most) most = conv->scratch[pass];
        if (pass < WHET_I_CONV_WEIGHTS)
            whet_i_conv_pack(conv, (whet_i_conv_pass)pass, w, packed[pass]);
    }
    assert_int_equal(posix_memalign(&scratch, 64, (size_t)most), 0);
    whet_i_conv_forward(conv, b, x, packed[0], bias, fast, scratch);
    for (int64_t i = 0; i < b; i++)
        whet_i_conv_plain_forward(conv, x + i * in, packed[0], bias, plain + i * out);
    near(out * b, fast, plain, s->in.channels * area);
    whet_i_conv_data(conv, b, g, packed[1], fast, scratch);
    for (int64_t i = 0; i < b; i++)
        whet_i_conv_plain_data(conv, g + i * out, packed[1], plain + i * in);
    near(in * b, fast, plain, s->out.channels * area);
    whet_i_real *dw = calloc((size_t)weights, sizeof *dw),
                *other = calloc((size_t)weights, sizeof *other);
    whet_i_conv_weights(conv, b, x, g, packed[2], scratch);
    whet_i_conv_unpack(conv, 0, s->out.channels, packed[2], false, dw);
    whet_i_conv_plain_weights(conv, b, x, g, packed[2]);
    whet_i_conv_unpack(conv, 0, s->out.channels, packed[2], false, other);
    near(weights, dw, other, b * s->out.height * s->out.width);
    for (int pass = 0; pass < WHET_I_CONV_PASSES; pass++) free(packed[pass]);
    whet_i_real *all[] = {x, g, w, bias, fast, plain, dw, other};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++) free(all[i]);
    free(scratch);
}

static void the_library_computes_what_the_plain_loops_do(void **state) {
    (void)state;
    static const whet_i_conv_shape shapes[] = {{{8, 8, 3}, {8, 8, 16}, 3, 1, 1, false, 1, 1},
                                               {{32, 32, 16}, {32, 32, 16}, 3, 1, 1, false, 1, 1},
                                               {{16, 16, 16}, {8, 8, 32}, 3, 2, 1, false, 1, 1},
                                               {{8, 8, 64}, {8, 8, 64}, 3, 1, 1, true, 1, 1},
                                               {{9, 7, 5}, {9, 7, 7}, 3, 1, 1, true, 1, 1},
                                               {{28, 28, 1}, {24, 24, 6}, 5, 1, 0, true, 1, 1},
                                               {{12, 12, 6}, {8, 8, 16}, 5, 1, 0, true, 1, 1},
                                               {{8, 8, 96}, {4, 4, 192}, 1, 2, 0, false, 1, 1},
                                               {{6, 6, 4}, {2, 2, 3}, 3, 2, 0, true, 1, 1},
                                               {{3, 3, 96}, {3, 3, 100}, 3, 1, 1, false, 1, 1},
                                               {{1, 1, 1}, {1, 1, 1}, 1, 1, 0, false, 1, 1},
                                               {{8, 8, 64}, {4, 4, 64}, 3, 2, 1, true, 1, 32},
                                               {{8, 8, 24}, {8, 8, 24}, 3, 1, 1, false, 1, 24},
                                               {{8, 8, 15}, {8, 8, 10}, 3, 1, 1, false, 1, 5},
                                               {{9, 9, 16}, {9, 9, 32}, 3, 1, 2, true, 2, 1},
                                               {{9, 9, 16}, {7, 7, 32}, 3, 1, 1, false, 2, 2},
                                               {{9, 9, 32}, {9, 9, 32}, 3, 1, 1, false, 1, 2}};
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < 2 * WHET_COUNT_OF(shapes); i++) {
        whet_i_conv *conv;
        test_ok(ctx, whet_i_conv_create(ctx, &shapes[i / 2], i % 2 ? 3 : 1, 7, &conv));
        assert_non_null(conv->library); /* or this compares the plain loops with themselves */
        compare_passes(conv);
        whet_i_conv_destroy(ctx, conv);
    }
    test_ctx_done(ctx);
}

static whet_status make_convolution(whet_ctx *ctx, void *arg) {
    const whet_i_conv_shape shape = {{8, 8, 16}, {8, 8, 16}, 3, 1, 1, false, 1, 1};
    whet_i_conv *conv = NULL;
    (void)arg;
    WHET_TRY(whet_i_conv_create(ctx, &shape, 2, 7, &conv));
    whet_i_conv_destroy(ctx, conv);
    return WHET_OK;
}

static void without_memory(void **state) {
    (void)state;
    assert_true(test_each_allocation(make_convolution, NULL) > 10);
}

/* ---- numbers by hand, odd inputs ------------------------------------------------------------------ */

typedef struct machine {
    whet_ctx *ctx;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_value x;
} machine;

static void open_machine(machine *m, int64_t columns) {
    *m = (machine){.ctx = test_ctx(2)};
    test_ok(m->ctx, whet_i_params_create(m->ctx, WHET_F32, &m->params));
    test_ok(m->ctx, whet_i_graph_create(m->ctx, m->params, &m->graph));
    test_ok(m->ctx, whet_i_graph_feed(m->ctx, m->graph, false, WHET_I_EXAMPLES, columns, &m->x));
}

static void is_close(whet_i_real a, double b, double bound) {
    assert_true(fabs((double)a - b) <= bound);
}

static const whet_i_real *forward(machine *m, whet_i_value keep, int64_t rows, const whet_i_real *x,
                                  bool train) {
    const whet_i_batch batch = {.rows = {1, rows, 0}, .feeds = {x}, .train = train};
    if (!m->plan) {
        const whet_i_plan_opts opts = {.always_team = true,
                                       .sizes = {.rows = {1, 8, 0}, .workers = 2},
                                       .loss = WHET_I_NONE,
                                       .keep = &keep,
                                       .n_keep = 1};
        test_ok(m->ctx, whet_i_params_settle(m->ctx, m->params, 1));
        test_ok(m->ctx, whet_i_plan_create(m->ctx, m->graph, &opts, &m->plan));
        test_ok(m->ctx, whet_i_executor_create(m->ctx, m->plan, &m->executor));
    }
    whet_i_executor_run(m->executor, &batch);
    return whet_i_executor_value(m->executor, keep);
}

static void close_machine(machine *m) {
    whet_i_executor_destroy(m->ctx, m->executor);
    whet_i_plan_destroy(m->ctx, m->plan);
    whet_i_graph_destroy(m->ctx, m->graph);
    whet_i_params_destroy(m->ctx, m->params);
    test_ctx_done(m->ctx);
}

/* Rows 1, 3: mean 2, variance 1 (2 unbiased); then 10, 10, 10, 14 on top. */
static void running_statistics_by_hand(void **state) {
    (void)state;
    machine m;
    whet_i_value y;
    open_machine(&m, 1);
    const whet_i_batchnorm_spec spec = {"n", 1, 0, 0.1, 1, WHET_I_NONE};
    test_ok(m.ctx, whet_i_batchnorm(m.ctx, m.graph, m.x, &spec, &y));
    const whet_i_real *out = forward(&m, y, 2, (const whet_i_real[]){1, 3}, true);
    is_close(out[0], -1, 1e-6);
    is_close(out[1], 1, 1e-6);
    const whet_i_real *mean = m.params->items[2].values, *variance = m.params->items[3].values;
    is_close(mean[0], 0.2, 1e-6);
    is_close(variance[0], 1.1, 1e-6);
    (void)forward(&m, y, 4, (const whet_i_real[]){10, 10, 10, 14}, true);
    is_close(mean[0], 1.28, 1e-6);
    is_close(variance[0], 1.39, 1e-6);
    /* A single row has no variance to tell; not training, nothing moves and rows are apart. */
    (void)forward(&m, y, 1, (const whet_i_real[]){1.28f}, true);
    is_close(mean[0], 1.28, 1e-6);
    is_close(variance[0], 1.39, 1e-6);
    out = forward(&m, y, 2, (const whet_i_real[]){1.28f, 1.28f + 1.1789826f}, false);
    is_close(out[0], 0, 1e-6);
    is_close(out[1], 1, 1e-6);
    is_close(mean[0], 1.28, 1e-6);
    (void)forward(&m, y, 0, NULL, true); /* no rows: nothing happens */
    is_close(mean[0], 1.28, 1e-6);
    close_machine(&m);
}

/* A mean of 10^4 deviations leaves f32 only 3 digits of x; the sums must not lose more. */
static void statistics_far_from_zero(void **state) {
    (void)state;
    machine m;
    whet_i_value y;
    whet_i_real x[8];
    open_machine(&m, 1);
    const whet_i_batchnorm_spec spec = {"n", 1, 0, 1, 1, WHET_I_NONE};
    test_ok(m.ctx, whet_i_batchnorm(m.ctx, m.graph, m.x, &spec, &y));
    for (int i = 0; i < 8; i++) x[i] = 16384 + (whet_i_real)(i % 2); /* exact */
    const whet_i_real *out = forward(&m, y, 8, x, true);
    for (int i = 0; i < 8; i++) is_close(out[i], i % 2 ? 1 : -1, 1e-5);
    is_close(m.params->items[3].values[0], 2.0 / 7, 1e-6);
    close_machine(&m);
}

static void not_a_number_is_not_hidden(void **state) {
    (void)state;
    machine m;
    whet_i_value y, z;
    whet_i_image image = {2, 2, 1};
    open_machine(&m, 4);
    const whet_i_batchnorm_spec spec = {"n", 1, 1e-5, 0.1, 0, WHET_I_NONE};
    const whet_i_image_pool_spec pool = {true, 2, 2, 0};
    test_ok(m.ctx, whet_i_batchnorm(m.ctx, m.graph, m.x, &spec, &y));
    test_ok(m.ctx, whet_i_image_pool(m.ctx, m.graph, y, &image, &pool, &z));
    const whet_i_real *out =
        forward(&m, z, 2, (const whet_i_real[]){1, NAN, 2, 3, 4, 7, 5, 6}, false);
    assert_true(isnan(out[0]));
    is_close(out[1], 7 / sqrt(1 + 1e-5), 1e-5);
    close_machine(&m);
}

static void shapes_that_do_not_fit(void **state) {
    (void)state;
    machine m;
    whet_i_value y = 77;
    whet_i_image image = {2, 5, 3};
    open_machine(&m, 30);
    const whet_i_convolution_spec conv = {"c", 4, 5, 1, 1, false, 1, 1},
                                  wide = {"c", 4, 3, 1, 1, false, 2, 1},
                                  odd = {"c", 4, 1, 1, 0, false, 1, 2},
                                  none = {"c", 3, 1, 1, 0, false, 1, 0};
    const whet_i_image_pool_spec pool = {true, 3, 1, 0}, padded = {true, 2, 1, 2};
    const whet_i_groupnorm_spec group = {"g", 3, 2, 1e-5, 1};
    test_fails(m.ctx, whet_i_convolution(m.ctx, m.graph, m.x, &image, &conv, &y), WHET_ERR_SHAPE);
    test_says(m.ctx, "2 x 5, padded by 1; expected at least 5 rows");
    test_fails(m.ctx, whet_i_convolution(m.ctx, m.graph, m.x, &image, &wide, &y), WHET_ERR_SHAPE);
    test_fails(m.ctx, whet_i_convolution(m.ctx, m.graph, m.x, &image, &none, &y), WHET_ERR_SHAPE);
    test_fails(m.ctx, whet_i_convolution(m.ctx, m.graph, m.x, &image, &odd, &y), WHET_ERR_SHAPE);
    test_says(m.ctx, "4 filters of 3 channels in 2 groups");
    test_fails(m.ctx, whet_i_image_pool(m.ctx, m.graph, m.x, &image, &pool, &y), WHET_ERR_SHAPE);
    test_fails(m.ctx, whet_i_image_pool(m.ctx, m.graph, m.x, &image, &padded, &y), WHET_ERR_SHAPE);
    test_fails(m.ctx, whet_i_groupnorm(m.ctx, m.graph, m.x, &group, &y), WHET_ERR_SHAPE);
    test_fails(m.ctx, whet_i_image_shortcut(m.ctx, m.graph, m.x, &image, 1, 2, &y), WHET_ERR_SHAPE);
    assert_true(y == 77 && image.height == 2 && image.width == 5 && image.channels == 3);
    close_machine(&m);
}

/* The noise of a VAE is standard normal: mean, variance and the fourth moment of 40,000 numbers. */
static void noise_is_normal(void **state) {
    (void)state;
    enum { N = 5000, ROWS = 8 };
    machine m;
    whet_i_value y;
    open_machine(&m, N);
    const whet_i_value mean = source(m.ctx, m.graph, "mean", WHET_I_EXAMPLES, ROWS, N);
    const whet_i_value log_variance = source(m.ctx, m.graph, "v", WHET_I_EXAMPLES, ROWS, N);
    test_ok(m.ctx, whet_i_sample_normal(m.ctx, m.graph, mean, log_variance, &y));
    test_ok(m.ctx, whet_i_params_settle(m.ctx, m.params, 1));
    for (int p = 0; p < 2; p++)
        for (int64_t i = 0; i < m.params->items[p].count; i++)
            m.params->items[p].values[i] = p ? (whet_i_real)log(4) : 3;
    const whet_i_real *z = forward(&m, y, ROWS, NULL, true);
    double sums[5] = {0};
    for (int64_t i = 0; i < N * ROWS; i++) {
        const double e = ((double)z[i] - 3) / 2;
        for (int k = 0; k < 5; k++) sums[k] += pow(e, k) / (N * ROWS);
    }
    /* deviations of these means: 1, sqrt 2, sqrt 15, sqrt 96 over 200; five of them */
    assert_true(fabs(sums[1]) < 0.025);
    assert_true(fabs(sums[2] - 1) < 0.036);
    assert_true(fabs(sums[3]) < 0.1);
    assert_true(fabs(sums[4] - 3) < 0.25);
    close_machine(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_torch_has_it),
        cmocka_unit_test(the_library_computes_what_the_plain_loops_do),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(running_statistics_by_hand),
        cmocka_unit_test(statistics_far_from_zero),
        cmocka_unit_test(not_a_number_is_not_hidden),
        cmocka_unit_test(shapes_that_do_not_fit),
        cmocka_unit_test(noise_is_normal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
