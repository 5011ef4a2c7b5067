/* SPDX-License-Identifier: Apache-2.0
 * Whether there is room for what OpenBLAS works in. It maps a buffer for every thread that is
 * inside it, keeps it, and where that fails tries again for ever (0.3.21, driver/others/memory.c,
 * blas_memory_alloc): under a limit of the address space (ulimit -v) the process would hang. So
 * room is asked for before. It may be asked for in vain when the buffers are there already: that
 * refuses a little early, under such a limit only. */
#include <sys/mman.h>

#include "tensor/tensor_i.h"

/* BUFFER_SIZE is 32 << 22 on the machines that whet knows; the rest is what malloc adds, and
 * whatever else is allocated meanwhile. */
static const int64_t BUFFER = 136 << 20;

bool whet_i_blas_room(int64_t threads) {
    void *room = mmap(NULL, (size_t)(threads * BUFFER), PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return room != MAP_FAILED && munmap(room, (size_t)(threads * BUFFER)) == 0;
}

whet_status whet_i_blas_need_room(whet_ctx *ctx, int64_t threads) {
    if (whet_i_blas_room(threads)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_NOMEM,
                       "OpenBLAS on %lld thread%s: no room for its buffers; expected %lld MiB of "
                       "address space; try a higher limit (ulimit -v) or fewer threads",
                       (long long)threads, threads == 1 ? "" : "s",
                       (long long)(threads * BUFFER >> 20));
}
