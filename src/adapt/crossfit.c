/* SPDX-License-Identifier: Apache-2.0
 * The trial: which labels are cross-fitted in which splits, and what all candidates need of them.
 *
 * A hundred labels are few: five repeats of five folds, each label held out five times. With many
 * labels the choice is sure sooner: at most MOST_LABELS of them take part, in equal shares of each
 * class, and repeats are dropped so that about MOST_CASES cases remain; the final fit uses all.
 * Legend: n rows of the pool, d features, b labelled rows. */
#include <math.h>

#include "adapt/adapt_i.h"

enum { MOST_LABELS = 500, MOST_CASES = 1000, BALANCE_ROWS = 2048 };

const double whet_i_pulls[WHET_I_PULLS] = {.03, .1, .3, 1, 3};

void whet_i_trial_free(whet_ctx *ctx, whet_i_trial *trial) {
    whet_i_free(ctx, trial->rows);
    whet_i_free(ctx, trial->y);
    whet_i_splits_free(ctx, &trial->splits);
    whet_i_free(ctx, trial->case_y);
    for (int v = 0; v < WHET_I_VIEWS; v++) {
        whet_i_free(ctx, trial->labelled[v]);
        whet_i_free(ctx, trial->balance[v]);
    }
    for (int g = 0; g < WHET_I_PULLS; g++) {
        whet_i_free(ctx, trial->green[g]);
        whet_i_free(ctx, trial->green_labelled[g]);
    }
    *trial = (whet_i_trial){0};
}

/* All labels, or one of the stratified parts that a split into folds of about MOST_LABELS makes. Nothing is
 * learnt from the other parts, so that groups may be cut here. */
static whet_status choose_labels(whet_ctx *ctx, const whet_i_pool *pool, uint64_t seed,
                                 whet_i_trial *t) {
    whet_status status = WHET_OK;
    int32_t *part = NULL;
    const int64_t parts = (pool->b + MOST_LABELS - 1) / MOST_LABELS;
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &t->rows));
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->b, &t->y));
    WHET_TRY_DONE(whet_i_calloc(ctx, pool->b, &part));
    if (parts > 1)
        WHET_TRY_DONE(whet_i_stratified_folds(ctx, pool->y, NULL, pool->b, pool->k,
                                              (int32_t)(parts < INT32_MAX ? parts : INT32_MAX),
                                              seed, 0x70617274U, part));
    for (int64_t i = 0; i < pool->b; i++) {
        if (part[i] != 0) continue;
        t->rows[t->b] = pool->rows[i];
        t->y[t->b++] = pool->y[i];
    }
done:
    whet_i_free(ctx, part);
    return status;
}

static whet_status make_splits(whet_ctx *ctx, int32_t repeats, int32_t folds, whet_i_trial *t) {
    const whet_i_pool *pool = t->pool;
    int64_t *alike = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(choose_labels(ctx, pool, t->seed, t));
    if (pool->groups) {
        WHET_TRY_DONE(whet_i_alloc(ctx, t->b, &alike));
        WHET_TRY_DONE(
            whet_i_alike(ctx, pool->groups, (int64_t)sizeof *pool->groups, t->rows, t->b, alike));
    }
    const int64_t enough = (MOST_CASES + t->b - 1) / t->b;
    WHET_TRY_DONE(whet_i_splits_make(ctx, t->y, alike, t->b, pool->k,
                                     enough < repeats ? (int32_t)enough : repeats, folds, t->seed,
                                     &t->splits));
done:
    whet_i_free(ctx, alike);
    return status;
}

static whet_status make_views(whet_ctx *ctx, whet_i_trial *t) {
    const whet_i_pool *p = t->pool;
    int64_t cells;
    t->n_balance = p->n < BALANCE_ROWS ? p->n : BALANCE_ROWS;
    for (int v = 0; v < WHET_I_VIEWS; v++) {
        const float *x = v == WHET_I_RAW ? p->x : p->smooth;
        WHET_TRY(whet_i_mul(ctx, t->b, p->d, &cells));
        WHET_TRY(whet_i_alloc(ctx, cells, &t->labelled[v]));
        WHET_TRY(whet_i_mul(ctx, t->n_balance, p->d, &cells));
        WHET_TRY(whet_i_alloc(ctx, cells, &t->balance[v]));
        for (int64_t i = 0; i < t->b; i++)
            for (int64_t j = 0; j < p->d; j++)
                t->labelled[v][i * p->d + j] = (double)x[t->rows[i] * p->d + j];
        for (int64_t i = 0; i < t->n_balance; i++)
            memcpy(t->balance[v] + i * p->d, x + i * p->n / t->n_balance * p->d,
                   sizeof(float) * (size_t)p->d);
    }
    return WHET_OK;
}

whet_status whet_i_trial_make(whet_ctx *ctx, const whet_i_pool *pool, int32_t repeats,
                              int32_t folds, uint64_t seed, whet_i_trial *out) {
    whet_status status = WHET_OK;
    whet_i_trial t = {.pool = pool, .seed = seed};
    WHET_TRY_DONE(make_splits(ctx, repeats, folds, &t));
    t.cases = t.splits.repeats * t.b;
    WHET_TRY_DONE(whet_i_alloc(ctx, t.cases, &t.case_y));
    for (int64_t i = 0; i < t.cases; i++) t.case_y[i] = t.y[i % t.b];
    WHET_TRY_DONE(make_views(ctx, &t));
    *out = t;
    t = (whet_i_trial){0};
done:
    whet_i_trial_free(ctx, &t);
    return status;
}

whet_status whet_i_trial_green(whet_ctx *ctx, whet_i_trial *trial) {
    whet_status status = WHET_OK;
    const int64_t n = trial->pool->n, b = trial->b;
    int64_t cells, square;
    double *green = NULL;
    if (trial->green[0]) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, n, b, &cells));
    WHET_TRY(whet_i_mul(ctx, b, b, &square));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &green));
    for (int g = 0; g < WHET_I_PULLS; g++) {
        WHET_TRY_DONE(whet_i_alloc(ctx, square, &trial->green_labelled[g]));
        WHET_TRY_DONE(whet_i_green_smoothing(ctx, &trial->pool->graph, whet_i_pulls[g], trial->rows,
                                             b, green));
        for (int64_t i = 0; i < b; i++)
            memcpy(trial->green_labelled[g] + i * b, green + trial->rows[i] * b,
                   sizeof *green * (size_t)b);
        WHET_TRY_DONE(whet_i_alloc(ctx, cells, &trial->green[g]));
        for (int64_t i = 0; i < cells; i++) trial->green[g][i] = (float)green[i];
    }
done:
    whet_i_free(ctx, green);
    return status;
}
