/* SPDX-License-Identifier: Apache-2.0
 * Adapters in f64, as an operation and within linear layers: gradients against central differences, values
 * and gradients against the reference implementation's vectors, and a training run's losses. */
#include "gradient_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tune/adapter_i.h"

/* ---- gradients -------------------------------------------------------------------------------- */

static struct {
    int64_t in, columns, first, out;
    whet_i_adapter_settings settings;
    double dropout;
    int64_t p, q; /* sizes of blocks that are given; 0 = as the numbers of blocks have them */
} tried;

/* W2 is zero at first, which hides W1's gradient: drawn here. */
static whet_i_value record_adapter(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 100, tried.in);
    whet_i_value y = source(ctx, g, "y", WHET_I_EXAMPLES, 100, tried.columns), both;
    whet_i_adapter_shape shape =
        whet_i_adapter_shape_of(tried.in, tried.out, tried.settings.blocks, tried.settings.rank);
    if (tried.p) {
        shape.blocks = tried.settings.blocks;
        shape.p = tried.p;
        shape.q = tried.q;
    }
    test_ok(ctx, whet_i_adapter_record_shape(ctx, g, "m", x, &y, tried.first, &shape,
                                             &tried.settings, tried.dropout));
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

/* Blocks whose sizes were chosen: more columns than there are, rows that are cut, in all sizes of loops. */
static void gradients_of_given_blocks(void **state) {
    (void)state;
    const struct {
        int64_t in, columns, first, out, examples, blocks, rank, p, q;
    } cases[] = {{16, 16, 0, 16, 3, 4, 4, 5, 5},
                 {13, 40, 3, 29, 2, 3, 2, 6, 11},
                 {20, 12, 0, 12, 100, 2, 3, 17, 9},
                 {33, 33, 0, 33, 2, 16, 2, 2, 6}};
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        memcpy(&tried.in, &cases[i].in, 4 * sizeof tried.in);
        tried.settings =
            (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, cases[i].blocks, cases[i].rank, 1};
        tried.p = cases[i].p;
        tried.q = cases[i].q;
        check_gradients(&(gradient_case){"adapter", record_adapter, .examples = cases[i].examples});
    }
    tried.p = tried.q = 0;
}

/* What is dropped is the same in both passes, and something is. */
static void gradients_with_dropout(void **state) {
    (void)state;
    const int64_t shapes[][5] = {{8, 20, 6, 12, 3}, {13, 29, 0, 29, 2}, {5, 11, 1, 7, 100}};
    for (int64_t i = 0; i < WHET_COUNT_OF(shapes); i++) {
        memcpy(&tried.in, shapes[i], 4 * sizeof tried.in);
        tried.settings = (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 2, 2, 1};
        gradient_case c = {"adapter", record_adapter, .examples = shapes[i][4], .train = true};
        tried.dropout = 0;
        const double whole = loss_value(&c);
        tried.dropout = 0.4;
        check_gradients(&c);
        assert_true(fabs(loss_value(&c) - whole) > 1e-6);
        c.train = false;
        assert_true(fabs(loss_value(&c) - whole) < 1e-9);
    }
    tried.dropout = 0;
}

/* ---- within linear layers ---------------------------------------------------------------------- */

static struct {
    int64_t in, n[3];
    int32_t parts;
    whet_i_act act;
    bool residual;
    whet_i_adapter_settings settings;
} layer;

static bool is_adapted(void *arg, const char *module) {
    (void)arg;
    return strcmp(module, "b") != 0; /* the second part is bare */
}

static whet_status add_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                               whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    return whet_i_adapter_record(ctx, graph, module, x, y, first, columns, arg);
}

static whet_i_value record_layer(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_adapters adapters = {
        .applies = is_adapted, .record = add_adapter, .arg = &layer.settings};
    const int64_t n = layer.n[0] + layer.n[1] + layer.n[2];
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 140, layer.in);
    whet_i_value out,
        residual = layer.residual ? source(ctx, g, "y", WHET_I_EXAMPLES, 140, n) : WHET_I_NONE;
    const whet_i_linear_spec spec = {.parts = layer.parts,
                                     .modules = {"a", "b", "c"},
                                     .n = {layer.n[0], layer.n[1], layer.n[2]},
                                     .bias = true,
                                     .act = layer.act,
                                     .residual = residual};
    g->adapters = &adapters;
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &spec, &out));
    g->adapters = NULL;
    for (int64_t i = 0; i < g->params->n; i++) {
        g->params->items[i].init = WHET_I_INIT_NORMAL;
        g->params->items[i].init_scale = 0.5;
    }
    return weigh(ctx, g, out);
}

static void gradients_within_layers(void **state) {
    (void)state;
    const struct {
        int64_t in, n[3], examples;
        int32_t parts;
        whet_i_act act;
        bool residual;
        whet_i_adapter_settings settings;
    } cases[] = {
        {3, {64, 64, 6}, 2, 3, WHET_I_ACT_NONE, false, {WHET_I_ADAPTER_MORE, 2, 2, 1}},
        {4, {12}, 140, 1, WHET_I_ACT_GELU, false, {WHET_I_ADAPTER_LORA, 1, 2, 0.5}}, /* chunks */
        {5, {9}, 3, 1, WHET_I_ACT_NONE, true, {WHET_I_ADAPTER_MORE, 3, 3, 1}},
        {8, {20}, 3, 1, WHET_I_ACT_TANH, false, {WHET_I_ADAPTER_MORE, 8, 3, 1}},
        {6, {10, 12, 7}, 3, 3, WHET_I_ACT_NONE, false, {WHET_I_ADAPTER_MORE, 4, 4, 1}}, /* apart */
        {3, {5, 8, 3}, 3, 3, WHET_I_ACT_TANH, false, {WHET_I_ADAPTER_LORA, 1, 1, 2}},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        layer.in = cases[i].in;
        memcpy(layer.n, cases[i].n, sizeof layer.n);
        layer.parts = cases[i].parts;
        layer.act = cases[i].act;
        layer.residual = cases[i].residual;
        layer.settings = cases[i].settings;
        check_gradients(
            &(gradient_case){"adapted layer", record_layer, .examples = cases[i].examples});
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

/* How a file's adapter is recorded: behind any value y, which is zero, or within a layer, whose weights are
 * the file's W0, or zero. */
typedef enum way { ALONE, WITHIN } way;

static const char *const names[2][2] = {{"more_w1", "more_w2"}, {"lora_A.weight", "lora_B.weight"}};

typedef struct machine {
    whet_i_params *params;
    whet_i_graph *g;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_value out;
} machine;

static whet_i_value record_alone(vectors *v, machine *m, whet_i_value x, int64_t out,
                                 const whet_i_adapter_settings *settings) {
    const int64_t rows = m->params->items[0].shape[0];
    whet_i_value y = source(v->ctx, m->g, "y", WHET_I_EXAMPLES, rows, out);
    test_ok(v->ctx, whet_i_adapter_record(v->ctx, m->g, "a", x, &y, 0, out, settings));
    return y;
}

static whet_i_value record_within(vectors *v, machine *m, whet_i_value x, int64_t out,
                                  whet_i_adapter_settings *settings) {
    const whet_i_adapters adapters = {
        .applies = is_adapted, .record = add_adapter, .arg = settings};
    const whet_i_linear_spec spec = {
        .parts = 1, .modules = {"a"}, .n = {out}, .bias = true, .residual = WHET_I_NONE};
    const int64_t nodes = m->g->n_nodes;
    whet_i_value y;
    m->g->adapters = &adapters;
    test_ok(v->ctx, whet_i_linear_layer(v->ctx, m->g, x, &spec, &y));
    m->g->adapters = NULL;
    assert_int_equal(m->g->n_nodes, nodes + 1); /* one operation */
    return y;
}

/* x, out, dout of the file say the sizes; loss is the sum of out dout, or given by `loss`. */
static machine make_machine(vectors *v, way how, whet_i_adapter_settings settings,
                            const whet_tensor *x, int64_t out,
                            whet_i_value (*loss)(vectors *v, whet_i_graph *g, whet_i_value y,
                                                 const void *arg),
                            const void *arg) {
    machine m;
    const int64_t rows = x->shape[0];
    test_ok(v->ctx, whet_i_params_create(v->ctx, WHET_F32, &m.params));
    test_ok(v->ctx, whet_i_graph_create(v->ctx, m.params, &m.g));
    const whet_i_value from = source(v->ctx, m.g, "x", WHET_I_EXAMPLES, rows, x->shape[1]);
    m.out = how == ALONE ? record_alone(v, &m, from, out, &settings)
                         : record_within(v, &m, from, out, &settings);
    const whet_i_value last = loss(v, m.g, m.out, arg);
    for (int64_t i = 0; i < m.params->n; i++) {
        m.params->items[i].trainable = true;
        m.params->items[i].init = WHET_I_INIT_ZERO;
    }
    test_ok(v->ctx, whet_i_params_settle(v->ctx, m.params, 0));
    set_values(m.params, "x", x);
    const whet_i_plan_opts opts = {.always_team = true,
                                   .sizes = {.rows = {1, rows, 0}, .workers = 2},
                                   .loss = last,
                                   .keep = &m.out,
                                   .n_keep = 1};
    test_ok(v->ctx, whet_i_plan_create(v->ctx, m.g, &opts, &m.plan));
    test_ok(v->ctx, whet_i_executor_create(v->ctx, m.plan, &m.executor));
    return m;
}

static void run_machine(const vectors *v, const machine *m, int64_t rows) {
    const whet_i_batch batch = {.rows = {1, rows, 0}, .loss_scale = 1};
    test_ok(v->ctx, whet_i_params_pack(v->ctx, m->params));
    whet_i_executor_run(m->executor, &batch);
}

static void drop_machine(const vectors *v, machine *m) {
    whet_i_executor_destroy(v->ctx, m->executor);
    whet_i_plan_destroy(v->ctx, m->plan);
    whet_i_graph_destroy(v->ctx, m->g);
    whet_i_params_destroy(v->ctx, m->params);
}

static whet_i_value weighed(vectors *v, whet_i_graph *g, whet_i_value y, const void *dout) {
    return weigh_by(v->ctx, g, y, dout);
}

static void set_if_there(vectors *v, whet_i_params *params, const char *name, const char *tensor) {
    whet_tensor view;
    if (!whet_safetensors_find(v->file, tensor, &view)) return;
    whet_tensor t = read_one(v, tensor);
    set_values(params, name, &t);
    whet_tensor_destroy(v->ctx, &t);
}

/* A file of the kinds core and module. */
static void check_file(const char *path, const char *name, way how) {
    vectors v = {.ctx = test_ctx(2)};
    test_ok(v.ctx, whet_safetensors_open(v.ctx, path, &v.file));
    whet_tensor x = read_one(&v, "x"), w1 = read_one(&v, "blkdiag1"), w2 = read_one(&v, "blkdiag2");
    whet_tensor out = read_one(&v, "out"), dout = read_one(&v, "dout");
    const int64_t rows = x.shape[0];
    const whet_i_adapter_settings settings = {WHET_I_ADAPTER_MORE, w1.shape[0], w1.shape[1], 1};
    machine m = make_machine(&v, how, settings, &x, out.shape[1], weighed, dout.data);
    set_values(m.params, "a.more_w1", &w1);
    set_values(m.params, "a.more_w2", &w2);
    if (how == WITHIN) {
        set_if_there(&v, m.params, "a.weight", "W0");
        set_if_there(&v, m.params, "a.bias", "bias");
    }
    run_machine(&v, &m, rows);
    compare(&v, name, "out", whet_i_executor_value(m.executor, m.out), rows * out.shape[1]);
    compare(&v, name, "dx", gradient(m.params, "x"), rows * x.shape[1]);
    compare(&v, name, "dblkdiag1", gradient(m.params, "a.more_w1"), whet_tensor_count(&w1));
    compare(&v, name, "dblkdiag2", gradient(m.params, "a.more_w2"), whet_tensor_count(&w2));
    drop_machine(&v, &m);
    whet_tensor *all[] = {&x, &w1, &w2, &out, &dout};
    for (int i = 0; i < 5; i++) whet_tensor_destroy(v.ctx, all[i]);
    whet_safetensors_close(v.ctx, v.file);
    test_ctx_done(v.ctx);
}

/* How many files of the kind there are. */
static int64_t check_files(const char *kind, way how) {
    char **path;
    const int64_t n = test_shared_files("golden/more", kind, ".safetensors", &path);
    for (int64_t i = 0; i < n; i++) check_file(test_shared(path[i]), path[i], how);
    test_free_files(path, n);
    return n;
}

static void the_reference_s_vectors(void **state) {
    (void)state;
    test_need_some(check_files("core_", ALONE), "products of MoRe");
}

static void the_reference_s_vectors_within_layers(void **state) {
    (void)state;
    const int64_t n = check_files("core_", WITHIN);
    test_need_some(n + check_files("module_", WITHIN), "layers of MoRe");
}

/* ---- one block is LoRA; a run ------------------------------------------------------------------ */

static vectors open_vectors(const char *name) {
    vectors v = {.ctx = test_ctx(2)};
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", test_shared(name));
    test_ok(v.ctx, whet_safetensors_open(v.ctx, path, &v.file));
    return v;
}

static void check_one_block(const char *file) {
    const char *const of_file[2][2] = {{"blkdiag1", "blkdiag2"}, {"lora_A", "lora_B"}};
    vectors v = open_vectors(file);
    whet_tensor x = read_one(&v, "x"), out = read_one(&v, "out"), a = read_one(&v, "lora_A");
    const int64_t rows = x.shape[0], wide = out.shape[1], n = rows * wide;
    whet_i_real *both[2];
    double *ones = malloc(sizeof *ones * (size_t)n);
    assert_non_null(ones);
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    for (int kind = 0; kind < 2; kind++) {
        const whet_i_adapter_settings settings = {kind ? WHET_I_ADAPTER_LORA : WHET_I_ADAPTER_MORE,
                                                  1, a.shape[0], 1};
        machine m = make_machine(&v, WITHIN, settings, &x, wide, weighed, ones);
        for (int i = 0; i < 2; i++) {
            char name[64];
            (void)snprintf(name, sizeof name, "a.%s", names[kind][i]);
            set_if_there(&v, m.params, name, of_file[kind][i]);
        }
        run_machine(&v, &m, rows);
        compare(&v, file, "out", whet_i_executor_value(m.executor, m.out), n);
        both[kind] = malloc(sizeof *both[kind] * (size_t)n);
        assert_non_null(both[kind]);
        memcpy(both[kind], whet_i_executor_value(m.executor, m.out),
               sizeof *both[kind] * (size_t)n);
        drop_machine(&v, &m);
    }
    assert_memory_equal(both[0], both[1], sizeof *both[0] * (size_t)n);
    for (int kind = 0; kind < 2; kind++) free(both[kind]);
    free(ones);
    whet_tensor *all[] = {&x, &out, &a};
    for (int i = 0; i < 3; i++) whet_tensor_destroy(v.ctx, all[i]);
    whet_safetensors_close(v.ctx, v.file);
    test_ctx_done(v.ctx);
}

static void each_file(const char *kind, const char *what, void (*check)(const char *file)) {
    char **path;
    const int64_t n = test_shared_files("golden/more", kind, ".safetensors", &path);
    for (int64_t i = 0; i < n; i++) check(path[i]);
    test_free_files(path, n);
    test_need_some(n, what);
}

static void one_block_is_lora(void **state) {
    (void)state;
    each_file("lora_equiv_", "MoRe of one block", check_one_block);
}

/* The mean over all numbers of (out - y)^2: half its gradient is given by hand, as a weighted sum whose
 * weights are set before each step. */
typedef struct square {
    const double *target;
    double *weights;
    int64_t n;
} square;

static double set_weights(const square *s, const whet_i_real *out) {
    double loss = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const double off = (double)out[i] - s->target[i];
        s->weights[i] = 2 * off / (double)s->n;
        loss += off * off / (double)s->n;
    }
    return loss;
}

/* torch's AdamW (decoupled decay) of one array, as its documentation has it. */
static void adamw(int step, int64_t n, const whet_i_real *g, double *m, double *v, whet_i_real *w) {
    const double rate = 0.01, decay = 0.01, b1 = 0.9, b2 = 0.999;
    for (int64_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + (1 - b1) * (double)g[i];
        v[i] = b2 * v[i] + (1 - b2) * (double)g[i] * (double)g[i];
        const double first = m[i] / (1 - pow(b1, step)), second = v[i] / (1 - pow(b2, step));
        w[i] =
            (whet_i_real)((double)w[i] * (1 - rate * decay) - rate * first / (sqrt(second) + 1e-8));
    }
}

/* Rate, decay: adamw's own; the vectors say theirs, and no others are known. */
static void check_run(const char *file) {
    vectors v = open_vectors(file);
    whet_tensor x = read_one(&v, "x"), y = read_one(&v, "y"), losses = read_one(&v, "loss");
    whet_tensor first = read_one(&v, "blkdiag1_init"), second = read_one(&v, "blkdiag2_final");
    const int64_t rows = x.shape[0], out = y.shape[1], n1 = whet_tensor_count(&first),
                  n2 = whet_tensor_count(&second);
    double *weights = calloc((size_t)(rows * out), sizeof *weights);
    double *moments = calloc((size_t)(2 * (n1 + n2)), sizeof *moments);
    assert_true(weights && moments);
    const square s = {y.data, weights, rows * out};
    machine m = make_machine(
        &v, WITHIN,
        (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, first.shape[0], first.shape[1], 1}, &x, out,
        weighed, weights);
    set_if_there(&v, m.params, "a.weight", "W0");
    set_if_there(&v, m.params, "a.more_w1", "blkdiag1_init");
    whet_i_param *w1 = &m.params->items[whet_i_params_find(m.params, "a.more_w1")];
    whet_i_param *w2 = &m.params->items[whet_i_params_find(m.params, "a.more_w2")];
    for (int step = 1; step <= losses.shape[0]; step++) {
        memset(weights, 0, sizeof *weights * (size_t)(rows * out));
        run_machine(&v, &m, rows); /* for its output */
        const double loss = set_weights(&s, whet_i_executor_value(m.executor, m.out));
        assert_true(fabs(loss - ((const double *)losses.data)[step - 1]) <= 1e-10 * (1 + loss));
        run_machine(&v, &m, rows); /* for its gradients */
        adamw(step, n1, w1->gradient, moments, moments + n1, w1->values);
        adamw(step, n2, w2->gradient, moments + 2 * n1, moments + 2 * n1 + n2, w2->values);
    }
    compare(&v, file, "blkdiag1_final", w1->values, n1);
    compare(&v, file, "blkdiag2_final", w2->values, n2);
    drop_machine(&v, &m);
    free(weights);
    free(moments);
    whet_tensor *all[] = {&x, &y, &losses, &first, &second};
    for (int i = 0; i < 5; i++) whet_tensor_destroy(v.ctx, all[i]);
    whet_safetensors_close(v.ctx, v.file);
    test_ctx_done(v.ctx);
}

static void a_run_of_adamw(void **state) {
    (void)state;
    each_file("train_adamw_", "run of AdamW", check_run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),
        cmocka_unit_test(gradients_of_given_blocks),
        cmocka_unit_test(gradients_with_dropout),
        cmocka_unit_test(shapes_are_the_reference_s),
        cmocka_unit_test(gradients_within_layers),
        cmocka_unit_test(the_reference_s_vectors),
        cmocka_unit_test(the_reference_s_vectors_within_layers),
        cmocka_unit_test(one_block_is_lora),
        cmocka_unit_test(a_run_of_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
