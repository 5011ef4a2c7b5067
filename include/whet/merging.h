/* SPDX-License-Identifier: Apache-2.0
 * merging: several models of one shape into one, by any of the methods in the table. (Aligning the
 * units of two models first is whet/merge.h.)
 *
 * Sums are f64, inputs and outputs f32, f16 or bf16. Results do not depend on the number of threads,
 * nor on the order in which tensors are merged: random masks are a function of the seed, the tensor's
 * name, the model's place in the list and the element. */
#ifndef WHET_MERGING_H
#define WHET_MERGING_H

#include "whet/core.h"
#include "whet/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WHET_MERGE_MODELS_MAX 64

/* ---- methods --------------------------------------------------------------------------------- */

typedef enum whet_merge_base {
    WHET_MERGE_BASE_NONE = 0,
    WHET_MERGE_BASE_OPTIONAL = 1,
    WHET_MERGE_BASE_REQUIRED = 2
} whet_merge_base;

/* What one number of the result depends on: the numbers in its place, in its row, or the whole tensor. */
typedef enum whet_merge_scope {
    WHET_MERGE_ELEMENT = 0,
    WHET_MERGE_ROW = 1,
    WHET_MERGE_TENSOR = 2
} whet_merge_scope;

typedef struct whet_merge_method {
    const char *name, *summary;
    int32_t least, most; /* models, without the base */
    whet_merge_base base;
    whet_merge_scope scope;
    bool importance; /* needs an array like each model's that says how much its numbers matter */
} whet_merge_method;

/* The table of methods, 0 <= i < count. Pure. */
WHET_API int64_t whet_merge_method_count(void);
WHET_API const whet_merge_method *whet_merge_method_get(int64_t i);

/* A parameter of a method, for one model or, with model -1, for all. Truth values are 0 and 1. */
typedef struct whet_merge_setting {
    const char *name;
    int64_t model;
    double value;
} whet_merge_setting;

/* A parameter of a method as the table has it. */
typedef struct whet_merge_parameter {
    const char *name, *summary;
    bool per_model, truth;
    bool required;
    double preset; /* when it is not required */
    double low, high;
} whet_merge_parameter;
/* Parameter j of method i; false behind the last. Pure. */
WHET_API bool whet_merge_parameter_get(int64_t i, int64_t j, whet_merge_parameter *out);

/* ---- arrays in memory ------------------------------------------------------------------------ */

/* One tensor of every model. Views. */
typedef struct whet_merge_arrays {
    const char *name; /* of the tensor: random masks depend on it */
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    int64_t n;                      /* models, 1..WHET_MERGE_MODELS_MAX */
    const float *const *models;     /* [n] of [count] */
    const float *base;              /* NULL = none */
    const float *const *importance; /* [n] of [count], of fisher >= 0; NULL = none */
} whet_merge_arrays;

/* out [count] = the models merged; it may not overlap them. Errors: ARG (unknown method or parameter,
 * with the nearest name; out of range; missing base or models; weights that sum to 0 and are divided by
 * that), DATA (NaN or infinity, or an importance below 0, with its place; directions that cancel), NUMERIC (a
 * result that f32 does not hold), NOMEM, CANCELLED. Cost: count times models, times the passes of the method.
 * Sources: see docs/guide/merge.md. */
WHET_API WHET_CHECKED whet_status whet_merge_arrays_run(whet_ctx *ctx, const char *method,
                                                        const whet_merge_setting *settings,
                                                        int64_t n_settings, uint64_t seed,
                                                        const whet_merge_arrays *arrays,
                                                        float *out);

/* ---- models on disk -------------------------------------------------------------------------- */

/* What `whet merge` is told. Strings are read while the plan is made. A model is a .safetensors file, a
 * Hugging Face folder (model.safetensors, or the files that model.safetensors.index.json names), or
 * "model+adapter" with a LoRA folder as PEFT writes it. */
typedef struct whet_merge_job {
    size_t struct_size;
    const char *recipe; /* in mergekit's YAML; NULL = what method to settings say */
    const char *method;
    const char *const *models; /* [n_models] */
    int64_t n_models;
    const char *base; /* NULL = none; where config.json and tokenizer come from, too */
    const char *const
        *importance; /* [n_models] files of tensors named as the models'; NULL = none */
    const whet_merge_setting *settings; /* [n_settings], over those of a recipe */
    int64_t n_settings;
    const char *output; /* X.safetensors, else a folder */
    bool force;         /* replace what stands there */
    bool dtype_given; /* of the output; not: as the recipe says, else as the base or first model */
    whet_dtype dtype; /* F32, F16 or BF16 */
    int64_t shard_bytes; /* of tensors, in a file of a folder; 0 = 5e9. A tensor is never cut */
    int64_t block_bytes; /* of one model's tensor held from pass to pass; 0 = 16 MiB */
    uint64_t seed;       /* of random masks; of restarts */
    /* Hidden units of the models (and of their importances) are renumbered to match the base's, or the
     * first model's, by weights, before they are merged: "auto", an architecture, or a specification, as
     * whet_align_job's arch. NULL = they are merged as they are. The best of align_restarts counts; 0 = 1.
     * Takes the time and memory of whet_align_weights beside what merging does. */
    const char *align;
    int64_t align_restarts;
} whet_merge_job;
#define WHET_MERGE_JOB_INIT \
    { .struct_size = sizeof(whet_merge_job), .dtype = WHET_F32 }

/* Everything known from headers: what will be read, merged and written. No weight has been looked at. */
typedef struct whet_merge_plan whet_merge_plan;

typedef struct whet_merge_planned {
    const char *name, *file; /* of the output */
    whet_dtype dtype;
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    int64_t bytes;      /* of the output */
    int64_t read_bytes; /* from all models, once */
    bool copied;        /* integers, and buffers: as the base or first model has them */
} whet_merge_planned;

typedef struct whet_merge_totals {
    const char *method;
    int64_t tensors, numbers, bytes, read_bytes, files, models;
    int64_t block_bytes;  /* of the largest row block of one model that is held */
    int64_t memory_bytes; /* most that merging allocates, beside the headers */
} whet_merge_totals;

/* Reads headers and checks all that can be checked: names and shapes (all that do not fit are told at
 * once), types, settings, layers, vocabularies, room for the output. Errors: ARG, FORMAT, SHAPE, DATA,
 * UNSUPPORTED, IO (also when the output's disk is too small), EXISTS, LIMIT, NOMEM. O(headers). */
WHET_API WHET_CHECKED whet_status whet_merge_plan_create(whet_ctx *ctx, const whet_merge_job *job,
                                                         whet_merge_plan **out);
WHET_API void whet_merge_plan_destroy(whet_ctx *ctx, whet_merge_plan *plan);
WHET_API int64_t whet_merge_plan_count(const whet_merge_plan *plan);
WHET_API void whet_merge_plan_get(const whet_merge_plan *plan, int64_t i, whet_merge_planned *out);
WHET_API void whet_merge_plan_totals(const whet_merge_plan *plan, whet_merge_totals *out);

/* Merges tensor by tensor, block by block, to its place in the output, which appears when all is there.
 * What is done stands in "<output>.whet-merge" meanwhile; when the process is killed or interrupted, the
 * same job goes on from there (*resumed tensors were there), unless a model or setting changed or the
 * machine was restarted. Any other failure removes it. Errors: DATA (NaN or infinity, or an importance
 * below 0, with file, tensor and place), NUMERIC (a result that the output's type does not hold), IO,
 * EXISTS, NOMEM, CANCELLED. */
WHET_API WHET_CHECKED whet_status whet_merge_plan_run(whet_ctx *ctx, const whet_merge_plan *plan,
                                                      int64_t *resumed);

/* What became of the i-th model that was to be renumbered; false: there are no more, or nothing has run.
 * Units are those of the groups of its specification. */
typedef struct whet_merge_aligned {
    const char *model, *to;
    int64_t units, moved;
    double distance_before, distance; /* sum of (to - model)^2 over all weights */
} whet_merge_aligned;
WHET_API bool whet_merge_plan_aligned(const whet_merge_plan *plan, int64_t i,
                                      whet_merge_aligned *out);

/* ---- adapters -------------------------------------------------------------------------------- */

typedef struct whet_merge_adapters_job {
    size_t struct_size;
    const char *const *adapters; /* [n] folders: LoRA as PEFT writes it, or MoRe; all of one kind */
    const double *weights;       /* [n]; NULL = 1 each */
    int64_t n;                   /* 1..WHET_MERGE_MODELS_MAX */
    bool svd;           /* cut to `rank` by singular values; not: concatenated, exactly the sum */
    int64_t rank;       /* with svd; 0 = the largest of the adapters' */
    const char *output; /* folder */
    bool force;
} whet_merge_adapters_job;
#define WHET_MERGE_ADAPTERS_JOB_INIT \
    { .struct_size = sizeof(whet_merge_adapters_job) }

typedef struct whet_merge_adapters_summary {
    int64_t layers, rank;
    double lost; /* of svd: the largest share of a layer's norm that was cut */
} whet_merge_adapters_summary;

/* Writes the adapter whose change of each layer is the sum of weight times scale times B A of the given
 * ones: LoRA with A = [A1; A2], B = [w1 B1, w2 B2], or the nearest of a rank (Eckart & Young 1936), by
 * singular values of the thin factors; MoRe side by side in its blocks, which must divide its ranks.
 * Layers that an adapter lacks count as unchanged. What else was trained is the mean by weights. Errors:
 * ARG, IO, EXISTS, FORMAT, SHAPE, DATA (not finite), UNSUPPORTED (DoRA, other kinds), NUMERIC, NOMEM.
 * Cost (in + out) r^2 a layer with svd. */
WHET_API WHET_CHECKED whet_status whet_merge_adapters(whet_ctx *ctx,
                                                      const whet_merge_adapters_job *job,
                                                      whet_merge_adapters_summary *out);

#ifdef __cplusplus
}
#endif
#endif
