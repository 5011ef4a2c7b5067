/* SPDX-License-Identifier: Apache-2.0
 * Tensors side by side: where many are to be merged, each thread takes one whole, so that threads do not
 * wait for each other within it. */
#ifndef WHET_MERGE_LANES_H
#define WHET_MERGE_LANES_H

#include "merge/merge_plan.h"

/* What one thread has to itself: a context of one thread, what is kept of a tensor from pass to pass, room
 * for the settings of an item. */
typedef struct whet_i_merge_lane {
    whet_ctx *ctx;
    whet_i_merge_block block;
    double (*setting)[WHET_I_SET_COUNT]; /* [WHET_MERGE_MODELS_MAX] */
} whet_i_merge_lane;

typedef struct whet_i_merge_lanes whet_i_merge_lanes;

/* As many as the context has threads. NOMEM. */
WHET_CHECKED whet_status whet_i_merge_lanes_create(whet_ctx *ctx, whet_i_merge_lanes **out);
void whet_i_merge_lanes_destroy(whet_ctx *ctx, whet_i_merge_lanes *lanes);

/* fn(arg, i, lane, parent) for each of n items, begun in their order. `parent` is ctx, for progress, in the
 * thread that owns it; elsewhere NULL. Behind one that fails none is begun, those before it all are, and of
 * those that fail the first is told: what it would be if they went one by one. Errors: fn's, CANCELLED. */
WHET_CHECKED whet_status whet_i_merge_lanes_run(
    whet_ctx *ctx, whet_i_merge_lanes *lanes, const int64_t *items, int64_t n,
    whet_status (*fn)(void *arg, int64_t i, whet_i_merge_lane *lane, whet_ctx *parent), void *arg);

#endif
