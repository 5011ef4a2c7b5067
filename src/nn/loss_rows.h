/* SPDX-License-Identifier: Apache-2.0
 * What losses have in common that are the mean, over the rows that count, of a function of a row of
 * logits (cross-entropy, expected cost, ..): blocks of rows in parallel, the mean in order, in f64. */
#ifndef WHET_NN_LOSS_ROWS_H
#define WHET_NN_LOSS_ROWS_H

#include <math.h>

#include "nn/ops_i.h"

/* One such loss; a const table. Logits are input 0, what they are compared with is input 1. */
typedef struct whet_i_row_loss {
    bool (*counts)(const whet_i_task *task, int64_t row);
    double (*loss)(const whet_i_task *task, int64_t row, double *space);
    /* Its gradient: out [columns of the logits]. Called for rows that count. */
    void (*gradient)(const whet_i_task *task, int64_t row, double *out, double *space);
    int64_t (*space)(const void *settings, int64_t columns); /* doubles of `space`; NULL = none */
} whet_i_row_loss;

/* `settings` (size bytes) begin with a `const whet_i_row_loss *`. */
WHET_CHECKED whet_status whet_i_row_loss_record(whet_ctx *ctx, whet_i_graph *graph,
                                                const void *settings, size_t size,
                                                whet_i_value logits, whet_i_value other,
                                                whet_i_value *out);

static inline int64_t whet_i_row_columns(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->inputs[0]);
}
static inline const whet_i_real *whet_i_row_logits(const whet_i_task *t, int64_t row) {
    return (const whet_i_real *)t->in[0] + row * whet_i_row_columns(t);
}
static inline int32_t whet_i_row_label(const whet_i_task *t, int64_t row) {
    return ((const int32_t *)t->in[1])[row];
}
static inline bool whet_i_row_is_labelled(const whet_i_task *t, int64_t row) {
    return whet_i_row_label(t, row) >= 0;
}

/* log sum exp of x / t; NaN when one of x is. */
static inline double whet_i_log_sum_exp(int64_t k, const whet_i_real *x, double t) {
    double most = (double)x[0], sum = 0;
    for (int64_t c = 1; c < k; c++) most = (double)x[c] > most ? (double)x[c] : most;
    for (int64_t c = 0; c < k; c++) sum += exp(((double)x[c] - most) / t);
    return most / t + log(sum);
}

#endif
