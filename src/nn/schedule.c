/* SPDX-License-Identifier: Apache-2.0
 * How the learning rate changes over the steps. */
#include <math.h>

#include "nn/optimizer_i.h"

double whet_i_schedule_at(whet_i_schedule kind, int64_t step, int64_t total, int64_t warmup,
                          double floor) {
    if (step < warmup) return (double)step / (double)warmup;
    const int64_t rest = total - warmup > 1 ? total - warmup : 1;
    double done = (double)(step - warmup) / (double)rest;
    done = done > 1 ? 1 : done;
    switch (kind) {
    case WHET_I_SCHEDULE_CONSTANT: return 1;
    case WHET_I_SCHEDULE_LINEAR: return floor + (1 - floor) * (1 - done);
    case WHET_I_SCHEDULE_COSINE:
        return floor + (1 - floor) * 0.5 * (1 + cos(3.14159265358979323846 * done));
    }
    return 1;
}

double whet_i_plateau_next(whet_i_plateau *p, double rate, double loss) {
    const double least_change = 1e-8; /* of a rate, as torch has it */
    if (!p->begun || loss < p->best * (1 - p->threshold)) {
        p->begun = true;
        p->best = loss;
        p->bad = 0;
    } else {
        p->bad++;
    }
    if (p->bad <= p->patience) return rate;
    p->bad = 0;
    return rate - rate * p->factor > least_change ? rate * p->factor : rate;
}
