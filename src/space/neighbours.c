/* SPDX-License-Identifier: Apache-2.0
 * From an edge list as read to points and their neighbours: what trees and graphs share.
 * Legend: n points, m edges. */
#include <math.h>

#include "space/space_i.h"

whet_status whet_i_check_length(whet_ctx *ctx, double length) {
    if (length >= 0 && isfinite(length)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "an edge has length %g; expected 0 or more", length);
}

static whet_status check_edges(whet_ctx *ctx, const whet_edges *edges) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t e = 0; e < edges->n_edges; e++) {
        if (edges->from[e] == edges->to[e])
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "node %s is joined to itself; expected edges between two nodes",
                               whet_i_quote(quoted, whet_names_get(edges->names, edges->to[e])));
        WHET_TRY(whet_i_check_length(ctx, edges->length[e]));
    }
    return WHET_OK;
}

/* The points in the order that whet_i_number_points gives: names[map[i]] = nodes[i]. */
static whet_status renamed(whet_ctx *ctx, const whet_names *nodes, const int64_t *map,
                           whet_names **out) {
    whet_status status = WHET_OK;
    whet_names *names = NULL;
    int64_t *back = NULL;
    const int64_t n = whet_names_count(nodes);
    if (whet_i_names_are_numbers(nodes)) return whet_i_names_numbered(ctx, n, out);
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &back));
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    for (int64_t i = 0; i < n; i++) back[map[i]] = i;
    for (int64_t i = 0; i < n; i++)
        WHET_TRY_DONE(whet_names_add(ctx, names, whet_names_get(nodes, back[i]), NULL));
    *out = names;
    names = NULL;
done:
    whet_names_destroy(ctx, names);
    whet_i_free(ctx, back);
    return status;
}

whet_status whet_i_edges_begin(whet_ctx *ctx, space_kind kind, const whet_edges *edges,
                               int64_t **from, int64_t **to, whet_space **out) {
    whet_status status = WHET_OK;
    whet_space *space = NULL;
    whet_names *names = NULL;
    int64_t *map = NULL, *f = NULL, *t = NULL;
    const int64_t n = whet_names_count(edges->names);
    WHET_TRY(check_edges(ctx, edges));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &map));
    whet_i_number_points(edges->names, map);
    WHET_TRY_DONE(renamed(ctx, edges->names, map, &names));
    WHET_TRY_DONE(whet_i_space_begin(ctx, kind, n, NULL, &space));
    whet_names_destroy(ctx, space->names); /* numbers, made in no time; a copy of names is not */
    space->names = names;
    names = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, edges->n_edges, &f));
    WHET_TRY_DONE(whet_i_alloc(ctx, edges->n_edges, &t));
    for (int64_t e = 0; e < edges->n_edges; e++) {
        f[e] = map[edges->from[e]];
        t[e] = map[edges->to[e]];
    }
    *from = f;
    *to = t;
    *out = space;
    space = NULL;
    f = t = NULL;
done:
    whet_space_destroy(ctx, space);
    whet_i_free(ctx, t);
    whet_i_free(ctx, f);
    whet_names_destroy(ctx, names);
    whet_i_free(ctx, map);
    return status;
}

void whet_i_neighbours_free(whet_ctx *ctx, space_graph *g) {
    whet_i_free(ctx, g->first);
    whet_i_free(ctx, g->neighbour);
    whet_i_free(ctx, g->length);
}

whet_status whet_i_neighbours(whet_ctx *ctx, int64_t n, int64_t m, const int64_t *from,
                              const int64_t *to, const double *length, space_graph *out) {
    whet_status status = WHET_OK;
    space_graph g = {0};
    int64_t ends, firsts;
    bool hops = true;
    for (int64_t e = 0; e < m && hops; e++) hops = length[e] == 1;
    if (n > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%lld nodes; expected at most %d", (long long)n,
                           INT32_MAX);
    WHET_TRY(whet_i_mul(ctx, m, 2, &ends));
    WHET_TRY(whet_i_add(ctx, n, 2, &firsts));
    WHET_TRY_DONE(whet_i_calloc(ctx, firsts, &g.first));
    WHET_TRY_DONE(whet_i_alloc(ctx, ends, &g.neighbour));
    if (!hops) WHET_TRY_DONE(whet_i_alloc(ctx, ends, &g.length));
    /* Counting sort, shifted by two so that filling leaves each first[v] in place. */
    for (int64_t e = 0; e < m; e++) {
        g.first[from[e] + 2]++;
        g.first[to[e] + 2]++;
    }
    for (int64_t v = 2; v < firsts; v++) g.first[v] += g.first[v - 1];
    for (int64_t e = 0; e < m; e++) {
        const int64_t at_from = g.first[from[e] + 1]++, at_to = g.first[to[e] + 1]++;
        g.neighbour[at_from] = (int32_t)to[e];
        g.neighbour[at_to] = (int32_t)from[e];
        if (!hops) g.length[at_from] = g.length[at_to] = length[e];
        if (!hops) g.longest = fmax(g.longest, length[e]);
    }
    *out = g;
    return WHET_OK;
done:
    whet_i_neighbours_free(ctx, &g);
    return status;
}
