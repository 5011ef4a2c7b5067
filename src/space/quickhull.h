/* SPDX-License-Identifier: Apache-2.0
 * The convex hull of points of three coordinates and of all that is above one of them in each: a triangulated
 * surface over the plane across (1, 1, 1), whose normals are >= 0. */
#ifndef WHET_QUICKHULL_H
#define WHET_QUICKHULL_H

#include "core/core_i.h"

/* Coordinates are below 2 to this: then the signs that decide are exact in 128 bits. */
enum { QUICKHULL_BITS = 40 };

__extension__ typedef __int128 wide;

typedef struct triangle {
    int64_t v[3]; /* corners, in one sense of rotation; -1 - j: the point at infinity of axis j */
    int64_t beside[3];      /* the triangle beyond the edge opposite to v[i] */
    wide normal[3];         /* >= 0; v[0], which is finite, is in its plane */
    double rough[3], total; /* the same, rounded, and their sum */
    int64_t first;          /* points seen under it: a list through `next` */
    int64_t lowest;         /* the farthest below of them, or -1 */
    double depth;
    bool live, seen, queued;
} triangle;

typedef struct quickhull {
    int64_t n;
    int64_t *at; /* [n, 3] */
    triangle *t; /* [room]; the first is that of the three points at infinity */
    int64_t used, room;
    int64_t *unused, n_unused;   /* [room] triangles to be taken again */
    int64_t *pending, n_pending; /* [room] triangles with points below */
    int64_t *found, n_found;     /* [room] triangles that a point is below of, then the new ones */
    int64_t *under;              /* [n] the triangle over a point; -1: a corner of triangles */
    int64_t *next;               /* [n] */
    int64_t *start; /* [n + 3] the new triangle whose edge begins there; points at infinity first */
} quickhull;

/* Room for n >= 1 points, to be filled in at `at`. */
WHET_CHECKED whet_status whet_i_quickhull_alloc(whet_ctx *ctx, int64_t n, quickhull *h);
void whet_i_quickhull_free(whet_ctx *ctx, quickhull *h);
/* Corners that lie in the plane of all their triangles, or of two planes, may remain. *found: whether every
 * other point has been found in its triangle, seen along (1, 1, 1). Cost O(n log n) as a rule. */
WHET_CHECKED whet_status whet_i_quickhull_run(whet_ctx *ctx, quickhull *h, bool *found);
/* How far a point is above the plane of a triangle, along (1, 1, 1): of the right sign, 0 in the plane. */
double whet_i_quickhull_height(const quickhull *h, const triangle *t, int64_t point);
static inline bool whet_i_quickhull_is_triangle(const quickhull *h, int64_t t) {
    return t > 0 && h->t[t].live;
}

#endif
