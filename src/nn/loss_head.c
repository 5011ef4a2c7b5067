/* SPDX-License-Identifier: Apache-2.0
 * A language model's head and its cross-entropy at once; see ops_i.h for the definition. Logits
 * [tokens, vocabulary] are never whole: a block of ROWS tokens has them forward and for dx, a strip
 * of STRIP vocabulary entries for dw, and both make them again (two more products than an unfused
 * head costs). Tokens without a label, a prompt's, cost nothing: blocks are of those that have one, put
 * side by side, unless x has no others. Sums over tokens are in order, so bits do not depend on the number of
 * threads.
 * Legend: k columns of x, n entries of the vocabulary, p = softmax(x w^T), i counts labelled tokens. */
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

static int64_t tokens_in(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[1]); }

static void multiply(const whet_i_task *t, const whet_i_linear *args) {
    if (is_half(t->graph))
        t->kernels->linear_bf16(args);
    else
        t->kernels->linear_f32(args);
}

/* ---- tokens with a label ---------------------------------------------------------------------- */

/* What the passes share: saved = [labelled tokens, log sum exp [T], token [T]]; a forward pass alone has
 * the tokens in its temporary, behind the losses. Tokens of a batch are numbers that a float holds. */
static whet_i_real *tokens_of(const whet_i_task *t) {
    return t->saved ? t->saved + 1 + tokens_in(t) : t->temporary + 1 + tokens_in(t);
}

static whet_i_real *count_of(const whet_i_task *t) { return t->saved ? t->saved : t->temporary; }

static int64_t labelled_of(const whet_i_task *t) { return (int64_t)*count_of(t); }

static int64_t token_of(const whet_i_task *t, int64_t i) { return (int64_t)tokens_of(t)[i]; }

/* The row of x that labelled token i has. */
static int64_t row_of(const whet_i_task *t, int64_t i) {
    return t->graph->values[t->node->inputs[0]].extent == WHET_I_ASKED ? i : token_of(t, i);
}

static int32_t label_of(const whet_i_task *t, int64_t i) {
    return ((const int32_t *)t->in[1])[token_of(t, i)];
}

static void list_tokens(const whet_i_task *t) {
    const int32_t *labels = t->in[1];
    whet_i_real *tokens = tokens_of(t);
    int64_t n = 0;
    for (int64_t i = 0; i < tokens_in(t); i++)
        if (labels[i] >= 0) tokens[n++] = (whet_i_real)i;
    *count_of(t) = (whet_i_real)n;
}

/* to [rows, k] = x of labelled tokens first.. */
static void gather(const whet_i_task *t, int64_t first, int64_t rows, whet_i_real *to) {
    const int64_t k = settings_of(t->node)->k;
    for (int64_t i = first; i < first + rows; i++, to += k)
        memcpy(to, (const whet_i_real *)t->in[0] + row_of(t, i) * k, (size_t)k * sizeof *to);
}

/* to [rows, n] = logits of x [rows, k], of n vocabulary entries from `entry` on, a multiple of the
 * panel. */
static void logits_of(const whet_i_task *t, const whet_i_real *x, int64_t rows, int64_t entry,
                      int64_t n, whet_i_real *to, void *scratch) {
    const settings *s = settings_of(t->node);
    const whet_i_weight *w = &t->graph->params->weights[s->weight];
    const int64_t skip = entry / WHET_I_PANEL * whet_i_panel_step(s->k);
    const whet_i_linear args = {
        .rows = rows,
        .n = n,
        .k = s->k,
        .a = x,
        .packed = is_half(t->graph) ? (const void *)((const uint16_t *)w->forward + skip)
                                    : (const void *)((const whet_i_real *)w->forward + skip),
        .c = to,
        .lda = s->k,
        .ldr = n,
        .ldc = n,
        .coarse = t->batch->train,
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

/* temporary[1 + i] = the loss, saved[1 + i] = log sum exp of the logits of labelled token i. */
static void row_losses(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t n = s->n, first = item * ROWS;
    const int64_t rows = whet_i_block_rows(labelled_of(t), ROWS, item);
    whet_i_real *x = scratch, *logits = x + ROWS * s->k;
    gather(t, first, rows, x);
    logits_of(t, x, rows, 0, n, logits, logits + ROWS * n);
    for (int64_t i = first; i < first + rows; i++, logits += n) {
        const double own = (double)logits[label_of(t, i)], total = soften(t, n, logits);
        t->temporary[1 + i] = (whet_i_real)(total - own);
        if (t->saved) t->saved[1 + i] = (whet_i_real)total;
    }
}

static void mean_loss(const whet_i_task *t) {
    const int64_t labelled = labelled_of(t);
    double sum = 0;
    for (int64_t i = 0; i < labelled; i++) sum += (double)t->temporary[1 + i];
    t->out[0][0] = (whet_i_real)(labelled ? sum / (double)labelled : 0);
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    return phase == 1 ? whet_i_blocks(labelled_of(t), ROWS) : 1;
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        list_tokens(t);
    else if (phase == 1)
        row_losses(t, item, scratch);
    else
        mean_loss(t);
}

static int64_t kernel_scratch(const whet_i_graph *g, const settings *s) {
    const whet_kernels *kernels = g->params->kernels;
    int64_t (*const bytes)(int64_t rows, int64_t k) =
        is_half(g) ? kernels->linear_bf16_scratch : kernels->linear_f32_scratch;
    const int64_t a = bytes(ROWS, s->k), b = bytes(ROWS, s->n),
                  c = is_half(g) ? kernels->product_bf16_scratch(STRIP, s->k) : 0;
    return a > b ? (a > c ? a : c) : (b > c ? b : c);
}

static int64_t scratch_bytes(const whet_i_graph *g, const whet_i_node *node,
                             const whet_i_sizes *sizes) {
    (void)sizes;
    const settings *s = settings_of(node);
    const int64_t wide = s->n > STRIP ? s->n : STRIP;
    return ROWS * (2 * s->k + wide) * (int64_t)sizeof(whet_i_real) + kernel_scratch(g, s);
}

static int64_t two_a_row(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    return 1 + 2 * sizes->rows[g->values[node->inputs[1]].extent];
}

/* ---- backward --------------------------------------------------------------------------------- */

/* Logits of entries from `entry` on become their gradient, g (p - onehot) / labelled tokens; `share` is what
 * these entries have of p. */
static void to_gradient(const whet_i_task *t, int64_t first, int64_t rows, int64_t entry, int64_t n,
                        whet_i_real *x) {
    const whet_i_real g = t->grad_out[0][0] / (whet_i_real)labelled_of(t);
    for (int64_t i = first; i < first + rows; i++, x += n) {
        const double share = exp(soften(t, n, x) - (double)t->saved[1 + i]);
        const int32_t label = label_of(t, i);
        t->kernels->scale(n, (whet_i_real)((double)g * share), x);
        if (label >= entry && label < entry + n) x[label - entry] -= g;
    }
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

/* Phase 0, by blocks of all rows: dx = 0. */
static void clear_rows(const whet_i_task *t, int64_t item) {
    const int64_t k = settings_of(t->node)->k, rows = whet_i_block_rows(rows_of(t), ROWS, item);
    whet_i_real *dx = t->grad_in[0] + item * ROWS * k;
    memset(dx, 0, (size_t)(rows * k) * sizeof *dx);
}

/* Phase 1, by blocks of labelled tokens: dx += d w. */
static void backward_rows(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t first = item * ROWS, rows = whet_i_block_rows(labelled_of(t), ROWS, item);
    whet_i_real *x = scratch, *dx = x + ROWS * s->k, *d = dx + ROWS * s->k;
    gather(t, first, rows, x);
    logits_of(t, x, rows, 0, s->n, d, d + ROWS * s->n);
    to_gradient(t, first, rows, 0, s->n, d);
    const whet_i_linear args = {.rows = rows,
                                .n = s->k,
                                .k = s->n,
                                .a = d,
                                .packed = t->graph->params->weights[s->weight].backward,
                                .c = dx,
                                .lda = s->n,
                                .ldr = s->k,
                                .ldc = s->k,
                                .coarse = true,
                                .scratch = d + ROWS * s->n};
    multiply(t, &args);
    for (int64_t i = first; i < first + rows; i++, dx += s->k)
        t->kernels->add(s->k, dx, t->grad_in[0] + row_of(t, i) * s->k);
}

/* Phase 2, by strips of the vocabulary: dw = d^T x, over blocks of tokens in order. */
static void backward_strip(const whet_i_task *t, int64_t item, void *scratch) {
    const settings *s = settings_of(t->node);
    const int64_t entry = item * STRIP, n = whet_i_block_rows(s->n, STRIP, item);
    const int64_t labelled = labelled_of(t);
    whet_i_real *x = scratch, *d = x + ROWS * s->k;
    whet_i_real *dw = t->graph->params->items[t->node->params[0]].gradient + entry * s->k;
    if (!t->param_adds[0]) memset(dw, 0, (size_t)(n * s->k) * sizeof *dw);
    for (int64_t b = 0; b < whet_i_blocks(labelled, ROWS); b++) {
        const int64_t first = b * ROWS, rows = whet_i_block_rows(labelled, ROWS, b);
        gather(t, first, rows, x);
        logits_of(t, x, rows, entry, n, d, d + ROWS * n);
        to_gradient(t, first, rows, entry, n, d);
        const whet_i_product args = {.m = n,
                                     .n = s->k,
                                     .k = rows,
                                     .a = d,
                                     .a_row = 1,
                                     .a_col = n,
                                     .b = x,
                                     .b_row = s->k,
                                     .b_col = 1,
                                     .beta = 1,
                                     .c = dw,
                                     .ldc = s->k,
                                     .coarse = true};
        if (is_half(t->graph))
            t->kernels->product_bf16(&args, d + ROWS * n);
        else
            t->kernels->product(&args);
    }
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0) return t->grad_in[0] && !t->adds[0] ? whet_i_blocks(rows_of(t), ROWS) : 0;
    if (phase == 1) return t->grad_in[0] ? whet_i_blocks(labelled_of(t), ROWS) : 0;
    return weight_trains(t->graph, t->node) ? whet_i_blocks(settings_of(t->node)->n, STRIP) : 0;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    if (phase == 0)
        clear_rows(t, item);
    else if (phase == 1)
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
    .forward = {3, forward_items, forward_run, scratch_bytes, two_a_row},
    .backward = {3, backward_items, backward_run, scratch_bytes, NULL},
    .backward_reads = backward_reads,
    .saved = two_a_row,
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
