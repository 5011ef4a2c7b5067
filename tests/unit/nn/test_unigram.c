/* SPDX-License-Identifier: Apache-2.0
 * Unigram tokenizers and compiled normalisers against golden ids, segments and texts of Hugging Face
 * tokenizers (tests/golden/tokenizer/generate_unigram.py); the best cut of a word against all cuts; what is
 * wrong with a file. */
#include "tokenizer_golden.h"

#include <math.h>

#include "nn/tokenizer_i.h"

static const char *const NAMES[] = {"unigram_xlmr",  "unigram_bge",   "unigram_albert",
                                    "unigram_bytes", "unigram_whole", "unigram_some_bytes"};

/* ---- golden files ------------------------------------------------------------------------------ */

static void ids_are_those_of_hugging_face(void **state) {
    (void)state;
    check_ids(NAMES, WHET_COUNT_OF(NAMES));
}

static void pairs_are_those_of_hugging_face(void **state) {
    (void)state;
    check_pairs(NAMES, WHET_COUNT_OF(NAMES));
}

static void decoded_texts_are_those_of_hugging_face(void **state) {
    (void)state;
    check_decoded(NAMES, WHET_COUNT_OF(NAMES));
}

/* Each token tells how many parts its text falls into: clusters of up to 5 bytes, else code points. */
static void clusters_end_where_those_of_hugging_face_do(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    texts in = {.bytes = read_file(test_source(GOLDEN "clusters.hex"))};
    whet_tokenizer *tokenizer = load(ctx, golden_file("unigram_clusters", ".json"));
    char *write = in.bytes;
    for (const char *read = in.bytes; *read; read++) {
        in.items[in.n].ptr = write;
        for (; *read != '\n'; read += 2) *write++ = (char)(nibble(read[0]) << 4 | nibble(read[1]));
        in.items[in.n].len = write - in.items[in.n].ptr;
        in.n++;
    }
    assert_int_equal(in.n, 400);
    compare(ctx, tokenizer, &in, 0, golden_file("unigram_clusters", ".ids"));
    whet_tokenizer_destroy(ctx, tokenizer);
    free(in.bytes);
    test_ctx_done(ctx);
}

/* ---- the best cut ------------------------------------------------------------------------------- */

#define LETTERS 3
#define MOST_TOKENS 24
#define MOST_LETTERS 11

/* The highest sum of all cuts of word[at..n), unknown letters at `unknown`. */
static double best_of_all(const whet_i_unigram *model, const char *word, int64_t at, int64_t n) {
    double best = at == n ? 0 : -INFINITY;
    for (int64_t to = at + 1; to <= n; to++) {
        uint32_t node = WHET_I_TRIE_ROOT;
        for (int64_t i = at; i < to && node; i++)
            node = whet_i_trie_step(model->vocab, node, (uint8_t)word[i]);
        const int32_t token = node ? model->vocab->values[node] : -1;
        if (token < 0 && to > at + 1) continue;
        const double here = token < 0 ? model->unknown : model->scores[token];
        best = fmax(best, here + best_of_all(model, word, to, n));
    }
    return best;
}

static void the_cut_is_the_best_of_all(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 17, 0);
    for (int round = 0; round < 2000; round++) {
        whet_i_trie trie = {0};
        double scores[MOST_TOKENS] = {0};
        char text[MOST_TOKENS][8], word[MOST_LETTERS + 1];
        const int64_t tokens = 1 + whet_i_rng_below(&rng, MOST_TOKENS - 1);
        whet_i_unigram model = {.vocab = &trie, .scores = scores, .unknown = -30};
        test_ok(ctx, whet_i_trie_init(ctx, &trie));
        for (int32_t t = 1; t <= tokens && t < MOST_TOKENS; t++) {
            const int64_t len = 1 + whet_i_rng_below(&rng, 4);
            int32_t existing;
            for (int64_t i = 0; i < len; i++)
                text[t][i] = (char)('a' + whet_i_rng_below(&rng, LETTERS));
            scores[t] = -10 * whet_i_rng_uniform(&rng);
            test_ok(ctx, whet_i_trie_add(ctx, &trie, (whet_str){text[t], len}, t, &existing));
        }
        const int64_t n = 1 + whet_i_rng_below(&rng, MOST_LETTERS);
        for (int64_t i = 0; i < n; i++) word[i] = (char)('a' + whet_i_rng_below(&rng, LETTERS));
        double memory[2 * (MOST_LETTERS + 1)], sum = 0;
        int32_t ids[MOST_LETTERS];
        whet_i_ids out = {ids, 0, MOST_LETTERS};
        whet_i_unigram_word(&model, (const uint8_t *)word, n, (uint8_t *)memory, &out);
        int64_t known = 0, unknown = 0;
        for (int64_t i = 0; i < out.n; i++) {
            sum += scores[ids[i]];
            unknown += ids[i] == 0;
        }
        /* Without unknown letters the sum is the score; with them it is below that of any without. */
        const double best = best_of_all(&model, word, 0, n);
        if (unknown == 0) assert_true(fabs(sum - best) < 1e-9);
        if (unknown > 0) assert_true(best <= model.unknown);
        for (int64_t i = 1; i < out.n; i++) known += ids[i] == 0 && ids[i - 1] == 0;
        assert_int_equal(known, 0); /* neighbours are one */
        whet_i_trie_free(ctx, &trie);
    }
    test_ctx_done(ctx);
}

/* ---- small files ---------------------------------------------------------------------------------- */

#define FILE_OF(normalizer, model) \
    "{\"normalizer\":" normalizer ",\"model\":{\"type\":\"Unigram\"," model "}}"
#define VOCAB \
    "\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"b\",-2.5],[\"ab\",-3],[\"<0xC3>\",-9],[\"<0xA9>\",-9]" \
    "," \
    "[\"b\",-2]]"

/* Ids as Hugging Face tokenizers 0.23 gives them: of "b" the second counts; a sum of -3 either way, of "ab"
 * the way met first, the longer token from the begin; what is unknown is one, or its bytes, all or none. */
static void small_words_are_cut_as_hugging_face_does(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *plain = FILE_OF("null", "\"unk_id\":0," VOCAB);
    const char *bytes = FILE_OF("null", "\"unk_id\":0,\"byte_fallback\":true," VOCAB);
    expect(ctx, plain, "", "");
    expect(ctx, plain, "b", "6");
    expect(ctx, plain, "ab", "3");
    expect(ctx, plain, "abba", "361");
    expect(ctx, plain, "xyax\xC3\xA9", "010");
    expect(ctx, plain, "<unk>", "0");
    expect(ctx, bytes, "a\xC3\xA9", "145");
    expect(ctx, bytes, "\xC3\xA9x", "0");
    expect(ctx, bytes, "\xC3\xA9<unk>", "0");
    expect(ctx, bytes, "<unk>", "0");
    test_ctx_done(ctx);
}

static void refused(whet_ctx *ctx, const char *file, whet_status status, const char *says) {
    whet_tokenizer *tokenizer = NULL;
    const char *path = test_write_text("tokenizer.json", file);
    test_fails(ctx, whet_tokenizer_load(ctx, path, &tokenizer), status);
    test_says(ctx, says);
    test_says(ctx, "tokenizer.json");
}

static void models_that_are_none(void **state) {
    (void)state;
    const whet_status format = WHET_ERR_FORMAT;
    whet_ctx *ctx = test_ctx(1);
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":[]"), format, "\"vocab\" is empty");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":{\"a\":1}"), format, "is no list");
    refused(ctx, FILE_OF("null", "\"unk_id\":0"), format, "is no list");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":[\"a\"]"), format, "token 0");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":[[\"a\",0],[\"a\"]]"), format, "token 1");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":[[\"a\",null]]"), format, "token 0");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"vocab\":[[1,0]]"), format, "[text, score]");
    refused(ctx, FILE_OF("null", "\"unk_id\":7," VOCAB), format, "out of range; expected 0 to 6");
    refused(ctx, FILE_OF("null", "\"unk_id\":-1," VOCAB), format, "out of range");
    refused(ctx, FILE_OF("null", "\"unk_id\":null," VOCAB), WHET_ERR_UNSUPPORTED, "no integer");
    refused(ctx, FILE_OF("null", "\"unk_id\":0,\"byte_fallback\":1," VOCAB), format,
            "byte_fallback");
    refused(ctx,
            "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
            "\"model\":{\"type\":\"Unigram\",\"unk_id\":0," VOCAB "}}",
            WHET_ERR_UNSUPPORTED, "model Unigram behind the pre_tokenizer ByteLevel");
    test_ctx_done(ctx);
}

/* ---- charsmaps ---------------------------------------------------------------------------------- */

/* Units and texts as a file. */
static const char *charsmap_file(const uint32_t *units, int64_t n, const char *values,
                                 int64_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char file[8192];
    uint8_t bytes[2048] = {0};
    const uint32_t size = (uint32_t)n * 4;
    memcpy(bytes, &size, 4); /* little endian here */
    memcpy(bytes + 4, units, size);
    memcpy(bytes + 4 + size, values, (size_t)len);
    const int64_t all = 4 + (int64_t)size + len;
    int at = snprintf(file, sizeof file,
                      "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"");
    for (int64_t i = 0; i < all; i += 3) {
        const uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (int k = 0; k < 4; k++) file[at++] = digits[bits >> (18 - 6 * k) & 63];
        if (i + 1 >= all) file[at - 2] = '=';
        if (i + 2 >= all) file[at - 1] = '=';
    }
    (void)snprintf(file + at, sizeof file - (size_t)at,
                   "\"},\"model\":{\"type\":\"Unigram\",\"unk_id\":0," VOCAB "}}");
    return file;
}

enum { ENDS = 256 };
#define OFFSET(n) ((uint32_t)(n) << 10)

/* 'a' is at 1 ^ 'a', its value at 0x80 beyond: one string, "a". */
static void one_string(uint32_t units[256]) {
    memset(units, 0, 256 * sizeof *units);
    units[0] = OFFSET(1);
    units[1 ^ 'a'] = (uint32_t)'a' | ENDS | OFFSET((1 ^ 'a') ^ 0x80);
    units[0x80] = 3; /* where its text begins */
}

static void a_charsmap_replaces(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    uint32_t units[256];
    one_string(units);
    expect(ctx, charsmap_file(units, 256, "xx\0ab\0", 6), "aba", "363");
    expect(ctx, charsmap_file(units, 256, "xx\0ab", 5), "aba", "363"); /* the last needs no NUL */
    /* An accent goes with its letter, a second one makes 5 bytes, a third 7: letters alone again. */
    expect(ctx, charsmap_file(units, 256, "xx\0b\0", 5), "a\xCC\x81", "6");
    expect(ctx, charsmap_file(units, 256, "xx\0b\0", 5), "a\xCC\x81\xCC\x81", "6");
    expect(ctx, charsmap_file(units, 256, "xx\0b\0", 5), "a\xCC\x81\xCC\x81\xCC\x81", "60");
    test_ctx_done(ctx);
}

#define PRECOMPILED(value) \
    FILE_OF("{\"type\":\"Precompiled\",\"precompiled_charsmap\":" value "}", "\"unk_id\":" \
                                                                             "0," VOCAB)

static void charsmaps_that_are_none(void **state) {
    (void)state;
    const whet_status format = WHET_ERR_FORMAT;
    whet_ctx *ctx = test_ctx(1);
    uint32_t units[256];
    refused(ctx, PRECOMPILED("null"), format, "is missing; expected a text in base 64");
    refused(ctx, PRECOMPILED("\"AAA\""), format, "no base 64");
    refused(ctx, PRECOMPILED("\"AA=A\""), format, "no base 64");
    refused(ctx, PRECOMPILED("\"AAB=\""), format, "no base 64"); /* bits behind the end */
    refused(ctx, PRECOMPILED("\"AA-A\""), format, "no base 64");
    refused(ctx, PRECOMPILED("\"\""), format, "has no trie");
    refused(ctx, PRECOMPILED("\"AAAAAA==\""), format, "has no trie");     /* of no bytes */
    refused(ctx, PRECOMPILED("\"BQAAAAAAAAAA\""), format, "has no trie"); /* of 5 */
    refused(ctx, PRECOMPILED("\"/////wAAAAA=\""), format, "has no trie"); /* of 2^32 - 1 */
    one_string(units);
    refused(ctx, charsmap_file(units, 256, "xx\0", 3), format, "a value that is no text's place");
    refused(ctx, charsmap_file(units, 256, "xx\xC3\xA9\0", 5), format, "no text's place");
    refused(ctx, charsmap_file(units, 256, "xx\0\xC3\0", 5), format, "not UTF-8");
    units[1 ^ 'a'] = (uint32_t)'a' | ENDS | OFFSET(0x1FFF00); /* its value is outside */
    refused(ctx, charsmap_file(units, 256, "xx\0ab\0", 6), format, "no text's place");
    test_ctx_done(ctx);
}

/* Places that lead to each other, and out of the trie: lookups end. */
static void a_charsmap_may_go_in_circles(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    uint32_t units[256];
    for (uint32_t i = 0; i < 256; i++) units[i] = (i ^ 1) | OFFSET(i ^ 1);
    expect(ctx, charsmap_file(units, 256, "xx\0ab\0", 6), "aba\xCC\x81", "310");
    units[1 ^ 'a'] = (uint32_t)'a' | OFFSET(0x3FFFFF) | 512u;
    expect(ctx, charsmap_file(units, 256, "xx\0ab\0", 6), "aba\xCC\x81", "310");
    test_ctx_done(ctx);
}

/* ---- memory --------------------------------------------------------------------------------------- */

static whet_status load_and_encode(whet_ctx *ctx, void *arg) {
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows = {0};
    const whet_str text = whet_str_from("the quick caf\xC3\xA9\xCC\x81 \xEF\xBC\xA1!");
    whet_status status = whet_tokenizer_load(ctx, arg, &tokenizer);
    if (status == WHET_OK) status = whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    return status;
}

static void allocations_may_fail(void **state) {
    (void)state;
    uint32_t units[256];
    char path[512];
    one_string(units);
    (void)snprintf(path, sizeof path, "%s",
                   test_write_text("tokenizer.json", charsmap_file(units, 256, "xx\0ab\0", 6)));
    assert_true(test_each_allocation(load_and_encode, path) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_hugging_face),
        cmocka_unit_test(pairs_are_those_of_hugging_face),
        cmocka_unit_test(decoded_texts_are_those_of_hugging_face),
        cmocka_unit_test(clusters_end_where_those_of_hugging_face_do),
        cmocka_unit_test(the_cut_is_the_best_of_all),
        cmocka_unit_test(small_words_are_cut_as_hugging_face_does),
        cmocka_unit_test(models_that_are_none),
        cmocka_unit_test(a_charsmap_replaces),
        cmocka_unit_test(charsmaps_that_are_none),
        cmocka_unit_test(a_charsmap_may_go_in_circles),
        cmocka_unit_test(allocations_may_fail),
    };
    return cmocka_run_group_tests_name("nn/unigram", tests, NULL, NULL);
}
