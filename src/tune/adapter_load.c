/* SPDX-License-Identifier: Apache-2.0
 * Encoders and language models that are loaded with adapters in them. */
#include <stdio.h>

#include "tune/adapter_attach.h"
#include "tune/backbone.h"

/* What a model keeps of its adapters until it is destroyed. */
typedef struct loaded {
    whet_adapter **items; /* [n] */
    double *weights;
    int64_t n;
    whet_i_attached at;
} loaded;

static void close_loaded(whet_ctx *ctx, void *arg) {
    loaded *l = arg;
    for (int64_t i = 0; l->items && i < l->n; i++) whet_adapter_close(ctx, l->items[i]);
    whet_i_attached_free(ctx, &l->at);
    whet_i_free(ctx, l->items);
    whet_i_free(ctx, l->weights);
    whet_i_free(ctx, l);
}

static whet_status check_use(whet_ctx *ctx, const whet_adapter_use *use) {
    if (!use->adapters || use->n < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%lld adapters; expected one at least",
                           (long long)use->n);
    return whet_i_adapter_check_weights(ctx, use->weights, use->n);
}

static whet_status open_all(whet_ctx *ctx, const char *dir, const whet_adapter_use *use,
                            const whet_i_weight_files *files, loaded *l) {
    char identity[WHET_I_IDENTITY];
    WHET_TRY(whet_i_base_identity(ctx, files, identity));
    WHET_TRY(whet_i_alloc_(ctx, use->n, sizeof(void *), true, &l->items));
    WHET_TRY(whet_i_alloc(ctx, use->n, &l->weights));
    l->n = use->n;
    for (int64_t i = 0; i < use->n; i++) {
        l->weights[i] = use->weights ? use->weights[i] : 1;
        WHET_TRY(whet_adapter_open(ctx, use->adapters[i], &l->items[i]));
        WHET_TRY(whet_i_adapter_fit(ctx, l->items[i], dir, files, identity, use->any_base));
    }
    WHET_TRY(whet_i_adapters_take_heads(ctx, l->items, use->adapters, use->n, use->heads_of));
    l->at = (whet_i_attached){.items = (const whet_adapter *const *)l->items,
                              .weights = l->weights,
                              .n = l->n,
                              .prefix = l->at.prefix};
    return whet_i_attach(ctx, &l->at, dir, files, identity);
}

static whet_status open_loaded(whet_ctx *ctx, const char *dir, const whet_adapter_use *given,
                               loaded *l) {
    whet_adapter_use use = WHET_ADAPTER_USE_INIT;
    whet_i_weight_files files = {0};
    char quoted[WHET_QUOTE_SIZE];
    WHET_TRY(whet_i_opts(ctx, given, &use, sizeof use, "whet_adapter_use"));
    WHET_TRY(check_use(ctx, &use));
    whet_status status = whet_i_weight_files_open(ctx, dir, &files);
    if (status != WHET_OK)
        status = whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(dir)));
    if (status == WHET_OK) status = open_all(ctx, dir, &use, &files, l);
    whet_i_weight_files_close(ctx, &files);
    return status;
}

/* ---- in the model ------------------------------------------------------------------------------ */

/* The module of a parameter "<module>.weight"; false = another parameter. */
static bool module_of(const whet_i_param *p, char *module, size_t room) {
    const char *end = strrchr(p->name, '.');
    if (!end || strcmp(end, ".weight") != 0 || (size_t)(end - p->name) >= room) return false;
    (void)snprintf(module, room, "%.*s", (int)(end - p->name), p->name);
    return true;
}

/* Layers that the model does not run, such as a pooler behind the embeddings, are told. */
static void warn_of_unused(whet_ctx *ctx, const loaded *l, const whet_i_params *params) {
    const whet_adapter *a = l->at.layers;
    char module[1024], quoted[WHET_QUOTE_SIZE];
    int64_t used = 0;
    for (int64_t i = 0; i < params->n; i++)
        used += module_of(&params->items[i], module, sizeof module) &&
                whet_i_attached_has(&l->at, module);
    if (a && used < a->n_layers)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %lld of %lld layers are none that run here, and are passed by",
                   whet_i_quote(quoted, whet_str_from(a->path)), (long long)(a->n_layers - used),
                   (long long)a->n_layers);
}

static whet_status at_stage(whet_ctx *ctx, void *arg, whet_i_load_stage stage,
                            whet_i_params *params) {
    const loaded *l = arg;
    if (stage == WHET_I_LOAD_SETTLED) warn_of_unused(ctx, l, params);
    return whet_i_attached_at(ctx, &l->at, stage, params);
}

/* The hook of a model in `dir`, which the model closes. */
static whet_status make_hook(whet_ctx *ctx, const char *dir, const char *prefix,
                             const whet_adapter_use *use, whet_i_load_hook *hook) {
    loaded *l;
    WHET_TRY(whet_i_calloc(ctx, 1, &l));
    l->at.prefix = prefix;
    const whet_status status = open_loaded(ctx, dir, use, l);
    if (status != WHET_OK) {
        close_loaded(ctx, l);
        return status;
    }
    *hook = (whet_i_load_hook){.adapters = &l->at.hook,
                               .at = at_stage,
                               .close = close_loaded,
                               .arg = l,
                               .hash = whet_i_attached_hash(&l->at),
                               .parts_head = l->at.parts_head};
    return WHET_OK;
}

whet_status whet_encoder_load_adapted(whet_ctx *ctx, const char *dir, const whet_encoder_opts *opts,
                                      const whet_adapter_use *use, whet_encoder **out) {
    const whet_encoder_opts plain = WHET_ENCODER_OPTS_INIT;
    whet_i_encoder_config config; /* for what its family's names begin with */
    whet_i_load_hook hook;
    char quoted[WHET_QUOTE_SIZE];
    const whet_status status = whet_i_encoder_config_read(ctx, dir, &plain, &config);
    if (status != WHET_OK)
        return whet_i_fail_at(ctx, status, "model %s", whet_i_quote(quoted, whet_str_from(dir)));
    WHET_TRY(make_hook(ctx, dir, config.family->prefix, use, &hook));
    return whet_i_encoder_load(ctx, dir, opts, hook, out);
}

whet_status whet_language_model_load_adapted(whet_ctx *ctx, const char *dir, whet_dtype dtype,
                                             const whet_adapter_use *use,
                                             whet_language_model **out) {
    whet_i_load_hook hook;
    WHET_TRY(make_hook(ctx, dir, "model.", use, &hook));
    return whet_i_language_model_load(ctx, dir, dtype, hook, out);
}
