/* SPDX-License-Identifier: Apache-2.0
 * Majority vote: the classes with the most votes share the probability evenly; or every class has
 * its share of the votes. Nothing is fitted.
 * Legend: m rules, k classes. */
#include <math.h>

#include "label/vote_model.h"

whet_status whet_i_fit_majority(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model) {
    const int64_t k = fit->k;
    (void)ctx;
    model->link = fit->opts->share ? WHET_I_LINK_SHARE : WHET_I_LINK_TOP;
    for (int64_t c = 0; c < k; c++) model->prior[c] = 1 / (double)k;
    for (int64_t s = 0; s < fit->m * k; s++) model->table[s * model->width + s % k] = 1;
    for (int64_t j = 0; j < fit->m; j++) model->accuracy[j] = (double)NAN;
    return WHET_OK;
}
