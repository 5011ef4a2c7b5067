/* SPDX-License-Identifier: Apache-2.0
 * Distances from each of k observed points of a graph to all N, as small as they can be held without
 * loss: hops in a byte or two, weighted distances in f64. N distances of one observed point lie
 * together. Read-only once made. */
#ifndef WHET_GRAPH_ROWS_H
#define WHET_GRAPH_ROWS_H

#include "space/space_i.h"

typedef struct graph_rows {
    int64_t n, k;
    uint8_t *hops8; /* [k, n]; exactly one of the three is set */
    uint16_t *hops16;
    double *lengths;
} graph_rows;

/* k searches, in parallel. Errors: NOMEM, CANCELLED, LIMIT. */
WHET_CHECKED whet_status whet_i_graph_rows_make(whet_ctx *ctx, const space_graph *graph, int64_t n,
                                                const int64_t *observed, int64_t k,
                                                graph_rows *out);
void whet_i_graph_rows_free(whet_ctx *ctx, graph_rows *rows);

static inline double whet_i_graph_rows_at(const graph_rows *r, int64_t observed, int64_t point) {
    const int64_t at = observed * r->n + point;
    return r->hops8 ? r->hops8[at] : r->hops16 ? r->hops16[at] : r->lengths[at];
}

#endif
