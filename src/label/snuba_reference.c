/* SPDX-License-Identifier: Apache-2.0
 * Snuba as it was published and run (AutoWS-Bench-101), its defects included, to compare with: binary,
 * one-vs-rest, and multi-class. What is kept on purpose:
 *   the labels that fit a model also choose its margin, judge it and feed back;
 *   multi-class: a model's columns are taken for class numbers also when classes lack; "how much it
 *   labels" of a row is the class number, 1 for abstaining; rows fed back are those of predicted class
 *   number 0 or without a vote (a class number is compared with a probability);
 *   one-vs-rest: candidates are judged by votes for "the rest", which are thrown away at the end.
 * Candidates of equal score are taken in their order.
 * Legend: b labelled rows, u unlabelled ones, h heuristics committed so far. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "label/snuba_i.h"
#include "whet/votes.h"

enum { KEPT_FIRST = 3 };

typedef struct judged {
    double score, beta;
} judged;

typedef struct run {
    const whet_i_rows *rows;
    const whet_i_candidates *list;
    const whet_snuba_opts *opts;
    int32_t class; /* one-vs-rest; -1: binary or multi-class */
    bool multi;
    double pivot;
    int32_t *truth;        /* [b] what votes are compared with: 0, 1, or classes */
    int64_t *place;        /* [n_fit] labelled rows to fit to */
    int64_t n_fit, outs;   /* outs: columns of the models of this round */
    int32_t *target;       /* [b] dense outputs */
    int32_t *dense;        /* [k] */
    bool alone;            /* the rows to fit to are of one class */
    whet_i_fitter *fitter; /* [workers] */
    double *p;             /* [workers, b, k] */
    int32_t *votes;        /* [workers, b] */
    int64_t workers;
    judged *result; /* [candidates] */
    int64_t h, cap;
    int32_t *votes_v, *votes_u; /* [cap, b], [cap, u] outputs; -1 abstains */
    int64_t *amount;            /* [u] sum of what the committed ones label */
    int64_t amounts;            /* their sum */
} run;

/* ---- judging a candidate ---------------------------------------------------------------------- */

static int64_t amount_of(const run *r, int32_t vote) {
    return r->multi ? (vote < 0 ? 1 : vote) : vote >= 0;
}

static void fit(const run *r, int64_t candidate, whet_i_fitter *f) {
    const whet_i_fit_task task = {.rows = r->rows,
                                  .list = r->list,
                                  .candidate = candidate,
                                  .place = r->place,
                                  .target = r->target,
                                  .n = r->n_fit,
                                  .outs = r->outs,
                                  .mirrored = r->alone};
    whet_i_candidate_fit(&task, f);
}

/* p and votes on the labelled rows; the margin. */
static double vote_labelled(const run *r, const whet_i_fitter *f, double *p, int32_t *votes) {
    for (int64_t i = 0; i < r->rows->b; i++)
        whet_i_model_probs(&f->model, whet_i_labelled_row(r->rows, i), 0, p + i * r->outs,
                           f->probs_room);
    return whet_i_beta_choose(p, r->outs, r->truth, r->rows->b, r->multi ? r->rows->k : 2, r->pivot,
                              !r->multi, votes, NULL);
}

/* One minus the (count) Jaccard index of what it labels and what the committed ones label. */
static double diversity(const run *r, const whet_i_fitter *f, double *p) {
    const whet_i_strided x = whet_i_unlabelled_rows(r->rows);
    int64_t both = 0, any = 0;
    if (r->h == 0) return 1;
    for (int64_t i = 0; i < r->rows->u; i++) {
        whet_i_model_probs(&f->model, x, i, p, f->probs_room);
        const int64_t own =
            amount_of(r, (int32_t)whet_i_model_vote(p, f->model.least, f->model.outs));
        both += own < r->amount[i] ? own : r->amount[i];
        any += own > r->amount[i] ? own : r->amount[i];
    }
    return any ? 1 - (double)both / (double)any : 1;
}

static void judge(void *arg, int64_t candidate, int32_t worker) {
    run *r = arg;
    whet_i_fitter *f = &r->fitter[worker];
    double *p = r->p + worker * r->rows->b * r->rows->k;
    int32_t *votes = r->votes + worker * r->rows->b;
    int64_t right = 0;
    fit(r, candidate, f);
    const double beta = vote_labelled(r, f, p, votes);
    whet_i_beta_least(r->pivot, beta, !r->multi, r->outs, f->model.least);
    for (int64_t i = 0; i < r->rows->b; i++) right += votes[i] == r->truth[i];
    const double accuracy = (double)right / (double)r->rows->b;
    r->result[candidate] = (judged){.5 * accuracy + .5 * diversity(r, f, p), beta};
}

/* ---- committing ------------------------------------------------------------------------------- */

static whet_status make_room(whet_ctx *ctx, run *r) {
    const int64_t cap = r->cap ? 2 * r->cap : 8;
    int64_t v, u;
    if (r->h < r->cap) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, cap, r->rows->b, &v));
    WHET_TRY(whet_i_mul(ctx, cap, r->rows->u, &u));
    WHET_TRY(whet_i_realloc(ctx, &r->votes_v, v));
    WHET_TRY(whet_i_realloc(ctx, &r->votes_u, u));
    r->cap = cap;
    return WHET_OK;
}

static whet_status commit(whet_ctx *ctx, run *r, int64_t candidate, whet_rules *rules) {
    whet_i_fitter *f = &r->fitter[0];
    char name[96], title[128];
    WHET_TRY(make_room(ctx, r));
    int32_t *u = r->votes_u + r->h * r->rows->u;
    fit(r, candidate, f);
    (void)vote_labelled(r, f, r->p, r->votes_v + r->h * r->rows->b);
    whet_i_beta_least(r->pivot, r->result[candidate].beta, !r->multi, r->outs, f->model.least);
    for (int64_t i = 0; i < r->rows->u; i++) {
        whet_i_model_probs(&f->model, whet_i_unlabelled_rows(r->rows), i, r->p, f->probs_room);
        u[i] = (int32_t)whet_i_model_vote(r->p, f->model.least, r->outs);
        r->amount[i] += amount_of(r, u[i]);
        r->amounts += amount_of(r, u[i]);
    }
    for (int64_t o = 0; o < r->outs; o++) f->model.vote[o] = (int32_t)o;
    whet_i_candidate_name(r->list, candidate, name);
    (void)snprintf(title, sizeof title, "%s", name);
    if (r->class >= 0) {
        f->model.vote[0] = -1;
        f->model.vote[1] = r->class;
        (void)snprintf(title, sizeof title, "class %d: %s", r->class, name);
    }
    r->h++;
    return whet_i_rules_add_model(ctx, rules, title, &f->model);
}

/* The best few, best first; of equal ones the first. */
static int64_t best_of(const run *r, const int64_t *taken, int64_t n_taken) {
    int64_t best = -1;
    for (int64_t c = 0; c < r->list->n; c++) {
        bool free = true;
        for (int64_t t = 0; t < n_taken; t++) free = free && taken[t] != c;
        if (free && (best < 0 || r->result[c].score > r->result[best].score)) best = c;
    }
    return best;
}

static whet_status commit_best(whet_ctx *ctx, run *r, whet_rules *rules) {
    int64_t taken[KEPT_FIRST], n = 0;
    const int64_t kept = r->h == 0 ? KEPT_FIRST : 1;
    for (; n < kept && n < r->list->n; n++) taken[n] = best_of(r, taken, n);
    for (int64_t t = 0; t < n; t++) WHET_TRY(commit(ctx, r, taken[t], rules));
    return WHET_OK;
}

/* ---- feedback --------------------------------------------------------------------------------- */

/* By the verifier's marginals near one half. */
static whet_status feed_back_binary(whet_ctx *ctx, run *r, double gamma) {
    const int64_t b = r->rows->b, u = r->rows->u, h = r->h;
    whet_status status = WHET_OK;
    int8_t *votes = NULL;
    double *weight = NULL, *marginal = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, u, h, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &votes));
    WHET_TRY_DONE(whet_i_alloc(ctx, h, &weight));
    WHET_TRY_DONE(whet_i_alloc(ctx, u, &marginal));
    for (int64_t i = 0; i < u; i++)
        for (int64_t j = 0; j < h; j++) {
            const int32_t vote = r->votes_u[j * u + i];
            votes[i * h + j] = (int8_t)(vote < 0 ? 0 : 2 * vote - 1);
        }
    WHET_TRY_DONE(whet_i_snuba_verifier(ctx, votes, u, h, weight, marginal));
    r->n_fit = 0;
    for (int64_t i = 0; i < b; i++) {
        double score = 0;
        for (int64_t j = 0; j < h; j++) {
            const int32_t vote = r->votes_v[j * b + i];
            score += vote < 0 ? 0 : vote ? weight[j] : -weight[j];
        }
        if (fabs(1 / (1 + exp(-score)) - r->pivot) <= gamma) r->place[r->n_fit++] = i;
    }
done:
    whet_i_free(ctx, votes);
    whet_i_free(ctx, weight);
    whet_i_free(ctx, marginal);
    return status;
}

static whet_status row_major(whet_ctx *ctx, const int32_t *columns, int64_t n, int64_t h,
                             int32_t **out) {
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, h, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, out));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < h; j++) (*out)[i * h + j] = columns[j * n + i];
    return WHET_OK;
}

/* By the label model's class number, taken for a marginal. */
static whet_status feed_back_multi(whet_ctx *ctx, run *r, double gamma) {
    const int64_t b = r->rows->b, k = r->rows->k, h = r->h;
    whet_status status = WHET_OK;
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_model *model = NULL;
    int32_t *u = NULL, *v = NULL;
    double *probs = NULL;
    int64_t cells;
    WHET_TRY_DONE(row_major(ctx, r->votes_u, r->rows->u, h, &u));
    WHET_TRY_DONE(row_major(ctx, r->votes_v, b, h, &v));
    WHET_TRY_DONE(whet_i_mul(ctx, b, k, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &probs));
    opts.method = WHET_LABEL_SNORKEL;
    opts.epochs = 100;
    opts.step = .005;
    const whet_votes all = {.n = r->rows->u, .m = h, .k = k, .wide = u};
    const whet_votes labelled = {.n = b, .m = h, .k = k, .wide = v};
    WHET_TRY_DONE(whet_label_model_fit(ctx, &all, &opts, &model));
    WHET_TRY_DONE(whet_label_model_predict(ctx, model, &labelled, probs));
    r->n_fit = 0;
    for (int64_t i = 0; i < b; i++)
        if (fabs((double)whet_i_argmax(probs + i * k, k) - r->pivot) <= gamma)
            r->place[r->n_fit++] = i;
done:
    whet_label_model_destroy(ctx, model);
    whet_i_free(ctx, u);
    whet_i_free(ctx, v);
    whet_i_free(ctx, probs);
    return status;
}

/* Columns of the models: the classes among the rows to fit to; a class alone gets a mirrored row of
 * another. */
static void number_outputs(run *r) {
    int32_t next = 0;
    for (int64_t c = 0; c < r->rows->k; c++) r->dense[c] = -1;
    for (int64_t i = 0; i < r->n_fit; i++) r->dense[r->truth[r->place[i]]] = 0;
    for (int64_t c = 0; c < r->rows->k; c++)
        if (r->dense[c] == 0) r->dense[c] = next++;
    r->alone = next == 1;
    for (int64_t i = 0; i < r->rows->b; i++) {
        const int32_t own = r->dense[r->truth[i]];
        r->target[i] = r->alone ? (r->multi ? 1 : r->truth[i]) : own < 0 ? 0 : own;
    }
    r->outs = r->alone ? 2 : next;
}

/* ---- the loop --------------------------------------------------------------------------------- */

static whet_status one_problem(whet_ctx *ctx, run *r, whet_rules *rules,
                               whet_synth_report *report) {
    const int64_t b = r->rows->b;
    r->h = r->amounts = 0;
    r->n_fit = b;
    memset(r->amount, 0, sizeof *r->amount * (size_t)r->rows->u);
    for (int64_t i = 0; i < b; i++) {
        r->place[i] = i;
        r->truth[i] = r->class >= 0 ? r->rows->y[i] == r->class : r->rows->y[i];
    }
    report->rounds = 0;
    for (int32_t t = 0; t < r->opts->iterations && r->n_fit > 0; t++) {
        number_outputs(r);
        WHET_TRY(whet_i_parallel_for(ctx, "candidates", r->list->n, judge, r));
        WHET_TRY(commit_best(ctx, r, rules));
        const double gamma = .5 - 1 / ((double)r->h * sqrt((double)r->h));
        WHET_TRY(r->multi ? feed_back_multi(ctx, r, gamma) : feed_back_binary(ctx, r, gamma));
        report->rounds++;
        report->vague = r->n_fit;
    }
    return WHET_OK;
}

static void release(whet_ctx *ctx, run *r) {
    for (int64_t w = 0; r->fitter && w < r->workers; w++) whet_i_fitter_free(ctx, &r->fitter[w]);
    whet_i_free(ctx, r->fitter);
    whet_i_free(ctx, r->truth);
    whet_i_free(ctx, r->place);
    whet_i_free(ctx, r->target);
    whet_i_free(ctx, r->dense);
    whet_i_free(ctx, r->p);
    whet_i_free(ctx, r->votes);
    whet_i_free(ctx, r->result);
    whet_i_free(ctx, r->votes_v);
    whet_i_free(ctx, r->votes_u);
    whet_i_free(ctx, r->amount);
}

static whet_status prepare(whet_ctx *ctx, run *r) {
    const int64_t b = r->rows->b, k = r->rows->k;
    int64_t cells, votes;
    r->workers = whet_ctx_threads(ctx);
    WHET_TRY(whet_i_mul(ctx, b, k, &cells));
    WHET_TRY(whet_i_mul(ctx, cells, r->workers, &cells));
    WHET_TRY(whet_i_mul(ctx, b, r->workers, &votes));
    WHET_TRY(whet_i_calloc(ctx, r->workers, &r->fitter));
    for (int64_t w = 0; w < r->workers; w++)
        WHET_TRY(whet_i_fitter_create(ctx, r->list, b, k, &r->fitter[w]));
    WHET_TRY(whet_i_alloc(ctx, b, &r->truth));
    WHET_TRY(whet_i_alloc(ctx, b, &r->place));
    WHET_TRY(whet_i_alloc(ctx, b, &r->target));
    WHET_TRY(whet_i_alloc(ctx, k, &r->dense));
    WHET_TRY(whet_i_alloc(ctx, cells, &r->p));
    WHET_TRY(whet_i_alloc(ctx, votes, &r->votes));
    WHET_TRY(whet_i_alloc(ctx, r->list->n, &r->result));
    return whet_i_alloc(ctx, r->rows->u, &r->amount);
}

whet_status whet_i_snuba_reference(whet_ctx *ctx, const whet_i_rows *rows,
                                   const whet_i_candidates *list, const whet_snuba_opts *opts,
                                   whet_rules *rules, whet_synth_report *report) {
    whet_status status = WHET_OK;
    run r = {.rows = rows, .list = list, .opts = opts, .class = -1};
    const bool apart = rows->k > 2 && opts->form == WHET_SYNTH_ONE_VS_REST;
    r.multi = rows->k > 2 && !apart;
    r.pivot = r.multi ? .1 : .5;
    if (rows->k > WHET_I_F1_CLASSES)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%lld classes; expected at most %d",
                           (long long)rows->k, WHET_I_F1_CLASSES);
    WHET_TRY_DONE(prepare(ctx, &r));
    for (int32_t c = 0; c < (apart ? rows->k : 1); c++) {
        if (apart) r.class = c;
        WHET_TRY_DONE(one_problem(ctx, &r, rules, report));
    }
    report->accuracy = report->log_loss = NAN;
done:
    release(ctx, &r);
    return status;
}
