/* SPDX-License-Identifier: Apache-2.0
 * DoRA: written again, made of LoRA and MoRe, added up with weights, at a smaller rank, projected onto other
 * forms; each against rows computed by the formula, entry by entry. */
#include "adapter_support.h"

#include "tune/adapter_blocks.h"

enum { IN = 6, OUT = 8, R = 2 };

#define DORA "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 3, \"use_dora\": true"
#define LORA "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 1"
#define MORE "\"peft_type\": \"MORE\", \"r\": 2, \"nblocks\": 2"

typedef struct set {
    tensors base, parts[4]; /* two of DoRA, LoRA, MoRe */
    whet_adapter *items[4];
    const char *dirs[4];
    char *base_dir;
} set;

static set make_set(whet_ctx *ctx) {
    static const char *const names[] = {"dora-a", "dora-b", "dora-lora", "dora-more"};
    static const char *const configs[] = {DORA, DORA, LORA, MORE};
    set s = {0};
    float *w = add(&s.base, "enc.m.weight", OUT, IN, 0);
    for (int i = 0; i < IN; i++) w[3 * IN + i] = 0; /* a row that is nothing */
    (void)folder("dora-base");
    write_tensors("dora-base", "model.safetensors", &s.base);
    s.base_dir = strdup(test_tmp("dora-base"));
    for (int i = 0; i < 4; i++) {
        tensors *t = &s.parts[i];
        t->n = 4 * i; /* another seed each */
        if (i < 3) {
            (void)add(t, PEFT "enc.m.lora_A.weight", R, IN, 0);
            (void)add(t, PEFT "enc.m.lora_B.weight", OUT, R, 0);
        } else {
            (void)add(t, PEFT "enc.m.more_w1", 2, R, IN / 2);
            (void)add(t, PEFT "enc.m.more_w2", 2, OUT / 2, R);
        }
        if (i < 2) (void)add(t, PEFT "enc.m.lora_magnitude_vector", OUT, 0, 0);
        memmove(t->items, t->items + (4 * i), (size_t)(t->n - 4 * i) * sizeof *t->items);
        t->n -= 4 * i;
        if (i == 1) { /* a row that stays nothing, and one that becomes nothing */
            for (int k = 0; k < R; k++) ((float *)t->items[1].tensor.data)[3 * R + k] = 0;
            ((float *)t->items[2].tensor.data)[5] = 0;
        }
        s.dirs[i] = strdup(write_adapter(names[i], configs[i], t));
        if (ctx) {
            test_ok(ctx, whet_adapter_open(ctx, s.dirs[i], &s.items[i]));
            test_ok(ctx, whet_adapter_fit(ctx, s.items[i], s.base_dir, false));
        }
    }
    return s;
}

static void free_set(whet_ctx *ctx, set *s) {
    for (int i = 0; i < 4; i++) {
        whet_adapter_close(ctx, s->items[i]);
        tensors_free(&s->parts[i]);
        free((void *)(uintptr_t)s->dirs[i]);
    }
    tensors_free(&s->base);
    free(s->base_dir);
}

static const float *base_of(const set *s) { return s->base.items[0].tensor.data; }

/* change [OUT, IN] += weight x what the layer makes of W, less W. */
static void add_change(whet_ctx *ctx, const set *s, const whet_i_adapter_layer *l, double weight,
                       double *change) {
    double *m = matrix_of(ctx, l);
    for (int o = 0; o < OUT; o++) {
        double square = 0, factor = 1;
        for (int i = 0; i < IN; i++) {
            const double v = (double)base_of(s)[o * IN + i] + m[o * IN + i];
            square += v * v;
        }
        if (l->magnitude.data)
            factor = square > 0 ? (double)((const float *)l->magnitude.data)[o] / sqrt(square) : 0;
        for (int i = 0; i < IN; i++) {
            const double w = (double)base_of(s)[o * IN + i];
            change[o * IN + i] += weight * (factor * (w + m[o * IN + i]) - w);
        }
    }
    free(m);
}

static void check_change(whet_ctx *ctx, const set *s, const whet_i_adapter_layer *l,
                         const double *expected, double tolerance) {
    double got[OUT * IN] = {0};
    assert_non_null(l);
    add_change(ctx, s, l, 1, got);
    assert_true(farthest(got, expected, (int64_t)OUT * IN) < tolerance);
}

/* ---- sums ------------------------------------------------------------------------------------- */

/* Numbers of about 1 in f32, a sum of eight products of them; divided by G and multiplied by it again. */
static const double near = 2e-5;

static void sums_are_dora(void **state) {
    (void)state;
    static const double weights[][4] = {
        {1, 0, 0, 0}, {0.5, 0.25, 1, 0.5}, {-1.5, 0.7, -0.3, 2}, {0, 0, 1, 1}};
    for (int64_t k = 0; k < WHET_COUNT_OF(weights); k++) {
        whet_ctx *ctx = test_ctx(1 + (int32_t)k % 2);
        set s = make_set(ctx);
        double expected[OUT * IN] = {0};
        whet_adapter *sum, *again;
        for (int i = 0; i < 4; i++)
            add_change(ctx, &s, &s.items[i]->layers[0], weights[k][i], expected);
        test_ok(ctx, whet_adapter_combine(ctx, (const whet_adapter *const *)s.items, weights[k], 4,
                                          &sum));
        assert_true(whet_adapter_is_dora(sum) && !whet_adapter_is_more(sum));
        assert_int_equal(sum->layers[0].shape.rank, 3 * R + 2 * R); /* MoRe's is N r */
        check_change(ctx, &s, &sum->layers[0], expected, near);
        test_ok(ctx, whet_adapter_save(ctx, sum, test_tmp("dora-sum"), true));
        test_ok(ctx, whet_adapter_open(ctx, test_tmp("dora-sum"), &again));
        check_change(ctx, &s, &again->layers[0], expected, near);
        whet_adapter_close(ctx, again);
        whet_adapter_close(ctx, sum);
        free_set(ctx, &s);
        test_ctx_done(ctx);
    }
}

/* Row 5 of the second is nothing: of weight 1 it leaves nothing of the base, beside LoRA's row. */
static void sums_that_are_refused(void **state) {
    (void)state;
    static const double ones[] = {1, 1};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx);
    whet_adapter *made = NULL, *lone;
    const whet_adapter *pair[] = {s.items[1], s.items[2]};
    test_fails(ctx, whet_adapter_combine(ctx, pair, ones, 2, &made), WHET_ERR_NUMERIC);
    test_says(ctx, "nothing is left of the base in row 5");
    double expected[OUT * IN] = {0};
    add_change(ctx, &s, &s.items[1]->layers[0], 1, expected);
    test_ok(ctx, whet_adapter_combine(ctx, pair, ones, 1, &made)); /* a row of zeros is DoRA's */
    check_change(ctx, &s, &made->layers[0], expected, near);
    whet_adapter_close(ctx, made);
    made = NULL;
    test_ok(ctx, whet_adapter_open(ctx, s.dirs[0], &lone));
    pair[0] = lone;
    test_fails(ctx, whet_adapter_combine(ctx, pair, ones, 2, &made), WHET_ERR_ARG);
    test_says(ctx, "expected the base");
    assert_null(made);
    whet_adapter_close(ctx, lone);
    free_set(ctx, &s);
    test_ctx_done(ctx);
}

/* Merged one by one with weights, or their sum: the same model. */
static void sums_merge_alike(void **state) {
    (void)state;
    static const double weights[] = {0.5, 0.25, 1, -0.5};
    whet_ctx *ctx = test_ctx(2);
    set s = make_set(ctx);
    whet_adapter *sum;
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    whet_i_weight_files files[2] = {{0}};
    whet_tensor v[2];
    test_ok(ctx, whet_adapter_combine(ctx, (const whet_adapter *const *)s.items, weights, 4, &sum));
    test_ok(ctx, whet_adapter_save(ctx, sum, test_tmp("dora-one"), true));
    const char *one[] = {test_tmp("dora-one")};
    for (int i = 0; i < 2; i++) {
        job.model = s.base_dir;
        job.adapters = i ? one : s.dirs;
        job.n = i ? 1 : 4;
        job.weights = i ? NULL : weights;
        job.output = test_tmp(i ? "dora-merged-1" : "dora-merged-4");
        job.force = true;
        test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
        test_ok(ctx, whet_i_weight_files_open(ctx, job.output, &files[i]));
        assert_true(whet_i_weight_files_find(&files[i], "enc.m.weight", &v[i]));
    }
    for (int k = 0; k < OUT * IN; k++)
        assert_true(fabs((double)((const float *)v[0].data)[k] -
                         (double)((const float *)v[1].data)[k]) < near);
    for (int i = 0; i < 2; i++) whet_i_weight_files_close(ctx, &files[i]);
    whet_adapter_close(ctx, sum);
    free_set(ctx, &s);
    test_ctx_done(ctx);
}

/* ---- other forms ------------------------------------------------------------------------------ */

/* DoRA needs no base to stay so; LoRA and MoRe become it. */
static void nothing_is_lost(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx);
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    opts.form = WHET_ADAPTER_FORM_DORA;
    for (int i = 0; i < 4; i++) {
        double expected[OUT * IN] = {0};
        whet_adapter *made = NULL, *lone;
        char *report;
        add_change(ctx, &s, &s.items[i]->layers[0], 1, expected);
        test_ok(ctx, whet_adapter_open(ctx, s.dirs[i], &lone));
        if (i < 2)
            test_ok(ctx, whet_adapter_convert(ctx, lone, &opts, &made, &report));
        else
            test_fails(ctx, whet_adapter_convert(ctx, lone, &opts, &made, &report), WHET_ERR_ARG);
        if (i >= 2) test_ok(ctx, whet_adapter_convert(ctx, s.items[i], &opts, &made, &report));
        assert_non_null(strstr(report, "\"dora\""));
        assert_true(whet_adapter_is_dora(made));
        assert_int_equal(made->layers[0].shape.rank, i < 3 ? R : 2 * R);
        check_change(ctx, &s, &made->layers[0], expected, near);
        whet_free_text(ctx, report);
        whet_adapter_close(ctx, made);
        whet_adapter_close(ctx, lone);
    }
    free_set(ctx, &s);
    test_ctx_done(ctx);
}

/* Rank 1: F (W + s B A) with F s B A as its largest singular value has it, by the dense matrix's. */
static void low_ranks_are_the_nearest(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx);
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    const whet_i_adapter_layer *l = &s.items[0]->layers[0];
    const whet_i_adapter_shape one = {
        .in = IN, .out = OUT, .blocks = 1, .rank = 1, .p = IN, .q = OUT};
    double *m = matrix_of(ctx, l), factors[OUT], a[IN], b[OUT], dropped, whole = 0;
    double expected[OUT * IN];
    whet_adapter *made;
    char *report;
    for (int o = 0; o < OUT; o++) {
        double square = 0;
        for (int i = 0; i < IN; i++) {
            const double v = (double)base_of(&s)[o * IN + i] + m[o * IN + i];
            square += v * v;
        }
        factors[o] = (double)((const float *)l->magnitude.data)[o] / sqrt(square);
        for (int i = 0; i < IN; i++) {
            m[o * IN + i] *= factors[o];
            whole += m[o * IN + i] * m[o * IN + i];
        }
    }
    test_ok(ctx, whet_i_project_blocks(ctx, &one, m, a, b, &dropped));
    for (int k = 0; k < OUT * IN; k++)
        expected[k] = b[k / IN] * a[k % IN] + (factors[k / IN] - 1) * (double)base_of(&s)[k];
    opts.form = WHET_ADAPTER_FORM_DORA;
    opts.rank = 1;
    test_ok(ctx, whet_adapter_convert(ctx, s.items[0], &opts, &made, &report));
    assert_int_equal(made->layers[0].shape.rank, 1);
    check_change(ctx, &s, &made->layers[0], expected, near);
    json_t *root = json_loads(report, 0, NULL);
    assert_true(fabs(json_real_value(json_object_get(root, "residual")) - sqrt(dropped / whole)) <
                1e-9);
    json_decref(root);
    whet_free_text(ctx, report);
    whet_adapter_close(ctx, made);
    free(m);
    free_set(ctx, &s);
    test_ctx_done(ctx);
}

/* Of full rank nothing is lost; of a smaller one what is told. */
static void projected(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx);
    whet_adapter_project_job job = WHET_ADAPTER_PROJECT_JOB_INIT;
    job.model = s.base_dir;
    job.adapter = s.dirs[0];
    job.form = WHET_ADAPTER_FORM_LORA;
    double expected[OUT * IN] = {0}, whole = 0;
    add_change(ctx, &s, &s.items[0]->layers[0], 1, expected);
    for (int k = 0; k < OUT * IN; k++) whole += expected[k] * expected[k];
    for (job.rank = IN; job.rank > 0; job.rank -= 3) {
        whet_adapter *made;
        char *report;
        double square = 0;
        test_ok(ctx, whet_adapter_project(ctx, &job, &made, &report));
        double *got = matrix_of(ctx, &made->layers[0]);
        for (int k = 0; k < OUT * IN; k++)
            square += (got[k] - expected[k]) * (got[k] - expected[k]);
        json_t *root = json_loads(report, 0, NULL);
        const double told = json_real_value(json_object_get(root, "residual"));
        assert_true(fabs(told - sqrt(square / whole)) < 1e-6);
        assert_true(job.rank == IN ? told < 1e-6 : told > 0.05);
        json_decref(root);
        whet_free_text(ctx, report);
        free(got);
        whet_adapter_close(ctx, made);
    }
    free_set(ctx, &s);
    test_ctx_done(ctx);
}

/* ---- allocations ------------------------------------------------------------------------------ */

static whet_status all_of_it(whet_ctx *ctx, void *arg) {
    static const double weights[] = {0.5, 1};
    const set *s = arg;
    whet_adapter *a = NULL, *b = NULL, *sum = NULL, *small = NULL;
    whet_adapter_convert_opts opts = WHET_ADAPTER_CONVERT_OPTS_INIT;
    opts.form = WHET_ADAPTER_FORM_DORA;
    opts.rank = 2;
    whet_status status = whet_adapter_open(ctx, s->dirs[0], &a);
    if (status == WHET_OK) status = whet_adapter_open(ctx, s->dirs[3], &b);
    if (status == WHET_OK) status = whet_adapter_fit(ctx, a, s->base_dir, false);
    if (status == WHET_OK) status = whet_adapter_fit(ctx, b, s->base_dir, false);
    const whet_adapter *items[] = {a, b};
    if (status == WHET_OK) status = whet_adapter_combine(ctx, items, weights, 2, &sum);
    if (status == WHET_OK) status = whet_adapter_fit(ctx, sum, s->base_dir, false);
    if (status == WHET_OK) status = whet_adapter_convert(ctx, sum, &opts, &small, NULL);
    whet_adapter_close(ctx, small);
    whet_adapter_close(ctx, sum);
    whet_adapter_close(ctx, b);
    whet_adapter_close(ctx, a);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    set s = make_set(NULL);
    assert_true(test_each_allocation(all_of_it, &s) > 50);
    free_set(NULL, &s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_dora),
        cmocka_unit_test(sums_that_are_refused),
        cmocka_unit_test(sums_merge_alike),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(low_ranks_are_the_nearest),
        cmocka_unit_test(projected),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
