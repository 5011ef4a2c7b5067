/* SPDX-License-Identifier: Apache-2.0
 * What modules above use of merge: mixtures of two networks, and what they are worth on data.
 * A mixture takes of each tensor (1 - s) of A's and s of B's; s is the tensor's share. */
#ifndef WHET_MERGE_I_H
#define WHET_MERGE_I_H

#include "whet/merge.h"

#include "nn/nn_i.h"

typedef struct whet_i_mixture {
    const char *arch;
    const whet_permutation_spec *told; /* of convolutions, or NULL */
    whet_i_image image;
    int64_t n; /* tensors of A, in its order; names are views of A's */
    whet_named_tensor *a, *b,
        *mixed;                     /* [n] f32; b without data: A's stays. What is no real number (a
                                         counter) is a view of A's in `a` and `mixed` */
    int64_t classes, norms;         /* columns of logits; batch norms */
    struct whet_i_mlp_mixture *mlp; /* the quick way of perceptrons, or NULL */
    struct whet_i_repair *repair;   /* of both ends on these inputs; NULL = not yet */
    const float *repaired_on;
} whet_i_mixture;

/* Two networks of one architecture, for images of this shape. traded [a->n]: tensors that are mixed; NULL =
 * all; B need not have the others. told: what a specification tells of convolutions, or NULL. What it leaves
 * behind on failure is released by _free.
 * Errors: SHAPE, DATA (not finite, by name), UNSUPPORTED, FORMAT, NOMEM, LIMIT. */
WHET_CHECKED whet_status whet_i_mixture_make(whet_ctx *ctx, const char *arch,
                                             const whet_permutation_spec *told,
                                             const whet_weights *a, const whet_weights *b,
                                             const bool *traded, const whet_i_image *image,
                                             whet_i_mixture *out);
void whet_i_mixture_free(whet_ctx *ctx, whet_i_mixture *mixture);
/* Labels of that many classes. Errors: DATA. */
WHET_CHECKED whet_status whet_i_mode_labels_check(whet_ctx *ctx, const whet_mode_data *data,
                                                  int64_t classes);
/* Examples that such networks can be scored on. Errors: ARG (none), SHAPE, DATA (labels), ARG (statistics,
 * and no batch norms). */
WHET_CHECKED whet_status whet_i_mixture_check(whet_ctx *ctx, const whet_i_mixture *mixture,
                                              const whet_mode_data *data);
/* Whether whet_mode_path would take them: what it says of networks and examples, without running any.
 * x_path, labels_path: for its sentences. (mode_path.c) */
WHET_CHECKED whet_status whet_i_mode_check(whet_ctx *ctx, const char *arch, const whet_weights *a,
                                           const whet_weights *b, const whet_mode_data *data,
                                           const char *x_path, const char *labels_path);
/* All shares s, of what is traded. shares [n] */
void whet_i_mixture_share(const whet_i_mixture *mixture, double s, double *shares);

/* What one mixture does on each example: losses [n], right [n] 0 or 1 (the first of equal logits counts). */
typedef struct whet_i_scores {
    double *losses;
    uint8_t *right;
} whet_i_scores;
/* shares [points, tensors], out [points, n] behind each other. Batch norms are measured again on the data's
 * statistics, those of A and B as well; or hidden units repaired (a layer's share is that of its weights),
 * but where all is A's or all is B's. Calls with the same data share what they have in common: it must not
 * change while the mixture lives. Errors: NOMEM, LIMIT, CANCELLED; those of whet_i_repair_create. */
WHET_CHECKED whet_status whet_i_mixture_score(whet_ctx *ctx, whet_i_mixture *mixture,
                                              const double *shares, int64_t points,
                                              const whet_mode_data *data, const whet_i_scores *out);
/* The tensors of one mixture, as it is scored: out [n], released one by one. Norms as above, but all of A or
 * all of B is it to the bit; statistics NULL: they are averaged. Errors: NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_mixture_tensors(whet_ctx *ctx, whet_i_mixture *mixture,
                                                const double *shares, const whet_mode_data *data,
                                                whet_named_tensor *out);
/* Running statistics of batch norms among the weights (f32, in the caller's memory) become those of the
 * inputs x [n, ...]. Errors: those of networks, DATA (fewer than 2 inputs), NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_norms_measure(whet_ctx *ctx, const char *arch,
                                              const whet_weights *weights,
                                              const whet_i_image *image, const float *x, int64_t n);
/* The loss of one mixture and its slope in each tensor's share, <gradient, B - A>: slopes [n], 0 of what is
 * not traded. One pass forward and backward. Errors: UNSUPPORTED (batch norms: their statistics move along
 * the line, and no gradient says how), NOMEM, CANCELLED. (mixture_slope.c) */
WHET_CHECKED whet_status whet_i_mixture_slope(whet_ctx *ctx, whet_i_mixture *mixture,
                                              const double *shares, const whet_mode_data *data,
                                              double *loss, double *slopes);
/* The mixture's tensors as `mixed`. */
void whet_i_mixture_set(const whet_i_mixture *mixture, const double *shares);
/* Means of n losses and right guesses, in order. batch > 0: the mean of the means of batches. Pure. */
void whet_i_scores_mean(const double *losses, const uint8_t *right, int64_t n, int64_t batch,
                        double *loss, double *accuracy);

/* ---- parts of networks (spec_part.c) --------------------------------------------------------- */

/* The specification of those tensors of `weights` that are `revealed` [weights->n]: groups of units of which
 * all weights (of rank 2 or more) that make them, rows of the first axis, are revealed; other units stay as
 * they are. *out NULL: no group is left. Errors: NOMEM. */
WHET_CHECKED whet_status whet_i_spec_part(whet_ctx *ctx, const whet_permutation_spec *spec,
                                          const whet_weights *weights, const bool *revealed,
                                          whet_permutation_spec **out);

/* ---- networks in files that are run (spec_of_files.c) ------------------------------------------ */

/* What two networks in .safetensors files are run by, the first with these weights: a specification in a file
 * (.json), which is proved; that of an architecture, where one is aligned to the other; else one that has the
 * architecture's name alone. Strides are told to it as config.json's beside the files say them. Errors: as
 * whet_permutation_spec_for, _read and _verify; DATA (what they say differs). */
WHET_CHECKED whet_status whet_i_spec_to_run(whet_ctx *ctx, const char *arch,
                                            const char *const paths[2],
                                            const whet_safetensors *first,
                                            const whet_weights *weights, bool aligned,
                                            whet_permutation_spec **out);

/* ---- examples from files (mode_inputs.c) ----------------------------------------------------- */

/* Inputs and labels of a job, as networks of an architecture expect them: its data, labels, statistics, mean
 * and scale, of which one, or one a channel, stands before NaN. (mode_inputs.c) */
typedef struct whet_i_mode_inputs {
    whet_tensor x, statistics, labels;
    whet_mode_data data;
} whet_i_mode_inputs;
/* Errors: those of whet_array_read; SHAPE, DATA, ARG. Released by _free, also on failure. */
WHET_CHECKED whet_status whet_i_mode_inputs_read(whet_ctx *ctx, const whet_align_job *job,
                                                 const char *arch, whet_i_mode_inputs *out);
void whet_i_mode_inputs_free(whet_ctx *ctx, whet_i_mode_inputs *inputs);

#endif
