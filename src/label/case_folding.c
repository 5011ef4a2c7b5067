/* SPDX-License-Identifier: Apache-2.0
 * Texts without case, as Unicode folds them: "Straße", "STRASSE" and "strasse" are the same, and so
 * are an accented letter and a letter with an accent behind it. */
#include "label/case_folding.h"

#include <utf8proc.h>

/* No character becomes more code points than this for each of its bytes, decomposed and folded: the most
 * are three of a character of two bytes (U+0390) and four of one of three (U+1F82). */
enum { CODES_A_BYTE = 2 };

bool whet_i_is_ascii(whet_str text) {
    uint64_t all = 0, word;
    int64_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        memcpy(&word, text.ptr + i, sizeof word);
        all |= word;
    }
    for (; i < text.len; i++) all |= (uint8_t)text.ptr[i];
    return (all & 0x8080808080808080u) == 0;
}

int64_t whet_i_clean_utf8(whet_str text, char *out) {
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text.ptr;
    int64_t n = 0;
    for (int64_t i = 0; i < text.len;) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t used = utf8proc_iterate(p + i, text.len - i, &code);
        if (used <= 0) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
            i++;
        } else {
            memcpy(out + n, p + i, (size_t)used);
            n += used;
            i += used;
        }
    }
    return n;
}

whet_status whet_i_fold_room_make(whet_ctx *ctx, int64_t most, whet_i_fold_room *out) {
    int64_t bytes;
    WHET_TRY(whet_i_mul(ctx, most, 3, &bytes));
    WHET_TRY(whet_i_alloc(ctx, bytes, &out->clean));
    return whet_i_alloc(ctx, CODES_A_BYTE * most, &out->code);
}

void whet_i_fold_room_free(whet_ctx *ctx, whet_i_fold_room *room) {
    whet_i_free(ctx, room->clean);
    whet_i_free(ctx, room->code);
    *room = (whet_i_fold_room){0};
}

whet_str whet_i_fold(whet_str text, whet_i_fold_room *room) {
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD;
    const int64_t len = whet_i_clean_utf8(text, room->clean), most = CODES_A_BYTE * text.len;
    utf8proc_ssize_t codes =
        utf8proc_decompose((const utf8proc_uint8_t *)room->clean, len, room->code, most, options);
    if (codes >= 0 && codes <= most) codes = utf8proc_normalize_utf32(room->code, codes, options);
    if (codes < 0 || codes > most) return (whet_str){room->clean, len}; /* none is known */
    /* In place: no code point has more bytes in UTF-8 than the four it lies in. */
    char *out = (char *)room->code;
    int64_t used = 0;
    for (int64_t i = 0; i < codes; i++) {
        utf8proc_uint8_t bytes[4];
        const utf8proc_ssize_t count = utf8proc_encode_char(room->code[i], bytes);
        memcpy(out + used, bytes, (size_t)count);
        used += count;
    }
    return (whet_str){out, used};
}
