/* SPDX-License-Identifier: Apache-2.0
 * Where candidates hang in a tree: how far from each node the nearest one is, below it and beyond its
 * parent. 17 bytes a node. Read-only: may be shared. */
#ifndef WHET_TREE_GATES_H
#define WHET_TREE_GATES_H

#include "space/tree_index.h"

typedef struct tree_gates {
    bool *candidate; /* [n] */
    double *below;   /* [n] to the nearest candidate in the subtree of the node; infinity: none */
    double *beyond;  /* [n] to the nearest one outside that subtree; infinity: none */
} tree_gates;

/* Also sorts the children in `index` by the distance from their parent to their nearest candidate.
 * points [count] are the candidates. Errors: NOMEM. O(N log of the largest degree). */
WHET_CHECKED whet_status whet_i_tree_gates_create(whet_ctx *ctx, const space_tree *tree,
                                                  const int64_t *points, int64_t count,
                                                  tree_index *index, tree_gates *out);
void whet_i_tree_gates_free(whet_ctx *ctx, tree_gates *gates);

#endif
