/* SPDX-License-Identifier: Apache-2.0
 * Squared errors of the cosines of pairs of unit rows; see ops_i.h. Rows are few (examples of a batch):
 * one item, sums in order, in f64.
 * Legend: a, b embeddings [n, d], y targets. */
#include "nn/ops_i.h"

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static const whet_i_real *row_of(const whet_i_task *t, int32_t input, int64_t i) {
    return (const whet_i_real *)t->in[input] + i * whet_i_columns(t->graph, t->node->inputs[0]);
}

/* a_i . b_i - y_i */
static double error_of(const whet_i_task *t, int64_t i) {
    const int64_t d = whet_i_columns(t->graph, t->node->inputs[0]);
    const whet_i_real *a = row_of(t, 0, i), *b = row_of(t, 1, i);
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (double)a[j] * (double)b[j];
    return sum - (double)((const whet_i_real *)t->in[2])[i];
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = rows_of(t);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += error_of(t, i) * error_of(t, i);
    t->out[0][0] = (whet_i_real)(n ? sum / (double)n : 0);
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = rows_of(t), d = whet_i_columns(t->graph, t->node->inputs[0]);
    for (int64_t i = 0; i < n; i++) {
        const double g = 2 * (double)t->grad_out[0][0] * error_of(t, i) / (double)n;
        for (int32_t input = 0; input < 2; input++) {
            if (!t->grad_in[input]) continue;
            whet_i_real *to = t->grad_in[input] + i * d;
            const whet_i_real *other = row_of(t, 1 - input, i);
            for (int64_t j = 0; j < d; j++)
                to[j] = (t->adds[input] ? to[j] : 0) + (whet_i_real)(g * (double)other[j]);
        }
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1) | WHET_I_READS_IN(2);
}

static const whet_i_op op_cosine_mse = {
    .name = "cosine mse",
    .forward = {1, one_item, forward, NULL, NULL},
    .backward = {1, one_item, backward, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

whet_status whet_i_cosine_mse(whet_ctx *ctx, whet_i_graph *graph, whet_i_value a, whet_i_value b,
                              whet_i_value targets, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_cosine_mse,
                                .n_inputs = 3,
                                .n_outputs = 1,
                                .inputs = {a, b, targets},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
