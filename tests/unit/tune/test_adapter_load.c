/* SPDX-License-Identifier: Apache-2.0
 * Models loaded with adapters in them: held against the model that training merged, against what training
 * measured of itself, against the base; bits, fingerprints, what is refused. */
#include "adapter_support.h"
#include "tune_support.h"

enum { TEXTS = 6, DIM = 32 };

static const char *const texts[TEXTS] = {
    "a good video", "bad", "", "the song is good, the video bad", "good good", "song 7"};

static const char *encoder_dir(void) { return test_source("tests/golden/bert_tiny/even"); }

/* [TEXTS, DIM] of a folder alone (use NULL), or with adapters. */
static void embed(int32_t threads, const char *dir, const whet_adapter_use *use, int64_t slab,
                  float *out, char *fingerprint) {
    whet_ctx *ctx = test_ctx(threads);
    whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    whet_encoder *e;
    whet_str views[TEXTS];
    opts.batch_tokens = slab;
    if (use)
        test_ok(ctx, whet_encoder_load_adapted(ctx, dir, &opts, use, &e));
    else
        test_ok(ctx, whet_encoder_load(ctx, dir, &opts, &e));
    assert_int_equal(whet_encoder_dim(e), DIM);
    for (int i = 0; i < TEXTS; i++) views[i] = whet_str_from(texts[i]);
    test_ok(ctx, whet_encoder_embed(ctx, e, views, TEXTS, out));
    (void)snprintf(fingerprint, 17, "%s", whet_encoder_fingerprint(e));
    whet_encoder_destroy(ctx, e);
    test_ctx_done(ctx);
}

static double apart(const float *a, const float *b) {
    double most = 0;
    for (int i = 0; i < TEXTS * DIM; i++) most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static whet_adapter_use use_of(const char *const *dirs, const double *weights, int64_t n) {
    whet_adapter_use use = WHET_ADAPTER_USE_INIT;
    use.adapters = dirs;
    use.weights = weights;
    use.n = n;
    return use;
}

/* ---- encoders --------------------------------------------------------------------------------- */

static const char *tuned(const char *name, whet_tune_adapter kind) {
    whet_ctx *ctx = test_ctx(2);
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    static char dir[512];
    job.model = encoder_dir();
    job.train = test_write_text("classes.tsv",
                                "text\tlabel\na good video\ty\nbad song\tn\ngood\ty\nbad\tn\n"
                                "the song is good\ty\nthe video is bad\tn\n");
    job.loss = WHET_TUNE_CONTRASTIVE;
    job.adapter = kind;
    job.rank = 4;
    job.epochs = 3;
    job.learning_rate = 0.02;
    job.force = true;
    (void)snprintf(dir, sizeof dir, "%s", test_tmp(name));
    job.output = dir;
    test_ok(ctx, whet_tune_run(ctx, &job, NULL));
    test_ctx_done(ctx);
    return dir;
}

/* Factors in layers, or their sum in the weights: unit rows, sums of 64 numbers in f32 over two layers. */
static void as_the_merged_model(void **state) {
    (void)state;
    static const whet_tune_adapter kinds[] = {WHET_TUNE_LORA, WHET_TUNE_MORE, WHET_TUNE_DORA,
                                              WHET_TUNE_BITFIT, WHET_TUNE_NORMS};
    static float base[TEXTS * DIM], merged[TEXTS * DIM], got[TEXTS * DIM], again[TEXTS * DIM];
    char prints[4][17];
    embed(1, encoder_dir(), NULL, 0, base, prints[0]);
    for (int64_t k = 0; k < WHET_COUNT_OF(kinds); k++) {
        const char *dirs[] = {tuned("kind", kinds[k])};
        const whet_adapter_use use = use_of(dirs, NULL, 1);
        embed(1, dirs[0], NULL, 0, merged, prints[1]);
        embed(1, encoder_dir(), &use, 0, got, prints[2]);
        embed(3, encoder_dir(), &use, 1, again, prints[3]);
        assert_memory_equal(got, again, sizeof got); /* whatever the threads, slabs */
        assert_string_equal(prints[2], prints[3]);
        assert_true(strcmp(prints[2], prints[0]) != 0);
        assert_true(apart(base, merged) > 1e-3);
        if (kinds[k] == WHET_TUNE_BITFIT || kinds[k] == WHET_TUNE_NORMS)
            assert_memory_equal(got, merged, sizeof got);
        else
            assert_true(apart(got, merged) < 5e-6);
        remove_output(dirs[0]);
    }
}

/* DoRA, LoRA and norms by weights, as whet_adapter_merge puts them into a folder; of weight 0 the base. */
static void several_by_weights(void **state) {
    (void)state;
    static const double weights[] = {0.6, -0.5, 0.7}, none[] = {0, 0, 0};
    static float base[TEXTS * DIM], merged[TEXTS * DIM], got[TEXTS * DIM];
    char prints[3][17], *dirs[3];
    whet_ctx *ctx = test_ctx(1);
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    dirs[0] = strdup(tuned("several-dora", WHET_TUNE_DORA));
    dirs[1] = strdup(tuned("several-lora", WHET_TUNE_LORA));
    dirs[2] = strdup(tuned("several-norms", WHET_TUNE_NORMS));
    job.model = encoder_dir();
    job.adapters = (const char *const *)dirs;
    job.weights = weights;
    job.n = 3;
    job.output = test_tmp("several");
    job.force = true;
    test_ok(ctx, whet_adapter_merge(ctx, &job, NULL));
    test_ctx_done(ctx);
    whet_adapter_use use = use_of(job.adapters, weights, 3);
    embed(1, encoder_dir(), NULL, 0, base, prints[0]);
    embed(1, test_tmp("several"), NULL, 0, merged, prints[1]);
    embed(2, encoder_dir(), &use, 0, got, prints[1]);
    assert_true(apart(got, merged) < 5e-6);
    assert_true(apart(got, base) > 1e-3);
    use.weights = none;
    embed(1, encoder_dir(), &use, 0, got, prints[2]);
    assert_true(apart(got, base) < 5e-6);
    assert_true(strcmp(prints[1], prints[2]) != 0);
    for (int i = 0; i < 3; i++) free(dirs[i]);
}

#define QUERY PEFT "encoder.layer.1.attention.self.query"

static const char *small_adapter(const char *name, tensors *t) {
    (void)add(t, QUERY ".lora_A.weight", 2, DIM, 0);
    (void)add(t, QUERY ".lora_B.weight", DIM, 2, 0);
    return write_adapter(name, "\"peft_type\": \"LORA\", \"r\": 2", t);
}

/* A norm that was trained whole stands in the base's place, here and in what merging compares. */
static void whole_modules(void **state) {
    (void)state;
    static float alone[TEXTS * DIM], merged[TEXTS * DIM], got[TEXTS * DIM];
    char print[17], *report;
    whet_ctx *ctx = test_ctx(1);
    tensors t = {0}, without = {0};
    whet_adapter_merge_job job = WHET_ADAPTER_MERGE_JOB_INIT;
    char *plain = strdup(small_adapter("plain", &without));
    (void)add(&t, PEFT "embeddings.LayerNorm.weight", DIM, 0, 0);
    char *whole = strdup(small_adapter("whole", &t));
    const char *dirs[] = {whole}, *others[] = {plain};
    job.model = encoder_dir();
    job.adapters = dirs;
    job.n = 1;
    job.output = test_tmp("whole-merged");
    test_ok(ctx, whet_adapter_merge(ctx, &job, &report));
    json_t *root = json_loads(report, 0, NULL);
    const json_t *model = json_object_get(json_object_get(root, "probe"), "model");
    assert_true(json_number_value(json_object_get(model, "max_difference")) < 1e-5);
    json_decref(root);
    whet_free_text(ctx, report);
    test_ctx_done(ctx);
    const whet_adapter_use use = use_of(dirs, NULL, 1), other = use_of(others, NULL, 1);
    embed(1, test_tmp("whole-merged"), NULL, 0, merged, print);
    embed(1, encoder_dir(), &use, 0, got, print);
    embed(1, encoder_dir(), &other, 0, alone, print);
    assert_true(apart(got, merged) < 5e-6);
    assert_true(apart(got, alone) > 1e-2);
    free(plain);
    free(whole);
    tensors_free(&t);
    tensors_free(&without);
}

/* ---- language models -------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to) {
    char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    const size_t n = fread(bytes, 1, sizeof bytes, in);
    assert_true(n > 0 && n < sizeof bytes);
    assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in) | fclose(out), 0);
}

/* The tiny Llama of tests/golden, a character a token. */
static const char *llama_dir(void) {
    static const char *const from[] = {"llama/config.json", "llama/model.safetensors",
                                       "tokenizer_begin.json"};
    static const char *const to[] = {"config.json", "model.safetensors", "tokenizer.json"};
    static char dir[512];
    char path[1024], source[1024], name[128];
    (void)snprintf(dir, sizeof dir, "%s", folder("llama"));
    for (int i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "tests/golden/llama/%s", from[i]);
        (void)snprintf(source, sizeof source, "%s", test_source(name));
        (void)snprintf(path, sizeof path, "%s/%s", dir, to[i]);
        copy_file(source, path);
    }
    return dir;
}

/* Mean -log p of the rows' tokens behind the first. */
static double loss_of(whet_ctx *ctx, const whet_language_model *m, const whet_str *rows,
                      int64_t n) {
    whet_token_rows tokens = {0};
    int64_t asked[8], count = 0;
    double log_probs[8], sum = 0;
    test_ok(ctx, whet_tokenizer_encode(ctx, whet_language_model_tokenizer(m), rows, n, 0, &tokens));
    for (int64_t i = 0; i < n; i++) {
        asked[i] = 1;
        count += tokens.start[i + 1] - tokens.start[i] - 1;
    }
    test_ok(ctx, whet_language_model_score(ctx, m, &tokens, asked, log_probs));
    for (int64_t i = 0; i < n; i++) sum -= log_probs[i];
    whet_token_rows_destroy(ctx, &tokens);
    return sum / (double)count;
}

/* What training measured of itself last: the same numbers in f32, added up in another order. */
static void as_training_measures(void **state) {
    (void)state;
    static const whet_tune_adapter kinds[] = {WHET_TUNE_LORA, WHET_TUNE_MORE, WHET_TUNE_DORA};
    const whet_str rows[] = {whet_str_from("dog does bark"), whet_str_from("cat does mew"),
                             whet_str_from("a dog"), whet_str_from("mew mew")};
    for (int64_t k = 0; k < WHET_COUNT_OF(kinds); k++) {
        whet_ctx *ctx = test_ctx(2);
        whet_tune_job job = WHET_TUNE_JOB_INIT;
        whet_language_model *m;
        char *report;
        job.model = llama_dir();
        job.train =
            test_write_text("texts.tsv", "text\ndog does bark\ncat does mew\na dog\nmew mew\n");
        job.valid = job.train;
        job.no_end = true;
        job.adapter = kinds[k];
        job.targets = "all-linear";
        job.rank = 4;
        job.epochs = 4;
        job.learning_rate = 0.02;
        job.force = true;
        job.output = test_tmp("language");
        test_ok(ctx, whet_tune_run(ctx, &job, &report));
        json_t *root = json_loads(report, 0, NULL);
        const double told =
            json_number_value(json_object_get(json_object_get(root, "best"), "loss"));
        json_decref(root);
        whet_free_text(ctx, report);
        const char *dirs[] = {test_tmp("language")};
        const whet_adapter_use use = use_of(dirs, NULL, 1);
        test_ok(ctx, whet_language_model_load(ctx, job.model, WHET_F32, &m));
        assert_true(loss_of(ctx, m, rows, 4) > told + 0.1);
        whet_language_model_destroy(ctx, m);
        test_ok(ctx, whet_language_model_load_adapted(ctx, job.model, WHET_F32, &use, &m));
        assert_true(fabs(loss_of(ctx, m, rows, 4) - told) < 2e-6 * told);
        whet_language_model_destroy(ctx, m);
        remove_output(dirs[0]);
        test_ctx_done(ctx);
    }
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refusals(void **state) {
    (void)state;
    static const double bad[] = {NAN};
    whet_ctx *ctx = test_ctx(1);
    whet_encoder *e = NULL;
    whet_language_model *m = NULL;
    tensors t = {0}, other = {0};
    char *dir = strdup(small_adapter("small", &t));
    const char *dirs[] = {dir};
    whet_adapter_use use = use_of(dirs, bad, 1);
    test_fails(ctx, whet_encoder_load_adapted(ctx, encoder_dir(), NULL, &use, &e), WHET_ERR_ARG);
    test_says(ctx, "weight nan of adapter 1; expected -1e6 to 1e6");
    use.n = 0;
    test_fails(ctx, whet_encoder_load_adapted(ctx, encoder_dir(), NULL, &use, &e), WHET_ERR_ARG);
    use = use_of(dirs, NULL, 1);
    test_fails(ctx, whet_encoder_load_adapted(ctx, test_tmp("nowhere"), NULL, &use, &e),
               WHET_ERR_IO);
    test_fails(ctx, whet_language_model_load_adapted(ctx, llama_dir(), WHET_F32, &use, &m),
               WHET_ERR_SHAPE);
    test_says(ctx, "the base has no layer");
    /* A module that was trained whole, of another size. */
    (void)add(&other, QUERY ".lora_A.weight", 2, DIM, 0);
    (void)add(&other, QUERY ".lora_B.weight", DIM, 2, 0);
    (void)add(&other, PEFT "embeddings.LayerNorm.weight", DIM + 1, 0, 0);
    dirs[0] = write_adapter("small", "\"peft_type\": \"LORA\", \"r\": 2", &other);
    test_fails(ctx, whet_encoder_load_adapted(ctx, encoder_dir(), NULL, &use, &e), WHET_ERR_SHAPE);
    test_says(ctx, "embeddings.LayerNorm.weight is [33]; expected [32]");
    assert_true(!e && !m);
    free(dir);
    tensors_free(&other);
    tensors_free(&t);
    test_ctx_done(ctx);
}

static whet_status load(whet_ctx *ctx, void *arg) {
    whet_encoder *e = NULL;
    const whet_status status = whet_encoder_load_adapted(ctx, encoder_dir(), NULL, arg, &e);
    if (status == WHET_OK) whet_encoder_destroy(ctx, e);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    static const double weights[] = {0.5, 0.25};
    tensors t = {0};
    const char *dirs[] = {strdup(small_adapter("small", &t)), NULL};
    dirs[1] = dirs[0];
    whet_adapter_use use = use_of(dirs, weights, 2);
    assert_true(test_each_allocation(load, &use) > 100);
    free((void *)(uintptr_t)dirs[0]);
    tensors_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_merged_model),
        cmocka_unit_test(several_by_weights),
        cmocka_unit_test(whole_modules),
        cmocka_unit_test(as_training_measures),
        cmocka_unit_test(refusals),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
