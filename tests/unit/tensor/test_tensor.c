/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>

#include "core/core_i.h"
#include "tensor/tensor_i.h"
#include "whet/tensor.h"

static void arrays_are_zeroed_and_counted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    test_ok(ctx, whet_tensor_create(ctx, WHET_I16, 3, (int64_t[]){2, 3, 4}, &t));
    assert_int_equal(whet_tensor_count(&t), 24);
    for (int i = 0; i < 24; i++) assert_int_equal(((int16_t *)t.data)[i], 0);
    whet_tensor_destroy(ctx, &t);
    test_ok(ctx, whet_tensor_create(ctx, WHET_F64, 0, NULL, &t));
    assert_int_equal(whet_tensor_count(&t), 1);
    whet_tensor_destroy(ctx, &t);
    whet_tensor_destroy(ctx, &t);
    assert_int_equal(whet_dtype_size(WHET_BF16), 2);
    assert_int_equal(whet_dtype_size((whet_dtype)99), 0);
    assert_string_equal(whet_dtype_name(WHET_U64), "u64");
    test_ctx_done(ctx);
}

static void impossible_shapes_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tensor t = {0};
    test_fails(ctx, whet_tensor_create(ctx, WHET_F32, 9, NULL, &t), WHET_ERR_ARG);
    test_fails(ctx, whet_tensor_create(ctx, (whet_dtype)13, 0, NULL, &t), WHET_ERR_ARG);
    test_fails(ctx, whet_tensor_create(ctx, WHET_F32, 1, (int64_t[]){-1}, &t), WHET_ERR_LIMIT);
    test_fails(ctx, whet_tensor_create(ctx, WHET_F32, 2, (int64_t[]){INT64_MAX, 2}, &t),
               WHET_ERR_LIMIT);
    test_fails(ctx, whet_tensor_create(ctx, WHET_F64, 1, (int64_t[]){INT64_MAX / 2}, &t),
               WHET_ERR_LIMIT);
    assert_null(t.data);
    test_ctx_done(ctx);
}

static uint16_t to_bits(whet_ctx *ctx, double value, whet_dtype dtype) {
    const whet_tensor in = {.data = &value, .dtype = WHET_F64};
    whet_tensor out = {0};
    test_ok(ctx, whet_tensor_convert(ctx, &in, dtype, &out));
    const uint16_t bits = *(uint16_t *)out.data;
    whet_tensor_destroy(ctx, &out);
    return bits;
}

static double from_bits(whet_ctx *ctx, uint16_t bits, whet_dtype dtype) {
    const whet_tensor in = {.data = &bits, .dtype = dtype};
    whet_tensor out = {0};
    test_ok(ctx, whet_tensor_convert(ctx, &in, WHET_F64, &out));
    const double value = *(double *)out.data;
    whet_tensor_destroy(ctx, &out);
    return value;
}

/* Values and bits from IEEE 754's binary16 table and from the bfloat16 layout, by hand. */
static void small_floats_round_to_nearest_even(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    assert_int_equal(to_bits(ctx, 1, WHET_F16), 0x3c00);
    assert_int_equal(to_bits(ctx, -2, WHET_F16), 0xc000);
    assert_int_equal(to_bits(ctx, 65504, WHET_F16), 0x7bff);
    assert_int_equal(to_bits(ctx, 65519.99, WHET_F16), 0x7bff);
    assert_int_equal(to_bits(ctx, 65520, WHET_F16), 0x7c00);
    assert_int_equal(to_bits(ctx, 0x1p-24, WHET_F16), 0x0001);
    assert_int_equal(to_bits(ctx, 0x1p-25, WHET_F16), 0x0000);
    assert_int_equal(to_bits(ctx, 0x1.8p-24, WHET_F16), 0x0002);
    assert_int_equal(to_bits(ctx, 0x1.ffcp-15, WHET_F16), 0x03ff + 1);
    assert_int_equal(to_bits(ctx, 1 + 0x1p-11, WHET_F16), 0x3c00);
    assert_int_equal(to_bits(ctx, 1 + 0x1.8p-10, WHET_F16), 0x3c02);
    /* A double just above a tie must round up: twice rounded through f32 it would not. */
    assert_int_equal(to_bits(ctx, 1 + 0x1p-11 + 0x1p-40, WHET_F16), 0x3c01);
    assert_int_equal(to_bits(ctx, 1 + 0x1p-8, WHET_BF16), 0x3f80);
    assert_int_equal(to_bits(ctx, 1 + 0x1p-8 + 0x1p-40, WHET_BF16), 0x3f81);
    assert_int_equal(to_bits(ctx, 1 + 0x1.8p-7, WHET_BF16), 0x3f82);
    assert_int_equal(to_bits(ctx, 3.4e38, WHET_BF16), 0x7f80);
    assert_int_equal(to_bits(ctx, -HUGE_VAL, WHET_BF16), 0xff80);
    assert_int_equal(to_bits(ctx, 0x1p-133, WHET_BF16), 0x0001);
    assert_true(isnan(from_bits(ctx, to_bits(ctx, NAN, WHET_BF16), WHET_BF16)));
    assert_true(isnan(from_bits(ctx, to_bits(ctx, NAN, WHET_F16), WHET_F16)));
    test_ctx_done(ctx);
}

static void every_small_float_survives_the_way_back(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    static const whet_dtype types[] = {WHET_F16, WHET_BF16};
    for (int t = 0; t < 2; t++) {
        whet_tensor all = {0}, wide = {0}, back = {0};
        test_ok(ctx, whet_tensor_create(ctx, types[t], 1, (int64_t[]){65536}, &all));
        uint16_t *bits = all.data;
        for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
        test_ok(ctx, whet_tensor_convert(ctx, &all, WHET_F32, &wide));
        test_ok(ctx, whet_tensor_convert(ctx, &wide, types[t], &back));
        for (int i = 0; i < 65536; i++)
            if (!isnan(((float *)wide.data)[i])) assert_int_equal(((uint16_t *)back.data)[i], i);
        whet_tensor_destroy(ctx, &all);
        whet_tensor_destroy(ctx, &wide);
        whet_tensor_destroy(ctx, &back);
    }
    test_ctx_done(ctx);
}

static void integers_saturate(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    double values[] = {-1e30, -3.9, 0, 127.6, 300, HUGE_VAL};
    const whet_tensor in = {.data = values, .dtype = WHET_F64, .rank = 1, .shape = {6}};
    whet_tensor out = {0};
    test_ok(ctx, whet_tensor_convert(ctx, &in, WHET_I8, &out));
    static const int8_t narrow[] = {-128, -3, 0, 127, 127, 127};
    assert_memory_equal(out.data, narrow, sizeof narrow);
    whet_tensor_destroy(ctx, &out);
    test_ok(ctx, whet_tensor_convert(ctx, &in, WHET_U64, &out));
    static const uint64_t wide[] = {0, 0, 0, 127, 300, UINT64_MAX};
    assert_memory_equal(out.data, wide, sizeof wide);
    whet_tensor_destroy(ctx, &out);
    uint64_t large[] = {UINT64_MAX, INT64_MAX, 1};
    const whet_tensor integers = {.data = large, .dtype = WHET_U64, .rank = 1, .shape = {3}};
    test_ok(ctx, whet_tensor_convert(ctx, &integers, WHET_I64, &out));
    assert_int_equal(((int64_t *)out.data)[0], INT64_MAX);
    assert_int_equal(((int64_t *)out.data)[1], INT64_MAX);
    assert_int_equal(((int64_t *)out.data)[2], 1);
    whet_tensor_destroy(ctx, &out);
    values[1] = NAN;
    test_fails(ctx, whet_tensor_convert(ctx, &in, WHET_I32, &out), WHET_ERR_DATA);
    test_says(ctx, "element 1 is NaN");
    assert_null(out.data);
    test_ctx_done(ctx);
}

static whet_status make_and_convert(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_tensor a = {0}, b = {0};
    whet_status status = whet_tensor_create(ctx, WHET_F32, 1, (int64_t[]){10}, &a);
    if (status == WHET_OK) status = whet_tensor_convert(ctx, &a, WHET_BF16, &b);
    whet_tensor_destroy(ctx, &a);
    whet_tensor_destroy(ctx, &b);
    return status;
}

static void failed_allocations_leak_nothing(void **state) {
    (void)state;
    assert_int_equal(test_each_allocation(make_and_convert, NULL), 2);
}

static void elements_are_read_as_reals(void **state) {
    (void)state;
    int64_t whole[2] = {16777217, -3};
    double real[2] = {.1, 1e300};
    uint16_t half[1] = {0x3800};
    const whet_tensor a = {whole, WHET_I64, 2, {1, 2}}, b = {real, WHET_F64, 1, {2}},
                      c = {half, WHET_F16, 1, {1}};
    assert_true(whet_i_tensor_real(&a, 0) == 16777217 && whet_i_tensor_real(&a, 1) == -3);
    assert_true(whet_i_tensor_real(&b, 0) == .1 && whet_i_tensor_real(&b, 1) == 1e300);
    assert_true(whet_i_tensor_real(&c, 0) == .5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_zeroed_and_counted),
        cmocka_unit_test(impossible_shapes_are_refused),
        cmocka_unit_test(small_floats_round_to_nearest_even),
        cmocka_unit_test(every_small_float_survives_the_way_back),
        cmocka_unit_test(integers_saturate),
        cmocka_unit_test(elements_are_read_as_reals),
        cmocka_unit_test(failed_allocations_leak_nothing),
    };
    return cmocka_run_group_tests_name("tensor/tensor", tests, NULL, NULL);
}
