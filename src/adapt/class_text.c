/* SPDX-License-Identifier: Apache-2.0
 * Class names as words to embed. Names are written for programs (freeze_account, Sci/Tech,
 * CreditCard); an encoder knows words. Separators between letters become spaces; "3.5" and "2019-20"
 * keep theirs. */
#include "adapt/pipeline_i.h"

static bool is_letter(unsigned char c) {
    return whet_i_is_upper((char)c) || whet_i_is_lower((char)c) || c >= 0x80;
}

static bool is_word(unsigned char c) { return is_letter(c) || whet_i_is_digit((char)c); }

/* Whether the separator at i stands for a space: not between two digits, and not for '_'. */
static bool separates(whet_str name, int64_t i) {
    const unsigned char c = (unsigned char)name.ptr[i];
    if (c == '_' || whet_i_is_space((char)c)) return true;
    if (!strchr("-./:", c)) return false;
    const bool digits = i > 0 && i + 1 < name.len && whet_i_is_digit(name.ptr[i - 1]) &&
                        whet_i_is_digit(name.ptr[i + 1]);
    return !digits;
}

/* Whether a new word starts at i by its capital: "creditCard", and "HTTPServer" before "Server". */
static bool steps_up(whet_str name, int64_t i) {
    if (i == 0 || !whet_i_is_upper(name.ptr[i])) return false;
    const char before = name.ptr[i - 1];
    if (whet_i_is_lower(before)) return true;
    return whet_i_is_upper(before) && i + 2 < name.len && whet_i_is_lower(name.ptr[i + 1]) &&
           whet_i_is_lower(name.ptr[i + 2]);
}

whet_status whet_class_text(whet_ctx *ctx, whet_str name, char **out) {
    char *text;
    bool any_word = false;
    for (int64_t i = 0; i < name.len; i++) any_word |= is_word((unsigned char)name.ptr[i]);
    if (!any_word) return whet_i_strdup(ctx, name, out);
    WHET_TRY(whet_i_alloc(ctx, 2 * name.len + 1, &text));
    int64_t n = 0;
    for (int64_t i = 0; i < name.len; i++) {
        const bool space = separates(name, i);
        if ((space || steps_up(name, i)) && n > 0 && text[n - 1] != ' ') text[n++] = ' ';
        if (!space) text[n++] = name.ptr[i];
    }
    while (n > 0 && text[n - 1] == ' ') n--;
    text[n] = '\0';
    *out = text;
    return WHET_OK;
}


/* Names that are only numbers ("0", "1") say nothing to an encoder. */
static bool has_letter(whet_str text) {
    for (int64_t i = 0; i < text.len; i++)
        if (is_letter((unsigned char)text.ptr[i])) return true;
    return false;
}

bool whet_i_texts_mean(const whet_str *texts, int64_t k) {
    for (int64_t i = 0; i < k; i++)
        if (!has_letter(texts[i])) return false;
    return true;
}
