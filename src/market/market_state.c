/* SPDX-License-Identifier: Apache-2.0
 * State of a run on disk: a safetensors file with its rows as tables of f64 (whole numbers in them stay below
 * 2^53), where it is, the ledger's records, and the numbers of its agents' networks. It is read as any file:
 * nothing in it is believed. Beliefs are not kept: the trials are told again. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "market/trading_i.h"

enum {
    VERSION = 4,
    SCORE_COLUMNS = 9,
    TRIAL_COLUMNS = 26,
    WALLET_COLUMNS = 5,
    FLOW_COLUMNS = 6,
    RECORD_COLUMNS = 14,
    NAME = 64,
    ITEMS = 8 + WHET_I_AGENTS_MAX
};

static whet_status path_of(whet_ctx *ctx, const whet_i_market_run *run, char **out) {
    char name[NAME];
    if (run->arm == WHET_ARM_SILO)
        (void)snprintf(name, sizeof name, "silo-%" PRId64 "-%" PRId64 ".safetensors", run->seed,
                       run->agent);
    else
        (void)snprintf(name, sizeof name, "%s-%" PRId64 ".safetensors", whet_arm_name(run->arm),
                       run->seed);
    return whet_i_join_path(ctx, run->market->state, name, out);
}

/* ---- rows as numbers ------------------------------------------------------------------------- */

static void score_out(const whet_trading_score *r, double *x) {
    const double row[SCORE_COLUMNS] = {(double)r->seed,   (double)r->arm, (double)r->agent,
                                       (double)r->epoch,  r->train_loss,  r->valid_loss,
                                       r->valid_accuracy, r->test_loss,   r->test_accuracy};
    memcpy(x, row, sizeof row);
}

static void score_in(const double *x, whet_trading_score *r) {
    *r = (whet_trading_score){(int64_t)x[0], (whet_arm)x[1], (int64_t)x[2], (int64_t)x[3], x[4],
                              x[5],          x[6],           x[7],          x[8]};
}

static void trial_out(const whet_trading_trial *r, double *x) {
    const double row[TRIAL_COLUMNS] = {(double)r->seed,
                                       (double)r->arm,
                                       (double)r->epoch,
                                       (double)r->buyer,
                                       (double)r->seller,
                                       (double)r->round,
                                       (double)r->units,
                                       r->weight,
                                       r->select_before,
                                       r->select_after,
                                       r->gate_before,
                                       r->gate_after,
                                       r->accuracy_before,
                                       r->accuracy_after,
                                       r->gain,
                                       r->gain_low,
                                       (double)r->gate,
                                       r->value,
                                       r->reservation,
                                       (double)r->posted,
                                       (double)r->price,
                                       (double)r->buyer_pays,
                                       (double)r->seller_gets,
                                       (double)r->fees,
                                       (double)r->outcome,
                                       r->gain_most};
    memcpy(x, row, sizeof row);
}

static void trial_in(const double *x, whet_trading_trial *r) {
    *r = (whet_trading_trial){.seed = (int64_t)x[0],
                              .arm = (whet_arm)x[1],
                              .epoch = (int64_t)x[2],
                              .buyer = (int64_t)x[3],
                              .seller = (int64_t)x[4],
                              .round = (int64_t)x[5],
                              .units = (whet_trade_units)x[6],
                              .weight = x[7],
                              .select_before = x[8],
                              .select_after = x[9],
                              .gate_before = x[10],
                              .gate_after = x[11],
                              .accuracy_before = x[12],
                              .accuracy_after = x[13],
                              .gain = x[14],
                              .gain_low = x[15],
                              .gate = x[16] != 0,
                              .value = x[17],
                              .reservation = x[18],
                              .posted = x[19] != 0,
                              .price = (int64_t)x[20],
                              .buyer_pays = (int64_t)x[21],
                              .seller_gets = (int64_t)x[22],
                              .fees = (int64_t)x[23],
                              .outcome = (whet_trade_outcome)x[24],
                              .gain_most = x[25]};
}

static void wallet_out(const whet_trading_wallet *r, double *x) {
    const double row[WALLET_COLUMNS] = {(double)r->seed, (double)r->arm, (double)r->epoch,
                                        (double)r->agent, (double)r->available};
    memcpy(x, row, sizeof row);
}

static void wallet_in(const double *x, whet_trading_wallet *r) {
    *r = (whet_trading_wallet){(int64_t)x[0], (whet_arm)x[1], (int64_t)x[2], (int64_t)x[3],
                               (int64_t)x[4]};
}

static void flow_out(const whet_trading_flow *r, double *x) {
    const double row[FLOW_COLUMNS] = {(double)r->seed, (double)r->arm, (double)r->epoch,
                                      (double)r->from, (double)r->to,  (double)r->amount};
    memcpy(x, row, sizeof row);
}

static void flow_in(const double *x, whet_trading_flow *r) {
    *r = (whet_trading_flow){(int64_t)x[0], (whet_arm)x[1], (int64_t)x[2],
                             (int64_t)x[3], (int64_t)x[4],  (int64_t)x[5]};
}

static void record_out(const whet_record *r, double *x) {
    const double row[RECORD_COLUMNS] = {(double)r->kind,
                                        (double)r->time,
                                        (double)r->agent,
                                        (double)r->offer,
                                        (double)r->deal,
                                        (double)r->amount,
                                        (double)r->until,
                                        (double)r->terms.fees.buyer,
                                        (double)r->terms.fees.seller,
                                        (double)r->terms.fees.buyer_bp,
                                        (double)r->terms.fees.seller_bp,
                                        (double)r->terms.trial_fee,
                                        (double)r->terms.max_trials,
                                        (double)r->terms.exclusive};
    memcpy(x, row, sizeof row);
}

static void record_in(const double *x, whet_record *r) {
    *r = (whet_record){.kind = (whet_record_kind)x[0],
                       .time = (int64_t)x[1],
                       .agent = (int64_t)x[2],
                       .offer = (int64_t)x[3],
                       .deal = (int64_t)x[4],
                       .amount = (int64_t)x[5],
                       .until = (int64_t)x[6],
                       .terms = {{(int64_t)x[7], (int64_t)x[8], (int32_t)x[9], (int32_t)x[10]},
                                 (int64_t)x[11],
                                 (int64_t)x[12],
                                 x[13] != 0}};
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    whet_ctx *ctx;
    whet_named_tensor items[ITEMS];
    double *tables[5];
    float *numbers[WHET_I_AGENTS_MAX];
    int64_t n, n_tables;
    double place[4 + 2 * WHET_I_AGENTS_MAX];
} writer;

static whet_status add_table(writer *w, const char *name, int64_t rows, int64_t columns,
                             double **out) {
    int64_t cells;
    WHET_TRY(whet_i_mul(w->ctx, rows, columns, &cells));
    WHET_TRY(whet_i_alloc(w->ctx, cells, out));
    w->tables[w->n_tables++] = *out;
    w->items[w->n++] = (whet_named_tensor){
        name, {.data = *out, .dtype = WHET_F64, .rank = 2, .shape = {rows, columns}}};
    return WHET_OK;
}

static whet_status add_rows(writer *w, const whet_i_market_run *run) {
    const whet_i_told *r = &run->rows;
    int64_t n = 0;
    double *x;
    const whet_record *records = run->ledger ? whet_ledger_records(run->ledger, &n) : NULL;
    WHET_TRY(add_table(w, "scores", r->n_scores, SCORE_COLUMNS, &x));
    for (int64_t i = 0; i < r->n_scores; i++) score_out(&r->scores[i], x + i * SCORE_COLUMNS);
    WHET_TRY(add_table(w, "trials", r->n_trials, TRIAL_COLUMNS, &x));
    for (int64_t i = 0; i < r->n_trials; i++) trial_out(&r->trials[i], x + i * TRIAL_COLUMNS);
    WHET_TRY(add_table(w, "wallets", r->n_wallets, WALLET_COLUMNS, &x));
    for (int64_t i = 0; i < r->n_wallets; i++) wallet_out(&r->wallets[i], x + i * WALLET_COLUMNS);
    WHET_TRY(add_table(w, "flows", r->n_flows, FLOW_COLUMNS, &x));
    for (int64_t i = 0; i < r->n_flows; i++) flow_out(&r->flows[i], x + i * FLOW_COLUMNS);
    WHET_TRY(add_table(w, "records", n, RECORD_COLUMNS, &x));
    for (int64_t i = 0; i < n; i++) record_out(&records[i], x + i * RECORD_COLUMNS);
    return WHET_OK;
}

/* Networks, until the run has come to its end; and where arms begin. */
static whet_status add_numbers(writer *w, const whet_i_market_run *run) {
    static const char *const names[WHET_I_AGENTS_MAX] = {
        "agent.0",  "agent.1",  "agent.2",  "agent.3", "agent.4",  "agent.5",
        "agent.6",  "agent.7",  "agent.8",  "agent.9", "agent.10", "agent.11",
        "agent.12", "agent.13", "agent.14", "agent.15"};
    const bool over = run->epoch >= run->market->config->epochs;
    w->place[0] = (double)run->epoch;
    w->place[1] = (double)run->silo.start.steps;
    w->place[2] = (double)run->silo.start.epoch;
    for (int64_t i = 0; !over && i < run->n_traders; i++) {
        const int64_t n = whet_i_trader_numbers(run->traders[i]);
        whet_i_trader_state state;
        WHET_TRY(whet_i_alloc(w->ctx, n, &w->numbers[i]));
        state.numbers = w->numbers[i];
        whet_i_trader_get(run->traders[i], &state);
        w->place[4 + 2 * i] = (double)state.steps;
        w->place[5 + 2 * i] = (double)state.epoch;
        w->items[w->n++] = (whet_named_tensor){
            names[i], {.data = state.numbers, .dtype = WHET_F32, .rank = 1, .shape = {n}}};
    }
    if (run->silo.start.numbers)
        w->items[w->n++] = (whet_named_tensor){"start",
                                               {.data = run->silo.start.numbers,
                                                .dtype = WHET_F32,
                                                .rank = 1,
                                                .shape = {run->silo.n}}};
    w->items[w->n++] = (whet_named_tensor){
        "place",
        {.data = w->place, .dtype = WHET_F64, .rank = 1, .shape = {WHET_COUNT_OF(w->place)}}};
    return WHET_OK;
}

whet_status whet_i_market_run_save(whet_ctx *ctx, const whet_i_market_run *run) {
    writer w = {.ctx = ctx};
    char version[16], *path = NULL;
    const char *const metadata[] = {"whet_market", version, "fingerprint", run->market->fingerprint,
                                    NULL};
    whet_status status = WHET_OK;
    (void)snprintf(version, sizeof version, "%d", VERSION);
    WHET_TRY_DONE(path_of(ctx, run, &path));
    WHET_TRY_DONE(add_rows(&w, run));
    WHET_TRY_DONE(add_numbers(&w, run));
    status = whet_safetensors_write(ctx, path, true, w.items, w.n, metadata);
done:
    for (int64_t i = 0; i < w.n_tables; i++) whet_i_free(ctx, w.tables[i]);
    for (int64_t i = 0; i < WHET_I_AGENTS_MAX; i++) whet_i_free(ctx, w.numbers[i]);
    whet_i_free(ctx, path);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    whet_ctx *ctx;
    const char *path;
    const whet_safetensors *file;
    whet_i_market_run *run;
} reader;

static whet_status damaged(const reader *r, const char *what) {
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: %s is not what was written; expected the state of a simulation; try "
                       "again without the file",
                       r->path, what);
}

/* A copy, for views may lie anywhere. Whole columns [first, end) hold whole numbers. */
static whet_status read_table(const reader *r, const char *name, int64_t columns, double **out,
                              int64_t *rows) {
    whet_tensor t;
    double *x;
    if (!whet_safetensors_find(r->file, name, &t) || t.dtype != WHET_F64 || t.rank != 2 ||
        t.shape[1] != columns)
        return damaged(r, name);
    const int64_t n = whet_tensor_count(&t);
    WHET_TRY(whet_i_alloc(r->ctx, n, &x));
    memcpy(x, t.data, (size_t)n * sizeof *x);
    *out = x;
    *rows = t.shape[0];
    return WHET_OK;
}

static bool within(double x, double low, double high) {
    return x >= low && x <= high && floor(x) == x;
}

/* Numbers of columns [first, first + n) are whole and in [low, high]. */
static bool whole(const double *x, int64_t first, int64_t n, double low, double high) {
    for (int64_t i = first; i < first + n; i++)
        if (!within(x[i], low, high)) return false;
    return true;
}

static const double MOST = 9007199254740992.0;

/* Scores of an epoch. */
static int64_t per_epoch(const whet_i_market_run *run) {
    const bool alone = run->arm == WHET_ARM_SILO || run->arm == WHET_ARM_BANK;
    return alone ? 1 : run->market->config->n_agents;
}

static whet_status read_scores(const reader *r) {
    const whet_i_market_run *run = r->run;
    const double agents = (double)run->market->config->n_agents;
    const int64_t each = per_epoch(run);
    double *x = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY(read_table(r, "scores", SCORE_COLUMNS, &x, &n));
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * SCORE_COLUMNS;
        whet_trading_score score;
        if (row[0] != (double)run->seed || row[1] != (double)run->arm ||
            !within(row[2], -1, agents - 1) || !within(row[3], 0, WHET_I_EPOCHS_MAX) ||
            (int64_t)row[3] != i / each) {
            status = damaged(r, "scores");
            goto done;
        }
        score_in(row, &score);
        WHET_TRY_DONE(whet_i_put_score(r->ctx, &r->run->rows, &score));
    }
done:
    whet_i_free(r->ctx, x);
    return status;
}

static whet_status read_trials(const reader *r) {
    const whet_i_market_run *run = r->run;
    const double agents = (double)run->market->config->n_agents;
    double *x = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY(read_table(r, "trials", TRIAL_COLUMNS, &x, &n));
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * TRIAL_COLUMNS;
        whet_trading_trial trial;
        const bool fits = row[0] == (double)run->seed && row[1] == (double)run->arm &&
                          within(row[2], 0, WHET_I_EPOCHS_MAX) && whole(row, 3, 3, 0, agents - 1) &&
                          within(row[6], 0, WHET_TRADE_UNITS - 1) && whole(row, 20, 4, 0, MOST) &&
                          within(row[24], 0, WHET_TRADE_OUTCOMES - 1);
        if (!fits) {
            status = damaged(r, "trials");
            goto done;
        }
        trial_in(row, &trial);
        WHET_TRY_DONE(whet_i_put_trial(r->ctx, &r->run->rows, &trial));
    }
done:
    whet_i_free(r->ctx, x);
    return status;
}

static whet_status read_money(const reader *r) {
    const whet_i_market_run *run = r->run;
    const double agents = (double)run->market->config->n_agents;
    double *x = NULL;
    int64_t n;
    whet_status status = WHET_OK;
    WHET_TRY(read_table(r, "wallets", WALLET_COLUMNS, &x, &n));
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * WALLET_COLUMNS;
        whet_trading_wallet wallet;
        if (row[0] != (double)run->seed || row[1] != (double)run->arm ||
            !within(row[2], 0, WHET_I_EPOCHS_MAX) || !within(row[3], 0, agents - 1) ||
            !within(row[4], 0, MOST)) {
            status = damaged(r, "wallets");
            goto done;
        }
        wallet_in(row, &wallet);
        WHET_TRY_DONE(whet_i_put_wallet(r->ctx, &r->run->rows, &wallet));
    }
    whet_i_free(r->ctx, x);
    x = NULL;
    WHET_TRY_DONE(read_table(r, "flows", FLOW_COLUMNS, &x, &n));
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * FLOW_COLUMNS;
        whet_trading_flow flow;
        if (row[0] != (double)run->seed || row[1] != (double)run->arm ||
            !within(row[2], 0, WHET_I_EPOCHS_MAX) || !whole(row, 3, 2, -2, agents - 1) ||
            !within(row[5], 0, MOST)) {
            status = damaged(r, "flows");
            goto done;
        }
        flow_in(row, &flow);
        WHET_TRY_DONE(whet_i_put_flow(r->ctx, &r->run->rows, &flow));
    }
done:
    whet_i_free(r->ctx, x);
    return status;
}

/* Every record is judged again. */
static whet_status read_ledger(const reader *r) {
    double *x = NULL;
    int64_t n;
    whet_ledger *ledger = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(read_table(r, "records", RECORD_COLUMNS, &x, &n));
    if ((n == 0) != (r->run->ledger == NULL)) status = damaged(r, "records");
    if (status != WHET_OK || n == 0) goto done;
    WHET_TRY_DONE(whet_ledger_create(r->ctx, &ledger));
    for (int64_t i = 0; i < n; i++) {
        const double *row = x + i * RECORD_COLUMNS;
        whet_record record;
        if (!within(row[0], 0, WHET_RECORDS - 1) || !whole(row, 1, 8, -1, MOST) ||
            !whole(row, 9, 2, 0, 10000) || !whole(row, 11, 3, 0, MOST)) {
            status = damaged(r, "records");
            goto done;
        }
        record_in(row, &record);
        WHET_TRY_DONE(whet_ledger_apply(r->ctx, ledger, &record));
    }
    whet_ledger_destroy(r->ctx, r->run->ledger);
    r->run->ledger = ledger;
    ledger = NULL;
done:
    whet_ledger_destroy(r->ctx, ledger);
    whet_i_free(r->ctx, x);
    return status;
}

/* numbers [n] of a tensor; *got false when it is not there, or not so long. */
static bool read_numbers(const reader *r, const char *name, int64_t n, float *out) {
    whet_tensor t;
    if (!whet_safetensors_find(r->file, name, &t) || t.dtype != WHET_F32 || t.rank != 1 ||
        t.shape[0] != n)
        return false;
    memcpy(out, t.data, (size_t)n * sizeof *out);
    return true;
}

static whet_status read_trader(const reader *r, const double *place, int64_t i) {
    whet_i_trader *trader = r->run->traders[i];
    const int64_t n = whet_i_trader_numbers(trader);
    whet_i_trader_state state = {.steps = (int64_t)place[4 + 2 * i],
                                 .epoch = (int64_t)place[5 + 2 * i]};
    char name[NAME];
    whet_status status = WHET_OK;
    (void)snprintf(name, sizeof name, "agent.%" PRId64, i);
    WHET_TRY(whet_i_alloc(r->ctx, n, &state.numbers));
    status = read_numbers(r, name, n, state.numbers) ? whet_i_trader_set(r->ctx, trader, &state)
                                                     : damaged(r, name);
    whet_i_free(r->ctx, state.numbers);
    return status;
}

static whet_status read_start(const reader *r, const double *place) {
    whet_i_market_run *run = r->run;
    whet_tensor t;
    run->silo.start.steps = (int64_t)place[1];
    run->silo.start.epoch = (int64_t)place[2];
    if (run->arm != WHET_ARM_SILO || run->epoch <= run->market->first) return WHET_OK;
    if (!whet_safetensors_find(r->file, "start", &t) || t.rank != 1) return damaged(r, "start");
    run->silo.n = t.shape[0];
    WHET_TRY(whet_i_alloc(r->ctx, run->silo.n, &run->silo.start.numbers));
    return read_numbers(r, "start", run->silo.n, run->silo.start.numbers) ? WHET_OK
                                                                          : damaged(r, "start");
}

static whet_status read_all(const reader *r) {
    double place[4 + 2 * WHET_I_AGENTS_MAX];
    whet_tensor t;
    whet_i_market_run *run = r->run;
    const int64_t epochs = run->market->config->epochs;
    if (!whet_safetensors_find(r->file, "place", &t) || t.dtype != WHET_F64 ||
        whet_tensor_count(&t) != WHET_COUNT_OF(place))
        return damaged(r, "place");
    memcpy(place, t.data, sizeof place);
    if (!whole(place, 0, WHET_COUNT_OF(place), 0, MOST) || place[0] > (double)epochs)
        return damaged(r, "place");
    run->epoch = (int64_t)place[0];
    WHET_TRY(read_scores(r));
    WHET_TRY(read_trials(r));
    WHET_TRY(read_money(r));
    WHET_TRY(read_start(r, place));
    if (run->rows.n_scores != per_epoch(run) * run->epoch) return damaged(r, "scores");
    if (run->epoch == epochs) return WHET_OK;
    WHET_TRY(whet_i_market_run_traders(r->ctx, run));
    for (int64_t i = 0; i < run->n_traders; i++) WHET_TRY(read_trader(r, place, i));
    if (run->arm != WHET_ARM_MARKET && run->arm != WHET_ARM_NO_ALIGN) return WHET_OK;
    const whet_i_told rows = run->rows; /* opening puts a flow again, which is there */
    WHET_TRY(whet_i_deals_open(r->ctx, run));
    run->rows.n_flows = rows.n_flows;
    WHET_TRY(read_ledger(r));
    for (int64_t i = 0; i < run->rows.n_trials; i++)
        WHET_TRY(whet_i_deals_recall(r->ctx, run, &run->rows.trials[i]));
    return WHET_OK;
}

static bool is_ours(const whet_safetensors *file, const whet_i_market_run *run) {
    int64_t version;
    return whet_i_parse_int(whet_safetensors_metadata(file, "whet_market"), &version) &&
           version == VERSION &&
           whet_str_equal(whet_safetensors_metadata(file, "fingerprint"),
                          whet_str_from(run->market->fingerprint));
}

whet_status whet_i_market_run_load(whet_ctx *ctx, whet_i_market_run *run, bool *found) {
    char *path = NULL;
    whet_safetensors *file = NULL;
    whet_status status = WHET_OK;
    *found = false;
    WHET_TRY(path_of(ctx, run, &path));
    if (access(path, F_OK) != 0) goto done;
    WHET_TRY_DONE(whet_safetensors_open(ctx, path, &file));
    if (!is_ours(file, run)) goto done;
    const reader r = {ctx, path, file, run};
    WHET_TRY_DONE(read_all(&r));
    *found = true;
done:
    whet_safetensors_close(ctx, file);
    whet_i_free(ctx, path);
    return status;
}
