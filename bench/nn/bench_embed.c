/* SPDX-License-Identifier: Apache-2.0
 * The encoder's side of bench/nn/run_embed.py: a worker that does one measured round a line of
 * standard input, so that another program's rounds can be put between them.
 *
 *   bench_embed MODEL THREADS f32|bf16 ROWS TOKENS [KERNELS]
 *
 *   embed    ROWS x TOKENS random tokens through the encoder
 *   product  the encoder's linear layers alone on as many tokens, by oneDNN's sgemm, one
 *            single-threaded call a slab of 512 tokens: the rate to compare with
 * Each answers "wall-seconds cpu-seconds floating-point-operations"; `vectors FILE` writes the last
 * embeddings as raw f32, `ids FILE` the tokens as raw i32. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../clock.h"
#include "nn/nn_i.h"
#include "tensor/tensor_i.h"

enum { SLAB = 512 };

typedef struct bench {
    whet_ctx *ctx;
    whet_encoder *encoder;
    whet_token_rows rows;
    float *out;
    float *a, *w, *c; /* for `product`: every slab its own c */
    int64_t n, k;
} bench;

static void fail(const char *what) {
    (void)fprintf(stderr, "bench_embed: %s\n", what);
    exit(1);
}

static void ok(const bench *b, whet_status status) {
    if (status != WHET_OK) fail(whet_error(b->ctx));
}

static void *need(size_t bytes) {
    void *p = calloc(bytes, 1);
    if (!p) fail("out of memory");
    return p;
}

static void product_slab(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    const bench *b = arg;
    whet_i_matmul_f32_serial(false, false, SLAB, b->n, b->k, b->a + i * SLAB * b->k, b->k, b->w,
                             b->n, 0, b->c + i * SLAB * b->n, b->n);
}

/* Multiplications and additions of the linear layers on `tokens` tokens. */
static double linear_work(const bench *b, int64_t tokens) {
    const whet_i_encoder_config *c = &b->encoder->config;
    return 2.0 * (double)tokens * (double)c->layers *
           (double)(4 * c->hidden * c->hidden + 2 * c->hidden * c->inner);
}

static void product(bench *b) {
    const whet_i_encoder_config *c = &b->encoder->config;
    const int64_t shapes[][2] = {{3 * c->hidden, c->hidden},
                                 {c->hidden, c->hidden},
                                 {c->inner, c->hidden},
                                 {c->hidden, c->inner}};
    const int64_t slabs = (b->rows.start[b->rows.n_rows] + SLAB - 1) / SLAB;
    for (int64_t l = 0; l < c->layers; l++)
        for (int s = 0; s < 4; s++) {
            b->n = shapes[s][0];
            b->k = shapes[s][1];
            ok(b, whet_i_parallel_for(b->ctx, NULL, slabs, product_slab, b));
        }
}

static void setup(bench *b, char **argv) {
    whet_ctx_opts o = WHET_CTX_OPTS_INIT;
    whet_encoder_opts e = WHET_ENCODER_OPTS_INIT;
    o.threads = atoi(argv[2]);
    if (whet_ctx_create(&o, &b->ctx) != WHET_OK) fail("no context");
    if (argv[6]) ok(b, whet_kernels_select(b->ctx, argv[6]));
    e.dtype = strcmp(argv[3], "bf16") == 0 ? WHET_BF16 : WHET_F32;
    ok(b, whet_encoder_load(b->ctx, argv[1], &e, &b->encoder));
    const whet_i_encoder_config *c = &b->encoder->config;
    const int64_t n = atoll(argv[4]), tokens = atoll(argv[5]), all = n * tokens;
    if (n < 1 || tokens < 2 || tokens > c->positions) fail("ROWS or TOKENS out of range");
    b->rows.n_rows = n;
    b->rows.start = need(sizeof(int64_t) * (size_t)(n + 1));
    b->rows.ids = need(sizeof(int32_t) * (size_t)all);
    b->out = need(sizeof(float) * (size_t)(n * c->hidden));
    whet_i_rng rng;
    whet_i_rng_init(&rng, 1, 0);
    for (int64_t i = 0; i <= n; i++) b->rows.start[i] = i * tokens;
    for (int64_t i = 0; i < all; i++) b->rows.ids[i] = (int32_t)whet_i_rng_below(&rng, c->vocab);
    const int64_t slabs = (all + SLAB - 1) / SLAB,
                  wide = 3 * c->hidden > c->inner ? 3 * c->hidden : c->inner;
    b->a = need(sizeof(float) * (size_t)(slabs * SLAB * wide));
    b->c = need(sizeof(float) * (size_t)(slabs * SLAB * wide));
    b->w = need(sizeof(float) * (size_t)(wide * c->hidden));
    for (int64_t i = 0; i < wide * c->hidden; i++) b->w[i] = (float)(i % 7 - 3);
    for (int64_t i = 0; i < slabs * SLAB * wide; i++) b->a[i] = (float)(i % 5 - 2);
}

static void dump(const char *path, const void *bytes, size_t len) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) fail(path);
}

int main(int argc, char **argv) {
    if (argc < 6 || argc > 7)
        fail("usage: bench_embed MODEL THREADS f32|bf16 ROWS TOKENS [KERNELS]");
    bench b = {0};
    setup(&b, argv);
    const int64_t tokens = b.rows.start[b.rows.n_rows], dim = whet_encoder_dim(b.encoder);
    char line[4096];
    (void)printf("%s\n", whet_kernels_name(b.ctx));
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        const double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
        if (strcmp(line, "embed") == 0)
            ok(&b, whet_i_encoder_forward(b.ctx, b.encoder, &b.rows, b.out));
        else if (strcmp(line, "product") == 0)
            product(&b);
        else if (strncmp(line, "vectors ", 8) == 0)
            dump(line + 8, b.out, sizeof(float) * (size_t)(b.rows.n_rows * dim));
        else if (strncmp(line, "ids ", 4) == 0)
            dump(line + 4, b.rows.ids, sizeof(int32_t) * (size_t)tokens);
        else
            fail("unknown line");
        (void)printf("%.9f %.9f %.0f\n", seconds(CLOCK_MONOTONIC) - wall,
                     seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, linear_work(&b, tokens));
        (void)fflush(stdout);
    }
    return 0;
}
