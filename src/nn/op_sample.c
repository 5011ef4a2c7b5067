/* SPDX-License-Identifier: Apache-2.0
 * A draw from a normal distribution that gradients pass through (Kingma & Welling 2014, eq. 4):
 * z = m + exp(v / 2) e. The noise e is a function of seed, node and place (Box & Muller 1958 on two
 * halves of a hash), and so it is made again in the backward pass, by any thread.
 * Legend: m mean, v log-variance. */
#include <math.h>

#include "nn/ops_i.h"

enum { BLOCK = 2048 };

static const double TURN = 6.283185307179586;

static int64_t count_of(const whet_i_task *t) {
    return whet_i_rows(t, t->node->outputs[0]) * whet_i_columns(t->graph, t->node->outputs[0]);
}

static int64_t items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(count_of(t), BLOCK);
}

/* The first uniform is never 0: its logarithm is finite. */
static double noise(uint64_t stream, int64_t i) {
    const uint64_t bits = whet_i_hash_u64(stream ^ (uint64_t)i);
    const double u = ((double)(bits >> 32) + 0.5) * 0x1p-32;
    return sqrt(-2 * log(u)) * cos(TURN * (double)(bits & 0xffffffff) * 0x1p-32);
}

static uint64_t stream_of(const whet_i_task *t) {
    return whet_i_hash_u64(t->batch->seed + (uint64_t)t->node->index);
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    const whet_i_real *m = t->in[0], *v = t->in[1];
    for (int64_t i = first; i < first + n; i++) {
        double z = (double)m[i];
        if (t->batch->train) z += exp((double)v[i] / 2) * noise(stream_of(t), i);
        t->out[0][i] = (whet_i_real)z;
    }
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    const whet_i_real *v = t->in[1], *g = t->grad_out[0];
    whet_i_real *dm = t->grad_in[0], *dv = t->grad_in[1];
    for (int64_t i = first; i < first + n; i++) {
        if (dv) {
            double d = 0;
            if (t->batch->train)
                d = (double)g[i] * exp((double)v[i] / 2) * noise(stream_of(t), i) / 2;
            dv[i] = (t->adds[1] ? dv[i] : 0) + (whet_i_real)d;
        }
        if (dm && dm != g) dm[i] = (t->adds[0] ? dm[i] : 0) + g[i];
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    return wanted & 2 ? WHET_I_READS_IN(1) : 0;
}

static const whet_i_op op_sample = {
    .name = "normal sample",
    .forward = {1, items, forward_run, NULL, NULL},
    .backward = {1, items, backward_run, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = 0,
};

whet_status whet_i_sample_normal(whet_ctx *ctx, whet_i_graph *graph, whet_i_value mean,
                                 whet_i_value log_variance, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_sample,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {mean, log_variance},
                                .extents = {graph->values[mean].extent},
                                .columns = {whet_i_columns(graph, mean)}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
