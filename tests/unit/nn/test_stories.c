/* SPDX-License-Identifier: Apache-2.0
 * A small real language model (stories260K) as torch has it (tests/golden/stories): what it says by
 * itself; trained on four lines, its tokens, the loss and the gradients of a step, the losses of thirty. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "nn/language_model_i.h"
#include "nn/optimizer_i.h"
#include "nn/text_batch.h"

enum { STEPS = 30, COMPARED = 20, TEXTS = 4, MOST = 120, SAID = 300 };

static const char *const lines[TEXTS] = {
    "The captain sailed around the cold island, and nobody knew why.", "Dogs bark.",
    "Once upon a time, there was a tax form with forty pages! Tim had to fill in all of them.",
    "A"};

/* A loss is a mean over 80 tokens of sums that went through five layers of f32: some 2^-24 times the
 * square root of a few thousand terms, 4e-6. Thirty steps that depend on each other grow that; AdamW
 * also divides by the size of gradients that are themselves rounded. A step with a wrong factor is off
 * by over 1e-2 after a few. */
#define LOSS_BOUND 1e-4
/* Of the largest number of an array. In training 3.1 x 2^-16 (5e-5) may be left out of each product
 * (kernels_i.h), a few times in a row; signs differ. With whole products 2e-5 holds. */
#define GRADIENT_BOUND 1e-4

/* ---- the model's folder ------------------------------------------------------------------------ */

static const char *folder(void) {
    static char dir[512];
    char command[2048];
    if (dir[0]) return dir;
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("stories"));
    (void)snprintf(command, sizeof command, "python3 '%s' '%s' '%s'",
                   test_source("tests/support/stories_folder.py"), test_shared("data/stories260K"),
                   dir);
    assert_int_equal(system(command), 0);
    return dir;
}

/* An array of the golden file, whose numbers may be unaligned; whet_tensor_destroy. */
static whet_tensor golden(whet_ctx *ctx, const char *name) {
    whet_safetensors *file;
    whet_tensor view, copy;
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/stories/expected.safetensors"), &file));
    if (!whet_safetensors_find(file, name, &view)) print_error("%s is missing\n", name);
    assert_true(whet_safetensors_find(file, name, &view));
    test_ok(ctx, whet_tensor_convert(ctx, &view, view.dtype, &copy));
    whet_safetensors_close(ctx, file);
    return copy;
}

/* ---- training ---------------------------------------------------------------------------------- */

typedef struct trainer {
    whet_ctx *ctx;
    whet_language_model *model; /* its files, settings and tokenizer */
    whet_i_params *params;
    whet_i_graph *graph;
    whet_i_value loss;
    whet_token_rows rows;
    whet_i_text_batch batch;
    int32_t *labels; /* the next token, or -100 */
    whet_i_plan *plan;
    whet_i_executor *executor;
    whet_i_optimizer *optimizer;
} trainer;

static void tokenize(trainer *t) {
    whet_str texts[TEXTS];
    const int64_t order[TEXTS] = {0, 1, 2, 3};
    for (int i = 0; i < TEXTS; i++) texts[i] = whet_str_from(lines[i]);
    test_ok(t->ctx, whet_tokenizer_encode(t->ctx, whet_language_model_tokenizer(t->model), texts,
                                          TEXTS, 0, &t->rows));
    const int64_t tokens = t->rows.start[TEXTS];
    test_ok(t->ctx, whet_i_text_batch_init(t->ctx, &t->batch, tokens, TEXTS));
    whet_i_text_batch_fill(&t->batch, &t->rows, order, TEXTS, 0);
    test_ok(t->ctx, whet_i_alloc(t->ctx, tokens, &t->labels));
    for (int64_t i = 0; i < TEXTS; i++)
        for (int64_t j = t->rows.start[i]; j < t->rows.start[i + 1]; j++)
            t->labels[j] = j + 1 < t->rows.start[i + 1] ? t->rows.ids[j + 1] : -100;
    t->batch.batch.feeds[2] = t->labels; /* behind ids and positions */
    t->batch.batch.train = true;
}

static void record(trainer *t) {
    whet_i_value hidden, logits, labels;
    test_ok(t->ctx, whet_i_params_create(t->ctx, WHET_F32, &t->params));
    test_ok(t->ctx, whet_i_graph_create(t->ctx, t->params, &t->graph));
    test_ok(t->ctx,
            whet_i_llama_record(t->ctx, t->graph, &t->model->config, WHET_I_ALL_TOKENS, &hidden));
    test_ok(t->ctx, whet_i_llama_head(t->ctx, t->graph, &t->model->config, hidden, &logits));
    test_ok(t->ctx, whet_i_graph_feed(t->ctx, t->graph, true, WHET_I_TOKENS, 1, &labels));
    test_ok(t->ctx, whet_i_cross_entropy(t->ctx, t->graph, logits, labels, 0, &t->loss));
    test_ok(t->ctx, whet_i_params_bind(t->ctx, t->params, t->model->files.items[0].tensors,
                                       t->model->files.items[0].name, "", NULL));
    for (int64_t i = 0; i < t->params->n; i++) t->params->items[i].trainable = true;
    test_ok(t->ctx, whet_i_params_settle(t->ctx, t->params, 0));
}

static void open_trainer(trainer *t, int32_t workers, bool recompute) {
    const whet_i_optimizer_settings adamw = {WHET_I_ADAMW, 0.9, 0.99, 1e-6, 0, false, 0.1, 0};
    *t = (trainer){.ctx = test_ctx(workers)};
    test_ok(t->ctx, whet_language_model_load(t->ctx, folder(), WHET_F32, &t->model));
    tokenize(t);
    record(t);
    const whet_i_plan_opts opts = {.sizes = {.rows = {1, TEXTS, t->rows.start[TEXTS]},
                                             .longest = t->rows.start[TEXTS],
                                             .workers = workers},
                                   .loss = t->loss,
                                   .recompute = recompute};
    test_ok(t->ctx, whet_i_plan_create(t->ctx, t->graph, &opts, &t->plan));
    test_ok(t->ctx, whet_i_executor_create(t->ctx, t->plan, &t->executor));
    test_ok(t->ctx, whet_i_optimizer_create(t->ctx, t->params, &adamw, &t->optimizer));
}

static void close_trainer(trainer *t) {
    whet_i_optimizer_destroy(t->ctx, t->optimizer);
    whet_i_executor_destroy(t->ctx, t->executor);
    whet_i_plan_destroy(t->ctx, t->plan);
    whet_i_graph_destroy(t->ctx, t->graph);
    whet_i_params_destroy(t->ctx, t->params);
    whet_i_free(t->ctx, t->labels);
    whet_i_text_batch_free(t->ctx, &t->batch);
    whet_token_rows_destroy(t->ctx, &t->rows);
    whet_language_model_destroy(t->ctx, t->model);
    test_ctx_done(t->ctx);
}

static float run(trainer *t) {
    test_ok(t->ctx, whet_i_params_pack(t->ctx, t->params));
    whet_i_executor_run(t->executor, &t->batch.batch);
    return whet_i_executor_value(t->executor, t->loss)[0];
}

static float step(trainer *t) {
    double norm;
    const float loss = run(t);
    test_ok(t->ctx, whet_i_optimizer_step(t->ctx, t->optimizer, 1e-3, &norm));
    return loss;
}

/* ---- against torch ----------------------------------------------------------------------------- */

static void the_tokens_are_transformers_(void **state) {
    (void)state;
    test_need_shared("data/stories260K");
    trainer t;
    open_trainer(&t, 1, false);
    whet_tensor ids = golden(t.ctx, "ids"), start = golden(t.ctx, "start");
    assert_int_equal(start.shape[0], TEXTS + 1);
    assert_memory_equal(t.rows.start, start.data, (TEXTS + 1) * sizeof(int64_t));
    assert_int_equal(ids.shape[0], t.rows.start[TEXTS]);
    assert_memory_equal(t.rows.ids, ids.data, (size_t)ids.shape[0] * sizeof(int32_t));
    whet_tensor_destroy(t.ctx, &ids);
    whet_tensor_destroy(t.ctx, &start);
    close_trainer(&t);
}

static void compare_gradient(trainer *t, const whet_i_param *p) {
    char name[256];
    (void)snprintf(name, sizeof name, "gradient.%s", p->name);
    whet_tensor expected = golden(t->ctx, name);
    (void)snprintf(name, sizeof name, "largest.%s", p->name);
    whet_tensor largest = golden(t->ctx, name);
    const float *e = expected.data;
    const double bound = GRADIENT_BOUND * (double)((const float *)largest.data)[0];
    const int64_t thin = (p->count + MOST - 1) / MOST;
    assert_int_equal(expected.shape[0], (p->count + thin - 1) / thin);
    for (int64_t i = 0; i < expected.shape[0]; i++) {
        const double got = (double)p->gradient[i * thin];
        if (fabs(got - (double)e[i]) <= bound) continue;
        print_error("%s[%lld]: %g; expected %g +- %g\n", p->name, (long long)i * thin, got,
                    (double)e[i], bound);
        fail();
    }
    whet_tensor_destroy(t->ctx, &expected);
    whet_tensor_destroy(t->ctx, &largest);
}

/* Each token is ahead of the next likely one by 0.004 or more, of logits near 10: some hundred times what
 * f32 rounds. Far more positions than a block of attention has. */
static void it_says_what_it_says_in_torch(void **state) {
    (void)state;
    test_need_shared("data/stories260K");
    whet_ctx *ctx = test_ctx(2);
    whet_language_model *m;
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    int64_t start[] = {0, 0};
    int32_t none = 0;
    const whet_token_rows begin = {1, start, &none, NULL};
    whet_token_rows made = {0};
    whet_tensor said = golden(ctx, "said");
    opts.max_tokens = SAID;
    opts.no_stop = true;
    test_ok(ctx, whet_language_model_load(ctx, folder(), WHET_F32, &m));
    test_ok(ctx, whet_generate(ctx, m, &begin, &opts, &made));
    assert_int_equal(said.shape[0], SAID);
    assert_int_equal(made.start[1], SAID);
    assert_memory_equal(made.ids, said.data, SAID * sizeof(int32_t));
    whet_tensor_destroy(ctx, &said);
    whet_token_rows_destroy(ctx, &made);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static void gradients_are_torch_s(void **state) {
    (void)state;
    test_need_shared("data/stories260K");
    trainer t;
    open_trainer(&t, 2, false);
    whet_tensor losses = golden(t.ctx, "losses");
    const double expected = ((const double *)losses.data)[0];
    assert_true(fabs((double)run(&t) - expected) <= 1e-5 * expected);
    assert_int_equal(t.params->n, 47);
    for (int64_t i = 0; i < t.params->n; i++) compare_gradient(&t, &t.params->items[i]);
    whet_tensor_destroy(t.ctx, &losses);
    close_trainer(&t);
}

static void thirty_steps_lower_the_loss_as_torch_s(void **state) {
    (void)state;
    test_need_shared("data/stories260K");
    trainer t;
    open_trainer(&t, 2, false);
    whet_tensor losses = golden(t.ctx, "losses");
    const double *expected = losses.data;
    assert_int_equal(losses.shape[0], STEPS);
    for (int64_t i = 0; i < STEPS; i++) {
        const double loss = (double)step(&t);
        if (i < COMPARED && fabs(loss - expected[i]) > LOSS_BOUND * expected[i]) {
            print_error("step %lld: %.9g; expected %.9g\n", (long long)i, loss, expected[i]);
            fail();
        }
        if (i + 1 == STEPS) assert_true(loss < expected[0] / 20);
    }
    whet_tensor_destroy(t.ctx, &losses);
    close_trainer(&t);
}

/* Neither the team nor recomputed segments change a bit of a run. */
static void a_run_has_one_result(void **state) {
    (void)state;
    test_need_shared("data/stories260K");
    uint64_t first = 0;
    for (int i = 0; i < 3; i++) {
        trainer t;
        uint64_t hash = 0;
        open_trainer(&t, 1 + 2 * (i > 0), i > 1);
        for (int64_t s = 0; s < 5; s++) {
            const float loss = step(&t);
            hash = hash * 31 + whet_i_hash_bytes(&loss, sizeof loss);
        }
        for (int64_t p = 0; p < t.params->n; p++)
            hash = hash * 31 + whet_i_hash_bytes(t.params->items[p].values,
                                                 t.params->items[p].count * (int64_t)sizeof(float));
        if (i == 0) first = hash;
        assert_true(hash == first);
        close_trainer(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tokens_are_transformers_),
        cmocka_unit_test(it_says_what_it_says_in_torch),
        cmocka_unit_test(gradients_are_torch_s),
        cmocka_unit_test(thirty_steps_lower_the_loss_as_torch_s),
        cmocka_unit_test(a_run_has_one_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
