/* SPDX-License-Identifier: Apache-2.0
 * Pre-tokenisation in steps: each step cuts a piece into smaller ones, which the next step gets one
 * after the other, without lists in between; what comes out at the end are the model's words.
 * Metaspace and ByteLevel write a piece anew before they cut it. */
#include "nn/tokenizer_i.h"

typedef struct run {
    const whet_tokenizer *tok;
    whet_i_work *work;
    whet_i_ids *out;
} run;

static void step(const run *r, int32_t k, const uint8_t *p, const uint8_t *end, bool at_start);

static void word(const run *r, const uint8_t *p, const uint8_t *end) {
    if (r->out->n >= r->out->cap) return;
    if (r->tok->is_bpe) {
        whet_i_bpe_word(&r->tok->bpe, p, end - p, r->work->model, r->out);
        return;
    }
    if (r->tok->is_unigram) {
        whet_i_unigram_word(&r->tok->unigram, p, end - p, r->work->model, r->out);
        return;
    }
    int64_t chars = 0;
    for (const uint8_t *q = p; q < end; q++) chars += (*q & 0xC0) != 0x80;
    whet_i_wordpiece_word(&r->tok->model, p, end - p, chars, r->out);
}

/* ---- matches ---------------------------------------------------------------------------------- */

static bool find_char(uint32_t bits, const uint8_t *p, const uint8_t *end, const uint8_t **from,
                      const uint8_t **to) {
    for (const uint8_t *next; p < end; p = next) {
        if (!(whet_i_unicode_bits(whet_i_utf8_decode(p, end, &next)) & bits)) continue;
        *from = p;
        *to = next;
        return true;
    }
    return false;
}

static bool find_text(whet_str what, const uint8_t *p, const uint8_t *end, const uint8_t **from,
                      const uint8_t **to) {
    for (; end - p >= what.len; p++) {
        p = memchr(p, (uint8_t)what.ptr[0], (size_t)(end - p - what.len + 1));
        if (!p) return false;
        if (memcmp(p, what.ptr, (size_t)what.len) != 0) continue;
        *from = p;
        *to = p + what.len;
        return true;
    }
    return false;
}

static bool find(const run *r, const whet_i_pre_step *s, const uint8_t *begin, const uint8_t *end,
                 const uint8_t *p, const uint8_t **from, const uint8_t **to) {
    if (s->op == WHET_I_PRE_DIGITS) return find_char(WHET_I_CHAR_NUMERIC, p, end, from, to);
    if (s->op == WHET_I_PRE_PUNCTUATION) return find_char(WHET_I_CHAR_PUNCT, p, end, from, to);
    if (s->regex) return whet_i_regex_find(s->regex, &r->work->regex, begin, end, p, from, to);
    return find_text(s->text, p, end, from, to);
}

/* ---- cutting ---------------------------------------------------------------------------------- */

/* The piece that is not given out yet, since the next one may join it. */
typedef struct pending {
    const run *r;
    int32_t k;
    whet_i_behavior behavior;
    const uint8_t *origin; /* of the whole piece, */
    bool at_start;         /* which begins the text */
    const uint8_t *begin, *end;
    bool any, was_match;
} pending;

static void give(pending *held) {
    if (held->any)
        step(held->r, held->k + 1, held->begin, held->end,
             held->at_start && held->begin == held->origin);
    held->any = false;
}

/* The next part: a match, or what is between two. */
static void take(pending *held, const uint8_t *begin, const uint8_t *end, bool is_match) {
    bool joins = false;
    switch (held->behavior) {
    case WHET_I_ISOLATED:
    case WHET_I_REMOVED: break;
    case WHET_I_MERGED_WITH_PREVIOUS: joins = is_match && !held->was_match; break;
    case WHET_I_MERGED_WITH_NEXT: joins = !is_match && held->was_match; break;
    case WHET_I_CONTIGUOUS: joins = is_match == held->was_match; break;
    }
    held->was_match = is_match;
    if (joins && held->any) {
        held->end = end;
        return;
    }
    give(held);
    if (held->behavior == WHET_I_REMOVED && is_match) return;
    held->begin = begin;
    held->end = end;
    held->any = true;
}

static void cut(const run *r, int32_t k, whet_i_behavior behavior, const uint8_t *p,
                const uint8_t *end, bool at_start) {
    const whet_i_pre_step *s = &r->tok->pre_steps[k];
    const uint8_t *begin = p, *from, *to;
    pending held = {.r = r, .k = k, .behavior = behavior, .origin = p, .at_start = at_start};
    while (r->out->n < r->out->cap && find(r, s, begin, end, p, &from, &to)) {
        if (from > p) take(&held, p, from, s->invert);
        take(&held, from, to, !s->invert);
        p = to;
    }
    if (r->out->n >= r->out->cap) return;
    if (p < end) take(&held, p, end, s->invert);
    give(&held);
}

/* BertPreTokenizer, Whitespace, WhitespaceSplit: runs of a class. */
static void cut_classes(const run *r, int32_t k, const uint8_t *p, const uint8_t *end,
                        bool at_start) {
    const uint8_t *begin = p, *next;
    while (p < end && r->out->n < r->out->cap) {
        const uint8_t *from = p;
        const uint32_t class =
            whet_i_charmap_get(&r->tok->classes, whet_i_utf8_decode(p, end, &next));
        for (p = next; p < end && class != WHET_I_CLASS_ALONE; p = next)
            if (whet_i_charmap_get(&r->tok->classes, whet_i_utf8_decode(p, end, &next)) != class)
                break;
        if (class != WHET_I_CLASS_SPACE) step(r, k + 1, from, p, at_start && from == begin);
    }
}

/* ---- steps that write anew -------------------------------------------------------------------- */

static bool starts_with(const uint8_t *p, const uint8_t *end, whet_str what) {
    return end - p >= what.len && memcmp(p, what.ptr, (size_t)what.len) == 0;
}

static void metaspace(const run *r, int32_t k, const uint8_t *p, const uint8_t *end,
                      bool at_start) {
    const whet_i_pre_step *s = &r->tok->pre_steps[k];
    uint8_t *const begin = r->work->pre[k], *out = begin;
    const bool prepends = s->prepend == WHET_I_ALWAYS || (s->prepend == WHET_I_FIRST && at_start);
    const whet_str mark = s->text;
    if (prepends && *p != ' ' && !starts_with(p, end, mark)) {
        memcpy(out, mark.ptr, (size_t)mark.len);
        out += mark.len;
    }
    for (; p < end; p++) {
        if (*p == ' ') {
            memcpy(out, mark.ptr, (size_t)mark.len);
            out += mark.len;
        } else {
            *out++ = *p;
        }
    }
    if (s->split)
        cut(r, k, WHET_I_MERGED_WITH_NEXT, begin, out, at_start);
    else
        step(r, k + 1, begin, out, at_start);
}

static void byte_level(const run *r, int32_t k, const uint8_t *p, const uint8_t *end,
                       bool at_start) {
    const whet_i_pre_step *s = &r->tok->pre_steps[k];
    if (s->prepend == WHET_I_ALWAYS && *p != ' ') {
        uint8_t *copy = r->work->pre[k];
        copy[0] = ' ';
        memcpy(copy + 1, p, (size_t)(end - p));
        end = copy + 1 + (end - p);
        p = copy;
    }
    if (s->regex)
        cut(r, k, WHET_I_ISOLATED, p, end, at_start);
    else
        step(r, k + 1, p, end, at_start);
}

static void step(const run *r, int32_t k, const uint8_t *p, const uint8_t *end, bool at_start) {
    if (p == end) return;
    if (k == r->tok->n_pre_steps) {
        word(r, p, end);
        return;
    }
    switch (r->tok->pre_steps[k].op) {
    case WHET_I_PRE_CLASSES: cut_classes(r, k, p, end, at_start); return;
    case WHET_I_PRE_METASPACE: metaspace(r, k, p, end, at_start); return;
    case WHET_I_PRE_BYTE_LEVEL: byte_level(r, k, p, end, at_start); return;
    case WHET_I_PRE_SPLIT:
    case WHET_I_PRE_DIGITS:
    case WHET_I_PRE_PUNCTUATION: cut(r, k, r->tok->pre_steps[k].behavior, p, end, at_start); return;
    }
}

void whet_i_pre_tokenize(const whet_tokenizer *tok, whet_i_work *work, const uint8_t *p,
                         const uint8_t *end, bool at_start, whet_i_ids *out) {
    const run r = {tok, work, out};
    step(&r, 0, p, end, at_start);
}

whet_i_growth whet_i_pre_step_growth(const whet_i_pre_step *s) {
    if (s->op == WHET_I_PRE_METASPACE) return (whet_i_growth){s->text.len, s->text.len};
    if (s->op == WHET_I_PRE_BYTE_LEVEL) return (whet_i_growth){1, 1};
    return (whet_i_growth){1, 0};
}
