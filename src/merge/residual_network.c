/* SPDX-License-Identifier: Apache-2.0
 * Residual networks, recorded as their tensors say: post-activation, relu(norm(conv(..)) + shortcut), and
 * pre-activation, conv(relu(norm(..))) + shortcut, of two convolutions a block or of three (bottlenecks; He
 * et al. 2016, section 4.1). Shortcuts are convolutions, or pad with zeros (option A). Norms are batch norms
 * where there are running statistics, else group norms.
 *
 * What no tensor tells is as a specification tells it; else as published networks have it: the first block
 * of each stage but the first one, where it has a shortcut of its own, has stride 2, at its first
 * convolution, of a bottleneck at its second one (torchvision); a first convolution of 7 x 7 has stride 2,
 * and the largest of 3 x 3 behind it; a pre-activation block's shortcut without a norm reads what the first
 * convolution reads, one with a norm the stream. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/network_recorder.h"
#include "merge/residual_names.h"

enum { STEM_OF_LARGE_IMAGES = 7 };

typedef struct network {
    whet_i_network_recorder *r;
    whet_i_tensors tensors;
    whet_i_residual_ends ends;
    bool before; /* norms stand before convolutions */
    whet_i_image image;
    whet_i_value x;
} network;

/* act(norm(x) + residual); residual WHET_I_NONE = none. */
static whet_status norm(const network *n, const char *module, int64_t channels, bool relu,
                        whet_i_value residual, whet_i_value x, whet_i_value *out) {
    const whet_i_norm_spec spec = {
        .module = module,
        .channels = channels,
        .relu = relu,
        .residual = residual,
        .batch = whet_i_tensors_find(&n->tensors, module, "running_mean", 1, NULL)};
    return whet_i_record_norm(n->r, &spec, x, out);
}

/* ---- strides ---------------------------------------------------------------------------------------- */

/* The convolution that usually has a block's stride: the second of a bottleneck, the first of two. */
static int32_t strided_of(const whet_i_residual_block *b) {
    return b->convolutions == WHET_I_BLOCK_CONVOLUTIONS_MOST;
}

/* Of the k-th convolution of a block, from 0: as it is told, or as is usual. */
static int64_t stride_of(const network *n, const whet_i_residual_block *b, int32_t k,
                         int64_t usual) {
    const whet_i_told *told = whet_i_recorder_told(n->r, b->convs[k]);
    return told ? told->stride : k == strided_of(b) ? usual : 1;
}

/* Of all its convolutions together, which a shortcut has as well. One that is told of another than has it
 * usually might stand beside that or in its place. */
static whet_status stride_of_block(const network *n, const whet_i_residual_block *b, int64_t usual,
                                   int64_t *out) {
    const int32_t strided = strided_of(b);
    const bool told = whet_i_recorder_told(n->r, b->convs[strided]) != NULL;
    *out = 1;
    for (int32_t k = 0; k < b->convolutions; k++) {
        const int64_t stride = stride_of(n, b, k, usual);
        if (k != strided && stride > 1 && usual > 1 && !told)
            return whet_i_fail(
                n->r->ctx, WHET_ERR_DATA,
                "%s: convolution %s is told to have a stride of %" PRId64
                ", and nothing is told of %s, which has one usually; expected both, to "
                "be run",
                n->r->arch, b->convs[k], stride, b->convs[strided]);
        *out *= stride;
    }
    return WHET_OK;
}

/* What is added must be of one shape. */
static whet_status check_sides(const network *n, const whet_i_residual_block *b,
                               const whet_i_image *image, const whet_i_image *side) {
    if (image->height == side->height && image->width == side->width &&
        image->channels == side->channels)
        return WHET_OK;
    return whet_i_fail(n->r->ctx, WHET_ERR_SHAPE,
                       "%s: the convolutions of %s give %" PRId64 " x %" PRId64 " x %" PRId64
                       ", and its shortcut %" PRId64 " x %" PRId64 " x %" PRId64
                       "; expected the same, to be run",
                       n->r->arch, b->module, image->height, image->width, image->channels,
                       side->height, side->width, side->channels);
}

/* ---- shortcuts -------------------------------------------------------------------------------------- */

/* read: what the block's first convolution reads. */
static whet_status shortcut(const network *n, const whet_i_residual_block *b, int64_t stride,
                            whet_i_value read, whet_i_image *side, whet_i_value *out) {
    const whet_i_network_recorder *r = n->r;
    const int64_t width = b->widths[b->convolutions - 1];
    *side = n->image;
    *out = n->x;
    if (!b->shortcut)
        return stride == 1 && width == side->channels
                   ? WHET_OK
                   : whet_i_image_shortcut(r->ctx, r->graph, n->x, side, stride, width, out);
    const bool normed = whet_i_tensors_find(&n->tensors, b->shortcut_norm, "weight", 1, NULL);
    if (n->before && !normed && whet_i_tensors_find(&n->tensors, b->shortcut_conv, "bias", 1, NULL))
        return whet_i_fail(
            r->ctx, WHET_ERR_UNSUPPORTED,
            "%s: %s has a bias and no norm behind it, in a network with norms before "
            "convolutions: nothing tells what it reads; expected a norm, or no bias, "
            "to be run",
            r->arch, b->shortcut_conv);
    WHET_TRY(whet_i_record_convolution(r, b->shortcut_conv, stride, side,
                                       n->before && !normed ? read : n->x, out));
    return normed ? norm(n, b->shortcut_norm, side->channels, false, WHET_I_NONE, *out, out)
                  : WHET_OK;
}

/* ---- blocks ----------------------------------------------------------------------------------------- */

/* The k-th convolution of a block, from 0. */
static whet_status convolve_kth(const network *n, const whet_i_residual_block *b, int32_t k,
                                int64_t usual, whet_i_image *image, whet_i_value *y) {
    return whet_i_record_convolution(n->r, b->convs[k], stride_of(n, b, k, usual), image, *y, y);
}

static whet_status post_activation(network *n, const whet_i_residual_block *b, int64_t usual) {
    whet_i_image image = n->image, beside;
    whet_i_value y = n->x, side;
    int64_t stride;
    WHET_TRY(stride_of_block(n, b, usual, &stride));
    WHET_TRY(shortcut(n, b, stride, n->x, &beside, &side));
    for (int32_t k = 0; k < b->convolutions; k++) {
        const bool last = k == b->convolutions - 1;
        WHET_TRY(convolve_kth(n, b, k, usual, &image, &y));
        if (last) WHET_TRY(check_sides(n, b, &image, &beside));
        WHET_TRY(norm(n, b->norms[k], image.channels, true, last ? side : WHET_I_NONE, y, &y));
    }
    n->image = image;
    n->x = y;
    return WHET_OK;
}

static whet_status pre_activation(network *n, const whet_i_residual_block *b, int64_t usual) {
    whet_i_image image = n->image, beside;
    whet_i_value y = n->x, read = y, side;
    int64_t stride;
    WHET_TRY(stride_of_block(n, b, usual, &stride));
    for (int32_t k = 0; k < b->convolutions; k++) {
        WHET_TRY(norm(n, b->norms[k], image.channels, true, WHET_I_NONE, y, &y));
        if (k == 0) read = y;
        WHET_TRY(convolve_kth(n, b, k, usual, &image, &y));
    }
    WHET_TRY(shortcut(n, b, stride, read, &beside, &side));
    WHET_TRY(check_sides(n, b, &image, &beside));
    WHET_TRY(whet_i_sum(n->r->ctx, n->r->graph, y, side, &n->x));
    n->image = image;
    return WHET_OK;
}

static whet_status record_blocks(network *n) {
    whet_i_residual_block b;
    for (int stage = 1; stage <= WHET_I_STAGES_MOST; stage++)
        for (int i = 0; i < WHET_I_BLOCKS_MOST; i++) {
            bool there;
            WHET_TRY(whet_i_residual_block_of(n->r->ctx, &n->tensors, stage, i, &there, &b));
            if (!there) break;
            const bool changes = b.shortcut || b.widths[b.convolutions - 1] != n->image.channels;
            const int64_t usual = stage > 1 && i == 0 && changes ? 2 : 1;
            whet_i_graph_segment(n->r->graph);
            WHET_TRY(n->before ? pre_activation(n, &b, usual) : post_activation(n, &b, usual));
        }
    return WHET_OK;
}

/* ---- the network ------------------------------------------------------------------------------------- */

/* Pools stand behind the first convolution alone. */
static whet_status check_pools(const network *n) {
    const whet_permutation_spec *told = n->r->told;
    for (int64_t i = 0; told && i < told->n_told; i++)
        if (told->told[i].pool.size && strcmp(told->told[i].module, n->ends.stem) != 0)
            return whet_i_fail(
                n->r->ctx, WHET_ERR_UNSUPPORTED,
                "%s: a pool is told to be behind convolution %s; expected one behind "
                "the first alone (%s), to be run",
                n->r->arch, told->told[i].module, n->ends.stem);
    return WHET_OK;
}

static whet_status record_stem(network *n) {
    const whet_i_network_recorder *r = n->r;
    const whet_i_told *told = whet_i_recorder_told(r, n->ends.stem);
    whet_tensor w;
    const bool large = !told && whet_i_tensors_find(&n->tensors, n->ends.stem, "weight", 4, &w) &&
                       w.shape[2] == STEM_OF_LARGE_IMAGES;
    const whet_i_told_pool pool = told    ? told->pool
                                  : large ? (whet_i_told_pool){true, 3, 2, 1}
                                          : (whet_i_told_pool){0};
    if (large && n->before && !whet_i_spec_told(r->told, n->ends.stem))
        return whet_i_fail(
            r->ctx, WHET_ERR_UNSUPPORTED,
            "%s: conv1 is of 7 x 7, in a network with norms before convolutions: "
            "nothing tells what is behind it; expected it told in a specification, or "
            "one of 3 x 3, to be run",
            r->arch);
    WHET_TRY(check_pools(n));
    WHET_TRY(whet_i_record_convolution(r, n->ends.stem, large ? 2 : 1, &n->image, n->x, &n->x));
    if (!n->before)
        WHET_TRY(norm(n, n->ends.stem_norm, n->image.channels, true, WHET_I_NONE, n->x, &n->x));
    return whet_i_record_pool(r, &pool, &n->image, n->x, &n->x);
}

whet_status whet_i_record_residual(whet_i_network_recorder *r, whet_i_value x,
                                   whet_i_model_values *out) {
    network n = {
        .r = r, .tensors = whet_i_tensors_of_weights(r->weights), .image = r->image, .x = x};
    n.before = whet_i_residual_is_before(&n.tensors, r->arch);
    n.ends = whet_i_residual_ends_of(&n.tensors);
    if (!n.ends.head)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: no matrix linear.weight or fc.weight; expected the last layer, for "
                           "the network to be run",
                           r->arch);
    WHET_TRY(whet_i_check_told(r));
    WHET_TRY(record_stem(&n));
    WHET_TRY(record_blocks(&n));
    whet_i_graph_segment(r->graph);
    if (n.before && whet_i_tensors_find(&n.tensors, n.ends.stem_norm, "weight", 1, NULL))
        WHET_TRY(norm(&n, n.ends.stem_norm, n.image.channels, true, WHET_I_NONE, n.x, &n.x));
    WHET_TRY(whet_i_global_pool(r->ctx, r->graph, n.x, &n.image, &out->features));
    return whet_i_record_dense(r, n.ends.head, WHET_I_ACT_NONE, out->features, &out->logits);
}
