/* SPDX-License-Identifier: Apache-2.0
 * BatchNorm (Ioffe & Szegedy 2015), with what stands around it in residual networks in the same
 * passes over memory: y = act((x - mean) scale + beta + residual), scale = gamma / sqrt(var + eps).
 *
 * Sums over rows (examples and places) are f64's, by blocks of rows, the blocks in order. x is centred
 * on the first row before it is squared, so that a mean far from zero costs no digits. With N rows,
 * g the gradient before the activation and xc = (x - mean) / sqrt(var + eps):
 *   dbeta = sum g, dgamma = sum g xc, dx = scale (g - dbeta / N - xc dgamma / N)    (training)
 *   dx = scale g                                                                    (else)
 * With a residual, g replaces the gradient of y in place, and is the residual's; without, the sign of
 * what the activation saw is found from x again, which saves a pass over memory.
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

enum { ROWS = 16, NUMBERS = 16384 /* of a block, about */ };

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

/* temporary: sums of blocks in f64 [blocks, 2, n], then what all rows are computed with: forward,
 * mean, scale, beta; backward, what is taken from g, and from x. */
static int64_t temporary(const whet_i_graph *g, const whet_i_node *node,
                         const whet_i_sizes *sizes) {
    const int64_t wide = sizeof(double) == sizeof(whet_i_real) ? 1 : 2;
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

/* What the kernels are given of a block, in either pass. */
static whet_i_channels block_of(const whet_i_task *t, int64_t block) {
    const settings *s = settings_of(t->node);
    const int64_t each = block_rows(s->n), at = block * each * s->n;
    whet_i_channels c = {.rows = whet_i_block_rows(rows_of(t), each, block),
                         .n = s->n,
                         .x = (const whet_i_real *)t->in[0] + at,
                         .slope = s->slope};
    if (t->out[0]) c.y = t->out[0] + at;
    if (s->residual && t->in[1]) c.residual = (const whet_i_real *)t->in[1] + at;
    if (t->grad_out[0]) c.g = t->grad_out[0] + at;
    if (t->grad_in[0]) c.dx = t->grad_in[0] + at;
    return c;
}

static double *clear_sums(const whet_i_task *t, int64_t block) {
    double *sums = sums_of_block(t, block);
    memset(sums, 0, (size_t)(2 * channels(t)) * sizeof *sums);
    return sums;
}

/* ---- forward ---------------------------------------------------------------------------------- */

static void sum_block(const whet_i_task *t, int64_t block) {
    const whet_i_channels c = block_of(t, block);
    double *sums = clear_sums(t, block);
    t->kernels->channel_moments(c.rows, c.n, c.x, t->in[0], sums, sums + c.n);
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

/* From sums to mean, scale, beta; saved: mean, scale, 1 / sqrt(variance + eps). */
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
        t->saved[j] = c[j];
        t->saved[n + j] = c[n + j];
        t->saved[2 * n + j] = (whet_i_real)inverse;
    }
}

static void apply_block(const whet_i_task *t, int64_t block) {
    whet_i_channels c = block_of(t, block);
    c.mean = coefficients(t);
    c.scale = c.mean + c.n;
    c.beta = c.scale + c.n;
    t->kernels->channel_norm(&c);
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
    return 3 * settings_of(node)->n;
}

/* ---- backward --------------------------------------------------------------------------------- */

static bool reads_output(const settings *s) { return s->residual && s->slope != 1; }

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)wanted;
    return WHET_I_READS_IN(0) | (reads_output(settings_of(node)) ? WHET_I_READS_OUT(0) : 0);
}

static whet_i_channels backward_block(const whet_i_task *t, int64_t block) {
    whet_i_channels c = block_of(t, block);
    c.mean = t->saved;
    c.scale = c.mean + c.n;
    c.beta = param(t, BETA)->values;
    if (!reads_output(settings_of(t->node))) c.y = NULL;
    return c;
}

/* The gradient through the activation, its sums, and the residual's where that is apart. */
static void sum_gradients(const whet_i_task *t, int64_t block) {
    whet_i_channels c = backward_block(t, block);
    c.sum = clear_sums(t, block);
    c.products = c.sum + c.n;
    t->kernels->channel_norm_sums(&c);
    if (!settings_of(t->node)->residual || !t->grad_in[1] || t->grad_in[1] == t->grad_out[0])
        return;
    whet_i_real *to = t->grad_in[1] + (c.g - t->grad_out[0]);
    if (t->adds[1])
        t->kernels->add(c.rows * c.n, c.g, to);
    else
        memcpy(to, c.g, (size_t)(c.rows * c.n) * sizeof *to);
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
        const double inverse = (double)t->saved[2 * n + j];
        const double sum = total(t, j), products = total(t, n + j);
        give(t, BETA, j, sum);
        give(t, GAMMA, j, products * inverse);
        c[j] = (whet_i_real)(t->batch->train ? sum / count : 0);
        c[n + j] = (whet_i_real)(t->batch->train ? products * inverse * inverse / count : 0);
    }
}

static void input_gradient(const whet_i_task *t, int64_t block) {
    whet_i_channels c = backward_block(t, block);
    c.gated = c.y != NULL;
    c.first = coefficients(t);
    c.second = c.first + c.n;
    c.adds = t->adds[0];
    t->kernels->channel_norm_backward(&c);
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
