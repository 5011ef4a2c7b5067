/* SPDX-License-Identifier: Apache-2.0
 * whet tune on language models: texts to rows by hand, the loss against torch's, what a run writes. The
 * models are those of tests/golden/llama, with a tokenizer of a character a token: ids 3.. are a..z and
 * the space; 1 begins and 2 ends texts. */
#include "support.h"
#include "tune_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tune/tune_i.h"

/* ---- folders ---------------------------------------------------------------------------------- */

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

/* A folder of the golden model `name` with a tokenizer ("plain" or "begin"). */
static const char *model_folder(const char *name, const char *tokenizer) {
    static char dir[512];
    char from[1024], to[1024], file[128];
    const char *const names[] = {"config.json", "model.safetensors"};
    (void)snprintf(file, sizeof file, "%s_%s", name, tokenizer);
    (void)snprintf(dir, sizeof dir, "%s", test_tmp(file));
    (void)mkdir(dir, 0700);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(file, sizeof file, "tests/golden/llama/%s/%s", name, names[i]);
        (void)snprintf(from, sizeof from, "%s", test_source(file));
        (void)snprintf(to, sizeof to, "%s/%s", dir, names[i]);
        copy_file(from, to);
    }
    (void)snprintf(file, sizeof file, "tests/golden/llama/tokenizer_%s.json", tokenizer);
    (void)snprintf(from, sizeof from, "%s", test_source(file));
    (void)snprintf(to, sizeof to, "%s/tokenizer.json", dir);
    copy_file(from, to);
    return dir;
}

/* ---- texts to rows ---------------------------------------------------------------------------- */

/* Tokens as letters, | behind those that are not asked for; < begins and > ends a text. */
static void spell(const whet_i_tune_rows *rows, int64_t i, char *out) {
    const int32_t *ids = rows->tokens.ids + rows->tokens.start[i];
    for (int64_t t = 0; t < rows->lengths[i]; t++) {
        if (t == rows->asked[i]) *out++ = '|';
        *out++ = "?<>abcdefghijklmnopqrstuvwxyz "[ids[t]];
    }
    *out = '\0';
}

typedef struct reading {
    const char *tokenizer, *table, *target;
    int64_t max_length;
    bool no_end;
    const char *rows[8];
    int64_t unlabelled, cut, truncated;
} reading;

static void check_reading(const reading *r) {
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune run = {.job = WHET_TUNE_JOB_INIT};
    run.job.train = test_write_text("texts.tsv", r->table);
    run.job.text = "text";
    run.job.label = "label";
    run.job.target = r->target;
    run.job.no_end = r->no_end;
    run.job.max_length = r->max_length;
    test_ok(ctx, whet_i_backbone_open(ctx, model_folder("llama", r->tokenizer), r->max_length, -1,
                                      &run.backbone));
    test_ok(ctx, whet_i_tune_read(ctx, &run));
    const whet_i_tune_rows *rows = &run.train;
    int64_t n = 0, asked = 0;
    for (; r->rows[n]; n++) {
        char spelled[256];
        assert_true(n < rows->n);
        spell(rows, n, spelled);
        assert_string_equal(spelled, r->rows[n]);
        asked += (int64_t)strlen(strchr(spelled, '|') + 1);
    }
    assert_int_equal(rows->n, n);
    assert_int_equal(rows->n_asked, asked);
    assert_int_equal(rows->unlabelled, r->unlabelled);
    assert_int_equal(rows->cut, r->cut);
    assert_int_equal(rows->truncated, r->truncated);
    whet_i_tune_free_rows(ctx, &run.train);
    whet_i_backbone_close(ctx, &run.backbone);
    whet_i_arena_free(ctx, &run.arena);
    test_ctx_done(ctx);
}

static void texts_by_hand(void **state) {
    (void)state;
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\nab\n \nc\n",
                             .rows = {"<|ab>", "<|c>"},
                             .unlabelled = 1});
    check_reading(
        &(reading){.tokenizer = "begin", .table = "text\nab\n", .no_end = true, .rows = {"<|ab"}});
    /* A text of one token has no next one; with the end behind it, it has. */
    check_reading(&(reading){
        .tokenizer = "plain", .table = "text\na\nbc\n", .no_end = true, .rows = {"b|c"}});
    check_reading(
        &(reading){.tokenizer = "plain", .table = "text\na\nbc\n", .rows = {"a|>", "b|c>"}});
}

/* <abcdefg> is 9 tokens. Pieces of 4 share one token: each token but the first is asked for once. */
static void long_texts_are_read_in_pieces(void **state) {
    (void)state;
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\nabcdefg\nab\n",
                             .max_length = 4,
                             .rows = {"<|abc", "c|def", "f|g>", "<|ab>"},
                             .cut = 1});
    check_reading(&(reading){
        .tokenizer = "begin", .table = "text\nabcdef\n", .max_length = 8, .rows = {"<|abcdef>"}});
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\nabcdef\n",
                             .max_length = 7,
                             .rows = {"<|abcdef", "f|>"},
                             .cut = 1});
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\nab\n",
                             .max_length = 2,
                             .rows = {"<|a", "a|b", "b|>"},
                             .cut = 1});
}

static void prompts_and_targets_by_hand(void **state) {
    (void)state;
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\tsays\nab\tcd\nab \tcd\nab\t cd\nno target\t \n\tef\n",
                             .target = "says",
                             .rows = {"<ab| cd>", "<ab |cd>", "<ab| cd>", "<|ef>"},
                             .unlabelled = 1});
    /* Too long: the prompt loses its begin, but for the token that texts begin with ... */
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\tsays\nabcdef\tgh\nab\tgh\n",
                             .target = "says",
                             .max_length = 7,
                             .rows = {"<ef| gh>", "<ab| gh>"},
                             .truncated = 1});
    check_reading(&(reading){.tokenizer = "plain",
                             .table = "text\tsays\nabcdef\tgh\n",
                             .target = "says",
                             .max_length = 7,
                             .rows = {"def| gh>"},
                             .truncated = 1});
    /* ... and the target its end, where it does not fit by itself. */
    check_reading(&(reading){.tokenizer = "begin",
                             .table = "text\tsays\nabc\tdefgh\n",
                             .target = "says",
                             .max_length = 4,
                             .rows = {"<| de"},
                             .truncated = 1});
}

/* ---- the loss --------------------------------------------------------------------------------- */

static void read_golden(whet_ctx *ctx, const char *name, char *texts, double *loss) {
    char file[128];
    whet_safetensors *golden;
    whet_tensor ids, start, mean;
    (void)snprintf(file, sizeof file, "tests/golden/llama/%s/expected.safetensors", name);
    test_ok(ctx, whet_safetensors_open(ctx, test_source(file), &golden));
    assert_true(whet_safetensors_find(golden, "ids", &ids));
    assert_true(whet_safetensors_find(golden, "start", &start));
    assert_true(whet_safetensors_find(golden, "loss", &mean));
    *loss = (double)*(const float *)mean.data;
    texts += sprintf(texts, "text\n");
    for (int64_t i = 0; i + 1 < start.shape[0]; i++) {
        const int64_t *at = (const int64_t *)start.data + i;
        for (int64_t t = at[0]; t < at[1]; t++)
            *texts++ = "abcdefghijklmnopqrstuvwxyz "[((const int32_t *)ids.data)[t] - 3];
        *texts++ = '\n';
    }
    *texts = '\0';
    whet_safetensors_close(ctx, golden);
}

static json_t *run_and_report(whet_ctx *ctx, const whet_tune_job *job) {
    char *report;
    test_ok(ctx, whet_tune_run(ctx, job, &report));
    json_t *root = json_loads(report, 0, NULL);
    whet_free_text(ctx, report);
    assert_non_null(root);
    return root;
}

static double best_of(const json_t *root, const char *key) {
    return json_number_value(json_object_get(json_object_get(root, "best"), key));
}

/* Validated before anything has moved: the mean loss a token that torch has for the same texts; in bf16 to
 * the 8 bits of its numbers. Batches of one token's budget, and of all, have the same mean. */
static void the_loss_is_torchs(void **state) {
    static const char *const names[] = {"llama", "llama3", "mistral", "qwen2"};
    (void)state;
    for (int i = 0; i < WHET_COUNT_OF(names) * 2; i++) {
        whet_ctx *ctx = test_ctx(1 + i % 3);
        whet_tune_job job = WHET_TUNE_JOB_INIT;
        char texts[256];
        double loss;
        const bool half = i % 2;
        read_golden(ctx, names[i / 2], texts, &loss);
        job.model = model_folder(names[i / 2], "plain");
        job.train = job.valid = test_write_text("golden.tsv", texts);
        job.output = test_tmp("golden");
        job.no_end = true;
        job.epochs = 1;
        job.learning_rate = 1e-12;
        job.batch_tokens = i % 3 ? 1 : 0;
        job.dtype = half ? WHET_BF16 : WHET_F32;
        job.force = true;
        json_t *root = run_and_report(ctx, &job);
        const double found = best_of(root, "loss");
        if (!(fabs(found - loss) <= loss * (half ? 1.0 / 256 : 1e-6)))
            print_error("%s: %.9g; expected %.9g\n", names[i / 2], found, loss);
        assert_true(fabs(found - loss) <= loss * (half ? 1.0 / 256 : 1e-6));
        assert_true(fabs(best_of(root, "perplexity") - exp(found)) < 1e-9);
        assert_string_equal(json_string_value(json_object_get(root, "task")), "language");
        json_decref(root);
        remove_output(job.output);
        test_ctx_done(ctx);
    }
}

/* ---- runs ------------------------------------------------------------------------------------- */

static const char table[] =
    "text\tsays\na good\tdog\nwhat\tnot a cat\na\tb\nlonger and longer\tyes\n";

static whet_tune_job small_job(const char *output) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = model_folder("llama3", "begin");
    job.train = job.valid = test_write_text("train.tsv", table);
    job.target = "says";
    job.output = output;
    job.epochs = 2;
    job.batch_size = 2;
    job.learning_rate = 1e-3;
    job.force = true;
    return job;
}

/* A step over rows with more and fewer asked tokens, cut into batches of one row or not, is the same up to
 * rounding: each token counts once. */
static void accumulated_batches_count_tokens(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    double norms[2], losses[2];
    for (int i = 0; i < 2; i++) {
        whet_tune_job job = small_job(test_tmp("share"));
        char path[1024], line[512];
        job.batch_size = 4;
        job.batch_tokens = i ? 1 : 4096;
        json_decref(run_and_report(ctx, &job));
        (void)snprintf(path, sizeof path, "%s/metrics.jsonl", job.output);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        (void)fclose(f);
        json_t *step = json_loads(line, 0, NULL);
        norms[i] = json_number_value(json_object_get(step, "gradient_norm"));
        losses[i] = json_number_value(json_object_get(step, "loss"));
        json_decref(step);
        remove_output(job.output);
    }
    assert_true(losses[0] > 1 && fabs(losses[0] - losses[1]) < 1e-5 * losses[0]);
    assert_true(norms[0] > 0.1 && fabs(norms[0] - norms[1]) < 1e-4 * norms[0]);
    test_ctx_done(ctx);
}

/* Adapters are merged into the model that is written: validated again, as it is, it has the loss of the
 * tuned one. */
static void adapters_are_merged(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char again[1024], merged[512], measured[512]; /* test_tmp's names live for a few calls only */
    (void)snprintf(merged, sizeof merged, "%s", test_tmp("merged"));
    (void)snprintf(measured, sizeof measured, "%s", test_tmp("measured"));
    whet_tune_job job = small_job(merged), next = small_job(measured);
    job.adapter = WHET_TUNE_LORA;
    job.learning_rate = 0.01;
    json_t *root = run_and_report(ctx, &job);
    const double tuned = best_of(root, "loss");
    json_decref(root);
    next.model = job.output;
    next.epochs = 1;
    next.learning_rate = 1e-12;
    root = run_and_report(ctx, &next);
    assert_true(fabs(best_of(root, "loss") - tuned) < 1e-5 * tuned);
    json_decref(root);
    (void)snprintf(again, sizeof again, "%s/adapter/adapter_config.json", job.output);
    json_t *config = json_load_file(again, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(config, "task_type")), "CAUSAL_LM");
    json_decref(config);
    remove_output(job.output);
    remove_output(next.output);
    test_ctx_done(ctx);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *output = test_tmp("refused");
    whet_tune_job job = small_job(output), other = job;
    other.second = "says";
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.smoothing = 0.1;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.loss = WHET_TUNE_CROSS_ENTROPY;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.head = WHET_TUNE_HEAD_POOLED;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.target = NULL;
    other.loss = WHET_TUNE_CONTRASTIVE;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.max_length = 1;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other.max_length = 1000;
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.model = test_source("tests/golden/bert_tiny/even");
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_ARG);
    other = job;
    other.train = test_write_text("blank.tsv", "text\tsays\nsomething\t\n");
    test_fails(ctx, whet_tune_run(ctx, &other, NULL), WHET_ERR_DATA);
    struct stat info;
    assert_int_not_equal(stat(output, &info), 0);
    test_ctx_done(ctx);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) { return whet_tune_run(ctx, arg, NULL); }

static void allocations_may_fail(void **state) {
    (void)state;
    whet_tune_job job = small_job(test_tmp("failing"));
    job.epochs = 1;
    job.adapter = WHET_TUNE_LORA;
    assert_true(test_each_allocation(tune_once, &job) > 100);
    remove_output(job.output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_by_hand),
        cmocka_unit_test(long_texts_are_read_in_pieces),
        cmocka_unit_test(prompts_and_targets_by_hand),
        cmocka_unit_test(the_loss_is_torchs),
        cmocka_unit_test(accumulated_batches_count_tokens),
        cmocka_unit_test(adapters_are_merged),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
