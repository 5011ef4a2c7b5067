/* SPDX-License-Identifier: Apache-2.0
 * The baselines on the graph of neighbours: harmonic functions, and local and global consistency, whose
 * alpha (unless given) and temperature are those with the least cross-fitted log loss. The graph is that of
 * nearest neighbours, by cosine or distance, or with gamma that of all rows.
 * Legend: n rows, k classes, b labelled rows. */
#include <math.h>

#include "label/baselines.h"

/* What to do about rows that no label reaches. */
static const char *remedy(const whet_i_baseline *s) {
    return s->in->gamma > 0 ? "try a smaller gamma, or labels near them"
                            : "try labels among them, or --gamma";
}

static void tell_unreached(whet_ctx *ctx, const whet_i_baseline *s, int64_t rows,
                           const char *instead) {
    char far[64] = "";
    if (rows == 0) return;
    if (s->in->gamma > 0) (void)snprintf(far, sizeof far, " at gamma %g", s->in->gamma);
    whet_i_log(
        ctx, WHET_LOG_WARN,
        "no label reaches %lld of %lld rows%s, which get %s; expected neighbours on the way to a "
        "label; %s",
        (long long)rows, (long long)s->n, far, instead, remedy(s));
}

/* A row of F over the seen classes becomes probabilities. Among all rows F is right to the last digits
 * however small it is, so its shares are what counts. Whether the row has anything. */
static bool row_to_probs(const whet_i_baseline *s, double *row, int64_t seen) {
    const double least = s->in->gamma > 0 ? 0 : 1e-9; /* what conjugate gradients leave */
    double sum = 0;
    for (int64_t c = 0; c < seen; c++) sum += row[c] = fmax(row[c], 0);
    const bool reached = sum > least;
    const bool defined = s->in->temperature > 0; /* as the method gives them, without smoothing */
    for (int64_t c = 0; (s->in->gamma > 0 || defined) && reached && c < seen; c++) row[c] /= sum;
    if (!defined || !reached) whet_i_spread_posterior(row, seen);
    return reached;
}

/* F over all k classes to probabilities over the seen ones, and the rest. */
static whet_status spread_to_probs(whet_ctx *ctx, const whet_i_baseline *s, double temperature) {
    whet_status status = WHET_OK;
    int64_t unreached = 0;
    int32_t *classes = NULL, *dense = NULL;
    int64_t *counts = NULL, seen;
    double *row = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &row));
    whet_i_dense_classes(s->y, s->b, s->k, classes, &seen, dense);
    const double unseen = seen == s->k ? 0 : whet_i_unseen_mass(s->y, s->b, s->k, counts);
    for (int64_t i = 0; i < s->n; i++) {
        for (int64_t c = 0; c < seen; c++) row[c] = s->probs[i * s->k + classes[c]];
        unreached += row_to_probs(s, row, seen) ? 0 : 1;
        whet_i_share_out(row, classes, seen, s->k, unseen, s->probs + i * s->k);
    }
    tell_unreached(ctx, s, unreached, "all classes alike");
    whet_i_baseline_temper(s, temperature);
done:
    whet_i_free(ctx, classes);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, counts);
    whet_i_free(ctx, row);
    return status;
}

/* One alpha cross-fitted from its Green's columns at the labels; see whet_i_green_spreading. */
static whet_status cross_spread(whet_ctx *ctx, const whet_i_baseline *s, const double *green,
                                double *probs, double *temperature, double *loss) {
    whet_status status = WHET_OK;
    int32_t *y = NULL, *classes = NULL, *dense = NULL;
    int64_t *counts = NULL;
    double *row = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &y));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &dense));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &classes));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &counts));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &row));
    for (int64_t at = 0; at < s->splits.n; at++) {
        const whet_i_split *split = &s->splits.split[at];
        int64_t seen;
        for (int64_t i = 0; i < split->n_train; i++) y[i] = s->y[split->train[i]];
        whet_i_dense_classes(y, split->n_train, s->k, classes, &seen, dense);
        const double unseen =
            seen == s->k ? 0 : whet_i_unseen_mass(y, split->n_train, s->k, counts);
        for (int64_t i = 0; i < split->n_held; i++) {
            const int64_t held = split->held[i];
            for (int64_t c = 0; c < seen; c++) row[c] = 0;
            for (int64_t j = 0; j < split->n_train; j++)
                row[dense[j]] += green[s->rows[held] * s->b + split->train[j]];
            (void)row_to_probs(s, row, seen);
            whet_i_share_out(row, classes, seen, s->k, unseen,
                             probs + (split->repeat * s->b + held) * s->k);
        }
    }
    WHET_TRY_DONE(whet_i_temperature_fit(ctx, probs, s->cases, s->k, s->case_y, temperature, loss));
done:
    whet_i_free(ctx, y);
    whet_i_free(ctx, dense);
    whet_i_free(ctx, classes);
    whet_i_free(ctx, counts);
    whet_i_free(ctx, row);
    return status;
}

/* Green's columns of the labels, on either graph; graph NULL: of all rows. */
static whet_status green_of(whet_ctx *ctx, const whet_i_baseline *s, const whet_i_graph *graph,
                            double alpha, double *green) {
    if (graph) return whet_i_green_spreading(ctx, graph, alpha, s->rows, s->b, green);
    return whet_i_dense_green(ctx, s->in->features, s->n, s->in->d, s->in->gamma, alpha, s->rows,
                              s->b, green);
}

/* F = sum over labels of their columns. */
static void add_columns(const whet_i_baseline *s, const double *green) {
    memset(s->probs, 0, (size_t)(s->n * s->k) * sizeof *s->probs);
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t l = 0; l < s->b; l++) s->probs[i * s->k + s->y[l]] += green[i * s->b + l];
}

static whet_status spread(whet_ctx *ctx, const whet_i_baseline *s, const whet_i_graph *graph) {
    static const double alphas[] = {.5, .8, .9, .95, .99};
    const double *choices = s->in->alpha > 0 ? &s->in->alpha : alphas;
    const int64_t n_choices = s->in->alpha > 0 ? 1 : WHET_COUNT_OF(alphas);
    whet_status status = WHET_OK;
    double *green = NULL, *probs = NULL, temperature = 1, best = INFINITY;
    double alpha = s->in->alpha > 0 ? s->in->alpha : .9;
    int64_t cells, all;
    WHET_TRY(whet_i_mul(ctx, s->n, s->b, &cells));
    WHET_TRY(whet_i_mul(ctx, s->cases, s->k, &all));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &green));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &probs));
    for (int64_t a = 0; s->cases > 0 && a < n_choices; a++) {
        double own, loss;
        WHET_TRY_DONE(green_of(ctx, s, graph, choices[a], green));
        WHET_TRY_DONE(cross_spread(ctx, s, green, probs, &own, &loss));
        if (!(loss < best)) continue;
        best = loss;
        alpha = choices[a];
        temperature = own;
    }
    WHET_TRY_DONE(green_of(ctx, s, graph, alpha, green));
    add_columns(s, green);
    WHET_TRY_DONE(spread_to_probs(ctx, s, temperature));
done:
    whet_i_free(ctx, green);
    whet_i_free(ctx, probs);
    return status;
}

/* graph NULL: of all rows. */
static whet_status propagate(whet_ctx *ctx, const whet_i_baseline *s, const whet_i_graph *graph) {
    int64_t unreached;
    WHET_TRY(graph ? whet_i_harmonic(ctx, graph, s->labels, s->k, s->probs, &unreached)
                   : whet_i_dense_harmonic(ctx, s->in->features, s->n, s->in->d, s->in->gamma,
                                           s->labels, s->k, s->probs, &unreached));
    tell_unreached(ctx, s, unreached, "the shares of the classes among the labels");
    for (int64_t i = 0; i < s->n; i++) { /* what the solver leaves of rounding */
        double *row = s->probs + i * s->k, sum = 0;
        for (int64_t c = 0; c < s->k; c++) sum += row[c] = fmax(row[c], 0);
        for (int64_t c = 0; c < s->k; c++) row[c] /= sum;
    }
    return WHET_OK;
}

typedef whet_status (*on_graph)(whet_ctx *ctx, const whet_i_baseline *s, const whet_i_graph *graph);

static whet_status build_and(whet_ctx *ctx, const whet_i_baseline *s, on_graph run) {
    const whet_baseline_input *in = s->in;
    const int64_t m = in->neighbours > 0 ? in->neighbours : WHET_I_NEIGHBOURS;
    whet_i_graph graph;
    if (in->gamma > 0) return run(ctx, s, NULL);
    if (in->neighbour_metric == WHET_NEIGHBOURS_EUCLIDEAN)
        WHET_TRY(whet_i_graph_build_euclidean(ctx, in->features, s->n, in->d, m, &graph));
    else
        WHET_TRY(whet_i_graph_build(ctx, s->x, s->n, s->d, m, &graph));
    const whet_status status = run(ctx, s, &graph);
    whet_i_graph_free(ctx, &graph);
    return status;
}

whet_status whet_i_propagate(whet_ctx *ctx, const whet_i_baseline *s) {
    return build_and(ctx, s, propagate);
}

whet_status whet_i_spreading(whet_ctx *ctx, const whet_i_baseline *s) {
    return build_and(ctx, s, spread);
}
