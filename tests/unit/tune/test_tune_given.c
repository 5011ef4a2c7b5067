/* SPDX-License-Identifier: Apache-2.0
 * Training on rows in memory: what comes out of texts that are asked of is what the saved encoder and head
 * say of them, files or not; memory that is not to be had. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tune/tune_i.h"
#include "whet/nn.h"

enum { ROWS = 20, ASKED = 5, D = 32, K = 3 };

typedef struct rows {
    whet_str texts[ROWS], asked[ASKED];
    int32_t labels[ROWS];
    float probs[ROWS * K];
    whet_names *classes;
    char model[300];
} rows;

static void make_rows(whet_ctx *ctx, rows *r) {
    static const char *const texts[] = {"a good video", "the song is bad", "number 7"};
    (void)snprintf(r->model, sizeof r->model, "%s", test_source("tests/golden/bert_tiny/even"));
    test_ok(ctx, whet_names_create(ctx, &r->classes));
    for (int c = 0; c < K; c++)
        test_ok(ctx, whet_names_add(ctx, r->classes, (whet_str){&"abc"[c], 1}, NULL));
    for (int i = 0; i < ROWS; i++) {
        r->texts[i] = whet_str_from(texts[i % K]);
        r->labels[i] = i % 5 == 4 ? -1 : i % K;
        for (int c = 0; c < K; c++) r->probs[i * K + c] = c == i % K ? 0.6f : 0.2f;
    }
    for (int i = 0; i < ASKED; i++)
        r->asked[i] = whet_str_from(i % 2 ? "video number 7 is a good song" : texts[i % K]);
}

static whet_tune_job job_of(const rows *r, whet_tune_loss loss, const char *output) {
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    job.model = r->model;
    job.train = "rows in memory";
    job.head = WHET_TUNE_HEAD_POOLED;
    job.adapter = WHET_TUNE_LORA;
    job.loss = loss;
    job.epochs = 2;
    job.dropout = 0;
    job.learning_rate = 0.01;
    job.output = output;
    return job;
}

static whet_i_tune_given given_of(const rows *r) {
    return (whet_i_tune_given){.texts = r->texts,
                               .n = ROWS,
                               .labels = r->labels,
                               .classes = r->classes,
                               .asked = r->asked,
                               .n_asked = ASKED};
}

static void embed(whet_ctx *ctx, const char *folder, const rows *r, float *out) {
    whet_encoder *encoder;
    test_ok(ctx, whet_encoder_load(ctx, folder, NULL, &encoder));
    test_ok(ctx, whet_encoder_embed(ctx, encoder, r->asked, ASKED, out));
    whet_encoder_destroy(ctx, encoder);
}

/* ---- what comes out ------------------------------------------------------------------------------- */

/* The merged weights are rounded once, which the running adapter is not: within 1e-4 of unit rows. */
static void embeddings_are_those_of_the_saved_encoder(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    rows r;
    char folder[300];
    float got[ASKED * D], saved[ASKED * D], before[ASKED * D];
    make_rows(ctx, &r);
    whet_i_tune_given given = given_of(&r);
    given.answers = got;
    (void)snprintf(folder, sizeof folder, "%s", test_tmp("pairs"));
    const whet_tune_job job = job_of(&r, WHET_TUNE_CONTRASTIVE, folder);
    test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
    embed(ctx, folder, &r, saved);
    embed(ctx, r.model, &r, before);
    double moved = 0;
    for (int i = 0; i < ASKED * D; i++) {
        assert_true(fabs((double)(got[i] - saved[i])) < 1e-4);
        moved = fmax(moved, fabs((double)(got[i] - before[i])));
    }
    assert_true(moved > 0.01);
    whet_names_destroy(ctx, r.classes);
    test_ctx_done(ctx);
}

/* What is answered halfway is, to the bit, what a run that stops there answers at its end, and asking for it
 * changes nothing of the end; epochs are odd so that half of the steps is within one. */
static void halfway_is_a_run_that_stops_there(void **state) {
    (void)state;
    enum { SOME = ASKED - 1 };
    whet_ctx *ctx = test_ctx(2);
    rows r;
    float plain[ASKED * D], whole[ASKED * D], stopped[ASKED * D], halfway[SOME * D + 1];
    make_rows(ctx, &r);
    whet_i_tune_given given = given_of(&r);
    whet_tune_job job = job_of(&r, WHET_TUNE_CONTRASTIVE, NULL);
    job.epochs = 3;
    given.answers = plain;
    test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
    given.answers = whole;
    given.halfway = halfway;
    given.n_halfway = SOME;
    halfway[SOME * D] = 12345;
    test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
    assert_memory_equal(whole, plain, sizeof whole);
    assert_true(halfway[SOME * D] == 12345);
    given.answers = stopped;
    given.halfway = NULL;
    given.half = true;
    test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
    assert_memory_equal(halfway, stopped, sizeof(float) * SOME * D);
    assert_memory_not_equal(halfway, whole, sizeof(float) * SOME * D);
    whet_names_destroy(ctx, r.classes);
    test_ctx_done(ctx);
}

/* Logits are W x + b of the saved encoder's embeddings, of labels alone as of probabilities. */
static void logits_are_those_of_the_saved_head(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    rows r;
    char folder[300];
    float got[ASKED * K], x[ASKED * D], weight[K * D], bias[K];
    make_rows(ctx, &r);
    for (int probs = 0; probs < 2; probs++) {
        whet_i_tune_given given = given_of(&r);
        whet_tune_job job = job_of(&r, WHET_TUNE_CROSS_ENTROPY, folder);
        (void)snprintf(folder, sizeof folder, "%s", test_tmp(probs ? "probs" : "labels"));
        given.answers = got;
        given.weight = weight;
        given.bias = bias;
        given.probs = probs ? r.probs : NULL;
        job.probs = probs ? "probabilities" : NULL;
        test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
        embed(ctx, folder, &r, x);
        for (int i = 0; i < ASKED; i++)
            for (int c = 0; c < K; c++) {
                double sum = (double)bias[c];
                for (int j = 0; j < D; j++) sum += (double)weight[c * D + j] * (double)x[i * D + j];
                assert_true(fabs(sum - (double)got[i * K + c]) < 1e-4 * (1 + fabs(sum)));
            }
    }
    whet_names_destroy(ctx, r.classes);
    test_ctx_done(ctx);
}

/* Texts that are asked of are not learned from, and the same bits come out with and without files. */
static void asking_changes_nothing(void **state) {
    (void)state;
    rows r;
    float got[3][ASKED * K], weight[3][K * D], bias[3][K];
    for (int round = 0; round < 3; round++) {
        whet_ctx *ctx = test_ctx(round == 1 ? 3 : 1);
        char folder[300];
        make_rows(ctx, &r);
        (void)snprintf(folder, sizeof folder, "%s", test_tmp("asking"));
        const whet_tune_job job = job_of(&r, WHET_TUNE_CROSS_ENTROPY, round == 0 ? folder : NULL);
        whet_i_tune_given given = given_of(&r);
        given.answers = got[round];
        given.weight = weight[round];
        given.bias = bias[round];
        if (round == 2) given.n_asked = 0;
        test_ok(ctx, whet_i_tune_on(ctx, &job, &given, NULL));
        whet_names_destroy(ctx, r.classes);
        test_ctx_done(ctx);
    }
    assert_memory_equal(got[0], got[1], sizeof got[0]);
    for (int round = 1; round < 3; round++) {
        assert_memory_equal(weight[0], weight[round], sizeof weight[0]);
        assert_memory_equal(bias[0], bias[round], sizeof bias[0]);
    }
}

/* ---- what is refused ------------------------------------------------------------------------------ */

static void rows_without_labels_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    rows r;
    float got[ASKED * D];
    make_rows(ctx, &r);
    for (int i = 0; i < ROWS; i++) r.labels[i] = -1;
    whet_i_tune_given given = given_of(&r);
    given.answers = got;
    const whet_tune_job job = job_of(&r, WHET_TUNE_CONTRASTIVE, NULL);
    test_fails(ctx, whet_i_tune_on(ctx, &job, &given, NULL), WHET_ERR_DATA);
    test_says(ctx, "rows in memory: no row has a label");
    whet_names_destroy(ctx, r.classes);
    test_ctx_done(ctx);
}

static whet_status tune_once(whet_ctx *ctx, void *arg) {
    const rows *r = arg;
    float got[ASKED * D];
    whet_i_tune_given given = given_of(r);
    given.answers = got;
    const whet_tune_job job = job_of(r, WHET_TUNE_SUPERVISED, NULL);
    return whet_i_tune_on(ctx, &job, &given, NULL);
}

static void allocations_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    rows r;
    make_rows(ctx, &r);
    assert_true(test_each_allocation(tune_once, &r) > 100);
    whet_names_destroy(ctx, r.classes);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embeddings_are_those_of_the_saved_encoder),
        cmocka_unit_test(halfway_is_a_run_that_stops_there),
        cmocka_unit_test(logits_are_those_of_the_saved_head),
        cmocka_unit_test(asking_changes_nothing),
        cmocka_unit_test(rows_without_labels_are_refused),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
