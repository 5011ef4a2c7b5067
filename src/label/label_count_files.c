/* SPDX-License-Identifier: Apache-2.0
 * Votes of files counted block by block, and added to what was counted before: shards of votes that
 * are never held together, in any order.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/vote_blocks.h"

/* m and k that all parts must have. */
static whet_status same_sizes(whet_ctx *ctx, const char *path, int64_t m, int64_t k,
                              const whet_vote_counts *counts) {
    if (m == counts->m && k == counts->k) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: %" PRId64 " rules and %" PRId64 " classes; expected %" PRId64
                       " and %" PRId64 ", as the files before it have",
                       path, m, k, counts->m, counts->k);
}

static whet_status add_counted(whet_ctx *ctx, const char *path, whet_vote_counts **counts) {
    whet_vote_counts *more;
    WHET_TRY(whet_vote_counts_load(ctx, path, &more));
    if (!*counts) {
        *counts = more;
        return WHET_OK;
    }
    whet_status status = same_sizes(ctx, path, more->m, more->k, *counts);
    if (status == WHET_OK) status = whet_vote_counts_merge(ctx, *counts, more);
    whet_vote_counts_destroy(ctx, more);
    return status;
}

static whet_status add_blocks(whet_ctx *ctx, const char *path, whet_i_vote_blocks *blocks,
                              whet_vote_counts **counts) {
    const whet_votes *shape = whet_i_vote_blocks_shape(blocks);
    if (!*counts) WHET_TRY(whet_vote_counts_create(ctx, shape->m, shape->k, counts));
    WHET_TRY(same_sizes(ctx, path, shape->m, shape->k, *counts));
    for (;;) {
        whet_votes block;
        int64_t first;
        WHET_TRY(whet_i_vote_blocks_next(ctx, blocks, &block, &first));
        if (block.n == 0) return WHET_OK;
        WHET_TRY(whet_i_vote_counts_add(ctx, *counts, &block, true));
    }
}

static whet_status add_votes(whet_ctx *ctx, const whet_label_count_job *job, const char *path,
                             whet_vote_counts **counts) {
    whet_votes_read_opts reading = job->reading;
    whet_i_vote_blocks *blocks;
    if (*counts) reading.classes = (*counts)->k;
    WHET_TRY(whet_i_vote_blocks_open(ctx, path, &reading, &blocks));
    const whet_status status = add_blocks(ctx, path, blocks, counts);
    whet_i_vote_blocks_close(ctx, blocks);
    return status;
}

static whet_status count_all(whet_ctx *ctx, const whet_label_count_job *job,
                             whet_vote_counts **counts) {
    for (int64_t i = 0; i < job->n_counted; i++)
        WHET_TRY(add_counted(ctx, job->counted[i], counts));
    if (*counts && job->reading.classes && job->reading.classes != (*counts)->k)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %" PRId64 " classes; expected %" PRId64 ", as was said",
                           job->counted[0], (*counts)->k, job->reading.classes);
    for (int64_t i = 0; i < job->n_votes; i++) WHET_TRY(add_votes(ctx, job, job->votes[i], counts));
    return whet_vote_counts_save(ctx, *counts, job->output, job->force);
}

whet_status whet_label_count_run(whet_ctx *ctx, const whet_label_count_job *job,
                                 whet_vote_counts **out) {
    whet_label_count_job known = WHET_LABEL_COUNT_JOB_INIT;
    whet_vote_counts *counts = NULL;
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_label_count_job"));
    if (known.n_votes + known.n_counted < 1 || !known.output)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "nothing to count, or no file to write; expected votes or counts, and a "
                           "file");
    if (known.n_votes > 1 && !known.reading.classes && !known.n_counted)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "votes of %" PRId64
                           " files, and nobody says how many classes there are; "
                           "expected their number",
                           known.n_votes);
    const whet_status status = count_all(ctx, &known, &counts);
    if (status == WHET_OK)
        *out = counts;
    else
        whet_vote_counts_destroy(ctx, counts);
    return status;
}
