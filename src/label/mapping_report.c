/* SPDX-License-Identifier: Apache-2.0
 * How sure it is which component of a mixture is which class (GOGGLES, arXiv 1903.04552, asks it of its
 * few labels, too). Posteriors whose components stand at the classes they were given to say it: a
 * class's labelled rows give their probability to it, and the best mapping in which the class has
 * another component would agree with fewer.
 * Legend: n rows, k classes. */
#include <inttypes.h>
#include <math.h>

#include "label/label_i.h"
#include "tensor/tensor_i.h"

enum { MOST_CLASSES = 200 }; /* margins are k assignments of k^3 steps */

/* What labels agree with under the mapping, and gain [k, k]: probability that labelled rows of class c give
 * to column j. */
static void count(const double *probs, int64_t n, int64_t k, const int32_t *labels, double *gain,
                  whet_class_mapping *out) {
    for (int64_t c = 0; c < k; c++) out[c] = (whet_class_mapping){.margin = (double)NAN};
    for (int64_t i = 0; i < n; i++) {
        const double *row = probs + i * k;
        const int64_t top = whet_i_argmax(row, k);
        out[top].rows++;
        if (labels[i] < 0) continue;
        out[labels[i]].labels++;
        out[labels[i]].matched += top == labels[i];
        for (int64_t j = 0; j < k; j++) gain[labels[i] * k + j] += row[j];
    }
}

static double total(const double *gain, int64_t k, const int64_t *column) {
    double sum = 0;
    for (int64_t c = 0; c < k; c++) sum += gain[c * k + (column ? column[c] : c)];
    return sum;
}

/* The best mapping without class c at its own component costs more than any gain. */
static whet_status set_margins(whet_ctx *ctx, double *gain, int64_t n, int64_t k, int64_t *column,
                               whet_class_mapping *out) {
    const double now = total(gain, k, NULL);
    for (int64_t c = 0; c < k; c++) {
        const double own = gain[c * k + c];
        gain[c * k + c] = -2 * (double)n - 1;
        WHET_TRY(whet_i_progress(ctx, "mapping classes", c, k));
        const whet_status status = whet_i_assign_gains(ctx, gain, k, column);
        gain[c * k + c] = own;
        WHET_TRY(status);
        out[c].margin = now - total(gain, k, column);
    }
    return WHET_OK;
}

whet_status whet_class_mapping_measure(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                                       const int32_t *labels, whet_class_mapping *out) {
    whet_status status = WHET_OK;
    whet_class_mapping *found = NULL;
    double *gain = NULL;
    int64_t *column = NULL, cells;
    if (n < 0 || k < 2)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%" PRId64 " rows and %" PRId64 " classes; expected at least 0 and 2", n,
                           k);
    for (int64_t i = 0; i < n; i++)
        if (labels[i] < -1 || labels[i] >= k)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "label of row %" PRId64 " is %d; expected -1 to %" PRId64, i,
                               labels[i], k - 1);
    WHET_TRY(whet_i_mul(ctx, k, k, &cells));
    WHET_TRY_DONE(whet_i_calloc(ctx, cells, &gain));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &column));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &found));
    count(probs, n, k, labels, gain, found);
    if (k <= MOST_CLASSES) WHET_TRY_DONE(set_margins(ctx, gain, n, k, column, found));
    memcpy(out, found, sizeof *out * (size_t)k);
done:
    whet_i_free(ctx, found);
    whet_i_free(ctx, column);
    whet_i_free(ctx, gain);
    return status;
}

void whet_class_mapping_free(whet_ctx *ctx, whet_class_mapping *mapping) {
    whet_i_free(ctx, mapping);
}
