/* SPDX-License-Identifier: Apache-2.0
 * Untrusted text made fit for files that must be valid UTF-8 (the Unicode standard, table 3-7); and
 * the clock. */
#include <time.h>

#include "adapt/pipeline_i.h"

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
