/* SPDX-License-Identifier: Apache-2.0
 * Adapters that are made here: layers put in one by one, and the config that says what they are. */
#include <stdlib.h>

#include "tune/adapter_set.h"

whet_status whet_i_adapter_create(whet_ctx *ctx, const char *path, bool more, int64_t capacity,
                                  int64_t wholes, whet_adapter **out) {
    whet_adapter *a;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, 1, &a));
    a->more = more;
    WHET_TRY_DONE(whet_i_strdup(ctx, whet_str_from(path), &a->path));
    WHET_TRY_DONE(whet_i_alloc(ctx, capacity, &a->layers));
    WHET_TRY_DONE(whet_i_alloc(ctx, wholes, &a->wholes));
    *out = a;
    return WHET_OK;
done:
    whet_adapter_close(ctx, a);
    return status;
}

static whet_status keep(whet_ctx *ctx, whet_adapter *a, const char *text, const char **out) {
    const size_t length = strlen(text) + 1;
    char *copy;
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, (int64_t)length, 1, &copy));
    memcpy(copy, text, length);
    *out = copy;
    return WHET_OK;
}

static whet_status round_to(whet_ctx *ctx, whet_adapter *a, const double *from, whet_tensor *to) {
    const int64_t n = whet_tensor_count(to);
    float *values;
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, n, sizeof *values, &values));
    for (int64_t i = 0; i < n; i++) values[i] = (float)from[i];
    to->data = values;
    return WHET_OK;
}

whet_status whet_i_adapter_put(whet_ctx *ctx, whet_adapter *a, const char *module,
                               const whet_i_adapter_shape *s, const double *first,
                               const double *second) {
    whet_i_adapter_layer l = {.shape = *s, .scale = 1};
    const int64_t n = s->blocks, r = s->rank;
    l.first = a->more ? (whet_tensor){.dtype = WHET_F32, .rank = 3, .shape = {n, r, s->p}}
                      : (whet_tensor){.dtype = WHET_F32, .rank = 2, .shape = {r, s->in}};
    l.second = a->more ? (whet_tensor){.dtype = WHET_F32, .rank = 3, .shape = {n, s->q, r}}
                       : (whet_tensor){.dtype = WHET_F32, .rank = 2, .shape = {s->out, r}};
    WHET_TRY(keep(ctx, a, module, &l.module));
    WHET_TRY(round_to(ctx, a, first, &l.first));
    WHET_TRY(round_to(ctx, a, second, &l.second));
    a->layers[a->n_layers++] = l;
    return WHET_OK;
}

whet_status whet_i_adapter_put_magnitude(whet_ctx *ctx, whet_adapter *a, const double *magnitude) {
    whet_i_adapter_layer *l = &a->layers[a->n_layers - 1];
    l->magnitude = (whet_tensor){.dtype = WHET_F32, .rank = 1, .shape = {l->shape.out}};
    return round_to(ctx, a, magnitude, &l->magnitude);
}

whet_status whet_i_adapter_put_whole(whet_ctx *ctx, whet_adapter *a,
                                     const whet_i_adapter_whole *whole) {
    whet_i_adapter_whole w = {.layer_bias = whole->layer_bias,
                              .plain_bias = whole->plain_bias,
                              .saved = whole->saved,
                              .tensor = whole->tensor};
    const int64_t size = (int64_t)whet_dtype_size(w.tensor.dtype);
    const int64_t n = whet_tensor_count(&w.tensor);
    WHET_TRY(keep(ctx, a, whole->name, &w.name));
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, n, (size_t)size, &w.tensor.data));
    memcpy(w.tensor.data, whole->tensor.data, (size_t)(n * size));
    a->wholes[a->n_wholes++] = w;
    return WHET_OK;
}

/* ---- the config ------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The commonest value of the layers, the smallest among equals; 1 without layers. */
static whet_status commonest(whet_ctx *ctx, const whet_adapter *a,
                             int64_t (*value)(const whet_i_adapter_layer *), int64_t *out) {
    int64_t *values, most = 0;
    WHET_TRY(whet_i_alloc(ctx, a->n_layers, &values));
    for (int64_t i = 0; i < a->n_layers; i++) values[i] = value(&a->layers[i]);
    qsort(values, (size_t)a->n_layers, sizeof *values, ascending);
    *out = 1;
    for (int64_t i = 0, end; i < a->n_layers; i = end) {
        for (end = i + 1; end < a->n_layers && values[end] == values[i];) end++;
        if (end - i > most) {
            most = end - i;
            *out = values[i];
        }
    }
    whet_i_free(ctx, values);
    return WHET_OK;
}

static int64_t rank_of(const whet_i_adapter_layer *l) { return l->shape.rank; }
static int64_t blocks_of(const whet_i_adapter_layer *l) { return l->shape.blocks; }

static whet_status add_patterns(whet_ctx *ctx, const whet_adapter *a, whet_i_adapter_config *c) {
    static const char where[] = "adapter";
    for (int64_t i = 0; i < a->n_layers; i++) {
        const whet_i_adapter_layer *l = &a->layers[i];
        const whet_str name = whet_str_from(l->module);
        WHET_TRY(whet_i_modules_add(ctx, c, &c->targets, name));
        if (l->shape.rank != c->rank) {
            const double rank = (double)l->shape.rank;
            WHET_TRY(whet_i_module_values_add(ctx, c, &c->ranks, where, name, rank));
            if (!a->more) WHET_TRY(whet_i_module_values_add(ctx, c, &c->alphas, where, name, rank));
        }
        if (a->more && l->shape.blocks != c->blocks)
            WHET_TRY(whet_i_module_values_add(ctx, c, &c->block_counts, where, name,
                                              (double)l->shape.blocks));
    }
    return WHET_OK;
}

/* [out, in] of layers whose blocks have room for more. */
static json_t *sizes_json(const whet_adapter *a) {
    json_t *sizes = json_object();
    for (int64_t i = 0; a->more && i < a->n_layers; i++) {
        const whet_i_adapter_shape *s = &a->layers[i].shape;
        if (s->in == s->blocks * s->p && s->out == s->blocks * s->q) continue;
        (void)json_object_set_new(sizes, a->layers[i].module,
                                  json_pack("[I, I]", (json_int_t)s->out, (json_int_t)s->in));
    }
    return sizes;
}

/* What stays as it was said of what this was made from. */
static void keep_settings(const json_t *like, json_t *json) {
    static const char *const kept[] = {"base_model_name_or_path",
                                       "revision",
                                       "task_type",
                                       "bias",
                                       "modules_to_save",
                                       "auto_mapping",
                                       "id2label",
                                       "label2id",
                                       "problem_type",
                                       WHET_I_HEAD_KEY,
                                       WHET_I_BASE_KEY};
    for (int64_t i = 0; i < WHET_COUNT_OF(kept); i++) {
        json_t *value = json_object_get(like, kept[i]);
        if (value && !json_is_null(value)) (void)json_object_set(json, kept[i], value);
    }
    /* GraLoRA's word for it */
    const char *bias = json_string_value(json_object_get(json, "bias"));
    if (bias && strcmp(bias, "gralora_only") == 0)
        (void)json_object_set_new(json, "bias", json_string("lora_only"));
}

static int by_module(const void *a, const void *b) {
    return strcmp(((const whet_i_adapter_layer *)a)->module,
                  ((const whet_i_adapter_layer *)b)->module);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const whet_i_adapter_whole *)a)->name, ((const whet_i_adapter_whole *)b)->name);
}

whet_status whet_i_adapter_settle(whet_ctx *ctx, whet_adapter *a, const json_t *like) {
    whet_i_adapter_config c = {.kind = a->more                     ? WHET_I_ADAPTER_MORE
                                       : whet_i_adapter_is_dora(a) ? WHET_I_ADAPTER_DORA
                                                                   : WHET_I_ADAPTER_LORA};
    whet_status status = WHET_OK;
    json_t *json = NULL;
    qsort(a->layers, (size_t)a->n_layers, sizeof *a->layers, by_module);
    qsort(a->wholes, (size_t)a->n_wholes, sizeof *a->wholes, by_name);
    WHET_TRY_DONE(whet_i_adapter_config_init(ctx, &c));
    WHET_TRY_DONE(commonest(ctx, a, rank_of, &c.rank));
    WHET_TRY_DONE(commonest(ctx, a, blocks_of, &c.blocks));
    c.alpha = (double)c.rank;
    WHET_TRY_DONE(add_patterns(ctx, a, &c));
    json = whet_i_adapter_config_json(&c, a->more ? "MORE" : "LORA");
    json_t *sizes = sizes_json(a);
    if (!json || !sizes)
        status = whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: adapter_config.json");
    if (status == WHET_OK && json_object_size(sizes) > 0)
        (void)json_object_set(json, WHET_I_SIZES_KEY, sizes);
    json_decref(sizes);
    if (status != WHET_OK) goto done;
    (void)json_object_set_new(json, "inference_mode", json_true());
    keep_settings(like, json);
    json_decref(a->json);
    a->json = json;
    json = NULL;
done:
    json_decref(json);
    whet_i_adapter_config_free(ctx, &c);
    return status;
}
