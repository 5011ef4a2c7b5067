/* SPDX-License-Identifier: Apache-2.0
 * The baselines with one vector a class: the features of its name, the mean of its labelled rows, or both.
 * Legend: d features, k classes, b labelled rows. */
#include <math.h>

#include "label/baselines.h"

/* ---- names ------------------------------------------------------------------------------------ */

whet_status whet_i_zero_shot(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    whet_i_linear_model m = {.d = s->d, .k = s->k, .seen = s->k};
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = s->d, .d = s->d};
    float *names = NULL;
    int64_t cells;
    WHET_TRY_DONE(whet_i_mul(ctx, s->k, s->d, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &names));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.weight));
    WHET_TRY_DONE(whet_i_calloc(ctx, s->k, &m.bias));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->k, &m.classes));
    whet_i_prepare_apply(&unit, s->in->class_features, s->k, names);
    for (int32_t c = 0; c < s->k; c++) m.classes[c] = c;
    whet_i_prototypes(NULL, NULL, 0, NULL, names, s->d, INFINITY, WHET_I_COSINE_TEMPERATURE,
                      m.classes, s->k, m.weight);
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &m, s->x, s->n, s->probs));
    WHET_TRY_DONE(whet_i_calibrate_on_labels(ctx, s));
done:
    whet_i_linear_model_free(ctx, &m);
    whet_i_free(ctx, names);
    return status;
}

/* ---- means of labelled rows, and names --------------------------------------------------------- */

typedef struct centroids {
    const whet_i_baseline *s;
    double *x;          /* [b, d] labelled rows */
    float *names;       /* [k, d] unit rows, or NULL */
    double *probs;      /* [cases, k] */
    double *scores;     /* [k] */
    int32_t *y, *dense; /* [b] */
    int64_t *counts;    /* [k] */
} centroids;

/* The model of the labelled rows in `rows`: a prototype for each class among them, or for all with
 * names. weight has room for all classes. */
static void make_prototypes(const centroids *p, const int64_t *rows, int64_t n, double kappa,
                            whet_i_linear_model *m) {
    const whet_i_baseline *s = p->s;
    for (int64_t i = 0; i < n; i++) p->y[i] = s->y[rows[i]];
    whet_i_dense_classes(p->y, n, s->k, m->classes, &m->seen, p->dense);
    m->unseen = m->seen == s->k ? 0 : whet_i_unseen_mass(p->y, n, s->k, p->counts);
    if (p->names && kappa > 0) {
        for (int32_t c = 0; c < s->k; c++) m->classes[c] = c;
        m->seen = s->k;
        m->unseen = 0;
    }
    whet_i_prototypes(p->x, rows, n, s->y, p->names, s->d, kappa, WHET_I_COSINE_TEMPERATURE,
                      m->classes, m->seen, m->weight);
}

/* Probabilities of the held-out rows of every split. */
static void predict_cases(const centroids *p, double kappa, whet_i_linear_model *m) {
    const whet_i_baseline *s = p->s;
    for (int64_t at = 0; at < s->splits.n; at++) {
        const whet_i_split *split = &s->splits.split[at];
        make_prototypes(p, split->train, split->n_train, kappa, m);
        for (int64_t i = 0; i < split->n_held; i++) {
            const double *x = p->x + split->held[i] * s->d;
            for (int64_t c = 0; c < m->seen; c++) p->scores[c] = 0;
            for (int64_t j = 0; j < s->d; j++)
                for (int64_t c = 0; c < m->seen; c++)
                    p->scores[c] += x[j] * m->weight[j * m->seen + c];
            whet_i_softmax(p->scores, m->seen);
            whet_i_share_out(p->scores, m->classes, m->seen, s->k, m->unseen,
                             p->probs + (split->repeat * s->b + split->held[i]) * s->k);
        }
    }
}

static whet_status make_centroids(whet_ctx *ctx, centroids *p, whet_i_linear_model *m) {
    const whet_i_baseline *s = p->s;
    int64_t rows, cells, cases;
    WHET_TRY(whet_i_mul(ctx, s->b, s->d, &rows));
    WHET_TRY(whet_i_mul(ctx, s->k, s->d, &cells));
    WHET_TRY(whet_i_mul(ctx, s->cases, s->k, &cases));
    WHET_TRY(whet_i_alloc(ctx, rows, &p->x));
    WHET_TRY(whet_i_alloc(ctx, cases, &p->probs));
    WHET_TRY(whet_i_alloc(ctx, s->k, &p->scores));
    WHET_TRY(whet_i_alloc(ctx, s->b, &p->y));
    WHET_TRY(whet_i_alloc(ctx, s->b, &p->dense));
    WHET_TRY(whet_i_alloc(ctx, s->k, &p->counts));
    WHET_TRY(whet_i_alloc(ctx, cells, &m->weight));
    WHET_TRY(whet_i_calloc(ctx, s->k, &m->bias));
    WHET_TRY(whet_i_alloc(ctx, s->k, &m->classes));
    for (int64_t i = 0; i < s->b; i++)
        for (int64_t j = 0; j < s->d; j++) p->x[i * s->d + j] = (double)s->x[s->rows[i] * s->d + j];
    if (!s->in->class_features) return WHET_OK;
    const whet_i_prepare unit = {.kind = WHET_I_UNIT, .d_in = s->d, .d = s->d};
    WHET_TRY(whet_i_alloc(ctx, cells, &p->names));
    whet_i_prepare_apply(&unit, s->in->class_features, s->k, p->names);
    return WHET_OK;
}

/* How many examples a name counts for, and the temperature, by the least cross-fitted log loss. */
static whet_status choose_kappa(whet_ctx *ctx, const centroids *p, whet_i_linear_model *m,
                                double *kappa, double *temperature) {
    static const double kappas[] = {0, .5, 1, 2, 4};
    const whet_i_baseline *s = p->s;
    double best = (double)INFINITY;
    *kappa = p->names ? 1 : 0;
    *temperature = 1;
    for (int64_t i = 0; s->cases > 0 && i < (p->names ? WHET_COUNT_OF(kappas) : 1); i++) {
        double own, loss;
        predict_cases(p, kappas[i], m);
        WHET_TRY(whet_i_temperature_fit(ctx, p->probs, s->cases, s->k, s->case_y, &own, &loss));
        if (!(loss < best)) continue;
        best = loss;
        *kappa = kappas[i];
        *temperature = own;
    }
    return WHET_OK;
}

whet_status whet_i_centroids(whet_ctx *ctx, const whet_i_baseline *s) {
    whet_status status = WHET_OK;
    whet_i_linear_model m = {.d = s->d, .k = s->k};
    centroids p = {.s = s};
    int64_t *all = NULL;
    double kappa, temperature;
    WHET_TRY_DONE(make_centroids(ctx, &p, &m));
    WHET_TRY_DONE(whet_i_alloc(ctx, s->b, &all));
    for (int64_t i = 0; i < s->b; i++) all[i] = i;
    WHET_TRY_DONE(choose_kappa(ctx, &p, &m, &kappa, &temperature));
    make_prototypes(&p, all, s->b, kappa, &m);
    WHET_TRY_DONE(whet_i_linear_model_predict(ctx, &m, s->x, s->n, s->probs));
    whet_i_baseline_temper(s, temperature);
done:
    whet_i_linear_model_free(ctx, &m);
    whet_i_free(ctx, p.x);
    whet_i_free(ctx, p.names);
    whet_i_free(ctx, p.probs);
    whet_i_free(ctx, p.scores);
    whet_i_free(ctx, p.y);
    whet_i_free(ctx, p.dense);
    whet_i_free(ctx, p.counts);
    whet_i_free(ctx, all);
    return status;
}
