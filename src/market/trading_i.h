/* SPDX-License-Identifier: Apache-2.0
 * What the files of the simulated market share: the configuration, the data and who has which of it, an
 * agent's network, the runs (an agent alone; an arm) with their rows, and what is kept of them on disk. */
#ifndef WHET_MARKET_TRADING_I_H
#define WHET_MARKET_TRADING_I_H

#include "whet/ledger.h"
#include "whet/trading.h"
#include "whet/trial.h"

#include "io/io_i.h"
#include "market/market_i.h"
#include "nn/nn_i.h"

/* ---- the configuration (trading_config.c, trading_agents.c, trading_terms.c, trading_check.c) -------- */

enum {
    WHET_I_AGENTS_MAX = 16,
    WHET_I_SEEDS_MAX = 1000,
    WHET_I_CLASSES_MAX = 10000,
    WHET_I_EPOCHS_MAX = 100000
};

typedef struct whet_i_learning {
    whet_i_optimizer_settings optimizer;
    double rate;
    int64_t batch;
} whet_i_learning;

typedef struct whet_i_agent {
    const char *name;
    double kept;          /* of the classes that it is weak in; NaN: shares are given */
    const double *shares; /* [n_shares] of each class, or NULL */
    int64_t n_shares;
    const int32_t
        *relabel; /* [n_relabel] its own class of each class, -1: not its business; or NULL */
    int64_t n_relabel;
    int64_t ahead; /* epochs of training before the first period; the least of all agents is 0 */
    whet_i_learning learning;
    bool buys, sells, competitor;
    bool hides;           /* it would sell, and reveals nothing: sells is false */
    const char *money;    /* a member that only money gives a use; or NULL */
    const char **reveals; /* [n_reveals] patterns of names with * of what the broker sees of it as a
                           * seller; n_reveals 0: all (who reveals nothing does not sell) */
    int64_t n_reveals;
    whet_valuation valuation;
    whet_reservation reservation; /* its competitor is the buyer's */
    const char *belief;           /* on what others would pay */
    int64_t wallet;
} whet_i_agent;

typedef enum whet_i_trade_align {
    WHET_I_TRADE_AS_IS,
    WHET_I_TRADE_WEIGHTS,
    WHET_I_TRADE_ACTIVATIONS
} whet_i_trade_align;

typedef enum whet_i_trade_gate {
    WHET_I_TRADE_PAIRED,
    WHET_I_TRADE_HOEFFDING,
    WHET_I_TRADE_ANY_GAIN
} whet_i_trade_gate;

/* Kept in the order of the names in trading_terms.c. */
typedef enum whet_i_mechanism {
    WHET_I_TRADE_FREE,
    WHET_I_TRADE_POSTED,
    WHET_I_TRADE_NASH,
    WHET_I_TRADE_RUBINSTEIN,
    WHET_I_TRADE_DOUBLE,
    WHET_I_TRADE_SECOND,
    WHET_I_TRADE_MECHANISMS
} whet_i_mechanism;

typedef struct whet_i_terms {
    int64_t start, frequency;
    whet_i_trade_align align;
    whet_trial_search search;
    bool outright, keep_optimizer, greedy;
    const char **goods; /* [n_goods] patterns of names with *; n_goods 0 = all */
    int64_t n_goods;
    bool tower; /* all but the last layer */
    whet_i_trade_gate gate;
    double level, range;
    whet_i_mechanism mechanism;
    whet_disclosure disclosure;
    double power, discount_buyer, discount_seller, k, uniform_low, uniform_high, floor;
    bool buyer_first;
    int64_t rounds;
    whet_fees fees;
    int64_t trial_fee;
    double
        prior; /* buyers look so far ahead, a share of the way to the seller, before a trial; 0: not */
} whet_i_terms;

struct whet_trading_config {
    whet_i_arena arena;
    const char *name;
    bool reference;
    char *train_x, *train_y, *test_x, *test_y; /* paths, resolved */
    double mean[3], std[3];
    int32_t n_mean, n_std; /* 1 or one a channel; 0: not given */
    bool augment;
    uint64_t split_seed;
    bool split_each;      /* every seed draws examples by itself, and not by split_seed */
    int64_t select, gate; /* examples of the broker */
    const char *arch;     /* mlp, lenet, resnet, wrn */
    int64_t widths[WHET_I_WIDTHS_MAX];
    int32_t n_widths;
    int64_t blocks, widen;
    bool shared_init;
    int64_t epochs, micro_batch;
    whet_i_learning learning; /* of the bank, and of agents that say nothing else */
    whet_i_agent *agents;
    int64_t n_agents;
    whet_i_terms terms;
    bool arms[WHET_ARMS];
    uint64_t *seeds;
    int64_t n_seeds;
    bool has_seeds;       /* of its own; else the one is 0 */
    char *path, *text;    /* of the file */
    uint64_t fingerprint; /* of the file's bytes and the paths */
};

/* Batch norms are measured on the broker's selection wherever networks are judged, traded or not: what they
 * gain by it is no gain of trade. The published code averages them. */
static inline bool whet_i_trading_measures(const whet_trading_config *config) {
    return strcmp(config->arch, "resnet") == 0 && !config->reference;
}

/* From memory. where: the file for sentences; folder: of relative paths. Files of beliefs are opened, of data
 * not. */
WHET_CHECKED whet_status whet_i_trading_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                              int64_t len, const char *folder,
                                              whet_trading_config **out);
/* Members of an object that are none of `known` (ends with NULL) are refused, with the nearest name.
 * where: "c.json: trading". Errors: FORMAT, NOMEM. */
WHET_CHECKED whet_status whet_i_trading_known(whet_ctx *ctx, const char *where,
                                              const json_t *object, const char *const *known);
/* A number in [low, high]; absent: fallback. */
WHET_CHECKED whet_status whet_i_trading_real(whet_ctx *ctx, const char *where, const json_t *object,
                                             const char *key, double low, double high,
                                             double fallback, double *out);
/* One of `words` (ends with NULL); absent: fallback. */
WHET_CHECKED whet_status whet_i_trading_choice(whet_ctx *ctx, const char *where,
                                               const json_t *object, const char *key,
                                               const char *const *words, int32_t fallback,
                                               int32_t *out);
/* A copy of a text in the configuration's memory; absent: NULL. */
WHET_CHECKED whet_status whet_i_trading_text(whet_ctx *ctx, const char *where, const json_t *object,
                                             const char *key, whet_trading_config *config,
                                             const char **out);
/* An array of names of tensors, with * for anything. Errors: FORMAT, NOMEM. */
WHET_CHECKED whet_status whet_i_trading_patterns(whet_ctx *ctx, const char *where,
                                                 const json_t *array, const char *key,
                                                 whet_trading_config *config, const char ***out,
                                                 int64_t *count);
/* An array of 1..most numbers in [low, high]: absent gives NULL and 0. */
WHET_CHECKED whet_status whet_i_trading_reals(whet_ctx *ctx, const char *where,
                                              const json_t *object, const char *key, double low,
                                              double high, int64_t most,
                                              whet_trading_config *config, double **out,
                                              int64_t *n);
/* Optimiser, rate, batch: what is absent stays as it is. */
WHET_CHECKED whet_status whet_i_trading_learning(whet_ctx *ctx, const char *where,
                                                 const json_t *object, whet_i_learning *learning);
WHET_CHECKED whet_status whet_i_trading_agents(whet_ctx *ctx, const char *where,
                                               const json_t *array, const char *folder,
                                               whet_trading_config *config);
WHET_CHECKED whet_status whet_i_trading_terms(whet_ctx *ctx, const char *where,
                                              const json_t *object, whet_trading_config *config);
/* What contradicts what of a configuration that is read but for that. Errors: ARG, LIMIT (amounts that
 * overflow), those of beliefs. */
WHET_CHECKED whet_status whet_i_trading_check(whet_ctx *ctx, const whet_trading_config *config);
/* path, or folder/path when it is relative. */
WHET_CHECKED whet_status whet_i_trading_path(whet_ctx *ctx, whet_trading_config *config,
                                             const char *folder, whet_str path, char **out);

/* ---- data (trading_data.c, trading_split.c) ----------------------------------------------------------- */

/* Examples as networks take them. */
typedef struct whet_i_examples {
    float *x;        /* [n, d] */
    int32_t *labels; /* [n] */
    int64_t n;
    bool owned; /* else x and labels are another's */
} whet_i_examples;

enum { WHET_I_FOR_SELECT, WHET_I_FOR_GATE, WHET_I_FOR_TEST, WHET_I_PURPOSES };

typedef struct whet_i_market_data {
    whet_tensor train_x;      /* u8 as it is, else f32 */
    whet_tensor train_y;      /* i32 [n] */
    float scale[3], shift[3]; /* of bytes: x scale + shift, by channel */
    whet_i_image image;
    int64_t d, n_train;
    int64_t classes; /* of the labels */
    int64_t outputs; /* of the networks */
    /* Not trained on, [purpose][agent]: of agents with their own task, what is of it, by its labels; the
     * others share what n_agents, the bank, has. Reference: the selection is the test, and no gate. */
    whet_i_examples held[WHET_I_PURPOSES][WHET_I_AGENTS_MAX + 1];
    int64_t *rows[WHET_I_AGENTS_MAX +
                  1]; /* of training examples of each agent; at n_agents the bank's */
    int64_t n_rows[WHET_I_AGENTS_MAX + 1];
    uint64_t split_seed; /* of the draws */
    bool again;          /* arrays and test examples are another's */
    uint64_t hash;       /* of the arrays */
} whet_i_market_data;

/* Errors: as whet_trading_run. Released by _free, also what it leaves behind on failure. */
WHET_CHECKED whet_status whet_i_market_data_read(whet_ctx *ctx, const whet_trading_config *config,
                                                 whet_i_market_data *out);
/* The same arrays, examples drawn by another seed: a view of `from`, which must outlive it. */
WHET_CHECKED whet_status whet_i_market_data_again(whet_ctx *ctx, const whet_trading_config *config,
                                                  const whet_i_market_data *from,
                                                  uint64_t split_seed, whet_i_market_data *out);
void whet_i_market_data_free(whet_ctx *ctx, whet_i_market_data *data);
/* Warns of examples of the selection, the gate and the test that are among those that are trained on, or of
 * the selection. O(examples x numbers), a float's copy of one row at a time. (market_repeats.c) */
WHET_CHECKED whet_status whet_i_market_repeats(whet_ctx *ctx, const whet_trading_config *config,
                                               const whet_i_market_data *data);
/* Deals the training rows that are not the broker's to the agents: fills rows and n_rows. held [n_train]: not
 * 0 where a row is the broker's. */
WHET_CHECKED whet_status whet_i_market_split(whet_ctx *ctx, const whet_trading_config *config,
                                             const uint8_t *held, whet_i_market_data *data);
/* Training row i as a network takes it: to [d]. key: of its place and turn, when `augment`. */
void whet_i_market_row(const whet_i_market_data *data, int64_t i, bool augment, uint64_t key,
                       float *to);

/* ---- an agent's network (market_agent.c) -------------------------------------------------------------- */

typedef struct whet_i_trader whet_i_trader;

/* What a network is at a moment: all values, then moments of the optimiser. */
typedef struct whet_i_trader_state {
    float *numbers; /* [whet_i_trader_numbers] */
    int64_t steps;
    int64_t epoch; /* of training, those ahead included: what is next */
} whet_i_trader_state;

/* Agent n_agents is the bank. It begins as the seed (0-based place) has it. */
WHET_CHECKED whet_status whet_i_trader_create(whet_ctx *ctx, const whet_trading_config *config,
                                              const whet_i_market_data *data, int64_t seed,
                                              int64_t agent, whet_i_trader **out);
void whet_i_trader_destroy(whet_ctx *ctx, whet_i_trader *trader);
int64_t whet_i_trader_numbers(const whet_i_trader *trader);
void whet_i_trader_get(const whet_i_trader *trader, whet_i_trader_state *state);
WHET_CHECKED whet_status whet_i_trader_set(whet_ctx *ctx, whet_i_trader *trader,
                                           const whet_i_trader_state *state);
/* One epoch on its rows; *loss: the mean over steps. Errors: NUMERIC, NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_trader_train(whet_ctx *ctx, whet_i_trader *trader, double *loss);
/* Mean cross-entropy and accuracy on examples, by its own labels; those that are not its business do not
 * count. NaN where none does. */
WHET_CHECKED whet_status whet_i_trader_score(whet_ctx *ctx, whet_i_trader *trader,
                                             const whet_i_examples *examples, double *loss,
                                             double *accuracy);
/* Running statistics become those of examples, as a trial measures them; *kept: those it had, owned, for
 * _restore, which takes them back, if there are any, and lets go of them. Errors: DATA (fewer than 2
 * examples), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_trader_measure(whet_ctx *ctx, whet_i_trader *trader,
                                               const whet_i_examples *examples, float **kept);
WHET_CHECKED whet_status whet_i_trader_restore(whet_ctx *ctx, whet_i_trader *trader, float *kept);
/* Its tensors: [*n], in the memory of the trader; valid until it is destroyed. */
const whet_named_tensor *whet_i_trader_weights(const whet_i_trader *trader, int64_t *n);
/* Takes values [n], in the order of its own tensors. keep: the optimiser goes on as it is. */
WHET_CHECKED whet_status whet_i_trader_adopt(whet_ctx *ctx, whet_i_trader *trader,
                                             const whet_named_tensor *values, bool keep);

/* ---- runs (market_run.c, market_period.c, market_deal.c) ---------------------------------------------- */

typedef struct whet_i_told {
    whet_trading_score *scores;
    whet_trading_trial *trials;
    whet_trading_wallet *wallets;
    whet_trading_flow *flows;
    int64_t n_scores, n_trials, n_wallets, n_flows;
    int64_t cap_scores, cap_trials, cap_wallets, cap_flows;
} whet_i_told;

WHET_CHECKED whet_status whet_i_put_score(whet_ctx *ctx, whet_i_told *rows,
                                          const whet_trading_score *row);
WHET_CHECKED whet_status whet_i_put_trial(whet_ctx *ctx, whet_i_told *rows,
                                          const whet_trading_trial *row);
WHET_CHECKED whet_status whet_i_put_wallet(whet_ctx *ctx, whet_i_told *rows,
                                           const whet_trading_wallet *row);
WHET_CHECKED whet_status whet_i_put_flow(whet_ctx *ctx, whet_i_told *rows,
                                         const whet_trading_flow *row);
void whet_i_told_free(whet_ctx *ctx, whet_i_told *rows);

/* What a seller offers. */
typedef struct whet_i_offer {
    const char **goods; /* [n_goods] names of tensors; NULL: all */
    int64_t n_goods;
    bool *revealed;              /* [tensors of a network] what the broker sees; NULL: all */
    whet_permutation_spec *spec; /* of what is revealed; NULL: no units of it can be told */
} whet_i_offer;

/* What all runs read. */
typedef struct whet_i_market {
    const whet_trading_config *config;
    whet_i_market_data *data; /* [n_data] of each seed, or one for all */
    int64_t n_data;
    whet_permutation_spec *spec; /* of the networks; NULL: nothing is aligned by it */
    whet_i_offer offers[WHET_I_AGENTS_MAX];
    char *state; /* folder */
    char fingerprint[17];
    int64_t first;            /* period with trade; the epochs, when there is none */
    atomic_int_fast64_t done; /* epochs of agents, of all runs */
    int64_t total;
    atomic_bool failed; /* a run has: the others need not go on */
    const struct whet_i_market_run
        *silos; /* [n_seeds, n_agents] those that have come to their end */
} whet_i_market;

static inline const whet_i_market_data *whet_i_market_data_of(const whet_i_market *market,
                                                              int64_t seed) {
    return &market->data[market->n_data > 1 ? seed : 0];
}

/* An agent alone under a seed, when it has run. */
typedef struct whet_i_silo {
    whet_i_trader_state
        start; /* after the training of period `first`; numbers NULL: no arm begins there */
    int64_t n; /* numbers */
} whet_i_silo;

/* What is remembered of trade between a buyer and a seller. */
typedef struct whet_i_pair {
    whet_belief *belief;   /* the seller's on what the buyer would pay; NULL: none is needed */
    int64_t wait, skipped; /* periods in which they are not tried: to be, and so far */
} whet_i_pair;

/* A run: agents that are trained, and an arm. */
typedef struct whet_i_market_run {
    whet_i_market *market;
    whet_arm arm;
    int64_t seed, agent; /* agent: of a silo; n_agents: the bank; else -1, all */
    whet_i_told rows;
    int64_t epoch;                             /* the next one */
    whet_i_trader *traders[WHET_I_AGENTS_MAX]; /* one of a silo or the bank, else one an agent */
    int64_t n_traders;
    whet_ledger *ledger;       /* NULL: no money */
    struct whet_i_pair *pairs; /* [n_agents, n_agents] of buyer (row) and seller; NULL: no trade */
    double saved, saving;      /* when state was last written, and how long that took, in seconds */
    whet_i_silo silo;          /* of a silo: its start */
} whet_i_market_run;

/* From where its state has it to the end. worker0: the context whose progress it may report, or NULL.
 * Afterwards the run has its rows, and a silo its start. Errors: as whet_trading_run. */
WHET_CHECKED whet_status whet_i_market_run_all(whet_ctx *ctx, whet_i_market_run *run,
                                               whet_ctx *worker0);
void whet_i_market_run_free(whet_ctx *ctx, whet_i_market_run *run);
/* All but what it has come to: what only going on needs. */
void whet_i_market_run_traders_free(whet_ctx *ctx, whet_i_market_run *run);
/* Networks of the run's agents, as they begin; none of them trained. */
WHET_CHECKED whet_status whet_i_market_run_traders(whet_ctx *ctx, whet_i_market_run *run);
/* In an auction: what the buyer bids, and the least price at which the seller sells to it. */
typedef struct whet_i_bid {
    int64_t bid, reserve;
} whet_i_bid;
/* A seller's weights in trial for one buyer (market_lot.c). */
typedef struct whet_i_lot {
    whet_trading_trial row;
    whet_named_tensor *moved; /* [seller.n] of the seller, in the buyer's order; NULL: none */
    whet_weights seller;      /* n 0: not aligned yet */
    whet_trial_result result; /* of a trial */
    int64_t deal;             /* in the ledger; -1: none */
    double gain_high;         /* absolute, at most, by the gate */
    whet_i_bid bid;           /* in an auction */
} whet_i_lot;
/* Aligns, tries and judges, as one of `offers` that share the gate's level; what came of it into the row. */
WHET_CHECKED whet_status whet_i_lot_try(whet_ctx *ctx, const whet_i_market_run *run,
                                        const whet_weights *buyer, int64_t offers, whet_i_lot *lot);
/* Where buyers look ahead: a bound of the gain into the row. promising: it is above 0, and as far as a
 * valuation is of it, worth the fee of a trial. */
WHET_CHECKED whet_status whet_i_lot_expect(whet_ctx *ctx, const whet_i_market_run *run,
                                           const whet_weights *buyer, whet_i_lot *lot,
                                           bool *promising);
void whet_i_lot_free(whet_ctx *ctx, whet_i_lot *lot);
/* All trades of the period run->epoch. */
WHET_CHECKED whet_status whet_i_market_run_period(whet_ctx *ctx, whet_i_market_run *run);

/* Money and beliefs of a run (market_deal.c). */
WHET_CHECKED whet_status whet_i_deals_open(whet_ctx *ctx, whet_i_market_run *run);
/* What a trial, as it ended, teaches those who deal again: also to be told again of state. */
WHET_CHECKED whet_status whet_i_deals_recall(whet_ctx *ctx, whet_i_market_run *run,
                                             const whet_trading_trial *trial);
/* Value, reservation and price of a trial whose gate said yes, into the row; gain_high: the absolute gain at
 * most, by the gate. */
WHET_CHECKED whet_status whet_i_deal_price(whet_ctx *ctx, whet_i_market_run *run, double gain_high,
                                           whet_trading_trial *row);
/* What could come of a pair, as far as the configuration says. */
typedef struct whet_i_outlook {
    bool priced;  /* some gain has a price, by beliefs or the interval of an auction */
    double value; /* the most that a gain may be worth to the buyer */
    double cost;  /* the least that it would pay, fees included, for the seller to have its own */
    int64_t
        pays; /* the same at a whole price, with the fee of a trial if that is more; -1: there is
                     none up to the value */
} whet_i_outlook;
/* Errors: LIMIT, where amounts may overflow; those of beliefs. */
WHET_CHECKED whet_status whet_i_deal_outlook(whet_ctx *ctx, const whet_trading_config *config,
                                             int64_t buyer, int64_t seller, whet_i_outlook *out);

/* Value and reservation into the row, and of `held` units the bid of a trial whose gate said yes. The outcome
 * is NO_PRICE or NO_MONEY where the bid is below the reserve, else OUTBID, until it has won. */
WHET_CHECKED whet_status whet_i_deal_bid(whet_ctx *ctx, const whet_i_market_run *run, int64_t held,
                                         whet_trading_trial *row, whet_i_bid *out);
/* The price and what both sides pay and get of it into the row; the outcome is BOUGHT, or REFUSED. */
WHET_CHECKED whet_status whet_i_deal_at(whet_ctx *ctx, const whet_i_market_run *run, int64_t price,
                                        whet_trading_trial *row);

/* ---- state on disk (market_state.c) ------------------------------------------------------------------- */

/* One safetensors file a run: rows, where it is, and until it has come to its end what its agents are. */
WHET_CHECKED whet_status whet_i_market_run_save(whet_ctx *ctx, const whet_i_market_run *run);
/* *found: there was state of this simulation, and the run is where it was then, its networks made unless it
 * has come to its end. Errors: FORMAT (damage), NOMEM. */
WHET_CHECKED whet_status whet_i_market_run_load(whet_ctx *ctx, whet_i_market_run *run, bool *found);

/* ---- results (trading_gains.c, trading_files.c) ------------------------------------------------------- */

/* Gains and surplus, from the rows. */
WHET_CHECKED whet_status whet_i_trading_summary(whet_ctx *ctx, whet_trading_result *result);
/* Removes the folder of state that nobody uses any more, as far as it is ours. */
void whet_i_trading_state_remove(const char *folder);
/* Whether it keeps nothing of any run. */
bool whet_i_trading_state_is_idle(const char *folder);

#endif
