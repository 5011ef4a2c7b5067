/* SPDX-License-Identifier: Apache-2.0
 * Arrays row by row: a .npy and a tensor of a .safetensors are read where they lie, mapped; an array of
 * an .npz is inflated as its rows are asked for. What lies in Fortran order is read whole. */
#include "io/npy_i.h"

/* Values converted at a time, so that copies stay in the cache. */
enum { PIECE = 1 << 16 };

struct whet_i_array_rows {
    char *spec;
    whet_tensor head;
    int64_t wide; /* values of a row */
    /* One of these is set. */
    const char *data;          /* of all rows: in the map, the file, or `whole` */
    whet_i_npz_stream *stream; /* at row `next` */
    bool read_whole;
    whet_i_map map;
    whet_safetensors *file;
    whet_tensor whole;
    int64_t next;
    char *raw; /* [PIECE] values as they lie in the file */
};

void whet_i_array_rows_close(whet_ctx *ctx, whet_i_array_rows *r) {
    if (!r) return;
    whet_i_map_close(&r->map);
    whet_safetensors_close(ctx, r->file);
    whet_i_npz_stream_close(ctx, r->stream);
    whet_tensor_destroy(ctx, &r->whole);
    whet_i_free(ctx, r->raw);
    whet_i_free(ctx, r->spec);
    whet_i_free(ctx, r);
}

const whet_tensor *whet_i_array_rows_head(const whet_i_array_rows *r) { return &r->head; }

/* ---- opening --------------------------------------------------------------------------------- */

static whet_status open_npy(whet_ctx *ctx, const char *path, whet_i_array_rows *r) {
    enum { MOST = WHET_NPY_HEADER_MAX + 12 };
    whet_i_npy npy;
    const int64_t len = r->map.len < MOST ? r->map.len : MOST;
    WHET_TRY(whet_i_npy_header(ctx, path, r->map.ptr, len, r->map.len, &npy));
    r->head = (whet_tensor){.dtype = npy.dtype, .rank = npy.rank};
    memcpy(r->head.shape, npy.shape, sizeof npy.shape);
    r->read_whole = npy.fortran && npy.rank > 1;
    if (!r->read_whole) r->data = r->map.ptr + npy.offset;
    return WHET_OK;
}

static whet_status open_npz(whet_ctx *ctx, const char *path, const char *key,
                            whet_i_array_rows *r) {
    WHET_TRY(whet_i_npz_stream_open(ctx, path, key, &r->stream));
    r->read_whole = !whet_i_npz_stream_head(r->stream, &r->head);
    return WHET_OK;
}

/* By what is in it, as whet_array_read does. */
static whet_status open_any(whet_ctx *ctx, const char *path, const char *key,
                            whet_i_array_rows *r) {
    if (whet_i_has_extension(path, ".safetensors")) {
        WHET_TRY(whet_i_array_pick(ctx, path, key, &r->file, &r->head));
        r->data = r->head.data;
        r->head.data = NULL;
        return WHET_OK;
    }
    WHET_TRY(whet_i_map_open(ctx, path, &r->map));
    if (r->map.len >= 6 && memcmp(r->map.ptr, "\x93NUMPY", 6) == 0) return open_npy(ctx, path, r);
    const bool archive = r->map.len >= 2 && memcmp(r->map.ptr, "PK", 2) == 0;
    whet_i_map_close(&r->map);
    if (archive) return open_npz(ctx, path, key, r);
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: begins as no array file does; expected .npy, .npz or .safetensors",
                       path);
}

whet_status whet_i_array_rows_open(whet_ctx *ctx, const char *spec, whet_i_array_rows **out) {
    whet_status status = WHET_OK;
    whet_i_array_rows *r;
    char *path = NULL;
    const char *key = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &r));
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(spec), &r->spec));
    WHET_TRY_DONE(whet_i_array_split(ctx, spec, &path, &key));
    WHET_TRY_DONE(open_any(ctx, path, key, r));
    WHET_TRY_DONE(whet_i_alloc(ctx, PIECE * (int64_t)whet_dtype_size(r->head.dtype), &r->raw));
    r->wide = 1;
    for (int32_t i = 1; i < r->head.rank; i++)
        WHET_TRY_DONE(whet_i_mul(ctx, r->wide, r->head.shape[i], &r->wide));
    *out = r;
    r = NULL;
done:
    whet_i_free(ctx, path);
    whet_i_array_rows_close(ctx, r);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

static whet_status read_whole(whet_ctx *ctx, whet_i_array_rows *r) {
    if (!r->read_whole || r->data) return WHET_OK;
    WHET_TRY(whet_array_read(ctx, r->spec, &r->whole));
    r->data = r->whole.data;
    return WHET_OK;
}

/* Moves the stream to a row; where that fails, or what follows does, it is to begin anew. */
static whet_status skip_to(whet_ctx *ctx, whet_i_array_rows *r, int64_t first) {
    int64_t at = r->next;
    r->next = INT64_MAX;
    if (first < at) WHET_TRY(whet_i_npz_stream_rewind(ctx, r->stream));
    if (first < at) at = 0;
    for (int64_t left = (first - at) * r->wide; left > 0; left -= PIECE)
        WHET_TRY(whet_i_npz_stream_take(ctx, r->stream, left < PIECE ? left : PIECE, r->raw));
    return WHET_OK;
}

/* The next n values from place `at` on: as they are, or through a copy in `dtype`. */
static whet_status take_values(whet_ctx *ctx, whet_i_array_rows *r, int64_t at, int64_t n,
                               whet_dtype dtype, void *out) {
    const size_t size = whet_dtype_size(r->head.dtype), bytes = (size_t)n * size;
    const bool same = dtype == r->head.dtype;
    char *to = same ? (char *)out : r->raw;
    if (r->data)
        memcpy(to, r->data + (size_t)at * size, bytes);
    else
        WHET_TRY(whet_i_npz_stream_take(ctx, r->stream, n, to));
    if (same) return WHET_OK;
    const whet_tensor raw = {r->raw, r->head.dtype, 1, {n}};
    whet_tensor made;
    WHET_TRY(whet_tensor_convert(ctx, &raw, dtype, &made));
    memcpy(out, made.data, (size_t)n * whet_dtype_size(dtype));
    whet_tensor_destroy(ctx, &made);
    return WHET_OK;
}

whet_status whet_i_array_rows_read(whet_ctx *ctx, whet_i_array_rows *r, int64_t first, int64_t n,
                                   whet_dtype dtype, void *out) {
    const int64_t rows = r->head.rank > 0 ? r->head.shape[0] : 0, from = first * r->wide;
    const int64_t count = n * r->wide;
    if (first < 0 || n < 0 || first > rows || n > rows - first)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: rows %lld and %lld more; expected 0..%lld",
                           r->spec, (long long)first, (long long)n, (long long)rows);
    WHET_TRY(read_whole(ctx, r));
    if (!r->data) WHET_TRY(skip_to(ctx, r, first));
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t some = count - at < PIECE ? count - at : PIECE;
        WHET_TRY(take_values(ctx, r, from + at, some, dtype,
                             (char *)out + (size_t)at * whet_dtype_size(dtype)));
    }
    whet_i_map_forget(&r->map);
    if (r->file) whet_i_safetensors_forget(r->file);
    if (r->data) return WHET_OK;
    r->next = first + n;
    return r->next == rows && n > 0 ? whet_i_npz_stream_end(ctx, r->stream) : WHET_OK;
}
