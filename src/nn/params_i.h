/* SPDX-License-Identifier: Apache-2.0
 * The parameters of a model: named arrays that come from a file or from a seed, frozen or trained,
 * and the forms that the kernels multiply by.
 *
 * The order of calls: models declare parameters while they record; values are bound to files
 * (whet_i_params_bind) or drawn; whet_i_params_settle gives memory to those that need it; plans ask
 * for packed forms; whet_i_params_pack makes them, and again after each change of values. */
#ifndef WHET_NN_PARAMS_I_H
#define WHET_NN_PARAMS_I_H

#include "whet/io.h"
#include "whet/tensor.h"

#include "core/core_i.h"
#include "kernels/kernels_i.h"

typedef int32_t whet_i_param_id;

/* How values begin that no file gives. Sources: He et al. 2015 for the uniform bounds. */
typedef enum whet_i_init {
    WHET_I_INIT_REQUIRED, /* they must come from a file */
    WHET_I_INIT_ZERO,
    WHET_I_INIT_ONE,
    WHET_I_INIT_NORMAL, /* mean 0, deviation init_scale */
    WHET_I_INIT_UNIFORM /* within init_scale */
} whet_i_init;

typedef struct whet_i_param {
    const char *name; /* as in files */
    int32_t rank;
    int64_t shape[4], count;
    whet_i_init init;
    double init_scale;
    bool decays;     /* weight decay applies: matrices, not biases, norms, statistics */
    bool statistics; /* kept and saved, never trained: running means */
    bool trainable;
    double rate;              /* times the learning rate; 1 */
    whet_tensor source;       /* in the mapped file; data NULL = none */
    whet_i_real *values;      /* NULL: frozen, and only the packed form or the file is read */
    int32_t joined;           /* values of so many parameters from this one on are one array */
    bool filled;              /* values have been read or drawn */
    bool borrowed;            /* values lie in the array of an earlier one */
    whet_i_real *gradient;    /* of trainable parameters */
    bool by_rows, by_product; /* read by rows (a table of vectors), as the weight of a product */
    /* A trained table read by rows alone: [shape[0]] rows that have ever had a gradient. What the others'
     * gradients and moments are is zero, and was never written: their memory is not taken. NULL = all. */
    uint8_t *live;
} whet_i_param;

/* The weights of a linear layer: 1..3 parameters [n_i, k] one above the other, packed for
 * y = x w^T and, where gradients pass through in bf16, for dx = dy w: in f32 a step makes that form for
 * the while. */
typedef struct whet_i_weight {
    whet_i_param_id first;
    int32_t parts;
    int64_t n, k;
    bool need_forward, need_backward, packed_forward, packed_backward;
    void *forward, *backward; /* whet_i_packed_count(n, k) and (k, n) numbers, f32 or bf16 */
} whet_i_weight;

typedef struct whet_i_params {
    whet_i_param *items;
    int64_t n, cap;
    whet_names *names;
    whet_i_weight *weights;
    int64_t n_weights, cap_weights;
    const whet_kernels *kernels;
    whet_dtype dtype; /* of packed weights: WHET_F32 or WHET_BF16 */
    whet_i_arena arena;
    void *pack_items; /* what packing works in */
    int64_t pack_cap, pack_space_count;
    whet_i_real *pack_space;
} whet_i_params;

WHET_CHECKED whet_status whet_i_params_create(whet_ctx *ctx, whet_dtype dtype, whet_i_params **out);
void whet_i_params_destroy(whet_ctx *ctx, whet_i_params *params);

/* Declares a parameter, or finds the one of that name (whose shape must be the same). */
typedef struct whet_i_param_spec {
    const char *name;
    int32_t rank;
    int64_t shape[4];
    whet_i_init init;
    double init_scale;
    bool statistics;
} whet_i_param_spec;
WHET_CHECKED whet_status whet_i_params_add(whet_ctx *ctx, whet_i_params *params,
                                           const whet_i_param_spec *spec, whet_i_param_id *out);
/* -1 when there is none. */
whet_i_param_id whet_i_params_find(const whet_i_params *params, const char *name);
/* The weight made of `parts` consecutive parameters, rank 2 and of one width; found when it was
 * declared before. Returns its number in *out. */
WHET_CHECKED whet_status whet_i_params_weight(whet_ctx *ctx, whet_i_params *params,
                                              whet_i_param_id first, int32_t parts, int32_t *out);

/* From `first` on, the values of `count` consecutive parameters, or more, lie behind each other. */
WHET_CHECKED whet_status whet_i_params_join(whet_ctx *ctx, whet_i_params *params,
                                            whet_i_param_id first, int32_t count);

/* Binds parameters that have no values yet to the tensors of an open file (which must outlive
 * them), whose names may carry `prefix`, or lack it, against ours. Tensors of another shape are
 * WHET_ERR_SHAPE, of an unreadable type WHET_ERR_UNSUPPORTED. *missing counts the parameters that
 * stay without; with NULL, a required one that is missing is WHET_ERR_FORMAT. `file` is how sentences call
 * the file. */
WHET_CHECKED whet_status whet_i_params_bind(whet_ctx *ctx, whet_i_params *params,
                                            const whet_safetensors *tensors, const char *file,
                                            const char *prefix, int64_t *missing);
/* Memory and first values: of trainable parameters with their gradients (zero), of vectors, and of
 * everything that has no file. Drawn values depend on the seed and the name alone.
 * Errors: FORMAT (required and not bound), NOMEM. */
WHET_CHECKED whet_status whet_i_params_settle(whet_ctx *ctx, whet_i_params *params, uint64_t seed);
/* Packs what plans have asked for and is not packed, or whose values may have changed
 * (trainable). Parallel over panels. */
WHET_CHECKED whet_status whet_i_params_pack(whet_ctx *ctx, whet_i_params *params);
/* n numbers from number `first` on, of its values or its file. */
void whet_i_param_read(const whet_i_params *params, whet_i_param_id id, int64_t first, int64_t n,
                       whet_i_real *out);
/* Numbers that are trained. */
int64_t whet_i_params_trainable(const whet_i_params *params);

#endif
