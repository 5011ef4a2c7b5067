/* SPDX-License-Identifier: Apache-2.0
 * Prediction by the Frechet mean: y* = argmin over candidates y of sum_k p_k d(y, k)^q
 * (Loki, arXiv 2307.12226). This file checks what is asked, has the method planned (planner.c, and see
 * frechet_i.h), and runs rows through it in blocks that do not depend on the thread count.
 * Legend: k observed classes, S mass of a row. */
#include <float.h>
#include <math.h>

#include "space/lanes_i.h"

/* ---- the plan -------------------------------------------------------------------------------- */

void whet_frechet_destroy(whet_ctx *ctx, whet_frechet *f) {
    if (!f) return;
    if (f->method && f->state) f->method->destroy(ctx, f->state);
    whet_i_free(ctx, f->observed);
    whet_i_free(ctx, f->candidates);
    whet_i_free(ctx, f->cost_row);
    whet_i_free(ctx, f);
}

/* A slab knows distances from its rows alone. */
static whet_status check_known(whet_ctx *ctx, const whet_frechet *f) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t *row = f->space->kind == SPACE_MATRIX ? f->space->matrix.row : NULL;
    for (int64_t j = 0; row && j < f->k; j++)
        if (row[f->observed[j]] < 0)
            return whet_i_fail(
                ctx, WHET_ERR_DATA,
                "class %s has no row in the matrix; expected one for every observed class",
                whet_i_quote(quoted, whet_names_get(f->space->names, f->observed[j])));
    return WHET_OK;
}

whet_status whet_frechet_create(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                int64_t k, const whet_frechet_opts *opts, whet_frechet **out) {
    whet_frechet_opts o = WHET_FRECHET_OPTS_INIT;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_frechet_opts"));
    if (k < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld observed classes; expected 1 or more",
                           (long long)k);
    if (o.power != 1 && o.power != 2)
        return whet_i_fail(ctx, WHET_ERR_ARG, "power is %d; expected 1 or 2", (int)o.power);
    if (o.top < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "top is %d; expected 1 or more", (int)o.top);
    whet_status status = WHET_OK;
    whet_frechet *f;
    size_t before, after;
    whet_ctx_memory(ctx, &before, NULL);
    WHET_TRY(whet_i_calloc(ctx, 1, &f));
    f->space = space;
    f->lane = whet_i_lane_loops(ctx);
    f->k = k;
    f->power = o.power;
    f->top = o.top;
    WHET_TRY_DONE(whet_i_points_copy(ctx, space, "observed class", observed, k, &f->observed));
    WHET_TRY_DONE(check_known(ctx, f));
    WHET_TRY_DONE(
        whet_i_candidates_take(ctx, space, observed, k, &o, &f->candidates, &f->n_candidates));
    if (f->top > f->n_candidates) f->top = (int32_t)f->n_candidates;
    f->sparse = o.sparse;
    f->entries = o.entries;
    WHET_TRY_DONE(whet_i_frechet_plan(ctx, o.method, f));
    if (f->n_costs) WHET_TRY_DONE(whet_i_alloc(ctx, space->n, &f->cost_row));
    for (int64_t c = 0; c < f->n_costs; c++)
        if (f->cost_point[c] >= 0) f->cost_row[f->cost_point[c]] = c;
    whet_ctx_memory(ctx, &after, NULL);
    f->bytes = after > before ? after - before : 0;
    *out = f;
    return WHET_OK;
done:
    whet_frechet_destroy(ctx, f);
    return status;
}

int64_t whet_frechet_candidates(const whet_frechet *f) { return f->n_candidates; }

int32_t whet_frechet_top(const whet_frechet *f) { return f->top; }

/* ---- a block of rows ------------------------------------------------------------------------- */

/* Far inside the range of doubles, so that squares and sums of costs stay there too. */
static const double SMALL_MASS = 0x1p-300, LARGE_MASS = 0x1p300;

/* The first row of the block that has an impossible value. */
static int64_t first_impossible(const whet_frechet *f, const frechet_block *b) {
    for (int64_t i = 0; i < b->count * f->k; i++)
        if (!(b->probs[i] >= 0 && b->probs[i] <= DBL_MAX)) return i / f->k;
    return -1;
}

/* Transposes the rows into the weights, each times its scale; lanes without a row get zeros. Gives
 * the first row with an impossible value, or -1. */
static int64_t load(const whet_frechet *f, frechet_block *b) {
    bool possible = true;
    memset(b->weights, 0, (size_t)(f->n_zero * f->lanes) * sizeof *b->weights);
    for (int64_t g = 0; g < f->lanes; g += LANE_GROUP) {
        const double *rows[LANE_GROUP];
        for (int64_t i = 0; i < LANE_GROUP; i++) {
            const int64_t lane = g + i < b->count ? g + i : b->count - 1;
            rows[i] = b->probs + lane * f->k;
        }
        possible &= f->lane->load(rows, f->k, b->scale + g, f->weight_row, b->weights + g, f->lanes,
                                  b->mass + g);
    }
    return possible ? -1 : first_impossible(f, b);
}

/* load, once more with powers of two where masses are extreme: the scale of a row is irrelevant. */
static int64_t load_scaled(const whet_frechet *f, frechet_block *b) {
    for (int64_t i = 0; i < f->lanes; i++) b->scale[i] = i < b->count ? 1 : 0;
    int64_t bad = load(f, b);
    bool extreme = false;
    for (int64_t i = 0; i < b->count; i++) {
        const bool small = b->mass[i] > 0 && b->mass[i]<SMALL_MASS, large = b->mass[i]> LARGE_MASS;
        b->scale[i] = small ? 0x1p800 : large ? 0x1p-800 : 1;
        extreme |= small || large;
    }
    if (bad < 0 && extreme) bad = load(f, b);
    for (int64_t i = 0; bad < 0 && i < b->count; i++)
        if (b->mass[i] == 0) bad = i;
    return bad;
}

typedef struct run_work {
    const whet_frechet *f;
    const double *probs;
    int64_t rows;
    frechet_block *blocks; /* one a worker */
    frechet_result result; /* of all rows: the caller's arrays are written only on success */
    int64_t *bad_row;      /* one a block of rows, -1 = none */
    bool *overflow;        /* the bad row's costs are not finite */
} run_work;

static void run_block(void *arg, int64_t i, int32_t worker) {
    const run_work *w = arg;
    const whet_frechet *f = w->f;
    frechet_block *b = &w->blocks[worker];
    const int64_t first = i * f->lanes, left = w->rows - first;
    if (!b->cleared) /* by the worker: pages are given to who touches them first */
        memset(b->weights, 0, (size_t)(f->n_weights * f->lanes) * sizeof *b->weights);
    b->cleared = true;
    b->probs = w->probs + first * f->k;
    b->count = left < f->lanes ? left : f->lanes;
    const int64_t bad = load_scaled(f, b);
    w->bad_row[i] = bad < 0 ? -1 : first + bad;
    if (bad >= 0) return;
    if (f->method->rows) {
        f->method->rows(f, b, first, &w->result);
    } else {
        f->method->costs(f, b);
        whet_i_frechet_select(f, b, first, &w->result);
    }
    for (int64_t lane = 0; lane < b->count; lane++) {
        if (isfinite(b->least[lane])) continue;
        w->bad_row[i] = first + lane;
        w->overflow[i] = true;
        return;
    }
}

static void block_free(whet_ctx *ctx, frechet_block *b) {
    whet_i_free(ctx, b->weights);
    whet_i_free(ctx, b->costs);
    whet_i_free(ctx, b->mass);
    whet_i_free(ctx, b->scratch);
    whet_i_free(ctx, b->choices);
}

static whet_status block_alloc(whet_ctx *ctx, const whet_frechet *f, frechet_block *b) {
    int64_t weights, costs;
    WHET_TRY(whet_i_mul(ctx, f->n_weights, f->lanes, &weights));
    WHET_TRY(whet_i_mul(ctx, f->n_costs, f->lanes, &costs));
    WHET_TRY(whet_i_alloc(ctx, weights, &b->weights));
    WHET_TRY(whet_i_alloc(ctx, costs, &b->costs));
    WHET_TRY(whet_i_alloc(ctx, 4 * f->lanes, &b->mass));
    b->scale = b->mass + f->lanes;
    b->least = b->scale + f->lanes;
    b->noise = b->least + f->lanes;
    WHET_TRY(whet_i_alloc(ctx, f->n_scratch, &b->scratch));
    return whet_i_alloc(ctx, f->n_candidates, &b->choices);
}

static whet_status result_alloc(whet_ctx *ctx, int64_t rows, int64_t top, frechet_result *r) {
    int64_t places;
    WHET_TRY(whet_i_mul(ctx, rows, top, &places));
    WHET_TRY(whet_i_alloc(ctx, places, &r->best));
    WHET_TRY(whet_i_alloc(ctx, places, &r->cost));
    WHET_TRY(whet_i_alloc(ctx, rows, &r->ties));
    return whet_i_alloc(ctx, rows, &r->margin);
}

static whet_status row_fails(whet_ctx *ctx, const run_work *w, int64_t block) {
    const int64_t row = w->bad_row[block];
    if (w->overflow[block])
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "row %lld: its costs are not finite; expected distances whose squares "
                           "can be added; try smaller units",
                           (long long)row);
    for (int64_t j = 0; j < w->f->k; j++) {
        const double p = w->probs[row * w->f->k + j];
        if (!(p >= 0 && p <= DBL_MAX))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "probs[%lld,%lld] is %g; expected finite values of 0 or more",
                               (long long)row, (long long)j, p);
    }
    return whet_i_fail(ctx, WHET_ERR_DATA, "row %lld of probs is all zero; expected some mass",
                       (long long)row);
}

static void publish(const run_work *w, int64_t *best, double *cost, int32_t *ties, double *margin) {
    const size_t rows = (size_t)w->rows, places = rows * (size_t)w->f->top;
    memcpy(best, w->result.best, places * sizeof *best);
    if (cost) memcpy(cost, w->result.cost, places * sizeof *cost);
    if (ties) memcpy(ties, w->result.ties, rows * sizeof *ties);
    if (margin) memcpy(margin, w->result.margin, rows * sizeof *margin);
}

whet_status whet_frechet_run(whet_ctx *ctx, const whet_frechet *f, const double *probs,
                             int64_t rows, int64_t *best, double *cost, int32_t *ties,
                             double *margin) {
    if (rows < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld rows; expected 0 or more", (long long)rows);
    if (!f->method->costs && !f->method->rows)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "whole rows for a plan of sparse ones; expected whet_frechet_run_sparse");
    if (rows == 0) return WHET_OK;
    whet_status status = WHET_OK;
    run_work w = {.f = f, .probs = probs, .rows = rows};
    const int64_t n_blocks = (rows + f->lanes - 1) / f->lanes;
    const int64_t threads = whet_ctx_threads(ctx),
                  workers = n_blocks < threads ? n_blocks : threads;
    WHET_TRY_DONE(whet_i_calloc(ctx, workers, &w.blocks));
    for (int64_t i = 0; i < workers; i++) WHET_TRY_DONE(block_alloc(ctx, f, &w.blocks[i]));
    WHET_TRY_DONE(result_alloc(ctx, rows, f->top, &w.result));
    WHET_TRY_DONE(whet_i_alloc(ctx, n_blocks, &w.bad_row));
    WHET_TRY_DONE(whet_i_calloc(ctx, n_blocks, &w.overflow));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, n_blocks, run_block, &w));
    for (int64_t i = 0; i < n_blocks && status == WHET_OK; i++)
        if (w.bad_row[i] >= 0) status = row_fails(ctx, &w, i);
    if (status == WHET_OK) publish(&w, best, cost, ties, margin);
done:
    for (int64_t i = 0; w.blocks && i < workers; i++) block_free(ctx, &w.blocks[i]);
    whet_i_free(ctx, w.blocks);
    whet_i_free(ctx, w.result.best);
    whet_i_free(ctx, w.result.cost);
    whet_i_free(ctx, w.result.ties);
    whet_i_free(ctx, w.result.margin);
    whet_i_free(ctx, w.bad_row);
    whet_i_free(ctx, w.overflow);
    return status;
}

whet_status whet_frechet_predict(whet_ctx *ctx, const whet_space *space, const int64_t *observed,
                                 int64_t k, const double *probs, int64_t rows,
                                 const whet_frechet_opts *opts, int64_t *best, double *cost,
                                 int32_t *ties, double *margin) {
    whet_frechet *f;
    WHET_TRY(whet_frechet_create(ctx, space, observed, k, opts, &f));
    const whet_status status = whet_frechet_run(ctx, f, probs, rows, best, cost, ties, margin);
    whet_frechet_destroy(ctx, f);
    return status;
}
