/* SPDX-License-Identifier: Apache-2.0
 * What config.json tells of a residual network's strides, told to its specification: transformers' says where
 * they are, timm's names an architecture, of which those are known that have them as torchvision does.
 * Others are not run, for they may name their tensors alike and differ (blurred or averaged strides). */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "merge/align_files.h"
#include "merge/residual_names.h"

/* ---- reading ---------------------------------------------------------------------------------------- */

static whet_status read_transformers(whet_ctx *ctx, const char *network, const json_t *config,
                                     whet_i_strides *out) {
    static const whet_str relu = {"relu", 4};
    char quoted[WHET_QUOTE_SIZE];
    whet_str act = relu;
    out->told = true;
    WHET_TRY(whet_i_json_bool_or(ctx, network, config, "downsample_in_first_stage", false,
                                 &out->first_stage));
    WHET_TRY(whet_i_json_bool_or(ctx, network, config, "downsample_in_bottleneck", false,
                                 &out->first_convolution));
    if (json_object_get(config, "hidden_act"))
        WHET_TRY(whet_i_json_str(ctx, network, config, "hidden_act", &act));
    if (!whet_str_equal(act, relu))
        (void)snprintf(out->refused, sizeof out->refused,
                       "\"hidden_act\" of the config.json of %s is %s; expected relu, to be run",
                       network, whet_i_quote(quoted, act));
    return WHET_OK;
}

static bool is_known(const char *architecture) {
    static const char *const known[] = {
        "resnet18",          "resnet26",          "resnet34",          "resnet50",
        "resnet101",         "resnet152",         "resnet200",         "resnet50_gn",
        "wide_resnet50_2",   "wide_resnet101_2",  "resnext50_32x4d",   "resnext101_32x4d",
        "resnext101_32x8d",  "resnext101_32x16d", "resnext101_32x32d", "resnext101_64x4d",
        "tv_resnet34",       "tv_resnet50",       "tv_resnet101",      "tv_resnet152",
        "tv_resnext50_32x4d"};
    for (int64_t i = 0; i < WHET_COUNT_OF(known); i++)
        if (strcmp(known[i], architecture) == 0) return true;
    return false;
}

/* Arguments of a model that change nothing that is run here. */
static const char *other_argument(const json_t *config) {
    static const char *const harmless[] = {"num_classes", "in_chans", "drop_rate", "drop_path_rate",
                                           "drop_block_rate"};
    json_t *arguments = json_object_get(config, "model_args"), *value;
    const char *key;
    json_object_foreach(arguments, key, value) {
        bool found = false;
        for (int64_t i = 0; i < WHET_COUNT_OF(harmless); i++)
            found = found || strcmp(harmless[i], key) == 0;
        if (!found) return key;
    }
    return NULL;
}

static void read_timm(const char *network, const char *architecture, const json_t *config,
                      whet_i_strides *out) {
    const char *argument = other_argument(config);
    const char *pool = json_string_value(json_object_get(config, "global_pool"));
    char quoted[WHET_QUOTE_SIZE];
    out->told = true;
    if (!is_known(architecture))
        (void)snprintf(
            out->refused, sizeof out->refused,
            "\"architecture\" of the config.json of %s is %s; expected one that is known, "
            "such as resnet50, or its convolutions in a specification",
            network, whet_i_quote(quoted, whet_str_from(architecture)));
    else if (argument)
        (void)snprintf(out->refused, sizeof out->refused,
                       "\"model_args\" of the config.json of %s have %s; expected none that change "
                       "the network, or its convolutions in a specification",
                       network, whet_i_quote(quoted, whet_str_from(argument)));
    else if (pool && strcmp(pool, "avg") != 0)
        (void)snprintf(out->refused, sizeof out->refused,
                       "\"global_pool\" of the config.json of %s is %s; expected avg, to be run",
                       network, whet_i_quote(quoted, whet_str_from(pool)));
}

whet_status whet_i_read_strides(whet_ctx *ctx, const char *network, bool folder,
                                whet_i_strides *strides) {
    json_t *config;
    whet_i_strides own = {.from = network};
    WHET_TRY(whet_i_read_config(ctx, network, folder, &config));
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const char *architecture = json_string_value(json_object_get(config, "architecture"));
    whet_status status = WHET_OK;
    if (type && strcmp(type, "resnet") == 0)
        status = read_transformers(ctx, network, config, &own);
    else if (!type && architecture)
        read_timm(network, architecture, config, &own);
    json_decref(config);
    if (status != WHET_OK || !own.told) return status;
    if (strides->told && (strides->first_stage != own.first_stage ||
                          strides->first_convolution != own.first_convolution))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "%s: its config.json says other strides than that of %s; expected the "
                           "same network",
                           network, strides->from);
    if (!strides->told || own.refused[0]) *strides = own;
    return WHET_OK;
}

/* ---- telling ---------------------------------------------------------------------------------------- */

/* The convolution of a block that has its stride: the first, of a bottleneck the second. */
static int32_t strided_of(const whet_i_residual_block *b, const whet_i_strides *strides) {
    return b->convolutions == WHET_I_BLOCK_CONVOLUTIONS_MOST && !strides->first_convolution;
}

static whet_status tell_block(whet_ctx *ctx, const whet_i_residual_block *b, int64_t stride,
                              const whet_i_strides *strides, whet_permutation_spec *spec) {
    for (int32_t k = 0; k < b->convolutions - 1; k++) {
        const whet_i_told told = {.module = b->convs[k],
                                  .stride = k == strided_of(b, strides) ? stride : 1,
                                  .padding = WHET_I_SAME_SIZE,
                                  .dilation = 1};
        WHET_TRY(whet_i_spec_tell(ctx, spec, &told));
    }
    return WHET_OK;
}

static whet_status tell_all(whet_ctx *ctx, const whet_i_strides *strides, const whet_i_tensors *t,
                            whet_permutation_spec *spec) {
    whet_i_residual_block b;
    for (int stage = 1; stage <= WHET_I_STAGES_MOST; stage++) {
        bool there;
        WHET_TRY(whet_i_residual_block_of(ctx, t, stage, 0, &there, &b));
        if (!there) break;
        WHET_TRY(tell_block(ctx, &b, stage > 1 || strides->first_stage ? 2 : 1, strides, spec));
    }
    return WHET_OK;
}

static bool is_residual(const whet_permutation_spec *spec, const whet_i_tensors *t) {
    return (whet_i_arch_is(spec->arch, "resnet") || whet_i_arch_is(spec->arch, "wrn")) &&
           whet_i_residual_named(t);
}

bool whet_i_has_strides(const whet_permutation_spec *spec, const whet_weights *weights) {
    const whet_i_tensors tensors = whet_i_tensors_of_weights(weights);
    return is_residual(spec, &tensors);
}

whet_status whet_i_tell_strides(whet_ctx *ctx, const whet_i_strides *strides,
                                const whet_weights *weights, whet_permutation_spec *spec) {
    const whet_i_tensors tensors = whet_i_tensors_of_weights(weights);
    if (!strides->told || spec->n_told > 0 || !is_residual(spec, &tensors)) return WHET_OK;
    if (strides->refused[0]) return whet_i_spec_refuse(ctx, spec, strides->refused);
    return tell_all(ctx, strides, &tensors, spec);
}

whet_status whet_i_warn_of_strides(whet_ctx *ctx, const whet_permutation_spec *spec,
                                   const whet_weights *weights) {
    const whet_i_tensors tensors = whet_i_tensors_of_weights(weights);
    whet_i_residual_block b;
    bool there;
    if (!is_residual(spec, &tensors)) return WHET_OK;
    WHET_TRY(whet_i_residual_block_of(ctx, &tensors, 2, 0, &there, &b));
    if (there && b.convolutions == WHET_I_BLOCK_CONVOLUTIONS_MOST && !spec->refused &&
        !whet_i_spec_told(spec, b.convs[0]) && !whet_i_spec_told(spec, b.convs[1]))
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "%s: nothing tells which convolution of a bottleneck has its stride: taken as the "
            "second, of 3 x 3 (torchvision, timm); where it is the first, say so in a "
            "config.json (\"downsample_in_bottleneck\") or a specification "
            "(\"convolutions\")",
            spec->arch);
    return WHET_OK;
}
