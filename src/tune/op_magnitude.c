/* SPDX-License-Identifier: Apache-2.0
 * The magnitudes of DoRA (Liu et al. 2024, arXiv 2402.09353, eq. 5): behind a layer and its LoRA adapter,
 * y = W x + b + scale B A x, output o becomes
 *   m_o / |V_o| (y_o - b_o) + b_o,   V = W + scale B A, |V_o| the norm of its row o,
 * so that row o of the layer's matrix has length m_o. The norms change with A and B but count as constants
 * in the gradients (there, section 4.3), as PEFT has it. They are computed in each pass: 2 in out r
 * operations, which a few rows of the layer's own product cost. */
#include <math.h>
#include <stdio.h>

#include "tune/adapter_i.h"

typedef struct settings {
    whet_i_adapter_shape shape;
    int64_t first; /* column of y */
    whet_i_real scale;
    whet_i_param_id weight, factors[2], bias; /* W, A, B; bias -1 = none */
    bool settled;                             /* magnitudes are m / |V| */
} settings;

enum { ROWS = 96, OUTPUTS = 32, COLUMNS = 64 };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static const whet_i_real *values_of(const whet_i_task *t, whet_i_param_id id) {
    return t->graph->params->items[id].values;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->outputs[0]); }

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

static whet_i_real bias_of(const whet_i_task *t, int64_t o) {
    const whet_i_param_id id = settings_of(t->node)->bias;
    return id < 0 ? 0 : values_of(t, id)[o];
}

/* ---- forward: 1 / |V_o| of all outputs, then the rows ------------------------------------------- */

/* A row of zeros stays one, whatever its magnitude. */
static void inverse_norms(const whet_i_params *params, const whet_kernels *kernels,
                          const settings *set, int64_t item, whet_i_real *v, whet_i_real *out) {
    const whet_i_adapter_shape *s = &set->shape;
    const int64_t first = item * OUTPUTS, n = whet_i_block_rows(s->out, OUTPUTS, item);
    whet_i_real *b = v + OUTPUTS * s->in;
    whet_i_param_read(params, set->weight, first * s->in, n * s->in, v);
    memcpy(b, params->items[set->factors[1]].values + first * s->rank,
           (size_t)(n * s->rank) * sizeof *b);
    kernels->scale(n * s->rank, set->scale, b);
    const whet_i_product args = {.m = n,
                                 .n = s->in,
                                 .k = s->rank,
                                 .a = b,
                                 .a_row = s->rank,
                                 .a_col = 1,
                                 .b = params->items[set->factors[0]].values,
                                 .b_row = s->in,
                                 .b_col = 1,
                                 .beta = 1,
                                 .c = v,
                                 .ldc = s->in};
    kernels->product(&args);
    for (int64_t o = 0; o < n; o++) {
        const double square = (double)kernels->dot(s->in, v + o * s->in, v + o * s->in);
        out[o] = square > 0 ? (whet_i_real)(1 / sqrt(square)) : 0;
    }
}

/* What outputs first .. first + n are multiplied by, and what is added. */
static void factors(const whet_i_task *t, int64_t first, int64_t n, const whet_i_real *inverse) {
    const settings *set = settings_of(t->node);
    const whet_i_real *m = values_of(t, t->node->params[0]);
    whet_i_real *factor = t->temporary, *offset = t->temporary + set->shape.out;
    for (int64_t o = first; o < first + n; o++) {
        const whet_i_real b = bias_of(t, o);
        factor[o] = m[o] * inverse[o - first];
        offset[o] = b - factor[o] * b;
    }
}

static void scale_rows(const whet_i_task *t, int64_t item) {
    const settings *set = settings_of(t->node);
    const int64_t columns = columns_of(t), first = item * ROWS;
    const int64_t rows = whet_i_block_rows(rows_of(t), ROWS, item), n = set->shape.out;
    const whet_i_real *factor = t->temporary, *offset = t->temporary + n;
    const whet_i_real *y = (const whet_i_real *)t->in[0] + first * columns;
    whet_i_real *out = t->out[0] + first * columns;
    if (out != y) memcpy(out, y, (size_t)(rows * columns) * sizeof *out);
    for (int64_t i = 0; i < rows; i++) {
        whet_i_real *row = out + i * columns + set->first;
        for (int64_t o = 0; o < n; o++) row[o] = factor[o] * row[o] + offset[o];
    }
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? whet_i_blocks(settings_of(t->node)->shape.out, OUTPUTS)
                      : whet_i_blocks(rows_of(t), ROWS);
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    const int64_t first = item * OUTPUTS;
    whet_i_real inverse[OUTPUTS];
    if (phase == 1) {
        scale_rows(t, item);
        return;
    }
    const settings *set = settings_of(t->node);
    const int64_t n = whet_i_block_rows(set->shape.out, OUTPUTS, item);
    for (int64_t o = 0; o < n; o++) inverse[o] = 1;
    if (!set->settled) inverse_norms(t->graph->params, t->kernels, set, item, scratch, inverse);
    factors(t, first, n, inverse);
    if (t->saved) memcpy(t->saved + first, inverse, (size_t)n * sizeof *inverse);
}

static int64_t forward_scratch(const whet_i_graph *g, const whet_i_node *node,
                               const whet_i_sizes *sizes) {
    const whet_i_adapter_shape *s = &settings_of(node)->shape;
    (void)g;
    (void)sizes;
    return OUTPUTS * (s->in + s->rank) * (int64_t)sizeof(whet_i_real);
}

static int64_t of_outputs(const whet_i_graph *g, const whet_i_node *node,
                          const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return settings_of(node)->shape.out;
}

static int64_t twice_outputs(const whet_i_graph *g, const whet_i_node *node,
                             const whet_i_sizes *sizes) {
    return 2 * of_outputs(g, node, sizes);
}

/* ---- backward: the magnitudes' gradient, then the rows ------------------------------------------ */

/* dm_o = sum over rows of g_o (y_o - b_o) / |V_o|, for some outputs. */
static void backward_magnitudes(const whet_i_task *t, int64_t item) {
    const settings *set = settings_of(t->node);
    const int64_t columns = columns_of(t), rows = rows_of(t), first = item * COLUMNS;
    const int64_t n = whet_i_block_rows(set->shape.out, COLUMNS, item);
    const whet_i_real *y = (const whet_i_real *)t->in[0] + set->first + first;
    const whet_i_real *g = t->grad_out[0] + set->first + first;
    whet_i_real *to = t->graph->params->items[t->node->params[0]].gradient + first;
    double sums[COLUMNS] = {0};
    for (int64_t i = 0; i < rows; i++)
        for (int64_t o = 0; o < n; o++)
            sums[o] +=
                (double)g[i * columns + o] * (double)(y[i * columns + o] - bias_of(t, first + o));
    for (int64_t o = 0; o < n; o++) {
        const whet_i_real d = (whet_i_real)sums[o] * t->saved[first + o];
        to[o] = t->param_adds[0] ? to[o] + d : d;
    }
}

static void backward_rows(const whet_i_task *t, int64_t item) {
    const settings *set = settings_of(t->node);
    const int64_t columns = columns_of(t), first = item * ROWS;
    const int64_t rows = whet_i_block_rows(rows_of(t), ROWS, item), n = set->shape.out;
    const whet_i_real *m = values_of(t, t->node->params[0]);
    whet_i_real *g = t->grad_out[0] + first * columns, *dy = t->grad_in[0] + first * columns;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t o = 0; o < n; o++) g[i * columns + set->first + o] *= m[o] * t->saved[o];
    if (g == dy) return;
    if (t->adds[0])
        t->kernels->add(rows * columns, g, dy);
    else
        memcpy(dy, g, (size_t)(rows * columns) * sizeof *dy);
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    const bool trains = t->graph->params->items[t->node->params[0]].trainable;
    if (phase == 0) return trains ? whet_i_blocks(settings_of(t->node)->shape.out, COLUMNS) : 0;
    return t->grad_in[0] ? whet_i_blocks(rows_of(t), ROWS) : 0;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        backward_magnitudes(t, item);
    else
        backward_rows(t, item);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)wanted;
    return g->params->items[node->params[0]].trainable ? WHET_I_READS_IN(0) : 0;
}

static const whet_i_op op_magnitude = {
    .name = "magnitude",
    .forward = {2, forward_items, forward_run, forward_scratch, twice_outputs},
    .backward = {2, backward_items, backward_run, NULL, NULL},
    .backward_reads = backward_reads,
    .saved = of_outputs,
    .in_place = true,
    .grad_shares = 0,
};

/* ---- recording -------------------------------------------------------------------------------- */

static whet_i_param_id find(const whet_i_params *params, const char *module, const char *end) {
    char name[256];
    (void)snprintf(name, sizeof name, "%s.%s", module, end);
    return whet_i_params_find(params, name);
}

static settings settings_for(const whet_i_params *params, const char *module, int64_t in,
                             int64_t first, int64_t out, const whet_i_adapter_settings *a) {
    return (settings){.shape = whet_i_adapter_shape_of(in, out, 1, a->rank),
                      .first = first,
                      .scale = (whet_i_real)a->scale,
                      .weight = find(params, module, "weight"),
                      .factors = {find(params, module, whet_i_adapter_factor(a->kind, 0)),
                                  find(params, module, whet_i_adapter_factor(a->kind, 1))},
                      .bias = find(params, module, "bias")};
}

static whet_status record(whet_ctx *ctx, whet_i_graph *graph, const char *module, whet_i_value *y,
                          const settings *s, whet_i_adapter_kind kind) {
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    char name[256];
    (void)snprintf(name, sizeof name, "%s.%s", module, whet_i_adapter_factor(kind, 2));
    whet_i_recording r = {.op = &op_magnitude,
                          .settings = s,
                          .settings_size = sizeof *s,
                          .n_inputs = 1,
                          .n_outputs = 1,
                          .n_params = 1,
                          .inputs = {*y},
                          .extents = {graph->values[*y].extent},
                          .columns = {whet_i_columns(graph, *y)}};
    /* What begins as the norms of W's rows: whet_i_magnitudes_begin. */
    const whet_i_param_spec p = {
        .name = name, .rank = 1, .shape = {s->shape.out}, .init = WHET_I_INIT_ONE};
    WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &r.params[0]));
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *y = outputs[0];
    return WHET_OK;
}

whet_status whet_i_magnitude_record(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                    int64_t in, whet_i_value *y, int64_t first, int64_t out,
                                    const whet_i_adapter_settings *a) {
    const settings s = settings_for(graph->params, module, in, first, out, a);
    return record(ctx, graph, module, y, &s, a->kind);
}

whet_status whet_i_magnitude_record_settled(whet_ctx *ctx, whet_i_graph *graph, const char *module,
                                            int64_t in, whet_i_value *y, int64_t first, int64_t out,
                                            const whet_i_adapter_settings *a) {
    settings s = settings_for(graph->params, module, in, first, out, a);
    s.settled = true;
    return record(ctx, graph, module, y, &s, a->kind);
}

whet_status whet_i_magnitudes_settle(whet_ctx *ctx, whet_i_params *params, const char *module,
                                     int64_t in, int64_t out, const whet_i_adapter_settings *a) {
    const settings s = settings_for(params, module, in, 0, out, a);
    whet_i_real *m = params->items[find(params, module, whet_i_adapter_factor(a->kind, 2))].values;
    whet_i_real *v, inverse[OUTPUTS];
    WHET_TRY(whet_i_alloc(ctx, OUTPUTS * (in + a->rank), &v));
    for (int64_t item = 0; item * OUTPUTS < out; item++) {
        inverse_norms(params, params->kernels, &s, item, v, inverse);
        for (int64_t o = 0; o < whet_i_block_rows(out, OUTPUTS, item); o++)
            m[item * OUTPUTS + o] *= inverse[o];
    }
    whet_i_free(ctx, v);
    return WHET_OK;
}

whet_status whet_i_magnitudes_begin(whet_ctx *ctx, whet_i_params *params, const char *module,
                                    whet_i_param_id id) {
    char name[256];
    (void)snprintf(name, sizeof name, "%s.weight", module);
    const whet_i_param_id weight = whet_i_params_find(params, name);
    const int64_t in = params->items[weight].shape[1];
    whet_i_real *row;
    WHET_TRY(whet_i_alloc(ctx, in, &row));
    for (int64_t o = 0; o < params->items[id].count; o++) {
        double square = 0;
        whet_i_param_read(params, weight, o * in, in, row);
        for (int64_t i = 0; i < in; i++) square += (double)row[i] * (double)row[i];
        params->items[id].values[o] = (whet_i_real)sqrt(square);
    }
    whet_i_free(ctx, row);
    return WHET_OK;
}
