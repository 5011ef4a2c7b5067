/* SPDX-License-Identifier: Apache-2.0
 * Adapters merged into model folders: PEFT's and the reference's sums, DoRA by its formula, weights,
 * types, files in parts, heads, and what is refused. */
#include "adapter_support.h"

#include <dirent.h>

/* A merge of these adapters into `base`, with settings that may be changed before. */
static whet_adapter_merge_job job_of(const char *base, const char *const *adapters, int64_t n,
                                     const char *output) {
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    job.model = base;
    job.adapters = adapters;
    job.n = n;
    job.output = output;
    job.force = true;
    return job;
}

static whet_safetensors *weights_of(whet_ctx *ctx, const char *dir, const char *file) {
    char path[1024];
    whet_safetensors *made;
    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    test_ok(ctx, whet_safetensors_open(ctx, path, &made));
    return made;
}

/* A tensor in f64, released by whet_i_free. */
static double *reals(whet_ctx *ctx, const whet_safetensors *file, const char *name,
                     whet_tensor *view) {
    whet_tensor copy;
    assert_true(whet_safetensors_find(file, name, view));
    test_ok(ctx, whet_tensor_convert(ctx, view, WHET_F64, &copy));
    return copy.data;
}

static void check_tensor(whet_ctx *ctx, const whet_safetensors *got,
                         const whet_safetensors *expected, const char *name, const char *as,
                         double tolerance) {
    whet_tensor a, b;
    double *x = reals(ctx, got, name, &a), *y = reals(ctx, expected, as, &b);
    assert_int_equal(whet_tensor_count(&a), whet_tensor_count(&b));
    assert_true(farthest(x, y, whet_tensor_count(&a)) <= tolerance);
    whet_i_free(ctx, x);
    whet_i_free(ctx, y);
}

/* ---- PEFT's and the reference's --------------------------------------------------------------- */

/* merge_and_unload rounds B A, the scale and the sum in f32: a few units of 6e-8, of numbers up to 4. */
static void as_peft_merges(void **state) {
    (void)state;
    test_need_shared("golden/more/peft_lora_demo");
    whet_ctx *ctx = test_ctx(2);
    tensors views = {0};
    char *report, *demo = strdup(test_shared("golden/more/peft_lora_demo"));
    const char *adapters[] = {demo};
    whet_safetensors *base = weights_of(ctx, demo, "base.safetensors");
    for (int64_t i = 0; i < whet_safetensors_count(base); i++) {
        views.items[i].name = whet_safetensors_name(base, i).ptr;
        (void)whet_safetensors_find(base, views.items[i].name, &views.items[i].tensor);
        views.n++;
    }
    (void)folder("demo-base");
    write_tensors("demo-base", "model.safetensors", &views);
    whet_adapter_merge_job job =
        job_of(test_tmp("demo-base"), adapters, 1, test_tmp("demo-merged"));
    test_ok(ctx, whet_adapter_merge(ctx, &job, &report));
    json_t *root = json_loads(report, 0, NULL);
    const json_t *probe = json_object_get(root, "probe");
    assert_true(json_is_null(json_object_get(probe, "model"))); /* not a model that runs here */
    const json_t *layers = json_object_get(probe, "layers");
    const double largest = json_real_value(json_object_get(layers, "largest"));
    assert_true(largest > 0.1);
    assert_true(json_real_value(json_object_get(layers, "max_difference")) < 1e-6 * largest);
    json_decref(root);
    whet_free_text(ctx, report);
    whet_safetensors *got = weights_of(ctx, test_tmp("demo-merged"), "model.safetensors");
    whet_safetensors *expected = weights_of(ctx, demo, "merged.safetensors");
    assert_int_equal(whet_safetensors_count(got), whet_safetensors_count(expected));
    for (int64_t i = 0; i < whet_safetensors_count(got); i++) {
        const char *name = whet_safetensors_name(got, i).ptr;
        check_tensor(ctx, got, expected, name, name, 2e-6);
    }
    whet_safetensors_close(ctx, expected);
    whet_safetensors_close(ctx, got);
    whet_safetensors_close(ctx, base);
    free(demo);
    test_ctx_done(ctx);
}

static void check_module(const char *path) {
    whet_ctx *ctx = test_ctx(2);
    whet_safetensors *g;
    tensors base = {0}, a = {0};
    char config[256];
    test_ok(ctx, whet_safetensors_open(ctx, path, &g));
    base.items[0].name = "m.weight";
    assert_true(whet_safetensors_find(g, "W0", &base.items[0].tensor));
    a.items[0].name = PEFT "m.more_w1";
    a.items[1].name = PEFT "m.more_w2";
    assert_true(whet_safetensors_find(g, "blkdiag1", &a.items[0].tensor));
    assert_true(whet_safetensors_find(g, "blkdiag2", &a.items[1].tensor));
    base.n = 1;
    a.n = 2;
    (void)folder("module-base");
    write_tensors("module-base", "model.safetensors", &base);
    (void)snprintf(config, sizeof config, "\"peft_type\": \"MORE\", \"r\": %lld",
                   (long long)a.items[0].tensor.shape[1]);
    const char *adapters[] = {write_adapter("module", config, &a)};
    const whet_adapter_merge_job job =
        job_of(test_tmp("module-base"), adapters, 1, test_tmp("module-merged"));
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    whet_safetensors *got = weights_of(ctx, test_tmp("module-merged"), "model.safetensors");
    check_tensor(ctx, got, g, "m.weight", "W_merged", 1e-10); /* the vectors' tolerance, in f64 */
    whet_safetensors_close(ctx, got);
    whet_safetensors_close(ctx, g);
    test_ctx_done(ctx);
}

static void as_the_reference_merges(void **state) {
    (void)state;
    test_need_shared("golden/more");
    char path[2048], folder_of[1024];
    (void)snprintf(folder_of, sizeof folder_of, "%s", test_shared("golden/more"));
    DIR *dir = opendir(folder_of);
    int64_t n = 0;
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        if (strncmp(e->d_name, "module_", 7) != 0) continue;
        (void)snprintf(path, sizeof path, "%s/%s", folder_of, e->d_name);
        check_module(path);
        n++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(n > 5);
}

/* ---- made here -------------------------------------------------------------------------------- */

enum { IN = 7, OUT = 5, R = 2 };

typedef struct set {
    tensors base, lora, dora;
    const char *lora_dir, *dora_dir, *base_dir;
} set;

static set make_set(void) {
    set s = {0};
    (void)add(&s.base, "enc.m.weight", OUT, IN, 0);
    (void)add(&s.base, "enc.m.bias", OUT, 0, 0);
    (void)add(&s.base, "enc.n.weight", OUT, IN, 0);
    (void)folder("set-base");
    write_tensors("set-base", "model.safetensors", &s.base);
    (void)test_write_text("set-base/config.json", "{\"model_type\": \"nothing known\"}");
    (void)test_write_text("set-base/tokenizer.json", "{}");
    (void)test_write_text("set-base/notes.bin", "left behind");
    (void)add(&s.lora, PEFT "enc.m.lora_A.weight", R, IN, 0);
    (void)add(&s.lora, PEFT "enc.m.lora_B.weight", OUT, R, 0);
    (void)add(&s.lora, PEFT "enc.m.base_layer.bias", OUT, 0, 0);
    (void)add(&s.dora, PEFT "enc.m.lora_A.weight", R, IN, 0);
    (void)add(&s.dora, PEFT "enc.m.lora_B.weight", OUT, R, 0);
    (void)add(&s.dora, PEFT "enc.m.lora_magnitude_vector", OUT, 0, 0);
    s.base_dir = strdup(test_tmp("set-base"));
    s.lora_dir = strdup(write_adapter("set-lora",
                                      "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 3, "
                                      "\"bias\": \"lora_only\"",
                                      &s.lora));
    s.dora_dir = strdup(write_adapter("set-dora",
                                      "\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, "
                                      "\"use_dora\": true",
                                      &s.dora));
    return s;
}

static void free_set(set *s) {
    tensors_free(&s->base);
    tensors_free(&s->lora);
    tensors_free(&s->dora);
    free((void *)(uintptr_t)s->base_dir);
    free((void *)(uintptr_t)s->lora_dir);
    free((void *)(uintptr_t)s->dora_dir);
}

/* scale B A at (o, i). */
static double entry(const tensors *t, double scale, int o, int i) {
    const float *a = t->items[0].tensor.data, *b = t->items[1].tensor.data;
    double sum = 0;
    for (int r = 0; r < R; r++) sum += (double)b[o * R + r] * (double)a[r * IN + i];
    return scale * sum;
}

/* W + .5 (W_lora - W) + 2 (W_dora - W), entry by entry; biases alike. */
static void sums_of_changes(void **state) {
    (void)state;
    static const double weights[] = {.5, 2};
    static const int32_t threads[] = {1, 2, 5};
    set s = make_set();
    const char *adapters[] = {s.lora_dir, s.dora_dir};
    const float *w = s.base.items[0].tensor.data, *b = s.base.items[1].tensor.data;
    const float *m = s.dora.items[2].tensor.data, *c = s.lora.items[2].tensor.data;
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx(threads[t]);
        whet_tensor v;
        whet_adapter_merge_job job = job_of(s.base_dir, adapters, 2, test_tmp("sums"));
        job.weights = weights;
        test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
        whet_safetensors *got = weights_of(ctx, test_tmp("sums"), "model.safetensors");
        assert_true(whet_safetensors_find(got, "enc.m.weight", &v));
        for (int o = 0; o < OUT; o++) {
            double square = 0;
            for (int i = 0; i < IN; i++) {
                const double x = (double)w[o * IN + i] + entry(&s.dora, 2, o, i);
                square += x * x;
            }
            for (int i = 0; i < IN; i++) {
                const double x = (double)w[o * IN + i];
                const double dora = (double)m[o] / sqrt(square) * (x + entry(&s.dora, 2, o, i)) - x;
                const double sum = x + .5 * entry(&s.lora, 1.5, o, i) + 2 * dora;
                /* sums in another order may round to the other neighbour */
                assert_true(fabs((double)((const float *)v.data)[o * IN + i] - sum) <
                            1e-6 * (1 + fabs(sum)));
            }
        }
        assert_true(whet_safetensors_find(got, "enc.m.bias", &v));
        for (int o = 0; o < OUT; o++)
            assert_true(((const float *)v.data)[o] ==
                        (float)((double)b[o] + .5 * ((double)c[o] - (double)b[o])));
        assert_true(whet_safetensors_find(got, "enc.n.weight", &v));
        assert_memory_equal(v.data, s.base.items[2].tensor.data, OUT * IN * sizeof(float));
        whet_safetensors_close(ctx, got);
        if (t == 0)
            assert_int_equal(rename(test_tmp("sums"), test_tmp("sums-1")), 0);
        else
            assert_true(same_file(test_tmp("sums"), test_tmp("sums-1"), "model.safetensors"));
        test_ctx_done(ctx);
    }
    assert_int_equal(access(test_tmp("sums/tokenizer.json"), R_OK), 0);
    assert_int_not_equal(access(test_tmp("sums/notes.bin"), R_OK), 0);
    free_set(&s);
}

/* Weight 0 gives the base's bits back, and bf16 is the nearest to the sum in f64. */
static void zeros_and_types(void **state) {
    (void)state;
    static const double zero[] = {0};
    whet_ctx *ctx = test_ctx(2);
    set s = make_set();
    const char *adapters[] = {s.lora_dir};
    whet_tensor v;
    whet_adapter_merge_job job = job_of(s.base_dir, adapters, 1, test_tmp("zero"));
    job.weights = zero;
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    whet_safetensors *got = weights_of(ctx, test_tmp("zero"), "model.safetensors");
    for (int i = 0; i < 3; i++) {
        assert_true(whet_safetensors_find(got, s.base.items[i].name, &v));
        assert_memory_equal(v.data, s.base.items[i].tensor.data,
                            (size_t)whet_tensor_count(&v) * sizeof(float));
    }
    whet_safetensors_close(ctx, got);
    job = job_of(s.base_dir, adapters, 1, test_tmp("half"));
    job.cast = true;
    job.dtype = WHET_BF16;
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    got = weights_of(ctx, test_tmp("half"), "model.safetensors");
    double *half = reals(ctx, got, "enc.m.weight", &v);
    assert_int_equal(v.dtype, WHET_BF16);
    for (int i = 0; i < OUT * IN; i++) {
        const double sum = (double)((const float *)s.base.items[0].tensor.data)[i] +
                           entry(&s.lora, 1.5, i / IN, i % IN);
        int exponent;
        (void)frexp(sum, &exponent);
        assert_true(fabs(half[i] - sum) <=
                    ldexp(1, exponent - 9) * (1 + 1e-9)); /* half a unit of 8 bits */
    }
    whet_i_free(ctx, half);
    assert_true(whet_safetensors_find(got, "enc.n.weight", &v));
    assert_int_equal(v.dtype, WHET_BF16);
    whet_safetensors_close(ctx, got);
    size_t len;
    char *config = bytes_of(test_tmp("half"), "config.json", &len);
    config[len] = '\0';
    assert_non_null(strstr(config, "\"torch_dtype\": \"bfloat16\""));
    free(config);
    free_set(&s);
    test_ctx_done(ctx);
}

/* A base in two parts, an adapter whose names are longer, and a head that is new. */
static void parts_and_heads(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    tensors one = {0}, two = {0}, a = {0};
    whet_i_weight_files files = {0};
    whet_tensor v;
    (void)add(&one, "enc.0.weight", OUT, IN, 0);
    (void)add(&two, "enc.1.weight", OUT, IN, 0);
    (void)folder("parts");
    write_tensors("parts", "model-1.safetensors", &one);
    write_tensors("parts", "model-2.safetensors", &two);
    (void)test_write_text("parts/model.safetensors.index.json",
                          "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\"enc.0.weight\": "
                          "\"model-1.safetensors\", \"enc.1.weight\": \"model-2.safetensors\"}}");
    (void)test_write_text("parts/config.json", "{\"model_type\": \"bert\"}");
    (void)add(&a, PEFT "bert.enc.1.lora_A.weight", R, IN, 0);
    (void)add(&a, PEFT "bert.enc.1.lora_B.weight", OUT, R, 0);
    const float *head = add(&a, PEFT "classifier.weight", 2, IN, 0);
    const char *adapters[] = {write_adapter(
        "parts-lora",
        "\"peft_type\": \"LORA\", \"r\": 2, \"id2label\": {\"0\": \"no\", \"1\": \"yes\"}", &a)};
    const whet_adapter_merge_job job =
        job_of(test_tmp("parts"), adapters, 1, test_tmp("parts-merged"));
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    test_ok(ctx, whet_i_weight_files_open(ctx, test_tmp("parts-merged"), &files));
    assert_int_equal(files.n, 2);
    assert_true(whet_i_weight_files_find(&files, "bert.enc.0.weight", &v));
    assert_memory_equal(v.data, one.items[0].tensor.data, OUT * IN * sizeof(float));
    assert_true(whet_i_weight_files_find(&files, "classifier.weight", &v));
    assert_memory_equal(v.data, head, 2 * IN * sizeof(float));
    assert_true(whet_i_weight_files_find(&files, "bert.enc.1.weight", &v));
    assert_memory_not_equal(v.data, two.items[0].tensor.data, OUT * IN * sizeof(float));
    whet_i_weight_files_close(ctx, &files);
    size_t len;
    char *config = bytes_of(test_tmp("parts-merged"), "config.json", &len);
    config[len] = '\0';
    assert_non_null(strstr(config, "BertForSequenceClassification"));
    assert_non_null(strstr(config, "\"yes\""));
    free(config);
    /* PEFT's folders do not name classes: transformers reads off the names how many there are. */
    adapters[0] = write_adapter("parts-peft", "\"peft_type\": \"LORA\", \"r\": 2", &a);
    whet_adapter_merge_job nameless =
        job_of(test_tmp("parts"), adapters, 1, test_tmp("parts-nameless"));
    test_ok(ctx, whet_adapter_merge(ctx, &nameless, NULL));
    config = bytes_of(test_tmp("parts-nameless"), "config.json", &len);
    config[len] = '\0';
    assert_non_null(strstr(config, "BertForSequenceClassification"));
    assert_non_null(strstr(config, "\"1\": \"LABEL_1\""));
    assert_null(strstr(config, "LABEL_2"));
    free(config);
    tensors_free(&one);
    tensors_free(&two);
    tensors_free(&a);
    test_ctx_done(ctx);
}

/* "bias": "all": biases of layers without an adapter change by weight, too; PEFT's copies are passed by. */
static void all_biases(void **state) {
    (void)state;
    static const double half[] = {0.5};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    tensors t = {0};
    whet_i_weight_files files = {0};
    whet_tensor v;
    (void)add(&t, PEFT "enc.n.lora_A.weight", R, IN, 0);
    (void)add(&t, PEFT "enc.n.lora_B.weight", OUT, R, 0);
    const float *bias = add(&t, PEFT "enc.m.bias", OUT, 0, 0);
    const float *head = add(&t, PEFT "classifier.bias", 2, 0, 0);
    (void)add(&t, PEFT "classifier.weight", 2, IN, 0);
    (void)add(&t, PEFT "classifier.modules_to_save.bias", 2, 0, 0);
    (void)add(&t, PEFT "classifier.original_module.bias", 2, 0, 0);
    const char *dirs[] = {write_adapter("all-biases",
                                        "\"peft_type\": \"LORA\", \"r\": 2, \"bias\": \"all\", "
                                        "\"modules_to_save\": [\"classifier\"]",
                                        &t)};
    whet_adapter_merge_job job = job_of(s.base_dir, dirs, 1, test_tmp("all-biases-merged"));
    job.weights = half;
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    test_ok(ctx, whet_i_weight_files_open(ctx, job.output, &files));
    assert_true(whet_i_weight_files_find(&files, "enc.m.bias", &v));
    for (int i = 0; i < OUT; i++) {
        const double base = (double)((const float *)s.base.items[1].tensor.data)[i];
        assert_true(((const float *)v.data)[i] == (float)(base + 0.5 * ((double)bias[i] - base)));
    }
    assert_true(whet_i_weight_files_find(&files, "classifier.bias", &v));
    assert_memory_equal(v.data, head, 2 * sizeof(float));
    assert_false(whet_i_weight_files_find(&files, "classifier.original_module.bias", &v));
    whet_i_weight_files_close(ctx, &files);
    /* Whole modules of PEFT's wrappers are no adapter's. */
    (void)add(&t, PEFT "classifier.original_module.weight", 2, IN, 0);
    dirs[0] =
        write_adapter("all-biases", "\"peft_type\": \"LORA\", \"r\": 2, \"bias\": \"all\"", &t);
    job.force = true;
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_UNSUPPORTED);
    test_says(ctx, "PEFT's copy");
    tensors_free(&t);
    free_set(&s);
    test_ctx_done(ctx);
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refusals(void **state) {
    (void)state;
    static const double bad[] = {NAN};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    const char *adapters[] = {s.lora_dir, s.lora_dir};
    whet_adapter_merge_job job = job_of(s.base_dir, adapters, 1, test_tmp("refused"));
    job.weights = bad;
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_ARG);
    job.weights = NULL;
    job.dtype = WHET_I8;
    job.cast = true;
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_ARG);
    /* Sums beyond f16's 65504: told, and nothing is left. */
    job.dtype = WHET_F16;
    const double large[] = {1e6};
    job.weights = large;
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_NUMERIC);
    test_says(ctx, "\"enc.m.weight\" is not finite in f16");
    assert_int_not_equal(access(test_tmp("refused"), F_OK), 0);
    job.model = test_tmp("nowhere");
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_IO);
    test_says(ctx, "nowhere");
    assert_int_not_equal(access(test_tmp("refused"), F_OK), 0);
    free_set(&s);
    test_ctx_done(ctx);
}

/* Two heads of one name, and whose is taken. */
static void whose_head(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    tensors heads = {0};
    (void)add(&heads, PEFT "enc.m.lora_A.weight", R, IN, 0);
    (void)add(&heads, PEFT "enc.m.lora_B.weight", OUT, R, 0);
    float *score = add(&heads, PEFT "score.weight", 2, IN, 0);
    const float first = score[0];
    const char *adapters[2];
    adapters[0] = strdup(write_adapter("one-head", "\"peft_type\": \"LORA\", \"r\": 2", &heads));
    score[0] += 1;
    adapters[1] = strdup(write_adapter("two-heads", "\"peft_type\": \"LORA\", \"r\": 2", &heads));
    whet_adapter_merge_job job = job_of(s.base_dir, adapters, 2, test_tmp("refused"));
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_ARG);
    test_says(ctx, "expected heads of one adapter");
    job.heads_of = "neither";
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_ARG);
    test_says(ctx, "\"neither\" is none of the adapters");
    assert_int_not_equal(access(test_tmp("refused"), F_OK), 0);
    for (int k = 0; k < 2; k++) {
        whet_i_weight_files files = {0};
        whet_tensor v;
        job.heads_of = adapters[k];
        job.output = test_tmp("one-of-two");
        job.force = true;
        test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
        test_ok(ctx, whet_i_weight_files_open(ctx, job.output, &files));
        assert_true(whet_i_weight_files_find(&files, "score.weight", &v));
        assert_true(((const float *)v.data)[0] == first + (float)k);
        whet_i_weight_files_close(ctx, &files);
    }
    free((char *)(uintptr_t)adapters[0]);
    free((char *)(uintptr_t)adapters[1]);
    tensors_free(&heads);
    free_set(&s);
    test_ctx_done(ctx);
}

/* A layer that is there whole beside its adapter, in one folder or in two. */
static void whole_layers_and_adapters(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set();
    tensors both_in_one = {0}, whole = {0};
    (void)add(&both_in_one, PEFT "enc.m.lora_A.weight", R, IN, 0);
    (void)add(&both_in_one, PEFT "enc.m.lora_B.weight", OUT, R, 0);
    (void)add(&both_in_one, PEFT "enc.m.weight", OUT, IN, 0);
    const char *both[] = {s.lora_dir,
                          write_adapter("both", "\"peft_type\": \"LORA\", \"r\": 2", &both_in_one)};
    whet_adapter_merge_job job = job_of(s.base_dir, both, 2, test_tmp("refused"));
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_SHAPE);
    test_says(ctx, "expected one of both");
    (void)add(&whole, PEFT "enc.n.lora_A.weight", R, IN, 0);
    (void)add(&whole, PEFT "enc.n.lora_B.weight", OUT, R, 0);
    (void)add(&whole, PEFT "enc.m.weight", OUT, IN, 0);
    both[1] = write_adapter("whole", "\"peft_type\": \"LORA\", \"r\": 2", &whole);
    test_fails(ctx, whet_adapter_merge(ctx, &job, NULL), WHET_ERR_SHAPE);
    tensors_free(&whole);
    tensors_free(&both_in_one);
    free_set(&s);
    test_ctx_done(ctx);
}

static whet_status merge(whet_ctx *ctx, void *arg) {
    const whet_adapter_merge_job *job = arg;
    char *report = NULL;
    const whet_status status = whet_adapter_merge(ctx, job, &report);
    whet_free_text(ctx, report);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    set s = make_set();
    const char *adapters[] = {s.lora_dir, s.dora_dir};
    whet_adapter_merge_job job = job_of(s.base_dir, adapters, 2, test_tmp("allocated"));
    assert_true(test_each_allocation(merge, &job) > 50);
    free_set(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_peft_merges),
        cmocka_unit_test(as_the_reference_merges),
        cmocka_unit_test(sums_of_changes),
        cmocka_unit_test(zeros_and_types),
        cmocka_unit_test(parts_and_heads),
        cmocka_unit_test(refusals),
        cmocka_unit_test(whose_head),
        cmocka_unit_test(all_biases),
        cmocka_unit_test(whole_layers_and_adapters),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
