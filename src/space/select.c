/* SPDX-License-Identifier: Apache-2.0
 * From costs to the best candidates: the least cost, which candidates tie with it, the lowest of
 * them, the next distinct cost, the best `top` in order.
 * Most rows need two sweeps over their block, all lanes at once. A row goes through the slow way,
 * alone, when more than the best is asked for, or when its least cost is so far below the costs it
 * was computed from that cancellation ate its digits: then the few candidates in question are
 * computed again, term by term. */
#include <math.h>

#include "space/lanes_i.h"

double whet_i_tie_limit(double least) { return least + FRECHET_TIE * fabs(least); }

/* ---- one lane, the slow way ------------------------------------------------------------------ */

bool whet_i_choice_before(const frechet_choice *a, const frechet_choice *b) {
    return a->cost == b->cost ? a->point < b->point : a->cost < b->cost;
}

static bool comes_before(const frechet_choice *a, const frechet_choice *b, bool by_point) {
    return by_point ? a->point < b->point : whet_i_choice_before(a, b);
}

static void sift(frechet_choice *c, int64_t at, int64_t n, bool by_point) {
    const frechet_choice moved = c[at];
    for (int64_t down; (down = 2 * at + 1) < n; at = down) {
        if (down + 1 < n && comes_before(&c[down], &c[down + 1], by_point)) down++;
        if (!comes_before(&moved, &c[down], by_point)) break;
        c[at] = c[down];
    }
    c[at] = moved;
}

/* Heap sort: no memory, no bad case when everything ties. */
static void sort_choices(frechet_choice *c, int64_t n, bool by_point) {
    for (int64_t i = n / 2 - 1; i >= 0; i--) sift(c, i, n, by_point);
    for (int64_t i = n - 1; i > 0; i--) {
        const frechet_choice last = c[i];
        c[i] = c[0];
        c[0] = last;
        sift(c, 0, i, by_point);
    }
}

void whet_i_choices_sort(frechet_choice *c, int64_t n) { sort_choices(c, n, false); }

static frechet_choice choice_at(const whet_frechet *f, const frechet_block *b, int64_t lane,
                                int64_t row) {
    return (frechet_choice){b->costs[row * f->lanes + lane], f->cost_point[row], row};
}

/* The `top`-th least cost: a heap of the `top` least so far, its largest on top. */
static double top_cost(const whet_frechet *f, const frechet_block *b, int64_t lane) {
    if (f->top == 1) return b->least[lane];
    int64_t kept = 0;
    for (int64_t row = 0; row < f->n_costs; row++) {
        if (f->cost_point[row] < 0) continue;
        const frechet_choice c = choice_at(f, b, lane, row);
        if (kept < f->top) {
            b->choices[kept++] = c;
            if (kept == f->top)
                for (int64_t i = kept / 2 - 1; i >= 0; i--) sift(b->choices, i, kept, false);
        } else if (comes_before(&c, &b->choices[0], false)) {
            b->choices[0] = c;
            sift(b->choices, 0, kept, false);
        }
    }
    return b->choices[0].cost;
}

static void make_precise(const whet_frechet *f, const frechet_block *b, int64_t lane,
                         frechet_choice *c) {
    if (f->method->exact && b->noise[lane] > FRECHET_PRECISE * c->cost)
        c->cost = f->method->exact(f, b, lane, c->row);
}

/* Moves the candidates that can be among the best to b->choices, sorted; gives their number, and
 * the least of the others (infinite cost when there is none). */
static int64_t shortlist(const whet_frechet *f, frechet_block *b, int64_t lane,
                         frechet_choice *next) {
    const double limit = whet_i_tie_limit(top_cost(f, b, lane)) + 2 * b->noise[lane];
    int64_t n = 0;
    *next = (frechet_choice){(double)INFINITY, -1, -1};
    for (int64_t row = 0; row < f->n_costs; row++) {
        if (f->cost_point[row] < 0) continue;
        const frechet_choice c = choice_at(f, b, lane, row);
        if (c.cost <= limit)
            b->choices[n++] = c;
        else if (c.cost < next->cost)
            *next = c;
    }
    for (int64_t i = 0; i < n; i++) make_precise(f, b, lane, &b->choices[i]);
    if (next->row >= 0) make_precise(f, b, lane, next);
    sort_choices(b->choices, n, false);
    return n;
}

void whet_i_choices_tell(const whet_frechet *f, frechet_choice *c, int64_t n, frechet_choice next,
                         double mass, int64_t at, const frechet_result *out) {
    const double least = c[0].cost;
    int64_t first_group = 0;
    for (int64_t from = 0, to; from < n && from < f->top; from = to) {
        const double limit = whet_i_tie_limit(c[from].cost);
        for (to = from + 1; to < n && c[to].cost <= limit;) to++;
        if (from == 0) {
            first_group = to;
            if (to < n) next = c[to];
        }
        sort_choices(c + from, to - from, true);
    }
    for (int64_t i = 0; i < f->top; i++) {
        out->best[at * f->top + i] = c[i].point;
        out->cost[at * f->top + i] = c[i].cost / mass;
    }
    out->ties[at] = (int32_t)(first_group < INT32_MAX ? first_group : INT32_MAX);
    out->margin[at] = (next.cost - least) / mass;
}

static void select_alone(const whet_frechet *f, frechet_block *b, int64_t lane, int64_t at,
                         const frechet_result *out) {
    frechet_choice next;
    const int64_t n = shortlist(f, b, lane, &next);
    whet_i_choices_tell(f, b->choices, n, next, b->mass[lane], at, out);
}

/* ---- a block --------------------------------------------------------------------------------- */

static void write_lane(const whet_frechet *f, const frechet_block *b, int64_t lane, int64_t at,
                       const lane_sweep *s, int64_t l, const frechet_result *out) {
    const int64_t point = (int64_t)s->first[l];
    out->best[at] = point;
    out->cost[at] = b->costs[f->cost_row[point] * f->lanes + lane] / b->mass[lane];
    out->ties[at] = (int32_t)(s->ties[l] < INT32_MAX ? s->ties[l] : INT32_MAX);
    out->margin[at] = (s->next[l] - b->least[lane]) / b->mass[lane];
}

void whet_i_frechet_select(const whet_frechet *f, frechet_block *b, int64_t at,
                           const frechet_result *out) {
    for (int64_t g = 0; g < b->count; g += LANE_GROUP) {
        lane_sweep s;
        for (int l = 0; l < LANE_GROUP; l++) s.limit[l] = whet_i_tie_limit(b->least[g + l]);
        if (f->top == 1) f->lane->sweep(f->cost_point, f->n_costs, b->costs + g, f->lanes, &s);
        for (int64_t l = 0; l < LANE_GROUP && g + l < b->count; l++) {
            const int64_t lane = g + l;
            if (!isfinite(b->least[lane])) continue; /* reported by the caller */
            if (f->top > 1 || b->noise[lane] > FRECHET_PRECISE * b->least[lane])
                select_alone(f, b, lane, at + lane, out);
            else
                write_lane(f, b, lane, at + lane, &s, l, out);
        }
    }
}
