/* SPDX-License-Identifier: Apache-2.0
 * The table of networks that are trained from scratch. A new one is a file model_<name>.c and a row
 * here. */
#include "nn/models_i.h"

#include <math.h>

static const whet_i_model table[] = {
    {"mlp", 0, 0, {1, 1, 784}, whet_i_record_mlp},
    {"lenet", 0, 0, {28, 28, 1}, whet_i_record_lenet},
    {"resnet20", 3, 0, {32, 32, 3}, whet_i_record_resnet},
    {"resnet32", 5, 0, {32, 32, 3}, whet_i_record_resnet},
    {"resnet44", 7, 0, {32, 32, 3}, whet_i_record_resnet},
    {"resnet56", 9, 0, {32, 32, 3}, whet_i_record_resnet},
    {"wrn22", 3, 6, {32, 32, 3}, whet_i_record_wrn},
    {"vae", 0, 0, {1, 1, 784}, whet_i_record_vae},
};

const whet_i_model *whet_i_model_find(const char *name) {
    for (int64_t i = 0; i < WHET_COUNT_OF(table); i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

const char *whet_i_models_known(void) {
    return "mlp, lenet, resnet20, resnet32, resnet44, resnet56, wrn22, vae";
}

static bool is_positive(const whet_i_image *i) {
    return i->height > 0 && i->width > 0 && i->channels > 0;
}

static whet_status check(whet_ctx *ctx, const whet_i_model *model, const whet_i_model_settings *s,
                         int64_t columns) {
    bool widths = s->n_widths >= 0 && s->n_widths <= WHET_I_WIDTHS_MAX;
    for (int32_t i = 0; widths && i < s->n_widths; i++) widths = s->widths[i] > 0;
    if (!widths)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: layers; expected at most %d, of at least one unit each",
                           model->name, WHET_I_WIDTHS_MAX);
    if (s->classes < 1 && model->record != whet_i_record_vae)
        return whet_i_fail(ctx, WHET_ERR_ARG, "%s: %lld classes; expected at least 1", model->name,
                           (long long)s->classes);
    if (!is_positive(&s->image) || s->image.height * s->image.width * s->image.channels != columns)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "%s: %lld numbers an example; expected %lld x %lld x %lld", model->name,
                           (long long)columns, (long long)s->image.height,
                           (long long)s->image.width, (long long)s->image.channels);
    return WHET_OK;
}

whet_status whet_i_model_record(whet_ctx *ctx, whet_i_graph *graph, const whet_i_model *model,
                                const whet_i_model_settings *settings, whet_i_value x,
                                whet_i_model_values *out) {
    whet_i_model_settings s = *settings;
    whet_i_model_values values = {WHET_I_NONE, WHET_I_NONE, WHET_I_NONE};
    if (s.image.height == 0) s.image = model->image;
    if (s.blocks == 0) s.blocks = model->blocks;
    if (s.widen == 0) s.widen = model->widen;
    if (s.momentum == 0) s.momentum = 0.1;
    WHET_TRY(check(ctx, model, &s, whet_i_columns(graph, x)));
    WHET_TRY(model->record(ctx, graph, &s, x, &values));
    *out = values;
    return WHET_OK;
}

whet_status whet_i_dense(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const char *module,
                         int64_t n, whet_i_act act, whet_i_value *out) {
    const double bound = 1 / sqrt((double)whet_i_columns(graph, x));
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {module},
                                     .n = {n},
                                     .bias = true,
                                     .act = act,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_UNIFORM,
                                     .init_scale = bound,
                                     .bias_init = WHET_I_INIT_UNIFORM,
                                     .bias_scale = bound};
    return whet_i_linear_layer(ctx, graph, x, &spec, out);
}

whet_status whet_i_hidden(whet_ctx *ctx, whet_i_graph *graph, whet_i_value x, const char *module,
                          int64_t n, whet_i_act act, bool apart, whet_i_value *out) {
    WHET_TRY(whet_i_dense(ctx, graph, x, module, n, apart ? WHET_I_ACT_NONE : act, out));
    return apart ? whet_i_activation(ctx, graph, *out, act, out) : WHET_OK;
}
