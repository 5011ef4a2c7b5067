/* SPDX-License-Identifier: Apache-2.0
 * Reads a saved classifier, trusting nothing in it, and predicts with it. */
#include <stdio.h>

#include "adapt/classifier.h"
#include "io/io_i.h"
#include "label/label_i.h"

enum { MOST_JSON = 64 << 20, MOST_DIMENSION = 1 << 24, MOST_NEIGHBOURS = 1000 };

struct whet_classifier {
    whet_i_pool pool; /* prepare, n, d, k, m, x */
    whet_names *classes;
    whet_i_part parts[WHET_I_MOST_PARTS];
    int64_t n;
    char *candidate, *settings;
    char *path, *fingerprint, *pooling, *dtype, *column, *map;
    whet_tfidf *tfidf;
    whet_str *class_texts; /* NULL, or [k] */
    whet_i_arena arena;    /* of them */
    whet_classifier_meta meta;
    whet_classifier *beside; /* NULL, or the second one, which has none */
};

void whet_classifier_destroy(whet_ctx *ctx, whet_classifier *c) {
    if (!c) return;
    for (int64_t p = 0; p < c->n; p++)
        if (c->parts[p].model) c->parts[p].candidate->destroy(ctx, c->parts[p].model);
    whet_classifier_destroy(ctx, c->beside);
    whet_i_pool_free(ctx, &c->pool);
    whet_names_destroy(ctx, c->classes);
    whet_tfidf_destroy(ctx, c->tfidf);
    whet_i_free(ctx, c->class_texts);
    whet_i_arena_free(ctx, &c->arena);
    char *const texts[] = {c->candidate, c->settings, c->path,   c->fingerprint,
                           c->pooling,   c->dtype,    c->column, c->map};
    for (int64_t i = 0; i < WHET_COUNT_OF(texts); i++) whet_i_free(ctx, texts[i]);
    whet_i_free(ctx, c);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static whet_status text_of(whet_ctx *ctx, const char *where, const json_t *object, const char *key,
                           bool needed, char **out) {
    whet_str text;
    if (needed)
        WHET_TRY(whet_i_json_str(ctx, where, object, key, &text));
    else
        WHET_TRY(whet_i_json_str_or_none(ctx, where, object, key, &text));
    if (!text.ptr) return WHET_OK;
    if (memchr(text.ptr, '\0', (size_t)text.len))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" holds a NUL", where, key);
    return whet_i_strdup(ctx, text, out);
}

static whet_status read_head(whet_ctx *ctx, const char *where, const json_t *o,
                             whet_classifier *c) {
    whet_str format;
    int64_t version;
    WHET_TRY(whet_i_json_str(ctx, where, o, "format", &format));
    if (!whet_str_equal(format, whet_str_from(WHET_I_CLASSIFIER_FORMAT)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"format\" is not \"%s\"", where,
                           WHET_I_CLASSIFIER_FORMAT);
    WHET_TRY(whet_i_json_int(ctx, where, o, "version", 1, INT32_MAX, &version));
    if (version > WHET_I_CLASSIFIER_VERSION)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: version %lld; expected at most %d; try "
                           "a later whet",
                           where, (long long)version, WHET_I_CLASSIFIER_VERSION);
    WHET_TRY(text_of(ctx, where, o, "candidate", true, &c->candidate));
    return text_of(ctx, where, o, "settings", true, &c->settings);
}

static whet_status read_classes(whet_ctx *ctx, const char *where, const json_t *o,
                                whet_classifier *c) {
    json_t *list;
    WHET_TRY(whet_i_json_array(ctx, where, o, "classes", &list));
    WHET_TRY(whet_names_create(ctx, &c->classes));
    const int64_t k = (int64_t)json_array_size(list);
    for (int64_t i = 0; i < k; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        const char *text = json_string_value(item);
        int64_t at = -1;
        if (text && json_string_length(item) > 0)
            WHET_TRY(whet_names_add(ctx, c->classes,
                                    (whet_str){text, (int64_t)json_string_length(item)}, &at));
        if (at != i)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: class %lld is not a new name", where,
                               (long long)i);
    }
    if (k < 2)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %lld classes; expected at least 2", where,
                           (long long)k);
    c->pool.k = k;
    return WHET_OK;
}

/* What the names mean, where the job was told. */
static whet_status read_class_texts(whet_ctx *ctx, const char *where, const json_t *o,
                                    whet_classifier *c) {
    json_t *list;
    const int64_t k = c->pool.k;
    WHET_TRY(whet_i_json_array_or_none(ctx, where, o, "class_texts", &list));
    if (!list) return WHET_OK;
    if ((int64_t)json_array_size(list) != k)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %lld class texts; expected %lld, one a class",
                           where, (long long)json_array_size(list), (long long)k);
    WHET_TRY(whet_i_alloc(ctx, k, &c->class_texts));
    for (int64_t i = 0; i < k; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        const size_t len = json_string_length(item);
        char *copy;
        if (!json_is_string(item))
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: class text %lld is %s; expected a string",
                               where, (long long)i, whet_i_json_kind(item));
        WHET_TRY(whet_i_arena_alloc(ctx, &c->arena, (int64_t)len + 1, 1, &copy));
        memcpy(copy, json_string_value(item), len + 1);
        c->class_texts[i] = (whet_str){copy, (int64_t)len};
    }
    c->meta.class_texts = c->class_texts;
    return WHET_OK;
}

static whet_status read_features(whet_ctx *ctx, const char *where, const json_t *o,
                                 whet_classifier *c) {
    json_t *f;
    whet_str source;
    WHET_TRY(whet_i_json_object(ctx, where, o, "features", &f));
    WHET_TRY(whet_i_json_str(ctx, where, f, "source", &source));
    WHET_TRY(text_of(ctx, where, f, "text_column", false, &c->column));
    WHET_TRY(text_of(ctx, where, f, "map", false, &c->map));
    c->meta.text_column = c->column;
    c->meta.feature_map = c->map;
    const bool both = whet_str_equal(source, whet_str_from("encoder+tfidf"));
    if (!both && !whet_str_equal(source, whet_str_from("encoder"))) return WHET_OK;
    if (both) WHET_TRY(whet_i_json_real(ctx, where, f, "words", &c->meta.words));
    if (both && !(c->meta.words > 0 && c->meta.words < 1))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"words\" is %g; expected above 0, below 1",
                           where, c->meta.words);
    WHET_TRY(text_of(ctx, where, f, "encoder", true, &c->path));
    WHET_TRY(text_of(ctx, where, f, "fingerprint", true, &c->fingerprint));
    WHET_TRY(text_of(ctx, where, f, "pooling", false, &c->pooling));
    WHET_TRY(text_of(ctx, where, f, "dtype", false, &c->dtype));
    WHET_TRY(whet_i_json_int(ctx, where, f, "max_length", 0, INT32_MAX, &c->meta.max_length));
    c->meta.encoder_path = c->path;
    c->meta.encoder_fingerprint = c->fingerprint;
    c->meta.pooling = c->pooling;
    c->meta.dtype = c->dtype;
    return WHET_OK;
}

/* The folder has one name, so that no file says where another is looked for. */
static whet_status read_second(whet_ctx *ctx, const char *where, const json_t *o,
                               whet_classifier *c) {
    json_t *second;
    whet_str folder;
    if (!json_object_get(o, "averaged_with")) return WHET_OK;
    WHET_TRY(whet_i_json_object(ctx, where, o, "averaged_with", &second));
    WHET_TRY(whet_i_json_str(ctx, where, second, "folder", &folder));
    WHET_TRY(whet_i_json_real(ctx, where, second, "share", &c->meta.beside));
    if (!whet_str_equal(folder, whet_str_from(WHET_I_FROZEN_FOLDER)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: \"folder\" of a second classifier is not \"%s\"", where,
                           WHET_I_FROZEN_FOLDER);
    if (!(c->meta.beside > 0 && c->meta.beside < 1))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"share\" is %g; expected above 0, below 1",
                           where, c->meta.beside);
    return WHET_OK;
}

static whet_status read_preparation(whet_ctx *ctx, const char *where, const json_t *o,
                                    whet_classifier *c) {
    whet_i_prepare *p = &c->pool.prepare;
    whet_str kind;
    int at = 0;
    WHET_TRY(whet_i_json_int(ctx, where, o, "dimension", 1, MOST_DIMENSION, &p->d_in));
    WHET_TRY(whet_i_json_int(ctx, where, o, "neighbours", 1, MOST_NEIGHBOURS, &c->pool.m));
    WHET_TRY(whet_i_json_str(ctx, where, o, "preparation", &kind));
    while (at < 3 && !whet_str_equal(kind, whet_str_from(whet_i_preparation_names[at]))) at++;
    if (at == 3)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"preparation\" is not known", where);
    p->kind = (whet_i_preparation)at;
    p->d = p->d_in + (p->kind == WHET_I_STANDARD ? 1 : 0);
    c->pool.d = p->d;
    return WHET_OK;
}

static whet_status read_parts(whet_ctx *ctx, const char *where, const json_t *o,
                              whet_classifier *c) {
    json_t *list;
    double sum = 0;
    WHET_TRY(whet_i_json_array(ctx, where, o, "parts", &list));
    const int64_t n = (int64_t)json_array_size(list);
    if (n < 1 || n > WHET_I_MOST_PARTS)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %lld parts; expected 1 to %d", where,
                           (long long)n, WHET_I_MOST_PARTS);
    for (int64_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        char quoted[WHET_QUOTE_SIZE];
        whet_str name;
        whet_i_part *p = &c->parts[i];
        WHET_TRY(whet_i_json_str(ctx, where, item, "candidate", &name));
        WHET_TRY(whet_i_json_real(ctx, where, item, "weight", &p->weight));
        p->candidate = whet_i_candidate_find(name.ptr, name.len);
        if (!p->candidate)
            return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                               "%s: part %lld is %s; expected a "
                               "candidate that this version knows",
                               where, (long long)i, whet_i_quote(quoted, name));
        if (!(p->weight > 0 && p->weight <= 1))
            return whet_i_fail(ctx, WHET_ERR_FORMAT,
                               "%s: part %lld has weight %g; expected above "
                               "0 to 1",
                               where, (long long)i, p->weight);
        c->n = i + 1;
        sum += p->weight;
    }
    if (!(sum > 1 - 1e-6 && sum < 1 + 1e-6))
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: the parts' weights sum to %g; expected 1",
                           where, sum);
    return WHET_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* Beside an encoder it has some of the columns, and its projection says how many. */
static whet_status load_tfidf(whet_ctx *ctx, const whet_i_source *source, whet_classifier *c) {
    const int64_t most = c->pool.prepare.d_in;
    WHET_TRY(whet_i_tfidf_get(ctx, source, c->meta.encoder_path ? -1 : most, &c->tfidf));
    const int64_t dim = whet_tfidf_dim(c->tfidf);
    if (dim < 1 || dim > most)
        return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: TF-IDF has %lld columns; expected 1 to %lld",
                           source->path, (long long)dim, (long long)most);
    c->meta.tfidf = c->tfidf;
    return WHET_OK;
}

static whet_status load_arrays(whet_ctx *ctx, const whet_i_source *source, bool tfidf,
                               whet_classifier *c) {
    whet_i_prepare *p = &c->pool.prepare;
    if (p->kind == WHET_I_STANDARD) {
        WHET_TRY(
            whet_i_source_get(ctx, source, "prepare", "mean", WHET_F64, &p->d_in, NULL, &p->mean));
        WHET_TRY(whet_i_source_get(ctx, source, "prepare", "scale", WHET_F64, &p->d_in, NULL,
                                   &p->scale));
    }
    c->pool.n = -1;
    if (whet_i_parts_need_neighbours(c->parts, c->n)) {
        WHET_TRY(whet_i_source_get(ctx, source, "pool", "x", WHET_F32, &c->pool.n, &c->pool.d,
                                   &c->pool.x));
        if (c->pool.m > c->pool.n)
            return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: %lld neighbours among %lld rows",
                               source->path, (long long)c->pool.m, (long long)c->pool.n);
    }
    for (int64_t i = 0; i < c->n; i++) {
        const whet_i_candidate *candidate = c->parts[i].candidate;
        WHET_TRY(candidate->load(ctx, source, candidate->name, &c->pool, &c->parts[i].model));
    }
    return tfidf ? load_tfidf(ctx, source, c) : WHET_OK;
}

static whet_status read_document(whet_ctx *ctx, const char *where, const json_t *o,
                                 whet_classifier *c, bool *tfidf) {
    json_t *f;
    whet_str source;
    WHET_TRY(read_head(ctx, where, o, c));
    WHET_TRY(read_classes(ctx, where, o, c));
    WHET_TRY(read_class_texts(ctx, where, o, c));
    WHET_TRY(read_features(ctx, where, o, c));
    WHET_TRY(read_second(ctx, where, o, c));
    WHET_TRY(read_preparation(ctx, where, o, c));
    WHET_TRY(read_parts(ctx, where, o, c));
    WHET_TRY(whet_i_json_object(ctx, where, o, "features", &f));
    WHET_TRY(whet_i_json_str(ctx, where, f, "source", &source));
    *tfidf = whet_str_equal(source, whet_str_from("tfidf")) ||
             whet_str_equal(source, whet_str_from("encoder+tfidf"));
    return WHET_OK;
}

whet_status whet_i_classifier_parse(whet_ctx *ctx, const char *where, const json_t *document,
                                    const whet_i_source *source, whet_classifier **out) {
    whet_status status = WHET_OK;
    whet_classifier *c = NULL;
    bool tfidf;
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &c));
    WHET_TRY_DONE(read_document(ctx, where, document, c, &tfidf));
    WHET_TRY_DONE(load_arrays(ctx, source, tfidf, c));
    *out = c;
    c = NULL;
done:
    whet_classifier_destroy(ctx, c);
    return status;
}

static whet_status load_one(whet_ctx *ctx, const char *dir_path, whet_classifier **out) {
    whet_status status = WHET_OK;
    char *json_path = NULL, *tensor_path = NULL;
    json_t *document = NULL;
    whet_safetensors *file = NULL;
    WHET_TRY_DONE(whet_i_join_path(ctx, dir_path, WHET_I_CLASSIFIER_JSON, &json_path));
    WHET_TRY_DONE(whet_i_join_path(ctx, dir_path, WHET_I_CLASSIFIER_TENSORS, &tensor_path));
    WHET_TRY_DONE(whet_i_json_read(ctx, json_path, MOST_JSON, &document));
    WHET_TRY_DONE(whet_safetensors_open(ctx, tensor_path, &file));
    const whet_i_source source = {file, tensor_path};
    WHET_TRY_DONE(whet_i_classifier_parse(ctx, json_path, document, &source, out));
done:
    whet_safetensors_close(ctx, file);
    json_decref(document);
    whet_i_free(ctx, json_path);
    whet_i_free(ctx, tensor_path);
    return status;
}

static whet_status load_second(whet_ctx *ctx, const char *dir_path, whet_classifier *c) {
    char *path;
    WHET_TRY(whet_i_join_path(ctx, dir_path, WHET_I_FROZEN_FOLDER, &path));
    whet_status status = load_one(ctx, path, &c->beside);
    bool same = status == WHET_OK && c->beside->pool.k == c->pool.k;
    for (int64_t i = 0; same && i < c->pool.k; i++)
        same = whet_str_equal(whet_names_get(c->classes, i), whet_names_get(c->beside->classes, i));
    if (status == WHET_OK && (!same || c->beside->meta.beside > 0))
        status = whet_i_fail(ctx, WHET_ERR_FORMAT,
                             "%s: a second classifier of other classes, or with a third; expected "
                             "the classes of %s, and no third",
                             path, dir_path);
    whet_i_free(ctx, path);
    return status;
}

whet_status whet_classifier_load(whet_ctx *ctx, const char *dir_path, whet_classifier **out) {
    whet_classifier *c = NULL;
    WHET_TRY(load_one(ctx, dir_path, &c));
    const whet_status status = c->meta.beside > 0 ? load_second(ctx, dir_path, c) : WHET_OK;
    if (status == WHET_OK)
        *out = c;
    else
        whet_classifier_destroy(ctx, c);
    return status;
}

/* ---- answers --------------------------------------------------------------------------------- */

const whet_names *whet_classifier_classes(const whet_classifier *classifier) {
    return classifier->classes;
}

int64_t whet_classifier_dim(const whet_classifier *classifier) {
    return classifier->pool.prepare.d_in;
}

const char *whet_classifier_candidate(const whet_classifier *classifier) {
    return classifier->candidate;
}

const char *whet_classifier_settings(const whet_classifier *classifier) {
    return classifier->settings;
}

const whet_classifier_meta *whet_classifier_source(const whet_classifier *classifier) {
    return &classifier->meta;
}

const whet_classifier *whet_classifier_beside(const whet_classifier *classifier) {
    return classifier->beside;
}

whet_status whet_classifier_predict(whet_ctx *ctx, const whet_classifier *classifier,
                                    const float *features, int64_t n, double *probs) {
    whet_status status = WHET_OK;
    whet_i_query rows = {0};
    WHET_TRY_DONE(whet_i_query_make(ctx, &classifier->pool, features, n,
                                    whet_i_parts_need_neighbours(classifier->parts, classifier->n),
                                    &rows));
    WHET_TRY_DONE(whet_i_parts_predict(ctx, classifier->parts, classifier->n, classifier->pool.k,
                                       &rows, probs));
done:
    whet_i_query_free(ctx, &rows);
    return status;
}
