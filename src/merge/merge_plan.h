/* SPDX-License-Identifier: Apache-2.0
 * A plan: which tensors the output has, where each comes from, and where it goes. */
#ifndef WHET_MERGE_PLAN_H
#define WHET_MERGE_PLAN_H

#include "merge/align_i.h"
#include "merge/merge_model.h"
#include "merge/recipe.h"

/* One source of one tensor. */
typedef struct whet_i_merge_place {
    int64_t model; /* of the plan */
    int64_t rows;  /* on its first axis */
    const whet_i_recipe_source
        *setting; /* where its settings stand; NULL for a base or importance */
    const whet_i_merge_file *file;
    int64_t offset;
    const void *data; /* where it lies in memory, when its pages are looked at */
    whet_dtype dtype;
    const whet_i_merge_lora *lora;
} whet_i_merge_place;

typedef struct whet_i_merge_item {
    const char *name;
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    int64_t count, bytes;
    whet_dtype dtype;
    bool copied, table; /* bytes as they are; rows are tokens */
    const whet_i_recipe_slice *slice;
    double depth;
    whet_i_merge_place *places; /* [n_places]: models, base, importances */
    int64_t n_places, n_models, base;
    whet_i_merge_place *lenders; /* [vocabulary.n] of tables; file NULL = it lends nothing */
    int64_t shard, offset;       /* in the shard's file */
    bool beside; /* others, which other threads take: one thread has it whole (merge_lanes.c) */
} whet_i_merge_item;

typedef struct whet_i_merge_shard {
    char *name;
    whet_i_buf header;
    int64_t bytes; /* of the file */
    int64_t first, n;
} whet_i_merge_shard;

/* Rows of tables of words by token (merge_tokens.c). */
typedef struct whet_i_merge_vocabulary {
    int64_t size;      /* rows of the output's tables; 0 = tables must be of one size */
    int64_t n;         /* models that have a map */
    int64_t **rows;    /* [models] of [size]: the row of each model, or -1 */
    int64_t *id;       /* [size]: of the token in the tokenizer of model 0, or -1 */
    int64_t *row;      /* [size]: of what models take that have none, or all where forced; */
    int32_t *from;     /* [size]: the model, or WHET_I_ROW_ZERO, WHET_I_ROW_MEAN */
    bool *forced;      /* [size] */
    bool *lends;       /* [models]: whether rows of it are taken */
    json_t *tokenizer; /* the output's tokenizer.json; NULL = as it is */
} whet_i_merge_vocabulary;

/* Models renumbered to one of them (merge_align.c). */
typedef struct whet_i_merge_numbering {
    bool moves;
    whet_named_tensor *items; /* of `weights`; views */
    whet_weights weights;
    whet_i_bound bound;        /* the reference and this model, where it moves */
    whet_alignment *alignment; /* once it is found */
} whet_i_merge_numbering;

typedef struct whet_i_merge_aligning {
    int64_t n, reference, restarts;
    whet_permutation_spec *spec;
    whet_i_merge_numbering *models; /* [n] as the plan's */
} whet_i_merge_aligning;

struct whet_merge_plan {
    whet_i_recipe recipe;
    whet_i_merge_model *models; /* [n_models]; 0 is the one that config and tokenizer come from */
    int64_t n_models, cap_models;
    int64_t base; /* of the models, or -1 */
    whet_i_heads heads;
    whet_i_merge_item *items;
    int64_t n, cap;
    whet_i_merge_shard *shards;
    int64_t n_shards;
    whet_i_arena arena;
    char *output;
    bool force, single; /* one file, not a folder */
    uint64_t seed;
    int64_t block_bytes;
    int32_t threads;
    int64_t layers; /* of the output, when slices were stacked; else -1 */
    bool untied;    /* the output layer of a model that tied it is written out */
    bool dtype_given;
    whet_dtype dtype;
    whet_i_merge_vocabulary vocabulary;
    whet_i_merge_aligning *aligning; /* NULL = models are merged as they are numbered */
    char fingerprint[17];            /* of everything that the result depends on */
    /* While it is made: */
    whet_i_buf mismatches;
    int64_t n_mismatches, n_listed;
};

/* The folder of what is being made: the output's path, and this. */
#define WHET_I_MERGE_STAGE ".whet-merge"

/* Adds a model to the plan, or finds it there. */
WHET_CHECKED whet_status whet_i_plan_model(whet_ctx *ctx, whet_merge_plan *plan, const char *path,
                                           const char *lora, int64_t *index);
/* All items from recipe and models (plan_items.c). */
WHET_CHECKED whet_status whet_i_plan_items(whet_ctx *ctx, whet_merge_plan *plan);
/* Notes something that does not fit; told all at once. */
WHET_CHECKED whet_status whet_i_plan_mismatch(whet_ctx *ctx, whet_merge_plan *plan,
                                              const char *format, ...) WHET_PRINTF(3, 4);
/* The settings of an item's models, setting [n_models]. */
WHET_CHECKED whet_status whet_i_plan_settings(whet_ctx *ctx, const whet_merge_plan *plan,
                                              const whet_i_merge_item *item,
                                              double (*setting)[WHET_I_SET_COUNT]);
/* Bytes that a number of an item takes where it is held: 2 where all its sources have 16 bits and are read
 * as they are, else 4. Pure. */
int64_t whet_i_plan_held(const whet_merge_plan *plan, const whet_i_merge_item *item);
/* Which items go side by side; then the sizes of one, and what it may keep in memory. Pure. */
void whet_i_plan_lanes(whet_merge_plan *plan);
void whet_i_plan_tensor(const whet_merge_plan *plan, const whet_i_merge_item *item,
                        whet_i_merge_tensor *out);
/* The vocabulary that the recipe's tokens ask for; size 0 when they ask for none (merge_tokens.c). */
WHET_CHECKED whet_status whet_i_plan_vocabulary(whet_ctx *ctx, whet_merge_plan *plan);
/* What is to be renumbered, checked against the specification of `arch` from the headers; then the
 * permutations, by weight matching; then where the numbers of place k of an item come from: all NULL and
 * width 0 where they stay. (merge_align.c) */
WHET_CHECKED whet_status whet_i_plan_align(whet_ctx *ctx, whet_merge_plan *plan, const char *arch,
                                           int64_t restarts);
WHET_CHECKED whet_status whet_i_plan_match(whet_ctx *ctx, const whet_merge_plan *plan);
WHET_CHECKED whet_status whet_i_plan_moves(whet_ctx *ctx, const whet_merge_plan *plan,
                                           const whet_i_merge_item *item, int64_t k,
                                           whet_i_merge_moves *out);
void whet_i_merge_moves_free(whet_ctx *ctx, whet_i_merge_moves *moves);
void whet_i_plan_align_clear(whet_ctx *ctx, whet_merge_plan *plan);
/* A hash of all maps. Pure. */
uint64_t whet_i_vocabulary_hash(const whet_i_merge_vocabulary *vocabulary);
void whet_i_vocabulary_clear(whet_ctx *ctx, whet_merge_plan *plan);
/* What goes beside the weights in a folder: config.json as the output needs it, the tokenizer's and other
 * small files of the model (merge_folder.c). */
WHET_CHECKED whet_status whet_i_plan_write_folder(whet_ctx *ctx, const whet_merge_plan *plan,
                                                  const char *folder);
/* The recipe's template, found; then in a folder's tokenizer_config.json (chat_template.c). */
WHET_CHECKED whet_status whet_i_plan_template(whet_ctx *ctx, whet_merge_plan *plan);
WHET_CHECKED whet_status whet_i_plan_write_template(whet_ctx *ctx, const whet_merge_plan *plan,
                                                    const char *folder);
/* Whether a tensor has a row a token. Pure. */
bool whet_i_has_token_rows(const char *name);

#endif
