/* SPDX-License-Identifier: Apache-2.0
 * Straight-through refinement: what it says of its permutations is what the line between the networks says,
 * it is never worse than weight matching, finds better ones, and leaves what is planted. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge/align_i.h"

enum { TENSORS = 6, EXAMPLES = 60, D = 6, CLASSES = 3 };

typedef struct network {
    whet_named_tensor items[TENSORS];
    whet_weights weights;
} network;

static const char *const NAMES[TENSORS] = {"layer0.weight", "layer0.bias",   "layer1.weight",
                                           "layer1.bias",   "layer2.weight", "layer2.bias"};
static const int64_t SIZES[TENSORS][2] = {{10, D}, {10}, {9, 10}, {9}, {CLASSES, 9}, {CLASSES}};

static const char SPEC[] =
    "{\"format\": \"whet-permutations\", \"version\": 1, \"arch\": \"mlp\", \"groups\": {\"p\": "
    "{}, \"q\": {}}, \"tensors\": {\"layer0.weight\": [\"p\", null], \"layer0.bias\": [\"p\"], "
    "\"layer1.weight\": [\"q\", \"p\"], \"layer1.bias\": [\"q\"], \"layer2.weight\": [null, "
    "\"q\"], \"layer2.bias\": [null]}}";

static void draw(whet_ctx *ctx, network *n, uint64_t seed) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int i = 0; i < TENSORS; i++) {
        whet_tensor *t = &n->items[i].tensor;
        n->items[i].name = NAMES[i];
        test_ok(ctx, whet_tensor_create(ctx, WHET_F32, i % 2 ? 1 : 2, SIZES[i], t));
        for (int64_t k = 0; k < whet_tensor_count(t); k++)
            ((float *)t->data)[k] = (float)(0.6 * whet_i_rng_normal(&rng));
    }
    n->weights = (whet_weights){n->items, TENSORS};
}

static void drop(whet_ctx *ctx, network *n) {
    for (int i = 0; i < TENSORS; i++) whet_tensor_destroy(ctx, &n->items[i].tensor);
}

/* Examples of three classes that two of their numbers tell apart. */
typedef struct examples {
    float x[EXAMPLES * D];
    int32_t y[EXAMPLES];
    whet_mode_data data;
} examples;

static void draw_examples(examples *e) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    for (int i = 0; i < EXAMPLES; i++) {
        for (int k = 0; k < D; k++) e->x[i * D + k] = (float)whet_i_rng_normal(&rng);
        e->y[i] = e->x[i * D] > 0.3F ? 0 : e->x[i * D + 1] > 0 ? 1 : 2;
    }
    e->data = (whet_mode_data){
        .x = e->x, .labels = e->y, .n = EXAMPLES, .height = 1, .width = 1, .channels = D};
}

static const whet_align_opts QUICK = {sizeof QUICK, 1, 100, 5, INT64_C(1) << 30, 6, 20, 0.5, 0.9};

/* The loss of the midpoint, by the line's own code. */
static double midpoint(whet_ctx *ctx, const whet_permutation_spec *spec, const network *a,
                       const network *b, const whet_alignment *found, const examples *e) {
    whet_named_tensor moved[TENSORS];
    whet_mode_point points[3];
    double barrier;
    test_ok(ctx, whet_alignment_apply(ctx, spec, found, &b->weights, moved));
    const whet_weights there = {moved, TENSORS};
    test_ok(ctx, whet_mode_path(ctx, "mlp", &a->weights, &there, &e->data, 3, points, &barrier));
    for (int i = 0; i < TENSORS; i++) whet_tensor_destroy(ctx, &moved[i].tensor);
    return points[1].loss;
}

/* On networks drawn apart, over seeds: better where it can be, and the same at any number of threads. */
static void never_worse_and_often_better(void **state) {
    (void)state;
    int better = 0;
    static examples e;
    draw_examples(&e);
    for (uint64_t seed = 0; seed < 5; seed++) {
        int64_t kept[2][19];
        for (int t = 0; t < 2; t++) {
            whet_ctx *ctx = test_ctx(t ? 5 : 1);
            network a, b;
            whet_permutation_spec *spec;
            whet_alignment *found, *plain;
            double matched, refined;
            draw(ctx, &a, 2 * seed + 1);
            draw(ctx, &b, 2 * seed + 2);
            test_ok(ctx, whet_i_spec_parse(ctx, "spec", SPEC, sizeof SPEC - 1, &spec));
            test_ok(ctx, whet_align_straight_through(ctx, spec, &a.weights, &b.weights, &e.data,
                                                     &QUICK, &found));
            test_ok(ctx, whet_align_weights(ctx, spec, &a.weights, &b.weights, &QUICK, &plain));
            whet_alignment_midpoint(found, &matched, &refined);
            assert_true(refined <= matched);
            better += refined < matched;
            assert_true(fabs(midpoint(ctx, spec, &a, &b, plain, &e) - matched) < 1e-6);
            assert_true(fabs(midpoint(ctx, spec, &a, &b, found, &e) - refined) < 1e-6);
            assert_true(whet_alignment_objective(found) <= whet_alignment_objective(plain) + 1e-9);
            int64_t n;
            memcpy(kept[t], whet_alignment_order(found, 0, 0, &n), 10 * sizeof **kept);
            memcpy(kept[t] + 10, whet_alignment_order(found, 1, 0, &n), 9 * sizeof **kept);
            whet_alignment_destroy(ctx, found);
            whet_alignment_destroy(ctx, plain);
            whet_permutation_spec_destroy(ctx, spec);
            drop(ctx, &a);
            drop(ctx, &b);
            test_ctx_done(ctx);
        }
        assert_memory_equal(kept[0], kept[1], sizeof kept[0]);
    }
    assert_true(better >= 6); /* of 10: seeds are fixed */
}

/* B is A with its units exchanged: weight matching finds that, and nothing is better than A at its own
 * midpoint unless A's units were worth exchanging: steps are too small for that here. */
static void what_is_planted_stays(void **state) {
    (void)state;
    static examples e;
    whet_ctx *ctx = test_ctx(1);
    network a, b;
    whet_permutation_spec *spec;
    whet_alignment *drawn, *found;
    double matched, refined;
    whet_align_opts opts = QUICK;
    opts.rate = 1e-4;
    draw_examples(&e);
    draw(ctx, &a, 3);
    test_ok(ctx, whet_i_spec_parse(ctx, "spec", SPEC, sizeof SPEC - 1, &spec));
    test_ok(ctx, whet_alignment_random(ctx, spec, &a.weights, 4, &drawn));
    test_ok(ctx, whet_alignment_apply(ctx, spec, drawn, &a.weights, b.items));
    b.weights = (whet_weights){b.items, TENSORS};
    test_ok(ctx,
            whet_align_straight_through(ctx, spec, &a.weights, &b.weights, &e.data, &opts, &found));
    for (int64_t g = 0; g < 2; g++) {
        int64_t n;
        const int64_t *there = whet_alignment_order(drawn, g, 0, &n);
        const int64_t *back = whet_alignment_order(found, g, 0, &n);
        for (int64_t i = 0; i < n; i++) assert_int_equal(there[back[i]], i);
    }
    whet_alignment_midpoint(found, &matched, &refined);
    assert_true(matched == refined);
    double before, after;
    whet_alignment_distance(found, &before, &after);
    assert_true(before > 0 && after == 0);
    whet_alignment_destroy(ctx, drawn);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    drop(ctx, &a);
    drop(ctx, &b);
    test_ctx_done(ctx);
}

/* What a terminal shows: how often the stage changed, and how often the words beside it were another's. */
typedef struct shown {
    const char *stage;
    int64_t changes, of_another;
} shown;

static void show_stage(void *user, const char *stage, int64_t done, int64_t total) {
    shown *s = user;
    (void)done;
    (void)total;
    s->changes += !s->stage || strcmp(s->stage, stage) != 0;
    s->stage = strcmp(stage, "align") == 0 ? "align" : "straight-through";
}

static void show_words(void *user, const char *words) {
    shown *s = user;
    if (s->stage && strcmp(s->stage, "align") != 0)
        s->of_another += strncmp(words, "least", 5) != 0;
}

/* Each step matches anew: that is part of the step, not a stage by itself. */
static void one_stage_after_the_other(void **state) {
    (void)state;
    static examples e;
    shown s = {0};
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    network a, b;
    whet_permutation_spec *spec;
    whet_alignment *found;
    opts.progress = show_stage;
    opts.note = show_words;
    opts.user = &s;
    opts.threads = 1;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    draw_examples(&e);
    draw(ctx, &a, 3);
    draw(ctx, &b, 4);
    test_ok(ctx, whet_i_spec_parse(ctx, "spec", SPEC, sizeof SPEC - 1, &spec));
    test_ok(ctx, whet_align_straight_through(ctx, spec, &a.weights, &b.weights, &e.data, &QUICK,
                                             &found));
    assert_int_equal(s.changes, 2); /* weight matching, to begin with; then refinement */
    assert_string_equal(s.stage, "straight-through");
    assert_int_equal(s.of_another, 0);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    drop(ctx, &a);
    drop(ctx, &b);
    whet_ctx_destroy(ctx);
}

static void refusals(void **state) {
    (void)state;
    static examples e;
    whet_ctx *ctx = test_ctx(1);
    network a;
    whet_permutation_spec *spec;
    whet_alignment *found = NULL;
    draw_examples(&e);
    draw(ctx, &a, 3);
    test_ok(ctx, whet_i_spec_parse(ctx, "spec", SPEC, sizeof SPEC - 1, &spec));
    whet_align_opts opts = QUICK;
    opts.epochs = 0;
    test_fails(
        ctx, whet_align_straight_through(ctx, spec, &a.weights, &a.weights, &e.data, &opts, &found),
        WHET_ERR_ARG);
    test_says(ctx, "0 epochs");
    e.y[7] = CLASSES;
    test_fails(
        ctx,
        whet_align_straight_through(ctx, spec, &a.weights, &a.weights, &e.data, &QUICK, &found),
        WHET_ERR_DATA);
    test_says(ctx, "label of example 7 is 3");
    e.data.labels = NULL;
    test_fails(
        ctx,
        whet_align_straight_through(ctx, spec, &a.weights, &a.weights, &e.data, &QUICK, &found),
        WHET_ERR_ARG);
    test_says(ctx, "no labels");
    assert_null(found);
    whet_permutation_spec_destroy(ctx, spec);
    drop(ctx, &a);
    test_ctx_done(ctx);
}

typedef struct failing {
    network *n;
    examples *e;
} failing;

static whet_status body(whet_ctx *ctx, void *arg) {
    const failing *f = arg;
    whet_permutation_spec *spec;
    whet_alignment *found = NULL;
    whet_align_opts opts = QUICK;
    opts.epochs = 1;
    opts.batch = EXAMPLES;
    WHET_TRY(whet_i_spec_parse(ctx, "spec", SPEC, sizeof SPEC - 1, &spec));
    const whet_status status = whet_align_straight_through(
        ctx, spec, &f->n[0].weights, &f->n[1].weights, &f->e->data, &opts, &found);
    whet_alignment_destroy(ctx, found);
    whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static examples e;
    whet_ctx *ctx = test_ctx(1);
    network n[2];
    draw_examples(&e);
    draw(ctx, &n[0], 3);
    draw(ctx, &n[1], 4);
    failing f = {n, &e};
    assert_true(test_each_allocation(body, &f) > 50);
    drop(ctx, &n[0]);
    drop(ctx, &n[1]);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_worse_and_often_better), cmocka_unit_test(what_is_planted_stays),
        cmocka_unit_test(one_stage_after_the_other),    cmocka_unit_test(refusals),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
