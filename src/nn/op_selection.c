/* SPDX-License-Identifier: Apache-2.0
 * Rows of some tokens: of all of them, or, where a network has kept no others, those that exist. A sequence
 * without tokens gives zeros. The gradient of a row goes where it came from.
 * Legend: x [T, n], or one row a sequence already; out [rows of the selection, n]. */
#include "nn/ops_i.h"

enum { BLOCK = 8 };

static whet_i_selection selection_of(const whet_i_task *t) {
    return *(const whet_i_selection *)t->node->settings;
}

static bool has_all_tokens(const whet_i_task *t) {
    return t->graph->values[t->node->inputs[0]].extent == WHET_I_TOKENS;
}

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

/* The row of x that row `row` of out is; -1 = none. */
static int64_t source_of(const whet_i_task *t, int64_t row) {
    const int64_t token = whet_i_selected_token(t->batch, selection_of(t), row);
    return has_all_tokens(t) || token < 0 ? token : row;
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = first; i < first + rows; i++) {
        const int64_t from = source_of(t, i);
        if (from < 0)
            memset(t->out[0] + i * n, 0, (size_t)n * sizeof *t->out[0]);
        else
            memcpy(t->out[0] + i * n, (const whet_i_real *)t->in[0] + from * n,
                   (size_t)n * sizeof *t->out[0]);
    }
}

/* An item is a sequence: its rows of x. */
static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return t->batch->rows[WHET_I_EXAMPLES];
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t);
    const whet_i_selection selection = selection_of(t);
    const whet_i_selection of_x = has_all_tokens(t) ? WHET_I_ALL_TOKENS : selection;
    const int64_t end = whet_i_selected_before(t->batch, selection, item + 1);
    const int64_t first = whet_i_selected_before(t->batch, of_x, item);
    const int64_t last = whet_i_selected_before(t->batch, of_x, item + 1);
    whet_i_real *dx = t->grad_in[0];
    if (!t->adds[0]) memset(dx + first * n, 0, (size_t)((last - first) * n) * sizeof *dx);
    for (int64_t i = whet_i_selected_before(t->batch, selection, item); i < end; i++) {
        const int64_t from = source_of(t, i);
        if (from >= 0) t->kernels->add(n, t->grad_out[0] + i * n, dx + from * n);
    }
}

static const whet_i_op op_selection = {
    .name = "selection",
    .forward = {1, forward_items, forward, NULL, NULL},
    .backward = {1, backward_items, backward, NULL, NULL},
    .grad_shares = -1,
};

whet_status whet_i_select_tokens(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                 whet_i_selection selection, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_selection,
                                .settings = &selection,
                                .settings_size = sizeof selection,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {whet_i_selection_extent(selection)},
                                .columns = {whet_i_columns(graph, x)}};
    if (selection == WHET_I_ALL_TOKENS) {
        *out = x;
        return WHET_OK;
    }
    if (graph->values[x].extent != WHET_I_TOKENS && graph->values[x].extent != r.extents[0])
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "rows are selected of those of other tokens");
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
