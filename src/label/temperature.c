/* SPDX-License-Identifier: Apache-2.0
 * Temperature scaling: q = softmax(beta ln p), beta = 1/T, with beta of least log loss.
 * With l_c = ln p_c, the loss of a row with class y is ln sum_c exp(beta l_c) - beta l_y: convex in
 * beta, first derivative E_q[l] - l_y, second Var_q[l]. Newton inside a shrinking bracket.
 * As in Platt 1999 the target is not certainty: of n cases the true class counts (n + 1) / (n + 2),
 * the rest is spread over the others. Ten right answers must not become certainty.
 * Source: Guo et al. 2017 (arXiv 1706.04599). */
#include <math.h>

#include "label/label_i.h"

static const double BETA_LOW = 1 / 8.0, BETA_HIGH = 1 / .08;

/* logs [n, k], the row's largest subtracted; the mean loss of y, and the two derivatives of the loss
 * of the softened targets. */
static double loss_at(const double *logs, int64_t n, int64_t k, const int32_t *y, double beta,
                      double *first, double *second) {
    double loss = 0, d1 = 0, d2 = 0;
    const double rest = k > 1 ? 1 / ((double)n + 2) : 0;
    for (int64_t i = 0; i < n; i++) {
        const double *l = logs + i * k;
        double sum = 0, mean = 0, square = 0, all = 0;
        for (int64_t c = 0; c < k; c++) {
            const double e = exp(beta * l[c]);
            sum += e;
            all += l[c];
            mean += e * l[c];
            square += e * l[c] * l[c];
        }
        mean /= sum;
        loss += log(sum) - beta * l[y[i]];
        d1 += mean - (1 - rest) * l[y[i]] - (k > 1 ? rest * (all - l[y[i]]) / (double)(k - 1) : 0);
        d2 += square / sum - mean * mean;
    }
    *first = d1 / (double)n;
    *second = d2 / (double)n;
    return loss / (double)n;
}

whet_status whet_i_temperature_fit(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                                   const int32_t *y, double *temperature, double *log_loss) {
    int64_t cells;
    double *logs;
    WHET_TRY(whet_i_mul(ctx, n, k, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &logs));
    for (int64_t i = 0; i < n; i++) {
        const double top =
            log(fmax(probs[i * k + whet_i_argmax(probs + i * k, k)], WHET_I_PROB_FLOOR));
        for (int64_t c = 0; c < k; c++)
            logs[i * k + c] = log(fmax(probs[i * k + c], WHET_I_PROB_FLOOR)) - top;
    }
    double low = BETA_LOW, high = BETA_HIGH, beta = 1, d1 = 0, d2 = 0;
    double loss = n ? loss_at(logs, n, k, y, beta, &d1, &d2) : 0;
    for (int step = 0; n && step < 60 && fabs(d1) > 1e-10; step++) {
        if (d1 > 0)
            high = beta;
        else
            low = beta;
        double next = d2 > 0 ? beta - d1 / d2 : beta;
        if (!(next > low && next < high)) next = sqrt(low * high);
        /* The optimum may lie beyond the range: then the bracket closes on its end. */
        if (fabs(next - beta) < 1e-9 * beta) break;
        beta = next;
        loss = loss_at(logs, n, k, y, beta, &d1, &d2);
    }
    whet_i_free(ctx, logs);
    *temperature = 1 / beta;
    *log_loss = loss;
    return WHET_OK;
}
