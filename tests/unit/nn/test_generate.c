/* SPDX-License-Identifier: Apache-2.0
 * Generation with a cache against whole passes over the same tokens, on tests/golden/llama. */
#include "made_llama.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder(const char *name) {
    static char relative[128];
    (void)snprintf(relative, sizeof relative, "tests/golden/llama/%s", name);
    return test_source(relative);
}

static whet_language_model *load(whet_ctx *ctx, const char *name, whet_dtype dtype) {
    whet_language_model *m;
    test_ok(ctx, whet_i_calloc(ctx, 1, &m));
    test_ok(ctx, whet_i_language_model_weights(ctx, folder(name), dtype, m));
    return m;
}

static int64_t prompt_start[] = {0, 3, 3, 10, 11};
static int32_t prompt_ids[] = {5, 9, 12, 4, 4, 7, 20, 29, 3, 11, 8};
static const whet_token_rows prompts = {4, prompt_start, prompt_ids, NULL};

/* The most likely token after ids[0..n), by a pass over all of them. */
static int32_t next_token(whet_ctx *ctx, const whet_language_model *m, const int32_t *ids,
                          int64_t n) {
    float *logits = malloc((size_t)m->config.vocab * sizeof *logits);
    int32_t best = 0;
    assert_non_null(logits);
    whole_pass(ctx, m, ids, n, logits);
    for (int32_t i = 1; i < (int32_t)m->config.vocab; i++)
        if (logits[i] > logits[best]) best = i;
    free(logits);
    return best;
}

static void check_greedy(const char *name) {
    enum { TOKENS = 20 };
    whet_ctx *ctx = test_ctx(2);
    whet_language_model *m = load(ctx, name, WHET_F32);
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    whet_token_rows made = {0};
    opts.max_tokens = TOKENS;
    opts.no_stop = true;
    test_ok(ctx, whet_generate(ctx, m, &prompts, &opts, &made));
    assert_int_equal(made.n_rows, 4);
    for (int64_t i = 0; i < made.n_rows; i++) {
        int32_t ids[64];
        int64_t n = prompt_start[i + 1] - prompt_start[i];
        memcpy(ids, prompt_ids + prompt_start[i], (size_t)n * sizeof *ids);
        if (n == 0) ids[n++] = m->config.begin;
        assert_int_equal(made.start[i + 1] - made.start[i], TOKENS);
        for (int64_t t = 0; t < TOKENS; t++) {
            assert_int_equal(made.ids[made.start[i] + t], next_token(ctx, m, ids, n));
            ids[n++] = made.ids[made.start[i] + t];
        }
    }
    whet_token_rows_destroy(ctx, &made);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static void the_cache_gives_what_whole_passes_give(void **state) {
    (void)state;
    check_greedy("llama");
    check_greedy("llama3");
    check_greedy("qwen2");
}

/* ---- scores ----------------------------------------------------------------------------------- */

/* log p of ids[asked..n), a whole pass for each token. */
static double whole_score(whet_ctx *ctx, const whet_language_model *m, const int32_t *ids,
                          int64_t n, int64_t asked) {
    const int64_t vocab = m->config.vocab;
    float *logits = malloc((size_t)vocab * sizeof *logits);
    double score = 0;
    assert_non_null(logits);
    for (int64_t at = asked; at < n; at++) {
        double sum = 0;
        whole_pass(ctx, m, ids, at, logits);
        for (int64_t i = 0; i < vocab; i++) sum += exp((double)logits[i]);
        score += (double)logits[ids[at]] - log(sum);
    }
    free(logits);
    return score;
}

/* Rows that share much with the one before, all of it, a part of what is asked, or nothing; one token; rows
 * that go back behind what was shared. */
static void scores_are_those_of_whole_passes(void **state) {
    (void)state;
    enum { ROWS = 7 };
    whet_ctx *ctx = test_ctx(2);
    whet_language_model *m = load(ctx, "llama3", WHET_F32);
    int32_t ids[] = {5,  9, 12, 4, 8, 5, 9, 12, 4, 7, 5,  9, 12, 4, 8,  5, 9,
                     12, 4, 8,  2, 3, 1, 2, 3,  5, 9, 11, 4, 5,  9, 11, 4};
    int64_t start[] = {0, 5, 10, 15, 21, 25, 29, 33};
    const int64_t asked[ROWS] = {4, 4, 2, 3, 1, 2, 4};
    const whet_token_rows rows = {ROWS, start, ids, NULL};
    double scores[ROWS];
    test_ok(ctx, whet_language_model_score(ctx, m, &rows, asked, scores));
    for (int64_t i = 0; i < ROWS; i++) {
        const double expected =
            whole_score(ctx, m, ids + start[i], start[i + 1] - start[i], asked[i]);
        /* Sums of products in f32 in another order. */
        if (!(fabs(scores[i] - expected) <= 1e-4 * (1 + fabs(expected))))
            print_error("row %lld: %.9g; expected %.9g\n", (long long)i, scores[i], expected);
        assert_true(fabs(scores[i] - expected) <= 1e-4 * (1 + fabs(expected)));
    }
    assert_true(scores[6] == 0); /* nothing is asked */
    const int64_t none[ROWS] = {4, 4, 0, 3, 1, 2, 4};
    test_fails(ctx, whet_language_model_score(ctx, m, &rows, none, scores), WHET_ERR_ARG);
    ids[3] = (int32_t)m->config.vocab;
    test_fails(ctx, whet_language_model_score(ctx, m, &rows, asked, scores), WHET_ERR_DATA);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static whet_status score_once(whet_ctx *ctx, void *arg) {
    const int64_t asked[] = {1, 1};
    int64_t start[] = {0, 3, 6};
    int32_t ids[] = {5, 9, 12, 5, 9, 4};
    const whet_token_rows rows = {2, start, ids, NULL};
    double scores[2];
    return whet_language_model_score(ctx, arg, &rows, asked, scores);
}

static void allocations_of_scoring_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = load(ctx, "llama", WHET_F32);
    assert_true(test_each_allocation(score_once, m) > 5);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

/* ---- draws ------------------------------------------------------------------------------------ */

static void generate(whet_ctx *ctx, const whet_language_model *m, const whet_generate_opts *opts,
                     const whet_token_rows *from, whet_token_rows *out) {
    test_ok(ctx, whet_generate(ctx, m, from, opts, out));
}

static bool same_rows(const whet_token_rows *a, const whet_token_rows *b) {
    return a->n_rows == b->n_rows &&
           memcmp(a->start, b->start, (size_t)(a->n_rows + 1) * sizeof *a->start) == 0 &&
           memcmp(a->ids, b->ids, (size_t)a->start[a->n_rows] * sizeof *a->ids) == 0;
}

/* Draws: by the seed, not by the threads; a prompt's do not depend on its company. */
static void draws_follow_the_seed(void **state) {
    (void)state;
    whet_token_rows made[4] = {0};
    whet_ctx *ctx[4];
    whet_language_model *m[4];
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    opts.max_tokens = 12;
    opts.temperature = 1.5;
    opts.no_stop = true;
    for (int i = 0; i < 4; i++) {
        ctx[i] = test_ctx(i == 1 ? 5 : 1);
        m[i] = load(ctx[i], "llama", WHET_F32);
        opts.seed = i == 2 ? 8 : 7;
        const whet_token_rows one = {1, prompt_start, prompt_ids, NULL};
        generate(ctx[i], m[i], &opts, i == 3 ? &one : &prompts, &made[i]);
    }
    assert_true(same_rows(&made[0], &made[1]));
    assert_false(same_rows(&made[0], &made[2]));
    assert_memory_equal(made[0].ids, made[3].ids, 12 * sizeof *made[0].ids);
    for (int i = 0; i < 4; i++) {
        whet_token_rows_destroy(ctx[i], &made[i]);
        whet_language_model_destroy(ctx[i], m[i]);
        test_ctx_done(ctx[i]);
    }
}

/* top_k 1 and a tiny top_p leave the most likely token only. */
static void cuts_that_leave_one_token_are_greedy(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = load(ctx, "mistral", WHET_F32);
    whet_token_rows greedy = {0}, made = {0};
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    opts.max_tokens = 10;
    generate(ctx, m, &opts, &prompts, &greedy);
    opts.temperature = 3;
    opts.top_k = 1;
    generate(ctx, m, &opts, &prompts, &made);
    assert_true(same_rows(&greedy, &made));
    whet_token_rows_destroy(ctx, &made);
    opts.top_k = 0;
    opts.top_p = 1e-9;
    generate(ctx, m, &opts, &prompts, &made);
    assert_true(same_rows(&greedy, &made));
    whet_token_rows_destroy(ctx, &made);
    whet_token_rows_destroy(ctx, &greedy);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

/* 64 positions: a long request ends there; a prompt that fills them is refused. */
static void it_ends_at_the_model_s_positions(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = load(ctx, "llama", WHET_F32);
    whet_token_rows made = {0};
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    opts.max_tokens = 1000;
    opts.no_stop = true;
    generate(ctx, m, &opts, &prompts, &made);
    for (int64_t i = 0; i < 4; i++) {
        const int64_t n = prompt_start[i + 1] - prompt_start[i];
        /* the last token needs no place: it is not read again */
        assert_int_equal(made.start[i + 1] - made.start[i], 64 - (n ? n : 1) + 1);
    }
    whet_token_rows_destroy(ctx, &made);
    static int32_t ids[64];
    int64_t start[] = {0, 64};
    const whet_token_rows full = {1, start, ids, NULL};
    test_fails(ctx, whet_generate(ctx, m, &full, &opts, &made), WHET_ERR_DATA);
    test_says(ctx, "positions");
    ids[0] = 30;
    start[1] = 1;
    test_fails(ctx, whet_generate(ctx, m, &full, &opts, &made), WHET_ERR_DATA);
    opts.top_p = 0;
    test_fails(ctx, whet_generate(ctx, m, &prompts, &opts, &made), WHET_ERR_ARG);
    const whet_token_rows none = {0, start, ids, NULL};
    opts.top_p = 1;
    generate(ctx, m, &opts, &none, &made);
    assert_int_equal(made.n_rows, 0);
    whet_token_rows_destroy(ctx, &made);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static whet_status load_and_generate(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_language_model *m;
    whet_token_rows made = {0};
    whet_generate_opts opts = WHET_GENERATE_OPTS_INIT;
    opts.max_tokens = 3;
    WHET_TRY(whet_i_calloc(ctx, 1, &m));
    whet_status status = whet_i_language_model_weights(ctx, folder("llama"), WHET_BF16, m);
    if (status == WHET_OK) status = whet_generate(ctx, m, &prompts, &opts, &made);
    whet_token_rows_destroy(ctx, &made);
    whet_language_model_destroy(ctx, m);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    assert_true(test_each_allocation(load_and_generate, NULL) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cache_gives_what_whole_passes_give),
        cmocka_unit_test(scores_are_those_of_whole_passes),
        cmocka_unit_test(allocations_of_scoring_may_fail),
        cmocka_unit_test(draws_follow_the_seed),
        cmocka_unit_test(cuts_that_leave_one_token_are_greedy),
        cmocka_unit_test(it_ends_at_the_model_s_positions),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
