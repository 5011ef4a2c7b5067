/* SPDX-License-Identifier: Apache-2.0
 * Training that goes on from a folder of adapters: what they are, where they are, and their values come from
 * it, and not from the job. */
#include "tune/adapter_set.h"
#include "tune/tune_i.h"

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

static whet_status start_whole(whet_ctx *ctx, const whet_i_tune *run, const whet_i_param *p) {
    for (int64_t i = 0; i < run->start->n_wholes; i++) {
        const whet_i_adapter_whole *w = &run->start->wholes[i];
        if (strcmp(without_prefix(run, w->name), without_prefix(run, p->name)) == 0)
            return take(ctx, run, p, &w->tensor);
    }
    return WHET_OK;
}

whet_status whet_i_tune_take_start(whet_ctx *ctx, whet_i_tune *run) {
    for (int64_t i = 0; run->start && i < run->params->n; i++) {
        const whet_i_param *p = &run->params->items[i];
        if (!p->trainable) continue;
        WHET_TRY(whet_i_tune_is_adapter(p->name) ? start_factor(ctx, run, p)
                                                 : start_whole(ctx, run, p));
    }
    return WHET_OK;
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
