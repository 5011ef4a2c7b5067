/* SPDX-License-Identifier: Apache-2.0
 * LoRA and DoRA of one layer, in f64: values and gradients as PEFT computes them, merged weights that do the
 * same, and the magnitudes' own gradients against differences. */
#include "gradient_support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tune/adapter_i.h"

enum { IN = 12, OUT = 7, ROWS = 5 };

typedef struct layer {
    const char *name;
    whet_i_adapter_settings settings;
} layer;

static const layer layers[] = {
    {"lora", {WHET_I_ADAPTER_LORA, 1, 3, 2}},
    {"rslora", {WHET_I_ADAPTER_LORA, 1, 4, 3}},
    {"dora", {WHET_I_ADAPTER_DORA, 1, 3, 2}},
    {"dora_rs", {WHET_I_ADAPTER_DORA, 1, 2, 3 / 1.4142135623730951}},
};

/* ---- PEFT's numbers --------------------------------------------------------------------------- */

typedef struct numbers {
    whet_safetensors *file;
    const char *name;
} numbers;

static const double *get(const numbers *n, const char *what, int64_t count) {
    char full[64];
    whet_tensor t;
    (void)snprintf(full, sizeof full, "%s.%s", n->name, what);
    assert_true(whet_safetensors_find(n->file, full, &t));
    assert_true(t.dtype == WHET_F64 && whet_tensor_count(&t) == count);
    return t.data;
}

static whet_i_param *param(whet_i_params *params, const char *name) {
    const whet_i_param_id id = whet_i_params_find(params, name);
    assert_true(id >= 0);
    return &params->items[id];
}

static void set(whet_i_params *params, const char *name, const numbers *n, const char *what) {
    const whet_i_param *p = param(params, name);
    memcpy(p->values, get(n, what, p->count), (size_t)p->count * sizeof *p->values);
}

/* Sums of a few dozen numbers near 1, in another order. */
static void same(const whet_i_real *got, const double *expected, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - expected[i]) < 1e-12 * (1 + fabs(expected[i])))) {
            print_error("[%lld] is %.17g; expected %.17g\n", (long long)i, got[i], expected[i]);
            fail();
        }
}

static void same_gradient(whet_i_params *params, const char *name, const numbers *n,
                          const char *what) {
    const whet_i_param *p = param(params, name);
    same(p->gradient, get(n, what, p->count), p->count);
}

/* ---- one layer -------------------------------------------------------------------------------- */

static whet_i_value record_layer(whet_ctx *ctx, whet_i_graph *g, const layer *l, whet_i_value x) {
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {"m"},
                                     .n = {OUT},
                                     .bias = true,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 1,
                                     .bias_init = WHET_I_INIT_NORMAL,
                                     .bias_scale = 1};
    whet_i_value y;
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &spec, &y));
    test_ok(ctx, whet_i_adapter_record(ctx, g, "m", x, &y, 0, OUT, &l->settings));
    if (l->settings.kind == WHET_I_ADAPTER_DORA)
        test_ok(ctx, whet_i_magnitude_record(ctx, g, "m", IN, &y, 0, OUT, &l->settings));
    return y;
}

static void check_layer(whet_ctx *ctx, whet_safetensors *file, const layer *l) {
    const numbers n = {file, l->name};
    const bool dora = l->settings.kind == WHET_I_ADAPTER_DORA;
    whet_i_params *params;
    whet_i_graph *g;
    whet_i_plan *plan;
    whet_i_executor *executor;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &params));
    test_ok(ctx, whet_i_graph_create(ctx, params, &g));
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, ROWS, IN);
    const whet_i_value y = record_layer(ctx, g, l, x);
    const whet_i_value loss = weigh_by(ctx, g, y, get(&n, "weights", ROWS * OUT));
    for (int64_t i = 0; i < params->n; i++)
        params->items[i].trainable = strncmp(params->items[i].name, "m.", 2) != 0 ||
                                     strncmp(params->items[i].name, "m.lora", 6) == 0;
    test_ok(ctx, whet_i_params_settle(ctx, params, 0));
    set(params, "x", &n, "x");
    set(params, "m.weight", &n, "W");
    set(params, "m.bias", &n, "bias");
    set(params, "m.lora_A.weight", &n, "A");
    set(params, "m.lora_B.weight", &n, "B");
    if (dora) set(params, "m.lora_magnitude_vector", &n, "magnitude");
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, ROWS}, .workers = 2}, .loss = loss, .keep = &y, .n_keep = 1};
    test_ok(ctx, whet_i_plan_create(ctx, g, &opts, &plan));
    test_ok(ctx, whet_i_params_pack(ctx, params));
    test_ok(ctx, whet_i_executor_create(ctx, plan, &executor));
    whet_i_executor_run(executor, &(whet_i_batch){.rows = {1, ROWS}, .loss_scale = 1});
    same(whet_i_executor_value(executor, y), get(&n, "y", ROWS * OUT), ROWS * OUT);
    same_gradient(params, "x", &n, "dx");
    same_gradient(params, "m.lora_A.weight", &n, "dA");
    same_gradient(params, "m.lora_B.weight", &n, "dB");
    if (dora) same_gradient(params, "m.lora_magnitude_vector", &n, "dmagnitude");
    whet_i_executor_destroy(ctx, executor);
    whet_i_plan_destroy(ctx, plan);
    whet_i_graph_destroy(ctx, g);
    whet_i_params_destroy(ctx, params);
}

static whet_safetensors *open_numbers(whet_ctx *ctx) {
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/adapters/peft_layers.safetensors"), &file));
    return file;
}

static void as_peft_has_it(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_safetensors *file = open_numbers(ctx);
    for (int64_t i = 0; i < WHET_COUNT_OF(layers); i++) check_layer(ctx, file, &layers[i]);
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
}

/* ---- magnitudes ------------------------------------------------------------------------------- */

/* The norms count as constants, so that only what does not change them is asked: the layer, its factors
 * and its bias are not trained. Part of a wider value, more outputs than a block has, a residual. */
static whet_i_value record_magnitude(whet_ctx *ctx, whet_i_graph *g) {
    enum { WIDE = 50, FIRST = 3, LAYER = 40 };
    const whet_i_adapter_settings settings = {WHET_I_ADAPTER_DORA, 1, 2, 0.5};
    whet_i_value y = source(ctx, g, "y", WHET_I_EXAMPLES, 100, WIDE), both;
    static const char *const names[] = {"m.weight", "m.bias", "m.lora_A.weight", "m.lora_B.weight"};
    const int64_t shapes[][2] = {{LAYER, 6}, {LAYER, 0}, {2, 6}, {LAYER, 2}};
    const whet_i_value residual = y;
    for (int i = 0; i < 4; i++) {
        const whet_i_param_spec p = {.name = names[i],
                                     .rank = i == 1 ? 1 : 2,
                                     .shape = {shapes[i][0], shapes[i][1]},
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 1,
                                     .statistics = true};
        whet_i_param_id id;
        test_ok(ctx, whet_i_params_add(ctx, g->params, &p, &id));
    }
    test_ok(ctx, whet_i_magnitude_record(ctx, g, "m", 6, &y, FIRST, LAYER, &settings));
    test_ok(ctx, whet_i_sum(ctx, g, y, residual, &both));
    return weigh(ctx, g, both);
}

static void gradients_of_magnitudes(void **state) {
    (void)state;
    check_gradients(&(gradient_case){"magnitude", record_magnitude, .examples = 3});
    check_gradients(&(gradient_case){"magnitude", record_magnitude, .examples = 100});
}

/* They begin as the lengths of the rows: nothing changes at first. A row of zeros gives the bias. */
static void they_begin_with_what_there_is(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_params *params;
    const double weight[] = {3, 4, 0, 0, -5, 12};
    const whet_i_param_spec specs[] = {
        {.name = "m.weight", .rank = 2, .shape = {3, 2}, .init = WHET_I_INIT_ZERO},
        {.name = "m.lora_magnitude_vector", .rank = 1, .shape = {3}, .init = WHET_I_INIT_ONE}};
    whet_i_param_id ids[2];
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &params));
    for (int i = 0; i < 2; i++) test_ok(ctx, whet_i_params_add(ctx, params, &specs[i], &ids[i]));
    for (int i = 0; i < 2; i++) params->items[ids[i]].trainable = true;
    test_ok(ctx, whet_i_params_settle(ctx, params, 0));
    memcpy(params->items[ids[0]].values, weight, sizeof weight);
    test_ok(ctx, whet_i_magnitudes_begin(ctx, params, "m", ids[1]));
    const double expected[] = {5, 0, 13};
    same(params->items[ids[1]].values, expected, 3);
    whet_i_params_destroy(ctx, params);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_peft_has_it),
        cmocka_unit_test(gradients_of_magnitudes),
        cmocka_unit_test(they_begin_with_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
