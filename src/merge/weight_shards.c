/* SPDX-License-Identifier: Apache-2.0
 * Weights as files of a folder, and the small files that go with them from one model to another. */
#include "merge/weight_shards.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

enum { SMALL_FILE_MAX = 1 << 28 };

/* ---- weights --------------------------------------------------------------------------------- */

int64_t whet_i_cut_shards(whet_i_sharded *items, int64_t n, int64_t most) {
    int64_t shards = 0, filled = 0;
    for (int64_t i = 0; i < n; i++) {
        if (shards == 0 || (filled && items[i].bytes > most - filled)) {
            shards++;
            filled = 0;
        }
        items[i].shard = shards - 1;
        filled += items[i].bytes;
    }
    return shards;
}

void whet_i_shard_name(int64_t shard, int64_t shards, char out[WHET_I_SHARD_NAME]) {
    if (shards > 1)
        (void)snprintf(out, WHET_I_SHARD_NAME, "model-%05" PRId64 "-of-%05" PRId64 ".safetensors",
                       shard + 1, shards);
    else
        (void)snprintf(out, WHET_I_SHARD_NAME, "model.safetensors");
}

whet_status whet_i_write_json(whet_ctx *ctx, const json_t *json, const char *folder,
                              const char *name) {
    whet_i_buf text = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_json_dump(ctx, json, JSON_INDENT(2) | JSON_REAL_PRECISION(17), &text));
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &text, "\n"));
    status = whet_i_write_file(ctx, folder, name, true, text.data, text.len);
done:
    whet_i_buf_free(ctx, &text);
    return status;
}

whet_status whet_i_write_weight_index(whet_ctx *ctx, const char *folder,
                                      const whet_i_sharded *items, int64_t n, int64_t shards) {
    char name[WHET_I_SHARD_NAME];
    int64_t bytes = 0;
    json_t *map = json_object();
    bool made = map != NULL;
    for (int64_t i = 0; i < n; i++) {
        bytes += items[i].bytes;
        whet_i_shard_name(items[i].shard, shards, name);
        made = made && json_object_set_new(map, items[i].name, json_string(name)) == 0;
    }
    json_t *index =
        json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    whet_status status = WHET_OK;
    if (made)
        status = whet_i_write_json(ctx, index, folder, "model.safetensors.index.json");
    else
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: model.safetensors.index.json");
    json_decref(index);
    return status;
}

static whet_status write_shard(whet_ctx *ctx, const char *folder, const char *name,
                               const whet_named_tensor *items, int64_t n,
                               const char *const *metadata) {
    char *path = NULL;
    WHET_TRY(whet_i_join_path(ctx, folder, name, &path));
    const whet_status status = whet_safetensors_write(ctx, path, true, items, n, metadata);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_write_weights(whet_ctx *ctx, const char *folder, const whet_named_tensor *items,
                                 int64_t n, const char *const *metadata, int64_t most,
                                 int64_t *shards) {
    whet_i_sharded *cut = NULL;
    char name[WHET_I_SHARD_NAME];
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &cut));
    for (int64_t i = 0; i < n; i++) {
        const whet_tensor *t = &items[i].tensor;
        cut[i] = (whet_i_sharded){items[i].name,
                                  whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype), 0};
    }
    const int64_t files = whet_i_cut_shards(cut, n, most ? most : WHET_I_SHARD_BYTES);
    for (int64_t first = 0, end; first < n; first = end) {
        for (end = first; end < n && cut[end].shard == cut[first].shard;) end++;
        whet_i_shard_name(cut[first].shard, files, name);
        WHET_TRY_DONE(write_shard(ctx, folder, name, items + first, end - first, metadata));
    }
    if (files > 1) WHET_TRY_DONE(whet_i_write_weight_index(ctx, folder, cut, n, files));
    *shards = files;
done:
    whet_i_free(ctx, cut);
    return status;
}

/* ---- other files ------------------------------------------------------------------------------ */

whet_status whet_i_copy_file(whet_ctx *ctx, const char *from, const char *to, const char *name) {
    struct stat info;
    char *source = NULL, *bytes = NULL;
    int64_t len;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, from, name, &source));
    if (stat(source, &info) != 0 || !S_ISREG(info.st_mode)) goto done;
    WHET_TRY_DONE(whet_i_file_read(ctx, source, SMALL_FILE_MAX, &bytes, &len));
    status = whet_i_write_file(ctx, to, name, true, bytes, len);
done:
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, source);
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
    status = whet_i_copy_file(ctx, from, to, name);
done:
    whet_i_free(ctx, source);
    whet_i_free(ctx, folder);
    return status;
}

static whet_status copy_files(whet_ctx *ctx, const char *from, const char *to,
                              const char *const *names, int64_t n) {
    for (int64_t i = 0; i < n; i++) WHET_TRY(whet_i_copy_file(ctx, from, to, names[i]));
    return WHET_OK;
}

whet_status whet_i_copy_tokenizer(whet_ctx *ctx, const char *from, const char *to) {
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "tokenizer.model",
                                        "vocab.json",
                                        "vocab.txt",
                                        "merges.txt",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "chat_template.json"};
    return copy_files(ctx, from, to, names, WHET_COUNT_OF(names));
}

/* Their weights lie in folders of their own. */
static bool has_weights(const char *type) {
    static const char *const without[] = {"Transformer", "Pooling", "Normalize"};
    const char *dot = type ? strrchr(type, '.') : NULL;
    for (int i = 0; dot && i < 3; i++)
        if (strcmp(dot + 1, without[i]) == 0) return false;
    return dot != NULL;
}

static whet_status warn_of_modules(whet_ctx *ctx, const char *from, const char *why) {
    char quoted[WHET_QUOTE_SIZE], *path;
    struct stat info;
    json_t *modules = NULL;
    WHET_TRY(whet_i_join_path(ctx, from, "modules.json", &path));
    const bool there = stat(path, &info) == 0 && S_ISREG(info.st_mode);
    const whet_status status =
        there ? whet_i_json_read(ctx, path, SMALL_FILE_MAX, &modules) : WHET_OK;
    for (size_t i = 0; status == WHET_OK && i < json_array_size(modules); i++) {
        const json_t *module = json_array_get(modules, i);
        const char *type = json_string_value(json_object_get(module, "type"));
        const char *folder = json_string_value(json_object_get(module, "path"));
        if (folder && has_weights(type))
            whet_i_log(ctx, WHET_LOG_WARN,
                       "%s: module %s has weights of its own, and is not copied: %s", path,
                       whet_i_quote(quoted, whet_str_from(folder)), why);
    }
    json_decref(modules);
    whet_i_free(ctx, path);
    return status == WHET_ERR_FORMAT ? WHET_OK : status; /* it is copied as it is */
}

whet_status whet_i_copy_model_files(whet_ctx *ctx, const char *from, const char *to,
                                    const char *why) {
    static const char *const names[] = {
        "generation_config.json", "modules.json", "sentence_bert_config.json",
        "config_sentence_transformers.json", "preprocessor_config.json"};
    WHET_TRY(warn_of_modules(ctx, from, why));
    WHET_TRY(copy_files(ctx, from, to, names, WHET_COUNT_OF(names)));
    return copy_pooling(ctx, from, to);
}
