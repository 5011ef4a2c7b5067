/* SPDX-License-Identifier: Apache-2.0
 * A plan from headers alone: models opened, tensors matched, the output laid out byte by byte, everything
 * that can be wrong told before any work. */
#include "merge/merge_plan.h"
#include "merge/weight_shards.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "merge/merge_passes.h"

enum { RECIPE_BYTES_MAX = 1 << 20 };

/* ---- models ----------------------------------------------------------------------------------- */

whet_status whet_i_plan_model(whet_ctx *ctx, whet_merge_plan *plan, const char *path,
                              const char *lora, int64_t *index) {
    for (int64_t i = 0; i < plan->n_models; i++)
        if (whet_i_merge_same_path(plan->models[i].path, path) &&
            whet_i_merge_same_path(plan->models[i].lora, lora)) {
            *index = i;
            return WHET_OK;
        }
    if (plan->n_models == plan->cap_models) {
        WHET_TRY(whet_i_realloc(ctx, &plan->models, plan->cap_models * 2 + 4));
        plan->cap_models = plan->cap_models * 2 + 4;
    }
    plan->models[plan->n_models] = (whet_i_merge_model){0};
    *index = plan->n_models++;
    return whet_i_merge_model_open(ctx, path, lora, &plan->models[*index]);
}

static whet_status note_missing(whet_ctx *ctx, const char *path, whet_names *missing) {
    struct stat info;
    if (!path || stat(path, &info) == 0 || errno != ENOENT) return WHET_OK;
    return whet_names_add(ctx, missing, whet_str_from(path), NULL);
}

/* All that is not there is named at once. */
static whet_status check_present(whet_ctx *ctx, const whet_i_recipe *r) {
    whet_names *missing;
    whet_i_buf list = {0};
    whet_status status = WHET_OK;
    WHET_TRY(whet_names_create(ctx, &missing));
    WHET_TRY_DONE(note_missing(ctx, r->base, missing));
    WHET_TRY_DONE(note_missing(ctx, r->base_lora, missing));
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t k = 0; k < r->slices[i].n; k++) {
            const whet_i_recipe_source *s = &r->slices[i].sources[k];
            WHET_TRY_DONE(note_missing(ctx, s->model, missing));
            WHET_TRY_DONE(note_missing(ctx, s->lora, missing));
            WHET_TRY_DONE(note_missing(ctx, s->importance, missing));
        }
    for (int64_t i = 0; i < whet_names_count(missing); i++)
        WHET_TRY_DONE(
            whet_i_buf_printf(ctx, &list, "%s%s", i ? ", " : "", whet_names_get(missing, i).ptr));
    if (list.len) {
        errno = ENOENT;
        status = whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be examined: %s", list.data,
                             strerror(ENOENT));
    }
done:
    whet_i_buf_free(ctx, &list);
    whet_names_destroy(ctx, missing);
    return status;
}

/* The base first, else the first model: where config and tokenizer come from. */
static whet_status open_models(whet_ctx *ctx, whet_merge_plan *plan) {
    const whet_i_recipe *r = &plan->recipe;
    int64_t index;
    plan->base = -1;
    WHET_TRY(check_present(ctx, r));
    if (r->base) WHET_TRY(whet_i_plan_model(ctx, plan, r->base, r->base_lora, &plan->base));
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t k = 0; k < r->slices[i].n; k++)
            WHET_TRY(whet_i_plan_model(ctx, plan, r->slices[i].sources[k].model,
                                       r->slices[i].sources[k].lora, &index));
    for (int64_t i = 0; i < plan->n_models; i++)
        if (plan->models[i].config)
            WHET_TRY(
                whet_i_add_heads(ctx, plan->models[i].path, plan->models[i].config, &plan->heads));
    return WHET_OK;
}

/* ---- from the job ----------------------------------------------------------------------------- */

static whet_status split_model(whet_ctx *ctx, whet_i_recipe *r, const char *text,
                               const char **model, const char **lora) {
    struct stat info;
    const char *plus = strrchr(text, '+');
    if (!plus || plus == text || !plus[1] || stat(text, &info) == 0)
        return whet_i_recipe_text(ctx, r, whet_str_from(text), model);
    WHET_TRY(whet_i_recipe_text(ctx, r, whet_str_from(plus + 1), lora));
    return whet_i_recipe_text(ctx, r, (whet_str){text, plus - text}, model);
}

/* The recipe that method, models and base amount to. */
static whet_status recipe_of(whet_ctx *ctx, const whet_merge_job *job, whet_i_recipe *r) {
    whet_i_recipe_slice *slice;
    WHET_TRY(whet_i_merge_find(ctx, whet_str_from(job->method), &r->method));
    const bool from_base =
        job->base && job->n_models == 1 && strcmp(r->method->shown.name, "slerp") == 0;
    const int64_t n = job->n_models + from_base;
    if (n < 1 || n > WHET_MERGE_MODELS_MAX)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%" PRId64 " models; expected 1 to %d", n,
                           WHET_MERGE_MODELS_MAX);
    WHET_TRY(whet_i_arena_alloc(ctx, &r->arena, 1, sizeof *slice, (void *)&slice));
    *slice = (whet_i_recipe_slice){.n = n};
    WHET_TRY(
        whet_i_arena_alloc(ctx, &r->arena, n, sizeof *slice->sources, (void *)&slice->sources));
    memset(slice->sources, 0, (size_t)n * sizeof *slice->sources);
    for (int64_t i = 0; i < n; i++) {
        whet_i_recipe_source *s = &slice->sources[i];
        const int64_t k = from_base ? 0 : i;
        WHET_TRY(split_model(ctx, r, from_base && i == 0 ? job->base : job->models[k], &s->model,
                             &s->lora));
        s->first = -1;
        if (job->importance)
            WHET_TRY(whet_i_recipe_text(ctx, r, whet_str_from(job->importance[k]), &s->importance));
    }
    r->slices = slice;
    r->n = 1;
    return job->base ? split_model(ctx, r, job->base, &r->base, &r->base_lora) : WHET_OK;
}

/* The job's settings; they go over the recipe's own. */
static whet_status add_settings(whet_ctx *ctx, const whet_merge_job *job, whet_i_recipe *r) {
    for (int64_t k = 0; k < job->n_settings; k++) {
        const whet_merge_setting *given = &job->settings[k];
        const whet_str name = whet_str_from(given->name);
        const int32_t found = whet_i_setting_find(name);
        const whet_i_setting setting = (whet_i_setting)(found < 0 ? 0 : found);
        if (found < 0 || !whet_i_merge_use(r->method, setting))
            return whet_i_merge_unknown_setting(ctx, r->method, name);
        WHET_TRY(whet_i_merge_check_setting(ctx, r->method, setting, given->value));
        if (given->model >= 0 && (!whet_i_setting_kind_of(setting)->per_model || r->stacked))
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "parameter \"%s\" of model %lld; expected it for all, as %s",
                               given->name, (long long)given->model,
                               r->stacked ? "slices have models of their own" : "it is no model's");
        if (given->model < -1 || given->model >= r->slices[0].n)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "parameter \"%s\" of model %lld; expected one of %lld, from 0",
                               given->name, (long long)given->model, (long long)r->slices[0].n);
        for (int64_t s = 0; s < r->n; s++)
            for (int64_t i = 0; i < r->slices[s].n; i++)
                if (given->model < 0 || given->model == i)
                    WHET_TRY(whet_i_recipe_set(ctx, r, &r->slices[s].sources[i].settings, setting,
                                               given->value));
    }
    return WHET_OK;
}

static whet_status read_job(whet_ctx *ctx, const whet_merge_job *job, whet_merge_plan *plan) {
    whet_i_recipe *r = &plan->recipe;
    if (!job->recipe == !job->method)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s; expected either a recipe or a method",
                           job->recipe ? "a recipe and a method" : "neither recipe nor method");
    if (job->recipe && (job->n_models || job->base || job->importance))
        return whet_i_fail(ctx, WHET_ERR_ARG, "models beside a recipe; expected those of %s alone",
                           job->recipe);
    if (job->recipe) {
        char *bytes;
        int64_t len;
        WHET_TRY(whet_i_file_read(ctx, job->recipe, RECIPE_BYTES_MAX, &bytes, &len));
        const whet_status status = whet_i_recipe_parse(ctx, job->recipe, bytes, len, r);
        whet_i_free(ctx, bytes);
        WHET_TRY(status);
    } else {
        WHET_TRY(recipe_of(ctx, job, r));
    }
    return add_settings(ctx, job, r);
}

/* ---- settings --------------------------------------------------------------------------------- */

/* A filter that fits nothing is a slip of the pen. */
static void warn_unfit(whet_ctx *ctx, const whet_merge_plan *plan,
                       const whet_i_recipe_setting *setting) {
    for (int64_t k = 0; k < setting->n; k++) {
        const char *filter = setting->values[k].filter;
        char quoted[WHET_QUOTE_SIZE];
        int64_t i = 0;
        if (!filter || strcmp(filter, "*") == 0) continue;
        while (i < plan->n && !strstr(plan->items[i].name, filter)) i++;
        if (i == plan->n)
            whet_i_log(ctx, WHET_LOG_WARN, "filter %s of \"%s\" is part of no tensor's name",
                       whet_i_quote(quoted, whet_str_from(filter)),
                       whet_i_setting_kind_of(setting->setting)->name);
    }
}

/* Settings that stand in the recipe and do nothing are told, once each. */
static void warn_unused(whet_ctx *ctx, const whet_merge_plan *plan,
                        const whet_i_recipe_settings *settings, bool *told) {
    for (int64_t i = 0; i < settings->n; i++) {
        const whet_i_setting setting = settings->items[i].setting;
        warn_unfit(ctx, plan, &settings->items[i]);
        if (told[setting] || whet_i_merge_use(plan->recipe.method, setting)) continue;
        told[setting] = true;
        whet_i_log(ctx, WHET_LOG_WARN, "parameter \"%s\" has no effect with %s",
                   whet_i_setting_kind_of(setting)->name, plan->recipe.method->shown.name);
    }
}

/* A base that the method does not mix is told, for it gives less than one may think. Not of slerp, whose base
 * is one of its models. */
static void warn_unused_base(whet_ctx *ctx, const whet_merge_plan *plan) {
    const whet_i_recipe *r = &plan->recipe;
    const whet_merge_method *method = &r->method->shown;
    if (!r->base || method->base != WHET_MERGE_BASE_NONE || strcmp(method->name, "slerp") == 0)
        return;
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t k = 0; k < r->slices[i].n; k++) {
            const whet_i_recipe_source *s = &r->slices[i].sources[k];
            if (whet_i_merge_same_path(s->model, r->base) &&
                whet_i_merge_same_path(s->lora, r->base_lora))
                return;
        }
    whet_i_log(ctx, WHET_LOG_WARN,
               "the base %s has no effect on weights with %s; config and tokenizer are its",
               r->base, method->name);
}

/* Other models may have what the output then lacks. */
static void warn_no_config(whet_ctx *ctx, const whet_merge_plan *plan) {
    int64_t i = 0;
    while (i < plan->n_models && !plan->models[i].folder) i++;
    if (plan->single || i == 0 || i == plan->n_models) return;
    whet_i_log(
        ctx, WHET_LOG_WARN,
        "%s is a file: %s gets no config.json and no tokenizer, which are the base's, or the "
        "first model's",
        plan->models[0].path, plan->output);
}

static whet_status check_item(whet_ctx *ctx, const whet_merge_plan *plan,
                              const whet_i_merge_item *item, double (*setting)[WHET_I_SET_COUNT]) {
    const whet_i_merge_method *method = plan->recipe.method;
    const whet_i_merge_tensor t = {.method = method,
                                   .name = item->name,
                                   .n = item->n_models,
                                   .setting = (const double(*)[WHET_I_SET_COUNT])setting};
    WHET_TRY(whet_i_plan_settings(ctx, plan, item, setting));
    return method->check ? method->check(ctx, &t) : WHET_OK;
}

static whet_status check_settings(whet_ctx *ctx, const whet_merge_plan *plan) {
    double(*setting)[WHET_I_SET_COUNT];
    bool told[WHET_I_SET_COUNT] = {false};
    const whet_i_recipe *r = &plan->recipe;
    warn_unused_base(ctx, plan);
    warn_no_config(ctx, plan);
    warn_unused(ctx, plan, &r->settings, told);
    for (int64_t i = 0; i < r->n; i++) {
        warn_unused(ctx, plan, &r->slices[i].settings, told);
        for (int64_t k = 0; k < r->slices[i].n; k++)
            warn_unused(ctx, plan, &r->slices[i].sources[k].settings, told);
    }
    WHET_TRY(whet_i_alloc(ctx, WHET_MERGE_MODELS_MAX, &setting));
    whet_status status = WHET_OK;
    for (int64_t i = 0; status == WHET_OK && i < plan->n; i++)
        if (!plan->items[i].copied) status = check_item(ctx, plan, &plan->items[i], setting);
    whet_i_free(ctx, setting);
    return status;
}

/* ---- layout ----------------------------------------------------------------------------------- */

static whet_status lay_out_shard(whet_ctx *ctx, whet_merge_plan *plan, whet_i_merge_shard *shard) {
    static const char *const metadata[] = {"format", "pt", NULL};
    whet_named_tensor *named;
    WHET_TRY(whet_i_calloc(ctx, shard->n, &named));
    for (int64_t i = 0; i < shard->n; i++) {
        const whet_i_merge_item *item = &plan->items[shard->first + i];
        named[i].name = item->name;
        named[i].tensor.dtype = item->dtype;
        named[i].tensor.rank = item->rank;
        memcpy(named[i].tensor.shape, item->shape, sizeof item->shape);
    }
    const whet_status status =
        whet_i_safetensors_header(ctx, named, shard->n, metadata, &shard->header);
    whet_i_free(ctx, named);
    WHET_TRY(status);
    shard->bytes = shard->header.len;
    for (int64_t i = 0; i < shard->n; i++) {
        whet_i_merge_item *item = &plan->items[shard->first + i];
        item->shard = shard - plan->shards;
        item->offset = shard->bytes;
        WHET_TRY(whet_i_add(ctx, shard->bytes, item->bytes, &shard->bytes));
    }
    return WHET_OK;
}

/* Which items go to which file, and the bytes at which they begin. */
static whet_status lay_out(whet_ctx *ctx, whet_merge_plan *plan, int64_t shard_bytes) {
    const int64_t most = plan->single ? INT64_MAX : shard_bytes ? shard_bytes : WHET_I_SHARD_BYTES;
    char name[WHET_I_SHARD_NAME];
    whet_i_sharded *cut = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, plan->n, &cut));
    for (int64_t i = 0; i < plan->n; i++) cut[i].bytes = plan->items[i].bytes;
    const int64_t n = whet_i_cut_shards(cut, plan->n, most);
    WHET_TRY_DONE(whet_i_calloc(ctx, n, &plan->shards));
    plan->n_shards = n;
    for (int64_t i = 0; i < plan->n; i++) {
        whet_i_merge_shard *shard = &plan->shards[cut[i].shard];
        if (shard->n++ == 0) shard->first = i;
    }
    for (int64_t i = 0; i < n; i++) {
        whet_i_shard_name(i, n, name);
        WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(name), &plan->shards[i].name));
        WHET_TRY_DONE(lay_out_shard(ctx, plan, &plan->shards[i]));
    }
done:
    whet_i_free(ctx, cut);
    return status;
}

/* ---- the output ------------------------------------------------------------------------------- */

/* The folder that holds a path, into out. */
static void parent_of(const char *path, char *out, size_t size) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        (void)snprintf(out, size, ".");
    else
        (void)snprintf(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Bytes on the disk that an interrupted run holds already, and this one goes on in or frees. */
static double held_by_earlier(const whet_merge_plan *plan) {
    char folder[4096];
    double bytes = 0;
    const int n = snprintf(folder, sizeof folder, "%s" WHET_I_MERGE_STAGE, plan->output);
    DIR *entries = n > 0 && (size_t)n < sizeof folder ? opendir(folder) : NULL;
    for (const struct dirent *e; entries && (e = readdir(entries));) {
        struct stat info;
        if (e->d_name[0] != '.' && fstatat(dirfd(entries), e->d_name, &info, 0) == 0)
            bytes += 512. * (double)info.st_blocks;
    }
    if (entries) (void)closedir(entries);
    return bytes;
}

static whet_status check_output(whet_ctx *ctx, const whet_merge_plan *plan) {
    struct stat info;
    struct statvfs room;
    char parent[4096];
    int64_t bytes = 0;
    if (plan->output[strspn(plan->output, "./")] == '\0' ||
        whet_i_has_extension(plan->output, "/..") || whet_i_has_extension(plan->output, "/."))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: a folder that cannot be replaced; expected a name", plan->output);
    if (lstat(plan->output, &info) == 0) {
        if (!plan->force) return whet_i_out_exists(ctx, plan->output);
        if (!plan->single == !S_ISDIR(info.st_mode)) {
            errno = plan->single ? EISDIR : ENOTDIR;
            return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be replaced: %s", plan->output,
                               strerror(errno));
        }
    }
    for (int64_t i = 0; i < plan->n_models; i++) {
        const whet_i_merge_model *m = &plan->models[i];
        WHET_TRY(whet_i_out_check_apart(ctx, plan->output, m->path));
        if (m->lora) WHET_TRY(whet_i_out_check_apart(ctx, plan->output, m->lora));
    }
    parent_of(plan->output, parent, sizeof parent);
    if (statvfs(parent, &room) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be examined: %s", parent, strerror(errno));
    if (access(parent, W_OK | X_OK) != 0)
        return whet_i_fail(ctx, WHET_ERR_IO, "%s: cannot be written in: %s", parent,
                           strerror(errno));
    for (int64_t i = 0; i < plan->n_shards; i++)
        WHET_TRY(whet_i_add(ctx, bytes, plan->shards[i].bytes, &bytes));
    const double left = (double)room.f_bavail * (double)room.f_frsize + held_by_earlier(plan);
    if ((double)bytes <= left) return WHET_OK;
    errno = ENOSPC;
    return whet_i_fail(ctx, WHET_ERR_IO,
                       "%s: the output takes %.3g GB; expected at most the %.3g GB free in %s",
                       plan->output, (double)bytes * 1e-9, left * 1e-9, parent);
}

/* ---- fingerprint ------------------------------------------------------------------------------ */

/* What a file says that the models are aligned by. */
static whet_status mix_specification(whet_ctx *ctx, const whet_merge_plan *plan, const char *arch,
                                     uint64_t *hash) {
    char *bytes = NULL;
    int64_t len;
    if (!plan->aligning || !arch || !whet_i_has_extension(arch, ".json")) return WHET_OK;
    WHET_TRY(whet_i_file_read(ctx, arch, WHET_FILE_MAX, &bytes, &len));
    *hash = whet_i_hash_u64(*hash ^ whet_i_hash_bytes(bytes, len));
    whet_i_free(ctx, bytes);
    return WHET_OK;
}

/* Low-rank additions are held in memory: by their numbers. */
static uint64_t mix_additions(const whet_i_merge_model *model, uint64_t hash) {
    for (int64_t i = 0; i < model->n_additions; i++) {
        const whet_i_merge_lora *l = &model->additions[i].lora;
        const int64_t size = (int64_t)sizeof(float);
        hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(l->a, l->rank * l->in * size));
        hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(l->b, l->out * l->rank * size));
        hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(&l->scale, sizeof l->scale));
    }
    return hash;
}

static whet_status fingerprint(whet_ctx *ctx, whet_merge_plan *plan, const char *arch) {
    double(*setting)[WHET_I_SET_COUNT];
    whet_i_buf text = {0};
    WHET_TRY(whet_i_alloc(ctx, WHET_MERGE_MODELS_MAX, &setting));
    whet_status status =
        whet_i_buf_printf(ctx, &text, "%s %s %" PRIu64 " %d %" PRIx64 " %s %" PRId64 "\n",
                          WHET_VERSION, plan->recipe.method->shown.name, plan->seed,
                          (int)plan->recipe.tokens, whet_i_vocabulary_hash(&plan->vocabulary),
                          arch ? arch : "", plan->aligning ? plan->aligning->restarts : 0);
    uint64_t hash = 0;
    if (status == WHET_OK) status = mix_specification(ctx, plan, arch, &hash);
    for (int64_t m = 0; m < plan->n_models; m++) hash = mix_additions(&plan->models[m], hash);
    for (int64_t m = 0; m < plan->n_models; m++)
        for (int64_t f = 0; status == WHET_OK && f < plan->models[m].n_files; f++) {
            const whet_i_merge_file *file = &plan->models[m].files[f];
            status = whet_i_buf_printf(ctx, &text, "%s %s %" PRId64 " %" PRId64 " %" PRId64 "\n",
                                       file->path, plan->models[m].lora ? plan->models[m].lora : "",
                                       file->bytes, file->seconds, file->nanoseconds);
        }
    for (int64_t i = 0; status == WHET_OK && i < plan->n; i++) {
        const whet_i_merge_item *item = &plan->items[i];
        if (!item->copied) status = whet_i_plan_settings(ctx, plan, item, setting);
        if (status == WHET_OK)
            status = whet_i_buf_printf(ctx, &text, "%s %d %" PRId64 "\n", item->name,
                                       (int)item->dtype, item->offset);
        for (int64_t k = 0; status == WHET_OK && k < item->n_places; k++)
            status = whet_i_buf_printf(ctx, &text, "%" PRId64 " %" PRId64 "\n",
                                       item->places[k].model, item->places[k].offset);
        if (!item->copied && status == WHET_OK)
            status =
                whet_i_buf_append(ctx, &text, setting, item->n_models * (int64_t)sizeof *setting);
        if (text.len < 1 << 16 && i < plan->n - 1) continue;
        hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(text.data, text.len));
        text.len = 0;
    }
    (void)snprintf(plan->fingerprint, sizeof plan->fingerprint, "%016" PRIx64, hash);
    whet_i_buf_free(ctx, &text);
    whet_i_free(ctx, setting);
    return status;
}

/* ---- making ----------------------------------------------------------------------------------- */

/* What every tensor is made from, checked. */
static whet_status plan_tensors(whet_ctx *ctx, const whet_merge_job *job, whet_merge_plan *plan) {
    whet_status status = whet_i_plan_items(ctx, plan);
    if (status == WHET_OK && plan->n == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%s: no tensors; expected some",
                           plan->models[0].path);
    if (status == WHET_OK) status = check_settings(ctx, plan);
    if (status == WHET_ERR_ARG && job->recipe) /* of the file, not of the call */
        status = whet_i_fail_at(ctx, WHET_ERR_FORMAT, "%s", job->recipe);
    return status;
}

static whet_status make(whet_ctx *ctx, const whet_merge_job *job, whet_merge_plan *plan) {
    plan->layers = -1;
    plan->force = job->force;
    plan->seed = job->seed;
    plan->dtype_given = job->dtype_given;
    plan->dtype = job->dtype;
    plan->threads = whet_ctx_threads(ctx);
    plan->block_bytes = job->block_bytes ? job->block_bytes : WHET_I_MERGE_BLOCK_BYTES;
    if (!job->output || !*job->output)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "no output; expected a folder or a .safetensors file");
    if (job->shard_bytes < 0 || job->block_bytes < 0)
        return whet_i_fail(ctx, WHET_ERR_ARG, "shard or block of negative size; expected bytes");
    if (job->dtype_given && job->dtype != WHET_F32 && job->dtype != WHET_F16 &&
        job->dtype != WHET_BF16)
        return whet_i_fail(ctx, WHET_ERR_ARG, "output as %s; expected f32, f16 or bf16",
                           whet_dtype_name(job->dtype));
    int64_t len = (int64_t)strlen(job->output);
    while (len > 1 && job->output[len - 1] == '/') len--;
    WHET_TRY(whet_i_strdup(ctx, (whet_str){job->output, len}, &plan->output));
    plan->single = whet_i_has_extension(plan->output, ".safetensors");
    WHET_TRY(read_job(ctx, job, plan));
    WHET_TRY(open_models(ctx, plan));
    WHET_TRY(whet_i_plan_template(ctx, plan));
    WHET_TRY(whet_i_plan_vocabulary(ctx, plan));
    WHET_TRY(plan_tensors(ctx, job, plan));
    if (job->align) WHET_TRY(whet_i_plan_align(ctx, plan, job->align, job->align_restarts));
    WHET_TRY(lay_out(ctx, plan, job->shard_bytes));
    whet_i_plan_lanes(plan);
    WHET_TRY(check_output(ctx, plan));
    return fingerprint(ctx, plan, job->align);
}

whet_status whet_merge_plan_create(whet_ctx *ctx, const whet_merge_job *given,
                                   whet_merge_plan **out) {
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    whet_merge_plan *plan;
    WHET_TRY(whet_i_opts(ctx, given, &job, sizeof job, "whet_merge_job"));
    WHET_TRY(whet_i_calloc(ctx, 1, &plan));
    const whet_status status = make(ctx, &job, plan);
    if (status != WHET_OK) {
        whet_merge_plan_destroy(ctx, plan);
        return status;
    }
    *out = plan;
    return WHET_OK;
}

void whet_merge_plan_destroy(whet_ctx *ctx, whet_merge_plan *plan) {
    if (!plan) return;
    whet_i_vocabulary_clear(ctx, plan);
    whet_i_plan_align_clear(ctx, plan);
    for (int64_t i = 0; i < plan->n_models; i++) whet_i_merge_model_close(ctx, &plan->models[i]);
    for (int64_t i = 0; i < plan->n_shards; i++) {
        whet_i_free(ctx, plan->shards[i].name);
        whet_i_buf_free(ctx, &plan->shards[i].header);
    }
    whet_i_free(ctx, plan->models);
    whet_i_free(ctx, plan->items);
    whet_i_free(ctx, plan->shards);
    whet_i_free(ctx, plan->output);
    whet_i_buf_free(ctx, &plan->mismatches);
    whet_i_arena_free(ctx, &plan->arena);
    whet_i_recipe_clear(ctx, &plan->recipe);
    whet_i_free(ctx, plan);
}

/* ---- looking at it ---------------------------------------------------------------------------- */

int64_t whet_merge_plan_count(const whet_merge_plan *plan) { return plan->n; }

int64_t whet_i_plan_held(const whet_merge_plan *plan, const whet_i_merge_item *item) {
    if (plan->aligning) return 4; /* rows and columns may be taken in another order */
    for (int64_t i = 0; i < item->n_places; i++) {
        const whet_i_merge_place *p = &item->places[i];
        const bool mapped = item->table && p->model < plan->vocabulary.n;
        if (!p->file || p->lora || mapped || whet_dtype_size(p->dtype) != 2) return 4;
    }
    return 2;
}

static int64_t read_bytes(const whet_i_merge_item *item) {
    int64_t bytes = 0;
    for (int64_t k = 0; k < (item->copied ? 1 : item->n_places); k++)
        bytes += item->count * (int64_t)whet_dtype_size(item->places[k].dtype);
    return bytes;
}

void whet_merge_plan_get(const whet_merge_plan *plan, int64_t i, whet_merge_planned *out) {
    const whet_i_merge_item *item = &plan->items[i];
    *out =
        (whet_merge_planned){.name = item->name,
                             .file = plan->single ? plan->output : plan->shards[item->shard].name,
                             .dtype = item->dtype,
                             .rank = item->rank,
                             .bytes = item->bytes,
                             .read_bytes = read_bytes(item),
                             .copied = item->copied};
    memcpy(out->shape, item->shape, sizeof item->shape);
}

/* Models as given: one that stands in a slice twice is two. */
static int64_t count_models(const whet_merge_plan *plan) {
    int64_t n = plan->n_models;
    const whet_i_recipe_slice *slice = plan->recipe.slices;
    for (int64_t i = 1; plan->recipe.n == 1 && i < slice->n; i++) {
        bool twice = false;
        for (int64_t k = 0; k < i; k++)
            twice |= whet_i_merge_same_path(slice->sources[i].model, slice->sources[k].model) &&
                     whet_i_merge_same_path(slice->sources[i].lora, slice->sources[k].lora);
        n += twice;
    }
    return n;
}

void whet_merge_plan_totals(const whet_merge_plan *plan, whet_merge_totals *out) {
    int64_t block = 0, additions = 0;
    int64_t most = 0, lent = 0, beside = 0; /* of tensors that are read again; of the others */
    *out = (whet_merge_totals){.method = plan->recipe.method->shown.name,
                               .tensors = plan->n,
                               .files = plan->n_shards,
                               .models = count_models(plan)};
    for (int64_t i = 0; i < plan->n_models; i++) additions += plan->models[i].addition_bytes;
    for (int64_t i = 0; i < plan->n; i++) {
        const whet_i_merge_item *item = &plan->items[i];
        out->numbers += item->count;
        out->bytes += item->bytes;
        out->read_bytes += read_bytes(item);
        if (item->copied) continue;
        whet_i_merge_tensor t;
        whet_i_plan_tensor(plan, item, &t);
        const int64_t lanes = item->beside ? plan->threads : 1;
        const int32_t threads = item->beside ? 1 : plan->threads;
        const int64_t bytes = lanes * whet_i_merge_tensor_bytes(&t, threads);
        const int64_t held = lanes * whet_i_merge_block_bytes(&t, threads);
        const int64_t resident = lanes * whet_i_merge_resident_bytes(&t);
        if (held > block) block = held;
        if (resident > lent) lent = resident;
        if (resident == 0 && bytes > most) most = bytes;
        if (resident > 0 && bytes > beside) beside = bytes;
    }
    out->block_bytes = block;
    if (lent + beside > most) most = lent + beside;
    out->memory_bytes = most + additions;
}
