/* SPDX-License-Identifier: Apache-2.0
 * A simulated market as a whole: data, the folder of state, the runs - first the agents alone and the bank,
 * then the arms, which begin where the agents were - and the rows of all in order. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "market/trading_i.h"
#include "merge/merge_i.h"

typedef struct worker {
    whet_ctx *ctx;
} worker;

/* The runs of one stage. */
typedef struct stage {
    whet_ctx *ctx;
    const worker *workers;
    whet_i_market_run *runs; /* [n] */
    struct outcome {
        whet_status status;
        whet_ctx *owner; /* of what the run has made */
        char sentence[1024];
    } * outcomes; /* [n] */
    int64_t n;
} stage;

struct whet_i_trading_memory {
    whet_i_arena arena;
};

typedef struct simulation {
    whet_i_market market;
    whet_i_workers *workers;
    worker *threads; /* [n_threads] */
    int64_t n_threads;
    int lock;               /* file in the folder of state; -1 */
    whet_i_trader *network; /* one as it begins; NULL once runs have begun */
    stage alone, arms;
} simulation;

/* ---- what is traded, and how units may move -------------------------------------------------- */

/* `*` stands for any characters. */
static bool matches(const char *pattern, const char *name) {
    for (; *pattern && *pattern != '*'; pattern++, name++)
        if (*pattern != *name) return false;
    if (!*pattern) return !*name;
    while (*pattern == '*') pattern++;
    for (; *name; name++)
        if (matches(pattern, name)) return true;
    return !*pattern;
}

/* Whether both names are of one layer: equal before the last dot. */
static bool same_layer(const char *a, const char *b) {
    const char *dot = strrchr(a, '.');
    const size_t n = dot ? (size_t)(dot - a) + 1 : strlen(a);
    return strncmp(a, b, n) == 0 && !strchr(b + n, '.');
}

/* Every pattern must be of use. place: what has them, for a sentence; the caller tells of which file. */
static whet_status check_patterns(whet_ctx *ctx, const char *place, const char *const *patterns,
                                  int64_t n_patterns, const whet_weights *w) {
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t g = 0; g < n_patterns; g++) {
        int64_t i = 0;
        while (i < w->n && !matches(patterns[g], w->items[i].name)) i++;
        if (i == w->n)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: no tensor of the network is called %s; expected names like %s",
                               place, whet_i_quote(quoted, whet_str_from(patterns[g])),
                               w->items[0].name);
    }
    return WHET_OK;
}

static bool matches_any(const char *const *patterns, int64_t n, const char *name) {
    for (int64_t i = 0; i < n; i++)
        if (matches(patterns[i], name)) return true;
    return false;
}

/* out stays NULL where nothing is kept back. */
static whet_status find_revealed(whet_ctx *ctx, const whet_i_agent *a, const whet_weights *w,
                                 bool **out) {
    char place[160];
    bool all = true;
    if (!a->n_reveals) return WHET_OK;
    (void)snprintf(place, sizeof place, "agent \"%s\": \"reveals\"", a->name);
    WHET_TRY(check_patterns(ctx, place, a->reveals, a->n_reveals, w));
    for (int64_t i = 0; i < w->n; i++)
        all = all && matches_any(a->reveals, a->n_reveals, w->items[i].name);
    if (all) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, w->n, out));
    for (int64_t i = 0; i < w->n; i++)
        (*out)[i] = matches_any(a->reveals, a->n_reveals, w->items[i].name);
    return WHET_OK;
}

/* What of the goods a seller reveals. */
static whet_status choose_goods(whet_ctx *ctx, whet_i_market *m, int64_t agent,
                                const whet_weights *w, whet_i_arena *arena) {
    const whet_trading_config *c = m->config;
    const whet_i_terms *t = &c->terms;
    const char *last = w->items[w->n - 1].name;
    whet_i_offer *o = &m->offers[agent];
    bool tasks = false;
    WHET_TRY(find_revealed(ctx, &c->agents[agent], w, &o->revealed));
    if (!t->tower && !t->n_goods && !o->revealed) return WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, w->n, &o->goods));
    for (int64_t i = 0; i < c->n_agents; i++) tasks = tasks || c->agents[i].relabel;
    for (int64_t i = 0; i < w->n; i++) {
        const char *name = w->items[i].name;
        const bool head = same_layer(last, name);
        const bool sold = t->tower     ? !head
                          : t->n_goods ? matches_any(t->goods, t->n_goods, name)
                                       : true;
        if (sold && head && tasks)
            return whet_i_fail(
                ctx, WHET_ERR_DATA,
                "\"trading\": \"goods\": %s is of the last layer, and agents have tasks of "
                "their own; expected other tensors",
                name);
        if (!sold || (o->revealed && !o->revealed[i])) continue;
        char *copy;
        const size_t size = strlen(name) + 1;
        WHET_TRY(whet_i_arena_alloc(ctx, arena, (int64_t)size, 1, &copy));
        memcpy(copy, name, size);
        o->goods[o->n_goods++] = copy;
    }
    if (o->n_goods == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "agent \"%s\": \"reveals\" has none of the \"goods\"; expected one "
                           "tensor at least, or \"none\"",
                           c->agents[agent].name);
    return WHET_OK;
}

static bool aligns(const whet_trading_config *c) {
    return c->arms[WHET_ARM_MARKET] && c->terms.align != WHET_I_TRADE_AS_IS;
}

/* Specifications are made for files: the network as it begins is one, for a while. */
static whet_status make_spec(whet_ctx *ctx, whet_i_market *m, const whet_weights *w) {
    char *path = NULL;
    whet_safetensors *file = NULL;
    const whet_permutation_hints none = {0};
    const char *arch = strcmp(m->config->arch, "wrn") == 0 ? "wrn:1" : m->config->arch;
    whet_status status = WHET_OK;
    if (!aligns(m->config)) return WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, m->state, "network.safetensors", &path));
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, true, w->items, w->n, NULL));
    WHET_TRY_DONE(whet_safetensors_open(ctx, path, &file));
    WHET_TRY_DONE(whet_permutation_spec_for(ctx, arch, file, &none, &m->spec));
    for (int64_t i = 0; i < m->config->n_agents; i++)
        if (m->offers[i].revealed)
            WHET_TRY_DONE(
                whet_i_spec_part(ctx, m->spec, w, m->offers[i].revealed, &m->offers[i].spec));
done:
    whet_safetensors_close(ctx, file);
    if (path) (void)unlink(path);
    whet_i_free(ctx, path);
    return status;
}

/* What the configuration says of a network that its data does not make is told with its file. */
static whet_status look_at_network(whet_ctx *ctx, whet_i_market *m, whet_i_trader **trader,
                                   whet_weights *w, whet_i_arena *arena) {
    const whet_trading_config *c = m->config;
    whet_status status = whet_i_trader_create(ctx, c, m->data, 0, 0, trader);
    if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s: \"model\"", c->path);
    w->items = whet_i_trader_weights(*trader, &w->n);
    status = check_patterns(ctx, "\"trading\": \"goods\"", c->terms.goods, c->terms.n_goods, w);
    for (int64_t i = 0; status == WHET_OK && i < c->n_agents; i++)
        status = choose_goods(ctx, m, i, w, arena);
    return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", c->path);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static whet_status open_state(whet_ctx *ctx, simulation *s, const char *folder) {
    char *path = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(folder), &s->market.state));
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) {
        status =
            whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be created: %s", folder, strerror(errno));
        goto done;
    }
    WHET_TRY_DONE(whet_i_join_path(ctx, folder, "lock", &path));
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (s->lock < 0)
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be created: %s", path, strerror(errno));
    else if (flock(s->lock, LOCK_EX | LOCK_NB) != 0) {
        (void)close(s->lock);
        s->lock = -1;
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: another process simulates there; expected none",
                             folder);
    } else {
        whet_i_remove_stale(folder);
    }
done:
    whet_i_free(ctx, path);
    return status;
}

static void count_epochs(whet_i_market *m) {
    const whet_trading_config *c = m->config;
    int64_t each = 0;
    m->first = (c->terms.start + c->terms.frequency - 1) / c->terms.frequency * c->terms.frequency;
    for (int64_t i = 0; i < c->n_agents; i++) each += c->epochs + c->agents[i].ahead;
    if (c->arms[WHET_ARM_BANK]) each += c->epochs;
    for (int arm = WHET_ARM_MARKET; arm <= WHET_ARM_FEDAVG; arm++)
        if (c->arms[arm]) each += c->n_agents * (c->epochs - m->first);
    m->total = each * c->n_seeds;
}

static whet_status read_data(whet_ctx *ctx, whet_i_market *m) {
    const whet_trading_config *c = m->config;
    const int64_t n = c->split_each ? c->n_seeds : 1;
    WHET_TRY(whet_i_calloc(ctx, n, &m->data));
    m->n_data = 1;
    WHET_TRY(whet_i_market_data_read(ctx, c, m->data));
    WHET_TRY(whet_i_market_repeats(ctx, c, m->data));
    for (int64_t i = 1; i < n; i++) {
        m->n_data = i + 1;
        const whet_status status =
            whet_i_market_data_again(ctx, c, m->data, c->seeds[i], &m->data[i]);
        if (status != WHET_OK) return whet_i_fail_at(ctx, status, "seed %" PRIu64, c->seeds[i]);
    }
    return WHET_OK;
}

static whet_status begin(whet_ctx *ctx, simulation *s, const whet_trading_config *config,
                         const char *state, whet_i_arena *arena) {
    whet_i_market *m = &s->market;
    const int32_t threads = whet_ctx_threads(ctx);
    whet_weights w;
    m->config = config;
    count_epochs(m);
    WHET_TRY(read_data(ctx, m));
    (void)snprintf(m->fingerprint, sizeof m->fingerprint, "%016" PRIx64,
                   whet_i_hash_u64(config->fingerprint ^ whet_i_hash_u64(m->data->hash)));
    WHET_TRY(look_at_network(ctx, m, &s->network, &w, arena));
    WHET_TRY(open_state(ctx, s, state));
    WHET_TRY(make_spec(ctx, m, &w));
    WHET_TRY(whet_i_workers_create(ctx, &s->workers));
    WHET_TRY(whet_i_calloc(ctx, threads, &s->threads));
    for (; s->n_threads < threads; s->n_threads++)
        WHET_TRY(whet_i_workers_context(s->workers, &s->threads[s->n_threads].ctx));
    whet_i_trader_destroy(ctx, s->network);
    s->network = NULL;
    return WHET_OK;
}

/* ---- a stage --------------------------------------------------------------------------------- */

static void run_one(void *arg, int64_t i, int32_t thread) {
    stage *s = arg;
    struct outcome *o = &s->outcomes[i];
    whet_i_market *m = s->runs[i].market;
    whet_ctx *own = s->workers[thread].ctx;
    if (atomic_load(&m->failed)) return;
    o->owner = own;
    o->status = whet_i_market_run_all(own, &s->runs[i], thread == 0 ? s->ctx : NULL);
    whet_i_market_run_traders_free(own, &s->runs[i]);
    if (o->status == WHET_OK) return;
    (void)snprintf(o->sentence, sizeof o->sentence, "%s", whet_error(own));
    atomic_store(&m->failed, true);
}

/* The first of the runs that failed speaks; being interrupted comes last, for it may be a consequence. */
static whet_status run_stage(whet_ctx *ctx, stage *s) {
    const whet_status status = whet_i_parallel_for(ctx, NULL, s->n, run_one, s);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < s->n; i++) {
            const struct outcome *o = &s->outcomes[i];
            if (o->status == WHET_OK || (o->status == WHET_ERR_CANCELLED) != (pass == 1)) continue;
            whet_i_record(ctx, o->status, "%s", pass == 1 ? "interrupted" : o->sentence);
            return o->status;
        }
    return status;
}

static void add_run(simulation *s, stage *t, whet_arm arm, int64_t seed, int64_t agent) {
    t->runs[t->n++] =
        (whet_i_market_run){.market = &s->market, .arm = arm, .seed = seed, .agent = agent};
}

static whet_status make_stage(whet_ctx *ctx, const simulation *s, int64_t most, stage *t) {
    t->ctx = ctx;
    t->workers = s->threads;
    WHET_TRY(whet_i_calloc(ctx, most, &t->runs));
    return whet_i_calloc(ctx, most, &t->outcomes);
}

/* The agents of all seeds in the order that `silos` needs; then the bank's. */
static whet_status run_alone(whet_ctx *ctx, simulation *s) {
    const whet_trading_config *c = s->market.config;
    WHET_TRY(make_stage(ctx, s, c->n_seeds * (c->n_agents + 1), &s->alone));
    for (int64_t seed = 0; seed < c->n_seeds; seed++)
        for (int64_t i = 0; i < c->n_agents; i++) add_run(s, &s->alone, WHET_ARM_SILO, seed, i);
    for (int64_t seed = 0; c->arms[WHET_ARM_BANK] && seed < c->n_seeds; seed++)
        add_run(s, &s->alone, WHET_ARM_BANK, seed, c->n_agents);
    s->market.silos = s->alone.runs;
    return run_stage(ctx, &s->alone);
}

static whet_status run_arms(whet_ctx *ctx, simulation *s) {
    const whet_trading_config *c = s->market.config;
    WHET_TRY(make_stage(ctx, s, c->n_seeds * WHET_ARMS, &s->arms));
    for (int64_t seed = 0; seed < c->n_seeds; seed++)
        for (int arm = WHET_ARM_MARKET; arm <= WHET_ARM_FEDAVG; arm++)
            if (c->arms[arm]) add_run(s, &s->arms, (whet_arm)arm, seed, -1);
    return run_stage(ctx, &s->arms);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void free_stage(whet_ctx *ctx, stage *s) {
    for (int64_t i = 0; s->outcomes && i < s->n; i++)
        if (s->outcomes[i].owner) whet_i_market_run_free(s->outcomes[i].owner, &s->runs[i]);
    whet_i_free(ctx, s->outcomes);
    whet_i_free(ctx, s->runs);
}

static void end(whet_ctx *ctx, simulation *s, whet_status status) {
    free_stage(ctx, &s->alone);
    free_stage(ctx, &s->arms);
    for (int64_t i = 0; i < s->n_threads; i++) whet_ctx_destroy(s->threads[i].ctx);
    whet_i_free(ctx, s->threads);
    whet_i_workers_destroy(ctx, s->workers);
    if (s->lock >= 0 && status != WHET_OK && whet_i_trading_state_is_idle(s->market.state))
        whet_i_trading_state_remove(s->market.state);
    if (s->lock >= 0) (void)close(s->lock);
    whet_i_trader_destroy(ctx, s->network);
    whet_permutation_spec_destroy(ctx, s->market.spec);
    for (int64_t i = 0; i < WHET_I_AGENTS_MAX; i++) {
        whet_i_free(ctx, s->market.offers[i].goods);
        whet_i_free(ctx, s->market.offers[i].revealed);
        whet_permutation_spec_destroy(ctx, s->market.offers[i].spec);
    }
    whet_i_free(ctx, s->market.state);
    for (int64_t i = s->market.n_data; i-- > 0;) whet_i_market_data_free(ctx, &s->market.data[i]);
    whet_i_free(ctx, s->market.data);
}

/* Rows of a run behind those that are there. */
static whet_status take_rows(whet_ctx *ctx, whet_i_told *all, const whet_i_told *rows) {
    for (int64_t i = 0; i < rows->n_scores; i++)
        WHET_TRY(whet_i_put_score(ctx, all, &rows->scores[i]));
    for (int64_t i = 0; i < rows->n_trials; i++)
        WHET_TRY(whet_i_put_trial(ctx, all, &rows->trials[i]));
    for (int64_t i = 0; i < rows->n_wallets; i++)
        WHET_TRY(whet_i_put_wallet(ctx, all, &rows->wallets[i]));
    for (int64_t i = 0; i < rows->n_flows; i++)
        WHET_TRY(whet_i_put_flow(ctx, all, &rows->flows[i]));
    return WHET_OK;
}

static whet_status take_seed(whet_ctx *ctx, const simulation *s, int64_t seed, whet_i_told *all) {
    const whet_trading_config *c = s->market.config;
    for (int64_t e = 0; e < c->epochs; e++)
        for (int64_t i = 0; i < c->n_agents; i++)
            WHET_TRY(
                whet_i_put_score(ctx, all, &s->alone.runs[seed * c->n_agents + i].rows.scores[e]));
    for (int64_t i = 0; i < s->arms.n; i++)
        if (s->arms.runs[i].seed == seed) WHET_TRY(take_rows(ctx, all, &s->arms.runs[i].rows));
    for (int64_t i = c->n_seeds * c->n_agents; i < s->alone.n; i++)
        if (s->alone.runs[i].seed == seed) WHET_TRY(take_rows(ctx, all, &s->alone.runs[i].rows));
    return WHET_OK;
}

static whet_status keep_name(whet_ctx *ctx, whet_i_arena *arena, const char *name,
                             const char **out) {
    char *copy;
    const size_t size = strlen(name) + 1;
    WHET_TRY(whet_i_arena_alloc(ctx, arena, (int64_t)size, 1, &copy));
    memcpy(copy, name, size);
    *out = copy;
    return WHET_OK;
}

static whet_status describe(whet_ctx *ctx, const simulation *s, whet_trading_result *r) {
    const whet_trading_config *c = s->market.config;
    const whet_i_market_data *d = s->market.data;
    whet_i_arena *arena = &r->memory->arena;
    const char **names;
    uint64_t *seeds;
    int64_t *examples;
    bool *competitors;
    WHET_TRY(whet_i_arena_alloc(ctx, arena, c->n_agents, sizeof *names, &names));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, c->n_agents, sizeof *competitors, &competitors));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, c->n_agents, sizeof *examples, &examples));
    WHET_TRY(whet_i_arena_alloc(ctx, arena, c->n_seeds, sizeof *seeds, &seeds));
    for (int64_t i = 0; i < c->n_agents; i++) {
        WHET_TRY(keep_name(ctx, arena, c->agents[i].name, &names[i]));
        examples[i] = d->n_rows[i];
        competitors[i] = c->agents[i].competitor;
    }
    memcpy(seeds, c->seeds, (size_t)c->n_seeds * sizeof *seeds);
    WHET_TRY(keep_name(ctx, arena, c->name, &r->name));
    WHET_TRY(keep_name(ctx, arena, c->text, &r->config));
    r->n_agents = c->n_agents;
    r->n_seeds = c->n_seeds;
    r->epochs = c->epochs;
    r->classes = d->classes;
    r->agents = names;
    r->seeds = seeds;
    r->examples = examples;
    r->competitors = competitors;
    r->n_train = d->n_rows[c->n_agents];
    r->n_select = d->held[WHET_I_FOR_SELECT][c->n_agents].n;
    r->n_gate = d->held[WHET_I_FOR_GATE][c->n_agents].n;
    r->n_test = d->held[WHET_I_FOR_TEST][c->n_agents].n;
    memcpy(r->arms, c->arms, sizeof r->arms);
    r->split_each = c->split_each;
    r->norms_measured = whet_i_trading_measures(c);
    r->money = c->arms[WHET_ARM_MARKET] && c->terms.mechanism != WHET_I_TRADE_FREE;
    r->start = c->terms.start;
    r->frequency = c->terms.frequency;
    return WHET_OK;
}

static whet_status collect(whet_ctx *ctx, const simulation *s, whet_trading_result *r) {
    whet_i_told all = {0};
    whet_status status = describe(ctx, s, r);
    for (int64_t seed = 0; status == WHET_OK && seed < r->n_seeds; seed++)
        status = take_seed(ctx, s, seed, &all);
    r->scores = all.scores;
    r->trials = all.trials;
    r->wallets = all.wallets;
    r->flows = all.flows;
    r->n_scores = all.n_scores;
    r->n_trials = all.n_trials;
    r->n_wallets = all.n_wallets;
    r->n_flows = all.n_flows;
    return status == WHET_OK ? whet_i_trading_summary(ctx, r) : status;
}

whet_status whet_trading_run(whet_ctx *ctx, const whet_trading_config *config, const char *state,
                             whet_trading_result *out) {
    simulation s = {.lock = -1};
    whet_trading_result r = {0};
    whet_i_arena arena = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &r.memory));
    WHET_TRY_DONE(begin(ctx, &s, config, state, &arena));
    WHET_TRY_DONE(run_alone(ctx, &s));
    WHET_TRY_DONE(run_arms(ctx, &s));
    WHET_TRY_DONE(collect(ctx, &s, &r));
    *out = r;
    r = (whet_trading_result){0};
done:
    end(ctx, &s, status);
    whet_i_arena_free(ctx, &arena);
    whet_trading_result_free(ctx, &r);
    return status;
}

void whet_trading_result_free(whet_ctx *ctx, whet_trading_result *r) {
    whet_i_free(ctx, r->scores);
    whet_i_free(ctx, r->trials);
    whet_i_free(ctx, r->wallets);
    whet_i_free(ctx, r->flows);
    whet_i_free(ctx, r->gains);
    whet_i_free(ctx, r->surplus);
    if (r->memory) whet_i_arena_free(ctx, &r->memory->arena);
    whet_i_free(ctx, r->memory);
    *r = (whet_trading_result){0};
}
