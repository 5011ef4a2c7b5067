/* SPDX-License-Identifier: Apache-2.0
 * The baselines one at a time, behind one interface. What has a setting takes the one with the least log
 * loss over five repeats of five stratified folds of the labels, and that temperature.
 * Legend: n rows, d features, k classes, b labelled rows. */
#include <math.h>

#include "label/baselines.h"

enum { REPEATS = 5, FOLDS = 5, MOST_CASES = 2500, NEIGHBOURS_MOST = 1000 };

static void release(whet_ctx *ctx, whet_i_baseline *s) {
    whet_i_prepare_free(ctx, &s->prepare);
    whet_i_splits_free(ctx, &s->splits);
    whet_i_free(ctx, s->x);
    whet_i_free(ctx, s->rows);
    whet_i_free(ctx, s->y);
    whet_i_free(ctx, s->labels);
    whet_i_free(ctx, s->case_y);
}

static whet_status check(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *in) {
    if (in->n < 1 || in->d < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "features are [%lld, %lld]; expected at least one "
                           "row and one column",
                           (long long)in->n, (long long)in->d);
    if (in->k < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%lld class%s; expected at least 2; try a class "
                           "list",
                           (long long)in->k, in->k == 1 ? "" : "es");
    WHET_TRY(whet_i_check_finite(ctx, "features", in->features, in->n, in->d));
    if (method == WHET_BASELINE_ZERO_SHOT && !in->class_features)
        return whet_i_fail(ctx, WHET_ERR_ARG, "zero-shot without features of the classes");
    if (in->class_features && method != WHET_BASELINE_ZERO_SHOT &&
        method != WHET_BASELINE_PROTOTYPES)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "features of the classes are for zero-shot and prototypes alone");
    if (in->class_features)
        WHET_TRY(whet_i_check_finite(ctx, "class features", in->class_features, in->k, in->d));
    if ((in->loss != WHET_LOSS_CROSS_ENTROPY) != (in->cost != NULL))
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "a loss by the metric and distances of classes; expected both or neither");
    if (in->loss != WHET_LOSS_CROSS_ENTROPY && method != WHET_BASELINE_FEW_SHOT)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a loss other than cross-entropy is for few-shot");
    const bool on_graph = method == WHET_BASELINE_PROPAGATE || method == WHET_BASELINE_SPREAD;
    if (!(in->gamma >= 0 && isfinite(in->gamma)) || (in->gamma > 0 && !on_graph))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "gamma is %g; expected more than 0, with propagate or spread",
                           in->gamma);
    if (!(in->alpha >= 0 && in->alpha < 1) || (in->alpha > 0 && method != WHET_BASELINE_SPREAD))
        return whet_i_fail(ctx, WHET_ERR_ARG, "alpha is %g; expected between 0 and 1, with spread",
                           in->alpha);
    if (!(in->temperature >= 0 && isfinite(in->temperature)) ||
        (in->temperature > 0 && method == WHET_BASELINE_PROPAGATE))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a temperature of %g; expected more than 0, not with propagate",
                           in->temperature);
    const bool chosen = in->neighbours != 0 || in->neighbour_metric != WHET_NEIGHBOURS_COSINE;
    if (chosen && (!on_graph || in->gamma > 0))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "neighbours are chosen for %s; expected propagate or spread, without "
                           "gamma",
                           on_graph ? "the graph of all rows" : "a method without a graph");
    const int64_t most = in->n - 1 < NEIGHBOURS_MOST ? in->n - 1 : NEIGHBOURS_MOST;
    if (in->neighbours < 0 || (in->neighbours > 0 && in->neighbours > most))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld neighbours among %lld rows; expected 1 to %lld",
                           (long long)in->neighbours, (long long)in->n, (long long)most);
    if (method != WHET_BASELINE_ZERO_SHOT && !in->labels)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a method that needs labels, without labels");
    for (int64_t i = 0; in->labels && i < in->n; i++)
        if (in->labels[i] < -1 || in->labels[i] >= in->k)
            return whet_i_fail(ctx, WHET_ERR_ARG, "row %lld has class %d; expected -1 to %lld",
                               (long long)i, in->labels[i], (long long)in->k - 1);
    return WHET_OK;
}

static whet_status set_up(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *in,
                          whet_i_baseline *s) {
    int64_t cells;
    s->n = in->n;
    s->k = in->k;
    whet_i_warn_of_alike_rows(ctx, in->features, in->n, in->d);
    WHET_TRY(whet_i_prepare_choose(ctx, in->features, in->n, in->d, in->class_features != NULL,
                                   in->labels, in->k, &s->prepare));
    s->d = s->prepare.d;
    WHET_TRY(whet_i_mul(ctx, s->n, s->d, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->x));
    whet_i_prepare_apply(&s->prepare, in->features, s->n, s->x);
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->labels));
    for (int64_t i = 0; i < s->n; i++) {
        s->labels[i] = in->labels ? in->labels[i] : -1;
        s->b += s->labels[i] >= 0 ? 1 : 0;
    }
    if (s->b == 0 && method != WHET_BASELINE_ZERO_SHOT)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "none of %lld rows has a label; expected at least "
                           "one",
                           (long long)s->n);
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->rows));
    WHET_TRY(whet_i_alloc(ctx, s->b, &s->y));
    for (int64_t i = 0, at = 0; i < s->n; i++) {
        if (s->labels[i] < 0) continue;
        s->rows[at] = i;
        s->y[at++] = s->labels[i];
    }
    const int64_t enough = s->b ? (MOST_CASES + s->b - 1) / s->b : 1;
    WHET_TRY(whet_i_splits_make(ctx, s->y, NULL, s->b, s->k,
                                enough < REPEATS ? (int32_t)enough : REPEATS, FOLDS, in->seed,
                                &s->splits));
    s->cases = s->splits.repeats * s->b;
    WHET_TRY(whet_i_alloc(ctx, s->cases, &s->case_y));
    for (int64_t i = 0; i < s->cases; i++) s->case_y[i] = s->y[i % s->b];
    return WHET_OK;
}

void whet_i_baseline_temper(const whet_i_baseline *s, double fitted) {
    const double given = s->in->temperature;
    if (given != 1) whet_i_temper(s->probs, s->n, s->k, given > 0 ? given : fitted);
}

whet_status whet_i_calibrate_on_labels(whet_ctx *ctx, const whet_i_baseline *s) {
    double *labelled, temperature = 1, loss;
    if (s->b == 0 || s->in->temperature > 0) {
        whet_i_baseline_temper(s, 1);
        return WHET_OK;
    }
    WHET_TRY(whet_i_alloc(ctx, s->b * s->k, &labelled));
    for (int64_t i = 0; i < s->b; i++)
        memcpy(labelled + i * s->k, s->probs + s->rows[i] * s->k, sizeof *labelled * (size_t)s->k);
    const whet_status status =
        whet_i_temperature_fit(ctx, labelled, s->b, s->k, s->y, &temperature, &loss);
    whet_i_free(ctx, labelled);
    if (status == WHET_OK) whet_i_baseline_temper(s, temperature);
    return status;
}

/* By whet_baseline. */
static whet_status (*const runs[])(whet_ctx *ctx, const whet_i_baseline *s) = {
    [WHET_BASELINE_FEW_SHOT] = whet_i_few_shot,    [WHET_BASELINE_PROPAGATE] = whet_i_propagate,
    [WHET_BASELINE_SPREAD] = whet_i_spreading,     [WHET_BASELINE_ZERO_SHOT] = whet_i_zero_shot,
    [WHET_BASELINE_PROTOTYPES] = whet_i_centroids, [WHET_BASELINE_CLUSTER] = whet_i_clusters,
    [WHET_BASELINE_GOGGLES] = whet_i_affinities,
};

whet_status whet_baseline_run(whet_ctx *ctx, whet_baseline method, const whet_baseline_input *input,
                              double *probs) {
    whet_status status = WHET_OK;
    whet_i_baseline s = {.in = input};
    int64_t cells;
    if ((int)method < 0 || (int)method >= WHET_COUNT_OF(runs))
        return whet_i_fail(ctx, WHET_ERR_ARG, "baseline %d; expected 0 to %d", (int)method,
                           (int)WHET_COUNT_OF(runs) - 1);
    WHET_TRY(check(ctx, method, input));
    WHET_TRY(whet_i_mul(ctx, input->n, input->k, &cells));
    /* Into memory of our own first: probs is untouched on failure. */
    WHET_TRY(whet_i_alloc(ctx, cells, &s.probs));
    WHET_TRY_DONE(set_up(ctx, method, input, &s));
    WHET_TRY_DONE(runs[method](ctx, &s));
    memcpy(probs, s.probs, sizeof *probs * (size_t)cells);
done:
    whet_i_free(ctx, s.probs);
    release(ctx, &s);
    return status;
}
