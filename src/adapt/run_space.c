/* SPDX-License-Identifier: Apache-2.0
 * The label space: predictions by the Frechet mean of the classes' probabilities, and what they
 * gain over argmax where true labels exist. Candidates by default are the leaves, as in every
 * experiment of Loki (arXiv 2307.12226); all points when a class is an inner node, which as a leaf
 * it could never be predicted. */
#include "adapt/pipeline_i.h"

static whet_status find_points(whet_ctx *ctx, whet_i_run *run) {
    WHET_TRY(whet_i_alloc(ctx, whet_names_count(run->classes), &run->observed));
    const whet_status status = whet_space_find_all(ctx, run->space, run->classes, run->observed);
    if (status == WHET_OK) return WHET_OK;
    return whet_i_fail_at(ctx, status, "%s", run->job->space);
}

/* A class that is certain costs nothing at itself, so it is a candidate exactly when the least
 * cost of its one-hot row is zero. */
static whet_status all_are_leaves(whet_ctx *ctx, const whet_i_run *run, bool *leaves) {
    const int64_t k = whet_names_count(run->classes);
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = WHET_CANDIDATES_LEAVES;
    double *row = NULL;
    whet_status status = WHET_OK;
    bool all = true;
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &row));
    for (int64_t c = 0; c < k && all; c++) {
        int64_t best;
        double cost;
        row[c] = 1;
        WHET_TRY_DONE(whet_frechet_predict(ctx, run->space, run->observed, k, row, 1, &opts, &best,
                                           &cost, NULL, NULL));
        row[c] = 0;
        all = !(cost > 0);
    }
    *leaves = all;
done:
    whet_i_free(ctx, row);
    return status;
}

whet_status whet_i_run_open_space(whet_ctx *ctx, whet_i_run *run) {
    const char *candidates = run->job->space_candidates;
    if (!run->job->space) return WHET_OK;
    WHET_TRY(whet_space_open(ctx, run->job->space, run->classes, &run->space));
    WHET_TRY(find_points(ctx, run));
    if (!candidates) {
        bool leaves;
        WHET_TRY(all_are_leaves(ctx, run, &leaves));
        candidates = leaves ? "leaves" : "all";
    }
    run->space_candidates = candidates;
    return WHET_OK;
}

static whet_candidates candidates_of(const char *name) {
    if (strcmp(name, "observed") == 0) return WHET_CANDIDATES_OBSERVED;
    if (strcmp(name, "leaves") == 0) return WHET_CANDIDATES_LEAVES;
    return WHET_CANDIDATES_ALL;
}

static whet_status predict_rows(whet_ctx *ctx, const whet_i_run *run, const double *probs,
                                int64_t n, int64_t **best, double **cost, int32_t **ties) {
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    opts.candidates = candidates_of(run->space_candidates);
    WHET_TRY(whet_i_alloc(ctx, n, best));
    WHET_TRY(whet_i_alloc(ctx, n, cost));
    WHET_TRY(whet_i_alloc(ctx, n, ties));
    return whet_frechet_predict(ctx, run->space, run->observed, whet_names_count(run->classes),
                                probs, n, &opts, *best, *cost, *ties, NULL);
}

/* Scores one kind of prediction: points [n]. Class indices for the metrics; a point that is no
 * class is as wrong as any. */
static whet_status score(whet_ctx *ctx, const whet_i_run *run, const int64_t *points,
                         whet_i_space_score *out) {
    const int64_t n = run->target->n, k = whet_names_count(run->classes);
    const whet_names *names = whet_space_names(run->space);
    whet_i_space_score s = {0};
    int32_t *predicted;
    WHET_TRY(whet_i_alloc(ctx, n, &predicted));
    for (int64_t i = 0; i < n; i++) {
        const int32_t truth = run->target->truth[i];
        const int64_t class = whet_names_find(run->classes, whet_names_get(names, points[i]));
        predicted[i] = class >= 0 ? (int32_t) class : truth == 0 ? 1 : 0;
        if (truth < 0) continue;
        const double d = whet_space_distance(run->space, points[i], run->observed[truth]);
        s.distance += d;
        s.squared += d * d;
        s.n++;
    }
    const whet_status status =
        whet_metrics_compute(ctx, run->probs, n, k, run->target->truth, predicted, &s.metrics);
    whet_i_free(ctx, predicted);
    if (status != WHET_OK) return status;
    s.distance /= (double)s.n;
    s.squared /= (double)s.n;
    *out = s;
    return WHET_OK;
}

static whet_status score_both(whet_ctx *ctx, whet_i_run *run) {
    const int64_t n = run->target->n, k = whet_names_count(run->classes);
    int64_t known = 0, *argmax;
    for (int64_t i = 0; i < n; i++) known += run->target->truth[i] >= 0;
    if (known == 0) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, n, &argmax));
    for (int64_t i = 0; i < n; i++) {
        int32_t top[3];
        (void)whet_i_top(run->probs + i * k, k, 1, top);
        argmax[i] = run->observed[top[0]];
    }
    whet_status status = score(ctx, run, argmax, &run->by_argmax);
    if (status == WHET_OK) status = score(ctx, run, run->frechet, &run->by_frechet);
    run->space_scored = status == WHET_OK;
    whet_i_free(ctx, argmax);
    return status;
}

whet_status whet_i_run_use_space(whet_ctx *ctx, whet_i_run *run) {
    if (!run->space) return WHET_OK;
    WHET_TRY(predict_rows(ctx, run, run->probs, run->target->n, &run->frechet, &run->frechet_cost,
                          &run->frechet_ties));
    if (run->target == &run->train) return WHET_OK;
    WHET_TRY(predict_rows(ctx, run, run->pool_probs, run->train.n, &run->pool_frechet,
                          &run->pool_cost, &run->pool_ties));
    if (!run->target->truth) return WHET_OK;
    return score_both(ctx, run);
}
