/* SPDX-License-Identifier: Apache-2.0
 * k-means: Lloyd's algorithm from k-means++ starts; see mixtures.h. Distances are
 * |x|^2 - (2 x c - |c|^2), so that a row's nearest centre is its largest score.
 * Legend: n rows, d columns, k groups. */
#include <math.h>

#include "label/mixtures.h"

enum { STARTS = 4, ROUNDS = 100 };

typedef struct kmeans {
    const double *x;
    int64_t n, d, k;
    double *square;           /* [n] |x|^2 */
    double *centers, *linear; /* [k, d] c and 2 c */
    double *constant;         /* [k] -|c|^2 */
    double *scores;           /* [n, k], then who is in which group */
    double *distance;         /* [n] squared, to the nearest centre */
    double *share;            /* [k] */
    int32_t *group;           /* [n] */
    double spread;
} kmeans;

static void release(whet_ctx *ctx, kmeans *s) {
    whet_i_free(ctx, s->square);
    whet_i_free(ctx, s->centers);
    whet_i_free(ctx, s->linear);
    whet_i_free(ctx, s->constant);
    whet_i_free(ctx, s->scores);
    whet_i_free(ctx, s->distance);
    whet_i_free(ctx, s->share);
    whet_i_free(ctx, s->group);
}

static whet_status make(whet_ctx *ctx, kmeans *s) {
    int64_t cells, scores;
    WHET_TRY(whet_i_mul(ctx, s->k, s->d, &cells));
    WHET_TRY(whet_i_mul(ctx, s->n, s->k, &scores));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->square));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->centers));
    WHET_TRY(whet_i_alloc(ctx, cells, &s->linear));
    WHET_TRY(whet_i_alloc(ctx, s->k, &s->constant));
    WHET_TRY(whet_i_alloc(ctx, scores, &s->scores));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->distance));
    WHET_TRY(whet_i_alloc(ctx, s->k, &s->share));
    WHET_TRY(whet_i_alloc(ctx, s->n, &s->group));
    for (int64_t i = 0; i < s->n; i++)
        s->square[i] = whet_i_dot(s->x + i * s->d, s->x + i * s->d, s->d);
    return WHET_OK;
}

/* Scores of centres first.. of `count` against all rows, in columns 0.. of `scores` [n, count]. */
static whet_status score(whet_ctx *ctx, kmeans *s, int64_t first, int64_t count) {
    for (int64_t c = 0; c < count; c++) {
        const double *center = s->centers + (first + c) * s->d;
        for (int64_t j = 0; j < s->d; j++) s->linear[c * s->d + j] = 2 * center[j];
        s->constant[c] = -whet_i_dot(center, center, s->d);
    }
    const whet_i_mixture_form form = {
        .x = s->x, .n = s->n, .d = s->d, .k = count, .linear = s->linear, .constant = s->constant};
    return whet_i_mixture_scores(ctx, &form, s->scores, NULL);
}

static void copy_row(kmeans *s, int64_t row, int64_t center) {
    memcpy(s->centers + center * s->d, s->x + row * s->d, (size_t)s->d * sizeof *s->centers);
}

/* A row, with a probability in proportion to its squared distance; any when all are zero. */
static int64_t draw_far(const kmeans *s, whet_i_rng *rng) {
    double total = 0, at;
    for (int64_t i = 0; i < s->n; i++) total += s->distance[i];
    if (!(total > 0)) return whet_i_rng_below(rng, s->n);
    at = whet_i_rng_uniform(rng) * total;
    int64_t row = s->n - 1;
    for (int64_t i = 0; i < s->n; i++) {
        at -= s->distance[i];
        if (at < 0) {
            row = i;
            break;
        }
    }
    return row;
}

/* k-means++. */
static whet_status start(whet_ctx *ctx, kmeans *s, whet_i_rng *rng) {
    for (int64_t i = 0; i < s->n; i++) s->distance[i] = (double)INFINITY;
    copy_row(s, whet_i_rng_below(rng, s->n), 0);
    for (int64_t c = 1; c < s->k; c++) {
        WHET_TRY(score(ctx, s, c - 1, 1));
        for (int64_t i = 0; i < s->n; i++)
            s->distance[i] = fmin(s->distance[i], fmax(s->square[i] - s->scores[i], 0));
        copy_row(s, draw_far(s, rng), c);
    }
    return WHET_OK;
}

/* Rows to their nearest centres, the lowest among equals; whether any changed. */
static whet_status assign(whet_ctx *ctx, kmeans *s, bool *changed) {
    WHET_TRY(score(ctx, s, 0, s->k));
    *changed = false;
    s->spread = 0;
    for (int64_t i = 0; i < s->n; i++) {
        double *row = s->scores + i * s->k;
        const int32_t best = (int32_t)whet_i_argmax(row, s->k);
        s->distance[i] = fmax(s->square[i] - row[best], 0);
        s->spread += s->distance[i];
        *changed = *changed || best != s->group[i];
        s->group[i] = best;
        memset(row, 0, (size_t)s->k * sizeof *row);
        row[best] = 1;
    }
    return WHET_OK;
}

/* Centres to the means of their groups; an empty one goes to the row that is farthest from its own. */
static whet_status move(whet_ctx *ctx, kmeans *s) {
    WHET_TRY(
        whet_i_mixture_moments(ctx, s->x, s->n, s->d, s->k, s->scores, s->share, s->centers, NULL));
    for (int64_t c = 0; c < s->k; c++) {
        if (s->share[c] > 0) {
            for (int64_t j = 0; j < s->d; j++) s->centers[c * s->d + j] /= s->share[c];
            continue;
        }
        const int64_t far = whet_i_argmax(s->distance, s->n);
        copy_row(s, far, c);
        s->distance[far] = 0;
    }
    return WHET_OK;
}

static whet_status improve(whet_ctx *ctx, kmeans *s) {
    bool changed = true;
    for (int64_t i = 0; i < s->n; i++) s->group[i] = -1;
    WHET_TRY(assign(ctx, s, &changed));
    for (int32_t round = 0; changed && round < ROUNDS; round++) {
        WHET_TRY(move(ctx, s));
        WHET_TRY(assign(ctx, s, &changed));
    }
    return WHET_OK;
}

whet_status whet_i_kmeans(whet_ctx *ctx, const double *x, int64_t n, int64_t d, int64_t k,
                          uint64_t seed, double *centers, int32_t *group, double *spread) {
    whet_status status = WHET_OK;
    kmeans s = {.x = x, .n = n, .d = d, .k = k};
    double best = (double)INFINITY;
    if (k < 1 || k > n)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%lld groups of %lld rows; expected 1 to %lld",
                           (long long)k, (long long)n, (long long)n);
    WHET_TRY_DONE(make(ctx, &s));
    for (int32_t i = 0; i < STARTS; i++) {
        whet_i_rng rng;
        whet_i_rng_init(&rng, seed, (uint64_t)i);
        WHET_TRY_DONE(start(ctx, &s, &rng));
        WHET_TRY_DONE(improve(ctx, &s));
        if (!(s.spread < best)) continue;
        best = s.spread;
        memcpy(centers, s.centers, (size_t)(k * d) * sizeof *centers);
        memcpy(group, s.group, (size_t)n * sizeof *group);
    }
    *spread = best;
done:
    release(ctx, &s);
    return status;
}
