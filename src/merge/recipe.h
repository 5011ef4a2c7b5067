/* SPDX-License-Identifier: Apache-2.0
 * What is to be merged, as a recipe or a command line says it; and the settings that hold for a tensor. */
#ifndef WHET_MERGE_RECIPE_H
#define WHET_MERGE_RECIPE_H

#include "merge/merging_i.h"

/* A value for tensors whose name contains `filter` (NULL or "*" = all): a number, or several that stand for
 * depths from the first layer to the last, between which it is interpolated. */
typedef struct whet_i_recipe_value {
    const char *filter;
    double *points; /* [n], n >= 1 */
    int64_t n;
} whet_i_recipe_value;

typedef struct whet_i_recipe_setting {
    whet_i_setting setting;
    whet_i_recipe_value *values; /* [n]; the first whose filter fits holds */
    int64_t n;
} whet_i_recipe_setting;

typedef struct whet_i_recipe_settings {
    whet_i_recipe_setting *items;
    int64_t n;
} whet_i_recipe_settings;

typedef struct whet_i_recipe_source {
    const char *model, *lora; /* folders or files; lora NULL = none */
    const char *importance;   /* a file of tensors of the same names; NULL = none */
    int64_t first, last;      /* layers first .. last - 1; first -1 = all */
    whet_i_recipe_settings settings;
} whet_i_recipe_source;

typedef struct whet_i_recipe_slice {
    whet_i_recipe_source *sources;
    int64_t n;
    whet_i_recipe_settings settings;
} whet_i_recipe_slice;

typedef enum whet_i_recipe_tokens {
    WHET_I_TOKENS_SAME,  /* of the base or first model; tables of words must be of one size */
    WHET_I_TOKENS_UNION, /* all tokens of all models */
    WHET_I_TOKENS_BASE,  /* the base's, rows of the others found by token */
    WHET_I_TOKENS_PATH   /* another folder's */
} whet_i_recipe_tokens;

typedef enum whet_i_token_source {
    WHET_I_TOKEN_DEFAULT, /* the base's; else of the one model that has it; else the mean of those */
    WHET_I_TOKEN_OF_MODEL, /* of the same token in a model */
    WHET_I_TOKEN_OTHER,    /* of another token there: by text, or by id */
    WHET_I_TOKEN_ZERO
} whet_i_token_source;

/* The vector that models take that lack the token, or all (force). */
typedef struct whet_i_recipe_token {
    const char *text, *place; /* place: "recipe.yml:12: token "x"", for sentences */
    whet_i_token_source source;
    const char *model, *lora;
    const char *token; /* with OTHER; NULL = by id */
    int64_t id;
    bool force;
} whet_i_recipe_token;

typedef struct whet_i_recipe {
    whet_i_arena arena; /* holds all of it */
    const whet_i_merge_method *method;
    const char *base, *base_lora; /* NULL = none */
    bool stacked;                 /* slices of layers; else one slice of whole models */
    whet_i_recipe_slice *slices;
    int64_t n;
    whet_i_recipe_settings settings;
    bool dtype_given, out_dtype_given;
    whet_dtype dtype, out_dtype;
    whet_i_recipe_tokens tokens;
    const char *tokens_path;
    int64_t pad_to_multiple_of; /* 0 = not */
    whet_i_recipe_token *token; /* [n_tokens]; the output has them all */
    int64_t n_tokens;
    const char *chat_template; /* Jinja; "auto"; NULL = as it is */
} whet_i_recipe;

/* Empty; released by whet_i_recipe_clear. */
void whet_i_recipe_clear(whet_ctx *ctx, whet_i_recipe *recipe);
/* A recipe in mergekit's YAML. where: its name for sentences. What it holds on failure is cleared by the
 * caller. Errors: FORMAT with the line, ARG (unknown method, key or parameter), LIMIT, NOMEM. */
WHET_CHECKED whet_status whet_i_recipe_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                             int64_t len, whet_i_recipe *out);
/* The setting for a tensor at depth u, 0 at the first layer and 1 at the last, by precedence: source,
 * slice, recipe; NaN when none says it. slice, source NULL = not of one. Pure. */
double whet_i_recipe_value_of(const whet_i_recipe *recipe, const whet_i_recipe_slice *slice,
                              const whet_i_recipe_source *source, whet_i_setting setting,
                              const char *tensor, double u);
/* Puts a setting of one value for all tensors before those that are there: it holds. */
WHET_CHECKED whet_status whet_i_recipe_set(whet_ctx *ctx, whet_i_recipe *recipe,
                                           whet_i_recipe_settings *settings, whet_i_setting setting,
                                           double value);
/* A copy in the recipe's arena. */
WHET_CHECKED whet_status whet_i_recipe_text(whet_ctx *ctx, whet_i_recipe *recipe, whet_str text,
                                            const char **out);
/* The Jinja of a chat template by its name; "auto" and Jinja as they are; NULL = there is none of that name.
 * (chat_template.c) */
const char *whet_i_chat_template(const char *text);
/* A dtype as recipes call it ("bfloat16", "bf16", "float16", ...). */
bool whet_i_recipe_dtype(whet_str name, whet_dtype *out);

#endif
