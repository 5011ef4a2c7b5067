/* SPDX-License-Identifier: Apache-2.0
 * Beliefs and valuations as anybody may write them: what is taken gives chances that fall from 1, learns, and
 * has a price that the seller does not lose by. The first line is the belief, the second the valuation. */
#include <math.h>

#include "fuzz.h"

#include "market/market_i.h"

static void check_sales(const whet_belief *belief) {
    static const double PRICES[] = {0, 1e-9, .5, 1, 3, 50, 1e3, 1e7, 1e12, 9e15, 1e300};
    double last = 1;
    for (size_t i = 0; i < sizeof PRICES / sizeof PRICES[0]; i++) {
        const double sale = whet_belief_sale(belief, PRICES[i]);
        FUZZ_REQUIRE(sale >= 0 && sale <= last + 1e-12);
        last = sale;
    }
}

static whet_status use(whet_ctx *ctx, whet_belief *belief) {
    whet_posted posted;
    double p;
    check_sales(belief);
    FUZZ_REQUIRE(whet_belief_quantile(ctx, belief, .5, &p) == WHET_OK);
    WHET_TRY(whet_belief_observe(ctx, belief, fmin(p, 9e15), true, .1));
    WHET_TRY(whet_belief_observe(ctx, belief, fmin(2 * p + 1, 9e15), false, .1));
    check_sales(belief);
    WHET_TRY(whet_posted_price(ctx, belief, 3.5, &posted));
    FUZZ_REQUIRE(!posted.price.trade || posted.price.price >= 4);
    FUZZ_REQUIRE(!posted.price.trade || (posted.sale >= 0 && posted.profit >= 0));
    return WHET_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    char text[256] = {0};
    memcpy(text, data, size < sizeof text - 1 ? size : sizeof text - 1);
    char *second = strchr(text, '\n');
    if (second) *second++ = '\0';
    whet_belief *belief = NULL;
    whet_valuation v;
    double value;
    /* files are other targets' */
    whet_status status = WHET_OK;
    if (strncmp(text, "samples:", 8) != 0) status = whet_belief_open(ctx, text, &belief);
    if (status == WHET_OK && belief) status = use(ctx, belief);
    whet_belief_destroy(ctx, belief);
    if (second && whet_valuation_parse(ctx, second, &v) == WHET_OK &&
        whet_value(ctx, &v, .25, &value) == WHET_OK)
        FUZZ_REQUIRE(value >= 0 && value <= (double)WHET_MONEY_MAX);
    fuzz_end(ctx, status);
    return 0;
}
