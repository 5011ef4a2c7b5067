/* SPDX-License-Identifier: Apache-2.0
 * Searches from C: budgets, what is drawn, parts of runs that go on, the verdict and the front by hand. */
#include "support.h"
#include "tune_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tune/search_i.h"

/* ---- budgets ---------------------------------------------------------------------------------- */

static void budgets_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double seconds;
        int64_t trials, parameters;
    } good[] = {{"600s", 600, 0, 0},
                {"10m", 600, 0, 0},
                {"1.5h", 5400, 0, 0},
                {"trials=30", 0, 30, 0},
                {" 1h , params=100k", 3600, 0, 100000},
                {"params=2M,trials=1,1s", 1, 1, 2000000},
                {"trials=4096,params=7", 0, 4096, 7}};
    static const char *const bad[] = {"",
                                      "10",
                                      "m",
                                      "-1m",
                                      "0s",
                                      "trials=0",
                                      "trials=4097",
                                      "trials=1.5",
                                      "params=100k",
                                      "10m,",
                                      "10m,params=",
                                      "params=0,1m",
                                      "1e999h",
                                      "inf s",
                                      "10 m5"};
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(good); i++) {
        whet_tune_search_opts o = WHET_TUNE_SEARCH_OPTS_INIT;
        test_ok(ctx, whet_tune_search_budget(ctx, good[i].text, &o));
        assert_true(o.seconds == good[i].seconds && o.trials == good[i].trials &&
                    o.parameters == good[i].parameters);
    }
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        whet_tune_search_opts o = WHET_TUNE_SEARCH_OPTS_INIT;
        test_fails(ctx, whet_tune_search_budget(ctx, bad[i], &o), WHET_ERR_ARG);
        assert_true(o.seconds == 0 && o.trials == 0 && o.parameters == 0);
    }
    test_ctx_done(ctx);
}

/* ---- what a search is about ------------------------------------------------------------------- */

enum { ROWS = 30 };

static whet_tune_job small_job(void) {
    static char text[ROWS * 64];
    whet_tune_job job = WHET_TUNE_JOB_INIT;
    size_t used = (size_t)snprintf(text, sizeof text, "text\tlabel\n");
    for (int i = 0; i < ROWS; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s song %d\t%s\n",
                                 i % 3 ? "good" : "bad", i, i % 3 ? "yes" : "no");
    job.model = test_source("tests/golden/bert_tiny/even");
    job.train = test_write_text("train.tsv", text);
    job.batch_size = 8;
    job.epochs = 4;
    job.seed = 11;
    job.output = "nowhere";
    return job;
}

static whet_status open_wider(whet_ctx *ctx, const whet_tune_job *base, int64_t limit,
                              unsigned also, whet_i_tune *survey, whet_i_search_space *space) {
    whet_tune_job job = *base;
    job.targets = NULL;
    const whet_status status = whet_i_tune_survey(ctx, &job, survey);
    return status == WHET_OK ? whet_i_search_space_open(ctx, survey, base, limit, also, space)
                             : status;
}

static whet_status open_space(whet_ctx *ctx, const whet_tune_job *base, int64_t limit,
                              whet_i_tune *survey, whet_i_search_space *space) {
    return open_wider(ctx, base, limit, 0, survey, space);
}

static void close_space(whet_ctx *ctx, whet_i_tune *survey, whet_i_search_space *space) {
    whet_i_search_space_free(ctx, space);
    whet_i_tune_free(ctx, survey);
}

/* Parameters by the formula of LoRA: r (in + out) a layer; tiny BERT's query is 32 x 32. */
static void parameters_are_counted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0};
    whet_i_search_space space;
    const whet_tune_job base = small_job();
    int64_t one, two;
    test_ok(ctx, open_space(ctx, &base, 0, &survey, &space));
    whet_tune_job job = base;
    job.adapter = WHET_TUNE_LORA;
    job.targets = "query";
    job.rank = 3;
    test_ok(ctx, whet_i_tune_count(ctx, &survey, &job, &one));
    const int64_t hidden = survey.backbone.encoder.hidden, layers = survey.backbone.encoder.layers;
    assert_int_equal(one, layers * 3 * 2 * hidden);
    job.adapter = WHET_TUNE_MORE;
    job.rank = job.blocks = 4;
    test_ok(ctx, whet_i_tune_count(ctx, &survey, &job, &two));
    assert_int_equal(two, layers * 4 * 2 * hidden);
    close_space(ctx, &survey, &space);
    test_ctx_done(ctx);
}

static void draws_hold_what_is_said_of_them(void **state) {
    (void)state;
    enum { DRAWS = 103 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0}, other_survey = {0};
    whet_i_search_space space, other;
    const whet_tune_job base = small_job();
    const whet_i_search_trial *t;
    int64_t count[3] = {0}, blocks = 0, uneven = 0;
    test_ok(ctx, open_space(ctx, &base, 0, &survey, &space));
    test_ok(ctx, whet_i_search_draw(ctx, &space, DRAWS - 1, &t));
    for (int64_t i = 0; i < DRAWS; i++) {
        const whet_tune_job *j = &space.trials[i].job;
        count[j->adapter]++;
        assert_true(j->learning_rate > 0 && j->head_rate >= 1 && j->dropout >= 0);
        char typed[40];
        (void)snprintf(typed, sizeof typed, "%.2g", j->learning_rate);
        assert_true(strtod(typed, NULL) == j->learning_rate);
        if (j->adapter == WHET_TUNE_FULL) continue;
        assert_true(j->rank >= 1 && j->rank <= 32 && j->targets);
        if (j->adapter == WHET_TUNE_MORE) assert_true(j->blocks > 1 && j->rank % j->blocks == 0);
        if (j->adapter == WHET_TUNE_MORE && i >= 3) {
            const whet_i_search_trial *twin = &space.trials[i + 1];
            if (i + 1 == DRAWS) continue;
            blocks += j->blocks != 4;
            assert_int_equal(twin->job.adapter, WHET_TUNE_LORA);
            assert_int_equal(twin->job.rank, j->rank);
            assert_string_equal(twin->job.targets, j->targets);
            assert_true(twin->job.learning_rate == j->learning_rate &&
                        twin->job.dropout == j->dropout && twin->job.head_rate == j->head_rate);
            assert_ptr_equal(twin->job.layers, j->layers);
            assert_ptr_equal(twin->job.rank_pattern, j->rank_pattern);
            assert_true(!twin->job.rank_pattern == !twin->job.alpha_pattern);
            uneven += j->rank_pattern || j->layers;
            assert_int_equal(twin->parameters, space.trials[i].parameters);
            assert_int_equal(twin->pair, space.trials[i].pair);
        }
    }
    assert_int_equal(count[WHET_TUNE_LORA], count[WHET_TUNE_MORE]);
    assert_int_equal(count[WHET_TUNE_FULL], 21);
    assert_true(blocks > 5 && uneven > 10 && uneven < 32);
    /* Two layers: ranks that rise are half and half as large again, and every layer's N divides its r. */
    assert_string_equal(space.ranks[0][3], "layers?\\.(0)\\..*=4,layers?\\.(1)\\..*=12");
    assert_string_equal(space.alphas[1][2], "layers?\\.(1)\\..*=4,layers?\\.(0)\\..*=12");
    assert_null(space.ranks[0][0]);
    for (int64_t i = 0; i < DRAWS; i++) {
        whet_tune_job even = space.trials[i].job;
        int64_t same;
        if (!even.rank_pattern) continue;
        if (even.adapter == WHET_TUNE_MORE) assert_int_equal(even.rank / 2 % even.blocks, 0);
        even.rank_pattern = even.alpha_pattern = NULL;
        test_ok(ctx, whet_i_tune_count(ctx, &survey, &even, &same));
        assert_int_equal(same, space.trials[i].parameters);
    }
    /* What is given stays; the limit holds, and what it leaves no room for is not drawn. */
    whet_tune_job given = base;
    given.learning_rate = 0.125;
    given.targets = "query,key";
    given.dropout = 0.25;
    given.head_rate = 7;
    test_ok(ctx, open_space(ctx, &given, 3000, &other_survey, &other));
    test_ok(ctx, whet_i_search_draw(ctx, &other, DRAWS - 1, &t));
    for (int64_t i = 0; i < DRAWS; i++) {
        const whet_tune_job *j = &other.trials[i].job;
        assert_true(j->learning_rate == 0.125 && j->dropout == 0.25 && j->head_rate == 7);
        assert_string_equal(j->targets, "query,key");
        assert_true(other.trials[i].parameters <= 3000 && j->adapter != WHET_TUNE_FULL);
    }
    assert_true(whet_i_search_space_hash(&space) != whet_i_search_space_hash(&other));
    close_space(ctx, &other_survey, &other);
    /* Below the smallest candidate: refused, with its size; at its size, not. */
    const int64_t least = space.least;
    close_space(ctx, &survey, &space);
    survey = (whet_i_tune){0};
    test_fails(ctx, open_space(ctx, &base, least - 1, &survey, &space), WHET_ERR_ARG);
    test_says(ctx, "smallest candidate");
    close_space(ctx, &survey, &space);
    survey = (whet_i_tune){0};
    test_ok(ctx, open_space(ctx, &base, least, &survey, &space));
    close_space(ctx, &survey, &space);
    test_ctx_done(ctx);
}

static void expect_pair(const whet_i_search_trial *a, const whet_i_search_trial *b) {
    assert_true(a->job.adapter + b->job.adapter == WHET_TUNE_LORA + WHET_TUNE_MORE);
    assert_int_equal(a->job.rank, b->job.rank);
    assert_string_equal(a->job.targets, b->job.targets);
    assert_ptr_equal(a->job.layers, b->job.layers);
    assert_ptr_equal(a->job.rank_pattern, b->job.rank_pattern);
    assert_true(a->job.learning_rate == b->job.learning_rate && a->job.dropout == b->job.dropout &&
                a->job.head_rate == b->job.head_rate);
    assert_int_equal(a->parameters, b->parameters);
    assert_true(a->pair == b->pair && a->pair >= 0);
}

/* Whatever the limit rules out, every LoRA and MoRe has a partner of the same rates and size, from the first
 * trials on, and nothing takes the turns of what is ruled out: 3 and turns of 5, or 2 and turns of 4. Where
 * MoRe is ruled out LoRA has none. */
static void pairs_hold_under_a_limit(void **state) {
    (void)state;
    enum { DRAWS = 42 };
    whet_ctx *ctx = test_ctx(1);
    const whet_tune_job base = small_job();
    whet_i_tune survey = {0};
    whet_i_search_space space;
    test_ok(ctx, open_space(ctx, &base, 0, &survey, &space));
    const int64_t least = space.least;
    close_space(ctx, &survey, &space);
    const int64_t limits[] = {0, least, 2 * least, 3 * least, 5 * least, 9 * least, 40 * least};
    for (int64_t l = 0; l < WHET_COUNT_OF(limits); l++) {
        const int64_t limit = limits[l], firsts = limit ? 2 : 3, cycle = limit ? 4 : 5;
        const whet_i_search_trial *t;
        int64_t count[WHET_I_SEARCH_KINDS] = {0};
        survey = (whet_i_tune){0};
        test_ok(ctx, open_space(ctx, &base, limit, &survey, &space));
        test_ok(ctx, whet_i_search_draw(ctx, &space, DRAWS - 1, &t));
        for (int64_t i = 0; i < DRAWS; i++) count[space.trials[i].job.adapter]++;
        if (limit == least) {
            assert_int_equal(count[WHET_TUNE_LORA], DRAWS);
            for (int64_t i = 0; i < DRAWS; i++) assert_int_equal(space.trials[i].pair, -1);
            close_space(ctx, &survey, &space);
            continue;
        }
        assert_int_equal(space.can[WHET_TUNE_FULL], limit == 0);
        expect_pair(&space.trials[0], &space.trials[firsts - 1]);
        for (int64_t i = firsts; i < DRAWS; i++) {
            const int64_t turn = (i - firsts) % cycle;
            if (turn < 4 && turn % 2 == 0 && i + 1 < DRAWS)
                expect_pair(&space.trials[i], &space.trials[i + 1]);
            if (turn == 4) assert_int_equal(space.trials[i].job.adapter, WHET_TUNE_FULL);
        }
        if (limit) assert_int_equal(count[WHET_TUNE_LORA], count[WHET_TUNE_MORE]);
        close_space(ctx, &survey, &space);
    }
    test_ctx_done(ctx);
}

/* Where the limit leaves the smallest alone, rates are drawn for it: no setting is tried twice, but the first
 * in place of a kind that does not fit. */
static void the_smallest_have_rates_of_their_own(void **state) {
    (void)state;
    enum { DRAWS = 24 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0};
    whet_i_search_space space;
    const whet_tune_job base = small_job();
    const whet_i_search_trial *t;
    test_ok(ctx, open_space(ctx, &base, 0, &survey, &space));
    const int64_t least = space.least;
    close_space(ctx, &survey, &space);
    survey = (whet_i_tune){0};
    test_ok(ctx, open_space(ctx, &base, 2 * least, &survey, &space));
    test_ok(ctx, whet_i_search_draw(ctx, &space, DRAWS - 1, &t));
    for (int64_t i = 0; i < DRAWS; i++)
        for (int64_t k = 0; k < i; k++) {
            const whet_tune_job *a = &space.trials[i].job, *b = &space.trials[k].job;
            assert_true(space.trials[i].parameters <= 2 * least);
            assert_false(a->adapter == b->adapter && a->rank == b->rank && a->blocks == b->blocks &&
                         strcmp(a->targets, b->targets) == 0 && a->layers == b->layers &&
                         a->learning_rate == b->learning_rate && a->dropout == b->dropout &&
                         a->head_rate == b->head_rate);
        }
    close_space(ctx, &survey, &space);
    test_ctx_done(ctx);
}

/* Kinds that are asked for come first of all once, then one turn in eight each; LoRA and MoRe stay pairs. */
static void kinds_that_are_asked_for(void **state) {
    (void)state;
    enum { DRAWS = 6 + 8 * 12 };
    static const whet_tune_adapter first[] = {WHET_TUNE_LORA, WHET_TUNE_FULL,   WHET_TUNE_MORE,
                                              WHET_TUNE_DORA, WHET_TUNE_BITFIT, WHET_TUNE_NORMS};
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0}, plain_survey = {0};
    whet_i_search_space space, plain;
    const whet_tune_job base = small_job();
    const whet_i_search_trial *t;
    int64_t count[WHET_I_SEARCH_KINDS] = {0}, dropped = 0, ranks = 0;
    unsigned also;
    test_ok(ctx, whet_i_search_also(ctx, "norms,dora,bitfit,adapter-dropout", &also));
    test_ok(ctx, open_wider(ctx, &base, 0, also, &survey, &space));
    test_ok(ctx, open_space(ctx, &base, 0, &plain_survey, &plain));
    assert_true(whet_i_search_space_hash(&space) != whet_i_search_space_hash(&plain));
    test_ok(ctx, whet_i_search_draw(ctx, &space, DRAWS - 1, &t));
    for (int64_t i = 0; i < DRAWS; i++) {
        const whet_tune_job *j = &space.trials[i].job;
        const bool own = j->adapter == WHET_TUNE_BITFIT || j->adapter == WHET_TUNE_NORMS;
        json_t *settings = whet_i_search_settings(j);
        count[j->adapter]++;
        if (i < 6) assert_int_equal(j->adapter, first[i]);
        if (i < 6) assert_true(j->adapter_dropout == 0);
        assert_true(!json_object_get(settings, "rank") == (own || j->adapter == WHET_TUNE_FULL));
        assert_true(!json_object_get(settings, "adapter_dropout") ==
                    !json_object_get(settings, "rank"));
        json_decref(settings);
        if (own) assert_true(!j->targets && !j->layers && space.trials[i].parameters < 1000);
        if (j->adapter == WHET_TUNE_DORA) ranks += i > 3 && j->rank != 8;
        if (j->adapter >= WHET_TUNE_DORA) assert_int_equal(space.trials[i].pair, -1);
        dropped += j->adapter_dropout > 0;
        if (i < 6 || j->adapter != WHET_TUNE_MORE) continue;
        const whet_i_search_trial *twin = &space.trials[i + 1];
        assert_int_equal(twin->job.adapter, WHET_TUNE_LORA);
        assert_true(twin->job.rank == j->rank && twin->parameters == space.trials[i].parameters &&
                    twin->job.adapter_dropout == j->adapter_dropout);
    }
    for (int k = 0; k < WHET_I_SEARCH_KINDS; k++)
        assert_int_equal(count[k], k == WHET_TUNE_LORA || k == WHET_TUNE_MORE ? 25 : 13);
    assert_true(ranks > 4 && dropped > 20 && dropped < 60);
    close_space(ctx, &survey, &space);
    close_space(ctx, &plain_survey, &plain);
    test_fails(ctx, whet_i_search_also(ctx, "dora,boft", &also), WHET_ERR_ARG);
    test_says(ctx, "\"boft\" as well; expected dora, bitfit, norms");
    test_fails(ctx, whet_i_search_also(ctx, "dora,", &also), WHET_ERR_ARG);
    test_ok(ctx, whet_i_search_also(ctx, NULL, &also));
    assert_int_equal(also, 0);
    test_ctx_done(ctx);
}

/* ---- parts of runs ---------------------------------------------------------------------------- */

/* A bit of the mantissa of the file's last number. */
static void flip_last_number(const char *path) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -3, SEEK_END), 0);
    const int byte = fgetc(f);
    assert_int_equal(fseek(f, -3, SEEK_END), 0);
    assert_int_not_equal(fputc(byte ^ 1, f), EOF);
    assert_int_equal(fclose(f), 0);
}

/* The same bits whether a part goes on from a checkpoint, from a damaged one, or begins anew; at any
 * number of threads. Damage: another file, or one flipped bit of a number. */
static void parts_go_on(void **state) {
    (void)state;
    whet_tune_job job = small_job();
    char path[1024];
    (void)snprintf(path, sizeof path, "%s", test_tmp("part.safetensors"));
    for (int kind = 0; kind < 3; kind++) {
        double metric = 0, loss = 0;
        job.adapter = (whet_tune_adapter)kind;
        job.rank = job.blocks = 4;
        job.learning_rate = 0.01;
        job.dropout = 0.1;
        for (int way = 0; way < 5; way++) {
            whet_ctx *ctx = test_ctx(way == 3 ? 3 : 1);
            whet_i_tune survey = {0};
            test_ok(ctx, whet_i_tune_survey(ctx, &job, &survey));
            whet_i_tune_part part = {
                .folds = 3, .fold = 1, .seed = 5, .share = 1.0 / 3, .to = path};
            if (way) test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &part));
            if (way == 2) test_write_text("part.safetensors", "no checkpoint");
            if (way == 4) flip_last_number(path);
            part.share = 1;
            part.from = path;
            part.to = NULL;
            (void)(way == 0 && remove(path));
            test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &part));
            /* 20 rows in batches of 8, four epochs: 12 steps, a third of which may have been taken. */
            assert_int_equal(part.total, 12);
            assert_int_equal(part.step, 12);
            assert_int_equal(part.steps, way == 1 || way == 3 ? 8 : 12);
            if (way == 0) {
                metric = part.metric;
                loss = part.loss;
            }
            assert_true(part.metric == metric && part.loss == loss);
            (void)remove(path);
            whet_i_tune_free(ctx, &survey);
            test_ctx_done(ctx);
        }
    }
}

/* At a rate of nothing no epoch (of three steps) is better than the first: with a patience of two a part ends
 * after the third, whether it goes on from its half or not; one that has ended takes no step more. */
static void parts_stop_early(void **state) {
    (void)state;
    static const int64_t taken[] = {9, 3, 0};
    static const double before[] = {0, .5, .9};
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0};
    whet_tune_job job = small_job();
    char path[1024];
    double metric = 0;
    (void)snprintf(path, sizeof path, "%s", test_tmp("early.safetensors"));
    job.adapter = WHET_TUNE_LORA;
    job.rank = 4;
    job.learning_rate = 1e-12;
    test_ok(ctx, whet_i_tune_survey(ctx, &job, &survey));
    for (int way = 0; way < 3; way++) {
        whet_i_tune_part part = {.folds = 3, .fold = 1, .seed = 5, .patience = 2, .to = path};
        part.share = before[way];
        if (way) test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &part));
        assert_true(part.early == (way == 2));
        part.share = 1;
        part.from = way ? path : NULL;
        part.to = NULL;
        test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &part));
        assert_true(part.early && part.step == 9 && part.total == 12);
        assert_int_equal(part.steps, taken[way]);
        if (way == 0) metric = part.metric;
        assert_true(part.metric == metric);
        (void)remove(path);
    }
    whet_i_tune_part patient = {.folds = 3, .fold = 1, .seed = 5, .patience = 4, .share = 1};
    test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &patient));
    assert_true(!patient.early && patient.step == 12);
    whet_i_tune_free(ctx, &survey);
    test_ctx_done(ctx);
}

/* Each row is held out once, with as many of each class; other repeats draw others. */
static void folds_part_the_rows(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_tune survey = {0};
    const whet_tune_job job = small_job();
    int32_t fold[2][ROWS];
    test_ok(ctx, whet_i_tune_survey(ctx, &job, &survey));
    for (uint64_t repeat = 0; repeat < 2; repeat++) {
        int64_t count[5][2] = {{0}};
        const whet_i_tune_part drawn = {.folds = 5, .seed = 5, .repeat = (int32_t)repeat};
        test_ok(ctx, whet_i_tune_folds(ctx, &survey, &drawn, fold[repeat]));
        for (int i = 0; i < ROWS; i++) count[fold[repeat][i]][survey.train.labels[i]]++;
        for (int f = 0; f < 5; f++) assert_true(count[f][0] == 2 && count[f][1] == 4);
    }
    assert_memory_not_equal(fold[0], fold[1], sizeof fold[0]);
    /* Copies are in one fold. */
    for (int i = ROWS - 1; i > 0; i--) survey.train.texts[i] = survey.train.texts[i / 2];
    const whet_i_tune_part drawn = {.folds = 5, .seed = 5};
    test_ok(ctx, whet_i_tune_folds(ctx, &survey, &drawn, fold[0]));
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < i; j++)
            if (whet_str_equal(survey.train.texts[i], survey.train.texts[j]))
                assert_int_equal(fold[0][i], fold[0][j]);
    /* So a part of another repeat, which chose nothing, holds other rows out. */
    whet_i_tune_part part[2] = {{.folds = 5, .seed = 5, .share = 0.5},
                                {.folds = 5, .seed = 5, .share = 0.5, .repeat = 1}};
    for (int i = 0; i < 2; i++) test_ok(ctx, whet_i_tune_part_run(ctx, &survey, &job, &part[i]));
    assert_true(part[0].loss != part[1].loss && part[0].steps == part[1].steps);
    whet_i_tune_free(ctx, &survey);
    test_ctx_done(ctx);
}

static whet_status one_part(whet_ctx *ctx, void *arg) {
    whet_i_tune survey = {0};
    whet_i_search_space space = {0};
    const whet_i_search_trial *trial;
    whet_i_tune_part part = {.folds = 3, .seed = 5, .share = 0.1};
    whet_status status = open_space(ctx, arg, 0, &survey, &space);
    if (status == WHET_OK) status = whet_i_search_draw(ctx, &space, 2, &trial);
    if (status == WHET_OK) status = whet_i_tune_part_run(ctx, &survey, &trial->job, &part);
    close_space(ctx, &survey, &space);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_tune_job job = small_job();
    assert_true(test_each_allocation(one_part, &job) > 100);
}

/* ---- the verdict ------------------------------------------------------------------------------ */

static void set(whet_i_search_state *s, int64_t trial, int32_t first, const double *metric,
                int32_t n) {
    for (int32_t k = 0; k < n; k++)
        s->rows[trial].cell[0][first + k] =
            (whet_i_search_cell){.state = WHET_I_CELL_DONE, .metric = metric[k]};
}

/* Differences .1, .2, .3: mean .2, s .1; folds: t(2) = 4.302653, .1 sqrt(1/3 + 1/2) = .091287: .2 -+
 * .392776. Seeds: .1 / sqrt(3) = .057735: .2 -+ .248414. */
static void verdicts_by_hand(void **state) {
    (void)state;
    whet_i_search_row rows[2] = {0};
    whet_i_search_state s = {
        .head = {.rungs = 1, .replicates = 3, .folds = 3}, .rows = rows, .n_trials = 2};
    const double a[] = {0.6, 0.7, 0.8}, b[] = {0.5, 0.5, 0.5}, better[] = {0.1, 0.1, 0.2};
    whet_i_search_verdict v = whet_i_search_judge(&s, false, 0, 1);
    assert_false(v.there);
    set(&s, 0, 0, a, 3);
    set(&s, 1, 0, b, 3);
    v = whet_i_search_judge(&s, false, 0, 1);
    assert_true(v.there && !v.fresh && v.n == 3);
    assert_true(fabs(v.mean - 0.2) < 1e-12 && fabs(v.high - 0.592776) < 1e-5 &&
                fabs(v.low + 0.192776) < 1e-5);
    v = whet_i_search_judge(&s, true, 1, 0); /* the lower is better: the same difference */
    assert_true(fabs(v.mean - 0.2) < 1e-12);
    s.head.folds = 0;
    v = whet_i_search_judge(&s, false, 0, 1);
    assert_true(fabs(v.high - 0.448414) < 1e-5 && fabs(v.low + 0.048414) < 1e-5);
    /* New replicates, where both have them, speak alone. */
    set(&s, 0, 3, better, 3);
    v = whet_i_search_judge(&s, false, 0, 1);
    assert_false(v.fresh);
    set(&s, 1, 3, a, 3);
    v = whet_i_search_judge(&s, false, 0, 1);
    assert_true(v.fresh && fabs(v.mean + 0.566667) < 1e-5);
}

/* What a pair shares is said of a pair alone. */
static void verdicts_in_words(void **state) {
    (void)state;
    whet_i_search_state s = {.head = {.rungs = 1, .replicates = 3, .folds = 3}, .n_trials = 3};
    whet_i_search_trial trials[] = {
        {.job = {.adapter = WHET_TUNE_MORE, .learning_rate = 0.5}, .parameters = 99, .pair = 0},
        {.job = {.adapter = WHET_TUNE_LORA, .learning_rate = 0.5}, .parameters = 99, .pair = 0},
        {.job = {.adapter = WHET_TUNE_LORA, .learning_rate = 0.25}, .parameters = 50, .pair = 2},
        {.job = {.adapter = WHET_TUNE_FULL}, .pair = -1}};
    const whet_i_search_rules r = {.state = &s, .trials = trials};
    const whet_i_search_verdict better = {
        .there = true, .fresh = true, .n = 3, .mean = 0.2, .low = 0.1, .high = 0.3};
    char text[768];
    whet_i_search_verdict_text(&r, &better, 0, 1, text, sizeof text);
    assert_string_equal(text,
                        "MoRe (trial 0) is better than its partner, LoRA of the same rates and "
                        "layers and as many parameters (trial 1): +0.2000, from +0.1000 to "
                        "+0.3000 at 95 %, over 3 replicates that chose nothing");
    whet_i_search_verdict_text(&r, &better, 0, 2, text, sizeof text);
    assert_non_null(strstr(text,
                           "another draw, LoRA (trial 2; 50 parameters, not 99, rate 0.25, not "
                           "0.5, so that it says little of the kinds)"));
    trials[1].parameters = 100;
    whet_i_search_verdict_text(&r, &better, 0, 1, text, sizeof text);
    assert_non_null(strstr(text, "(trial 1; 100 parameters, not 99)"));
    whet_i_search_verdict_text(&r, &(whet_i_search_verdict){0}, 1, -1, text, sizeof text);
    assert_string_equal(text, "LoRA won; no MoRe came to the whole length to compare it with");
}

/* Dominated points, equal points and those that were stopped are not of the front. */
static void fronts_by_hand(void **state) {
    (void)state;
    whet_i_search_point p[] = {{.parameters = 10, .metric = 0.5, .whole = true},
                               {.parameters = 20, .metric = 0.4, .whole = true},
                               {.parameters = 20, .metric = 0.6, .whole = true},
                               {.parameters = 20, .metric = 0.6, .whole = true},
                               {.parameters = 5, .metric = 0.9, .whole = false},
                               {.parameters = 40, .metric = 0.6, .whole = true},
                               {.parameters = 80, .metric = 0.7, .whole = true}};
    static const bool high[] = {true, false, true, false, false, false, true};
    static const bool low[] = {true, true, false, false, false, false, false};
    whet_i_search_front(p, WHET_COUNT_OF(p), false);
    for (int64_t i = 0; i < WHET_COUNT_OF(p); i++) assert_int_equal(p[i].front, high[i]);
    whet_i_search_front(p, WHET_COUNT_OF(p), true);
    for (int64_t i = 0; i < WHET_COUNT_OF(p); i++) assert_int_equal(p[i].front, low[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budgets_by_hand),
        cmocka_unit_test(parameters_are_counted),
        cmocka_unit_test(draws_hold_what_is_said_of_them),
        cmocka_unit_test(pairs_hold_under_a_limit),
        cmocka_unit_test(the_smallest_have_rates_of_their_own),
        cmocka_unit_test(kinds_that_are_asked_for),
        cmocka_unit_test(parts_go_on),
        cmocka_unit_test(parts_stop_early),
        cmocka_unit_test(folds_part_the_rows),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(verdicts_by_hand),
        cmocka_unit_test(verdicts_in_words),
        cmocka_unit_test(fronts_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
