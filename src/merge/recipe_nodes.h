/* SPDX-License-Identifier: Apache-2.0
 * Nodes of a recipe's YAML, as its readers use them. What fails is told with the line. */
#ifndef WHET_MERGE_RECIPE_NODES_H
#define WHET_MERGE_RECIPE_NODES_H

#include <yaml.h>

#include "merge/recipe.h"

enum { WHET_I_RECIPE_ITEMS_MAX = 100000 };

typedef struct whet_i_recipe_reader {
    whet_ctx *ctx;
    const char *where;
    yaml_document_t *document;
    whet_i_recipe *recipe;
    int64_t items; /* made so far */
} whet_i_recipe_reader;

#define WHET_I_NODE_FAIL(r, node, status, ...) \
    whet_i_node_fail_at((r), (node), whet_i_fail((r)->ctx, (status), __VA_ARGS__))
whet_status whet_i_node_fail_at(const whet_i_recipe_reader *r, const yaml_node_t *node,
                                whet_status status);
whet_str whet_i_node_str(const yaml_node_t *scalar);
/* Of a list or a mapping. */
int64_t whet_i_node_length(const yaml_node_t *node);
yaml_node_t *whet_i_node_item(const whet_i_recipe_reader *r, const yaml_node_t *list, int64_t i);
WHET_CHECKED whet_status whet_i_node_expect(const whet_i_recipe_reader *r, const yaml_node_t *node,
                                            yaml_node_type_t type, const char *what);
/* Finds the values of `keys` [n] in a mapping, NULL where absent; other keys are refused. */
WHET_CHECKED whet_status whet_i_node_members(const whet_i_recipe_reader *r, yaml_node_t *node,
                                             const char *what, const char *const *keys, int64_t n,
                                             yaml_node_t **values);
/* n zeroed structs in the recipe's arena. */
#define WHET_I_NODE_MAKE(r, n, out) whet_i_node_make((r), (n), sizeof **(out), (void *)(out))
WHET_CHECKED whet_status whet_i_node_make(const whet_i_recipe_reader *r, int64_t n, size_t size,
                                          void *out);
/* Refuses what would be too many. */
WHET_CHECKED whet_status whet_i_node_count_items(whet_i_recipe_reader *r, const yaml_node_t *node,
                                                 int64_t n);
/* Text that is not empty, in the recipe's arena. */
WHET_CHECKED whet_status whet_i_node_text(const whet_i_recipe_reader *r, const yaml_node_t *node,
                                          const char *what, const char **out);
/* 1 or 0 for YAML's words of truth; false for another. */
bool whet_i_node_truth(whet_str text, double *out);
/* "path", "path+lora", or {model: {model: {path, revision}, lora: {path}}} as mergekit writes it out.
 * depth: 0. *lora is left as it is where there is none. */
WHET_CHECKED whet_status whet_i_node_model(const whet_i_recipe_reader *r, yaml_node_t *node,
                                           int depth, const char **model, const char **lora);

/* "tokenizer" and its older form; NULL = absent (recipe_tokens.c). */
WHET_CHECKED whet_status whet_i_recipe_read_tokenizer(whet_i_recipe_reader *r, yaml_node_t *node,
                                                      yaml_node_t *legacy);

#endif
