/* SPDX-License-Identifier: Apache-2.0
 * TF-IDF as named arrays: tfidf.terms, tfidf.idf, tfidf.projection. */
#include "label/label_i.h"

whet_status whet_i_tfidf_put(whet_ctx *ctx, const whet_tfidf *tfidf, whet_i_buf *terms,
                             whet_i_store *store) {
    const whet_i_tfidf_arrays a = whet_i_tfidf_view(tfidf);
    WHET_TRY(whet_i_tfidf_write_terms(ctx, tfidf, terms));
    WHET_TRY(whet_i_store_put(ctx, store, "tfidf", "terms", WHET_U8, terms->data, terms->len, 0));
    WHET_TRY(whet_i_store_put(ctx, store, "tfidf", "idf", WHET_F64, a.idf, a.terms, 0));
    return whet_i_store_put(ctx, store, "tfidf", "projection", WHET_F32, a.projection, a.terms,
                            a.dim);
}

whet_status whet_i_tfidf_get(whet_ctx *ctx, const whet_i_source *source, int64_t dim,
                             whet_tfidf **out) {
    whet_status status = WHET_OK;
    char *terms = NULL;
    double *idf = NULL;
    float *projection = NULL;
    int64_t len = -1, n = -1;
    WHET_TRY_DONE(whet_i_source_get(ctx, source, "tfidf", "terms", WHET_U8, &len, NULL, &terms));
    WHET_TRY_DONE(whet_i_source_get(ctx, source, "tfidf", "idf", WHET_F64, &n, NULL, &idf));
    WHET_TRY_DONE(
        whet_i_source_get(ctx, source, "tfidf", "projection", WHET_F32, &n, &dim, &projection));
    const whet_i_tfidf_arrays arrays = {n, dim, idf, projection};
    WHET_TRY_DONE(whet_i_tfidf_restore(ctx, terms, len, &arrays, out));
done:
    whet_i_free(ctx, terms);
    whet_i_free(ctx, idf);
    whet_i_free(ctx, projection);
    return status;
}
