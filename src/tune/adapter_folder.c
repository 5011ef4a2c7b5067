/* SPDX-License-Identifier: Apache-2.0
 * Folders of adapters, read and written: adapter_config.json and adapter_model.safetensors, as PEFT names
 * things. Names of tensors tell which layers there are; the config tells what their numbers mean. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tune/adapter_parts.h"

enum { JSON_BYTES_MAX = 1 << 24, ADVICE_ROOM = 300, NAME_ROOM = 1024 };
static const char config_file[] = "adapter_config.json";
static const char weights_file[] = "adapter_model.safetensors";
const char whet_i_peft_prefix[] = "base_model.model.";

/* ---- which folder ----------------------------------------------------------------------------- */

static bool has_file(const char *dir, const char *name, const char *file) {
    char path[4096];
    struct stat info;
    const int n = snprintf(path, sizeof path, "%s/%s%s%s", dir, name, *name ? "/" : "", file);
    return n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* The one subfolder with a config; "" where there is none; or its names in a sentence. */
static whet_status find_named(whet_ctx *ctx, const char *dir, char *name, size_t room) {
    char names[ADVICE_ROOM] = "", quoted[WHET_QUOTE_SIZE];
    int64_t n = 0;
    DIR *list = opendir(dir);
    name[0] = '\0';
    if (!list)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected a folder of adapters", dir,
                           strerror(errno));
    for (const struct dirent *e; (e = readdir(list));) {
        if (e->d_name[0] == '.' || !has_file(dir, e->d_name, config_file)) continue;
        const size_t length = strlen(e->d_name), used = strlen(names);
        if (length >= room) continue;
        if (n++ == 0) memcpy(name, e->d_name, length + 1);
        (void)whet_i_quote(quoted, whet_str_from(e->d_name));
        if (used + strlen(quoted) + 2 < sizeof names)
            (void)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "", quoted);
    }
    (void)closedir(list);
    if (n <= 1) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%s: holds %lld named adapters; expected the folder of one, of %s", dir,
                       (long long)n, names);
}

/* The folder that has the files. */
static whet_status resolve(whet_ctx *ctx, const char *dir, char **out) {
    char name[256];
    if (has_file(dir, "", config_file)) return whet_i_strdup(ctx, whet_str_from(dir), out);
    WHET_TRY(find_named(ctx, dir, name, sizeof name));
    if (name[0]) return whet_i_join_path(ctx, dir, name, out);
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: no %s; expected a folder of adapters", dir,
                       config_file);
}

/* ---- names of tensors ------------------------------------------------------------------------- */

static const struct {
    const char *end;
    whet_i_part part;
} ends[] = {
    {".lora_A.weight", WHET_I_PART_FIRST},
    {".lora_B.weight", WHET_I_PART_SECOND},
    {".lora_magnitude_vector", WHET_I_PART_MAGNITUDE},
    {".lora_magnitude_vector.weight", WHET_I_PART_MAGNITUDE},
    {".more_w1", WHET_I_PART_FIRST},
    {".more_w2", WHET_I_PART_SECOND},
    {".blkdiag1", WHET_I_PART_FIRST},
    {".blkdiag2", WHET_I_PART_SECOND},
    {".gralora_A", WHET_I_PART_FIRST},
    {".gralora_B", WHET_I_PART_SECOND},
    {".gralora_A_general.weight", WHET_I_PART_GENERAL_FIRST},
    {".gralora_B_general.weight", WHET_I_PART_GENERAL_SECOND},
    {".base_layer.bias", WHET_I_PART_BIAS},
};

static bool ends_with(whet_str name, const char *end) {
    const int64_t n = (int64_t)strlen(end);
    return name.len > n && memcmp(name.ptr + name.len - n, end, (size_t)n) == 0;
}

static bool is_copy(const char *name) {
    return strstr(name, ".original_module.") || strstr(name, ".modules_to_save.");
}

/* Marks of what is refused by name. */
static const char *strange(const char *name) {
    if (strstr(name, ".lora_embedding_")) return "adapters of word vectors are not known here";
    if (is_copy(name)) return "it is PEFT's copy of a module that is saved whole";
    if (strstr(name, ".lora_")) return "this part of an adapter is not known here";
    if (strstr(name, ".base_layer.")) return "it is a weight of the base itself";
    return ends_with(whet_str_from(name), ".weight") || ends_with(whet_str_from(name), ".bias")
               ? NULL
               : "it is no part of an adapter that is known here";
}

static whet_str without_prefix(whet_str name) {
    const int64_t n = (int64_t)strlen(whet_i_peft_prefix);
    if (name.len <= n || memcmp(name.ptr, whet_i_peft_prefix, (size_t)n) != 0) return name;
    return (whet_str){name.ptr + n, name.len - n};
}

static whet_status keep(whet_ctx *ctx, whet_i_arena *arena, whet_str text, const char **out) {
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, arena, text.len + 1, 1, &copy));
    memcpy(copy, text.ptr, (size_t)text.len);
    copy[text.len] = '\0';
    *out = copy;
    return WHET_OK;
}

/* Of a folder of weights of the model itself: such a weight, whose name becomes the model's (`text`), or
 * false: a module that is saved whole. PEFT marks those of norms. */
static bool own_name(const whet_adapter *a, const whet_i_peft_config *config, whet_str name,
                     char *text, size_t room) {
    const char *segment = a->own ? a->own->segment : NULL;
    const char *last = strrchr(name.ptr, '.');
    const size_t length = segment ? strlen(segment) : 0;
    if (!a->own || !last || (size_t)name.len >= room) return false;
    int64_t module = last - name.ptr;
    if (segment) { /* ".segment" before the last part */
        module -= (int64_t)length + 1;
        if (module <= 0 || name.ptr[module] != '.' ||
            memcmp(name.ptr + module + 1, segment, length) != 0)
            return false;
    }
    (void)snprintf(text, room, "%.*s", (int)module, name.ptr);
    if (whet_i_modules_hold(&config->common, &config->common.saved, text)) return false;
    (void)snprintf(text, room, "%.*s%s", (int)module, name.ptr, last);
    return true;
}

/* A weight of the model itself is a vector: nothing else is BitFit's or a norm's. */
static whet_status add_own(whet_ctx *ctx, whet_adapter *a, const char *name,
                           const whet_tensor *tensor) {
    char quoted[WHET_QUOTE_SIZE], shape[WHET_I_SHAPE_TEXT];
    whet_i_adapter_whole *whole = &a->wholes[a->n_wholes];
    const bool of_kind = a->own->segment || ends_with(whet_str_from(name), ".bias");
    if (tensor->rank != 1 || !of_kind)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s/%s: tensor %s is %s; expected %s, or a module of modules_to_save",
                           a->path, weights_file, whet_i_quote(quoted, whet_str_from(name)),
                           whet_i_shape_text(shape, tensor->rank, tensor->shape),
                           a->own->segment ? "a vector of a norm" : "a bias");
    *whole = (whet_i_adapter_whole){.own = true, .tensor = *tensor};
    WHET_TRY(keep(ctx, &a->arena, whet_str_from(name), &whole->name));
    a->n_wholes++;
    return WHET_OK;
}

/* With "bias": "all" the biases of all layers are trained, and PEFT writes them, with those of its copies of
 * modules that are saved whole. */
static bool is_one_of_all_biases(const whet_adapter *a, whet_str name) {
    const char *which = json_string_value(json_object_get(a->json, "bias"));
    return which && strcmp(which, "all") == 0 && ends_with(name, ".bias");
}

static bool is_saved(const whet_i_peft_config *config, whet_str tensor) {
    const char *last = strrchr(tensor.ptr, '.');
    char module[NAME_ROOM];
    (void)snprintf(module, sizeof module, "%.*s", last ? (int)(last - tensor.ptr) : 0, tensor.ptr);
    return whet_i_modules_hold(&config->common, &config->common.saved, module);
}

static whet_status add_whole(whet_ctx *ctx, whet_adapter *a, whet_str name, bool layer_bias,
                             const whet_tensor *tensor) {
    char quoted[WHET_QUOTE_SIZE];
    whet_i_adapter_whole *whole = &a->wholes[a->n_wholes];
    const char *why = layer_bias ? NULL : strange(name.ptr);
    if (why)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s/%s: tensor %s: %s; expected LoRA, DoRA, "
                           "MoRe or GraLoRA of linear layers, heads and biases",
                           a->path, weights_file, whet_i_quote(quoted, name), why);
    *whole = (whet_i_adapter_whole){.layer_bias = layer_bias, .tensor = *tensor};
    whet_i_buf text = {0};
    whet_status status = whet_i_buf_append(ctx, &text, name.ptr, name.len);
    if (status == WHET_OK && layer_bias) status = whet_i_buf_append(ctx, &text, ".bias", 5);
    if (status == WHET_OK)
        status = keep(ctx, &a->arena, (whet_str){text.data, text.len}, &whole->name);
    whet_i_buf_free(ctx, &text);
    if (status == WHET_OK) a->n_wholes++;
    return status;
}

/* One name for two tensors, with and without the prefix or in two spellings. */
static whet_status twice(whet_ctx *ctx, const whet_adapter *a, whet_str name) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(ctx, WHET_ERR_FORMAT,
                       "%s/%s: tensor %s is there under another name as well; expected it once",
                       a->path, weights_file, whet_i_quote(quoted, name));
}

/* Puts tensor `i` of the file where it belongs. */
static whet_status add_tensor(whet_ctx *ctx, whet_adapter *a, const whet_i_peft_config *config,
                              int64_t i, whet_i_parts *parts) {
    const whet_str full = whet_safetensors_name(a->file, i), name = without_prefix(full);
    char own[NAME_ROOM];
    whet_tensor view;
    whet_i_part part = WHET_I_PARTS;
    whet_str module = name;
    (void)whet_safetensors_find(a->file, full.ptr, &view);
    if (own_name(a, config, name, own, sizeof own)) return add_own(ctx, a, own, &view);
    for (int64_t e = 0; e < WHET_COUNT_OF(ends); e++) {
        if (!ends_with(name, ends[e].end)) continue;
        part = ends[e].part;
        module.len = name.len - (int64_t)strlen(ends[e].end);
    }
    if (part == WHET_I_PARTS || part == WHET_I_PART_BIAS) {
        const bool one = part == WHET_I_PARTS && is_one_of_all_biases(a, name);
        if (one && is_copy(name.ptr)) return WHET_OK;
        WHET_TRY(add_whole(ctx, a, module, part == WHET_I_PART_BIAS, &view));
        a->wholes[a->n_wholes - 1].saved = is_saved(config, name);
        a->wholes[a->n_wholes - 1].plain_bias = one && !is_saved(config, name);
        return WHET_OK;
    }
    int64_t at;
    const int64_t before = whet_names_count(parts->modules);
    WHET_TRY(whet_names_add(ctx, parts->modules, module, &at));
    if (at == before) parts->items[at] = (whet_i_layer_parts){0};
    if (parts->items[at].tensors[part].data) return twice(ctx, a, full);
    parts->items[at].tensors[part] = view;
    return WHET_OK;
}

static int by_module(const void *a, const void *b) {
    return strcmp(((const whet_i_adapter_layer *)a)->module,
                  ((const whet_i_adapter_layer *)b)->module);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const whet_i_adapter_whole *)a)->name, ((const whet_i_adapter_whole *)b)->name);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

/* Every one is finite; a tensor at a time in memory. */
static whet_status check_finite(whet_ctx *ctx, const whet_adapter *a) {
    for (int64_t i = 0; i < whet_safetensors_count(a->file); i++) {
        const whet_str name = whet_safetensors_name(a->file, i);
        char quoted[WHET_QUOTE_SIZE];
        whet_tensor view, copy;
        WHET_TRY(whet_i_progress(ctx, "read", i, whet_safetensors_count(a->file)));
        (void)whet_safetensors_find(a->file, name.ptr, &view);
        const whet_status status =
            whet_i_array_convert(ctx, whet_i_quote(quoted, name), &view, 0, WHET_F64, true, &copy);
        if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s/%s", a->path, weights_file);
        whet_tensor_destroy(ctx, &copy);
    }
    return WHET_OK;
}

/* ---- opening ---------------------------------------------------------------------------------- */

static whet_status open_weights(whet_ctx *ctx, whet_adapter *a) {
    char *path;
    if (!has_file(a->path, "", weights_file) && has_file(a->path, "", "adapter_model.bin"))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: adapter_model.bin is pickled, and could run code when it is read; "
                           "expected %s; try PEFT: "
                           "PeftModel.from_pretrained(base, folder).save_pretrained(new)",
                           a->path, weights_file);
    WHET_TRY(whet_i_join_path(ctx, a->path, weights_file, &path));
    const whet_status status = whet_safetensors_open(ctx, path, &a->file);
    whet_i_free(ctx, path);
    return status;
}

static whet_status read_tensors(whet_ctx *ctx, whet_adapter *a, const whet_i_peft_config *config,
                                whet_i_parts *parts) {
    const int64_t n = whet_safetensors_count(a->file);
    WHET_TRY(whet_names_create(ctx, &parts->modules));
    WHET_TRY(whet_i_alloc(ctx, n, &parts->items));
    WHET_TRY(whet_i_alloc(ctx, n, &a->wholes));
    for (int64_t i = 0; i < n; i++) WHET_TRY(add_tensor(ctx, a, config, i, parts));
    WHET_TRY(check_finite(ctx, a));
    WHET_TRY(whet_i_adapter_layers(ctx, a, config, parts));
    qsort(a->layers, (size_t)a->n_layers, sizeof *a->layers, by_module);
    qsort(a->wholes, (size_t)a->n_wholes, sizeof *a->wholes, by_name);
    for (int64_t i = 1; i < a->n_wholes; i++)
        if (by_name(&a->wholes[i - 1], &a->wholes[i]) == 0)
            return twice(ctx, a, whet_str_from(a->wholes[i].name));
    return whet_i_adapters_check_heads(ctx, (const whet_adapter *const[]){a}, 1);
}

static whet_status open_folder(whet_ctx *ctx, whet_adapter *a, whet_i_peft_config *config,
                               whet_i_parts *parts) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, a->path, config_file, &path));
    whet_status status = whet_i_json_read(ctx, path, JSON_BYTES_MAX, &a->json);
    if (status == WHET_OK) status = whet_i_adapter_config_init(ctx, &config->common);
    if (status == WHET_OK) status = whet_i_peft_config_read(ctx, path, a->json, config);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    a->more = config->type == WHET_I_PEFT_MORE;
    if (config->type == WHET_I_PEFT_OWN)
        a->own = whet_i_own_weights_find(
            whet_str_from(json_string_value(json_object_get(a->json, "peft_type"))));
    WHET_TRY(open_weights(ctx, a));
    return read_tensors(ctx, a, config, parts);
}

whet_status whet_adapter_open(whet_ctx *ctx, const char *dir, whet_adapter **out) {
    whet_i_peft_config config = {0};
    whet_i_parts parts = {0};
    whet_adapter *a = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &a));
    WHET_TRY_DONE(resolve(ctx, dir, &a->path));
    WHET_TRY_DONE(open_folder(ctx, a, &config, &parts));
    if (config.type == WHET_I_PEFT_GRALORA) {
        whet_adapter *made = NULL;
        WHET_TRY_DONE(whet_i_gralora_import(ctx, a, &config, &parts, &made));
        whet_adapter_close(ctx, a);
        a = made;
    }
    *out = a;
    a = NULL;
done:
    whet_adapter_close(ctx, a);
    whet_i_free(ctx, parts.items);
    whet_names_destroy(ctx, parts.modules);
    whet_i_adapter_config_free(ctx, &config.common);
    return status;
}

void whet_adapter_close(whet_ctx *ctx, whet_adapter *a) {
    if (!a) return;
    whet_safetensors_close(ctx, a->file);
    json_decref(a->json);
    whet_i_free(ctx, a->layers);
    whet_i_free(ctx, a->wholes);
    whet_i_free(ctx, a->path);
    whet_i_free(ctx, a->model);
    whet_i_arena_free(ctx, &a->arena);
    whet_i_free(ctx, a);
}

/* ---- saving ----------------------------------------------------------------------------------- */

static whet_status add_item(whet_ctx *ctx, whet_i_arena *arena, const char *name, const char *end,
                            const whet_tensor *tensor, whet_named_tensor *items, int64_t *n) {
    const size_t length = strlen(whet_i_peft_prefix) + strlen(name) + strlen(end) + 1;
    char *full;
    if (!tensor->data) return WHET_OK;
    WHET_TRY(whet_i_arena_alloc(ctx, arena, (int64_t)length, 1, &full));
    (void)snprintf(full, length, "%s%s%s", whet_i_peft_prefix, name, end);
    items[(*n)++] = (whet_named_tensor){full, *tensor};
    return WHET_OK;
}

static whet_status add_own_item(whet_ctx *ctx, whet_i_arena *arena, const char *segment,
                                const whet_i_adapter_whole *whole, whet_named_tensor *items,
                                int64_t *n) {
    const char *last = strrchr(whole->name, '.'), *kept;
    char end[64];
    WHET_TRY(keep(ctx, arena, (whet_str){whole->name, last - whole->name}, &kept));
    (void)snprintf(end, sizeof end, ".%s%s", segment, last);
    return add_item(ctx, arena, kept, end, &whole->tensor, items, n);
}

static whet_status add_whole_item(whet_ctx *ctx, const whet_adapter *a, whet_i_arena *arena,
                                  const whet_i_adapter_whole *whole, whet_named_tensor *items,
                                  int64_t *n) {
    static const char bias[] = ".bias";
    const char *kept;
    const int64_t length = (int64_t)strlen(whole->name);
    if (whole->own && a->own->segment)
        return add_own_item(ctx, arena, a->own->segment, whole, items, n);
    if (!whole->layer_bias) return add_item(ctx, arena, whole->name, "", &whole->tensor, items, n);
    WHET_TRY(keep(ctx, arena, (whet_str){whole->name, length - (int64_t)sizeof bias + 1}, &kept));
    return add_item(ctx, arena, kept, ".base_layer.bias", &whole->tensor, items, n);
}

static int by_item_name(const void *a, const void *b) {
    return strcmp(((const whet_named_tensor *)a)->name, ((const whet_named_tensor *)b)->name);
}

static whet_status write_weights(whet_ctx *ctx, const whet_adapter *a, const char *dir) {
    static const char *const metadata[] = {"format", "pt", NULL};
    whet_i_arena arena = {0};
    whet_named_tensor *items = NULL;
    char *path = NULL;
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, 3 * a->n_layers + a->n_wholes, &items));
    for (int64_t i = 0; i < a->n_layers; i++) {
        const whet_i_adapter_layer *l = &a->layers[i];
        WHET_TRY_DONE(add_item(ctx, &arena, l->module, a->more ? ".more_w1" : ".lora_A.weight",
                               &l->first, items, &n));
        WHET_TRY_DONE(add_item(ctx, &arena, l->module, a->more ? ".more_w2" : ".lora_B.weight",
                               &l->second, items, &n));
        WHET_TRY_DONE(
            add_item(ctx, &arena, l->module, ".lora_magnitude_vector", &l->magnitude, items, &n));
    }
    for (int64_t i = 0; i < a->n_wholes; i++)
        WHET_TRY_DONE(add_whole_item(ctx, a, &arena, &a->wholes[i], items, &n));
    qsort(items, (size_t)n, sizeof *items, by_item_name);
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, weights_file, &path));
    status = whet_safetensors_write(ctx, path, true, items, n, metadata);
done:
    whet_i_free(ctx, path);
    whet_i_free(ctx, items);
    whet_i_arena_free(ctx, &arena);
    return status;
}

static whet_status write_config(whet_ctx *ctx, const whet_adapter *a, const char *dir) {
    whet_i_buf text = {0};
    whet_out *out = NULL;
    char *path = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_json_dump(ctx, a->json, JSON_INDENT(2), &text));
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, config_file, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, true, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text.data, text.len));
    status = whet_out_commit(ctx, out);
    out = NULL;
done:
    whet_out_abort(ctx, out);
    whet_i_free(ctx, path);
    whet_i_buf_free(ctx, &text);
    return status;
}

whet_status whet_adapter_save(whet_ctx *ctx, const whet_adapter *a, const char *dir, bool force) {
    whet_out_dir *out = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_out_dir_open(ctx, dir, force, &out));
    WHET_TRY_DONE(write_config(ctx, a, whet_out_dir_path(out)));
    WHET_TRY_DONE(write_weights(ctx, a, whet_out_dir_path(out)));
    status = whet_out_dir_commit(ctx, out);
    out = NULL;
done:
    whet_out_dir_abort(ctx, out);
    return status;
}
