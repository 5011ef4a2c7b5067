/* SPDX-License-Identifier: Apache-2.0
 * Stratified folds of repeats as splits into what is trained and what is held out. */
#include "label/label_i.h"

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

whet_status whet_i_splits_make(whet_ctx *ctx, const int32_t *y, const int64_t *alike, int64_t b,
                               int64_t k, int32_t repeats, int32_t folds, uint64_t seed,
                               whet_i_splits *out) {
    whet_status status = WHET_OK;
    whet_i_splits s = {.b = b, .repeats = repeats};
    int64_t cells, cases, differ = 0;
    for (int64_t i = 0; i < b; i++) differ += !alike || alike[i] == i;
    s.folds = differ < folds ? differ : folds;
    if (differ < 2) s.repeats = s.folds = 0;
    s.n = s.repeats * s.folds;
    WHET_TRY_DONE(whet_i_mul(ctx, s.n, b, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, s.repeats, b, &cases));
    WHET_TRY_DONE(whet_i_alloc(ctx, s.n, &s.split));
    WHET_TRY_DONE(whet_i_alloc(ctx, cases, &s.fold));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &s.members));
    for (int64_t r = 0; r < s.repeats; r++)
        WHET_TRY_DONE(whet_i_stratified_folds(ctx, y, alike, b, k, (int32_t)s.folds, seed,
                                              (uint64_t)r, s.fold + r * b));
    for (int64_t at = 0; at < s.n; at++) list_members(&s, at, s.members + at * b);
    *out = s;
    s = (whet_i_splits){0};
done:
    whet_i_splits_free(ctx, &s);
    return status;
}
