/* SPDX-License-Identifier: Apache-2.0
 * Operations on single numbers: activation, dropout, sum. All run in place where they may. */
#include "nn/ops_i.h"

enum { BLOCK = 8192 }; /* numbers an item */

static int64_t count_of(const whet_i_task *t) {
    return whet_i_rows(t, t->node->outputs[0]) * whet_i_columns(t->graph, t->node->outputs[0]);
}

static int64_t items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(count_of(t), BLOCK);
}

static whet_status record(whet_ctx *ctx, whet_i_graph *g, const whet_i_op *op, const void *settings,
                          size_t size, whet_i_value a, whet_i_value b, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = op,
                                .settings = settings,
                                .settings_size = size,
                                .n_inputs = b == WHET_I_NONE ? 1 : 2,
                                .n_outputs = 1,
                                .inputs = {a, b},
                                .extents = {g->values[a].extent},
                                .columns = {whet_i_columns(g, a)}};
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

/* What a backward pass begins with: to [n] = g, or += g. */
static void pass_on(const whet_i_task *t, int32_t input, int64_t first, int64_t n) {
    whet_i_real *to = t->grad_in[input], *g = t->grad_out[0];
    if (!to || to == g) return;
    if (t->adds[input])
        t->kernels->add(n, g + first, to + first);
    else
        memcpy(to + first, g + first, (size_t)n * sizeof *to);
}

/* ---- activation ------------------------------------------------------------------------------- */

static void activation_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    const whet_i_real *x = t->in[0];
    if (t->out[0] != x) memcpy(t->out[0] + first, x + first, (size_t)n * sizeof *x);
    t->kernels->activate(*(const whet_i_act *)t->node->settings, n, t->out[0] + first);
}

static void activation_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    t->kernels->activate_backward(*(const whet_i_act *)t->node->settings, n,
                                  (const whet_i_real *)t->in[0] + first, t->grad_out[0] + first);
    pass_on(t, 0, first, n);
}

static uint32_t reads_input(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0);
}

static const whet_i_op op_activation = {
    .name = "activation",
    .forward = {1, items, activation_forward, NULL, NULL},
    .backward = {1, items, activation_backward, NULL, NULL},
    .backward_reads = reads_input,
    .rebuild = {1, items, activation_forward, NULL, NULL},
    .rebuild_reads = WHET_I_READS_IN(0),
    .in_place = true,
    .grad_shares = 0,
};

whet_status whet_i_activation(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, whet_i_act act,
                              whet_i_value *out) {
    if (act == WHET_I_ACT_NONE) {
        *out = x;
        return WHET_OK;
    }
    return record(ctx, graph, &op_activation, &act, sizeof act, x, WHET_I_NONE, out);
}

/* ---- dropout ---------------------------------------------------------------------------------- */

typedef struct dropout_settings {
    uint32_t threshold; /* dropped where 16 random bits are below it */
    whet_i_real keep;   /* 1 / (1 - p) */
} dropout_settings;

/* to [n] = from where kept, scaled. n starts at a multiple of 4. */
static void drop(const whet_i_task *t, int64_t first, int64_t n, const whet_i_real *from,
                 whet_i_real *to, bool adds) {
    const dropout_settings *s = t->node->settings;
    const uint64_t stream = whet_i_hash_u64(t->batch->seed + (uint64_t)t->node->index);
    t->kernels->dropout(n, stream, first, s->threshold, s->keep, from, adds, to);
}

static void dropout_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    const whet_i_real *x = (const whet_i_real *)t->in[0] + first;
    whet_i_real *out = t->out[0] + first;
    if (t->batch->train)
        drop(t, first, n, x, out, false);
    else if (out != x)
        memcpy(out, x, (size_t)n * sizeof *out);
}

static void dropout_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    if (t->batch->train)
        drop(t, first, n, t->grad_out[0] + first, t->grad_in[0] + first, t->adds[0]);
    else
        pass_on(t, 0, first, n);
}

static const whet_i_op op_dropout = {
    .name = "dropout",
    .forward = {1, items, dropout_forward, NULL, NULL},
    .backward = {1, items, dropout_backward, NULL, NULL},
    .rebuild = {1, items, dropout_forward, NULL, NULL},
    .rebuild_reads = WHET_I_READS_IN(0),
    .in_place = true,
    .grad_shares = 0,
};

whet_status whet_i_dropout(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, double p,
                           whet_i_value *out) {
    if (p == 0) {
        *out = x;
        return WHET_OK;
    }
    const dropout_settings s = {(uint32_t)(p * 65536 + 0.5), (whet_i_real)(1 / (1 - p))};
    return record(ctx, graph, &op_dropout, &s, sizeof s, x, WHET_I_NONE, out);
}

/* ---- sum -------------------------------------------------------------------------------------- */

static void sum_forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    const whet_i_real *a = t->in[0], *b = t->in[1];
    if (t->out[0] != a) memcpy(t->out[0] + first, a + first, (size_t)n * sizeof *a);
    t->kernels->add(n, b + first, t->out[0] + first);
}

static void sum_backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t first = item * BLOCK, n = whet_i_block_rows(count_of(t), BLOCK, item);
    pass_on(t, 1, first, n);
    pass_on(t, 0, first, n);
}

static const whet_i_op op_sum = {
    .name = "sum",
    .forward = {1, items, sum_forward, NULL, NULL},
    .backward = {1, items, sum_backward, NULL, NULL},
    .in_place = true,
    .grad_shares = 0,
};

whet_status whet_i_sum(whet_ctx *ctx, whet_i_graph *graph, whet_i_value a, whet_i_value b,
                       whet_i_value *out) {
    return record(ctx, graph, &op_sum, NULL, 0, a, b, out);
}
