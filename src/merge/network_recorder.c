/* SPDX-License-Identifier: Apache-2.0
 * Layers that networks of images are recorded of, where their weights are given. */
#include <inttypes.h>
#include <stdio.h>

#include "merge/image_network.h"
#include "merge/network_recorder.h"

static const double EPSILON = 1e-5; /* of norms: torch's */

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
