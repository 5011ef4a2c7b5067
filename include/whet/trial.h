/* SPDX-License-Identifier: Apache-2.0
 * market: the broker's trial: what a seller's weights are worth to a buyer, measured.
 *
 * A mixture has (1 - w) of the buyer's weights and w of the seller's. The broker looks for the share w of
 * least loss on data that it holds (the selection), and measures on other data (the gate), example by
 * example, whether that mixture is better than the buyer's own by more than luck. Loss is mean
 * cross-entropy. Source: Huang, Vishwakarma & Sala 2023 (arXiv 2312.04740); its published code chooses,
 * decides and reports on one set. */
#ifndef WHET_TRIAL_H
#define WHET_TRIAL_H

#include "whet/market.h"
#include "whet/merge.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- how shares are searched ------------------------------------------------------------------------- */

typedef enum whet_trial_search {
    WHET_TRIAL_GRID = 0, /* the ten shares of whet_trial_grid, one for all goods */
    WHET_TRIAL_REFINED, /* 0, the ten and 1, then at most 12 more between the neighbours of the best
                               (Brent 1973) */
    WHET_TRIAL_GROUPS, /* refined, then a share for each layer, one layer after the other, each by the
                               grid and its ends while the others stay, until a sweep (of three at most)
                               gains nothing */
    WHET_TRIAL_GRADIENT, /* refined, then a share for each layer by projected gradient descent, twelve
                               steps at most; not of networks with batch norms */
    WHET_TRIAL_SEARCHES
} whet_trial_search;
WHET_API const char *whet_trial_search_name(whet_trial_search search); /* "grid", ... Pure. */

/* The ten shares that the published code tries: .05, .15, .. .95, with the very rounding of its steps. */
enum { WHET_TRIAL_GRID_POINTS = 10 };
WHET_API const double *whet_trial_grid(void); /* [WHET_TRIAL_GRID_POINTS]. Pure. */

/* ---- a trial ------------------------------------------------------------------------------------------- */

/* Views; what may be NULL says so. */
typedef struct whet_trial_job {
    size_t struct_size;
    const char *arch; /* of whet_mode_path: mlp, lenet, resnet, wrn */
    const whet_weights *buyer;
    const whet_weights
        *seller; /* tensors as the buyer's, by name and shape, in any order; of tensors
                                     that are no goods it need have none, unless units are aligned */
    const whet_permutation_spec
        *spec;                    /* the seller's units are renumbered first, by weights, on all
                                            tensors, whatever the goods; NULL: they are as they are */
    const whet_align_opts *align; /* NULL: defaults */
    const char *const
        *goods; /* [n_goods] tensors that are traded; the rest stays the buyer's. NULL:
                                   all. What is no real number (counters) stays the buyer's in any case */
    int64_t n_goods;
    const whet_mode_data
        *select; /* chooses the shares; by its `statistics`, where it has them, batch
                                       norms are measured again, also those of w = 0 and 1 (but the
                                       tensors of these are given as they are), or units repaired */
    const whet_mode_data
        *gate; /* other examples: judges the choice; NULL: no gate. Its statistics are
                                       not read: buyer and mixture have norms by the selection's */
    whet_trial_search search;
    bool outright; /* the seller's weights themselves may be chosen, w = 1; else w <= .95 */
    int64_t batch; /* selection: 0: the mean over examples. Else the mean of the means of batches
                                of so many, as the published code has it, the last one perhaps short */
    whet_gate_opts opts; /* of the gate: its level, and how many offers share it */
} whet_trial_job;
#define WHET_TRIAL_JOB_INIT \
    { .struct_size = sizeof(whet_trial_job), .opts = WHET_GATE_OPTS_INIT }

/* One mixture that was tried. */
typedef struct whet_trial_point {
    double weight; /* share of the seller */
    int64_t
        group; /* in whose tensors alone it was changed; -1: in all goods (weight: their mean) */
    double loss, accuracy;
} whet_trial_point;

/* A layer and its share: tensors of one name before the last dot; norms go with the layer before them. */
typedef struct whet_trial_group {
    const char *name; /* of the layer */
    int64_t tensors;  /* goods in it, >= 1 */
    double weight;
} whet_trial_group;

typedef struct whet_trial_result {
    whet_trial_point *points; /* [n_points], in the order in which they were tried */
    int64_t n_points;
    int64_t best;  /* of points: the least loss of those that may be chosen, the first wins */
    double weight; /* share chosen; with shares by layer, their mean over the numbers traded */
    whet_trial_group *groups; /* [n_groups] layers in the buyer's order, each with its share */
    int64_t n_groups;
    whet_mode_point before, after; /* on the selection: the buyer, and the mixture chosen */
    double gain;        /* (before - after) / before of these losses: chosen, so too good; 0
                                      when before is 0 */
    bool gated;         /* there was a gate: */
    whet_gate decision; /* losses, gain and verdict on its examples */
    double accuracy_before, accuracy_after; /* on its examples */
    double *losses_before, *losses_after;   /* [decision.n] of its examples; without a gate NULL */
    bool buy;                               /* decision.accept; without a gate gain > 0 */
    double moved; /* squared distance of goods, seller's (aligned) - buyer's */
    whet_named_tensor
        *mixed; /* [n_mixed] the mixture chosen: the buyer's tensors in its order, f32,
                                      counters as they are. w = 0 is the buyer to the bit, w = 1 the
                                      (aligned) seller; between them batch norms as they were measured.
                                      Names are views of the buyer's. */
    int64_t n_mixed;
} whet_trial_result;

/* Tries, chooses, judges, mixes. Buys nothing: that is the caller's.
 * Errors: ARG (no goods, or names that are no tensors, by name; options; gate and selection overlap in
 * memory), SHAPE (tensors that differ, images that differ), DATA (labels, too few examples, weights that are
 * not finite, by name), UNSUPPORTED, FORMAT (architecture), NOMEM, LIMIT, CANCELLED. Outputs are untouched
 * on failure. The bits do not depend on the threads.
 * Cost: a pass over the selection a point tried, two over the gate, the alignment; of an mlp's first layer
 * two passes in all. Memory: four copies of the weights, 108 bytes an example of the selection, of an mlp 8
 * more a unit of its first layer. */
WHET_API WHET_CHECKED whet_status whet_trial_run(whet_ctx *ctx, const whet_trial_job *job,
                                                 whet_trial_result *out);
WHET_API void whet_trial_result_free(whet_ctx *ctx, whet_trial_result *result);

/* What whet_gain_bounds asks before a trial, measured on job->select (a part of it is enough: probes cost
 * more than points of a trial): the slope at the buyer's weights, the squared distance of the goods, and as
 * smoothness the largest change of the slope between w = 0, reach / 2 and reach, 0 < reach <= 1, over
 * distance and step: of this line alone, which is what the bounds are about, and of no more of it than
 * `reach`. *loss: the buyer's. The job's gate, search, batch and opts do not matter.
 * Errors: as whet_trial_run; ARG (reach), UNSUPPORTED (batch norms, whose statistics no gradient follows),
 * DATA (the goods are the buyer's own). Cost: three passes forward and backward, the alignment. */
WHET_API WHET_CHECKED whet_status whet_trial_prior(whet_ctx *ctx, const whet_trial_job *job,
                                                   double reach, whet_gain_prior *out,
                                                   double *loss);

/* ---- from files, as whet market trial does it -------------------------------------------------------- */

/* Paths; what may be NULL says so. */
typedef struct whet_trial_files {
    size_t struct_size;
    const char *buyer, *seller; /* .safetensors */
    const char *arch;         /* mlp, lenet, resnet, wrn, or the path of a specification (.json) */
    bool align;               /* the seller's units are renumbered first, by weights */
    uint64_t seed;            /* of the orders in which that visits layers */
    int64_t restarts;         /* of that, 1.. */
    const char *const *goods; /* [n_goods] names; NULL = all */
    int64_t n_goods;
    const char *data, *labels; /* selection: [n, d], [n, h, w] or [n, h, w, c]; integers [n] */
    const char *gate_data,
        *gate_labels; /* other examples, as many dimensions; both or neither NULL */
    const char
        *statistics; /* inputs by which batch norms are measured again, of mixtures and of what
                        they are compared with; may be NULL */
    bool repair;     /* hidden units of mixtures are repaired, on these inputs or else on data */
    /* Of channels: x becomes (x - mean) / scale; bytes are divided by 255 first. NaN: of resnet ImageNet's,
     * else 0 and 1. */
    double mean[3], scale[3];
    whet_trial_search search;
    bool outright;
    int64_t batch;
    whet_gate_opts opts;
    const char *output; /* the mixture; may be NULL */
    bool force;
} whet_trial_files;
#define WHET_TRIAL_FILES_INIT \
    { \
        .struct_size = sizeof(whet_trial_files), .arch = "mlp", .restarts = 1, .scale = {1, 1, 1}, \
        .opts = WHET_GATE_OPTS_INIT \
    }

/* Reads, tries, writes. The mixture is written whatever the verdict; result->mixed is then NULL, for its
 * names would be views of files that are closed. Errors: as whet_trial_run; of reading; before that IO and
 * EXISTS of the output, ARG (the gate's examples are all among the selection's, by file or by
 * inputs and labels; some of them, or all where inputs repeat, are a warning). */
WHET_API WHET_CHECKED whet_status whet_trial_run_files(whet_ctx *ctx, const whet_trial_files *files,
                                                       whet_trial_result *out);

#ifdef __cplusplus
}
#endif
#endif
