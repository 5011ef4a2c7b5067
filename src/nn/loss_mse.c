/* SPDX-License-Identifier: Apache-2.0
 * The mean squared error over rows and columns, summed in order in f64. Rows are few (examples of a
 * batch): one item. */
#include "nn/ops_i.h"

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

static int64_t count_of(const whet_i_task *t) {
    const whet_i_value v = t->node->inputs[0];
    return whet_i_rows(t, v) * whet_i_columns(t->graph, v);
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const whet_i_real *x = t->in[0], *y = t->in[1];
    const int64_t n = count_of(t);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
    t->out[0][0] = (whet_i_real)(n ? sum / (double)n : 0);
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const whet_i_real *x = t->in[0], *y = t->in[1];
    const int64_t n = count_of(t);
    const whet_i_real g = n ? 2 * t->grad_out[0][0] / (whet_i_real)n : 0;
    for (int64_t i = 0; i < n; i++) {
        const whet_i_real d = g * (x[i] - y[i]);
        t->grad_in[0][i] = t->adds[0] ? t->grad_in[0][i] + d : d;
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static const whet_i_op op_mse = {
    .name = "mse",
    .forward = {1, one_item, forward, NULL, NULL},
    .backward = {1, one_item, backward, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

whet_status whet_i_mse(whet_ctx *ctx, whet_i_graph *graph, whet_i_value predictions,
                       whet_i_value targets, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_mse,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {predictions, targets},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
