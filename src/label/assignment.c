/* SPDX-License-Identifier: Apache-2.0
 * The optimal assignment of columns to rows, by shortest augmenting paths with potentials.
 * Source: Kuhn 1955; in this form Jonker & Volgenant 1987, Crouse 2016. O(k^3), exact. */
#include <math.h>

#include "label/label_i.h"

/* The state of one augmentation; column 0 is where it starts from, columns count from 1. */
typedef struct search {
    int64_t k;
    const double *gain;
    double *of_row, *of_column; /* [k + 1] potentials */
    double *slack;              /* [k + 1] */
    int64_t *row, *from;        /* [k + 1] row of a column, 0 = free; column before it */
    bool *done;                 /* [k + 1] */
} search;

static void augment(search *s, int64_t row) {
    const int64_t k = s->k;
    int64_t at = 0;
    s->row[0] = row;
    for (int64_t c = 0; c <= k; c++) {
        s->slack[c] = (double)INFINITY;
        s->done[c] = false;
    }
    do {
        const int64_t r = s->row[at];
        double least = (double)INFINITY;
        int64_t next = 0;
        s->done[at] = true;
        for (int64_t c = 1; c <= k; c++) {
            if (s->done[c]) continue;
            const double cost = -s->gain[(r - 1) * k + c - 1] - s->of_row[r] - s->of_column[c];
            if (cost < s->slack[c]) {
                s->slack[c] = cost;
                s->from[c] = at;
            }
            if (next == 0 || s->slack[c] < least) {
                least = s->slack[c];
                next = c;
            }
        }
        for (int64_t c = 0; c <= k; c++) {
            if (s->done[c]) {
                s->of_row[s->row[c]] += least;
                s->of_column[c] -= least;
            } else {
                s->slack[c] -= least;
            }
        }
        at = next;
    } while (s->row[at] != 0);
    for (; at; at = s->from[at]) s->row[at] = s->row[s->from[at]];
}

whet_status whet_i_assignment(whet_ctx *ctx, const double *gain, int64_t k, int64_t *column) {
    search s = {.k = k, .gain = gain};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &s.of_row));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &s.of_column));
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 1, &s.slack));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &s.row));
    WHET_TRY_DONE(whet_i_calloc(ctx, k + 1, &s.from));
    WHET_TRY_DONE(whet_i_alloc(ctx, k + 1, &s.done));
    for (int64_t r = 1; r <= k; r++) augment(&s, r);
    for (int64_t c = 1; c <= k; c++) column[s.row[c] - 1] = c - 1;
done:
    whet_i_free(ctx, s.done);
    whet_i_free(ctx, s.from);
    whet_i_free(ctx, s.row);
    whet_i_free(ctx, s.slack);
    whet_i_free(ctx, s.of_column);
    whet_i_free(ctx, s.of_row);
    return status;
}
