/* SPDX-License-Identifier: Apache-2.0
 * Residual networks of every kind that is run: outputs and losses are torch's (tests/golden/residual,
 * which has the same table of kinds and formula of weights), permutations keep the function and are found
 * again. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/align_files.h"
#include "merge/image_network.h"
#include "merge/merge_i.h"

enum {
    TENSORS_MOST = 200,
    TOLD_MOST = 8,
    STAGES = 3,
    BLOCKS = 2,
    ROWS = 6,
    CLASSES = 5,
    POINTS = 5
};

/* What few kinds have. */
typedef struct extras {
    bool transformers;             /* its names */
    const whet_i_told *told;       /* [TOLD_MOST] of convolutions, or NULL */
    const whet_i_strides *strides; /* of a config.json, or NULL */
    int64_t
        cardinality; /* groups of a bottleneck's second convolution; 0 = 1, -1 = of one channel */
} extras;
#define USUAL \
    { 0, NULL, NULL, 0 }

typedef struct kind {
    const char *name, *arch;
    int64_t stem, widths[STAGES]; /* 0 = no such stage */
    bool bottleneck;
    const char *shortcut; /* NULL = zeros */
    int64_t shortcut_size;
    bool shortcut_norm, before;
    int64_t groups; /* 0 = batch norms, -4 = of 4 channels each */
    bool bias, last_norm;
    const char *head;
    int64_t side;
    extras more;
} kind;

/* Strides at the first convolutions of bottlenecks; strides replaced by dilations, behind a strided first
 * convolution; transformers' "downsample_in_bottleneck" and "downsample_in_first_stage". */
static const whet_i_told strides_first[TOLD_MOST] = {
    {"layer2.0.conv1", 2, 0, 1, 0, {0}},
    {"layer2.0.conv2", 1, WHET_I_SAME_SIZE, 1, 1, {0}},
    {"layer3.0.conv1", 2, WHET_I_SAME_SIZE, 1, 0, {0}},
    {"layer3.0.conv2", 1, 1, 1, 0, {0}}};
static const whet_i_told dilated[TOLD_MOST] = {{"conv1", 2, 0, 1, 0, {false, 3, 1, 1}},
                                               {"layer1.0.conv2", 2, 1, 1, 0, {0}},
                                               {"module.layer1.0.shortcut.0", 2, 0, 1, 0, {0}},
                                               {"layer2.0.conv1", 1, WHET_I_SAME_SIZE, 2, 0, {0}},
                                               {"layer2.1.conv2", 1, 3, 3, 0, {0}},
                                               {"layer3.0.conv1", 1, 2, 2, 0, {0}},
                                               {"layer3.0.conv2", 2, 2, 2, 1, {0}}};
static const whet_i_strides everywhere = {"a folder", true, true, true, ""};

/* A kind a row. */
/* clang-format off */
static const kind kinds[] = {
    {"torchvision", "resnet", 7, {6, 8, 12}, 0, "downsample", 1, 1, 0, 0, 0, 0, "fc", 48, USUAL},
    {"kuangliu", "resnet", 3, {6, 8, 12}, 0, "shortcut", 1, 1, 0, 0, 0, 0, "linear", 16, USUAL},
    {"rebasin", "resnet:1", 3, {8, 12, 16}, 0, "shortcut", 3, 1, 0, 1, 0, 0, "linear", 16, USUAL},
    {"grouped", "resnet:4", 3, {8, 12, 16}, 0, "shortcut", 1, 1, 0, 4, 0, 0, "linear", 16, USUAL},
    {"normless", "resnet", 3, {6, 8, 0}, 0, "shortcut", 1, 0, 0, 0, 1, 0, "linear", 16, USUAL},
    {"preact", "resnet", 3, {6, 8, 12}, 0, "shortcut", 1, 0, 1, 0, 0, 0, "linear", 16, USUAL},
    {"wide", "wrn:4", 3, {8, 12, 16}, 0, "shortcut", 1, 1, 1, 4, 0, 1, "linear", 16, USUAL},
    {"bottleneck", "resnet", 7, {4, 6, 8}, 1, "downsample", 1, 1, 0, 0, 0, 0, "fc", 48, USUAL},
    {"bottleneck_small", "resnet:2", 3, {4, 8, 0}, 1, "shortcut", 1, 1, 0, 2, 0, 0, "linear", 16, USUAL},
    {"channels", "resnet:x4", 3, {8, 12, 16}, 0, "shortcut", 1, 1, 0, -4, 0, 0, "linear", 16, USUAL},
    {"padded", "resnet:x8", 3, {8, 16, 32}, 0, NULL, 1, 0, 0, -8, 0, 0, "linear", 16, USUAL},
    {"preact_bottleneck", "resnet", 3, {4, 6, 0}, 1, "shortcut", 1, 0, 1, 0, 0, 0, "linear", 16, USUAL},
    {"transformers", "resnet", 7, {6, 8, 12}, 0, "downsample", 1, 1, 0, 0, 0, 0,
     "fc", 48, {1, NULL, NULL, 0}},
    {"strides_first", "resnet", 7, {4, 6, 8}, 1, "downsample", 1, 1, 0, 0, 0, 0,
     "fc", 48, {0, strides_first, NULL, 0}},
    {"dilated", "resnet", 3, {6, 8, 12}, 0, "shortcut", 1, 1, 0, 0, 0, 0,
     "linear", 33, {0, dilated, NULL, 0}},
    {"transformers_strides", "resnet", 7, {4, 6, 8}, 1, "downsample", 1, 1, 0, 0, 0, 0,
     "fc", 80, {1, NULL, &everywhere, 0}},
    {"resnext", "resnet", 7, {4, 8, 12}, 1, "downsample", 1, 1, 0, 0, 0, 0, "fc", 48, {0, NULL, NULL, 2}},
    {"resnext_preact", "resnet", 3, {6, 8, 0}, 1, "shortcut", 1, 1, 1, 0, 0, 1,
     "linear", 16, {0, NULL, NULL, 2}},
    {"resnext_norms", "resnet:4", 3, {8, 12, 0}, 1, "shortcut", 1, 1, 0, 4, 0, 0,
     "linear", 16, {0, NULL, NULL, 4}},
    {"depthwise", "resnet", 3, {4, 6, 0}, 1, "shortcut", 1, 1, 0, 0, 1, 0,
     "linear", 16, {0, NULL, NULL, -1}},
    {"transformers_bottleneck", "resnet", 7, {4, 6, 8}, 1, "downsample", 1, 1, 0, 0, 0, 0,
     "fc", 48, {1, NULL, NULL, 0}},
};
/* clang-format on */

/* ---- networks ------------------------------------------------------------------------------- */

typedef struct network {
    char names[TENSORS_MOST][96];
    whet_named_tensor items[TENSORS_MOST];
    whet_weights weights;
    int64_t seed; /* of the formula */
    bool transformers;
} network;

/* A module of torchvision as transformers names it. */
static void rename_module(const char *module, char *out, size_t size) {
    int stage, block, k;
    char layer[16];
    if (strcmp(module, "fc") == 0)
        (void)snprintf(out, size, "classifier.1");
    else if (sscanf(module, "layer%d.%d.downsample.%d", &stage, &block, &k) == 3)
        (void)snprintf(out, size, "resnet.encoder.stages.%d.layers.%d.shortcut.%s", stage - 1,
                       block, k ? "normalization" : "convolution");
    else if (sscanf(module, "layer%d.%d.%4[a-z]%d", &stage, &block, layer, &k) == 4)
        (void)snprintf(out, size, "resnet.encoder.stages.%d.layers.%d.layer.%d.%s", stage - 1,
                       block, k - 1, strcmp(layer, "bn") == 0 ? "normalization" : "convolution");
    else
        (void)snprintf(out, size, "resnet.embedder.embedder.%s",
                       strcmp(module, "bn1") == 0 ? "normalization" : "convolution");
}

static void add(network *n, const char *module, const char *part, int32_t rank,
                const int64_t *shape) {
    assert_true(n->weights.n < TENSORS_MOST);
    char *name = n->names[n->weights.n];
    whet_named_tensor *t = &n->items[n->weights.n++];
    char renamed[80];
    int64_t key = 0;
    if (n->transformers) rename_module(module, renamed, sizeof renamed);
    (void)snprintf(name, sizeof n->names[0], "%s%s", n->transformers ? renamed : module, part);
    *t = (whet_named_tensor){name, {NULL, WHET_F32, rank, {0}}};
    for (int32_t x = 0; x < rank; x++) t->tensor.shape[x] = shape[x];
    const int64_t count = whet_tensor_count(&t->tensor);
    float *values = malloc((size_t)count * sizeof *values);
    for (const char *c = name; *c; c++) key += *c;
    for (int64_t i = 0; i < count; i++) {
        double v = sin(.37 * ((double)i * (double)i) + (double)(key % 97) + 11.0 * (double)n->seed);
        if (strcmp(part, ".running_mean") == 0)
            v = .2 * v;
        else if (strcmp(part, ".running_var") == 0)
            v = 1 + .5 * v;
        else if (strcmp(part, ".bias") == 0)
            v = .3 * v;
        else if (strcmp(part, ".weight") == 0)
            v = rank == 1 ? 1 + .3 * v : v * (1.5 / sqrt((double)count / (double)shape[0]));
        values[i] = (float)v;
    }
    t->tensor.data = values;
}

static void add_convolution(network *n, const kind *k, const char *module, int64_t filters,
                            int64_t channels, int64_t size) {
    add(n, module, ".weight", 4, (const int64_t[]){filters, channels, size, size});
    if (k->bias) add(n, module, ".bias", 1, &filters);
}

static void add_norm(network *n, const kind *k, const char *module, int64_t channels) {
    add(n, module, ".weight", 1, &channels);
    add(n, module, ".bias", 1, &channels);
    if (k->groups) return;
    add(n, module, ".running_mean", 1, &channels);
    add(n, module, ".running_var", 1, &channels);
}

static int64_t add_block(network *n, const kind *k, const char *block, int64_t width, bool strided,
                         int64_t channels) {
    char module[64];
    const int64_t out = k->bottleneck ? 4 * width : width;
    const int32_t last = k->bottleneck ? 3 : 2;
    int64_t before = channels;
    for (int32_t i = 1; i <= last; i++) {
        const int64_t filters = i == last ? out : width;
        (void)snprintf(module, sizeof module, "%s.bn%d", block, (int)i);
        add_norm(n, k, module, k->before ? before : filters);
        (void)snprintf(module, sizeof module, "%s.conv%d", block, (int)i);
        const int64_t groups = i != 2 || !k->more.cardinality ? 1
                               : k->more.cardinality > 0      ? k->more.cardinality
                                                              : filters;
        add_convolution(n, k, module, filters, before / groups, k->bottleneck && i != 2 ? 1 : 3);
        before = filters;
    }
    if (!k->shortcut || (!strided && channels == out)) return out;
    (void)snprintf(module, sizeof module, "%s.%s.0", block, k->shortcut);
    add_convolution(n, k, module, out, channels, k->shortcut_size);
    (void)snprintf(module, sizeof module, "%s.%s.1", block, k->shortcut);
    if (k->shortcut_norm) add_norm(n, k, module, out);
    return out;
}

static void make(network *n, const kind *k, int64_t seed) {
    int64_t channels = k->widths[0];
    n->weights = (whet_weights){n->items, 0};
    n->seed = seed;
    n->transformers = k->more.transformers;
    add_convolution(n, k, "conv1", channels, 3, k->stem);
    if (!k->before) add_norm(n, k, "bn1", channels);
    for (int stage = 0; stage < STAGES && k->widths[stage]; stage++)
        for (int i = 0; i < BLOCKS; i++) {
            char block[32];
            (void)snprintf(block, sizeof block, "layer%d.%d", stage + 1, i);
            channels = add_block(n, k, block, k->widths[stage],
                                 i == 0 && (stage > 0 || k->more.told == dilated), channels);
        }
    if (k->last_norm) add_norm(n, k, "bn1", channels);
    add(n, k->head, ".weight", 2, (const int64_t[]){CLASSES, channels});
    add(n, k->head, ".bias", 1, (const int64_t[]){CLASSES});
}

static void drop(network *n) {
    for (int64_t i = 0; i < n->weights.n; i++) free(n->items[i].tensor.data);
}

static void draw_images(const char *name, int64_t n, float *x) {
    int64_t key = 0;
    for (const char *c = name; *c; c++) key += *c;
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)sin(.37 * ((double)i * (double)i) + (double)(key % 97));
}

static void tell(whet_ctx *ctx, const kind *k, const whet_weights *w, whet_permutation_spec *spec) {
    for (int i = 0; k->more.told && i < TOLD_MOST && k->more.told[i].module; i++)
        test_ok(ctx, whet_i_spec_tell(ctx, spec, &k->more.told[i]));
    if (k->more.strides) test_ok(ctx, whet_i_tell_strides(ctx, k->more.strides, w, spec));
}

/* A specification that tells what is told of a kind, and nothing else. */
static whet_permutation_spec *told_of(whet_ctx *ctx, const kind *k, const whet_weights *w) {
    whet_permutation_spec *spec;
    test_ok(ctx, whet_i_spec_create(ctx, k->arch, &spec));
    tell(ctx, k, w, spec);
    return spec;
}

static int64_t run(whet_ctx *ctx, const kind *k, const whet_weights *w, float *out) {
    const whet_i_image image = {k->side, k->side, 3};
    whet_i_image_network net;
    whet_permutation_spec *told = told_of(ctx, k, w);
    test_ok(ctx, whet_i_image_network_make(ctx, k->arch, told, w, &image, &net));
    float *x = malloc((size_t)(ROWS * net.d) * sizeof *x);
    draw_images("x", ROWS * net.d, x);
    test_ok(ctx, whet_i_image_network_run(ctx, &net, "test", x, ROWS, out));
    const int64_t n = ROWS * net.classes;
    assert_int_equal(net.norms > 0, k->groups == 0);
    free(x);
    whet_permutation_spec_destroy(ctx, told);
    whet_i_image_network_free(ctx, &net);
    return n;
}

/* ---- torch ---------------------------------------------------------------------------------- */

static void expect(whet_ctx *ctx, const kind *k, const char *what, int64_t n, const double *got,
                   double bound) {
    whet_safetensors *file;
    whet_tensor t, wide;
    char name[80];
    double most = 0, size = 1;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/residual/expected.safetensors"), &file));
    (void)snprintf(name, sizeof name, "%s/%s", k->name, what);
    assert_true(whet_safetensors_find(file, name, &t));
    test_ok(ctx, whet_tensor_convert(ctx, &t, WHET_F64, &wide));
    assert_int_equal(whet_tensor_count(&wide), n);
    const double *expected = wide.data;
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(got[i] - expected[i]));
        size = fmax(size, fabs(expected[i]));
    }
    if (!(most <= bound * size)) print_error("%s: off by %.3g of %.3g\n", name, most, size);
    assert_true(most <= bound * size);
    whet_tensor_destroy(ctx, &wide);
    whet_safetensors_close(ctx, file);
}

static void losses(whet_ctx *ctx, const kind *k, const network *a, const network *b,
                   bool measured) {
    const int64_t cells = ROWS * k->side * k->side * 3;
    int32_t y[ROWS];
    whet_mode_point found[POINTS];
    double barrier, got[POINTS];
    float *x = malloc((size_t)cells * sizeof *x), *more = malloc((size_t)cells * sizeof *more);
    draw_images("x", cells, x);
    draw_images("more", cells, more);
    whet_permutation_spec *told = told_of(ctx, k, &a->weights);
    for (int i = 0; i < ROWS; i++) y[i] = 2 * i % CLASSES;
    const whet_mode_data data = {.x = x,
                                 .labels = y,
                                 .n = ROWS,
                                 .height = k->side,
                                 .width = k->side,
                                 .channels = 3,
                                 .statistics = measured ? more : NULL,
                                 .n_statistics = measured ? ROWS : 0,
                                 .spec = told};
    test_ok(ctx,
            whet_mode_path(ctx, k->arch, &a->weights, &b->weights, &data, POINTS, found, &barrier));
    for (int i = 0; i < POINTS; i++) got[i] = found[i].loss;
    expect(ctx, k, measured ? "measured" : "losses", POINTS, got, 1e-5);
    whet_permutation_spec_destroy(ctx, told);
    free(x);
    free(more);
}

/* Sums of f32, of at most some hundred terms a layer: 1e-5 of the largest. */
static void outputs_and_losses_are_torchs(void **state) {
    (void)state;
    static network a, b;
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        float logits[ROWS * CLASSES];
        double wide[ROWS * CLASSES];
        make(&a, k, 0);
        make(&b, k, 1);
        const int64_t n = run(ctx, k, &a.weights, logits);
        for (int64_t j = 0; j < n; j++) wide[j] = (double)logits[j];
        expect(ctx, k, "logits", n, wide, 1e-5);
        losses(ctx, k, &a, &b, false);
        if (!k->groups) losses(ctx, k, &a, &b, true);
        drop(&a);
        drop(&b);
    }
    test_ctx_done(ctx);
}

/* ---- permutations --------------------------------------------------------------------------- */

static whet_permutation_spec *spec_of(whet_ctx *ctx, const kind *k, const network *n) {
    const char *path = test_tmp("net.safetensors");
    char arch[32] = "auto";
    whet_safetensors *file;
    whet_permutation_spec *spec;
    if (k->groups) (void)snprintf(arch, sizeof arch, "%s", k->arch);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, n->items, n->weights.n, NULL));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    test_ok(ctx, whet_permutation_spec_for(ctx, arch, file, NULL, &spec));
    assert_string_equal(whet_permutation_spec_arch(spec), k->arch);
    tell(ctx, k, &n->weights, spec);
    whet_safetensors_close(ctx, file);
    return spec;
}

static double difference(whet_ctx *ctx, const kind *k, const whet_weights *a,
                         const whet_weights *b) {
    float x[ROWS * CLASSES], y[ROWS * CLASSES];
    double most = 0, size = 0;
    const int64_t n = run(ctx, k, a, x);
    (void)run(ctx, k, b, y);
    for (int64_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)x[i] - (double)y[i]));
        size = fmax(size, fabs((double)x[i]));
    }
    return most / size;
}

static void drop_tensors(whet_ctx *ctx, whet_named_tensor *items, int64_t n) {
    for (int64_t i = 0; i < n; i++) whet_tensor_destroy(ctx, &items[i].tensor);
}

/* A permuted at random has A's function; weights and activations both find A again, to the bit. */
static void check_planted(whet_ctx *ctx, const kind *k, const network *a,
                          const whet_permutation_spec *spec) {
    static whet_named_tensor moved[TENSORS_MOST], back[TENSORS_MOST];
    const int64_t cells = ROWS * k->side * k->side * 3, n = a->weights.n;
    const whet_weights b = {moved, n};
    whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
    whet_alignment *drawn, *found[2];
    float *x = malloc((size_t)cells * sizeof *x);
    draw_images("x", cells, x);
    const whet_mode_data data = {
        .x = x, .n = ROWS, .height = k->side, .width = k->side, .channels = 3};
    opts.restarts = 4;
    test_ok(ctx, whet_alignment_random(ctx, spec, &a->weights, 3, &drawn));
    test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &a->weights, moved));
    assert_true(difference(ctx, k, &a->weights, &b) <= 1e-5);
    test_ok(ctx, whet_align_weights(ctx, spec, &a->weights, &b, &opts, &found[0]));
    test_ok(ctx, whet_align_activations(ctx, spec, &a->weights, &b, &data, &found[1]));
    for (int i = 0; i < 2; i++) {
        test_ok(ctx, whet_alignment_apply(ctx, spec, found[i], &b, back));
        for (int64_t t = 0; t < n; t++)
            if (memcmp(a->items[t].tensor.data, back[t].tensor.data,
                       (size_t)whet_tensor_count(&a->items[t].tensor) * sizeof(float)) != 0) {
                print_error("%s: %s is not found again by %s\n", k->name, a->items[t].name,
                            i ? "activations" : "weights");
                fail();
            }
        drop_tensors(ctx, back, n);
        whet_alignment_destroy(ctx, found[i]);
    }
    drop_tensors(ctx, moved, n);
    whet_alignment_destroy(ctx, drawn);
    free(x);
}

/* A tensor that is not moved with the others changes the function: every tensor that has a group. */
static void check_controls(whet_ctx *ctx, const kind *k, const network *a,
                           const whet_permutation_spec *spec) {
    static whet_named_tensor moved[TENSORS_MOST], mixed[TENSORS_MOST];
    whet_alignment *drawn;
    int64_t told = 0;
    test_ok(ctx, whet_alignment_random(ctx, spec, &a->weights, 5, &drawn));
    test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &a->weights, moved));
    for (int64_t t = 0; t < a->weights.n; t++) {
        if (memcmp(a->items[t].tensor.data, moved[t].tensor.data,
                   (size_t)whet_tensor_count(&a->items[t].tensor) * sizeof(float)) == 0)
            continue;
        memcpy(mixed, moved, sizeof mixed);
        mixed[t] = a->items[t];
        const whet_weights b = {mixed, a->weights.n};
        if (!(difference(ctx, k, &a->weights, &b) > 1e-3))
            print_error("%s: %s may stay behind\n", k->name, a->items[t].name);
        assert_true(difference(ctx, k, &a->weights, &b) > 1e-3);
        told++;
    }
    /* But the last bias, and a group of four whose order is drawn as it was. */
    assert_true(told >= a->weights.n - 6);
    drop_tensors(ctx, moved, a->weights.n);
    whet_alignment_destroy(ctx, drawn);
}

static void planted_permutations_are_found_again(void **state) {
    (void)state;
    static network a;
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make(&a, &kinds[i], 0);
        whet_permutation_spec *spec = spec_of(ctx, &kinds[i], &a);
        check_planted(ctx, &kinds[i], &a, spec);
        if (kinds[i].side == 16) check_controls(ctx, &kinds[i], &a, spec);
        test_ok(ctx, whet_permutation_spec_verify(ctx, spec, &a.weights));
        whet_permutation_spec_destroy(ctx, spec);
        drop(&a);
    }
    test_ctx_done(ctx);
}

/* ---- training and repair -------------------------------------------------------------------- */

/* Gradients go through shortcuts and bottlenecks; the best order met is never worse than the first. */
static void straight_through_runs(void **state) {
    (void)state;
    static network a, b;
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 1; i < sizeof kinds / sizeof *kinds; i += 7) { /* kuangliu, bottleneck_small */
        const kind *k = &kinds[i];
        const int64_t cells = ROWS * k->side * k->side * 3;
        int32_t y[ROWS] = {0, 1, 2, 3, 4, 0};
        float *x = malloc((size_t)cells * sizeof *x);
        double matched, refined;
        whet_align_opts opts = WHET_ALIGN_OPTS_INIT;
        whet_alignment *found;
        draw_images("x", cells, x);
        make(&a, k, 0);
        make(&b, k, 1);
        const whet_mode_data data = {
            .x = x, .labels = y, .n = ROWS, .height = k->side, .width = k->side, .channels = 3};
        opts.epochs = 3;
        whet_permutation_spec *spec = spec_of(ctx, k, &a);
        test_ok(ctx, whet_align_straight_through(ctx, spec, &a.weights, &b.weights, &data, &opts,
                                                 &found));
        whet_alignment_midpoint(found, &matched, &refined);
        assert_true(isfinite(matched) && refined <= matched);
        whet_alignment_destroy(ctx, found);
        whet_permutation_spec_destroy(ctx, spec);
        free(x);
        drop(&a);
        drop(&b);
    }
    test_ctx_done(ctx);
}

/* Norms of shortcuts are repaired as the others: the ends stay to the bit, the middle changes. */
static void repair_runs(void **state) {
    (void)state;
    static network a, b;
    whet_ctx *ctx = test_ctx(1);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const kind *k = &kinds[i];
        const int64_t cells = ROWS * k->side * k->side * 3;
        whet_named_tensor plain[TENSORS_MOST], repaired[TENSORS_MOST];
        if (!k->groups) continue;
        float *x = malloc((size_t)cells * sizeof *x);
        draw_images("x", cells, x);
        make(&a, k, 0);
        make(&b, k, 1);
        whet_mode_data data = {
            .x = x, .n = ROWS, .height = k->side, .width = k->side, .channels = 3};
        test_ok(ctx, whet_mode_mixture(ctx, k->arch, &a.weights, &b.weights, &data, .5, plain));
        data.repair = true;
        test_ok(ctx, whet_mode_mixture(ctx, k->arch, &a.weights, &b.weights, &data, .5, repaired));
        for (int64_t t = 0; t < a.weights.n; t++) {
            const whet_tensor *p = &plain[t].tensor;
            const bool norm = p->rank == 1 && !strstr(plain[t].name, k->head);
            const bool same = memcmp(p->data, repaired[t].tensor.data,
                                     (size_t)whet_tensor_count(p) * sizeof(float)) == 0;
            assert_int_equal(same, !norm);
        }
        drop_tensors(ctx, plain, a.weights.n);
        drop_tensors(ctx, repaired, a.weights.n);
        free(x);
        drop(&a);
        drop(&b);
    }
    test_ctx_done(ctx);
}

/* ---- what is not run ------------------------------------------------------------------------ */

static whet_status make_bottleneck(whet_ctx *ctx, void *arg) {
    const network *n = arg;
    const whet_i_image image = {48, 48, 3};
    whet_i_image_network net = {0};
    const whet_status status =
        whet_i_image_network_make(ctx, "resnet", NULL, &n->weights, &image, &net);
    whet_i_image_network_free(ctx, &net);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static network n;
    const kind k = {.stem = 7,
                    .widths = {4, 6},
                    .bottleneck = true,
                    .shortcut = "downsample",
                    .shortcut_size = 1,
                    .shortcut_norm = true,
                    .head = "fc"};
    make(&n, &k, 0);
    assert_true(test_each_allocation(make_bottleneck, &n) > 20);
    drop(&n);
}

/* One tensor more, or one of another shape. */
static void check_refused(whet_ctx *ctx, const kind *k, const char *module, const char *part,
                          int32_t rank, const int64_t *shape, const char *says) {
    static network n;
    const whet_i_image image = {k->side, k->side, 3};
    whet_i_image_network net;
    make(&n, k, 0);
    add(&n, module, part, rank, shape);
    for (int64_t i = 0; i < n.weights.n - 1; i++)
        if (strcmp(n.items[i].name, n.items[n.weights.n - 1].name) == 0) {
            free(n.items[i].tensor.data);
            n.items[i] = n.items[--n.weights.n];
            break;
        }
    assert_true(whet_i_image_network_make(ctx, k->arch, NULL, &n.weights, &image, &net) != WHET_OK);
    test_says(ctx, says);
    whet_i_image_network_free(ctx, &net);
    drop(&n);
}

static void other_networks_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    check_refused(ctx, &kinds[1], "layer1.0.se", ".weight", 2, (const int64_t[]){6, 6},
                  "\"layer1.0.se.weight\" is no part of the network");
    check_refused(ctx, &kinds[5], "layer2.0.shortcut.0", ".bias", 1, (const int64_t[]){8},
                  "nothing tells what it reads");
    check_refused(ctx, &kinds[5], "conv1", ".weight", 4, (const int64_t[]){6, 3, 7, 7},
                  "conv1 is of 7 x 7");
    check_refused(ctx, &kinds[1], "layer1.0.conv1", ".weight", 4, (const int64_t[]){6, 6, 1, 3},
                  "a square kernel");
    check_refused(ctx, &kinds[1], "layer1.0.conv2", ".weight", 4, (const int64_t[]){6, 4, 3, 3},
                  "layer1.0.conv2.weight is not there, or of another shape");
    test_ctx_done(ctx);
}

static const kind *kind_of(const char *name) {
    for (int64_t i = 0; i < WHET_COUNT_OF(kinds); i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

/* Norms of other groups than a convolution's would not let them move. */
static void norms_of_other_groups_are_refused(void **state) {
    (void)state;
    static network n;
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("net.safetensors");
    whet_safetensors *file;
    whet_permutation_spec *spec = NULL;
    make(&n, kind_of("resnext_norms"), 0);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, n.items, n.weights.n, NULL));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    test_fails(ctx, whet_permutation_spec_for(ctx, "resnet:2", file, NULL, &spec), WHET_ERR_FORMAT);
    test_says(ctx, "norms 2 groups of channels, which a convolution takes in 4; expected the same");
    test_ok(ctx, whet_permutation_spec_for(ctx, "resnet:1", file, NULL, &spec));
    test_ok(ctx, whet_permutation_spec_verify(ctx, spec, &n.weights));
    whet_permutation_spec_destroy(ctx, spec);
    whet_safetensors_close(ctx, file);
    drop(&n);
    test_ctx_done(ctx);
}

/* What is told of no convolution, or does not fit it, is refused by name; so is a network that is not run. */
static void told_wrongly_is_refused(void **state) {
    (void)state;
    static const struct {
        whet_i_told told;
        whet_status status;
        const char *says;
    } cases[] = {
        {{"layer9.0.conv1", 1, 1, 1, 0, {0}}, WHET_ERR_DATA, "has none of that name"},
        {{"bn1", 1, 1, 1, 0, {0}}, WHET_ERR_DATA, "\"bn1\" is told to be a convolution"},
        {{"layer1.0.conv1", 1, 1, 1, 2, {0}}, WHET_ERR_DATA, "2 groups, and has 1 by its shapes"},
        {{"layer1.0.conv2", 1, 0, 1, 0, {0}},
         WHET_ERR_SHAPE,
         "the convolutions of layer1.0 give 14 x 14 x 6, and its shortcut 16 x 16 x 6"},
        {{"layer2.0.shortcut.0", 1, 0, 1, 0, {0}}, WHET_ERR_SHAPE, "shortcut 16 x 16 x 8"},
        {{"layer1.0.conv1", 1, 1, 1, 0, {true, 2, 2, 0}},
         WHET_ERR_UNSUPPORTED,
         "a pool is told to be behind convolution layer1.0.conv1"},
        {{"conv1", 1, 0, 9, 0, {0}}, WHET_ERR_SHAPE, "expected at least 19 rows"},
    };
    static network n;
    whet_ctx *ctx = test_ctx(1);
    const whet_i_image image = {16, 16, 3};
    whet_i_image_network net;
    whet_permutation_spec *spec;
    make(&n, &kinds[1], 0);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        test_ok(ctx, whet_i_spec_create(ctx, "resnet", &spec));
        test_ok(ctx, whet_i_spec_tell(ctx, spec, &cases[i].told));
        test_fails(ctx, whet_i_image_network_make(ctx, "resnet", spec, &n.weights, &image, &net),
                   cases[i].status);
        test_says(ctx, cases[i].says);
        whet_i_image_network_free(ctx, &net);
        whet_permutation_spec_destroy(ctx, spec);
    }
    test_ok(ctx, whet_i_spec_create(ctx, "resnet", &spec));
    test_ok(ctx, whet_i_spec_refuse(ctx, spec, "it blurs"));
    test_fails(ctx, whet_i_image_network_make(ctx, "resnet", spec, &n.weights, &image, &net),
               WHET_ERR_UNSUPPORTED);
    test_says(ctx, "resnet: it blurs");
    test_ok(ctx, whet_i_image_network_make_proof(ctx, "resnet", spec, &n.weights, &image, &net));
    whet_i_image_network_free(ctx, &net);
    whet_permutation_spec_destroy(ctx, spec);
    drop(&n);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_and_losses_are_torchs),
        cmocka_unit_test(planted_permutations_are_found_again),
        cmocka_unit_test(straight_through_runs),
        cmocka_unit_test(repair_runs),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(other_networks_are_refused),
        cmocka_unit_test(norms_of_other_groups_are_refused),
        cmocka_unit_test(told_wrongly_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
