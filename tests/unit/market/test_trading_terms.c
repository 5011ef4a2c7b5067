/* SPDX-License-Identifier: Apache-2.0
 * Terms of a simulated market: sellers who reveal a part, auctions among buyers,
 * buyers who look ahead, seeds that draw examples. */
#include <stdlib.h>

#include "trading_support.h"

/* ---- a trial outside of the market ----------------------------------------------------------- */

/* Agents of seed 0 as they are after the training of epoch `e`, when nobody has bought. */
typedef struct stage {
    whet_trading_config *config;
    whet_i_market_data data;
    whet_i_trader *traders[WHET_I_AGENTS_MAX];
} stage;

static void set_stage(whet_ctx *ctx, const char *text, int64_t e, stage *s) {
    double unused;
    s->config = read_config(ctx, text);
    test_ok(ctx, whet_i_market_data_read(ctx, s->config, &s->data));
    for (int64_t a = 0; a < s->config->n_agents; a++) {
        test_ok(ctx, whet_i_trader_create(ctx, s->config, &s->data, 0, a, &s->traders[a]));
        for (int64_t i = 0; i <= e; i++)
            test_ok(ctx, whet_i_trader_train(ctx, s->traders[a], &unused));
    }
}

static void clear_stage(whet_ctx *ctx, stage *s) {
    for (int64_t a = 0; a < s->config->n_agents; a++) whet_i_trader_destroy(ctx, s->traders[a]);
    whet_i_market_data_free(ctx, &s->data);
    whet_trading_config_destroy(ctx, s->config);
}

static whet_weights weights_of(const stage *s, int64_t agent) {
    whet_weights w;
    w.items = whet_i_trader_weights(s->traders[agent], &w.n);
    return w;
}

static whet_mode_data held(const stage *s, int purpose, int64_t agent) {
    const whet_i_examples *e = &s->data.held[purpose][agent];
    return (whet_mode_data){
        .x = e->x, .labels = e->labels, .n = e->n, .height = 1, .width = 1, .channels = D};
}

/* ---- who reveals a part ------------------------------------------------------------------------ */

/* agents: of two, members besides what all have. */
static const char *market_of(const char *a, const char *b, const char *trading) {
    static char text[4096];
    (void)snprintf(text, sizeof text,
                   "{" DATA ", " BROKER ", " MODEL ", 'training': {'epochs': 4, " SGD "}, "
                   "'agents': [{'kept': 0.1%s}, {'kept': 0.1%s}], "
                   "'trading': {'start': 1, 'level': 0.5%s}}",
                   a, b, trading);
    return text;
}

static void same_scores(const whet_trading_result *a, whet_arm of_a, const whet_trading_result *b,
                        whet_arm of_b) {
    int64_t j = 0, compared = 0;
    for (int64_t i = 0; i < a->n_scores; i++) {
        if (a->scores[i].arm != of_a) continue;
        while (j < b->n_scores && b->scores[j].arm != of_b) j++;
        assert_true(j < b->n_scores);
        assert_true(a->scores[i].test_loss == b->scores[j].test_loss);
        assert_true(a->scores[i].epoch == b->scores[j].epoch);
        assert_true(a->scores[i].agent == b->scores[j++].agent);
        compared++;
    }
    assert_true(compared > 0);
}

/* Nothing revealed: as without trade. Everything: as if nobody had been asked. To the bit. */
static void between_nothing_and_everything(void **state) {
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result none, all, plain, one;
    int64_t bought = 0;
    (void)state;
    simulate(ctx, market_of(", 'reveals': 'none'", ", 'reveals': 'none'", ""), fresh_state("none"),
             &none);
    simulate(ctx, market_of("", "", ""), fresh_state("plain"), &plain);
    simulate(ctx, market_of(", 'reveals': ['layer*']", ", 'reveals': 'full'", ""),
             fresh_state("all"), &all);
    simulate(ctx, market_of(", 'reveals': 'none'", "", ""), fresh_state("one"), &one);
    assert_int_equal(none.n_trials, 0);
    same_scores(&none, WHET_ARM_MARKET, &none, WHET_ARM_SILO);
    same_scores(&all, WHET_ARM_MARKET, &plain, WHET_ARM_MARKET);
    assert_int_equal(all.n_trials, plain.n_trials);
    for (int64_t i = 0; i < all.n_trials; i++) {
        assert_int_equal(all.trials[i].units, WHET_UNITS_ALIGNED);
        bought += all.trials[i].outcome == WHET_TRADE_BOUGHT;
    }
    assert_true(bought > 0);
    assert_true(one.n_trials > 0);
    for (int64_t i = 0; i < one.n_trials; i++) assert_int_equal(one.trials[i].buyer, 0);
    whet_trading_result_free(ctx, &none);
    whet_trading_result_free(ctx, &all);
    whet_trading_result_free(ctx, &plain);
    whet_trading_result_free(ctx, &one);
    test_ctx_done(ctx);
}

enum { H = 6, ORDERS = 720 };

static bool next_order(int *p) {
    int i = H - 2, j = H - 1;
    while (i >= 0 && p[i] > p[i + 1]) i--;
    if (i < 0) return false;
    while (p[j] < p[i]) j--;
    const int t = p[i];
    p[i] = p[j];
    p[j] = t;
    for (int a = i + 1, b = H - 1; a < b; a++, b--) {
        const int u = p[a];
        p[a] = p[b];
        p[b] = u;
    }
    return true;
}

/* Of all 720 orders of the seller's units the one whose first layer agrees most with the buyer's. */
static void best_order(const whet_named_tensor *a, const whet_named_tensor *b, int *best) {
    const float *wa = a[0].tensor.data, *wb = b[0].tensor.data;
    const float *ba = a[1].tensor.data, *bb = b[1].tensor.data;
    int p[H] = {0, 1, 2, 3, 4, 5}, tried = 0;
    double most = -(double)INFINITY;
    do {
        double sum = 0;
        for (int u = 0; u < H; u++) {
            sum += (double)ba[u] * (double)bb[p[u]];
            for (int i = 0; i < D; i++) sum += (double)wa[u * D + i] * (double)wb[p[u] * D + i];
        }
        tried++;
        if (sum <= most) continue;
        most = sum;
        memcpy(best, p, sizeof p);
    } while (next_order(p));
    assert_int_equal(tried, ORDERS);
}

/* Of a first layer alone units are matched by it alone, and it alone is mixed: the first period again. */
static void a_first_layer(void **state) {
    whet_ctx *ctx = test_ctx(1);
    const char *text = market_of(", 'reveals': ['layer0.*']", ", 'reveals': ['layer0.*']", "");
    static const char *const goods[] = {"layer0.weight", "layer0.bias"};
    whet_trading_result r;
    stage s = {0};
    (void)state;
    simulate(ctx, text, fresh_state("first"), &r);
    set_stage(ctx, text, 1, &s);
    for (int64_t buyer = 0; buyer < 2; buyer++) {
        const whet_weights a = weights_of(&s, buyer), b = weights_of(&s, 1 - buyer);
        const whet_mode_data select = held(&s, WHET_I_FOR_SELECT, buyer);
        const whet_mode_data gate = held(&s, WHET_I_FOR_GATE, buyer);
        float w[H * D], bias[H];
        int order[H], moved = 0;
        whet_named_tensor items[2] = {b.items[0], b.items[1]};
        whet_trial_job job = WHET_TRIAL_JOB_INIT;
        whet_trial_result t;
        best_order(a.items, b.items, order);
        for (int u = 0; u < H; u++) {
            memcpy(w + u * D, (const float *)b.items[0].tensor.data + order[u] * D, sizeof *w * D);
            bias[u] = ((const float *)b.items[1].tensor.data)[order[u]];
            moved += order[u] != u;
        }
        assert_true(moved > 0); /* else this could not tell */
        items[0].tensor.data = w;
        items[1].tensor.data = bias;
        const whet_weights seller = {items, 2};
        job.arch = "mlp";
        job.buyer = &a;
        job.seller = &seller;
        job.goods = goods;
        job.n_goods = 2;
        job.select = &select;
        job.gate = &gate;
        job.search = WHET_TRIAL_REFINED;
        job.opts.level = .5;
        job.opts.offers = 2;
        test_ok(ctx, whet_trial_run(ctx, &job, &t));
        const whet_trading_trial *row = &r.trials[buyer];
        assert_int_equal(row->buyer, buyer);
        assert_int_equal(row->units, WHET_UNITS_PART);
        assert_true(row->weight == t.weight);
        assert_true(row->gate_after == t.decision.after);
        for (int64_t i = 2; i < t.n_mixed; i++)
            assert_memory_equal(t.mixed[i].tensor.data, a.items[i].tensor.data,
                                (size_t)whet_tensor_count(&a.items[i].tensor) * sizeof(float));
        whet_trial_result_free(ctx, &t);
    }
    clear_stage(ctx, &s);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* A last layer says nothing of the units that it reads, which stay; activations do. */
static void a_last_layer(void **state) {
#define LAST ", 'reveals': ['layer1.*']"
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result part, plain, data;
    (void)state;
    simulate(ctx, market_of(LAST, LAST, ""), fresh_state("last"), &part);
    simulate(ctx, market_of("", "", ", 'goods': ['layer1.*'], 'align': 'none'"),
             fresh_state("last-plain"), &plain);
    simulate(ctx, market_of(LAST, LAST, ", 'align': 'activations'"), fresh_state("last-data"),
             &data);
    same_scores(&part, WHET_ARM_MARKET, &plain, WHET_ARM_MARKET);
    for (int64_t i = 0; i < part.n_trials; i++)
        assert_int_equal(part.trials[i].units, WHET_UNITS_AS_THEY_ARE);
    assert_int_equal(data.trials[0].units, WHET_UNITS_ALIGNED);
    assert_true(data.trials[0].select_after != part.trials[0].select_after);
    whet_trading_result_free(ctx, &part);
    whet_trading_result_free(ctx, &plain);
    whet_trading_result_free(ctx, &data);
    test_ctx_done(ctx);
}

/* ---- auctions ---------------------------------------------------------------------------------- */

/* C has little money and a belief; B's gain costs A. */
#define AUCTION \
    "{" DATA ", " BROKER ", " MODEL ", 'training': {'epochs': 10, " SGD "}, 'agents': [" \
    "{'kept': 0.1, 'externality': 1100, 'trade_cost': 2}, {'kept': 0.3, 'competitor': true}, " \
    "{'kept': 0.1, 'wallet': 20, 'belief': 'uniform:0:240', 'valuation': 'linear:800'}], " \
    "'trading': {'start': 1, 'mechanism': 'second-price', 'level': 0.5, 'trial_fee': 1, " \
    "'fees': {'buyer': 1, 'seller': 2, 'buyer_rate': 500, 'seller_rate': 300}}, 'seeds': [3, 4, " \
    "6]}"

static int64_t pays(int64_t p) { return p + 1 + p * 500 / 10000; }
static int64_t gets(int64_t p) { return p - 2 - p * 300 / 10000; }

/* Prices are what is left when fees are taken as real numbers: 5 % on top, 3 % out of it. */
static int64_t dearest_of(double most) {
    int64_t p = -1;
    while ((double)(p + 1) * 1.05 + 1 <= most) p++;
    return p;
}

/* By trying all prices. */
static int64_t reserve_of(const whet_trading_trial *t) {
    int64_t least = 0, best = 0;
    double most = 0;
    while ((double)least * .97 - 2 < t->reservation) least++;
    if (t->seller != 2) return least;
    for (int64_t p = least; (double)p * 1.05 < 239; p++) {
        const double profit = ((double)p - (t->reservation + 2) / .97) * (239 - (double)p * 1.05);
        if (profit > most) {
            most = profit;
            best = p;
        }
    }
    return most > 0 ? best : least;
}

/* One auction: rows [n] of a seller in a period; wallets as they are before. */
static void check_auction(const whet_trading_trial *t, int64_t n, int64_t *wallets, int64_t *seen) {
    int64_t bids[3] = {-1, -1, -1}, winner = -1;
    for (int64_t i = 0; i < n; i++) {
        seen[t[i].outcome]++;
        if (t[i].outcome == WHET_TRADE_BOUGHT) {
            assert_int_equal(winner, -1); /* one buyer at most */
            winner = i;
        }
        if (!t[i].gate) continue;
        const int64_t worth = dearest_of(t[i].value), has = dearest_of((double)wallets[t[i].buyer]);
        const int64_t slack = t[i].seller == 2; /* whole prices around the best real one */
        bids[i] = worth < has ? worth : has;
        if (t[i].outcome == WHET_TRADE_NO_PRICE)
            assert_true(worth < reserve_of(&t[i]) + slack);
        else if (t[i].outcome == WHET_TRADE_NO_MONEY)
            assert_true(bids[i] < reserve_of(&t[i]) + slack && bids[i] < worth);
        else
            assert_true(bids[i] >= reserve_of(&t[i]) - slack);
        if (t[i].outcome == WHET_TRADE_NO_PRICE || t[i].outcome == WHET_TRADE_NO_MONEY)
            bids[i] = -1;
    }
    int64_t second = -1;
    for (int64_t i = 0; i < n; i++)
        if (i != winner && bids[i] > second) second = bids[i];
    if (winner < 0) {
        assert_int_equal(second, -1); /* who could buy would have */
    } else {
        const whet_trading_trial *w = &t[winner];
        const int64_t reserve = reserve_of(w);
        assert_true(bids[winner] >= second);
        assert_int_equal(w->buyer_pays, pays(w->price));
        assert_int_equal(w->seller_gets, gets(w->price));
        assert_true(w->value >= (double)w->buyer_pays);
        assert_true((double)w->seller_gets >= w->reservation);
        if (w->price != second) {
            assert_true(second < reserve + 1);
            assert_true(llabs(w->price - reserve) <= (w->seller == 2));
            seen[WHET_TRADE_OUTCOMES]++;
        } else
            seen[WHET_TRADE_OUTCOMES + 1]++;
        wallets[w->seller] += w->seller_gets;
        wallets[w->buyer] -= w->buyer_pays;
    }
    for (int64_t i = 0; i < n; i++)
        if (i != winner) wallets[t[i].buyer] -= t[i].fees;
}

/* Who wins what at which price, from values, reservations and wallets alone. */
static void auctions_off(void **state) {
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result r;
    int64_t wallets[3] = {0}, seen[WHET_TRADE_OUTCOMES + 2] = {0};
    (void)state;
    simulate(ctx, AUCTION, fresh_state("auction"), &r);
    for (int64_t s = 0; s < 3; s++) check_books(&r, s, WHET_ARM_MARKET, 1);
    for (int64_t i = 0, n, turn = 0; i < r.n_trials; i += n) {
        const whet_trading_trial *t = &r.trials[i];
        bool won[3] = {false};
        n = 1;
        if (i == 0 || t->seed != t[-1].seed)
            memcpy(wallets, (int64_t[]){1000000, 1000000, 20}, sizeof wallets);
        if (i == 0 || t->epoch != t[-1].epoch) turn = 0;
        if (t->outcome == WHET_TRADE_NOT_TRIED) continue;
        while (i + n < r.n_trials && t[n].seller == t->seller && t[n].epoch == t->epoch) n++;
        /* another seller is first in each period */
        assert_true((t->seller - t->epoch % 3 + 3) % 3 >= turn);
        turn = (t->seller - t->epoch % 3 + 3) % 3;
        for (int64_t k = i - 1; k >= 0 && r.trials[k].epoch == t->epoch; k--)
            if (r.trials[k].outcome == WHET_TRADE_BOUGHT) won[r.trials[k].buyer] = true;
        for (int64_t k = 0; k < n; k++) assert_false(won[t[k].buyer]); /* once a period */
        check_auction(t, n, wallets, seen);
    }
    for (int64_t i = 0; i < r.n_wallets; i++)
        if (r.wallets[i].seed == 2 && r.wallets[i].epoch == 9)
            assert_int_equal(r.wallets[i].available, wallets[r.wallets[i].agent]);
    assert_true(seen[WHET_TRADE_BOUGHT] > 5 && seen[WHET_TRADE_OUTBID] > 0);
    assert_true(seen[WHET_TRADE_NO_PRICE] > 0 && seen[WHET_TRADE_NO_MONEY] > 0);
    assert_true(seen[WHET_TRADE_OUTCOMES] > 0 && seen[WHET_TRADE_OUTCOMES + 1] > 0);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* ---- bounds before a trial --------------------------------------------------------------------- */

/* Mean loss of (1 - w) a + w b of one hidden layer, in f64. */
static double line_loss(const whet_weights *a, const whet_weights *b, double w,
                        const whet_mode_data *data) {
    double mixed[4][H * D], sum = 0;
    for (int t = 0; t < 4; t++)
        for (int64_t k = 0; k < whet_tensor_count(&a->items[t].tensor); k++)
            mixed[t][k] = (1 - w) * (double)((const float *)a->items[t].tensor.data)[k] +
                          w * (double)((const float *)b->items[t].tensor.data)[k];
    for (int64_t i = 0; i < data->n; i++) {
        double z[K], all = 0;
        for (int c = 0; c < K; c++) z[c] = mixed[3][c];
        for (int u = 0; u < H; u++) {
            double h = mixed[1][u];
            for (int d = 0; d < D; d++) h += mixed[0][u * D + d] * (double)data->x[i * D + d];
            for (int c = 0; c < K; c++) z[c] += mixed[2][c * H + u] * fmax(0, h);
        }
        for (int c = 0; c < K; c++) all += exp(z[c]);
        sum += log(all) - z[data->labels[i]];
    }
    return sum / (double)data->n;
}

/* Slopes by differences: at the buyer, half way and all the way of the reach. */
static double bound_by_hand(const whet_weights *a, const whet_weights *b, double reach,
                            const whet_mode_data *data) {
    const double h = 1e-6;
    double slopes[3], change = 0;
    for (int i = 0; i < 3; i++)
        slopes[i] =
            (line_loss(a, b, reach * i / 2 + h, data) - line_loss(a, b, reach * i / 2 - h, data)) /
            (2 * h);
    for (int i = 1; i < 3; i++)
        change = fmax(change, fabs(slopes[i] - slopes[i - 1]) / (reach / 2));
    return fmax(0, -reach * slopes[0] + change * reach * reach / 2) / line_loss(a, b, 0, data);
}

static void looks_ahead(void **state) {
    whet_ctx *ctx = test_ctx(2);
    const char *text = market_of("", "", ", 'align': 'none', 'prior': 0.6");
    whet_trading_result r, plain;
    stage s = {0};
    (void)state;
    simulate(ctx, text, fresh_state("prior"), &r);
    set_stage(ctx, text, 1, &s);
    for (int64_t buyer = 0; buyer < 2; buyer++) {
        const whet_weights a = weights_of(&s, buyer), b = weights_of(&s, 1 - buyer);
        const whet_mode_data select = held(&s, WHET_I_FOR_SELECT, buyer);
        assert_int_equal(r.trials[buyer].buyer, buyer);
        /* gradients in f32 against differences in f64 of a loss with kinks */
        close_to(r.trials[buyer].gain_most, bound_by_hand(&a, &b, .6, &select), 1e-3);
        assert_true(r.trials[buyer].gain_most > 0);
    }
    clear_stage(ctx, &s);
    /* What is tried is tried as without. */
    simulate(ctx, market_of("", "", ", 'align': 'none'"), fresh_state("no-prior"), &plain);
    same_scores(&r, WHET_ARM_MARKET, &plain, WHET_ARM_MARKET);
    for (int64_t i = 0; i < r.n_trials; i++) {
        assert_true(r.trials[i].gain == plain.trials[i].gain);
        assert_true(isfinite(r.trials[i].gain_most) && isnan(plain.trials[i].gain_most));
    }
    whet_trading_result_free(ctx, &r);
    whet_trading_result_free(ctx, &plain);
    test_ctx_done(ctx);
}

/* Trials that cannot be worth their fee are not made, and cost nothing: a bound b is worth 1000 b. */
static void spares_fees(void **state) {
#define FEE(prior, fee, mechanism) \
    "{" DATA ", " BROKER ", " MODEL ", 'training': {'epochs': 8, " SGD "}, 'agents': " \
    "[{'kept': 0.1}, {'kept': 0.1}, {'kept': 0.5}], 'trading': {'start': 0, 'level': 0.5, " \
    "'mechanism': '" mechanism "', 'align': 'activations', 'trial_fee': " fee prior "}}"
    static const char *const texts[] = {FEE(", 'prior': 1", "400", "nash"),
                                        FEE(", 'prior': 1", "400", "second-price")};
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result r;
    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t spared = 0, tried = 0;
        simulate(ctx, texts[i], fresh_state("fees"), &r);
        check_books(&r, 0, WHET_ARM_MARKET, 0);
        for (int64_t k = 0; k < r.n_trials; k++) {
            const whet_trading_trial *t = &r.trials[k];
            if (t->outcome == WHET_TRADE_NOT_TRIED) {
                if (isnan(t->gain_most))
                    continue; /* after a trial that was worth less than its fee */
                assert_true(1000 * t->gain_most < 400 && t->fees == 0 && isnan(t->gain));
                spared++;
            } else {
                assert_true(1000 * t->gain_most >= 400);
                tried++;
            }
        }
        assert_true(spared > 0 && tried > 0);
        whet_trading_result_free(ctx, &r);
    }
    simulate(ctx, FEE(", 'prior': 1", "90000", "nash"), fresh_state("fees"), &r);
    same_scores(&r, WHET_ARM_MARKET, &r, WHET_ARM_SILO);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* Weights that are the buyer's own promise nothing. */
static void the_same_weights(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_result r;
    (void)state;
    simulate(ctx,
             "{" DATA ", " BROKER ", 'model': {'arch': 'mlp', 'widths': [6], 'shared_init': true}, "
             "'training': {'epochs': 1, 'optimizer': 'sgd', 'rate': 1e-9, 'batch': 16}, 'agents': "
             "[{}, {}], 'trading': {'start': 0, 'prior': 1, 'goods': ['layer0.bias']}}",
             fresh_state("same"), &r);
    assert_int_equal(r.n_trials, 2);
    for (int64_t i = 0; i < 2; i++) {
        assert_int_equal(r.trials[i].outcome, WHET_TRADE_NOT_TRIED);
        assert_true(r.trials[i].gain_most == 0);
    }
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* ---- examples drawn by each seed --------------------------------------------------------------- */

#define SPLIT(split, seeds) \
    "{'data': {'train_x': 'x.npy', 'train_y': 'y.npy', 'test_x': 'tx.npy', 'test_y': 'ty.npy', " \
    "'split_seed': " split "}, " BROKER ", " MODEL ", 'training': {'epochs': 4, " SGD "}, " \
    "'agents': [{'kept': 0.1}, {'kept': 0.2, 'relabel': [0, 1, 2, 0]}], 'seeds': " seeds ", " \
    "'trading': {'start': 1, 'level': 0.5, 'goods': 'tower'}}"

/* Whether all scores of a seed are those of a simulation of one. */
static bool is_seed(const whet_trading_result *r, int64_t seed, const whet_trading_result *one) {
    int64_t k = 0;
    bool same = true;
    for (int64_t i = 0; i < r->n_scores; i++) {
        if (r->scores[i].seed != seed) continue;
        same = same && r->scores[i].test_loss == one->scores[k].test_loss &&
               r->scores[i].valid_loss == one->scores[k].valid_loss;
        k++;
    }
    assert_int_equal(k, one->n_scores);
    return same;
}

static void draws_by_seed(void **state) {
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result each, fixed, own[2];
    (void)state;
    simulate(ctx, SPLIT("'each'", "[3, 4]"), fresh_state("each"), &each);
    simulate(ctx, SPLIT("3", "[3, 4]"), fresh_state("fixed"), &fixed);
    simulate(ctx, SPLIT("3", "[3]"), fresh_state("own3"), &own[0]);
    simulate(ctx, SPLIT("4", "[4]"), fresh_state("own4"), &own[1]);
    assert_true(each.split_each && !fixed.split_each);
    for (int64_t s = 0; s < 2; s++) assert_true(is_seed(&each, s, &own[s]));
    assert_true(is_seed(&fixed, 0, &own[0]));
    assert_false(is_seed(&fixed, 1, &own[1])); /* of other examples, or nothing was shown */
    whet_trading_result_free(ctx, &each);
    whet_trading_result_free(ctx, &fixed);
    for (int i = 0; i < 2; i++) whet_trading_result_free(ctx, &own[i]);
    test_ctx_done(ctx);
}

/* The reference has all examples for everything but who trains on which. */
static void draws_by_seed_of_the_reference(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_market_data first, second;
    (void)state;
    whet_trading_config *c = read_config(
        ctx,
        "{'data': {'train_x': 'x.npy', 'train_y': 'y.npy', 'test_x': 'tx.npy', 'test_y': "
        "'ty.npy', 'split_seed': 'each'}, " MODEL ", 'reference': true, 'training': {'epochs': "
        "2}, 'agents': [{'kept': 0.5}, {}], 'seeds': [5, 6]}");
    test_ok(ctx, whet_i_market_data_read(ctx, c, &first));
    test_ok(ctx, whet_i_market_data_again(ctx, c, &first, 6, &second));
    assert_int_equal(first.split_seed, 5);
    assert_int_equal(first.n_rows[0], second.n_rows[0]);
    assert_memory_not_equal(first.rows[0], second.rows[0],
                            (size_t)first.n_rows[0] * sizeof(int64_t));
    for (int p = WHET_I_FOR_SELECT; p < WHET_I_PURPOSES; p++)
        for (int64_t a = 0; a < 3; a++) {
            assert_ptr_equal(first.held[p][a].x, second.held[p][a].x);
            assert_int_equal(first.held[p][a].n, second.held[p][a].n);
        }
    whet_i_market_data_free(ctx, &second);
    whet_i_market_data_free(ctx, &first);
    whet_trading_config_destroy(ctx, c);
    test_ctx_done(ctx);
}

/* ---- what is refused --------------------------------------------------------------------------- */

static void refused(whet_ctx *ctx, const char *text, whet_status status, const char *says) {
    whet_trading_config *c = NULL;
    whet_trading_result r;
    whet_status got = whet_trading_config_read(ctx, config_file(text), NULL, &c);
    if (got == WHET_OK) got = whet_trading_run(ctx, c, fresh_state("refused"), &r);
    test_status_(ctx, got, status, text, __FILE__, __LINE__);
    test_says(ctx, says);
    whet_trading_config_destroy(ctx, c);
}

static void refuses(void **state) {
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    refused(ctx, market_of(", 'reveals': 'some'", "", ""), WHET_ERR_FORMAT,
            "agent \"A\": \"reveals\" is another word");
    refused(ctx, market_of(", 'reveals': 3", "", ""), WHET_ERR_FORMAT, "expected \"full\"");
    refused(ctx, market_of(", 'reveals': []", "", ""), WHET_ERR_FORMAT,
            "\"reveals\" has 0 patterns");
    refused(ctx, market_of(", 'reveals': ['']", "", ""), WHET_ERR_FORMAT,
            "\"reveals\"[0] is empty");
    refused(ctx, market_of("", ", 'reveals': ['layr*']", ""), WHET_ERR_DATA,
            "agent \"B\": \"reveals\": no tensor of the network is called \"layr*\"");
    refused(ctx, market_of("", ", 'reveals': ['layer1.*']", ", 'goods': 'tower'"), WHET_ERR_DATA,
            "agent \"B\": \"reveals\" has none of the \"goods\"");
    refused(ctx,
            "{" DATA ", " MODEL ", 'training': {'epochs': 4}, 'agents': [{}, {'reveals': ['*']}], "
            "'controls': ['fedavg']}",
            WHET_ERR_DATA, "an agent \"reveals\" some");
    refused(ctx, market_of("", "", ", 'mechanism': 'second-price', 'greedy': true"), WHET_ERR_DATA,
            "\"greedy\" with \"mechanism\" second-price");
    refused(ctx, market_of("", "", ", 'mechanism': 'second-price', 'disclosure': 'both'"),
            WHET_ERR_DATA, "\"disclosure\" both with \"mechanism\" second-price");
    refused(ctx, market_of("", "", ", 'mechanism': 'second-price', 'floor': 0.1"), WHET_ERR_DATA,
            "\"floor\" has no use");
    refused(ctx, market_of("", "", ", 'prior': 1.5"), WHET_ERR_FORMAT, "\"prior\" is 1.5");
    refused(ctx,
            "{" DATA
            ", 'model': {'arch': 'resnet'}, 'training': {'epochs': 4}, 'agents': [{}, {}], "
            "'trading': {'prior': 1}}",
            WHET_ERR_DATA, "\"prior\" with \"arch\" resnet");
    refused(ctx,
            "{" DATA ", " MODEL
            ", 'reference': true, 'training': {'epochs': 4}, 'agents': [{}, {}], "
            "'trading': {'prior': 1}}",
            WHET_ERR_DATA, "\"reference\", which tries every seller");
    refused(ctx, market_of("", "", ", 'search': 'grid', 'outright': true"), WHET_ERR_DATA,
            "\"outright\" with \"search\" grid");
    refused(ctx,
            "{" DATA ", " MODEL
            ", 'reference': true, 'training': {'epochs': 4}, 'agents': [{}, {}], "
            "'trading': {'outright': true}}",
            WHET_ERR_DATA, "\"outright\" with \"reference\"");
    refused(ctx,
            "{" DATA ", " MODEL
            ", 'reference': true, 'training': {'epochs': 4}, 'agents': [{}, {}], "
            "'trading': {'level': 0.05}}",
            WHET_ERR_DATA, "\"level\" has no use with \"reference\"");
    refused(ctx, SPLIT("'every'", "[1]"), WHET_ERR_FORMAT, "\"split_seed\" is another word");
    refused(ctx, SPLIT("-1", "[1]"), WHET_ERR_FORMAT, "\"split_seed\"");
    refused(ctx, SPLIT("1.5", "[1]"), WHET_ERR_FORMAT, "\"split_seed\"");
    test_ctx_done(ctx);
}

/* ---- allocations ------------------------------------------------------------------------------- */

static whet_status body(whet_ctx *ctx, void *arg) {
    whet_trading_config *c = NULL;
    whet_trading_result r;
    (void)arg;
    const char *state = fresh_state("alloc-state");
    WHET_TRY(whet_trading_config_read(ctx, test_tmp("config.json"), NULL, &c));
    const whet_status status = whet_trading_run(ctx, c, state, &r);
    if (status == WHET_OK) whet_trading_result_free(ctx, &r);
    whet_trading_config_destroy(ctx, c);
    return status;
}

static whet_status body_of_data(whet_ctx *ctx, void *arg) {
    whet_trading_config *c = NULL;
    whet_i_market_data first = {0}, second = {0};
    (void)arg;
    whet_status status = whet_trading_config_read(ctx, test_tmp("config.json"), NULL, &c);
    if (status == WHET_OK) status = whet_i_market_data_read(ctx, c, &first);
    if (status == WHET_OK) status = whet_i_market_data_again(ctx, c, &first, 4, &second);
    whet_i_market_data_free(ctx, &second);
    whet_i_market_data_free(ctx, &first);
    whet_trading_config_destroy(ctx, c);
    return status;
}

static void survives_allocations(void **state) {
    (void)state;
    (void)config_file("{" DATA ", " BROKER ", 'model': {'arch': 'mlp', 'widths': [3]}, 'training': "
                      "{'epochs': 1, 'optimizer': 'sgd', 'rate': 0.3, 'batch': 64}, "
                      "'agents': [{'buys': false, 'reveals': ['layer0.*']}, {}], "
                      "'trading': {'start': 0, 'search': 'grid', 'prior': 1}}");
    assert_true(test_each_allocation(body, NULL) > 300);
    (void)config_file(SPLIT("'each'", "[3, 4]"));
    assert_true(test_each_allocation(body_of_data, NULL) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_nothing_and_everything),
        cmocka_unit_test(a_first_layer),
        cmocka_unit_test(a_last_layer),
        cmocka_unit_test(auctions_off),
        cmocka_unit_test(looks_ahead),
        cmocka_unit_test(spares_fees),
        cmocka_unit_test(the_same_weights),
        cmocka_unit_test(draws_by_seed),
        cmocka_unit_test(draws_by_seed_of_the_reference),
        cmocka_unit_test(refuses),
        cmocka_unit_test(survives_allocations),
    };
    return cmocka_run_group_tests(tests, make_data, NULL);
}
