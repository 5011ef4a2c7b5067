/* SPDX-License-Identifier: Apache-2.0
 * Losses of many mixtures of two multilayer perceptrons at once. */
#ifndef WHET_MERGE_MIXTURE_MLP_H
#define WHET_MERGE_MIXTURE_MLP_H

#include "merge/merge_i.h"

typedef struct whet_i_mlp_mixture whet_i_mlp_mixture;

/* For mixtures of arch mlp, which have been checked; NULL: of norms, or layers without bias, as well. Errors:
 * NOMEM. */
WHET_CHECKED whet_status whet_i_mlp_mixture_make(whet_ctx *ctx, const whet_i_mixture *mixture,
                                                 whet_i_mlp_mixture **out);
void whet_i_mlp_mixture_free(whet_ctx *ctx, whet_i_mlp_mixture *p);
/* As whet_i_mixture_score. What is known of the examples' first layers is kept while data->x and n stay: the
 * inputs must not change meanwhile. Memory: 8 m bytes an example of the first layer's m units. */
WHET_CHECKED whet_status whet_i_mlp_mixture_score(whet_ctx *ctx, const whet_i_mixture *mixture,
                                                  whet_i_mlp_mixture *p, const double *shares,
                                                  int64_t points, const whet_mode_data *data,
                                                  const whet_i_scores *out);

#endif
