/* SPDX-License-Identifier: Apache-2.0
 * One vector a class: the sum of its labelled rows and kappa times its name's embedding, as if the
 * name were kappa more examples. Kappa 0 is the nearest centroid, infinity zero-shot.
 * Legend: d features. Sums run over rows in order, in f64. */
#include <math.h>

#include "label/label_i.h"

void whet_i_prototypes(const double *x, const int64_t *rows, int64_t n, const int32_t *y,
                       const float *names, int64_t d, double kappa, double temperature,
                       const int32_t *classes, int64_t seen, double *weight) {
    const bool names_alone = isinf(kappa);
    const double name_weight = names_alone ? 1 : kappa;
    for (int64_t j = 0; j < d; j++)
        for (int64_t c = 0; c < seen; c++)
            weight[j * seen + c] = names ? name_weight * (double)names[classes[c] * d + j] : 0;
    for (int64_t i = 0; i < n && !names_alone; i++) {
        int64_t c = 0;
        while (c < seen && classes[c] != y[rows[i]]) c++;
        for (int64_t j = 0; c < seen && j < d; j++) weight[j * seen + c] += x[rows[i] * d + j];
    }
    for (int64_t c = 0; c < seen; c++) {
        double square = 0;
        for (int64_t j = 0; j < d; j++) square += weight[j * seen + c] * weight[j * seen + c];
        const double scale = square > 0 ? 1 / (sqrt(square) * temperature) : 0;
        for (int64_t j = 0; j < d; j++) weight[j * seen + c] *= scale;
    }
}
