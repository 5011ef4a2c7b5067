/* SPDX-License-Identifier: Apache-2.0
 * What the files of a trial share: the mixtures that were tried, and the best of them. */
#ifndef WHET_MARKET_TRIAL_I_H
#define WHET_MARKET_TRIAL_I_H

#include "whet/trial.h"

#include "market/market_i.h"
#include "merge/merge_i.h"

enum { WHET_I_TRIAL_BATCH = WHET_TRIAL_GRID_POINTS + 2 }; /* points that are scored together */

typedef struct whet_i_trial {
    whet_ctx *ctx;
    const whet_trial_job *job;
    whet_i_mixture mixture;
    int64_t *group_of; /* [tensors] of the mixture; -1: no good */
    whet_trial_group *groups;
    whet_trial_point *points;
    int64_t n_groups, n_points, cap_points, best;
    double *shares;       /* [WHET_I_TRIAL_BATCH, tensors] to be tried */
    double *chosen;       /* [tensors] those of the best point */
    whet_i_scores scores; /* [WHET_I_TRIAL_BATCH, selection] */
    whet_mode_point before;
} whet_i_trial;

/* The largest share that may be chosen. */
double whet_i_trial_most(const whet_trial_job *job);
/* Scores `n` mixtures, of which trial->shares holds the shares, and adds them to the points; the first of
 * least loss that may be chosen is the best. weights [n]; group: see whet_trial_point. (trial.c) */
WHET_CHECKED whet_status whet_i_trial_try(whet_i_trial *trial, const double *weights, int64_t n,
                                          int64_t group);

/* The two networks aligned and checked, and room to try; what is left behind on failure is released by
 * _close. The squared distance of the goods. (trial.c) */
WHET_CHECKED whet_status whet_i_trial_open(whet_i_trial *trial);
void whet_i_trial_close(whet_i_trial *trial);
double whet_i_trial_distance(const whet_i_trial *trial);

/* The mean share over the numbers traded. (trial.c) */
double whet_i_trial_share(const whet_i_trial *trial, const double *shares);
/* Looks for the best shares; the first call sets `before`. (trial_search.c) */
WHET_CHECKED whet_status whet_i_trial_look(whet_i_trial *trial);
/* whet_trial_prior of a checked job: norm2 is 0, and nothing else is told but the loss, where the goods are
 * the buyer's own. (trial_prior.c) */
WHET_CHECKED whet_status whet_i_trial_prior(whet_ctx *ctx, const whet_trial_job *job, double reach,
                                            whet_gain_prior *out, double *loss);
/* Layers of the goods. (trial_groups.c) */
WHET_CHECKED whet_status whet_i_trial_layers(whet_i_trial *trial);

#endif
