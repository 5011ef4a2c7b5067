/* SPDX-License-Identifier: Apache-2.0
 * label: features, few-shot classifiers on them, and how good predictions are.
 *
 * Shapes: X [n, d] f32 row-major; y [n] class index, -1 = no label; probs [n, k] f64, rows sum
 * to 1. */
#ifndef WHET_LABEL_H
#define WHET_LABEL_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- how good predictions are
 * -------------------------------------------------------------------- */

typedef struct whet_metrics {
    int64_t n;                                    /* rows with a true label */
    double accuracy, accuracy_low, accuracy_high; /* Wilson 95 % interval */
    double macro_f1;                              /* over classes present in truth or prediction */
    double log_loss;                              /* mean -ln p(true), p clipped at 1e-15 */
    double brier;                                 /* mean over rows of sum_k (p - onehot)^2, 0..2 */
    double calibration_error; /* expected, 15 bins of equal width on the top probability */
} whet_metrics;

/* truth [n], -1 = not counted. predicted NULL = argmax of probs, lowest index on ties.
 * Errors: DATA when no row has a true label. O(n k). */
WHET_API WHET_CHECKED whet_status whet_metrics_compute(whet_ctx *ctx, const double *probs,
                                                       int64_t n, int64_t k, const int32_t *truth,
                                                       const int32_t *predicted, whet_metrics *out);

#ifdef __cplusplus
}
#endif
#endif
