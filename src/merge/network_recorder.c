/* SPDX-License-Identifier: Apache-2.0
 * Layers that networks of images are recorded of, where their weights are given. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/image_network.h"
#include "merge/network_recorder.h"

static const double EPSILON = 1e-5; /* of norms: torch's */

/* ---- convolutions ------------------------------------------------------------------------------------- */

/* Images of a proof keep their sizes, whatever is told: symmetries do not depend on it. */
const whet_i_told *whet_i_recorder_told(const whet_i_network_recorder *r, const char *module) {
    return r->proof ? NULL : whet_i_spec_told(r->told, module);
}

static whet_status find_kernel(const whet_i_network_recorder *r, const char *module,
                               whet_tensor *out, bool *bias) {
    char name[256];
    (void)snprintf(name, sizeof name, "%s.weight", module);
    const whet_tensor *w = whet_i_image_network_tensor(r->weights, name);
    if (!w || w->rank != 4 || w->shape[2] != w->shape[3] || w->shape[2] < 1)
        return whet_i_fail(
            r->ctx, WHET_ERR_FORMAT,
            "%s: no tensor %s.weight of a square kernel; expected a convolution, for "
            "the network to be run",
            r->arch, module);
    *out = *w;
    (void)snprintf(name, sizeof name, "%s.bias", module);
    *bias = whet_i_image_network_tensor(r->weights, name) != NULL;
    return WHET_OK;
}

/* Where shapes are no groups of channels, who binds the tensors says that they do not fit. */
static int64_t groups_of(const whet_tensor *w, const whet_i_image *image) {
    const int64_t reads = w->shape[1];
    if (reads < 1 || image->channels % reads != 0) return 1;
    const int64_t groups = image->channels / reads;
    return w->shape[0] % groups == 0 ? groups : 1;
}

static whet_status check_one(const whet_i_network_recorder *r, const whet_i_told *told,
                             const char *module, int64_t size, int64_t groups) {
    if (told->groups && told->groups != groups)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: convolution %s is told to have %" PRId64 " groups, and has %" PRId64
                           " by its shapes; expected the same",
                           r->arch, module, told->groups, groups);
    if (told->padding == WHET_I_SAME_SIZE && told->dilation * (size - 1) % 2 != 0)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: no padding is told of convolution %s, whose kernel of %" PRId64
                           " x %" PRId64 " has none that keeps an image's size; expected one",
                           r->arch, module, size, size);
    return WHET_OK;
}

whet_status whet_i_record_convolution(const whet_i_network_recorder *r, const char *module,
                                      int64_t stride, whet_i_image *image, whet_i_value x,
                                      whet_i_value *out) {
    const whet_i_told *told = whet_i_spec_told(r->told, module);
    whet_tensor w;
    bool bias;
    WHET_TRY(find_kernel(r, module, &w, &bias));
    const int64_t size = w.shape[2];
    whet_i_convolution_spec spec = {module,   w.shape[0], size, stride,
                                    size / 2, bias,       1,    groups_of(&w, image)};
    if (told) WHET_TRY(check_one(r, told, module, size, spec.groups));
    if (told && !r->proof) {
        spec.stride = told->stride;
        spec.dilation = told->dilation;
        spec.padding =
            told->padding == WHET_I_SAME_SIZE ? told->dilation * (size - 1) / 2 : told->padding;
    }
    return whet_i_convolution(r->ctx, r->graph, x, image, &spec, out);
}

whet_status whet_i_record_pool(const whet_i_network_recorder *r, const whet_i_told_pool *pool,
                               whet_i_image *image, whet_i_value x, whet_i_value *out) {
    const whet_i_image_pool_spec spec = {pool->largest, pool->size, pool->stride, pool->padding};
    *out = x;
    return pool->size == 0 ? WHET_OK : whet_i_image_pool(r->ctx, r->graph, x, image, &spec, out);
}

whet_status whet_i_check_told(const whet_i_network_recorder *r) {
    char name[512], quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; r->told && i < r->told->n_told; i++) {
        (void)snprintf(name, sizeof name, "%s.weight", r->told->told[i].module);
        const whet_tensor *w = whet_i_image_network_tensor(r->weights, name);
        if (!w || w->rank != 4)
            return whet_i_fail(
                r->ctx, WHET_ERR_DATA,
                "%s: %s is told to be a convolution, and the network has none of that "
                "name; expected one of its modules",
                r->arch, whet_i_quote(quoted, whet_str_from(r->told->told[i].module)));
    }
    return WHET_OK;
}

/* ---- norms, linear layers -------------------------------------------------------------------------- */

/* relu(norm(x) + residual), in operations of their own but for a norm's ReLU where nothing is watched. */
static whet_status group_norm(const whet_i_network_recorder *r, const whet_i_norm_spec *n,
                              whet_i_value x, whet_i_value *out) {
    const int64_t told = whet_i_norm_count(whet_i_arch_norms(r->arch), n->channels);
    const int64_t count = told == 0 && n->vector ? 1 : told;
    const bool sum = n->residual != WHET_I_NONE, fused = n->relu && !sum && !r->apart;
    const whet_i_groupnorm_spec spec = {n->module, n->channels, count, EPSILON,
                                        fused ? 0 : WHET_I_LINEAR_SLOPE};
    if (count == 0)
        return whet_i_fail(r->ctx, WHET_ERR_DATA,
                           "%s: norm %s is of %" PRId64
                           " channels, that are no such groups; expected a multiple",
                           r->arch, n->module, n->channels);
    WHET_TRY(whet_i_groupnorm(r->ctx, r->graph, x, &spec, out));
    if (sum) WHET_TRY(whet_i_sum(r->ctx, r->graph, *out, n->residual, out));
    if (!n->relu || fused) return WHET_OK;
    return whet_i_activation(r->ctx, r->graph, *out, WHET_I_ACT_RELU, out);
}

whet_status whet_i_record_norm(const whet_i_network_recorder *r, const whet_i_norm_spec *n,
                               whet_i_value x, whet_i_value *out) {
    const bool fused = n->relu && !(r->apart && n->residual == WHET_I_NONE);
    const whet_i_batchnorm_spec spec = {.module = n->module,
                                        .channels = n->channels,
                                        .eps = EPSILON,
                                        .momentum = 1, /* statistics are those of the last batch */
                                        .slope = fused ? 0 : WHET_I_LINEAR_SLOPE,
                                        .residual = n->residual};
    if (!n->batch) return group_norm(r, n, x, out);
    WHET_TRY(whet_i_batchnorm(r->ctx, r->graph, x, &spec, out));
    if (!n->relu || fused) return WHET_OK;
    return whet_i_activation(r->ctx, r->graph, *out, WHET_I_ACT_RELU, out);
}

whet_status whet_i_record_dense(const whet_i_network_recorder *r, const char *module,
                                whet_i_act act, whet_i_value x, whet_i_value *out) {
    char name[256];
    (void)snprintf(name, sizeof name, "%s.weight", module);
    const whet_tensor *w = whet_i_image_network_tensor(r->weights, name);
    if (!w || w->rank != 2)
        return whet_i_fail(r->ctx, WHET_ERR_FORMAT,
                           "%s: no matrix %s; expected a linear layer, for the network to be run",
                           r->arch, name);
    (void)snprintf(name, sizeof name, "%s.bias", module);
    const bool apart = r->apart && act != WHET_I_ACT_NONE;
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {module},
                                     .n = {w->shape[0]},
                                     .bias = whet_i_image_network_tensor(r->weights, name) != NULL,
                                     .act = apart ? WHET_I_ACT_NONE : act,
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_REQUIRED,
                                     .bias_init = WHET_I_INIT_REQUIRED};
    WHET_TRY(whet_i_linear_layer(r->ctx, r->graph, x, &spec, out));
    return apart ? whet_i_activation(r->ctx, r->graph, *out, act, out) : WHET_OK;
}
