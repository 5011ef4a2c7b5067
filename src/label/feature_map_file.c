/* SPDX-License-Identifier: Apache-2.0
 * A fitted map to features as one safetensors file: docs/formats/features.md. What was fitted in one run
 * gives later rows the bits that it would have given then. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"
#include "label/feature_map.h"

enum { VERSION = 1, FIELD_SIZE = 24, MOST_SIDE = 1 << 20 };

#define FORMAT "whet-features"

static const char *const method_names[] = {"tfidf", "pca", "vae", "resnet"};

const char *whet_i_feature_map_fingerprint(const whet_i_feature_map *map, char out[17]) {
    (void)snprintf(out, 17, "%016" PRIx64, map->fingerprint);
    return out;
}

/* ---- fingerprint ------------------------------------------------------------------------------ */

/* Summed over the tensors: their order in the file does not count, their names do. */
static uint64_t hash_tensor(whet_str name, const whet_tensor *t) {
    uint64_t hash = whet_i_hash_bytes(name.ptr, name.len);
    const int64_t bytes = whet_tensor_count(t) * (int64_t)whet_dtype_size(t->dtype);
    hash = whet_i_hash_u64(hash ^ (uint64_t)t->dtype);
    for (int32_t i = 0; i < t->rank; i++) hash = whet_i_hash_u64(hash ^ (uint64_t)t->shape[i]);
    return whet_i_hash_u64(hash ^ whet_i_hash_long(t->data, bytes));
}

static uint64_t hash_settings(const whet_i_feature_map *map) {
    const int64_t settings[] = {(int64_t)map->method, map->d, map->height, map->width};
    uint64_t hash = 0;
    for (int64_t i = 0; i < WHET_COUNT_OF(settings); i++)
        hash = whet_i_hash_u64(hash ^ (uint64_t)settings[i]);
    return hash;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static whet_status put_components(whet_ctx *ctx, const whet_i_components *c, whet_i_store *store) {
    WHET_TRY(whet_i_store_put(ctx, store, "pca", "axes", WHET_F64, c->axes, c->d, c->dim));
    WHET_TRY(whet_i_store_put(ctx, store, "pca", "at_mean", WHET_F64, c->at_mean, c->dim, 0));
    return whet_i_store_put(ctx, store, "pca", "deviation", WHET_F64, c->deviation, c->dim, 0);
}

static whet_status put_arrays(whet_ctx *ctx, const whet_i_feature_map *map, whet_i_buf *terms,
                              whet_i_store *store) {
    if (map->tfidf) return whet_i_tfidf_put(ctx, map->tfidf, terms, store);
    if (map->vae) return whet_i_vae_map_put(ctx, map->vae, store);
    if (map->resnet) return whet_i_resnet_map_put(ctx, map->resnet, store);
    return put_components(ctx, &map->components, store);
}

whet_status whet_i_feature_map_save(whet_ctx *ctx, const whet_i_feature_map *map, const char *path,
                                    bool force) {
    const int64_t fields[] = {VERSION, map->d, map->height, map->width};
    char text[5][FIELD_SIZE];
    whet_i_store store = {0};
    whet_i_buf terms = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(put_arrays(ctx, map, &terms, &store));
    uint64_t sum = hash_settings(map);
    for (int64_t i = 0; i < store.n; i++)
        sum += hash_tensor(whet_str_from(store.items[i].name), &store.items[i].tensor);
    for (int i = 0; i < 4; i++) (void)snprintf(text[i], FIELD_SIZE, "%" PRId64, fields[i]);
    (void)snprintf(text[4], FIELD_SIZE, "%016" PRIx64, sum);
    const char *const metadata[] = {
        "format",      FORMAT,  "version", text[0], "method", method_names[map->method],
        "d",           text[1], "height",  text[2], "width",  text[3],
        "fingerprint", text[4], NULL};
    WHET_TRY_DONE(whet_safetensors_write(ctx, path, force, store.items, store.n, metadata));
done:
    whet_i_store_free(ctx, &store);
    whet_i_buf_free(ctx, &terms);
    return status;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static whet_status read_count(whet_ctx *ctx, const whet_i_feature_map *map, const char *key,
                              int64_t most, int64_t *out) {
    char quoted[WHET_QUOTE_SIZE];
    const whet_str text = whet_safetensors_metadata(map->file, key);
    if (text.ptr && whet_i_parse_int(text, out) && *out >= 0 && *out <= most) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: \"%s\" is %s; expected a number up to %" PRId64,
                       map->from, key, text.ptr ? whet_i_quote(quoted, text) : "missing", most);
}

static whet_status read_head(whet_ctx *ctx, whet_i_feature_map *map) {
    char quoted[WHET_QUOTE_SIZE];
    int64_t version;
    int at = 0;
    if (!whet_str_equal(whet_safetensors_metadata(map->file, "format"), whet_str_from(FORMAT)))
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: no map to features; expected a file that whet label features "
                           "--save-map wrote",
                           map->from);
    WHET_TRY(read_count(ctx, map, "version", INT32_MAX, &version));
    if (version != VERSION)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED, "%s: version %" PRId64 "; expected %d",
                           map->from, version, VERSION);
    const whet_str method = whet_safetensors_metadata(map->file, "method");
    while (at < WHET_COUNT_OF(method_names) &&
           !whet_str_equal(method, whet_str_from(method_names[at])))
        at++;
    if (at == WHET_COUNT_OF(method_names))
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: \"method\" is %s; expected tfidf, pca, vae or resnet", map->from,
                           method.ptr ? whet_i_quote(quoted, method) : "missing");
    map->method = (whet_features)at;
    WHET_TRY(read_count(ctx, map, "d", INT32_MAX, &map->d));
    WHET_TRY(read_count(ctx, map, "height", MOST_SIDE, &map->height));
    WHET_TRY(read_count(ctx, map, "width", MOST_SIDE, &map->width));
    if (map->d > 0 || map->method == WHET_FEATURES_TFIDF) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: rows of no numbers; expected some", map->from);
}

static whet_status check_fingerprint(whet_ctx *ctx, whet_i_feature_map *map) {
    char found[17], quoted[WHET_QUOTE_SIZE];
    const whet_str expected = whet_safetensors_metadata(map->file, "fingerprint");
    uint64_t sum = hash_settings(map);
    for (int64_t i = 0; i < whet_safetensors_count(map->file); i++) {
        const whet_str name = whet_safetensors_name(map->file, i);
        whet_tensor t;
        if (whet_safetensors_find(map->file, name.ptr, &t)) sum += hash_tensor(name, &t);
    }
    map->fingerprint = sum;
    if (whet_str_equal(expected, whet_str_from(whet_i_feature_map_fingerprint(map, found))))
        return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_DATA,
                       "%s: its numbers have the fingerprint %s; expected %s, as when it was saved",
                       map->from, found, expected.ptr ? whet_i_quote(quoted, expected) : "one");
}

static whet_status get_components(whet_ctx *ctx, const whet_i_source *source,
                                  whet_i_feature_map *map) {
    whet_i_components *c = &map->components;
    c->d = map->d;
    c->dim = -1;
    WHET_TRY(whet_i_source_get(ctx, source, "pca", "axes", WHET_F64, &c->d, &c->dim, &c->axes));
    WHET_TRY(
        whet_i_source_get(ctx, source, "pca", "at_mean", WHET_F64, &c->dim, NULL, &c->at_mean));
    WHET_TRY(
        whet_i_source_get(ctx, source, "pca", "deviation", WHET_F64, &c->dim, NULL, &c->deviation));
    map->dim = c->dim;
    return WHET_OK;
}

static whet_status get_arrays(whet_ctx *ctx, whet_i_feature_map *map) {
    const whet_i_source source = {map->file, map->from};
    switch (map->method) {
    case WHET_FEATURES_TFIDF:
        WHET_TRY(whet_i_tfidf_get(ctx, &source, -1, &map->tfidf));
        map->dim = whet_tfidf_dim(map->tfidf);
        return WHET_OK;
    case WHET_FEATURES_PCA: return get_components(ctx, &source, map);
    case WHET_FEATURES_VAE:
        WHET_TRY(whet_i_vae_map_get(ctx, &source, map->d, &map->vae));
        map->dim = whet_i_vae_map_dim(map->vae);
        return WHET_OK;
    case WHET_FEATURES_RESNET:
        WHET_TRY(whet_i_resnet_map_get(ctx, &source, &map->resnet));
        map->dim = whet_i_resnet_map_dim(map->resnet);
        return WHET_OK;
    }
    return WHET_OK;
}

static whet_status take(whet_ctx *ctx, whet_i_feature_map *map, const char *where) {
    WHET_TRY(whet_i_strdup(ctx, whet_str_from(where), &map->from));
    WHET_TRY(read_head(ctx, map));
    WHET_TRY(check_fingerprint(ctx, map));
    WHET_TRY(get_arrays(ctx, map));
    if (map->dim > 0) return WHET_OK;
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: no columns come out; expected some", where);
}

whet_status whet_i_feature_map_take(whet_ctx *ctx, whet_safetensors *file, const char *where,
                                    whet_i_feature_map **out) {
    whet_i_feature_map *map = NULL;
    whet_status status = whet_i_calloc(ctx, 1, &map);
    if (status != WHET_OK) {
        whet_safetensors_close(ctx, file);
        return status;
    }
    map->loaded = true;
    map->file = file;
    status = take(ctx, map, where);
    if (status == WHET_OK)
        *out = map;
    else
        whet_i_feature_map_destroy(ctx, map);
    return status;
}

whet_status whet_i_feature_map_load(whet_ctx *ctx, const char *path, whet_i_feature_map **out) {
    whet_safetensors *file;
    WHET_TRY(whet_safetensors_open(ctx, path, &file));
    return whet_i_feature_map_take(ctx, file, path, out);
}
