/* SPDX-License-Identifier: Apache-2.0
 * Parallel loops over OpenMP's pool, which oneDNN and OpenBLAS share. Work is cut into items that
 * do not depend on the thread count, so results do not either. */
#include <omp.h>

#include "core/context.h"

whet_status whet_i_parallel_for(whet_ctx *ctx, const char *stage, int64_t n,
                                void (*fn)(void *arg, int64_t i, int32_t worker), void *arg) {
    atomic_int_fast64_t next = 0, finished = 0;
    atomic_bool cancelled = false;
    const int64_t most = n < ctx->threads ? n : ctx->threads;
    const int workers = most < 1 ? 1 : (int)most;
    WHET_TRY(whet_i_progress(ctx, stage, 0, n));
#pragma omp parallel num_threads(workers)
    {
        const int32_t worker = omp_get_thread_num();
        for (;;) {
            const int64_t i = atomic_fetch_add(&next, 1);
            if (i >= n || atomic_load(&cancelled)) break;
            fn(arg, i, worker);
            const int64_t done = atomic_fetch_add(&finished, 1) + 1;
            if (worker != 0) continue;
            if (whet_i_cancelled(ctx)) atomic_store(&cancelled, true);
            if (stage && ctx->progress) ctx->progress(ctx->user, stage, done, n);
        }
    }
    if (atomic_load(&cancelled)) return whet_i_fail(ctx, WHET_ERR_CANCELLED, "interrupted");
    return whet_i_progress(ctx, stage, n, n);
}

int32_t whet_i_single_thread_begin(void) {
    const int32_t saved = omp_get_max_threads();
    omp_set_num_threads(1);
    return saved;
}

void whet_i_single_thread_end(int32_t saved) { omp_set_num_threads(saved); }
