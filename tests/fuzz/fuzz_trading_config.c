/* SPDX-License-Identifier: Apache-2.0
 * Configurations of a simulated market from anybody: what is read keeps its ranges. */
#include <math.h>

#include "fuzz.h"

#include "market/trading_i.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    whet_ctx *ctx = fuzz_begin();
    whet_trading_config *c = NULL;
    const whet_status status =
        whet_i_trading_parse(ctx, "c.json", (const char *)data, (int64_t)size, "/nowhere", &c);
    if (status == WHET_OK) {
        const whet_i_terms *t = &c->terms;
        FUZZ_REQUIRE(c->n_agents >= 1 && c->n_agents <= WHET_I_AGENTS_MAX && c->n_seeds >= 1);
        FUZZ_REQUIRE(t->start < c->epochs && t->frequency >= 1 && c->arms[WHET_ARM_SILO]);
        FUZZ_REQUIRE(t->trial_fee >= 0 && t->level > 0 && t->level <= .5);
        for (int64_t i = 0; i < c->n_agents; i++) {
            const whet_i_agent *a = &c->agents[i];
            FUZZ_REQUIRE(a->kept >= 0 && a->kept <= 1 && a->wallet >= 0 && a->ahead >= 0);
            FUZZ_REQUIRE(a->learning.rate > 0 && isfinite(a->learning.rate));
        }
    }
    whet_trading_config_destroy(ctx, c);
    fuzz_end(ctx, status);
    return 0;
}
