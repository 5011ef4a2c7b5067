/* SPDX-License-Identifier: Apache-2.0
 * Creating and releasing a context; option structs; progress. */
#include "core/context.h"

#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *default_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

/* The system's pages are zero already: those that nobody writes cost nothing. */
static void *default_zeroed(size_t size) { return calloc(1, size); }

whet_status whet_ctx_create(const whet_ctx_opts *opts, whet_ctx **out) {
    *out = NULL;
    whet_ctx_opts o = WHET_CTX_OPTS_INIT;
    if (opts) {
        if (opts->struct_size > sizeof o || opts->struct_size < sizeof opts->struct_size)
            return WHET_ERR_ARG;
        memcpy(&o, opts, opts->struct_size);
    }
    if (o.threads < 0 || o.threads > 256) return WHET_ERR_ARG;
    if (!o.alloc) o.alloc = default_alloc;
    whet_ctx *ctx = o.alloc(o.user, NULL, 0, sizeof *ctx);
    if (!ctx) return WHET_ERR_NOMEM;
    memset(ctx, 0, sizeof *ctx);
    ctx->alloc = o.alloc;
    ctx->zeroed = o.alloc == default_alloc ? default_zeroed : NULL;
    ctx->progress = o.progress;
    ctx->note = o.note;
    ctx->log = o.log;
    ctx->cancel = o.cancel;
    ctx->user = o.user;
    ctx->threads = o.threads ? o.threads : omp_get_num_procs();
    ctx->memory_limit = o.memory_limit;
    *out = ctx;
    return WHET_OK;
}

void whet_ctx_destroy(whet_ctx *ctx) {
    if (!ctx) return;
    for (int i = WHET_SLOT_COUNT - 1; i >= 0; i--)
        if (ctx->slots[i].destroy) ctx->slots[i].destroy(ctx, ctx->slots[i].state);
    (void)ctx->alloc(ctx->user, ctx, sizeof *ctx, 0);
}

int32_t whet_ctx_threads(const whet_ctx *ctx) { return ctx->threads; }

void whet_ctx_memory(const whet_ctx *ctx, size_t *now, size_t *peak) {
    if (now) *now = ctx->memory_now;
    if (peak) *peak = ctx->memory_peak;
}

void *whet_i_slot_get(const whet_ctx *ctx, whet_i_slot slot) { return ctx->slots[slot].state; }

void whet_i_slot_set(whet_ctx *ctx, whet_i_slot slot, void *state,
                     void (*destroy)(whet_ctx *ctx, void *state)) {
    ctx->slots[slot].state = state;
    ctx->slots[slot].destroy = destroy;
}

void whet_i_hold_cancel(whet_ctx *ctx, bool hold) { ctx->hold_cancel = hold; }

bool whet_i_cancelled(const whet_ctx *ctx) {
    return ctx->cancel && !ctx->hold_cancel && ctx->cancel(ctx->user);
}

whet_status whet_i_progress(whet_ctx *ctx, const char *stage, int64_t done, int64_t total) {
    if (whet_i_cancelled(ctx)) return whet_i_fail(ctx, WHET_ERR_CANCELLED, "interrupted");
    if (ctx->progress && stage) ctx->progress(ctx->user, stage, done, total);
    return WHET_OK;
}

void whet_i_note(whet_ctx *ctx, const char *format, ...) {
    char words[128];
    va_list args;
    if (!ctx->note) return;
    va_start(args, format);
    (void)vsnprintf(words, sizeof words, format, args);
    va_end(args);
    ctx->note(ctx->user, words);
}

whet_status whet_i_opts(whet_ctx *ctx, const void *opts, void *out, size_t known_size,
                        const char *type_name) {
    if (!opts) return WHET_OK;
    size_t size;
    memcpy(&size, opts, sizeof size);
    if (size < sizeof size || size > known_size)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s.struct_size is %zu; expected %zu to %zu (use its _INIT macro)",
                           type_name, size, sizeof size, known_size);
    memcpy(out, opts, size);
    memcpy(out, &known_size, sizeof known_size);
    return WHET_OK;
}
