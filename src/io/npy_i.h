/* SPDX-License-Identifier: Apache-2.0
 * The .npy header both ways, shared by .npy files, .npz entries and streams. */
#ifndef WHET_IO_NPY_I_H
#define WHET_IO_NPY_I_H

#include "io/io_i.h"

/* Magic, version and length of the longest prefix, and the longest header taken: numpy's own are
 * below 300 bytes for the types read here. */
enum { WHET_NPY_HEADER_MAX = 1 << 16 };

typedef struct whet_i_npy {
    whet_dtype dtype;
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    bool fortran;
    int64_t offset;     /* of the data, from the start of the header */
    int64_t data_bytes; /* count x size, checked to be representable */
} whet_i_npy;

/* Reads a header from the first bytes of an array of `total` bytes in all (len <= total of them are
 * given), and requires that header and data fill `total` exactly. */
WHET_CHECKED whet_status whet_i_npy_header(whet_ctx *ctx, const char *where, const char *bytes,
                                           int64_t len, int64_t total, whet_i_npy *out);
/* An array from memory, made C-ordered; owned. */
WHET_CHECKED whet_status whet_i_npy_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                          int64_t len, whet_tensor *out);
/* `data` of npy->data_bytes in Fortran order into C order. */
void whet_i_npy_from_fortran(const whet_i_npy *npy, const char *data, char *out);
/* An owned tensor of this type and shape, not zeroed. LIMIT where there is no memory for it. */
WHET_CHECKED whet_status whet_i_npy_tensor(whet_ctx *ctx, const char *where, const whet_i_npy *npy,
                                           whet_tensor *out);

/* Appends the version 1.0 header that numpy itself writes; the data begins at a multiple of 64.
 * bf16 is WHET_ERR_UNSUPPORTED: numpy has no such type. */
WHET_CHECKED whet_status whet_i_npy_write_header(whet_ctx *ctx, const char *where, whet_dtype dtype,
                                                 int32_t rank, const int64_t *shape,
                                                 whet_i_buf *out);

/* "path" or "path:key" cut into path and key (NULL = none); both live in *text, which the caller frees. */
WHET_CHECKED whet_status whet_i_array_split(whet_ctx *ctx, const char *spec, char **text,
                                            const char **key);
/* The tensor of this name, or the only one: a view into the file, which the caller closes. */
WHET_CHECKED whet_status whet_i_array_pick(whet_ctx *ctx, const char *path, const char *key,
                                           whet_safetensors **file, whet_tensor *view);
/* LIMIT unless an array of this type and shape fits into the memory that can be had. */
WHET_CHECKED whet_status whet_i_array_room(whet_ctx *ctx, const char *where,
                                           const whet_tensor *head);

#endif
