/* SPDX-License-Identifier: Apache-2.0
 * Points by a distance, the least first: the queue of Dijkstra's searches. Distances that are taken never
 * fall, and none goes in that is longer than the last one taken by more than an edge: so what lies a
 * 60th of the longest edge and more ahead waits in one of 64 unsorted lists, by distance, and only what is
 * near goes through a binary heap, which stays small enough for the cache. Order, and with it all results,
 * are those of the heap alone. Of points that come nearer while they are in the heap the old entries stay:
 * who takes one sees that it is farther than is known.
 * Source: Denardo & Fox 1979, buckets for shortest paths (Operations Research 27); heap of the first. */
#ifndef WHET_POINT_QUEUE_H
#define WHET_POINT_QUEUE_H

#include <math.h>

#include "space/space_i.h"

enum { QUEUE_LISTS = 64, QUEUE_AHEAD = 32 /* edges of a point that are asked for ahead */ };

typedef struct point_queue {
    int32_t
        *point; /* heap: [edge ends + 1], a point once an edge end at most, once as the source */
    double *priority;     /* the same */
    int64_t n;            /* in the heap */
    int32_t *next, *last; /* [points] neighbours in a list, -1 at its ends */
    int32_t first[QUEUE_LISTS];
    uint64_t some;       /* lists that are not empty */
    int64_t near;        /* steps of distance that are in the heap: up to this one */
    double steps_a_unit; /* 0: everything is */
} point_queue;

static inline int64_t queue_step(const point_queue *q, double distance) {
    return (int64_t)(distance * q->steps_a_unit);
}

/* longest: of all edges. */
static inline void queue_begin(point_queue *q, double longest) {
    const double steps = (QUEUE_LISTS - 4) / longest;
    q->steps_a_unit = isfinite(steps) ? steps : 0;
    q->n = 0;
    q->near = 0;
    q->some = 0;
}

static inline void heap_push(point_queue *q, int32_t point, double priority) {
    int64_t at = q->n++;
    while (at > 0) {
        const int64_t up = (at - 1) / 2;
        if (q->priority[up] <= priority) break;
        q->priority[at] = q->priority[up];
        q->point[at] = q->point[up];
        at = up;
    }
    q->priority[at] = priority;
    q->point[at] = point;
}

static inline void heap_pop(point_queue *q) {
    const int64_t n = --q->n;
    const double priority = q->priority[n];
    const int32_t point = q->point[n];
    int64_t at = 0;
    for (;;) {
        int64_t down = 2 * at + 1;
        if (down >= n) break;
        if (down + 1 < n && q->priority[down + 1] < q->priority[down]) down++;
        if (priority <= q->priority[down]) break;
        q->priority[at] = q->priority[down];
        q->point[at] = q->point[down];
        at = down;
    }
    q->priority[at] = priority;
    q->point[at] = point;
}

static inline void list_remove(point_queue *q, int32_t point, int64_t list) {
    const int32_t next = q->next[point], last = q->last[point];
    if (next >= 0) q->last[next] = last;
    if (last >= 0)
        q->next[last] = next;
    else
        q->first[list] = next;
    if (last < 0 && next < 0) q->some &= ~((uint64_t)1 << list);
}

static inline void list_add(point_queue *q, int32_t point, int64_t list) {
    const bool any = q->some >> list & 1;
    q->next[point] = any ? q->first[list] : -1;
    q->last[point] = -1;
    if (any) q->last[q->first[list]] = point;
    q->first[list] = point;
    q->some |= (uint64_t)1 << list;
}

/* old: the distance that it has waited with; infinite when it is new. */
static inline void queue_push(point_queue *q, int32_t point, double old, double distance) {
    const int64_t step = queue_step(q, distance);
    if (old < (double)INFINITY && queue_step(q, old) > q->near)
        list_remove(q, point, queue_step(q, old) % QUEUE_LISTS);
    if (step <= q->near)
        heap_push(q, point, distance);
    else
        list_add(q, point, step % QUEUE_LISTS);
}

/* Asks for what settling the first n of the heap reads, all at once: one by one each would be waited for. */
static inline void queue_prefetch(const point_queue *q, const space_graph *g, const double *far) {
    for (int64_t i = 0; i < q->n; i++) {
        const int64_t e = g->first[q->point[i]];
        __builtin_prefetch(&g->neighbour[e]);
        __builtin_prefetch(&g->length[e]);
    }
    for (int64_t i = 0; i < q->n; i++) {
        const int64_t v = q->point[i];
        for (int64_t e = g->first[v]; e < g->first[v + 1] && e < g->first[v] + QUEUE_AHEAD; e++)
            __builtin_prefetch(&far[g->neighbour[e]]);
    }
}

/* The next list becomes the heap, which is empty; far: distances of all points. */
static inline void queue_advance(point_queue *q, const space_graph *g, const double *far) {
    const int64_t turn = (q->near + 1) % QUEUE_LISTS;
    const uint64_t ahead = turn ? q->some >> turn | q->some << (QUEUE_LISTS - turn) : q->some;
    q->near += 1 + __builtin_ctzll(ahead);
    const int64_t list = q->near % QUEUE_LISTS;
    q->some &= ~((uint64_t)1 << list);
    for (int32_t v = q->first[list]; v >= 0; v = q->next[v]) {
        __builtin_prefetch(&g->first[v]);
        __builtin_prefetch(&far[v]);
        q->point[q->n++] = v;
    }
    const int64_t n = q->n;
    queue_prefetch(q, g, far);
    q->n = 0;
    for (int64_t i = 0; i < n; i++) heap_push(q, q->point[i], far[q->point[i]]);
}

/* The nearest of all, left where it is; false when there is none. */
static inline bool queue_peek(point_queue *q, const space_graph *g, const double *far,
                              int32_t *point, double *distance) {
    while (q->n == 0) {
        if (!q->some) return false;
        queue_advance(q, g, far);
    }
    *point = q->point[0];
    *distance = q->priority[0];
    return true;
}

#endif
