/* SPDX-License-Identifier: Apache-2.0
 * Groups whose units stay in blocks: against all permutations there are, and a network with a group norm of
 * several groups, whose function only such permutations keep. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "merge/align_i.h"

enum { UNITS = 8, GROUPS = 4, INPUTS = 5, OUTPUTS = 3, TENSORS = 4 };

typedef struct network {
    float w[UNITS * INPUTS], scale[UNITS], shift[UNITS], out[OUTPUTS * UNITS];
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} network;

static const char *const NAMES[TENSORS] = {"conv.weight", "norm.weight", "norm.bias",
                                           "head.weight"};

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

/* ---- runs ----------------------------------------------------------------------------------------- */

static bool is_block(const whet_i_run *r, const int64_t *order, int64_t begins, int64_t d) {
    const int64_t from = order[begins];
    if (from < r->first || from >= r->first + r->count) return false;
    for (int64_t i = 0; i < d; i++) {
        const int64_t u = order[begins + i] - r->first;
        if (u < 0 || u >= r->count || u / d != (from - r->first) / d) return false;
    }
    return true;
}

/* Each block of each run comes from one block of it. */
static bool keeps_runs(const whet_i_group *g, const int64_t *order) {
    if (g->blocks > 1 && !keeps_blocks(order, g->units, g->blocks)) return false;
    for (int32_t k = 0; k < g->n_runs; k++) {
        const whet_i_run *r = &g->runs[k];
        const int64_t d = r->count / r->blocks;
        for (int64_t at = r->first; at < r->first + r->count; at += d)
            if (!is_block(r, order, at, d)) return false;
    }
    return true;
}

static double best_of_kept(const double *gain, const whet_i_group *g, int64_t *order, int64_t from,
                           int64_t *kept) {
    const int64_t n = g->units;
    double best = -HUGE_VAL, sum = 0;
    if (from == n) {
        if (!keeps_runs(g, order)) return best;
        ++*kept;
        for (int64_t i = 0; i < n; i++) sum += gain[i * n + order[i]];
        return sum;
    }
    for (int64_t i = from; i < n; i++) {
        const int64_t held = order[from];
        order[from] = order[i];
        order[i] = held;
        best = fmax(best, best_of_kept(gain, g, order, from + 1, kept));
        order[i] = order[from];
        order[from] = held;
    }
    return best;
}

/* Streams of 4 channels inside of 8, and what such runs leave: orders that keep them, by hand. */
static void runs_by_trying_all(void **state) {
    (void)state;
    static const struct {
        whet_i_run runs[3];
        int32_t n;
        int64_t blocks, orders;
    } cases[] = {
        {{{2, 4, 1}}, 1, 0, 576},                      /* 4! inside, 4! outside */
        {{{2, 4, 1}, {0, 8, 2}}, 2, 0, 32},            /* halves together: 2 (2! 2!)^2 */
        {{{2, 4, 2}, {0, 8, 4}}, 2, 0, 64},            /* blocks of one kind: (2 (2!)^2)^2 */
        {{{2, 4, 4}, {0, 8, 4}}, 2, 0, 64},            /* blocks inside of blocks */
        {{{2, 4, 2}, {0, 8, 1}}, 2, 0, 192},           /* 2 (2!)^2, and 4! outside */
        {{{4, 4, 2}, {0, 4, 1}}, 2, 2, 192},           /* halves that are unlike stay */
        {{{0, 8, 8}}, 1, 0, 40320},                    /* each by itself */
        {{{3, 2, 1}, {2, 4, 1}, {0, 8, 1}}, 3, 0, 96}, /* 2! 2! 4! */
    };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int64_t c = 0; c < WHET_COUNT_OF(cases); c++) {
        const whet_i_group g = {
            .units = 8, .blocks = cases[c].blocks, .runs = cases[c].runs, .n_runs = cases[c].n};
        double gain[64], sum = 0;
        int64_t order[8], all[8] = {0, 1, 2, 3, 4, 5, 6, 7}, kept = 0;
        assert_true(whet_i_runs_fit(&g));
        for (int i = 0; i < 64; i++) gain[i] = whet_i_rng_normal(&rng);
        test_ok(ctx, whet_i_match_units(ctx, &g, gain, order));
        assert_true(keeps_runs(&g, order));
        for (int i = 0; i < 8; i++) sum += gain[i * 8 + order[i]];
        assert_true(fabs(sum - best_of_kept(gain, &g, all, 0, &kept)) < 1e-12);
        assert_int_equal(kept, cases[c].orders);
    }
    test_ctx_done(ctx);
}

static void runs_that_do_not_fit(void **state) {
    (void)state;
    static const whet_i_run wrong[][2] = {
        {{0, 9, 1}, {0, 8, 1}}, /* more than there are */
        {{0, 8, 3}, {0, 8, 1}}, /* no three blocks of one length */
        {{0, 4, 2}, {1, 4, 2}}, /* cut each other */
        {{0, 8, 2}, {3, 4, 2}}, {{0, 6, 2}, {0, 8, 4}}, {{5, 4, 1}, {0, 8, 1}},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(wrong); i++) {
        const whet_i_group g = {.units = 8, .runs = wrong[i], .n_runs = 2};
        assert_false(whet_i_runs_fit(&g));
    }
}

static whet_status parse_group(whet_ctx *ctx, const char *group, const char *axis,
                               whet_permutation_spec **out) {
    char text[600];
    (void)snprintf(text, sizeof text,
                   "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": %s}, "
                   "\"tensors\": {\"conv.weight\": [\"p\", null], \"norm.weight\": [\"p\"], "
                   "\"norm.bias\": [%s], \"head.weight\": [null, \"p\"]}}",
                   group, axis);
    return whet_i_spec_parse(ctx, "s", text, (int64_t)strlen(text), out);
}

static void runs_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *group, *says;
    } bad[] = {
        {"{\"runs\": [{\"first\": 0, \"count\": 4}]}", "has runs without units"},
        {"{\"units\": 8, \"runs\": []}", "runs: too many or none"},
        {"{\"units\": 8, \"runs\": {}}", "runs: an object"},
        {"{\"units\": 8, \"runs\": [7]}", "a run is "},
        {"{\"units\": 8, \"runs\": [{\"first\": 0, \"cuont\": 4}]}", "key \"cuont\""},
        {"{\"units\": 8, \"runs\": [{\"first\": -1, \"count\": 4}]}", "first"},
        {"{\"units\": 8, \"runs\": [{\"first\": 0, \"count\": 4}], \"heads\": 2}", "has units and"},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_permutation_spec *spec;
    whet_alignment *found;
    network n;
    draw(&n, 2);
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        test_fails(ctx, parse_group(ctx, bad[i].group, "\"p\"", &spec), WHET_ERR_FORMAT);
        test_says(ctx, bad[i].says);
    }
    test_ok(ctx,
            parse_group(ctx,
                        "{\"units\": 8, \"runs\": [{\"first\": 0, \"count\": 4, \"blocks\": 2}, "
                        "{\"first\": 1, \"count\": 4, \"blocks\": 2}]}",
                        "\"p\"", &spec));
    test_fails(ctx, whet_align_weights(ctx, spec, &n.weights, &n.weights, NULL, &found),
               WHET_ERR_SHAPE);
    test_says(ctx, "whose blocks cut each other");
    whet_permutation_spec_destroy(ctx, spec);
    /* an axis of some units that do not stay among themselves */
    test_ok(ctx, parse_group(ctx, "{\"units\": 8, \"runs\": [{\"first\": 0, \"count\": 4}]}",
                             "[{\"group\": \"p\", \"first\": 0, \"count\": 8}]", &spec));
    whet_permutation_spec_destroy(ctx, spec);
    test_ok(ctx, parse_group(ctx, "{\"units\": 8, \"runs\": [{\"first\": 0, \"count\": 4}]}",
                             "[{\"group\": \"p\", \"first\": 1, \"count\": 7}]", &spec));
    test_fails(ctx, whet_align_weights(ctx, spec, &n.weights, &n.weights, NULL, &found),
               WHET_ERR_SHAPE);
    whet_permutation_spec_destroy(ctx, spec);
    test_ctx_done(ctx);
}

/* ---- built in: a chain ---------------------------------------------------------------------------- */

/* The same network as a convolution of one place, whose blocks are those of its norm. */
static void a_chain_with_a_group_norm(void **state) {
    (void)state;
    static const char *const names[] = {"conv1.weight", "conv2.weight", "conv2.bias", "fc.weight"};
    whet_ctx *ctx = test_ctx(1);
    const char *path = test_tmp("chain.safetensors");
    whet_safetensors *file;
    whet_permutation_spec *spec;
    network n;
    draw(&n, 4);
    for (int i = 0; i < TENSORS; i++) n.items[i].name = names[i];
    n.items[0].tensor.rank = 4;
    n.items[0].tensor.shape[2] = n.items[0].tensor.shape[3] = 1;
    test_ok(ctx, whet_safetensors_write(ctx, path, true, n.items, TENSORS, NULL));
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    test_ok(ctx, whet_permutation_spec_for(ctx, "cnn", file, NULL, &spec));
    assert_int_equal(spec->groups[0].blocks, 0);
    whet_permutation_spec_destroy(ctx, spec);
    test_ok(ctx, whet_permutation_spec_for(ctx, "cnn:4", file, NULL, &spec));
    assert_int_equal(spec->groups[0].blocks, GROUPS);
    whet_permutation_spec_destroy(ctx, spec);
    test_ok(ctx, whet_permutation_spec_for(ctx, "cnn:1", file, NULL, &spec));
    assert_int_equal(spec->groups[0].blocks, 0);
    whet_permutation_spec_destroy(ctx, spec);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* ---- a network with a group norm ---------------------------------------------------------------- */

static const char *spec_text(const char *group) {
    static char text[600];
    (void)snprintf(text, sizeof text,
                   "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"p\": %s}, "
                   "\"tensors\": {\"conv.weight\": [\"p\", null], \"norm.weight\": [\"p\"], "
                   "\"norm.bias\": [\"p\"], \"head.weight\": [null, \"p\"]}}",
                   group);
    return text;
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
        cmocka_unit_test(runs_by_trying_all),
        cmocka_unit_test(runs_that_do_not_fit),
        cmocka_unit_test(runs_are_checked),
        cmocka_unit_test(a_chain_with_a_group_norm),
        cmocka_unit_test(a_group_norm_of_several_groups),
        cmocka_unit_test(unlike_networks_keep_blocks),
        cmocka_unit_test(blocks_are_read_written_and_checked),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
