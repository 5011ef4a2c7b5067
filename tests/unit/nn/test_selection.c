/* SPDX-License-Identifier: Apache-2.0
 * Networks of whose last layer some tokens alone are read, against the same networks recorded whole: the same
 * function to the bit, the same gradients but for the order of sums; in f64 and in f32.
 * The batch has a sequence without tokens, one of one token, and one without a label. */
#include "gradient_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/nn_i.h"
#ifndef WHET_I_DOUBLE
#include "tune/adapter_i.h"
#endif

enum { SEQUENCES = 5, TOKENS = 17, HIDDEN = 6, HEADS = 2, VOCAB = 20 };

static const int64_t start[] = {0, 3, 3, 9, 10, 17};
static const int32_t ids[TOKENS] = {3, 8, 3, 0, 7, 19, 8, 1, 2, 5, 5, 4, 11, 12, 13, 3, 9};
static const int32_t positions[TOKENS] = {2, 3, 4, 2, 3, 4, 5, 6, 7, 2, 2, 3, 4, 5, 6, 7, 8};
static const int32_t types[TOKENS] = {0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0, 0, 1};
static const int32_t labels[SEQUENCES] = {1, 2, 0, 1, 2};
/* Asked for: runs at the end, in the middle, single ones. */
static const int32_t next[TOKENS] = {-1, 3, 4, -1, 7, 2, -1, 1, -1, -1, 4, 11, 12, -1, -1, 9, -1};
static const int64_t asked[] = {1, 2, 4, 5, 7, 10, 11, 12, 15};
static const int64_t asked_start[] = {0, 2, 2, 5, 5, 9};
enum { ASKED = 9 };

#ifdef WHET_I_DOUBLE
#define BOUND 1e-13
#else
#define BOUND 3e-6 /* sums of some 17 terms, several of them behind each other, of eps 6e-8 */
#endif

/* ---- what is compared -------------------------------------------------------------------------- */

typedef struct trial {
    const char *name;
    whet_i_value (*record)(whet_ctx *ctx, whet_i_graph *graph, const struct trial *trial,
                           whet_i_selection selection);
    whet_i_selection selection; /* against ALL */
    const char *family;
    const int32_t *third; /* feed of tokens, if there are three */
    const char *only;     /* trained: names that contain it; NULL = all */
    double dropout;       /* of attention */
    bool causal, recompute;
    const whet_i_adapters *adapters;
    whet_dtype dtype;
    int32_t workers;
} trial;

typedef struct machine {
    whet_ctx *ctx;
    const int32_t *third;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_value loss;
} machine;

static whet_i_batch batch_of(const whet_i_graph *graph, const int32_t *third) {
    whet_i_batch batch = {.rows = {1, SEQUENCES, TOKENS},
                          .start = start,
                          .loss_scale = 1,
                          .train = true,
                          .seed = 5,
                          .asked = asked,
                          .asked_start = asked_start};
    batch.rows[WHET_I_ASKED] = ASKED;
    for (int64_t i = 0; i < graph->n_values; i++) {
        const whet_i_value_info *v = &graph->values[i];
        if (v->producer >= 0) continue;
        batch.feeds[v->output] = v->extent == WHET_I_EXAMPLES ? labels
                                 : v->output == 0             ? ids
                                 : v->output == 1             ? positions
                                                              : third;
    }
    return batch;
}

static void make(machine *m, const trial *t, whet_i_selection selection) {
    *m = (machine){.ctx = test_ctx(t->workers ? t->workers : 1), .third = t->third};
    test_ok(m->ctx, whet_i_params_create(m->ctx, t->dtype, &m->params));
    test_ok(m->ctx, whet_i_graph_create(m->ctx, m->params, &m->graph));
    m->graph->adapters = t->adapters;
    m->loss = t->record(m->ctx, m->graph, t, selection);
    for (int64_t i = 0; i < m->params->n; i++) {
        whet_i_param *p = &m->params->items[i];
        const bool norm = p->init == WHET_I_INIT_REQUIRED && p->rank == 1 &&
                          strstr(p->name, "orm") && strstr(p->name, "weight");
        p->trainable = !t->only || strstr(p->name, t->only);
        p->init = norm ? WHET_I_INIT_ONE : WHET_I_INIT_NORMAL;
        p->init_scale = 0.5;
    }
    test_ok(m->ctx, whet_i_params_settle(m->ctx, m->params, 3));
    whet_i_plan_opts opts = {.always_team = true,
                             .sizes = {.rows = {1, SEQUENCES, TOKENS},
                                       .longest = 7,
                                       .workers = whet_ctx_threads(m->ctx)},
                             .loss = m->loss,
                             .keep = &m->loss,
                             .n_keep = 1,
                             .recompute = t->recompute};
    opts.sizes.rows[WHET_I_ASKED] = ASKED;
    test_ok(m->ctx, whet_i_plan_create(m->ctx, m->graph, &opts, &m->plan));
    test_ok(m->ctx, whet_i_params_pack(m->ctx, m->params));
    test_ok(m->ctx, whet_i_executor_create(m->ctx, m->plan, &m->executor));
}

static double run(machine *m) {
    whet_i_batch batch = batch_of(m->graph, m->third);
    whet_i_executor_run(m->executor, &batch);
    return (double)whet_i_executor_value(m->executor, m->loss)[0];
}

static void drop(machine *m) {
    whet_i_executor_destroy(m->ctx, m->executor);
    whet_i_plan_destroy(m->ctx, m->plan);
    whet_i_graph_destroy(m->ctx, m->graph);
    whet_i_params_destroy(m->ctx, m->params);
    test_ctx_done(m->ctx);
}

static double largest_of(const whet_i_param *p) {
    double most = 0;
    for (int64_t i = 0; i < p->count; i++) most = fmax(most, fabs((double)p->gradient[i]));
    return most;
}

/* Each gradient within `bound` of the largest of all, or of what small ones are the difference of. */
static void compare(const trial *t, const machine *whole, const machine *some, double bound) {
    double most = 0, scale;
    int64_t trained = 0;
    assert_int_equal(whole->params->n, some->params->n);
    for (int64_t i = 0; i < whole->params->n; i++)
        if (whole->params->items[i].trainable)
            most = fmax(most, largest_of(&whole->params->items[i]));
    if (!(most > 1e-4)) print_error("%s: the largest gradient is %g\n", t->name, most);
    assert_true(most > 1e-4);
    scale = fmax(most, 0.01);
    for (int64_t i = 0; i < whole->params->n; i++) {
        const whet_i_param *a = &whole->params->items[i], *b = &some->params->items[i];
        assert_string_equal(a->name, b->name); /* declared in the same order */
        trained += a->trainable;
        for (int64_t j = 0; a->trainable && j < a->count; j++) {
            const double x = (double)a->gradient[j], y = (double)b->gradient[j];
            if (fabs(x - y) <= bound * scale) continue;
            print_error("%s, %s: %s[%lld]: gradient %.12g; whole %.12g (largest %g)\n", t->name,
                        t->family ? t->family : "", a->name, (long long)j, y, x, most);
            fail();
        }
    }
    assert_true(trained > 0);
}

static void check_bound(const trial *t, double bound) {
    machine whole, some, again;
    trial other = *t;
    make(&whole, t, WHET_I_ALL_TOKENS);
    other.workers = 3;
    make(&some, &other, t->selection);
    const double a = run(&whole), b = run(&some);
    if (a != b) print_error("%s: loss %.17g; whole %.17g\n", t->name, b, a);
    assert_true(a == b); /* to the bit */
    compare(t, &whole, &some, bound);
    other = *t;
    other.recompute = true;
    make(&again, &other, t->selection);
    assert_true(run(&again) == b);
    /* What is kept of a bfloat16 network is rounded, what is made again is not. */
    compare(t, &some, &again, t->dtype == WHET_BF16 ? bound : 0);
    drop(&again);
    drop(&some);
    drop(&whole);
}

static void check(const trial *t) { check_bound(t, BOUND); }

/* ---- attention alone --------------------------------------------------------------------------- */

static void copy_columns(const machine *from, const char *name, machine *to, int64_t first) {
    const whet_i_param *q = &from->params->items[whet_i_params_find(from->params, name)];
    whet_i_param *all = &to->params->items[whet_i_params_find(to->params, "x")];
    const int64_t n = q->shape[1], wide = all->shape[1];
    for (int64_t i = 0; i < TOKENS; i++)
        memcpy(all->values + i * wide + first, q->values + i * n, (size_t)n * sizeof *q->values);
}

static whet_i_attention_spec heads_of(const trial *t) {
    return (whet_i_attention_spec){
        .heads = 4, .groups = 2, .d = 3, .causal = t->causal, .dropout = t->dropout};
}

/* Whole: x and one more source, so that the nodes' numbers, which dropout hashes, are the same. */
static whet_i_value record_attention(whet_ctx *ctx, whet_i_graph *g, const trial *t,
                                     whet_i_selection selection) {
    const whet_i_attention_spec spec = heads_of(t);
    const int64_t own = spec.heads * spec.d, both = 2 * spec.groups * spec.d;
    whet_i_value x, y, z;
    if (selection == WHET_I_ALL_TOKENS) {
        x = source(ctx, g, "x", WHET_I_TOKENS, TOKENS, own + both);
        y = source(ctx, g, "none", WHET_I_TOKENS, TOKENS, own);
        test_ok(ctx, whet_i_select_tokens(ctx, g, y, t->selection, &y));
        test_ok(ctx, whet_i_attention_layer(ctx, g, x, &spec, &z));
        test_ok(ctx, whet_i_select_tokens(ctx, g, z, t->selection, &z));
        return weigh(ctx, g, z);
    }
    x = source(ctx, g, "q", WHET_I_TOKENS, TOKENS, own);
    y = source(ctx, g, "kv", WHET_I_TOKENS, TOKENS, both);
    test_ok(ctx, whet_i_select_tokens(ctx, g, x, selection, &x));
    test_ok(ctx, whet_i_attention_of(ctx, g, selection, x, y, &spec, &z));
    test_ok(ctx, whet_i_select_tokens(ctx, g, z, selection, &z)); /* zeros of the empty sequence */
    return weigh(ctx, g, z);
}

static void check_attention(const trial *t) {
    const whet_i_attention_spec spec = heads_of(t);
    const int64_t own = spec.heads * spec.d, both = 2 * spec.groups * spec.d, wide = own + both;
    machine whole, some;
    make(&whole, t, WHET_I_ALL_TOKENS);
    make(&some, t, t->selection);
    copy_columns(&some, "q", &whole, 0);
    copy_columns(&some, "kv", &whole, own);
    const double a = run(&whole), b = run(&some);
    assert_true(a == b && a != 0);
    const whet_i_param *x = &whole.params->items[whet_i_params_find(whole.params, "x")];
    const whet_i_param *q = &some.params->items[whet_i_params_find(some.params, "q")];
    const whet_i_param *kv = &some.params->items[whet_i_params_find(some.params, "kv")];
    for (int64_t i = 0; i < TOKENS; i++)
        for (int64_t j = 0; j < wide; j++) {
            const double expected = (double)x->gradient[i * wide + j];
            const double got = j < own ? (double)q->gradient[i * own + j]
                                       : (double)kv->gradient[i * both + j - own];
            if (!(fabs(got - expected) <= BOUND * largest_of(x)))
                print_error("%s: token %lld, column %lld: %.12g; expected %.12g\n", t->name,
                            (long long)i, (long long)j, got, expected);
            assert_true(fabs(got - expected) <= BOUND * largest_of(x));
        }
    drop(&some);
    drop(&whole);
}

static void attention_of_some_queries(void **state) {
    (void)state;
    for (int i = 0; i < 12; i++) {
        const trial t = {.name = "attention",
                         .record = record_attention,
                         .selection = (whet_i_selection)(WHET_I_FIRST_TOKENS + i % 3),
                         .causal = i / 3 % 2,
                         .dropout = i / 6 ? 0.3 : 0};
        check_attention(&t);
    }
}

/* ---- encoders ---------------------------------------------------------------------------------- */

static whet_i_encoder_config encoder_config(const trial *t) {
    return (whet_i_encoder_config){.family = whet_i_family_find(whet_str_from(t->family)),
                                   .hidden = HIDDEN,
                                   .layers = 2,
                                   .heads = HEADS,
                                   .inner = 10,
                                   .vocab = VOCAB,
                                   .positions = 12,
                                   .types = 2,
                                   .act = WHET_I_ACT_GELU,
                                   .epsilon = 1e-5F,
                                   .pooling = WHET_POOL_CLS,
                                   .normalize = true};
}

static whet_i_value record_encoder(whet_ctx *ctx, whet_i_graph *g, const trial *t,
                                   whet_i_selection selection) {
    const whet_i_encoder_config c = encoder_config(t);
    whet_i_value x, y;
    assert_int_equal(whet_i_encoder_selection(&c, WHET_I_HEAD_FAMILY), WHET_I_FIRST_TOKENS);
    test_ok(ctx, whet_i_encoder_record(ctx, g, &c, c.family->prefix, true, selection, &x));
    test_ok(ctx,
            whet_i_encoder_head(ctx, g, &c, c.family->prefix, true, WHET_I_HEAD_FAMILY, 3, x, &x));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, x, y, 0, &x));
    return x;
}

static whet_i_value record_embedding(whet_ctx *ctx, whet_i_graph *g, const trial *t,
                                     whet_i_selection selection) {
    const whet_i_encoder_config c = encoder_config(t);
    whet_i_value x;
    assert_int_equal(whet_i_encoder_selection(&c, WHET_I_HEAD_POOLED), WHET_I_FIRST_TOKENS);
    test_ok(ctx, whet_i_encoder_record(ctx, g, &c, "", true, selection, &x));
    test_ok(ctx, whet_i_encoder_pool(ctx, g, &c, x, &x));
    return weigh(ctx, g, x);
}

static const char *const families[] = {"bert", "roberta", "distilbert"};

static void encoders_whose_first_token_is_read(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(families); i++) {
        trial t = {.name = "encoder",
                   .record = record_encoder,
                   .selection = WHET_I_FIRST_TOKENS,
                   .family = families[i],
                   .third = types};
        check(&t);
        t.record = record_embedding;
        check(&t);
    }
}

/* What a frozen network leaves out of the last layer's backward pass: keys and values, or queries, or all
 * but the head. */
static void encoders_that_are_partly_frozen(void **state) {
    (void)state;
    static const char *const only[] = {"layer.1.attention.self.query",
                                       "layer.1.attention.self.key",
                                       "layer.1.attention.self.value",
                                       "layer.1.output.dense",
                                       "layer.0.attention",
                                       "classifier"};
    for (int64_t i = 0; i < WHET_COUNT_OF(only); i++) {
        const trial t = {.name = only[i],
                         .record = record_encoder,
                         .selection = WHET_I_FIRST_TOKENS,
                         .family = "bert",
                         .third = types,
                         .only = only[i]};
        check(&t);
    }
}

/* ---- language models --------------------------------------------------------------------------- */

static whet_i_llama_config llama_config(bool tied) {
    whet_i_llama_config c = {.hidden = HIDDEN,
                             .layers = 2,
                             .heads = 4,
                             .groups = 2,
                             .d = 4,
                             .inner = 10,
                             .vocab = VOCAB,
                             .positions = 12,
                             .act = WHET_I_ACT_SILU,
                             .epsilon = 1e-5F,
                             .tied = tied,
                             .frequency = {1, 0.1}};
    c.family = whet_i_llama_family_find(whet_str_from("qwen2")); /* with biases */
    assert_non_null(c.family);
    return c;
}

static whet_i_value record_next_tokens(whet_ctx *ctx, whet_i_graph *g, const trial *t,
                                       whet_i_selection selection) {
    const whet_i_llama_config c = llama_config(true);
    whet_i_value x, y;
    (void)t;
    test_ok(ctx, whet_i_llama_record(ctx, g, &c, selection, &x));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_TOKENS, 1, &y));
    test_ok(ctx, whet_i_head_loss(ctx, g, x, "model.embed_tokens.weight", VOCAB, y, &x));
    return x;
}

static whet_i_value record_classifier(whet_ctx *ctx, whet_i_graph *g, const trial *t,
                                      whet_i_selection selection) {
    const whet_i_llama_config c = llama_config(false);
    whet_i_value x, y;
    (void)t;
    test_ok(ctx, whet_i_llama_record(ctx, g, &c, selection, &x));
    test_ok(ctx, whet_i_llama_classifier(ctx, g, "score", 3, x, &x));
    test_ok(ctx, whet_i_graph_feed(ctx, g, true, WHET_I_EXAMPLES, 1, &y));
    test_ok(ctx, whet_i_cross_entropy(ctx, g, x, y, 0, &x));
    return x;
}

static void language_models_of_which_some_tokens_are_read(void **state) {
    (void)state;
    static const char *const only[] = {NULL, "layers.1.self_attn.q_proj",
                                       "layers.1.self_attn.v_proj", "layers.0.mlp"};
    for (int64_t i = 0; i < WHET_COUNT_OF(only); i++) {
        check(&(trial){.name = "next tokens",
                       .record = record_next_tokens,
                       .selection = WHET_I_ASKED_TOKENS,
                       .third = next,
                       .only = only[i]});
        check(&(trial){.name = "classifier",
                       .record = record_classifier,
                       .selection = WHET_I_LAST_TOKENS,
                       .only = only[i]});
    }
}

#ifndef WHET_I_DOUBLE
/* ---- adapters ----------------------------------------------------------------------------------- */

static bool is_layer(void *arg, const char *module) {
    (void)arg;
    return strstr(module, "layer.") != NULL;
}

static whet_status add_adapter(whet_ctx *ctx, whet_i_graph *graph, void *arg, const char *module,
                               whet_i_value x, whet_i_value *y, int64_t first, int64_t columns) {
    const whet_i_adapter_settings *a = arg;
    test_ok(ctx, whet_i_adapter_record(ctx, graph, module, x, y, first, columns, a));
    if (a->kind != WHET_I_ADAPTER_DORA) return WHET_OK;
    return whet_i_magnitude_record(ctx, graph, module, whet_i_columns(graph, x), y, first, columns,
                                   a);
}

static void adapters_of_all_kinds(void **state) {
    (void)state;
    whet_i_adapter_settings settings[] = {{WHET_I_ADAPTER_LORA, 1, 2, 2},
                                          {WHET_I_ADAPTER_MORE, 2, 2, 1},
                                          {WHET_I_ADAPTER_DORA, 1, 2, 2}};
    static const char *const only[] = {"lora_", "more_", "lora_"};
    for (int i = 0; i < 6; i++) {
        const whet_i_adapters adapters = {.applies = is_layer,
                                          .record = add_adapter,
                                          .arg = &settings[i % 3],
                                          .before_residual = i % 3 == 2};
        const trial t = {.name = "adapters",
                         .record = record_encoder,
                         .selection = WHET_I_FIRST_TOKENS,
                         .family = families[i % 2],
                         .third = types,
                         .only = i < 3 ? only[i] : "query.",
                         .adapters = &adapters};
        check(&t);
    }
}

/* Rounded to 8 bits are the same numbers but for those whose sums were in another order: the bound is a few
 * roundings of one number. */
static void in_bfloat16(void **state) {
    (void)state;
    for (int64_t i = 0; i < WHET_COUNT_OF(families); i++) {
        const trial t = {.name = "bfloat16",
                         .record = record_encoder,
                         .selection = WHET_I_FIRST_TOKENS,
                         .family = families[i],
                         .third = types,
                         .dtype = WHET_BF16};
        check_bound(&t, 1.0 / 128);
    }
    check_bound(&(trial){.name = "bfloat16",
                         .record = record_next_tokens,
                         .selection = WHET_I_ASKED_TOKENS,
                         .third = next,
                         .dtype = WHET_BF16},
                1.0 / 128);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef WHET_I_DOUBLE
        cmocka_unit_test(adapters_of_all_kinds),
        cmocka_unit_test(in_bfloat16),
#endif
        cmocka_unit_test(attention_of_some_queries),
        cmocka_unit_test(encoders_whose_first_token_is_read),
        cmocka_unit_test(encoders_that_are_partly_frozen),
        cmocka_unit_test(language_models_of_which_some_tokens_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
