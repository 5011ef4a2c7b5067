/* SPDX-License-Identifier: Apache-2.0
 * A model on disk as merging sees it: headers alone are read, of one file or of all that an index names. */
#include "merge/merge_model.h"

#include "merge/low_rank.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

enum { JSON_BYTES_MAX = 1 << 27, RANK_MAX = 4096 };

/* ---- files ------------------------------------------------------------------------------------ */

/* Takes `path` over. */
static whet_status add_file(whet_ctx *ctx, whet_i_merge_model *model, char *path) {
    struct stat info;
    whet_i_merge_file *file = &model->files[model->n_files];
    file->path = path;
    model->n_files++;
    WHET_TRY(whet_safetensors_open(ctx, path, &file->tensors));
    if (stat(path, &info) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    file->bytes = (int64_t)info.st_size;
    file->seconds = (int64_t)info.st_mtim.tv_sec;
    file->nanoseconds = (int64_t)info.st_mtim.tv_nsec;
    for (int64_t i = 0; i < whet_safetensors_count(file->tensors); i++) {
        const whet_str name = whet_safetensors_name(file->tensors, i);
        char quoted[WHET_QUOTE_SIZE];
        const int64_t before = whet_names_count(model->names);
        if (name.len == 0 || name.len > 1000 || memchr(name.ptr, 0, (size_t)name.len))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: a tensor is called %s; expected 1 to 1000 characters", path,
                               whet_i_quote(quoted, name));
        WHET_TRY(whet_names_add(ctx, model->names, name, NULL));
        if (whet_names_count(model->names) == before)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: tensor %s is in another file of the model, too; expected it "
                               "once",
                               path, whet_i_quote(quoted, name));
    }
    return WHET_OK;
}

static bool is_plain_name(const char *name) {
    return name && *name && !strchr(name, '/') && strcmp(name, "..") != 0;
}

/* The distinct files of "weight_map". */
static whet_status list_files(whet_ctx *ctx, const char *path, json_t *map, whet_names *files) {
    const char *key;
    const json_t *value;
    json_object_foreach(map, key, value) {
        char quoted[WHET_QUOTE_SIZE];
        if (!is_plain_name(json_string_value(value)))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: what holds %s is no file's name; expected one without folders",
                               path, whet_i_quote(quoted, whet_str_from(key)));
        WHET_TRY(whet_names_add(ctx, files, whet_str_from(json_string_value(value)), NULL));
    }
    const int64_t n = whet_names_count(files);
    if (n >= 1 && n <= WHET_I_MERGE_FILES_MAX) return WHET_OK;
    return whet_i_fail(ctx, n ? WHET_ERR_LIMIT : WHET_ERR_FORMAT,
                       "%s: %lld files; expected 1 to %d", path, (long long)n,
                       WHET_I_MERGE_FILES_MAX);
}

/* A tensor that the index has and no file would be left out silently. */
static whet_status check_listed(whet_ctx *ctx, const char *path, json_t *map,
                                const whet_names *names) {
    const char *key;
    const json_t *value;
    json_object_foreach(map, key, value) {
        char quoted[WHET_QUOTE_SIZE];
        if (whet_names_find(names, whet_str_from(key)) < 0)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: tensor %s is not in %s; expected it there", path,
                               whet_i_quote(quoted, whet_str_from(key)), json_string_value(value));
    }
    return WHET_OK;
}

static bool exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

static whet_status open_indexed(whet_ctx *ctx, whet_i_merge_model *model, const char *where) {
    whet_names *files = NULL;
    json_t *index = NULL, *map;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_names_create(ctx, &files));
    WHET_TRY_DONE(whet_i_json_read(ctx, where, JSON_BYTES_MAX, &index));
    WHET_TRY_DONE(whet_i_json_object(ctx, where, index, "weight_map", &map));
    WHET_TRY_DONE(list_files(ctx, where, map, files));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_names_count(files), &model->files));
    for (int64_t i = 0; i < whet_names_count(files); i++) {
        char *path;
        WHET_TRY_DONE(whet_i_join_path(ctx, model->path, whet_names_get(files, i).ptr, &path));
        WHET_TRY_DONE(add_file(ctx, model, path));
    }
    status = check_listed(ctx, where, map, model->names);
done:
    json_decref(index);
    whet_names_destroy(ctx, files);
    return status;
}

static whet_status open_folder(whet_ctx *ctx, whet_i_merge_model *model) {
    char *single = NULL, *index = NULL, *config = NULL, *adapter = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, model->path, "model.safetensors", &single));
    WHET_TRY_DONE(whet_i_join_path(ctx, model->path, "model.safetensors.index.json", &index));
    WHET_TRY_DONE(whet_i_join_path(ctx, model->path, "config.json", &config));
    WHET_TRY_DONE(whet_i_join_path(ctx, model->path, "adapter_config.json", &adapter));
    if (exists(single)) {
        WHET_TRY_DONE(whet_i_calloc(ctx, 1, &model->files));
        char *path = single;
        single = NULL;
        WHET_TRY_DONE(add_file(ctx, model, path));
    } else if (exists(index)) {
        WHET_TRY_DONE(open_indexed(ctx, model, index));
    } else {
        errno = ENOENT;
        status = whet_i_fail(ctx, WHET_ERR_IO,
                             "%s: no weights; expected model.safetensors or "
                             "model.safetensors.index.json%s",
                             model->path,
                             exists(adapter) ? "; try MODEL+ADAPTER, or method concat or svd" : "");
        goto done;
    }
    if (exists(config)) {
        WHET_TRY_DONE(whet_i_json_read(ctx, config, JSON_BYTES_MAX, &model->config));
        if (!json_is_object(model->config))
            status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s; expected an object", config,
                                 whet_i_json_kind(model->config));
    }
done:
    whet_i_free(ctx, single);
    whet_i_free(ctx, index);
    whet_i_free(ctx, config);
    whet_i_free(ctx, adapter);
    return status;
}

/* ---- low-rank additions ----------------------------------------------------------------------- */

static whet_status copy_f32(whet_ctx *ctx, const whet_tensor *view, float **out) {
    whet_tensor made;
    WHET_TRY(whet_tensor_convert(ctx, view, WHET_F32, &made));
    *out = made.data;
    return WHET_OK;
}

/* What else an adapter may hold would be left out silently. */
static whet_status refuse_other(whet_ctx *ctx, const char *where, whet_str name) {
    static const char second[] = ".lora_B.weight";
    const int64_t cut = (int64_t)sizeof second - 1;
    char quoted[WHET_QUOTE_SIZE];
    if (name.len >= cut && strcmp(name.ptr + name.len - cut, second) == 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: %s is neither lora_A nor lora_B of a linear layer; expected these "
                       "alone; try whet tune merge into the model first",
                       where, whet_i_quote(quoted, name));
}

/* One layer's A [rank, in] and B [out, rank]. */
static whet_status add_low_rank(whet_ctx *ctx, whet_i_merge_model *model, const char *where,
                                const whet_safetensors *file, whet_str name,
                                const char *config_path, const json_t *config) {
    static const char before[] = "base_model.model.", behind[] = ".lora_A.weight";
    const int64_t cut = (int64_t)sizeof behind - 1, skip = (int64_t)sizeof before - 1;
    whet_i_merge_addition *added = &model->additions[model->n_additions];
    char b_name[1100], quoted[WHET_QUOTE_SIZE];
    whet_tensor a, b;
    if (name.len < cut || strcmp(name.ptr + name.len - cut, behind) != 0)
        return refuse_other(ctx, where, name);
    (void)snprintf(b_name, sizeof b_name, "%.*s.lora_B.weight", (int)(name.len - cut), name.ptr);
    if (!whet_safetensors_find(file, name.ptr, &a) || !whet_safetensors_find(file, b_name, &b) ||
        a.rank != 2 || b.rank != 2 || a.shape[0] != b.shape[1] || a.shape[0] < 1 ||
        a.shape[0] > RANK_MAX)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: %s has no fitting lora_B; expected [rank, in] and [out, rank]",
                           where, whet_i_quote(quoted, name));
    const bool prefixed = strncmp(name.ptr, before, (size_t)skip) == 0;
    const whet_str module = {name.ptr + (prefixed ? skip : 0),
                             name.len - cut - (prefixed ? skip : 0)};
    WHET_TRY(whet_i_strdup(ctx, module, &added->module));
    model->n_additions++;
    float *copy;
    WHET_TRY(copy_f32(ctx, &a, &copy));
    added->lora.a = copy;
    WHET_TRY(copy_f32(ctx, &b, &copy));
    added->lora.b = copy;
    added->lora.rank = a.shape[0];
    added->lora.in = a.shape[1];
    added->lora.out = b.shape[0];
    WHET_TRY(
        whet_i_peft_lora_scale(ctx, config_path, config, module, a.shape[0], &added->lora.scale));
    model->addition_bytes += (whet_tensor_count(&a) + whet_tensor_count(&b)) * 4;
    return WHET_OK;
}

static whet_status open_lora(whet_ctx *ctx, whet_i_merge_model *model) {
    char *config_path = NULL, *weights_path = NULL;
    json_t *config = NULL;
    whet_safetensors *file = NULL;
    whet_str kind;
    char quoted[WHET_QUOTE_SIZE];
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, model->lora, "adapter_config.json", &config_path));
    WHET_TRY_DONE(whet_i_join_path(ctx, model->lora, "adapter_model.safetensors", &weights_path));
    WHET_TRY_DONE(whet_i_merge_adapter_config(ctx, config_path, &config));
    WHET_TRY_DONE(whet_i_peft_check_upright(ctx, config_path, config));
    WHET_TRY_DONE(whet_i_json_str(ctx, config_path, config, "peft_type", &kind));
    if (!whet_str_equal(kind, whet_str_from("LORA"))) {
        status =
            whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                        "%s: an adapter of type %s; expected LORA; try whet tune merge into the "
                        "model first",
                        config_path, whet_i_quote(quoted, kind));
        goto done;
    }
    WHET_TRY_DONE(whet_safetensors_open(ctx, weights_path, &file));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_safetensors_count(file), &model->additions));
    for (int64_t i = 0; i < whet_safetensors_count(file); i++)
        WHET_TRY_DONE(add_low_rank(ctx, model, weights_path, file, whet_safetensors_name(file, i),
                                   config_path, config));
    if (model->n_additions == 0)
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: no lora_A and lora_B; expected a LoRA adapter", weights_path);
done:
    whet_safetensors_close(ctx, file);
    json_decref(config);
    whet_i_free(ctx, config_path);
    whet_i_free(ctx, weights_path);
    return status;
}

/* Each must have its layer in the model. */
static whet_status check_additions(whet_ctx *ctx, const whet_i_merge_model *model) {
    for (int64_t i = 0; i < model->n_additions; i++) {
        const whet_i_merge_addition *added = &model->additions[i];
        char name[1100], quoted[WHET_QUOTE_SIZE];
        whet_tensor view;
        const whet_i_merge_file *file;
        (void)snprintf(name, sizeof name, "%s.weight", added->module);
        if (whet_i_merge_model_find(model, name, &view, &file, NULL) && view.rank == 2 &&
            view.shape[1] == added->lora.in && view.shape[0] == added->lora.out)
            continue;
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: layer %s [%lld, %lld] is not in %s; expected an adapter of it",
                           model->lora, whet_i_quote(quoted, whet_str_from(added->module)),
                           (long long)added->lora.out, (long long)added->lora.in, model->path);
    }
    return WHET_OK;
}

/* ---- opening ---------------------------------------------------------------------------------- */

whet_status whet_i_merge_model_open(whet_ctx *ctx, const char *path, const char *lora,
                                    whet_i_merge_model *out) {
    struct stat info;
    char *copy;
    WHET_TRY(whet_i_strdup(ctx, whet_str_from(path), &out->path));
    if (lora) WHET_TRY(whet_i_strdup(ctx, whet_str_from(lora), &out->lora));
    WHET_TRY(whet_names_create(ctx, &out->names));
    if (stat(path, &info) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    out->folder = S_ISDIR(info.st_mode);
    if (out->folder) {
        WHET_TRY(open_folder(ctx, out));
    } else {
        WHET_TRY(whet_i_calloc(ctx, 1, &out->files));
        WHET_TRY(whet_i_strdup(ctx, whet_str_from(path), &copy));
        WHET_TRY(add_file(ctx, out, copy));
    }
    if (lora) {
        WHET_TRY(open_lora(ctx, out));
        WHET_TRY(check_additions(ctx, out));
    }
    return WHET_OK;
}

void whet_i_merge_model_close(whet_ctx *ctx, whet_i_merge_model *model) {
    for (int64_t i = 0; i < model->n_files; i++) {
        whet_safetensors_close(ctx, model->files[i].tensors);
        whet_i_free(ctx, model->files[i].path);
    }
    for (int64_t i = 0; i < model->n_additions; i++) {
        whet_i_merge_addition *added = &model->additions[i];
        whet_tensor a = {.data = (void *)(uintptr_t)added->lora.a},
                    b = {.data = (void *)(uintptr_t)added->lora.b};
        whet_tensor_destroy(ctx, &a);
        whet_tensor_destroy(ctx, &b);
        whet_i_free(ctx, added->module);
    }
    whet_i_free(ctx, model->additions);
    whet_i_free(ctx, model->files);
    whet_i_free(ctx, model->path);
    whet_i_free(ctx, model->lora);
    whet_names_destroy(ctx, model->names);
    json_decref(model->config);
    *model = (whet_i_merge_model){0};
}

bool whet_i_merge_same_path(const char *a, const char *b) {
    return a && b ? whet_same_path(a, b) : !a == !b;
}

/* ---- finding ---------------------------------------------------------------------------------- */

static bool find_exactly(const whet_i_merge_model *model, const char *name, whet_tensor *view,
                         const whet_i_merge_file **file) {
    for (int64_t i = 0; i < model->n_files; i++) {
        if (!whet_safetensors_find(model->files[i].tensors, name, view)) continue;
        *file = &model->files[i];
        return true;
    }
    return false;
}

static const char *const outputs[] = {"lm_head.weight", "output.weight", "embed_out.weight"};

const char *whet_i_merge_model_head(const whet_i_merge_model *model) {
    for (int64_t i = 0; i < WHET_COUNT_OF(outputs); i++)
        if (whet_names_find(model->names, whet_str_from(outputs[i])) >= 0) return outputs[i];
    return NULL;
}

bool whet_i_merge_model_find(const whet_i_merge_model *model, const char *name, whet_tensor *view,
                             const whet_i_merge_file **file, bool *tied) {
    static const char *const tables[] = {
        "model.embed_tokens.weight",         "transformer.wte.weight",   "wte.weight",
        "model.decoder.embed_tokens.weight", "gpt_neox.embed_in.weight", "tok_embeddings.weight"};
    if (tied) *tied = false;
    if (find_exactly(model, name, view, file)) return true;
    for (int64_t i = 0; i < WHET_COUNT_OF(outputs); i++) {
        if (strcmp(name, outputs[i]) != 0) continue;
        for (int64_t k = 0; k < WHET_COUNT_OF(tables); k++) {
            if (!find_exactly(model, tables[k], view, file)) continue;
            if (tied) *tied = true;
            return true;
        }
    }
    return false;
}

const whet_i_merge_lora *whet_i_merge_model_addition(const whet_i_merge_model *model,
                                                     const char *name) {
    for (int64_t i = 0; i < model->n_additions; i++) {
        const size_t len = strlen(model->additions[i].module);
        if (strncmp(name, model->additions[i].module, len) == 0 &&
            strcmp(name + len, ".weight") == 0)
            return &model->additions[i].lora;
    }
    return NULL;
}

bool whet_i_merge_layer_of(const char *name, int64_t *prefix, int64_t *layer, int64_t *rest) {
    for (const char *at = strchr(name, '.'); at; at = strchr(at + 1, '.')) {
        const char *digits = at + 1, *end = digits;
        while (whet_i_is_digit(*end)) end++;
        int64_t number;
        if (end == digits || *end != '.' ||
            !whet_i_parse_int((whet_str){digits, end - digits}, &number) || number > INT32_MAX)
            continue;
        *prefix = digits - name;
        *layer = number;
        *rest = end - name;
        return true;
    }
    return false;
}

int64_t whet_i_merge_model_layers(const whet_i_merge_model *model, const char *prefix,
                                  int64_t len) {
    int64_t most = 0;
    for (int64_t i = 0; i < whet_names_count(model->names); i++) {
        const char *name = whet_names_get(model->names, i).ptr;
        int64_t its, layer, rest;
        if (!whet_i_merge_layer_of(name, &its, &layer, &rest) || its != len ||
            memcmp(name, prefix, (size_t)len) != 0)
            continue;
        if (layer + 1 > most) most = layer + 1;
    }
    return most;
}
