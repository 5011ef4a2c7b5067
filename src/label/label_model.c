/* SPDX-License-Identifier: Apache-2.0
 * Label models: the table of methods, the balance of the classes, what falls back to what, and
 * predicting, which is the same for all: a sum over the votes of a row.
 * Legend: n rows, m rules, k classes, d = m k cells. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "label/vote_model.h"

static const whet_i_label_method methods[] = {
    [WHET_LABEL_MAJORITY] = {"majority", false, false, 1, whet_i_fit_majority},
    [WHET_LABEL_WEIGHTED] = {"weighted", false, false, 1, whet_i_fit_weighted},
    [WHET_LABEL_SNORKEL] = {"snorkel", true, false, 3, whet_i_fit_snorkel},
    [WHET_LABEL_FLYINGSQUID] = {"flyingsquid", true, false, 3, whet_i_fit_flyingsquid},
    [WHET_LABEL_DAWID_SKENE] = {"dawid-skene", false, true, 3, whet_i_fit_dawid_skene},
    [WHET_LABEL_ONE_COIN] = {"one-coin", false, true, 3, whet_i_fit_one_coin},
    [WHET_LABEL_IBCC] = {"ibcc", false, true, 3, whet_i_fit_ibcc},
};

const char *whet_label_method_name(whet_label_method method) {
    const int64_t i = (int64_t)method;
    return i >= 0 && i < WHET_COUNT_OF(methods) ? methods[i].name : NULL;
}

bool whet_label_method_find(const char *name, whet_label_method *out) {
    for (int64_t i = 0; i < WHET_COUNT_OF(methods); i++) {
        if (strcmp(methods[i].name, name) != 0) continue;
        *out = (whet_label_method)i;
        return true;
    }
    return false;
}

/* ---- the balance of the classes -------------------------------------------------------------- */

static whet_status check_labels(whet_ctx *ctx, const int32_t *labels, int64_t n, int64_t k) {
    for (int64_t i = 0; labels && i < n; i++)
        if (labels[i] < -1 || labels[i] >= k)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "label of row %" PRId64 " is %d; expected -1 to %" PRId64, i,
                               labels[i], k - 1);
    return WHET_OK;
}

/* Given, else from the labels with one more of each class, else even. */
static whet_status set_balance(whet_ctx *ctx, const whet_label_model_opts *opts, int64_t n,
                               int64_t k, double *balance) {
    double sum = 0;
    for (int64_t c = 0; c < k; c++) {
        balance[c] = opts->balance ? opts->balance[c] : 1;
        if (!(balance[c] > 0) || !isfinite(balance[c]))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "balance of class %" PRId64 " is %g; expected a number above 0", c,
                               balance[c]);
    }
    for (int64_t i = 0; opts->labels && !opts->balance && i < n; i++)
        if (opts->labels[i] >= 0) balance[opts->labels[i]] += 1;
    for (int64_t c = 0; c < k; c++) sum += balance[c];
    if (!isfinite(sum))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "the balance adds up to %g; expected numbers whose sum is one", sum);
    for (int64_t c = 0; c < k; c++) balance[c] /= sum;
    return WHET_OK;
}

static whet_status check_opts(whet_ctx *ctx, const whet_label_model_opts *o, int64_t m) {
    if (!whet_label_method_name(o->method))
        return whet_i_fail(ctx, WHET_ERR_ARG, "label model number %d; expected one there is",
                           (int)o->method);
    if (o->epochs < 1 || !(o->step > 0) || !(o->start > 0 && o->start <= 1) || !(o->l2 >= 0) ||
        !isfinite(o->step) || !isfinite(o->l2))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " epochs at rate %g from %g with l2 %g; expected at least 1, "
                           "above 0, up to 1, at least 0",
                           o->epochs, o->step, o->start, o->l2);
    if (!(o->smoothing >= 0) || !isfinite(o->smoothing) || !(o->tolerance >= 0) ||
        o->most_steps < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "smoothing %g, tolerance %g and %" PRId64
                           " steps; expected at least 0, 0 and 1",
                           o->smoothing, o->tolerance, o->most_steps);
    for (int64_t j = 0; o->accuracy && j < m; j++)
        if (!(o->accuracy[j] >= 0 && o->accuracy[j] <= 1))
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "accuracy of rule %" PRId64 " is %g; expected 0 to 1", j,
                               o->accuracy[j]);
    return WHET_OK;
}

/* ---- fitting --------------------------------------------------------------------------------- */

void whet_label_model_destroy(whet_ctx *ctx, whet_label_model *model) {
    if (!model) return;
    whet_i_free(ctx, model->prior);
    whet_i_free(ctx, model->base);
    whet_i_free(ctx, model->table);
    whet_i_free(ctx, model->likely);
    whet_i_free(ctx, model->parts);
    whet_i_free(ctx, model->balance);
    whet_i_free(ctx, model->accuracy);
    whet_i_free(ctx, model->coverage);
    whet_names_destroy(ctx, model->rules);
    whet_i_free(ctx, model);
}

whet_status whet_i_label_model_make(whet_ctx *ctx, int64_t m, int64_t k, whet_label_model **out) {
    whet_label_model *model = NULL;
    whet_status status = WHET_OK;
    int64_t cells;
    const int64_t width = (k + 7) / 8 * 8;
    WHET_TRY(whet_i_mul(ctx, m * k, width, &cells));
    WHET_TRY(whet_i_calloc(ctx, 1, &model));
    model->width = width;
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &model->prior));
    WHET_TRY_DONE(whet_i_calloc(ctx, width, &model->base));
    for (int64_t c = k; c < width; c++) model->base[c] = WHET_I_LOG_PAD;
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &model->table));
    WHET_TRY_DONE(whet_i_calloc(ctx, k, &model->balance));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &model->accuracy));
    WHET_TRY_DONE(whet_i_calloc(ctx, m, &model->coverage));
    model->info = (whet_label_model_info){.m = m,
                                          .k = k,
                                          .loss = (double)NAN,
                                          .balance = model->balance,
                                          .accuracy = model->accuracy,
                                          .coverage = model->coverage,
                                          .note = model->note};
    *out = model;
    model = NULL;
done:
    whet_label_model_destroy(ctx, model);
    return status;
}

typedef struct covering {
    const whet_votes *votes;
    int64_t parts;
    int64_t *count; /* [parts, m] */
} covering;

static void cover_part(void *arg, int64_t part, int32_t worker) {
    const covering *c = arg;
    const int64_t m = c->votes->m;
    int64_t first, last;
    (void)worker;
    whet_i_part(c->votes->n, c->parts, part, &first, &last);
    int64_t *count = c->count + part * m;
    for (int64_t i = first; i < last; i++) {
        if (c->votes->narrow) {
            const int8_t *row = c->votes->narrow + i * m;
            for (int64_t j = 0; j < m; j++) count[j] += row[j] >= 0 ? 1 : 0;
        } else if (c->votes->wide) {
            const int32_t *row = c->votes->wide + i * m;
            for (int64_t j = 0; j < m; j++) count[j] += row[j] >= 0 ? 1 : 0;
        } else {
            for (int64_t e = c->votes->start[i]; e < c->votes->start[i + 1]; e++)
                count[c->votes->rule[e]]++;
        }
    }
}

static whet_status coverage_of_votes(whet_ctx *ctx, const whet_votes *votes, double *coverage) {
    covering c = {.votes = votes, .parts = 64};
    whet_status status = WHET_OK;
    int64_t room;
    WHET_TRY_DONE(whet_i_mul(ctx, c.parts, votes->m, &room));
    WHET_TRY_DONE(whet_i_calloc(ctx, room, &c.count));
    WHET_TRY_DONE(whet_i_parallel_for(ctx, NULL, c.parts, cover_part, &c));
    for (int64_t j = 0; j < votes->m; j++) {
        int64_t sum = 0;
        for (int64_t p = 0; p < c.parts; p++) sum += c.count[p * votes->m + j];
        coverage[j] = votes->n ? (double)sum / (double)votes->n : 0;
    }
done:
    whet_i_free(ctx, c.count);
    return status;
}

static void coverage_of_counts(const whet_vote_counts *counts, double *coverage) {
    const int64_t k = counts->k, d = counts->m * k;
    for (int64_t j = 0; j < counts->m; j++) {
        int64_t sum = 0;
        for (int64_t s = j * k; s < (j + 1) * k; s++) sum += counts->pairs[s * d + s];
        coverage[j] = counts->n ? (double)sum / (double)counts->n : 0;
    }
}

/* The method that can serve: the one asked for, or weighted votes with a note. */
static whet_label_method choose_method(const whet_i_label_fit *fit, whet_label_model *model) {
    const whet_i_label_method *asked = &methods[fit->opts->method];
    int64_t voting = 0, labelled = 0;
    for (int64_t j = 0; j < fit->m; j++) voting += fit->coverage[j] > 0 ? 1 : 0;
    for (int64_t i = 0; fit->opts->labels && i < fit->n; i++)
        labelled += fit->opts->labels[i] >= 0 ? 1 : 0;
    /* EM with labels learns from them what one rule is worth; without, from agreement alone. */
    if (voting >= asked->least_rules || (asked->needs_rows && labelled)) return fit->opts->method;
    if (voting == 0)
        (void)snprintf(model->note, sizeof model->note,
                       "no rule votes on any row: every row gets the balance");
    else
        (void)snprintf(model->note, sizeof model->note,
                       "%s needs votes of %" PRId64 " rules, and there are %" PRId64
                       ": weighted votes in its place",
                       asked->name, asked->least_rules, voting);
    return WHET_LABEL_WEIGHTED;
}

void whet_i_accuracies(const whet_i_label_fit *fit, const double *likely, double *accuracy) {
    const int64_t k = fit->k;
    for (int64_t j = 0; j < fit->m; j++) {
        double right = 0;
        for (int64_t c = 0; c < k; c++) right += likely[(j * k + c) * k + c] * fit->balance[c];
        accuracy[j] = fit->coverage[j] > 0 ? fmin(1, fmax(1e-6, right / fit->coverage[j])) : 0;
    }
}

/* What `compat` means for the methods whose options say it all. */
static void resolve(whet_label_model_opts *opts) {
    if (!opts->compat || opts->method != WHET_LABEL_DAWID_SKENE) return;
    opts->smoothing = 0;
    opts->learn_balance = opts->keep_uncovered = true;
}

static whet_status fit_model(whet_ctx *ctx, whet_i_label_fit *fit, whet_label_model **out) {
    whet_label_model *model = NULL;
    whet_vote_counts *counts = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(check_opts(ctx, fit->opts, fit->m));
    WHET_TRY_DONE(whet_i_label_model_make(ctx, fit->m, fit->k, &model));
    WHET_TRY_DONE(set_balance(ctx, fit->opts, fit->n, fit->k, model->balance));
    memcpy(model->prior, model->balance, sizeof *model->prior * (size_t)fit->k);
    fit->balance = model->balance;
    fit->coverage = model->coverage;
    if (fit->votes)
        WHET_TRY_DONE(coverage_of_votes(ctx, fit->votes, model->coverage));
    else
        coverage_of_counts(fit->counts, model->coverage);
    model->info.rows = fit->n;
    model->info.method = choose_method(fit, model);
    const whet_i_label_method *method = &methods[model->info.method];
    if (method->needs_counts && !fit->counts) {
        WHET_TRY_DONE(whet_vote_counts_create(ctx, fit->m, fit->k, &counts));
        WHET_TRY_DONE(whet_i_vote_counts_add(ctx, counts, fit->votes, false));
        fit->counts = counts;
    }
    if (method->needs_rows && !fit->votes) {
        status = whet_i_fail(ctx, WHET_ERR_ARG,
                             "%s from counts alone; expected rows, or one of majority, weighted, "
                             "snorkel, flyingsquid",
                             method->name);
        goto done;
    }
    WHET_TRY_DONE(method->fit(ctx, fit, model));
    *out = model;
    model = NULL;
done:
    whet_vote_counts_destroy(ctx, counts);
    whet_label_model_destroy(ctx, model);
    return status;
}

void whet_i_label_model_warn(whet_ctx *ctx, const whet_label_model *model) {
    if (model->note[0]) whet_i_log(ctx, WHET_LOG_WARN, "%s", model->note);
}

whet_status whet_i_label_model_fit(whet_ctx *ctx, const whet_votes *votes,
                                   const whet_vote_counts *counts,
                                   const whet_label_model_opts *opts, whet_label_model **out) {
    whet_label_model_opts known = *opts;
    WHET_TRY(check_labels(ctx, known.labels, votes->n, votes->k));
    resolve(&known);
    whet_i_label_fit fit = {.votes = votes,
                            .counts = counts,
                            .opts = &known,
                            .n = votes->n,
                            .m = votes->m,
                            .k = votes->k};
    return fit_model(ctx, &fit, out);
}

whet_status whet_label_model_fit(whet_ctx *ctx, const whet_votes *votes,
                                 const whet_label_model_opts *opts, whet_label_model **out) {
    whet_label_model_opts known = WHET_LABEL_MODEL_OPTS_INIT;
    WHET_TRY(whet_i_opts(ctx, opts, &known, sizeof known, "whet_label_model_opts"));
    WHET_TRY(whet_votes_check(ctx, votes));
    WHET_TRY(whet_i_label_model_fit(ctx, votes, NULL, &known, out));
    whet_i_label_model_warn(ctx, *out);
    return WHET_OK;
}

whet_status whet_label_model_fit_counts(whet_ctx *ctx, const whet_vote_counts *counts,
                                        const whet_label_model_opts *opts, whet_label_model **out) {
    whet_label_model_opts known = WHET_LABEL_MODEL_OPTS_INIT;
    WHET_TRY(whet_i_opts(ctx, opts, &known, sizeof known, "whet_label_model_opts"));
    if (known.labels)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "labels beside counts, which have no rows; expected "
                           "a balance, or none");
    resolve(&known);
    whet_i_label_fit fit = {
        .counts = counts, .opts = &known, .n = counts->n, .m = counts->m, .k = counts->k};
    WHET_TRY(fit_model(ctx, &fit, out));
    whet_i_label_model_warn(ctx, *out);
    return WHET_OK;
}

void whet_label_model_get_info(const whet_label_model *model, whet_label_model_info *out) {
    *out = model->info;
}

/* ---- predicting ------------------------------------------------------------------------------ */

enum { ROWS_A_PART = 2048 };

typedef struct predicting {
    const whet_label_model *model;
    const whet_votes *votes;
    const whet_kernels *kernels;
    int64_t first, n; /* rows */
    whet_i_vote_batch batch;
    double *probs; /* [n, k] */
} predicting;

static void link_top(double *row, int64_t k) {
    double top = row[0];
    int64_t ties = 0;
    for (int64_t c = 1; c < k; c++) top = row[c] > top ? row[c] : top;
    for (int64_t c = 0; c < k; c++) ties += row[c] >= top ? 1 : 0;
    for (int64_t c = 0; c < k; c++) row[c] = row[c] >= top ? 1 / (double)ties : 0;
}

static void link_share(double *row, int64_t k) {
    double sum = 0;
    for (int64_t c = 0; c < k; c++) sum += row[c];
    for (int64_t c = 0; c < k; c++) row[c] = sum > 0 ? row[c] / sum : 1 / (double)k;
}

static void link_odds(double *row, int64_t k) {
    double sum = 0;
    for (int64_t c = 0; c < k; c++) sum += row[c] = 1 / (1 + exp(-row[c]));
    for (int64_t c = 0; c < k; c++) row[c] = sum > 0 ? row[c] / sum : 1 / (double)k;
}

static void link_row(whet_i_link link, double *row, int64_t k) {
    switch (link) {
    case WHET_I_LINK_SOFTMAX: whet_i_softmax(row, k); return;
    case WHET_I_LINK_TOP: link_top(row, k); return;
    case WHET_I_LINK_SHARE: link_share(row, k); return;
    case WHET_I_LINK_ODDS: link_odds(row, k); return;
    case WHET_I_LINK_SOFTMAX_OF_ODDS:
        for (int64_t c = 0; c < k; c++) row[c] = 1 / (1 + exp(-row[c]));
        whet_i_softmax(row, k);
        return;
    }
}

/* Scores of row i of a batch, in plain order. */
static void score_row(const whet_label_model *model, const whet_i_vote_rows *rows, int64_t i,
                      double *restrict row) {
    const int64_t k = model->info.k;
    memcpy(row, model->base, sizeof *row * (size_t)k);
    for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++) {
        const double *restrict add = model->table + rows->cell[e] * model->width;
        for (int64_t c = 0; c < k; c++) row[c] += add[c];
    }
}

static void predict_part(void *arg, int64_t part, int32_t worker) {
    const predicting *p = arg;
    const whet_label_model *model = p->model;
    const int64_t k = p->votes->k, begin = part * ROWS_A_PART;
    const int64_t end = begin + ROWS_A_PART < p->n ? begin + ROWS_A_PART : p->n;
    for (int64_t at = begin; at < end; at += WHET_I_VOTE_BATCH) {
        const int64_t count = end - at < WHET_I_VOTE_BATCH ? end - at : WHET_I_VOTE_BATCH;
        whet_i_vote_rows rows =
            whet_i_vote_batch_fill(&p->batch, worker, p->votes, p->first + at, count);
        rows.base = model->base;
        rows.table = model->table;
        if (model->link == WHET_I_LINK_SOFTMAX) p->kernels->vote_rows(&rows);
        for (int64_t i = 0; i < count; i++) {
            double *row = p->probs + (at + i) * k;
            if (rows.start[i] == rows.start[i + 1] && !model->abstains) {
                memcpy(row, model->prior, sizeof *row * (size_t)k);
            } else if (model->link == WHET_I_LINK_SOFTMAX) {
                memcpy(row, rows.r + i * rows.width, sizeof *row * (size_t)k);
            } else {
                score_row(model, &rows, i, row);
                link_row(model->link, row, k);
            }
        }
    }
}

whet_status whet_i_label_model_predict(whet_ctx *ctx, const char *stage,
                                       const whet_label_model *model, const whet_votes *votes,
                                       int64_t first, int64_t n, double *probs) {
    if (votes->m != model->info.m || votes->k != model->info.k)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "votes of %" PRId64 " rules and %" PRId64
                           " classes; the model expects %" PRId64 " and %" PRId64,
                           votes->m, votes->k, model->info.m, model->info.k);
    predicting p = {.model = model,
                    .votes = votes,
                    .kernels = whet_i_kernels(ctx),
                    .first = first,
                    .n = n,
                    .probs = probs};
    whet_status status = whet_i_vote_batch_make(ctx, votes->m, model->width, &p.batch);
    if (status == WHET_OK)
        status =
            whet_i_parallel_for(ctx, stage, (n + ROWS_A_PART - 1) / ROWS_A_PART, predict_part, &p);
    whet_i_vote_batch_free(ctx, &p.batch);
    return status;
}

whet_status whet_label_model_predict(whet_ctx *ctx, const whet_label_model *model,
                                     const whet_votes *votes, double *probs) {
    WHET_TRY(whet_votes_check(ctx, votes));
    return whet_i_label_model_predict(ctx, "predicting", model, votes, 0, votes->n, probs);
}
