/* SPDX-License-Identifier: Apache-2.0
 * Interactive weak supervision (Boecking et al. 2021): which of many candidate rules are useful is
 * learned from answers about few of them.
 *
 * Candidates that vote alike are alike useful: a candidate is described by its votes on CODED drawn
 * rows, a class as a code of +-1 in up to CODE coordinates, 0 where it abstains, reduced to COMPONENTS
 * principal ones, scaled to mean square length 1, and a constant. On that lies a Bayesian linear
 * regression for useful (1) or not (0) around 1/2, where the original trains 50 small networks after
 * every answer. The next question is the one with the largest 1.96 s - |mu - r|.
 * Margins are chosen, and the labels answer, out of fold, and with classes weighing alike. Rules asked
 * about at random are asked about: the published code declares them useful.
 * Legend: M candidates, b labelled rows, k classes, r the accuracy from which a rule is useful. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "io/io_i.h"
#include "label/bayes_linear.h"
#include "label/label_i.h"
#include "label/out_of_fold.h"
#include "tensor/tensor_i.h"

enum { DRAWN = 256, CODED = 64, CODE = 4, COMPONENTS = 40, EXAMPLES = 8 };
#define PRIOR .25   /* a rule nothing is known of is useful with 1/2, give or take 1/2 */
#define NOISE .0625 /* answers are 0 or 1, not where between the two a rule lies */

typedef enum known { UNKNOWN = 0, USELESS, USEFUL } known;

typedef struct run {
    const whet_synth_input *input;
    const whet_iws_opts *opts;
    const whet_i_rows *rows;
    whet_i_out_of_fold held;
    double *least;    /* [M] chosen thresholds; NaN: never votes */
    int64_t *own;     /* [k] labels of a class */
    double *accuracy; /* [M] out of fold, where it votes, classes weighing alike */
    double *coverage; /* [M] on the drawn rows */
    int64_t n_drawn, n_coded;
    int64_t *drawn; /* [n_drawn] rows, ascending */
    float *code;    /* [k, CODE] */
    int64_t width;  /* coordinates of a class's code */
    float *coded;   /* [M, n_coded * width] */
    double *z;      /* [M, d] */
    whet_i_bayes bayes;
    known *answer; /* [M] */
    int64_t asked;
    bool stopped;
    whet_table *saved; /* answers of before, or NULL */
    int64_t rule_column, useful_column;
    json_t *given; /* all answers, to be saved */
    whet_i_rng rng;
} run;

/* ---- thresholds and accuracies, out of fold --------------------------------------------------- */

/* F1 of a one-vs-rest candidate's class, the mean over classes that have labels else; and the accuracy
 * where it votes, classes weighing alike: a rule that always says the most frequent class knows nothing.
 */
static double f1_of(const run *r, int64_t at, double least, double *accuracy) {
    const int64_t b = r->rows->b, k = r->rows->k;
    const whet_i_said *said = r->held.said + at * b;
    int64_t hit[WHET_I_F1_CLASSES] = {0}, voted[WHET_I_F1_CLASSES] = {0};
    int64_t of[WHET_I_F1_CLASSES] = {0}; /* votes on rows of the class */
    double sum = 0, classes = 0, right = 0, all = 0;
    for (int64_t i = 0; i < b; i++) {
        if (said[i].class < 0 || (double)said[i].p < least) continue;
        voted[said[i].class]++;
        of[r->rows->y[i]]++;
        hit[said[i].class] += said[i].class == r->rows->y[i];
    }
    for (int64_t c = 0; c < k; c++) {
        if (r->own[c] == 0) continue;
        right += (double)hit[c] / (double)r->own[c];
        all += (double)of[c] / (double)r->own[c];
        if (r->held.apart && c != at / r->held.list->n) continue;
        classes += 1;
        if (hit[c]) sum += 2 * (double)hit[c] / (double)(voted[c] + r->own[c]);
    }
    *accuracy = all > 0 ? right / all : 0;
    return classes > 0 ? sum / classes : 0;
}

static void choose_threshold(run *r, int64_t at) {
    double least[WHET_I_THRESHOLDS], best = 0, accuracy;
    const int64_t n = whet_i_out_of_fold_thresholds(&r->held, at, least);
    r->least[at] = NAN;
    r->accuracy[at] = 0;
    for (int64_t t = 0; t < n; t++) {
        const double f1 = f1_of(r, at, least[t], &accuracy);
        if (!(f1 > best)) continue;
        best = f1;
        r->least[at] = least[t];
        r->accuracy[at] = accuracy;
    }
}

/* ---- how a candidate votes -------------------------------------------------------------------- */

static int32_t vote_on(const whet_i_model *m, const run *r, int64_t row, double *p, double *room) {
    const whet_i_strided x = {r->rows->x + row * r->rows->d, 0, 1};
    whet_i_model_probs(m, x, 0, p, room);
    const int64_t top = whet_i_model_vote(p, m->least, m->outs);
    return top < 0 ? -1 : m->vote[top];
}

/* Threshold, coverage and code of one candidate. */
static void describe(void *arg, int64_t at, int32_t worker) {
    run *r = arg;
    float *coded = r->coded + at * r->n_coded * r->width;
    double *p = r->held.p + worker * r->rows->k;
    memset(coded, 0, sizeof *coded * (size_t)(r->n_coded * r->width));
    r->coverage[at] = 0;
    choose_threshold(r, at);
    if (isnan(r->least[at])) return;
    const whet_i_model *m = whet_i_out_of_fold_fit(&r->held, at, r->least[at], worker);
    for (int64_t i = 0; m && i < r->n_drawn; i++) {
        const int32_t vote = vote_on(m, r, r->drawn[i], p, r->held.fitter[worker].probs_room);
        if (vote < 0) continue;
        r->coverage[at] += 1 / (double)r->n_drawn;
        if (i < r->n_coded)
            memcpy(coded + i * r->width, r->code + vote * CODE, sizeof *coded * (size_t)r->width);
    }
}

static void draw_rows(run *r) {
    /* Selection by steps of a fixed stride over a shuffled start would favour blocks: draw without
     * replacement, in ascending order (Knuth 3.4.2 S). */
    int64_t wanted = r->n_drawn, at = 0;
    for (int64_t row = 0; wanted > 0; row++)
        if (whet_i_rng_below(&r->rng, r->rows->n - row) < wanted) {
            r->drawn[at++] = row;
            wanted--;
        }
    for (int64_t i = r->n_drawn - 1; i > 0; i--) { /* the coded ones come first */
        const int64_t other = whet_i_rng_below(&r->rng, i + 1), kept = r->drawn[i];
        r->drawn[i] = r->drawn[other];
        r->drawn[other] = kept;
    }
}

static void draw_codes(run *r) {
    const int64_t k = r->rows->k;
    r->width = k == 2 ? 1 : k < CODE ? k : CODE;
    for (int64_t c = 0; c < k; c++)
        for (int64_t j = 0; j < CODE; j++)
            r->code[c * CODE + j] = k == 2                         ? (c ? 1.f : -1.f)
                                    : k <= CODE                    ? (c == j ? 1.f : 0.f)
                                    : whet_i_rng_below(&r->rng, 2) ? .5f
                                                                   : -.5f;
}

/* z: principal components of the codes and a constant. */
static whet_status place_candidates(whet_ctx *ctx, run *r) {
    const int64_t n = r->held.n, width = r->n_coded * r->width;
    const int64_t least = n < width ? n : width, dim = least < COMPONENTS ? least : COMPONENTS;
    const int64_t d = r->bayes.d = dim + 1;
    whet_status status = WHET_OK;
    double *mean = NULL, *parts = NULL, *variance = NULL, square = 0;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, n, d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &r->z));
    WHET_TRY_DONE(whet_i_alloc(ctx, width, &mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, dim * width, &parts));
    WHET_TRY_DONE(whet_i_alloc(ctx, dim, &variance));
    WHET_TRY_DONE(whet_i_pca(ctx, r->coded, n, width, dim, mean, parts, variance));
    for (int64_t at = 0; at < n; at++)
        for (int64_t j = 0; j < dim; j++) {
            double sum = 0;
            for (int64_t w = 0; w < width; w++)
                sum += ((double)r->coded[at * width + w] - mean[w]) * parts[j * width + w];
            r->z[at * d + j] = sum;
            square += sum * sum;
        }
    const double scale = square > 0 ? sqrt((double)n / square) : 0;
    for (int64_t at = 0; at < n; at++) {
        for (int64_t j = 0; j < dim; j++) r->z[at * d + j] *= scale;
        r->z[at * d + dim] = 1;
    }
done:
    whet_i_free(ctx, mean);
    whet_i_free(ctx, parts);
    whet_i_free(ctx, variance);
    return status;
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* "useful" of a line: true or false. */
static whet_status read_saved(whet_ctx *ctx, run *r) {
    const char *path = r->opts->answers;
    char quoted[WHET_QUOTE_SIZE];
    int64_t torn;
    if (!path || access(path, F_OK) != 0) return WHET_OK;
    WHET_TRY(whet_i_journal_read(ctx, path, &r->saved, &torn));
    if (torn)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s:%" PRId64 ": the last line is cut short; it is left out, and asked again",
                   path, torn);
    if (whet_table_rows(r->saved) == 0) return WHET_OK;
    WHET_TRY(whet_i_table_needs(ctx, r->saved, "rule", &r->rule_column));
    WHET_TRY(whet_i_table_needs(ctx, r->saved, "useful", &r->useful_column));
    for (int64_t i = 0; i < whet_table_rows(r->saved); i++) {
        const whet_str rule = whet_table_cell(r->saved, i, r->rule_column);
        const whet_str cell = whet_table_cell(r->saved, i, r->useful_column);
        const bool yes = whet_str_equal(cell, whet_str_from("true"));
        if (!yes && !whet_str_equal(cell, whet_str_from("false")))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s:%lld: useful is %s; expected true or false", path,
                               (long long)whet_table_line(r->saved, i), whet_i_quote(quoted, cell));
        if (json_array_append_new(r->given, json_pack("{s:s%, s:b}", "rule", rule.ptr,
                                                      (size_t)rule.len, "useful", yes)) != 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s:%lld: the rule is not UTF-8", path,
                               (long long)whet_table_line(r->saved, i));
    }
    return WHET_OK;
}

static known look_up(const run *r, const char *name) {
    for (int64_t i = 0; r->saved && i < whet_table_rows(r->saved); i++)
        if (whet_str_equal(whet_table_cell(r->saved, i, r->rule_column), whet_str_from(name)))
            return whet_table_cell(r->saved, i, r->useful_column).ptr[0] == 't' ? USEFUL : USELESS;
    return UNKNOWN;
}

/* Rewritten whole, so that an interruption leaves the answers of before. */
static whet_status save(whet_ctx *ctx, run *r, const char *name, known answer) {
    whet_status status = WHET_OK;
    whet_i_buf text = {0};
    whet_out *out = NULL;
    if (!r->opts->answers) return WHET_OK;
    if (json_array_append_new(
            r->given, json_pack("{s:s, s:b}", "rule", name, "useful", answer == USEFUL)) != 0)
        return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: answers");
    for (size_t i = 0; i < json_array_size(r->given); i++) {
        WHET_TRY_DONE(whet_i_json_dump(ctx, json_array_get(r->given, i), JSON_COMPACT, &text));
        WHET_TRY_DONE(whet_i_buf_append(ctx, &text, "\n", 1));
    }
    WHET_TRY_DONE(whet_out_open(ctx, r->opts->answers, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &text);
    return status;
}

/* Answers about rules that are no candidates now are kept, and said to say nothing. */
static void tell_foreign(whet_ctx *ctx, const run *r) {
    const int64_t n = r->saved ? whet_table_rows(r->saved) : 0;
    int64_t foreign = 0;
    char name[128];
    for (int64_t i = 0; i < n; i++) {
        const whet_str rule = whet_table_cell(r->saved, i, r->rule_column);
        bool found = false;
        for (int64_t at = 0; at < r->held.n && !found; at++) {
            whet_i_out_of_fold_name(&r->held, at, name);
            found = whet_str_equal(rule, whet_str_from(name));
        }
        foreign += !found;
    }
    if (foreign)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " answers are about rules that are no candidates "
                   "on these features; they are kept, and say nothing here",
                   r->opts->answers, foreign, n);
}

static double expected(const run *r, int64_t at, double *deviation) {
    double mean, ignored;
    whet_i_bayes_predict(&r->bayes, r->z + at * r->bayes.d, &mean,
                         deviation ? deviation : &ignored);
    return .5 + mean;
}

static whet_iws_answer ask_person(run *r, int64_t at, const char *name) {
    int64_t row[EXAMPLES], n = 0;
    int32_t vote[EXAMPLES];
    const whet_i_model *m = whet_i_out_of_fold_fit(&r->held, at, r->least[at], 0);
    for (int64_t i = 0; m && i < r->n_drawn && n < EXAMPLES; i++) {
        vote[n] = vote_on(m, r, r->drawn[i], r->held.p, r->held.fitter[0].probs_room);
        row[n] = r->drawn[i];
        n += vote[n] >= 0;
    }
    const whet_iws_question question = {.number = r->asked + 1,
                                        .of = r->opts->seeds + r->opts->queries,
                                        .rule = name,
                                        .coverage = r->coverage[at],
                                        .expected = expected(r, at, NULL),
                                        .examples = n,
                                        .row = row,
                                        .vote = vote,
                                        .classes = r->input->classes};
    return r->opts->ask(r->opts->user, &question);
}

static whet_status ask(whet_ctx *ctx, run *r, int64_t at) {
    char name[128];
    whet_i_out_of_fold_name(&r->held, at, name);
    known answer = r->opts->ask                            ? look_up(r, name)
                   : r->accuracy[at] > r->opts->usefulness ? USEFUL
                                                           : USELESS;
    if (answer == UNKNOWN) {
        const whet_iws_answer said = ask_person(r, at, name);
        if (said == WHET_IWS_STOP) {
            r->stopped = true;
            return WHET_OK;
        }
        answer = said == WHET_IWS_YES ? USEFUL : USELESS;
        WHET_TRY(save(ctx, r, name, answer));
    }
    r->answer[at] = answer;
    r->asked++;
    whet_i_bayes_observe(&r->bayes, r->z + at * r->bayes.d, answer == USEFUL ? .5 : -.5);
    return whet_i_progress(ctx, "ask", r->asked, r->opts->seeds + r->opts->queries);
}

/* ---- which to ask about ----------------------------------------------------------------------- */

static bool open_to_ask(const run *r, int64_t at) {
    return r->answer[at] == UNKNOWN && r->coverage[at] > 0;
}

/* One of those that may be asked about, each as likely; -1: none is left. */
static int64_t any(run *r) {
    int64_t chosen = -1, seen = 0;
    for (int64_t at = 0; at < r->held.n; at++)
        if (open_to_ask(r, at) && whet_i_rng_below(&r->rng, ++seen) == 0) chosen = at;
    return chosen;
}

static int64_t next_question(run *r) {
    int64_t chosen = -1;
    double best = -INFINITY, deviation;
    if (r->asked < r->opts->seeds || r->opts->acquisition == WHET_IWS_RANDOM) return any(r);
    for (int64_t at = 0; at < r->held.n; at++) {
        if (!open_to_ask(r, at)) continue;
        const double mean = expected(r, at, &deviation);
        const double score = r->opts->acquisition == WHET_IWS_ACTIVE
                                 ? mean
                                 : 1.96 * deviation - fabs(mean - r->opts->usefulness);
        if (!(score > best)) continue;
        best = score;
        chosen = at;
    }
    return chosen;
}

/* ---- which to take ---------------------------------------------------------------------------- */

static whet_status take(whet_ctx *ctx, run *r, int64_t at, whet_rules *rules) {
    char name[128];
    whet_i_out_of_fold_name(&r->held, at, name);
    return whet_i_rules_add_model(ctx, rules, name,
                                  whet_i_out_of_fold_fit(&r->held, at, r->least[at], 0));
}

/* The best of those that were not asked about, by what they are expected to do for coverage; none that
 * the labels contradict. */
static int64_t most_promising(const run *r) {
    int64_t chosen = -1;
    double best = 0;
    for (int64_t at = 0; at < r->held.n; at++) {
        if (!open_to_ask(r, at) || r->accuracy[at] < r->opts->usefulness) continue;
        const double mean = expected(r, at, NULL);
        const double score = (2 * mean - 1) * r->coverage[at];
        if (mean < r->opts->usefulness || !(score > best)) continue;
        best = score;
        chosen = at;
    }
    return chosen;
}

static whet_status take_all(whet_ctx *ctx, run *r, whet_rules *rules) {
    for (int64_t at = 0; at < r->held.n; at++)
        if (r->answer[at] == USEFUL) WHET_TRY(take(ctx, r, at, rules));
    for (int32_t n = 0; n < r->opts->most_rules; n++) {
        const int64_t at = most_promising(r);
        if (at < 0) break;
        WHET_TRY(take(ctx, r, at, rules));
        r->answer[at] = USEFUL;
    }
    if (whet_rules_count(rules) > 0) return WHET_OK;
    int64_t best = -1;
    for (int64_t at = 0; at < r->held.n; at++)
        if (r->coverage[at] > 0 && (best < 0 || r->accuracy[at] > r->accuracy[best])) best = at;
    if (best < 0) return whet_i_out_of_fold_none(ctx, &r->held);
    whet_i_log(
        ctx, WHET_LOG_WARN,
        "no rule was found to be useful; the one with the best accuracy on the labels, %.2f, "
        "is given",
        r->accuracy[best]);
    return take(ctx, r, best, rules);
}

/* ---- the job ---------------------------------------------------------------------------------- */

static void release(whet_ctx *ctx, run *r) {
    whet_i_out_of_fold_free(ctx, &r->held);
    whet_table_destroy(ctx, r->saved);
    json_decref(r->given);
    whet_i_free(ctx, r->least);
    whet_i_free(ctx, r->accuracy);
    whet_i_free(ctx, r->coverage);
    whet_i_free(ctx, r->drawn);
    whet_i_free(ctx, r->code);
    whet_i_free(ctx, r->own);
    whet_i_free(ctx, r->coded);
    whet_i_free(ctx, r->z);
    whet_i_free(ctx, r->answer);
    whet_i_free(ctx, r->bayes.cov);
    whet_i_free(ctx, r->bayes.sum);
    whet_i_free(ctx, r->bayes.mean);
    whet_i_free(ctx, r->bayes.room);
}

static whet_status prepare(whet_ctx *ctx, run *r, const whet_i_candidates *list) {
    const bool apart = r->opts->form == WHET_SYNTH_ONE_VS_REST;
    int64_t codes, cells;
    r->given = json_array();
    if (!r->given) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: answers");
    WHET_TRY(read_saved(ctx, r));
    WHET_TRY(whet_i_out_of_fold_create(ctx, r->rows, list, apart, &r->held));
    tell_foreign(ctx, r);
    const int64_t n = r->held.n;
    whet_i_rng_init(&r->rng, r->input->seed, 1);
    r->n_drawn = r->rows->n < DRAWN ? r->rows->n : DRAWN;
    r->n_coded = r->n_drawn < CODED ? r->n_drawn : CODED;
    WHET_TRY(whet_i_mul(ctx, r->rows->k, CODE, &codes));
    WHET_TRY(whet_i_alloc(ctx, n, &r->least));
    WHET_TRY(whet_i_alloc(ctx, n, &r->accuracy));
    WHET_TRY(whet_i_alloc(ctx, n, &r->coverage));
    WHET_TRY(whet_i_calloc(ctx, n, &r->answer));
    WHET_TRY(whet_i_alloc(ctx, r->n_drawn, &r->drawn));
    WHET_TRY(whet_i_alloc(ctx, codes, &r->code));
    WHET_TRY(whet_i_calloc(ctx, r->rows->k, &r->own));
    for (int64_t i = 0; i < r->rows->b; i++) r->own[r->rows->y[i]]++;
    draw_rows(r);
    draw_codes(r);
    WHET_TRY(whet_i_mul(ctx, n, r->n_coded * r->width, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &r->coded));
    for (int64_t i = 0; i < r->rows->b; i++) r->held.place[i] = i;
    r->held.n_fit = r->rows->b;
    WHET_TRY(whet_i_out_of_fold_run(ctx, &r->held, 1));
    WHET_TRY(whet_i_parallel_for(ctx, "votes of candidates", n, describe, r));
    WHET_TRY(place_candidates(ctx, r));
    const int64_t d = r->bayes.d;
    WHET_TRY(whet_i_alloc(ctx, d * d, &r->bayes.cov));
    WHET_TRY(whet_i_alloc(ctx, d, &r->bayes.sum));
    WHET_TRY(whet_i_alloc(ctx, d, &r->bayes.mean));
    WHET_TRY(whet_i_alloc(ctx, d, &r->bayes.room));
    r->bayes.noise = NOISE;
    whet_i_bayes_start(&r->bayes, PRIOR);
    return WHET_OK;
}

static whet_status choose(whet_ctx *ctx, run *r, const whet_i_candidates *list, whet_rules *rules) {
    WHET_TRY(prepare(ctx, r, list));
    while (!r->stopped && r->asked < r->opts->seeds + r->opts->queries) {
        const int64_t at = next_question(r);
        if (at < 0) break;
        WHET_TRY(ask(ctx, r, at));
    }
    return take_all(ctx, r, rules);
}

static whet_status check(whet_ctx *ctx, const whet_iws_opts *o, const whet_i_rows *rows) {
    if (rows->k > WHET_I_F1_CLASSES)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%lld classes; expected at most %d",
                           (long long)rows->k, WHET_I_F1_CLASSES);
    if (o->queries >= 0 && o->queries <= 100000 && o->seeds >= 1 && o->seeds <= 1000 &&
        o->usefulness >= 0 && o->usefulness <= 1 && o->most_rules >= 1 && o->most_rules <= 10000 &&
        o->cardinality >= 0 && o->cardinality <= 64 && o->subsets >= 0)
        return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_ARG,
        "%d seeds, %d queries, a usefulness of %g, at most %d rules, a cardinality of "
        "%d, %lld subsets; expected 1 to 1000, 0 to 100000, 0 to 1, 1 to 10000, 0 to "
        "64, none below 0",
        o->seeds, o->queries, o->usefulness, o->most_rules, o->cardinality, (long long)o->subsets);
}

whet_status whet_iws(whet_ctx *ctx, const whet_synth_input *input, const whet_iws_opts *opts,
                     whet_rules **out, whet_synth_report *report) {
    whet_status status = WHET_OK;
    whet_iws_opts o = WHET_IWS_OPTS_INIT;
    whet_i_rows rows = {0};
    whet_i_candidates list = {0};
    whet_rules *rules = NULL;
    run r = {.input = input, .opts = &o, .rows = &rows};
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_iws_opts"));
    WHET_TRY_DONE(whet_i_rows_build(ctx, input, &rows));
    WHET_TRY_DONE(check(ctx, &o, &rows));
    WHET_TRY_DONE(
        whet_i_candidates_make(ctx, rows.d, o.cardinality, o.subsets, input->seed, &list));
    WHET_TRY_DONE(whet_i_rules_create(ctx, input->classes, rows.d, &rules));
    WHET_TRY_DONE(choose(ctx, &r, &list, rules));
    if (report)
        *report = (whet_synth_report){.labelled = rows.b,
                                      .candidates = r.held.n,
                                      .rules = whet_rules_count(rules),
                                      .rounds = r.asked,
                                      .accuracy = NAN,
                                      .log_loss = NAN};
    *out = rules;
    rules = NULL;
done:
    release(ctx, &r);
    whet_rules_destroy(ctx, rules);
    whet_i_candidates_free(ctx, &list);
    whet_i_rows_free(ctx, &rows);
    return status;
}
