/* SPDX-License-Identifier: Apache-2.0
 * Student's t, two-sided 95 %, by degrees of freedom. */
#include <math.h>

#include "core/core_i.h"

static const double LEVEL = 0.95, PI = 3.14159265358979323846;

/* P(|T| <= t), of which tan(angle) = t / sqrt(freedom): a sum of powers of the cosine (Abramowitz & Stegun
 * 26.7.3, 26.7.4). */
static double within(double angle, int64_t freedom) {
    const double s = sin(angle), c = cos(angle);
    const bool odd = freedom % 2 == 1;
    double term = odd ? c : 1, sum = odd && freedom == 1 ? 0 : term;
    for (int64_t k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
        term *= c * c * (double)(k - 1) / (double)k;
        sum += term;
    }
    return odd ? 2 / PI * (angle + s * sum) : s * sum;
}

double whet_i_student(int64_t freedom) {
    enum { MANY = 200, HALVINGS = 60 };
    static const double z = 1.959963984540054;
    const double n = (double)freedom;
    if (freedom > MANY) /* Cornish and Fisher's first terms: to 1e-9 */
        return z + (pow(z, 3) + z) / (4 * n) +
               (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * n * n) +
               (3 * pow(z, 7) + 19 * pow(z, 5) + 17 * pow(z, 3) - 15 * z) / (384 * n * n * n);
    double low = 0, high = PI / 2;
    for (int i = 0; i < HALVINGS; i++) {
        const double middle = (low + high) / 2;
        *(within(middle, freedom) < LEVEL ? &low : &high) = middle;
    }
    return sqrt(n) * tan((low + high) / 2);
}
