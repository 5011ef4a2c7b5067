/* SPDX-License-Identifier: Apache-2.0
 * One model as it is, times a factor: for recipes that stack layers of several models. */
#include "merge/merging_i.h"

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double scale = whet_i_merge_setting(t, 0, WHET_I_SET_SCALE);
    return whet_i_merge_write_span(ctx, t, &scale);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_SCALE, 1}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_passthrough = {
    .shown = {"passthrough", "one model as it is, or scaled", 1, 1, WHET_MERGE_BASE_NONE,
              WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 1,
    .run = run};
