/* SPDX-License-Identifier: Apache-2.0
 * market: a simulated market of weights: agents that train on data of their own, a broker between them,
 * periods in which weights are tried, priced and paid for, and what would have been without.
 *
 * A period is an epoch e = 0, 1, ..: every agent trains one on its own examples; then, from epoch `start` on
 * and when e is a multiple of `frequency`, every buyer has the weights of every seller tried by the broker
 * (whet/trial.h), as they were before anybody bought. What passes the gate is valued, priced (whet/market.h)
 * and, if it is worth more to the buyer than it costs, the best of them is paid for through a ledger
 * (whet/ledger.h) and adopted. The same agents are followed in several arms, from the same beginnings:
 *
 *   silo      nobody trades
 *   market    as the configuration says
 *   no-align  the same market, units as they are
 *   fedavg    in the same periods every agent gets the mean of all weights
 *   bank      one model that is trained on all examples: what would be possible
 *
 * The broker's examples, by which it chooses and judges, are not trained on, and the test examples do
 * neither. Source: Huang, Vishwakarma & Sala 2023 (arXiv 2312.04740); "reference" in the configuration is
 * what its published code does. The configuration: docs/formats/trading.md. */
#ifndef WHET_TRADING_H
#define WHET_TRADING_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum whet_arm {
    WHET_ARM_SILO = 0,
    WHET_ARM_MARKET,
    WHET_ARM_NO_ALIGN,
    WHET_ARM_FEDAVG,
    WHET_ARM_BANK,
    WHET_ARMS
} whet_arm;
WHET_API const char *whet_arm_name(whet_arm arm); /* "silo", ..., "no-align", .. Pure. */

/* ---- the configuration ------------------------------------------------------------------------------- */

/* Read-only once read. */
typedef struct whet_trading_config whet_trading_config;

/* Every member is checked, also against the others: what is unknown, out of range or contradictory is
 * refused by name. Paths in it are relative to `data`, or, NULL, to the folder of the file. Reads no data.
 * Errors: IO, FORMAT, ARG (contradictions), LIMIT (amounts that could overflow), NOMEM. */
WHET_API WHET_CHECKED whet_status whet_trading_config_read(whet_ctx *ctx, const char *path,
                                                           const char *data,
                                                           whet_trading_config **out);
WHET_API void whet_trading_config_destroy(whet_ctx *ctx,
                                          whet_trading_config *config); /* NULL: fine */

/* ---- what came of it --------------------------------------------------------------------------------- */

/* An agent of an arm, under a seed, after an epoch and its trades. In the bank's arm the agent is -1. */
typedef struct whet_trading_score {
    int64_t seed; /* place among the seeds */
    whet_arm arm;
    int64_t agent, epoch;
    double train_loss;                 /* mean over the epoch's examples, as they came */
    double valid_loss, valid_accuracy; /* the gate's examples (reference: the test examples) */
    double test_loss, test_accuracy;
} whet_trading_score;

typedef enum whet_trade_outcome {
    WHET_TRADE_BOUGHT = 0,
    WHET_TRADE_NO_GAIN,  /* the gate said no */
    WHET_TRADE_NO_PRICE, /* no price suits both */
    WHET_TRADE_REFUSED,  /* the posted price is above the buyer's value */
    WHET_TRADE_NO_MONEY, /* more than the buyer can pay */
    WHET_TRADE_OTHER,    /* another seller's offer was better */
    WHET_TRADE_OUTBID,   /* another buyer bid more, or as much and came first */
    WHET_TRADE_NOT_TRIED, /* what is expected of it is below the fee of a trial, or the fee above what
                                 the buyer has: the numbers of the trial are NaN */
    WHET_TRADE_OUTCOMES
} whet_trade_outcome;
WHET_API const char *whet_trade_outcome_name(whet_trade_outcome outcome); /* "bought", .. Pure. */

/* How a seller's units were put in the buyer's order. */
typedef enum whet_trade_units {
    WHET_UNITS_AS_THEY_ARE = 0,
    WHET_UNITS_ALIGNED,
    WHET_UNITS_PART, /* those that the revealed weights make, by these weights; the others stay */
    WHET_TRADE_UNITS
} whet_trade_units;

/* One trial of a seller's weights for a buyer. NaN: not measured. */
typedef struct whet_trading_trial {
    int64_t seed;
    whet_arm arm;
    int64_t epoch, buyer, seller, round; /* round: 0; of greedy buyers 1, .. for what came after */
    whet_trade_units units;
    double weight;                          /* share of the seller's weights */
    double select_before, select_after;     /* losses on the selection */
    double gate_before, gate_after;         /* and on the gate's examples */
    double accuracy_before, accuracy_after; /* on the gate's examples (reference: the selection) */
    double gain;                            /* relative, of the loss that decides */
    double gain_low;  /* what it is at least, by the gate: absolute; NaN without */
    double gain_most; /* what the bounds before the trial allow at most, relative, of the loss
                                  * on the selection; NaN: nobody looked ahead */
    bool gate;        /* it said yes */
    double value, reservation;                    /* V and C */
    bool posted;                                  /* there was a price: */
    int64_t price, buyer_pays, seller_gets, fees; /* fees: what the broker gets of price or trial */
    whet_trade_outcome outcome;
} whet_trading_trial;

/* Money of an agent after an epoch. */
typedef struct whet_trading_wallet {
    int64_t seed;
    whet_arm arm;
    int64_t epoch, agent, available;
} whet_trading_wallet;

/* A movement of money: parties are agents, or these. */
enum { WHET_PARTY_BROKER = -1, WHET_PARTY_OUTSIDE = -2 };
typedef struct whet_trading_flow {
    int64_t seed;
    whet_arm arm;
    int64_t epoch, from, to, amount;
} whet_trading_flow;

/* Over seeds: the arm's last epoch less the silo's, paired, with the half-width of Student's 95 % interval
 * (NaN with one seed). Of an arm's agent, or of the mean of all agents. */
enum { WHET_MEAN_AGENT = -1 };
typedef struct whet_trading_gain {
    whet_arm arm;
    int64_t agent, n;
    double test_accuracy, test_loss; /* means over seeds of the last epoch's */
    double accuracy, accuracy_half;  /* difference of test accuracy */
    double loss, loss_half;          /* difference of test loss; below 0 is better */
} whet_trading_gain;

/* Who has the surplus, a seed on average. */
typedef struct whet_trading_surplus {
    whet_arm arm;
    int64_t agent;
    double bought, sold;   /* deals */
    double paid, received; /* money, fees included; paid includes fees of trials */
    double buyer,
        seller; /* sum of V - what is paid; of what is received - C, over its deals; fees of
                                 trials that led to none are taken off the buyer's */
} whet_trading_surplus;

typedef struct whet_trading_result {
    int64_t n_agents, n_seeds, epochs, classes;
    const char *const *agents; /* [n_agents] names */
    const uint64_t *seeds;     /* [n_seeds] */
    const int64_t *examples;   /* [n_agents] that each trains on; of the first seed, where */
    bool split_each;           /* each seed draws who has which examples; else all have the same */
    const bool
        *competitors; /* [n_agents] whose gain costs those who sell to them; or NULL: nobody's */
    int64_t n_train, n_select, n_gate, n_test;
    bool arms[WHET_ARMS]; /* which were followed */
    bool money;           /* weights were sold, not given */
    bool norms_measured;  /* networks have batch norms, measured on the selection wherever judged */
    int64_t start, frequency;
    const char *name;   /* of the experiment */
    const char *config; /* the configuration's text; or NULL */
    /* In the order seed, arm, epoch, agent. */
    whet_trading_score *scores;
    whet_trading_trial *trials;
    whet_trading_wallet *wallets;
    whet_trading_flow *flows;
    int64_t n_scores, n_trials, n_wallets, n_flows;
    whet_trading_gain
        *gains; /* by arm, then agents and their mean; the bank: its one model against each
                                   agent */
    whet_trading_surplus *surplus; /* by arm and agent, of arms with money */
    int64_t n_gains, n_surplus;
    double broker; /* fees, a seed on average, of the market */
    struct whet_i_trading_memory *memory;
} whet_trading_result;

/* ---- running it -------------------------------------------------------------------------------------- */

/* Reads the data, trains, trades; state goes to the folder `state`, which is made, after each of the runs it
 * consists of, and now and then within them, so that it takes a twentieth of the time at most: a simulation
 * that was stopped in any way goes on from there when it is run again with the same folder, configuration and
 * data, and comes to the same bits; state of another one is not used. The folder remains. Results do not
 * depend on threads: runs (a seed and an agent alone; a seed and an arm) go to one thread each. On failure
 * it remains where a run has been kept.
 * Errors: of reading arrays; SHAPE, DATA (labels, an agent without examples, too few for the broker), ARG
 * (what the configuration says of classes, channels or tensors that are not so), FORMAT, NUMERIC (a loss that
 * is no number, by seed, arm, agent and epoch), IO (also when another process is at the folder), NOMEM,
 * LIMIT, CANCELLED. Progress "simulate", in epochs of one agent. Cost: a pass forward and back a training
 * example and epoch, one forward over gate and test examples an epoch, the trials. Memory: the training
 * examples (bytes where they are bytes), the others as f32, and a training step a thread and agent. */
WHET_API WHET_CHECKED whet_status whet_trading_run(whet_ctx *ctx, const whet_trading_config *config,
                                                   const char *state, whet_trading_result *out);
WHET_API void whet_trading_result_free(whet_ctx *ctx, whet_trading_result *result);

/* What came of it in few numbers, as JSON (results.json); released by whet_free_text. Errors: NOMEM. */
WHET_API WHET_CHECKED whet_status whet_trading_json(whet_ctx *ctx,
                                                    const whet_trading_result *result, char **out);
/* Writes results.json, accuracy.tsv, of a market trades.tsv, and where weights are sold wallets.tsv and
 * flows.tsv (docs/formats/trading.md) into an existing folder. Errors: IO, EXISTS, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_trading_write(whet_ctx *ctx,
                                                     const whet_trading_result *result,
                                                     const char *folder);

/* The answers to what a market is simulated for (do agents gain against training alone? each? those that
 * compete? who has the surplus?), a question and its answer a line, in words that follow from Student's
 * 95 % intervals over seeds, paired by seed: an interval that holds 0 is "no difference beyond noise", one
 * seed has none. *text is released by whet_free_text. Errors: NOMEM, LIMIT. Cost: a pass over scores and
 * trials. */
WHET_API WHET_CHECKED whet_status whet_trading_answers(whet_ctx *ctx,
                                                       const whet_trading_result *result,
                                                       char **text);
/* Writes report.html, a page by itself with those answers, tables and pictures, and the pictures as files:
 * convergence.svg, of trades gains.svg and weights.svg, and where weights are sold money.svg, into an
 * existing folder. Names are escaped. Errors: IO, EXISTS, NOMEM, LIMIT. */
WHET_API WHET_CHECKED whet_status whet_trading_report(whet_ctx *ctx,
                                                      const whet_trading_result *result,
                                                      const char *folder);

/* What whet market simulate does: reads the configuration, runs with the state in "<output>.whet-market",
 * writes the folder `output` whole, removes the state. seed: the one where the configuration has no "seeds"
 * (where it has, that is a warning); NULL: 0. force: an existing output makes way, with all files
 * that one may have; others in it stay. Errors: as the calls above; EXISTS and what cannot be written there,
 * before any work. */
WHET_API WHET_CHECKED whet_status whet_trading_files(whet_ctx *ctx, const char *config,
                                                     const char *data, const uint64_t *seed,
                                                     const char *output, bool force,
                                                     whet_trading_result *out);

#ifdef __cplusplus
}
#endif
#endif
