/* SPDX-License-Identifier: Apache-2.0
 * Candidates for labelling functions: a family of models on a subset of the features, fitted to some of
 * the labelled rows. Shared by Snuba, its reference form, and interactive weak supervision.
 *
 * Legend: b labelled rows ("V"), u unlabelled ones ("U"), d features, k classes, M candidates. */
#ifndef WHET_LABEL_RULE_CANDIDATES_H
#define WHET_LABEL_RULE_CANDIDATES_H

#include "label/label_i.h"
#include "label/rules_i.h"

/* ---- rows apart: labelled, unlabelled --------------------------------------------------------- */

typedef struct whet_i_rows {
    int64_t n, d, k, b, u;
    const float *x;       /* [n, d], the caller's */
    int64_t *labelled;    /* [b] rows, ascending */
    int32_t *y;           /* [b] */
    float *unlabelled;    /* [d, u]: a candidate reads few features of all rows */
    double *mean, *scale; /* [d] over all rows; scale 0: constant */
} whet_i_rows;
/* Errors: ARG (sizes), DATA (a row that is not finite; fewer than two classes among the labels, fewer
 * than 2 labels), NOMEM. */
WHET_CHECKED whet_status whet_i_rows_build(whet_ctx *ctx, const whet_synth_input *input,
                                           whet_i_rows *out);
void whet_i_rows_free(whet_ctx *ctx, whet_i_rows *rows);

/* ---- which candidates ------------------------------------------------------------------------- */

typedef struct whet_i_candidate {
    whet_i_rule_kind kind; /* tree, logistic or neighbours */
    int32_t depth;         /* of a tree */
    int32_t inputs;
    int64_t first; /* its inputs are inputs[first .. first + inputs) of the list */
} whet_i_candidate;

typedef struct whet_i_candidates {
    whet_i_candidate *item;
    int64_t n;
    int32_t *input; /* ascending within a candidate */
    int64_t most;   /* inputs of the largest */
} whet_i_candidates;

/* Stumps and logistic regressions on every subset of 1..cardinality of d features: by cardinality, then
 * family, then subset in lexicographic order, as the published code has them; or on `subsets` drawn
 * ones, cycling through the cardinalities. Errors: ARG when there are more than 2 million subsets. */
WHET_CHECKED whet_status whet_i_candidates_all(whet_ctx *ctx, int64_t d, int32_t cardinality,
                                               int64_t subsets, uint64_t seed,
                                               whet_i_candidates *out);
/* Stumps and logistic regressions on every single feature (of at most 2,048, drawn), then trees of
 * depth 3, logistic regressions and 5 nearest neighbours on drawn subsets of 4, 16, 64, ... features,
 * `subsets` of each size, and the last two on all features. */
WHET_CHECKED whet_status whet_i_candidates_ladder(whet_ctx *ctx, int64_t d, int64_t subsets,
                                                  uint64_t seed, whet_i_candidates *out);
/* The first with a cardinality, else the second with `subsets` or 8 of each size. */
WHET_CHECKED whet_status whet_i_candidates_make(whet_ctx *ctx, int64_t d, int32_t cardinality,
                                                int64_t subsets, uint64_t seed,
                                                whet_i_candidates *out);
void whet_i_candidates_free(whet_ctx *ctx, whet_i_candidates *list);

/* ---- fitting one ------------------------------------------------------------------------------ */

/* A worker's room, into which a fitted model points. */
typedef struct whet_i_fitter {
    float *z;
    int32_t *y;
    int64_t *input;
    int32_t *vote;
    double *least, *leaf, *weight, *bias, *room, *probs_room;
    whet_i_tree_node *node;
    void *tree_room;
    whet_i_model model;
} whet_i_fitter;

/* For fits of `rows` rows and `outs` outputs of any candidate of the list. */
WHET_CHECKED whet_status whet_i_fitter_create(whet_ctx *ctx, const whet_i_candidates *list,
                                              int64_t rows, int64_t outs, whet_i_fitter *out);
void whet_i_fitter_free(whet_ctx *ctx, whet_i_fitter *fitter);

typedef struct whet_i_fit_task {
    const whet_i_rows *rows;
    const whet_i_candidates *list;
    int64_t candidate;
    const int64_t *place;  /* [n] which of the labelled rows */
    const int32_t *target; /* [b] outputs */
    int64_t n, outs;
    bool standard; /* logistic: columns are standardised before, and the weights scaled back */
    const whet_i_row_span *span; /* the candidate's of whet_i_candidate_spans_build, or NULL */
    bool mirrored; /* a row -x_0 of the other of two outputs is added: rows of one output alone */
} whet_i_fit_task;

/* Fits into fitter->model: vote and least are left to the caller. On the calling thread. */
void whet_i_candidate_fit(const whet_i_fit_task *task, whet_i_fitter *fitter);
/* "stump 12", "logistic 3 5", "neighbours of 64 features". */
void whet_i_candidate_name(const whet_i_candidates *list, int64_t candidate, char out[96]);

/* Feature j of row x as standardised columns have it: 0 where it is constant. */
static inline float whet_i_standard(const whet_i_rows *rows, const float *x, int64_t j) {
    const double scale = rows->scale[j];
    return scale == 0 ? 0 : (float)(((double)x[j] - rows->mean[j]) / scale);
}

/* Labelled row i, and unlabelled rows, as models see them. */
static inline whet_i_strided whet_i_labelled_row(const whet_i_rows *rows, int64_t i) {
    return (whet_i_strided){rows->x + rows->labelled[i] * rows->d, 0, 1};
}
static inline whet_i_strided whet_i_unlabelled_rows(const whet_i_rows *rows) {
    return (whet_i_strided){rows->unlabelled, 1, rows->u};
}

/* ---- fitting a regression on more features than labels (candidate_span.c) ---------------------- */

/* span [list->n]: of the labelled rows in the standardised columns of each logistic candidate that has more
 * inputs than there are labelled rows; all 0 for others. Memory 2 b^2 each. Errors: NOMEM, NUMERIC,
 * CANCELLED. Cost b^2 inputs + 9 b^3 each. */
WHET_CHECKED whet_status whet_i_candidate_spans_build(whet_ctx *ctx, const whet_i_rows *rows,
                                                      const whet_i_candidates *list,
                                                      whet_i_row_span **span);
void whet_i_candidate_spans_free(whet_ctx *ctx, const whet_i_candidates *list,
                                 whet_i_row_span *span);
/* fitter->weight and bias of the task's logistic candidate, fitted in task->span. */
void whet_i_candidate_fit_in_span(const whet_i_fit_task *task, whet_i_fitter *fitter);

/* ---- Snuba's verifier --------------------------------------------------------------------------- */

/* Snuba's verifier (snuba_verifier.c): weights [m] and marginals [n] of votes [n, m] in {-1, 0, 1}.
 * Gradient steps of 1e-3 from w = 1 towards the log odds of the accuracies that the weights imply, as
 * the published code takes them. Errors: NOMEM. O(1000 n m). */
WHET_CHECKED whet_status whet_i_snuba_verifier(whet_ctx *ctx, const int8_t *votes, int64_t n,
                                               int64_t m, double *weight, double *marginal);

#endif
