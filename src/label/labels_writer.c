/* SPDX-License-Identifier: Apache-2.0
 * What a label model says of rows, written block by block.
 * Legend: n rows, m rules, k classes. */
#include "label/labels_writer.h"

#include <inttypes.h>

whet_status whet_i_labels_writer_open(whet_ctx *ctx, whet_i_labels_writer *w, bool force, int64_t n,
                                      int64_t m, int64_t k) {
    const int64_t shape[2] = {n, k};
    int64_t cells;
    if (w->probs)
        WHET_TRY(whet_npy_stream_open(ctx, w->probs, force, WHET_F64, 2, shape, &w->probs_out));
    if (w->predictions) {
        WHET_TRY(whet_out_open(ctx, w->predictions, force, &w->predictions_out));
        WHET_TRY(whet_out_printf(ctx, w->predictions_out, "row\tclass\tprobability\n"));
    }
    WHET_TRY(whet_i_mul(ctx, w->most, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &w->block));
    WHET_TRY(whet_i_alloc(ctx, w->most, &w->hard));
    WHET_TRY(whet_i_alloc(ctx, w->most, &w->covered));
    return whet_i_alloc(ctx, m, &w->cells);
}

static whet_status write_classes(whet_ctx *ctx, whet_i_labels_writer *w, int64_t count, int64_t k,
                                 int64_t row) {
    WHET_TRY(whet_hard_labels(ctx, w->block, count, k, w->ties, row, w->hard));
    for (int64_t i = 0; i < count; i++) {
        const int32_t c = w->hard[i];
        const double top = w->block[i * k + whet_i_argmax(w->block + i * k, k)];
        WHET_TRY(whet_out_printf(ctx, w->predictions_out, "%" PRId64 "\t", row + i));
        if (c < 0 || (!w->covered[i] && w->ties == WHET_TIE_ABSTAIN)) {
            WHET_TRY(whet_out_printf(ctx, w->predictions_out, "\t%.9g\n", top));
            continue;
        }
        if (w->classes)
            WHET_TRY(
                whet_out_printf(ctx, w->predictions_out, "%s", whet_names_get(w->classes, c).ptr));
        else
            WHET_TRY(whet_out_printf(ctx, w->predictions_out, "%d", c));
        WHET_TRY(whet_out_printf(ctx, w->predictions_out, "\t%.9g\n", w->block[i * k + c]));
    }
    return WHET_OK;
}

whet_status whet_i_labels_writer_rows(whet_ctx *ctx, whet_i_labels_writer *w,
                                      const whet_label_model *model, const whet_votes *votes,
                                      int64_t first, int64_t count, int64_t row, int64_t *covered) {
    WHET_TRY(whet_i_label_model_predict(ctx, NULL, model, votes, first, count, w->block));
    for (int64_t i = 0; i < count; i++) {
        w->covered[i] = whet_i_vote_cells(votes, first + i, w->cells) > 0;
        *covered += w->covered[i] ? 1 : 0;
    }
    if (w->probs_out) WHET_TRY(whet_npy_stream_append(ctx, w->probs_out, w->block, count));
    return w->predictions_out ? write_classes(ctx, w, count, votes->k, row) : WHET_OK;
}

whet_status whet_i_labels_writer_commit(whet_ctx *ctx, whet_i_labels_writer *w) {
    whet_npy_stream *probs = w->probs_out;
    w->probs_out = NULL;
    if (probs) WHET_TRY(whet_npy_stream_commit(ctx, probs));
    whet_out *predictions = w->predictions_out;
    w->predictions_out = NULL;
    return predictions ? whet_out_commit(ctx, predictions) : WHET_OK;
}

void whet_i_labels_writer_abort(whet_ctx *ctx, whet_i_labels_writer *w) {
    whet_npy_stream_abort(ctx, w->probs_out);
    whet_out_abort(ctx, w->predictions_out);
    whet_i_free(ctx, w->block);
    whet_i_free(ctx, w->hard);
    whet_i_free(ctx, w->covered);
    whet_i_free(ctx, w->cells);
    *w = (whet_i_labels_writer){0};
}
