/* SPDX-License-Identifier: Apache-2.0
 * What a label model says of rows, written block by block: probabilities, and classes. */
#ifndef WHET_LABEL_LABELS_WRITER_H
#define WHET_LABEL_LABELS_WRITER_H

#include "io/io_i.h"
#include "label/vote_model.h"

typedef struct whet_i_labels_writer {
    const char *probs, *predictions; /* as in whet_label_fit_job, each may be NULL */
    whet_tie_policy ties;
    const whet_names *classes; /* or NULL: numbers */
    int64_t most;              /* rows at a time */
    double *block;             /* [most, k] the rows written last */
    bool *covered;             /* [most] whether they have votes */
    int32_t *hard, *cells;
    whet_npy_stream *probs_out;
    whet_out *predictions_out;
} whet_i_labels_writer;

/* The first five members are set; n rows of m rules and k classes are to come. Released by
 * whet_i_labels_writer_abort whatever happens. Errors: IO, EXISTS, NOMEM. */
WHET_CHECKED whet_status whet_i_labels_writer_open(whet_ctx *ctx, whet_i_labels_writer *w,
                                                   bool force, int64_t n, int64_t m, int64_t k);
/* Predicts and writes `count` rows of votes, at most `most`, from `first` on; that one is called `row`.
 * *covered is added to. */
WHET_CHECKED whet_status whet_i_labels_writer_rows(whet_ctx *ctx, whet_i_labels_writer *w,
                                                   const whet_label_model *model,
                                                   const whet_votes *votes, int64_t first,
                                                   int64_t count, int64_t row, int64_t *covered);
/* Both files are put in place. */
WHET_CHECKED whet_status whet_i_labels_writer_commit(whet_ctx *ctx, whet_i_labels_writer *w);
void whet_i_labels_writer_abort(whet_ctx *ctx, whet_i_labels_writer *w);

#endif
