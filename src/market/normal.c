/* SPDX-License-Identifier: Apache-2.0
 * The normal distribution's upper tail and its inverse, by bisection on the tail: a few microseconds, to the
 * last bit that the tail can tell, without anybody's table of coefficients. */
#include <math.h>

#include "market/market_i.h"

double whet_i_normal_upper(double z) { return erfc(z * 0.70710678118654752440) / 2; }

double whet_i_normal_upper_quantile(double p) {
    double low = -40, high = 40; /* beyond, the tail is 1 or 0 in f64 */
    for (int i = 0; i < 200; i++) {
        const double middle = low + (high - low) / 2;
        if (!(middle > low && middle < high)) break;
        if (whet_i_normal_upper(middle) > p)
            low = middle;
        else
            high = middle;
    }
    return low + (high - low) / 2;
}
