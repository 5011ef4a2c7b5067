/* SPDX-License-Identifier: Apache-2.0
 * The base model as a candidate's model: predicting, saving, loading. */
#include "adapt/candidate.h"

void whet_i_base_model_destroy(whet_ctx *ctx, void *model) {
    if (!model) return;
    whet_i_base_free(ctx, model);
    whet_i_free(ctx, model);
}

whet_status whet_i_base_model_predict_raw(whet_ctx *ctx, const void *model,
                                          const whet_i_query *rows, double *probs) {
    return whet_i_base_predict(ctx, model, rows->x, rows->n, probs);
}

whet_status whet_i_base_model_predict_smooth(whet_ctx *ctx, const void *model,
                                             const whet_i_query *rows, double *probs) {
    return whet_i_base_predict(ctx, model, rows->smooth, rows->n, probs);
}

whet_status whet_i_base_model_save(whet_ctx *ctx, const void *model, const char *prefix,
                                   whet_i_store *store) {
    const whet_i_base *m = model;
    const int64_t d = m->linear.d, seen = m->linear.seen;
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "classes", WHET_I32, m->linear.classes, seen, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "weight", WHET_F64, m->linear.weight, d, seen));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "bias", WHET_F64, m->linear.bias, seen, 0));
    WHET_TRY(whet_i_store_put(ctx, store, prefix, "offset", WHET_F64, m->offset, m->linear.k, 0));
    WHET_TRY(whet_i_store_put_scalar(ctx, store, prefix, "unseen", m->linear.unseen));
    return whet_i_store_put_scalar(ctx, store, prefix, "sharpness", m->sharpness);
}

static whet_status check(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                         const whet_i_base *m) {
    for (int64_t c = 0; c < m->linear.seen; c++) {
        const int32_t before = c ? m->linear.classes[c - 1] : -1;
        if (m->linear.classes[c] <= before || m->linear.classes[c] >= m->linear.k)
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: %s.classes[%lld] is %d; expected rising "
                               "numbers from 0 to %lld",
                               source->path, prefix, (long long)c, m->linear.classes[c],
                               (long long)m->linear.k - 1);
    }
    const bool all = m->linear.seen == m->linear.k;
    if (m->linear.seen < 1 || !(m->linear.unseen >= 0 && m->linear.unseen < 1) ||
        (!all && !(m->linear.unseen > 0)) || !(m->sharpness > 0))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %s.unseen or %s.sharpness is out of range",
                           source->path, prefix, prefix);
    return WHET_OK;
}

whet_status whet_i_base_model_load(whet_ctx *ctx, const whet_i_source *source, const char *prefix,
                                   const whet_i_pool *pool, void **model) {
    whet_status status = WHET_OK;
    whet_i_base *m = NULL;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &m));
    whet_i_linear_model *l = &m->linear;
    l->d = pool->d;
    l->k = pool->k;
    l->seen = -1;
    int64_t d = pool->d, k = pool->k;
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, prefix, "classes", WHET_I32, &l->seen, NULL, &l->classes));
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, prefix, "weight", WHET_F64, &d, &l->seen, &l->weight));
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, prefix, "bias", WHET_F64, &l->seen, NULL, &l->bias));
    WHET_TRY_DONE(whet_i_source_get(ctx, source, prefix, "offset", WHET_F64, &k, NULL, &m->offset));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "unseen", &l->unseen));
    WHET_TRY_DONE(whet_i_source_scalar(ctx, source, prefix, "sharpness", &m->sharpness));
    WHET_TRY_DONE(check(ctx, source, prefix, m));
    *model = m;
    m = NULL;
done:
    whet_i_base_model_destroy(ctx, m);
    return status;
}
