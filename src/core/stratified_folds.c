/* SPDX-License-Identifier: Apache-2.0
 * Stratified folds: rows are shuffled, classes are put in random order, and the rows of one class
 * after the other are dealt round over the folds without starting anew at each class. A class with
 * one label lands in one fold: then it is unseen when that fold is held out, as it would have been
 * for a user without that label. Copies of a row are held out together: one that is learnt from tells the
 * other's class. */
#include "core/core_i.h"

whet_status whet_i_stratified_folds(whet_ctx *ctx, const int32_t *y, const int64_t *alike,
                                    int64_t b, int64_t k, int32_t folds, uint64_t seed,
                                    uint64_t stream, int32_t *fold) {
    whet_status status = WHET_OK;
    int64_t *order = NULL, *classes = NULL, *start = NULL, *sorted = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, b, &order));
    WHET_TRY_DONE(whet_i_alloc(ctx, b, &sorted));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &classes));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &start));
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, stream);
    for (int64_t i = 0; i < b; i++) order[i] = i;
    for (int64_t c = 0; c < k; c++) classes[c] = c;
    whet_i_rng_shuffle(&rng, order, b);
    whet_i_rng_shuffle(&rng, classes, k);
    for (int64_t i = 0; i < b; i++) start[y[i] + 1] += !alike || alike[i] == i;
    for (int64_t c = 0; c < k; c++) start[c + 1] += start[c];
    for (int64_t i = 0; i < b; i++)
        if (!alike || alike[order[i]] == order[i])
            sorted[start[y[order[i]]]++] = order[i]; /* start[c]: now end */
    int64_t next = whet_i_rng_below(&rng, folds);
    for (int64_t i = 0; i < k; i++) {
        const int64_t c = classes[i], first = c == 0 ? 0 : start[c - 1];
        for (int64_t at = first; at < start[c]; at++) fold[sorted[at]] = (int32_t)(next++ % folds);
    }
    for (int64_t i = 0; alike && i < b; i++) fold[i] = fold[alike[i]];
done:
    whet_i_free(ctx, order);
    whet_i_free(ctx, sorted);
    whet_i_free(ctx, classes);
    whet_i_free(ctx, start);
    return status;
}
