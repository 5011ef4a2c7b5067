/* SPDX-License-Identifier: Apache-2.0
 * TF-IDF beside an encoder: words tell topics and names that the encoder has blurred, but by themselves they
 * do worse than it does. Where logistic regressions on the labels, cross-fitted, lose less with both, the
 * features are both.
 * Legend: n rows, dm and dw columns of meaning (the encoder) and of words (TF-IDF). */
#include <math.h>

#include "adapt/adapt_i.h"
#include "adapt/pipeline_i.h"
#include "label/label_i.h"

enum { BLOCK = 16384 }; /* texts whose rows are held twice */

/* ---- side by side ------------------------------------------------------------------------------- */

static bool is_zero(const float *row, int64_t d) {
    for (int64_t j = 0; j < d; j++)
        if (row[j] < 0 || row[j] > 0) return false;
    return true;
}

void whet_i_join_words(const float *meaning, const float *words, int64_t n, int64_t dm, int64_t dw,
                       double share, float *out) {
    for (int64_t i = 0; i < n; i++) {
        const bool known = !is_zero(words + i * dw, dw);
        const float a = (float)sqrt(known ? 1 - share : 1), b = (float)sqrt(known ? share : 0);
        float *row = out + i * (dm + dw);
        for (int64_t j = 0; j < dm; j++) row[j] = a * meaning[i * dm + j];
        for (int64_t j = 0; j < dw; j++) row[dm + j] = b * words[i * dw + j];
    }
}

whet_status whet_i_embed_both(whet_ctx *ctx, const whet_i_embedder *e, const whet_str *texts,
                              int64_t n, float *out) {
    const int64_t most = n < BLOCK ? n : BLOCK;
    const int64_t dm = whet_encoder_dim(e->encoder), dw = whet_tfidf_dim(e->tfidf);
    float *meaning = NULL, *words = NULL;
    int64_t cells, word_cells;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, most, dm, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, most, dw, &word_cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &meaning));
    WHET_TRY_DONE(whet_i_alloc(ctx, word_cells, &words));
    for (int64_t first = 0; first < n; first += most) {
        const int64_t some = n - first < most ? n - first : most;
        WHET_TRY_DONE(whet_i_embed_meaning(ctx, e, texts + first, some, meaning));
        WHET_TRY_DONE(whet_tfidf_transform(ctx, e->tfidf, texts + first, some, words));
        whet_i_join_words(meaning, words, some, dm, dw, e->words, out + first * (dm + dw));
    }
done:
    whet_i_free(ctx, meaning);
    whet_i_free(ctx, words);
    return status;
}

/* ---- whether ------------------------------------------------------------------------------------ */

/* Losses with the encoder's features alone and with both. */
static whet_status weigh(whet_ctx *ctx, const whet_i_run *run, int64_t dm, int64_t dw,
                         double *alone, double *both) {
    const whet_i_run_rows *r = &run->train;
    whet_i_few_rows few = {0};
    float *words = NULL, *joined = NULL;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_few_rows_take(ctx, r->made, r->n, dm, r->labels, whet_names_count(run->classes),
                                  &few));
    WHET_TRY_DONE(whet_i_alloc(ctx, few.b * dw, &words));
    WHET_TRY_DONE(whet_i_alloc(ctx, few.b * (dm + dw), &joined));
    for (int64_t i = 0; i < few.b; i++)
        memcpy(words + i * dw, r->words + few.row[i] * dw, (size_t)dw * sizeof *words);
    whet_i_join_words(few.x, words, few.b, dm, dw, WHET_I_WORDS_SHARE, joined);
    WHET_TRY_DONE(whet_i_few_rows_loss(ctx, &few, few.x, dm, alone));
    status = whet_i_few_rows_loss(ctx, &few, joined, dm + dw, both);
done:
    whet_i_free(ctx, words);
    whet_i_free(ctx, joined);
    whet_i_few_rows_free(ctx, &few);
    return status;
}

static whet_status join_rows(whet_ctx *ctx, int64_t dm, int64_t dw, whet_i_run_rows *r) {
    float *joined;
    int64_t cells;
    if (!r->made) return WHET_OK;
    WHET_TRY(whet_i_mul(ctx, r->n, dm + dw, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &joined));
    whet_i_join_words(r->made, r->words, r->n, dm, dw, WHET_I_WORDS_SHARE, joined);
    whet_i_free(ctx, r->made);
    r->features = r->made = joined;
    return WHET_OK;
}

static whet_status join_classes(whet_ctx *ctx, int64_t dm, int64_t dw, whet_i_run *run) {
    const int64_t k = whet_names_count(run->classes);
    float *words = NULL, *joined = NULL;
    whet_status status = WHET_OK;
    if (!run->class_vectors) return WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, k * dw, &words));
    WHET_TRY_DONE(whet_i_alloc(ctx, k * (dm + dw), &joined));
    WHET_TRY_DONE(whet_tfidf_transform(ctx, run->tfidf, run->class_texts, k, words));
    whet_i_join_words(run->class_vectors, words, k, dm, dw, WHET_I_WORDS_SHARE, joined);
    whet_i_free(ctx, run->class_vectors);
    run->class_vectors = joined;
    joined = NULL;
done:
    whet_i_free(ctx, words);
    whet_i_free(ctx, joined);
    return status;
}

static whet_status add(whet_ctx *ctx, int64_t dm, int64_t dw, whet_i_run *run) {
    WHET_TRY(join_rows(ctx, dm, dw, &run->train));
    WHET_TRY(join_rows(ctx, dm, dw, &run->test));
    WHET_TRY(join_classes(ctx, dm, dw, run));
    run->source = "encoder+tfidf";
    run->d = dm + dw;
    run->words = WHET_I_WORDS_SHARE;
    return WHET_OK;
}

whet_status whet_i_run_add_words(whet_ctx *ctx, whet_i_run *run) {
    double alone = 0, both = INFINITY;
    whet_status status = WHET_OK;
    if (!run->train.words) return WHET_OK;
    const int64_t dm = run->d, dw = whet_tfidf_dim(run->tfidf);
    if (whet_i_few_rows_tell(run->train.labels, run->train.n))
        status = weigh(ctx, run, dm, dw, &alone, &both);
    if (status == WHET_OK && both < alone) {
        status = add(ctx, dm, dw, run);
    } else if (status == WHET_OK) {
        whet_tfidf_destroy(ctx, run->tfidf);
        run->tfidf = NULL;
    }
    whet_i_free(ctx, run->train.words);
    whet_i_free(ctx, run->test.words);
    run->train.words = run->test.words = NULL;
    return status;
}
