/* SPDX-License-Identifier: Apache-2.0
 * Feature maps of the AutoWS comparison: fitted to the rows of the split that are not tested, never to those
 * that are. Another map is a function and a row of the table.
 * Legend: n rows, d columns, k classes. */
#include <inttypes.h>
#include <unistd.h>

#include "adapt/adapt_i.h"
#include "bench/autows_i.h"
#include "label/label_i.h"

#include "whet/adapt.h"
#include "whet/label.h"

enum { PCA_COLUMNS = 100, TFIDF_COLUMNS = 256, MOST_TOKENS = 256 };

void whet_i_feature_rows_free(whet_ctx *ctx, whet_i_feature_rows *rows) {
    whet_i_free(ctx, rows->x);
    whet_i_free(ctx, rows->test);
    whet_i_free(ctx, rows->class_vectors);
    *rows = (whet_i_feature_rows){0};
}

static whet_status make_room(whet_ctx *ctx, const whet_i_set_split *split, int64_t d,
                             whet_i_feature_rows *out) {
    int64_t cells, test_cells;
    out->d = d;
    WHET_TRY(whet_i_mul(ctx, split->n, d, &cells));
    WHET_TRY(whet_i_mul(ctx, split->n_test, d, &test_cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &out->x));
    return whet_i_alloc(ctx, test_cells, &out->test);
}

/* ---- as they are ------------------------------------------------ */

static void image_row(const whet_i_set_data *data, int64_t row, float *out) {
    uint8_t changed[WHET_I_SPHERE_PIXELS];
    const int64_t size = data->height * data->width * data->channels;
    const uint8_t *image = data->pixels + row * size;
    if (data->set->change == WHET_I_IMAGE_PERMUTED) whet_i_image_permute(image, changed);
    if (data->set->change == WHET_I_IMAGE_SPHERICAL)
        whet_i_image_to_sphere(image, data->rotation + 9 * row, changed);
    if (data->set->change != WHET_I_IMAGE_AS_IS) image = changed;
    for (int64_t j = 0; j < data->d; j++) out[j] = (float)image[j] / 255.F;
}

typedef struct copying {
    const whet_i_set_data *data;
    const int64_t *rows;
    float *out;
} copying;

static void copy_row(void *arg, int64_t i, int32_t worker) {
    const copying *c = arg;
    const int64_t d = c->data->d;
    (void)worker;
    if (c->data->pixels)
        image_row(c->data, c->rows[i], c->out + i * d);
    else
        memcpy(c->out + i * d, c->data->numbers + c->rows[i] * d, (size_t)d * sizeof(float));
}

static whet_status raw(whet_ctx *ctx, const whet_i_feature_tools *tools,
                       const whet_i_set_data *data, const whet_i_set_split *split,
                       whet_i_feature_rows *out) {
    (void)tools;
    WHET_TRY(make_room(ctx, split, data->d, out));
    copying pool = {data, split->rows, out->x}, test = {data, split->test, out->test};
    WHET_TRY(whet_i_parallel_for(ctx, NULL, split->n, copy_row, &pool));
    return whet_i_parallel_for(ctx, NULL, split->n_test, copy_row, &test);
}

/* ---- texts ------------------------------------------------ */

static whet_status texts_of(whet_ctx *ctx, const whet_i_set_data *data, const int64_t *rows,
                            int64_t n, whet_str **out) {
    WHET_TRY(whet_i_alloc(ctx, n, out));
    for (int64_t i = 0; i < n; i++) (*out)[i] = data->texts[rows[i]];
    return WHET_OK;
}

static whet_status tfidf(whet_ctx *ctx, const whet_i_feature_tools *tools,
                         const whet_i_set_data *data, const whet_i_set_split *split,
                         whet_i_feature_rows *out) {
    whet_tfidf_opts opts = WHET_TFIDF_OPTS_INIT;
    whet_status status = WHET_OK;
    whet_str *pool = NULL, *test = NULL;
    whet_tfidf *map = NULL;
    opts.dim = TFIDF_COLUMNS;
    opts.seed = tools->seed;
    WHET_TRY_DONE(texts_of(ctx, data, split->rows, split->n, &pool));
    WHET_TRY_DONE(texts_of(ctx, data, split->test, split->n_test, &test));
    WHET_TRY_DONE(whet_tfidf_fit(ctx, pool, split->n, &opts, &map));
    WHET_TRY_DONE(make_room(ctx, split, whet_tfidf_dim(map), out));
    WHET_TRY_DONE(whet_tfidf_transform(ctx, map, pool, split->n, out->x));
    WHET_TRY_DONE(whet_tfidf_transform(ctx, map, test, split->n_test, out->test));
done:
    whet_tfidf_destroy(ctx, map);
    whet_i_free(ctx, pool);
    whet_i_free(ctx, test);
    return status;
}

/* What a class means: as the set's row says, else its name as words. */
static whet_status meaning_of(whet_ctx *ctx, const whet_i_set_data *data, int64_t c, char **out) {
    const whet_str name = whet_names_get(data->classes, c);
    for (const char *at = data->set->meanings; at && *at;) {
        const char *equals = strchr(at, '='), *end = strchr(at, '|');
        if (!end) end = at + strlen(at);
        if (equals && whet_str_equal((whet_str){at, equals - at}, name))
            return whet_i_strdup(ctx, (whet_str){equals + 1, end - equals - 1}, out);
        at = *end ? end + 1 : end;
    }
    return whet_class_text(ctx, name, out);
}

static whet_status embed_classes(whet_ctx *ctx, const whet_encoder *encoder,
                                 whet_i_set_data *data) {
    whet_str *texts;
    whet_status status = WHET_OK;
    WHET_TRY(whet_i_calloc(ctx, data->k, &texts));
    for (int64_t c = 0; status == WHET_OK && c < data->k; c++) {
        char *text = NULL;
        status = meaning_of(ctx, data, c, &text);
        if (status == WHET_OK) texts[c] = whet_str_from(text);
    }
    if (status == WHET_OK)
        status = whet_i_alloc(ctx, data->k * data->embedded_d, &data->class_vectors);
    if (status == WHET_OK)
        status = whet_encoder_embed(ctx, encoder, texts, data->k, data->class_vectors);
    for (int64_t c = 0; c < data->k; c++) whet_free_text(ctx, (char *)(uintptr_t)texts[c].ptr);
    whet_i_free(ctx, texts);
    return status;
}

/* All rows of the set, once: kept in a file that tells the encoder. */
static whet_status embed_all(whet_ctx *ctx, const whet_i_feature_tools *tools,
                             whet_i_set_data *data) {
    whet_i_buf path = {0};
    whet_tensor kept = {0};
    whet_status status = WHET_OK;
    const int64_t d = whet_encoder_dim(tools->encoder);
    data->embedded_d = d;
    WHET_TRY_DONE(whet_i_buf_printf(ctx, &path, "%s/%s-%s.npy", tools->cache, data->set->name,
                                    whet_encoder_fingerprint(tools->encoder)));
    WHET_TRY_DONE(whet_i_alloc(ctx, data->n * d, &data->embedded));
    if (access(path.data, R_OK) == 0) {
        WHET_TRY_DONE(whet_array_read_as(ctx, path.data, WHET_F32, 2, true, &kept));
        if (kept.shape[0] != data->n || kept.shape[1] != d) {
            status = whet_i_fail(ctx, WHET_ERR_SHAPE,
                                 "%s is not of the %" PRId64 " rows of %s; remove it", path.data,
                                 data->n, data->set->name);
            goto done;
        }
        memcpy(data->embedded, kept.data, (size_t)(data->n * d) * sizeof(float));
    } else {
        WHET_TRY_DONE(
            whet_encoder_embed(ctx, tools->encoder, data->texts, data->n, data->embedded));
        const whet_tensor made = {data->embedded, WHET_F32, 2, {data->n, d}};
        WHET_TRY_DONE(whet_npy_write(ctx, path.data, true, &made));
    }
    status = embed_classes(ctx, tools->encoder, data);
done:
    whet_tensor_destroy(ctx, &kept);
    whet_i_buf_free(ctx, &path);
    return status;
}

whet_status whet_i_set_embed(whet_ctx *ctx, const whet_i_feature_tools *tools,
                             whet_i_set_data *data) {
    if (!tools->encoder || data->set->kind != WHET_I_SET_TEXTS || data->embedded) return WHET_OK;
    return embed_all(ctx, tools, data);
}

static whet_status encoder(whet_ctx *ctx, const whet_i_feature_tools *tools,
                           const whet_i_set_data *data, const whet_i_set_split *split,
                           whet_i_feature_rows *out) {
    const int64_t d = data->embedded_d;
    const size_t row = (size_t)d * sizeof(float);
    (void)tools;
    WHET_TRY(make_room(ctx, split, d, out));
    WHET_TRY(whet_i_alloc(ctx, data->k * d, &out->class_vectors));
    memcpy(out->class_vectors, data->class_vectors, (size_t)data->k * row);
    for (int64_t i = 0; i < split->n; i++)
        memcpy(out->x + i * d, data->embedded + split->rows[i] * d, row);
    for (int64_t i = 0; i < split->n_test; i++)
        memcpy(out->test + i * d, data->embedded + split->test[i] * d, row);
    return WHET_OK;
}

/* As whet adapt puts them side by side, whatever the labels say. */
static whet_status both(whet_ctx *ctx, const whet_i_feature_tools *tools,
                        const whet_i_set_data *data, const whet_i_set_split *split,
                        whet_i_feature_rows *out) {
    whet_i_feature_rows meaning = {0}, words = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(encoder(ctx, tools, data, split, &meaning));
    WHET_TRY_DONE(tfidf(ctx, tools, data, split, &words));
    WHET_TRY_DONE(make_room(ctx, split, meaning.d + words.d, out));
    whet_i_join_words(meaning.x, words.x, split->n, meaning.d, words.d, WHET_I_WORDS_SHARE, out->x);
    whet_i_join_words(meaning.test, words.test, split->n_test, meaning.d, words.d,
                      WHET_I_WORDS_SHARE, out->test);
done:
    whet_i_feature_rows_free(ctx, &meaning);
    whet_i_feature_rows_free(ctx, &words);
    return status;
}

/* ---- maps of those ------------------------------------------------ */

static whet_status base_of(whet_ctx *ctx, const whet_i_feature_tools *tools,
                           const whet_i_set_data *data, const whet_i_set_split *split,
                           whet_i_feature_rows *out) {
    if (data->set->kind != WHET_I_SET_TEXTS) return raw(ctx, tools, data, split, out);
    return data->embedded ? encoder(ctx, tools, data, split, out)
                          : tfidf(ctx, tools, data, split, out);
}

static whet_status pca(whet_ctx *ctx, const whet_i_feature_tools *tools,
                       const whet_i_set_data *data, const whet_i_set_split *split,
                       whet_i_feature_rows *out) {
    whet_i_feature_rows base = {0};
    whet_i_components components = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(base_of(ctx, tools, data, split, &base));
    const int64_t most = split->n < base.d ? split->n : base.d;
    const int64_t dim = most < PCA_COLUMNS ? most : PCA_COLUMNS;
    WHET_TRY_DONE(whet_i_components_fit(ctx, base.x, split->n, base.d, dim, &components));
    WHET_TRY_DONE(make_room(ctx, split, dim, out));
    WHET_TRY_DONE(whet_i_components_apply(ctx, &components, base.x, split->n, out->x));
    WHET_TRY_DONE(whet_i_components_apply(ctx, &components, base.test, split->n_test, out->test));
done:
    whet_i_components_free(ctx, &components);
    whet_i_feature_rows_free(ctx, &base);
    return status;
}

/* Rows in [0, 1], as networks for images want them: flows by the range of each. */
static void into_unit_range(float *x, int64_t n, int64_t d) {
    for (int64_t i = 0; i < n; i++) {
        float *row = x + i * d, low = row[0], high = row[0];
        for (int64_t j = 1; j < d; j++) {
            low = row[j] < low ? row[j] : low;
            high = row[j] > high ? row[j] : high;
        }
        const float range = high > low ? high - low : 1;
        for (int64_t j = 0; j < d; j++) row[j] = (row[j] - low) / range;
    }
}

static whet_status image_base(whet_ctx *ctx, const whet_i_feature_tools *tools,
                              const whet_i_set_data *data, const whet_i_set_split *split,
                              whet_i_feature_rows *out) {
    WHET_TRY(raw(ctx, tools, data, split, out));
    if (data->set->kind != WHET_I_SET_FLOWS) return WHET_OK;
    into_unit_range(out->x, split->n, out->d);
    into_unit_range(out->test, split->n_test, out->d);
    return WHET_OK;
}

static whet_status vae(whet_ctx *ctx, const whet_i_feature_tools *tools,
                       const whet_i_set_data *data, const whet_i_set_split *split,
                       whet_i_feature_rows *out) {
    whet_i_feature_rows base = {0};
    whet_i_vae_map *map = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(image_base(ctx, tools, data, split, &base));
    WHET_TRY_DONE(whet_i_vae_map_fit(ctx, base.x, split->n, base.d, tools->seed, &map));
    WHET_TRY_DONE(make_room(ctx, split, whet_i_vae_map_dim(map), out));
    WHET_TRY_DONE(whet_i_vae_map_apply(ctx, map, base.x, split->n, out->x));
    WHET_TRY_DONE(whet_i_vae_map_apply(ctx, map, base.test, split->n_test, out->test));
done:
    whet_i_vae_map_destroy(ctx, map);
    whet_i_feature_rows_free(ctx, &base);
    return status;
}

static whet_status resnet(whet_ctx *ctx, const whet_i_feature_tools *tools,
                          const whet_i_set_data *data, const whet_i_set_split *split,
                          whet_i_feature_rows *out) {
    const bool sphere = data->set->change == WHET_I_IMAGE_SPHERICAL;
    const int64_t h = sphere ? WHET_I_SPHERE_SIDE : data->height, w = sphere ? h : data->width;
    whet_i_feature_rows base = {0};
    whet_i_resnet_map *map = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(image_base(ctx, tools, data, split, &base));
    WHET_TRY_DONE(whet_i_resnet_map_load(ctx, tools->resnet, &map));
    WHET_TRY_DONE(make_room(ctx, split, whet_i_resnet_map_dim(map), out));
    WHET_TRY_DONE(
        whet_i_resnet_map_apply(ctx, map, base.x, split->n, h, w, data->channels, out->x));
    WHET_TRY_DONE(whet_i_resnet_map_apply(ctx, map, base.test, split->n_test, h, w, data->channels,
                                          out->test));
done:
    whet_i_resnet_map_destroy(ctx, map);
    whet_i_feature_rows_free(ctx, &base);
    return status;
}

/* ---- the table ------------------------------------------------ */

const whet_i_feature whet_i_features[] = {
    {"raw", WHET_I_SET_TABLE | WHET_I_SET_SERIES | WHET_I_SET_IMAGES | WHET_I_SET_FLOWS, false,
     false, raw},
    {"encoder", WHET_I_SET_TEXTS, true, false, encoder},
    {"tfidf", WHET_I_SET_TEXTS, false, false, tfidf},
    {"encoder+tfidf", WHET_I_SET_TEXTS, true, false, both},
    {"pca",
     WHET_I_SET_TEXTS | WHET_I_SET_TABLE | WHET_I_SET_SERIES | WHET_I_SET_IMAGES | WHET_I_SET_FLOWS,
     false, false, pca},
    {"vae", WHET_I_SET_IMAGES, false, false, vae},
    {"resnet", WHET_I_SET_IMAGES | WHET_I_SET_FLOWS, false, true, resnet},
};

int64_t whet_i_feature_count(void) { return WHET_COUNT_OF(whet_i_features); }

bool whet_i_feature_fits(const whet_i_feature *feature, const whet_i_set *set,
                         const whet_i_feature_tools *tools) {
    if (!(feature->kinds & (uint32_t)set->kind)) return false;
    if (feature->needs_encoder && !tools->encoder) return false;
    return !feature->needs_resnet || (tools->resnet && !set->of_cifar);
}
