/* SPDX-License-Identifier: Apache-2.0
 * The output folder: checkpoints while the run goes on, the model at its end. Every file is written
 * beside its place and renamed, so that it is whole at any moment. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune/adapter_set.h"
#include "tune/tune_i.h"

static const char state_file[] = WHET_I_TUNE_STATE_FILE;
static const char best_file[] = "checkpoint/best.safetensors";
/* There while the folder has the outputs of an earlier run, which this one takes away at its end. */
static const char earlier_file[] = "checkpoint/earlier";

whet_status whet_i_tune_path(whet_ctx *ctx, const whet_i_tune *run, const char *name, char **out) {
    return whet_i_join_path(ctx, run->job.output, name, out);
}

whet_status whet_i_tune_write(whet_ctx *ctx, const whet_i_tune *run, const char *name,
                              const char *bytes, int64_t len) {
    return whet_i_write_file(ctx, run->job.output, name, true, bytes, len);
}

/* ---- folders ---------------------------------------------------------------------------------- */

static whet_status make_folder(whet_ctx *ctx, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_IO, "%s: %s; expected to make this folder", path,
                       strerror(errno));
}

static whet_status make_folder_in(whet_ctx *ctx, const whet_i_tune *run, const char *name) {
    char *path;
    WHET_TRY(whet_i_tune_path(ctx, run, name, &path));
    const whet_status status = make_folder(ctx, path);
    whet_i_free(ctx, path);
    return status;
}

/* Without the context's memory: what is swept up must not fail. */
static void remove_file(const whet_i_tune *run, const char *name) {
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s", run->job.output, name);
    if (n > 0 && (size_t)n < sizeof path) (void)remove(path);
}

/* What a run that was killed left half written. */
static void sweep(const whet_i_tune *run) {
    char path[4096];
    whet_i_remove_stale(run->job.output);
    const int n = snprintf(path, sizeof path, "%s/checkpoint", run->job.output);
    if (n > 0 && (size_t)n < sizeof path) whet_i_remove_stale(path);
}

static bool has_file(const whet_i_tune *run, const char *name) {
    char path[4096];
    struct stat info;
    const int n = snprintf(path, sizeof path, "%s/%s", run->job.output, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0;
}

static bool is_output(const whet_i_tune *run, const char *folder) {
    return folder && whet_same_path(run->job.output, folder);
}

/* What this run starts from is kept, also where it writes beside it; so is what no run has written. */
static bool has_earlier_run(const whet_i_tune *run) {
    return has_file(run, WHET_I_TUNE_REPORT_FILE) && !is_output(run, run->job.model) &&
           !is_output(run, run->job.init_adapter);
}

whet_status whet_i_tune_begin_folder(whet_ctx *ctx, whet_i_tune *run) {
    struct stat info;
    run->made = run->made || lstat(run->job.output, &info) != 0;
    WHET_TRY(make_folder(ctx, run->job.output));
    run->writes = true;
    WHET_TRY(make_folder_in(ctx, run, "checkpoint"));
    whet_i_tune_mark(run->job.output);
    if (!run->job.resume) {
        remove_file(run, state_file);
        remove_file(run, best_file);
        remove_file(run, earlier_file);
        if (has_earlier_run(run)) WHET_TRY(whet_i_tune_write(ctx, run, earlier_file, "", 0));
    }
    sweep(run);
    return WHET_OK;
}

void whet_i_tune_end_folder(const whet_i_tune *run) {
    remove_file(run, state_file);
    remove_file(run, best_file);
    remove_file(run, earlier_file);
    whet_i_tune_unmark(run->job.output);
    remove_file(run, "checkpoint");
}

/* An earlier run of another kind left a model beside these adapters, or adapters beside this model: readers
 * would take the wrong one, or both. */
static void remove_earlier(const whet_i_tune *run, bool weights, bool adapters) {
    static const char *const of_weights[] = {"model.safetensors", "config.json"};
    static const char *const of_adapters[] = {"adapter_model.safetensors", "adapter_config.json"};
    static const char *const inside[] = {"adapter/adapter_model.safetensors",
                                         "adapter/adapter_config.json", "adapter"};
    if (!has_file(run, earlier_file)) return;
    for (int64_t i = 0; !weights && i < WHET_COUNT_OF(of_weights); i++)
        remove_file(run, of_weights[i]);
    for (int64_t i = 0; (weights || !adapters) && i < WHET_COUNT_OF(of_adapters); i++)
        remove_file(run, of_adapters[i]);
    for (int64_t i = 0; !(weights && adapters) && i < WHET_COUNT_OF(inside); i++)
        remove_file(run, inside[i]);
}

/* ---- checkpoints ------------------------------------------------------------------------------ */

whet_status whet_i_tune_save_checkpoint(whet_ctx *ctx, whet_i_tune *run) {
    char *path;
    WHET_TRY(whet_i_tune_write_log(ctx, run));
    WHET_TRY(whet_i_tune_path(ctx, run, state_file, &path));
    const whet_status status =
        whet_i_training_save(ctx, path, run->optimizer, &run->state, run->fingerprint);
    whet_i_free(ctx, path);
    return status;
}

static whet_tensor view_of(const whet_i_param *p, void *data) {
    whet_tensor t = {.data = data, .dtype = WHET_F32, .rank = p->rank};
    memcpy(t.shape, p->shape, sizeof p->shape);
    return t;
}

/* As PEFT calls a parameter in an adapter's folder. */
static whet_status peft_name(whet_ctx *ctx, const whet_i_tune *run, const whet_i_param *p,
                             whet_i_arena *arena, const char **out) {
    const char *segment = whet_i_tune_is_of_adapter(run, p) ? run->adapter->segment : NULL;
    const char *last = strrchr(p->name, '.');
    const int before = segment && last ? (int)(last + 1 - p->name) : 0;
    const size_t size = strlen(p->name) + (segment ? strlen(segment) : 0) + 32;
    char *name;
    WHET_TRY(whet_i_arena_alloc(ctx, arena, (int64_t)size, 1, &name));
    (void)snprintf(name, size, "base_model.model.%.*s%s%s%s", before, p->name,
                   before ? segment : "", before ? "." : "", p->name + before);
    *out = name;
    return WHET_OK;
}

/* The trained parameters under their own names, or PEFT's; there a head that is trained word vectors stands
 * beside them, as PEFT would keep the base's. */
static whet_status save_trained(whet_ctx *ctx, const whet_i_tune *run, const char *name,
                                bool peft) {
    char hex[WHET_I_CHECKPOINT_HASH];
    /* What goes on with the best values must know them whole. */
    const char *const metadata[] = {"format", "pt", peft ? NULL : "hash", hex, NULL};
    whet_named_tensor *items = NULL;
    whet_i_arena arena = {0};
    char *path = NULL;
    const bool shares = whet_i_tune_shares_words(run);
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, run->params->n + 1, &items));
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        const char *full = p->name;
        if (!p->trainable) continue;
        if (peft) WHET_TRY_DONE(peft_name(ctx, run, p, &arena, &full));
        items[n++] = (whet_named_tensor){full, view_of(p, p->values)};
        if (peft && shares && strcmp(p->name, "model.embed_tokens.weight") == 0)
            items[n++] =
                (whet_named_tensor){"base_model.model.lm_head.weight", view_of(p, p->values)};
    }
    whet_i_checkpoint_hash(items, n, 0, hex);
    WHET_TRY_DONE(whet_i_tune_path(ctx, run, name, &path));
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, true, items, n, metadata));
done:
    whet_i_free(ctx, path);
    whet_i_arena_free(ctx, &arena);
    whet_i_free(ctx, items);
    return status;
}

whet_status whet_i_tune_save_best(whet_ctx *ctx, whet_i_tune *run) {
    return save_trained(ctx, run, best_file, false);
}

/* The tensors of the file, in the order of what is trained; those of earlier versions have no hash. */
static whet_status check_best(whet_ctx *ctx, const whet_i_tune *run, const char *path,
                              const whet_safetensors *file) {
    whet_named_tensor *items = NULL;
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, run->params->n, &items));
    for (int64_t i = 0; status == WHET_OK && i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        whet_tensor t;
        if (!p->trainable) continue;
        if (!whet_safetensors_find(file, p->name, &t) || t.dtype != WHET_F32 ||
            whet_tensor_count(&t) != p->count)
            status =
                whet_i_fail(ctx, WHET_ERR_FORMAT,
                            "%s: tensor \"%s\" is not what was saved; expected it", path, p->name);
        items[n++] = (whet_named_tensor){p->name, t};
    }
    if (status == WHET_OK && whet_safetensors_metadata(file, "hash").ptr)
        status = whet_i_checkpoint_check(ctx, path, file, items, n, 0);
    whet_i_free(ctx, items);
    return status;
}

static void copy_values(const whet_i_tune *run, const whet_safetensors *file) {
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        whet_tensor t;
        if (p->trainable && whet_safetensors_find(file, p->name, &t))
            memcpy(p->values, t.data, (size_t)p->count * sizeof *p->values);
    }
}

/* copy false: only checks. */
static whet_status read_best(whet_ctx *ctx, const whet_i_tune *run, bool copy) {
    whet_safetensors *file = NULL;
    char *path;
    WHET_TRY(whet_i_tune_path(ctx, run, best_file, &path));
    whet_status status = whet_safetensors_open(ctx, path, &file);
    if (status == WHET_OK) status = check_best(ctx, run, path, file);
    if (status == WHET_OK && copy) copy_values(run, file);
    whet_safetensors_close(ctx, file);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_i_tune_load_best(whet_ctx *ctx, whet_i_tune *run) {
    return read_best(ctx, run, true);
}

whet_status whet_i_tune_load_checkpoint(whet_ctx *ctx, whet_i_tune *run) {
    char *path;
    WHET_TRY(whet_i_tune_path(ctx, run, state_file, &path));
    const whet_status status =
        whet_i_training_load(ctx, path, run->optimizer, &run->state, run->fingerprint);
    whet_i_free(ctx, path);
    WHET_TRY(status);
    /* Before the work, not behind it. */
    if (!isnan(run->state.best)) WHET_TRY(read_best(ctx, run, false));
    WHET_TRY(whet_i_params_pack(ctx, run->params));
    return whet_i_tune_read_log(ctx, run);
}

/* ---- the model -------------------------------------------------------------------------------- */

static whet_status write_json(whet_ctx *ctx, const whet_i_tune *run, const char *name,
                              const json_t *object) {
    whet_i_buf buf = {0};
    whet_status status = whet_i_json_dump(ctx, object, JSON_INDENT(2), &buf);
    if (status == WHET_OK) status = whet_i_tune_write(ctx, run, name, buf.data, buf.len);
    whet_i_buf_free(ctx, &buf);
    return status;
}

static void put_classes(const whet_i_tune *run, json_t *config) {
    json_t *names = json_object(), *numbers = json_object();
    for (int64_t c = 0; c < run->k; c++) {
        char number[24];
        const whet_str name =
            run->classes ? whet_names_get(run->classes, c) : whet_str_from("LABEL_0");
        (void)snprintf(number, sizeof number, "%lld", (long long)c);
        (void)json_object_set_new(names, number, json_stringn(name.ptr, (size_t)name.len));
        (void)json_object_setn_new(numbers, name.ptr, (size_t)name.len, json_integer(c));
    }
    (void)json_object_set_new(config, "id2label", names);
    (void)json_object_set_new(config, "label2id", numbers);
    (void)json_object_set_new(
        config, "problem_type",
        json_string(run->regression ? "regression" : "single_label_classification"));
}

/* "BertForSequenceClassification" to "BertModel" or "BertForCausalLM": what transformers calls the model
 * without a head for classes. */
static void put_architecture(const whet_i_tune *run, const char *what, json_t *config) {
    char name[128];
    const char *classifier = run->backbone.classifier, *end = strstr(classifier, "For");
    const int n = end ? (int)(end - classifier) : (int)strlen(classifier);
    (void)snprintf(name, sizeof name, "%.*s%s", n, classifier, what);
    (void)json_object_set_new(config, "architectures", json_pack("[s]", name));
}

/* What a language model's config.json says of its weights, as they are now: trained ones are f32, and
 * transformers needs a token to pad with, to classify several texts at once. */
static void put_language_model(const whet_i_tune *run, json_t *config) {
    static const char *const types[] = {"dtype", "torch_dtype"};
    const whet_i_llama_config *c = &run->backbone.llama;
    for (int i = 0; i < 2; i++)
        if (json_object_get(config, types[i]))
            (void)json_object_set_new(config, types[i], json_string("float32"));
    (void)json_object_set_new(config, "tie_word_embeddings", json_boolean(c->tied));
    if (whet_i_tune_has_head(run) && !json_is_integer(json_object_get(config, "pad_token_id")))
        (void)json_object_set_new(config, "pad_token_id",
                                  json_integer(c->n_ends > 0 ? c->ends[0] : 0));
}

static whet_status save_config(whet_ctx *ctx, const whet_i_tune *run) {
    json_t *config = json_deep_copy(run->backbone.config_json);
    if (!config) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: config.json");
    if (whet_i_tune_has_head(run)) put_classes(run, config);
    if (run->backbone.causal) put_language_model(run, config);
    (void)json_object_del(config, WHET_I_HEAD_KEY);
    /* With a head on the pooled row it is no model that transformers has a name for. */
    if (whet_i_tune_has_head(run) && run->job.head == WHET_TUNE_HEAD_POOLED)
        (void)json_object_set_new(config, WHET_I_HEAD_KEY, json_string(WHET_I_HEAD_POOLED_NAME));
    if (run->kind->embeds || json_object_get(config, WHET_I_HEAD_KEY))
        put_architecture(run, "Model", config);
    else if (!whet_i_tune_has_head(run))
        put_architecture(run, "ForCausalLM", config);
    else
        (void)json_object_set_new(config, "architectures",
                                  json_pack("[s]", run->backbone.classifier));
    const whet_status status = write_json(ctx, run, "config.json", config);
    json_decref(config);
    return status;
}

/* transformers' encoder has a pooler, which embeddings pass by: kept as it was. */
static void keep_pooler(const whet_i_tune *run, char names[2][128], whet_named_tensor *items,
                        int64_t *n) {
    static const char *const ends[] = {"weight", "bias"};
    const whet_i_family *f = run->backbone.encoder.family;
    for (int i = 0; i < 2 && run->kind->embeds && f->pooler; i++) {
        char prefixed[128];
        whet_tensor t;
        (void)snprintf(names[i], 128, "%s.%s", f->pooler, ends[i]);
        (void)snprintf(prefixed, sizeof prefixed, "%s%s.%s", f->prefix, f->pooler, ends[i]);
        if (whet_i_weight_files_find(&run->backbone.files, names[i], &t) ||
            whet_i_weight_files_find(&run->backbone.files, prefixed, &t))
            items[(*n)++] = (whet_named_tensor){names[i], t};
    }
}

/* Adapters, which only a model without a head leaves here, are merged into their layers. */
static whet_status save_weights(whet_ctx *ctx, const whet_i_tune *run) {
    static const char *const metadata[] = {"format", "pt", NULL};
    whet_named_tensor *items = NULL;
    whet_i_arena arena = {0};
    char *path = NULL, names[2][128];
    int64_t n = 0;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, run->params->n + 2, &items));
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        float *merged = NULL;
        if (whet_i_tune_is_adapter(p->name)) continue;
        WHET_TRY_DONE(whet_i_tune_merged(ctx, run, (whet_i_param_id)i, &arena, &merged));
        items[n++] = (whet_named_tensor){p->name, merged         ? view_of(p, merged)
                                                  : p->trainable ? view_of(p, p->values)
                                                                 : p->source};
    }
    keep_pooler(run, names, items, &n);
    WHET_TRY_DONE(whet_i_tune_path(ctx, run, "model.safetensors", &path));
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, true, items, n, metadata));
done:
    whet_i_arena_free(ctx, &arena);
    whet_i_free(ctx, path);
    whet_i_free(ctx, items);
    return status;
}

#define POOLING "1_Pooling"

/* Files that say how texts become tokens and tokens become one row; those that there are. */
static whet_status copy_files(whet_ctx *ctx, const whet_i_tune *run) {
    enum { BYTES_MAX = 1 << 28 };
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "vocab.txt",
                                        "vocab.json",
                                        "merges.txt",
                                        "added_tokens.json",
                                        "tokenizer.model",
                                        "chat_template.jinja",
                                        "generation_config.json",
                                        "sentence_bert_config.json",
                                        "modules.json",
                                        "config_sentence_transformers.json",
                                        "1_Pooling/config.json"};
    for (int64_t i = 0; i < WHET_COUNT_OF(names); i++) {
        char *path, *bytes = NULL;
        int64_t len;
        WHET_TRY(whet_i_join_path(ctx, run->job.model, names[i], &path));
        whet_status status = whet_i_file_read(ctx, path, BYTES_MAX, &bytes, &len);
        const int error = status == WHET_ERR_IO ? whet_error_errno(ctx) : 0;
        whet_i_free(ctx, path);
        if (error == ENOENT || error == ENOTDIR) continue;
        if (status == WHET_OK && strncmp(names[i], POOLING, sizeof POOLING - 1) == 0)
            status = make_folder_in(ctx, run, POOLING);
        if (status == WHET_OK) status = whet_i_tune_write(ctx, run, names[i], bytes, len);
        whet_i_free(ctx, bytes);
        WHET_TRY(status);
    }
    return WHET_OK;
}

/* [out, in] of layers whose blocks have room for more. */
static void put_sizes(const whet_i_tune *run, json_t *config) {
    json_t *sizes = json_object();
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        whet_i_adapter_settings settings;
        char module[512];
        (void)snprintf(module, sizeof module, "%s", p->name);
        char *end = strrchr(module, '.');
        if (!end || strcmp(end, ".weight") != 0 || p->rank != 2) continue;
        *end = '\0';
        if (!whet_i_tune_adapted(run, module, &settings)) continue;
        const whet_i_adapter_shape s =
            whet_i_tune_adapter_shape(run, module, p->shape[1], p->shape[0], &settings);
        if (s.in == s.blocks * s.p && s.out == s.blocks * s.q) continue;
        (void)json_object_set_new(sizes, module,
                                  json_pack("[I, I]", (json_int_t)s.out, (json_int_t)s.in));
    }
    if (json_object_size(sizes) > 0) (void)json_object_set(config, WHET_I_SIZES_KEY, sizes);
    json_decref(sizes);
}

/* Which weights the adapters are for. */
static whet_status put_base(whet_ctx *ctx, const whet_i_tune *run, json_t *config) {
    char identity[WHET_I_IDENTITY];
    WHET_TRY(whet_i_base_identity(ctx, &run->backbone.files, identity));
    (void)json_object_set_new(config, WHET_I_BASE_KEY, json_string(identity));
    return WHET_OK;
}

static whet_status save_adapter_config(whet_ctx *ctx, const whet_i_tune *run, const char *name) {
    const bool head = whet_i_tune_has_head(run);
    const bool pooled = head && run->job.head == WHET_TUNE_HEAD_POOLED;
    const char *task = head ? "SEQ_CLS" : run->kind->embeds ? "FEATURE_EXTRACTION" : "CAUSAL_LM";
    json_t *o = whet_i_adapter_config_json(&run->config, run->adapter->peft_type);
    if (!o) return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: adapter_config.json");
    (void)json_object_set_new(o, "base_model_name_or_path", json_string(run->job.model));
    (void)json_object_set_new(o, "inference_mode", json_true());
    /* transformers' model with a head for classes would compute something else by it. */
    if (pooled) (void)json_object_set_new(o, WHET_I_HEAD_KEY, json_string(WHET_I_HEAD_POOLED_NAME));
    (void)json_object_set_new(o, "task_type", pooled ? json_null() : json_string(task));
    if (head) put_classes(run, o);
    if (whet_i_tune_shares_words(run) && run->adapter->adapts)
        (void)json_object_set_new(o, "ensure_weight_tying", json_true());
    put_sizes(run, o);
    whet_status status = put_base(ctx, run, o);
    if (status == WHET_OK) status = write_json(ctx, run, name, o);
    json_decref(o);
    return status;
}

whet_status whet_i_tune_save_model(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_buf svg = {0};
    whet_status status = WHET_OK;
    const bool adapters = run->adapter->peft_type != NULL;
    const bool merged = !whet_i_tune_has_head(run) || run->given;
    if (!adapters || merged) {
        WHET_TRY(save_weights(ctx, run));
        WHET_TRY(save_config(ctx, run));
        WHET_TRY(copy_files(ctx, run));
    }
    if (adapters && merged) WHET_TRY(make_folder_in(ctx, run, "adapter"));
    if (adapters) {
        WHET_TRY(save_trained(
            ctx, run, merged ? "adapter/adapter_model.safetensors" : "adapter_model.safetensors",
            true));
        WHET_TRY(save_adapter_config(
            ctx, run, merged ? "adapter/adapter_config.json" : "adapter_config.json"));
    }
    remove_earlier(run, !adapters || merged, adapters);
    WHET_TRY(whet_i_tune_write_log(ctx, run));
    WHET_TRY_DONE(whet_i_tune_curve(ctx, run, &svg));
    WHET_TRY_DONE(whet_i_tune_write(ctx, run, "learning-curve.svg", svg.data, svg.len));
done:
    whet_i_buf_free(ctx, &svg);
    return status;
}
