/* SPDX-License-Identifier: Apache-2.0
 * Features of images by networks: a ResNet's against torch (tests/golden/images) and on real images, an
 * autoencoder's by what training must have done, and what both refuse. */
#include "../nn/parity_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "label/image_features.h"
#include "nn/models_i.h"
#include "whet/label.h"

/* ---- a ResNet's ------------------------------------------------------------------------------- */

enum { WIDE = 64, MOST_TENSORS = 64 };

typedef struct weights {
    whet_ctx *ctx;
    whet_i_params *params;
    whet_i_graph *graph;
    int64_t n;
    whet_named_tensor items[MOST_TENSORS];
    char names[MOST_TENSORS][64];
} weights;

/* ResNet-8 with the values of the formula, its names behind `prefix`. */
static void make_weights(weights *w, const char *prefix) {
    const whet_i_model_settings settings = {.classes = 10, .blocks = 1};
    whet_i_model_values v;
    whet_i_value x;
    *w = (weights){.ctx = test_ctx(1)};
    test_ok(w->ctx, whet_i_params_create(w->ctx, WHET_F32, &w->params));
    test_ok(w->ctx, whet_i_graph_create(w->ctx, w->params, &w->graph));
    test_ok(w->ctx, whet_i_graph_feed(w->ctx, w->graph, false, WHET_I_EXAMPLES, 3072, &x));
    test_ok(w->ctx,
            whet_i_model_record(w->ctx, w->graph, whet_i_model_find("resnet20"), &settings, x, &v));
    for (int64_t i = 0; i < w->params->n; i++) w->params->items[i].trainable = true;
    test_ok(w->ctx, whet_i_params_settle(w->ctx, w->params, 1));
    fill_parameters(w->params);
    for (; w->n < w->params->n; w->n++) {
        const whet_i_param *p = &w->params->items[w->n];
        (void)snprintf(w->names[w->n], sizeof w->names[0], "%s%s", prefix, p->name);
        w->items[w->n].name = w->names[w->n];
        w->items[w->n].tensor = (whet_tensor){p->values, WHET_F32, p->rank, {0}};
        memcpy(w->items[w->n].tensor.shape, p->shape, sizeof p->shape);
    }
}

static whet_tensor *tensor_of(weights *w, const char *name) {
    for (int64_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i].name, name) == 0) return &w->items[i].tensor;
    fail();
    return NULL;
}

static void add_tensor(weights *w, const char *name, whet_tensor t) {
    w->items[w->n].tensor = t;
    w->items[w->n++].name = name;
}

static const char *write_weights(weights *w, const char *file) {
    const char *path = test_tmp(file);
    test_ok(w->ctx, whet_safetensors_write(w->ctx, path, true, w->items, w->n, NULL));
    return path;
}

static void free_weights(weights *w) {
    whet_i_graph_destroy(w->ctx, w->graph);
    whet_i_params_destroy(w->ctx, w->params);
    test_ctx_done(w->ctx);
}

static const char *usual_weights(void) {
    weights w;
    make_weights(&w, "");
    const char *path = write_weights(&w, "usual.safetensors");
    free_weights(&w);
    return path;
}

/* Images of the formula's numbers. */
static float *drawn_images(int64_t n, int64_t d) {
    float *x = malloc(sizeof *x * (size_t)(n * d));
    for (int64_t i = 0; i < n * d; i++) x[i] = (float)fabs(formula("x", i));
    return x;
}

/* Sizes of 32, smaller, larger, both, one pixel high; grey and not; at any thread count, and with the names
 * that DataParallel saves. The bound is that of parity_support.c. */
static void pooled_features_as_torch_has_them(void **state) {
    (void)state;
    static const struct {
        int64_t n, h, w, c;
    } cases[] = {{3, 32, 32, 3}, {3, 28, 28, 1}, {2, 45, 20, 3}, {1, 1, 2, 1}, {1, 200, 97, 1}};
    weights behind;
    make_weights(&behind, "module.");
    static int64_t counted[1] = {7};
    add_tensor(&behind, "module.bn1.num_batches_tracked", (whet_tensor){counted, WHET_I64, 1, {1}});
    char path[2][256];
    (void)snprintf(path[0], sizeof path[0], "%s", usual_weights());
    (void)snprintf(path[1], sizeof path[1], "%s", write_weights(&behind, "behind.safetensors"));
    for (int64_t i = 0; i < 2 * WHET_COUNT_OF(cases); i++) {
        const int64_t k = i / 2, n = cases[k].n, d = cases[k].h * cases[k].w * cases[k].c;
        whet_ctx *ctx = test_ctx(i % 2 ? 5 : 1);
        whet_i_resnet_map *map;
        char name[64];
        float *x = drawn_images(n, d), y[3 * WIDE], alone[WIDE];
        test_ok(ctx, whet_i_resnet_map_load(ctx, path[i % 2], &map));
        assert_int_equal(whet_i_resnet_map_dim(map), WIDE);
        test_ok(ctx,
                whet_i_resnet_map_apply(ctx, map, x, n, cases[k].h, cases[k].w, cases[k].c, y));
        (void)snprintf(name, sizeof name, "features/%dx%dx%d", (int)cases[k].h, (int)cases[k].w,
                       (int)cases[k].c);
        compare_golden(ctx, name, n * WIDE, y, 1e-4);
        test_ok(ctx, whet_i_resnet_map_apply(ctx, map, x + (n - 1) * d, 1, cases[k].h, cases[k].w,
                                             cases[k].c, alone));
        assert_memory_equal(alone, y + (n - 1) * WIDE, sizeof alone);
        whet_i_resnet_map_destroy(ctx, map);
        free(x);
        test_ctx_done(ctx);
    }
    free_weights(&behind);
}

/* More images than a block, in blocks that threads take as they come: all the same bits. */
static void rows_do_not_know_each_other(void **state) {
    (void)state;
    enum { N = 70, D = 25 };
    float *x = drawn_images(N, D), *first = malloc(sizeof *first * N * WIDE);
    const char *path = usual_weights();
    static const int32_t threads[] = {1, 2, 5};
    for (int64_t i = 0; i < WHET_COUNT_OF(threads); i++) {
        whet_ctx *ctx = test_ctx(threads[i]);
        whet_i_resnet_map *map;
        float y[N * WIDE], one[WIDE];
        test_ok(ctx, whet_i_resnet_map_load(ctx, path, &map));
        test_ok(ctx, whet_i_resnet_map_apply(ctx, map, x, N, 5, 5, 1, y));
        if (i == 0) memcpy(first, y, sizeof y);
        assert_memory_equal(y, first, sizeof y);
        test_ok(ctx, whet_i_resnet_map_apply(ctx, map, x + 33 * D, 1, 5, 5, 1, one));
        assert_memory_equal(one, y + 33 * WIDE, sizeof one);
        test_ok(ctx, whet_i_resnet_map_apply(ctx, map, x, 0, 5, 5, 1, one)); /* none: nothing */
        whet_i_resnet_map_destroy(ctx, map);
        test_ctx_done(ctx);
    }
    free(x);
    free(first);
}

static void load_says(weights *w, const char *file, whet_status status, const char *says) {
    whet_i_resnet_map *map = NULL;
    const char *path = write_weights(w, file);
    test_fails(w->ctx, whet_i_resnet_map_load(w->ctx, path, &map), status);
    test_says(w->ctx, file);
    test_says(w->ctx, says);
    assert_null(map);
}

static void weights_of_something_else(void **state) {
    (void)state;
    weights w;
    whet_i_resnet_map *map = NULL;
    float one = 1, x[4] = {0}, y[WIDE];
    const whet_tensor single = {&one, WHET_F32, 4, {1, 1, 1, 1}};
    make_weights(&w, "");
    test_fails(w.ctx, whet_i_resnet_map_load(w.ctx, test_tmp("none"), &map), WHET_ERR_IO);
    add_tensor(&w, "layer2.0.shortcut.0.weight", single); /* option B */
    load_says(&w, "b.safetensors", WHET_ERR_FORMAT, "\"layer2.0.shortcut.0.weight\"");
    w.items[w.n - 1].name = "layer2.1.conv1.weight"; /* a stage deeper than the first */
    load_says(&w, "deep.safetensors", WHET_ERR_FORMAT, "\"layer2.1.conv1.weight\"");
    w.items[w.n - 1].name = "layer1.1.conv1.weight"; /* two blocks a stage, but for the others */
    load_says(&w, "blocks.safetensors", WHET_ERR_SHAPE, "layer1.1.conv1.weight");
    w.n--;
    tensor_of(&w, "conv1.weight")->shape[2] = 1;
    load_says(&w, "small.safetensors", WHET_ERR_SHAPE, "[16, 3, 3, 3]");
    tensor_of(&w, "conv1.weight")->shape[2] = 3;
    w.n--; /* linear.bias */
    load_says(&w, "less.safetensors", WHET_ERR_FORMAT, "\"linear.bias\" is missing");
    w.n--;
    load_says(&w, "head.safetensors", WHET_ERR_FORMAT, "no matrix linear.weight");
    w.n += 2;
    w.items[w.n] = w.items[0];
    w.items[0].name = "renamed";
    load_says(&w, "first.safetensors", WHET_ERR_FORMAT, "conv1.weight");
    w.items[0] = w.items[w.n];
    w.n = 0;
    add_tensor(&w, "x", single);
    load_says(&w, "other.safetensors", WHET_ERR_FORMAT, "no layer1.0.conv1.weight");
    free_weights(&w);

    make_weights(&w, "");
    ((float *)tensor_of(&w, "layer3.0.bn2.running_var")->data)[3] = -1;
    test_ok(w.ctx, whet_i_resnet_map_load(w.ctx, write_weights(&w, "negative.safetensors"), &map));
    test_fails(w.ctx, whet_i_resnet_map_apply(w.ctx, map, x, 1, 2, 2, 1, y), WHET_ERR_DATA);
    test_says(w.ctx, "feature 3 of image 0");
    test_fails(w.ctx, whet_i_resnet_map_apply(w.ctx, map, x, 1, 2, 1, 2, y), WHET_ERR_SHAPE);
    test_says(w.ctx, "2 x 1 x 2");
    test_fails(w.ctx, whet_i_resnet_map_apply(w.ctx, map, x, 1, 0, 1, 1, y), WHET_ERR_SHAPE);
    whet_i_resnet_map_destroy(w.ctx, map);
    free_weights(&w);
}

/* The features through the file's own linear layer classify the first 300 test images as torch does: 274
 * right (test_models.c argues that this is exact; all thousand: 91.5 %). */
static void real_images_keep_their_classes(void **state) {
    (void)state;
    enum { N = 300, K = 10 };
    const char *path = "data/resnet_cifar10/resnet20_akamaster.safetensors";
    test_need_shared("data/cifar10/test_x.npy");
    test_need_shared(path);
    whet_ctx *ctx = test_ctx(2);
    whet_i_image_rows images;
    whet_i_resnet_map *map;
    whet_safetensors *file;
    whet_tensor truth, linear, bias;
    float *y = malloc(sizeof *y * N * WIDE), w[K * WIDE], b[K];
    int64_t right = 0;
    test_ok(ctx, whet_i_image_rows_read(ctx, test_shared("data/cifar10/test_x.npy"), &images));
    test_ok(ctx, whet_array_read_as(ctx, test_shared("data/cifar10/test_y.npy"), WHET_I32, 1, false,
                                    &truth));
    test_ok(ctx, whet_safetensors_open(ctx, test_shared(path), &file));
    assert_true(whet_safetensors_find(file, "linear.weight", &linear));
    assert_true(whet_safetensors_find(file, "linear.bias", &bias));
    memcpy(w, linear.data, sizeof w);
    memcpy(b, bias.data, sizeof b);
    test_ok(ctx, whet_i_resnet_map_load(ctx, test_shared(path), &map));
    assert_true(images.n == 1000 && images.height == 32 && images.channels == 3);
    test_ok(ctx, whet_i_resnet_map_apply(ctx, map, images.x.data, N, 32, 32, 3, y));
    for (int64_t i = 0; i < N; i++) {
        float score[K];
        int best = 0;
        for (int k = 0; k < K; k++) {
            score[k] = b[k];
            for (int j = 0; j < WIDE; j++) score[k] += w[k * WIDE + j] * y[i * WIDE + j];
            if (score[k] > score[best]) best = k;
        }
        right += best == ((const int32_t *)truth.data)[i];
    }
    assert_int_equal(right, 274);
    free(y);
    whet_i_resnet_map_destroy(ctx, map);
    whet_safetensors_close(ctx, file);
    whet_tensor_destroy(ctx, &truth);
    whet_i_image_rows_free(ctx, &images);
    test_ctx_done(ctx);
}

/* ---- an autoencoder's -------------------------------------------------------------------------- */

enum { LATENT = 128, SIDE = 8, D = SIDE * SIDE, N = 433 }; /* three batches of 144, and one row */

/* Soft blobs on a plane: where they are, places [N, 2], says all of an image. */
static void draw_blobs(float *x, double *places) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t i = 0; i < N; i++) {
        double *at = places + 2 * i;
        for (int k = 0; k < 2; k++) at[k] = 1 + 5 * whet_i_rng_uniform(&rng);
        for (int64_t j = 0; j < D; j++) {
            const double dr = (double)(j / SIDE) - at[0], dc = (double)(j % SIDE) - at[1];
            x[i * D + j] = (float)exp(-(dr * dr + dc * dc) / 3);
        }
    }
}

typedef struct heard {
    double loss;
    int64_t notes;
} heard;

static void listen(void *user, whet_log_level level, const char *sentence) {
    const char *at = strstr(sentence, "loss ");
    (void)level;
    if (at) ((heard *)user)->loss = strtod(at + 5, NULL);
}

static void take_note(void *user, const char *words) {
    ((heard *)user)->notes += strstr(words, "loss") != NULL;
}

static double variance_of(const float *y, int64_t n, int64_t dim, int64_t j) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += (double)y[i * dim + j];
        square += (double)y[i * dim + j] * (double)y[i * dim + j];
    }
    return square / (double)n - sum * sum / (double)n / (double)n;
}

/* How far apart in places an image and the one of the nearest features are, on average. */
static double distance_to_nearest(const float *y, const double *places) {
    double sum = 0;
    for (int64_t i = 0; i < N; i++) {
        int64_t nearest = -1;
        double least = INFINITY;
        for (int64_t j = 0; j < N; j++) {
            double square = 0;
            for (int64_t k = 0; k < LATENT; k++) {
                const double off = (double)(y[i * LATENT + k] - y[j * LATENT + k]);
                square += off * off;
            }
            if (j == i || square >= least) continue;
            least = square;
            nearest = j;
        }
        sum +=
            hypot(places[2 * i] - places[2 * nearest], places[2 * i + 1] - places[2 * nearest + 1]);
    }
    return sum / N;
}

/* The loss is under half of that of the best image for all, 1024 times the pixels' variance (a third is
 * what it takes). The divergence keeps the means at most as wide as the prior, whose variance is 1, and the
 * weight of the pixels keeps it from emptying them all. Images of like features have their blobs at like
 * places: by chance they are 2.6 apart, and 433 points on 5 x 5 have a neighbour at about
 * 1 / (2 sqrt(433 / 25)) = 0.12. */
static void training_does_what_the_loss_asks_for(void **state) {
    (void)state;
    static float x[N * D], y[N * LATENT];
    static double places[2 * N];
    heard h = {0, 0};
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    whet_i_vae_map *map;
    double constant = 0, widest = 0;
    opts.log = listen;
    opts.note = take_note;
    opts.user = &h;
    opts.threads = 2;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    draw_blobs(x, places);
    test_ok(ctx, whet_i_vae_map_fit(ctx, x, N, D, 1, &map));
    assert_int_equal(whet_i_vae_map_dim(map), LATENT);
    test_ok(ctx, whet_i_vae_map_apply(ctx, map, x, N, y));
    for (int64_t j = 0; j < D; j++) constant += 1024 * variance_of(x, N, D, j) / D;
    for (int64_t j = 0; j < LATENT; j++) widest = fmax(widest, variance_of(y, N, LATENT, j));
    assert_true(widest > .3 && widest < 1.2);
    assert_true(h.loss > 0 && h.loss < constant / 2);
    assert_int_equal(h.notes, 20);
    assert_true(distance_to_nearest(y, places) < .3);
    whet_i_vae_map_destroy(ctx, map);
    whet_ctx_destroy(ctx);
}

/* The same bits at any thread count and in any company; others for another seed. */
static void fits_are_repeatable(void **state) {
    (void)state;
    enum { ROWS = 150 };
    static float x[N * D], first[ROWS * LATENT], y[ROWS * LATENT];
    static double places[2 * N];
    static const int32_t threads[] = {1, 2, 5, 1};
    draw_blobs(x, places);
    for (uint64_t i = 0; i < 4; i++) {
        whet_ctx *ctx = test_ctx(threads[i]);
        whet_i_vae_map *map;
        test_ok(ctx, whet_i_vae_map_fit(ctx, x, ROWS, D, i == 3, &map));
        test_ok(ctx, whet_i_vae_map_apply(ctx, map, x, ROWS, i ? y : first));
        if (i == 1 || i == 2) assert_memory_equal(y, first, sizeof y);
        if (i == 3) assert_memory_not_equal(y, first, sizeof y);
        if (i == 1) {
            test_ok(ctx, whet_i_vae_map_apply(ctx, map, x + 40 * D, 1, y));
            assert_memory_equal(y, first + 40 * LATENT, sizeof(float) * LATENT);
            test_ok(ctx, whet_i_vae_map_apply(ctx, map, x, 0, y));
        }
        whet_i_vae_map_destroy(ctx, map);
        test_ctx_done(ctx);
    }
}

/* One pixel, two rows, all alike; too few rows; numbers that no image has. */
static void odd_images(void **state) {
    (void)state;
    const float same[4] = {0, 0, 0, 0}, bad[2] = {1e30F, -1e30F};
    float y[4 * LATENT];
    whet_ctx *ctx = test_ctx(2);
    whet_i_vae_map *map = NULL;
    test_ok(ctx, whet_i_vae_map_fit(ctx, same, 4, 1, 0, &map));
    test_ok(ctx, whet_i_vae_map_apply(ctx, map, same, 4, y));
    for (int i = 0; i < 4 * LATENT; i++) assert_true(isfinite(y[i]) && y[i] == y[i % LATENT]);
    whet_i_vae_map_destroy(ctx, map);
    map = NULL;
    test_fails(ctx, whet_i_vae_map_fit(ctx, same, 1, 4, 0, &map), WHET_ERR_DATA);
    test_says(ctx, "1 rows of 4 numbers; expected at least 2");
    test_fails(ctx, whet_i_vae_map_fit(ctx, bad, 2, 1, 0, &map), WHET_ERR_NUMERIC);
    test_says(ctx, "step 1 of the autoencoder");
    assert_null(map);
    whet_i_vae_map_destroy(ctx, NULL);
    whet_i_resnet_map_destroy(ctx, NULL);
    test_ctx_done(ctx);
}

static bool after_some(void *user) { return --*(int64_t *)user < 0; }

/* Wherever it is interrupted, that is told, and nothing stays behind (the sanitizers look). */
static void interruptions(void **state) {
    (void)state;
    static const float x[6] = {0, .5, 1, 1, .5, 0};
    int64_t rounds = 0;
    whet_status status = WHET_ERR_CANCELLED;
    for (int64_t polls = 0; status != WHET_OK; polls += 17, rounds++) {
        int64_t left = polls;
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *ctx;
        whet_i_vae_map *map = NULL;
        opts.cancel = after_some;
        opts.user = &left;
        opts.threads = 1;
        assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
        status = whet_i_vae_map_fit(ctx, x, 3, 2, 0, &map);
        assert_true(status == WHET_OK ? map != NULL : status == WHET_ERR_CANCELLED && !map);
        whet_i_vae_map_destroy(ctx, map);
        whet_ctx_destroy(ctx);
    }
    assert_true(rounds > 3);
}

/* ---- images from files -------------------------------------------------------------------------- */

static const char *write_images(whet_ctx *ctx, const char *file, whet_tensor t) {
    const char *path = test_tmp(file);
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    return path;
}

static void images_are_read_as_they_are_meant(void **state) {
    (void)state;
    uint8_t bytes[12] = {0, 51, 255, 128};
    float reals[12] = {0, .25F, 1};
    double wide[12] = {1, .5};
    int32_t whole[12] = {0};
    whet_ctx *ctx = test_ctx(1);
    whet_i_image_rows images;
    const char *path = write_images(ctx, "b.npy", (whet_tensor){bytes, WHET_U8, 3, {2, 3, 2}});
    test_ok(ctx, whet_i_image_rows_read(ctx, path, &images));
    const float *x = images.x.data;
    assert_true(x[1] == .2F && x[2] == 1 && x[3] == 128 / 255.F && images.x.dtype == WHET_F32);
    assert_true(images.n == 2 && images.d == 6 && images.height == 3 && images.width == 2);
    assert_int_equal(images.channels, 1);
    whet_i_image_rows_free(ctx, &images);
    path = write_images(ctx, "r.npy", (whet_tensor){reals, WHET_F32, 4, {1, 2, 2, 3}});
    test_ok(ctx, whet_i_image_rows_read(ctx, path, &images));
    x = images.x.data;
    assert_true(x[1] == .25F && images.channels == 3 && images.width == 2 && images.d == 12);
    whet_i_image_rows_free(ctx, &images);
    path = write_images(ctx, "w.npy", (whet_tensor){wide, WHET_F64, 2, {3, 4}});
    test_ok(ctx, whet_i_image_rows_read(ctx, path, &images));
    x = images.x.data;
    assert_true(x[1] == .5F && images.height == 0 && images.channels == 1 && images.d == 4);
    whet_i_image_rows_free(ctx, &images);
    const struct {
        whet_tensor t;
        float number;
        whet_status status;
        const char *says;
    } bad[] = {
        {{reals, WHET_F32, 2, {3, 4}}, 1.5F, WHET_ERR_DATA, "image 1, number 3 is 1.5"},
        {{reals, WHET_F32, 2, {3, 4}}, -.001F, WHET_ERR_DATA, "[0, 1], or unsigned bytes"},
        {{reals, WHET_F32, 2, {3, 4}}, NAN, WHET_ERR_DATA, "is nan"},
        {{whole, WHET_I32, 2, {3, 4}}, 0, WHET_ERR_DATA, "images of i32; expected u8"},
        {{reals, WHET_F32, 1, {12}}, 0, WHET_ERR_SHAPE, "an array of 1 dimensions"},
        {{reals, WHET_F32, 5, {1, 1, 2, 2, 3}}, 0, WHET_ERR_SHAPE, "an array of 5 dimensions"},
        {{reals, WHET_F32, 3, {0, 4, 3}}, 0, WHET_ERR_DATA, "no numbers"},
        {{reals, WHET_F32, 2, {4, 0}}, 0, WHET_ERR_DATA, "no numbers"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        images = (whet_i_image_rows){.n = -7};
        reals[7] = bad[i].number;
        path = write_images(ctx, "bad.npy", bad[i].t);
        test_fails(ctx, whet_i_image_rows_read(ctx, path, &images), bad[i].status);
        test_says(ctx, "bad.npy: ");
        test_says(ctx, bad[i].says);
        assert_true(images.n == -7 && !images.x.data);
    }
    test_ctx_done(ctx);
}

/* ---- the job --------------------------------------------------------------------------------------- */

typedef struct files {
    char input[256], test[256], output[256], test_output[256], weights[256];
    whet_feature_job job;
} files;

static void make_files(whet_ctx *ctx, files *f, whet_features method) {
    static uint8_t bytes[5 * 12];
    for (int i = 0; i < 60; i++) bytes[i] = (uint8_t)(i * 37);
    *f = (files){.job = WHET_FEATURE_JOB_INIT};
    const struct {
        char *to;
        const char *path;
    } paths[] = {
        {f->input, write_images(ctx, "in.npy", (whet_tensor){bytes, WHET_U8, 3, {5, 4, 3}})},
        {f->test, write_images(ctx, "test.npy", (whet_tensor){bytes, WHET_U8, 3, {2, 4, 3}})},
        {f->output, test_tmp("out.npy")},
        {f->test_output, test_tmp("test_out.npy")},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(paths); i++)
        (void)snprintf(paths[i].to, sizeof f->input, "%s", paths[i].path);
    f->job.method = method;
    f->job.input = f->input;
    f->job.test = f->test;
    f->job.output = f->output;
    f->job.test_output = f->test_output;
    f->job.force = true;
    if (method != WHET_FEATURES_RESNET) return;
    (void)snprintf(f->weights, sizeof f->weights, "%s", usual_weights());
    f->job.weights = f->weights;
}

/* Test rows that are the pool's first come out as those; nothing is fitted to them. */
static void from_files_to_files(void **state) {
    (void)state;
    static const whet_features methods[] = {WHET_FEATURES_VAE, WHET_FEATURES_RESNET};
    for (int64_t i = 0; i < 2; i++) {
        whet_ctx *ctx = test_ctx(2);
        whet_feature_result result;
        whet_tensor y, z, alone;
        files f;
        const int64_t dim = i ? WIDE : LATENT;
        make_files(ctx, &f, methods[i]);
        test_ok(ctx, whet_feature_files(ctx, &f.job, &result));
        assert_true(result.rows == 5 && result.test_rows == 2 && result.dim == dim);
        assert_true(result.explained < 0);
        test_ok(ctx, whet_array_read_as(ctx, f.output, WHET_F32, 2, true, &y));
        test_ok(ctx, whet_array_read_as(ctx, f.test_output, WHET_F32, 2, true, &z));
        assert_true(y.shape[0] == 5 && y.shape[1] == dim && z.shape[0] == 2);
        assert_memory_equal(z.data, y.data, (size_t)(2 * dim) * sizeof(float));
        f.job.test = f.job.test_output = NULL;
        test_ok(ctx, whet_feature_files(ctx, &f.job, &result));
        test_ok(ctx, whet_array_read_as(ctx, f.output, WHET_F32, 2, true, &alone));
        assert_memory_equal(alone.data, y.data, (size_t)(5 * dim) * sizeof(float));
        whet_tensor_destroy(ctx, &y);
        whet_tensor_destroy(ctx, &z);
        whet_tensor_destroy(ctx, &alone);
        test_ctx_done(ctx);
    }
}

static void jobs_that_cannot_be_done(void **state) {
    (void)state;
    float rows[60] = {0};
    whet_ctx *ctx = test_ctx(1);
    whet_feature_result result = {.rows = -7};
    files f;
    make_files(ctx, &f, WHET_FEATURES_RESNET);
    const char *flat = write_images(ctx, "flat.npy", (whet_tensor){rows, WHET_F32, 2, {5, 12}});
    f.job.test = flat;
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "flat.npy: rows [n, d]; expected images");
    f.job.test = write_images(ctx, "two.npy", (whet_tensor){rows, WHET_F32, 4, {5, 3, 2, 2}});
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "two.npy: other channels");
    f.job.test = write_images(ctx, "turned.npy", (whet_tensor){rows, WHET_F32, 3, {5, 3, 4}});
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "turned.npy has images of 3 x 4; expected 4 x 3, as");
    f.job.weights = NULL;
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_ARG);
    /* A caller that was compiled before there were weights. */
    f.job.struct_size = offsetof(whet_feature_job, weights);
    f.job.weights = f.weights;
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_ARG);
    test_says(ctx, "no weights");
    f.job.struct_size = sizeof f.job;
    f.job.method = WHET_FEATURES_VAE;
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_ARG);
    test_says(ctx, "weights; expected");
    f.job.weights = NULL;
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_SHAPE);
    f.job.test = write_images(ctx, "few.npy", (whet_tensor){rows, WHET_F32, 2, {5, 11}});
    test_fails(ctx, whet_feature_files(ctx, &f.job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "few.npy has 11 numbers an image; expected 12, as");
    f.job.test = f.job.test_output = NULL;
    f.job.input = flat; /* rows will do for an autoencoder */
    test_ok(ctx, whet_feature_files(ctx, &f.job, &result));
    assert_true(result.rows == 5 && result.dim == LATENT);
    test_ctx_done(ctx);
}

static whet_status run_job(whet_ctx *ctx, void *arg) {
    whet_feature_result result;
    return whet_feature_files(ctx, arg, &result);
}

static void allocations_may_fail(void **state) {
    (void)state;
    files f;
    whet_ctx *ctx = test_ctx(1);
    make_files(ctx, &f, WHET_FEATURES_VAE);
    assert_true(test_each_allocation(run_job, &f.job) > 100);
    make_files(ctx, &f, WHET_FEATURES_RESNET);
    assert_true(test_each_allocation(run_job, &f.job) > 50);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pooled_features_as_torch_has_them),
        cmocka_unit_test(rows_do_not_know_each_other),
        cmocka_unit_test(weights_of_something_else),
        cmocka_unit_test(real_images_keep_their_classes),
        cmocka_unit_test(training_does_what_the_loss_asks_for),
        cmocka_unit_test(fits_are_repeatable),
        cmocka_unit_test(odd_images),
        cmocka_unit_test(interruptions),
        cmocka_unit_test(images_are_read_as_they_are_meant),
        cmocka_unit_test(from_files_to_files),
        cmocka_unit_test(jobs_that_cannot_be_done),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
