/* SPDX-License-Identifier: Apache-2.0
 * What models read of a Hugging Face folder. */
#ifndef WHET_NN_MODEL_FOLDER_H
#define WHET_NN_MODEL_FOLDER_H

#include <jansson.h>

#include "whet/nn.h"

#include "nn/graph_i.h"

typedef struct whet_i_weight_file {
    char *name; /* in the folder */
    whet_safetensors *tensors;
} whet_i_weight_file;

typedef struct whet_i_weight_files {
    whet_i_weight_file *items; /* [n] */
    int64_t n;
} whet_i_weight_files;

/* model.safetensors, or else the files of the index, each tensor in the one that it names. What it leaves
 * behind on failure is released by closing. Errors: IO, FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_weight_files_open(whet_ctx *ctx, const char *dir,
                                                  whet_i_weight_files *files);
void whet_i_weight_files_close(whet_ctx *ctx, whet_i_weight_files *files);
/* Lets go of their pages, once what is needed of them has been copied; what is read again comes back. */
void whet_i_weight_files_forget(const whet_i_weight_files *files);
bool whet_i_weight_files_find(const whet_i_weight_files *files, const char *name, whet_tensor *out);
/* whet_i_params_bind to all of them: a required parameter must be in one. Warns of tensors that are read by
 * none. */
WHET_CHECKED whet_status whet_i_weight_files_bind(whet_ctx *ctx, const whet_i_weight_files *files,
                                                  whet_i_params *params, const char *prefix);

/* Which files "weight_map" of a parsed model.safetensors.index.json names, each once: files of the
 * folder, nothing else. names holds some of them on failure. Errors: FORMAT, LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_weight_files_parse(whet_ctx *ctx, const json_t *index,
                                                   whet_names *names);

/* The folder's tokenizer, for a model of `vocab` word vectors. Errors: as whet_tokenizer_load, SHAPE. */
WHET_CHECKED whet_status whet_i_model_tokenizer(whet_ctx *ctx, const char *dir, int64_t vocab,
                                                whet_tokenizer **out);
/* UNSUPPORTED where capitals make other tokens: sentence-transformers would make texts small itself. */
WHET_CHECKED whet_status whet_i_check_lowers(whet_ctx *ctx, const whet_tokenizer *tokenizer);

/* ---- changes on the way in --------------------------------------------------------------------- */

typedef enum whet_i_load_stage {
    WHET_I_LOAD_RECORDED, /* all parameters are declared, and must come from the files */
    WHET_I_LOAD_BOUND,    /* each knows its tensor */
    WHET_I_LOAD_SETTLED   /* values are read; packing comes next */
} whet_i_load_stage;

/* How something above this module changes a model while it is loaded. */
typedef struct whet_i_load_hook {
    const whet_i_adapters *adapters; /* of its linear layers; NULL = none */
    whet_status (*at)(whet_ctx *ctx, void *arg, whet_i_load_stage stage, whet_i_params *params);
    void (*close)(whet_ctx *ctx, void *arg); /* with the model */
    void *arg;
    uint64_t hash;   /* of what changes, for fingerprints; 0 = nothing does */
    bool parts_head; /* a language model's head is not its word vectors, whatever its folder says */
} whet_i_load_hook;

/* Nothing where there is no hook. */
static inline whet_status whet_i_load_at(whet_ctx *ctx, const whet_i_load_hook *hook,
                                         whet_i_load_stage stage, whet_i_params *params) {
    return hook->at ? hook->at(ctx, hook->arg, stage, params) : WHET_OK;
}
static inline void whet_i_load_hook_close(whet_ctx *ctx, whet_i_load_hook *hook) {
    if (hook->close) hook->close(ctx, hook->arg);
    *hook = (whet_i_load_hook){0};
}

/* whet_encoder_load, whet_language_model_load with changes. The hook is the model's, also on failure: it is
 * closed when the model is destroyed. {0} = none. */
WHET_CHECKED whet_status whet_i_encoder_load(whet_ctx *ctx, const char *dir,
                                             const whet_encoder_opts *opts, whet_i_load_hook hook,
                                             whet_encoder **out);
WHET_CHECKED whet_status whet_i_language_model_load(whet_ctx *ctx, const char *dir,
                                                    whet_dtype dtype, whet_i_load_hook hook,
                                                    whet_language_model **out);

#endif
