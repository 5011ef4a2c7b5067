/* SPDX-License-Identifier: Apache-2.0
 * Counts of votes from anybody: what loads can be added to itself, and models can be fitted to it or say
 * why not. */
#include <math.h>

#include "fuzz.h"

#include "label/vote_model.h"

enum { MOST = 8 };

static void fit(whet_ctx *ctx, const whet_vote_counts *counts, whet_label_method method) {
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    whet_label_model *model = NULL;
    opts.method = method;
    opts.epochs = 3;
    const whet_status status = whet_label_model_fit_counts(ctx, counts, &opts, &model);
    FUZZ_REQUIRE(status == WHET_OK || whet_error(ctx)[0] != '\0');
    whet_label_model_destroy(ctx, model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_vote_counts *counts = NULL;
    whet_status status =
        whet_i_vote_counts_parse(ctx, "f.npz", (const char *)data, (int64_t)size, &counts);
    if (status == WHET_OK && counts->m <= MOST && counts->k <= MOST) {
        fit(ctx, counts, WHET_LABEL_WEIGHTED);
        fit(ctx, counts, WHET_LABEL_SNORKEL);
        fit(ctx, counts, WHET_LABEL_FLYINGSQUID);
        const int64_t rows = whet_vote_counts_rows(counts);
        status = whet_vote_counts_merge(ctx, counts, counts);
        FUZZ_REQUIRE(status != WHET_OK || whet_vote_counts_rows(counts) == 2 * rows);
    }
    whet_vote_counts_destroy(ctx, counts);
    fuzz_end(ctx, status);
    return 0;
}
