/* SPDX-License-Identifier: Apache-2.0
 * market: what a set of weights is worth to who buys it, what it costs who sells it, and a price.
 *
 * Money is whole minor units (cents, say) in int64. Rules compute in f64 and give both the exact price and
 * the one that is paid, in whole units, rounded down (docs/guide/market.md). V is the buyer's value, C the
 * seller's reservation: a trade gains if V >= C, and every price here lies in [C, V], or there is no trade.
 * Which is which: "gain" is what a mixture does to the buyer's model, in the unit of the valuation.
 *
 * Sources: Myerson 1981 (optimal auctions); Bulow & Roberts 1989 (quantiles); Vickrey 1961; Chatterjee &
 * Samuelson 1983; Nash 1950; Rubinstein 1982; Huang, Vishwakarma & Sala 2023 (arXiv 2312.04740: parameters
 * as goods). Unless a contract says more, calls are O(1), have no state, and fail with WHET_ERR_ARG alone,
 * outputs untouched. */
#ifndef WHET_MARKET_H
#define WHET_MARKET_H

#include "whet/core.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- money ------------------------------------------------------------------------------------- */

/* The greatest amount of one value, price or balance: 2^53, to which f64 holds every unit. */
#define WHET_MONEY_MAX INT64_C(9007199254740992)

/* x in whole units, rounded down (up): x within 1e-6 and 4 spacings of f64 of a whole number is that number,
 * for .29 x 100 is 29. what: names it in the sentence ("price"). Errors: ARG (negative, NaN), LIMIT (above
 * WHET_MONEY_MAX, infinite: "price 1e+30 overflows"). */
WHET_API WHET_CHECKED whet_status whet_money_floor(whet_ctx *ctx, const char *what, double x,
                                                   int64_t *out);
WHET_API WHET_CHECKED whet_status whet_money_ceil(whet_ctx *ctx, const char *what, double x,
                                                  int64_t *out);
/* a + b; a - b. Errors: ARG (an operand or the difference is negative), LIMIT (above WHET_MONEY_MAX). */
WHET_API WHET_CHECKED whet_status whet_money_add(whet_ctx *ctx, const char *what, int64_t a,
                                                 int64_t b, int64_t *out);
WHET_API WHET_CHECKED whet_status whet_money_subtract(whet_ctx *ctx, const char *what, int64_t a,
                                                      int64_t b, int64_t *out);

/* What the broker takes of a trade at price p: from each side units + p bp / 10000, rounded down. */
typedef struct whet_fees {
    int64_t buyer,
        seller; /* units, 0..WHET_MONEY_MAX; the buyer's on top of the price, the seller's
                                    out of it */
    int32_t buyer_bp, seller_bp; /* ten-thousandths of the price, 0..10000 */
} whet_fees;
typedef struct whet_payment {
    int64_t price, buyer_pays, seller_gets,
        broker_gets; /* buyer_pays = seller_gets + broker_gets */
} whet_payment;
/* Errors: ARG (negative; rates out of range; the seller's fee is above the price), LIMIT (overflow),
 * INTERNAL (units would be made or lost: never seen). */
WHET_API WHET_CHECKED whet_status whet_payment_split(whet_ctx *ctx, int64_t price,
                                                     const whet_fees *fees, whet_payment *out);

/* ---- value: what a gain is worth to the buyer -------------------------------------------------- */

typedef enum whet_valuation_kind {
    WHET_VALUE_LINEAR = 0,  /* rate x relative gain of loss */
    WHET_VALUE_ACCURACY,    /* rate x gain of accuracy, -1..1 */
    WHET_VALUE_SATURATING,  /* most (1 - exp(-gain / scale)) */
    WHET_VALUE_COST_SAVING, /* rate x epochs that the buyer need not train */
    WHET_VALUATIONS
} whet_valuation_kind;
typedef struct whet_valuation {
    whet_valuation_kind kind;
    double rate;  /* all but SATURATING: money a unit of gain, >= 0 */
    double most;  /* SATURATING: what the value tends to, >= 0 */
    double scale; /* SATURATING: gain at which 63 % of it are reached, > 0 */
} whet_valuation;

/* "linear", ...; NULL behind the last. Pure. */
WHET_API const char *whet_valuation_name(whet_valuation_kind kind);
/* "linear:RATE", "accuracy:RATE", "saturating:MOST:SCALE", "cost-saving:RATE". */
WHET_API WHET_CHECKED whet_status whet_valuation_parse(whet_ctx *ctx, const char *spec,
                                                       whet_valuation *out);
/* The value of a gain: 0 for none or a loss, not decreasing. Errors: ARG, LIMIT (above WHET_MONEY_MAX). */
WHET_API WHET_CHECKED whet_status whet_value(whet_ctx *ctx, const whet_valuation *valuation,
                                             double gain, double *out);
/* (before - after) / before. Errors: ARG (before <= 0, NaN). */
WHET_API WHET_CHECKED whet_status whet_relative_gain(whet_ctx *ctx, double before, double after,
                                                     double *out);
/* Epochs of its own training that reach `loss`: losses [n], n >= 1, the buyer's loss now and after each
 * epoch alone; between two it is taken as straight, and the first crossing counts. Not reached: n - 1, and
 * *reached = false, for it would have taken longer. O(n). */
WHET_API WHET_CHECKED whet_status whet_epochs_saved(whet_ctx *ctx, const double *losses, int64_t n,
                                                    double loss, double *epochs, bool *reached);

/* What a seller asks at least: training x amortisation + fee; of a competitor, externality times its gain,
 * if any, on top. */
typedef struct whet_reservation {
    double training;     /* what the weights cost to train, >= 0 */
    double amortisation; /* share of it that this sale must bring in, 0..1 */
    double externality;  /* money lost a unit of gain of a competitor, >= 0 */
    double fee;          /* the seller's costs of a trade, >= 0 */
    bool competitor;     /* the buyer is one */
} whet_reservation;
/* Errors: ARG, LIMIT. */
WHET_API WHET_CHECKED whet_status whet_reservation_cost(whet_ctx *ctx, const whet_reservation *r,
                                                        double gain, double *out);

/* ---- belief: what the seller thinks that the buyer's value is ----------------------------------- */

/* A distribution of V >= 0: uniform, exponential, lognormal (these also cut to an interval) or of samples;
 * and what accepting and refusing of prices told since. */
typedef struct whet_belief whet_belief;

/* 0 <= lo < hi <= WHET_MONEY_MAX. Errors of all four: ARG, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_belief_uniform(whet_ctx *ctx, double lo, double hi,
                                                      whet_belief **out);
/* 1 - F(v) = exp(-rate v), rate > 0. */
WHET_API WHET_CHECKED whet_status whet_belief_exponential(whet_ctx *ctx, double rate,
                                                          whet_belief **out);
/* ln V is normal with mean mu and standard deviation sigma > 0. */
WHET_API WHET_CHECKED whet_status whet_belief_lognormal(whet_ctx *ctx, double mu, double sigma,
                                                        whet_belief **out);
/* values [n], n >= 1, each in 0..WHET_MONEY_MAX, in any order; copied. O(n log n). */
WHET_API WHET_CHECKED whet_status whet_belief_samples(whet_ctx *ctx, const double *values,
                                                      int64_t n, whet_belief **out);
/* "uniform:LO:HI", "exponential:RATE", "lognormal:MU:SIGMA", "samples:FILE" (a table with a column value,
 * or an array [n]). Errors: ARG, NOMEM; of the file as reading (FORMAT, DATA name line or index). */
WHET_API WHET_CHECKED whet_status whet_belief_open(whet_ctx *ctx, const char *spec,
                                                   whet_belief **out);
WHET_API void whet_belief_destroy(whet_ctx *ctx, whet_belief *belief); /* NULL is fine */

/* P(V >= price): how likely a posted price is accepted. O(log n) of samples, O(cuts). */
WHET_API double whet_belief_sale(const whet_belief *belief, double price);
/* The greatest price that is accepted with probability q at least; 0 < q <= 1. */
WHET_API WHET_CHECKED whet_status whet_belief_quantile(whet_ctx *ctx, const whet_belief *belief,
                                                       double q, double *out);
/* The broker's word that lo <= V <= hi: the belief is cut to it for good. Errors: ARG (lo >= hi, or after an
 * observation), DATA (impossible under the belief), NOMEM. O(n). */
WHET_API WHET_CHECKED whet_status whet_belief_truncate(whet_ctx *ctx, whet_belief *belief,
                                                       double lo, double hi);
/* The buyer took (refused) a price: V >= price (V < price), but for a floor: belief := (1 - floor) x
 * conditioned + floor x prior, 0 <= floor < 1, so that who refuses by design cannot talk the belief down
 * for good. Errors: ARG, DATA (floor 0, and impossible under the belief), LIMIT (4096 distinct prices),
 * NOMEM. O(cuts + log n). */
WHET_API WHET_CHECKED whet_status whet_belief_observe(whet_ctx *ctx, whet_belief *belief,
                                                      double price, bool accepted, double floor);
/* Observations of a table with the columns price and accepted (1 0 yes no true false), in order. Errors as
 * above with the line, and of reading. The belief is what it was on failure. */
WHET_API WHET_CHECKED whet_status whet_belief_observe_file(whet_ctx *ctx, whet_belief *belief,
                                                           const char *path, double floor);

/* ---- prices ------------------------------------------------------------------------------------ */

typedef struct whet_price {
    bool trade;   /* false: no price suits both; the numbers are 0 */
    double exact; /* by the formula */
    int64_t
        price; /* whole units: exact rounded down, or up where that would be below the reservation */
} whet_price;

typedef enum whet_posted_method {
    WHET_POSTED_CLOSED_FORM = 0, /* uniform, exponential */
    WHET_POSTED_ROOT,            /* phi(p) = C by bisection */
    WHET_POSTED_IRONED,          /* tangent of the concave hull of revenue over quantiles */
    WHET_POSTED_SAMPLES          /* best of the samples */
} whet_posted_method;
WHET_API const char *whet_posted_method_name(
    whet_posted_method method); /* "closed-form", ... Pure. */

typedef struct whet_posted {
    whet_price price;
    whet_posted_method method;
    double sale;   /* P(V >= price.price) */
    double profit; /* (price.price - C) x sale */
    /* The widest range of prices that are best for no C, because the hull passes over them: regular beliefs
     * have none (both 0). Of beliefs with observations only. */
    double passed_low, passed_high;
} whet_posted;

/* The price that earns most against the belief: argmax (p - C) P(V >= p), cost C >= 0; of equally good ones
 * the higher. Unlimited copies: the same price to each buyer. Regular beliefs, phi(v) = v - (1 - F) / f
 * increasing where it is >= 0: phi(p) = C, or the least value if phi is above C there; uniform (hi + C) / 2,
 * exponential C + 1 / rate. Beliefs with observations: R(q) = q x price at quantile q on a grid of 4096
 * points and the cuts; the hull's vertices that are nearly best, refined by bisection. Samples v_0 <= ..:
 * max (v_i - C)(n - i); when n < 200 the top ceil(sqrt(n)) are no candidates (the lowest always is),
 * against over-fitting, unless only they are worth C. No trade when C is above what the buyer may pay.
 * Errors: ARG, LIMIT (the price overflows), NOMEM. O(log) for regular ones, O(4096 cuts), O(n). */
WHET_API WHET_CHECKED whet_status whet_posted_price(whet_ctx *ctx, const whet_belief *belief,
                                                    double cost, whet_posted *out);

typedef struct whet_auction {
    whet_price price;
    int64_t winner; /* index of the bid, or -1 */
    int64_t tied;   /* how many bids equal the winner's, itself included */
    int64_t above;  /* bids of the reserve or more */
} whet_auction;
/* One good, sealed bids: the highest wins and pays max(reserve, second highest) (Vickrey 1961), so that
 * bidding one's value is best. Ties: the first of the highest wins, and pays that bid. bids [n], n >= 0.
 * Errors: ARG (a bid or the reserve out of 0..WHET_MONEY_MAX, with its index). O(n). */
WHET_API WHET_CHECKED whet_status whet_second_price(whet_ctx *ctx, const int64_t *bids, int64_t n,
                                                    int64_t reserve, whet_auction *out);

/* Both name a price; trade iff bid >= ask, at k bid + (1 - k) ask, 0 <= k <= 1. Balanced, not truthful. */
WHET_API WHET_CHECKED whet_status whet_double_auction(whet_ctx *ctx, int64_t bid, int64_t ask,
                                                      double k, whet_price *out);
/* The linear equilibrium of it when V and C are independent and uniform on [lo, hi] (Chatterjee & Samuelson
 * 1983): on [0, 1] bid V / (1 + k) + k (1 - k) / (2 (1 + k)), never above V, and ask C / (2 - k) +
 * (1 - k) / 2, never below C; for k = 1/2 they trade iff V - C >= 1/4. */
WHET_API WHET_CHECKED whet_status whet_double_auction_bid(whet_ctx *ctx, double lo, double hi,
                                                          double k, double value, double *out);
WHET_API WHET_CHECKED whet_status whet_double_auction_ask(whet_ctx *ctx, double lo, double hi,
                                                          double k, double cost, double *out);

/* Nash 1950, weighted: maximises (V - p - outside_buyer)^(1 - power) (p - C - outside_seller)^power:
 * p = C + outside_seller + power (V - C - outside_buyer - outside_seller). No trade when V - C is below the
 * sum of what both have outside, or no whole unit lies between. power, the seller's, in [0, 1]. */
typedef struct whet_nash {
    double value, cost, outside_buyer, outside_seller, power;
} whet_nash;
WHET_API WHET_CHECKED whet_status whet_nash_price(whet_ctx *ctx, const whet_nash *in,
                                                  whet_price *out);

/* Alternating offers (Rubinstein 1982): money a round later is worth discount times as much, in [0, 1).
 * S = V - C; the seller proposing first p = C + S (1 - d_b) / (1 - d_b d_s), the buyer
 * p = C + S d_s (1 - d_b) / (1 - d_b d_s). Subgame-perfect play agrees in round one. rounds: 0 = without end;
 * else, up to 1e6, no trade behind the last, by backward induction (Stahl 1972) in O(rounds). Rounds of
 * length h -> 0 with d = exp(-rate h) tend to Nash's price with power rate_b / (rate_b + rate_s).
 * Errors: ARG, LIMIT. */
typedef struct whet_rubinstein {
    double value, cost, discount_buyer, discount_seller;
    bool buyer_first;
    int64_t rounds;
} whet_rubinstein;
WHET_API WHET_CHECKED whet_status whet_rubinstein_price(whet_ctx *ctx, const whet_rubinstein *in,
                                                        whet_price *out);

/* V in [value_low, value_high] and C in [cost_low, cost_high] is all that is known. */
typedef enum whet_bounds_verdict {
    WHET_BOUNDS_SAFE = 0, /* any price in [cost_high, value_low] suits both */
    WHET_BOUNDS_DISCLOSE, /* there may be a gain: more must be disclosed; never outside [low, high] */
    WHET_BOUNDS_NO_TRADE /* V < C for sure */
} whet_bounds_verdict;
WHET_API const char *whet_bounds_verdict_name(whet_bounds_verdict verdict); /* "safe", .. Pure. */

typedef struct whet_bounds_price {
    whet_bounds_verdict verdict;
    double low, high; /* SAFE: cost_high, value_low; else cost_low, value_high */
    whet_price price; /* SAFE: the middle */
} whet_bounds_price;
WHET_API WHET_CHECKED whet_status whet_price_between(whet_ctx *ctx, double value_low,
                                                     double value_high, double cost_low,
                                                     double cost_high, whet_bounds_price *out);

/* ---- disclosure: what the broker tells of a trial's gain ---------------------------------------- */

typedef enum whet_disclosure {
    WHET_DISCLOSE_SEALED =
        0, /* neither learns more than accepted or refused: the seller posts a price */
    WHET_DISCLOSE_BOUNDS, /* both learn an interval of the gain: belief cut to its values */
    WHET_DISCLOSE_BUYER,  /* the buyer learns the gain, the seller nothing: a posted price, and the
                                 buyer keeps V - p */
    WHET_DISCLOSE_BOTH,   /* both learn it: they bargain over V - C */
    WHET_DISCLOSURES
} whet_disclosure;
WHET_API const char *whet_disclosure_name(whet_disclosure level); /* "sealed", ... Pure. */

typedef struct whet_disclosed {
    bool buyer_learns, seller_learns;
    double buyer_low, buyer_high; /* bounds of V, when learnt */
    double seller_low, seller_high;
    bool bargain; /* both know V: no need of a belief */
} whet_disclosed;
/* Values of what each side learns of a gain in [low, high] (BOUNDS), or of exactly `gain` (BUYER, BOTH).
 * Numbers that the level does not use are not read. Errors: ARG, LIMIT. */
WHET_API WHET_CHECKED whet_status whet_disclose(whet_ctx *ctx, whet_disclosure level,
                                                const whet_valuation *valuation, double low,
                                                double high, double gain, whet_disclosed *out);

/* ---- the gain before any trial ------------------------------------------------------------------ */

/* The buyer's loss L at its weights x, the seller's y: d = y - x, and L(x) - L(x + w d) is the absolute gain
 * of mixing weight w. If the gradient of L is L-Lipschitz (smoothness) on the way, it lies in
 * -w slope -+ smoothness w^2 norm2 / 2. Networks are not smooth: priors, not promises. */
typedef struct whet_gain_prior {
    double slope;      /* <gradient at x, d> */
    double norm2;      /* |d|^2, > 0 */
    double smoothness; /* > 0 */
} whet_gain_prior;
typedef struct whet_gain_plan {
    double best_weight,
        best_low;      /* w that maximises the lower bound, clipped to [0, 1], and that bound */
    double sure_below; /* lower bound > 0 for 0 < w < this; 0 = never */
    double hope_above; /* upper bound > 0 for w > this; 1 = for no w below 1 */
} whet_gain_plan;
/* Bounds at weight w in [0, 1]. */
WHET_API WHET_CHECKED whet_status whet_gain_bounds(whet_ctx *ctx, const whet_gain_prior *prior,
                                                   double weight, double *low, double *high);
/* The same from the gradient's length alone: |slope| <= gradient_norm sqrt(norm2); prior->slope is not
 * read. */
WHET_API WHET_CHECKED whet_status whet_gain_bounds_of_norm(whet_ctx *ctx, double gradient_norm,
                                                           const whet_gain_prior *prior,
                                                           double weight, double *low,
                                                           double *high);
WHET_API WHET_CHECKED whet_status whet_gain_best_weight(whet_ctx *ctx, const whet_gain_prior *prior,
                                                        whet_gain_plan *out);
/* Convex L: the gain is w (buyer's loss - seller's loss) at least. Pure. */
WHET_API double whet_gain_convex(double buyer_loss, double seller_loss, double weight);
/* What is known of a trade that was made. */
typedef struct whet_past_trade {
    double before, after, slope, norm2, weight; /* norm2, weight > 0 */
} whet_past_trade;
/* The least smoothness that explains past trades: max of 2 |after - before - w slope| / (w^2 norm2).
 * trades [n], n >= 1. O(n). */
WHET_API WHET_CHECKED whet_status whet_smoothness_of_trades(whet_ctx *ctx,
                                                            const whet_past_trade *trades,
                                                            int64_t n, double *out);

/* ---- the gate: is a measured gain more than luck? ----------------------------------------------- */

typedef enum whet_gate_test {
    WHET_GATE_PAIRED =
        0,              /* mean - z s / sqrt(n) > 0, the normal approximation: right for large n */
    WHET_GATE_HOEFFDING /* mean - range sqrt(ln(2 / level) / (2 n)) > 0: at any n, for bounded losses */
} whet_gate_test;
typedef struct whet_gate_opts {
    size_t struct_size;
    whet_gate_test test;
    double level;   /* of a wrong yes, for all offers of a period together; (0, .5]; default .05 */
    int64_t offers; /* tried in the period, >= 1: each is tested at level / offers (Bonferroni) */
    double range;   /* HOEFFDING: width of the interval that holds every difference, > 0; twice the
                       greatest loss, when losses lie between 0 and it */
} whet_gate_opts;
#define WHET_GATE_OPTS_INIT \
    { .struct_size = sizeof(whet_gate_opts), .level = .05, .offers = 1 }

typedef struct whet_gate {
    bool accept;
    int64_t n;
    double before, after;   /* mean losses */
    double gain;            /* before - after */
    double half_width, low; /* gain - half_width = low > 0: accept */
    double relative;        /* gain / before; 0 when before <= 0 */
} whet_gate;
/* before, after [n]: losses of the same n examples, which chose neither the mixing weight nor anything else.
 * PAIRED needs n >= 2; z is the normal distribution's upper quantile of level / offers (one-sided).
 * HOEFFDING bounds both sides at once. Errors: ARG, DATA (too few; not finite, with the index; differences
 * wider than the range). O(n), in order, f64. */
WHET_API WHET_CHECKED whet_status whet_gate_losses(whet_ctx *ctx, const double *before,
                                                   const double *after, int64_t n,
                                                   const whet_gate_opts *opts, whet_gate *out);
/* range sqrt(ln(2 / level) / (2 n)) (Hoeffding 1963, theorem 2, both sides). */
WHET_API WHET_CHECKED whet_status whet_hoeffding_half_width(whet_ctx *ctx, int64_t n, double range,
                                                            double level, double *out);

/* ---- a price from files, as whet market price does it ------------------------------------------- */

typedef enum whet_mechanism {
    WHET_MECHANISM_POSTED = 0,   /* whet_posted_price */
    WHET_MECHANISM_SECOND_PRICE, /* whet_second_price; the reserve is given, else the posted price of
                                      the belief, else the reservation */
    WHET_MECHANISM_DOUBLE_AUCTION, /* whet_double_auction */
    WHET_MECHANISM_NASH,           /* whet_nash_price */
    WHET_MECHANISM_RUBINSTEIN,     /* whet_rubinstein_price */
    WHET_MECHANISM_BOUNDS,         /* whet_price_between */
    WHET_MECHANISMS
} whet_mechanism;
WHET_API const char *whet_mechanism_name(whet_mechanism mechanism); /* "posted", ... Pure. */

/* NaN and NULL = not given; bid, ask and reserve: -1. */
typedef struct whet_price_job {
    size_t struct_size;
    whet_mechanism mechanism;
    int32_t disclosure; /* a whet_disclosure that the mechanism must fit, or -1 */
    /* the buyer: what is known of V */
    double value;               /* V itself; or, not both, */
    const char *valuation;      /* as whet_valuation_parse, of the gain, which is */
    double gain;                /* given, at most 1 but of cost-saving, or */
    const char *before, *after; /* measured: arrays [n] of losses; the gate must say yes */
    whet_gate_opts gate;        /* its test; gains are relative, with accuracy: absolute (losses are
                                       errors, 0 or 1; else DATA) */
    double gain_low, gain_high; /* bounds of the gain, given, or */
    whet_gain_prior prior;      /* by whet_gain_bounds when norm2 > 0, at */
    double weight, loss;        /* weight (default the best), of the buyer's loss > 0 (NaN: 1) */
    double value_low, value_high; /* BOUNDS, in place of a valuation of bounds */
    const char *belief, *history; /* as whet_belief_open, whet_belief_observe_file */
    double floor;                 /* of the history, default .05 */
    /* the seller: C itself, or what makes it up, if training is given; neither: 0 */
    double reservation;
    whet_reservation seller;
    double reservation_low, reservation_high; /* BOUNDS */
    whet_fees fees;
    /* SECOND_PRICE */
    const char *bids; /* a table with a column bid (and buyer), or an array [n] of whole units */
    int64_t reserve;
    /* DOUBLE_AUCTION: bid and ask, or value and reservation in [uniform_low, uniform_high] */
    int64_t bid, ask;
    double k, uniform_low, uniform_high;
    /* NASH, RUBINSTEIN: as in whet_nash and whet_rubinstein */
    double power, outside_buyer, outside_seller;
    double discount_buyer, discount_seller;
    bool buyer_first;
    int64_t rounds;
} whet_price_job;
/* Everything "not given"; power, k 1/2, level .05, floor .05. */
WHET_API void whet_price_job_init(whet_price_job *job);

typedef struct whet_price_report {
    whet_price price; /* trade: there is a price, and V, where known, is not below what is paid */
    const char *
        why; /* of no trade, static: "gate", "no-gain" (of 0 or below, or an upper bound that is), "refused",
                 "no-surplus", "no-bid", "disclose-more" */
    whet_payment payment;      /* with a price */
    double value, reservation; /* V and C; NaN: not known */
    double buyer_surplus,
        seller_surplus;         /* V less what is paid, what is got less C; NaN: not known */
    double gain;                /* NaN: not known */
    double gain_low, gain_high; /* NaN: no bounds */
    double weight;              /* mixing weight of those bounds; NaN */
    double bid, ask;            /* DOUBLE_AUCTION: what is named; else NaN */
    int64_t reserve, n_bids;    /* SECOND_PRICE; else -1 */
    char *winner;               /* name in column buyer, else NULL */
    bool gated, planned;        /* gate and plan are set */
    whet_gate gate;
    whet_gain_plan plan;
    whet_posted posted; /* POSTED: sale and profit are those of what buyer and seller pay and get */
    whet_auction auction;
    whet_bounds_price bounds;
    whet_disclosed disclosed; /* with disclosure >= 0 */
} whet_price_report;
/* Contradictions are refused before any file is read. Fees are part of the deal: mechanisms bargain over
 * what is left between (V - fee) / (1 + rate) and (C + fee) / (1 - rate), so that neither side loses by them,
 * and payment conserves money. Errors: ARG (what contradicts what, or is missing), LIMIT (overflow), DATA,
 * FORMAT, IO, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_price_run(whet_ctx *ctx, const whet_price_job *job,
                                                 whet_price_report *out);
WHET_API void whet_price_report_free(whet_ctx *ctx, whet_price_report *report);

#ifdef __cplusplus
}
#endif
#endif
