/* SPDX-License-Identifier: Apache-2.0
 * Breadth-first search from many points at once in a graph of unit lengths, a bit a source (Then et al.,
 * "The More the Merrier: Efficient Multi-Source Graph Traversal", VLDB 2014): an edge is walked once for
 * all sources that come over it in the same step, which in graphs of few hops are most of them. */
#ifndef WHET_HOP_SEARCH_H
#define WHET_HOP_SEARCH_H

#include "space/space_i.h"

enum { HOP_SOURCES = 64 };

/* What one worker has in hands. Arrays are all zero between searches but for what `touched` lists. */
typedef struct hop_search {
    const space_graph *graph;
    int64_t n;
    uint64_t *seen;        /* [n] the sources that have come to a point */
    uint64_t *now;         /* [n] those that came in the last step */
    uint64_t *next;        /* [n] scratch */
    uint64_t all;          /* of the sources */
    int32_t *list, *found; /* [n] points that the last step came to; scratch */
    int32_t *touched;      /* [n] points that any source has come to */
    int64_t n_list, n_touched;
    bool dense;      /* the last step left no list */
    bool everywhere; /* a step went over all points: what is touched is not known */
} hop_search;

/* Hops from each source, written as they are found: those to point v lie at [v * stride]. To be zero. */
typedef struct hop_block {
    int32_t width;  /* bytes of a number: 1, 2 or 4 */
    int64_t stride; /* a multiple of 8 */
    void *at;
} hop_block;

WHET_CHECKED whet_status whet_i_hops_create(whet_ctx *ctx, const space_graph *graph, int64_t n,
                                            hop_search *out);
void whet_i_hops_free(whet_ctx *ctx, hop_search *s);
/* Forgets the last search; sources [count] distinct points, at most HOP_SOURCES. */
void whet_i_hops_begin(hop_search *s, const int64_t *sources, int64_t count);
/* One hop farther, for the sources in `alive`; false when nothing new is reached. */
bool whet_i_hops_step(hop_search *s, uint64_t alive);
/* Writes `level` for all that the last step reached. */
void whet_i_hops_mark(const hop_search *s, const hop_block *out, int64_t level);
/* The whole search. */
void whet_i_hops_run(hop_search *s, const int64_t *sources, int64_t count, const hop_block *out);

#endif
