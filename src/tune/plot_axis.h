/* SPDX-License-Identifier: Apache-2.0
 * Axes of pictures: ends and ticks at round numbers. All pure. */
#ifndef WHET_TUNE_PLOT_AXIS_H
#define WHET_TUNE_PLOT_AXIS_H

typedef struct whet_i_axis {
    double low, high, step; /* ends are multiples of the step */
} whet_i_axis;

/* 1, 2 or 5 times a power of ten, of which at most five lie in `range`. */
double whet_i_round_step(double range);
/* Holds low to high; of one value, a range about it; of none (low > high), 0 to 1. */
whet_i_axis whet_i_axis_over(double low, double high);
/* How many steps it has. */
int whet_i_axis_count(whet_i_axis axis);
/* Where tick i stands: a multiple of the step, without what rounding leaves of it. */
double whet_i_axis_tick(whet_i_axis axis, int i);

#endif
