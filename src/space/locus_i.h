/* SPDX-License-Identifier: Apache-2.0
 * How a locus is found. Candidates with equal distances to every observed point are one
 * representative, the lowest of them; what is decided at once (the observed, on trees the paths
 * between them) is written first, then the lower envelope, the hull or linear programmes decide the rest. */
#ifndef WHET_LOCUS_I_H
#define WHET_LOCUS_I_H

#include "space/space_i.h"

/* Costs nearer than this to each other, relative to them, are on a border. */
#define LOCUS_BORDER 1e-8

typedef struct locus_work {
    const whet_space *space;
    const int64_t *observed;
    int64_t k;
    int64_t n;           /* representatives */
    int64_t *point;      /* [n] ascending */
    whet_reach *reach;   /* [n]; WHET_REACH_UNDECIDED where it is to be found */
    const double *table; /* graphs: distances [k, N] from the observed points, else NULL */
    int64_t programmes;
    double *
        rows; /* programmes: [n, k] squared distances of representatives, as they are asked for; or NULL */
    bool *known; /* [n] which rows are there */
} locus_work;

/* Squared distances of points [n] to the observed: out [n, k]. */
void whet_i_locus_rows(const locus_work *w, const int64_t *points, int64_t n, double *out);

/* Trees: representatives, what is decided, and reasons of all candidates [n_candidates], ascending;
 * `of` [n_candidates] is the representative of each, or -1 where the reach is NEVER already. */
WHET_CHECKED whet_status whet_i_locus_tree(whet_ctx *ctx, const int64_t *candidates,
                                           int64_t n_candidates, locus_work *w,
                                           whet_locus_class *classes, int64_t *of);
/* k = 2. */
WHET_CHECKED whet_status whet_i_locus_envelope(whet_ctx *ctx, locus_work *w);
/* k = 3: of what is UNDECIDED the reach of all, or of most where distances are rounded. */
WHET_CHECKED whet_status whet_i_locus_three(whet_ctx *ctx, locus_work *w);
WHET_CHECKED whet_status whet_i_locus_programmes(whet_ctx *ctx, locus_work *w);

/* ---- linear programmes (game.c, the only file that knows the solver) -------------------------- */

/* max t over p >= 0, sum p = 1, with sum_j p_j a_uj + t <= 0 for every row u added with its margin, and
 * without t for the others; t in [-bound, bound]. */
typedef struct game game;
WHET_CHECKED whet_status whet_i_game_create(whet_ctx *ctx, int64_t k, double bound, game **out);
void whet_i_game_destroy(whet_ctx *ctx, game *g);
/* a [k] */
void whet_i_game_add(game *g, const double *a, bool margin);
/* p [k] and q [rows added] >= 0, each summing to 1 (q to 0 when no row binds); not written when the
 * rows without margin cannot be met. NUMERIC when the solver gives up. */
WHET_CHECKED whet_status whet_i_game_solve(whet_ctx *ctx, game *g, double *p, double *q,
                                           bool *feasible);

#endif
