/* SPDX-License-Identifier: Apache-2.0
 * Whole models against transformers: logits, loss and every gradient of one batch, by every kernel
 * set (tests/golden/text_models). */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn_i.h"
#include "nn/ops_i.h"
#include "nn/text_batch.h"

static const char *golden(const char *name, const char *file) {
    static char path[512];
    (void)snprintf(path, sizeof path, "tests/golden/text_models/%s/%s", name, file);
    return test_source(path);
}

typedef struct network {
    whet_ctx *ctx;
    whet_safetensors *file, *expected;
    whet_i_encoder_config config;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value labels, logits, loss;
    whet_token_rows rows;
    whet_i_text_batch batch;
} network;

static whet_tensor copy_of(network *n, const char *name) {
    whet_tensor view, copy;
    assert_true(whet_safetensors_find(n->expected, name, &view));
    test_ok(n->ctx, whet_tensor_convert(n->ctx, &view, view.dtype, &copy));
    return copy;
}

static void load(network *n, const char *name, const char *kernels, whet_dtype dtype) {
    const whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    char prefix[32];
    whet_i_value hidden;
    *n = (network){.ctx = test_ctx(2)};
    test_ok(n->ctx, whet_kernels_select(n->ctx, kernels));
    test_ok(n->ctx, whet_safetensors_open(n->ctx, golden(name, "model.safetensors"), &n->file));
    test_ok(n->ctx,
            whet_safetensors_open(n->ctx, golden(name, "expected.safetensors"), &n->expected));
    char dir[600];
    (void)snprintf(dir, sizeof dir, "%s", golden(name, "config.json"));
    *strrchr(dir, '/') = '\0';
    test_ok(n->ctx, whet_i_encoder_config_read(n->ctx, dir, &opts, &n->config));
    (void)snprintf(prefix, sizeof prefix, "%s", n->config.family->prefix);
    test_ok(n->ctx, whet_i_params_create(n->ctx, dtype, &n->params));
    test_ok(n->ctx, whet_i_graph_create(n->ctx, n->params, &n->graph));
    test_ok(n->ctx, whet_i_encoder_record(n->ctx, n->graph, &n->config, prefix, false, &hidden));
    test_ok(n->ctx, whet_i_encoder_head(n->ctx, n->graph, &n->config, prefix, false,
                                        WHET_I_HEAD_FAMILY, 3, hidden, &n->logits));
    test_ok(n->ctx, whet_i_graph_feed(n->ctx, n->graph, true, WHET_I_EXAMPLES, 1, &n->labels));
    test_ok(n->ctx, whet_i_cross_entropy(n->ctx, n->graph, n->logits, n->labels, 0, &n->loss));
    int64_t missing;
    test_ok(n->ctx,
            whet_i_params_bind(n->ctx, n->params, n->file, "model.safetensors", prefix, &missing));
    assert_int_equal(missing, 0);
    for (int64_t i = 0; i < n->params->n; i++) n->params->items[i].trainable = true;
    test_ok(n->ctx, whet_i_params_settle(n->ctx, n->params, 0));
}

static void fill(network *n, whet_tensor *ids, whet_tensor *start, whet_tensor *types,
                 whet_tensor *labels) {
    const int64_t order[] = {0, 1, 2, 3};
    *ids = copy_of(n, "ids");
    *start = copy_of(n, "start");
    *types = copy_of(n, "types");
    *labels = copy_of(n, "labels");
    const bool pairs = strcmp(n->config.family->model_type, "bert") == 0;
    n->rows =
        (whet_token_rows){start->shape[0] - 1, start->data, ids->data, pairs ? types->data : NULL};
    test_ok(n->ctx, whet_i_text_batch_init(n->ctx, &n->batch, ids->shape[0], 4));
    whet_i_text_batch_fill(&n->batch, &n->rows, order, 4, n->config.family->position_offset);
    n->batch.batch.feeds[n->graph->values[n->labels].output] = labels->data;
}

/* The numbers of a tensor are sums of the same products in another order: errors are relative to
 * the largest number, with some ten layers of sums of at most 40 terms between: 1e-5 is about
 * 100 roundings. */
static void compare(network *n, const char *name, const float *got, double bound) {
    whet_tensor expected = copy_of(n, name);
    const float *e = expected.data;
    double largest = 1e-3;
    for (int64_t i = 0; i < whet_tensor_count(&expected); i++)
        largest = fmax(largest, fabs((double)e[i]));
    for (int64_t i = 0; i < whet_tensor_count(&expected); i++) {
        if (fabs((double)got[i] - (double)e[i]) <= bound * largest) continue;
        print_error("%s: number %lld is %g; expected %g (largest %g)\n", name, (long long)i,
                    (double)got[i], (double)e[i], largest);
        fail();
    }
    whet_tensor_destroy(n->ctx, &expected);
}

static void check(const char *name, const char *kernels, whet_dtype dtype, bool recompute,
                  double bound) {
    network n;
    whet_tensor ids, start, types, labels;
    whet_i_plan *plan;
    whet_i_executor *executor;
    char full[256];
    load(&n, name, kernels, dtype);
    fill(&n, &ids, &start, &types, &labels);
    const whet_i_value keep[] = {n.logits, n.loss};
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, 4, ids.shape[0]}, .longest = 12, .workers = 2},
        .loss = n.loss,
        .keep = keep,
        .n_keep = 2,
        .recompute = recompute};
    test_ok(n.ctx, whet_i_plan_create(n.ctx, n.graph, &opts, &plan));
    test_ok(n.ctx, whet_i_params_pack(n.ctx, n.params));
    test_ok(n.ctx, whet_i_executor_create(n.ctx, plan, &executor));
    whet_i_executor_run(executor, &n.batch.batch);
    compare(&n, "logits", whet_i_executor_value(executor, n.logits), bound);
    compare(&n, "loss", whet_i_executor_value(executor, n.loss), bound);
    for (int64_t i = 0; i < n.params->n; i++) {
        (void)snprintf(full, sizeof full, "gradient.%s", n.params->items[i].name);
        compare(&n, full, n.params->items[i].gradient, bound);
    }
    whet_i_executor_destroy(n.ctx, executor);
    whet_i_plan_destroy(n.ctx, plan);
    whet_tensor_destroy(n.ctx, &ids);
    whet_tensor_destroy(n.ctx, &start);
    whet_tensor_destroy(n.ctx, &types);
    whet_tensor_destroy(n.ctx, &labels);
    whet_i_text_batch_free(n.ctx, &n.batch);
    whet_i_graph_destroy(n.ctx, n.graph);
    whet_i_params_destroy(n.ctx, n.params);
    whet_safetensors_close(n.ctx, n.file);
    whet_safetensors_close(n.ctx, n.expected);
    test_ctx_done(n.ctx);
}

static void each_kernel_set(const char *name) {
    for (const whet_kernels *const *t = whet_i_kernels_all(); *t; t++) {
        if (!(*t)->supported()) continue;
        check(name, (*t)->name, WHET_F32, false, 1e-5);
        check(name, (*t)->name, WHET_F32, true, 1e-5);
        /* Every product is rounded to 8 bits: errors of some 2^-8 a layer, ten layers. */
        check(name, (*t)->name, WHET_BF16, false, 0.1);
    }
}

static void bert_as_transformers_has_it(void **state) {
    (void)state;
    each_kernel_set("bert");
}

static void roberta_as_transformers_has_it(void **state) {
    (void)state;
    each_kernel_set("roberta");
}

static void distilbert_as_transformers_has_it(void **state) {
    (void)state;
    each_kernel_set("distilbert");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_as_transformers_has_it),
        cmocka_unit_test(roberta_as_transformers_has_it),
        cmocka_unit_test(distilbert_as_transformers_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
