/* SPDX-License-Identifier: Apache-2.0
 * Merge methods on arrays: cases by hand, the properties that every method keeps, the k largest against a
 * sort, masks, and what is refused. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "merge/merge_passes.h"

enum { MOST = 4 };

/* Settings that a method needs, in ranges where it does something. */
static int64_t settings_for(const char *method, whet_merge_setting *out) {
    int64_t n = 0;
    whet_merge_parameter p;
    int64_t at = 0;
    while (strcmp(whet_merge_method_get(at)->name, method) != 0) at++;
    for (int64_t j = 0; whet_merge_parameter_get(at, j, &p); j++) {
        if (strcmp(p.name, "weight") == 0) {
            out[n++] = (whet_merge_setting){"weight", -1, 0.75};
            out[n++] = (whet_merge_setting){"weight", 0, 0.5};
        }
        if (strcmp(p.name, "t") == 0) out[n++] = (whet_merge_setting){"t", -1, 0.3};
        if (strcmp(p.name, "density") == 0) out[n++] = (whet_merge_setting){"density", -1, 0.5};
    }
    return n;
}

static whet_merge_arrays arrays_of(const whet_merge_method *m, int32_t rank, const int64_t *shape,
                                   int64_t n, const float *const *models, const float *base,
                                   const float *const *importance) {
    whet_merge_arrays a = {.name = "t", .rank = rank, .n = n, .models = models};
    if (a.n > m->most) a.n = m->most;
    if (m->base != WHET_MERGE_BASE_NONE) a.base = base;
    if (m->importance) a.importance = importance;
    memcpy(a.shape, shape, (size_t)rank * sizeof *shape);
    return a;
}

static float *noise(int64_t n, uint64_t stream) {
    whet_i_rng rng;
    float *x = malloc((size_t)(n ? n : 1) * sizeof *x);
    whet_i_rng_init(&rng, 7, stream);
    for (int64_t i = 0; i < n; i++) x[i] = (float)whet_i_rng_normal(&rng);
    return x;
}

/* ---- by hand ---------------------------------------------------------------------------------- */

static void run_small(const char *method, const whet_merge_setting *settings, int64_t n_settings,
                      int64_t n, const float (*x)[4], const float *base, float *out) {
    const float *models[MOST];
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < n; i++) models[i] = x[i];
    const whet_merge_arrays a = {
        .name = "t", .rank = 1, .shape = {4}, .n = n, .models = models, .base = base};
    test_ok(ctx, whet_merge_arrays_run(ctx, method, settings, n_settings, 0, &a, out));
    test_ctx_done(ctx);
}

static void expect4(const float *got, float a, float b, float c, float d) {
    const float expected[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        if (!(fabs((double)got[i] - (double)expected[i]) <= 1e-6))
            fail_msg("number %d is %.9g; expected %.9g", i, (double)got[i], (double)expected[i]);
}

static void cases_by_hand(void **state) {
    (void)state;
    static const float x[2][4] = {{1, 2, 3, 4}, {3, -2, 5, 0}}, base[4] = {1, 0, 1, 1};
    float out[4];
    const whet_merge_setting w[] = {{"weight", 0, 1}, {"weight", 1, 3}, {"normalize", -1, 1}};
    run_small("linear", w, 3, 2, x, NULL, out);
    expect4(out, 2.5F, -1, 4.5F, 1);
    run_small("linear", (const whet_merge_setting[]){{"weight", -1, 1}, {"normalize", -1, 0}}, 2, 2,
              x, NULL, out);
    expect4(out, 4, 0, 8, 4);
    /* differences (0 2 2 3) and (2 -2 4 -1), weights 1 and 3, lambda 1/2 */
    run_small("task_arithmetic",
              (const whet_merge_setting[]){{"weight", 0, 1}, {"weight", 1, 3}, {"lambda", -1, 0.5}},
              3, 2, x, base, out);
    expect4(out, 4, -2, 8, 1);
    /* votes 6, -4, 14, 0 (counts as positive): the means of those that agree: 2, -2, (2 + 12) / 4, 3 */
    run_small("ties", w, 3, 2, x, base, out);
    expect4(out, 3, -2, 4.5F, 4);
    /* density 1/2 keeps the last two of the first (2 at place 1 ties with 2 at place 2: the first stays),
     * and 4 and the first 2 of the second */
    run_small("ties", (const whet_merge_setting[]){{"weight", -1, 1}, {"density", -1, 0.5}}, 2, 2,
              x, base, out);
    expect4(out, 3, 2, 5, 4);
    run_small("nearswap", (const whet_merge_setting[]){{"t", -1, 1}}, 1, 1, x, base, out);
    expect4(out, 1, 1, 2, 2); /* shares 1, 1/2, 1/2, 1/3 of the way */
    run_small("ram", NULL, 0, 2, x, base, out);
    expect4(out, 3, 0, 4, 2); /* one owner; means of (2 -2), (2 4), (3 -1) */
    /* own 0 and 1, shared 3 and 3: the second's own change is scaled by 1 + 0.1 x 0.2 */
    run_small("ramplus_tl", NULL, 0, 2, x, base, out);
    expect4(out, 1 + 2 * 1.02F, 0, 4, 2);
    run_small("passthrough", (const whet_merge_setting[]){{"scale", -1, -2}}, 1, 1, x, NULL, out);
    expect4(out, -2, -4, -6, -8);
}

static void slerp_by_hand(void **state) {
    (void)state;
    /* A right angle: halfway both have sin 45 degrees. */
    static const float x[2][4] = {{2, 0, 0, 0}, {0, 3, 0, 0}};
    float out[4];
    run_small("slerp", (const whet_merge_setting[]){{"t", -1, 0.5}}, 1, 2, x, NULL, out);
    expect4(out, 2 * sqrtf(0.5F), 3 * sqrtf(0.5F), 0, 0);
    run_small("nuslerp", (const whet_merge_setting[]){{"weight", 0, 1}, {"weight", 1, 2}}, 2, 2, x,
              NULL, out); /* 60 degrees of 90 */
    expect4(out, 2 * 0.5F, 3 * 0.8660254F, 0, 0);
    run_small("karcher", NULL, 0, 2, x, NULL, out); /* the middle, of length 2.5 */
    expect4(out, 2.5F * sqrtf(0.5F), 2.5F * sqrtf(0.5F), 0, 0);
    /* One without length halves it; small tensors are scaled ones. */
    static const float none[2][4] = {{2, 0, 0, 0}, {0}};
    run_small("karcher", NULL, 0, 2, none, NULL, out);
    expect4(out, 1, 0, 0, 0);
    static const float tiny[2][4] = {{2e-7F, 0, 0, 0}, {0, 3e-7F, 0, 0}};
    run_small("karcher", NULL, 0, 2, tiny, NULL, out);
    assert_true(fabsf(out[0] - 2.5e-7F * sqrtf(0.5F)) < 1e-12F);
    assert_true(fabsf(out[1] - out[0]) < 1e-12F);
    static const float beside[2][4] = {{2, 0, 0, 0}, {0, 1e-5F, 0, 0}};
    run_small("karcher", NULL, 0, 2, beside, NULL, out);
    expect4(out, 1.000005F, 0, 0, 0);
    run_small("multislerp", (const whet_merge_setting[]){{"weight", -1, 1}}, 1, 2, x, NULL, out);
    expect4(out, 2.5F * sqrtf(0.5F), 2.5F * sqrtf(0.5F), 0, 0);
    /* Directions that cancel: the weighted mean. */
    static const float against[2][4] = {{2, 0, 0, 0}, {-3, 0, 0, 0}};
    run_small("multislerp", (const whet_merge_setting[]){{"weight", -1, 1}}, 1, 2, against, NULL,
              out);
    expect4(out, -0.5F, 0, 0, 0);
    /* Right angles between differences: cosine 0, so all weight stays with the base. */
    static const float base[4] = {0, 0, 0, 1}, y[2][4] = {{2, 0, 0, 1}, {0, 3, 0, 1}};
    run_small("model_stock", NULL, 0, 2, y, base, out);
    expect4(out, 0, 0, 0, 1);
    static const float parallel[2][4] = {{2, 0, 0, 1}, {4, 0, 0, 1}};
    run_small("model_stock", NULL, 0, 2, parallel, base, out); /* cosine 1: their mean */
    expect4(out, 3, 0, 0, 1);
}

static void fisher_by_hand(void **state) {
    (void)state;
    static const float x[2][4] = {{1, 2, 3, 4}, {3, -2, 5, 0}};
    static const float f[2][4] = {{1, 0, 2, 0}, {3, 2, 2, 0}};
    const float *models[] = {x[0], x[1]}, *importance[] = {f[0], f[1]};
    const whet_merge_arrays a = {.name = "t",
                                 .rank = 2,
                                 .shape = {2, 2},
                                 .n = 2,
                                 .models = models,
                                 .importance = importance};
    float out[4];
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, whet_merge_arrays_run(ctx, "fisher", NULL, 0, 0, &a, out));
    expect4(out, 2.5F, -2, 4, 2); /* the last: nothing matters, the mean */
    test_ok(ctx, whet_merge_arrays_run(ctx, "gradient", NULL, 0, 0, &a, out));
    expect4(out, 2.8F, -2, 4, 2);
    static const float negative[4] = {1, -1, 0, 0};
    importance[1] = negative;
    test_fails(ctx, whet_merge_arrays_run(ctx, "fisher", NULL, 0, 0, &a, out), WHET_ERR_DATA);
    test_says(ctx, "importance: tensor \"t\" is negative at [0, 1]");
    test_ctx_done(ctx);
}

/* mergekit 0.1 keeps nothing here: floor(0.01 x 50) is 0. */
static void breadcrumbs_keep_what_they_should(void **state) {
    (void)state;
    float x[50], base[50] = {0}, out[50];
    const float *models[] = {x};
    for (int i = 0; i < 50; i++) x[i] = (float)(i + 1) * (i % 2 ? 1.0F : -1.0F);
    const whet_merge_arrays a = {
        .name = "t", .rank = 1, .shape = {50}, .n = 1, .models = models, .base = base};
    whet_ctx *ctx = test_ctx(1);
    const whet_merge_setting s[] = {{"weight", -1, 1}, {"density", -1, 0.6}, {"gamma", -1, 0.01}};
    test_ok(ctx, whet_merge_arrays_run(ctx, "breadcrumbs", s, 3, 0, &a, out));
    for (int i = 0; i < 50; i++) assert_true(out[i] == (i >= 20 ? x[i] : 0));
    const whet_merge_setting top[] = {{"weight", -1, 1}, {"density", -1, 0.6}, {"gamma", -1, 0.1}};
    test_ok(ctx, whet_merge_arrays_run(ctx, "breadcrumbs", top, 3, 0, &a, out));
    for (int i = 0; i < 50; i++) assert_true(out[i] == (i >= 15 && i < 45 ? x[i] : 0));
    test_ctx_done(ctx);
}

/* ---- properties of all ------------------------------------------------------------------------ */

/* Models that are the base give the base, to the bit. */
static void models_that_are_the_base(void **state) {
    (void)state;
    const int64_t shape[] = {30, 40}, count = 1200;
    float *base = noise(count, 1), *out = malloc((size_t)count * sizeof *out);
    const float *models[MOST] = {base, base, base, base};
    whet_ctx *ctx = test_ctx(2);
    for (int64_t k = 0; k < whet_merge_method_count(); k++) {
        const whet_merge_method *m = whet_merge_method_get(k);
        whet_merge_setting s[8];
        if (m->base == WHET_MERGE_BASE_NONE) continue;
        const whet_merge_arrays a =
            arrays_of(m, 2, shape, 3 > m->most ? m->most : 3, models, base, models);
        test_ok(ctx, whet_merge_arrays_run(ctx, m->name, s, settings_for(m->name, s), 3, &a, out));
        for (int64_t i = 0; i < count; i++)
            if (out[i] != base[i])
                fail_msg("%s: number %d is %g; expected %g", m->name, (int)i, (double)out[i],
                         (double)base[i]);
    }
    test_ctx_done(ctx);
    free(base);
    free(out);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double softmax_at(const float *x, int64_t n, int64_t at) {
    double most = (double)x[0], sum = 0;
    for (int64_t e = 0; e < n; e++) most = fmax(most, (double)x[e]);
    for (int64_t e = 0; e < n; e++) sum += exp((double)x[e] - most);
    return exp((double)x[at] - most) / sum;
}

/* Against the formula, with a logarithm for each number: rows of likelihoods that are alike, and that are
 * apart by e^60; rows end within a part. */
static void arcee_fusion_by_its_formula(void **state) {
    (void)state;
    enum { ROWS = 6, WIDTH = 300, COUNT = ROWS * WIDTH };
    float *x = noise(COUNT, 1), *base = noise(COUNT, 2), out[COUNT];
    static double importance[COUNT], sorted[COUNT];
    whet_ctx *ctx = test_ctx(2);
    for (int r = 0; r < ROWS; r++) {
        double sum = 0;
        for (int e = r * WIDTH; e < (r + 1) * WIDTH; e++) {
            if (r >= ROWS / 2) base[e] *= 15;
            x[e] = base[e] + .1F * x[e];
        }
        for (int e = 0; e < WIDTH; e++) {
            const double p = softmax_at(x + r * WIDTH, WIDTH, e) + 1e-8;
            const double q = softmax_at(base + r * WIDTH, WIDTH, e) + 1e-8;
            sum += p * log(p / q);
        }
        for (int e = r * WIDTH; e < (r + 1) * WIDTH; e++)
            importance[e] = (double)(float)(fabs((double)x[e] - (double)base[e]) * sum);
    }
    memcpy(sorted, importance, sizeof sorted);
    qsort(sorted, COUNT, sizeof *sorted, by_size);
    double value[3];
    for (int k = 0; k < 3; k++) {
        const double place = .25 * (k + 1) * (COUNT - 1), low = floor(place);
        value[k] = sorted[(int)low] + (place - low) * (sorted[(int)low + 1] - sorted[(int)low]);
    }
    const double least = value[1] + 1.5 * (value[2] - value[0]);
    const float *models[] = {x};
    const whet_merge_arrays a = {
        .name = "t", .rank = 2, .shape = {ROWS, WIDTH}, .models = models, .n = 1, .base = base};
    test_ok(ctx, whet_merge_arrays_run(ctx, "arcee_fusion", NULL, 0, 0, &a, out));
    int64_t kept = 0;
    for (int e = 0; e < COUNT; e++) {
        if (fabs(importance[e] - least) < 1e-6 * least) continue; /* rounding may say either */
        assert_true(out[e] == (importance[e] >= least ? x[e] : base[e]));
        kept += importance[e] >= least ? 1 : 0;
    }
    assert_true(kept > 10 && kept < COUNT / 2);
    free(x);
    free(base);
    test_ctx_done(ctx);
}

/* Methods of which weight 1 on one model, and 0 or nothing on others, is that model to the bit. */
static void one_model_alone(void **state) {
    (void)state;
    const int64_t count = 5000;
    float *x = noise(count, 1), *y = noise(count, 2), *base = noise(count, 3);
    float *out = malloc((size_t)count * sizeof *out);
    const float *models[] = {x, y};
    static const whet_merge_setting one[] = {{"weight", 0, 1}, {"weight", 1, 0}};
    static const whet_merge_setting other[] = {{"weight", 0, 0}, {"weight", 1, 1}};
    static const whet_merge_setting t0[] = {{"t", -1, 0}}, t1[] = {{"t", -1, 1}};
    const struct {
        const char *method;
        const whet_merge_setting *settings;
        int64_t n_settings, n;
        const float *base, *expected;
    } cases[] = {
        {"linear", one, 2, 2, NULL, x},
        {"linear", other, 2, 2, NULL, y},
        {"task_arithmetic", one, 2, 2, base, x},
        {"ties", other, 2, 2, base, y},
        {"slerp", t0, 1, 2, NULL, x},
        {"slerp", t1, 1, 2, NULL, y},
        {"nuslerp", one, 2, 2, NULL, x},
        {"nuslerp", other, 2, 2, NULL, y},
        {"dare_linear", other, 2, 2, base, y},
        {"sce", NULL, 0, 1, base, x},
        {"ram", NULL, 0, 1, base, x},
        {"passthrough", NULL, 0, 1, NULL, x},
    };
    whet_ctx *ctx = test_ctx(2);
    for (int64_t k = 0; k < WHET_COUNT_OF(cases); k++) {
        const whet_merge_arrays a = {.name = "t",
                                     .rank = 2,
                                     .shape = {50, 100},
                                     .n = cases[k].n,
                                     .models = models,
                                     .base = cases[k].base};
        test_ok(ctx, whet_merge_arrays_run(ctx, cases[k].method, cases[k].settings,
                                           cases[k].n_settings, 0, &a, out));
        for (int64_t i = 0; i < count; i++)
            if (out[i] != cases[k].expected[i])
                fail_msg("%s: number %d is %.9g; expected %.9g", cases[k].method, (int)i,
                         (double)out[i], (double)cases[k].expected[i]);
    }
    test_ctx_done(ctx);
    free(x);
    free(y);
    free(base);
    free(out);
}

/* f64 sums of three products differ by rounding alone, so f32 results by one unit at most: 2^-23
 * relative. */
static void order_does_not_matter(void **state) {
    (void)state;
    static const char *const methods[] = {"linear", "ties", "model_stock", "karcher", "ram"};
    const int64_t count = 3000;
    float *x[3] = {noise(count, 1), noise(count, 2), noise(count, 3)}, *base = noise(count, 4);
    float *one = malloc((size_t)count * sizeof *one), *two = malloc((size_t)count * sizeof *two);
    const float *forth[] = {x[0], x[1], x[2]}, *back[] = {x[2], x[0], x[1]};
    const int64_t shape[] = {30, 100};
    whet_ctx *ctx = test_ctx(2);
    for (int64_t k = 0; k < WHET_COUNT_OF(methods); k++) {
        int64_t at = 0;
        while (strcmp(whet_merge_method_get(at)->name, methods[k]) != 0) at++;
        const whet_merge_method *m = whet_merge_method_get(at);
        const bool weights = k < 2;
        const whet_merge_setting s[] = {{"weight", 0, 0.2}, {"weight", 1, 0.5}, {"weight", 2, 0.9}};
        const whet_merge_setting r[] = {{"weight", 1, 0.2}, {"weight", 2, 0.5}, {"weight", 0, 0.9}};
        const whet_merge_arrays a = arrays_of(m, 2, shape, 3, forth, base, NULL);
        const whet_merge_arrays b = arrays_of(m, 2, shape, 3, back, base, NULL);
        test_ok(ctx, whet_merge_arrays_run(ctx, methods[k], s, weights ? 3 : 0, 0, &a, one));
        test_ok(ctx, whet_merge_arrays_run(ctx, methods[k], r, weights ? 3 : 0, 0, &b, two));
        for (int64_t i = 0; i < count; i++)
            assert_true(fabs((double)one[i] - (double)two[i]) <=
                        0x1p-22 * fmax(fabs((double)one[i]), 1e-3));
    }
    test_ctx_done(ctx);
    for (int i = 0; i < 3; i++) free(x[i]);
    free(base);
    free(one);
    free(two);
}

/* The same bits at 1, 2 and 5 threads; 210,000 numbers are seven chunks. */
static void threads_do_not_matter(void **state) {
    (void)state;
    const int64_t shape[] = {300, 700}, count = 210000;
    float *x[3] = {noise(count, 1), noise(count, 2), noise(count, 3)}, *base = noise(count, 4);
    float *out[3];
    for (int i = 0; i < 3; i++) out[i] = malloc((size_t)count * sizeof **out);
    const float *models[] = {x[0], x[1], x[2]};
    for (int64_t i = 0; i < count; i++) base[i] = 0.9F * x[0][i] + 0.1F * base[i];
    float *importance = malloc((size_t)count * sizeof *importance);
    for (int64_t i = 0; i < count; i++) importance[i] = x[2][i] * x[2][i];
    const float *importances[] = {importance, importance, importance};
    for (int64_t k = 0; k < whet_merge_method_count(); k++) {
        const whet_merge_method *m = whet_merge_method_get(k);
        static const int32_t threads[] = {1, 2, 5};
        whet_merge_setting s[8];
        const whet_merge_arrays a = arrays_of(m, 2, shape, 3, models, base, importances);
        for (int i = 0; i < 3; i++) {
            whet_ctx *ctx = test_ctx(threads[i]);
            test_ok(ctx, whet_merge_arrays_run(ctx, m->name, s, settings_for(m->name, s), 3, &a,
                                               out[i]));
            test_ctx_done(ctx);
        }
        if (memcmp(out[0], out[1], (size_t)count * sizeof **out) != 0 ||
            memcmp(out[0], out[2], (size_t)count * sizeof **out) != 0)
            fail_msg("%s depends on threads", m->name);
    }
    for (int i = 0; i < 3; i++) {
        free(x[i]);
        free(out[i]);
    }
    free(base);
    free(importance);
}

/* ---- the k largest ---------------------------------------------------------------------------- */

typedef struct ranked {
    float size;
    int64_t place;
} ranked;

static int larger_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* What TIES keeps of one model, against a sort, among many equal sizes and at every chunk boundary. */
static void the_largest_are_exact(void **state) {
    (void)state;
    const int64_t count = 3 * WHET_I_MERGE_CHUNK + 77;
    whet_i_rng rng;
    float *x = malloc((size_t)count * sizeof *x), *base = calloc((size_t)count, sizeof *base);
    float *out = malloc((size_t)count * sizeof *out);
    ranked *order = malloc((size_t)count * sizeof *order);
    const float *models[] = {x};
    whet_ctx *ctx = test_ctx(2);
    for (int round = 0; round < 3; round++) {
        static const double densities[] = {0, 1e-5, 0.25, 0.5, 0.9999};
        whet_i_rng_init(&rng, 5, (uint64_t)round);
        for (int64_t i = 0; i < count; i++) {
            const double z = whet_i_rng_normal(&rng);
            x[i] = round == 0 ? (float)z : round == 1 ? (float)rint(2 * z) : 1.0F;
            order[i] = (ranked){fabsf(x[i]), i};
        }
        qsort(order, (size_t)count, sizeof *order, larger_first);
        for (int d = 0; d < 5; d++) {
            const whet_merge_setting s[] = {{"weight", -1, 1}, {"density", -1, densities[d]}};
            const whet_merge_arrays a = {
                .name = "t", .rank = 1, .shape = {count}, .n = 1, .models = models, .base = base};
            const int64_t kept = (int64_t)(densities[d] * (double)count);
            test_ok(ctx, whet_merge_arrays_run(ctx, "ties", s, 2, 0, &a, out));
            for (int64_t i = 0; i < count; i++)
                assert_true(out[order[i].place] == (i < kept ? x[order[i].place] : 0));
        }
    }
    test_ctx_done(ctx);
    free(x);
    free(base);
    free(out);
    free(order);
}

static void keys_keep_the_order_of_floats(void **state) {
    (void)state;
    static const float x[] = {-INFINITY, -2, -1e-40F, -0.0F, 0.0F, 1e-40F, 1, 3, INFINITY};
    for (int i = 0; i + 1 < 9; i++)
        assert_true(whet_i_merge_key(x[i]) < whet_i_merge_key(x[i + 1]));
    for (int i = 0; i < 9; i++) assert_true(whet_i_merge_key_value(whet_i_merge_key(x[i])) == x[i]);
}

/* ---- masks ------------------------------------------------------------------------------------ */

/* DARE keeps a share of `density`, divided by it; the same masks for the same seed and name alone. */
static void masks_are_a_function_of_seed_and_place(void **state) {
    (void)state;
    const int64_t count = 200000;
    float *x = malloc((size_t)count * sizeof *x), *base = calloc((size_t)count, sizeof *base);
    float *out[4];
    for (int64_t i = 0; i < count; i++) x[i] = 1;
    const float *models[] = {x};
    whet_ctx *ctx = test_ctx(2);
    for (int k = 0; k < 4; k++) {
        const whet_merge_setting s[] = {{"weight", -1, 1}, {"density", -1, 0.25}};
        const whet_merge_arrays a = {.name = k == 3 ? "other" : "t",
                                     .rank = 1,
                                     .shape = {count},
                                     .n = 1,
                                     .models = models,
                                     .base = base};
        out[k] = malloc((size_t)count * sizeof **out);
        test_ok(ctx, whet_merge_arrays_run(ctx, "dare_linear", s, 2, k == 2 ? 9 : 1, &a, out[k]));
    }
    assert_memory_equal(out[0], out[1], (size_t)count * sizeof **out);
    assert_memory_not_equal(out[0], out[2], (size_t)count * sizeof **out);
    assert_memory_not_equal(out[0], out[3], (size_t)count * sizeof **out);
    int64_t kept = 0, both = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_true(out[0][i] == 0 || out[0][i] == 4);
        kept += out[0][i] != 0;
        both += out[0][i] != 0 && out[2][i] != 0;
    }
    /* Five standard deviations of the counts. */
    assert_true(fabs((double)kept - 50000) < 5 * sqrt(200000 * 0.25 * 0.75));
    assert_true(fabs((double)both - 12500) < 5 * sqrt(200000 * 0.0625 * 0.9375));
    for (int k = 0; k < 4; k++) free(out[k]);
    test_ctx_done(ctx);
    free(x);
    free(base);
}

/* ---- numbers ---------------------------------------------------------------------------------- */

/* Every f16, the middles between neighbours, and what lies just beside them, against the exact
 * conversion. */
static void halves_are_rounded_to_even(void **state) {
    (void)state;
    enum { N = 0x7c00 * 4 };
    float *x = malloc(N * sizeof *x);
    whet_ctx *ctx = test_ctx(1);
    for (uint32_t i = 0; i < 0x7c00; i++) {
        uint16_t bits[2] = {(uint16_t)i, (uint16_t)(i + 1)};
        float f[2];
        whet_i_kernels(ctx)->f32_from_f16(2, bits, f);
        if (i == 0x7bff) f[1] = 65536;
        const float middle = (float)(((double)f[0] + (double)f[1]) / 2);
        x[4 * i] = f[0];
        x[4 * i + 1] = middle;
        x[4 * i + 2] = nextafterf(middle, 0);
        x[4 * i + 3] = -nextafterf(middle, INFINITY);
    }
    const whet_tensor in = {x, WHET_F32, 1, {N}};
    whet_tensor expected;
    test_ok(ctx, whet_tensor_convert(ctx, &in, WHET_F16, &expected));
    for (int i = 0; i < N; i++)
        assert_int_equal(whet_i_f16_from_f32(x[i]), ((const uint16_t *)expected.data)[i]);
    whet_tensor_destroy(ctx, &expected);
    test_ctx_done(ctx);
    free(x);
}

/* ---- refusals --------------------------------------------------------------------------------- */

static void what_is_refused(void **state) {
    (void)state;
    static const float x[2][4] = {{1, 2, 3, 4}, {3, NAN, 5, 0}}, base[4] = {0};
    const float *models[] = {x[0], x[0], x[1]};
    float out[4] = {7, 7, 7, 7};
    whet_ctx *ctx = test_ctx(1);
    const struct {
        const char *method;
        whet_merge_setting s;
        int64_t n;
        bool base;
        whet_status status;
        const char *says;
    } cases[] = {
        {"tie", {"weight", -1, 1}, 2, true, WHET_ERR_ARG, "try \"ties\""},
        {"ties", {"wieght", -1, 1}, 2, true, WHET_ERR_ARG, "try \"weight\""},
        {"ties", {"gamma", -1, 1}, 2, true, WHET_ERR_ARG, "unknown to ties"},
        {"ties", {"density", -1, 0.5}, 2, true, WHET_ERR_ARG, "no \"weight\""},
        {"ties", {"weight", -1, 1}, 2, false, WHET_ERR_ARG, "no base model"},
        {"ties", {"weight", 2, 1}, 2, true, WHET_ERR_ARG, "one of the models"},
        {"slerp", {"t", -1, -0.5}, 2, false, WHET_ERR_ARG, "expected 0 to"},
        {"slerp", {"t", 0, 0.5}, 2, false, WHET_ERR_ARG, "one for all"},
        {"slerp", {"t", -1, 0.5}, 3, false, WHET_ERR_ARG, "expected 2"},
        {"slerp", {"t", -1, 0.5}, 2, true, WHET_ERR_ARG, "expected none"},
        {"linear", {"weight", -1, 0}, 2, false, WHET_ERR_ARG, "sum to 0"},
        {"multislerp", {"weight", -1, 0}, 2, false, WHET_ERR_ARG, "normalize_weights false"},
        {"linear", {"weight", -1, 1}, 3, false, WHET_ERR_DATA, "NaN or infinite at [0, 1]"},
        {"model_stock", {"filter_wise", -1, 0.5}, 2, true, WHET_ERR_ARG, "true or false"},
        {"fisher", {"weight", -1, 1}, 2, false, WHET_ERR_ARG, "importances"},
    };
    for (int64_t k = 0; k < WHET_COUNT_OF(cases); k++) {
        const whet_merge_arrays a = {.name = "t",
                                     .rank = 2,
                                     .shape = {2, 2},
                                     .n = cases[k].n,
                                     .models = models,
                                     .base = cases[k].base ? base : NULL};
        test_fails(ctx, whet_merge_arrays_run(ctx, cases[k].method, &cases[k].s, 1, 0, &a, out),
                   cases[k].status);
        test_says(ctx, cases[k].says);
    }
    const whet_merge_setting della[] = {{"weight", -1, 1}, {"density", -1, 0.1}};
    const whet_merge_arrays a = {
        .name = "t", .rank = 2, .shape = {2, 2}, .n = 2, .models = models, .base = base};
    test_fails(ctx, whet_merge_arrays_run(ctx, "della", della, 2, 0, &a, out), WHET_ERR_ARG);
    test_says(ctx, "density - epsilon");
    test_ctx_done(ctx);
}

static void empty_and_single_arrays(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{0}, {3, 0}, {0, 3}, {1}, {1, 1}};
    static const int32_t ranks[] = {1, 2, 2, 1, 2};
    static const float x[] = {2}, y[] = {-1}, z[] = {1};
    const float *models[] = {x, y, z};
    whet_ctx *ctx = test_ctx(2);
    for (int64_t k = 0; k < whet_merge_method_count(); k++)
        for (int i = 0; i < 6; i++) {
            const whet_merge_method *m = whet_merge_method_get(k);
            whet_merge_setting s[8];
            float out[1] = {0};
            const whet_merge_arrays a =
                i < 5 ? arrays_of(m, ranks[i], shapes[i], 3, models, z, models)
                      : arrays_of(m, 0, shapes[0], 3, models, z, models);
            if (m->importance) continue; /* y is negative */
            test_ok(ctx,
                    whet_merge_arrays_run(ctx, m->name, s, settings_for(m->name, s), 3, &a, out));
            assert_true(isfinite(out[0]));
        }
    test_ctx_done(ctx);
}

static whet_status all_methods(whet_ctx *ctx, void *arg) {
    const float *const *models = arg;
    static const int64_t shape[] = {2, 3};
    float out[6];
    for (int64_t k = 0; k < whet_merge_method_count(); k++) {
        const whet_merge_method *m = whet_merge_method_get(k);
        whet_merge_setting s[8];
        const whet_merge_arrays a = arrays_of(m, 2, shape, 3, models, models[3], models);
        WHET_TRY(whet_merge_arrays_run(ctx, m->name, s, settings_for(m->name, s), 3, &a, out));
    }
    return WHET_OK;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    static const float x[4][6] = {
        {1, 2, 3, 4, 5, 6}, {2, 2, 2, 1, 0, 3}, {1, 1, 1, 0, 2, 2}, {0, 1, 1, 1, 1, 1}};
    const float *models[] = {x[0], x[1], x[2], x[3]};
    assert_true(test_each_allocation(all_methods, models) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_by_hand),
        cmocka_unit_test(slerp_by_hand),
        cmocka_unit_test(fisher_by_hand),
        cmocka_unit_test(breadcrumbs_keep_what_they_should),
        cmocka_unit_test(models_that_are_the_base),
        cmocka_unit_test(arcee_fusion_by_its_formula),
        cmocka_unit_test(one_model_alone),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(the_largest_are_exact),
        cmocka_unit_test(keys_keep_the_order_of_floats),
        cmocka_unit_test(masks_are_a_function_of_seed_and_place),
        cmocka_unit_test(halves_are_rounded_to_even),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(empty_and_single_arrays),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("merging", tests, NULL, NULL);
}
