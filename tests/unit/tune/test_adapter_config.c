/* SPDX-License-Identifier: Apache-2.0
 * Which layers adapters are for, and what each one's is like. */
#include <stdio.h>

#include "support.h"

#include "tune/adapter_config.h"

static whet_i_adapter_config of(whet_ctx *ctx, const char *targets) {
    whet_i_adapter_config c = {.kind = WHET_I_ADAPTER_LORA, .rank = 8, .blocks = 4, .alpha = 16};
    test_ok(ctx, whet_i_adapter_config_init(ctx, &c));
    test_ok(ctx, whet_i_modules_parse(ctx, &c, &c.targets, "targets", targets));
    return c;
}

static bool has(const whet_i_adapter_config *c, const char *module) {
    whet_i_adapter_settings settings;
    return whet_i_adapter_config_layer(c, module, &settings);
}

static void ends_of_names(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_adapter_config c = of(ctx, "query, attention.output.dense,,");
    assert_int_equal(c.targets.n, 2);
    assert_true(has(&c, "query"));
    assert_true(has(&c, "layer.0.query"));
    assert_true(has(&c, "layer.0.attention.output.dense"));
    assert_false(has(&c, "layer.0.subquery")); /* no point before it */
    assert_false(has(&c, "layer.0.query.more"));
    assert_false(has(&c, "layer.0.output.dense"));
    assert_false(has(&c, ""));
    whet_i_adapter_config_free(ctx, &c);
    c = of(ctx, NULL);
    assert_false(has(&c, "query"));
    whet_i_adapter_config_free(ctx, &c);
    test_ctx_done(ctx);
}

/* A module is saved with its parts; names from files may begin with points, and be long. */
static void modules_are_saved_with_their_parts(void **state) {
    (void)state;
    enum { LONG = 600 };
    char name[LONG + sizeof ".dense"];
    whet_ctx *ctx = test_ctx(1);
    whet_i_adapter_config c = of(ctx, "dense");
    test_ok(ctx, whet_i_modules_parse(ctx, &c, &c.saved, "modules to save", "pooler"));
    assert_false(has(&c, "pooler.dense"));
    assert_false(has(&c, "bert.pooler.first.dense"));
    assert_true(has(&c, "bert.subpooler.dense"));
    assert_true(has(&c, "layer.dense"));
    assert_true(has(&c, ".dense"));
    assert_true(has(&c, "..dense"));
    assert_false(has(&c, "."));
    memset(name, 'x', LONG);
    memcpy(name + LONG, ".dense", sizeof ".dense");
    assert_true(has(&c, name));
    whet_i_adapter_config_free(ctx, &c);
    test_ctx_done(ctx);
}

static void patterns_and_exclusions(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_adapter_config c = of(ctx, "regex:.*\\.(query|value)");
    assert_true(has(&c, "layer.3.value"));
    assert_false(has(&c, "value")); /* the whole name is to match */
    assert_false(has(&c, "layer.3.values"));
    test_ok(ctx, whet_i_modules_parse(ctx, &c, &c.excluded, "exclude", "3.value"));
    assert_false(has(&c, "layer.3.value"));
    assert_true(has(&c, "layer.13.value"));
    whet_i_adapter_config_free(ctx, &c);
    c = of(ctx, "all-linear");
    test_ok(ctx, whet_i_modules_parse(ctx, &c, &c.saved, "saved", "classifier"));
    assert_true(has(&c, "anything"));
    assert_false(has(&c, "classifier"));
    int64_t *layers;
    test_ok(ctx, whet_i_alloc(ctx, 2, &layers));
    layers[0] = 1;
    layers[1] = 11;
    c.layers = layers;
    c.n_layers = 2;
    assert_true(has(&c, "encoder.layer.1.x"));
    assert_true(has(&c, "encoder.layer.11.x.0"));
    assert_false(has(&c, "encoder.layer.0.x.1")); /* the first number counts */
    assert_false(has(&c, "pooler"));
    whet_i_adapter_config_free(ctx, &c);
    whet_i_adapter_config bad = {0};
    test_ok(ctx, whet_i_adapter_config_init(ctx, &bad));
    test_fails(ctx, whet_i_modules_parse(ctx, &bad, &bad.targets, "targets", "regex:(q"),
               WHET_ERR_ARG);
    test_says(ctx, "targets: the pattern \"(q\" does not compile");
    whet_i_adapter_config_free(ctx, &bad);
    test_ctx_done(ctx);
}

static void values_of_layers(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_i_value_range ranks = {1, 64, true};
    whet_i_adapter_config c = of(ctx, "all-linear");
    whet_i_adapter_settings s;
    test_ok(ctx, whet_i_module_values_parse(ctx, &c, &c.ranks, "ranks",
                                            "value=2, layer\\.[01]\\..*=4", ranks));
    assert_true(whet_i_adapter_config_layer(&c, "layer.0.value", &s));
    assert_int_equal(s.rank, 2); /* the first key that fits */
    assert_true(s.scale == 8);
    assert_true(whet_i_adapter_config_layer(&c, "m.layer.1.key", &s));
    assert_int_equal(s.rank, 4);
    assert_true(whet_i_adapter_config_layer(&c, "m.layer.2.key", &s));
    assert_int_equal(s.rank, 8);
    assert_true(s.scale == 2);
    assert_int_equal(s.blocks, 1);
    c.rank_stabilised = true;
    c.rank = 4;
    assert_true(whet_i_adapter_config_layer(&c, "k", &s));
    assert_true(s.scale == 8);
    c.kind = WHET_I_ADAPTER_MORE;
    assert_true(whet_i_adapter_config_layer(&c, "k", &s));
    assert_true(s.scale == 1);
    assert_int_equal(s.blocks, 4);
    const char *const bad[] = {"value", "value=", "=3", "value=0", "value=65", "value=2.5", "v=x"};
    for (int64_t i = 0; i < WHET_COUNT_OF(bad); i++) {
        test_fails(ctx, whet_i_module_values_parse(ctx, &c, &c.ranks, "ranks", bad[i], ranks),
                   WHET_ERR_ARG);
        test_says(ctx, "whole number from 1 to 64");
    }
    whet_i_adapter_config_free(ctx, &c);
    test_ctx_done(ctx);
}

static whet_status make_all(whet_ctx *ctx, void *arg) {
    (void)arg;
    const whet_i_value_range ranks = {1, 64, true};
    whet_i_adapter_config c = {.rank = 8, .blocks = 4};
    whet_status status = whet_i_adapter_config_init(ctx, &c);
    if (status == WHET_OK)
        status = whet_i_modules_parse(ctx, &c, &c.targets, "targets", "query,value");
    if (status == WHET_OK)
        status = whet_i_modules_parse(ctx, &c, &c.excluded, "exclude", "regex:a.*b");
    if (status == WHET_OK)
        status = whet_i_module_values_parse(ctx, &c, &c.ranks, "ranks", "a=1,b=2", ranks);
    whet_i_adapter_config_free(ctx, &c);
    return status;
}

static void each_allocation(void **state) {
    (void)state;
    assert_true(test_each_allocation(make_all, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends_of_names),
        cmocka_unit_test(modules_are_saved_with_their_parts),
        cmocka_unit_test(patterns_and_exclusions),
        cmocka_unit_test(values_of_layers),
        cmocka_unit_test(each_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
