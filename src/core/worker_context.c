/* SPDX-License-Identifier: Apache-2.0
 * Contexts for items of a parallel loop that are whole jobs: they allocate, fail, and call what takes a
 * context. Each has one thread, so that what it computes cannot depend on how many there are; memory is the
 * parent's, handed out under a lock and counted there; the parent's cancel hook is asked. */
#include <omp.h>

#include "core/context.h"

struct whet_i_workers {
    whet_ctx *parent;
    omp_lock_t lock;
};

/* The sizes of blocks are known to both sides: what is handed out is counted as it is taken back. */
static void *shared_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    whet_i_workers *w = user;
    whet_ctx *p = w->parent;
    void *got = NULL;
    omp_set_lock(&w->lock);
    const size_t others = p->memory_now - (ptr ? old_size : 0);
    if (!p->memory_limit || new_size == 0 || new_size <= p->memory_limit - others) {
        got = p->alloc(p->user, ptr, old_size, new_size);
        if (got || new_size == 0) p->memory_now = others + new_size;
        if (p->memory_now > p->memory_peak) p->memory_peak = p->memory_now;
    }
    omp_unset_lock(&w->lock);
    return got;
}

static bool shared_cancel(void *user) {
    const whet_i_workers *w = user;
    return whet_i_cancelled(w->parent);
}

whet_status whet_i_workers_create(whet_ctx *ctx, whet_i_workers **out) {
    whet_i_workers *w;
    WHET_TRY(whet_i_alloc(ctx, 1, &w));
    w->parent = ctx;
    omp_init_lock(&w->lock);
    *out = w;
    return WHET_OK;
}

void whet_i_workers_destroy(whet_ctx *ctx, whet_i_workers *workers) {
    if (!workers) return;
    omp_destroy_lock(&workers->lock);
    whet_i_free(ctx, workers);
}

whet_status whet_i_workers_context(whet_i_workers *workers, whet_ctx **out) {
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.alloc = shared_alloc;
    opts.cancel = shared_cancel;
    opts.user = workers;
    opts.threads = 1;
    const whet_status status = whet_ctx_create(&opts, out);
    if (status != WHET_OK) whet_i_record(workers->parent, status, "out of memory: a context");
    return status;
}
