/* SPDX-License-Identifier: Apache-2.0
 * Class names as words to embed. Names are written for programs (freeze_account, Sci/Tech,
 * CreditCard); an encoder knows words. Separators between letters become spaces; "3.5" and "2019-20"
 * keep theirs. */
#include <ctype.h>

#include "adapt/pipeline_i.h"

static bool is_letter(unsigned char c) { return isalpha(c) || c >= 0x80; }

static bool is_word(unsigned char c) { return isalnum(c) || c >= 0x80; }

/* Whether the separator at i stands for a space: not between two digits, and not for '_'. */
static bool separates(whet_str name, int64_t i) {
    const unsigned char c = (unsigned char)name.ptr[i];
    if (c == '_' || isspace(c)) return true;
    if (!strchr("-./:", c)) return false;
    const bool digits = i > 0 && i + 1 < name.len && isdigit((unsigned char)name.ptr[i - 1]) &&
                        isdigit((unsigned char)name.ptr[i + 1]);
    return !digits;
}

/* Whether a new word starts at i by its capital: "creditCard", and "HTTPServer" before "Server". */
static bool steps_up(whet_str name, int64_t i) {
    if (i == 0 || !isupper((unsigned char)name.ptr[i])) return false;
    const unsigned char before = (unsigned char)name.ptr[i - 1];
    if (islower(before)) return true;
    return isupper(before) && i + 2 < name.len && islower((unsigned char)name.ptr[i + 1]) &&
           islower((unsigned char)name.ptr[i + 2]);
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

void whet_free_text(whet_ctx *ctx, char *text) { whet_i_free(ctx, text); }

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
