/* SPDX-License-Identifier: Apache-2.0
 * Dawid-Skene: each rule has a confusion matrix theta_j[c][v], abstaining one of its symbols
 * (Dawid & Skene 1979). theta ~ smoothing + expected counts. Abstaining must count: of rules that
 * know one class each it is what tells classes apart. Smoothing with a learned balance lets one
 * class swallow the rows with little evidence, so that smoothing is small and, where labels or the
 * user know it, the balance stays.
 * Legend: m rules, k classes. */
#include <math.h>

#include "label/vote_em.h"

static void maximise(const whet_i_label_fit *fit, const whet_i_vote_expectations *e,
                     whet_label_model *model) {
    const int64_t k = e->k;
    const whet_label_model_opts *o = fit->opts;
    double rows = 0;
    for (int64_t c = 0; c < k; c++) rows += e->total[c];
    for (int64_t c = 0; c < k; c++) {
        if (whet_i_learns_balance(o))
            model->balance[c] = rows > 0 ? e->total[c] / rows : 1 / (double)k;
        model->base[c] = model->parts[c] = whet_i_log_floored(model->balance[c]);
    }
    for (int64_t j = 0; j < e->m; j++) {
        if (e->silent[j]) continue;
        for (int64_t c = 0; c < k; c++) {
            const double abstained = whet_i_vote_abstained(e, j, c);
            double all = (double)(o->ignore_abstains ? k : k + 1) * o->smoothing;
            all += e->total[c] - (o->ignore_abstains ? abstained : 0);
            const double none = all > 0 ? (o->smoothing + abstained) / all : 0;
            const bool counts = !o->ignore_abstains && !(e->tireless[j] && o->smoothing == 0);
            const double log_none = counts ? whet_i_log_floored(none) : 0;
            model->base[c] += log_none;
            model->parts[(j + 1) * k + c] = log_none;
            for (int64_t s = j * k; s < (j + 1) * k; s++) {
                const double p = all > 0 ? (o->smoothing + e->cells[s * e->width + c]) / all : 0;
                model->likely[s * k + c] = p * (o->ignore_abstains ? fit->coverage[j] : 1);
                model->table[s * model->width + c] = whet_i_log_floored(p) - log_none;
            }
        }
    }
}

whet_status whet_i_fit_dawid_skene(whet_ctx *ctx, const whet_i_label_fit *fit,
                                   whet_label_model *model) {
    WHET_TRY(whet_i_vote_em(ctx, fit, "fitting dawid-skene", maximise, model));
    whet_i_accuracies(fit, model->likely, model->accuracy);
    return WHET_OK;
}
