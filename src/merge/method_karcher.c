/* SPDX-License-Identifier: Apache-2.0
 * The Riemannian (Karcher) mean of the models' directions on the sphere, at their mean length: from the
 * direction of their sum, steps u <- exp_u(mean of log_u(u_i)) until they are short. The point is kept as a
 * combination of the models, so a step costs n^2 numbers whatever the size of the tensor. Models without
 * length, or with next to none beside the longest, have no direction; their length is of the mean.
 * Source: Karcher 1977; Afsari, Tron & Vidal 2013. */
#include <math.h>

#include "merge/merging_i.h"

enum { MOST = WHET_MERGE_MODELS_MAX };
#define SHORTEST 1e-5 /* of the longest, that has a direction */

typedef struct sphere {
    int64_t n;          /* directions */
    const double *gram; /* [n, n] cosines */
} sphere;

static double product(const sphere *s, const double *a, const double *b) {
    double sum = 0;
    for (int64_t i = 0; i < s->n; i++)
        for (int64_t j = 0; j < s->n; j++) sum += a[i] * b[j] * s->gram[i * s->n + j];
    return sum;
}

/* One step from u [n]; gives its length. */
static double step(const sphere *s, double tolerance, double *u) {
    double tangent[MOST] = {0};
    for (int64_t i = 0; i < s->n; i++) {
        double unit[MOST] = {0};
        unit[i] = 1;
        double cosine = product(s, u, unit);
        cosine = cosine > 1 ? 1 : cosine < -1 ? -1 : cosine;
        const double angle = acos(cosine);
        /* The opposite point has no nearest way to it. */
        if (angle < tolerance || sin(angle) < 1e-12) continue;
        const double f = angle / sin(angle) / (double)s->n;
        tangent[i] += f;
        for (int64_t j = 0; j < s->n; j++) tangent[j] -= f * cosine * u[j];
    }
    const double squared = product(s, tangent, tangent), length = squared > 0 ? sqrt(squared) : 0;
    if (length < tolerance) return length;
    for (int64_t j = 0; j < s->n; j++)
        u[j] = cos(length) * u[j] + sin(length) / length * tangent[j];
    const double now = sqrt(product(s, u, u));
    for (int64_t j = 0; j < s->n; j++) u[j] /= now;
    return length;
}

static void mean_direction(const whet_i_merge_tensor *t, const sphere *s, double *u) {
    const double tolerance = whet_i_merge_global(t, WHET_I_SET_TOL);
    const int64_t rounds = (int64_t)whet_i_merge_global(t, WHET_I_SET_MAX_ITER);
    for (int64_t i = 0; i < s->n; i++) u[i] = 1;
    const double squared = product(s, u, u), length = squared > 0 ? sqrt(squared) : 0;
    for (int64_t i = 0; i < s->n; i++) /* directions that cancel: from the first one */
        u[i] = length / (double)s->n < tolerance ? (i == 0 ? 1 : 0) : 1 / length;
    for (int64_t i = 0; i < rounds; i++)
        if (step(s, tolerance, u) < tolerance) break;
}

static whet_status run(whet_ctx *ctx, whet_i_merge_tensor *t) {
    double u[MOST], norm[MOST], factor[MOST + 1] = {0}, length = 0, longest = 0;
    int64_t place[MOST], n = 0;
    double *gram = NULL, *cosines = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_alloc(ctx, t->n * t->n, &gram));
    WHET_TRY_DONE(whet_i_alloc(ctx, t->n * t->n, &cosines));
    WHET_TRY_DONE(whet_i_merge_gram(ctx, t, false, gram));
    for (int64_t i = 0; i < t->n; i++) {
        norm[i] = sqrt(gram[i * t->n + i]);
        length += norm[i] / (double)t->n;
        if (norm[i] > longest) longest = norm[i];
    }
    for (int64_t i = 0; i < t->n; i++)
        if (norm[i] > longest * SHORTEST) place[n++] = i;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            cosines[i * n + j] = gram[place[i] * t->n + place[j]] / norm[place[i]] / norm[place[j]];
    if (n > 0) mean_direction(t, &(sphere){n, cosines}, u);
    for (int64_t i = 0; i < n; i++) factor[place[i]] = length * u[i] / norm[place[i]];
    status = whet_i_merge_write_span(ctx, t, factor);
done:
    whet_i_free(ctx, gram);
    whet_i_free(ctx, cosines);
    return status;
}

static const whet_i_setting_use settings[] = {
    {WHET_I_SET_MAX_ITER, 10}, {WHET_I_SET_TOL, 1e-5}, {WHET_I_SET_COUNT, 0}};

const whet_i_merge_method whet_i_merge_karcher = {
    .shown = {"karcher", "Riemannian mean of directions on the sphere", 2, WHET_MERGE_MODELS_MAX,
              WHET_MERGE_BASE_NONE, WHET_MERGE_TENSOR, false},
    .settings = settings,
    .passes = 2,
    .run = run};
