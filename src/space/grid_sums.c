/* SPDX-License-Identifier: Apache-2.0
 * Frechet costs of all cells of a grid in O(N + K) a row, whatever K, by sums along its axes. With
 * offsets x_a along the axes,
 *
 *     L2, power 2   sum_a x_a^2
 *     L1, power 2   sum_a x_a^2 + 2 sum_{a<b} |x_a| |x_b|
 *     L1, power 1   sum_a |x_a|
 *
 * so the costs are sums of one table an axis, made of the row's masses along that axis, and, for squared
 * L1, one table a pair of axes, made of its masses over that plane: the kernel |x| is a running sum from
 * both sides, along one axis and then the other. Everything that is added is >= 0: costs are right to a few
 * units in the last place times the size of an axis. Rows of a block lie side by side.
 * Legend: L lanes, n cells of an axis. */
#include <math.h>

#include "space/lanes_i.h"

enum { L = LANE_GROUP, PAIRS_MAX = WHET_RANK_MAX * (WHET_RANK_MAX - 1) / 2 };

typedef struct grid_plan {
    int64_t axis_at[WHET_RANK_MAX]; /* where the table of an axis begins, in cells */
    int64_t pair_at[PAIRS_MAX];
    int64_t cells, longest; /* of all tables; of an axis */
    bool pairs;
    int32_t *place; /* [k, rank] coordinates of the observed */
} grid_plan;

/* ---- sums along a line ----------------------------------------------------------------------- */

/* line [n] cells, `step` apart, becomes sum_i line_i |x - i|: from the left sums of what has been passed,
 * then from the right. carry [n, L]: scratch. */
static void absolute_line(double *line, int64_t n, int64_t step, double *carry) {
    double mass[L] = {0}, sum[L] = {0};
    for (int64_t x = 0; x < n; x++) {
        double *cell = line + x * step * L;
        for (int l = 0; l < L; l++) {
            sum[l] += mass[l];
            carry[x * L + l] = sum[l];
            mass[l] += cell[l];
        }
    }
    memset(mass, 0, sizeof mass);
    memset(sum, 0, sizeof sum);
    for (int64_t x = n - 1; x >= 0; x--) {
        double *cell = line + x * step * L;
        for (int l = 0; l < L; l++) {
            sum[l] += mass[l];
            mass[l] += cell[l];
            cell[l] = carry[x * L + l] + sum[l];
        }
    }
}

/* line becomes sum_i line_i (x - i)^2: (x + 1 - i)^2 = (x - i)^2 + 2 (x - i) + 1. */
static void squared_line(double *line, int64_t n, double *carry) {
    double mass[L] = {0}, first[L] = {0}, sum[L] = {0};
    for (int64_t x = 0; x < n; x++) {
        for (int l = 0; l < L; l++) {
            sum[l] += 2 * first[l] + mass[l];
            first[l] += mass[l];
            carry[x * L + l] = sum[l];
            mass[l] += line[x * L + l];
        }
    }
    memset(mass, 0, sizeof mass);
    memset(first, 0, sizeof first);
    memset(sum, 0, sizeof sum);
    for (int64_t x = n - 1; x >= 0; x--) {
        for (int l = 0; l < L; l++) {
            sum[l] += 2 * first[l] + mass[l];
            first[l] += mass[l];
            mass[l] += line[x * L + l];
            line[x * L + l] = carry[x * L + l] + sum[l];
        }
    }
}

/* A plane of rows x columns: |x| along both axes. */
static void absolute_plane(double *plane, int64_t rows, int64_t columns, double *carry) {
    for (int64_t r = 0; r < rows; r++) absolute_line(plane + r * columns * L, columns, 1, carry);
    for (int64_t c = 0; c < columns; c++) absolute_line(plane + c * L, rows, columns, carry);
}

/* ---- costs ----------------------------------------------------------------------------------- */

static void gather_masses(const whet_frechet *f, const frechet_block *b, double *tables) {
    const grid_plan *p = f->state;
    const space_grid *g = &f->space->grid;
    memset(tables, 0, sizeof *tables * (size_t)(p->cells * L));
    for (int64_t j = 0; j < f->k; j++) {
        const int32_t *x = p->place + j * g->rank;
        const double *mass = b->weights + j * L;
        for (int32_t a = 0; a < g->rank; a++) {
            double *cell = tables + (p->axis_at[a] + x[a]) * L;
            for (int l = 0; l < L; l++) cell[l] += mass[l];
        }
        if (!p->pairs) continue;
        for (int32_t a = 0, pair = 0; a < g->rank; a++) {
            for (int32_t c = a + 1; c < g->rank; c++, pair++) {
                double *cell = tables + (p->pair_at[pair] + x[a] * g->size[c] + x[c]) * L;
                for (int l = 0; l < L; l++) cell[l] += mass[l];
            }
        }
    }
}

static void sum_tables(const whet_frechet *f, double *tables, double *carry) {
    const grid_plan *p = f->state;
    const space_grid *g = &f->space->grid;
    for (int32_t a = 0; a < g->rank; a++) {
        double *line = tables + p->axis_at[a] * L;
        if (f->power == 2)
            squared_line(line, g->size[a], carry);
        else
            absolute_line(line, g->size[a], 1, carry);
    }
    if (!p->pairs) return;
    for (int32_t a = 0, pair = 0; a < g->rank; a++)
        for (int32_t c = a + 1; c < g->rank; c++, pair++)
            absolute_plane(tables + p->pair_at[pair] * L, g->size[a], g->size[c], carry);
}

static void coordinates(const space_grid *g, int64_t point, int64_t *x) {
    for (int32_t a = g->rank - 1; a >= 0; a--) {
        x[a] = point % g->size[a];
        point /= g->size[a];
    }
}

static void add_cell(const whet_frechet *f, const double *tables, int64_t candidate, double *cost) {
    const grid_plan *p = f->state;
    const space_grid *g = &f->space->grid;
    int64_t x[WHET_RANK_MAX];
    coordinates(g, f->candidates[candidate], x);
    for (int l = 0; l < L; l++) cost[l] = 0;
    for (int32_t a = 0; a < g->rank; a++) {
        const double *cell = tables + (p->axis_at[a] + x[a]) * L;
        for (int l = 0; l < L; l++) cost[l] += cell[l];
    }
    if (!p->pairs) return;
    for (int32_t a = 0, pair = 0; a < g->rank; a++) {
        for (int32_t c = a + 1; c < g->rank; c++, pair++) {
            const double *cell = tables + (p->pair_at[pair] + x[a] * g->size[c] + x[c]) * L;
            for (int l = 0; l < L; l++) cost[l] += 2 * cell[l];
        }
    }
}

static void costs(const whet_frechet *f, frechet_block *b) {
    const grid_plan *p = f->state;
    double *tables = b->scratch, *carry = tables + p->cells * L;
    gather_masses(f, b, tables);
    sum_tables(f, tables, carry);
    for (int64_t c = 0; c < f->n_costs; c++) add_cell(f, tables, c, b->costs + c * L);
    for (int l = 0; l < L; l++) b->noise[l] = 0;
    f->lane->least(f->n_costs, b->costs, L, b->least);
}

/* ---- the plan -------------------------------------------------------------------------------- */

static void plan_destroy(whet_ctx *ctx, void *state) {
    grid_plan *p = state;
    if (!p) return;
    whet_i_free(ctx, p->place);
    whet_i_free(ctx, p);
}

/* Tables one after another. Cells are no more than points times pairs: no overflow. */
static void lay_out(const whet_frechet *f, grid_plan *p) {
    const space_grid *g = &f->space->grid;
    p->pairs = f->power == 2 && !g->euclidean;
    for (int32_t a = 0; a < g->rank; a++) {
        p->axis_at[a] = p->cells;
        p->cells += g->size[a];
        if (g->size[a] > p->longest) p->longest = g->size[a];
    }
    for (int32_t a = 0, pair = 0; p->pairs && a < g->rank; a++) {
        for (int32_t c = a + 1; c < g->rank; c++, pair++) {
            p->pair_at[pair] = p->cells;
            p->cells += g->size[a] * g->size[c];
        }
    }
}

static whet_status make(whet_ctx *ctx, whet_frechet *f) {
    const int32_t rank = f->space->grid.rank;
    whet_status status = WHET_OK;
    grid_plan *p = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &p));
    WHET_TRY_DONE(whet_i_alloc(ctx, f->k * rank, &p->place));
    lay_out(f, p);
    for (int64_t j = 0; j < f->k; j++) {
        int64_t x[WHET_RANK_MAX];
        coordinates(&f->space->grid, f->observed[j], x);
        for (int32_t a = 0; a < rank; a++) p->place[j * rank + a] = (int32_t)x[a];
    }
    f->state = p;
    f->lanes = L;
    f->n_weights = f->k;
    f->n_costs = f->n_candidates;
    f->n_scratch = (p->cells + p->longest) * L;
    f->cost_point = f->candidates;
    p = NULL;
done:
    plan_destroy(ctx, p);
    return status;
}

static bool serves(const whet_frechet *f) {
    return f->space->kind == SPACE_GRID && !(f->power == 1 && f->space->grid.euclidean);
}

static const char *why(const whet_frechet *f) {
    (void)f;
    return "distances in a grid come apart into its axes";
}

static whet_status sizes(whet_ctx *ctx, const whet_frechet *f, frechet_sizes *out) {
    grid_plan p = {0};
    (void)ctx;
    lay_out(f, &p);
    *out = whet_i_block_sizes(f, 4 * (double)f->k * f->space->grid.rank, L, (double)f->k,
                              (double)f->n_candidates, (double)(p.cells + p.longest) * L);
    return WHET_OK;
}

const frechet_method whet_i_method_grid_sums = {.name = "grid-sums",
                                                .title = "sums along the axes",
                                                .cost = "O(N + K)",
                                                .needs = "a grid, and l1 for power 1",
                                                .serves = serves,
                                                .why = why,
                                                .sizes = sizes,
                                                .make = make,
                                                .costs = costs,
                                                .destroy = plan_destroy};
