/* SPDX-License-Identifier: Apache-2.0
 * From Oniguruma's Ruby syntax to PCRE2's: a walk over the pattern that writes it anew. Classes
 * become the ranges of the observed tables; groups that capture become groups that do not. Refused:
 * back references, anchors of lines and words, options, nested classes, repeats of repeats, and
 * without regard to case all but ASCII letters (and of those "ss" and the like, which Oniguruma
 * takes for one letter). */
#include <stdio.h>

#include "nn/regex_parts_i.h"

#define MOST_PATTERN 4096
#define MOST_TEXT ((int64_t)1 << 20)
#define MOST_DEPTH 32
#define MOST_REPEAT 1000

typedef struct walk {
    whet_ctx *ctx;
    const char *part;
    whet_str pattern;
    int64_t at;
    whet_i_buf *out;
    bool any_case[MOST_DEPTH]; /* of each open group */
    int32_t depth;
    bool repeatable; /* what came last may be repeated */
    char letter;     /* the literal before, without regard to case; 0 = none */
} walk;

static whet_status refuse(walk *w, const char *what) {
    char quoted[WHET_QUOTE_SIZE];
    return whet_i_fail(w->ctx, WHET_ERR_UNSUPPORTED,
                       "%s: the regular expression %s has %s at byte %lld; expected none", w->part,
                       whet_i_quote(quoted, w->pattern), what, (long long)w->at);
}

static bool more(const walk *w) { return w->at < w->pattern.len; }
static char peek(const walk *w, int64_t ahead) {
    return w->at + ahead < w->pattern.len ? w->pattern.ptr[w->at + ahead] : '\0';
}

static bool starts(const walk *w, const char *text) {
    const int64_t len = (int64_t)strlen(text);
    return w->pattern.len - w->at >= len && memcmp(w->pattern.ptr + w->at, text, (size_t)len) == 0;
}

static whet_status emit(walk *w, const char *text) {
    if (w->out->len > MOST_TEXT) return refuse(w, "too many classes");
    return whet_i_buf_append(w->ctx, w->out, text, (int64_t)strlen(text));
}

static whet_status emit_range(walk *w, uint32_t first, uint32_t last) {
    char text[48];
    if (first <= 0xDFFF && last >= 0xD800) { /* surrogates are no code points of a text */
        if (first < 0xD800) WHET_TRY(emit_range(w, first, 0xD7FF));
        return last > 0xDFFF ? emit_range(w, 0xE000, last) : WHET_OK;
    }
    (void)snprintf(text, sizeof text, "\\x{%X}-\\x{%X}", first, last);
    return emit(w, text);
}

/* The code points whose bits have (or have not) any of `mask`, as ranges. */
static whet_status emit_bits(walk *w, uint32_t mask, bool has) {
    int64_t open = -1;
    for (int64_t i = 0; i < whet_i_unicode_n_starts; i++) {
        const uint32_t first = whet_i_unicode_starts[i].first;
        const bool in = ((whet_i_unicode_starts[i].bits & mask) != 0) == has;
        if (in && open < 0) open = first;
        if (in || open < 0) continue;
        WHET_TRY(emit_range(w, (uint32_t)open, first - 1));
        open = -1;
    }
    return open >= 0 ? emit_range(w, (uint32_t)open, WHET_I_UNICODE_END - 1) : WHET_OK;
}

/* ---- escapes ---------------------------------------------------------------------------------- */

typedef struct escape {
    uint32_t mask; /* a class: these bits, */
    bool has;      /* or none of them */
    uint32_t code; /* mask 0: a code point */
} escape;

static whet_status read_property(walk *w, bool has, escape *out) {
    static const struct {
        const char *name;
        uint32_t mask;
    } KNOWN[] = {{"L}", WHET_I_RE_LETTER}, {"N}", WHET_I_RE_NUMBER}, {"M}", WHET_I_RE_MARK},
                 {"P}", WHET_I_RE_PUNCT},  {"S}", WHET_I_RE_SYMBOL}, {"Nd}", WHET_I_RE_DIGIT}};
    if (peek(w, 0) != '{') return refuse(w, "\\p without a name");
    w->at++;
    if (peek(w, 0) == '^') {
        has = !has;
        w->at++;
    }
    for (int64_t i = 0; i < WHET_COUNT_OF(KNOWN); i++) {
        if (!starts(w, KNOWN[i].name)) continue;
        w->at += (int64_t)strlen(KNOWN[i].name);
        *out = (escape){.mask = KNOWN[i].mask, .has = has};
        return WHET_OK;
    }
    return refuse(w, "a property other than L, N, Nd, M, P, S");
}

static int32_t hex_digit(char c) {
    if (whet_i_is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \x{H...}, \uHHHH: at the digits. */
static whet_status read_hex(walk *w, bool is_u, escape *out) {
    const bool braces = !is_u && peek(w, 0) == '{';
    const int32_t most = braces ? 6 : is_u ? 4 : 2;
    int32_t n = 0;
    if (braces) w->at++;
    for (; n < most && hex_digit(peek(w, 0)) >= 0; n++, w->at++)
        out->code = out->code * 16 + (uint32_t)hex_digit(peek(w, 0));
    const bool closed = !braces || peek(w, 0) == '}';
    if (braces) w->at++;
    if (n == 0 || (!braces && n < most) || !closed || out->code >= WHET_I_UNICODE_END ||
        (!braces && !is_u && out->code > 0x7F) || (out->code >= 0xD800 && out->code <= 0xDFFF))
        return refuse(w, "an escape that is no code point");
    return WHET_OK;
}

/* Behind the backslash. */
static whet_status read_escape(walk *w, escape *out) {
    static const char SIMPLE[][2] = {
        {'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'f', '\f'}, {'v', '\v'}};
    static const struct {
        char name;
        uint32_t mask;
    } CLASSES[] = {{'s', WHET_I_CHAR_SPACE}, {'d', WHET_I_RE_DIGIT}, {'w', WHET_I_RE_WORD}};
    const char c = peek(w, 0);
    *out = (escape){0};
    w->at++;
    if (c == 'p' || c == 'P') return read_property(w, c == 'p', out);
    if (c == 'x' || c == 'u') return read_hex(w, c == 'u', out);
    for (int64_t i = 0; i < WHET_COUNT_OF(SIMPLE); i++) {
        if (c != SIMPLE[i][0]) continue;
        out->code = (uint8_t)SIMPLE[i][1];
        return WHET_OK;
    }
    for (int64_t i = 0; i < WHET_COUNT_OF(CLASSES); i++) {
        if ((c | 0x20) != CLASSES[i].name) continue;
        *out = (escape){.mask = CLASSES[i].mask, .has = c == CLASSES[i].name};
        return WHET_OK;
    }
    const uint8_t byte = (uint8_t)c;
    if (byte <= ' ' || byte >= 0x7F || hex_digit(c) >= 0 || whet_i_is_upper(c) ||
        whet_i_is_lower(c))
        return refuse(w, "an escape");
    out->code = byte;
    return WHET_OK;
}

/* ---- classes in brackets ---------------------------------------------------------------------- */

static whet_status read_code(walk *w, uint32_t *code) {
    const uint8_t *p = (const uint8_t *)w->pattern.ptr, *next;
    *code = whet_i_utf8_decode(p + w->at, p + w->pattern.len, &next);
    w->at = next - p;
    return WHET_OK;
}

/* One member of a class: a class of its own (mask), or a code point. */
static whet_status read_member(walk *w, escape *out) {
    const char c = peek(w, 0);
    *out = (escape){0};
    if (!more(w)) return refuse(w, "an open class");
    if (c == '[' || starts(w, "&&")) return refuse(w, "a class in a class");
    if (c == '\\') {
        w->at++;
        return read_escape(w, out);
    }
    return read_code(w, &out->code);
}

static whet_status read_class(walk *w) {
    w->at++;
    const bool negated = peek(w, 0) == '^';
    if (negated) w->at++;
    if (peek(w, 0) == ']') return refuse(w, "an empty class");
    WHET_TRY(emit(w, negated ? "[^" : "["));
    while (peek(w, 0) != ']') {
        escape first, last;
        if (peek(w, 0) == '-' && peek(w, 1) != ']') return refuse(w, "a bare -");
        WHET_TRY(read_member(w, &first));
        if (first.mask) {
            WHET_TRY(emit_bits(w, first.mask, first.has));
            continue;
        }
        last = first;
        if (peek(w, 0) == '-' && peek(w, 1) != ']') {
            w->at++;
            WHET_TRY(read_member(w, &last));
            if (last.mask || last.code < first.code) return refuse(w, "a range without an end");
        }
        WHET_TRY(emit_range(w, first.code, last.code));
    }
    w->at++;
    return emit(w, "]");
}

/* ---- groups, repeats, the rest ---------------------------------------------------------------- */

static whet_status read_group(walk *w) {
    static const char *const KNOWN[] = {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"};
    if (w->depth + 1 == MOST_DEPTH) return refuse(w, "groups too deep");
    w->any_case[w->depth + 1] = w->any_case[w->depth];
    w->depth++;
    for (int64_t i = 0; i < WHET_COUNT_OF(KNOWN); i++) {
        if (!starts(w, KNOWN[i])) continue;
        if (KNOWN[i][2] == 'i') w->any_case[w->depth] = true;
        w->at += (int64_t)strlen(KNOWN[i]);
        return emit(w, KNOWN[i]);
    }
    if (peek(w, 1) == '?' || peek(w, 1) == '*') return refuse(w, "a group of another kind");
    w->at++;
    return emit(w, "(?:");
}

/* {n}, {n,}, {n,m} */
static whet_status read_counts(walk *w) {
    char text[48];
    int64_t counts[2] = {0, 0};
    int32_t digits[2] = {0, 0}, k = 0;
    for (w->at++; more(w) && peek(w, 0) != '}'; w->at++) {
        const char c = peek(w, 0);
        if (c == ',' && k == 0) {
            k = 1;
        } else if (whet_i_is_digit(c) && counts[k] <= MOST_REPEAT) {
            counts[k] = counts[k] * 10 + (c - '0');
            digits[k]++;
        } else {
            return refuse(w, "a brace that is no repeat");
        }
    }
    if (!more(w) || digits[0] == 0 || counts[0] > MOST_REPEAT || counts[1] > MOST_REPEAT ||
        (digits[1] && counts[1] < counts[0]))
        return refuse(w, "a repeat out of range");
    w->at++;
    if (peek(w, 0) == '+' || (k == 0 && peek(w, 0) == '?'))
        return refuse(w, "a repeat of a repeat");
    if (k == 0)
        (void)snprintf(text, sizeof text, "{%d}", (int)counts[0]);
    else if (digits[1] == 0)
        (void)snprintf(text, sizeof text, "{%d,}", (int)counts[0]);
    else
        (void)snprintf(text, sizeof text, "{%d,%d}", (int)counts[0], (int)counts[1]);
    return emit(w, text);
}

static whet_status read_repeat(walk *w) {
    if (!w->repeatable) return refuse(w, "a repeat of nothing or of a repeat");
    w->repeatable = false;
    w->letter = '\0';
    if (peek(w, 0) == '{') {
        WHET_TRY(read_counts(w));
    } else {
        const char text[] = {peek(w, 0), '\0'};
        w->at++;
        WHET_TRY(emit(w, text));
        if (peek(w, 0) == '+') {
            w->at++;
            return emit(w, "+");
        }
    }
    if (peek(w, 0) != '?') return WHET_OK;
    w->at++;
    return emit(w, "?");
}

static whet_status emit_literal(walk *w, uint32_t code) {
    static const char *const ONE_LETTER[] = {"ss", "ff", "fi", "fl", "st"};
    char text[16];
    if (w->any_case[w->depth]) {
        const char c = code < 0x80 ? (char)(code | 0x20) : '\0';
        if (code >= 0x80) return refuse(w, "a letter outside ASCII without regard to case");
        for (int64_t i = 0; i < WHET_COUNT_OF(ONE_LETTER); i++)
            if (w->letter == ONE_LETTER[i][0] && c == ONE_LETTER[i][1])
                return refuse(w, "letters without regard to case that may be one");
        w->letter = c;
    }
    (void)snprintf(text, sizeof text, "\\x{%X}", code);
    return emit(w, text);
}

static whet_status read_one(walk *w) {
    const char c = peek(w, 0);
    escape escaped = {0};
    if (c == '*' || c == '+' || c == '?' || c == '{') return read_repeat(w);
    w->repeatable = c != '(' && c != '|';
    if (c == '(' || c == ')' || c == '|' || c == '.' || c == '[') w->letter = '\0';
    if (c == '(') return read_group(w);
    if (c == '^' || c == '$') return refuse(w, "an anchor");
    if (c == '[' && w->any_case[w->depth]) return refuse(w, "a class without regard to case");
    if (c == '[') return read_class(w);
    if (c == ')' || c == '|' || c == '.') {
        const char text[] = {c, '\0'};
        if (c == ')' && w->depth-- == 0) return refuse(w, "a ) too many");
        w->at++;
        return emit(w, text);
    }
    if (c != '\\') {
        WHET_TRY(read_code(w, &escaped.code));
        return emit_literal(w, escaped.code);
    }
    w->at++;
    WHET_TRY(read_escape(w, &escaped));
    if (!escaped.mask) return emit_literal(w, escaped.code);
    w->letter = '\0';
    WHET_TRY(emit(w, "["));
    WHET_TRY(emit_bits(w, escaped.mask, escaped.has));
    return emit(w, "]");
}

whet_status whet_i_regex_translate(whet_ctx *ctx, const char *part, whet_str pattern,
                                   whet_i_buf *out) {
    walk w = {.ctx = ctx, .part = part, .pattern = pattern, .out = out};
    if (pattern.len == 0 || pattern.len > MOST_PATTERN)
        return refuse(&w, pattern.len ? "over 4096 bytes" : "nothing");
    while (more(&w)) WHET_TRY(read_one(&w));
    return w.depth > 0 ? refuse(&w, "an open group") : WHET_OK;
}
