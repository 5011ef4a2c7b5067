/* SPDX-License-Identifier: Apache-2.0
 * Student's t, two-sided 95 %, by degrees of freedom. */
#include "core/core_i.h"

double whet_i_student(int64_t freedom) {
    static const double t[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306,
                               2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
                               2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064,
                               2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    if (freedom <= WHET_COUNT_OF(t)) return t[freedom - 1];
    /* Cornish and Fisher's first terms: to .001 from 30 on. */
    const double z = 1.959964;
    return z + (z * z * z + z) / (4 * (double)freedom);
}
