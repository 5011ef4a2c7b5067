/* SPDX-License-Identifier: Apache-2.0
 * All code points: what normalisers and pre-tokenisers do with each, against hashes from Hugging
 * Face (tests/golden/tokenizer/unicode.txt); canonical order against a bubble sort; UTF-8. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/tokenizer_i.h"

static uint64_t hashed(uint64_t h, uint64_t value) { return (h ^ value) * 1099511628211u; }
#define HASH_START 14695981039346656037u

static void build(whet_ctx *ctx, whet_i_normalizer *norm, const whet_i_norm_op *ops, int32_t n) {
    *norm = (whet_i_normalizer){.n_ops = n};
    memcpy(norm->ops, ops, (size_t)n * sizeof *ops);
    test_ok(ctx, whet_i_normalizer_build(ctx, norm));
}

static const whet_i_norm_op UNCASED[] = {WHET_I_NORM_CLEAN, WHET_I_NORM_IDEOGRAPHS,
                                         WHET_I_NORM_DECOMPOSE, WHET_I_NORM_NONSPACING,
                                         WHET_I_NORM_LOWER};
static const whet_i_norm_op STRIPPED[] = {WHET_I_NORM_DECOMPOSE, WHET_I_NORM_MARKS,
                                          WHET_I_NORM_LOWER};

/* Hash of every normalised code point of a block of 4096, and of the number of words that "a", the
 * code point, "b" makes. Checks the bounds that buffers rely on by the way. */
static uint64_t hash_block(const whet_i_normalizer *norm, uint32_t first) {
    uint64_t h = HASH_START;
    for (uint32_t code = first; code < first + 4096; code++) {
        uint8_t in[4], out[64];
        if (code >= 0xD800 && code < 0xE000) continue;
        const uint8_t *in_end = whet_i_utf8_encode(in, code);
        const uint8_t *end = whet_i_normalize(norm, in, in_end, out);
        assert_true(end - out <= norm->max_bytes * (in_end - in));
        int64_t codes = 0;
        for (const uint8_t *p = out; p < end; p++) {
            codes += (*p & 0xC0) != 0x80;
            h = hashed(h, *p);
        }
        assert_true(codes <= norm->max_codes * (in_end - in));
        h = hashed(h, '\n');
    }
    return h;
}

static uint64_t hash_words(const whet_tokenizer *tok, uint32_t first) {
    uint64_t h = HASH_START;
    for (uint32_t code = first; code < first + 4096; code++) {
        if (code >= 0xD800 && code < 0xE000) continue;
        const uint32_t class = whet_i_charmap_get(&tok->classes, code);
        h = hashed(h, class == WHET_I_CLASS_A ? 1 : class == WHET_I_CLASS_SPACE ? 2 : 3);
    }
    return h;
}

static whet_tokenizer *load(whet_ctx *ctx, const char *name) {
    char path[128];
    whet_tokenizer *tok = NULL;
    (void)snprintf(path, sizeof path, "tests/golden/tokenizer/%s.json", name);
    test_ok(ctx, whet_tokenizer_load(ctx, test_source(path), &tok));
    return tok;
}

static void every_code_point_is_as_in_hugging_face(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_normalizer norm[4];
    build(ctx, &norm[0], UNCASED, 5);
    build(ctx, &norm[1], UNCASED, 2); /* not lowered: accents stay too */
    build(ctx, &norm[2], STRIPPED, 3);
    build(ctx, &norm[3], STRIPPED, 1);
    whet_tokenizer *bert = load(ctx, "uncased"), *words = load(ctx, "sequence");
    FILE *file = fopen(test_source("tests/golden/tokenizer/unicode.txt"), "r");
    assert_non_null(file);
    for (uint32_t first = 0; first < WHET_I_UNICODE_END; first += 4096) {
        uint64_t got[6];
        for (int i = 0; i < 4; i++) got[i] = hash_block(&norm[i], first);
        got[4] = hash_words(bert, first);
        got[5] = hash_words(words, first);
        char line[128], *p = line;
        assert_non_null(fgets(line, sizeof line, file));
        for (int i = 0; i < 6; i++)
            if (strtoull(p, &p, 16) != got[i])
                fail_msg("column %d differs between U+%X and U+%X", i, first, first + 4095);
    }
    (void)fclose(file);
    for (int i = 0; i < 4; i++) whet_i_normalizer_free(ctx, &norm[i]);
    whet_tokenizer_destroy(ctx, bert);
    whet_tokenizer_destroy(ctx, words);
    test_ctx_done(ctx);
}

/* Random strings of marks and letters: NFD as its definition says (decompose, then exchange
 * neighbours while the class before is higher), against the normaliser. */
static void marks_come_in_canonical_order(void **state) {
    (void)state;
    static const uint32_t PICK[] = {'a',    0xE9,   0x300,   0x327,   0x345,   0x323,  0x1D160,
                                    0x34F,  0x302E, 0x1D165, 0x1D16D, 0x1E69,  0xAC01, 0x344,
                                    0x0F73, ' ',    0x5D0,   0x5B0,   0x1D15F, 0x212B};
    whet_ctx *ctx = test_ctx(1);
    whet_i_normalizer norm;
    whet_i_rng rng;
    build(ctx, &norm, STRIPPED, 1);
    whet_i_rng_init(&rng, 11, 0);
    for (int round = 0; round < 3000; round++) {
        uint8_t in[128], out[512], expected[512], *in_end = in, *end = expected;
        uint32_t code[128];
        int32_t n = 0;
        for (int64_t k = whet_i_rng_below(&rng, 14); k >= 0; k--) {
            const uint32_t c = PICK[whet_i_rng_below(&rng, WHET_COUNT_OF(PICK))];
            in_end = whet_i_utf8_encode(in_end, c);
            n += whet_i_unicode_decompose(c, code + n);
        }
        for (int32_t i = 0; i < n; i++)
            for (int32_t k = n - 1; k > 0; k--) {
                const uint32_t class = whet_i_unicode_class(code[k]);
                if (class == 0 || whet_i_unicode_class(code[k - 1]) <= class) continue;
                const uint32_t swap = code[k];
                code[k] = code[k - 1];
                code[k - 1] = swap;
            }
        for (int32_t i = 0; i < n; i++) end = whet_i_utf8_encode(end, code[i]);
        const uint8_t *got_end = whet_i_normalize(&norm, in, in_end, out);
        assert_int_equal(got_end - out, end - expected);
        assert_memory_equal(out, expected, (size_t)(end - expected));
    }
    whet_i_normalizer_free(ctx, &norm);
    test_ctx_done(ctx);
}

/* A mark of class 0 that is dropped still keeps the marks beside it from being exchanged: U+1D16D
 * (class 226), U+034F (0, dropped), U+1D165 (216). */
static void a_dropped_starter_separates_marks(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_normalizer norm;
    build(ctx, &norm, UNCASED, 5);
    static const struct {
        const char *in, *out;
    } CASES[] = {
        {"a\xF0\x9D\x85\xAD\xCD\x8F\xF0\x9D\x85\xA5", "a\xF0\x9D\x85\xAD\xF0\x9D\x85\xA5"},
        {"a\xF0\x9D\x85\xAD\xCC\x81\xF0\x9D\x85\xA5", "a\xF0\x9D\x85\xA5\xF0\x9D\x85\xAD"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(CASES); i++) {
        const uint8_t *in = (const uint8_t *)CASES[i].in;
        uint8_t out[64];
        const uint8_t *end = whet_i_normalize(&norm, in, in + strlen(CASES[i].in), out);
        assert_int_equal(end - out, strlen(CASES[i].out));
        assert_memory_equal(out, CASES[i].out, strlen(CASES[i].out));
    }
    whet_i_normalizer_free(ctx, &norm);
    test_ctx_done(ctx);
}

/* Python: len(bytes.decode("utf-8", "replace")), and which of them are U+FFFD (r). */
static void ill_formed_bytes_are_replaced_as_python_does(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *kinds;
    } CASES[] = {
        {"a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "...."},
        {"\x80\xBF", "rr"},
        {"\xC0\x80\xC1\xBF", "rrrr"},
        {"\xE0\x9F\xBF", "rrr"},
        {"\xED\xA0\x80", "rrr"},
        {"\xED\x9F\xBF", "."},
        {"\xF0\x8F\x80\x80", "rrrr"},
        {"\xF4\x90\x80\x80", "rrrr"},
        {"\xF4\x8F\xBF\xBF", "."},
        {"\xF5\xFF", "rr"},
        {"\xE2\x82x", "r."},
        {"\xF0\x9F\x98x", "r."},
        {"\xF0\x9F\xC3\xA9", "r."},
        {"\xE2", "r"},
        {"\xF1\x80\x80", "r"},
    };
    for (int64_t i = 0; i < WHET_COUNT_OF(CASES); i++) {
        const uint8_t *begin = (const uint8_t *)CASES[i].bytes, *p = begin, *start;
        const uint8_t *end = begin + strlen(CASES[i].bytes);
        for (const char *kind = CASES[i].kinds; *kind; kind++) {
            assert_true(p < end);
            const uint8_t *before = p;
            const uint32_t code = whet_i_utf8_decode(p, end, &p);
            assert_int_equal(code == WHET_I_REPLACEMENT, *kind == 'r');
            if (*kind == 'r') continue;
            assert_int_equal(whet_i_utf8_before(begin, p, &start), code);
            assert_ptr_equal(start, before);
        }
        assert_ptr_equal(p, end);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_is_as_in_hugging_face),
        cmocka_unit_test(marks_come_in_canonical_order),
        cmocka_unit_test(a_dropped_starter_separates_marks),
        cmocka_unit_test(ill_formed_bytes_are_replaced_as_python_does),
    };
    return cmocka_run_group_tests_name("nn/tokenizer_unicode", tests, NULL, NULL);
}
