/* SPDX-License-Identifier: Apache-2.0
 * How good predictions over a label space are: squared distance and distance to the label, accuracy,
 * label among the best; over all rows and apart for labels that are observed (seen) and that are
 * not. And how much better one set of predictions is than another on the same rows, with percentile
 * intervals of the paired bootstrap (Efron & Tibshirani 1993, chapter 13): rows are drawn with
 * replacement within each group, both predictions of a row together. */
#include <math.h>
#include <stdlib.h>

#include "space/frechet_i.h"

enum { ALL, SEEN, UNSEEN, GROUPS };
enum { SQUARED, DISTANCE, RIGHT, MEASURES };

void whet_frechet_argmax(const whet_frechet *f, const double *probs, int64_t rows, int64_t *best) {
    for (int64_t r = 0; r < rows; r++) {
        const double *p = probs + r * f->k;
        int64_t most = 0;
        for (int64_t j = 1; j < f->k; j++)
            if (p[j] > p[most]) most = j;
        best[r] = f->observed[most];
    }
}

/* ---- the rows that have labels --------------------------------------------------------------- */

/* Rows with labels, one after another: those whose label is seen, then the others. */
typedef struct labelled {
    int64_t n, seen;
    int64_t *row, *truth; /* [n] of the caller's rows; points */
} labelled;

static void labelled_free(whet_ctx *ctx, labelled *l) {
    whet_i_free(ctx, l->row);
    whet_i_free(ctx, l->truth);
}

static whet_status take_labelled(whet_ctx *ctx, const whet_label_set *set, const int64_t *truth,
                                 int64_t rows, labelled *l) {
    bool *observed;
    WHET_TRY(whet_i_calloc(ctx, set->space->n, &observed));
    for (int64_t j = 0; j < set->k; j++) observed[set->observed[j]] = true;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &l->row));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &l->truth));
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t r = 0; r < rows; r++) {
            if (truth[r] < 0 || observed[truth[r]] != (pass == 0)) continue;
            l->row[l->n] = r;
            l->truth[l->n++] = truth[r];
        }
        if (pass == 0) l->seen = l->n;
    }
done:
    whet_i_free(ctx, observed);
    return status;
}

/* Where a group's rows lie among the labelled ones. */
static void group_range(const labelled *l, int group, int64_t *from, int64_t *n) {
    *from = group == UNSEEN ? l->seen : 0;
    *n = group == ALL ? l->n : group == SEEN ? l->seen : l->n - l->seen;
}

/* value [n, MEASURES]: d^2, d, and whether the prediction is the label. */
static whet_status measure_rows(whet_ctx *ctx, const whet_space *space, const labelled *l,
                                const int64_t *best, double *value) {
    whet_status status = WHET_OK;
    int64_t *from = NULL;
    double *distance = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, l->n, &from));
    WHET_TRY_DONE(whet_i_alloc(ctx, l->n, &distance));
    for (int64_t i = 0; i < l->n; i++) from[i] = best[l->row[i]];
    WHET_TRY_DONE(whet_space_distances(ctx, space, from, l->truth, l->n, distance));
    for (int64_t i = 0; i < l->n; i++) {
        value[i * MEASURES + SQUARED] = distance[i] * distance[i];
        value[i * MEASURES + DISTANCE] = distance[i];
        value[i * MEASURES + RIGHT] = from[i] == l->truth[i];
    }
done:
    whet_i_free(ctx, distance);
    whet_i_free(ctx, from);
    return status;
}

/* ---- scores ---------------------------------------------------------------------------------- */

static whet_space_means means_of(const labelled *l, const double *value, const bool *in_top,
                                 int group) {
    const double none = (double)NAN;
    int64_t from, n;
    group_range(l, group, &from, &n);
    if (n == 0) return (whet_space_means){0, none, none, none, none};
    double sum[MEASURES] = {0}, top = 0;
    for (int64_t i = from; i < from + n; i++) {
        for (int m = 0; m < MEASURES; m++) sum[m] += value[i * MEASURES + m];
        if (in_top) top += in_top[l->row[i]];
    }
    const double rows = (double)n;
    return (whet_space_means){n, sum[SQUARED] / rows, sum[DISTANCE] / rows, sum[RIGHT] / rows,
                              in_top ? top / rows : none};
}

whet_status whet_space_score(whet_ctx *ctx, const whet_label_set *set, const int64_t *best,
                             const bool *in_top, const int64_t *truth, int64_t rows,
                             whet_space_scores *out) {
    whet_status status = WHET_OK;
    labelled l = {0};
    double *value = NULL;
    int64_t values;
    WHET_TRY_DONE(take_labelled(ctx, set, truth, rows, &l));
    WHET_TRY_DONE(whet_i_mul(ctx, l.n, MEASURES, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &value));
    WHET_TRY_DONE(measure_rows(ctx, set->space, &l, best, value));
    out->all = means_of(&l, value, in_top, ALL);
    out->seen = means_of(&l, value, in_top, SEEN);
    out->unseen = means_of(&l, value, in_top, UNSEEN);
done:
    whet_i_free(ctx, value);
    labelled_free(ctx, &l);
    return status;
}

/* ---- the paired bootstrap -------------------------------------------------------------------- */

typedef struct bootstrap {
    const double *difference; /* [n, MEASURES] of a group's rows */
    int64_t n;
    uint64_t seed;
    int group;
    double *mean; /* [MEASURES, WHET_SPACE_RESAMPLES] */
} bootstrap;

static void resample(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const bootstrap *b = arg;
    whet_i_rng rng;
    whet_i_rng_init(&rng, b->seed, (uint64_t)(i * GROUPS + b->group));
    double sum[MEASURES] = {0};
    for (int64_t draw = 0; draw < b->n; draw++) {
        const double *row = b->difference + whet_i_rng_below(&rng, b->n) * MEASURES;
        for (int m = 0; m < MEASURES; m++) sum[m] += row[m];
    }
    for (int m = 0; m < MEASURES; m++)
        b->mean[m * WHET_SPACE_RESAMPLES + i] = sum[m] / (double)b->n;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the order statistics where a share of the resamples lies below. */
static double quantile(const double *sorted, double share) {
    const double at = share * (WHET_SPACE_RESAMPLES - 1);
    const int64_t below = (int64_t)at;
    const double part = at - (double)below;
    return part > 0 ? sorted[below] + part * (sorted[below + 1] - sorted[below]) : sorted[below];
}

static whet_status group_gain(whet_ctx *ctx, bootstrap *b, whet_space_gain *out) {
    const double none = (double)NAN;
    whet_space_interval *interval[MEASURES] = {&out->mean_squared, &out->mean_distance,
                                               &out->accuracy};
    for (int m = 0; m < MEASURES; m++) *interval[m] = (whet_space_interval){none, none, none};
    if (b->n == 0) return WHET_OK;
    WHET_TRY(whet_i_parallel_for(ctx, "resampling", WHET_SPACE_RESAMPLES, resample, b));
    for (int m = 0; m < MEASURES; m++) {
        double *mean = b->mean + m * WHET_SPACE_RESAMPLES, sum = 0;
        for (int64_t i = 0; i < b->n; i++) sum += b->difference[i * MEASURES + m];
        qsort(mean, WHET_SPACE_RESAMPLES, sizeof *mean, ascending);
        *interval[m] =
            (whet_space_interval){sum / (double)b->n, quantile(mean, .025), quantile(mean, .975)};
    }
    return WHET_OK;
}

whet_status whet_space_compare(whet_ctx *ctx, const whet_label_set *set, const int64_t *a,
                               const int64_t *b, const int64_t *truth, int64_t rows, uint64_t seed,
                               whet_space_gains *out) {
    whet_status status = WHET_OK;
    labelled l = {0};
    double *difference = NULL, *other = NULL, *mean = NULL;
    int64_t values;
    whet_space_gains gains;
    whet_space_gain *gain[GROUPS] = {&gains.all, &gains.seen, &gains.unseen};
    WHET_TRY_DONE(take_labelled(ctx, set, truth, rows, &l));
    WHET_TRY_DONE(whet_i_mul(ctx, l.n, MEASURES, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &difference));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &other));
    WHET_TRY_DONE(whet_i_alloc(ctx, MEASURES * WHET_SPACE_RESAMPLES, &mean));
    WHET_TRY_DONE(measure_rows(ctx, set->space, &l, a, difference));
    WHET_TRY_DONE(measure_rows(ctx, set->space, &l, b, other));
    for (int64_t i = 0; i < values; i++) difference[i] -= other[i];
    for (int group = 0; group < GROUPS; group++) {
        bootstrap work = {.seed = seed, .group = group, .mean = mean};
        int64_t from;
        group_range(&l, group, &from, &work.n);
        work.difference = difference + from * MEASURES;
        WHET_TRY_DONE(group_gain(ctx, &work, gain[group]));
    }
    *out = gains;
done:
    whet_i_free(ctx, mean);
    whet_i_free(ctx, other);
    whet_i_free(ctx, difference);
    labelled_free(ctx, &l);
    return status;
}
