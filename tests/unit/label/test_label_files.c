/* SPDX-License-Identifier: Apache-2.0
 * Label models and counts of votes as files: what is read is what was written, bit for bit; shards give
 * the model of all rows; and what broken files are told. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "votes_support.h"

static whet_label_model_opts opts_of(whet_label_method method) {
    whet_label_model_opts opts = WHET_LABEL_MODEL_OPTS_INIT;
    opts.method = method;
    opts.epochs = 50;
    return opts;
}

static double *predicted(whet_ctx *ctx, const whet_label_model *model, const whet_votes *votes) {
    double *probs;
    test_ok(ctx, whet_i_alloc(ctx, votes->n * votes->k, &probs));
    test_ok(ctx, whet_label_model_predict(ctx, model, votes, probs));
    return probs;
}

static void same_bits(const double *a, const double *b, int64_t n) {
    assert_memory_equal(a, b, sizeof *a * (size_t)n);
}

/* ---- models ----------------------------------------------------------------------------------- */

static void same_model(whet_ctx *ctx, const whet_label_model *a, const whet_label_model *b,
                       const whet_votes *votes) {
    const int64_t m = votes->m, k = votes->k;
    double *p = predicted(ctx, a, votes), *q = predicted(ctx, b, votes);
    same_bits(p, q, votes->n * k);
    whet_i_free(ctx, p);
    whet_i_free(ctx, q);
    whet_label_model_info x, y;
    whet_label_model_get_info(a, &x);
    whet_label_model_get_info(b, &y);
    assert_true(x.method == y.method && x.m == y.m && x.k == y.k && x.rows == y.rows &&
                x.steps == y.steps);
    assert_true(x.loss == y.loss || (isnan(x.loss) && isnan(y.loss)));
    assert_string_equal(x.note, y.note);
    same_bits(x.balance, y.balance, k);
    same_bits(x.coverage, y.coverage, m);
    for (int64_t j = 0; j < m; j++)
        assert_true(x.accuracy[j] == y.accuracy[j] ||
                    (isnan(x.accuracy[j]) && isnan(y.accuracy[j])));
    /* A file does not say which rules' abstaining is in the base: explanations add up to the same. */
    double *scores, *sums[2];
    int32_t *vote;
    int64_t top[2][2];
    test_ok(ctx, whet_i_alloc(ctx, (m + 1) * k, &scores));
    test_ok(ctx, whet_i_alloc(ctx, m, &vote));
    test_ok(ctx, whet_i_alloc(ctx, k, &p));
    for (int64_t row = 0; row < votes->n; row += votes->n - 1) {
        for (int h = 0; h < 2; h++) {
            test_ok(ctx, whet_i_calloc(ctx, k, &sums[h]));
            test_ok(ctx,
                    whet_label_model_explain(ctx, h ? b : a, votes, row, scores, vote, p, top[h]));
            for (int64_t e = 0; e < (m + 1) * k; e++) sums[h][e % k] += scores[e];
        }
        assert_true(top[0][0] == top[1][0]);
        for (int64_t c = 0; c < k; c++)
            assert_true(fabs(sums[0][c] - sums[1][c]) <= 1e-12 * (1 + fabs(sums[0][c])));
        for (int h = 0; h < 2; h++) whet_i_free(ctx, sums[h]);
    }
    whet_i_free(ctx, scores);
    whet_i_free(ctx, vote);
    whet_i_free(ctx, p);
}

static void same_dependences(whet_ctx *ctx, const whet_label_model *a, const whet_label_model *b,
                             const whet_votes *votes) {
    whet_vote_counts *counts;
    whet_rule_dependence found[2][10];
    int64_t count[2];
    test_ok(ctx, whet_vote_counts_create(ctx, votes->m, votes->k, &counts));
    test_ok(ctx, whet_vote_counts_add(ctx, counts, votes));
    memset(found, 0, sizeof found);
    test_ok(ctx, whet_rule_dependences(ctx, a, counts, 10, found[0], &count[0]));
    test_ok(ctx, whet_rule_dependences(ctx, b, counts, 10, found[1], &count[1]));
    assert_int_equal(count[0], count[1]);
    for (int64_t i = 0; i < count[0] && i < 10; i++)
        assert_true(found[0][i].a == found[1][i].a && found[0][i].both_z == found[1][i].both_z);
    whet_vote_counts_destroy(ctx, counts);
}

/* variant 0: as it comes; 1: as the packages; 2: the other options of its kind, and labels. */
static void check_saved(whet_ctx *ctx, const drawn_votes *d, int method, int variant) {
    whet_label_model_opts opts = opts_of((whet_label_method)method);
    whet_label_model *model, *again;
    const char *path = test_tmp("model.json");
    whet_names *names = NULL;
    opts.compat = variant == 1;
    if (variant == 2) {
        opts.share = opts.median = opts.fast = opts.keep_uncovered = true;
        opts.labels = d->truth;
    }
    test_ok(ctx, whet_label_model_fit(ctx, &d->votes, &opts, &model));
    test_ok(ctx, whet_label_model_save(ctx, model, NULL, path, true));
    test_fails(ctx, whet_label_model_save(ctx, model, NULL, path, false), WHET_ERR_EXISTS);
    test_ok(ctx, whet_label_model_load(ctx, path, &again, &names));
    assert_null(names);
    same_model(ctx, model, again, &d->votes);
    if (model->likely) same_dependences(ctx, model, again, &d->votes);
    whet_label_model_destroy(ctx, again);
    whet_label_model_destroy(ctx, model);
}

static void saved_models_are_the_same_models(void **state) {
    (void)state;
    static const int64_t classes[3] = {2, 3, 11};
    whet_ctx *ctx = test_ctx(2);
    for (int i = 0; i < 3; i++) {
        drawn_votes d = draw_votes(ctx, 400, 5, classes[i], 20 + (uint64_t)i);
        memset(d.narrow + 399 * 5, -1, 5); /* a row without votes */
        for (int64_t r = 40; r < 400; r++) d.truth[r] = -1;
        for (int method = 0; method < WHET_LABEL_METHODS; method++)
            for (int variant = 0; variant < 3; variant++) check_saved(ctx, &d, method, variant);
        free_votes(ctx, &d);
    }
    test_ctx_done(ctx);
}

static void names_of_classes_are_kept(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 50, 4, 2, 3);
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    whet_label_model *model;
    whet_names *names, *again;
    const char *path = test_tmp("named.json");
    test_ok(ctx, whet_names_create(ctx, &names));
    test_ok(ctx, whet_names_add(ctx, names, whet_str_from("ham"), NULL));
    test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
    test_fails(ctx, whet_label_model_save(ctx, model, names, path, false), WHET_ERR_ARG);
    test_says(ctx, "1 names of classes; expected 2");
    test_ok(ctx, whet_names_add(ctx, names, whet_str_from("sp\"am"), NULL));
    test_ok(ctx, whet_label_model_save(ctx, model, names, path, false));
    whet_label_model_destroy(ctx, model);
    test_ok(ctx, whet_label_model_load(ctx, path, &model, &again));
    assert_string_equal(whet_names_get(again, 1).ptr, "sp\"am");
    whet_names_destroy(ctx, again);
    whet_label_model_destroy(ctx, model);
    test_ok(ctx, whet_label_model_load(ctx, path, &model, NULL)); /* who does not ask for them */
    whet_label_model_destroy(ctx, model);
    whet_names_destroy(ctx, names);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

#define FACTS \
    "{\"format\":\"whet-label-model\",\"version\":1,\"method\":\"snorkel\",\"rows\":9,\"steps\":" \
    "1," \
    "\"balance\":[0.25,0.75],\"coverage\":[1],\"abstains\":false,\"prior\":[0.25,0.75],"
#define SOFT "\"link\":\"softmax\","
#define SURE "\"accuracy\":[0.5],"
#define BASE "\"base\":[0,0],"
#define VOTES "\"votes\":[[[0,0],[0,0]]]}"

static whet_status parse(whet_ctx *ctx, const char *text, whet_label_model **out) {
    json_t *document;
    whet_names *names = NULL;
    test_ok(ctx, whet_i_json_parse(ctx, "m.json", text, (int64_t)strlen(text), &document));
    const whet_status status = whet_i_label_model_parse(ctx, "m.json", document, out, &names);
    json_decref(document);
    if (status == WHET_OK) whet_names_destroy(ctx, names);
    return status;
}

/* Scores by hand: ln 3 for class 1. A row without votes has the prior. Votes that leave no class in
 * (-2e6 each, below what stands where no class is) still share out all of the probability. */
static void a_written_model_predicts_as_it_says(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_label_model *model;
    const int8_t votes[3] = {1, -1, 0};
    const whet_votes v = {.n = 3, .m = 1, .k = 2, .narrow = votes};
    test_ok(ctx,
            parse(ctx, FACTS SOFT SURE BASE "\"votes\":[[[-2e6,-2e6],[0,1.0986122886681098]]]}",
                  &model));
    double *probs = predicted(ctx, model, &v);
    const double expected[6] = {.25, .75, .25, .75, .5, .5};
    for (int i = 0; i < 6; i++) assert_true(fabs(probs[i] - expected[i]) < 1e-15);
    whet_i_free(ctx, probs);
    whet_label_model_destroy(ctx, model);
    test_ctx_done(ctx);
}

static void broken_models_are_told(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "an array; expected an object"},
        {"{\"format\":\"whet-rules\"}", "expected whet-label-model"},
        {"{\"format\":\"whet-label-model\",\"version\":2}", "\"version\" is 2"},
        {FACTS "\"votes\":[]}", "0 rules and 2 classes"},
        {FACTS SOFT SURE BASE "\"votes\":[[[0,0]]]}", "\"votes\" holds an array of 1; expected"},
        {FACTS SOFT SURE BASE "\"votes\":[[[0,0],[0]]]}", "expected arrays of 2"},
        {FACTS SOFT SURE BASE "\"votes\":[[[0,0],[0,null]]]}", "\"votes\" holds null"},
        {FACTS SOFT SURE BASE "\"votes\":[[[0,0],[0,1e13]]]}", "holds 1e+13; expected -1e+12"},
        {FACTS "\"link\":\"magic\"," SURE BASE VOTES, "\"link\" is \"magic\""},
        {FACTS "\"link\":\"share\"," SURE BASE "\"votes\":[[[0,0],[0,-1]]]}",
         "holds -1; expected 0"},
        {FACTS SOFT "\"accuracy\":[1.5]," BASE VOTES, "\"accuracy\" holds 1.5; expected 0 to 1"},
        {FACTS SOFT SURE "\"base\":[0]," VOTES, "\"base\" holds an array of 1"},
        {FACTS SOFT SURE BASE "\"classes\":[\"a\",\"a\"]," VOTES,
         "\"classes\"[1] is there already"},
        {FACTS SOFT SURE BASE "\"classes\":[\"a\",7]," VOTES, "\"classes\"[1] is an integer"},
        {FACTS SOFT SURE BASE "\"likely\":[[[0,0],[0]]]," VOTES, "expected arrays of 2"},
        {FACTS SOFT SURE BASE "\"likely\":[[[0,0],[0,-1]]]," VOTES, "\"likely\" holds -1"},
        {"{\"format\":\"whet-label-model\",\"version\":1,\"method\":\"snorkel\",\"rows\":9,"
         "\"steps\":1,\"balance\":[0.25,0.7],\"coverage\":[1],\"abstains\":false,"
         "\"prior\":[0.25,0.75]," SOFT SURE BASE VOTES,
         "\"balance\" adds up to 0.95"},
    };
    whet_ctx *ctx = test_ctx(1);
    whet_label_model *model = NULL;
    test_ok(ctx, parse(ctx, FACTS SOFT "\"accuracy\":[null]," BASE VOTES, &model));
    whet_label_model_destroy(ctx, model);
    model = NULL;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        test_fails(ctx, parse(ctx, cases[c][0], &model), WHET_ERR_FORMAT);
        test_says(ctx, cases[c][1]);
        assert_null(model);
    }
    test_ctx_done(ctx);
}

static void models_too_large_for_a_file_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_label_model *model;
    test_ok(ctx, whet_i_label_model_make(ctx, 3, 2000, &model));
    test_fails(ctx, whet_label_model_save(ctx, model, NULL, test_tmp("large.json"), false),
               WHET_ERR_LIMIT);
    test_says(ctx, "3 rules and 2000 classes");
    whet_label_model_destroy(ctx, model);
    test_ctx_done(ctx);
}

/* ---- counts ----------------------------------------------------------------------------------- */

static const whet_label_method of_moments[4] = {WHET_LABEL_MAJORITY, WHET_LABEL_WEIGHTED,
                                                WHET_LABEL_SNORKEL, WHET_LABEL_FLYINGSQUID};

/* Shards counted apart, saved, read and added: the model of all rows. More than 16 classes take another
 * way of counting. */
static void shards_fit_what_rows_fit(void **state) {
    (void)state;
    static const int64_t classes[3] = {2, 3, 20};
    static const int32_t threads[3] = {1, 2, 5};
    enum { N = 700, M = 5 };
    for (int i = 0; i < 3; i++) {
        whet_ctx *ctx = test_ctx(threads[i]);
        drawn_votes d = draw_votes(ctx, N, M, classes[i], 30 + (uint64_t)i);
        whet_vote_counts *sum = NULL, *more;
        const char *path = test_tmp("shard.npz");
        for (int64_t at = 0; at < N; at += 233) {
            whet_votes part = d.votes;
            part.narrow += at * M;
            part.n = N - at < 233 ? N - at : 233;
            test_ok(ctx, whet_vote_counts_create(ctx, M, classes[i], &more));
            test_ok(ctx, whet_vote_counts_add(ctx, more, &part));
            test_ok(ctx, whet_vote_counts_save(ctx, more, path, true));
            whet_vote_counts_destroy(ctx, more);
            test_ok(ctx, whet_vote_counts_load(ctx, path, &more));
            if (!sum) {
                sum = more;
                continue;
            }
            test_ok(ctx, whet_vote_counts_merge(ctx, sum, more));
            whet_vote_counts_destroy(ctx, more);
        }
        assert_int_equal(whet_vote_counts_rows(sum), N);
        for (int method = 0; method < 4; method++) {
            const whet_label_model_opts opts = opts_of(of_moments[method]);
            whet_label_model *a, *b;
            test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &a));
            test_ok(ctx, whet_label_model_fit_counts(ctx, sum, &opts, &b));
            same_model(ctx, a, b, &d.votes);
            whet_label_model_destroy(ctx, a);
            whet_label_model_destroy(ctx, b);
        }
        whet_vote_counts_destroy(ctx, sum);
        free_votes(ctx, &d);
        test_ctx_done(ctx);
    }
}

/* Two rules, two classes, three rows: 00, 01, 1-. */
typedef struct parts {
    int64_t rows[1], pairs[16], judged[2], right[2];
} parts;

static const parts fine = {{3}, {2, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1}, {2, 2}, {1, 1}};

static whet_status load_parts(whet_ctx *ctx, const parts *p, whet_dtype dtype, int64_t m) {
    parts copy = *p;
    const whet_named_tensor items[4] = {
        {"rows", {.data = copy.rows, .dtype = dtype, .rank = 1, .shape = {1}}},
        {"pairs", {.data = copy.pairs, .dtype = WHET_I64, .rank = 4, .shape = {m, 2, m, 2}}},
        {"judged", {.data = copy.judged, .dtype = WHET_I64, .rank = 1, .shape = {m}}},
        {"right", {.data = copy.right, .dtype = WHET_I64, .rank = 1, .shape = {2}}}};
    const char *path = test_tmp("parts.npz");
    whet_vote_counts *counts;
    test_ok(ctx, whet_npz_write(ctx, path, true, items, 4));
    const whet_status status = whet_vote_counts_load(ctx, path, &counts);
    if (status == WHET_OK) whet_vote_counts_destroy(ctx, counts);
    return status;
}

static void broken_counts_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_vote_counts *counts;
    parts p = fine;
    test_ok(ctx, load_parts(ctx, &p, WHET_I64, 2));
    test_fails(ctx, load_parts(ctx, &p, WHET_F64, 2), WHET_ERR_SHAPE);
    test_says(ctx, "rows is f64 with 1 dimensions; expected i64");
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 1), WHET_ERR_SHAPE);
    test_says(ctx, "right has 2 numbers; expected 1");
    p.pairs[1] = 1; /* both votes of a rule on a row */
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    test_says(ctx, "pairs[0,0,0,1] is 1; expected counts that rows can have: 0 to 0");
    p = fine;
    p.pairs[2] = 2; /* more than the other rule's votes */
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    p = fine;
    p.pairs[3] = 0; /* not the same the other way round */
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    p = fine;
    p.pairs[2] = p.pairs[8] = -1; /* below 0 */
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    p = fine;
    p.rows[0] = 2;
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    test_says(ctx, "rule 0 has more votes than the 2 rows");
    p.rows[0] = -2;
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    p = fine;
    p.pairs[0] = p.pairs[5] = INT64_MAX; /* whose sum is too large */
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    p = fine;
    p.judged[1] = 3;
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    test_says(ctx, "rule 1 has 2 votes, 3 of them judged, 1 right");
    p = fine;
    p.right[0] = 3;
    test_fails(ctx, load_parts(ctx, &p, WHET_I64, 2), WHET_ERR_DATA);
    test_fails(ctx, whet_vote_counts_load(ctx, test_write_text("text.npz", "text"), &counts),
               WHET_ERR_FORMAT);
    test_fails(ctx, whet_vote_counts_load(ctx, test_tmp("absent.npz"), &counts), WHET_ERR_IO);
    test_ctx_done(ctx);
}

/* Rows beyond what a number holds are refused, and nothing is added. */
static void rows_do_not_overflow(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_vote_counts *a, *b;
    test_ok(ctx, whet_vote_counts_create(ctx, 2, 2, &a));
    test_ok(ctx, whet_vote_counts_create(ctx, 2, 2, &b));
    a->n = INT64_MAX;
    b->n = 1;
    test_fails(ctx, whet_vote_counts_merge(ctx, a, b), WHET_ERR_LIMIT);
    assert_true(a->n == INT64_MAX);
    whet_vote_counts_destroy(ctx, a);
    whet_vote_counts_destroy(ctx, b);
    test_ctx_done(ctx);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static const char *write_votes(whet_ctx *ctx, const char *name, const int8_t *votes, int64_t n,
                               int64_t m) {
    const whet_tensor t = {(void *)(uintptr_t)votes, WHET_I8, 2, {n, m}};
    const char *path = test_tmp(name);
    test_ok(ctx, whet_npy_write(ctx, path, true, &t));
    return path;
}

/* More votes than a block holds: the same counts, model and probabilities as in memory; a bad vote in the
 * second block is told with its row. */
static void files_of_many_blocks(void **state) {
    (void)state;
    enum { N = 260000, M = 70, K = 3 }; /* 18.2 million votes, a block holds 16.8 */
    whet_ctx *ctx = test_ctx(2);
    drawn_votes d = draw_votes(ctx, N, M, K, 40);
    const char *votes = write_votes(ctx, "many.npy", d.narrow, N, M);
    const whet_label_model_opts opts = opts_of(WHET_LABEL_FLYINGSQUID);
    whet_label_model *model;
    whet_vote_counts *counts;
    whet_tensor made;
    test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
    double *probs = predicted(ctx, model, &d.votes);
    whet_label_model_destroy(ctx, model);

    whet_label_count_job count = WHET_LABEL_COUNT_JOB_INIT;
    count.votes = &votes; /* of how many classes, it says itself */
    count.n_votes = 1;
    count.output = test_tmp("many.npz");
    test_ok(ctx, whet_label_count_run(ctx, &count, &counts));
    whet_vote_counts_destroy(ctx, counts);
    whet_label_fit_job fit = WHET_LABEL_FIT_JOB_INIT;
    whet_label_fit_result fitted;
    fit.counts = count.output;
    fit.model = opts;
    fit.save = test_tmp("many.json");
    test_ok(ctx, whet_label_fit_run(ctx, &fit, &fitted));
    assert_int_equal(fitted.rows, N);
    assert_int_equal(fitted.covered, -1);
    whet_label_fit_result_destroy(ctx, &fitted);
    whet_label_predict_job predict = WHET_LABEL_PREDICT_JOB_INIT;
    whet_label_predict_result result;
    predict.model = fit.save;
    predict.votes = votes;
    predict.probs = test_tmp("many-probs.npy");
    test_ok(ctx, whet_label_predict_run(ctx, &predict, &result));
    assert_int_equal(result.rows, N);
    whet_label_predict_result_destroy(ctx, &result);
    test_ok(ctx, whet_array_read(ctx, predict.probs, &made));
    assert_int_equal(made.shape[0], N);
    same_bits(made.data, probs, N * K);
    whet_tensor_destroy(ctx, &made);

    d.narrow[(int64_t)(N - 1) * M + 5] = 7;
    (void)write_votes(ctx, "many.npy", d.narrow, N, M);
    predict.force = true;
    test_fails(ctx, whet_label_predict_run(ctx, &predict, &result), WHET_ERR_DATA);
    test_says(ctx, "vote [259999, 5] is 7; expected -1 to 2");
    whet_i_free(ctx, probs);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void a_model_is_for_votes_of_its_rules(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const int8_t two[4] = {0, 1, 1, -1}, three[6] = {0, 1, 2, 1, -1, 0};
    whet_label_predict_job job = WHET_LABEL_PREDICT_JOB_INIT;
    whet_label_predict_result r;
    job.model =
        test_write_text("one.json", FACTS SOFT SURE BASE "\"classes\":[\"ham\",\"spam\"]," VOTES);
    job.votes = write_votes(ctx, "two.npy", two, 2, 2);
    job.predictions = test_tmp("two.tsv");
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_SHAPE);
    test_says(ctx, "one.json: ");
    test_says(ctx, "2 rows and 2 rules; expected 2 and 1");
    job.votes = write_votes(ctx, "three.npy", three, 6, 1);
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_DATA);
    test_says(ctx, "vote [2, 0] is 2; expected -1 to 1");
    job.votes = write_votes(ctx, "fine.npy", two, 4, 1);
    job.classes = test_write_text("other.txt", "spam\nham\n");
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_DATA);
    test_says(ctx, "lists other classes than");
    job.classes = test_write_text("same.txt", "ham\nspam\n");
    test_ok(ctx, whet_label_predict_run(ctx, &job, &r));
    assert_int_equal(r.covered, 3);
    whet_label_predict_result_destroy(ctx, &r);
    job.model = test_write_text("nameless.json", FACTS SOFT SURE BASE VOTES);
    job.predictions = test_tmp("nameless.tsv");
    test_ok(ctx, whet_label_predict_run(ctx, &job, &r));
    assert_string_equal(whet_names_get(r.classes, 0).ptr, "ham");
    whet_label_predict_result_destroy(ctx, &r);
    test_ctx_done(ctx);
}

/* Votes with their rules in another order give the same probabilities; sums of four numbers in another
 * order: to 1e-12. */
static void votes_are_matched_with_rules_by_name(void **state) {
    (void)state;
    enum { N = 300, M = 4, KINDS = 3 };
    static const int order[M] = {2, 0, 3, 1};
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, N, M, KINDS, 5);
    int8_t other[N * M];
    whet_label_fit_job fit = WHET_LABEL_FIT_JOB_INIT;
    whet_label_fit_result fitted;
    whet_label_predict_job job = WHET_LABEL_PREDICT_JOB_INIT;
    whet_label_predict_result r;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) other[i * M + j] = d.narrow[i * M + order[j]];
    test_ok(ctx, whet_votes_write(ctx, test_tmp("plain.npy"), true, &d.votes));
    fit.votes = test_tmp("plain.npy");
    fit.model.method = WHET_LABEL_DAWID_SKENE;
    fit.rules = test_write_text("rules.txt", "a\nb\nc\nd\n");
    test_fails(ctx, whet_label_fit_run(ctx, &fit, &fitted), WHET_ERR_ARG);
    test_says(ctx, "no model to be saved");
    fit.save = test_tmp("by-name.json");
    fit.probs = test_tmp("by-place.npy");
    test_ok(ctx, whet_label_fit_run(ctx, &fit, &fitted));
    whet_label_fit_result_destroy(ctx, &fitted);
    job.model = fit.save;
    job.votes = write_votes(ctx, "other.npy", other, N, M);
    job.rules = test_write_text("other-rules.txt", "c\na\nd\nb\n");
    job.probs = test_tmp("by-name.npy");
    test_ok(ctx, whet_label_predict_run(ctx, &job, &r));
    assert_string_equal(whet_names_get(whet_label_model_rules(r.model), 2).ptr, "d");
    whet_label_predict_result_destroy(ctx, &r);
    whet_tensor p = {0}, q = {0};
    test_ok(ctx, whet_array_read(ctx, fit.probs, &p));
    test_ok(ctx, whet_array_read(ctx, job.probs, &q));
    for (int i = 0; i < N * KINDS; i++)
        assert_true(fabs(((const double *)p.data)[i] - ((const double *)q.data)[i]) < 1e-12);
    whet_tensor_destroy(ctx, &p);
    whet_tensor_destroy(ctx, &q);
    job.force = true;
    job.rules = test_write_text("others.txt", "c\na\nx\nb\n");
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_DATA);
    test_says(ctx, "rule 2 is \"x\"; expected one of the model's rules");
    job.rules = test_write_text("few.txt", "c\na\n");
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_SHAPE);
    test_says(ctx, "2 names of rules; expected 4");
    job.model = test_write_text("no-names.json", FACTS SOFT SURE BASE VOTES);
    job.rules = test_write_text("one-rule.txt", "a\n");
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_DATA);
    test_says(ctx, "does not know the names of its rules");
    job.model = test_write_text("twice.json", FACTS SOFT SURE BASE "\"rules\":[\"\"]," VOTES);
    test_fails(ctx, whet_label_predict_run(ctx, &job, &r), WHET_ERR_FORMAT);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

/* A table of scores, estimates and accuracies that is put in another order and back is as it was. */
static void a_model_in_another_order_and_back_is_the_same(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 200, 3, 3, 6);
    static const char *const written[2][3] = {{"a", "b", "c"}, {"b", "c", "a"}};
    whet_label_model_opts opts = opts_of(WHET_LABEL_SNORKEL);
    whet_label_model *model, *plain;
    whet_names *names[2];
    test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &model));
    test_ok(ctx, whet_label_model_fit(ctx, &d.votes, &opts, &plain));
    for (int o = 0; o < 2; o++) {
        test_ok(ctx, whet_names_create(ctx, &names[o]));
        for (int j = 0; j < 3; j++)
            test_ok(ctx, whet_names_add(ctx, names[o], whet_str_from(written[o][j]), NULL));
    }
    test_ok(ctx, whet_label_model_name_rules(ctx, model, names[0]));
    test_ok(ctx, whet_label_model_match_rules(ctx, model, names[1]));
    whet_label_model_info moved, still;
    whet_label_model_get_info(model, &moved);
    whet_label_model_get_info(plain, &still);
    for (int j = 0; j < 3; j++) {
        assert_true(moved.accuracy[j] == still.accuracy[(j + 1) % 3]);
        assert_true(moved.coverage[j] == still.coverage[(j + 1) % 3]);
    }
    test_ok(ctx, whet_label_model_match_rules(ctx, model, names[0]));
    same_model(ctx, model, plain, &d.votes);
    for (int o = 0; o < 2; o++) whet_names_destroy(ctx, names[o]);
    whet_label_model_destroy(ctx, model);
    whet_label_model_destroy(ctx, plain);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

static void shards_must_be_of_one_kind(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const int8_t l[6] = {0, 1, 2, 1, -1, 0};
    const char *votes[2], *counted[1];
    whet_label_count_job job = WHET_LABEL_COUNT_JOB_INIT;
    whet_vote_counts *counts;
    votes[0] = write_votes(ctx, "a.npy", l, 2, 3);
    votes[1] = write_votes(ctx, "b.npy", l, 3, 2);
    job.votes = votes;
    job.output = test_tmp("ab.npz");
    test_fails(ctx, whet_label_count_run(ctx, &job, &counts), WHET_ERR_ARG);
    job.n_votes = 2;
    test_fails(ctx, whet_label_count_run(ctx, &job, &counts), WHET_ERR_ARG);
    test_says(ctx, "how many classes");
    job.reading.classes = 3;
    test_fails(ctx, whet_label_count_run(ctx, &job, &counts), WHET_ERR_SHAPE);
    test_says(ctx, "b.npy: 2 rules and 3 classes; expected 3 and 3");
    job.n_votes = 1;
    test_ok(ctx, whet_label_count_run(ctx, &job, &counts));
    whet_vote_counts_destroy(ctx, counts);
    counted[0] = job.output;
    job.counted = counted;
    job.n_counted = 1;
    job.output = test_tmp("more.npz");
    job.reading.classes = 0; /* as the counts say */
    test_ok(ctx, whet_label_count_run(ctx, &job, &counts));
    assert_int_equal(whet_vote_counts_rows(counts), 4);
    assert_int_equal(whet_vote_counts_of(counts, 0, 0, 2, 2), 2);
    whet_vote_counts_destroy(ctx, counts);
    job.reading.classes = 4;
    test_fails(ctx, whet_label_count_run(ctx, &job, &counts), WHET_ERR_SHAPE);
    test_says(ctx, "3 classes; expected 4");
    test_ctx_done(ctx);
}

/* ---- each allocation -------------------------------------------------------------------------- */

static whet_status whole_chain(whet_ctx *ctx, void *arg) {
    const char *const *path = arg; /* votes, counts, model, probabilities, classes, rules */
    whet_label_count_job count = WHET_LABEL_COUNT_JOB_INIT;
    whet_label_fit_job fit = WHET_LABEL_FIT_JOB_INIT;
    whet_label_predict_job predict = WHET_LABEL_PREDICT_JOB_INIT;
    whet_vote_counts *counts;
    whet_label_fit_result fitted;
    whet_label_predict_result predicted_rows;
    const char *votes[2] = {path[0], path[0]};
    count.votes = votes;
    count.n_votes = 2;
    count.reading.classes = 3;
    count.output = path[1];
    count.force = fit.force = predict.force = true;
    WHET_TRY(whet_label_count_run(ctx, &count, &counts));
    whet_vote_counts_destroy(ctx, counts);
    fit.counts = path[1];
    fit.classes = path[4];
    fit.balance = "1,2,1";
    fit.model = opts_of(WHET_LABEL_FLYINGSQUID);
    fit.save = path[2];
    fit.rules = predict.rules = path[5];
    WHET_TRY(whet_label_fit_run(ctx, &fit, &fitted));
    whet_label_fit_result_destroy(ctx, &fitted);
    predict.model = path[2];
    predict.votes = path[0];
    predict.probs = path[3];
    predict.classes = path[4];
    WHET_TRY(whet_label_predict_run(ctx, &predict, &predicted_rows));
    whet_label_predict_result_destroy(ctx, &predicted_rows);
    return WHET_OK;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    drawn_votes d = draw_votes(ctx, 30, 4, 3, 50);
    static const char *const names[6] = {"v.npy", "c.npz", "m.json", "p.npy", "k.txt", "r.txt"};
    char path[6][512];
    const char *paths[6];
    (void)write_votes(ctx, names[0], d.narrow, 30, 4);
    (void)test_write_text(names[4], "a\nb\nc\n");
    (void)test_write_text(names[5], "1\n2\n3\n4\n");
    for (int i = 0; i < 6; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s", test_tmp(names[i]));
        paths[i] = path[i];
    }
    assert_true(test_each_allocation(whole_chain, paths) > 60);
    free_votes(ctx, &d);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_models_are_the_same_models),
        cmocka_unit_test(names_of_classes_are_kept),
        cmocka_unit_test(a_written_model_predicts_as_it_says),
        cmocka_unit_test(broken_models_are_told),
        cmocka_unit_test(models_too_large_for_a_file_are_told),
        cmocka_unit_test(shards_fit_what_rows_fit),
        cmocka_unit_test(broken_counts_are_told),
        cmocka_unit_test(rows_do_not_overflow),
        cmocka_unit_test(files_of_many_blocks),
        cmocka_unit_test(a_model_is_for_votes_of_its_rules),
        cmocka_unit_test(votes_are_matched_with_rules_by_name),
        cmocka_unit_test(a_model_in_another_order_and_back_is_the_same),
        cmocka_unit_test(shards_must_be_of_one_kind),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
