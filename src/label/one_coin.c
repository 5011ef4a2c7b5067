/* SPDX-License-Identifier: Apache-2.0
 * One-coin Dawid-Skene: a rule has one accuracy a_j, its errors are even over the other classes, and
 * how often it votes may hang on the class. Few numbers: for few rows. Closed-form steps.
 * Source: Dawid & Skene 1979; Zhang, Chen, Zhou & Jordan 2014 (arXiv 1406.3824).
 * Legend: m rules, k classes. */
#include "label/vote_em.h"

static double accuracy_of(const whet_i_vote_expectations *e, double smoothing, int64_t j) {
    const int64_t k = e->k;
    double right = smoothing, votes = (double)k * smoothing;
    for (int64_t s = j * k; s < (j + 1) * k; s++)
        for (int64_t c = 0; c < k; c++) {
            votes += e->cells[s * e->width + c];
            right += s - j * k == c ? e->cells[s * e->width + c] : 0;
        }
    return votes > 0 ? right / votes : 0;
}

static void maximise(const whet_i_label_fit *fit, const whet_i_vote_expectations *e,
                     whet_label_model *model) {
    const int64_t k = e->k;
    const double smoothing = fit->opts->smoothing;
    double rows = 0;
    for (int64_t c = 0; c < k; c++) rows += e->total[c];
    for (int64_t c = 0; c < k; c++) {
        if (whet_i_learns_balance(fit->opts))
            model->balance[c] = rows > 0 ? e->total[c] / rows : 1 / (double)k;
        model->base[c] = model->parts[c] = whet_i_log_floored(model->balance[c]);
    }
    for (int64_t j = 0; j < e->m; j++) {
        if (e->silent[j]) continue;
        const double a = accuracy_of(e, smoothing, j), miss = (1 - a) / (double)(k - 1);
        model->accuracy[j] = a;
        for (int64_t c = 0; c < k; c++) {
            const double all = e->total[c] + (double)(k + 1) * smoothing;
            const double none = (whet_i_vote_abstained(e, j, c) + smoothing) / (all > 0 ? all : 1);
            const bool counts = !fit->opts->ignore_abstains && !(e->tireless[j] && smoothing == 0);
            const double log_none = counts ? whet_i_log_floored(none) : 0;
            const double votes = fit->opts->ignore_abstains ? 1 : 1 - none;
            model->base[c] += log_none;
            model->parts[(j + 1) * k + c] = log_none;
            for (int64_t v = 0; v < k; v++) {
                const double p = votes * (v == c ? a : miss);
                model->likely[(j * k + v) * k + c] =
                    p * (fit->opts->ignore_abstains ? fit->coverage[j] : 1);
                model->table[(j * k + v) * model->width + c] = whet_i_log_floored(p) - log_none;
            }
        }
    }
}

whet_status whet_i_fit_one_coin(whet_ctx *ctx, const whet_i_label_fit *fit,
                                whet_label_model *model) {
    return whet_i_vote_em(ctx, fit, "fitting one-coin", maximise, model);
}
