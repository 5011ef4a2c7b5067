/* SPDX-License-Identifier: Apache-2.0
 * A language model from a Hugging Face folder. */
#include "nn/language_model_i.h"

static whet_status record(whet_ctx *ctx, whet_language_model *m) {
    whet_i_value hidden, last;
    WHET_TRY(whet_i_graph_create(ctx, m->params, &m->graph));
    m->graph->adapters = m->hook.adapters;
    WHET_TRY(whet_i_llama_record(ctx, m->graph, &m->config, WHET_I_ALL_TOKENS, &hidden));
    WHET_TRY(whet_i_pool_tokens(ctx, m->graph, hidden, WHET_I_POOL_LAST, &last));
    return whet_i_llama_head(ctx, m->graph, &m->config, last, &m->logits);
}

/* What generating multiplies by is packed once, so that a model changes no more: any plan of its graph
 * asks for the same. */
static whet_status pack(whet_ctx *ctx, whet_language_model *m) {
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, 1, 1}, .longest = 1, .workers = 1},
                                   .loss = WHET_I_NONE,
                                   .keep = &m->logits,
                                   .n_keep = 1};
    whet_i_plan *plan;
    WHET_TRY(whet_i_plan_create(ctx, m->graph, &opts, &plan));
    whet_i_plan_destroy(ctx, plan);
    return whet_i_params_pack(ctx, m->params);
}

static bool are_equal(const whet_tensor *a, const whet_tensor *b) {
    if (a->dtype != b->dtype || a->rank != 2 || b->rank != 2 || a->shape[0] != b->shape[0] ||
        a->shape[1] != b->shape[1])
        return false;
    return memcmp(a->data, b->data, (size_t)whet_tensor_count(a) * whet_dtype_size(a->dtype)) == 0;
}

void whet_i_llama_find_head(whet_ctx *ctx, const char *dir, const whet_i_weight_files *files,
                            whet_i_llama_config *c) {
    whet_tensor head, words;
    if (!whet_i_weight_files_find(files, "lm_head.weight", &head)) {
        if (c->untied)
            whet_i_log(ctx, WHET_LOG_WARN,
                       "%s: tensor \"lm_head.weight\" is missing, and \"tie_word_embeddings\" is "
                       "false: the word vectors are taken in its place",
                       dir);
        c->tied = true;
        return;
    }
    if (!c->tied || (!whet_i_weight_files_find(files, "model.embed_tokens.weight", &words) &&
                     !whet_i_weight_files_find(files, "embed_tokens.weight", &words)))
        return;
    if (are_equal(&head, &words)) return;
    c->tied = false;
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: \"tie_word_embeddings\" is true, and tensor \"lm_head.weight\" is not the word "
               "vectors: it is taken as it is",
               dir);
}

whet_status whet_i_language_model_weights(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                          whet_language_model *m) {
    WHET_TRY(whet_i_llama_config_read(ctx, dir, &m->config));
    WHET_TRY(whet_i_weight_files_open(ctx, dir, &m->files));
    whet_i_llama_find_head(ctx, dir, &m->files, &m->config);
    if (m->hook.parts_head) m->config.tied = false;
    WHET_TRY(whet_i_params_create(ctx, dtype, &m->params));
    WHET_TRY(record(ctx, m));
    for (int64_t i = 0; i < m->params->n; i++) m->params->items[i].init = WHET_I_INIT_REQUIRED;
    WHET_TRY(whet_i_load_at(ctx, &m->hook, WHET_I_LOAD_RECORDED, m->params));
    /* As ...ForCausalLM is saved, or the model inside it. */
    WHET_TRY(whet_i_weight_files_bind(ctx, &m->files, m->params, "model."));
    WHET_TRY(whet_i_load_at(ctx, &m->hook, WHET_I_LOAD_BOUND, m->params));
    WHET_TRY(whet_i_params_settle(ctx, m->params, 0));
    WHET_TRY(whet_i_load_at(ctx, &m->hook, WHET_I_LOAD_SETTLED, m->params));
    WHET_TRY(pack(ctx, m));
    whet_i_weight_files_forget(&m->files);
    return WHET_OK;
}

static whet_status fill(whet_ctx *ctx, const char *dir, whet_dtype dtype, whet_language_model *m) {
    WHET_TRY(whet_i_language_model_weights(ctx, dir, dtype, m));
    return whet_i_model_tokenizer(ctx, dir, m->config.vocab, &m->tokenizer);
}

static whet_status create(whet_ctx *ctx, whet_dtype dtype, whet_language_model **out) {
    if (dtype != WHET_F32 && dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32 or bf16",
                           whet_dtype_name(dtype));
    return whet_i_calloc(ctx, 1, out);
}

whet_status whet_language_model_load(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                     whet_language_model **out) {
    return whet_i_language_model_load(ctx, dir, dtype, (whet_i_load_hook){0}, out);
}

whet_status whet_i_language_model_load(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                       whet_i_load_hook hook, whet_language_model **out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_language_model *m;
    const whet_status created = create(ctx, dtype, &m);
    if (created != WHET_OK) {
        whet_i_load_hook_close(ctx, &hook);
        return created;
    }
    m->hook = hook;
    const whet_status status = fill(ctx, dir, dtype, m);
    if (status == WHET_OK) {
        *out = m;
        return WHET_OK;
    }
    whet_language_model_destroy(ctx, m);
    return whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(dir)));
}

void whet_language_model_destroy(whet_ctx *ctx, whet_language_model *m) {
    if (!m) return;
    whet_i_graph_destroy(ctx, m->graph);
    whet_i_params_destroy(ctx, m->params);
    whet_i_weight_files_close(ctx, &m->files);
    whet_tokenizer_destroy(ctx, m->tokenizer);
    whet_i_load_hook_close(ctx, &m->hook);
    whet_i_free(ctx, m);
}

const whet_tokenizer *whet_language_model_tokenizer(const whet_language_model *model) {
    return model->tokenizer;
}

int64_t whet_language_model_positions(const whet_language_model *model) {
    return model->config.positions;
}
