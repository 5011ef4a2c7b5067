/* SPDX-License-Identifier: Apache-2.0
 * What is said of texts that a model can make little of. */
#include <inttypes.h>

#include "io/io_i.h"

static bool is_utf8(whet_str text) {
    for (int64_t i = 0; i < text.len;) {
        const int64_t length = whet_i_utf8_length(text.ptr + i, text.len - i);
        if (length == 0) return false;
        i += length;
    }
    return true;
}

void whet_i_warn_of_texts(whet_ctx *ctx, const char *path, const whet_str *texts, int64_t n) {
    int64_t empty = 0, broken = 0;
    for (int64_t i = 0; i < n; i++) {
        empty += whet_i_trim(texts[i]).len == 0;
        broken += !is_utf8(texts[i]);
    }
    if (empty)
        whet_i_log(ctx, WHET_LOG_WARN, "%s: %" PRId64 " of %" PRId64 " texts are empty", path,
                   empty, n);
    if (broken)
        whet_i_log(ctx, WHET_LOG_WARN,
                   "%s: %" PRId64 " of %" PRId64 " texts hold bytes that are not UTF-8, which say "
                   "nothing to a model (iconv converts)",
                   path, broken, n);
}
