/* SPDX-License-Identifier: Apache-2.0
 * What the files of alignment share: specifications of permutations, two networks bound to one, and the
 * permutations of all groups.
 * Legend: a unit is what a permutation moves; a group is a set of units with one permutation (or the heads
 * of an attention); a part is an index array of a group; a piece is a run of positions on an axis. */
#ifndef WHET_MERGE_ALIGN_I_H
#define WHET_MERGE_ALIGN_I_H

#include "whet/merge.h"

#include "core/core_i.h"

/* ---- specifications (permutation_spec.c) ------------------------------------------------------- */

/* Parts of a group. */
enum {
    WHET_I_UNITS = 0,
    WHET_I_QUERY = 0, /* [heads size] rows */
    WHET_I_KEY,       /* [kv size] rows */
    WHET_I_VALUE,     /* [kv size] rows */
    WHET_I_MIXED,     /* [heads size] columns of what reads the mixed values */
    WHET_I_PARTS
};

/* Units that stay among themselves, in blocks of one length that move whole: channels that a group norm
 * reads. */
typedef struct whet_i_run {
    int64_t first, count, blocks;
} whet_i_run;

enum { WHET_I_RUNS_MAX = 16 };

typedef struct whet_i_group {
    const char *name;
    bool attention;
    int64_t units;  /* free; 0 = the shortest axis that is the group alone */
    int64_t blocks; /* free: units stay in so many runs of one length; 0 = 1 */
    const whet_i_run
        *runs; /* free, of which `units` are told: each is kept; blocks do not cut each other */
    int32_t n_runs;
    int64_t heads, kv, size; /* attention; kv divides heads */
    bool free_keys;          /* inside a head queries and keys may move together */
    bool output;             /* free: what the network puts out is numbered so, and moves */
} whet_i_group;

typedef struct whet_i_piece {
    int32_t group, part;
    int64_t first, count; /* units; count 0 = all, on an axis of this piece alone */
} whet_i_piece;

enum { WHET_I_AXES_MAX = 4, WHET_I_PIECES_MAX = 16 };

typedef struct whet_i_axis {
    int32_t n; /* 0 = nothing moves */
    const whet_i_piece *pieces;
} whet_i_axis;

typedef struct whet_i_spec_tensor {
    const char *name;
    int32_t rank;
    whet_i_axis axes[WHET_I_AXES_MAX];
    bool unmatched; /* moves, but counts for nothing: running statistics */
} whet_i_spec_tensor;

/* What a convolution does that its shapes do not tell, and the pool behind it, its norm and its ReLU. */
typedef struct whet_i_told_pool {
    bool largest;                  /* else the mean */
    int64_t size, stride, padding; /* size 0: none */
} whet_i_told_pool;
enum { WHET_I_SAME_SIZE = -1 }; /* the padding that keeps an image's size at a stride of 1 */
typedef struct whet_i_told {
    const char *module; /* without "module." */
    int64_t stride, padding, dilation;
    int64_t groups; /* 0: as its shapes say */
    whet_i_told_pool pool;
} whet_i_told;

struct whet_permutation_spec {
    whet_i_arena arena;
    const char *arch;
    whet_i_group *groups;
    whet_i_spec_tensor *tensors;
    whet_names *names; /* of tensors */
    int64_t n_groups, n_tensors, cap_groups, cap_tensors;
    whet_i_told *told; /* of convolutions; the others are as in published networks */
    int64_t n_told, cap_told;
    const char *refused; /* why its networks are not run; NULL: they are */
};

WHET_CHECKED whet_status whet_i_spec_create(whet_ctx *ctx, const char *arch,
                                            whet_permutation_spec **out);
/* Another architecture, as it is known more closely. */
WHET_CHECKED whet_status whet_i_spec_name(whet_ctx *ctx, whet_permutation_spec *spec,
                                          const char *arch);
/* A group; it is copied, and its name must be new. */
WHET_CHECKED whet_status whet_i_spec_group(whet_ctx *ctx, whet_permutation_spec *spec,
                                           const whet_i_group *group, int32_t *out);
/* The number of a group of that name, or -1. */
int32_t whet_i_spec_find(const whet_permutation_spec *spec, const char *name);
/* A tensor; everything is copied. */
WHET_CHECKED whet_status whet_i_spec_tensor_add(whet_ctx *ctx, whet_permutation_spec *spec,
                                                const whet_i_spec_tensor *tensor);
/* For the spec_ files: a tensor of `rank` whose first two axes are these groups' parts whole; group -1 =
 * nothing moves. */
WHET_CHECKED whet_status whet_i_spec_put(whet_ctx *ctx, whet_permutation_spec *spec,
                                         const char *name, int32_t rank, whet_i_piece rows,
                                         whet_i_piece columns);
/* A spec must be able to keep the function: no group twice in one tensor, every group somewhere, pieces that
 * fit. Errors: FORMAT with `where`. */
WHET_CHECKED whet_status whet_i_spec_check(whet_ctx *ctx, const whet_permutation_spec *spec,
                                           const char *where);

/* What is told of a convolution; it is copied. Errors: FORMAT (twice), NOMEM. (spec_convolutions.c) */
WHET_CHECKED whet_status whet_i_spec_tell(whet_ctx *ctx, whet_permutation_spec *spec,
                                          const whet_i_told *told);
/* Of a module; NULL: nothing is, or there is no specification. */
const whet_i_told *whet_i_spec_told(const whet_permutation_spec *spec, const char *module);
/* Its networks are not run; the text says why. (permutation_spec.c) */
WHET_CHECKED whet_status whet_i_spec_refuse(whet_ctx *ctx, whet_permutation_spec *spec,
                                            const char *why);

/* From and to JSON. */
WHET_CHECKED whet_status whet_i_spec_parse(whet_ctx *ctx, const char *where, const char *bytes,
                                           int64_t len, whet_permutation_spec **out);

/* The architectures: each adds groups and tensors for the names in the file. */
typedef struct whet_i_spec_maker {
    const char *arch;
    /* Whether a file has such names. */
    bool (*fits)(const whet_safetensors *file);
    whet_status (*make)(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                        const whet_permutation_hints *hints, whet_permutation_spec *spec);
    bool norms; /* channels may be under group norms */
} whet_i_spec_maker;
/* Which channels are normed together: so many groups of them, or groups of so many channels, whatever the
 * width; both 0: nobody says. */
typedef struct whet_i_norm_groups {
    int64_t count, channels;
} whet_i_norm_groups;
/* They may stand behind an architecture: "resnet:4" is resnet with group norms of 4 groups, "resnet:x16" with
 * groups of 16 channels. Pure. */
bool whet_i_arch_is(const char *arch, const char *name);
/* An architecture of that list with something else behind its colon: "resnet:0". Pure. */
bool whet_i_arch_is_garbled(const char *arch);
whet_i_norm_groups whet_i_arch_norms(const char *arch);
static inline bool whet_i_norms_told(whet_i_norm_groups norms) {
    return norms.count > 0 || norms.channels > 0;
}
/* How many groups a norm of that many channels has, 1 where nobody says; 0: no whole ones. Pure. */
int64_t whet_i_norm_count(whet_i_norm_groups norms, int64_t channels);
bool whet_i_spec_fits_chain(const whet_safetensors *file);
bool whet_i_spec_fits_resnet(const whet_safetensors *file);
/* Whether nothing in a residual network's widths tells where its norms stand. */
bool whet_i_spec_resnet_untold(const whet_safetensors *file);
bool whet_i_spec_fits_bert(const whet_safetensors *file);
bool whet_i_spec_fits_llama(const whet_safetensors *file);
whet_status whet_i_spec_chain(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                              const whet_permutation_hints *hints, whet_permutation_spec *spec);
whet_status whet_i_spec_resnet(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                               const whet_permutation_hints *hints, whet_permutation_spec *spec);
whet_status whet_i_spec_bert(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                             const whet_permutation_hints *hints, whet_permutation_spec *spec);
whet_status whet_i_spec_llama(whet_ctx *ctx, const char *arch, const whet_safetensors *file,
                              const whet_permutation_hints *hints, whet_permutation_spec *spec);

/* The norm of channels that has no running statistics and stands first in the specification, which may be
 * a group norm: its weight, or NULL. (spec_norms.c) */
const whet_i_spec_tensor *whet_i_spec_group_norm(const whet_permutation_spec *spec,
                                                 const whet_safetensors *file);
/* The same specification for norms without running statistics that are of such groups: channels keep to
 * them. Groups of units that share an axis (shortcuts that pad with zeros) become one. Errors: FORMAT (a norm
 * whose channels are no such groups; groups that cut each other), NOMEM. (spec_norms.c) */
WHET_CHECKED whet_status whet_i_spec_norms(whet_ctx *ctx, const whet_permutation_spec *spec,
                                           const whet_safetensors *file, whet_i_norm_groups norms,
                                           whet_permutation_spec **out);

/* ---- a network bound to a specification (bind.c) ------------------------------------------------ */

typedef struct whet_i_bound {
    const whet_permutation_spec *spec;
    whet_i_group *groups; /* sizes filled in */
    whet_tensor *a, *b;   /* [tensors of the spec]; b NULL = one network */
    int64_t *place;       /* [tensors] of b (or a) in what was given */
} whet_i_bound;

/* Matches tensors by name and shape; all that does not fit is in one sentence. What it leaves behind on
 * failure is released by _free. Errors: SHAPE, DATA, UNSUPPORTED. */
WHET_CHECKED whet_status whet_i_bind(whet_ctx *ctx, const whet_permutation_spec *spec,
                                     const whet_weights *a, const whet_weights *b, bool finite,
                                     whet_i_bound *out);
void whet_i_bound_free(whet_ctx *ctx, whet_i_bound *bound);
/* Numbers of a part; 0 = the group has no such part. */
int64_t whet_i_part_count(const whet_i_group *group, int32_t part);
/* Numbers that a unit has on this axis of length n. */
int64_t whet_i_repeat(const whet_i_bound *bound, const whet_i_axis *axis, int64_t n);

/* ---- permutations ------------------------------------------------------------------------------ */

struct whet_alignment {
    int64_t n_groups;
    int64_t *(*order)[WHET_I_PARTS]; /* [groups][parts], NULL where there is none */
    int64_t (*count)[WHET_I_PARTS];
    double objective, identity, distance_before, distance_after;
    whet_align_visit *visits;
    int64_t n_visits, cap_visits, best;
    double
        midpoint[2]; /* losses of weight matching's and of these, of straight-through refinement */
};

/* Identities. */
WHET_CHECKED whet_status whet_i_alignment_create(whet_ctx *ctx, const whet_i_bound *bound,
                                                 whet_alignment **out);
void whet_i_alignment_copy(whet_alignment *to, const whet_alignment *from); /* permutations alone */
WHET_CHECKED whet_status whet_i_alignment_visit(whet_ctx *ctx, whet_alignment *alignment,
                                                const whet_align_visit *visit);
/* Where the elements of an axis of length n come from: out [n]. */
void whet_i_axis_source(const whet_i_bound *bound, const whet_alignment *alignment,
                        const whet_i_axis *axis, int64_t n, int64_t *out);
/* One tensor of the specification moved: from has its shape, but for an axis on which nothing moves.
 * out is released by whet_tensor_destroy. (permutations.c) */
WHET_CHECKED whet_status whet_i_move_tensor(whet_ctx *ctx, const whet_i_bound *bound,
                                            const whet_alignment *alignment, int64_t tensor,
                                            const whet_tensor *from, whet_tensor *out);
/* Positions of a group's part on an axis: out [units, repeat]; -1 where a unit is not on it. */
void whet_i_axis_places(const whet_i_bound *bound, const whet_i_axis *axis, int64_t n,
                        int32_t group, int32_t part, int64_t *out);

/* ---- whether transformers keep their function (verify_transformer.c) ----------------------------- */

/* As whet_permutation_spec_verify, of a transformer: with its config.json's model_type (NULL = names tell)
 * and heads (0 = those of the specification's attentions). Warns, as `where`, of tensors that are of no
 * network that can be run here. Errors: DATA (the function is not kept: why), UNSUPPORTED (it cannot be run:
 * why), SHAPE (tensors are not those of the specification), NOMEM, LIMIT, CANCELLED. */
WHET_CHECKED whet_status whet_i_verify_transformer(whet_ctx *ctx, const char *where,
                                                   const whet_permutation_spec *spec,
                                                   const whet_weights *weights,
                                                   const char *model_type,
                                                   const whet_permutation_hints *hints);

/* ---- similarity of units (unit_products.c) ------------------------------------------------------ */

/* sum over tensors of <A's slices at unit i, B's at unit j>, the other axes permuted as `alignment` says: out
 * [n, n] of one part of a group, f64. With `since` out holds the products under those permutations, and what
 * has changed is added. room: n x WHET_I_PRODUCTS_ROOM numbers to work in, kept by the caller, for memory
 * that is new each time costs more than the work. Errors: NOMEM, LIMIT, CANCELLED; out is then of no use. */
enum { WHET_I_PRODUCTS_ROOM = 2 * 520 };
WHET_CHECKED whet_status whet_i_unit_products(whet_ctx *ctx, const whet_i_bound *bound,
                                              const whet_alignment *alignment,
                                              const whet_alignment *since, int32_t group,
                                              int32_t part, double *room, double *out);
/* The objective, of tensors of which something moves, and the squared distance of all that count. */
WHET_CHECKED whet_status whet_i_objective(whet_ctx *ctx, const whet_i_bound *bound,
                                          const whet_alignment *alignment, double *product,
                                          double *squares);

/* ---- one visit (head_matching.c) ----------------------------------------------------------------- */

/* The best permutation of the heads of a group, given products [n, n] of its four parts: `order` of the
 * parts is replaced when it is better by more than rounding. */
WHET_CHECKED whet_status whet_i_match_heads(whet_ctx *ctx, const whet_i_group *group,
                                            double *const products[WHET_I_PARTS],
                                            int64_t *const order[WHET_I_PARTS], double *before,
                                            double *after);

/* Whether the runs of a group, and its blocks, are runs of its units that do not cut each other. Pure. */
bool whet_i_runs_fit(const whet_i_group *group);
/* Whether some order may have to keep more than which units there are. */
static inline bool whet_i_has_runs(const whet_i_group *group) {
    return group->blocks > 1 || group->n_runs > 0;
}
/* The best order of a free group's units, runs and blocks kept, by gain [units, units]. (block_matching.c) */
WHET_CHECKED whet_status whet_i_match_units(whet_ctx *ctx, const whet_i_group *group,
                                            const double *gain, int64_t *order);

/* whet_align_weights for a caller that has progress of its own: stage NULL reports none, and only asks
 * whether to go on. (weight_matching.c) */
WHET_CHECKED whet_status whet_i_align_weights(whet_ctx *ctx, const whet_permutation_spec *spec,
                                              const whet_weights *a, const whet_weights *b,
                                              const whet_align_opts *opts, const char *stage,
                                              whet_alignment **out);

/* Better by more than sums round. */
static inline bool whet_i_is_better(double after, double before) {
    const double size = before < 0 ? -before : before;
    return after > before + 1e-12 * (size > 1 ? size : 1);
}

#endif
