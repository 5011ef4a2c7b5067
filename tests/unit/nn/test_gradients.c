/* SPDX-License-Identifier: Apache-2.0
 * Every operation's gradients against central differences in f64, and what the engine promises about
 * them: see gradient_support.h. */
#include "gradient_support.h"

#include <math.h>

#define LINEAR_DEFAULTS \
    .init = WHET_I_INIT_NORMAL, .init_scale = 0.5, .bias_init = WHET_I_INIT_NORMAL, .bias_scale = 1

static const int64_t two_sequences[] = {0, 3, 8}, with_empty[] = {0, 2, 2, 7},
                     long_one[] = {0, 70, 71};

/* ---- linear ----------------------------------------------------------------------------------- */

static whet_i_value record_linear(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {"a"},
                                     .n = {5},
                                     .bias = true,
                                     .residual = WHET_I_NONE,
                                     LINEAR_DEFAULTS};
    whet_i_value y;
    test_ok(ctx,
            whet_i_linear_layer(ctx, g, source(ctx, g, "x", WHET_I_EXAMPLES, 50, 7), &spec, &y));
    return weigh(ctx, g, y);
}

static whet_i_value record_three_parts(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_linear_spec spec = {.parts = 3,
                                     .modules = {"q", "k", "v"},
                                     .n = {3, 70, 2},
                                     .bias = true,
                                     .residual = WHET_I_NONE,
                                     LINEAR_DEFAULTS};
    whet_i_value y;
    test_ok(ctx,
            whet_i_linear_layer(ctx, g, source(ctx, g, "x", WHET_I_EXAMPLES, 3, 4), &spec, &y));
    return weigh(ctx, g, y);
}

/* The residual's gradient shares memory; here x has a second reader, so that one of them adds. */
static whet_i_value record_residual(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_linear_spec spec = {.parts = 1,
                               .modules = {"a"},
                               .n = {4},
                               .act = WHET_I_ACT_GELU,
                               .residual = WHET_I_NONE,
                               LINEAR_DEFAULTS};
    const whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 3, 4);
    whet_i_value y;
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &spec, &y));
    whet_i_graph_segment(g);
    spec.act = WHET_I_ACT_NONE;
    spec.modules[0] = "b";
    spec.residual = x;
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &spec, &y));
    return weigh(ctx, g, y);
}

static void linear_layers(void **state) {
    (void)state;
    const gradient_case cases[] = {{"linear", record_linear, .examples = 50},
                                   {"linear, no rows but one", record_linear, .examples = 1},
                                   {"linear, three parts", record_three_parts, .examples = 3},
                                   {"linear, residual", record_residual, .examples = 3}};
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) check_gradients(&cases[i]);
}

static whet_i_act tried_act;

static whet_i_value record_act_layer(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_linear_spec spec = {.parts = 1,
                                     .modules = {"a"},
                                     .n = {5},
                                     .bias = true,
                                     .act = tried_act,
                                     .residual = WHET_I_NONE,
                                     LINEAR_DEFAULTS};
    whet_i_linear_spec next = spec;
    whet_i_value y = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 3);
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &spec, &y));
    next.modules[0] = "b";
    next.act = WHET_I_ACT_NONE;
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &next, &y));
    test_ok(ctx, whet_i_activation(ctx, g, y, tried_act, &y));
    return weigh(ctx, g, y);
}

static void activations(void **state) {
    (void)state;
    for (tried_act = WHET_I_ACT_NONE; tried_act <= WHET_I_ACT_TANH; tried_act++)
        check_gradients(&(gradient_case){"activation", record_act_layer, .examples = 4});
}

/* ---- norms ------------------------------------------------------------------------------------ */

static whet_i_value record_norms(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value y = source(ctx, g, "x", WHET_I_EXAMPLES, 150, 6), z;
    test_ok(ctx, whet_i_layernorm(ctx, g, y, "layer", 1e-5, &y));
    test_ok(ctx, whet_i_rmsnorm(ctx, g, y, "rms", 1e-6, &z));
    test_ok(ctx, whet_i_sum(ctx, g, z, y, &z)); /* y is read twice */
    return weigh(ctx, g, z);
}

static void norms(void **state) {
    (void)state;
    check_gradients(&(gradient_case){"norms", record_norms, .examples = 150});
}

/* ---- tokens ----------------------------------------------------------------------------------- */

static whet_i_attention_spec tried_attention;

static whet_i_value record_attention(whet_ctx *ctx, whet_i_graph *g) {
    const whet_i_attention_spec *s = &tried_attention;
    whet_i_value y = source(ctx, g, "qkv", WHET_I_TOKENS, 71, (s->heads + 2 * s->groups) * s->d);
    test_ok(ctx, whet_i_attention_layer(ctx, g, y, s, &y));
    return weigh(ctx, g, y);
}

static void attention(void **state) {
    (void)state;
    const whet_i_attention_spec specs[] = {{1, 1, 3, false, 0},
                                           {2, 2, 2, true, 0},
                                           {4, 2, 3, true, 0},
                                           {2, 1, 2, false, 0.3},
                                           {2, 2, 2, true, 0.3}};
    for (int64_t i = 0; i < WHET_COUNT_OF(specs); i++) {
        tried_attention = specs[i];
        check_gradients(&(gradient_case){"attention", record_attention, .examples = 2,
                                         .start = two_sequences, .train = true});
        check_gradients(&(gradient_case){"attention, empty", record_attention, .examples = 3,
                                         .start = with_empty, .train = true});
    }
    tried_attention = (whet_i_attention_spec){1, 1, 1, true, 0}; /* more queries than a block */
    check_gradients(&(gradient_case){"attention, long", record_attention, .examples = 2,
                                     .start = long_one, .train = true});
}

static whet_i_value record_embedding(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_embedding_spec spec = {
        .tables = 2, .modules = {"word", "place"}, .rows = {40, 5}, .columns = 3, .init_scale = 1};
    whet_i_value y;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &spec.ids[1]));
    test_ok(ctx, whet_i_embedding(ctx, g, &spec, &y));
    return weigh(ctx, g, y);
}

static whet_i_value record_tied(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_embedding_spec spec = {
        .tables = 1, .modules = {"word"}, .rows = {40}, .columns = 3, .init_scale = 1};
    whet_i_value y, labels;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &labels));
    test_ok(ctx, whet_i_embedding(ctx, g, &spec, &y));
    test_ok(ctx, whet_i_tied_linear(ctx, g, y, "word.weight", 40, &y));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, y, labels, 0.1, &y));
    return y;
}

static void embeddings(void **state) {
    (void)state;
    static const int32_t ids[] = {3, 39, 3, 0, 7, 3, 39, 1}, places[] = {0, 1, 2, 0, 1, 2, 3, 4};
    check_gradients(&(gradient_case){"embedding", record_embedding, .examples = 2,
                                     .start = two_sequences, .integers = {ids, places}});
    check_gradients(&(gradient_case){"tied weights", record_tied, .examples = 2,
                                     .start = two_sequences, .integers = {ids, ids}});
}

static whet_i_rope_spec tried_rope;

static whet_i_value record_rope(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value positions, y = source(ctx, g, "qkv", WHET_I_TOKENS, 8, 14);
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &positions));
    test_ok(ctx, whet_i_rope(ctx, g, y, positions, &tried_rope, &y));
    return weigh(ctx, g, y);
}

static void rotary_embeddings(void **state) {
    (void)state;
    static const int32_t places[] = {0, 1, 2, 0, 1, 2, 3, 40};
    for (int i = 0; i < 2; i++) {
        tried_rope =
            (whet_i_rope_spec){.heads = 3, .d = 4, .interleaved = i == 1, .frequency = {1, 0.3}};
        check_gradients(&(gradient_case){"rope", record_rope, .examples = 2, .start = two_sequences,
                                         .integers = {places}});
    }
}

static whet_i_value record_gated(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value y = source(ctx, g, "x", WHET_I_EXAMPLES, 20, 6);
    test_ok(ctx, whet_i_gated(ctx, g, y, tried_act, &y));
    test_ok(ctx, whet_i_layernorm(ctx, g, y, "n", 1e-5, &y));
    return weigh(ctx, g, y);
}

static void gated_activations(void **state) {
    (void)state;
    for (tried_act = WHET_I_ACT_GELU; tried_act <= WHET_I_ACT_TANH; tried_act++)
        if (tried_act != WHET_I_ACT_RELU)
            check_gradients(&(gradient_case){"gated", record_gated, .examples = 20});
}

static whet_i_pooling_kind tried_pooling;

static whet_i_value record_pooling(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value y = source(ctx, g, "x", WHET_I_TOKENS, 8, 3);
    test_ok(ctx, whet_i_pool_tokens(ctx, g, y, tried_pooling, &y));
    test_ok(ctx, whet_i_unit_rows(ctx, g, y, &y));
    return weigh(ctx, g, y);
}

static void poolings(void **state) {
    (void)state;
    for (tried_pooling = WHET_I_POOL_MEAN; tried_pooling <= WHET_I_POOL_LAST; tried_pooling++)
        check_gradients(
            &(gradient_case){"pooling", record_pooling, .examples = 2, .start = two_sequences});
}

static whet_i_value record_empty_pool(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value y = source(ctx, g, "x", WHET_I_TOKENS, 7, 3);
    test_ok(ctx, whet_i_pool_tokens(ctx, g, y, WHET_I_POOL_MEAN, &y));
    return weigh(ctx, g, y);
}

static void a_sequence_without_tokens_pools_to_nothing(void **state) {
    (void)state;
    check_gradients(
        &(gradient_case){"empty pooling", record_empty_pool, .examples = 3, .start = with_empty});
}

/* ---- dropout, losses --------------------------------------------------------------------------- */

static whet_i_value record_dropout(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 9, 7), y;
    test_ok(ctx, whet_i_dropout(ctx, g, x, 0.4, &y));
    test_ok(ctx, whet_i_activation(ctx, g, y, WHET_I_ACT_TANH, &y));
    test_ok(ctx, whet_i_dropout(ctx, g, y, 0.2, &y));
    test_ok(ctx, whet_i_sum(ctx, g, x, y, &y));
    return weigh(ctx, g, y);
}

static void dropout(void **state) {
    (void)state;
    check_gradients(&(gradient_case){"dropout", record_dropout, .examples = 9, .train = true});
    check_gradients(&(gradient_case){"dropout, not training", record_dropout, .examples = 9});
}

static double tried_smoothing;

static whet_i_value record_cross_entropy(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value y = source(ctx, g, "x", WHET_I_EXAMPLES, 20, 4), labels;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &labels));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, y, labels, tried_smoothing, &y));
    return y;
}

static void cross_entropy(void **state) {
    (void)state;
    static const int32_t labels[] = {0, 3, -1, 2, 1, 1, -100, 0, 3,  2,
                                     0, 1, 2,  3, 0, 1, 2,    3, -1, 0};
    for (tried_smoothing = 0; tried_smoothing < 0.5; tried_smoothing += 0.2)
        check_gradients(&(gradient_case){"cross-entropy", record_cross_entropy, .examples = 20,
                                         .integers = {labels}});
}

/* A tied head: its matrix is the embedding's too, so that one of them adds. 300 entries are more than
 * a strip of the vocabulary, 71 tokens more than a block. */
enum { HEAD_ENTRIES = 300 };

static bool head_is_fused;

static whet_i_value record_head(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_embedding_spec spec = {
        .tables = 1, .modules = {"word"}, .rows = {HEAD_ENTRIES}, .columns = 3, .init_scale = 1};
    whet_i_value x, labels;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &labels));
    test_ok(ctx, whet_i_embedding(ctx, g, &spec, &x));
    test_ok(ctx, whet_i_layernorm(ctx, g, x, "norm", 1e-5, &x));
    if (head_is_fused) {
        test_ok(ctx, whet_i_head_loss(ctx, g, x, "word.weight", HEAD_ENTRIES, labels, &x));
        return x;
    }
    test_ok(ctx, whet_i_tied_linear(ctx, g, x, "word.weight", HEAD_ENTRIES, &x));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, x, labels, 0, &x));
    return x;
}

static void a_head_and_its_loss(void **state) {
    (void)state;
    int32_t ids[71], labels[71];
    for (int32_t i = 0; i < 71; i++) {
        ids[i] = i * 37 % HEAD_ENTRIES;
        labels[i] = i % 5 == 0 ? -100 : (i * 53 + 1) % HEAD_ENTRIES;
    }
    for (int fused = 0; fused < 2; fused++) {
        head_is_fused = fused;
        check_gradients(&(gradient_case){fused ? "fused head" : "head", record_head, .examples = 2,
                                         .start = long_one, .integers = {ids, labels}});
    }
}

static whet_i_value record_mse(whet_ctx *ctx, whet_i_graph *g) {
    whet_i_value x = source(ctx, g, "x", WHET_I_EXAMPLES, 4, 2), targets;
    test_ok(ctx, whet_i_graph_feed(ctx, g, false, WHET_I_EXAMPLES, 2, &targets));
    test_ok(ctx, whet_i_mse(ctx, g, x, targets, &x));
    return x;
}

static void mean_squared_error(void **state) {
    (void)state;
    static const double targets[] = {0, 1, 2, 3, -1, 0.5, 0, 9};
    check_gradients(&(gradient_case){"mse", record_mse, .examples = 4, .reals = {targets}});
}

/* ---- a network: everything together, over three segments --------------------------------------- */

static whet_i_value layer(whet_ctx *ctx, whet_i_graph *g, whet_i_value x,
                          const char *const *names) {
    whet_i_linear_spec qkv = {
        .parts = 3, .n = {4, 4, 4}, .bias = true, .residual = WHET_I_NONE, LINEAR_DEFAULTS};
    whet_i_linear_spec one = {.parts = 1, .n = {4}, .bias = true, LINEAR_DEFAULTS};
    whet_i_value y;
    for (int i = 0; i < 3; i++) qkv.modules[i] = names[i];
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &qkv, &y));
    test_ok(ctx,
            whet_i_attention_layer(ctx, g, y, &(whet_i_attention_spec){2, 2, 2, false, 0.1}, &y));
    one.modules[0] = names[3];
    one.residual = WHET_I_NONE;
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &one, &y));
    test_ok(ctx, whet_i_dropout(ctx, g, y, 0.1, &y));
    test_ok(ctx, whet_i_sum(ctx, g, y, x, &y));
    test_ok(ctx, whet_i_layernorm(ctx, g, y, names[4], 1e-5, &x));
    one.modules[0] = names[5];
    one.n[0] = 6;
    one.act = WHET_I_ACT_GELU;
    test_ok(ctx, whet_i_linear_layer(ctx, g, x, &one, &y));
    one.modules[0] = names[6];
    one.n[0] = 4;
    one.act = WHET_I_ACT_NONE;
    one.residual = x;
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &one, &y));
    test_ok(ctx, whet_i_layernorm(ctx, g, y, names[7], 1e-5, &y));
    return y;
}

static whet_i_value record_network(whet_ctx *ctx, whet_i_graph *g) {
    static const char *const names[][8] = {{"0q", "0k", "0v", "0o", "0n", "0u", "0d", "0m"},
                                           {"1q", "1k", "1v", "1o", "1n", "1u", "1d", "1m"}};
    whet_i_embedding_spec spec = {
        .tables = 1, .modules = {"word"}, .rows = {9}, .columns = 4, .init_scale = 1};
    whet_i_linear_spec head = {
        .parts = 1, .modules = {"head"}, .n = {3}, .residual = WHET_I_NONE, LINEAR_DEFAULTS};
    whet_i_value y, labels;
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &labels));
    test_ok(ctx, whet_i_embedding(ctx, g, &spec, &y));
    for (int i = 0; i < 2; i++) {
        whet_i_graph_segment(g);
        y = layer(ctx, g, y, names[i]);
    }
    whet_i_graph_segment(g);
    test_ok(ctx, whet_i_pool_tokens(ctx, g, y, WHET_I_POOL_MEAN, &y));
    test_ok(ctx, whet_i_linear_layer(ctx, g, y, &head, &y));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, y, labels, 0, &y));
    return y;
}

static void a_network(void **state) {
    (void)state;
    static const int32_t ids[] = {3, 8, 3, 0, 7, 3, 8, 1}, labels[] = {2, 0};
    check_gradients(&(gradient_case){"network", record_network, .examples = 2,
                                     .start = two_sequences, .integers = {ids, labels},
                                     .train = true});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(activations),
        cmocka_unit_test(norms),
        cmocka_unit_test(attention),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(poolings),
        cmocka_unit_test(rotary_embeddings),
        cmocka_unit_test(gated_activations),
        cmocka_unit_test(a_sequence_without_tokens_pools_to_nothing),
        cmocka_unit_test(dropout),
        cmocka_unit_test(cross_entropy),
        cmocka_unit_test(a_head_and_its_loss),
        cmocka_unit_test(mean_squared_error),
        cmocka_unit_test(a_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
