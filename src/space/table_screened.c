/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs over a large matrix or graph, or an embedding without a shortcut: the table of distances to
 * the power q and the probabilities are rounded to f32 and multiplied, the few least of each row are summed
 * again in f64 (screen.c). All terms are >= 0, so that the f32 cost is relatively right whatever they are. */
#include <math.h>

#include "space/graph_rows.h"
#include "space/observed_vectors.h"
#include "space/screen_i.h"
#include "space/truncation.h"

#include "tensor/tensor_i.h"

typedef struct screened_plan {
    float *table;    /* matrices, embeddings: [n_candidates, k] */
    graph_rows rows; /* graphs: a panel of the table is made of them as it is needed */
} screened_plan;

/* Scratch behind the screen's: weights [k, L], for graphs a panel [PANEL, k], both f32; the truncation. */
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

static truncation truncation_of(const whet_frechet *f, frechet_block *b) {
    const int64_t panel = f->space->kind == SPACE_GRAPH ? f->k * SCREEN_PANEL / 2 : 0;
    return whet_i_truncation_at(whet_i_screen_rest(f, b) + f->k * SCREEN_LANES / 2 + panel);
}

static void panel(const whet_frechet *f, frechet_block *b, int64_t from, int64_t n, int32_t columns,
                  float *costs) {
    enum { GROUP = 16 };
    const screened_plan *p = f->state;
    const int64_t wide = (columns + GROUP - 1) / GROUP * GROUP;
    if (p->table) {
        whet_i_matmul_f32_serial(false, false, n, wide, f->k, p->table + from * f->k, f->k,
                                 weights_of(f, b), SCREEN_LANES, 0, costs, SCREEN_LANES);
        return;
    }
    float *table = table_of(f, b);
    for (int64_t c = 0; c < n; c++)
        fill_candidate(f, &p->rows, f->candidates[from + c], table + c * f->k);
    whet_i_matmul_f32_serial(false, false, n, wide, f->k, table, f->k, weights_of(f, b),
                             SCREEN_LANES, 0, costs, SCREEN_LANES);
}

/* Of rows by their largest probabilities. */
static void truncated_panel(const whet_frechet *f, frechet_block *b, int64_t from, int64_t n,
                            int32_t columns, float *costs) {
    const screened_plan *p = f->state;
    const truncation t = truncation_of(f, b);
    float *powers = (float *)(t.n + SCREEN_LANES), *row = powers + f->k * LANE_GROUP;
    for (int64_t at = 0; at < n; at += LANE_GROUP) {
        const int64_t some = n - at < LANE_GROUP ? n - at : LANE_GROUP;
        for (int64_t c = 0; c < some; c++) {
            const int64_t candidate = from + at + c;
            const float *from_row = p->table ? p->table + candidate * f->k : row;
            if (!p->table) fill_candidate(f, &p->rows, f->candidates[candidate], row);
            for (int64_t j = 0; j < f->k; j++) powers[j * LANE_GROUP + c] = from_row[j];
        }
        whet_i_truncated_costs(f, &t, powers, columns, some, costs + at * SCREEN_LANES);
    }
}

/* Of a matrix of all points the row of the candidate, so that those of all j lie together. */
static double matrix_distance(const whet_frechet *f, int64_t point, int64_t j) {
    const space_matrix *m = &f->space->matrix;
    const int64_t n = f->space->n, observed = f->observed[j];
    return whet_i_matrix_at(m, m->row ? m->row[observed] * n + point : point * n + observed);
}

enum { POWERS = 256 };

/* Distances of the candidate to n observed classes from the j-th on, to the power; what kind of space it is
 * is asked once for all of them. */
static void powers_of(const whet_frechet *f, int64_t candidate, int64_t j, int64_t n, double *out) {
    const screened_plan *p = f->state;
    const int64_t point = f->candidates[candidate];
    if (p->rows.n)
        for (int64_t i = 0; i < n; i++) out[i] = whet_i_graph_rows_at(&p->rows, j + i, point);
    else if (f->space->kind == SPACE_MATRIX)
        for (int64_t i = 0; i < n; i++) out[i] = matrix_distance(f, point, j + i);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = whet_space_distance(f->space, point, f->observed[j + i]);
    for (int64_t i = 0; i < n && f->power == 2; i++) out[i] *= out[i];
}

static double power_of(const whet_frechet *f, int64_t candidate, int64_t j) {
    double power;
    powers_of(f, candidate, j, 1, &power);
    return power;
}

/* Eight sums side by side, added in order; the row's probabilities lie together in the caller's array.
 * Each is scaled before it meets a distance: the row's mass may be at the end of what f64 holds. */
static double exact(const whet_frechet *f, frechet_block *b, int64_t lane, int64_t row) {
    const double *w = b->probs + lane * f->k, scale = b->scale[lane], mass = b->mass[lane];
    double sum[8] = {0}, power[POWERS];
    for (int64_t from = 0; from < f->k; from += POWERS) {
        const int64_t n = f->k - from < POWERS ? f->k - from : POWERS;
        int64_t j = 0;
        powers_of(f, row, from, n, power);
        for (; j + 8 <= n; j += 8)
            for (int l = 0; l < 8; l++) sum[l] += w[from + j + l] * scale * power[j + l];
        for (; j < n; j++) sum[j % 8] += w[from + j] * scale * power[j];
    }
    for (int l = 1; l < 8; l++) sum[0] += sum[l];
    return sum[0] / mass;
}

static const screen_table TABLE = {panel, exact}, TRUNCATED = {truncated_panel, exact};

/* Rows that their largest probabilities settle; gives how many are left, and their lanes. The table is turned
 * round for them, which few rows are not worth. */
static int32_t truncated_rows(const whet_frechet *f, frechet_block *b, int64_t at, int32_t *left,
                              const frechet_result *out) {
    const screened_plan *p = f->state;
    const truncation t = truncation_of(f, b);
    enum { WORTH_TURNING = 48 };
    int32_t tried[SCREEN_LANES], n = 0, n_left = 0;
    if (b->count < WORTH_TURNING) return whet_i_screen_all(b, left);
    for (int32_t l = 0; l < b->count; l++)
        if (whet_i_truncate(f, b, l, p->rows.n ? &p->rows : NULL, &t, n))
            tried[n++] = l;
        else
            left[n_left++] = l;
    if (n < WORTH_TURNING) return whet_i_screen_all(b, left);
    return n_left + whet_i_screen_rows(f, b, at, &TRUNCATED,
                                       whet_i_screen_error(TRUNCATED_MOST + 8), tried, n,
                                       left + n_left, out);
}

static void rows(const whet_frechet *f, frechet_block *b, int64_t at, const frechet_result *out) {
    float *weights = weights_of(f, b);
    double share[SCREEN_LANES];
    int32_t lane[SCREEN_LANES];
    for (int64_t l = 0; l < SCREEN_LANES; l++) {
        b->least[l] = 0;
        b->noise[l] = 1e-44 * (double)f->k; /* products below the range of f32 */
    }
    const int32_t n = f->space->kind == SPACE_EMBEDDING ? whet_i_screen_all(b, lane)
                                                        : truncated_rows(f, b, at, lane, out);
    if (n == 0) return;
    for (int32_t i = 0; i < SCREEN_LANES; i++) {
        share[i] = i < n ? 1 / b->mass[lane[i]] : 0; /* rows are taken at mass 1 */
        if (i >= n) lane[i] = 0;
    }
    for (int64_t j = 0; j < f->k; j++)
        for (int32_t i = 0; i < SCREEN_LANES; i++)
            weights[j * SCREEN_LANES + i] =
                (float)(b->weights[j * SCREEN_LANES + lane[i]] * share[i]);
    (void)whet_i_screen_rows(f, b, at, &TABLE, whet_i_screen_error(f->k + 1), lane, n, NULL, out);
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
           (f->space->kind == SPACE_GRAPH ? f->k * SCREEN_PANEL / 2 : 0) + TRUNCATION_SCRATCH +
           f->k * (LANE_GROUP + 1) / 2 + 1;
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    const bool graph = f->space->kind == SPACE_GRAPH;
    whet_status status = WHET_OK;
    screened_plan *p = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &p));
    f->state = p; /* powers_of looks there */
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
