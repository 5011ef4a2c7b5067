/* SPDX-License-Identifier: Apache-2.0
 * Which specification is of a network that is in files. */
#include <stdio.h>

#include "io/io_i.h"
#include "merge/align_files.h"
#include "merge/image_network.h"

enum { CONFIG_MAX = 1 << 24 };

/* Heads as a config.json says, of which there need be none. */
static whet_status read_config(whet_ctx *ctx, const char *network, bool folder,
                               whet_permutation_hints *hints) {
    static const char *const heads[] = {"num_attention_heads", "n_heads", NULL};
    const char *slash = strrchr(network, '/');
    char path[4096];
    json_t *config;
    if (folder)
        (void)snprintf(path, sizeof path, "%s/config.json", network);
    else
        (void)snprintf(path, sizeof path, "%.*sconfig.json", slash ? (int)(slash - network + 1) : 0,
                       network);
    FILE *there = fopen(path, "rb");
    if (!there) return WHET_OK;
    (void)fclose(there);
    WHET_TRY(whet_i_json_read(ctx, path, CONFIG_MAX, &config));
    whet_status status = WHET_OK;
    for (int i = 0; heads[i] && hints->heads == 0 && status == WHET_OK; i++)
        status = whet_i_json_int_or(ctx, path, config, heads[i], 1, 1 << 20, 0, &hints->heads);
    if (status == WHET_OK && hints->kv_heads == 0)
        status = whet_i_json_int_or(ctx, path, config, "num_key_value_heads", 1, 1 << 20, 0,
                                    &hints->kv_heads);
    if (status == WHET_OK && hints->head_size == 0)
        status =
            whet_i_json_int_or(ctx, path, config, "head_dim", 1, 1 << 20, 0, &hints->head_size);
    json_decref(config);
    return status;
}

/* A specification of somebody's own is refused when it changes the function, where that can be told. */
static whet_status verify(whet_ctx *ctx, const char *arch, const whet_permutation_spec *spec,
                          const whet_weights *weights) {
    if (whet_i_image_network_knows(spec->arch)) {
        const whet_status status = whet_permutation_spec_verify(ctx, spec, weights);
        return status == WHET_OK ? status : whet_i_fail_at(ctx, status, "%s", arch);
    }
    whet_i_log(ctx, WHET_LOG_WARN,
               "%s: its networks cannot be run here: that permutations keep their function is not "
               "verified",
               arch);
    return WHET_OK;
}

whet_status whet_i_spec_of_files(whet_ctx *ctx, const char *arch, const char *network, bool folder,
                                 const whet_safetensors *file, const whet_weights *weights,
                                 const whet_permutation_hints *given, whet_permutation_spec **out) {
    whet_permutation_hints hints = *given;
    whet_status status;
    if (whet_i_has_extension(arch, ".json")) {
        whet_permutation_spec *spec;
        WHET_TRY(whet_permutation_spec_read(ctx, arch, &spec));
        status = verify(ctx, arch, spec, weights);
        if (status == WHET_OK)
            *out = spec;
        else
            whet_permutation_spec_destroy(ctx, spec);
        return status;
    }
    WHET_TRY(read_config(ctx, network, folder, &hints));
    status = whet_permutation_spec_for(ctx, arch, file, &hints, out);
    return status == WHET_OK || status == WHET_ERR_ARG ? status
                                                       : whet_i_fail_at(ctx, status, "%s", network);
}
