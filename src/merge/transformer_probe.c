/* SPDX-License-Identifier: Apache-2.0
 * One layer of a transformer with drawn weights; see transformer_probe.h. What config.json may say beside
 * heads (activation, epsilon, frequencies, windows) is the same for every unit, and of no matter here. */
#include "merge/transformer_probe.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

enum { NAME_SIZE = 256, TOKENS = 12, ROWS_MOST = 16, LAYERS_MOST = 2000 };

/* ---- which one ------------------------------------------------------------------------------------- */

static const char LLAMA_LAYER[] = "layers", LLAMA_QUERY[] = "self_attn.q_proj";
static const char LLAMA_PREFIX[] = "model."; /* as recorded; those of a model alone have none */

static int64_t find(const whet_weights *w, const char *name) {
    for (int64_t i = 0; i < w->n; i++)
        if (strcmp(w->items[i].name, name) == 0) return i;
    return -1;
}

static const whet_tensor *tensor_of(const whet_weights *w, const char *name) {
    const int64_t at = find(w, name);
    return at < 0 ? NULL : &w->items[at].tensor;
}

static bool has_query(const whet_weights *w, const whet_i_family *f, const char *prefix,
                      int64_t layer) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s.%" PRId64 ".%s.weight", prefix,
                   f ? f->layer : LLAMA_LAYER, layer, f ? f->query : LLAMA_QUERY);
    return find(w, name) >= 0;
}

/* The encoder whose first query is there. type NULL = any; names of BERT and RoBERTa differ in heads. */
static const whet_i_family *family_of(const whet_weights *w, const char *type,
                                      const char **prefix) {
    static const char *const types[] = {"roberta", "bert", "distilbert"};
    for (int i = 0; i < (type ? 1 : 3); i++) {
        const whet_i_family *f = whet_i_family_find(whet_str_from(type ? type : types[i]));
        const bool roberta = !type && i == 0;
        if (!f) return NULL;
        for (int bare = 0; bare < 2; bare++) {
            *prefix = bare ? "" : f->prefix;
            if (bare && roberta && find(w, "classifier.out_proj.weight") < 0) continue;
            if (has_query(w, f, *prefix, 0)) return f;
        }
    }
    return NULL;
}

bool whet_i_transformer_named(const whet_weights *weights) {
    const char *prefix;
    return family_of(weights, NULL, &prefix) || has_query(weights, NULL, LLAMA_PREFIX, 0) ||
           has_query(weights, NULL, "", 0);
}

/* Beside those that are run elsewhere too: models that differ in what is alike for all units (scales of
 * embeddings and sums, norms that add one, norms of heads). */
static bool is_llama(const char *type) {
    static const char *const alike[] = {"gemma", "granite", "qwen3"};
    for (int64_t i = 0; i < WHET_COUNT_OF(alike); i++)
        if (strcmp(type, alike[i]) == 0) return true;
    return whet_i_llama_family_find(whet_str_from(type)) != NULL;
}

static whet_status find_kind(whet_ctx *ctx, const char *type, whet_i_transformer *t) {
    char quoted[WHET_QUOTE_SIZE];
    const bool causal = !type || is_llama(type);
    if (!causal && !whet_i_family_find(whet_str_from(type)))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "config.json: \"model_type\" is %s; expected %s, or of language models "
                           "%s, or \"gemma\", \"granite\" or \"qwen3\"",
                           whet_i_quote(quoted, whet_str_from(type)), whet_i_family_known(),
                           whet_i_llama_family_known());
    t->prefix = "";
    if (!type || !causal) t->family = family_of(t->weights, type, &t->prefix);
    if (t->family) return WHET_OK;
    t->prefix = has_query(t->weights, NULL, LLAMA_PREFIX, 0) ? LLAMA_PREFIX : "";
    if (causal && has_query(t->weights, NULL, t->prefix, 0)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "no query of a first layer among the tensors; expected the names of "
                       "Hugging Face");
}

/* A matrix of the first layer (at < 0: of none), to read sizes of. */
static whet_status matrix(whet_ctx *ctx, const whet_i_transformer *t, const char *module,
                          bool layer, const whet_tensor **out) {
    const whet_i_family *f = t->family;
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, layer ? "%s%s.0.%s.weight" : "%s%s%s.weight", t->prefix,
                   layer ? f ? f->layer : LLAMA_LAYER : "", module);
    *out = tensor_of(t->weights, name);
    if (*out && (*out)->rank == 2 && (*out)->shape[0] > 0 && (*out)->shape[1] > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "tensor %s is %s; expected a matrix", name,
                       *out ? "none" : "missing");
}

static whet_status find_sizes(whet_ctx *ctx, whet_i_transformer *t) {
    const whet_i_family *f = t->family;
    const whet_tensor *word, *query, *key, *up, *other;
    WHET_TRY(matrix(ctx, t, f ? f->word : "embed_tokens", false, &word));
    WHET_TRY(matrix(ctx, t, f ? f->query : LLAMA_QUERY, true, &query));
    WHET_TRY(matrix(ctx, t, f ? f->key : "self_attn.k_proj", true, &key));
    WHET_TRY(matrix(ctx, t, f ? f->up : "mlp.up_proj", true, &up));
    t->vocab = word->shape[0];
    t->hidden = word->shape[1];
    t->inner = up->shape[0];
    t->positions = TOKENS;
    if (f) {
        WHET_TRY(matrix(ctx, t, f->position, false, &other));
        t->positions = other->shape[0];
    }
    if (f && f->type) {
        WHET_TRY(matrix(ctx, t, f->type, false, &other));
        t->types = other->shape[0];
    }
    if (t->size == 0) t->size = query->shape[0] / t->heads;
    t->kv = t->size > 0 ? key->shape[0] / t->size : 0;
    const bool even = t->size > 0 && t->heads * t->size == query->shape[0] &&
                      t->kv * t->size == key->shape[0] && t->heads % t->kv == 0;
    if (!even || (f ? t->heads * t->size != t->hidden || t->kv != t->heads
                    : t->size % 2 != 0 || t->size > 2 * WHET_I_ROPE_MAX))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "queries of %" PRId64 " rows and keys of %" PRId64 ", in %" PRId64
                           " heads; expected as many rows a head",
                           query->shape[0], key->shape[0], t->heads);
    return WHET_OK;
}

whet_status whet_i_transformer_find(whet_ctx *ctx, const whet_weights *weights,
                                    const char *model_type, const whet_permutation_hints *hints,
                                    whet_i_transformer *out) {
    *out =
        (whet_i_transformer){.weights = weights, .heads = hints->heads, .size = hints->head_size};
    WHET_TRY(find_kind(ctx, model_type, out));
    if (out->heads < 1)
        return whet_i_fail(
            ctx, WHET_ERR_UNSUPPORTED,
            "the number of attention heads is not known; expected config.json beside "
            "the weights");
    while (out->layers < LAYERS_MOST && has_query(weights, out->family, out->prefix, out->layers))
        out->layers++;
    return find_sizes(ctx, out);
}

/* <prefix><module>.weight, or .bias. */
static bool is_of(const char *name, const char *prefix, const char *module) {
    const size_t before = strlen(prefix), n = module ? strlen(module) : 0;
    if (!module || strncmp(name, prefix, before) != 0 || strncmp(name + before, module, n) != 0)
        return false;
    return strcmp(name + before + n, ".weight") == 0 || strcmp(name + before + n, ".bias") == 0;
}

bool whet_i_transformer_is_table(const whet_i_transformer *t, const char *name) {
    const whet_i_family *f = t->family;
    if (!f)
        return is_of(name, t->prefix, "embed_tokens") || is_of(name, "", "lm_head") ||
               is_of(name, "", "score");
    return is_of(name, t->prefix, f->word) || is_of(name, t->prefix, f->position) ||
           is_of(name, t->prefix, f->type) || is_of(name, "", f->head_out);
}

bool whet_i_transformer_is_head_norm(const whet_i_transformer *t, const char *name,
                                     const whet_tensor *tensor) {
    return !t->family && strncmp(name, t->prefix, strlen(t->prefix)) == 0 && tensor->rank == 1 &&
           tensor->shape[0] == t->size &&
           (whet_i_ends_with(name, ".self_attn.q_norm.weight") ||
            whet_i_ends_with(name, ".self_attn.k_norm.weight"));
}

/* ---- recording ------------------------------------------------------------------------------------- */

typedef struct recorder {
    whet_ctx *ctx;
    const whet_i_transformer *t;
    int64_t layer;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_probe *probe; /* its outputs */
} recorder;

/* What a network of one layer calls its tensors, as the weights call that of the layer it stands for. */
static void real_name(const recorder *r, const char *recorded, char out[NAME_SIZE]) {
    const whet_i_transformer *t = r->t;
    const char *prefix = t->family ? t->prefix : LLAMA_PREFIX, *rest = recorded + strlen(prefix);
    char first[NAME_SIZE];
    (void)snprintf(first, sizeof first, "%s.0.", t->family ? t->family->layer : LLAMA_LAYER);
    const size_t n = strlen(first);
    if (strncmp(recorded, prefix, strlen(prefix)) != 0) /* a head */
        (void)snprintf(out, NAME_SIZE, "%s", recorded);
    else if (strncmp(rest, first, n) != 0)
        (void)snprintf(out, NAME_SIZE, "%s%s", t->prefix, rest);
    else
        (void)snprintf(out, NAME_SIZE, "%s%.*s%" PRId64 ".%s", t->prefix, (int)n - 2, first,
                       r->layer, rest + n);
}

/* The weights' name of a recorded one, or NULL. */
static const char *known(const recorder *r, const char *recorded) {
    char name[NAME_SIZE];
    real_name(r, recorded, name);
    const int64_t at = find(r->t->weights, name);
    return at < 0 ? NULL : r->t->weights->items[at].name;
}

static void put_out(const recorder *r, const char *what, const char *order, bool last,
                    whet_i_value value) {
    whet_i_probe *p = r->probe;
    whet_i_probe_output *out = &p->outputs[p->n_outputs++];
    out->what = what;
    out->order = order ? known(r, order) : NULL;
    out->last = last;
    out->value = value;
    out->rows = r->graph->values[value].extent == WHET_I_TOKENS ? TOKENS : 1;
    out->columns = whet_i_columns(r->graph, value);
}

/* A layer of a head, as its tensors have it. rows 0 = all that its matrix has. */
static whet_status head_layer(const recorder *r, const char *prefix, const char *module,
                              whet_i_act act, int64_t rows, whet_i_value x, whet_i_value *out) {
    char full[NAME_SIZE], name[NAME_SIZE + 8];
    (void)snprintf(full, sizeof full, "%s%s", prefix, module);
    (void)snprintf(name, sizeof name, "%s.bias", full);
    const bool bias = find(r->t->weights, name) >= 0;
    (void)snprintf(name, sizeof name, "%s.weight", full);
    const whet_tensor *w = tensor_of(r->t->weights, name);
    const int64_t n = w && w->rank == 2 && w->shape[0] > 0 ? w->shape[0] : 1;
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {full},
                                     .n = {rows > 0 && n > rows ? rows : n},
                                     .bias = bias,
                                     .act = act,
                                     .residual = WHET_I_NONE};
    return whet_i_linear_layer(r->ctx, r->graph, x, &spec, out);
}

static bool has_matrix(const recorder *r, const char *prefix, const char *module) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s.weight", prefix, module ? module : "");
    return module && find(r->t->weights, name) >= 0;
}

/* The pooler, and [dense, activation,] the classes: of the first token, without dense of all. */
static whet_status encoder_heads(const recorder *r, const char *norm, whet_i_value hidden) {
    const whet_i_family *f = r->t->family;
    const bool classes = has_matrix(r, "", f->head_out);
    const bool pools = has_matrix(r, r->t->prefix, "pooler.dense");
    const bool last = r->layer == r->t->layers - 1;
    char order[NAME_SIZE];
    whet_i_value first, x = hidden;
    put_out(r, "hidden states", norm, last && !classes, hidden);
    WHET_TRY(whet_i_pool_tokens(r->ctx, r->graph, hidden, WHET_I_POOL_FIRST, &first));
    if (pools) {
        whet_i_value pooled;
        WHET_TRY(head_layer(r, r->t->prefix, "pooler.dense", WHET_I_ACT_TANH, 0, first, &pooled));
        (void)snprintf(order, sizeof order, "%spooler.dense.weight", r->t->prefix);
        put_out(r, "what the pooler gives", order, last && !(classes && f->pooler), pooled);
        if (f->pooler) x = pooled;
    }
    if (!classes) return WHET_OK;
    if (has_matrix(r, "", f->head_dense))
        WHET_TRY(head_layer(r, "", f->head_dense, WHET_I_ACT_TANH, 0, first, &x));
    WHET_TRY(head_layer(r, "", f->head_out, WHET_I_ACT_NONE, ROWS_MOST, x, &x));
    put_out(r, "logits", NULL, true, x);
    return WHET_OK;
}

static whet_status record_encoder(const recorder *r) {
    const whet_i_transformer *t = r->t;
    const whet_i_encoder_config c = {.family = t->family,
                                     .hidden = t->hidden,
                                     .layers = 1,
                                     .heads = t->heads,
                                     .inner = t->inner,
                                     .vocab = t->vocab < ROWS_MOST ? t->vocab : ROWS_MOST,
                                     .positions = t->positions < TOKENS ? t->positions : TOKENS,
                                     .types = t->types,
                                     .act = WHET_I_ACT_GELU,
                                     .epsilon = 1e-6F};
    char norm[NAME_SIZE];
    whet_i_value hidden;
    WHET_TRY(
        whet_i_encoder_record(r->ctx, r->graph, &c, t->prefix, false, WHET_I_ALL_TOKENS, &hidden));
    (void)snprintf(norm, sizeof norm, "%s%s.0.%s.weight", t->prefix, t->family->layer,
                   t->family->down_norm);
    return encoder_heads(r, norm, hidden);
}

static bool has_bias(const recorder *r, const char *module) {
    char name[NAME_SIZE];
    (void)snprintf(name, sizeof name, "%s%s.0.%s.bias", LLAMA_PREFIX, LLAMA_LAYER, module);
    return known(r, name) != NULL;
}

static whet_status record_llama(const recorder *r) {
    const whet_i_transformer *t = r->t;
    const bool biased = has_bias(r, LLAMA_QUERY), all = biased && has_bias(r, "self_attn.o_proj");
    const whet_i_llama_family *f =
        whet_i_llama_family_find(whet_str_from(biased && !all ? "qwen2" : "llama"));
    whet_i_llama_config c = {.family = f,
                             .hidden = t->hidden,
                             .layers = 1,
                             .heads = t->heads,
                             .groups = t->kv,
                             .d = t->size,
                             .inner = t->inner,
                             .vocab = t->vocab < ROWS_MOST ? t->vocab : ROWS_MOST,
                             .positions = TOKENS,
                             .act = WHET_I_ACT_SILU,
                             .epsilon = 1e-6,
                             .attention_bias = all,
                             .mlp_bias = has_bias(r, "mlp.up_proj"),
                             .tied = !has_matrix(r, "", "lm_head")};
    whet_i_value hidden, logits;
    /* Each pair of dimensions turns by an angle of its own that a few tokens show. */
    for (int64_t i = 0; i < c.d / 2; i++) c.frequency[i] = pow(10, -2 * (double)i / (double)c.d);
    WHET_TRY(whet_i_llama_record(r->ctx, r->graph, &c, WHET_I_ALL_TOKENS, &hidden));
    const bool classes = has_matrix(r, "", "score");
    const bool alone = !*t->prefix && c.tied && !classes;
    put_out(r, "hidden states", "model.norm.weight", alone && r->layer == t->layers - 1, hidden);
    if (alone) return WHET_OK;
    if (classes) {
        WHET_TRY(head_layer(r, "", "score", WHET_I_ACT_NONE, ROWS_MOST, hidden, &logits));
        put_out(r, "logits of classes", NULL, true, logits);
        if (c.tied) return WHET_OK;
    }
    WHET_TRY(whet_i_llama_head(r->ctx, r->graph, &c, hidden, &logits));
    put_out(r, "logits", NULL, true, logits);
    return WHET_OK;
}

static whet_status record(recorder *r) {
    r->probe->n_outputs = 0;
    WHET_TRY(whet_i_params_create(r->ctx, WHET_F32, &r->params));
    WHET_TRY(whet_i_graph_create(r->ctx, r->params, &r->graph));
    return r->t->family ? record_encoder(r) : record_llama(r);
}

static void forget(const recorder *r) {
    whet_i_graph_destroy(r->ctx, r->graph);
    whet_i_params_destroy(r->ctx, r->params);
}

/* ---- drawing --------------------------------------------------------------------------------------- */

/* A tensor of the weights must have the shape that the network needs; of tables there may be more rows. */
static whet_status place_param(const recorder *r, const whet_i_param *p, int64_t *place) {
    char name[NAME_SIZE];
    real_name(r, p->name, name);
    *place = find(r->t->weights, name);
    const whet_tensor *t = *place < 0 ? NULL : &r->t->weights->items[*place].tensor;
    bool fits = t && t->rank == p->rank;
    for (int32_t x = 0; fits && x < p->rank; x++)
        fits = t->shape[x] == p->shape[x] ||
               (x == 0 && t->shape[0] > p->shape[0] && whet_i_transformer_is_table(r->t, name));
    if (fits) return WHET_OK;
    return whet_i_fail(r->ctx, WHET_ERR_UNSUPPORTED, "tensor %s is %s; expected that of %s", name,
                       t ? "of another shape" : "missing",
                       r->t->family ? "an encoder" : "a Llama-like model");
}

/* Of such sizes that nothing is lost in sums: inputs of unit variance stay so. No two are alike, as those of
 * trained networks may be (biases of zero, scales of one), or the wrong order of them would pass. */
static whet_status draw(whet_ctx *ctx, const whet_i_param *p, uint64_t stream, whet_tensor *out) {
    const bool bias = whet_i_ends_with(p->name, ".bias");
    const double width = p->rank == 2 ? 2 * sqrt(3 / (double)p->shape[1]) : 1;
    const double low = p->rank == 2 ? -width / 2 : bias ? -.5 : .5;
    whet_i_rng rng;
    WHET_TRY(whet_tensor_create(ctx, WHET_F32, p->rank, p->shape, out));
    float *values = out->data;
    whet_i_rng_init(&rng, 23, stream);
    for (int64_t i = 0; i < p->count; i++)
        values[i] = (float)(low + width * whet_i_rng_uniform(&rng));
    return WHET_OK;
}

static whet_status draw_all(const recorder *r) {
    whet_i_probe *p = r->probe;
    const int64_t n = r->params->n;
    WHET_TRY(whet_i_calloc(r->ctx, n, &p->place));
    WHET_TRY(whet_i_calloc(r->ctx, n, &p->drawn));
    for (p->n = 0; p->n < n; p->n++) {
        const whet_i_param *param = &r->params->items[p->n];
        WHET_TRY(place_param(r, param, &p->place[p->n]));
        WHET_TRY(draw(r->ctx, param, (uint64_t)p->n, &p->drawn[p->n]));
        p->count += param->count;
    }
    for (int i = 0; i < p->n_outputs; i++)
        for (int k = 0; k < 2; k++)
            WHET_TRY(whet_i_alloc(r->ctx, p->outputs[i].rows * p->outputs[i].columns,
                                  &p->outputs[i].values[k]));
    return WHET_OK;
}

whet_status whet_i_probe_make(whet_ctx *ctx, const whet_i_transformer *t, int64_t layer,
                              whet_i_probe *out) {
    *out = (whet_i_probe){.t = t, .layer = layer};
    recorder r = {.ctx = ctx, .t = t, .layer = layer, .probe = out};
    whet_status status = record(&r);
    if (status == WHET_OK) status = draw_all(&r);
    forget(&r);
    return status;
}

void whet_i_probe_free(whet_ctx *ctx, whet_i_probe *probe) {
    for (int64_t i = 0; probe->drawn && i < probe->n; i++)
        whet_tensor_destroy(ctx, &probe->drawn[i]);
    for (int i = 0; i < WHET_I_PROBE_OUTPUTS; i++)
        for (int k = 0; k < 2; k++) whet_i_free(ctx, probe->outputs[i].values[k]);
    whet_i_free(ctx, probe->drawn);
    whet_i_free(ctx, probe->place);
    *probe = (whet_i_probe){0};
}

/* ---- running --------------------------------------------------------------------------------------- */

/* A sequence of tokens, some of them twice, at places of their own and in both segments. */
static whet_status fill(const recorder *r, whet_i_text_batch *batch) {
    const whet_i_transformer *t = r->t;
    const int64_t rows = t->vocab < ROWS_MOST ? t->vocab : ROWS_MOST;
    const int64_t places = t->positions < TOKENS ? t->positions : TOKENS;
    int32_t ids[TOKENS];
    int64_t start[] = {0, TOKENS}, which[] = {0};
    const whet_token_rows tokens = {1, start, ids, NULL};
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)((5 * i + i / 7) % rows);
    WHET_TRY(whet_i_text_batch_init(r->ctx, batch, TOKENS, 1));
    whet_i_text_batch_fill(batch, &tokens, which, 1, 0);
    for (int i = 0; i < TOKENS; i++) {
        batch->positions[i] = (int32_t)(i % places);
        batch->types[i] = t->types > 0 ? (int32_t)(i % t->types) : 0;
    }
    return WHET_OK;
}

static whet_status execute(const recorder *r, int which) {
    whet_i_probe *p = r->probe;
    whet_i_value keep[WHET_I_PROBE_OUTPUTS];
    whet_i_text_batch batch = {0};
    whet_i_plan *plan = NULL;
    whet_i_executor *executor = NULL;
    whet_status status = WHET_OK;
    for (int i = 0; i < p->n_outputs; i++) keep[i] = p->outputs[i].value;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, 1, TOKENS}, .longest = TOKENS, .workers = whet_ctx_threads(r->ctx)},
        .loss = WHET_I_NONE,
        .keep = keep,
        .n_keep = p->n_outputs};
    WHET_TRY_DONE(fill(r, &batch));
    WHET_TRY_DONE(whet_i_plan_create(r->ctx, r->graph, &opts, &plan));
    WHET_TRY_DONE(whet_i_params_pack(r->ctx, r->params));
    WHET_TRY_DONE(whet_i_executor_create(r->ctx, plan, &executor));
    whet_i_executor_run(executor, &batch.batch);
    for (int i = 0; i < p->n_outputs; i++) {
        const whet_i_probe_output *out = &p->outputs[i];
        memcpy(out->values[which], whet_i_executor_value(executor, out->value),
               (size_t)(out->rows * out->columns) * sizeof(float));
    }
done:
    whet_i_executor_destroy(r->ctx, executor);
    whet_i_plan_destroy(r->ctx, plan);
    whet_i_text_batch_free(r->ctx, &batch);
    return status;
}

whet_status whet_i_probe_run(whet_ctx *ctx, whet_i_probe *probe, const whet_tensor *values,
                             int which) {
    recorder r = {.ctx = ctx, .t = probe->t, .layer = probe->layer, .probe = probe};
    whet_status status = record(&r);
    for (int64_t i = 0; status == WHET_OK && i < r.params->n; i++) {
        r.params->items[i].source = values[i];
        r.params->items[i].init = WHET_I_INIT_REQUIRED;
    }
    if (status == WHET_OK) status = whet_i_params_settle(ctx, r.params, 0);
    if (status == WHET_OK) status = execute(&r, which);
    forget(&r);
    return status;
}
