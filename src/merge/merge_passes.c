/* SPDX-License-Identifier: Apache-2.0
 * Walking over a tensor chunk by chunk: reading sources, handing chunks to a method's pass, adding up what
 * it sums, writing what it writes. One group of chunks is the work of one thread; threads share nothing but
 * the output, of which each writes its own part. */
#include "merge/merge_passes.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { INFINITE = 0x7f800000 }; /* bits of infinity; those of NaN are above */
enum { SUMS_HELD = 1 << 16 };

/* What one thread owns. */
typedef struct worker {
    const float **x;      /* [sources] */
    float *chunks;        /* [sources, chunk], where f32 is not at hand */
    float *out, *scratch; /* [chunk], [scratch of the method] */
    char *raw;            /* [chunk] of 8 bytes */
    whet_i_merge_fault fault;
} worker;

struct whet_i_merge_room {
    worker *workers;
    char *resident; /* [sources, count] of `held` bytes, where the tensor stays in memory */
    bool lent;      /* resident is the block's */
    uint8_t *seen;  /* [chunks] read (and checked) before */
};

typedef struct pass {
    whet_i_merge_tensor *t;
    whet_i_merge_pass fn;
    void *arg;
    int64_t n_sums;
    double *sums;  /* [groups at once, n_sums] */
    int64_t first; /* group of those at once */
    bool writes;
} pass;

/* ---- the cut ---------------------------------------------------------------------------------- */

void whet_i_merge_cut(whet_i_merge_tensor *t, int32_t threads) {
    int64_t row = t->count;
    if (t->rank > 1) {
        const int32_t axis = t->method->rows_of_first_axis ? 0 : t->rank - 1;
        row = axis == 0 ? t->count / (t->shape[0] ? t->shape[0] : 1) : t->shape[axis];
    }
    t->row = row > 0 ? row : 1;
    t->chunk = WHET_I_MERGE_CHUNK;
    if (t->method->shown.scope == WHET_MERGE_ROW || t->method->by_row)
        t->chunk = t->row >= WHET_I_MERGE_CHUNK ? t->row : WHET_I_MERGE_CHUNK / t->row * t->row;
    if (t->chunk > t->count && t->count > 0) t->chunk = t->count;
    t->chunks = (t->count + t->chunk - 1) / t->chunk;
    t->group = (t->chunks + WHET_I_MERGE_GROUPS - 1) / WHET_I_MERGE_GROUPS;
    if (t->group < 1) t->group = 1;
    t->groups = (t->chunks + t->group - 1) / t->group;
    t->workers = (int32_t)(t->groups < threads ? t->groups : threads);
    if (t->workers < 1) t->workers = 1;
}

static int64_t scratch_of(const whet_i_merge_tensor *t) {
    return t->method->scratch ? t->method->scratch(t->n, t->chunk) : 0;
}

static bool stays(const whet_i_merge_tensor *t) {
    return t->held > 0 && t->method->passes > 1 && t->count <= t->room / t->held;
}

/* Whether numbers of sources go through the worker's chunks. */
static bool goes_through(const whet_i_merge_tensor *t) {
    return !stays(t) || t->held != (int64_t)sizeof(float);
}

int64_t whet_i_merge_block_bytes(const whet_i_merge_tensor *tensor, int32_t threads) {
    whet_i_merge_tensor t = *tensor;
    whet_i_merge_cut(&t, threads);
    return stays(&t) ? t.count * t.held : t.workers * t.chunk * (int64_t)sizeof(float);
}

int64_t whet_i_merge_streams(const whet_i_merge_tensor *t) {
    return t->method->streams < 0 ? -t->method->streams * t->n : t->method->streams;
}

int64_t whet_i_merge_resident_bytes(const whet_i_merge_tensor *t) {
    return stays(t) ? t->sources * t->count * t->held : 0;
}

int64_t whet_i_merge_tensor_bytes(const whet_i_merge_tensor *tensor, int32_t threads) {
    whet_i_merge_tensor t = *tensor;
    whet_i_merge_cut(&t, threads);
    const int64_t sources = goes_through(&t) ? t.sources : 0;
    int64_t bytes = t.workers * ((sources + 1) * t.chunk * 4 + t.chunk * 8 + scratch_of(&t) * 4);
    bytes += whet_i_merge_sums_bytes(&t, t.sources * t.sources + 8) + t.chunks;
    if (t.method->beside) bytes += t.method->beside(&t);
    return bytes + whet_i_merge_select_bytes(&t, whet_i_merge_streams(&t));
}

/* ---- memory ----------------------------------------------------------------------------------- */

static whet_status make_worker(whet_ctx *ctx, const whet_i_merge_tensor *t, worker *w) {
    WHET_TRY(whet_i_calloc(ctx, t->sources, &w->x));
    WHET_TRY(whet_i_alloc(ctx, goes_through(t) ? t->sources * t->chunk : 0, &w->chunks));
    WHET_TRY(whet_i_alloc(ctx, t->chunk, &w->out));
    WHET_TRY(whet_i_alloc(ctx, t->chunk * 8, &w->raw));
    return whet_i_alloc(ctx, scratch_of(t), &w->scratch);
}

/* A block that is lent grows; a tensor that is read again gives it up. */
static whet_status make_resident(whet_ctx *ctx, whet_i_merge_tensor *t) {
    const int64_t bytes = whet_i_merge_resident_bytes(t);
    if (!t->block) return bytes ? whet_i_alloc(ctx, bytes, &t->memory->resident) : WHET_OK;
    if (bytes == 0 || t->block->size < bytes) {
        whet_i_free(ctx, t->block->bytes);
        *t->block = (whet_i_merge_block){0};
    }
    if (bytes == 0) return WHET_OK;
    if (!t->block->bytes) WHET_TRY(whet_i_alloc(ctx, bytes, &t->block->bytes));
    if (t->block->size < bytes) t->block->size = bytes;
    t->memory->resident = t->block->bytes;
    t->memory->lent = true;
    return WHET_OK;
}

whet_status whet_i_merge_room_create(whet_ctx *ctx, whet_i_merge_tensor *t) {
    whet_i_merge_cut(t, whet_ctx_threads(ctx));
    t->kernels = whet_i_kernels(ctx);
    t->key = whet_i_hash_u64(t->seed ^ whet_i_hash_bytes(t->name, (int64_t)strlen(t->name)));
    int64_t numbers;
    WHET_TRY(whet_i_mul(ctx, t->sources, t->chunk > t->count ? t->chunk : t->count, &numbers));
    WHET_TRY(whet_i_calloc(ctx, 1, &t->memory));
    WHET_TRY(whet_i_calloc(ctx, t->chunks, &t->memory->seen));
    WHET_TRY(whet_i_calloc(ctx, t->workers, &t->memory->workers));
    WHET_TRY(make_resident(ctx, t));
    for (int32_t i = 0; i < t->workers; i++) WHET_TRY(make_worker(ctx, t, &t->memory->workers[i]));
    return WHET_OK;
}

void whet_i_merge_room_destroy(whet_ctx *ctx, whet_i_merge_tensor *t) {
    if (!t->memory) return;
    for (int32_t i = 0; t->memory->workers && i < t->workers; i++) {
        worker *w = &t->memory->workers[i];
        whet_i_free(ctx, w->x);
        whet_i_free(ctx, w->chunks);
        whet_i_free(ctx, w->out);
        whet_i_free(ctx, w->raw);
        whet_i_free(ctx, w->scratch);
    }
    whet_i_free(ctx, t->memory->workers);
    if (!t->memory->lent) whet_i_free(ctx, t->memory->resident);
    whet_i_free(ctx, t->memory->seen);
    whet_i_free(ctx, t->memory);
    t->memory = NULL;
}

/* ---- one chunk -------------------------------------------------------------------------------- */

/* Source s of the chunk as f32; NULL with errno where it cannot be read. */
static const float *fetch(const whet_i_merge_tensor *t, const worker *w,
                          const whet_i_merge_chunk *c, int64_t s, bool seen) {
    const whet_i_merge_source *source = &t->source[s];
    char *resident = t->memory->resident;
    float *own = w->chunks + s * t->chunk;
    if (source->values) return source->values + c->first;
    if (!resident) return whet_i_merge_read(t, source, c->first, c->n, w->raw, own) ? own : NULL;
    resident += (s * t->count + c->first) * t->held;
    if (t->held == (int64_t)sizeof(float)) {
        float *to = (float *)(void *)resident;
        return seen || whet_i_merge_read(t, source, c->first, c->n, w->raw, to) ? to : NULL;
    }
    const int64_t at = source->offset + c->first * t->held;
    if (!seen && !whet_i_merge_pread(source->fd, resident, c->n * t->held, at)) return NULL;
    whet_i_merge_widen(t, source->dtype, resident, c->n, own);
    return own;
}

/* All sources of the chunk to w->x; false leaves the fault. */
static bool load(const whet_i_merge_tensor *t, worker *w, whet_i_merge_chunk *c) {
    const bool seen = t->memory->seen[c->index];
    if (!seen && t->ahead) whet_i_merge_ahead_reach(t->ahead, t->item, c->first + c->n);
    for (int64_t s = 0; s < t->sources; s++) {
        w->x[s] = fetch(t, w, c, s, seen);
        if (!w->x[s])
            return whet_i_merge_faults(&w->fault, WHET_I_MERGE_UNREADABLE, c->first, s, errno);
        if (seen) continue;
        const int64_t bad = t->kernels->first_from(c->n, w->x[s], INFINITE);
        if (bad < c->n)
            return whet_i_merge_faults(&w->fault, WHET_I_MERGE_NOT_FINITE, c->first + bad, s, 0);
        for (int64_t e = 0; t->method->positive && s >= t->n && e < c->n; e++)
            if (w->x[s][e] < 0)
                return whet_i_merge_faults(&w->fault, WHET_I_MERGE_NEGATIVE, c->first + e, s, 0);
    }
    t->memory->seen[c->index] = 1;
    return true;
}

static bool store(const whet_i_merge_tensor *t, worker *w, const whet_i_merge_chunk *c) {
    const int64_t bad = t->out ? t->kernels->first_from(c->n, w->out, INFINITE)
                               : whet_i_merge_encode(t, w->out, c->n, w->raw);
    if (bad < c->n)
        return whet_i_merge_faults(
            &w->fault, isfinite(w->out[bad]) ? WHET_I_MERGE_OVERFLOW : WHET_I_MERGE_RESULT,
            c->first + bad, -1, 0);
    if (t->out) return true;
    const int64_t size = (int64_t)whet_dtype_size(t->out_dtype);
    const char *bytes = t->out_dtype == WHET_F32 ? (const char *)w->out : w->raw;
    if (whet_i_merge_pwrite(t->out_fd, bytes, c->n * size, t->out_offset + c->first * size))
        return true;
    return whet_i_merge_faults(&w->fault, WHET_I_MERGE_UNWRITABLE, c->first, -1, errno);
}

static void run_group(void *arg, int64_t place, int32_t number) {
    const pass *p = arg;
    const whet_i_merge_tensor *t = p->t;
    const int64_t group = p->first + place;
    worker *w = &t->memory->workers[number];
    const int64_t last = (group + 1) * t->group < t->chunks ? (group + 1) * t->group : t->chunks;
    for (int64_t i = group * t->group; i < last && w->fault.kind == WHET_I_MERGE_FINE; i++) {
        whet_i_merge_chunk c = {.index = i,
                                .first = i * t->chunk,
                                .x = w->x,
                                .scratch = w->scratch,
                                .sums = p->sums ? p->sums + place * p->n_sums : NULL,
                                .worker = number};
        c.n = t->count - c.first < t->chunk ? t->count - c.first : t->chunk;
        c.out = t->out && p->writes ? t->out + c.first : w->out;
        if (!load(t, w, &c)) return;
        float *own = w->out;
        w->out = c.out;
        p->fn(t, &c, p->arg);
        if (p->writes) (void)store(t, w, &c);
        w->out = own;
    }
}

/* The fault of the lowest element, whatever the threads did. */
static whet_status tell_fault(whet_ctx *ctx, const whet_i_merge_tensor *t) {
    const whet_i_merge_fault *first = NULL;
    for (int32_t i = 0; i < t->workers; i++) {
        const whet_i_merge_fault *f = &t->memory->workers[i].fault;
        if (f->kind == WHET_I_MERGE_FINE) continue;
        if (!first || f->element < first->element) first = f;
    }
    return first ? whet_i_merge_tell(ctx, t, first) : WHET_OK;
}

/* Groups p->first and on, n of them. */
static whet_status walk(whet_ctx *ctx, pass *p, int64_t n) {
    WHET_TRY(whet_i_parallel_for(ctx, NULL, n, run_group, p));
    return tell_fault(ctx, p->t);
}

/* Groups whose sums are held at once: all, unless those are many; then two a worker. */
static int64_t groups_at_once(const whet_i_merge_tensor *t, int64_t n_sums) {
    int64_t n = SUMS_HELD / (n_sums + 1);
    if (n < 2 * t->workers) n = 2 * t->workers;
    return n < t->groups ? n : t->groups;
}

int64_t whet_i_merge_sums_bytes(const whet_i_merge_tensor *t, int64_t most) {
    int64_t numbers = 2 * t->workers * most;
    if (numbers < SUMS_HELD) numbers = SUMS_HELD;
    if (numbers > t->groups * most) numbers = t->groups * most;
    return numbers * (int64_t)sizeof(double);
}

whet_status whet_i_merge_sums(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_pass fn,
                              void *arg, int64_t n_sums, double *sums) {
    pass p = {.t = t, .fn = fn, .arg = arg, .n_sums = n_sums};
    const int64_t at_once = groups_at_once(t, n_sums);
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, at_once * n_sums, &p.sums));
    for (int64_t k = 0; k < n_sums; k++) sums[k] = 0;
    for (; status == WHET_OK && p.first < t->groups; p.first += at_once) {
        const int64_t n = t->groups - p.first < at_once ? t->groups - p.first : at_once;
        for (int64_t i = 0; i < n * n_sums; i++) p.sums[i] = 0;
        status = walk(ctx, &p, n);
        for (int64_t k = 0; k < n_sums; k++)
            for (int64_t g = 0; g < n; g++) sums[k] += p.sums[g * n_sums + k];
    }
    whet_i_free(ctx, p.sums);
    return status;
}

whet_status whet_i_merge_write(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_pass fn,
                               void *arg) {
    pass p = {.t = t, .fn = fn, .arg = arg, .writes = true};
    return walk(ctx, &p, t->groups);
}

/* ---- a sample --------------------------------------------------------------------------------- */

typedef struct sampling {
    whet_i_merge_tensor *t;
    whet_i_merge_keys keys;
    void *arg;
    int64_t n_streams, pieces, len;
    float *room; /* [workers, sources, len] */
    uint32_t *out;
} sampling;

/* Each of as many equal parts gives one piece, from a drawn place: rows must not be seen at one column
 * alone. */
static bool sample_piece(const sampling *s, int64_t piece, int32_t number) {
    whet_i_merge_tensor *t = s->t;
    worker *w = &t->memory->workers[number];
    const int64_t places = t->count / s->len, begin = piece * places / s->pieces;
    const int64_t span = (piece + 1) * places / s->pieces - begin;
    const uint64_t drawn = whet_i_hash_u64((uint64_t)piece + 1);
    const int64_t first = (begin + (int64_t)(drawn % (uint64_t)span)) * s->len;
    for (int64_t k = 0; k < t->sources; k++) {
        float *to = s->room + (number * t->sources + k) * s->len;
        w->x[k] = t->source[k].values ? t->source[k].values + first : to;
        if (!t->source[k].values && !whet_i_merge_read(t, &t->source[k], first, s->len, w->raw, to))
            return whet_i_merge_faults(&w->fault, WHET_I_MERGE_UNREADABLE, first, k, errno);
    }
    const whet_i_merge_chunk c = {
        .first = first, .n = s->len, .x = w->x, .scratch = w->scratch, .worker = number};
    for (int64_t i = 0; i < s->n_streams; i++)
        s->keys(t, &c, i, s->arg, s->out + (i * s->pieces + piece) * s->len);
    return true;
}

/* Pieces `first` and on, as many apart as the tensor has workers: of a small one fewer than there are
 * threads. */
static void sample_pieces(void *arg, int64_t first, int32_t number) {
    const sampling *s = arg;
    for (int64_t piece = first; piece < s->pieces; piece += s->t->workers)
        if (!sample_piece(s, piece, number)) return;
}

whet_status whet_i_merge_sample(whet_ctx *ctx, whet_i_merge_tensor *t, whet_i_merge_keys keys,
                                void *arg, int64_t n_streams, int64_t pieces, int64_t len,
                                uint32_t *out) {
    sampling s = {.t = t,
                  .keys = keys,
                  .arg = arg,
                  .n_streams = n_streams,
                  .pieces = pieces,
                  .len = len,
                  .out = out};
    int64_t room;
    WHET_TRY(whet_i_mul(ctx, t->workers * t->sources, len, &room));
    WHET_TRY(whet_i_alloc(ctx, room, &s.room));
    whet_status status = whet_i_parallel_for(ctx, NULL, t->workers, sample_pieces, &s);
    if (status == WHET_OK) status = tell_fault(ctx, t);
    whet_i_free(ctx, s.room);
    return status;
}
