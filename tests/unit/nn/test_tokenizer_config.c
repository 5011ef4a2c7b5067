/* SPDX-License-Identifier: Apache-2.0
 * Folders whose tokenizer_config.json and tokenizer.json say different things, against the ids that
 * transformers gives (tests/golden/tokenizer_config/generate.py). */
#include "support.h"

#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "whet/nn.h"

static const char *const FILES[] = {"tokenizer.json", "config.json", "tokenizer_config.json"};

static void write_folder(const json_t *files) {
    for (int i = 0; i < 3; i++) {
        const json_t *content = json_object_get(files, FILES[i]);
        const char *path = test_tmp(FILES[i]);
        (void)unlink(path);
        if (content) assert_int_equal(json_dump_file(content, path, 0), 0);
    }
}

static void check_text(whet_ctx *ctx, const whet_tokenizer *tokenizer, const json_t *text,
                       const json_t *ids, const char *name) {
    const whet_str one = {json_string_value(text), (int64_t)json_string_length(text)};
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &one, 1, 0, &rows));
    bool same = rows.start[1] == (int64_t)json_array_size(ids);
    for (int64_t i = 0; same && i < rows.start[1]; i++)
        same = rows.ids[i] == json_integer_value(json_array_get(ids, (size_t)i));
    if (!same) fail_msg("%s: \"%s\" has other ids", name, one.ptr);
    whet_token_rows_destroy(ctx, &rows);
}

static void folders_are_read_as_transformers_does(void **state) {
    (void)state;
    json_t *all = json_load_file(test_source("tests/golden/tokenizer_config/cases.json"), 0, NULL);
    const json_t *texts = json_object_get(all, "texts"), *cases = json_object_get(all, "cases");
    assert_true(json_array_size(cases) > 20);
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        const char *name = json_string_value(json_object_get(one, "name"));
        char warning[TEST_WARNING];
        whet_ctx *ctx = test_ctx_warned(warning);
        whet_tokenizer *tokenizer = NULL;
        write_folder(json_object_get(one, "files"));
        test_ok(ctx, whet_tokenizer_load(ctx, test_tmp("."), &tokenizer));
        if ((warning[0] != '\0') != json_is_true(json_object_get(one, "warns")))
            fail_msg("%s: told \"%s\"", name, warning);
        for (size_t t = 0; t < json_array_size(texts); t++)
            check_text(ctx, tokenizer, json_array_get(texts, t),
                       json_array_get(json_object_get(one, "ids"), t), name);
        whet_tokenizer_destroy(ctx, tokenizer);
        test_ctx_done(ctx);
    }
    json_decref(all);
}

/* Of a file, nothing beside it counts. */
static void a_file_is_what_it_says(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows;
    const whet_str text = whet_str_from("A");
    (void)test_write_text("config.json", "{\"model_type\": \"bert\"}");
    (void)test_write_text(
        "tokenizer.json",
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":"
        "\"##\",\"max_input_chars_per_word\":9,\"vocab\":{\"[UNK]\":0,\"A\":1,\"a\":2}}}");
    (void)unlink(test_tmp("tokenizer_config.json"));
    for (int whole = 0; whole < 2; whole++) {
        test_ok(ctx,
                whet_tokenizer_load(ctx, test_tmp(whole ? "." : "tokenizer.json"), &tokenizer));
        test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows));
        assert_int_equal(rows.start[1], 1);
        assert_int_equal(rows.ids[0], 1 + whole);
        whet_token_rows_destroy(ctx, &rows);
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    (void)test_write_text("tokenizer_config.json", "{");
    test_fails(ctx, whet_tokenizer_load(ctx, test_tmp("."), &tokenizer), WHET_ERR_FORMAT);
    test_says(ctx, "tokenizer_config.json");
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_read_as_transformers_does),
        cmocka_unit_test(a_file_is_what_it_says),
    };
    return cmocka_run_group_tests_name("nn/tokenizer_config", tests, NULL, NULL);
}
