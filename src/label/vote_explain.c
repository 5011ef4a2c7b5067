/* SPDX-License-Identifier: Apache-2.0
 * Why a row has its class: what the balance, and each rule by its vote or by abstaining where that
 * counts, add to the score of each class. Of most models differences of two columns are log odds.
 * Legend: m rules, k classes. */
#include <inttypes.h>

#include "label/vote_em.h"
#include "label/vote_model.h"

static double sum_of(const double *scores, int64_t m, int64_t k, int64_t c) {
    double sum = 0;
    for (int64_t j = 0; j <= m; j++) sum += scores[j * k + c];
    return sum;
}

/* Of classes but `but` (-1: of all) the one with the largest sum, the lowest of equals. */
static int64_t largest(const double *sums, int64_t k, int64_t but) {
    int64_t best = -1;
    for (int64_t c = 0; c < k; c++)
        if (c != but && (best < 0 || sums[c] > sums[best])) best = c;
    return best;
}

/* A row that is not predicted by votes has the model's answer for such rows alone. */
static void score_parts(const whet_label_model *model, const int32_t *cell, int64_t count,
                        double *scores) {
    const int64_t m = model->info.m, k = model->info.k;
    memset(scores, 0, sizeof *scores * (size_t)((m + 1) * k));
    if (count == 0 && !model->abstains) {
        for (int64_t c = 0; c < k && model->link != WHET_I_LINK_TOP; c++)
            scores[c] = whet_i_log_floored(model->prior[c]);
        return;
    }
    if (model->parts)
        memcpy(scores, model->parts, sizeof *scores * (size_t)((m + 1) * k));
    else
        memcpy(scores, model->base, sizeof *scores * (size_t)k);
    for (int64_t e = 0; e < count; e++)
        for (int64_t c = 0; c < k; c++)
            scores[(cell[e] / k + 1) * k + c] += model->table[cell[e] * model->width + c];
}

whet_status whet_label_model_explain(whet_ctx *ctx, const whet_label_model *model,
                                     const whet_votes *votes, int64_t row, double *scores,
                                     int32_t *vote, double *probs, int64_t *top) {
    const int64_t m = model->info.m, k = model->info.k;
    whet_status status = WHET_OK;
    int32_t *cell = NULL;
    double *sums = NULL;
    WHET_TRY(whet_votes_check(ctx, votes));
    if (votes->m != m || votes->k != k || row < 0 || row >= votes->n)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "row %" PRId64 " of %" PRId64 " with %" PRId64 " rules and %" PRId64
                           " classes; expected a row there is, and %" PRId64 " and %" PRId64,
                           row, votes->n, votes->m, votes->k, m, k);
    WHET_TRY_DONE(whet_i_alloc(ctx, m, &cell));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &sums));
    WHET_TRY_DONE(whet_i_label_model_predict(ctx, NULL, model, votes, row, 1, sums));
    memcpy(probs, sums, sizeof *probs * (size_t)k);
    const int64_t count = whet_i_vote_cells(votes, row, cell);
    for (int64_t j = 0; j < m; j++) vote[j] = -1;
    for (int64_t e = 0; e < count; e++) vote[cell[e] / k] = (int32_t)(cell[e] % k);
    score_parts(model, cell, count, scores);
    for (int64_t c = 0; c < k; c++) sums[c] = sum_of(scores, m, k, c);
    top[0] = largest(sums, k, -1);
    top[1] = largest(sums, k, top[0]);
done:
    whet_i_free(ctx, cell);
    whet_i_free(ctx, sums);
    return status;
}
