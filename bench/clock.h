/* SPDX-License-Identifier: Apache-2.0
 * The clock of the benchmarks, and the middle of several times. */
#ifndef WHET_BENCH_CLOCK_H
#define WHET_BENCH_CLOCK_H

#include <stdlib.h>
#include <time.h>

/* CLOCK_MONOTONIC for the wall, CLOCK_PROCESS_CPUTIME_ID or CLOCK_THREAD_CPUTIME_ID for processor time. */
static inline double seconds(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int ascending_times(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the times. */
static inline double median(double *times, int n) {
    qsort(times, (size_t)n, sizeof *times, ascending_times);
    return (times[(n - 1) / 2] + times[n / 2]) / 2;
}

#endif
