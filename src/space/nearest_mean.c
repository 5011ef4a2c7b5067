/* SPDX-License-Identifier: Apache-2.0
 * Squared Frechet costs of an embedding without any distance between points:
 *
 *     F(y) = S |e_y|^2 - 2 <e_y, sum_k p_k e_k> + sum_k p_k |e_k|^2,
 *
 * so the best candidate is the one nearest to the mean of the observed vectors (unit too: its
 * vectors are scaled to length 1). O((k + N) dim) a row in place of O(k N), and no k x N table.
 * Vectors are taken from the centre of the observed ones, which leaves F alone and keeps the terms
 * small; products are f64. Where what is left is small against the terms, select.c asks for the
 * sum of p_k |e_y - e_k|^2 itself.
 * Legend: S mass of the row, e vectors, m sum p e. */
#include <float.h>

#include "space/lanes_i.h"
#include "space/observed_vectors.h"
#include "space/screen_i.h"

#include "tensor/tensor_i.h"

enum {
    PANEL = 256,           /* candidates at a time */
    KEEP_VALUES = 32 << 20 /* 256 MiB of candidate vectors in f64; else converted for each block */
};

typedef struct mean_plan {
    observed_vectors observed; /* centred */
    double *candidates;        /* [n_candidates, dim] from the same centre, or NULL */
    double *norm;              /* [n_candidates] squared norms */
    double largest_norm;
} mean_plan;

static void costs(const whet_frechet *f, frechet_block *b) {
    const mean_plan *p = f->state;
    const int64_t dim = f->space->embedding.dim, lanes = f->lanes;
    double *sum = b->scratch, *panel = sum + dim * lanes;
    /* The terms without y go where the noise will be. */
    double *rest = b->noise;
    for (int64_t g = 0; g < lanes; g += LANE_GROUP)
        f->lane->combine(f->k, p->observed.norm, NULL, b->weights + g, lanes, rest + g);
    whet_i_matmul_f64_serial(true, false, dim, lanes, f->k, p->observed.vector, dim, b->weights,
                             lanes, 0, sum, lanes);
    for (int64_t from = 0; from < f->n_costs; from += PANEL) {
        const int64_t n = f->n_costs - from < PANEL ? f->n_costs - from : PANEL;
        const double *rows = p->candidates ? p->candidates + from * dim : panel;
        if (!p->candidates)
            whet_i_embedding_rows(&f->space->embedding, f->candidates + from, n, p->observed.centre,
                                  panel);
        double *out = b->costs + from * lanes;
        whet_i_matmul_f64_serial(false, false, n, lanes, dim, rows, dim, sum, lanes, 0, out, lanes);
        for (int64_t c = 0; c < n; c++)
            for (int64_t i = 0; i < lanes; i++)
                out[c * lanes + i] =
                    p->norm[from + c] * b->mass[i] - 2 * out[c * lanes + i] + rest[i];
    }
    for (int64_t i = 0; i < lanes; i++)
        b->noise[i] = 64 * DBL_EPSILON * (rest[i] + p->largest_norm * b->mass[i]);
    for (int64_t g = 0; g < f->lanes; g += LANE_GROUP)
        f->lane->least(f->n_costs, b->costs + g, f->lanes, b->least + g);
}

static double exact(const whet_frechet *f, const frechet_block *b, int64_t lane, int64_t row) {
    double sum = 0;
    for (int64_t j = 0; j < f->k; j++) {
        const double w = b->probs[lane * f->k + j] * b->scale[lane];
        if (w == 0) continue;
        sum += w *
               whet_i_embedding_distance2(&f->space->embedding, f->candidates[row], f->observed[j]);
    }
    return sum;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_destroy(whet_ctx *ctx, void *state) {
    mean_plan *p = state;
    if (!p) return;
    whet_i_observed_vectors_free(ctx, &p->observed);
    whet_i_free(ctx, p->candidates);
    whet_i_free(ctx, p->norm);
    whet_i_free(ctx, p);
}

static whet_status take_candidates(whet_ctx *ctx, const whet_frechet *f, mean_plan *p) {
    int64_t values;
    WHET_TRY(whet_i_mul(ctx, f->n_candidates, f->space->embedding.dim, &values));
    WHET_TRY(whet_i_alloc(ctx, f->n_candidates, &p->norm));
    if (values <= KEEP_VALUES) WHET_TRY(whet_i_alloc(ctx, values, &p->candidates));
    WHET_TRY(whet_i_candidate_norms(ctx, f, &p->observed, p->candidates, p->norm));
    for (int64_t c = 0; c < f->n_candidates; c++)
        if (p->norm[c] > p->largest_norm) p->largest_norm = p->norm[c];
    return WHET_OK;
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    mean_plan *p = NULL;
    const int64_t dim = f->space->embedding.dim;
    WHET_TRY(whet_i_calloc(ctx, 1, &p));
    WHET_TRY_DONE(whet_i_observed_vectors_make(ctx, f, true, &p->observed));
    WHET_TRY_DONE(take_candidates(ctx, f, p));
    f->state = p;
    f->lanes = whet_i_frechet_lanes(f->n_candidates);
    f->n_weights = f->k;
    f->n_costs = f->n_candidates;
    f->n_scratch = dim * f->lanes + (p->candidates ? 0 : PANEL * dim);
    f->cost_point = f->candidates;
    p = NULL;
done:
    plan_destroy(ctx, p);
    return status;
}

bool whet_i_mean_serves(const whet_frechet *f) {
    return f->space->kind == SPACE_EMBEDDING && f->power == 2 &&
           f->space->embedding.measure <= MEASURE_UNIT;
}

const char *whet_i_mean_why(const whet_frechet *f) {
    (void)f;
    return "the metric is Euclidean: the mean is the candidate nearest to the mean vector";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double k = (double)f->k, dim = (double)f->space->embedding.dim,
                 candidates = (double)f->n_candidates;
    const int64_t lanes = whet_i_frechet_lanes(f->n_candidates);
    const bool kept = candidates * dim <= KEEP_VALUES;
    (void)ctx;
    *out = whet_i_block_sizes(
        f, 8 * (k * (dim + 1) + dim + candidates + (kept ? candidates * dim : 0)), lanes, k,
        candidates, dim * (double)lanes + (kept ? 0 : PANEL * dim));
    return WHET_OK;
}

const frechet_method whet_i_method_nearest_mean = {
    .name = "nearest-mean",
    .title = "nearest to the mean",
    .cost = "O((K + N) D)",
    .needs = "an embedding, euclidean or unit, and power 2",
    .serves = whet_i_mean_serves,
    .why = whet_i_mean_why,
    .sizes = sizes,
    .make = make,
    .costs = costs,
    .exact = exact,
    .destroy = plan_destroy};
