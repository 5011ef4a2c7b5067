/* SPDX-License-Identifier: Apache-2.0
 * How good predictions over a label space are: squared distance and distance to the label, and
 * accuracy, over all rows and apart for labels that are observed (seen) and that are not. */
#include <math.h>

#include "space/frechet_i.h"

void whet_frechet_argmax(const whet_frechet *f, const double *probs, int64_t rows, int64_t *best) {
    for (int64_t r = 0; r < rows; r++) {
        const double *p = probs + r * f->k;
        int64_t most = 0;
        for (int64_t j = 1; j < f->k; j++)
            if (p[j] > p[most]) most = j;
        best[r] = f->observed[most];
    }
}

static double ratio(double sum, int64_t n) { return n ? sum / (double)n : (double)NAN; }

/* Points of the rows that have labels, one after another; gives their number. */
static int64_t labelled(const int64_t *predicted, const int64_t *truth, int64_t rows, int64_t *from,
                        int64_t *to) {
    int64_t n = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (truth[r] < 0) continue;
        from[n] = predicted[r];
        to[n++] = truth[r];
    }
    return n;
}

static whet_space_scores tally(const int64_t *from, const int64_t *to, int64_t n,
                               const double *distance, const bool *observed) {
    double squares = 0, sum = 0;
    int64_t right[2] = {0}, rows[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        squares += distance[i] * distance[i];
        sum += distance[i];
        const int seen = observed[to[i]] ? 1 : 0;
        rows[seen]++;
        right[seen] += from[i] == to[i];
    }
    return (whet_space_scores){.rows = n,
                               .seen = rows[1],
                               .unseen = rows[0],
                               .mean_squared = ratio(squares, n),
                               .mean_distance = ratio(sum, n),
                               .accuracy = ratio((double)(right[0] + right[1]), n),
                               .accuracy_seen = ratio((double)right[1], rows[1]),
                               .accuracy_unseen = ratio((double)right[0], rows[0])};
}

whet_status whet_space_score(whet_ctx *ctx, const whet_frechet *f, const int64_t *predicted,
                             const int64_t *truth, int64_t rows, whet_space_scores *out) {
    whet_status status = WHET_OK;
    int64_t *from = NULL, *to = NULL;
    double *distance = NULL;
    bool *observed = NULL;
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &from));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &to));
    WHET_TRY_DONE(whet_i_alloc(ctx, rows, &distance));
    WHET_TRY_DONE(whet_i_calloc(ctx, f->space->n, &observed));
    const int64_t n = labelled(predicted, truth, rows, from, to);
    WHET_TRY_DONE(whet_space_distances(ctx, f->space, from, to, n, distance));
    for (int64_t j = 0; j < f->k; j++) observed[f->observed[j]] = true;
    *out = tally(from, to, n, distance, observed);
done:
    whet_i_free(ctx, observed);
    whet_i_free(ctx, distance);
    whet_i_free(ctx, to);
    whet_i_free(ctx, from);
    return status;
}
