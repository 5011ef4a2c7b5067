/* SPDX-License-Identifier: Apache-2.0
 * Fitted candidates and their weights: what a fit and a saved classifier predict with. */
#ifndef WHET_ADAPT_ENSEMBLE_H
#define WHET_ADAPT_ENSEMBLE_H

#include "adapt/candidate.h"

enum { WHET_I_MOST_PARTS = 20 };

typedef struct whet_i_part {
    const whet_i_candidate *candidate;
    void *model;
    double weight; /* > 0; the weights of an ensemble sum to 1 */
} whet_i_part;

/* Weighted mean of the parts' probabilities [rows->n, k], in the order of the parts. */
WHET_CHECKED whet_status whet_i_parts_predict(whet_ctx *ctx, const whet_i_part *parts, int64_t n,
                                              int64_t k, const whet_i_query *rows, double *probs);
bool whet_i_parts_need_neighbours(const whet_i_part *parts, int64_t n);

/* ---- blending (blend.c) ---------------------------------------------------------------------- */

/* Weights of a convex combination of `m` cross-fitted predictions by expectation maximisation: the
 * likelihood of the labels under a Dirichlet prior worth two labels in all. own [m, cases]: the
 * probability each gives to the true class. use [cases] which cases count, NULL = all. */
void whet_i_blend_weights(const double *own, int64_t m, int64_t cases, const bool *use, int64_t b,
                          double *weights);
/* As the final weights are: those below .02 dropped, the rest rescaled. */
void whet_i_blend_trim(double *weights, int64_t m);
/* The blend judged on labels that had no say in its weights: probs [cases, k] with, for each split,
 * weights from the cases of all other labels. singles [m] point to [cases, k]. */
WHET_CHECKED whet_status whet_i_blend_crossfit(whet_ctx *ctx, const whet_i_trial *trial,
                                               const double *const *singles, const double *own,
                                               int64_t m, double *probs);

/* ---- what a fit is (train.c fills it; classifier.c writes it) -------------------------------- */

struct whet_adapt_fit {
    whet_i_pool pool;
    whet_names *classes;
    int64_t n; /* candidates, the blend last */
    whet_i_result results[WHET_I_MOST_PARTS];
    void *models[WHET_I_MOST_PARTS];
    whet_candidate_info infos[WHET_I_MOST_PARTS];
    whet_i_part blend[WHET_I_MOST_PARTS]; /* models are those above */
    int64_t n_blend;
    int64_t chosen;
    char reason[512];
    int64_t n_held; /* labelled rows of the comparison, and what is said of them held out */
    int64_t *held_rows;
    double *held; /* [n_held, k] */
};

/* The parts that candidate `at` predicts with; room for WHET_I_MOST_PARTS. Returns how many. */
int64_t whet_i_fit_parts(const whet_adapt_fit *fit, int64_t at, whet_i_part *parts);

#endif
