/* SPDX-License-Identifier: Apache-2.0
 * A model on disk as merging sees it: the headers of its files, its config.json, and low-rank additions. */
#ifndef WHET_MERGE_MODEL_H
#define WHET_MERGE_MODEL_H

#include <jansson.h>

#include "whet/io.h"

#include "io/io_i.h"
#include "merge/merging_i.h"

typedef struct whet_i_merge_file {
    char *path;
    whet_safetensors *tensors;
    int64_t bytes, seconds, nanoseconds; /* size and time of change, for telling it is the same */
} whet_i_merge_file;

typedef struct whet_i_merge_addition {
    char *module; /* "model.layers.0.self_attn.q_proj" */
    whet_i_merge_lora lora;
} whet_i_merge_addition;

typedef struct whet_i_merge_model {
    char *path, *lora; /* as given; lora NULL = none */
    bool folder;
    whet_i_merge_file *files;
    int64_t n_files;
    whet_names *names; /* all tensors, in the order of the files */
    json_t *config;    /* config.json of a folder, or NULL */
    whet_i_merge_addition *additions;
    int64_t n_additions;
    int64_t addition_bytes;
} whet_i_merge_model;

/* A .safetensors file; or a folder with model.safetensors, or the files that model.safetensors.index.json
 * names, and config.json. lora: a folder as PEFT writes it, NULL = none. What it holds on failure is
 * released by closing. Errors: IO, FORMAT, LIMIT, UNSUPPORTED, NOMEM. */
WHET_CHECKED whet_status whet_i_merge_model_open(whet_ctx *ctx, const char *path, const char *lora,
                                                 whet_i_merge_model *out);
void whet_i_merge_model_close(whet_ctx *ctx, whet_i_merge_model *model);
/* Where a tensor is, and its shape and type; false when the model lacks it. The output layer of a model
 * that ties it to its table of words is that table; *tied says so. tied may be NULL. */
bool whet_i_merge_model_find(const whet_i_merge_model *model, const char *name, whet_tensor *view,
                             const whet_i_merge_file **file, bool *tied);
/* The name of the output layer among the model's own tensors; NULL = it ties it, or has none. */
const char *whet_i_merge_model_head(const whet_i_merge_model *model);
/* Whether both paths, of which either may be NULL, are of one file or folder. */
bool whet_i_merge_same_path(const char *a, const char *b);
/* What is added to a tensor, or NULL. */
const whet_i_merge_lora *whet_i_merge_model_addition(const whet_i_merge_model *model,
                                                     const char *name);
/* What models have alike and shapes do not tell: heads of attention of queries, of keys and values, the
 * numbers of one, and groups of group norms; 0 = nobody says. from: who said it first, NULL = it was
 * given. */
enum { WHET_I_NORM_GROUPS = 3, WHET_I_HEADS };
typedef struct whet_i_heads {
    int64_t value[WHET_I_HEADS];
    const char *from[WHET_I_HEADS];
} whet_i_heads;
/* Adds what a config.json says; refused where it says otherwise. Shapes alone do not tell.
 * Errors: FORMAT, DATA. (spec_of_files.c) */
WHET_CHECKED whet_status whet_i_add_heads(whet_ctx *ctx, const char *network, const json_t *config,
                                          whet_i_heads *heads);
/* The files of weights that the folder's index names. */
enum { WHET_I_MERGE_FILES_MAX = 4096 };

/* "model.layers.12.mlp.up.weight": prefix "model.layers." of *prefix bytes, number 12, the rest begins at
 * *rest; false when no part of the name counts layers. Pure. */
bool whet_i_merge_layer_of(const char *name, int64_t *prefix, int64_t *layer, int64_t *rest);
/* Layers that begin with this prefix: one more than the highest. */
int64_t whet_i_merge_model_layers(const whet_i_merge_model *model, const char *prefix, int64_t len);

#endif
