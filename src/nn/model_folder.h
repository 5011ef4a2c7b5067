/* SPDX-License-Identifier: Apache-2.0
 * What models read of a Hugging Face folder. */
#ifndef WHET_NN_MODEL_FOLDER_H
#define WHET_NN_MODEL_FOLDER_H

#include <jansson.h>

#include "whet/nn.h"

#include "nn/params_i.h"

typedef struct whet_i_weight_file {
    char *name; /* in the folder */
    whet_safetensors *tensors;
} whet_i_weight_file;

typedef struct whet_i_weight_files {
    whet_i_weight_file *items; /* [n] */
    int64_t n;
} whet_i_weight_files;

/* model.safetensors, or else the files of the index. What it leaves behind on failure is released by
 * closing. Errors: IO, FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_weight_files_open(whet_ctx *ctx, const char *dir,
                                                  whet_i_weight_files *files);
void whet_i_weight_files_close(whet_ctx *ctx, whet_i_weight_files *files);
bool whet_i_weight_files_find(const whet_i_weight_files *files, const char *name, whet_tensor *out);
/* whet_i_params_bind to all of them: a required parameter must be in one. */
WHET_CHECKED whet_status whet_i_weight_files_bind(whet_ctx *ctx, const whet_i_weight_files *files,
                                                  whet_i_params *params, const char *prefix);

/* Which files "weight_map" of a parsed model.safetensors.index.json names, each once: files of the
 * folder, nothing else. names holds some of them on failure. Errors: FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_weight_files_parse(whet_ctx *ctx, const json_t *index,
                                                   whet_names *names);

/* The folder's tokenizer, for a model of `vocab` word vectors. Errors: as whet_tokenizer_load, SHAPE. */
WHET_CHECKED whet_status whet_i_model_tokenizer(whet_ctx *ctx, const char *dir, int64_t vocab,
                                                whet_tokenizer **out);

#endif
