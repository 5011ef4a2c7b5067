/* SPDX-License-Identifier: Apache-2.0
 * Triples (row, rule, vote) of a table, line by line, and those that stand in order of their rows block by
 * block. */
#ifndef WHET_LABEL_VOTE_TRIPLES_H
#define WHET_LABEL_VOTE_TRIPLES_H

#include "io/io_i.h"
#include "label/vote_model.h"

/* ---- lines (votes_file.c) ------------------------------------------------ */

typedef struct whet_i_triples {
    const char *path;
    whet_i_table_parts *parts;
    int64_t column[3];
    int64_t most_rows, most_rules, most_classes; /* that triples may speak of */
} whet_i_triples;

/* Limits as opts say, else by the bytes of the table. */
void whet_i_triples_begin(const char *path, whet_i_table_parts *parts,
                          const whet_votes_read_opts *opts, whet_i_triples *out);
/* The next part, the caller's; NULL behind the last. Errors: as reading; a column that is missing. */
WHET_CHECKED whet_status whet_i_triples_next(whet_ctx *ctx, whet_i_triples *triples,
                                             whet_table **out);
/* Row, rule and vote of a line. Errors: DATA with the line. */
WHET_CHECKED whet_status whet_i_triple_at(whet_ctx *ctx, const whet_i_triples *triples,
                                          const whet_table *part, int64_t line, int64_t out[3]);
/* Votes of a row by rising rule; `row` is for the sentence. Errors: DATA (two of one rule). */
WHET_CHECKED whet_status whet_i_triples_sort_row(whet_ctx *ctx, const char *path, int64_t row,
                                                 int64_t votes, int32_t *rule, int32_t *vote);

/* ---- blocks (triple_stream.c) ------------------------------------------------ */

typedef struct whet_i_triple_stream whet_i_triple_stream;

/* Reads all once for sizes and order. *out NULL: rows do not stand in order. parts are the caller's, in use
 * until the stream is closed. most_rows, >= 1: of a block. Errors: as whet_votes_read. */
WHET_CHECKED whet_status whet_i_triple_stream_open(whet_ctx *ctx, const char *where,
                                                   whet_i_table_parts *parts,
                                                   const whet_votes_read_opts *opts,
                                                   int64_t most_rows, whet_i_triple_stream **out);
/* n, m and k of all; no votes. */
const whet_votes *whet_i_triple_stream_shape(const whet_i_triple_stream *stream);
/* The next rows, checked, valid until the next call, and the row they begin with; n = 0 at the end.
 * Errors: DATA; IO (the file has changed); as reading. */
WHET_CHECKED whet_status whet_i_triple_stream_next(whet_ctx *ctx, whet_i_triple_stream *stream,
                                                   whet_votes *block, int64_t *first);
void whet_i_triple_stream_close(whet_ctx *ctx, whet_i_triple_stream *stream); /* NULL is fine */

#endif
