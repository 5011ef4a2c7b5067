/* SPDX-License-Identifier: Apache-2.0
 * Which loops over lanes run: those of the context's kernel set, or the plain ones. */
#include "space/lanes_i.h"

#include "kernels/kernels_i.h"

const lane_loops *whet_i_lane_loops(whet_ctx *ctx) {
#ifdef WHET_LANES_X86
    const char *set = whet_i_kernels(ctx)->name;
    /* "avx512_bf16" and the like go with their family. */
    const lane_loops *const all[] = {&whet_i_lane_loops_avx512, &whet_i_lane_loops_avx2};
    for (int64_t i = 0; i < WHET_COUNT_OF(all); i++)
        if (strncmp(set, all[i]->name, strlen(all[i]->name)) == 0) return all[i];
#else
    (void)ctx;
#endif
    return &whet_i_lane_loops_ref;
}
