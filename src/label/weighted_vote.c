/* SPDX-License-Identifier: Apache-2.0
 * Weighted vote: a vote of a rule with accuracy a is worth ln(a (k - 1) / (1 - a)) to its class, the
 * weight that is best when rules err independently and evenly over the other classes (Nitzan &
 * Paroush 1982); the balance is where classes start.
 *
 * Accuracies are given; or counted on the labels; or the share of votes that the majority of the
 * other rules agrees with, where it is unique. Counts get two votes at .7 beforehand.
 * Legend: n rows, m rules, k classes. */
#include <math.h>

#include "label/vote_model.h"

#define ASSUMED_ACCURACY .7
#define ASSUMED_VOTES 2.0
#define MARGIN \
    1e-3 /* accuracies stay this far from 1 / k and 1: no rule decides alone, none is
                       turned round */

typedef struct agreeing {
    const whet_votes *votes;
    const int32_t *labels; /* NULL: the majority of the others judges */
    int64_t parts;
    int64_t *judged, *right; /* [parts, m] */
    int32_t *cells;          /* [threads, m] */
    int32_t *tally;          /* [threads, k] */
} agreeing;

/* Of the classes the largest tally when `vote` is left out, or -1 when there are two or none. */
static int32_t winner_without(const int32_t *tally, int32_t k, int32_t vote) {
    int32_t best = -1, most = 0;
    bool tie = true;
    for (int32_t c = 0; c < k; c++) {
        const int32_t votes = tally[c] - (c == vote ? 1 : 0);
        if (votes > most) {
            best = c;
            most = votes;
            tie = false;
        } else if (votes == most) {
            tie = true;
        }
    }
    return tie ? -1 : best;
}

static void judge_part(void *arg, int64_t part, int32_t worker) {
    const agreeing *a = arg;
    const whet_votes *votes = a->votes;
    const int32_t *labels = a->labels, k = (int32_t)votes->k;
    int32_t *cell = a->cells + worker * votes->m, *tally = a->tally + worker * k;
    int64_t first, last;
    whet_i_part(votes->n, a->parts, part, &first, &last);
    for (int64_t i = first; i < last; i++) {
        if (labels && labels[i] < 0) continue;
        const int64_t count = whet_i_vote_cells(votes, i, cell);
        memset(tally, 0, sizeof *tally * (size_t)k);
        for (int64_t e = 0; e < count; e++) tally[cell[e] % k]++;
        for (int64_t e = 0; e < count; e++) {
            const int32_t vote = cell[e] % k;
            const int32_t truth = labels ? labels[i] : winner_without(tally, k, vote);
            if (truth < 0) continue;
            a->judged[part * votes->m + cell[e] / k]++;
            a->right[part * votes->m + cell[e] / k] += vote == truth ? 1 : 0;
        }
    }
}

whet_status whet_i_judge_votes(whet_ctx *ctx, const whet_votes *votes, const int32_t *labels,
                               int64_t *judged, int64_t *right) {
    agreeing a = {.votes = votes, .labels = labels, .parts = 64};
    const int64_t m = votes->m, threads = whet_ctx_threads(ctx);
    whet_status status = WHET_OK;
    int64_t room;
    WHET_TRY_DONE(whet_i_mul(ctx, a.parts, m, &room));
    WHET_TRY_DONE(whet_i_calloc(ctx, room, &a.judged));
    WHET_TRY_DONE(whet_i_calloc(ctx, room, &a.right));
    WHET_TRY_DONE(whet_i_mul(ctx, threads, m, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &a.cells));
    WHET_TRY_DONE(whet_i_mul(ctx, threads, votes->k, &room));
    WHET_TRY_DONE(whet_i_alloc(ctx, room, &a.tally));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, "weighing rules", a.parts, judge_part, &a));
    for (int64_t i = 0; i < a.parts * m; i++) {
        judged[i % m] += a.judged[i];
        right[i % m] += a.right[i];
    }
done:
    whet_i_free(ctx, a.tally);
    whet_i_free(ctx, a.cells);
    whet_i_free(ctx, a.right);
    whet_i_free(ctx, a.judged);
    return status;
}

static whet_status estimate(whet_ctx *ctx, const whet_i_label_fit *fit, double *accuracy) {
    int64_t *judged = NULL, *right = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, fit->m, &judged));
    WHET_TRY_DONE(whet_i_calloc(ctx, fit->m, &right));
    if (fit->votes)
        WHET_TRY_DONE(whet_i_judge_votes(ctx, fit->votes, fit->opts->labels, judged, right));
    for (int64_t j = 0; j < fit->m; j++) {
        const int64_t all = fit->votes ? judged[j] : fit->counts->judged[j];
        const int64_t hits = fit->votes ? right[j] : fit->counts->right[j];
        accuracy[j] =
            ((double)hits + ASSUMED_VOTES * ASSUMED_ACCURACY) / ((double)all + ASSUMED_VOTES);
    }
done:
    whet_i_free(ctx, judged);
    whet_i_free(ctx, right);
    return status;
}

whet_status whet_i_fit_weighted(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model) {
    const int64_t m = fit->m, k = fit->k;
    int64_t voting = 0;
    for (int64_t j = 0; j < m; j++) voting += fit->coverage[j] > 0 ? 1 : 0;
    if (fit->opts->accuracy)
        memcpy(model->accuracy, fit->opts->accuracy, sizeof *model->accuracy * (size_t)m);
    else if (fit->opts->labels || voting >= 3)
        WHET_TRY(estimate(ctx, fit, model->accuracy));
    else /* one or two rules that vote say nothing of each other */
        for (int64_t j = 0; j < m; j++) model->accuracy[j] = ASSUMED_ACCURACY;
    for (int64_t c = 0; c < k; c++) model->base[c] = log(fit->balance[c]);
    for (int64_t j = 0; j < m; j++) {
        const double a = fmin(1 - MARGIN, fmax(1 / (double)k + MARGIN, model->accuracy[j]));
        const double weight = log(a * (double)(k - 1) / (1 - a));
        for (int64_t c = 0; c < k; c++) model->table[(j * k + c) * model->width + c] = weight;
    }
    return WHET_OK;
}
