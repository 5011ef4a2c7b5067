/* SPDX-License-Identifier: Apache-2.0
 * whet_tune_search: the settings read once, then one unit after the other as successive_halving.c says,
 * each claimed before and noted behind in the journal, so that nothing but the unit at hand is lost whatever
 * happens, and other processes can take their share. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tune/search_i.h"

enum { FEW_ROWS = 500, EPOCHS = 10, EPOCHS_MAX = 60, STEPS_MIN = 100, MEASURED = 4 };
#define WARMUP 0.05 /* the first rung ends at a ninth or a twenty-seventh of the steps */
/* A claim is another's after a minute and 20 times what its unit should take. */
#define LEASE 60.
#define LEASE_FACTOR 20.

typedef struct search {
    whet_tune_job job; /* as asked */
    whet_tune_search_opts budget;
    whet_i_tune survey;
    whet_i_search_space space;
    whet_i_search_head head;
    whet_i_search_journal journal;
    whet_i_search_state state;
    whet_i_search_rules rules;
    bool trained; /* the winner, by this process or another */
} search;

/* ---- what is asked ---------------------------------------------------------------------------- */

static whet_status check_budget(whet_ctx *ctx, const search *s) {
    const whet_tune_search_opts *b = &s->budget;
    if (!(b->seconds >= 0) || b->trials < 0 || b->trials > WHET_I_SEARCH_TRIALS ||
        b->parameters < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a negative budget, or more than %d trials; expected neither",
                           WHET_I_SEARCH_TRIALS);
    if (b->patience < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a patience of %" PRId64 "; expected 0 or more",
                           b->patience);
    if (b->seconds == 0 && b->trials == 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a search without a time and a number of trials; expected one");
    if (s->job.init_adapter)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a search chooses the adapter; expected none to go on from");
    if (!s->job.valid && (s->job.patience || s->job.evaluate_steps))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "patience and validation steps are of the final training, and need a "
                           "validation table; expected one");
    if (b->folds != 0 && (b->folds < 2 || b->folds > WHET_I_SEARCH_FOLDS))
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " folds; expected 2 to %d", b->folds,
                           WHET_I_SEARCH_FOLDS);
    return WHET_OK;
}

static whet_status check_output(whet_ctx *ctx, const search *s) {
    struct stat info;
    if (!s->job.output)
        return whet_i_fail(ctx, WHET_ERR_ARG, "a search without an output; expected a folder");
    if (s->job.resume || s->job.force || lstat(s->job.output, &info) != 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_EXISTS,
                       "%s exists; it is kept; try another output, --force, or --resume to go on "
                       "or to help",
                       s->job.output);
}

static whet_status choose_folds(whet_ctx *ctx, search *s) {
    const int64_t n = s->survey.train.n;
    const bool few = n < FEW_ROWS, probs = s->job.probs != NULL;
    if (s->job.valid && (!few || probs)) {
        s->head.replicates = 3;
        return WHET_OK;
    }
    if (probs)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a search on probabilities needs rows with labels to judge by; expected "
                           "a validation table");
    if (n < 4)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: %" PRId64 " rows; expected at least 4, to hold some out",
                           s->job.train, n);
    int64_t folds = s->budget.folds ? s->budget.folds : few ? 5 : 3;
    if (folds > n / 2) folds = n / 2;
    s->head.folds = folds;
    s->head.replicates = (int32_t)folds;
    return WHET_OK;
}

static void choose_rungs(search *s) {
    const int64_t n = s->survey.train.n, batch = s->survey.job.batch_size;
    const int64_t trained = s->head.folds ? n - n / s->head.folds : n;
    const int64_t an_epoch = (trained + batch - 1) / batch;
    int64_t epochs = s->job.epochs ? s->job.epochs : EPOCHS;
    if (!s->job.epochs && epochs * an_epoch < STEPS_MIN)
        epochs = (STEPS_MIN + an_epoch - 1) / an_epoch;
    if (!s->job.epochs && epochs > EPOCHS_MAX) epochs = EPOCHS_MAX;
    s->job.epochs = epochs;
    const int64_t total = an_epoch * epochs;
    int32_t rungs = 1;
    for (int64_t at = total / WHET_I_SEARCH_ETA;
         at >= WHET_I_SEARCH_LEAST && rungs < WHET_I_SEARCH_RUNGS; at /= WHET_I_SEARCH_ETA)
        rungs++;
    int64_t part = 1;
    for (int32_t l = rungs - 1; l >= 0; l--, part *= WHET_I_SEARCH_ETA)
        s->head.steps[l] = (total + part - 1) / part;
    s->head.rungs = rungs;
    s->head.final_steps = (n + batch - 1) / batch * epochs;
}

static uint64_t mix(uint64_t hash, const void *bytes, int64_t len) {
    return whet_i_hash_u64(hash ^ whet_i_hash_bytes(bytes, len));
}

/* Settings, rows and weights, what is drawn from, folds and rungs; not the budget. */
static void make_fingerprint(search *s) {
    const whet_i_tune_rows *v = &s->survey.valid;
    uint64_t hash = whet_i_search_space_hash(&s->space);
    hash = mix(hash, s->survey.fingerprint, (int64_t)sizeof s->survey.fingerprint);
    if (v->n) hash = mix(hash, v->tokens.ids, v->tokens.start[v->tokens.n_rows] * 4);
    if (v->labels) hash = mix(hash, v->labels, v->n * (int64_t)sizeof *v->labels);
    if (v->targets) hash = mix(hash, v->targets, v->n * (int64_t)sizeof *v->targets);
    hash = mix(hash, &s->head.folds, (int64_t)sizeof s->head.folds);
    hash = mix(hash, s->head.steps, (int64_t)sizeof s->head.steps);
    if (s->budget.patience)
        hash = mix(hash, &s->budget.patience, (int64_t)sizeof s->budget.patience);
    (void)snprintf(s->head.fingerprint, sizeof s->head.fingerprint, "%016" PRIx64, hash);
}

static whet_status survey(whet_ctx *ctx, search *s) {
    whet_tune_job base = s->job;
    unsigned also;
    WHET_TRY(whet_i_search_also(ctx, s->budget.also, &also));
    base.adapter = WHET_TUNE_FULL;
    base.targets = base.exclude = base.layers = NULL;
    base.rank_pattern = base.alpha_pattern = base.blocks_pattern = NULL;
    base.rank_stabilised = false;
    base.adapter_dropout = 0;
    base.second_rate = 1;
    WHET_TRY(whet_i_tune_survey(ctx, &base, &s->survey));
    WHET_TRY(choose_folds(ctx, s));
    choose_rungs(s);
    if (s->head.final_steps > INT32_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " epochs are %" PRId64
                           " steps; expected at most %d; try fewer epochs",
                           s->job.epochs, s->head.final_steps, INT32_MAX);
    if (s->job.warmup < 0) s->job.warmup = WARMUP;
    WHET_TRY(
        whet_i_search_space_open(ctx, &s->survey, &s->job, s->budget.parameters, also, &s->space));
    make_fingerprint(s);
    return WHET_OK;
}

/* ---- units ------------------------------------------------------------------------------------ */

/* "<folder>/<trial>-<level>-<replicate>.safetensors" */
static bool checkpoint_path(const search *s, whet_i_search_unit u, char *out, size_t size) {
    const int n = snprintf(out, size, "%s/%" PRId64 "-%d-%d.safetensors", s->journal.folder,
                           u.trial, (int)u.level, (int)u.replicate);
    return n > 0 && (size_t)n < size;
}

static void remove_checkpoint(const search *s, whet_i_search_unit u) {
    char path[4096];
    if (checkpoint_path(s, u, path, sizeof path)) (void)remove(path);
}

static whet_tune_job job_of(const search *s, whet_i_search_unit u) {
    whet_tune_job job = s->space.trials[u.trial].job;
    job.seed = whet_i_hash_u64(s->job.seed ^ whet_i_hash_u64((uint64_t)u.replicate + 1));
    job.resume = false;
    return job;
}

static whet_status run_unit(whet_ctx *ctx, search *s, whet_i_search_unit u,
                            whet_i_search_cell *cell) {
    char from[4096], to[4096];
    const whet_i_search_head *h = &s->state.head;
    const int32_t top = h->rungs - 1, passed = whet_i_search_passed(&s->state, u);
    const whet_tune_job job = job_of(s, u);
    const whet_i_search_unit before = {u.trial, passed, u.replicate};
    const bool timed = s->budget.seconds > 0;
    whet_i_tune_part part = {
        .folds = h->folds,
        .fold = u.replicate % h->replicates,
        .seed = s->job.seed,
        .repeat = u.replicate / h->replicates,
        .share = (double)h->steps[u.level] / (double)h->steps[top],
        .patience = s->budget.patience,
        .from = passed >= 0 && checkpoint_path(s, before, from, sizeof from) ? from : NULL,
        .to = u.level < top && checkpoint_path(s, u, to, sizeof to) ? to : NULL,
        .progress_done = timed ? (int64_t)s->state.spent : s->state.n_trials - 1,
        .progress_total = timed ? (int64_t)s->budget.seconds : s->budget.trials};
    const double begun = whet_i_seconds_now();
    whet_status status = whet_i_tune_part_run(ctx, &s->survey, &job, &part);
    *cell = (whet_i_search_cell){.state = WHET_I_CELL_DONE,
                                 .metric = part.metric,
                                 .loss = part.loss,
                                 .seconds = whet_i_seconds_now() - begun,
                                 .steps = part.steps,
                                 .early = part.early,
                                 .first = part.first,
                                 .last = part.last,
                                 .norm = part.norm};
    if (status != WHET_ERR_NUMERIC && status != WHET_ERR_LIMIT) return status;
    whet_i_log(ctx, WHET_LOG_INFO, "trial %" PRId64 ": %s; it is left out", u.trial,
               whet_error(ctx));
    cell->state = WHET_I_CELL_FAILED;
    cell->metric = cell->loss = NAN;
    return WHET_OK;
}

static void tell_unit(whet_ctx *ctx, const search *s, whet_i_search_unit u) {
    const whet_i_search_head *h = &s->state.head;
    const int32_t from = u.replicate < h->replicates ? 0 : h->replicates;
    const whet_i_search_mean m =
        whet_i_search_mean_of(&s->state, u.trial, u.level, from, from + h->replicates);
    const whet_i_search_trial *t = &s->space.trials[u.trial];
    char shape[64] = "";
    if (!m.whole || m.failed) return;
    if (whet_i_tune_adapter_find(t->job.adapter)->adapts)
        (void)snprintf(shape, sizeof shape, " r %" PRId64 " N %" PRId64, t->job.rank,
                       t->job.adapter == WHET_TUNE_MORE ? t->job.blocks : (int64_t)1);
    whet_i_log(ctx, WHET_LOG_INFO,
               "trial %" PRId64 " (%s%s, rate %g), %" PRId64 " of %" PRId64
               " steps%s: %s %.4f +- %.4f",
               u.trial, whet_i_search_kind_name(t->job.adapter), shape, t->job.learning_rate,
               h->steps[u.level], h->steps[h->rungs - 1], from ? ", compared" : "",
               whet_i_tune_metric_name(s->survey.metric), m.metric, m.error);
}

static whet_status note(whet_ctx *ctx, search *s, whet_i_search_unit u,
                        const whet_i_search_cell *cell) {
    WHET_TRY(whet_i_search_lock(ctx, &s->journal, &s->state));
    const whet_status status = whet_i_search_note(ctx, &s->journal, &s->state, u, cell);
    whet_i_search_unlock(&s->journal);
    return status;
}

static whet_status work(whet_ctx *ctx, search *s, whet_i_search_unit u) {
    whet_i_search_cell cell;
    const whet_i_search_unit before = {u.trial, whet_i_search_passed(&s->state, u), u.replicate};
    WHET_TRY(run_unit(ctx, s, u, &cell));
    WHET_TRY(note(ctx, s, u, &cell));
    if (before.level >= 0) remove_checkpoint(s, before);
    tell_unit(ctx, s, u);
    return WHET_OK;
}

/* ---- the winner ------------------------------------------------------------------------------- */

/* Whether a run ended over its checkpoint: what an earlier winner left, damage, another version, or a file of
 * it that is gone. Not where it cannot be written: what is there is good then. */
static bool is_of_checkpoint(const whet_ctx *ctx, whet_status status) {
    return status == WHET_ERR_DATA || status == WHET_ERR_FORMAT || status == WHET_ERR_SHAPE ||
           status == WHET_ERR_UNSUPPORTED ||
           (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT);
}

static whet_status train(whet_ctx *ctx, search *s, whet_i_search_unit u) {
    whet_tune_job job = s->space.trials[u.trial].job;
    whet_i_search_cell cell = {.state = WHET_I_CELL_DONE, .metric = NAN, .loss = NAN};
    char *path;
    struct stat info;
    const double begun = whet_i_seconds_now();
    WHET_TRY(whet_i_join_path(ctx, s->job.output, WHET_I_TUNE_STATE_FILE, &path));
    job.resume = stat(path, &info) == 0;
    whet_i_free(ctx, path);
    job.force = !job.resume;
    if (!job.valid) job.metric = WHET_TUNE_METRIC_AUTO; /* there, it judged the trials alone */
    whet_status status = whet_tune_run(ctx, &job, NULL);
    if (job.resume && is_of_checkpoint(ctx, status)) {
        whet_i_log(ctx, WHET_LOG_WARN, "%s; the winner is trained from its first step",
                   whet_error(ctx));
        job.resume = false;
        job.force = true;
        status = whet_tune_run(ctx, &job, NULL);
    }
    WHET_TRY(status);
    cell.seconds = whet_i_seconds_now() - begun;
    cell.steps = s->state.head.final_steps;
    return note(ctx, s, u, &cell);
}

/* ---- one after the other ---------------------------------------------------------------------- */

/* With the journal locked: what is next, claimed. */
static whet_status choose(whet_ctx *ctx, search *s, whet_i_search_unit *u,
                          whet_i_search_step *step) {
    const whet_i_search_trial *last;
    WHET_TRY(whet_i_search_draw(ctx, &s->space, s->state.n_trials, &last));
    s->rules = (whet_i_search_rules){.state = &s->state,
                                     .trials = s->space.trials,
                                     .lower = whet_i_tune_lower_is_better(s->survey.metric),
                                     .most = s->budget.trials,
                                     .seconds = s->budget.seconds,
                                     .journal = &s->journal};
    *step = whet_i_search_next(&s->rules, u);
    if (*step == WHET_I_SEARCH_OVER) {
        const int64_t winner = whet_i_search_winner(&s->rules);
        s->trained = winner >= 0 &&
                     s->state.rows[winner].cell[s->state.head.rungs][0].state == WHET_I_CELL_DONE;
    }
    if (*step == WHET_I_SEARCH_WAIT || *step == WHET_I_SEARCH_OVER) return WHET_OK;
    return whet_i_search_claim(ctx, &s->journal, &s->state, *u,
                               LEASE + LEASE_FACTOR * whet_i_search_expected(&s->rules, *u));
}

static whet_status next(whet_ctx *ctx, search *s, whet_i_search_unit *u, whet_i_search_step *step) {
    WHET_TRY(whet_i_search_lock(ctx, &s->journal, &s->state));
    const whet_status status = choose(ctx, s, u, step);
    whet_i_search_unlock(&s->journal);
    return status;
}

static whet_status all_units(whet_ctx *ctx, search *s) {
    for (;;) {
        whet_i_search_unit unit;
        whet_i_search_step step;
        WHET_TRY(whet_i_progress(ctx, "search", 0, 0));
        WHET_TRY(next(ctx, s, &unit, &step));
        switch (step) {
        case WHET_I_SEARCH_WORK: WHET_TRY(work(ctx, s, unit)); break;
        case WHET_I_SEARCH_TRAIN: WHET_TRY(train(ctx, s, unit)); break;
        case WHET_I_SEARCH_WAIT: (void)nanosleep(&(struct timespec){0, 200000000}, NULL); break;
        case WHET_I_SEARCH_OVER: return WHET_OK;
        }
    }
}

/* ---- begin and end ---------------------------------------------------------------------------- */

/* Seconds of a step and of what stands around the steps, by a short run of the first trial. */
static whet_status measure(whet_ctx *ctx, search *s) {
    const whet_i_search_trial *first;
    const int64_t total = s->head.steps[s->head.rungs - 1];
    WHET_TRY(whet_i_search_draw(ctx, &s->space, 0, &first));
    whet_i_tune_part part = {
        .folds = s->head.folds, .seed = s->job.seed, .share = fmin(1, MEASURED / (double)total)};
    const double begun = whet_i_seconds_now();
    WHET_TRY(whet_i_tune_part_run(ctx, &s->survey, &first->job, &part));
    s->head.step_seconds = part.seconds / (double)part.steps;
    s->head.overhead = fmax(0, whet_i_seconds_now() - begun - part.seconds);
    return WHET_OK;
}

static whet_status check_least(whet_ctx *ctx, const search *s) {
    const whet_i_search_head *h = &s->head;
    const int64_t steps = h->steps[h->rungs - 1];
    const double least =
        h->replicates * ((double)steps * h->step_seconds + h->rungs * h->overhead) +
        (double)h->final_steps * h->step_seconds + 2 * h->overhead;
    if (s->budget.seconds == 0 || s->budget.seconds >= least) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "a budget of %.4g s; expected at least %.0f s here, for one trial (%d x "
                       "%" PRId64 " steps of %.2g s) and the training of the winner; try fewer "
                       "epochs",
                       s->budget.seconds, ceil(least), (int)h->replicates, steps, h->step_seconds);
}

static whet_status open_journal(whet_ctx *ctx, search *s) {
    if (!s->job.resume) {
        WHET_TRY(measure(ctx, s));
        WHET_TRY(check_least(ctx, s));
        return whet_i_search_begin(ctx, s->job.output, &s->head, &s->journal);
    }
    WHET_TRY(whet_i_search_join(ctx, s->job.output, &s->journal));
    WHET_TRY(whet_i_search_lock(ctx, &s->journal, &s->state));
    whet_i_search_unlock(&s->journal);
    if (strcmp(s->state.head.fingerprint, s->head.fingerprint) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: the search there has other settings, data or model; expected the same; "
                       "try --force, which begins again",
                       s->job.output);
}

static whet_status write_file(whet_ctx *ctx, const search *s, const char *name,
                              const whet_i_buf *bytes) {
    char *path = NULL;
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, s->job.output, name, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, bytes->data, bytes->len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    return status;
}

/* What killed processes left; those at work have done with what is removed. */
static void sweep(const search *s) {
    char path[4096];
    const whet_i_search_head *h = &s->state.head;
    for (int64_t t = 0; t < s->state.n_trials; t++)
        for (int32_t l = 0; l < h->rungs; l++)
            for (int32_t r = 0; r < h->replicates; r++)
                remove_checkpoint(s, (whet_i_search_unit){t, l, r});
    for (int64_t w = 0; w <= s->state.last_worker; w++) {
        const whet_i_search_cell cell = {.worker = w, .until = INFINITY};
        const int n = snprintf(path, sizeof path, "%s/worker-%" PRId64, s->journal.folder, w);
        if (n > 0 && (size_t)n < sizeof path && !whet_i_search_alive(&s->journal, &cell))
            (void)remove(path);
    }
    whet_i_remove_stale(s->journal.folder);
}

static whet_status tell(whet_ctx *ctx, search *s, char **report) {
    whet_i_buf json = {0}, svg = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(
        whet_i_search_tell(ctx, &s->space, &s->rules, &s->budget, s->trained, &json, &svg));
    WHET_TRY_DONE(write_file(ctx, s, "pareto.svg", &svg));
    WHET_TRY_DONE(write_file(ctx, s, "search.json", &json));
    if (s->trained) sweep(s);
    *report = json.data;
    json = (whet_i_buf){0};
done:
    whet_i_buf_free(ctx, &svg);
    whet_i_buf_free(ctx, &json);
    return status;
}

static whet_status stages(whet_ctx *ctx, search *s, char **report) {
    WHET_TRY(check_budget(ctx, s));
    WHET_TRY(check_output(ctx, s));
    WHET_TRY(survey(ctx, s));
    WHET_TRY(open_journal(ctx, s));
    const whet_status status = all_units(ctx, s);
    if (status == WHET_ERR_CANCELLED)
        return whet_i_fail(ctx, status,
                           "interrupted in trial %" PRId64 "; %s/search holds what was done, and "
                           "--resume goes on",
                           s->state.n_trials, s->job.output);
    WHET_TRY(status);
    if (whet_i_search_winner(&s->rules) < 0)
        return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                           "none of %" PRId64
                           " trials came to its end with a number; expected one; "
                           "%s/search/journal tells of each",
                           s->state.n_trials, s->job.output);
    return tell(ctx, s, report);
}

whet_status whet_tune_search(whet_ctx *ctx, const whet_tune_job *job,
                             const whet_tune_search_opts *budget, char **report) {
    search s = {.job = WHET_TUNE_JOB_INIT,
                .budget = WHET_TUNE_SEARCH_OPTS_INIT,
                .journal = {.fd = -1, .lock = -1, .worker = -1},
                .state = {.last_worker = -1}};
    char *text = NULL;
    WHET_TRY(whet_i_opts(ctx, job, &s.job, sizeof s.job, "whet_tune_job"));
    WHET_TRY(whet_i_opts(ctx, budget, &s.budget, sizeof s.budget, "whet_tune_search_opts"));
    const whet_status status = stages(ctx, &s, &text);
    if (status == WHET_OK && report) {
        *report = text;
        text = NULL;
    }
    whet_i_free(ctx, text);
    whet_i_search_close(ctx, &s.journal);
    whet_i_search_state_free(ctx, &s.state);
    whet_i_search_space_free(ctx, &s.space);
    whet_i_tune_free(ctx, &s.survey);
    return status;
}
