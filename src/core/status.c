/* SPDX-License-Identifier: Apache-2.0
 * Status codes, the sentence of the last failure, and making untrusted bytes printable. */
#include <errno.h>
#include <stdio.h>

#include "core/context.h"

const char *whet_status_text(whet_status status) {
    switch (status) {
#define WHET_STATUS_CASE(name, value, exit_code, text) \
    case name: return text;
        WHET_STATUS_LIST(WHET_STATUS_CASE)
#undef WHET_STATUS_CASE
    }
    return "unknown status";
}

int whet_status_exit_code(whet_status status) {
    switch (status) {
#define WHET_STATUS_CASE(name, value, exit_code, text) \
    case name: return exit_code;
        WHET_STATUS_LIST(WHET_STATUS_CASE)
#undef WHET_STATUS_CASE
    }
    return 70;
}

const char *whet_version(void) { return WHET_VERSION; }

const char *whet_error(const whet_ctx *ctx) { return ctx->error; }

int whet_error_errno(const whet_ctx *ctx) { return ctx->error_errno; }

void whet_i_record(whet_ctx *ctx, whet_status status, const char *format, ...) {
    ctx->error_errno = status == WHET_ERR_IO ? errno : 0;
    /* Arguments may point into the old sentence: format into a second buffer first. */
    char sentence[sizeof ctx->error];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    memcpy(ctx->error, sentence, sizeof sentence);
}

whet_status whet_i_fail_at(whet_ctx *ctx, whet_status status, const char *format, ...) {
    char prefix[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(prefix, sizeof prefix, format, args);
    va_end(args);
    char sentence[sizeof ctx->error + sizeof prefix + 2];
    (void)snprintf(sentence, sizeof sentence, "%s: %s", prefix, ctx->error);
    memcpy(ctx->error, sentence, sizeof ctx->error - 1);
    ctx->error[sizeof ctx->error - 1] = '\0';
    return status;
}

void whet_i_log(whet_ctx *ctx, whet_log_level level, const char *format, ...) {
    if (!ctx->log) return;
    char sentence[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    ctx->log(ctx->user, level, sentence);
}

const char *whet_i_quote(char out[WHET_QUOTE_SIZE], whet_str text) {
    enum { CUT = 80 };
    char *o = out;
    *o++ = '"';
    for (int64_t i = 0; i < text.len; i++) {
        if (i == CUT) {
            memcpy(o, "...", 3);
            o += 3;
            break;
        }
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\') {
            *o++ = '\\';
            *o++ = (char)c;
        } else if (c >= 0x20 && c != 0x7f) {
            *o++ =
                (char)c; /* UTF-8 passes; a cut or invalid sequence shows as a replacement mark */
        } else {
            o += snprintf(o, 5, "\\x%02x", c);
        }
    }
    *o++ = '"';
    *o = '\0';
    return out;
}
