/* SPDX-License-Identifier: Apache-2.0
 * Regular expressions that users write, by PCRE2: Unicode classes; bytes that are not UTF-8 match nothing.
 * A match may take so many steps and no more. No just-in-time code: its steps are counted otherwise, and
 * whether a text matches must not depend on the machine. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "io/io_i.h"

enum { HEAP_KB = 65536 };

struct whet_i_pattern {
    pcre2_general_context *memory;
    pcre2_code *code;
};

struct whet_i_pattern_state {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

static void *get_memory(PCRE2_SIZE size, void *ctx) {
    char *bytes = NULL;
    return size > INT32_MAX || whet_i_alloc(ctx, (int64_t)size, &bytes) != WHET_OK ? NULL : bytes;
}

static void put_memory(void *bytes, void *ctx) { whet_i_free(ctx, bytes); }

static whet_status no_memory(whet_ctx *ctx) {
    return whet_i_fail(ctx, WHET_ERR_NOMEM, "out of memory: a regular expression");
}

static whet_status compile(whet_ctx *ctx, const char *where, whet_str pattern,
                           whet_i_pattern_opts opts, whet_i_pattern *made) {
    char quoted[WHET_QUOTE_SIZE];
    PCRE2_UCHAR words[128] = "";
    const uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF |
                           PCRE2_NEVER_BACKSLASH_C | (opts.ignore_case ? PCRE2_CASELESS : 0) |
                           (opts.whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
    int error;
    PCRE2_SIZE at;
    made->memory = pcre2_general_context_create(get_memory, put_memory, ctx);
    if (!made->memory) return no_memory(ctx);
    pcre2_compile_context *how = pcre2_compile_context_create(made->memory);
    if (!how) return no_memory(ctx);
    made->code =
        pcre2_compile((PCRE2_SPTR)pattern.ptr, (PCRE2_SIZE)pattern.len, flags, &error, &at, how);
    pcre2_compile_context_free(how);
    if (made->code) return WHET_OK;
    if (error == PCRE2_ERROR_HEAP_FAILED) return no_memory(ctx);
    (void)pcre2_get_error_message(error, words, sizeof words);
    return whet_i_fail(ctx, WHET_ERR_UNSUPPORTED,
                       "%s: the pattern %s does not compile, at byte %lld: %s; expected a regular "
                       "expression of %s",
                       where, whet_i_quote(quoted, pattern), (long long)at, (const char *)words,
                       opts.python ? "Python's" : "PCRE2");
}

whet_status whet_i_pattern_compile(whet_ctx *ctx, const char *where, whet_str pattern,
                                   whet_i_pattern_opts opts, whet_i_pattern **out) {
    whet_i_pattern *made;
    WHET_TRY(whet_i_calloc(ctx, 1, &made));
    const whet_status status = compile(ctx, where, pattern, opts, made);
    if (status == WHET_OK)
        *out = made;
    else
        whet_i_pattern_free(ctx, made);
    return status;
}

whet_status whet_i_pattern_compile_end(whet_ctx *ctx, const char *where, whet_str pattern,
                                       whet_i_pattern **out) {
    const whet_i_pattern_opts whole = {.whole = true};
    whet_i_buf regex = {0};
    WHET_TRY(whet_i_buf_printf(ctx, &regex, "(?:.*\\.)?(?:%.*s)", (int)pattern.len, pattern.ptr));
    const whet_status status =
        whet_i_pattern_compile(ctx, where, (whet_str){regex.data, regex.len}, whole, out);
    whet_i_buf_free(ctx, &regex);
    return status;
}

void whet_i_pattern_free(whet_ctx *ctx, whet_i_pattern *code) {
    if (!code) return;
    pcre2_code_free(code->code);
    pcre2_general_context_free(code->memory);
    whet_i_free(ctx, code);
}

whet_status whet_i_pattern_state_create(whet_ctx *ctx, int64_t match_limit,
                                        whet_i_pattern_state **out) {
    whet_i_pattern_state *state;
    WHET_TRY(whet_i_calloc(ctx, 1, &state));
    /* PCRE2's own memory: workers must not share the context's. */
    state->data = pcre2_match_data_create(1, NULL);
    state->limits = pcre2_match_context_create(NULL);
    if (!state->data || !state->limits) {
        whet_i_pattern_state_free(ctx, state);
        return no_memory(ctx);
    }
    (void)pcre2_set_match_limit(state->limits, (uint32_t)match_limit);
    (void)pcre2_set_heap_limit(state->limits, HEAP_KB);
    *out = state;
    return WHET_OK;
}

void whet_i_pattern_state_free(whet_ctx *ctx, whet_i_pattern_state *state) {
    if (!state) return;
    pcre2_match_data_free(state->data);
    pcre2_match_context_free(state->limits);
    whet_i_free(ctx, state);
}

int whet_i_pattern_find(const whet_i_pattern *code, whet_i_pattern_state *state, whet_str text) {
    const int found = pcre2_match(code->code, (PCRE2_SPTR)text.ptr, (PCRE2_SIZE)text.len, 0, 0,
                                  state->data, state->limits);
    if (found >= 0) return 1;
    return found == PCRE2_ERROR_NOMATCH ? 0 : -1;
}
