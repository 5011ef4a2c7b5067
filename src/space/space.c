/* SPDX-License-Identifier: Apache-2.0
 * Label spaces of any kind: making, releasing, names, distances. What differs between kinds is in
 * tree.c, matrix.c, embedding.c, graph.c, grid.c. */
#include <math.h>

#include "space/space_i.h"

static whet_status copy_names(whet_ctx *ctx, const whet_names *names, whet_names **out) {
    whet_status status = WHET_OK;
    const int64_t n = whet_names_count(names);
    if (whet_i_names_are_numbers(names)) return whet_i_names_numbered(ctx, n, out);
    WHET_TRY(whet_names_create(ctx, out));
    for (int64_t i = 0; i < n && status == WHET_OK; i++)
        status = whet_names_add(ctx, *out, whet_names_get(names, i), NULL);
    return status;
}

whet_status whet_i_space_begin(whet_ctx *ctx, space_kind kind, int64_t n, const whet_names *names,
                               whet_space **out) {
    if (n < 1)
        return whet_i_fail(ctx, WHET_ERR_DATA, "the space has no points; expected 1 or more");
    if (names && whet_names_count(names) != n)
        return whet_i_fail(ctx, WHET_ERR_SHAPE, "%lld names for %lld points; expected one each",
                           (long long)whet_names_count(names), (long long)n);
    whet_status status = WHET_OK;
    whet_space *space;
    WHET_TRY(whet_i_calloc(ctx, 1, &space));
    space->kind = kind;
    space->n = n;
    if (names)
        WHET_TRY_DONE(copy_names(ctx, names, &space->names));
    else
        WHET_TRY_DONE(whet_i_names_numbered(ctx, n, &space->names));
    *out = space;
    return WHET_OK;
done:
    whet_space_destroy(ctx, space);
    return status;
}

void whet_space_destroy(whet_ctx *ctx, whet_space *space) {
    if (!space) return;
    whet_names_destroy(ctx, space->names);
    whet_i_free(ctx, space->tree.parent);
    whet_i_free(ctx, space->tree.length);
    whet_i_free(ctx, space->tree.hops);
    whet_i_free(ctx, space->tree.order);
    whet_i_free(ctx, space->tree.degree);
    whet_i_free(ctx, space->matrix.f64);
    whet_i_free(ctx, space->matrix.f32);
    whet_i_free(ctx, space->embedding.f64);
    whet_i_free(ctx, space->embedding.f32);
    whet_i_free(ctx, space->embedding.scale);
    whet_i_free(ctx, space->matrix.row);
    whet_i_neighbours_free(ctx, &space->graph);
    whet_i_free(ctx, space->graph.matrix.f64);
    whet_i_free(ctx, space);
}

int64_t whet_space_size(const whet_space *space) { return space->n; }

const whet_names *whet_space_names(const whet_space *space) { return space->names; }

double whet_space_distance(const whet_space *space, int64_t a, int64_t b) {
    switch (space->kind) {
    case SPACE_DISCRETE: return a == b ? 0 : 1;
    case SPACE_MATRIX:
        if (!space->matrix.row) return whet_i_matrix_at(&space->matrix, a * space->n + b);
        if (a == b) return 0;
        if (space->matrix.row[a] >= 0)
            return whet_i_matrix_at(&space->matrix, space->matrix.row[a] * space->n + b);
        if (space->matrix.row[b] >= 0)
            return whet_i_matrix_at(&space->matrix, space->matrix.row[b] * space->n + a);
        break;
    case SPACE_EMBEDDING: return whet_i_embedding_distance(&space->embedding, a, b);
    case SPACE_TREE: return whet_i_tree_distance(&space->tree, a, b);
    case SPACE_GRID: return whet_i_grid_distance(&space->grid, a, b);
    case SPACE_GRAPH:
        if (space->graph.matrix.f64)
            return whet_i_matrix_at(&space->graph.matrix, a * space->n + b);
        break;
    }
    return (double)NAN;
}

/* Pairs by `to`, one search for each distinct one: counting sort. */
static whet_status graph_distances(whet_ctx *ctx, const whet_space *space, const int64_t *from,
                                   const int64_t *to, int64_t n, double *out) {
    whet_status status = WHET_OK;
    int64_t *first = NULL, *pair = NULL;
    double *all = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, space->n + 2, &first));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &pair));
    WHET_TRY_DONE(whet_i_alloc(ctx, space->n, &all));
    for (int64_t i = 0; i < n; i++) first[to[i] + 2]++;
    for (int64_t v = 2; v < space->n + 2; v++) first[v] += first[v - 1];
    for (int64_t i = 0; i < n; i++) pair[first[to[i] + 1]++] = i;
    for (int64_t v = 0; v < space->n; v++) {
        if (first[v] == first[v + 1]) continue;
        WHET_TRY_DONE(whet_i_graph_distances(ctx, &space->graph, space->n, v, all));
        for (int64_t i = first[v]; i < first[v + 1]; i++) out[pair[i]] = all[from[pair[i]]];
    }
done:
    whet_i_free(ctx, all);
    whet_i_free(ctx, pair);
    whet_i_free(ctx, first);
    return status;
}

static whet_status not_known(whet_ctx *ctx, const whet_space *space, int64_t a, int64_t b) {
    char one[WHET_QUOTE_SIZE], two[WHET_QUOTE_SIZE];
    return whet_i_fail(
        ctx, WHET_ERR_DATA,
        "the distance of %s and %s is not known; expected one of them among the rows of the "
        "matrix",
        whet_i_quote(one, whet_names_get(space->names, a)),
        whet_i_quote(two, whet_names_get(space->names, b)));
}

whet_status whet_space_distances(whet_ctx *ctx, const whet_space *space, const int64_t *from,
                                 const int64_t *to, int64_t n, double *out) {
    for (int64_t i = 0; i < n; i++) {
        if (from[i] >= 0 && from[i] < space->n && to[i] >= 0 && to[i] < space->n) continue;
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "pair %lld is of points %lld and %lld; expected 0..%lld", (long long)i,
                           (long long)from[i], (long long)to[i], (long long)space->n - 1);
    }
    if (space->kind == SPACE_GRAPH && !space->graph.matrix.f64)
        return graph_distances(ctx, space, from, to, n, out);
    for (int64_t i = 0; i < n; i++) {
        out[i] = whet_space_distance(space, from[i], to[i]);
        if (isnan(out[i])) return not_known(ctx, space, from[i], to[i]);
    }
    return WHET_OK;
}

whet_status whet_i_space_discrete(whet_ctx *ctx, const whet_names *names, int64_t n,
                                  whet_space **out) {
    return whet_i_space_begin(ctx, SPACE_DISCRETE, n, names, out);
}

/* ---- names ----------------------------------------------------------------------------------- */

void whet_i_number_points(const whet_names *nodes, int64_t *map) {
    const int64_t n = whet_names_count(nodes);
    bool numbered = true;
    for (int64_t i = 0; i < n && whet_i_names_are_numbers(nodes); i++) map[i] = i;
    if (whet_i_names_are_numbers(nodes)) return;
    /* Names are distinct: n of them below n are all of 0..n-1. */
    for (int64_t i = 0; i < n && numbered; i++) {
        map[i] = whet_i_plain_number(whet_names_get(nodes, i), n);
        numbered = map[i] >= 0;
    }
    for (int64_t i = 0; i < n && !numbered; i++) map[i] = i;
}

whet_status whet_space_find(whet_ctx *ctx, const whet_space *space, whet_str name, int64_t *out) {
    const int64_t found = whet_names_find(space->names, name);
    if (found >= 0) {
        *out = found;
        return WHET_OK;
    }
    char quoted[WHET_QUOTE_SIZE], other[WHET_QUOTE_SIZE];
    const int64_t near = whet_i_nearest_name(space->names, name);
    whet_i_quote(quoted, name);
    if (near < 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "class %s is not in the label space; expected one of its %lld names, "
                           "such as %s",
                           quoted, (long long)space->n,
                           whet_i_quote(other, whet_names_get(space->names, 0)));
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "class %s is not in the label space; expected one of its %lld names; try %s",
                       quoted, (long long)space->n,
                       whet_i_quote(other, whet_names_get(space->names, near)));
}

whet_status whet_space_find_all(whet_ctx *ctx, const whet_space *space, const whet_names *names,
                                int64_t *out) {
    /* Found twice: first to fail before anything is written, then to write. */
    int64_t place;
    for (int64_t i = 0; i < whet_names_count(names); i++)
        WHET_TRY(whet_space_find(ctx, space, whet_names_get(names, i), &place));
    for (int64_t i = 0; i < whet_names_count(names); i++)
        out[i] = whet_names_find(space->names, whet_names_get(names, i));
    return WHET_OK;
}
