/* SPDX-License-Identifier: Apache-2.0
 * Folders of language models: weights in several files, and what is wrong with a folder. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/io_i.h"
#include "nn/language_model_i.h"

enum { TENSORS_MAX = 40 };

static whet_status load(whet_ctx *ctx, const char *dir, whet_language_model **out) {
    whet_language_model *m = NULL;
    WHET_TRY(whet_i_calloc(ctx, 1, &m));
    const whet_status status = whet_i_language_model_weights(ctx, dir, WHET_F32, m);
    if (status == WHET_OK)
        *out = m;
    else
        whet_language_model_destroy(ctx, m);
    return status;
}

/* ---- folders that are made here ---------------------------------------------------------------- */

static void make_folder(const char *name) {
    char command[1024];
    const char *dir = test_tmp(name);
    (void)snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s' && cp '%s' '%s/'", dir, dir,
                   test_source("tests/golden/llama/llama/config.json"), dir);
    assert_int_equal(system(command), 0);
}

static const char *in_folder(const char *dir, const char *name) {
    static char relative[8][256];
    static int next;
    char *to = relative[next++ % 8];
    (void)snprintf(to, sizeof relative[0], "%s/%s", dir, name);
    return to;
}

/* Writes the golden model's tensors but `without` into two files by turns, and their index. */
static void make_sharded(whet_ctx *ctx, const char *dir, const char *without) {
    whet_safetensors *whole;
    whet_named_tensor parts[2][TENSORS_MAX];
    int64_t n[2] = {0, 0};
    json_t *map = json_object();
    make_folder(dir);
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/llama/llama/model.safetensors"), &whole));
    for (int64_t i = 0; i < whet_safetensors_count(whole); i++) {
        const char *name = whet_safetensors_name(whole, i).ptr;
        whet_named_tensor *to = &parts[i % 2][n[i % 2]];
        if (without && strcmp(name, without) == 0) continue;
        assert_true(n[i % 2]++ < TENSORS_MAX);
        to->name = name;
        assert_true(whet_safetensors_find(whole, name, &to->tensor));
        assert_int_equal(json_object_set_new(map, name, json_string(i % 2 ? "b.st" : "a.st")), 0);
    }
    assert_true(n[0] > 5 && n[1] > 5);
    for (int i = 0; i < 2; i++)
        test_ok(ctx, whet_safetensors_write(ctx, test_tmp(in_folder(dir, i ? "b.st" : "a.st")),
                                            true, parts[i], n[i], NULL));
    json_t *index = json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 1, "weight_map", map);
    assert_int_equal(
        json_dump_file(index, test_tmp(in_folder(dir, "model.safetensors.index.json")), 0), 0);
    json_decref(index);
    whet_safetensors_close(ctx, whole);
}

/* ---- several files ----------------------------------------------------------------------------- */

static void several_files_are_one_model(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *whole = NULL, *sharded = NULL;
    make_sharded(ctx, "sharded", NULL);
    test_ok(ctx, load(ctx, test_source("tests/golden/llama/llama"), &whole));
    test_ok(ctx, load(ctx, test_tmp("sharded"), &sharded));
    assert_int_equal(sharded->files.n, 2);
    assert_int_equal(sharded->params->n, whole->params->n);
    assert_true(whole->params->n == 21); /* 9 a layer, words, last norm, head */
    for (int64_t i = 0; i < whole->params->n; i++) {
        const whet_i_param *a = &whole->params->items[i], *b = &sharded->params->items[i];
        assert_string_equal(a->name, b->name);
        assert_true(a->count == b->count && b->source.data);
        assert_memory_equal(a->source.data, b->source.data, (size_t)a->count * sizeof(float));
    }
    whet_language_model_destroy(ctx, sharded);
    whet_language_model_destroy(ctx, whole);
    test_ctx_done(ctx);
}

/* One file wins over an index, as in transformers. */
static void a_single_file_needs_no_index(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    char command[1024];
    make_folder("both");
    (void)test_write_text("both/model.safetensors.index.json", "not JSON");
    (void)snprintf(command, sizeof command, "cp '%s' '%s/'",
                   test_source("tests/golden/llama/llama/model.safetensors"), test_tmp("both"));
    assert_int_equal(system(command), 0);
    test_ok(ctx, load(ctx, test_tmp("both"), &m));
    assert_int_equal(m->files.n, 1);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static void a_head_that_is_missing_is_the_words_(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    make_sharded(ctx, "headless", "lm_head.weight");
    test_ok(ctx, load(ctx, test_tmp("headless"), &m));
    assert_true(m->config.tied);
    assert_int_equal(m->params->n, 20);
    whet_language_model_destroy(ctx, m);
    test_ctx_done(ctx);
}

static void what_is_missing_is_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    make_sharded(ctx, "gap", "model.layers.1.mlp.up_proj.weight");
    test_fails(ctx, load(ctx, test_tmp("gap"), &m), WHET_ERR_FORMAT);
    test_says(ctx, "model.layers.1.mlp.up_proj.weight\" is in none of its 2 files");
    make_sharded(ctx, "gap", NULL);
    assert_int_equal(remove(test_tmp("gap/b.st")), 0);
    test_fails(ctx, load(ctx, test_tmp("gap"), &m), WHET_ERR_IO);
    test_says(ctx, "b.st");
    make_folder("none");
    test_fails(ctx, load(ctx, test_tmp("none"), &m), WHET_ERR_IO);
    test_says(ctx, "no model.safetensors");
    test_says(ctx, "model.safetensors.index.json");
    test_ctx_done(ctx);
}

/* A tensor of another shape is told with the file that holds it. */
static void a_wrong_shape_is_found_in_its_file(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    static float numbers[12];
    whet_named_tensor t = {
        .name = "model.norm.weight",
        .tensor = {.data = numbers, .dtype = WHET_F32, .rank = 1, .shape = {12}}};
    make_sharded(ctx, "shape", "model.norm.weight");
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp("shape/c.st"), true, &t, 1, NULL));
    json_t *index =
        json_load_file(test_tmp("shape/model.safetensors.index.json"), 0, &(json_error_t){0});
    assert_int_equal(
        json_object_set_new(json_object_get(index, "weight_map"), t.name, json_string("c.st")), 0);
    assert_int_equal(json_dump_file(index, test_tmp("shape/model.safetensors.index.json"), 0), 0);
    json_decref(index);
    test_fails(ctx, load(ctx, test_tmp("shape"), &m), WHET_ERR_SHAPE);
    test_says(ctx, "c.st: tensor \"model.norm.weight\" is [12]; expected [16]");
    test_ctx_done(ctx);
}

static void refused(const char *index, whet_status expected, const char *says) {
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    make_folder("index");
    (void)test_write_text("index/model.safetensors.index.json", index);
    test_fails(ctx, load(ctx, test_tmp("index"), &m), expected);
    test_says(ctx, says);
    test_ctx_done(ctx);
}

static void an_index_that_is_none(void **state) {
    (void)state;
    refused("", WHET_ERR_FORMAT, "index.json");
    refused("[]", WHET_ERR_FORMAT, "weight_map");
    refused("{\"weight_map\": {}}", WHET_ERR_LIMIT, "0 files");
    refused("{\"weight_map\": {\"a\": 1}}", WHET_ERR_FORMAT, "\"a\"");
    refused("{\"weight_map\": {\"a\": \"\"}}", WHET_ERR_FORMAT, "\"a\"");
    refused("{\"weight_map\": {\"a\": \"../llama/model.safetensors\"}}", WHET_ERR_FORMAT,
            "without folders");
    refused("{\"weight_map\": {\"a\": \"b\\u001b[2J\"}}", WHET_ERR_FORMAT, "printable");
    refused("{\"weight_map\": {\"a\": \"..\"}}", WHET_ERR_FORMAT, "no file's name");
    refused("{\"weight_map\": {\"a\": \"config.json\"}}", WHET_ERR_FORMAT, "config.json");
}

static void place(const char *dir, const char *name, const char *file) {
    const char *path = test_tmp(in_folder(dir, "model.safetensors.index.json"));
    json_t *index = json_load_file(path, 0, &(json_error_t){0});
    assert_int_equal(
        json_object_set_new(json_object_get(index, "weight_map"), name, json_string(file)), 0);
    assert_int_equal(json_dump_file(index, path, 0), 0);
    json_decref(index);
}

static void tensors_are_where_the_index_says(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    static float numbers[16];
    const whet_named_tensor twice = {
        .name = "model.norm.weight",
        .tensor = {.data = numbers, .dtype = WHET_F32, .rank = 1, .shape = {16}}};
    make_sharded(ctx, "places", NULL);
    place("places", "nothing", "b.st");
    test_fails(ctx, load(ctx, test_tmp("places"), &m), WHET_ERR_FORMAT);
    test_says(ctx, "tensor \"nothing\" is not in b.st; expected it there");
    make_sharded(ctx, "places", NULL);
    place("places", "lm_head.weight", "b.st"); /* the first of them, in a.st */
    test_fails(ctx, load(ctx, test_tmp("places"), &m), WHET_ERR_FORMAT);
    test_says(ctx, "tensor \"lm_head.weight\" is not in b.st; expected it there");
    make_sharded(ctx, "places", NULL);
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp("places/c.st"), true, &twice, 1, NULL));
    place("places", "another", "c.st");
    test_fails(ctx, load(ctx, test_tmp("places"), &m), WHET_ERR_FORMAT);
    test_says(ctx, "tensor \"model.norm.weight\" is in ");
    test_says(ctx, " and in c.st; expected it in one file");
    test_ctx_done(ctx);
}

/* ---- as transformers reads it -------------------------------------------------------------------- */

/* Writes the golden model's tensors as they are, or of the model inside, with another head, or the words'. */
typedef enum head { OWN, BARE, WORDS } head;
static void make_with_head(whet_ctx *ctx, const char *dir, head kind, const char *config) {
    whet_safetensors *whole;
    whet_named_tensor all[2 * TENSORS_MAX];
    whet_tensor words;
    int64_t n = 0;
    make_folder(dir);
    (void)test_write_text(in_folder(dir, "config.json"), config);
    test_ok(ctx, whet_safetensors_open(
                     ctx, test_source("tests/golden/llama/llama/model.safetensors"), &whole));
    assert_true(whet_safetensors_find(whole, "model.embed_tokens.weight", &words));
    for (int64_t i = 0; i < whet_safetensors_count(whole); i++) {
        const char *name = whet_safetensors_name(whole, i).ptr;
        const bool is_head = strcmp(name, "lm_head.weight") == 0;
        if (is_head && kind == BARE) continue;
        assert_true(n < 2 * TENSORS_MAX);
        whet_named_tensor *to = &all[n++];
        assert_true(whet_safetensors_find(whole, name, &to->tensor));
        to->name = kind == BARE && strncmp(name, "model.", 6) == 0 ? name + 6 : name;
        if (is_head && kind == WORDS) to->tensor = words;
    }
    test_ok(ctx, whet_safetensors_write(ctx, test_tmp(in_folder(dir, "model.safetensors")), true,
                                        all, n, NULL));
    whet_safetensors_close(ctx, whole);
}

/* The golden configuration with members replaced. */
static char *config_with(const char *members) {
    json_t *json = json_load_file(test_source("tests/golden/llama/llama/config.json"), 0, NULL);
    json_t *more = json_loads(members, 0, NULL);
    assert_true(json && more);
    assert_int_equal(json_object_update(json, more), 0);
    char *text = json_dumps(json, 0);
    json_decref(json);
    json_decref(more);
    return text;
}

static void a_head_of_its_own_is_kept(void **state) {
    (void)state;
    char warning[TEST_WARNING];
    whet_ctx *ctx = test_ctx_warned(warning);
    char *tied = config_with("{\"tie_word_embeddings\": true}");
    static const bool ties[] = {[OWN] = false, [BARE] = true, [WORDS] = true};
    for (head kind = OWN; kind <= WORDS; kind++) {
        whet_language_model *m = NULL;
        warning[0] = '\0';
        make_with_head(ctx, "head", kind, tied);
        test_ok(ctx, load(ctx, test_tmp("head"), &m));
        assert_int_equal(m->config.tied, ties[kind]);
        assert_int_equal(m->params->n, ties[kind] ? 20 : 21);
        assert_int_equal(strstr(warning, "is not the word vectors") != NULL, kind == OWN);
        whet_language_model_destroy(ctx, m);
    }
    free(tied);
    test_ctx_done(ctx);
}

static void check_config(const char *members, whet_status expected, const char *says,
                         whet_i_llama_config *out) {
    whet_ctx *ctx = test_ctx(1);
    char *text = config_with(members);
    json_t *json = json_loads(text, 0, NULL);
    const whet_status status = whet_i_llama_config_parse(ctx, json, out);
    if (status != expected) fail_msg("%s: %s", members, whet_error(ctx));
    if (says) test_says(ctx, says);
    json_decref(json);
    free(text);
    test_ctx_done(ctx);
}

/* Defaults and leniences of transformers 5.24, as AutoConfig and AutoModelForCausalLM have them. */
static void configurations_are_read_as_transformers_does(void **state) {
    (void)state;
    whet_i_llama_config c, other;
    const whet_status ok = WHET_OK, unsupported = WHET_ERR_UNSUPPORTED;
    check_config("{\"hidden_act\": \"swish\"}", ok, NULL, &c);
    assert_int_equal(c.act, WHET_I_ACT_SILU);
    check_config("{\"eos_token_id\": -1, \"bos_token_id\": -1}", ok, NULL, &c);
    assert_true(c.n_ends == 0 && c.begin == -1);
    check_config("{\"eos_token_id\": [-1, 2]}", ok, NULL, &c);
    assert_true(c.n_ends == 1 && c.ends[0] == 2);
    check_config("{\"eos_token_id\": -2}", WHET_ERR_FORMAT, "is no token", &c);
    check_config("{\"rope_theta\": null, \"rope_parameters\": {\"rope_theta\": 50.0}}", ok, NULL,
                 &c);
    check_config("{\"rope_theta\": 50.0, \"rope_parameters\": null}", ok, NULL, &other);
    assert_true(c.frequency[1] == other.frequency[1]);
    check_config("{\"rope_theta\": null, \"rope_parameters\": null}", WHET_ERR_FORMAT,
                 "\"rope_theta\" is null", &c);
    /* Biases are Llama's; Qwen 2 has its own; Mistral has none. */
    check_config("{\"attention_bias\": true, \"mlp_bias\": true}", ok, NULL, &c);
    assert_true(c.attention_bias && c.mlp_bias);
    check_config(
        "{\"model_type\": \"mistral\", \"sliding_window\": null, \"attention_bias\": true, "
        "\"mlp_bias\": true}",
        ok, NULL, &c);
    assert_false(c.attention_bias || c.mlp_bias);
    /* What is left out is not what null says. */
    check_config("{\"model_type\": \"mistral\"}", ok, NULL, &c);
    check_config("{\"model_type\": \"mistral\", \"max_position_embeddings\": 4097}", unsupported,
                 "\"sliding_window\" is missing, which means 4096; expected null", &c);
    check_config("{\"model_type\": \"mistral\", \"max_position_embeddings\": 4097, "
                 "\"sliding_window\": null}",
                 ok, NULL, &c);
}

/* ---- what ends a text --------------------------------------------------------------------------- */

static void generation_config_says_what_ends_a_text(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_language_model *m = NULL;
    make_sharded(ctx, "ends", NULL);
    test_ok(ctx, load(ctx, test_tmp("ends"), &m));
    assert_true(m->config.begin == 1 && m->config.n_ends == 1 && m->config.ends[0] == 2);
    whet_language_model_destroy(ctx, m);
    (void)test_write_text("ends/generation_config.json",
                          "{\"temperature\": 0.6, \"eos_token_id\": [29, 0, 2]}");
    test_ok(ctx, load(ctx, test_tmp("ends"), &m));
    assert_true(m->config.n_ends == 3 && m->config.ends[0] == 29 && m->config.ends[1] == 0);
    whet_language_model_destroy(ctx, m);
    (void)test_write_text("ends/generation_config.json", "{\"temperature\": 0.6}");
    test_ok(ctx, load(ctx, test_tmp("ends"), &m));
    assert_true(m->config.n_ends == 1 && m->config.ends[0] == 2);
    whet_language_model_destroy(ctx, m);
    (void)test_write_text("ends/generation_config.json", "{\"eos_token_id\": [2, 30]}");
    test_fails(ctx, load(ctx, test_tmp("ends"), &m), WHET_ERR_FORMAT);
    test_says(ctx, "generation_config.json: \"eos_token_id\" is no token; expected 0 to 29");
    (void)test_write_text(
        "ends/generation_config.json",
        "{\"eos_token_id\": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}");
    test_fails(ctx, load(ctx, test_tmp("ends"), &m), WHET_ERR_UNSUPPORTED);
    (void)test_write_text("ends/generation_config.json", "[]");
    test_fails(ctx, load(ctx, test_tmp("ends"), &m), WHET_ERR_FORMAT);
    test_ctx_done(ctx);
}

static whet_status load_sharded(whet_ctx *ctx, void *arg) {
    whet_language_model *m = NULL;
    const whet_status status = load(ctx, arg, &m);
    whet_language_model_destroy(ctx, m);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    static char dir[512];
    whet_ctx *ctx = test_ctx(1);
    make_sharded(ctx, "failing", NULL);
    test_ctx_done(ctx);
    (void)snprintf(dir, sizeof dir, "%s", test_tmp("failing"));
    assert_true(test_each_allocation(load_sharded, dir) > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_files_are_one_model),
        cmocka_unit_test(a_single_file_needs_no_index),
        cmocka_unit_test(a_head_that_is_missing_is_the_words_),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_wrong_shape_is_found_in_its_file),
        cmocka_unit_test(an_index_that_is_none),
        cmocka_unit_test(tensors_are_where_the_index_says),
        cmocka_unit_test(a_head_of_its_own_is_kept),
        cmocka_unit_test(configurations_are_read_as_transformers_does),
        cmocka_unit_test(generation_config_says_what_ends_a_text),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
