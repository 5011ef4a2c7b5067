/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy of class labels; see ops_i.h for the definition. Rows are averaged in order, in f64.
 * Legend: k classes, q target distribution, p = softmax(logits). */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    whet_i_real smoothing;
} settings;

enum { BLOCK = 16 };

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static int64_t classes_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->inputs[0]);
}

static whet_i_real smoothing_of(const whet_i_task *t) {
    return ((const settings *)t->node->settings)->smoothing;
}

/* log sum exp */
static whet_i_real log_sum(int64_t k, const whet_i_real *x) {
    whet_i_real most = x[0];
    double sum = 0;
    for (int64_t c = 1; c < k; c++) most = x[c] > most ? x[c] : most;
    for (int64_t c = 0; c < k; c++) sum += exp((double)(x[c] - most));
    return most + (whet_i_real)log(sum);
}

static void row_losses(const whet_i_task *t, int64_t item) {
    const int64_t k = classes_of(t),
                  end = item * BLOCK + whet_i_block_rows(rows_of(t), BLOCK, item);
    const int32_t *labels = t->in[1];
    for (int64_t i = item * BLOCK; i < end; i++) {
        const whet_i_real *x = (const whet_i_real *)t->in[0] + i * k;
        t->temporary[i] = 0;
        if (labels[i] < 0) continue;
        double mean = 0;
        for (int64_t c = 0; smoothing_of(t) > 0 && c < k; c++) mean += (double)x[c] / (double)k;
        t->temporary[i] = log_sum(k, x) - (1 - smoothing_of(t)) * x[labels[i]] -
                          smoothing_of(t) * (whet_i_real)mean;
    }
}

/* saved[0] = rows with a label. */
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
    return phase == 0 ? whet_i_blocks(rows_of(t), BLOCK) : 1;
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        row_losses(t, item);
    else
        mean_loss(t);
}

static int64_t one_a_row(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->inputs[0]].extent];
}

static int64_t one(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    (void)g;
    (void)node;
    (void)sizes;
    return 1;
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(rows_of(t), BLOCK);
}

/* dx = g (p - q) / labelled rows */
static void backward_rows(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t k = classes_of(t),
                  end = item * BLOCK + whet_i_block_rows(rows_of(t), BLOCK, item);
    const int32_t *labels = t->in[1];
    const whet_i_real rows = t->saved[0], g = rows > 0 ? t->grad_out[0][0] / rows : 0;
    const whet_i_real even = smoothing_of(t) / (whet_i_real)k;
    for (int64_t i = item * BLOCK; i < end; i++) {
        const whet_i_real *x = (const whet_i_real *)t->in[0] + i * k;
        whet_i_real *dx = t->grad_in[0] + i * k;
        const whet_i_real log_total = log_sum(k, x);
        for (int64_t c = 0; c < k; c++) {
            const whet_i_real q = even + (c == labels[i] ? 1 - smoothing_of(t) : 0);
            const whet_i_real p = (whet_i_real)exp((double)(x[c] - log_total));
            const whet_i_real d = labels[i] < 0 ? 0 : g * (p - q);
            dx[c] = t->adds[0] ? dx[c] + d : d;
        }
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static const whet_i_op op_cross_entropy = {
    .name = "cross-entropy",
    .forward = {2, forward_items, forward_run, NULL, one_a_row},
    .backward = {1, backward_items, backward_rows, NULL, NULL},
    .backward_reads = backward_reads,
    .saved = one,
    .grad_shares = -1,
};

whet_status whet_i_cross_entropy(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                 whet_i_value labels, double smoothing, whet_i_value *out) {
    const settings s = {(whet_i_real)smoothing};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_cross_entropy,
                                .settings = &s,
                                .settings_size = sizeof s,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {logits, labels},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
