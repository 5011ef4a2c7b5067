/* SPDX-License-Identifier: Apache-2.0
 * Private to market: checks of numbers, whole-unit prices, the belief's parts, the normal distribution. */
#ifndef WHET_MARKET_I_H
#define WHET_MARKET_I_H

#include "whet/market.h"

#include "core/core_i.h"

/* ---- numbers and prices (money.c) -------------------------------------------------------------- */

/* A real amount of 0..WHET_MONEY_MAX. Errors: ARG (negative, NaN), LIMIT; the sentence names `what`. */
WHET_CHECKED whet_status whet_i_amount(whet_ctx *ctx, const char *what, double x);
/* low <= x <= high, not NaN. Errors: ARG. */
WHET_CHECKED whet_status whet_i_within(whet_ctx *ctx, const char *what, double x, double low,
                                       double high);
/* 0 < x, finite. Errors: ARG. */
WHET_CHECKED whet_status whet_i_positive(whet_ctx *ctx, const char *what, double x);
/* `exact` in whole units within [low, high]: rounded down, or up where that is below low. No trade when no
 * whole unit is there, or low > high. high may be infinite. Errors: LIMIT. */
WHET_CHECKED whet_status whet_i_whole_price(whet_ctx *ctx, double exact, double low, double high,
                                            whet_price *out);

/* "1:2.5" as exactly n reals joined by colons (valuation.c). */
bool whet_i_market_reals(const char *text, int n, double *out);

/* ---- the normal distribution (normal.c) -------------------------------------------------------- */

double whet_i_normal_upper(double z); /* P(Z >= z), to full relative precision in the upper tail */
double whet_i_normal_upper_quantile(double p); /* z with P(Z >= z) = p, 0 < p < 1 */

/* Options of a gate. Errors: ARG. (gate.c) */
WHET_CHECKED whet_status whet_i_gate_check(whet_ctx *ctx, const whet_gate_opts *opts);

/* ---- examples that are on both sides (example_overlap.c) ------------------------------------- */

/* Of an example x [d] and its label. Pure. */
uint64_t whet_i_example_hash(const float *x, int64_t d, int32_t label);
void whet_i_examples_sort(uint64_t *hashes, int64_t n);
/* How many of b [m] are among a [n], both sorted; *differ: how many of a differ. Pure. */
int64_t whet_i_examples_common(const uint64_t *a, int64_t n, const uint64_t *b, int64_t m,
                               int64_t *differ);

/* ---- beliefs (belief.c) ------------------------------------------------------------------------ */

typedef enum whet_i_belief_kind {
    WHET_I_UNIFORM,
    WHET_I_EXPONENTIAL,
    WHET_I_LOGNORMAL,
    WHET_I_SAMPLES
} whet_i_belief_kind;

enum { WHET_I_CUTS_MAX = 4096 };

/* V in [lo, hi), hi may be infinite. Between cuts it is distributed as the prior is; observations change
 * the mass of whole segments: segment j is [cut[j], cut[j + 1]) and has mass[j], of sum 1. */
struct whet_belief {
    whet_i_belief_kind kind;
    double a, b; /* exponential: rate; lognormal: mu, sigma */
    double lo, hi;
    double *samples; /* [n], ascending; SAMPLES only */
    int64_t n;
    double *cut, *mass; /* [segments + 1], [segments] */
    int64_t segments;
};

/* Prior probability of low <= V < high, before division by that of [lo, hi). Not negative. */
double whet_i_belief_prior(const whet_belief *belief, double low, double high);
/* Prior density at v, on the same scale; not for samples. */
double whet_i_belief_density(const whet_belief *belief, double v);
/* The segment that v >= lo falls into: the last one for v >= hi. */
int64_t whet_i_belief_segment(const whet_belief *belief, double v);

/* ---- posted prices (posted_price.c, ironing.c, sample_price.c) ---------------------------------- */

/* (p - C)(1 - F(p)) rises at p: the sign of its derivative, with the density of segment j. */
bool whet_i_profit_rises(const whet_belief *belief, int64_t j, double cost, double p);
/* Where profit stops to rise on [from, to], which rises and then falls there; `to` may be infinite. Of
 * segment j alone. */
double whet_i_rising_until(const whet_belief *belief, int64_t j, double cost, double from,
                           double to);
/* *exact: the best price of a belief with several segments, not samples; < 0 when none is of use. The widest
 * range of prices under the hull, 0 and 0 for none. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_ironed_price(whet_ctx *ctx, const whet_belief *belief, double cost,
                                             double *exact, double *passed_low,
                                             double *passed_high);
/* The best price in f64; < 0 when none is of use. Sets method and passed range of *out. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_posted_exact(whet_ctx *ctx, const whet_belief *belief, double cost,
                                             double *exact, whet_posted *out);
/* The best of the samples; < 0 when none is worth `cost`. */
double whet_i_sample_price(const whet_belief *belief, double cost);

/* ---- the job (price_check.c, price_facts.c, price_job.c) ---------------------------------------- */

/* Fields that contradict each other, or lack what the mechanism needs; reads nothing. Errors: ARG. */
WHET_CHECKED whet_status whet_i_price_check(whet_ctx *ctx, const whet_price_job *job);
/* Gain, its bounds, V and C into the report; files of losses are read. With a gate that says no, why is
 * "gate". Errors: as whet_price_run. */
WHET_CHECKED whet_status whet_i_price_facts(whet_ctx *ctx, const whet_price_job *job,
                                            whet_price_report *out);
/* Bids [n] of a file, owned. Errors: FORMAT, DATA, and of reading. */
typedef struct whet_i_bids {
    int64_t *bids;
    int64_t n;
    struct whet_table *names; /* the file, or NULL */
    int64_t column;           /* of the buyers' names in it, or -1 */
} whet_i_bids;
WHET_CHECKED whet_status whet_i_bids_read(whet_ctx *ctx, const char *path, whet_i_bids *out);
void whet_i_bids_free(whet_ctx *ctx, whet_i_bids *bids);

/* path ends like a text table's. Pure. (belief_spec.c) */
bool whet_i_names_table(const char *path);

#endif
