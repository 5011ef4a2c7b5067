/* SPDX-License-Identifier: Apache-2.0
 * Cross-entropy of class labels, and of given distributions; see ops_i.h for the definitions.
 * Legend: k classes, x logits, q target distribution, p = softmax(x). */
#include "nn/loss_rows.h"

typedef struct settings {
    const whet_i_row_loss *loss;
    double smoothing;
} settings;

static double smoothing_of(const whet_i_task *t) {
    return ((const settings *)t->node->settings)->smoothing;
}

/* ---- labels ----------------------------------------------------------------------------------- */

static double label_loss(const whet_i_task *t, int64_t i, double *space) {
    const int64_t k = whet_i_row_columns(t);
    const whet_i_real *x = whet_i_row_logits(t, i);
    const double s = smoothing_of(t);
    double mean = 0;
    (void)space;
    for (int64_t c = 0; s > 0 && c < k; c++) mean += (double)x[c] / (double)k;
    return whet_i_log_sum_exp(k, x, 1) - (1 - s) * (double)x[whet_i_row_label(t, i)] - s * mean;
}

/* p - q */
static void label_gradient(const whet_i_task *t, int64_t i, double *d, double *space) {
    const int64_t k = whet_i_row_columns(t);
    const whet_i_real *x = whet_i_row_logits(t, i);
    const double s = smoothing_of(t), total = whet_i_log_sum_exp(k, x, 1);
    (void)space;
    for (int64_t c = 0; c < k; c++) d[c] = exp((double)x[c] - total) - s / (double)k;
    d[whet_i_row_label(t, i)] -= 1 - s;
}

static const whet_i_row_loss of_labels = {whet_i_row_is_labelled, label_loss, label_gradient, NULL};

whet_status whet_i_cross_entropy(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                 whet_i_value labels, double smoothing, whet_i_value *out) {
    const settings s = {&of_labels, smoothing};
    return whet_i_row_loss_record(ctx, graph, &s, sizeof s, logits, labels, out);
}

/* ---- distributions ---------------------------------------------------------------------------- */

static const whet_i_real *targets_of(const whet_i_task *t, int64_t i) {
    return (const whet_i_real *)t->in[1] + i * whet_i_row_columns(t);
}

/* NaN is not zero: it counts, and reaches the loss. */
static bool has_target(const whet_i_task *t, int64_t i) {
    const whet_i_real *q = targets_of(t, i);
    for (int64_t c = 0; c < whet_i_row_columns(t); c++)
        if (q[c] != 0) return true;
    return false;
}

static double soft_loss(const whet_i_task *t, int64_t i, double *space) {
    const int64_t k = whet_i_row_columns(t);
    const whet_i_real *x = whet_i_row_logits(t, i), *q = targets_of(t, i);
    const double total = whet_i_log_sum_exp(k, x, 1);
    double sum = 0;
    (void)space;
    for (int64_t c = 0; c < k; c++) sum += (double)q[c] * (total - (double)x[c]);
    return sum;
}

/* p sum q - q */
static void soft_gradient(const whet_i_task *t, int64_t i, double *d, double *space) {
    const int64_t k = whet_i_row_columns(t);
    const whet_i_real *x = whet_i_row_logits(t, i), *q = targets_of(t, i);
    const double total = whet_i_log_sum_exp(k, x, 1);
    double mass = 0;
    (void)space;
    for (int64_t c = 0; c < k; c++) mass += (double)q[c];
    for (int64_t c = 0; c < k; c++) d[c] = mass * exp((double)x[c] - total) - (double)q[c];
}

static const whet_i_row_loss of_distributions = {has_target, soft_loss, soft_gradient, NULL};

whet_status whet_i_soft_cross_entropy(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                      whet_i_value targets, whet_i_value *out) {
    const settings s = {&of_distributions, 0};
    return whet_i_row_loss_record(ctx, graph, &s, sizeof s, logits, targets, out);
}
