/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions of tokenizer files: scanners against PCRE2 on the same patterns, over code
 * points and random texts; what is refused; patterns that would not end. Normal forms of all code
 * points against hashes from Hugging Face. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>

#include "nn/tokenizer_i.h"

#define CL100K(digits) \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const char *const PATTERNS[] = {WHET_I_GPT2_PATTERN, CL100K("{1,3}"), CL100K("")};

typedef struct both {
    whet_i_regex *scanner, *regex;
    whet_i_regex_state state;
} both;

static void agree(both *b, const uint8_t *text, int64_t len) {
    const uint8_t *const end = text + len, *p = text;
    whet_i_regex_state_start(&b->state, len);
    while (p < end) {
        const uint8_t *from[2], *to[2];
        assert_true(whet_i_regex_find(b->scanner, &b->state, text, end, p, &from[0], &to[0]));
        assert_true(whet_i_regex_find(b->regex, &b->state, text, end, p, &from[1], &to[1]));
        if (from[0] != from[1] || to[0] != to[1])
            fail_msg("at byte %d of %.*s: %d bytes, PCRE2 %d", (int)(p - text), (int)len, text,
                     (int)(to[0] - from[0]), (int)(to[1] - from[1]));
        p = to[0];
    }
}

static uint32_t any_code(whet_i_rng *rng) {
    static const uint32_t PICK[] = {' ',   ' ',  '\n', '\r',   '\t',   '\'',  's',   'S',
                                    't',   'L',  'l',  'v',    'e',    0x17F, 0x301, '7',
                                    0x663, 0xBD, '.',  0x3000, 0x4E00, 0x85,  0xA0,  0x180E};
    if (whet_i_rng_below(rng, 4)) return PICK[whet_i_rng_below(rng, WHET_COUNT_OF(PICK))];
    const uint32_t code = (uint32_t)whet_i_rng_below(rng, 0x3000);
    return code ? code : 1;
}

/* Both ways read the same table of runs: beyond the first planes' alphabets, the first and last code
 * point of each run tell as much as all of them. */
static bool is_border(uint32_t code) {
    return whet_i_unicode_plain_until(code) <= code + 1 || code % 4096 == 0 ||
           whet_i_unicode_bits(code) != whet_i_unicode_bits(code - 1);
}

static void scanners_match_what_the_regular_expressions_match(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    whet_i_rng rng;
    whet_i_rng_init(&rng, 17, 0);
    for (int64_t k = 0; k < WHET_COUNT_OF(PATTERNS); k++) {
        both b;
        const whet_str pattern = whet_str_from(PATTERNS[k]);
        test_ok(ctx, whet_i_regex_build(ctx, "t", pattern, &b.scanner));
        test_ok(ctx, whet_i_regex_build(ctx, "t", pattern, &b.regex));
        whet_i_regex_without_scanner(b.regex);
        test_ok(ctx, whet_i_regex_state_init(ctx, &b.state));
        for (uint32_t code = 1; code < WHET_I_UNICODE_END; code++) {
            if ((code >= 0xD800 && code < 0xE000) || (code > 0x3000 && !is_border(code))) continue;
            uint8_t text[32], *end = text;
            *end++ = 'a';
            end = whet_i_utf8_encode(end, code);
            *end++ = ' ';
            end = whet_i_utf8_encode(end, code);
            *end++ = '\'';
            end = whet_i_utf8_encode(end, code);
            end = whet_i_utf8_encode(end, code);
            *end++ = '1';
            agree(&b, text, end - text);
        }
        for (int round = 0; round < 20000; round++) {
            uint8_t text[256], *end = text;
            for (int64_t n = 1 + whet_i_rng_below(&rng, 24); n > 0; n--)
                end = whet_i_utf8_encode(end, any_code(&rng));
            agree(&b, text, end - text);
        }
        whet_i_regex_state_free(ctx, &b.state);
        whet_i_regex_destroy(ctx, b.scanner);
        whet_i_regex_destroy(ctx, b.regex);
    }
    test_ctx_done(ctx);
}

/* Matches of a pattern in a text, as "from-to from-to". */
static void matches(whet_ctx *ctx, const char *pattern, const char *text, const char *expected) {
    whet_i_regex *regex;
    whet_i_regex_state match;
    char got[256] = "";
    const uint8_t *const begin = (const uint8_t *)text, *const end = begin + strlen(text);
    const uint8_t *p = begin, *from, *to;
    test_ok(ctx, whet_i_regex_build(ctx, "t", whet_str_from(pattern), &regex));
    test_ok(ctx, whet_i_regex_state_init(ctx, &match));
    whet_i_regex_state_start(&match, end - begin);
    for (; whet_i_regex_find(regex, &match, begin, end, p, &from, &to); p = to) {
        const size_t len = strlen(got);
        (void)snprintf(got + len, sizeof got - len, "%s%d-%d", len ? " " : "", (int)(from - begin),
                       (int)(to - begin));
    }
    assert_string_equal(got, expected);
    whet_i_regex_state_free(ctx, &match);
    whet_i_regex_destroy(ctx, regex);
}

static void syntax_is_translated(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(1);
    matches(ctx, "a", "banana", "1-2 3-4 5-6");
    matches(ctx, "(na)+", "banana", "2-6");
    matches(ctx, "[^a-c]", "abcd-", "3-4 4-5");
    matches(ctx, "[a\\-\\]]+", "x-a]", "1-4");
    matches(ctx, "[a-]", "-b", "0-1");
    matches(ctx, "\\d{2,3}?", "12345", "0-2 2-4");
    matches(ctx, "\\d{2,}", "1 12345", "2-7");
    matches(ctx, "(?i:k)", "kK\xE2\x84\xAA", "0-1 1-2 2-5"); /* the Kelvin sign */
    matches(ctx, "(?<=a)b|(?<!a)c", "abc", "1-2 2-3");
    matches(ctx, "\\x{e9}|\\u4e00|\\x41|\\t",
            "\xC3\xA9\xE4\xB8\x80"
            "A\t",
            "0-2 2-5 5-6 6-7");
    matches(ctx, "\xC3\xA9.", "\xC3\xA9\n\xC3\xA9x", "3-6");
    matches(ctx, "\\S+", "a\xE1\xA0\x8E b", "0-4 5-6"); /* U+180E is no space */
    matches(ctx, "[\\S]", " a", "1-2");
    matches(ctx, "\\P{L}|\\p{^N}x", "a1", "1-2");
    matches(ctx, "(?>a+)a|b", "aab", "2-3");
    matches(ctx, "a++", "aa", "0-2");
    matches(ctx, "\\p{L}", "\xF0\xB1\x8D\x90", "0-4"); /* U+31350: a letter since Unicode 15 */
    test_ctx_done(ctx);
}

static void what_may_differ_is_refused(void **state) {
    (void)state;
    static const char *const PATTERN[][2] = {{"", "nothing"},
                                             {"a*", "can match nothing"},
                                             {"^a", "an anchor"},
                                             {"a$", "an anchor"},
                                             {"\\bx", "an escape"},
                                             {"(a)\\1", "an escape"},
                                             {"[a[b]]", "class in a"},
                                             {"[a&&b]", "class in a"},
                                             {"[]a]", "empty class"},
                                             {"(a", "open group"},
                                             {"a)", "too many"},
                                             {"a**", "of a repeat"},
                                             {"*a", "a repeat"},
                                             {"a{2}+", "repeat of a"},
                                             {"a{2}?", "repeat of a"},
                                             {"a{,2}", "out of range"},
                                             {"a{3,2}", "out of range"},
                                             {"a{5000}", "out of range"},
                                             {"(?i)a", "another kind"},
                                             {"(?P<n>a)", "another kind"},
                                             {"(?i:[a])", "regard to case"},
                                             {"(?i:\xC3\xA9)", "regard to case"},
                                             {"(?i:ss)", "may be one"},
                                             {"\\p{Greek}", "a property"},
                                             {"\\pL", "without a name"},
                                             {"\\", "an escape"},
                                             {"[a", "open class"},
                                             {"[b-a]", "a range"},
                                             {"\\x{110000}", "no code"},
                                             {"\\x{d800}", "no code"},
                                             {"(?<=a+)b", "does not compile"},
                                             {"a{x}", "no repeat"},
                                             {"\\R", "an escape"}};
    whet_ctx *ctx = test_ctx(1);
    for (int64_t i = 0; i < WHET_COUNT_OF(PATTERN); i++) {
        whet_i_regex *regex = NULL;
        const whet_status status =
            whet_i_regex_build(ctx, "t", whet_str_from(PATTERN[i][0]), &regex);
        if (status != WHET_ERR_UNSUPPORTED || !strstr(whet_error(ctx), PATTERN[i][1]))
            fail_msg("%s: status %d, %s", PATTERN[i][0], (int)status, whet_error(ctx));
        assert_null(regex);
    }
    test_ctx_done(ctx);
}

/* Exponential in the text: given up, with the text named. */
static void patterns_that_would_not_end_are_given_up(void **state) {
    (void)state;
    whet_ctx *ctx = test_ctx(2);
    whet_tokenizer *tokenizer = NULL;
    test_ok(ctx, whet_tokenizer_load(
                     ctx,
                     test_write_text(
                         "tokenizer.json",
                         "{\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\","
                         "\"invert\":false,\"pattern\":{\"Regex\":\"(?:a|aa)+b|c\"}},\"model\":{"
                         "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2},\"merges\":[]}}"),
                     &tokenizer));
    char many[200];
    memset(many, 'a', sizeof many);
    const whet_str items[] = {{"aab", 3}, {"c", 1}, {many, sizeof many}, {many, sizeof many}};
    whet_token_rows rows = {0};
    test_fails(ctx, whet_tokenizer_encode(ctx, tokenizer, items, 4, 0, &rows), WHET_ERR_LIMIT);
    test_says(ctx, "text 2");
    assert_null(rows.ids);
    test_ok(ctx, whet_tokenizer_encode(ctx, tokenizer, items, 2, 0, &rows));
    assert_int_equal(rows.start[2], 4);
    whet_token_rows_destroy(ctx, &rows);
    whet_tokenizer_destroy(ctx, tokenizer);
    test_ctx_done(ctx);
}

/* ---- normal forms ---------------------------------------------------------------------------- */

static uint64_t hash_form(whet_i_form form, uint32_t first) {
    uint64_t h = 14695981039346656037u;
    for (uint32_t code = first; code < first + 4096; code++) {
        uint8_t in[4], out[4 * WHET_I_FORM_BYTES], scratch[4 * WHET_I_FORM_SCRATCH];
        if (code >= 0xD800 && code < 0xE000) continue;
        const uint8_t *end = whet_i_utf8_encode(in, code);
        uint32_t aligned[sizeof scratch / 4];
        const uint8_t *stop = whet_i_normal_form(form, in, end, out, (uint8_t *)aligned);
        assert_true(stop - out <= (end - in) * WHET_I_FORM_BYTES);
        for (const uint8_t *p = out; p < stop; p++) h = (h ^ *p) * 1099511628211u;
    }
    return h;
}

static void normal_forms_of_every_code_point(void **state) {
    (void)state;
    FILE *file = fopen(test_source("tests/golden/tokenizer/forms.txt"), "r");
    assert_non_null(file);
    for (uint32_t first = 0; first < WHET_I_UNICODE_END; first += 4096) {
        char line[128], *p = line;
        assert_non_null(fgets(line, sizeof line, file));
        for (int form = 0; form < 3; form++)
            if (strtoull(p, &p, 16) != hash_form((whet_i_form)form, first))
                fail_msg("form %d differs between U+%X and U+%X", form, first, first + 4095);
    }
    (void)fclose(file);
}

/* NFC of NFKD is NFKC, composing is idempotent, and long runs of marks take the other sort. */
static void forms_agree_with_each_other(void **state) {
    (void)state;
    enum { MOST = 120 };
    static const uint32_t PICK[] = {'a',    0xE9,   0x300,   0x327,   0x345,  0x323,
                                    0x1100, 0x1161, 0x11A8,  0xAC00,  0xFB01, 0x1E69,
                                    0x344,  0x0F73, ' ',     0x5D0,   0x5B0,  0x1D15F,
                                    0x212B, 0xFDFA, 0x11935, 0x11930, 0x3C9,  0x3B9};
    static uint8_t in[4 * MOST], a[sizeof in * 12], b[sizeof a * 12], c[sizeof a * 12];
    static uint32_t memory[sizeof a * WHET_I_FORM_SCRATCH / 4];
    uint8_t *const scratch = (uint8_t *)memory;
    whet_i_rng rng;
    whet_i_rng_init(&rng, 23, 0);
    for (int round = 0; round < 4000; round++) {
        uint8_t *end = in;
        const int64_t kinds = round % 2 ? WHET_COUNT_OF(PICK) : 7;
        for (int64_t n = whet_i_rng_below(&rng, MOST); n > 0; n--)
            end = whet_i_utf8_encode(end, PICK[whet_i_rng_below(&rng, kinds)]);
        const uint8_t *a_end = whet_i_normal_form(WHET_I_NFKD, in, end, a, scratch);
        const uint8_t *b_end = whet_i_normal_form(WHET_I_NFC, a, a_end, b, scratch);
        const uint8_t *c_end = whet_i_normal_form(WHET_I_NFKC, in, end, c, scratch);
        assert_int_equal(b_end - b, c_end - c);
        assert_memory_equal(b, c, (size_t)(c_end - c));
        a_end = whet_i_normal_form(WHET_I_NFC, b, b_end, a, scratch);
        assert_int_equal(a_end - a, b_end - b);
        assert_memory_equal(a, b, (size_t)(b_end - b));
    }
}

/* By hand: a mark of the same class between blocks composing (Unicode D115), a lower one does not;
 * Hangul by parts; a composition that Unicode excludes stays apart (U+0958). */
static void blocked_marks_do_not_compose(void **state) {
    (void)state;
    static const char *const NFC[][2] = {{"a\xCC\x85\xCC\x81", "a\xCC\x85\xCC\x81"},
                                         {"a\xCC\x81\xCC\xA3", "\xE1\xBA\xA1\xCC\x81"},
                                         {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"},
                                         {"\xEA\xB0\x80\xE1\x86\xA8", "\xEA\xB0\x81"},
                                         {"\xE0\xA4\x95\xE0\xA4\xBC", "\xE0\xA4\x95\xE0\xA4\xBC"},
                                         {"ab\xCC\x81", "ab\xCC\x81"},
                                         {"", ""}};
    static uint32_t memory[64 * WHET_I_FORM_SCRATCH];
    for (int64_t i = 0; i < WHET_COUNT_OF(NFC); i++) {
        uint8_t out[256];
        const uint8_t *in = (const uint8_t *)NFC[i][0];
        const uint8_t *end =
            whet_i_normal_form(WHET_I_NFC, in, in + strlen(NFC[i][0]), out, (uint8_t *)memory);
        assert_int_equal(end - out, strlen(NFC[i][1]));
        assert_memory_equal(out, NFC[i][1], strlen(NFC[i][1]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scanners_match_what_the_regular_expressions_match),
        cmocka_unit_test(syntax_is_translated),
        cmocka_unit_test(what_may_differ_is_refused),
        cmocka_unit_test(patterns_that_would_not_end_are_given_up),
        cmocka_unit_test(normal_forms_of_every_code_point),
        cmocka_unit_test(forms_agree_with_each_other),
        cmocka_unit_test(blocked_marks_do_not_compose),
    };
    return cmocka_run_group_tests_name("nn/regex", tests, NULL, NULL);
}
