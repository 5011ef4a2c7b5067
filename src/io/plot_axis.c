/* SPDX-License-Identifier: Apache-2.0
 * Axes of pictures: ends and ticks at round numbers. */
#include <math.h>

#include "io/io_i.h"

double whet_i_round_step(double range) {
    const double least = range / 5, power = pow(10, floor(log10(least)));
    const double factor = least / power;
    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

whet_i_plot_axis whet_i_plot_axis_over(double low, double high) {
    if (low > high) return (whet_i_plot_axis){0, 1, 0.2};
    if (high - low <= 1e-9 * fabs(high)) {
        high += high != 0 ? 0.05 * fabs(high) : 1;
        low -= low != 0 ? 0.05 * fabs(low) : 0;
    }
    const double step = whet_i_round_step(high - low);
    return (whet_i_plot_axis){step * floor(low / step), step * ceil(high / step), step};
}

int whet_i_plot_axis_count(whet_i_plot_axis a) { return (int)lround((a.high - a.low) / a.step); }

double whet_i_plot_axis_tick(whet_i_plot_axis a, int i) {
    return a.step * (double)(lround(a.low / a.step) + i);
}
