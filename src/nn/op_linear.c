/* SPDX-License-Identifier: Apache-2.0
 * Linear layers: out = act(x w^T + b) + residual, w of 1..3 parts side by side.
 *
 * Forward: items are blocks of rows; a block stays in the second-level cache while the panels of w
 * stream by. Backward, with g the gradient of the output before the activation:
 *   dx = g w      by blocks of rows, with the other packed form of w;
 *   dw = g^T x    by panels of x's columns, all rows of w at once: a sum over rows, whose order does
 *                 not depend on how the panels are shared out;
 *   db = sum g.
 * Frozen parts cost nothing; the activation is not stored but made again from what stands before it.
 * Legend: m rows, k columns of x, n columns of out. */
#include <stdio.h>

#include "nn/ops_i.h"

typedef struct settings {
    int32_t weight; /* in params->weights */
    int32_t parts;
    int64_t n, k, rows[3];
    bool bias;
    whet_i_act act;
    bool residual;
} settings;

/* Parameters of a node: the parts' matrices, then their biases. */
enum { ROWS_MOST = 528, ROWS_LEAST = 24, COLUMN_BLOCK = WHET_I_PANEL };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_weight *weight_of(const whet_i_graph *g, const whet_i_node *node) {
    return &g->params->weights[settings_of(node)->weight];
}

static bool is_half(const whet_i_graph *g) { return g->params->dtype == WHET_BF16; }

/* Rows of an item: alone, as many as share one reading of w; in a team, a quarter of what each member
 * gets. Multiples of the kernels' tiles. Bits do not depend on it. */
static int64_t row_block(const whet_i_task *t) {
    const int64_t rows = whet_i_rows(t, t->node->outputs[0]);
    int64_t block = t->workers == 1 ? ROWS_MOST : rows / (4 * t->workers);
    block = block > ROWS_MOST ? ROWS_MOST : block < ROWS_LEAST ? ROWS_LEAST : block;
    return block / ROWS_LEAST * ROWS_LEAST;
}

static void multiply(const whet_i_task *t, const whet_i_linear *args) {
    if (is_half(t->graph))
        t->kernels->linear_bf16(args);
    else
        t->kernels->linear_f32(args);
}

/* ---- forward ---------------------------------------------------------------------------------- */

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), row_block(t));
}

/* A few rows (a token that is generated) are shared out by columns instead: so many panels an item. */
static int64_t column_panels(const whet_i_task *t) {
    const int64_t panels = whet_i_blocks(settings_of(t->node)->n, WHET_I_PANEL);
    if (t->workers == 1 || row_items(t, 0) >= t->workers) return panels;
    return whet_i_blocks(panels, 4 * t->workers);
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    const int64_t panels = whet_i_blocks(settings_of(t->node)->n, WHET_I_PANEL);
    return row_items(t, phase) * whet_i_blocks(panels, column_panels(t));
}

static void forward_part(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    const settings *s = settings_of(t->node);
    const whet_i_weight *w = weight_of(t->graph, t->node);
    const int64_t panels = column_panels(t),
                  parts = whet_i_blocks(whet_i_blocks(s->n, WHET_I_PANEL), panels);
    const int64_t block = row_block(t), rows_item = item / parts, first = rows_item * block;
    const int64_t panel = item % parts * panels, column = panel * WHET_I_PANEL;
    const int64_t left = s->n - column, wide = panels * WHET_I_PANEL;
    const int64_t at = first * s->n + column;
    const whet_i_real *x = t->in[0], *residual = s->residual ? t->in[1] : NULL;
    const int64_t skip = panel * whet_i_panel_step(s->k);
    whet_i_linear args = {
        .rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, rows_item),
        .n = left < wide ? left : wide,
        .k = s->k,
        .a = x + first * s->k,
        .packed = is_half(t->graph) ? (const void *)((const uint16_t *)w->forward + skip)
                                    : (const void *)((const whet_i_real *)w->forward + skip),
        .residual = residual ? residual + at : NULL,
        .before = t->out[1] ? t->out[1] + at : NULL,
        .c = t->out[0] ? t->out[0] + at : NULL,
        .lda = s->k,
        .ldr = s->n,
        .ldc = s->n,
        .act = s->act,
        .scratch = scratch};
    if (s->bias) args.bias = t->graph->params->items[t->node->params[s->parts]].values + column;
    multiply(t, &args);
}

static int64_t linear_scratch(const whet_i_graph *g, int64_t k) {
    return is_half(g) ? g->params->kernels->linear_scratch(ROWS_MOST, k) : 0;
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    (void)sizes;
    return linear_scratch(g, settings_of(node)->k);
}

/* ---- the activation again --------------------------------------------------------------------- */

static void activate_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t->node);
    const int64_t block = row_block(t);
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, item);
    whet_i_real *to = t->out[0] + item * block * s->n;
    memcpy(to, t->out[1] + item * block * s->n, (size_t)(rows * s->n) * sizeof *to);
    t->kernels->activate(s->act, rows * s->n, to);
}

/* ---- backward --------------------------------------------------------------------------------- */

static bool part_trains(const whet_i_graph *g, const whet_i_node *node, int32_t param) {
    return g->params->items[node->params[param]].trainable;
}

static bool weights_train(const whet_i_graph *g, const whet_i_node *node) {
    bool any = false;
    for (int32_t i = 0; i < settings_of(node)->parts; i++) any |= part_trains(g, node, i);
    return any;
}

static bool biases_train(const whet_i_graph *g, const whet_i_node *node) {
    const settings *s = settings_of(node);
    bool any = false;
    for (int32_t i = 0; s->bias && i < s->parts; i++) any |= part_trains(g, node, s->parts + i);
    return any;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    uint32_t reads = 0;
    if (weights_train(g, node)) reads |= WHET_I_READS_IN(0);
    if (settings_of(node)->act != WHET_I_ACT_NONE) reads |= WHET_I_READS_OUT(1);
    return reads;
}

/* Phase 0, by rows: through the activation, into dx and the residual. */
static void backward_rows(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const whet_i_weight *w = weight_of(t->graph, t->node);
    const int64_t block = row_block(t), first = item * block;
    const int64_t rows = whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), block, item);
    whet_i_real *g = t->grad_out[0] + first * s->n;
    if (s->act != WHET_I_ACT_NONE)
        t->kernels->activate_backward(s->act, rows * s->n, t->out[1] + first * s->n, g);
    if (t->grad_in[0]) {
        whet_i_real *dx = t->grad_in[0] + first * s->k;
        const whet_i_linear args = {.rows = rows,
                                    .n = s->k,
                                    .k = s->n,
                                    .a = g,
                                    .packed = w->backward,
                                    .residual = t->adds[0] ? dx : NULL,
                                    .c = dx,
                                    .lda = s->n,
                                    .ldr = s->k,
                                    .ldc = s->k,
                                    .scratch = scratch};
        multiply(t, &args);
    }
    if (!t->grad_in[1] || t->grad_in[1] == t->grad_out[0]) return;
    whet_i_real *dr = t->grad_in[1] + first * s->n;
    if (t->adds[1])
        t->kernels->add(rows * s->n, g, dr);
    else
        memcpy(dr, g, (size_t)(rows * s->n) * sizeof *dr);
}

/* Phase 1, by panels of columns of w: its gradient. */
static void backward_weight(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t first = item * COLUMN_BLOCK;
    const whet_i_real *g = t->grad_out[0];
    for (int32_t i = 0; i < s->parts; g += s->rows[i], i++) {
        if (!part_trains(t->graph, t->node, i)) continue;
        const whet_i_product args = {.m = s->rows[i],
                                     .n = s->k - first < COLUMN_BLOCK ? s->k - first : COLUMN_BLOCK,
                                     .k = whet_i_rows(t, t->node->outputs[0]),
                                     .a = g,
                                     .a_row = 1,
                                     .a_col = s->n,
                                     .b = (const whet_i_real *)t->in[0] + first,
                                     .b_row = s->k,
                                     .b_col = 1,
                                     .beta = t->param_adds[i] ? 1 : 0,
                                     .c = t->graph->params->items[t->node->params[i]].gradient +
                                          first,
                                     .ldc = s->k};
        if (is_half(t->graph))
            t->kernels->product_bf16(&args, scratch);
        else
            t->kernels->product(&args);
    }
}

/* Its first item: the biases. */
static void backward_bias(const whet_i_task *t) {
    const settings *s = settings_of(t->node);
    const int64_t rows = whet_i_rows(t, t->node->outputs[0]);
    const whet_i_real *g = t->grad_out[0];
    for (int32_t i = 0; i < s->parts; g += s->rows[i], i++) {
        if (!part_trains(t->graph, t->node, s->parts + i)) continue;
        whet_i_real *db = t->graph->params->items[t->node->params[s->parts + i]].gradient;
        if (!t->param_adds[s->parts + i]) memset(db, 0, (size_t)s->rows[i] * sizeof *db);
        for (int64_t r = 0; r < rows; r++) t->kernels->add(s->rows[i], g + r * s->n, db);
    }
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    const settings *s = settings_of(t->node);
    if (phase == 0) return row_items(t, phase);
    return (weights_train(t->graph, t->node) ? whet_i_blocks(s->k, COLUMN_BLOCK) : 0) +
           (biases_train(t->graph, t->node) ? 1 : 0);
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0) {
        backward_rows(t, item, scratch);
        return;
    }
    /* The biases first: they take one member long, and the others find weights to do. */
    if (biases_train(t->graph, t->node) && item-- == 0)
        backward_bias(t);
    else
        backward_weight(t, item, scratch);
}

static int64_t backward_scratch(const whet_i_graph *g, const whet_i_node *node,
                                const whet_i_sizes *sizes) {
    (void)sizes;
    const settings *s = settings_of(node);
    int64_t most = linear_scratch(g, s->n);
    for (int32_t i = 0; is_half(g) && i < s->parts; i++) {
        const int64_t bytes = g->params->kernels->product_bf16_scratch(s->rows[i], COLUMN_BLOCK);
        if (bytes > most) most = bytes;
    }
    return most;
}

static whet_status prepare(whet_ctx *ctx, const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes, void **state) {
    (void)ctx;
    (void)state;
    whet_i_weight *w = &g->params->weights[settings_of(node)->weight];
    /* Written when it changes only: an encoder's parameters may be shared by threads. */
    if (!w->need_forward) w->need_forward = true;
    if (sizes->train && sizes->wanted & 1 && !w->need_backward) w->need_backward = true;
    return WHET_OK;
}

static const whet_i_op op_linear = {
    .name = "linear",
    .forward = {1, forward_items, forward_part, forward_scratch, NULL},
    .backward = {2, backward_items, backward_run, backward_scratch, NULL},
    .backward_reads = backward_reads,
    .grad_shares = 1,
    .prepare = prepare,
};

/* With an activation, output 1 is what stands before it. */
static const whet_i_op op_linear_act = {
    .name = "linear, activation",
    .forward = {1, forward_items, forward_part, forward_scratch, NULL},
    .backward = {2, backward_items, backward_run, backward_scratch, NULL},
    .backward_reads = backward_reads,
    .rebuild = {1, row_items, activate_rows, NULL, NULL},
    .rebuild_reads = WHET_I_READS_OUT(1),
    .grad_shares = -1,
    .prepare = prepare,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_status record(whet_ctx *ctx, whet_i_graph *g, whet_i_value x, whet_i_value residual,
                          const settings *s, const whet_i_param_id *params, whet_i_value *out) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const bool active = s->act != WHET_I_ACT_NONE;
    const whet_i_extent extent = g->values[x].extent;
    whet_i_recording r = {.op = active ? &op_linear_act : &op_linear,
                          .settings = s,
                          .settings_size = sizeof *s,
                          .n_inputs = s->residual ? 2 : 1,
                          .n_outputs = active ? 2 : 1,
                          .n_params = s->bias ? 2 * s->parts : s->parts,
                          .inputs = {x, residual},
                          .extents = {extent, extent},
                          .columns = {s->n, s->n}};
    memcpy(r.params, params, (size_t)r.n_params * sizeof *params);
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

static whet_status add_params(whet_ctx *ctx, whet_i_graph *g, const whet_i_linear_spec *spec,
                              int64_t k, whet_i_param_id *params) {
    char name[256];
    for (int32_t i = 0; i < spec->parts; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", spec->modules[i]);
        const whet_i_param_spec p = {name, 2, {spec->n[i], k}, spec->init, spec->init_scale, false};
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &params[i]));
    }
    for (int32_t i = 0; spec->bias && i < spec->parts; i++) {
        (void)snprintf(name, sizeof name, "%s.bias", spec->modules[i]);
        const whet_i_param_spec p = {name, 1, {spec->n[i]}, spec->bias_init, spec->bias_scale,
                                     false};
        WHET_TRY(whet_i_params_add(ctx, g->params, &p, &params[spec->parts + i]));
    }
    return WHET_OK;
}

static bool adapted(const whet_i_graph *g, const whet_i_linear_spec *spec) {
    bool any = false;
    for (int32_t i = 0; g->adapters && i < spec->parts; i++)
        any |= g->adapters->applies(g->adapters->arg, spec->modules[i]);
    return any;
}

whet_status whet_i_linear_layer(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                                const whet_i_linear_spec *spec, whet_i_value *out) {
    settings s = {.parts = spec->parts,
                  .k = whet_i_columns(graph, x),
                  .bias = spec->bias,
                  .act = spec->act,
                  .residual = spec->residual != WHET_I_NONE};
    whet_i_param_id params[WHET_I_PARAMS_MAX];
    for (int32_t i = 0; i < s.parts; i++) s.n += s.rows[i] = spec->n[i];
    WHET_TRY(add_params(ctx, graph, spec, s.k, params));
    WHET_TRY(whet_i_params_weight(ctx, graph->params, params[0], s.parts, &s.weight));
    if (s.bias) WHET_TRY(whet_i_params_join(ctx, graph->params, params[s.parts], s.parts));
    if (!adapted(graph, spec)) return record(ctx, graph, x, spec->residual, &s, params, out);
    s.act = WHET_I_ACT_NONE;
    WHET_TRY(record(ctx, graph, x, spec->residual, &s, params, out));
    int64_t first = 0;
    for (int32_t i = 0; i < s.parts; first += s.rows[i], i++)
        if (graph->adapters->applies(graph->adapters->arg, spec->modules[i]))
            WHET_TRY(graph->adapters->record(ctx, graph, graph->adapters->arg, spec->modules[i], x,
                                             out, first, s.rows[i]));
    return whet_i_activation(ctx, graph, *out, spec->act, out);
}

whet_status whet_i_tied_linear(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                               const char *matrix, int64_t n, whet_i_value *out) {
    settings s = {.parts = 1, .k = whet_i_columns(graph, x), .n = n, .rows = {n}};
    const whet_i_param_spec p = {matrix, 2, {n, s.k}, WHET_I_INIT_REQUIRED, 0, false};
    whet_i_param_id param;
    WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &param));
    WHET_TRY(whet_i_params_weight(ctx, graph->params, param, 1, &s.weight));
    return record(ctx, graph, x, WHET_I_NONE, &s, &param, out);
}
