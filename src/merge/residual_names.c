/* SPDX-License-Identifier: Apache-2.0
 * Names of residual networks: layer<stage>.<block>.conv<k> and .bn<k> (torchvision, timm, and most networks
 * for CIFAR), shortcuts of a convolution and a norm under "shortcut" or "downsample"; and those of
 * ResNetForImageClassification (transformers), whose norms stand behind convolutions. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/residual_names.h"

/* Of transformers. */
static const char STEM[] = "resnet.embedder.embedder.convolution";

static bool is_transformers(const whet_i_tensors *t) {
    return whet_i_tensors_find(t, STEM, "weight", 4, NULL);
}

whet_i_residual_ends whet_i_residual_ends_of(const whet_i_tensors *t) {
    static const char *const heads[] = {"linear", "fc", "classifier.1"};
    const bool other = is_transformers(t);
    whet_i_residual_ends ends = {"conv1", "bn1", NULL};
    if (other) ends = (whet_i_residual_ends){STEM, "resnet.embedder.embedder.normalization", NULL};
    for (int i = other ? 2 : 0; i < (other ? 3 : 2) && !ends.head; i++)
        if (whet_i_tensors_find(t, heads[i], "weight", 2, NULL)) ends.head = heads[i];
    return ends;
}

/* ---- blocks ------------------------------------------------------------------------------------------- */

/* The k-th convolution of a block, from 0, and its norm. */
static void name_kth(bool other, int k, whet_i_residual_block *b) {
    const char *module = b->module;
    (void)snprintf(b->convs[k], sizeof b->convs[k], other ? "%s.layer.%d.convolution" : "%s.conv%d",
                   module, other ? k : k + 1);
    (void)snprintf(b->norms[k], sizeof b->norms[k], other ? "%s.layer.%d.normalization" : "%s.bn%d",
                   module, other ? k : k + 1);
}

static void name_block(bool other, int stage, int index, whet_i_residual_block *out) {
    if (other)
        (void)snprintf(out->module, sizeof out->module, "resnet.encoder.stages.%d.layers.%d",
                       stage - 1, index);
    else
        (void)snprintf(out->module, sizeof out->module, "layer%d.%d", stage, index);
    for (int k = 0; k < WHET_I_BLOCK_CONVOLUTIONS_MOST; k++) name_kth(other, k, out);
}

static void find_shortcut(const whet_i_tensors *t, whet_i_residual_block *b) {
    static const char *const names[][2] = {{".shortcut.0", ".shortcut.1"},
                                           {".downsample.0", ".downsample.1"},
                                           {".shortcut.convolution", ".shortcut.normalization"}};
    for (int i = 0; i < 3 && !b->shortcut; i++) {
        (void)snprintf(b->shortcut_conv, sizeof b->shortcut_conv, "%s%s", b->module, names[i][0]);
        (void)snprintf(b->shortcut_norm, sizeof b->shortcut_norm, "%s%s", b->module, names[i][1]);
        b->shortcut = whet_i_tensors_find(t, b->shortcut_conv, "weight", 4, NULL);
    }
}

whet_status whet_i_residual_block_of(whet_ctx *ctx, const whet_i_tensors *t, int stage, int index,
                                     bool *there, whet_i_residual_block *out) {
    char quoted[WHET_QUOTE_SIZE];
    whet_tensor w;
    whet_i_residual_block b = {0};
    name_block(is_transformers(t), stage, index, &b);
    *there = whet_i_tensors_find(t, b.convs[0], "weight", 0, NULL);
    if (!*there) return WHET_OK;
    for (int k = 0; k < WHET_I_BLOCK_CONVOLUTIONS_MOST; k++) {
        if (k == 2 && !whet_i_tensors_find(t, b.convs[k], "weight", 0, NULL)) break;
        if (!whet_i_tensors_find(t, b.convs[k], "weight", 4, &w))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "resnet: %s has no %s.weight of four dimensions; expected a "
                               "convolution",
                               whet_i_quote(quoted, whet_str_from(b.module)),
                               b.convs[k] + strlen(b.module) + 1);
        b.widths[k] = w.shape[0];
        b.convolutions = k + 1;
    }
    find_shortcut(t, &b);
    *out = b;
    return WHET_OK;
}

bool whet_i_residual_named(const whet_i_tensors *t) {
    whet_i_residual_block b;
    name_block(is_transformers(t), 1, 0, &b);
    return whet_i_tensors_find(t, b.convs[0], "weight", 4, NULL);
}

/* ---- where norms stand --------------------------------------------------------------------------------- */

/* Where a block's widths differ: before a convolution its norm has the channels that it reads, behind it
 * those that it writes. 1 = before, 0 = behind, -1 = they do not differ. */
static int is_before_in(const whet_i_tensors *t, const whet_i_residual_block *b) {
    whet_tensor bn, conv;
    int64_t read = 0; /* of one in groups of channels its shape does not say it */
    for (int k = 0; k < WHET_I_BLOCK_CONVOLUTIONS_MOST; k++) {
        if (!whet_i_tensors_find(t, b->convs[k], "weight", 4, &conv)) break;
        if (k == 0) read = conv.shape[1];
        if (conv.shape[0] != read && whet_i_tensors_find(t, b->norms[k], "weight", 1, &bn))
            return bn.shape[0] == read;
        read = conv.shape[0];
    }
    return -1;
}

/* Told by the first block whose widths differ; else by the first convolution, which a network with norms
 * behind convolutions does not leave without one. The two kinds number a block's norms by other units, so
 * that nothing is gained by not asking. */
int whet_i_residual_before(const whet_i_tensors *t) {
    whet_i_residual_block b;
    if (is_transformers(t)) return 0;
    for (int stage = 1; stage <= WHET_I_STAGES_MOST; stage++)
        for (int i = 0; i < WHET_I_BLOCKS_MOST; i++) {
            name_block(false, stage, i, &b);
            if (!whet_i_tensors_find(t, b.convs[0], "weight", 4, NULL)) break;
            const int found = is_before_in(t, &b);
            if (found >= 0) return found;
        }
    return whet_i_tensors_find(t, "bn1", "weight", 0, NULL) ? -1 : 1;
}

bool whet_i_residual_is_before(const whet_i_tensors *t, const char *arch) {
    const int told = whet_i_residual_before(t);
    return told < 0 ? whet_i_arch_is(arch, "wrn") : told == 1;
}
