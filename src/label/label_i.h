/* SPDX-License-Identifier: Apache-2.0
 * What modules above label share: probabilities, folds, calibration, the graph of neighbours and
 * linear systems on it, and the few-shot classifiers themselves.
 *
 * Legend: n rows of the pool, d features, k classes, b labelled rows. */
#ifndef WHET_LABEL_I_H
#define WHET_LABEL_I_H

#include "whet/label.h"

#include "core/core_i.h"
#include "io/io_i.h"
#include "label/image_features.h"

/* ---- probabilities (probabilities.c) --------------------------------------------------------- */

void whet_i_softmax(double *row, int64_t k); /* in place, stable; k >= 1 */
/* Scores [n, k], k >= 1, become exp(score - top), top [n] the rows' largest; sum [n] of those. */
void whet_i_exp_rows(double *rows, int64_t n, int64_t k, double *top, double *sum);
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

/* ---- principal components (principal_components.c) --------------------------------------------- */

typedef struct whet_i_components {
    int64_t d, dim;
    double *axes;      /* [d, dim] columns of unit length, or zero beyond the rank */
    double *at_mean;   /* [dim] what the mean has of each */
    double *deviation; /* [dim] falling */
} whet_i_components;

/* As whet_i_pca, of x [n, d]; dim <= min(n, d). */
WHET_CHECKED whet_status whet_i_components_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                               int64_t dim, whet_i_components *out);
void whet_i_components_free(whet_ctx *ctx, whet_i_components *components);
/* out [n, dim] = (x - mean) axes. */
WHET_CHECKED whet_status whet_i_components_apply(whet_ctx *ctx, const whet_i_components *components,
                                                 const float *x, int64_t n, float *out);
/* The same of rows in f64, which may be far from 0. */
WHET_CHECKED whet_status whet_i_components_fit_f64(whet_ctx *ctx, const double *x, int64_t n,
                                                   int64_t d, int64_t dim, whet_i_components *out);
WHET_CHECKED whet_status whet_i_components_apply_f64(whet_ctx *ctx,
                                                     const whet_i_components *components,
                                                     const double *x, int64_t n, float *out);

/* ---- features from files (read_features.c) ----------------------------------------------------- */

/* An array [n, d] of finite numbers as f32, in which methods work. Columns that f32 rounds by more than a
 * thousandth of their standard deviation are warned of by name; where f32 tells rows apart by no
 * column, as the file does, they are refused (DATA). Errors: as whet_array_read_as. */
WHET_CHECKED whet_status whet_i_features_read(whet_ctx *ctx, const char *spec, whet_tensor *out);
/* The same array without narrowing: f32 where that holds its type exactly, else f64. */
WHET_CHECKED whet_status whet_i_features_read_wide(whet_ctx *ctx, const char *spec,
                                                   whet_tensor *out);

/* ---- labels of rows from files (class_labels.c) ------------------------------------------------ */

/* A table with row and label, or with a label for each of n rows and empty cells, and the classes: of a
 * list, or the labels' own, sorted. path may be NULL when there is a list: no row has a label then.
 * labels [n], -1 = none; both are the caller's. Errors: as reading; SHAPE; DATA with line. */
WHET_CHECKED whet_status whet_i_row_labels_read(whet_ctx *ctx, const char *path,
                                                const char *classes_path, int64_t n,
                                                whet_names **classes, int32_t **labels);

/* ---- folds (folds.c) ------------------------------------------------------------------------- */

/* Every fold of every repeat as a split of the labelled rows 0..b-1 into train and held. A case is a
 * labelled row held out in one repeat: case = repeat * b + row; each case is held in one split. */
typedef struct whet_i_split {
    int64_t repeat, n_train, n_held;
    const int64_t *train, *held; /* ascending */
} whet_i_split;
typedef struct whet_i_splits {
    int64_t b, repeats, folds, n; /* n = repeats * folds */
    whet_i_split *split;          /* [n] */
    int32_t *fold;                /* [repeats, b] */
    int64_t *members;             /* what train and held point into */
} whet_i_splits;
/* Folds as whet_i_stratified_folds makes them; alike NULL or [b]. folds is lowered to the number of rows that
 * differ; one gives no splits. */
WHET_CHECKED whet_status whet_i_splits_make(whet_ctx *ctx, const int32_t *y, const int64_t *alike,
                                            int64_t b, int64_t k, int32_t repeats, int32_t folds,
                                            uint64_t seed, whet_i_splits *out);
void whet_i_splits_free(whet_ctx *ctx, whet_i_splits *splits);

/* ---- calibration (temperature.c) ------------------------------------------------------------- */

/* The temperature in [.08, 8] with the least log loss of probs [n, k] on y [n] (each 0..k-1), and
 * that loss. Convex in 1/T: safeguarded Newton. O(n k) a step. Source: Guo et al. 2017. */
WHET_CHECKED whet_status whet_i_temperature_fit(whet_ctx *ctx, const double *probs, int64_t n,
                                                int64_t k, const int32_t *y, double *temperature,
                                                double *log_loss);

/* ---- neighbours (product_neighbours.c, knn_graph.c) ------------------------------------------ */

/* The m rows of pool [n_pool, d] with the largest product with each row of queries [n, d], in
 * falling order, equal ones by lowest index: index and similarity [n, m]. same: queries are the
 * pool, and a row is not its own neighbour (then m <= n_pool - 1, else m <= n_pool).
 * Exact up to the rounding of products: in f32, or, of pools of 16384 rows and more where the
 * processor multiplies bfloat16, in 64 bits (screened_neighbours.c, 2 n_pool d bytes more).
 * 2 n n_pool d in blocks, one of which is held by each thread. Errors: ARG, NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_nearest(whet_ctx *ctx, const float *queries, int64_t n,
                                        const float *pool, int64_t n_pool, int64_t d, int64_t m,
                                        bool same, int64_t *index, float *similarity);

/* The m other rows nearest to each row of x [n, d], m < n, the nearest first, equal ones by lowest
 * index: index [n, m]. 2 n^2 d in f64; 8 n d bytes, and 1536 (m + 768) a thread.
 * (euclidean_neighbours.c) Errors: ARG, NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_nearest_euclidean(whet_ctx *ctx, const float *x, int64_t n,
                                                  int64_t d, int64_t m, int64_t *index);

/* Symmetric weights w_ij between rows i, j of which at least one is among the other's m nearest; rows are
 * lists of neighbours in ascending order. */
typedef struct whet_i_graph {
    int64_t n;
    int64_t *start; /* [n + 1] */
    int64_t *to;    /* [start[n]] */
    double *weight; /* [start[n]] */
    double *degree; /* [n] sums of weights; 0 for a row without neighbours */
    double mean_degree;
} whet_i_graph;

#define WHET_I_NEIGHBOURS 10
#define WHET_I_LEAST_WEIGHT 1e-3

/* x [n, d] of unit rows; the nearest by cosine, w_ij = max(cos, 1e-3). All other rows where m is more. */
WHET_CHECKED whet_status whet_i_graph_build(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                            int64_t m, whet_i_graph *out);
/* x [n, d] of any rows; the nearest by distance, w_ij = 1. */
WHET_CHECKED whet_status whet_i_graph_build_euclidean(whet_ctx *ctx, const float *x, int64_t n,
                                                      int64_t d, int64_t m, whet_i_graph *out);
void whet_i_graph_free(whet_ctx *ctx, whet_i_graph *graph);

/* ---- linear systems on the graph (conjugate_gradients.c) ------------------------------------- */

/* A = diag(diagonal) - coupling W' on the rows that are not fixed (fixed NULL: on all); W' is the
 * graph's weights or `weight` in their place. A must be positive definite there. */
typedef struct whet_i_system {
    const whet_i_graph *graph;
    const double *diagonal; /* [n], > 0 where not fixed */
    const double *weight;   /* [start[n]], or NULL: the graph's own */
    double coupling;
    const bool *fixed; /* [n] or NULL */
} whet_i_system;

/* b [n, m] becomes X with A X = B, each column to |A x - b| <= tolerance |b|; fixed rows are left
 * as they are and not looked at. Jacobi preconditioner; columns are independent of each other, bit
 * for bit. Cost a step: nonzeros x m. Errors: NUMERIC, NOMEM, CANCELLED.
 * Source: Hestenes & Stiefel 1952. */
#define WHET_I_CG_TOLERANCE 1e-8
WHET_CHECKED whet_status whet_i_conjugate_gradients(whet_ctx *ctx, const whet_i_system *system,
                                                    int64_t m, double tolerance, double *b);

/* ---- minimising a smooth function (lbfgs.c) -------------------------------------------------- */

typedef struct whet_i_objective {
    int64_t size;
    /* The value at theta [size]; its gradient [size] is written. */
    double (*evaluate)(const void *arg, const double *theta, double *gradient);
    const void *arg;
    /* out [size] = an approximate inverse of the Hessian, positive definite, times v; NULL: `start`. */
    void (*precondition)(const void *arg, const double *v, double *out);
    double longest; /* of a step, in the Euclidean norm; 0 = any */
} whet_i_objective;

/* From theta [size] until no component of the gradient is over tolerance or no step helps; start [size]:
 * an inverse of the Hessian's diagonal, roughly. On the calling thread; returns the steps taken. */
int64_t whet_i_lbfgs_workspace(int64_t size);
int64_t whet_i_lbfgs(const whet_i_objective *objective, const double *start, double tolerance,
                     int64_t most_steps, double *theta, double *workspace);
/* sum a_i b_i in a fixed order. */
double whet_i_dot(const double *a, const double *b, int64_t n);

/* ---- losses that know the metric of a label space (cost_rows.c) ------------------------------ */

/* A head of `scored` classes is trained for labels among k classes whose squared distances are
 * known. Expected cost: the head scores all k; L = sum_c softmax(row)_c cost[y, c]. Frechet: the head
 * gives p = softmax(row) over classes column[0..scored-1], each of the k gets the score
 * -sum_m p_m cost[column_m, c], and L is the cross-entropy of those scores (Loki, exact loss). */
typedef struct whet_i_cost {
    whet_head_loss loss;
    int64_t k, scored;
    const double *cost;    /* [k, k] squared distances over their mean, symmetric */
    const int32_t *column; /* [scored] Frechet: class of each score, ascending */
} whet_i_cost;

/* The loss of a row of scores [scored] with label y in 0..k-1; the row becomes the gradient.
 * room: whet_i_cost_room doubles. O(k) and O(k scored). */
int64_t whet_i_cost_room(const whet_i_cost *cost);
double whet_i_cost_row(const whet_i_cost *cost, double *row, int32_t y, double *room);

/* ---- rows in coordinates of their own span (row_span.c) --------------------------------------- */

/* x = z back^T, columns of z orthogonal, of back orthonormal. The optimum of a regression with an L2 penalty
 * lies in the span of its rows, so that a fit in r <= min(b, d) coordinates is the fit in d, to rounding; one
 * decomposition serves every fold of the rows. r is the rank, 0 when all rows are 0. */
typedef struct whet_i_span {
    int64_t b, d, r;
    double *z;    /* [b, r] */
    double *back; /* [d, r] */
} whet_i_span;

/* rows [b] of x [*, d]. Errors: NOMEM, NUMERIC, CANCELLED. Cost b d min(b, d) + 9 min(b, d)^3. */
WHET_CHECKED whet_status whet_i_span_build(whet_ctx *ctx, const float *x, const int64_t *rows,
                                           int64_t b, int64_t d, whet_i_span *out);
/* Of all rows of x [b, d]. */
WHET_CHECKED whet_status whet_i_span_of(whet_ctx *ctx, const double *x, int64_t b, int64_t d,
                                        whet_i_span *out);
void whet_i_span_free(whet_ctx *ctx, whet_i_span *span);

/* The same of rows with more columns than there are rows, when many such spans are held: back = x^T mix. */
typedef struct whet_i_row_span {
    int64_t b, r;
    double *z, *mix; /* [b, r] */
} whet_i_row_span;
/* x [b, d]. Cost b^2 d + 9 b^3. */
WHET_CHECKED whet_status whet_i_row_span_build(whet_ctx *ctx, const double *x, int64_t b, int64_t d,
                                               whet_i_row_span *out);
void whet_i_row_span_free(whet_ctx *ctx, whet_i_row_span *span);

/* ---- multinomial logistic regression (logistic.c) -------------------------------------------- */

/* Minimises (1/b) [ sum_i -ln p(y_i | z_i) + |W|^2 / (2 C) ], p = softmax(z W + bias), the bias
 * free of penalty: scikit-learn's multinomial LogisticRegression(C).
 * With a cost, its loss takes the place of -ln p: y are then classes of the cost, k the scored ones,
 * and the optimum is a local one.
 * z [b, r]; y [b] in 0..k-1, each class present; theta [r + 1, k] holds W above the bias: the start
 * on entry (warm starts along rising C are what makes a grid cheap), the optimum on return.
 * Stops when no component of the gradient is over tolerance. L-BFGS (Liu & Nocedal 1989) with a
 * diagonal start. workspace: whet_i_logistic_workspace doubles. On the calling thread, for use in
 * parallel loops; returns the steps taken. Cost 4 b r k a step. */
int64_t whet_i_logistic_workspace(int64_t b, int64_t r, int64_t k, const whet_i_cost *cost);
int64_t whet_i_logistic_solve(const double *z, int64_t b, int64_t r, const int32_t *y, int64_t k,
                              double c, const whet_i_cost *cost, double tolerance,
                              int64_t most_steps, double *theta, double *workspace);
/* The start: W = 0, bias the log shares of the classes (the optimum for C -> 0). */
void whet_i_logistic_start(int64_t b, int64_t r, const int32_t *y, int64_t k, double *theta);

/* Second moments of rows (z_i, 1) as some hundred of them show them: orthonormal axes, the mean square along
 * each, and along any other direction. (row_sketch.c) */
typedef struct whet_i_sketch {
    int64_t d, r;
    double *axis;   /* [d + 1, r] */
    double *square; /* [r] */
    double rest;
} whet_i_sketch;
/* Of z [b, d], b >= 1; nothing (axis NULL) of few columns, where it would save no time.
 * Errors: NOMEM, NUMERIC, CANCELLED. Cost some 1e5 d + b d. */
WHET_CHECKED whet_status whet_i_sketch_build(whet_ctx *ctx, const double *z, int64_t b, int64_t d,
                                             whet_i_sketch *out);
void whet_i_sketch_free(whet_ctx *ctx, whet_i_sketch *sketch);

/* The same on rows z [b, r] with targets q [b, k], rows of which sum to 1, and weights [b] >= 0, not
 * all 0: minimises (1 / sum w) [ sum_i w_i sum_c -q_ic ln p_ic + |W|^2 / (2 C) ] from the shares of
 * the classes; theta [r + 1, k] is written. sketch: of z, or of rows like them; it saves most of the
 * steps where columns are many. NULL, or nothing in it: a diagonal start. (soft_logistic.c) */
int64_t whet_i_soft_logistic_workspace(int64_t b, int64_t r, int64_t k,
                                       const whet_i_sketch *sketch);
int64_t whet_i_soft_logistic_solve(const double *z, int64_t b, int64_t r, const double *q,
                                   const double *weight, int64_t k, double c,
                                   const whet_i_sketch *sketch, double tolerance,
                                   int64_t most_steps, double *theta, double *workspace);

/* Classes that occur in y [b] in ascending order, and y in their numbers: classes [k] is written up
 * to *seen, dense [b]. */
void whet_i_dense_classes(const int32_t *y, int64_t b, int64_t k, int32_t *classes, int64_t *seen,
                          int32_t *dense);
/* p over the seen classes becomes a row over all k: times 1 - unseen, the rest evenly on the
 * classes not seen; as it is when all are seen. row may be p's memory only when seen = k. */
void whet_i_share_out(const double *p, const int32_t *classes, int64_t seen, int64_t k,
                      double unseen, double *row);

/* A fitted linear classifier over features. */
typedef struct whet_i_linear_model {
    int64_t d, k, seen;
    int32_t *classes; /* [seen] */
    double *weight;   /* [d, seen] */
    double *bias;     /* [seen] */
    double unseen;    /* probability left to unseen classes together */
} whet_i_linear_model;

void whet_i_linear_model_free(whet_ctx *ctx, whet_i_linear_model *model);
/* Logistic regression on rows [b] of x [*, d] with classes y [b]; unseen by whet_i_unseen_mass. */
WHET_CHECKED whet_status whet_i_logistic_fit(whet_ctx *ctx, const float *x, const int64_t *rows,
                                             const int32_t *y, int64_t b, int64_t d, int64_t k,
                                             double c, whet_i_linear_model *out);
/* probs [n, k] of x [n, d]. */
WHET_CHECKED whet_status whet_i_linear_model_predict(whet_ctx *ctx,
                                                     const whet_i_linear_model *model,
                                                     const float *x, int64_t n, double *probs);
/* A head trained for a cost (its `scored` and `column` are not looked at) on rows of the span with
 * classes y [b]; the penalty of whet_i_penalties with the least cross-fitted loss. Expected cost: all
 * k classes are scored, and *temperature calibrates them on the held-out rows (case_y [cases]);
 * Frechet: the classes among y, the others get no probability, *temperature 1.
 * Cost: penalties x splits fits. Errors: NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_cost_head_fit(whet_ctx *ctx, const whet_i_span *span,
                                              const int32_t *y, const whet_i_splits *splits,
                                              const int32_t *case_y, const whet_i_cost *cost,
                                              whet_i_linear_model *out, double *temperature);
/* scores [n, m] = x [n, d] w [d, m], summed in f64. */
WHET_CHECKED whet_status whet_i_scores(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                       const double *w, int64_t m, double *scores);
WHET_CHECKED whet_status whet_i_scores_f64(whet_ctx *ctx, const double *x, int64_t n, int64_t d,
                                           const double *w, int64_t m, double *scores);

/* ---- logistic regressions along a grid of penalties, cross-fitted (logistic_path.c) ---------- */

#define WHET_I_PENALTIES 9
extern const double whet_i_penalties[WHET_I_PENALTIES]; /* .1, .3, ... 1000 */

/* All splits x penalties; probs [WHET_I_PENALTIES, cases, k]. theta of split s and penalty c is at
 * theta + (s * WHET_I_PENALTIES + c) * stride, [r + 1, seen of the split]. */
typedef struct whet_i_path {
    int64_t stride;
    double *theta, *probs;
    int32_t *classes; /* [splits, k] dense to class */
    int64_t *seen;    /* [splits] */
    double *unseen;   /* [splits] */
} whet_i_path;
WHET_CHECKED whet_status whet_i_path_fit(whet_ctx *ctx, const whet_i_span *span, const int32_t *y,
                                         int64_t k, const whet_i_splits *splits, whet_i_path *out);
void whet_i_path_free(whet_ctx *ctx, whet_i_path *path);

/* ---- prototypes and class names (prototypes.c) ----------------------------------------------- */

#define WHET_I_COSINE_TEMPERATURE .05

/* weight [d, seen] = p_c / (|p_c| temperature), p_c = kappa e_c + sum of the rows of class c:
 * x [b, d] labelled rows, of which rows [n] count; y [b]; names [k, d] unit rows or NULL (kappa 0);
 * kappa infinity: the names alone. classes [seen]: which columns to make. Serial, cannot fail.
 * Source: nearest class mean, Tibshirani et al. 2002; Snell et al. 2017 with names as a prior. */
void whet_i_prototypes(const double *x, const int64_t *rows, int64_t n, const int32_t *y,
                       const float *names, int64_t d, double kappa, double temperature,
                       const int32_t *classes, int64_t seen, double *weight);

/* ---- smoothing over the graph (graph_smoothing.c) -------------------------------------------- */

/* Columns l of (D - W + mu dbar I)^-1 for the given rows: green [n, b]. Source: Zhu et al. 2003 with
 * a prior; Delalleau et al. 2005 for rows outside of the graph. */
WHET_CHECKED whet_status whet_i_green_smoothing(whet_ctx *ctx, const whet_i_graph *graph, double mu,
                                                const int64_t *rows, int64_t b, double *green);
/* Minimises sum_{i<j} w_ij |F_i - F_j|^2 + mu dbar sum_i |F_i - P_i|^2 with F_i = onehot(y_i) where
 * y_i >= 0: f [n, k] holds P on entry and F on return. */
WHET_CHECKED whet_status whet_i_smooth(whet_ctx *ctx, const whet_i_graph *graph, double mu,
                                       const int32_t *y, int64_t k, double *f);
double whet_i_mean_degree(const whet_i_graph *graph); /* dbar; 1 for a graph without edges */

/* ---- local and global consistency (label_spreading.c) ---------------------------------------- */

/* Columns of (I - alpha S)^-1, S = D^-1/2 W D^-1/2: green [n, b]. Source: Zhou et al. 2004. */
WHET_CHECKED whet_status whet_i_green_spreading(whet_ctx *ctx, const whet_i_graph *graph,
                                                double alpha, const int64_t *rows, int64_t b,
                                                double *green);
/* f [n, k] = (I - alpha S)^-1 Y for y [n], -1 = none. */
WHET_CHECKED whet_status whet_i_spread(whet_ctx *ctx, const whet_i_graph *graph, double alpha,
                                       const int32_t *y, int64_t k, double *f);
/* A row of F over the seen classes becomes probabilities: shares, .02 of them spread evenly. */
void whet_i_spread_posterior(double *row, int64_t seen);

/* ---- harmonic functions (label_propagation.c) ------------------------------------------------ */

/* f [n, k]: F = onehot(y) on labels, its neighbours' mean elsewhere; rows that no label reaches get the
 * shares of the classes among the labels, and are counted. Source: Zhu, Ghahramani & Lafferty 2003. */
WHET_CHECKED whet_status whet_i_harmonic(whet_ctx *ctx, const whet_i_graph *graph, const int32_t *y,
                                         int64_t k, double *f, int64_t *unreached);

/* ---- the graph of all rows (dense_graph.c) --------------------------------------------------- */

/* As whet_i_harmonic and whet_i_green_spreading, with weights exp(-gamma |x_i - x_j|^2) between all rows
 * x [n, d]: each number to some n roundings of its own size, whatever gamma is. Weights below 5e-324 are 0: a
 * row that has no others is reached by none, and in green keeps its own 1. Cost n^2 d + n^3 / 3, memory
 * 8 n^2. Errors: NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_dense_harmonic(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                               double gamma, const int32_t *y, int64_t k, double *f,
                                               int64_t *unreached);
WHET_CHECKED whet_status whet_i_dense_green(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                            double gamma, double alpha, const int64_t *rows,
                                            int64_t b, double *green);

/* ---- systems of a graph with losses (state_reduction.c) --------------------------------------- */

/* x [n, m], R on entry, becomes the solution of (diag(sum_j w_ij + loss_i) - W) X = R for w [n, n] symmetric
 * without a diagonal (destroyed), loss [n], all >= 0: without a subtraction, so each number is right to some
 * n roundings. A part of the graph without any loss gets 1 in column sink (if >= 0), 0 in the others. Cost
 * n^3 / 3 + n^2 m, memory 64 n + n m beside. Errors: NOMEM, CANCELLED. Source: Grassmann, Taksar & Heyman
 * 1985. */
WHET_CHECKED whet_status whet_i_reduce_states(whet_ctx *ctx, int64_t n, double *w,
                                              const double *loss, int64_t m, int64_t sink,
                                              double *x);

/* ---- which form of features suits the labels (few_rows.c) ------------------------------------- */

/* Labelled rows, 300 of them at most, evenly spaced. */
typedef struct whet_i_few_rows {
    int64_t b, k;
    int64_t *row;   /* [b] of the rows they were taken from, ascending */
    float *x;       /* [b, d] as they were */
    int32_t *y;     /* [b] */
    int64_t *order; /* 0 .. b - 1 */
    whet_i_splits splits;
} whet_i_few_rows;
/* Whether holding labels out can tell anything: ten of two classes or more, one of them twice. Pure. */
bool whet_i_few_rows_tell(const int32_t *labels, int64_t n);
WHET_CHECKED whet_status whet_i_few_rows_take(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                              const int32_t *labels, int64_t k,
                                              whet_i_few_rows *out);
void whet_i_few_rows_free(whet_ctx *ctx, whet_i_few_rows *few);
/* The least log loss over penalties, cross-fitted in five folds, of logistic regressions on z [b, d] in the
 * place of x. Errors: NOMEM, NUMERIC, CANCELLED. */
WHET_CHECKED whet_status whet_i_few_rows_loss(whet_ctx *ctx, const whet_i_few_rows *few,
                                              const float *z, int64_t d, double *least);

/* ---- rows of any scale to unit rows (prepare.c) ---------------------------------------------- */

/* Rows of unit length (or zero) are taken as they are. With class features, others are divided by
 * their length. Otherwise columns are standardised, divided by sqrt(d), a column of ones is
 * appended and rows are divided by their length: nothing is lost (the length of a row becomes its
 * angle to the last axis), and no column outweighs another by its unit. */
typedef enum whet_i_preparation {
    WHET_I_AS_IS = 0,
    WHET_I_UNIT = 1,
    WHET_I_STANDARD = 2
} whet_i_preparation;
typedef struct whet_i_prepare {
    whet_i_preparation kind;
    int64_t d_in, d;
    double *mean, *scale; /* [d_in] for WHET_I_STANDARD, else NULL */
} whet_i_prepare;
/* Errors: DATA naming the row of a NaN or infinity. */
WHET_CHECKED whet_status whet_i_check_finite(whet_ctx *ctx, const char *what, const float *x,
                                             int64_t n, int64_t d);
WHET_CHECKED whet_status whet_i_prepare_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                            bool with_classes, whet_i_prepare *out);
/* The same, but where columns are standardised, all by one factor instead when that gives logistic
 * regressions on labels [n] (-1 = none; NULL: no choice) a lower cross-fitted log loss: columns of one unit,
 * as pixels and principal components are. Cost: two few-shot fits on 300 labels at most.
 * (prepare_choose.c) */
WHET_CHECKED whet_status whet_i_prepare_choose(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                               bool with_classes, const int32_t *labels, int64_t k,
                                               whet_i_prepare *out);
/* Every row of x [n, d] equals the first. */
bool whet_i_rows_are_alike(const float *x, int64_t n, int64_t d);
/* Says so of several rows: once a job, by who has them first. */
void whet_i_warn_of_alike_rows(whet_ctx *ctx, const float *x, int64_t n, int64_t d);
void whet_i_prepare_free(whet_ctx *ctx, whet_i_prepare *prepare);
/* out [n, prepare->d] */
void whet_i_prepare_apply(const whet_i_prepare *prepare, const float *x, int64_t n, float *out);

/* ---- what a saved classifier keeps of TF-IDF (tfidf.c) ---------------------------------------- */

typedef struct whet_i_tfidf_arrays {
    int64_t terms, dim;
    const double *idf;       /* [terms] */
    const float *projection; /* [terms, dim] */
} whet_i_tfidf_arrays;

/* Views into the object. */
whet_i_tfidf_arrays whet_i_tfidf_view(const whet_tfidf *tfidf);
/* The terms, each ended by a line feed (no term holds one), appended to `out`. */
WHET_CHECKED whet_status whet_i_tfidf_write_terms(whet_ctx *ctx, const whet_tfidf *tfidf,
                                                  whet_i_buf *out);
/* An object from saved arrays, which are copied and not trusted: as many distinct terms as said,
 * finite numbers. Errors: FORMAT, NOMEM. */
WHET_CHECKED whet_status whet_i_tfidf_restore(whet_ctx *ctx, const char *terms, int64_t len,
                                              const whet_i_tfidf_arrays *arrays, whet_tfidf **out);
/* The same to and from tensors tfidf.terms, tfidf.idf, tfidf.projection. What is put are views, the terms in
 * *terms: both live until the store is written. dim: columns it must have, -1 = any.
 * Errors: NOMEM; of the second as whet_i_source_get and restoring. (tfidf_arrays.c) */
WHET_CHECKED whet_status whet_i_tfidf_put(whet_ctx *ctx, const whet_tfidf *tfidf, whet_i_buf *terms,
                                          whet_i_store *store);
WHET_CHECKED whet_status whet_i_tfidf_get(whet_ctx *ctx, const whet_i_source *source, int64_t dim,
                                          whet_tfidf **out);

/* ---- values in order (sorted_values.c) ------------------------------------------------------------- */

typedef struct whet_i_sorted_value {
    float value;
    int32_t of; /* what it belongs to: a row, a class */
} whet_i_sorted_value;
/* By value, rising; the order of equal values is not told. For some thousand values; cannot fail. */
void whet_i_sort_values(whet_i_sorted_value *sorted, int64_t n);

/* ---- forests of randomised trees (forest.c) ------------------------------------------------------ */

typedef enum whet_i_forest_kind {
    WHET_I_FOREST_BAGGED = 0, /* rows drawn with replacement, best thresholds: Breiman 2001 */
    WHET_I_FOREST_EXTRA       /* every row, random thresholds: Geurts, Ernst & Wehenkel 2006 */
} whet_i_forest_kind;

/* Rows to grow on: x [n, d], y [n] in 0..outs-1. */
typedef struct whet_i_forest_rows {
    const float *x;
    const int32_t *y;
    int64_t n, d, outs;
} whet_i_forest_rows;

/* A tree in memory that is lent, for `size` = whet_i_forest_tree_size(n) rows. Nodes lie in preorder: who
 * answers yes (at most `at_most`) goes on at the next one. */
typedef struct whet_i_forest_tree {
    int32_t *input; /* [2 size - 1] column; below 0: a leaf of -input shares */
    int32_t *next;  /* [2 size - 1] the node of no; the leaf's first share */
    float *at_most; /* [2 size - 1] */
    int32_t *out;   /* [size] of a share */
    float *share;   /* [size] rows of it in the leaf over (all rows in the leaf + 1) */
    int64_t nodes, shares;
} whet_i_forest_tree;
int64_t whet_i_forest_tree_size(int64_t n);
int64_t whet_i_forest_room(int64_t n, int64_t d, int64_t outs); /* bytes, aligned to 8 */
/* Splits by the Gini index on sqrt(d) columns drawn anew at each node, until leaves are pure; a tree
 * sees at most 5,000 rows, drawn. Serial, cannot fail. O(sqrt(d) n log^2 n) for the usual tree. */
void whet_i_forest_grow(const whet_i_forest_rows *rows, whet_i_forest_kind kind, whet_i_rng *rng,
                        void *room, whet_i_forest_tree *tree);
/* Adds the shares of the leaf that row x comes to to p [outs]; what is left to 1 is the prior's: a leaf is
 * smoothed by one row of the prior (Provost & Domingos 2003). */
void whet_i_forest_add(const whet_i_forest_tree *tree, const float *x, double *p);

/* ---- a fitted map to features in a file (feature_map.c, feature_map_file.c) --------------------- */

/* What whet_feature_files fits, or the weights that it takes. Read-only: may be shared. */
typedef struct whet_i_feature_map whet_i_feature_map;
/* A file of docs/formats/features.md, which is not trusted: its numbers have the fingerprint that it says,
 * arrays the shapes that belong together. Errors: IO, FORMAT, SHAPE, DATA, UNSUPPORTED, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_feature_map_load(whet_ctx *ctx, const char *path,
                                                 whet_i_feature_map **out);
void whet_i_feature_map_destroy(whet_ctx *ctx, whet_i_feature_map *map);
/* Written whole or not at all; a loaded map's file has the same bytes again. Errors: IO, EXISTS, NOMEM. */
WHET_CHECKED whet_status whet_i_feature_map_save(whet_ctx *ctx, const whet_i_feature_map *map,
                                                 const char *path, bool force);
/* Of a loaded map, in 16 hexadecimal digits; returns out. */
const char *whet_i_feature_map_fingerprint(const whet_i_feature_map *map, char out[17]);
/* out f32 [n, columns] of the array or the images in a file, with the bits that the fit gave or would have
 * given. Errors: as reading; ARG (a map of texts), SHAPE, NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_feature_map_read(whet_ctx *ctx, const whet_i_feature_map *map,
                                                 const char *path, whet_tensor *out);

/* whet_wilson of hits in part (metrics.c). */
void whet_i_wilson(double hits, int64_t n, double *low, double *high);

#endif
