/* SPDX-License-Identifier: Apache-2.0
 * Snuba, corrected: labelling functions from subsets of the features, chosen for what they add to the
 * others on a few labels.
 *
 * Votes on labelled rows are always out of fold: by a model that was fitted without the row. Committed
 * rules speak together through log odds: score_c = ln prior_c + sum of w over the rules that vote c,
 * w = eta (logit a - logit prior_c), where a is the rule's accuracy when it votes c, shrunk to its
 * accuracy on all rows. When a labelled row is judged, a is counted without it. A candidate, its
 * threshold and its eta are chosen by the gain in the log likelihood of the labels, which weighs
 * accuracy, coverage and what the others say already. The best of many candidates gains by luck: a
 * candidate pays the log of how many there are of its family and size, and of these kinds (a
 * likelihood ratio above M happens by chance with probability 1 / M at most); none is taken that does
 * not gain more, so the number of rules follows from the labels. The next round makes candidates for
 * the rows whose own class has less than half of the probability.
 * Compare Varma & Re 2019 (arXiv 1812.06176), whose terms for accuracy and diversity this replaces.
 * Legend: b labelled rows, k classes, M candidates; held: out of fold. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/label_i.h"
#include "label/out_of_fold.h"
#include "label/snuba_i.h"

enum { ETAS = 2, LEAST_ROWS = 10, LEAST_RULES = 3 };
#define SHRINK 4. /* rows that a class's accuracy borrows from the rule's */

static const double etas[ETAS] = {1, .5};

typedef struct choice {
    double gain, least, eta;
} choice;

/* A committed rule's log odds by class voted. */
typedef struct weights {
    int64_t votes, hits;    /* of all classes */
    int64_t *voted, *right; /* [k] */
} weights;

typedef struct run {
    const whet_i_rows *rows;
    const whet_i_candidates *list;
    const whet_snuba_opts *opts;
    whet_i_out_of_fold held;
    double *prior;  /* [k] */
    double *score;  /* [b, k] ln prior and the weights that count, each without the row */
    double *now;    /* [b, k] its softmax */
    choice *chosen; /* [candidates] */
    double *price;  /* [candidates of the list] nats */
    double *full;   /* [rules, k] weights as used on other rows */
    double *steps;  /* [workers, 4 k] room of gain_of */
    int64_t rules;
} run;

/* ---- what a rule would add -------------------------------------------------------------------- */

static double logit(double p) { return log(p / (1 - p)); }

/* Log odds of class c from `right` of `voted`, of all `hits` of `votes`. */
static double odds(const run *r, int64_t c, int64_t right, int64_t voted, int64_t hits,
                   int64_t votes) {
    const double all = ((double)hits + 1) / ((double)votes + 2);
    const double own = ((double)right + SHRINK * all) / ((double)voted + SHRINK);
    return logit(own) - logit(r->prior[c]);
}

static void count_votes(const run *r, const whet_i_said *held, double least, weights *w) {
    const int64_t k = r->rows->k;
    w->votes = w->hits = 0;
    memset(w->voted, 0, sizeof *w->voted * (size_t)k);
    memset(w->right, 0, sizeof *w->right * (size_t)k);
    for (int64_t i = 0; i < r->rows->b; i++) {
        if (held[i].class < 0 || (double)held[i].p < least) continue;
        const bool hit = held[i].class == r->rows->y[i];
        w->votes++;
        w->hits += hit;
        w->voted[held[i].class]++;
        w->right[held[i].class] += hit;
    }
}

/* The weight of a vote on labelled row i, counted without it. */
static double without(const run *r, const weights *w, int64_t c, bool hit) {
    return odds(r, c, w->right[c] - hit, w->voted[c] - 1, w->hits - hit, w->votes - 1);
}

/* Factors multiplied before a logarithm is taken: of 2^50 at most each, and 2^-50 at least. */
enum { PRODUCT = 16 };

/* What the posterior of a row is multiplied by before it is made to sum to 1 again depends on its vote and
 * on whether that hits alone: two steps a class. The logarithm of a product takes the place of a sum of
 * logarithms. */
static double gain_of(const run *r, const whet_i_said *held, double least, double eta,
                      const weights *w, double *room) {
    const int64_t k = r->rows->k;
    double gain = 0, product = 1, *step = room, *factor = room + 2 * k;
    int factors = 0;
    for (int64_t c = 0; c < k; c++)
        for (int hit = 0; hit < 2; hit++) {
            if (!(hit ? w->right[c] : w->voted[c] - w->right[c])) continue;
            step[2 * c + hit] = eta * without(r, w, c, hit);
            factor[2 * c + hit] = expm1(step[2 * c + hit]);
        }
    for (int64_t i = 0; i < r->rows->b; i++) {
        const int32_t c = held[i].class;
        if (c < 0 || (double)held[i].p < least) continue;
        const bool hit = c == r->rows->y[i];
        if (hit) gain += step[2 * c + 1];
        product *= 1 + r->now[i * k + c] * factor[2 * c + hit];
        if (++factors % PRODUCT) continue;
        gain -= log(product);
        product = 1;
    }
    return gain - log(product);
}

static void weigh(void *arg, int64_t at, int32_t worker) {
    run *r = arg;
    const whet_i_said *held = r->held.said + at * r->rows->b;
    int64_t *counts = r->held.counts + worker * 2 * r->rows->k;
    double *room = r->steps + worker * 4 * r->rows->k;
    weights w = {.voted = counts, .right = counts + r->rows->k};
    double least[WHET_I_THRESHOLDS];
    r->chosen[at] = (choice){-INFINITY, 0, 0};
    const int64_t n = whet_i_out_of_fold_thresholds(&r->held, at, least);
    for (int64_t t = 0; t < n; t++) {
        count_votes(r, held, least[t], &w);
        for (int e = 0; e < ETAS; e++) {
            const double gain =
                gain_of(r, held, least[t], etas[e], &w, room) - r->price[at % r->list->n];
            if (gain > r->chosen[at].gain) r->chosen[at] = (choice){gain, least[t], etas[e]};
        }
    }
}

/* ---- committing ------------------------------------------------------------------------------- */

static void softmax_all(const run *r) {
    const int64_t k = r->rows->k;
    memcpy(r->now, r->score, sizeof *r->now * (size_t)(r->rows->b * k));
    for (int64_t i = 0; i < r->rows->b; i++) whet_i_softmax(r->now + i * k, k);
}

static whet_status commit(whet_ctx *ctx, run *r, int64_t at, int32_t round, whet_rules *rules) {
    const int64_t k = r->rows->k;
    const whet_i_said *held = r->held.said + at * r->rows->b;
    const choice *chosen = &r->chosen[at];
    weights w = {.voted = r->held.counts, .right = r->held.counts + k};
    char name[128], title[160];
    count_votes(r, held, chosen->least, &w);
    for (int64_t i = 0; i < r->rows->b; i++) {
        const int32_t c = held[i].class;
        if (c >= 0 && (double)held[i].p >= chosen->least)
            r->score[i * k + c] += chosen->eta * without(r, &w, c, c == r->rows->y[i]);
    }
    for (int64_t c = 0; c < k; c++)
        r->full[r->rules * k + c] =
            chosen->eta * odds(r, c, w.right[c], w.voted[c], w.hits, w.votes);
    r->rules++;
    softmax_all(r);
    whet_i_out_of_fold_name(&r->held, at, name);
    (void)snprintf(title, sizeof title, "round %d, %s", round, name);
    return whet_i_rules_add_model(ctx, rules, title,
                                  whet_i_out_of_fold_fit(&r->held, at, chosen->least, 0));
}

/* What the best must gain more than, after its price. The first rules need only gain something: label
 * models need LEAST_RULES to tell their accuracies. */
static double dues(const run *r, int64_t at) {
    return r->rules < LEAST_RULES ? -r->price[at % r->list->n] : 0;
}

/* The first rule is taken whatever it adds: rules are what was asked for. */
static whet_status commit_all(whet_ctx *ctx, run *r, int32_t round, whet_rules *rules) {
    while (r->rules < r->opts->most_rules) {
        int64_t best = 0;
        WHET_TRY(whet_i_parallel_for(ctx, "choose rules", r->held.n, weigh, r));
        for (int64_t at = 1; at < r->held.n; at++)
            if (r->chosen[at].gain > r->chosen[best].gain) best = at;
        if (!isfinite(r->chosen[best].gain)) break;
        if (r->rules > 0 && r->chosen[best].gain <= dues(r, best)) break;
        WHET_TRY(commit(ctx, r, best, round, rules));
    }
    if (r->rules > 0) return WHET_OK;
    return whet_i_out_of_fold_none(ctx, &r->held);
}

/* ---- rounds ----------------------------------------------------------------------------------- */

static void start_round(run *r, int32_t round) {
    whet_i_out_of_fold *held = &r->held;
    held->n_fit = 0;
    for (int64_t i = 0; i < r->rows->b; i++)
        if (round == 1 || r->now[i * r->rows->k + r->rows->y[i]] < .5)
            held->place[held->n_fit++] = i;
}

static void judge_all(const run *r, whet_synth_report *report) {
    const int64_t b = r->rows->b, k = r->rows->k;
    int64_t right = 0;
    for (int64_t i = 0; i < b; i++) right += whet_i_argmax(r->now + i * k, k) == r->rows->y[i];
    report->accuracy = (double)right / (double)b;
    report->log_loss = whet_i_log_loss(r->now, b, k, r->rows->y);
}

static whet_status all_rounds(whet_ctx *ctx, run *r, whet_rules *rules, whet_synth_report *report) {
    for (int32_t round = 1; round <= r->opts->iterations; round++) {
        const int64_t before = r->rules;
        start_round(r, round);
        report->vague = r->held.n_fit;
        if (round > 1 && r->held.n_fit < LEAST_ROWS) break;
        WHET_TRY(whet_i_out_of_fold_run(ctx, &r->held, round));
        WHET_TRY(commit_all(ctx, r, round, rules));
        report->rounds = round;
        if (r->rules == before || r->rules == r->opts->most_rules) break;
    }
    judge_all(r, report);
    return WHET_OK;
}

/* ---- room ------------------------------------------------------------------------------------- */

static void release(whet_ctx *ctx, run *r) {
    whet_i_out_of_fold_free(ctx, &r->held);
    whet_i_free(ctx, r->prior);
    whet_i_free(ctx, r->score);
    whet_i_free(ctx, r->now);
    whet_i_free(ctx, r->chosen);
    whet_i_free(ctx, r->price);
    whet_i_free(ctx, r->full);
    whet_i_free(ctx, r->steps);
}

/* Candidates of one family and size stand together in a list. */
static void price_candidates(run *r) {
    const whet_i_candidate *item = r->list->item;
    int64_t kinds = 0;
    for (int64_t c = 0, end; c < r->list->n; c = end) {
        for (end = c + 1; end < r->list->n; end++)
            if (item[end].kind != item[c].kind || item[end].inputs != item[c].inputs) break;
        const int64_t like = (end - c) * (r->held.apart ? r->rows->k : 1);
        for (int64_t at = c; at < end; at++) r->price[at] = log((double)like);
        kinds++;
    }
    for (int64_t c = 0; c < r->list->n; c++) r->price[c] += log((double)kinds);
}

static whet_status prepare(whet_ctx *ctx, run *r) {
    const int64_t b = r->rows->b, k = r->rows->k;
    const bool apart = r->opts->form == WHET_SYNTH_ONE_VS_REST;
    int64_t cells, full, steps;
    WHET_TRY(whet_i_out_of_fold_create(ctx, r->rows, r->list, apart, &r->held));
    WHET_TRY(whet_i_mul(ctx, b, k, &cells));
    WHET_TRY(whet_i_mul(ctx, r->opts->most_rules, k, &full));
    WHET_TRY(whet_i_mul(ctx, r->held.workers, 4 * k, &steps));
    WHET_TRY(whet_i_alloc(ctx, steps, &r->steps));
    WHET_TRY(whet_i_alloc(ctx, k, &r->prior));
    WHET_TRY(whet_i_alloc(ctx, cells, &r->score));
    WHET_TRY(whet_i_alloc(ctx, cells, &r->now));
    WHET_TRY(whet_i_alloc(ctx, r->held.n, &r->chosen));
    WHET_TRY(whet_i_alloc(ctx, full, &r->full));
    WHET_TRY(whet_i_alloc(ctx, r->list->n, &r->price));
    price_candidates(r);
    for (int64_t c = 0; c < k; c++) r->prior[c] = 1;
    for (int64_t i = 0; i < b; i++) r->prior[r->rows->y[i]] += 1;
    for (int64_t c = 0; c < k; c++) r->prior[c] /= (double)(b + k);
    for (int64_t i = 0; i < b * k; i++) r->score[i] = log(r->prior[i % k]);
    softmax_all(r);
    return WHET_OK;
}

static whet_status corrected(whet_ctx *ctx, const whet_i_rows *rows, const whet_i_candidates *list,
                             const whet_snuba_opts *opts, whet_rules *rules, double *probs,
                             whet_synth_report *report) {
    run r = {.rows = rows, .list = list, .opts = opts};
    whet_status status = prepare(ctx, &r);
    if (status == WHET_OK) status = all_rounds(ctx, &r, rules, report);
    if (status == WHET_OK) status = whet_i_rules_weigh(ctx, rules, r.prior, r.full);
    if (status == WHET_OK && probs) {
        const whet_rules_input input = {.features = rows->x, .d = rows->d, .n = rows->n};
        status = whet_rules_posterior(ctx, rules, &input, probs);
    }
    release(ctx, &r);
    return status;
}

/* ---- the entrance ----------------------------------------------------------------------------- */

static whet_status check(whet_ctx *ctx, const whet_snuba_opts *o, const double *probs) {
    if (o->iterations < 1 || o->iterations > 1000 || o->cardinality < 0 || o->cardinality > 64 ||
        o->subsets < 0 || o->most_rules < 1 || o->most_rules > 1000)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%d iterations, a cardinality of %d, %lld subsets, at most %d rules; "
                           "expected 1 to 1000, 0 to 64, none below 0, 1 to 1000",
                           o->iterations, o->cardinality, (long long)o->subsets, o->most_rules);
    if (o->reference && probs)
        return whet_i_fail(
            ctx, WHET_ERR_ARG,
            "the reference form has no joint posterior; expected none to be asked for");
    return WHET_OK;
}

whet_status whet_snuba(whet_ctx *ctx, const whet_synth_input *input, const whet_snuba_opts *opts,
                       whet_rules **out, double *probs, whet_synth_report *report) {
    whet_status status = WHET_OK;
    whet_snuba_opts o = WHET_SNUBA_OPTS_INIT;
    whet_i_rows rows = {0};
    whet_i_candidates list = {0};
    whet_rules *rules = NULL;
    whet_synth_report found = {0};
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_snuba_opts"));
    WHET_TRY(check(ctx, &o, probs));
    WHET_TRY_DONE(whet_i_rows_build(ctx, input, &rows));
    if (o.reference && o.cardinality == 0) o.cardinality = 1;
    WHET_TRY_DONE(
        whet_i_candidates_make(ctx, rows.d, o.cardinality, o.subsets, input->seed, &list));
    WHET_TRY_DONE(whet_i_rules_create(ctx, input->classes, rows.d, &rules));
    WHET_TRY_DONE(o.reference ? whet_i_snuba_reference(ctx, &rows, &list, &o, rules, &found)
                              : corrected(ctx, &rows, &list, &o, rules, probs, &found));
    found.labelled = rows.b;
    found.candidates = list.n;
    found.rules = whet_rules_count(rules);
    if (report) *report = found;
    *out = rules;
    rules = NULL;
done:
    whet_rules_destroy(ctx, rules);
    whet_i_candidates_free(ctx, &list);
    whet_i_rows_free(ctx, &rows);
    return status;
}
