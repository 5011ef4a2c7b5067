/* SPDX-License-Identifier: Apache-2.0
 * Votes of a file block by block.
 * Legend: n rows, m rules, k classes. */
#include "label/vote_blocks.h"

#include <inttypes.h>

#include "io/io_i.h"
#include "label/vote_triples.h"

enum { BLOCK_CELLS = 1 << 24, STREAM_ROWS = 1 << 16, PART_BYTES = 8 << 20 };

struct whet_i_vote_blocks {
    const char *spec;
    whet_i_array_rows *rows;   /* or ... */
    whet_i_table_parts *parts; /* ... in order of rows, or ... */
    whet_i_triple_stream *stream;
    whet_vote_file *triples; /* ... in any order, whole */
    whet_votes all;          /* sizes alone */
    int64_t most, next;
    int8_t *narrow; /* [most, m], or ... */
    int32_t *wide;
};

void whet_i_vote_blocks_close(whet_ctx *ctx, whet_i_vote_blocks *b) {
    if (!b) return;
    whet_i_array_rows_close(ctx, b->rows);
    whet_i_triple_stream_close(ctx, b->stream);
    whet_i_table_parts_close(ctx, b->parts);
    whet_vote_file_destroy(ctx, b->triples);
    whet_i_free(ctx, b->narrow);
    whet_i_free(ctx, b->wide);
    whet_i_free(ctx, b);
}

const whet_votes *whet_i_vote_blocks_shape(const whet_i_vote_blocks *b) { return &b->all; }
int64_t whet_i_vote_blocks_most(const whet_i_vote_blocks *b) { return b->most; }

/* The next rows of an array, not checked. */
static whet_status read_block(whet_ctx *ctx, whet_i_vote_blocks *b, whet_votes *block,
                              int64_t *first) {
    const int64_t left = b->all.n - b->next, count = left < b->most ? left : b->most;
    *first = b->next;
    *block = b->all;
    block->n = count;
    block->narrow = b->narrow;
    block->wide = b->wide;
    if (count == 0) return WHET_OK;
    WHET_TRY(whet_i_array_rows_read(ctx, b->rows, b->next, count, b->narrow ? WHET_I8 : WHET_I32,
                                    b->narrow ? (void *)b->narrow : (void *)b->wide));
    b->next += count;
    return WHET_OK;
}

static whet_status find_classes(whet_ctx *ctx, whet_i_vote_blocks *b) {
    int32_t most = 1;
    do {
        whet_votes block;
        int64_t first;
        WHET_TRY(whet_i_progress(ctx, "looking for classes", b->next, b->all.n));
        WHET_TRY(read_block(ctx, b, &block, &first));
        const int32_t top = whet_i_votes_largest(&block);
        most = top > most ? top : most;
    } while (b->next < b->all.n);
    b->next = 0;
    b->all.k = (int64_t)most + 1;
    return whet_i_votes_check_sizes(ctx, &b->all);
}

static whet_status open_array(whet_ctx *ctx, const whet_votes_read_opts *opts,
                              whet_i_vote_blocks *b) {
    bool narrow;
    int64_t cells;
    WHET_TRY(whet_i_votes_open_array(ctx, b->spec, &b->rows, &narrow));
    const int64_t *shape = whet_i_array_rows_head(b->rows)->shape;
    b->all = (whet_votes){.n = shape[0], .m = shape[1], .k = opts->classes ? opts->classes : 2};
    WHET_TRY(whet_i_votes_check_expected(ctx, b->spec, opts, &b->all));
    WHET_TRY(whet_i_votes_check_sizes(ctx, &b->all));
    b->most = BLOCK_CELLS / b->all.m > 1 ? BLOCK_CELLS / b->all.m : 1;
    b->most = b->most < b->all.n ? b->most : b->all.n;
    WHET_TRY(whet_i_mul(ctx, b->most > 1 ? b->most : 1, b->all.m, &cells));
    if (narrow)
        WHET_TRY(whet_i_alloc(ctx, cells, &b->narrow));
    else
        WHET_TRY(whet_i_alloc(ctx, cells, &b->wide));
    return opts->classes ? WHET_OK : find_classes(ctx, b);
}

static whet_status open_triples(whet_ctx *ctx, const whet_votes_read_opts *opts,
                                whet_i_vote_blocks *b) {
    WHET_TRY(whet_i_table_parts_open(ctx, b->spec, PART_BYTES, &b->parts));
    WHET_TRY(whet_i_triple_stream_open(ctx, b->spec, b->parts, opts, STREAM_ROWS, &b->stream));
    if (b->stream) {
        b->all = *whet_i_triple_stream_shape(b->stream);
        b->most = b->all.n < STREAM_ROWS ? b->all.n : STREAM_ROWS;
        return WHET_OK;
    }
    WHET_TRY(whet_i_votes_of_triples(ctx, b->spec, b->parts, opts, &b->triples));
    const whet_votes *votes = whet_vote_file_votes(b->triples);
    b->all = (whet_votes){.n = votes->n, .m = votes->m, .k = votes->k};
    b->most = votes->n;
    return WHET_OK;
}

static whet_status open_either(whet_ctx *ctx, const whet_votes_read_opts *opts,
                               whet_i_vote_blocks *b) {
    if (!whet_i_votes_is_table(b->spec)) return open_array(ctx, opts, b);
    return open_triples(ctx, opts, b);
}

whet_status whet_i_vote_blocks_open(whet_ctx *ctx, const char *spec,
                                    const whet_votes_read_opts *opts, whet_i_vote_blocks **out) {
    whet_i_vote_blocks *b;
    WHET_TRY(whet_i_calloc(ctx, 1, &b));
    b->spec = spec;
    const whet_status status = open_either(ctx, opts, b);
    if (status == WHET_OK)
        *out = b;
    else
        whet_i_vote_blocks_close(ctx, b);
    return status;
}

whet_status whet_i_vote_blocks_next(whet_ctx *ctx, whet_i_vote_blocks *b, whet_votes *block,
                                    int64_t *first) {
    if (b->stream) return whet_i_triple_stream_next(ctx, b->stream, block, first);
    if (!b->triples) {
        WHET_TRY(read_block(ctx, b, block, first));
        const whet_status status = whet_i_votes_check_rows(ctx, block, *first);
        return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", b->spec);
    }
    *first = b->next;
    *block = *whet_vote_file_votes(b->triples); /* checked when it was read */
    if (b->next) block->n = 0;
    b->next = b->all.n;
    return WHET_OK;
}
