/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs over a large matrix or graph, or an embedding without a shortcut: the table of distances to
 * the power q and the probabilities are rounded to f32 and multiplied, the few least of each row are summed
 * again in f64 (screen.c). All terms are >= 0, so that the f32 cost is relatively right whatever they are. */
#include <math.h>

#include "space/graph_rows.h"
#include "space/observed_vectors.h"
#include "space/screen_i.h"

#include "tensor/tensor_i.h"

typedef struct screened_plan {
    float *table;    /* matrices, embeddings: [n_candidates, k] */
    graph_rows rows; /* graphs: a panel of the table is made of them as it is needed */
} screened_plan;

/* Scratch behind the screen's: weights [k, L], and for graphs a panel [PANEL, k], both f32. */
static float *weights_of(const whet_frechet *f, frechet_block *b) {
    return (float *)whet_i_screen_rest(f, b);
}
static float *table_of(const whet_frechet *f, frechet_block *b) {
    return weights_of(f, b) + f->k * SCREEN_LANES;
}

/* Powers of the distances from all observed points to a candidate, rounded once. */
static void fill_candidate(const whet_frechet *f, const graph_rows *r, int64_t point, float *out) {
    const int64_t at = point * r->by_point;
    if (r->hops8)
        for (int64_t j = 0; j < f->k; j++) out[j] = r->hops8[at + j];
    else if (r->hops16)
        for (int64_t j = 0; j < f->k; j++) out[j] = r->hops16[at + j];
    if ((r->hops8 || r->hops16) && f->power == 2)
        for (int64_t j = 0; j < f->k; j++) out[j] *= out[j];
    if (r->hops8 || r->hops16) return;
    for (int64_t j = 0; j < f->k; j++) {
        const double d = whet_i_graph_rows_at(r, j, point);
        out[j] = (float)(f->power == 2 ? d * d : d);
    }
}

static void panel(const whet_frechet *f, frechet_block *b, int64_t from, int64_t n, float *costs) {
    const screened_plan *p = f->state;
    if (p->table) {
        whet_i_matmul_f32_serial(false, false, n, SCREEN_LANES, f->k, p->table + from * f->k, f->k,
                                 weights_of(f, b), SCREEN_LANES, 0, costs, SCREEN_LANES);
        return;
    }
    float *table = table_of(f, b);
    for (int64_t c = 0; c < n; c++)
        fill_candidate(f, &p->rows, f->candidates[from + c], table + c * f->k);
    whet_i_matmul_f32_serial(false, false, n, SCREEN_LANES, f->k, table, f->k, weights_of(f, b),
                             SCREEN_LANES, 0, costs, SCREEN_LANES);
}

/* Of a matrix of all points the row of the candidate, so that those of all j lie together. */
static double matrix_distance(const whet_frechet *f, int64_t point, int64_t j) {
    const space_matrix *m = &f->space->matrix;
    const int64_t n = f->space->n, observed = f->observed[j];
    return whet_i_matrix_at(m, m->row ? m->row[observed] * n + point : point * n + observed);
}

static double power_of(const whet_frechet *f, int64_t candidate, int64_t j) {
    const screened_plan *p = f->state;
    const int64_t point = f->candidates[candidate];
    const double d = p->rows.n ? whet_i_graph_rows_at(&p->rows, j, point)
                     : f->space->kind == SPACE_MATRIX
                         ? matrix_distance(f, point, j)
                         : whet_space_distance(f->space, point, f->observed[j]);
    return f->power == 2 ? d * d : d;
}

/* Eight sums side by side, added in order; the row's probabilities lie together in the caller's array.
 * Each is scaled before it meets a distance: the row's mass may be at the end of what f64 holds. */
static double exact(const whet_frechet *f, frechet_block *b, int64_t lane, int64_t row) {
    const double *w = b->probs + lane * f->k, scale = b->scale[lane], mass = b->mass[lane];
    double sum[8] = {0};
    int64_t j = 0;
    for (; j + 8 <= f->k; j += 8)
        for (int l = 0; l < 8; l++) sum[l] += w[j + l] * scale * power_of(f, row, j + l);
    for (; j < f->k; j++) sum[j % 8] += w[j] * scale * power_of(f, row, j);
    for (int l = 1; l < 8; l++) sum[0] += sum[l];
    return sum[0] / mass;
}

static const screen_table TABLE = {panel, exact};

static void rows(const whet_frechet *f, frechet_block *b, int64_t at, const frechet_result *out) {
    float *weights = weights_of(f, b);
    double share[SCREEN_LANES];
    for (int64_t l = 0; l < SCREEN_LANES; l++) {
        share[l] = l < b->count ? 1 / b->mass[l] : 0; /* rows are taken at mass 1 */
        b->least[l] = 0;
        b->noise[l] = 1e-44 * (double)f->k; /* products below the range of f32 */
    }
    for (int64_t j = 0; j < f->k; j++)
        for (int64_t l = 0; l < SCREEN_LANES; l++)
            weights[j * SCREEN_LANES + l] = (float)(b->weights[j * SCREEN_LANES + l] * share[l]);
    whet_i_screen_rows(f, b, at, &TABLE, whet_i_screen_error(f->k + 1), out);
}

static void plan_destroy(whet_ctx *ctx, void *state) {
    screened_plan *p = state;
    if (!p) return;
    whet_i_free(ctx, p->table);
    whet_i_graph_rows_free(ctx, &p->rows);
    whet_i_free(ctx, p);
}

typedef struct filling {
    const whet_frechet *f;
    float *table;
    observed_vectors embedding;
    double *scratch; /* embeddings: a worker's powers [PANEL, k] and vectors [PANEL, dim] */
} filling;

static int64_t filling_scratch(const whet_frechet *f) {
    return POWERS_PANEL * (f->k + f->space->embedding.dim);
}

static void fill_rows(void *arg, int64_t item, int32_t worker) {
    const filling *w = arg;
    const whet_frechet *f = w->f;
    const int64_t from = item * POWERS_PANEL, left = f->n_candidates - from,
                  n = left < POWERS_PANEL ? left : POWERS_PANEL;
    float *out = w->table + from * f->k;
    if (f->space->kind == SPACE_EMBEDDING) {
        double *powers = w->scratch + worker * filling_scratch(f);
        whet_i_embedding_powers(f, &w->embedding, from, n, powers, powers + POWERS_PANEL * f->k);
        for (int64_t i = 0; i < n * f->k; i++) out[i] = (float)powers[i];
        return;
    }
    /* Observed points outside: rows of a slab are theirs. */
    for (int64_t j = 0; j < f->k && f->space->matrix.row; j++)
        for (int64_t c = 0; c < n; c++) out[c * f->k + j] = (float)power_of(f, from + c, j);
    for (int64_t i = 0; i < n * f->k && !f->space->matrix.row; i++)
        out[i] = (float)power_of(f, from + i / f->k, i % f->k);
}

static whet_status take_table(whet_ctx *ctx, whet_frechet *f, screened_plan *p) {
    whet_status status = WHET_OK;
    filling w = {.f = f};
    int64_t values, room;
    WHET_TRY_DONE(whet_i_mul(ctx, f->n_candidates, f->k, &values));
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &p->table));
    w.table = p->table;
    if (f->space->kind == SPACE_EMBEDDING) {
        WHET_TRY_DONE(whet_i_mul(ctx, filling_scratch(f), whet_ctx_threads(ctx), &room));
        WHET_TRY_DONE(whet_i_alloc(ctx, room, &w.scratch));
        WHET_TRY_DONE(whet_i_observed_vectors_make(ctx, f, true, &w.embedding));
    }
    status = whet_i_parallel_for(ctx, NULL, (f->n_candidates + POWERS_PANEL - 1) / POWERS_PANEL,
                                 fill_rows, &w);
done:
    whet_i_observed_vectors_free(ctx, &w.embedding);
    whet_i_free(ctx, w.scratch);
    return status;
}

static int64_t scratch_values(const whet_frechet *f) {
    return whet_i_screen_scratch(f) + f->k * SCREEN_LANES / 2 +
           (f->space->kind == SPACE_GRAPH ? f->k * SCREEN_PANEL / 2 : 0);
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    const bool graph = f->space->kind == SPACE_GRAPH;
    whet_status status = WHET_OK;
    screened_plan *p = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &p));
    f->state = p; /* power_of looks there */
    if (graph)
        WHET_TRY_DONE(whet_i_graph_rows_make(ctx, f->space, f->observed, f->k, NULL, 0, &p->rows));
    else
        WHET_TRY_DONE(take_table(ctx, f, p));
    f->lanes = SCREEN_LANES;
    f->n_weights = f->k;
    f->n_scratch = scratch_values(f);
    return WHET_OK;
done:
    f->state = NULL;
    plan_destroy(ctx, p);
    return status;
}

static bool serves(const whet_frechet *f) {
    return (f->space->kind == SPACE_MATRIX || f->space->kind == SPACE_GRAPH ||
            f->space->kind == SPACE_EMBEDDING) &&
           whet_i_screen_serves(f);
}

/* A table of an embedding, which lives without one, is worth a gigabyte. */
static bool pays(const whet_frechet *f) {
    enum { MOST_VALUES = 1 << 28 };
    const bool large = f->space->kind == SPACE_EMBEDDING && f->n_candidates > MOST_VALUES / f->k;
    return whet_i_screen_pays(f, f->k) && !f->space->graph.matrix.f64 && !large;
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double k = (double)f->k;
    double held = 4 * k * (double)f->n_candidates;
    if (f->space->kind == SPACE_GRAPH) WHET_TRY(whet_i_graph_table_bytes(ctx, f, &held));
    *out = whet_i_block_sizes(f, held, SCREEN_LANES, k, 0, (double)scratch_values(f));
    if (f->space->kind == SPACE_GRAPH) out->making += whet_i_graph_search_bytes(ctx, f, 1, false);
    if (f->space->kind == SPACE_EMBEDDING)
        out->making += 8 * ((double)filling_scratch(f) * whet_ctx_threads(ctx) +
                            k * (double)f->space->embedding.dim);
    return WHET_OK;
}

const frechet_method whet_i_method_table_f32 = {
    .name = "table-f32",
    .title = "distance table in f32, the least in f64",
    .cost = "O(K N)",
    .needs = "a matrix, a graph or an embedding, and top 1024 at most",
    .serves = serves,
    .pays = pays,
    .why = whet_i_table_why,
    .sizes = sizes,
    .make = make,
    .rows = rows,
    .destroy = plan_destroy};
