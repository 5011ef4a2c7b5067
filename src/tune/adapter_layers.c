/* SPDX-License-Identifier: Apache-2.0
 * Layers of adapters from their tensors: which belong together, what shapes they have, what the config says
 * of their scale. */
#include <stdarg.h>
#include <stdio.h>

#include "tune/adapter_parts.h"

enum { TOLD_MAX = 12, LINE_ROOM = 600 };

/* ---- problems, told together ------------------------------------------------------------------ */

whet_status whet_i_problem(whet_ctx *ctx, whet_i_problems *problems, const char *format, ...) {
    char line[LINE_ROOM];
    va_list args;
    if (problems->n++ >= TOLD_MAX) return WHET_OK;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return whet_i_buf_printf(ctx, &problems->text, "%s%s", problems->n > 1 ? "; " : "", line);
}

whet_status whet_i_problems_end(whet_ctx *ctx, whet_status status, const char *where,
                                whet_i_problems *problems) {
    whet_status ended = WHET_OK;
    if (problems->n > TOLD_MAX)
        ended = whet_i_fail(ctx, status, "%s: %s; and %lld more", where, problems->text.data,
                            (long long)(problems->n - TOLD_MAX));
    else if (problems->n > 0)
        ended = whet_i_fail(ctx, status, "%s: %s", where, problems->text.data);
    whet_i_buf_free(ctx, &problems->text);
    problems->n = 0;
    return ended;
}

/* ---- one layer -------------------------------------------------------------------------------- */

/* Products of its sizes were checked against the file; sizes above 0 here. */
static bool has_rank(const whet_tensor *t, int32_t rank) {
    return t->data && whet_dtype_is_float(t->dtype) && t->rank == rank && whet_tensor_count(t) > 0;
}

/* LoRA's, or false. */
static bool shape_lora(const whet_tensor *a, const whet_tensor *b, whet_i_adapter_shape *s) {
    if (!has_rank(a, 2) || !has_rank(b, 2) || a->shape[0] != b->shape[1]) return false;
    *s = (whet_i_adapter_shape){.in = a->shape[1],
                                .out = b->shape[0],
                                .blocks = 1,
                                .rank = a->shape[0],
                                .p = a->shape[1],
                                .q = b->shape[0]};
    return true;
}

/* MoRe's, with the sizes that the blocks have room for. */
static bool shape_more(const whet_tensor *w1, const whet_tensor *w2, whet_i_adapter_shape *s) {
    if (!has_rank(w1, 3) || !has_rank(w2, 3) || w1->shape[0] != w2->shape[0] ||
        w1->shape[1] != w2->shape[2])
        return false;
    *s = (whet_i_adapter_shape){
        .blocks = w1->shape[0], .rank = w1->shape[1], .p = w1->shape[2], .q = w2->shape[1]};
    s->in = s->blocks * s->p;
    s->out = s->blocks * s->q;
    return true;
}

/* Those that the config tells, where the blocks have room for more: [out, in]. */
static bool set_sizes(const json_t *config, const char *module, whet_i_adapter_shape *s) {
    const json_t *sizes = json_object_get(json_object_get(config, WHET_I_SIZES_KEY), module);
    if (!sizes) return true;
    const int64_t out = json_integer_value(json_array_get(sizes, 0));
    const int64_t in = json_integer_value(json_array_get(sizes, 1));
    if (json_array_size(sizes) != 2 || in > s->in || in <= s->in - s->p || out > s->out || out < 1)
        return false;
    s->in = in;
    s->out = out;
    return true;
}

static bool shape_gralora(const whet_i_layer_parts *parts, const whet_i_peft_config *config,
                          whet_i_adapter_shape *s) {
    const whet_tensor *a = &parts->tensors[WHET_I_PART_FIRST];
    const whet_tensor *b = &parts->tensors[WHET_I_PART_SECOND];
    const whet_tensor *c = &parts->tensors[WHET_I_PART_GENERAL_FIRST];
    const whet_tensor *d = &parts->tensors[WHET_I_PART_GENERAL_SECOND];
    const int64_t k = config->gralora_k, h = config->hybrid;
    if (!has_rank(a, 3) || !has_rank(b, 3) || a->shape[0] != k || b->shape[0] != k ||
        a->shape[2] != b->shape[1])
        return false;
    *s = (whet_i_adapter_shape){
        .blocks = k, .rank = a->shape[2], .p = a->shape[1], .q = b->shape[2]};
    s->in = k * s->p;
    s->out = k * s->q;
    if (h == 0) return !c->data && !d->data;
    return has_rank(c, 2) && has_rank(d, 2) && c->shape[0] == h && c->shape[1] == s->in &&
           d->shape[0] == s->out && d->shape[1] == h;
}

static const char *shape_or_none(char out[WHET_I_SHAPE_TEXT], const whet_tensor *t) {
    return t->data ? whet_i_shape_text(out, t->rank, t->shape) : "none";
}

static whet_status bad_shape(whet_ctx *ctx, const char *quoted, const whet_i_layer_parts *parts,
                             whet_i_peft_type type, whet_i_problems *problems) {
    static const char *const expected[] = {
        "[r, in] and [out, r]", "[N, r, p] and [N, q, r]",
        "[k, in / k, r] and [k, r, out / k], and an ordinary LoRA's [h, in] and [out, h]"};
    char a[WHET_I_SHAPE_TEXT], b[WHET_I_SHAPE_TEXT];
    return whet_i_problem(ctx, problems, "layer %s has factors %s and %s; expected %s of floats",
                          quoted, shape_or_none(a, &parts->tensors[WHET_I_PART_FIRST]),
                          shape_or_none(b, &parts->tensors[WHET_I_PART_SECOND]), expected[type]);
}

static bool shape_of(const whet_adapter *a, const whet_i_peft_config *config, const char *module,
                     const whet_i_layer_parts *parts, whet_i_adapter_shape *s) {
    const whet_tensor *first = &parts->tensors[WHET_I_PART_FIRST];
    const whet_tensor *second = &parts->tensors[WHET_I_PART_SECOND];
    if (config->type == WHET_I_PEFT_GRALORA) return shape_gralora(parts, config, s);
    if (config->type == WHET_I_PEFT_LORA) return shape_lora(first, second, s);
    return shape_more(first, second, s) && set_sizes(a->json, module, s);
}

/* DoRA's magnitude is there exactly when the config says so, and has the outputs' number. */
static bool magnitude_fits(const whet_i_peft_config *config, const whet_tensor *m, int64_t out) {
    if (!config->dora) return !m->data;
    return m->data && whet_dtype_is_float(m->dtype) && whet_tensor_count(m) == out;
}

static whet_status add_layer(whet_ctx *ctx, whet_adapter *a, const whet_i_peft_config *config,
                             const char *module, const whet_i_layer_parts *parts,
                             whet_i_problems *problems) {
    char quoted[WHET_QUOTE_SIZE], *name;
    const size_t length = strlen(module) + 1;
    whet_i_adapter_settings settings;
    whet_i_adapter_layer layer = {.first = parts->tensors[WHET_I_PART_FIRST],
                                  .second = parts->tensors[WHET_I_PART_SECOND],
                                  .magnitude = parts->tensors[WHET_I_PART_MAGNITUDE]};
    (void)whet_i_quote(quoted, whet_str_from(module));
    if (!shape_of(a, config, module, parts, &layer.shape))
        return bad_shape(ctx, quoted, parts, config->type, problems);
    if (!magnitude_fits(config, &layer.magnitude, layer.shape.out))
        return whet_i_problem(ctx, problems, "layer %s: expected %s, as \"use_dora\" says", quoted,
                              config->dora ? "lora_magnitude_vector [out]"
                                           : "no lora_magnitude_vector");
    if (!whet_i_adapter_config_layer(&config->common, module, &settings))
        return whet_i_problem(ctx, problems,
                              "layer %s has factors, and is none of adapter_config.json's targets",
                              quoted);
    if (settings.rank != layer.shape.rank)
        return whet_i_problem(ctx, problems,
                              "layer %s has rank %lld; expected %lld, as "
                              "adapter_config.json says",
                              quoted, (long long)layer.shape.rank, (long long)settings.rank);
    layer.scale = config->type == WHET_I_PEFT_GRALORA
                      ? config->common.alpha / (double)(settings.rank + config->hybrid)
                      : settings.scale;
    WHET_TRY(whet_i_arena_alloc(ctx, &a->arena, (int64_t)length, 1, &name));
    memcpy(name, module, length);
    layer.module = name;
    a->layers[a->n_layers++] = layer;
    return WHET_OK;
}

/* ---- all of them ------------------------------------------------------------------------------ */

whet_status whet_i_adapter_layers(whet_ctx *ctx, whet_adapter *a, const whet_i_peft_config *config,
                                  const whet_i_parts *parts) {
    const int64_t n = whet_names_count(parts->modules);
    whet_i_problems problems = {0};
    whet_status status = whet_i_alloc(ctx, n, &a->layers);
    whet_i_peft_config all = *config;
    /* Without targets the names of the tensors alone say which layers there are. */
    const whet_i_modules *t = &config->common.targets;
    all.common.targets.all_linear = t->all_linear || (t->n == 0 && !t->pattern);
    for (int64_t i = 0; status == WHET_OK && i < n; i++)
        status = add_layer(ctx, a, &all, whet_names_get(parts->modules, i).ptr, &parts->items[i],
                           &problems);
    if (status == WHET_OK && n + a->n_wholes == 0)
        status = whet_i_problem(ctx, &problems, "no tensors; expected those of an adapter");
    const whet_status ended = whet_i_problems_end(ctx, WHET_ERR_SHAPE, a->path, &problems);
    return status != WHET_OK ? status : ended;
}

const whet_i_adapter_layer *whet_i_adapter_find(const whet_adapter *a, const char *module) {
    int64_t low = 0, high = a->n_layers;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        const int order = strcmp(a->layers[middle].module, module);
        if (order == 0) return &a->layers[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

int64_t whet_i_adapter_layer_count(const whet_i_adapter_layer *layer) {
    int64_t n = whet_tensor_count(&layer->first) + whet_tensor_count(&layer->second);
    if (layer->magnitude.data) n += whet_tensor_count(&layer->magnitude);
    return n;
}

static whet_status reals_of(whet_ctx *ctx, const whet_tensor *t, double **out) {
    whet_tensor copy;
    WHET_TRY(whet_tensor_convert(ctx, t, WHET_F64, &copy));
    *out = copy.data;
    return WHET_OK;
}

whet_status whet_i_adapter_factors(whet_ctx *ctx, const whet_i_adapter_layer *layer, double **first,
                                   double **second) {
    WHET_TRY(reals_of(ctx, &layer->first, first));
    return reals_of(ctx, &layer->second, second);
}
