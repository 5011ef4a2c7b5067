/* SPDX-License-Identifier: Apache-2.0
 * Whole models against transformers: logits, loss and every gradient of one batch, by every kernel
 * set (tests/golden/text_models and llama). */
#include "golden_model.h"

#include <string.h>

#include "nn/llama_i.h"

/* Sums of the same products in another order, with some ten layers of sums of at most 40 terms
 * between: 1e-5 of the largest number is about 100 roundings. */
#define F32_BOUND 1e-5
/* Every product is rounded to 8 bits: errors of some 2^-8 a layer, ten layers. */
#define BF16_BOUND 0.1

/* ---- encoders --------------------------------------------------------------------------------- */

/* Recorded whole, and for the head alone, which reads first tokens. */
static whet_i_selection tried;

static void check_encoder(const char *folder, const char *kernels, whet_dtype dtype, bool recompute,
                          double bound) {
    const whet_encoder_opts opts = WHET_ENCODER_OPTS_INIT;
    golden_model m;
    whet_i_encoder_config c;
    whet_tensor types = {0};
    whet_i_value hidden;
    golden_open(&m, folder, kernels, dtype);
    test_ok(m.ctx, whet_i_encoder_config_read(m.ctx, m.dir, &opts, &c));
    const char *prefix = c.family->prefix;
    test_ok(m.ctx, whet_i_encoder_record(m.ctx, m.graph, &c, prefix, false, tried, &hidden));
    test_ok(m.ctx, whet_i_encoder_head(m.ctx, m.graph, &c, prefix, false, WHET_I_HEAD_FAMILY, 3,
                                       hidden, &m.logits));
    test_ok(m.ctx, whet_i_graph_feed(m.ctx, m.graph, true, WHET_I_EXAMPLES, 1, &m.labels));
    test_ok(m.ctx, whet_i_cross_entropy(m.ctx, m.graph, m.logits, m.labels, 0, &m.loss));
    if (strcmp(c.family->model_type, "bert") == 0) { /* pairs */
        whet_tensor view;
        assert_true(whet_safetensors_find(m.expected, "types", &view));
        test_ok(m.ctx, whet_tensor_convert(m.ctx, &view, view.dtype, &types));
        m.rows.types = types.data;
    }
    golden_check(&m, prefix, c.family->position_offset, recompute, bound);
    whet_tensor_destroy(m.ctx, &types);
    golden_close(&m);
}

/* ---- language models -------------------------------------------------------------------------- */

static void check_llama(const char *folder, const char *kernels, whet_dtype dtype, bool recompute,
                        double bound) {
    golden_model m;
    whet_i_llama_config c;
    whet_i_value hidden;
    golden_open(&m, folder, kernels, dtype);
    test_ok(m.ctx, whet_i_llama_config_parse(m.ctx, m.config, &c));
    test_ok(m.ctx, whet_i_llama_record(m.ctx, m.graph, &c, WHET_I_ALL_TOKENS, &hidden));
    test_ok(m.ctx, whet_i_llama_head(m.ctx, m.graph, &c, hidden, &m.logits));
    test_ok(m.ctx, whet_i_graph_feed(m.ctx, m.graph, true, WHET_I_TOKENS, 1, &m.labels));
    test_ok(m.ctx, whet_i_cross_entropy(m.ctx, m.graph, m.logits, m.labels, 0, &m.loss));
    golden_check(&m, "", 0, recompute, bound);
    golden_close(&m);
}

static void each_kernel_set(void (*check)(const char *folder, const char *kernels, whet_dtype dtype,
                                          bool recompute, double bound),
                            const char *folder) {
    for (const whet_kernels *const *t = whet_i_kernels_all(); *t; t++) {
        if (!(*t)->supported()) continue;
        check(folder, (*t)->name, WHET_F32, false, F32_BOUND);
        check(folder, (*t)->name, WHET_F32, true, F32_BOUND);
        check(folder, (*t)->name, WHET_BF16, false, BF16_BOUND);
    }
}

static void each_encoder(const char *folder) {
    for (tried = WHET_I_ALL_TOKENS; tried <= WHET_I_FIRST_TOKENS; tried++)
        each_kernel_set(check_encoder, folder);
}

static void bert_as_transformers_has_it(void **state) {
    (void)state;
    each_encoder("text_models/bert");
}

static void roberta_as_transformers_has_it(void **state) {
    (void)state;
    each_encoder("text_models/roberta");
}

static void distilbert_as_transformers_has_it(void **state) {
    (void)state;
    each_encoder("text_models/distilbert");
}

static void llama_as_transformers_has_it(void **state) {
    (void)state;
    each_kernel_set(check_llama, "llama/llama");
    each_kernel_set(check_llama, "llama/llama3");
}

static void mistral_and_qwen_as_transformers_has_them(void **state) {
    (void)state;
    each_kernel_set(check_llama, "llama/mistral");
    each_kernel_set(check_llama, "llama/qwen2");
}

/* ---- what is refused -------------------------------------------------------------------------- */

static void refused(const char *change, whet_status expected, const char *says) {
    golden_model m;
    whet_i_llama_config c;
    json_error_t error;
    golden_open(&m, "llama/llama", "ref", WHET_F32);
    json_t *other = json_loads(change, 0, &error);
    assert_non_null(other);
    assert_int_equal(json_object_update(m.config, other), 0);
    json_decref(other);
    test_fails(m.ctx, whet_i_llama_config_parse(m.ctx, m.config, &c), expected);
    test_says(m.ctx, says);
    golden_close(&m);
}

static void settings_that_it_cannot_follow(void **state) {
    (void)state;
    refused("{\"model_type\": \"gpt2\"}", WHET_ERR_UNSUPPORTED, "\"gpt2\"");
    refused("{\"hidden_act\": \"relu\"}", WHET_ERR_UNSUPPORTED, "hidden_act");
    refused("{\"sliding_window\": 8}", WHET_ERR_UNSUPPORTED, "sliding_window");
    refused("{\"rope_parameters\": {\"rope_type\": \"yarn\"}}", WHET_ERR_UNSUPPORTED, "yarn");
    refused("{\"rope_parameters\": {\"rope_theta\": -1}}", WHET_ERR_FORMAT, "rope_theta");
    refused("{\"rope_parameters\": {\"rope_theta\": 1e-310}}", WHET_ERR_FORMAT, "rope_theta");
    refused("{\"rope_parameters\": {\"partial_rotary_factor\": 0.5}}", WHET_ERR_UNSUPPORTED,
            "partial_rotary_factor");
    refused("{\"num_key_value_heads\": 3}", WHET_ERR_FORMAT, "multiple");
    refused("{\"head_dim\": 3}", WHET_ERR_UNSUPPORTED, "even");
    refused("{\"bos_token_id\": 30}", WHET_ERR_FORMAT, "bos_token_id");
    refused("{\"hidden_size\": 99999999999}", WHET_ERR_FORMAT, "hidden_size");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bert_as_transformers_has_it),
        cmocka_unit_test(roberta_as_transformers_has_it),
        cmocka_unit_test(distilbert_as_transformers_has_it),
        cmocka_unit_test(llama_as_transformers_has_it),
        cmocka_unit_test(mistral_and_qwen_as_transformers_has_them),
        cmocka_unit_test(settings_that_it_cannot_follow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
