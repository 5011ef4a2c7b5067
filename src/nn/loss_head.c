/* SPDX-License-Identifier: Apache-2.0
 * A language model's head and its cross-entropy at once; see ops_i.h for the definition. Logits
 * [tokens, vocabulary] are never whole: a block of ROWS tokens has them forward and for dx, a strip
 * of STRIP vocabulary entries for dw, and both make them again (two more products than an unfused
 * head costs). Sums over tokens are in order, so bits do not depend on the number of threads.
 * Legend: k columns of x, n entries of the vocabulary, p = softmax(x w^T). */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    int32_t weight; /* in params->weights */
    int64_t n, k;
} settings;

enum { ROWS = 48, STRIP = 4 * WHET_I_PANEL };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static bool is_half(const whet_i_graph *g) { return g->params->dtype == WHET_BF16; }

static bool weight_trains(const whet_i_graph *g, const whet_i_node *node) {
    return g->params->items[node->params[0]].trainable;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static void multiply(const whet_i_task *t, const whet_i_linear *args) {
    if (is_half(t->graph))
        t->kernels->linear_bf16(args);
    else
        t->kernels->linear_f32(args);
}

/* to [rows, n] = logits of `rows` tokens from `first` on, of n vocabulary entries from `entry` on, a
 * multiple of the panel. */
static void logits_of(const whet_i_task *t, int64_t first, int64_t rows, int64_t entry, int64_t n,
                      whet_i_real *to, void *scratch) {
    const settings *s = settings_of(t->node);
    const whet_i_weight *w = &t->graph->params->weights[s->weight];
    const int64_t skip = entry / WHET_I_PANEL * whet_i_panel_step(s->k);
    const whet_i_linear args = {
        .rows = rows,
        .n = n,
        .k = s->k,
        .a = (const whet_i_real *)t->in[0] + first * s->k,
        .packed = is_half(t->graph) ? (const void *)((const uint16_t *)w->forward + skip)
                                    : (const void *)((const whet_i_real *)w->forward + skip),
        .c = to,
        .lda = s->k,
        .ldr = n,
        .ldc = n,
        .scratch = scratch};
    multiply(t, &args);
}

/* ---- forward ---------------------------------------------------------------------------------- */

/* x becomes softmax(x); log sum exp(x), by its largest number, whose share is at least 1 / n. */
static double soften(const whet_i_task *t, int64_t n, whet_i_real *x) {
    int64_t most = 0;
    for (int64_t c = 1; c < n; c++)
        if (x[c] > x[most]) most = c;
    const double largest = (double)x[most];
    t->kernels->softmax(n, x);
    return largest - log((double)x[most]);
}

/* saved[1 + i] = log sum exp of token i's logits, where it has a label. */
static void row_losses(const whet_i_task *t, int64_t item, void *scratch) {
    const int64_t n = settings_of(t->node)->n, first = item * ROWS;
    const int64_t rows = whet_i_block_rows(rows_of(t), ROWS, item);
    const int32_t *labels = (const int32_t *)t->in[1] + first;
    whet_i_real *x = scratch;
    logits_of(t, first, rows, 0, n, x, x + ROWS * n);
    for (int64_t i = 0; i < rows; i++, x += n) {
        t->temporary[first + i] = 0;
        if (labels[i] < 0) continue;
        const double own = (double)x[labels[i]], total = soften(t, n, x);
        t->temporary[first + i] = (whet_i_real)(total - own);
        if (t->saved) t->saved[1 + first + i] = (whet_i_real)total;
    }
}

/* saved[0] = tokens with a label. */
static void mean_loss(const whet_i_task *t) {
    const int32_t *labels = t->in[1];
    double sum = 0;
    int64_t labelled = 0;
    for (int64_t i = 0; i < rows_of(t); i++) {
        sum += (double)t->temporary[i];
        labelled += labels[i] >= 0;
    }
    t->out[0][0] = (whet_i_real)(labelled ? sum / (double)labelled : 0);
    if (t->saved) t->saved[0] = (whet_i_real)labelled;
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? whet_i_blocks(rows_of(t), ROWS) : 1;
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        row_losses(t, item, scratch);
    else
        mean_loss(t);
}

static int64_t half_scratch(const whet_i_graph *g, const settings *s) {
    if (!is_half(g)) return 0;
    const int64_t a = g->params->kernels->linear_scratch(ROWS, s->k),
                  b = g->params->kernels->linear_scratch(ROWS, s->n),
                  c = g->params->kernels->product_bf16_scratch(STRIP, s->k);
    return a > b ? (a > c ? a : c) : (b > c ? b : c);
}

static int64_t scratch_bytes(const whet_i_graph *g, const whet_i_node *node,
                             const whet_i_sizes *sizes) {
    (void)sizes;
    const settings *s = settings_of(node);
    const int64_t wide = s->n > STRIP ? s->n : STRIP;
    return ROWS * wide * (int64_t)sizeof(whet_i_real) + half_scratch(g, s);
}

static int64_t one_a_row(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->inputs[0]].extent];
}

static int64_t saved_reals(const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes) {
    return 1 + one_a_row(g, node, sizes);
}

/* ---- backward --------------------------------------------------------------------------------- */

/* Logits of entries from `entry` on become their gradient, g (p - onehot) / labelled tokens; `share` is what
 * these entries have of p. */
static void to_gradient(const whet_i_task *t, int64_t first, int64_t rows, int64_t entry, int64_t n,
                        whet_i_real *x) {
    const int32_t *labels = t->in[1];
    const whet_i_real labelled = t->saved[0];
    const whet_i_real g = labelled > 0 ? t->grad_out[0][0] / labelled : 0;
    for (int64_t i = first; i < first + rows; i++, x += n) {
        if (labels[i] < 0) {
            memset(x, 0, (size_t)n * sizeof *x);
            continue;
        }
        const double share = exp(soften(t, n, x) - (double)t->saved[1 + i]);
        t->kernels->scale(n, (whet_i_real)((double)g * share), x);
        if (labels[i] >= entry && labels[i] < entry + n) x[labels[i] - entry] -= g;
    }
}

/* Phase 0, by blocks of tokens: dx = d w. */
static void backward_rows(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t first = item * ROWS, rows = whet_i_block_rows(rows_of(t), ROWS, item);
    whet_i_real *d = scratch, *dx = t->grad_in[0] + first * s->k;
    logits_of(t, first, rows, 0, s->n, d, d + ROWS * s->n);
    to_gradient(t, first, rows, 0, s->n, d);
    const whet_i_linear args = {.rows = rows,
                                .n = s->k,
                                .k = s->n,
                                .a = d,
                                .packed = t->graph->params->weights[s->weight].backward,
                                .residual = t->adds[0] ? dx : NULL,
                                .c = dx,
                                .lda = s->n,
                                .ldr = s->k,
                                .ldc = s->k,
                                .scratch = d + ROWS * s->n};
    multiply(t, &args);
}

/* Phase 1, by strips of the vocabulary: dw = d^T x, over blocks of tokens in order. */
static void backward_strip(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t entry = item * STRIP, n = whet_i_block_rows(s->n, STRIP, item);
    whet_i_real *d = scratch;
    whet_i_real *dw = t->graph->params->items[t->node->params[0]].gradient + entry * s->k;
    if (!t->param_adds[0]) memset(dw, 0, (size_t)(n * s->k) * sizeof *dw);
    for (int64_t b = 0; b < whet_i_blocks(rows_of(t), ROWS); b++) {
        const int64_t first = b * ROWS, rows = whet_i_block_rows(rows_of(t), ROWS, b);
        logits_of(t, first, rows, entry, n, d, d + ROWS * n);
        to_gradient(t, first, rows, entry, n, d);
        const whet_i_product args = {.m = n,
                                     .n = s->k,
                                     .k = rows,
                                     .a = d,
                                     .a_row = 1,
                                     .a_col = n,
                                     .b = (const whet_i_real *)t->in[0] + first * s->k,
                                     .b_row = s->k,
                                     .b_col = 1,
                                     .beta = 1,
                                     .c = dw,
                                     .ldc = s->k};
        if (is_half(t->graph))
            t->kernels->product_bf16(&args, d + ROWS * n);
        else
            t->kernels->product(&args);
    }
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0) return t->grad_in[0] ? whet_i_blocks(rows_of(t), ROWS) : 0;
    return weight_trains(t->graph, t->node) ? whet_i_blocks(settings_of(t->node)->n, STRIP) : 0;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        backward_rows(t, item, scratch);
    else
        backward_strip(t, item, scratch);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static whet_status prepare(whet_ctx *ctx, const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes, void **state) {
    (void)ctx;
    (void)state;
    whet_i_weight *w = &g->params->weights[settings_of(node)->weight];
    if (!w->need_forward) w->need_forward = true;
    if (sizes->train && sizes->wanted & 1 && !w->need_backward) w->need_backward = true;
    return WHET_OK;
}

static const whet_i_op op_head_loss = {
    .name = "head, cross-entropy",
    .forward = {2, forward_items, forward_run, scratch_bytes, one_a_row},
    .backward = {2, backward_items, backward_run, scratch_bytes, NULL},
    .backward_reads = backward_reads,
    .saved = saved_reals,
    .grad_shares = -1,
    .prepare = prepare,
};

whet_status whet_i_head_loss(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const char *matrix,
                             int64_t n, whet_i_value labels, whet_i_value *out) {
    settings s = {.n = n, .k = whet_i_columns(graph, x)};
    const whet_i_param_spec p = {matrix, 2, {n, s.k}, WHET_I_INIT_REQUIRED, 0, false};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = &op_head_loss,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = 2,
                          .n_outputs = 1,
                          .n_params = 1,
                          .inputs = {x, labels},
                          .extents = {WHET_I_ONE},
                          .columns = {1}};
    WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &r.params[0]));
    WHET_TRY(whet_i_params_weight(ctx, graph->params, r.params[0], 1, &s.weight));
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
