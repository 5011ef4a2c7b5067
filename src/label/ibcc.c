/* SPDX-License-Identifier: Apache-2.0
 * iBCC: Dawid-Skene with Dirichlet priors, by variational Bayes (Kim & Ghahramani 2012; Simpson et
 * al. 2013). Rows of confusion matrices have the prior 4 on the diagonal and 1 elsewhere, abstaining
 * included; the balance, where it is learned, 1. Scores are expected logarithms,
 * E ln theta_v = psi(a_v + N_v) - psi(sum of them).
 * Legend: m rules, k classes. */
#include <math.h>

#include "label/vote_em.h"

#define PRIOR_RIGHT 4.0
#define PRIOR_ELSE 1.0

/* d/dx ln Gamma(x), x > 0: by psi(x) = psi(x + 1) - 1 / x up to 10, then the asymptotic series, whose
 * first term left out is 2e-14 there. Source: Abramowitz & Stegun 6.3.5, 6.3.18. */
static double digamma(double x) {
    double sum = 0;
    while (x < 10) {
        sum -= 1 / x;
        x += 1;
    }
    const double y = 1 / (x * x);
    const double series =
        y * (1. / 12 - y * (1. / 120 - y * (1. / 252 - y * (1. / 240 - y * (1. / 132)))));
    return sum + log(x) - .5 / x - series;
}

static void set_balance(const whet_i_label_fit *fit, const whet_i_vote_expectations *e,
                        whet_label_model *model) {
    const int64_t k = e->k;
    double rows = 0;
    for (int64_t c = 0; c < k; c++) rows += e->total[c] + PRIOR_ELSE;
    for (int64_t c = 0; c < k; c++) {
        if (!whet_i_learns_balance(fit->opts)) {
            model->base[c] = log(model->balance[c]);
            continue;
        }
        model->balance[c] = (e->total[c] + PRIOR_ELSE) / rows;
        model->base[c] = digamma(e->total[c] + PRIOR_ELSE) - digamma(rows);
    }
}

static void maximise(const whet_i_label_fit *fit, const whet_i_vote_expectations *e,
                     whet_label_model *model) {
    const int64_t k = e->k;
    set_balance(fit, e, model);
    memcpy(model->parts, model->base, sizeof *model->parts * (size_t)k);
    for (int64_t j = 0; j < e->m; j++) {
        if (e->silent[j]) continue;
        for (int64_t c = 0; c < k; c++) {
            const double abstained =
                fit->opts->ignore_abstains ? 0 : whet_i_vote_abstained(e, j, c) + PRIOR_ELSE;
            const double votes = fit->opts->ignore_abstains ? fit->coverage[j] : 1;
            double all = abstained;
            for (int64_t v = 0; v < k; v++)
                all += e->cells[(j * k + v) * e->width + c] + (v == c ? PRIOR_RIGHT : PRIOR_ELSE);
            const double whole = digamma(all),
                         none = abstained > 0 ? digamma(abstained) - whole : 0;
            model->base[c] += none;
            model->parts[(j + 1) * k + c] = none;
            for (int64_t v = 0; v < k; v++) {
                const double at =
                    e->cells[(j * k + v) * e->width + c] + (v == c ? PRIOR_RIGHT : PRIOR_ELSE);
                model->likely[(j * k + v) * k + c] = at / all * votes;
                model->table[(j * k + v) * model->width + c] = digamma(at) - whole - none;
            }
        }
    }
}

whet_status whet_i_fit_ibcc(whet_ctx *ctx, const whet_i_label_fit *fit, whet_label_model *model) {
    WHET_TRY(whet_i_vote_em(ctx, fit, "fitting ibcc", maximise, model));
    whet_i_accuracies(fit, model->likely, model->accuracy);
    return WHET_OK;
}
