/* SPDX-License-Identifier: Apache-2.0
 * What stands beside the weights of a merged folder: the index of several files, config.json with what the
 * merge changed, and the tokenizer's and other small files as the base or first model has them. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "merge/merge_plan.h"

enum { SMALL_FILE_MAX = 1 << 28 };

static whet_status write_json(whet_ctx *ctx, const json_t *json, const char *folder,
                              const char *name) {
    char *path = NULL;
    whet_i_buf text = {0};
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, folder, name, &path));
    WHET_TRY_DONE(whet_i_json_dump(ctx, json, JSON_INDENT(2) | JSON_REAL_PRECISION(17), &text));
    WHET_TRY_DONE(whet_out_open(ctx, path, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
    WHET_TRY_DONE(whet_out_write(ctx, out, "\n", 1));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_buf_free(ctx, &text);
    whet_i_free(ctx, path);
    return status;
}

static whet_status write_index(whet_ctx *ctx, const whet_merge_plan *plan, const char *folder) {
    int64_t bytes = 0;
    json_t *map = json_object();
    bool made = map != NULL;
    for (int64_t i = 0; i < plan->n; i++) {
        const whet_i_merge_item *item = &plan->items[i];
        bytes += item->bytes;
        made = made && json_object_set_new(map, item->name,
                                           json_string(plan->shards[item->shard].name)) == 0;
    }
    json_t *index =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    whet_status status = WHET_OK;
    if (made)
        status = write_json(ctx, index, folder, "model.safetensors.index.json");
    else
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: model.safetensors.index.json");
    json_decref(index);
    return status;
}

/* ---- config.json ------------------------------------------------------------------------------ */

/* The type of most numbers, as transformers calls it; NULL when it is none of its. */
static const char *dtype_text(const whet_merge_plan *plan) {
    int64_t numbers[WHET_BOOL + 1] = {0};
    int best = WHET_F32;
    for (int64_t i = 0; i < plan->n; i++)
        if (!plan->items[i].copied) numbers[plan->items[i].dtype] += plan->items[i].count;
    for (int d = 0; d <= WHET_BOOL; d++)
        if (numbers[d] > numbers[best]) best = d;
    return best == WHET_F64    ? "float64"
           : best == WHET_F16  ? "float16"
           : best == WHET_BF16 ? "bfloat16"
                               : "float32";
}

static int change_layers(json_t *config, int64_t layers) {
    static const char *const names[] = {"num_hidden_layers", "n_layer", "num_layers", "n_layers"};
    int failed = 0;
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++)
        if (json_object_get(config, names[i]))
            failed |= json_object_set_new(config, names[i], json_integer(layers));
    /* What stands for each layer goes with them no more. */
    (void)json_object_del(config, "layer_types");
    return failed;
}

static whet_status write_config(whet_ctx *ctx, const whet_merge_plan *plan, const char *folder) {
    if (!plan->models[0].config) return WHET_OK;
    json_t *config = json_deep_copy(plan->models[0].config);
    int failed = !config;
    const char *key = config && json_object_get(config, "dtype") ? "dtype" : "torch_dtype";
    if (!failed) failed |= json_object_set_new(config, key, json_string(dtype_text(plan)));
    if (!failed && plan->layers >= 0) failed |= change_layers(config, plan->layers);
    if (!failed && plan->vocabulary.size)
        failed |= json_object_set_new(config, "vocab_size", json_integer(plan->vocabulary.size));
    if (!failed && plan->untied)
        failed |= json_object_set_new(config, "tie_word_embeddings", json_false());
    whet_status status = WHET_OK;
    if (failed)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: config.json");
    else
        status = write_json(ctx, config, folder, "config.json");
    json_decref(config);
    return status;
}

/* ---- other files ------------------------------------------------------------------------------ */

static whet_status copy_file(whet_ctx *ctx, const char *from, const char *to, const char *name) {
    struct stat info;
    char *source = NULL, *target = NULL, *bytes = NULL;
    int64_t len;
    whet_out *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, from, name, &source));
    if (stat(source, &info) != 0 || !S_ISREG(info.st_mode)) goto done;
    WHET_TRY_DONE(whet_i_join_path(ctx, to, name, &target));
    WHET_TRY_DONE(whet_i_file_read(ctx, source, SMALL_FILE_MAX, &bytes, &len));
    WHET_TRY_DONE(whet_out_open(ctx, target, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, bytes, len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, source);
    whet_i_free(ctx, target);
    return status;
}

/* sentence-transformers' pooling, in its own folder. */
static whet_status copy_pooling(whet_ctx *ctx, const char *from, const char *to) {
    static const char name[] = "1_Pooling/config.json";
    struct stat info;
    char *source = NULL, *folder = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, from, name, &source));
    if (stat(source, &info) != 0) goto done;
    WHET_TRY_DONE(whet_i_join_path(ctx, to, "1_Pooling", &folder));
    if (mkdir(folder, 0777) != 0) {
        status =
            whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be created: %s", folder, strerror(errno));
        goto done;
    }
    status = copy_file(ctx, from, to, name);
done:
    whet_i_free(ctx, source);
    whet_i_free(ctx, folder);
    return status;
}

/* ---- chat template ---------------------------------------------------------------------------- */

/* tokenizer_config.json with the recipe's template; "auto" is the first that a model has. */
static whet_status write_template(whet_ctx *ctx, const whet_merge_plan *plan, const char *folder) {
    static const char name[] = "tokenizer_config.json";
    const char *text = plan->recipe.chat_template;
    char *path = NULL;
    json_t *config = NULL, *other = NULL;
    whet_status status = WHET_OK;
    if (!text) return WHET_OK;
    for (int64_t i = 0; strcmp(text, "auto") == 0 && i < plan->n_models; i++) {
        WHET_TRY_DONE(whet_i_join_path(ctx, plan->models[i].path, name, &path));
        status = whet_i_json_read(ctx, path, SMALL_FILE_MAX, &other);
        whet_i_free(ctx, path);
        path = NULL;
        if (status == WHET_ERR_IO) continue;
        if (status != WHET_OK) goto done;
        const json_t *has = json_object_get(other, "chat_template");
        if (json_is_string(has)) {
            text = json_string_value(has);
            break;
        }
        json_decref(other);
        other = NULL;
    }
    status = WHET_OK;
    if (strcmp(text, "auto") == 0) {
        whet_i_log(ctx, WHET_LOG_WARN, "chat_template auto: no model has one; none is written");
        goto done;
    }
    WHET_TRY_DONE(whet_i_join_path(ctx, folder, name, &path));
    status = whet_i_json_read(ctx, path, SMALL_FILE_MAX, &config);
    if (status == WHET_ERR_IO) {
        config = json_object();
        status = WHET_OK;
    }
    if (status != WHET_OK) goto done;
    if (!config || json_object_set_new(config, "chat_template", json_string(text)) != 0)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: %s", name);
    else
        status = write_json(ctx, config, folder, name);
done:
    json_decref(config);
    json_decref(other);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_plan_write_folder(whet_ctx *ctx, const whet_merge_plan *plan,
                                     const char *folder) {
    static const char *const tokenizer[] = {"tokenizer.json",
                                            "tokenizer_config.json",
                                            "tokenizer.model",
                                            "vocab.json",
                                            "vocab.txt",
                                            "merges.txt",
                                            "special_tokens_map.json",
                                            "added_tokens.json",
                                            "chat_template.jinja",
                                            "chat_template.json"};
    static const char *const others[] = {
        "generation_config.json", "modules.json", "sentence_bert_config.json",
        "config_sentence_transformers.json", "preprocessor_config.json"};
    const whet_i_merge_model *model = &plan->models[0];
    const char *words =
        plan->recipe.tokens == WHET_I_TOKENS_PATH ? plan->recipe.tokens_path : model->path;
    if (plan->n_shards > 1) WHET_TRY(write_index(ctx, plan, folder));
    WHET_TRY(write_config(ctx, plan, folder));
    for (int64_t i = 0; i < WHET_COUNT_OF(tokenizer); i++)
        if (model->folder || plan->recipe.tokens == WHET_I_TOKENS_PATH)
            WHET_TRY(copy_file(ctx, words, folder, tokenizer[i]));
    for (int64_t i = 0; model->folder && i < WHET_COUNT_OF(others); i++)
        WHET_TRY(copy_file(ctx, model->path, folder, others[i]));
    if (model->folder) WHET_TRY(copy_pooling(ctx, model->path, folder));
    if (plan->vocabulary.tokenizer)
        WHET_TRY(write_json(ctx, plan->vocabulary.tokenizer, folder, "tokenizer.json"));
    return write_template(ctx, plan, folder);
}
