/* SPDX-License-Identifier: Apache-2.0
 * adapter_config.json as PEFT 0.21 writes it: which members there are, and what LoRA's factors are multiplied
 * by. The names are those of LoraConfig and GraloraConfig of 0.21.2. */
#include <inttypes.h>
#include <math.h>

#include "io/io_i.h"

enum { NAMES_ROOM = 400 };
static const double alpha_max = 1e30;

/* ---- members that are not known here, or refused ----------------------------------------------- */

/* Read, or without a bearing on what a trained adapter computes. "whet_" names are this library's. */
static const char *const known[] = {
    "peft_type", "r", "target_modules", "exclude_modules", "modules_to_save", "layers_to_transform",
    "layers_pattern", "rank_pattern", "alpha_pattern", "bias", "fan_in_fan_out", "lora_alpha",
    "lora_dropout", "use_rslora", "use_dora", "nblocks", "nblocks_pattern", "more_dropout", "alpha",
    "gralora_k", "gralora_dropout", "hybrid_r", "init_weights", "init_lora_weights", "auto_mapping",
    "base_model_name_or_path", "inference_mode", "revision", "task_type", "peft_version",
    "ensure_weight_tying", "loftq_config", "eva_config", "megatron_core", "qalora_group_size",
    "runtime_config", "corda_config", "lora_ga_config", "id2label", "label2id", "problem_type",
    /* refused below where they say something */
    "alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "lora_bias",
    "megatron_config", "monteclora_config", "target_parameters", "trainable_token_indices",
    "use_bdlora", "use_qalora", "velora_config"};

/* What they do, where they are not null, false or empty. */
static const struct {
    const char *name, *does;
} refused[] = {
    {"lora_bias", "a bias of its own behind each adapter"},
    {"alora_invocation_tokens", "adapters that begin at certain tokens"},
    {"arrow_config", "routing between adapters"},
    {"kasa_config", "singular values between the factors"},
    {"layer_replication", "layers that are there several times"},
    {"megatron_config", "layers that are cut into parts"},
    {"monteclora_config", "factors that are drawn"},
    {"target_parameters", "adapters of parameters that are no layer's"},
    {"trainable_token_indices", "word vectors of their own"},
    {"use_bdlora", "block-diagonal factors"},
    {"use_qalora", "inputs that are pooled"},
    {"velora_config", "inputs that are compressed"},
};

bool whet_i_peft_says(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value) || json_is_false(value)) return false;
    if (json_is_array(value)) return json_array_size(value) > 0;
    return !json_is_object(value) || json_object_size(value) > 0;
}

static whet_status refuse(whet_ctx *ctx, const char *where, const json_t *object) {
    for (int64_t i = 0; i < WHET_COUNT_OF(refused); i++)
        if (whet_i_peft_says(object, refused[i].name))
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: \"%s\" is set: %s, which is not known here; expected it to be "
                               "null or false",
                               where, refused[i].name, refused[i].does);
    return WHET_OK;
}

whet_status whet_i_peft_check_upright(whet_ctx *ctx, const char *where, const json_t *object) {
    if (!whet_i_peft_says(object, "fan_in_fan_out")) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED,
        "%s: \"fan_in_fan_out\" is set: weights stored the other way round, which is "
        "not known here; expected it to be null or false",
        where);
}

/* Those ways to begin change the weights of the base too, and the adapters are for what they became. */
static whet_status check_start(whet_ctx *ctx, const char *where, const json_t *object) {
    static const char *const changing[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};
    const json_t *value = json_object_get(object, "init_lora_weights");
    const char *text = json_string_value(value);
    for (int64_t i = 0; text && i < WHET_COUNT_OF(changing); i++)
        if (strncmp(text, changing[i], strlen(changing[i])) == 0)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: \"init_lora_weights\" is \"%s\": the adapters are for a base "
                               "whose weights it changed; expected adapters for the original "
                               "weights; try PEFT's save_pretrained with "
                               "path_initial_model_for_weight_conversion",
                               where, changing[i]);
    return WHET_OK;
}

static bool is_known(const char *name) {
    if (strncmp(name, "whet_", 5) == 0) return true;
    for (int64_t i = 0; i < WHET_COUNT_OF(known); i++)
        if (strcmp(name, known[i]) == 0) return true;
    return false;
}

static void warn_of_unknown(whet_ctx *ctx, const char *where, json_t *object) {
    char names[NAMES_ROOM] = "", quoted[WHET_QUOTE_SIZE];
    const char *key;
    json_t *value;
    size_t used = 0;
    json_object_foreach(object, key, value) {
        if (is_known(key)) continue;
        (void)whet_i_quote(quoted, whet_str_from(key));
        const size_t length = strlen(quoted);
        if (used + length + 2 >= sizeof names) break;
        if (used) names[used++] = ' ';
        memcpy(names + used, quoted, length + 1);
        used += length;
    }
    if (used)
        whet_i_log(ctx, WHET_LOG_WARN, "%s: %s is not known here, and is passed by", where, names);
}

whet_status whet_i_peft_check(whet_ctx *ctx, const char *where, json_t *object) {
    WHET_TRY(refuse(ctx, where, object));
    WHET_TRY(check_start(ctx, where, object));
    warn_of_unknown(ctx, where, object);
    return WHET_OK;
}

/* ---- the scale of LoRA ------------------------------------------------------------------------- */

whet_status whet_i_peft_alpha(whet_ctx *ctx, const char *where, const json_t *object,
                              const char *key, double preset, double *out) {
    WHET_TRY(whet_i_json_real_or(ctx, where, object, key, preset, out));
    if (fabs(*out) <= alpha_max) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %g; expected -1e30 to 1e30", where, key,
                       *out);
}

/* Whether a pattern for the ends of names is the module's. */
static whet_status fits(whet_ctx *ctx, const char *where, const char *pattern, whet_str module,
                        bool *out) {
    enum { STEPS = 1000000 };
    whet_i_pattern *compiled = NULL;
    whet_i_pattern_state *state = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(
        whet_i_pattern_compile_python(ctx, where, whet_str_from(pattern), true, &compiled));
    WHET_TRY_DONE(whet_i_pattern_state_create(ctx, STEPS, &state));
    *out = whet_i_pattern_find(compiled, state, module) == 1;
done:
    whet_i_pattern_state_free(ctx, state);
    whet_i_pattern_free(ctx, compiled);
    return status;
}

/* What a member of patterns says of a module, the first that fits; *out stays where none does. */
static whet_status first_fit(whet_ctx *ctx, const char *where, const json_t *object,
                             const char *key, whet_str module, double *out) {
    json_t *patterns, *value;
    const char *pattern;
    bool found = false;
    WHET_TRY(whet_i_json_object_or_none(ctx, where, object, key, &patterns));
    json_object_foreach(patterns, pattern, value) {
        const double number = json_number_value(value);
        if (json_is_number(value) && !(number > 0 && number <= alpha_max))
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" has %g; expected numbers above 0",
                               where, key, number);
        if (!json_is_number(value))
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" has %s; expected numbers above 0",
                               where, key, whet_i_json_kind(value));
        if (found) continue;
        WHET_TRY(fits(ctx, where, pattern, module, &found));
        if (found) *out = number;
    }
    return WHET_OK;
}

/* Factors of another rank than is said would have another scale, and are no adapter to PEFT. */
static whet_status check_rank(whet_ctx *ctx, const char *where, const json_t *object,
                              whet_str module, int64_t rank) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t r;
    WHET_TRY(whet_i_json_int_or(ctx, where, object, "r", 1, 1 << 20, 8, &r));
    double said = (double)r;
    WHET_TRY(first_fit(ctx, where, object, "rank_pattern", module, &said));
    if (said == (double)rank) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s: lora_A of %s has %" PRId64
                       " rows; expected the %g that \"r\" and \"rank_pattern\" say",
                       where, whet_i_quote(quoted, module), rank, said);
}

whet_status whet_i_peft_lora_scale(whet_ctx *ctx, const char *where, const json_t *object,
                                   whet_str module, int64_t rank, double *out) {
    double alpha;
    bool root;
    WHET_TRY(check_rank(ctx, where, object, module, rank));
    WHET_TRY(whet_i_json_bool_or(ctx, where, object, "use_rslora", false, &root));
    WHET_TRY(whet_i_peft_alpha(ctx, where, object, "lora_alpha", 8, &alpha));
    WHET_TRY(first_fit(ctx, where, object, "alpha_pattern", module, &alpha));
    *out = alpha / (root ? sqrt((double)rank) : (double)rank);
    return WHET_OK;
}
