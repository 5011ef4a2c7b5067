/* SPDX-License-Identifier: Apache-2.0
 * The context's fields, known to src/core only. */
#ifndef WHET_CORE_CONTEXT_H
#define WHET_CORE_CONTEXT_H

#include "core/core_i.h"

struct whet_ctx {
    whet_alloc_fn alloc;
    void *(*zeroed)(
        size_t size); /* zeroed memory that is taken when it is written; NULL = by alloc */
    whet_progress_fn progress;
    whet_note_fn note;
    whet_log_fn log;
    whet_cancel_fn cancel;
    void *user;
    bool hold_cancel;
    int32_t threads;
    size_t memory_limit, memory_now, memory_peak;
    int error_errno;
    char error[1024];
    struct {
        void *state;
        void (*destroy)(whet_ctx *ctx, void *state);
    } slots[WHET_SLOT_COUNT];
};

/* Whether the hook asks to stop, and may be asked. */
bool whet_i_cancelled(const whet_ctx *ctx);

#endif
