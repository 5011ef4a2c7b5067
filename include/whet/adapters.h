/* SPDX-License-Identifier: Apache-2.0
 * adapters: small changes of linear layers kept apart from the model they are for: read, written,
 * converted, added up, and merged into it.
 *
 * A folder holds adapter_config.json and adapter_model.safetensors, as PEFT 0.21 writes and reads LoRA
 * (arXiv 2106.09685; rsLoRA, 2312.03732) and DoRA (2402.09353); MoRe (2408.17383) has the peft_type "MORE"
 * (docs/formats/adapters.md). A layer's weight W [out, in] becomes W + s M:
 *   LoRA   M = B A, A [r, in], B [out, r], s = alpha / r, or alpha / sqrt(r)
 *   DoRA   the rows of W + s B A, each made as long as its number of magnitude [out] says
 *   MoRe   M = a product of two block-diagonal matrices with N blocks and fixed permutations; s = 1
 * GraLoRA (2505.20355) is read as the LoRA that it is: of rank k r, with its order of outputs in B.
 * PEFT's LN_TUNING and BITFIT hold weights of the model itself, norms or biases: they are read, described,
 * written and merged; the rest refuses them (UNSUPPORTED). */
#ifndef WHET_ADAPTERS_H
#define WHET_ADAPTERS_H

#include "whet/core.h"
#include "whet/nn.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The adapters of a model's layers, with what else was trained: whole modules (heads) and biases.
 * Read-only once opened or made, but for whet_adapter_fit: may then be shared. */
typedef struct whet_adapter whet_adapter;

/* A folder with adapter_config.json, or with one subfolder that has it (as PEFT keeps named adapters, and
 * `whet tune` those without a head). Tensors stay in the mapped file.
 * Errors: IO, FORMAT, SHAPE (tensors that do not belong together: all of them are told), DATA (numbers that
 * are not finite), UNSUPPORTED (other kinds of adapters, options that change the mathematics, pickled
 * weights), ARG (several named adapters), NOMEM. O(numbers). */
WHET_API WHET_CHECKED whet_status whet_adapter_open(whet_ctx *ctx, const char *dir,
                                                    whet_adapter **out);
WHET_API void whet_adapter_close(whet_ctx *ctx, whet_adapter *adapter); /* NULL is fine */
/* Writes the folder: whole, or not at all. What was opened and is saved, opened and saved again has the
 * same bytes. Errors: EXISTS, IO, NOMEM. */
WHET_API WHET_CHECKED whet_status whet_adapter_save(whet_ctx *ctx, const whet_adapter *adapter,
                                                    const char *dir, bool force);
/* What it is, as the text of a JSON object, released by whet_free_text: kind, layers (module, in, out,
 * rank, blocks, scale, parameters), heads, biases and own (tensors; own: of the model itself), parameters,
 * base. Errors: NOMEM. */
WHET_API WHET_CHECKED whet_status whet_adapter_describe(whet_ctx *ctx, const whet_adapter *adapter,
                                                        char **json);

/* Leaves out modules that were trained whole, such as heads, and what the config says of them: biases and
 * norms stay. Before it is shared. */
WHET_API void whet_adapter_drop_heads(whet_adapter *adapter);

/* Whether it is MoRe, or DoRA; else LoRA. Pure. */
WHET_API bool whet_adapter_is_more(const whet_adapter *adapter);
WHET_API bool whet_adapter_is_dora(const whet_adapter *adapter);

/* Holds the adapter against the model in `model`, a folder with model.safetensors or its index: every
 * layer must be there, with a shape that fits (else SHAPE, with all that do not), and the base must be
 * the one that the adapter was trained on, as far as it says so (else DATA; with `any_base` a warning).
 * One that does not say is told in a warning. Sizes that MoRe's blocks leave open become known, and
 * where the base's rows are, which DoRA's are made of: its folder is read again where they are needed.
 * O(bytes of the model). */
WHET_API WHET_CHECKED whet_status whet_adapter_fit(whet_ctx *ctx, whet_adapter *adapter,
                                                   const char *model, bool any_base);

/* ---- other forms ------------------------------------------------------------------------------ */

typedef enum whet_adapter_form {
    WHET_ADAPTER_FORM_LORA = 0,
    WHET_ADAPTER_FORM_MORE = 1,
    WHET_ADAPTER_FORM_DORA = 2
} whet_adapter_form;

typedef struct whet_adapter_convert_opts {
    size_t struct_size;
    whet_adapter_form form;
    int64_t blocks; /* of MoRe; 0 = those it has, or 4 */
    int64_t rank;   /* 0 = the one that loses nothing */
} whet_adapter_convert_opts;
#define WHET_ADAPTER_CONVERT_OPTS_INIT \
    { sizeof(whet_adapter_convert_opts), WHET_ADAPTER_FORM_LORA, 0, 0 }

/* The adapter in another form, or of another rank. Without a rank nothing is lost: MoRe of N blocks and
 * rank r is LoRA of rank N r, LoRA of rank R is MoRe of rank N R. At a smaller rank each layer's
 * nearest in the Frobenius norm is taken, by singular values (of MoRe: of each block by itself). In
 * f64, rounded once to f32. DoRA is DoRA only; LoRA, and MoRe of rank r as LoRA of rank N r, are DoRA
 * with rows as long as they are. That, and DoRA of a smaller rank (the nearest products, rows
 * multiplied as before), need the base: after whet_adapter_fit. *report (may be NULL) is the text of a
 * JSON object: residual, the relative distance over all layers, and layers (module, rank, blocks,
 * parameters, residual). Sizes of MoRe whose blocks have room for more are exact after
 * whet_adapter_fit. Errors: ARG (ranks above a layer's, all told; DoRA without its base), UNSUPPORTED
 * (DoRA as another form), NUMERIC, IO, NOMEM, LIMIT, CANCELLED. Progress "convert". */
WHET_API WHET_CHECKED whet_status whet_adapter_convert(whet_ctx *ctx, const whet_adapter *adapter,
                                                       const whet_adapter_convert_opts *opts,
                                                       whet_adapter **out, char **report);

/* ---- without merging --------------------------------------------------------------------------- */

typedef struct whet_adapter_use {
    size_t struct_size;
    const char *const *adapters; /* [n] folders */
    const double *weights;       /* [n], NULL = 1 each */
    int64_t n;
    bool any_base;        /* a base with other weights is only warned of */
    const char *heads_of; /* as of whet_adapter_merge_job */
} whet_adapter_use;
#define WHET_ADAPTER_USE_INIT \
    { .struct_size = sizeof(whet_adapter_use) }

/* The model in `dir` with adapters in it: W + sum of weight x (W with the adapter - W), as merging has
 * it, but that layers add their adapters' products to their own, in the bits of training's evaluations.
 * Several adapters of layers are added up once (whet_adapter_combine); biases, norms and modules that
 * were trained whole (of one adapter) stand in the base's place; heads for classes are passed by. The base's
 * file is read as it is, so that its weights in bf16 lose nothing of the adapters. Cost beside the model's: 2
 * r (in + out) operations a token and layer, of DoRA as much. Errors: as loading the model,
 * whet_adapter_open, whet_adapter_fit and whet_adapter_combine. */
WHET_API WHET_CHECKED whet_status whet_encoder_load_adapted(whet_ctx *ctx, const char *dir,
                                                            const whet_encoder_opts *opts,
                                                            const whet_adapter_use *use,
                                                            whet_encoder **out);
WHET_API WHET_CHECKED whet_status whet_language_model_load_adapted(whet_ctx *ctx, const char *dir,
                                                                   whet_dtype dtype,
                                                                   const whet_adapter_use *use,
                                                                   whet_language_model **out);

/* ---- merging ---------------------------------------------------------------------------------- */

typedef struct whet_adapter_merge_job {
    size_t struct_size;
    const char *model;           /* the base, a Hugging Face folder */
    const char *const *adapters; /* [n] folders */
    const double *weights;       /* [n], NULL = 1 each */
    int64_t n;
    bool cast; /* every floating tensor becomes of type `dtype`; else each keeps its type */
    whet_dtype dtype;
    bool any_base;     /* a base with other weights is only warned of */
    const char *probe; /* table of texts on which models are compared; NULL = eight sentences */
    const char *text;  /* its column; NULL = "text" */
    const char *output;
    bool force;
    const char
        *heads_of; /* one of `adapters`, whose heads are taken and nobody else's; NULL = all */
} whet_adapter_merge_job;
#define WHET_ADAPTER_MERGE_JOB_INIT \
    { .struct_size = sizeof(whet_adapter_merge_job), .dtype = WHET_F32 }

/* Writes the folder `output`, whole or not at all: a model by itself, W + sum over adapters of weight x
 * their change of W, in f64 and rounded once; biases and norms likewise; heads of one adapter in place of the
 * base's, or new (with the classes that the adapter tells). Files of weights are written one by one, in
 * the base's parts; in memory is a piece of a tensor. Other files of the base come along, but for weights
 * in other formats. merge.json tells base, adapters, and the largest difference between merged and
 * unmerged: of layers on a random input; and of the last hidden states of the probe's texts, where this
 * library runs the model. *report (may be NULL) is its text. The base is only read. Errors: as
 * whet_adapter_open and whet_adapter_fit; ARG (two adapters with a head each of its own), NUMERIC (a sum that
 * is not finite in the type), EXISTS, IO, NOMEM, CANCELLED. Progress "merge". */
WHET_API WHET_CHECKED whet_status whet_adapter_merge(whet_ctx *ctx,
                                                     const whet_adapter_merge_job *job,
                                                     char **report);

/* ---- sums, and what training changed ----------------------------------------------------------- */

/* The sum of weight x adapter as one adapter, exactly: MoRe where all are MoRe of the same blocks and
 * of ranks that are multiples of them, else LoRA, of the sum of ranks; a smaller one is
 * whet_adapter_convert's. With DoRA among them it is DoRA, of the sum of ranks: W + sum of weight x (W
 * with the adapter - W), for which all must be fitted to the base (whet_adapter_fit). In f64, rounded
 * once to f32. Heads are those of one adapter (whet_adapter_drop_heads of the others), or the same in all
 * that have them; biases the sum of weight x bias, where the weights of those that have it sum to 1. weights
 * [n] from -1e6 to 1e6, n 1 to 256. Errors: ARG (DoRA without the base; heads, weights), DATA (other bases),
 * SHAPE, UNSUPPORTED (weights of the model itself), NUMERIC (a row of DoRA of which weights leave nothing of
 * the base's), IO, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_adapter_combine(whet_ctx *ctx,
                                                       const whet_adapter *const *adapters,
                                                       const double *weights, int64_t n,
                                                       whet_adapter **out);

typedef struct whet_adapter_project_job {
    size_t struct_size;
    const char *model;   /* the base */
    const char *tuned;   /* a model folder that training made of it; or */
    const char *adapter; /* a folder of adapters for it */
    whet_adapter_form form;
    int64_t blocks; /* of MoRe; 0 = 4 */
    int64_t rank;   /* of every layer; or */
    int64_t budget; /* numbers in all layers, shared out by what they are worth */
    const char
        *targets;  /* as whet_tune_job; NULL = every linear layer but heads and word vectors */
    bool any_base; /* of `adapter` */
} whet_adapter_project_job;
#define WHET_ADAPTER_PROJECT_JOB_INIT \
    { .struct_size = sizeof(whet_adapter_project_job), .form = WHET_ADAPTER_FORM_MORE }

/* The nearest adapter to what training changed (tuned - model, layer by layer), or to another adapter.
 * With a budget the singular values of all layers (of MoRe: of their blocks) are pooled, and ranks, of
 * MoRe in steps of N, go where they keep most for their numbers. Tensors that the base lacks, and heads
 * (classifier, score, pre_classifier) that changed, are kept whole and do not count. What else changed
 * (norms, biases, word vectors, layers that the targets leave out) is not in the adapter, and told.
 * *report (may be NULL) is the text of a JSON object: parameters, residual (relative distance over all
 * layers), layers (module, rank, blocks, parameters, norm, residual), heads, left_out, left_out_names
 * (the first 20), left_out_share (of the norm of all changes). Cost about 14 in out min(p, q) / N
 * operations a layer, twice with a budget; the matrix of a layer at a time in memory. Errors: ARG (also
 * targets of no layer; one of several is a warning), DATA (nothing changed, another base), SHAPE (also a
 * linear layer of another shape than the base's), UNSUPPORTED, NUMERIC, IO, NOMEM, CANCELLED.
 * Progress "project". */
WHET_API WHET_CHECKED whet_status whet_adapter_project(whet_ctx *ctx,
                                                       const whet_adapter_project_job *job,
                                                       whet_adapter **out, char **report);

#ifdef __cplusplus
}
#endif
#endif
