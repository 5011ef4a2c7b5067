/* SPDX-License-Identifier: Apache-2.0
 * What stands beside the weights of a merged folder: the index of several files, config.json with what the
 * merge changed, the tokenizer's and other small files as the base or first model has them. */
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
    if (own) WHET_TRY(whet_i_copy_model_files(ctx, own, folder));
    if (plan->vocabulary.tokenizer)
        WHET_TRY(whet_i_write_json(ctx, plan->vocabulary.tokenizer, folder, "tokenizer.json"));
    return whet_i_plan_write_template(ctx, plan, folder);
}
