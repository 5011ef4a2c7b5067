/* SPDX-License-Identifier: Apache-2.0
 * Losses on soft targets, label metrics and pairs: gradients against central differences in f64, and
 * values by their definitions, written here another way. */
#include "gradient_support.h"

#include <math.h>
#include <string.h>

static const int32_t labels[] = {0, 2, 0, 1, 2, 0};

/* ---- pairs ------------------------------------------------------------------------------------ */

static whet_i_pairs_spec tried;

static whet_i_value record_pairs(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 6, 4), other;
    test_ok(ctx, whet_i_unit_rows(ctx, g, x, &x));
    if (tried.kind == WHET_I_PAIR_RANKING) {
        other = source(ctx, g, "y", WHET_I_EXAMPLES, 6, 4);
        test_ok(ctx, whet_i_unit_rows(ctx, g, other, &other));
    } else {
        test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &other));
    }
    test_ok(ctx, whet_i_pairs(ctx, g, &tried, x, other, &x));
    return x;
}

static void pairs_of_a_batch(void **state) {
    (void)state;
    const whet_i_pairs_spec specs[] = {{WHET_I_PAIR_COSINE, 0, 0, false},
                                       {WHET_I_PAIR_CONTRASTIVE, 0, 0.7, false},
                                       {WHET_I_PAIR_SUPERVISED, 0.3, 0, false},
                                       {WHET_I_PAIR_RANKING, 0.5, 0, false},
                                       {WHET_I_PAIR_RANKING, 0.5, 0, true}};
    for (int64_t i = 0; i < WHET_COUNT_OF(specs); i++) {
        gradient_case c = {"pairs", record_pairs, .examples = 6};
        tried = specs[i];
        if (tried.kind != WHET_I_PAIR_RANKING) c.integers[0] = labels;
        check_gradients(&c);
        c.examples = 2; /* no pair of a class: the supervised loss vanishes, and has no gradient */
        if (tried.kind != WHET_I_PAIR_SUPERVISED) check_gradients(&c);
    }
}

/* ---- values by hand ---------------------------------------------------------------------------- */

/* Runs a graph of one recorded loss on unit rows of the plane at these angles. */
static double value_of(const whet_i_pairs_spec *spec, const double *angles, const double *others,
                       int64_t n, const int32_t *y) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_params *params;
    whet_i_graph *g;
    whet_i_plan *plan;
    whet_i_executor *e;
    whet_i_value x, other, loss;
    whet_i_real rows[2][32];
    for (int64_t i = 0; i < n; i++) {
        rows[0][2 * i] = (whet_i_real)cos(angles[i]);
        rows[0][2 * i + 1] = (whet_i_real)sin(angles[i]);
        rows[1][2 * i] = (whet_i_real)cos(others ? others[i] : 0);
        rows[1][2 * i + 1] = (whet_i_real)sin(others ? others[i] : 0);
    }
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &params));
    test_ok(ctx, whet_i_graph_create(ctx, params, &g));
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 2, &x));
    test_ok(ctx, whet_i_graph_feed(ctx, g, !others, WHET_I_EXAMPLES, others ? 2 : 1, &other));
    test_ok(ctx, whet_i_pairs(ctx, g, spec, x, other, &loss));
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, n, 0}, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &loss,
                                   .n_keep = 1};
    test_ok(ctx, whet_i_plan_create(ctx, g, &opts, &plan));
    test_ok(ctx, whet_i_executor_create(ctx, plan, &e));
    const whet_i_batch batch = {
        .rows = {1, n, 0}, .feeds = {rows[0], others ? (const void *)rows[1] : y}, .loss_scale = 1};
    whet_i_executor_run(e, &batch);
    const double value = (double)whet_i_executor_value(e, loss)[0];
    whet_i_executor_destroy(ctx, e);
    whet_i_plan_destroy(ctx, plan);
    whet_i_graph_destroy(ctx, g);
    whet_i_params_destroy(ctx, params);
    test_ctx_done(ctx);
    return value;
}

static void near_to(double got, double expected) {
    if (fabs(got - expected) > 1e-12) print_error("%.15g; expected %.15g\n", got, expected);
    assert_true(fabs(got - expected) <= 1e-12);
}

static void values_by_hand(void **state) {
    (void)state;
    const double right = 2 * atan(1),
                 angles[] = {0, right, right / 2}; /* S: 0, r, r with r = 1/sqrt 2 */
    const double r = sqrt(0.5);
    const int32_t y[] = {0, 1, 0};
    /* pairs both ways: (01) of two classes, S 0; (02) of one, S r; (12) of two, S r */
    near_to(value_of(&(whet_i_pairs_spec){WHET_I_PAIR_COSINE, 0, 0, false}, angles, NULL, 3, y),
            (0 + (1 - r) * (1 - r) + r * r) / 3);
    /* margin 0.5: (01) distance 1: beyond; (12) distance 1 - r = .293: inside by .207 */
    const double inside = 0.5 - (1 - r);
    near_to(
        value_of(&(whet_i_pairs_spec){WHET_I_PAIR_CONTRASTIVE, 0, 0.5, false}, angles, NULL, 3, y),
        ((1 - r) * (1 - r) + inside * inside) / 3);
    /* anchors 0 and 2, each with the other: softmax over the two other rows, t = 1/2 */
    const double zero = -log(exp(2 * r) / (exp(2 * r) + exp(0))), two = -log(0.5);
    near_to(
        value_of(&(whet_i_pairs_spec){WHET_I_PAIR_SUPERVISED, 0.5, 0, false}, angles, NULL, 3, y),
        (zero + two) / 2);
    /* ranking: partners equal to the anchors */
    double sum = 0;
    const double s[3][3] = {{1, 0, r}, {0, 1, r}, {r, r, 1}};
    for (int i = 0; i < 3; i++) sum += log(exp(s[i][0]) + exp(s[i][1]) + exp(s[i][2])) - 1;
    near_to(
        value_of(&(whet_i_pairs_spec){WHET_I_PAIR_RANKING, 1, 0, false}, angles, angles, 3, NULL),
        sum / 3);
    near_to(
        value_of(&(whet_i_pairs_spec){WHET_I_PAIR_RANKING, 1, 0, true}, angles, angles, 3, NULL),
        sum / 3);
    /* One row, or none: no pairs. */
    for (int64_t n = 0; n < 2; n++)
        for (int kind = WHET_I_PAIR_COSINE; kind <= WHET_I_PAIR_SUPERVISED; kind++)
            near_to(value_of(&(whet_i_pairs_spec){(whet_i_pair_loss)kind, 1, 1, false}, angles,
                             NULL, n, y),
                    0);
}

/* Rows without a label take no part: the numbers are those of the batch without them. */
static void pairs_without_a_label_take_no_part(void **state) {
    (void)state;
    const double angles[] = {0, 0.3, 1.4, 0.9, 2, 1.1, 0.2}, kept[] = {0, 1.4, 0.9, 2, 1.1};
    const int32_t y[] = {0, -1, 1, 0, 1, 2, -1}, kept_y[] = {0, 1, 0, 1, 2};
    const int32_t none[] = {-1, -1, -100, -1, -1};
    for (int kind = WHET_I_PAIR_COSINE; kind <= WHET_I_PAIR_SUPERVISED; kind++) {
        const whet_i_pairs_spec spec = {(whet_i_pair_loss)kind, 0.5, 0.7, false};
        near_to(value_of(&spec, angles, NULL, 7, y), value_of(&spec, kept, NULL, 5, kept_y));
        near_to(value_of(&spec, kept, NULL, 5, none), 0);
        tried = spec;
        check_gradients(&(gradient_case){"pairs, some without label", record_pairs, .examples = 6,
                                         .integers = {y}});
    }
}

/* NaN must stop training: it reaches the loss also where a hinge would cut it off. */
static void nan_reaches_the_loss_of_pairs(void **state) {
    (void)state;
    const double angles[] = {0, 1, (double)NAN}, others[] = {0.1, 0.9, 0.5};
    const int32_t apart[] = {0, 1, 2}, same[] = {0, 1, 0};
    for (int kind = WHET_I_PAIR_COSINE; kind <= WHET_I_PAIR_RANKING; kind++) {
        const whet_i_pairs_spec spec = {(whet_i_pair_loss)kind, 0.5, 0.7, false};
        const bool ranking = kind == WHET_I_PAIR_RANKING;
        assert_true(isnan(value_of(&spec, angles, ranking ? others : NULL, 3, same)));
        if (kind <= WHET_I_PAIR_CONTRASTIVE)
            assert_true(isnan(value_of(&spec, angles, NULL, 3, apart)));
    }
}

/* ---- soft targets, label metrics --------------------------------------------------------------- */

static const double soft[] = {0.2, 0.3, 0.5, 0, 0, 0, 1, 0, 0, 0.5, 0.25, 0.5};
static const whet_i_real costs[] = {0, 1, 4, 1, 0, 9, 4, 9, 0, 2, 3, 5}; /* [4, 3] or [3, 4] */
static double tried_temperature = 1;

static whet_i_value record_soft(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), targets;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx, whet_i_soft_cross_entropy(ctx, g, x, targets, &x));
    return x;
}

static whet_i_value record_cost(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), y;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_expected_cost(ctx, g, x, y, costs, tried_temperature, &x));
    return x;
}

/* Three observed classes, four candidates. */
static whet_i_value record_frechet(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), y;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_frechet_loss(ctx, g, x, y, costs, 4, tried_temperature, &x));
    return x;
}

static whet_i_value record_both(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), y, targets, a, b;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx, whet_i_expected_cost(ctx, g, x, y, costs, tried_temperature, &a));
    test_ok(ctx, whet_i_soft_cross_entropy(ctx, g, x, targets, &b));
    test_ok(ctx, whet_i_sum(ctx, g, a, b, &a));
    return a;
}

static void soft_targets_and_costs(void **state) {
    (void)state;
    static const int32_t some[] = {2, -1, 0,
                                   3}; /* the costs have four rows, of which 3 is not scored */
    check_gradients(&(gradient_case){"soft targets", record_soft, .examples = 4, .reals = {soft}});
    for (tried_temperature = 0.5; tried_temperature < 3; tried_temperature *= 2) {
        check_gradients(
            &(gradient_case){"expected cost", record_cost, .examples = 4, .integers = {some}});
        check_gradients(
            &(gradient_case){"frechet loss", record_frechet, .examples = 4, .integers = {some}});
    }
    tried_temperature = 1;
    check_gradients(&(gradient_case){"both", record_both, .examples = 4, .integers = {some},
                                     .reals = {NULL, soft}});
}

static whet_i_value record_cosines(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 6, 4), a, b, targets;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_PAIRS, 1, &targets));
    test_ok(ctx, whet_i_unit_rows(ctx, g, x, &x));
    test_ok(ctx, whet_i_split_pairs(ctx, g, x, &a, &b));
    test_ok(ctx, whet_i_cosine_mse(ctx, g, a, b, targets, &x));
    return x;
}

/* Only one side of the pairs is read, and x has a second reader. */
static whet_i_value record_one_side(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 6, 4), a, b;
    test_ok(ctx, whet_i_split_pairs(ctx, g, x, &a, &b));
    test_ok(ctx, whet_i_sum(ctx, g, weigh(ctx, g, b), weigh(ctx, g, x), &x));
    return x;
}

static void pairs_of_neighbouring_rows(void **state) {
    (void)state;
    static const double targets[] = {0.5, -1, 0.25};
    check_gradients(
        &(gradient_case){"cosine mse", record_cosines, .examples = 6, .reals = {targets}});
    check_gradients(&(gradient_case){"one side", record_one_side, .examples = 6});
}

/* ---- targets that are no numbers ---------------------------------------------------------------- */

static whet_i_value record_mse(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), targets;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx, whet_i_mse(ctx, g, x, targets, &x));
    return x;
}

static whet_i_value record_vae(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3);
    const whet_i_value m = source(ctx, g, "m", WHET_I_EXAMPLES, 4, 2);
    const whet_i_value v = source(ctx, g, "v", WHET_I_EXAMPLES, 4, 2);
    whet_i_value targets, loss;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx,
            whet_i_vae_loss(ctx, g, x, targets, m, v,
                            &(whet_i_vae_loss_spec){.cross_entropy = true, .weight = 1}, &loss));
    return loss;
}

static void nan_in_a_target_reaches_the_loss(void **state) {
    (void)state;
    whet_i_value (*const records[])(whet_ctx *, whet_i_graph *) = {record_soft, record_mse,
                                                                   record_vae, record_cosines};
    double targets[12];
    for (int64_t i = 0; i < WHET_COUNT_OF(records); i++) {
        for (int bad = 0; bad < 2; bad++) {
            for (int j = 0; j < 12; j++) targets[j] = j < 3 ? 0 : 0.25; /* else row 0 is empty */
            targets[1] = bad ? (double)NAN : 0;
            const double loss =
                loss_value(&(gradient_case){"nan", records[i], .examples = 4, .reals = {targets}});
            assert_int_equal(isnan(loss), bad);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_a_batch),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(pairs_without_a_label_take_no_part),
        cmocka_unit_test(nan_reaches_the_loss_of_pairs),
        cmocka_unit_test(soft_targets_and_costs),
        cmocka_unit_test(pairs_of_neighbouring_rows),
        cmocka_unit_test(nan_in_a_target_reaches_the_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
