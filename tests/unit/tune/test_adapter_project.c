/* SPDX-License-Identifier: Apache-2.0
 * Sums of adapters, and adapters made of what training changed: matrices held against sums, ranks against
 * all that a budget allows, residuals against differences. */
#include "adapter_support.h"

#include "tune/adapter_blocks.h"

/* ---- sums ------------------------------------------------------------------------------------- */

static whet_adapter *opened(whet_ctx *ctx, const char *name, const char *config, const tensors *t) {
    whet_adapter *a;
    test_ok(ctx, whet_adapter_open(ctx, write_adapter(name, config, t), &a));
    return a;
}

/* The sum of weighted matrices of module "m", of the adapters that have it. */
static void check_sum(whet_ctx *ctx, const whet_adapter *const *items, const double *weights,
                      int64_t n, const whet_adapter *sum, const char *module) {
    const whet_i_adapter_layer *l = whet_i_adapter_find(sum, module);
    assert_non_null(l);
    const int64_t count = l->shape.in * l->shape.out;
    double *got = matrix_of(ctx, l), *expected = calloc((size_t)count, sizeof *expected);
    for (int64_t i = 0; i < n; i++) {
        const whet_i_adapter_layer *part = whet_i_adapter_find(items[i], module);
        if (!part) continue;
        double *m = matrix_of(ctx, part);
        for (int64_t c = 0; c < count; c++) expected[c] += weights[i] * m[c];
        free(m);
    }
    /* Factors of about 1 in f32, up to twenty products of them. */
    assert_true(farthest(got, expected, count) < 2e-5);
    free(expected);
    free(got);
}

static void sums_of_lora(void **state) {
    (void)state;
    static const double weights[] = {0.75, -2};
    whet_ctx *ctx = test_ctx(2);
    tensors t = {0}, u = {0};
    whet_adapter *sum;
    (void)add(&t, PEFT "m.lora_A.weight", 2, 9, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 7, 2, 0);
    (void)add(&t, PEFT "k.lora_A.weight", 2, 9, 0);
    (void)add(&t, PEFT "k.lora_B.weight", 7, 2, 0);
    (void)add(&u, PEFT "m.lora_A.weight", 3, 9, 0);
    (void)add(&u, PEFT "m.lora_B.weight", 7, 3, 0);
    (void)add(&u, PEFT "score.weight", 2, 7, 0);
    const whet_adapter *items[] = {
        opened(ctx, "sum-a", "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 5", &t),
        opened(ctx, "sum-b", "\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 1", &u)};
    test_ok(ctx, whet_adapter_combine(ctx, items, weights, 2, &sum));
    assert_false(whet_adapter_is_more(sum));
    assert_int_equal(whet_i_adapter_find(sum, "m")->shape.rank, 5);
    assert_int_equal(whet_i_adapter_find(sum, "k")->shape.rank, 2);
    assert_int_equal(sum->n_wholes, 1);
    check_sum(ctx, items, weights, 2, sum, "m");
    check_sum(ctx, items, weights, 2, sum, "k");
    whet_adapter *again;
    test_ok(ctx, whet_adapter_save(ctx, sum, test_tmp("sum"), false));
    test_ok(ctx, whet_adapter_open(ctx, test_tmp("sum"), &again)); /* its config fits its tensors */
    check_sum(ctx, items, weights, 2, again, "m");
    /* Not A and B apart: the sum of a and -a is nothing. */
    whet_adapter *nothing;
    const whet_adapter *twice[] = {items[0], items[0]};
    const double opposite[] = {1, -1};
    test_ok(ctx, whet_adapter_combine(ctx, twice, opposite, 2, &nothing));
    double *zero = matrix_of(ctx, whet_i_adapter_find(nothing, "m"));
    for (int i = 0; i < 63; i++) assert_true(fabs(zero[i]) < 1e-12);
    free(zero);
    whet_adapter *const all[] = {nothing, again, sum, (whet_adapter *)(uintptr_t)items[0],
                                 (whet_adapter *)(uintptr_t)items[1]};
    for (int i = 0; i < 5; i++) whet_adapter_close(ctx, all[i]);
    tensors_free(&t);
    tensors_free(&u);
    test_ctx_done(ctx);
}

/* MoRe of ranks 4 and 8 in 4 blocks stays MoRe; of rank 2, and beside LoRA, becomes LoRA. */
static void sums_of_more(void **state) {
    (void)state;
    static const double weights[] = {2, 0.5};
    static const struct {
        int64_t first, second;
        bool lora, more;
    } cases[] = {{4, 8, false, true}, {4, 2, false, false}, {4, 3, true, false}};
    whet_ctx *ctx = test_ctx(2);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tensors t = {0}, u = {0};
        char config[256];
        whet_adapter *sum;
        const int64_t r = cases[i].second;
        (void)add(&t, PEFT "m.more_w1", 4, 4, 3);
        (void)add(&t, PEFT "m.more_w2", 4, 2, 4);
        if (cases[i].lora) {
            (void)add(&u, PEFT "m.lora_A.weight", r, 12, 0);
            (void)add(&u, PEFT "m.lora_B.weight", 8, r, 0);
        } else {
            (void)add(&u, PEFT "m.more_w1", 4, r, 3);
            (void)add(&u, PEFT "m.more_w2", 4, 2, r);
        }
        (void)snprintf(config, sizeof config, "\"peft_type\": \"%s\", \"r\": %lld",
                       cases[i].lora ? "LORA" : "MORE", (long long)r);
        const whet_adapter *items[] = {
            opened(ctx, "more-a", "\"peft_type\": \"MORE\", \"r\": 4", &t),
            opened(ctx, "more-b", config, &u)};
        test_ok(ctx, whet_adapter_combine(ctx, items, weights, 2, &sum));
        assert_true(whet_adapter_is_more(sum) == cases[i].more);
        if (cases[i].more) assert_int_equal(sum->layers[0].shape.rank, 12);
        check_sum(ctx, items, weights, 2, sum, "m");
        whet_adapter_close(ctx, sum);
        for (int j = 0; j < 2; j++) whet_adapter_close(ctx, (whet_adapter *)(uintptr_t)items[j]);
        tensors_free(&t);
        tensors_free(&u);
    }
    test_ctx_done(ctx);
}

static void sums_that_are_refused(void **state) {
    (void)state;
    static const double ones[] = {1, 1}, bad[] = {1, INFINITY};
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0}, u = {0};
    whet_adapter *sum = NULL;
    (void)add(&t, PEFT "m.lora_A.weight", 2, 9, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 7, 2, 0);
    float *head = add(&t, PEFT "score.weight", 2, 7, 0);
    (void)add(&u, PEFT "m.lora_A.weight", 2, 8, 0);
    (void)add(&u, PEFT "m.lora_B.weight", 7, 2, 0);
    whet_adapter *a =
        opened(ctx, "no-a", "\"peft_type\": \"LORA\", \"r\": 2, \"whet_base\": \"a\"", &t);
    head[0] += 1;
    whet_adapter *b = opened(ctx, "no-b", "\"peft_type\": \"LORA\", \"r\": 2", &t);
    whet_adapter *c =
        opened(ctx, "no-c", "\"peft_type\": \"LORA\", \"r\": 2, \"whet_base\": \"c\"", &t);
    whet_adapter *d = opened(ctx, "no-d", "\"peft_type\": \"LORA\", \"r\": 2", &u);
    const whet_adapter *heads[] = {a, b}, *bases[] = {a, c}, *sizes[] = {a, d};
    test_fails(ctx, whet_adapter_combine(ctx, heads, ones, 2, &sum), WHET_ERR_ARG);
    test_says(ctx, "have each a \"score.weight\" of its own");
    test_fails(ctx, whet_adapter_combine(ctx, heads, bad, 2, &sum), WHET_ERR_ARG);
    test_fails(ctx, whet_adapter_combine(ctx, bases, ones, 2, &sum), WHET_ERR_DATA);
    test_fails(ctx, whet_adapter_combine(ctx, sizes, ones, 2, &sum), WHET_ERR_SHAPE);
    test_fails(ctx, whet_adapter_combine(ctx, heads, ones, 0, &sum), WHET_ERR_ARG);
    assert_null(sum);
    whet_adapter_drop_heads(a); /* b's is taken */
    test_ok(ctx, whet_adapter_combine(ctx, heads, ones, 2, &sum));
    assert_int_equal(sum->n_wholes, 1);
    assert_memory_equal(sum->wholes[0].tensor.data, head, 14 * sizeof(float));
    whet_adapter_close(ctx, sum);
    whet_adapter *const all[] = {a, b, c, d};
    for (int i = 0; i < 4; i++) whet_adapter_close(ctx, all[i]);
    tensors_free(&t);
    tensors_free(&u);
    test_ctx_done(ctx);
}

/* Biases with weights that sum to 1 are the weighted sum; modules to save are those of all. */
static void sums_of_biases(void **state) {
    (void)state;
    static const double mean[] = {0.25, 0.75}, ones[] = {1, 1};
    static const char config[] = "\"peft_type\": \"LORA\", \"r\": 2, \"bias\": \"lora_only\"";
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0};
    whet_adapter *sum = NULL;
    (void)add(&t, PEFT "m.lora_A.weight", 2, 9, 0);
    (void)add(&t, PEFT "m.lora_B.weight", 7, 2, 0);
    float *bias = add(&t, PEFT "m.base_layer.bias", 7, 0, 0);
    const float before = bias[3];
    whet_adapter *a = opened(ctx, "bias-a", config, &t);
    bias[3] += 4;
    (void)add(&t, PEFT "score.weight", 2, 7, 0);
    whet_adapter *b = opened(
        ctx, "bias-b", "\"peft_type\": \"LORA\", \"r\": 2, \"modules_to_save\": [\"score\"]", &t);
    const whet_adapter *items[] = {a, b};
    test_fails(ctx, whet_adapter_combine(ctx, items, ones, 2, &sum), WHET_ERR_ARG);
    test_says(ctx, "expected weights that sum to 1");
    test_ok(ctx, whet_adapter_combine(ctx, items, mean, 2, &sum));
    assert_int_equal(sum->n_wholes, 2);
    assert_string_equal(sum->wholes[0].name, "m.bias");
    assert_true(((const float *)sum->wholes[0].tensor.data)[3] ==
                (float)(0.25 * (double)before + 0.75 * (double)bias[3]));
    assert_string_equal(json_string_value(json_object_get(sum->json, "bias")), "lora_only");
    assert_int_equal(json_array_size(json_object_get(sum->json, "modules_to_save")), 1);
    whet_adapter_close(ctx, sum);
    whet_adapter_close(ctx, a);
    whet_adapter_close(ctx, b);
    tensors_free(&t);
    test_ctx_done(ctx);
}

/* ---- projections ------------------------------------------------------------------------------ */

enum { IN = 8, OUT = 8 };

/* Base and tuned folders of layers "enc.a", "enc.b", a norm that changed, and a head that is new. */
static void write_models(bool of_low_rank) {
    tensors base = {0}, tuned = {0};
    (void)add(&base, "enc.a.weight", OUT, IN, 0);
    (void)add(&base, "enc.b.weight", OUT, IN, 0);
    (void)add(&base, "enc.same.weight", OUT, IN, 0);
    (void)add(&base, "enc.norm.weight", OUT, 0, 0);
    for (int64_t i = 0; i < base.n; i++) {
        const whet_tensor *t = &base.items[i].tensor;
        float *to = add(&tuned, base.items[i].name, t->shape[0], t->rank > 1 ? t->shape[1] : 0, 0);
        const float *from = t->data;
        for (int64_t c = 0; c < whet_tensor_count(t); c++) {
            const double wave = of_low_rank ? sin((double)(c / IN)) * cos((double)(c % IN))
                                            : sin(3. * (double)(c * c)) / (double)(1 + c % 5);
            to[c] = i == 2 ? from[c] : (float)((double)from[c] + (i == 0 ? 1 : 0.2) * wave);
        }
    }
    (void)add(&tuned, "classifier.weight", 3, OUT, 0);
    (void)folder("project-base");
    (void)folder("project-tuned");
    write_tensors("project-base", "model.safetensors", &base);
    write_tensors("project-tuned", "model.safetensors", &tuned);
    (void)test_write_text("project-tuned/config.json",
                          "{\"id2label\": {\"0\": \"x\", \"1\": \"y\", \"2\": \"z\"}}");
    tensors_free(&base);
    tensors_free(&tuned);
}

static whet_adapter_project_job project_job(void) {
    static char base[1024], tuned[1024];
    whet_adapter_project_job job = WHET_ADAPTER_PROJECT_JOB_INIT;
    (void)snprintf(base, sizeof base, "%s", test_tmp("project-base"));
    (void)snprintf(tuned, sizeof tuned, "%s", test_tmp("project-tuned"));
    job.model = base;
    job.tuned = tuned;
    return job;
}

static whet_adapter *projected(whet_ctx *ctx, const whet_adapter_project_job *job,
                               json_t **report) {
    whet_adapter *made;
    char *text;
    test_ok(ctx, whet_adapter_project(ctx, job, &made, &text));
    *report = json_loads(text, 0, NULL);
    assert_non_null(*report);
    whet_free_text(ctx, text);
    return made;
}

/* tuned - base of a layer; released by free. */
static double *change(whet_ctx *ctx, const char *name) {
    double *d = malloc(IN * OUT * sizeof *d);
    whet_i_weight_files base = {0}, tuned = {0};
    whet_tensor a, b;
    test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("project-base"), &base));
    test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("project-tuned"), &tuned));
    assert_true(whet_i_weight_files_find(&base, name, &a) &&
                whet_i_weight_files_find(&tuned, name, &b));
    for (int i = 0; i < IN * OUT; i++)
        d[i] = (double)((const float *)b.data)[i] - (double)((const float *)a.data)[i];
    whet_i_weight_files_close(ctx, &base);
    whet_i_weight_files_close(ctx, &tuned);
    return d;
}

static void one_rank_everywhere(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_adapter_project_job job = project_job();
    json_t *report;
    write_models(false);
    job.blocks = 2;
    job.rank = 4;
    whet_adapter *made = projected(ctx, &job, &report);
    assert_true(made->more);
    assert_int_equal(made->n_layers, 2); /* what did not change has none */
    assert_int_equal(json_integer_value(json_object_get(report, "parameters")),
                     whet_i_adapter_layer_count(&made->layers[0]) +
                         whet_i_adapter_layer_count(&made->layers[1]));
    assert_int_equal(json_integer_value(json_object_get(report, "left_out")), 1);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(report, "left_out_names"), 0)),
        "enc.norm.weight");
    assert_int_equal(made->n_wholes, 1);
    double whole = 0, lost = 0;
    static const char *const names[] = {"enc.a.weight", "enc.b.weight"};
    for (int l = 0; l < 2; l++) {
        double *d = change(ctx, names[l]), *m = matrix_of(ctx, &made->layers[l]);
        for (int i = 0; i < IN * OUT; i++) {
            whole += d[i] * d[i];
            lost += (d[i] - m[i]) * (d[i] - m[i]);
        }
        free(d);
        free(m);
    }
    const double told = json_real_value(json_object_get(report, "residual"));
    assert_true(told > 0.1 && fabs(told - sqrt(lost / whole)) < 1e-6);
    json_decref(report);
    /* The folder opens, fits its base, and says what head it has. */
    whet_adapter *again;
    test_ok(ctx, whet_adapter_save(ctx, made, test_tmp("projected"), false));
    test_ok(ctx, whet_adapter_open(ctx, test_tmp("projected"), &again));
    test_ok(ctx, whet_adapter_fit(ctx, again, test_tmp("project-base"), false));
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(again->json, "modules_to_save"), 0)),
        "classifier");
    assert_non_null(json_object_get(again->json, "id2label"));
    whet_adapter_close(ctx, again);
    whet_adapter_close(ctx, made);
    test_ctx_done(ctx);
}

/* Of all ranks that a budget allows, none keep more than those chosen: layers of one size cost the same. */
static void budgets_are_spent_well(void **state) {
    (void)state;
    enum { N = 2, STEPS = IN / N, COST = N * N * (IN / N + OUT / N) };
    whet_ctx *ctx = test_ctx(1);
    whet_adapter_project_job job = project_job();
    const whet_i_adapter_shape s = whet_i_adapter_shape_of(IN, OUT, N, 0);
    double gains[2][STEPS], before = 2;
    write_models(false);
    static const char *const names[] = {"enc.a.weight", "enc.b.weight"};
    for (int l = 0; l < 2; l++) {
        double *d = change(ctx, names[l]);
        test_ok(ctx, whet_i_block_gains(ctx, &s, d, gains[l]));
        free(d);
    }
    job.blocks = N;
    for (int64_t steps = 1; steps <= 2 * STEPS; steps++) {
        json_t *report;
        double best = 0, all = 0;
        job.budget = steps * COST + COST / 2;
        whet_adapter *made = projected(ctx, &job, &report);
        for (int64_t a = 0; a <= STEPS; a++)
            for (int64_t b = 0; b <= STEPS && a + b <= steps; b++) {
                double kept = 0;
                for (int64_t i = 0; i < a; i++) kept += gains[0][i];
                for (int64_t i = 0; i < b; i++) kept += gains[1][i];
                best = fmax(best, kept);
            }
        for (int i = 0; i < STEPS; i++) all += gains[0][i] + gains[1][i];
        const double residual = json_real_value(json_object_get(report, "residual"));
        assert_true(fabs(residual * residual - (1 - best / all)) < 1e-12);
        assert_true(residual < before + 1e-12);
        before = residual;
        assert_int_equal(json_integer_value(json_object_get(report, "parameters")), steps * COST);
        json_decref(report);
        whet_adapter_close(ctx, made);
    }
    job.budget = COST - 1;
    whet_adapter *none = NULL;
    test_fails(ctx, whet_adapter_project(ctx, &job, &none, NULL), WHET_ERR_ARG);
    test_says(ctx, "expected 32 at least");
    test_ctx_done(ctx);
}

/* What is of rank 1 costs one rank a layer as LoRA, whatever the budget; and an adapter projects onto
 * itself. */
static void what_is_small_stays_small(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_adapter_project_job job = project_job();
    json_t *report;
    write_models(true);
    job.form = WHET_ADAPTER_FORM_LORA;
    job.budget = 100;
    whet_adapter *made = projected(ctx, &job, &report);
    for (int l = 0; l < 2; l++) assert_int_equal(made->layers[l].shape.rank, 1);
    assert_true(json_real_value(json_object_get(report, "residual")) < 1e-6);
    json_decref(report);
    test_ok(ctx, whet_adapter_save(ctx, made, test_tmp("small"), false));
    job.tuned = NULL;
    job.adapter = test_tmp("small");
    job.budget = 0;
    job.rank = 1;
    whet_adapter *again = projected(ctx, &job, &report);
    assert_true(json_real_value(json_object_get(report, "residual")) < 1e-6);
    json_decref(report);
    for (int l = 0; l < 2; l++) {
        double *x = matrix_of(ctx, &made->layers[l]), *y = matrix_of(ctx, &again->layers[l]);
        assert_true(farthest(x, y, IN * OUT) < 1e-6);
        free(x);
        free(y);
    }
    whet_adapter_close(ctx, again);
    whet_adapter_close(ctx, made);
    test_ctx_done(ctx);
}

static void projections_that_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_adapter_project_job job = project_job();
    whet_adapter *made = NULL;
    write_models(false);
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_ARG); /* no rank */
    job.rank = 4;
    job.budget = 100;
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_ARG); /* both */
    job.budget = 0;
    job.rank = 99;
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_ARG);
    test_says(ctx, "rank 99; expected at most 8");
    job.rank = 4;
    job.targets = "nothing";
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_ARG);
    test_says(ctx, "targets \"nothing\" match no layer");
    job.targets = NULL;
    job.tuned = job.model;
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_DATA);
    job.adapter = "both";
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_ARG);
    job.adapter = NULL;
    job.tuned = test_tmp("nowhere");
    test_fails(ctx, whet_adapter_project(ctx, &job, &made, NULL), WHET_ERR_IO);
    assert_null(made);
    test_ctx_done(ctx);
}

static whet_status project_and_add(whet_ctx *ctx, void *arg) {
    static const double weights[] = {1, 2};
    whet_adapter *made = NULL, *sum = NULL;
    char *report = NULL;
    whet_status status = whet_adapter_project(ctx, arg, &made, &report);
    const whet_adapter *items[] = {made, made};
    if (status == WHET_OK) status = whet_adapter_combine(ctx, items, weights, 2, &sum);
    whet_free_text(ctx, report);
    whet_adapter_close(ctx, sum);
    whet_adapter_close(ctx, made);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    whet_adapter_project_job job = project_job();
    write_models(false);
    job.budget = 200;
    job.blocks = 2;
    assert_true(test_each_allocation(project_and_add, &job) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_lora),
        cmocka_unit_test(sums_of_more),
        cmocka_unit_test(sums_that_are_refused),
        cmocka_unit_test(sums_of_biases),
        cmocka_unit_test(one_rank_everywhere),
        cmocka_unit_test(budgets_are_spent_well),
        cmocka_unit_test(what_is_small_stays_small),
        cmocka_unit_test(projections_that_are_refused),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
