/* SPDX-License-Identifier: Apache-2.0
 * The frame of reports: escaping, numbers, style. Colours follow the reader's light or dark scheme
 * and turn plain on paper. */
#include <inttypes.h>
#include <stdio.h>

#include "io/io_i.h"

/* The Unicode standard, table 3-7. */
whet_status whet_i_append_clean(whet_ctx *ctx, whet_i_buf *buf, whet_str text) {
    for (int64_t i = 0; i < text.len;) {
        const int64_t length = whet_i_utf8_length(text.ptr + i, text.len - i);
        const unsigned char c = (unsigned char)text.ptr[i];
        if (length == 0)
            WHET_TRY(whet_i_buf_append(ctx, buf, "\xef\xbf\xbd", 3));
        else if (c < 0x20 || c == 0x7f)
            WHET_TRY(whet_i_buf_append(ctx, buf, " ", 1));
        else
            WHET_TRY(whet_i_buf_append(ctx, buf, text.ptr + i, length));
        i += length ? length : 1;
    }
    return WHET_OK;
}

static const char *entity(char c) {
    switch (c) {
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '&': return "&amp;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

whet_status whet_i_html_cut(whet_ctx *ctx, whet_i_buf *out, whet_str text, int64_t most) {
    for (int64_t i = 0; i < text.len; most--) {
        if (most == 0) return whet_i_buf_append(ctx, out, "\xe2\x80\xa6", 3); /* ellipsis */
        const int64_t length = whet_i_utf8_length(text.ptr + i, text.len - i);
        const int64_t step = length ? length : 1;
        const char *escaped = entity(text.ptr[i]);
        if (escaped)
            WHET_PUT("%s", escaped);
        else
            WHET_TRY(whet_i_append_clean(ctx, out, (whet_str){text.ptr + i, step}));
        i += step;
    }
    return WHET_OK;
}

whet_status whet_i_html(whet_ctx *ctx, whet_i_buf *out, whet_str text) {
    return whet_i_html_cut(ctx, out, text, INT64_MAX);
}

const char *whet_i_count(char out[WHET_COUNT_SIZE], int64_t n) {
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    int o = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') out[o++] = ',';
        out[o++] = digits[i];
    }
    out[o] = '\0';
    return out;
}

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d2530;--soft:#5c6776;--line:#d9dee5;--paper:#ffffff;"
    "--panel:#f5f7f9;--main:#1f6f8b;--other:#c2571a;--good:#1f6f8b}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#9aa5b4;--line:#343c47;"
    "--paper:#14181d;--panel:#1c2127;--main:#5fb4d1;--other:#f0955a;--good:#5fb4d1}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:60rem;padding:2.2rem 1.4rem 4rem;background:var(--paper);"
    "color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',"
    "sans-serif}\n"
    "h1{font-size:1.75rem;line-height:1.2;margin:0 0 .3rem}\n"
    "h2{font-size:1.2rem;margin:2.6rem 0 .6rem;padding-top:1.1rem;border-top:1px solid var(--line)}"
    "\n"
    "p{margin:.5rem 0;max-width:46rem}.soft{color:var(--soft)}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1.3rem 0}\n"
    ".tile{flex:1 1 8.5rem;background:var(--panel);border:1px solid var(--line);"
    "border-radius:.6rem;padding:.7rem .9rem}\n"
    ".tile b{display:block;font-size:1.45rem;line-height:1.25;font-variant-numeric:tabular-nums}\n"
    ".tile span{color:var(--soft);font-size:.86rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.9rem;margin:.7rem 0;width:100%}\n"
    "th,td{text-align:left;padding:.34rem .6rem .34rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top}\n"
    "th{color:var(--soft);font-weight:600;white-space:nowrap}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
    "tr.chosen td{font-weight:650}tr.chosen .soft{font-weight:400}\n"
    "td:first-child{min-width:9rem}td.n:first-child{min-width:3rem}\n"
    "td.text{overflow-wrap:anywhere}\n"
    ".bar{display:inline-block;height:.72rem;background:var(--main);border-radius:2px;"
    "min-width:1px;vertical-align:baseline}\n"
    "td.barcell{width:55%}\n"
    "code,pre{font:.86rem/1.5 ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\n"
    "pre{background:var(--panel);border:1px solid var(--line);border-radius:.6rem;"
    "padding:.8rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "svg{display:block;max-width:100%;height:auto;margin:.8rem 0}\n"
    "svg text{fill:var(--ink);font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',"
    "sans-serif}\n"
    "svg .soft{fill:var(--soft)}svg .small{font-size:11.5px}svg .strong{font-weight:650}\n"
    "svg .grid{stroke:var(--line);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}\n"
    "svg .m{fill:var(--main)}svg .ml{stroke:var(--main);stroke-width:2.2}\n"
    "svg .o{fill:var(--other)}svg .ol{stroke:var(--other);stroke-width:2.2}\n"
    "svg .frame{fill:none;stroke:var(--line)}svg .on{fill:var(--paper)}\n"
    "svg .dash{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:5 4}\n"
    "details{margin:.6rem 0}summary{cursor:pointer;color:var(--main)}\n"
    "@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--panel:#fff;"
    "--main:#1f6f8b;--other:#c2571a}body{max-width:none;padding:0;font-size:11pt}"
    "h2{break-after:avoid}svg,tr,.tile{break-inside:avoid}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}\n";

whet_status whet_i_html_head(whet_ctx *ctx, whet_i_buf *out, const char *title) {
    WHET_PUT("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             /* Nothing in a report may fetch or run anything, whatever the texts in it say. */
             "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
             "style-src 'unsafe-inline'\">\n"
             "<title>%s</title>\n<style>\n",
             title);
    WHET_TRY(whet_i_buf_append(ctx, out, style, (int64_t)sizeof style - 1));
    WHET_PUT("</style>\n</head>\n<body>\n");
    return WHET_OK;
}
