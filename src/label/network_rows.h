/* SPDX-License-Identifier: Apache-2.0
 * Rows through a recorded network, forward: what feature maps that are networks share. */
#ifndef WHET_LABEL_NETWORK_ROWS_H
#define WHET_LABEL_NETWORK_ROWS_H

#include "io/io_i.h"
#include "nn/nn_i.h"

typedef struct whet_i_network_rows {
    const char *stage;         /* of progress */
    const whet_i_graph *graph; /* whose only feed is [B, d], reals */
    whet_i_value value;        /* [B, columns]: what comes out */
    int64_t d;
    /* Writes what is fed for row i to out [d]; `worker` in 0..threads-1 may own room in arg. It cannot
     * fail, and a row's numbers depend on the row alone. */
    void (*fill)(void *arg, int64_t i, int32_t worker, float *out);
    void *arg;
} whet_i_network_rows;

/* Packs what forward passes to `value` multiply by: once, when the parameters have their values. */
WHET_CHECKED whet_status whet_i_network_pack(whet_ctx *ctx, const whet_i_graph *graph,
                                             whet_i_value value);

/* out [n, columns], not training: no dropout or noise, running statistics. A thread takes a block of
 * rows through all layers; a row's bits depend on that row alone. Reads the graph only.
 * Errors: LIMIT, NOMEM, CANCELLED, DATA (what comes out is not finite, as weights are not; out is then
 * written). */
WHET_CHECKED whet_status whet_i_network_rows_run(whet_ctx *ctx, const whet_i_network_rows *network,
                                                 int64_t n, float *out);

/* Views of all parameters under their own names. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_network_put(whet_ctx *ctx, const whet_i_params *params,
                                            whet_i_store *store);

#endif
