/* SPDX-License-Identifier: Apache-2.0
 * BPE tokenizers against golden ids, segments and texts of Hugging Face tokenizers
 * (tests/golden/tokenizer/generate_bpe.py); merging against a slow second algorithm. */
#include "tokenizer_golden.h"

#include "nn/tokenizer_i.h"

static const char *const NAMES[] = {"bpe_roberta", "bpe_llama3", "bpe_qwen2",
                                    "bpe_odd",     "bpe_legacy", "bpe_first",
                                    "bpe_never",   "bpe_suffix", "bpe_prefix"};
#define TEXTS FIRST_TEXTS

static const char *golden(const char *name, const char *kind) {
    char path[64];
    (void)snprintf(path, sizeof path, "bpe_%s", name);
    return golden_file(path, kind);
}

static void first_texts(texts *in) {
    read_texts(in);
    in->n = TEXTS;
}

/* ---- golden files ---------------------------------------------------------------------------- */

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

/* Byte for byte: a text through ids and back through the bytes of each token. */
static void bytes_of_tokens_join_to_the_text(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_str text = whet_str_from("The caf\xC3\xA9's\n\n  na\xC3\xAFve \xF0\x9F\x98\x80"
                                        "\xE6\x9D\xB1\xE4\xBA\xAC 3.14159, \xE0\xA4\xA8!");
    static const char *const EXACT[] = {"roberta", "llama3", "qwen2", "legacy", "first"};
    for (int64_t v = 0; v < WHET_COUNT_OF(EXACT); v++) {
        whet_tokenizer *tokenizer = load(ctx, golden(EXACT[v], ".json"));
        whet_token_rows rows;
        whet_i_buf joined = {0};
        test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows));
        for (int64_t i = 0; i < rows.start[1]; i++) {
            char *bytes;
            int64_t len;
            const char *token = whet_tokenizer_token(tokenizer, rows.ids[i]).ptr;
            if (token[0] == '<' && strncmp(token, "<0x", 3) != 0) continue; /* <s> and the like */
            test_ok(ctx, whet_tokenizer_token_bytes(ctx, tokenizer, rows.ids[i], &bytes, &len));
            test_ok(ctx, whet_i_buf_append(ctx, &joined, bytes, len));
            whet_free_text(ctx, bytes);
        }
        const int64_t lead = v >= 3 ? 1 : 0; /* the space that decoding takes from the begin */
        assert_int_equal(joined.len, text.len + lead);
        assert_memory_equal(joined.data + lead, text.ptr, (size_t)text.len);
        whet_i_buf_free(ctx, &joined);
        whet_token_rows_destroy(ctx, &rows);
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    test_ctx_done(ctx);
}

/* ---- merging --------------------------------------------------------------------------------- */

#define SYMBOLS 6
#define MOST_IDS 40

/* Ranks as a plain table; the least of all pairs, the leftmost of equals, until none is left. */
typedef struct oracle {
    int32_t rank[MOST_IDS][MOST_IDS]; /* -1 = none */
    int32_t merged[MOST_IDS * MOST_IDS];
} oracle;

static int64_t merge_slowly(const oracle *o, int32_t *ids, int64_t n) {
    for (;;) {
        int64_t at = -1;
        for (int64_t i = 0; i + 1 < n; i++) {
            const int32_t rank = o->rank[ids[i]][ids[i + 1]];
            if (rank >= 0 && (at < 0 || rank < o->rank[ids[at]][ids[at + 1]])) at = i;
        }
        if (at < 0) return n;
        ids[at] = o->merged[o->rank[ids[at]][ids[at + 1]]];
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
    }
}

static void random_merges(whet_ctx *ctx, whet_i_rng *rng, oracle *o, whet_i_bpe *bpe) {
    memset(o, -1, sizeof *o);
    *bpe = (whet_i_bpe){0};
    test_ok(ctx, whet_i_bpe_reserve(ctx, bpe, MOST_IDS));
    int32_t rank = 0;
    for (int32_t id = SYMBOLS; id < MOST_IDS; id++) {
        const int32_t a = (int32_t)whet_i_rng_below(rng, id),
                      b = (int32_t)whet_i_rng_below(rng, id);
        if (o->rank[a][b] >= 0) continue;
        o->rank[a][b] = rank;
        /* Two ways to the same token, as vocabularies of SentencePiece have them. */
        o->merged[rank] = id > SYMBOLS + 3 && whet_i_rng_below(rng, 4) == 0 ? id - 1 : id;
        whet_i_bpe_add(bpe, a, b, (uint32_t)rank, o->merged[rank]);
        rank++;
    }
}

static void merging_is_as_slow_merging(void **state) {
    (void)state;
    enum { MOST = 300 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    static oracle o;
    uint8_t *memory;
    whet_i_rng_init(&rng, 5, 0);
    test_ok(ctx, whet_i_alloc(ctx, MOST * WHET_I_BPE_SYMBOL_BYTES, &memory));
    for (int round = 0; round < 3000; round++) {
        whet_i_bpe bpe;
        int32_t ids[3][MOST];
        random_merges(ctx, &rng, &o, &bpe);
        const int64_t n = whet_i_rng_below(&rng, round % 10 ? 60 : MOST);
        const int64_t kinds = 1 + whet_i_rng_below(&rng, SYMBOLS);
        for (int64_t i = 0; i < n; i++)
            ids[0][i] = ids[1][i] = ids[2][i] = (int32_t)whet_i_rng_below(&rng, kinds);
        const int64_t left = merge_slowly(&o, ids[0], n);
        for (int way = 0; way < 2; way++) {
            assert_int_equal(whet_i_bpe_merge(&bpe, ids[1 + way], n, memory, way == 1), left);
            assert_memory_equal(ids[1 + way], ids[0], (size_t)left * sizeof **ids);
        }
        whet_i_bpe_free(ctx, &bpe);
    }
    whet_i_free(ctx, memory);
    test_ctx_done(ctx);
}

/* ---- what is unknown ------------------------------------------------------------------------- */

#define SMALL(flags, merges) \
    "{\"model\":{\"type\":\"BPE\"," flags ",\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"ab\":3," \
    "\"<0xC3>\":4,\"<0xA9>\":5,\"<0xE2>\":6,\"c d\":7},\"merges\":" merges "}}"

/* Lengths and order as Hugging Face tokenizers 0.23 gave them, its oddity included: an unknown
 * letter comes behind the bytes that follow it. */
static void unknown_letters_are_fused_dropped_or_bytes(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
#define UNK "\"unk_token\":\"<unk>\""
#define BYTES "\"byte_fallback\":true"
    expect(ctx, SMALL(UNK, "[\"a b\"]"), "xy\xC3\xA9z", "0000");
    expect(ctx, SMALL(UNK ",\"fuse_unk\":true", "[\"a b\"]"), "xya", "01");
    expect(ctx, SMALL(UNK "," BYTES, "[\"a b\"]"), "x\xC3\xA9", "450");
    expect(ctx, SMALL(UNK "," BYTES, "[\"a b\"]"), "xy\xC3\xA9z", "04500");
    expect(ctx, SMALL(UNK "," BYTES, "[\"a b\"]"),
           "z\xC3\xA9"
           "bx",
           "45020");
    expect(ctx, SMALL(UNK "," BYTES ",\"fuse_unk\":true", "[\"a b\"]"), "xy\xC3\xA9z", "450");
    expect(ctx, SMALL("\"unk_token\":null", "[\"a b\"]"), "xaxb", "3");
    expect(ctx, SMALL(UNK, "[[\"a\",\"b\"]]"), "abab", "33");
    expect(ctx, SMALL(UNK, "[]"), "ab", "12");
    expect(ctx, SMALL(UNK ",\"ignore_merges\":true", "[]"), "ab", "3");
    expect(ctx, SMALL(UNK ",\"dropout\":0.0", "[]"), "", "");
    test_ctx_done(ctx);
}

static void refused(whet_ctx *ctx, const char *file, whet_status status, const char *says) {
    whet_tokenizer *tokenizer = NULL;
    test_fails(ctx, whet_tokenizer_load(ctx, test_write_text("tokenizer.json", file), &tokenizer),
               status);
    test_says(ctx, says);
    assert_null(tokenizer);
}

static void wrong_models_are_refused(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_status format = WHET_ERR_FORMAT, unsupported = WHET_ERR_UNSUPPORTED;
    refused(ctx, SMALL(UNK ",\"dropout\":0.1", "[]"), unsupported, "dropout");
    refused(ctx, SMALL("\"unk_token\":\"?\"", "[]"), format, "unk_token \"?\"");
    refused(ctx, SMALL("\"unk_token\":3", "[]"), format, "unk_token");
    refused(ctx, SMALL(UNK, "3"), format, "merges");
    refused(ctx, SMALL(UNK, "[\"a\"]"), format, "merge 0 is no pair");
    refused(ctx, SMALL(UNK, "[\"a b\",\"a b b\"]"), format, "merge 1 is no pair");
    refused(ctx, SMALL(UNK, "[[\"a\",3]]"), format, "merge 0 is no pair");
    refused(ctx, SMALL(UNK, "[\"a x\"]"), format, "merge 0 has \"x\"");
    refused(ctx, SMALL(UNK, "[\"b a\"]"), format, "merge 0 has \"ba\"");
    refused(ctx, SMALL(UNK, "[\"a \"]"), format, "merge 0 has \"\"");
    refused(ctx, SMALL(UNK ",\"continuing_subword_prefix\":\"##\"", "[\"a b\"]"), unsupported,
            "shorter than");
    refused(ctx, SMALL(UNK ",\"continuing_subword_prefix\":\"\xC3\xA9\"", "[]"), unsupported,
            "ASCII");
    refused(ctx, SMALL(UNK ",\"byte_fallback\":1", "[]"), format, "byte_fallback");
    test_ctx_done(ctx);
}

/* ---- pieces ---------------------------------------------------------------------------------- */

/* Pieces of "-a--b-c--" as Hugging Face tokenizers 0.23 cut them. WordPiece without pieces inside
 * words has one id a piece: 0 unknown; 1 -, 2 a, 3 b, 4 c, 5 --, 6 a-, 7 b-, 8 c-, 9 -a, 10 -b, 11 -c,
 * 12 --b-. */
static void pieces(whet_ctx *ctx, const char *step, const int32_t *expected, int64_t n) {
    char file[1024];
    (void)snprintf(file, sizeof file,
                   "{\"pre_tokenizer\":%s,\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\","
                   "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,"
                   "\"vocab\":{\"?\":0,\"-\":1,\"a\":2,\"b\":3,\"c\":4,\"--\":5,\"a-\":6,\"b-\":7,"
                   "\"c-\":8,\"-a\":9,\"-b\":10,\"-c\":11,\"--b-\":12}}}",
                   step);
    whet_tokenizer *tokenizer = load(ctx, test_write_text("tokenizer.json", file));
    const whet_str text = whet_str_from("-a--b-c--");
    whet_token_rows rows;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows));
    if (rows.start[1] != n) fail_msg("%s: %d pieces", step, (int)rows.start[1]);
    assert_memory_equal(rows.ids, expected, (size_t)n * sizeof *expected);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
}

#define SPLIT(pattern, behavior, invert) \
    "{\"type\":\"Split\",\"pattern\":{" pattern "},\"behavior\":\"" behavior \
    "\",\"invert\":" invert "}"
#define DASH "\"String\":\"-\""
#define DASH_OR_B "\"Regex\":\"-|b\""
#define PIECES(step, ...) \
    do { \
        static const int32_t ids_[] = {__VA_ARGS__}; \
        pieces(ctx, step, ids_, WHET_COUNT_OF(ids_)); \
    } while (0)

static void every_behavior_cuts_as_hugging_face_does(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    PIECES(SPLIT(DASH, "Isolated", "false"), 1, 2, 1, 1, 3, 1, 4, 1, 1);
    PIECES(SPLIT(DASH, "Removed", "false"), 2, 3, 4);
    PIECES(SPLIT(DASH, "Removed", "true"), 1, 1, 1, 1, 1, 1);
    PIECES(SPLIT(DASH, "MergedWithPrevious", "false"), 1, 6, 1, 7, 8, 1);
    PIECES(SPLIT(DASH, "MergedWithPrevious", "true"), 9, 1, 10, 11, 1, 1);
    PIECES(SPLIT(DASH, "MergedWithNext", "false"), 9, 1, 10, 11, 1, 1);
    PIECES(SPLIT(DASH, "MergedWithNext", "true"), 1, 6, 1, 7, 8, 1);
    PIECES(SPLIT(DASH, "Contiguous", "false"), 1, 2, 5, 3, 1, 4, 5);
    PIECES(SPLIT(DASH_OR_B, "Removed", "true"), 1, 1, 1, 3, 1, 1, 1);
    PIECES(SPLIT(DASH_OR_B, "MergedWithPrevious", "false"), 1, 6, 1, 3, 1, 8, 1);
    PIECES(SPLIT(DASH_OR_B, "MergedWithPrevious", "true"), 9, 1, 1, 3, 11, 1, 1);
    PIECES(SPLIT(DASH_OR_B, "MergedWithNext", "true"), 1, 6, 1, 3, 1, 8, 1);
    PIECES(SPLIT(DASH_OR_B, "Contiguous", "true"), 1, 2, 12, 4, 5);
    PIECES("{\"type\":\"Punctuation\",\"behavior\":\"MergedWithNext\"}", 9, 1, 10, 11, 1, 1);
    PIECES("{\"type\":\"Punctuation\"}", 1, 2, 1, 1, 3, 1, 4, 1, 1);
    test_ctx_done(ctx);
}

/* ---- robustness ------------------------------------------------------------------------------ */

static void thread_count_and_neighbours_do_not_matter(void **state) {
    (void)state;
    enum { TIMES = 200 };
    texts in;
    first_texts(&in);
    static whet_str many[TEXTS * TIMES];
    for (int64_t i = 0; i < TEXTS * TIMES; i++) many[i] = in.items[(i * 7 + i / TEXTS) % TEXTS];
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, golden("legacy", ".json"));
    whet_token_rows first;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, many, TEXTS * TIMES, 0, &first));
    for (int32_t threads = 2; threads <= 5; threads += 3) {
        whet_ctx *other = test_ctx(threads);
        whet_token_rows rows;
        test_ok(other, whet_tokenizer_encode(other, tokenizer, many, TEXTS * TIMES, 0, &rows));
        assert_memory_equal(rows.start, first.start, (TEXTS * TIMES + 1) * sizeof *rows.start);
        assert_memory_equal(rows.ids, first.ids,
                            (size_t)first.start[TEXTS * TIMES] * sizeof *rows.ids);
        whet_token_rows_destroy(other, &rows);
        test_ctx_done(other);
    }
    whet_token_rows_destroy(ctx, &first);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
    free(in.bytes);
}

/* A document without pre-tokenisation is one word: quadratic merging would take minutes here. */
static void a_long_document_is_one_word(void **state) {
    (void)state;
    enum { LEN = 1 << 20 };
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, golden("legacy", ".json"));
    tokenizer->bpe.mark_len = 0; /* not cut at its words */
    const whet_str word = whet_str_from(" the quick brown");
    char *bytes = malloc(LEN);
    assert_non_null(bytes);
    for (int64_t i = 0; i < LEN; i++) bytes[i] = word.ptr[i % word.len];
    const whet_str document = {bytes + 1, LEN - 1}; /* the first space is prepended */
    whet_token_rows rows, one;
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &document, 1, 0, &rows));
    const whet_str few = {bytes + 1, 2 * word.len - 1};
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &few, 1, 0, &one));
    const int64_t period = (one.start[1] - 1) / 2;
    assert_int_equal(rows.start[1], LEN / word.len * period + 1);
    for (int64_t i = 1; i < rows.start[1]; i++)
        assert_int_equal(rows.ids[i], one.ids[1 + (i - 1) % period]);
    whet_token_rows_destroy(ctx, &rows);
    whet_token_rows_destroy(ctx, &one);
    free(bytes);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

/* The same ids when a document is cut at its words and when it is one. */
static void cutting_at_words_changes_nothing(void **state) {
    (void)state;
    static const char *const PICK[] = {" ",
                                       "  ",
                                       "the",
                                       "quick",
                                       "\xE6\x9D\xB1",
                                       "\xE2\x96\x81",
                                       "naive",
                                       "\xF0\x9F\x98\x80",
                                       "\n",
                                       "x",
                                       "\xE2\x96",
                                       "caf"};
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 31, 0);
    for (int64_t v = 4; v < 7; v++) { /* legacy, first, never */
        whet_tokenizer *tokenizer = load(ctx, golden_file(NAMES[v], ".json"));
        assert_int_equal(tokenizer->bpe.mark_len, 3);
        for (int round = 0; round < 500; round++) {
            whet_i_buf text = {0};
            whet_token_rows rows[2];
            for (int64_t n = whet_i_rng_below(&rng, 60); n >= 0; n--)
                test_ok(ctx, whet_i_buf_printf(ctx, &text, "%s",
                                               PICK[whet_i_rng_below(&rng, WHET_COUNT_OF(PICK))]));
            const whet_str one = {text.data, text.len};
            for (int way = 0; way < 2; way++) {
                tokenizer->bpe.mark_len = way ? 0 : 3;
                test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &one, 1, 0, &rows[way]));
            }
            assert_int_equal(rows[0].start[1], rows[1].start[1]);
            assert_memory_equal(rows[0].ids, rows[1].ids,
                                (size_t)rows[0].start[1] * sizeof(int32_t));
            whet_token_rows_destroy(ctx, &rows[0]);
            whet_token_rows_destroy(ctx, &rows[1]);
            whet_i_buf_free(ctx, &text);
        }
        whet_tokenizer_destroy(ctx, tokenizer);
    }
    /* Marks in a row stay together. */
    expect(ctx,
           "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\xE2\x96\x81\":1,"
           "\"\xE2\x96\x81\xE2\x96\x81\":2},\"merges\":[[\"\xE2\x96\x81\",\"\xE2\x96\x81\"]]}}",
           "a\xE2\x96\x81\xE2\x96\x81\xE2\x96\x81"
           "a\xE2\x96\x81"
           "a",
           "021010");
    /* A merge across the begin of a word forbids it. */
    whet_tokenizer *joined = load(
        ctx, test_write_text("tokenizer.json",
                             "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\xE2\x96\x81\":1,"
                             "\"a\xE2\x96\x81\":2},\"merges\":[[\"a\",\"\xE2\x96\x81\"]]}}"));
    assert_int_equal(joined->bpe.mark_len, 0);
    whet_tokenizer_destroy(ctx, joined);
    test_ctx_done(ctx);
}

static whet_status there_and_back(whet_ctx *ctx, void *arg) {
    const texts *in = arg;
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows = {0};
    char *text = NULL;
    int64_t len;
    whet_status status = whet_tokenizer_load(ctx, golden("odd", ".json"), &tokenizer);
    if (status == WHET_OK)
        status = whet_tokenizer_encode(ctx, tokenizer, in->items, in->n, 0, &rows);
    if (status == WHET_OK)
        status =
            whet_tokenizer_decode(ctx, tokenizer, rows.ids, rows.start[in->n], false, &text, &len);
    if (status != WHET_OK) assert_null(text);
    whet_free_text(ctx, text);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    texts in;
    first_texts(&in);
    in.n = 20;
    assert_true(test_each_allocation(there_and_back, &in) > 40);
    free(in.bytes);
}

static void wrong_ids_are_passed_over(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = load(ctx, golden("roberta", ".json"));
    const int32_t ids[] = {-1, 1 << 30, 0};
    char *text = NULL;
    int64_t len;
    test_ok(ctx, whet_tokenizer_decode(ctx, tokenizer, ids, 3, true, &text, &len));
    assert_int_equal(len, 0);
    assert_string_equal(text, "");
    whet_free_text(ctx, text);
    test_ok(ctx, whet_tokenizer_token_bytes(ctx, tokenizer, 1 << 30, &text, &len));
    assert_int_equal(len, 0);
    whet_free_text(ctx, text);
    test_ok(ctx, whet_tokenizer_decode(ctx, tokenizer, NULL, 0, true, &text, &len));
    whet_free_text(ctx, text);
    test_fails(ctx, whet_tokenizer_decode(ctx, tokenizer, NULL, 1, true, &text, &len),
               WHET_ERR_ARG);
    test_fails(ctx, whet_tokenizer_decode(ctx, tokenizer, ids, -1, true, &text, &len),
               WHET_ERR_ARG);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_those_of_hugging_face),
        cmocka_unit_test(pairs_are_those_of_hugging_face),
        cmocka_unit_test(decoded_texts_are_those_of_hugging_face),
        cmocka_unit_test(bytes_of_tokens_join_to_the_text),
        cmocka_unit_test(merging_is_as_slow_merging),
        cmocka_unit_test(unknown_letters_are_fused_dropped_or_bytes),
        cmocka_unit_test(wrong_models_are_refused),
        cmocka_unit_test(every_behavior_cuts_as_hugging_face_does),
        cmocka_unit_test(thread_count_and_neighbours_do_not_matter),
        cmocka_unit_test(a_long_document_is_one_word),
        cmocka_unit_test(cutting_at_words_changes_nothing),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(wrong_ids_are_passed_over),
    };
    return cmocka_run_group_tests_name("nn/bpe", tests, NULL, NULL);
}
