/* SPDX-License-Identifier: Apache-2.0
 * What the files of the space module share: the parts of a space, one struct a kind, and how
 * spaces are made from memory. */
#ifndef WHET_SPACE_I_H
#define WHET_SPACE_I_H

#include "whet/io.h"
#include "whet/space.h"

#include "core/core_i.h"

typedef enum space_kind {
    SPACE_DISCRETE, /* every two points are 1 apart */
    SPACE_MATRIX,
    SPACE_EMBEDDING,
    SPACE_TREE,
    SPACE_GRAPH,
    SPACE_GRID
} space_kind;

/* A rooted tree over points 0..n-1; a parent comes before its children in `order`. */
typedef struct space_tree {
    int64_t *parent; /* -1 at the root */
    double *length;  /* of the edge to the parent; 0 at the root */
    int64_t *hops;   /* edges up to the root */
    int64_t *order;  /* points, parents first; order[0] is the root */
    int64_t *degree; /* edges at the point */
    bool rooted;     /* the source named a root, which is then no leaf */
} space_tree;

/* The distance of i and j is at [i * n + j]; exactly one of the two is set. A slab has some rows only. */
typedef struct space_matrix {
    double *f64;
    float *f32;
    int64_t *row; /* slabs: [n] the row of a point, or -1; else NULL */
} space_matrix;

/* What a distance is, of the vectors or, of all but Euclidean, of the unit vectors. */
typedef enum space_measure {
    MEASURE_EUCLIDEAN,
    MEASURE_UNIT,   /* Euclidean, of the unit vectors: d^2 = 2 - 2 cos */
    MEASURE_COSINE, /* d = 1 - cos, half of that square; no metric */
    MEASURE_ANGULAR /* d = the angle */
} space_measure;

/* Vectors [n, dim]; exactly one of f64, f32 is set. With `scale` (all but Euclidean) a vector is taken times
 * its scale, 1 / its norm. */
typedef struct space_embedding {
    double *f64;
    float *f32;
    double *scale;
    int64_t dim;
    space_measure measure;
} space_embedding;

/* Neighbours of point v: [first[v], first[v + 1]). Points fit an int32_t, edges may be more. */
typedef struct space_graph {
    int64_t *first;
    int32_t *neighbour;
    double *length;      /* NULL when every length is 1: distances are hops */
    double longest;      /* of the lengths */
    space_matrix matrix; /* all distances when there are few points, else empty */
} space_graph;

typedef struct space_grid {
    int64_t size[WHET_RANK_MAX]; /* points are numbered in row-major order */
    int32_t rank;
    bool euclidean; /* L2; else L1 */
} space_grid;

struct whet_space {
    space_kind kind;
    int64_t n;
    whet_names *names;
    space_tree tree;
    space_matrix matrix;
    space_embedding embedding;
    space_graph graph;
    space_grid grid;
};

/* ---- making spaces from memory ---------------------------------------------------------------
 *
 * Arrays are copied; with `take` a tensor's data is taken over instead where its type allows, and
 * the tensor cleared. names NULL: points are called by their index. */

/* parent [n], -1 at the one root; length [n] (the root's is ignored), NULL = all 1. Errors DATA
 * (no root, two roots, a cycle, an index outside, a length that is negative or not finite). */
WHET_CHECKED whet_status whet_i_space_from_tree(whet_ctx *ctx, const whet_names *names, int64_t n,
                                                const int64_t *parent, const double *length,
                                                bool rooted, whet_space **out);
/* A forest made a tree: a node "(joined)" above the root of each of its trees (of trees without one, the
 * node that comes first), `length` away. A tree stays as it is. */
WHET_CHECKED whet_status whet_i_join_forest(whet_ctx *ctx, whet_edges *edges, double length);
/* Undirected edges over n points that must form one tree. */
WHET_CHECKED whet_status whet_i_space_from_edges(whet_ctx *ctx, const whet_edges *edges,
                                                 whet_space **out);
/* d [n, n] of f64, or of anything that f32 holds exactly (kept as f32). Checks that it is a
 * metric's table: finite, >= 0, zero diagonal, symmetric; a sample of triangles only warns. */
WHET_CHECKED whet_status whet_i_space_from_matrix(whet_ctx *ctx, const whet_names *names,
                                                  whet_tensor *d, bool take, whet_space **out);
/* d [rows, n]: distances from the points named `rows` to all points `names` [n]; only those are known. */
WHET_CHECKED whet_status whet_i_space_from_slab(whet_ctx *ctx, const whet_names *names,
                                                const whet_names *rows, whet_tensor *d, bool take,
                                                whet_space **out);
WHET_CHECKED whet_status whet_i_space_from_embedding(whet_ctx *ctx, const whet_names *names,
                                                     whet_tensor *e, bool take,
                                                     space_measure measure, whet_space **out);
/* euclidean, unit, cosine or angular; where text is none of them it fails as an option of a space. */
WHET_CHECKED whet_status whet_i_measure_read(whet_ctx *ctx, const char *text, space_measure *out);
WHET_CHECKED whet_status whet_i_space_from_graph(whet_ctx *ctx, const whet_edges *edges,
                                                 whet_space **out);
WHET_CHECKED whet_status whet_i_space_discrete(whet_ctx *ctx, const whet_names *names, int64_t n,
                                               whet_space **out);
WHET_CHECKED whet_status whet_i_space_path(whet_ctx *ctx, int64_t n, whet_space **out);
WHET_CHECKED whet_status whet_i_space_grid(whet_ctx *ctx, const int64_t *size, int32_t rank,
                                           bool euclidean, whet_space **out);

/* ---- inside the module ----------------------------------------------------------------------- */

/* A space without its kind's part: size and names (copied, or made of indices). */
WHET_CHECKED whet_status whet_i_space_begin(whet_ctx *ctx, space_kind kind, int64_t n,
                                            const whet_names *names, whet_space **out);
/* map[i] is the point that node i of a file becomes: itself, but its number when the names are
 * exactly the numbers 0..n-1, so that ties do not depend on the order of the edges. */
void whet_i_number_points(const whet_names *nodes, int64_t *map);
/* A space over the nodes of an edge list, numbered so, and the ends of its edges as points (owned by
 * the caller). Errors: DATA (an edge from a node to itself, an impossible length). */
WHET_CHECKED whet_status whet_i_edges_begin(whet_ctx *ctx, space_kind kind, const whet_edges *edges,
                                            int64_t **from, int64_t **to, whet_space **out);
/* The lists of neighbours, each in the order of the edges. Errors: NOMEM, LIMIT (2^31 points). */
WHET_CHECKED whet_status whet_i_neighbours(whet_ctx *ctx, int64_t n, int64_t m, const int64_t *from,
                                           const int64_t *to, const double *length,
                                           space_graph *out);
void whet_i_neighbours_free(whet_ctx *ctx, space_graph *g);
WHET_CHECKED whet_status whet_i_check_length(whet_ctx *ctx, double length);

/* f32 where that holds every value of the type, else f64. */
whet_dtype whet_i_kept_as(whet_dtype dtype);
/* What whet_space_open takes, but for "discrete". */
#define WHET_I_SPACE_KINDS \
    "tree:FILE, graph:FILE, matrix:FILE.npy, embedding:FILE.npy, grid:AxB, path:N"
/* Whether the word before the colon is one of those. */
bool whet_i_space_kind_is_known(const char *text);

/* An array as whet_i_kept_as its type: a copy, or, with `take`, the data itself where its type is right
 * already (`in` is then cleared). */
WHET_CHECKED whet_status whet_i_take_array(whet_ctx *ctx, whet_tensor *in, bool take, double **f64,
                                           float **f32);

/* A copy of points that are distinct and of the space; `what` names them in the sentence. */
WHET_CHECKED whet_status whet_i_points_copy(whet_ctx *ctx, const whet_space *space,
                                            const char *what, const int64_t *points, int64_t n,
                                            int64_t **out);
/* The candidates of these options (whose other fields are not looked at), ascending. */
WHET_CHECKED whet_status whet_i_candidates_take(whet_ctx *ctx, const whet_space *space,
                                                const int64_t *observed, int64_t k,
                                                const whet_frechet_opts *opts, int64_t **out,
                                                int64_t *n_out);

double whet_i_tree_distance(const space_tree *tree, int64_t a, int64_t b);
double whet_i_embedding_distance(const space_embedding *e, int64_t a, int64_t b);
/* Squared Euclidean distance of the vectors, or of the unit vectors. */
double whet_i_embedding_distance2(const space_embedding *e, int64_t a, int64_t b);
/* The distance of which that is the square. Of angles 2 asin(d / 2), right to a few units in the last place
 * at small ones, where acos is not; of those near pi, where neither is, the distance above. */
double whet_i_measured(space_measure measure, double distance2);
/* The vectors of `points` less `centre` [dim], as rows of out [n, dim]. */
void whet_i_embedding_rows(const space_embedding *e, const int64_t *points, int64_t n,
                           const double *centre, double *out);
double whet_i_grid_distance(const space_grid *grid, int64_t a, int64_t b);
static inline double whet_i_edge_length(const space_graph *g, int64_t end) {
    return g->length ? g->length[end] : 1;
}
/* Distances from one point to all, in `out` [n]; unreachable points get infinity. */
WHET_CHECKED whet_status whet_i_graph_distances(whet_ctx *ctx, const space_graph *graph, int64_t n,
                                                int64_t from, double *out);
/* Distances from each of `from` [k]: row i of out [k, n]. Parallel. */
WHET_CHECKED whet_status whet_i_graph_table(whet_ctx *ctx, const space_graph *graph, int64_t n,
                                            const int64_t *from, int64_t k, double *out);

static inline double whet_i_matrix_at(const space_matrix *m, int64_t place) {
    return m->f64 ? m->f64[place] : (double)m->f32[place];
}

#endif
