/* SPDX-License-Identifier: Apache-2.0
 * What a search draws from: a table with a row for each thing that is searched. A trial follows from the
 * seed and its number alone.
 *
 * LoRA and MoRe come in pairs that share everything but the blocks: both kinds get the same draws at equal
 * parameters, and neither wins by a luckier rate. A pair's draw is one that fits both; what the limit rules
 * out has no turns, and nothing takes them.
 * MoRe has N > 1 blocks with N | r: every block of its matrix then has a term, and no entry is zero by
 * construction; N = 1 is LoRA. Ranges of rates cover what arXiv 2408.17383 and PEFT's users search. Kinds
 * that are asked for beside them (DoRA, biases, norms) have a turn each. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tune/search_i.h"

enum {
    ADAPTERS = 1 << WHET_TUNE_LORA | 1 << WHET_TUNE_MORE | 1 << WHET_TUNE_DORA,
    OWN = 1 << WHET_TUNE_FULL | 1 << WHET_TUNE_BITFIT | 1 << WHET_TUNE_NORMS,
    ALWAYS = 1 << WHET_TUNE_FULL | 1 << WHET_TUNE_LORA | 1 << WHET_TUNE_MORE,
    ALL = ADAPTERS | OWN,
    CYCLE = 5, /* trials after which kinds come again, but for those that are asked for */
    ATTEMPTS = 64
};
static const int64_t ranks[WHET_I_SEARCH_RANKS] = {1, 2, 4, 8, 16, 32};
static const double dropouts[] = {0, 0.05, 0.1};

/* ---- the table -------------------------------------------------------------------------------- */

/* u: uniform in [0, 1). put returns false where this kind has no such value. */
typedef struct dimension {
    const char *name;
    unsigned kinds; /* 1 << those that have it */
    bool shared;    /* by a pair */
    bool sizes;     /* says how many numbers are trained */
    bool (*given)(const whet_i_search_space *space);
    bool (*put)(const whet_i_search_space *space, double u, whet_tune_job *job);
    json_t *(*told)(const whet_tune_job *job);
} dimension;

static int64_t pick(double u, int64_t n) { return (int64_t)(u * (double)n); }

/* Uniform in the logarithm, with two digits, so that it can be typed: a whole number divided by a power of
 * ten is the number that those digits are read as; multiplied by .1^n it need not be. */
static double pick_rate(double u, double low, double high) {
    const double x = low * pow(high / low, u), per = pow(10, 1 - floor(log10(x)));
    return round(x * per) / per;
}

static bool targets_given(const whet_i_search_space *s) { return s->base.targets != NULL; }
static bool put_targets(const whet_i_search_space *s, double u, whet_tune_job *job) {
    job->targets = s->targets[pick(u, WHET_COUNT_OF(s->targets))];
    return true;
}
static json_t *told_targets(const whet_tune_job *job) { return json_string(job->targets); }

static bool rank_given(const whet_i_search_space *s) { return s->base.rank != 0; }
static bool put_rank(const whet_i_search_space *s, double u, whet_tune_job *job) {
    (void)s;
    job->rank = ranks[pick(u, WHET_COUNT_OF(ranks))];
    return true;
}
static json_t *told_rank(const whet_tune_job *job) { return json_integer(job->rank); }

/* Ranks of single layers: even in half of the draws; half as large in the lower or upper half of the layers
 * and half as large again in the other, which leaves the number of parameters as it is; or of one half
 * alone. */
static bool layers_given(const whet_i_search_space *s) {
    return s->base.layers || s->base.rank_pattern || s->base.blocks_pattern || rank_given(s) ||
           !s->halves[0];
}
static bool put_layers(const whet_i_search_space *s, double u, whet_tune_job *job) {
    const int64_t which = pick(u, 8) - 4;
    int64_t i = 0;
    if (which < 0) return true;
    if (which < 2) {
        job->layers = s->halves[which];
        return true;
    }
    while (ranks[i] != job->rank) i++;
    job->rank_pattern = s->ranks[which - 2][i];
    const bool scaled = job->adapter != WHET_TUNE_MORE;
    if (scaled && job->alpha == 0 && !job->alpha_pattern)
        job->alpha_pattern = s->alphas[which - 2][i];
    return job->rank_pattern != NULL;
}
static json_t *told_layers(const whet_tune_job *job) {
    return json_string(job->layers         ? job->layers
                       : job->rank_pattern ? job->rank_pattern
                                           : "all alike");
}

static bool blocks_given(const whet_i_search_space *s) { return s->base.blocks != 0; }
static bool put_blocks(const whet_i_search_space *s, double u, whet_tune_job *job) {
    /* Of ranks that rise or fall, the smaller one; the larger is three times that. */
    const int64_t rank = job->rank_pattern && !s->base.rank_pattern ? job->rank / 2 : job->rank;
    int64_t divisors[64], n = 0;
    for (int64_t b = 2; b <= 64; b++)
        if (rank % b == 0) divisors[n++] = b;
    if (n) job->blocks = divisors[pick(u, n)];
    return n > 0;
}
static json_t *told_blocks(const whet_tune_job *job) { return json_integer(job->blocks); }

static bool rate_given(const whet_i_search_space *s) { return s->base.learning_rate != 0; }
static bool put_rate(const whet_i_search_space *s, double u, whet_tune_job *job) {
    const bool full = job->adapter == WHET_TUNE_FULL;
    (void)s;
    job->learning_rate = full ? pick_rate(u, 1e-5, 3e-4) : pick_rate(u, 2e-4, 1e-2);
    return true;
}
static json_t *told_rate(const whet_tune_job *job) { return json_real(job->learning_rate); }

static bool dropout_given(const whet_i_search_space *s) { return s->base.dropout >= 0; }
static bool put_dropout(const whet_i_search_space *s, double u, whet_tune_job *job) {
    (void)s;
    job->dropout = dropouts[pick(u, WHET_COUNT_OF(dropouts))];
    return true;
}
static json_t *told_dropout(const whet_tune_job *job) { return json_real(job->dropout); }

/* The head is new, and its rate counts where the others' is small. */
static bool head_rate_given(const whet_i_search_space *s) {
    return s->base.head_rate != 0 || s->survey->kind->embeds ||
           s->survey->kind->targets == WHET_I_TARGET_TOKENS;
}
static bool put_head_rate(const whet_i_search_space *s, double u, whet_tune_job *job) {
    static const double adapters[] = {1, 3, 10}, full[] = {1, 10, 100};
    (void)s;
    job->head_rate = (job->adapter == WHET_TUNE_FULL ? full : adapters)[pick(u, 3)];
    return true;
}
static json_t *told_head_rate(const whet_tune_job *job) { return json_real(job->head_rate); }

static bool adapter_dropout_given(const whet_i_search_space *s) {
    return !(s->also & WHET_I_SEARCH_DROPOUT) || s->base.adapter_dropout != 0;
}
static bool put_adapter_dropout(const whet_i_search_space *s, double u, whet_tune_job *job) {
    (void)s;
    job->adapter_dropout = dropouts[pick(u, WHET_COUNT_OF(dropouts))];
    return true;
}
static json_t *told_adapter_dropout(const whet_tune_job *job) {
    return json_real(job->adapter_dropout);
}

/* What depends on a rank stands behind it; new rows at the end, as a row's number decides its draws. */
static const dimension table[] = {
    {"targets", ADAPTERS, true, true, targets_given, put_targets, told_targets},
    {"rank", ADAPTERS, true, true, rank_given, put_rank, told_rank},
    {"layers", ADAPTERS, true, true, layers_given, put_layers, told_layers},
    {"blocks", 1 << WHET_TUNE_MORE, false, true, blocks_given, put_blocks, told_blocks},
    {"learning_rate", ALL, true, false, rate_given, put_rate, told_rate},
    {"dropout", ALL, true, false, dropout_given, put_dropout, told_dropout},
    {"head_rate", ALL, true, false, head_rate_given, put_head_rate, told_head_rate},
    {"adapter_dropout", ADAPTERS, true, false, adapter_dropout_given, put_adapter_dropout,
     told_adapter_dropout},
};

static bool is_own(whet_tune_adapter kind) { return OWN >> kind & 1; }

whet_status whet_i_search_also(whet_ctx *ctx, const char *text, unsigned *also) {
    static const struct {
        const char *name;
        unsigned bit;
    } words[] = {{"dora", 1 << WHET_TUNE_DORA},
                 {"bitfit", 1 << WHET_TUNE_BITFIT},
                 {"norms", 1 << WHET_TUNE_NORMS},
                 {"adapter-dropout", WHET_I_SEARCH_DROPOUT}};
    *also = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        const size_t length = strcspn(at, ",");
        unsigned bit = 0;
        char quoted[WHET_QUOTE_SIZE];
        for (int64_t i = 0; i < WHET_COUNT_OF(words); i++)
            if (strlen(words[i].name) == length && strncmp(at, words[i].name, length) == 0)
                bit = words[i].bit;
        if (!bit)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "a search of %s as well; expected dora, bitfit, norms, "
                               "adapter-dropout, with commas between",
                               whet_i_quote(quoted, (whet_str){at, (int64_t)length}));
        *also |= bit;
    }
    return WHET_OK;
}

/* ---- one trial -------------------------------------------------------------------------------- */

const char *whet_i_search_kind_name(whet_tune_adapter adapter) {
    return whet_i_tune_adapter_find(adapter)->name;
}

json_t *whet_i_search_settings(const whet_tune_job *job) {
    json_t *o = json_object();
    for (int64_t i = 0; o && i < WHET_COUNT_OF(table); i++)
        if (table[i].kinds >> job->adapter & 1)
            (void)json_object_set_new(o, table[i].name, table[i].told(job));
    return o;
}

/* Uniform in [0, 1) for a number, a row of the table and an attempt. */
static double draw_of(const whet_i_search_space *s, int64_t number, int64_t row, int64_t attempt) {
    whet_i_rng rng;
    const uint64_t stream = ((uint64_t)number * 64 + (uint64_t)row) * ATTEMPTS + (uint64_t)attempt;
    whet_i_rng_init(&rng, s->base.seed, whet_i_hash_u64(stream + 1));
    return whet_i_rng_uniform(&rng);
}

static whet_tune_job job_of(const whet_i_search_space *s, whet_tune_adapter kind) {
    whet_tune_job job = s->base;
    job.adapter = kind;
    if (is_own(kind)) job.exclude = job.layers = job.rank_pattern = NULL;
    if (kind != WHET_TUNE_MORE) job.blocks_pattern = NULL;
    if (kind != WHET_TUNE_LORA && kind != WHET_TUNE_DORA) {
        job.alpha_pattern = NULL;
        job.rank_stabilised = false;
    }
    if (is_own(kind)) job.adapter_dropout = 0;
    if (is_own(kind)) job.second_rate = 1;
    /* What a trial is told apart by is written out, so that the winner's command can be typed. */
    if (is_own(kind)) job.targets = NULL;
    if (!is_own(kind) && !job.targets) job.targets = s->targets[1];
    return job;
}

/* A pair has what it shares from the draws of its first. */
static bool fill(const whet_i_search_space *s, int64_t i, int64_t pair, int64_t attempt,
                 whet_tune_job *job) {
    for (int64_t row = 0; row < WHET_COUNT_OF(table); row++) {
        const dimension *d = &table[row];
        if (!(d->kinds >> job->adapter & 1) || d->given(s)) continue;
        const double u = draw_of(s, d->shared && pair >= 0 ? pair : i, row, attempt);
        if (!d->put(s, u, job)) return false;
    }
    return job->adapter != WHET_TUNE_MORE || job->rank % job->blocks == 0 || rank_given(s);
}

/* The first of each kind stand for what one would do without a search. */
static whet_tune_job first_job(const whet_i_search_space *s, whet_tune_adapter kind) {
    whet_tune_job job = job_of(s, kind);
    if (!is_own(kind) && !rank_given(s)) job.rank = 8;
    if (kind == WHET_TUNE_MORE && !blocks_given(s)) job.blocks = job.rank % 4 ? job.rank : 4;
    if (!dropout_given(s)) job.dropout = 0.1;
    whet_i_tune_fill_defaults(&job);
    return job;
}

/* Of a kind, within the limit. Of many draws the first that fits; else the smallest there is, of a pair the
 * smallest that is as large for both. */
static whet_tune_job smallest_job(const whet_i_search_space *s, whet_tune_adapter kind,
                                  bool paired) {
    whet_tune_job job = first_job(s, kind);
    if (is_own(kind)) return job;
    if (!targets_given(s)) job.targets = s->survey->backbone.layers[2];
    if (!layers_given(s)) job.layers = s->halves[1];
    if (!rank_given(s))
        job.rank = kind != WHET_TUNE_MORE && !paired ? 1 : blocks_given(s) ? s->base.blocks : 2;
    if (kind == WHET_TUNE_MORE && !blocks_given(s)) job.blocks = job.rank;
    job.alpha = s->base.alpha;
    whet_i_tune_fill_defaults(&job);
    return job;
}

/* What costs no numbers is drawn for it all the same: trials of one size are not one trial. */
static void fill_free(const whet_i_search_space *s, int64_t i, whet_tune_job *job) {
    for (int64_t row = 0; row < WHET_COUNT_OF(table); row++) {
        const dimension *d = &table[row];
        if (!d->sizes && (d->kinds >> job->adapter & 1) && !d->given(s))
            (void)d->put(s, draw_of(s, i, row, 0), job);
    }
}

static whet_status fits(whet_ctx *ctx, whet_i_search_space *s, const whet_tune_job *job,
                        whet_i_search_trial *trial, bool *yes) {
    trial->job = *job;
    whet_i_tune_fill_defaults(&trial->job);
    WHET_TRY(whet_i_tune_count(ctx, s->survey, &trial->job, &trial->parameters));
    *yes = s->limit == 0 || trial->parameters <= s->limit;
    return WHET_OK;
}

/* Of what is drawn: a rank above a layer's does not fit, and is no error. */
static whet_status may_fit(whet_ctx *ctx, whet_i_search_space *s, const whet_tune_job *job,
                           whet_i_search_trial *trial, bool *yes) {
    const whet_status status = fits(ctx, s, job, trial, yes);
    if (status != WHET_ERR_ARG) return status;
    *yes = false;
    return WHET_OK;
}

/* The i-th kind that is asked for beside the three; i from 0. */
static whet_tune_adapter asked_kind(const whet_i_search_space *s, int64_t i) {
    int kind = WHET_TUNE_DORA;
    while (!(s->also >> kind & 1) || i-- > 0) kind++;
    return (whet_tune_adapter)kind;
}

static int64_t asked_kinds(const whet_i_search_space *s) {
    int64_t n = 0;
    for (int kind = WHET_TUNE_DORA; kind < WHET_I_SEARCH_KINDS; kind++) n += s->also >> kind & 1;
    return n;
}

/* Kinds in the order in which they come, of those that the limit leaves. */
typedef struct order {
    whet_tune_adapter kind[CYCLE + WHET_I_SEARCH_KINDS];
    int64_t n;
} order;

static order order_of(const whet_i_search_space *s, const whet_tune_adapter *known, int64_t n) {
    order o = {.n = 0};
    for (int64_t i = 0; i < n + asked_kinds(s); i++) {
        const whet_tune_adapter kind = i < n ? known[i] : asked_kind(s, i - n);
        if (s->can[kind]) o.kind[o.n++] = kind;
    }
    return o;
}

/* Where trial i stands: the first trials have one of each kind; then kinds take turns. */
typedef struct place {
    whet_tune_adapter kind;
    bool begins;  /* one of the first */
    int64_t pair; /* its first trial; -1 = none */
} place;

static place place_of(const whet_i_search_space *s, int64_t i) {
    static const whet_tune_adapter first[] = {WHET_TUNE_LORA, WHET_TUNE_FULL, WHET_TUNE_MORE};
    static const whet_tune_adapter turns[CYCLE] = {WHET_TUNE_MORE, WHET_TUNE_LORA, WHET_TUNE_MORE,
                                                   WHET_TUNE_LORA, WHET_TUNE_FULL};
    const order begin = order_of(s, first, 3), then = order_of(s, turns, CYCLE);
    place p = {.begins = i < begin.n, .pair = -1};
    p.kind = WHET_TUNE_LORA;
    if (p.begins)
        p.kind = begin.kind[i];
    else if (then.n > 0) /* as it is: a space that leaves no kind is refused */
        p.kind = then.kind[(i - begin.n) % then.n];
    const bool both = s->can[WHET_TUNE_LORA] && s->can[WHET_TUNE_MORE];
    if (both && (p.kind == WHET_TUNE_LORA || p.kind == WHET_TUNE_MORE))
        p.pair = p.begins ? 0 : p.kind == WHET_TUNE_MORE ? i : i - 1;
    return p;
}

/* Of as many numbers, to a hundredth: blocks that do not divide a layer are filled up. */
static bool as_large(int64_t p, int64_t q) { return llabs(p - q) * 100 <= (p > q ? p : q); }

/* Whether what is drawn fits, of a pair both; attempt -1: what the first trials are. *trial is trial i. */
static whet_status try_draw(whet_ctx *ctx, whet_i_search_space *s, int64_t i, const place *p,
                            int64_t attempt, whet_i_search_trial *trial, bool *yes) {
    const whet_tune_adapter other = p->kind == WHET_TUNE_MORE ? WHET_TUNE_LORA : WHET_TUNE_MORE;
    whet_i_search_trial twin = {0};
    for (int mine = p->pair < 0; mine < 2; mine++) {
        const whet_tune_adapter kind = mine ? p->kind : other;
        whet_tune_job job = attempt < 0 ? first_job(s, kind) : job_of(s, kind);
        /* Of a pair that is drawn, MoRe is the first, whose blocks are its own draw. */
        const int64_t own = mine || p->pair < 0 ? i : 2 * p->pair + 1 - i;
        *yes = attempt < 0 || fill(s, own, p->pair, attempt, &job);
        if (*yes) WHET_TRY(may_fit(ctx, s, &job, mine ? trial : &twin, yes));
        if (!*yes) return WHET_OK;
    }
    *yes = p->pair < 0 || as_large(trial->parameters, twin.parameters);
    return WHET_OK;
}

static whet_status draw(whet_ctx *ctx, whet_i_search_space *s, int64_t i,
                        whet_i_search_trial *trial) {
    const place p = place_of(s, i);
    const bool second = !p.begins && p.pair >= 0 && p.pair < i;
    /* What fitted the first of a pair fits the second. */
    const int64_t from = p.begins ? -1 : second ? s->trials[p.pair].attempt : 0;
    const int64_t end = p.begins ? 0 : second ? from + (from >= 0) : ATTEMPTS;
    bool yes = false;
    trial->attempt = -1;
    trial->pair = p.pair;
    for (int64_t attempt = from; attempt < end && !yes; attempt++) {
        WHET_TRY(try_draw(ctx, s, i, &p, attempt, trial, &yes));
        if (yes) trial->attempt = attempt;
    }
    if (yes) return WHET_OK;
    whet_tune_job job = smallest_job(s, p.kind, p.pair >= 0);
    if (!p.begins) fill_free(s, p.pair >= 0 ? p.pair : i, &job);
    return fits(ctx, s, &job, trial, &yes);
}

whet_status whet_i_search_draw(whet_ctx *ctx, whet_i_search_space *s, int64_t i,
                               const whet_i_search_trial **out) {
    while (s->n <= i) {
        if (s->n == s->cap) {
            const int64_t cap = s->cap ? 2 * s->cap : 32;
            WHET_TRY(whet_i_realloc(ctx, &s->trials, cap));
            s->cap = cap;
        }
        WHET_TRY(draw(ctx, s, s->n, &s->trials[s->n]));
        s->n++;
    }
    *out = &s->trials[i];
    return WHET_OK;
}

/* ---- the space -------------------------------------------------------------------------------- */

/* Query and value; those and key; the attention; the feed-forward layers; all. */
static whet_status make_targets(whet_ctx *ctx, whet_i_search_space *s) {
    static const char *const sets[] = {"02", "012", "0123", "45", "012345"};
    const char *const *layers = s->survey->backbone.layers;
    for (int64_t i = 0; i < WHET_COUNT_OF(s->targets); i++) {
        enum { SIZE = 512 };
        WHET_TRY(whet_i_arena_alloc(ctx, &s->survey->arena, SIZE, 1, &s->targets[i]));
        s->targets[i][0] = '\0';
        for (const char *c = sets[i]; *c; c++) {
            const size_t used = strlen(s->targets[i]);
            (void)snprintf(s->targets[i] + used, SIZE - used, "%s%s", used ? "," : "",
                           layers[*c - '0']);
        }
    }
    return WHET_OK;
}

/* Ranks of the names of layers such as encoder.layer.3.attention.self.query. */
static whet_status make_pattern(whet_ctx *ctx, whet_i_search_space *s, const char *low,
                                int64_t rank, const char *high, int64_t other, char **out) {
    enum { SIZE = 4096 };
    WHET_TRY(whet_i_arena_alloc(ctx, &s->survey->arena, SIZE, 1, out));
    const int n =
        snprintf(*out, SIZE, "layers?\\.(%s)\\..*=%" PRId64 ",layers?\\.(%s)\\..*=%" PRId64, low,
                 rank, high, other);
    if (n < 0 || n >= SIZE) *out = NULL; /* not drawn */
    return WHET_OK;
}

static whet_status make_halves(whet_ctx *ctx, whet_i_search_space *s) {
    enum { LAYERS_MAX = 256, SIZE = 4 * LAYERS_MAX, NUMBERS = 32 };
    const whet_i_backbone *b = &s->survey->backbone;
    const int64_t n = b->causal ? b->llama.layers : b->encoder.layers;
    char numbers[2][SIZE] = {"", ""};
    if (n < 2 || n > LAYERS_MAX) return WHET_OK;
    for (int64_t i = 0; i < n; i++) {
        char *to = numbers[i >= n / 2];
        const size_t used = strlen(to);
        (void)snprintf(to + used, SIZE - used, "%s%" PRId64, used ? "|" : "", i);
    }
    for (int falls = 0; falls < 2; falls++)
        for (int64_t r = 1; r < WHET_I_SEARCH_RANKS; r++) {
            const char *low = numbers[falls], *high = numbers[!falls];
            const int64_t half = ranks[r] / 2;
            WHET_TRY(make_pattern(ctx, s, low, half, high, 3 * half, &s->ranks[falls][r]));
            WHET_TRY(make_pattern(ctx, s, low, 2 * half, high, 6 * half, &s->alphas[falls][r]));
        }
    for (int i = 0; i < 2; i++)
        WHET_TRY(whet_i_arena_alloc(ctx, &s->survey->arena, NUMBERS, 1, &s->halves[i]));
    (void)snprintf(s->halves[0], NUMBERS, "0-%" PRId64, n / 2 - 1);
    (void)snprintf(s->halves[1], NUMBERS, "%" PRId64 "-%" PRId64, n / 2, n - 1);
    return WHET_OK;
}

static whet_status find_kinds(whet_ctx *ctx, whet_i_search_space *s) {
    s->least = INT64_MAX;
    for (int kind = 0; kind < WHET_I_SEARCH_KINDS; kind++) {
        whet_i_search_trial trial;
        whet_tune_job probe = {.rank = s->base.rank};
        if (!((ALWAYS | s->also) >> kind & 1)) continue;
        if (kind == WHET_TUNE_MORE && rank_given(s) && !blocks_given(s) &&
            !put_blocks(s, 0, &probe))
            continue;
        const whet_tune_job job = smallest_job(s, (whet_tune_adapter)kind, false);
        WHET_TRY(fits(ctx, s, &job, &trial, &s->can[kind]));
        if (trial.parameters < s->least) s->least = trial.parameters;
    }
    for (int kind = 0; kind < WHET_I_SEARCH_KINDS; kind++)
        if (s->can[kind]) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "a budget of %" PRId64 " parameters; expected at least the %" PRId64
                       " of the smallest candidate",
                       s->limit, s->least);
}

whet_status whet_i_search_space_open(whet_ctx *ctx, whet_i_tune *survey, const whet_tune_job *base,
                                     int64_t limit, unsigned also, whet_i_search_space *out) {
    *out = (whet_i_search_space){.survey = survey, .base = *base, .limit = limit, .also = also};
    WHET_TRY(make_targets(ctx, out));
    WHET_TRY(make_halves(ctx, out));
    return find_kinds(ctx, out);
}

void whet_i_search_space_free(whet_ctx *ctx, whet_i_search_space *s) {
    whet_i_free(ctx, s->trials);
    s->trials = NULL;
}

uint64_t whet_i_search_space_hash(const whet_i_search_space *s) {
    const whet_tune_job *b = &s->base;
    const double given[] = {
        (double)b->rank, (double)b->blocks, b->learning_rate,           b->dropout,
        b->head_rate,    b->alpha,          (double)b->rank_stabilised, b->adapter_dropout,
        (double)s->limit};
    uint64_t hash = whet_i_hash_bytes(given, (int64_t)sizeof given);
    const char *const texts[] = {b->targets,      b->exclude,       b->layers,
                                 b->rank_pattern, b->alpha_pattern, b->blocks_pattern,
                                 b->save_modules};
    for (int64_t i = 0; i < WHET_COUNT_OF(texts); i++)
        if (texts[i])
            hash = whet_i_hash_u64(hash + (uint64_t)i) ^
                   whet_i_hash_bytes(texts[i], (int64_t)strlen(texts[i]));
    /* Of the three kinds and what was always searched, so that journals without more are found again. */
    for (int64_t i = 0; i < WHET_COUNT_OF(table); i++)
        if (table[i].given != adapter_dropout_given)
            hash = whet_i_hash_u64(hash + (table[i].kinds & ALWAYS) + (uint64_t)table[i].given(s)) ^
                   whet_i_hash_bytes(table[i].name, (int64_t)strlen(table[i].name));
    if (b->second_rate != 0 && b->second_rate != 1)
        hash = whet_i_hash_u64(hash) ^ whet_i_hash_bytes(&b->second_rate, (int64_t)sizeof(double));
    return s->also ? whet_i_hash_u64(hash + s->also) : hash;
}
