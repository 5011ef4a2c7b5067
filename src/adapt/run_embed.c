/* SPDX-License-Identifier: Apache-2.0
 * Features of the rows: given, or embedded by the pretrained encoder, or TF-IDF when there is none;
 * and of the class names, when the names say something to the encoder. */
#include <inttypes.h>

#include "adapt/pipeline_i.h"

/* Cut texts are told; of fewer than one in so many, as a note. */
enum { FEW = 20 };

void whet_i_warn_of_truncated(whet_ctx *ctx, const char *path, const whet_encoder *encoder,
                              int64_t truncated, int64_t n) {
    if (truncated)
        whet_i_log(ctx, truncated * FEW > n ? WHET_LOG_WARN : WHET_LOG_INFO,
                   "%s: %" PRId64 " of %" PRId64 " texts %s longer than %" PRId64
                   " tokens; their ends are not read",
                   path, truncated, n, truncated == 1 ? "is" : "are",
                   whet_encoder_max_length(encoder));
}

whet_status whet_i_embed_meaning(whet_ctx *ctx, const whet_i_embedder *embedder,
                                 const whet_str *texts, int64_t n, float *out) {
    int64_t truncated;
    WHET_TRY(whet_encoder_embed_counted(ctx, embedder->encoder, texts, n, out, &truncated));
    if (embedder->truncated) *embedder->truncated += truncated;
    return WHET_OK;
}

whet_status whet_i_embed_texts(whet_ctx *ctx, const whet_i_embedder *embedder,
                               const whet_str *texts, int64_t n, float *out) {
    if (!embedder->tfidf) return whet_i_embed_meaning(ctx, embedder, texts, n, out);
    if (!embedder->encoder) return whet_tfidf_transform(ctx, embedder->tfidf, texts, n, out);
    return whet_i_embed_both(ctx, embedder, texts, n, out);
}

static whet_status embed(whet_ctx *ctx, const whet_i_run *run, const whet_str *texts, int64_t n,
                         int64_t *truncated, float **out) {
    const whet_i_embedder embedder = {.encoder = run->encoder,
                                      .tfidf = run->encoder ? NULL : run->tfidf,
                                      .d = run->d,
                                      .truncated = truncated};
    int64_t size;
    if (n == 0) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, n, run->d, &size));
    WHET_TRY(whet_i_alloc(ctx, size, out));
    return whet_i_embed_texts(ctx, &embedder, texts, n, *out);
}

static whet_status embed_rows(whet_ctx *ctx, const whet_i_run *run, whet_i_run_rows *rows) {
    int64_t truncated = 0;
    WHET_TRY(embed(ctx, run, rows->texts, rows->n, &truncated, &rows->made));
    whet_i_warn_of_truncated(ctx, rows->path, run->encoder, truncated, rows->n);
    rows->features = rows->made;
    return WHET_OK;
}

static bool is_zero(const float *row, int64_t d) {
    for (int64_t j = 0; j < d; j++)
        if (row[j] < 0 || row[j] > 0) return false;
    return true;
}

/* Names of numbers have no meaning to embed; a name of which TF-IDF knows no term has no vector,
 * and then none of them is used: a class could not be compared with the others. */
static whet_status embed_class_names(whet_ctx *ctx, whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    if (!run->class_texts_mean) return WHET_OK;
    WHET_TRY(embed(ctx, run, run->class_texts, k, NULL, &run->class_vectors));
    for (int64_t c = 0; c < k; c++) {
        if (!is_zero(run->class_vectors + c * run->d, run->d)) continue;
        whet_i_free(ctx, run->class_vectors);
        run->class_vectors = NULL;
        return WHET_OK;
    }
    return WHET_OK;
}

static whet_status load_encoder(whet_ctx *ctx, whet_i_run *run) {
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    opts.dtype = run->job->dtype;
    opts.max_length = run->job->max_length;
    opts.coarse = true;
    WHET_TRY(whet_encoder_load(ctx, run->job->model, &opts, &run->encoder));
    run->source = "encoder";
    run->fingerprint = whet_encoder_fingerprint(run->encoder);
    run->d = whet_encoder_dim(run->encoder);
    return WHET_OK;
}

/* Fitted on the training texts alone, so that test rows are embedded as later ones will be. */
static whet_status fit_tfidf(whet_ctx *ctx, whet_i_run *run) {
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    opts.seed = run->job->seed;
    whet_i_log(ctx, WHET_LOG_INFO,
               "no model is given: texts are embedded by TF-IDF, which knows words but not what "
               "they mean (--model DIR takes a pretrained encoder)");
    WHET_TRY(whet_tfidf_fit(ctx, run->train.texts, run->train.n, &opts, &run->tfidf));
    run->source = "tfidf";
    run->d = whet_tfidf_dim(run->tfidf);
    return WHET_OK;
}

static whet_status find_words(whet_ctx *ctx, const whet_i_run *run, whet_i_run_rows *rows) {
    int64_t cells;
    if (rows->n == 0) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, rows->n, whet_tfidf_dim(run->tfidf), &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &rows->words));
    return whet_tfidf_transform(ctx, run->tfidf, rows->texts, rows->n, rows->words);
}

/* TF-IDF of the same texts, for whet_i_run_add_words. Where it finds no term it is done without. */
static whet_status embed_words(whet_ctx *ctx, whet_i_run *run) {
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    if (!run->encoder || run->job->no_words) return WHET_OK;
    opts.seed = run->job->seed;
    const whet_status status =
        whet_tfidf_fit(ctx, run->train.texts, run->train.n, &opts, &run->tfidf);
    if (status == WHET_ERR_DATA) return WHET_OK;
    WHET_TRY(status);
    WHET_TRY(find_words(ctx, run, &run->train));
    return find_words(ctx, run, &run->test);
}

whet_status whet_i_run_embed(whet_ctx *ctx, whet_i_run *run) {
    if (run->train.array.data) {
        run->source = "file";
        run->d = run->train.array.shape[1];
        return WHET_OK;
    }
    WHET_TRY(run->job->model ? load_encoder(ctx, run) : fit_tfidf(ctx, run));
    const double begun = whet_i_seconds_now();
    WHET_TRY(embed_rows(ctx, run, &run->train));
    WHET_TRY(embed_rows(ctx, run, &run->test));
    run->texts = whet_i_seconds_now() - begun;
    WHET_TRY(embed_class_names(ctx, run));
    return embed_words(ctx, run);
}
