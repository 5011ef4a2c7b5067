/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <string.h>

#include "core/core_i.h"

static void statuses_have_texts_and_exit_codes(void **state) {
    (void)state;
    assert_int_equal(whet_status_exit_code(WHET_OK), 0);
    assert_int_equal(whet_status_exit_code(WHET_ERR_CANCELLED), 130);
    assert_string_equal(whet_status_text(WHET_ERR_FORMAT), "malformed input");
    assert_string_equal(whet_status_text((whet_status)99), "unknown status");
}

static void wrong_options_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = NULL;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.threads = -1;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_ERR_ARG);
    opts = (whet_ctx_opts)WHET_CTX_OPTS_INIT;
    opts.struct_size++;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_ERR_ARG);
    assert_null(ctx);
}

static void sentences_nest_and_are_cut(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char quoted[WHET_QUOTE_SIZE];
    assert_string_equal(whet_i_quote(quoted, (whet_str){"a\"\n\0", 4}), "\"a\\\"\\x0a\\x00\"");
    char worst[200];
    memset(worst, 1, sizeof worst);
    assert_true(strlen(whet_i_quote(quoted, (whet_str){worst, 200})) < WHET_QUOTE_SIZE);
    assert_int_equal(whet_i_fail(ctx, WHET_ERR_DATA, "inner %d", 5), WHET_ERR_DATA);
    assert_int_equal(whet_i_fail(ctx, WHET_ERR_DATA, "again: %s", whet_error(ctx)), WHET_ERR_DATA);
    assert_int_equal(whet_i_fail_at(ctx, WHET_ERR_DATA, "file:%d", 3), WHET_ERR_DATA);
    assert_string_equal(whet_error(ctx), "file:3: again: inner 5");
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(whet_i_fail(ctx, WHET_ERR_DATA, "%s", longer), WHET_ERR_DATA);
    assert_int_equal(strlen(whet_error(ctx)), 1023);
    test_ctx_done(ctx);
}

static void square(void *arg, int64_t i, int32_t worker) {
    (void)worker;
    ((int64_t *)arg)[i] = i * i;
}

static void parallel_loops_visit_each_item(void **state) {
    (void)state;
    for (int32_t threads = 1; threads <= 5; threads++) {
        whet_ctx *ctx = test_ctx(threads);
        int64_t out[1000] = {0};
        test_ok(ctx, whet_i_parallel_for(ctx, NULL, 1000, square, out));
        for (int64_t i = 0; i < 1000; i++) assert_int_equal(out[i], i * i);
        test_ok(ctx, whet_i_parallel_for(ctx, NULL, 0, square, out));
        test_ctx_done(ctx);
    }
}

static bool cancel_always(void *user) {
    (*(int *)user)++;
    return *(int *)user > 1;
}

static void loops_stop_when_cancelled(void **state) {
    (void)state;
    int polls = 0;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.cancel = cancel_always;
    opts.user = &polls;
    opts.threads = 1;
    whet_ctx *ctx = NULL;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    int64_t out[100] = {0};
    test_fails(ctx, whet_i_parallel_for(ctx, NULL, 100, square, out), WHET_ERR_CANCELLED);
    assert_int_equal(out[50], 0);
    whet_ctx_destroy(ctx);
}

/* ---- contexts of workers -------------------------------------------------------------------------- */

typedef struct jobs {
    whet_ctx *ctx[4];
    void *kept[40];
    whet_status status[40];
} jobs;

/* Item i asks for i + 1 kB; every tenth for more than there may be. */
static void work(void *arg, int64_t i, int32_t worker) {
    jobs *j = arg;
    const int64_t bytes = i % 10 == 9 ? 1 << 20 : (i + 1) * 1024;
    for (int round = 0; round < 50; round++) {
        char *some;
        if (whet_i_alloc(j->ctx[worker], 4096, &some) == WHET_OK) {
            memset(some, (int)i, 4096);
            whet_i_free(j->ctx[worker], some);
        }
    }
    j->status[i] = whet_i_alloc_(j->ctx[worker], bytes, 1, false, &j->kept[i]);
    if (j->status[i] == WHET_OK) j->status[i] = whet_i_progress(j->ctx[worker], "job", 1, 2);
}

static void workers_share_memory_and_limit(void **state) {
    (void)state;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL;
    whet_i_workers *workers;
    jobs j = {0};
    size_t before, during, after;
    opts.threads = 4;
    opts.memory_limit = (size_t)1 << 20;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    test_ok(ctx, whet_i_workers_create(ctx, &workers));
    whet_ctx_memory(ctx, &before, NULL);
    for (int i = 0; i < 4; i++) test_ok(ctx, whet_i_workers_context(workers, &j.ctx[i]));
    assert_int_equal(whet_ctx_threads(j.ctx[0]), 1);
    test_ok(ctx, whet_i_parallel_for(ctx, NULL, 40, work, &j));
    whet_ctx_memory(ctx, &during, NULL);
    assert_true(during - before >= 1024 * (40 * 41 / 2 - 10 - 20 - 30 - 40));
    for (int i = 0; i < 40; i++) {
        assert_int_equal(j.status[i], i % 10 == 9 ? WHET_ERR_NOMEM : WHET_OK);
        if (j.status[i] == WHET_OK)
            whet_i_free(j.ctx[i % 4], j.kept[i]); /* any of them takes it back */
    }
    for (int i = 0; i < 4; i++) whet_ctx_destroy(j.ctx[i]);
    whet_ctx_memory(ctx, &after, NULL);
    assert_int_equal(after, before);
    whet_i_workers_destroy(ctx, workers);
    whet_ctx_destroy(ctx);
}

static bool always(void *user) {
    (void)user;
    return true;
}

static void workers_are_cancelled_with_their_context(void **state) {
    (void)state;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    whet_ctx *ctx = NULL, *own = NULL;
    whet_i_workers *workers;
    opts.cancel = always;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    test_ok(ctx, whet_i_workers_create(ctx, &workers));
    test_ok(ctx, whet_i_workers_context(workers, &own));
    test_fails(own, whet_i_progress(own, NULL, 0, 1), WHET_ERR_CANCELLED);
    whet_i_hold_cancel(ctx, true);
    test_ok(own, whet_i_progress(own, NULL, 0, 1));
    whet_ctx_destroy(own);
    whet_i_workers_destroy(ctx, workers);
    whet_ctx_destroy(ctx);
}

typedef struct demo_opts {
    size_t struct_size;
    int a, b;
} demo_opts;

static void older_option_structs_keep_defaults(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    demo_opts out = {sizeof out, 1, 2};
    test_ok(ctx, whet_i_opts(ctx, NULL, &out, sizeof out, "demo_opts"));
    const demo_opts older = {offsetof(demo_opts, b), 10, 20};
    test_ok(ctx, whet_i_opts(ctx, &older, &out, sizeof out, "demo_opts"));
    assert_int_equal(out.a, 10);
    assert_int_equal(out.b, 2);
    assert_int_equal(out.struct_size, sizeof out);
    const demo_opts newer = {sizeof newer + 8, 0, 0};
    test_fails(ctx, whet_i_opts(ctx, &newer, &out, sizeof out, "demo_opts"), WHET_ERR_ARG);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_texts_and_exit_codes),
        cmocka_unit_test(wrong_options_are_refused),
        cmocka_unit_test(sentences_nest_and_are_cut),
        cmocka_unit_test(parallel_loops_visit_each_item),
        cmocka_unit_test(loops_stop_when_cancelled),
        cmocka_unit_test(workers_share_memory_and_limit),
        cmocka_unit_test(workers_are_cancelled_with_their_context),
        cmocka_unit_test(older_option_structs_keep_defaults),
    };
    return cmocka_run_group_tests_name("core/context", tests, NULL, NULL);
}
