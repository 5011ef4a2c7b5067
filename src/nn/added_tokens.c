/* SPDX-License-Identifier: Apache-2.0
 * Added tokens found in a text, as Hugging Face's AddedVocabulary does: leftmost, longest, without
 * overlap; single_word matches between word characters are passed over; lstrip and rstrip take the
 * white space beside the match. */
#include "nn/tokenizer_i.h"

whet_status whet_i_added_add(whet_ctx *ctx, whet_i_added *added, whet_str content,
                             whet_i_added_token token, bool *is_new) {
    int32_t existing;
    if (!added->trie.edges) WHET_TRY(whet_i_trie_init(ctx, &added->trie));
    if (added->n == added->cap) {
        const int64_t cap = added->cap * 2 + 8;
        WHET_TRY(whet_i_realloc(ctx, &added->tokens, cap));
        added->cap = cap;
    }
    WHET_TRY(whet_i_trie_add(ctx, &added->trie, content, (int32_t)added->n, &existing));
    *is_new = existing < 0;
    if (!*is_new) return WHET_OK;
    const uint8_t byte = (uint8_t)content.ptr[0];
    added->only = added->n == 0 || added->only == byte ? byte : -1;
    added->first[byte] = true;
    added->tokens[added->n++] = token;
    return WHET_OK;
}

void whet_i_added_free(whet_ctx *ctx, whet_i_added *added) {
    whet_i_trie_free(ctx, &added->trie);
    whet_i_free(ctx, added->tokens);
}

void whet_i_added_walk_start(whet_i_added_walk *walk, const uint8_t *begin, const uint8_t *end) {
    *walk = (whet_i_added_walk){
        .begin = begin, .end = end, .search = begin, .done = begin, .pending = -1};
}

/* The longest token at p, or NULL; *stop is the byte after it. */
static const whet_i_added_token *longest_at(const whet_i_added *added, const uint8_t *p,
                                            const uint8_t *end, const uint8_t **stop) {
    const whet_i_added_token *found = NULL;
    uint32_t node = WHET_I_TRIE_ROOT;
    while (p < end && (node = whet_i_trie_step(&added->trie, node, *p++)) != 0) {
        if (added->trie.values[node] < 0) continue;
        found = &added->tokens[added->trie.values[node]];
        *stop = p;
    }
    return found;
}

/* The next place where a token may start, or end. */
static const uint8_t *candidate(const whet_i_added *added, const uint8_t *p, const uint8_t *end) {
    if (p == end || added->n == 0) return end;
    if (added->only >= 0) {
        const uint8_t *found = memchr(p, added->only, (size_t)(end - p));
        return found ? found : end;
    }
    while (p < end && !added->first[*p]) p++;
    return p;
}

static bool is_word(uint32_t code) { return whet_i_unicode_bits(code) & WHET_I_CHAR_WORD; }
static bool is_space(uint32_t code) { return whet_i_unicode_bits(code) & WHET_I_CHAR_SPACE; }

static bool stands_alone(const whet_i_added_walk *walk, const uint8_t *start, const uint8_t *stop) {
    const uint8_t *ignored;
    if (start > walk->begin && is_word(whet_i_utf8_before(walk->begin, start, &ignored)))
        return false;
    return stop == walk->end || !is_word(whet_i_utf8_decode(stop, walk->end, &ignored));
}

static const uint8_t *spaces_before(const uint8_t *begin, const uint8_t *p) {
    const uint8_t *start;
    while (p > begin && is_space(whet_i_utf8_before(begin, p, &start))) p = start;
    return p;
}

static const uint8_t *spaces_after(const uint8_t *p, const uint8_t *end) {
    const uint8_t *next;
    while (p < end && is_space(whet_i_utf8_decode(p, end, &next))) p = next;
    return p;
}

bool whet_i_added_next(const whet_i_added *added, whet_i_added_walk *walk, int32_t *id,
                       const uint8_t **begin, const uint8_t **end) {
    if (walk->pending >= 0) {
        *id = walk->pending;
        walk->pending = -1;
        walk->done = walk->pending_end;
        return true;
    }
    while ((walk->search = candidate(added, walk->search, walk->end)) < walk->end) {
        const uint8_t *start = walk->search, *stop = start;
        const whet_i_added_token *token = longest_at(added, start, walk->end, &stop);
        if (!token) {
            walk->search++;
            continue;
        }
        walk->search = stop;
        if (token->single_word && !stands_alone(walk, start, stop)) continue;
        /* Spaces that the token before has taken are gone. */
        if (token->lstrip) start = spaces_before(walk->done < start ? walk->done : start, start);
        if (token->rstrip) stop = spaces_after(stop, walk->end);
        *id = token->id;
        if (start > walk->done) {
            *begin = walk->done;
            *end = start;
            *id = -1;
            walk->pending = token->id;
            walk->pending_end = stop;
        } else {
            walk->done = stop;
        }
        return true;
    }
    *id = -1;
    *begin = walk->done;
    *end = walk->end;
    walk->done = walk->end;
    return *begin < *end;
}
