/* SPDX-License-Identifier: Apache-2.0
 * Bayesian linear regression in closed form, one observation at a time. */
#ifndef WHET_LABEL_BAYES_LINEAR_H
#define WHET_LABEL_BAYES_LINEAR_H

#include "core/core_i.h"

typedef struct whet_i_bayes {
    int64_t d;
    double noise;              /* variance of an observation */
    double *cov;               /* [d, d] */
    double *sum, *mean, *room; /* [d] sum of z y / noise; posterior mean of w */
} whet_i_bayes;

/* Memory is the caller's; d and noise > 0 are set. Nothing observed yet. */
void whet_i_bayes_start(whet_i_bayes *b, double prior);
/* O(d^2). */
void whet_i_bayes_observe(whet_i_bayes *b, const double *z, double y);
/* Mean and deviation of w z, without the noise. O(d^2). */
void whet_i_bayes_predict(const whet_i_bayes *b, const double *z, double *mean, double *deviation);

#endif
