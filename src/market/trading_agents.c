/* SPDX-License-Identifier: Apache-2.0
 * The agents of a simulated market, from its configuration: what each has, wants and costs. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "market/trading_i.h"

enum { PLACE = 512, AHEAD_MAX = 10000 };

typedef struct reader {
    whet_ctx *ctx;
    const char *where; /* "c.json: agent \"A\"" */
    const json_t *object;
    whet_trading_config *config;
} reader;

/* ---- examples and labels --------------------------------------------------------------------- */

static whet_status read_share(const reader *r, whet_i_agent *a) {
    double *shares;
    const bool kept = json_object_get(r->object, "kept") != NULL;
    WHET_TRY(whet_i_trading_real(r->ctx, r->where, r->object, "kept", 0, 1, 1, &a->kept));
    WHET_TRY(whet_i_trading_reals(r->ctx, r->where, r->object, "shares", 0, 1, WHET_I_CLASSES_MAX,
                                  r->config, &shares, &a->n_shares));
    a->shares = shares;
    if (kept && shares)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"kept\" and \"shares\" are given; expected one of them", r->where);
    return WHET_OK;
}

static whet_status read_relabel(const reader *r, whet_i_agent *a) {
    double *x;
    int32_t *labels = NULL;
    bool any = false;
    WHET_TRY(whet_i_trading_reals(r->ctx, r->where, r->object, "relabel", -1, WHET_I_CLASSES_MAX,
                                  WHET_I_CLASSES_MAX, r->config, &x, &a->n_relabel));
    if (!x) return WHET_OK;
    WHET_TRY(whet_i_arena_alloc(r->ctx, &r->config->arena, a->n_relabel, sizeof *labels, &labels));
    for (int64_t i = 0; i < a->n_relabel; i++) {
        labels[i] = (int32_t)x[i];
        any = any || labels[i] >= 0;
        if ((double)labels[i] != x[i])
            return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                               "%s: \"relabel\"[%" PRId64 "] is %g; expected a whole number",
                               r->where, i, x[i]);
    }
    if (!any)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"relabel\" leaves no class; expected one at least", r->where);
    a->relabel = labels;
    return WHET_OK;
}

/* ---- money ----------------------------------------------------------------------------------- */

/* What a text of the configuration is refused for is the configuration's fault, not the call's. */
static whet_status of_config(whet_status status) {
    return status == WHET_ERR_ARG ? WHET_ERR_DATA : status;
}

static whet_status read_valuation(const reader *r, whet_i_agent *a) {
    const char *text;
    WHET_TRY(whet_i_trading_text(r->ctx, r->where, r->object, "valuation", r->config, &text));
    const whet_status status =
        whet_valuation_parse(r->ctx, text ? text : "linear:1000", &a->valuation);
    return status == WHET_OK ? status : whet_i_fail_at(r->ctx, of_config(status), "%s", r->where);
}

/* Read once here, so that what is wrong is told before any work. */
static whet_status read_belief(const reader *r, const char *folder, whet_i_agent *a) {
    static const char SAMPLES[] = "samples:";
    const size_t head = sizeof SAMPLES - 1;
    const char *text;
    whet_belief *belief;
    WHET_TRY(whet_i_trading_text(r->ctx, r->where, r->object, "belief", r->config, &text));
    if (text && strncmp(text, SAMPLES, head) == 0 && text[head]) {
        char *path, *spec;
        WHET_TRY(whet_i_trading_path(r->ctx, r->config, folder, whet_str_from(text + head), &path));
        const size_t size = head + strlen(path) + 1;
        WHET_TRY(whet_i_arena_alloc(r->ctx, &r->config->arena, (int64_t)size, 1, &spec));
        (void)snprintf(spec, size, "%s%s", SAMPLES, path);
        text = spec;
    }
    a->belief = text;
    if (!text) return WHET_OK;
    whet_posted lowest; /* of a seller whom nothing cost anything */
    whet_status status = whet_belief_open(r->ctx, text, &belief);
    if (status == WHET_OK) {
        status = whet_posted_price(r->ctx, belief, 0, &lowest);
        whet_belief_destroy(r->ctx, belief);
    }
    return status == WHET_OK
               ? status
               : whet_i_fail_at(r->ctx, of_config(status), "%s: \"belief\"", r->where);
}

static whet_status read_money(const reader *r, const char *folder, whet_i_agent *a) {
    static const char *const members[] = {"wallet",      "training_cost", "amortisation",
                                          "externality", "trade_cost",    "competitor"};
    const double most = (double)WHET_MONEY_MAX;
    for (size_t i = 0; i < sizeof members / sizeof members[0] && !a->money; i++)
        if (json_object_get(r->object, members[i])) a->money = members[i];
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "wallet", 0, WHET_MONEY_MAX, 1000000,
                                &a->wallet));
    WHET_TRY(read_valuation(r, a));
    WHET_TRY(read_belief(r, folder, a));
    whet_reservation *c = &a->reservation;
    WHET_TRY(whet_i_trading_real(r->ctx, r->where, r->object, "training_cost", 0, most, 0,
                                 &c->training));
    WHET_TRY(whet_i_trading_real(r->ctx, r->where, r->object, "amortisation", 0, 1, 0,
                                 &c->amortisation));
    const bool cost = json_object_get(r->object, "training_cost");
    if (cost != (json_object_get(r->object, "amortisation") != NULL))
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: \"%s\" without \"%s\": a sale must bring in the one times the "
                           "other; expected both",
                           r->where, cost ? "training_cost" : "amortisation",
                           cost ? "amortisation" : "training_cost");
    WHET_TRY(whet_i_trading_real(r->ctx, r->where, r->object, "externality", 0, most, 0,
                                 &c->externality));
    WHET_TRY(whet_i_trading_real(r->ctx, r->where, r->object, "trade_cost", 0, most, 0, &c->fee));
    return whet_i_json_bool_or(r->ctx, r->where, r->object, "competitor", false, &a->competitor);
}

/* ---- goods ----------------------------------------------------------------------------------- */

/* Who reveals nothing has nothing to sell. */
static whet_status read_reveals(const reader *r, whet_i_agent *a) {
    const json_t *reveals = json_object_get(r->object, "reveals");
    const char *word = json_string_value(reveals);
    if (!reveals || (word && strcmp(word, "full") == 0)) return WHET_OK;
    if (word && strcmp(word, "none") == 0) {
        if (a->sells && json_object_get(r->object, "sells"))
            return whet_i_fail(
                r->ctx, WHET_ERR_DATA,
                "%s: \"sells\" is true and \"reveals\" none, who has nothing to sell; "
                "expected one of them",
                r->where);
        a->hides = a->sells;
        a->sells = false;
        return WHET_OK;
    }
    if (json_is_array(reveals))
        return whet_i_trading_patterns(r->ctx, r->where, reveals, "reveals", r->config, &a->reveals,
                                       &a->n_reveals);
    return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                       "%s: \"reveals\" is %s; expected \"full\", \"none\" or an array of names",
                       r->where, word ? "another word" : whet_i_json_kind(reveals));
}

/* ---- one agent, all agents ------------------------------------------------------------------- */

static whet_status read_agent(const reader *r, const char *folder, whet_i_agent *a) {
    static const char *const known[] = {
        "name",          "kept",         "shares",      "relabel",    "ahead",     "buys",
        "sells",         "reveals",      "competitor",  "valuation",  "wallet",    "belief",
        "training_cost", "amortisation", "externality", "trade_cost", "optimizer", "rate",
        "momentum",      "weight_decay", "batch",       NULL};
    a->learning = r->config->learning;
    WHET_TRY(whet_i_trading_known(r->ctx, r->where, r->object, known));
    WHET_TRY(read_share(r, a));
    WHET_TRY(read_relabel(r, a));
    WHET_TRY(whet_i_json_int_or(r->ctx, r->where, r->object, "ahead", -AHEAD_MAX, AHEAD_MAX, 0,
                                &a->ahead));
    WHET_TRY(whet_i_json_bool_or(r->ctx, r->where, r->object, "buys", true, &a->buys));
    WHET_TRY(whet_i_json_bool_or(r->ctx, r->where, r->object, "sells", true, &a->sells));
    WHET_TRY(read_reveals(r, a));
    WHET_TRY(read_money(r, folder, a));
    return whet_i_trading_learning(r->ctx, r->where, r->object, &a->learning);
}

/* Names go into tables and file names of state: printable, without tabs. */
static whet_status read_name(whet_ctx *ctx, const char *path, int64_t i, const json_t *object,
                             whet_trading_config *c) {
    char where[PLACE], quoted[WHET_QUOTE_SIZE];
    whet_i_agent *a = &c->agents[i];
    (void)snprintf(where, sizeof where, "%s: \"agents\"[%" PRId64 "]", path, i);
    if (!json_is_object(object))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s is %s; expected an object", where,
                           whet_i_json_kind(object));
    WHET_TRY(whet_i_trading_text(ctx, where, object, "name", c, &a->name));
    if (!a->name) {
        char *name;
        WHET_TRY(whet_i_arena_alloc(ctx, &c->arena, 8, 1, &name));
        (void)snprintf(name, 8, "%c", (char)('A' + i));
        a->name = name;
    }
    bool fits = a->name[0] != '\0' && strcmp(a->name, "bank") != 0 &&
                strcmp(a->name, "mean") != 0 && strcmp(a->name, "broker") != 0 &&
                strcmp(a->name, "outside") != 0;
    for (const char *at = a->name; *at; at++) fits = fits && (unsigned char)*at >= ' ';
    for (int64_t j = 0; j < i; j++) fits = fits && strcmp(c->agents[j].name, a->name) != 0;
    if (fits && strlen(a->name) <= 64) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s: \"name\" is %s; expected another for each agent, up to 64 bytes, none "
                       "of bank, mean, broker, outside",
                       where, whet_i_quote(quoted, whet_str_from(a->name)));
}

whet_status whet_i_trading_agents(whet_ctx *ctx, const char *path, const json_t *array,
                                  const char *folder, whet_trading_config *c) {
    char where[PLACE];
    int64_t least = AHEAD_MAX;
    const int64_t n = (int64_t)json_array_size(array);
    if (n < 1 || n > WHET_I_AGENTS_MAX)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"agents\" has %" PRId64 "; expected 1 to %d",
                           path, n, WHET_I_AGENTS_MAX);
    WHET_TRY(whet_i_arena_alloc(ctx, &c->arena, n, sizeof *c->agents, &c->agents));
    memset(c->agents, 0, (size_t)n * sizeof *c->agents);
    for (int64_t i = 0; i < n; i++) {
        const json_t *object = json_array_get(array, (size_t)i);
        WHET_TRY(read_name(ctx, path, i, object, c));
        (void)snprintf(where, sizeof where, "%s: agent \"%s\"", path, c->agents[i].name);
        const reader r = {ctx, where, object, c};
        WHET_TRY(read_agent(&r, folder, &c->agents[i]));
        if (c->agents[i].ahead < least) least = c->agents[i].ahead;
    }
    for (int64_t i = 0; i < n; i++) c->agents[i].ahead -= least;
    c->n_agents = n;
    return WHET_OK;
}
