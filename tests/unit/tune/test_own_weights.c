/* SPDX-License-Identifier: Apache-2.0
 * Folders of weights of the model itself (LN_TUNING of norms, BITFIT of biases): read, written, merged with
 * weights, beside adapters of layers; what is refused. */
#include "adapter_support.h"

enum { D = 5, R = 2 };

#define NORMS "\"peft_type\": \"LN_TUNING\", \"modules_to_save\": [\"classifier\"]"
#define BIASES "\"peft_type\": \"BITFIT\", \"modules_to_save\": [\"classifier\"]"

typedef struct set {
    tensors base, norms, biases, lora;
    const char *base_dir, *norms_dir, *biases_dir, *lora_dir;
} set;

/* The base's names lack the prefix "bert." of the adapters' with heads. */
static set make_set(void) {
    set s = {0};
    (void)add(&s.base, "enc.norm.weight", D, 0, 0);
    (void)add(&s.base, "enc.norm.bias", D, 0, 0);
    (void)add(&s.base, "enc.m.weight", D, D, 0);
    (void)add(&s.base, "enc.m.bias", D, 0, 0);
    (void)folder("own-base");
    write_tensors("own-base", "model.safetensors", &s.base);
    (void)test_write_text("own-base/config.json", "{\"model_type\": \"nothing known\"}");
    (void)add(&s.norms, PEFT "bert.enc.norm.ln_tuning_layers.weight", D, 0, 0);
    (void)add(&s.norms, PEFT "bert.enc.norm.ln_tuning_layers.bias", D, 0, 0);
    (void)add(&s.norms, PEFT "classifier.weight", 2, D, 0);
    (void)add(&s.norms, PEFT "classifier.bias", 2, 0, 0);
    (void)add(&s.biases, PEFT "enc.m.bias", D, 0, 0);
    (void)add(&s.biases, PEFT "enc.norm.bias", D, 0, 0);
    (void)add(&s.lora, PEFT "enc.m.lora_A.weight", R, D, 0);
    (void)add(&s.lora, PEFT "enc.m.lora_B.weight", D, R, 0);
    s.base_dir = strdup(test_tmp("own-base"));
    s.norms_dir = strdup(write_adapter("own-norms", NORMS, &s.norms));
    s.biases_dir = strdup(write_adapter("own-biases", BIASES, &s.biases));
    s.lora_dir = strdup(write_adapter("own-lora", "\"peft_type\": \"LORA\", \"r\": 2", &s.lora));
    return s;
}

static void free_set(set *s) {
    const char *dirs[] = {s->base_dir, s->norms_dir, s->biases_dir, s->lora_dir};
    tensors_free(&s->base);
    tensors_free(&s->norms);
    tensors_free(&s->biases);
    tensors_free(&s->lora);
    for (int i = 0; i < 4; i++) free((void *)(uintptr_t)dirs[i]);
}

static const float *of(const tensors *t, int64_t i) { return t->items[i].tensor.data; }

static whet_adapter_merge_job job_of(const set *s, const char *const *adapters, int64_t n) {
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    job.model = s->base_dir;
    job.adapters = adapters;
    job.n = n;
    job.output = test_tmp("own-merged");
    job.force = true;
    return job;
}

/* Numbers of a merged tensor, views of `files`. */
static const float *merged(const whet_i_weight_files *files, const char *name, int64_t n) {
    whet_tensor v;
    assert_true(whet_i_weight_files_find(files, name, &v));
    assert_int_equal(whet_tensor_count(&v), n);
    return v.data;
}

/* ---- folders ---------------------------------------------------------------------------------- */

static void read_and_written_again(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    const char *dirs[] = {s.norms_dir, s.biases_dir};
    for (int i = 0; i < 2; i++) {
        whet_adapter *a = NULL;
        char *text;
        test_ok(ctx, whet_adapter_open(ctx, dirs[i], &a));
        assert_int_equal(a->n_layers, 0);
        assert_int_equal(a->n_wholes, i ? 2 : 4);
        for (int64_t w = 0; w < a->n_wholes; w++) { /* names are the model's */
            assert_null(strstr(a->wholes[w].name, "ln_tuning_layers"));
            assert_true(a->wholes[w].own == (strstr(a->wholes[w].name, "classifier") == NULL));
        }
        test_ok(ctx, whet_adapter_describe(ctx, a, &text));
        json_t *root = json_loads(text, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(root, "kind")),
                            i ? "bitfit" : "norms");
        assert_int_equal(json_integer_value(json_object_get(root, "adapter_parameters")), 2 * D);
        assert_int_equal(json_integer_value(json_object_get(root, "other_parameters")),
                         i ? 0 : 2 * D + 2);
        assert_int_equal(json_array_size(json_object_get(root, "own")), 2);
        json_decref(root);
        whet_free_text(ctx, text);
        test_ok(ctx, whet_adapter_save(ctx, a, test_tmp("own-1"), true));
        whet_adapter_close(ctx, a);
        test_ok(ctx, whet_adapter_open(ctx, test_tmp("own-1"), &a));
        test_ok(ctx, whet_adapter_save(ctx, a, test_tmp("own-2"), true));
        assert_true(same_file(test_tmp("own-1"), test_tmp("own-2"), "adapter_model.safetensors"));
        whet_adapter_close(ctx, a);
    }
    free_set(&s);
    test_ctx_done(ctx);
}

/* ---- merging ---------------------------------------------------------------------------------- */

/* v + .5 (norms - v) + 2 (biases - v), and the layer's weights with LoRA's, at once. */
static void sums_of_changes(void **state) {
    (void)state;
    static const double weights[] = {.5, 2, 1};
    set s = make_set();
    const char *adapters[] = {s.norms_dir, s.biases_dir, s.lora_dir};
    for (int32_t threads = 1; threads <= 2; threads++) {
        whet_ctx *ctx = test_ctx(threads);
        whet_i_weight_files files = {0};
        char *report;
        whet_adapter_merge_job job = job_of(&s, adapters, 3);
        job.weights = weights;
        test_ok(ctx, whet_adapter_merge(ctx, &job, &report));
        assert_non_null(strstr(report, "\"own\": 3"));
        whet_free_text(ctx, report);
        test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("own-merged"), &files));
        const float *scale = merged(&files, "bert.enc.norm.weight", D);
        const float *shift = merged(&files, "bert.enc.norm.bias", D);
        const float *bias = merged(&files, "bert.enc.m.bias", D);
        const float *w = merged(&files, "bert.enc.m.weight", D * D);
        for (int i = 0; i < D; i++) {
            const double a = (double)of(&s.base, 0)[i], b = (double)of(&s.base, 1)[i];
            const double c = (double)of(&s.base, 3)[i];
            assert_true(scale[i] == (float)(a + .5 * ((double)of(&s.norms, 0)[i] - a)));
            assert_true(shift[i] == (float)(b + .5 * ((double)of(&s.norms, 1)[i] - b) +
                                            2 * ((double)of(&s.biases, 1)[i] - b)));
            assert_true(bias[i] == (float)(c + 2 * ((double)of(&s.biases, 0)[i] - c)));
        }
        for (int k = 0; k < D * D; k++) { /* alpha 8 over rank 2 */
            double sum = (double)of(&s.base, 2)[k];
            for (int r = 0; r < R; r++)
                sum += 4 * (double)of(&s.lora, 1)[k / D * R + r] *
                       (double)of(&s.lora, 0)[r * D + k % D];
            assert_true(fabs((double)w[k] - sum) <= 1e-6 * (1 + fabs(sum)));
        }
        assert_memory_equal(merged(&files, "classifier.weight", 2 * D), of(&s.norms, 2),
                            2 * D * sizeof(float));
        whet_i_weight_files_close(ctx, &files);
        test_ctx_done(ctx);
    }
    free_set(&s);
}

/* Weight 1 is what was trained, bit by bit; 0 the base. */
static void ones_and_zeros(void **state) {
    (void)state;
    static const double zero[] = {0};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    const char *adapters[] = {s.biases_dir};
    for (int i = 0; i < 2; i++) {
        whet_i_weight_files files = {0};
        whet_adapter_merge_job job = job_of(&s, adapters, 1);
        if (i) job.weights = zero;
        test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
        test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("own-merged"), &files));
        assert_memory_equal(merged(&files, "enc.m.bias", D), i ? of(&s.base, 3) : of(&s.biases, 0),
                            D * sizeof(float));
        assert_memory_equal(merged(&files, "enc.m.weight", D * D), of(&s.base, 2),
                            D * D * sizeof(float));
        whet_i_weight_files_close(ctx, &files);
    }
    free_set(&s);
    test_ctx_done(ctx);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void folders_that_do_not_fit(void **state) {
    (void)state;
    static const struct {
        const char *config, *name, *says;
        int64_t rows, columns;
        whet_status status;
    } cases[] = {
        {NORMS, PEFT "enc.norm.ln_tuning_layers.weight", "no tensor \"enc.norm.weight\" of that",
         D + 1, 0, WHET_ERR_SHAPE},
        {NORMS, PEFT "dec.norm.ln_tuning_layers.weight", "no tensor \"dec.norm.weight\" of that", D,
         0, WHET_ERR_SHAPE},
        {NORMS, PEFT "enc.norm.ln_tuning_layers.weight", "expected a vector of a norm", D, D,
         WHET_ERR_SHAPE},
        {BIASES, PEFT "enc.norm.weight", "expected a bias", D, 0, WHET_ERR_SHAPE},
        {BIASES, PEFT "enc.m.bias", "expected a bias", D, D, WHET_ERR_SHAPE},
    };
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        tensors t = {0};
        (void)add(&t, cases[i].name, cases[i].rows, cases[i].columns, 0);
        const char *adapters[] = {write_adapter("own-odd", cases[i].config, &t)};
        const whet_adapter_merge_job job = job_of(&s, adapters, 1);
        test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), cases[i].status);
        test_says(ctx, cases[i].says);
        tensors_free(&t);
    }
    free_set(&s);
    test_ctx_done(ctx);
}

/* There is no matrix to convert, add up or approximate. */
static void no_adapters_of_layers(void **state) {
    (void)state;
    static const double one[] = {1};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    whet_adapter *a = NULL, *made = NULL;
    whet_adapter_project_job project = WHET_ADAPTER_PROJECT_JOB_INIT;
    test_ok(ctx, whet_adapter_open(ctx, s.norms_dir, &a));
    const whet_adapter *items[] = {a};
    test_fails(ctx, whet_adapter_convert(ctx, a, NULL, &made, NULL), WHET_ERR_UNSUPPORTED);
    test_says(ctx, "weights of the model itself (norms)");
    test_fails(ctx, whet_adapter_combine(ctx, items, one, 1, &made), WHET_ERR_UNSUPPORTED);
    project.model = s.base_dir;
    project.adapter = s.norms_dir;
    project.rank = 1;
    test_fails(ctx, whet_adapter_project(ctx, &project, &made, NULL), WHET_ERR_UNSUPPORTED);
    assert_null(made);
    whet_adapter_close(ctx, a);
    free_set(&s);
    test_ctx_done(ctx);
}

static whet_status merge(whet_ctx *ctx, void *arg) {
    char *report = NULL;
    const whet_status status = whet_adapter_merge(ctx, arg, &report);
    whet_free_text(ctx, report);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    set s = make_set();
    const char *adapters[] = {s.norms_dir, s.biases_dir};
    whet_adapter_merge_job job = job_of(&s, adapters, 2);
    assert_true(test_each_allocation(merge, &job) > 50);
    free_set(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_and_written_again), cmocka_unit_test(sums_of_changes),
        cmocka_unit_test(ones_and_zeros),         cmocka_unit_test(folders_that_do_not_fit),
        cmocka_unit_test(no_adapters_of_layers),  cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
