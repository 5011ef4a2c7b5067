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
