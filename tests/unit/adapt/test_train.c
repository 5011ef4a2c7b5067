/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/adapt_i.h"

enum { D = 8 };

typedef struct set {
    int64_t n, k;
    float *x, *names;
    int32_t *truth, *labels;
    whet_names *classes;
    whet_adapt_input input;
} set;

/* Rows around k directions; `labelled` of them labelled, at least one of each class when it can. */
static set make_set(whet_ctx *ctx, int64_t n, int64_t k, int64_t labelled, double noise) {
    set s = {.n = n, .k = k};
    whet_i_rng rng;
    whet_i_rng_init(&rng, 9, 0);
    test_ok(ctx, whet_i_alloc(ctx, n * D, &s.x));
    test_ok(ctx, whet_i_calloc(ctx, k * D, &s.names));
    test_ok(ctx, whet_i_alloc(ctx, n, &s.truth));
    test_ok(ctx, whet_i_alloc(ctx, n, &s.labels));
    test_ok(ctx, whet_names_create(ctx, &s.classes));
    for (int64_t c = 0; c < k; c++) {
        char name[16];
        (void)snprintf(name, sizeof name, "class %d", (int)c);
        test_ok(ctx, whet_names_add(ctx, s.classes, whet_str_from(name), NULL));
        s.names[c * D + c % D] = 1;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t c = i % k;
        double row[D], square = 0;
        for (int64_t j = 0; j < D; j++) {
            row[j] = (j == c % D ? 1 : 0) + noise * whet_i_rng_normal(&rng);
            square += row[j] * row[j];
        }
        for (int64_t j = 0; j < D; j++) s.x[i * D + j] = (float)(row[j] / sqrt(square));
        s.truth[i] = (int32_t)c;
        s.labels[i] = i < labelled ? (int32_t)c : -1;
    }
    s.input = (whet_adapt_input){s.x, n, D, s.labels, s.classes, s.names};
    return s;
}

static void set_free(whet_ctx *ctx, set *s) {
    whet_i_free(ctx, s->x);
    whet_i_free(ctx, s->names);
    whet_i_free(ctx, s->truth);
    whet_i_free(ctx, s->labels);
    whet_names_destroy(ctx, s->classes);
}

static double accuracy_of(whet_ctx *ctx, const whet_adapt_fit *fit, int64_t at, const set *s) {
    double *probs;
    whet_metrics m;
    test_ok(ctx, whet_i_alloc(ctx, s->n * s->k, &probs));
    test_ok(ctx, whet_adapt_fit_predict(ctx, fit, at, s->x, s->n, probs));
    for (int64_t i = 0; i < s->n; i++) {
        double sum = 0;
        for (int64_t c = 0; c < s->k; c++) sum += probs[i * s->k + c];
        assert_true(fabs(sum - 1) < 1e-12);
    }
    test_ok(ctx, whet_metrics_compute(ctx, probs, s->n, s->k, s->truth, NULL, &m));
    whet_i_free(ctx, probs);
    return m.accuracy;
}

static void every_candidate_learns_an_easy_problem(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    set s = make_set(ctx, 300, 3, 30, .2);
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    whet_adapt_fit *fit;
    opts.method = "auto"; /* those of weak supervision, too */
    opts.repeats = 1;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    for (int64_t i = 0; i < whet_adapt_fit_candidates(fit); i++) {
        const whet_candidate_info *info = whet_adapt_fit_info(fit, i);
        if (strcmp(info->name, "encoder") == 0) { /* no features that are given make it */
            assert_false(info->available);
            continue;
        }
        assert_true(info->available);
        if (accuracy_of(ctx, fit, i, &s) < .97) fail_msg("%s", info->name);
        assert_true(info->accuracy > .9 && info->accuracy_low < info->accuracy);
        assert_true(info->log_loss > 0 && info->log_loss < .3);
    }
    assert_null(whet_adapt_fit_info(fit, 99));
    assert_true(strlen(whet_adapt_fit_reason(fit)) > 20);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* A stripe and what is on both sides of it: no line parts them. */
static void boundaries_that_bend_are_learnt(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    set s = make_set(ctx, 600, 2, 120, .2);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    for (int64_t i = 0; i < s.n; i++) {
        for (int64_t j = 0; j < D; j++) /* the other columns say nothing */
            s.x[i * D + j] = (float)((j < 2 ? 1 : .05) * (2 * whet_i_rng_uniform(&rng) - 1));
        s.truth[i] = fabsf(s.x[i * D]) > .5f ? 1 : 0;
        if (s.labels[i] >= 0) s.labels[i] = s.truth[i];
    }
    s.input.class_vectors = NULL;
    whet_adapt_fit *fit;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    for (int64_t i = 0; i < whet_adapt_fit_candidates(fit); i++) {
        const char *name = whet_adapt_fit_info(fit, i)->name;
        if (strcmp(name, "logistic") == 0) assert_true(accuracy_of(ctx, fit, i, &s) < .75);
        if (strcmp(name, "kernel") == 0) assert_true(accuracy_of(ctx, fit, i, &s) > .9);
        if (strcmp(name, "forest") == 0) assert_true(accuracy_of(ctx, fit, i, &s) > .85);
    }
    assert_true(accuracy_of(ctx, fit, whet_adapt_fit_chosen(fit), &s) > .88);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

static void names_find_classes_without_labels(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 400, 8, 60, .15);
    for (int64_t i = 0; i < s.n; i++)
        if (s.labels[i] >= 5) s.labels[i] = -1; /* three classes unseen */
    whet_adapt_fit *fit;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    assert_true(accuracy_of(ctx, fit, whet_adapt_fit_chosen(fit), &s) > .95);
    whet_adapt_fit_destroy(ctx, fit);
    s.input.class_vectors = NULL;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    assert_true(accuracy_of(ctx, fit, whet_adapt_fit_chosen(fit), &s) < .7);
    int64_t missing = 0;
    for (int64_t i = 0; i < whet_adapt_fit_candidates(fit); i++) {
        const whet_candidate_info *info = whet_adapt_fit_info(fit, i);
        if (info->available || strstr(info->note, "being slow")) continue;
        missing++;
        assert_string_equal(info->name, "zero-shot");
        assert_true(strlen(info->note) > 0);
        double probs[8];
        test_fails(ctx, whet_adapt_fit_predict(ctx, fit, i, s.x, 1, probs), WHET_ERR_ARG);
    }
    assert_int_equal(missing, 1);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

static uint64_t bits_at(int32_t threads, bool unit, const char *method) {
    whet_ctx *ctx = test_ctx(threads);
    set s = make_set(ctx, method ? 80 : 700, 4, 40, .5);
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.method = method;
    opts.repeats = method ? 1 : 5;
    for (int64_t i = 0; !unit && i < s.n * D; i++) s.x[i] *= 3;
    whet_adapt_fit *fit;
    double *probs;
    s.input.class_vectors = unit ? s.names : NULL;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    const int64_t cells = whet_adapt_fit_candidates(fit) * s.n * s.k;
    test_ok(ctx, whet_i_alloc(ctx, cells, &probs));
    test_ok(ctx, whet_adapt_fit_predict_all(ctx, fit, s.x, s.n, probs));
    const uint64_t hash = whet_i_hash_bytes(probs, cells * (int64_t)sizeof *probs);
    whet_i_free(ctx, probs);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
    return hash;
}

static void threads_do_not_change_a_bit(void **state) {
    (void)state;
    for (int unit = 0; unit < 2; unit++) {
        const uint64_t one = bits_at(1, unit, NULL);
        assert_true(bits_at(2, unit, NULL) == one);
        assert_true(bits_at(5, unit, NULL) == one);
    }
    assert_true(bits_at(1, true, "auto") == bits_at(3, true, "auto"));
}

static void a_reloaded_classifier_predicts_the_same_bits(void **state) {
    (void)state;
    static const char *const methods[] = {
        NULL,       "blend",  "logistic",  "graph", "spread", "prototypes-smoothed",
        "kernel",   "forest", "zero-shot", "snuba", "iws",    "goggles",
        "propagate"};
    whet_ctx *ctx = test_ctx(2);
    for (int64_t m = 0; m < WHET_COUNT_OF(methods); m++) {
        set s = make_set(ctx, 200, 4, 20, .4);
        const bool prepared = m == 3 || m == 7; /* graph, forest */
        for (int64_t i = 0; prepared && i < s.n * D; i++) s.x[i] *= 2;
        if (prepared) s.input.class_vectors = NULL;
        whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
        opts.method = methods[m];
        opts.repeats = m > 8 ? 1 : 5;
        whet_adapt_fit *fit;
        whet_classifier *loaded;
        double a[200 * 4], b[200 * 4];
        char dir[32];
        (void)snprintf(dir, sizeof dir, "classifier%d", (int)m);
        assert_int_equal(mkdir(test_tmp(dir), 0700), 0);
        test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
        const int64_t chosen = whet_adapt_fit_chosen(fit);
        if (methods[m]) assert_string_equal(whet_adapt_fit_info(fit, chosen)->name, methods[m]);
        const whet_str words[] = {{"two words", 9}, {"", 0}, {"\xc3\xa9\"\\", 4}, {"d", 1}};
        const whet_classifier_meta meta = {.encoder_path = "some/where",
                                           .encoder_fingerprint = "0123456789abcdef",
                                           .dtype = "f32",
                                           .max_length = 77,
                                           .text_column = "text",
                                           .class_texts = m % 2 ? words : NULL};
        test_ok(ctx, whet_adapt_fit_save(ctx, fit, test_tmp(dir), &meta));
        test_ok(ctx, whet_classifier_load(ctx, test_tmp(dir), &loaded));
        test_ok(ctx, whet_adapt_fit_predict(ctx, fit, chosen, s.x, s.n, a));
        test_ok(ctx, whet_classifier_predict(ctx, loaded, s.x, s.n, b));
        assert_memory_equal(a, b, sizeof a);
        assert_int_equal(whet_classifier_dim(loaded), D);
        assert_int_equal(whet_names_count(whet_classifier_classes(loaded)), 4);
        assert_string_equal(whet_classifier_candidate(loaded),
                            whet_adapt_fit_info(fit, chosen)->name);
        assert_string_equal(whet_classifier_settings(loaded),
                            whet_adapt_fit_info(fit, chosen)->settings);
        const whet_classifier_meta *back = whet_classifier_source(loaded);
        assert_string_equal(back->encoder_path, "some/where");
        assert_string_equal(back->encoder_fingerprint, "0123456789abcdef");
        assert_string_equal(back->text_column, "text");
        assert_null(back->pooling);
        assert_true((m % 2 == 1) == (back->class_texts != NULL));
        for (int c = 0; c < 4 && m % 2; c++)
            assert_true(whet_str_equal(back->class_texts[c], words[c]));
        assert_int_equal(back->max_length, 77);
        s.x[5 * D] = NAN;
        test_fails(ctx, whet_classifier_predict(ctx, loaded, s.x, s.n, b), WHET_ERR_DATA);
        test_says(ctx, "row 5");
        whet_classifier_destroy(ctx, loaded);
        whet_adapt_fit_destroy(ctx, fit);
        set_free(ctx, &s);
    }
    test_ctx_done(ctx);
}

/* A map to features is known by its fingerprint, and stands alone. */
static void a_map_to_features_is_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 30, 2, 10, .3);
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    whet_classifier_meta meta = {.feature_map = "0123456789abcdef"};
    whet_adapt_fit *fit;
    whet_classifier *loaded;
    char dir[256];
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("mapped"));
    assert_int_equal(mkdir(dir, 0700), 0);
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    test_ok(ctx, whet_adapt_fit_save(ctx, fit, dir, &meta));
    test_ok(ctx, whet_classifier_load(ctx, dir, &loaded));
    assert_string_equal(whet_classifier_source(loaded)->feature_map, meta.feature_map);
    whet_classifier_destroy(ctx, loaded);
    meta.encoder_path = "some/where";
    meta.encoder_fingerprint = "0123";
    test_fails(ctx, whet_adapt_fit_save(ctx, fit, test_tmp("none"), &meta), WHET_ERR_ARG);
    test_says(ctx, "expected one of them");
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

static void unusable_input_is_refused_in_words(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 30, 2, 10, .3);
    whet_adapt_fit *fit = NULL;
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.method = "wizardry";
    test_fails(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit), WHET_ERR_ARG);
    test_says(ctx, "zero-shot");
    opts.method = "zero-shot";
    s.input.class_vectors = NULL;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit), WHET_ERR_DATA);
    test_says(ctx, "class names");
    opts = (whet_adapt_opts)WHET_ADAPT_OPTS_INIT;
    opts.folds = 1;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit), WHET_ERR_ARG);
    s.x[7 * D + 2] = NAN;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit), WHET_ERR_DATA);
    test_says(ctx, "row 7, column 2");
    s.x[7 * D + 2] = 0;
    s.labels[3] = 2;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit), WHET_ERR_ARG);
    test_says(ctx, "row 3");
    for (int64_t i = 0; i < s.n; i++) s.labels[i] = -1;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit), WHET_ERR_DATA);
    test_says(ctx, "has a label");
    s.input.classes = NULL;
    test_fails(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit), WHET_ERR_DATA);
    test_says(ctx, "at least 2");
    assert_null(fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* One label; two; one row; fewer rows than neighbours; all rows alike; one class labelled alone. */
static void odd_sets_are_fitted_all_the_same(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    for (int odd = 0; odd < 7; odd++) {
        const int64_t n = odd == 2 ? 1 : odd == 3 ? 5 : 40;
        set s = make_set(ctx, n, 3, odd == 0 ? 1 : odd == 1 ? 2 : odd == 2 ? 1 : 4, .3);
        for (int64_t i = 0; odd == 4 && i < n * D; i++) s.x[i] = i % D == 0 ? 1 : 0;
        for (int64_t i = 0; odd == 5 && i < n; i++) s.labels[i] = s.labels[i] == 0 ? 0 : -1;
        for (int64_t i = 0; odd == 6 && i < n * D; i++) s.x[i] = 5; /* constant, not unit */
        if (odd == 6) s.input.class_vectors = NULL;
        whet_adapt_fit *fit;
        test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
        for (int64_t i = 0; i < whet_adapt_fit_candidates(fit); i++)
            if (whet_adapt_fit_info(fit, i)->available) (void)accuracy_of(ctx, fit, i, &s);
        whet_adapt_fit_destroy(ctx, fit);
        set_free(ctx, &s);
    }
    test_ctx_done(ctx);
}

/* A label of each class, held out, is guessed right by exclusion: that must not count as skill. */
static void too_few_labels_are_not_compared(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 60, 2, 2, .2);
    whet_adapt_fit *fit;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    const int64_t chosen = whet_adapt_fit_chosen(fit);
    const whet_candidate_info *info = whet_adapt_fit_info(fit, chosen);
    assert_string_equal(info->name, "prototypes");
    assert_true(isnan(info->accuracy) && isnan(info->log_loss));
    for (int64_t i = 0; i < whet_adapt_fit_candidates(fit); i++) {
        info = whet_adapt_fit_info(fit, i);
        assert_true(isnan(info->accuracy) && isnan(info->accuracy_low));
        assert_true(isnan(info->accuracy_high) && isnan(info->log_loss));
    }
    assert_non_null(strstr(whet_adapt_fit_reason(fit), "too few"));
    const int64_t *rows;
    const double *probs;
    assert_int_equal(whet_adapt_fit_held_out(fit, &rows, &probs), 0);
    assert_true(accuracy_of(ctx, fit, chosen, &s) > .9);
    whet_adapt_fit_destroy(ctx, fit);
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.method = "snuba"; /* it may find no rule that it trusts; two labels say little */
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    assert_true(accuracy_of(ctx, fit, whet_adapt_fit_chosen(fit), &s) >= .5);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* Two of 60 labels are another class's: from the other labels they are the least likely of all. */
static void wrong_labels_are_doubted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    set s = make_set(ctx, 300, 3, 60, .2);
    const int64_t wrong[2] = {4, 17}, *rows;
    const double *probs;
    double most = 0, least = 1;
    whet_adapt_fit *fit;
    for (int i = 0; i < 2; i++) s.labels[wrong[i]] = (s.labels[wrong[i]] + 1) % 3;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    assert_int_equal(whet_adapt_fit_held_out(fit, &rows, &probs), 60);
    for (int64_t i = 0; i < 60; i++) {
        const double *p = probs + i * 3, own = p[s.labels[i]];
        assert_int_equal(rows[i], i);
        assert_true(fabs(p[0] + p[1] + p[2] - 1) < 1e-9);
        if (i == wrong[0] || i == wrong[1])
            most = fmax(most, own);
        else
            least = fmin(least, own);
    }
    assert_true(most < .2 && most < least);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* The same features a thousand times as large, shifted: the preparation takes it out. */
static void units_of_features_do_not_matter(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 200, 3, 30, .3);
    s.input.class_vectors = NULL;
    for (int64_t i = 0; i < s.n; i++)
        for (int64_t j = 0; j < D; j++)
            s.x[i * D + j] = (float)(1000 * (j + 1)) * s.x[i * D + j] + (float)j;
    whet_adapt_fit *fit;
    test_ok(ctx, whet_adapt_train(ctx, &s.input, NULL, &fit));
    assert_true(accuracy_of(ctx, fit, whet_adapt_fit_chosen(fit), &s) > .9);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* Reads a file whole, or writes it. */
static int64_t read_bytes(const char *path, char *bytes, int64_t room) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    const int64_t n = (int64_t)fread(bytes, 1, (size_t)room, f);
    assert_int_equal(fclose(f), 0);
    assert_true(n < room);
    return n;
}

static void write_bytes(const char *path, const char *bytes, int64_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, (size_t)n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A saved forest of which any byte is another: refused in words, or walked without leaving it. */
static void a_damaged_forest_is_not_left(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 40, 2, 12, .3);
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    opts.method = "forest";
    opts.repeats = 1;
    whet_adapt_fit *fit;
    char dir[256], path[300];
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("forest"));
    (void)snprintf(path, sizeof path, "%s/classifier.safetensors", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    test_ok(ctx, whet_adapt_fit_save(ctx, fit, dir, NULL));
    static char bytes[1 << 20];
    const int64_t size = read_bytes(path, bytes, sizeof bytes);
    int64_t refused = 0, walked = 0;
    for (int64_t at = 0; at < size; at += 61) {
        whet_classifier *loaded;
        double probs[40 * 2];
        bytes[at] ^= (char)(at % 2 ? 0x80 : 0x05);
        write_bytes(path, bytes, size);
        bytes[at] ^= (char)(at % 2 ? 0x80 : 0x05);
        if (whet_classifier_load(ctx, dir, &loaded) != WHET_OK) {
            refused++;
            continue;
        }
        test_ok(ctx, whet_classifier_predict(ctx, loaded, s.x, s.n, probs));
        walked++;
        whet_classifier_destroy(ctx, loaded);
    }
    assert_true(refused > 50 && walked > 50);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

/* Bytes changed and files cut: refused with a sentence, or read as another valid classifier. */
static void damaged_classifiers_are_refused_or_harmless(void **state) {
    (void)state;
    static char original[1 << 20], damaged[1 << 20];
    static const char *const files[] = {"classifier.json", "classifier.safetensors"};
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 40, 3, 20, .4);
    whet_adapt_fit *fit;
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    double probs[40 * 200];
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    opts.method = "blend";
    assert_int_equal(mkdir(test_tmp("damaged"), 0700), 0);
    test_ok(ctx, whet_adapt_train(ctx, &s.input, &opts, &fit));
    test_ok(ctx, whet_adapt_fit_save(ctx, fit, test_tmp("damaged"), NULL));
    int64_t refused = 0;
    for (int f = 0; f < 2; f++) {
        char path[700];
        (void)snprintf(path, sizeof path, "%s/%s", test_tmp("damaged"), files[f]);
        const int64_t n = read_bytes(path, original, sizeof original);
        for (int round = 0; round < 300; round++) {
            whet_classifier *c = NULL;
            memcpy(damaged, original, (size_t)n);
            const int64_t header = n < 3000 ? n : 3000;
            for (int64_t flips = whet_i_rng_below(&rng, 4); flips >= 0; flips--)
                damaged[whet_i_rng_below(&rng, round % 2 ? header : n)] =
                    (char)whet_i_rng_below(&rng, 256);
            write_bytes(path, damaged, round % 10 == 0 ? whet_i_rng_below(&rng, n) : n);
            const whet_status status = whet_classifier_load(ctx, test_tmp("damaged"), &c);
            assert_true(status != WHET_ERR_INTERNAL && status != WHET_ERR_NOMEM);
            if (status != WHET_OK) {
                refused++;
                assert_true(strlen(whet_error(ctx)) > 10);
                assert_null(c);
                continue;
            }
            if (whet_classifier_dim(c) == D && whet_names_count(whet_classifier_classes(c)) == 3)
                test_ok(ctx, whet_classifier_predict(ctx, c, s.x, s.n, probs));
            whet_classifier_destroy(ctx, c);
        }
        write_bytes(path, original, n);
    }
    assert_true(refused > 200);
    whet_adapt_fit_destroy(ctx, fit);
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

typedef struct small_job {
    const set *s;
    const char *method;
} small_job;

static whet_status train_save_load(whet_ctx *ctx, void *arg) {
    const small_job *job = arg;
    const set *s = job->s;
    whet_status status = WHET_OK;
    whet_adapt_fit *fit = NULL;
    whet_classifier *loaded = NULL;
    whet_adapt_opts opts = WHET_ADAPT_OPTS_INIT;
    double probs[12 * 2];
    opts.repeats = 1;
    opts.folds = 2;
    opts.method = job->method;
    const char *dir = test_tmp("each");
    (void)mkdir(dir, 0700);
    char path[2][600];
    (void)snprintf(path[0], sizeof path[0], "%s/classifier.json", dir);
    (void)snprintf(path[1], sizeof path[1], "%s/classifier.safetensors", dir);
    (void)remove(path[0]);
    (void)remove(path[1]);
    WHET_TRY_DONE(whet_adapt_train(ctx, &s->input, &opts, &fit));
    WHET_TRY_DONE(whet_adapt_fit_save(ctx, fit, dir, NULL));
    WHET_TRY_DONE(whet_classifier_load(ctx, dir, &loaded));
    WHET_TRY_DONE(whet_classifier_predict(ctx, loaded, s->x, s->n, probs));
done:
    whet_adapt_fit_destroy(ctx, fit);
    whet_classifier_destroy(ctx, loaded);
    return status;
}

static void survives_failing_allocations(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    set s = make_set(ctx, 12, 2, 6, .3);
    static const char *const methods[] = {"blend", "goggles"};
    for (int i = 0; i < 2; i++) {
        small_job job = {&s, methods[i]};
        assert_true(test_each_allocation(train_save_load, &job) > 100);
    }
    set_free(ctx, &s);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_candidate_learns_an_easy_problem),
        cmocka_unit_test(boundaries_that_bend_are_learnt),
        cmocka_unit_test(a_damaged_forest_is_not_left),
        cmocka_unit_test(names_find_classes_without_labels),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(a_reloaded_classifier_predicts_the_same_bits),
        cmocka_unit_test(unusable_input_is_refused_in_words),
        cmocka_unit_test(odd_sets_are_fitted_all_the_same),
        cmocka_unit_test(too_few_labels_are_not_compared),
        cmocka_unit_test(wrong_labels_are_doubted),
        cmocka_unit_test(a_map_to_features_is_told),
        cmocka_unit_test(units_of_features_do_not_matter),
        cmocka_unit_test(damaged_classifiers_are_refused_or_harmless),
        cmocka_unit_test(survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
