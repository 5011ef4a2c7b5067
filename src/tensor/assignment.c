/* SPDX-License-Identifier: Apache-2.0
 * The linear assignment problem: distinct columns for the rows, at the least sum of costs.
 *
 * Method: shortest augmenting paths with potentials, in f64, from a good start.
 * Source: Jonker & Volgenant 1987 (column reduction, reduction transfer, augmenting row reduction,
 * augmentation); Crouse 2016 for rectangular problems.
 * 1. Square: v_j is the least cost of column j, which goes to the row that has it, if that is free. Of
 *    products A B^T with planted structure that is most of the answer, in one pass.
 * 2. A row that has one column gives up as much of v_j as keeps it the row's cheapest.
 * 3. Free rows bid: a row takes its cheapest column, lowers v_j by what the second costs more, and
 *    whom it displaces bids next. With rounding a bid may lower nothing; then the displaced row waits.
 *    Potentials only ever fall, so that reduced costs only rise: a list of the row's least ones, and the
 *    last of them as bound of the others, is right as long as the second least on it is below the bound;
 *    few bids read a whole row.
 * 4. From each row that is left, Dijkstra's search over reduced costs for the nearest free column.
 * A problem like one that is solved begins at 3 with the potentials of that, all rows free: any potentials of
 * columns will do, and near ones leave few searches.
 * All passes over a row are kernels (kernels/plain_assignment.h); columns that a search is done with have
 * w_j = -infinity, which makes their cost infinite without a branch.
 * Legend: n rows <= m columns (else the problem is transposed), c = sign x given costs, u_i + v_j <= c_ij
 * with equality where assigned, v_j = 0 for columns without a row. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>

#include "kernels/kernels_i.h"
#include "tensor/tensor_i.h"

enum { LISTED = 6 };

/* The least reduced costs of a row when it was last read. */
typedef struct shortlist {
    double cost[LISTED]; /* sign x given */
    int64_t at[LISTED], count;
    double bound; /* no other column is below */
} shortlist;

typedef struct least_two {
    double value, second; /* infinite where there is none */
    int64_t at;           /* the first place of the least */
} least_two;

typedef struct problem {
    whet_ctx *ctx;
    const whet_kernels *kernels;
    int64_t n, m;
    const float *f32; /* [n, m], or NULL: f64 is */
    const double *f64;
    double sign;
    double *v;          /* [m] */
    int64_t *row_of;    /* [m] -1 = free */
    int64_t *column_of; /* [n] -1 = free */
    int64_t *rows;      /* [n] free ones */
    int64_t n_free;     /* of rows */
    double *key, *w;    /* [m] of a search: distances; v of columns that it is not done with */
    int64_t *from;      /* [m] the row before a column */
    double *reached;    /* [m] at what distance the i-th column was done with ... */
    int64_t *done;      /* [m] ... and which it is */
    double *u;          /* [n] */
    double *zeros;      /* [m] */
    shortlist *lists;   /* [n] */
} problem;

static whet_i_assignment_row row_of_costs(const problem *p, int64_t i, double base,
                                          const double *v) {
    return (whet_i_assignment_row){.n = p->m,
                                   .f32 = p->f32 ? p->f32 + i * p->m : NULL,
                                   .f64 = p->f64 ? p->f64 + i * p->m : NULL,
                                   .sign = p->sign,
                                   .base = base,
                                   .v = v};
}

static double cost(const problem *p, int64_t i, int64_t j) {
    return p->sign * (p->f32 ? (double)p->f32[i * p->m + j] : p->f64[i * p->m + j]);
}

static void assign(problem *p, int64_t i, int64_t j) {
    p->row_of[j] = i;
    p->column_of[i] = j;
}

/* ---- the start -------------------------------------------------------------------------------- */

/* Steps 1 and 2. `key` becomes v, `from` the row. */
static void reduce_columns(problem *p) {
    for (int64_t j = 0; j < p->m; j++) p->key[j] = (double)INFINITY;
    for (int64_t i = 0; i < p->n; i++) {
        const whet_i_assignment_row r = row_of_costs(p, i, 0, p->v);
        (void)p->kernels->cost_relax(&r, i, p->key, p->from);
    }
    for (int64_t j = 0; j < p->m; j++) {
        if (!(p->key[j] < (double)INFINITY)) continue; /* nobody may have it: found out later */
        p->v[j] = p->key[j];
        if (p->column_of[p->from[j]] < 0) assign(p, p->from[j], j);
    }
}

/* false: the list cannot tell. */
static bool look_up(const problem *p, const shortlist *list, least_two *out) {
    least_two l = {(double)INFINITY, (double)INFINITY, -1};
    for (int64_t k = 0; k < list->count; k++) {
        const double x = list->cost[k] - p->v[list->at[k]];
        if (x < l.value) {
            l.second = l.value;
            l.value = x;
            l.at = list->at[k];
        } else if (x < l.second) {
            l.second = x;
        }
    }
    *out = l;
    return l.second < list->bound;
}

static void find_least(problem *p, int64_t i, least_two *out) {
    shortlist *list = &p->lists[i];
    double x[LISTED];
    if (look_up(p, list, out)) return;
    const whet_i_assignment_row r = row_of_costs(p, i, 0, p->v);
    list->count = p->kernels->cost_least(&r, LISTED, x, list->at);
    for (int64_t k = 0; k < list->count; k++) list->cost[k] = cost(p, i, list->at[k]);
    list->bound = list->count < LISTED ? (double)INFINITY : x[LISTED - 1];
    out->value = list->count > 0 ? x[0] : (double)INFINITY;
    out->second = list->count > 1 ? x[1] : (double)INFINITY;
    out->at = list->count > 0 ? list->at[0] : -1;
}

static void transfer(problem *p) {
    for (int64_t i = 0; i < p->n; i++) {
        const int64_t j = p->column_of[i];
        least_two least;
        if (j < 0) continue;
        find_least(p, i, &least);
        if (least.at == j && least.second < (double)INFINITY) p->v[j] -= least.second - least.value;
    }
}

/* The cheapest column of a row, of equals the first that is free; where none is, the first. */
static int64_t cheapest(const problem *p, int64_t i, const least_two *least) {
    const whet_i_assignment_row r = row_of_costs(p, i, 0, p->v);
    if (least->value < least->second) return least->at;
    int64_t j = p->kernels->cost_find(&r, least->value, 0);
    const int64_t first = j;
    for (; j < p->m; j = p->kernels->cost_find(&r, least->value, j + 1))
        if (p->row_of[j] < 0) return j;
    return first;
}

/* One bid of row i; whom it displaces, or -1. *lowered: the column's potential went down. */
static int64_t bid(problem *p, int64_t i, bool *lowered) {
    least_two least;
    find_least(p, i, &least);
    *lowered = false;
    if (!(least.second < (double)INFINITY)) return i; /* one column or none: for the search */
    const int64_t j = cheapest(p, i, &least), before = p->row_of[j];
    const double v = p->v[j] - (least.second - least.value);
    *lowered = v < p->v[j];
    p->v[j] = v;
    assign(p, i, j);
    if (before >= 0) p->column_of[before] = -1;
    return before;
}

/* Step 3, twice over the free rows. A chain of bids that each lower a potential ends; it is cut where
 * that takes longer than searches would. */
static void bid_for_all(problem *p) {
    for (int pass = 0; pass < 2; pass++) {
        const int64_t n = p->n_free;
        p->n_free = 0;
        for (int64_t at = 0; at < n; at++) {
            int64_t i = p->rows[at], patience = p->n;
            bool lowered = true;
            while (i >= 0 && lowered && patience-- > 0) i = bid(p, i, &lowered);
            if (i >= 0) p->rows[p->n_free++] = i;
        }
    }
}

static void list_free(problem *p) {
    p->n_free = 0;
    for (int64_t i = 0; i < p->n; i++)
        if (p->column_of[i] < 0) p->rows[p->n_free++] = i;
}

/* ---- searches --------------------------------------------------------------------------------- */

/* Of the columns whose key is this the first that is free; where none is, the first. */
static int64_t nearest(const problem *p, double key) {
    const whet_i_assignment_row r = {.n = p->m, .f64 = p->key, .sign = 1, .base = 0, .v = p->zeros};
    const int64_t first = p->kernels->cost_find(&r, key, 0);
    for (int64_t j = first; j < p->m; j = p->kernels->cost_find(&r, key, j + 1))
        if (p->row_of[j] < 0) return j;
    return first;
}

/* Step 4 for one row. false: no free column can be reached. */
static bool augment(problem *p, int64_t row) {
    int64_t n_done = 0, j;
    double base = 0, distance = -(double)INFINITY;
    memcpy(p->w, p->v, (size_t)p->m * sizeof *p->w);
    for (j = 0; j < p->m; j++) p->key[j] = (double)INFINITY;
    for (int64_t i = row;;) {
        const whet_i_assignment_row r = row_of_costs(p, i, base, p->w);
        const double least = p->kernels->cost_relax(&r, i, p->key, p->from);
        if (!(least < (double)INFINITY)) return false;
        if (least > distance) distance = least; /* it is never less, but for rounding */
        j = nearest(p, least);
        if (p->row_of[j] < 0) break;
        i = p->row_of[j];
        p->done[n_done] = j;
        p->reached[n_done++] = distance;
        p->key[j] = (double)INFINITY;
        p->w[j] = -(double)INFINITY;
        base = distance - (cost(p, i, j) - p->v[j]);
    }
    for (int64_t k = 0; k < n_done; k++) p->v[p->done[k]] += p->reached[k] - distance;
    for (int64_t i = -1; i != row;) {
        i = p->from[j];
        const int64_t next = p->column_of[i];
        assign(p, i, j);
        j = next;
    }
    return true;
}

static whet_status solve(problem *p, bool from_nothing) {
    for (int64_t j = 0; j < p->m; j++) p->row_of[j] = -1;
    for (int64_t i = 0; i < p->n; i++) p->column_of[i] = -1;
    if (p->n == p->m && from_nothing) reduce_columns(p);
    list_free(p);
    if (p->n_free) {
        if (p->n == p->m && from_nothing) transfer(p);
        bid_for_all(p);
    }
    for (int64_t at = 0; at < p->n_free; at++) {
        WHET_TRY(whet_i_progress(p->ctx, NULL, at, p->n_free));
        if (!augment(p, p->rows[at]))
            return whet_i_fail(p->ctx, WHET_ERR_DATA,
                               "costs: no assignment without an infinite cost; expected one");
    }
    for (int64_t i = 0; i < p->n; i++)
        p->u[i] = cost(p, i, p->column_of[i]) - p->v[p->column_of[i]];
    return WHET_OK;
}

#ifndef NDEBUG
/* The certificate. A sum of three numbers rounds; potentials are sums over paths of costs. */
static bool is_certified(const problem *p) {
    double scale = 0;
    for (int64_t i = 0; i < p->n; i++) scale = fmax(scale, fabs(p->u[i]));
    for (int64_t j = 0; j < p->m; j++) scale = fmax(scale, fabs(p->v[j]));
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t j = 0; j < p->m; j++)
            if (cost(p, i, j) - p->u[i] - p->v[j] < -1e-10 * scale) return false;
    for (int64_t j = 0; j < p->m; j++)
        if (p->row_of[j] < 0 ? p->v[j] != 0 : p->column_of[p->row_of[j]] != j) return false;
    return true;
}
#endif

/* ---- in and out ------------------------------------------------------------------------------- */

/* Whether all numbers are finite: x - x is 0 where x is. */
static bool all_finite(const whet_tensor *costs) {
    enum { LANES = 8 };
    double sum[LANES] = {0}, rest = 0;
    const int64_t n = costs->shape[0] * costs->shape[1];
    int64_t i = 0;
    for (; i + LANES <= n && costs->dtype == WHET_F64; i += LANES) {
        const double *x = (const double *)costs->data + i;
        for (int l = 0; l < LANES; l++) sum[l] += x[l] - x[l];
    }
    for (; i + LANES <= n && costs->dtype == WHET_F32; i += LANES) {
        const float *x = (const float *)costs->data + i;
        for (int l = 0; l < LANES; l++) sum[l] += (double)(x[l] - x[l]);
    }
    for (; i < n; i++) {
        const double x = costs->dtype == WHET_F32 ? (double)((const float *)costs->data)[i]
                                                  : ((const double *)costs->data)[i];
        rest += x - x;
    }
    for (int l = 0; l < LANES; l++) rest += sum[l];
    return rest == 0;
}

static whet_status check(whet_ctx *ctx, const whet_tensor *costs, bool maximize) {
    if (costs->rank != 2 || (costs->dtype != WHET_F32 && costs->dtype != WHET_F64))
        return whet_i_fail(ctx, WHET_ERR_ARG, "costs: %s of %d dimensions; expected f32 or f64, 2",
                           whet_dtype_name(costs->dtype), (int)costs->rank);
    const int64_t n = costs->shape[0], m = costs->shape[1];
    if (all_finite(costs)) return WHET_OK;
    for (int64_t i = 0; i < n * m; i++) {
        const double c = costs->dtype == WHET_F32 ? (double)((const float *)costs->data)[i]
                                                  : ((const double *)costs->data)[i];
        if (isnan(c) || (isinf(c) && (c > 0) == maximize))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "costs: [%" PRId64 ", %" PRId64 "] is %g; expected a number, or "
                               "%sinfinity where row and column must not meet",
                               i / m, i % m, c, maximize ? "-" : "");
    }
    return WHET_OK;
}

static void transpose(const whet_tensor *costs, void *to) {
    const int64_t n = costs->shape[0], m = costs->shape[1];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            if (costs->dtype == WHET_F32)
                ((float *)to)[j * n + i] = ((const float *)costs->data)[i * m + j];
            else
                ((double *)to)[j * n + i] = ((const double *)costs->data)[i * m + j];
        }
}

static whet_status make_room(whet_ctx *ctx, whet_i_arena *arena, problem *p) {
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->v, &p->v));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->row_of, &p->row_of));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->n, sizeof *p->column_of, &p->column_of));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->n, sizeof *p->rows, &p->rows));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->key, &p->key));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->w, &p->w));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->from, &p->from));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->reached, &p->reached));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->done, &p->done));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->n, sizeof *p->u, &p->u));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->m, sizeof *p->zeros, &p->zeros));
    memset(p->zeros, 0, (size_t)p->m * sizeof *p->zeros);
    WHET_TRY(whet_i_arena_alloc(ctx, arena, p->n, sizeof *p->lists, &p->lists));
    for (int64_t i = 0; i < p->n; i++) {
        p->lists[i].count = 0;
        p->lists[i].bound = -(double)INFINITY;
    }
    memset(p->v, 0, (size_t)p->m * sizeof *p->v);
    memset(p->from, 0, (size_t)p->m * sizeof *p->from);
    return WHET_OK;
}

/* Of a solved problem, whose rows are the columns of what was given when `turned`. */
static void publish(const problem *p, bool turned, const whet_assignment *out) {
    const int64_t rows = turned ? p->m : p->n;
    const int64_t *columns = turned ? p->row_of : p->column_of;
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) sum += cost(p, i, p->column_of[i]);
    memcpy(out->column, columns, (size_t)rows * sizeof *columns);
    double *u = turned ? out->column_dual : out->row_dual;
    double *v = turned ? out->row_dual : out->column_dual;
    for (int64_t i = 0; u && i < p->n; i++) u[i] = p->sign * p->u[i];
    for (int64_t j = 0; v && j < p->m; j++) v[j] = p->sign * p->v[j];
    if (out->objective) *out->objective = p->sign * sum;
}

whet_status whet_assign(whet_ctx *ctx, const whet_tensor *costs, bool maximize,
                        const whet_assignment *out) {
    whet_i_arena arena = {0};
    whet_status status = WHET_OK;
    WHET_TRY(check(ctx, costs, maximize));
    const bool turned = costs->shape[0] > costs->shape[1];
    problem p = {.ctx = ctx,
                 .kernels = whet_i_kernels(ctx),
                 .n = costs->shape[turned],
                 .m = costs->shape[!turned],
                 .sign = maximize ? -1 : 1};
    const void *data = costs->data;
    if (turned) {
        int64_t cells;
        void *copy;
        WHET_TRY_DONE(whet_i_mul(ctx, p.n, p.m, &cells));
        WHET_TRY_DONE(whet_i_arena_alloc(ctx, &arena, cells, whet_dtype_size(costs->dtype), &copy));
        transpose(costs, copy);
        data = copy;
    }
    p.f32 = costs->dtype == WHET_F32 ? data : NULL;
    p.f64 = costs->dtype == WHET_F32 ? NULL : data;
    WHET_TRY_DONE(make_room(ctx, &arena, &p));
    WHET_TRY_DONE(solve(&p, true));
    assert(is_certified(&p));
    publish(&p, turned, out);
done:
    whet_i_arena_free(ctx, &arena);
    return status;
}

whet_status whet_i_assign_again(whet_ctx *ctx, const whet_tensor *gain, bool known,
                                double *potentials, int64_t *column) {
    whet_i_arena arena = {0};
    whet_status status = WHET_OK;
    problem p = {.ctx = ctx,
                 .kernels = whet_i_kernels(ctx),
                 .n = gain->shape[0],
                 .m = gain->shape[0],
                 .f32 = gain->dtype == WHET_F32 ? gain->data : NULL,
                 .f64 = gain->dtype == WHET_F32 ? NULL : gain->data,
                 .sign = -1};
    double least = 0;
    WHET_TRY(check(ctx, gain, true));
    WHET_TRY_DONE(make_room(ctx, &arena, &p));
    for (int64_t j = 0; known && j < p.m; j++)
        least = fmin(j ? least : potentials[j], potentials[j]);
    for (int64_t j = 0; known && j < p.m; j++)
        p.v[j] = least - potentials[j]; /* they would drift */
    WHET_TRY_DONE(solve(&p, !known));
    assert(is_certified(&p));
    memcpy(column, p.column_of, (size_t)p.n * sizeof *column);
    for (int64_t j = 0; j < p.m; j++) potentials[j] = -p.v[j];
done:
    whet_i_arena_free(ctx, &arena);
    return status;
}

whet_status whet_i_assign_gains(whet_ctx *ctx, double *gain, int64_t k, int64_t *column) {
    const whet_tensor costs = {gain, WHET_F64, 2, {k, k}};
    const whet_assignment out = {.column = column};
    return whet_assign(ctx, &costs, true, &out);
}
