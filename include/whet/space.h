/* SPDX-License-Identifier: Apache-2.0
 * space: label spaces, the metrics on them, and prediction by the Frechet mean in place of argmax
 * (Loki, "Geometry-Aware Adaptation for Pretrained Models", NeurIPS 2023, arXiv 2307.12226):
 *     y* = argmin over candidates y of F(y) = sum_k p_k d(y, k)^q,  q = 2 (default) or 1. */
#ifndef WHET_SPACE_H
#define WHET_SPACE_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* N named points with a metric. Read-only once opened: may be shared. */
typedef struct whet_space whet_space;

/* SPACE: tree:FILE, matrix:FILE.npy[,names=FILE], embedding:FILE.npy[,metric=euclidean|cosine]
 * [,names=FILE], path:N, discrete, discrete:N, (graph:, grid: later: WHET_ERR_UNSUPPORTED).
 * discrete without a count needs `classes` (its points are those classes), else classes may be
 * NULL. Errors: ARG (unknown kind), IO, FORMAT, DATA (not connected, not symmetric, negative
 * length). */
WHET_API WHET_CHECKED whet_status whet_space_open(whet_ctx *ctx, const char *spec,
                                                  const whet_names *classes, whet_space **out);
WHET_API void whet_space_destroy(whet_ctx *ctx, whet_space *space);
WHET_API int64_t whet_space_size(const whet_space *space);
WHET_API const whet_names *whet_space_names(const whet_space *space);
/* d(a, b) >= 0 between points. Cost: O(1) tables, O(depth) trees, O(dim) embeddings. */
WHET_API double whet_space_distance(const whet_space *space, int64_t a, int64_t b);

typedef enum whet_candidates {
    WHET_CANDIDATES_ALL = 0,  /* every point */
    WHET_CANDIDATES_OBSERVED, /* the K observed classes */
    WHET_CANDIDATES_LEAVES,   /* trees: nodes of degree 1, without the root; else every point */
    WHET_CANDIDATES_LIST      /* candidate_list */
} whet_candidates;

typedef struct whet_frechet_opts {
    size_t struct_size;
    whet_candidates candidates;
    const int64_t *candidate_list; /* point indices, distinct; with WHET_CANDIDATES_LIST */
    int64_t n_candidates;
    int32_t power; /* 2 (default) or 1 */
    int32_t top;   /* how many best candidates to give per row, 1.. (default 1) */
} whet_frechet_opts;
#define WHET_FRECHET_OPTS_INIT \
    { sizeof(whet_frechet_opts), WHET_CANDIDATES_ALL, NULL, 0, 2, 1 }

/* For each row of probs, the candidates of least cost.
 * observed  [k]       point index of each column, distinct
 * probs     [rows, k] f64, >= 0, finite, each row's sum > 0 (scale is irrelevant)
 * best      [rows, top] point indices by increasing cost, ties (relative 1e-9) by lowest index
 * cost      [rows, top] F / sum of the row                      (may be NULL)
 * ties      [rows]    how many candidates share the least cost  (may be NULL)
 * margin    [rows]    next distinct cost minus the least, same scale; infinity when all tie (NULL
 * ok) Errors: ARG, DATA (row with NaN, a negative or no mass, with its index), NOMEM, CANCELLED.
 * Cost per row: trees O(N), Euclidean embeddings O((k + N) dim), tables O(k N). Deterministic. */
WHET_API WHET_CHECKED whet_status whet_frechet_predict(whet_ctx *ctx, const whet_space *space,
                                                       const int64_t *observed, int64_t k,
                                                       const double *probs, int64_t rows,
                                                       const whet_frechet_opts *opts, int64_t *best,
                                                       double *cost, int32_t *ties, double *margin);

#ifdef __cplusplus
}
#endif
#endif
