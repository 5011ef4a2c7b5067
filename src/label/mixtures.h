/* SPDX-License-Identifier: Apache-2.0
 * Groups of rows found without labels: k-means, mixtures of Gaussians and of Bernoulli variables, and
 * GOGGLES, which is made of them. The bits do not depend on the number of threads.
 * Legend: n rows, d columns, k groups. */
#ifndef WHET_LABEL_MIXTURES_H
#define WHET_LABEL_MIXTURES_H

#include "label/label_i.h"
#include "whet/labelling.h"

/* ---- what they share (mixture_passes.c) ------------------------------------------------------ */

/* scores [n, k] = X linear^T + X^2 square^T + constant, X^2 by numbers. */
typedef struct whet_i_mixture_form {
    const double *x; /* [n, d] */
    int64_t n, d, k;
    const double *linear, *square; /* [k, d]; square NULL = none */
    const double *constant;        /* [k] */
} whet_i_mixture_form;

/* scores [n, k]; rows become softmax(row) when `total` is given, and *total the sum over rows of
 * log sum exp. Cost 2 n d k, twice with squares. Errors: NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_mixture_scores(whet_ctx *ctx, const whet_i_mixture_form *form,
                                               double *scores, double *total);
/* share [k] = sum_i r_ic, first [k, d] = sum_i r_ic x_i, second [k, d] the same of squares (NULL = not
 * wanted), of shares r [n, k]. Cost as above. */
WHET_CHECKED whet_status whet_i_mixture_moments(whet_ctx *ctx, const double *x, int64_t n,
                                                int64_t d, int64_t k, const double *r,
                                                double *share, double *first, double *second);

/* ---- k-means (kmeans.c) ---------------------------------------------------------------------- */

/* centers [k, d], group [n] in 0..k-1 of the nearest; k <= n. The best of four starts by k-means++, each
 * improved until no row changes its group, or 100 times. *spread: the sum of squared distances.
 * Source: Lloyd 1982; Arthur & Vassilvitskii 2007. */
WHET_CHECKED whet_status whet_i_kmeans(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                       int64_t k, uint64_t seed, double *centers, int32_t *group,
                                       double *spread);

/* ---- Gaussians with diagonal covariance (gaussian_mixture.c) --------------------------------- */

typedef struct whet_i_gaussians {
    int64_t k, d;
    double *weight;   /* [k] sum to 1 */
    double *mean;     /* [k, d] */
    double *variance; /* [k, d], at least WHET_I_LEAST_VARIANCE */
} whet_i_gaussians;

#define WHET_I_LEAST_VARIANCE 1e-6 /* added to each, as scikit-learn does */

void whet_i_gaussians_free(whet_ctx *ctx, whet_i_gaussians *g);
/* Expectation-maximisation from k-means, until the mean log-likelihood of a row gains less than 1e-4,
 * or 100 times; r [n, k] are the posteriors. k <= n. Source: Dempster, Laird & Rubin 1977; scikit-learn's
 * GaussianMixture(covariance_type="diag"), GOGGLES' base model (arXiv 1903.04552). */
WHET_CHECKED whet_status whet_i_gaussians_fit(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                              int64_t k, uint64_t seed, whet_i_gaussians *out,
                                              double *r);
/* Posteriors r [n, k] of any rows, and the mean log-likelihood. */
WHET_CHECKED whet_status whet_i_gaussians_posterior(whet_ctx *ctx, const whet_i_gaussians *g,
                                                    const double *x, int64_t n, double *r,
                                                    double *log_likelihood);
/* The parameters that maximise the likelihood given r; g's arrays are written. */
WHET_CHECKED whet_status whet_i_gaussians_maximise(whet_ctx *ctx, const double *x, int64_t n,
                                                   const double *r, whet_i_gaussians *g);

/* ---- Bernoulli variables (bernoulli_mixture.c) ------------------------------------------------ */

/* A mixture over columns x [n, d] in [0, 1], one component a class: after each expectation the
 * components are given to classes so that the labelled rows (y [n], -1 = none) agree best. r [n, k].
 * Ends when r moved by 1e-6 at most, on average over 20 steps, or after 200.
 * Source: GOGGLES (arXiv 1903.04552), section 4. */
WHET_CHECKED whet_status whet_i_bernoulli_fit(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                              int64_t k, const int32_t *y, uint64_t seed,
                                              double *r);
/* Columns of r [n, k] exchanged so that the labelled rows agree best with their classes: an optimal
 * assignment. `spare` [k, k] and `column` [k] are workspace. (class_mapping.c) */
WHET_CHECKED whet_status whet_i_map_to_classes(whet_ctx *ctx, int64_t n, int64_t k,
                                               const int32_t *y, double *r);

/* ---- GOGGLES (goggles.c) --------------------------------------------------------------------- */

/* probs [n, k] of unit rows x [n, d], k <= n, from their affinities to the labelled ones (y [n], -1 =
 * none): cosines of the rows, of their principal components, and of those whitened. Each affinity gets a
 * mixture of k Gaussians over its [n, labelled] matrix, without labels; a mixture of Bernoulli variables
 * over all their posteriors is the answer. Labels are used to name components alone.
 * Source: Das et al. 2020 (arXiv 1903.04552); affinities of vectors in place of VGG's. Cost: about 100
 * steps of 4 n labelled k. votes [n, WHET_GOGGLES_VOTES] or NULL: the class of each affinity's mixture, its
 * components named by the labels, too. */
WHET_CHECKED whet_status whet_i_goggles(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                        int64_t k, const int32_t *y, uint64_t seed, double *probs,
                                        int32_t *votes);

#endif
