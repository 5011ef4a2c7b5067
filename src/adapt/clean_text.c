/* SPDX-License-Identifier: Apache-2.0
 * Untrusted text made fit for files that must be valid UTF-8 (the Unicode standard, table 3-7); and
 * the clock. */
#include <time.h>

#include "adapt/pipeline_i.h"

int64_t whet_i_utf8_length(const char *text, int64_t len) {
    const unsigned char *t = (const unsigned char *)text;
    if (len < 1) return 0;
    if (t[0] < 0x80) return 1;
    const int64_t need = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (t[0] < 0xc2 || t[0] > 0xf4 || len < need) return 0;
    for (int64_t i = 1; i < need; i++)
        if ((t[i] & 0xc0) != 0x80) return 0;
    if (t[0] == 0xe0 && t[1] < 0xa0) return 0; /* overlong */
    if (t[0] == 0xed && t[1] > 0x9f) return 0; /* surrogates */
    if (t[0] == 0xf0 && t[1] < 0x90) return 0; /* overlong */
    if (t[0] == 0xf4 && t[1] > 0x8f) return 0; /* beyond U+10FFFF */
    return need;
}

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

double whet_i_seconds_now(void) {
    struct timespec t;
    if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return 0;
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
