/* SPDX-License-Identifier: Apache-2.0
 * The unigram model: of all ways to cut a word into tokens, the one of the highest sum of scores, of equals
 * the one whose tokens are met first (Viterbi). A character that is no token may be cut off too, at a score
 * below all others; neighbours of that kind are one unknown token.
 * Source: Kudo 2018 (1804.10959), equation 7; order of sums and ties of Hugging Face tokenizers.
 * O(bytes * longest token). */
#include "nn/unigram_i.h"

#define NOWHERE (-1)

/* The best way to each place of a word: its score, the last token, where that begins. */
typedef struct ways {
    double *score;  /* [len + 1] */
    int32_t *token; /* [len + 1] */
    int32_t *from;  /* [len + 1], NOWHERE = no way yet */
} ways;

static void put(whet_i_ids *out, int32_t id) {
    if (out->n < out->cap) out->ids[out->n++] = id;
}

static void offer(const ways *w, int64_t from, int64_t to, int32_t token, double score) {
    if (w->from[to] != NOWHERE && score <= w->score[to]) return;
    w->score[to] = score;
    w->token[to] = token;
    w->from[to] = (int32_t)from;
}

static void find_ways(const whet_i_unigram *model, const uint8_t *word, int64_t len,
                      const ways *w) {
    const uint8_t *const end = word + len, *next;
    for (int64_t i = 0; i <= len; i++) w->from[i] = NOWHERE;
    w->score[0] = 0;
    for (const uint8_t *p = word; p < end; p = next) {
        const int64_t from = p - word;
        uint32_t node = WHET_I_TRIE_ROOT;
        bool is_token = false;
        (void)whet_i_utf8_decode(p, end, &next);
        for (const uint8_t *q = p; q < end; q++) {
            node = whet_i_trie_step(model->vocab, node, *q);
            if (!node) break;
            const int32_t token = model->vocab->values[node];
            if (token < 0) continue;
            offer(w, from, q + 1 - word, token, model->scores[token] + w->score[from]);
            is_token |= q + 1 == next;
        }
        if (!is_token) offer(w, from, next - word, model->unk, model->unknown + w->score[from]);
    }
}

/* Turns the links around: from[i] becomes the end of the token that begins at i. */
static void turn(const ways *w, int64_t len) {
    int32_t to = (int32_t)len, at = w->from[to];
    while (to > 0) {
        const int32_t before = at > 0 ? w->from[at] : 0;
        w->from[at] = to;
        to = at;
        at = before;
    }
}

/* What is unknown, up to the next token that is not. */
static void put_unknown(const whet_i_unigram *model, const uint8_t *p, const uint8_t *end,
                        whet_i_ids *out) {
    uint32_t node = WHET_I_TRIE_ROOT;
    bool bytes = model->byte_fallback;
    for (const uint8_t *q = p; q < end && node; q++)
        node = whet_i_trie_step(model->vocab, node, *q);
    if (node && model->vocab->values[node] >= 0) {
        put(out, model->vocab->values[node]); /* the unknown token's own text, say */
        return;
    }
    for (const uint8_t *q = p; q < end && bytes; q++) bytes = model->byte_token[*q] >= 0;
    if (!bytes) put(out, model->unk);
    for (const uint8_t *q = p; q < end && bytes; q++) put(out, model->byte_token[*q]);
}

void whet_i_unigram_word(const whet_i_unigram *model, const uint8_t *word, int64_t len,
                         uint8_t *memory, whet_i_ids *out) {
    ways w = {.score = (double *)(void *)memory};
    w.token = (int32_t *)(void *)(w.score + len + 1);
    w.from = w.token + len + 1;
    find_ways(model, word, len, &w);
    turn(&w, len);
    for (int64_t at = 0; at < len && out->n < out->cap;) {
        int64_t to = w.from[at];
        if (w.token[to] != model->unk) {
            put(out, w.token[to]);
        } else {
            while (to < len && w.token[w.from[to]] == model->unk) to = w.from[to];
            put_unknown(model, word + at, word + to, out);
        }
        at = to;
    }
}

void whet_i_unigram_free(whet_ctx *ctx, whet_i_unigram *model) { whet_i_free(ctx, model->scores); }
