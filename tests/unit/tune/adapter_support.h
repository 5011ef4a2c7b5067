/* SPDX-License-Identifier: Apache-2.0
 * What the tests of adapters share: folders made of tensors and a config, and the matrix that a layer's
 * adapter is, by the formula of its definition, entry by entry. */
#ifndef WHET_ADAPTER_SUPPORT_H
#define WHET_ADAPTER_SUPPORT_H

#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tune/adapter_set.h"

#define PEFT "base_model.model."
enum { TENSORS_MAX = 16 };

typedef struct tensors {
    whet_named_tensor items[TENSORS_MAX];
    int64_t n;
} tensors;

/* n numbers without a pattern, the same in each run. */
static inline float *numbers(int64_t n, uint64_t seed) {
    float *values = malloc((size_t)(n > 0 ? n : 1) * sizeof *values);
    whet_i_rng rng;
    assert_non_null(values);
    whet_i_rng_init(&rng, seed, 0);
    for (int64_t i = 0; i < n; i++) values[i] = (float)whet_i_rng_normal(&rng);
    return values;
}

/* A tensor [a, b, c] with the sizes that are above 0; released by tensors_free. */
static inline float *add(tensors *t, const char *name, int64_t a, int64_t b, int64_t c) {
    whet_tensor made = {.dtype = WHET_F32, .shape = {a, b, c}};
    made.rank = c > 0 ? 3 : b > 0 ? 2 : 1;
    made.data = numbers(whet_tensor_count(&made), (uint64_t)(100 + t->n + a));
    t->items[t->n++] = (whet_named_tensor){name, made};
    return made.data;
}

static inline void tensors_free(tensors *t) {
    for (int64_t i = 0; i < t->n; i++) free(t->items[i].tensor.data);
    t->n = 0;
}

static inline const char *folder(const char *name) {
    const char *path = test_tmp(name);
    assert_true(mkdir(path, 0777) == 0 || access(path, F_OK) == 0);
    return path;
}

static inline void write_tensors(const char *dir, const char *file, const tensors *t) {
    whet_ctx *ctx = test_ctx(1);
    char name[256];
    (void)snprintf(name, sizeof name, "%s/%s", dir, file);
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp(name), true, t->items, t->n, NULL));
    test_ctx_done(ctx);
}

/* A folder of adapters below the test's; config without the braces around it. */
static inline const char *write_adapter(const char *dir, const char *config, const tensors *t) {
    char name[256], text[4096];
    (void)folder(dir);
    write_tensors(dir, "adapter_model.safetensors", t);
    (void)snprintf(name, sizeof name, "%s/adapter_config.json", dir);
    (void)snprintf(text, sizeof text, "{%s}", config);
    (void)test_write_text(name, text);
    return test_tmp(dir);
}

/* The scaled matrix [out, in] of LoRA or MoRe (section 1.3 of its specification); released by free. */
static inline double *matrix_of(whet_ctx *ctx, const whet_i_adapter_layer *l) {
    const whet_i_adapter_shape *s = &l->shape;
    double *w1 = NULL, *w2 = NULL, *m = calloc((size_t)(s->in * s->out), sizeof *m);
    assert_non_null(m);
    test_ok(ctx, whet_i_adapter_factors(ctx, l, &w1, &w2));
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++) {
            const int64_t k = i / s->p, c0 = i % s->p, group = o % s->blocks, row = o / s->blocks;
            for (int64_t a = 0; a < s->rank; a++)
                if ((k * s->rank + a) % s->blocks == group)
                    m[o * s->in + i] +=
                        l->scale * w1[(k * s->rank + a) * s->p + c0] *
                        w2[(group * s->q + row) * s->rank + (k * s->rank + a) / s->blocks];
        }
    whet_i_free(ctx, w1);
    whet_i_free(ctx, w2);
    return m;
}

static inline double farthest(const double *a, const double *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(a[i] - b[i]));
    return most;
}

/* The bytes of a file; released by free. */
static inline char *bytes_of(const char *dir, const char *file, size_t *len) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    *len = fread(bytes, 1, 1 << 20, f);
    assert_int_equal(fclose(f), 0);
    return bytes;
}

static inline bool same_file(const char *a, const char *b, const char *file) {
    size_t n, m;
    char *x = bytes_of(a, file, &n), *y = bytes_of(b, file, &m);
    const bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

#endif
