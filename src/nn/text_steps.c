/* SPDX-License-Identifier: Apache-2.0
 * Steps of the normaliser that look at more than one code point: normal forms, charsmaps, prepending,
 * replacing, stripping. Each writes a new text; two buffers take turns. */
#include "nn/tokenizer_i.h"

/* The first place of `what` in p..end, or NULL. */
static const uint8_t *find_text(const uint8_t *p, const uint8_t *end, whet_str what) {
    for (; end - p >= what.len; p++) {
        p = memchr(p, (uint8_t)what.ptr[0], (size_t)(end - p - what.len + 1));
        if (!p) return NULL;
        if (memcmp(p, what.ptr, (size_t)what.len) == 0) return p;
    }
    return NULL;
}

static uint8_t *append(uint8_t *out, const void *bytes, int64_t len) {
    if (len > 0) memcpy(out, bytes, (size_t)len);
    return out + len;
}

static uint8_t *replace(const whet_i_text_step *step, whet_i_work *work, const uint8_t *p,
                        const uint8_t *end, uint8_t *out) {
    const uint8_t *begin = p, *from, *to;
    for (;;) {
        if (step->regex) {
            if (!whet_i_regex_find(step->regex, &work->regex, begin, end, p, &from, &to)) break;
        } else {
            from = find_text(p, end, step->from);
            if (!from) break;
            to = from + step->from.len;
        }
        out = append(out, p, from - p);
        out = append(out, step->to.ptr, step->to.len);
        p = to;
    }
    return append(out, p, end - p);
}

static bool is_space(uint32_t code) { return whet_i_unicode_bits(code) & WHET_I_CHAR_SPACE; }

static uint8_t *strip(const whet_i_text_step *step, const uint8_t *p, const uint8_t *end,
                      uint8_t *out) {
    const uint8_t *next;
    while (step->left && p < end && is_space(whet_i_utf8_decode(p, end, &next))) p = next;
    while (step->right && p < end && is_space(whet_i_utf8_before(p, end, &next))) end = next;
    return append(out, p, end - p);
}

static uint8_t *apply(const whet_i_text_step *step, whet_i_work *work, const uint8_t *p,
                      const uint8_t *end, uint8_t *out) {
    switch (step->op) {
    case WHET_I_TEXT_CHARS: return whet_i_normalize(&step->chars, p, end, out);
    case WHET_I_TEXT_FORM: return whet_i_normal_form(step->form, p, end, out, work->forms);
    case WHET_I_TEXT_CHARSMAP: return whet_i_charsmap_apply(step->charsmap, p, end, out);
    case WHET_I_TEXT_PREPEND:
        if (p < end) out = append(out, step->to.ptr, step->to.len);
        return append(out, p, end - p);
    case WHET_I_TEXT_REPLACE: return replace(step, work, p, end, out);
    case WHET_I_TEXT_STRIP: return strip(step, p, end, out);
    }
    return out;
}

const uint8_t *whet_i_normalize_piece(const whet_tokenizer *tok, whet_i_work *work,
                                      const uint8_t *p, const uint8_t *end, const uint8_t **begin) {
    uint8_t *out = work->text[0], *other = work->text[1];
    uint8_t *stop = whet_i_normalize(&tok->norm, p, end, out);
    for (int32_t i = 0; i < tok->n_text_steps; i++) {
        stop = apply(&tok->text_steps[i], work, out, stop, other);
        uint8_t *swap = out;
        out = other;
        other = swap;
    }
    *begin = out;
    return stop;
}

whet_i_growth whet_i_text_step_growth(const whet_i_text_step *step) {
    const int64_t to = step->to.len, from = step->regex ? 1 : step->from.len;
    switch (step->op) {
    case WHET_I_TEXT_CHARS: return (whet_i_growth){step->chars.max_bytes, 0};
    case WHET_I_TEXT_FORM: return (whet_i_growth){WHET_I_FORM_BYTES, 0};
    case WHET_I_TEXT_CHARSMAP: return (whet_i_growth){step->charsmap->max_bytes, 0};
    case WHET_I_TEXT_PREPEND: return (whet_i_growth){1, to};
    case WHET_I_TEXT_REPLACE: return (whet_i_growth){to > from ? (to + from - 1) / from : 1, 0};
    case WHET_I_TEXT_STRIP: break;
    }
    return (whet_i_growth){1, 0};
}
