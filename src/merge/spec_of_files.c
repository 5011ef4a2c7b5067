/* SPDX-License-Identifier: Apache-2.0
 * Which specification is of a network that is in files. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "merge/align_files.h"
#include "merge/image_network.h"
#include "merge/transformer_probe.h"

enum { CONFIG_MAX = 1 << 24, WHY_SIZE = 512 };

/* By any of the names that families give it; models of more than text have it in a part of their own. */
enum { NAMES_OF_HEADS = 3 };

static whet_status read_number(whet_ctx *ctx, const char *network, const json_t *config,
                               const char *const keys[NAMES_OF_HEADS], const char **key,
                               int64_t *value) {
    const json_t *text = json_object_get(config, "text_config");
    *value = 0;
    for (int part = 0; part < 2 && *value == 0; part++) {
        const json_t *object = part == 0 ? config : text;
        for (int i = 0; json_is_object(object) && i < NAMES_OF_HEADS && keys[i] && *value == 0;
             i++) {
            *key = keys[i];
            WHET_TRY(whet_i_json_int_or(ctx, network, object, keys[i], 1, 1 << 20, 0, value));
        }
    }
    return WHET_OK;
}

whet_status whet_i_add_heads(whet_ctx *ctx, const char *network, const json_t *config,
                             whet_i_heads *heads) {
    static const char *const keys[WHET_I_HEADS][NAMES_OF_HEADS] = {
        {"num_attention_heads", "n_heads", "n_head"},
        {"num_key_value_heads"},
        {"head_dim"},
        {"num_groups", "norm_num_groups"}};
    for (int k = 0; k < WHET_I_HEADS; k++) {
        const char *key;
        int64_t value;
        WHET_TRY(read_number(ctx, network, config, keys[k], &key, &value));
        if (value == 0) continue;
        if (heads->value[k] && heads->value[k] != value)
            return whet_i_fail(ctx, WHET_ERR_DATA,
                               "%s: \"%s\" of its config.json is %" PRId64 ", and %s %" PRId64
                               "; expected the same",
                               network, key, value,
                               heads->from[k] ? heads->from[k] : "what is given", heads->value[k]);
        if (heads->value[k] == 0) heads->from[k] = network;
        heads->value[k] = value;
    }
    return WHET_OK;
}

whet_status whet_i_read_config(whet_ctx *ctx, const char *network, bool folder, json_t **out) {
    const char *slash = strrchr(network, '/');
    char path[4096];
    *out = NULL;
    if (folder)
        (void)snprintf(path, sizeof path, "%s/config.json", network);
    else
        (void)snprintf(path, sizeof path, "%.*sconfig.json", slash ? (int)(slash - network + 1) : 0,
                       network);
    FILE *there = fopen(path, "rb");
    if (!there) return WHET_OK;
    (void)fclose(there);
    return whet_i_json_read(ctx, path, CONFIG_MAX, out);
}

whet_status whet_i_read_heads(whet_ctx *ctx, const char *network, bool folder,
                              whet_i_heads *heads) {
    json_t *config;
    WHET_TRY(whet_i_read_config(ctx, network, folder, &config));
    if (!config) return WHET_OK;
    const whet_status status = whet_i_add_heads(ctx, network, config, heads);
    json_decref(config);
    return status;
}

static void warn_unverified(whet_ctx *ctx, const char *arch, const char *why) {
    whet_i_log(ctx, WHET_LOG_WARN, "%s: that permutations keep the function is not verified: %s",
               arch, why);
}

/* Of one that can be run here; tensors that are not those of the specification are told by who compares the
 * two networks. */
static whet_status verify_transformer(whet_ctx *ctx, const char *arch, const char *network,
                                      const whet_permutation_spec *spec,
                                      const whet_weights *weights, const whet_i_heads *heads) {
    const whet_permutation_hints hints = {heads->value[0], heads->value[1], heads->value[2], 0};
    struct stat info;
    json_t *config;
    const bool folder = stat(network, &info) == 0 && S_ISDIR(info.st_mode);
    WHET_TRY(whet_i_read_config(ctx, network, folder, &config));
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const whet_status status = whet_i_verify_transformer(ctx, arch, spec, weights, type, &hints);
    json_decref(config);
    if (status == WHET_ERR_SHAPE) return WHET_OK;
    if (status == WHET_ERR_UNSUPPORTED) {
        warn_unverified(ctx, arch, whet_error(ctx));
        return WHET_OK;
    }
    if (status != WHET_OK) return whet_i_fail_at(ctx, status, "%s", arch);
    if (!hints.heads)
        whet_i_log(
            ctx, WHET_LOG_WARN,
            "%s: no config.json beside %s says how many heads there are: verified as if they "
            "were those of the specification",
            arch, network);
    return WHET_OK;
}

/* A specification of somebody's own is refused when it does not fit the network, or changes its function,
 * where that can be told. */
static whet_status verify(whet_ctx *ctx, const char *arch, const char *network,
                          const whet_permutation_spec *spec, const whet_weights *weights,
                          const whet_i_heads *heads) {
    if (whet_i_transformer_named(weights))
        return verify_transformer(ctx, arch, network, spec, weights, heads);
    whet_i_bound bound;
    const whet_status fits = whet_i_bind(ctx, spec, weights, NULL, false, &bound);
    whet_i_bound_free(ctx, &bound);
    char why[WHY_SIZE] = "its networks cannot be run here";
    if (fits != WHET_OK) return whet_i_fail_at(ctx, fits, "%s", arch);
    if (whet_i_image_network_knows(spec->arch)) {
        const whet_status status = whet_permutation_spec_verify(ctx, spec, weights);
        const bool other =
            status == WHET_ERR_SHAPE || status == WHET_ERR_FORMAT || status == WHET_ERR_UNSUPPORTED;
        if (status == WHET_OK) return WHET_OK;
        if (!other) return whet_i_fail_at(ctx, status, "%s", arch);
        (void)snprintf(why, sizeof why, "its networks cannot be run here (%s)", whet_error(ctx));
    }
    warn_unverified(ctx, arch, why);
    return WHET_OK;
}

/* Heads that are given and of no use: the network has none, or a file says how many. */
static whet_status check_given(whet_ctx *ctx, const whet_permutation_spec *spec, bool read,
                               const whet_permutation_hints *given) {
    bool attention = false;
    const bool images =
        whet_i_image_network_knows(spec->arch); /* have groups of channels at most */
    for (int64_t g = 0; !images && g < spec->n_groups; g++) attention |= spec->groups[g].attention;
    if ((attention && !read) || (!given->heads && !given->kv_heads)) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_ARG,
                       "%" PRId64 " heads are given, and the specification %s; expected none given",
                       given->heads ? given->heads : given->kv_heads,
                       read ? "is a file that says how many" : "has none");
}

/* The groups of norms that a config.json says and those that stand behind the architecture are the same. */
static whet_status check_norms(whet_ctx *ctx, const char *arch, const whet_i_heads *heads) {
    const int64_t given = whet_i_arch_norms(arch).count, read = heads->value[WHET_I_NORM_GROUPS];
    if (!given || !read || given == read) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: its config.json says %" PRId64 " groups of channels for norms, and %s "
                       "%" PRId64 "; expected the same",
                       heads->from[WHET_I_NORM_GROUPS], read, arch, given);
}

/* Where a number of groups that is in use comes from. */
static void tell_norms(whet_ctx *ctx, const char *arch, const whet_permutation_spec *spec,
                       const whet_i_heads *heads) {
    if (!heads->from[WHET_I_NORM_GROUPS] || whet_i_norms_told(whet_i_arch_norms(arch)) ||
        !whet_i_norms_told(whet_i_arch_norms(spec->arch)))
        return;
    whet_i_log(ctx, WHET_LOG_INFO,
               "norms are of %" PRId64 " groups of channels, as config.json of %s says",
               heads->value[WHET_I_NORM_GROUPS], heads->from[WHET_I_NORM_GROUPS]);
}

whet_status whet_i_spec_of_files(whet_ctx *ctx, const char *arch, const char *network,
                                 const whet_safetensors *file, const whet_weights *weights,
                                 const whet_permutation_hints *given, const whet_i_heads *heads,
                                 whet_permutation_spec **out) {
    const whet_permutation_hints hints = {heads->value[0], heads->value[1], heads->value[2],
                                          heads->value[WHET_I_NORM_GROUPS]};
    const bool read = whet_i_has_extension(arch, ".json");
    whet_permutation_spec *spec;
    if (!read) WHET_TRY(check_norms(ctx, arch, heads));
    whet_status status = read ? whet_permutation_spec_read(ctx, arch, &spec)
                              : whet_permutation_spec_for(ctx, arch, file, &hints, &spec);
    if (status != WHET_OK)
        return read || status == WHET_ERR_ARG ? status : whet_i_fail_at(ctx, status, "%s", network);
    if (!read) tell_norms(ctx, arch, spec, heads);
    status = check_given(ctx, spec, read, given);
    if (status == WHET_OK && read) status = verify(ctx, arch, network, spec, weights, heads);
    if (status == WHET_OK)
        *out = spec;
    else
        whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static whet_status tell(whet_ctx *ctx, const char *const paths[2], const whet_weights *weights,
                        whet_permutation_spec *spec) {
    whet_i_strides strides = {0};
    if (!whet_i_has_strides(spec, weights))
        return WHET_OK; /* files beside others may be anything */
    for (int k = 0; k < 2; k++) WHET_TRY(whet_i_read_strides(ctx, paths[k], false, &strides));
    WHET_TRY(whet_i_tell_strides(ctx, &strides, weights, spec));
    return whet_i_warn_of_strides(ctx, spec, weights);
}

whet_status whet_i_spec_to_run(whet_ctx *ctx, const char *arch, const char *const paths[2],
                               const whet_safetensors *first, const whet_weights *weights,
                               bool aligned, whet_permutation_spec **out) {
    static const whet_permutation_hints none = {0};
    static const whet_i_heads nothing = {0};
    whet_permutation_spec *spec;
    const bool whole = aligned || whet_i_has_extension(arch, ".json");
    WHET_TRY(whole
                 ? whet_i_spec_of_files(ctx, arch, paths[0], first, weights, &none, &nothing, &spec)
                 : whet_i_spec_create(ctx, arch, &spec));
    const whet_status status = tell(ctx, paths, weights, spec);
    if (status == WHET_OK)
        *out = spec;
    else
        whet_permutation_spec_destroy(ctx, spec);
    return status;
}
