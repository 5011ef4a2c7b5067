/* SPDX-License-Identifier: Apache-2.0
 * Adapters in a model that runs; see adapter_attach.h. */
#include "tune/adapter_attach.h"

#include <stdio.h>

#include "tune/tune_i.h"

enum { NAME_ROOM = 1024 };

/* ---- names ------------------------------------------------------------------------------------ */

/* Names of the base may have the prefix of the engine's or lack it. */
static const char *without_prefix(const whet_i_attached *at, const char *name) {
    const size_t n = at->prefix ? strlen(at->prefix) : 0;
    return n && strncmp(name, at->prefix, n) == 0 ? name + n : name;
}

bool whet_i_attached_same(const whet_i_attached *at, const char *a, const char *b) {
    return strcmp(without_prefix(at, a), without_prefix(at, b)) == 0;
}

/* The adapter's layer of a module that the engine calls so. */
static const whet_i_adapter_layer *layer_of(const whet_i_attached *at, const char *module) {
    module = without_prefix(at, module);
    const size_t n = strlen(module);
    for (int64_t i = 0; at->layers && i < at->layers->n_layers; i++) {
        const char *base = without_prefix(at, at->layers->layers[i].base);
        if (strncmp(base, module, n) == 0 && strcmp(base + n, ".weight") == 0)
            return &at->layers->layers[i];
    }
    return NULL;
}

bool whet_i_attached_has(const whet_i_attached *at, const char *module) {
    return layer_of(at, module) != NULL;
}

/* ---- layers ----------------------------------------------------------------------------------- */

static bool applies(void *arg, const char *module) { return whet_i_attached_has(arg, module); }

static whet_i_adapter_settings settings_of(const whet_i_attached *at,
                                           const whet_i_adapter_layer *l) {
    return (whet_i_adapter_settings){.kind = l->magnitude.data  ? WHET_I_ADAPTER_DORA
                                             : at->layers->more ? WHET_I_ADAPTER_MORE
                                                                : WHET_I_ADAPTER_LORA,
                                     .blocks = l->shape.blocks,
                                     .rank = l->shape.rank,
                                     .scale = at->weight * l->scale};
}

static whet_status record_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                                  whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    const whet_i_attached *at = arg;
    const whet_i_adapter_layer *l = layer_of(at, module);
    if (!l) return WHET_OK;
    const whet_i_adapter_settings s = settings_of(at, l);
    if (whet_i_columns(graph, x) != l->shape.in || columns != l->shape.out)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "adapter of %s: sizes do not fit", module);
    WHET_TRY(whet_i_adapter_record_shape(ctx, graph, module, x, y, first, &l->shape, &s, 0));
    if (!l->magnitude.data) return WHET_OK;
    return whet_i_magnitude_record_settled(ctx, graph, module, whet_i_columns(graph, x), y, first,
                                           columns, &s);
}

static whet_status put_factor(whet_ctx *ctx, const whet_i_attached *at, whet_i_params *params,
                              const char *module, int32_t i, const whet_i_adapter_layer *l) {
    const whet_tensor *const tensors[] = {&l->first, &l->second, &l->magnitude};
    char name[NAME_ROOM];
    whet_tensor copy;
    const char *end = whet_i_adapter_factor(settings_of(at, l).kind, i);
    if (!end || snprintf(name, sizeof name, "%s.%s", module, end) >= NAME_ROOM) return WHET_OK;
    const whet_i_param_id id = whet_i_params_find(params, name);
    if (id < 0 || params->items[id].count != whet_tensor_count(tensors[i]))
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "adapter: parameter %s does not fit", name);
    WHET_TRY(whet_tensor_convert(ctx, tensors[i], WHET_F32, &copy));
    memcpy(params->items[id].values, copy.data, (size_t)params->items[id].count * sizeof(float));
    whet_tensor_destroy(ctx, &copy);
    return WHET_OK;
}

/* Values of the recorded adapters. */
static whet_status put_factors(whet_ctx *ctx, const whet_i_attached *at, whet_i_params *params) {
    for (int64_t i = 0; i < params->n; i++) {
        const char *name = params->items[i].name, *end = strrchr(name, '.');
        char module[NAME_ROOM];
        if (!end || strcmp(end, ".weight") != 0 || end - name >= NAME_ROOM) continue;
        memcpy(module, name, (size_t)(end - name));
        module[end - name] = '\0';
        const whet_i_adapter_layer *l = layer_of(at, module);
        for (int32_t part = 0; l && part < 3; part++)
            WHET_TRY(put_factor(ctx, at, params, module, part, l));
        if (!l || !l->magnitude.data) continue;
        const whet_i_adapter_settings s = settings_of(at, l);
        WHET_TRY(whet_i_magnitudes_settle(ctx, params, module, l->shape.in, l->shape.out, &s));
    }
    return WHET_OK;
}

/* ---- biases, norms, whole modules -------------------------------------------------------------- */

/* Of a head that parts from the word vectors: it is the base's, unless some adapter has one. */
static whet_status put_head(whet_ctx *ctx, const whet_i_attached *at, whet_i_params *params) {
    const whet_i_param_id head = whet_i_params_find(params, "lm_head.weight");
    const whet_i_param_id words = whet_i_params_find(params, "model.embed_tokens.weight");
    if (!at->parts_head || head < 0 || words < 0) return WHET_OK;
    whet_i_param *p = &params->items[head];
    const whet_i_param *w = &params->items[words];
    if (p->source.data || !w->source.data) return WHET_OK;
    if (p->count != w->count)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "adapter: the head is not the word vectors'");
    p->source = w->source;
    return WHET_OK;
}

/* A module that is trained whole is read in place of the base's. */
static whet_status put_wholes(whet_ctx *ctx, const whet_i_attached *at, whet_i_params *params) {
    char a[WHET_I_SHAPE_TEXT], b[WHET_I_SHAPE_TEXT];
    for (int64_t i = 0; i < at->n; i++)
        for (int64_t h = 0; h < at->items[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &at->items[i]->wholes[h];
            for (int64_t k = 0; k < params->n && !whet_i_adapter_changes(w); k++) {
                whet_i_param *p = &params->items[k];
                if (!whet_i_attached_same(at, w->base, p->name)) continue;
                if (w->tensor.rank != p->rank ||
                    memcmp(w->tensor.shape, p->shape, (size_t)p->rank * sizeof *p->shape) != 0)
                    return whet_i_fail(ctx, WHET_ERR_SHAPE,
                                       "%s: %s is %s; expected %s, as config.json says",
                                       at->items[i]->path, w->name,
                                       whet_i_shape_text(a, w->tensor.rank, w->tensor.shape),
                                       whet_i_shape_text(b, p->rank, p->shape));
                WHET_TRY(whet_i_adapter_check_head(ctx, at->items, at->n, i, w));
                p->source = w->tensor;
            }
        }
    return WHET_OK;
}

/* sum += w (theirs - p), of a vector of the base. */
static whet_status change_vector(whet_ctx *ctx, const whet_i_param *p, const whet_tensor *theirs,
                                 double weight, double *sum) {
    whet_tensor copy;
    if (!p->values || whet_tensor_count(theirs) != p->count)
        return whet_i_fail(ctx, WHET_ERR_INTERNAL, "adapter: parameter %s does not fit", p->name);
    WHET_TRY(whet_tensor_convert(ctx, theirs, WHET_F64, &copy));
    for (int64_t c = 0; c < p->count; c++)
        sum[c] += weight * (((const double *)copy.data)[c] - (double)p->values[c]);
    whet_tensor_destroy(ctx, &copy);
    return WHET_OK;
}

/* sum [count] of all changes of one parameter; *any = whether there are some. */
static whet_status changes_of(whet_ctx *ctx, const whet_i_attached *at, const whet_i_param *p,
                              double *sum, bool *any) {
    *any = false;
    memset(sum, 0, (size_t)p->count * sizeof *sum);
    for (int64_t i = 0; i < at->n; i++)
        for (int64_t h = 0; h < at->items[i]->n_wholes; h++) {
            const whet_i_adapter_whole *w = &at->items[i]->wholes[h];
            if (!whet_i_adapter_changes(w) || !whet_i_attached_same(at, w->base, p->name)) continue;
            WHET_TRY(change_vector(ctx, p, &w->tensor, at->weights[i], sum));
            *any = true;
        }
    return WHET_OK;
}

/* Biases and norms with the changes of all adapters. */
static whet_status put_vectors(whet_ctx *ctx, const whet_i_attached *at, whet_i_params *params) {
    for (int64_t k = 0; k < params->n; k++) {
        const whet_i_param *p = &params->items[k];
        double *sum;
        bool any;
        if (p->rank != 1 || !p->source.data) continue;
        WHET_TRY(whet_i_alloc(ctx, p->count, &sum));
        const whet_status status = changes_of(ctx, at, p, sum, &any);
        for (int64_t c = 0; status == WHET_OK && any && c < p->count; c++)
            p->values[c] = (float)((double)p->values[c] + sum[c]);
        whet_i_free(ctx, sum);
        WHET_TRY(status);
    }
    return WHET_OK;
}

/* ---- all of it -------------------------------------------------------------------------------- */

whet_status whet_i_attached_at(whet_ctx *ctx, const whet_i_attached *at, whet_i_load_stage stage,
                               whet_i_params *params) {
    switch (stage) {
    case WHET_I_LOAD_RECORDED: /* no file of the base has them */
        for (int64_t i = 0; i < params->n; i++)
            if (whet_i_tune_is_adapter(params->items[i].name) ||
                (at->parts_head && strcmp(params->items[i].name, "lm_head.weight") == 0))
                params->items[i].init = WHET_I_INIT_ZERO;
        return WHET_OK;
    case WHET_I_LOAD_BOUND: WHET_TRY(put_head(ctx, at, params)); return put_wholes(ctx, at, params);
    case WHET_I_LOAD_SETTLED: break;
    }
    WHET_TRY(put_vectors(ctx, at, params));
    return put_factors(ctx, at, params);
}

/* Several adapters of layers go in as their sum, and so does DoRA of another weight than 1. */
static whet_status combined(whet_ctx *ctx, whet_i_attached *at, const char *model,
                            const whet_i_weight_files *files, const char *identity) {
    const whet_adapter **items;
    double *weights = NULL;
    int64_t n = 0;
    whet_status status = whet_i_alloc_(ctx, at->n, sizeof(void *), true, &items);
    if (status != WHET_OK) return status;
    WHET_TRY_DONE(whet_i_alloc(ctx, at->n, &weights));
    for (int64_t i = 0; i < at->n; i++) {
        if (at->items[i]->n_layers == 0) continue;
        items[n] = at->items[i];
        weights[n++] = at->weights[i];
    }
    WHET_TRY_DONE(whet_i_adapter_sum(ctx, items, weights, n, false, &at->sum));
    status = whet_i_adapter_fit(ctx, at->sum, model, files, identity, true);
    at->layers = at->sum;
    at->weight = 1;
done:
    whet_i_free(ctx, weights);
    whet_i_free(ctx, items);
    return status;
}

whet_status whet_i_attach(whet_ctx *ctx, whet_i_attached *at, const char *model,
                          const whet_i_weight_files *files, const char *identity) {
    int64_t n = 0;
    at->parts_head = whet_i_adapters_part_head(at->items, at->n);
    for (int64_t i = 0; i < at->n; i++) {
        if (at->items[i]->n_layers == 0) continue;
        n++;
        at->layers = at->items[i];
        at->weight = at->weights[i];
    }
    const bool alone = n == 1 && (!whet_i_adapter_is_dora(at->layers) || at->weight == 1);
    if (n > 0 && !alone) WHET_TRY(combined(ctx, at, model, files, identity));
    at->hook =
        (whet_i_adapters){.applies = applies,
                          .record = record_adapter,
                          .arg = at,
                          .before_residual = at->layers && whet_i_adapter_is_dora(at->layers)};
    return WHET_OK;
}

void whet_i_attached_free(whet_ctx *ctx, whet_i_attached *at) {
    whet_adapter_close(ctx, at->sum);
    *at = (whet_i_attached){0};
}

static uint64_t mix(uint64_t hash, const whet_tensor *t) {
    const int64_t bytes = t->data ? whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype) : 0;
    return whet_i_hash_u64(hash ^ whet_i_hash_long(t->data, bytes));
}

uint64_t whet_i_attached_hash(const whet_i_attached *at) {
    uint64_t hash = 1;
    for (int64_t i = 0; i < at->n; i++) {
        const whet_adapter *a = at->items[i];
        hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(&at->weights[i], sizeof(double)));
        for (int64_t l = 0; l < a->n_layers; l++) {
            const whet_i_adapter_layer *layer = &a->layers[l];
            hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(&layer->scale, sizeof(double)));
            hash = whet_i_hash_u64(hash ^
                                   whet_i_hash_bytes(layer->base, (int64_t)strlen(layer->base)));
            hash = mix(mix(mix(hash, &layer->first), &layer->second), &layer->magnitude);
        }
        for (int64_t h = 0; h < a->n_wholes; h++) {
            const char *name = a->wholes[h].base;
            hash = whet_i_hash_u64(hash ^ whet_i_hash_bytes(name, (int64_t)strlen(name)));
            hash = mix(hash, &a->wholes[h].tensor);
        }
    }
    return hash ? hash : 1;
}
