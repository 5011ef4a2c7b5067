/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include "core/core_i.h"

static void allocations_are_aligned_counted_and_checked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    size_t now, peak;
    double *x = NULL;
    test_ok(ctx, whet_i_calloc(ctx, 1000, &x));
    assert_int_equal((uintptr_t)x % 64, 0);
    for (int i = 0; i < 1000; i++) assert_true(x[i] == 0.0);
    whet_ctx_memory(ctx, &now, &peak);
    assert_int_equal(now, 8000);
    x[999] = 7;
    test_ok(ctx, whet_i_realloc(ctx, &x, 2000));
    assert_true(x[999] == 7.0);
    double *before = x;
    test_fails(ctx, whet_i_realloc(ctx, &x, INT64_MAX), WHET_ERR_LIMIT);
    assert_ptr_equal(x, before);
    test_fails(ctx, whet_i_alloc(ctx, -1, &x), WHET_ERR_LIMIT);
    assert_ptr_equal(x, before);
    whet_i_free(ctx, x);
    whet_i_free(ctx, NULL);
    whet_ctx_memory(ctx, &now, &peak);
    assert_int_equal(now, 0);
    assert_int_equal(peak, 8000 + 16000);
    whet_i_memory_mark(ctx);
    test_ok(ctx, whet_i_alloc(ctx, 10, &x));
    whet_ctx_memory(ctx, &now, &peak);
    assert_int_equal(now, 80);
    assert_int_equal(peak, 80);
    whet_i_free(ctx, x);
    test_ctx_done(ctx);
}

static void the_memory_limit_holds(void **state) {
    (void)state;
    whet_ctx_opts opts = WHET_CTX_OPTS_INIT;
    opts.memory_limit = 1000;
    whet_ctx *ctx = NULL;
    assert_int_equal(whet_ctx_create(&opts, &ctx), WHET_OK);
    char *a = NULL, *b = NULL;
    test_ok(ctx, whet_i_alloc(ctx, 600, &a));
    test_fails(ctx, whet_i_alloc(ctx, 401, &b), WHET_ERR_LIMIT);
    test_ok(ctx, whet_i_alloc(ctx, 400, &b));
    whet_i_free(ctx, a);
    whet_i_free(ctx, b);
    whet_ctx_destroy(ctx);
}

static void products_of_sizes_are_checked(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    int64_t out = -7;
    test_ok(ctx, whet_i_mul(ctx, 1 << 20, 1 << 20, &out));
    assert_int_equal(out, (int64_t)1 << 40);
    test_fails(ctx, whet_i_mul(ctx, (int64_t)1 << 32, (int64_t)1 << 31, &out), WHET_ERR_LIMIT);
    test_fails(ctx, whet_i_mul(ctx, -1, 2, &out), WHET_ERR_LIMIT);
    test_fails(ctx, whet_i_add(ctx, INT64_MAX, 1, &out), WHET_ERR_LIMIT);
    assert_int_equal(out, (int64_t)1 << 40);
    test_ctx_done(ctx);
}

static whet_status fill_arena_and_buffer(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_status status = WHET_OK;
    whet_i_arena arena = {0};
    whet_i_buf buf = {0};
    for (int64_t i = 1; i < 200; i++) {
        unsigned char *piece;
        WHET_TRY_DONE(whet_i_arena_alloc(ctx, &arena, i * 13, 1, &piece));
        assert_int_equal((uintptr_t)piece % 16, 0);
        memset(piece, (int)i, (size_t)i * 13);
        WHET_TRY_DONE(whet_i_buf_printf(ctx, &buf, "%lld,", (long long)i));
    }
    assert_int_equal(buf.len, 9 * 2 + 90 * 3 + 100 * 4);
    assert_memory_equal(buf.data, "1,2,3,", 6);
done:
    whet_i_arena_free(ctx, &arena);
    whet_i_buf_free(ctx, &buf);
    return status;
}

static void arena_and_buffer_survive_each_failed_allocation(void **state) {
    (void)state;
    assert_true(test_each_allocation(fill_arena_and_buffer, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_counted_and_checked),
        cmocka_unit_test(the_memory_limit_holds),
        cmocka_unit_test(products_of_sizes_are_checked),
        cmocka_unit_test(arena_and_buffer_survive_each_failed_allocation),
    };
    return cmocka_run_group_tests_name("core/memory", tests, NULL, NULL);
}
