/* SPDX-License-Identifier: Apache-2.0
 * What a simulated market comes to: the last epoch of an arm against that of the agents alone, seed by seed,
 * with Student's interval over seeds; and who has the surplus of its trades. */
#include <math.h>

#include "market/trading_i.h"

const char *whet_trade_outcome_name(whet_trade_outcome outcome) {
    static const char *const NAMES[WHET_TRADE_OUTCOMES] = {
        "bought", "no-gain", "no-price", "refused", "no-money", "other", "not-tried"};
    return NAMES[outcome];
}

/* Last epochs: [seed][arm][agent]; the bank's one for every agent. */
typedef struct ends {
    const whet_trading_result *result;
    int64_t *last; /* places among the scores */
} ends;

static int64_t place(const ends *e, int64_t seed, int64_t arm, int64_t agent) {
    return (seed * WHET_ARMS + arm) * e->result->n_agents + agent;
}

static whet_status find_ends(whet_ctx *ctx, ends *e) {
    const whet_trading_result *r = e->result;
    int64_t n;
    WHET_TRY(whet_i_mul(ctx, r->n_seeds * WHET_ARMS, r->n_agents, &n));
    WHET_TRY(whet_i_calloc(ctx, n, &e->last));
    for (int64_t i = 0; i < r->n_scores; i++) {
        const whet_trading_score *s = &r->scores[i];
        if (s->epoch != r->epochs - 1) continue;
        const int64_t first = s->agent < 0 ? 0 : s->agent;
        const int64_t end = s->agent < 0 ? r->n_agents : s->agent + 1;
        for (int64_t a = first; a < end; a++) e->last[place(e, s->seed, s->arm, a)] = i;
    }
    return WHET_OK;
}

/* Mean of x [n], and half of its 95 % interval. */
static void interval(const double *x, int64_t n, double *mean, double *half) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (double)n;
    *half = (double)NAN;
    if (n < 2) return;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - *mean) * (x[i] - *mean);
    *half = whet_i_student(n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
}

/* agent WHET_MEAN_AGENT: of all. room: [2, n_seeds] */
static void compare(const ends *e, whet_arm arm, int64_t agent, double *room,
                    whet_trading_gain *g) {
    const whet_trading_result *r = e->result;
    const int64_t first = agent < 0 ? 0 : agent, end = agent < 0 ? r->n_agents : agent + 1;
    const double each = 1 / (double)(end - first);
    double *accuracy = room, *loss = room + r->n_seeds;
    *g = (whet_trading_gain){.arm = arm, .agent = agent, .n = r->n_seeds};
    for (int64_t s = 0; s < r->n_seeds; s++) {
        accuracy[s] = loss[s] = 0;
        for (int64_t a = first; a < end; a++) {
            const whet_trading_score *one = &r->scores[e->last[place(e, s, arm, a)]];
            const whet_trading_score *silo = &r->scores[e->last[place(e, s, WHET_ARM_SILO, a)]];
            accuracy[s] += each * (one->test_accuracy - silo->test_accuracy);
            loss[s] += each * (one->test_loss - silo->test_loss);
            g->test_accuracy += each * one->test_accuracy / (double)r->n_seeds;
            g->test_loss += each * one->test_loss / (double)r->n_seeds;
        }
    }
    interval(accuracy, r->n_seeds, &g->accuracy, &g->accuracy_half);
    interval(loss, r->n_seeds, &g->loss, &g->loss_half);
}

static whet_status find_gains(whet_ctx *ctx, whet_trading_result *r) {
    ends e = {r, NULL};
    double *room = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(find_ends(ctx, &e));
    WHET_TRY_DONE(whet_i_alloc(ctx, 2 * r->n_seeds, &room));
    WHET_TRY_DONE(whet_i_calloc(ctx, WHET_ARMS * (r->n_agents + 1), &r->gains));
    for (int arm = 0; arm < WHET_ARMS; arm++) {
        if (!r->arms[arm]) continue;
        for (int64_t a = 0; a < r->n_agents; a++)
            compare(&e, (whet_arm)arm, a, room, &r->gains[r->n_gains++]);
        compare(&e, (whet_arm)arm, WHET_MEAN_AGENT, room, &r->gains[r->n_gains++]);
    }
done:
    whet_i_free(ctx, room);
    whet_i_free(ctx, e.last);
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
