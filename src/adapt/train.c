/* SPDX-License-Identifier: Apache-2.0
 * The main job: cross-fit every candidate, blend, choose, fit on all labels.
 *
 * The choice: the blend, unless a single candidate's cross-fitted log loss is lower by more than
 * one standard error of the difference, taken over labels. Candidates that cannot be fitted (no
 * class vectors) are listed with the reason. With too few labels nothing is compared: defaults.
 * Legend: b labels, k classes, cases held-out predictions. */
#include <math.h>
#include <stdio.h>

#include "adapt/ensemble.h"
#include "adapt/method.h"
#include "adapt/tuned_fit.h"

/* ---- candidates ------------------------------------------------------------------------------ */

static int64_t place_of(const char *name) {
    for (int64_t i = 0; i < whet_i_candidate_count(); i++)
        if (strcmp(whet_i_candidates[i]->name, name) == 0) return i;
    return -1;
}

/* Whether holding labels out can tell anything: at least four of them, of at least two classes, one
 * of which has two, in groups of their own; else every held-out label is of a class that its training
 * part has not seen, or of the only one. */
static whet_status can_compare(whet_ctx *ctx, const whet_i_pool *pool, bool *out) {
    bool two_classes = false, twice = false;
    int64_t *first; /* labelled row of the class, -1 = none */
    WHET_TRY(whet_i_alloc(ctx, pool->k, &first));
    for (int64_t c = 0; c < pool->k; c++) first[c] = -1;
    for (int64_t i = 0; i < pool->b; i++) {
        int64_t *of = &first[pool->y[i]];
        two_classes = two_classes || pool->y[i] != pool->y[0];
        twice = twice ||
                (*of >= 0 && (!pool->groups || pool->groups[*of] != pool->groups[pool->rows[i]]));
        if (*of < 0) *of = pool->rows[i];
    }
    *out = pool->b >= 4 && two_classes && twice;
    whet_i_free(ctx, first);
    return WHET_OK;
}

/* With too few labels to hold any out. */
static void default_settings(whet_i_result *r) {
    r->settings = (whet_i_settings){.penalty = 10,
                                    .kappa = 1,
                                    .inner = 1,
                                    .beta = 0,
                                    .mu = .3,
                                    .alpha = .9,
                                    .width = 1,
                                    .temperature = 1};
    r->log_loss = NAN;
    (void)snprintf(r->words, sizeof r->words, "defaults: too few labels to choose");
}

/* What is to be made: all that the method asks for, or, of those, candidate `at` of another fit. */
typedef struct request {
    const char *method; /* or NULL */
    bool all, wanted[WHET_I_MOST_PARTS];
    int64_t at;
} request;

/* The parts of candidate `at`, and what they smooth. */
static request request_for(const whet_adapt_fit *like, int64_t at, const char *method) {
    request w = {.method = method, .at = at};
    whet_i_part parts[WHET_I_MOST_PARTS];
    const int64_t n = whet_i_fit_parts(like, at, parts);
    for (int64_t i = 0; i < n; i++)
        for (const whet_i_candidate *c = parts[i].candidate; c;
             c = c->prior ? whet_i_candidates[place_of(c->prior)] : NULL)
            w.wanted[place_of(c->name)] = true;
    return w;
}

/* What keeps the candidate out, or NULL. */
static const char *why_not(const whet_i_candidate *c, const whet_i_pool *pool, const request *w) {
    const char *method = w->method;
    if (!w->all && !w->wanted[place_of(c->name)]) return "is not wanted";
    if (!c->crossfit) return "left out, being slow: --adapter auto compares it";
    if (c->needs_names && !pool->names) return "needs embeddings of the class names";
    if (c->on_request &&
        !(method && (strcmp(method, WHET_I_AUTO) == 0 || strcmp(method, c->name) == 0)))
        return "left out, being slow: --label-method auto compares them";
    return NULL;
}

static whet_status crossfit_all(whet_ctx *ctx, whet_i_trial *trial, const request *w,
                                whet_adapt_fit *fit) {
    const int64_t n = whet_i_candidate_count();
    for (int64_t i = 0; i < n; i++) {
        const whet_i_candidate *c = whet_i_candidates[i];
        whet_i_result *r = &fit->results[i];
        WHET_TRY(whet_i_progress(ctx, "fit", i, 2 * n));
        const char *note = why_not(c, trial->pool, w);
        r->available = !note;
        if (note) {
            (void)snprintf(r->note, sizeof r->note, "%s", note);
            continue;
        }
        if (trial->cases == 0) {
            default_settings(r);
            if (!trial->pool->names) r->settings.kappa = 0;
            if (strcmp(c->name, "zero-shot") == 0) r->settings.kappa = INFINITY;
            continue;
        }
        const whet_i_result *prior = c->prior ? &fit->results[place_of(c->prior)] : NULL;
        WHET_TRY(c->crossfit(ctx, c, trial, prior, r));
    }
    return WHET_OK;
}

static whet_status fit_all(whet_ctx *ctx, const whet_i_trial *trial, whet_adapt_fit *fit) {
    const int64_t n = whet_i_candidate_count();
    for (int64_t i = 0; i < n; i++) {
        const whet_i_candidate *c = whet_i_candidates[i];
        WHET_TRY(whet_i_progress(ctx, "fit", n + i, 2 * n));
        if (!fit->results[i].available) continue;
        const void *prior = c->prior ? fit->models[place_of(c->prior)] : NULL;
        WHET_TRY(c->fit(ctx, c, trial, &fit->results[i].settings, prior, &fit->models[i]));
    }
    return whet_i_progress(ctx, "fit", 2 * n, 2 * n);
}

/* ---- the blend ------------------------------------------------------------------------------- */

typedef struct blending {
    int64_t m, place[WHET_I_MOST_PARTS]; /* candidates that take part */
    const double *probs[WHET_I_MOST_PARTS];
    double weights[WHET_I_MOST_PARTS];
    double *own; /* [m, cases] */
} blending;

static void list_parts(whet_adapt_fit *fit, blending *b) {
    for (int64_t i = 0; i < whet_i_candidate_count(); i++) {
        if (!whet_i_candidates[i]->blends || !fit->results[i].available) continue;
        b->place[b->m] = i;
        b->probs[b->m++] = fit->results[i].probs;
    }
}

static void describe_blend(whet_adapt_fit *fit, const blending *b) {
    whet_i_result *r = &fit->results[fit->n - 1];
    size_t used = 0;
    for (int64_t p = 0; p < b->m; p++) {
        if (!(b->weights[p] > 0) || used >= sizeof r->words) continue;
        const int wrote =
            snprintf(r->words + used, sizeof r->words - used, "%s%.2f %s", used ? " + " : "",
                     b->weights[p], whet_i_candidates[b->place[p]]->name);
        if (wrote > 0) used += (size_t)wrote;
    }
}

/* Weights without cross-fitting: equal. */
static whet_status make_blend(whet_ctx *ctx, const whet_i_trial *trial, whet_adapt_fit *fit,
                              blending *b) {
    whet_i_result *r = &fit->results[fit->n - 1];
    const int64_t k = trial->pool->k, cases = trial->cases;
    int64_t cells;
    list_parts(fit, b);
    r->available = true;
    r->log_loss = NAN;
    for (int64_t p = 0; p < b->m; p++) b->weights[p] = 1 / (double)b->m;
    if (cases > 0) {
        WHET_TRY(whet_i_mul(ctx, b->m, cases, &cells));
        WHET_TRY(whet_i_alloc(ctx, cells, &b->own));
        for (int64_t p = 0; p < b->m; p++)
            for (int64_t i = 0; i < cases; i++)
                b->own[p * cases + i] = b->probs[p][i * k + trial->case_y[i]];
        WHET_TRY(whet_i_mul(ctx, cases, k, &cells));
        WHET_TRY(whet_i_alloc(ctx, cells, &r->probs));
        WHET_TRY(whet_i_blend_crossfit(ctx, trial, b->probs, b->own, b->m, r->probs));
        r->log_loss = whet_i_log_loss(r->probs, cases, k, trial->case_y);
        whet_i_blend_weights(b->own, b->m, cases, NULL, trial->b, b->weights);
        whet_i_blend_trim(b->weights, b->m);
    }
    describe_blend(fit, b);
    return WHET_OK;
}

/* ---- the choice ------------------------------------------------------------------------------ */

/* By how much candidate `at` is better than the blend, and the standard error of that, over labels
 * (the repeats of a label are averaged first: they are one label's). */
static double gain_over_blend(const whet_i_trial *trial, const whet_adapt_fit *fit, int64_t at,
                              double *error) {
    const int64_t k = trial->pool->k, b = trial->b, repeats = trial->splits.repeats;
    const double *one = fit->results[at].probs, *blend = fit->results[fit->n - 1].probs;
    double sum = 0, square = 0;
    for (int64_t i = 0; i < b; i++) {
        double gain = 0;
        for (int64_t r = 0; r < repeats; r++) {
            const int64_t cell = (r * b + i) * k + trial->y[i];
            gain +=
                log(fmax(one[cell], WHET_I_PROB_FLOOR)) - log(fmax(blend[cell], WHET_I_PROB_FLOOR));
        }
        gain /= (double)repeats;
        sum += gain;
        square += gain * gain;
    }
    const double mean = sum / (double)b;
    const double spread = fmax(0, square / (double)b - mean * mean);
    *error = b > 1 ? sqrt(spread / (double)(b - 1)) : (double)INFINITY;
    return mean;
}

static void choose(const whet_i_trial *trial, whet_adapt_fit *fit, const blending *parts) {
    const int64_t blend = fit->n - 1;
    double best_gain = 0, best_error = 0;
    int64_t single = parts->place[0];
    fit->chosen = blend;
    for (int64_t p = 0; p < parts->m; p++) {
        const int64_t at = parts->place[p];
        double error;
        const double gain = gain_over_blend(trial, fit, at, &error);
        if (fit->results[at].log_loss < fit->results[single].log_loss) single = at;
        if (gain <= error || gain <= best_gain) continue;
        fit->chosen = at;
        best_gain = gain;
        best_error = error;
    }
    if (fit->chosen == blend)
        (void)snprintf(fit->reason, sizeof fit->reason,
                       "The blend of %lld candidates has a cross-fitted log loss of %.3f on %lld "
                       "labels; no single candidate is better by more than a standard error (the "
                       "best, %s, has %.3f).",
                       (long long)fit->n_blend, fit->results[blend].log_loss, (long long)trial->b,
                       whet_i_candidates[single]->name, fit->results[single].log_loss);
    else
        (void)snprintf(fit->reason, sizeof fit->reason,
                       "On %lld labels the cross-fitted log loss of %s is %.3f, lower than the "
                       "blend's %.3f by more than a standard error (%.3f +- %.3f).",
                       (long long)trial->b, whet_i_candidates[fit->chosen]->name,
                       fit->results[fit->chosen].log_loss, fit->results[blend].log_loss, best_gain,
                       best_error);
}

static whet_status choose_asked(whet_ctx *ctx, whet_adapt_fit *fit, const char *method) {
    int64_t at = 0;
    WHET_TRY(whet_i_method_find(ctx, method, &at));
    if (!fit->results[at].available)
        return whet_i_fail(ctx, WHET_ERR_DATA, "candidate \"%s\" cannot be fitted: it %s", method,
                           fit->results[at].note);
    fit->chosen = at;
    (void)snprintf(fit->reason, sizeof fit->reason,
                   "The candidate %s was asked for by name, whatever the comparison says.", method);
    return WHET_OK;
}

static void choose_blindly(whet_adapt_fit *fit) {
    fit->chosen = place_of(fit->pool.names ? "prototypes" : "logistic");
    (void)snprintf(fit->reason, sizeof fit->reason,
                   "%lld label%s too few, or of too few classes%s, to hold any out: %s with its "
                   "defaults, and nothing was compared.",
                   (long long)fit->pool.b, fit->pool.b == 1 ? " is" : "s are",
                   fit->pool.groups ? " or groups" : "", whet_i_candidates[fit->chosen]->name);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void describe(const whet_i_trial *trial, whet_adapt_fit *fit) {
    const int64_t k = fit->pool.k;
    for (int64_t i = 0; i < fit->n; i++) {
        const whet_i_result *r = &fit->results[i];
        const bool blend = i == fit->n - 1;
        whet_candidate_info *info = &fit->infos[i];
        *info = (whet_candidate_info){.name = blend ? WHET_I_BLEND : whet_i_candidates[i]->name,
                                      .title = blend ? "weighted mean of the candidates"
                                                     : whet_i_candidates[i]->title,
                                      .settings = r->words,
                                      .available = r->available,
                                      .note = r->note,
                                      .accuracy = NAN,
                                      .accuracy_low = NAN,
                                      .accuracy_high = NAN,
                                      .log_loss = r->log_loss};
        if (!r->probs) {
            if (!r->available) info->log_loss = NAN;
            continue;
        }
        int64_t hits = 0;
        for (int64_t at = 0; at < trial->cases; at++)
            hits += whet_i_argmax(r->probs + at * k, k) == trial->case_y[at] ? 1 : 0;
        info->accuracy = (double)hits / (double)trial->cases;
        /* The interval is that of b labels: repeats add no labels. */
        whet_wilson(llround(info->accuracy * (double)trial->b), trial->b, &info->accuracy_low,
                    &info->accuracy_high);
    }
}

/* What the chosen one says of each label from others, over the repeats. */
static whet_status keep_held_out(whet_ctx *ctx, const whet_i_trial *trial, whet_adapt_fit *fit) {
    const int64_t b = trial->b, k = fit->pool.k;
    const double *probs = fit->results[fit->chosen].probs;
    if (trial->cases == 0 || !probs) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, b, &fit->held_rows));
    WHET_TRY(whet_i_calloc(ctx, b * k, &fit->held));
    memcpy(fit->held_rows, trial->rows, (size_t)b * sizeof *fit->held_rows);
    for (int64_t at = 0; at < trial->cases * k; at++)
        fit->held[at % (b * k)] += probs[at] / (double)trial->splits.repeats;
    fit->n_held = b;
    return WHET_OK;
}

whet_status whet_i_copy_names(whet_ctx *ctx, const whet_names *from, whet_names **out) {
    whet_names *names;
    WHET_TRY(whet_names_create(ctx, &names));
    for (int64_t i = 0; i < whet_names_count(from); i++) {
        const whet_status status = whet_names_add(ctx, names, whet_names_get(from, i), NULL);
        if (status != WHET_OK) {
            whet_names_destroy(ctx, names);
            return status;
        }
    }
    *out = names;
    return WHET_OK;
}

void whet_adapt_fit_destroy(whet_ctx *ctx, whet_adapt_fit *fit) {
    if (!fit) return;
    for (int64_t i = 0; i < fit->n; i++) {
        whet_i_result_free(ctx, &fit->results[i]);
        if (fit->models[i]) whet_i_candidates[i]->destroy(ctx, fit->models[i]);
    }
    whet_i_pool_free(ctx, &fit->pool);
    whet_names_destroy(ctx, fit->classes);
    whet_i_free(ctx, fit->held_rows);
    whet_i_free(ctx, fit->held);
    whet_i_free(ctx, fit);
}

static whet_status check_opts(whet_ctx *ctx, const whet_adapt_opts *given, whet_adapt_opts *out) {
    whet_adapt_opts o = WHET_ADAPT_OPTS_INIT;
    WHET_TRY(whet_i_opts(ctx, given, &o, sizeof o, "whet_adapt_opts"));
    if (o.repeats < 1 || o.repeats > 100 || o.folds < 2 || o.folds > 20)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%d repeats of %d folds; expected 1 to 100 of 2 to "
                           "20",
                           o.repeats, o.folds);
    *out = o;
    return WHET_OK;
}

/* Cross-fitted predictions have done their work. */
static void forget_folds(whet_ctx *ctx, whet_adapt_fit *fit) {
    for (int64_t i = 0; i < fit->n; i++) {
        whet_i_result *r = &fit->results[i];
        for (int64_t f = 0; f < r->n_fold; f++) whet_i_base_free(ctx, &r->fold[f]);
        whet_i_free(ctx, r->fold);
        whet_i_free(ctx, r->probs);
        r->fold = NULL;
        r->probs = NULL;
        r->n_fold = 0;
    }
    whet_i_graph_free(ctx, &fit->pool.graph);
    whet_i_free(ctx, fit->pool.smooth);
    fit->pool.smooth = NULL;
    fit->pool.given = NULL;
    fit->pool.groups = NULL;
}

static whet_status make_fit(whet_ctx *ctx, const whet_adapt_input *input, const whet_adapt_opts *o,
                            const request *w, whet_adapt_fit **out) {
    whet_status status = WHET_OK;
    whet_adapt_fit *fit = NULL;
    whet_i_trial trial = {0};
    blending parts = {0};
    bool compares;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &fit));
    fit->n = whet_i_candidate_count() + 1;
    WHET_TRY_DONE(whet_i_pool_make(ctx, input, &fit->pool));
    fit->pool.groups = o->groups;
    WHET_TRY_DONE(whet_i_copy_names(ctx, input->classes, &fit->classes));
    WHET_TRY_DONE(can_compare(ctx, &fit->pool, &compares));
    WHET_TRY_DONE(
        whet_i_trial_make(ctx, &fit->pool, compares ? o->repeats : 0, o->folds, o->seed, &trial));
    WHET_TRY_DONE(crossfit_all(ctx, &trial, w, fit));
    if (w->all || w->at == fit->n - 1) WHET_TRY_DONE(make_blend(ctx, &trial, fit, &parts));
    WHET_TRY_DONE(fit_all(ctx, &trial, fit));
    for (int64_t p = 0; p < parts.m; p++) {
        const int64_t at = parts.place[p];
        if (!(parts.weights[p] > 0)) continue;
        fit->blend[fit->n_blend++] =
            (whet_i_part){whet_i_candidates[at], fit->models[at], parts.weights[p]};
    }
    if (!w->all)
        fit->chosen = w->at;
    else if (!whet_i_method_compares(w->method))
        WHET_TRY_DONE(choose_asked(ctx, fit, w->method));
    else if (trial.cases > 0)
        choose(&trial, fit, &parts);
    else
        choose_blindly(fit);
    describe(&trial, fit);
    WHET_TRY_DONE(keep_held_out(ctx, &trial, fit));
    forget_folds(ctx, fit);
    *out = fit;
    fit = NULL;
done:
    whet_adapt_fit_destroy(ctx, fit);
    whet_i_trial_free(ctx, &trial);
    whet_i_free(ctx, parts.own);
    return status;
}

whet_status whet_adapt_train(whet_ctx *ctx, const whet_adapt_input *input,
                             const whet_adapt_opts *opts, whet_adapt_fit **out) {
    whet_adapt_opts o;
    int64_t place;
    _Static_assert(WHET_I_MOST_PARTS > 15, "room for the table and the blend");
    WHET_TRY(check_opts(ctx, opts, &o));
    if (o.method) /* a wrong name is told before the work */
        WHET_TRY(whet_i_method_find(ctx, o.method, &place));
    whet_i_warn_of_alike_rows(ctx, input->features, input->n, input->d);
    const request all = {.method = o.method, .all = true};
    return make_fit(ctx, input, &o, &all, out);
}

whet_status whet_i_fit_again(whet_ctx *ctx, const whet_adapt_fit *like, int64_t at,
                             const whet_adapt_input *input, const whet_adapt_opts *opts,
                             whet_adapt_fit **out) {
    const request one = request_for(like, at, opts->method);
    return make_fit(ctx, input, opts, &one, out);
}

/* ---- what a fit answers ---------------------------------------------------------------------- */

int64_t whet_adapt_fit_candidates(const whet_adapt_fit *fit) { return fit->n; }

const whet_candidate_info *whet_adapt_fit_info(const whet_adapt_fit *fit, int64_t candidate) {
    return candidate >= 0 && candidate < fit->n ? &fit->infos[candidate] : NULL;
}

int64_t whet_adapt_fit_chosen(const whet_adapt_fit *fit) { return fit->chosen; }

int64_t whet_adapt_fit_held_out(const whet_adapt_fit *fit, const int64_t **rows,
                                const double **probs) {
    *rows = fit->held_rows;
    *probs = fit->held;
    return fit->n_held;
}

const char *whet_adapt_fit_reason(const whet_adapt_fit *fit) { return fit->reason; }

int64_t whet_i_fit_parts(const whet_adapt_fit *fit, int64_t at, whet_i_part *parts) {
    if (at == fit->n - 1) {
        memcpy(parts, fit->blend, sizeof *parts * (size_t)fit->n_blend);
        return fit->n_blend;
    }
    parts[0] = (whet_i_part){whet_i_candidates[at], fit->models[at], 1};
    return 1;
}

whet_status whet_adapt_fit_predict(whet_ctx *ctx, const whet_adapt_fit *fit, int64_t candidate,
                                   const float *features, int64_t n, double *probs) {
    whet_status status = WHET_OK;
    whet_i_query rows = {0};
    whet_i_part parts[WHET_I_MOST_PARTS];
    if (candidate < 0 || candidate >= fit->n)
        return whet_i_fail(ctx, WHET_ERR_ARG, "candidate %lld; expected 0 to %lld",
                           (long long)candidate, (long long)fit->n - 1);
    if (!fit->results[candidate].available)
        return whet_i_fail(ctx, WHET_ERR_ARG, "candidate %s is not available: it %s",
                           fit->infos[candidate].name, fit->infos[candidate].note);
    const int64_t m = whet_i_fit_parts(fit, candidate, parts);
    WHET_TRY_DONE(whet_i_query_make(ctx, &fit->pool, features, n,
                                    whet_i_parts_need_neighbours(parts, m), &rows));
    WHET_TRY_DONE(whet_i_parts_predict(ctx, parts, m, fit->pool.k, &rows, probs));
done:
    whet_i_query_free(ctx, &rows);
    return status;
}

whet_status whet_adapt_fit_predict_all(whet_ctx *ctx, const whet_adapt_fit *fit,
                                       const float *features, int64_t n, double *probs) {
    whet_status status = WHET_OK;
    whet_i_query rows = {0};
    whet_i_part parts[WHET_I_MOST_PARTS];
    int64_t cells;
    WHET_TRY(whet_i_mul(ctx, n, fit->pool.k, &cells));
    WHET_TRY_DONE(whet_i_query_make(ctx, &fit->pool, features, n, true, &rows));
    for (int64_t i = 0; i < fit->n; i++) {
        double *own = probs + i * cells;
        if (!fit->results[i].available) {
            memset(own, 0, sizeof *own * (size_t)cells);
            continue;
        }
        const int64_t m = whet_i_fit_parts(fit, i, parts);
        WHET_TRY_DONE(whet_i_parts_predict(ctx, parts, m, fit->pool.k, &rows, own));
    }
done:
    whet_i_query_free(ctx, &rows);
    return status;
}
