/* SPDX-License-Identifier: Apache-2.0
 * Distances from each of k observed points of a graph to others, as small as they can be held without
 * loss: hops in one, two or four bytes, weighted distances in f64. Read-only once made. */
#ifndef WHET_GRAPH_ROWS_H
#define WHET_GRAPH_ROWS_H

#include "space/space_i.h"

typedef struct graph_rows {
    int64_t n, k;
    uint8_t *hops8; /* exactly one of the four is set */
    uint16_t *hops16;
    uint32_t *hops32;
    double *lengths;
    int64_t longest; /* hops, that of no observed point goes beyond */
    /* Where those of one observed point lie: [observed * by_observed + point * by_point]. Hops for
     * products lie by point, k of them together and zeros up to by_point; others by observed point. */
    int64_t by_observed, by_point;
} graph_rows;

/* Distances to all points of the graph, or to `points` [n_points] in their order (not NULL: by observed
 * point). k sources, in parallel. Errors: NOMEM, CANCELLED, LIMIT. */
WHET_CHECKED whet_status whet_i_graph_rows_make(whet_ctx *ctx, const whet_space *space,
                                                const int64_t *observed, int64_t k,
                                                const int64_t *points, int64_t n_points,
                                                graph_rows *out);
void whet_i_graph_rows_free(whet_ctx *ctx, graph_rows *rows);

static inline double whet_i_graph_rows_at(const graph_rows *r, int64_t observed, int64_t point) {
    const int64_t at = observed * r->by_observed + point * r->by_point;
    return r->hops8    ? r->hops8[at]
           : r->hops16 ? r->hops16[at]
           : r->hops32 ? r->hops32[at]
                       : r->lengths[at];
}

/* A bound on the hops between any of the observed points and any point. */
WHET_CHECKED whet_status whet_i_graph_longest(whet_ctx *ctx, const whet_space *space,
                                              const int64_t *observed, int64_t k, int64_t *out);

#endif
