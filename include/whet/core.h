/* SPDX-License-Identifier: Apache-2.0
 * core: status, context, memory, names. Every other module stands on this one.
 *
 * Every call that can fail returns whet_status and leaves one sentence about it in the context
 * (whet_error): place, what was found, what was expected. Outputs are untouched on failure.
 * The library never prints, aborts, exits, reads the environment, or keeps global state.
 *
 * Threads: a context must not be used by two threads at once; different contexts are independent.
 * Read-only objects (opened files, encoders, spaces) may be shared between contexts once created.
 */
#ifndef WHET_CORE_H
#define WHET_CORE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WHET_API __attribute__((visibility("default")))
#define WHET_CHECKED __attribute__((warn_unused_result))
#define WHET_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define WHET_API
#define WHET_CHECKED
#define WHET_PRINTF(fmt, first)
#endif

#define WHET_VERSION_MAJOR 0
#define WHET_VERSION_MINOR 1
#define WHET_VERSION_PATCH 0
#define WHET_VERSION "0.1.0"

/* ---- status ---------------------------------------------------------------------------------- */

/* name, value (stable, pinned), process exit code of the command, text */
#define WHET_STATUS_LIST(X) \
    X(WHET_OK, 0, 0, "done") \
    X(WHET_ERR_ARG, 1, 2, "wrong argument") \
    X(WHET_ERR_FORMAT, 2, 3, "malformed input") \
    X(WHET_ERR_SHAPE, 3, 3, "wrong shape or type") \
    X(WHET_ERR_DATA, 4, 3, "unusable data") \
    X(WHET_ERR_UNSUPPORTED, 5, 3, "not supported") \
    X(WHET_ERR_IO, 6, 4, "file cannot be read or written") \
    X(WHET_ERR_EXISTS, 7, 4, "output exists") \
    X(WHET_ERR_NOMEM, 8, 5, "out of memory") \
    X(WHET_ERR_LIMIT, 9, 5, "over a limit") \
    X(WHET_ERR_NUMERIC, 10, 6, "numeric failure") \
    X(WHET_ERR_INTERNAL, 11, 70, "internal error") \
    X(WHET_ERR_CANCELLED, 12, 130, "interrupted")

typedef enum whet_status {
#define WHET_STATUS_ENUM(name, value, exit_code, text) name = value,
    WHET_STATUS_LIST(WHET_STATUS_ENUM)
#undef WHET_STATUS_ENUM
} whet_status;

/* The status as words ("malformed input"); never NULL. Pure. */
WHET_API const char *whet_status_text(whet_status status);
/* The process exit code the `whet` command uses for a status. Pure. */
WHET_API int whet_status_exit_code(whet_status status);
/* "0.1.0". Pure. */
WHET_API const char *whet_version(void);

/* ---- context --------------------------------------------------------------------------------- */

typedef struct whet_ctx whet_ctx;

typedef enum whet_log_level {
    WHET_LOG_DEBUG = 0,
    WHET_LOG_INFO = 1,
    WHET_LOG_WARN = 2
} whet_log_level;

/* One function for all memory, as in Lua: new_size 0 frees, ptr NULL allocates. Returns memory
 * aligned to at least 16 bytes, or NULL when it cannot. */
typedef void *(*whet_alloc_fn)(void *user, void *ptr, size_t old_size, size_t new_size);
/* `done` of `total` units of `stage` are finished; total 0 = unknown. Called from the thread that
 * owns the context only. */
typedef void (*whet_progress_fn)(void *user, const char *stage, int64_t done, int64_t total);
/* A few words on how the stage goes ("loss 0.31"), for beside its progress; valid during the call only. */
typedef void (*whet_note_fn)(void *user, const char *words);
typedef void (*whet_log_fn)(void *user, whet_log_level level, const char *sentence);
/* Polled by long work, possibly from several threads at once; true stops with WHET_ERR_CANCELLED.
 */
typedef bool (*whet_cancel_fn)(void *user);

typedef struct whet_ctx_opts {
    size_t struct_size;        /* sizeof(whet_ctx_opts); set by WHET_CTX_OPTS_INIT */
    whet_alloc_fn alloc;       /* NULL = malloc family */
    whet_progress_fn progress; /* NULL = none */
    whet_log_fn log;           /* NULL = none */
    whet_cancel_fn cancel;     /* NULL = never */
    void *user;                /* handed to the four functions above */
    int32_t threads;           /* 0 = all processors available to the process; else 1..256 */
    size_t memory_limit;       /* bytes this context may hold at once; 0 = no limit */
    whet_note_fn note;         /* NULL = none; handed `user` as well */
} whet_ctx_opts;
#define WHET_CTX_OPTS_INIT \
    { sizeof(whet_ctx_opts), NULL, NULL, NULL, NULL, NULL, 0, 0, NULL }

/* Creates a context. opts NULL = defaults. Errors: WHET_ERR_ARG, WHET_ERR_NOMEM; *out then NULL. */
WHET_API WHET_CHECKED whet_status whet_ctx_create(const whet_ctx_opts *opts, whet_ctx **out);
/* Releases the context; everything made with it must have been destroyed before. NULL is fine. */
WHET_API void whet_ctx_destroy(whet_ctx *ctx);
/* The sentence of the last failure on this context ("" if none). Valid until the next failure. */
WHET_API const char *whet_error(const whet_ctx *ctx);
/* errno of the last WHET_ERR_IO, else 0. */
WHET_API int whet_error_errno(const whet_ctx *ctx);
WHET_API int32_t whet_ctx_threads(const whet_ctx *ctx);
/* Bytes held now and at most so far through this context's allocator. */
WHET_API void whet_ctx_memory(const whet_ctx *ctx, size_t *now, size_t *peak);

/* Releases a text that a function of this library returned. NULL is fine. */
WHET_API void whet_free_text(whet_ctx *ctx, char *text);

/* ---- strings and names ----------------------------------------------------------------------- */

/* A view of bytes, UTF-8 by convention but never assumed valid. Owns nothing; not terminated. */
typedef struct whet_str {
    const char *ptr;
    int64_t len;
} whet_str;

/* A view of a NUL-terminated string. Pure. */
WHET_API whet_str whet_str_from(const char *text);
WHET_API bool whet_str_equal(whet_str a, whet_str b);

/* An ordered set of distinct, non-empty names with O(1) lookup: class lists, node names, columns.
 * Read-only after it is filled: may be shared. */
typedef struct whet_names whet_names;

/* An empty set. Errors: WHET_ERR_NOMEM. */
WHET_API WHET_CHECKED whet_status whet_names_create(whet_ctx *ctx, whet_names **out);
WHET_API void whet_names_destroy(whet_ctx *ctx, whet_names *names);
WHET_API int64_t whet_names_count(const whet_names *names);
/* Name i, 0 <= i < count; NUL-terminated behind its len bytes. */
WHET_API whet_str whet_names_get(const whet_names *names, int64_t i);
/* Index of a name, or -1. O(len). */
WHET_API int64_t whet_names_find(const whet_names *names, whet_str name);
/* Adds a name if it is new; *index is its place either way (index may be NULL).
 * Errors: WHET_ERR_NOMEM. Amortised O(len). */
WHET_API WHET_CHECKED whet_status whet_names_add(whet_ctx *ctx, whet_names *names, whet_str name,
                                                 int64_t *index);

#ifdef __cplusplus
}
#endif
#endif
