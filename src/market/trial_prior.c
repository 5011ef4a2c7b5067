/* SPDX-License-Identifier: Apache-2.0
 * What whet_gain_bounds wants to know before a trial: the slope of the buyer's loss towards the seller, their
 * distance, and how fast slopes change on the way. The bounds ask for the Lipschitz constant of the gradient;
 * along one line the change of the slope is what matters, K = |slope(v) - slope(u)| / ((v - u) |d|^2) for two
 * shares u < v, the largest of neighbouring ones that are probed. */
#include <math.h>

#include "market/trial_i.h"

enum { PROBES = 2 }; /* besides the buyer */

static whet_status slope_at(whet_i_trial *t, double w, double *loss, double *slope) {
    const int64_t n = t->mixture.n;
    double *slopes = t->shares + n;
    *slope = 0;
    whet_i_mixture_share(&t->mixture, w, t->shares);
    WHET_TRY(whet_i_mixture_slope(t->ctx, &t->mixture, t->shares, t->job->select, loss, slopes));
    for (int64_t i = 0; i < n; i++) *slope += slopes[i];
    return WHET_OK;
}

static whet_status probe(whet_i_trial *t, double reach, whet_gain_prior *prior, double *loss) {
    double before, unused;
    WHET_TRY(slope_at(t, 0, loss, &prior->slope));
    before = prior->slope;
    if (!(prior->norm2 > 0)) return WHET_OK; /* there is no way to go */
    for (int i = 1; i <= PROBES; i++) {
        double slope;
        WHET_TRY(slope_at(t, reach * i / PROBES, &unused, &slope));
        const double change = fabs(slope - before) / (reach / PROBES * prior->norm2);
        prior->smoothness = fmax(prior->smoothness, change);
        before = slope;
    }
    return WHET_OK;
}

whet_status whet_i_trial_prior(whet_ctx *ctx, const whet_trial_job *job, double reach,
                               whet_gain_prior *out, double *loss) {
    whet_i_trial t = {.ctx = ctx, .job = job};
    whet_gain_prior prior = {0};
    double before = 0;
    whet_status status = whet_i_trial_open(&t);
    if (status == WHET_OK) {
        prior.norm2 = whet_i_trial_distance(&t);
        status = probe(&t, reach, &prior, &before);
    }
    whet_i_trial_close(&t);
    if (status != WHET_OK) return status;
    *out = prior;
    *loss = before;
    return WHET_OK;
}

whet_status whet_trial_prior(whet_ctx *ctx, const whet_trial_job *job, double reach,
                             whet_gain_prior *out, double *loss) {
    whet_trial_job known = WHET_TRIAL_JOB_INIT;
    whet_gain_prior prior;
    double before;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_trial_job"));
    if (!(reach > 0 && reach <= 1))
        return whet_i_fail(ctx, WHET_ERR_ARG, "reach is %g; expected above 0, at most 1", reach);
    WHET_TRY(whet_i_trial_prior(ctx, &known, reach, &prior, &before));
    if (!(prior.norm2 > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the seller's goods are the buyer's own; expected others");
    *out = prior;
    *loss = before;
    return WHET_OK;
}
