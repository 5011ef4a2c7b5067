/* SPDX-License-Identifier: Apache-2.0
 * The nearest candidate of every node by two sweeps: upwards for its subtree, downwards for the rest,
 * where all that is asked of the siblings is the nearest two. */
#include "space/tree_gates.h"

#include <math.h>

void whet_i_tree_gates_free(whet_ctx *ctx, tree_gates *g) {
    whet_i_free(ctx, g->candidate);
    whet_i_free(ctx, g->below);
    whet_i_free(ctx, g->beyond);
    *g = (tree_gates){0};
}

static void sweep_up(const space_tree *tree, int64_t n, tree_gates *g) {
    for (int64_t v = 0; v < n; v++) g->below[v] = g->candidate[v] ? 0 : (double)INFINITY;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t v = tree->order[i], up = tree->parent[v];
        g->below[up] = fmin(g->below[up], tree->length[v] + g->below[v]);
    }
}

/* The nearest sibling's candidate, seen from the parent: children are sorted by that. */
static double nearest_beside(const space_tree *tree, const tree_index *t, const tree_gates *g,
                             int64_t v) {
    const int32_t from = t->first_child[tree->parent[v]], to = t->first_child[tree->parent[v] + 1];
    const int32_t place = t->child[from] == v ? from + 1 : from;
    if (place == to) return (double)INFINITY;
    return tree->length[t->child[place]] + g->below[t->child[place]];
}

static void sweep_down(const space_tree *tree, int64_t n, const tree_index *t, tree_gates *g) {
    g->beyond[tree->order[0]] = (double)INFINITY;
    for (int64_t i = 1; i < n; i++) {
        const int64_t v = tree->order[i], up = tree->parent[v];
        const double from_up = g->candidate[up] ? 0 : g->beyond[up];
        g->beyond[v] = tree->length[v] + fmin(from_up, nearest_beside(tree, t, g, v));
    }
}

whet_status whet_i_tree_gates_create(whet_ctx *ctx, const space_tree *tree, const int64_t *points,
                                     int64_t count, tree_index *index, tree_gates *out) {
    whet_status status = WHET_OK;
    tree_gates g = {0};
    const int64_t n = index->n;
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &g.candidate));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &g.below));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &g.beyond));
    for (int64_t i = 0; i < count; i++) g.candidate[points[i]] = true;
    sweep_up(tree, n, &g);
    for (int64_t v = 0; v < n; v++) g.beyond[v] = tree->length[v] + g.below[v];
    WHET_TRY_DONE(whet_i_tree_sort_children(ctx, index, g.beyond));
    sweep_down(tree, n, index, &g);
    *out = g;
    g = (tree_gates){0};
done:
    whet_i_tree_gates_free(ctx, &g);
    return status;
}
