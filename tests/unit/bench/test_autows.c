/* SPDX-License-Identifier: Apache-2.0
 * The AutoWS comparison: tables to numbers, splits, cells that are gone on with, and what they come to, by
 * hand; then whole runs on sets made here. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/autows_i.h"

static void near(double a, double b, double most) {
    if (!(fabs(a - b) <= most)) fail_msg("%.17g is not %.17g within %g", a, b, most);
}

static int32_t method_named(const char *name) {
    for (int32_t i = 0; i < whet_i_autows_method_count(); i++)
        if (strcmp(whet_i_autows_methods[i].name, name) == 0) return i;
    fail_msg("no method %s", name);
    return -1;
}

static int32_t feature_named(const char *name) {
    for (int32_t i = 0; i < whet_i_feature_count(); i++)
        if (strcmp(whet_i_features[i].name, name) == 0) return i;
    fail_msg("no feature %s", name);
    return -1;
}

static int32_t set_named(const char *name) {
    for (int32_t i = 0; i < whet_i_set_count(); i++)
        if (strcmp(whet_i_sets[i].name, name) == 0) return i;
    fail_msg("no set %s", name);
    return -1;
}

/* ---- tables ------------------------------------------------ */

static void a_table_becomes_numbers_and_a_column_a_value(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *table[1];
    float *x;
    int64_t d;
    /* "rare" has one row, less than 5: no column; "?" and "" are missing: the mean, or zeros. */
    test_ok(ctx, whet_table_read(ctx,
                                 test_write_text("mixed.csv",
                                                 "age,job,Y\n1,a,p\n3,b,q\n?,a,p\n5,b,q\n,a,p\n"
                                                 "3,b,q\n3,a,p\n3,b,q\n3,a,p\n3,b,q\n3,rare,p\n"
                                                 "3,?,q\n"),
                                 &table[0]));
    test_ok(ctx, whet_i_mixed_table(ctx, table, 1, "Y", &x, &d));
    assert_int_equal(d, 3);
    const float mean = 30.F / 10;
    const float expected[4][3] = {{1, 1, 0}, {3, 0, 1}, {mean, 1, 0}, {5, 0, 1}};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) assert_true(x[3 * i + j] == expected[i][j]);
    assert_true(x[3 * 4] == mean);
    for (int i = 10; i < 12; i++) assert_true(x[3 * i + 1] == 0 && x[3 * i + 2] == 0);
    whet_i_free(ctx, x);
    whet_table_destroy(ctx, table[0]);
    test_ctx_done(ctx);
}

static void a_table_of_labels_alone_is_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_table *table[1];
    float *x = NULL;
    int64_t d = 0;
    test_ok(ctx, whet_table_read(ctx, test_write_text("bare.csv", "Y\np\nq\n"), &table[0]));
    test_fails(ctx, whet_i_mixed_table(ctx, table, 1, "Y", &x, &d), WHET_ERR_DATA);
    test_says(ctx, "bare.csv");
    assert_null(x);
    whet_table_destroy(ctx, table[0]);
    test_ctx_done(ctx);
}

/* ---- splits ------------------------------------------------ */

enum { ROWS = 60 };

static whet_i_set_data rows_of(const whet_i_set *set, int32_t *y, int64_t n_train) {
    for (int32_t i = 0; i < ROWS; i++) y[i] = i % 3;
    return (whet_i_set_data){.set = set, .n = ROWS, .n_train = n_train, .y = y, .k = 3};
}

static void check_split(const whet_i_set_split *s, const int32_t *y, int64_t n_train) {
    int seen[ROWS] = {0};
    for (int64_t i = 0; i < s->n; i++) {
        assert_true(s->rows[i] < n_train);
        seen[s->rows[i]]++;
        assert_int_equal(s->truth[i], y[s->rows[i]]);
        assert_int_equal(s->labels[i], i < s->labelled ? y[s->rows[i]] : -1);
    }
    for (int64_t i = 0; i < s->n_test; i++) {
        seen[s->test[i]]++;
        assert_int_equal(s->test_truth[i], y[s->test[i]]);
    }
    for (int i = 0; i < ROWS; i++) assert_true(seen[i] <= 1);
}

static void rows_are_labelled_pooled_or_tested(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int32_t y[ROWS];
    whet_i_set_split s, again, other;
    const whet_i_split_sizes sizes = {10, 20, 15}, greedy = {100, 100, 100};
    /* Test rows of its own. */
    whet_i_set_data data = rows_of(&whet_i_sets[0], y, 40);
    test_ok(ctx, whet_i_set_split_make(ctx, &data, &sizes, 7, &s));
    assert_int_equal(s.labelled, 10);
    assert_int_equal(s.n, 30);
    assert_int_equal(s.n_test, 15);
    check_split(&s, y, 40);
    for (int64_t i = 0; i < s.n_test; i++) assert_true(s.test[i] >= 40);
    test_ok(ctx, whet_i_set_split_make(ctx, &data, &sizes, 7, &again));
    assert_memory_equal(s.rows, again.rows, (size_t)s.n * sizeof *s.rows);
    test_ok(ctx, whet_i_set_split_make(ctx, &data, &sizes, 8, &other));
    assert_memory_not_equal(s.rows, other.rows, (size_t)s.n * sizeof *s.rows);
    whet_i_set_split_free(ctx, &s);
    whet_i_set_split_free(ctx, &again);
    whet_i_set_split_free(ctx, &other);
    /* None: half are tested, and half of the others labelled, at most. */
    data = rows_of(&whet_i_sets[1], y, ROWS);
    test_ok(ctx, whet_i_set_split_make(ctx, &data, &greedy, 7, &s));
    assert_int_equal(s.n_test, 30);
    assert_int_equal(s.labelled, 15);
    assert_int_equal(s.n, 30);
    check_split(&s, y, ROWS);
    whet_i_set_split_free(ctx, &s);
    test_ctx_done(ctx);
}

/* ---- cells ------------------------------------------------ */

static whet_i_cell cell_of(const char *set, const char *feature, const char *method, int64_t seed,
                           double accuracy) {
    return (whet_i_cell){.set = set_named(set),
                         .feature = feature_named(feature),
                         .method = method_named(method),
                         .seed = seed,
                         .covered_accuracy = accuracy,
                         .coverage = 1,
                         .accuracy = accuracy,
                         .end_accuracy = accuracy,
                         .log_loss = 1 - accuracy,
                         .crossfit = NAN,
                         .seconds = 1,
                         .megabytes = 2,
                         .labelled = 10,
                         .pool = 20,
                         .test = 100};
}

static char *file_text(whet_ctx *ctx, const char *path, int64_t *len) {
    char *bytes;
    test_ok(ctx, whet_i_file_read(ctx, path, 1 << 20, &bytes, len));
    return bytes;
}

static void cells_are_kept_and_gone_on_with(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char path[512];
    whet_i_cells cells;
    json_t *settings = json_pack("{s:i}", "labels", 100),
           *others = json_pack("{s:i}", "labels", 50);
    (void)snprintf(path, sizeof path, "%s", test_tmp("cells.jsonl"));
    whet_i_cell one = cell_of("youtube", "tfidf", "few-shot", 0, .8);
    whet_i_cell two = cell_of("youtube", "tfidf", "snuba", 0, NAN);
    (void)snprintf(two.failed, sizeof two.failed, "one class \"alone\"");
    one.crossfit = .25;
    test_ok(ctx, whet_i_cells_open(ctx, path, settings, false, &cells));
    test_ok(ctx, whet_i_cells_add(ctx, &cells, &one));
    test_ok(ctx, whet_i_cells_add(ctx, &cells, &two));
    whet_i_cells_close(ctx, &cells);
    /* Cut in the middle of the last line, as a full disk would: the line is missing, the rest is there. */
    int64_t len;
    char *bytes = file_text(ctx, path, &len);
    (void)test_write("cells.jsonl", bytes, len - 5);
    test_ok(ctx, whet_i_cells_open(ctx, path, settings, false, &cells));
    assert_int_equal(cells.n, 1);
    assert_true(cells.item[0].accuracy == .8 && cells.item[0].crossfit == .25 &&
                cells.item[0].pool == 20);
    assert_null(whet_i_cells_find(&cells, &two));
    assert_non_null(whet_i_cells_find(&cells, &one));
    test_ok(ctx, whet_i_cells_add(ctx, &cells, &two));
    whet_i_cells_close(ctx, &cells);
    int64_t now;
    char *healed = file_text(ctx, path, &now);
    assert_int_equal(now, len);
    assert_memory_equal(healed, bytes, (size_t)len);
    test_ok(ctx, whet_i_cells_open(ctx, path, settings, false, &cells));
    assert_string_equal(whet_i_cells_find(&cells, &two)->failed, "one class \"alone\"");
    assert_true(isnan(whet_i_cells_find(&cells, &two)->accuracy));
    whet_i_cells_close(ctx, &cells);
    /* Other settings: kept apart, or thrown away when asked to. */
    test_fails(ctx, whet_i_cells_open(ctx, path, others, false, &cells), WHET_ERR_EXISTS);
    test_says(ctx, "other settings");
    test_ok(ctx, whet_i_cells_open(ctx, path, others, true, &cells));
    assert_int_equal(cells.n, 0);
    whet_i_cells_close(ctx, &cells);
    (void)test_write_text("cells.jsonl", "{\"labels\": 100}\nnonsense\n");
    test_fails(ctx, whet_i_cells_open(ctx, path, settings, false, &cells), WHET_ERR_FORMAT);
    test_says(ctx, "cells.jsonl:2");
    whet_i_free(ctx, bytes);
    whet_i_free(ctx, healed);
    json_decref(settings);
    json_decref(others);
    test_ctx_done(ctx);
}

/* ---- what they come to ------------------------------------------------ */

static void add_cell(whet_i_cells *cells, whet_i_cell cell) { cells->item[cells->n++] = cell; }

/* Two sets, two maps, few methods, two seeds. */
static whet_i_cells some_cells(whet_i_cell *room) {
    whet_i_cells cells = {.item = room};
    for (int64_t seed = 0; seed < 2; seed++) {
        const double off = seed ? .02 : 0;
        add_cell(&cells, cell_of("youtube", "tfidf", "few-shot", seed, .80 + off));
        add_cell(&cells, cell_of("youtube", "pca", "few-shot", seed, .70 + off));
        add_cell(&cells, cell_of("youtube", "tfidf", "snuba", seed, .80 + off));
        add_cell(&cells, cell_of("youtube", "pca", "snuba", seed, .76 + off));
        add_cell(&cells, cell_of("trec", "tfidf", "few-shot", seed, .60 + off));
        add_cell(&cells, cell_of("trec", "tfidf", "snuba", seed, .40 + off));
        /* The choice on tfidf is better; cross-fitting says so for seed 0 alone. */
        whet_i_cell a = cell_of("youtube", "tfidf", "adapt", seed, .90 + off);
        whet_i_cell b = cell_of("youtube", "pca", "adapt", seed, .75 + off);
        a.crossfit = seed ? .5 : .3;
        b.crossfit = .4;
        add_cell(&cells, a);
        add_cell(&cells, b);
    }
    return cells;
}

static const whet_i_group *group_named(const whet_i_autows_summary *s, const char *set,
                                       const char *feature, const char *method) {
    for (int64_t i = 0; i < s->groups; i++)
        if (s->group[i].set == set_named(set) && s->group[i].feature == feature_named(feature) &&
            s->group[i].method == method_named(method))
            return &s->group[i];
    fail_msg("no group %s %s %s", set, feature, method);
    return NULL;
}

/* What a set's verdict recommends: a choice on features, and beside it a tuned encoder. */
static double recommended_accuracy(whet_ctx *ctx, double crossfit, double tuned_crossfit) {
    whet_i_cell room[4];
    whet_i_cells cells = {.item = room};
    whet_i_autows_summary s;
    whet_i_cell a = cell_of("youtube", "tfidf", "adapt", 0, .80);
    whet_i_cell b = cell_of("youtube", "encoder", "adapt-adapter", 0, .95);
    a.crossfit = crossfit;
    b.crossfit = tuned_crossfit;
    add_cell(&cells, a);
    add_cell(&cells, b);
    add_cell(&cells, cell_of("youtube", "tfidf", "few-shot", 0, .70));
    test_ok(ctx, whet_i_autows_summarise(ctx, &cells, &s));
    /* It has one map alone, and would leave one to rank the others on. */
    assert_int_equal(s.standings, 2);
    for (int64_t i = 0; i < s.standings; i++) {
        assert_int_not_equal(s.standing[i].method, method_named("adapt-adapter"));
        assert_int_equal(s.standing[i].problems, 1);
    }
    const double mean = s.verdict[0].recommended.mean;
    whet_i_autows_summary_free(ctx, &s);
    return mean;
}

static void a_tuned_encoder_is_recommended_where_it_is_better(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    near(recommended_accuracy(ctx, .4, .3), .95, 1e-12);
    near(recommended_accuracy(ctx, .3, .4), .80, 1e-12);
    near(recommended_accuracy(ctx, .3, .3), .80, 1e-12);
    near(recommended_accuracy(ctx, NAN, .4), .95, 1e-12);
    near(recommended_accuracy(ctx, .4, NAN), .80, 1e-12);
    test_ctx_done(ctx);
}

static void means_ranks_and_verdicts_by_hand(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_cell room[32];
    const whet_i_cells cells = some_cells(room);
    whet_i_autows_summary s;
    test_ok(ctx, whet_i_autows_summarise(ctx, &cells, &s));
    assert_int_equal(s.groups, 8);
    /* .80 and .82: mean .81, deviation .02 / sqrt 2, half width 12.706 x that / sqrt 2. */
    const whet_i_group *g = group_named(&s, "youtube", "tfidf", "few-shot");
    assert_int_equal(g->seeds, 2);
    near(g->accuracy.mean, .81, 1e-12);
    near(g->accuracy.high - g->accuracy.mean, 12.706204736174694 * .01, 1e-9);
    /* Verdicts: seed 0 takes tfidf (.90), seed 1 pca (.77); the best baseline has .80 and .82. */
    assert_int_equal(s.verdicts, 2);
    const whet_i_set_verdict *v = &s.verdict[0];
    assert_int_equal(v->set, set_named("youtube"));
    assert_ptr_equal(&s.group[v->baseline], g);
    assert_ptr_equal(&s.group[v->weak], group_named(&s, "youtube", "tfidf", "snuba"));
    assert_int_equal(v->published, -1);
    near(v->recommended.mean, (.90 + .77) / 2, 1e-12);
    near(v->gain.mean, (.10 - .05) / 2, 1e-12);
    assert_int_equal(s.verdict[1].recommended.n, 0);
    assert_int_equal(s.gain.n, 1);
    assert_int_equal(s.at_least, 1);
    /* few-shot is the one baseline there is. */
    assert_int_equal(s.single, method_named("few-shot"));
    assert_int_equal(s.at_least_single, 1);
    near(s.over_single.mean, (.10 - .05) / 2, 1e-12);
    /* Problems that all three methods have: youtube's two. Ranks on tfidf: adapt 1, the tied others 2.5; on
     * pca snuba .77, adapt .76, few-shot .71. */
    assert_int_equal(s.standings, 3);
    const double rank[3] = {(2.5 + 3) / 2, (2.5 + 1) / 2, (1 + 2) / 2.};
    const char *const name[3] = {"few-shot", "snuba", "adapt"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s.standing[i].method, method_named(name[i]));
        assert_int_equal(s.standing[i].problems, 2);
        near(s.standing[i].rank, rank[i], 1e-12);
    }
    /* Errors on tfidf .09 .19 .19, on pca .24 .23 .29: at tau 1 snuba and adapt are best on one each. */
    near(s.standing[0].profile[0], 0, 1e-12);
    near(s.standing[1].profile[0], .5, 1e-12);
    near(s.standing[2].profile[0], .5, 1e-12);
    /* .19 / .09 = 2.11: few-shot and snuba reach 1 behind it; .29 / .23 = 1.26. */
    for (int64_t p = 0; p < WHET_I_PROFILE_POINTS; p++) {
        const double tau = whet_i_profile_tau(p);
        near(s.standing[0].profile[p], (tau >= .19 / .09 ? .5 : 0) + (tau >= .29 / .23 ? .5 : 0),
             1e-12);
    }
    near(whet_i_profile_tau(0), 1, 0);
    near(whet_i_profile_tau(WHET_I_PROFILE_POINTS - 1), 5, 1e-12);
    whet_i_autows_summary_free(ctx, &s);
    test_ctx_done(ctx);
}

/* The single baseline is the best over all sets, not on the most. */
static void the_single_baseline_is_one_for_all_sets(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_cell room[8];
    whet_i_cells cells = {.item = room};
    whet_i_autows_summary s;
    add_cell(&cells, cell_of("youtube", "tfidf", "few-shot", 0, .90));
    add_cell(&cells, cell_of("trec", "tfidf", "few-shot", 0, .50));
    add_cell(&cells, cell_of("youtube", "tfidf", "prototypes", 0, .60));
    add_cell(&cells, cell_of("youtube", "pca", "prototypes", 0, .80));
    add_cell(&cells, cell_of("trec", "pca", "prototypes", 0, .70));
    add_cell(&cells, cell_of("trec", "pca", "spread", 0, .95)); /* not on both sets */
    whet_i_cell choice = cell_of("trec", "pca", "adapt", 0, .65);
    choice.crossfit = .5;
    add_cell(&cells, choice);
    test_ok(ctx, whet_i_autows_summarise(ctx, &cells, &s));
    assert_int_equal(s.single, method_named("prototypes"));
    assert_int_equal(s.over_single.n, 1);
    near(s.over_single.mean, -.05, 1e-12);
    assert_int_equal(s.at_least_single, 0);
    near(s.gain.mean, -.30, 1e-12);
    whet_i_autows_summary_free(ctx, &s);
    test_ctx_done(ctx);
}

static void one_seed_has_an_interval_of_its_rows(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_cell room[1] = {cell_of("youtube", "tfidf", "few-shot", 0, .8)};
    const whet_i_cells cells = {.item = room, .n = 1};
    whet_i_autows_summary s;
    test_ok(ctx, whet_i_autows_summarise(ctx, &cells, &s));
    /* Wilson of 80 of 100. */
    near(s.group[0].accuracy.low, .7111, 1e-4);
    near(s.group[0].accuracy.high, .8666, 1e-4);
    whet_i_autows_summary_free(ctx, &s);
    test_ctx_done(ctx);
}

static void published_figures_are_found(void **state) {
    (void)state;
    const struct {
        const char *set, *feature, *method;
        double accuracy, coverage;
    } cases[] = {{"mnist", "raw", "few-shot", .7295, 1},
                 {"cifar10", "pca", "snuba-ovr", .0924, .7183},
                 {"cifar10", "pca", "snuba-ovr-ref", .0924, .7183},
                 {"mnist", "pca", "snuba-ref", .5625, .3472},
                 {"youtube", "encoder", "propagate", .8440, 1},
                 {"navier_stokes", "resnet", "goggles", .9353, 1},
                 {"mnist", "vae", "few-shot", NAN, NAN},
                 {"trec", "pca", "few-shot", NAN, NAN}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const whet_i_published p =
            whet_i_autows_published(&whet_i_sets[set_named(cases[i].set)],
                                    &whet_i_features[feature_named(cases[i].feature)],
                                    &whet_i_autows_methods[method_named(cases[i].method)]);
        if (isnan(cases[i].accuracy)) {
            assert_true(isnan(p.accuracy));
            continue;
        }
        assert_true(p.accuracy == cases[i].accuracy && p.coverage == cases[i].coverage);
    }
}

static whet_status all_reports(whet_ctx *ctx, void *arg) {
    whet_i_cell room[32];
    const whet_i_cells cells = some_cells(room);
    whet_i_autows_summary s = {0};
    whet_i_buf out[4] = {{0}};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_autows_summarise(ctx, &cells, &s));
    WHET_TRY_DONE(whet_i_autows_tables(ctx, &s, &out[0]));
    WHET_TRY_DONE(whet_i_autows_tsv(ctx, &s, &out[1]));
    WHET_TRY_DONE(whet_i_autows_profile(ctx, &s, &out[2]));
    WHET_TRY_DONE(whet_i_autows_html(ctx, &s, arg, &out[3]));
    assert_non_null(strstr(out[0].data, "youtube"));
    assert_non_null(strstr(out[1].data, "\nyoutube\ttfidf\tfew-shot\tbaseline\t2\t0\t0\t0.81\t"));
    assert_non_null(strstr(out[2].data, "</svg>"));
    assert_non_null(strstr(out[3].data, "</html>"));
done:
    for (int i = 0; i < 4; i++) whet_i_buf_free(ctx, &out[i]);
    whet_i_autows_summary_free(ctx, &s);
    return status;
}

static void reports_survive_each_allocation(void **state) {
    (void)state;
    json_t *settings = json_pack("{s:i, s:i, s:i}", "labels", 100, "pool", 10, "test", 10);
    assert_true(test_each_allocation(all_reports, settings) > 5);
    json_decref(settings);
}

/* ---- whole runs ------------------------------------------------ */

static void write_series(whet_ctx *ctx, const char *folder, const char *part, int64_t n) {
    char path[600];
    float x[64 * 6];
    int32_t y[64];
    for (int64_t i = 0; i < n; i++) {
        y[i] = i % 2 ? 2 : 1; /* as the archive has them: not 0 and 1 */
        for (int64_t j = 0; j < 6; j++)
            x[6 * i + j] = (float)sin((double)(i * (j + 2))) + (y[i] == 2 && j < 3 ? 2.F : 0);
    }
    const whet_tensor rows = {x, WHET_F32, 2, {n, 6}}, labels = {y, WHET_I32, 1, {n}};
    (void)snprintf(path, sizeof path, "%s/ucr_GunPoint/%s_x.npy", folder, part);
    test_ok(ctx, whet_npy_write(ctx, path, true, &rows));
    (void)snprintf(path, sizeof path, "%s/ucr_GunPoint/%s_y.npy", folder, part);
    test_ok(ctx, whet_npy_write(ctx, path, true, &labels));
}

static void a_run_goes_on_where_it_stopped(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    char data[500], folder[520], output[500], path[520];
    whet_autows_job job = WHET_AUTOWS_JOB_INIT;
    char *text, *json;
    json_error_t error;
    (void)snprintf(data, sizeof data, "%s", test_tmp("data"));
    (void)snprintf(output, sizeof output, "%s", test_tmp("autows"));
    (void)snprintf(folder, sizeof folder, "%s/ucr_GunPoint", data);
    (void)mkdir(data, 0777);
    (void)mkdir(folder, 0777);
    write_series(ctx, data, "train", 30);
    write_series(ctx, data, "test", 64);
    job.data = data;
    job.output = output;
    job.sets = "gunpoint";
    job.features = "raw";
    job.methods = "few-shot, snuba,iws-ovr,goggles,snuba-ref";
    job.seeds = 2;
    job.labels = 20;
    test_ok(ctx, whet_autows_run(ctx, &job, &text, &json));
    json_t *root = json_loads(json, 0, &error);
    assert_non_null(root);
    const json_t *table = json_object_get(root, "table");
    assert_int_equal(json_array_size(table), 5);
    for (size_t i = 0; i < 5; i++) {
        const json_t *g = json_array_get(table, i);
        const double accuracy =
            json_number_value(json_object_get(json_object_get(g, "accuracy"), "mean"));
        const double coverage =
            json_number_value(json_object_get(json_object_get(g, "coverage"), "mean"));
        const double covered =
            json_number_value(json_object_get(json_object_get(g, "covered_accuracy"), "mean"));
        assert_true(accuracy >= .5 * coverage && accuracy <= covered + 1e-12);
        assert_int_equal(json_integer_value(json_object_get(g, "seeds")), 2);
        if (strcmp(json_string_value(json_object_get(g, "method")), "few-shot") == 0)
            assert_true(accuracy > .85); /* the classes are two deviations apart in three columns */
    }
    json_decref(root);
    whet_free_text(ctx, text);
    whet_free_text(ctx, json);
    /* Again: nothing is run anew, not a bit changes. One more seed: those that are there stay. */
    int64_t len, longer;
    (void)snprintf(path, sizeof path, "%s/cells.jsonl", output);
    char *before = file_text(ctx, path, &len);
    test_ok(ctx, whet_autows_run(ctx, &job, NULL, NULL));
    char *after = file_text(ctx, path, &longer);
    assert_int_equal(longer, len);
    assert_memory_equal(before, after, (size_t)len);
    whet_i_free(ctx, after);
    job.seeds = 3;
    test_ok(ctx, whet_autows_run(ctx, &job, NULL, NULL));
    after = file_text(ctx, path, &longer);
    assert_true(longer > len);
    assert_memory_equal(before, after, (size_t)len);
    whet_i_free(ctx, before);
    whet_i_free(ctx, after);
    job.labels = 10;
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_EXISTS);
    test_ctx_done(ctx);
}

static void wrong_names_and_sizes_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_autows_job job = WHET_AUTOWS_JOB_INIT;
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_ARG);
    job.data = test_tmp("nowhere");
    job.output = test_tmp("never");
    job.methods = "few-shot,magic";
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_ARG);
    test_says(ctx, "\"magic\"");
    test_says(ctx, "snuba-ovr-ref");
    job.methods = NULL;
    job.sets = "youtube";
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_IO);
    test_says(ctx, "nowhere: No such file or directory; expected a folder");
    job.data = test_tmp("..");
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_IO);
    test_says(ctx, "youtube/train.tsv");
    job.seeds = 0;
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_ARG);
    job.seeds = 1;
    job.dtype = WHET_F64;
    test_fails(ctx, whet_autows_run(ctx, &job, NULL, NULL), WHET_ERR_ARG);
    test_says(ctx, "f64");
    test_ctx_done(ctx);
}

/* Permuting pixels changes nothing that looks at all of them alike: the published table's own check. */
static void permuted_images_give_the_same_answers(void **state) {
    (void)state;
    test_need_shared("data/mnist/train_x.npy");
    whet_ctx *ctx = test_ctx(2);
    whet_autows_job job = WHET_AUTOWS_JOB_INIT;
    char *json;
    json_error_t error;
    job.data = test_shared("data");
    job.output = test_tmp("permuted");
    job.sets = "mnist,permuted_mnist";
    job.features = "raw";
    job.methods = "few-shot,prototypes";
    job.seeds = 1;
    job.pool = 200;
    job.test = 500;
    test_ok(ctx, whet_autows_run(ctx, &job, NULL, &json));
    json_t *root = json_loads(json, 0, &error);
    const json_t *table = json_object_get(root, "table");
    assert_int_equal(json_array_size(table), 4);
    for (size_t i = 0; i < 2; i++) {
        double accuracy[2];
        for (size_t set = 0; set < 2; set++)
            accuracy[set] = json_number_value(json_object_get(
                json_object_get(json_array_get(table, 2 * set + i), "accuracy"), "mean"));
        /* Sums in another order: a near tie may turn. */
        near(accuracy[0], accuracy[1], 2 / 500. + 1e-9);
        assert_true(accuracy[0] > .4);
    }
    json_decref(root);
    whet_free_text(ctx, json);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_becomes_numbers_and_a_column_a_value),
        cmocka_unit_test(a_table_of_labels_alone_is_refused),
        cmocka_unit_test(rows_are_labelled_pooled_or_tested),
        cmocka_unit_test(cells_are_kept_and_gone_on_with),
        cmocka_unit_test(means_ranks_and_verdicts_by_hand),
        cmocka_unit_test(a_tuned_encoder_is_recommended_where_it_is_better),
        cmocka_unit_test(the_single_baseline_is_one_for_all_sets),
        cmocka_unit_test(one_seed_has_an_interval_of_its_rows),
        cmocka_unit_test(published_figures_are_found),
        cmocka_unit_test(reports_survive_each_allocation),
        cmocka_unit_test(a_run_goes_on_where_it_stopped),
        cmocka_unit_test(wrong_names_and_sizes_are_refused),
        cmocka_unit_test(permuted_images_give_the_same_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
