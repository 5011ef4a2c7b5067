/* SPDX-License-Identifier: Apache-2.0
 * Folders of weights as Hugging Face has them: which tensor goes to which file, their names and index, and
 * the small files beside them. */
#ifndef WHET_MERGE_WEIGHT_SHARDS_H
#define WHET_MERGE_WEIGHT_SHARDS_H

#include "io/io_i.h"

enum { WHET_I_SHARD_NAME = 64 };
#define WHET_I_SHARD_BYTES INT64_C(5000000000) /* unless something else is asked for */

typedef struct whet_i_sharded {
    const char *name;
    int64_t bytes, shard;
} whet_i_sharded;

/* In order, tensors of `most` bytes a file; a larger one has a file of its own, for none is cut. Sets the
 * shards; their number. Pure. */
int64_t whet_i_cut_shards(whet_i_sharded *items, int64_t n, int64_t most);
/* "model.safetensors", of several "model-00001-of-00003.safetensors". Pure. */
void whet_i_shard_name(int64_t shard, int64_t shards, char out[WHET_I_SHARD_NAME]);
/* model.safetensors.index.json. Errors: IO, NOMEM. */
WHET_CHECKED whet_status whet_i_write_weight_index(whet_ctx *ctx, const char *folder,
                                                   const whet_i_sharded *items, int64_t n,
                                                   int64_t shards);
/* All of it: tensors in files of `most` bytes (0: 5e9), with an index where there are several. *shards: their
 * number. Errors: of whet_safetensors_write. */
WHET_CHECKED whet_status whet_i_write_weights(whet_ctx *ctx, const char *folder,
                                              const whet_named_tensor *items, int64_t n,
                                              const char *const *metadata, int64_t most,
                                              int64_t *shards);
WHET_CHECKED whet_status whet_i_write_json(whet_ctx *ctx, const json_t *json, const char *folder,
                                           const char *name);
/* The file of one folder in another; one that is not there is not missed. */
WHET_CHECKED whet_status whet_i_copy_file(whet_ctx *ctx, const char *from, const char *to,
                                          const char *name);
/* A tokenizer's files; and those that neither it nor config.json is. Modules of sentence-transformers that
 * have weights of their own, as a dense layer behind the pooling, are warned of, not copied: `why` ends the
 * sentence. */
WHET_CHECKED whet_status whet_i_copy_tokenizer(whet_ctx *ctx, const char *from, const char *to);
WHET_CHECKED whet_status whet_i_copy_model_files(whet_ctx *ctx, const char *from, const char *to,
                                                 const char *why);

#endif
