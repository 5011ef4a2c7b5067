/* SPDX-License-Identifier: Apache-2.0
 * What merging shares inside: one tensor in hand, walked over in chunks, and the methods on it.
 *
 * A method looks at a tensor in passes. `prepare` makes those that gather what the result depends on
 * (sums, order statistics), and keeps it in `state`; `write` makes the one that computes the result.
 * A pass takes the tensor chunk by chunk from wherever it lies; a tensor that fits the block of memory is
 * read once and stays there, in 16 bits where its files have them, a larger one is read again in each pass.
 * Chunks are whole rows where a method works by row, and are gone through in groups whose number does not
 * depend on the threads: sums are the same bits at any thread count. */
#ifndef WHET_MERGING_I_H
#define WHET_MERGING_I_H

#include "whet/merging.h"

#include "core/core_i.h"
#include "kernels/kernels_i.h"

/* Numbers of a chunk, unless a row is longer; groups of chunks. */
enum { WHET_I_MERGE_CHUNK = 1 << 15, WHET_I_MERGE_GROUPS = 128 };
/* Bytes of one source that are kept from pass to pass. */
enum { WHET_I_MERGE_BLOCK_BYTES = 16 << 20 };

/* ---- settings --------------------------------------------------------------------------------- */

typedef enum whet_i_setting {
    WHET_I_SET_WEIGHT,
    WHET_I_SET_DENSITY,
    WHET_I_SET_GAMMA,
    WHET_I_SET_EPSILON,
    WHET_I_SET_SCALE,
    WHET_I_SET_T,
    WHET_I_SET_NORMALIZE,
    WHET_I_SET_LAMBDA,
    WHET_I_SET_RESCALE,
    WHET_I_SET_RESCALE_L1,
    WHET_I_SET_INT8_MASK,
    WHET_I_SET_FLATTEN,
    WHET_I_SET_ROW_WISE,
    WHET_I_SET_NORMALIZE_WEIGHTS,
    WHET_I_SET_EPS,
    WHET_I_SET_MAX_ITER,
    WHET_I_SET_TOL,
    WHET_I_SET_SELECT_TOPK,
    WHET_I_SET_FILTER_WISE,
    WHET_I_SET_R,
    WHET_I_SET_ALPHA,
    WHET_I_SET_COUNT
} whet_i_setting;

typedef struct whet_i_setting_kind {
    const char *name, *summary;
    bool per_model, truth;
    double low, high;
} whet_i_setting_kind;
const whet_i_setting_kind *whet_i_setting_kind_of(whet_i_setting setting);
/* A setting by name, or -1. */
int32_t whet_i_setting_find(whet_str name);

/* A setting that a method takes; preset NAN = required. Lists end with WHET_I_SET_COUNT. */
typedef struct whet_i_setting_use {
    whet_i_setting setting;
    double preset;
} whet_i_setting_use;

/* Fills [n] with the presets of a method; NaN where one is required. Pure. */
struct whet_i_merge_method;
void whet_i_merge_presets(const struct whet_i_merge_method *method, int64_t n,
                          double (*setting)[WHET_I_SET_COUNT]);
/* ARG when it is out of range, or NaN (missing). */
WHET_CHECKED whet_status whet_i_merge_check_setting(whet_ctx *ctx,
                                                    const struct whet_i_merge_method *method,
                                                    whet_i_setting setting, double value);
/* ARG when weights that are to be divided by their sum (`normalize` is the setting that says so) have none.
 */
struct whet_i_merge_tensor;
WHET_CHECKED whet_status whet_i_merge_check_sum(whet_ctx *ctx, const struct whet_i_merge_tensor *t,
                                                whet_i_setting normalize);
/* ARG with the nearest name; method NULL = any. */
WHET_CHECKED whet_status whet_i_merge_unknown_setting(whet_ctx *ctx,
                                                      const struct whet_i_merge_method *method,
                                                      whet_str name);
/* ARG unless the method takes so many models, with or without base and importances. */
WHET_CHECKED whet_status whet_i_merge_check_models(whet_ctx *ctx,
                                                   const struct whet_i_merge_method *method,
                                                   int64_t n, bool base, bool importance);

/* ---- one tensor in hand ----------------------------------------------------------------------- */

/* Where the numbers of one model's tensor come from. */
typedef struct whet_i_merge_source {
    const char *model;   /* for sentences */
    const float *values; /* in memory; or NULL, then: */
    int fd;              /* an open file, */
    int64_t offset;      /* the byte where they begin, */
    whet_dtype dtype;    /* F32, F16, BF16 or F64 */
    /* Row r of the tensor is row rows[r] here, or where that is -1 what `words` say; NULL = r. */
    const int64_t *rows;
    const struct whet_i_merge_lora *lora;   /* added to them; NULL = nothing */
    const struct whet_i_merge_moves *moves; /* the order they are taken in; NULL = as they are */
} whet_i_merge_source;

/* A tensor taken in another order: row r is row rows[r] of the file's, number c of a row is columns[c];
 * NULL = as they are. A tensor of one axis is one row. */
typedef struct whet_i_merge_moves {
    int64_t *rows;    /* [count / width] */
    int64_t *columns; /* [width] */
    int64_t width;    /* 0 = nothing moves */
} whet_i_merge_moves;

/* Rows that are tokens: what a source takes as row r that has none, or all (forced[r]): row[r] of lender
 * from[r], zeros, or the mean of the lenders that have it, own[m][r] >= 0. */
enum { WHET_I_ROW_ZERO = -1, WHET_I_ROW_MEAN = -2 };
typedef struct whet_i_merge_words {
    int64_t n;                 /* lenders */
    const int64_t *const *own; /* [n] of [rows] */
    const int64_t *row;        /* [rows] */
    const int32_t *from;
    const bool *forced;
    const whet_i_merge_source *lender; /* [n] */
} whet_i_merge_words;

/* scale B A, of low rank. */
typedef struct whet_i_merge_lora {
    int64_t rank, in, out;
    const float *a, *b; /* [rank, in], [out, rank] */
    double scale;
} whet_i_merge_lora;

typedef struct whet_i_merge_tensor whet_i_merge_tensor;

/* Memory for what is kept from pass to pass, handed from one tensor to the next: pages that are there need
 * not be made again. It grows. */
typedef struct whet_i_merge_block {
    char *bytes;
    int64_t size;
} whet_i_merge_block;

/* Reading ahead in the plan that a tensor is an item of (merge_ahead.c). */
typedef struct whet_i_merge_ahead whet_i_merge_ahead;

/* Numbers first .. first + n - 1 of all sources. */
typedef struct whet_i_merge_chunk {
    int64_t index, first, n;
    const float *const *x; /* [sources] of [n]: models, then the base, then importances */
    float *scratch;        /* the worker's own, `scratch` of the method */
    float *out;            /* [n] where the pass writes */
    double *sums;          /* the group's own, where the pass sums; added to */
    int32_t worker;
} whet_i_merge_chunk;

typedef void (*whet_i_merge_pass)(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                                  void *arg);

typedef struct whet_i_merge_method {
    whet_merge_method shown;
    const whet_i_setting_use *settings;
    /* Numbers in a row: of the last axis, or all those of one place on the first axis. */
    bool rows_of_first_axis;
    bool by_row;     /* chunks are whole rows, also where the scope is the tensor */
    bool positive;   /* importances are refused below 0 */
    bool warns;      /* of tensors: they go one after the other, for lanes tell nothing */
    int32_t passes;  /* through the tensor, at most */
    int32_t streams; /* order statistics at once; negative: so many a model */
    /* Floats of scratch that a worker needs for chunks of so many numbers. NULL = 0. */
    int64_t (*scratch)(int64_t n, int64_t chunk);
    /* Bytes that are no scratch, no order statistics and no products of pairs of sources. NULL = 0. */
    int64_t (*beside)(const whet_i_merge_tensor *t);
    /* What settings, each in its range, say together, before any work: name, n and setting of `t` are there.
     * ARG. NULL = nothing. */
    whet_status (*check)(whet_ctx *ctx, const whet_i_merge_tensor *t);
    /* Gathers, and writes the result. */
    whet_status (*run)(whet_ctx *ctx, whet_i_merge_tensor *t);
} whet_i_merge_method;

extern const whet_i_merge_method whet_i_merge_linear, whet_i_merge_slerp, whet_i_merge_nuslerp,
    whet_i_merge_multislerp, whet_i_merge_karcher, whet_i_merge_task_arithmetic, whet_i_merge_ties,
    whet_i_merge_dare_linear, whet_i_merge_dare_ties, whet_i_merge_della, whet_i_merge_della_linear,
    whet_i_merge_breadcrumbs, whet_i_merge_breadcrumbs_ties, whet_i_merge_sce,
    whet_i_merge_model_stock, whet_i_merge_nearswap, whet_i_merge_passthrough,
    whet_i_merge_arcee_fusion, whet_i_merge_ram, whet_i_merge_ramplus, whet_i_merge_fisher,
    whet_i_merge_gradient;

/* A method by name; ARG with the nearest name. */
WHET_CHECKED whet_status whet_i_merge_find(whet_ctx *ctx, whet_str name,
                                           const whet_i_merge_method **out);
/* The method's use of a setting, or NULL. */
const whet_i_setting_use *whet_i_merge_use(const whet_i_merge_method *method,
                                           whet_i_setting setting);

struct whet_i_merge_tensor {
    const whet_i_merge_method *method;
    const char *name;
    int32_t rank;
    int64_t shape[WHET_RANK_MAX];
    int64_t count;
    int64_t n;                                 /* models */
    int64_t base;                              /* the base's place among the sources, or -1 */
    int64_t sources;                           /* models, base, importances */
    const whet_i_merge_source *source;         /* [sources] */
    const whet_i_merge_words *words;           /* of sources with rows; NULL = there are none */
    const double (*setting)[WHET_I_SET_COUNT]; /* [n]; what is not per model is that of model 0 */
    uint64_t seed;
    const float *const
        *uniform; /* [n] of [count]: what masks are drawn by, in tests; NULL = the hash */
    /* Where the result goes: memory, or a file. */
    float *out;
    int out_fd;
    int64_t out_offset;
    whet_dtype out_dtype;
    const char *out_path; /* for sentences */
    int64_t room;         /* bytes of a source that may stay in memory, */
    int64_t held;         /* of so many bytes a number: 2, as all files have them, or 4, f32, */
    int64_t keys_kept;    /* while the largest are sought, at most; 0 = 1 << 24 */
    whet_i_merge_block *block; /* here; NULL = of its own */
    whet_i_merge_ahead *ahead; /* told what is read; NULL = nothing is read ahead */
    int64_t item;              /* of its plan */

    /* From here on: of merge_passes.c. */
    int64_t row, chunk, chunks, group, groups;
    int32_t workers;
    uint64_t key; /* of random masks: seed and name */
    const whet_kernels *kernels;
    struct whet_i_merge_room *memory;
};

static inline double whet_i_merge_setting(const whet_i_merge_tensor *t, int64_t model,
                                          whet_i_setting setting) {
    return t->setting[model][setting];
}
static inline double whet_i_merge_global(const whet_i_merge_tensor *t, whet_i_setting setting) {
    return t->setting[0][setting];
}

/* Checks the settings against the method, runs it. `t` needs what stands above "of merge_passes.c".
 * Errors: ARG, DATA, IO, NOMEM, CANCELLED. */
WHET_CHECKED whet_status whet_i_merge_tensor_run(whet_ctx *ctx, whet_i_merge_tensor *t);
/* whet_merge_arrays_run with what masks are drawn by: uniform [n] of [count]; NULL = the hash. For tests.
 * */
WHET_CHECKED whet_status whet_i_merge_arrays_masked(whet_ctx *ctx, const char *name,
                                                    const whet_merge_setting *settings,
                                                    int64_t n_settings, uint64_t seed,
                                                    const whet_merge_arrays *arrays,
                                                    const float *const *uniform, float *out);
/* Bytes of what whet_i_merge_tensor_run keeps of the tensor from pass to pass, in the block; and what it
 * allocates at most beside them. Pure. */
int64_t whet_i_merge_resident_bytes(const whet_i_merge_tensor *t);
int64_t whet_i_merge_tensor_bytes(const whet_i_merge_tensor *t, int32_t threads);
/* Bytes of the largest row block of one source that it holds. Pure. */
int64_t whet_i_merge_block_bytes(const whet_i_merge_tensor *t, int32_t threads);

/* ---- passes (merge_passes.c) ------------------------------------------------------------------------ */

/* fn over all chunks; sums [n_sums], added up over them in a fixed order, or n_sums 0. */
WHET_CHECKED whet_status whet_i_merge_sums(whet_ctx *ctx, whet_i_merge_tensor *t,
                                           whet_i_merge_pass fn, void *arg, int64_t n_sums,
                                           double *sums);
/* Bytes that it takes for n_sums of `most` and fewer, once the tensor is cut. Pure. */
int64_t whet_i_merge_sums_bytes(const whet_i_merge_tensor *t, int64_t most);
/* fn writes c->out of every chunk, which goes where the result goes. */
WHET_CHECKED whet_status whet_i_merge_write(whet_ctx *ctx, whet_i_merge_tensor *t,
                                            whet_i_merge_pass fn, void *arg);

/* ---- order statistics (merge_order.c) ---------------------------------------------------- */

/* The `rank` largest of a stream of count numbers, equal ones by place: number e is among them when
 * key(e) > least, or key(e) = least and fewer than `equals` before it were equal. */
typedef struct whet_i_merge_top {
    int64_t stream, rank; /* in: 0 <= rank <= count */
    uint32_t least;       /* out */
    int64_t equals;
    int64_t
        *before; /* [chunks + 1] equals in chunks before; NULL = all or none of the equals are in */
} whet_i_merge_top;

/* Writes the keys of a chunk of stream s: whet_i_merge_key of its numbers. */
typedef void (*whet_i_merge_keys)(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c,
                                  int64_t stream, void *arg, uint32_t *keys);
/* Finds `least` and what goes with it for each of the tops, exactly, in one pass (where a sample misleads, or
 * too many are equal, in three or four). keys need n_streams. whet_i_free(before) is the caller's. */
WHET_CHECKED whet_status whet_i_merge_select(whet_ctx *ctx, whet_i_merge_tensor *t,
                                             whet_i_merge_keys keys, void *arg, int64_t n_streams,
                                             whet_i_merge_top *tops, int64_t n_tops);
/* Order of floats as unsigned integers, -0 below 0; NaN is outside. */
static inline uint32_t whet_i_merge_key(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}
static inline float whet_i_merge_key_value(uint32_t key) {
    const uint32_t bits = key & 0x80000000U ? key & 0x7fffffffU : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
/* m [n] = 1 for the numbers of a chunk, by their keys [n], that are among the top, else 0. m may lie where
 * the keys do. */
void whet_i_merge_top_mask(const whet_i_merge_tensor *t, const whet_i_merge_top *top, int64_t chunk,
                           int64_t n, const uint32_t *key, float *m);
/* Whether those of a chunk are the ones with a key of *least at least; false: some of its equals are in, and
 * some not. Pure. */
bool whet_i_merge_top_least(const whet_i_merge_top *top, int64_t chunk, uint32_t *least);

/* ---- combinations of the sources (merge_span.c) ----------------------------------------------------- */

/* gram [n, n] = products of the models, less the base when `centred`, over the whole tensor. */
WHET_CHECKED whet_status whet_i_merge_gram(whet_ctx *ctx, whet_i_merge_tensor *t, bool centred,
                                           double *gram);
/* The same over a part of a chunk. Pure. */
void whet_i_merge_gram_of(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t at,
                          int64_t n, bool centred, double *gram);
/* out = sum of factor[s] source s, models and base; sources with factor 0 are not looked at. */
void whet_i_merge_combine(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t at,
                          int64_t n, const double *factor);
/* The result is that, with one factor a source. */
WHET_CHECKED whet_status whet_i_merge_write_span(whet_ctx *ctx, whet_i_merge_tensor *t,
                                                 double *factor);
/* [n, n] from the upper triangle by rows. Pure. */
void whet_i_merge_gram_full(int64_t n, const double *upper, double *gram);

/* ---- masked differences from the base (merge_deltas.c) ---------------------------------------------- */

/* result = base + lambda sum_i w_i m_i (x_i - base) / divisor, the m_i masks; with `consensus` only
 * those of the sign that sum_i v_i m_i (x_i - base) has (TIES). */
typedef struct whet_i_merge_deltas {
    bool consensus, normalize;
    bool rescale_l1; /* m_i times what keeps the sum of |m_i (x_i - base)| that of |x_i - base| */
    bool clamp_divisor; /* below 1e-6 it is 1e-6 (SCE), not: within 1e-8 of 0 it is 1 */
    double lambda;
    double weight[WHET_MERGE_MODELS_MAX], vote[WHET_MERGE_MODELS_MAX];
    double factor[WHET_MERGE_MODELS_MAX]; /* of m_i */
    /* Writes the mask of model i on the chunk to m [c->n], 0 or a factor; NULL = 1. */
    void (*mask)(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i, void *arg,
                 float *m);
    void *arg;
    const whet_i_merge_top
        *tops; /* [n] of |x_i - base|, which `mask` goes by; NULL = by something else */
} whet_i_merge_deltas;

/* Fills in weight, normalize and lambda from the settings; no mask, no consensus. */
void whet_i_merge_deltas_init(const whet_i_merge_tensor *t, whet_i_merge_deltas *d);
WHET_CHECKED whet_status whet_i_merge_write_deltas(whet_ctx *ctx, whet_i_merge_tensor *t,
                                                   whet_i_merge_deltas *d);
/* Floats of scratch for the masks. */
int64_t whet_i_merge_deltas_scratch(int64_t n, int64_t chunk);
/* The key of |x_i - base|. */
void whet_i_merge_delta_keys(const whet_i_merge_tensor *t, const whet_i_merge_chunk *c, int64_t i,
                             void *arg, uint32_t *keys);
/* What the masks of a model are drawn by. */
static inline uint64_t whet_i_merge_stream(const whet_i_merge_tensor *t, int64_t model) {
    return whet_i_hash_u64(t->key + (uint64_t)model);
}
/* Uniform in [0, 1) for an element of a model: a function of seed, tensor, model and element alone. */
static inline double whet_i_merge_uniform(const whet_i_merge_tensor *t, int64_t model,
                                          int64_t element) {
    if (t->uniform) return (double)t->uniform[model][element];
    const uint64_t stream = whet_i_merge_stream(t, model);
    return (double)(whet_i_hash_u64(stream ^ (uint64_t)element) >> 11) * 0x1p-53;
}

/* Angles between two vectors by their products: factors a, b of the point at t on the great circle through
 * both (slerp.c). `lerp_above`: |cosine| above which the line is taken. */
void whet_i_slerp_factors(double t, double norm0, double norm1, double product, double lerp_above,
                          double *a, double *b);

#endif
