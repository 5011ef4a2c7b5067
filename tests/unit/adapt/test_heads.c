/* SPDX-License-Identifier: Apache-2.0
 * Heads on tuned embeddings: what each is, against sums made here; saved and read back; the choice
 * among them by hand, without the labels that judge it; what is held out has no say; memory that is not
 * to be had. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/head_candidates.h"
#include "adapt/tuned_fit.h"
#include "adapt/tuning.h"
#include "label/label_i.h"

enum { ROWS = 30, NEW = 7, D = 5, K = 3, LABELS = 9 };

typedef struct sample {
    float x[ROWS * D], rows[NEW * D], class_vectors[K * D];
    int32_t labels[ROWS];
    whet_names *classes;
} sample;

static void unit_row(whet_i_rng *rng, int c, double noise, float *row) {
    double z[D], square = 0;
    for (int j = 0; j < D; j++) {
        z[j] = (j == c) + noise * whet_i_rng_normal(rng);
        square += z[j] * z[j];
    }
    for (int j = 0; j < D; j++) row[j] = (float)(z[j] / sqrt(square));
}

/* Three groups of unit rows; the first LABELS have labels. */
static sample sample_of(whet_ctx *ctx) {
    static const char *const words[] = {"a", "b", "c"};
    sample s = {.classes = NULL};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 11, 0);
    for (int i = 0; i < ROWS; i++) {
        unit_row(&rng, i % K, .4, s.x + i * D);
        s.labels[i] = i < LABELS ? i % K : -1;
    }
    for (int i = 0; i < NEW; i++) unit_row(&rng, i % K, .4, s.rows + i * D);
    for (int c = 0; c < K; c++) unit_row(&rng, c, .1, s.class_vectors + c * D);
    test_ok(ctx, whet_names_create(ctx, &s.classes));
    for (int c = 0; c < K; c++)
        test_ok(ctx, whet_names_add(ctx, s.classes, whet_str_from(words[c]), NULL));
    return s;
}

static whet_adapt_input input_of(const sample *s, bool names) {
    return (whet_adapt_input){s->x,      ROWS,       D,
                              s->labels, s->classes, names ? s->class_vectors : NULL};
}

static int64_t head_named(const char *name) {
    for (int64_t i = 0; i < whet_i_heads_count(); i++)
        if (strcmp(whet_i_heads_name(i), name) == 0) return i;
    fail_msg("no head %s", name);
    return -1;
}

/* ---- what they are ------------------------------------------------------------------------------- */

/* softmax of cosines to unit sums of each class's labelled rows, and of its name where there are names. */
static void centroids(const sample *s, bool names, const float *x, int64_t n, double *probs) {
    double sums[K * D] = {0};
    for (int c = 0; names && c < K; c++)
        for (int j = 0; j < D; j++) sums[c * D + j] = (double)s->class_vectors[c * D + j];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; s->labels[i] >= 0 && j < D; j++)
            sums[s->labels[i] * D + j] += (double)s->x[i * D + j];
    for (int64_t i = 0; i < n; i++) {
        for (int c = 0; c < K; c++) {
            double dot = 0, square = 0;
            for (int j = 0; j < D; j++) {
                dot += sums[c * D + j] * (double)x[i * D + j];
                square += sums[c * D + j] * sums[c * D + j];
            }
            probs[i * K + c] = dot / sqrt(square) / WHET_I_COSINE_TEMPERATURE;
        }
        whet_i_softmax(probs + i * K, K);
    }
    whet_i_temper(probs, n, K, 1); /* the floor */
}

/* As graph smoothing is defined: the pool's values, then a new row's from those of its neighbours. */
static void smoothed(whet_ctx *ctx, const sample *s, const double *prior, const double *prior_new,
                     double *probs) {
    const int64_t m = WHET_I_NEIGHBOURS;
    double f[ROWS * K];
    int64_t near[NEW * WHET_I_NEIGHBOURS];
    float cosine[NEW * WHET_I_NEIGHBOURS];
    whet_i_graph graph;
    memcpy(f, prior, sizeof f);
    test_ok(ctx, whet_i_graph_build(ctx, s->x, ROWS, D, m, &graph));
    test_ok(ctx, whet_i_smooth(ctx, &graph, .3, s->labels, K, f));
    test_ok(ctx, whet_i_nearest(ctx, s->rows, NEW, s->x, ROWS, D, m, false, near, cosine));
    const double pull = .3 * whet_i_mean_degree(&graph);
    for (int64_t i = 0; i < NEW; i++) {
        double total = pull;
        for (int c = 0; c < K; c++) probs[i * K + c] = pull * prior_new[i * K + c];
        for (int64_t e = i * m; e < (i + 1) * m; e++) {
            const double w = fmax((double)cosine[e], WHET_I_LEAST_WEIGHT);
            total += w;
            for (int c = 0; c < K; c++) probs[i * K + c] += w * f[near[e] * K + c];
        }
        for (int c = 0; c < K; c++) probs[i * K + c] /= total;
    }
    whet_i_graph_free(ctx, &graph);
}

/* f holds f32 in the one and f64 in the other; conjugate gradients stop at 1e-6 or better. */
static void near_each(const double *a, const double *b, int64_t n, double most) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= most)) fail_msg("%lld: %g, %g", (long long)i, a[i], b[i]);
}

static void heads_are_what_they_are_called(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    sample s = sample_of(ctx);
    const int64_t cells = NEW * K;
    double probs[8 * NEW * K], prior[ROWS * K], prior_new[NEW * K], expected[NEW * K];
    assert_true(whet_i_heads_count() + 2 <= WHET_I_MOST_HEADS); /* and the own one, twice */
    for (int names = 0; names < 2; names++) {
        const whet_adapt_input input = input_of(&s, names);
        test_ok(ctx, whet_i_heads_predict(ctx, &input, s.rows, NEW, probs));
        centroids(&s, names, s.rows, NEW, prior_new);
        near_each(probs + head_named("prototypes") * cells, prior_new, cells, 1e-5);
        centroids(&s, names, s.x, ROWS, prior);
        smoothed(ctx, &s, prior, prior_new, expected);
        near_each(probs + head_named("prototypes-graph") * cells, expected, cells, 1e-4);
        for (int64_t h = 0; h < whet_i_heads_count(); h++)
            for (int64_t i = 0; i < NEW; i++) {
                const double *p = probs + h * cells + i * K;
                assert_true(fabs(p[0] + p[1] + p[2] - 1) < 1e-9);
            }
    }
    /* The other graph smooths the logistic regression, which is the lesson's own head. */
    struct whet_i_linear_model *own;
    const whet_i_lesson lesson = {.rows = WHET_I_LESSON_LABELS};
    test_ok(ctx, whet_i_head_fit(ctx, &lesson, s.x, s.labels, LABELS, D, K, &own));
    test_ok(ctx, whet_i_head_predict(ctx, own, s.x, ROWS, prior));
    test_ok(ctx, whet_i_head_predict(ctx, own, s.rows, NEW, prior_new));
    smoothed(ctx, &s, prior, prior_new, expected);
    near_each(probs + head_named("graph") * cells, expected, cells, 1e-4);
    whet_i_head_free(ctx, own);
    whet_names_destroy(ctx, s.classes);
    test_ctx_done(ctx);
}

/* Rows of the pool that have no label have a say in what looks at neighbours, and in nothing else. */
static void the_pool_matters_to_graphs_alone(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    sample s = sample_of(ctx);
    double before[8 * NEW * K], after[8 * NEW * K];
    const whet_adapt_input input = input_of(&s, false);
    test_ok(ctx, whet_i_heads_predict(ctx, &input, s.rows, NEW, before));
    for (int i = LABELS; i < ROWS; i++)
        for (int j = 0; j < D; j++) s.x[i * D + j] = j == (i + 1) % K ? 1.F : 0;
    test_ok(ctx, whet_i_heads_predict(ctx, &input, s.rows, NEW, after));
    for (int64_t h = 0; h < whet_i_heads_count(); h++) {
        double moved = 0;
        for (int64_t i = h * NEW * K; i < (h + 1) * NEW * K; i++)
            moved = fmax(moved, fabs(before[i] - after[i]));
        assert_true((moved > 0) == (strcmp(whet_i_heads_name(h), "prototypes") != 0));
    }
    whet_names_destroy(ctx, s.classes);
    test_ctx_done(ctx);
}

/* ---- one, to be kept ----------------------------------------------------------------------------- */

/* Each at its temperature predicts as before but for that, also when read back, at any number of threads. */
static void heads_are_saved(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1), *many = test_ctx(3);
    sample s = sample_of(ctx);
    const whet_adapt_input input = input_of(&s, false);
    const whet_classifier_meta meta = {.encoder_path = "encoder", .encoder_fingerprint = "0123"};
    double all[8 * NEW * K], probs[NEW * K], again[NEW * K];
    test_ok(ctx, whet_i_heads_predict(ctx, &input, s.rows, NEW, all));
    for (int64_t h = 0; h < whet_i_heads_count(); h++) {
        whet_adapt_fit *fit, *other;
        whet_classifier *read;
        char dir[300], name[32];
        test_ok(ctx, whet_i_heads_fit(ctx, &input, h, 1.7, "in words", &fit));
        const int64_t chosen = whet_adapt_fit_chosen(fit);
        assert_string_equal(whet_adapt_fit_info(fit, chosen)->name, "encoder");
        test_ok(ctx, whet_adapt_fit_predict(ctx, fit, chosen, s.rows, NEW, probs));
        whet_i_temper(all + h * NEW * K, NEW, K, 1.7);
        near_each(probs, all + h * NEW * K, NEW * K, 1e-4); /* of small ones the floor differs */
        test_ok(many, whet_i_heads_fit(many, &input, h, 1.7, "in words", &other));
        test_ok(many, whet_adapt_fit_predict(many, other, chosen, s.rows, NEW, again));
        assert_memory_equal(probs, again, sizeof probs);
        (void)snprintf(name, sizeof name, "head%d", (int)h);
        (void)snprintf(dir, sizeof dir, "%s", test_tmp(name));
        assert_int_equal(mkdir(dir, 0777), 0);
        test_ok(ctx, whet_adapt_fit_save(ctx, fit, dir, &meta));
        test_ok(ctx, whet_classifier_load(ctx, dir, &read));
        assert_string_equal(whet_classifier_candidate(read), "encoder");
        assert_string_equal(whet_classifier_settings(read), "in words");
        test_ok(ctx, whet_classifier_predict(ctx, read, s.rows, NEW, again));
        assert_memory_equal(probs, again, sizeof probs);
        whet_classifier_destroy(ctx, read);
        whet_adapt_fit_destroy(ctx, fit);
        whet_adapt_fit_destroy(many, other);
    }
    whet_names_destroy(ctx, s.classes);
    test_ctx_done(many);
    test_ctx_done(ctx);
}

static whet_status make_heads(whet_ctx *ctx, void *arg) {
    const sample *s = arg;
    const whet_adapt_input input = input_of(s, true);
    double probs[8 * NEW * K];
    whet_adapt_fit *fit = NULL;
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_heads_predict(ctx, &input, s->rows, NEW, probs));
    WHET_TRY_DONE(whet_i_heads_fit(ctx, &input, head_named("graph"), 2, "", &fit));
done:
    whet_adapt_fit_destroy(ctx, fit);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    sample s = sample_of(ctx);
    assert_true(test_each_allocation(make_heads, &s) > 50);
    whet_names_destroy(ctx, s.classes);
    test_ctx_done(ctx);
}

/* ---- the choice ---------------------------------------------------------------------------------- */

enum { B = 6 };

/* Two classes, all labels of the first; right: at .8, else at .2, by label. */
static void put_head(whet_i_held *h, int64_t head, const char *right) {
    double *with = whet_i_held_with(h, 0, head);
    for (int i = 0; i < B; i++) {
        with[2 * i] = right[i] == '1' ? .8 : .2;
        with[2 * i + 1] = 1 - with[2 * i];
    }
}

static whet_i_contender compare(whet_ctx *ctx, const char *own, const char *other) {
    static int32_t y[B] = {0}, fold[B] = {0, 0, 1, 1, 2, 2};
    double without[B * 2], with[WHET_I_MOST_HEADS * B * 2];
    whet_i_held h = {.b = B, .k = 2, .y = y, .fold = fold, .without = without, .with = with};
    whet_i_tuning t = {.n = 1, .tried = {{.folds = WHET_I_TUNE_FOLDS, .n_heads = 2}}};
    for (int i = 0; i < 2 * B; i++) without[i] = .5;
    put_head(&h, 0, own);
    put_head(&h, 1, other);
    test_ok(ctx, whet_i_held_compare(ctx, &h, false, &t));
    const whet_i_contender c = t.tried[0];
    /* The figures are of these. */
    assert_true(fabs(whet_i_log_loss(c.held, B, 2, y) - c.log_loss) < 1e-12);
    whet_i_tuning_free(ctx, &t);
    return c;
}

static void a_head_is_chosen_without_what_judges_it(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    /* Equally good: the lesson's own is kept. Fold 0 is better predicted by the own, but the other
     * folds choose the other; of fold 1 both are right; fold 2 goes to the own head, which is wrong
     * there. A choice that saw what it is judged on would be right on four labels at least. */
    whet_i_contender c = compare(ctx, "111100", "001111");
    assert_int_equal(c.head, 0);
    assert_true(fabs(c.heads[0].accuracy - 4 / 6.) < 1e-12);
    assert_true(fabs(c.heads[1].accuracy - 4 / 6.) < 1e-12);
    assert_true(fabs(c.accuracy - 2 / 6.) < 1e-12);
    assert_true(c.log_loss > c.heads[0].log_loss && c.gain < 0);
    /* Better on each two of the folds: chosen by all, and judged as it is. */
    c = compare(ctx, "101010", "101111");
    assert_int_equal(c.head, 1);
    assert_true(fabs(c.accuracy - 5 / 6.) < 1e-12);
    assert_true(fabs(c.log_loss - c.heads[1].log_loss) < 1e-12);
    assert_true(c.heads[1].log_loss < c.heads[0].log_loss);
    /* The same: never the other. */
    c = compare(ctx, "110110", "110110");
    assert_int_equal(c.head, 0);
    test_ctx_done(ctx);
}

/* ---- a candidate alone --------------------------------------------------------------------------- */

/* On other labels it says what it says among all candidates there, whatever it smooths; only of a blend the
 * parts are those of the other labels. */
static void a_candidate_alone_says_the_same(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    sample s = sample_of(ctx);
    const whet_adapt_input input = {s.x, ROWS, D, s.labels, s.classes, NULL};
    whet_adapt_fit *all, *fewer, *alone;
    double expected[NEW * K], got[NEW * K];
    int64_t compared = 0;
    test_ok(ctx, whet_adapt_train(ctx, &input, NULL, &all));
    s.labels[0] = -1;
    test_ok(ctx, whet_adapt_train(ctx, &input, NULL, &fewer));
    const int64_t n = whet_adapt_fit_candidates(all);
    for (int64_t at = 0; at < n; at++) {
        const whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
        if (!whet_adapt_fit_info(all, at)->available) continue;
        test_ok(ctx, whet_i_fit_again(ctx, all, at, &input, &opts, &alone));
        assert_int_equal(whet_adapt_fit_chosen(alone), at);
        test_ok(ctx, whet_adapt_fit_predict(ctx, alone, at, s.rows, NEW, got));
        test_ok(ctx, whet_adapt_fit_predict(ctx, fewer, at, s.rows, NEW, expected));
        if (at < n - 1) assert_memory_equal(got, expected, sizeof got);
        int64_t others = 0;
        for (int64_t i = 0; i < n; i++) others += whet_adapt_fit_info(alone, i)->available;
        assert_true(others < n - 2 && whet_adapt_fit_info(alone, at)->available);
        compared++;
        whet_adapt_fit_destroy(ctx, alone);
    }
    assert_true(compared > 8);
    whet_adapt_fit_destroy(ctx, all);
    whet_adapt_fit_destroy(ctx, fewer);
    whet_names_destroy(ctx, s.classes);
    test_ctx_done(ctx);
}

/* ---- what is held out ---------------------------------------------------------------------------- */

enum { TEXTS = 40, KNOWN = 18 };

typedef struct job_of_folds {
    whet_adapt_job job;
    whet_i_run run;
    whet_i_held held;
    whet_str texts[TEXTS];
    int32_t labels[TEXTS];
    float features[TEXTS * 2];
} job_of_folds;

/* Texts of the tiny model, every third of which says the opposite of its label; features that say as
 * little. */
static void make_folds(whet_ctx *ctx, job_of_folds *f) {
    static const char *const words[] = {"a good video", "the song is bad", "check out my channel",
                                        "good good song", "bad video number you"};
    const char *model = test_source("tests/golden/bert_tiny/even");
    whet_i_rng rng;
    whet_i_rng_init(&rng, 5, 0);
    *f = (job_of_folds){.job = WHET_ADAPT_JOB_INIT};
    for (int i = 0; i < TEXTS; i++) {
        f->texts[i] = whet_str_from(words[i * 7 % 5]);
        f->labels[i] = i < KNOWN ? (i % 2 + (i % 3 == 0)) % 2 : -1;
        f->features[2 * i] = (float)whet_i_rng_normal(&rng);
        f->features[2 * i + 1] = (float)whet_i_rng_normal(&rng);
    }
    f->run.train = (whet_i_run_rows){.path = "pool",
                                     .n = TEXTS,
                                     .texts = f->texts,
                                     .labels = f->labels,
                                     .features = f->features};
    f->run.job = &f->job;
    f->run.d = 2;
    test_ok(ctx, whet_encoder_load(ctx, model, NULL, &f->run.encoder));
    test_ok(ctx, whet_names_create(ctx, &f->run.classes));
    for (int c = 0; c < 2; c++)
        test_ok(ctx, whet_names_add(ctx, f->run.classes, (whet_str){&"ab"[c], 1}, NULL));
    f->run.tuning.tried[f->run.tuning.n++].lesson = &whet_i_lessons[0];
    const whet_adapt_input input = {f->features, TEXTS, 2, f->labels, f->run.classes, NULL};
    test_ok(ctx, whet_adapt_train(ctx, &input, NULL, &f->run.fit)); /* candidate 0 is taken */
    test_ok(ctx, whet_i_held_make(ctx, &f->run, &f->held));
}

/* What is said of the rows of fold 0 but one (-1: of all): by the candidate, then by each head. */
static void ask(whet_ctx *ctx, job_of_folds *f, int64_t but, double *said) {
    char model[300];
    (void)snprintf(model, sizeof model, "%s", test_source("tests/golden/bert_tiny/even"));
    f->job.model = model;
    const whet_i_held *h = &f->held;
    test_ok(ctx, whet_i_held_fit(ctx, &f->run, 0, &f->held));
    whet_i_pace pace = {.until = (double)INFINITY};
    test_ok(ctx, whet_i_held_try(ctx, &f->run, 0, 0, &pace, &f->held));
    const int64_t heads = whet_i_lesson_heads(&whet_i_lessons[0]);
    assert_int_equal(f->run.tuning.tried[0].n_heads, heads);
    for (int64_t head = -1; head < heads; head++)
        for (int64_t i = 0; i < h->b; i++) {
            const double *from = head < 0 ? h->without : whet_i_held_with(h, 0, head);
            const bool counts = h->fold[i] == 0 && i != but;
            *said++ = counts ? from[2 * i] : 0;
        }
}

static void flip(job_of_folds *f, int32_t fold) {
    for (int64_t i = 0; i < f->held.b; i++)
        if (f->held.fold[i] == fold) {
            f->held.y[i] = 1 - f->held.y[i];
            f->labels[f->held.rows[i]] = f->held.y[i];
        }
}

/* Neither the candidate nor a tuned head knows a label that is held out; labels of another fold matter
 * to all of them. Nor is a row that is held out one of the pool: what it says is new to the others. */
static void what_is_held_out_has_no_say(void **state) {
    (void)state;
    enum { SAID = (WHET_I_MOST_HEADS + 1) * KNOWN };
    whet_ctx *ctx = test_ctx(2);
    job_of_folds f;
    double before[SAID] = {0}, after[SAID] = {0};
    make_folds(ctx, &f);
    ask(ctx, &f, -1, before);
    flip(&f, 0);
    ask(ctx, &f, -1, after);
    assert_memory_equal(before, after, sizeof before);
    flip(&f, 1);
    ask(ctx, &f, -1, after);
    for (int64_t head = 0; head <= whet_i_lesson_heads(&whet_i_lessons[0]); head++) {
        double moved = 0;
        for (int64_t i = 0; i < KNOWN; i++)
            moved = fmax(moved, fabs(before[head * KNOWN + i] - after[head * KNOWN + i]));
        if (!(moved > 1e-6)) fail_msg("head %d says the same", (int)head - 1);
    }
    flip(&f, 1);
    int64_t one = 0;
    while (f.held.fold[one] != 0) one++;
    ask(ctx, &f, one, before);
    f.texts[f.held.rows[one]] = whet_str_from("number you is video channel the good");
    ask(ctx, &f, one, after);
    assert_memory_equal(before, after, sizeof before);
    whet_i_held_free(ctx, &f.held);
    whet_adapt_fit_destroy(ctx, f.run.fit);
    whet_encoder_destroy(ctx, f.run.encoder);
    whet_names_destroy(ctx, f.run.classes);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_are_what_they_are_called),
        cmocka_unit_test(the_pool_matters_to_graphs_alone),
        cmocka_unit_test(heads_are_saved),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(a_head_is_chosen_without_what_judges_it),
        cmocka_unit_test(a_candidate_alone_says_the_same),
        cmocka_unit_test(what_is_held_out_has_no_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
