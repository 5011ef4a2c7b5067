/* SPDX-License-Identifier: Apache-2.0
 * Why a row has its class: what the balance (with all abstaining, where that counts) and each rule's
 * vote add to the score of each class. Differences of two columns are log odds.
 * Legend: m rules, k classes. */
#include <inttypes.h>

#include "label/vote_model.h"

static double sum_of(const double *scores, int64_t m, int64_t k, int64_t c) {
    double sum = 0;
    for (int64_t j = 0; j <= m; j++) sum += scores[j * k + c];
    return sum;
}

/* Of classes but `but` (-1: of all) the one with the largest sum, the lowest of equals. */
static int64_t largest(const double *scores, int64_t m, int64_t k, int64_t but) {
    int64_t best = -1;
    for (int64_t c = 0; c < k; c++)
        if (c != but && (best < 0 || sum_of(scores, m, k, c) > sum_of(scores, m, k, best)))
            best = c;
    return best;
}

whet_status whet_label_model_explain(whet_ctx *ctx, const whet_label_model *model,
                                     const whet_votes *votes, int64_t row, double *scores,
                                     int64_t *top) {
    const int64_t m = model->info.m, k = model->info.k;
    int32_t *cell;
    WHET_TRY(whet_votes_check(ctx, votes));
    if (votes->m != m || votes->k != k || row < 0 || row >= votes->n)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "row %" PRId64 " of %" PRId64 " with %" PRId64 " rules and %" PRId64
                           " classes; expected a row there is, and %" PRId64 " and %" PRId64,
                           row, votes->n, votes->m, votes->k, m, k);
    WHET_TRY(whet_i_alloc(ctx, m, &cell));
    const int64_t count = whet_i_vote_cells(votes, row, cell);
    memset(scores, 0, sizeof *scores * (size_t)((m + 1) * k));
    memcpy(scores, model->base, sizeof *scores * (size_t)k);
    for (int64_t e = 0; e < count; e++)
        memcpy(scores + (cell[e] / k + 1) * k, model->table + cell[e] * model->width,
               sizeof *scores * (size_t)k);
    whet_i_free(ctx, cell);
    top[0] = largest(scores, m, k, -1);
    top[1] = largest(scores, m, k, top[0]);
    return WHET_OK;
}
