/* SPDX-License-Identifier: Apache-2.0
 * GOGGLES: classes from affinities to the labelled rows; see mixtures.h. The published code has one
 * affinity, and fits its mixture on the labelled rows alone; here every row takes part.
 * Legend: n rows, d columns, b labelled rows (the anchors), k classes. */
#include <math.h>

#include "label/mixtures.h"
#include "tensor/tensor_i.h"

enum { VIEWS = WHET_GOGGLES_VOTES, MOST_COMPONENTS = 64 };

typedef struct goggles {
    const float *x; /* [n, d] of unit length */
    int64_t n, d, k, b;
    const int32_t *y;
    uint64_t seed;
    float *components; /* [n, dim] what the rows have of each */
    whet_i_components pca;
    int64_t dim;
    float *view;        /* [n, columns], unit rows, where it is not x */
    float *anchors;     /* [b, columns] */
    float *products;    /* [n, b] */
    double *affinity;   /* [n, b] */
    double *r;          /* [n, k] */
    double *posteriors; /* [n, VIEWS k] */
    int32_t *votes;     /* [n, VIEWS] or NULL */
} goggles;

static void release(whet_ctx *ctx, goggles *s) {
    whet_i_free(ctx, s->components);
    whet_i_components_free(ctx, &s->pca);
    whet_i_free(ctx, s->view);
    whet_i_free(ctx, s->anchors);
    whet_i_free(ctx, s->products);
    whet_i_free(ctx, s->affinity);
    whet_i_free(ctx, s->r);
    whet_i_free(ctx, s->posteriors);
}

static whet_status make(whet_ctx *ctx, goggles *s) {
    const int64_t columns = s->d > s->dim ? s->d : s->dim;
    int64_t affinity, r, posteriors, anchors;
    WHET_TRY(whet_i_mul(ctx, s->n, s->b, &affinity));
    WHET_TRY(whet_i_mul(ctx, s->n, s->k, &r));
    WHET_TRY(whet_i_mul(ctx, r, VIEWS, &posteriors));
    WHET_TRY(whet_i_mul(ctx, s->b, columns, &anchors));
    WHET_TRY(whet_i_alloc(ctx, s->n * s->dim, &s->components));
    WHET_TRY(whet_i_alloc(ctx, s->n * s->dim, &s->view));
    WHET_TRY(whet_i_alloc(ctx, anchors, &s->anchors));
    WHET_TRY(whet_i_alloc(ctx, affinity, &s->products));
    WHET_TRY(whet_i_alloc(ctx, affinity, &s->affinity));
    WHET_TRY(whet_i_alloc(ctx, r, &s->r));
    return whet_i_alloc(ctx, posteriors, &s->posteriors);
}

/* ---- views of the rows ----------------------------------------------------------------------- */

/* Rows of components at unit length; whitened: each divided by its deviation first. */
static void view_components(goggles *s, bool whitened) {
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = s->dim, .d = s->dim};
    const double least = 1e-6 * s->pca.deviation[0];
    for (int64_t i = 0; i < s->n * s->dim; i++) {
        const double by = s->pca.deviation[i % s->dim];
        const double divided = by > least ? (double)s->components[i] / by : 0;
        s->view[i] = whitened ? (float)divided : s->components[i];
    }
    whet_i_prepare_apply(&unit, s->view, s->n, s->view);
}

/* ---- a mixture for each, and one for all ------------------------------------------------------ */

static whet_status affinity_of(whet_ctx *ctx, goggles *s, const float *view, int64_t columns) {
    int64_t at = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->y[i] >= 0)
            memcpy(s->anchors + at++ * columns, view + i * columns,
                   (size_t)columns * sizeof *s->anchors);
    WHET_TRY(whet_i_matmul_f32(ctx, false, true, s->n, s->b, columns, view, columns, s->anchors,
                               columns, 0, s->products, s->b));
    for (int64_t i = 0; i < s->n * s->b; i++) s->affinity[i] = (double)s->products[i];
    return WHET_OK;
}

static whet_status group(whet_ctx *ctx, goggles *s, int64_t view) {
    whet_i_gaussians mixture;
    WHET_TRY(whet_i_gaussians_fit(ctx, s->affinity, s->n, s->b, s->k, s->seed + (uint64_t)view,
                                  &mixture, s->r));
    whet_i_gaussians_free(ctx, &mixture);
    for (int64_t i = 0; i < s->n; i++)
        memcpy(s->posteriors + (i * VIEWS + view) * s->k, s->r + i * s->k,
               (size_t)s->k * sizeof *s->r);
    if (!s->votes) return WHET_OK;
    WHET_TRY(whet_i_map_to_classes(ctx, s->n, s->k, s->y, s->r));
    for (int64_t i = 0; i < s->n; i++)
        s->votes[i * VIEWS + view] = (int32_t)whet_i_argmax(s->r + i * s->k, s->k);
    return WHET_OK;
}

static whet_status group_views(whet_ctx *ctx, goggles *s) {
    WHET_TRY(affinity_of(ctx, s, s->x, s->d));
    WHET_TRY(group(ctx, s, 0));
    WHET_TRY(whet_i_components_fit(ctx, s->x, s->n, s->d, s->dim, &s->pca));
    WHET_TRY(whet_i_components_apply(ctx, &s->pca, s->x, s->n, s->components));
    for (int64_t view = 1; view < VIEWS; view++) {
        view_components(s, view == 2);
        WHET_TRY(affinity_of(ctx, s, s->view, s->dim));
        WHET_TRY(group(ctx, s, view));
    }
    return WHET_OK;
}

whet_status whet_i_goggles(whet_ctx *ctx, const float *x, int64_t n, int64_t d, int64_t k,
                           const int32_t *y, uint64_t seed, double *probs, int32_t *votes) {
    whet_status status = WHET_OK;
    goggles s = {
        .x = x, .n = n, .d = d, .k = k, .y = y, .seed = seed, .dim = n < d ? n : d, .votes = votes};
    if (s.dim > MOST_COMPONENTS) s.dim = MOST_COMPONENTS;
    for (int64_t i = 0; i < n; i++) s.b += y[i] >= 0 ? 1 : 0;
    if (k > n)
        return whet_i_fail(ctx, WHET_ERR_DATA, "%lld classes and %lld rows; expected a row a class",
                           (long long)k, (long long)n);
    WHET_TRY_DONE(make(ctx, &s));
    WHET_TRY_DONE(group_views(ctx, &s));
    WHET_TRY_DONE(whet_i_bernoulli_fit(ctx, s.posteriors, n, VIEWS * k, k, y, seed, probs));
done:
    release(ctx, &s);
    return status;
}

whet_status whet_goggles(whet_ctx *ctx, const whet_synth_input *input, int32_t *votes,
                         double *probs, whet_synth_report *report) {
    const int64_t n = input->n, k = whet_names_count(input->classes);
    whet_status status = WHET_OK;
    whet_i_prepare prepare = {0};
    float *x = NULL;
    int32_t *own_votes = NULL;
    double *own_probs = NULL;
    int64_t cells, all, labelled = 0;
    WHET_TRY(whet_i_check_finite(ctx, "features", input->features, n, input->d));
    if (whet_i_rows_are_alike(input->features, n, input->d))
        return whet_i_fail(ctx, WHET_ERR_DATA,
                           "every feature is constant; expected features that tell rows apart");
    for (int64_t i = 0; i < n; i++) labelled += input->labels[i] >= 0 ? 1 : 0;
    if (labelled == 0)
        return whet_i_fail(ctx, WHET_ERR_DATA, "none of %lld rows has a label; expected some",
                           (long long)n);
    WHET_TRY_DONE(whet_i_prepare_choose(ctx, input->features, n, input->d, false, input->labels, k,
                                        &prepare));
    WHET_TRY_DONE(whet_i_mul(ctx, n, prepare.d, &cells));
    WHET_TRY_DONE(whet_i_mul(ctx, n, k, &all));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &x));
    WHET_TRY_DONE(whet_i_alloc(ctx, n * VIEWS, &own_votes));
    WHET_TRY_DONE(whet_i_alloc(ctx, all, &own_probs));
    whet_i_prepare_apply(&prepare, input->features, n, x);
    WHET_TRY_DONE(
        whet_i_goggles(ctx, x, n, prepare.d, k, input->labels, input->seed, own_probs, own_votes));
    memcpy(votes, own_votes, (size_t)(n * VIEWS) * sizeof *votes);
    if (probs) memcpy(probs, own_probs, (size_t)all * sizeof *probs);
    if (report)
        *report = (whet_synth_report){
            .rules = VIEWS, .labelled = labelled, .accuracy = (double)NAN, .log_loss = (double)NAN};
done:
    whet_i_prepare_free(ctx, &prepare);
    whet_i_free(ctx, x);
    whet_i_free(ctx, own_votes);
    whet_i_free(ctx, own_probs);
    return status;
}
