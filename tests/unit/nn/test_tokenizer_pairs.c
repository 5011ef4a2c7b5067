/* SPDX-License-Identifier: Apache-2.0
 * Pairs of texts: templates and segments by hand, "longest_first" against a second algorithm and
 * against lengths that Hugging Face tokenizers 0.23 gave. */
#include "support.h"

#include <stdio.h>

#include "core/core_i.h"
#include "whet/nn.h"

#define TEMPLATE(single, pair) \
    "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[" pair "]," \
    "\"special_tokens\":{\"<\":{\"id\":\"<\",\"ids\":[3],\"tokens\":[\"<\"]}," \
    "\">\":{\"id\":\">\",\"ids\":[4,3],\"tokens\":[\">\",\"<\"]}}}"
#define SPECIAL(name, type) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":" type "}}"
#define SEQUENCE(name, type) "{\"Sequence\":{\"id\":\"" name "\",\"type_id\":" type "}}"
#define BERT "{\"type\":\"BertProcessing\",\"sep\":[\">\",4],\"cls\":[\"<\",3]}"
#define ROBERTA \
    "{\"type\":\"RobertaProcessing\",\"sep\":[\">\",4],\"cls\":[\"<\",3]," \
    "\"trim_offsets\":true,\"add_prefix_space\":false}"
/* Texts exchanged, segments of their own, a special token of two ids. */
#define ODD \
    TEMPLATE( \
        SPECIAL("<", "5") "," SEQUENCE("A", "3"), \
        SEQUENCE("B", "2") "," SPECIAL(">", "1") "," SEQUENCE("A", "7") "," SPECIAL("<", "4"))

static whet_status try(whet_ctx *ctx, const char *post, whet_tokenizer **out) {
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,"
                   "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},\"post_processor\":%s,"
                   "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\","
                   "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
                   "\"vocab\":{\"?\":0,\"a\":1,\"b\":2,\"<\":3,\">\":4}}}",
                   post);
    return whet_tokenizer_load(ctx, test_write_text("tokenizer.json", text), out);
}

static whet_tokenizer *load(whet_ctx *ctx, const char *post) {
    whet_tokenizer *tokenizer = NULL;
    test_ok(ctx, try(ctx, post, &tokenizer));
    return tokenizer;
}

/* Ids and segments of one row, as digits. */
static void expect(whet_ctx *ctx, const char *post, const char *first, const char *second,
                   int64_t max_length, const char *ids, const char *types) {
    whet_tokenizer *tokenizer = load(ctx, post);
    const whet_str a = whet_str_from(first), b = whet_str_from(second ? second : "");
    whet_token_rows rows;
    int64_t truncated = -1;
    test_ok(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, &a, second ? &b : NULL, 1, max_length,
                                             &rows, &truncated));
    assert_int_equal(rows.start[1], strlen(ids));
    for (int64_t i = 0; i < rows.start[1]; i++) {
        assert_int_equal(rows.ids[i], ids[i] - '0');
        assert_int_equal(rows.types[i], types[i] - '0');
    }
    assert_true(truncated == 0 || truncated == 1);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
}

static void templates_are_as_hugging_face_has_them(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    expect(ctx, BERT, "a a a", "b b", 0, "31114224", "00000111");
    expect(ctx, BERT, "a a a", NULL, 0, "31114", "00000");
    expect(ctx, ROBERTA, "a a a", "b b", 0, "311144224", "000000000");
    expect(ctx, ROBERTA, "a a a", NULL, 0, "31114", "00000");
    expect(ctx, "null", "a a a", "b b", 0, "11122", "00011");
    expect(ctx, "{\"type\":\"ByteLevel\"}", "a", "b", 0, "12", "01");
    expect(ctx, "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}," BERT "]}", "a",
           "b", 0, "31424", "00011");
    expect(ctx, ODD, "a a a", NULL, 0, "3111", "5333");
    expect(ctx, ODD, "a a a", "b b", 0, "22431113", "22117774");
    expect(ctx, ODD, "", "", 0, "433", "114");
    expect(ctx, BERT, "", "b", 0, "3424", "0011");
    expect(ctx, BERT, "a", "", 0, "3144", "0001");
    /* Cut in both texts, with what stands between and behind in place. */
    expect(ctx, ODD, "a a a a", "b b b b", 6, "224313", "221174");
    expect(ctx, BERT, "a a a a", "b b b b", 3, "344", "001");
    test_ctx_done(ctx);
}

/* One token after the other is taken from the longer text; at a tie from the one that was the
 * shorter (the first of equals). */
static void cut_slowly(int64_t n[2], int64_t room) {
    const int shorter = n[0] > n[1] ? 1 : 0;
    while (n[0] + n[1] > room) {
        if (n[0] == n[1])
            n[shorter]--;
        else
            n[n[0] > n[1] ? 0 : 1]--;
    }
}

static void lengths_of(whet_ctx *ctx, const whet_tokenizer *tokenizer, int64_t n_first,
                       int64_t n_second, int64_t max_length, int64_t n[2], int64_t *truncated) {
    char a[64], b[64];
    for (int i = 0; i < 32; i++) {
        memcpy(a + 2 * i, "a ", 2);
        memcpy(b + 2 * i, "b ", 2);
    }
    const whet_str first = {a, 2 * n_first}, second = {b, 2 * n_second};
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, &first, &second, 1, max_length, &rows,
                                             truncated));
    n[0] = n[1] = 0;
    for (int64_t i = 0; i < rows.start[1]; i++) {
        n[0] += rows.ids[i] == 1;
        n[1] += rows.ids[i] == 2;
    }
    whet_token_rows_destroy(ctx, &rows);
}

static void the_longer_text_is_cut_first(void **state) {
    (void)state;
    static const int64_t GIVEN[][5] = {/* first, second, max_length, kept, kept: BERT's template */
                                       {5, 5, 4, 0, 1},  {7, 3, 4, 1, 0},  {6, 5, 6, 2, 1},
                                       {5, 6, 8, 2, 3},  {7, 3, 10, 4, 3}, {3, 7, 10, 3, 4},
                                       {7, 3, 11, 5, 3}, {6, 5, 11, 4, 4}, {5, 5, 3, 0, 0}};
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, BERT);
    int64_t n[2], truncated;
    for (int64_t i = 0; i < WHET_COUNT_OF(GIVEN); i++) {
        lengths_of(ctx, tokenizer, GIVEN[i][0], GIVEN[i][1], GIVEN[i][2], n, &truncated);
        assert_int_equal(n[0], GIVEN[i][3]);
        assert_int_equal(n[1], GIVEN[i][4]);
    }
    for (int64_t a = 0; a < 12; a++) {
        for (int64_t b = 0; b < 12; b++) {
            for (int64_t max = 3; max < 30; max++) {
                int64_t expected[2] = {a, b};
                cut_slowly(expected, max - 3);
                lengths_of(ctx, tokenizer, a, b, max, n, &truncated);
                assert_int_equal(n[0], expected[0]);
                assert_int_equal(n[1], expected[1]);
                assert_int_equal(truncated, a + b > max - 3);
            }
        }
    }
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

static void truncated_rows_are_counted(void **state) {
    (void)state;
    const whet_str texts[] = {{"a a a", 5}, {"a a", 3}, {"", 0}, {"a a a a a a", 11}};
    whet_ctx *ctx = test_ctx(2);
    whet_tokenizer *tokenizer = load(ctx, BERT);
    static const int64_t CUT[] = {3, 2, 1, 1, 1}; /* of texts of 3, 2, 0 and 6 tokens */
    for (int64_t max = 3; max < 8; max++) {
        whet_token_rows rows, plain;
        int64_t truncated;
        test_ok(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, texts, NULL, 4, max, &rows,
                                                 &truncated));
        test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, texts, 4, max, &plain));
        assert_int_equal(truncated, CUT[max - 3]);
        assert_null(plain.types);
        assert_memory_equal(rows.start, plain.start, 5 * sizeof *plain.start);
        assert_memory_equal(rows.ids, plain.ids, (size_t)plain.start[4] * sizeof *plain.ids);
        whet_token_rows_destroy(ctx, &rows);
        whet_token_rows_destroy(ctx, &plain);
    }
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

static void wrong_arguments_and_files_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_str text = {"a", 1}, wrong = {NULL, 1};
    whet_token_rows rows = {0};
    int64_t truncated = 77;
    whet_tokenizer *tokenizer = load(ctx, ROBERTA), *none = NULL;
    test_fails(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, &text, &text, 1, 3, &rows, NULL),
               WHET_ERR_ARG);
    test_says(ctx, "4 special tokens");
    test_fails(ctx,
               whet_tokenizer_encode_pairs(ctx, tokenizer, &text, &wrong, 1, 0, &rows, &truncated),
               WHET_ERR_ARG);
    assert_null(rows.ids);
    assert_int_equal(truncated, 77);
    test_ok(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, NULL, NULL, 0, 0, &rows, &truncated));
    assert_int_equal(truncated, 0);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    tokenizer = load(ctx, "{\"type\":\"TemplateProcessing\",\"special_tokens\":{},\"single\":["
                          "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]}");
    test_fails(ctx, whet_tokenizer_encode_pairs(ctx, tokenizer, &text, &text, 1, 0, &rows, NULL),
               WHET_ERR_UNSUPPORTED);
    test_says(ctx, "pairs");
    whet_tokenizer_destroy(ctx, tokenizer);
    static const char *const REFUSED[][2] = {
        {TEMPLATE(SEQUENCE("A", "0"), SEQUENCE("A", "0")), "\"pair\" has no sequence B"},
        {TEMPLATE(SEQUENCE("A", "0") "," SEQUENCE("A", "0"), ""), "piece 1 of \"single\""},
        {TEMPLATE(SEQUENCE("A", "256"), ""), "type_id"},
        {TEMPLATE(SEQUENCE("B", "0"), ""), "piece 0 of \"single\""},
        {"{\"type\":\"Sequence\",\"processors\":[" BERT "," BERT "]}", "two steps that add"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(REFUSED); i++) {
        test_fails(ctx, try(ctx, REFUSED[i][0], &none), WHET_ERR_UNSUPPORTED);
        test_says(ctx, REFUSED[i][1]);
        assert_null(none);
    }
    test_ctx_done(ctx);
}

static whet_status pairs_with_types(whet_ctx *ctx, void *arg) {
    const whet_str a = {"a a a a", 7}, b = {"b b", 3};
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows = {0};
    whet_status status = try(ctx, arg, &tokenizer);
    if (status == WHET_OK)
        status = whet_tokenizer_encode_pairs(ctx, tokenizer, &a, &b, 1, 6, &rows, NULL);
    if (status != WHET_OK) assert_null(rows.types);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char post[] = BERT;
    assert_true(test_each_allocation(pairs_with_types, post) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_as_hugging_face_has_them),
        cmocka_unit_test(the_longer_text_is_cut_first),
        cmocka_unit_test(truncated_rows_are_counted),
        cmocka_unit_test(wrong_arguments_and_files_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("nn/tokenizer_pairs", tests, NULL, NULL);
}
