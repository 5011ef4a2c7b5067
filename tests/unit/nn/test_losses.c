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

/* ---- soft targets, label metrics --------------------------------------------------------------- */

static const double soft[] = {0.2, 0.3, 0.5, 0, 0, 0, 1, 0, 0, 0.5, 0.25, 0.5};
static const whet_i_real costs[] = {0, 1, 4, 1, 0, 9, 4, 9, 0};

static whet_i_value record_soft(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), targets;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx, whet_i_soft_cross_entropy(ctx, g, x, targets, &x));
    return x;
}

static whet_i_value record_cost(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), y;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_expected_cost(ctx, g, x, y, costs, &x));
    return x;
}

static whet_i_value record_both(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3), y, targets, a, b;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 3, &targets));
    test_ok(ctx, whet_i_expected_cost(ctx, g, x, y, costs, &a));
    test_ok(ctx, whet_i_soft_cross_entropy(ctx, g, x, targets, &b));
    test_ok(ctx, whet_i_sum(ctx, g, a, b, &a));
    return a;
}

static void soft_targets_and_costs(void **state) {
    (void)state;
    static const int32_t some[] = {2, -1, 0, 1};
    check_gradients(&(gradient_case){"soft targets", record_soft, .examples = 4, .reals = {soft}});
    check_gradients(
        &(gradient_case){"expected cost", record_cost, .examples = 4, .integers = {some}});
    check_gradients(&(gradient_case){"both", record_both, .examples = 4, .integers = {some},
                                     .reals = {NULL, soft}});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_of_a_batch),
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(soft_targets_and_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
