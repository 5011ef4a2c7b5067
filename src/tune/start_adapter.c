/* SPDX-License-Identifier: Apache-2.0
 * Training that goes on from a folder of adapters: what they are, where they are, and their values come from
 * it, and not from the job. */
#include "tune/adapter_set.h"
#include "tune/tune_i.h"

/* Which numbers layers_to_transform means where layers_pattern says which of a name's numbers counts: those
 * of the layers that are there. */
static whet_status number_layers(whet_ctx *ctx, const whet_adapter *start,
                                 whet_i_adapter_config *config) {
    if (config->layers || !whet_i_peft_says(start->json, "layers_to_transform")) return WHET_OK;
    WHET_TRY(whet_i_alloc(ctx, start->n_layers, &config->layers));
    for (int64_t i = 0; i < start->n_layers; i++) {
        const int64_t number = whet_i_module_number(start->layers[i].module);
        bool there = false;
        for (int64_t k = 0; k < config->n_layers; k++) there = there || config->layers[k] == number;
        if (!there) config->layers[config->n_layers++] = number;
    }
    return WHET_OK;
}

whet_status whet_i_tune_open_start(whet_ctx *ctx, whet_i_tune *run) {
    whet_i_peft_config config = {0};
    if (!run->job.init_adapter) return WHET_OK;
    WHET_TRY(whet_adapter_open(ctx, run->job.init_adapter, &run->start));
    WHET_TRY(whet_i_adapter_check_layers(ctx, run->start));
    WHET_TRY(whet_adapter_fit(ctx, run->start, run->job.model, false));
    whet_status status = whet_i_adapter_config_init(ctx, &config.common);
    if (status == WHET_OK)
        status = whet_i_peft_config_read(ctx, "adapter_config.json", run->start->json, &config);
    if (status == WHET_OK && config.type == WHET_I_PEFT_GRALORA)
        status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                             "%s is GraLoRA, which is not trained here; expected LoRA, DoRA or "
                             "MoRe (whet tune export makes LoRA of it)",
                             run->job.init_adapter);
    if (status == WHET_OK) status = number_layers(ctx, run->start, &config.common);
    if (status != WHET_OK) {
        whet_i_adapter_config_free(ctx, &config.common);
        return status;
    }
    run->config = config.common;
    if (whet_i_adapter_head_is_pooled(run->start)) run->job.head = WHET_TUNE_HEAD_POOLED;
    run->job.rank = run->config.rank;
    run->job.alpha = run->config.alpha;
    run->job.blocks = run->config.blocks;
    run->job.rank_stabilised = run->config.rank_stabilised;
    run->job.adapter = config.type == WHET_I_PEFT_MORE ? WHET_TUNE_MORE
                       : config.dora                   ? WHET_TUNE_DORA
                                                       : WHET_TUNE_LORA;
    return WHET_OK;
}

/* What the folder has, in place of what was drawn. */
static whet_status take(whet_ctx *ctx, const whet_i_tune *run, const whet_i_param *p,
                        const whet_tensor *t) {
    whet_tensor copy;
    if (whet_tensor_count(t) != p->count)
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "%s: \"%s\" has %lld numbers; expected %lld, as the model and its "
                           "labels say",
                           run->job.init_adapter, p->name, (long long)whet_tensor_count(t),
                           (long long)p->count);
    WHET_TRY(whet_tensor_convert(ctx, t, WHET_F32, &copy));
    memcpy(p->values, copy.data, (size_t)p->count * sizeof *p->values);
    whet_tensor_destroy(ctx, &copy);
    return WHET_OK;
}

/* The layer's tensor for parameter `name` of an adapter: "<module>.<factor>"; NULL = another layer's. */
static const whet_tensor *part_of(const whet_i_tune *run, const whet_i_adapter_layer *layer,
                                  const char *name) {
    const whet_tensor *const parts[] = {&layer->first, &layer->second, &layer->magnitude};
    const size_t length = strlen(layer->module);
    if (strncmp(name, layer->module, length) != 0 || name[length] != '.') return NULL;
    for (int32_t i = 0; i < 3; i++) {
        const char *factor = whet_i_adapter_factor(run->config.kind, i);
        if (!factor) break;
        if (strcmp(name + length + 1, factor) == 0) return parts[i];
    }
    return NULL;
}

/* Names of an encoder that is trained without a head lack the prefix that PEFT's may have. */
static const char *without_prefix(const whet_i_tune *run, const char *name) {
    const size_t length = strlen(run->backbone.prefix);
    return strncmp(name, run->backbone.prefix, length) == 0 ? name + length : name;
}

whet_i_adapter_shape whet_i_tune_adapter_shape(const whet_i_tune *run, const char *module,
                                               int64_t in, int64_t out,
                                               const whet_i_adapter_settings *settings) {
    for (int64_t i = 0; run->start && i < run->start->n_layers; i++) {
        const whet_i_adapter_layer *l = &run->start->layers[i];
        if (strcmp(without_prefix(run, l->module), without_prefix(run, module)) == 0 &&
            l->shape.in == in && l->shape.out == out)
            return l->shape;
    }
    return whet_i_adapter_shape_of(in, out, settings->blocks, settings->rank);
}

static whet_status start_factor(whet_ctx *ctx, const whet_i_tune *run, const whet_i_param *p) {
    for (int64_t i = 0; i < run->start->n_layers; i++) {
        whet_i_adapter_layer layer = run->start->layers[i];
        layer.module = without_prefix(run, layer.module);
        const whet_tensor *t = part_of(run, &layer, without_prefix(run, p->name));
        if (t) return take(ctx, run, p, t);
    }
    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                       "%s has no \"%s\"; expected the layers that its target_modules say",
                       run->job.init_adapter, p->name);
}

static whet_status start_whole(whet_ctx *ctx, whet_i_tune *run, const whet_i_param *p) {
    bool of_head;
    whet_tensor t;
    WHET_TRY(whet_i_tune_head_tensor(ctx, run, p->name, &of_head, &t));
    if (of_head) return t.data && run->head.started ? take(ctx, run, p, &t) : WHET_OK;
    for (int64_t i = 0; i < run->start->n_wholes; i++) {
        const whet_i_adapter_whole *w = &run->start->wholes[i];
        if (strcmp(without_prefix(run, w->name), without_prefix(run, p->name)) == 0)
            return take(ctx, run, p, &w->tensor);
    }
    return WHET_OK;
}

/* Whether a layer of the folder has its adapter among the parameters. */
static bool is_recorded(const whet_i_tune *run, whet_i_adapter_layer layer) {
    layer.module = without_prefix(run, layer.module);
    for (int64_t i = 0; i < run->params->n; i++)
        if (part_of(run, &layer, without_prefix(run, run->params->items[i].name))) return true;
    return false;
}

static bool is_trained(const whet_i_tune *run, const char *tensor) {
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        if (p->trainable && strcmp(without_prefix(run, p->name), without_prefix(run, tensor)) == 0)
            return true;
    }
    return false;
}

/* Here a head that is the word vectors is trained with them, and not beside them. */
static whet_status check_tied(whet_ctx *ctx, const whet_i_tune *run) {
    const whet_adapter *const items[] = {run->start};
    if (!run->backbone.causal || !run->backbone.llama.tied || run->kind->embeds ||
        whet_i_tune_has_head(run) || !whet_i_adapters_part_head(items, 1))
        return WHET_OK;
    return whet_i_fail(
        ctx, WHET_ERR_UNSUPPORTED,
        "%s: trained the word vectors or the head alone, which are one matrix in the "
        "base; expected both in modules_to_save, and equal; try whet tune merge "
        "into the model, and adapters of that",
        run->job.init_adapter);
}

/* What is not gone on with would be lost: another model than the folder's would be trained. */
static whet_status check_all_taken(whet_ctx *ctx, const whet_i_tune *run) {
    static const char advice[] = "try whet tune merge into the model, and adapters of that";
    char quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < run->start->n_layers; i++)
        if (!is_recorded(run, run->start->layers[i]))
            return whet_i_fail(
                ctx, WHET_ERR_UNSUPPORTED,
                "%s: its adapter of %s, which is part of a head, is not trained here; expected "
                "adapters of the layers before it; %s",
                run->job.init_adapter,
                whet_i_quote(quoted, whet_str_from(run->start->layers[i].module)), advice);
    for (int64_t i = 0; i < run->start->n_wholes; i++) {
        const whet_i_adapter_whole *w = &run->start->wholes[i];
        (void)whet_i_quote(quoted, whet_str_from(w->name));
        if (is_trained(run, w->name)) continue;
        if (whet_i_tune_shares_words(run) && strcmp(w->name, "lm_head.weight") == 0) continue;
        if (whet_i_adapter_changes(w) || whet_i_params_find(run->params, w->name) >= 0)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: %s was trained too, and is not here; expected layers' adapters "
                               "and modules of modules_to_save; %s",
                               run->job.init_adapter, quoted, advice);
        whet_i_log(ctx, WHET_LOG_WARN, "%s: %s has no place in what is trained, and is left out",
                   run->job.init_adapter, quoted);
    }
    return WHET_OK;
}

whet_status whet_i_tune_take_start(whet_ctx *ctx, whet_i_tune *run) {
    if (!run->start) return WHET_OK;
    WHET_TRY(check_tied(ctx, run));
    for (int64_t i = 0; i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        if (!p->trainable) continue;
        WHET_TRY(whet_i_tune_is_adapter(p->name) ? start_factor(ctx, run, p)
                                                 : start_whole(ctx, run, p));
    }
    return check_all_taken(ctx, run);
}

uint64_t whet_i_tune_mix_start(const whet_i_tune *run, uint64_t hash) {
    for (int64_t i = 0; run->start && i < run->start->n_layers; i++) {
        const whet_i_adapter_layer *layer = &run->start->layers[i];
        const whet_tensor *const parts[] = {&layer->first, &layer->second, &layer->magnitude};
        for (int64_t j = 0; j < WHET_COUNT_OF(parts); j++) {
            const whet_tensor *t = parts[j];
            const int64_t bytes =
                t->data ? whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype) : 0;
            hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(t->data, bytes));
        }
    }
    return hash;
}
