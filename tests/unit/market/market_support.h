/* SPDX-License-Identifier: Apache-2.0
 * What tests of the market share: comparing, and drawing from beliefs' priors. */
#ifndef WHET_MARKET_SUPPORT_H
#define WHET_MARKET_SUPPORT_H

#include "support.h"

#include <math.h>
#include <stdio.h>

#include "market/market_i.h"

/* Relative above 1. */
#define close_to(got, expected, tolerance) \
    do { \
        const double got_ = (got), expected_ = (expected); \
        if (!(fabs(got_ - expected_) <= (tolerance)*fmax(1, fabs(expected_)))) \
            fail_msg("%s is %.17g; expected %.17g", #got, got_, expected_); \
    } while (0)

static inline double drawn_between(whet_i_rng *rng, double low, double high) {
    return low + (high - low) * whet_i_rng_uniform(rng);
}

#endif
