/* SPDX-License-Identifier: Apache-2.0
 * Votes written row by row, without holding them all. */
#ifndef WHET_LABEL_VOTE_STREAM_H
#define WHET_LABEL_VOTE_STREAM_H

#include "core/core_i.h"

typedef struct whet_i_vote_stream whet_i_vote_stream;

/* path: .tsv for triples (row, rule, vote; no line where a rule abstains), else .npy [n, m], i8 up to
 * 128 classes, then i32. Errors: IO, EXISTS, NOMEM. */
WHET_CHECKED whet_status whet_i_vote_stream_open(whet_ctx *ctx, const char *path, bool force,
                                                 int64_t n, int64_t m, int64_t k,
                                                 whet_i_vote_stream **out);
/* The next rows: votes [rows, m]. */
WHET_CHECKED whet_status whet_i_vote_stream_append(whet_ctx *ctx, whet_i_vote_stream *stream,
                                                   const int32_t *votes, int64_t rows);
/* Releases the stream whatever happens. */
WHET_CHECKED whet_status whet_i_vote_stream_commit(whet_ctx *ctx, whet_i_vote_stream *stream);
void whet_i_vote_stream_abort(whet_ctx *ctx, whet_i_vote_stream *stream); /* NULL is fine */

#endif
