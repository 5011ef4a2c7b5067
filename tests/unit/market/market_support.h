/* SPDX-License-Identifier: Apache-2.0
 * What tests of the market share: comparing, beliefs and drawing from their priors, the reference's
 * tables. */
#ifndef WHET_MARKET_SUPPORT_H
#define WHET_MARKET_SUPPORT_H

#include "support.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "io/io_i.h"
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

static inline whet_belief *opened(whet_ctx *ctx, const char *spec) {
    whet_belief *belief = NULL;
    test_ok(ctx, whet_belief_open(ctx, spec, &belief));
    return belief;
}

/* A number of a row, which must be there. */
static inline double member(const json_t *row, const char *key) {
    const json_t *value = json_object_get(row, key);
    if (!json_is_number(value)) fail_msg("no number \"%s\" in a row", key);
    return json_number_value(value);
}

/* The reference's tables of prices, by name; *whole is released by json_decref. */
#define PRICING_INDEX "golden/market/trade/index.json"
static inline json_t *pricing_tables(whet_ctx *ctx, json_t **whole) {
    test_ok(ctx, whet_i_json_read(ctx, test_shared(PRICING_INDEX), (int64_t)1 << 24, whole));
    return json_object_get(*whole, "pricing");
}

#endif
