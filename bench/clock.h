/* SPDX-License-Identifier: Apache-2.0
 * The clock of the benchmarks. */
#ifndef WHET_BENCH_CLOCK_H
#define WHET_BENCH_CLOCK_H

#include <time.h>

/* CLOCK_MONOTONIC for the wall, CLOCK_PROCESS_CPUTIME_ID or CLOCK_THREAD_CPUTIME_ID for processor time. */
static inline double seconds(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
