/* SPDX-License-Identifier: Apache-2.0
 * See golden_model.h. */
#include "golden_model.h"

#include <math.h>
#include <stdio.h>

static whet_tensor copy_of(golden_model *m, const char *name) {
    whet_tensor view, copy;
    if (!whet_safetensors_find(m->expected, name, &view)) print_error("%s is missing\n", name);
    assert_true(whet_safetensors_find(m->expected, name, &view));
    test_ok(m->ctx, whet_tensor_convert(m->ctx, &view, view.dtype, &copy));
    return copy;
}

static const char *file_in(const golden_model *m, const char *name) {
    static char path[700];
    (void)snprintf(path, sizeof path, "%s/%s", m->dir, name);
    return path;
}

void golden_open(golden_model *m, const char *folder, const char *kernels, whet_dtype dtype) {
    char relative[256];
    *m = (golden_model){.ctx = test_ctx(2)};
    (void)snprintf(relative, sizeof relative, "tests/golden/%s", folder);
    (void)snprintf(m->dir, sizeof m->dir, "%s", test_source(relative));
    test_ok(m->ctx, whet_kernels_select(m->ctx, kernels));
    test_ok(m->ctx, whet_i_json_read(m->ctx, file_in(m, "config.json"), 1 << 20, &m->config));
    test_ok(m->ctx, whet_safetensors_open(m->ctx, file_in(m, "model.safetensors"), &m->file));
    test_ok(m->ctx,
            whet_safetensors_open(m->ctx, file_in(m, "expected.safetensors"), &m->expected));
    test_ok(m->ctx, whet_i_params_create(m->ctx, dtype, &m->params));
    test_ok(m->ctx, whet_i_graph_create(m->ctx, m->params, &m->graph));
    m->ids = copy_of(m, "ids");
    m->start = copy_of(m, "start");
    m->label_ids = copy_of(m, "labels");
    m->rows = (whet_token_rows){m->start.shape[0] - 1, m->start.data, m->ids.data, NULL};
}

static void compare(golden_model *m, const char *name, const float *got, double bound) {
    whet_tensor expected = copy_of(m, name);
    const float *e = expected.data;
    /* Gradients that are zero but for rounding (biases of keys shift all scores of a softmax alike) are
     * sums of some 100 terms of 1e-2 here: 6e-9 of noise in the expected numbers, as much in ours. */
    double largest = 2e-3;
    for (int64_t i = 0; i < whet_tensor_count(&expected); i++)
        largest = fmax(largest, fabs((double)e[i]));
    for (int64_t i = 0; i < whet_tensor_count(&expected); i++) {
        if (fabs((double)got[i] - (double)e[i]) <= bound * largest) continue;
        print_error("%s: %s: number %lld is %g; expected %g (largest %g)\n", m->dir, name,
                    (long long)i, (double)got[i], (double)e[i], largest);
        fail();
    }
    whet_tensor_destroy(m->ctx, &expected);
}

static int64_t longest_of(const whet_token_rows *rows) {
    int64_t most = 0;
    for (int64_t i = 0; i < rows->n_rows; i++)
        most =
            rows->start[i + 1] - rows->start[i] > most ? rows->start[i + 1] - rows->start[i] : most;
    return most;
}

static void compare_all(golden_model *m, const whet_i_executor *executor, double bound) {
    char full[256];
    compare(m, "logits", whet_i_executor_value(executor, m->logits), bound);
    compare(m, "loss", whet_i_executor_value(executor, m->loss), bound);
    for (int64_t i = 0; i < m->params->n; i++) {
        (void)snprintf(full, sizeof full, "gradient.%s", m->params->items[i].name);
        compare(m, full, m->params->items[i].gradient, bound);
    }
}

void golden_check(golden_model *m, const char *prefix, int64_t first_position, bool recompute,
                  double bound) {
    enum { ROWS = 16 };
    static const int64_t order[ROWS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int64_t n = m->rows.n_rows;
    whet_i_plan *plan;
    whet_i_executor *executor;
    int64_t missing;
    assert_true(n <= ROWS);
    test_ok(m->ctx,
            whet_i_params_bind(m->ctx, m->params, m->file, "model.safetensors", prefix, &missing));
    assert_int_equal(missing, 0);
    for (int64_t i = 0; i < m->params->n; i++) m->params->items[i].trainable = true;
    test_ok(m->ctx, whet_i_params_settle(m->ctx, m->params, 0));
    test_ok(m->ctx, whet_i_text_batch_init(m->ctx, &m->batch, m->rows.start[n], n));
    whet_i_text_batch_fill(&m->batch, &m->rows, order, n, first_position);
    m->batch.batch.feeds[m->graph->values[m->labels].output] = m->label_ids.data;
    const whet_i_value keep[] = {m->logits, m->loss};
    const whet_i_plan_opts opts = {
        .always_team = true,
        .sizes = {.rows = {1, n, m->rows.start[n]}, .longest = longest_of(&m->rows), .workers = 2},
        .loss = m->loss,
        .keep = keep,
        .n_keep = 2,
        .recompute = recompute};
    test_ok(m->ctx, whet_i_plan_create(m->ctx, m->graph, &opts, &plan));
    test_ok(m->ctx, whet_i_params_pack(m->ctx, m->params));
    test_ok(m->ctx, whet_i_executor_create(m->ctx, plan, &executor));
    whet_i_executor_run(executor, &m->batch.batch);
    compare_all(m, executor, bound);
    whet_i_executor_destroy(m->ctx, executor);
    whet_i_plan_destroy(m->ctx, plan);
}

void golden_close(golden_model *m) {
    whet_tensor_destroy(m->ctx, &m->ids);
    whet_tensor_destroy(m->ctx, &m->start);
    whet_tensor_destroy(m->ctx, &m->label_ids);
    whet_i_text_batch_free(m->ctx, &m->batch);
    whet_i_graph_destroy(m->ctx, m->graph);
    whet_i_params_destroy(m->ctx, m->params);
    whet_safetensors_close(m->ctx, m->file);
    whet_safetensors_close(m->ctx, m->expected);
    json_decref(m->config);
    test_ctx_done(m->ctx);
}
