/* SPDX-License-Identifier: Apache-2.0
 * The locus of three observed points. A candidate is the point of its three squared distances, its cost the
 * product with p, and what is reached is the boundary of the convex hull of all candidates and of what is
 * above them, whose normals are the p >= 0: its corners are alone somewhere, and of what lies on an edge or a
 * face without being a corner of it, the lowest on the edge or face is predicted, for all of it ties
 * wherever that one does.
 * Squared distances that are integers below 2^40, times a power of two, are taken as they are, and all is
 * decided exactly. Others are rounded to such; then only what is clear of the rounding and of the border
 * is decided here, and programmes do the rest. */
#include <math.h>
#include <stdlib.h>

#include "space/quickhull.h"

#include "space/locus_i.h"

/* What rounding moves a difference of costs by, in coordinates: 1/2 each, and their sums in f64. */
#define ROUNDING 2.0

/* The faces, each of triangles in one plane, that a point is on. */
typedef struct faces {
    int64_t on[2]; /* -1: none */
    bool more;
} faces;

/* A point of an edge between two faces; place < 0: an end of it. */
typedef struct edge_point {
    int64_t face[2], lowest, place;
} edge_point;

typedef struct three {
    quickhull hull;
    double unit; /* a coordinate is a squared distance times this, to 1/2 */
    bool exact;  /* or to 0 */
    int64_t
        *face; /* [triangles] a triangle of the same face; of the first of them its own number */
    int64_t *first; /* [triangles] the lowest point on a face */
    faces *faces;   /* [n] */
    edge_point *edges;
    int64_t n_edges;
    double *p, *margin; /* not exact: [n, 3], [n] of corners */
} three;

static void three_free(whet_ctx *ctx, three *s) {
    whet_i_quickhull_free(ctx, &s->hull);
    whet_i_free(ctx, s->face);
    whet_i_free(ctx, s->first);
    whet_i_free(ctx, s->faces);
    whet_i_free(ctx, s->edges);
    whet_i_free(ctx, s->p);
    whet_i_free(ctx, s->margin);
}

/* ---- coordinates ----------------------------------------------------------------------------- */

/* Scaled by the power of two that brings the largest just below 2^40 (or one as good, where that would be out
 * of range); *taken: false where they are too large for f64. */
static whet_status take_coordinates(whet_ctx *ctx, const locus_work *w, three *s, bool *taken) {
    double most = 0, *rows;
    int exponent = 0;
    WHET_TRY(whet_i_alloc(ctx, 3 * w->n, &rows));
    whet_i_locus_rows(w, w->point, w->n, rows);
    for (int64_t i = 0; i < 3 * w->n; i++) most = fmax(most, rows[i]);
    *taken = isfinite(most);
    if (*taken) (void)frexp(most, &exponent);
    const double unit = ldexp(1, QUICKHULL_BITS - (exponent > -900 ? exponent : -900));
    s->exact = true;
    for (int64_t i = 0; *taken && i < 3 * w->n; i++) {
        const double x = rows[i] * unit, whole = nearbyint(x);
        s->hull.at[i] = (int64_t)whole;
        s->exact = s->exact && x <= whole && x >= whole;
    }
    whet_i_free(ctx, rows);
    return WHET_OK;
}

/* ---- faces ----------------------------------------------------------------------------------- */

static int64_t face_of(three *s, int64_t t) {
    while (s->face[t] != t) t = s->face[t] = s->face[s->face[t]];
    return t;
}

static bool in_plane(const three *s, const triangle *t, int64_t corner) {
    if (corner < 0) return t->normal[-1 - corner] == 0;
    return !(fabs(whet_i_quickhull_height(&s->hull, t, corner)) > 0);
}

/* Triangles beside each other in one plane are of one face. */
static void join_triangles(three *s) {
    const quickhull *h = &s->hull;
    for (int64_t t = 0; t < h->used; t++) s->face[t] = t;
    for (int64_t t = 0; t < h->used; t++) {
        for (int j = 0; whet_i_quickhull_is_triangle(h, t) && j < 3; j++) {
            const int64_t u = h->t[t].beside[j];
            bool same = u > 0;
            for (int k = 0; same && k < 3; k++) same = in_plane(s, &h->t[t], h->t[u].v[k]);
            if (same) s->face[face_of(s, u)] = face_of(s, t);
        }
    }
}

static void put_on(faces *f, int64_t face) {
    if (f->on[0] == face || f->on[1] == face || f->more) return;
    if (f->on[0] < 0)
        f->on[0] = face;
    else if (f->on[1] < 0)
        f->on[1] = face;
    else
        f->more = true;
}

/* The faces of every point on the surface, and the lowest point of every face. */
static void find_faces(three *s) {
    const quickhull *h = &s->hull;
    for (int64_t t = 0; t < h->used; t++) s->first[t] = INT64_MAX;
    for (int64_t i = 0; i < h->n; i++) s->faces[i] = (faces){.on = {-1, -1}};
    for (int64_t t = 0; t < h->used; t++) {
        for (int j = 0; whet_i_quickhull_is_triangle(h, t) && j < 3; j++) {
            const int64_t corner = h->t[t].v[j], face = face_of(s, t);
            if (corner < 0) continue;
            put_on(&s->faces[corner], face);
            if (corner < s->first[face]) s->first[face] = corner;
        }
    }
    for (int64_t i = 0; i < h->n; i++) {
        const int64_t t = h->under[i];
        if (t < 0 || !in_plane(s, &h->t[t], i)) continue;
        put_on(&s->faces[i], face_of(s, t));
        for (int j = 0; j < 3; j++) {
            const int64_t u = h->t[t].beside[j];
            if (u > 0 && in_plane(s, &h->t[u], i)) put_on(&s->faces[i], face_of(s, u));
        }
        for (int k = 0; k < 2; k++)
            if (s->faces[i].on[k] >= 0 && i < s->first[s->faces[i].on[k]])
                s->first[s->faces[i].on[k]] = i;
    }
}

/* ---- edges ----------------------------------------------------------------------------------- */

static int by_edge(const void *left, const void *right) {
    const edge_point *a = left, *b = right;
    for (int i = 0; i < 2; i++)
        if (a->face[i] != b->face[i]) return a->face[i] < b->face[i] ? -1 : 1;
    if (a->lowest != b->lowest) return a->lowest < b->lowest ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

static void add_to_edge(three *s, int64_t a, int64_t b, int64_t point, int64_t place) {
    s->edges[s->n_edges++] =
        (edge_point){.face = {a < b ? a : b, a < b ? b : a}, .lowest = point, .place = place};
}

/* Points on two faces, and the ends of the sides of triangles between two: the lowest of each edge wins. */
static whet_status settle_edges(whet_ctx *ctx, three *s, whet_reach *reach) {
    const quickhull *h = &s->hull;
    WHET_TRY(whet_i_alloc(ctx, h->n + 6 * h->used, &s->edges));
    for (int64_t i = 0; i < h->n; i++)
        if (s->faces[i].on[1] >= 0 && !s->faces[i].more)
            add_to_edge(s, s->faces[i].on[0], s->faces[i].on[1], i, i);
    for (int64_t t = 0; t < h->used; t++) {
        for (int j = 0; whet_i_quickhull_is_triangle(h, t) && j < 3; j++) {
            const int64_t u = h->t[t].beside[j];
            if (u == 0 || face_of(s, t) == face_of(s, u)) continue;
            for (int k = 1; k < 3; k++) {
                const int64_t end = h->t[t].v[(j + k) % 3];
                if (end >= 0) add_to_edge(s, face_of(s, t), face_of(s, u), end, -1);
            }
        }
    }
    qsort(s->edges, (size_t)s->n_edges, sizeof *s->edges, by_edge);
    for (int64_t i = 0, first = 0; i < s->n_edges; i++) {
        const edge_point *e = &s->edges[i], *f = &s->edges[first];
        if (e->face[0] != f->face[0] || e->face[1] != f->face[1]) f = &s->edges[first = i];
        if (e->place >= 0)
            reach[e->place] = e->place == f->lowest ? WHET_REACH_PREDICTED : WHET_REACH_TIED;
    }
    return WHET_OK;
}

static whet_status settle_exactly(whet_ctx *ctx, three *s, whet_reach *reach) {
    for (int64_t i = 0; i < s->hull.n; i++) {
        const faces *f = &s->faces[i];
        reach[i] = f->more                   ? WHET_REACH_ALONE
                   : f->on[0] < 0            ? WHET_REACH_NEVER
                   : s->first[f->on[0]] == i ? WHET_REACH_PREDICTED
                                             : WHET_REACH_TIED;
    }
    return settle_edges(ctx, s, reach);
}

/* ---- what is clear of the rounding ------------------------------------------------------------ */

static void lower_margin(three *s, int64_t corner, int64_t other) {
    const int64_t *x = s->hull.at + 3 * corner, *y = s->hull.at + 3 * other;
    double margin = 0;
    if (corner < 0 || other < 0 || corner == other) return;
    for (int j = 0; j < 3; j++) margin += s->p[3 * corner + j] * (double)(y[j] - x[j]);
    s->margin[corner] = fmin(s->margin[corner], margin);
}

/* By how much a corner is better than all others at the mean of the normals around it. Second best there is a
 * corner beside it, or what is under a triangle around it: farther away the surface only rises. */
static whet_status find_margins(whet_ctx *ctx, three *s) {
    const quickhull *h = &s->hull;
    WHET_TRY(whet_i_calloc(ctx, 3 * h->n, &s->p));
    WHET_TRY(whet_i_alloc(ctx, h->n, &s->margin));
    for (int64_t t = 0; t < h->used; t++)
        for (int j = 0; whet_i_quickhull_is_triangle(h, t) && j < 3; j++)
            for (int k = 0; h->t[t].v[j] >= 0 && k < 3; k++)
                s->p[3 * h->t[t].v[j] + k] += h->t[t].rough[k] / h->t[t].total;
    for (int64_t i = 0; i < h->n; i++) {
        double *p = s->p + 3 * i, total = p[0] + p[1] + p[2];
        for (int k = 0; total > 0 && k < 3; k++) p[k] /= total;
        s->margin[i] = (double)INFINITY;
    }
    for (int64_t t = 0; t < h->used; t++)
        for (int j = 0; whet_i_quickhull_is_triangle(h, t) && j < 3; j++)
            for (int k = 0; k < 3; k++) lower_margin(s, h->t[t].v[j], h->t[t].v[k]);
    for (int64_t i = 0; i < h->n; i++)
        for (int j = 0; h->under[i] >= 0 && j < 3; j++) lower_margin(s, h->t[h->under[i]].v[j], i);
    return WHET_OK;
}

/* Borders are those of programmes. */
static whet_status settle_the_clear(whet_ctx *ctx, three *s, whet_reach *reach) {
    const quickhull *h = &s->hull;
    WHET_TRY(find_margins(ctx, s));
    for (int64_t i = 0; i < h->n; i++) {
        const int64_t *x = h->at + 3 * i, t = h->under[i];
        const double most = (double)(x[0] > x[1]   ? x[0] > x[2] ? x[0] : x[2]
                                       : x[1] > x[2] ? x[1]
                                                   : x[2]);
        const double border = LOCUS_BORDER * most + ROUNDING;
        if (t >= 0 && whet_i_quickhull_height(h, &h->t[t], i) > border) reach[i] = WHET_REACH_NEVER;
        if (t < 0 && s->margin[i] > border) reach[i] = WHET_REACH_ALONE;
    }
    return WHET_OK;
}

whet_status whet_i_locus_three(whet_ctx *ctx, locus_work *w) {
    whet_status status = WHET_OK;
    three s = {.exact = false};
    bool found;
    WHET_TRY_DONE(whet_i_quickhull_alloc(ctx, w->n, &s.hull));
    WHET_TRY_DONE(take_coordinates(ctx, w, &s, &found));
    if (!found) goto done;
    WHET_TRY_DONE(whet_i_quickhull_run(ctx, &s.hull, &found));
    if (!found) goto done;
    if (!s.exact) {
        status = settle_the_clear(ctx, &s, w->reach);
        goto done;
    }
    WHET_TRY_DONE(whet_i_alloc(ctx, s.hull.used, &s.face));
    WHET_TRY_DONE(whet_i_alloc(ctx, s.hull.used, &s.first));
    WHET_TRY_DONE(whet_i_alloc(ctx, w->n, &s.faces));
    join_triangles(&s);
    find_faces(&s);
    status = settle_exactly(ctx, &s, w->reach);
done:
    three_free(ctx, &s);
    return status;
}
