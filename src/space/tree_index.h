/* SPDX-License-Identifier: Apache-2.0
 * A tree made ready for questions about single nodes: common ancestors, distances, ancestors at a
 * height, branches, each in O(log N) with few steps, by heavy paths (Sleator & Tarjan 1983). Nodes of
 * a heavy path are numbered one after another, the heavy child next to its parent, so that a subtree
 * is an interval of positions. 44 bytes a node. Read-only: may be shared. */
#ifndef WHET_TREE_INDEX_H
#define WHET_TREE_INDEX_H

#include "space/space_i.h"

typedef struct tree_index {
    int64_t n;
    int32_t *parent;              /* [n] -1 at the root */
    int32_t *head;                /* [n] highest node of the heavy path */
    int32_t *position, *at;       /* [n] by node, and back */
    int32_t *size;                /* [n] nodes of the subtree */
    int32_t *first_child, *child; /* [n + 1], [n - 1]: children by length, then by node; or */
                                  /* as sorted since */
    double *depth;                /* [n] distance from the root, rounded, */
    double *rest;                 /* [n] and what the rounding left */
} tree_index;

/* Errors: NOMEM, LIMIT (2^31 nodes). O(N log of the largest degree). */
WHET_CHECKED whet_status whet_i_tree_index_create(whet_ctx *ctx, const space_tree *tree, int64_t n,
                                                  tree_index **out);
/* Orders the children of every node by key [n], then by node. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_tree_sort_children(whet_ctx *ctx, tree_index *index,
                                                   const double *key);
void whet_i_tree_index_destroy(whet_ctx *ctx, tree_index *index);

static inline int32_t whet_i_tree_ancestor(const tree_index *t, int32_t a, int32_t b) {
    while (t->head[a] != t->head[b]) {
        if (t->position[t->head[a]] > t->position[t->head[b]])
            a = t->parent[t->head[a]];
        else
            b = t->parent[t->head[b]];
    }
    return t->position[a] < t->position[b] ? a : b;
}

/* From an ancestor down to a node: right to a few units in the last place, however deep both are. */
static inline double whet_i_tree_descent(const tree_index *t, int32_t above, int32_t below) {
    return (t->depth[below] - t->depth[above]) + (t->rest[below] - t->rest[above]);
}

/* The child of `above` whose subtree holds `below`, a strict descendant. */
static inline int32_t whet_i_tree_branch(const tree_index *t, int32_t above, int32_t below) {
    int32_t from = below;
    while (t->head[from] != t->head[above]) {
        from = t->head[from];
        if (t->parent[from] == above) return from;
        from = t->parent[from];
    }
    return t->at[t->position[above] + 1];
}

/* Of the nodes from `below` up to its ancestor `above`, the highest that is at least `far` away from
 * `above`. */
int32_t whet_i_tree_lift(const tree_index *t, int32_t above, int32_t below, double far);

#endif
