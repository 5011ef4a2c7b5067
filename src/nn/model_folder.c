/* SPDX-License-Identifier: Apache-2.0
 * What models read of a Hugging Face folder: the files of weights, model.safetensors or those that
 * model.safetensors.index.json names, and the tokenizer. */
#include "nn/model_folder.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "io/io_i.h"
#include "nn/nn_i.h"
#include "nn/shape_text.h"

enum { JSON_BYTES_MAX = 1 << 26, FILES_MAX = 1024, NAME_SIZE = 1024 };

static whet_status open_one(whet_ctx *ctx, const char *dir, const char *name,
                            whet_i_weight_files *f) {
    whet_i_weight_file *file = &f->items[f->n];
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir, name, &path));
    whet_status status = whet_i_strdup(ctx, whet_str_from(name), &file->name);
    if (status == WHET_OK) {
        f->n++; /* what it has so far is closed with the others */
        status = whet_safetensors_open(ctx, path, &file->tensors);
    }
    whet_i_free(ctx, path);
    return status;
}

/* Of printable ASCII, so that sentences may hold it. */
static bool is_file_name(const json_t *value) {
    const char *name = json_string_value(value);
    if (!name || !*name || strlen(name) != json_string_length(value)) return false;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return false;
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

/* All tensors of all files with the file each is in: of two of one name the first read would count. */
static whet_status list_tensors(whet_ctx *ctx, const char *path, const whet_i_weight_files *f,
                                whet_names *names, int64_t **file_of) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t n = 0;
    for (int64_t i = 0; i < f->n; i++) n += whet_safetensors_count(f->items[i].tensors);
    WHET_TRY(whet_i_calloc(ctx, n, file_of));
    for (int64_t i = 0; i < f->n; i++)
        for (int64_t t = 0; t < whet_safetensors_count(f->items[i].tensors); t++) {
            const whet_str name = whet_safetensors_name(f->items[i].tensors, t);
            const int64_t before = whet_names_count(names);
            int64_t at;
            WHET_TRY(whet_names_add(ctx, names, name, &at));
            if (at < before)
                return whet_i_fail(ctx, WHET_ERR_FORMAT,
                                   "%s: tensor %s is in %s and in %s; expected it in one file",
                                   path, whet_i_quote(quoted, name), f->items[(*file_of)[at]].name,
                                   f->items[i].name);
            (*file_of)[at] = i;
        }
    return WHET_OK;
}

/* A tensor that the index has and its file has not would be missed silently. */
static whet_status check_listed(whet_ctx *ctx, const char *path, const json_t *index,
                                const whet_i_weight_files *f) {
    whet_names *names = NULL;
    int64_t *file_of = NULL;
    whet_status status = WHET_OK;
    json_t *map = json_object_get(index, "weight_map");
    const json_t *value;
    const char *key;
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(list_tensors(ctx, path, f, names, &file_of));
    json_object_foreach(map, key, value) {
        char quoted[WHET_QUOTE_SIZE];
        const int64_t at = whet_names_find(names, whet_str_from(key));
        if (at >= 0 && strcmp(f->items[file_of[at]].name, json_string_value(value)) == 0) continue;
        status =
            whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: tensor %s is not in %s; expected it there", path,
                        whet_i_quote(quoted, whet_str_from(key)), json_string_value(value));
        break;
    }
done:
    whet_names_destroy(ctx, names);
    whet_i_free(ctx, file_of);
    return status;
}

/* Neither the one file nor an index: what the folder has instead. */
static whet_status no_weights(whet_ctx *ctx, const char *dir) {
    static const char *const pickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    char path[4096];
    bool has = false;
    for (int64_t i = 0; i < WHET_COUNT_OF(pickled); i++) {
        const int n = snprintf(path, sizeof path, "%s/%s", dir, pickled[i]);
        has |= n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
    }
    errno = ENOENT;
    return whet_i_fail(
        ctx, WHET_ERR_IO,
        "no model.safetensors and no model.safetensors.index.json; expected one of them%s",
        has ? "; the folder has pickled weights; try save_pretrained of transformers" : "");
}

static whet_status open_indexed(whet_ctx *ctx, const char *dir, whet_i_weight_files *f) {
    char *path = NULL;
    json_t *index = NULL;
    whet_names *names = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, "model.safetensors.index.json", &path));
    status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &index);
    if (status == WHET_ERR_IO && whet_error_errno(ctx) == ENOENT) status = no_weights(ctx, dir);
    if (status != WHET_OK) goto done;
    WHET_TRY_DONE(whet_names_create(ctx, &names));
    WHET_TRY_DONE(whet_i_weight_files_parse(ctx, index, names));
    WHET_TRY_DONE(whet_i_calloc(ctx, whet_names_count(names), &f->items));
    for (int64_t i = 0; i < whet_names_count(names); i++) {
        status = open_one(ctx, dir, whet_names_get(names, i).ptr, f);
        if (status != WHET_OK) status = whet_i_fail_at(ctx, status, "model.safetensors.index.json");
        if (status != WHET_OK) goto done;
    }
    status = check_listed(ctx, path, index, f);
done:
    whet_names_destroy(ctx, names);
    json_decref(index);
    whet_i_free(ctx, path);
    return status;
}

void whet_i_weight_files_close(whet_ctx *ctx, whet_i_weight_files *f) {
    for (int64_t i = 0; i < f->n; i++) {
        whet_safetensors_close(ctx, f->items[i].tensors);
        whet_i_free(ctx, f->items[i].name);
    }
    whet_i_free(ctx, f->items);
    f->items = NULL;
    f->n = 0;
}

void whet_i_weight_files_forget(const whet_i_weight_files *f) {
    for (int64_t i = 0; i < f->n; i++) whet_i_safetensors_forget(f->items[i].tensors);
}

whet_status whet_i_weight_files_open(whet_ctx *ctx, const char *dir, whet_i_weight_files *f) {
    WHET_TRY(whet_i_calloc(ctx, 1, &f->items));
    const whet_status status = open_one(ctx, dir, "model.safetensors", f);
    if (status != WHET_ERR_IO || whet_error_errno(ctx) != ENOENT) return status;
    whet_i_weight_files_close(ctx, f);
    return open_indexed(ctx, dir, f);
}

bool whet_i_weight_files_find(const whet_i_weight_files *f, const char *name, whet_tensor *out) {
    for (int64_t i = 0; i < f->n; i++)
        if (whet_safetensors_find(f->items[i].tensors, name, out)) return true;
    return false;
}

static bool is_bound(const whet_i_params *params, const whet_tensor *t) {
    for (int64_t i = 0; i < params->n; i++)
        if (params->items[i].source.data == t->data) return true;
    return false;
}

/* Heads, poolers and buffers, of encoders and language models. */
static bool is_optional(whet_str name) {
    static const char *const parts[] = {
        "pooler.",      "cls.",     "lm_head.",    "vocab_",
        "classifier",   "score.",   "qa_outputs.", "seq_relationship",
        "position_ids", "inv_freq", "masked_bias"};
    for (int i = 0; i < WHET_COUNT_OF(parts); i++) {
        const int64_t length = (int64_t)strlen(parts[i]);
        for (int64_t at = 0; at + length <= name.len; at++)
            if (memcmp(name.ptr + at, parts[i], (size_t)length) == 0) return true;
    }
    return false;
}

/* Of tensors that no parameter is bound to, but of heads, poolers and buffers, which folders of one model
 * have or lack. */
static void warn_of_unread(whet_ctx *ctx, const whet_safetensors *tensors, const char *file,
                           const whet_i_params *params) {
    char quoted[WHET_QUOTE_SIZE];
    const int64_t n = whet_safetensors_count(tensors);
    int64_t unread = 0, first = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        const whet_str name = whet_safetensors_name(tensors, i);
        whet_tensor t;
        char ended[NAME_SIZE];
        (void)snprintf(ended, sizeof ended, "%.*s",
                       (int)(name.len < NAME_SIZE ? name.len : NAME_SIZE), name.ptr);
        if (is_optional(name) ||
            (whet_safetensors_find(tensors, ended, &t) && is_bound(params, &t)))
            continue;
        unread++;
        first = i;
    }
    if (unread)
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "%s: %lld of %lld tensors are none of this model's, and are not read; the first is %s",
            file, (long long)unread, (long long)n,
            whet_i_quote(quoted, whet_safetensors_name(tensors, first)));
}

whet_status whet_i_weight_files_bind(whet_ctx *ctx, const whet_i_weight_files *f,
                                     whet_i_params *params, const char *prefix) {
    char shape[WHET_I_SHAPE_TEXT];
    int64_t missing = 0;
    for (int64_t i = 0; i < f->n; i++)
        WHET_TRY(whet_i_params_bind(ctx, params, f->items[i].tensors, f->items[i].name, prefix,
                                    f->n > 1 ? &missing : NULL));
    for (int64_t i = 0; i < f->n; i++)
        warn_of_unread(ctx, f->items[i].tensors, f->items[i].name, params);
    for (int64_t i = 0; missing && i < params->n; i++) {
        const whet_i_param *p = &params->items[i];
        if (p->source.data || p->init != WHET_I_INIT_REQUIRED) continue;
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "model.safetensors.index.json: tensor \"%s\" is in none of its %lld "
                           "files; expected %s",
                           p->name, (long long)f->n, whet_i_shape_text(shape, p->rank, p->shape));
    }
    return WHET_OK;
}

whet_status whet_i_model_tokenizer(whet_ctx *ctx, const char *dir, int64_t vocab,
                                   whet_tokenizer **out) {
    whet_tokenizer *tokenizer;
    WHET_TRY(whet_tokenizer_load(ctx, dir, &tokenizer));
    const int64_t tokens = whet_tokenizer_vocab_size(tokenizer);
    if (tokens <= vocab) {
        *out = tokenizer;
        return WHET_OK;
    }
    whet_tokenizer_destroy(ctx, tokenizer);
    return whet_i_fail(
        ctx, WHET_ERR_SHAPE,
        "tokenizer.json has %lld tokens; expected at most %lld, \"vocab_size\" of config.json",
        (long long)tokens, (long long)vocab);
}

whet_status whet_i_check_lowers(whet_ctx *ctx, const whet_tokenizer *tokenizer) {
    const whet_str texts[] = {whet_str_from("A Quick BROWN fox Jumps"),
                              whet_str_from("a quick brown fox jumps")};
    whet_token_rows rows;
    WHET_TRY(whet_tokenizer_encode(ctx, tokenizer, texts, 2, 0, &rows));
    const int64_t n = rows.start[1];
    const bool same =
        rows.start[2] == 2 * n && memcmp(rows.ids, rows.ids + n, (size_t)n * sizeof *rows.ids) == 0;
    whet_token_rows_destroy(ctx, &rows);
    if (same) return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED,
        "sentence_bert_config.json: \"do_lower_case\" is true, and the tokenizer keeps "
        "capitals; expected false; try texts in small letters");
}
