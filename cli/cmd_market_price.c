/* SPDX-License-Identifier: Apache-2.0
 * whet market price: a price for a set of weights, by one of six mechanisms. */
#include <math.h>
#include <string.h>

#include "gate_options.h"

/* Kept in the order of whet_mechanism and whet_disclosure. */
#define MECHANISMS "posted|second-price|double-auction|nash|rubinstein|bounds"
#define DISCLOSURES "sealed|bounds|buyer|both"
#define MONEY .low = 0, .high = (double)WHET_MONEY_MAX
#define UNITS .type = CLI_INT, .min = 0, .max = WHET_MONEY_MAX

const cli_option cmd_market_price_options[] = {
    {.name = "mechanism",
     .type = CLI_ENUM,
     .choices = MECHANISMS,
     .preset = "posted",
     .help = "how the price comes about"},
    {.name = "disclosure",
     .type = CLI_ENUM,
     .choices = DISCLOSURES,
     .help = "who learns the gain; checked against the mechanism, and used by it"},
    /* the buyer */
    {.name = "value", .type = CLI_FLOAT, MONEY, .help = "what the gain is worth to the buyer"},
    {.name = "valuation",
     .type = CLI_STRING,
     .value = "KIND",
     .help = "linear:RATE, accuracy:RATE, saturating:MOST:SCALE or cost-saving:RATE, of the gain"},
    {.name = "gain", .type = CLI_FLOAT, .help = "relative gain of loss, of accuracy, or epochs"},
    {.name = "before",
     .type = CLI_PATH,
     .value = "B.npy",
     .help = "the buyer's losses, one an example; with --after they measure the gain"},
    {.name = "after", .type = CLI_PATH, .value = "A.npy", .help = "losses of the mixture"},
    CLI_GATE_OPTIONS("a measured gain", "in this period"),
    {.name = "gain-low",
     .type = CLI_FLOAT,
     .help = "bounds of the gain, when that is all one knows"},
    {.name = "gain-high", .type = CLI_FLOAT, .help = "see --gain-low"},
    {.name = "slope",
     .type = CLI_FLOAT,
     .help = "bounds before a trial: slope of the loss towards the seller's weights"},
    {.name = "distance2",
     .type = CLI_FLOAT,
     .low = 1e-300,
     .high = 1e300,
     .help = "their squared distance"},
    {.name = "smoothness",
     .type = CLI_FLOAT,
     .low = 1e-300,
     .high = 1e300,
     .help = "how fast the slope can change"},
    {.name = "mixing-weight",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .help = "mixing weight of the bounds; without, the best"},
    {.name = "loss",
     .type = CLI_FLOAT,
     .low = 1e-300,
     .high = 1e300,
     .help = "the buyer's loss, to which gains are relative; without, 1"},
    {.name = "belief",
     .type = CLI_STRING,
     .value = "KIND",
     .help = "on the value: uniform:LO:HI, exponential:RATE, lognormal:MU:SIGMA, samples:FILE"},
    {.name = "history",
     .type = CLI_PATH,
     .help = "prices offered to this buyer before: a table with price and accepted"},
    {.name = "floor",
     .type = CLI_FLOAT,
     .preset = "0.05",
     .help = "part of the first belief that no history takes away"},
    {.name = "value-low", .type = CLI_FLOAT, MONEY, .help = "bounds of the value"},
    {.name = "value-high", .type = CLI_FLOAT, MONEY, .help = "see --value-low"},
    /* the seller */
    {.name = "reservation", .type = CLI_FLOAT, MONEY, .help = "what the seller asks at least (0)"},
    {.name = "reservation-low", .type = CLI_FLOAT, MONEY, .help = "bounds of it"},
    {.name = "reservation-high", .type = CLI_FLOAT, MONEY, .help = "see --reservation-low"},
    {.name = "training-cost",
     .type = CLI_FLOAT,
     MONEY,
     .help = "in place of --reservation: what training cost"},
    {.name = "amortisation",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .help = "share of it that this sale must bring in"},
    {.name = "competitor", .type = CLI_FLAG, .help = "the buyer competes with the seller"},
    {.name = "externality", .type = CLI_FLOAT, MONEY, .help = "what a unit of its gain costs then"},
    {.name = "trade-cost", .type = CLI_FLOAT, MONEY, .help = "the seller's own costs of a trade"},
    /* the broker */
    {.name = "fee-buyer", UNITS, .help = "units on top of the price"},
    {.name = "fee-seller", UNITS, .help = "units out of the price"},
    {.name = "rate-buyer",
     .type = CLI_INT,
     .min = 0,
     .max = 10000,
     .help = "the same in ten-thousandths of the price"},
    {.name = "rate-seller", .type = CLI_INT, .min = 0, .max = 9999, .help = "likewise"},
    /* mechanisms */
    {.name = "bids",
     .type = CLI_PATH,
     .help = "second-price: a table with bid (and buyer), or an array"},
    {.name = "reserve", UNITS, .help = "second-price: least bid; without, from --belief or C"},
    {.name = "bid", UNITS, .help = "double-auction: what the buyer names"},
    {.name = "ask", UNITS, .help = "double-auction: what the seller names"},
    {.name = "k",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .preset = "0.5",
     .help = "double-auction: price k bid + (1 - k) ask"},
    {.name = "uniform-low",
     .type = CLI_FLOAT,
     MONEY,
     .help = "double-auction: both values uniform; bid and ask of the linear equilibrium"},
    {.name = "uniform-high", .type = CLI_FLOAT, MONEY, .help = "see --uniform-low"},
    {.name = "power",
     .type = CLI_FLOAT,
     .low = 0,
     .high = 1,
     .preset = "0.5",
     .help = "nash: the seller's share of the surplus"},
    {.name = "outside-buyer", .type = CLI_FLOAT, MONEY, .help = "nash: what the buyer has without"},
    {.name = "outside-seller",
     .type = CLI_FLOAT,
     MONEY,
     .help = "nash: what the seller has without"},
    {.name = "discount-buyer",
     .type = CLI_FLOAT,
     .help = "rubinstein: what money a round later is worth to the buyer"},
    {.name = "discount-seller", .type = CLI_FLOAT, .help = "rubinstein: and to the seller"},
    {.name = "first",
     .type = CLI_ENUM,
     .choices = "seller|buyer",
     .preset = "seller",
     .help = "rubinstein: who proposes first"},
    {.name = "rounds",
     .type = CLI_INT,
     .min = 0,
     .max = 1000000,
     .preset = "0",
     .help = "rubinstein: no trade after so many; 0 = without end"},
    {0},
};

/* ---- options that a mechanism does not use ------------------------------------------------------ */

enum { POSTED = 1, SECOND = 2, DOUBLE = 4, NASH = 8, RUBINSTEIN = 16, BOUNDS = 32 };
static const struct {
    const char *option;
    int used_by;
} USES[] = {
    {"belief", POSTED | SECOND},
    {"history", POSTED | SECOND},
    {"floor", POSTED | SECOND},
    {"value-low", BOUNDS},
    {"value-high", BOUNDS},
    {"reservation-low", BOUNDS},
    {"reservation-high", BOUNDS},
    {"bids", SECOND},
    {"reserve", SECOND},
    {"value", POSTED | DOUBLE | NASH | RUBINSTEIN | BOUNDS},
    {"bid", DOUBLE},
    {"ask", DOUBLE},
    {"k", DOUBLE},
    {"uniform-low", DOUBLE},
    {"uniform-high", DOUBLE},
    {"power", NASH},
    {"outside-buyer", NASH},
    {"outside-seller", NASH},
    {"discount-buyer", RUBINSTEIN},
    {"discount-seller", RUBINSTEIN},
    {"first", RUBINSTEIN},
    {"rounds", RUBINSTEIN},
};

static whet_status check_uses(cli_run *run) {
    const int32_t mechanism = cli_choice(run, "mechanism");
    for (size_t i = 0; i < sizeof USES / sizeof USES[0]; i++) {
        if (!cli_given(run, USES[i].option) || (USES[i].used_by >> mechanism & 1)) continue;
        for (int32_t m = 0; m < WHET_MECHANISMS; m++)
            if (USES[i].used_by >> m & 1)
                return cli_fail(run, WHET_ERR_ARG,
                                "--%s has no use with --mechanism %s; expected %s", USES[i].option,
                                cli_text(run, "mechanism"), whet_mechanism_name((whet_mechanism)m));
    }
    const bool slope = cli_given(run, "slope"), distance = cli_given(run, "distance2");
    if (slope != distance || slope != cli_given(run, "smoothness"))
        return cli_fail(
            run, WHET_ERR_ARG,
            "--slope, --distance2 and --smoothness bound a gain together; expected all");
    if (cli_given(run, "floor") && !cli_given(run, "history"))
        return cli_fail(run, WHET_ERR_ARG, "--floor without --history; expected one");
    return WHET_OK;
}

/* ---- the job ------------------------------------------------------------------------------------ */

static void take(const cli_run *run, const char *name, double *x) {
    if (cli_given(run, name)) *x = cli_number(run, name);
}

static void take_units(const cli_run *run, const char *name, int64_t *x) {
    if (cli_given(run, name)) *x = cli_integer(run, name);
}

static void fill_buyer(const cli_run *run, whet_price_job *job) {
    take(run, "value", &job->value);
    job->valuation = cli_text(run, "valuation");
    take(run, "gain", &job->gain);
    job->before = cli_text(run, "before");
    job->after = cli_text(run, "after");
    take(run, "gain-low", &job->gain_low);
    take(run, "gain-high", &job->gain_high);
    take(run, "slope", &job->prior.slope);
    take(run, "distance2", &job->prior.norm2);
    take(run, "smoothness", &job->prior.smoothness);
    take(run, "mixing-weight", &job->weight);
    take(run, "loss", &job->loss);
    take(run, "value-low", &job->value_low);
    take(run, "value-high", &job->value_high);
    job->belief = cli_text(run, "belief");
    job->history = cli_text(run, "history");
    job->floor = cli_number(run, "floor");
}

static void fill_seller(const cli_run *run, whet_price_job *job) {
    take(run, "reservation", &job->reservation);
    take(run, "reservation-low", &job->reservation_low);
    take(run, "reservation-high", &job->reservation_high);
    take(run, "training-cost", &job->seller.training);
    take(run, "amortisation", &job->seller.amortisation);
    take(run, "externality", &job->seller.externality);
    take(run, "trade-cost", &job->seller.fee);
    job->seller.competitor = cli_flag(run, "competitor");
    job->fees.buyer = cli_integer(run, "fee-buyer");
    job->fees.seller = cli_integer(run, "fee-seller");
    job->fees.buyer_bp = (int32_t)cli_integer(run, "rate-buyer");
    job->fees.seller_bp = (int32_t)cli_integer(run, "rate-seller");
}

static void fill_mechanism(const cli_run *run, whet_price_job *job) {
    job->mechanism = (whet_mechanism)cli_choice(run, "mechanism");
    job->disclosure = cli_choice(run, "disclosure");
    job->bids = cli_text(run, "bids");
    take_units(run, "reserve", &job->reserve);
    take_units(run, "bid", &job->bid);
    take_units(run, "ask", &job->ask);
    job->k = cli_number(run, "k");
    take(run, "uniform-low", &job->uniform_low);
    take(run, "uniform-high", &job->uniform_high);
    job->power = cli_number(run, "power");
    take(run, "outside-buyer", &job->outside_buyer);
    take(run, "outside-seller", &job->outside_seller);
    take(run, "discount-buyer", &job->discount_buyer);
    take(run, "discount-seller", &job->discount_seller);
    job->buyer_first = cli_choice(run, "first") == 1;
    job->rounds = cli_integer(run, "rounds");
}

/* ---- lines -------------------------------------------------------------------------------------- */

static void print_known(cli_run *run, const whet_price_report *r) {
    if (r->planned)
        cli_print(run,
                  "before a trial: gain from %.6g to %.6g at mixing weight %.6g; sure at less than "
                  "%.6g\n",
                  r->gain_low, r->gain_high, r->weight, r->plan.sure_below);
    if (r->gated)
        cli_print(run, "gate: %lld examples, loss %.6g to %.6g, gain %.6g, at least %.6g: %s\n",
                  (long long)r->gate.n, r->gate.before, r->gate.after, r->gate.gain, r->gate.low,
                  r->gate.accept ? "yes" : "no");
    if (!isnan(r->value)) cli_print(run, "worth %.6g to the buyer\n", r->value);
    if (!isnan(r->reservation)) cli_print(run, "reservation %.6g\n", r->reservation);
    if (r->reserve >= 0)
        cli_print(run, "reserve %lld; %lld bids, %lld of them reach it\n", (long long)r->reserve,
                  (long long)r->n_bids, (long long)r->auction.above);
    if (!isnan(r->bid)) cli_print(run, "bid %.6g, ask %.6g\n", r->bid, r->ask);
}

static void print_price(cli_run *run, const whet_price_report *r, whet_mechanism mechanism) {
    char name[128];
    if (mechanism == WHET_MECHANISM_POSTED && r->posted.price.trade) {
        cli_print(run,
                  "posted price %lld (exact %.10g, %s): sells with probability %.4f, profit %.6g\n",
                  (long long)r->posted.price.price, r->posted.price.exact,
                  whet_posted_method_name(r->posted.method), r->posted.sale, r->posted.profit);
        if (r->posted.passed_high > r->posted.passed_low)
            cli_print(run, "prices from %.6g to %.6g are best for no seller\n",
                      r->posted.passed_low, r->posted.passed_high);
    }
    if (mechanism == WHET_MECHANISM_BOUNDS && r->bounds.verdict != WHET_BOUNDS_NO_TRADE &&
        !r->gated)
        cli_print(run, "%s: prices from %.10g to %.10g\n",
                  r->bounds.verdict == WHET_BOUNDS_SAFE ? "safe for both" : "never outside",
                  r->bounds.low, r->bounds.high);
    if (!r->price.trade) {
        cli_print(run, "no trade: %s\n", r->why);
        return;
    }
    if (mechanism == WHET_MECHANISM_SECOND_PRICE)
        cli_print(run, "bid %lld wins%s%s%s\n", (long long)r->auction.winner,
                  r->auction.tied > 1 ? ", the first of equals" : "", r->winner ? ": " : "",
                  r->winner ? cli_quote(name, sizeof name, r->winner) : "");
    if (mechanism != WHET_MECHANISM_POSTED)
        cli_print(run, "price %lld (exact %.10g)\n", (long long)r->price.price, r->price.exact);
    cli_print(run, "buyer pays %lld, seller gets %lld, broker gets %lld\n",
              (long long)r->payment.buyer_pays, (long long)r->payment.seller_gets,
              (long long)r->payment.broker_gets);
    if (!isnan(r->buyer_surplus)) cli_print(run, "buyer gains %.6g\n", r->buyer_surplus);
    if (!isnan(r->seller_surplus)) cli_print(run, "seller gains %.6g\n", r->seller_surplus);
}

/* ---- one document ------------------------------------------------------------------------------- */

static json_t *posted_json(const whet_posted *p) {
    if (!p->price.trade) return json_null();
    return json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o}", "price", (json_int_t)p->price.price,
                     "exact", cli_json_number(p->price.exact), "method",
                     whet_posted_method_name(p->method), "sale", cli_json_number(p->sale), "profit",
                     cli_json_number(p->profit), "passed_low", cli_json_number(p->passed_low),
                     "passed_high", cli_json_number(p->passed_high));
}

static json_t *gate_json(const whet_price_report *r) {
    if (!r->gated) return json_null();
    return json_pack("{s:b, s:I, s:o, s:o, s:o, s:o, s:o}", "accept", r->gate.accept, "examples",
                     (json_int_t)r->gate.n, "before", cli_json_number(r->gate.before), "after",
                     cli_json_number(r->gate.after), "gain", cli_json_number(r->gate.gain),
                     "half_width", cli_json_number(r->gate.half_width), "low",
                     cli_json_number(r->gate.low));
}

static json_t *auction_json(const whet_price_report *r) {
    if (r->n_bids < 0) return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "reserve", (json_int_t)r->reserve, "bids",
                     (json_int_t)r->n_bids, "above", (json_int_t)r->auction.above, "winner",
                     (json_int_t)r->auction.winner, "tied", (json_int_t)r->auction.tied, "buyer",
                     r->winner ? json_string(r->winner) : json_null());
}

static json_t *payment_json(const whet_price_report *r) {
    if (!r->price.trade) return json_null();
    return json_pack("{s:I, s:I, s:I}", "buyer_pays", (json_int_t)r->payment.buyer_pays,
                     "seller_gets", (json_int_t)r->payment.seller_gets, "broker_gets",
                     (json_int_t)r->payment.broker_gets);
}

static json_t *prior_json(const whet_price_report *r) {
    if (isnan(r->gain_low)) return json_null();
    json_t *bounds =
        json_pack("{s:o, s:o, s:o}", "low", cli_json_number(r->gain_low), "high",
                  cli_json_number(r->gain_high), "mixing_weight", cli_json_number(r->weight));
    if (!r->planned || !bounds) return bounds;
    (void)json_object_set_new(bounds, "best_weight", cli_json_number(r->plan.best_weight));
    (void)json_object_set_new(bounds, "sure_below", cli_json_number(r->plan.sure_below));
    (void)json_object_set_new(bounds, "hope_above", cli_json_number(r->plan.hope_above));
    return bounds;
}

static json_t *document(const whet_price_report *r, whet_mechanism mechanism) {
    const bool bounded = mechanism == WHET_MECHANISM_BOUNDS && (!r->gated || r->gate.accept);
    json_t *d = json_pack(
        "{s:s, s:b, s:s?, s:o, s:o, s:o}", "mechanism", whet_mechanism_name(mechanism), "trade",
        r->price.trade, "why", r->price.trade ? NULL : r->why, "price",
        r->price.trade ? json_integer((json_int_t)r->price.price) : json_null(), "exact",
        r->price.trade ? cli_json_number(r->price.exact) : json_null(), "payment", payment_json(r));
    if (!d) return NULL;
    (void)json_object_set_new(d, "value", cli_json_number(r->value));
    (void)json_object_set_new(d, "reservation", cli_json_number(r->reservation));
    (void)json_object_set_new(d, "buyer_surplus", cli_json_number(r->buyer_surplus));
    (void)json_object_set_new(d, "seller_surplus", cli_json_number(r->seller_surplus));
    (void)json_object_set_new(d, "gain", cli_json_number(r->gain));
    (void)json_object_set_new(d, "bounds_of_gain", prior_json(r));
    (void)json_object_set_new(d, "gate", gate_json(r));
    (void)json_object_set_new(d, "posted", posted_json(&r->posted));
    (void)json_object_set_new(d, "auction", auction_json(r));
    (void)json_object_set_new(d, "bid", cli_json_number(r->bid));
    (void)json_object_set_new(d, "ask", cli_json_number(r->ask));
    (void)json_object_set_new(d, "bounds",
                              bounded ? json_pack("{s:s, s:o, s:o}", "verdict",
                                                  whet_bounds_verdict_name(r->bounds.verdict),
                                                  "low", cli_json_number(r->bounds.low), "high",
                                                  cli_json_number(r->bounds.high))
                                      : json_null());
    return d;
}

whet_status cmd_market_price(cli_run *run) {
    whet_price_job job;
    whet_price_report report;
    whet_status status = check_uses(run);
    if (status != WHET_OK) return status;
    whet_price_job_init(&job);
    status = cli_gate_read(run, "before", &job.gate);
    if (status != WHET_OK) return status;
    fill_buyer(run, &job);
    fill_seller(run, &job);
    fill_mechanism(run, &job);
    status = whet_price_run(run->ctx, &job, &report);
    if (status != WHET_OK) return status;
    print_known(run, &report);
    print_price(run, &report, job.mechanism);
    cli_json(run, document(&report, job.mechanism));
    run->answer_no = !report.price.trade;
    whet_price_report_free(run->ctx, &report);
    return WHET_OK;
}
