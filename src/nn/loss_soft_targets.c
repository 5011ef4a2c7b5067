/* SPDX-License-Identifier: Apache-2.0
 * Losses whose target is a number for each class: cross-entropy against given distributions, and the
 * expected cost over a label metric (Loki, arXiv 2307.12226, sec. 4). Both are means over rows, in order,
 * in f64.
 * Legend: k classes, x logits, p = softmax(x), q target distribution, c costs. */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    const whet_i_real *costs; /* [k, k] row y, column true class; NULL = distributions are fed */
} settings;

static const whet_i_real *costs_of(const whet_i_task *t) {
    return ((const settings *)t->node->settings)->costs;
}

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static int64_t classes_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->inputs[0]);
}

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

/* A row counts when it has a label, or a distribution that is not zero everywhere. */
static bool counts(const whet_i_task *t, int64_t i) {
    const int64_t k = classes_of(t);
    if (costs_of(t)) return ((const int32_t *)t->in[1])[i] >= 0;
    const whet_i_real *q = (const whet_i_real *)t->in[1] + i * k;
    for (int64_t c = 0; c < k; c++)
        if (q[c] != 0) return true;
    return false;
}

static int64_t counted(const whet_i_task *t) {
    int64_t n = 0;
    for (int64_t i = 0; i < rows_of(t); i++) n += counts(t, i);
    return n;
}

static double log_total(int64_t k, const whet_i_real *x) {
    double most = (double)x[0], sum = 0;
    for (int64_t c = 1; c < k; c++) most = (double)x[c] > most ? (double)x[c] : most;
    for (int64_t c = 0; c < k; c++) sum += exp((double)x[c] - most);
    return most + log(sum);
}

static double cost_at(const whet_i_task *t, int64_t i, int64_t c) {
    return (double)costs_of(t)[c * classes_of(t) + ((const int32_t *)t->in[1])[i]];
}

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t k = classes_of(t), n = counted(t);
    double sum = 0;
    for (int64_t i = 0; i < rows_of(t); i++) {
        const whet_i_real *x = (const whet_i_real *)t->in[0] + i * k;
        const whet_i_real *q = costs_of(t) ? NULL : (const whet_i_real *)t->in[1] + i * k;
        if (!counts(t, i)) continue;
        const double total = log_total(k, x);
        for (int64_t c = 0; c < k; c++)
            sum += q ? (double)q[c] * (total - (double)x[c])
                     : exp((double)x[c] - total) * cost_at(t, i, c);
    }
    t->out[0][0] = (whet_i_real)(n ? sum / (double)n : 0);
}

/* Distributions: dx = p sum q - q. Costs: dx = p (c - sum p c). */
static void backward_row(const whet_i_task *t, int64_t i, double scale, whet_i_real *dx) {
    const int64_t k = classes_of(t);
    const whet_i_real *x = (const whet_i_real *)t->in[0] + i * k;
    const whet_i_real *q = costs_of(t) ? NULL : (const whet_i_real *)t->in[1] + i * k;
    const double total = log_total(k, x);
    double mean = 0;
    for (int64_t c = 0; c < k; c++)
        mean += q ? (double)q[c] : exp((double)x[c] - total) * cost_at(t, i, c);
    for (int64_t c = 0; c < k; c++) {
        const double p = exp((double)x[c] - total);
        const double d = q ? p * mean - (double)q[c] : p * (cost_at(t, i, c) - mean);
        dx[c] = (whet_i_real)(scale * d) + (t->adds[0] ? dx[c] : 0);
    }
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t k = classes_of(t), n = counted(t);
    for (int64_t i = 0; i < rows_of(t); i++) {
        whet_i_real *dx = t->grad_in[0] + i * k;
        if (counts(t, i))
            backward_row(t, i, (double)t->grad_out[0][0] / (double)n, dx);
        else if (!t->adds[0])
            memset(dx, 0, (size_t)k * sizeof *dx);
    }
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static const whet_i_op op_soft_targets = {
    .name = "soft targets",
    .forward = {1, one_item, forward, NULL, NULL},
    .backward = {1, one_item, backward, NULL, NULL},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

static whet_status record(whet_ctx *ctx, whet_i_graph *g, whet_i_value logits, whet_i_value other,
                          const whet_i_real *costs, whet_i_value *out) {
    const settings s = {costs};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_soft_targets,
                                .settings = &s,
                                .settings_size = sizeof s,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {logits, other},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, g, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}

whet_status whet_i_soft_cross_entropy(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                      whet_i_value targets, whet_i_value *out) {
    return record(ctx, graph, logits, targets, NULL, out);
}

whet_status whet_i_expected_cost(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                 whet_i_value labels, const whet_i_real *costs, whet_i_value *out) {
    return record(ctx, graph, logits, labels, costs, out);
}
