/* SPDX-License-Identifier: Apache-2.0
 * Tensors that go side by side: which do; the same files at any number of threads, held and read again; what
 * the plan promises of memory; of several that fail the first is told, and of warnings each; merges that stop
 * and go on. */
#include "support.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "merge/merge_lanes.h"

/* Of 3 kinds: vectors, small ones, and some of two chunks, of which the largest are found by a sample. */
enum { TENSORS = 96, WIDTH = 100, NONE = -1 };

static int64_t rows_of(int64_t i) { return i % 3 == 0 ? 1 : i % 3 == 1 ? 30 + i : 660 + i; }

/* bad, worse: tensors with a NaN, or NONE. */
static char *write_model(whet_ctx *ctx, const char *name, uint64_t seed, float times,
                         whet_dtype dtype, int64_t bad, int64_t worse) {
    whet_named_tensor items[TENSORS];
    char names[TENSORS][32], *path = test_tmp_kept(name);
    for (int64_t i = 0; i < TENSORS; i++) {
        const int64_t shape[] = {rows_of(i), WIDTH};
        whet_i_rng rng;
        whet_tensor exact;
        whet_i_rng_init(&rng, seed, (uint64_t)i);
        test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 2, shape, &exact));
        float *x = exact.data;
        for (int64_t e = 0; e < rows_of(i) * WIDTH; e++)
            x[e] = times * (float)whet_i_rng_normal(&rng);
        if (i == bad) x[rows_of(i) * WIDTH - 1] = NAN; /* found later than that of a next one */
        if (i == worse) x[0] = NAN;
        (void)snprintf(names[i], sizeof names[i], "layers.%02d.weight", (int)i);
        items[i].name = names[i];
        test_ok(ctx, whet_tensor_convert(ctx, &exact, dtype, &items[i].tensor));
        whet_tensor_destroy(ctx, &exact);
    }
    test_ok(ctx, whet_safetensors_write(ctx, path, true, items, TENSORS, NULL));
    for (int64_t i = 0; i < TENSORS; i++) whet_tensor_destroy(ctx, &items[i].tensor);
    return path;
}

/* Two models and a base. */
typedef struct trio {
    char *path[3], *out;
    const char *models[2];
    whet_merge_job job;
} trio;

static const whet_merge_setting settings[] = {{"weight", -1, 0.7}, {"density", -1, 0.3}};

static void make_trio(whet_ctx *ctx, trio *t, whet_dtype dtype, int64_t bad, int64_t worse) {
    t->path[0] = write_model(ctx, "a.safetensors", 1, 1, dtype, NONE, NONE);
    t->path[1] = write_model(ctx, "b.safetensors", 2, 1, dtype, bad, worse);
    t->path[2] = write_model(ctx, "base.safetensors", 3, 1, dtype, NONE, NONE);
    t->out = test_tmp_kept("out.safetensors");
    t->models[0] = t->path[0];
    t->models[1] = t->path[1];
    t->job = (whet_merge_job)WHET_MERGE_JOB_INIT;
    t->job.method = "ties";
    t->job.models = t->models;
    t->job.n_models = 2;
    t->job.base = t->path[2];
    t->job.settings = settings;
    t->job.n_settings = 2;
    t->job.output = t->out;
}

static void drop_trio(trio *t) {
    for (int i = 0; i < 3; i++) free(t->path[i]);
    (void)unlink(t->out);
    free(t->out);
}

static whet_status run(whet_ctx *ctx, const whet_merge_job *job, int64_t *resumed) {
    whet_merge_plan *plan;
    WHET_TRY(whet_merge_plan_create(ctx, job, &plan));
    const whet_status status = whet_merge_plan_run(ctx, plan, resumed);
    whet_merge_plan_destroy(ctx, plan);
    return status;
}

/* With memory within what the plan tells, but for paths, settings and contexts. */
static void run_within(const trio *t, int32_t threads, int64_t block) {
    whet_ctx *ctx = test_ctx(threads);
    whet_merge_job job = t->job;
    whet_merge_plan *plan;
    whet_merge_totals totals;
    size_t before, peak;
    int64_t beside = 0;
    job.block_bytes = block;
    test_ok(ctx, whet_merge_plan_create(ctx, &job, &plan));
    whet_merge_plan_totals(plan, &totals);
    for (int64_t i = 0; i < plan->n; i++) beside += plan->items[i].beside;
    /* Alone nothing is beside anything; of many threads no tensor is small enough. */
    assert_true(threads == 1 || threads == 8 ? beside == 0 : beside >= TENSORS / 2);
    assert_false(plan->items[TENSORS - 1].beside); /* all take the last */
    whet_ctx_memory(ctx, &before, NULL);
    whet_i_memory_mark(ctx);
    test_ok(ctx, whet_merge_plan_run(ctx, plan, NULL));
    whet_ctx_memory(ctx, NULL, &peak);
    assert_true((double)peak - (double)before <= (double)totals.memory_bytes + 131072);
    whet_merge_plan_destroy(ctx, plan);
    test_ctx_done(ctx);
}

static void threads_change_nothing(void **state) {
    static const char *const methods[] = {"ties", "breadcrumbs", "sce"};
    whet_ctx *ctx = test_ctx(1);
    (void)state;
    for (int dtype = 0; dtype < 2; dtype++) {
        trio t;
        make_trio(ctx, &t, dtype ? WHET_BF16 : WHET_F32, NONE, NONE);
        char *alone = test_tmp_kept("alone.safetensors");
        for (int m = 0; m < WHET_COUNT_OF(methods); m++) {
            t.job.method = methods[m];
            t.job.n_settings = m < 2 ? 2 : 0;
            for (int32_t threads = 1; threads <= 8; threads += threads < 3 ? 1 : 5)
                for (int64_t block = 1; block <= 1 << 24; block <<= 24) {
                    if (threads > 1 && block == 1 && (dtype || m > 0)) continue;
                    if (threads == 8 && (dtype || m > 0)) continue;
                    run_within(&t, threads, block);
                    if (threads == 1 && block == 1)
                        assert_int_equal(rename(t.out, alone), 0);
                    else
                        assert_true(test_files_equal(alone, t.out));
                    (void)unlink(t.out);
                }
            (void)unlink(alone);
        }
        free(alone);
        drop_trio(&t);
    }
    test_ctx_done(ctx);
}

/* Two tensors that cannot be merged, whichever comes to its fault first; and more work behind them. */
static void the_first_fault_is_told(void **state) {
    whet_ctx *ctx = test_ctx(1);
    trio t;
    (void)state;
    make_trio(ctx, &t, WHET_F32, 14, 15); /* the larger one first */
    for (int repeat = 0; repeat < 6; repeat++) {
        whet_ctx *many = test_ctx(repeat < 3 ? 2 : 3);
        test_fails(many, run(many, &t.job, NULL), WHET_ERR_DATA);
        assert_non_null(strstr(whet_error(many), "layers.14.weight"));
        assert_non_null(strstr(whet_error(many), "b.safetensors"));
        assert_int_not_equal(access(t.out, F_OK), 0);
        test_ctx_done(many);
    }
    drop_trio(&t);
    test_ctx_done(ctx);
}

static whet_status fail_at(void *arg, int64_t i, whet_i_merge_lane *lane, whet_ctx *parent) {
    (void)arg;
    (void)parent;
    return whet_i_fail(lane->ctx, WHET_ERR_DATA, "item %d", (int)i);
}

/* Taken up first, and overtaken by the next before its work begins: it is begun all the same. */
static void the_first_of_many_is_told(void **state) {
    enum { REPEATS = 300 };
    static const int64_t items[] = {7, 8, 9, 10};
    whet_ctx *ctx = test_ctx(2);
    whet_i_merge_lanes *lanes;
    int others = 0;
    (void)state;
    test_ok(ctx, whet_i_merge_lanes_create(ctx, &lanes));
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        test_fails(ctx, whet_i_merge_lanes_run(ctx, lanes, items, 4, fail_at, NULL), WHET_ERR_DATA);
        others += strcmp(whet_error(ctx), "item 7") != 0;
    }
    assert_int_equal(others, 0);
    whet_i_merge_lanes_destroy(ctx, lanes);
    test_ctx_done(ctx);
}

/* What was told, one after the other. */
typedef struct told {
    char text[TENSORS * 128];
    size_t n;
    int warnings;
} told;
static void hear(void *user, whet_log_level level, const char *message) {
    told *t = user;
    if (level != WHET_LOG_WARN) return;
    t->n += (size_t)snprintf(t->text + t->n, sizeof t->text - t->n, "%s\n", message);
    assert_true(t->n < sizeof t->text);
    t->warnings++;
}

/* Of every tensor, in their order. */
static void threads_change_no_warning(void **state) {
    whet_ctx *ctx = test_ctx(1);
    char *a = write_model(ctx, "a.safetensors", 1, 1, WHET_F32, NONE, NONE);
    char *b = write_model(ctx, "b.safetensors", 1, -1, WHET_F32, NONE, NONE);
    char *out = test_tmp_kept("out.safetensors");
    told *heard = calloc(3, sizeof *heard);
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    (void)state;
    assert_non_null(heard);
    job.method = "multislerp";
    job.models = (const char *[]){a, b};
    job.n_models = 2;
    job.settings = settings; /* the weight alone */
    job.n_settings = 1;
    job.output = out;
    for (int32_t threads = 1; threads <= 3; threads++) {
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *told_ctx;
        opts.log = hear;
        opts.user = &heard[threads - 1];
        opts.threads = threads;
        test_ok(ctx, whet_ctx_create(&opts, &told_ctx));
        test_ok(told_ctx, run(told_ctx, &job, NULL));
        whet_ctx_destroy(told_ctx);
        assert_int_equal(heard[threads - 1].warnings, TENSORS);
        assert_string_equal(heard[threads - 1].text, heard[0].text);
        (void)unlink(out);
    }
    free(heard);
    free(out);
    free(b);
    free(a);
    test_ctx_done(ctx);
}

typedef struct stopper {
    atomic_int asked;
    int most;
} stopper;
static bool stop_after(void *user) {
    stopper *s = user;
    return atomic_fetch_add(&s->asked, 1) >= s->most;
}

static void a_stopped_merge_goes_on(void **state) {
    whet_ctx *ctx = test_ctx(2);
    char *whole = test_tmp_kept("whole.safetensors");
    trio t;
    int64_t most = 0;
    (void)state;
    make_trio(ctx, &t, WHET_F32, NONE, NONE);
    test_ok(ctx, run(ctx, &t.job, NULL));
    assert_int_equal(rename(t.out, whole), 0);
    for (int stop = 2;; stop += 211) {
        stopper s = {.most = stop};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *stopped;
        int64_t resumed;
        opts.cancel = stop_after;
        opts.user = &s;
        opts.threads = 2;
        test_ok(ctx, whet_ctx_create(&opts, &stopped));
        const whet_status status = run(stopped, &t.job, NULL);
        assert_true(status == WHET_ERR_CANCELLED || status == WHET_OK);
        if (status == WHET_ERR_CANCELLED) assert_non_null(strstr(whet_error(stopped), "goes on"));
        whet_ctx_destroy(stopped);
        if (status == WHET_OK) break;
        assert_int_not_equal(access(t.out, F_OK), 0);
        test_ok(ctx, run(ctx, &t.job, &resumed));
        if (resumed > most) most = resumed;
        assert_true(test_files_equal(whole, t.out));
        (void)unlink(t.out);
    }
    assert_true(most >= TENSORS / 3);
    free(whole);
    drop_trio(&t);
    test_ctx_done(ctx);
}

/* Gives memory so many times. */
typedef struct purse {
    atomic_int left;
} purse;
static void *spend(void *user, void *ptr, size_t old_size, size_t new_size) {
    purse *p = user;
    (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return atomic_fetch_sub(&p->left, 1) > 0 ? realloc(ptr, new_size) : NULL;
}

/* Whichever lane it is that finds no memory, the merge says so, and leaves nothing. */
static void allocations_may_fail(void **state) {
    whet_ctx *ctx = test_ctx(1);
    trio t;
    int64_t failed = 0;
    (void)state;
    make_trio(ctx, &t, WHET_BF16, NONE, NONE);
    for (int given = 3;; given += given < 60 ? 1 : 71) {
        purse p = {.left = given};
        whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
        whet_ctx *poor;
        opts.alloc = spend;
        opts.user = &p;
        opts.threads = 2;
        test_ok(ctx, whet_ctx_create(&opts, &poor));
        const whet_status status = run(poor, &t.job, NULL);
        if (status != WHET_OK) {
            assert_int_equal(status, WHET_ERR_NOMEM);
            assert_non_null(strstr(whet_error(poor), "out of memory"));
            assert_int_not_equal(access(t.out, F_OK), 0);
            failed++;
        }
        whet_ctx_destroy(poor);
        if (status == WHET_OK) break;
    }
    assert_true(failed > 60);
    drop_trio(&t);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_many_is_told), cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(the_first_fault_is_told),   cmocka_unit_test(threads_change_no_warning),
        cmocka_unit_test(a_stopped_merge_goes_on),   cmocka_unit_test(allocations_may_fail)};
    return cmocka_run_group_tests_name("merge lanes", tests, NULL, NULL);
}
