/* SPDX-License-Identifier: Apache-2.0
 * The passes of a loss by rows; see loss_rows.h. */
#include "nn/loss_rows.h"

enum { BLOCK = 16 };

static const whet_i_row_loss *loss_of(const whet_i_node *node) {
    return *(const whet_i_row_loss *const *)node->settings;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static void row_losses(const whet_i_task *t, int64_t item, double *space) {
    const whet_i_row_loss *loss = loss_of(t->node);
    const int64_t end = item * BLOCK + whet_i_block_rows(rows_of(t), BLOCK, item);
    double *losses = (double *)(void *)t->temporary;
    for (int64_t i = item * BLOCK; i < end; i++)
        losses[i] = loss->counts(t, i) ? loss->loss(t, i, space) : 0;
}

/* saved[0] = rows that count. */
static void mean_loss(const whet_i_task *t) {
    const double *losses = (const double *)(const void *)t->temporary;
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < rows_of(t); i++) {
        sum += losses[i];
        n += loss_of(t->node)->counts(t, i);
    }
    t->out[0][0] = (whet_i_real)(n ? sum / (double)n : 0);
    if (t->saved) t->saved[0] = (whet_i_real)n;
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? whet_i_blocks(rows_of(t), BLOCK) : 1;
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        row_losses(t, item, scratch);
    else
        mean_loss(t);
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(rows_of(t), BLOCK);
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const whet_i_row_loss *loss = loss_of(t->node);
    const int64_t k = whet_i_row_columns(t);
    const int64_t end = item * BLOCK + whet_i_block_rows(rows_of(t), BLOCK, item);
    const double rows = (double)t->saved[0], g = rows > 0 ? (double)t->grad_out[0][0] / rows : 0;
    double *d = scratch;
    for (int64_t i = item * BLOCK; i < end; i++) {
        whet_i_real *dx = t->grad_in[0] + i * k;
        const bool counts = loss->counts(t, i);
        if (counts) loss->gradient(t, i, d, d + k);
        for (int64_t c = 0; c < k; c++)
            dx[c] = (t->adds[0] ? dx[c] : 0) + (counts ? (whet_i_real)(g * d[c]) : 0);
    }
}

static int64_t space_of(const whet_i_graph *g, const whet_i_node *node) {
    const whet_i_row_loss *loss = loss_of(node);
    return loss->space ? loss->space(node->settings, whet_i_columns(g, node->inputs[0])) : 0;
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    (void)sizes;
    return space_of(g, node) * (int64_t)sizeof(double);
}

static int64_t backward_scratch(const whet_i_graph *g, const whet_i_node *node,
                                const whet_i_sizes *sizes) {
    (void)sizes;
    return (space_of(g, node) + whet_i_columns(g, node->inputs[0])) * (int64_t)sizeof(double);
}

/* A double a row. */
static int64_t row_sums(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->inputs[0]].extent] *
           (sizeof(double) == sizeof(whet_i_real) ? 1 : 2);
}

static int64_t one(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    (void)g;
    (void)node;
    (void)sizes;
    return 1;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static const whet_i_op op_row_loss = {
    .name = "row loss",
    .forward = {2, forward_items, forward_run, forward_scratch, row_sums},
    .backward = {1, backward_items, backward_run, backward_scratch, NULL},
    .backward_reads = backward_reads,
    .saved = one,
    .grad_shares = -1,
};

whet_status whet_i_row_loss_record(whet_ctx *ctx, whet_i_graph *graph, const void *settings,
                                   size_t size, whet_i_value logits, whet_i_value other,
                                   whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_row_loss,
                                .settings = settings,
                                .settings_size = size,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {logits, other},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
