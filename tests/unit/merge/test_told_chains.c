/* SPDX-License-Identifier: Apache-2.0
 * A chain of convolutions is run as it is told: outputs and losses are torch's (tests/golden/residual, which
 * has the formula of its weights), planted permutations are found again, and what is not told is not run. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/image_network.h"

enum { TENSORS = 18, ROWS = 6, SIDE = 15, CLASSES = 5, POINTS = 5, CELLS = ROWS * SIDE * SIDE * 3 };

static const struct {
    const char *name;
    int32_t rank;
    int64_t shape[4];
} shapes[TENSORS] = {{"features.0.weight", 4, {6, 3, 3, 3}},
                     {"features.0.bias", 1, {6}},
                     {"features.1.weight", 1, {6}},
                     {"features.1.bias", 1, {6}},
                     {"features.1.running_mean", 1, {6}},
                     {"features.1.running_var", 1, {6}},
                     {"features.4.weight", 4, {6, 1, 3, 3}},
                     {"features.4.bias", 1, {6}},
                     {"features.5.weight", 1, {6}},
                     {"features.5.bias", 1, {6}},
                     {"features.5.running_mean", 1, {6}},
                     {"features.5.running_var", 1, {6}},
                     {"features.7.weight", 4, {8, 6, 2, 2}},
                     {"features.7.bias", 1, {8}},
                     {"classifier.0.weight", 2, {7, 8 * 9}},
                     {"classifier.0.bias", 1, {7}},
                     {"classifier.2.weight", 2, {CLASSES, 7}},
                     {"classifier.2.bias", 1, {CLASSES}}};

static const whet_i_told all[] = {{"features.0", 1, WHET_I_SAME_SIZE, 1, 0, {true, 2, 2, 0}},
                                  {"features.4", 2, 0, 1, 6, {0}},
                                  {"features.7", 1, 1, 2, 0, {false, 3, 1, 1}}};

typedef struct network {
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} network;

static double key_of(const char *name) {
    int64_t key = 0;
    for (const char *c = name; *c; c++) key += *c;
    return (double)(key % 97);
}

static bool is_of(const char *name, const char *part) {
    return strcmp(strrchr(name, '.'), part) == 0;
}

static void make(network *n, int seed) {
    for (int t = 0; t < TENSORS; t++) {
        const char *name = shapes[t].name;
        whet_tensor *to = &n->items[t].tensor;
        n->items[t] = (whet_named_tensor){name, {NULL, WHET_F32, shapes[t].rank, {0}}};
        memcpy(to->shape, shapes[t].shape, sizeof shapes[t].shape);
        const int64_t count = whet_tensor_count(to);
        float *values = to->data = malloc((size_t)count * sizeof *values);
        for (int64_t i = 0; i < count; i++) {
            double v = sin(.37 * ((double)i * (double)i) + key_of(name) + 11.0 * seed);
            if (is_of(name, ".running_mean"))
                v = .2 * v;
            else if (is_of(name, ".running_var"))
                v = 1 + .5 * v;
            else if (is_of(name, ".bias"))
                v = .3 * v;
            else
                v = to->rank == 1 ? 1 + .3 * v
                                  : v * (1.5 / sqrt((double)count / (double)to->shape[0]));
            values[i] = (float)v;
        }
    }
    n->weights = (whet_weights){n->items, TENSORS};
}

static void drop(network *n) {
    for (int t = 0; t < TENSORS; t++) free(n->items[t].tensor.data);
}

/* The first `told` of what is to be told. */
static whet_permutation_spec *spec_of(whet_ctx *ctx, const network *n, int told) {
    const char *path = test_tmp("net.safetensors");
    whet_safetensors *file;
    whet_permutation_spec *spec;
    test_ok(ctx, whet_safetensors_write(ctx, path, true, n->items, TENSORS, NULL));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    test_ok(ctx, whet_permutation_spec_for(ctx, "cnn", file, NULL, &spec));
    for (int i = 0; i < told; i++) test_ok(ctx, whet_i_spec_tell(ctx, spec, &all[i]));
    whet_safetensors_close(ctx, file);
    return spec;
}

static float *images(void) {
    float *x = malloc(CELLS * sizeof *x);
    for (int64_t i = 0; i < CELLS; i++)
        x[i] = (float)sin(.37 * ((double)i * (double)i) + key_of("x"));
    return x;
}

static void run(whet_ctx *ctx, const whet_permutation_spec *spec, const whet_weights *w,
                float *logits) {
    const whet_i_image image = {SIDE, SIDE, 3};
    whet_i_image_network net;
    float *x = images();
    test_ok(ctx, whet_i_image_network_make(ctx, "cnn", spec, w, &image, &net));
    assert_int_equal(net.classes, CLASSES);
    test_ok(ctx, whet_i_image_network_run(ctx, &net, "test", x, ROWS, logits));
    whet_i_image_network_free(ctx, &net);
    free(x);
}

static void near(whet_ctx *ctx, const char *name, int64_t n, const double *got) {
    whet_safetensors *file;
    whet_tensor t, wide;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/residual/expected.safetensors"), &file));
    assert_true(whet_safetensors_find(file, name, &t));
    test_ok(ctx, whet_tensor_convert(ctx, &t, WHET_F64, &wide));
    assert_int_equal(whet_tensor_count(&wide), n);
    for (int64_t i = 0; i < n; i++) {
        const double expected = ((const double *)wide.data)[i];
        if (!(fabs(got[i] - expected) <= 1e-5 * fmax(1, fabs(expected))))
            print_error("%s: %g; expected %g\n", name, got[i], expected);
        assert_true(fabs(got[i] - expected) <= 1e-5 * fmax(1, fabs(expected)));
    }
    whet_tensor_destroy(ctx, &wide);
    whet_safetensors_close(ctx, file);
}

/* Sums of f32 of some hundred terms: 1e-5. */
static void outputs_and_losses_are_torchs(void **state) {
    (void)state;
    network a, b;
    whet_ctx *ctx = test_ctx(1);
    float logits[ROWS * CLASSES], *x = images();
    double wide[ROWS * CLASSES], losses[POINTS], barrier;
    int32_t y[ROWS];
    whet_mode_point points[POINTS];
    make(&a, 0);
    make(&b, 1);
    whet_permutation_spec *spec = spec_of(ctx, &a, 3);
    run(ctx, spec, &a.weights, logits);
    for (int i = 0; i < ROWS * CLASSES; i++) wide[i] = (double)logits[i];
    near(ctx, "chain/logits", ROWS * CLASSES, wide);
    for (int i = 0; i < ROWS; i++) y[i] = 2 * i % CLASSES;
    const whet_mode_data data = {
        .x = x, .labels = y, .n = ROWS, .height = SIDE, .width = SIDE, .channels = 3, .spec = spec};
    test_ok(ctx,
            whet_mode_path(ctx, "cnn", &a.weights, &b.weights, &data, POINTS, points, &barrier));
    for (int i = 0; i < POINTS; i++) losses[i] = points[i].loss;
    near(ctx, "chain/losses", POINTS, losses);
    whet_permutation_spec_destroy(ctx, spec);
    drop(&a);
    drop(&b);
    free(x);
    test_ctx_done(ctx);
}

/* Depthwise channels are those that they read: both norms and the convolution move with them. */
static void planted_permutations_are_found_again(void **state) {
    (void)state;
    network a;
    whet_ctx *ctx = test_ctx(1);
    whet_named_tensor moved[TENSORS], back[TENSORS];
    const whet_weights b = {moved, TENSORS};
    const whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    float before[ROWS * CLASSES], after[ROWS * CLASSES], *x = images();
    const whet_mode_data data = {.x = x, .n = ROWS, .height = SIDE, .width = SIDE, .channels = 3};
    whet_alignment *drawn, *found[2];
    make(&a, 0);
    whet_permutation_spec *spec = spec_of(ctx, &a, 3);
    assert_int_equal(whet_permutation_spec_groups(spec), 3);
    test_ok(ctx, whet_permutation_spec_verify(ctx, spec, &a.weights));
    test_ok(ctx, whet_alignment_random(ctx, spec, &a.weights, 3, &drawn));
    test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &a.weights, moved));
    run(ctx, spec, &a.weights, before);
    run(ctx, spec, &b, after);
    for (int i = 0; i < ROWS * CLASSES; i++)
        assert_true(fabs((double)before[i] - (double)after[i]) <= 1e-5);
    assert_true(memcmp(a.items[6].tensor.data, moved[6].tensor.data, 6 * 9 * sizeof(float)) != 0);
    test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b, &opts, &found[0]));
    test_ok(ctx, whet_align_activations(ctx, spec, &a.weights, &b, &data, &found[1]));
    for (int k = 0; k < 2; k++) {
        test_ok(ctx, whet_alignment_apply(ctx, spec, found[k], &b, back));
        for (int t = 0; t < TENSORS; t++) {
            assert_memory_equal(a.items[t].tensor.data, back[t].tensor.data,
                                (size_t)whet_tensor_count(&back[t].tensor) * sizeof(float));
            whet_tensor_destroy(ctx, &back[t].tensor);
        }
        whet_alignment_destroy(ctx, found[k]);
    }
    for (int t = 0; t < TENSORS; t++) whet_tensor_destroy(ctx, &moved[t].tensor);
    whet_alignment_destroy(ctx, drawn);
    whet_permutation_spec_destroy(ctx, spec);
    drop(&a);
    free(x);
    test_ctx_done(ctx);
}

static void what_is_not_told_is_not_run(void **state) {
    (void)state;
    static const whet_i_told uneven = {"features.7", 1, WHET_I_SAME_SIZE, 1, 0, {0}};
    network a;
    whet_ctx *ctx = test_ctx(1);
    const whet_i_image image = {SIDE, SIDE, 3}, other = {SIDE + 4, SIDE, 3};
    whet_i_image_network net;
    make(&a, 0);
    for (int told = 0; told < 3; told++) {
        whet_permutation_spec *spec = spec_of(ctx, &a, told);
        test_fails(ctx, whet_i_image_network_make(ctx, "cnn", spec, &a.weights, &image, &net),
                   WHET_ERR_UNSUPPORTED);
        test_says(ctx, all[told].module);
        test_says(ctx, "nothing tells the strides and pools");
        whet_i_image_network_free(ctx, &net);
        if (told == 2) {
            test_ok(ctx, whet_i_spec_tell(ctx, spec, &uneven));
            test_fails(ctx, whet_i_image_network_make(ctx, "cnn", spec, &a.weights, &image, &net),
                       WHET_ERR_DATA);
            test_says(ctx, "no padding is told of convolution features.7");
            whet_i_image_network_free(ctx, &net);
        }
        whet_permutation_spec_destroy(ctx, spec);
    }
    whet_permutation_spec *spec = spec_of(ctx, &a, 3);
    test_fails(ctx, whet_i_image_network_make(ctx, "cnn", spec, &a.weights, &other, &net),
               WHET_ERR_SHAPE);
    test_says(ctx, "classifier.0.weight is not there, or of another shape");
    whet_i_image_network_free(ctx, &net);
    whet_permutation_spec_destroy(ctx, spec);
    drop(&a);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_and_losses_are_torchs),
        cmocka_unit_test(planted_permutations_are_found_again),
        cmocka_unit_test(what_is_not_told_is_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
