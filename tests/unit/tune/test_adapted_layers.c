/* SPDX-License-Identifier: Apache-2.0
 * Adapted linear layers in f32 and bfloat16, by the kernels of this machine: against the dense matrix of the
 * adapter in f64, and what holds for its bits. */
#include "gradient_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune/adapter_i.h"

/* One layer of a network: x [rows, in] -> parts side by side, each with the adapter. */
typedef struct layer_case {
    int64_t rows, in, n[3];
    int32_t parts, workers;
    whet_i_act act;
    whet_dtype dtype;
    whet_i_adapter_settings settings;
} layer_case;

typedef struct layer {
    whet_ctx *ctx;
    const layer_case *c;
    whet_i_params *params;
    whet_i_graph *g;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_value out;
    int64_t n;

} layer;

static bool all(void *arg, const char *module) {
    (void)arg;
    (void)module;
    return true;
}

static whet_status add_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                               whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    return whet_i_adapter_record(ctx, graph, module, x, y, first, columns, arg);
}

static whet_i_param *param(const layer *l, const char *name) {
    return &l->params->items[whet_i_params_find(l->params, name)];
}

static layer make_layer(const layer_case *c) {
    layer l = {.ctx = test_ctx(c->workers), .c = c, .n = c->n[0] + c->n[1] + c->n[2]};
    whet_i_adapter_settings settings = c->settings;
    const whet_i_adapters adapters = {.applies = all, .record = add_adapter, .arg = &settings};
    const whet_i_linear_spec spec = {.parts = c->parts,
                                     .modules = {"a", "b", "c"},
                                     .n = {c->n[0], c->n[1], c->n[2]},
                                     .bias = true,
                                     .act = c->act,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 0.1,
                                     .bias_init = WHET_I_INIT_NORMAL,
                                     .bias_scale = 0.3};
    test_ok(l.ctx, whet_i_params_create(l.ctx, c->dtype, &l.params));
    test_ok(l.ctx, whet_i_graph_create(l.ctx, l.params, &l.g));
    const whet_i_value x = source(l.ctx, l.g, "x", WHET_I_EXAMPLES, c->rows, c->in);
    l.g->adapters = &adapters;
    test_ok(l.ctx, whet_i_linear_layer(l.ctx, l.g, x, &spec, &l.out));
    l.g->adapters = NULL;
    const whet_i_value loss = weigh(l.ctx, l.g, l.out);
    for (int64_t i = 0; i < l.params->n; i++) {
        whet_i_param *p = &l.params->items[i];
        p->trainable = strstr(p->name, "more_") || strstr(p->name, "lora_") || p->name[0] == 'x';
        if (p->init == WHET_I_INIT_ZERO) { /* second factors */
            p->init = WHET_I_INIT_NORMAL;
            p->init_scale = 0.3;
        }
    }
    test_ok(l.ctx, whet_i_params_settle(l.ctx, l.params, 7));
    const whet_i_plan_opts opts = {.always_team = true,
                                   .sizes = {.rows = {1, c->rows, 0}, .workers = c->workers},
                                   .loss = loss,
                                   .keep = &l.out,
                                   .n_keep = 1};
    test_ok(l.ctx, whet_i_plan_create(l.ctx, l.g, &opts, &l.plan));
    test_ok(l.ctx, whet_i_executor_create(l.ctx, l.plan, &l.executor));
    return l;
}

static const whet_i_real *run_layer(const layer *l) {
    const whet_i_batch batch = {.rows = {1, l->c->rows, 0}, .loss_scale = 1};
    test_ok(l->ctx, whet_i_params_pack(l->ctx, l->params));
    whet_i_executor_run(l->executor, &batch);
    return whet_i_executor_value(l->executor, l->out);
}

static void drop_layer(layer *l) {
    whet_i_executor_destroy(l->ctx, l->executor);
    whet_i_plan_destroy(l->ctx, l->plan);
    whet_i_graph_destroy(l->ctx, l->g);
    whet_i_params_destroy(l->ctx, l->params);
    test_ctx_done(l->ctx);
}

/* ---- against the dense matrix ------------------------------------------------------------------ */

static const char *const parts[] = {"a", "b", "c"};

static const whet_i_real *values_of(const layer *l, int32_t part, const char *tensor) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s.%s", parts[part], tensor);
    return param(l, name)->values;
}

/* Row o of W + scale M of one part, in f64, and the sizes of what it is a sum of. */
static void dense_row(const layer *l, int32_t part, int64_t o, double *row, double *size) {
    const int64_t in = l->c->in, out = l->c->n[part];
    const whet_i_adapter_settings *a = &l->c->settings;
    const whet_i_adapter_shape s = whet_i_adapter_shape_of(in, out, a->blocks, a->rank);
    const bool more = a->kind == WHET_I_ADAPTER_MORE;
    const whet_i_real *w1 = values_of(l, part, more ? "more_w1" : "lora_A.weight");
    const whet_i_real *w2 = values_of(l, part, more ? "more_w2" : "lora_B.weight");
    const whet_i_real *w = values_of(l, part, "weight");
    const int64_t at = o / s.blocks, block = o % s.blocks;
    for (int64_t j = 0; j < in; j++) {
        row[j] = (double)w[o * in + j];
        size[j] = fabs(row[j]);
    }
    for (int64_t k = 0; k < s.blocks; k++)
        for (int64_t r = 0; r < s.rank; r++) {
            const int64_t z = k * s.rank + r;
            if (z % s.blocks != block) continue;
            const double b = a->scale * (double)w2[(block * s.q + at) * s.rank + z / s.blocks];
            for (int64_t i = 0; i < s.p && k * s.p + i < in; i++) {
                const double product = b * (double)w1[z * s.p + i];
                row[k * s.p + i] += product;
                size[k * s.p + i] += fabs(product);
            }
        }
}

/* Every number of out and of dx, the loss being sum cos(1 + 7 i + 3 j) out_ij. Sums of in + r products, or
 * of n + r: u (terms + 4) sum of sizes (Higham 2002, 3.5); three factors an adapter's term. */
static void check_dense(const layer *l) {
    const int64_t in = l->c->in, rows = l->c->rows;
    const double unit = 0x1p-24, terms = (double)(in + l->n + 4 * l->c->settings.rank);
    double *row = malloc(sizeof *row * (size_t)in), *size = malloc(sizeof *size * (size_t)in);
    double *dx = calloc((size_t)(rows * in), sizeof *dx),
           *of = calloc((size_t)(rows * in), sizeof *of);
    const whet_i_real *out = whet_i_executor_value(l->executor, l->out), *x = param(l, "x")->values;
    int64_t column = 0;
    for (int32_t part = 0; part < l->c->parts; part++) {
        const whet_i_real *bias = values_of(l, part, "bias");
        for (int64_t o = 0; o < l->c->n[part]; o++, column++) {
            dense_row(l, part, o, row, size);
            for (int64_t i = 0; i < rows; i++) {
                const double g = cos((double)(1 + 7 * i + 3 * column));
                double sum = (double)bias[o], sizes = fabs(sum);
                for (int64_t j = 0; j < in; j++) {
                    sum += row[j] * (double)x[i * in + j];
                    sizes += size[j] * fabs((double)x[i * in + j]);
                    dx[i * in + j] += row[j] * g;
                    of[i * in + j] += size[j] * fabs(g);
                }
                assert_true(fabs((double)out[i * l->n + column] - sum) <= terms * unit * sizes);
            }
        }
    }
    const whet_i_real *got = param(l, "x")->gradient;
    for (int64_t i = 0; i < rows * in; i++)
        assert_true(fabs((double)got[i] - dx[i]) <= terms * unit * of[i]);
    free(row);
    free(size);
    free(dx);
    free(of);
}

static const layer_case cases[] = {
    {70, 96, {64, 128, 64}, 3, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 4, 4, 1}},
    {70, 96, {64, 128, 64}, 3, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_LORA, 1, 8, 2}},
    {131, 48, {200}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 8, 8, 1}},
    {3, 29, {77}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 4, 3, 1}}, /* padding */
    {9, 40, {40, 50}, 2, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 2, 6, 1}}, /* apart */
    {20, 64, {64}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 16, 16, 1}},
    {20, 60, {66}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 3, 3, 1}},
    {20, 60, {66}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 4, 1, 1}}, /* sparse */
};

static void equals_the_dense_matrix(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        layer l = make_layer(&cases[i]);
        (void)run_layer(&l);
        check_dense(&l);
        drop_layer(&l);
    }
}

/* ---- bits -------------------------------------------------------------------------------------- */

static bool same_gradients(const layer *a, const layer *b) {
    bool same = true;
    for (int64_t i = 0; i < a->params->n; i++) {
        const whet_i_param *p = &a->params->items[i], *q = &b->params->items[i];
        if (p->gradient)
            same &= memcmp(p->gradient, q->gradient, sizeof *p->gradient * (size_t)p->count) == 0;
    }
    return same;
}

/* 2100 rows have more than the fewest rows a chunk, and shorter last ones. */
static void any_number_of_threads(void **state) {
    (void)state;
    static const int32_t workers[] = {2, 3, 5};
    for (int half = 0; half < 2; half++) {
        for (int64_t rows = 1; rows <= 2100; rows = rows < 200 ? rows + 149 : rows + 1950) {
            layer_case c = {rows,
                            32,
                            {64, 64, 8},
                            3,
                            1,
                            WHET_I_ACT_GELU,
                            half ? WHET_BF16 : WHET_F32,
                            {WHET_I_ADAPTER_MORE, 4, 4, 1}};
            layer one = make_layer(&c);
            (void)run_layer(&one);
            for (int64_t i = 0; i < WHET_COUNT_OF(workers); i++) {
                layer_case d = c;
                d.workers = workers[i];
                layer other = make_layer(&d);
                assert_memory_equal(run_layer(&other), whet_i_executor_value(one.executor, one.out),
                                    sizeof(whet_i_real) * (size_t)(rows * one.n));
                assert_true(same_gradients(&one, &other));
                drop_layer(&other);
            }
            drop_layer(&one);
        }
    }
}

/* With one block, forward and gradients are LoRA's bit for bit: the same parameters under two names. */
static void one_block_is_lora(void **state) {
    (void)state;
    for (int half = 0; half < 2; half++) {
        layer_case c = {90,
                        48,
                        {64, 100},
                        2,
                        2,
                        WHET_I_ACT_NONE,
                        half ? WHET_BF16 : WHET_F32,
                        {WHET_I_ADAPTER_MORE, 1, 8, 1}};
        layer_case d = c;
        d.settings.kind = WHET_I_ADAPTER_LORA;
        layer more = make_layer(&c), lora = make_layer(&d);
        assert_int_equal(more.params->n, lora.params->n);
        for (int64_t i = 0; i < more.params->n; i++) {
            const whet_i_param *p = &more.params->items[i], *q = &lora.params->items[i];
            assert_int_equal(p->count, q->count);
            if (p->values && q->values)
                memcpy(q->values, p->values, sizeof *q->values * (size_t)q->count);
        }
        const whet_i_real *a = run_layer(&more);
        assert_memory_equal(a, run_layer(&lora), sizeof *a * (size_t)(c.rows * more.n));
        assert_true(same_gradients(&more, &lora));
        drop_layer(&more);
        drop_layer(&lora);
    }
}

/* A second factor of zeros changes no bit of what the layer gives without an adapter. */
static void zeros_change_nothing(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        for (int half = 0; half < 2; half++) {
            layer_case c = cases[i];
            c.dtype = half ? WHET_BF16 : WHET_F32;
            layer l = make_layer(&c);
            for (int64_t j = 0; j < l.params->n; j++) {
                const whet_i_param *p = &l.params->items[j];
                if (strstr(p->name, "w2") || strstr(p->name, "lora_B"))
                    memset(p->values, 0, sizeof *p->values * (size_t)p->count);
            }
            const size_t bytes = sizeof(whet_i_real) * (size_t)(c.rows * l.n);
            whet_i_real *with = malloc(bytes);
            memcpy(with, run_layer(&l), bytes);
            for (int64_t j = 0; j < l.params->n; j++) { /* nor does a first factor of zeros */
                const whet_i_param *p = &l.params->items[j];
                if (strstr(p->name, "w1") || strstr(p->name, "lora_A"))
                    memset(p->values, 0, sizeof *p->values * (size_t)p->count);
            }
            assert_memory_equal(run_layer(&l), with, bytes);
            whet_i_linear bare = {.rows = c.rows,
                                  .n = l.n,
                                  .k = c.in,
                                  .a = param(&l, "x")->values,
                                  .packed = l.params->weights[0].forward,
                                  .bias = values_of(&l, 0, "bias"),
                                  .c = with,
                                  .lda = c.in,
                                  .ldc = l.n};
            const whet_kernels *kernels = l.params->kernels;
            bare.scratch = malloc((size_t)(half ? kernels->linear_bf16_scratch
                                                : kernels->linear_f32_scratch)(c.rows, c.in));
            memset(with, 1, bytes);
            (half ? kernels->linear_bf16 : kernels->linear_f32)(&bare);
            assert_memory_equal(whet_i_executor_value(l.executor, l.out), with, bytes);
            free(bare.scratch);
            free(with);
            drop_layer(&l);
        }
    }
}

/* Columns of W1 that no input reaches, and rows of W2 of outputs that do not exist, have gradient zero, also
 * where memory held something else before. 13 x 29 in 4 blocks: W1 is [4, 3, 4], W2 [4, 9, 3]. */
static void dead_parameters(void **state) {
    (void)state;
    const layer_case c = {
        30, 13, {29}, 1, 2, WHET_I_ACT_NONE, WHET_F32, {WHET_I_ADAPTER_MORE, 4, 3, 1}};
    layer l = make_layer(&c);
    whet_i_param *w1 = param(&l, "a.more_w1"), *w2 = param(&l, "a.more_w2");
    for (int64_t i = 0; i < w1->count; i++) w1->gradient[i] = 5;
    for (int64_t i = 0; i < w2->count; i++) w2->gradient[i] = 5;
    (void)run_layer(&l);
    for (int64_t k = 0; k < 4; k++)
        for (int64_t a = 0; a < 3; a++)
            for (int64_t i = 0; i < 4; i++)
                assert_true((w1->gradient[(k * 3 + a) * 4 + i] == 0) == (k * 4 + i >= 13));
    for (int64_t b = 0; b < 4; b++)
        for (int64_t s = 0; s < 9; s++)
            for (int64_t r = 0; r < 3; r++)
                assert_true((w2->gradient[(b * 9 + s) * 3 + r] == 0) == (s * 4 + b >= 29));
    drop_layer(&l);
}

/* out is linear in each factor: twice W1 and half of W2 change no bit, being powers of two. */
static void scales_pass_between_factors(void **state) {
    (void)state;
    layer l = make_layer(&cases[0]);
    const size_t bytes = sizeof(whet_i_real) * (size_t)(cases[0].rows * l.n);
    whet_i_real *before = malloc(bytes);
    memcpy(before, run_layer(&l), bytes);
    for (int64_t j = 0; j < l.params->n; j++) {
        const whet_i_param *p = &l.params->items[j];
        const bool first = strstr(p->name, "w1"), second = strstr(p->name, "w2");
        for (int64_t i = 0; i < p->count && (first || second); i++)
            p->values[i] *= first ? 2 : 0.5F;
    }
    assert_memory_equal(run_layer(&l), before, bytes);
    free(before);
    drop_layer(&l);
}

/* ---- bfloat16 ----------------------------------------------------------------------------------- */

/* Factors in f32 over weights of bfloat16: within 2^-7 of the largest number of what the reference has in
 * bfloat16 throughout, and nearer to f64 than that is. */
static layer_case case_of(const char *path) {
    whet_ctx *ctx = test_ctx(1);
    whet_safetensors *file;
    whet_tensor x, w1, out;
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    assert_true(whet_safetensors_find(file, "x", &x) &&
                whet_safetensors_find(file, "blkdiag1", &w1) &&
                whet_safetensors_find(file, "out_f64", &out));
    const layer_case c = {x.shape[0],
                          x.shape[1],
                          {out.shape[1]},
                          1,
                          2,
                          WHET_I_ACT_NONE,
                          WHET_BF16,
                          {WHET_I_ADAPTER_MORE, w1.shape[0], w1.shape[1], 1}};
    whet_safetensors_close(ctx, file);
    test_ctx_done(ctx);
    return c;
}

static void check_bfloat16(const char *path) {
    const layer_case c = case_of(path);
    layer l = make_layer(&c);
    whet_safetensors *file;
    test_ok(l.ctx, whet_safetensors_open(l.ctx, path, &file));
    static const char *const pairs[][2] = {
        {"x", "x"}, {"a.more_w1", "blkdiag1"}, {"a.more_w2", "blkdiag2"}};
    for (int i = 0; i < 3; i++) {
        whet_tensor view, t;
        assert_true(whet_safetensors_find(file, pairs[i][1], &view));
        test_ok(l.ctx, whet_tensor_convert(l.ctx, &view, WHET_F32, &t));
        const whet_i_param *p = param(&l, pairs[i][0]);
        assert_int_equal(whet_tensor_count(&t), p->count);
        memcpy(p->values, t.data, sizeof *p->values * (size_t)p->count);
        whet_tensor_destroy(l.ctx, &t);
    }
    for (int i = 0; i < 2; i++) { /* the file has no base */
        const whet_i_param *p = param(&l, i ? "a.bias" : "a.weight");
        memset(p->values, 0, sizeof *p->values * (size_t)p->count);
    }
    const whet_i_real *out = run_layer(&l);
    whet_tensor view, exact, theirs;
    double largest = 0, worst = 0, their_worst = 0;
    assert_true(whet_safetensors_find(file, "out_f64", &view));
    test_ok(l.ctx, whet_tensor_convert(l.ctx, &view, WHET_F64, &exact));
    assert_true(whet_safetensors_find(file, "out_bf16", &view));
    test_ok(l.ctx, whet_tensor_convert(l.ctx, &view, WHET_F64, &theirs));
    for (int64_t i = 0; i < c.rows * c.n[0]; i++) {
        const double y = ((const double *)exact.data)[i];
        largest = fmax(largest, fabs(y));
        worst = fmax(worst, fabs((double)out[i] - y));
        their_worst = fmax(their_worst, fabs(((const double *)theirs.data)[i] - y));
    }
    assert_true(worst <= 0x1p-7 * largest);
    assert_true(worst <= their_worst);
    whet_tensor_destroy(l.ctx, &theirs);
    whet_tensor_destroy(l.ctx, &exact);
    whet_safetensors_close(l.ctx, file);
    drop_layer(&l);
}

static void over_weights_of_bfloat16(void **state) {
    (void)state;
    char **path;
    const int64_t n = test_shared_files("golden/more", "bf16_", ".safetensors", &path);
    for (int64_t i = 0; i < n; i++) check_bfloat16(test_shared(path[i]));
    test_free_files(path, n);
    test_need_some(n, "layers in bfloat16");
}

/* ---- what is refused ---------------------------------------------------------------------------- */

static void ranks_above_the_layer(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, whet_i_adapter_check_rank(ctx, "layer.3.query", 12, 9, 9));
    test_fails(ctx, whet_i_adapter_check_rank(ctx, "layer.3.query", 12, 9, 10), WHET_ERR_ARG);
    test_says(ctx, "adapter of \"layer.3.query\": rank 10; expected at most 9");
    test_ctx_done(ctx);
}

/* Rank below the blocks, no multiple of them, and fine. */
static void sparse_and_irregular(void **state) {
    (void)state;
    char told[TEST_WARNING];
    whet_ctx *ctx = test_ctx_warned(told);
    whet_i_adapter_settings a = {WHET_I_ADAPTER_MORE, 4, 8, 1};
    assert_false(whet_i_adapter_warn(ctx, "layer.0.key", &a));
    assert_string_equal(told, "");
    a.rank = 1;
    assert_true(whet_i_adapter_warn(ctx, "layer.0.key", &a));
    assert_non_null(strstr(told, "\"layer.0.key\": rank 1 is below its 4 blocks, so that 75 %"));
    a.rank = 6;
    assert_true(whet_i_adapter_warn(ctx, "layer.0.key", &a));
    assert_non_null(strstr(told, "rank 6 is not a multiple of its 4 blocks"));
    whet_ctx_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_dense_matrix),  cmocka_unit_test(any_number_of_threads),
        cmocka_unit_test(one_block_is_lora),        cmocka_unit_test(zeros_change_nothing),
        cmocka_unit_test(dead_parameters),          cmocka_unit_test(scales_pass_between_factors),
        cmocka_unit_test(over_weights_of_bfloat16), cmocka_unit_test(ranks_above_the_layer),
        cmocka_unit_test(sparse_and_irregular),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
