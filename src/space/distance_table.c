/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs from a table of distances to the power q: costs = table [candidates, k] x weights
 * [k, lanes], in f64. Sums of terms >= 0: precise to a few units in the last place times k.
 * The way for spaces without structure (matrix, graph), for grids, and for power 1 of embeddings.
 * The table is kept when it is small enough, else made again, some candidates at a time, for each
 * block: memory then does not grow with k x candidates, but for the distances of large graphs. */
#include <math.h>

#include "space/graph_rows.h"
#include "space/lanes_i.h"
#include "space/observed_vectors.h"
#include "space/screen_i.h"

#include "tensor/tensor_i.h"

enum {
    TABLE_LANES = 64,
    PANEL = POWERS_PANEL,       /* candidates at a time */
    KEEP_VALUES = 32 << 20,     /* 256 MiB of table */
    MOST_COST_VALUES = 32 << 20 /* costs of a block: fewer lanes when there are many candidates */
};

typedef struct table_plan {
    double *table;   /* [n_candidates, k], or NULL: made panel by panel */
    graph_rows rows; /* large graphs: distances from the observed, however the table is made */
    observed_vectors embedding;
} table_plan;

/* ---- distances of some candidates ------------------------------------------------------------ */

static void panel(const whet_frechet *f, const table_plan *t, int64_t from, int64_t n, double *out,
                  double *scratch) {
    if (f->space->kind == SPACE_EMBEDDING) {
        whet_i_embedding_powers(f, &t->embedding, from, n, out, scratch);
        return;
    }
    for (int64_t c = 0; c < n; c++) {
        const int64_t point = f->candidates[from + c];
        for (int64_t j = 0; j < f->k; j++) {
            const double d = t->rows.n ? whet_i_graph_rows_at(&t->rows, j, point)
                                       : whet_space_distance(f->space, point, f->observed[j]);
            out[c * f->k + j] = f->power == 2 ? d * d : d;
        }
    }
}

static int64_t panel_scratch(const whet_frechet *f) {
    return f->space->kind == SPACE_EMBEDDING ? PANEL * f->space->embedding.dim : 0;
}

static void costs(const whet_frechet *f, frechet_block *b) {
    const table_plan *t = f->state;
    for (int64_t from = 0; from < f->n_costs; from += PANEL) {
        const int64_t n = f->n_costs - from < PANEL ? f->n_costs - from : PANEL;
        const double *rows = t->table ? t->table + from * f->k : b->scratch;
        if (!t->table) panel(f, t, from, n, b->scratch, b->scratch + PANEL * f->k);
        whet_i_matmul_f64_serial(false, false, n, f->lanes, f->k, rows, f->k, b->weights, f->lanes,
                                 0, b->costs + from * f->lanes, f->lanes);
    }
    for (int64_t i = 0; i < f->lanes; i++) b->noise[i] = 0;
    for (int64_t g = 0; g < f->lanes; g += LANE_GROUP)
        f->lane->least(f->n_costs, b->costs + g, f->lanes, b->least + g);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_destroy(whet_ctx *ctx, void *state) {
    table_plan *t = state;
    if (!t) return;
    whet_i_free(ctx, t->table);
    whet_i_graph_rows_free(ctx, &t->rows);
    whet_i_observed_vectors_free(ctx, &t->embedding);
    whet_i_free(ctx, t);
}

typedef struct panel_work {
    const whet_frechet *f;
    const table_plan *t;
    double *table, *scratch;
} panel_work;

static void make_panel(void *arg, int64_t i, int32_t worker) {
    const panel_work *w = arg;
    const int64_t from = i * PANEL, left = w->f->n_candidates - from;
    panel(w->f, w->t, from, left < PANEL ? left : PANEL, w->table + from * w->f->k,
          w->scratch + worker * panel_scratch(w->f));
}

static whet_status make_table(whet_ctx *ctx, const whet_frechet *f, table_plan *t, int64_t values) {
    whet_status status = WHET_OK;
    panel_work w = {f, t, NULL, NULL};
    WHET_TRY_DONE(whet_i_alloc(ctx, values, &w.table));
    WHET_TRY_DONE(whet_i_alloc(ctx, panel_scratch(f) * whet_ctx_threads(ctx), &w.scratch));
    WHET_TRY_DONE(
        whet_i_parallel_for(ctx, NULL, (f->n_candidates + PANEL - 1) / PANEL, make_panel, &w));
    t->table = w.table;
    w.table = NULL;
done:
    whet_i_free(ctx, w.scratch);
    whet_i_free(ctx, w.table);
    return status;
}

int64_t whet_i_frechet_lanes(int64_t n_candidates) {
    int64_t lanes = TABLE_LANES;
    while (lanes > LANE_GROUP && lanes > MOST_COST_VALUES / n_candidates) lanes -= LANE_GROUP;
    return lanes;
}

static bool searched(const whet_frechet *f) {
    return f->space->kind == SPACE_GRAPH && !f->space->graph.matrix.f64;
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    whet_status status = WHET_OK;
    table_plan *t = NULL;
    int64_t values;
    WHET_TRY(whet_i_mul(ctx, f->n_candidates, f->k, &values));
    WHET_TRY(whet_i_calloc(ctx, 1, &t));
    if (f->space->kind == SPACE_EMBEDDING)
        WHET_TRY_DONE(whet_i_observed_vectors_make(ctx, f, true, &t->embedding));
    if (searched(f))
        WHET_TRY_DONE(whet_i_graph_rows_make(ctx, f->space, f->observed, f->k, NULL, 0, &t->rows));
    if (values <= KEEP_VALUES) WHET_TRY_DONE(make_table(ctx, f, t, values));
    if (t->table) whet_i_graph_rows_free(ctx, &t->rows);
    f->n_scratch = t->table ? 0 : PANEL * f->k + panel_scratch(f);
    f->state = t;
    f->lanes = whet_i_frechet_lanes(f->n_candidates);
    f->n_weights = f->k;
    f->n_costs = f->n_candidates;
    f->cost_point = f->candidates;
    t = NULL;
done:
    plan_destroy(ctx, t);
    return status;
}

static bool serves(const whet_frechet *f) {
    (void)f;
    return true;
}

const char *whet_i_table_why(const whet_frechet *f) {
    switch (f->space->kind) {
    case SPACE_MATRIX: return "a matrix has no structure to use";
    case SPACE_GRAPH: return "a graph needs the distances from every observed class";
    case SPACE_GRID: return "Euclidean distances of power 1 do not come apart into axes";
    default: break;
    }
    return f->power == 1 ? "power 1 has no shortcut in an embedding"
                         : "angles have no shortcut in an embedding";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    const double k = (double)f->k, values = k * (double)f->n_candidates,
                 own = f->space->kind == SPACE_EMBEDDING ? 8 * k * (double)f->space->embedding.dim
                                                         : 0;
    const bool kept = values <= KEEP_VALUES;
    double rows = 0;
    if (searched(f)) WHET_TRY(whet_i_graph_table_bytes(ctx, f, &rows));
    *out = whet_i_block_sizes(f, own + (kept ? 8 * values : rows),
                              whet_i_frechet_lanes(f->n_candidates), k, (double)f->n_candidates,
                              kept ? 0 : PANEL * k + (double)panel_scratch(f));
    out->making = own + rows + (kept ? 8 * values : 0);
    if (searched(f)) out->making += whet_i_graph_search_bytes(ctx, f, 1, false);
    return WHET_OK;
}

const frechet_method whet_i_method_table = {.name = "table",
                                            .title = "distance table",
                                            .cost = "O(K N)",
                                            .needs = "nothing",
                                            .serves = serves,
                                            .why = whet_i_table_why,
                                            .sizes = sizes,
                                            .make = make,
                                            .costs = costs,
                                            .destroy = plan_destroy};
