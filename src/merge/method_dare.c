/* SPDX-License-Identifier: Apache-2.0
 * DARE (Yu et al. 2024, arXiv 2311.03099): each difference is kept with probability `density`, and what is
 * kept is divided by it, which leaves the expectation as it was. `rescale_l1` keeps the sum of sizes
 * instead, as mergekit does. Summed as by task arithmetic or with TIES' election of signs. */
#include <math.h>

#include "merge/merging_i.h"

static void mask(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m) {
    const double density = whet_i_merge_setting(t, i, WHET_I_SET_DENSITY);
    (void)arg;
    if (!t->uniform) t->kernels->drawn_mask(c->n, whet_i_merge_stream(t, i), c->first, density, m);
    for (int64_t e = 0; t->uniform && e < c->n; e++)
        m[e] = density >= 1 || whet_i_merge_uniform(t, i, c->first + e) < density ? 1.0F : 0.0F;
}

static whet_status merge(whet_ctx *ctx, whet_i_merge_tensor *t, bool consensus) {
    whet_i_merge_deltas d;
    whet_i_merge_deltas_init(t, &d);
    const bool rescale = whet_i_merge_global(t, WHET_I_SET_RESCALE) != 0;
    d.consensus = consensus;
    d.rescale_l1 = rescale && whet_i_merge_global(t, WHET_I_SET_RESCALE_L1) != 0;
    d.mask = mask;
    for (int64_t i = 0; rescale && !d.rescale_l1 && i < t->n; i++) {
        const double density = whet_i_merge_setting(t, i, WHET_I_SET_DENSITY);
        d.factor[i] = density > 0 ? 1 / density : 0;
    }
    return whet_i_merge_write_deltas(ctx, t, &d);
}

static whet_status run_linear(whet_ctx *ctx, whet_i_merge_tensor *t) {
    return merge(ctx, t, false);
}
static whet_status run_ties(whet_ctx *ctx, whet_i_merge_tensor *t) { return merge(ctx, t, true); }

static const whet_i_setting_use settings[] = {
    {WHET_I_SET_WEIGHT, (double)NAN}, {WHET_I_SET_DENSITY, 1}, {WHET_I_SET_LAMBDA, 1},
    {WHET_I_SET_NORMALIZE, 0},        {WHET_I_SET_RESCALE, 1}, {WHET_I_SET_RESCALE_L1, 0},
    {WHET_I_SET_INT8_MASK, 0},        {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_dare_linear = {
    .shown = {"dare_linear", "differences kept at random, summed", 1, WHET_MERGE_MODELS_MAX,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 2,
    .scratch = whet_i_merge_deltas_scratch,
    .run = run_linear};

const whet_i_merge_method whet_i_merge_dare_ties = {
    .shown = {"dare_ties", "differences kept at random, of the elected sign", 1,
              WHET_MERGE_MODELS_MAX, WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 2,
    .scratch = whet_i_merge_deltas_scratch,
    .run = run_ties};
