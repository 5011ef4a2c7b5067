/* SPDX-License-Identifier: Apache-2.0
 * PCRE2 behind Oniguruma's syntax: regex_syntax.c translates, here is compiling and matching.
 *
 * A hostile pattern must not hang: each match runs under a limit of steps that starts small and
 * doubles; what a match takes beyond the first limit is charged to the text's budget, which grows
 * with the text. No just-in-time code: its steps are counted otherwise, and whether a text has a
 * result must not depend on the machine. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "nn/regex_parts_i.h"

#define FREE_STEPS 4096u
#define MOST_STEPS ((int64_t)1 << 30)
#define HEAP_KB 262144

struct whet_i_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
    whet_i_scan scan;
};

static void *get_memory(PCRE2_SIZE size, void *ctx) {
    char *bytes = NULL;
    return size > INT32_MAX || whet_i_alloc(ctx, (int64_t)size, &bytes) != WHET_OK ? NULL : bytes;
}

static void put_memory(void *bytes, void *ctx) { whet_i_free(ctx, bytes); }

static whet_status no_memory(whet_ctx *ctx) {
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "regular expression: no memory");
}

static whet_status compile(whet_ctx *ctx, const char *part, whet_str pattern,
                           const whet_i_buf *text, whet_i_regex *regex) {
    char quoted[WHET_QUOTE_SIZE];
    int code;
    PCRE2_SIZE at;
    uint32_t empty = 1;
    regex->memory = pcre2_general_context_create(get_memory, put_memory, ctx);
    if (!regex->memory) return no_memory(ctx);
    pcre2_compile_context *how = pcre2_compile_context_create(regex->memory);
    if (!how) return no_memory(ctx);
    (void)pcre2_set_newline(how, PCRE2_NEWLINE_LF);
    regex->code = pcre2_compile((PCRE2_SPTR)text->data, (PCRE2_SIZE)text->len,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &at, how);
    pcre2_compile_context_free(how);
    if (!regex->code && code == PCRE2_ERROR_HEAP_FAILED) return no_memory(ctx);
    if (!regex->code)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: the regular expression %s does not compile (PCRE2 error %d)", part,
                           whet_i_quote(quoted, pattern), code);
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_MATCHEMPTY, &empty);
    if (empty)
        return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                           "%s: the regular expression %s can match nothing; expected one that "
                           "takes at least a character",
                           part, whet_i_quote(quoted, pattern));
    return WHET_OK;
}

whet_status whet_i_regex_build(whet_ctx *ctx, const char *part, whet_str pattern,
                               whet_i_regex **out) {
    whet_i_regex *regex = NULL;
    whet_i_buf text = {0};
    whet_status status = WHET_OK;
    WHET_TRY_DONE(whet_i_regex_translate(ctx, part, pattern, &text));
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, &regex));
    WHET_TRY_DONE(compile(ctx, part, pattern, &text, regex));
    WHET_TRY_DONE(whet_i_scan_build(ctx, pattern, &regex->scan));
    *out = regex;
    regex = NULL;
done:
    whet_i_regex_destroy(ctx, regex);
    whet_i_buf_free(ctx, &text);
    return status;
}

void whet_i_regex_destroy(whet_ctx *ctx, whet_i_regex *regex) {
    if (!regex) return;
    pcre2_code_free(regex->code);
    pcre2_general_context_free(regex->memory);
    whet_i_scan_free(ctx, &regex->scan);
    whet_i_free(ctx, regex);
}

void whet_i_regex_without_scanner(whet_i_regex *regex) { regex->scan.kind = WHET_I_SCAN_NONE; }

/* ---- matching --------------------------------------------------------------------------------- */

typedef struct match_state {
    pcre2_match_data *data;
    pcre2_match_context *limits;
} match_state;

whet_status whet_i_regex_state_init(whet_ctx *ctx, whet_i_regex_state *state) {
    match_state *match;
    *state = (whet_i_regex_state){0};
    WHET_TRY(whet_i_calloc(ctx, 1, &match));
    state->match = match;
    /* PCRE2's own memory: workers must not share the context's. */
    match->data = pcre2_match_data_create(1, NULL);
    match->limits = pcre2_match_context_create(NULL);
    if (!match->data || !match->limits) return no_memory(ctx);
    (void)pcre2_set_heap_limit(match->limits, HEAP_KB);
    return WHET_OK;
}

void whet_i_regex_state_free(whet_ctx *ctx, whet_i_regex_state *state) {
    match_state *match = state->match;
    if (!match) return;
    pcre2_match_data_free(match->data);
    pcre2_match_context_free(match->limits);
    whet_i_free(ctx, match);
    state->match = NULL;
}

void whet_i_regex_state_start(whet_i_regex_state *state, int64_t len) {
    state->exhausted = false;
    state->budget = 4000000 + 64 * len;
}

bool whet_i_regex_find(const whet_i_regex *regex, whet_i_regex_state *state, const uint8_t *begin,
                       const uint8_t *end, const uint8_t *from, const uint8_t **match_begin,
                       const uint8_t **match_end) {
    if (from == end || state->exhausted) return false;
    if (regex->scan.kind != WHET_I_SCAN_NONE) {
        *match_begin = from;
        *match_end = whet_i_scan_next(&regex->scan, from, end);
        return true;
    }
    match_state *match = state->match;
    int64_t limit = FREE_STEPS;
    for (;;) {
        (void)pcre2_set_match_limit(match->limits, (uint32_t)limit);
        const int rc =
            pcre2_match(regex->code, begin, (PCRE2_SIZE)(end - begin), (PCRE2_SIZE)(from - begin),
                        PCRE2_NO_UTF_CHECK, match->data, match->limits);
        if (rc == PCRE2_ERROR_NOMATCH) return false;
        if (rc >= 0) {
            const PCRE2_SIZE *place = pcre2_get_ovector_pointer(match->data);
            *match_begin = begin + place[0];
            *match_end = begin + place[1];
            return true;
        }
        limit *= 2;
        state->budget -= limit;
        if (rc != PCRE2_ERROR_MATCHLIMIT || state->budget < 0 || limit > MOST_STEPS) {
            state->exhausted = true;
            return false;
        }
    }
}
