/* SPDX-License-Identifier: Apache-2.0
 * The clock that reports tell seconds by. */
#include <time.h>

#include "core/core_i.h"

double whet_i_seconds_now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
