/* SPDX-License-Identifier: Apache-2.0
 * What contradicts what in the configuration of a simulated market. Whether money comes to matter is not a
 * contradiction; that it never could is. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_i.h"

/* ---- arms ------------------------------------------------------------------------------------ */

static whet_status check_arms(whet_ctx *ctx, const whet_trading_config *c) {
    const char *where = c->path;
    bool tasks = false, hides = false;
    for (int64_t i = 0; i < c->n_agents; i++) {
        tasks = tasks || c->agents[i].relabel;
        hides = hides || c->agents[i].n_reveals;
    }
    const bool part = c->terms.tower || c->terms.n_goods;
    if (c->arms[WHET_ARM_NO_ALIGN] && c->terms.align == WHET_I_TRADE_AS_IS)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"controls\" has no-align, and \"trading\" aligns nothing; "
                           "expected one of them",
                           where);
    if (tasks && (c->arms[WHET_ARM_FEDAVG] || c->arms[WHET_ARM_BANK]))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"controls\" has %s, and agents have tasks of their own "
                           "(\"relabel\"); expected one of them",
                           where, c->arms[WHET_ARM_BANK] ? "bank" : "fedavg");
    if ((part || hides) && c->arms[WHET_ARM_FEDAVG])
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"controls\" has fedavg, which is of all tensors, and %s some; "
                           "expected one of them",
                           where, part ? "\"goods\" are" : "an agent \"reveals\"");
    if (tasks && !part)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: agents have tasks of their own (\"relabel\"), and all tensors are "
                           "traded; expected \"goods\": \"tower\" or patterns without the last "
                           "layer",
                           where);
    for (int arm = WHET_ARM_NO_ALIGN; arm <= WHET_ARM_FEDAVG; arm++)
        if (c->n_agents < 2 && c->arms[arm])
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: one agent, and \"controls\" has %s; expected two at least",
                               where, whet_arm_name((whet_arm)arm));
    return WHET_OK;
}

/* ---- money ----------------------------------------------------------------------------------- */

/* Whether one would sell to the other: how little a seller reveals is what an experiment may be about. */
static bool would_deal(const whet_trading_config *c, int64_t buyer, int64_t seller) {
    const whet_i_agent *s = &c->agents[seller];
    return buyer != seller && c->agents[buyer].buys && (s->sells || s->hides);
}

static whet_status check_free(whet_ctx *ctx, const whet_trading_config *c) {
    for (int64_t i = 0; i < c->n_agents; i++)
        if (c->agents[i].money)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\": \"%s\" has no use with \"mechanism\" none; "
                               "expected none",
                               c->path, c->agents[i].name, c->agents[i].money);
    return WHET_OK;
}

/* An externality is a seller's, of what a competitor gains. */
static whet_status check_competition(whet_ctx *ctx, const whet_trading_config *c) {
    for (int64_t i = 0; i < c->n_agents; i++) {
        const whet_i_agent *a = &c->agents[i];
        bool as_seller = false, as_buyer = false;
        for (int64_t j = 0; j < c->n_agents; j++) {
            as_seller = as_seller || (would_deal(c, j, i) && c->agents[j].competitor);
            as_buyer =
                as_buyer || (would_deal(c, i, j) && c->agents[j].reservation.externality > 0);
        }
        if (a->reservation.externality > 0 && !as_seller)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\": \"externality\" has no use where it sells to no "
                               "\"competitor\"; expected one",
                               c->path, a->name);
        if (a->competitor && !as_buyer)
            return whet_i_fail(
                ctx, WHET_ERR_DATA,
                "%s: agent \"%s\": \"competitor\" has no use where nobody of whom it "
                "buys has an \"externality\"; expected one",
                c->path, a->name);
    }
    return WHET_OK;
}

static whet_status check_wallets(whet_ctx *ctx, const whet_trading_config *c) {
    double all = 0;
    for (int64_t i = 0; i < c->n_agents; i++) all += (double)c->agents[i].wallet;
    const whet_status status = whet_i_amount(ctx, "\"wallet\" of all agents", all);
    return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", c->path);
}

/* Deals that could come about at some gain, and what is in their way at least. */
typedef struct prospect {
    int64_t would, could, worth, paid; /* pairs: that deal; with a price; that pays; that can pay */
    double value, cost;                /* of all pairs the most and the least */
    int64_t wallet, needs;             /* the largest of a buyer; the least that one must have */
} prospect;

static void look_at(const whet_trading_config *c, int64_t buyer, const whet_i_outlook *o,
                    prospect *p) {
    const int64_t wallet = c->agents[buyer].wallet;
    const int64_t needs = o->pays > 1 ? o->pays : 1; /* of nothing nobody can ever pay */
    p->value = p->would ? fmax(p->value, o->value) : o->value;
    p->cost = p->would ? fmin(p->cost, o->cost) : o->cost;
    if (!p->would || wallet > p->wallet) p->wallet = wallet;
    p->would++;
    p->could += o->priced;
    if (o->pays < 0) return;
    if (!p->worth || needs < p->needs) p->needs = needs;
    p->worth++;
    p->paid += needs <= wallet;
}

/* Of all buyers and the seller. */
static whet_status count_deals(whet_ctx *ctx, const whet_trading_config *c, int64_t seller,
                               prospect *p) {
    for (int64_t b = 0; b < c->n_agents; b++) {
        whet_i_outlook o;
        if (!would_deal(c, b, seller)) continue;
        const whet_status status = whet_i_deal_outlook(ctx, c, b, seller, &o);
        if (status != WHET_OK)
            return whet_i_fail_at(ctx, status, "%s: agent \"%s\" buys of \"%s\"", c->path,
                                  c->agents[b].name, c->agents[seller].name);
        look_at(c, b, &o, p);
    }
    return WHET_OK;
}

/* Values and money that no deal can come of. */
static whet_status check_means(whet_ctx *ctx, const whet_trading_config *c, const prospect *p) {
    if (!p->would) return WHET_OK;
    if (!(p->value > 0))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: whatever the gain, it is worth 0 to all who buy; expected another "
                           "\"valuation\", or \"mechanism\" none",
                           c->path);
    if (!p->worth)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "%s: a gain is worth at most %.15g to a buyer (\"valuation\"), and costs "
            "of sellers with \"fees\" are %.15g at least, so that nothing can be "
            "sold; expected a deal that leaves something",
            c->path, p->value, p->cost);
    if (!p->paid)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: no buyer's \"wallet\" has more than %" PRId64 ", and a trial or "
                           "the cheapest deal takes %" PRId64 "; expected one that can pay",
                           c->path, p->wallet, p->needs);
    return WHET_OK;
}

static whet_status check_deals(whet_ctx *ctx, const whet_trading_config *c) {
    prospect all = {0};
    for (int64_t s = 0; s < c->n_agents; s++) {
        const prospect before = all;
        WHET_TRY(count_deals(ctx, c, s, &all));
        if (all.would > before.would && all.could == before.could &&
            c->terms.mechanism == WHET_I_TRADE_POSTED)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\": \"belief\" %s ends below what its costs and "
                               "\"fees\" are, so that it has no price; expected one that goes "
                               "beyond them",
                               c->path, c->agents[s].name, c->agents[s].belief);
    }
    if (c->n_agents > 1 && !all.would)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: weights are sold, and no agent \"sells\" to another that \"buys\"; "
                           "expected two that do, or \"mechanism\" none",
                           c->path);
    if (all.would && !all.could)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "%s: \"trading\": \"uniform\" %g to %g: whatever the gain, no buyer's bid "
            "comes to a seller's ask; expected the interval of their values and "
            "costs",
            c->path, c->terms.uniform_low, c->terms.uniform_high);
    return check_means(ctx, c, &all);
}

whet_status whet_i_trading_check(whet_ctx *ctx, const whet_trading_config *c) {
    WHET_TRY(check_arms(ctx, c));
    if (whet_i_trading_measures(c) && c->select < 2)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: \"selection\" %" PRId64
                           ", on which batch norms are measured; expected 2 at least",
                           c->path, c->select);
    if (c->terms.mechanism == WHET_I_TRADE_FREE) return check_free(ctx, c);
    WHET_TRY(check_competition(ctx, c));
    WHET_TRY(check_wallets(ctx, c));
    return check_deals(ctx, c);
}
