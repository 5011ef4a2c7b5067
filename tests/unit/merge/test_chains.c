/* SPDX-License-Identifier: Apache-2.0
 * Chains of layers: the order that names tell, networks of linear layers and norms against sums by hand, and
 * specifications of chains of any names, which are refused when they are wrong anywhere. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/chain_names.h"
#include "merge/image_network.h"
#include "merge/network_recorder.h"

enum { TENSORS_MOST = 48, SHOWN = 256 };

typedef struct network {
    char names[TENSORS_MOST][320];
    whet_named_tensor items[TENSORS_MOST];
    whet_weights weights;
} network;

static void add(network *n, const char *module, const char *part, int32_t rank,
                const int64_t *shape) {
    const int64_t at = n->weights.n++;
    whet_i_rng rng;
    assert_true(at < TENSORS_MOST);
    (void)snprintf(n->names[at], sizeof n->names[at], "%s.%s", module, part);
    n->weights.items = n->items;
    n->items[at] = (whet_named_tensor){n->names[at], {NULL, WHET_F32, rank, {0}}};
    for (int32_t x = 0; x < rank; x++) n->items[at].tensor.shape[x] = shape[x];
    const int64_t count = whet_tensor_count(&n->items[at].tensor);
    float *values = malloc((size_t)count * sizeof *values);
    const bool positive = strcmp(part, "running_var") == 0;
    whet_i_rng_init(&rng, 7, (uint64_t)at);
    for (int64_t i = 0; i < count; i++)
        values[i] = (float)(positive ? .5 + whet_i_rng_uniform(&rng) : whet_i_rng_normal(&rng));
    n->items[at].tensor.data = values;
}

static void convolution(network *n, const char *module, int64_t rows, int64_t columns,
                        int64_t size) {
    add(n, module, "weight", 4, (const int64_t[]){rows, columns, size, size});
    add(n, module, "bias", 1, &rows);
}

static void linear(network *n, const char *module, int64_t rows, int64_t columns, bool bias) {
    add(n, module, "weight", 2, (const int64_t[]){rows, columns});
    if (bias) add(n, module, "bias", 1, &rows);
}

static void norm(network *n, const char *module, int64_t units, bool running) {
    static const char *const parts[] = {"weight", "bias", "running_mean", "running_var"};
    for (int i = 0; i < (running ? 4 : 2); i++) add(n, module, parts[i], 1, &units);
    if (running) add(n, module, "num_batches_tracked", 1, (const int64_t[]){1});
}

static void drop(network *n) {
    for (int64_t i = 0; i < n->weights.n; i++) free(n->items[i].tensor.data);
}

/* ---- order ------------------------------------------------------------------------------------- */

/* Modules as "name:rank:rows", apart by blanks, come in the order of `names`; or a sentence has `says`. */
static void check_order(whet_ctx *ctx, const char *modules, const char *names, const char *says) {
    network n = {0};
    whet_i_chain_module *items = NULL;
    int64_t count;
    char text[SHOWN], got[SHOWN] = "", *next = text;
    (void)snprintf(text, sizeof text, "%s", modules);
    for (char *word; *next; next = *word ? word + 1 : word) {
        char *colon = strchr(next, ':');
        const int rank = colon[1] - '0', rows = colon[3] - '0';
        word = colon + 4;
        *colon = 0;
        const int64_t shape[] = {rows, 1, 1, 1};
        add(&n, next, "weight", rank, shape);
    }
    const whet_i_tensors tensors = {.weights = &n.weights, .prefix = ""};
    if (says) {
        test_fails(ctx, whet_i_chain_modules(ctx, &tensors, &items, &count), WHET_ERR_FORMAT);
        test_says(ctx, says);
    } else {
        test_ok(ctx, whet_i_chain_modules(ctx, &tensors, &items, &count));
        for (int64_t i = 0; i < count; i++)
            (void)snprintf(got + strlen(got), sizeof got - strlen(got), i ? " %s" : "%s",
                           items[i].name);
        assert_string_equal(got, names);
        whet_i_free(ctx, items);
    }
    drop(&n);
}

static void names_tell_the_order(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    check_order(ctx, "layer10:2:4 layer2:2:4 layer0:2:4", "layer0 layer2 layer10", NULL);
    check_order(ctx, "0:2:4 1:1:4 3:2:4 4:1:4 6:2:4", "0 1 3 4 6", NULL);
    check_order(ctx, "net.3:2:4 net.0:2:4 net.1:1:4", "net.0 net.1 net.3", NULL);
    check_order(ctx, "fc:2:4 conv1:4:4 conv2:4:4 bn1:1:4 bn2:1:4", "conv1 bn1 conv2 bn2 fc", NULL);
    check_order(ctx, "conv1:4:4 conv2:4:4 norm1:1:4 norm2:1:4 fc1:2:5",
                "conv1 norm1 conv2 norm2 fc1", NULL);
    check_order(ctx, "conv1_1:4:4 conv1_2:4:4 conv2_1:4:4 bn1_1:1:4 bn1_2:1:4 bn2_1:1:4 fc:2:3",
                "conv1_1 bn1_1 conv1_2 bn1_2 conv2_1 bn2_1 fc", NULL);
    check_order(ctx, "conv1:4:4 bn1:1:4 fc1:2:6 fc2:2:3", "conv1 bn1 fc1 fc2", NULL);
    check_order(ctx, "fc1:2:4 norm1:1:4 fc2:2:4 norm2:1:4 fc3:2:2", "fc1 norm1 fc2 norm2 fc3",
                NULL);
    check_order(ctx,
                "classifier.0:2:5 classifier.1:1:5 classifier.3:2:3 features.0:4:4 features.1:1:4",
                "features.0 features.1 classifier.0 classifier.1 classifier.3", NULL);
    check_order(ctx, "block1.conv:4:4 block1.norm:1:4 block2.conv:4:4 block2.norm:1:4 head:2:3",
                "block1.conv block1.norm block2.conv block2.norm head", NULL);
    check_order(ctx, "conv1:4:4 bn1:1:4 fc1:2:4 fc2:2:3", NULL,
                "norm \"bn1\" may stand behind \"conv1\" and \"fc1\"");
    test_ctx_done(ctx);
}

/* ---- networks ---------------------------------------------------------------------------------- */

enum { ROWS = 5, INPUTS = 6, UNITS = 4, CLASSES = 3 };

static const float *values_of(const network *n, const char *module, const char *part) {
    char name[320];
    (void)snprintf(name, sizeof name, "%s.%s", module, part);
    for (int64_t i = 0; i < n->weights.n; i++)
        if (strcmp(n->names[i], name) == 0) return n->items[i].tensor.data;
    return NULL;
}

static void by_hand_linear(const network *n, const char *module, int64_t rows, int64_t columns,
                           const double *x, double *y) {
    const float *w = values_of(n, module, "weight"), *b = values_of(n, module, "bias");
    for (int64_t i = 0; i < rows; i++) {
        y[i] = b ? (double)b[i] : 0;
        for (int64_t k = 0; k < columns; k++) y[i] += (double)w[i * columns + k] * x[k];
    }
}

/* Batch norm by running statistics, or layer norm over the units where there are none. */
static void by_hand_norm(const network *n, const char *module, double *y) {
    const float *w = values_of(n, module, "weight"), *b = values_of(n, module, "bias");
    const float *m = values_of(n, module, "running_mean"), *v = values_of(n, module, "running_var");
    double mean = 0, square = 0;
    for (int i = 0; i < UNITS; i++) {
        mean += y[i] / UNITS;
        square += y[i] * y[i] / UNITS;
    }
    for (int i = 0; i < UNITS; i++) {
        const double middle = m ? (double)m[i] : mean;
        const double spread = v ? (double)v[i] : square - mean * mean;
        y[i] = (y[i] - middle) / sqrt(spread + 1e-5) * (double)w[i] + (double)b[i];
    }
}

/* Linear, norm (if any), ReLU, linear. */
static void check_by_hand(whet_ctx *ctx, const char *first, const char *middle, const char *last,
                          bool running, bool bias, const char *prefix) {
    network n = {0};
    const whet_i_image image = {1, 2, INPUTS / 2}; /* as a vector all the same */
    whet_i_image_network net;
    whet_i_rng rng;
    float x[ROWS * INPUTS], logits[ROWS * CLASSES];
    linear(&n, first, UNITS, INPUTS, bias);
    if (middle) norm(&n, middle, UNITS, running);
    linear(&n, last, CLASSES, UNITS, bias);
    whet_i_rng_init(&rng, 3, 0);
    for (int i = 0; i < ROWS * INPUTS; i++) x[i] = (float)whet_i_rng_normal(&rng);
    char longer[TENSORS_MOST][400];
    network named = n;
    named.weights.items = named.items;
    for (int64_t i = 0; i < n.weights.n; i++) {
        (void)snprintf(longer[i], sizeof longer[i], "%s%s", prefix, n.names[i]);
        named.items[i].name = longer[i];
    }
    test_ok(ctx, whet_i_image_network_make(ctx, "mlp", NULL, &named.weights, &image, &net));
    test_ok(ctx, whet_i_image_network_run(ctx, &net, "test", x, ROWS, logits));
    assert_int_equal(net.norms, middle && running);
    for (int r = 0; r < ROWS; r++) {
        double in[INPUTS], hidden[UNITS], out[CLASSES];
        for (int i = 0; i < INPUTS; i++) in[i] = (double)x[r * INPUTS + i];
        by_hand_linear(&n, first, UNITS, INPUTS, in, hidden);
        if (middle) by_hand_norm(&n, middle, hidden);
        for (int i = 0; i < UNITS; i++) hidden[i] = fmax(hidden[i], 0);
        by_hand_linear(&n, last, CLASSES, UNITS, hidden, out);
        for (int i = 0; i < CLASSES; i++)
            assert_true(fabs((double)logits[r * CLASSES + i] - out[i]) < 1e-5 * (1 + fabs(out[i])));
    }
    whet_i_image_network_free(ctx, &net);
    drop(&n);
}

static void perceptrons_of_any_names_are_run(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    check_by_hand(ctx, "layer0", NULL, "layer1", false, true, "");
    check_by_hand(ctx, "0", NULL, "2", false, true, "");
    check_by_hand(ctx, "0", NULL, "2", false, false, "");
    check_by_hand(ctx, "0", NULL, "2", false, true, "module.");
    check_by_hand(ctx, "net.0", "net.1", "net.3", true, true, "");
    check_by_hand(ctx, "net.0", "net.1", "net.3", false, true, "");
    check_by_hand(ctx, "fc1", "bn1", "fc2", true, false, "module.");
    test_ctx_done(ctx);
}

/* Names do not matter to losses, or to repair: both ways that a line is scored. */
static void lines_do_not_depend_on_names(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"layer0", "layer1"}, {"0", "2"}, {"enc.fc1", "enc.fc2"}};
    whet_ctx *ctx = test_ctx(1);
    float x[ROWS * INPUTS];
    int32_t y[ROWS] = {0, 1, 2, 0, 1};
    whet_mode_point found[3][2][3];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int i = 0; i < ROWS * INPUTS; i++) x[i] = (float)whet_i_rng_normal(&rng);
    for (int k = 0; k < 3; k++) {
        network a = {0}, b = {0};
        double barrier;
        whet_mode_data data = {
            .x = x, .labels = y, .n = ROWS, .height = 1, .width = 1, .channels = INPUTS};
        add(&b, "skip", "weight", 1, (const int64_t[]){1}); /* other numbers than a's */
        linear(&a, names[k][0], UNITS, INPUTS, true);
        linear(&a, names[k][1], CLASSES, UNITS, true);
        linear(&b, names[k][0], UNITS, INPUTS, true);
        linear(&b, names[k][1], CLASSES, UNITS, true);
        const whet_weights other = {b.items + 1, b.weights.n - 1};
        for (int repair = 0; repair < 2; repair++) {
            data.repair = repair == 1;
            test_ok(ctx, whet_mode_path(ctx, "mlp", &a.weights, &other, &data, 3, found[k][repair],
                                        &barrier));
        }
        drop(&a);
        drop(&b);
    }
    assert_memory_equal(found[0], found[1], sizeof found[0]);
    assert_memory_equal(found[0], found[2], sizeof found[0]);
    assert_true(found[0][0][1].loss != found[0][1][1].loss);
    test_ctx_done(ctx);
}

/* ---- specifications ---------------------------------------------------------------------------- */

static void make_kind(network *n, int kind) {
    *n = (network){0};
    switch (kind) {
    case 0: /* nn.Sequential: features with batch norms, 6 places, a classifier with one */
        convolution(n, "features.0", 4, 3, 3);
        norm(n, "features.1", 4, true);
        convolution(n, "features.3", 4, 4, 2);
        norm(n, "features.4", 4, true);
        linear(n, "classifier.0", 4, 24, true);
        norm(n, "classifier.1", 4, true);
        linear(n, "classifier.3", 4, 4, true);
        break;
    case 1: /* group norms of 2 groups, the mean of places */
        convolution(n, "conv1", 4, 3, 5);
        norm(n, "norm1", 4, false);
        convolution(n, "conv2", 4, 4, 3);
        norm(n, "norm2", 4, false);
        linear(n, "fc", 3, 4, true);
        break;
    case 2: /* nothing but convolutions */
        convolution(n, "a.0", 4, 2, 3);
        convolution(n, "a.2", 4, 4, 1);
        convolution(n, "a.4", 3, 4, 3);
        break;
    default: /* perceptrons */
        linear(n, "0", 4, 4, kind == 3);
        norm(n, "1", 4, kind == 3);
        linear(n, "3", 4, 4, true);
        norm(n, "4", 4, kind == 3);
        linear(n, "6", 4, 4, true);
    }
}

static whet_permutation_spec *spec_of(whet_ctx *ctx, const network *n, const char *arch) {
    const char *path = test_tmp("net.safetensors");
    whet_safetensors *file;
    whet_permutation_spec *spec;
    test_ok(ctx, whet_safetensors_write(ctx, path, true, n->items, n->weights.n, NULL));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    test_ok(ctx, whet_permutation_spec_for(ctx, arch, file, NULL, &spec));
    whet_safetensors_close(ctx, file);
    return spec;
}

static bool is_refused(whet_ctx *ctx, const whet_permutation_spec *spec, const network *n) {
    return whet_i_spec_check(ctx, spec, "spec") != WHET_OK ||
           whet_permutation_spec_verify(ctx, spec, &n->weights) != WHET_OK;
}

/* Every axis that has a group is left without, and is given each other group of its length: all widths are
 * the same, so that shapes tell nothing. */
static void check_every_axis(whet_ctx *ctx, const network *n, whet_permutation_spec *spec) {
    int64_t changed = 0;
    for (int64_t i = 0; i < spec->n_tensors; i++)
        for (int32_t x = 0; x < spec->tensors[i].rank; x++) {
            whet_i_axis *axis = &spec->tensors[i].axes[x];
            const whet_i_axis right = *axis;
            for (int32_t g = -1; g < spec->n_groups; g++) {
                const whet_i_piece piece = {g, WHET_I_UNITS, 0, 0};
                if (right.n && g == right.pieces[0].group) continue;
                if (!right.n &&
                    (g < 0 || spec->tensors[i].unmatched || n->items[i].tensor.shape[x] % 4 != 0))
                    continue;
                *axis = g < 0 ? (whet_i_axis){0} : (whet_i_axis){1, &piece};
                if (!is_refused(ctx, spec, n))
                    print_error("%s axis %d by group %d is taken\n", spec->tensors[i].name, (int)x,
                                (int)g);
                assert_true(is_refused(ctx, spec, n));
                changed++;
                *axis = right;
            }
        }
    assert_true(changed > spec->n_tensors);
    test_ok(ctx, whet_permutation_spec_verify(ctx, spec, &n->weights));
}

static void wrong_axes_are_refused(void **state) {
    (void)state;
    static const char *const archs[] = {"cnn", "cnn:2", "cnn", "mlp", "mlp"};
    whet_ctx *ctx = test_ctx(1);
    for (int kind = 0; kind < 5; kind++) {
        static network n;
        make_kind(&n, kind);
        /* A network that is not trained: norms that are alike, which tell nothing by themselves. */
        for (int64_t i = 0; i < n.weights.n; i++)
            for (int64_t k = 0; n.items[i].tensor.rank == 1 && k < n.items[i].tensor.shape[0]; k++)
                ((float *)n.items[i].tensor.data)[k] = 1;
        whet_permutation_spec *spec = spec_of(ctx, &n, archs[kind]);
        check_every_axis(ctx, &n, spec);
        whet_permutation_spec_destroy(ctx, spec);
        drop(&n);
    }
    test_ctx_done(ctx);
}

static whet_status make_proof(whet_ctx *ctx, void *arg) {
    const network *n = arg;
    whet_i_image image;
    whet_i_image_network net = {0};
    whet_status status = whet_i_chain_image(ctx, &n->weights, &image);
    if (status == WHET_OK)
        status = whet_i_image_network_make_proof(ctx, "cnn", NULL, &n->weights, &image, &net);
    whet_i_image_network_free(ctx, &net);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static network n;
    make_kind(&n, 0);
    assert_true(test_each_allocation(make_proof, &n) > 20);
    drop(&n);
}

/* More groups than the norms have, or fewer, are another network: its orders are not all kept. */
static void other_numbers_of_groups_are_refused(void **state) {
    (void)state;
    static network n;
    whet_ctx *ctx = test_ctx(1);
    make_kind(&n, 1);
    whet_permutation_spec *free_spec = spec_of(ctx, &n, "cnn:1");
    free_spec->arch = "cnn:2";
    assert_true(is_refused(ctx, free_spec, &n));
    free_spec->arch = "cnn:1";
    assert_false(is_refused(ctx, free_spec, &n));
    free_spec->arch = "mlp:2"; /* auto's name of every chain; convolutions are proved as well */
    assert_true(is_refused(ctx, free_spec, &n));
    whet_permutation_spec_destroy(ctx, free_spec);
    drop(&n);
    test_ctx_done(ctx);
}

/* Strides and pools are not told: no losses of such a network. */
static void convolutions_are_not_run_on_data(void **state) {
    (void)state;
    static network n;
    const whet_i_image image = {4, 4, 3};
    whet_i_image_network net;
    whet_ctx *ctx = test_ctx(1);
    make_kind(&n, 1);
    test_fails(ctx, whet_i_image_network_make(ctx, "mlp:2", NULL, &n.weights, &image, &net),
               WHET_ERR_UNSUPPORTED);
    test_says(ctx, "conv1 is a convolution, and nothing tells the strides and pools");
    whet_i_image_network_free(ctx, &net);
    test_fails(ctx, whet_i_image_network_make(ctx, "cnn:2", NULL, &n.weights, &image, &net),
               WHET_ERR_UNSUPPORTED);
    whet_i_image_network_free(ctx, &net);
    drop(&n);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_tell_the_order),
        cmocka_unit_test(perceptrons_of_any_names_are_run),
        cmocka_unit_test(lines_do_not_depend_on_names),
        cmocka_unit_test(wrong_axes_are_refused),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(other_numbers_of_groups_are_refused),
        cmocka_unit_test(convolutions_are_not_run_on_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
