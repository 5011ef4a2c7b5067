/* SPDX-License-Identifier: Apache-2.0
 * Groups without labels: by hand, against scikit-learn's mixture, and by what must hold. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "label/mixtures.h"
#include "whet/io.h"

enum { N = 240, D = 5, K = 3 };

/* Three clouds, well apart; row i belongs to i % K. */
static void make_clouds(double *x, double apart) {
    whet_i_rng rng;
    whet_i_rng_init(&rng, 4, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] = whet_i_rng_normal(&rng) + (j == i % K ? apart : 0);
}

/* ---- passes ----------------------------------------------------------------------------------- */

/* So many rows that a part has several blocks. */
static void scores_and_moments_are_the_sums_they_say(void **state) {
    (void)state;
    enum { MANY = 9000, WIDE = 2 };
    static double x[MANY * WIDE], scores[MANY * K], soft[MANY * K];
    const double linear[K * WIDE] = {.5, -1, .3, .2, -.7, .1}, constant[K] = {.1, -.2, .3};
    const double square[K * WIDE] = {-.1, .1, .05, -.2, -.3, 0};
    double share[K], first[K * WIDE], second[K * WIDE], total, sum = 0;
    whet_i_rng rng;
    whet_ctx *ctx = test_ctx(2);
    whet_i_rng_init(&rng, 8, 0);
    for (int i = 0; i < MANY * WIDE; i++) x[i] = whet_i_rng_normal(&rng);
    const whet_i_mixture_form form = {x, MANY, WIDE, K, linear, square, constant};
    test_ok(ctx, whet_i_mixture_scores(ctx, &form, scores, NULL));
    test_ok(ctx, whet_i_mixture_scores(ctx, &form, soft, &total));
    for (int i = 0; i < MANY; i++) {
        double z = 0;
        for (int c = 0; c < K; c++) {
            double expected = constant[c];
            for (int j = 0; j < WIDE; j++) {
                const double v = x[i * WIDE + j];
                expected += linear[c * WIDE + j] * v + square[c * WIDE + j] * v * v;
            }
            /* Sums of five terms of size one to ten. */
            assert_true(fabs(scores[i * K + c] - expected) < 1e-13);
            z += exp(expected);
        }
        for (int c = 0; c < K; c++)
            assert_true(fabs(soft[i * K + c] - exp(scores[i * K + c]) / z) < 1e-13);
        sum += log(z);
    }
    assert_true(fabs(total - sum) < 1e-9);
    test_ok(ctx, whet_i_mixture_moments(ctx, x, MANY, WIDE, K, soft, share, first, second));
    for (int c = 0; c < K; c++)
        for (int j = 0; j < WIDE; j++) {
            double s = 0, a = 0, b = 0;
            for (int i = 0; i < MANY; i++) {
                const double r = soft[i * K + c], v = x[i * WIDE + j];
                s += r;
                a += r * v;
                b += r * v * v;
            }
            assert_true(fabs(share[c] - s) < 1e-8 && fabs(first[c * WIDE + j] - a) < 1e-8 &&
                        fabs(second[c * WIDE + j] - b) < 1e-8);
        }
    test_ctx_done(ctx);
}

/* ---- k-means ---------------------------------------------------------------------------------- */

static void kmeans_finds_clouds(void **state) {
    (void)state;
    static double x[N * D], centers[K * D], spread;
    static int32_t group[N];
    whet_ctx *ctx = test_ctx(2);
    make_clouds(x, 12);
    test_ok(ctx, whet_i_kmeans(ctx, x, N, D, K, 1, centers, group, &spread));
    double expected = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(group[i], group[i % K]);
        for (int j = 0; j < D; j++) {
            const double off = x[i * D + j] - centers[group[i] * D + j];
            expected += off * off;
        }
    }
    assert_true(group[0] != group[1] && group[1] != group[2] && group[0] != group[2]);
    assert_true(fabs(spread - expected) < 1e-8 * expected);
    for (int j = 0; j < D; j++) { /* a centre is its group's mean */
        double mean = 0;
        for (int i = 0; i < N; i += K) mean += x[i * D + j] * K / N;
        assert_true(fabs(centers[group[0] * D + j] - mean) < 1e-12);
    }
    test_fails(ctx, whet_i_kmeans(ctx, x, 2, D, 3, 1, centers, group, &spread), WHET_ERR_DATA);
    test_ctx_done(ctx);
}

static void kmeans_of_equal_rows(void **state) {
    (void)state;
    double x[8] = {1, 2, 1, 2, 1, 2, 1, 2}, centers[6], spread;
    int32_t group[4];
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, whet_i_kmeans(ctx, x, 4, 2, 3, 0, centers, group, &spread));
    assert_true(spread == 0);
    for (int i = 0; i < 4; i++) assert_int_equal(group[i], 0);
    test_ok(ctx, whet_i_kmeans(ctx, x, 1, 2, 1, 0, centers, group, &spread));
    assert_true(centers[0] == 1 && centers[1] == 2);
    test_ctx_done(ctx);
}

/* ---- Gaussians -------------------------------------------------------------------------------- */

static void read_array(whet_ctx *ctx, const char *file, const char *key, int32_t rank,
                       whet_tensor *out) {
    char spec[1200];
    (void)snprintf(spec, sizeof spec, "%s:%s", test_shared(file), key);
    test_ok(ctx, whet_array_read_as(ctx, spec, WHET_F64, rank, true, out));
}

static void check_mixture(whet_ctx *ctx, const char *file) {
    whet_tensor a, resp, mean, variance, weight;
    double log_likelihood;
    read_array(ctx, file, "gog_A", 2, &a);
    read_array(ctx, file, "gog_resp", 2, &resp);
    read_array(ctx, file, "gog_means", 2, &mean);
    read_array(ctx, file, "gog_covs", 2, &variance);
    read_array(ctx, file, "gog_w", 1, &weight);
    const int64_t n = a.shape[0], d = a.shape[1], k = weight.shape[0];
    double *r = malloc(sizeof *r * (size_t)(n * k)), *own = malloc(sizeof *own * (size_t)(k * d));
    assert_true(r && own);
    whet_i_gaussians g = {k, d, weight.data, mean.data, variance.data};
    test_ok(ctx, whet_i_gaussians_posterior(ctx, &g, a.data, n, r, &log_likelihood));
    const double *expected = resp.data;
    /* Exponents are in the hundreds, with 1e-16 of error each times 100 terms. */
    for (int64_t i = 0; i < n * k; i++) assert_true(fabs(r[i] - expected[i]) < 1e-9);
    memcpy(own, mean.data, sizeof *own * (size_t)(k * d));
    test_ok(ctx, whet_i_gaussians_maximise(ctx, a.data, n, expected, &g));
    /* Its last step gained less than 1e-4 of log-likelihood a row. */
    for (int64_t i = 0; i < k * d; i++) assert_true(fabs(own[i] - ((double *)mean.data)[i]) < 1e-3);
    free(r);
    free(own);
    whet_tensor *all[] = {&a, &resp, &mean, &variance, &weight};
    for (int i = 0; i < 5; i++) whet_tensor_destroy(ctx, all[i]);
}

/* scikit-learn's mixture of ten over the cosines of 100 digits: its posteriors are those of its
 * parameters, and its parameters maximise the likelihood given (nearly) these posteriors. */
static void posteriors_are_scikit_learn_s(void **state) {
    (void)state;
    char **file;
    const int64_t files = test_shared_files("golden/autows", "semi_", ".npz", &file);
    whet_ctx *ctx = test_ctx(2);
    for (int64_t i = 0; i < files; i++) check_mixture(ctx, file[i]);
    test_free_files(file, files);
    test_ctx_done(ctx);
    test_need_some(files, "mixtures");
}

/* Likelihood never falls; components are the clouds'. */
static void gaussians_climb_to_the_clouds(void **state) {
    (void)state;
    static double x[N * D], r[N * K], again[N * K];
    double last = -1e300, now;
    whet_ctx *ctx = test_ctx(2);
    whet_i_gaussians g;
    make_clouds(x, 6);
    test_ok(ctx, whet_i_gaussians_fit(ctx, x, N, D, K, 2, &g, r));
    const int64_t of[K] = {whet_i_argmax(r, K), whet_i_argmax(r + K, K),
                           whet_i_argmax(r + 2 * K, K)};
    int hits = 0;
    for (int i = 0; i < N; i++) hits += whet_i_argmax(r + i * K, K) == of[i % K];
    assert_true(hits >= N - 2); /* six deviations apart: one in a thousand on the wrong side */
    for (int c = 0; c < K; c++) {
        assert_true(fabs(g.weight[of[c]] - 1. / K) < .02);
        for (int j = 0; j < D; j++) {
            /* Means of 80 numbers of deviation 1. */
            assert_true(fabs(g.mean[of[c] * D + j] - (j == c ? 6 : 0)) < .5);
            assert_true(fabs(g.variance[of[c] * D + j] - 1) < .7);
        }
    }
    make_clouds(x, 1.5); /* overlapping: many steps */
    for (int i = 0; i < N * K; i++) r[i] = i % K == i / K % K ? .6 : .2;
    for (int step = 0; step < 40; step++) {
        test_ok(ctx, whet_i_gaussians_maximise(ctx, x, N, r, &g));
        test_ok(ctx, whet_i_gaussians_posterior(ctx, &g, x, N, again, &now));
        /* What is added to each variance is outside of the likelihood. */
        assert_true(now >= last - 1e-6);
        last = now;
        memcpy(r, again, sizeof r);
    }
    whet_i_gaussians_free(ctx, &g);
    test_ctx_done(ctx);
}

/* ---- classes ---------------------------------------------------------------------------------- */

static void components_take_the_classes_they_agree_with(void **state) {
    (void)state;
    double r[4 * 3] = {.1, .2, .7, .6, .3, .1, .2, .7, .1, .3, .3, .4};
    const double mapped[4 * 3] = {.7, .1, .2, .1, .6, .3, .1, .2, .7, .4, .3, .3};
    const int32_t y[4] = {0, 1, 2, -1};
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, whet_i_map_to_classes(ctx, 4, 3, y, r));
    for (int i = 0; i < 12; i++) assert_true(r[i] == mapped[i]);
    test_ctx_done(ctx);
}

/* Labelled rows give 1.5, .4, .1 (class 0), .2, .8, 0 (1) and .3, 0, .7 (2) to the components: 3 on the
 * diagonal. Of mappings in which class 0 is elsewhere the best exchanges it with 1, .4 + .2 + .7;
 * classes 1 and 2 lose least when they are exchanged, 1.5 + 0 + 0. */
static void mappings_are_measured(void **state) {
    (void)state;
    static const double probs[5 * 3] = {.9, .1, 0, .6, .3, .1, .2, .8, 0, .3, 0, .7, .1, .7, .2};
    static const int32_t labels[5] = {0, 0, 1, 2, -1}, none[5] = {-1, -1, -1, -1, -1};
    static const int32_t bad[5] = {0, 0, 1, 3, -1};
    whet_ctx *ctx = test_ctx(1);
    whet_class_mapping m[3];
    test_ok(ctx, whet_class_mapping_measure(ctx, probs, 5, 3, labels, m));
    assert_true(m[0].labels == 2 && m[0].matched == 2 && m[0].rows == 2);
    assert_true(m[1].labels == 1 && m[1].matched == 1 && m[1].rows == 2);
    assert_true(m[2].labels == 1 && m[2].matched == 1 && m[2].rows == 1);
    assert_true(fabs(m[0].margin - 1.7) < 1e-12);
    assert_true(fabs(m[1].margin - 1.5) < 1e-12);
    assert_true(fabs(m[2].margin - 1.5) < 1e-12);
    test_ok(ctx, whet_class_mapping_measure(ctx, probs, 5, 3, none, m));
    assert_true(m[0].labels == 0 && m[0].margin == 0 && m[0].rows == 2);
    test_fails(ctx, whet_class_mapping_measure(ctx, probs, 5, 3, bad, m), WHET_ERR_ARG);
    test_fails(ctx, whet_class_mapping_measure(ctx, probs, 5, 1, none, m), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

static whet_status measure_once(whet_ctx *ctx, void *arg) {
    static const double probs[4] = {.9, .1, .2, .8};
    static const int32_t labels[2] = {0, 1};
    return whet_class_mapping_measure(ctx, probs, 2, 2, labels, arg);
}

static void measuring_may_lack_memory(void **state) {
    (void)state;
    whet_class_mapping m[2];
    assert_true(test_each_allocation(measure_once, m) > 3);
}

/* Two views of six rows that agree but in one row, and nearly in another: the rows' groups, named by one
 * label each. What is returned reproduces itself: posteriors of the shares made of them. */
static void bernoulli_variables_by_hand(void **state) {
    (void)state;
    const double x[6 * 4] = {1, 0, 0, 1, .9, .1, 0,  1,  0,  1,  1, 0,
                             0, 1, 1, 0, 1,  0,  .2, .8, .6, .4, 1, 0};
    const int32_t y[6] = {1, -1, 0, -1, -1, -1}, truth[6] = {1, 1, 0, 0, 1, 0};
    double r[6 * 2];
    whet_ctx *ctx = test_ctx(1);
    test_ok(ctx, whet_i_bernoulli_fit(ctx, x, 6, 4, 2, y, 3, r));
    for (int i = 0; i < 6; i++) {
        assert_true(r[i * 2 + truth[i]] > .99);
        double score[2];
        for (int c = 0; c < 2; c++) {
            double share = 0;
            for (int u = 0; u < 6; u++) share += r[u * 2 + c];
            score[c] = log(share / 6);
            for (int j = 0; j < 4; j++) {
                double mean = 0;
                for (int u = 0; u < 6; u++) mean += r[u * 2 + c] * x[u * 4 + j] / share;
                score[c] +=
                    x[i * 4 + j] * log(mean + 1e-5) + (1 - x[i * 4 + j]) * log(1 - mean + 1e-5);
            }
        }
        /* The last steps moved r by 1e-6 at most, and the map contracts. */
        assert_true(fabs(r[i * 2] - 1 / (1 + exp(score[1] - score[0]))) < 1e-5);
    }
    test_ctx_done(ctx);
}

typedef struct cloud_job {
    float x[N * D];
    int32_t y[N];
    double probs[N * K];
    int64_t n; /* of the N rows */
    whet_baseline method;
} cloud_job;

static whet_status run_cloud(whet_ctx *ctx, void *arg) {
    cloud_job *job = arg;
    const whet_baseline_input in = {
        .features = job->x, .n = job->n, .d = D, .k = K, .labels = job->y, .seed = 1};
    return whet_baseline_run(ctx, job->method, &in, job->probs);
}

static void make_job(cloud_job *job, whet_baseline method) {
    static double x[N * D];
    make_clouds(x, 9);
    job->method = method;
    job->n = N;
    for (int i = 0; i < N * D; i++) job->x[i] = (float)x[i];
    for (int i = 0; i < N; i++) job->y[i] = i < 12 ? i % K : -1;
}

static void groups_become_classes(void **state) {
    (void)state;
    static cloud_job job, other;
    static const whet_baseline methods[] = {WHET_BASELINE_CLUSTER, WHET_BASELINE_GOGGLES,
                                            WHET_BASELINE_PROTOTYPES};
    for (int m = 0; m < 3; m++) {
        make_job(&job, methods[m]);
        make_job(&other, methods[m]);
        for (int threads = 1; threads <= 5; threads += 2) {
            whet_ctx *ctx = test_ctx(threads);
            test_ok(ctx, run_cloud(ctx, threads == 1 ? &job : &other));
            if (threads > 1) assert_memory_equal(job.probs, other.probs, sizeof job.probs);
            test_ctx_done(ctx);
        }
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int c = 0; c < K; c++) sum += job.probs[i * K + c];
            assert_true(fabs(sum - 1) < 1e-12);
            assert_int_equal(whet_i_argmax(job.probs + i * K, K), i % K);
        }
        /* Other numbers for the classes: the same answer in them. */
        for (int i = 0; i < 12; i++) other.y[i] = (i % K + 1) % K;
        whet_ctx *ctx = test_ctx(2);
        test_ok(ctx, run_cloud(ctx, &other));
        for (int i = 0; i < N; i++)
            assert_int_equal(whet_i_argmax(other.probs + i * K, K), (i % K + 1) % K);
        test_ctx_done(ctx);
    }
}

/* The same answer by the rules' interface; each affinity's column says the cloud. */
static whet_status run_votes(whet_ctx *ctx, void *arg) {
    cloud_job *job = arg;
    static const char *const list[K] = {"a", "b", "c"};
    static int32_t votes[N * WHET_GOGGLES_VOTES];
    whet_synth_report report;
    whet_names *classes = NULL;
    whet_status status = whet_names_create(ctx, &classes);
    for (int c = 0; c < K && status == WHET_OK; c++)
        status = whet_names_add(ctx, classes, whet_str_from(list[c]), NULL);
    const whet_synth_input in = {job->x, job->n, D, classes, job->y, 1};
    if (status == WHET_OK) status = whet_goggles(ctx, &in, votes, job->probs, &report);
    whet_names_destroy(ctx, classes);
    if (status != WHET_OK) return status;
    assert_int_equal(report.labelled, 12);
    int right[WHET_GOGGLES_VOTES] = {0};
    for (int i = 0; i < job->n; i++) {
        assert_int_equal(whet_i_argmax(job->probs + i * K, K), i % K);
        for (int j = 0; j < WHET_GOGGLES_VOTES; j++)
            right[j] += votes[i * WHET_GOGGLES_VOTES + j] == i % K;
    }
    /* Whitening makes as much of the directions that tell nothing. */
    for (int j = 0; j < WHET_GOGGLES_VOTES; j++) assert_true(job->n < N || right[j] >= .9 * N);
    return WHET_OK;
}

static void affinities_vote(void **state) {
    (void)state;
    static cloud_job job;
    make_job(&job, WHET_BASELINE_GOGGLES);
    whet_ctx *ctx = test_ctx(2);
    test_ok(ctx, run_votes(ctx, &job));
    job.n = 30;
    assert_true(test_each_allocation(run_votes, &job) > 10);
    for (int i = 0; i < N; i++) job.y[i] = -1;
    test_fails(ctx, run_votes(ctx, &job), WHET_ERR_DATA);
    test_says(ctx, "none of 30 rows has a label");
    test_ctx_done(ctx);
}

static void allocations_may_fail(void **state) {
    (void)state;
    static cloud_job job;
    for (int m = WHET_BASELINE_PROTOTYPES; m <= WHET_BASELINE_GOGGLES; m++) {
        make_job(&job, (whet_baseline)m);
        job.n = 30;
        assert_true(test_each_allocation(run_cloud, &job) > 10);
    }
}

static void fewer_rows_than_classes(void **state) {
    (void)state;
    const float x[2] = {1, -1};
    const int32_t y[2] = {0, -1};
    double probs[6] = {7, 7, 7, 7, 7, 7};
    whet_ctx *ctx = test_ctx(1);
    const whet_baseline_input in = {.features = x, .n = 2, .d = 1, .k = 3, .labels = y, .seed = 1};
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_GOGGLES, &in, probs), WHET_ERR_DATA);
    test_says(ctx, "2 rows for 3 classes");
    test_fails(ctx, whet_baseline_run(ctx, WHET_BASELINE_CLUSTER, &in, probs), WHET_ERR_DATA);
    assert_true(probs[0] == 7);
    test_ok(ctx, whet_baseline_run(ctx, WHET_BASELINE_PROTOTYPES, &in, probs));
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_and_moments_are_the_sums_they_say),
        cmocka_unit_test(kmeans_finds_clouds),
        cmocka_unit_test(kmeans_of_equal_rows),
        cmocka_unit_test(posteriors_are_scikit_learn_s),
        cmocka_unit_test(gaussians_climb_to_the_clouds),
        cmocka_unit_test(components_take_the_classes_they_agree_with),
        cmocka_unit_test(mappings_are_measured),
        cmocka_unit_test(measuring_may_lack_memory),
        cmocka_unit_test(bernoulli_variables_by_hand),
        cmocka_unit_test(groups_become_classes),
        cmocka_unit_test(affinities_vote),
        cmocka_unit_test(allocations_may_fail),
        cmocka_unit_test(fewer_rows_than_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
