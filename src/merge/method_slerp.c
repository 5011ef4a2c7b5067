/* SPDX-License-Identifier: Apache-2.0
 * From the first model to the second along the great circle through both, the whole tensor one vector:
 *   sin((1 - t) a) / sin(a) v0 + sin(t a) / sin(a) v1,  a the angle between v0 and v1
 * (Shoemake 1985, of vectors that keep their lengths). Nearly parallel vectors, and opposite ones, between
 * which no circle is singled out, go along the line. */
#include <math.h>

#include "merge/merging_i.h"

void whet_i_slerp_factors(double t, double norm0, double norm1, double product, double lerp_above,
                          double *a, double *b) {
    /* A vector of almost no length has no direction: it counts as it is. */
    double cosine = product / (norm0 > 1e-8 ? norm0 : 1) / (norm1 > 1e-8 ? norm1 : 1);
    cosine = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
    const double angle = acos(cosine), sine = sin(angle);
    if (fabs(cosine) > lerp_above || fabs(sine) < 1e-8) {
        *a = 1 - t;
        *b = t;
    } else {
        *a = sin((1 - t) * angle) / sine;
        *b = sin(t * angle) / sine;
    }
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double gram[4], factor[2];
    WHET_TRY(whet_i_merge_gram(ctx, t, false, gram));
    whet_i_slerp_factors(whet_i_merge_global(t, WHET_I_SET_T), sqrt(gram[0]), sqrt(gram[3]),
                         gram[1], 0.9995, &factor[0], &factor[1]);
    return whet_i_merge_write_span(ctx, t, factor);
}

static const whet_i_setting_use settings[] = {{WHET_I_SET_T, (double)NAN}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_slerp = {
    .shown = {"slerp", "along the great circle from the first model to the second", 2, 2,
              WHET_MERGE_BASE_NONE, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 2,
    .run = run};
