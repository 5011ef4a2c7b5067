/* SPDX-License-Identifier: Apache-2.0
 * Stratified folds: rows are shuffled, classes are put in random order, and the rows of one class
 * after the other are dealt round over the folds without starting anew at each class. A class with
 * one label lands in one fold: then it is unseen when that fold is held out, as it would have been
 * for a user without that label. */
#include "label/label_i.h"

whet_status whet_i_stratified_folds(whet_ctx *ctx, const int32_t *y, int64_t b, int64_t k,
                                    int32_t folds, uint64_t seed, uint64_t stream, int32_t *fold) {
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
    for (int64_t i = 0; i < b; i++) start[y[i] + 1]++;
    for (int64_t c = 0; c < k; c++) start[c + 1] += start[c];
    for (int64_t i = 0; i < b; i++) sorted[start[y[order[i]]]++] = order[i]; /* start[c]: now end */
    int64_t next = whet_i_rng_below(&rng, folds);
    for (int64_t i = 0; i < k; i++) {
        const int64_t c = classes[i], first = c == 0 ? 0 : start[c - 1];
        for (int64_t at = first; at < start[c]; at++) fold[sorted[at]] = (int32_t)(next++ % folds);
    }
done:
    whet_i_free(ctx, order);
    whet_i_free(ctx, sorted);
    whet_i_free(ctx, classes);
    whet_i_free(ctx, start);
    return status;
}

void whet_i_splits_free(whet_ctx *ctx, whet_i_splits *splits) {
    whet_i_free(ctx, splits->split);
    whet_i_free(ctx, splits->fold);
    whet_i_free(ctx, splits->members);
    *splits = (whet_i_splits){0};
}

static void list_members(whet_i_splits *s, int64_t at, int64_t *members) {
    const int64_t repeat = at / s->folds;
    const int32_t *fold = s->fold + repeat * s->b;
    int64_t held = 0, train = 0;
    for (int64_t i = 0; i < s->b; i++)
        if (fold[i] == at % s->folds) members[held++] = i;
    for (int64_t i = 0; i < s->b; i++)
        if (fold[i] != at % s->folds) members[held + train++] = i;
    s->split[at] = (whet_i_split){repeat, train, held, members + held, members};
}

whet_status whet_i_splits_make(whet_ctx *ctx, const int32_t *y, int64_t b, int64_t k,
                               int32_t repeats, int32_t folds, uint64_t seed, whet_i_splits *out) {
    whet_status status = WHET_OK;
    whet_i_splits s = {.b = b, .repeats = repeats, .folds = b < folds ? b : folds};
    int64_t cells, cases;
    if (b < 2) s.repeats = s.folds = 0;
    s.n = s.repeats * s.folds;
    WHET_TRY_DONE(whet_i_mul(ctx, s.n, b, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, s.repeats, b, &cases));
    WHET_TRY_DONE(whet_i_alloc(ctx, s.n, &s.split));
    WHET_TRY_DONE(whet_i_alloc(ctx, cases, &s.fold));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &s.members));
    for (int64_t r = 0; r < s.repeats; r++)
        WHET_TRY_DONE(whet_i_stratified_folds(ctx, y, b, k, (int32_t)s.folds, seed, (uint64_t)r,
                                              s.fold + r * b));
    for (int64_t at = 0; at < s.n; at++) list_members(&s, at, s.members + at * b);
    *out = s;
    s = (whet_i_splits){0};
done:
    whet_i_splits_free(ctx, &s);
    return status;
}
