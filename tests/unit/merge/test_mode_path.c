/* SPDX-License-Identifier: Apache-2.0
 * Losses on the line between two networks, batch norms measured again, and matching of activations: against
 * what is computed by hand, and properties that must hold of any network. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/image_network.h"
#include "merge/merge_i.h"

/* Perceptrons 2-2-2: small enough for sums by hand. */
typedef struct tiny {
    float w0[4], b0[2], w1[4], b1[2];
    whet_named_tensor items[4];
    whet_weights weights;
} tiny;

static void make_tiny(tiny *t, const float w0[4], const float w1[4]) {
    static const char *const names[] = {"layer0.weight", "layer0.bias", "layer1.weight",
                                        "layer1.bias"};
    float *const data[] = {t->w0, t->b0, t->w1, t->b1};
    memset(t, 0, sizeof *t);
    memcpy(t->w0, w0, sizeof t->w0);
    memcpy(t->w1, w1, sizeof t->w1);
    for (int i = 0; i < 4; i++)
        t->items[i] = (whet_named_tensor){names[i], {data[i], WHET_F32, i % 2 ? 1 : 2, {2, 2}}};
    t->weights = (whet_weights){t->items, 4};
}

/* A passes its input on, B is A with its units exchanged: between them both units carry half of each input,
 * which the last layer adds up to the same logits: all of them (x1 + x2) / 2. The loss is ln 2 there,
 * whatever the input; at the ends ln(1 + exp(-3)) for inputs (3, 0) and (0, 3) of classes 0 and 1. */
static void by_hand(void **state) {
    (void)state;
    static const float one[] = {1, 0, 0, 1}, other[] = {0, 1, 1, 0};
    float x[] = {3, 0, 0, 3};
    int32_t y[] = {0, 1};
    whet_ctx *ctx = test_ctx(1);
    tiny a, b;
    whet_mode_point points[3];
    double barrier;
    make_tiny(&a, one, one);
    make_tiny(&b, other, other);
    const whet_mode_data data = {
        .x = x, .labels = y, .n = 2, .height = 1, .width = 1, .channels = 2};
    test_ok(ctx, whet_mode_path(ctx, "mlp", &a.weights, &b.weights, &data, 3, points, &barrier));
    const double end = log(1 + exp(-3));
    assert_true(points[0].weight == 0 && points[1].weight == .5 && points[2].weight == 1);
    assert_true(fabs(points[0].loss - end) < 1e-6 && points[0].accuracy == 1);
    assert_true(fabs(points[1].loss - log(2)) < 1e-6 && points[1].accuracy == .5);
    assert_true(fabs(points[2].loss - end) < 1e-6 && points[2].accuracy == 1);
    assert_true(fabs(barrier - (log(2) - end)) < 1e-6);
    test_ctx_done(ctx);
}

/* Unit 0 of A does what unit 1 of B does, as far as these inputs can tell. */
static void activations_find_the_exchange(void **state) {
    (void)state;
    static const char text[] =
        "{\"format\": \"whet-permutations\", \"version\": 1, \"arch\": \"mlp\", \"groups\": "
        "{\"p\": {}}, "
        "\"tensors\": {\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], "
        "\"layer1.weight\": [null, \"p\"], \"layer1.bias\": [null]}}";
    static const float one[] = {1, .1F, 0, 1}, other[] = {0, 1, 1, 0}, dead[] = {-1, -1, 0, 1};
    float x[] = {3, 0, 1, 2, 0, 3, 2, 2};
    whet_ctx *ctx = test_ctx(1);
    tiny a, b, c;
    int64_t n;
    whet_permutation_spec *spec;
    whet_alignment *found;
    make_tiny(&a, one, one);
    make_tiny(&b, other, other);
    make_tiny(&c, dead, one);
    const whet_mode_data data = {.x = x, .n = 4, .height = 1, .width = 1, .channels = 2};
    test_ok(ctx, whet_i_spec_parse(ctx, "spec", text, sizeof text - 1, &spec));
    test_ok(ctx, whet_align_activations(ctx, spec, &a.weights, &b.weights, &data, &found));
    const int64_t *order = whet_alignment_order(found, 0, 0, &n);
    assert_true(n == 2 && order[0] == 1 && order[1] == 0);
    const whet_align_visit *v = whet_alignment_visits(found, &n);
    assert_int_equal(n, 1);
    /* x1 and x2 have means 1.5 and 1.75, products -4.5, squares 5 and 4.75 about them; .1 x2 is added to the
     * first of A's units. */
    const double own = 5 - .9 + .0475, with = (5 - .45) / sqrt(own * 5);
    const double across = (-4.5 + .475) / sqrt(own * 4.75), cross = -4.5 / sqrt(5 * 4.75);
    assert_true(fabs(v[0].after - (with + 1)) < 1e-6);
    assert_true(fabs(v[0].before - (across + cross)) < 1e-6);
    whet_alignment_destroy(ctx, found);
    /* a unit that is 0 on all inputs correlates with nothing, and breaks nothing */
    test_ok(ctx, whet_align_activations(ctx, spec, &a.weights, &c.weights, &data, &found));
    order = whet_alignment_order(found, 0, 0, &n);
    assert_true(order[0] == 0 && order[1] == 1);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* ---- batch norms ------------------------------------------------------------------------------------ */

enum { TENSORS_MOST = 80, IMAGES = 6, SIDE = 8 };

typedef struct residual {
    whet_i_params *params;
    whet_i_graph *graph;
    whet_named_tensor items[TENSORS_MOST];
    whet_weights weights;
} residual;

static const whet_i_image IMAGE = {SIDE, SIDE, 3};

static void make_residual(whet_ctx *ctx, residual *r, uint64_t seed) {
    const whet_i_model_settings settings = {.image = IMAGE, .classes = 3, .blocks = 1};
    whet_i_model_values values;
    whet_i_value x;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &r->params));
    test_ok(ctx, whet_i_graph_create(ctx, r->params, &r->graph));
    test_ok(ctx, whet_i_graph_feed(ctx, r->graph, false, WHET_I_EXAMPLES, SIDE * SIDE * 3, &x));
    test_ok(ctx, whet_i_model_record(ctx, r->graph, whet_i_model_find("resnet20"), &settings, x,
                                     &values));
    test_ok(ctx, whet_i_params_settle(ctx, r->params, seed));
    assert_true(r->params->n <= TENSORS_MOST);
    for (int64_t i = 0; i < r->params->n; i++) {
        const whet_i_param *p = &r->params->items[i];
        r->items[i] = (whet_named_tensor){p->name, {p->values, WHET_F32, p->rank, {0}}};
        for (int32_t k = 0; k < p->rank; k++) r->items[i].tensor.shape[k] = p->shape[k];
    }
    r->weights = (whet_weights){r->items, r->params->n};
}

static void drop_residual(whet_ctx *ctx, residual *r) {
    whet_i_graph_destroy(ctx, r->graph);
    whet_i_params_destroy(ctx, r->params);
}

static void draw_images(float *x, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int i = 0; i < IMAGES * SIDE * SIDE * 3; i++) x[i] = (float)whet_i_rng_normal(&rng);
}

/* The first norm's statistics are those of the first convolution's output, which a loop computes. */
static void norms_have_the_statistics_of_the_inputs(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static residual r;
    static float x[IMAGES * SIDE * SIDE * 3];
    whet_i_image_network net;
    make_residual(ctx, &r, 1);
    draw_images(x, 2);
    test_ok(ctx, whet_i_image_network_make(ctx, "resnet", NULL, &r.weights, &IMAGE, &net));
    assert_int_equal(net.norms, 7);
    test_ok(ctx, whet_i_image_network_measure(ctx, &net, x, IMAGES));
    const float *w = r.params->items[whet_i_params_find(r.params, "conv1.weight")].values;
    const whet_i_param *mean =
        &net.params->items[whet_i_params_find(net.params, "bn1.running_mean")];
    const whet_i_param *variance =
        &net.params->items[whet_i_params_find(net.params, "bn1.running_var")];
    for (int c = 0; c < 16; c += 5) {
        const double n = IMAGES * SIDE * SIDE;
        double sum = 0, squares = 0;
        for (int i = 0; i < IMAGES * SIDE * SIDE; i++) {
            double y = 0;
            for (int k = 0; k < 27; k++) {
                const int row = i / SIDE % SIDE + k % 9 / 3 - 1, column = i % SIDE + k % 3 - 1;
                if (row < 0 || row >= SIDE || column < 0 || column >= SIDE) continue;
                y += (double)w[c * 27 + k] *
                     (double)x[((i / (SIDE * SIDE) * SIDE + row) * SIDE + column) * 3 + k / 9];
            }
            sum += y;
            squares += y * y;
        }
        assert_true(fabs((double)mean->values[c] - sum / n) < 1e-5);
        assert_true(fabs((double)variance->values[c] - (squares - sum * sum / n) / (n - 1)) < 1e-4);
    }
    whet_i_image_network_free(ctx, &net);
    drop_residual(ctx, &r);
    test_ctx_done(ctx);
}

/* Ends are measured as what is between them; thread counts change no bit; a line to oneself is level. */
static void lines_with_norms(void **state) {
    (void)state;
    static residual a, b;
    static float x[IMAGES * SIDE * SIDE * 3], more[IMAGES * SIDE * SIDE * 3];
    int32_t y[IMAGES] = {0, 1, 2, 0, 1, 2};
    whet_mode_point first[3], again[3], plain[3];
    double barrier;
    draw_images(x, 3);
    draw_images(more, 4);
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx((const int32_t[]){1, 2, 5}[t]);
        make_residual(ctx, &a, 1);
        make_residual(ctx, &b, 2);
        whet_mode_data data = {x, y, IMAGES, SIDE, SIDE, 3, more, IMAGES, false, NULL};
        test_ok(ctx, whet_mode_path(ctx, "resnet", &a.weights, &b.weights, &data, 3,
                                    t ? again : first, &barrier));
        if (t) assert_memory_equal(first, again, sizeof first);
        data.statistics = NULL;
        test_ok(ctx,
                whet_mode_path(ctx, "resnet", &a.weights, &b.weights, &data, 3, plain, &barrier));
        for (int i = 0; i < 3; i++) assert_true(plain[i].loss != first[i].loss);
        data.statistics = more;
        test_ok(ctx,
                whet_mode_path(ctx, "resnet", &a.weights, &a.weights, &data, 3, plain, &barrier));
        for (int i = 0; i < 3; i++) assert_true(plain[i].loss == first[0].loss);
        assert_true(barrier == 0);
        whet_named_tensor own[TENSORS_MOST];
        test_ok(ctx, whet_mode_mixture(ctx, "resnet", &a.weights, &b.weights, &data, 1, own));
        for (int64_t i = 0; i < b.weights.n; i++) { /* it is handed over as it is */
            assert_memory_equal(own[i].tensor.data, b.items[i].tensor.data,
                                (size_t)b.params->items[i].count * sizeof(float));
            whet_tensor_destroy(ctx, &own[i].tensor);
        }
        drop_residual(ctx, &a);
        drop_residual(ctx, &b);
        test_ctx_done(ctx);
    }
}

static void refusals(void **state) {
    (void)state;
    static const float one[] = {1, 0, 0, 1};
    float x[] = {3, 0, 0, 3};
    int32_t y[] = {0, 2};
    whet_ctx *ctx = test_ctx(1);
    tiny a;
    whet_mode_point points[3] = {{.weight = -7}};
    double barrier = -7;
    make_tiny(&a, one, one);
    whet_mode_data data = {.x = x, .labels = y, .n = 2, .height = 1, .width = 1, .channels = 2};
    test_fails(ctx, whet_mode_path(ctx, "mlp", &a.weights, &a.weights, &data, 3, points, &barrier),
               WHET_ERR_DATA);
    test_says(ctx, "label of example 1 is 2");
    y[1] = 1;
    data.statistics = x;
    data.n_statistics = 2;
    test_fails(ctx, whet_mode_path(ctx, "mlp", &a.weights, &a.weights, &data, 3, points, &barrier),
               WHET_ERR_ARG);
    test_says(ctx, "no batch norms");
    data.statistics = NULL;
    test_fails(ctx,
               whet_mode_path(ctx, "llama", &a.weights, &a.weights, &data, 3, points, &barrier),
               WHET_ERR_UNSUPPORTED);
    test_fails(ctx,
               whet_mode_path(ctx, "resnet", &a.weights, &a.weights, &data, 3, points, &barrier),
               WHET_ERR_FORMAT);
    data.channels = 3;
    test_fails(ctx, whet_mode_path(ctx, "mlp", &a.weights, &a.weights, &data, 3, points, &barrier),
               WHET_ERR_SHAPE);
    assert_true(points[0].weight == -7 && barrier == -7);
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const tiny *a = arg;
    float x[] = {3, 0, 0, 3};
    int32_t y[] = {0, 1};
    whet_mode_point points[2];
    double barrier;
    const whet_mode_data data = {
        .x = x, .labels = y, .n = 2, .height = 1, .width = 1, .channels = 2};
    return whet_mode_path(ctx, "mlp", &a->weights, &a->weights, &data, 2, points, &barrier);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    static const float one[] = {1, 0, 0, 1};
    tiny a;
    make_tiny(&a, one, one);
    assert_true(test_each_allocation(body, &a) > 20);
}

static char pixels[256];

/* Two images of 1 x 2 and `channels`, all bytes 51: .2. */
static void write_pixels(whet_ctx *ctx, int64_t channels) {
    const int64_t shape[4] = {2, 1, 2, channels};
    whet_tensor t;
    test_ok(ctx, whet_tensor_create(ctx, WHET_U8, 4, shape, &t));
    memset(t.data, 51, (size_t)(4 * channels));
    (void)snprintf(pixels, sizeof pixels, "%s", test_tmp("pixels.npy"));
    test_ok(ctx, whet_npy_write(ctx, pixels, true, &t));
    whet_tensor_destroy(ctx, &t);
}

static whet_status read_pixels(whet_ctx *ctx, const char *arch, const double mean[3],
                               const double scale[3], float first[3]) {
    whet_align_job job = WHET_ALIGN_JOB_INIT;
    whet_i_mode_inputs in = {0};
    job.data = pixels;
    memcpy(job.mean, mean, sizeof job.mean);
    memcpy(job.scale, scale, sizeof job.scale);
    const whet_status status = whet_i_mode_inputs_read(ctx, &job, arch, &in);
    for (int64_t c = 0; status == WHET_OK && c < in.data.channels && c < 3; c++)
        first[c] = ((float *)in.x.data)[c];
    whet_i_mode_inputs_free(ctx, &in);
    return status;
}

/* What is not given is the architecture's; a specification found by names ("auto") says which. One number is
 * for all channels, else there is one for each. */
static void inputs_are_scaled_as_the_architecture_expects(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double none[3] = {NAN, NAN, NAN}, all[3] = {.1, .1, .1}, three[3] = {.1, .2, .3};
    const double two[3] = {.1, .2, NAN}, one[3] = {.1, NAN, NAN}, gap[3] = {NAN, .5, NAN};
    float x[3];
    write_pixels(ctx, 3);
    test_ok(ctx, read_pixels(ctx, "resnet:4", none, none, x));
    assert_true(x[0] == (float)((.2 - .485) / .229) && x[2] == (float)((.2 - .406) / .225));
    test_ok(ctx, read_pixels(ctx, "wrn", none, all, x));
    for (int c = 0; c < 3; c++) assert_true(x[c] == (float)(.2 / .1));
    test_ok(ctx, read_pixels(ctx, "resnet", three, none, x));
    assert_true(x[1] == (float)((.2 - .2) / .224) && x[2] == (float)((.2 - .3) / .225));
    test_fails(ctx, read_pixels(ctx, "wrn", two, none, x), WHET_ERR_ARG);
    test_says(ctx,
              "pixels.npy: 2 means for examples of 3 channels; expected one, or one a channel");
    test_fails(ctx, read_pixels(ctx, "wrn", none, one, x), WHET_ERR_ARG);
    test_fails(ctx, read_pixels(ctx, "wrn", gap, none, x), WHET_ERR_ARG);
    write_pixels(ctx, 1);
    test_ok(ctx, read_pixels(ctx, "resnet", one, all, x));
    assert_true(x[0] == (float)((.2 - .1) / .1));
    test_ok(ctx, read_pixels(ctx, "resnet", none, none, x));
    test_fails(ctx, read_pixels(ctx, "resnet", two, none, x), WHET_ERR_ARG);
    test_fails(ctx, read_pixels(ctx, "wrn", gap, none, x), WHET_ERR_ARG);
    test_fails(ctx, read_pixels(ctx, "wrn", none, three, x), WHET_ERR_ARG);
    test_says(ctx, "3 deviations for examples of 1 channel;");
    test_ctx_done(ctx);
}

/* Networks of others, with what their own page says of them on these images. */
static void published_networks_have_their_accuracies(void **state) {
    (void)state;
    test_need_shared("data/resnet_cifar10/resnet20_akamaster.safetensors");
    test_need_shared("data/cifar10/test_x.npy");
    whet_ctx *ctx = test_ctx(2);
    whet_align_job job = WHET_ALIGN_JOB_INIT;
    whet_align_result result;
    job.a = test_shared("data/resnet_cifar10/resnet20_akamaster.safetensors");
    job.b = test_shared("data/resnet_cifar10/resnet20_zheng.safetensors");
    job.data = test_shared("data/cifar10/test_x.npy");
    job.labels = test_shared("data/cifar10/test_y.npy");
    job.points = 2;
    for (int c = 0; c < 3; c++) job.mean[c] = job.scale[c] = NAN;
    test_ok(ctx, whet_align_files(ctx, &job, &result));
    assert_string_equal(whet_permutation_spec_arch(result.spec), "resnet");
    assert_true(fabs(result.lines[WHET_LINE_BEFORE][0].accuracy - .915) < 1e-9);
    assert_true(fabs(result.lines[WHET_LINE_BEFORE][1].accuracy - .910) < 1e-9);
    whet_align_result_free(ctx, &result);
    job.repair = true;
    test_fails(ctx, whet_align_files(ctx, &job, &result), WHET_ERR_ARG);
    test_says(ctx, "resnet: has batch norms, which are measured again instead; expected a network "
                   "without them; try --measure alone");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_are_scaled_as_the_architecture_expects),
        cmocka_unit_test(published_networks_have_their_accuracies),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(activations_find_the_exchange),
        cmocka_unit_test(norms_have_the_statistics_of_the_inputs),
        cmocka_unit_test(lines_with_norms),
        cmocka_unit_test(refusals),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
