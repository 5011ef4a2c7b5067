/* SPDX-License-Identifier: Apache-2.0
 * Groups whose units stay in blocks: against all permutations there are, and a network with a group norm of
 * several groups, whose function only such permutations keep. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "merge/align_i.h"

enum { UNITS = 8, GROUPS = 4, INPUTS = 5, OUTPUTS = 3, TENSORS = 4 };

static bool keeps_blocks(const int64_t *order, int64_t n, int64_t blocks) {
    const int64_t d = n / blocks;
    for (int64_t i = 0; i < n; i++)
        if (order[i] / d != order[i / d * d] / d) return false;
    return true;
}

/* The best of all permutations of order [from..] that keep blocks, by trying them. */
static double best_of_all(const double *gain, int64_t n, int64_t blocks, int64_t *order,
                          int64_t from) {
    double best = -HUGE_VAL;
    if (from == n) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += gain[i * n + order[i]];
        return keeps_blocks(order, n, blocks) ? sum : best;
    }
    for (int64_t i = from; i < n; i++) {
        const int64_t kept = order[from];
        order[from] = order[i];
        order[i] = kept;
        best = fmax(best, best_of_all(gain, n, blocks, order, from + 1));
        order[i] = order[from];
        order[from] = kept;
    }
    return best;
}

static void the_best_of_all(void **state) {
    (void)state;
    static const int64_t blocks[] = {0, 1, 2, 3, 6};
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    for (int round = 0; round < 20; round++) {
        const whet_i_group g = {.units = 6, .blocks = blocks[round % 5]};
        const int64_t n = g.blocks ? g.blocks : 1;
        double gain[36], sum = 0;
        int64_t order[6], all[6] = {0, 1, 2, 3, 4, 5};
        for (int i = 0; i < 36; i++) gain[i] = whet_i_rng_normal(&rng);
        test_ok(ctx, whet_i_match_units(ctx, &g, gain, order));
        assert_true(keeps_blocks(order, 6, n));
        for (int i = 0; i < 6; i++) sum += gain[i * 6 + order[i]];
        assert_true(fabs(sum - best_of_all(gain, 6, n, all, 0)) < 1e-12);
    }
    test_ctx_done(ctx);
}

/* ---- a network with a group norm ---------------------------------------------------------------- */

typedef struct network {
    float w[UNITS * INPUTS], scale[UNITS], shift[UNITS], out[OUTPUTS * UNITS];
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} network;

static const char *const NAMES[TENSORS] = {"conv.weight", "norm.weight", "norm.bias",
                                           "head.weight"};

static const char *spec_text(const char *group) {
    static char text[600];
    (void)snprintf(text, sizeof text,
                   "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": %s}, "
                   "\"tensors\": {\"conv.weight\": [\"p\", null], \"norm.weight\": [\"p\"], "
                   "\"norm.bias\": [\"p\"], \"head.weight\": [null, \"p\"]}}",
                   group);
    return text;
}

static void draw(network *n, uint64_t seed) {
    float *const data[] = {n->w, n->scale, n->shift, n->out};
    static const int64_t shapes[TENSORS][2] = {{UNITS, INPUTS}, {UNITS}, {UNITS}, {OUTPUTS, UNITS}};
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int i = 0; i < TENSORS; i++) {
        const int32_t rank = shapes[i][1] ? 2 : 1;
        n->items[i] =
            (whet_named_tensor){NAMES[i], {data[i], WHET_F32, rank, {shapes[i][0], shapes[i][1]}}};
        for (int64_t k = 0; k < whet_tensor_count(&n->items[i].tensor); k++)
            data[i][k] = (float)whet_i_rng_normal(&rng);
    }
    n->weights = (whet_weights){n->items, TENSORS};
}

/* head(relu(norm(conv(x)))), the norm over each of GROUPS groups of units. */
static void run(const whet_named_tensor *items, const double *x, double *y) {
    const float *w = items[0].tensor.data, *scale = items[1].tensor.data;
    const float *shift = items[2].tensor.data, *out = items[3].tensor.data;
    enum { WIDTH = UNITS / GROUPS };
    double h[UNITS] = {0};
    for (int u = 0; u < UNITS; u++)
        for (int i = 0; i < INPUTS; i++) h[u] += (double)w[u * INPUTS + i] * x[i];
    for (int g = 0; g < UNITS; g += WIDTH) {
        double mean = 0, variance = 0;
        for (int u = g; u < g + WIDTH; u++) mean += h[u] / WIDTH;
        for (int u = g; u < g + WIDTH; u++) variance += (h[u] - mean) * (h[u] - mean) / WIDTH;
        for (int u = g; u < g + WIDTH; u++)
            h[u] = fmax(0, (h[u] - mean) / sqrt(variance + 1e-5) * (double)scale[u] +
                               (double)shift[u]);
    }
    for (int o = 0; o < OUTPUTS; o++) {
        y[o] = 0;
        for (int u = 0; u < UNITS; u++) y[o] += (double)out[o * UNITS + u] * h[u];
    }
}

/* Draws keep the function with blocks, do not without; and what is drawn is found again, blocks whole. */
static void a_group_norm_of_several_groups(void **state) {
    (void)state;
    static const double x[INPUTS] = {0.3, -1, 2, 0.5, -0.7};
    whet_ctx *ctx = test_ctx(1);
    network n;
    double want[OUTPUTS], y[OUTPUTS], most = 0;
    draw(&n, 2);
    run(n.items, x, want);
    for (int free = 0; free < 2; free++) {
        whet_permutation_spec *spec;
        const char *text = spec_text(free ? "{}" : "{\"blocks\": 4}");
        test_ok(ctx, whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec));
        for (uint64_t seed = 0; seed < 10; seed++) {
            whet_named_tensor moved[TENSORS];
            whet_alignment *drawn, *found;
            int64_t count;
            test_ok(ctx, whet_alignment_random(ctx, spec, &n.weights, seed, &drawn));
            test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &n.weights, moved));
            run(moved, x, y);
            for (int o = 0; o < OUTPUTS; o++) {
                if (free)
                    most = fmax(most, fabs(y[o] - want[o]));
                else
                    assert_true(fabs(y[o] - want[o]) < 1e-12);
            }
            const whet_weights b = {moved, TENSORS};
            test_ok(ctx, whet_align_weights(ctx, spec, &n.weights, &b, NULL, &found));
            const int64_t *there = whet_alignment_order(drawn, 0, 0, &count);
            const int64_t *back = whet_alignment_order(found, 0, 0, &count);
            assert_true(free || keeps_blocks(there, UNITS, GROUPS));
            for (int64_t i = 0; i < UNITS; i++) assert_int_equal(there[back[i]], i);
            for (int i = 0; i < TENSORS; i++) whet_tensor_destroy(ctx, &moved[i].tensor);
            whet_alignment_destroy(ctx, drawn);
            whet_alignment_destroy(ctx, found);
        }
        whet_permutation_spec_destroy(ctx, spec);
    }
    assert_true(most > 0.1);
    test_ctx_done(ctx);
}

/* Of networks that have nothing in common, whose best orders would break blocks. */
static void unlike_networks_keep_blocks(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    network a, b;
    int broken = 0;
    for (int free = 0; free < 2; free++) {
        whet_permutation_spec *spec;
        const char *text = spec_text(free ? "{}" : "{\"blocks\": 4}");
        test_ok(ctx, whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec));
        for (uint64_t seed = 10; seed < 20; seed += 2) {
            whet_alignment *found;
            int64_t count;
            draw(&a, seed);
            draw(&b, seed + 1);
            test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, NULL, &found));
            const bool kept =
                keeps_blocks(whet_alignment_order(found, 0, 0, &count), UNITS, GROUPS);
            assert_true(free || kept);
            broken += free && !kept;
            assert_true(whet_alignment_objective(found) >= whet_alignment_identity(found));
            whet_alignment_destroy(ctx, found);
        }
        whet_permutation_spec_destroy(ctx, spec);
    }
    assert_true(broken > 0);
    test_ctx_done(ctx);
}

static void blocks_are_read_written_and_checked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    network n;
    whet_permutation_spec *spec, *again;
    whet_alignment *found;
    const char *path = test_tmp("blocks.json");
    draw(&n, 2);
    const char *text = spec_text("{\"blocks\": 4, \"units\": 8}");
    test_ok(ctx, whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec));
    test_ok(ctx, whet_permutation_spec_write(ctx, spec, path, true));
    test_ok(ctx, whet_permutation_spec_read(ctx, path, &again));
    assert_int_equal(again->groups[0].blocks, 4);
    assert_int_equal(again->groups[0].units, 8);
    whet_permutation_spec_destroy(ctx, again);
    whet_permutation_spec_destroy(ctx, spec);
    text = spec_text("{\"blocks\": 3}");
    test_ok(ctx, whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec));
    test_fails(ctx, whet_align_weights(ctx, spec, &n.weights, &n.weights, NULL, &found),
               WHET_ERR_SHAPE);
    test_says(ctx, "group \"p\" has 8 units, that are no 3 blocks");
    whet_permutation_spec_destroy(ctx, spec);
    text = spec_text("{\"blocks\": 3, \"heads\": 2, \"head_size\": 4}");
    test_fails(ctx, whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec),
               WHET_ERR_FORMAT);
    test_says(ctx, "has blocks and heads");
    test_ctx_done(ctx);
}

static whet_status body(whet_ctx *ctx, void *arg) {
    const network *n = arg;
    whet_permutation_spec *spec;
    whet_alignment *drawn = NULL, *found = NULL;
    const char *text = spec_text("{\"blocks\": 4}");
    WHET_TRY(whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), &spec));
    whet_status status = whet_alignment_random(ctx, spec, &n->weights, 1, &drawn);
    if (status == WHET_OK)
        status = whet_align_weights(ctx, spec, &n->weights, &n->weights, NULL, &found);
    whet_alignment_destroy(ctx, drawn);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    network n;
    draw(&n, 2);
    assert_true(test_each_allocation(body, &n) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_all),
        cmocka_unit_test(a_group_norm_of_several_groups),
        cmocka_unit_test(unlike_networks_keep_blocks),
        cmocka_unit_test(blocks_are_read_written_and_checked),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
