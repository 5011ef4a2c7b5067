/* SPDX-License-Identifier: Apache-2.0
 * Checked sizes, counted and aligned allocation, the arena and the growing buffer.
 * Each block carries a record just below the address handed out: where the raw block starts and
 * how large both are, so that freeing needs no size and peaks are known exactly. */
#include <stdint.h>
#include <stdio.h>

#include "core/context.h"

enum { ALIGN = 64 };

typedef struct block_record {
    void *raw;
    size_t raw_size, size;
} block_record;

whet_status whet_i_mul(whet_ctx *ctx, int64_t a, int64_t b, int64_t *out) {
    int64_t product;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &product))
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "size %lld x %lld; expected a product below 2^63",
                           (long long)a, (long long)b);
    *out = product;
    return WHET_OK;
}

whet_status whet_i_add(whet_ctx *ctx, int64_t a, int64_t b, int64_t *out) {
    int64_t sum;
    if (a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum))
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "size %lld + %lld; expected a sum below 2^63",
                           (long long)a, (long long)b);
    *out = sum;
    return WHET_OK;
}

static block_record *record_of(void *ptr) { return (block_record *)ptr - 1; }

static whet_status byte_size(whet_ctx *ctx, int64_t count, size_t size, size_t *out) {
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) || bytes > PTRDIFF_MAX / 2)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%lld items of %zu bytes do not fit in memory",
                           (long long)count, size);
    *out = bytes;
    return WHET_OK;
}

static whet_status no_memory(whet_ctx *ctx, size_t bytes) {
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: %zu bytes asked, %zu held", bytes,
                       ctx->memory_now);
}

void whet_i_memory_mark(whet_ctx *ctx) { ctx->memory_peak = ctx->memory_now; }

whet_status whet_i_alloc_(whet_ctx *ctx, int64_t count, size_t size, bool zero, void *out) {
    size_t bytes;
    WHET_TRY(byte_size(ctx, count, size, &bytes));
    if (ctx->memory_limit && bytes > ctx->memory_limit - ctx->memory_now)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%zu bytes asked, %zu held; expected at most %zu in all", bytes,
                           ctx->memory_now, ctx->memory_limit);
    const size_t raw_size = bytes + sizeof(block_record) + ALIGN;
    const bool pages = zero && ctx->zeroed;
    char *raw = pages ? ctx->zeroed(raw_size) : ctx->alloc(ctx->user, NULL, 0, raw_size);
    if (!raw) return no_memory(ctx, bytes);
    const uintptr_t first = (uintptr_t)raw + sizeof(block_record);
    char *ptr = raw + ((first + ALIGN - 1) / ALIGN * ALIGN - (uintptr_t)raw);
    *record_of(ptr) = (block_record){raw, raw_size, bytes};
    if (zero && !pages) memset(ptr, 0, bytes);
    ctx->memory_now += bytes;
    if (ctx->memory_now > ctx->memory_peak) ctx->memory_peak = ctx->memory_now;
    memcpy(out, &ptr, sizeof ptr);
    return WHET_OK;
}

void whet_i_free(whet_ctx *ctx, void *ptr) {
    if (!ptr) return;
    const block_record r = *record_of(ptr);
    ctx->memory_now -= r.size;
    (void)ctx->alloc(ctx->user, r.raw, r.raw_size, 0);
}

whet_status whet_i_realloc_(whet_ctx *ctx, void *ptr_inout, int64_t count, size_t size) {
    void *old, *grown;
    memcpy(&old, ptr_inout, sizeof old);
    WHET_TRY(whet_i_alloc_(ctx, count, size, false, &grown));
    if (old) {
        const size_t old_bytes = record_of(old)->size, new_bytes = record_of(grown)->size;
        memcpy(grown, old, old_bytes < new_bytes ? old_bytes : new_bytes);
        whet_i_free(ctx, old);
    }
    memcpy(ptr_inout, &grown, sizeof grown);
    return WHET_OK;
}

whet_status whet_i_strdup(whet_ctx *ctx, whet_str text, char **out) {
    char *copy;
    WHET_TRY(whet_i_alloc(ctx, text.len + 1, &copy));
    if (text.len) memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    *out = copy;
    return WHET_OK;
}

void whet_free_text(whet_ctx *ctx, char *text) { whet_i_free(ctx, text); }

/* ---- arena ----------------------------------------------------------------------------------- */

struct whet_i_arena_block {
    struct whet_i_arena_block *previous;
    size_t size;
    _Alignas(ALIGN) char bytes[];
};

whet_status whet_i_arena_alloc(whet_ctx *ctx, whet_i_arena *arena, int64_t count, size_t size,
                               void *out) {
    enum { FIRST_BLOCK = 4096, LARGEST_STEP = 1 << 20 };
    size_t bytes;
    WHET_TRY(byte_size(ctx, count, size, &bytes));
    const size_t align = bytes > 1024 ? ALIGN : 16;
    size_t start = (arena->used + align - 1) / align * align;
    if (!arena->last || start > arena->last->size || bytes > arena->last->size - start) {
        size_t block = arena->last ? arena->last->size * 2 : FIRST_BLOCK;
        if (block > LARGEST_STEP) block = LARGEST_STEP;
        if (block < bytes) block = bytes;
        struct whet_i_arena_block *fresh;
        WHET_TRY(whet_i_alloc_(ctx, (int64_t)(sizeof *fresh + block), 1, false, &fresh));
        fresh->previous = arena->last;
        fresh->size = block;
        arena->last = fresh;
        start = 0;
    }
    void *piece = arena->last->bytes + start;
    arena->used = start + bytes;
    memcpy(out, &piece, sizeof piece);
    return WHET_OK;
}

void whet_i_arena_free(whet_ctx *ctx, whet_i_arena *arena) {
    struct whet_i_arena_block *block = arena->last;
    while (block) {
        struct whet_i_arena_block *previous = block->previous;
        whet_i_free(ctx, block);
        block = previous;
    }
    *arena = (whet_i_arena){0};
}

/* ---- buffer ---------------------------------------------------------------------------------- */

static whet_status buf_reserve(whet_ctx *ctx, whet_i_buf *buf, int64_t extra) {
    int64_t need;
    WHET_TRY(whet_i_add(ctx, buf->len, extra, &need));
    WHET_TRY(whet_i_add(ctx, need, 1, &need));
    if (need <= buf->cap) return WHET_OK;
    int64_t cap = buf->cap < 256 ? 256 : buf->cap;
    while (cap < need) cap = cap > INT64_MAX / 2 ? need : cap * 2;
    WHET_TRY(whet_i_realloc(ctx, &buf->data, cap));
    buf->cap = cap;
    return WHET_OK;
}

whet_status whet_i_buf_append(whet_ctx *ctx, whet_i_buf *buf, const void *bytes, int64_t len) {
    WHET_TRY(buf_reserve(ctx, buf, len));
    if (len) memcpy(buf->data + buf->len, bytes, (size_t)len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return WHET_OK;
}

whet_status whet_i_buf_printf(whet_ctx *ctx, whet_i_buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    whet_status status = WHET_ERR_INTERNAL;
    if (len >= 0) status = buf_reserve(ctx, buf, len);
    if (status == WHET_OK) {
        (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += len;
    }
    va_end(again);
    return status;
}

void whet_i_buf_free(whet_ctx *ctx, whet_i_buf *buf) {
    whet_i_free(ctx, buf->data);
    *buf = (whet_i_buf){0};
}
