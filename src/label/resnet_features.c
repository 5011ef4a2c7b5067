/* SPDX-License-Identifier: Apache-2.0
 * Features of images from a pretrained residual network for CIFAR (He et al. 2016, section 4.2;
 * nn/model_resnet.c): the mean of each of the last 64 channels, what its linear layer reads.
 *
 * It has learned from images of 32 x 32 that their object fills. Others are brought to that size, both
 * axes by themselves, rather than padded: a border would be an edge that is not in the image, an object
 * smaller than any that was seen, and larger images have to shrink in any case. Bilinear, over a
 * triangle as wide as an output pixel where the image shrinks, so that no pixel is skipped: what torch's
 * interpolate(mode="bilinear", antialias=True) and Pillow do. Grey is copied to three channels. Then each
 * channel less ImageNet's mean, over its deviation, as the checkpoints were trained.
 * Legend: n images of h x w pixels and c channels. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "label/image_features.h"
#include "label/network_rows.h"

enum { SIDE = 32, COLORS = 3, BLOCKS_MOST = 200, NAME_SIZE = 256 };

static const double MEAN[COLORS] = {.485, .456, .406}, DEVIATION[COLORS] = {.229, .224, .225};
static const char PREFIX[] = "module."; /* of what torch's DataParallel has saved */

struct whet_i_resnet_map {
    whet_safetensors *file; /* NULL: the caller's */
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value features; /* [B, 64] */
};

void whet_i_resnet_map_destroy(whet_ctx *ctx, whet_i_resnet_map *map) {
    if (!map) return;
    whet_i_graph_destroy(ctx, map->graph);
    whet_i_params_destroy(ctx, map->params);
    whet_safetensors_close(ctx, map->file);
    whet_i_free(ctx, map);
}

int64_t whet_i_resnet_map_dim(const whet_i_resnet_map *map) {
    return whet_i_columns(map->graph, map->features);
}

/* ---- weights ---------------------------------------------------------------------------------- */

/* The tensor of that name, with or without the prefix. */
static bool find(const whet_safetensors *file, const char *name, whet_tensor *out) {
    char full[NAME_SIZE + sizeof PREFIX];
    (void)snprintf(full, sizeof full, "%s%s", PREFIX, name);
    return whet_safetensors_find(file, name, out) || whet_safetensors_find(file, full, out);
}

/* Blocks a stage, and classes: they are in the file alone. */
static whet_status read_settings(whet_ctx *ctx, const whet_i_source *source,
                                 whet_i_model_settings *out) {
    char name[NAME_SIZE];
    whet_tensor t;
    whet_i_model_settings s = {.image = {SIDE, SIDE, COLORS}};
    for (; s.blocks < BLOCKS_MOST; s.blocks++) {
        (void)snprintf(name, sizeof name, "layer1.%" PRId64 ".conv1.weight", s.blocks);
        if (!find(source->file, name, &t)) break;
    }
    if (s.blocks == 0 || !find(source->file, "linear.weight", &t) || t.rank != 2)
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: no %s; expected a ResNet for images of 32 x 32, its tensors named "
                           "as those of pytorch_resnet_cifar10",
                           source->path,
                           s.blocks ? "matrix linear.weight" : "layer1.0.conv1.weight");
    s.classes = t.shape[0];
    *out = s;
    return WHET_OK;
}

static bool counts_batches(const char *name) {
    const char *end = strrchr(name, '.');
    return end && strcmp(end, ".num_batches_tracked") == 0;
}

/* Another network of like names (more stages, other shortcuts) would be read in part. */
static whet_status check_all_known(whet_ctx *ctx, const whet_i_source *source,
                                   const whet_i_resnet_map *map) {
    const size_t prefix = sizeof PREFIX - 1;
    char name[NAME_SIZE], quoted[WHET_QUOTE_SIZE];
    for (int64_t i = 0; i < whet_safetensors_count(source->file); i++) {
        const whet_str given = whet_safetensors_name(source->file, i);
        (void)snprintf(name, sizeof name, "%.*s",
                       (int)(given.len < NAME_SIZE ? given.len : NAME_SIZE), given.ptr);
        const char *bare = strncmp(name, PREFIX, prefix) == 0 ? name + prefix : name;
        if (whet_i_params_find(map->params, bare) >= 0 || counts_batches(bare)) continue;
        return whet_i_fail(ctx, WHET_ERR_FORMAT,
                           "%s: tensor %s is in no ResNet for images of 32 x 32 whose shortcuts "
                           "have no parameters; expected none but its own",
                           source->path, whet_i_quote(quoted, given));
    }
    return WHET_OK;
}

static whet_status get(whet_ctx *ctx, const whet_i_source *source, whet_i_resnet_map *map) {
    whet_i_model_settings settings;
    whet_i_model_values values;
    whet_i_value x;
    WHET_TRY(read_settings(ctx, source, &settings));
    WHET_TRY(whet_i_params_create(ctx, WHET_F32, &map->params));
    WHET_TRY(whet_i_graph_create(ctx, map->params, &map->graph));
    WHET_TRY(whet_i_graph_feed(ctx, map->graph, false, WHET_I_EXAMPLES, SIDE * SIDE * COLORS, &x));
    WHET_TRY(
        whet_i_model_record(ctx, map->graph, whet_i_model_find("resnet20"), &settings, x, &values));
    map->features = values.features;
    for (int64_t i = 0; i < map->params->n; i++) map->params->items[i].init = WHET_I_INIT_REQUIRED;
    WHET_TRY(whet_i_params_bind(ctx, map->params, source->file, source->path, PREFIX, NULL));
    WHET_TRY(check_all_known(ctx, source, map));
    WHET_TRY(whet_i_params_settle(ctx, map->params, 0));
    return whet_i_network_pack(ctx, map->graph, map->features);
}

whet_status whet_i_resnet_map_get(whet_ctx *ctx, const whet_i_source *source,
                                  whet_i_resnet_map **out) {
    whet_i_resnet_map *map = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &map));
    const whet_status status = get(ctx, source, map);
    if (status == WHET_OK)
        *out = map;
    else
        whet_i_resnet_map_destroy(ctx, map);
    return status;
}

whet_status whet_i_resnet_map_load(whet_ctx *ctx, const char *path, whet_i_resnet_map **out) {
    whet_safetensors *file = NULL;
    WHET_TRY(whet_safetensors_open(ctx, path, &file));
    const whet_i_source source = {file, path};
    whet_i_resnet_map *map = NULL;
    const whet_status status = whet_i_resnet_map_get(ctx, &source, &map);
    if (status != WHET_OK) {
        whet_safetensors_close(ctx, file);
        return status;
    }
    map->file = file;
    *out = map;
    return WHET_OK;
}

whet_status whet_i_resnet_map_put(whet_ctx *ctx, const whet_i_resnet_map *map,
                                  whet_i_store *store) {
    return whet_i_network_put(ctx, map->params, store);
}

/* ---- size ------------------------------------------------------------------------------------- */

/* Which pixels of an axis make each of SIDE output pixels, and with what weights. */
typedef struct axis {
    int64_t first[SIDE], count[SIDE], most;
    double *weight; /* [SIDE, most], sums of 1 */
} axis;

/* Pixel centres are at .5, 1.5, ...; the triangle reaches one pixel to each side, of the output when
 * the image shrinks, else of the image. */
static whet_status make_axis(whet_ctx *ctx, int64_t length, axis *out) {
    axis a = {0};
    int64_t cells;
    const double scale = (double)length / SIDE, reach = scale > 1 ? scale : 1;
    a.most = 2 * (int64_t)ceil(reach) + 1;
    WHET_TRY(whet_i_mul(ctx, SIDE, a.most, &cells));
    WHET_TRY(whet_i_alloc(ctx, cells, &a.weight));
    for (int64_t i = 0; i < SIDE; i++) {
        const double centre = ((double)i + .5) * scale;
        const int64_t end = (int64_t)(centre + reach + .5);
        double sum = 0, *weight = a.weight + i * a.most;
        a.first[i] = centre - reach + .5 > 0 ? (int64_t)(centre - reach + .5) : 0;
        a.count[i] = (end < length ? end : length) - a.first[i];
        for (int64_t j = 0; j < a.count[i]; j++) {
            const double off = fabs((double)(a.first[i] + j) + .5 - centre) / reach;
            weight[j] = off < 1 ? 1 - off : 0;
            sum += weight[j];
        }
        for (int64_t j = 0; j < a.count[i]; j++) weight[j] /= sum;
    }
    *out = a;
    return WHET_OK;
}

typedef struct images {
    const float *x; /* [n, h, w, c] */
    int64_t h, w, c;
    axis rows, columns;
    double *narrow; /* [threads][h, SIDE, c] an image of SIDE columns */
} images;

static void narrow_image(const images *m, const float *image, double *out) {
    for (int64_t y = 0; y < m->h; y++)
        for (int64_t i = 0; i < SIDE; i++) {
            const float *from = image + (y * m->w + m->columns.first[i]) * m->c;
            const double *weight = m->columns.weight + i * m->columns.most;
            for (int64_t c = 0; c < m->c; c++) {
                double sum = 0;
                for (int64_t j = 0; j < m->columns.count[i]; j++)
                    sum += weight[j] * (double)from[j * m->c + c];
                out[(y * SIDE + i) * m->c + c] = sum;
            }
        }
}

/* out [SIDE, SIDE, COLORS] as the network reads it. */
static void fill(void *arg, int64_t image, int32_t worker, float *out) {
    const images *m = arg;
    double *narrow = m->narrow + worker * m->h * SIDE * m->c;
    narrow_image(m, m->x + image * m->h * m->w * m->c, narrow);
    for (int64_t i = 0; i < SIDE; i++) {
        const double *weight = m->rows.weight + i * m->rows.most;
        for (int64_t j = 0; j < SIDE * COLORS; j++) {
            const int64_t color = j % COLORS, channel = m->c == 1 ? 0 : color;
            const double *from = narrow + (m->rows.first[i] * SIDE + j / COLORS) * m->c + channel;
            double sum = 0;
            for (int64_t y = 0; y < m->rows.count[i]; y++) sum += weight[y] * from[y * SIDE * m->c];
            out[i * SIDE * COLORS + j] = (float)((sum - MEAN[color]) / DEVIATION[color]);
        }
    }
}

/* ---- application ------------------------------------------------------------------------------ */

whet_status whet_i_resnet_map_apply(whet_ctx *ctx, const whet_i_resnet_map *map, const float *x,
                                    int64_t n, int64_t h, int64_t w, int64_t c, float *out) {
    images m = {.x = x, .h = h, .w = w, .c = c};
    int64_t cells;
    whet_status status = WHET_OK;
    if (h < 1 || w < 1 || (c != 1 && c != COLORS))
        return whet_i_fail(ctx, WHET_ERR_SHAPE,
                           "images of %" PRId64 " x %" PRId64 " x %" PRId64
                           "; expected height, width, and 1 or 3 channels",
                           h, w, c);
    WHET_TRY_DONE(make_axis(ctx, h, &m.rows));
    WHET_TRY_DONE(make_axis(ctx, w, &m.columns));
    WHET_TRY_DONE(whet_i_mul(ctx, whet_ctx_threads(ctx) * SIDE * c, h, &cells));
    WHET_TRY_DONE(whet_i_alloc(ctx, cells, &m.narrow));
    const whet_i_network_rows network = {"residual network",   map->graph, map->features,
                                         SIDE * SIDE * COLORS, fill,       &m};
    WHET_TRY_DONE(whet_i_network_rows_run(ctx, &network, n, out));
done:
    whet_i_free(ctx, m.rows.weight);
    whet_i_free(ctx, m.columns.weight);
    whet_i_free(ctx, m.narrow);
    return status;
}
