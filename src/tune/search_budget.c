/* SPDX-License-Identifier: Apache-2.0
 * A search's budget as text: "10m", "trials=30", "1h,params=100k". */
#include <math.h>

#include "tune/search_i.h"

/* A number with one letter of `units` behind it, which multiplies by the scale of the same place; the
 * letter may be missing where `bare`. */
static bool parse_scaled(whet_str text, const char *units, const double *scales, bool bare,
                         double *out) {
    double scale = 1, number;
    if (text.len == 0) return false;
    const char last = text.ptr[text.len - 1], *unit = last ? strchr(units, last) : NULL;
    if (!unit && !bare) return false;
    if (unit) {
        scale = scales[unit - units];
        text.len--;
    }
    if (!whet_i_parse_real(text, &number)) return false;
    *out = number * scale;
    return *out > 0 && *out <= 1e15;
}

static bool starts(whet_str text, const char *with, whet_str *rest) {
    const int64_t n = (int64_t)strlen(with);
    if (text.len < n || memcmp(text.ptr, with, (size_t)n) != 0) return false;
    *rest = (whet_str){text.ptr + n, text.len - n};
    return true;
}

enum { SECONDS = 1, TRIALS = 2, PARAMETERS = 4 };

/* Which member it is, 0 = none. */
static int parse_part(whet_str text, whet_tune_search_opts *o) {
    static const double seconds[] = {1, 60, 3600}, counts[] = {1e3, 1e3, 1e6};
    double number;
    whet_str rest;
    if (starts(text, "trials=", &rest))
        return whet_i_parse_int(rest, &o->trials) && o->trials >= 1 &&
                       o->trials <= WHET_I_SEARCH_TRIALS
                   ? TRIALS
                   : 0;
    if (starts(text, "params=", &rest)) {
        if (!parse_scaled(rest, "kKM", counts, true, &number) || number < 1) return 0;
        o->parameters = (int64_t)number;
        return PARAMETERS;
    }
    return parse_scaled(text, "smh", seconds, false, &o->seconds) ? SECONDS : 0;
}

whet_status whet_tune_search_budget(whet_ctx *ctx, const char *text, whet_tune_search_opts *opts) {
    whet_tune_search_opts made = WHET_TUNE_SEARCH_OPTS_INIT;
    char quoted[WHET_QUOTE_SIZE];
    int there = 0;
    WHET_TRY(whet_i_opts(ctx, opts, &made, sizeof made, "whet_tune_search_opts"));
    for (const char *at = text;;) {
        const int64_t length = (int64_t)strcspn(at, ",");
        const whet_str part = whet_i_trim((whet_str){at, length});
        const int which = parse_part(part, &made);
        if (!which)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "budget %s: expected a time such as 600s, 10m or 1h, trials=1 to "
                               "%d, or params=100k",
                               whet_i_quote(quoted, part), WHET_I_SEARCH_TRIALS);
        if (there & which)
            return whet_i_fail(ctx, WHET_ERR_ARG,
                               "budget %s: another one of its kind stands before it; expected one",
                               whet_i_quote(quoted, part));
        there |= which;
        if (at[length] == '\0') break;
        at += length + 1;
    }
    if (made.seconds <= 0 && made.trials <= 0)
        return whet_i_fail(ctx, WHET_ERR_ARG,
                           "budget %s: no time and no trials; expected one, such as 10m or "
                           "trials=30",
                           whet_i_quote(quoted, whet_str_from(text)));
    memcpy(opts, &made, opts->struct_size < sizeof made ? opts->struct_size : sizeof made);
    return WHET_OK;
}
