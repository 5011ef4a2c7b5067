/* SPDX-License-Identifier: Apache-2.0
 * Posted price against samples of the buyer's value: the sample v that maximises (v - C) P(V >= v).
 *
 * No price between two samples is better than the upper one. The few highest samples are a poor guide to the
 * tail (one sample at a million makes a million look best): when n < 200 the top ceil(sqrt(n)) are no
 * candidates, though they count as buyers. Where only those are worth C, they are the only way to trade. */
#include <math.h>

#include "market/market_i.h"

enum { MANY = 200 };

/* Best of the samples below index `end`, by walking down; ties go to the higher price. Counts are integers
 * while nothing was observed, so that ties are seen. */
static double best_below(const whet_belief *b, double cost, int64_t end) {
    double best = -1, most = -1, tail = 0, weight = 0;
    int64_t j = b->segments;
    for (int64_t i = b->n - 1; i >= 0; i--) {
        const double v = b->samples[i];
        while (j == b->segments || v < b->cut[j]) {
            j--;
            const double share = whet_i_belief_prior(b, b->cut[j], b->cut[j + 1]);
            weight = share > 0 ? b->mass[j] / share : 0;
        }
        tail += weight;
        if (i >= end || v < cost || (i > 0 && b->samples[i - 1] >= v)) continue;
        const double profit = (v - cost) * tail;
        if (profit > most) {
            most = profit;
            best = v;
        }
    }
    return best;
}

double whet_i_sample_price(const whet_belief *belief, double cost) {
    const int64_t n = belief->n, top = n < MANY ? (int64_t)ceil(sqrt((double)n)) : 0;
    const double guarded = best_below(belief, cost, n - top > 1 ? n - top : 1);
    return guarded >= 0 ? guarded : best_below(belief, cost, n);
}
