/* SPDX-License-Identifier: Apache-2.0
 * Training rows that another module holds in memory, and texts of which it asks what comes out. */
#include "tune/tune_i.h"

static whet_status copy_classes(whet_ctx *ctx, whet_i_tune *run) {
    const whet_names *from = run->given->classes;
    run->k = whet_names_count(from);
    WHET_TRY(whet_names_create(ctx, &run->classes));
    for (int64_t c = 0; c < run->k; c++)
        WHET_TRY(whet_names_add(ctx, run->classes, whet_names_get(from, c), NULL));
    return WHET_OK;
}

/* Without probabilities the rows with a label are trained on. */
static whet_status take_labels(whet_ctx *ctx, const whet_i_tune *run, whet_i_tune_rows *rows,
                               whet_i_given_labels *taken) {
    const whet_i_tune_given *g = run->given;
    WHET_TRY(whet_i_alloc(ctx, g->n, &taken->items));
    WHET_TRY(whet_i_alloc(ctx, g->n, &rows->labels));
    for (int64_t i = 0; i < g->n; i++) {
        if (g->labels[i] < 0) continue;
        rows->labels[taken->n] = g->labels[i];
        taken->items[taken->n++] = (whet_i_given_label){.row = i};
    }
    if (taken->n) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no row has a label; expected some", rows->path);
}

static whet_status view_texts(whet_ctx *ctx, const whet_i_tune *run,
                              const whet_i_given_labels *taken, whet_i_tune_rows *rows) {
    rows->n = taken->n;
    rows->unlabelled = run->given->n - taken->n;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    for (int64_t i = 0; i < rows->n; i++) rows->texts[i] = run->given->texts[taken->items[i].row];
    return whet_i_tune_encode(ctx, run, rows);
}

static whet_status view_asked(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_tune_rows *rows = &run->valid;
    const whet_i_tune_given *g = run->given;
    if (g->n_asked == 0) return WHET_OK;
    rows->path = "texts to predict";
    rows->n = g->n_asked;
    WHET_TRY(whet_i_alloc(ctx, rows->n, &rows->texts));
    memcpy(rows->texts, g->asked, (size_t)rows->n * sizeof *rows->texts);
    return whet_i_tune_encode(ctx, run, rows);
}

whet_status whet_i_tune_read_given(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_given_labels taken = {0};
    whet_i_tune_rows *rows = &run->train;
    whet_status status = WHET_OK;
    rows->path = run->job.train;
    run->kind = whet_i_tune_kind_of(run->job.loss ? run->job.loss : WHET_TUNE_CROSS_ENTROPY);
    WHET_TRY_DONE(copy_classes(ctx, run));
    if (run->given->probs)
        WHET_TRY_DONE(whet_i_tune_read_probabilities(ctx, run, rows, &taken));
    else
        WHET_TRY_DONE(take_labels(ctx, run, rows, &taken));
    WHET_TRY_DONE(view_texts(ctx, run, &taken, rows));
    status = view_asked(ctx, run);
done:
    whet_i_free(ctx, taken.items);
    return status;
}
