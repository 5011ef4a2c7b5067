/* SPDX-License-Identifier: Apache-2.0
 * Votes: their forms and ranges.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>

#include "label/vote_model.h"

enum { CHECK_ROWS = 1 << 14 };

whet_status whet_i_votes_check_sizes(whet_ctx *ctx, const whet_votes *votes) {
    int64_t cells;
    if (votes->n < 0 || votes->m < 1 || votes->k < 2)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "votes of %" PRId64 " rows, %" PRId64 " rules and %" PRId64
                           " classes; expected at least 0, 1 and 2",
                           votes->n, votes->m, votes->k);
    WHET_TRY(whet_i_mul(ctx, votes->m, votes->k, &cells));
    if (cells > INT32_MAX || votes->m > INT32_MAX - 1)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%" PRId64 " rules of %" PRId64
                           " classes; expected a product below 2^31",
                           votes->m, votes->k);
    return whet_i_mul(ctx, votes->n, votes->m, &cells);
}

whet_status whet_i_votes_check_shape(whet_ctx *ctx, const whet_votes *votes) {
    const int forms = (votes->narrow ? 1 : 0) + (votes->wide ? 1 : 0) + (votes->start ? 1 : 0);
    WHET_TRY(whet_i_votes_check_sizes(ctx, votes));
    if (forms != 1 || (votes->start && (!votes->rule || !votes->vote)))
        return whet_i_fail(ctx, WHET_ERR_ARG, "votes in %d forms; expected one", forms);
    return WHET_OK;
}

typedef struct checking {
    const whet_votes *votes;
    int64_t parts;
    int64_t *bad; /* [parts] the first row with a bad vote, or n */
} checking;

static bool row_is_fine(const whet_votes *v, int64_t i) {
    bool fine = true;
    if (v->narrow) {
        const int8_t *row = v->narrow + i * v->m;
        int8_t low = 0, high = -1;
        for (int64_t j = 0; j < v->m; j++) {
            low = row[j] < low ? row[j] : low;
            high = row[j] > high ? row[j] : high;
        }
        return low >= -1 && high < v->k;
    }
    if (v->wide) {
        const int32_t *row = v->wide + i * v->m;
        for (int64_t j = 0; j < v->m; j++) fine = fine && row[j] >= -1 && row[j] < v->k;
        return fine;
    }
    if (v->start[i] > v->start[i + 1]) return false;
    for (int64_t e = v->start[i]; e < v->start[i + 1]; e++) {
        fine = fine && v->rule[e] >= 0 && v->rule[e] < v->m && v->vote[e] >= 0 && v->vote[e] < v->k;
        fine = fine && (e == v->start[i] || v->rule[e] > v->rule[e - 1]);
    }
    return fine;
}

static void check_part(void *arg, int64_t part, int32_t worker) {
    checking *c = arg;
    int64_t first, last;
    (void)worker;
    whet_i_part(c->votes->n, c->parts, part, &first, &last);
    c->bad[part] = c->votes->n;
    for (int64_t i = first; i < last; i++) {
        if (row_is_fine(c->votes, i)) continue;
        c->bad[part] = i;
        return;
    }
}

static whet_status tell_bad(whet_ctx *ctx, const whet_votes *v, int64_t i, int64_t first) {
    for (int64_t j = 0; !v->start && j < v->m; j++) {
        const int32_t vote = v->narrow ? v->narrow[i * v->m + j] : v->wide[i * v->m + j];
        if (vote < -1 || vote >= v->k)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "vote [%" PRId64 ", %" PRId64 "] is %d; expected -1 to %" PRId64,
                               first + i, j, vote, v->k - 1);
    }
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "votes of row %" PRId64 "; expected rules from 0 to %" PRId64
                       ", rising, and classes from 0 to %" PRId64,
                       first + i, v->m - 1, v->k - 1);
}

whet_status whet_i_votes_check_rows(whet_ctx *ctx, const whet_votes *votes, int64_t first) {
    WHET_TRY(whet_i_votes_check_shape(ctx, votes));
    if (votes->start && votes->start[0] != 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "votes begin at %" PRId64 "; expected 0",
                           votes->start[0]);
    checking c = {.votes = votes, .parts = votes->n / CHECK_ROWS + 1};
    int64_t bad = votes->n;
    WHET_TRY(whet_i_alloc(ctx, c.parts, &c.bad));
    const whet_status status = whet_i_parallel_for(ctx, NULL, c.parts, check_part, &c);
    for (int64_t p = 0; status == WHET_OK && p < c.parts; p++)
        bad = c.bad[p] < bad ? c.bad[p] : bad;
    whet_i_free(ctx, c.bad);
    WHET_TRY(status);
    return bad < votes->n ? tell_bad(ctx, votes, bad, first) : WHET_OK;
}

whet_status whet_votes_check(whet_ctx *ctx, const whet_votes *votes) {
    return whet_i_votes_check_rows(ctx, votes, 0);
}

/* ---- rows for kernels ------------------------------------------------------------------------- */

whet_status whet_i_vote_batch_make(whet_ctx *ctx, int64_t m, int64_t width,
                                   whet_i_vote_batch *out) {
    const int64_t rows = (int64_t)WHET_I_VOTE_BATCH * whet_ctx_threads(ctx);
    int64_t cells;
    *out = (whet_i_vote_batch){.m = m, .width = width};
    if (m > INT32_MAX / WHET_I_VOTE_BATCH)
        return whet_i_fail(ctx, WHET_ERR_LIMIT, "%" PRId64 " rules; expected at most %d", m,
                           INT32_MAX / WHET_I_VOTE_BATCH);
    WHET_TRY(whet_i_alloc(ctx, rows + whet_ctx_threads(ctx), &out->start));
    WHET_TRY(whet_i_mul(ctx, rows, m, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &out->cell));
    WHET_TRY(whet_i_mul(ctx, rows, width, &cells));
    return whet_i_alloc(ctx, cells, &out->r);
}

whet_i_vote_rows whet_i_vote_batch_fill(const whet_i_vote_batch *batch, int32_t worker,
                                        const whet_votes *votes, int64_t first, int64_t count) {
    int32_t *start = batch->start + worker * (WHET_I_VOTE_BATCH + 1);
    int32_t *cell = batch->cell + worker * WHET_I_VOTE_BATCH * batch->m;
    start[0] = 0;
    for (int64_t i = 0; i < count; i++)
        start[i + 1] = start[i] + (int32_t)whet_i_vote_cells(votes, first + i, cell + start[i]);
    return (whet_i_vote_rows){.rows = count,
                              .width = batch->width,
                              .start = start,
                              .cell = cell,
                              .r = batch->r + worker * WHET_I_VOTE_BATCH * batch->width};
}

void whet_i_vote_batch_free(whet_ctx *ctx, whet_i_vote_batch *batch) {
    whet_i_free(ctx, batch->start);
    whet_i_free(ctx, batch->cell);
    whet_i_free(ctx, batch->r);
}
