/* SPDX-License-Identifier: Apache-2.0
 * How good predictions are: accuracy with Wilson's interval, macro F1, log loss, Brier score,
 * expected calibration error, confusion counts, reliability bins.
 * Sources: Wilson 1927; Brier 1950; Guo et al. 2017 (arXiv 1706.04599, 15 equal bins).
 * Legend: n rows, k classes. Sums run over rows in order, in f64. */
#include <math.h>

#include "label/label_i.h"

void whet_i_wilson(double hits, int64_t n, double *low, double *high) {
    *low = 0;
    *high = 1;
    if (n <= 0) return;
    const double z = 1.959963984540054; /* 97.5 % point of the normal distribution */
    const double m = (double)n, p = hits / m, zz = z * z / m;
    const double middle = (p + zz / 2) / (1 + zz);
    const double half = z * sqrt(p * (1 - p) / m + zz / (4 * m)) / (1 + zz);
    *low = hits <= 0 ? 0 : fmax(0, middle - half);
    *high = hits >= m ? 1 : fmin(1, middle + half);
}

void whet_wilson(int64_t hits, int64_t n, double *low, double *high) {
    whet_i_wilson((double)hits, n, low, high);
}

static whet_status check(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                         const int32_t *truth, const int32_t *predicted, int64_t *counted) {
    if (n < 0 || k < 1)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "metrics of %lld rows and %lld classes; expected "
                           "at least 0 and 1",
                           (long long)n, (long long)k);
    *counted = 0;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < -1 || truth[i] >= k ||
            (predicted && (predicted[i] < 0 || predicted[i] >= k)))
            return whet_i_fail(
                ctx, WHET_ERR_ARG, "row %lld: class %d; expected 0 to %lld", (long long)i,
                truth[i] < -1 || truth[i] >= k ? truth[i] : predicted[i], (long long)k - 1);
        if (truth[i] < 0) continue;
        (*counted)++;
        for (int64_t c = 0; probs && c < k; c++)
            if (!isfinite(probs[i * k + c]))
                return whet_i_fail(ctx, WHET_ERR_DATA, "probability [%lld, %lld] is not a number",
                                   (long long)i, (long long)c);
    }
    if (!probs && !predicted)
        return whet_i_fail(ctx, WHET_ERR_ARG, "metrics without probabilities and predictions");
    if (*counted == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "none of %lld rows has a true label; expected at "
                           "least one",
                           (long long)n);
    return WHET_OK;
}

static int64_t answer(const double *probs, int64_t k, const int32_t *predicted, int64_t i) {
    return predicted ? predicted[i] : whet_i_argmax(probs + i * k, k);
}

whet_status whet_metrics_confusion(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                                   const int32_t *truth, const int32_t *predicted,
                                   int64_t *counts) {
    int64_t counted;
    WHET_TRY(check(ctx, predicted ? NULL : probs, n, k, truth, predicted, &counted));
    memset(counts, 0, sizeof *counts * (size_t)(k * k));
    for (int64_t i = 0; i < n; i++)
        if (truth[i] >= 0) counts[truth[i] * k + answer(probs, k, predicted, i)]++;
    return WHET_OK;
}

static void bin_rows(const double *probs, int64_t n, int64_t k, const int32_t *truth,
                     const int32_t *predicted, whet_reliability_bin *bins) {
    memset(bins, 0, sizeof *bins * WHET_RELIABILITY_BINS);
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0) continue;
        const double top = probs[i * k + whet_i_argmax(probs + i * k, k)];
        int64_t at = (int64_t)ceil(top * WHET_RELIABILITY_BINS) - 1;
        at = at < 0 ? 0 : at >= WHET_RELIABILITY_BINS ? WHET_RELIABILITY_BINS - 1 : at;
        bins[at].n++;
        bins[at].confidence += top;
        bins[at].accuracy += answer(probs, k, predicted, i) == truth[i] ? 1 : 0;
    }
    for (int at = 0; at < WHET_RELIABILITY_BINS; at++) {
        if (bins[at].n == 0) continue;
        bins[at].confidence /= (double)bins[at].n;
        bins[at].accuracy /= (double)bins[at].n;
    }
}

whet_status whet_metrics_reliability(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                                     const int32_t *truth, whet_reliability_bin *bins) {
    int64_t counted;
    WHET_TRY(check(ctx, probs, n, k, truth, NULL, &counted));
    bin_rows(probs, n, k, truth, NULL, bins);
    return WHET_OK;
}

/* Mean over the classes that occur in truth or prediction of 2 hits / (true + predicted). */
static double macro_f1(const double *probs, int64_t n, int64_t k, const int32_t *truth,
                       const int32_t *predicted, int64_t *count) {
    int64_t *hits = count, *either = count + k; /* zeroed by the caller */
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0) continue;
        const int64_t a = answer(probs, k, predicted, i);
        hits[truth[i]] += a == truth[i] ? 1 : 0;
        either[truth[i]]++;
        either[a]++;
    }
    double sum = 0;
    int64_t present = 0;
    for (int64_t c = 0; c < k; c++) {
        if (either[c] == 0) continue;
        present++;
        sum += 2 * (double)hits[c] / (double)either[c];
    }
    return sum / (double)present;
}

static double brier(const double *probs, int64_t n, int64_t k, const int32_t *truth) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0) continue;
        for (int64_t c = 0; c < k; c++) {
            const double off = probs[i * k + c] - (c == truth[i] ? 1 : 0);
            sum += off * off;
        }
    }
    return sum;
}

whet_status whet_metrics_compute(whet_ctx *ctx, const double *probs, int64_t n, int64_t k,
                                 const int32_t *truth, const int32_t *predicted,
                                 whet_metrics *out) {
    whet_metrics m = {0};
    if (!probs) return whet_i_fail(ctx, WHET_ERR_ARG, "metrics without probabilities");
    WHET_TRY(check(ctx, probs, n, k, truth, predicted, &m.n));
    int64_t cells, *count;
    WHET_TRY(whet_i_mul(ctx, 2, k, &cells));
    WHET_TRY(whet_i_calloc(ctx, cells, &count));
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) {
        if (truth[i] < 0) continue;
        hits += answer(probs, k, predicted, i) == truth[i] ? 1 : 0;
        m.log_loss -= log(fmin(1, fmax(1e-15, probs[i * k + truth[i]])));
    }
    const double counted = (double)m.n;
    m.accuracy = (double)hits / counted;
    whet_wilson(hits, m.n, &m.accuracy_low, &m.accuracy_high);
    m.log_loss /= counted;
    m.macro_f1 = macro_f1(probs, n, k, truth, predicted, count);
    m.brier = brier(probs, n, k, truth) / counted;
    whet_reliability_bin bins[WHET_RELIABILITY_BINS];
    bin_rows(probs, n, k, truth, NULL, bins);
    for (int at = 0; at < WHET_RELIABILITY_BINS; at++)
        m.calibration_error +=
            (double)bins[at].n * fabs(bins[at].confidence - bins[at].accuracy) / counted;
    whet_i_free(ctx, count);
    *out = m;
    return WHET_OK;
}
