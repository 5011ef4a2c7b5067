/* SPDX-License-Identifier: Apache-2.0
 * A saved label model applied to votes, block by block: votes of any length take little memory.
 * Legend: n rows, m rules, k classes. */
#include <inttypes.h>

#include "io/io_i.h"
#include "label/labels_writer.h"
#include "label/vote_blocks.h"

enum { WRITE_ROWS = 1 << 16 };

/* ---- predicting ------------------------------------------------------------------------------ */

typedef struct predicting {
    const whet_label_predict_job *job;
    whet_i_vote_blocks *blocks;
    whet_i_labels_writer writer;
} predicting;

static bool same_names(const whet_names *a, const whet_names *b) {
    if (whet_names_count(a) != whet_names_count(b)) return false;
    for (int64_t c = 0; c < whet_names_count(a); c++)
        if (!whet_str_equal(whet_names_get(a, c), whet_names_get(b, c))) return false;
    return true;
}

/* The names to write: those of the model; a list given must be the same, or stands in where the model
 * has none. */
static whet_status settle_classes(whet_ctx *ctx, const whet_label_predict_job *job,
                                  whet_label_predict_result *r, int64_t k) {
    whet_names *listed;
    if (!job->classes) return WHET_OK;
    WHET_TRY(whet_names_read(ctx, job->classes, &listed));
    whet_status status = WHET_OK;
    if (r->classes ? !same_names(listed, r->classes) : whet_names_count(listed) != k)
        status = whet_i_fail(ctx, WHET_ERR_DATA,
                             "%s lists other classes than %s has; expected its %" PRId64
                             ", in its order",
                             job->classes, job->model, k);
    if (status == WHET_OK && !r->classes) {
        r->classes = listed;
        return WHET_OK;
    }
    whet_names_destroy(ctx, listed);
    return status;
}

static whet_status match_rules(whet_ctx *ctx, const whet_label_predict_job *job,
                               whet_label_model *model) {
    whet_names *names;
    if (!job->rules) return WHET_OK;
    WHET_TRY(whet_i_rule_names_read(ctx, job->rules, &names));
    const whet_status status = whet_label_model_match_rules(ctx, model, names);
    whet_names_destroy(ctx, names);
    return status == WHET_OK ? status
                             : whet_i_fail_at(ctx, status, "%s for %s", job->rules, job->model);
}

static whet_status open_votes(whet_ctx *ctx, const whet_label_predict_job *job,
                              const whet_label_model_info *info, whet_i_vote_blocks **out) {
    whet_votes_read_opts reading = WHET_VOTES_READ_OPTS_INIT;
    reading.rows = job->rows;
    reading.rules = info->m;
    reading.classes = info->k;
    const whet_status status = whet_i_vote_blocks_open(ctx, job->votes, &reading, out);
    if (status != WHET_ERR_SHAPE && status != WHET_ERR_DATA) return status;
    return whet_i_fail_at(ctx, status, "votes for %s", job->model);
}

static whet_status predict_block(whet_ctx *ctx, predicting *p, whet_label_predict_result *r,
                                 const whet_votes *block, int64_t first) {
    for (int64_t at = 0; at < block->n; at += p->writer.most) {
        const int64_t left = block->n - at;
        WHET_TRY(whet_i_progress(ctx, "predicting", first + at, r->rows));
        WHET_TRY(whet_i_labels_writer_rows(ctx, &p->writer, r->model, block, at,
                                           left < p->writer.most ? left : p->writer.most,
                                           first + at, &r->covered));
    }
    return WHET_OK;
}

static whet_status predict(whet_ctx *ctx, predicting *p, whet_label_predict_result *r) {
    const whet_label_predict_job *job = p->job;
    whet_label_model_info info;
    WHET_TRY(whet_label_model_load(ctx, job->model, &r->model, &r->classes));
    whet_label_model_get_info(r->model, &info);
    WHET_TRY(settle_classes(ctx, job, r, info.k));
    WHET_TRY(match_rules(ctx, job, r->model));
    WHET_TRY(open_votes(ctx, job, &info, &p->blocks));
    r->rows = whet_i_vote_blocks_shape(p->blocks)->n;
    const int64_t most = whet_i_vote_blocks_most(p->blocks);
    p->writer = (whet_i_labels_writer){.probs = job->probs,
                                       .predictions = job->predictions,
                                       .ties = job->ties,
                                       .classes = r->classes,
                                       .most = most < WRITE_ROWS ? most : WRITE_ROWS};
    WHET_TRY(whet_i_labels_writer_open(ctx, &p->writer, job->force, r->rows, info.m, info.k));
    for (;;) {
        whet_votes block;
        int64_t first;
        WHET_TRY(whet_i_vote_blocks_next(ctx, p->blocks, &block, &first));
        if (block.n == 0) break;
        WHET_TRY(predict_block(ctx, p, r, &block, first));
    }
    WHET_TRY(whet_i_progress(ctx, "predicting", r->rows, r->rows));
    return whet_i_labels_writer_commit(ctx, &p->writer);
}

void whet_label_predict_result_destroy(whet_ctx *ctx, whet_label_predict_result *result) {
    whet_label_model_destroy(ctx, result->model);
    whet_names_destroy(ctx, result->classes);
    *result = (whet_label_predict_result){0};
}

whet_status whet_label_predict_run(whet_ctx *ctx, const whet_label_predict_job *job,
                                   whet_label_predict_result *out) {
    whet_label_predict_job known = WHET_LABEL_PREDICT_JOB_INIT;
    whet_label_predict_result result = {0};
    WHET_TRY(whet_i_opts(ctx, job, &known, sizeof known, "whet_label_predict_job"));
    if (!known.model || !known.votes)
        return whet_i_fail(ctx, WHET_ERR_ARG, "expected a model and votes to read");
    predicting p = {.job = &known};
    const whet_status status = predict(ctx, &p, &result);
    whet_i_labels_writer_abort(ctx, &p.writer);
    whet_i_vote_blocks_close(ctx, p.blocks);
    if (status == WHET_OK)
        *out = result;
    else
        whet_label_predict_result_destroy(ctx, &result);
    return status;
}
