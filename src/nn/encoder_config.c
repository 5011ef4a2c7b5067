/* SPDX-License-Identifier: Apache-2.0
 * The settings of a pretrained encoder: config.json, and the sentence-transformers files beside it
 * (modules.json, 1_Pooling/config.json, sentence_bert_config.json, config_sentence_transformers.json) and
 * the tokenizer's limit where there are any. What the files ask for and the forward pass does not do is
 * refused by name, never ignored. */
#include <errno.h>

#include "io/io_i.h"
#include "nn/nn_i.h"

/* Sizes above this are not models but damaged files; products of two still fit in 64 bits. */
enum { SIZE_MAX_ANY = 1 << 24, LAYERS_MAX = 4096 };

/* ---- JSON files ------------------------------------------------------------------------------ */

enum { JSON_BYTES_MAX = 1 << 24 };

/* *out is NULL when the file is not there and may be missing. */
static whet_status read_json(whet_ctx *ctx, const char *dir, const char *name, bool optional,
                             json_t **out) {
    char *path = NULL;
    WHET_TRY(whet_i_join_path(ctx, dir, name, &path));
    whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, out);
    if (status == WHET_ERR_IO && optional && whet_error_errno(ctx) == ENOENT) status = WHET_OK;
    whet_i_free(ctx, path);
    return status;
}

static whet_status need_object(whet_ctx *ctx, const char *name, const json_t *json) {
    if (json_is_object(json)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object", name,
                       whet_i_json_kind(json));
}

/* A string without NUL bytes that names a choice; `fallback` when absent. */
static whet_status get_text(whet_ctx *ctx, const char *name, const json_t *json, const char *key,
                            const char *fallback, whet_str *out) {
    WHET_TRY(whet_i_json_str_or_none(ctx, name, json, key, out));
    if (!out->ptr) *out = whet_str_from(fallback);
    return WHET_OK;
}

static bool is(whet_str text, const char *word) {
    return whet_str_equal(text, whet_str_from(word));
}

/* ---- config.json ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    whet_i_act act;
} activations[] = {
    {"gelu", WHET_I_ACT_GELU},          {"gelu_python", WHET_I_ACT_GELU},
    {"gelu_new", WHET_I_ACT_GELU_TANH}, {"gelu_pytorch_tanh", WHET_I_ACT_GELU_TANH},
    {"relu", WHET_I_ACT_RELU},          {"silu", WHET_I_ACT_SILU},
    {"swish", WHET_I_ACT_SILU},
};

static whet_status get_activation(whet_ctx *ctx, const json_t *json, const char *key,
                                  whet_i_act *out) {
    whet_str text;
    WHET_TRY(get_text(ctx, "config.json", json, key, "gelu", &text));
    for (int64_t i = 0; i < WHET_COUNT_OF(activations); i++) {
        if (!is(text, activations[i].name)) continue;
        *out = activations[i].act;
        return WHET_OK;
    }
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "config.json: \"%s\" is %s; expected \"gelu\", \"gelu_new\", "
                       "\"gelu_pytorch_tanh\", \"relu\" or \"silu\"",
                       key, whet_i_quote(quoted, text));
}

static whet_status get_family(whet_ctx *ctx, const json_t *json, const whet_i_family **out) {
    whet_str text;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_json_str(ctx, "config.json", json, "model_type", &text));
    *out = whet_i_family_find(text);
    if (*out) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "config.json: \"model_type\" is %s; expected %s",
                       whet_i_quote(quoted, text), whet_i_family_known());
}

static whet_status get_epsilon(whet_ctx *ctx, const json_t *json, const char *key, float *out) {
    double epsilon = 1e-12;
    if (!key) {
        *out = (float)epsilon;
        return WHET_OK;
    }
    WHET_TRY(whet_i_json_real_or(ctx, "config.json", json, key, 1e-12, &epsilon));
    if (!(epsilon >= 0 && epsilon <= 1))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "config.json: \"%s\" is %g; expected 0 to 1", key,
                           epsilon);
    *out = (float)epsilon;
    return WHET_OK;
}

/* A probability; `fallback` when absent or null. */
static whet_status get_dropout(whet_ctx *ctx, const json_t *json, const char *key, double fallback,
                               double *out) {
    *out = fallback;
    if (json_is_null(json_object_get(json, key))) return WHET_OK;
    WHET_TRY(whet_i_json_real_or(ctx, "config.json", json, key, fallback, out));
    if (*out >= 0 && *out < 1) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "config.json: \"%s\" is %g; expected 0 to below 1",
                       key, *out);
}

static whet_status get_dropouts(whet_ctx *ctx, const json_t *json, whet_i_encoder_config *c) {
    const whet_i_family *f = c->family;
    const bool distilled = strcmp(f->head_dropout, "seq_classif_dropout") == 0;
    WHET_TRY(get_dropout(ctx, json, f->hidden_dropout, 0.1, &c->hidden_dropout));
    WHET_TRY(get_dropout(ctx, json, f->attention_dropout, 0.1, &c->attention_dropout));
    return get_dropout(ctx, json, f->head_dropout, distilled ? 0.2 : c->hidden_dropout,
                       &c->head_dropout);
}

/* The first position is that behind the padding token's; the files of a family agree on it. */
static whet_status check_padding(whet_ctx *ctx, const json_t *json, const whet_i_family *f) {
    int64_t padding;
    if (f->position_offset == 0) return WHET_OK;
    WHET_TRY(whet_i_json_int_or(ctx, "config.json", json, "pad_token_id", 0, INT32_MAX,
                                f->position_offset - 1, &padding));
    if (padding == f->position_offset - 1) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "config.json: \"pad_token_id\" is %lld; expected %lld, from which positions "
                       "are counted",
                       (long long)padding, (long long)f->position_offset - 1);
}

static whet_status parse_model(whet_ctx *ctx, const json_t *json, whet_i_encoder_config *c) {
    const char *name = "config.json";
    whet_str position;
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(need_object(ctx, name, json));
    WHET_TRY(get_family(ctx, json, &c->family));
    const whet_i_family *f = c->family;
    WHET_TRY(whet_i_json_int(ctx, name, json, f->hidden, 1, SIZE_MAX_ANY, &c->hidden));
    WHET_TRY(whet_i_json_int(ctx, name, json, f->layers, 1, LAYERS_MAX, &c->layers));
    WHET_TRY(whet_i_json_int(ctx, name, json, f->heads, 1, SIZE_MAX_ANY, &c->heads));
    WHET_TRY(whet_i_json_int(ctx, name, json, f->inner, 1, SIZE_MAX_ANY, &c->inner));
    WHET_TRY(whet_i_json_int(ctx, name, json, "vocab_size", 1, INT32_MAX, &c->vocab));
    WHET_TRY(whet_i_json_int(ctx, name, json, "max_position_embeddings", 1, SIZE_MAX_ANY,
                             &c->positions));
    if (f->type)
        WHET_TRY(whet_i_json_int(ctx, name, json, "type_vocab_size", 1, SIZE_MAX_ANY, &c->types));
    WHET_TRY(get_activation(ctx, json, f->activation, &c->act));
    WHET_TRY(get_epsilon(ctx, json, f->epsilon, &c->epsilon));
    WHET_TRY(get_dropouts(ctx, json, c));
    WHET_TRY(check_padding(ctx, json, f));
    WHET_TRY(get_text(ctx, name, json, "position_embedding_type", "absolute", &position));
    if (!is(position, "absolute"))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "config.json: \"position_embedding_type\" is %s; expected \"absolute\"",
                           whet_i_quote(quoted, position));
    if (json_is_true(json_object_get(json, "is_decoder")))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "config.json: \"is_decoder\" is true; expected an encoder");
    if (c->hidden % c->heads != 0)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "config.json: \"%s\" is %lld and \"%s\" is %lld; expected a multiple",
                           f->hidden, (long long)c->hidden, f->heads, (long long)c->heads);
    if (c->positions <= f->position_offset)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "config.json: \"max_position_embeddings\" is %lld; expected over %lld",
                           (long long)c->positions, (long long)f->position_offset);
    c->max_length = c->positions - f->position_offset;
    return WHET_OK;
}

/* ---- the sentence-transformers files ---------------------------------------------------------- */

/* The class at the end of "sentence_transformers.models.Pooling", or of wherever the release keeps it. */
static bool is_module(whet_str type, const char *class) {
    static const char package[] = "sentence_transformers.";
    const int64_t n = (int64_t)strlen(class), begin = (int64_t)sizeof package - 1;
    return type.len > n + begin - 1 && memcmp(type.ptr, package, (size_t)begin) == 0 &&
           type.ptr[type.len - n - 1] == '.' &&
           memcmp(type.ptr + type.len - n, class, (size_t)n) == 0;
}

/* Which steps follow the transformer: one that is not known here would change the embedding. */
static whet_status parse_modules(whet_ctx *ctx, const json_t *json, bool pooling_given) {
    static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
    static const char *const place[] = {"", "1_Pooling", NULL};
    if (!json_is_array(json))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "modules.json: the document is %s; expected an array",
                           whet_i_json_kind(json));
    for (size_t i = 0; i < json_array_size(json); i++) {
        whet_str type;
        char quoted[WHET_QUOTE_SIZE];
        WHET_TRY(whet_i_json_str(ctx, "modules.json", json_array_get(json, i), "type", &type));
        int64_t found = 0;
        while (found < WHET_COUNT_OF(known) && !is_module(type, known[found])) found++;
        if (found == WHET_COUNT_OF(known))
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "modules.json: module %zu is %s; expected Transformer, Pooling and "
                               "Normalize only",
                               i, whet_i_quote(quoted, type));
        whet_str path;
        WHET_TRY(get_text(ctx, "modules.json", json_array_get(json, i), "path",
                          place[found] ? place[found] : "", &path));
        if (place[found] && !(found == 1 && pooling_given) && !is(path, place[found]))
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "modules.json: module %zu is in %s; expected \"%s\"", i,
                               whet_i_quote(quoted, path), place[found]);
    }
    return WHET_OK;
}

/* "pooling_mode": one name, or a list of one. */
static whet_status parse_pooling_name(whet_ctx *ctx, const char *name, const json_t *value,
                                      whet_pooling *out) {
    char quoted[WHET_QUOTE_SIZE];
    const json_t *one =
        json_is_array(value) && json_array_size(value) == 1 ? json_array_get(value, 0) : value;
    const whet_str text = {json_string_value(one), (int64_t)json_string_length(one)};
    if (json_is_string(one) && (is(text, "mean") || is(text, "cls"))) {
        *out = is(text, "cls") ? WHET_POOL_CLS : WHET_POOL_MEAN;
        return WHET_OK;
    }
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: \"pooling_mode\" is %s; expected mean or cls; try naming one", name,
                       json_is_string(one) ? whet_i_quote(quoted, text) : whet_i_json_kind(value));
}

static whet_status parse_pooling(whet_ctx *ctx, json_t *json, whet_pooling *out) {
    static const char name[] = "1_Pooling/config.json", mode[] = "pooling_mode_";
    WHET_TRY(need_object(ctx, name, json));
    int chosen = 0;
    const char *key;
    json_t *value = json_object_get(json, "pooling_mode");
    if (value && !json_is_null(value)) return parse_pooling_name(ctx, name, value, out);
    json_object_foreach(json, key, value) {
        if (strncmp(key, mode, sizeof mode - 1) != 0 || !json_is_true(value)) continue;
        char quoted[WHET_QUOTE_SIZE];
        chosen++;
        if (strcmp(key, "pooling_mode_mean_tokens") == 0)
            *out = WHET_POOL_MEAN;
        else if (strcmp(key, "pooling_mode_cls_token") == 0)
            *out = WHET_POOL_CLS;
        else
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: %s is true; expected mean or cls pooling; try naming one", name,
                               whet_i_quote(quoted, whet_str_from(key)));
    }
    if (chosen != 1)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: %d pooling modes are true; expected one; try naming mean or cls",
                           name, chosen);
    return WHET_OK;
}

/* Tokens a text: as sentence_bert_config.json says, else the tokenizer's configuration, of which 1e30 is no
 * limit; never above the model's positions. */
static whet_status parse_limit(whet_ctx *ctx, const whet_i_encoder_docs *docs,
                               whet_i_encoder_config *c) {
    const char *name = "sentence_bert_config.json", *key = "max_seq_length";
    const json_t *tokens = docs->tokens;
    const double length = json_number_value(json_object_get(tokens, "model_max_length"));
    int64_t limit = length >= 1 && length < (double)c->max_length ? (int64_t)length : c->max_length;
    if (docs->limit) {
        WHET_TRY(need_object(ctx, name, docs->limit));
        WHET_TRY(whet_i_json_int_or(ctx, name, docs->limit, key, 1, INT32_MAX, limit, &limit));
        c->lowered = json_is_true(json_object_get(docs->limit, "do_lower_case"));
    }
    if (limit < c->max_length) c->max_length = limit;
    return WHET_OK;
}

/* What sentence-transformers does to texts and embeddings by itself. */
static whet_status parse_prompts(whet_ctx *ctx, const json_t *json) {
    static const char name[] = "config_sentence_transformers.json";
    char quoted[WHET_QUOTE_SIZE];
    whet_str chosen;
    WHET_TRY(need_object(ctx, name, json));
    WHET_TRY(get_text(ctx, name, json, "default_prompt_name", "", &chosen));
    const json_t *prompt =
        chosen.len ? json_object_get(json_object_get(json, "prompts"), chosen.ptr) : NULL;
    if (json_string_length(prompt) > 0)
        return whet_i_fail(
            ctx, WHET_ERR_UNSUPPORTED,
            "%s: \"default_prompt_name\" is %s, a prompt before every text; expected "
            "null; try texts with the prompt before them",
            name, whet_i_quote(quoted, chosen));
    const json_t *cut = json_object_get(json, "truncate_dim");
    if (!cut || json_is_null(cut)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: \"truncate_dim\" is set, of which embeddings are cut; expected null",
                       name);
}

/* ---- all together ----------------------------------------------------------------------------- */

static whet_status apply_options(whet_ctx *ctx, const whet_encoder_opts *opts,
                                 whet_i_encoder_config *c) {
    const int64_t most = c->positions - c->family->position_offset;
    if (opts->max_length < 0 || opts->max_length > most)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "max_length is %lld; expected 0 to %lld, the model's positions",
                           (long long)opts->max_length, (long long)most);
    if (opts->max_length) c->max_length = opts->max_length;
    c->normalize = !opts->no_normalize;
    return WHET_OK;
}

whet_status whet_i_encoder_config_parse(whet_ctx *ctx, const whet_i_encoder_docs *docs,
                                        const whet_encoder_opts *opts, whet_i_encoder_config *out) {
    whet_i_encoder_config c = {.pooling = WHET_POOL_MEAN};
    WHET_TRY(parse_model(ctx, docs->model, &c));
    if (docs->modules) WHET_TRY(parse_modules(ctx, docs->modules, opts->pooling_given));
    if (opts->pooling_given)
        c.pooling = opts->pooling;
    else if (docs->pooling)
        WHET_TRY(parse_pooling(ctx, docs->pooling, &c.pooling));
    WHET_TRY(parse_limit(ctx, docs, &c));
    if (docs->prompts) WHET_TRY(parse_prompts(ctx, docs->prompts));
    WHET_TRY(apply_options(ctx, opts, &c));
    *out = c;
    return WHET_OK;
}

static whet_status read_folder(whet_ctx *ctx, const char *dir, const whet_encoder_opts *opts,
                               whet_i_encoder_docs *docs) {
    WHET_TRY(read_json(ctx, dir, "config.json", false, &docs->model));
    WHET_TRY(read_json(ctx, dir, "modules.json", true, &docs->modules));
    /* A mode that is named overrides this file, whatever it holds. */
    if (!opts->pooling_given)
        WHET_TRY(read_json(ctx, dir, "1_Pooling/config.json", true, &docs->pooling));
    WHET_TRY(read_json(ctx, dir, "config_sentence_transformers.json", true, &docs->prompts));
    WHET_TRY(read_json(ctx, dir, "tokenizer_config.json", true, &docs->tokens));
    return read_json(ctx, dir, "sentence_bert_config.json", true, &docs->limit);
}

void whet_i_encoder_docs_free(whet_i_encoder_docs *docs) {
    json_decref(docs->model);
    json_decref(docs->modules);
    json_decref(docs->pooling);
    json_decref(docs->limit);
    json_decref(docs->prompts);
    json_decref(docs->tokens);
    *docs = (whet_i_encoder_docs){0};
}

whet_status whet_i_encoder_config_read(whet_ctx *ctx, const char *dir,
                                       const whet_encoder_opts *opts, whet_i_encoder_config *out) {
    whet_i_encoder_docs docs = {0};
    whet_status status = read_folder(ctx, dir, opts, &docs);
    if (status == WHET_OK) status = whet_i_encoder_config_parse(ctx, &docs, opts, out);
    whet_i_encoder_docs_free(&docs);
    return status;
}
