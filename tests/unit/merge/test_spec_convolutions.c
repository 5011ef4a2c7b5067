/* SPDX-License-Identifier: Apache-2.0
 * What specifications and config.json's tell of convolutions: it is read, written, read again the same, and
 * refused by name. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "merge/align_files.h"

#define DOCUMENT(convolutions) \
    "{\"format\": \"whet-permutations\", \"version\": 1, \"groups\": {\"g\": {}}, \"tensors\": " \
    "{\"c.weight\": [\"g\", null, null, null]}, \"convolutions\": " convolutions "}"

static whet_status parse(whet_ctx *ctx, const char *text, whet_permutation_spec **out) {
    return whet_i_spec_parse(ctx, "s.json", text, (int64_t)strlen(text), out);
}

static void check_told(const whet_permutation_spec *spec) {
    const whet_i_told *c = whet_i_spec_told(spec, "module.c"), *d = whet_i_spec_told(spec, "d");
    assert_int_equal(spec->n_told, 3);
    assert_true(c->stride == 2 && c->padding == 0 && c->dilation == 3 && c->groups == 4);
    assert_true(c->pool.largest && c->pool.size == 3 && c->pool.stride == 2 &&
                c->pool.padding == 1);
    assert_true(d->stride == 1 && d->padding == WHET_I_SAME_SIZE && d->dilation == 1);
    assert_true(d->groups == 0 && d->pool.size == 0);
    d = whet_i_spec_told(spec, "e");
    assert_true(!d->pool.largest && d->pool.size == 2 && d->pool.stride == 2 && !d->pool.padding);
    assert_null(whet_i_spec_told(spec, "f"));
    assert_null(whet_i_spec_told(NULL, "c"));
}

static void told_are_read_and_written(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_permutation_spec *spec, *again;
    const char *path = test_tmp("spec.json");
    test_ok(
        ctx,
        parse(ctx,
              DOCUMENT("{\"c\": {\"stride\": 2, \"padding\": 0, \"dilation\": 3, \"groups\": 4,"
                       "\"pool\": {\"kind\": \"max\", \"size\": 3, \"stride\": 2, \"padding\": 1}},"
                       "\"module.d\": {}, \"e\": {\"pool\": {\"kind\": \"mean\", \"size\": 2}}}"),
              &spec));
    check_told(spec);
    test_ok(ctx, whet_permutation_spec_write(ctx, spec, path, true));
    test_ok(ctx, whet_permutation_spec_read(ctx, path, &again));
    check_told(again);
    whet_permutation_spec_destroy(ctx, spec);
    whet_permutation_spec_destroy(ctx, again);
    test_ctx_done(ctx);
}

static void others_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {DOCUMENT("[]"), "s.json: \"convolutions\" is an array; expected an object"},
        {DOCUMENT("{\"c\": 2}"), "s.json: convolution \"c\" is an integer; expected an object"},
        {DOCUMENT("{\"c\": {\"strides\": 2}}"), "key \"strides\"; expected stride, padding"},
        {DOCUMENT("{\"c\": {\"stride\": 0}}"), "\"stride\""},
        {DOCUMENT("{\"c\": {\"padding\": -1}}"), "\"padding\""},
        {DOCUMENT("{\"c\": {\"dilation\": 1.5}}"), "\"dilation\""},
        {DOCUMENT("{\"c\": {\"groups\": 0}}"), "\"groups\""},
        {DOCUMENT("{\"c\": {}, \"module.c\": {}}"), "s.json: convolution \"c\" is told twice"},
        {DOCUMENT("{\"c\": {\"pool\": 2}}"), "convolution \"c\": pool is an integer"},
        {DOCUMENT("{\"c\": {\"pool\": {\"size\": 2}}}"), "\"kind\""},
        {DOCUMENT("{\"c\": {\"pool\": {\"kind\": \"min\", \"size\": 2}}}"),
         "kind \"min\"; expected max or mean"},
        {DOCUMENT("{\"c\": {\"pool\": {\"kind\": \"max\", \"size\": 3, \"padding\": 2}}}"),
         "a padding of 2 of windows of 3"},
    };
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_permutation_spec *spec = NULL;
        test_fails(ctx, parse(ctx, cases[i].text, &spec), WHET_ERR_FORMAT);
        test_says(ctx, cases[i].says);
        assert_null(spec);
    }
    test_ctx_done(ctx);
}

static whet_status parse_and_write(whet_ctx *ctx, void *arg) {
    whet_permutation_spec *spec;
    WHET_TRY(parse(ctx, DOCUMENT("{\"c\": {\"pool\": {\"kind\": \"max\", \"size\": 3}}}"), &spec));
    const whet_status status = whet_permutation_spec_write(ctx, spec, arg, true);
    whet_permutation_spec_destroy(ctx, spec);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    char *path = test_tmp_kept("out.json");
    assert_true(test_each_allocation(parse_and_write, path) > 5);
    free(path);
}

/* ---- config.json ---------------------------------------------------------------------------------- */

static whet_status read_config(whet_ctx *ctx, const char *text, whet_i_strides *out) {
    char *folder = test_tmp_kept("folder"), path[4096];
    (void)mkdir(folder, 0777);
    (void)snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    const whet_status status = whet_i_read_strides(ctx, folder, true, out);
    if (out->told) out->from = "the folder"; /* its name does not stay */
    free(folder);
    return status;
}

/* What a config.json says: first_stage and first_convolution, and why the network is not run. */
static void configs_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool told, stage, convolution;
        const char *refused;
    } cases[] = {
        {"{\"model_type\": \"resnet\"}", true, false, false, ""},
        {"{\"model_type\": \"resnet\", \"hidden_act\": \"relu\", \"downsample_in_first_stage\": "
         "true}",
         true, true, false, ""},
        {"{\"model_type\": \"resnet\", \"downsample_in_bottleneck\": true}", true, false, true, ""},
        {"{\"model_type\": \"resnet\", \"hidden_act\": \"gelu\"}", true, false, false,
         "\"gelu\"; expected relu"},
        {"{\"model_type\": \"regnet\", \"downsample_in_bottleneck\": true}", false, false, false,
         ""},
        {"{\"num_groups\": 4}", false, false, false, ""},
        {"{\"architecture\": \"resnet50\", \"num_classes\": 10}", true, false, false, ""},
        {"{\"architecture\": \"resnext50_32x4d\", \"global_pool\": \"avg\", \"model_args\": "
         "{\"in_chans\": 1}}",
         true, false, false, ""},
        {"{\"architecture\": \"resnetblur50\"}", true, false, false,
         "\"resnetblur50\"; expected one that is known"},
        {"{\"architecture\": \"resnet50\", \"model_args\": {\"output_stride\": 8}}", true, false,
         false, "have \"output_stride\""},
        {"{\"architecture\": \"resnet50\", \"global_pool\": \"max\"}", true, false, false,
         "\"max\"; expected avg"},
    };
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        whet_i_strides s = {0};
        test_ok(ctx, read_config(ctx, cases[i].text, &s));
        assert_int_equal(s.told, cases[i].told);
        assert_int_equal(s.first_stage, cases[i].stage);
        assert_int_equal(s.first_convolution, cases[i].convolution);
        assert_int_equal(s.refused[0] != '\0', cases[i].refused[0] != '\0');
        assert_non_null(strstr(s.refused, cases[i].refused));
    }
    test_ctx_done(ctx);
}

static void configs_that_differ_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_strides s = {0};
    test_ok(ctx, read_config(ctx, "{\"architecture\": \"resnet50\"}", &s));
    test_ok(ctx, read_config(ctx, "{\"model_type\": \"resnet\"}", &s));
    test_ok(ctx, read_config(ctx, "{\"model_type\": \"bert\"}", &s));
    test_fails(
        ctx,
        read_config(ctx, "{\"model_type\": \"resnet\", \"downsample_in_bottleneck\": true}", &s),
        WHET_ERR_DATA);
    test_says(ctx, "its config.json says other strides than that of the folder");
    test_fails(
        ctx, read_config(ctx, "{\"model_type\": \"resnet\", \"downsample_in_bottleneck\": 1}", &s),
        WHET_ERR_FORMAT);
    test_says(ctx, "\"downsample_in_bottleneck\"");
    test_ok(ctx, read_config(ctx, "{\"architecture\": \"resnetaa50\"}", &s));
    assert_true(s.refused[0] != '\0'); /* one that is not run is enough */
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_are_read_and_written),       cmocka_unit_test(others_are_refused),
        cmocka_unit_test(each_allocation_may_fail),        cmocka_unit_test(configs_are_read),
        cmocka_unit_test(configs_that_differ_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
