/* SPDX-License-Identifier: Apache-2.0
 * A small market for tests: K clouds of examples as files, and configurations with ' for ". */
#ifndef WHET_TESTS_TRADING_SUPPORT_H
#define WHET_TESTS_TRADING_SUPPORT_H

#include "market_support.h"

#include <string.h>

#include "market/trading_i.h"
#include "whet/io.h"

enum { D = 5, K = 4, N = 160, TESTS = 60 };

/* ---- data: K clouds -------------------------------------------------------------------------- */

static inline void write_cloud(whet_ctx *ctx, const char *x_name, const char *y_name, int64_t n,
                               uint64_t seed) {
    const int64_t shape[2] = {n, D};
    whet_tensor x, y;
    whet_i_rng rng;
    test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 2, shape, &x));
    test_ok(ctx, whet_tensor_create(ctx, WHET_I32, 1, shape, &y));
    whet_i_rng_init(&rng, seed, 7);
    for (int64_t i = 0; i < n; i++) {
        ((int32_t *)y.data)[i] = (int32_t)(i % K);
        for (int64_t j = 0; j < D; j++)
            ((float *)x.data)[i * D + j] =
                (float)(1.5 * (j % K == i % K) + .7 * whet_i_rng_normal(&rng));
    }
    test_ok(ctx, whet_npy_write(ctx, test_tmp(x_name), true, &x));
    test_ok(ctx, whet_npy_write(ctx, test_tmp(y_name), true, &y));
    whet_tensor_destroy(ctx, &x);
    whet_tensor_destroy(ctx, &y);
}

static inline int make_data(void **state) {
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    write_cloud(ctx, "x.npy", "y.npy", N, 1);
    write_cloud(ctx, "tx.npy", "ty.npy", TESTS, 2);
    test_ctx_done(ctx);
    return 0;
}

#define DATA \
    "'data': {'train_x': 'x.npy', 'train_y': 'y.npy', 'test_x': 'tx.npy', 'test_y': 'ty.npy'}"
#define MODEL "'model': {'arch': 'mlp', 'widths': [6]}"
#define SGD "'optimizer': 'sgd', 'rate': 0.3, 'batch': 16"
#define BROKER "'broker': {'selection': 20, 'gate': 30}"
#define AGENTS \
    "'agents': [{'name': 'A', 'kept': 0.1, 'belief': 'uniform:0:400', 'trade_cost': 3, " \
    "'externality': 10}, " \
    "{'name': 'B', 'kept': 0.1, 'belief': 'uniform:0:400', 'competitor': true, 'wallet': 700}]"
#define MARKET \
    "{" DATA ", " BROKER ", " MODEL ", 'training': {'epochs': 6, " SGD "}, " AGENTS \
    ", 'trading': {'start': 1, 'mechanism': 'posted', 'level': 0.5, 'trial_fee': 2, " \
    "'fees': {'buyer': 1, 'seller': 1, 'buyer_rate': 100}}, " \
    "'controls': ['no-align', 'fedavg', 'bank'], 'seeds': [3, 4]}"

/* The text with ' for ", as a file. */
static inline const char *config_file(const char *text) {
    char copy[4096];
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *at = copy; *at; at++)
        if (*at == '\'') *at = '"';
    return test_write_text("config.json", copy);
}

static inline whet_trading_config *read_config(whet_ctx *ctx, const char *text) {
    whet_trading_config *c = NULL;
    test_ok(ctx, whet_trading_config_read(ctx, config_file(text), NULL, &c));
    return c;
}

/* The last one's path stays valid until the next. */
static inline const char *fresh_state(const char *name) {
    static char folder[4096];
    (void)snprintf(folder, sizeof folder, "%s", test_tmp(name));
    whet_i_trading_state_remove(folder);
    return folder;
}

static inline void simulate(whet_ctx *ctx, const char *text, const char *state,
                            whet_trading_result *r) {
    whet_trading_config *c = read_config(ctx, text);
    test_ok(ctx, whet_trading_run(ctx, c, state, r));
    whet_trading_config_destroy(ctx, c);
}

/* ---- money ----------------------------------------------------------------------------------- */

/* Books kept from the flows alone, epoch by epoch. */
static inline void check_books(const whet_trading_result *r, int64_t seed, whet_arm arm,
                               int64_t start) {
    int64_t have[WHET_I_AGENTS_MAX] = {0}, broker = 0, in = 0;
    for (int64_t e = start; e < r->epochs; e++) {
        int64_t all = 0;
        for (int64_t i = 0; i < r->n_flows; i++) {
            const whet_trading_flow *f = &r->flows[i];
            if (f->seed != seed || f->arm != arm ||
                (f->epoch != e && !(e == start && f->epoch < e)))
                continue;
            assert_true(f->amount > 0);
            if (f->from >= 0) have[f->from] -= f->amount;
            if (f->to >= 0) have[f->to] += f->amount;
            if (f->from == WHET_PARTY_OUTSIDE) in += f->amount;
            if (f->to == WHET_PARTY_BROKER) broker += f->amount;
        }
        for (int64_t i = 0; i < r->n_wallets; i++) {
            const whet_trading_wallet *w = &r->wallets[i];
            if (w->seed != seed || w->arm != arm || w->epoch != e) continue;
            assert_int_equal(w->available, have[w->agent]);
            assert_true(w->available >= 0);
            all += w->available;
        }
        assert_int_equal(all + broker, in);
    }
}

#endif
