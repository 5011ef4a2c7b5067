/* SPDX-License-Identifier: Apache-2.0
 * WordPiece: greedy longest match, pieces after the first carry the continuing prefix; a word with
 * a part that matches nothing, or with too many characters, is one unknown token.
 * Source: Schuster & Nakajima 2012; BERT's tokenization. Cost O(len * longest piece), in practice
 * about two table probes a byte. */
#include "nn/tokenizer_i.h"

static void put(whet_i_ids *out, int32_t id) {
    if (out->n < out->cap) out->ids[out->n++] = id;
}

void whet_i_wordpiece_word(const whet_i_wordpiece *model, const uint8_t *word, int64_t len,
                           int64_t n_chars, whet_i_ids *out) {
    const int64_t before = out->n;
    int64_t at = 0;
    if (n_chars > model->max_chars) goto unknown;
    while (at < len) {
        uint32_t node = at ? model->inside : WHET_I_TRIE_ROOT;
        int64_t matched = at;
        int32_t id = -1;
        for (int64_t i = at; i < len && node; i++) {
            node = whet_i_trie_step(&model->trie, node, word[i]);
            if (node && model->trie.values[node] >= 0) {
                id = model->trie.values[node];
                matched = i + 1;
            }
        }
        if (id < 0) goto unknown;
        put(out, id);
        at = matched;
    }
    return;
unknown:
    out->n = before;
    put(out, model->unk);
}
