/* SPDX-License-Identifier: Apache-2.0
 * Features of images by networks. For those above this module through label_i.h; apart from it, as its
 * graphs of neighbours and the engine's graphs do not meet. */
#ifndef WHET_LABEL_IMAGE_FEATURES_H
#define WHET_LABEL_IMAGE_FEATURES_H

#include "whet/tensor.h"

#include "core/core_i.h"
#include "io/io_i.h"

/* ---- images as rows (image_rows.c) ------------------------------------------------------------- */

typedef struct whet_i_image_rows {
    int64_t n, d;                    /* d numbers an image, at least one of each */
    int64_t height, width, channels; /* d of them; 0, 0, 1 when the file has rows [n, d] */
    whet_tensor x;                   /* f32, as in the file; in [0, 1] */
} whet_i_image_rows;
/* An array [n, height, width], [n, height, width, channels] or [n, d] of bytes, which are divided by 255, or
 * of reals in [0, 1]. Errors: as whet_array_read; SHAPE (other dimensions), DATA (another type, no image, a
 * number out of range, by its image). */
WHET_CHECKED whet_status whet_i_image_rows_read(whet_ctx *ctx, const char *path,
                                                whet_i_image_rows *out);
void whet_i_image_rows_free(whet_ctx *ctx, whet_i_image_rows *images);

/* ---- features by a variational autoencoder (vae_features.c) ----------------------------------------- */

typedef struct whet_i_vae_map whet_i_vae_map;
/* Trains the autoencoder of the weak-supervision benchmark on x [n, d] in [0, 1], n >= 2: layers of d / 2,
 * d / 4 and 128 units (none narrower than 128), 128 latent numbers, mirrored; 20 epochs. Deterministic by
 * seed, at any thread count. Some 24 (d^2 + 640 d) bytes; O(n d^2) an epoch. Errors: DATA (fewer rows),
 * LIMIT, NOMEM, NUMERIC (it diverges), CANCELLED. Source: Kingma & Welling 2014, arXiv 1312.6114. */
WHET_CHECKED whet_status whet_i_vae_map_fit(whet_ctx *ctx, const float *x, int64_t n, int64_t d,
                                            uint64_t seed, whet_i_vae_map **out);
/* out [n, dim] = the posterior's mean of x [n, d]; a row's bits depend on that row alone. Reads the map
 * only. Errors: NOMEM, CANCELLED, DATA (not finite, as weights are not). */
WHET_CHECKED whet_status whet_i_vae_map_apply(whet_ctx *ctx, const whet_i_vae_map *map,
                                              const float *x, int64_t n, float *out);
int64_t whet_i_vae_map_dim(const whet_i_vae_map *map); /* 128 */
/* Views of all its weights into the store, and a map from a file that has them, which must outlive it and is
 * not trusted. Errors: NOMEM; of the second also FORMAT, SHAPE, UNSUPPORTED, LIMIT. */
WHET_CHECKED whet_status whet_i_vae_map_put(whet_ctx *ctx, const whet_i_vae_map *map,
                                            whet_i_store *store);
WHET_CHECKED whet_status whet_i_vae_map_get(whet_ctx *ctx, const whet_i_source *source, int64_t d,
                                            whet_i_vae_map **out);
void whet_i_vae_map_destroy(whet_ctx *ctx, whet_i_vae_map *map);

/* ---- features by a pretrained ResNet (resnet_features.c) ---------------------------------------------- */

typedef struct whet_i_resnet_map whet_i_resnet_map;
/* A ResNet of any depth for images of 32 x 32 whose shortcuts have no parameters (He et al. 2016, 4.2), from
 * safetensors with the names of pytorch_resnet_cifar10. A network trained on labels of the very data whose
 * labels are to be guessed would give them away. Errors: as opening; FORMAT (a tensor is missing, or one too
 * many), SHAPE, UNSUPPORTED (type), NOMEM. */
WHET_CHECKED whet_status whet_i_resnet_map_load(whet_ctx *ctx, const char *path,
                                                whet_i_resnet_map **out);
/* The same from a file that is open, which must outlive it and is not trusted. */
WHET_CHECKED whet_status whet_i_resnet_map_get(whet_ctx *ctx, const whet_i_source *source,
                                               whet_i_resnet_map **out);
/* out [n, dim]: the last channels' means, of x [n, h w c] in [0, 1], channels last, c 1 or 3; other sizes
 * than 32 are interpolated. A row's bits depend on that row alone. Reads the map only. 82 million operations
 * an image with 20 layers. Errors: SHAPE, DATA (not finite, as weights are not), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_resnet_map_apply(whet_ctx *ctx, const whet_i_resnet_map *map,
                                                 const float *x, int64_t n, int64_t h, int64_t w,
                                                 int64_t c, float *out);
int64_t whet_i_resnet_map_dim(const whet_i_resnet_map *map); /* 64 */
/* Views of all its weights, such that whet_i_resnet_map_load reads them. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_resnet_map_put(whet_ctx *ctx, const whet_i_resnet_map *map,
                                               whet_i_store *store);
void whet_i_resnet_map_destroy(whet_ctx *ctx, whet_i_resnet_map *map);

#endif
