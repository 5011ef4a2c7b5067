/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into one: the reference vectors of LoRA, sums of Monarch matrices against dense ones,
 * folders. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/io_i.h"
#include "merge/low_rank.h"

/* ---- low rank --------------------------------------------------------------------------------- */

static whet_tensor key_of(whet_ctx *ctx, const char *key) {
    char spec[600];
    whet_tensor t;
    (void)snprintf(spec, sizeof spec, "%s:%s",
                   test_shared("golden/market/tf/lora_merge.safetensors"), key);
    test_ok(ctx, whet_array_read(ctx, spec, &t));
    return t;
}

/* b a, [out, in] */
static double product(const double *a, const double *b, int64_t rank, int64_t in, int64_t o,
                      int64_t i) {
    double sum = 0;
    for (int64_t r = 0; r < rank; r++) sum += b[o * rank + r] * a[r * in + i];
    return sum;
}

/* Weights .6 and .4; concatenation is exact to f64's rounding, rank 3 loses .33586 of the norm. */
static void the_reference_lora(void **state) {
    (void)state;
    test_need_shared("golden/market/tf/lora_merge.safetensors");
    whet_ctx *ctx = test_ctx(2);
    whet_tensor a1 = key_of(ctx, "A1"), a2 = key_of(ctx, "A2"), b1 = key_of(ctx, "B1"),
                b2 = key_of(ctx, "B2"), delta = key_of(ctx, "delta"),
                cut = key_of(ctx, "delta_rank3");
    const whet_i_low_rank terms[] = {{3, a1.data, b1.data, 0.6}, {3, a2.data, b2.data, 0.4}};
    double a[10 * 14], b[10 * 10], lost;
    whet_i_low_rank_concat(terms, 2, 10, 14, 6, a, b);
    for (int64_t o = 0; o < 10; o++)
        for (int64_t i = 0; i < 14; i++)
            assert_true(fabs(product(a, b, 6, 14, o, i) - ((double *)delta.data)[o * 14 + i]) <
                        1e-15);
    /* Concatenated as they have it but for where the weight stands, theirs in B. */
    whet_tensor cat[2] = {key_of(ctx, "A_cat"), key_of(ctx, "B_cat")}, sv = key_of(ctx, "sv"),
                naive = key_of(ctx, "naive_avg_delta");
    for (int64_t o = 0; o < 10; o++)
        for (int64_t i = 0; i < 14; i++)
            for (int64_t t = 0; t < 2; t++) {
                const double *ca = (double *)cat[0].data + t * 3 * 14, *cb = cat[1].data;
                double ours = 0, theirs = 0;
                for (int64_t r = 0; r < 3; r++) {
                    ours += b[o * 6 + t * 3 + r] * a[(t * 3 + r) * 14 + i];
                    theirs += cb[o * 6 + t * 3 + r] * ca[r * 14 + i];
                }
                assert_true(fabs(ours - theirs) < 1e-15);
            }
    /* What a rank loses is the later singular values' share. */
    double squares = 0;
    for (int64_t i = 0; i < 10; i++) squares += ((double *)sv.data)[i] * ((double *)sv.data)[i];
    for (int64_t rank = 1; rank <= 6; rank++) {
        double later = 0;
        test_ok(ctx, whet_i_low_rank_truncate(ctx, terms, 2, 10, 14, rank, a, b, &lost));
        for (int64_t i = rank; i < 10; i++)
            later += ((double *)sv.data)[i] * ((double *)sv.data)[i];
        assert_true(fabs(lost - sqrt(later / squares)) < 1e-12);
    }
    /* Means of factors, which is no merge of the matrices: .6836 of the norm away, as the reference says. */
    double off = 0, norm = 0;
    for (int64_t i = 0; i < 140; i++) {
        const double exact = ((double *)delta.data)[i], gap = ((double *)naive.data)[i] - exact;
        off += gap * gap;
        norm += exact * exact;
    }
    assert_true(fabs(sqrt(off / norm) - 0.683599297789664) < 1e-12);
    whet_tensor *const more[] = {&cat[0], &cat[1], &sv, &naive};
    for (int i = 0; i < 4; i++) whet_tensor_destroy(ctx, more[i]);
    test_ok(ctx, whet_i_low_rank_truncate(ctx, terms, 2, 10, 14, 3, a, b, &lost));
    for (int64_t o = 0; o < 10; o++)
        for (int64_t i = 0; i < 14; i++)
            assert_true(fabs(product(a, b, 3, 14, o, i) - ((double *)cut.data)[o * 14 + i]) <
                        1e-13);
    assert_true(fabs(lost - 0.3358610494352107) < 1e-12);
    /* A rank beyond that of the sum is all of it, and zeros. */
    test_ok(ctx, whet_i_low_rank_truncate(ctx, terms, 2, 10, 14, 9, a, b, &lost));
    for (int64_t o = 0; o < 10; o++)
        for (int64_t i = 0; i < 14; i++)
            assert_true(fabs(product(a, b, 9, 14, o, i) - ((double *)delta.data)[o * 14 + i]) <
                        1e-13);
    assert_true(lost < 1e-12);
    for (int64_t i = 0; i < 14; i++) assert_true(a[8 * 14 + i] == 0);
    whet_tensor *const all[] = {&a1, &a2, &b1, &b2, &delta, &cut};
    for (int i = 0; i < 6; i++) whet_tensor_destroy(ctx, all[i]);
    test_ctx_done(ctx);
}

/* ---- Monarch ---------------------------------------------------------------------------------- */

/* Row s N + l of M is the sum over c of w2[l][s][c] times z's number c N + l, which is w1[k][a] x of
 * block k, k r + a = c N + l. */
static void add_dense(const float *w1, const float *w2, int64_t n, int64_t r, int64_t p, int64_t q,
                      double factor, double *m) {
    for (int64_t row = 0; row < n * q; row++)
        for (int64_t c = 0; c < r; c++) {
            const int64_t l = row % n, s = row / n, z = c * n + l;
            for (int64_t i = 0; i < p; i++)
                m[row * n * p + z / r * p + i] +=
                    factor * (double)w2[(l * q + s) * r + c] * (double)w1[z * p + i];
        }
}

static void sums_of_monarch_matrices(void **state) {
    (void)state;
    enum { N = 2, P = 3, Q = 4, R1 = 2, R2 = 6, R = R1 + R2 };
    float x1[N * R1 * P], y1[N * Q * R1], x2[N * R2 * P], y2[N * Q * R2], w1[N * R * P],
        w2[N * Q * R];
    double expected[N * Q * N * P] = {0}, got[N * Q * N * P] = {0};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    float *const all[] = {x1, y1, x2, y2};
    const int64_t sizes[] = {N * R1 * P, N * Q * R1, N * R2 * P, N * Q * R2};
    for (int i = 0; i < 4; i++)
        for (int64_t k = 0; k < sizes[i]; k++) all[i][k] = (float)whet_i_rng_normal(&rng);
    const whet_i_monarch_term terms[] = {{R1, x1, y1, 0.5}, {R2, x2, y2, -2}};
    whet_i_monarch_terms_concat(terms, 2, N, P, Q, w1, w2);
    add_dense(x1, y1, N, R1, P, Q, 0.5, expected);
    add_dense(x2, y2, N, R2, P, Q, -2, expected);
    add_dense(w1, w2, N, R, P, Q, 1, got);
    for (int i = 0; i < N * Q * N * P; i++) /* powers of two scale exactly: order alone differs */
        assert_true(fabs(got[i] - expected[i]) < 1e-14);
}

/* ---- folders ---------------------------------------------------------------------------------- */

static const char *in(const char *path, const char *name) {
    static char buffers[4][4200];
    static int at;
    at = (at + 1) % 4;
    (void)snprintf(buffers[at], sizeof buffers[at], "%s/%s", path, name);
    return buffers[at];
}

static char *folder_of(whet_ctx *ctx, const char *name, const char *config,
                       const whet_named_tensor *items, int64_t n) {
    char *path = malloc(strlen(test_tmp(name)) + 1);
    memcpy(path, test_tmp(name), strlen(test_tmp(name)) + 1);
    (void)mkdir(path, 0777);
    test_ok(ctx, whet_safetensors_write(ctx, in(path, "adapter_model.safetensors"), true, items, n,
                                        NULL));
    FILE *file = fopen(in(path, "adapter_config.json"), "w");
    assert_non_null(file);
    (void)fputs(config, file);
    (void)fclose(file);
    return path;
}

#define MODULE "base_model.model.layer.query"
static const float a1[] = {1, 2, 3}, b1[] = {1, -1}, a2[] = {0, 1, 0, 1, 0, 1}, b2[] = {1, 0, 0, 2};
static const float head1[] = {1, 1}, head2[] = {4, 0}, other_a[] = {1, 1, 1}, other_b[] = {2, 2};
#define VIEW(values, ...) \
    { \
        (void *)(uintptr_t)(values), WHET_F32, 2, { __VA_ARGS__ } \
    }

static char *one(whet_ctx *ctx) { /* rank 1, scale 2 */
    const whet_named_tensor items[] = {{MODULE ".lora_A.weight", VIEW(a1, 1, 3)},
                                       {MODULE ".lora_B.weight", VIEW(b1, 2, 1)},
                                       {"base_model.model.head.weight", VIEW(head1, 1, 2)}};
    return folder_of(ctx, "one",
                     "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":2,"
                     "\"target_modules\":[\"query\"]}",
                     items, 3);
}

static char *two(
    whet_ctx *ctx) { /* rank 2, scale 3 by a pattern; another layer, of rank 1, scale 4 */
    const whet_named_tensor items[] = {
        {MODULE ".lora_A.weight", VIEW(a2, 2, 3)},
        {MODULE ".lora_B.weight", VIEW(b2, 2, 2)},
        {"base_model.model.layer.key.lora_A.weight", VIEW(other_a, 1, 3)},
        {"base_model.model.layer.key.lora_B.weight", VIEW(other_b, 2, 1)},
        {"base_model.model.head.weight", VIEW(head2, 1, 2)}};
    return folder_of(
        ctx, "two",
        "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"target_modules\":[\"query\","
        "\"key\"],\"alpha_pattern\":{\"query\":6},"
        "\"rank_pattern\":{\"key\":1,\"layer.key\":7}}",
        items, 5);
}

/* scale B A of a layer of a folder, [2, 3] */
static void change_of(whet_ctx *ctx, const char *folder, const char *module, double *m) {
    whet_safetensors *file;
    whet_tensor a, b;
    char name[200];
    json_t *config;
    double scale;
    test_ok(ctx, whet_safetensors_open(ctx, in(folder, "adapter_model.safetensors"), &file));
    test_ok(ctx, whet_i_json_read(ctx, in(folder, "adapter_config.json"), 1 << 20, &config));
    (void)snprintf(name, sizeof name, "%s.lora_A.weight", module);
    assert_true(whet_safetensors_find(file, name, &a));
    (void)snprintf(name, sizeof name, "%s.lora_B.weight", module);
    assert_true(whet_safetensors_find(file, name, &b));
    const int64_t rank = a.shape[0];
    assert_int_equal(b.shape[1], rank);
    test_ok(ctx, whet_i_peft_lora_scale(ctx, "c", config, whet_str_from(module), rank, &scale));
    for (int64_t o = 0; o < 2; o++)
        for (int64_t i = 0; i < 3; i++) {
            m[o * 3 + i] = 0;
            for (int64_t r = 0; r < rank; r++)
                m[o * 3 + i] += scale * (double)((const float *)b.data)[o * rank + r] *
                                (double)((const float *)a.data)[r * 3 + i];
        }
    json_decref(config);
    whet_safetensors_close(ctx, file);
}

/* Weights 1 and 1/2: query is 2 (1 2 3; -1 -2 -3) + 1.5 (0 1 0; 2 0 2), key 2 (2 2 2; 2 2 2). */
static void folders_add_up(void **state) {
    (void)state;
    static const double query[] = {2, 5.5, 6, 1, -4, -3}, key[] = {4, 4, 4, 4, 4, 4};
    static const double weights[] = {1, 0.5};
    whet_ctx *ctx = test_ctx(2);
    char *x = one(ctx), *y = two(ctx), *out = malloc(strlen(test_tmp("sum")) + 1);
    memcpy(out, test_tmp("sum"), strlen(test_tmp("sum")) + 1);
    const char *folders[] = {x, y};
    whet_merge_adapters_summary summary;
    whet_merge_adapters_job job = WHET_MERGE_ADAPTERS_JOB_INIT;
    job.adapters = folders;
    job.weights = weights;
    job.n = 2;
    job.output = out;
    for (int svd = 0; svd < 2; svd++) {
        double m[6];
        job.svd = svd;
        job.force = svd;
        test_ok(ctx, whet_merge_adapters(ctx, &job, &summary));
        assert_int_equal(summary.layers, 2);
        assert_int_equal(summary.rank,
                         svd ? 2 : 3); /* [2, 3] has rank 2 at most: nothing is lost */
        assert_true(summary.lost < 1e-12);
        change_of(ctx, out, MODULE, m);
        for (int i = 0; i < 6; i++) assert_true(fabs(m[i] - query[i]) < 1e-5);
        change_of(ctx, out, "base_model.model.layer.key", m);
        for (int i = 0; i < 6; i++) assert_true(fabs(m[i] - key[i]) < 1e-5);
    }
    whet_tensor head;
    whet_safetensors *file;
    test_ok(ctx, whet_safetensors_open(ctx, in(out, "adapter_model.safetensors"), &file));
    assert_true(whet_safetensors_find(file, "base_model.model.head.weight", &head));
    assert_true(((const float *)head.data)[0] == 2); /* (1 + 4/2) / 1.5 */
    whet_safetensors_close(ctx, file);
    job.force = false;
    test_fails(ctx, whet_merge_adapters(ctx, &job, NULL), WHET_ERR_EXISTS);
    job.svd = false;
    job.rank = 2;
    test_fails(ctx, whet_merge_adapters(ctx, &job, NULL), WHET_ERR_ARG);
    free(x);
    free(y);
    free(out);
    test_ctx_done(ctx);
}

static void what_is_refused(void **state) {
    (void)state;
    static const float z[32] = {0}, bad[] = {1, NAN, 3};
    const whet_named_tensor dora[] = {{MODULE ".lora_A.weight", VIEW(a1, 1, 3)},
                                      {MODULE ".lora_B.weight", VIEW(b1, 2, 1)}};
    const whet_named_tensor wrong[] = {{MODULE ".lora_A.weight", VIEW(z, 1, 4)},
                                       {MODULE ".lora_B.weight", VIEW(b1, 2, 1)}};
    const whet_named_tensor nan_[] = {{MODULE ".lora_A.weight", VIEW(bad, 1, 3)},
                                      {MODULE ".lora_B.weight", VIEW(b1, 2, 1)}};
    const whet_named_tensor more[] = {
        {MODULE ".more_w1", {(void *)(uintptr_t)z, WHET_F32, 3, {2, 3, 2}}},
        {MODULE ".more_w2", {(void *)(uintptr_t)z, WHET_F32, 3, {2, 2, 3}}}};
    static const char lora_config[] = "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":2}";
    whet_ctx *ctx = test_ctx(1);
    char *x = one(ctx);
    const struct {
        const char *config;
        const whet_named_tensor *items;
        whet_status status;
        const char *says;
    } cases[] = {
        {"{\"peft_type\":\"LORA\",\"r\":1,\"use_dora\":true}", dora, WHET_ERR_UNSUPPORTED, "DoRA"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"fan_in_fan_out\":true}", dora, WHET_ERR_DATA,
         "fan_in_fan_out"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"init_lora_weights\":\"pissa\"}", dora,
         WHET_ERR_UNSUPPORTED, "init_lora_weights"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"arrow_config\":{\"top_k\":3}}", dora,
         WHET_ERR_UNSUPPORTED, "routing"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1e300}", dora, WHET_ERR_FORMAT,
         "lora_alpha"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"alpha_pattern\":{\"key\":\"8\"}}", dora,
         WHET_ERR_FORMAT, "alpha_pattern"},
        {lora_config, wrong, WHET_ERR_SHAPE, "does not fit"},
        {lora_config, nan_, WHET_ERR_DATA, "at 1"},
        {"{\"peft_type\":\"LOHA\"}", dora, WHET_ERR_UNSUPPORTED, "LOHA"},
        {"{\"peft_type\":\"LORA\",\"r\":2}", dora, WHET_ERR_SHAPE, "1 rows; expected the 2"},
        {"{\"peft_type\":\"LORA\"}", dora, WHET_ERR_SHAPE, "expected the 8"},
        {"{\"peft_type\":\"LORA\",\"r\":1,\"rank_pattern\":{\".*\":3,\"query\":1}}", dora,
         WHET_ERR_SHAPE, "expected the 3"},
        {"{\"peft_type\":\"MORE\",\"nblocks\":2,\"r\":3}", more, WHET_ERR_DATA, "one kind"},
        {"{}", dora, WHET_ERR_FORMAT, "peft_type"},
    };
    for (int64_t k = 0; k < WHET_COUNT_OF(cases); k++) {
        char *y = folder_of(ctx, "refused", cases[k].config, cases[k].items, 2);
        const char *folders[] = {x, y};
        whet_merge_adapters_job job = WHET_MERGE_ADAPTERS_JOB_INIT;
        job.adapters = folders;
        job.n = 2;
        job.output = test_tmp("refused-out");
        test_fails(ctx, whet_merge_adapters(ctx, &job, NULL), cases[k].status);
        test_says(ctx, cases[k].says);
        if (k == 12) { /* alone: rank 3 in 2 blocks */
            job.adapters = folders + 1;
            job.n = 1;
            test_fails(ctx, whet_merge_adapters(ctx, &job, NULL), WHET_ERR_UNSUPPORTED);
            test_says(ctx, "no multiple of its 2 blocks");
        }
        free(y);
    }
    free(x);
    test_ctx_done(ctx);
}

static whet_status merge_both_ways(whet_ctx *ctx, void *arg) {
    whet_merge_adapters_job job = WHET_MERGE_ADAPTERS_JOB_INIT;
    job.adapters = arg;
    job.n = 2;
    job.output = test_tmp("each");
    job.force = true;
    WHET_TRY(whet_merge_adapters(ctx, &job, NULL));
    job.svd = true;
    return whet_merge_adapters(ctx, &job, NULL);
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char *x = one(ctx), *y = two(ctx);
    const char *folders[] = {x, y};
    assert_true(test_each_allocation(merge_both_ways, folders) > 30);
    free(x);
    free(y);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_lora),       cmocka_unit_test(sums_of_monarch_matrices),
        cmocka_unit_test(folders_add_up),           cmocka_unit_test(what_is_refused),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("merge adapters", tests, NULL, NULL);
}
