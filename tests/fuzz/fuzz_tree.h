/* SPDX-License-Identifier: Apache-2.0
 * One body for the readers of trees and graphs. */
#ifndef WHET_FUZZ_TREE_H
#define WHET_FUZZ_TREE_H

#include "fuzz.h"

#include "io/edges_i.h"

static inline void fuzz_tree(whet_status (*parse)(whet_ctx *ctx, const char *where,
                                                  const char *bytes, int64_t len, whet_edges *out),
                             const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_edges edges = {0};
    const whet_status status = parse(ctx, "f", (const char *)data, (int64_t)size, &edges);
    if (status == WHET_OK) {
        const int64_t nodes = whet_names_count(edges.names);
        for (int64_t i = 0; i < edges.n_edges; i++) {
            FUZZ_REQUIRE(edges.from[i] >= 0 && edges.from[i] < nodes);
            FUZZ_REQUIRE(edges.to[i] >= 0 && edges.to[i] < nodes);
            FUZZ_REQUIRE(edges.length[i] >= 0 && edges.length[i] * 0 == 0);
        }
        if (edges.rooted && nodes) FUZZ_REQUIRE(edges.n_edges < nodes);
        whet_edges_destroy(ctx, &edges);
    }
    fuzz_end(ctx, status);
}

#endif
