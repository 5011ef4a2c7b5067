/* SPDX-License-Identifier: Apache-2.0
 * A binary heap of points by a distance, the least on top: of Dijkstra's searches, with lazy deletion. A
 * point enters once an edge end at most, and once as the source. */
#ifndef WHET_POINT_HEAP_H
#define WHET_POINT_HEAP_H

#include <stdint.h>

typedef struct point_heap {
    int32_t *point;   /* [edge ends + 1] */
    double *priority; /* the same */
    int64_t n;
} point_heap;

static inline void heap_push(point_heap *h, int32_t point, double priority) {
    int64_t at = h->n++;
    while (at > 0) {
        const int64_t up = (at - 1) / 2;
        if (h->priority[up] <= priority) break;
        h->priority[at] = h->priority[up];
        h->point[at] = h->point[up];
        at = up;
    }
    h->priority[at] = priority;
    h->point[at] = point;
}

static inline void heap_pop(point_heap *h) {
    const int64_t n = --h->n;
    const double priority = h->priority[n];
    const int32_t point = h->point[n];
    int64_t at = 0;
    for (;;) {
        int64_t down = 2 * at + 1;
        if (down >= n) break;
        if (down + 1 < n && h->priority[down + 1] < h->priority[down]) down++;
        if (priority <= h->priority[down]) break;
        h->priority[at] = h->priority[down];
        h->point[at] = h->point[down];
        at = down;
    }
    h->priority[at] = priority;
    h->point[at] = point;
}

#endif
