/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions of Python's re, which PEFT's files hold, in PCRE2's words. Where the two read the same
 * bytes otherwise, the bytes are changed: "{,n}" is a repetition in Python alone, "[[:alpha:]]" a class of
 * those characters, \u0041 a character, \Z the very end. What Python does not have is refused, as PEFT would
 * not read it; so are the few parts of Python's that are not known here. Source: Python's Lib/re/_parser.py,
 * as documented in "re: Regular expression syntax" (3.13). */
#include <stdio.h>

#include "io/io_i.h"

enum { BEGIN, ITEM, REPEATED, MODIFIED }; /* what stands before, for what repeats */

typedef struct scan {
    whet_str p;
    int64_t at;
    whet_i_buf out;
    bool end;  /* the pattern stands in a group behind a prefix, so that flags cannot begin it */
    bool same; /* so far: the bytes mean the same to both, in any version, wherever they stand */
    const char *why;
    int before;
} scan;

static char peek(const scan *s, int64_t ahead) {
    return s->at + ahead < s->p.len ? s->p.ptr[s->at + ahead] : '\0';
}

static whet_status copy(whet_ctx *ctx, scan *s, int64_t n) {
    WHET_TRY(whet_i_buf_append(ctx, &s->out, s->p.ptr + s->at, n));
    s->at += n;
    return WHET_OK;
}

/* `n` bytes become `text`. */
static whet_status change(whet_ctx *ctx, scan *s, int64_t n, const char *text) {
    s->same = false;
    s->at += n;
    return whet_i_buf_append(ctx, &s->out, text, (int64_t)strlen(text));
}

static const char not_python[] = "which Python's re does not have";
static const char not_here[] = "which is not known here";

static whet_status refuse(scan *s, const char *why) {
    s->why = why;
    return WHET_OK;
}

/* ---- escapes ---------------------------------------------------------------------------------- */

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

static bool is_hex(const scan *s, int64_t from, int64_t n) {
    for (int64_t i = from; i < from + n; i++) {
        const char c = peek(s, i);
        if (!whet_i_is_digit(c) && !(c != '\0' && strchr("abcdefABCDEF", c))) return false;
    }
    return true;
}

/* \xhh, \uhhhh, \Uhhhhhhhh: exactly so many digits. */
static whet_status code_point(whet_ctx *ctx, scan *s, int64_t digits) {
    char text[16];
    if (!is_hex(s, 2, digits)) return refuse(s, not_python);
    if (digits == 2) return copy(ctx, s, 4);
    (void)snprintf(text, sizeof text, "\\x{%.*s}", (int)digits, s->p.ptr + s->at + 2);
    return change(ctx, s, digits + 2, text);
}

static whet_status escape(whet_ctx *ctx, scan *s, bool in_class) {
    static const char classes[] = "dDsSwWafnrt", places[] = "AbB";
    const char c = peek(s, 1);
    s->before = ITEM;
    if (c == 'x') return code_point(ctx, s, 2);
    if (c == 'u') return code_point(ctx, s, 4);
    if (c == 'U') return code_point(ctx, s, 8);
    if (c == 'v') return change(ctx, s, 2, "\\x0b");
    if (c == 'N') return refuse(s, not_here);
    if (whet_i_is_digit(c)) s->same = false; /* groups are counted with those around it */
    if (in_class && c == 'b') return copy(ctx, s, 2);
    if (!in_class && c != '\0' && strchr(places, c)) s->before = BEGIN;
    if (!in_class && (c == 'Z' || c == 'z')) {
        s->before = BEGIN;
        return change(ctx, s, 2, "\\z");
    }
    if (is_letter(c) && !strchr(classes, c) && (in_class || !strchr(places, c)))
        return refuse(s, not_python);
    return copy(ctx, s, s->at + 1 < s->p.len ? 2 : 1);
}

/* ---- classes ---------------------------------------------------------------------------------- */

static whet_status class_of(whet_ctx *ctx, scan *s) {
    WHET_TRY(copy(ctx, s, peek(s, 1) == '^' ? 2 : 1));
    for (bool first = true; s->at < s->p.len && !s->why; first = false) {
        const char c = peek(s, 0), next = peek(s, 1);
        if (c == ']' && !first) break;
        if (c == '\\')
            WHET_TRY(escape(ctx, s, true));
        else if (c == '[' && (next == ':' || next == '.' || next == '='))
            WHET_TRY(change(ctx, s, 1, "\\["));
        else
            WHET_TRY(copy(ctx, s, 1));
    }
    s->before = ITEM;
    return s->at < s->p.len && !s->why ? copy(ctx, s, 1) : WHET_OK;
}

/* ---- groups ----------------------------------------------------------------------------------- */

/* (?i) at the very begin, (?i:...), (?-i:...). */
static whet_status flags(whet_ctx *ctx, scan *s) {
    int64_t n = 2;
    bool minus = false, known = true;
    for (char c; (c = peek(s, n)) != '\0' && strchr("aiLmsux-", c); n++) {
        known = known && strchr("ims-", c);
        minus = minus || c == '-';
    }
    const char last = peek(s, n);
    if (n == 2 || (last != ')' && last != ':')) return refuse(s, not_python);
    if (last == ')' && (s->at > 0 || s->end || minus)) return refuse(s, not_python);
    if (!known) return refuse(s, not_here);
    return copy(ctx, s, n + 1);
}

static whet_status group(whet_ctx *ctx, scan *s) {
    const char c = peek(s, 2), next = peek(s, 3);
    const bool special = peek(s, 1) == '?';
    s->before = BEGIN;
    if (peek(s, 1) == '*') return refuse(s, not_python);
    if (!special) return copy(ctx, s, 1);
    switch (c) {
    case ':':
    case '=':
    case '!': return copy(ctx, s, 3);
    case 'P':
        s->before = next == '=' ? ITEM : BEGIN;
        return next == '<' || next == '=' ? copy(ctx, s, 4) : refuse(s, not_python);
    case '#': {
        int64_t n = 3;
        while (peek(s, n) != '\0' && peek(s, n) != ')') n++;
        return copy(ctx, s, n + (peek(s, n) == ')'));
    }
    case '>': s->same = false; return copy(ctx, s, 3);
    case '<': /* PCRE2's may be of several lengths */
        s->same = false;
        return next == '=' || next == '!' ? copy(ctx, s, 4) : refuse(s, not_python);
    case '(': s->same = false; return whet_i_is_digit(next) ? copy(ctx, s, 3) : refuse(s, not_here);
    default: return flags(ctx, s);
    }
}

/* ---- repetitions ------------------------------------------------------------------------------ */

/* Bytes of "{m}", "{m,}", "{,n}", "{m,n}", "{,}" at `at`; 0 = the brace stands for itself. */
static int64_t braces(const scan *s, bool *open) {
    int64_t n = 1;
    while (whet_i_is_digit(peek(s, n))) n++;
    *open = n == 1;
    if (peek(s, n) == ',')
        for (n++; whet_i_is_digit(peek(s, n));) n++;
    else if (*open)
        return 0;
    return peek(s, n) == '}' ? n + 1 : 0;
}

static whet_status repeat(whet_ctx *ctx, scan *s) {
    const char c = peek(s, 0);
    bool open = false;
    const int64_t n = c == '{' ? braces(s, &open) : 1;
    if (n == 0) {
        s->before = ITEM;
        return copy(ctx, s, 1);
    }
    if (s->before == REPEATED && (c == '?' || c == '+')) {
        s->same = s->same && c == '?'; /* "++" is of Python 3.11 on */
        s->before = MODIFIED;
        return copy(ctx, s, 1);
    }
    if (s->before != ITEM) return refuse(s, not_python);
    s->before = REPEATED;
    if (!open) return copy(ctx, s, n);
    WHET_TRY(change(ctx, s, 1, "{0"));
    return copy(ctx, s, n - 1);
}

/* ---- all of it -------------------------------------------------------------------------------- */

/* Fills `out`, up to what is refused: `why`, at `at`. */
static whet_status translate(whet_ctx *ctx, scan *s) {
    s->same = true;
    s->before = BEGIN;
    while (s->at < s->p.len && !s->why) {
        const char c = peek(s, 0);
        if (c == '\\') {
            WHET_TRY(escape(ctx, s, false));
        } else if (c == '[') {
            WHET_TRY(class_of(ctx, s));
        } else if (c == '(') {
            WHET_TRY(group(ctx, s));
        } else if (c == '*' || c == '+' || c == '?' || c == '{') {
            WHET_TRY(repeat(ctx, s));
        } else {
            s->before = c == '|' || c == '^' || c == '$' ? BEGIN : ITEM;
            WHET_TRY(copy(ctx, s, 1));
        }
    }
    return WHET_OK;
}

whet_status whet_i_pattern_is_python(whet_ctx *ctx, whet_str pattern, bool end, bool *out) {
    scan s = {.p = pattern, .end = end};
    const whet_status status = translate(ctx, &s);
    *out = status == WHET_OK && s.same && !s.why;
    whet_i_buf_free(ctx, &s.out);
    return status;
}

/* The first bytes of what is refused. */
static whet_str rest_of(const scan *s) {
    enum { MOST = 4 };
    const int64_t n = s->p.len - s->at;
    return (whet_str){s->p.ptr + s->at, n < MOST ? n : MOST};
}

whet_status whet_i_pattern_compile_python(whet_ctx *ctx, const char *where, whet_str pattern,
                                          bool end, whet_i_pattern **out) {
    const whet_i_pattern_opts opts = {.whole = true, .python = true};
    scan s = {.p = pattern, .end = end};
    char quoted[WHET_QUOTE_SIZE], part[WHET_QUOTE_SIZE];
    whet_i_buf regex = {0};
    whet_status status = translate(ctx, &s);
    if (status == WHET_OK && s.why)
        status = whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                             "%s: the pattern %s has at byte %lld %s, %s; expected a regular "
                             "expression of Python's",
                             where, whet_i_quote(quoted, pattern), (long long)s.at,
                             whet_i_quote(part, rest_of(&s)), s.why);
    /* The groups around it are PEFT's, and are counted. */
    if (status == WHET_OK)
        status = whet_i_buf_printf(ctx, &regex, end ? "(.*\\.)?(%.*s)" : "%.*s", (int)s.out.len,
                                   s.out.data ? s.out.data : "");
    if (status == WHET_OK)
        status = whet_i_pattern_compile(ctx, where, (whet_str){regex.data, regex.len}, opts, out);
    whet_i_buf_free(ctx, &regex);
    whet_i_buf_free(ctx, &s.out);
    return status;
}
