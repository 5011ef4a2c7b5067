/* SPDX-License-Identifier: Apache-2.0
 * What a simulated market comes to: the last epoch of an arm against that of the agents alone, seed by seed,
 * with Student's interval over seeds; and who has the surplus of its trades. */
#include "market/trading_i.h"
#include "market/trading_report.h"

const char *whet_trade_outcome_name(whet_trade_outcome outcome) {
    static const char *const NAMES[WHET_TRADE_OUTCOMES] = {
        "bought", "no-gain", "no-price", "refused", "no-money", "other", "outbid", "not-tried"};
    return NAMES[outcome];
}

static whet_trading_gain gain_of(const whet_i_ends *ends, whet_arm arm, int64_t agent) {
    const whet_i_estimate accuracy = whet_i_ends_compare(ends, arm, WHET_ARM_SILO, agent, false);
    const whet_i_estimate loss = whet_i_ends_compare(ends, arm, WHET_ARM_SILO, agent, true);
    return (whet_trading_gain){
        .arm = arm,
        .agent = agent,
        .n = accuracy.n,
        .test_accuracy = whet_i_ends_compare(ends, arm, WHET_ARMS, agent, false).mean,
        .test_loss = whet_i_ends_compare(ends, arm, WHET_ARMS, agent, true).mean,
        .accuracy = accuracy.mean,
        .accuracy_half = accuracy.half,
        .loss = loss.mean,
        .loss_half = loss.half};
}

static whet_status find_gains(whet_ctx *ctx, whet_trading_result *r) {
    whet_i_ends ends = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_ends_find(ctx, r, &ends));
    WHET_TRY_DONE(whet_i_calloc(ctx, WHET_ARMS * (r->n_agents + 1), &r->gains));
    for (int arm = 0; arm < WHET_ARMS; arm++) {
        if (!r->arms[arm]) continue;
        for (int64_t a = 0; a < r->n_agents; a++)
            r->gains[r->n_gains++] = gain_of(&ends, (whet_arm)arm, a);
        r->gains[r->n_gains++] = gain_of(&ends, (whet_arm)arm, WHET_MEAN_AGENT);
    }
done:
    whet_i_ends_free(ctx, &ends);
    return status;
}

static void add_trade(const whet_trading_trial *t, double each, whet_trading_surplus *buyer,
                      whet_trading_surplus *seller) {
    if (t->outcome != WHET_TRADE_BOUGHT) {
        buyer->paid += each * (double)t->fees;
        buyer->buyer -= each * (double)t->fees;
        return;
    }
    buyer->bought += each;
    buyer->paid += each * (double)t->buyer_pays;
    buyer->buyer += each * (t->value - (double)t->buyer_pays);
    seller->sold += each;
    seller->received += each * (double)t->seller_gets;
    seller->seller += each * ((double)t->seller_gets - t->reservation);
}

static whet_status find_surplus(whet_ctx *ctx, whet_trading_result *r) {
    static const whet_arm arms[] = {WHET_ARM_MARKET, WHET_ARM_NO_ALIGN};
    const double each = 1 / (double)r->n_seeds;
    if (!r->money) return WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, 2 * r->n_agents, &r->surplus));
    for (int k = 0; k < 2; k++) {
        whet_trading_surplus *own = r->surplus + r->n_surplus;
        if (!r->arms[arms[k]]) continue;
        for (int64_t a = 0; a < r->n_agents; a++)
            r->surplus[r->n_surplus++] = (whet_trading_surplus){.arm = arms[k], .agent = a};
        for (int64_t i = 0; i < r->n_trials; i++) {
            const whet_trading_trial *t = &r->trials[i];
            if (t->arm != arms[k]) continue;
            add_trade(t, each, &own[t->buyer], &own[t->seller]);
            if (arms[k] == WHET_ARM_MARKET) r->broker += each * (double)t->fees;
        }
    }
    return WHET_OK;
}

whet_status whet_i_trading_summary(whet_ctx *ctx, whet_trading_result *result) {
    WHET_TRY(find_gains(ctx, result));
    return find_surplus(ctx, result);
}
