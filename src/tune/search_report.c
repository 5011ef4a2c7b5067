/* SPDX-License-Identifier: Apache-2.0
 * What a search tells: what was tried and what each cost, the front of metric against parameters, whether the
 * winner is better than its partner (LoRA of a MoRe, MoRe of a LoRA, all else alike) beyond noise, and what
 * cheap signs were worth.
 *
 * The interval of a difference of two settings over K folds: folds share most of their training rows, so that
 * the variance of the mean is not s^2 / K but s^2 (1 / K + 1 / (K - 1)), held-out rows being 1 / (K - 1) of
 * the trained ones (Nadeau and Bengio 2003, Machine Learning 52, eq. 2 and 8); Student's t with K - 1 degrees
 * of freedom. Over seeds, s^2 / K: it then tells training noise, not which rows were held out. */
#include <math.h>
#include <stdio.h>

#include "tune/search_i.h"

/* ---- the verdict ------------------------------------------------------------------------------ */

whet_i_search_verdict whet_i_search_judge(const whet_i_search_state *s, bool lower, int64_t winner,
                                          int64_t rival) {
    const int32_t k = s->head.replicates, top = s->head.rungs - 1;
    whet_i_search_verdict v = {.mean = NAN, .low = NAN, .high = NAN};
    double sum = 0, squares = 0;
    if (winner < 0 || rival < 0) return v;
    v.fresh = whet_i_search_mean_of(s, winner, top, k, 2 * k).n == k &&
              whet_i_search_mean_of(s, rival, top, k, 2 * k).n == k;
    const int32_t from = v.fresh ? k : 0;
    for (int32_t r = from; r < from + k; r++) {
        const whet_i_search_cell *a = &s->rows[winner].cell[top][r];
        const whet_i_search_cell *b = &s->rows[rival].cell[top][r];
        if (a->state != WHET_I_CELL_DONE || b->state != WHET_I_CELL_DONE) return v;
        const double off = lower ? b->metric - a->metric : a->metric - b->metric;
        sum += off;
        squares += off * off;
    }
    const double n = k, mean = sum / n, variance = fmax(0, squares - sum * mean) / (n - 1);
    const double half =
        whet_i_student(k - 1) * sqrt(variance * (1 / n + (s->head.folds ? 1 / (n - 1) : 0)));
    v.there = isfinite(mean);
    v.n = k;
    v.mean = mean;
    v.low = mean - half;
    v.high = mean + half;
    return v;
}

static const char *full_name(whet_tune_adapter kind) {
    static const char *const names[WHET_I_SEARCH_KINDS] = {
        [WHET_TUNE_FULL] = "full tuning", [WHET_TUNE_LORA] = "LoRA",
        [WHET_TUNE_MORE] = "MoRe",        [WHET_TUNE_DORA] = "DoRA",
        [WHET_TUNE_BITFIT] = "BitFit",    [WHET_TUNE_NORMS] = "tuning of norms"};
    return names[kind];
}

void whet_i_search_verdict_text(const whet_i_search_rules *r, const whet_i_search_verdict *v,
                                int64_t winner, int64_t rival, char *out, size_t size) {
    enum { WHOM = 320 };
    const whet_i_search_trial *w = &r->trials[winner];
    const char *name = full_name(w->job.adapter);
    char whom[WHOM];
    if (!v->there) {
        (void)snprintf(out, size, "%s won; no %s came to the whole length to compare it with", name,
                       w->job.adapter == WHET_TUNE_LORA ? "MoRe" : "LoRA");
        return;
    }
    const whet_i_search_trial *t = &r->trials[rival];
    const bool paired = whet_i_search_are_pair(r, winner, rival);
    const char *how = v->low > 0    ? "is better than"
                      : v->high < 0 ? "is worse than"
                                    : "is not told apart from";
    if (paired && w->parameters == t->parameters)
        (void)snprintf(whom, sizeof whom,
                       "its partner, %s of the same rates and layers and as many parameters (trial "
                       "%lld)",
                       full_name(t->job.adapter), (long long)rival);
    else if (paired)
        (void)snprintf(whom, sizeof whom,
                       "its partner, %s of the same rates and layers (trial %lld; %lld parameters, "
                       "not %lld)",
                       full_name(t->job.adapter), (long long)rival, (long long)t->parameters,
                       (long long)w->parameters);
    else
        (void)snprintf(whom, sizeof whom,
                       "another draw, %s (trial %lld; %lld parameters, not %lld, rate %g, not %g, "
                       "so that it says little of the kinds)",
                       full_name(t->job.adapter), (long long)rival, (long long)t->parameters,
                       (long long)w->parameters, t->job.learning_rate, w->job.learning_rate);
    (void)snprintf(out, size,
                   "%s (trial %lld) %s %s: %+.4f, from %+.4f to %+.4f at 95 %%, over %lld %s", name,
                   (long long)winner, how, whom, v->mean, v->low, v->high, (long long)v->n,
                   v->fresh ? "replicates that chose nothing"
                            : "replicates that chose them, which favours the winner");
}

static json_t *verdict_object(const whet_i_search_rules *r, int64_t winner, int64_t rival) {
    char text[768];
    if (winner < 0) return json_null();
    const whet_i_search_verdict v = whet_i_search_judge(r->state, r->lower, winner, rival);
    whet_i_search_verdict_text(r, &v, winner, rival, text, sizeof text);
    return json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:I, s:b}", "text", text, "partner",
                     v.there && whet_i_search_are_pair(r, winner, rival), "beyond_noise",
                     v.there && v.low > 0, "difference", whet_i_json_number(v.mean), "low",
                     whet_i_json_number(v.low), "high", whet_i_json_number(v.high), "replicates",
                     (json_int_t)v.n, "fresh", v.there && v.fresh);
}

/* ---- trials ----------------------------------------------------------------------------------- */

static int32_t reached(const whet_i_search_state *s, int64_t trial) {
    int32_t level = s->head.rungs - 1;
    while (level >= 0 && !whet_i_search_mean_of(s, trial, level, 0, s->head.replicates).whole)
        level--;
    return level;
}

static const char *state_of(const whet_i_search_state *s, int32_t level, bool failed) {
    return level < 0                    ? "unfinished"
           : failed                     ? "failed"
           : level == s->head.rungs - 1 ? "whole"
                                        : "stopped";
}

static json_t *scores_array(const whet_i_search_state *s, int64_t trial, int32_t level,
                            int32_t from) {
    json_t *array = json_array();
    for (int32_t k = from; level >= 0 && k < from + s->head.replicates; k++) {
        const whet_i_search_cell *c = &s->rows[trial].cell[level][k];
        if (c->state == WHET_I_CELL_DONE)
            (void)json_array_append_new(array, whet_i_json_number(c->metric));
    }
    return array;
}

/* Cheap signs of the first rung: means over its replicates. */
typedef struct signs {
    double decrease, norm, metric, loss; /* decrease: of the training loss, as a share */
} signs;

static signs signs_of(const whet_i_search_state *s, int64_t trial) {
    signs x = {0};
    const whet_i_search_mean m = whet_i_search_mean_of(s, trial, 0, 0, s->head.replicates);
    for (int32_t k = 0; k < s->head.replicates; k++) {
        const whet_i_search_cell *c = &s->rows[trial].cell[0][k];
        x.decrease += (1 - c->last / c->first) / s->head.replicates;
        x.norm += c->norm / s->head.replicates;
    }
    x.metric = m.metric;
    x.loss = m.loss;
    return x;
}

static void add_costs(const whet_i_search_state *s, int64_t trial, double *seconds,
                      int64_t *steps) {
    *seconds = 0;
    *steps = 0;
    for (int32_t l = 0; l < s->head.rungs; l++)
        for (int32_t k = 0; k < 2 * s->head.replicates; k++) {
            const whet_i_search_cell *c = &s->rows[trial].cell[l][k];
            if (c->state < WHET_I_CELL_DONE) continue;
            *seconds += c->seconds;
            *steps += c->steps;
        }
}

/* Replicates at the rung that a trial came to that patience stopped there. */
static int64_t early_of(const whet_i_search_state *s, int64_t trial, int32_t level) {
    int64_t n = 0;
    for (int32_t k = 0; level >= 0 && k < s->head.replicates; k++)
        n += s->rows[trial].cell[level][k].early;
    return n;
}

static json_t *number_or_null(int64_t n) { return n < 0 ? json_null() : json_integer(n); }

static int64_t begun_partner(const whet_i_search_rules *r, int64_t trial) {
    const int64_t partner = whet_i_search_partner(r, trial);
    return partner < r->state->n_trials ? partner : -1;
}

static json_t *trial_object(const whet_i_search_rules *r, int64_t trial, bool front) {
    const whet_i_search_state *s = r->state;
    const whet_i_search_trial *t = &r->trials[trial];
    const int32_t level = reached(s, trial), k = s->head.replicates;
    const whet_i_search_mean m = whet_i_search_mean_of(s, trial, level < 0 ? 0 : level, 0, k);
    const signs x = signs_of(s, trial);
    double seconds;
    int64_t steps;
    add_costs(s, trial, &seconds, &steps);
    return json_pack(
        "{s:I, s:s, s:o, s:o, s:I, s:s, s:I, s:o, s:o, s:o, s:o, s:b, s:f, s:I, s:I, s:o, s:o}",
        "trial", (json_int_t)trial, "kind", whet_i_search_kind_name(t->job.adapter), "partner",
        number_or_null(begun_partner(r, trial)), "settings", whet_i_search_settings(&t->job),
        "parameters", (json_int_t)t->parameters, "state", state_of(s, level, m.failed), "steps",
        (json_int_t)(level < 0 ? 0 : s->head.steps[level]), "metric", whet_i_json_number(m.metric),
        "error", whet_i_json_number(m.error), "scores", scores_array(s, trial, level, 0),
        "fresh_scores", scores_array(s, trial, s->head.rungs - 1, k), "front", front, "seconds",
        seconds, "steps_taken", (json_int_t)steps, "stopped_early",
        (json_int_t)early_of(s, trial, level), "loss_decrease", whet_i_json_number(x.decrease),
        "gradient_norm", whet_i_json_number(x.norm));
}

/* ---- what cheap signs were worth -------------------------------------------------------------- */

/* Spearman's correlation of a sign of the first rung with the metric at the next one reached, over the trials
 * that got there; of few it says little, and the best alone get there. */
static whet_status sign_worth(whet_ctx *ctx, const whet_i_search_rules *r, int which,
                              json_t *into) {
    static const char *const names[] = {"loss_decrease", "gradient_norm", "metric", "loss"};
    const whet_i_search_state *s = r->state;
    double *x = NULL, *y = NULL, worth = NAN;
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, s->n_trials, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->n_trials, &y));
    for (int64_t t = 0; t < s->n_trials; t++) {
        const int32_t level = reached(s, t), next = level > 0 ? 1 : 0;
        if (level < 1) continue;
        /* A finalist passes rungs over. */
        int32_t at = next;
        while (at < level && !whet_i_search_mean_of(s, t, at, 0, s->head.replicates).whole) at++;
        const signs of = signs_of(s, t);
        const double values[] = {of.decrease, of.norm, of.metric, of.loss};
        const whet_i_search_mean m = whet_i_search_mean_of(s, t, at, 0, s->head.replicates);
        if (m.failed || !isfinite(values[which])) continue;
        x[n] = values[which];
        y[n++] = r->lower ? -m.metric : m.metric;
    }
    if (n > 2) WHET_TRY_DONE(whet_i_tune_spearman(ctx, n, x, y, &worth));
    (void)json_object_set_new(
        into, names[which],
        json_pack("{s:o, s:I}", "spearman", whet_i_json_number(worth), "trials", (json_int_t)n));
done:
    whet_i_free(ctx, y);
    whet_i_free(ctx, x);
    return status;
}

/* ---- all of it -------------------------------------------------------------------------------- */

static int64_t best_of_kind(const whet_i_search_rules *r, whet_tune_adapter kind) {
    const int32_t top = r->state->head.rungs - 1, k = r->state->head.replicates;
    int64_t best = -1;
    for (int64_t t = 0; t < r->state->n_trials; t++) {
        const whet_i_search_mean m = whet_i_search_mean_of(r->state, t, top, 0, k);
        if (r->trials[t].job.adapter != kind || !m.whole || m.failed) continue;
        if (best < 0 || whet_i_search_better(r, top, t, best)) best = t;
    }
    return best;
}

static whet_status make_points(whet_ctx *ctx, const whet_i_search_rules *r, int64_t winner,
                               whet_i_search_point **points, int64_t *n) {
    const whet_i_search_state *s = r->state;
    *n = 0;
    WHET_TRY(whet_i_alloc(ctx, s->n_trials, points));
    for (int64_t t = 0; t < s->n_trials; t++) {
        const int32_t level = reached(s, t);
        const whet_i_search_mean m =
            whet_i_search_mean_of(s, t, level < 0 ? 0 : level, 0, s->head.replicates);
        if (level < 0 || m.failed) continue;
        (*points)[(*n)++] = (whet_i_search_point){.kind = r->trials[t].job.adapter,
                                                  .trial = t,
                                                  .parameters = r->trials[t].parameters,
                                                  .metric = m.metric,
                                                  .error = m.error,
                                                  .whole = level == s->head.rungs - 1,
                                                  .winner = t == winner};
    }
    whet_i_search_front(*points, *n, r->lower);
    return WHET_OK;
}

static bool is_front(const whet_i_search_point *points, int64_t n, int64_t trial) {
    for (int64_t i = 0; i < n; i++)
        if (points[i].trial == trial) return points[i].front;
    return false;
}

static json_t *head_object(const whet_i_search_space *space, const whet_i_search_rules *r,
                           const whet_tune_search_opts *budget) {
    const whet_i_tune *run = space->survey;
    const whet_i_search_head *h = &r->state->head;
    const int64_t processes = r->state->last_worker + 1;
    json_t *steps = json_array();
    for (int32_t i = 0; i < h->rungs; i++)
        (void)json_array_append_new(steps, json_integer(h->steps[i]));
    return json_pack(
        "{s:s, s:b, s:I, s:I, s:I, s:i, s:o, s:i, s:{s:o, s:o, s:o}, s:f, s:I, s:I}", "metric",
        whet_i_tune_metric_name(run->metric), "lower_is_better", r->lower, "rows",
        (json_int_t)run->train.n, "valid_rows", (json_int_t)run->valid.n, "folds",
        (json_int_t)h->folds, "replicates", h->replicates, "rungs", steps, "eta", WHET_I_SEARCH_ETA,
        "budget", "seconds", budget->seconds > 0 ? json_real(budget->seconds) : json_null(),
        "trials", budget->trials > 0 ? json_integer(budget->trials) : json_null(), "parameters",
        budget->parameters > 0 ? json_integer(budget->parameters) : json_null(), "seconds",
        r->state->spent, "processes", (json_int_t)processes, "smallest", (json_int_t)space->least);
}

/* In quotes for a shell, where a quote ends them, stands by itself, and begins them again. */
static whet_status put_option(whet_ctx *ctx, whet_i_buf *out, const char *name, const char *text) {
    if (!text) return WHET_OK;
    WHET_TRY(whet_i_buf_printf(ctx, out, " --%s '", name));
    for (;;) {
        const size_t length = strcspn(text, "'");
        WHET_TRY(whet_i_buf_append(ctx, out, text, (int64_t)length));
        if (text[length] == '\0') break;
        WHET_TRY(whet_i_buf_append(ctx, out, "'\\''", 4));
        text += length + 1;
    }
    return whet_i_buf_append(ctx, out, "'", 1);
}

/* With as few digits as tell it from all others. */
static whet_status put_number(whet_ctx *ctx, whet_i_buf *out, const char *name, double x) {
    char digits[40];
    double read = NAN;
    for (int n = 6; n <= 17 && read != x; n++) {
        (void)snprintf(digits, sizeof digits, "%.*g", n, x);
        if (!whet_i_parse_real(whet_str_from(digits), &read)) break;
    }
    return whet_i_buf_printf(ctx, out, "%s--%s %s", out->len ? " " : "", name, digits);
}

static whet_status put_adapter(whet_ctx *ctx, const whet_tune_job *j, whet_i_buf *out) {
    WHET_TRY(whet_i_buf_printf(ctx, out, " --rank %lld", (long long)j->rank));
    WHET_TRY(put_option(ctx, out, "targets", j->targets));
    if (j->adapter == WHET_TUNE_MORE)
        WHET_TRY(whet_i_buf_printf(ctx, out, " --blocks %lld", (long long)j->blocks));
    else
        WHET_TRY(put_number(ctx, out, "alpha", j->alpha));
    if (j->rank_stabilised) WHET_TRY(whet_i_buf_printf(ctx, out, " --rslora"));
    if (j->second_rate != 0 && j->second_rate != 1)
        WHET_TRY(put_number(ctx, out, "second-rate", j->second_rate));
    if (j->adapter_dropout > 0)
        WHET_TRY(put_number(ctx, out, "adapter-dropout", j->adapter_dropout));
    WHET_TRY(put_option(ctx, out, "exclude", j->exclude));
    WHET_TRY(put_option(ctx, out, "layers", j->layers));
    WHET_TRY(put_option(ctx, out, "rank-pattern", j->rank_pattern));
    WHET_TRY(put_option(ctx, out, "alpha-pattern", j->alpha_pattern));
    WHET_TRY(put_option(ctx, out, "blocks-pattern", j->blocks_pattern));
    return put_option(ctx, out, "save-modules", j->save_modules);
}

/* What follows `whet tune --model .. --train ..` to train the winner again, for a shell: all that a search
 * chooses, and all that says what an adapter is like. */
static whet_status winner_options(whet_ctx *ctx, const whet_tune_job *j, whet_i_buf *out) {
    WHET_TRY(whet_i_buf_printf(ctx, out, "--adapter %s", whet_i_search_kind_name(j->adapter)));
    WHET_TRY(put_number(ctx, out, "lr", j->learning_rate));
    WHET_TRY(put_number(ctx, out, "dropout", j->dropout));
    WHET_TRY(put_number(ctx, out, "head-rate", j->head_rate));
    WHET_TRY(whet_i_buf_printf(ctx, out, " --epochs %lld", (long long)j->epochs));
    WHET_TRY(put_number(ctx, out, "warmup", j->warmup));
    return whet_i_tune_adapter_find(j->adapter)->adapts ? put_adapter(ctx, j, out) : WHET_OK;
}

/* The best of each kind that is searched. */
static json_t *best_object(const whet_i_search_space *space, const whet_i_search_rules *r) {
    json_t *o = json_object();
    for (int i = 0; i < WHET_I_SEARCH_KINDS; i++) {
        const whet_tune_adapter kind = (whet_tune_adapter)i;
        if (kind <= WHET_TUNE_MORE || space->also >> kind & 1)
            (void)json_object_set_new(o, whet_i_search_kind_name(kind),
                                      number_or_null(best_of_kind(r, kind)));
    }
    return o;
}

static whet_status fill(whet_ctx *ctx, whet_i_search_space *space, const whet_i_search_rules *r,
                        bool trained, const whet_i_search_point *points, int64_t n_points,
                        json_t *o) {
    const int64_t winner = whet_i_search_winner(r), rival = whet_i_search_rival(r, winner);
    json_t *trials = json_array(), *worth = json_object();
    whet_i_buf options = {0};
    whet_status status =
        winner < 0 ? WHET_OK : winner_options(ctx, &space->trials[winner].job, &options);
    for (int64_t t = 0; t < r->state->n_trials; t++)
        (void)json_array_append_new(trials, trial_object(r, t, is_front(points, n_points, t)));
    for (int i = 0; i < 4 && status == WHET_OK; i++) status = sign_worth(ctx, r, i, worth);
    (void)json_object_set_new(o, "trials", trials);
    (void)json_object_set_new(o, "first_rung_worth", worth);
    (void)json_object_set_new(o, "winner", number_or_null(winner));
    (void)json_object_set_new(o, "rival", number_or_null(rival));
    (void)json_object_set_new(o, "best", best_object(space, r));
    (void)json_object_set_new(o, "verdict", verdict_object(r, winner, rival));
    (void)json_object_set_new(o, "options", options.data ? json_string(options.data) : json_null());
    whet_i_buf_free(ctx, &options);
    (void)json_object_set_new(o, "trained", json_boolean(trained));
    return status;
}

whet_status whet_i_search_tell(whet_ctx *ctx, whet_i_search_space *space,
                               const whet_i_search_rules *r, const whet_tune_search_opts *budget,
                               bool trained, whet_i_buf *json, whet_i_buf *svg) {
    whet_i_search_point *points = NULL;
    json_t *o = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(make_points(ctx, r, whet_i_search_winner(r), &points, &n));
    WHET_TRY_DONE(
        whet_i_search_plot(ctx, points, n, whet_i_tune_metric_name(space->survey->metric), svg));
    o = head_object(space, r, budget);
    WHET_TRY_DONE(fill(ctx, space, r, trained, points, n, o));
    status = whet_i_json_dump(ctx, o, JSON_INDENT(1) | JSON_REAL_PRECISION(12), json);
done:
    json_decref(o);
    whet_i_free(ctx, points);
    return status;
}
