/* SPDX-License-Identifier: Apache-2.0
 * Extended grapheme clusters. Source: Unicode Standard Annex 29, rules GB3 to GB11, over the observed
 * classes of unicode_data.c. GB12 and GB13, pairs of flags, are left out: see unicode_i.h. */
#include "nn/unicode_i.h"

#define HANGUL_FIRST 0xAC00u
#define HANGUL_COUNT 11172u

static whet_i_grapheme class_of(uint32_t code) {
    if (code - HANGUL_FIRST < HANGUL_COUNT)
        return (code - HANGUL_FIRST) % 28 ? WHET_I_GRAPHEME_LVT : WHET_I_GRAPHEME_LV;
    int64_t low = 0, high = whet_i_unicode_n_graphemes;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (whet_i_unicode_graphemes[middle].first <= code)
            low = middle + 1;
        else
            high = middle;
    }
    const whet_i_unicode_class_run *run = &whet_i_unicode_graphemes[low ? low - 1 : 0];
    return code >= run->first && code <= run->last ? (whet_i_grapheme)run->value
                                                   : WHET_I_GRAPHEME_OTHER;
}

/* What a cluster is up to now. */
typedef struct cluster {
    whet_i_grapheme last;
    int picture;   /* 1: a picture and what extends it, 2: and a joiner */
    int consonant; /* 1: a consonant and what extends it, 2: a linker among that */
} cluster;

static bool extends(whet_i_grapheme class) {
    return class == WHET_I_GRAPHEME_EXTEND || class == WHET_I_GRAPHEME_LINKER ||
           class == WHET_I_GRAPHEME_ZWNJ;
}

static bool joins_hangul(whet_i_grapheme last, whet_i_grapheme next) {
    const bool v = next == WHET_I_GRAPHEME_V, t = next == WHET_I_GRAPHEME_T;
    if (last == WHET_I_GRAPHEME_L)
        return v || next == WHET_I_GRAPHEME_L || next == WHET_I_GRAPHEME_LV ||
               next == WHET_I_GRAPHEME_LVT;
    if (last == WHET_I_GRAPHEME_LV || last == WHET_I_GRAPHEME_V) return v || t;
    return (last == WHET_I_GRAPHEME_LVT || last == WHET_I_GRAPHEME_T) && t;
}

static bool joins(const cluster *c, whet_i_grapheme next) {
    if (c->last == WHET_I_GRAPHEME_CONTROL || next == WHET_I_GRAPHEME_CONTROL) return false;
    return joins_hangul(c->last, next) || extends(next) || next == WHET_I_GRAPHEME_ZWJ ||
           next == WHET_I_GRAPHEME_SPACING || c->last == WHET_I_GRAPHEME_PREPEND ||
           (c->picture == 2 && next == WHET_I_GRAPHEME_PICTURE) ||
           (c->consonant == 2 && next == WHET_I_GRAPHEME_CONSONANT);
}

static void take(cluster *c, whet_i_grapheme class) {
    const bool joiner = class == WHET_I_GRAPHEME_ZWJ;
    if (class == WHET_I_GRAPHEME_PICTURE)
        c->picture = 1;
    else if (c->picture != 1 || !extends(class))
        c->picture = c->picture == 1 && joiner ? 2 : 0;
    if (class == WHET_I_GRAPHEME_CONSONANT)
        c->consonant = 1;
    else if (c->consonant && class == WHET_I_GRAPHEME_LINKER)
        c->consonant = 2;
    else if (!joiner && class != WHET_I_GRAPHEME_EXTEND)
        c->consonant = 0;
    c->last = class;
}

const uint8_t *whet_i_grapheme_end(const uint8_t *p, const uint8_t *end) {
    const uint8_t *next;
    cluster c = {0};
    if (*p == '\r' && p + 1 < end && p[1] == '\n') return p + 2;
    take(&c, class_of(whet_i_utf8_decode(p, end, &next)));
    for (p = next; p < end; p = next) {
        const whet_i_grapheme class = class_of(whet_i_utf8_decode(p, end, &next));
        if (!joins(&c, class)) return p;
        take(&c, class);
    }
    return p;
}
