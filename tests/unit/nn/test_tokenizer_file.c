/* SPDX-License-Identifier: Apache-2.0
 * What a tokenizer.json may and may not say: each wrong or unknown part is refused by name, and
 * random damage never does harm. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/io_i.h"
#include "nn/tokenizer_i.h"

/* A small file of replaceable parts. */
typedef struct parts {
    const char *head, *added, *normalizer, *pre, *post, *model, *vocab;
} parts;

#define BERT \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true," \
    "\"strip_accents\":null,\"lowercase\":true}"
#define KEPT \
    "{\"type\":\"BertNormalizer\",\"clean_text\":false,\"handle_chinese_chars\":true," \
    "\"strip_accents\":false,\"lowercase\":false}"
#define FLAGS "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"special\":true"
static const parts GOOD = {
    "\"version\":\"1.0\"",
    "[{\"id\":0,\"content\":\"[U]\",\"normalized\":false," FLAGS "}]",
    BERT,
    "{\"type\":\"BertPreTokenizer\"}",
    "{\"type\":\"BertProcessing\",\"sep\":[\"b\",2],\"cls\":[\"a\",1]}",
    "\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":100",
    "{\"[U]\":0,\"a\":1,\"b\":2,\"##b\":3}",
};

static whet_status try(whet_ctx *ctx, parts p, whet_tokenizer **out) {
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "{%s,\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,"
                   "\"post_processor\":%s,\"model\":{%s,\"vocab\":%s}}",
                   p.head, p.added, p.normalizer, p.pre, p.post, p.model, p.vocab);
    return whet_tokenizer_load(ctx, test_write_text("tokenizer.json", text), out);
}

static void refused(whet_ctx *ctx, parts p, whet_status expected, const char *says) {
    whet_tokenizer *tokenizer = NULL;
    test_fails(ctx, try(ctx, p, &tokenizer), expected);
    test_says(ctx, says);
    test_says(ctx, "tokenizer.json:");
    assert_null(tokenizer);
}

/* refused(GOOD with one field changed) */
#define REFUSED(field, value, status, says) \
    do { \
        parts changed = GOOD; \
        changed.field = (value); \
        refused(ctx, changed, (status), (says)); \
    } while (0)

static void a_small_file_is_read(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = NULL;
    whet_token_rows rows;
    test_ok(ctx, try(ctx, GOOD, &tokenizer));
    const whet_str text = whet_str_from("ab \xC3\x84[U]c bb");
    static const int32_t expected[] = {1, 1, 3, 1, 0, 0, 2, 3, 2};
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows));
    assert_int_equal(rows.start[1], WHET_COUNT_OF(expected));
    assert_memory_equal(rows.ids, expected, sizeof expected);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

static void unknown_parts_are_named(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_status status = WHET_ERR_UNSUPPORTED;
    REFUSED(head, "\"version\":\"2.0\"", status, "version");
    REFUSED(head, "\"truncation\":{\"direction\":\"Left\"}", status, "truncation");
    REFUSED(normalizer, "{\"type\":\"ByteLevel\"}", status, "normalizer: type \"ByteLevel\"");
    REFUSED(normalizer, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"}]}", status,
            "Nmt");
    REFUSED(normalizer, "{\"type\":\"Sequence\",\"normalizers\":[" BERT ",{\"type\":\"NFD\"}]}",
            status, "two steps that decompose");
    REFUSED(normalizer, "{\"type\":\"Sequence\",\"normalizers\":[" KEPT "," KEPT "]}", status,
            "two steps that handle_chinese_chars");
    REFUSED(pre, "{\"type\":\"UnicodeScripts\"}", status, "pre_tokenizer: type \"UnicodeScripts\"");
    REFUSED(pre, "{\"type\":\"ByteLevel\",\"add_prefix_space\":true}", status,
            "model WordPiece behind the pre_tokenizer ByteLevel");
    REFUSED(post, "{\"type\":\"Other\"}", status, "post_processor: type \"Other\"");
    REFUSED(post, "{\"type\":\"TemplateProcessing\",\"single\":[]}", status, "no sequence A");
    REFUSED(post, "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"B\"}}]}",
            status, "piece 0");
    REFUSED(model, "\"type\":\"WordLevel\"", status, "model: type \"WordLevel\"");
    REFUSED(added, "[{\"id\":9,\"content\":\"x\",\"normalized\":false," FLAGS "}]", status,
            "\"x\" has id 9; expected 4");
    REFUSED(added, "[{\"id\":2,\"content\":\"a\",\"normalized\":false," FLAGS "}]", status,
            "expected 1");
    REFUSED(added, "[{\"id\":4,\"content\":\"\\u0301\",\"normalized\":true," FLAGS "}]", status,
            "nothing once normalised");
    REFUSED(added,
            "[{\"id\":4,\"content\":\"x\",\"normalized\":true," FLAGS "},"
            "{\"id\":5,\"content\":\"X\",\"normalized\":true," FLAGS "}]",
            status, "occurs twice");
    REFUSED(added, "[{\"id\":4,\"content\":\"a\xEF\xBF\xBD\",\"normalized\":false," FLAGS "}]",
            status, "U+FFFD");
    test_ctx_done(ctx);
}

static void wrong_values_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const whet_status status = WHET_ERR_FORMAT;
    REFUSED(vocab, "{}", status, "vocab: empty");
    REFUSED(vocab, "[]", status, "vocab: no object");
    REFUSED(vocab, "{\"[U]\":-1}", status, "out of range");
    REFUSED(vocab, "{\"[U]\":0,\"far\":4000000000}", status, "the id of \"far\"");
    REFUSED(vocab, "{\"[U]\":1.5}", status, "no integer");
    REFUSED(vocab, "{\"[U]\":0,\"a\":0}", status, "both have id 0");
    REFUSED(vocab, "{\"a\":0}", status, "unk_token \"[U]\"");
    REFUSED(model, "\"type\":\"WordPiece\"", status, "unk_token");
    REFUSED(model,
            "\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\","
            "\"max_input_chars_per_word\":-1",
            status, "max_input_chars_per_word");
    REFUSED(normalizer, "{\"type\":\"BertNormalizer\"}", status, "clean_text");
    REFUSED(normalizer, "{\"type\":\"Sequence\"}", status, "no list");
    REFUSED(added, "3", status, "no list");
    REFUSED(added, "[{\"id\":1}]", status, "content");
    REFUSED(added, "[{\"id\":1,\"content\":\"a\"}]", status, "single_word");
    REFUSED(post, "{\"type\":\"BertProcessing\"}", status, "no integer");
    REFUSED(post, "{\"type\":\"BertProcessing\",\"sep\":[\"b\",4],\"cls\":[\"a\",1]}", status,
            "out of range");
    REFUSED(post,
            "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"z\"}}]}",
            status, "\"z\" is not among");
    REFUSED(head, "\"version\":", status, "tokenizer.json");
    whet_tokenizer *tokenizer = NULL;
    test_fails(ctx, whet_tokenizer_load(ctx, test_tmp("nowhere"), &tokenizer), WHET_ERR_IO);
    test_ctx_done(ctx);
}

static void holes_in_the_vocabulary_are_kept(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = NULL;
    parts p = GOOD;
    p.vocab = "{\"[U]\":0,\"a\":1,\"b\":2,\"\":5}";
    test_ok(ctx, try(ctx, p, &tokenizer));
    assert_int_equal(whet_tokenizer_vocab_size(tokenizer), 6);
    assert_null(whet_tokenizer_token(tokenizer, 4).ptr);
    assert_int_equal(whet_tokenizer_token(tokenizer, 5).len, 0);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

/* In the folder of the file that `try` writes. */
static void tokens_have_roles(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_tokenizer *tokenizer = NULL;
    parts p = GOOD;
    p.added = "[{\"id\":4,\"content\":\"<e>\",\"normalized\":false," FLAGS "}]";
    test_ok(ctx, try(ctx, p, &tokenizer));
    assert_int_equal(whet_tokenizer_role(tokenizer, WHET_TOKEN_BOS), -1);
    whet_tokenizer_destroy(ctx, tokenizer);
    (void)test_write_text(
        "tokenizer_config.json",
        "{\"bos_token\":\"a\",\"eos_token\":{\"content\":\"<e>\"},\"pad_token\":null,"
        "\"unk_token\":\"no such token\"}");
    (void)test_write_text("config.json",
                          "{\"bos_token_id\":2,\"pad_token_id\":3,\"unk_token_id\":0,"
                          "\"sep_token_id\":5,\"cls_token_id\":[2,1],\"mask_token_id\":\"1\"}");
    test_ok(ctx, whet_tokenizer_load(ctx, test_tmp(""), &tokenizer));
    static const int32_t EXPECTED[] = {1, 4, 3, 0, 2, -1, -1};
    for (int role = 0; role < 7; role++)
        assert_int_equal(whet_tokenizer_role(tokenizer, (whet_token_role)role), EXPECTED[role]);
    assert_int_equal(whet_tokenizer_role(tokenizer, (whet_token_role)7), -1);
    whet_tokenizer_destroy(ctx, tokenizer);
    tokenizer = NULL;
    (void)test_write_text("config.json", "{");
    test_fails(ctx, whet_tokenizer_load(ctx, test_tmp(""), &tokenizer), WHET_ERR_FORMAT);
    test_says(ctx, "/config.json");
    assert_null(tokenizer);
    (void)test_write_text("config.json", "{}");
    test_ctx_done(ctx);
}

/* Bytes of the golden files changed, dropped and doubled at random: refused, or a tokenizer that
 * encodes. */
static void damage_does_no_harm(void **state) {
    (void)state;
    static const char *const NAMES[] = {"added", "sequence", "accents"};
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    int64_t read = 0;
    for (int64_t round = 0; round < 200; round++) {
        char path[128], *bytes;
        int64_t len;
        json_t *root = NULL;
        whet_tokenizer *tokenizer = NULL;
        (void)snprintf(path, sizeof path, "tests/golden/tokenizer/%s.json", NAMES[round % 3]);
        test_ok(ctx, whet_i_file_read(ctx, test_source(path), 1 << 20, &bytes, &len));
        for (int64_t k = whet_i_rng_below(&rng, 3); k >= 0; k--) {
            const int64_t at = whet_i_rng_below(&rng, len);
            bytes[at] = "0129\"tfn:,{}[]#a\xC3"[whet_i_rng_below(&rng, 17)];
        }
        if (whet_i_json_parse(ctx, "damaged", bytes, len, &root) == WHET_OK &&
            whet_i_tokenizer_from_json(ctx, root, &tokenizer) == WHET_OK) {
            const whet_str text = {bytes, len};
            whet_token_rows rows;
            test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, &text, 1, 0, &rows));
            whet_token_rows_destroy(ctx, &rows);
            whet_tokenizer_destroy(ctx, tokenizer);
            read++;
        }
        json_decref(root);
        whet_i_free(ctx, bytes);
    }
    assert_true(read > 10);
    test_ctx_done(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_file_is_read),  cmocka_unit_test(unknown_parts_are_named),
        cmocka_unit_test(wrong_values_are_told), cmocka_unit_test(holes_in_the_vocabulary_are_kept),
        cmocka_unit_test(tokens_have_roles),     cmocka_unit_test(damage_does_no_harm),
    };
    return cmocka_run_group_tests_name("nn/tokenizer_file", tests, NULL, NULL);
}
