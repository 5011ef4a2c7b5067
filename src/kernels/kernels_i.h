/* SPDX-License-Identifier: Apache-2.0
 * The table of CPU kernels. ref.c fills every slot in plain C and is the specification; avx2.c and
 * avx512.c put faster ones in their place. Kernels cannot fail, take no context, allocate nothing,
 * run on the calling thread, and work on rows, panels or sequences, never on single numbers.
 *
 * What all tables keep: the bits of an output row depend on that row's inputs alone, not on how
 * many rows stand beside it, nor on where it stands. Different tables may round differently, within
 * the bounds that tests/unit/kernels argues. NaN in gives NaN out.
 * Pointers need only the alignment of their element type. Outputs must not overlap inputs unless
 * said. */
#ifndef WHET_KERNELS_I_H
#define WHET_KERNELS_I_H

#include "whet/kernels.h"

#include "core/core_i.h"

/* What networks compute in. The sources of the engine and ref.c are also compiled with
 * WHET_I_DOUBLE, by tests alone, so that gradients can be checked against finite differences. */
#ifdef WHET_I_DOUBLE
typedef double whet_i_real;
#else
typedef float whet_i_real;
#endif

typedef enum whet_i_act {
    WHET_I_ACT_NONE,
    WHET_I_ACT_GELU,      /* x Phi(x), by the error function */
    WHET_I_ACT_GELU_TANH, /* its approximation by tanh (Hendrycks & Gimpel 2016) */
    WHET_I_ACT_RELU,
    WHET_I_ACT_SILU, /* x / (1 + exp(-x)) */
    WHET_I_ACT_TANH
} whet_i_act;

/* A factor of an adapter: w [rank, n], between short rows z [rank N] and long ones x [n], where number
 * o of a long row goes with numbers c N + o mod N of the short one (N blocks). Every array's rows are
 * their own ld.. apart; `out` is what the kernel writes:
 *   monarch_dot    z[i][c N + l] = sum of w[c][o] x[i][o] over o = l, l + N, l + 2 N, .. < n
 *   monarch_add    x[i][o] += sum_c w[c][o] z[i][c N + o mod N]         a chain from x on, c ascending
 *   monarch_outer  w[c][o] += sum_i z[i][c N + o mod N] x[i][o]         a chain from w on, i ascending
 * so that rows or sums cut anywhere have the same bits. N = 1 are products of matrices. */
typedef struct whet_i_monarch {
    int64_t rows, n, rank, blocks;
    const whet_i_real *x, *z, *w;
    int64_t ldx, ldz, ldw;
    whet_i_real *out;
    int64_t ldo;
} whet_i_monarch;

/* What a linear layer adds to some of its columns: monarch_add of rows z as they are of a. `out`, ldo
 * and the rows are the layer's. */
typedef struct whet_i_linear_add {
    int64_t
        first; /* column, a multiple of WHET_I_PANEL from where w's panels begin; may be negative */
    whet_i_monarch product;
} whet_i_linear_add;
enum { WHET_I_LINEAR_ADDS = 3 };

/* c = act(a w^T + adds + bias) + residual, the linear layer of a network, w packed beforehand. */
typedef struct whet_i_linear {
    int64_t rows, n, k;          /* a [rows, k], w [n, k], c [rows, n] */
    const whet_i_real *a;        /* rows lda apart */
    const void *packed;          /* w as pack_f32 or pack_bf16 of the same table wrote it */
    const whet_i_real *bias;     /* [n], or NULL */
    const whet_i_real *residual; /* [rows, n], rows ldr apart, or NULL; may be c */
    whet_i_real *before;         /* a w^T + bias is written here too, rows ldc apart; NULL = not */
    uint16_t *before_half;       /* the same, as bfloat16 to nearest even */
    whet_i_real *c;              /* rows ldc apart; NULL = only `before` is wanted */
    int64_t lda, ldr, ldc;
    whet_i_act act;
    /* Of training: tables that cut f32 into parts may leave 3.1 x 2^-16 of each product out. */
    bool coarse;
    void *scratch; /* linear_f32_scratch or linear_bf16_scratch bytes for rows, k or more */
    int32_t n_adds;
    whet_i_linear_add adds[WHET_I_LINEAR_ADDS];
} whet_i_linear;

/* out = softmax(scale q k^T) v for one head of one sequence. */
typedef struct whet_i_attention {
    int64_t t, d;                 /* tokens, numbers a head; k, v [t, d] */
    int64_t queries;              /* rows of q and out, those of the last tokens; 0 = t */
    bool causal;                  /* a token attends to itself and those before it */
    const whet_i_real *q, *k, *v; /* rows ld apart, of q ldq (0 = ld) */
    int64_t ld, ldq, ldo;         /* rows of out are ldo apart */
    whet_i_real scale;
    whet_i_real *out;
    whet_i_real *scratch; /* whet_i_attention_scratch(t, d) numbers */
} whet_i_attention;

/* c = a b + beta c, any operands: a [m, k], b [k, n], c [m, n], k >= 1; neighbours in a row of a are
 * a_col apart, in a column a_row, so that a transposed operand is one with the two exchanged. With
 * beta 0, c is not read. */
typedef struct whet_i_product_f64 {
    int64_t m, n, k;
    const double *a, *b;
    int64_t a_row, a_col, b_row, b_col;
    double beta;
    double *c; /* rows ldc apart */
    int64_t ldc;
} whet_i_product_f64;

/* The same in whet_i_real. */
typedef struct whet_i_product {
    int64_t m, n, k;
    const whet_i_real *a, *b;
    int64_t a_row, a_col, b_row, b_col;
    whet_i_real beta;
    whet_i_real *c;
    int64_t ldc;
    bool coarse; /* as in whet_i_linear */
} whet_i_product;

/* The gradients of a norm over rows: x, g and dx [rows, n]. */
typedef struct whet_i_norm_backward {
    int64_t rows, n;
    const whet_i_real *x, *gamma;
    whet_i_real eps;
    const whet_i_real *g;        /* with respect to the norm's output */
    whet_i_real *dx;             /* may be g; NULL = not wanted */
    bool adds;                   /* add to dx */
    whet_i_real *dgamma, *dbeta; /* [n], added to; NULL = not wanted */
} whet_i_norm_backward;

/* A norm by columns (channels) and what follows it, y = act(z), z = (x - mean) scale + beta +
 * residual, act(z) = z where z > 0, else slope z; and its gradients. All arrays [rows, n] or [n]. */
typedef struct whet_i_channels {
    int64_t rows, n;
    const whet_i_real *x, *mean, *scale, *beta;
    const whet_i_real *residual; /* NULL = none */
    whet_i_real slope;
    whet_i_real *y; /* may be x. Backward: read for the sign of z, and then g is written; NULL = the
                     * sign is found from x again, and g left as it is */
    /* backward */
    whet_i_real *g;                    /* gradient of y; where it is written, of z */
    double *sum, *products;            /* added to: sum g, sum g (x - mean) */
    const whet_i_real *first, *second; /* dx = scale (g - first - (x - mean) second) */
    whet_i_real *dx;                   /* may be g */
    bool gated, adds;                  /* g is of z already; add to dx */
} whet_i_channels;

/* Rows of votes: r = softmax(base + sum of the rows of table that its cells name), and, where counts are
 * wanted, r times the row's weight added to the counts of those cells and to the total (r is then not kept).
 * width is a multiple of 8; base is at most -1e4 where no class is, which gives 0. Every table has the same
 * bits. */
typedef struct whet_i_vote_rows {
    int64_t rows, width;
    const int32_t *start; /* [rows + 1] of cell */
    const int32_t *cell;
    const double *base, *table; /* [width], [cells, width] */
    const double *weight;       /* [rows], or NULL = 1 */
    double *r;                  /* [rows, width] */
    double *counts;             /* [cells, width], or NULL */
    double *total;              /* [width] */
    double *likelihood;         /* += sum of weight ln sum exp score */
} whet_i_vote_rows;

/* One row of an assignment problem's costs, x_j = base + (sign c_j - v_j), never NaN. v_j may be -infinity,
 * which makes x_j infinite: such a column counts for nothing. */
typedef struct whet_i_assignment_row {
    int64_t n;
    const float *f32; /* c [n]; NULL: f64 is */
    const double *f64;
    double sign; /* 1 or -1 */
    double base;
    const double *v; /* [n] */
} whet_i_assignment_row;

/* out = base + lambda sum / divisor over models of weighted (x - base) mask factor; with `consensus` of those
 * alone whose vote times that has the sign of the votes' sum, 0 counting as positive. */
typedef struct whet_i_election {
    int64_t n, models;
    const float *const *x; /* [models] of [n] */
    const float *base;     /* [n] */
    const float *mask;     /* [models, n], rows ld_mask apart; NULL = 1 */
    int64_t ld_mask;
    /* [models]: NULL, or, in place of masks, what the keys of |x - base| are at least (difference_keys) where
     * a model counts, below 1 << 31 = everywhere. */
    const uint32_t *least;
    const double *factor, *weight, *vote; /* [models] */
    bool consensus;
    bool
        normalize; /* divided by the weights of what is summed; not where that is within 1e-8 of 0 */
    bool clamp_divisor; /* by 1e-6 at least, instead */
    double lambda;
    float *out; /* [n] */
} whet_i_election;

/* diag(diagonal) - coupling W on the rows that are not fixed; row i of W has weight[e] in column to[e],
 * start[i] <= e < start[i + 1]. */
typedef struct whet_i_sparse {
    int64_t n;
    const int64_t *start, *to;
    const double *weight, *diagonal;
    double coupling;
    const bool *fixed; /* [n]; NULL = none */
} whet_i_sparse;
enum { WHET_I_SIDES = 16 }; /* right sides that are solved for at once */

/* Columns of a packed panel, in every table: w^T is cut into panels of this many columns, each
 * [k, WHET_I_PANEL], the last one padded with zeros. */
#define WHET_I_PANEL 64
/* Numbers from one panel to the next: k rounded up, since bf16 panels may hold pairs, or tiles. */
static inline int64_t whet_i_panel_step(int64_t k) { return WHET_I_PANEL * ((k + 31) / 32 * 32); }

typedef struct whet_kernels {
    const char *name;
    bool (*supported)(void); /* by processor and operating system */

    /* w [n, k] into whet_i_packed_count(n, k) numbers: neighbours in a row of w are `column` apart,
     * in a column `row`, so that w^T is w with the two exchanged */
    void (*pack_f32)(int64_t n, int64_t k, const whet_i_real *w, int64_t row, int64_t column,
                     whet_i_real *packed);
    void (*linear_f32)(const whet_i_linear *args);
    int64_t (*linear_f32_scratch)(int64_t rows, int64_t k); /* bytes, no fewer for more rows */
    bool linear_f32_converts; /* the weights, in every call: fewer calls of more rows are faster */
    /* The same with weights of bfloat16, rounded to nearest even when packed. Sums are f32. */
    void (*pack_bf16)(int64_t n, int64_t k, const whet_i_real *w, int64_t row, int64_t column,
                      uint16_t *packed);
    void (*linear_bf16)(const whet_i_linear *args);
    int64_t (*linear_bf16_scratch)(int64_t rows, int64_t k); /* the same, for linear_bf16 */
    /* linear_bf16 rounds a to bfloat16, too, and multiplies at a higher rate; numbers below the
     * normal range count as 0 */
    bool bf16_products;

    void (*product_f64)(const whet_i_product_f64 *args);
    /* Any part of c computed alone has the bits it has in the whole, whatever the strides. a is read
     * once for every 192 columns of c, b once a call: a c of few columns costs bandwidth. Takes up to
     * 210 KB of stack. */
    void (*product)(const whet_i_product *args);
    /* The same; tables with bf16_products round a and b to bfloat16 and multiply at that rate.
     * scratch: product_bf16_scratch(m, n) bytes. */
    void (*product_bf16)(const whet_i_product *args, void *scratch);
    int64_t (*product_bf16_scratch)(int64_t m, int64_t n);

    /* Rows of z and x, and sums of outer, at any place. */
    void (*monarch_dot)(const whet_i_monarch *args);
    void (*monarch_add)(const whet_i_monarch *args);
    void (*monarch_outer)(const whet_i_monarch *args);

    void (*attention)(const whet_i_attention *args);
    /* out = (x - mean) / sqrt(variance + eps) * gamma + beta by rows of n; out may be x. */
    void (*layernorm)(int64_t rows, int64_t n, const whet_i_real *x, const whet_i_real *gamma,
                      const whet_i_real *beta, whet_i_real eps, whet_i_real *out);
    void (*layernorm_backward)(const whet_i_norm_backward *args);
    /* out = x / sqrt(mean of squares + eps) * gamma; out may be x. */
    void (*rmsnorm)(int64_t rows, int64_t n, const whet_i_real *x, const whet_i_real *gamma,
                    whet_i_real eps, whet_i_real *out);
    void (*rmsnorm_backward)(const whet_i_norm_backward *args); /* dbeta NULL */
    void (*activate)(whet_i_act act, int64_t n, whet_i_real *x);
    /* g *= act'(x) */
    void (*activate_backward)(whet_i_act act, int64_t n, const whet_i_real *x, whet_i_real *g);
    /* exp(x - max) / sum in place; -infinity gives 0. n >= 1. */
    void (*softmax)(int64_t n, whet_i_real *x);
    /* g = scale p (g - sum p g), the gradient through p = softmax(scale x) */
    void (*softmax_backward)(int64_t n, whet_i_real scale, const whet_i_real *p, whet_i_real *g);
    /* Columns j of x [n, WHET_I_PANEL], n >= 1: most_j = max_i x_ij, sum_j = sum_i exp(x_ij - most_j). */
    void (*panel_softmax)(int64_t n, const whet_i_real *x, whet_i_real *most, whet_i_real *sum);
    whet_i_real (*dot)(int64_t n, const whet_i_real *a, const whet_i_real *b);
    void (*add)(int64_t n, const whet_i_real *x, whet_i_real *sum); /* sum += x */
    /* sum += factor x */
    void (*add_scaled)(int64_t n, whet_i_real factor, const whet_i_real *x, whet_i_real *sum);
    void (*scale)(int64_t n, whet_i_real factor, whet_i_real *x); /* x *= factor */
    whet_i_real (*squared_distance)(int64_t n, const whet_i_real *a, const whet_i_real *b);

    void (*f32_from_bf16)(int64_t n, const uint16_t *in, float *out);
    void (*bf16_from_f32)(int64_t n, const float *in, uint16_t *out); /* to nearest even */
    void (*f32_from_f16)(int64_t n, const uint16_t *in, float *out);

    /* sum += x - center, squares += (x - center)^2 by columns; 16 rows at a time in whet_i_real */
    void (*channel_moments)(int64_t rows, int64_t n, const whet_i_real *x,
                            const whet_i_real *center, double *sum, double *squares);
    void (*channel_norm)(const whet_i_channels *args);
    void (*channel_norm_sums)(const whet_i_channels *args);     /* g, sum, products */
    void (*channel_norm_backward)(const whet_i_channels *args); /* dx */

    /* How many bits are set in both a [words] and b [words]. */
    int64_t (*common_bits)(int64_t words, const uint64_t *a, const uint64_t *b);
    void (*vote_rows)(const whet_i_vote_rows *args);
    /* x = exp(x) for x <= 0 in place, 0 below -700; relative error below 2^-51, NaN stays. Every table has
     * the same bits, wherever in x a number stands. n >= 0. */
    void (*exp_f64)(int64_t n, double *x);

    /* Every table has the same bits. n >= 1. */
    /* The least x_j, at most `most` >= 1 of them, ascending, of equals the lower j first, and their places;
     * how many there are below infinity. */
    int64_t (*cost_least)(const whet_i_assignment_row *args, int64_t most, double *least,
                          int64_t *at);
    /* The first place from `first` on where x_j is `value`; n when there is none. */
    int64_t (*cost_find)(const whet_i_assignment_row *args, double value, int64_t first);
    /* Where x_j < key_j: key_j = x_j, from_j = row. Returns the least key. */
    double (*cost_relax)(const whet_i_assignment_row *args, int64_t row, double *key,
                         int64_t *from);

    /* Every table has the same bits. n >= 0. */
    /* The place of the first number whose bits without the sign are `limit` at least; n = there is none. */
    int64_t (*first_from)(int64_t n, const float *x, uint32_t limit);
    /* key = bits of |x - base|, the highest set, which order as the numbers do. */
    void (*difference_keys)(int64_t n, const float *x, const float *base, uint32_t *key);
    /* Those of low..high, in their order, to out [n], which may be key; how many they are; *above is added
     * how many are higher. */
    int64_t (*keys_between)(int64_t n, const uint32_t *key, uint32_t low, uint32_t high,
                            int64_t *above, uint32_t *out);
    /* m = 1 where key >= least, else 0; m may lie where key does. */
    void (*keys_mask)(int64_t n, const uint32_t *key, uint32_t least, float *m);
    /* out = sum of factor x over sources, in their order, those with factor 0 not looked at; sums are f64. */
    void (*combine)(int64_t n, int64_t sources, const float *const *x, const double *factor,
                    float *out);
    void (*elect)(const whet_i_election *args);
    /* *all += sum of |x - base|, *kept += sum of that times mask (NULL = 1), in chains of eight. */
    void (*difference_sums)(int64_t n, const float *x, const float *base, const float *mask,
                            double *all, double *kept);
    /* m = 1 where the upper 53 bits of whet_i_hash_u64(stream ^ (first + e)), a number below 1, are below
     * `share`, else 0. 0 <= share <= 1. */
    void (*drawn_mask)(int64_t n, uint64_t stream, int64_t first, double share, float *m);
    /* to [n] = from where it is kept, times keep, else 0; or that is added to it. Number i is dropped
     * where 16 bits of whet_i_hash_u64(stream ^ (first + i) / 4) are below threshold, four numbers a
     * hash, the lowest bits first. first is a multiple of 4; to may be from. */
    void (*dropout)(int64_t n, uint64_t stream, int64_t first, uint32_t threshold, whet_i_real keep,
                    const whet_i_real *from, bool adds, whet_i_real *to);

    /* Of a sparse system A; vectors are [n, WHET_I_SIDES] of f64, rows that are fixed are not looked at.
     * out = A p, sums = p . out; p = r / diagonal + turn p; x += step p, r -= step ap, rr = r . r and
     * rz = r . r / diagonal. */
    void (*sparse_product)(const whet_i_sparse *a, const double *p, double *out, double *sums);
    void (*sparse_turn)(const whet_i_sparse *a, const double *r, const double *turn, double *p);
    void (*sparse_advance)(const whet_i_sparse *a, const double *step, const double *p,
                           const double *ap, double *x, double *r, double *rr, double *rz);
} whet_kernels;

/* The tables this build has, best first, NULL at the end. */
const whet_kernels *const *whet_i_kernels_all(void);
/* The context's table, chosen on first use. From the thread that owns the context only; the table
 * itself is constant and may be used by any thread. */
const whet_kernels *whet_i_kernels(whet_ctx *ctx);

/* The best table here, for calls without a context. Pure. */
const whet_kernels *whet_i_kernels_best(void);
/* The same for products in f64, which matrix tiles do not have: to ask a virtual machine for those takes some
 * 50 us, longer than a small product. */
const whet_kernels *whet_i_kernels_f64(void);

/* Numbers of a packed [n, k] matrix, and floats of attention's scratch; sizes must be checked
 * first (whet_i_mul): at most about 2^40 each. */
int64_t whet_i_packed_count(int64_t n, int64_t k);
int64_t whet_i_attention_scratch(int64_t t, int64_t d);

/* The reference table, and those of its slots that other tables keep. */
extern const whet_kernels whet_i_kernels_ref;
int64_t whet_i_ref_linear_f32_scratch(int64_t rows, int64_t k); /* 0 */
void whet_i_ref_monarch_dot(const whet_i_monarch *args);
void whet_i_ref_monarch_add(const whet_i_monarch *args);
void whet_i_ref_monarch_outer(const whet_i_monarch *args);
/* monarch_add of rows i.. and columns o.. alone; `to` is where the first of them lies. */
void whet_i_ref_monarch_add_block(const whet_i_monarch *args, int64_t i, int64_t rows, int64_t o,
                                  int64_t cols, whet_i_real *to, int64_t ldo);
void whet_i_ref_channel_moments(int64_t rows, int64_t n, const whet_i_real *x,
                                const whet_i_real *center, double *sum, double *squares);
void whet_i_ref_channel_norm(const whet_i_channels *args);
void whet_i_ref_channel_norm_sums(const whet_i_channels *args);
void whet_i_ref_channel_norm_backward(const whet_i_channels *args);
void whet_i_ref_pack_bf16(int64_t n, int64_t k, const whet_i_real *w, int64_t row, int64_t column,
                          uint16_t *packed);
void whet_i_ref_bf16_from_f32(int64_t n, const float *in, uint16_t *out);
void whet_i_ref_f32_from_f16(int64_t n, const uint16_t *in, float *out);

#endif
