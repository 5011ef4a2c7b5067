/* SPDX-License-Identifier: Apache-2.0
 * A simulated market over its epochs: what all seeds have in common of each arm and agent, as mean, least and
 * greatest. */
#include <math.h>

#include "market/trading_report.h"

enum { CELLS_MAX = 400 };

const whet_i_spread *whet_i_spreads_line(const whet_i_spreads *s, int64_t line) {
    return s->cells + line * s->n;
}

static whet_status make(whet_ctx *ctx, int64_t lines, int64_t epochs, whet_i_spreads *s) {
    int64_t size;
    s->lines = lines;
    s->stride = (epochs + CELLS_MAX - 1) / CELLS_MAX;
    s->n = (epochs + s->stride - 1) / s->stride;
    s->offset = (epochs - 1) % s->stride;
    WHET_TRY(whet_i_mul(ctx, lines, s->n, &size));
    return whet_i_calloc(ctx, size, &s->cells);
}

static void add(whet_i_spreads *s, int64_t line, int64_t epoch, double x) {
    whet_i_spread *c = &s->cells[line * s->n + epoch / s->stride];
    if (!isfinite(x)) return;
    c->low = c->n ? fmin(c->low, x) : x;
    c->high = c->n ? fmax(c->high, x) : x;
    c->sum += x;
    c->n++;
}

static void add_scores(const whet_trading_result *r, whet_i_trading_series *s) {
    for (int64_t i = 0; i < r->n_scores; i++) {
        const whet_trading_score *x = &r->scores[i];
        const int64_t line = x->arm * (r->n_agents + 1) + (x->agent < 0 ? r->n_agents : x->agent);
        if (x->epoch % s->loss.stride != s->loss.offset) continue;
        add(&s->accuracy, line, x->epoch, 100 * x->test_accuracy);
        add(&s->loss, line, x->epoch, x->test_loss);
    }
}

/* ---- trades -------------------------------------------------------------------------------- */

static int64_t line_of(const whet_trading_result *r, whet_arm arm, int64_t agent) {
    return (arm == WHET_ARM_NO_ALIGN ? r->n_agents : 0) + agent;
}

static bool same_turn(const whet_trading_trial *a, const whet_trading_trial *b) {
    return a->seed == b->seed && a->arm == b->arm && a->epoch == b->epoch && a->buyer == b->buyer;
}

/* Whether b rather than a stands for the buyer's turn: what was bought first; else what gains most. */
static bool rather(const whet_trading_trial *a, const whet_trading_trial *b) {
    const bool was = a->outcome == WHET_TRADE_BOUGHT, is = b->outcome == WHET_TRADE_BOUGHT;
    return was != is ? is : !was && b->gain > a->gain;
}

static void add_turn(const whet_trading_result *r, const whet_trading_trial *t,
                     whet_i_trading_series *s) {
    if (!t) return;
    const int64_t line = line_of(r, t->arm, t->buyer);
    add(&s->gain, line, t->epoch, 100 * t->gain);
    add(&s->weight, line, t->epoch, t->weight);
    add(&s->bought, line, t->epoch, t->outcome == WHET_TRADE_BOUGHT);
}

/* Trials of a turn follow each other, but for those that were not made. */
static void add_trials(const whet_trading_result *r, whet_i_trading_series *s) {
    const whet_trading_trial *best = NULL;
    for (int64_t i = 0; i < r->n_trials; i++) {
        const whet_trading_trial *t = &r->trials[i];
        if (t->outcome == WHET_TRADE_NOT_TRIED || !whet_i_arm_trades(r, t->arm)) continue;
        if (t->posted) {
            const int64_t line = line_of(r, t->arm, t->seller);
            add(&s->price, line, t->epoch, (double)t->price);
            add(&s->sold, line, t->epoch, t->outcome == WHET_TRADE_BOUGHT);
        }
        if (!best || !same_turn(best, t)) {
            add_turn(r, best, s);
            best = t;
        } else if (rather(best, t)) {
            best = t;
        }
    }
    add_turn(r, best, s);
}

/* Less what it began with. begun: [n_seeds, 2 n_agents], 0. */
static void add_wallets(const whet_trading_result *r, double *begun, whet_i_trading_series *s) {
    for (int64_t i = 0; i < r->n_flows; i++) {
        const whet_trading_flow *f = &r->flows[i];
        if (f->from == WHET_PARTY_OUTSIDE && whet_i_arm_trades(r, f->arm))
            begun[f->seed * 2 * r->n_agents + line_of(r, f->arm, f->to)] += (double)f->amount;
    }
    for (int64_t i = 0; i < r->n_wallets; i++) {
        const whet_trading_wallet *w = &r->wallets[i];
        if (!whet_i_arm_trades(r, w->arm) || w->epoch % s->wallet.stride != s->wallet.offset)
            continue;
        const int64_t line = line_of(r, w->arm, w->agent);
        add(&s->wallet, line, w->epoch,
            (double)w->available - begun[w->seed * 2 * r->n_agents + line]);
    }
}

static whet_status add_money(whet_ctx *ctx, const whet_trading_result *r,
                             whet_i_trading_series *s) {
    double *begun;
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, r->n_seeds, 2 * r->n_agents, &size));
    WHET_TRY(whet_i_calloc(ctx, size, &begun));
    add_wallets(r, begun, s);
    whet_i_free(ctx, begun);
    return WHET_OK;
}

whet_status whet_i_trading_series_make(whet_ctx *ctx, const whet_trading_result *r,
                                       whet_i_trading_series *out) {
    whet_i_spreads *trades[] = {&out->gain,  &out->weight, &out->bought,
                                &out->price, &out->sold,   &out->wallet};
    WHET_TRY(make(ctx, WHET_ARMS * (r->n_agents + 1), r->epochs, &out->accuracy));
    WHET_TRY(make(ctx, WHET_ARMS * (r->n_agents + 1), r->epochs, &out->loss));
    for (int i = 0; i < WHET_COUNT_OF(trades); i++)
        WHET_TRY(make(ctx, 2 * r->n_agents, r->epochs, trades[i]));
    add_scores(r, out);
    add_trials(r, out);
    return add_money(ctx, r, out);
}

void whet_i_trading_series_free(whet_ctx *ctx, whet_i_trading_series *s) {
    whet_i_spreads *all[] = {&s->accuracy, &s->loss,  &s->gain, &s->weight,
                             &s->bought,   &s->price, &s->sold, &s->wallet};
    for (int i = 0; i < WHET_COUNT_OF(all); i++) whet_i_free(ctx, all[i]->cells);
    *s = (whet_i_trading_series){0};
}
