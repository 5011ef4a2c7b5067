/* SPDX-License-Identifier: Apache-2.0
 * Adapters: gradients against central differences in f64, and values and gradients against the
 * reference implementation's vectors. */
#include "gradient_support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune/adapter_i.h"

/* ---- gradients -------------------------------------------------------------------------------- */

static struct {
    int64_t in, columns, first, out;
    whet_i_adapter_settings settings;
} tried;

/* W2 is zero at first, which hides W1's gradient: drawn here. */
static whet_i_value record_adapter(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 100, tried.in);
    whet_i_value y = source(ctx, g, "y", WHET_I_EXAMPLES, 100, tried.columns), both;
    test_ok(ctx,
            whet_i_adapter_record(ctx, g, "m", x, &y, tried.first, tried.out, &tried.settings));
    for (int64_t i = 0; i < g->params->n; i++) {
        g->params->items[i].init = WHET_I_INIT_NORMAL;
        g->params->items[i].init_scale = 0.5;
    }
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {"a"},
                                     .n = {tried.columns},
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 0.5};
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &spec, &both)); /* x has two readers */
    test_ok(ctx, whet_i_sum(ctx, g, both, y, &both));
    return weigh(ctx, g, both);
}

static void gradients(void **state) {
    (void)state;
    const struct {
        int64_t in, columns, first, out, examples;
        whet_i_adapter_settings settings;
    } cases[] = {
        {5, 4, 0, 4, 3, {WHET_I_ADAPTER_LORA, 1, 2, 2}},
        {5, 9, 3, 4, 3, {WHET_I_ADAPTER_LORA, 1, 2, 0.5}},
        {8, 12, 0, 12, 100, {WHET_I_ADAPTER_MORE, 4, 2, 1}},
        {8, 20, 6, 12, 2, {WHET_I_ADAPTER_MORE, 2, 4, 1}},
        {13, 29, 0, 29, 2, {WHET_I_ADAPTER_MORE, 4, 3, 1}}, /* padding on both sides */
        {9, 9, 0, 9, 2, {WHET_I_ADAPTER_MORE, 8, 2, 1}},    /* blocks dropped */
        {10, 7, 0, 7, 2, {WHET_I_ADAPTER_MORE, 4, 2, 1}},
        {3, 70, 0, 70, 1, {WHET_I_ADAPTER_MORE, 3, 1, 1}},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        memcpy(&tried.in, &cases[i].in, 4 * sizeof tried.in);
        tried.settings = cases[i].settings;
        check_gradients(&(gradient_case){"adapter", record_adapter, .examples = cases[i].examples});
    }
}

static void shapes_are_the_reference_s(void **state) {
    (void)state;
    const int64_t cases[][6] = {
        /* in, out, N: blocks, p, q */
        {9, 9, 8, 5, 2, 2},  {10, 7, 4, 4, 3, 3},        {13, 29, 4, 4, 4, 9}, {10, 10, 7, 5, 2, 2},
        {7, 10, 4, 4, 2, 3}, {384, 1536, 4, 4, 96, 384}, {1, 1, 1, 1, 1, 1}};
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        const int64_t *c = cases[i];
        const whet_i_adapter_shape s = whet_i_adapter_shape_of(c[0], c[1], c[2], 1);
        assert_int_equal(s.blocks, c[3]);
        assert_int_equal(s.p, c[4]);
        assert_int_equal(s.q, c[5]);
    }
}

/* ---- the reference's vectors ------------------------------------------------------------------ */

typedef struct vectors {
    whet_ctx *ctx;
    whet_safetensors *file;
    bool single; /* stored as f32 */
} vectors;

static whet_tensor read_one(vectors *v, const char *name) {
    whet_tensor view, out;
    assert_true(whet_safetensors_find(v->file, name, &view));
    v->single = view.dtype == WHET_F32;
    test_ok(v->ctx, whet_tensor_convert(v->ctx, &view, WHET_F64, &out));
    return out;
}

static void set_values(whet_i_params *params, const char *name, const whet_tensor *t) {
    const whet_i_param *p = &params->items[whet_i_params_find(params, name)];
    assert_int_equal(p->count, whet_tensor_count(t));
    for (int64_t i = 0; i < p->count; i++) p->values[i] = (whet_i_real)((const double *)t->data)[i];
}

/* The vectors' own tolerances: 1e-10 in f64; in f32 1e-5 of the largest number. */
static void compare(vectors *v, const char *file, const char *name, const whet_i_real *got,
                    int64_t n) {
    whet_tensor t = read_one(v, name);
    const double *expected = t.data;
    double largest = 1;
    assert_int_equal(whet_tensor_count(&t), n);
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
    for (int64_t i = 0; i < n; i++) {
        if (fabs((double)got[i] - expected[i]) <= (v->single ? 1e-5 : 1e-10) * largest) continue;
        print_error("%s: %s[%lld] is %.15g; expected %.15g\n", file, name, (long long)i,
                    (double)got[i], expected[i]);
        fail();
    }
    whet_tensor_destroy(v->ctx, &t);
}

static const whet_i_real *gradient(const whet_i_params *params, const char *name) {
    return params->items[whet_i_params_find(params, name)].gradient;
}

static void check_file(const char *path, const char *name) {
    vectors v = {.ctx = test_ctx(2)};
    whet_i_params *params;
    whet_i_graph *g;
    whet_i_plan *plan;
    whet_i_executor *executor;
    test_ok(v.ctx, whet_safetensors_open(v.ctx, path, &v.file));
    whet_tensor x = read_one(&v, "x"), w1 = read_one(&v, "blkdiag1"), w2 = read_one(&v, "blkdiag2");
    whet_tensor out = read_one(&v, "out"), dout = read_one(&v, "dout");
    const int64_t rows = x.shape[0];
    test_ok(v.ctx, whet_i_params_create(v.ctx, WHET_F32, &params));
    test_ok(v.ctx, whet_i_graph_create(v.ctx, params, &g));
    const whet_i_value from = source(v.ctx, g, "x", WHET_I_EXAMPLES, rows, x.shape[1]);
    whet_i_value y = source(v.ctx, g, "y", WHET_I_EXAMPLES, rows, out.shape[1]);
    const whet_i_adapter_settings settings = {WHET_I_ADAPTER_MORE, w1.shape[0], w1.shape[1], 1};
    test_ok(v.ctx, whet_i_adapter_record(v.ctx, g, "m", from, &y, 0, out.shape[1], &settings));
    const whet_i_value loss = weigh_by(v.ctx, g, y, dout.data);
    for (int64_t i = 0; i < params->n; i++) params->items[i].trainable = true;
    test_ok(v.ctx, whet_i_params_settle(v.ctx, params, 0));
    set_values(params, "x", &x);
    set_values(params, "m.more_w1", &w1);
    set_values(params, "m.more_w2", &w2);
    const whet_i_param *zero = &params->items[whet_i_params_find(params, "y")];
    memset(zero->values, 0, (size_t)zero->count * sizeof *zero->values);
    const whet_i_plan_opts opts = {.always_team = true,
                                   .sizes = {.rows = {1, rows, 0}, .workers = 2},
                                   .loss = loss,
                                   .keep = &y,
                                   .n_keep = 1};
    test_ok(v.ctx, whet_i_plan_create(v.ctx, g, &opts, &plan));
    test_ok(v.ctx, whet_i_executor_create(v.ctx, plan, &executor));
    const whet_i_batch batch = {.rows = {1, rows, 0}, .loss_scale = 1};
    whet_i_executor_run(executor, &batch);
    compare(&v, name, "out", whet_i_executor_value(executor, y), rows * out.shape[1]);
    compare(&v, name, "dx", gradient(params, "x"), rows * x.shape[1]);
    compare(&v, name, "dblkdiag1", gradient(params, "m.more_w1"), whet_tensor_count(&w1));
    compare(&v, name, "dblkdiag2", gradient(params, "m.more_w2"), whet_tensor_count(&w2));
    whet_i_executor_destroy(v.ctx, executor);
    whet_i_plan_destroy(v.ctx, plan);
    whet_i_graph_destroy(v.ctx, g);
    whet_i_params_destroy(v.ctx, params);
    whet_tensor *all[] = {&x, &w1, &w2, &out, &dout};
    for (int i = 0; i < 5; i++) whet_tensor_destroy(v.ctx, all[i]);
    whet_safetensors_close(v.ctx, v.file);
    test_ctx_done(v.ctx);
}

static void the_reference_s_vectors(void **state) {
    (void)state;
    test_need_shared("golden/more");
    char folder[512], path[1024];
    (void)snprintf(folder, sizeof folder, "%s", test_shared("golden/more"));
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int64_t n = 0;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        if (strncmp(e->d_name, "core_", 5) != 0) continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        check_file(path, e->d_name);
        n++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(n > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(shapes_are_the_reference_s),
        cmocka_unit_test(the_reference_s_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
