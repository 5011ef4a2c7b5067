/* SPDX-License-Identifier: Apache-2.0
 * The simulated market: who has which examples, the published protocol against a second implementation, money
 * kept, what was stopped going on to the same bits, threads, configurations that are refused, allocations. */
#include <sys/stat.h>
#include <unistd.h>

#include "trading_support.h"

/* ---- who has what ---------------------------------------------------------------------------- */

static int64_t count_class(const whet_i_market_data *d, int64_t agent, int32_t c) {
    int64_t n = 0;
    for (int64_t i = 0; i < d->n_rows[agent]; i++)
        n += ((const int32_t *)d->train_y.data)[d->rows[agent][i]] == c;
    return n;
}

static void deals_examples(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_market_data d;
    (void)state;
    /* The reference holds nothing back: 40 of each class; .1 of 40 is 4. */
    whet_trading_config *c = read_config(
        ctx, "{" DATA ", " MODEL ", 'reference': true, 'training': {'epochs': 2}, 'agents': "
             "[{'kept': 0.1}, {'kept': 0.29}]}");
    test_ok(ctx, whet_i_market_data_read(ctx, c, &d));
    const int64_t expected[2][K] = {{4, 4, 40, 40}, {40, 40, 11, 11}}; /* .29 x 40 = 11.6 */
    for (int64_t a = 0; a < 2; a++)
        for (int32_t k = 0; k < K; k++) assert_int_equal(count_class(&d, a, k), expected[a][k]);
    assert_int_equal(d.n_rows[2], N);
    assert_int_equal(d.held[WHET_I_FOR_SELECT][0].n, TESTS);
    assert_int_equal(d.held[WHET_I_FOR_GATE][0].n, 0);
    whet_i_market_data_free(ctx, &d);
    whet_trading_config_destroy(ctx, c);
    /* Shares by class, a task of its own, and the broker's rows are nobody's. */
    c = read_config(ctx, "{" DATA ", " BROKER ", " MODEL
                         ", 'training': {'epochs': 2}, 'trading': {'goods': 'tower'}, 'agents': "
                         "[{'shares': [0, 1, 0.5, 1]}, {'relabel': [1, 0, -1, 1]}]}");
    test_ok(ctx, whet_i_market_data_read(ctx, c, &d));
    assert_int_equal(count_class(&d, 0, 0), 0);
    assert_int_equal(count_class(&d, 0, 2), count_class(&d, 2, 2) / 2);
    assert_int_equal(count_class(&d, 1, 2), 0);
    assert_int_equal(d.n_rows[2], N - 50);
    assert_int_equal(d.held[WHET_I_FOR_TEST][1].n, TESTS * 3 / 4);
    assert_int_equal(d.held[WHET_I_FOR_TEST][1].labels[0], 1);
    assert_int_equal(d.outputs, K);
    for (int p = WHET_I_FOR_SELECT; p <= WHET_I_FOR_GATE; p++)
        for (int64_t i = 0; i < d.held[p][2].n; i++)
            for (int64_t k = 0; k < d.n_rows[2]; k++)
                assert_memory_not_equal((const float *)d.train_x.data + d.rows[2][k] * D,
                                        d.held[p][2].x + i * D, D * sizeof(float));
    whet_i_market_data_free(ctx, &d);
    whet_trading_config_destroy(ctx, c);
    test_ctx_done(ctx);
}

/* Bytes are x / 255 less the mean by the deviation; moved images have the border of black. */
static void feeds_bytes(void **state) {
    whet_ctx *ctx = test_ctx(1);
    uint8_t pixels[2 * 2 * 3];
    float out[12];
    (void)state;
    for (int i = 0; i < 12; i++) pixels[i] = (uint8_t)(20 * i);
    whet_i_market_data d = {.train_x = {.data = pixels, .dtype = WHET_U8},
                            .scale = {1, 2, 3},
                            .shift = {-1, 0, .5F},
                            .image = {2, 2, 3},
                            .d = 12};
    whet_i_market_row(&d, 0, false, 0, out);
    for (int i = 0; i < 12; i++)
        assert_true(out[i] == (float)(20 * i) * d.scale[i % 3] + d.shift[i % 3]);
    int seen = 0, black = 0;
    for (uint64_t key = 0; key < 200; key++) {
        whet_i_market_row(&d, 0, true, key, out);
        for (int i = 0; i < 12; i += 3) {
            int match = 0;
            for (int p = 0; p < 12; p += 3)
                match |=
                    out[i] == (float)pixels[p] - 1 && out[i + 2] == (float)pixels[p + 2] * 3 + .5F;
            black += !match;
            seen += match;
            if (!match) assert_true(out[i] == -1 && out[i + 1] == 0 && out[i + 2] == .5F);
        }
    }
    assert_true(seen > 20 && black > 200);
    test_ctx_done(ctx);
}

/* ---- the published protocol, again ----------------------------------------------------------- */

enum { H = 6, NUMBERS = H * D + H + K * H + K };

/* The whole experiment in f64 for one hidden layer: weights w0 [H, D], b0, w1 [K, H], b1 behind each other.
 * */
typedef struct net {
    double w[NUMBERS];
} net;

static void forward(const net *m, const float *x, double *hidden, double *p) {
    const double *b0 = m->w + H * D, *w1 = b0 + H, *b1 = w1 + K * H;
    double sum = 0;
    for (int j = 0; j < H; j++) {
        hidden[j] = b0[j];
        for (int i = 0; i < D; i++) hidden[j] += m->w[j * D + i] * (double)x[i];
        hidden[j] = fmax(0, hidden[j]);
    }
    for (int c = 0; c < K; c++) {
        p[c] = b1[c];
        for (int j = 0; j < H; j++) p[c] += w1[c * H + j] * hidden[j];
    }
    for (int c = 0; c < K; c++) sum += exp(p[c]);
    for (int c = 0; c < K; c++) p[c] = exp(p[c]) / sum;
}

/* The mean of the means of batches of 16, as the reference has it. */
static double batch_loss(const net *m, const float *x, const int32_t *y, int64_t n) {
    double hidden[H], p[K], all = 0;
    int64_t batches = 0;
    for (int64_t first = 0; first < n; first += 16, batches++) {
        const int64_t rows = n - first < 16 ? n - first : 16;
        double sum = 0;
        for (int64_t i = first; i < first + rows; i++) {
            forward(m, x + i * D, hidden, p);
            sum -= log(p[y[i]]);
        }
        all += sum / (double)rows;
    }
    return all / (double)batches;
}

static void step(net *m, const whet_i_market_data *d, const int64_t *rows, int64_t n) {
    double g[NUMBERS] = {0}, hidden[H], p[K];
    double *gb0 = g + H * D, *gw1 = gb0 + H, *gb1 = gw1 + K * H;
    const double *w1 = m->w + H * D + H;
    for (int64_t i = 0; i < n; i++) {
        const float *x = (const float *)d->train_x.data + rows[i] * D;
        forward(m, x, hidden, p);
        p[((const int32_t *)d->train_y.data)[rows[i]]] -= 1;
        for (int c = 0; c < K; c++) {
            gb1[c] += p[c];
            for (int j = 0; j < H; j++) gw1[c * H + j] += p[c] * hidden[j];
        }
        for (int j = 0; j < H; j++) {
            double back = 0;
            for (int c = 0; c < K; c++) back += p[c] * w1[c * H + j];
            if (hidden[j] <= 0) continue;
            gb0[j] += back;
            for (int k = 0; k < D; k++) g[j * D + k] += back * (double)x[k];
        }
    }
    for (int i = 0; i < NUMBERS; i++) m->w[i] -= .3 * g[i] / (double)n;
}

/* An epoch in the order of batches that the library draws. */
static void epoch(whet_ctx *ctx, net *m, const whet_i_market_data *d, uint64_t base, int64_t agent,
                  int64_t e) {
    const int64_t n = d->n_rows[agent];
    const whet_i_batches_opts opts = {
        16, 16, false, true, whet_i_hash_u64(base + 2 * (uint64_t)agent + 1), e};
    int64_t lengths[N], rows[16];
    whet_i_batches b;
    for (int64_t i = 0; i < n; i++) lengths[i] = 1;
    test_ok(ctx, whet_i_batches_make(ctx, lengths, n, &opts, &b));
    for (int64_t s = 0; s < b.n_micro; s++) {
        const int64_t first = b.micro_start[s], count = b.micro_start[s + 1] - first;
        for (int64_t i = 0; i < count; i++) rows[i] = d->rows[agent][b.order[first + i]];
        step(m, d, rows, count);
    }
    whet_i_batches_free(ctx, &b);
}

/* The best of ten shares for the buyer, if it gains. */
static bool trade(const net *buyer, const net *seller, const whet_i_examples *t, double *gain,
                  double *weight, net *out) {
    const double before = batch_loss(buyer, t->x, t->labels, t->n);
    double best = (double)INFINITY;
    for (int i = 0; i < 10; i++) {
        const double w = .05 + .1 * i;
        net mixed;
        for (int k = 0; k < NUMBERS; k++) mixed.w[k] = (1 - w) * buyer->w[k] + w * seller->w[k];
        const double loss = batch_loss(&mixed, t->x, t->labels, t->n);
        if (loss >= best) continue;
        best = loss;
        *weight = w;
        *out = mixed;
    }
    *gain = (before - best) / before;
    return *gain > 0;
}

#define REFERENCE \
    "{" DATA ", " MODEL ", 'reference': true, 'training': {'epochs': 8, " SGD "}, " \
    "'agents': [{'kept': 0.1}, {'kept': 0.1}], 'trading': {'start': 2, 'frequency': 3, " \
    "'align': 'none'}, 'seeds': [11]}"

static void follows_the_reference(void **state) {
    whet_ctx *ctx = test_ctx(2);
    whet_trading_config *c = read_config(ctx, REFERENCE);
    const uint64_t base = whet_i_hash_u64(11);
    whet_i_market_data d;
    whet_trading_result r;
    net own[2], next[2];
    int64_t row = 0, bought = 0;
    (void)state;
    test_ok(ctx, whet_i_market_data_read(ctx, c, &d));
    test_ok(ctx, whet_trading_run(ctx, c, fresh_state("reference"), &r));
    for (int64_t a = 0; a < 2; a++) { /* the same beginnings */
        whet_i_trader *trader;
        int64_t n, at = 0;
        test_ok(ctx, whet_i_trader_create(ctx, c, &d, 0, a, &trader));
        const whet_named_tensor *w = whet_i_trader_weights(trader, &n);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < whet_tensor_count(&w[i].tensor); k++)
                own[a].w[at++] = (double)((const float *)w[i].tensor.data)[k];
        assert_int_equal(at, NUMBERS);
        whet_i_trader_destroy(ctx, trader);
    }
    const whet_i_examples *t = &d.held[WHET_I_FOR_TEST][0];
    for (int64_t e = 0; e < 8; e++) {
        for (int64_t a = 0; a < 2; a++) epoch(ctx, &own[a], &d, base, a, e);
        if (e >= 2 && e % 3 == 0) { /* epochs 3 and 6, not 2 and 5 */
            for (int64_t a = 0; a < 2; a++) {
                double gain, weight = 0;
                const whet_trading_trial *got = &r.trials[row++];
                const bool buys = trade(&own[a], &own[1 - a], t, &gain, &weight, &next[a]);
                assert_int_equal(got->epoch, e);
                assert_int_equal(got->buyer, a);
                assert_int_equal(got->outcome, buys ? WHET_TRADE_BOUGHT : WHET_TRADE_NO_GAIN);
                /* f32 against f64 over some hundred steps */
                close_to(got->gain, gain, 1e-4);
                close_to(got->weight, weight, 1e-12);
                if (!buys) next[a] = own[a];
                bought += buys;
            }
            memcpy(own, next, sizeof own);
        }
        for (int64_t i = 0; i < r.n_scores; i++) {
            const whet_trading_score *s = &r.scores[i];
            if (s->arm != WHET_ARM_MARKET || s->epoch != e) continue;
            double hidden[H], p[K], sum = 0;
            for (int64_t k = 0; k < t->n; k++) {
                forward(&own[s->agent], t->x + k * D, hidden, p);
                sum -= log(p[t->labels[k]]);
            }
            close_to(s->test_loss, sum / (double)t->n, 1e-4);
        }
    }
    assert_int_equal(row, r.n_trials);
    assert_true(bought > 0);
    whet_trading_result_free(ctx, &r);
    whet_i_market_data_free(ctx, &d);
    whet_trading_config_destroy(ctx, c);
    test_ctx_done(ctx);
}

/* ---- money ----------------------------------------------------------------------------------- */

static void check_trial(const whet_trading_trial *t) {
    if (t->outcome == WHET_TRADE_NOT_TRIED) {
        assert_true(isnan(t->gain) && t->fees == 0);
        return;
    }
    assert_true(t->weight >= 0 && t->weight <= 1);
    assert_true(t->gate == (t->gain_low > 0));
    if (!t->gate) assert_int_equal(t->outcome, WHET_TRADE_NO_GAIN);
    if (t->posted) assert_true((double)t->seller_gets >= t->reservation);
    if (t->outcome == WHET_TRADE_REFUSED) assert_true((double)t->buyer_pays > t->value);
    if (t->outcome != WHET_TRADE_BOUGHT) return;
    assert_true((double)t->buyer_pays <= t->value);
    assert_int_equal(t->buyer_pays, t->seller_gets + t->fees);
    assert_int_equal(t->buyer_pays, t->price + 1 + t->price / 100);
}

static void keeps_money(void **state) {
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result r;
    int64_t bought = 0, not_bought = 0;
    double paid = 0;
    (void)state;
    simulate(ctx, MARKET, fresh_state("money"), &r);
    for (int64_t s = 0; s < 2; s++) {
        check_books(&r, s, WHET_ARM_MARKET, 1);
        check_books(&r, s, WHET_ARM_NO_ALIGN, 1);
    }
    for (int64_t i = 0; i < r.n_trials; i++) {
        check_trial(&r.trials[i]);
        if (r.trials[i].arm != WHET_ARM_MARKET) continue;
        bought += r.trials[i].outcome == WHET_TRADE_BOUGHT;
        not_bought += r.trials[i].outcome != WHET_TRADE_BOUGHT;
    }
    assert_true(bought > 0 && not_bought > 0);
    for (int64_t i = 0; i < r.n_surplus; i++)
        if (r.surplus[i].arm == WHET_ARM_MARKET) paid += r.surplus[i].paid - r.surplus[i].received;
    close_to(paid, r.broker, 1e-9);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* Gains are paired differences over seeds: by hand for two, where half is t (1) |d1 - d2| / 2. */
static void tells_gains(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_result r;
    (void)state;
    simulate(ctx, MARKET, fresh_state("gains"), &r);
    for (int64_t g = 0; g < r.n_gains; g++) {
        const whet_trading_gain *gain = &r.gains[g];
        double d[2] = {0, 0};
        for (int64_t i = 0; i < r.n_scores; i++) {
            const whet_trading_score *s = &r.scores[i];
            const bool all = gain->agent == WHET_MEAN_AGENT;
            if (s->epoch != 5) continue;
            const double share = all ? (s->agent < 0 ? 1 : .5) : 1;
            const bool mine = all || s->agent == gain->agent || s->agent < 0;
            if (s->arm == gain->arm && mine) d[s->seed] += share * s->test_loss;
            if (s->arm == WHET_ARM_SILO && mine) d[s->seed] -= share * s->test_loss;
        }
        close_to(gain->loss, (d[0] + d[1]) / 2, 1e-12);
        close_to(gain->loss_half, 12.706204736174694 * fabs(d[0] - d[1]) / 2, 1e-12);
    }
    assert_int_equal(r.n_gains, 5 * 3);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* Every mechanism with what it needs; prices lie between cost and value. */
static void prices_by(void **state) {
    static const char *const ways[] = {
        "'mechanism': 'nash', 'power': 0.25",
        "'mechanism': 'rubinstein', 'first': 'buyer', 'discount_seller': 0.5",
        "'mechanism': 'double-auction', 'uniform': [0, 600], 'k': 0.5",
        "'mechanism': 'posted', 'disclosure': 'bounds'",
        "'mechanism': 'posted', 'disclosure': 'both'",
        "'mechanism': 'none', 'greedy': true, 'optimizer': 'keep', 'search': 'groups'",
        "'mechanism': 'nash', 'align': 'activations', 'gate': 'hoeffding', 'range': 0.01",
        "'mechanism': 'nash', 'gate': 'any-gain', 'goods': ['layer0.*'], 'outright': true"};
    static const char *const values[] = {"accuracy:2000", "cost-saving:80", "saturating:90:0.1",
                                         "saturating:90:0.1"};
    whet_ctx *ctx = test_ctx(2);
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char text[4096];
        whet_trading_config *c = NULL;
        whet_trading_result r;
        int64_t bought = 0;
        const bool believes = i == 3 || i == 5; /* where nothing is sold it may stand */
        (void)snprintf(
            text, sizeof text,
            "{" DATA ", " BROKER ", " MODEL ", 'training': {'epochs': 5, " SGD "}, "
            "'agents': [{'kept': 0, %s'valuation': '%s'}, {'kept': 0%s}, "
            "{'kept': 0.5, %s'buys': %s}], 'trading': {'start': 1, 'level': 0.5, %s}}",
            believes ? "'belief': 'exponential:0.01', " : "", i < 4 ? values[i] : "linear:1000",
            believes ? ", 'belief': 'uniform:0:500'" : "",
            believes ? "'belief': 'uniform:0:5', " : "", i % 2 ? "true" : "false", ways[i]);
        test_ok(ctx, whet_trading_config_read(ctx, config_file(text), NULL, &c));
        const whet_status status = whet_trading_run(ctx, c, fresh_state("ways"), &r);
        if (i == 6) { /* no differences of losses are that close: the first trial says so */
            test_status_(ctx, status, WHET_ERR_DATA, "range", __FILE__, __LINE__);
            test_says(ctx, "market, epoch 1");
            whet_trading_config_destroy(ctx, c);
            continue;
        }
        test_ok(ctx, status);
        for (int64_t t = 0; t < r.n_trials; t++) {
            const whet_trading_trial *x = &r.trials[t];
            assert_true(x->buyer != 2 || i % 2);
            if (x->outcome != WHET_TRADE_BOUGHT) continue;
            bought++;
            if (i != 5) assert_true((double)x->price >= x->reservation);
            if (i != 5) assert_true((double)x->price <= x->value);
        }
        if (bought == 0) fail_msg("%s: nothing was bought", ways[i]);
        whet_trading_result_free(ctx, &r);
        whet_trading_config_destroy(ctx, c);
    }
    test_ctx_done(ctx);
}

/* ---- agents -------------------------------------------------------------------------------------- */

/* What is bought comes with the optimiser begun anew, or with the old one; a state set back goes on alike. */
static void adopts_weights(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_config *c =
        read_config(ctx, "{" DATA ", " MODEL
                         ", 'reference': true, 'training': {'epochs': 2, 'optimizer': 'adam', "
                         "'batch': 16}, 'agents': [{'kept': 0.5}, {'kept': 0.5}]}");
    whet_i_market_data d;
    whet_i_trader *t[2];
    whet_i_trader_state before, after;
    double first, second;
    int64_t n;
    (void)state;
    test_ok(ctx, whet_i_market_data_read(ctx, c, &d));
    for (int64_t a = 0; a < 2; a++) test_ok(ctx, whet_i_trader_create(ctx, c, &d, 0, a, &t[a]));
    const int64_t numbers = whet_i_trader_numbers(t[0]);
    assert_int_equal(numbers, 3 * NUMBERS); /* and two moments */
    test_ok(ctx, whet_i_alloc(ctx, numbers, &before.numbers));
    test_ok(ctx, whet_i_alloc(ctx, numbers, &after.numbers));
    test_ok(ctx, whet_i_trader_train(ctx, t[0], &first));
    whet_i_trader_get(t[0], &before);
    assert_true(before.steps > 0 && before.epoch == 1);
    test_ok(ctx, whet_i_trader_train(ctx, t[0], &first));
    test_ok(ctx, whet_i_trader_set(ctx, t[0], &before));
    test_ok(ctx, whet_i_trader_train(ctx, t[0], &second));
    assert_true(first == second);
    for (int keep = 1; keep >= 0; keep--) {
        test_ok(ctx, whet_i_trader_set(ctx, t[0], &before));
        const whet_named_tensor *others = whet_i_trader_weights(t[1], &n);
        test_ok(ctx, whet_i_trader_adopt(ctx, t[0], others, keep == 1));
        whet_i_trader_get(t[0], &after);
        assert_int_equal(after.steps, keep ? before.steps : 0);
        int64_t at = 0, moved = 0;
        for (int64_t i = 0; i < n; i++) { /* of each tensor: values, then two moments */
            const int64_t count = whet_tensor_count(&others[i].tensor);
            assert_memory_equal(after.numbers + at, others[i].tensor.data,
                                (size_t)count * sizeof(float));
            for (int64_t k = at + count; k < at + 3 * count; k++) {
                assert_true(after.numbers[k] == (keep ? before.numbers[k] : 0));
                moved += before.numbers[k] != 0;
            }
            at += 3 * count;
        }
        assert_true(moved > 0);
    }
    whet_i_free(ctx, before.numbers);
    whet_i_free(ctx, after.numbers);
    for (int a = 0; a < 2; a++) whet_i_trader_destroy(ctx, t[a]);
    whet_i_market_data_free(ctx, &d);
    whet_trading_config_destroy(ctx, c);
    test_ctx_done(ctx);
}

static double silo_loss(const whet_trading_result *r, int64_t agent, int64_t e) {
    for (int64_t i = 0; i < r->n_scores; i++)
        if (r->scores[i].arm == WHET_ARM_SILO && r->scores[i].agent == agent &&
            r->scores[i].epoch == e)
            return r->scores[i].test_loss;
    return (double)NAN;
}

/* An agent two epochs ahead is where it would be two epochs later; towers pass between tasks. */
static void runs_gaps_and_tasks(void **state) {
#define TASKS(ahead) \
    "{" DATA ", " BROKER \
    ", 'model': {'arch': 'mlp', 'widths': [6], 'shared_init': true}, 'training': " \
    "{'epochs': 5, " SGD \
    "}, 'trading': {'goods': 'tower', 'start': 0, 'gate': 'any-gain'}, 'agents': " \
    "[{'relabel': [0, 1, 0, 1], 'ahead': " ahead "}, {'relabel': [0, 0, 1, -1], 'ahead': 0}]}"
    whet_ctx *ctx = test_ctx(2);
    whet_trading_result even, gap;
    int64_t bought = 0;
    (void)state;
    simulate(ctx, TASKS("0"), fresh_state("even"), &even);
    simulate(ctx, TASKS("2"), fresh_state("gap"), &gap);
    for (int64_t e = 0; e + 2 < 5; e++) {
        assert_true(silo_loss(&gap, 0, e) == silo_loss(&even, 0, e + 2));
        assert_true(silo_loss(&gap, 1, e) == silo_loss(&even, 1, e));
    }
    for (int64_t i = 0; i < even.n_trials; i++)
        bought += even.trials[i].outcome == WHET_TRADE_BOUGHT;
    assert_true(bought > 0);
    whet_trading_result_free(ctx, &even);
    whet_trading_result_free(ctx, &gap);
    test_ctx_done(ctx);
}

/* ---- going on, threads ----------------------------------------------------------------------- */

static int64_t polls_left;
static bool stop_later(void *user) {
    (void)user;
    return polls_left-- <= 0;
}

static void same_results(const whet_trading_result *a, const whet_trading_result *b) {
    whet_ctx *ctx = test_ctx(1);
    static const char *const names[] = {"results.json", "accuracy.tsv", "trades.tsv", "wallets.tsv",
                                        "flows.tsv"};
    const whet_trading_result *both[2] = {a, b};
    char folders[2][4096];
    (void)snprintf(folders[0], sizeof folders[0], "%s", test_tmp("one"));
    (void)snprintf(folders[1], sizeof folders[1], "%s", test_tmp("two"));
    for (int k = 0; k < 2; k++) {
        (void)mkdir(folders[k], 0777);
        for (int i = 0; i < 5; i++) {
            char *path;
            test_ok(ctx, whet_i_join_path(ctx, folders[k], names[i], &path));
            (void)remove(path);
            whet_i_free(ctx, path);
        }
        test_ok(ctx, whet_trading_write(ctx, both[k], folders[k]));
    }
    for (int i = 0; i < 5; i++) {
        char *bytes[2];
        int64_t len[2];
        for (int k = 0; k < 2; k++) {
            char *path;
            test_ok(ctx, whet_i_join_path(ctx, folders[k], names[i], &path));
            test_ok(ctx, whet_i_file_read(ctx, path, 1 << 24, &bytes[k], &len[k]));
            whet_i_free(ctx, path);
        }
        assert_int_equal(len[0], len[1]);
        assert_memory_equal(bytes[0], bytes[1], (size_t)len[0]);
        for (int k = 0; k < 2; k++) whet_i_free(ctx, bytes[k]);
    }
    test_ctx_done(ctx);
}

static void goes_on(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_trading_result whole, parts;
    int64_t stops = 0;
    (void)state;
    simulate(ctx, MARKET, fresh_state("whole"), &whole);
    const char *folder = fresh_state("parts");
    opts.cancel = stop_later;
    opts.threads = 1;
    for (;; stops++) { /* a little further each time, until it is done */
        whet_ctx *stopped = NULL;
        whet_trading_config *c;
        assert_int_equal(whet_ctx_create(&opts, &stopped), WHET_OK);
        polls_left = INT64_MAX;
        c = read_config(stopped, MARKET);
        polls_left = 150 + 40 * stops;
        const whet_status status = whet_trading_run(stopped, c, folder, &parts);
        whet_trading_config_destroy(stopped, c);
        polls_left = INT64_MAX;
        if (status == WHET_OK) {
            same_results(&whole, &parts);
            whet_trading_result_free(stopped, &parts);
        } else
            test_status_(stopped, status, WHET_ERR_CANCELLED, "stopped", __FILE__, __LINE__);
        whet_ctx_destroy(stopped);
        if (status == WHET_OK) break;
    }
    assert_true(stops > 3);
    whet_trading_result_free(ctx, &whole);
    test_ctx_done(ctx);
}

static void ignores_threads(void **state) {
    whet_ctx *one = test_ctx(1), *more = test_ctx(5);
    whet_trading_result a, b;
    (void)state;
    simulate(one, MARKET, fresh_state("threads"), &a);
    simulate(more, MARKET, fresh_state("threads"), &b);
    same_results(&a, &b);
    /* Another configuration does not take its state up. */
    whet_trading_result_free(more, &b);
    simulate(more, REFERENCE, test_tmp("threads"), &b);
    assert_int_equal(b.n_seeds, 1);
    whet_trading_result_free(one, &a);
    whet_trading_result_free(more, &b);
    test_ctx_done(one);
    test_ctx_done(more);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static void refuse(whet_status status, const char *text, const char *says) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_config *c = NULL;
    test_status_(ctx, whet_trading_config_read(ctx, config_file(text), NULL, &c), status, text,
                 __FILE__, __LINE__);
    test_says(ctx, says);
    assert_null(c);
    test_ctx_done(ctx);
}

static void refuses(void **state) {
#define REST ", 'training': {'epochs': 4}, 'agents': [{}, {}]"
#define START "{" DATA ", " MODEL
#define AGENTS_OF(a, b, trading) \
    ", 'training': {'epochs': 4}, 'agents': [{" a "}, {" b "}], 'trading': {" trading "}}"
    static const struct {
        whet_status status;
        const char *text, *says;
    } cases[] = {
        {WHET_ERR_FORMAT, "[]", "expected an object"},
        {WHET_ERR_FORMAT, START REST ", 'tradings': {}}",
         "\"tradings\" is unknown; expected \"trading\""},
        {WHET_ERR_FORMAT, START REST ", 'trading': {'frequncy': 2}}", "expected \"frequency\""},
        {WHET_ERR_FORMAT, START REST ", 'trading': {'frequency': 0}}", "\"frequency\" is 0"},
        {WHET_ERR_FORMAT, START REST ", 'trading': {'start': 4}}", "\"start\" is 4; expected"},
        {WHET_ERR_DATA, START REST ", 'trading': {'start': 1, 'frequency': 5}}", "no period"},
        {WHET_ERR_FORMAT, START REST ", 'trading': {'align': 'yes'}}",
         "expected none, weights or activations"},
        {WHET_ERR_DATA, START REST ", 'trading': {'align': 'none'}, 'controls': ['no-align']}",
         "no-align"},
        {WHET_ERR_DATA, START REST ", 'trading': {'mechanism': 'posted'}}", "has no \"belief\""},
        {WHET_ERR_DATA, START REST ", 'trading': {'power': 0.5}}", "\"power\" has no use"},
        {WHET_ERR_DATA, START REST ", 'trading': {'trial_fee': 5}}", "\"trial_fee\" has no use"},
        {WHET_ERR_FORMAT,
         START REST ", 'trading': {'mechanism': 'nash', 'fees': {'trial_fee': 5}}}",
         "\"fees\": \"trial_fee\" is unknown; expected it in \"trading\", beside \"fees\""},
        {WHET_ERR_DATA, START REST ", 'trading': {'mechanism': 'nash', 'disclosure': 'sealed'}}",
         "expected both"},
        {WHET_ERR_FORMAT, START REST ", 'trading': {'mechanism': 'double-auction'}}",
         "\"uniform\" is missing"},
        {WHET_ERR_DATA, START REST ", 'trading': {'gate': 'hoeffding'}}", "without \"range\""},
        {WHET_ERR_DATA, START REST ", 'trading': {'range': 2}}", "\"range\" has no use"},
        {WHET_ERR_DATA, START REST ", 'reference': true, 'broker': {}}", "test examples"},
        {WHET_ERR_DATA, START REST ", 'reference': true, 'trading': {'gate': 'paired'}}",
         "any gain"},
        {WHET_ERR_DATA, START REST ", 'reference': true, 'trading': {'search': 'refine'}}",
         "its grid"},
        {WHET_ERR_FORMAT, START REST ", 'controls': ['bnk']}",
         "expected silo, no-align, fedavg or bank"},
        {WHET_ERR_FORMAT, START REST ", 'seeds': [1, 1]}", "each once"},
        {WHET_ERR_FORMAT, START REST ", 'seeds': [0.5]}", "each once"},
        {WHET_ERR_FORMAT, START REST ", 'seeds': []}",
         "\"seeds\" has 0 numbers; expected 1 to 1000"},
        {WHET_ERR_FORMAT, "{" DATA ", 'model': {'arch': 'mlp', 'widths': []}" REST "}",
         "\"widths\" has 0 numbers; expected 1 to 16"},
        {WHET_ERR_FORMAT, START ", 'training': {'epochs': 4}, 'agents': []}", "\"agents\" has 0"},
        {WHET_ERR_FORMAT,
         START ", 'training': {'epochs': 4}, 'agents': [{'name': 'x'}, {'name': 'x'}]}",
         "expected another for each"},
        {WHET_ERR_FORMAT, START ", 'training': {'epochs': 4}, 'agents': [{'name': 'bank'}]}",
         "none of bank"},
        {WHET_ERR_FORMAT, START ", 'training': {'epochs': 4}, 'agents': [{'kept': 1.5}]}",
         "\"kept\" is 1.5"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 4}, 'agents': [{'kept': 1, 'shares': [1]}]}",
         "\"kept\" and \"shares\""},
        {WHET_ERR_DATA, START ", 'training': {'epochs': 4}, 'agents': [{'valuation': 'lin:3'}]}",
         "agent \"A\""},
        {WHET_ERR_DATA, START ", 'training': {'epochs': 4}, 'agents': [{'belief': 'uniform:9:1'}]}",
         "\"belief\""},
        {WHET_ERR_LIMIT,
         START ", 'training': {'epochs': 4}, 'agents': [{'belief': 'exponential:1e-300'}]}",
         "overflows"},
        {WHET_ERR_FORMAT, START ", 'training': {'epochs': 4}, 'agents': [{'wallet': 1e30}]}",
         "\"wallet\""},
        {WHET_ERR_DATA, START ", 'training': {'epochs': 4}, 'agents': [{'relabel': [0, 1]}, {}]}",
         "expected \"goods\""},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 4}, 'trading': {'goods': 'tower'}, 'controls': ['bank'], "
               "'agents': [{'relabel': [0, 1]}, {}]}",
         "has bank"},
        {WHET_ERR_DATA, START REST ", 'trading': {'goods': 'tower'}, 'controls': ['fedavg']}",
         "has fedavg"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 4, 'optimizer': 'adam', 'momentum': 0.9}, 'agents': [{}]}",
         "\"momentum\" has no use"},
        {WHET_ERR_FORMAT, START ", 'training': {}, 'agents': [{}]}", "\"epochs\" is missing"},
        {WHET_ERR_DATA, "{" DATA ", 'model': {'arch': 'lenet', 'widths': [3]}" REST "}",
         "\"widths\" has no use"},
        {WHET_ERR_FORMAT, "{" DATA ", 'model': {'arch': 'mpl'}" REST "}",
         "expected mlp, lenet, resnet or wrn"},
        {WHET_ERR_DATA,
         "{" DATA ", 'model': {'arch': 'resnet'}, 'training': {'epochs': 4, 'micro_batch': 2}, "
         "'agents': [{}]}",
         "whole batches"},
        {WHET_ERR_FORMAT, START REST ", 'seeds': [9007199254740993]}", "\"seeds\"[0]"},
        {WHET_ERR_DATA,
         "{" DATA ", 'broker': {'selection': 1}, 'model': {'arch': 'resnet'}" REST "}",
         "on which batch norms are measured; expected 2 at least"},
        {WHET_ERR_DATA,
         "{" DATA ", 'model': {'arch': 'resnet'}" REST ", 'trading': {'search': 'gradient'}}",
         "\"search\" gradient with \"arch\" resnet"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 4}, 'agents': [{}], 'controls': ['no-align']}",
         "one agent, and \"controls\" has no-align"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].status, cases[i].text, cases[i].says);
    (void)state;
}

/* Members that are fine by themselves. */
/* Terms and means that no deal could ever come of. */
static void refuses_deals_that_never_come(void **state) {
    static const struct {
        const char *text, *says;
    } cases[] = {
        {START AGENTS_OF("'trade_cost': 5000", "'trade_cost': 1000.5", "'mechanism': 'nash'"),
         "a gain is worth at most 1000 to a buyer (\"valuation\"), and costs of sellers with "
         "\"fees\" are 1000.5 at least"},
        {START AGENTS_OF("'trade_cost': 1001", "'sells': false", "'mechanism': 'rubinstein'"),
         "are 1001 at least"},
        {START AGENTS_OF("", "", "'mechanism': 'nash', 'fees': {'buyer': 1001}"), "1001 at least"},
        {START AGENTS_OF("", "", "'mechanism': 'second-price', 'fees': {'seller': 1001}"),
         "1001 at least"},
        {START AGENTS_OF("'belief': 'uniform:0:9000', 'trade_cost': 1001", "'sells': false",
                         "'mechanism': 'posted'"),
         "1001 at least"},
        {START AGENTS_OF("", "", "'mechanism': 'nash', 'trial_fee': 1000001"),
         "no buyer's \"wallet\" has more than 1000000, and a trial or the cheapest deal takes "
         "1000001"},
        {START AGENTS_OF("'belief': 'uniform:0:9000'", "'sells': false, 'belief': 'uniform:0:9000'",
                         "'mechanism': 'posted'"),
         "has a \"belief\" and does not sell"},
        {START AGENTS_OF("'wallet': 0", "'wallet': 0", "'mechanism': 'nash'"),
         "no buyer's \"wallet\" has more than 0"},
        {START AGENTS_OF("'wallet': 9, 'trade_cost': 10", "'wallet': 8, 'trade_cost': 10",
                         "'mechanism': 'nash'"),
         "has more than 9, and a trial or the cheapest deal takes 10"},
        {START AGENTS_OF("'valuation': 'linear:0'", "'valuation': 'linear:0'",
                         "'mechanism': 'nash'"),
         "it is worth 0 to all who buy"},
        {START AGENTS_OF("'belief': 'uniform:0:9'", "", "'mechanism': 'nash'"),
         "agent \"A\" has a \"belief\", which has no use with \"mechanism\" nash and "
         "\"disclosure\" both"},
        {START AGENTS_OF("", "'belief': 'uniform:0:9'",
                         "'mechanism': 'posted', 'disclosure': 'both'"),
         "agent \"B\" has a \"belief\", which has no use with \"mechanism\" posted"},
    };
    static const char *const possible[] = {
        START AGENTS_OF("'wallet': 9, 'trade_cost': 10", "'wallet': 10, 'trade_cost': 10",
                        "'mechanism': 'nash'"),
        START AGENTS_OF("'trade_cost': 5000", "'trade_cost': 999", "'mechanism': 'nash'"),
        START AGENTS_OF("", "'valuation': 'linear:0'", "'mechanism': 'nash'"),
        START AGENTS_OF("'valuation': 'cost-saving:500'", "'trade_cost': 1500",
                        "'mechanism': 'nash'")};
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(WHET_ERR_DATA, cases[i].text, cases[i].says);
    for (size_t i = 0; i < sizeof possible / sizeof possible[0]; i++)
        whet_trading_config_destroy(ctx, read_config(ctx, possible[i]));
    test_ctx_done(ctx);
}

static void refuses_contradictions(void **state) {
    static const struct {
        whet_status status;
        const char *text, *says;
    } cases[] = {
        {WHET_ERR_DATA, START AGENTS_OF("'wallet': 9", "", "'mechanism': 'none'"),
         "agent \"A\": \"wallet\" has no use with \"mechanism\" none"},
        {WHET_ERR_DATA, START AGENTS_OF("", "'competitor': true", "'mechanism': 'none'"),
         "agent \"B\": \"competitor\" has no use with"},
        {WHET_ERR_DATA, START AGENTS_OF("", "'competitor': true", "'mechanism': 'nash'"),
         "agent \"B\": \"competitor\" has no use where nobody"},
        {WHET_ERR_DATA,
         START AGENTS_OF("'externality': 9", "'competitor': true, 'buys': false",
                         "'mechanism': 'nash'"),
         "agent \"A\": \"externality\" has no use where it sells to no"},
        {WHET_ERR_DATA,
         START AGENTS_OF("'externality': 9, 'competitor': true", "", "'mechanism': 'nash'"),
         "agent \"A\": \"externality\" has no use"},
        {WHET_ERR_DATA, START AGENTS_OF("'sells': false", "'sells': false", "'mechanism': 'nash'"),
         "no agent \"sells\" to another"},
        {WHET_ERR_DATA,
         START AGENTS_OF("'sells': false",
                         "'buys': true, 'reveals': 'none', 'sells': "
                         "true",
                         "'mechanism': 'nash'"),
         "\"sells\" is true and \"reveals\" none"},
        {WHET_ERR_DATA, START AGENTS_OF("", "", "'mechanism': 'double-auction', 'uniform': [0, 1]"),
         "\"uniform\" 0 to 1: whatever the gain"},
        {WHET_ERR_DATA,
         START AGENTS_OF("", "", "'mechanism': 'double-auction', 'uniform': [2000, 3000]"),
         "\"uniform\" 2000 to 3000: whatever the gain"},
        {WHET_ERR_DATA,
         START AGENTS_OF("'belief': 'uniform:0:9', 'trade_cost': 9", "'sells': false",
                         "'mechanism': 'posted'"),
         "agent \"A\": \"belief\" uniform:0:9 ends below"},
        {WHET_ERR_DATA, START AGENTS_OF("'training_cost': 9", "", "'mechanism': 'nash'"),
         "agent \"A\": \"training_cost\" without \"amortisation\""},
        {WHET_ERR_DATA, START AGENTS_OF("", "'amortisation': 0.5", "'mechanism': 'nash'"),
         "agent \"B\": \"amortisation\" without \"training_cost\""},
        {WHET_ERR_LIMIT,
         START AGENTS_OF("'valuation': 'cost-saving:9e15'", "", "'mechanism': 'nash'"),
         "agent \"A\" buys of \"B\": value"},
        {WHET_ERR_LIMIT, START AGENTS_OF("'wallet': 9007199254740992", "", "'mechanism': 'nash'"),
         "\"wallet\" of all agents"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].status, cases[i].text, cases[i].says);
    (void)state;
}

/* What only the data tell; the folder of state is not made then. */
static void refuses_data(void **state) {
    static const struct {
        whet_status status;
        const char *text, *says;
    } cases[] = {
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 2}, 'agents': [{}], 'broker': {'selection': 79}}",
         "config.json: \"broker\": its 1079 examples are more than half"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 2}, 'agents': [{'shares': [1, 1]}], " BROKER "}",
         "config.json: agent \"A\": \"shares\" has 2 numbers; expected 4"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 2}, 'agents': [{'shares': [0, 0, 0, 0]}], " BROKER "}",
         "config.json: agent \"A\" has no examples"},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 2}, 'agents': [{}, {}], 'trading': {'goods': "
               "['layr0.*']}, " BROKER "}",
         "config.json: \"trading\": \"goods\": no tensor of the network is called \"layr0.*\""},
        {WHET_ERR_DATA,
         START ", 'training': {'epochs': 2}, 'agents': [{'reveals': ['zzz']}, {}], " BROKER "}",
         "config.json: agent \"A\": \"reveals\": no tensor of the network"},
        {WHET_ERR_SHAPE,
         "{" DATA ", 'model': {'arch': 'lenet'}, 'training': {'epochs': 2}, 'agents': [{}], " BROKER
         "}",
         "config.json: \"model\": conv1"},
        {WHET_ERR_IO,
         "{'data': {'train_x': 'none.npy', 'train_y': 'y.npy', 'test_x': 'tx.npy', 'test_y': "
         "'ty.npy'}, " MODEL ", 'training': {'epochs': 2}, 'agents': [{}]}",
         "none.npy"},
        {WHET_ERR_SHAPE,
         "{'data': {'train_x': 'x.npy', 'train_y': 'ty.npy', 'test_x': 'tx.npy', 'test_y': "
         "'ty.npy'}, " MODEL ", 'training': {'epochs': 2}, 'agents': [{}]}",
         "60 labels; expected 160"},
        {WHET_ERR_NUMERIC,
         START ", 'training': {'epochs': 4, 'optimizer': 'sgd', 'rate': 1000, 'weight_decay': 10, "
               "'batch': 4}, 'agents': [{'name': "
               "'Q'}], " BROKER ", 'seeds': [5]}",
         "seed 5, silo, epoch"},
    };
    whet_ctx *ctx = test_ctx(2);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        whet_trading_config *c = NULL;
        whet_trading_result r;
        test_ok(ctx, whet_trading_config_read(ctx, config_file(cases[i].text), NULL, &c));
        test_status_(ctx, whet_trading_run(ctx, c, fresh_state("refused"), &r), cases[i].status,
                     cases[i].text, __FILE__, __LINE__);
        test_says(ctx, cases[i].says);
        assert_true(access(test_tmp("refused"), F_OK) != 0 || cases[i].status == WHET_ERR_NUMERIC);
        whet_trading_config_destroy(ctx, c);
    }
    test_ctx_done(ctx);
}

/* Damaged state is refused, whatever byte it is that changed; or makes no difference. */
static void distrusts_state(void **state) {
    whet_ctx *ctx = test_ctx(1);
    whet_trading_result r, again;
    whet_i_rng rng;
    (void)state;
    const char *folder = fresh_state("distrust");
    simulate(ctx, MARKET, folder, &r);
    char *path, *bytes;
    int64_t len, refused = 0;
    test_ok(ctx, whet_i_join_path(ctx, folder, "market-1.safetensors", &path));
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 24, &bytes, &len));
    whet_i_rng_init(&rng, 1, 0);
    for (int i = 0; i < 60; i++) {
        FILE *f = fopen(path, "wb");
        const int64_t at = whet_i_rng_below(&rng, len), end = i % 10 ? len : at;
        const char old = bytes[at];
        whet_trading_config *c = read_config(ctx, MARKET);
        bytes[at] = (char)(bytes[at] ^ (1 << whet_i_rng_below(&rng, 8)));
        assert_int_equal(fwrite(bytes, 1, (size_t)end, f), end);
        (void)fclose(f);
        bytes[at] = old;
        const whet_status status = whet_trading_run(ctx, c, folder, &again);
        if (status == WHET_OK)
            whet_trading_result_free(ctx, &again);
        else
            refused++;
        whet_trading_config_destroy(ctx, c);
    }
    assert_true(refused > 10);
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, path);
    whet_trading_result_free(ctx, &r);
    test_ctx_done(ctx);
}

/* ---- allocations ----------------------------------------------------------------------------- */

static whet_status body(whet_ctx *ctx, void *arg) {
    whet_trading_result r;
    (void)arg;
    whet_i_trading_state_remove(test_tmp("alloc.whet-market"));
    WHET_TRY(
        whet_trading_files(ctx, test_tmp("config.json"), NULL, NULL, test_tmp("alloc"), true, &r));
    whet_trading_result_free(ctx, &r);
    return WHET_OK;
}

static void survives_allocations(void **state) {
    (void)state;
    (void)config_file("{" DATA ", " BROKER ", 'model': {'arch': 'mlp', 'widths': [3]}, 'training': "
                      "{'epochs': 1, 'optimizer': 'sgd', 'rate': 0.3, 'batch': 64}, " AGENTS
                      ", 'trading': {'start': 0, 'mechanism': 'posted', 'search': 'grid', "
                      "'align': 'none'}, 'controls': ['fedavg']}");
    const int64_t rounds = test_each_allocation(body, NULL);
    assert_true(rounds > 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deals_examples),
        cmocka_unit_test(feeds_bytes),
        cmocka_unit_test(follows_the_reference),
        cmocka_unit_test(keeps_money),
        cmocka_unit_test(tells_gains),
        cmocka_unit_test(prices_by),
        cmocka_unit_test(adopts_weights),
        cmocka_unit_test(runs_gaps_and_tasks),
        cmocka_unit_test(goes_on),
        cmocka_unit_test(ignores_threads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_contradictions),
        cmocka_unit_test(refuses_deals_that_never_come),
        cmocka_unit_test(refuses_data),
        cmocka_unit_test(distrusts_state),
        cmocka_unit_test(survives_allocations),
    };
    return cmocka_run_group_tests(tests, make_data, NULL);
}
