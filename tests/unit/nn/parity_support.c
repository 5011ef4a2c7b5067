/* SPDX-License-Identifier: Apache-2.0
 * See parity_support.h. */
#include "parity_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 120 };

double formula(const char *name, int64_t i) {
    int64_t key = 0;
    for (const char *c = name; *c; c++) key += *c;
    return sin(0.37 * ((double)i * (double)i) + (double)(key % 97));
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static double parameter(const whet_i_param *p, int64_t i) {
    const double base = formula(p->name, i);
    if (ends_with(p->name, ".running_mean")) return 0.2 * base;
    if (ends_with(p->name, ".running_var")) return 1 + 0.5 * base;
    if (ends_with(p->name, ".bias")) return 0.3 * base;
    if (!ends_with(p->name, ".weight")) return base;
    return p->rank == 1 ? 1 + 0.3 * base
                        : base * (1.5 / sqrt((double)p->count / (double)p->shape[0]));
}

void fill_parameters(whet_i_params *params) {
    for (int64_t i = 0; i < params->n; i++)
        for (int64_t j = 0; j < params->items[i].count; j++)
            params->items[i].values[j] = (whet_i_real)parameter(&params->items[i], j);
}

void compare_golden(whet_ctx *ctx, const char *name, int64_t n, const whet_i_real *got,
                    double bound) {
    const char *path = test_source("tests/golden/images/expected.safetensors");
    whet_safetensors *file;
    whet_tensor t;
    double largest = 0;
    test_ok(ctx, whet_safetensors_open(ctx, path, &file));
    if (!whet_safetensors_find(file, name, &t)) print_error("no golden array %s\n", name);
    assert_true(whet_safetensors_find(file, name, &t));
    const int64_t step = (n + MOST - 1) / MOST;
    assert_true(t.shape[0] == (n + step - 1) / step);
    float *expected = malloc(sizeof *expected * (size_t)t.shape[0]);
    memcpy(expected, t.data, sizeof *expected * (size_t)t.shape[0]);
    for (int64_t i = 0; i < t.shape[0]; i++) largest = fmax(largest, fabs((double)expected[i]));
    /* What is zero but for rounding (a bias before BatchNorm), among gradients of 1 to 10. */
    if (largest < 1e-9) largest = 1;
    for (int64_t i = 0; i < t.shape[0]; i++) {
        if (fabs((double)got[i * step] - (double)expected[i]) <= bound * largest) continue;
        print_error("%s[%lld]: %.9g, expected %.9g (largest %.9g)\n", name, (long long)(i * step),
                    (double)got[i * step], (double)expected[i], largest);
        fail();
    }
    free(expected);
    whet_safetensors_close(ctx, file);
}

/* ---- one case ---------------------------------------------------------------------------------- */

typedef struct parity {
    whet_ctx *ctx;
    const parity_case *c;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value loss, out;
    whet_i_batch batch;
    whet_i_real *x;
    int32_t *labels;
} parity;

static void set_up(parity *p, const parity_case *c) {
    *p = (parity){.ctx = test_ctx(5), .c = c};
    test_ok(p->ctx, whet_i_params_create(p->ctx, WHET_F32, &p->params));
    test_ok(p->ctx, whet_i_graph_create(p->ctx, p->params, &p->graph));
    p->loss = c->record(p->ctx, p->graph, &p->out);
    for (int64_t i = 0; i < p->params->n; i++)
        p->params->items[i].trainable = !p->params->items[i].statistics;
    test_ok(p->ctx, whet_i_params_settle(p->ctx, p->params, 1));
    p->x = calloc((size_t)(c->rows * c->columns) + 1, sizeof *p->x);
    p->labels = calloc((size_t)c->rows, sizeof *p->labels);
    for (int64_t i = 0; i < c->rows * c->columns; i++) {
        const double x = formula("x", i);
        p->x[i] = (whet_i_real)(c->absolute ? fabs(x) : x);
    }
    for (int64_t i = 0; c->classes && i < c->rows; i++)
        p->labels[i] = (int32_t)(i * 7 % c->classes);
    p->batch = (whet_i_batch){.rows = {1, c->rows, 0},
                              .feeds = {p->x, p->labels},
                              .loss_scale = 1,
                              .train = c->train,
                              .seed = 77};
}

static void tear_down(parity *p) {
    free(p->x);
    free(p->labels);
    whet_i_graph_destroy(p->ctx, p->graph);
    whet_i_params_destroy(p->ctx, p->params);
    test_ctx_done(p->ctx);
}

static void compare_all(const parity *p, const whet_i_real *loss, const whet_i_real *out) {
    char name[256];
    /* Golden values are f64's. Sums here have up to some 10^4 terms of f32, each rounded by 2^-24 of
     * a partial sum, and layers follow each other; their errors add like a random walk, to some
     * 10^2 x 2^-24 = 6e-6 a sum. A missing term or a wrong factor is a thousand times that. */
    const double bound = 1e-4;
    (void)snprintf(name, sizeof name, "%s/loss", p->c->name);
    if (p->c->classes) compare_golden(p->ctx, name, 1, loss, bound);
    (void)snprintf(name, sizeof name, "%s/out", p->c->name);
    compare_golden(p->ctx, name, p->c->rows * whet_i_columns(p->graph, p->out), out, bound);
    for (int64_t i = 0; i < p->params->n; i++) {
        const whet_i_param *q = &p->params->items[i];
        (void)snprintf(name, sizeof name, "%s/%s/%s", p->c->name, q->statistics ? "stat" : "grad",
                       q->name);
        compare_golden(p->ctx, name, q->count, q->statistics ? q->values : q->gradient, bound);
    }
}

/* All that one step makes, as bits to compare. */
static uint64_t digest(const parity *p, const whet_i_real *loss) {
    uint64_t h = whet_i_hash_bytes(loss, sizeof *loss);
    for (int64_t i = 0; i < p->params->n; i++) {
        const whet_i_param *q = &p->params->items[i];
        const whet_i_real *values = q->statistics ? q->values : q->gradient;
        h = h * 31 + whet_i_hash_bytes(values, q->count * (int64_t)sizeof *values);
    }
    return h;
}

void check_parity(const parity_case *c) {
    static const int32_t workers[] = {1, 2, 5};
    uint64_t first = 0;
    parity p;
    set_up(&p, c);
    for (int64_t i = 0; i < 2 * WHET_COUNT_OF(workers); i++) {
        const whet_i_value keep[] = {p.loss, p.out};
        const whet_i_plan_opts opts = {
            .always_team = true,
            .sizes = {.rows = {1, c->rows, 0}, .workers = workers[i % WHET_COUNT_OF(workers)]},
            .loss = p.loss,
            .keep = keep,
            .n_keep = 2,
            .recompute = i >= WHET_COUNT_OF(workers)};
        whet_i_plan *plan;
        whet_i_executor *executor;
        test_ok(p.ctx, whet_i_plan_create(p.ctx, p.graph, &opts, &plan));
        test_ok(p.ctx, whet_i_executor_create(p.ctx, plan, &executor));
        fill_parameters(p.params);
        test_ok(p.ctx, whet_i_params_pack(p.ctx, p.params));
        whet_i_executor_run(executor, &p.batch);
        const whet_i_real *loss = whet_i_executor_value(executor, p.loss);
        if (i == 0) {
            compare_all(&p, loss, whet_i_executor_value(executor, p.out));
            first = digest(&p, loss);
        }
        assert_true(digest(&p, loss) == first);
        whet_i_executor_destroy(p.ctx, executor);
        whet_i_plan_destroy(p.ctx, plan);
    }
    tear_down(&p);
}
