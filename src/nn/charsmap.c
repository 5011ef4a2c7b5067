/* SPDX-License-Identifier: Apache-2.0
 * SentencePiece's compiled normaliser: strings and what replaces them. A charsmap is, in little endian, the
 * size of a trie in bytes, the trie, and texts that end in NUL; the trie is a double array of 32-bit units:
 *   bits 0..7, 31   the byte that leads here, bit 31 only in values
 *   bit 8           a string ends here: its value is at the place the byte NUL would lead to
 *   bits 10..30     the offset, times 256 where bit 9 is set: children are at place ^ offset ^ byte
 * and a value is the place of a text. Read as Hugging Face tokenizers does, which is not as SentencePiece
 * does: of clusters (whet_i_grapheme_end) of up to 5 bytes the shortest string at the begin decides, and
 * all of the cluster goes; of others, each code point is looked up.
 * The bytes are anybody's: what can be reached in 5 steps is walked once when it is read, so that values
 * are known to be texts, and how long a text can become is known too. Source of the format: S. Yata's
 * darts-clone. */
#include "nn/tokenizer_i.h"

#define LONGEST 5 /* bytes of a cluster that is looked up */
#define MAX_BYTES ((int64_t)1 << 22)
static const char *const PART = "normalizer Precompiled";

/* ---- lookup ----------------------------------------------------------------------------------- */

static uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 512u) >> 6); }

static bool is_child(const whet_i_charsmap *map, uint32_t place, uint32_t byte) {
    return place < map->n && (map->units[place] & 0x800000FFu) == byte;
}

/* The text for the shortest string at p: its place in `texts`, or -1. */
static int64_t find(const whet_i_charsmap *map, const uint8_t *p, const uint8_t *end) {
    uint32_t place = offset_of(map->units[0]);
    for (; p < end && *p; p++) {
        place ^= *p;
        if (!is_child(map, place, *p)) return -1;
        const uint32_t unit = map->units[place];
        place ^= offset_of(unit);
        if (unit & 256u) return map->units[place] & 0x7FFFFFFFu;
    }
    return -1;
}

static uint8_t *put_text(const whet_i_charsmap *map, int64_t at, uint8_t *out) {
    for (const char *c = map->texts + at; *c; c++) *out++ = (uint8_t)*c;
    return out;
}

/* A code point, or what replaces it. */
static uint8_t *put_code(const whet_i_charsmap *map, const uint8_t *p, const uint8_t *end,
                         uint8_t *out) {
    const int64_t found = find(map, p, end);
    if (found >= 0) return put_text(map, found, out);
    while (p < end) *out++ = *p++;
    return out;
}

uint8_t *whet_i_charsmap_apply(const whet_i_charsmap *map, const uint8_t *p, const uint8_t *end,
                               uint8_t *out) {
    while (p < end) {
        /* Most bytes: a letter of ASCII with nothing behind it that could join. */
        if (*p < 0x80 && map->stays[*p] && (p + 1 == end || p[1] < 0x80)) {
            *out++ = *p++;
            continue;
        }
        const uint8_t *const stop = whet_i_grapheme_end(p, end), *next;
        const int64_t found = stop - p <= LONGEST ? find(map, p, stop) : -1;
        if (found >= 0) {
            out = put_text(map, found, out);
            p = stop;
        }
        for (; p < stop; p = next) {
            (void)whet_i_utf8_decode(p, stop, &next);
            out = put_code(map, p, next, out);
        }
    }
    return out;
}

/* ---- reading ---------------------------------------------------------------------------------- */

static int32_t digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (whet_i_is_digit(c)) return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base 64 with its padding, into text.len / 4 * 3 bytes; how many they are, or -1. */
static int64_t decode_base64(whet_str text, uint8_t *out) {
    int64_t n = 0;
    if (text.len % 4 != 0) return -1;
    for (int64_t i = 0; i < text.len; i += 4) {
        const bool last = i + 4 == text.len;
        const int64_t given = last && text.ptr[i + 3] == '=' ? (text.ptr[i + 2] == '=' ? 2 : 3) : 4;
        uint32_t bits = 0;
        for (int64_t k = 0; k < 4; k++) {
            const int32_t value = k < given ? digit(text.ptr[i + k]) : 0;
            if (value < 0) return -1;
            bits = bits << 6 | (uint32_t)value;
        }
        for (int64_t k = 0; k < given - 1; k++) out[n++] = (uint8_t)(bits >> (16 - 8 * k));
        if ((given == 2 && bits & 0xFFFFu) || (given == 3 && bits & 0xFFu)) return -1;
    }
    return n;
}

static uint32_t little_endian(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_valid(const char *text, int64_t len) {
    const uint8_t *p = (const uint8_t *)text, *const end = p + len, *next;
    for (; p < end; p = next)
        if (whet_i_utf8_decode(p, end, &next) == WHET_I_REPLACEMENT &&
            (*p != 0xEF || next - p != 3)) /* not U+FFFD itself */
            return false;
    return true;
}

static whet_status damaged(whet_ctx *ctx, const char *what) {
    return whet_i_fail(ctx, WHET_ERR_FORMAT, "%s: its precompiled_charsmap %s", PART, what);
}

/* The value whose place is known, after `depth` bytes: it must be a text, and makes the map's growth. */
static whet_status check_value(whet_ctx *ctx, whet_i_charsmap *map, uint32_t place, int64_t depth) {
    const int64_t at = place < map->n ? map->units[place] & 0x7FFFFFFFu : INT64_MAX;
    if (at >= map->texts_len || ((uint8_t)map->texts[at] & 0xC0) == 0x80)
        return damaged(ctx, "has a value that is no text's place; expected one within its texts");
    const int64_t len = (int64_t)strlen(map->texts + at), times = (len + depth - 1) / depth;
    if (times > map->max_bytes) map->max_bytes = times;
    return WHET_OK;
}

/* Everything that lookups can reach, nearest first: `queue` holds places, each once. */
static whet_status walk(whet_ctx *ctx, whet_i_charsmap *map, uint32_t *queue, bool *seen) {
    int64_t done = 0, level = 1, n = 1;
    queue[0] = 0;
    seen[0] = true;
    for (int64_t depth = 1; depth <= LONGEST; depth++, level = n)
        for (; done < level; done++) {
            const uint32_t from = queue[done] ^ offset_of(map->units[queue[done]]);
            for (uint32_t byte = 1; byte < 256; byte++) {
                const uint32_t place = from ^ byte;
                if (!is_child(map, place, byte)) continue;
                const uint32_t unit = map->units[place];
                if (unit & 256u)
                    WHET_TRY(check_value(ctx, map, place ^ offset_of(unit), depth));
                else if (!seen[place])
                    queue[n++] = place;
                seen[place] = true;
            }
        }
    return WHET_OK;
}

static whet_status check(whet_ctx *ctx, whet_i_charsmap *map) {
    uint32_t *queue = NULL;
    bool *seen = NULL;
    whet_status status = WHET_OK;
    map->max_bytes = 1;
    WHET_TRY_DONE(whet_i_alloc(ctx, map->n, &queue));
    WHET_TRY_DONE(whet_i_calloc(ctx, map->n, &seen));
    WHET_TRY_DONE(walk(ctx, map, queue, seen));
    for (uint32_t b = 0; b < 128; b++) {
        const uint8_t byte = (uint8_t)b;
        /* CR may be half of a cluster. */
        map->stays[b] = b != '\r' && find(map, &byte, &byte + 1) < 0;
    }
done:
    whet_i_free(ctx, seen);
    whet_i_free(ctx, queue);
    return status;
}

static whet_status parse(whet_ctx *ctx, whet_i_charsmap *map, const uint8_t *bytes, int64_t len) {
    const int64_t size = len < 4 ? 0 : little_endian(bytes);
    if (size < 4 || size % 4 != 0 || size > len - 4)
        return damaged(ctx, "has no trie; expected its size, the trie and texts");
    map->n = size / 4;
    map->texts_len = len - 4 - size;
    WHET_TRY(whet_i_alloc(ctx, map->n, &map->units));
    WHET_TRY(whet_i_alloc(ctx, map->texts_len + 1, &map->texts));
    for (int64_t i = 0; i < map->n; i++) map->units[i] = little_endian(bytes + 4 + 4 * i);
    if (map->texts_len) memcpy(map->texts, bytes + 4 + size, (size_t)map->texts_len);
    map->texts[map->texts_len] = '\0';
    if (!is_valid(map->texts, map->texts_len))
        return damaged(ctx, "has texts that are not UTF-8; expected UTF-8");
    return check(ctx, map);
}

whet_status whet_i_charsmap_read(whet_ctx *ctx, const json_t *json, whet_i_charsmap **out) {
    const json_t *value = json_object_get(json, "precompiled_charsmap");
    const whet_str text = whet_i_json_text(value);
    uint8_t *bytes = NULL;
    whet_status status = WHET_OK;
    if (!json_is_string(value)) return damaged(ctx, "is missing; expected a text in base 64");
    if (text.len > MAX_BYTES)
        return whet_i_fail(ctx, WHET_ERR_LIMIT,
                           "%s: a precompiled_charsmap of %lld bytes; expected at most %lld", PART,
                           (long long)text.len, (long long)MAX_BYTES);
    WHET_TRY_DONE(whet_i_calloc(ctx, 1, out));
    WHET_TRY_DONE(whet_i_alloc(ctx, text.len / 4 * 3 + 1, &bytes));
    const int64_t len = decode_base64(text, bytes);
    status = len < 0 ? damaged(ctx, "is no base 64; expected that, padded with =")
                     : parse(ctx, *out, bytes, len);
done:
    whet_i_free(ctx, bytes);
    return status;
}

void whet_i_charsmap_free(whet_ctx *ctx, whet_i_charsmap *map) {
    if (!map) return;
    whet_i_free(ctx, map->units);
    whet_i_free(ctx, map->texts);
    whet_i_free(ctx, map);
}
