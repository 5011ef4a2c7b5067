/* SPDX-License-Identifier: Apache-2.0
 * Triples of votes from anybody: what is read passes its own check and, written and read again, is the
 * same; parts of any length say the same, and blocks where rows are in order. */
#include "fuzz.h"

#include "io/table_i.h"
#include "label/vote_triples.h"

static whet_status read(whet_ctx *ctx, const uint8_t *data, size_t size, int64_t part,
                        whet_vote_file **out) {
    const whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    whet_i_table_parts *parts = NULL;
    WHET_TRY(whet_i_table_parts_over(ctx, WHET_TABLE_TSV, "f", (const char *)data, (int64_t)size,
                                     part, &parts));
    const whet_status status = whet_i_votes_of_triples(ctx, "f", parts, &opts, out);
    whet_i_table_parts_close(ctx, parts);
    return status;
}

/* Block after block, of 3 rows and of parts of 11 bytes, the same votes as `whole` has, if rows are in order;
 * nothing that does not read whole streams to its end. */
static void stream(const uint8_t *data, size_t size, const whet_votes *whole) {
    whet_ctx *ctx = fuzz_begin();
    const whet_votes_read_opts opts = WHET_VOTES_READ_OPTS_INIT;
    whet_i_table_parts *parts = NULL;
    whet_i_triple_stream *s = NULL;
    whet_votes block = {0};
    int64_t first, votes = 0, rows = 0;
    whet_status status = whet_i_table_parts_over(ctx, WHET_TABLE_TSV, "f", (const char *)data,
                                                 (int64_t)size, 11, &parts);
    if (status == WHET_OK) status = whet_i_triple_stream_open(ctx, "f", parts, &opts, 3, &s);
    FUZZ_REQUIRE(!whole || status == WHET_OK);
    while (s && (status = whet_i_triple_stream_next(ctx, s, &block, &first)) == WHET_OK) {
        if (block.n == 0) break;
        FUZZ_REQUIRE(first == rows);
        for (int64_t i = 0; whole && i < block.n; i++)
            FUZZ_REQUIRE(whole->start[rows + i] + block.start[i + 1] - block.start[i] ==
                         whole->start[rows + i + 1]);
        const size_t bytes = sizeof *block.rule * (size_t)block.start[block.n];
        FUZZ_REQUIRE(!whole || memcmp(block.rule, whole->rule + votes, bytes) == 0);
        FUZZ_REQUIRE(!whole || memcmp(block.vote, whole->vote + votes, bytes) == 0);
        votes += block.start[block.n];
        rows += block.n;
    }
    FUZZ_REQUIRE(!s || (status == WHET_OK) == (whole != NULL));
    FUZZ_REQUIRE(!s || !whole || (rows == whole->n && block.k == whole->k));
    whet_i_triple_stream_close(ctx, s);
    whet_i_table_parts_close(ctx, parts);
    fuzz_end(ctx, status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_vote_file *whole = NULL, *part = NULL;
    const whet_status status = read(ctx, data, size, 1 << 20, &whole);
    if (status == WHET_OK) {
        const whet_votes *a = whet_vote_file_votes(whole);
        FUZZ_REQUIRE(whet_votes_check(ctx, a) == WHET_OK);
        FUZZ_REQUIRE(read(ctx, data, size, 7, &part) == WHET_OK);
        const whet_votes *b = whet_vote_file_votes(part);
        FUZZ_REQUIRE(a->n == b->n && a->m == b->m && a->k == b->k);
        FUZZ_REQUIRE(memcmp(a->start, b->start, sizeof *a->start * (size_t)(a->n + 1)) == 0);
        const size_t votes = sizeof *a->rule * (size_t)a->start[a->n];
        FUZZ_REQUIRE(memcmp(a->rule, b->rule, votes) == 0 && memcmp(a->vote, b->vote, votes) == 0);
        fuzz_touch(a->rule, (int64_t)votes);
    }
    stream(data, size, whole ? whet_vote_file_votes(whole) : NULL);
    whet_vote_file_destroy(ctx, whole);
    whet_vote_file_destroy(ctx, part);
    fuzz_end(ctx, status);
    return 0;
}
