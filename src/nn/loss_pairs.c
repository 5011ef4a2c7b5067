/* SPDX-License-Identifier: Apache-2.0
 * Losses on the similarities of all pairs of a batch's embeddings: S = E E^T of rows with labels, or
 * S = A P^T of anchors and what belongs to them. Each loss is a function of S that gives dL/dS; the rest
 * is shared: dE = (dS + dS^T) E, dA = dS P, dP = dS^T A. B is some hundreds at most: one item.
 * Legend: B rows, i and j rows, t temperature. */
#include <math.h>

#include "nn/ops_i.h"

typedef struct settings {
    whet_i_pair_loss kind;
    whet_i_real temperature, margin;
    bool symmetric;
} settings;

static const settings *settings_of(const whet_i_task *t) { return t->node->settings; }

static int64_t rows_of(const whet_i_task *t) { return whet_i_rows(t, t->node->inputs[0]); }

static int64_t one_item(const whet_i_task *t, int32_t phase) {
    (void)t;
    (void)phase;
    return 1;
}

/* S [B, B]; the right side is the second embedding, or the first again. */
static void similarities(const whet_i_task *t, const whet_i_real *left, const whet_i_real *right,
                         whet_i_real *s) {
    const int64_t n = rows_of(t), d = whet_i_columns(t->graph, t->node->inputs[0]);
    const whet_i_product args = {.m = n,
                                 .n = n,
                                 .k = d,
                                 .a = left,
                                 .a_row = d,
                                 .a_col = 1,
                                 .b = right,
                                 .b_row = 1,
                                 .b_col = d,
                                 .c = s,
                                 .ldc = n};
    if (n > 0) t->kernels->product(&args);
}

/* ---- functions of S: the loss, and where ds is given, ds [B, B] = dL/dS -------------------------- */

/* Rows i and j are a pair: different, and both have a label. */
static bool is_pair(const int32_t *y, int64_t i, int64_t j) {
    return i != j && y[i] >= 0 && y[j] >= 0;
}

/* What is squared for a pair: S - [same class]; or for the contrastive loss with 1 - S as the distance,
 * how far a pair of a class is apart, and how far others are within the margin (Hadsell et al. 2006).
 * NaN is not below zero: it reaches the loss. */
static whet_i_real deviation(const settings *set, whet_i_real s, bool same) {
    if (set->kind == WHET_I_PAIR_COSINE || same) return s - (same ? 1 : 0);
    const whet_i_real room = set->margin - (1 - s);
    return room < 0 ? 0 : room;
}

/* The mean of their squares over all pairs. */
static double squares(const settings *set, int64_t n, const whet_i_real *s, const int32_t *y,
                      whet_i_real *ds) {
    double sum = 0, labelled = 0;
    for (int64_t i = 0; i < n; i++) labelled += y[i] >= 0;
    const double pairs = labelled * (labelled - 1);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < n; j++) {
            const whet_i_real off =
                is_pair(y, i, j) ? deviation(set, s[i * n + j], y[i] == y[j]) : 0;
            sum += (double)off * (double)off;
            if (ds) ds[i * n + j] = pairs > 0 ? (whet_i_real)(2 / pairs) * off : 0;
        }
    }
    return pairs > 0 ? sum / pairs : 0;
}

/* Row `skip` and, where labels y are given, rows without one take no part. */
static bool takes_part(const int32_t *y, int64_t j, int64_t skip) {
    return j != skip && (!y || y[j] >= 0);
}

/* log sum of exp(x_j / t) over the rows j of 0..n-1 that take part. */
static double log_sum(int64_t n, const whet_i_real *x, int64_t step, const int32_t *y, int64_t skip,
                      double t) {
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++)
        if (takes_part(y, j, skip) && (double)x[j * step] > most) most = (double)x[j * step];
    for (int64_t j = 0; j < n; j++)
        if (takes_part(y, j, skip)) sum += exp(((double)x[j * step] - most) / t);
    return most / t + log(sum);
}

/* Rows of i's class besides itself. */
static int64_t count_same(int64_t n, const int32_t *y, int64_t i) {
    int64_t same = 0;
    for (int64_t j = 0; j < n; j++) same += is_pair(y, i, j) && y[j] == y[i];
    return same;
}

/* Supervised contrastive loss, Khosla et al. 2020 (arXiv 2004.11362), eq. 2: over rows with another one
 * of their class, the mean of -1/|P(i)| sum_{j in P(i)} log softmax_{k != i}(S_ik / t)_j. */
static double supervised(const settings *set, int64_t n, const whet_i_real *s, const int32_t *y,
                         whet_i_real *ds) {
    const double t = (double)set->temperature;
    int64_t anchors = 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) anchors += count_same(n, y, i) > 0;
    for (int64_t i = 0; i < n; i++) {
        const whet_i_real *row = s + i * n;
        const int64_t same = count_same(n, y, i);
        const double total = same ? log_sum(n, row, 1, y, i, t) : 0;
        double inner = 0;
        for (int64_t j = 0; j < n; j++)
            if (is_pair(y, i, j) && y[j] == y[i]) inner += (double)row[j] / t;
        if (same) sum += total - inner / (double)same;
        for (int64_t j = 0; j < n && ds; j++) {
            double d = 0;
            if (same && is_pair(y, i, j))
                d = exp((double)row[j] / t - total) - (y[j] == y[i] ? 1 / (double)same : 0);
            ds[i * n + j] = (whet_i_real)(anchors ? d / t / (double)anchors : 0);
        }
    }
    return anchors ? sum / (double)anchors : 0;
}

/* Ranking of the own partner among all of the batch (multiple negatives; Henderson et al. 2017):
 * mean of -log softmax_j(S_ij / t)_i, and with `symmetric` the mean of that and of its transpose. */
static double ranking(const settings *set, int64_t n, const whet_i_real *s, const int32_t *y,
                      whet_i_real *ds) {
    const double t = (double)set->temperature, ways = set->symmetric ? 2 : 1;
    double sum = 0;
    (void)y;
    for (int64_t i = 0; i < n * n && ds; i++) ds[i] = 0;
    for (int way = 0; way < (set->symmetric ? 2 : 1); way++) {
        const int64_t row = way ? 1 : n, step = way ? n : 1;
        for (int64_t i = 0; i < n; i++) {
            const double total = log_sum(n, s + i * row, step, NULL, -1, t);
            sum += total - (double)s[i * n + i] / t;
            for (int64_t j = 0; j < n && ds; j++) {
                const double p = exp((double)s[i * row + j * step] / t - total);
                ds[i * row + j * step] +=
                    (whet_i_real)((p - (i == j ? 1 : 0)) / (t * ways * (double)n));
            }
        }
    }
    return n ? sum / (ways * (double)n) : 0;
}

static double loss_of(const whet_i_task *t, const whet_i_real *s, const int32_t *y,
                      whet_i_real *ds) {
    const settings *set = settings_of(t);
    const int64_t n = rows_of(t);
    switch (set->kind) {
    case WHET_I_PAIR_COSINE:
    case WHET_I_PAIR_CONTRASTIVE: return squares(set, n, s, y, ds);
    case WHET_I_PAIR_SUPERVISED: return supervised(set, n, s, y, ds);
    case WHET_I_PAIR_RANKING: return ranking(set, n, s, y, ds);
    }
    return 0;
}

/* ---- passes ----------------------------------------------------------------------------------- */

static bool has_labels(const whet_i_task *t) { return settings_of(t)->kind != WHET_I_PAIR_RANKING; }

static void forward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const whet_i_real *right = has_labels(t) ? t->in[0] : t->in[1];
    similarities(t, t->in[0], right, t->temporary);
    t->out[0][0] = (whet_i_real)loss_of(t, t->temporary, has_labels(t) ? t->in[1] : NULL, NULL);
}

/* dx [B, d] (+)= ds y, or ds^T y. */
static void spread(const whet_i_task *t, const whet_i_real *ds, bool transposed,
                   const whet_i_real *y, bool adds, whet_i_real *dx) {
    const int64_t n = rows_of(t), d = whet_i_columns(t->graph, t->node->inputs[0]);
    const whet_i_product args = {.m = n,
                                 .n = d,
                                 .k = n,
                                 .a = ds,
                                 .a_row = transposed ? 1 : n,
                                 .a_col = transposed ? n : 1,
                                 .b = y,
                                 .b_row = d,
                                 .b_col = 1,
                                 .beta = adds ? 1 : 0,
                                 .c = dx,
                                 .ldc = d};
    if (n > 0) t->kernels->product(&args);
}

static void backward(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)item;
    (void)scratch;
    const int64_t n = rows_of(t);
    const bool labels = has_labels(t);
    const whet_i_real *left = t->in[0], *right = labels ? left : t->in[1];
    whet_i_real *s = t->temporary, *ds = s + n * n;
    similarities(t, left, right, s);
    (void)loss_of(t, s, labels ? t->in[1] : NULL, ds);
    t->kernels->scale(n * n, t->grad_out[0][0], ds);
    if (t->grad_in[0]) spread(t, ds, false, right, t->adds[0], t->grad_in[0]);
    if (labels)
        spread(t, ds, true, left, true, t->grad_in[0]);
    else if (t->grad_in[1])
        spread(t, ds, true, left, t->adds[1], t->grad_in[1]);
}

static int64_t one_matrix(const whet_i_graph *g, const whet_i_node *node,
                          const whet_i_sizes *sizes) {
    const int64_t n = sizes->rows[g->values[node->inputs[0]].extent];
    return n * n;
}

static int64_t two_matrices(const whet_i_graph *g, const whet_i_node *node,
                            const whet_i_sizes *sizes) {
    return 2 * one_matrix(g, node, sizes);
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0) | WHET_I_READS_IN(1);
}

static const whet_i_op op_pairs = {
    .name = "pairs",
    .forward = {1, one_item, forward, NULL, one_matrix},
    .backward = {1, one_item, backward, NULL, two_matrices},
    .backward_reads = backward_reads,
    .grad_shares = -1,
};

whet_status whet_i_pairs(whet_ctx *ctx, whet_i_graph *graph, const whet_i_pairs_spec *spec,
                         whet_i_value embeddings, whet_i_value other, whet_i_value *out) {
    const settings s = {.kind = spec->kind,
                        .temperature = (whet_i_real)spec->temperature,
                        .margin = (whet_i_real)spec->margin,
                        .symmetric = spec->symmetric};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    const whet_i_recording r = {.op = &op_pairs,
                                .settings = &s,
                                .settings_size = sizeof s,
                                .n_inputs = 2,
                                .n_outputs = 1,
                                .inputs = {embeddings, other},
                                .extents = {WHET_I_ONE},
                                .columns = {1}};
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
