/* SPDX-License-Identifier: Apache-2.0
 * Triples of votes in order of their rows, block by block: read once for sizes and order, then again for the
 * votes, of which a block is held.
 * Legend: n rows, m rules, k classes. */
#include "label/vote_triples.h"

enum { BLOCK_VOTES = 1 << 20 };

struct whet_i_triple_stream {
    whet_i_triples triples;
    whet_votes all; /* sizes alone */
    int64_t most_rows, first;
    whet_table *part; /* being read, or NULL */
    int64_t line;     /* the next of it */
    bool ended;
    int64_t *start; /* [most_rows + 1] */
    int32_t *rule, *vote;
    int64_t cap;
};

void whet_i_triple_stream_close(whet_ctx *ctx, whet_i_triple_stream *s) {
    if (!s) return;
    whet_table_destroy(ctx, s->part);
    whet_i_free(ctx, s->start);
    whet_i_free(ctx, s->rule);
    whet_i_free(ctx, s->vote);
    whet_i_free(ctx, s);
}

const whet_votes *whet_i_triple_stream_shape(const whet_i_triple_stream *s) { return &s->all; }

/* ---- lines ------------------------------------------------ */

/* The next triple is looked at; false behind the last. */
static whet_status peek(whet_ctx *ctx, whet_i_triple_stream *s, int64_t out[3], bool *there) {
    while (!s->ended && (!s->part || s->line == whet_table_rows(s->part))) {
        whet_table_destroy(ctx, s->part);
        s->part = NULL;
        s->line = 0;
        WHET_TRY(whet_i_progress(ctx, "reading votes", s->first, s->all.n));
        WHET_TRY(whet_i_triples_next(ctx, &s->triples, &s->part));
        s->ended = !s->part;
    }
    *there = !s->ended;
    return s->ended ? WHET_OK : whet_i_triple_at(ctx, &s->triples, s->part, s->line, out);
}

static whet_status rewind_all(whet_ctx *ctx, whet_i_triple_stream *s) {
    whet_table_destroy(ctx, s->part);
    s->part = NULL;
    s->line = 0;
    s->ended = false;
    return whet_i_table_parts_rewind(ctx, s->triples.parts);
}

/* ---- sizes and order ------------------------------------------------ */

static whet_status look_through(whet_ctx *ctx, whet_i_triple_stream *s,
                                const whet_votes_read_opts *opts, bool *in_order) {
    int64_t at[3], last = 0, top = 1;
    bool there;
    *in_order = true;
    for (;; s->line++) {
        WHET_TRY(peek(ctx, s, at, &there));
        if (!there) break;
        *in_order = *in_order && at[0] >= last;
        last = at[0];
        s->all.n = at[0] >= s->all.n ? at[0] + 1 : s->all.n;
        s->all.m = at[1] >= s->all.m ? at[1] + 1 : s->all.m;
        top = at[2] > top ? at[2] : top;
    }
    s->all.n = opts->rows ? opts->rows : s->all.n;
    s->all.m = opts->rules ? opts->rules : s->all.m;
    s->all.k = opts->classes ? opts->classes : top + 1;
    if (s->all.m == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no votes; expected at least one",
                           s->triples.path);
    return whet_i_votes_check_sizes(ctx, &s->all);
}

whet_status whet_i_triple_stream_open(whet_ctx *ctx, const char *where, whet_i_table_parts *parts,
                                      const whet_votes_read_opts *opts, int64_t most_rows,
                                      whet_i_triple_stream **out) {
    whet_i_triple_stream *s = NULL;
    whet_status status = WHET_OK;
    bool in_order = false;
    WHET_TRY(whet_i_calloc(ctx, 1, &s));
    s->most_rows = most_rows;
    whet_i_triples_begin(where, parts, opts, &s->triples);
    WHET_TRY_DONE(look_through(ctx, s, opts, &in_order));
    WHET_TRY_DONE(rewind_all(ctx, s));
    WHET_TRY_DONE(whet_i_alloc(ctx, most_rows + 1, &s->start));
    *out = in_order ? s : NULL;
    if (in_order) s = NULL;
done:
    whet_i_triple_stream_close(ctx, s);
    return status;
}

/* ---- blocks ------------------------------------------------ */

static whet_status append(whet_ctx *ctx, whet_i_triple_stream *s, int64_t votes,
                          const int64_t at[3]) {
    if (votes == s->cap) {
        const int64_t cap = s->cap ? 2 * s->cap : 1024;
        WHET_TRY(whet_i_realloc(ctx, &s->rule, cap));
        WHET_TRY(whet_i_realloc(ctx, &s->vote, cap));
        s->cap = cap;
    }
    s->rule[votes] = (int32_t)at[1];
    s->vote[votes] = (int32_t)at[2];
    return WHET_OK;
}

/* Votes of whole rows until there are enough; *rows of them. */
static whet_status fill(whet_ctx *ctx, whet_i_triple_stream *s, int64_t *rows) {
    const int64_t left = s->all.n - s->first, most = left < s->most_rows ? left : s->most_rows;
    int64_t at[3], votes = 0, row = 0; /* row of the block; its votes begin at start[row] */
    bool there;
    *rows = most;
    s->start[0] = 0;
    for (;; s->line++) {
        WHET_TRY(peek(ctx, s, at, &there));
        if (!there) break;
        if (at[0] < s->first + row || at[0] >= s->all.n || at[1] >= s->all.m)
            return whet_i_fail(ctx, WHET_ERR_IO, "%s: changed while it was read", s->triples.path);
        if (at[0] >= s->first + most) break;
        if (votes >= BLOCK_VOTES && at[0] > s->first + row) {
            *rows = row + 1;
            break;
        }
        while (row < at[0] - s->first) s->start[++row] = votes;
        if (at[2] < 0) continue;
        WHET_TRY(append(ctx, s, votes, at));
        votes++;
    }
    while (row < *rows) s->start[++row] = votes;
    return WHET_OK;
}

whet_status whet_i_triple_stream_next(whet_ctx *ctx, whet_i_triple_stream *s, whet_votes *block,
                                      int64_t *first) {
    int64_t rows = 0;
    *first = s->first;
    *block = s->all;
    block->n = 0;
    if (s->first == s->all.n) return WHET_OK;
    WHET_TRY(append(ctx, s, 0, (const int64_t[3]){0})); /* room for one: lists that are there */
    WHET_TRY(fill(ctx, s, &rows));
    for (int64_t i = 0; i < rows; i++)
        WHET_TRY(whet_i_triples_sort_row(ctx, s->triples.path, s->first + i,
                                         s->start[i + 1] - s->start[i], s->rule + s->start[i],
                                         s->vote + s->start[i]));
    block->n = rows;
    block->start = s->start;
    block->rule = s->rule;
    block->vote = s->vote;
    s->first += rows;
    const whet_status status = whet_i_votes_check_rows(ctx, block, *first);
    return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", s->triples.path);
}
