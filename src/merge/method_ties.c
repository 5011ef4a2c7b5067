/* SPDX-License-Identifier: Apache-2.0
 * TIES (Yadav et al. 2023, arXiv 2306.01708, algorithm 1): of each model's differences the largest are kept
 * (trim), each place elects a sign by the weighted sum (elect), and those that have it are averaged
 * (merge). The k largest are exact, equal ones by place; density 1 keeps all and needs no search for
 * them. */
#include <math.h>

#include "merge/merging_i.h"

static void mask(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m) {
    uint32_t *key = (uint32_t *)(void *)m;
    whet_i_merge_delta_keys(t, c, i, NULL, key);
    whet_i_merge_top_mask(t, (const whet_i_merge_top *)arg + i, c->index, c->n, key, m);
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    whet_i_merge_top tops[WHET_MERGE_MODELS_MAX] = {{0}};
    whet_i_merge_deltas d;
    bool all = true;
    whet_i_merge_deltas_init(t, &d);
    d.consensus = true;
    d.rescale_l1 = whet_i_merge_global(t, WHET_I_SET_RESCALE) != 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double density = whet_i_merge_setting(t, i, WHET_I_SET_DENSITY);
        tops[i].stream = i;
        tops[i].rank = (int64_t)(density * (double)t->count);
        if (density < 1) all = false;
    }
    whet_status status = WHET_OK;
    if (!all) {
        WHET_TRY_DONE(whet_i_merge_select(ctx, t, whet_i_merge_delta_keys, NULL, t->n, tops, t->n));
        d.mask = mask;
        d.arg = tops;
        d.tops = tops;
    }
    status = whet_i_merge_write_deltas(ctx, t, &d);
done:
    for (int64_t i = 0; i < t->n; i++) whet_i_free(ctx, tops[i].before);
    return status;
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_WEIGHT, (double)NAN},
                                              {WHET_I_SET_DENSITY, 1},
                                              {WHET_I_SET_LAMBDA, 1},
                                              {WHET_I_SET_NORMALIZE, 1},
                                              {WHET_I_SET_RESCALE, 0},
                                              {WHET_I_SET_INT8_MASK, 0},
                                              {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_ties = {
    .shown = {"ties", "the largest differences, of the elected sign", 1, WHET_MERGE_MODELS_MAX,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 4,
    .streams = -1,
    .scratch = whet_i_merge_deltas_scratch,
    .run = run};
