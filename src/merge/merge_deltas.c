/* SPDX-License-Identifier: Apache-2.0
 * Differences from a base, masked, weighted and added to it: what task arithmetic, TIES, DARE, DELLA,
 * breadcrumbs and SCE have in common. They differ in their masks.
 * Source: Ilharco et al. 2023 (arXiv 2212.04089); the election of signs: Yadav et al. 2023 (arXiv
 * 2306.01708). */
#include <math.h>

#include "merge/merge_passes.h"

/* Numbers worked on at once, and models whose differences are kept meanwhile: 16 KB. */
enum { PART = 256, KEPT = 8 };

void whet_i_merge_deltas_init(const whet_i_merge_tensor *t, whet_i_merge_deltas *d) {
    memset(d, 0, sizeof *d);
    d->normalize = whet_i_merge_global(t, WHET_I_SET_NORMALIZE) != 0;
    d->lambda = whet_i_merge_global(t, WHET_I_SET_LAMBDA);
    for (int64_t i = 0; i < t->n; i++) {
        d->weight[i] = d->vote[i] = whet_i_merge_setting(t, i, WHET_I_SET_WEIGHT);
        d->factor[i] = 1;
    }
}

int64_t whet_i_merge_deltas_scratch(int64_t n, int64_t chunk) { return n * chunk; }

void whet_i_merge_delta_keys(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i,
                             void *arg, uint32_t *keys) {
    const float *x = c->x[i], *base = c->x[t->base];
    (void)arg;
    for (int64_t e = 0; e < c->n; e++) keys[e] = whet_i_merge_key(fabsf(x[e] - base[e]));
}

/* Sum of |difference|, and of what the mask leaves of it. */
static void sizes(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const whet_i_merge_deltas *d = arg;
    const float *base = c->x[t->base];
    for (int64_t i = 0; i < t->n; i++) {
        const float *x = c->x[i], *m = c->scratch + i * c->n;
        double all = 0, kept = 0;
        if (d->mask) d->mask(t, c, i, d->arg, c->scratch + i * c->n);
        for (int64_t e = 0; e < c->n; e++) {
            const double size = fabs((double)x[e] - (double)base[e]);
            all += size;
            kept += d->mask ? size * (double)m[e] : size;
        }
        c->sums[2 * i] += all;
        c->sums[2 * i + 1] += kept;
    }
}

/* value [PART] = (x - base) m, of numbers first .. first + len - 1 */
static void masked(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                   const whet_i_merge_deltas *d, int64_t i, int64_t first, int64_t len,
                   double *value) {
    const float *x = c->x[i] + first, *base = c->x[t->base] + first;
    const float *m = c->scratch + i * c->n + first;
    const double factor = d->factor[i];
    for (int64_t e = 0; e < len; e++) value[e] = (double)x[e] - (double)base[e];
    if (d->mask)
        for (int64_t e = 0; e < len; e++) value[e] *= (double)m[e];
    if (factor != 1)
        for (int64_t e = 0; e < len; e++) value[e] *= factor;
}

/* sum and divisor [len] of all that is in. */
static void add_all(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                    const whet_i_merge_deltas *d, int64_t first, int64_t len, double *sum,
                    double *divisor) {
    double value[PART], weights = 0;
    for (int64_t e = 0; e < len; e++) sum[e] = 0;
    for (int64_t i = 0; i < t->n; i++) {
        const double w = d->weight[i];
        masked(t, c, d, i, first, len, value);
        for (int64_t e = 0; e < len; e++) sum[e] += w * value[e];
        weights += w;
    }
    for (int64_t e = 0; e < len; e++) divisor[e] = weights;
}

/* The same of those that agree with the sign of the votes' sum; no sum counts as positive. */
static void add_agreeing(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                         const whet_i_merge_deltas *d, int64_t first, int64_t len, double *sum,
                         double *divisor) {
    double kept[KEPT][PART], more[PART], votes[PART];
    for (int64_t e = 0; e < len; e++) votes[e] = sum[e] = divisor[e] = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double *value = i < KEPT ? kept[i] : more;
        masked(t, c, d, i, first, len, value);
        for (int64_t e = 0; e < len; e++) votes[e] += d->vote[i] * value[e];
    }
    for (int64_t e = 0; e < len; e++) votes[e] = votes[e] >= 0 ? 1 : -1;
    for (int64_t i = 0; i < t->n; i++) {
        const double w = d->weight[i], v = d->vote[i];
        const double *value = i < KEPT ? kept[i] : more;
        if (i >= KEPT) masked(t, c, d, i, first, len, more);
        for (int64_t e = 0; e < len; e++) {
            const double in = v * value[e] * votes[e] > 0 ? w : 0;
            sum[e] += in * value[e];
            divisor[e] += in;
        }
    }
}

static void write_pass(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, void *arg) {
    const whet_i_merge_deltas *d = arg;
    const float *base = c->x[t->base];
    for (int64_t i = 0; d->mask && i < t->n; i++) d->mask(t, c, i, d->arg, c->scratch + i * c->n);
    for (int64_t first = 0; first < c->n; first += PART) {
        const int64_t len = c->n - first < PART ? c->n - first : PART;
        double sum[PART], divisor[PART];
        (d->consensus ? add_agreeing : add_all)(t, c, d, first, len, sum, divisor);
        if (d->normalize && d->clamp_divisor)
            for (int64_t e = 0; e < len; e++) sum[e] /= divisor[e] < 1e-6 ? 1e-6 : divisor[e];
        else if (d->normalize)
            for (int64_t e = 0; e < len; e++) sum[e] /= fabs(divisor[e]) < 1e-8 ? 1 : divisor[e];
        for (int64_t e = 0; e < len; e++)
            c->out[first + e] = (float)((double)base[first + e] + d->lambda * sum[e]);
    }
}

whet_status whet_i_merge_write_deltas(whet_ctx *ctx, whet_i_merge_tensor *t,
                                      whet_i_merge_deltas *d) {
    if (d->rescale_l1 && d->mask) {
        double sums[2 * WHET_MERGE_MODELS_MAX];
        WHET_TRY(whet_i_merge_sums(ctx, t, sizes, d, 2 * t->n, sums));
        for (int64_t i = 0; i < t->n; i++)
            if (sums[2 * i + 1] > 0) d->factor[i] *= sums[2 * i] / sums[2 * i + 1];
    }
    return whet_i_merge_write(ctx, t, write_pass, d);
}
