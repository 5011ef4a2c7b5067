/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer against golden ids of Hugging Face tokenizers (tests/golden/tokenizer/generate.py),
 * and its properties. */
#include "support.h"

#include "tokenizer_golden.h"

static const char *const VARIANTS[] = {"uncased",  "cased", "accents", "added",
                                       "sequence", "marks", "whole",   "spaces"};

static void ids_are_those_of_hugging_face(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    for (int64_t v = 0; v < WHET_COUNT_OF(VARIANTS); v++) {
        char path[128];
        (void)snprintf(path, sizeof path, GOLDEN "%s.json", VARIANTS[v]);
        check_golden(ctx, test_source(path), VARIANTS[v]);
    }
    test_ctx_done(ctx);
}

static void ids_of_a_real_model_are_those_of_hugging_face(void **state) {
    (void)state;
    const char *model = getenv("WHET_TEST_MODEL"); /* a folder of all-MiniLM-L6-v2 */
    if (!model) {
        print_message("[   NOTE   ] WHET_TEST_MODEL is not set; skipped\n");
        skip();
    }
    whet_ctx *ctx = test_ctx(2);
    check_golden(ctx, model, "minilm");
    test_ctx_done(ctx);
}

/* ---- properties ------------------------------------------------------------------------------ */

static whet_token_rows encode(whet_ctx *ctx, const whet_tokenizer *tokenizer, const whet_str *items,
                              int64_t n, int64_t max_length) {
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, items, n, max_length, &rows));
    assert_int_equal(rows.n_rows, n);
    assert_int_equal(rows.start[0], 0);
    return rows;
}

static void truncation_keeps_the_first_ids_and_the_special_ones(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "uncased.json"));
    texts in;
    read_texts(&in);
    whet_token_rows full = encode(ctx, tokenizer, in.items, in.n, 0), cut;
    for (int64_t max = 2; max < 40; max++) {
        cut = encode(ctx, tokenizer, in.items, in.n, max);
        for (int64_t i = 0; i < in.n; i++) {
            const int64_t whole = full.start[i + 1] - full.start[i];
            const int64_t len = cut.start[i + 1] - cut.start[i];
            assert_int_equal(len, whole < max ? whole : max);
            assert_memory_equal(cut.ids + cut.start[i], full.ids + full.start[i],
                                (size_t)(len - 1) * sizeof(int32_t));
            assert_int_equal(cut.ids[cut.start[i + 1] - 1], 3);
        }
        whet_token_rows_destroy(ctx, &cut);
    }
    test_fails(ctx, whet_tokenizer_encode(ctx, tokenizer, in.items, 1, 1, &cut), WHET_ERR_ARG);
    test_says(ctx, "2 special tokens");
    whet_token_rows_destroy(ctx, &full);
    whet_tokenizer_destroy(ctx, tokenizer);
    free(in.bytes);
    test_ctx_done(ctx);
}

static void ids_are_in_range_and_have_a_text(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "added.json"));
    const int64_t size = whet_tokenizer_vocab_size(tokenizer);
    texts in;
    read_texts(&in);
    whet_token_rows rows = encode(ctx, tokenizer, in.items, in.n, 0);
    for (int64_t k = 0; k < rows.start[in.n]; k++) {
        assert_in_range(rows.ids[k], 0, size - 1);
        assert_non_null(whet_tokenizer_token(tokenizer, rows.ids[k]).ptr);
    }
    assert_string_equal(whet_tokenizer_token(tokenizer, 2).ptr, "[CLS]");
    assert_string_equal(whet_tokenizer_token(tokenizer, (int32_t)size - 1).ptr, " gap ");
    assert_null(whet_tokenizer_token(tokenizer, (int32_t)size).ptr);
    assert_null(whet_tokenizer_token(tokenizer, -1).ptr);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    free(in.bytes);
    test_ctx_done(ctx);
}

/* No step looks across a space: the ids of "a b" are those of a, then those of b; and a long text
 * that is worked on in segments has the ids of its parts. */
static void texts_joined_by_spaces_have_their_ids_joined(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "uncased.json"));
    texts in;
    read_texts(&in);
    whet_i_buf joined = {0};
    for (int64_t i = 0; i < in.n; i++) {
        test_ok(ctx, whet_i_buf_append(ctx, &joined, in.items[i].ptr, in.items[i].len));
        test_ok(ctx, whet_i_buf_append(ctx, &joined, " ", 1));
    }
    assert_true(joined.len > 4096);
    const whet_str all = {joined.data, joined.len};
    whet_token_rows parts = encode(ctx, tokenizer, in.items, in.n, 0);
    whet_token_rows whole = encode(ctx, tokenizer, &all, 1, 0);
    int64_t at = 1;
    for (int64_t i = 0; i < in.n; i++)
        for (int64_t k = parts.start[i] + 1; k < parts.start[i + 1] - 1; k++)
            assert_int_equal(whole.ids[at++], parts.ids[k]);
    assert_int_equal(at, whole.start[1] - 1);
    whet_token_rows_destroy(ctx, &whole);
    whet_token_rows_destroy(ctx, &parts);
    whet_i_buf_free(ctx, &joined);
    whet_tokenizer_destroy(ctx, tokenizer);
    free(in.bytes);
    test_ctx_done(ctx);
}

static void a_long_text_is_never_cut_inside_a_word(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "uncased.json"));
    const whet_str word = whet_str_from("unaffable");
    whet_token_rows one = encode(ctx, tokenizer, &word, 1, 0);
    const int64_t pieces = one.start[1] - 2;
    assert_int_equal(pieces, 3);
    whet_i_buf many = {0};
    enum { TIMES = 900 };
    for (int i = 0; i < TIMES; i++) test_ok(ctx, whet_i_buf_printf(ctx, &many, "%s ", word.ptr));
    const whet_str text = {many.data, many.len};
    whet_token_rows rows = encode(ctx, tokenizer, &text, 1, 0);
    assert_int_equal(rows.start[1], TIMES * pieces + 2);
    for (int64_t k = 0; k < TIMES * pieces; k++)
        assert_int_equal(rows.ids[k + 1], one.ids[k % pieces + 1]);
    whet_token_rows_destroy(ctx, &rows);
    whet_token_rows_destroy(ctx, &one);
    whet_i_buf_free(ctx, &many);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

static void thread_count_does_not_matter(void **state) {
    (void)state;
    texts in;
    read_texts(&in);
    /* Enough for several batches and many items. */
    enum { TIMES = 700 };
    whet_str *many = malloc((size_t)(in.n * TIMES) * sizeof *many);
    assert_non_null(many);
    for (int64_t i = 0; i < in.n * TIMES; i++) many[i] = in.items[(i * 7 + i / in.n) % in.n];
    whet_token_rows first = {0};
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "uncased.json"));
    first = encode(ctx, tokenizer, many, in.n * TIMES, 0);
    for (int32_t threads = 2; threads <= 5; threads += 3) {
        whet_ctx *other = test_ctx(threads);
        whet_token_rows rows = encode(other, tokenizer, many, in.n * TIMES, 0);
        assert_memory_equal(rows.start, first.start,
                            (size_t)(in.n * TIMES + 1) * sizeof *rows.start);
        assert_memory_equal(rows.ids, first.ids,
                            (size_t)first.start[in.n * TIMES] * sizeof *rows.ids);
        whet_token_rows_destroy(other, &rows);
        test_ctx_done(other);
    }
    whet_token_rows_destroy(ctx, &first);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
    free(many);
    free(in.bytes);
}

static void nothing_and_long_lines_are_texts_too(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_tokenizer *tokenizer = load(ctx, test_source(GOLDEN "uncased.json"));
    whet_token_rows rows = encode(ctx, tokenizer, NULL, 0, 0);
    whet_token_rows_destroy(ctx, &rows);
    enum { LEN = 1 << 20 };
    char *line = malloc(LEN), *marks = malloc(LEN);
    assert_non_null(line);
    assert_non_null(marks);
    memset(line, 'a', LEN);
    for (int i = 0; i < LEN; i += 2) memcpy(marks + i, "\xCC\x81", 2);
    const whet_str items[] = {{NULL, 0}, {line, LEN}, {marks, LEN}, {"a", 1}};
    rows = encode(ctx, tokenizer, items, 4, 0);
    assert_int_equal(rows.start[1], 2);
    assert_int_equal(rows.start[2], 2 + 3); /* one word that is too long */
    assert_int_equal(rows.ids[3], 1);
    assert_int_equal(rows.start[3], 5 + 2); /* marks alone are nothing */
    assert_int_equal(rows.start[4], 7 + 3);
    whet_token_rows_destroy(ctx, &rows);
    for (int i = 0; i < LEN; i += 2) line[i] = ' ';
    rows = encode(ctx, tokenizer, items + 1, 1, 0);
    assert_int_equal(rows.start[1], LEN / 2 + 2);
    whet_token_rows_destroy(ctx, &rows);
    const whet_str wrong = {NULL, 3};
    test_fails(ctx, whet_tokenizer_encode(ctx, tokenizer, &wrong, 1, 0, &rows), WHET_ERR_ARG);
    test_fails(ctx, whet_tokenizer_encode(ctx, tokenizer, items, -1, 0, &rows), WHET_ERR_ARG);
    whet_tokenizer_destroy(ctx, tokenizer);
    free(line);
    free(marks);
    test_ctx_done(ctx);
}

static whet_status load_and_encode(whet_ctx *ctx, void *arg) {
    const texts *in = arg;
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows = {0};
    whet_status status = whet_tokenizer_load(ctx, test_source(GOLDEN "added.json"), &tokenizer);
    if (status != WHET_OK) {
        assert_null(tokenizer);
        return status;
    }
    status = whet_tokenizer_encode(ctx, tokenizer, in->items, in->n, 0, &rows);
    if (status != WHET_OK) assert_null(rows.ids);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    texts in;
    read_texts(&in);
    assert_true(test_each_allocation(load_and_encode, &in) > 20);
    free(in.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_hugging_face),
        cmocka_unit_test(ids_of_a_real_model_are_those_of_hugging_face),
        cmocka_unit_test(truncation_keeps_the_first_ids_and_the_special_ones),
        cmocka_unit_test(ids_are_in_range_and_have_a_text),
        cmocka_unit_test(texts_joined_by_spaces_have_their_ids_joined),
        cmocka_unit_test(a_long_text_is_never_cut_inside_a_word),
        cmocka_unit_test(thread_count_does_not_matter),
        cmocka_unit_test(nothing_and_long_lines_are_texts_too),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("nn/tokenizer", tests, NULL, NULL);
}
