/* SPDX-License-Identifier: Apache-2.0
 * Gated activation (Shazeer 2020, arXiv 2002.05202): out = act(a) b, of x = [a, b]. The output is not
 * kept but made again from x.
 * Legend: n columns of out, 2 n of x. */
#include "nn/ops_i.h"

enum { BLOCK = 16 };

static whet_i_act act_of(const whet_i_task *t) { return *(const whet_i_act *)t->node->settings; }

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t n = columns_of(t), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t r = first; r < first + rows; r++) {
        const whet_i_real *a = (const whet_i_real *)t->in[0] + 2 * r * n, *b = a + n;
        whet_i_real *out = t->out[0] + r * n;
        memcpy(out, a, (size_t)n * sizeof *out);
        t->kernels->activate(act_of(t), n, out);
        for (int64_t j = 0; j < n; j++) out[j] *= b[j];
    }
}

/* da = g b act'(a), db = g act(a); scratch [2 n]. */
static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const int64_t n = columns_of(t), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    whet_i_real *da = scratch, *db = da + n;
    for (int64_t r = first; r < first + rows; r++) {
        const whet_i_real *a = (const whet_i_real *)t->in[0] + 2 * r * n, *b = a + n;
        const whet_i_real *g = t->grad_out[0] + r * n;
        whet_i_real *dx = t->grad_in[0] + 2 * r * n;
        memcpy(db, a, (size_t)n * sizeof *db);
        t->kernels->activate(act_of(t), n, db);
        for (int64_t j = 0; j < n; j++) {
            da[j] = g[j] * b[j];
            db[j] *= g[j];
        }
        t->kernels->activate_backward(act_of(t), n, a, da);
        if (t->adds[0])
            t->kernels->add(2 * n, da, dx);
        else
            memcpy(dx, da, (size_t)(2 * n) * sizeof *dx);
    }
}

static int64_t two_rows(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    (void)sizes;
    return 2 * whet_i_columns(g, node->outputs[0]) * (int64_t)sizeof(whet_i_real);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0);
}

static const whet_i_op op_gated = {
    .name = "gated activation",
    .forward = {1, row_items, forward, NULL, NULL},
    .backward = {1, row_items, backward, two_rows, NULL},
    .backward_reads = backward_reads,
    .rebuild = {1, row_items, forward, NULL, NULL},
    .rebuild_reads = WHET_I_READS_IN(0),
    .grad_shares = -1,
};

whet_status whet_i_gated(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, whet_i_act act,
                         whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_gated,
                                .settings = &act,
                                .settings_size = sizeof act,
                                .n_inputs = 1,
                                .n_outputs = 1,
                                .inputs = {x},
                                .extents = {graph->values[x].extent},
                                .columns = {whet_i_columns(graph, x) / 2}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
