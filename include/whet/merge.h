/* SPDX-License-Identifier: Apache-2.0
 * merge: aligning the hidden units of one network with those of another.
 *
 * Units of a hidden layer can be numbered in any order: rows of what writes them and columns of what reads
 * them move together, and the function stays. Two networks trained apart agree about no order, and a mean
 * of their weights is worth nothing until one is renumbered to match. Source: Git Re-Basin (Ainsworth et
 * al. 2023, arXiv 2209.04836).
 * Permutations gather: order[i] = j says that unit j of B becomes unit i. */
#ifndef WHET_MERGE_H
#define WHET_MERGE_H

#include "whet/core.h"
#include "whet/io.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- which axes move together: permutation specifications -------------------------------------- */

/* For each tensor, which group of units each of its axes is numbered by. Groups are free (any order), or
 * the heads of an attention: heads move as blocks, query heads stay with their keys and values, and inside
 * a head values move, and queries with keys where no rotary embedding numbers them. An axis may be made of
 * several groups behind each other (shortcuts that pad with zeros), or hold several numbers a unit (a
 * flattened image). Read-only after it is made: may be shared by threads. docs/formats/permutations.md. */
typedef struct whet_permutation_spec whet_permutation_spec;

/* Reads a specification from JSON. Errors: IO, FORMAT (with what is wrong, by name), LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_permutation_spec_read(whet_ctx *ctx, const char *path,
                                                             whet_permutation_spec **out);
/* What names and shapes do not tell; 0 = not known. */
typedef struct whet_permutation_hints {
    int64_t heads, kv_heads, head_size; /* of transformers */
    int64_t
        norm_groups; /* of group norms, where the architecture does not say and there are some */
} whet_permutation_hints;
/* Makes the specification of an architecture for the tensors of a file, as their names and shapes say.
 * arch  one of whet_permutation_archs(), or "auto": the first whose names fit.
 *       mlp, cnn: a chain of layers in the order of their numbers or names; convolutions, then linear
 *       layers, norms behind the layer of their number. lenet: the same. resnet: post-activation (He et
 *       al. 2016), blocks of two convolutions or bottlenecks, shortcuts without parameters or of a
 *       convolution and norm, also by transformers' names; pre-activation where widths tell. wrn:
 *       pre-activation. bert, roberta, distilbert, llama: names of Hugging Face. "resnet:8", "auto:8": group
 *       norms, of 8 groups; "resnet:x16": of groups of 16 channels, whatever the width; where channels have
 *       norms without running statistics no tensor tells them, and without (and without
 *       hints->norm_groups) they are taken as of one group, with a warning (1: any order of channels will
 *       do, as under layer norms or norms of each channel by itself).
 * heads, kv_heads, head_size  of transformers; 0 = not known (needed for them; kv_heads 0 = heads, head_size
 *       0 = rows of the queries / heads)
 * Errors: ARG (no such architecture; a number of groups that is of no use), FORMAT (names or
 * shapes that do not fit, by name), LIMIT, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_permutation_spec_for(whet_ctx *ctx, const char *arch,
                                                            const whet_safetensors *file,
                                                            const whet_permutation_hints *hints,
                                                            whet_permutation_spec **out);
/* "auto, mlp, ...", for a sentence. */
WHET_API const char *whet_permutation_archs(void);
/* As JSON that whet_permutation_spec_read reads. Errors: IO, EXISTS, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_permutation_spec_write(whet_ctx *ctx,
                                                              const whet_permutation_spec *spec,
                                                              const char *path, bool force);
WHET_API void whet_permutation_spec_destroy(whet_ctx *ctx, whet_permutation_spec *spec);
WHET_API int64_t whet_permutation_spec_groups(const whet_permutation_spec *spec);
WHET_API const char *whet_permutation_spec_group(const whet_permutation_spec *spec, int64_t i);
/* Whether what the network is there for is numbered by group i: hidden states of an encoder or
 * language model without a head. Where its units move, those come in another order. */
WHET_API bool whet_permutation_spec_output(const whet_permutation_spec *spec, int64_t i);
/* The architecture it was made for, or "" when it was read from a file that names none. */
WHET_API const char *whet_permutation_spec_arch(const whet_permutation_spec *spec);

/* ---- two networks and their alignment --------------------------------------------------------------- */

struct whet_mode_data;

/* Tensors of a network, by name; views. */
typedef struct whet_weights {
    const whet_named_tensor *items;
    int64_t n;
} whet_weights;

/* Where units of B go, for every group. Owned: whet_alignment_destroy. */
typedef struct whet_alignment whet_alignment;

typedef enum whet_align_method {
    WHET_ALIGN_WEIGHTS =
        0, /* the largest sum of products of weights, group by group (Git Re-Basin) */
    WHET_ALIGN_ACTIVATIONS = 1,     /* the largest correlation of what units put out on data */
    WHET_ALIGN_STRAIGHT_THROUGH = 2 /* weights, refined to the least loss of the midpoint on data */
} whet_align_method;

typedef struct whet_align_opts {
    size_t struct_size;
    int64_t restarts;   /* weights: orders of visits that are tried, 1..1000; the best one counts */
    int64_t max_sweeps; /* weights: over all groups, at most; 1.. */
    uint64_t seed;      /* of the orders; the first is that of the specification */
    int64_t keep; /* bytes: products are kept between visits where all of them take no more, so that
                         * only what has changed is added; 0 = never */
    int64_t epochs, batch; /* straight-through: passes over the data, examples of a step */
    double rate, momentum; /* straight-through: of stochastic gradient descent */
} whet_align_opts;
#define WHET_ALIGN_OPTS_INIT \
    { sizeof(whet_align_opts), 1, 100, 0, INT64_C(1) << 30, 250, 1000, 0.01, 0.9 }

/* One visit of one group. */
typedef struct whet_align_visit {
    int64_t restart, sweep, group;
    double before, after; /* its part of the objective; equal: nothing was better */
} whet_align_visit;

/* The permutations of B under which its weights agree most with those of A: coordinate descent on
 * sum over tensors of <A, B permuted>, the same as the least squared distance, in f64. A group is given its
 * best permutation while the others stay (an assignment problem; heads by assignments within one over
 * heads), and keeps what it has unless that is better; until a sweep changes nothing.
 * Errors: SHAPE (tensors that are missing, that the specification does not know, that differ in shape from
 * what it or the other network says: all of them, by name), DATA (NaN or infinity among weights, by name),
 * UNSUPPORTED (element type), NOMEM, LIMIT, CANCELLED.
 * Cost of a visit: 2 n^2 k products for a group of n units of k weights, and the assignment; memory 8 n^2
 * bytes (of an attention 32 n^2) of the largest group, or of all groups where they are kept, and 8 kB a unit
 * to work in. Progress "align". The bits do not depend on the threads. */
WHET_API WHET_CHECKED whet_status whet_align_weights(whet_ctx *ctx,
                                                     const whet_permutation_spec *spec,
                                                     const whet_weights *a, const whet_weights *b,
                                                     const whet_align_opts *opts,
                                                     whet_alignment **out);

/* Permutations drawn from the seed; identities. Sizes are those of `a`. Errors: as above. */
WHET_API WHET_CHECKED whet_status whet_alignment_random(whet_ctx *ctx,
                                                        const whet_permutation_spec *spec,
                                                        const whet_weights *a, uint64_t seed,
                                                        whet_alignment **out);
WHET_API void whet_alignment_destroy(whet_ctx *ctx, whet_alignment *alignment);

/* Permutations of group i: its units; of heads the rows of query, key, value and the columns of what mixes
 * values (part 0..3). *n their number; NULL: no such part. A view. */
WHET_API const int64_t *whet_alignment_order(const whet_alignment *alignment, int64_t group,
                                             int32_t part, int64_t *n);
/* The objective under these permutations, and under the identity: over tensors of which something moves. */
WHET_API double whet_alignment_objective(const whet_alignment *alignment);
WHET_API double whet_alignment_identity(const whet_alignment *alignment);
/* sum of (A - B permuted)^2 over all tensors but running statistics, before and after. */
WHET_API void whet_alignment_distance(const whet_alignment *alignment, double *before,
                                      double *after);
WHET_API const whet_align_visit *whet_alignment_visits(const whet_alignment *alignment, int64_t *n);
WHET_API int64_t whet_alignment_best_restart(const whet_alignment *alignment);

/* B permuted: out [items of b], in b's order, names are views of b's; every element is moved, none is
 * changed. Tensors are released by whet_tensor_destroy; on failure nothing is left.
 * Errors: as whet_align_weights. O(bytes). */
WHET_API WHET_CHECKED whet_status whet_alignment_apply(whet_ctx *ctx,
                                                       const whet_permutation_spec *spec,
                                                       const whet_alignment *alignment,
                                                       const whet_weights *b,
                                                       whet_named_tensor *out);

/* Whether the specification keeps the function of networks of these shapes: one of drawn weights is run on
 * drawn inputs, as it is and under drawn permutations. Of transformers with Hugging Face's names each layer
 * is, between embeddings and heads: heads are those of the specification (whet align looks into config.json);
 * what a group that is marked as output numbers may move. Warns of tensors that are of no network that can be
 * run. Errors: DATA (outputs differ by more than 1e-3 of the largest, or move), UNSUPPORTED (the
 * specification names no architecture that can be run: mlp, cnn, lenet, resnet, wrn; a transformer that
 * cannot), SHAPE, FORMAT. Memory: of a transformer three times a layer in f32. Progress "verify". */
WHET_API WHET_CHECKED whet_status whet_permutation_spec_verify(whet_ctx *ctx,
                                                               const whet_permutation_spec *spec,
                                                               const whet_weights *weights);

/* Where activations are alike: of each group the assignment of the largest sum of correlations between what
 * units of A and of B put out on x [n, ...], over all layers that the group numbers and all places of an
 * image; a unit that never changes correlates with nothing. Groups need not be visited again. Networks are
 * those of whet_mode_path. Source: Li et al. 2016, arXiv 1511.07543; Git Re-Basin, section 3.1.
 * Errors: as whet_align_weights; UNSUPPORTED (another architecture), SHAPE. */
WHET_API WHET_CHECKED whet_status whet_align_activations(
    whet_ctx *ctx, const whet_permutation_spec *spec, const whet_weights *a, const whet_weights *b,
    const struct whet_mode_data *data, whet_alignment **out);

/* Weight matching, refined on examples with labels: a copy of A that is matched in its place learns by
 * gradient descent to be matched so that (A + B permuted) / 2 has a small loss; the permutations of the least
 * loss over all the data are kept, those of whet_align_weights (with these options) to begin with: on these
 * data it is never worse than they are. Networks are those of whet_mode_path; batch norms are measured on
 * data->statistics where there are any. Source: Git Re-Basin, section 3.3 (whose settings are the defaults).
 * Errors: as whet_align_weights; UNSUPPORTED, SHAPE, DATA (labels), ARG (no labels; options out of range),
 * NUMERIC (gradients that are not finite). Cost: a step is one of training, a matching and, where that moves
 * units, a pass over the data: offline only. Progress "straight-through". */
WHET_API WHET_CHECKED whet_status whet_align_straight_through(
    whet_ctx *ctx, const whet_permutation_spec *spec, const whet_weights *a, const whet_weights *b,
    const struct whet_mode_data *data, const whet_align_opts *opts, whet_alignment **out);
/* Mean loss of the midpoint by weight matching, and under these permutations; 0 and 0 of other methods. */
WHET_API void whet_alignment_midpoint(const whet_alignment *alignment, double *matched,
                                      double *refined);

/* ---- what mixtures of two networks are worth -------------------------------------------------------- */

/* Examples: images, channels last, or vectors, of height and width 1. Views. */
typedef struct whet_mode_data {
    const float *x;        /* [n, height, width, channels], as the network expects them */
    const int32_t *labels; /* [n] 0..classes-1; activations do not need them */
    int64_t n, height, width, channels;
    const float
        *statistics; /* [n_statistics, ...] inputs by which batch norms are measured again wherever
                              * losses are, at the ends, too; NULL = they are averaged */
    int64_t n_statistics;
    bool
        repair; /* hidden units of mixtures get means and deviations between those of the ends, on the
                  * statistics' inputs or, without them, on x: for networks without batch norms */
    const whet_permutation_spec *spec; /* what it tells of their convolutions; may be NULL */
} whet_mode_data;

typedef struct whet_mode_point {
    double weight; /* of B */
    double loss, accuracy;
} whet_mode_point;

/* Mean cross-entropy and accuracy of (1 - w) A + w B at `points` evenly spaced w, ends included; barrier: how
 * far the loss is above the straight line between the ends, at most. Networks are mlp (linear layers of any
 * names, norms behind them, ReLU), cnn (the same with convolutions, of which data->spec tells all), lenet,
 * named as whet names it, and resnet and wrn, which are run as their tensors and data->spec say (else with
 * strides as torchvision has them: docs/guide/align.md); "resnet:8", "wrn:x8": with group norms as above
 * (alone: of one; norms with running statistics are batch norms). out [points].
 * Errors: UNSUPPORTED (another architecture; one that has layers without bias, with repair), SHAPE, DATA
 * (labels; an example alone, with repair), ARG (batch norms to be measured where there are none; repair where
 * there are), NOMEM, CANCELLED. Cost: `points` passes over the examples, and over the statistics. */
WHET_API WHET_CHECKED whet_status whet_mode_path(whet_ctx *ctx, const char *arch,
                                                 const whet_weights *a, const whet_weights *b,
                                                 const whet_mode_data *data, int64_t points,
                                                 whet_mode_point *out, double *barrier);

/* (1 - w) A + w B itself: out [items of a], f32, in a's order, names are views of a's. With data->repair its
 * hidden layers are repaired: each unit's weights are scaled and its bias shifted (of wrn, which has no
 * biases, and of "resnet:8" what group norms scale and shift by), so that what goes into its activation has
 * on the inputs the mean (1 - w) mean_A + w mean_B, and the deviation likewise (REPAIR, Jordan et al. 2023,
 * arXiv 2211.08403); the ends are A and B to the bit. Labels are not looked at.
 * Tensors are released by whet_tensor_destroy. Errors: as whet_mode_path. Cost: with repair a pass over the
 * inputs for each of the two, and one for each hidden layer. */
WHET_API WHET_CHECKED whet_status whet_mode_mixture(whet_ctx *ctx, const char *arch,
                                                    const whet_weights *a, const whet_weights *b,
                                                    const whet_mode_data *data, double weight,
                                                    whet_named_tensor *out);

/* ---- files ------------------------------------------------------------------------------------------ */

/* What whet align does. Paths that may be NULL say so. */
typedef struct whet_align_job {
    size_t struct_size;
    const char *a,
        *b;           /* .safetensors, or folders with model.safetensors or the files that its index
                        * names; config.json of or beside `a` and `b` tell heads: not others than hints do */
    const char *arch; /* of whet_permutation_archs(), or the path of a specification (.json) */
    whet_permutation_hints hints;
    whet_align_method method;
    whet_align_opts opts;
    const char *output;      /* B permuted: tensors in B's order, with the element types of B: a
                              * .safetensors file, else a folder, with B's small files where it is one */
    const char *spec_output; /* the specification as JSON; may be NULL */
    const char
        *data; /* inputs [n, d], [n, h, w] or [n, h, w, c], bytes (divided by 255) or reals; NULL:
                               * no activations, no barrier */
    const char *labels;     /* integers [n]; NULL: no barrier */
    const char *statistics; /* inputs by which batch norms are measured again; may be NULL */
    int64_t points;         /* of the barrier; 0 = none */
    bool repair;        /* mixtures are repaired too, on the statistics' inputs or else on data */
    const char *figure; /* SVG of the barrier; may be NULL */
    /* Of channels, one for all or one each: x becomes (x - mean) / scale. NaN: what networks of the
     * architecture expect: of resnet ImageNet's, else 0 and 1. */
    double mean[3], scale[3];
    bool force;
    int64_t shard_bytes; /* of tensors, in a file of a folder; 0 = 5e9. A tensor is never cut */
    const char *text, *second,
        *label;         /* columns of texts, second ones (may be NULL) and labels: `data` is
                                        * then a table, read by the encoders with a head for classes that
                                        * A and B are, and `labels` is not looked at; text NULL: arrays */
    int64_t max_length; /* tokens a text; 0 = the model's limit */
} whet_align_job;
#define WHET_ALIGN_JOB_INIT \
    { \
        .struct_size = sizeof(whet_align_job), .arch = "auto", .opts = WHET_ALIGN_OPTS_INIT, \
        .scale = { \
            1, \
            1, \
            1 \
        } \
    }

typedef enum whet_align_line {
    WHET_LINE_BEFORE,          /* A and B as they are */
    WHET_LINE_AFTER,           /* A and B aligned */
    WHET_LINE_BEFORE_MEASURED, /* the same with batch norms measured again */
    WHET_LINE_AFTER_MEASURED,
    WHET_LINE_BEFORE_REPAIRED, /* with hidden units repaired */
    WHET_LINE_AFTER_REPAIRED,
    WHET_LINES
} whet_align_line;
WHET_API const char *whet_align_line_name(whet_align_line line);

typedef struct whet_align_result {
    whet_permutation_spec *spec;
    whet_alignment *alignment;
    int64_t tensors;                    /* of B */
    int64_t files;                      /* of weights that were written; 0 = no output */
    int64_t points;                     /* of each line; 0 = none was asked for */
    whet_mode_point *lines[WHET_LINES]; /* NULL = not measured */
    double barrier[WHET_LINES];
} whet_align_result;

/* Reads, aligns, measures, writes: weights first, so that nothing is left where they find no room. Errors: as
 * the calls above; before anything is read IO and EXISTS of outputs, ARG (two at one path); IO, FORMAT.
 * Released by whet_align_result_free. */
WHET_API WHET_CHECKED whet_status whet_align_files(whet_ctx *ctx, const whet_align_job *job,
                                                   whet_align_result *out);
WHET_API void whet_align_result_free(whet_ctx *ctx, whet_align_result *result);

#ifdef __cplusplus
}
#endif
#endif
