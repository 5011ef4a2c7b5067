/* SPDX-License-Identifier: Apache-2.0
 * Small operations on rows of probabilities. */
#include <math.h>

#include "kernels/kernels_i.h"
#include "label/label_i.h"

void whet_i_softmax(double *row, int64_t k) {
    double top = row[0], sum = 0;
    for (int64_t c = 1; c < k; c++) top = row[c] > top ? row[c] : top;
    for (int64_t c = 0; c < k; c++) sum += row[c] = exp(row[c] - top);
    for (int64_t c = 0; c < k; c++) row[c] /= sum;
}

void whet_i_exp_rows(double *rows, int64_t n, int64_t k, double *top, double *sum) {
    for (int64_t i = 0; i < n; i++) {
        double *row = rows + i * k, most = row[0];
        for (int64_t c = 1; c < k; c++) most = row[c] > most ? row[c] : most;
        for (int64_t c = 0; c < k; c++) row[c] -= most;
        top[i] = most;
    }
    whet_i_kernels_f64()->exp_f64(n * k, rows);
    for (int64_t i = 0; i < n; i++) {
        double all = 0; /* a register, where sum[i] may be one of the rows to the compiler */
        for (int64_t c = 0; c < k; c++) all += rows[i * k + c];
        sum[i] = all;
    }
}

int64_t whet_i_argmax(const double *row, int64_t k) {
    int64_t best = 0;
    for (int64_t c = 1; c < k; c++)
        if (row[c] > row[best]) best = c;
    return best;
}

void whet_i_temper(double *probs, int64_t n, int64_t k, double temperature) {
    for (int64_t i = 0; i < n; i++) {
        double *row = probs + i * k;
        for (int64_t c = 0; c < k; c++) row[c] = log(fmax(row[c], WHET_I_PROB_FLOOR)) / temperature;
        whet_i_softmax(row, k);
    }
}

double whet_i_log_loss(const double *probs, int64_t n, int64_t k, const int32_t *y) {
    double sum = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) {
        if (y[i] < 0) continue;
        counted++;
        sum -= log(fmax(probs[i * k + y[i]], WHET_I_PROB_FLOOR));
    }
    return counted ? sum / (double)counted : 0;
}

double whet_i_unseen_mass(const int32_t *y, int64_t b, int64_t k, int64_t *counts) {
    memset(counts, 0, sizeof *counts * (size_t)k);
    for (int64_t i = 0; i < b; i++) counts[y[i]]++;
    int64_t once = 0;
    for (int64_t c = 0; c < k; c++) once += counts[c] == 1 ? 1 : 0;
    return ((double)once + .5) / ((double)b + 1);
}
