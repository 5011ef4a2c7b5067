/* SPDX-License-Identifier: Apache-2.0
 * From the tokens of sequences to one row each, the mean of them or one (op_selection.c), and rows to unit
 * length. */
#include <math.h>

#include "nn/ops_i.h"

enum { BLOCK = 8 };

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

/* ---- pooling ---------------------------------------------------------------------------------- */

static void pool_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t),
                  end = item * BLOCK +
                        whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = item * BLOCK; i < end; i++) {
        const int64_t first = t->batch->start[i], length = t->batch->start[i + 1] - first;
        const whet_i_real *x = (const whet_i_real *)t->in[0] + first * n;
        whet_i_real *out = t->out[0] + i * n;
        memset(out, 0, (size_t)n * sizeof *out);
        if (length == 0) continue;
        for (int64_t j = 0; j < length; j++) t->kernels->add(n, x + j * n, out);
        t->kernels->scale(n, 1 / (whet_i_real)length, out);
    }
}

static void pool_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t),
                  end = item * BLOCK +
                        whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = item * BLOCK; i < end; i++) {
        const int64_t first = t->batch->start[i], length = t->batch->start[i + 1] - first;
        const whet_i_real *g = t->grad_out[0] + i * n;
        whet_i_real *dx = t->grad_in[0] + first * n;
        if (!t->adds[0]) memset(dx, 0, (size_t)(length * n) * sizeof *dx);
        for (int64_t j = 0; j < length; j++)
            t->kernels->add_scaled(n, 1 / (whet_i_real)length, g, dx + j * n);
    }
}

static const whet_i_op op_pooling = {
    .name = "pooling",
    .forward = {1, row_items, pool_forward, NULL, NULL},
    .backward = {1, row_items, pool_backward, NULL, NULL},
    .grad_shares = -1,
};

whet_status whet_i_pool_tokens(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               whet_i_pooling_kind kind, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_pooling,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {WHET_I_EXAMPLES},
                                .columns = {whet_i_columns(graph, x)}};
    if (kind != WHET_I_POOL_MEAN)
        return whet_i_select_tokens(
            ctx, graph, x, kind == WHET_I_POOL_FIRST ? WHET_I_FIRST_TOKENS : WHET_I_LAST_TOKENS,
            out);
    if (graph->values[x].extent != WHET_I_TOKENS)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "a mean is asked for of some tokens");
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

/* ---- unit rows -------------------------------------------------------------------------------- */

static whet_i_real length_of(const whet_i_task *t, int64_t n, const whet_i_real *x) {
    const whet_i_real length = (whet_i_real)sqrt((double)t->kernels->dot(n, x, x)),
                      least = (whet_i_real)1e-12;
    return length > least ? length : least;
}

static void unit_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t),
                  end = item * BLOCK +
                        whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = item * BLOCK; i < end; i++) {
        const whet_i_real *x = (const whet_i_real *)t->in[0] + i * n;
        whet_i_real *out = t->out[0] + i * n;
        const whet_i_real length = length_of(t, n, x);
        if (out != x) memcpy(out, x, (size_t)n * sizeof *out);
        t->kernels->scale(n, 1 / length, out);
    }
}

/* With y = x / |x|: dx = (g - y (y g)) / |x|. */
static void unit_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t),
                  end = item * BLOCK +
                        whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t i = item * BLOCK; i < end; i++) {
        const whet_i_real *x = (const whet_i_real *)t->in[0] + i * n;
        whet_i_real *g = t->grad_out[0] + i * n, *dx = t->grad_in[0] + i * n;
        const whet_i_real inverse = 1 / length_of(t, n, x);
        const whet_i_real along = t->kernels->dot(n, x, g) * inverse * inverse;
        t->kernels->add_scaled(n, -along, x, g);
        t->kernels->scale(n, inverse, g);
        if (dx == g) continue;
        if (t->adds[0])
            t->kernels->add(n, g, dx);
        else
            memcpy(dx, g, (size_t)n * sizeof *dx);
    }
}

static uint32_t reads_input(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0);
}

static const whet_i_op op_unit_rows = {
    .name = "unit rows",
    .forward = {1, row_items, unit_forward, NULL, NULL},
    .backward = {1, row_items, unit_backward, NULL, NULL},
    .backward_reads = reads_input,
    .in_place = true,
    .grad_shares = 0,
};

whet_status whet_i_unit_rows(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                             whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_unit_rows,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {graph->values[x].extent},
                                .columns = {whet_i_columns(graph, x)}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
