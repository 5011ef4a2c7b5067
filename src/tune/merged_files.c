/* SPDX-License-Identifier: Apache-2.0
 * What a merged model has beside its weights: the base's files of settings and tokens as they are,
 * config.json with the type and the classes that it now has, and the index of several files of weights. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "tune/adapter_merge.h"

enum { BYTES_MAX = 1 << 28, JSON_BYTES_MAX = 1 << 26 };
static const char index_file[] = "model.safetensors.index.json";

/* ---- copies ----------------------------------------------------------------------------------- */

static bool has_end(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* Weights in whatever form, and what is written anew, stay behind; so do settings of adapters that lie
 * beside the base, for which transformers would look for theirs. */
static bool is_copied(const char *name) {
    static const char *const ends[] = {".safetensors", ".bin",        ".pt",      ".pth",
                                       ".h5",          ".onnx",       ".msgpack", ".ot",
                                       ".gguf",        ".index.json", ".tmp"};
    static const char *const names[] = {"config.json", "merge.json", "adapter_config.json",
                                        "README.md"};
    for (int64_t i = 0; i < WHET_COUNT_OF(ends); i++)
        if (has_end(name, ends[i])) return false;
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++)
        if (strcmp(name, names[i]) == 0) return false;
    return name[0] != '.';
}

static whet_status copy_file(whet_ctx *ctx, const char *from, const char *to, const char *name) {
    char *path, *bytes = NULL;
    int64_t len;
    struct stat info;
    WHET_TRY(whet_i_join_path(ctx, from, name, &path));
    whet_status status = WHET_OK;
    if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
        status = whet_i_file_read(ctx, path, BYTES_MAX, &bytes, &len);
        if (status == WHET_OK) status = whet_i_write_file(ctx, to, name, true, bytes, len);
    }
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, path);
    return status;
}

static whet_status copy_folder(whet_ctx *ctx, const char *from, const char *to) {
    DIR *list = opendir(from);
    whet_status status = WHET_OK;
    if (!list)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected a folder", from, strerror(errno));
    for (const struct dirent *e; status == WHET_OK && (e = readdir(list));)
        if (is_copied(e->d_name)) status = copy_file(ctx, from, to, e->d_name);
    (void)closedir(list);
    return status;
}

/* How sentence-transformers makes one row of a text. */
static whet_status copy_pooling(whet_ctx *ctx, const char *from, const char *to) {
    char *source, *target = NULL;
    struct stat info;
    WHET_TRY(whet_i_join_path(ctx, from, "1_Pooling", &source));
    whet_status status = whet_i_join_path(ctx, to, "1_Pooling", &target);
    if (status == WHET_OK && stat(source, &info) == 0 && S_ISDIR(info.st_mode)) {
        if (mkdir(target, 0777) != 0)
            status = whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected to make this folder", target,
                                 strerror(errno));
        if (status == WHET_OK) status = copy_file(ctx, source, target, "config.json");
    }
    whet_i_free(ctx, target);
    whet_i_free(ctx, source);
    return status;
}

/* ---- config.json ------------------------------------------------------------------------------ */

static const char *type_name(whet_dtype dtype) {
    return dtype == WHET_BF16 ? "bfloat16" : dtype == WHET_F16 ? "float16" : "float32";
}

/* Rows of the head for classes that an adapter brings; 0 where none does. */
static int64_t rows_of_head(const whet_i_merging *m, const char *head) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s.weight", head);
    for (int64_t i = 0; i < m->job->n; i++) {
        const whet_i_adapter_whole *w = whet_i_adapter_find_whole(m->adapters[i], name);
        if (w && w->tensor.rank == 2) return w->tensor.shape[0];
    }
    return 0;
}

/* Classes without names, as transformers calls them: how many there are is what it reads off them. */
static void number_classes(json_t *config, int64_t n) {
    if ((int64_t)json_object_size(json_object_get(config, "id2label")) == n) return;
    json_t *names = json_object(), *numbers = json_object();
    for (int64_t i = 0; i < n; i++) {
        char number[24], name[32];
        (void)snprintf(number, sizeof number, "%" PRId64, i);
        (void)snprintf(name, sizeof name, "LABEL_%" PRId64, i);
        (void)json_object_set_new(names, number, json_string(name));
        (void)json_object_set_new(numbers, name, json_integer(i));
    }
    (void)json_object_set_new(config, "id2label", names);
    (void)json_object_set_new(config, "label2id", numbers);
}

/* The classes of the head, as the adapter that has it tells them; PEFT's tell none. */
static void put_classes(const whet_i_merging *m, json_t *config) {
    static const char *const keys[] = {"id2label", "label2id", "problem_type"};
    const char *type = json_string_value(json_object_get(config, "model_type"));
    bool any = false, pooled = false, of_tokens = false;
    for (int64_t i = 0; i < m->job->n; i++) {
        const json_t *says = m->adapters[i]->json;
        const char *task = json_string_value(json_object_get(says, "task_type"));
        pooled |= whet_i_adapter_head_is_pooled(m->adapters[i]);
        of_tokens |= task && strcmp(task, "TOKEN_CLS") == 0;
        for (int64_t k = 0; k < WHET_COUNT_OF(keys); k++) {
            json_t *value = json_object_get(says, keys[k]);
            if (!value) continue;
            (void)json_object_set(config, keys[k], value);
            any = true;
        }
    }
    if (pooled)
        (void)json_object_set_new(config, WHET_I_HEAD_KEY, json_string(WHET_I_HEAD_POOLED_NAME));
    else if (any)
        (void)json_object_del(config, WHET_I_HEAD_KEY);
    if (!type) return;
    const whet_i_family *family = whet_i_family_find(whet_str_from(type));
    const whet_i_llama_family *llama = whet_i_llama_family_find(whet_str_from(type));
    const int64_t rows = rows_of_head(m, family ? family->head_out : "score");
    if (!any && rows > 0) number_classes(config, rows);
    /* With a head on the pooled row it is no model that transformers has a name for. */
    const char *name = family ? family->classifier : llama ? llama->classifier : NULL;
    if (name && (any || rows > 0) && !pooled && !of_tokens)
        (void)json_object_set_new(config, "architectures", json_pack("[s]", name));
}

static whet_status write_config(whet_ctx *ctx, const whet_i_merging *m, const char *dir) {
    static const char *const types[] = {"dtype", "torch_dtype"};
    char *path;
    json_t *config = NULL;
    whet_i_buf text = {0};
    WHET_TRY(whet_i_join_path(ctx, m->job->model, "config.json", &path));
    whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &config);
    whet_i_free(ctx, path);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT) return WHET_OK;
    if (status == WHET_OK && json_is_object(config)) {
        for (int i = 0; i < 2 && m->job->cast; i++)
            if (i == 1 || json_object_get(config, types[i]))
                (void)json_object_set_new(config, types[i], json_string(type_name(m->job->dtype)));
        if (m->heads) put_classes(m, config);
        /* transformers would take the word vectors for the head. */
        if (m->parts_head && !json_is_false(json_object_get(config, "tie_word_embeddings")))
            (void)json_object_set_new(config, "tie_word_embeddings", json_false());
        status = whet_i_json_dump(ctx, config, JSON_INDENT(2), &text);
        if (status == WHET_OK)
            status = whet_i_write_file(ctx, dir, "config.json", true, text.data, text.len);
    }
    whet_i_buf_free(ctx, &text);
    json_decref(config);
    return status;
}

/* ---- the index -------------------------------------------------------------------------------- */

static whet_status write_index(whet_ctx *ctx, const whet_i_merging *m, const char *dir) {
    json_t *map = json_object();
    int64_t bytes = 0;
    whet_i_buf text = {0};
    for (int64_t f = 0; f < m->files.n; f++)
        for (int64_t i = 0; i < m->out[f].n; i++) {
            const whet_i_merged_tensor *t = &m->out[f].items[i];
            const whet_tensor *from = t->whole.data ? &t->whole : &t->base;
            bytes += whet_tensor_count(from) * (int64_t)whet_dtype_size(t->dtype);
            (void)json_object_set_new(map, t->name, json_string(m->out[f].name));
        }
    json_t *root =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    whet_status status = whet_i_json_dump(ctx, root, JSON_INDENT(2), &text);
    json_decref(root);
    if (status == WHET_OK)
        status = whet_i_write_file(ctx, dir, index_file, true, text.data, text.len);
    whet_i_buf_free(ctx, &text);
    return status;
}

whet_status whet_i_merged_files(whet_ctx *ctx, const whet_i_merging *m, const char *dir) {
    WHET_TRY(copy_folder(ctx, m->job->model, dir));
    WHET_TRY(copy_pooling(ctx, m->job->model, dir));
    WHET_TRY(write_config(ctx, m, dir));
    const bool indexed = strcmp(m->files.items[0].name, "model.safetensors") != 0;
    return indexed ? write_index(ctx, m, dir) : WHET_OK;
}
