/* SPDX-License-Identifier: Apache-2.0
 * Writes the chosen candidate: arrays to classifier.safetensors, the rest to classifier.json. */
#include <jansson.h>
#include <stdio.h>

#include "adapt/classifier.h"
#include "io/io_i.h"
#include "label/label_i.h"

const char *const whet_i_preparation_names[3] = {"as-is", "unit", "standard"};

/* ---- arrays ---------------------------------------------------------------------------------- */

static whet_status put_pool(whet_ctx *ctx, const whet_i_pool *pool, bool rows,
                            whet_i_store *store) {
    const whet_i_prepare *p = &pool->prepare;
    if (p->kind == WHET_I_STANDARD) {
        WHET_TRY(whet_i_store_put(ctx, store, "prepare", "mean", WHET_F64, p->mean, p->d_in, 0));
        WHET_TRY(whet_i_store_put(ctx, store, "prepare", "scale", WHET_F64, p->scale, p->d_in, 0));
    }
    if (!rows) return WHET_OK;
    return whet_i_store_put(ctx, store, "pool", "x", WHET_F32, pool->x, pool->n, pool->d);
}

static whet_status write_tensors(whet_ctx *ctx, const whet_adapt_fit *fit, const char *dir,
                                 const whet_classifier_meta *meta, const whet_i_part *parts,
                                 int64_t n) {
    whet_status status = WHET_OK;
    whet_i_store store = {0};
    whet_i_buf terms = {0};
    char *path = NULL;
    static const char *const metadata[] = {"format", WHET_I_CLASSIFIER_FORMAT, NULL};
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, WHET_I_CLASSIFIER_TENSORS, &path));
    WHET_TRY_DONE(put_pool(ctx, &fit->pool, whet_i_parts_need_neighbours(parts, n), &store));
    if (meta->tfidf) WHET_TRY_DONE(whet_i_tfidf_put(ctx, meta->tfidf, &terms, &store));
    for (int64_t p = 0; p < n; p++)
        WHET_TRY_DONE(
            parts[p].candidate->save(ctx, parts[p].model, parts[p].candidate->name, &store));
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, false, store.items, store.n, metadata));
done:
    whet_i_store_free(ctx, &store);
    whet_i_buf_free(ctx, &terms);
    whet_i_free(ctx, path);
    return status;
}

/* ---- JSON: jansson steals what is handed over; a failure leaves `ok` false ------------------- */

static void put(json_t *object, const char *key, json_t *value, bool *ok) {
    if (!object || !value || json_object_set_new(object, key, value) != 0) *ok = false;
}

static void put_text(json_t *object, const char *key, const char *text, bool *ok) {
    put(object, key, text ? json_string(text) : json_null(), ok);
}

static json_t *features_of(const whet_classifier_meta *meta, bool *ok) {
    json_t *o = json_object();
    const bool both = meta->encoder_path && meta->tfidf;
    put_text(o, "source",
             both                 ? "encoder+tfidf"
             : meta->encoder_path ? "encoder"
             : meta->tfidf        ? "tfidf"
                                  : "given",
             ok);
    if (both) put(o, "words", json_real(meta->words), ok);
    if (meta->feature_map) put_text(o, "map", meta->feature_map, ok);
    put_text(o, "text_column", meta->text_column, ok);
    if (!meta->encoder_path) return o;
    put_text(o, "encoder", meta->encoder_path, ok);
    put_text(o, "fingerprint", meta->encoder_fingerprint, ok);
    put_text(o, "pooling", meta->pooling, ok);
    put_text(o, "dtype", meta->dtype, ok);
    put(o, "max_length", json_integer(meta->max_length), ok);
    return o;
}

static json_t *classes_of(const whet_names *classes, bool *ok) {
    json_t *list = json_array();
    for (int64_t i = 0; i < whet_names_count(classes); i++) {
        const whet_str name = whet_names_get(classes, i);
        json_t *text = json_stringn(name.ptr, (size_t)name.len);
        if (!text || json_array_append_new(list, text) != 0) *ok = false;
    }
    return list;
}

static json_t *texts_of(const whet_str *texts, int64_t k, bool *ok) {
    json_t *list = json_array();
    for (int64_t c = 0; c < k; c++) {
        json_t *text = json_stringn(texts[c].ptr, (size_t)texts[c].len);
        if (!text || json_array_append_new(list, text) != 0) *ok = false;
    }
    return list;
}

static json_t *parts_of(const whet_adapt_fit *fit, const whet_i_part *parts, int64_t n, bool *ok) {
    json_t *list = json_array();
    for (int64_t p = 0; p < n; p++) {
        json_t *o = json_object();
        put_text(o, "candidate", parts[p].candidate->name, ok);
        put(o, "weight", json_real(parts[p].weight), ok);
        for (int64_t i = 0; i < fit->n - 1; i++) {
            if (fit->models[i] != parts[p].model) continue;
            put_text(o, "settings", fit->results[i].words, ok);
            put(o, "temperature", json_real(fit->results[i].settings.temperature), ok);
        }
        if (json_array_append_new(list, o) != 0) *ok = false;
    }
    return list;
}

static json_t *document(const whet_adapt_fit *fit, const whet_classifier_meta *meta,
                        const whet_i_part *parts, int64_t n, bool *ok) {
    json_t *o = json_object();
    put_text(o, "format", WHET_I_CLASSIFIER_FORMAT, ok);
    put(o, "version",
        json_integer(meta->beside > 0    ? WHET_I_CLASSIFIER_VERSION
                     : meta->feature_map ? WHET_I_CLASSIFIER_WITH_MAP
                                         : WHET_I_CLASSIFIER_PLAIN),
        ok);
    put_text(o, "candidate", fit->infos[fit->chosen].name, ok);
    put_text(o, "settings", fit->infos[fit->chosen].settings, ok);
    put(o, "parts", parts_of(fit, parts, n, ok), ok);
    if (meta->beside > 0)
        put(o, "averaged_with",
            json_pack("{s:s, s:f}", "folder", WHET_I_FROZEN_FOLDER, "share", meta->beside), ok);
    put(o, "features", features_of(meta, ok), ok);
    put(o, "dimension", json_integer(fit->pool.prepare.d_in), ok);
    put_text(o, "preparation", whet_i_preparation_names[fit->pool.prepare.kind], ok);
    put(o, "neighbours", json_integer(fit->pool.m), ok);
    put(o, "classes", classes_of(fit->classes, ok), ok);
    if (meta->class_texts)
        put(o, "class_texts", texts_of(meta->class_texts, whet_names_count(fit->classes), ok), ok);
    return o;
}

static whet_status write_json(whet_ctx *ctx, const whet_adapt_fit *fit, const char *dir,
                              const whet_classifier_meta *meta, const whet_i_part *parts,
                              int64_t n) {
    whet_status status = WHET_OK;
    bool ok = true;
    char *text = NULL, *path = NULL;
    whet_out *out = NULL;
    json_t *o = document(fit, meta, parts, n, &ok);
    /* 17 digits: a weight reads back to the same bits. */
    if (ok) text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    if (!text) {
        status = whet_i_fail(ctx, WHET_ERR_FORMAT, "%s/%s: a class name or path is not valid UTF-8",
                             dir, WHET_I_CLASSIFIER_JSON);
        goto done;
    }
    WHET_TRY_DONE(whet_i_join_path(ctx, dir, WHET_I_CLASSIFIER_JSON, &path));
    WHET_TRY_DONE(whet_out_open(ctx, path, false, &out));
    WHET_TRY_DONE(whet_out_write(ctx, out, text, (int64_t)strlen(text)));
    WHET_TRY_DONE(whet_out_write(ctx, out, "\n", 1));
    whet_out *whole = out;
    out = NULL;
    WHET_TRY_DONE(whet_out_commit(ctx, whole));
done:
    whet_out_abort(ctx, out);
    json_decref(o);
    json_free_t release;
    json_get_alloc_funcs(NULL, &release);
    if (text) release(text);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_adapt_fit_save(whet_ctx *ctx, const whet_adapt_fit *fit, const char *dir_path,
                                const whet_classifier_meta *meta) {
    static const whet_classifier_meta given = {0};
    whet_i_part parts[WHET_I_MOST_PARTS];
    const int64_t n = whet_i_fit_parts(fit, fit->chosen, parts);
    if (!meta) meta = &given;
    if (meta->encoder_path && !meta->encoder_fingerprint)
        return whet_i_fail(ctx, WHET_ERR_ARG, "features of an encoder; expected its fingerprint");
    if (meta->encoder_path && meta->tfidf && !(meta->words > 0 && meta->words < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "TF-IDF beside an encoder has a share of %g; expected above 0, below 1",
                           meta->words);
    if (meta->feature_map && (meta->encoder_path || meta->tfidf))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a map to features beside an encoder or TF-IDF; expected one of them");
    if (!(meta->beside >= 0 && meta->beside < 1))
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "a second classifier with a share of %g; expected 0, or above, below 1",
                           meta->beside);
    WHET_TRY(write_tensors(ctx, fit, dir_path, meta, parts, n));
    return write_json(ctx, fit, dir_path, meta, parts, n);
}
