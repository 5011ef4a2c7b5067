/* SPDX-License-Identifier: Apache-2.0
 * The main job with a tuned encoder on rows in memory, for comparisons with other methods: candidates, tuning
 * and prediction as of whet_adapt_run; of its files the encoder's alone. */
#include <math.h>
#include <stdio.h>

#include "adapt/adapt_i.h"
#include "adapt/tuning.h"

static whet_status predict(whet_ctx *ctx, const whet_i_run *run, const whet_i_run_rows *rows,
                           double *probs) {
    if (run->tuning.kept) return whet_i_tuning_predict(ctx, run, rows, probs);
    return whet_adapt_fit_predict(ctx, run->fit, whet_adapt_fit_chosen(run->fit), rows->features,
                                  rows->n, probs);
}

/* Tuning is judged in fewer folds than candidates are, of fewer labels each: the share of the log loss that
 * it leaves there carries over, its size does not. */
static void tell(const whet_i_run *run, whet_i_tuned_answer *a) {
    const whet_i_tuning *t = &run->tuning;
    const whet_candidate_info *frozen = whet_adapt_fit_info(run->fit, t->teacher);
    a->log_loss = frozen->log_loss;
    if (t->kept && t->folds) a->log_loss *= t->tried[t->best].log_loss / t->log_loss_without;
    (void)snprintf(a->words, sizeof a->words, "%s: %.120s", t->kept ? t->info.name : frozen->name,
                   t->kept ? t->words : frozen->settings);
}

whet_status whet_i_adapt_tuned(whet_ctx *ctx, const whet_i_tuned_job *job,
                               whet_i_tuned_answer *answer) {
    const whet_adapt_input *pool = job->pool;
    whet_adapt_job options = WHET_ADAPT_JOB_INIT;
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    whet_i_run run = {.job = &options, .encoder = job->encoder, .d = pool->d};
    int32_t *labels = NULL;
    whet_status status = WHET_OK;
    options.model = job->model;
    options.dtype = job->dtype;
    options.tune_exact = job->tune_exact;
    options.adapter = WHET_ADAPTER_AUTO;
    options.seed = opts.seed = job->seed;
    run.begun = whet_i_seconds_now();
    WHET_TRY_DONE(whet_i_alloc(ctx, pool->n, &labels));
    memcpy(labels, pool->labels, (size_t)pool->n * sizeof *labels);
    WHET_TRY_DONE(whet_i_copy_names(ctx, pool->classes, &run.classes));
    run.train = (whet_i_run_rows){.path = "the pool",
                                  .n = pool->n,
                                  .texts = job->texts,
                                  .labels = labels,
                                  .features = pool->features};
    run.test = (whet_i_run_rows){.path = "the test rows",
                                 .n = job->n_test,
                                 .texts = job->test_texts,
                                 .features = job->test_features};
    WHET_TRY_DONE(whet_i_group_texts(ctx, job->texts, pool->n, &run.groups));
    opts.groups = run.groups;
    WHET_TRY_DONE(whet_adapt_train(ctx, pool, &opts, &run.fit));
    WHET_TRY_DONE(whet_i_run_tuning(ctx, &run, job->folder));
    WHET_TRY_DONE(predict(ctx, &run, &run.train, answer->pool));
    WHET_TRY_DONE(predict(ctx, &run, &run.test, answer->test));
    tell(&run, answer);
done:
    whet_i_tuning_free(ctx, &run.tuning);
    whet_adapt_fit_destroy(ctx, run.fit);
    whet_names_destroy(ctx, run.classes);
    whet_i_free(ctx, run.groups);
    whet_i_free(ctx, labels);
    return status;
}
