/* SPDX-License-Identifier: Apache-2.0
 * Quickhull (Barber, Dobkin & Huhdanpaa 1996), from one point and the points at infinity of the three axes:
 * the point that is farthest below a triangle takes the place of all triangles that it is below of. What it
 * leaves below is below one of the new triangles, so that only those are asked. In the end every other point
 * walks to the triangle that it is seen in along (1, 1, 1).
 * No triangle is ever flat: a point in line with an edge is in the planes of both triangles beside it, so
 * it is below both or of neither. */
#include <math.h>
#include <stdlib.h>

#include "space/quickhull.h"

void whet_i_quickhull_free(whet_ctx *ctx, quickhull *h) {
    whet_i_free(ctx, h->at);
    whet_i_free(ctx, h->t);
    whet_i_free(ctx, h->unused);
    whet_i_free(ctx, h->pending);
    whet_i_free(ctx, h->found);
    whet_i_free(ctx, h->under);
    whet_i_free(ctx, h->next);
    whet_i_free(ctx, h->start);
}

whet_status whet_i_quickhull_alloc(whet_ctx *ctx, int64_t n, quickhull *h) {
    int64_t values;
    h->n = n;
    WHET_TRY(whet_i_mul(ctx, 3, n, &values));
    WHET_TRY(whet_i_alloc(ctx, values, &h->at));
    WHET_TRY(whet_i_alloc(ctx, n, &h->under));
    WHET_TRY(whet_i_alloc(ctx, n, &h->next));
    return whet_i_calloc(ctx, n + 3, &h->start);
}

/* ---- triangles ------------------------------------------------------------------------------- */

/* From `from` to a corner. */
static void direction(const quickhull *h, int64_t from, int64_t to, wide out[3]) {
    for (int j = 0; j < 3; j++)
        out[j] = to < 0 ? to == -1 - j : h->at[3 * to + j] - h->at[3 * from + j];
}

static void set_normal(const quickhull *h, triangle *t) {
    wide a[3], b[3];
    direction(h, t->v[0], t->v[1], a);
    direction(h, t->v[0], t->v[2], b);
    t->total = 0;
    for (int j = 0; j < 3; j++) {
        const int k = (j + 1) % 3, l = (j + 2) % 3;
        t->normal[j] = a[k] * b[l] - a[l] * b[k];
        t->rough[j] = (double)t->normal[j];
        t->total += t->rough[j];
    }
}

double whet_i_quickhull_height(const quickhull *h, const triangle *t, int64_t point) {
    const int64_t *x = h->at + 3 * point, *o = h->at + 3 * t->v[0];
    double sum = 0, size = 0;
    for (int j = 0; j < 3; j++) {
        const double term = t->rough[j] * (double)(x[j] - o[j]);
        sum += term;
        size += fabs(term);
    }
    if (fabs(sum) <= 1e-12 * size) {
        wide exact = 0; /* below 2^123 */
        for (int j = 0; j < 3; j++) exact += t->normal[j] * (x[j] - o[j]);
        sum = (double)exact;
    }
    return sum / t->total;
}

/* The triangle of the points at infinity, which nothing is below of. */
static bool is_outer(int64_t t) { return t == 0; }

static whet_status make_room(whet_ctx *ctx, quickhull *h, int64_t more) {
    if (h->used + more <= h->room) return WHET_OK;
    const int64_t room = 2 * h->room + more;
    WHET_TRY(whet_i_realloc(ctx, &h->t, room));
    WHET_TRY(whet_i_realloc(ctx, &h->unused, room));
    WHET_TRY(whet_i_realloc(ctx, &h->pending, room));
    WHET_TRY(whet_i_realloc(ctx, &h->found, room));
    h->room = room;
    return WHET_OK;
}

static int64_t new_triangle(quickhull *h, int64_t a, int64_t b, int64_t c) {
    const bool again = h->n_unused > 0;
    const int64_t at = again ? h->unused[--h->n_unused] : h->used++;
    h->t[at] = (triangle){.v = {a, b, c},
                          .first = -1,
                          .lowest = -1,
                          .live = true,
                          .queued = again && h->t[at].queued};
    if (a >= 0) set_normal(h, &h->t[at]);
    return at;
}

/* ---- growing it ------------------------------------------------------------------------------ */

/* Puts a point into the list of the triangle over it, among the candidates [count]. */
static void assign(quickhull *h, int64_t point, const int64_t *among, int64_t count) {
    int64_t best = -1;
    double least = (double)INFINITY;
    for (int64_t i = 0; i < count; i++) {
        const double here = whet_i_quickhull_height(h, &h->t[among[i]], point);
        if (here < least) {
            least = here;
            best = among[i];
        }
    }
    triangle *t = &h->t[best];
    h->under[point] = best;
    h->next[point] = t->first;
    t->first = point;
    if (!(least < t->depth)) return;
    t->lowest = point;
    t->depth = least;
    if (!t->queued) h->pending[h->n_pending++] = best;
    t->queued = true;
}

/* The triangles that a point is below of, from one of them. */
static void find_seen(quickhull *h, int64_t point, int64_t from) {
    h->n_found = 0;
    h->found[h->n_found++] = from;
    h->t[from].seen = true;
    for (int64_t i = 0; i < h->n_found; i++) {
        for (int j = 0; j < 3; j++) {
            const int64_t beside = h->t[h->found[i]].beside[j];
            triangle *t = &h->t[beside];
            if (is_outer(beside) || t->seen || !(whet_i_quickhull_height(h, t, point) < 0))
                continue;
            t->seen = true;
            h->found[h->n_found++] = beside;
        }
    }
}

/* A new triangle from the point to each edge between what it is below of and what not. They take the places
 * behind those of `found`. */
static void add_star(quickhull *h, int64_t point) {
    const int64_t seen = h->n_found;
    for (int64_t i = 0; i < seen; i++) {
        for (int j = 0; j < 3; j++) {
            const triangle *t = &h->t[h->found[i]];
            const int64_t a = t->v[(j + 1) % 3], b = t->v[(j + 2) % 3], beside = t->beside[j];
            if (h->t[beside].seen) continue;
            const int64_t made = new_triangle(h, point, a, b);
            h->t[made].beside[0] = beside;
            for (int k = 0; k < 3; k++)
                if (h->t[beside].v[(k + 1) % 3] == b && h->t[beside].v[(k + 2) % 3] == a)
                    h->t[beside].beside[k] = made;
            h->start[a + 3] = made;
            h->found[h->n_found++] = made;
        }
    }
    for (int64_t i = seen; i < h->n_found; i++) {
        triangle *t = &h->t[h->found[i]];
        t->beside[1] = h->start[t->v[2] + 3];
        h->t[t->beside[1]].beside[2] = h->found[i];
    }
}

/* Whether a corner of what was seen is one of the star around the point. */
static bool is_around(const quickhull *h, int64_t corner, int64_t point) {
    const triangle *t = &h->t[h->start[corner + 3]];
    return t->v[0] == point && t->v[1] == corner;
}

static whet_status add_point(whet_ctx *ctx, quickhull *h, int64_t point, int64_t from) {
    find_seen(h, point, from);
    const int64_t seen = h->n_found;
    WHET_TRY(
        make_room(ctx, h, seen + 2)); /* a disc of that many triangles has so many edges at most */
    h->under[point] = -1;
    add_star(h, point);
    const int64_t *star = h->found + seen, around = h->n_found - seen;
    for (int64_t i = 0; i < seen; i++) {
        triangle *t = &h->t[h->found[i]];
        for (int64_t x = t->first, next; x >= 0; x = next) {
            next = h->next[x];
            if (x != point) assign(h, x, star, around);
        }
        for (int j = 0; j < 3; j++) /* corners that are inside now */
            if (t->v[j] >= 0 && h->under[t->v[j]] < 0 && !is_around(h, t->v[j], point))
                assign(h, t->v[j], star, around);
        t->live = t->seen = false;
        t->lowest = -1;
        h->unused[h->n_unused++] = h->found[i];
    }
    return WHET_OK;
}

/* One candidate and what is above it: three triangles, and the one at infinity. */
static void begin(quickhull *h) {
    int64_t lowest = 0, around[3];
    for (int64_t i = 1; i < h->n; i++) {
        const int64_t *x = h->at + 3 * i, *y = h->at + 3 * lowest;
        if (x[0] + x[1] + x[2] < y[0] + y[1] + y[2]) lowest = i;
    }
    (void)new_triangle(h, -1, -3, -2);
    for (int64_t j = 0; j < 3; j++)
        around[j] = new_triangle(h, lowest, -1 - (j + 1) % 3, -1 - (j + 2) % 3);
    for (int64_t j = 0; j < 3; j++) {
        triangle *t = &h->t[around[j]];
        t->beside[1] = around[(j + 1) % 3];
        t->beside[2] = around[(j + 2) % 3];
        h->t[0].beside[j == 0 ? 0 : 3 - j] = around[j];
    }
    for (int64_t i = 0; i < h->n; i++)
        if (i != lowest) assign(h, i, around, 3);
    h->under[lowest] = -1;
}

static whet_status grow(whet_ctx *ctx, quickhull *h) {
    WHET_TRY(make_room(ctx, h, 8));
    begin(h);
    for (int64_t added = 0; h->n_pending > 0; added++) {
        const int64_t t = h->pending[--h->n_pending], point = h->t[t].lowest;
        h->t[t].queued = false;
        if (!h->t[t].live || point < 0) continue;
        WHET_TRY(add_point(ctx, h, point, t));
        if (added % 1024 == 0) WHET_TRY(whet_i_progress(ctx, "finding the locus", added, h->n));
    }
    return WHET_OK;
}

/* ---- looking up ------------------------------------------------------------------------------ */

/* Whether a point is strictly beyond the edge opposite to corner j, seen along (1, 1, 1). */
static bool is_beyond(const quickhull *h, const triangle *t, int j, int64_t point) {
    int64_t a = t->v[(j + 1) % 3], b = t->v[(j + 2) % 3];
    wide along[3], to[3], side = 0;
    const bool turned = a < 0;
    if (turned) {
        const int64_t c = a;
        a = b;
        b = c;
    }
    if (a < 0) return false; /* at infinity */
    direction(h, a, b, along);
    direction(h, a, point, to);
    for (int k = 0; k < 3; k++)
        side += along[(k + 1) % 3] * to[(k + 2) % 3] - along[(k + 2) % 3] * to[(k + 1) % 3];
    return turned ? side > 0 : side < 0;
}

/* Leaves every point with the triangle that it is seen in; false: not found. */
static bool look_up(quickhull *h) {
    for (int64_t i = 0; i < h->n; i++) {
        int64_t at = h->under[i], steps = 0;
        for (int j = 0; at >= 0 && j < 3;) {
            if (!is_beyond(h, &h->t[at], j, i)) {
                j++;
                continue;
            }
            at = h->t[at].beside[j];
            j = 0;
            if (++steps > h->used) return false;
        }
        h->under[i] = at;
    }
    return true;
}

whet_status whet_i_quickhull_run(whet_ctx *ctx, quickhull *h, bool *found) {
    WHET_TRY(grow(ctx, h));
    *found = look_up(h);
    return WHET_OK;
}
