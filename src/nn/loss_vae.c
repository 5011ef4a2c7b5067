/* SPDX-License-Identifier: Apache-2.0
 * The loss of a variational autoencoder; see ops_i.h for the definition. Rows are summed in order,
 * in f64.
 * Legend: x logits [rows, n], y targets, m mean and v log-variance [rows, k]. */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    bool cross_entropy;
    double weight;
} settings;

enum { LOGITS, TARGETS, MEAN, VARIANCE, INPUTS };
enum { BLOCK = 16 };

static const settings *settings_of(const whet_i_task *t) { return t->node->settings; }

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[LOGITS]); }

static int64_t columns_of(const whet_i_task *t, int32_t input) {
    return whet_i_columns(t->graph, t->node->inputs[input]);
}

static const whet_i_real *row_of(const whet_i_task *t, int32_t input, int64_t row) {
    return (const whet_i_real *)t->in[input] + row * columns_of(t, input);
}

static double logistic(double x) {
    const double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* -y log s(x) - (1 - y) log(1 - s(x)), s the logistic function, without overflow. */
static double entropy(double x, double y) { return (x > 0 ? x : 0) - x * y + log1p(exp(-fabs(x))); }

static double row_loss(const whet_i_task *t, int64_t row) {
    const whet_i_real *x = row_of(t, LOGITS, row), *y = row_of(t, TARGETS, row);
    const whet_i_real *m = row_of(t, MEAN, row), *v = row_of(t, VARIANCE, row);
    const int64_t n = columns_of(t, LOGITS), k = columns_of(t, MEAN);
    double difference = 0, divergence = 0;
    for (int64_t j = 0; j < n; j++) {
        const double off = logistic((double)x[j]) - (double)y[j];
        difference +=
            settings_of(t)->cross_entropy ? entropy((double)x[j], (double)y[j]) : off * off;
    }
    for (int64_t j = 0; j < k; j++)
        divergence -= (1 + (double)v[j] - (double)m[j] * (double)m[j] - exp((double)v[j])) / 2;
    return settings_of(t)->weight * difference / (double)n + divergence;
}

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? whet_i_blocks(rows_of(t), BLOCK) : 1;
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    double *losses = (double *)(void *)t->temporary, sum = 0;
    const int64_t rows = rows_of(t);
    if (phase == 0) {
        const int64_t end = item * BLOCK + whet_i_block_rows(rows, BLOCK, item);
        for (int64_t i = item * BLOCK; i < end; i++) losses[i] = row_loss(t, i);
        return;
    }
    for (int64_t i = 0; i < rows; i++) sum += losses[i];
    t->out[0][0] = (whet_i_real)(rows ? sum / (double)rows : 0);
}

static int64_t one_a_row(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    return sizes->rows[g->values[node->inputs[LOGITS]].extent] *
           (sizeof(double) == sizeof(whet_i_real) ? 1 : 2);
}

static void give(const whet_i_task *t, int32_t input, int64_t at, double d) {
    whet_i_real *to = t->grad_in[input] + at;
    *to = (t->adds[input] ? *to : 0) + (whet_i_real)d;
}

static void backward_row(const whet_i_task *t, int64_t row) {
    const int64_t n = columns_of(t, LOGITS), k = columns_of(t, MEAN);
    const double g = (double)t->grad_out[0][0] / (double)rows_of(t);
    const double each = g * settings_of(t)->weight / (double)n;
    for (int64_t j = 0; t->grad_in[LOGITS] && j < n; j++) {
        const double s = logistic((double)row_of(t, LOGITS, row)[j]);
        const double off = s - (double)row_of(t, TARGETS, row)[j];
        give(t, LOGITS, row * n + j,
             each * off * (settings_of(t)->cross_entropy ? 1 : 2 * s * (1 - s)));
    }
    for (int64_t j = 0; t->grad_in[MEAN] && j < k; j++)
        give(t, MEAN, row * k + j, g * (double)row_of(t, MEAN, row)[j]);
    for (int64_t j = 0; t->grad_in[VARIANCE] && j < k; j++)
        give(t, VARIANCE, row * k + j, g * (exp((double)row_of(t, VARIANCE, row)[j]) - 1) / 2);
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(rows_of(t), BLOCK);
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const int64_t end = item * BLOCK + whet_i_block_rows(rows_of(t), BLOCK, item);
    for (int64_t i = item * BLOCK; i < end; i++) backward_row(t, i);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    uint32_t reads = 0;
    if (wanted >> LOGITS & 1) reads |= WHET_I_READS_IN(LOGITS) | WHET_I_READS_IN(TARGETS);
    if (wanted >> MEAN & 1) reads |= WHET_I_READS_IN(MEAN);
    if (wanted >> VARIANCE & 1) reads |= WHET_I_READS_IN(VARIANCE);
    return reads;
}

static const whet_i_op op_vae_loss = {
    .name = "vae loss",
    .forward = {2, row_items, forward_run, NULL, one_a_row},
    .backward = {1, backward_items, backward_run, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

whet_status whet_i_vae_loss(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                            whet_i_value targets, whet_i_value mean, whet_i_value log_variance,
                            const whet_i_vae_loss_spec *spec, whet_i_value *out) {
    const settings s = {spec->cross_entropy, spec->weight};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_vae_loss,
                                .settings = &s,
                                .settings_size = sizeof s,
                                .n_inputs = INPUTS,
                                .n_outputs = 1,
                                .inputs = {logits, targets, mean, log_variance},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
