/* SPDX-License-Identifier: Apache-2.0
 * The main job with a tuned encoder as a method of the AutoWS comparison: sets of texts, on the encoder's
 * feature map. It reads texts where the other methods read features. */
#include <math.h>
#include <stdio.h>

#include "adapt/adapt_i.h"
#include "bench/autows_i.h"

static whet_status answer_in(whet_ctx *ctx, const whet_i_autows_task *task, const char *folder,
                             whet_i_autows_answer *out) {
    const whet_adapt_input pool = {.features = task->x,
                                   .n = task->n,
                                   .d = task->d,
                                   .labels = task->labels,
                                   .classes = task->classes,
                                   .class_vectors = task->class_vectors};
    const whet_i_tuned_job job = {.pool = &pool,
                                  .texts = task->texts,
                                  .test_texts = task->test_texts,
                                  .test_features = task->test,
                                  .n_test = task->n_test,
                                  .model = task->model,
                                  .encoder = task->encoder,
                                  .folder = folder,
                                  .dtype = task->dtype,
                                  .tune_exact = task->tune_exact,
                                  .seed = task->seed};
    whet_i_tuned_answer answer = {.pool = out->pool, .test = out->test};
    WHET_TRY(whet_i_adapt_tuned(ctx, &job, &answer));
    out->crossfit = answer.log_loss;
    (void)snprintf(out->words, sizeof out->words, "%s", answer.words);
    for (int64_t i = 0; i < task->n; i++) out->pool_covered[i] = true;
    for (int64_t i = 0; i < task->n_test; i++) out->test_covered[i] = true;
    return WHET_OK;
}

/* The tuned encoder is written to a folder that goes away. */
whet_status whet_i_autows_by_tuning(whet_ctx *ctx, const whet_i_autows_method *self,
                                    const whet_i_autows_task *task, whet_i_autows_answer *out) {
    char *path;
    whet_out_dir *dir = NULL;
    (void)self;
    WHET_TRY(whet_i_join_path(ctx, task->cache, "tuned", &path));
    whet_status status = whet_out_dir_open(ctx, path, true, &dir);
    if (status == WHET_OK) status = answer_in(ctx, task, whet_out_dir_path(dir), out);
    whet_out_dir_abort(ctx, dir);
    whet_i_free(ctx, path);
    return status;
}
