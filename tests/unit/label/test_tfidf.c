/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "label/tfidf_i.h"

enum { N = 8 };
static const char *const corpus[N] = {"The cat sat on the mat",
                                      "A CAT and a dog",
                                      "dogs chase cats",
                                      "stock markets fell sharply",
                                      "Markets rallied; stocks rose",
                                      "the market for stocks",
                                      "caf\xc3\xa9 CAFE\xcc\x81 cafe",
                                      "\xff\xfe broken \x80 bytes in markets"};

static void as_texts(whet_str texts[N]) {
    for (int i = 0; i < N; i++) texts[i] = whet_str_from(corpus[i]);
}

static double dot(const float *a, const float *b, int64_t d) {
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static void terms_are_words_pairs_and_grams(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_names *names = NULL;
    whet_i_terms terms = {0};
    test_ok(ctx, whet_names_create(ctx, &names));
    test_ok(ctx, whet_i_terms_extract(ctx, &terms, whet_str_from("Caf\xc3\xa9, CAFE\xcc\x81!"),
                                      names, true));
    /* "cafe" composed and folded twice: word, its grams caf afe cafe, and the pair of both. */
    assert_int_equal(whet_names_count(names), 5);
    assert_true(whet_names_find(names, whet_str_from("wcaf\xc3\xa9")) >= 0);
    assert_true(whet_names_find(names, whet_str_from("pcaf\xc3\xa9 caf\xc3\xa9")) >= 0);
    assert_true(whet_names_find(names, whet_str_from("ccaf")) >= 0);
    assert_true(whet_names_find(names, whet_str_from("ccaf\xc3\xa9")) >= 0);
    assert_int_equal(terms.n_ids, 9);
    test_ok(ctx, whet_i_terms_extract(ctx, &terms, whet_str_from(" ,;. "), names, true));
    assert_int_equal(terms.n_ids, 0);
    test_ok(ctx, whet_i_terms_extract(ctx, &terms, whet_str_from("unknown"), names, false));
    assert_int_equal(terms.n_ids, 0);
    whet_i_terms_free(ctx, &terms);
    whet_names_destroy(ctx, names);
    test_ctx_done(ctx);
}

static void texts_that_share_words_are_near(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_str texts[N];
    as_texts(texts);
    whet_tfidf *tfidf = NULL;
    test_ok(ctx, whet_tfidf_fit(ctx, texts, N, NULL, &tfidf));
    const int64_t d = whet_tfidf_dim(tfidf);
    assert_in_range(d, 2, N);
    float *x = calloc((size_t)(N * d), sizeof *x);
    test_ok(ctx, whet_tfidf_transform(ctx, tfidf, texts, N, x));
    /* Text 6 shares no term with another, and a term must occur in two: it is a row of zeros. */
    for (int i = 0; i < N; i++)
        assert_true(fabs(dot(x + i * d, x + i * d, d) - (i == 6 ? 0 : 1)) < 1e-5);
    assert_true(dot(x + 3 * d, x + 5 * d, d) > dot(x + 3 * d, x + 1 * d, d));
    assert_true(dot(x + 1 * d, x + 2 * d, d) > dot(x + 1 * d, x + 4 * d, d));
    free(x);
    whet_tfidf_destroy(ctx, tfidf);
    test_ctx_done(ctx);
}

/* With all directions kept the projection is a rotation: products of rows are those of the
 * TF-IDF rows. One word a text, two texts share it: products are 1 and 0. */
static void nothing_is_lost_when_all_directions_are_kept(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_str texts[] = {whet_str_from("aa"), whet_str_from("bb"), whet_str_from("aa"),
                              whet_str_from("bb cc"), whet_str_from("cc")};
    whet_tfidf *tfidf = NULL;
    test_ok(ctx, whet_tfidf_fit(ctx, texts, 5, NULL, &tfidf));
    const int64_t d = whet_tfidf_dim(tfidf);
    assert_int_equal(d, 3);
    float x[5 * 3];
    test_ok(ctx, whet_tfidf_transform(ctx, tfidf, texts, 5, x));
    assert_true(fabs(dot(x, x + 2 * d, d) - 1) < 1e-6);
    assert_true(fabs(dot(x, x + d, d)) < 1e-6);
    assert_true(fabs(dot(x + d, x + 3 * d, d) - sqrt(0.5)) < 1e-6); /* equal idf */
    whet_tfidf_destroy(ctx, tfidf);
    test_ctx_done(ctx);
}

static void threads_and_company_change_no_bit(void **state) {
    (void)state;
    whet_str texts[N];
    as_texts(texts);
    float first[N * N];
    for (int32_t threads = 1; threads <= 5; threads += 2) {
        whet_ctx *ctx = test_ctx(threads);
        whet_tfidf *tfidf = NULL;
        test_ok(ctx, whet_tfidf_fit(ctx, texts, N, NULL, &tfidf));
        const int64_t d = whet_tfidf_dim(tfidf);
        float x[N * N], alone[N];
        test_ok(ctx, whet_tfidf_transform(ctx, tfidf, texts, N, x));
        if (threads == 1) memcpy(first, x, sizeof(float) * (size_t)(N * d));
        assert_memory_equal(x, first, sizeof(float) * (size_t)(N * d));
        test_ok(ctx, whet_tfidf_transform(ctx, tfidf, &texts[4], 1, alone));
        assert_memory_equal(alone, x + 4 * d, sizeof(float) * (size_t)d);
        whet_tfidf_destroy(ctx, tfidf);
        test_ctx_done(ctx);
    }
}

static whet_status fit_save_restore(whet_ctx *ctx, void *arg) {
    (void)arg;
    whet_status status = WHET_OK;
    whet_str texts[N];
    as_texts(texts);
    whet_tfidf *tfidf = NULL, *again = NULL;
    whet_i_buf terms = {0};
    float x[N * N], y[N * N];
    WHET_TRY_DONE(whet_tfidf_fit(ctx, texts, N, NULL, &tfidf));
    WHET_TRY_DONE(whet_i_tfidf_write_terms(ctx, tfidf, &terms));
    const whet_i_tfidf_arrays arrays = whet_i_tfidf_view(tfidf);
    WHET_TRY_DONE(whet_i_tfidf_restore(ctx, terms.data, terms.len, &arrays, &again));
    WHET_TRY_DONE(whet_tfidf_transform(ctx, tfidf, texts, N, x));
    WHET_TRY_DONE(whet_tfidf_transform(ctx, again, texts, N, y));
    assert_memory_equal(x, y, sizeof(float) * (size_t)(N * arrays.dim));
done:
    whet_i_buf_free(ctx, &terms);
    whet_tfidf_destroy(ctx, again);
    whet_tfidf_destroy(ctx, tfidf);
    return status;
}

static void a_restored_object_gives_the_same_bits(void **state) {
    (void)state;
    assert_true(test_each_allocation(fit_save_restore, NULL) > 20);
}

static void lying_arrays_and_empty_texts_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const double idf[2] = {1, 2};
    float projection[2] = {1, 2};
    whet_i_tfidf_arrays arrays = {2, 1, idf, projection};
    whet_tfidf *tfidf = NULL;
    const char *lies[] = {"a\n", "a\na\n", "a\nb\nc\n", "a\nb", "a\n\n"};
    for (int64_t i = 0; i < WHET_COUNT_OF(lies); i++)
        test_fails(ctx,
                   whet_i_tfidf_restore(ctx, lies[i], (int64_t)strlen(lies[i]), &arrays, &tfidf),
                   WHET_ERR_FORMAT);
    projection[1] = (float)NAN;
    test_fails(ctx, whet_i_tfidf_restore(ctx, "a\nb\n", 4, &arrays, &tfidf), WHET_ERR_FORMAT);
    const whet_str blank[] = {whet_str_from(""), whet_str_from(" . ")};
    test_fails(ctx, whet_tfidf_fit(ctx, blank, 2, NULL, &tfidf), WHET_ERR_DATA);
    test_fails(ctx, whet_tfidf_fit(ctx, blank, 0, NULL, &tfidf), WHET_ERR_DATA);
    assert_null(tfidf);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_are_words_pairs_and_grams),
        cmocka_unit_test(texts_that_share_words_are_near),
        cmocka_unit_test(nothing_is_lost_when_all_directions_are_kept),
        cmocka_unit_test(threads_and_company_change_no_bit),
        cmocka_unit_test(a_restored_object_gives_the_same_bits),
        cmocka_unit_test(lying_arrays_and_empty_texts_are_refused),
    };
    return cmocka_run_group_tests_name("label/tfidf", tests, NULL, NULL);
}
