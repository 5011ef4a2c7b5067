/* SPDX-License-Identifier: Apache-2.0
 * REPAIR of mixtures of two networks, at any share of them. */
#ifndef WHET_MERGE_REPAIR_H
#define WHET_MERGE_REPAIR_H

#include "merge/image_network.h"

typedef struct whet_i_repair whet_i_repair;

/* Measures both networks (f32, without batch norms) on images x [n, ...]; x and arch must stay.
 * Errors: those of whet_i_image_network_make; UNSUPPORTED (a layer without a bias), DATA (fewer than 2
 * examples). */
WHET_CHECKED whet_status whet_i_repair_create(whet_ctx *ctx, const char *arch,
                                              const whet_permutation_spec *told,
                                              const whet_weights *a, const whet_weights *b,
                                              const whet_i_image *image, const float *x, int64_t n,
                                              whet_i_repair **out);
void whet_i_repair_destroy(whet_ctx *ctx, whet_i_repair *repair);
/* mixed (f32), of which tensor i is (1 - shares[i]) a + shares[i] b, has its hidden layers shifted and
 * scaled in place; a layer's share is that of its weights. */
WHET_CHECKED whet_status whet_i_repair_apply(whet_ctx *ctx, const whet_i_repair *repair,
                                             const double *shares, const whet_weights *mixed);

#endif
