/* SPDX-License-Identifier: Apache-2.0
 * The candidates nearest to the mean of the observed vectors, screened in f32 (screen.c):
 *
 *     F(y) = S |e_y|^2 - 2 <e_y, m> + R,   m = sum_k p_k e_k, R = sum_k p_k |e_k|^2,
 *
 * <e_y, m> a product in f32 of the vectors as they lie in the space (no copy when they are f32), the rest
 * in f64. Sums of n products of vectors a, b are wrong by at most error(n) |a| |b|: where that hides the
 * least, as far from the origin, rows are done again in f64, and there, where F cancels, by the sum of
 * p_k |e_y - e_k|^2. Rows are taken at mass 1.
 * Legend: S mass, e vectors (unit: times their scale), D dimensions. */
#include <float.h>
#include <math.h>

#include "space/observed_vectors.h"
#include "space/screen_i.h"

#include "tensor/tensor_i.h"

typedef struct mean_plan {
    const float *vectors; /* [N, dim] of all points: the space's, or a copy */
    float *copy;
    observed_vectors observed;
    double *norm;   /* [n_candidates] squared norms, scaled */
    double largest; /* norm */
    bool all;       /* points are candidates; else their vectors are gathered */
} mean_plan;

/* Scratch behind the screen's: means [L, dim] in f64, in f32, gathered vectors [PANEL, dim] in f32. */
static double *means_of(const whet_frechet *f, frechet_block *b) {
    return whet_i_screen_rest(f, b);
}
static float *rounded_of(const whet_frechet *f, frechet_block *b) {
    return (float *)(means_of(f, b) + SCREEN_LANES * f->space->embedding.dim);
}
static float *gathered_of(const whet_frechet *f, frechet_block *b) {
    return rounded_of(f, b) + SCREEN_LANES * f->space->embedding.dim;
}

static double scale_of(const space_embedding *e, int64_t point) {
    return e->scale ? e->scale[point] : 1;
}

static void panel(const whet_frechet *f, frechet_block *b, int64_t from, int64_t n, int32_t columns,
                  float *costs) {
    (void)columns;
    const mean_plan *p = f->state;
    const space_embedding *e = &f->space->embedding;
    const float *vectors = p->vectors + from * e->dim;
    if (!p->all) {
        float *gathered = gathered_of(f, b);
        for (int64_t c = 0; c < n; c++)
            memcpy(gathered + c * e->dim, p->vectors + f->candidates[from + c] * e->dim,
                   sizeof *gathered * (size_t)e->dim);
        vectors = gathered;
    }
    /* Means lie row by row, so that packing them is the copy. */
    whet_i_matmul_f32_serial(false, true, n, SCREEN_LANES, e->dim, vectors, e->dim,
                             rounded_of(f, b), e->dim, 0, costs, SCREEN_LANES);
    for (int64_t c = 0; c < n; c++) {
        const float norm = (float)p->norm[from + c];
        const float twice = (float)(2 * scale_of(e, f->candidates[from + c]));
        float *row = costs + c * SCREEN_LANES;
        for (int l = 0; l < SCREEN_LANES; l++) row[l] = norm - twice * row[l];
    }
}

/* The sum of its terms, each >= 0. */
static double term_by_term(const whet_frechet *f, const frechet_block *b, int64_t lane,
                           int64_t row) {
    double sum = 0;
    for (int64_t j = 0; j < f->k; j++) {
        const double w = b->weights[j * SCREEN_LANES + lane];
        if (w == 0) continue;
        sum += w *
               whet_i_embedding_distance2(&f->space->embedding, f->candidates[row], f->observed[j]);
    }
    return sum;
}

static double exact(const whet_frechet *f, frechet_block *b, int64_t lane, int64_t row) {
    const mean_plan *p = f->state;
    const space_embedding *e = &f->space->embedding;
    const int64_t point = f->candidates[row];
    const double *mean = means_of(f, b) + lane * e->dim;
    double lanes[8] = {0}, dot = 0;
    int64_t i = 0;
    for (; i + 8 <= e->dim; i += 8)
        for (int l = 0; l < 8; l++)
            lanes[l] +=
                (e->f32 ? (double)e->f32[point * e->dim + i + l] : e->f64[point * e->dim + i + l]) *
                mean[i + l];
    for (; i < e->dim; i++)
        dot += (e->f32 ? (double)e->f32[point * e->dim + i] : e->f64[point * e->dim + i]) * mean[i];
    for (int l = 0; l < 8; l++) dot += lanes[l];
    const double rest = b->least[lane];
    const double cost = p->norm[row] - 2 * dot * scale_of(e, point) + rest;
    const double noise = 64 * DBL_EPSILON * (rest + p->norm[row]);
    return noise > FRECHET_PRECISE * cost ? term_by_term(f, b, lane, row) : cost;
}

static const screen_table TABLE = {panel, exact};

static void rows(const whet_frechet *f, frechet_block *b, int64_t at, const frechet_result *out) {
    const mean_plan *p = f->state;
    const int64_t dim = f->space->embedding.dim;
    double *means = means_of(f, b);
    float *rounded = rounded_of(f, b);
    for (int64_t l = 0; l < SCREEN_LANES; l++) {
        double sum = 0;
        for (int64_t j = 0; j < f->k && l < b->count; j++) {
            b->weights[j * SCREEN_LANES + l] /= b->mass[l];
            sum += b->weights[j * SCREEN_LANES + l] * p->observed.norm[j];
        }
        b->least[l] = sum; /* R, until the row is done */
    }
    whet_i_matmul_f64_serial(true, false, SCREEN_LANES, dim, f->k, b->weights, SCREEN_LANES,
                             p->observed.vector, dim, 0, means, dim);
    const double error = whet_i_screen_error(dim);
    for (int64_t l = 0; l < SCREEN_LANES; l++) {
        double norm = 0;
        for (int64_t i = 0; i < dim; i++) {
            norm += means[l * dim + i] * means[l * dim + i];
            rounded[l * dim + i] = (float)means[l * dim + i];
        }
        b->noise[l] = 2 * error * (p->largest * sqrt(norm) + p->largest * p->largest);
    }
    int32_t lane[SCREEN_LANES];
    const int32_t all = whet_i_screen_all(b, lane);
    (void)whet_i_screen_rows(f, b, at, &TABLE, 2 * FLT_EPSILON, lane, all, NULL, out);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_destroy(whet_ctx *ctx, void *state) {
    mean_plan *p = state;
    if (!p) return;
    whet_i_free(ctx, p->copy);
    whet_i_free(ctx, p->norm);
    whet_i_observed_vectors_free(ctx, &p->observed);
    whet_i_free(ctx, p);
}

static whet_status take_vectors(whet_ctx *ctx, const whet_frechet *f, mean_plan *p) {
    const space_embedding *e = &f->space->embedding;
    const int64_t values = f->space->n * e->dim;
    p->vectors = e->f32;
    if (e->f32) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, values, &p->copy));
    for (int64_t i = 0; i < values; i++) p->copy[i] = (float)e->f64[i];
    p->vectors = p->copy;
    return WHET_OK;
}

static int64_t scratch_values(const whet_frechet *f) {
    const int64_t dim = f->space->embedding.dim;
    const bool all = f->n_candidates == f->space->n;
    return whet_i_screen_scratch(f) + SCREEN_LANES * dim + SCREEN_LANES * dim / 2 + 1 +
           (all ? 0 : SCREEN_PANEL * dim / 2 + 1);
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    mean_plan *p = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &p));
    p->all = f->n_candidates == f->space->n;
    WHET_TRY_DONE(take_vectors(ctx, f, p));
    WHET_TRY_DONE(whet_i_observed_vectors_make(ctx, f, false, &p->observed));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->n_candidates, &p->norm));
    WHET_TRY_DONE(whet_i_candidate_norms(ctx, f, &p->observed, NULL, p->norm));
    for (int64_t c = 0; c < f->n_candidates; c++) p->largest = fmax(p->largest, sqrt(p->norm[c]));
    f->state = p;
    f->lanes = SCREEN_LANES;
    f->n_weights = f->k;
    f->n_scratch = scratch_values(f);
    p = NULL;
done:
    plan_destroy(ctx, p);
    return status;
}

static bool serves(const whet_frechet *f) {
    return whet_i_mean_serves(f) && whet_i_screen_serves(f);
}

static bool pays(const whet_frechet *f) { return whet_i_screen_pays(f, f->space->embedding.dim); }

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const space_embedding *e = &f->space->embedding;
    const double k = (double)f->k, dim = (double)e->dim;
    (void)ctx;
    *out = whet_i_block_sizes(f,
                              (e->f32 ? 0 : 4 * (double)f->space->n * dim) +
                                  8 * ((double)f->n_candidates + k * (dim + 1)),
                              SCREEN_LANES, k, 0, (double)scratch_values(f));
    return WHET_OK;
}

const frechet_method whet_i_method_nearest_mean_f32 = {
    .name = "nearest-mean-f32",
    .title = "nearest to the mean in f32, the least in f64",
    .cost = "O((K + N) D)",
    .needs = "an embedding, euclidean or unit, power 2, and top 1024 at most",
    .serves = serves,
    .pays = pays,
    .why = whet_i_mean_why,
    .sizes = sizes,
    .make = make,
    .rows = rows,
    .destroy = plan_destroy};
