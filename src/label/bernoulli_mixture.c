/* SPDX-License-Identifier: Apache-2.0
 * GOGGLES' ensemble: a mixture of Bernoulli variables over the posteriors of other mixtures, its
 * components named by labels; see mixtures.h.
 *   r_ic ~ p_c prod_j (m_cj + e)^x_ij (1 - m_cj + e)^(1 - x_ij), x may be between 0 and 1
 * Legend: n rows, d columns, k classes, r posteriors. */
#include <math.h>

#include "label/mixtures.h"

enum { STEPS = 200, WINDOW = 20 };
static const double FLOOR = 1e-5, STILL = 1e-6;

typedef struct ensemble {
    const double *x;
    int64_t n, d, k;
    const int32_t *y;
    double *share;         /* [k] */
    double *mean, *linear; /* [k, d] */
    double *constant;      /* [k] */
    double *last;          /* [n, k] */
    double moved[WINDOW];
} ensemble;

static whet_status maximise(whet_ctx *ctx, ensemble *s, const double *r) {
    WHET_TRY(whet_i_mixture_moments(ctx, s->x, s->n, s->d, s->k, r, s->share, s->mean, NULL));
    for (int64_t c = 0; c < s->k; c++) {
        s->constant[c] = log(fmax(s->share[c], FLOOR) / (double)s->n);
        for (int64_t j = c * s->d; j < (c + 1) * s->d; j++) {
            const double mean = s->share[c] > 0 ? fmin(s->mean[j] / s->share[c], 1) : 0;
            const double one = log(mean + FLOOR), zero = log(1 - mean + FLOOR);
            s->linear[j] = one - zero;
            s->constant[c] += zero;
        }
    }
    return WHET_OK;
}

static whet_status expect(whet_ctx *ctx, const ensemble *s, double *r) {
    const whet_i_mixture_form form = {
        .x = s->x, .n = s->n, .d = s->d, .k = s->k, .linear = s->linear, .constant = s->constant};
    double total;
    WHET_TRY(whet_i_mixture_scores(ctx, &form, r, &total));
    return whet_i_map_to_classes(ctx, s->n, s->k, s->y, r);
}

/* How far r moved, on average over the last steps. */
static double movement(ensemble *s, int32_t step, const double *r) {
    double sum = 0, mean = 0;
    for (int64_t i = 0; i < s->n * s->k; i++) sum += (r[i] - s->last[i]) * (r[i] - s->last[i]);
    s->moved[step % WINDOW] = sqrt(sum);
    for (int32_t i = 0; i < WINDOW; i++) mean += s->moved[i] / WINDOW;
    return step + 1 < WINDOW ? (double)INFINITY : mean;
}

static whet_status run(whet_ctx *ctx, ensemble *s, double *r) {
    WHET_TRY(whet_i_map_to_classes(ctx, s->n, s->k, s->y, r));
    for (int32_t step = 0; step < STEPS; step++) {
        memcpy(s->last, r, (size_t)(s->n * s->k) * sizeof *r);
        WHET_TRY(maximise(ctx, s, r));
        WHET_TRY(expect(ctx, s, r));
        if (movement(s, step, r) <= STILL) break;
    }
    return WHET_OK;
}

whet_status whet_i_bernoulli_fit(whet_ctx *ctx, const double *x, int64_t n, int64_t d, int64_t k,
                                 const int32_t *y, uint64_t seed, double *r) {
    whet_status status = WHET_OK;
    ensemble s = {.x = x, .n = n, .d = d, .k = k, .y = y};
    int32_t *group = NULL;
    double spread;
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &s.share));
    WHET_TRY_DONE(whet_i_alloc(ctx, k * d, &s.mean));
    WHET_TRY_DONE(whet_i_alloc(ctx, k * d, &s.linear));
    WHET_TRY_DONE(whet_i_alloc(ctx, k, &s.constant));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * k, &s.last));
    WHET_TRY_DONE(whet_i_alloc(ctx, n, &group));
    WHET_TRY_DONE(whet_i_kmeans(ctx, x, n, d, k, seed, s.mean, group, &spread));
    memset(r, 0, (size_t)(n * k) * sizeof *r);
    for (int64_t i = 0; i < n; i++) r[i * k + group[i]] = 1;
    WHET_TRY_DONE(run(ctx, &s, r));
done:
    whet_i_free(ctx, s.share);
    whet_i_free(ctx, s.mean);
    whet_i_free(ctx, s.linear);
    whet_i_free(ctx, s.constant);
    whet_i_free(ctx, s.last);
    whet_i_free(ctx, group);
    return status;
}
