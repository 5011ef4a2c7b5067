/* SPDX-License-Identifier: Apache-2.0
 * The losses of whet tune: scores by hand, adapters merged into their layers, runs that are stopped
 * anywhere, memory that is not to be had, and what does not fit together. */
#include "gradient_support.h"
#include "tune_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune/tune_i.h"

static void near_to(double got, double expected) {
    if (!(fabs(got - expected) <= 1e-6)) print_error("%.9g; expected %.9g\n", got, expected);
    assert_true(fabs(got - expected) <= 1e-6);
}

/* ---- scores by hand ----------------------------------------------------------------------------- */

/* Prototypes: class 0 at (1, 1) / sqrt 2, class 1 at (-1, 0); class 2 has no training row. */
static void classes_by_the_nearest_prototype(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int32_t labels[] = {0, 0, 1}, truth[] = {0, 1, 0, 2};
    const float train[] = {1, 0, 0, 1, -1, 0};
    const float valid[] = {0.6f, 0.8f, -0.8f, 0.6f,
                           -1,   0,    0.28f, -0.96f}; /* the last: far of both */
    whet_i_tune run = {.kind = whet_i_tune_kind_of(WHET_TUNE_CONTRASTIVE),
                       .k = 3,
                       .train = {.n = 3, .labels = labels},
                       .valid = {.n = 4, .labels = truth}};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_tune_score_embeddings(ctx, &run, 2, train, valid, &s));
    near_to(s.accuracy, 0.5);
    near_to(s.f1, (2 * 1 / 3.0 + 2 * 1 / 4.0 + 0) / 3); /* guesses 0, 1, 1, 1 */
    assert_true(isnan(s.loss));
    test_ctx_done(ctx);
}

static void numbers_by_cosines(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float targets[] = {1, 0.5f, -1};
    const float valid[] = {1, 0, 1, 0, 1, 0, 0.6f, 0.8f, 0, 1, 0, -1}; /* cosines 1, 0.6, -1 */
    const whet_i_tune run = {.kind = whet_i_tune_kind_of(WHET_TUNE_COSINE_MSE),
                             .k = 1,
                             .regression = true,
                             .valid = {.n = 3, .targets = targets}};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_tune_score_embeddings(ctx, &run, 2, NULL, valid, &s));
    near_to(s.loss, 0.01 / 3);
    near_to(s.spearman, 1);
    test_ctx_done(ctx);
}

/* Row 0's own partner is nearest, row 1's is third, row 2's first beside an equal one. */
static void partners_by_rank(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const float valid[] = {1, 0, 1, 0, 0, 1, 0, -1, 0.6f, 0.8f, 1, 0};
    whet_i_tune run = {.kind = whet_i_tune_kind_of(WHET_TUNE_IN_BATCH), .k = 1, .valid = {.n = 3}};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &run.params));
    test_ok(ctx, whet_i_tune_score_embeddings(ctx, &run, 2, NULL, valid, &s));
    near_to(s.accuracy, 2 / 3.0);
    near_to(s.mrr, (1 + 1 / 3.0 + 1) / 3);
    assert_int_equal(s.n, 3);
    whet_i_params_destroy(ctx, run.params);
    test_ctx_done(ctx);
}

/* Classes 0, 1, 2 on a path. Row 0: guess 0, truth 1: 1; probabilities (.5, .1, .4): the Frechet mean is
 * 1 (costs 1.7, 0.9, 2.1). Row 1: guess 2, truth 0: 4; probabilities (0, 0, 1). */
static void distances_in_a_space(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    float costs[] = {0, 1, 4, 1, 0, 1, 4, 1, 0};
    int32_t truth[] = {1, 0};
    const float outputs[] = {logf(5), logf(1), logf(4), -50, -50, 50};
    const whet_i_tune_rows rows = {.n = 2, .labels = truth};
    whet_i_tune run = {
        .kind = whet_i_tune_kind_of(WHET_TUNE_EXPECTED_COST), .k = 3, .costs = costs};
    whet_i_tune_score s;
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.distance, (1 + 4) / 2.0);
    near_to(s.frechet, (0 + 4) / 2.0);
    near_to(s.loss, (0.9 + 4) / 2);
    near_to(s.accuracy, 0);
    run.job.temperature = 1e6; /* all alike: the middle is nearest to all, whatever is guessed */
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.frechet, (0 + 1) / 2.0);
    run.kind = whet_i_tune_kind_of(WHET_TUNE_CROSS_ENTROPY);
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.loss, (-log(0.1) + 100) / 2);
    /* Shares .5, .1, .4 expect 1.7, .9 and 2.1; certainty of the last 4, 1 and 0. The Frechet mean is the
     * guess. */
    run.kind = whet_i_tune_kind_of(WHET_TUNE_FRECHET);
    run.job.temperature = 0;
    run.mean_cost = 2;
    test_ok(ctx, whet_i_tune_score_of(ctx, &run, outputs, &rows, &s));
    near_to(s.loss, (log(exp(-0.4) + 1 + exp(-0.6)) + log(1 + exp(1.5) + exp(2))) / 2);
    near_to(s.accuracy, 0.5);
    near_to(s.distance, (0 + 4) / 2.0);
    near_to(s.frechet, s.distance);
    test_ctx_done(ctx);
}

/* ---- merged adapters ------------------------------------------------------------------------------ */

/* A layer with its adapter applied to every unit vector gives the columns of the merged weights. */
static void check_merged(int64_t in, int64_t out, whet_i_adapter_settings settings) {
    whet_ctx *ctx = test_ctx(1);
    const whet_tune_adapter adapter = settings.kind == WHET_I_ADAPTER_LORA   ? WHET_TUNE_LORA
                                      : settings.kind == WHET_I_ADAPTER_DORA ? WHET_TUNE_DORA
                                                                             : WHET_TUNE_MORE;
    whet_i_tune run = {.adapter = whet_i_tune_adapter_find(adapter),
                       .config = {.kind = settings.kind,
                                  .rank = settings.rank,
                                  .blocks = settings.blocks,
                                  .alpha = settings.scale * (double)settings.rank}};
    whet_i_arena arena = {0};
    whet_i_executor *executor;
    whet_i_value y;
    float *merged = NULL, *none = NULL;
    test_ok(ctx, whet_i_modules_parse(ctx, &run.config, &run.config.targets, "targets", "m"));
    test_ok(ctx, whet_i_params_create(ctx, WHET_F32, &run.params));
    test_ok(ctx, whet_i_graph_create(ctx, run.params, &run.graph));
    const whet_i_value x = source(ctx, run.graph, "x", WHET_I_EXAMPLES, in, in);
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {"m"},
                                     .n = {out},
                                     .residual = WHET_I_NONE,
                                     .init = WHET_I_INIT_NORMAL,
                                     .init_scale = 1};
    test_ok(ctx, whet_i_linear_layer(ctx, run.graph, x, &spec, &y));
    test_ok(ctx, whet_i_adapter_record(ctx, run.graph, "m", x, &y, 0, out, &settings));
    if (adapter == WHET_TUNE_DORA)
        test_ok(ctx, whet_i_magnitude_record(ctx, run.graph, "m", in, &y, 0, out, &settings));
    for (int64_t i = 2; i < run.params->n; i++) { /* behind x and m.weight */
        run.params->items[i].init = WHET_I_INIT_NORMAL;
        run.params->items[i].init_scale = 1;
    }
    for (int64_t i = 0; i < run.params->n; i++) run.params->items[i].trainable = true;
    test_ok(ctx, whet_i_params_settle(ctx, run.params, 3));
    const whet_i_param *unit = &run.params->items[whet_i_params_find(run.params, "x")];
    for (int64_t i = 0; i < in * in; i++) unit->values[i] = i % (in + 1) == 0;
    const whet_i_plan_opts opts = {
        .sizes = {.rows = {1, in}, .workers = 1}, .loss = WHET_I_NONE, .keep = &y, .n_keep = 1};
    test_ok(ctx, whet_i_plan_create(ctx, run.graph, &opts, &run.plan));
    test_ok(ctx, whet_i_params_pack(ctx, run.params));
    test_ok(ctx, whet_i_executor_create(ctx, run.plan, &executor));
    whet_i_executor_run(executor, &(whet_i_batch){.rows = {1, in}, .loss_scale = 1});
    const float *columns = whet_i_executor_value(executor, y);
    const whet_i_param_id id = whet_i_params_find(run.params, "m.weight");
    test_ok(ctx, whet_i_tune_merged(ctx, &run, id, &arena, &merged));
    assert_non_null(merged);
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            assert_true(fabsf(merged[o * in + i] - columns[i * out + o]) < 1e-4f);
    test_ok(ctx, whet_i_tune_merged(ctx, &run, 0, &arena, &none));
    assert_null(none);
    whet_i_arena_free(ctx, &arena);
    whet_i_executor_destroy(ctx, executor);
    whet_i_plan_destroy(ctx, run.plan);
    whet_i_graph_destroy(ctx, run.graph);
    whet_i_params_destroy(ctx, run.params);
    whet_i_adapter_config_free(ctx, &run.config);
    test_ctx_done(ctx);
}

static void merged_adapters_do_what_adapters_do(void **state) {
    (void)state;
    check_merged(5, 4, (whet_i_adapter_settings){WHET_I_ADAPTER_LORA, 1, 2, 0.5});
    check_merged(5, 40, (whet_i_adapter_settings){WHET_I_ADAPTER_DORA, 1, 2, 0.5});
    check_merged(8, 12, (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 4, 2, 1});
    check_merged(13, 29, (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 4, 3, 1}); /* padding */
    check_merged(9, 9,
                 (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 8, 2, 1}); /* blocks dropped */
    check_merged(10, 7, (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 4, 2, 1});
    check_merged(3, 70, (whet_i_adapter_settings){WHET_I_ADAPTER_MORE, 3, 1, 1});
}

/* ---- runs ------------------------------------------------------------------------------------- */

static const char table[] =
    "text\tother\tlabel\tscore\na good video\tthe song\t1\t2.5\n"
    "the song is bad\tbad video\t0\t1\ngood\tsong\t1\t5\n\tgood\t0\t0\n"
    "no label here\t\t\t\nbad bad bad\tbad\t0\t-1\nbad video\tvideo\t2\t3\n";

static whet_tune_job small_job(whet_tune_loss loss, const char *output) {
    const whet_i_tune_kind *kind = whet_i_tune_kind_of(loss);
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = test_source("tests/golden/bert_tiny/even");
    job.train = job.valid = test_write_text("train.tsv", table);
    job.output = output;
    job.loss = loss;
    job.label = kind->targets == WHET_I_TARGET_NUMBERS ? "score" : "label";
    job.second = kind->two_texts ? "other" : NULL;
    const bool costs = loss == WHET_TUNE_EXPECTED_COST || loss == WHET_TUNE_FRECHET;
    job.space = costs ? "path:3" : NULL;
    job.epochs = 2;
    job.batch_size = 4;
    job.learning_rate = 1e-3;
    return job;
}

static uint64_t hash_of(const char *output) {
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", output);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    static char bytes[1 << 20];
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    assert_int_equal(fclose(file), 0);
    assert_true(n > 1000);
    return whet_i_hash_bytes(bytes, (int64_t)n);
}

typedef struct stopper {
    int64_t polls, stop_at;
} stopper;

static bool stop(void *user) {
    stopper *s = user;
    return s->polls++ == s->stop_at;
}

/* Cancelled at every `stride`-th poll, then resumed: the bits of a run that was left alone. */
static void check_stops(whet_ctx *ctx, whet_tune_job *job, int64_t stride) {
    test_ok(ctx, whet_tune_run(ctx, job, NULL));
    const uint64_t expected = hash_of(job->output);
    remove_output(job->output);
    for (int64_t at = 0;; at += stride) {
        stopper s = {0, at};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopping;
        char checkpoint[1024];
        opts.cancel = stop;
        opts.user = &s;
        opts.threads = 1;
        assert_int_equal(whet_ctx_create(&opts, &stopping), WHET_OK);
        const whet_status status = whet_tune_run(stopping, job, NULL);
        whet_ctx_destroy(stopping);
        if (status == WHET_OK) break;
        assert_int_equal(status, WHET_ERR_CANCELLED);
        (void)snprintf(checkpoint, sizeof checkpoint, "%s/" WHET_I_TUNE_STATE_FILE, job->output);
        job->resume = access(checkpoint, F_OK) == 0;
        job->force = !job->resume;
        test_ok(ctx, whet_tune_run(ctx, job, NULL));
        assert_true(hash_of(job->output) == expected);
        job->resume = job->force = false;
        remove_output(job->output);
    }
    remove_output(job->output);
}

/* Rows by themselves, balanced batches, two texts a row. */
static void stopped_anywhere_it_goes_on(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("stopped"));
    for (int loss = WHET_TUNE_EXPECTED_COST; loss <= WHET_TUNE_FRECHET; loss += 2) {
        whet_tune_job job = small_job((whet_tune_loss)loss, output);
        check_stops(ctx, &job, loss == WHET_TUNE_SUPERVISED ? 1 : 5);
    }
    test_ctx_done(ctx);
}

/* What training validates is what the folder embeds, merged adapters included. */
static void the_folder_embeds_as_validated(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("embeds"));
    for (int adapter = WHET_TUNE_FULL; adapter <= WHET_TUNE_MORE; adapter++) {
        const whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
        whet_tune_job job = small_job(WHET_TUNE_COSINE_MSE, output);
        const whet_str texts[] = {whet_str_from("a good video"), whet_str_from("the song"),
                                  whet_str_from("the song is bad"), whet_str_from("bad video")};
        whet_encoder *encoder;
        float x[4 * 32];
        char *report;
        job.adapter = (whet_tune_adapter)adapter;
        job.learning_rate = 0.02;
        job.train = job.valid = test_write_text(
            "two.tsv",
            "text\tother\tscore\na good video\tthe song\t0.5\nthe song is bad\tbad video\t"
            "-0.25\n");
        test_ok(ctx, whet_tune_run(ctx, &job, &report));
        test_ok(ctx, whet_encoder_load(ctx, output, &opts, &encoder));
        assert_int_equal(whet_encoder_dim(encoder), 32);
        test_ok(ctx, whet_encoder_embed(ctx, encoder, texts, 4, x));
        double loss = 0;
        for (int i = 0; i < 2; i++) {
            double cosine = 0;
            for (int j = 0; j < 32; j++)
                cosine += (double)x[64 * i + j] * (double)x[64 * i + 32 + j];
            loss += (cosine - (i ? -0.25 : 0.5)) * (cosine - (i ? -0.25 : 0.5)) / 2;
        }
        json_t *root = json_loads(report, 0, NULL);
        const json_t *best = json_object_get(root, "best");
        /* Products in another order: some 1e-7 of cosines. */
        assert_true(fabs(json_real_value(json_object_get(best, "loss")) - loss) < 1e-5);
        json_decref(root);
        whet_free_text(ctx, report);
        whet_encoder_destroy(ctx, encoder);
        remove_output(output);
    }
    test_ctx_done(ctx);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) {
    char *report = NULL;
    const whet_status status = whet_tune_run(ctx, arg, &report);
    whet_free_text(ctx, report);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("failing"));
    for (int loss = WHET_TUNE_EXPECTED_COST; loss <= WHET_TUNE_FRECHET; loss += 2) {
        whet_tune_job job = small_job((whet_tune_loss)loss, output);
        job.force = true;
        job.epochs = 1;
        job.adapter = loss == WHET_TUNE_EXPECTED_COST ? WHET_TUNE_FULL : WHET_TUNE_MORE;
        assert_true(test_each_allocation(tune_once, &job) > 100);
        remove_output(output);
    }
}

/* ---- what does not fit together ----------------------------------------------------------------- */

static void refused(whet_ctx *ctx, whet_tune_job job, const char *sentence) {
    test_fails(ctx, whet_tune_run(ctx, &job, NULL), WHET_ERR_ARG);
    test_says(ctx, sentence);
}

static void settings_that_do_not_fit(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char output[256];
    (void)snprintf(output, sizeof output, "%s", test_tmp("never"));
    whet_tune_job job = small_job(WHET_TUNE_CONTRASTIVE, output);
    job.task = WHET_TUNE_REGRESS;
    refused(ctx, job, "contrastive is of classification");
    job = small_job(WHET_TUNE_COSINE_MSE, output);
    job.task = WHET_TUNE_CLASSIFY;
    refused(ctx, job, "cosine-mse is of regression");
    job.task = WHET_TUNE_AUTO;
    job.classes = "classes.txt";
    refused(ctx, job, "has no classes");
    job = small_job(WHET_TUNE_MSE, output);
    job.temperature = 0.5;
    refused(ctx, job, "a temperature is given");
    job = small_job(WHET_TUNE_SUPERVISED, output);
    job.temperature = -1;
    refused(ctx, job, "expected above 0");
    job.temperature = 0;
    job.smoothing = 0.1;
    refused(ctx, job, "label smoothing");
    job = small_job(WHET_TUNE_CONTRASTIVE, output);
    job.metric = WHET_TUNE_METRIC_LOSS;
    refused(ctx, job, "nearest prototype");
    job.loss = (whet_tune_loss)99;
    refused(ctx, job, "number 99");
    assert_int_not_equal(access(output, F_OK), 0);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_by_the_nearest_prototype),
        cmocka_unit_test(numbers_by_cosines),
        cmocka_unit_test(partners_by_rank),
        cmocka_unit_test(distances_in_a_space),
        cmocka_unit_test(merged_adapters_do_what_adapters_do),
        cmocka_unit_test(stopped_anywhere_it_goes_on),
        cmocka_unit_test(the_folder_embeds_as_validated),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(settings_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
