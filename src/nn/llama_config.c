/* SPDX-License-Identifier: Apache-2.0
 * config.json of Llama-like models, as transformers 4 and 5 write it. */
#include <errno.h>
#include <math.h>

#include "io/io_i.h"
#include "nn/llama_i.h"
#include "nn/nn_i.h"

enum { JSON_BYTES_MAX = 1 << 26 };

static const char where[] = "config.json";

static const whet_i_llama_family families[] = {
    {"llama", "LlamaForSequenceClassification", false, true, 0, 2048, INT32_MAX},
    {"mistral", "MistralForSequenceClassification", false, false, 8, 4096 * 32, 4096},
    {"qwen2", "Qwen2ForSequenceClassification", true, false, 32, 32768, 4096}};

const whet_i_llama_family *whet_i_llama_family_find(whet_str model_type) {
    for (int64_t i = 0; i < WHET_COUNT_OF(families); i++)
        if (whet_str_equal(model_type, whet_str_from(families[i].model_type))) return &families[i];
    return NULL;
}

const char *whet_i_llama_family_known(void) { return "\"llama\", \"mistral\" or \"qwen2\""; }

static whet_status refuse(whet_ctx *ctx, const char *key, whet_str found, const char *expected) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: \"%s\" is %s; expected %s", where, key,
                       whet_i_quote(quoted, found), expected);
}

static whet_status read_family(whet_ctx *ctx, const json_t *json, whet_i_llama_config *c) {
    whet_str text;
    WHET_TRY(whet_i_json_str(ctx, where, json, "model_type", &text));
    c->family = whet_i_llama_family_find(text);
    if (c->family) return WHET_OK;
    return refuse(ctx, "model_type", text, whet_i_llama_family_known());
}

static whet_status read_sizes(whet_ctx *ctx, const json_t *json, whet_i_llama_config *c) {
    enum { MOST = 1 << 24, LAYERS = 4096 };
    WHET_TRY(whet_i_json_int(ctx, where, json, "hidden_size", 1, MOST, &c->hidden));
    WHET_TRY(whet_i_json_int(ctx, where, json, "num_hidden_layers", 1, LAYERS, &c->layers));
    WHET_TRY(whet_i_json_int(ctx, where, json, "num_attention_heads", 1, MOST, &c->heads));
    const int64_t groups = c->family->groups;
    const bool silent = groups > 0 && !json_object_get(json, "num_key_value_heads");
    WHET_TRY(whet_i_json_int_or(ctx, where, json, "num_key_value_heads", 1, MOST,
                                silent ? groups : c->heads, &c->groups));
    WHET_TRY(whet_i_json_int_or(ctx, where, json, "head_dim", 1, 2 * WHET_I_ROPE_MAX,
                                c->hidden / c->heads, &c->d));
    WHET_TRY(whet_i_json_int(ctx, where, json, "intermediate_size", 1, MOST, &c->inner));
    WHET_TRY(whet_i_json_int(ctx, where, json, "vocab_size", 1, INT32_MAX, &c->vocab));
    WHET_TRY(whet_i_json_int_or(ctx, where, json, "max_position_embeddings", 1, INT32_MAX,
                                c->family->positions, &c->positions));
    if (c->d % 2 != 0 || c->d > 2 * WHET_I_ROPE_MAX || c->d < 2)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: heads of %lld numbers; expected an even number, at most %d", where,
                           (long long)c->d, 2 * WHET_I_ROPE_MAX);
    if (c->heads % c->groups != 0)
        return whet_i_fail(
            ctx, WHET_ERR_FORMAT,
            "%s: \"num_attention_heads\" is %lld and \"num_key_value_heads\" is %lld; "
            "expected a multiple",
            where, (long long)c->heads, (long long)c->groups);
    return WHET_OK;
}

static whet_status read_switches(whet_ctx *ctx, const json_t *json, whet_i_llama_config *c) {
    whet_str act;
    int64_t window;
    WHET_TRY(whet_i_json_str_or_none(ctx, where, json, "hidden_act", &act));
    c->act = WHET_I_ACT_SILU;
    if (act.ptr && whet_str_equal(act, whet_str_from("gelu_pytorch_tanh")))
        c->act = WHET_I_ACT_GELU_TANH;
    else if (act.ptr && !whet_str_equal(act, whet_str_from("silu")) &&
             !whet_str_equal(act, whet_str_from("swish")))
        return refuse(ctx, "hidden_act", act, "\"silu\" or \"gelu_pytorch_tanh\"");
    WHET_TRY(whet_i_json_real_or(ctx, where, json, "rms_norm_eps", 1e-6, &c->epsilon));
    if (!(c->epsilon >= 0 && c->epsilon <= 1))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"rms_norm_eps\" is %g; expected 0 to 1",
                           where, c->epsilon);
    WHET_TRY(whet_i_json_real_or(ctx, where, json, "attention_dropout", 0, &c->attention_dropout));
    if (!(c->attention_dropout >= 0 && c->attention_dropout < 1))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"attention_dropout\" is %g; expected 0 to below 1", where,
                           c->attention_dropout);
    if (c->family->may_have_bias) {
        WHET_TRY(
            whet_i_json_bool_or(ctx, where, json, "attention_bias", false, &c->attention_bias));
        WHET_TRY(whet_i_json_bool_or(ctx, where, json, "mlp_bias", false, &c->mlp_bias));
    }
    WHET_TRY(whet_i_json_bool_or(ctx, where, json, "tie_word_embeddings", false, &c->tied));
    c->untied = json_is_false(json_object_get(json, "tie_word_embeddings"));
    /* A window that no text can leave is none; Qwen2 uses its own where it is told to. */
    const char *type = json_string_value(json_object_get(json, "model_type"));
    const bool qwen = type && strcmp(type, "qwen2") == 0;
    const bool used = !qwen || json_is_true(json_object_get(json, "use_sliding_window"));
    const bool said = json_object_get(json, "sliding_window") != NULL;
    WHET_TRY(whet_i_json_int_or(ctx, where, json, "sliding_window", 1, INT32_MAX,
                                said ? INT32_MAX : c->family->window, &window));
    if (window < c->positions && used)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"sliding_window\" is %s%lld; expected null, or at least %lld",
                           where, said ? "" : "missing, which means ", (long long)window,
                           (long long)c->positions);
    return WHET_OK;
}

/* ---- special tokens --------------------------------------------------------------------------- */

/* None, an id, or several (Llama 3's dialogues end in another token than its texts). -1 is no token. */
static whet_status read_tokens(whet_ctx *ctx, const char *file, const json_t *json, const char *key,
                               int64_t vocab, int32_t ids[WHET_I_ENDS_MAX], int32_t *n) {
    const json_t *value = json_object_get(json, key);
    const bool several = json_is_array(value);
    const size_t count = several ? json_array_size(value) : value && !json_is_null(value);
    *n = 0;
    if (count > WHET_I_ENDS_MAX)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"%s\" is %zu tokens; expected at most %d", file, key, count,
                           WHET_I_ENDS_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = several ? json_array_get(value, i) : value;
        const int64_t id = json_is_integer(item) ? (int64_t)json_integer_value(item) : -2;
        if (id < -1 || id >= vocab)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is no token; expected 0 to %lld",
                               file, key, (long long)vocab - 1);
        if (id >= 0) ids[(*n)++] = (int32_t)id;
    }
    return WHET_OK;
}

static whet_status read_special(whet_ctx *ctx, const json_t *json, whet_i_llama_config *c) {
    int32_t ids[WHET_I_ENDS_MAX], n;
    WHET_TRY(read_tokens(ctx, where, json, "bos_token_id", c->vocab, ids, &n));
    c->begin = n > 0 ? ids[0] : -1;
    return read_tokens(ctx, where, json, "eos_token_id", c->vocab, c->ends, &c->n_ends);
}

whet_status whet_i_llama_ends_parse(whet_ctx *ctx, const json_t *json,
                                    whet_i_llama_config *config) {
    static const char file[] = "generation_config.json";
    int32_t ids[WHET_I_ENDS_MAX], n;
    if (!json_is_object(json))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object", file,
                           whet_i_json_kind(json));
    WHET_TRY(read_tokens(ctx, file, json, "eos_token_id", config->vocab, ids, &n));
    if (n == 0) return WHET_OK;
    memcpy(config->ends, ids, (size_t)n * sizeof *ids);
    config->n_ends = n;
    return WHET_OK;
}

/* ---- rotary embeddings ------------------------------------------------------------------------ */

/* Within bounds between which frequencies stay finite and above 0, whatever they are made of. */
static whet_status positive(whet_ctx *ctx, const json_t *json, const char *key, double *out) {
    WHET_TRY(whet_i_json_real(ctx, where, json, key, out));
    if (*out >= 1e-18 && *out <= 1e18) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %g; expected 1e-18 to 1e18", where, key,
                       *out);
}

/* Heads that turn in part only are other models'. */
static whet_status whole_heads(whet_ctx *ctx, const json_t *json) {
    double share;
    WHET_TRY(whet_i_json_real_or(ctx, where, json, "partial_rotary_factor", 1, &share));
    if (share == 1) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: \"partial_rotary_factor\" is %g; expected none, or 1", where, share);
}

/* Llama 3.1: long waves are stretched by `factor`, short ones are left, between is blended. */
static whet_status scale_llama3(whet_ctx *ctx, const json_t *rope, whet_i_llama_config *c) {
    double factor, low, high, old;
    WHET_TRY(positive(ctx, rope, "factor", &factor));
    WHET_TRY(positive(ctx, rope, "low_freq_factor", &low));
    WHET_TRY(positive(ctx, rope, "high_freq_factor", &high));
    WHET_TRY(positive(ctx, rope, "original_max_position_embeddings", &old));
    for (int64_t i = 0; i < c->d / 2; i++) {
        const double wave = 2 * 3.14159265358979323846 / c->frequency[i];
        const double smooth = high > low ? (old / wave - low) / (high - low) : 0;
        if (wave > old / low)
            c->frequency[i] /= factor;
        else if (wave >= old / high)
            c->frequency[i] *= (1 - smooth) / factor + smooth;
    }
    return WHET_OK;
}

static whet_status read_rope(whet_ctx *ctx, const json_t *json, whet_i_llama_config *c) {
    const json_t *rope = json_object_get(json, "rope_parameters"); /* transformers 5 */
    double theta = 10000, factor;
    whet_str type = {0};
    const json_t *scaling = json_object_get(json, "rope_scaling");
    if (json_is_object(rope) && json_is_object(scaling) && !json_equal(rope, scaling))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"rope_parameters\" and \"rope_scaling\", which say other things; "
                           "expected one of them",
                           where);
    if (!json_is_object(rope)) rope = scaling;
    const json_t *both[] = {json_object_get(json, "rope_theta"),
                            json_object_get(rope, "rope_theta")};
    if (json_is_number(both[0]) && json_is_number(both[1]) &&
        json_number_value(both[0]) != json_number_value(both[1]))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"rope_theta\" is %g, and %g in \"rope_parameters\"; expected one "
                           "number",
                           where, json_number_value(both[0]), json_number_value(both[1]));
    /* A null beside a number says nothing; alone transformers cannot compute with it. */
    const json_t *from = both[0] && (!json_is_null(both[0]) || !both[1]) ? json : rope;
    if (json_is_object(from) && json_object_get(from, "rope_theta"))
        WHET_TRY(positive(ctx, from, "rope_theta", &theta));
    for (int64_t i = 0; i < c->d / 2; i++)
        c->frequency[i] = pow(theta, -2 * (double)i / (double)c->d);
    WHET_TRY(whole_heads(ctx, json));
    if (!json_is_object(rope)) return WHET_OK;
    WHET_TRY(whole_heads(ctx, rope));
    WHET_TRY(whet_i_json_str_or_none(ctx, where, rope, "rope_type", &type));
    if (!type.ptr) WHET_TRY(whet_i_json_str_or_none(ctx, where, rope, "type", &type));
    if (!type.ptr || whet_str_equal(type, whet_str_from("default"))) return WHET_OK;
    if (whet_str_equal(type, whet_str_from("llama3"))) return scale_llama3(ctx, rope, c);
    if (!whet_str_equal(type, whet_str_from("linear")))
        return refuse(ctx, "rope_type", type, "\"default\", \"linear\" or \"llama3\"");
    WHET_TRY(positive(ctx, rope, "factor", &factor));
    for (int64_t i = 0; i < c->d / 2; i++) c->frequency[i] /= factor;
    return WHET_OK;
}

whet_status whet_i_llama_config_parse(whet_ctx *ctx, const json_t *json, whet_i_llama_config *out) {
    whet_i_llama_config c = {0};
    if (!json_is_object(json))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the document is %s; expected an object",
                           where, whet_i_json_kind(json));
    WHET_TRY(read_family(ctx, json, &c));
    WHET_TRY(read_sizes(ctx, json, &c));
    WHET_TRY(read_switches(ctx, json, &c));
    WHET_TRY(read_special(ctx, json, &c));
    WHET_TRY(read_rope(ctx, json, &c));
    *out = c;
    return WHET_OK;
}

/* ---- the folder ------------------------------------------------------------------------------- */

static whet_status read_json(whet_ctx *ctx, const char *dir, const char *name, json_t **out) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir, name, &path));
    const whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, out);
    whet_i_free(ctx, path);
    return status;
}

static whet_status read_ends(whet_ctx *ctx, const char *dir, whet_i_llama_config *config) {
    json_t *json = NULL;
    whet_status status = read_json(ctx, dir, "generation_config.json", &json);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT) return WHET_OK;
    if (status == WHET_OK) status = whet_i_llama_ends_parse(ctx, json, config);
    json_decref(json);
    return status;
}

whet_status whet_i_llama_config_read(whet_ctx *ctx, const char *dir, whet_i_llama_config *out) {
    whet_i_llama_config config;
    json_t *json = NULL;
    whet_status status = read_json(ctx, dir, "config.json", &json);
    if (status == WHET_OK) status = whet_i_llama_config_parse(ctx, json, &config);
    if (status == WHET_OK) status = read_ends(ctx, dir, &config);
    json_decref(json);
    if (status == WHET_OK) *out = config;
    return status;
}
