/* SPDX-License-Identifier: Apache-2.0
 * When and how a simulated market trades, from its configuration. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "market/trading_i.h"

static const char *const ALIGNS[] = {"none", "weights", "activations", NULL};
static const char *const SEARCHES[] = {"grid", "refine", "groups", "gradient", NULL};
static const char *const GATES[] = {"paired", "hoeffding", "any-gain", NULL};
static const char *const MECHANISMS[] = {"none",           "posted",       "nash", "rubinstein",
                                         "double-auction", "second-price", NULL};
enum { PAID = ((1 << WHET_I_TRADE_MECHANISMS) - 1) & ~(1 << WHET_I_TRADE_FREE) };
static const char *const OPTIMIZERS[] = {"reset", "keep", NULL};
static const char *const DISCLOSURES[] = {"sealed", "bounds", "buyer", "both", NULL};
static const char *const FIRSTS[] = {"seller", "buyer", NULL};

typedef struct reader {
    whet_ctx *ctx;
    const char *where;
    const json_t *object; /* NULL: everything is as it is by itself */
    whet_trading_config *config;
} reader;

static bool has(const reader *r, const char *key) {
    return json_object_get(r->object, key) != NULL;
}

static whet_status choice(const reader *r, const char *key, const char *const *words,
                          int32_t fallback, int32_t *out) {
    return whet_i_trading_choice(r->ctx, r->where, r->object, key, words, fallback, out);
}

static whet_status real(const reader *r, const char *key, double low, double high, double fallback,
                        double *out) {
    return whet_i_trading_real(r->ctx, r->where, r->object, key, low, high, fallback, out);
}

/* ---- goods ----------------------------------------------------------------------------------- */

static whet_status read_goods(const reader *r, whet_i_terms *t) {
    const json_t *goods = json_object_get(r->object, "goods");
    const char *word = json_string_value(goods);
    if (!goods || (word && strcmp(word, "full") == 0)) return WHET_OK;
    if (word && strcmp(word, "tower") == 0) {
        t->tower = true;
        return WHET_OK;
    }
    if (json_is_array(goods))
        return whet_i_trading_patterns(r->ctx, r->where, goods, "goods", r->config, &t->goods,
                                       &t->n_goods);
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"goods\" is %s; expected \"full\", \"tower\" or an array of names",
                       r->where, word ? "another word" : whet_i_json_kind(goods));
}

/* ---- money ----------------------------------------------------------------------------------- */

/* What is said of a mechanism that is not in use is a mistake. */
static const struct {
    const char *key;
    int32_t used_by;
} USES[] = {
    {"power", 1 << WHET_I_TRADE_NASH},
    {"discount_buyer", 1 << WHET_I_TRADE_RUBINSTEIN},
    {"discount_seller", 1 << WHET_I_TRADE_RUBINSTEIN},
    {"first", 1 << WHET_I_TRADE_RUBINSTEIN},
    {"rounds", 1 << WHET_I_TRADE_RUBINSTEIN},
    {"k", 1 << WHET_I_TRADE_DOUBLE},
    {"uniform", 1 << WHET_I_TRADE_DOUBLE},
    {"floor", 1 << WHET_I_TRADE_POSTED},
    {"disclosure", PAID},
    {"fees", PAID},
    {"trial_fee", PAID},
};

static whet_status check_uses(const reader *r, whet_i_mechanism mechanism) {
    for (size_t i = 0; i < sizeof USES / sizeof USES[0]; i++)
        if (has(r, USES[i].key) && !(USES[i].used_by >> mechanism & 1))
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s: \"%s\" has no use with \"mechanism\" %s; expected none",
                               r->where, USES[i].key, MECHANISMS[mechanism]);
    return WHET_OK;
}

static whet_status read_fees(const reader *r, whet_i_terms *t) {
    static const char *const known[] = {"buyer", "seller", "buyer_rate", "seller_rate", NULL};
    char where[400];
    json_t *o;
    int64_t rate;
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "trial_fee", 0, WHET_MONEY_MAX, 0,
                                &t->trial_fee));
    WHET_TRY(whet_i_json_object_or_none(r->ctx, r->where, r->object, "fees", &o));
    if (!o) return WHET_OK;
    (void)snprintf(where, sizeof where, "%s: \"fees\"", r->where);
    if (json_object_get(o, "trial_fee"))
        return whet_i_fail(
            r->ctx, WHET_ERR_FORMAT,
            "%s: \"trial_fee\" is unknown; expected it in \"trading\", beside \"fees\"", where);
    WHET_TRY(whet_i_trading_known(r->ctx, where, o, known));
    WHET_TRY(whet_i_json_int_or(r->ctx, where, o, "buyer", 0, WHET_MONEY_MAX, 0, &t->fees.buyer));
    WHET_TRY(whet_i_json_int_or(r->ctx, where, o, "seller", 0, WHET_MONEY_MAX, 0, &t->fees.seller));
    WHET_TRY(whet_i_json_int_or(r->ctx, where, o, "buyer_rate", 0, 10000, 0, &rate));
    t->fees.buyer_bp = (int32_t)rate;
    WHET_TRY(whet_i_json_int_or(r->ctx, where, o, "seller_rate", 0, 9999, 0, &rate));
    t->fees.seller_bp = (int32_t)rate;
    return WHET_OK;
}

static whet_status read_bargaining(const reader *r, whet_i_terms *t) {
    double *uniform;
    int64_t n;
    int32_t first;
    WHET_TRY(real(r, "power", 0, 1, .5, &t->power));
    WHET_TRY(real(r, "discount_buyer", 0, .999999, .9, &t->discount_buyer));
    WHET_TRY(real(r, "discount_seller", 0, .999999, .9, &t->discount_seller));
    WHET_TRY(choice(r, "first", FIRSTS, 0, &first));
    t->buyer_first = first == 1;
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "rounds", 0, 1000000, 0, &t->rounds));
    WHET_TRY(real(r, "k", 0, 1, .5, &t->k));
    WHET_TRY(real(r, "floor", 0, .999999, .05, &t->floor));
    const json_t *ends = json_object_get(r->object, "uniform");
    const bool pair = !json_is_array(ends) || json_array_size(ends) == 2;
    if (pair)
        WHET_TRY(whet_i_trading_reals(r->ctx, r->where, r->object, "uniform", 0,
                                      (double)WHET_MONEY_MAX, 2, r->config, &uniform, &n));
    if (t->mechanism != WHET_I_TRADE_DOUBLE) return WHET_OK;
    if (n != 2 || !(uniform[0] < uniform[1]))
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: \"uniform\" is %s; expected the two ends of what values and costs "
                           "are drawn from",
                           r->where, n || !pair ? "no interval" : "missing");
    t->uniform_low = uniform[0];
    t->uniform_high = uniform[1];
    return WHET_OK;
}

static whet_status read_money(const reader *r, whet_i_terms *t) {
    int32_t mechanism, disclosure;
    WHET_TRY(choice(r, "mechanism", MECHANISMS, 0, &mechanism));
    t->mechanism = (whet_i_mechanism)mechanism;
    WHET_TRY(check_uses(r, t->mechanism));
    const bool bargain =
        t->mechanism == WHET_I_TRADE_NASH || t->mechanism == WHET_I_TRADE_RUBINSTEIN;
    const bool auction = t->mechanism == WHET_I_TRADE_DOUBLE || t->mechanism == WHET_I_TRADE_SECOND;
    WHET_TRY(choice(r, "disclosure", DISCLOSURES,
                    bargain ? WHET_DISCLOSE_BOTH : WHET_DISCLOSE_BUYER, &disclosure));
    t->disclosure = (whet_disclosure)disclosure;
    if (t->disclosure == WHET_DISCLOSE_BOUNDS && t->gate == WHET_I_TRADE_ANY_GAIN)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"disclosure\" bounds with \"gate\" any-gain, which knows none; "
                           "expected another gate",
                           r->where);
    if (bargain && t->disclosure != WHET_DISCLOSE_BOTH)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"disclosure\" %s with \"mechanism\" %s, where both know the "
                           "gain; expected both",
                           r->where, DISCLOSURES[disclosure], MECHANISMS[mechanism]);
    if (auction && t->disclosure != WHET_DISCLOSE_BUYER)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"disclosure\" %s with \"mechanism\" %s, where each knows its "
                           "own side; expected buyer",
                           r->where, DISCLOSURES[disclosure], MECHANISMS[mechanism]);
    if (t->mechanism == WHET_I_TRADE_SECOND && t->greedy)
        return whet_i_fail(
            r->ctx, WHET_ERR_DATA,
            "%s: \"greedy\" with \"mechanism\" second-price, where a buyer wins once "
            "a period; expected one of them",
            r->where);
    WHET_TRY(read_fees(r, t));
    return read_bargaining(r, t);
}

/* Where nobody does, that is what is told. */
static bool somebody_sells(const whet_trading_config *c) {
    bool sells = false;
    for (int64_t i = 0; i < c->n_agents; i++) sells = sells || c->agents[i].sells;
    return sells;
}

/* A seller who posts prices needs a belief on what others would pay. */
static whet_status check_beliefs(const reader *r, const whet_i_terms *t) {
    for (int64_t i = 0; i < r->config->n_agents; i++) {
        const whet_i_agent *a = &r->config->agents[i];
        const bool needs =
            t->mechanism == WHET_I_TRADE_POSTED && a->sells && t->disclosure != WHET_DISCLOSE_BOTH;
        const bool by_loss =
            a->valuation.kind == WHET_VALUE_LINEAR || a->valuation.kind == WHET_VALUE_SATURATING;
        if (t->disclosure == WHET_DISCLOSE_BOUNDS && a->buys && !by_loss)
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s: \"disclosure\" bounds, which are of the loss, and agent "
                               "\"%s\" values something else; expected linear or saturating",
                               r->where, a->name);
        const bool reads =
            t->mechanism == WHET_I_TRADE_SECOND ||
            (t->mechanism == WHET_I_TRADE_POSTED && t->disclosure != WHET_DISCLOSE_BOTH);
        if (a->belief && reads && !a->sells && !a->hides && somebody_sells(r->config))
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\" has a \"belief\" and does not sell; expected one "
                               "of sellers alone",
                               r->where, a->name);
        if (a->belief && !reads && t->mechanism != WHET_I_TRADE_FREE)
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s: agent \"%s\" has a \"belief\", which has no use with "
                               "\"mechanism\" %s and \"disclosure\" %s; expected none",
                               r->where, a->name, MECHANISMS[t->mechanism],
                               DISCLOSURES[t->disclosure]);
        if (needs && !a->belief)
            return whet_i_fail(r->ctx, WHET_ERR_DATA,
                               "%s: \"mechanism\" posted, and agent \"%s\" has no \"belief\"; "
                               "expected one",
                               r->where, a->name);
    }
    return WHET_OK;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static whet_status read_gate(const reader *r, whet_i_terms *t) {
    int32_t gate;
    WHET_TRY(choice(r, "gate", GATES, r->config->reference ? WHET_I_TRADE_ANY_GAIN : 0, &gate));
    t->gate = (whet_i_trade_gate)gate;
    if (r->config->reference && t->gate != WHET_I_TRADE_ANY_GAIN)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"gate\" %s and \"reference\", which buys for any gain; expected "
                           "one of them",
                           r->where, GATES[gate]);
    if (r->config->reference && has(r, "level"))
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"level\" has no use with \"reference\", which buys for any gain; "
                           "expected one of them",
                           r->where);
    WHET_TRY(real(r, "level", 1e-12, .5, .05, &t->level));
    WHET_TRY(real(r, "range", 1e-6, 1e6, (double)NAN, &t->range));
    if (t->gate == WHET_I_TRADE_HOEFFDING && isnan(t->range))
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"gate\" hoeffding without \"range\"; expected the width of all "
                           "differences of losses",
                           r->where);
    if (t->gate != WHET_I_TRADE_HOEFFDING && !isnan(t->range))
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"range\" has no use with \"gate\" %s; expected none", r->where,
                           GATES[gate]);
    return WHET_OK;
}

static whet_status read_prior(const reader *r, whet_i_terms *t) {
    const bool norms = strcmp(r->config->arch, "resnet") == 0;
    WHET_TRY(real(r, "prior", 1e-6, 1, 0, &t->prior));
    if (!(t->prior > 0) || (!norms && !r->config->reference)) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_DATA, "%s: \"prior\" with %s; expected one of them",
                       r->where,
                       norms ? "\"arch\" resnet, through whose batch norms no slope is known"
                             : "\"reference\", which tries every seller");
}

static whet_status read_search(const reader *r, whet_i_terms *t) {
    int32_t search;
    const bool reference = r->config->reference;
    WHET_TRY(choice(r, "search", SEARCHES, reference ? 0 : 1, &search));
    t->search = (whet_trial_search)search;
    if (reference && t->search != WHET_TRIAL_GRID)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"search\" %s and \"reference\", which tries its grid; expected "
                           "one of them",
                           r->where, SEARCHES[search]);
    if (t->search == WHET_TRIAL_GRADIENT && strcmp(r->config->arch, "resnet") == 0)
        return whet_i_fail(
            r->ctx, WHET_ERR_DATA,
            "%s: \"search\" gradient with \"arch\" resnet, through whose batch norms "
            "no slope is known; expected another search",
            r->where);
    WHET_TRY(read_prior(r, t));
    WHET_TRY(whet_i_json_bool_or(r->ctx, r->where, r->object, "outright", false, &t->outright));
    if (t->outright && t->search == WHET_TRIAL_GRID)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"outright\" with %s, which tries shares to .95; expected one of "
                           "them",
                           r->where, reference ? "\"reference\"" : "\"search\" grid");
    return whet_i_json_bool_or(r->ctx, r->where, r->object, "greedy", false, &t->greedy);
}

static whet_status read_terms(const reader *r, whet_i_terms *t) {
    static const char *const known[] = {
        "start", "frequency", "align",  "search",    "outright",       "goods",           "gate",
        "level", "range",     "greedy", "optimizer", "mechanism",      "disclosure",      "power",
        "first", "rounds",    "k",      "uniform",   "discount_buyer", "discount_seller", "floor",
        "fees",  "trial_fee", "prior",  NULL};
    int32_t align, keep;
    const int64_t last = r->config->epochs - 1;
    WHET_TRY(whet_i_trading_known(r->ctx, r->where, r->object, known));
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "start", 0, last, last < 5 ? last : 5,
                                &t->start));
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "frequency", 1, WHET_I_EPOCHS_MAX, 1,
                                &t->frequency));
    WHET_TRY(choice(r, "align", ALIGNS, WHET_I_TRADE_WEIGHTS, &align));
    t->align = (whet_i_trade_align)align;
    if ((t->start + t->frequency - 1) / t->frequency * t->frequency > last)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: no period from %" PRId64 " to %" PRId64 " is a multiple of "
                           "\"frequency\" %" PRId64 "; expected one",
                           r->where, t->start, last, t->frequency);
    WHET_TRY(choice(r, "optimizer", OPTIMIZERS, 0, &keep));
    t->keep_optimizer = keep == 1;
    WHET_TRY(read_search(r, t));
    WHET_TRY(read_goods(r, t));
    WHET_TRY(read_gate(r, t));
    WHET_TRY(read_money(r, t));
    return check_beliefs(r, t);
}

whet_status whet_i_trading_terms(whet_ctx *ctx, const char *where, const json_t *object,
                                 whet_trading_config *config) {
    json_t *empty = NULL;
    if (!object) {
        empty = json_object();
        if (!empty) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: an empty object");
    }
    const reader r = {ctx, where, object ? object : empty, config};
    const whet_status status = read_terms(&r, &config->terms);
    if (empty) json_decref(empty);
    return status;
}
