/* SPDX-License-Identifier: Apache-2.0
 * What stands beside the weights of a merged folder: the index of several files, config.json with what the
 * merge changed, the tokenizer's and other small files as the base or first model has them. */
#include <stdio.h>

#include "merge/merge_plan.h"
#include "merge/weight_shards.h"

static whet_status write_index(whet_ctx *ctx, const whet_merge_plan *plan, const char *folder) {
    whet_i_sharded *items = NULL;
    WHET_TRY(whet_i_alloc(ctx, plan->n, &items));
    for (int64_t i = 0; i < plan->n; i++)
        items[i] =
            (whet_i_sharded){plan->items[i].name, plan->items[i].bytes, plan->items[i].shard};
    const whet_status status =
        whet_i_write_weight_index(ctx, folder, items, plan->n, plan->n_shards);
    whet_i_free(ctx, items);
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

/* ---- ids of tokens ---------------------------------------------------------------------------- */

/* What an id of the first model's is in the output's vocabulary; null, and told, where that lacks its token.
 * Numbers below 0 are no tokens. */
static json_t *new_id(whet_ctx *ctx, const whet_i_merge_vocabulary *v, const char *name,
                      const char *key, const json_t *id) {
    const int64_t old = json_integer_value(id);
    if (!json_is_integer(id) || old < 0) return json_deep_copy(id);
    for (int64_t r = 0; r < v->size; r++)
        if (v->id[r] == old) return json_integer(r);
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: \"%s\" is %lld, whose token the output's tokenizer lacks: it is left out", name,
               key, (long long)old);
    return json_null();
}

static json_t *new_ids(whet_ctx *ctx, const whet_i_merge_vocabulary *v, const char *name,
                       const char *key, const json_t *ids) {
    if (!json_is_array(ids)) return new_id(ctx, v, name, key, ids);
    json_t *list = json_array();
    const json_t *old;
    size_t i;
    json_array_foreach(ids, i, old) {
        json_t *id = new_id(ctx, v, name, key, old);
        if (json_is_null(id) && !json_is_null(old))
            json_decref(id);
        else if (json_array_append_new(list, id) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    if (list && json_array_size(list) == 0 && json_array_size(ids) > 0) {
        json_decref(list);
        return json_null();
    }
    return list;
}

/* Members "..._token_id" of a configuration follow their tokens, also those of the text part of a model. */
static int change_ids(whet_ctx *ctx, const whet_i_merge_vocabulary *v, const char *name,
                      json_t *config) {
    const char *key;
    json_t *value;
    int failed = 0;
    if (!v->size) return 0;
    json_object_foreach(config, key, value) {
        if (strcmp(key, "text_config") == 0 && json_is_object(value))
            failed |= change_ids(ctx, v, name, value);
        else if (whet_i_has_extension(key, "_token_id"))
            failed |= json_object_set_new(config, key, new_ids(ctx, v, name, key, value));
    }
    return failed;
}

/* The copy of the first model's generation_config.json, where there is one. */
static whet_status change_generation(whet_ctx *ctx, const whet_merge_plan *plan,
                                     const char *folder) {
    enum { CONFIG_MAX = 1 << 24 };
    static const char name[] = "generation_config.json";
    json_t *config = NULL, *before = NULL;
    char *path;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_join_path(ctx, folder, name, &path));
    FILE *there = fopen(path, "rb");
    if (!there) goto done;
    (void)fclose(there);
    WHET_TRY_DONE(whet_i_json_read(ctx, path, CONFIG_MAX, &config));
    before = json_deep_copy(config);
    if (!before || change_ids(ctx, &plan->vocabulary, name, config) != 0)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: %s", name);
    else if (!json_equal(before, config))
        status = whet_i_write_json(ctx, config, folder, name);
done:
    json_decref(before);
    json_decref(config);
    whet_i_free(ctx, path);
    return status;
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
    if (!failed) failed |= change_ids(ctx, &plan->vocabulary, "config.json", config);
    if (!failed && plan->untied)
        failed |= json_object_set_new(config, "tie_word_embeddings", json_false());
    whet_status status = WHET_OK;
    if (failed)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: config.json");
    else
        status = whet_i_write_json(ctx, config, folder, "config.json");
    json_decref(config);
    return status;
}

whet_status whet_i_plan_write_folder(whet_ctx *ctx, const whet_merge_plan *plan,
                                     const char *folder) {
    const whet_i_merge_model *model = &plan->models[0];
    const char *own = model->folder ? model->path : NULL;
    const char *words = plan->recipe.tokens == WHET_I_TOKENS_PATH ? plan->recipe.tokens_path : own;
    if (plan->n_shards > 1) WHET_TRY(write_index(ctx, plan, folder));
    WHET_TRY(write_config(ctx, plan, folder));
    if (words) WHET_TRY(whet_i_copy_tokenizer(ctx, words, folder));
    if (own)
        WHET_TRY(whet_i_copy_model_files(ctx, own, folder, "it would have to be merged as well"));
    if (plan->vocabulary.size) WHET_TRY(change_generation(ctx, plan, folder));
    if (plan->vocabulary.tokenizer)
        WHET_TRY(whet_i_write_json(ctx, plan->vocabulary.tokenizer, folder, "tokenizer.json"));
    return whet_i_plan_write_template(ctx, plan, folder);
}
