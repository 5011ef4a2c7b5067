/* SPDX-License-Identifier: Apache-2.0
 * A run of a simulated market, epoch by epoch: an agent alone, the bank, or all agents in an arm. Arms
 * begin where the agents alone were after the training of the first period with trade: what comes before is
 * the same in all. A run is one thread's. */
#include <inttypes.h>
#include <math.h>

#include "market/trading_i.h"

/* ---- beginnings ------------------------------------------------------------------------------ */

static bool is_alone(const whet_i_market_run *run) {
    return run->arm == WHET_ARM_SILO || run->arm == WHET_ARM_BANK;
}

whet_status whet_i_market_run_traders(whet_ctx *ctx, whet_i_market_run *run) {
    const whet_i_market *m = run->market;
    const int64_t n = is_alone(run) ? 1 : m->config->n_agents;
    for (int64_t i = 0; i < n; i++) {
        const int64_t agent = is_alone(run) ? run->agent : i;
        WHET_TRY(whet_i_trader_create(ctx, m->config, whet_i_market_data_of(m, run->seed),
                                      run->seed, agent, &run->traders[i]));
        run->n_traders = i + 1;
    }
    return WHET_OK;
}

static whet_status finished_epoch(whet_i_market_run *run, whet_ctx *worker0) {
    whet_i_market *m = run->market;
    const int64_t done = atomic_fetch_add(&m->done, 1) + 1;
    if (!worker0) return WHET_OK;
    return whet_i_progress(worker0, "simulate", done, m->total);
}

/* An agent that is ahead of the others trains before the first period. */
static whet_status begin_alone(whet_ctx *ctx, whet_i_market_run *run, whet_ctx *worker0) {
    const whet_trading_config *c = run->market->config;
    double unused;
    WHET_TRY(whet_i_market_run_traders(ctx, run));
    if (run->arm == WHET_ARM_BANK) return WHET_OK;
    for (int64_t i = 0; i < c->agents[run->agent].ahead; i++) {
        WHET_TRY(whet_i_trader_train(ctx, run->traders[0], &unused));
        WHET_TRY(finished_epoch(run, worker0));
    }
    return WHET_OK;
}

/* Copies what the agents alone came to before the first period, in the order of epochs. */
static whet_status begin_arm(whet_ctx *ctx, whet_i_market_run *run) {
    const whet_i_market *m = run->market;
    const int64_t n = m->config->n_agents;
    const whet_i_market_run *silos = m->silos + run->seed * n;
    WHET_TRY(whet_i_market_run_traders(ctx, run));
    for (int64_t i = 0; i < n; i++) {
        if (silos[i].silo.n != whet_i_trader_numbers(run->traders[i]))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: state of another network; try again without the folder",
                               m->state);
        WHET_TRY(whet_i_trader_set(ctx, run->traders[i], &silos[i].silo.start));
    }
    for (int64_t e = 0; e < m->first; e++)
        for (int64_t i = 0; i < n; i++) {
            whet_trading_score row = silos[i].rows.scores[e];
            row.arm = run->arm;
            WHET_TRY(whet_i_put_score(ctx, &run->rows, &row));
        }
    run->epoch = m->first;
    return run->arm == WHET_ARM_FEDAVG ? WHET_OK : whet_i_deals_open(ctx, run);
}

/* ---- an epoch -------------------------------------------------------------------------------- */

/* losses [n_traders]. In an arm the first period's training has been done. */
static whet_status train_all(whet_ctx *ctx, whet_i_market_run *run, double *losses) {
    const whet_i_market *m = run->market;
    for (int64_t i = 0; i < run->n_traders; i++) {
        if (!is_alone(run) && run->epoch == m->first)
            losses[i] =
                m->silos[run->seed * m->config->n_agents + i].rows.scores[run->epoch].train_loss;
        else
            WHET_TRY(whet_i_trader_train(ctx, run->traders[i], &losses[i]));
    }
    return WHET_OK;
}

/* Test and gate of one agent, into the row; batch norms as trials measure them, in every arm alike. */
static whet_status score_one(whet_ctx *ctx, const whet_i_market_run *run, whet_i_trader *trader,
                             int64_t agent, whet_trading_score *row) {
    const whet_i_market_data *data = whet_i_market_data_of(run->market, run->seed);
    const whet_i_examples *gate = &data->held[WHET_I_FOR_GATE][agent];
    float *kept = NULL;
    if (whet_i_trading_measures(run->market->config))
        WHET_TRY(whet_i_trader_measure(ctx, trader, &data->held[WHET_I_FOR_SELECT][agent], &kept));
    whet_status status = whet_i_trader_score(ctx, trader, &data->held[WHET_I_FOR_TEST][agent],
                                             &row->test_loss, &row->test_accuracy);
    row->valid_loss = row->test_loss;
    row->valid_accuracy = row->test_accuracy;
    if (status == WHET_OK && gate->n)
        status = whet_i_trader_score(ctx, trader, gate, &row->valid_loss, &row->valid_accuracy);
    const whet_status restored = whet_i_trader_restore(ctx, trader, kept);
    return status == WHET_OK ? restored : status;
}

static whet_status score_all(whet_ctx *ctx, whet_i_market_run *run, const double *losses) {
    for (int64_t i = 0; i < run->n_traders; i++) {
        const int64_t agent = is_alone(run) ? run->agent : i;
        whet_trading_score row = {.seed = run->seed,
                                  .arm = run->arm,
                                  .agent = run->arm == WHET_ARM_BANK ? -1 : agent,
                                  .epoch = run->epoch,
                                  .train_loss = losses[i]};
        WHET_TRY(score_one(ctx, run, run->traders[i], agent, &row));
        WHET_TRY(whet_i_put_score(ctx, &run->rows, &row));
    }
    return WHET_OK;
}

/* Where arms begin. */
static whet_status keep_start(whet_ctx *ctx, whet_i_market_run *run) {
    if (run->arm != WHET_ARM_SILO || run->epoch != run->market->first) return WHET_OK;
    run->silo.n = whet_i_trader_numbers(run->traders[0]);
    WHET_TRY(whet_i_alloc(ctx, run->silo.n, &run->silo.start.numbers));
    whet_i_trader_get(run->traders[0], &run->silo.start);
    return WHET_OK;
}

static whet_status run_epoch(whet_ctx *ctx, whet_i_market_run *run) {
    double losses[WHET_I_AGENTS_MAX];
    WHET_TRY(train_all(ctx, run, losses));
    WHET_TRY(keep_start(ctx, run));
    if (!is_alone(run)) WHET_TRY(whet_i_market_run_period(ctx, run));
    WHET_TRY(score_all(ctx, run, losses));
    run->epoch++;
    return WHET_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Often enough, but for no more than a twentieth of the time. */
static whet_status save_sometimes(whet_ctx *ctx, whet_i_market_run *run) {
    const double now = whet_i_seconds_now();
    if (run->epoch < run->market->config->epochs && now - run->saved < 20 * run->saving)
        return WHET_OK;
    WHET_TRY(whet_i_market_run_save(ctx, run));
    run->saved = whet_i_seconds_now();
    run->saving = run->saved - now;
    return WHET_OK;
}

static whet_status go_on(whet_ctx *ctx, whet_i_market_run *run, whet_ctx *worker0) {
    const int64_t n = is_alone(run) ? 1 : run->market->config->n_agents;
    while (run->epoch < run->market->config->epochs) {
        if (atomic_load(&run->market->failed)) return WHET_OK; /* nobody will ask */
        WHET_TRY(run_epoch(ctx, run));
        WHET_TRY(save_sometimes(ctx, run));
        for (int64_t i = 0; i < n; i++) WHET_TRY(finished_epoch(run, worker0));
    }
    return WHET_OK;
}

/* What state spared, for the progress. */
static void count_done(whet_i_market_run *run) {
    const whet_i_market *m = run->market;
    const int64_t first = is_alone(run) ? 0 : m->first;
    const int64_t n = is_alone(run) ? 1 : m->config->n_agents;
    const int64_t ahead = run->arm == WHET_ARM_SILO ? m->config->agents[run->agent].ahead : 0;
    (void)atomic_fetch_add(&run->market->done, n * (run->epoch - first) + ahead);
}

whet_status whet_i_market_run_all(whet_ctx *ctx, whet_i_market_run *run, whet_ctx *worker0) {
    const whet_trading_config *c = run->market->config;
    bool found;
    whet_status status;
    run->saved = whet_i_seconds_now();
    status = whet_i_market_run_load(ctx, run, &found);
    if (status == WHET_OK && found) count_done(run);
    if (status == WHET_OK && !found)
        status = is_alone(run) ? begin_alone(ctx, run, worker0) : begin_arm(ctx, run);
    if (status == WHET_OK) status = go_on(ctx, run, worker0);
    if (status == WHET_ERR_CANCELLED || status == WHET_OK) return status;
    return whet_i_fail_at(ctx, status, "seed %" PRIu64 ", %s, epoch %" PRId64, c->seeds[run->seed],
                          whet_arm_name(run->arm), run->epoch);
}

void whet_i_market_run_traders_free(whet_ctx *ctx, whet_i_market_run *run) {
    const int64_t n = run->market->config->n_agents;
    for (int64_t i = 0; i < run->n_traders; i++) whet_i_trader_destroy(ctx, run->traders[i]);
    run->n_traders = 0;
    for (int64_t i = 0; run->pairs && i < n * n; i++)
        whet_belief_destroy(ctx, run->pairs[i].belief);
    whet_i_free(ctx, run->pairs);
    whet_ledger_destroy(ctx, run->ledger);
    run->pairs = NULL;
    run->ledger = NULL;
}

void whet_i_market_run_free(whet_ctx *ctx, whet_i_market_run *run) {
    whet_i_market_run_traders_free(ctx, run);
    whet_i_told_free(ctx, &run->rows);
    whet_i_free(ctx, run->silo.start.numbers);
    run->silo.start.numbers = NULL;
}
