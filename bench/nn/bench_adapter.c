/* SPDX-License-Identifier: Apache-2.0
 * What adapters add to the price of a linear layer's forward pass; bench/nn/run_adapter.py makes JSON of it.
 *
 *     bench_adapter THREADS f32|bf16 IN OUT ROUNDS
 *
 * In each round, for each rank and number of blocks: the bare layer over 2,048 rows, the layer with the
 * adapter, and the layer with LoRA of the same number of parameters as two more products and a sum. A line of
 * output: "rank blocks bare-seconds adapted/bare two-products/bare largest-difference", of processor time,
 * medians over rounds; the difference is of the adapted layer from its dense matrix, over the largest
 * number. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "nn/nn_i.h"
#include "tune/adapter_i.h"
#include "whet/kernels.h"

enum { ROWS = 2048, ROUNDS_MOST = 101, CHECKED = 64 };

typedef enum form { BARE, ADAPTED, TWO_PRODUCTS, FORMS } form;

typedef struct net {
    whet_ctx *ctx;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_value out;
} net;

static void ok(whet_ctx *ctx, whet_status status) {
    if (status == WHET_OK) return;
    (void)fprintf(stderr, "bench_adapter: %s\n", ctx ? whet_error(ctx) : "no context");
    exit(1);
}

static bool applies(void *arg, const char *module) {
    (void)arg;
    return strcmp(module, "base") == 0;
}

static whet_status record_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    return whet_i_adapter_record(ctx, graph, module, x, y, first, columns, arg);
}

static whet_i_value linear(const net *n, const char *name, whet_i_value x, int64_t out, bool bias,
                           whet_i_value residual) {
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {name},
                                     .n = {out},
                                     .bias = bias,
                                     .residual = residual,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 0.05};
    whet_i_value y;
    ok(n->ctx, whet_i_linear_layer(n->ctx, n->graph, x, &spec, &y));
    return y;
}

static net make(whet_ctx *ctx, whet_dtype dtype, form what, int64_t in, int64_t out,
                whet_i_adapter_settings settings) {
    net n = {.ctx = ctx};
    whet_i_value x;
    const whet_i_adapters adapters = {
        .applies = applies, .record = record_adapter, .arg = &settings};
    ok(ctx, whet_i_params_create(ctx, dtype, &n.params));
    ok(ctx, whet_i_graph_create(ctx, n.params, &n.graph));
    ok(ctx, whet_i_graph_feed(ctx, n.graph, false, WHET_I_EXAMPLES, in, &x));
    if (what == ADAPTED) n.graph->adapters = &adapters;
    n.out = linear(&n, "base", x, out, false, WHET_I_NONE);
    n.graph->adapters = NULL;
    if (what == TWO_PRODUCTS) {
        const whet_i_value z = linear(&n, "A", x, settings.rank, false, WHET_I_NONE);
        n.out = linear(&n, "B", z, out, false, n.out);
    }
    for (int64_t i = 0; i < n.params->n; i++) { /* no zeros: a second factor begins so */
        n.params->items[i].init = WHET_I_INIT_NORMAL;
        n.params->items[i].init_scale = 0.05;
    }
    ok(ctx, whet_i_params_settle(ctx, n.params, 1));
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, ROWS}, .workers = whet_ctx_threads(ctx)},
                                   .loss = WHET_I_NONE,
                                   .keep = &n.out,
                                   .n_keep = 1};
    ok(ctx, whet_i_plan_create(ctx, n.graph, &opts, &n.plan));
    ok(ctx, whet_i_params_pack(ctx, n.params));
    ok(ctx, whet_i_executor_create(ctx, n.plan, &n.executor));
    return n;
}

static void drop(net *n) {
    whet_i_executor_destroy(n->ctx, n->executor);
    whet_i_plan_destroy(n->ctx, n->plan);
    whet_i_graph_destroy(n->ctx, n->graph);
    whet_i_params_destroy(n->ctx, n->params);
}

static double run(const net *n, const float *x) {
    const whet_i_batch batch = {.rows = {1, ROWS}, .feeds = {x}, .loss_scale = 1};
    const double begin = seconds(CLOCK_PROCESS_CPUTIME_ID);
    whet_i_executor_run(n->executor, &batch);
    return seconds(CLOCK_PROCESS_CPUTIME_ID) - begin;
}

static const float *values(const net *n, const char *name) {
    return n->params->items[whet_i_params_find(n->params, name)].values;
}

/* The first rows against (W + M) x in f64. */
static double difference(const net *n, const whet_i_adapter_settings *a, int64_t in, int64_t out,
                         const float *x) {
    const whet_i_adapter_dense dense = {.shape =
                                            whet_i_adapter_shape_of(in, out, a->blocks, a->rank),
                                        .scale = a->scale,
                                        .w1 = values(n, "base.more_w1"),
                                        .w2 = values(n, "base.more_w2")};
    const float *w = values(n, "base.weight"), *y = whet_i_executor_value(n->executor, n->out);
    double *row, worst = 0, largest = 0;
    ok(n->ctx, whet_i_alloc(n->ctx, in, &row));
    for (int64_t o = 0; o < out; o++) {
        for (int64_t i = 0; i < in; i++) row[i] = (double)w[o * in + i];
        whet_i_adapter_dense_row(&dense, o, row);
        for (int64_t t = 0; t < CHECKED; t++) {
            double sum = 0;
            for (int64_t i = 0; i < in; i++) sum += row[i] * (double)x[t * in + i];
            largest = fmax(largest, fabs(sum));
            worst = fmax(worst, fabs(sum - (double)y[t * out + o]));
        }
    }
    whet_i_free(n->ctx, row);
    return worst / largest;
}

static void compare(whet_ctx *ctx, whet_dtype dtype, int64_t in, int64_t out, int rounds,
                    whet_i_adapter_settings settings, const float *x) {
    net nets[FORMS];
    double bare[ROUNDS_MOST], adapted[ROUNDS_MOST], products[ROUNDS_MOST];
    for (int i = 0; i < FORMS; i++) {
        nets[i] = make(ctx, dtype, (form)i, in, out, settings);
        (void)run(&nets[i], x);
    }
    for (int i = 0; i < rounds; i++) {
        bare[i] = run(&nets[BARE], x);
        adapted[i] = run(&nets[ADAPTED], x) / bare[i];
        products[i] = run(&nets[TWO_PRODUCTS], x) / bare[i];
    }
    (void)printf("%d %d %.9f %.4f %.4f %.3g\n", (int)settings.rank, (int)settings.blocks,
                 median(bare, rounds), median(adapted, rounds), median(products, rounds),
                 difference(&nets[ADAPTED], &settings, in, out, x));
    (void)fflush(stdout);
    for (int i = 0; i < FORMS; i++) drop(&nets[i]);
}

int main(int argc, char **argv) {
    static const int64_t ranks[] = {4, 8, 16}, blocks[] = {1, 2, 4, 8};
    whet_ctx *ctx = NULL;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    float *x;
    if (argc < 6) return 2;
    opts.threads = atoi(argv[1]);
    if (whet_ctx_create(&opts, &ctx) != WHET_OK) return 1;
    const whet_dtype dtype = strcmp(argv[2], "bf16") == 0 ? WHET_BF16 : WHET_F32;
    const int64_t in = atoi(argv[3]), out = atoi(argv[4]);
    const int asked = atoi(argv[5]), rounds = asked > ROUNDS_MOST ? ROUNDS_MOST : asked;
    ok(ctx, whet_i_alloc(ctx, ROWS * in, &x));
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    for (int64_t i = 0; i < ROWS * in; i++) x[i] = (float)whet_i_rng_normal(&rng);
    (void)printf("%s\n", whet_kernels_name(ctx));
    for (int64_t i = 0; i < WHET_COUNT_OF(ranks); i++)
        for (int64_t j = 0; j < WHET_COUNT_OF(blocks); j++)
            compare(ctx, dtype, in, out, rounds,
                    (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, blocks[j], ranks[i], 1}, x);
    whet_i_free(ctx, x);
    whet_ctx_destroy(ctx);
    return 0;
}
