/* SPDX-License-Identifier: Apache-2.0
 * The least costs of rows by screening in f32: panel by panel, each row keeps its SCREEN_KEPT least
 * costs in a small heap; then, in order of their f32 costs, they are computed in f64 until what is left
 * cannot matter: an f32 cost c stands for [c - e, c + e], e = relative c + absolute. */
#include "space/screen_i.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { L = SCREEN_LANES, GROUP = 16 };

/* In f64, where the few kept are not enough. */
typedef struct lane_result {
    double least, next, cost; /* cost of the point told */
    int64_t ties, row;
} lane_result;

double whet_i_screen_error(int64_t n) {
    const double u = FLT_EPSILON / 2, terms = (double)n + 3;
    return terms * u / (1 - terms * u);
}

bool whet_i_screen_serves(const whet_frechet *f) {
    return f->top == 1 && f->n_candidates < INT32_MAX;
}

bool whet_i_screen_pays(const whet_frechet *f, int64_t width) {
    return f->n_candidates >= SCREEN_WORTH / width;
}

/* Scratch: the panel, then the lists, then what the table needs. */
static float *panel_of(frechet_block *b) { return (float *)b->scratch; }

static screen_kept *kept_of(frechet_block *b) {
    return (screen_kept *)(b->scratch + SCREEN_PANEL * L / 2);
}

int64_t whet_i_screen_scratch(void) { return SCREEN_PANEL * L / 2 + SCREEN_KEPT * L; }

double *whet_i_screen_rest(frechet_block *b) { return b->scratch + whet_i_screen_scratch(); }

/* ---- the few --------------------------------------------------------------------------------- */

/* A heap of the least costs so far, the largest on top; *n grows up to SCREEN_KEPT. */
static void keep(screen_kept *heap, int32_t *n, float cost, int32_t row) {
    int32_t at;
    if (*n < SCREEN_KEPT) {
        at = (*n)++;
        for (; at > 0 && heap[(at - 1) / 2].cost < cost; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
    } else {
        at = 0;
        for (int32_t down; (down = 2 * at + 1) < SCREEN_KEPT; at = down) {
            if (down + 1 < SCREEN_KEPT && heap[down + 1].cost > heap[down].cost) down++;
            if (heap[down].cost <= cost) break;
            heap[at] = heap[down];
        }
    }
    heap[at] = (screen_kept){cost, row};
}

/* Goes through a panel; limit [L]: the largest kept, infinite until the heap is full. NaN is kept, so
 * that overflow is seen. */
static void keep_panel(const float *costs, int64_t from, int64_t n, screen_kept *kept,
                       int32_t *count, float *limit) {
    for (int64_t c = 0; c < n; c++) {
        const float *row = costs + c * L;
        for (int g = 0; g < L; g += GROUP) {
            int any = 0;
            for (int l = 0; l < GROUP; l++) any |= !(row[g + l] >= limit[g + l]);
            if (!any) continue;
            for (int l = g; l < g + GROUP; l++) {
                if (row[l] >= limit[l]) continue;
                screen_kept *heap = kept + l * SCREEN_KEPT;
                keep(heap, &count[l], row[l], (int32_t)(from + c));
                if (count[l] == SCREEN_KEPT) limit[l] = heap[0].cost;
            }
        }
    }
}

static int by_cost(const void *left, const void *right) {
    const screen_kept *a = left, *b = right;
    if (a->cost < b->cost || a->cost > b->cost) return a->cost < b->cost ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* ---- in f64 ---------------------------------------------------------------------------------- */

/* Takes an exact cost into the result: ties, the lowest of them, the next distinct cost. Costs come
 * in any order; what ties with a least that is lowered later is sorted out by the caller's order. */
static void tally(lane_result *r, const double *costs, const int64_t *rows, int64_t n) {
    *r = (lane_result){(double)INFINITY, (double)INFINITY, 0, 0, -1};
    for (int64_t i = 0; i < n; i++) r->least = fmin(r->least, costs[i]);
    const double limit = r->least + FRECHET_TIE * fabs(r->least);
    for (int64_t i = 0; i < n; i++) {
        if (costs[i] > limit) {
            r->next = fmin(r->next, costs[i]);
            continue;
        }
        r->ties++;
        if (r->row >= 0 && rows[i] > r->row) continue;
        r->row = rows[i];
        r->cost = costs[i];
    }
}

/* Exact costs of the kept, in order, until the rest cannot be the least, tie with it or come next;
 * false when the rest might. */
static bool finish_few(const whet_frechet *f, frechet_block *b, int64_t lane,
                       const screen_table *table, double relative, const screen_kept *kept,
                       int32_t n, lane_result *r) {
    double costs[SCREEN_KEPT];
    int64_t rows[SCREEN_KEPT];
    const bool all = n == f->n_candidates;
    for (int32_t i = 0; i < n; i++) {
        costs[i] = table->exact(f, b, lane, kept[i].row);
        rows[i] = kept[i].row;
        tally(r, costs, rows, i + 1);
        /* What comes behind costs at least this; what is not kept as much as the last kept. */
        const double c = (double)kept[i + 1 < n ? i + 1 : i].cost;
        const double rest = c - relative * fabs(c) - b->noise[lane] + b->least[lane];
        if (isfinite(r->next) && r->next < rest && !(all && i + 1 == n)) return true;
    }
    return all;
}

/* Every candidate in f64: two sweeps, nothing is stored. */
static void finish_all(const whet_frechet *f, frechet_block *b, int64_t lane,
                       const screen_table *table, lane_result *r) {
    *r = (lane_result){(double)INFINITY, (double)INFINITY, 0, 0, -1};
    for (int64_t c = 0; c < f->n_candidates; c++) {
        const double cost = table->exact(f, b, lane, c);
        r->least = fmin(r->least, cost);
    }
    const double limit = r->least + FRECHET_TIE * fabs(r->least);
    for (int64_t c = 0; c < f->n_candidates; c++) {
        const double cost = table->exact(f, b, lane, c);
        if (cost > limit) {
            r->next = fmin(r->next, cost);
        } else {
            if (r->ties++ > 0) continue;
            r->row = c;
            r->cost = cost;
        }
    }
}

void whet_i_screen_rows(const whet_frechet *f, frechet_block *b, int64_t at,
                        const screen_table *table, double relative, const frechet_result *out) {
    float *costs = panel_of(b), limit[L];
    screen_kept *kept = kept_of(b);
    int32_t count[L] = {0};
    for (int l = 0; l < L; l++) limit[l] = INFINITY;
    for (int64_t from = 0; from < f->n_candidates; from += SCREEN_PANEL) {
        const int64_t left = f->n_candidates - from, n = left < SCREEN_PANEL ? left : SCREEN_PANEL;
        table->panel(f, b, from, n, costs);
        keep_panel(costs, from, n, kept, count, limit);
    }
    for (int64_t lane = 0; lane < b->count; lane++) {
        screen_kept *few = kept + lane * SCREEN_KEPT;
        lane_result r = {0};
        qsort(few, (size_t)count[lane], sizeof *few, by_cost);
        if (!finish_few(f, b, lane, table, relative, few, count[lane], &r))
            finish_all(f, b, lane, table, &r);
        b->least[lane] = r.least;
        if (!isfinite(r.least)) continue; /* reported by the caller */
        out->best[at + lane] = f->candidates[r.row];
        out->cost[at + lane] = r.cost;
        out->ties[at + lane] = (int32_t)(r.ties < INT32_MAX ? r.ties : INT32_MAX);
        out->margin[at + lane] = r.next - r.least;
    }
}
