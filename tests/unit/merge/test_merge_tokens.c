/* SPDX-License-Identifier: Apache-2.0
 * Tables of words whose models have other tokens: rows by hand, by default and as a recipe says. Column j of
 * a row is its number times j + 1, so that rows are seen to be whole; all numbers are exact in f32. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_i.h"
#include "merge/merge_plan.h"

/* A row is longer than what a mean is made of at a time. */
enum { ROWS = 3, WIDTH = 700 };

/* a 1, b 2, c 3 of A; b 4, c 5, x 6 of B; c 7, x 8, y 9 of C. */
static const struct {
    const char *name, *tokens;
    float values[ROWS];
} folders[] = {{"A", "\"a\":0,\"b\":1,\"c\":2", {1, 2, 3}},
               {"B", "\"b\":0,\"c\":1,\"x\":2", {4, 5, 6}},
               {"C", "\"c\":0,\"x\":1,\"y\":2", {7, 8, 9}}};

static const char *under(const char *folder, const char *name) {
    static char buffers[4][4300];
    static int at;
    at = (at + 1) % 4;
    (void)snprintf(buffers[at], sizeof buffers[at], "%s/%s", folder, name);
    return buffers[at];
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void write_table(whet_ctx *ctx, const char *path, const char *name, const float *values,
                        int64_t rows, int64_t width) {
    const int64_t shape[2] = {rows, width};
    whet_named_tensor one = {.name = name};
    test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 2, shape, &one.tensor));
    for (int64_t i = 0; i < rows * width; i++)
        ((float *)one.tensor.data)[i] = values[i / width] * (float)(1 + i % width);
    test_ok(ctx, whet_safetensors_write(ctx, path, true, &one, 1, NULL));
    whet_tensor_destroy(ctx, &one.tensor);
}

static void write_folders(whet_ctx *ctx) {
    for (int64_t k = 0; k < WHET_COUNT_OF(folders); k++) {
        char text[256], folder[4200];
        (void)snprintf(folder, sizeof folder, "%s", test_tmp(folders[k].name));
        (void)mkdir(folder, 0777);
        (void)snprintf(text, sizeof text, "{\"model\":{\"vocab\":{%s}}}", folders[k].tokens);
        write_text(under(folder, "tokenizer.json"), text);
        write_text(under(folder, "config.json"), "{\"vocab_size\":3}");
        write_table(ctx, under(folder, "model.safetensors"), "lm_head.weight", folders[k].values,
                    ROWS, WIDTH);
    }
}

/* The recipe with @A, @B, @C replaced by the folders. */
static void write_recipe(const char *text, char *path, size_t size) {
    char out[16384];
    size_t used = 0;
    for (const char *c = text; *c; c++) {
        if (*c == '@') {
            const char name[2] = {*++c, '\0'};
            used += (size_t)snprintf(out + used, sizeof out - used, "%s", test_tmp(name));
        } else {
            out[used++] = *c;
        }
        assert_true(used < sizeof out - 1);
    }
    out[used] = '\0';
    (void)snprintf(path, size, "%s", test_tmp("recipe.yml"));
    (void)test_write_text("recipe.yml", out);
}

static whet_status run(whet_ctx *ctx, const char *recipe, const char *output) {
    whet_merge_plan *plan = NULL;
    whet_merge_job job = WHET_MERGE_JOB_INIT;
    job.recipe = recipe;
    job.output = output;
    job.force = true;
    WHET_TRY(whet_merge_plan_create(ctx, &job, &plan));
    const whet_status status = whet_merge_plan_run(ctx, plan, NULL);
    whet_merge_plan_destroy(ctx, plan);
    return status;
}

static whet_status run_text(whet_ctx *ctx, const char *text, const char *output) {
    char path[4200];
    write_recipe(text, path, sizeof path);
    return run(ctx, path, output);
}

/* Weights 1, 2, 5 of A, B, C. */
#define THREE \
    "models:\n  - {model: '@A', parameters: {weight: 1}}\n" \
    "  - {model: '@B', parameters: {weight: 2}}\n" \
    "  - {model: '@C', parameters: {weight: 5}}\nmerge_method: linear\n"

static void check_rows(const char *recipe, const double *expected, int64_t n) {
    static const int32_t threads[] = {1, 5};
    for (int64_t k = 0; k < WHET_COUNT_OF(threads); k++) {
        whet_ctx *ctx = test_ctx(threads[k]);
        whet_safetensors *file;
        whet_tensor t;
        char out[4200];
        (void)snprintf(out, sizeof out, "%s", test_tmp("out"));
        test_ok(ctx, run_text(ctx, recipe, out));
        test_ok(ctx, whet_safetensors_open(ctx, under(out, "model.safetensors"), &file));
        assert_true(whet_safetensors_find(file, "lm_head.weight", &t));
        assert_int_equal(t.shape[0], n);
        for (int64_t i = 0; i < n * WIDTH; i++) {
            const double value = expected[i / WIDTH] * (double)(1 + i % WIDTH);
            if ((double)((const float *)t.data)[i] != value)
                fail_msg("row %d, column %d is %g; expected %g", (int)(i / WIDTH), (int)(i % WIDTH),
                         (double)((const float *)t.data)[i], value);
        }
        whet_safetensors_close(ctx, file);
        test_ctx_done(ctx);
    }
}

/* The id of an added token of the output, or -1. */
static int64_t added_id(const char *token) {
    json_t *document = json_load_file(under(test_tmp("out"), "tokenizer.json"), 0, NULL);
    const json_t *added = json_object_get(document, "added_tokens"), *entry;
    int64_t id = -1;
    size_t i;
    json_array_foreach(
        added, i, entry) if (strcmp(json_string_value(json_object_get(entry, "content")), token) ==
                             0) id = json_integer_value(json_object_get(entry, "id"));
    json_decref(document);
    return id;
}

/* A model that lacks a token takes the base's vector, else of the one that has it, else the mean. */
static void defaults(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    write_folders(ctx);
    test_ctx_done(ctx);
    /* b: C takes 3; x: A takes 7. */
    static const double free_of_base[] = {1, (2 + 8 + 15) / 8.0, (3 + 10 + 35) / 8.0,
                                          (7 + 12 + 40) / 8.0, 9};
    check_rows(THREE "tokenizer_source: union\n", free_of_base, 5);
    check_rows(THREE "tokenizer: {}\n", free_of_base, 5); /* a union too */
    static const double of_base[] = {
        1, (2 + 8 + 10) / 8.0, (3 + 10 + 35) / 8.0, (7 + 12 + 40) / 8.0, 9, 0};
    check_rows(THREE "base_model: '@A'\ntokenizer: {source: union, pad_to_multiple_of: 6}\n",
               of_base, 6);
    check_rows(THREE "base_model: '@A'\ntokenizer: {source: base}\n", of_base, 3);
    /* The base lends, and is not merged: a is its own, b is 4 and 2. */
    static const double beside[] = {1, (4 + 6) / 4.0, (5 + 21) / 4.0, (6 + 24) / 4.0, 9};
    check_rows("models:\n  - {model: '@B', parameters: {weight: 1}}\n"
               "  - {model: '@C', parameters: {weight: 3}}\nmerge_method: linear\n"
               "base_model: '@A'\ntokenizer: {source: union}\n",
               beside, 5);
}

static const char rules[] = THREE
    "tokenizer:\n  source: union\n  pad_to_multiple_of: 4\n  tokens:\n"
    "    b: {source: '@B'}\n"
    "    c: {source: {kind: zero}, force: true}\n"
    "    a: {source: {kind: model_token, model: '@C', token: y}}\n"
    "    x: {source: {kind: model_token, model: {model: {path: '@B'}}, token_id: 0}, force: true}\n"
    "    y:\n      source: {kind: zero}\n"
    "    <new>: {source: {kind: model_token, model: '@A', token: c}, force: false}\n";

static void recipes_say_where_from(void **state) {
    (void)state;
    static const double expected[] = {(1 + 18 + 45) / 8.0, /* a: B and C take y of C */
                                      (2 + 8 + 20) / 8.0,  /* b: C takes that of B */
                                      0,                   /* c: forced on all */
                                      4,                   /* x: row 0 of B, also for B and C */
                                      45 / 8.0,            /* y: zero but for C */
                                      3,                   /* in no vocabulary: c of A for all */
                                      0,
                                      0};
    whet_ctx *ctx = test_ctx(1);
    write_folders(ctx);
    check_rows(rules, expected, 8);
    assert_int_equal(added_id("x"), 3);
    assert_int_equal(added_id("<new>"), 5);
    /* Forced without a source: the default, for all. */
    static const double forced[] = {1, 2, 6, 9};
    check_rows(THREE "base_model: '@A'\ntokenizer:\n  source: base\n  tokens:\n"
                     "    b: {force: yes}\n"
                     "    z: {source: {kind: model_token, model: '@C', token_id: 2}}\n",
               forced, 4);
    assert_int_equal(added_id("z"), 3);
    assert_int_equal(added_id("x"), -1);
    test_ctx_done(ctx);
}

/* What an adapter adds to a row goes with it: b + 1, c + 2, x + 3 of B, times j + 1. */
static void additions_go_with_rows(void **state) {
    (void)state;
    static const float down[] = {1}, up[] = {1, 2, 3};
    static const double expected[] = {1, (2 + 5) / 2.0, (3 + 7) / 2.0, 9};
    static const char name[] = "base_model.model.lm_head.lora_%c.weight";
    whet_ctx *ctx = test_ctx(1);
    whet_named_tensor both[2];
    char names[2][64], folder[4200];
    const int64_t shapes[2][2] = {{1, WIDTH}, {ROWS, 1}};
    write_folders(ctx);
    (void)snprintf(folder, sizeof folder, "%s", test_tmp("L"));
    (void)mkdir(folder, 0777);
    for (int k = 0; k < 2; k++) {
        (void)snprintf(names[k], sizeof names[k], name, "AB"[k]);
        both[k] = (whet_named_tensor){.name = names[k]};
        test_ok(ctx, whet_tensor_create(ctx, WHET_F32, 2, shapes[k], &both[k].tensor));
        for (int64_t i = 0; i < whet_tensor_count(&both[k].tensor); i++)
            ((float *)both[k].tensor.data)[i] = k ? up[i] : down[0] * (float)(i + 1);
    }
    test_ok(ctx, whet_safetensors_write(ctx, under(folder, "adapter_model.safetensors"), true, both,
                                        2, NULL));
    write_text(under(folder, "adapter_config.json"),
               "{\"peft_type\":\"LORA\",\"r\":1,\"lora_alpha\":1}");
    check_rows("models:\n  - {model: '@A', parameters: {weight: 1}}\n"
               "  - {model: '@B+@L', parameters: {weight: 1}}\nmerge_method: linear\n"
               "tokenizer_source: union\n",
               expected, 4);
    for (int k = 0; k < 2; k++) whet_tensor_destroy(ctx, &both[k].tensor);
    test_ctx_done(ctx);
}

static void what_is_wrong_is_named(void **state) {
    (void)state;
    static const struct {
        const char *tokens, *part;
    } cases[] = {
        {"{q: {}}", "token \"q\": no model has it; expected a \"source\""},
        {"{q: {force: true}}", "no model has it"},
        {"{a: {source: '@B'}}", "has no token \"a\"; expected one of its own"},
        {"{a: {source: nowhere}}", "\"nowhere\" is not merged"},
        {"{a: {source: {kind: model_token, model: '@B', token: y}}}", "has no token \"y\""},
        {"{a: {source: {kind: model_token, model: '@B', token: b, token_id: 1}}}", "has both"},
        {"{a: {source: {kind: model_token, model: '@B'}}}", "has neither"},
        {"{a: {source: {kind: model_token, token: b}}}", "model_token has no \"model\""},
        {"{a: {source: {kind: model_token, model: '@B', token_id: 3}}}", "expected one below 3"},
        {"{a: {source: {kind: model_token, model: '@B', token_id: -1}}}", "\"token_id\" is"},
        {"{a: {source: {kind: mean}}}", "\"kind\" is \"mean\"; expected zero or model_token"},
        {"{a: {source: {kind: zero, model: '@B'}}}", "key \"model\" is unknown in zero"},
        {"{a: {sorce: '@B'}}", "key \"sorce\" is unknown in a token; expected \"source\""},
        {"{a: {force: perhaps}}", "\"force\" is \"perhaps\"; expected true or false"},
        {"{a: {force: true}, b: {}, a: {}}", ":8: token \"a\" again"},
        {"{'': {}}", "\"token\" is empty"},
        {"{a: '@B'}", "\"a token\" is a value; expected a mapping"},
        {"[a]", "\"tokens\" is a list; expected a mapping"}};
    whet_ctx *ctx = test_ctx(1);
    char text[2048];
    write_folders(ctx);
    for (int64_t i = 0; i < WHET_COUNT_OF(cases); i++) {
        (void)snprintf(text, sizeof text, THREE "tokenizer:\n  source: union\n  tokens: %s\n",
                       cases[i].tokens);
        const whet_status status = run_text(ctx, text, test_tmp("wrong"));
        assert_true(status == WHET_ERR_FORMAT || status == WHET_ERR_DATA);
        test_says(ctx, cases[i].part);
        test_says(ctx, "recipe.yml:");
        assert_int_equal(access(test_tmp("wrong"), F_OK), -1);
    }
    test_fails(ctx,
               run_text(ctx,
                        "models:\n  - {model: '@A', importance: '@A'}\n"
                        "  - {model: '@B', importance: '@B'}\nmerge_method: fisher\n"
                        "tokenizer_source: union\n",
                        test_tmp("wrong")),
               WHET_ERR_UNSUPPORTED);
    test_says(ctx, "importances, and a tokenizer that moves rows");
    test_ctx_done(ctx);
}

/* A lender that is not merged has to have the table. */
static void lenders_have_the_table(void **state) {
    (void)state;
    static const float values[] = {1, 2, 3};
    static const char recipe[] = "models:\n  - {model: '@B', parameters: {weight: 1}}\n"
                                 "merge_method: linear\nbase_model: '@A'\n"
                                 "tokenizer_source: union\n";
    whet_ctx *ctx = test_ctx(1);
    write_folders(ctx);
    write_table(ctx, under(test_tmp("A"), "model.safetensors"), "lm_head.weight", values, ROWS, 2);
    test_fails(ctx, run_text(ctx, recipe, test_tmp("wrong")), WHET_ERR_SHAPE);
    test_says(ctx, "\"lm_head.weight\" is [3, 700] in");
    write_table(ctx, under(test_tmp("A"), "model.safetensors"), "embed_in.weight", values, ROWS, 2);
    test_fails(ctx, run_text(ctx, recipe, test_tmp("wrong")), WHET_ERR_SHAPE);
    test_says(ctx, "\"lm_head.weight\" is missing in");
    test_ctx_done(ctx);
}

/* A merge that stopped does not go on by other rules. */
static void rules_are_in_the_fingerprint(void **state) {
    (void)state;
    static const char *const tokens[] = {"{}", "{b: {source: '@B'}}",
                                         "{b: {source: '@B', force: true}}",
                                         "{b: {source: {kind: zero}}}"};
    whet_ctx *ctx = test_ctx(1);
    char prints[WHET_COUNT_OF(tokens)][17], text[2048], path[4200];
    write_folders(ctx);
    for (int64_t i = 0; i < WHET_COUNT_OF(tokens); i++) {
        whet_merge_plan *plan = NULL;
        whet_merge_job job = WHET_MERGE_JOB_INIT;
        (void)snprintf(text, sizeof text, THREE "tokenizer: {tokens: %s}\n", tokens[i]);
        write_recipe(text, path, sizeof path);
        job.recipe = path;
        job.output = test_tmp("planned");
        test_ok(ctx, whet_merge_plan_create(ctx, &job, &plan));
        memcpy(prints[i], plan->fingerprint, sizeof prints[i]);
        whet_merge_plan_destroy(ctx, plan);
        for (int64_t k = 0; k < i; k++) assert_string_not_equal(prints[k], prints[i]);
    }
    test_ctx_done(ctx);
}

static whet_status merge_again(whet_ctx *ctx, void *arg) {
    return run(ctx, arg, test_tmp("again"));
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    char path[4200];
    write_folders(ctx);
    write_recipe(rules, path, sizeof path);
    assert_true(test_each_allocation(merge_again, path) > 100);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(recipes_say_where_from),
        cmocka_unit_test(additions_go_with_rows),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(lenders_have_the_table),
        cmocka_unit_test(rules_are_in_the_fingerprint),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("merge tokens", tests, NULL, NULL);
}
