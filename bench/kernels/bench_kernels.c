/* SPDX-License-Identifier: Apache-2.0
 * The kernels of training on one thread, each beside a peer: products beside oneDNN's sgemm on the
 * same shape, kernels of rows beside memcpy of as many bytes as they read and write. Kernel and peer
 * alternate; a round's time is the thread's processor time, so that a busy machine disturbs less;
 * medians over rounds, and the median of each round's ratio, as JSON.
 *
 *   bench_kernels [ROUNDS [KERNELS [WORD]]]
 *
 * bench/results/kernels.json holds such an output with date, commit and processor.
 * KERNELS: a table's name or auto. WORD: only cases whose name contains it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "kernels/kernels_i.h"
#include "tensor/tensor_i.h"

enum { TOKENS = 4096, MOST_ROUNDS = 101, HIDDEN = 384, INNER = 1536 };

typedef struct bench bench;
typedef struct bench_case {
    const char *name;
    void (*kernel)(const bench *b);
    void (*peer)(const bench *b);
    int64_t m, n, k; /* sizes of the product, or rows and columns */
    int64_t columns; /* of c a call, for gradients of weights */
    int64_t passes;  /* over memory, for kernels of rows: reads and writes of [m, n] */
} bench_case;

struct bench {
    const whet_kernels *table;
    const bench_case *now;
    float *a, *b, *c, *packed, *scratch;
};

static void fail(const char *what) {
    (void)fprintf(stderr, "bench_kernels: %s\n", what);
    exit(1);
}

/* ---- linear layers: c [m, n] = a [m, k] w^T ----------------------------------------------------
 */

static whet_i_linear linear_of(const bench *b) {
    const bench_case *s = b->now;
    return (whet_i_linear){.rows = s->m,
                           .n = s->n,
                           .k = s->k,
                           .a = b->a,
                           .packed = b->packed,
                           .c = b->c,
                           .lda = s->k,
                           .ldc = s->n,
                           .scratch = b->scratch};
}

static void linear_f32(const bench *b) {
    const whet_i_linear p = linear_of(b);
    b->table->linear_f32(&p);
}

/* As in training: two bfloat16 parts a number, where the table has tiles. */
static void linear_f32_coarse(const bench *b) {
    whet_i_linear p = linear_of(b);
    p.coarse = true;
    b->table->linear_f32(&p);
}

/* In slabs of 512 rows, as the encoder and training call it. */
static void linear_bf16(const bench *b) {
    whet_i_linear p = linear_of(b);
    for (int64_t at = 0; at < b->now->m; at += 512, p.a += 512 * p.lda, p.c += 512 * p.ldc) {
        p.rows = 512;
        b->table->linear_bf16(&p);
    }
}

static void sgemm_linear(const bench *b) {
    const bench_case *s = b->now;
    whet_i_matmul_f32_serial(false, true, s->m, s->n, s->k, b->a, s->k, b->b, s->k, 0, b->c, s->n);
}

/* ---- gradients of weights: c [m, n] += dy [k, m]^T x [k, n], `columns` of c a call -------------
 */

static whet_i_product gradient_of(const bench *b, int64_t col) {
    const bench_case *s = b->now;
    return (whet_i_product){.m = s->m,
                            .n = s->n - col < s->columns ? s->n - col : s->columns,
                            .k = s->k,
                            .a = b->a,
                            .b = b->b + col,
                            .a_row = 1,
                            .a_col = s->m,
                            .b_row = s->n,
                            .b_col = 1,
                            .beta = 1,
                            .c = b->c + col,
                            .ldc = s->n};
}

static void gradient_f32(const bench *b) {
    for (int64_t col = 0; col < b->now->n; col += b->now->columns) {
        const whet_i_product p = gradient_of(b, col);
        b->table->product(&p);
    }
}

static void gradient_bf16(const bench *b) {
    for (int64_t col = 0; col < b->now->n; col += b->now->columns) {
        const whet_i_product p = gradient_of(b, col);
        b->table->product_bf16(&p, b->scratch);
    }
}

static void sgemm_gradient(const bench *b) {
    const bench_case *s = b->now;
    whet_i_matmul_f32_serial(true, false, s->m, s->n, s->k, b->a, s->m, b->b, s->n, 1, b->c, s->n);
}

/* ---- the small products of attention's gradient -----------------------------------------------
 */

enum { HEADS = 96, STRIDE = 3 * HIDDEN };

/* a [m, k] close, b [k, n] or its transpose inside rows of queries, keys and values. `columns` says
 * which operand is turned: 1 a, 2 b. */
static void attention_products(const bench *b, bool half, bool peer) {
    const bench_case *s = b->now;
    const bool ta = s->columns & 1, tb = s->columns & 2;
    for (int64_t h = 0; h < HEADS; h++) {
        const float *left = b->a + h * s->m * s->k, *right = b->b + h % 12 * 32;
        float *c = b->c + h * s->m * s->n;
        const whet_i_product p = {.m = s->m,
                                  .n = s->n,
                                  .k = s->k,
                                  .a = left,
                                  .b = right,
                                  .a_row = ta ? 1 : s->k,
                                  .a_col = ta ? s->m : 1,
                                  .b_row = tb ? 1 : STRIDE,
                                  .b_col = tb ? STRIDE : 1,
                                  .c = c,
                                  .ldc = s->n};
        if (peer)
            whet_i_matmul_f32_serial(ta, tb, s->m, s->n, s->k, left, ta ? s->m : s->k, right,
                                     STRIDE, 0, c, s->n);
        else if (half)
            b->table->product_bf16(&p, b->scratch);
        else
            b->table->product(&p);
    }
}

static void attention_f32(const bench *b) { attention_products(b, false, false); }
static void attention_bf16(const bench *b) { attention_products(b, true, false); }
static void sgemm_attention(const bench *b) { attention_products(b, false, true); }

/* ---- rows -------------------------------------------------------------------------------------
 */

static void layernorm(const bench *b) {
    b->table->layernorm(b->now->m, b->now->n, b->a, b->b, b->b, 1e-5f, b->c);
}

static void layernorm_backward(const bench *b) {
    b->table->layernorm_backward(&(whet_i_norm_backward){.rows = b->now->m,
                                                         .n = b->now->n,
                                                         .x = b->a,
                                                         .gamma = b->b,
                                                         .eps = 1e-5f,
                                                         .g = b->packed,
                                                         .dx = b->c,
                                                         .dgamma = b->scratch,
                                                         .dbeta = b->scratch + b->now->n});
}

static void gelu(const bench *b) {
    b->table->activate(WHET_I_ACT_GELU, b->now->m * b->now->n, b->c); /* where the peer copies */
}

static void gelu_backward(const bench *b) {
    b->table->activate_backward(WHET_I_ACT_GELU, b->now->m * b->now->n, b->a, b->c);
}

static void gelu_tanh_backward(const bench *b) {
    b->table->activate_backward(WHET_I_ACT_GELU_TANH, b->now->m * b->now->n, b->a, b->c);
}

/* Reads and writes as many numbers: half of the passes each way. */
static void copy(const bench *b) {
    memcpy(b->c, b->a, sizeof(float) * (size_t)(b->now->m * b->now->n * b->now->passes / 2));
}

/* ---- rounds -----------------------------------------------------------------------------------
 */

#define LINEAR(n, k) \
    {"linear_f32", linear_f32, sgemm_linear, TOKENS, n, k, 0, 0}, \
        {"linear_f32_coarse", linear_f32_coarse, sgemm_linear, TOKENS, n, k, 0, 0}, { \
        "linear_bf16", linear_bf16, sgemm_linear, TOKENS, n, k, 0, 0 \
    }
#define GRADIENT(m, n, columns) \
    {"weight_gradient_f32", gradient_f32, sgemm_gradient, m, n, TOKENS, columns, 0}, { \
        "weight_gradient_bf16", gradient_bf16, sgemm_gradient, m, n, TOKENS, columns, 0 \
    }
#define ATTENTION(m, n, k, turned) \
    {"attention_product_f32", attention_f32, sgemm_attention, m, n, k, turned, 0}, { \
        "attention_product_bf16", attention_bf16, sgemm_attention, m, n, k, turned, 0 \
    }

static const bench_case cases[] = {
    LINEAR(3 * HIDDEN, HIDDEN),
    LINEAR(HIDDEN, HIDDEN),
    LINEAR(INNER, HIDDEN),
    LINEAR(HIDDEN, INNER),
    {"linear_f32_512_rows", linear_f32, sgemm_linear, 512, INNER, HIDDEN, 0, 0},
    {"linear_bf16_512_rows", linear_bf16, sgemm_linear, 512, INNER, HIDDEN, 0, 0},
    GRADIENT(3 * HIDDEN, HIDDEN, 64),
    GRADIENT(3 * HIDDEN, HIDDEN, 192),
    GRADIENT(HIDDEN, HIDDEN, 192),
    GRADIENT(INNER, HIDDEN, 64),
    GRADIENT(INNER, HIDDEN, 192),
    GRADIENT(HIDDEN, INNER, 64),
    GRADIENT(HIDDEN, INNER, 192),
    ATTENTION(64, 32, 128, 0),
    ATTENTION(64, 32, 128, 1),
    ATTENTION(64, 128, 32, 2),
    {"layernorm", layernorm, copy, TOKENS, HIDDEN, 0, 0, 2},
    {"layernorm_backward", layernorm_backward, copy, TOKENS, HIDDEN, 0, 0, 3},
    {"gelu", gelu, copy, TOKENS, INNER, 0, 0, 2},
    {"gelu_backward", gelu_backward, copy, TOKENS, INNER, 0, 0, 3},
    {"gelu_tanh_backward", gelu_tanh_backward, copy, TOKENS, INNER, 0, 0, 3},
};

static double measured(const bench *b, void (*call)(const bench *)) {
    const double from = seconds(CLOCK_THREAD_CPUTIME_ID);
    call(b);
    return seconds(CLOCK_THREAD_CPUTIME_ID) - from;
}

static void run(bench *b, const bench_case *s, int rounds, bool first) {
    double kernel[MOST_ROUNDS], peer[MOST_ROUNDS], ratio[MOST_ROUNDS];
    b->now = s;
    if (strncmp(s->name, "linear_f32", 10) == 0)
        b->table->pack_f32(s->n, s->k, b->b, s->k, 1, b->packed);
    else if (strncmp(s->name, "linear_bf16", 11) == 0)
        b->table->pack_bf16(s->n, s->k, b->b, s->k, 1, (uint16_t *)(void *)b->packed);
    (void)measured(b, s->kernel);
    (void)measured(b, s->peer);
    for (int i = 0; i < rounds; i++) {
        kernel[i] = measured(b, s->kernel);
        peer[i] = measured(b, s->peer);
        ratio[i] = peer[i] / kernel[i];
    }
    const bool moves = s->passes > 0, small = s->peer == sgemm_attention;
    const double work = moves ? 4e-9 * (double)(s->passes * s->m * s->n)
                              : 2e-9 * (double)(s->m * s->n * s->k) * (small ? HEADS : 1);
    (void)printf("%s  {\"kernel\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, \"%s\": %lld, "
                 "\"%s\": %.1f, \"%s\": %.1f, \"ratio\": %.3f}",
                 first ? "" : ",\n", s->name, (long long)s->m, (long long)s->n, (long long)s->k,
                 small ? "turned" : "columns", (long long)s->columns, moves ? "GB/s" : "GFLOP/s",
                 work / median(kernel, rounds), moves ? "memcpy GB/s" : "sgemm GFLOP/s",
                 work / median(peer, rounds), median(ratio, rounds));
    (void)fflush(stdout);
}

static float *numbers_of(int64_t n, uint64_t seed) {
    float *x = malloc(sizeof *x * (size_t)n);
    if (!x) fail("out of memory");
    whet_i_rng rng;
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < n; i++) x[i] = (float)whet_i_rng_uniform(&rng) - 0.5f;
    return x;
}

int main(int argc, char **argv) {
    const int rounds = argc > 1 ? atoi(argv[1]) : 15;
    if (rounds < 1 || rounds > MOST_ROUNDS) fail("ROUNDS out of range");
    whet_ctx_opts o = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx;
    o.threads = 1;
    if (whet_ctx_create(&o, &ctx) != WHET_OK) fail("no context");
    if (whet_kernels_select(ctx, argc > 2 ? argv[2] : "auto") != WHET_OK) fail(whet_error(ctx));
    const int64_t most = 2 * TOKENS * INNER;
    bench b = {whet_i_kernels(ctx), NULL,
               numbers_of(most, 1), numbers_of(most, 2),
               numbers_of(most, 3), numbers_of(most, 4),
               numbers_of(most, 5)};
    (void)printf("{\"bench\": \"kernels\", \"table\": \"%s\", \"threads\": 1, \"rounds\": %d,\n"
                 " \"cases\": [\n",
                 b.table->name, rounds);
    bool first = true;
    for (int i = 0; i < WHET_COUNT_OF(cases); i++) {
        if (argc > 3 && !strstr(cases[i].name, argv[3])) continue;
        run(&b, &cases[i], rounds, first);
        first = false;
    }
    (void)printf("\n]}\n");
    free(b.a);
    free(b.b);
    free(b.c);
    free(b.packed);
    free(b.scratch);
    whet_ctx_destroy(ctx);
    return 0;
}
