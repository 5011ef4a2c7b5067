/* SPDX-License-Identifier: Apache-2.0
 * Votes written row by row: as an array, or as triples of those that there are.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/vote_stream.h"

enum { BLOCK = 1 << 16 };

struct whet_i_vote_stream {
    int64_t m, done; /* rules; rows written */
    bool narrow;
    int8_t bytes[BLOCK];
    whet_npy_stream *array; /* or ... */
    whet_out *triples;
};

static whet_status open_either(whet_ctx *ctx, const char *path, bool force, int64_t n,
                               whet_i_vote_stream *s) {
    const int64_t shape[2] = {n, s->m};
    if (!whet_i_has_extension(path, ".tsv"))
        return whet_npy_stream_open(ctx, path, force, s->narrow ? WHET_I8 : WHET_I32, 2, shape,
                                    &s->array);
    WHET_TRY(whet_out_open(ctx, path, force, &s->triples));
    return whet_out_printf(ctx, s->triples, "row\trule\tvote\n");
}

whet_status whet_i_vote_stream_open(whet_ctx *ctx, const char *path, bool force, int64_t n,
                                    int64_t m, int64_t k, whet_i_vote_stream **out) {
    whet_i_vote_stream *s;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    s->m = m;
    s->narrow = k <= INT8_MAX + 1;
    const whet_status status = open_either(ctx, path, force, n, s);
    if (status == WHET_OK)
        *out = s;
    else
        whet_i_vote_stream_abort(ctx, s);
    return status;
}

static whet_status append_triples(whet_ctx *ctx, whet_i_vote_stream *s, const int32_t *votes,
                                  int64_t rows) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->m; j++)
            if (votes[i * s->m + j] >= 0)
                WHET_TRY(whet_out_printf(ctx, s->triples, "%" PRId64 "\t%" PRId64 "\t%d\n",
                                         s->done + i, j, votes[i * s->m + j]));
    return WHET_OK;
}

/* Whole rows at a time when a row fits, which it does up to 65,536 rules. */
static whet_status append_bytes(whet_ctx *ctx, whet_i_vote_stream *s, const int32_t *votes,
                                int64_t rows) {
    const int64_t at_once = BLOCK / s->m;
    for (int64_t first = 0; first < rows; first += at_once) {
        const int64_t some = rows - first < at_once ? rows - first : at_once;
        const int32_t *from = votes + first * s->m;
        for (int64_t i = 0; i < some * s->m; i++) s->bytes[i] = (int8_t)from[i];
        WHET_TRY(whet_npy_stream_append(ctx, s->array, s->bytes, some));
    }
    return WHET_OK;
}

/* A longer row is converted whole. */
static whet_status append_long(whet_ctx *ctx, whet_i_vote_stream *s, const int32_t *votes,
                               int64_t rows) {
    whet_status status = WHET_OK;
    int8_t *bytes;
    WHET_TRY(whet_i_alloc(ctx, s->m, &bytes));
    for (int64_t i = 0; i < rows && status == WHET_OK; i++) {
        for (int64_t j = 0; j < s->m; j++) bytes[j] = (int8_t)votes[i * s->m + j];
        status = whet_npy_stream_append(ctx, s->array, bytes, 1);
    }
    whet_i_free(ctx, bytes);
    return status;
}

whet_status whet_i_vote_stream_append(whet_ctx *ctx, whet_i_vote_stream *s, const int32_t *votes,
                                      int64_t rows) {
    if (s->triples)
        WHET_TRY(append_triples(ctx, s, votes, rows));
    else if (!s->narrow)
        WHET_TRY(whet_npy_stream_append(ctx, s->array, votes, rows));
    else if (s->m <= BLOCK)
        WHET_TRY(append_bytes(ctx, s, votes, rows));
    else
        WHET_TRY(append_long(ctx, s, votes, rows));
    s->done += rows;
    return WHET_OK;
}

whet_status whet_i_vote_stream_commit(whet_ctx *ctx, whet_i_vote_stream *s) {
    const whet_status status =
        s->array ? whet_npy_stream_commit(ctx, s->array) : whet_out_commit(ctx, s->triples);
    whet_i_free(ctx, s);
    return status;
}

void whet_i_vote_stream_abort(whet_ctx *ctx, whet_i_vote_stream *s) {
    if (!s) return;
    whet_npy_stream_abort(ctx, s->array);
    whet_out_abort(ctx, s->triples);
    whet_i_free(ctx, s);
}
