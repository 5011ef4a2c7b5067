/* SPDX-License-Identifier: Apache-2.0
 * Parts of a run, which a search is made of: model and tables are read once (the survey), and each part
 * trains on some of the rows for some of its steps. Folds are drawn beforehand from the labels alone,
 * stratified by class, so that every candidate meets the same ones.
 * Legend: as tune_i.h. */
#include "tune/tune_i.h"

/* ---- the survey ------------------------------------------------------------------------------- */

whet_status whet_i_tune_survey(whet_ctx *ctx, const whet_tune_job *job, whet_i_tune *survey) {
    survey->survey = true;
    survey->job = *job;
    WHET_TRY(whet_i_tune_open(ctx, survey));
    WHET_TRY(whet_i_tune_record(ctx, survey));
    whet_i_tune_make_fingerprint(survey);
    whet_i_weight_files_forget(&survey->backbone.files);
    return WHET_OK;
}

/* What a recording made, so that another one can be made. */
static void forget_recording(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_graph_destroy(ctx, run->graph);
    whet_i_params_destroy(ctx, run->params);
    run->graph = NULL;
    run->params = NULL;
    whet_i_adapter_config_free(ctx, &run->config);
    run->config = (whet_i_adapter_config){0};
    run->n_matched = run->new_tensors = 0;
}

whet_status whet_i_tune_count(whet_ctx *ctx, whet_i_tune *survey, const whet_tune_job *job,
                              int64_t *count) {
    const whet_tune_job kept = survey->job;
    int64_t sum = 0;
    forget_recording(ctx, survey);
    survey->job = *job;
    whet_i_tune_fill_defaults(&survey->job);
    const whet_status status = whet_i_tune_record(ctx, survey);
    for (int64_t i = 0; status == WHET_OK && i < survey->params->n; i++) {
        const whet_i_param *p = &survey->params->items[i];
        /* A pooler that the file lacks is new, as the head is. */
        const bool known = p->source.data || whet_i_tune_is_adapter(p->name);
        if (p->trainable && known && !whet_i_backbone_is_head(&survey->backbone, p->name))
            sum += p->count;
    }
    survey->job = kept;
    if (status == WHET_OK) *count = sum;
    return status;
}

/* ---- rows of a part --------------------------------------------------------------------------- */

static whet_status take_tokens(whet_ctx *ctx, const whet_token_rows *from, const int64_t *which,
                               int64_t n, int64_t texts, whet_token_rows *out) {
    int64_t count, at = 0;
    WHET_TRY(whet_i_mul(ctx, n, texts, &count));
    WHET_TRY(whet_i_alloc(ctx, count + 1, &out->start));
    out->n_rows = count;
    out->start[0] = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = texts * which[i / texts] + i % texts;
        out->start[i + 1] = out->start[i] + from->start[row + 1] - from->start[row];
    }
    WHET_TRY(whet_i_alloc(ctx, out->start[count], &out->ids));
    if (from->types) WHET_TRY(whet_i_alloc(ctx, out->start[count], &out->types));
    for (int64_t i = 0; i < count; i++, at = out->start[i]) {
        const int64_t first = from->start[texts * which[i / texts] + i % texts];
        const size_t length = (size_t)(out->start[i + 1] - at);
        memcpy(out->ids + at, from->ids + first, length * sizeof *out->ids);
        if (from->types) memcpy(out->types + at, from->types + first, length);
    }
    return WHET_OK;
}

/* out[i] = from[which[i]], of elements of `size` bytes; from NULL gives NULL. */
static whet_status take(whet_ctx *ctx, const void *from, const int64_t *which, int64_t n,
                        size_t size, void *out) {
    char *made = NULL;
    if (!from) return WHET_OK;
    WHET_TRY(whet_i_alloc_(ctx, n, size, false, &made));
    for (int64_t i = 0; i < n; i++)
        memcpy(made + (size_t)i * size, (const char *)from + (size_t)which[i] * size, size);
    memcpy(out, &made, sizeof made);
    return WHET_OK;
}

/* Rows which[0..n) of `from`, whose texts they are views of; what is left on failure is freed with the
 * run. */
static whet_status take_rows(whet_ctx *ctx, const whet_i_tune *run, const whet_i_tune_rows *from,
                             const int64_t *which, int64_t n, whet_i_tune_rows *out) {
    out->path = from->path;
    out->n = n;
    WHET_TRY(take(ctx, from->texts, which, n, sizeof *from->texts, &out->texts));
    WHET_TRY(take(ctx, from->seconds, which, n, sizeof *from->seconds, &out->seconds));
    WHET_TRY(take(ctx, from->lengths, which, n, sizeof *from->lengths, &out->lengths));
    WHET_TRY(take(ctx, from->labels, which, n, sizeof *from->labels, &out->labels));
    WHET_TRY(take(ctx, from->targets, which, n, sizeof *from->targets, &out->targets));
    WHET_TRY(take(ctx, from->probs, which, n, (size_t)run->k * sizeof *from->probs, &out->probs));
    WHET_TRY(take(ctx, from->asked, which, n, sizeof *from->asked, &out->asked));
    for (int64_t i = 0; out->asked && i < n; i++) out->n_asked += out->lengths[i] - out->asked[i];
    return take_tokens(ctx, &from->tokens, which, n, whet_i_tune_texts(run), &out->tokens);
}

/* alike [n], of whet_i_alike: rows with the same texts. */
static whet_status find_copies(whet_ctx *ctx, const whet_i_tune_rows *rows, int64_t *alike) {
    uint64_t *hash;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &hash));
    for (int64_t i = 0; i < rows->n; i++) {
        hash[i] = whet_i_hash_bytes(rows->texts[i].ptr, rows->texts[i].len);
        if (rows->seconds)
            hash[i] = whet_i_hash_u64(hash[i]) +
                      whet_i_hash_bytes(rows->seconds[i].ptr, rows->seconds[i].len);
    }
    const whet_status status = whet_i_alike(ctx, hash, (int64_t)sizeof *hash, NULL, rows->n, alike);
    whet_i_free(ctx, hash);
    return status;
}

whet_status whet_i_tune_folds(whet_ctx *ctx, const whet_i_tune *survey,
                              const whet_i_tune_part *part, int32_t *fold) {
    const whet_i_tune_rows *rows = &survey->train;
    whet_status status = WHET_OK;
    int32_t *same = NULL;
    int64_t *alike = NULL, differ = 0;
    WHET_TRY_DONE(whet_i_alloc(ctx, rows->n, &alike));
    WHET_TRY_DONE(find_copies(ctx, rows, alike));
    for (int64_t i = 0; i < rows->n; i++) differ += alike[i] == i;
    if (!rows->labels) WHET_TRY_DONE(whet_i_calloc(ctx, rows->n, &same));
    WHET_TRY_DONE(whet_i_stratified_folds(ctx, rows->labels ? rows->labels : same,
                                          differ < part->folds ? NULL : alike, rows->n,
                                          rows->labels ? survey->k : 1, (int32_t)part->folds,
                                          part->seed, (uint64_t)part->repeat, fold));
done:
    whet_i_free(ctx, alike);
    whet_i_free(ctx, same);
    return status;
}

static whet_status choose_rows(whet_ctx *ctx, const whet_i_tune *survey, whet_i_tune *run) {
    const whet_i_tune_part *part = run->part;
    const int64_t n = survey->train.n, most = n > survey->valid.n ? n : survey->valid.n;
    int32_t *fold = NULL;
    int64_t *which = NULL, kept = 0, held = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, most, &which));
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &fold));
    if (part->folds) WHET_TRY_DONE(whet_i_tune_folds(ctx, survey, part, fold));
    for (int64_t i = 0; i < n; i++)
        if (!part->folds || fold[i] != part->fold) which[kept++] = i;
    WHET_TRY_DONE(take_rows(ctx, run, &survey->train, which, kept, &run->train));
    for (int64_t i = 0; part->folds && i < n; i++)
        if (fold[i] == part->fold) which[held++] = i;
    for (int64_t i = 0; !part->folds && i < survey->valid.n; i++) which[held++] = i;
    status = take_rows(ctx, run, part->folds ? &survey->train : &survey->valid, which, held,
                       &run->valid);
done:
    whet_i_free(ctx, fold);
    whet_i_free(ctx, which);
    return status;
}

/* ---- the part --------------------------------------------------------------------------------- */

/* What the survey keeps is not the part's to release. */
static void give_back(whet_ctx *ctx, whet_i_tune *run) {
    run->backbone = (whet_i_backbone){0};
    run->classes = run->head.names = NULL;
    whet_i_tune_free(ctx, run);
}

static whet_status train_part(whet_ctx *ctx, const whet_i_tune *survey, whet_i_tune *run) {
    whet_i_tune_fill_defaults(&run->job);
    WHET_TRY(whet_i_tune_check_numbers(ctx, &run->job));
    whet_i_backbone_set_dropout(&run->backbone, run->job.dropout);
    WHET_TRY(choose_rows(ctx, survey, run));
    WHET_TRY(whet_i_tune_build(ctx, run));
    whet_i_tune_make_fingerprint(run);
    return whet_i_tune_train_part(ctx, run);
}

whet_status whet_i_tune_part_run(whet_ctx *ctx, const whet_i_tune *survey, const whet_tune_job *job,
                                 whet_i_tune_part *part) {
    whet_i_tune run = {.job = *job,
                       .survey = true,
                       .part = part,
                       .kind = survey->kind,
                       .regression = survey->regression,
                       .metric = survey->metric,
                       .classes = survey->classes,
                       .head = survey->head,
                       .k = survey->k,
                       .costs = survey->costs,
                       .mean_cost = survey->mean_cost,
                       .target_scale = survey->target_scale,
                       .backbone = survey->backbone};
    memcpy(run.fingerprint, survey->fingerprint, sizeof run.fingerprint);
    const whet_status status = train_part(ctx, survey, &run);
    give_back(ctx, &run);
    return status;
}
