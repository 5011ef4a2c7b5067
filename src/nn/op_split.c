/* SPDX-License-Identifier: Apache-2.0
 * Pairs of neighbouring rows into two arrays: one item, for rows are few (examples of a batch). */
#include "nn/ops_i.h"

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = whet_i_rows(t, t->node->outputs[0]);
    const int64_t d = whet_i_columns(t->graph, t->node->inputs[0]);
    for (int64_t i = 0; i < 2 * n; i++)
        if (t->out[i % 2])
            memcpy(t->out[i % 2] + i / 2 * d, (const whet_i_real *)t->in[0] + i * d,
                   (size_t)d * sizeof **t->out);
}

/* An output that the loss does not read has no gradient: NULL. */
static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = whet_i_rows(t, t->node->outputs[0]);
    const int64_t d = whet_i_columns(t->graph, t->node->inputs[0]);
    for (int64_t i = 0; i < 2 * n; i++) {
        const whet_i_real *g = t->grad_out[i % 2] ? t->grad_out[i % 2] + i / 2 * d : NULL;
        whet_i_real *dx = t->grad_in[0] + i * d;
        for (int64_t j = 0; j < d; j++) dx[j] = (t->adds[0] ? dx[j] : 0) + (g ? g[j] : 0);
    }
}

static const whet_i_op op_split = {
    .name = "split",
    .forward = {1, one_item, forward, NULL, NULL},
    .backward = {1, one_item, backward, NULL, NULL},
    .grad_shares = -1,
};

whet_status whet_i_split_pairs(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               whet_i_value *first, whet_i_value *second) {
    const int64_t d = whet_i_columns(graph, x);
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_split,
                                .n_inputs = 1,
                                .n_outputs = 2,
                                .inputs = {x},
                                .extents = {WHET_I_PAIRS, WHET_I_PAIRS},
                                .columns = {d, d}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *first = outputs[0];
    *second = outputs[1];
    return WHET_OK;
}
