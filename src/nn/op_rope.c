/* SPDX-License-Identifier: Apache-2.0
 * Rotary position embeddings (Su et al. 2021, arXiv 2104.09864): pairs of numbers of each query and
 * key head are turned by position x frequency. The gradient is turned back. Angles are computed in
 * f64, once a token for all heads. */
#include <math.h>

#include "nn/ops_i.h"

enum { BLOCK = 32 };

static const whet_i_rope_spec *spec_of(const whet_i_node *node) { return node->settings; }

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

/* Turns the heads of one row; sign -1 turns back. turns [d]: cosines, then sines. */
static void turn(const whet_i_rope_spec *s, const whet_i_real *turns, whet_i_real sign,
                 whet_i_real *x) {
    const int64_t half = s->d / 2, near = s->interleaved ? 1 : half, step = s->interleaved ? 2 : 1;
    for (int64_t h = 0; h < s->heads; h++, x += s->d) {
        for (int64_t i = 0; i < half; i++) {
            const whet_i_real a = x[i * step], b = x[i * step + near];
            const whet_i_real c = turns[i], z = sign * turns[half + i];
            x[i * step] = a * c - b * z;
            x[i * step + near] = b * c + a * z;
        }
    }
}

static void turn_rows(const whet_i_task *t, int64_t item, whet_i_real sign, whet_i_real *x,
                      whet_i_real *turns) {
    const whet_i_rope_spec *s = spec_of(t->node);
    const int64_t n = whet_i_columns(t->graph, t->node->outputs[0]), half = s->d / 2;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    const int32_t *positions = t->in[1];
    for (int64_t r = item * BLOCK; r < item * BLOCK + rows; r++) {
        const int64_t token = whet_i_selected_token(t->batch, s->selection, r);
        if (token < 0) continue;
        for (int64_t i = 0; i < half; i++) {
            const double angle = (double)positions[token] * s->frequency[i];
            turns[i] = (whet_i_real)cos(angle);
            turns[half + i] = (whet_i_real)sin(angle);
        }
        turn(s, turns, sign, x + r * n);
    }
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const int64_t n = whet_i_columns(t->graph, t->node->outputs[0]), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    const whet_i_real *x = t->in[0];
    if (t->out[0] != x)
        memcpy(t->out[0] + first * n, x + first * n, (size_t)(rows * n) * sizeof *x);
    turn_rows(t, item, 1, t->out[0], scratch);
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const int64_t n = whet_i_columns(t->graph, t->node->outputs[0]), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    whet_i_real *g = t->grad_out[0], *dx = t->grad_in[0];
    turn_rows(t, item, -1, g, scratch);
    if (dx == g) return;
    if (t->adds[0])
        t->kernels->add(rows * n, g + first * n, dx + first * n);
    else
        memcpy(dx + first * n, g + first * n, (size_t)(rows * n) * sizeof *dx);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(1);
}

static int64_t one_token(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return spec_of(node)->d * (int64_t)sizeof(whet_i_real);
}

static const whet_i_op op_rope = {
    .name = "rope",
    .forward = {1, row_items, forward, one_token, NULL},
    .backward = {1, row_items, backward, one_token, NULL},
    .backward_reads = backward_reads,
    .in_place = true,
    .grad_shares = 0,
};

whet_status whet_i_rope(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, whet_i_value positions,
                        const whet_i_rope_spec *spec, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_rope,
                                .settings = spec,
                                .settings_size = sizeof *spec,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {x, positions},
                                .extents = {graph->values[x].extent},
                                .columns = {whet_i_columns(graph, x)}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
