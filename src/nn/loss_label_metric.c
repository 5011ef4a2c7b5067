/* SPDX-License-Identifier: Apache-2.0
 * Losses over a label metric (Loki, arXiv 2307.12226); see ops_i.h for the definitions. Both read costs
 * [K, N], in practice squared distances.
 * Legend: x logits, y true label, t temperature, D costs, p = softmax(x). */
#include "nn/loss_rows.h"

typedef struct settings {
    const whet_i_row_loss *loss;
    const whet_i_real *costs;
    int64_t candidates; /* columns of the costs */
    double temperature;
} settings;

static const settings *settings_of(const whet_i_task *t) { return t->node->settings; }

static const whet_i_real *costs_of(const whet_i_task *t, int64_t row) {
    return settings_of(t)->costs + row * settings_of(t)->candidates;
}

/* p [k] */
static void probabilities(const whet_i_task *t, int64_t i, double temperature, double *p) {
    const int64_t k = whet_i_row_columns(t);
    const whet_i_real *x = whet_i_row_logits(t, i);
    const double total = whet_i_log_sum_exp(k, x, temperature);
    for (int64_t c = 0; c < k; c++) p[c] = exp((double)x[c] / temperature - total);
}

static double dot(int64_t n, const double *p, const whet_i_real *costs) {
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += p[c] * (double)costs[c];
    return sum;
}

/* ---- expected cost: the logits are of the candidates ------------------------------------------- */

static double cost_loss(const whet_i_task *t, int64_t i, double *p) {
    probabilities(t, i, settings_of(t)->temperature, p);
    return dot(whet_i_row_columns(t), p, costs_of(t, whet_i_row_label(t, i)));
}

/* p (D_y - p . D_y) / t */
static void cost_gradient(const whet_i_task *t, int64_t i, double *d, double *p) {
    const whet_i_real *costs = costs_of(t, whet_i_row_label(t, i));
    const double mean = cost_loss(t, i, p), temperature = settings_of(t)->temperature;
    for (int64_t c = 0; c < whet_i_row_columns(t); c++)
        d[c] = p[c] * ((double)costs[c] - mean) / temperature;
}

static int64_t of_columns(const void *s, int64_t columns) {
    (void)s;
    return columns;
}

static const whet_i_row_loss expected_cost = {whet_i_row_is_labelled, cost_loss, cost_gradient,
                                              of_columns};

whet_status whet_i_expected_cost(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                 whet_i_value labels, const whet_i_real *costs, double temperature,
                                 whet_i_value *out) {
    const settings s = {&expected_cost, costs, whet_i_columns(graph, logits), temperature};
    return whet_i_row_loss_record(ctx, graph, &s, sizeof s, logits, labels, out);
}

/* ---- the Frechet loss: the logits are of the observed classes ---------------------------------- */

/* space = p [K], then scores s = -p D / t [N]; returns log sum exp of s. */
static double scores(const whet_i_task *t, int64_t i, double *space) {
    const int64_t k = whet_i_row_columns(t), n = settings_of(t)->candidates;
    double *p = space, *s = space + k, most = 0, sum = 0;
    probabilities(t, i, 1, p);
    for (int64_t y = 0; y < n; y++) s[y] = 0;
    for (int64_t c = 0; c < k; c++) {
        const whet_i_real *costs = costs_of(t, c);
        for (int64_t y = 0; y < n; y++) s[y] -= p[c] * (double)costs[y];
    }
    for (int64_t y = 0; y < n; y++) {
        s[y] /= settings_of(t)->temperature;
        most = y == 0 || s[y] > most ? s[y] : most;
    }
    for (int64_t y = 0; y < n; y++) sum += exp(s[y] - most);
    return most + log(sum);
}

static double frechet_loss(const whet_i_task *t, int64_t i, double *space) {
    const double total = scores(t, i, space);
    return total - space[whet_i_row_columns(t) + whet_i_row_label(t, i)];
}

/* g_s = softmax(s) - e_y, g_p = -D g_s / t, and back through the softmax of x. */
static void frechet_gradient(const whet_i_task *t, int64_t i, double *d, double *space) {
    const int64_t k = whet_i_row_columns(t), n = settings_of(t)->candidates;
    const double total = scores(t, i, space);
    double *p = space, *g = space + k, mean = 0;
    for (int64_t y = 0; y < n; y++) g[y] = exp(g[y] - total);
    g[whet_i_row_label(t, i)] -= 1;
    for (int64_t c = 0; c < k; c++) {
        d[c] = -dot(n, g, costs_of(t, c)) / settings_of(t)->temperature;
        mean += p[c] * d[c];
    }
    for (int64_t c = 0; c < k; c++) d[c] = p[c] * (d[c] - mean);
}

static int64_t of_both(const void *s, int64_t columns) {
    return columns + ((const settings *)s)->candidates;
}

static const whet_i_row_loss frechet = {whet_i_row_is_labelled, frechet_loss, frechet_gradient,
                                        of_both};

whet_status whet_i_frechet_loss(whet_ctx *ctx, whet_i_graph *graph, whet_i_value logits,
                                whet_i_value labels, const whet_i_real *costs, int64_t candidates,
                                double temperature, whet_i_value *out) {
    const settings s = {&frechet, costs, candidates, temperature};
    return whet_i_row_loss_record(ctx, graph, &s, sizeof s, logits, labels, out);
}
