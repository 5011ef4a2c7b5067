/* SPDX-License-Identifier: Apache-2.0
 * The least costs of rows by screening in f32: panel by panel, each row keeps its least
 * costs in a small heap; then, in order of their f32 costs, they are computed in f64 until what is left
 * cannot matter: an f32 cost c stands for [c - e, c + e], e = relative c + absolute. */
#include "space/screen_i.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { L = SCREEN_LANES, GROUP = 16 };

double whet_i_screen_error(int64_t n) {
    const double u = FLT_EPSILON / 2, terms = (double)n + 3;
    return terms * u / (1 - terms * u);
}

bool whet_i_screen_serves(const whet_frechet *f) {
    return f->top <= SCREEN_MOST_TOP && f->n_candidates < INT32_MAX;
}

bool whet_i_screen_pays(const whet_frechet *f, int64_t width) {
    /* The costs of the best are summed in f64, each for itself. */
    enum { OTHERS = 64 };
    return f->n_candidates >= SCREEN_WORTH / width && f->top <= f->n_candidates / OTHERS;
}

/* How many least costs a row keeps. */
static int32_t kept_most(const whet_frechet *f) { return SCREEN_KEPT - 1 + f->top; }

/* Scratch: the panel, then the lists, then what the table needs. */
static float *panel_of(frechet_block *b) { return (float *)b->scratch; }

static screen_kept *kept_of(frechet_block *b) {
    return (screen_kept *)(b->scratch + SCREEN_PANEL * L / 2);
}

int64_t whet_i_screen_scratch(const whet_frechet *f) {
    return SCREEN_PANEL * L / 2 + kept_most(f) * L;
}

double *whet_i_screen_rest(const whet_frechet *f, frechet_block *b) {
    return b->scratch + whet_i_screen_scratch(f);
}

/* ---- the few --------------------------------------------------------------------------------- */

/* A heap of the least costs so far, the largest on top; *n grows up to `most`. */
static void keep(screen_kept *heap, int32_t *n, int32_t most, float cost, int32_t row) {
    int32_t at;
    if (*n < most) {
        at = (*n)++;
        for (; at > 0 && heap[(at - 1) / 2].cost < cost; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
    } else {
        at = 0;
        for (int32_t down; (down = 2 * at + 1) < most; at = down) {
            if (down + 1 < most && heap[down + 1].cost > heap[down].cost) down++;
            if (heap[down].cost <= cost) break;
            heap[at] = heap[down];
        }
    }
    heap[at] = (screen_kept){cost, row};
}

/* Goes through a panel; limit [L]: the largest kept, infinite until the heap is full. NaN is kept, so
 * that overflow is seen. */
static void keep_panel(const float *costs, int64_t from, int64_t n, int32_t columns, int32_t most,
                       screen_kept *kept, int32_t *count, float *limit) {
    for (int64_t c = 0; c < n; c++) {
        const float *row = costs + c * L;
        for (int g = 0; g < columns; g += GROUP) {
            int any = 0;
            for (int l = 0; l < GROUP; l++) any |= !(row[g + l] >= limit[g + l]);
            if (!any) continue;
            for (int l = g; l < g + GROUP; l++) {
                if (l >= columns || row[l] >= limit[l]) continue;
                screen_kept *heap = kept + l * most;
                keep(heap, &count[l], most, row[l], (int32_t)(from + c));
                if (count[l] == most) limit[l] = heap[0].cost;
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

/* Puts a choice where it belongs among n that are sorted. */
static void insert(frechet_choice *c, int64_t n, frechet_choice one) {
    for (; n > 0 && whet_i_choice_before(&one, &c[n - 1]); n--) c[n] = c[n - 1];
    c[n] = one;
}

/* Whether n sorted choices settle a row when all others cost `rest` or more: the groups of ties that reach
 * up to the top-th place are whole, and the least cost behind the first is known. */
static bool settled(const whet_frechet *f, const frechet_choice *c, int64_t n, double rest) {
    for (int64_t from = 0, to = 0; from < f->top; from = to) {
        if (from == n || !(whet_i_tie_limit(c[from].cost) < rest)) return false;
        for (to = from + 1; to < n && c[to].cost <= whet_i_tie_limit(c[from].cost);) to++;
        if (from == 0 && (to == n || !(c[to].cost < rest))) return false;
    }
    return true;
}

/* Exact costs of the kept, in order, until the rest cannot matter: how many, sorted in b->choices; or 0
 * when the rest might. */
static int64_t finish_few(const whet_frechet *f, frechet_block *b, int64_t lane,
                          const screen_table *table, double relative, const screen_kept *kept,
                          int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        insert(b->choices, i,
               (frechet_choice){table->exact(f, b, lane, kept[i].row), f->candidates[kept[i].row],
                                kept[i].row});
        /* What comes behind costs at least this; what is not kept as much as the last kept. */
        const double c = (double)kept[i + 1 < n ? i + 1 : i].cost;
        const double rest = c - relative * fabs(c) - b->noise[lane] + b->least[lane];
        if (i >= f->top && settled(f, b->choices, i + 1, rest)) return i + 1;
    }
    return n == f->n_candidates ? n : 0;
}

/* Every candidate in f64. */
static int64_t finish_all(const whet_frechet *f, frechet_block *b, int64_t lane,
                          const screen_table *table) {
    for (int64_t c = 0; c < f->n_candidates; c++)
        b->choices[c] = (frechet_choice){table->exact(f, b, lane, c), f->candidates[c], c};
    whet_i_choices_sort(b->choices, f->n_candidates);
    return f->n_candidates;
}

int32_t whet_i_screen_all(const frechet_block *b, int32_t lane[SCREEN_LANES]) {
    for (int32_t l = 0; l < b->count; l++) lane[l] = l;
    return (int32_t)b->count;
}

int32_t whet_i_screen_rows(const whet_frechet *f, frechet_block *b, int64_t at,
                           const screen_table *table, double relative, const int32_t *lane,
                           int32_t columns, int32_t *left, const frechet_result *out) {
    float *costs = panel_of(b), limit[L];
    screen_kept *kept = kept_of(b);
    const int32_t most = kept_most(f);
    int32_t count[L] = {0}, n_left = 0;
    for (int l = 0; l < L; l++) limit[l] = INFINITY;
    for (int64_t from = 0; from < f->n_candidates; from += SCREEN_PANEL) {
        const int64_t more = f->n_candidates - from, n = more < SCREEN_PANEL ? more : SCREEN_PANEL;
        table->panel(f, b, from, n, columns, costs);
        keep_panel(costs, from, n, columns, most, kept, count, limit);
    }
    for (int32_t i = 0; i < columns; i++) {
        screen_kept *few = kept + i * most;
        qsort(few, (size_t)count[i], sizeof *few, by_cost);
        int64_t n = finish_few(f, b, lane[i], table, relative, few, count[i]);
        if (n == 0 && left) {
            left[n_left++] = lane[i];
            continue;
        }
        if (n == 0) n = finish_all(f, b, lane[i], table);
        b->least[lane[i]] = b->choices[0].cost;
        if (!isfinite(b->least[lane[i]])) continue; /* reported by the caller */
        const frechet_choice none = {(double)INFINITY, -1, -1};
        whet_i_choices_tell(f, b->choices, n, none, 1, at + lane[i], out);
    }
    return n_left;
}
