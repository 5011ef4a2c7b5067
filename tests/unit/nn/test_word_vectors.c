/* SPDX-License-Identifier: Apache-2.0
 * A table of vectors whose rows are mostly not reached: trained by the rows that ever had a gradient, it
 * has the bits of one that is trained as a whole, also when the run is interrupted. */
#include "support.h"

#include <string.h>

#include "nn/ops_i.h"
#include "nn/optimizer_i.h"

/* More numbers than one block of the optimizer, whose end is in the middle of a row. */
enum { WORDS = 900, COLUMNS = 88, TOKENS = 12, ROWS = 3, STEPS = 8, REACHED = 40 };

typedef struct trained {
    whet_ctx *ctx;
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_optimizer *optimizer;
} trained;

static trained start(int32_t threads, whet_i_optimizer_kind kind, bool whole) {
    trained r = {.ctx = test_ctx(threads)};
    whet_i_value x, y, loss;
    whet_i_optimizer_settings s = WHET_I_OPTIMIZER_SETTINGS_INIT;
    whet_i_embedding_spec spec = {
        .tables = 1, .modules = {"word"}, .rows = {WORDS}, .columns = COLUMNS, .init_scale = 1};
    test_ok(r.ctx, whet_i_params_create(r.ctx, WHET_F32, &r.params));
    test_ok(r.ctx, whet_i_graph_create(r.ctx, r.params, &r.graph));
    test_ok(r.ctx, whet_i_graph_feed(r.ctx, r.graph, true, WHET_I_TOKENS, 1, &spec.ids[0]));
    test_ok(r.ctx, whet_i_graph_feed(r.ctx, r.graph, false, WHET_I_EXAMPLES, COLUMNS, &y));
    test_ok(r.ctx, whet_i_embedding(r.ctx, r.graph, &spec, &x));
    test_ok(r.ctx, whet_i_pool_tokens(r.ctx, r.graph, x, WHET_I_POOL_MEAN, &x));
    test_ok(r.ctx, whet_i_mse(r.ctx, r.graph, x, y, &loss));
    r.params->items[0].trainable = true;
    r.params->items[0].by_product = whole;
    test_ok(r.ctx, whet_i_params_settle(r.ctx, r.params, 3));
    assert_true((r.params->items[0].live == NULL) == whole);
    const whet_i_plan_opts opts = {
        .always_team = true,
        .sizes = {.rows = {1, ROWS, TOKENS}, .longest = TOKENS, .workers = threads},
        .loss = loss};
    test_ok(r.ctx, whet_i_plan_create(r.ctx, r.graph, &opts, &r.plan));
    test_ok(r.ctx, whet_i_executor_create(r.ctx, r.plan, &r.executor));
    s.kind = kind;
    s.weight_decay = 0.1;
    s.clip = 0.01;
    test_ok(r.ctx, whet_i_optimizer_create(r.ctx, r.params, &s, &r.optimizer));
    return r;
}

static void finish(trained *r) {
    whet_i_optimizer_destroy(r->ctx, r->optimizer);
    whet_i_executor_destroy(r->ctx, r->executor);
    whet_i_plan_destroy(r->ctx, r->plan);
    whet_i_graph_destroy(r->ctx, r->graph);
    whet_i_params_destroy(r->ctx, r->params);
    test_ctx_done(r->ctx);
}

/* Every second step accumulates two batches. Words are 0, the last, and some between, others each time. */
static void take(trained *r, int64_t from, int64_t to) {
    static const int64_t begins[] = {0, 5, 5, TOKENS};
    int32_t ids[TOKENS];
    float targets[ROWS * COLUMNS];
    for (int64_t step = from; step < to; step++) {
        double norm;
        for (int64_t part = 0; part <= step % 2; part++) {
            for (int64_t i = 0; i < TOKENS; i++)
                ids[i] = (int32_t)((step * 5 + part + i * i) % REACHED * 907 % WORDS);
            ids[1] = WORDS - 1;
            for (int64_t i = 0; i < ROWS * COLUMNS; i++)
                targets[i] = (float)((i * 7 + step) % 11) - 5;
            const whet_i_batch batch = {.rows = {1, ROWS, TOKENS},
                                        .start = begins,
                                        .feeds = {ids, targets},
                                        .loss_scale = 1,
                                        .train = true,
                                        .accumulate = part > 0};
            whet_i_executor_run(r->executor, &batch);
        }
        test_ok(r->ctx, whet_i_optimizer_step(r->ctx, r->optimizer, 0.05, &norm));
    }
}

static void same(const trained *a, const trained *b) {
    const size_t bytes = WORDS * COLUMNS * sizeof(float);
    assert_memory_equal(a->params->items[0].values, b->params->items[0].values, bytes);
    assert_memory_equal(a->params->items[0].gradient, b->params->items[0].gradient, bytes);
    assert_memory_equal(a->optimizer->first[0], b->optimizer->first[0], bytes);
    if (a->optimizer->second[0])
        assert_memory_equal(a->optimizer->second[0], b->optimizer->second[0], bytes);
}

static int64_t live_rows(const trained *r) {
    int64_t sum = 0;
    for (int64_t i = 0; i < WORDS; i++) sum += r->params->items[0].live[i];
    return sum;
}

static void check(whet_i_optimizer_kind kind) {
    trained whole = start(1, kind, true);
    take(&whole, 0, STEPS);
    for (int32_t threads = 1; threads < 6; threads += threads) {
        trained rows = start(threads, kind, false);
        take(&rows, 0, STEPS);
        same(&rows, &whole);
        assert_true(live_rows(&rows) > 1 && live_rows(&rows) <= REACHED + 1);
        finish(&rows);
    }
    finish(&whole);
}

static void rows_have_the_bits_of_the_whole(void **state) {
    (void)state;
    check(WHET_I_ADAMW);
    check(WHET_I_SGD);
}

static void an_interrupted_run_too(void **state) {
    (void)state;
    const char *path = test_tmp("state.safetensors");
    const whet_i_training_state at = {.step = 3};
    whet_i_training_state found;
    trained whole = start(2, WHET_I_ADAMW, true), first = start(2, WHET_I_ADAMW, false);
    trained second = start(2, WHET_I_ADAMW, false);
    take(&whole, 0, STEPS);
    take(&first, 0, 3);
    const int64_t live = live_rows(&first);
    test_ok(first.ctx, whet_i_training_save(first.ctx, path, first.optimizer, &at, "x"));
    test_ok(second.ctx, whet_i_training_load(second.ctx, path, second.optimizer, &found, "x"));
    assert_int_equal(live_rows(&second), live);
    take(&second, 3, STEPS);
    same(&second, &whole);
    take(&first, 3, STEPS); /* back to an earlier state, over rows that have lived since */
    test_ok(first.ctx, whet_i_training_load(first.ctx, path, first.optimizer, &found, "x"));
    take(&first, 3, STEPS);
    same(&first, &whole);
    finish(&first);
    finish(&second);
    finish(&whole);
}

/* A weight that is recorded later reaches all rows. */
static void a_product_reaches_all_rows(void **state) {
    (void)state;
    trained r = start(1, WHET_I_ADAMW, false);
    whet_i_value x = r.graph->nodes[0].outputs[0];
    test_ok(r.ctx, whet_i_tied_linear(r.ctx, r.graph, x, "word.weight", WORDS, &x));
    assert_int_equal(live_rows(&r), WORDS);
    finish(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_the_bits_of_the_whole),
        cmocka_unit_test(an_interrupted_run_too),
        cmocka_unit_test(a_product_reaches_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
