/* SPDX-License-Identifier: Apache-2.0
 * What the library's modules share and users do not see: failing with a sentence, memory, checked
 * sizes, scratch, growing buffers, randomness, parallel loops, progress.
 *
 * The two error macros:
 *   WHET_TRY(call)       returns the status at once; only while the function owns nothing;
 *   WHET_TRY_DONE(call)  sets `status` and jumps to `done:`, where everything is released. */
#ifndef WHET_CORE_I_H
#define WHET_CORE_I_H

#include <stdatomic.h>
#include <string.h>

#include "whet/core.h"

#define WHET_TRY(call) \
    do { \
        const whet_status whet_try_status_ = (call); \
        if (whet_try_status_ != WHET_OK) return whet_try_status_; \
    } while (0)

#define WHET_TRY_DONE(call) \
    do { \
        status = (call); \
        if (status != WHET_OK) goto done; \
    } while (0)

#define WHET_COUNT_OF(array) ((int64_t)(sizeof(array) / sizeof((array)[0])))

/* ---- failing --------------------------------------------------------------------------------- */

/* Records the sentence and gives back `status`, so that callers write `return whet_i_fail(...)`.
 * errno is kept when status is WHET_ERR_IO. Cut at 1023 bytes. A macro, so that the compiler sees
 * that the constant status is a failure and that outputs are set whenever WHET_OK comes back. */
#define whet_i_fail(ctx, status, ...) (whet_i_record((ctx), (status), __VA_ARGS__), (status))
void whet_i_record(whet_ctx *ctx, whet_status status, const char *format, ...) WHET_PRINTF(3, 4);
/* Puts "prefix: " before the sentence already recorded; returns status unchanged. */
WHET_CHECKED whet_status whet_i_fail_at(whet_ctx *ctx, whet_status status, const char *format, ...)
    WHET_PRINTF(3, 4);
void whet_i_log(whet_ctx *ctx, whet_log_level level, const char *format, ...) WHET_PRINTF(3, 4);

/* Untrusted bytes made printable for a sentence: escaped, cut at 80 characters, quoted.
 * out must hold WHET_QUOTE_SIZE bytes; returns out. */
#define WHET_QUOTE_SIZE 360
const char *whet_i_quote(char out[WHET_QUOTE_SIZE], whet_str text);

/* ---- names ----------------------------------------------------------------------------------- */

/* The names "0".."n-1", n >= 1, in as many bytes each as the longest takes (8 up to 10 million). Names
 * can be added; one that is no such number makes them names like any others. Errors: NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_names_numbered(whet_ctx *ctx, int64_t n, whet_names **out);
/* Whether they were made so, and are still so. */
bool whet_i_names_are_numbers(const whet_names *names);
/* The number below `limit` that a name spells in plain decimal ("7", never "07" or "+7"), or -1. */
int64_t whet_i_plain_number(whet_str name, int64_t limit);

/* ---- sizes and memory ------------------------------------------------------------------------ */

/* *out = a * b, or WHET_ERR_LIMIT when negative or not representable. */
WHET_CHECKED whet_status whet_i_mul(whet_ctx *ctx, int64_t a, int64_t b, int64_t *out);
WHET_CHECKED whet_status whet_i_add(whet_ctx *ctx, int64_t a, int64_t b, int64_t *out);

/* count * size bytes aligned to 64, released by whet_i_free. *out (any pointer) is untouched on
 * failure. count 0 gives a unique non-NULL pointer. Not for use inside a parallel loop. */
WHET_CHECKED whet_status whet_i_alloc_(whet_ctx *ctx, int64_t count, size_t size, bool zero,
                                       void *out);
/* Grows or shrinks keeping the contents; *ptr is updated on success only. */
WHET_CHECKED whet_status whet_i_realloc_(whet_ctx *ctx, void *ptr_inout, int64_t count,
                                         size_t size);
void whet_i_free(whet_ctx *ctx, void *ptr);
/* Typed forms: whet_i_alloc(ctx, n, &pointer). */
#define whet_i_alloc(ctx, count, out) whet_i_alloc_((ctx), (count), sizeof(**(out)), false, (out))
#define whet_i_calloc(ctx, count, out) whet_i_alloc_((ctx), (count), sizeof(**(out)), true, (out))
#define whet_i_realloc(ctx, inout, count) \
    whet_i_realloc_((ctx), (inout), (count), sizeof(**(inout)))
/* A NUL-terminated copy. */
WHET_CHECKED whet_status whet_i_strdup(whet_ctx *ctx, whet_str text, char **out);

/* ---- memory that can still be had ------------------------------------------------------------- */

typedef struct whet_i_room {
    double bytes;   /* may be infinite */
    const char *of; /* "available on this machine", or the limit that leaves no more */
} whet_i_room;
/* As the files below `root` ("" but in tests) tell: the machine, control groups, the address space, and
 * the context's limit. */
whet_i_room whet_i_room_below(const whet_ctx *ctx, const char *root);
/* LIMIT unless that many bytes more can be had: "<what> needs 3.10 GB more; expected at most the 1.20 GB
 * available on this machine; try <advice>". Work that is known to be too large is refused before it
 * begins: the kernel hands out memory that it does not have, and ends who uses it. */
WHET_CHECKED whet_status whet_i_check_room(whet_ctx *ctx, const char *what, double bytes,
                                           const char *advice);

/* From here on the context's peak (whet_ctx_memory) is counted anew. */
void whet_i_memory_mark(whet_ctx *ctx);

/* ---- arena: many small pieces released at once ----------------------------------------------- */

typedef struct whet_i_arena {
    struct whet_i_arena_block *last;
    size_t used; /* bytes used in `last` */
} whet_i_arena;

/* Start from {0}. Pieces are aligned to 64 bytes when larger than 1 kB, else to 16. */
WHET_CHECKED whet_status whet_i_arena_alloc(whet_ctx *ctx, whet_i_arena *arena, int64_t count,
                                            size_t size, void *out);
void whet_i_arena_free(whet_ctx *ctx, whet_i_arena *arena);

/* ---- growing byte buffer --------------------------------------------------------------------- */

typedef struct whet_i_buf {
    char *data; /* NUL-terminated whenever non-NULL */
    int64_t len, cap;
} whet_i_buf;

WHET_CHECKED whet_status whet_i_buf_append(whet_ctx *ctx, whet_i_buf *buf, const void *bytes,
                                           int64_t len);
WHET_CHECKED whet_status whet_i_buf_printf(whet_ctx *ctx, whet_i_buf *buf, const char *format, ...)
    WHET_PRINTF(3, 4);
void whet_i_buf_free(whet_ctx *ctx, whet_i_buf *buf);

/* ---- state that upper modules hang on a context ---------------------------------------------- */

typedef enum whet_i_slot {
    WHET_SLOT_KERNELS,  /* src/kernels: the table in use */
    WHET_SLOT_PRODUCTS, /* src/tensor: oneDNN engine, cached primitives */
    WHET_SLOT_COUNT
} whet_i_slot;
/* The slot's pointer, NULL at first. `destroy` runs in whet_ctx_destroy. */
void *whet_i_slot_get(const whet_ctx *ctx, whet_i_slot slot);
void whet_i_slot_set(whet_ctx *ctx, whet_i_slot slot, void *state,
                     void (*destroy)(whet_ctx *ctx, void *state));

/* ---- randomness: xoshiro256++ seeded by splitmix64 (Blackman & Vigna 2019)
 * ----------------------- */

typedef struct whet_i_rng {
    uint64_t s[4];
} whet_i_rng;

/* Independent streams for the same seed: one per purpose or worker. */
void whet_i_rng_init(whet_i_rng *rng, uint64_t seed, uint64_t stream);
uint64_t whet_i_rng_u64(whet_i_rng *rng);
/* Uniform in 0..n-1 without bias, n >= 1 (Lemire 2019). */
int64_t whet_i_rng_below(whet_i_rng *rng, int64_t n);
double whet_i_rng_uniform(whet_i_rng *rng); /* [0, 1), 53 bits */
double whet_i_rng_normal(whet_i_rng *rng);  /* standard normal, Box-Muller, one value a call */
void whet_i_rng_shuffle(whet_i_rng *rng, int64_t *values, int64_t n);
/* splitmix64 finaliser: a counter-based hash for order-free randomness. */
uint64_t whet_i_hash_u64(uint64_t x);
/* FNV-1a of bytes, finalised: some 1 GB/s. */
uint64_t whet_i_hash_bytes(const void *bytes, int64_t len);
/* Of many bytes, in four lanes: some ten times as fast. Other values; they are in files, so that neither
 * changes. */
uint64_t whet_i_hash_long(const void *bytes, int64_t len);

/* ---- folds and intervals ---------------------------------------------------------------------- */

/* first [n]: the least j whose row has the bytes of row i, j <= i; row i stands at rows + which[i] bytes,
 * which NULL: i. O(n bytes) expected. (alike.c) */
WHET_CHECKED whet_status whet_i_alike(whet_ctx *ctx, const void *rows, int64_t bytes,
                                      const int64_t *which, int64_t n, int64_t *first);

/* fold [b] in 0..folds-1: each class is dealt round over the folds, one class after the other in
 * random order, so that folds are equal in size to within one and in every class to within one.
 * y [b] in 0..k-1. alike [b] as whet_i_alike gives it, NULL = no two: rows that are the same are dealt
 * together, as the first of them; sizes are then of those that differ. O(b + k). */
WHET_CHECKED whet_status whet_i_stratified_folds(whet_ctx *ctx, const int32_t *y,
                                                 const int64_t *alike, int64_t b, int64_t k,
                                                 int32_t folds, uint64_t seed, uint64_t stream,
                                                 int32_t *fold);

/* Student's t that 95 % lie within, two-sided; freedom >= 1. To 1e-9. Pure. */
double whet_i_student(int64_t freedom);

/* ---- parallel loops, progress, cancelling ---------------------------------------------------- */

/* Runs fn(arg, i, worker) for i in 0..n-1 on the context's threads (OpenMP, the pool oneDNN and
 * OpenBLAS use too), worker in 0..threads-1. fn cannot fail, must not touch ctx, and must write
 * only what depends on i: results are then the same at any thread count. Dynamic order.
 * stage non-NULL reports progress under that name. Stops early with WHET_ERR_CANCELLED. */
WHET_CHECKED whet_status whet_i_parallel_for(whet_ctx *ctx, const char *stage, int64_t n,
                                             void (*fn)(void *arg, int64_t i, int32_t worker),
                                             void *arg);
/* For items of such a loop that are whole jobs, which allocate and fail: a context of one thread for each
 * worker, whose memory is that of `ctx` (counted there, under a lock) and which is cancelled when it is. It
 * reports no progress and logs nothing. While items use them `ctx` is the loop's alone. They are made
 * before the loop, and destroyed (whet_ctx_destroy) behind it with all that was made with them, before the
 * workers are. Errors: NOMEM. */
typedef struct whet_i_workers whet_i_workers;
WHET_CHECKED whet_status whet_i_workers_create(whet_ctx *ctx, whet_i_workers **out);
void whet_i_workers_destroy(whet_ctx *ctx, whet_i_workers *workers);
WHET_CHECKED whet_status whet_i_workers_context(whet_i_workers *workers, whet_ctx **out);
/* Library calls that thread by themselves (LAPACK) run on one thread between these, so that
 * rounding does not depend on the thread count. Returns the count to hand back. */
int32_t whet_i_single_thread_begin(void);
void whet_i_single_thread_end(int32_t saved);

/* Words beside the progress, for those who listen; cut at 127 bytes. */

void whet_i_note(whet_ctx *ctx, const char *format, ...) WHET_PRINTF(2, 3);
/* Reports progress and polls the cancel hook: WHET_OK or WHET_ERR_CANCELLED. */
WHET_CHECKED whet_status whet_i_progress(whet_ctx *ctx, const char *stage, int64_t done,
                                         int64_t total);

/* While held, nothing asks the cancel hook: for work that must not be done by half. */
void whet_i_hold_cancel(whet_ctx *ctx, bool hold);

/* Seconds of a clock that only goes forward; 0 where there is none. */
double whet_i_seconds_now(void);

/* ---- numbers in text ------------------------------------------------------------------------- */

/* The whole text is a decimal integer that fits, or a decimal real (correctly rounded; overflow
 * gives infinity, which callers refuse where it matters; no "nan", "inf" or hexadecimal).
 * false leaves *out alone. Independent of the locale. Pure. */
bool whet_i_parse_int(whet_str text, int64_t *out);
bool whet_i_parse_real(whet_str text, double *out);

/* ASCII characters, whatever the locale (ctype.h follows it). Pure. */
static inline bool whet_i_ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}
static inline bool whet_i_is_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool whet_i_is_upper(char c) { return c >= 'A' && c <= 'Z'; }
static inline bool whet_i_is_lower(char c) { return c >= 'a' && c <= 'z'; }
static inline bool whet_i_is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The name nearest to `name` in edits, at most half of it apart, or -1 when none is; the first of
 * equals. For sentences. */
int64_t whet_i_nearest_name(const whet_names *names, whet_str name);

/* ---- options
 * ------------------------------------------------------------------------------------- */

/* Copies a caller's option struct of possibly smaller (older) size over defaults already in `out`.
 * A larger size than this library knows is WHET_ERR_ARG. opts NULL keeps the defaults. */
WHET_CHECKED whet_status whet_i_opts(whet_ctx *ctx, const void *opts, void *out, size_t known_size,
                                     const char *type_name);

#endif
