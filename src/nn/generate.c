/* SPDX-License-Identifier: Apache-2.0
 * Text from a language model, token by token. Prompts of a group run together: first all their tokens,
 * then one token each; keys and values of what was read stay in a cache, so that a token costs the
 * products and one pass over the cache. Draws come from a stream of the seed for each prompt, so that
 * they do not depend on the other prompts. Nucleus sampling: Holtzman et al. 2020. */
#include <math.h>
#include <stdlib.h>

#include "nn/language_model_i.h"

enum { GROUP = 16 }; /* prompts at once: bounds the cache */

typedef struct choice {
    double weight;
    int32_t id;
} choice;

typedef struct generation {
    const whet_language_model *m;
    const whet_generate_opts *o;
    const whet_token_rows *prompts;
    int64_t first, n; /* prompts of the group */
    int64_t room;     /* tokens of a sequence at most */
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_cache cache;
    int64_t *order, *start; /* the batch: sequences that go on */
    int32_t *ids, *positions;
    int64_t active;
    int64_t most;  /* tokens that a sequence can get: asked for, and with room */
    int32_t *made; /* [n, most] */
    int64_t *n_made;
    whet_i_rng *rng; /* [n] */
    choice *choices; /* [vocab] */
} generation;

/* ---- choosing a token ------------------------------------------------------------------------- */

static int by_weight(const void *a, const void *b) {
    const choice *x = a, *y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return x->id > y->id ? 1 : -1;
}

/* -1 when a logit is NaN or the largest one infinite: there is nothing to choose by. */
static int32_t most_likely(const float *logits, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(logits[i])) return -1;
        if (logits[i] > logits[best]) best = i;
    }
    return isfinite(logits[best]) ? (int32_t)best : -1;
}

/* Keeps the top_k largest and, of those, the fewest whose share reaches top_p. */
static int64_t keep(const whet_generate_opts *o, choice *choices, int64_t n) {
    double sum = 0, reached = 0;
    int64_t kept = 0;
    if (o->top_k == 0 && o->top_p >= 1) return n;
    qsort(choices, (size_t)n, sizeof *choices, by_weight);
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    for (int64_t i = 0; i < n; i++) sum += choices[i].weight;
    while (kept < n && (kept == 0 || reached < o->top_p * sum)) reached += choices[kept++].weight;
    return kept;
}

/* The next token, or -1 as above. */
static int32_t choose(const generation *g, const float *logits, whet_i_rng *rng) {
    const int64_t vocab = g->m->config.vocab;
    const int32_t best = most_likely(logits, vocab);
    if (best < 0 || g->o->temperature == 0) return best;
    for (int64_t i = 0; i < vocab; i++)
        g->choices[i] = (choice){
            exp(((double)logits[i] - (double)logits[best]) / g->o->temperature), (int32_t)i};
    const int64_t n = keep(g->o, g->choices, vocab);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += g->choices[i].weight;
    double left = sum * whet_i_rng_uniform(rng);
    int32_t id = best; /* should rounding leave a little: the last that can be drawn */
    for (int64_t i = 0; i < n && left >= 0; i++) {
        if (g->choices[i].weight == 0) continue;
        left -= g->choices[i].weight;
        id = g->choices[i].id;
    }
    return id;
}

/* ---- batches ---------------------------------------------------------------------------------- */

/* The prompt's tokens, or the token that texts begin with. */
static int64_t prompt_tokens(const generation *g, int64_t i, const int32_t **ids) {
    const int64_t first = g->prompts->start[g->first + i];
    const int64_t length = g->prompts->start[g->first + i + 1] - first;
    *ids = length ? g->prompts->ids + first : &g->m->config.begin;
    return length ? length : 1;
}

static void run_batch(generation *g, int64_t tokens) {
    g->cache.slot = g->order;
    const whet_i_batch batch = {.rows = {1, g->active, tokens},
                                .start = g->start,
                                .feeds = {g->ids, g->positions},
                                .loss_scale = 1,
                                .cache = &g->cache};
    whet_i_executor_run(g->executor, &batch);
    for (int64_t i = 0; i < g->active; i++)
        g->cache.past[g->order[i]] += g->start[i + 1] - g->start[i];
}

static void read_prompts(generation *g) {
    int64_t at = 0;
    g->active = g->n;
    g->start[0] = 0;
    for (int64_t i = 0; i < g->n; i++) {
        const int32_t *ids;
        const int64_t length = prompt_tokens(g, i, &ids);
        g->order[i] = i;
        for (int64_t t = 0; t < length; t++, at++) {
            g->ids[at] = ids[t];
            g->positions[at] = (int32_t)t;
        }
        g->start[i + 1] = at;
    }
    run_batch(g, at);
}

static bool ends_text(const generation *g, int32_t id) {
    bool ends = false;
    for (int32_t i = 0; i < g->m->config.n_ends; i++) ends |= g->m->config.ends[i] == id;
    return ends && !g->o->no_stop;
}

/* Takes a token for each sequence that goes on; those that end leave the batch. */
static whet_status take_tokens(whet_ctx *ctx, generation *g) {
    const float *logits = whet_i_executor_value(g->executor, g->m->logits);
    int64_t left = 0;
    for (int64_t i = 0; i < g->active; i++) {
        const int64_t s = g->order[i];
        const int32_t id = choose(g, logits + i * g->m->config.vocab, &g->rng[s]);
        if (id < 0)
            return whet_i_fail(ctx, WHET_ERR_NUMERIC,
                               "prompt %lld: the model's logits behind %lld new tokens are not "
                               "numbers; expected weights that are finite and not too large",
                               (long long)(g->first + s), (long long)g->n_made[s]);
        if (ends_text(g, id)) continue;
        g->made[s * g->most + g->n_made[s]++] = id;
        if (g->o->token) g->o->token(g->o->user, g->first + s, id);
        if (g->n_made[s] == g->most || g->cache.past[s] + 1 > g->room) continue;
        g->order[left] = s;
        g->ids[left] = id;
        g->positions[left] = (int32_t)g->cache.past[s];
        g->start[left + 1] = left + 1;
        left++;
    }
    g->active = left;
    return WHET_OK;
}

static whet_status run_group(whet_ctx *ctx, generation *g) {
    const int64_t total = g->prompts->n_rows;
    read_prompts(g);
    for (int64_t step = 0;; step++) {
        WHET_TRY(take_tokens(ctx, g));
        if (g->active == 0) return WHET_OK;
        WHET_TRY(whet_i_progress(ctx, "generate", g->first * g->o->max_tokens + step * g->n,
                                 total * g->o->max_tokens));
        run_batch(g, g->active);
    }
}

/* ---- memory ----------------------------------------------------------------------------------- */

static whet_status make_cache(whet_ctx *ctx, generation *g) {
    const whet_i_llama_config *c = &g->m->config;
    int64_t rows, count;
    g->cache = (whet_i_cache){
        .nodes = c->layers, .sequences = g->n, .room = g->room, .columns = c->groups * c->d};
    WHET_TRY(whet_i_mul(ctx, c->layers * g->n, g->room, &rows));
    WHET_TRY(whet_i_mul(ctx, rows, g->cache.columns, &count));
    WHET_TRY(whet_i_alloc(ctx, count, &g->cache.keys));
    WHET_TRY(whet_i_alloc(ctx, count, &g->cache.values));
    return whet_i_calloc(ctx, g->n, &g->cache.past);
}

static whet_status make_room(whet_ctx *ctx, generation *g) {
    int64_t tokens = 0, longest = 0, count;
    const int32_t *ids;
    for (int64_t i = 0; i < g->n; i++) {
        const int64_t length = prompt_tokens(g, i, &ids);
        tokens += length;
        if (length > longest) longest = length;
    }
    g->room = longest + g->o->max_tokens < g->m->config.positions ? longest + g->o->max_tokens
                                                                  : g->m->config.positions;
    g->most = g->o->max_tokens < g->room ? g->o->max_tokens : g->room;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, g->n, tokens}, .longest = g->room, .workers = whet_ctx_threads(ctx)},
        .loss = WHET_I_NONE,
        .keep = &g->m->logits,
        .n_keep = 1};
    WHET_TRY(whet_i_plan_create(ctx, g->m->graph, &opts, &g->plan));
    WHET_TRY(whet_i_executor_create(ctx, g->plan, &g->executor));
    WHET_TRY(make_cache(ctx, g));
    WHET_TRY(whet_i_alloc(ctx, g->n, &g->order));
    WHET_TRY(whet_i_alloc(ctx, g->n + 1, &g->start));
    WHET_TRY(whet_i_alloc(ctx, tokens, &g->ids));
    WHET_TRY(whet_i_alloc(ctx, tokens, &g->positions));
    WHET_TRY(whet_i_mul(ctx, g->n, g->most, &count));
    WHET_TRY(whet_i_alloc(ctx, count, &g->made));
    WHET_TRY(whet_i_calloc(ctx, g->n, &g->n_made));
    WHET_TRY(whet_i_alloc(ctx, g->n, &g->rng));
    for (int64_t i = 0; i < g->n; i++)
        whet_i_rng_init(&g->rng[i], g->o->seed, (uint64_t)(g->first + i));
    return whet_i_alloc(ctx, g->m->config.vocab, &g->choices);
}

static void free_group(whet_ctx *ctx, generation *g) {
    whet_i_free(ctx, g->choices);
    whet_i_free(ctx, g->rng);
    whet_i_free(ctx, g->n_made);
    whet_i_free(ctx, g->made);
    whet_i_free(ctx, g->positions);
    whet_i_free(ctx, g->ids);
    whet_i_free(ctx, g->start);
    whet_i_free(ctx, g->order);
    whet_i_free(ctx, g->cache.past);
    whet_i_free(ctx, g->cache.values);
    whet_i_free(ctx, g->cache.keys);
    whet_i_executor_destroy(ctx, g->executor);
    whet_i_plan_destroy(ctx, g->plan);
}

/* ---- all prompts ------------------------------------------------------------------------------ */

static whet_status check_prompt(whet_ctx *ctx, const whet_language_model *m,
                                const whet_token_rows *prompts, int64_t i) {
    const int64_t length = prompts->start[i + 1] - prompts->start[i];
    if (length < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "prompt %lld ends before it begins; expected rows",
                           (long long)i);
    if (length >= m->config.positions)
        return whet_i_fail(
            ctx, WHET_ERR_DATA,
            "prompt %lld has %lld tokens; expected below %lld, the model's positions", (long long)i,
            (long long)length, (long long)m->config.positions);
    if (length == 0 && m->config.begin < 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "prompt %lld is empty, and config.json names no token to begin with; "
                           "expected a text",
                           (long long)i);
    for (int64_t t = prompts->start[i]; t < prompts->start[i + 1]; t++)
        if (prompts->ids[t] < 0 || prompts->ids[t] >= m->config.vocab)
            return whet_i_fail(ctx, WHET_ERR_DATA, "prompt %lld: token %d; expected 0 to %lld",
                               (long long)i, (int)prompts->ids[t], (long long)m->config.vocab - 1);
    return WHET_OK;
}

static whet_status check(whet_ctx *ctx, const whet_language_model *m,
                         const whet_token_rows *prompts, const whet_generate_opts *o) {
    if (o->max_tokens < 1 || o->max_tokens > 1 << 24)
        return whet_i_fail(ctx, WHET_ERR_ARG, "max_tokens is %lld; expected 1 to 16777216",
                           (long long)o->max_tokens);
    if (!(o->temperature >= 0 && o->temperature < 1e6))
        return whet_i_fail(ctx, WHET_ERR_ARG, "temperature is %g; expected 0 or more",
                           o->temperature);
    if (o->top_k < 0 || !(o->top_p > 0 && o->top_p <= 1))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "top_k is %lld and top_p is %g; expected 0 or more, and above 0 to 1",
                           (long long)o->top_k, o->top_p);
    if (prompts->n_rows < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld prompts; expected 0 or more",
                           (long long)prompts->n_rows);
    for (int64_t i = 0; i < prompts->n_rows; i++) WHET_TRY(check_prompt(ctx, m, prompts, i));
    return WHET_OK;
}

/* Appends what a group made to the rows; they are given out whole. */
static whet_status append_rows(whet_ctx *ctx, const generation *g, whet_token_rows *rows) {
    int64_t at = rows->start[g->first];
    for (int64_t i = 0; i < g->n; i++) at += g->n_made[i];
    WHET_TRY(whet_i_realloc(ctx, &rows->ids, at));
    at = rows->start[g->first];
    for (int64_t i = 0; i < g->n; i++) {
        memcpy(rows->ids + at, g->made + i * g->most, (size_t)g->n_made[i] * sizeof *rows->ids);
        at += g->n_made[i];
        rows->start[g->first + i + 1] = at;
    }
    return WHET_OK;
}

whet_status whet_generate(whet_ctx *ctx, const whet_language_model *model,
                          const whet_token_rows *prompts, const whet_generate_opts *opts,
                          whet_token_rows *out) {
    whet_generate_opts o = WHET_GENERATE_OPTS_INIT;
    whet_token_rows rows = {.n_rows = prompts->n_rows};
    whet_status status;
    WHET_TRY(whet_i_opts(ctx, opts, &o, sizeof o, "whet_generate_opts"));
    WHET_TRY(check(ctx, model, prompts, &o));
    WHET_TRY_DONE(whet_i_calloc(ctx, prompts->n_rows + 1, &rows.start));
    WHET_TRY_DONE(whet_i_alloc(ctx, 0, &rows.ids));
    for (int64_t first = 0; first < prompts->n_rows; first += GROUP) {
        generation g = {.m = model, .o = &o, .prompts = prompts, .first = first};
        g.n = prompts->n_rows - first < GROUP ? prompts->n_rows - first : GROUP;
        status = make_room(ctx, &g);
        if (status == WHET_OK) status = run_group(ctx, &g);
        if (status == WHET_OK) status = append_rows(ctx, &g, &rows);
        free_group(ctx, &g);
        if (status != WHET_OK) goto done;
    }
    *out = rows;
    return WHET_OK;
done:
    whet_token_rows_destroy(ctx, &rows);
    return status;
}
