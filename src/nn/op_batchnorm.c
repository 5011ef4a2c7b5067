/* SPDX-License-Identifier: Apache-2.0
 * BatchNorm (Ioffe & Szegedy 2015), with what stands around it in residual networks in the same
 * passes over memory: y = act((x - mean) scale + beta + residual), scale = gamma / sqrt(var + eps).
 *
 * Sums over rows (examples and places): 16 rows at a time in whet_i_real, these in f64 by blocks of
 * rows, the blocks in order. x is centred on the first row before it is squared, so that a mean far
 * from zero costs no digits. With N rows, g the gradient before the activation and
 * xc = (x - mean) / sqrt(var + eps):
 *   dbeta = sum g, dgamma = sum g xc, dx = scale (g - dbeta / N - xc dgamma / N)    (training)
 *   dx = scale g                                                                    (else)
 * g replaces the gradient of y in place, and is the residual's.
 * Legend: n channels, rows of n numbers. */
#include <math.h>
#include <stdio.h>

#include "nn/ops_i.h"

typedef struct settings {
    int64_t n;
    double eps, momentum;
    whet_i_real slope;
    bool residual;
} settings;

/* Parameters of a node. */
enum { GAMMA, BETA, MEAN, VARIANCE };

enum { LANES = 16, ROWS = 16, NUMBERS = 16384 /* of a block, about */ };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static int64_t channels(const whet_i_task *t) { return settings_of(t->node)->n; }

static whet_i_param *param(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static int64_t block_rows(int64_t n) {
    const int64_t rows = NUMBERS / n / ROWS * ROWS;
    return rows < ROWS ? ROWS : rows;
}

static int64_t rows_of(const whet_i_task *t) {
    const whet_i_value v = t->node->outputs[0];
    return whet_i_rows(t, v) * (whet_i_columns(t->graph, v) / channels(t));
}

static int64_t blocks_of(const whet_i_task *t) {
    return whet_i_blocks(rows_of(t), block_rows(channels(t)));
}

static int64_t most_blocks(const whet_i_graph *g, const whet_i_node *node,
                           const whet_i_sizes *sizes) {
    const whet_i_value_info *v = &g->values[node->outputs[0]];
    const int64_t n = settings_of(node)->n;
    return whet_i_blocks(sizes->rows[v->extent] * (v->columns / n), block_rows(n));
}

/* temporary: sums of blocks in f64 [blocks, 2, n], then what all rows are computed with [3, n]. */
static int64_t temporary(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    const int64_t wide = (int64_t)(sizeof(double) / sizeof(whet_i_real));
    return (most_blocks(g, node, sizes) * 2 * wide + 3) * settings_of(node)->n;
}

static double *sums_of_block(const whet_i_task *t, int64_t block) {
    return (double *)(void *)t->temporary + block * 2 * channels(t);
}

static whet_i_real *coefficients(const whet_i_task *t) {
    return (whet_i_real *)(void *)sums_of_block(t, blocks_of(t));
}

/* Sums over all blocks of the j-th of 2n numbers. */
static double total(const whet_i_task *t, int64_t j) {
    double sum = 0;
    for (int64_t b = 0; b < blocks_of(t); b++) sum += sums_of_block(t, b)[j];
    return sum;
}

/* ---- sums of a block, some columns ------------------------------------------------------------- */

typedef struct rows {
    int64_t count, n; /* rows of n numbers */
    const whet_i_real *x, *center;
    whet_i_real *g; /* backward */
    const whet_i_real *y;
    whet_i_real slope;
    double *sum, *second; /* [n] */
} rows;

/* The loops are written for `width` columns, constant once inlined: so they stay in registers. */
#define INLINE static inline __attribute__((always_inline))

/* sum x - center, sum (x - center)^2 */
INLINE void moments_of(const rows *p, int64_t first, int64_t width) {
    for (int64_t top = 0; top < p->count; top += ROWS) {
        const int64_t end = top + ROWS < p->count ? top + ROWS : p->count;
        whet_i_real sum[LANES] = {0}, squares[LANES] = {0};
        for (int64_t i = top; i < end; i++) {
            const whet_i_real *x = p->x + i * p->n + first;
            for (int64_t j = 0; j < width; j++) {
                const whet_i_real off = x[j] - p->center[first + j];
                sum[j] += off;
                squares[j] += off * off;
            }
        }
        for (int64_t j = 0; j < width; j++) {
            p->sum[first + j] += (double)sum[j];
            p->second[first + j] += (double)squares[j];
        }
    }
}

/* g *= act'(y); sum g, sum g (x - center) */
INLINE void gradient_sums_of(const rows *p, int64_t first, int64_t width, bool active) {
    for (int64_t top = 0; top < p->count; top += ROWS) {
        const int64_t end = top + ROWS < p->count ? top + ROWS : p->count;
        whet_i_real sum[LANES] = {0}, products[LANES] = {0};
        for (int64_t i = top; i < end; i++) {
            const whet_i_real *x = p->x + i * p->n + first;
            whet_i_real *g = p->g + i * p->n + first;
            if (active) {
                const whet_i_real *y = p->y + i * p->n + first;
                for (int64_t j = 0; j < width; j++) g[j] *= y[j] > 0 ? 1 : p->slope;
            }
            for (int64_t j = 0; j < width; j++) {
                sum[j] += g[j];
                products[j] += g[j] * (x[j] - p->center[first + j]);
            }
        }
        for (int64_t j = 0; j < width; j++) {
            p->sum[first + j] += (double)sum[j];
            p->second[first + j] += (double)products[j];
        }
    }
}

static void moments(const rows *p) {
    int64_t j = 0;
    for (; j + LANES <= p->n; j += LANES) moments_of(p, j, LANES);
    if (j < p->n) moments_of(p, j, p->n - j);
}

static void gradient_sums(const rows *p) {
    int64_t j = 0;
    const bool active = p->y != NULL;
    for (; active && j + LANES <= p->n; j += LANES) gradient_sums_of(p, j, LANES, true);
    for (; !active && j + LANES <= p->n; j += LANES) gradient_sums_of(p, j, LANES, false);
    if (j < p->n) gradient_sums_of(p, j, p->n - j, active);
}

static rows rows_of_block(const whet_i_task *t, int64_t block) {
    const int64_t n = channels(t), each = block_rows(n);
    double *sums = sums_of_block(t, block);
    memset(sums, 0, (size_t)(2 * n) * sizeof *sums);
    return (rows){.count = whet_i_block_rows(rows_of(t), each, block),
                  .n = n,
                  .x = (const whet_i_real *)t->in[0] + block * each * n,
                  .sum = sums,
                  .second = sums + n};
}

/* ---- forward ---------------------------------------------------------------------------------- */

static void sum_block(const whet_i_task *t, int64_t block) {
    rows p = rows_of_block(t, block);
    p.center = t->in[0];
    moments(&p);
}

/* Moves the running statistics of channel j. */
static void move_running(const whet_i_task *t, int64_t j, double mean, double variance) {
    const double momentum = settings_of(t->node)->momentum, count = (double)rows_of(t);
    whet_i_real *means = param(t, MEAN)->values, *variances = param(t, VARIANCE)->values;
    means[j] = (whet_i_real)((1 - momentum) * (double)means[j] + momentum * mean);
    if (count < 2) return;
    variances[j] = (whet_i_real)((1 - momentum) * (double)variances[j] +
                                 momentum * variance * count / (count - 1));
}

/* From sums to mean, scale, beta; saved: mean, 1 / sqrt(variance + eps). */
static void finish_sums(const whet_i_task *t) {
    const int64_t n = channels(t);
    const double count = (double)rows_of(t);
    const whet_i_real *center = t->in[0];
    whet_i_real *c = coefficients(t);
    for (int64_t j = 0; j < n; j++) {
        double mean = (double)param(t, MEAN)->values[j];
        double variance = (double)param(t, VARIANCE)->values[j];
        if (t->batch->train) {
            const double off = total(t, j) / count;
            mean = (double)center[j] + off;
            variance = total(t, n + j) / count - off * off;
            variance = variance < 0 ? 0 : variance; /* by rounding */
            if (!t->again) move_running(t, j, mean, variance);
        }
        const double inverse = 1 / sqrt(variance + settings_of(t->node)->eps);
        c[j] = (whet_i_real)mean;
        c[n + j] = (whet_i_real)(inverse * (double)param(t, GAMMA)->values[j]);
        c[2 * n + j] = param(t, BETA)->values[j];
        if (!t->saved) continue;
        t->saved[j] = (whet_i_real)mean;
        t->saved[n + j] = (whet_i_real)inverse;
    }
}

/* NaN stays NaN, as it must not in a comparison alone. */
INLINE whet_i_real activate(whet_i_real z, whet_i_real slope, bool relu) {
    if (relu) return z < 0 ? 0 : z;
    return z < 0 ? slope * z : z;
}

INLINE void apply_of(const rows *p, const whet_i_real *c, const whet_i_real *residual,
                     whet_i_real *y, int64_t first, int64_t width, bool relu) {
    const whet_i_real *mean = c + first, *scale = mean + p->n, *beta = scale + p->n;
    for (int64_t i = 0; i < p->count; i++) {
        const int64_t at = i * p->n + first;
        whet_i_real z[LANES];
        for (int64_t j = 0; j < width; j++) z[j] = (p->x[at + j] - mean[j]) * scale[j] + beta[j];
        if (residual)
            for (int64_t j = 0; j < width; j++) z[j] += residual[at + j];
        for (int64_t j = 0; j < width; j++) y[at + j] = activate(z[j], p->slope, relu);
    }
}

static void apply_block(const whet_i_task *t, int64_t block) {
    const settings *s = settings_of(t->node);
    const int64_t n = s->n, each = block_rows(n), at = block * each * n;
    const rows p = {.count = whet_i_block_rows(rows_of(t), each, block),
                    .n = n,
                    .x = (const whet_i_real *)t->in[0] + at,
                    .slope = s->slope};
    const whet_i_real *c = coefficients(t);
    const whet_i_real *residual = s->residual ? (const whet_i_real *)t->in[1] + at : NULL;
    whet_i_real *y = t->out[0] + at;
    const bool relu = s->slope == 0;
    int64_t j = 0;
    for (; relu && !residual && j + LANES <= n; j += LANES)
        apply_of(&p, c, NULL, y, j, LANES, true);
    for (; relu && residual && j + LANES <= n; j += LANES)
        apply_of(&p, c, residual, y, j, LANES, true);
    for (; j + LANES <= n; j += LANES) apply_of(&p, c, residual, y, j, LANES, false);
    if (j < n) apply_of(&p, c, residual, y, j, n - j, relu);
}

static int64_t forward_items(const whet_i_task *t, int32_t phase) {
    if (rows_of(t) == 0) return 0;
    if (phase == 0) return t->batch->train ? blocks_of(t) : 0;
    return phase == 1 ? 1 : blocks_of(t);
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        sum_block(t, item);
    else if (phase == 1)
        finish_sums(t);
    else
        apply_block(t, item);
}

static int64_t saved(const whet_i_graph *g, const whet_i_node *node, const whet_i_sizes *sizes) {
    (void)g;
    (void)sizes;
    return 2 * settings_of(node)->n;
}

/* ---- backward --------------------------------------------------------------------------------- */

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)wanted;
    return WHET_I_READS_IN(0) | (settings_of(node)->slope == 1 ? 0 : WHET_I_READS_OUT(0));
}

/* The gradient through the activation, its sums, and the residual's where that is apart. */
static void sum_gradients(const whet_i_task *t, int64_t block) {
    const settings *s = settings_of(t->node);
    const int64_t at = block * block_rows(s->n) * s->n;
    rows p = rows_of_block(t, block);
    p.center = t->saved;
    p.g = t->grad_out[0] + at;
    p.y = s->slope == 1 ? NULL : t->out[0] + at;
    p.slope = s->slope;
    gradient_sums(&p);
    if (!s->residual || !t->grad_in[1] || t->grad_in[1] == t->grad_out[0]) return;
    if (t->adds[1])
        t->kernels->add(p.count * p.n, p.g, t->grad_in[1] + at);
    else
        memcpy(t->grad_in[1] + at, p.g, (size_t)(p.count * p.n) * sizeof *p.g);
}

static void give(const whet_i_task *t, int32_t i, int64_t j, double d) {
    if (!param(t, i)->trainable) return;
    whet_i_real *to = param(t, i)->gradient + j;
    *to = (t->param_adds[i] ? *to : 0) + (whet_i_real)d;
}

/* From sums to dgamma, dbeta and dx = scale (g - first - (x - mean) second). */
static void finish_gradients(const whet_i_task *t) {
    const int64_t n = channels(t);
    const double count = (double)rows_of(t);
    whet_i_real *c = coefficients(t);
    for (int64_t j = 0; j < n; j++) {
        const double inverse = (double)t->saved[n + j];
        const double sum = total(t, j), products = total(t, n + j);
        give(t, BETA, j, sum);
        give(t, GAMMA, j, products * inverse);
        c[j] = (whet_i_real)(inverse * (double)param(t, GAMMA)->values[j]);
        c[n + j] = (whet_i_real)(t->batch->train ? sum / count : 0);
        c[2 * n + j] = (whet_i_real)(t->batch->train ? products * inverse * inverse / count : 0);
    }
}

INLINE void input_gradient_of(const rows *p, const whet_i_real *c, const whet_i_real *means,
                              whet_i_real *dx, int64_t begin, int64_t width, bool adds) {
    const whet_i_real *scale = c + begin, *first = scale + p->n, *second = first + p->n;
    const whet_i_real *mean = means + begin;
    for (int64_t i = 0; i < p->count; i++) {
        const int64_t at = i * p->n + begin;
        for (int64_t j = 0; j < width; j++) {
            const whet_i_real d =
                scale[j] * (p->g[at + j] - first[j] - (p->x[at + j] - mean[j]) * second[j]);
            dx[at + j] = adds ? dx[at + j] + d : d;
        }
    }
}

static void input_gradient(const whet_i_task *t, int64_t block) {
    const int64_t n = channels(t), each = block_rows(n), at = block * each * n;
    const rows p = {.count = whet_i_block_rows(rows_of(t), each, block),
                    .n = n,
                    .x = (const whet_i_real *)t->in[0] + at,
                    .g = t->grad_out[0] + at};
    const whet_i_real *c = coefficients(t);
    whet_i_real *dx = t->grad_in[0] + at;
    int64_t j = 0;
    for (; !t->adds[0] && j + LANES <= n; j += LANES)
        input_gradient_of(&p, c, t->saved, dx, j, LANES, false);
    for (; j + LANES <= n; j += LANES) input_gradient_of(&p, c, t->saved, dx, j, LANES, true);
    if (j < n) input_gradient_of(&p, c, t->saved, dx, j, n - j, t->adds[0]);
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    if (phase == 0) return blocks_of(t);
    if (phase == 1) return 1;
    return t->grad_in[0] ? blocks_of(t) : 0;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        sum_gradients(t, item);
    else if (phase == 1)
        finish_gradients(t);
    else
        input_gradient(t, item);
}

static const whet_i_op op_batchnorm = {
    .name = "batch norm",
    .forward = {3, forward_items, forward_run, NULL, temporary},
    .backward = {3, backward_items, backward_run, NULL, temporary},
    .backward_reads = backward_reads,
    .saved = saved,
    .in_place = true,
    .grad_shares = 0,
};

/* The residual's gradient is g itself. */
static const whet_i_op op_batchnorm_residual = {
    .name = "batch norm, residual",
    .forward = {3, forward_items, forward_run, NULL, temporary},
    .backward = {3, backward_items, backward_run, NULL, temporary},
    .backward_reads = backward_reads,
    .saved = saved,
    .in_place = true,
    .grad_shares = 1,
};

/* ---- recording -------------------------------------------------------------------------------- */

whet_status whet_i_batchnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                             const whet_i_batchnorm_spec *spec, whet_i_value *out) {
    static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
    const bool residual = spec->residual != WHET_I_NONE;
    const settings s = {spec->channels, spec->eps, spec->momentum, (whet_i_real)spec->slope,
                        residual};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = residual ? &op_batchnorm_residual : &op_batchnorm,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = residual ? 2 : 1,
                          .n_outputs = 1,
                          .n_params = 4,
                          .inputs = {x, spec->residual},
                          .extents = {graph->values[x].extent},
                          .columns = {whet_i_columns(graph, x)}};
    for (int32_t i = 0; i < r.n_params; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s.%s", spec->module, names[i]);
        const bool ones = i == GAMMA || i == VARIANCE;
        const whet_i_param_spec p = {
            name, 1, {s.n}, ones ? WHET_I_INIT_ONE : WHET_I_INIT_ZERO, 0, i >= MEAN};
        WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &r.params[i]));
    }
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
