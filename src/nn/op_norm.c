/* SPDX-License-Identifier: Apache-2.0
 * Norms over columns: LayerNorm (Ba et al. 2016) and RMSNorm (Zhang & Sennrich 2019). The output is
 * not kept for the backward pass but made again from the input, which the backward pass reads anyway.
 * The gradients of gamma and beta are sums over rows: one partial sum a block of BLOCK rows, then
 * the blocks in order, so that the bits do not depend on the team. */
#include <stdio.h>

#include "nn/ops_i.h"

typedef struct settings {
    whet_i_real eps;
    bool rms;
} settings;

enum { BLOCK = 64, COLUMNS = 1024 };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_param *param(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->outputs[0]); }

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(rows_of(t), BLOCK);
}

static void forward_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t->node);
    const int64_t n = columns_of(t), first = item * BLOCK;
    const int64_t rows = whet_i_block_rows(rows_of(t), BLOCK, item);
    const whet_i_real *x = (const whet_i_real *)t->in[0] + first * n;
    whet_i_real *out = t->out[0] + first * n;
    if (s->rms)
        t->kernels->rmsnorm(rows, n, x, param(t, 0)->values, s->eps, out);
    else
        t->kernels->layernorm(rows, n, x, param(t, 0)->values, param(t, 1)->values, s->eps, out);
}

/* ---- backward --------------------------------------------------------------------------------- */

static bool any_trains(const whet_i_graph *g, const whet_i_node *node) {
    bool any = false;
    for (int32_t i = 0; i < node->n_params; i++) any |= g->params->items[node->params[i]].trainable;
    return any;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0);
}

/* Partial sums [blocks, 2 columns]. */
static int64_t partial_sums(const whet_i_graph *g, const whet_i_node *node,
                            const whet_i_sizes *sizes) {
    if (!any_trains(g, node)) return 0;
    const whet_i_value_info *v = &g->values[node->outputs[0]];
    return whet_i_blocks(sizes->rows[v->extent], BLOCK) * 2 * v->columns;
}

static void backward_rows(const whet_i_task *t, int64_t item) {
    const settings *s = settings_of(t->node);
    const int64_t n = columns_of(t), first = item * BLOCK;
    whet_i_norm_backward args = {.rows = whet_i_block_rows(rows_of(t), BLOCK, item),
                                 .n = n,
                                 .x = (const whet_i_real *)t->in[0] + first * n,
                                 .gamma = param(t, 0)->values,
                                 .eps = s->eps,
                                 .g = t->grad_out[0] + first * n,
                                 .dx = t->grad_in[0] ? t->grad_in[0] + first * n : NULL,
                                 .adds = t->adds[0]};
    if (t->temporary) {
        args.dgamma = t->temporary + item * 2 * n;
        memset(args.dgamma, 0, (size_t)(2 * n) * sizeof *args.dgamma);
        if (!s->rms) args.dbeta = args.dgamma + n;
    }
    (s->rms ? t->kernels->rmsnorm_backward : t->kernels->layernorm_backward)(&args);
}

/* Some columns of gamma's and beta's gradients. */
static void backward_sums(const whet_i_task *t, int64_t item) {
    const int64_t n = columns_of(t), first = item * COLUMNS, blocks = row_items(t, 0);
    const int64_t count = whet_i_block_rows(n, COLUMNS, item);
    for (int32_t i = 0; i < t->node->n_params; i++) {
        if (!param(t, i)->trainable) continue;
        whet_i_real *sum = param(t, i)->gradient + first;
        if (!t->param_adds[i]) memset(sum, 0, (size_t)count * sizeof *sum);
        for (int64_t b = 0; b < blocks; b++)
            t->kernels->add(count, t->temporary + (2 * b + i) * n + first, sum);
    }
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0) return row_items(t, phase);
    return t->temporary ? whet_i_blocks(columns_of(t), COLUMNS) : 0;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        backward_rows(t, item);
    else
        backward_sums(t, item);
}

static const whet_i_op op_norm = {
    .name = "norm",
    .forward = {1, row_items, forward_rows, NULL, NULL},
    .backward = {2, backward_items, backward_run, NULL, partial_sums},
    .backward_reads = backward_reads,
    .rebuild = {1, row_items, forward_rows, NULL, NULL},
    .rebuild_reads = WHET_I_READS_IN(0),
    .in_place = true,
    .grad_shares = 0,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_status record(whet_ctx *ctx, whet_i_graph *g, whet_i_value x, const char *module,
                          const settings *s, whet_i_value *out) {
    const int64_t n = whet_i_columns(g, x);
    char name[256];
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = &op_norm,
                          .settings = s,
                          .settings_size = sizeof *s,
                          .n_inputs = 1,
                          .n_outputs = 1,
                          .n_params = s->rms ? 1 : 2,
                          .inputs = {x},
                          .extents = {g->values[x].extent},
                          .columns = {n}};
    for (int32_t i = 0; i < r.n_params; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", module, i ? "bias" : "weight");
        const whet_i_param_spec p = {name, 1,    {n}, i ? WHET_I_INIT_ZERO : WHET_I_INIT_ONE,
                                     0,    false};
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &r.params[i]));
    }
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

whet_status whet_i_layernorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const char *module,
                             double eps, whet_i_value *out) {
    const settings s = {(whet_i_real)eps, false};
    return record(ctx, graph, x, module, &s, out);
}

whet_status whet_i_rmsnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const char *module,
                           double eps, whet_i_value *out) {
    const settings s = {(whet_i_real)eps, true};
    return record(ctx, graph, x, module, &s, out);
}
