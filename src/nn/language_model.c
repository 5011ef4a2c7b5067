/* SPDX-License-Identifier: Apache-2.0
 * A language model from a Hugging Face folder: one file of weights, or several with an index. */
#include <errno.h>

#include "io/io_i.h"
#include "nn/language_model_i.h"
#include "nn/shape_text.h"

enum { JSON_BYTES_MAX = 1 << 26, FILES_MAX = 1024 };

/* ---- files ------------------------------------------------------------------------------------ */

static whet_status open_one(whet_ctx *ctx, const char *dir, const char *name,
                            whet_language_model *m) {
    whet_i_weight_file *file = &m->files[m->n_files];
    char *path;
    WHET_TRY(whet_i_path_join(ctx, dir, name, &path));
    whet_status status = whet_i_strdup(ctx, whet_str_from(name), &file->name);
    if (status == WHET_OK) {
        m->n_files++; /* what it has so far is released with the model */
        status = whet_safetensors_open(ctx, path, &file->tensors);
    }
    whet_i_free(ctx, path);
    return status;
}

/* Of printable ASCII, so that sentences may hold it. */
static bool is_file_name(const json_t *value) {
    const char *name = json_string_value(value);
    if (!name || !*name || strlen(name) != json_string_length(value)) return false;
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '/') return false;
    return true;
}

whet_status whet_i_weight_files_parse(whet_ctx *ctx, const json_t *index, whet_names *names) {
    json_t *map, *value;
    const char *key;
    WHET_TRY(whet_i_json_object(ctx, "model.safetensors.index.json", index, "weight_map", &map));
    json_object_foreach(map, key, value) {
        char quoted[WHET_QUOTE_SIZE];
        if (!is_file_name(value))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "model.safetensors.index.json: what holds %s is no file's name; "
                               "expected one of printable characters, without folders",
                               whet_i_quote(quoted, whet_str_from(key)));
        WHET_TRY(whet_names_add(ctx, names, whet_str_from(json_string_value(value)), NULL));
    }
    const int64_t n = whet_names_count(names);
    if (n >= 1 && n <= FILES_MAX) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_LIMIT,
                       "model.safetensors.index.json: %lld files; expected 1 to %d", (long long)n,
                       FILES_MAX);
}

static whet_status open_indexed(whet_ctx *ctx, const char *dir, whet_language_model *m) {
    char *path = NULL;
    json_t *index = NULL;
    whet_names *names = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_path_join(ctx, dir, "model.safetensors.index.json", &path));
    status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &index);
    if (status == WHET_ERR_IO) status = whet_i_fail_at(ctx, status, "no model.safetensors");
    if (status != WHET_OK) goto done;
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(whet_i_weight_files_parse(ctx, index, names));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_names_count(names), &m->files));
    for (int64_t i = 0; i < whet_names_count(names); i++)
        WHET_TRY_DONE(open_one(ctx, dir, whet_names_get(names, i).ptr, m));
done:
    whet_names_destroy(ctx, names);
    json_decref(index);
    whet_i_free(ctx, path);
    return status;
}

static void close_files(whet_ctx *ctx, whet_language_model *m) {
    for (int64_t i = 0; i < m->n_files; i++) {
        whet_safetensors_close(ctx, m->files[i].tensors);
        whet_i_free(ctx, m->files[i].name);
    }
    whet_i_free(ctx, m->files);
    m->files = NULL;
    m->n_files = 0;
}

static whet_status open_files(whet_ctx *ctx, const char *dir, whet_language_model *m) {
    WHET_TRY(whet_i_calloc(ctx, 1, &m->files));
    const whet_status status = open_one(ctx, dir, "model.safetensors", m);
    if (status != WHET_ERR_IO || whet_error_errno(ctx) != ENOENT) return status;
    close_files(ctx, m);
    return open_indexed(ctx, dir, m);
}

/* ---- the model -------------------------------------------------------------------------------- */

static whet_status read_json(whet_ctx *ctx, const char *dir, const char *name, json_t **out) {
    char *path;
    WHET_TRY(whet_i_path_join(ctx, dir, name, &path));
    const whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, out);
    whet_i_free(ctx, path);
    return status;
}

static whet_status read_config(whet_ctx *ctx, const char *dir, whet_language_model *m) {
    json_t *json = NULL, *generation = NULL;
    whet_status status = read_json(ctx, dir, "config.json", &json);
    if (status == WHET_OK) status = whet_i_llama_config_parse(ctx, json, &m->config);
    json_decref(json);
    if (status != WHET_OK) return status;
    status = read_json(ctx, dir, "generation_config.json", &generation);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT) return WHET_OK;
    if (status == WHET_OK) status = whet_i_llama_ends_parse(ctx, generation, &m->config);
    json_decref(generation);
    return status;
}

static whet_status record(whet_ctx *ctx, whet_language_model *m) {
    whet_i_value hidden, last;
    WHET_TRY(whet_i_graph_create(ctx, m->params, &m->graph));
    WHET_TRY(whet_i_llama_record(ctx, m->graph, &m->config, &hidden));
    WHET_TRY(whet_i_pool_tokens(ctx, m->graph, hidden, WHET_I_POOL_LAST, &last));
    return whet_i_llama_head(ctx, m->graph, &m->config, last, &m->logits);
}

static bool has_tensor(const whet_language_model *m, const char *name) {
    whet_tensor t;
    for (int64_t i = 0; i < m->n_files; i++)
        if (whet_safetensors_find(m->files[i].tensors, name, &t)) return true;
    return false;
}

static whet_status bind(whet_ctx *ctx, whet_language_model *m) {
    char shape[WHET_I_SHAPE_TEXT];
    int64_t missing = 0;
    for (int64_t i = 0; i < m->params->n; i++) m->params->items[i].init = WHET_I_INIT_REQUIRED;
    for (int64_t i = 0; i < m->n_files; i++)
        WHET_TRY(whet_i_params_bind(ctx, m->params, m->files[i].tensors, m->files[i].name, "",
                                    m->n_files > 1 ? &missing : NULL));
    for (int64_t i = 0; missing && i < m->params->n; i++) {
        const whet_i_param *p = &m->params->items[i];
        if (p->source.data) continue;
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "model.safetensors.index.json: tensor \"%s\" is in none of its %lld "
                           "files; expected %s",
                           p->name, (long long)m->n_files,
                           whet_i_shape_text(shape, p->rank, p->shape));
    }
    return WHET_OK;
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

whet_status whet_i_language_model_weights(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                          whet_language_model *m) {
    WHET_TRY(read_config(ctx, dir, m));
    WHET_TRY(open_files(ctx, dir, m));
    /* A head that is missing is the word vectors'. */
    if (!has_tensor(m, "lm_head.weight")) m->config.tied = true;
    WHET_TRY(whet_i_params_create(ctx, dtype, &m->params));
    WHET_TRY(record(ctx, m));
    WHET_TRY(bind(ctx, m));
    WHET_TRY(whet_i_params_settle(ctx, m->params, 0));
    return pack(ctx, m);
}

static whet_status fill(whet_ctx *ctx, const char *dir, whet_dtype dtype, whet_language_model *m) {
    WHET_TRY(whet_i_language_model_weights(ctx, dir, dtype, m));
    WHET_TRY(whet_tokenizer_load(ctx, dir, &m->tokenizer));
    if (whet_tokenizer_vocab_size(m->tokenizer) <= m->config.vocab) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "tokenizer.json has %lld tokens; expected at most %lld, \"vocab_size\" of "
                       "config.json",
                       (long long)whet_tokenizer_vocab_size(m->tokenizer),
                       (long long)m->config.vocab);
}

whet_status whet_language_model_load(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                     whet_language_model **out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_language_model *m;
    if (dtype != WHET_F32 && dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "dtype is %s; expected f32 or bf16",
                           whet_dtype_name(dtype));
    WHET_TRY(whet_i_calloc(ctx, 1, &m));
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
    close_files(ctx, m);
    whet_tokenizer_destroy(ctx, m->tokenizer);
    whet_i_free(ctx, m);
}

const whet_tokenizer *whet_language_model_tokenizer(const whet_language_model *model) {
    return model->tokenizer;
}

int64_t whet_language_model_positions(const whet_language_model *model) {
    return model->config.positions;
}
