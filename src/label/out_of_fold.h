/* SPDX-License-Identifier: Apache-2.0
 * What candidates for labelling functions say of labelled rows, each by models that had not seen the
 * row.
 *
 * Legend: b labelled rows, k classes, n candidates: those of the list, or with one-vs-rest those of
 * the list for class 0, then for class 1, ... */
#ifndef WHET_LABEL_OUT_OF_FOLD_H
#define WHET_LABEL_OUT_OF_FOLD_H

#include "label/rule_candidates.h"

#define WHET_I_THRESHOLDS 8

/* The top output of a model on a row, and how sure it is. */
typedef struct whet_i_said {
    int32_t class; /* -1: an output that stands for none */
    float p;
} whet_i_said;

typedef struct whet_i_out_of_fold {
    const whet_i_rows *rows;
    const whet_i_candidates *list;
    bool apart; /* one-vs-rest */
    int64_t n;
    int64_t *place; /* [n_fit] labelled rows to fit to, ascending: the caller's to fill */
    int64_t n_fit;
    whet_i_said *said; /* [n, b] */
    bool *usable;      /* [n] not all its features are constant */

    int32_t *fold; /* [n_fit] */
    int64_t folds, workers;
    whet_i_row_span *span; /* [list->n] of wide regressions */
    whet_i_fitter *fitter; /* [workers] */
    int64_t *train;        /* [workers, b] */
    int32_t *target;       /* [workers, b] */
    int32_t *classes;      /* [workers, k] output to class */
    double *p;             /* [workers, k] */
    int64_t *counts;       /* [workers, 2 k] room of a worker */
} whet_i_out_of_fold;

WHET_CHECKED whet_status whet_i_out_of_fold_create(whet_ctx *ctx, const whet_i_rows *rows,
                                                   const whet_i_candidates *list, bool apart,
                                                   whet_i_out_of_fold *out);
void whet_i_out_of_fold_free(whet_ctx *ctx, whet_i_out_of_fold *r);
/* Fits all candidates to the rows in `place` (n_fit >= 1), fold by fold, and fills said and usable.
 * Errors: NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_out_of_fold_run(whet_ctx *ctx, whet_i_out_of_fold *r,
                                                int32_t round);
/* Thresholds from the least sure of its votes to the surest, rising; how many, 0: of no use. */
int64_t whet_i_out_of_fold_thresholds(const whet_i_out_of_fold *r, int64_t at,
                                      double least[WHET_I_THRESHOLDS]);
/* The model of all rows in `place` with its votes and thresholds, in the worker's room until its next
 * fit; NULL when the rows are of one class. */
const whet_i_model *whet_i_out_of_fold_fit(const whet_i_out_of_fold *r, int64_t at, double least,
                                           int32_t worker);
/* The error (DATA) of having no candidate to take: which of features and labels is short. */
WHET_CHECKED whet_status whet_i_out_of_fold_none(whet_ctx *ctx, const whet_i_out_of_fold *r);
/* "stump 3", "class 2: logistic 4". */
void whet_i_out_of_fold_name(const whet_i_out_of_fold *r, int64_t at, char out[128]);

#endif
