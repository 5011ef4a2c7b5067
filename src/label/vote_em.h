/* SPDX-License-Identifier: Apache-2.0
 * Expectation and maximisation over votes, shared by Dawid-Skene and its relatives: each says how
 * expected counts become scores.
 *
 * Legend: m rules, k classes, d = m k cells. */
#ifndef WHET_LABEL_VOTE_EM_H
#define WHET_LABEL_VOTE_EM_H

#include "label/vote_model.h"

/* Expected counts of the rows that take part. */
typedef struct whet_i_vote_expectations {
    int64_t m, k, width;
    const double *cells;  /* [d, width] rows of class c on which rule j voted v */
    const double *total;  /* [width] rows of class c */
    const bool *silent;   /* [m] no row has a vote of it */
    const bool *tireless; /* [m] every row has */
} whet_i_vote_expectations;

/* Rows of class c on which rule j abstained. */
double whet_i_vote_abstained(const whet_i_vote_expectations *e, int64_t j, int64_t c);

/* Writes base and table of the model (its scores of a row), likely [d, k], and balance [k]
 * where it is learned. Abstaining goes into base, and what a vote says instead into table. */
typedef void (*whet_i_vote_maximise)(const whet_i_label_fit *fit, const whet_i_vote_expectations *e,
                                     whet_label_model *model);

/* From shares of votes until the likelihood of the rows changes by less than opts->tolerance of
 * itself, at most opts->most_steps steps. Labelled rows stay what their label says. */
WHET_CHECKED whet_status whet_i_vote_em(whet_ctx *ctx, const whet_i_label_fit *fit,
                                        const char *stage, whet_i_vote_maximise maximise,
                                        whet_label_model *model);

/* Whether the balance is to be learned: asked for, or nothing is known of it. */
bool whet_i_learns_balance(const whet_label_model_opts *opts);
/* ln x, of 0 as of 1e-300. */
double whet_i_log_floored(double x);

#endif
