/* SPDX-License-Identifier: Apache-2.0
 * What modules above label share: probabilities, folds, calibration, the graph of neighbours and
 * linear systems on it, and the few-shot classifiers themselves.
 *
 * Legend: n rows of the pool, d features, k classes, b labelled rows. */
#ifndef WHET_LABEL_I_H
#define WHET_LABEL_I_H

#include "whet/label.h"

#include "core/core_i.h"

/* ---- probabilities (probabilities.c) --------------------------------------------------------- */

/* In place, stable; k >= 1. */
void whet_i_softmax(double *row, int64_t k);
/* Lowest index of the largest. */
int64_t whet_i_argmax(const double *row, int64_t k);
/* probs^(1/T) made to sum to 1, each taken as at least WHET_I_PROB_FLOOR. */
#define WHET_I_PROB_FLOOR 1e-6
void whet_i_temper(double *probs, int64_t n, int64_t k, double temperature);
/* Mean -ln of the true class's probability, floored; rows with y = -1 are skipped. */
double whet_i_log_loss(const double *probs, int64_t n, int64_t k, const int32_t *y);
/* How much of the probability to leave to classes that no label has touched: the share of labels
 * whose class occurs once (Good 1953), (singletons + .5) / (b + 1). */
double whet_i_unseen_mass(const int32_t *y, int64_t b, int64_t k, int64_t *counts);

/* ---- folds (folds.c) ------------------------------------------------------------------------- */

/* fold [b] in 0..folds-1: each class is dealt round over the folds, one class after the other in
 * random order, so that folds are equal in size to within one and in every class to within one.
 * y [b] in 0..k-1. O(b + k). */
WHET_CHECKED whet_status whet_i_stratified_folds(whet_ctx *ctx, const int32_t *y, int64_t b,
                                                 int64_t k, int32_t folds, uint64_t seed,
                                                 uint64_t stream, int32_t *fold);

/* ---- calibration (temperature.c) ------------------------------------------------------------- */

/* The temperature in [.08, 8] with the least log loss of probs [n, k] on y [n] (each 0..k-1), and
 * that loss. Convex in 1/T: safeguarded Newton. O(n k) a step. Source: Guo et al. 2017. */
WHET_CHECKED whet_status whet_i_temperature_fit(whet_ctx *ctx, const double *probs, int64_t n,
                                                int64_t k, const int32_t *y, double *temperature,
                                                double *log_loss);

#endif
