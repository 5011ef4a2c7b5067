/* SPDX-License-Identifier: Apache-2.0
 * Every loss against torch's values and gradients (tests/golden/losses), in f32, and compiled once more
 * in f64. */
#include "gradient_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 7, CLASSES = 4, CANDIDATES = 6, WIDTH = 5, LATENT = 3 };

/* Inputs are exact in both precisions. In f64 what differs is the order of sums of at most 50 terms of size
 * 1: 1e-14. In f32 the similarities and their products are sums of 5 to 7 rounded terms (7 x 2^-24 = 4e-7 at
 * worst, of numbers below 1), everything behind them is f64. */
static const double bound = sizeof(whet_i_real) == sizeof(double) ? 1e-12 : 1e-6;

typedef struct golden {
    whet_ctx *ctx;
    whet_safetensors *file;
    const char *name; /* of the case */
    whet_i_graph *g;
    whet_i_real *costs;
    double parameter;
} golden;

static whet_tensor array(const golden *c, const char *name) {
    char full[96];
    whet_tensor t;
    (void)snprintf(full, sizeof full, "%s/%s", c->name, name);
    if (!whet_safetensors_find(c->file, full, &t)) print_error("no golden array %s\n", full);
    assert_true(whet_safetensors_find(c->file, full, &t));
    return t;
}

static bool has(const golden *c, const char *name) {
    char full[96];
    whet_tensor t;
    (void)snprintf(full, sizeof full, "%s/%s", c->name, name);
    return whet_safetensors_find(c->file, full, &t);
}

static double number(const whet_tensor *t, int64_t i) {
    double x;
    assert_true(t->dtype == WHET_F64);
    memcpy(&x, (const char *)t->data + i * (int64_t)sizeof x, sizeof x);
    return x;
}

/* A copy as whet_i_real. */
static whet_i_real *reals(const golden *c, const char *name) {
    const whet_tensor t = array(c, name);
    whet_i_real *x = malloc(sizeof *x * (size_t)whet_tensor_count(&t));
    for (int64_t i = 0; i < whet_tensor_count(&t); i++) x[i] = (whet_i_real)number(&t, i);
    return x;
}

static whet_i_value input(const golden *c, const char *name, int64_t columns) {
    return source(c->ctx, c->g, name, WHET_I_EXAMPLES, ROWS, columns);
}

static whet_i_value unit(const golden *c, const char *name) {
    whet_i_value x = input(c, name, WIDTH);
    test_ok(c->ctx, whet_i_unit_rows(c->ctx, c->g, x, &x));
    return x;
}

static whet_i_value feed(const golden *c, bool integers, int64_t columns) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_graph_feed(c->ctx, c->g, integers, WHET_I_EXAMPLES, columns, &y));
    return y;
}

/* ---- recordings -------------------------------------------------------------------------------- */

static whet_i_value record_cross_entropy(const golden *c) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_cross_entropy(c->ctx, c->g, input(c, "x", CLASSES), feed(c, true, 1),
                                         c->parameter, &y));
    return y;
}

static whet_i_value record_soft(const golden *c) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_soft_cross_entropy(c->ctx, c->g, input(c, "x", CLASSES),
                                              feed(c, false, CLASSES), &y));
    return y;
}

static whet_i_value record_cost(const golden *c) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_expected_cost(c->ctx, c->g, input(c, "x", CANDIDATES), feed(c, true, 1),
                                         c->costs, c->parameter, &y));
    return y;
}

static whet_i_value record_frechet(const golden *c) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_frechet_loss(c->ctx, c->g, input(c, "x", CLASSES), feed(c, true, 1),
                                        c->costs, CANDIDATES, c->parameter, &y));
    return y;
}

static whet_i_value record_mse(const golden *c) {
    whet_i_value y;
    test_ok(c->ctx, whet_i_mse(c->ctx, c->g, input(c, "x", 2), feed(c, false, 2), &y));
    return y;
}

static whet_i_value record_cosine_mse(const golden *c) {
    const whet_i_value a = unit(c, "x"), b = unit(c, "y");
    whet_i_value y;
    test_ok(c->ctx, whet_i_cosine_mse(c->ctx, c->g, a, b, feed(c, false, 1), &y));
    return y;
}

static whet_i_value record_vae(const golden *c) {
    const whet_i_vae_loss_spec spec = {.cross_entropy = c->parameter > 0, .weight = 3};
    const whet_i_value x = input(c, "x", WIDTH), m = input(c, "m", LATENT);
    const whet_i_value v = input(c, "v", LATENT);
    whet_i_value y;
    test_ok(c->ctx, whet_i_vae_loss(c->ctx, c->g, x, feed(c, false, WIDTH), m, v, &spec, &y));
    return y;
}

static whet_i_value record_pairs(const golden *c, const whet_i_pairs_spec *spec) {
    const whet_i_value x = unit(c, "x");
    const whet_i_value other = spec->kind == WHET_I_PAIR_RANKING ? unit(c, "y") : feed(c, true, 1);
    whet_i_value y;
    test_ok(c->ctx, whet_i_pairs(c->ctx, c->g, spec, x, other, &y));
    return y;
}

static whet_i_value record_squares(const golden *c) {
    return record_pairs(c, &(whet_i_pairs_spec){.kind = WHET_I_PAIR_COSINE});
}

static whet_i_value record_contrastive(const golden *c) {
    return record_pairs(c, &(whet_i_pairs_spec){.kind = WHET_I_PAIR_CONTRASTIVE, .margin = 0.7});
}

static whet_i_value record_supervised(const golden *c) {
    return record_pairs(c,
                        &(whet_i_pairs_spec){.kind = WHET_I_PAIR_SUPERVISED, .temperature = 0.3});
}

static whet_i_value record_ranking(const golden *c) {
    return record_pairs(c, &(whet_i_pairs_spec){.kind = WHET_I_PAIR_RANKING,
                                                .temperature = 0.5,
                                                .symmetric = c->parameter > 0});
}

static const struct {
    const char *name;
    whet_i_value (*record)(const golden *c);
    double parameter;
} cases[] = {
    {"cross_entropy", record_cross_entropy, 0},
    {"smoothed", record_cross_entropy, 0.15},
    {"soft", record_soft, 0},
    {"expected_cost", record_cost, 1},
    {"tempered_cost", record_cost, 0.7},
    {"frechet", record_frechet, 1},
    {"tempered_frechet", record_frechet, 2.5},
    {"mse", record_mse, 0},
    {"cosine_mse", record_cosine_mse, 0},
    {"vae_squares", record_vae, 0},
    {"vae_entropy", record_vae, 1},
    {"pairs", record_squares, 0},
    {"contrastive", record_contrastive, 0},
    {"supervised", record_supervised, 0},
    {"ranking", record_ranking, 0},
    {"symmetric", record_ranking, 1},
};

/* ---- one case ---------------------------------------------------------------------------------- */

/* Within the bound times the largest number. */
static void compare(const golden *c, const char *name, const whet_i_real *got) {
    const whet_tensor t = array(c, name);
    double largest = 0;
    for (int64_t i = 0; i < whet_tensor_count(&t); i++)
        largest = fmax(largest, fabs(number(&t, i)));
    assert_true(largest > 1e-3);
    for (int64_t i = 0; i < whet_tensor_count(&t); i++) {
        if (fabs((double)got[i] - number(&t, i)) <= bound * largest) continue;
        print_error("%s/%s[%lld]: %.15g, expected %.15g\n", c->name, name, (long long)i,
                    (double)got[i], number(&t, i));
        fail();
    }
}

static void run(const golden *c, whet_i_value loss) {
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, ROWS}, .workers = 2}, .loss = loss, .keep = &loss, .n_keep = 1};
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_batch batch = {.rows = {1, ROWS}, .loss_scale = 1};
    whet_i_real *targets = has(c, "targets") ? reals(c, "targets") : NULL;
    int32_t labels[ROWS];
    if (has(c, "labels")) memcpy(labels, array(c, "labels").data, sizeof labels);
    batch.feeds[0] = targets ? (const void *)targets : labels;
    test_ok(c->ctx, whet_i_plan_create(c->ctx, c->g, &opts, &plan));
    test_ok(c->ctx, whet_i_executor_create(c->ctx, plan, &executor));
    whet_i_executor_run(executor, &batch);
    compare(c, "loss", whet_i_executor_value(executor, loss));
    whet_i_executor_destroy(c->ctx, executor);
    whet_i_plan_destroy(c->ctx, plan);
    free(targets);
}

static void check_case(whet_ctx *ctx, whet_safetensors *file, int64_t i) {
    golden c = {.ctx = ctx, .file = file, .name = cases[i].name, .parameter = cases[i].parameter};
    whet_i_params *params;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &params));
    test_ok(ctx, whet_i_graph_create(ctx, params, &c.g));
    if (has(&c, "costs")) c.costs = reals(&c, "costs");
    const whet_i_value loss = cases[i].record(&c);
    for (int64_t p = 0; p < params->n; p++) params->items[p].trainable = true;
    test_ok(ctx, whet_i_params_settle(ctx, params, 0));
    for (int64_t p = 0; p < params->n; p++) {
        whet_i_real *values = reals(&c, params->items[p].name);
        memcpy(params->items[p].values, values, (size_t)params->items[p].count * sizeof *values);
        free(values);
    }
    run(&c, loss);
    for (int64_t p = 0; p < params->n; p++) {
        char name[16];
        (void)snprintf(name, sizeof name, "grad/%s", params->items[p].name);
        compare(&c, name, params->items[p].gradient);
    }
    free(c.costs);
    whet_i_graph_destroy(ctx, c.g);
    whet_i_params_destroy(ctx, params);
}

static void every_loss_is_torch_s(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(ctx, test_source("tests/golden/losses/expected.safetensors"),
                                       &file));
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) check_case(ctx, file, i);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_loss_is_torch_s)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
