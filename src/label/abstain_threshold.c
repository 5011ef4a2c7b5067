/* SPDX-License-Identifier: Apache-2.0
 * From probabilities to votes or none: the margin around the pivot in which a model abstains, chosen
 * for the best weighted F1 from a grid, as Snuba does it (Varma & Re 2019). */
#include <math.h>

#include "label/rules_i.h"

double whet_i_weighted_f1(const int32_t *votes, const int32_t *truth, int64_t n, int64_t k) {
    int64_t hit[WHET_I_F1_CLASSES] = {0}, voted[WHET_I_F1_CLASSES] = {0};
    int64_t held[WHET_I_F1_CLASSES] = {0};
    for (int64_t i = 0; i < n; i++) {
        held[truth[i]]++;
        if (votes[i] >= 0) voted[votes[i]]++;
        if (votes[i] == truth[i]) hit[truth[i]]++;
    }
    double sum = 0;
    for (int64_t c = 0; c < k; c++)
        if (hit[c]) sum += (double)held[c] * (2 * (double)hit[c] / (double)(voted[c] + held[c]));
    return n ? sum / (double)n : 0;
}

double whet_i_beta(int64_t i) {
    return i == WHET_I_BETAS - 1 ? .45 : (double)i * ((.45 - .25) / (WHET_I_BETAS - 1)) + .25;
}

void whet_i_beta_least(double pivot, double beta, bool binary, int64_t outs, double *least) {
    for (int64_t o = 0; o < outs; o++) least[o] = pivot + beta;
    if (!binary) return;
    /* 1 - p0 <= pivot - beta, said of p0: the least such number, for probabilities that are shares of
     * few rows lie on the very borders. */
    const double most = pivot - beta;
    least[0] = 1 - most;
    while (1 - least[0] > most) least[0] = nextafter(least[0], 2);
}

static void vote_all(const double *p, int64_t outs, int64_t n, const double *least,
                     int32_t *votes) {
    for (int64_t i = 0; i < n; i++)
        votes[i] = (int32_t)whet_i_model_vote(p + i * outs, least, outs);
}

double whet_i_beta_choose(const double *p, int64_t outs, const int32_t *truth, int64_t n, int64_t k,
                          double pivot, bool binary, int32_t *votes, double *f1) {
    double best = -1, chosen = 0, least[WHET_I_F1_CLASSES];
    for (int64_t b = 0; b < WHET_I_BETAS; b++) {
        whet_i_beta_least(pivot, whet_i_beta(b), binary, outs, least);
        vote_all(p, outs, n, least, votes);
        const double score = whet_i_weighted_f1(votes, truth, n, k);
        if (f1) f1[b] = score;
        if (score < best) continue;
        best = score;
        chosen = whet_i_beta(b);
    }
    whet_i_beta_least(pivot, chosen, binary, outs, least);
    vote_all(p, outs, n, least, votes);
    return chosen;
}
