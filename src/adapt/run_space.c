/* SPDX-License-Identifier: Apache-2.0
 * The label space: predictions by the Frechet mean of the classes' probabilities, and what they
 * gain over argmax where true labels exist. Candidates by default are the leaves, as in every
 * experiment of Loki (arXiv 2307.12226); all points when a class is an inner node, which as a leaf
 * it could never be predicted. */
#include "adapt/pipeline_i.h"
#include "space/space_i.h"

static whet_status find_points(whet_ctx *ctx, const char *spec, const whet_space *space,
                               const whet_names *classes, int64_t *observed) {
    const whet_status status = whet_space_find_all(ctx, space, classes, observed);
    if (status == WHET_OK) return WHET_OK;
    return whet_i_fail_at(ctx, status, "%s", spec);
}

/* A class that is certain costs nothing at itself, so it is a candidate exactly when the least
 * cost of its one-hot row is zero. */
static whet_status all_are_leaves(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                  int64_t k, bool *leaves) {
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
        WHET_TRY_DONE(
            whet_frechet_predict(ctx, space, observed, k, row, 1, &opts, &best, &cost, NULL, NULL));
        row[c] = 0;
        all = !(cost > 0);
    }
    *leaves = all;
done:
    whet_i_free(ctx, row);
    return status;
}

whet_status whet_i_label_space_place(whet_ctx *ctx, const char *spec, whet_space *space,
                                     const char *candidates, const whet_names *classes,
                                     whet_i_label_space *out) {
    const int64_t k = whet_names_count(classes);
    whet_status status = WHET_OK;
    whet_i_label_space s = {.space = space, .candidates = candidates};
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &s.observed));
    WHET_TRY_DONE(find_points(ctx, spec, s.space, classes, s.observed));
    if (!candidates) {
        bool leaves;
        WHET_TRY_DONE(all_are_leaves(ctx, s.space, s.observed, k, &leaves));
        s.candidates = leaves ? "leaves" : "all";
    }
    *out = s;
    s = (whet_i_label_space){0};
done:
    whet_i_label_space_free(ctx, &s);
    return status;
}

whet_status whet_i_label_space_open(whet_ctx *ctx, const char *spec, const char *candidates,
                                    const whet_names *classes, whet_i_label_space *out) {
    whet_space *space;
    char quoted[WHET_QUOTE_SIZE];
    if (!whet_i_space_kind_is_known(spec)) /* one more here than there */
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: %s is unknown; expected " WHET_I_SPACE_KINDS
                           ", discrete or embedding:auto",
                           whet_i_quote(quoted, (whet_str){spec, (int64_t)strcspn(spec, ":")}));
    WHET_TRY(whet_space_open(ctx, spec, classes, &space));
    return whet_i_label_space_place(ctx, spec, space, candidates, classes, out);
}

void whet_i_label_space_free(whet_ctx *ctx, whet_i_label_space *space) {
    whet_i_free(ctx, space->observed);
    whet_space_destroy(ctx, space->space);
    *space = (whet_i_label_space){0};
}

whet_status whet_i_run_open_space(whet_ctx *ctx, whet_i_run *run) {
    if (!run->job->space) return WHET_OK;
    if (!whet_i_self_space_is(run->job->space))
        return whet_i_label_space_open(ctx, run->job->space, run->job->space_candidates,
                                       run->classes, &run->space);
    if (run->train.array.data)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "space: embedding:auto embeds names as the texts are; expected texts, "
                           "not features");
    return whet_i_self_space_read(ctx, run->job->space, run->classes, &run->self_space);
}

whet_status whet_i_run_make_space(whet_ctx *ctx, whet_i_run *run) {
    /* Of names the meaning alone counts. */
    const whet_i_embedder embedder = {.encoder = run->encoder,
                                      .tfidf = run->encoder ? NULL : run->tfidf,
                                      .d = run->encoder ? whet_encoder_dim(run->encoder) : run->d};
    whet_space *space;
    if (!run->self_space.names) return WHET_OK;
    WHET_TRY(whet_i_self_space_make(ctx, &run->self_space, run->classes, run->class_texts,
                                    &embedder, &space));
    return whet_i_label_space_place(ctx, run->job->space, space, run->job->space_candidates,
                                    run->classes, &run->space);
}

static whet_candidates candidates_of(const char *name) {
    if (strcmp(name, "observed") == 0) return WHET_CANDIDATES_OBSERVED;
    if (strcmp(name, "leaves") == 0) return WHET_CANDIDATES_LEAVES;
    return WHET_CANDIDATES_ALL;
}

whet_status whet_i_means_make(whet_ctx *ctx, const whet_i_label_space *space, const double *probs,
                              int64_t n, int64_t k, whet_i_means *out) {
    whet_frechet_opts opts = WHET_FRECHET_OPTS_INIT;
    whet_status status = WHET_OK;
    whet_i_means m = {0};
    opts.candidates = candidates_of(space->candidates);
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &m.point));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &m.cost));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &m.ties));
    WHET_TRY_DONE(whet_frechet_predict(ctx, space->space, space->observed, k, probs, n, &opts,
                                       m.point, m.cost, m.ties, NULL));
    *out = m;
    m = (whet_i_means){0};
done:
    whet_i_means_free(ctx, &m);
    return status;
}

void whet_i_means_free(whet_ctx *ctx, whet_i_means *means) {
    whet_i_free(ctx, means->point);
    whet_i_free(ctx, means->cost);
    whet_i_free(ctx, means->ties);
    *means = (whet_i_means){0};
}

/* The true label of a target row as a point of the space, also when no training row has it; -1 = none
 * or no point. */
static int64_t true_point(const whet_i_run *run, int64_t i) {
    const whet_i_run_rows *rows = run->target;
    if (rows->truth[i] >= 0) return run->space.observed[rows->truth[i]];
    if (!rows->labels || rows->labels[i] != WHET_LABEL_OTHER) return -1;
    const whet_str name = whet_i_trim(whet_table_cell(rows->table, i, rows->label_column));
    return whet_names_find(whet_space_names(run->space.space), name);
}

static whet_status score_both(whet_ctx *ctx, whet_i_run *run) {
    const int64_t n = run->target->n, k = whet_names_count(run->classes);
    const whet_label_set set = {run->space.space, run->space.observed, k};
    whet_status status = WHET_OK;
    int64_t known = 0, *argmax = NULL, *truth = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &argmax));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &truth));
    for (int64_t i = 0; i < n; i++) {
        int32_t top[3];
        (void)whet_i_top(run->probs + i * k, k, 1, top);
        argmax[i] = run->space.observed[top[0]];
        truth[i] = true_point(run, i);
        known += truth[i] >= 0;
    }
    if (known == 0) goto done;
    WHET_TRY_DONE(whet_space_score(ctx, &set, argmax, NULL, truth, n, &run->by_argmax));
    WHET_TRY_DONE(whet_space_score(ctx, &set, run->means.point, NULL, truth, n, &run->by_frechet));
    WHET_TRY_DONE(whet_space_compare(ctx, &set, run->means.point, argmax, truth, n, run->job->seed,
                                     &run->gains));
    run->space_scored = true;
done:
    whet_i_free(ctx, truth);
    whet_i_free(ctx, argmax);
    return status;
}

/* Over all rows that have a label: one that is no point of the space cannot be predicted. */
static whet_i_hits count_hits(const whet_i_run *run) {
    whet_i_hits hits = {0};
    int64_t right = 0;
    const whet_i_run_rows *rows = run->target;
    for (int64_t i = 0; i < rows->n; i++) {
        if (rows->truth[i] < 0 && !(rows->labels && rows->labels[i] == WHET_LABEL_OTHER)) continue;
        const int64_t point = true_point(run, i);
        right += point >= 0 && point == run->means.point[i];
        hits.n++;
    }
    if (hits.n == 0) return hits;
    hits.accuracy = (double)right / (double)hits.n;
    whet_wilson(right, hits.n, &hits.low, &hits.high);
    return hits;
}

whet_i_hits whet_i_run_hits(const whet_i_run *run) {
    const whet_i_candidate *chosen = &run->candidates[run->chosen];
    if (run->by_mean.n || !chosen->tested) return run->by_mean;
    return (whet_i_hits){chosen->test.n, chosen->test.accuracy, chosen->test.accuracy_low,
                         chosen->test.accuracy_high};
}

whet_status whet_i_run_use_space(whet_ctx *ctx, whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    if (!run->space.space) return WHET_OK;
    WHET_TRY(whet_i_means_make(ctx, &run->space, run->probs, run->target->n, k, &run->means));
    if (run->target == &run->train) return WHET_OK;
    WHET_TRY(
        whet_i_means_make(ctx, &run->space, run->pool_probs, run->train.n, k, &run->pool_means));
    if (!run->target->truth) return WHET_OK;
    run->by_mean = count_hits(run);
    return score_both(ctx, run);
}
