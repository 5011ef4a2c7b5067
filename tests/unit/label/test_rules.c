/* SPDX-License-Identifier: Apache-2.0
 * Rules from JSON, what they say of rows, and what becomes of broken ones. The oracle of keywords is a
 * search word by word; that of patterns the votes that their authors' implementation gives. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "io/table_i.h"
#include "label/case_folding.h"
#include "label/rules_i.h"

/* ---- helpers ---------------------------------------------------------------------------------- */

static whet_rules *rules_of(whet_ctx *ctx, const char *text) {
    json_t *document;
    whet_rules *rules = NULL;
    test_ok(ctx, whet_i_json_parse(ctx, "r.json", text, (int64_t)strlen(text), &document));
    test_ok(ctx, whet_i_rules_parse(ctx, "r.json", document, &rules));
    json_decref(document);
    return rules;
}

static whet_status refused(whet_ctx *ctx, const char *text) {
    json_t *document;
    whet_rules *rules = NULL;
    test_ok(ctx, whet_i_json_parse(ctx, "r.json", text, (int64_t)strlen(text), &document));
    const whet_status status = whet_i_rules_parse(ctx, "r.json", document, &rules);
    json_decref(document);
    whet_rules_destroy(ctx, rules);
    return status;
}

static whet_status table_of(whet_ctx *ctx, const char *text, whet_table **out) {
    char *bytes;
    const int64_t len = (int64_t)strlen(text);
    const whet_status status = whet_i_alloc(ctx, len + 1, &bytes);
    if (status != WHET_OK) return status;
    memcpy(bytes, text, (size_t)len + 1);
    return whet_i_table_parse(ctx, WHET_TABLE_TSV, "t.tsv", bytes, len, out);
}

/* ---- hand-computed ---------------------------------------------------------------------------- */

static const char written[] =
    "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"ham\",\"spam\"],\"rules\":["
    "{\"name\":\"free\",\"type\":\"keywords\",\"column\":\"text\",\"words\":[\"free\",\"win big\"],"
    "\"votes\":\"spam\"},"
    "{\"name\":\"part\",\"type\":\"keywords\",\"column\":\"text\",\"words\":[\"FREE\"],"
    "\"whole_words\":false,\"ignore_case\":false,\"votes\":\"spam\"},"
    "{\"name\":\"url\",\"type\":\"regex\",\"column\":\"text\",\"pattern\":\"\\\\bhttps?://\","
    "\"ignore_case\":true,\"votes\":\"spam\"},"
    "{\"name\":\"short\",\"type\":\"number\",\"column\":\"len\",\"below\":10,\"votes\":\"ham\"},"
    "{\"type\":\"number\",\"column\":\"len\",\"least\":10,\"below\":20.5,\"votes\":\"spam\"}]}";

static const char rows[] = "text\tlen\n"
                           "Free, for you\t9.99\n"
                           "carefree FREEDOM\t10\n"
                           "see HTTPS://x\t20.5\n"
                           "xhttp://x; win big\tlong\n"
                           "free_ fre\xc3\xa9\t\n"
                           "\xff"
                           "free\t-1e3\n";

static void written_rules_vote_as_they_say(void **state) {
    (void)state;
    /* A byte that is no letter of ASCII belongs to a word: so "\xff" "free" is none. */
    static const int32_t expected[6][5] = {{1, -1, -1, 0, -1},   {-1, 1, -1, -1, 1},
                                           {-1, -1, 1, -1, -1},  {1, -1, -1, -1, -1},
                                           {-1, -1, -1, -1, -1}, {-1, -1, -1, 0, -1}};
    whet_ctx *ctx = test_ctx(2);
    whet_rules *rules = rules_of(ctx, written);
    whet_table *table;
    whet_rule_report reports[5] = {{0}};
    int32_t votes[30];
    test_ok(ctx, table_of(ctx, rows, &table));
    const whet_rules_input input = {.table = table, .n = 6};
    test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes, reports));
    assert_memory_equal(votes, expected, sizeof votes);
    assert_int_equal(whet_rules_count(rules), 5);
    assert_string_equal(whet_rules_name(rules, 4).ptr, "rule 4");
    assert_int_equal(reports[0].votes, 2);
    assert_int_equal(reports[3].faults, 1); /* "long"; an empty cell is no fault */
    assert_int_equal(reports[2].faults, 0); /* bytes that are not UTF-8 are none either */
    whet_table_destroy(ctx, table);
    whet_rules_destroy(ctx, rules);
    test_ctx_done(ctx);
}

/* A stump on feature 2, a logistic regression on 0 and 3, neighbours and similarity. */
static const char models[] =
    "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"b\",\"c\"],\"features\":4,"
    "\"rules\":[{\"type\":\"tree\",\"features\":[2],\"votes\":[\"a\",\"c\"],\"least\":[0.7,null],"
    "\"nodes\":[{\"feature\":2,\"at_most\":0.5,\"yes\":1,\"no\":2},{\"p\":[0.7,0.3]},{\"p\":[0.1,0."
    "9]}]}"
    ",{\"type\":\"logistic\",\"features\":[0,3],\"votes\":[\"b\",null],\"least\":[0.5,0],"
    "\"weights\":[[1,0],[0,2]],\"biases\":[0.5,0]},"
    "{\"type\":\"neighbours\",\"features\":[0,1],\"votes\":[\"a\",\"b\"],\"least\":[0.6,0.6],\"k\":"
    "3,"
    "\"of\":[0,1,1,0],\"points\":[[0,0],[0,1],[1,0],[9,9]]},"
    "{\"type\":\"similarity\",\"votes\":[\"a\",\"b\"],\"least\":[0.6,0.6],"
    "\"vectors\":[[2,0,0,0],[0,3,0,4]]},"
    "{\"type\":\"number\",\"feature\":1,\"least\":1,\"votes\":\"c\"}]}";

static const float points[5][4] = {
    {0, 0, .5f, 0}, {1, .5f, .75f, 2}, {10, 9, 0, 0}, {0, 1, 0, 0}, {NAN, 0, 0, 0}};

static void models_vote_as_computed_by_hand(void **state) {
    (void)state;
    /* Row 1: 1 + .5 < 4: "rest". Neighbours of row 0: points 0, 1, 2: b 2/3; of row 2: 9,9 first,
     * then [1,0], [0,1] (81 + 81 = 162 - ...): b 2/3. Cosine of row 3 with b: 3/5 = .6. */
    static const int32_t expected[5][5] = {{0, 1, 1, -1, -1},
                                           {-1, -1, 1, 1, -1},
                                           {0, 1, 1, 0, 2},
                                           {0, 1, 1, 1, 2},
                                           {0, -1, -1, -1, -1}};
    whet_ctx *ctx = test_ctx(2);
    whet_rules *rules = rules_of(ctx, models);
    whet_rule_report reports[5] = {{0}};
    int32_t votes[25];
    const whet_rules_input input = {.features = points[0], .d = 4, .n = 5};
    test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes, reports));
    assert_memory_equal(votes, expected, sizeof votes);
    assert_int_equal(reports[0].faults, 0); /* does not look at the NaN */
    assert_int_equal(reports[1].faults + reports[2].faults + reports[3].faults, 3);
    assert_int_equal(whet_rules_features(rules), 4);
    whet_rules_destroy(ctx, rules);
    test_ctx_done(ctx);
}

static void saved_rules_are_the_same_rules(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    const char *texts[2] = {written, models};
    for (int t = 0; t < 2; t++) {
        const char *path = test_tmp(t ? "models.json" : "written.json");
        whet_rules *rules = rules_of(ctx, texts[t]), *again;
        test_ok(ctx, whet_rules_save(ctx, rules, path, false));
        test_fails(ctx, whet_rules_save(ctx, rules, path, false), WHET_ERR_EXISTS);
        test_ok(ctx, whet_rules_load(ctx, path, &again));
        json_t *a = whet_i_rules_json(rules), *b = whet_i_rules_json(again);
        assert_non_null(a);
        assert_true(json_equal(a, b));
        json_decref(a);
        json_decref(b);
        whet_rules_destroy(ctx, rules);
        whet_rules_destroy(ctx, again);
    }
    test_ctx_done(ctx);
}

/* ---- what rules say together ------------------------------------------------------------------ */

static const char weighted[] =
    "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"ham\",\"spam\"],\"prior\":[0.25,0.75],"
    "\"rules\":[{\"name\":\"free\",\"type\":\"keywords\",\"column\":\"text\",\"words\":[\"free\"],"
    "\"votes\":\"spam\",\"log_odds\":[9,1.0986122886681098]},"
    "{\"name\":\"short\",\"type\":\"number\",\"column\":\"len\",\"below\":10,\"votes\":\"ham\","
    "\"log_odds\":[1.0986122886681098,-9]}]}";

/* Both weights are ln 3: .25 to .75 without a vote, .25 to 2.25 with "free", .75 to .75 with "short",
 * .75 to 2.25 with both. */
static void weights_add_up_to_a_posterior(void **state) {
    (void)state;
    static const double expected[4] = {.75, .9, .5, .75};
    whet_ctx *ctx = test_ctx(2);
    whet_rules *rules = rules_of(ctx, weighted), *plain = rules_of(ctx, written);
    const char *path = test_tmp("weighted.json");
    whet_table *table;
    double probs[8], again[8];
    test_ok(ctx, table_of(ctx, "text\tlen\nx\t10\nfree\t\ny\t1\nfree\t9\n", &table));
    const whet_rules_input input = {.table = table, .n = 4};
    assert_true(whet_rules_weighted(rules));
    assert_false(whet_rules_weighted(plain));
    test_ok(ctx, whet_rules_posterior(ctx, rules, &input, probs));
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(probs[2 * i + 1] - expected[i]) < 1e-15);
        assert_true(fabs(probs[2 * i] + probs[2 * i + 1] - 1) < 1e-15);
    }
    test_ok(ctx, whet_rules_save(ctx, rules, path, false));
    whet_rules_destroy(ctx, rules);
    test_ok(ctx, whet_rules_load(ctx, path, &rules));
    test_ok(ctx, whet_rules_posterior(ctx, rules, &input, again));
    assert_memory_equal(again, probs, sizeof probs);
    test_fails(ctx, whet_rules_posterior(ctx, plain, &input, again), WHET_ERR_ARG);
    test_says(ctx, "carry no weights");
    assert_memory_equal(again, probs, sizeof probs);
    whet_table_destroy(ctx, table);
    whet_rules_destroy(ctx, rules);
    whet_rules_destroy(ctx, plain);
    test_ctx_done(ctx);
}

/* Columns are taken over when weights alone have changed; a file of many parts gives the same bits. */
static void posteriors_of_files_are_those_of_rows(void **state) {
    (void)state;
    enum { LINES = 70000 };
    whet_ctx *ctx = test_ctx(2);
    float *x = malloc(sizeof *x * LINES * 4);
    double *probs = malloc(sizeof *probs * LINES * 3);
    assert_true(x && probs);
    for (int i = 0; i < LINES * 4; i++) x[i] = (float)sin(.7 * i) * 2;
    whet_rules *rules = rules_of(ctx, models);
    double log_odds[15];
    for (int i = 0; i < 15; i++) log_odds[i] = cos(i);
    test_ok(ctx, whet_i_rules_weigh(ctx, rules, (const double[3]){.2, .3, .5}, log_odds));
    const whet_rules_input input = {.features = x, .d = 4, .n = LINES};
    test_ok(ctx, whet_rules_posterior(ctx, rules, &input, probs));
    whet_rules_job job = WHET_RULES_JOB_INIT;
    whet_rules_result result;
    whet_tensor made;
    job.rules = test_tmp("posterior.json");
    test_ok(ctx, whet_rules_save(ctx, rules, job.rules, false));
    const whet_tensor features = {x, WHET_F32, 2, {LINES, 4}};
    job.input = test_tmp("posterior-x.npy");
    test_ok(ctx, whet_npy_write(ctx, job.input, false, &features));
    job.votes = test_tmp("posterior-votes.npy");
    job.probs = test_tmp("posterior-probs.npy");
    for (int round = 0; round < 2; round++) {
        job.force = round;
        test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
        assert_int_equal(result.reused, round ? 5 : 0);
        whet_rules_result_free(ctx, &result);
        test_ok(ctx, whet_array_read(ctx, job.probs, &made));
        assert_int_equal(made.dtype, WHET_F64);
        assert_int_equal(made.shape[0], LINES);
        assert_memory_equal(made.data, probs, sizeof *probs * LINES * 3);
        whet_tensor_destroy(ctx, &made);
        job.previous_rules = test_tmp("unweighted.json");
        job.previous_votes = job.votes;
        if (!round) (void)test_write_text("unweighted.json", models);
    }
    free(x);
    free(probs);
    whet_rules_destroy(ctx, rules);
    test_ctx_done(ctx);
}

/* ---- keywords against a search word by word --------------------------------------------------- */

static bool of_word(char c) { return c == 'a' || c == 'b' || c == 'A'; }

static bool search(const char *text, const char *word, bool whole, bool ignore_case) {
    const size_t len = strlen(word), n = strlen(text);
    for (size_t i = 0; i + len <= n; i++) {
        size_t at = 0;
        for (; at < len; at++) {
            const char c = ignore_case && text[i + at] == 'A' ? 'a' : text[i + at];
            const char w = ignore_case && word[at] == 'A' ? 'a' : word[at];
            if (c != w) break;
        }
        if (at < len) continue;
        if (!whole || ((i == 0 || !of_word(text[i - 1])) && !of_word(text[i + len]))) return true;
    }
    return false;
}

static void random_word(whet_i_rng *rng, char *out, int64_t most) {
    const int64_t len = 1 + whet_i_rng_below(rng, most);
    for (int64_t i = 0; i < len; i++) out[i] = "aabbA  -"[whet_i_rng_below(rng, 8)];
    out[len] = '\0';
}

static void keywords_are_found_as_one_by_one(void **state) {
    (void)state;
    enum { WORDS = 40, RULES = 10 };
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 3, 0);
    for (int round = 0; round < 60; round++) {
        char word[WORDS][8], text[40];
        whet_i_keyword keywords[WORDS];
        whet_i_keywords *scan;
        const bool ignore_case = round % 2;
        for (int w = 0; w < WORDS; w++) {
            random_word(&rng, word[w], 1 + w % 6);
            keywords[w] = (whet_i_keyword){whet_str_from(word[w]), w % 3 == 0, w % RULES};
        }
        test_ok(ctx, whet_i_keywords_build(ctx, keywords, WORDS, ignore_case, &scan));
        for (int t = 0; t < 40; t++) {
            bool found[RULES] = {false}, expected[RULES] = {false};
            random_word(&rng, text, 30);
            whet_i_keywords_scan(scan, whet_str_from(text), found);
            for (int w = 0; w < WORDS; w++)
                if (search(text, word[w], w % 3 == 0, ignore_case)) expected[w % RULES] = true;
            assert_memory_equal(found, expected, sizeof found);
        }
        whet_i_keywords_free(ctx, scan);
    }
    /* Every byte in use: none is left for "in no word". */
    char all[256];
    for (int b = 0; b < 256; b++) all[b] = (char)b;
    const whet_i_keyword one = {{all, 256}, false, 0};
    whet_i_keywords *scan;
    bool found = false;
    test_ok(ctx, whet_i_keywords_build(ctx, &one, 1, false, &scan));
    whet_i_keywords_scan(scan, (whet_str){all, 255}, &found);
    assert_false(found);
    whet_i_keywords_scan(scan, (whet_str){all, 256}, &found);
    assert_true(found);
    whet_i_keywords_free(ctx, scan);
    test_ctx_done(ctx);
}

/* Upper case beyond ASCII, letters that fold to two, accents of their own, a sigma at the end of a word;
 * without folding bytes must be the same. Bytes that are not UTF-8 stop nothing. */
static void case_is_that_of_unicode(void **state) {
    (void)state;
    static const struct {
        const char *word, *text;
        bool whole, folded, exact;
    } cases[] = {
        {"\xc3\xa9tude", "une \xc3\x89TUDE", true, true, false},  /* etude, ETUDE with accents */
        {"\xc3\x89TUDE", "une \xc3\xa9tude!", true, true, false}, /* the word in upper case */
        {"e\xcc\x81tude", "\xc3\x89tude", true, true, false},     /* an accent of its own */
        {"stra\xc3\x9f"
         "e",
         "STRASSE 7", true, true, false}, /* sharp s */
        {"strasse",
         "eine Stra\xc3\x9f"
         "e",
         true, true, false},
        {"stras",
         "Stra\xc3\x9f"
         "e",
         false, true, false}, /* half of a letter, of which two are made */
        {"\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb7", "\xd0\x9f\xd0\xa0\xd0\x98\xd0\x97!", true, true,
         false},
        {"\xcf\x83\xce\xbf\xcf\x86\xcf\x8c\xcf\x82", "\xce\xa3\xce\x9f\xce\xa6\xce\x8c\xce\xa3",
         true, true, false}, /* sophos, with either sigma */
        {"kelvin",
         "\xe2\x84\xaa"
         "elvin",
         true, true, false},
        {"free",
         "\xff"
         "FREE",
         true, false, false}, /* no word begins behind a byte that is no character */
        {"free", "\xff FREE", true, true, false},
        {"free", "\xe2\x80\x9c free", true, true, true},
        {"free", "freed\xc3\xa9", true, false, false},
        {"\xc3\xa9", "\xc3\xa9", true, true, true},
        {"\xc3\xa9", "e", true, false, false},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int folding = 0; folding < 2; folding++) {
            whet_ctx *ctx = test_ctx(1 + folding);
            whet_table *table;
            int32_t votes[1];
            json_t *document =
                json_pack("{s:s, s:i, s:[s,s], s:[{s:s, s:s, s:s, s:[s], s:b, s:b}]}", "format",
                          "whet-rules", "version", 1, "classes", "a", "b", "rules", "type",
                          "keywords", "votes", "a", "column", "t", "words", cases[c].word,
                          "whole_words", cases[c].whole, "ignore_case", folding);
            char text[64];
            whet_rules *rules;
            assert_non_null(document);
            (void)snprintf(text, sizeof text, "t\n%s\n", cases[c].text);
            test_ok(ctx, whet_i_rules_parse(ctx, "r.json", document, &rules));
            test_ok(ctx, table_of(ctx, text, &table));
            const whet_rules_input input = {.table = table, .n = 1};
            test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes, NULL));
            if (votes[0] != ((folding ? cases[c].folded : cases[c].exact) ? 0 : -1))
                fail_msg("case %d, folding %d: the vote is %d", (int)c, folding, votes[0]);
            json_decref(document);
            whet_table_destroy(ctx, table);
            whet_rules_destroy(ctx, rules);
            test_ctx_done(ctx);
        }
}

/* Every character there is, many times over, folds into the room that is made for it, and to the same as
 * utf8proc makes of it with room of its own. */
static void every_character_folds_into_its_room(void **state) {
    (void)state;
    enum { TIMES = 5 };
    const utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD | UTF8PROC_NULLTERM;
    whet_ctx *ctx = test_ctx(1);
    for (int32_t code = 1; code < 0x110000; code++) {
        utf8proc_uint8_t bytes[4 * TIMES + 1], *expected = NULL;
        whet_i_fold_room room = {0};
        if (!utf8proc_codepoint_valid(code)) continue;
        int64_t len = 0;
        for (int t = 0; t < TIMES; t++) len += utf8proc_encode_char(code, bytes + len);
        bytes[len] = 0;
        test_ok(ctx, whet_i_fold_room_make(ctx, len, &room));
        const whet_str folded = whet_i_fold((whet_str){(char *)bytes, len}, &room);
        const utf8proc_ssize_t count = utf8proc_map(bytes, 0, &expected, options);
        if (count != folded.len || memcmp(folded.ptr, expected, (size_t)count) != 0)
            fail_msg("U+%04X folds otherwise", (unsigned)code);
        free(expected);
        whet_i_fold_room_free(ctx, &room);
    }
    test_ctx_done(ctx);
}

/* ---- real rules ------------------------------------------------------------------------------- */

/* The rules of a set as JSON: name, regex, label of rules.tsv. */
static const char *convert(whet_ctx *ctx, const char *folder, const char *classes) {
    char path[256];
    whet_table *table;
    (void)snprintf(path, sizeof path, "data/%s/rules.tsv", folder);
    test_ok(ctx, whet_table_read(ctx, test_shared(path), &table));
    json_t *list = json_array(), *names = json_loads(classes, 0, NULL);
    assert_non_null(names);
    for (int64_t i = 0; i < whet_table_rows(table); i++)
        assert_int_equal(
            json_array_append_new(list, json_pack("{s:s, s:b, s:s, s:s, s:s}", "type", "regex",
                                                  "ignore_case", 1, "column", "text", "votes",
                                                  whet_table_cell(table, i, 0).ptr, "pattern",
                                                  whet_table_cell(table, i, 1).ptr)),
            0);
    json_t *document = json_pack("{s:s, s:i, s:o, s:o}", "format", "whet-rules", "version", 1,
                                 "classes", names, "rules", list);
    char *text = json_dumps(document, 0);
    const char *file = test_write_text(folder, text);
    free(text);
    json_decref(document);
    whet_table_destroy(ctx, table);
    return file;
}

static void votes_are_those_of_the_authors(const char *folder, const char *classes) {
    char input[256], golden[256], name[64];
    (void)snprintf(input, sizeof input, "data/%s/test.tsv", folder);
    (void)snprintf(golden, sizeof golden, "data/%s/L_test.npy", folder);
    test_need_shared(golden);
    whet_ctx *ctx = test_ctx(2);
    (void)snprintf(name, sizeof name, "%s.npy", folder);
    whet_rules_job job = WHET_RULES_JOB_INIT;
    whet_rules_result result;
    whet_tensor ours, theirs;
    job.rules = convert(ctx, folder, classes);
    job.input = test_shared(input);
    job.votes = test_tmp(name);
    test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
    test_ok(ctx, whet_array_read(ctx, job.votes, &ours));
    test_ok(ctx, whet_array_read(ctx, test_shared(golden), &theirs));
    assert_int_equal(ours.dtype, WHET_I8);
    assert_int_equal(ours.shape[0], theirs.shape[0]);
    assert_int_equal(ours.shape[1], theirs.shape[1]);
    assert_memory_equal(ours.data, theirs.data, (size_t)whet_tensor_count(&ours));
    whet_tensor_destroy(ctx, &ours);
    whet_tensor_destroy(ctx, &theirs);
    whet_rules_result_free(ctx, &result);
    test_ctx_done(ctx);
}

static void spam_rules_vote_as_published(void **state) {
    (void)state;
    votes_are_those_of_the_authors("sms_rules", "[\"ham\",\"spam\"]");
}

static void question_rules_vote_as_published(void **state) {
    (void)state;
    votes_are_those_of_the_authors("trec_rules", "[\"DESCRIPTION\",\"ENTITY\",\"HUMAN\","
                                                 "\"ABBREVIATION\",\"LOCATION\",\"NUMERIC\"]");
}

/* ---- failing rules, files --------------------------------------------------------------------- */

#define HEAD "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"b\"],\"rules\":["

static void a_pattern_that_explodes_abstains_and_is_counted(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_rules *rules = rules_of(
        ctx, HEAD "{\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"(a+)+$\",\"votes\":\"a\"},"
                  "{\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"b\",\"votes\":\"b\"}]}");
    whet_table *table;
    whet_rule_report reports[2] = {{0}};
    int32_t votes[4];
    test_ok(ctx, table_of(ctx, "t\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\naaa\n", &table));
    whet_rules_input input = {.table = table, .n = 2};
    test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes, reports));
    assert_int_equal(votes[0], -1);
    assert_int_equal(votes[1], 1);
    assert_int_equal(votes[2], 0);
    assert_int_equal(reports[0].faults, 1);
    assert_int_equal(reports[0].votes, 1);
    assert_int_equal(reports[1].faults, 0);
    input.match_limit = 1;
    test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes, reports));
    assert_true(reports[0].faults > 1);
    whet_table_destroy(ctx, table);
    whet_rules_destroy(ctx, rules);
    test_ctx_done(ctx);
}

enum { FORGED_ROWS = 4000 };

static void one_more_rule_computes_one_more_column(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    const char *one =
        "{\"name\":\"x\",\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"x\",\"votes\":\"a\"}";
    const char *two =
        "{\"name\":\"y\",\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"y\",\"votes\":\"b\"}";
    char text[1024];
    whet_rules_job job = WHET_RULES_JOB_INIT;
    whet_rules_result result;
    whet_tensor votes;
    char *listed = malloc(3 + 2 * FORGED_ROWS);
    int8_t *old = malloc(FORGED_ROWS);
    assert_true(listed && old);
    (void)snprintf(listed, 3, "t\n");
    for (int i = 0; i < FORGED_ROWS; i++) {
        (void)snprintf(listed + 2 + 2 * (size_t)i, 3, "%c\n", i % 2 ? 'x' : 'y');
        old[i] = i % 2 ? 0 : -1;
    }
    (void)snprintf(text, sizeof text, HEAD "%s]}", one);
    job.rules = test_write_text("one.json", text);
    job.input = test_write_text("t.tsv", listed);
    job.votes = test_tmp("one.npy");
    test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
    assert_int_equal(result.covered, FORGED_ROWS / 2);
    whet_rules_result_free(ctx, &result);
    /* A vote that no rule gave, on a row that is not looked at again, shows that the column was taken over:
     * of 2000 voting rows each fourth is looked at. */
    old[3] = 1;
    const whet_tensor forged = {old, WHET_I8, 2, {FORGED_ROWS, 1}};
    test_ok(ctx, whet_npy_write(ctx, job.votes, true, &forged));
    (void)snprintf(text, sizeof text, HEAD "%s,%s]}", two, one);
    job.previous_rules = job.rules;
    job.previous_votes = job.votes;
    job.rules = test_write_text("two.json", text);
    job.votes = test_tmp("two.npy");
    test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
    assert_int_equal(result.reused, 1);
    whet_rules_result_free(ctx, &result);
    test_ok(ctx, whet_array_read(ctx, job.votes, &votes));
    for (size_t i = 0; i < FORGED_ROWS; i++) {
        assert_int_equal(((const int8_t *)votes.data)[2 * i], i % 2 ? -1 : 1);
        assert_int_equal(((const int8_t *)votes.data)[2 * i + 1], old[i]);
    }
    whet_tensor_destroy(ctx, &votes);
    job.input = test_write_text("more.tsv", "t\nx\n");
    job.votes = test_tmp("three.npy");
    test_fails(ctx, whet_rules_apply_files(ctx, &job, &result), WHET_ERR_SHAPE);
    test_says(ctx, "is [4000, 1]; expected [1, 1]");
    /* Votes on other rows, as many: the same ones, one further on. */
    (void)snprintf(listed, 3, "t\n");
    memmove(listed + 2, listed + 4, 2 * (FORGED_ROWS - 1));
    memcpy(listed + 2 * FORGED_ROWS, "y\n", 2);
    job.input = test_write_text("later.tsv", listed);
    test_fails(ctx, whet_rules_apply_files(ctx, &job, &result), WHET_ERR_DATA);
    test_says(ctx, "one.npy: rule \"x\" votes -1 on row 0, and on that row of ");
    test_says(ctx, "later.tsv 0; expected votes on the same rows");
    free(listed);
    free(old);
    test_ctx_done(ctx);
}

/* Votes for class 127 fit into a byte, for 128 they do not; triples name those that there are. */
static void votes_are_as_wide_as_classes_need(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    for (int k = 128; k <= 129; k++) {
        json_t *classes = json_array(), *rule;
        for (int c = 0; c < k; c++)
            assert_int_equal(json_array_append_new(classes, json_sprintf("c%d", c)), 0);
        rule = json_pack("{s:s, s:s, s:i, s:o}", "type", "number", "column", "t", "least", 1,
                         "votes", json_sprintf("c%d", k - 1));
        json_t *document = json_pack("{s:s, s:i, s:o, s:[o]}", "format", "whet-rules", "version", 1,
                                     "classes", classes, "rules", rule);
        char *text = json_dumps(document, 0), *line;
        whet_rules_job job = WHET_RULES_JOB_INIT;
        whet_rules_result result;
        whet_tensor votes;
        int64_t len;
        assert_non_null(text);
        job.rules = test_write_text("wide.json", text);
        job.input = test_write_text("wide.tsv", "t\n0\n2\n");
        job.votes = test_tmp("wide.npy");
        job.force = true;
        test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
        whet_rules_result_free(ctx, &result);
        test_ok(ctx, whet_array_read(ctx, job.votes, &votes));
        assert_int_equal(votes.dtype, k == 128 ? WHET_I8 : WHET_I32);
        if (k == 128) assert_int_equal(((const int8_t *)votes.data)[1], 127);
        if (k == 129) assert_int_equal(((const int32_t *)votes.data)[1], 128);
        whet_tensor_destroy(ctx, &votes);
        job.votes = test_tmp("wide-votes.tsv");
        test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
        whet_rules_result_free(ctx, &result);
        test_ok(ctx, whet_i_file_read(ctx, job.votes, 1000, &line, &len));
        assert_string_equal(line, k == 128 ? "row\trule\tvote\n1\t0\t127\n"
                                           : "row\trule\tvote\n1\t0\t128\n");
        whet_i_free(ctx, line);
        free(text);
        json_decref(document);
    }
    test_ctx_done(ctx);
}

static const char of_numbers[] =
    "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"b\"],\"features\":1,\"rules\":["
    "{\"type\":\"number\",\"feature\":0,\"least\":0.7,\"votes\":\"b\"},"
    "{\"type\":\"number\",\"feature\":0,\"below\":0.7,\"votes\":\"a\"},"
    "{\"type\":\"number\",\"feature\":0,\"least\":16777217,\"below\":16777218,\"votes\":\"b\"}%s]}";

/* Numbers are compared as the file holds them, alone and beside a model, which sees them in f32; over parts
 * and over a sample of rows of votes made before. */
static void numbers_are_compared_as_the_file_holds_them(void **state) {
    (void)state;
    enum { MANY = 70000 };
    static const char *const more[2] = {
        "", ",{\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\",\"b\"],\"least\":[0.5,0.5],"
            "\"nodes\":[{\"feature\":0,\"at_most\":0.7,\"yes\":1,\"no\":2},{\"p\":[1,0]},"
            "{\"p\":[0,1]}]}"};
    /* .7 is no f32: the nearest is less. */
    static const double reals[4] = {.1, .7, .71, NAN};
    static const int64_t whole[4] = {0, 16777216, 16777217, 16777218};
    static const int32_t expected[2][4][3] = {
        {{-1, 0, -1}, {1, -1, -1}, {1, -1, -1}, {-1, -1, -1}},
        {{-1, 0, -1}, {1, -1, -1}, {1, -1, 1}, {1, -1, -1}},
    };
    whet_ctx *ctx = test_ctx(2);
    double *x = malloc(sizeof *x * MANY);
    assert_non_null(x);
    for (int at = 0; at < 4; at++) {
        const int type = at / 2, seen = at % 2, m = 3 + seen;
        char text[1000];
        (void)snprintf(text, sizeof text, of_numbers, more[seen]);
        for (int i = 0; i < MANY; i++) {
            const int64_t own = whole[i % 4];
            if (type)
                memcpy(&x[i], &own, sizeof own);
            else
                x[i] = reals[i % 4];
        }
        const whet_tensor t = {x, type ? WHET_I64 : WHET_F64, 2, {MANY, 1}};
        whet_rules_job job = WHET_RULES_JOB_INIT;
        whet_rules_result result;
        whet_tensor votes;
        job.rules = test_write_text("numbers.json", text);
        job.input = test_tmp("numbers.npy");
        job.votes = test_tmp("numbers-votes.npy");
        job.force = true;
        test_ok(ctx, whet_npy_write(ctx, job.input, true, &t));
        for (int again = 0; again < 2; again++) {
            test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
            assert_int_equal(result.reports[0].faults, type || again ? 0 : MANY / 4);
            assert_int_equal(result.reused, again ? m : 0);
            whet_rules_result_free(ctx, &result);
            test_ok(ctx, whet_array_read_as(ctx, job.votes, WHET_I32, 2, false, &votes));
            const int32_t *vote = votes.data;
            for (int i = 0; i < MANY; i++) {
                for (int j = 0; j < 3; j++)
                    assert_int_equal(vote[i * m + j], expected[type][i % 4][j]);
                /* The f32 next to .7 is below it. */
                if (seen && type == 0 && i % 4 == 1) assert_int_equal(vote[i * m + 3], 0);
            }
            whet_tensor_destroy(ctx, &votes);
            job.previous_rules = job.rules;
            job.previous_votes = job.votes;
            job.votes = test_tmp("numbers-again.npy");
        }
    }
    free(x);
    test_ctx_done(ctx);
}

/* A member that first appears behind the first part of JSON lines is an empty cell before. */
static void columns_may_appear_late(void **state) {
    (void)state;
    enum { LINES = 200000 };
    whet_ctx *ctx = test_ctx(2);
    static const char line[] = "{\"a\":\"a text of some length to fill the first parts with\"}\n";
    static const char last[] = "{\"late\":\"x\"}\n";
    const int64_t len = (int64_t)strlen(line), end = (int64_t)strlen(last);
    char *text = malloc((size_t)(LINES * len + end));
    assert_non_null(text);
    for (int64_t i = 0; i < LINES; i++) memcpy(text + i * len, line, (size_t)len);
    memcpy(text + LINES * len, last, (size_t)end);
    whet_rules_job job = WHET_RULES_JOB_INIT;
    whet_rules_result result;
    job.rules = test_write_text(
        "late.json",
        HEAD "{\"type\":\"regex\",\"column\":\"late\",\"pattern\":\"x\",\"votes\":\"a\"},"
             "{\"type\":\"keywords\",\"column\":\"late\",\"words\":[\"x\"],\"votes\":\"b\"},"
             "{\"type\":\"number\",\"column\":\"late\",\"least\":0,\"votes\":\"b\"}]}");
    job.input = test_write("late.jsonl", text, LINES * len + end);
    job.votes = test_tmp("late.npy");
    test_ok(ctx, whet_rules_apply_files(ctx, &job, &result));
    assert_int_equal(result.n, LINES + 1);
    assert_int_equal(result.covered, 1);
    assert_int_equal(result.reports[0].votes, 1);
    assert_int_equal(result.reports[1].votes, 1);
    assert_int_equal(result.reports[2].faults, 1); /* "x" is no number; absent ones are none */
    whet_rules_result_free(ctx, &result);
    free(text);
    test_ctx_done(ctx);
}

#define PRIOR "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"b\"],\"prior\":"
#define WORD "{\"type\":\"keywords\",\"column\":\"t\",\"words\":[\"x\"],\"votes\":\"a\""

static void broken_rules_are_told(void **state) {
    (void)state;
    static const struct {
        const char *text;
        whet_status status;
        const char *says;
    } cases[] = {
        {"[]", WHET_ERR_FORMAT, "an array; expected an object"},
        {"{\"format\":\"x\"}", WHET_ERR_FORMAT, "expected whet-rules"},
        {"{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"a\"]}", WHET_ERR_FORMAT,
         "\"classes\"[1] is there already"},
        {"{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\"]}", WHET_ERR_FORMAT,
         "1 classes; expected at least 2"},
        {HEAD "]}", WHET_ERR_FORMAT, "\"rules\" is empty"},
        {HEAD "3]}", WHET_ERR_FORMAT, "r.json: rules[0] is an integer"},
        {HEAD "{\"type\":\"magic\"}]}", WHET_ERR_FORMAT, "\"type\" is \"magic\""},
        {HEAD "{\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"a(\",\"votes\":\"a\"}]}",
         WHET_ERR_UNSUPPORTED, "rules[0]: the pattern \"a(\" does not compile, at byte 2: missing"},
        {HEAD "{\"type\":\"regex\",\"column\":\"t\",\"pattern\":\"a\",\"votes\":\"z\"}]}",
         WHET_ERR_FORMAT, "\"z\" is not among the classes"},
        {HEAD "{\"type\":\"keywords\",\"column\":\"t\",\"words\":[\"\"],\"votes\":\"a\"}]}",
         WHET_ERR_FORMAT, "\"words\"[0]"},
        {HEAD "{\"type\":\"keywords\",\"column\":\"t\",\"words\":[],\"votes\":\"a\"}]}",
         WHET_ERR_FORMAT, "\"words\" is empty"},
        {HEAD "{\"type\":\"number\",\"column\":\"t\",\"least\":2,\"below\":2,\"votes\":\"a\"}]}",
         WHET_ERR_FORMAT, "expected a range"},
        {HEAD "{\"type\":\"number\",\"column\":\"t\",\"votes\":\"a\"}]}", WHET_ERR_FORMAT,
         "or every one is"},
        {HEAD "{\"type\":\"number\",\"feature\":0,\"least\":1,\"votes\":\"a\"}]}", WHET_ERR_FORMAT,
         "\"column\" is missing"},
        {HEAD "{\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"nodes\":[]}]}",
         WHET_ERR_FORMAT, "no features"},
        {PRIOR "[1],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "\"prior\" holds an array of 1"},
        {PRIOR "[0,1],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "\"prior\"[0] is 0; expected a"},
        {PRIOR "[1.5,-0.5],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "\"prior\"[1] is -0.5"},
        {PRIOR "[0.5,0.6],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "adds up to 1.1"},
        {PRIOR "[0.5,null],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "\"prior\"[1] is null"},
        {PRIOR "[0.5,0.5],\"rules\":[" WORD "}]}", WHET_ERR_FORMAT, "\"log_odds\" is missing"},
        {PRIOR "[0.5,0.5],\"rules\":[" WORD ",\"log_odds\":[1]}]}", WHET_ERR_FORMAT,
         "\"log_odds\" holds an array of 1"},
        {PRIOR "[0.5,0.5],\"rules\":[" WORD ",\"log_odds\":[0,-1e7]}]}", WHET_ERR_FORMAT,
         "\"log_odds\"[1] is -1e+07; expected at most 1e+06"},
        {HEAD WORD ",\"log_odds\":[1,1]}]}", WHET_ERR_FORMAT, "\"log_odds\" without a prior"},
    };
    static const char *const bodies[][2] = {
        {"\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"nodes\":"
         "[{\"feature\":0,\"at_most\":1,\"yes\":0,\"no\":1},{\"p\":[1]}]",
         "nodes[0]: \"yes\" is 0; expected an integer from 1 to 1"},
        {"\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"nodes\":[{\"p\":[1,"
         "2]}]",
         "expected arrays of 1"},
        {"\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"nodes\":"
         "[{\"feature\":1,\"at_most\":1,\"yes\":1,\"no\":1},{\"p\":[1]}]",
         "expected one of the rule's"},
        {"\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\",\"b\"],\"least\":[0,0],\"nodes\":"
         "[{\"p\":[1.2,-0.2]}]",
         "rules[0]: nodes[0]: \"p\"[1] is -0.2; expected a probability"},
        {"\"type\":\"tree\",\"features\":[0],\"votes\":[\"a\",\"b\"],\"least\":[0,0],\"nodes\":"
         "[{\"feature\":0,\"at_most\":1,\"yes\":1,\"no\":1},{\"p\":[0.7,0.7]}]",
         "rules[0]: nodes[1]: \"p\" adds up to 1.4; expected probabilities that add up to 1"},
        {"\"type\":\"logistic\",\"features\":[1,0],\"votes\":[\"a\"],\"least\":[0]", "rising"},
        {"\"type\":\"logistic\",\"features\":[2],\"votes\":[\"a\"],\"least\":[0]", "from 0 to 1"},
        {"\"type\":\"logistic\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"weights\":[[1,2]"
         "]",
         "expected arrays of 1"},
        {"\"type\":\"neighbours\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"k\":2,"
         "\"of\":[0],\"points\":[[1]]",
         "\"k\" is 2"},
        {"\"type\":\"neighbours\",\"features\":[0],\"votes\":[\"a\"],\"least\":[0],\"k\":1,"
         "\"of\":[1],\"points\":[[1]]",
         "\"of\"[0]"},
        {"\"type\":\"similarity\",\"votes\":[\"a\"],\"least\":[0],\"vectors\":[[1]]",
         "expected arrays of 2"},
    };
    whet_ctx *ctx = test_ctx(1);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        test_fails(ctx, refused(ctx, cases[c].text), cases[c].status);
        test_says(ctx, cases[c].says);
    }
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
        char text[1024];
        (void)snprintf(text, sizeof text,
                       "{\"format\":\"whet-rules\",\"version\":1,\"classes\":[\"a\",\"b\"],"
                       "\"features\":2,\"rules\":[{%s}]}",
                       bodies[b][0]);
        test_fails(ctx, refused(ctx, text), WHET_ERR_FORMAT);
        test_says(ctx, bodies[b][1]);
    }
    test_ctx_done(ctx);
}

static void missing_inputs_are_told(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_rules *rules = rules_of(ctx, written), *of_features = rules_of(ctx, models);
    whet_table *table;
    int32_t votes[30];
    test_ok(ctx, table_of(ctx, "texts\tlen\nx\t1\n", &table));
    whet_rules_input input = {.table = table, .n = 1};
    test_fails(ctx, whet_rules_apply(ctx, rules, &input, votes, NULL), WHET_ERR_ARG);
    test_says(ctx, "rule \"free\"");
    test_says(ctx, "text");
    test_fails(ctx, whet_rules_apply(ctx, of_features, &input, votes, NULL), WHET_ERR_SHAPE);
    input = (whet_rules_input){.features = points[0], .d = 4, .n = 1};
    test_fails(ctx, whet_rules_apply(ctx, rules, &input, votes, NULL), WHET_ERR_ARG);
    test_says(ctx, "expected a table");
    whet_table_destroy(ctx, table);
    whet_rules_destroy(ctx, rules);
    whet_rules_destroy(ctx, of_features);
    test_ctx_done(ctx);
}

static whet_status whole_run(whet_ctx *ctx, void *arg) {
    whet_table *table = NULL;
    whet_rules *rules = NULL;
    int32_t votes[30];
    double probs[12];
    whet_status status = whet_rules_load(ctx, arg, &rules);
    if (status == WHET_OK) status = table_of(ctx, rows, &table);
    const whet_rules_input input = {.table = table, .n = 6};
    if (status == WHET_OK) status = whet_rules_apply(ctx, rules, &input, votes, NULL);
    if (status == WHET_OK && whet_rules_weighted(rules))
        status = whet_rules_posterior(ctx, rules, &input, probs);
    whet_table_destroy(ctx, table);
    whet_rules_destroy(ctx, rules);
    return status;
}

static void each_allocation_may_fail(void **state) {
    (void)state;
    const char *texts[2] = {written, weighted};
    for (int t = 0; t < 2; t++) {
        char path[512]; /* the test's own path lives for eight calls */
        (void)snprintf(path, sizeof path, "%s", test_write_text("fault.json", texts[t]));
        assert_true(test_each_allocation(whole_run, path) > 20);
    }
}

static void threads_do_not_matter(void **state) {
    (void)state;
    enum { N = 3000 };
    static const int32_t threads[3] = {1, 2, 5};
    int32_t *votes[3];
    float *x = malloc(sizeof *x * N * 4);
    assert_non_null(x);
    for (int i = 0; i < N * 4; i++) x[i] = (float)sin(.7 * i) * 2;
    for (int t = 0; t < 3; t++) {
        whet_ctx *ctx = test_ctx(threads[t]);
        whet_rules *rules = rules_of(ctx, models);
        whet_rule_report reports[5] = {{0}};
        const whet_rules_input input = {.features = x, .d = 4, .n = N};
        votes[t] = malloc(sizeof **votes * N * 5);
        assert_non_null(votes[t]);
        test_ok(ctx, whet_rules_apply(ctx, rules, &input, votes[t], reports));
        assert_memory_equal(votes[t], votes[0], sizeof **votes * N * 5);
        whet_rules_destroy(ctx, rules);
        test_ctx_done(ctx);
    }
    for (int t = 0; t < 3; t++) free(votes[t]);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_rules_vote_as_they_say),
        cmocka_unit_test(models_vote_as_computed_by_hand),
        cmocka_unit_test(saved_rules_are_the_same_rules),
        cmocka_unit_test(weights_add_up_to_a_posterior),
        cmocka_unit_test(posteriors_of_files_are_those_of_rows),
        cmocka_unit_test(keywords_are_found_as_one_by_one),
        cmocka_unit_test(case_is_that_of_unicode),
        cmocka_unit_test(every_character_folds_into_its_room),
        cmocka_unit_test(spam_rules_vote_as_published),
        cmocka_unit_test(question_rules_vote_as_published),
        cmocka_unit_test(a_pattern_that_explodes_abstains_and_is_counted),
        cmocka_unit_test(one_more_rule_computes_one_more_column),
        cmocka_unit_test(votes_are_as_wide_as_classes_need),
        cmocka_unit_test(columns_may_appear_late),
        cmocka_unit_test(numbers_are_compared_as_the_file_holds_them),
        cmocka_unit_test(broken_rules_are_told),
        cmocka_unit_test(missing_inputs_are_told),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
