/* SPDX-License-Identifier: Apache-2.0
 * What the readers of trees and graphs share: an edge list that grows, and the naming of nodes. */
#ifndef WHET_EDGES_I_H
#define WHET_EDGES_I_H

#include "io/io_i.h"

/* Edges being read. Starts from {0}; arrays move into a whet_edges at the end. */
typedef struct edge_list {
    int64_t n, cap;
    int64_t *from, *to;
    double *length;
} edge_list;

WHET_CHECKED whet_status whet_i_edge_add(whet_ctx *ctx, edge_list *list, int64_t from, int64_t to,
                                         double length);
void whet_i_edge_list_free(whet_ctx *ctx, edge_list *list);

/* Names of n nodes from labels that may be empty or repeat, as phylogenies have them:
 *   a leaf keeps its label, and two leaves with one label are refused ("where: ...");
 *   an inner node's label counts when no other node bears it (repeated ones are support values);
 *   a node without a name is called by its 0-based index, with '#' behind it while that is taken. */
WHET_CHECKED whet_status whet_i_name_nodes(whet_ctx *ctx, const char *where, const whet_str *labels,
                                           const bool *is_leaf, int64_t n, whet_names **out);

/* The parsers, each from memory: `where` is the file's name for sentences. */
WHET_CHECKED whet_status whet_i_edge_lines_parse(whet_ctx *ctx, const char *where,
                                                 const char *bytes, int64_t len, whet_edges *out);
/* Whether a line is the header of such a table: "parent" and "child", "node", "id" or "name". Pure. */
bool whet_i_is_parent_header(whet_str line);
WHET_CHECKED whet_status whet_i_parent_table_parse(whet_ctx *ctx, const char *where,
                                                   const char *bytes, int64_t len, whet_edges *out);
WHET_CHECKED whet_status whet_i_newick_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                             int64_t len, whet_edges *out);
/* Chooses among the three by content. */
WHET_CHECKED whet_status whet_i_edges_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                            int64_t len, whet_edges *out);

/* The next line without its end (LF or CRLF), or false at the end of the bytes. */
bool whet_i_next_line(whet_str *rest, whet_str *line);

#endif
