/* SPDX-License-Identifier: Apache-2.0
 * The locus of two observed points: the cost of a candidate is the line (1 - t) a + t b over t in
 * [0, 1], a and b its squared distances, and what is reached is the lower envelope: candidates (a, b)
 * on the lower left of the convex hull. By sorting and one turn along it (Andrew 1979).
 * Corners are alone somewhere; what lies on an edge between two corners ties with them there, and
 * what has the least a (b) but not the least b (a) ties at t = 0 (1). */
#include <math.h>
#include <stdlib.h>

#include "space/locus_i.h"

typedef struct line {
    double a, b;
    int64_t place;
} line;

static int by_values(const void *left, const void *right) {
    const line *x = left, *y = right;
    if (x->a < y->a || x->a > y->a) return x->a < y->a ? -1 : 1;
    if (x->b < y->b || x->b > y->b) return x->b < y->b ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Costs nearer than this to each other, relative to them, are equal. */
#define BORDER 1e-12

/* How far q lies above the line from p to r, where the costs of p and r are equal, relative to these:
 * negative below. All terms of a cost have one sign, so that it is exact to a few roundings however small. */
static double above(const line *p, const line *q, const line *r) {
    const double dx = r->a - p->a, dy = p->b - r->b; /* both >= 0, not both 0 */
    const double more = (q->a - p->a) * dy + (q->b - p->b) * dx, cost = p->a * dy + p->b * dx;
    return cost > 0 ? more / cost : more;
}

static double with_border(double cost) { return cost * (1 + BORDER); }

/* The corners, left to right: indices of sorted lines. The last is the one of least b. */
static int64_t find_corners(const line *lines, int64_t n, int64_t *corner) {
    int64_t m = 0;
    for (int64_t i = 0; i < n; i++) {
        if (m > 0 && with_border(lines[i].b) >= lines[corner[m - 1]].b) continue;
        while (m > 1 && above(&lines[corner[m - 2]], &lines[corner[m - 1]], &lines[i]) > -BORDER)
            m--;
        corner[m++] = i;
    }
    return m;
}

/* Marks lines [from, to) that tie with each other; the lowest of a tie is predicted. */
static void mark_tie(locus_work *w, const line *lines, const bool *tied, int64_t from, int64_t to) {
    int64_t lowest = INT64_MAX;
    for (int64_t i = from; i < to; i++)
        if (tied[i] && lines[i].place < lowest) lowest = lines[i].place;
    for (int64_t i = from; i < to; i++) {
        whet_reach *reach = &w->reach[lines[i].place];
        if (!tied[i] || *reach == WHET_REACH_ALONE) continue;
        if (lines[i].place == lowest)
            *reach = WHET_REACH_PREDICTED;
        else if (*reach != WHET_REACH_PREDICTED)
            *reach = WHET_REACH_TIED;
    }
}

static void mark_reach(locus_work *w, const line *lines, int64_t n, const int64_t *corner,
                       int64_t m, bool *tied) {
    for (int64_t c = 0; c < m; c++) w->reach[lines[corner[c]].place] = WHET_REACH_ALONE;
    /* Lines are sorted by a: those of an edge lie together. */
    for (int64_t c = 0; c + 1 < m; c++) {
        const line *p = &lines[corner[c]], *r = &lines[corner[c + 1]];
        int64_t from = corner[c], to = corner[c + 1] + 1;
        while (from > 0 && with_border(lines[from - 1].a) >= p->a) from--;
        while (to < n && lines[to].a <= with_border(r->a)) to++;
        for (int64_t i = from; i < to; i++) tied[i] = above(p, &lines[i], r) <= BORDER;
        mark_tie(w, lines, tied, from, to);
    }
    for (int64_t i = 0; i < n; i++) tied[i] = lines[i].a <= with_border(lines[corner[0]].a);
    mark_tie(w, lines, tied, 0, n);
    for (int64_t i = 0; i < n; i++) tied[i] = lines[i].b <= with_border(lines[corner[m - 1]].b);
    mark_tie(w, lines, tied, 0, n);
}

whet_status whet_i_locus_envelope(whet_ctx *ctx, locus_work *w) {
    whet_status status = WHET_OK;
    const int64_t n = w->n;
    line *lines = NULL;
    int64_t *corner = NULL;
    bool *tied = NULL;
    double *rows = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * n, &rows));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &lines));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &corner));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &tied));
    whet_i_locus_rows(w, w->point, n, rows);
    for (int64_t i = 0; i < n; i++) {
        lines[i] = (line){rows[2 * i], rows[2 * i + 1], i};
        w->reach[i] = WHET_REACH_NEVER;
    }
    qsort(lines, (size_t)n, sizeof *lines, by_values);
    const int64_t m = find_corners(lines, n, corner);
    mark_reach(w, lines, n, corner, m, tied);
done:
    whet_i_free(ctx, tied);
    whet_i_free(ctx, corner);
    whet_i_free(ctx, lines);
    whet_i_free(ctx, rows);
    return status;
}
