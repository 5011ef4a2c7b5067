/* SPDX-License-Identifier: Apache-2.0
 * GroupNorm (Wu & He 2018) and what follows it: y = act((x - mean) / sqrt(var + eps) gamma + beta),
 * mean and variance of a group of neighbouring channels over the places of one example.
 *
 * Items are blocks of examples. The output is not kept but made again from the input. With M numbers
 * in a group, g the gradient before the activation, xc the normalised x:
 *   dx = (gamma g - sum(gamma g) / M - xc sum(gamma g xc) / M) / sqrt(var + eps).
 * dgamma and dbeta are sums over examples: a partial sum a block, the blocks in order.
 * Legend: n channels, groups of m channels, places of n numbers. */
#include <math.h>
#include <stdio.h>

#include "nn/ops_i.h"

typedef struct settings {
    int64_t n, groups;
    double eps;
    whet_i_real slope;
} settings;

enum { BLOCK = 4, LANES = 16 };

static const settings *settings_of(const whet_i_node *node) { return node->settings; }

static whet_i_param *param(const whet_i_task *t, int32_t i) {
    return &t->graph->params->items[t->node->params[i]];
}

static int64_t columns_of(const whet_i_task *t) {
    return whet_i_columns(t->graph, t->node->outputs[0]);
}

static int64_t row_items(const whet_i_task *t, int32_t phase) {
    (void)phase;
    return whet_i_blocks(whet_i_rows(t, t->node->outputs[0]), BLOCK);
}

/* One group of one example. */
typedef struct group {
    int64_t places, n, m;
    const whet_i_real *x, *gamma, *beta; /* from its first channel on */
    whet_i_real slope, mean, inverse;
} group;

static group group_of(const whet_i_task *t, int64_t example, int64_t index) {
    const settings *s = settings_of(t->node);
    const int64_t m = s->n / s->groups;
    return (group){.places = columns_of(t) / s->n,
                   .n = s->n,
                   .m = m,
                   .x = (const whet_i_real *)t->in[0] + example * columns_of(t) + index * m,
                   .gamma = param(t, 0)->values + index * m,
                   .beta = param(t, 1)->values + index * m,
                   .slope = s->slope};
}

/* Sums of x - center and its squares over one place: in lanes, then in f64. */
static void add_place(int64_t m, const whet_i_real *x, whet_i_real center, double *sum,
                      double *squares) {
    whet_i_real sums[LANES] = {0}, second[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= m; i += LANES)
        for (int64_t j = 0; j < LANES; j++) {
            const whet_i_real off = x[i + j] - center;
            sums[j] += off;
            second[j] += off * off;
        }
    for (int64_t j = 0; i + j < m; j++) {
        const whet_i_real off = x[i + j] - center;
        sums[j] += off;
        second[j] += off * off;
    }
    for (int64_t j = 0; j < LANES; j++) {
        *sum += (double)sums[j];
        *squares += (double)second[j];
    }
}

static void measure(group *p, double eps) {
    const double count = (double)(p->places * p->m);
    const whet_i_real center = p->x[0];
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < p->places; i++)
        add_place(p->m, p->x + i * p->n, center, &sum, &squares);
    const double off = sum / count, variance = squares / count - off * off;
    p->mean = (whet_i_real)((double)center + off);
    p->inverse = (whet_i_real)(1 / sqrt((variance > 0 ? variance : 0 * variance) + eps));
}

/* ---- forward ---------------------------------------------------------------------------------- */

static void forward_group(const group *p, whet_i_real *y) {
    for (int64_t i = 0; i < p->places; i++) {
        const whet_i_real *x = p->x + i * p->n;
        whet_i_real *to = y + i * p->n;
        for (int64_t j = 0; j < p->m; j++) {
            const whet_i_real z = (x[j] - p->mean) * p->inverse * p->gamma[j] + p->beta[j];
            to[j] = z < 0 ? p->slope * z : z;
        }
    }
}

static void forward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)phase;
    (void)scratch;
    const settings *s = settings_of(t->node);
    const int64_t first = item * BLOCK;
    const int64_t end = first + whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    for (int64_t b = first; b < end; b++)
        for (int64_t i = 0; i < s->groups; i++) {
            group p = group_of(t, b, i);
            measure(&p, s->eps);
            forward_group(&p, t->out[0] + b * columns_of(t) + i * p.m);
        }
}

/* ---- backward --------------------------------------------------------------------------------- */

static bool any_trains(const whet_i_graph *g, const whet_i_node *node) {
    return g->params->items[node->params[0]].trainable ||
           g->params->items[node->params[1]].trainable;
}

static uint32_t backward_reads(const whet_i_graph *g, const whet_i_node *node, uint32_t wanted) {
    (void)g;
    (void)node;
    (void)wanted;
    return WHET_I_READS_IN(0);
}

/* Partial sums [blocks, 2, n]. */
static int64_t partial_sums(const whet_i_graph *g, const whet_i_node *node,
                            const whet_i_sizes *sizes) {
    if (!any_trains(g, node)) return 0;
    const whet_i_value_info *v = &g->values[node->outputs[0]];
    return whet_i_blocks(sizes->rows[v->extent], BLOCK) * 2 * settings_of(node)->n;
}

/* g becomes the gradient before the activation; sum(gamma g), sum(gamma g xc); dgamma and dbeta [m]
 * are added to, unless NULL. */
static void gradient_sums(const group *p, whet_i_real *g, whet_i_real *dgamma, whet_i_real *dbeta,
                          double *sum, double *products) {
    for (int64_t i = 0; i < p->places; i++) {
        const whet_i_real *x = p->x + i * p->n;
        whet_i_real *at = g + i * p->n, first = 0, second = 0;
        for (int64_t j = 0; j < p->m; j++) {
            const whet_i_real normal = (x[j] - p->mean) * p->inverse;
            const whet_i_real z = normal * p->gamma[j] + p->beta[j];
            const whet_i_real d = z > 0 ? at[j] : p->slope * at[j];
            at[j] = d;
            first += d * p->gamma[j];
            second += d * p->gamma[j] * normal;
            if (!dgamma) continue;
            dgamma[j] += d * normal;
            dbeta[j] += d;
        }
        *sum += (double)first;
        *products += (double)second;
    }
}

static void input_gradient(const group *p, const whet_i_real *g, double sum, double products,
                           bool adds, whet_i_real *dx) {
    const double count = (double)(p->places * p->m);
    const whet_i_real first = (whet_i_real)(sum / count), second = (whet_i_real)(products / count);
    for (int64_t i = 0; i < p->places; i++)
        for (int64_t j = 0; j < p->m; j++) {
            const int64_t at = i * p->n + j;
            const whet_i_real normal = (p->x[at] - p->mean) * p->inverse;
            const whet_i_real d = p->inverse * (p->gamma[j] * g[at] - first - normal * second);
            dx[at] = adds ? dx[at] + d : d;
        }
}

static void backward_rows(const whet_i_task *t, int64_t item) {
    const settings *s = settings_of(t->node);
    const int64_t first = item * BLOCK;
    const int64_t end = first + whet_i_block_rows(whet_i_rows(t, t->node->outputs[0]), BLOCK, item);
    whet_i_real *sums = t->temporary ? t->temporary + item * 2 * s->n : NULL;
    if (sums) memset(sums, 0, (size_t)(2 * s->n) * sizeof *sums);
    for (int64_t b = first; b < end; b++)
        for (int64_t i = 0; i < s->groups; i++) {
            group p = group_of(t, b, i);
            const int64_t at = b * columns_of(t) + i * p.m;
            double sum = 0, products = 0;
            measure(&p, s->eps);
            gradient_sums(&p, t->grad_out[0] + at, sums ? sums + i * p.m : NULL,
                          sums ? sums + s->n + i * p.m : NULL, &sum, &products);
            if (t->grad_in[0])
                input_gradient(&p, t->grad_out[0] + at, sum, products, t->adds[0],
                               t->grad_in[0] + at);
        }
}

static void add_blocks(const whet_i_task *t) {
    const int64_t n = settings_of(t->node)->n;
    for (int32_t i = 0; i < 2; i++) {
        whet_i_real *to = param(t, i)->gradient;
        if (!param(t, i)->trainable) continue;
        if (!t->param_adds[i]) memset(to, 0, (size_t)n * sizeof *to);
        for (int64_t b = 0; b < row_items(t, 0); b++)
            t->kernels->add(n, t->temporary + (2 * b + i) * n, to);
    }
}

static int64_t backward_items(const whet_i_task *t, int32_t phase) {
    return phase == 0 ? row_items(t, 0) : t->temporary != NULL;
}

static void backward_run(const whet_i_task *t, int32_t phase, int64_t item, void *scratch) {
    (void)scratch;
    if (phase == 0)
        backward_rows(t, item);
    else
        add_blocks(t);
}

static const whet_i_op op_groupnorm = {
    .name = "group norm",
    .forward = {1, row_items, forward_run, NULL, NULL},
    .backward = {2, backward_items, backward_run, NULL, partial_sums},
    .backward_reads = backward_reads,
    .rebuild = {1, row_items, forward_run, NULL, NULL},
    .rebuild_reads = WHET_I_READS_IN(0),
    .grad_shares = 0,
};

/* ---- recording -------------------------------------------------------------------------------- */

whet_status whet_i_groupnorm(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x,
                             const whet_i_groupnorm_spec *spec, whet_i_value *out) {
    if (spec->groups < 1 || spec->channels % spec->groups != 0)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %lld channels in %lld groups; expected a multiple", spec->module,
                           (long long)spec->channels, (long long)spec->groups);
    const settings s = {spec->channels, spec->groups, spec->eps, (whet_i_real)spec->slope};
    whet_i_value outputs[WHET_I_OUTPUTS_MAX];
    whet_i_recording r = {.op = &op_groupnorm,
                          .settings = &s,
                          .settings_size = sizeof s,
                          .n_inputs = 1,
                          .n_outputs = 1,
                          .n_params = 2,
                          .inputs = {x},
                          .extents = {graph->values[x].extent},
                          .columns = {whet_i_columns(graph, x)}};
    for (int32_t i = 0; i < r.n_params; i++) {
        char name[256];
        (void)snprintf(name, sizeof name, "%s.%s", spec->module, i ? "bias" : "weight");
        const whet_i_param_spec p = {name, 1,    {s.n}, i ? WHET_I_INIT_ZERO : WHET_I_INIT_ONE,
                                     0,    false};
        WHET_TRY(whet_i_params_add(ctx, graph->params, &p, &r.params[i]));
    }
    WHET_TRY(whet_i_graph_record(ctx, graph, &r, outputs));
    *out = outputs[0];
    return WHET_OK;
}
