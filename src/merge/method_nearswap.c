/* SPDX-License-Identifier: Apache-2.0
 * Near swap: a number of the base gives way to the model's the more, the nearer they are:
 *   w = min(t / max(|a - b|, 1e-6), 1),  (1 - w) a + w b. */
#include <math.h>

#include "merge/merging_i.h"

static void pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const float *base = c->x[t->base], *x = c->x[0];
    const double near = whet_i_merge_global(t, WHET_I_SET_T);
    (void)arg;
    for (int64_t e = 0; e < c->n; e++) {
        const double a = (double)base[e], b = (double)x[e], apart = fabs(a - b);
        const double w = near / (apart > 1e-6 ? apart : 1e-6);
        c->out[e] = (float)(w >= 1 ? b : (1 - w) * a + w * b);
    }
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    return whet_i_merge_write(ctx, t, pass, NULL);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_T, (double)NAN}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_nearswap = {
    .shown = {"nearswap", "the base, and where it is near the model, that", 1, 1,
              WHET_MERGE_BASE_REQUIRED, WHET_MERGE_ELEMENT, false},
    .settings = settings,
    .passes = 1,
    .run = run};
