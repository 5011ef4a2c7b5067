/* SPDX-License-Identifier: Apache-2.0
 * Names of residual networks: layer<stage>.<block>.conv<k> and .bn<k> (torchvision, and most networks for
 * CIFAR), shortcuts of a convolution and a norm under "shortcut" or "downsample". */
#include <inttypes.h>
#include <stdio.h>

#include "merge/residual_names.h"

/* ---- blocks ------------------------------------------------------------------------------------------- */

static const char *shortcut_of(const whet_i_tensors *t, const char *module) {
    static const char *const names[] = {"shortcut", "downsample"};
    char name[2 * WHET_I_BLOCK_NAME];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", module, names[i]);
        if (whet_i_tensors_find(t, name, "0.weight", 4, NULL)) return names[i];
    }
    return NULL;
}

whet_status whet_i_residual_block_of(whet_ctx *ctx, const whet_i_tensors *t, int stage, int index,
                                     bool *there, whet_i_residual_block *out) {
    char part[32], quoted[WHET_QUOTE_SIZE];
    whet_tensor w;
    whet_i_residual_block b = {0};
    (void)snprintf(b.module, sizeof b.module, "layer%d.%d", stage, index);
    *there = whet_i_tensors_find(t, b.module, "conv1.weight", 0, NULL);
    if (!*there) return WHET_OK;
    for (int k = 0; k < WHET_I_BLOCK_CONVOLUTIONS_MOST; k++) {
        (void)snprintf(part, sizeof part, "conv%d.weight", k + 1);
        if (k == 2 && !whet_i_tensors_find(t, b.module, part, 0, NULL)) break;
        if (!whet_i_tensors_find(t, b.module, part, 4, &w))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "resnet: %s has no %s of four dimensions; expected a convolution",
                               whet_i_quote(quoted, whet_str_from(b.module)), part);
        b.widths[k] = w.shape[0];
        b.sizes[k] = w.shape[2];
        b.convolutions = k + 1;
    }
    b.shortcut = shortcut_of(t, b.module);
    *out = b;
    return WHET_OK;
}

const char *whet_i_residual_head(const whet_i_tensors *t) {
    static const char *const names[] = {"linear", "fc"};
    for (int i = 0; i < 2; i++)
        if (whet_i_tensors_find(t, names[i], "weight", 2, NULL)) return names[i];
    return NULL;
}

/* ---- where norms stand --------------------------------------------------------------------------------- */

/* Where a block's widths differ: before a convolution its norm has the channels that it reads, behind it
 * those that it writes. 1 = before, 0 = behind, -1 = they do not differ. */
static int is_before_in(const whet_i_tensors *t, const char *module) {
    whet_tensor bn, conv;
    char name[32];
    for (int k = 1; k <= WHET_I_BLOCK_CONVOLUTIONS_MOST; k++) {
        (void)snprintf(name, sizeof name, "conv%d.weight", k);
        if (!whet_i_tensors_find(t, module, name, 4, &conv) || conv.shape[0] == conv.shape[1])
            continue;
        (void)snprintf(name, sizeof name, "bn%d.weight", k);
        if (whet_i_tensors_find(t, module, name, 1, &bn)) return bn.shape[0] == conv.shape[1];
    }
    return -1;
}

/* Told by the first block whose widths differ; else by the first convolution, which a network with norms
 * behind convolutions does not leave without one. The two kinds number a block's norms by other units, so
 * that nothing is gained by not asking. */
int whet_i_residual_before(const whet_i_tensors *t) {
    char module[WHET_I_BLOCK_NAME];
    for (int stage = 1; stage <= WHET_I_STAGES_MOST; stage++)
        for (int i = 0; i < WHET_I_BLOCKS_MOST; i++) {
            (void)snprintf(module, sizeof module, "layer%d.%d", stage, i);
            if (!whet_i_tensors_find(t, module, "conv1.weight", 4, NULL)) break;
            const int found = is_before_in(t, module);
            if (found >= 0) return found;
        }
    return whet_i_tensors_find(t, "bn1", "weight", 0, NULL) ? -1 : 1;
}

bool whet_i_residual_is_before(const whet_i_tensors *t, const char *arch) {
    const int told = whet_i_residual_before(t);
    return told < 0 ? whet_i_arch_is(arch, "wrn") : told == 1;
}
