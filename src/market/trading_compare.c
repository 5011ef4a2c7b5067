/* SPDX-License-Identifier: Apache-2.0
 * Estimates over seeds of a simulated market: how last epochs compare, paired by seed, and who has the
 * surplus. The interval is Student's at 95 %, of each comparison by itself. */
#include <math.h>

#include "market/trading_report.h"

whet_i_estimate whet_i_estimate_of(const double *x, int64_t n) {
    whet_i_estimate e = {0, (double)NAN, n};
    double squares = 0;
    for (int64_t i = 0; i < n; i++) e.mean += x[i] / (double)n;
    if (n < 2 || !isfinite(e.mean)) return e;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - e.mean) * (x[i] - e.mean);
    e.half = whet_i_student(n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
    return e;
}

whet_i_verdict whet_i_verdict_of(whet_i_estimate e) {
    if (!isfinite(e.mean) || !isfinite(e.half)) return WHET_I_UNTOLD;
    return e.mean - e.half > 0 ? WHET_I_ABOVE : e.mean + e.half < 0 ? WHET_I_BELOW : WHET_I_NOISE;
}

/* ---- last epochs --------------------------------------------------------------------------- */

static int64_t place(const whet_i_ends *e, int64_t seed, int64_t arm, int64_t agent) {
    return (seed * WHET_ARMS + arm) * e->result->n_agents + agent;
}

whet_status whet_i_ends_find(whet_ctx *ctx, const whet_trading_result *r, whet_i_ends *out) {
    whet_i_ends e = {r, NULL, NULL};
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_mul(ctx, r->n_seeds, WHET_ARMS, &n));
    WHET_TRY_DONE(whet_i_mul(ctx, n, r->n_agents, &n));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &e.last));
    WHET_TRY_DONE(whet_i_alloc(ctx, r->n_seeds, &e.room));
    for (int64_t i = 0; i < n; i++) e.last[i] = (whet_i_end){(double)NAN, (double)NAN};
    for (int64_t i = 0; i < r->n_scores; i++) {
        const whet_trading_score *s = &r->scores[i];
        if (s->epoch != r->epochs - 1) continue;
        const int64_t first = s->agent < 0 ? 0 : s->agent;
        const int64_t end = s->agent < 0 ? r->n_agents : s->agent + 1;
        for (int64_t a = first; a < end; a++)
            e.last[place(&e, s->seed, s->arm, a)] = (whet_i_end){s->test_accuracy, s->test_loss};
    }
    *out = e;
    e = (whet_i_ends){0};
done:
    whet_i_ends_free(ctx, &e);
    return status;
}

void whet_i_ends_free(whet_ctx *ctx, whet_i_ends *ends) {
    whet_i_free(ctx, ends->last);
    whet_i_free(ctx, ends->room);
    *ends = (whet_i_ends){0};
}

static double score(const whet_i_ends *e, int64_t seed, whet_arm arm, int64_t agent, bool loss) {
    const whet_i_end *last = &e->last[place(e, seed, arm, agent)];
    return loss ? last->loss : last->accuracy;
}

whet_i_estimate whet_i_ends_compare(const whet_i_ends *e, whet_arm arm, whet_arm other,
                                    int64_t agent, bool loss) {
    const int64_t first = agent < 0 ? 0 : agent, end = agent < 0 ? e->result->n_agents : agent + 1;
    for (int64_t s = 0; s < e->result->n_seeds; s++) {
        e->room[s] = 0;
        for (int64_t a = first; a < end; a++) {
            double x = score(e, s, arm, a, loss);
            if (other != WHET_ARMS) x -= score(e, s, other, a, loss);
            e->room[s] += x / (double)(end - first);
        }
    }
    return whet_i_estimate_of(e->room, e->result->n_seeds);
}

/* ---- surplus ------------------------------------------------------------------------------- */

bool whet_i_arm_trades(const whet_trading_result *r, whet_arm arm) {
    return r->arms[arm] && (arm == WHET_ARM_MARKET || arm == WHET_ARM_NO_ALIGN);
}

bool whet_i_arm_has_money(const whet_trading_result *r, whet_arm arm) {
    return r->money && whet_i_arm_trades(r, arm);
}

/* A seed's parts of it; a trial without a deal costs the buyer its fee, which the broker has. */
static void add_trial(const whet_trading_trial *t, int64_t seeds, double *parts, int64_t *deals) {
    double *buyers = parts + t->seed, *sellers = buyers + seeds, *broker = sellers + seeds;
    *broker += (double)t->fees;
    if (t->outcome != WHET_TRADE_BOUGHT) {
        *buyers -= (double)t->fees;
        return;
    }
    (*deals)++;
    *buyers += t->value - (double)t->buyer_pays;
    *sellers += (double)t->seller_gets - t->reservation;
}

whet_status whet_i_trading_shares(whet_ctx *ctx, const whet_trading_result *r, whet_arm arm,
                                  whet_i_shares *out) {
    const int64_t n = r->n_seeds;
    double *parts; /* [5, n]: buyers, sellers, broker, all of them, buyers less sellers */
    int64_t size;
    WHET_TRY(whet_i_mul(ctx, n, 5, &size));
    WHET_TRY(whet_i_calloc(ctx, size, &parts));
    *out = (whet_i_shares){0};
    for (int64_t i = 0; i < r->n_trials; i++)
        if (r->trials[i].arm == arm) add_trial(&r->trials[i], n, parts, &out->deals);
    for (int64_t s = 0; s < n; s++) {
        parts[3 * n + s] = parts[s] + parts[n + s] + parts[2 * n + s];
        parts[4 * n + s] = parts[s] - parts[n + s];
    }
    out->buyers = whet_i_estimate_of(parts, n);
    out->sellers = whet_i_estimate_of(parts + n, n);
    out->broker = whet_i_estimate_of(parts + 2 * n, n);
    out->total = whet_i_estimate_of(parts + 3 * n, n);
    out->lead = whet_i_estimate_of(parts + 4 * n, n);
    whet_i_free(ctx, parts);
    return WHET_OK;
}
