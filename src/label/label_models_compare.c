/* SPDX-License-Identifier: Apache-2.0
 * Label models beside each other: each is fitted without a fold of the labels and judged on it. The
 * votes of held-out rows stay where they are, as those of all unlabelled rows; their labels are not
 * seen, neither for the balance nor by EM nor by weights.
 * Legend: b labelled rows, k classes. */
#include <inttypes.h>
#include <math.h>

#include "label/vote_model.h"

typedef struct comparing {
    const whet_votes *votes;
    const whet_label_model_opts *opts;
    whet_vote_counts *counts;
    int64_t b, k;
    int32_t folds;
    int64_t *row;   /* [b] labelled rows */
    int32_t *y;     /* [b] */
    int32_t *fold;  /* [b] */
    int32_t *shown; /* [n] labels without a fold */
    double *probs;  /* [b, k] held out */
    bool *covered;  /* [b] */
} comparing;

static whet_status prepare(whet_ctx *ctx, comparing *c, uint64_t seed) {
    const int32_t *labels = c->opts->labels;
    int32_t *cell = NULL;
    whet_status status = WHET_OK;
    int64_t cells;
    for (int64_t i = 0; labels && i < c->votes->n; i++) c->b += labels[i] >= 0 ? 1 : 0;
    if (c->b < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%" PRId64 " labels to compare label models on; expected at least 2",
                           c->b);
    WHET_TRY_DONE(whet_i_alloc(ctx, c->b, &c->row));
    WHET_TRY_DONE(whet_i_alloc(ctx, c->b, &c->y));
    WHET_TRY_DONE(whet_i_alloc(ctx, c->b, &c->fold));
    WHET_TRY_DONE(whet_i_alloc(ctx, c->b, &c->covered));
    WHET_TRY_DONE(whet_i_alloc(ctx, c->votes->n, &c->shown));
    WHET_TRY_DONE(whet_i_mul(ctx, c->b, c->k, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &c->probs));
    WHET_TRY_DONE(whet_i_alloc(ctx, c->votes->m, &cell));
    for (int64_t i = 0, at = 0; i < c->votes->n; i++) {
        if (labels[i] < 0) continue;
        if (labels[i] >= c->k) {
            status = whet_i_fail(ctx, WHET_ERR_DATA,
                                 "label of row %" PRId64 " is %d; expected -1 to %" PRId64, i,
                                 labels[i], c->k - 1);
            goto done;
        }
        c->row[at] = i;
        c->covered[at] = whet_i_vote_cells(c->votes, i, cell) > 0;
        c->y[at++] = labels[i];
    }
    c->folds = c->folds < c->b ? c->folds : (int32_t)c->b;
    WHET_TRY_DONE(whet_i_stratified_folds(ctx, c->y, NULL, c->b, c->k, c->folds, seed, 0, c->fold));
done:
    whet_i_free(ctx, cell);
    return status;
}

static whet_status hold_out(whet_ctx *ctx, comparing *c, int32_t fold, whet_label_method method,
                            whet_label_score *score) {
    whet_label_model_opts opts = *c->opts;
    whet_label_model *model = NULL;
    whet_status status = WHET_OK;
    memcpy(c->shown, c->opts->labels, sizeof *c->shown * (size_t)c->votes->n);
    for (int64_t l = 0; l < c->b; l++)
        if (c->fold[l] == fold) c->shown[c->row[l]] = -1;
    opts.labels = c->shown;
    opts.method = method;
    WHET_TRY_DONE(whet_i_label_model_fit(ctx, c->votes, c->counts, &opts, &model));
    score->used = model->info.method;
    for (int64_t l = 0; l < c->b; l++)
        if (c->fold[l] == fold)
            WHET_TRY_DONE(whet_i_label_model_predict(ctx, NULL, model, c->votes, c->row[l], 1,
                                                     c->probs + l * c->k));
done:
    whet_label_model_destroy(ctx, model);
    return status;
}

static void mark_failed(const comparing *c, whet_label_score *score) {
    const double none = (double)NAN;
    *score = (whet_label_score){.method = score->method,
                                .used = score->method,
                                .n = c->b,
                                .accuracy = none,
                                .accuracy_low = none,
                                .accuracy_high = none,
                                .covered_accuracy = none,
                                .log_loss = none,
                                .failed = true};
}

static void judge(const comparing *c, whet_label_score *score) {
    double right = 0;
    for (int64_t l = 0; l < c->b; l++) {
        const double *row = c->probs + l * c->k;
        double top = row[0];
        int64_t ties = 0;
        for (int64_t a = 1; a < c->k; a++) top = row[a] > top ? row[a] : top;
        for (int64_t a = 0; a < c->k; a++) ties += row[a] >= top ? 1 : 0;
        if (!c->covered[l]) continue;
        score->covered++;
        right += row[c->y[l]] >= top ? 1 / (double)ties : 0;
    }
    score->n = c->b;
    score->accuracy = right / (double)c->b;
    score->covered_accuracy = score->covered ? right / (double)score->covered : (double)NAN;
    score->log_loss = whet_i_log_loss(c->probs, c->b, c->k, c->y);
    whet_i_wilson(right, c->b, &score->accuracy_low, &score->accuracy_high);
}

static bool is_better(const whet_label_score *a, const whet_label_score *b) {
    if (a->failed || b->failed) return b->failed && !a->failed;
    return a->accuracy > b->accuracy || (a->accuracy >= b->accuracy && a->log_loss < b->log_loss);
}

whet_status whet_label_models_compare(whet_ctx *ctx, const whet_votes *votes,
                                      const whet_label_model_opts *opts, int32_t folds,
                                      uint64_t seed, whet_label_score *scores,
                                      whet_label_method *best) {
    whet_label_model_opts known = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_score found[WHET_LABEL_METHODS] = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_opts(ctx, opts, &known, sizeof known, "whet_label_model_opts"));
    WHET_TRY(whet_votes_check(ctx, votes));
    if (folds < 2) return whet_i_fail(ctx, WHET_ERR_ARG, "%d folds; expected at least 2", folds);
    comparing c = {.votes = votes, .opts = &known, .k = votes->k, .folds = folds};
    WHET_TRY_DONE(prepare(ctx, &c, seed));
    WHET_TRY_DONE(whet_vote_counts_create(ctx, votes->m, votes->k, &c.counts));
    WHET_TRY_DONE(whet_i_vote_counts_add(ctx, c.counts, votes, false));
    int64_t choice = 0;
    for (int64_t m = 0; m < WHET_LABEL_METHODS; m++) {
        found[m].method = (whet_label_method)m;
        for (int32_t f = 0; f < c.folds && status == WHET_OK; f++) {
            WHET_TRY_DONE(whet_i_progress(ctx, "comparing models", m * c.folds + f,
                                          WHET_LABEL_METHODS * (int64_t)c.folds));
            status = hold_out(ctx, &c, f, (whet_label_method)m, &found[m]);
        }
        /* A model that diverges is no reason to keep the others back. */
        if (status == WHET_OK)
            judge(&c, &found[m]);
        else if (status == WHET_ERR_NUMERIC)
            mark_failed(&c, &found[m]);
        else
            goto done;
        status = WHET_OK;
        if (is_better(&found[m], &found[choice])) choice = m;
    }
    memcpy(scores, found, sizeof found);
    *best = (whet_label_method)choice;
done:
    whet_vote_counts_destroy(ctx, c.counts);
    whet_i_free(ctx, c.row);
    whet_i_free(ctx, c.y);
    whet_i_free(ctx, c.fold);
    whet_i_free(ctx, c.covered);
    whet_i_free(ctx, c.shown);
    whet_i_free(ctx, c.probs);
    return status;
}
